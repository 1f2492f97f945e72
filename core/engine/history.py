"""What happened in a stack of runs: written by one thread, read by any without a lock."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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

    Attributes:
        batch_loss: (steps, R) float32, the loss of each mini-batch before its update; nan where none was.
        step_count: Rows of batch_loss that are final.
        records: Per run, its records so far.
        changes: What was changed on the way.
    """

    def __init__(self, runs: int, steps: int) -> None:
        self.batch_loss = np.full((steps, runs), np.nan, dtype=np.float32)
        self.step_count = 0
        self.records: list[list[Record]] = [[] for _ in range(runs)]
        self.changes: list[Change] = []
