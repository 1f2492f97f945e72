"""From a comparison's numbers to plain sentences: which optimizer was better, by how much and how surely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.compare import Comparison, Summary, estimate, paired
from core.optimizers import SGD, Momentum, Nesterov
from core.verdict import digits

LEVEL = 0.01  # what differs by less than this share is called alike, however sure


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
