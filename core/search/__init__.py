"""Bayesian search over the numbers of a config: ask a round, train it as one, tell it.

`Space` and `Plan` say what is searched and are light; everything that needs Optuna is loaded when it is used.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from core.config import Config
from core.search.plan import SAMPLERS, BadPlan, Plan
from core.search.space import BadSpace, Range, Space

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SAMPLERS", "BadPlan", "BadSpace", "Plan", "Range", "Result", "Space", "search"]


@dataclass(frozen=True, eq=False)
class Result:
    """What a search has found.

    Attributes:
        best: The setting to take, as a config with the seed that the search was given.
        trials: One row for each trial; see `core.search.trials.table`.
        verdict: The same in plain sentences.
    """

    best: Config
    trials: pd.DataFrame
    verdict: str


def search(
    config: Config,
    space: Space | None = None,
    trials: int = 20,
    seeds: int = 4,
    batch: int = 4,
    sampler: str = "bayesian",
    storage: str | None = None,
    *,
    seed: int = 0,
    exact: bool = False,
    name: str | None = None,
) -> Result:
    """Searches learning rate, batch size, momentum and what else the space names, to the end.

    Args:
        config: The problem and the rule; what is not searched stays as it is.
        space: What is searched; `core.search.space.usual` of the config when None.
        trials: Settings that are tried.
        seeds: Runs of each, the same seeds for all.
        batch: Settings asked for, and trained, at once.
        sampler: A key of SAMPLERS.
        storage: A database URL. Then the study is kept there under `name`, workers on other machines may
            join, and a study of that name goes on; in memory when None.
        seed: Where the sampler's randomness comes from; a study that is there keeps its own.
        exact: As the tuning tutorial does it; see `Plan`.
        name: Of the study in the storage.

    Raises:
        BadPlan, BadSpace, OutOfRange, UnknownName: Something that cannot be, or no setting that holds.
        BadStorage: The storage does not answer.
    """
    from core.search.ending import verdict
    from core.search.study import Search

    plan = Plan(config, Space() if space is None else space, trials, seeds, batch, sampler, seed, exact)
    _check_text("storage", storage, "the address of a database, such as sqlite:///lab.db,")
    _check_text("name", name, "the name of a study")
    study = None
    if storage is not None:
        from core.search.shared import finish

        study = finish(plan, storage, name)
    found = Search(plan, study)
    while found.active:
        found.advance()
    frame = found.table()
    return Result(found.best, frame, verdict(plan, frame, found.checks))


def _check_text(argument: str, given: object, good: str) -> None:
    if not (given is None or isinstance(given, str)):
        raise BadPlan(f"{argument} must be {good} or None, got {given!r}.")


class _Search(ModuleType):
    """This module, which is also the public function `core.search`: one name for both."""

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        return search(*args, **kwargs)


_Search.__call__.__doc__ = search.__doc__
sys.modules[__name__].__class__ = _Search
