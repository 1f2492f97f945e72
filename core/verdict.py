"""From records to plain sentences: what a run did, and why it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from core.compare import metric_name
from core.config import Config
from core.history import DIVERGED, FINISHED, Record
from core.limit import EXACT, Ceiling, ceiling, without_last_batch

FALLING = 0.01  # a loss that changes by less than this share in the last fifth of a run counts as level


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
    """The cause of a divergence, as far as it was checked: how far above the limit the learning rate was."""
    own = config.optimizer.learning_rate
    rate = digits(own)
    if limit is None:
        return f"Learning rate {rate} was not stable here for {config.optimizer.title}."
    what = "stable rate for this data" if limit.kind == EXACT else "rate at which all pilot runs held"
    named = f"the largest {what} (about {digits(limit.learning_rate)})"
    times = own / limit.learning_rate
    if times <= 1:
        return f"Learning rate {rate} diverged although it is not above {named}."
    return " ".join(
        filter(None, [f"Learning rate {rate} is {_times(times)} {named}.", _lowered(config, limit)])
    )


def _lowered(config: Config, limit: Ceiling) -> str:
    """What makes an exact limit as low as it is, if without it the run would have held."""
    if limit.kind != EXACT:
        return ""
    own, rest = config.optimizer.learning_rate, config.train_rows % min(config.batch_size, config.train_rows)
    standard = None if config.scale else ceiling(config.but(scale=True))
    if standard is not None and own < standard.learning_rate:
        return f"With standardised columns that would be about {digits(standard.learning_rate)}."
    if own < (equal := without_last_batch(config)) < np.inf:
        return f"The last batch of an epoch, {rest} row{'s' * (rest > 1)}, lowers it from {digits(equal)}."
    return ""


def _untrained(config: Config, first: Record) -> str:
    """Why a run ended before it made an update: its first loss, whatever the learning rate."""
    loss = "is not finite" if not np.isfinite(first.train_loss) else f"is {digits(first.train_loss)}"
    why = "the initial weights are too far off"
    if not config.scale and _begins(config.but(scale=True)):
        why = "the columns are not standardised, and the initial weights are too far off for them"
    return f"Ended before its first update: the loss {loss}, since {why}. The learning rate played no part."


@lru_cache(maxsize=64)
def _begins(config: Config) -> bool:
    """Whether a run of a config makes its first update."""
    from core.engine import Training

    training = Training([config])
    training.advance(1)
    return training.records(0)[-1].status != DIVERGED


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
    what = "stable learning rate here" if limit.kind == EXACT else "rate at which all pilot runs held"
    known = f"The largest {what} is about {digits(limit.learning_rate)}"
    return f"{known}; this one is above it." if share > 1 else f"{known}."
