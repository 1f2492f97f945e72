"""The map of learning rate and momentum: what is predicted before any training, and what real runs do.

A map is of plain heavy ball, or of Nesterov where the config's rule is that: dampening, weight decay and
schedules are off, so that what is measured is what is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import Config
from core.history import DIVERGED, FINISHED, Record
from core.limit import SAFE
from core.optimizers import LEARNING_RATE, Momentum, Nesterov, Optimizer
from core.registry import Interval
from core.schedules import Constant, MomentumConstant
from core.sharpness import config_moments, least_squares
from core.stability import full_batch_limit, growth_rate, learning_rate_limits

if TYPE_CHECKING:
    from core.engine import Training
    from core.engine.stack import Stack

Array = NDArray[np.float64]

UNSAFE = 2.0  # times the limit: nearly all runs diverge above it, as none does below `SAFE`
HIGHEST = 0.99  # momentum of a map's last row
SPAN = 0.02, 5.0  # of the smallest and the largest limit: the ends of a map's learning rates
STRIDES = 8, 4, 2, 1  # a map is measured in rounds, from every 8th cell to all
SIZE = Interval("", 32, 2, 64, integer=True, help="Cells along each side of the map.")
BANDS = "safe", "amber", "unsafe"


class NoMap(ValueError):
    """A problem that no map can be drawn of; the text says why and what would help."""


@dataclass(frozen=True, eq=False)
class Axes:
    """The grid of a map: L learning rates by M momenta.

    Attributes:
        learning_rates: (L,), rising, evenly in their logarithm.
        momenta: (M,), rising from 0, evenly in log(1 - momentum).
    """

    learning_rates: Array
    momenta: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(M, L), the shape of everything on the grid."""
        return len(self.momenta), len(self.learning_rates)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a map says before any training.

    Attributes:
        axes: The grid.
        growth: (M, L), the factor by which the error of the weights moves per step in the long run, below 1
            where training holds; where `exact` is false, along the steepest direction only.
        limit: (M,), the learning rate above which it grows.
        full_batch: The ceilings (M,) with every row in each batch, by rule: "sgd", "momentum", "nesterov".
        exact: True for linear least squares. Otherwise growth and limit come from the curvature at the
            first weights, and how it varies from row to row there: local, and moving in training.
    """

    axes: Axes
    growth: Array
    limit: Array
    full_batch: Mapping[str, Array]
    exact: bool

    @property
    def ratio(self) -> Array:
        """(M, L), each learning rate as a multiple of its limit."""
        ratio: Array = self.axes.learning_rates / self.limit[:, None]
        return ratio

    @property
    def bands(self) -> NDArray[np.str_]:
        """(M, L), the band of every cell."""
        return np.array(BANDS)[np.digitize(self.ratio, [SAFE, UNSAFE])]


def band(ratio: float) -> str:
    """The band of a learning rate that is `ratio` times its limit: "safe", "amber" or "unsafe"."""
    return BANDS[int(np.digitize(ratio, [SAFE, UNSAFE]))]


def is_nesterov(config: Config) -> bool:
    """Whether the maps of a config are of Nesterov's rule; of heavy ball they are for every other rule."""
    return config.optimizer.nesterov


def rule(config: Config, learning_rate: float, momentum: float) -> Optimizer:
    """The rule of one cell."""
    kind = Nesterov if is_nesterov(config) else Momentum
    return kind(learning_rate=float(learning_rate), momentum=float(momentum))


def with_rule(config: Config, learning_rate: float, momentum: float) -> Config:
    """The config of one cell: the same problem with the plain rule, and nothing scheduled."""
    return replace(
        config,
        optimizer=rule(config, learning_rate, momentum),
        schedule=Constant(),
        momentum_schedule=MomentumConstant(),
    )


def limits(config: Config, momenta: Array, nesterov: bool | None = None) -> Array:
    """The largest learning rate that holds for each momentum, (M,), for a config's data, model and batches.

    Raises:
        NoCurvature, NotATable: See `core.sharpness.config_moments`.
    """
    nesterov = is_nesterov(config) if nesterov is None else nesterov
    found = learning_rate_limits(config_moments(config), [config.batch_size], momenta, nesterov)
    return np.asarray(found[:, 0])


def axes(config: Config, size: int = SIZE.default) -> Axes:  # type: ignore[assignment]
    """The learning rates and momenta that matter for this data, model and batch size.

    The rates reach from 0.02 times the smallest limit over the momenta to 5 times the largest.

    Raises:
        NoMap: No rate that can be set is small enough, as with unscaled columns of millions.
        NoCurvature, NotATable: See `limits`.
        OutOfRange: `size` is not in [2, 64].
    """
    size = int(SIZE.check("size", size))
    momenta = 1.0 - np.geomspace(1.0, 1.0 - HIGHEST, size)
    found = limits(config, momenta)
    low, high = SPAN[0] * float(found.min()), SPAN[1] * float(found.max())
    if high < 2.0 * LEARNING_RATE.low or low > LEARNING_RATE.high / 2.0:
        raise NoMap(
            f"learning_rate would have to be about {found.max():.1g} here, but it must be in "
            f"[{LEARNING_RATE.low:g}, {LEARNING_RATE.high:g}]: standardise the columns."
        )
    low, high = max(low, LEARNING_RATE.low), min(high, LEARNING_RATE.high)
    return Axes(np.clip(np.geomspace(low, high, size), low, high), momenta)


