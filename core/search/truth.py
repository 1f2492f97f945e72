"""What the surrogate is compared with: real runs on a whole grid, and other searches with the same budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.compare import measure
from core.config import Config
from core.search.objective import ceilings, outcomes
from core.search.plan import Plan
from core.search.study import Search

if TYPE_CHECKING:
    from core.engine import Training
    from core.engine.stack import Stack
    from core.history import Record

COLUMNS, ROWS = 25, 15
RIVALS = "random", "grid"


class Truth:
    """Real runs over two parameters, the others held; advanced like any training (`core.jobs`).

    Every cell trains all seeds of the plan and is scored as a trial is. Rows come in an order that spreads
    them, so that the picture fills from coarse to fine.

    Args:
        plan: The search.
        held: The values of all parameters of the space; those of x and y do not count.
        x, y: Words of the space.

    Attributes:
        x, y: (X,) and (Y,), the values of the cells; COLUMNS and ROWS of them, fewer where rounding makes
            some equal.
        scores: (Y, X), as a trial's; nan until the row has been trained.
    """

    def __init__(self, plan: Plan, held: Mapping[str, float], x: str, y: str) -> None:
        self.plan, self.held, self.words = plan, dict(held), (x, y)
        ranges = {r.word: r for r in plan.space.ranges}
        self.x, self.y = (
            np.unique([ranges[word].at((k + 0.5) / n) for k in range(n)])
            for word, n in ((x, COLUMNS), (y, ROWS))
        )
        self.scores: NDArray[np.float64] = np.full((len(self.y), len(self.x)), np.nan)
        self._order = _spread(len(self.y))
        self._made = 0
        self._training: Training | None = None
        self._lengths = [self._row_steps(row) for row in range(len(self.y))]

    @property
    def configs(self) -> list[Config]:
        """Of the row that goes on; of one cell before the first."""
        return self._training.configs if self._training else self._configs(0)[:1]

    @property
    def active(self) -> bool:
        """Whether any row is left."""
        return bool(self._order)

    @property
    def steps(self) -> int:
        """Updates of all runs, counted once for each row and cell."""
        return sum(self._lengths)

    @property
    def done(self) -> int:
        """The share of `steps` that has been made."""
        training = self._training
        if training is None or not self._order:
            return self._made
        return self._made + self._lengths[self._order[0]] * training.done // max(training.steps, 1)

    def advance(self, steps: int | None = None) -> list[Record]:
        """Trains the row that is on for about `steps` updates, all its runs together."""
        if not self._order:
            return []
        row = self._order[0]
        if self._training is None:
            from core.engine import Training

            self._training = Training(self._configs(row))
        if self._training.active:
            self._training.advance(
                None if steps is None else max(1, steps // (len(self.x) * self.plan.seeds))
            )
        if not self._training.active:
            seeds = self.plan.seeds
            measures = measure(self._training, len(self.x), seeds, self.plan.config.epochs)
            ended = outcomes(measures, ceilings(self._training, seeds), not self.plan.exact)
            self.scores[row] = [o.scores.mean() for o in ended]
            self._made += self._lengths[row]
            self._order, self._training = self._order[1:], None
        return []

    def place(self, run: int) -> tuple[Stack, int]:
        """The stack and seat of a run of the row that goes on.

        Raises:
            ValueError: No row is being trained.
        """
        if self._training is None:
            raise ValueError("No row is being trained now.")
        return self._training.place(run)

    def _configs(self, row: int) -> list[Config]:
        x, y = self.words
        cells = [self.held | {x: float(v), y: float(self.y[row])} for v in self.x]
        return [config for cell in cells for config in self.plan.configs(cell)]

    def _row_steps(self, row: int) -> int:
        return sum(config.steps for config in self._configs(row))


def _spread(count: int) -> list[int]:
    """The numbers below `count`, each half way between those before it."""
    order: list[int] = []
    stride = 1 << max(count - 1, 1).bit_length()
    while stride:
        order += [k for k in range(stride // 2, count, stride) if k not in order]
        stride //= 2
    return order + [k for k in range(count) if k not in order]


class Beside:
    """Random and grid search with the budget of another search, one after the other; see `Search`.

    Args:
        plan: Of the search that they are compared with.

    Attributes:
        searches: By the name of their sampler.
    """

    def __init__(self, plan: Plan) -> None:
        self.searches = {name: Search(replace(plan, sampler=name)) for name in RIVALS}

    @property
    def configs(self) -> list[Config]:
        """Of the runs that go on now."""
        return [config for search in self.searches.values() for config in search.configs]

    @property
    def active(self) -> bool:
        """Whether either is left."""
        return any(search.active for search in self.searches.values())

    @property
    def steps(self) -> int:
        """About how many updates there are in all."""
        return sum(search.steps for search in self.searches.values())

    @property
    def done(self) -> int:
        """Updates made so far."""
        return sum(search.done for search in self.searches.values())

    def advance(self, steps: int | None = None) -> list[Record]:
        """As `Search.advance`, of the first that is not over."""
        now = next((search for search in self.searches.values() if search.active), None)
        return now.advance(steps) if now else []

    def place(self, run: int) -> tuple[Stack, int]:
        """The stack and seat of a run of the search that goes on.

        Raises:
            ValueError: No round is being trained.
        """
        now = next((search for search in self.searches.values() if search.active), None)
        if now is None:
            raise ValueError("No round is being trained now.")
        return now.place(run)
