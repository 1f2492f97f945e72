"""The space of a search: which numbers are searched, between which ends, and on which scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from core.config import Config
from core.labels import spoken
from core.registry import Interval, short

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SCALES = "log", "linear", "rest"
MOST = 6  # numbers searched at once


class BadSpace(ValueError):
    """A space that cannot be searched; the text says which number, what would be good and what came."""


class Usual(NamedTuple):
    """Where a number is usually searched: its ends and its scale."""

    low: float
    high: float
    scale: str


USUAL = {
    "learning_rate": Usual(1e-4, 0.1, "log"),
    "batch_size": Usual(1, 100, "log"),
    "momentum": Usual(0.0, 0.99, "rest"),
    "beta1": Usual(0.0, 0.99, "rest"),
    "beta2": Usual(0.9, 0.9999, "rest"),
    "alpha": Usual(0.9, 0.9999, "rest"),
    "dampening": Usual(0.0, 0.9, "linear"),
    "weight_decay": Usual(1e-6, 0.1, "log"),
    "epsilon": Usual(1e-10, 1e-2, "log"),
    "learning_rate_decay": Usual(1e-6, 0.1, "log"),
    "initial_accumulator": Usual(1e-4, 1.0, "log"),
}


@dataclass(frozen=True)
class Range:
    """The values of one number that a search may try.

    Attributes:
        word: The setting, by its word in links.
        low, high: The ends, both included.
        scale: "log", "linear", or "rest": the logarithm of 1 - value, which is finer near 1.

    Raises:
        BadSpace: The ends are no ends of that scale.
    """

    word: str
    low: float
    high: float
    scale: str = "log"

    def __post_init__(self) -> None:
        name = spoken(self.word)
        if self.scale not in SCALES:
            raise BadSpace(f"{name}: the scale must be {', '.join(SCALES)}, got {short(self.scale)!r}.")
        ends = f"got {self.low:g} to {self.high:g}"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise BadSpace(f"{name}: the ends of its range must be numbers, {ends}.")
        if self.low == self.high:
            raise BadSpace(f"{name}: its range is empty, {ends}: give two bounds, or do not search it.")
        if self.low > self.high:
            raise BadSpace(f"{name}: its range must go from the smaller to the larger, {ends}.")
        if self.scale == "log" and self.low <= 0:
            raise BadSpace(
                f"{name} is searched on a logarithmic scale, which has no {self.low:g}: "
                f"its range must begin above 0, as at {USUAL.get(self.word, Usual(1e-4, 1, 'log')).low:g}."
            )
        if self.scale == "rest" and self.high >= 1:
            raise BadSpace(
                f"{name} is searched as the logarithm of 1 - {name}: its range must end "
                f"below 1, as at 0.99, {ends}."
            )

    @property
    def integer(self) -> bool:
        """Whether only whole numbers are meant."""
        return self.word == "batch_size"

    @property
    def key(self) -> str:
        """Its name among the parameters on the scale of the search."""
        return f"one_minus_{self.word}" if self.scale == "rest" else self.word

    def unit(self, value: float) -> float:
        """Where a value lies between the ends on this scale: 0 at the low end, 1 at the high one."""
        low, high, at = self._scaled(self.low), self._scaled(self.high), self._scaled(value)
        return (at - low) / (high - low)

    def between(self, unit: float) -> float:
        """The value at a place between the ends, not rounded."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        place = low + (high - low) * min(max(unit, 0.0), 1.0)
        if self.scale == "log":
            return math.exp(place)
        return -math.expm1(-place) if self.scale == "rest" else place

    def at(self, unit: float) -> float:
        """The value at a place between the ends, rounded as `tidy` does."""
        return self.tidy(self.between(unit))

    def tidy(self, value: float) -> float:
        """A value that a person can type: four digits (of 1 - value on that scale), whole where needed."""
        value = min(max(value, self.low), self.high)
        if self.integer:
            return round(value)
        if self.scale == "rest":
            value = float(f"{1 - float(f'{1 - value:.4g}'):.8g}")
        else:
            value = float(f"{value:.4g}")
        return min(max(value, self.low), self.high)

    def raw(self, value: float) -> float:
        """A value on the scale of the search: the logarithm of this is what a model sees."""
        return 1 - value if self.scale == "rest" else float(value)

    def value(self, raw: float) -> float:
        """The value that is trained for a parameter on the scale of the search."""
        return self.tidy(1 - raw if self.scale == "rest" else raw)

    def values(self, most: int) -> list[float] | None:
        """All values that a trial may have, rising; None where they are more than `most`.

        Within four digits a short range has few, whole numbers have no others.
        """
        if self.integer:
            whole = range(math.ceil(self.low), math.floor(self.high) + 1)
            return list(whole) if len(whole) <= most else None
        if self.low <= 0 and self.scale != "rest":
            return None  # towards 0 there are ever more of four digits
        rest = self.scale == "rest"
        found, last = [self.tidy(self.low)], self.tidy(self.high)
        while found[-1] < last:
            if len(found) == most:
                return None
            found.append(self._after(1 - found[-1], down=True) if rest else self._after(found[-1]))
        return found

    def _after(self, at: float, down: bool = False) -> float:
        """The next value above one that has itself, or whose rest has, four digits or is an end."""
        step = 10.0 ** (math.floor(math.log10(at * (1 - 1e-9) if down else at * (1 + 1e-9))) - 3)
        following = (math.ceil(at / step - 1e-6) - 1 if down else math.floor(at / step + 1e-6) + 1) * step
        return self.tidy(1 - following if down else following)

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range."""
        return self.low <= value <= self.high

    def wider(self, low: bool, record: Interval) -> Range:
        """The range with its low or its high end moved outwards, as far as the setting takes.

        A decade on a logarithmic scale, also of 1 - value; the range's own width on a linear one.
        """
        if self.scale == "linear":
            ends = 2 * self.low - self.high, 2 * self.high - self.low
        elif self.scale == "log":
            ends = self.low / 10, self.high * 10
        else:
            ends = 1 - 10 * (1 - self.low), 1 - (1 - self.high) / 10
        if low:
            return replace(self, low=max(float(f"{ends[0]:.10g}"), record.low))
        return replace(self, high=min(float(f"{ends[1]:.10g}"), record.high))

    def distribution(self) -> BaseDistribution:
        """The range for Optuna, as a person reads it: the value itself, whole where needed."""
        from optuna.distributions import FloatDistribution, IntDistribution

        log = self.scale == "log"
        if self.integer:
            return IntDistribution(math.ceil(self.low), math.floor(self.high), log=log)
        return FloatDistribution(self.low, self.high, log=log)

    def searched(self, whole: bool = True) -> BaseDistribution:
        """The range on the scale of the search: 1 - value on the scale "rest", of which it takes logarithms.

        Args:
            whole: Whether whole numbers on a logarithmic scale are so; Optuna's own models are told floats
                there, with which its Gaussian process is five times as fast, and which are rounded after.
        """
        from optuna.distributions import FloatDistribution

        if self.scale == "rest":
            return FloatDistribution(1 - self.high, 1 - self.low, log=True)
        if self.integer and self.scale == "log" and not whole:
            return FloatDistribution(self.low, self.high, log=True)
        return self.distribution()

    def _scaled(self, value: float) -> float:
        if self.scale == "log":
            return math.log(value)
        return -math.log1p(-value) if self.scale == "rest" else value


@dataclass(frozen=True, init=False)
class Space:
    """The ranges of a search; without any, the usual ones of the config: see `of`.

    Space(learning_rate=(1e-4, 0.1), momentum=(0, 0.99)) searches these two on their usual scales.

    Attributes:
        ranges: One for each number that is searched.

    Raises:
        BadSpace: A range that cannot be, too many, or two of the same number.
    """

    ranges: tuple[Range, ...]

    def __init__(self, *ranges: Range, **bounds: tuple[float, float]) -> None:
        given = (*ranges, *(usual_range(word, *_ends(word, ends)) for word, ends in bounds.items()))
        words = [r.word for r in given]
        if len(given) > MOST:
            raise BadSpace(f"At most {MOST} parameters can be searched at once, got {len(given)}.")
        for word in words:
            if words.count(word) > 1:
                raise BadSpace(f"{spoken(word)} stands twice in the space.")
        object.__setattr__(self, "ranges", given)

    def __iter__(self) -> Any:
        return iter(self.ranges)

    @property
    def words(self) -> tuple[str, ...]:
        """The numbers that are searched."""
        return tuple(r.word for r in self.ranges)

    def of(self, config: Config) -> Space:
        """This space for a config; the usual one where it has no ranges.

        Raises:
            BadSpace: A number that the config's rule does not have, or an end that it does not take.
        """
        space = self if self.ranges else usual(config)
        known = numbers(config)
        for r in space.ranges:
            if r.word not in known:
                raise BadSpace(
                    f"{r.word} cannot be searched with {config.optimizer.title}; "
                    f"these can: {', '.join(known)}."
                )
            for end in (r.low, r.high):
                try:
                    known[r.word].check(spoken(r.word), end)
                except ValueError as error:
                    raise BadSpace(str(error)) from None
        return space

    def linear(self) -> Space:
        """The same ends, all on linear scales."""
        return Space(*(replace(r, scale="linear") for r in self.ranges))

    def config(self, config: Config, values: Mapping[str, float]) -> Config:
        """A config with the values of one trial; what else stands beside them does not count."""
        taken = {word: values[word] for word in self.words}
        batch = int(taken.pop("batch_size", config.batch_size))
        rule: Any = {word: float(value) for word, value in taken.items()}
        return replace(config, optimizer=replace(config.optimizer, **rule), batch_size=batch)

    def values(self, config: Config) -> dict[str, float]:
        """What a config has, moved into the ranges."""
        return {r.word: r.tidy(getattr(config, r.word)) for r in self.ranges}

    def distributions(self) -> dict[str, BaseDistribution]:
        """The space for Optuna; a trial's parameters are its values."""
        return {r.word: r.distribution() for r in self.ranges}

    def searched(self, whole: bool = True) -> dict[str, BaseDistribution]:
        """The space on the scales of the search; see `Range.searched`."""
        return {r.key: r.searched(whole) for r in self.ranges}

    def raw(self, values: Mapping[str, float]) -> dict[str, float]:
        """Values on the scales of the search."""
        return {r.key: r.raw(values[r.word]) for r in self.ranges if r.word in values}

    def read(self, params: Mapping[str, float]) -> dict[str, float]:
        """A trial's parameters as values, also those on the scales of the search; it may lack some."""
        given = {r.word: params[r.word] for r in self.ranges if r.word in params}
        raw = {r.word: r.value(params[r.key]) for r in self.ranges if r.key in params}
        return raw | {r.word: r.tidy(given[r.word]) for r in self.ranges if r.word in given}

    def at(self, units: Any) -> dict[str, float]:
        """The values at a point of the unit cube."""
        return {r.word: r.at(float(u)) for r, u in zip(self.ranges, units, strict=True)}

    def unit(self, values: Mapping[str, float]) -> list[float]:
        """The point of the unit cube at some values."""
        return [r.unit(values[r.word]) for r in self.ranges]

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether every value lies in its range."""
        return all(r.word in values and r.holds(values[r.word]) for r in self.ranges)


def numbers(config: Config) -> dict[str, Interval]:
    """What can be searched for a config: the rule's numbers and the batch size, by word."""
    rule = {k: r for k, r in config.optimizer.settings().items() if isinstance(r, Interval)}
    batch = Config.settings()["batch_size"]
    assert isinstance(batch, Interval)
    first = {"learning_rate": rule.pop("learning_rate"), "batch_size": batch}
    word = config.optimizer.momentum_name
    return first | ({word: rule.pop(word)} if word else {}) | rule