def predict(config: Config, axes: Axes, nesterov: bool | None = None) -> Prediction:
    """The whole map from the data alone, before any training.

    Args:
        config: The problem; of its rule only whether it is Nesterov's counts.
        axes: The grid.
        nesterov: The rule of the map, when it should not be the config's.

    Raises:
        NoCurvature, NotATable: See `limits`.
    """
    nesterov = is_nesterov(config) if nesterov is None else nesterov
    known, momenta = config_moments(config), axes.momenta
    growth = growth_rate(known, axes.learning_rates, momenta, config.batch_size, nesterov)
    rules = {"sgd": (0.0 * momenta, False), "momentum": (momenta, False), "nesterov": (momenta, True)}
    full_batch = {name: _ceilings(known.largest, *of) for name, of in rules.items()}
    limit = limits(config, momenta, nesterov)
    return Prediction(axes, growth, limit, full_batch, least_squares(config))


def _ceilings(largest: float, momenta: Array, nesterov: bool) -> Array:
    return np.array([full_batch_limit(largest, float(m), nesterov) for m in momenta])


def level(shape: tuple[int, int]) -> NDArray[np.intp]:
    """(M, L), the widest stride of STRIDES on whose grid each cell lies: the round that trains it."""
    row, column = np.indices(shape)
    on = [(row % s == 0) & (column % s == 0) for s in STRIDES]
    return np.select(on, STRIDES)


