"""What a search is: a frozen value, written into the study so that any machine can go on with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.config import Config
from core.datasets import DATASETS, Dataset
from core.registry import Choice, Interval
from core.search.space import Ranges, Space

SAMPLERS = {
    "bayesian": "Bayesian",
    "gp": "Optuna's GP",
    "tpe": "TPE",
    "sobol": "Sobol",
    "random": "Random",
    "grid": "Grid",
}
TRIALS = Interval("n", 20, 1, 1000, integer=True, help="Settings that are tried.")
SEEDS = Interval(
    "k", 4, 1, 16, integer=True, help="Runs of each setting: more make it surer which one is better."
)
BATCH = Interval("q", 4, 1, 16, integer=True, help="Settings that are asked for, and trained, at once.")
SAMPLER = Choice(tuple(SAMPLERS), "bayesian", "How the next setting is chosen.")
STARTS = 5  # settings tried before the model is asked
APART = 5000  # the seeds of the final check begin so far behind those of the search


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
        seed: Where the sampler's own randomness comes from.
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
        records: dict[str, Any] = {"trials": TRIALS, "seeds": SEEDS, "batch": BATCH, "sampler": SAMPLER}
        fixed = {"seeds": 1, "batch": 1} if self.exact else {}
        for name, record in records.items():
            object.__setattr__(self, name, record.check(name, fixed.get(name, getattr(self, name))))
        space = self.space.of(self.config)
        object.__setattr__(self, "space", space.linear() if self.exact else space)

    @property
    def starts(self) -> int:
        """Settings that are queued before the sampler is asked."""
        if self.sampler in ("sobol", "grid"):
            return self.trials
        return 0 if self.sampler == "random" else min(STARTS, self.trials)

    @property
    def updates(self) -> int:
        """About how many updates the whole search makes."""
        sizes = next((r for r in self.space.ranges if r.word == "batch_size"), None)
        units = [(k + 0.5) / 16 for k in range(16)] if sizes else []
        batches = [int(sizes.at(u)) for u in units] if sizes else [self.config.batch_size]
        steps = [replace(self.config, batch_size=b).steps for b in batches]
        return round(self.trials * self.seeds * sum(steps) / len(steps))

    def configs(self, values: Mapping[str, float], first: int | None = None, seeds: int = 0) -> list[Config]:
        """One config for each seed of a trial, `seeds` of them from `first` on; by default the plan's own."""
        config = self.space.config(self.config, values)
        first = self.config.seed if first is None else first
        return [replace(config, seed=first + s) for s in range(seeds or self.seeds)]


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
        "config": plan.config.to_query(),
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
