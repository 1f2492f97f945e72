"""What a search is: a frozen value, written into the study so that any machine can go on with it.

And what it tries first, which follows from that value alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, pairwise, product
from numbers import Integral
from typing import Any

import numpy as np

from core.config import Config
from core.datasets import DATASETS, Dataset
from core.registry import Choice, Flag, Interval, OutOfRange
from core.search.space import Range, Ranges, Space
from core.seeds import seeds_from

SAMPLERS = {
    "bayesian": "Bayesian",
    "gp": "Optuna's GP",
    "tpe": "TPE",
    "sobol": "Sobol",
    "random": "Random",
    "grid": "Grid",
}
TRIALS = Interval(
    "n", 20, 1, 1000, integer=True, help="Settings to evaluate: more give the search more to learn from."
)
SEEDS = Interval(
    "k", 4, 1, 16, integer=True, help="Runs of each trial: more seeds make its mean loss less noisy."
)
BATCH = Interval("q", 4, 1, 16, integer=True, help="Trials suggested together and trained at once.")
SAMPLER = Choice(tuple(SAMPLERS), "bayesian", "What suggests the next trial.")
EXACT = Flag(
    False, "Linear scales, one seed, one trial at a time and the plain loss, as in the tuning tutorial."
)
LAST_SEED = 2**31 - 1  # of a search
STARTS = 5  # settings tried before the model is asked
APART = 5000  # the seeds of the final check begin so far behind those of the search
FRESH = 8  # the best are checked on so many seeds
AMPLE = 64  # points of a sequence that are looked at for each setting that is new
CHOICES = 100_000  # values of one number that are told apart where a grid's could fall together

Runs = tuple[float, ...]  # what tells the runs of one setting from those of another


class BadPlan(ValueError):
    """A search that cannot be; the text says why and what would be good."""


@dataclass(frozen=True)
class Plan:
    """What is searched, and how.

    Attributes:
        config: The problem and the rule; what is not searched stays as it is here.
        space: What is searched; the usual space of the config where it has no ranges.
        trials: Settings that are tried.
        seeds: Runs of each setting, with the seeds from config.seed on: the same for all settings.
        batch: Settings that are asked for at once.
        sampler: A key of SAMPLERS.
        seed: Where the sampler's own randomness comes from, from 0 to LAST_SEED.
        exact: As the tuning tutorial does it: linear scales, whole batch sizes, one seed, one setting at a
            time, the plain loss instead of its logarithm, plain expected improvement.

    Raises:
        BadPlan, BadSpace, OutOfRange, UnknownName: Something that cannot be.
    """

    config: Config
    space: Space = Space()
    trials: int = TRIALS.default  # type: ignore[assignment]
    seeds: int = SEEDS.default  # type: ignore[assignment]
    batch: int = BATCH.default  # type: ignore[assignment]
    sampler: str = "bayesian"
    seed: int = 0
    exact: bool = False

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_seeds()
        records: dict[str, Any] = {"trials": TRIALS, "seeds": SEEDS, "batch": BATCH, "sampler": SAMPLER}
        fixed = {"seeds": 1, "batch": 1} if self.exact else {}
        for name, record in records.items():
            object.__setattr__(self, name, record.check(name, fixed.get(name, getattr(self, name))))
        space = self.space.of(self.config)
        object.__setattr__(self, "space", space.linear() if self.exact else space)

    def _check_kinds(self) -> None:
        if not isinstance(self.config, Config):
            raise BadPlan(f"config must be a Config, such as Config(), got {reprlib.repr(self.config)}.")
        if not isinstance(self.space, Space):
            good = "a Space, such as Space(learning_rate=(0.001, 0.1))"
            raise BadPlan(f"space must be {good}, got {reprlib.repr(self.space)}.")
        EXACT.check("exact", self.exact)

    def _check_seeds(self) -> None:
        """Passes if the search has a seed, and the final check room for its seeds behind the config's."""
        whole = isinstance(self.seed, Integral) and not isinstance(self.seed, bool)
        if not (whole and 0 <= self.seed <= LAST_SEED):
            good = f"a whole number from 0 to {LAST_SEED}"
            raise OutOfRange(f"seed must be {good}, got {reprlib.repr(self.seed)}.")
        object.__setattr__(self, "seed", int(self.seed))
        _ = self.fresh_seeds

    @property
    def fresh_seeds(self) -> range:
        """The seeds on which the best are tried again; no setting was chosen by them."""
        return seeds_from(self.config.seed, FRESH, APART, "the best can be evaluated on fresh seeds")

    @property
    def starts(self) -> int:
        """Settings that are queued before the sampler is asked."""
        if self.sampler in ("sobol", "grid"):
            return self.trials
        return 0 if self.sampler == "random" else min(STARTS, self.trials)

    @cached_property
    def searched(self) -> Space:
        """The space with batch sizes up to the training rows: beyond, all are the same full batch."""
        rows = self.config.train_rows
        longer = {r for r in self.space.ranges if r.word == "batch_size" and r.low < rows < r.high}
        return Space(*(replace(r, high=rows) if r in longer else r for r in self.space.ranges))

    def runs(self, values: Mapping[str, float]) -> Runs:
        """The same for two settings only where their runs are the same."""
        rows = self.config.train_rows
        return tuple(min(values[w], rows) if w == "batch_size" else values[w] for w in self.space.words)

    @cached_property
    def settings(self) -> list[dict[str, float]] | None:
        """All settings that make runs of their own; None where they are more than a search has trials."""
        most, lists = int(TRIALS.high), []
        for r in self.searched.ranges:
            if (known := self.values(r, most)) is None:
                return None
            lists.append(known)
        if math.prod(map(len, lists)) > most:
            return None
        return [dict(zip(self.space.words, values, strict=True)) for values in product(*lists)]

    def values(self, r: Range, most: int) -> list[float] | None:
        """The values of a range that differ in their runs, rising; None where they are more than `most`."""
        full = r.word == "batch_size" and r.low >= self.config.train_rows
        return [r.tidy(r.low)] if full else r.values(most)

    @property
    def budget(self) -> int:
        """How many trials there will be: as many as asked for, or as there are different settings."""
        return self.trials if self.settings is None else min(self.trials, len(self.settings))

    @property
    def spent(self) -> str:
        """The sentence that no setting is left to try; only where `settings` are known."""
        count = len(self.settings or ())
        only = f"all {count} different settings" if count > 1 else "the only setting"
        return f"The search has tried {only} of its ranges: extend a range to try more."

    @property
    def updates(self) -> int:
        """About how many updates the whole search makes."""
        sizes = next((r for r in self.searched.ranges if r.word == "batch_size"), None)
        units = [(k + 0.5) / 16 for k in range(16)] if sizes else []
        batches = [int(sizes.at(u)) for u in units] if sizes else [self.config.batch_size]
        steps = [replace(self.config, batch_size=b).steps for b in batches]
        return round(self.budget * self.seeds * sum(steps) / len(steps))

    def configs(self, values: Mapping[str, float], on: Sequence[int] = ()) -> list[Config]:
        """One config for each seed of a trial; of these seeds, or by default of the plan's own."""
        config = self.space.config(self.config, values)
        return [replace(config, seed=seed) for seed in on or seeds_from(self.config.seed, self.seeds)]