class Map:
    """Real runs of a config's model and data on every cell of a grid, from coarse to fine; see `core.jobs`.

    It is advanced by one thread and may be read by any other. Cells are numbered row by row: cell m L + l
    has momentum m and learning rate l. All share one seed: split, first weights and batches.

    Args:
        config: The problem, and how many epochs every cell trains.
        axes: The grid; `axes(config)` when None.
        target: The loss whose first epoch is kept in `epochs_to`; nothing is when None.

    Attributes:
        configs: One for each cell, in their order.
        first: The loss before training, which is the same for all cells; nan until the first round.
        loss: (M, L), the last validation loss, or training loss where nothing is kept for validation; nan
            where it is not known yet and where the run diverged.
        diverged: (M, L), whether the run diverged.
        epochs_to: (M, L), the first epoch at or below the target; nan where there was none.
    """

    def __init__(self, config: Config, axes: Axes | None = None, target: float | None = None) -> None:
        self.config, self.target = config, target
        self.axes = axes if axes is not None else _axes(config)
        shape = self.axes.shape
        self.loss, self.epochs_to = np.full(shape, np.nan), np.full(shape, np.nan)
        self.diverged = np.zeros(shape, dtype=bool)
        self.first = float("nan")
        self.configs = [
            with_rule(config, rate, momentum)
            for momentum in self.axes.momenta
            for rate in self.axes.learning_rates
        ]
        self._rounds = _rounds(shape)
        self._training: Training | None = None
        self._cells = np.empty(0, dtype=np.intp)
        self._over = 0  # cells of the rounds that have ended

    @property
    def active(self) -> bool:
        """Whether any cell is left to train."""
        return self._over < len(self.configs)

    @property
    def steps(self) -> int:
        """Updates of all cells together; those that diverge make fewer."""
        return len(self.configs) * self.config.steps

    @property
    def done(self) -> int:
        """Updates made so far, or no longer needed because their cell has diverged."""
        made = self._over * self.config.steps
        if self._training is None:
            return made
        stacks = self._training.stacks
        return made + sum(len(s.configs) * (s.step if s.active else self.config.steps) for s in stacks)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """(M, L), whether a cell's run has ended."""
        known: NDArray[np.bool_] = np.isfinite(self.loss) | self.diverged
        return known

    def advance(self, steps: int | None = None) -> list[Record]:
        """Makes about `steps` updates, all cells together, at most to the end of an epoch."""
        if not self.active:
            return []
        training = self._training or self._begin()
        runs = -(-len(self._cells) // len(training.stacks))
        records = training.advance(None if steps is None else max(1, steps // runs))
        for record in records:
            if record.status in (FINISHED, DIVERGED):
                self._keep(training, record)
        if not training.active:
            self._training, self._over = None, self._over + len(self._cells)
        return [r._replace(run=int(self._cells[r.run])) for r in records]

    def place(self, run: int) -> tuple[Stack, int]:
        """The stack and seat of a cell of the round that is on.

        Raises:
            ValueError: The cell is not being trained now.
        """
        training, cells = self._training, self._cells.tolist()
        if training is None or run not in cells:
            raise ValueError(f"Cell {run} is not being trained now: only its result is kept.")
        return training.place(cells.index(run))

    def filled(self) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Loss, diverged and measured (M, L); cells not yet measured show a coarser neighbour's result."""
        loss, diverged, own = self.loss.copy(), self.diverged.copy(), self.measured
        known = own.copy()
        row, column = np.indices(self.axes.shape)
        for stride in reversed(STRIDES):
            at = row // stride * stride, column // stride * stride
            new = ~known & own[at]
            loss[new], diverged[new] = loss[at][new], diverged[at][new]
            known |= new
        return loss, diverged, own

    def table(self) -> pd.DataFrame:
        """One row for each cell measured: cell, learning_rate, momentum, loss, diverged, epochs_to."""
        cells = np.flatnonzero(self.measured)
        row, column = np.unravel_index(cells, self.axes.shape)
        columns = {
            "cell": cells,
            "learning_rate": self.axes.learning_rates[column],
            "momentum": self.axes.momenta[row],
        }
        results = {name: getattr(self, name).ravel()[cells] for name in ("loss", "diverged", "epochs_to")}
        return pd.DataFrame(columns | results)

    def _begin(self) -> Training:
        from core.engine import Training

        self._cells = self._rounds.pop(0)
        self._training = Training([self.configs[cell] for cell in self._cells])
        if np.isnan(self.first):
            begun = self._training.records(0)[0]
            self.first = begun.train_loss if np.isnan(begun.valid_loss) else begun.valid_loss
        return self._training

    def _keep(self, training: Training, record: Record) -> None:
        at = np.unravel_index(self._cells[record.run], self.axes.shape)
        if record.status == DIVERGED:
            self.diverged[at] = True
            return
        judged = 0 if np.isnan(record.valid_loss) else 1
        if self.target is not None:
            stack, seat = training.place(record.run)
            reached = np.flatnonzero(stack.history.scores[seat, :, judged] <= self.target)
            self.epochs_to[at] = reached[0] if len(reached) else np.nan
        self.loss[at] = record.valid_loss if judged else record.train_loss


def _rounds(shape: tuple[int, int]) -> list[NDArray[np.intp]]:
    """The cells of each round; the last and largest is cut in three that are spread evenly."""
    of_round, (row, column) = level(shape).ravel(), (i.ravel() for i in np.indices(shape))
    rounds = [np.flatnonzero(of_round == stride) for stride in STRIDES[:-1]]
    last = of_round == STRIDES[-1]
    parts = [(row % 2 == 0) & last, (column % 2 == 0) & last, (row % 2 == 1) & (column % 2 == 1)]
    return [cells for cells in (*rounds, *(np.flatnonzero(part) for part in parts)) if len(cells)]


_axes = lru_cache(maxsize=32)(axes)


def drawn(prediction: Prediction, measured: Map | None = None) -> pd.DataFrame:
    """The table that a map is drawn from: a row for each cell, then the points of the lines.

    Momentum is placed at -log10(1 - momentum). Lines, by `line`: 0 the limit, 1 and 2 its 0.7 and 2 fold,
    3 to 5 the full-batch ceilings of heavy ball, SGD and Nesterov, from 6 on equal effective steps.
    """
    axes = prediction.axes
    rates, heights = _edges(np.log(axes.learning_rates)), _edges(-np.log10(1.0 - axes.momenta))
    row, column = (i.ravel() for i in np.indices(axes.shape))
    cells = {
        "rate": axes.learning_rates[column],
        "momentum": axes.momenta[row],
        "x1": np.exp(rates[column]),
        "x2": np.exp(rates[column + 1]),
        "y1": heights[row],
        "y2": heights[row + 1],
        "growth": prediction.growth.ravel(),
    }
    if measured is not None:
        own, diverged = measured.measured.ravel(), measured.diverged.ravel()
        cells["loss"] = np.where(diverged, np.nan, measured.loss.ravel())
        worse = np.where(measured.loss.ravel() > measured.first, 2.0, 0.0)
        cells["lost"] = np.where(own, np.where(diverged, 1.0, worse), np.nan)
        cells["epochs"] = measured.epochs_to.ravel()
    limit, full = prediction.limit, prediction.full_batch
    lines = [limit, SAFE * limit, UNSAFE * limit, full["momentum"], full["sgd"], full["nesterov"]]
    low, high = np.log10(axes.learning_rates[[0, -1]])
    steps = 10.0 ** np.arange(np.ceil(low), np.floor(high - np.log10(1.0 - axes.momenta[-1])) + 1)
    lines += [step * (1.0 - axes.momenta) for step in steps]
    heights = -np.log10(1.0 - axes.momenta)
    points = [pd.DataFrame({"line": k, "line_x": line, "line_y": heights}) for k, line in enumerate(lines)]
    along = pd.concat(points)
    along = along[along["line_x"].between(axes.learning_rates[0], axes.learning_rates[-1])]
    table = pd.concat([pd.DataFrame(cells), along], ignore_index=True)
    columns = ["rate", "momentum", "x1", "x2", "y1", "y2", "growth", "loss", "lost", "epochs"]
    return table.reindex(columns=[*columns, "line", "line_x", "line_y"]).astype("float32")


def _edges(centres: Array) -> Array:
    """The edges of cells around evenly spaced centres, one more than there are centres."""
    half = (centres[1] - centres[0]) / 2.0
    return np.append(centres - half, centres[-1] + half)