def usual(config: Config) -> Space:
    """Learning rate, batch size and, where the rule has one, momentum."""
    words = ["learning_rate", "batch_size", *filter(None, [config.optimizer.momentum_name])]
    return Space(*(usual_range(word) for word in words))


def usual_range(word: str, low: float | None = None, high: float | None = None) -> Range:
    """The range of a number on its usual scale, with other ends where they are given.

    Raises:
        BadSpace: The number is not known.
    """
    if word not in USUAL:
        raise BadSpace(f"{short(word)} cannot be searched; the parameters are {', '.join(USUAL)}.")
    known = USUAL[word]
    return Range(word, known.low if low is None else low, known.high if high is None else high, known.scale)


def _ends(word: str, ends: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        raise BadSpace(
            f"{spoken(word)}: its range must be two numbers, such as (0.001, 0.1), got {short(repr(ends))}."
        ) from None
    return low, high


@dataclass(frozen=True)
class Ranges:
    """The setting that names a space in a link: learning_rate:0.0001:0.1,momentum:0:0.99."""

    default: Space = Space()
    help: str = "The parameters that are searched, each with its range."

    def parse(self, name: str, text: str) -> Space:
        return Space(*(_range(part) for part in text.split(",") if part))

    def check(self, name: str, value: Space) -> Space:
        return value

    def text(self, value: Space) -> str:
        return ",".join(_words(r) for r in value.ranges)


def _range(text: str) -> Range:
    word, *ends = text.split(":")
    if len(ends) not in (2, 3):
        raise BadSpace(f"space must be of ranges such as learning_rate:0.0001:0.1, got {short(text)!r}.")
    r = usual_range(word, *_ends(word, ends[:2]))
    return replace(r, scale=ends[2]) if len(ends) == 3 else r


def _words(r: Range) -> str:
    words = [r.word, f"{r.low:.10g}", f"{r.high:.10g}"]
    return ":".join(words if r.word in USUAL and r.scale == USUAL[r.word].scale else [*words, r.scale])
