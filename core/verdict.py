"""From records to plain sentences: what a run did, and why it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.compare import metric_name
from core.config import Config
from core.history import DIVERGED, FINISHED, Record
from core.optimizers import SGD, Momentum, Nesterov
from core.sharpness import config_moments, least_squares, problem_only
from core.stability import NotATable, full_batch_limit, learning_rate_limits

FALLING = 0.01  # a loss that changes by less than this share in the last fifth of a run counts as level
SAFE = 0.7  # of the limit: no measured run diverged there


@dataclass(frozen=True)
class Ceiling:
    """The largest stable learning rate, known from the data alone.

    Attributes:
        learning_rate: Above it the loss grows without end.
    """

    learning_rate: float

    @property
    def safe(self) -> float:
        """A rate at which no measured run diverged, 0.7 times the ceiling, in two digits."""
        return float(f"{SAFE * self.learning_rate:.1e}")


def ceiling(config: Config) -> Ceiling | None:
    """The largest learning rate for the data, batch size and momentum of a linear least-squares config.

    It is the mini-batch second-moment limit (core.stability) with the noise of all batches of an epoch, a
    smaller last one included, so it is the limit that the Stability page draws. None where it is not known:
    for networks and classes, whose curvature moves in training, and for rules that scale each parameter by
    its gradients. Weight decay adds its number to every curvature, dampening shortens the steps.
    """
    rule = config.optimizer
    if not isinstance(rule, (SGD, Momentum, Nesterov)) or not least_squares(config):
        return None
    momentum, nesterov = getattr(rule, "momentum", 0.0), isinstance(rule, Nesterov)
    limit = _limit(problem_only(config), momentum, nesterov)
    kept = 1 - rule.dampening if isinstance(rule, Momentum) and momentum else 1.0
    if limit is None or kept == 0:
        return None
    if rule.weight_decay:
        limit = 1 / (1 / limit + 1 / full_batch_limit(rule.weight_decay, momentum, nesterov))
    return Ceiling(limit / kept)


@lru_cache(maxsize=128)
def _limit(config: Config, momentum: float, nesterov: bool) -> float | None:
    try:
        known = config_moments(config)
    except NotATable:
        return None
    limit = float(learning_rate_limits(known, [config.batch_size], np.array([momentum]), nesterov)[0, 0])
    return limit if np.isfinite(limit) and limit > 0 else None


def verdict(config: Config, records: Sequence[Record], limit: Ceiling | None = None) -> str:
    """One or two sentences on how a run went, also while it goes on.

    Args:
        config: What was run, with the learning rate that it has now.
        records: One for each epoch so far, epoch 0 first; may be empty.
        limit: The largest stable learning rate, when it is known.
    """
    if not records:
        return "Not started."
    last, first = records[-1], records[0]
    if last.status == DIVERGED:
        return f"{_lost(last)} {why_lost(config, limit)}" if last.step else _untrained(config, first)
    if last.epoch == 0:
        return f"Before training the loss is {digits(first.train_loss)}."
    return " ".join(filter(None, [_reached(config, records), _trend(records), _within(config, limit)]))


def why_lost(config: Config, limit: Ceiling | None) -> str:
    """The cause of a divergence, as far as it is known: how far above the limit the learning rate was."""
    rate = digits(config.optimizer.learning_rate)
    if limit is None:
        return f"Learning rate {rate} was not stable here for {config.optimizer.title}; try a tenth of it."
    times = config.optimizer.learning_rate / limit.learning_rate
    known = f"the largest stable rate for this data (about {digits(limit.learning_rate)})"
    if times > 1:
        return f"Learning rate {rate} is {_times(times)} {known}."
    return f"Learning rate {rate} diverged although it is not above {known}."


def _untrained(config: Config, first: Record) -> str:
    """Why a run ended before it made an update: its first loss, whatever the learning rate."""
    loss = "is not finite" if not np.isfinite(first.train_loss) else f"is {digits(first.train_loss)}"
    why = "the initial weights are too far off"
    if not config.scale:
        why = "the columns are not standardised, and the initial weights are too far off for them"
    return f"Ended before its first update: the loss {loss}, since {why}. The learning rate played no part."


def digits(number: float) -> str:
    """A number in three significant digits, without an exponent where that is short."""
    if number == 0 or not np.isfinite(number):
        return "0" if number == 0 else str(number)
    if 1e-4 <= abs(number) < 1e6:
        decimals = max(0, 2 - int(np.floor(np.log10(abs(number)))))
        text = f"{number:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{number:.2e}"


def _times(times: float) -> str:
    return f"{digits(times)} times" if times >= 2 else f"{100 * (times - 1):.0f} % above"


def _lost(last: Record) -> str:
    return f"Diverged in epoch {last.epoch}, after {last.step:,} update{'s' * (last.step > 1)}."


def _judged(records: Sequence[Record]) -> tuple[str, list[float]]:
    """The loss that counts, by name: of the validation part when there is one."""
    if np.isfinite(records[-1].valid_loss):
        return "Validation loss", [r.valid_loss for r in records]
    return "Training loss", [r.train_loss for r in records]


def _reached(config: Config, records: Sequence[Record]) -> str:
    name, losses = _judged(records)
    last = records[-1]
    metric = last.valid_metric if np.isfinite(last.valid_loss) else last.train_metric
    change = losses[-1] / losses[0] - 1 if losses[0] > 0 else 0.0
    moved = f"down {_share(-change)}" if change < 0 else f"up {100 * change:,.0f} %"
    if config.dataset.classes:
        score = f"accuracy {100 * metric:.1f} %"
    else:
        score = f"R² {metric:.2f}" if metric > 0 else "no better than predicting the mean"
    if not np.isfinite(metric):
        score = f"{metric_name(config)} is not defined for these rows"
    ended = "at the end" if last.status == FINISHED else f"in epoch {last.epoch}"
    return f"{name} {digits(losses[-1])} {ended}, {moved} from {digits(losses[0])}; {score}."


def _share(share: float) -> str:
    """A share in percent, in which only all is called 100 %."""
    percent = 100 * share
    if percent < 99:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent < 99.95 or percent == 100 else "more than 99.9 %"


def _trend(records: Sequence[Record]) -> str:
    """What the last fifth of the run does, and whether the best lies behind it."""
    if len(records) < 6:
        return ""
    back = max(3, len(records) // 5)
    train = _smooth([r.train_loss for r in records], back)
    valid = _smooth(_judged(records)[1], back)
    best = int(np.argmin(valid))
    if valid[-1] > 1.05 * valid[best] and train[-1] < train[best] * (1 - FALLING):
        epoch = records[max(0, best - back // 2)].epoch  # the middle of the mean that is lowest
        return f"Validation loss was lowest around epoch {epoch}; since then the model overfits."
    if train[-1] < train[-1 - back] * (1 - FALLING):
        return "Training loss is still falling."
    return (
        "Training loss is rising."
        if train[-1] > train[-1 - back] * (1 + 5 * FALLING)
        else "Training loss has levelled off."
    )


def _smooth(losses: list[float], width: int) -> np.ndarray:
    """Means of the last `width` values, fewer at the beginning."""
    total = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(losses) + 1)
    begins = np.maximum(ends - width, 0)
    mean: np.ndarray = (total[ends] - total[begins]) / (ends - begins)
    return mean


def _within(config: Config, limit: Ceiling | None) -> str:
    if limit is None:
        return ""
    share = config.optimizer.learning_rate / limit.learning_rate
    known = f"The largest stable learning rate here is about {digits(limit.learning_rate)}"
    return f"{known}; this one is above it." if share > 1 else f"{known}."