def same(one: Plan, other: Plan) -> bool:
    """Whether two plans are the same search, however long it is.

    What their configs have for the numbers that are searched does not count: a search only begins there.
    """
    return _searched(replace(one, trials=other.trials)) == _searched(other)


def moved(one: Plan, other: Plan) -> bool:
    """Whether only the ends of the ranges differ, so that what was tried in one counts in the other."""
    return (
        one.space != other.space
        and set(one.space.words) == set(other.space.words)
        and same(replace(one, space=other.space), other)
    )


def _searched(plan: Plan) -> Plan:
    """A plan whose config has the same values for what is searched as any other."""
    space = plan.space
    return replace(plan, config=space.config(plan.config, space.at([0.5] * len(space.words))))


def starts(plan: Plan) -> list[tuple[str, dict[str, float]]]:
    """The settings that are queued first, each with its kind; no two of them make the same runs.

    For the samplers with a model: what the config has, or what is nearest to it in the ranges, then a Sobol
    sequence; all of a Sobol sequence or of a grid for the samplers of that name; none for random search.
    """
    if plan.sampler == "grid":
        return [("start", values) for values in grid(plan)]
    if not plan.starts:
        return []
    if plan.sampler == "sobol" or plan.exact:
        return [("start", values) for values in sequence(plan, plan.starts)]
    here = all(r.holds(getattr(plan.config, r.word)) for r in plan.space.ranges)
    first = plan.space.values(plan.config)
    rest = sequence(plan, plan.starts - 1, {plan.runs(first)})
    return [("default" if here else "nearest", first), *(("start", values) for values in rest)]


def sequence(plan: Plan, count: int, tried: Collection[Runs] = (), first: int = 0) -> list[dict[str, float]]:
    """Settings of the plan's Sobol sequence whose runs are new: `count`, or as many as there are.

    Args:
        plan: Of the search.
        count: How many are wanted.
        tried: The runs that are known.
        first: Where the sequence begins.
    """
    points = sobol(len(plan.space.ranges), AMPLE * count, plan.seed, first)
    return new(plan, chain(map(plan.searched.at, points), plan.settings or ()), tried, count)


def new(
    plan: Plan, settings: Iterable[dict[str, float]], tried: Collection[Runs], count: int
) -> list[dict[str, float]]:
    """The first `count` of some settings whose runs are neither `tried` nor those of one before."""
    found: dict[Runs, dict[str, float]] = {}
    for values in settings:
        if len(found) == count:
            break
        if (runs := plan.runs(values)) not in tried:
            found.setdefault(runs, values)
    return list(found.values())


