"""From records to plain sentences: what a run did, why it was lost, which rival was better and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.compare import Comparison, Summary, estimate, metric_name, paired
from core.config import Config
from core.history import DIVERGED, FINISHED, Record
from core.optimizers import SGD, Momentum, Nesterov
from core.sharpness import config_moments, least_squares, problem_only
from core.stability import NotATable, full_batch_limit, learning_rate_limits

FALLING = 0.01  # a loss that changes by less than this share in the last fifth of a run counts as level
LEVEL = 0.01  # what differs by less than this share is called alike, however sure
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


def comparison(
    compared: Comparison, summaries: Sequence[Summary], target: float, controls: dict[int, Summary]
) -> str:
    """What a comparison shows, and how sure that is.

    A rival counts as better when the 95 % interval of the paired difference leaves out zero and it is more
    than 1 %: first by its last loss, then by its epochs to the target.

    Args:
        compared: What was compared.
        summaries: One for each rival, in their order.
        target: The loss that counts as reached.
        controls: For rivals with momentum, plain SGD with steps as long.
    """
    names = _names(summaries)
    alive = [k for k, s in enumerate(summaries) if np.isfinite(s.final).any()]
    if not alive:
        return "Every optimizer diverged on every seed: use smaller learning rates."
    order = sorted(alive, key=lambda k: estimate(summaries[k].final).mean)
    best = order[0]
    said = _ranking(summaries, names, order, target)
    if (credited := _credited(summaries, best, controls)) is not None:
        about = "" if credited == best else f"As for {names[credited]} against SGD: "
        said.append(about + _control(summaries[credited], controls[credited]))
    said += [_fate(summary, name) for summary, name in zip(summaries, names, strict=True) if summary.diverged]
    if compared.mode == "tuned":
        said.append(_nested(summaries, names))
    return " ".join(part[0].upper() + part[1:] for part in said if part)


def _names(summaries: Sequence[Summary]) -> list[str]:
    """Titles of the rules, with their numbers where two rivals follow the same rule."""
    titles = [s.rule.title for s in summaries]
    return [_long_name(s) if titles.count(t) > 1 else t for s, t in zip(summaries, titles, strict=True)]


def _long_name(summary: Summary) -> str:
    rule = summary.rule
    word = rule.momentum_name
    numbers = f"η {digits(rule.learning_rate)}" + (f", {digits(getattr(rule, word))}" if word else "")
    return f"{rule.title} ({numbers})"


def _ranking(summaries: Sequence[Summary], names: list[str], order: list[int], target: float) -> list[str]:
    best = order[0]
    winner, loss = summaries[best], digits(estimate(summaries[best].final).mean)
    if len(order) == 1:
        how = "has seeds that did not diverge" if winner.diverged else "did not diverge"
        return [f"Only {names[best]} {how}: final loss {loss}."]
    others = ", ".join(f"{names[k]} {digits(estimate(summaries[k].final).mean)}" for k in order[1:4])
    if len(order) > 4:
        others += f" and {len(order) - 4} more"
    if winner.seeds == 1:
        return [f"{names[best]} ended lowest: {loss} against {others}; one seed gives no interval, use 5."]
    ties = [k for k in order[1:] if not _surely_below(winner.final, summaries[k].final)]
    if not ties:
        runner_up = _difference(winner, summaries[order[1]], names[order[1]])
        rest = "The 95 % intervals of the other paired differences exclude 0 too." if len(order) > 2 else ""
        return [f"{names[best]} ended lowest: {loss} against {others}.", runner_up, rest]
    level = _list([names[k] for k in sorted([best, *ties])])
    ended = f"{level} cannot be told apart by their final loss, about {loss}."
    return [ended, _speed(summaries, names, [best, *ties], target)]


def _difference(winner: Summary, other: Summary, name: str) -> str:
    """How far a rival ended below another, over the seeds on which both did not diverge."""
    apart = paired(winner.final, other.final)
    interval = f"95 % interval {digits(apart.low)} to {digits(apart.high)}"
    return f"The paired difference to {name} is {digits(apart.mean)}, {interval} over {apart.n} seeds."


def _speed(summaries: Sequence[Summary], names: list[str], level: list[int], target: float) -> str:
    """Who of those that end alike comes first to the target."""
    there = [k for k in level if summaries[k].reached == summaries[k].seeds]
    if not there:
        return f"None of them reached the target loss {digits(target)} on every seed."
    times = {k: estimate(summaries[k].epochs) for k in there}
    first = min(there, key=lambda k: times[k].mean)
    slower = [k for k in there if k != first and _surely_below(summaries[first].epochs, summaries[k].epochs)]
    late = [k for k in level if k not in there]
    if not slower and not late:
        epochs = digits(times[first].mean)
        return f"They reach the target loss {digits(target)} equally fast, in about {epochs} epochs."
    rest = [f"{names[k]} {digits(times[k].mean)}" for k in slower]
    rest += [f"{names[k]} on {summaries[k].reached} of {summaries[k].seeds} seeds only" for k in late]
    reached = f"{names[first]} reached the target loss {digits(target)} in {digits(times[first].mean)} epochs"
    return f"{reached}, {_list(rest)}."


def _credited(summaries: Sequence[Summary], best: int, controls: dict[int, Summary]) -> int | None:
    """The rival with momentum whose gain over plain SGD is to be explained; None where there is none."""
    plain = next((s for s in summaries if isinstance(s.rule, SGD)), None)
    if plain is None:
        gaining = [best] if best in controls else []
    else:
        gaining = [k for k in controls if _better(summaries[k], plain)]
    known = [k for k in gaining if summaries[k].seeds > 1 and np.isfinite(summaries[k].final).any()]
    return min(known, key=lambda k: estimate(summaries[k].final).mean, default=None)


def _better(a: Summary, b: Summary) -> bool:
    """Whether a ended surely lower than b, or came to the target surely sooner, or alone."""
    sooner = _surely_below(a.epochs, b.epochs) or (a.reached > 0 and b.reached == 0)
    return _surely_below(a.final, b.final) or sooner


def _control(rival: Summary, control: Summary) -> str:
    """Whether a rival's momentum did more than lengthen its steps."""
    as_long = f"plain SGD at the same effective step (η {digits(control.rule.learning_rate)})"
    if control.diverged == 1:
        return f"{as_long} diverges: momentum is stable at a step where SGD is not."
    if _better(rival, control):
        return f"{as_long} does worse: the gain is more than a longer step."
    return f"{as_long} does as well: the gain is the longer step, not momentum itself."


def _fate(summary: Summary, name: str) -> str:
    lost = round(summary.diverged * summary.seeds)
    return f"{name} diverged on {'all' if lost == summary.seeds else f'{lost} of'} {summary.seeds} seeds."


def _nested(summaries: Sequence[Summary], names: list[str]) -> str:
    """Tuned momentum includes SGD, at momentum 0, so it must not lose to it."""
    plain = next((s for s in summaries if isinstance(s.rule, SGD)), None)
    for summary, name in zip(summaries, names, strict=True):
        nested = isinstance(summary.rule, (Momentum, Nesterov))
        if plain is not None and nested and _surely_below(plain.final, summary.final):
            return (
                f"Tuned {name} ended above tuned SGD, which it contains at momentum 0: its search had too "
                "few trials, so this says nothing against the optimizer."
            )
    return ""


def _surely_below(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a lies below b over the seeds that have both, with 95 % confidence, by 1 % of b or more."""
    difference = paired(a, b)
    return difference.n > 1 and difference.high < 0 and -difference.mean > LEVEL * estimate(b).mean


def _list(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))
