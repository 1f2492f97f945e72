"""From a comparison's numbers to plain sentences: which optimizer was better, by how much and how surely."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from core.compare import SEEDS, Comparison, Summary
from core.optimizers import SGD, Momentum, Nesterov
from core.statistics import CONFIDENCE, Estimate, differences, holm, p_value, seeds_needed
from core.verdict import digits

LEVEL = 0.01  # no smaller share of a loss is called a difference, however sure
EPOCH = 1.0  # nor is a shorter time
ALIKE = 0.05  # an interval within this share of no difference says that there is next to none
QUESTION, OTHERS, TIMES = 5.0, 4.0, 1.0  # parts of the error rate


def comparison(
    compared: Comparison, summaries: Sequence[Summary], target: float, controls: Mapping[int, Summary]
) -> str:
    """What a comparison shows, and how sure that is: SGD or momentum first, then who is lowest of all.

    Args:
        compared: What was compared.
        summaries: One for each rival, in their order.
        target: The loss that counts as reached.
        controls: For rivals with momentum, plain SGD with steps as long.
    """
    alive = [k for k, s in enumerate(summaries) if s.mean().n]
    names = _names(summaries)
    if not alive:
        return "Every optimizer diverged on every seed: use smaller learning rates."
    found = Findings(summaries, compared.base.epochs)
    one, other = found.question
    said, told = [], set()
    if len(alive) == 1:
        said.append(_only(summaries[alive[0]], names[alive[0]]))
    elif not {one, other} <= set(alive):
        dead, left = (one, other) if other in alive else (other, one)
        said.append(
            f"{names[left]} is better than {names[dead]}, which diverged on all {compared.seeds} seeds; its "
            f"final loss is {digits(summaries[left].mean().mean)}."
        )
        told.add(dead)
    else:
        said.append(_answer(found, names, one, other))
        if compared.seeds > 1 and not found.told_apart(one, other):
            said.append(_speed(found, names, one, other, target))
    if len(alive) > 1 and set(alive) != {one, other}:
        said.append(_lowest(found, names, sorted(alive, key=lambda k: summaries[k].mean().mean)))
    if (winner := found.winner) is not None and winner in controls:
        said.append(_control(summaries[winner], controls[winner]))
    said += [_fate(s, names[k]) for k, s in enumerate(summaries) if s.diverged and k not in told]
    if compared.mode == "tuned":
        said.append(_nested(found, names))
    return " ".join(part[0].upper() + part[1:] for part in said if part)


class Findings:
    """What can be said surely of a comparison: paired t-tests, adjusted by Holm over all that may be claimed.

    That is, of each pair of rivals, that one has the lower final loss; and of the pair that the comparison
    asks about, that one is sooner at or below the target for good. One or more false claims come in at most
    5 % of all comparisons; half of that goes to the final loss of the pair that is asked about.

    Args:
        rivals: One for each rival, in their order.
        epochs: Of each run; a seed that never comes to the target for good counts as one epoch later.
    """

    def __init__(self, rivals: Sequence[Summary], epochs: int) -> None:
        self.rivals, self.epochs = rivals, epochs

    @cached_property
    def _sides(self) -> tuple[list[int], list[int]]:
        """Whom the comparison asks about: SGD and momentum, or the baseline and all others."""
        rules = [s.rule for s in self.rivals]
        plain, heavy, nesterov = (
            [k for k, rule in enumerate(rules) if isinstance(rule, kind)]
            for kind in (SGD, Momentum, Nesterov)
        )
        if plain and (heavy or nesterov):
            return plain, heavy or nesterov
        return [0], list(range(1, len(rules)))

    @cached_property
    def question(self) -> tuple[int, int]:
        """The two rivals that the comparison asks about, the lowest on average of either side."""
        mean = [s.mean().mean for s in self.rivals]
        one, other = (
            min(side, key=lambda k: np.inf if np.isnan(mean[k]) else mean[k]) for side in self._sides
        )
        return one, other

    @cached_property
    def _weights(self) -> dict[tuple[str, int, int], float]:
        """Each claim, by measure and the two rivals, and its part of the error rate."""
        pairs = list(itertools.combinations(range(len(self.rivals)), 2))
        asked = [(min(a, b), max(a, b)) for a in self._sides[0] for b in self._sides[1]]
        others = [pair for pair in pairs if pair not in asked]
        parts = (("final", asked, QUESTION), ("final", others, OTHERS), ("lasting", asked, TIMES))
        return {(what, *pair): part / len(of) for what, of, part in parts for pair in of}

    @cached_property
    def _p(self) -> dict[tuple[str, int, int], float]:
        p = [p_value(self.apart(*claim)) for claim in self._weights]
        return dict(zip(self._weights, holm(p, list(self._weights.values())).tolist(), strict=True))

    def apart(self, what: str, a: int, b: int) -> np.ndarray:
        """What two rivals differ by on each seed, (n,): in the logarithm of the loss, or in epochs."""
        one, other = self.rivals[a], self.rivals[b]
        if what == "final":
            return differences(one.final, other.final, log=True)
        late = self.epochs + 1.0
        apart: np.ndarray = np.nan_to_num(one.lasting, nan=late) - np.nan_to_num(other.lasting, nan=late)
        return apart

    def below(self, a: int, b: int, what: str = "final") -> bool:
        """Whether a has surely the lower loss, or is surely sooner for good, and by what counts."""
        if self._p[(what, min(a, b), max(a, b))] >= 1 - CONFIDENCE:
            return False
        return -float(self.apart(what, a, b).mean()) > (-np.log(1 - LEVEL) if what == "final" else EPOCH)

    def told_apart(self, a: int, b: int) -> bool:
        """Whether one of the two has surely the lower final loss."""
        return self.below(a, b) or self.below(b, a)

    @cached_property
    def winner(self) -> int | None:
        """The one of the two asked about that is surely lower, or else the one that is surely sooner."""
        pairs = [self.question, self.question[::-1]]
        lower = [a for a, b in pairs if self.below(a, b)]
        return next(iter(lower or [a for a, b in pairs if self.below(a, b, "lasting")]), None)

    def needed(self, a: int, b: int) -> str:
        """How many seeds would make the difference of two losses sure, if it is real."""
        share = self._weights[("final", min(a, b), max(a, b))] / sum(self._weights.values())
        count = seeds_needed(self.apart("final", a, b), share, most := int(SEEDS.high))
        return f"about {count} seeds" if count else f"more than {most} seeds"


def _names(summaries: Sequence[Summary]) -> list[str]:
    """Titles of the rules, with their numbers where two rivals follow the same rule."""
    titles = [s.rule.title for s in summaries]
    return [_long_name(s) if titles.count(t) > 1 else t for s, t in zip(summaries, titles, strict=True)]


def _long_name(summary: Summary) -> str:
    rule = summary.rule
    word = rule.momentum_name
    numbers = f"η {digits(rule.learning_rate)}" + (f", {digits(getattr(rule, word))}" if word else "")
    return f"{rule.title} ({numbers})"


def _only(summary: Summary, name: str) -> str:
    how = "has seeds that did not diverge" if summary.diverged else "did not diverge"
    return f"Only {name} {how}: final loss {digits(summary.mean().mean)}."


def _answer(found: Findings, names: list[str], one: int, other: int) -> str:
    """Which of the two that the comparison asks about is better, by how much, how surely."""
    low, high = sorted((one, other), key=lambda k: found.rivals[k].mean().mean)
    losses = f"final loss {_loss(found, low)} against {_loss(found, high)}"
    ratio = found.rivals[high].against(found.rivals[low])
    if ratio.n < 2:
        few = "One seed gives" if found.rivals[low].seeds == 1 else "Fewer than two seeds of both give"
        return (
            f"{names[low]} ended lower than {names[high]}: {losses}. {few} no interval: use {SEEDS.default}."
        )
    apart = f"{losses}, {_higher(ratio)} over {ratio.n} seeds"
    if found.told_apart(low, high):
        return f"{names[low]} is surely better than {names[high]}: {apart}."
    pair = f"{names[one]} and {names[other]}"
    if ratio.mean <= 1 + LEVEL and max(ratio.high, 1 / ratio.low) <= 1 + ALIKE:
        return f"{pair} end alike: {apart}."
    needed = found.needed(low, high)
    return (
        f"{pair} cannot be told apart: {apart}. It would take {needed} to be sure of a difference this large."
    )


def _loss(found: Findings, k: int) -> str:
    return digits(found.rivals[k].mean().mean)


def _higher(ratio: Estimate) -> str:
    """By how much one loss is above another, with the interval."""
    if ratio.high >= 2 or ratio.low <= 0.5:
        ends = f"{digits(ratio.low)} to {digits(ratio.high)}"
        return f"{digits(ratio.mean)} times as high (95 % interval {ends})"
    mean, low, high = (100 * (value - 1) for value in ratio[:3])
    way = "higher" if mean > 0 else "lower"
    return f"{abs(mean):.2g} % {way} (95 % interval {low:+.2g} to {high:+.2g} %)"


def _speed(found: Findings, names: list[str], one: int, other: int, target: float) -> str:
    """Who of the two is sooner at or below the target for good."""
    aim = f"the target loss {digits(target)} for good"
    times = {k: found.rivals[k].mean("lasting") for k in (one, other)}
    told = {k: _epochs(times[k], found.rivals[k].seeds) for k in times}
    for a, b in ((one, other), (other, one)):
        if found.below(a, b, "lasting"):
            return f"{names[a]} is surely sooner at or below {aim}: {told[a]}, {names[b]} {told[b]}."
    if not any(time.n for time in times.values()):
        return f"Neither comes to {aim}."
    if any(time.n < found.rivals[one].seeds for time in times.values()):
        return ""
    return f"Both are at or below {aim} {told[one]}."


def _epochs(time: Estimate, seeds: int) -> str:
    if time.n == 0:
        return "never"
    missed = f" on {time.n} of {seeds} seeds only" if time.n < seeds else ""
    return f"in {digits(time.mean)} epochs{missed}"


def _lowest(found: Findings, names: list[str], order: Sequence[int]) -> str:
    """Who has the lowest loss of all, and who cannot be told apart from it."""
    best, *rest = order
    ended = f"{names[best]} ended lowest of all {len(found.rivals)}"
    if best not in found.question:
        ended += f" with {_loss(found, best)}"
    if found.rivals[best].seeds == 1:
        return f"{ended}."
    if not any(found.told_apart(a, b) for a, b in itertools.combinations(order, 2)):
        return f"No two of all {len(order)} can be told apart." if len(order) > 2 else ""
    ties = [names[k] for k in rest if not found.below(best, k)]
    return f"{ended}, but not surely below {_list(ties)}." if ties else f"{ended}, surely."


def _control(rival: Summary, control: Summary) -> str:
    """Whether a rival's momentum did more than lengthen its steps."""
    as_long = f"plain SGD at the same effective step (η {digits(control.rule.learning_rate)})"
    if control.diverged == 1:
        return f"{as_long} diverges: momentum is stable at a step where SGD is not."
    ratio, later = control.against(rival), control.against(rival, "lasting")
    ended = f"{as_long} ended {_higher(ratio)}"
    if ratio.low > 1 and ratio.mean > 1 + LEVEL:
        return f"{ended}: the gain is more than a longer step."
    if later.low > 0 and later.mean > EPOCH:
        ended += f" and came to the target {digits(later.mean)} epochs later"
        return f"{ended}: the gain is more than a longer step."
    return f"{ended}: the gain is the longer step, as far as can be seen."


def _fate(summary: Summary, name: str) -> str:
    lost = round(summary.diverged * summary.seeds)
    return f"{name} diverged on {'all' if lost == summary.seeds else f'{lost} of'} {summary.seeds} seeds."


def _nested(found: Findings, names: list[str]) -> str:
    """Tuned momentum includes SGD, at momentum 0, so it must not lose to it."""
    plain = [k for k, s in enumerate(found.rivals) if s.rule.linear and not s.rule.has_velocity]
    for k, summary in enumerate(found.rivals):
        if summary.rule.has_velocity and any(found.below(p, k) for p in plain):
            return (
                f"Tuned {names[k]} ended above tuned SGD, which it contains at momentum 0: its search had "
                "too few trials, so this says nothing against the optimizer."
            )
    return ""


def _list(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))