def sobol(dimensions: int, count: int, seed: int, first: int = 0) -> Any:
    """Points of a scrambled Sobol sequence, (count, dimensions), from the one numbered `first` on.

    References:
        A. B. Owen, "Scrambling Sobol' and Niederreiter-Xing points", 1998.
    """
    from torch.quasirandom import SobolEngine

    if count == 0:
        return np.empty((0, dimensions))
    engine = SobolEngine(dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    return engine.draw(first + count).double().numpy()[first:]


def grid(plan: Plan) -> list[dict[str, float]]:
    """The settings of a grid search with at most plan.trials cells, in an order of chance.

    Two values or more for as many numbers as the budget allows, then as many cells as it allows, then as
    evenly as that allows: 5 x 2 x 2 for 20 trials and three numbers, 3 x 2 x 1 for 7. Numbers that come first
    in the space get the most values, but none gets more than it has; the ends of the ranges are among them,
    and the middle where there is only one. What is left of the budget is drawn at random.
    """
    ranges = plan.searched.ranges
    known = [plan.values(r, CHOICES) for r in ranges]
    most = [plan.trials if values is None else len(values) for values in known]
    counts = _counts(plan.trials, most)
    axes = [_axis(r, n, values) for r, n, values in zip(ranges, counts, known, strict=True)]
    cells = list(product(*axes))
    chance = np.random.default_rng(plan.seed)
    return [dict(zip(plan.space.words, cells[k], strict=True)) for k in chance.permutation(len(cells))]


def _axis(r: Range, count: int, known: list[float] | None) -> list[float]:
    """`count` different values of a range, as even on its scale as can be, its ends among them."""
    if count == 1:
        return [r.at(0.5)]
    units = np.linspace(0, 1, count)
    if known is None:
        return [r.at(u) for u in units]
    places = np.searchsorted([(r.unit(a) + r.unit(b)) / 2 for a, b in pairwise(known)], units)
    step = np.arange(count)
    places = np.maximum.accumulate(places - step) + step  # apart, upwards; then back below the last
    places = np.minimum(places, len(known) - count + step)
    return [known[k] for k in places]


def _counts(cells: int, most: Sequence[int]) -> tuple[int, ...]:
    """How many values each number has, the most first; at most `most` of each. See `grid`."""
    able = [k for k, n in enumerate(most) if n > 1][: cells.bit_length() - 1]  # 2**len(able) <= cells
    shapes: list[tuple[int, ...]] = [()]
    for after, k in zip(reversed(range(len(able))), able, strict=True):
        shapes = [
            (*shape, n)
            for shape in shapes
            for n in range(2, min(most[k], cells, *_free(shape, able, most)) + 1)
            if math.prod(shape) * n * 2**after <= cells
        ]
    best = max(shapes, key=lambda shape: (math.prod(shape), -sum(shape)))
    given = dict(zip(able, best, strict=True))
    return tuple(given.get(k, 1) for k in range(len(most)))


def _free(shape: tuple[int, ...], able: Sequence[int], most: Sequence[int]) -> Iterator[int]:
    """The counts of a shape that could be larger: those after them are no larger."""
    return (n for n, k in zip(shape, able, strict=False) if n < most[k])


def to_words(plan: Plan) -> dict[str, str]:
    """What of a plan is not its config, as words of a link: space, trials, seeds, round, sampler, exact."""
    numbers = {"trials": plan.trials, "seeds": plan.seeds, "round": plan.batch}
    words = {"space": Ranges().text(plan.space), "sampler": plan.sampler, "exact": str(plan.exact).lower()}
    return words | {word: str(number) for word, number in numbers.items()}


def to_text(plan: Plan) -> str:
    """A plan as JSON; `from_text` reads it on any machine that has the same data.

    Raises:
        BadPlan: The data is a table of one's own, which another machine would not have.
    """
    data = plan.config.dataset
    if DATASETS.get(data.name) is None or type(DATASETS[data.name]) is not type(data):
        raise BadPlan(f"The table {data.title!r} is here only; other machines know {', '.join(DATASETS)}.")
    words: dict[str, Any] = {
        "config": plan.config.words(),
        "space": Ranges().text(plan.space),
        "data": fingerprint(data),
    }
    names = ("trials", "seeds", "batch", "sampler", "seed", "exact")
    return json.dumps(words | {name: getattr(plan, name) for name in names})


def from_text(text: str) -> Plan:
    """The plan that a study holds.

    Raises:
        BadPlan: It is no plan of this app, or of other data than this machine has.
    """
    try:
        words = json.loads(text)
        if not all(isinstance(text, str) for text in words["config"].values()):
            raise TypeError("its settings must be texts.")
        config = Config.from_query(words["config"])
        space = Ranges().parse("space", words["space"])
        names = ("trials", "seeds", "batch", "sampler", "seed", "exact")
        plan = Plan(config, space, **{name: words[name] for name in names})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadPlan(f"This study was not made by this app, or by another version of it: {error}") from None
    here = fingerprint(config.dataset)
    if words.get("data") != here:
        raise BadPlan(
            f"This study was made with other data under the name {config.dataset.name!r} "
            f"(theirs {str(words.get('data'))[:12]}, here {here})."
        )
    return plan


def fingerprint(data: Dataset) -> str:
    """Twelve letters that are the same only for the same rows."""
    digest = hashlib.sha256()
    for array in (data.features, data.targets):
        digest.update(str((array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]
