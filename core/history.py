"""What happened in a stack of runs: written by one thread, read by any without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.optimizers import Optimizer

RUNNING, FINISHED, DIVERGED = "running", "finished", "diverged"


class Record(NamedTuple):
    """One run at the end of one epoch (epoch 0 is the state before training).

    Attributes:
        run: Its position among the configs.
        epoch: Passes over the training part; of a diverged run, the one in which it was lost.
        step: Updates made; of a diverged run, up to the last finite state.
        train_loss, valid_loss: Of the whole split; valid_loss is nan without a validation part.
        train_metric, valid_metric: Share of right classes, or R² for regression.
        gradient_norm: Euclidean norm of the last mini-batch gradient; nan at epoch 0.
        status: "running", "finished" or "diverged".
    """

    run: int
    epoch: int
    step: int
    train_loss: float
    valid_loss: float
    train_metric: float
    valid_metric: float
    gradient_norm: float
    status: str


class Change(NamedTuple):
    """A hyperparameter that was changed while the run went on."""

    run: int
    step: int
    name: str
    value: float


class History:
    """Losses of R runs, preallocated; rows below a published count never change.

    Args:
        runs: R.
        steps: Updates planned, the length of the mini-batch record.
        epochs: Epochs planned, E.

    Attributes:
        batch_loss: (steps, R) float32, the loss of each mini-batch before its update; nan where none was.
        step_count: Rows of batch_loss that are final.
        records: Per run, its records so far.
        scores: (R, E + 1, 5), training and validation loss, their metrics, and the seconds of computing that
            the run has cost so far; nan where a run has not come, or has diverged.
        lost: (R, 2), training and validation loss at the last finite state of runs that have diverged.
        changes: What was changed on the way.
    """

    def __init__(self, runs: int, steps: int, epochs: int = 0) -> None:
        self.batch_loss = np.full((steps, runs), np.nan, dtype=np.float32)
        self.step_count = 0
        self.records: list[list[Record]] = [[] for _ in range(runs)]
        self.scores = np.full((runs, epochs + 1, 5), np.nan)
        self.lost = np.full((runs, 2), np.nan)
        self.changes: list[Change] = []

    def branch(self, run: int, rule: Optimizer, rules: Sequence[Optimizer]) -> History:
        """A history of several runs that share the past of `run` and then follow `rules`."""
        twin = History(len(rules), len(self.batch_loss), self.scores.shape[1] - 1)
        twin.step_count = self.step_count
        twin.batch_loss[: self.step_count] = self.batch_loss[: self.step_count, run : run + 1]
        twin.records = [[r._replace(run=k) for r in self.records[run]] for k in range(len(rules))]
        twin.scores[:] = self.scores[run]
        past = [c for c in self.changes if c.run == run]
        twin.changes = [c._replace(run=k) for k in range(len(rules)) for c in past]
        for k, new in enumerate(rules):
            for name in new.settings():
                if name not in rule.settings() or getattr(rule, name) != getattr(new, name):
                    twin.changes.append(Change(k, self.step_count, name, getattr(new, name)))
        return twin


def table(records: Sequence[Record], metric: str) -> pd.DataFrame:
    """The records of one run for a person: a row for each epoch, named as on the page.

    Args:
        records: Of one run.
        metric: What the metric is called, "Accuracy" or "R²".

    Returns:
        Epoch, Update, the losses, the metrics, Gradient norm and Status; what is not known is missing, and
        without a validation part its columns are.
    """
    inside = f"{metric[:1].lower()}{metric[1:]}" if metric.isascii() else metric
    names = {
        **{"epoch": "Epoch", "step": "Update"},
        **{"train_loss": "Training loss", "valid_loss": "Validation loss"},
        **{"train_metric": f"Training {inside}", "valid_metric": f"Validation {inside}"},
        **{"gradient_norm": "Gradient norm", "status": "Status"},
    }
    every = pd.DataFrame(records, columns=list(Record._fields)).drop(columns="run").rename(columns=names)
    return every.drop(columns=[c for c in every if c.startswith("Validation") and every[c].isna().all()])


MARKS = 64  # changes drawn at the most
CURVE = ("epoch", "raw", "smooth", "train", "valid", "lost", "changed", "learning_rate", "momentum")


def curve(history: History, run: int, steps_per_epoch: int, epochs: int, points: int = 300) -> pd.DataFrame:
    """What is drawn of one run: decimated, so that it has about the same size however long the run is.

    Of the mini-batch losses the lowest and the highest of each bin are kept, since with momentum the spikes
    are the message. Bins are a power of two steps wide, so that they do not move while the run grows.

    Args:
        history: May be growing meanwhile.
        run: The run's place in the history.
        steps_per_epoch: Updates in an epoch.
        epochs: Planned; an empty row there keeps the axis still.
        points: Rows for the mini-batches of a long run, up to twice as many; half as many at most for epochs.

    Returns:
        The columns of `CURVE`, float32, sorted by epoch; nan where a row has no such value. `smooth` is the
        centred mean of the mini-batch losses over an epoch, or a twentieth of the run where that is shorter.
    """
    count = history.step_count
    loss = history.batch_loss[:count, run]
    alive = int(np.count_nonzero(~np.isnan(loss)))
    steps = _extremes(loss[:alive], points // 2)
    records = history.records[run][:]
    keep = _thinned(len(records), points // 2)
    changes = _last_of_each_step([c for c in history.changes if c.run == run])
    table = np.full((len(steps) + len(keep) + len(changes), len(CURVE)), np.nan, dtype=np.float32)
    table[: len(steps), 0] = steps / steps_per_epoch
    table[: len(steps), 1] = loss[steps]
    width = min(steps_per_epoch, epochs * steps_per_epoch // 20)
    table[: len(steps), 2] = _centred_mean(loss[:alive], steps, width)
    for row, record in enumerate((records[k] for k in keep), start=len(steps)):
        lost = record.status == DIVERGED
        table[row, 0] = record.step / steps_per_epoch
        table[row, 3:5] = record.train_loss, record.valid_loss
        table[row, 5] = record.train_loss if lost else np.nan
    for row, change in enumerate(changes, start=len(steps) + len(keep)):
        at = min(change.step, alive - 1)
        table[row, 0] = change.step / steps_per_epoch
        table[row, 6] = loss[at] if at >= 0 else np.nan
        if change.name in CURVE:
            table[row, CURVE.index(change.name)] = change.value
    ends = np.full((2, len(CURVE)), np.nan, dtype=np.float32)
    ends[:, 0] = 0, epochs
    table = np.concatenate([table, ends])
    return pd.DataFrame(table[np.argsort(table[:, 0], kind="stable")], columns=list(CURVE))


def _last_of_each_step(changes: Sequence[Change]) -> list[Change]:
    """What was set in the end where a value was set several times between two steps, thinned to `MARKS`."""
    last = list({(change.step, change.name): change for change in changes}.values())
    return [last[k] for k in _thinned(len(last), MARKS)]


def _extremes(values: np.ndarray, bins: int) -> np.ndarray:
    """The places of the lowest and the highest of each bin, in order; all of them when they are few."""
    width = 1
    while len(values) > 2 * bins * width:
        width *= 2
    if width == 1:
        return np.arange(len(values))
    whole = len(values) // width * width
    blocks = values[:whole].reshape(-1, width)
    begin = np.arange(0, whole, width)
    places = [begin + blocks.argmin(1), begin + blocks.argmax(1)]
    if whole < len(values):
        rest = values[whole:]
        places.append(np.array([whole + rest.argmin(), whole + rest.argmax()]))
    return np.unique(np.concatenate(places))


def _thinned(count: int, most: int) -> np.ndarray:
    """Evenly spaced places among `count`, the first and the last with them."""
    stride = 1
    while count > most * stride:
        stride *= 2
    return np.unique(np.append(np.arange(0, count, stride), max(count - 1, 0))) if count else np.arange(0)


def _centred_mean(values: np.ndarray, places: np.ndarray, width: int) -> np.ndarray:
    """The mean of some `width` values around each place; near both ends of as many as lie on either side."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    half = np.minimum(np.minimum(places, len(values) - 1 - places), width // 2)
    mean: np.ndarray = (total[places + half + 1] - total[places - half]) / (2 * half + 1)
    return mean
