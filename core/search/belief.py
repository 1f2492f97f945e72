"""What a search believes: the process behind it, fitted to a table of trials and looked at from all sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import Config
from core.search.acquisition import best_value, expected_improvement
from core.search.plan import Plan
from core.search.process import Process, fit
from core.search.sampler import noise_of
from core.search.space import Range
from core.search.trials import told
from core.sharpness import config_moments
from core.stability import learning_rate_limits

Array = NDArray[np.float64]

FEWEST = 3  # trials before there is anything to believe
CELLS = 31  # along each side of a surface


def believe(frame: pd.DataFrame, plan: Plan) -> Process | None:
    """The process that is fitted to the trials of a table; None while there are fewer than three.

    It is fitted as the Bayesian sampler fits its own, whatever sampler chose the trials, but is not the very
    same model. Whole numbers stand here where they were trained; there on a logarithmic scale where they were
    asked for before rounding, which matters for the smallest, and on a linear one in a range that is half a
    step longer at each end. Of very many trials the sampler fits to the first ones and only refines.
    """
    known = told(frame)
    if len(known) < FEWEST:
        return None
    values, noise = known["score"].to_numpy(float), noise_of([list(s) for s in known["scores"]])
    return fit(units(known, plan), values, noise)


def units(frame: pd.DataFrame, plan: Plan) -> Array:
    """The settings of a table's rows as points of the unit cube, (n, d)."""
    columns = [[r.unit(v) for v in frame[r.word]] for r in plan.space.ranges]
    return np.array(columns, dtype=float).T.reshape(len(frame), len(columns))


def losses(scores: Array, plan: Plan) -> Array:
    """What is minimised, as a loss."""
    return np.asarray(scores if plan.exact else 10.0**scores)


@dataclass(frozen=True, eq=False)
class Surface:
    """A process over two of its parameters, the others held where the best setting has them.

    Attributes:
        x, y: (C,), the middles of the cells, as values.
        mean, deviation, improvement: (C, C), rows are y; in the unit of the scores.
    """

    x: Array
    y: Array
    mean: Array
    deviation: Array
    improvement: Array


def surface(process: Process, plan: Plan, held: list[float], x: str, y: str, cells: int = CELLS) -> Surface:
    """Mean, uncertainty and expected improvement over two parameters.

    Args:
        held: The point of the unit cube where the other parameters are held.
        x, y: Words of the space.
    """
    words = plan.space.words
    i, j = words.index(x), words.index(y)
    middle = (np.arange(cells) + 0.5) / cells
    points = np.tile(np.asarray(held, dtype=float), (cells * cells, 1))
    points[:, i] = np.tile(middle, cells)
    points[:, j] = np.repeat(middle, cells)
    mean, deviation = process.posterior(points)
    gain = expected_improvement(mean, deviation, best_value(process))
    ranges = plan.space.ranges
    return Surface(
        places(ranges[i], middle),
        places(ranges[j], middle),
        *(a.reshape(cells, cells) for a in (mean, deviation, gain)),
    )


def _along(r: Range, points: int) -> Array:
    return places(r, np.linspace(0, 1, points))


def places(r: Range, middle: Array) -> Array:
    """The values at places between the ends of a range, not rounded."""
    return np.array([r.between(float(u)) for u in middle])


def slices(process: Process, plan: Plan, held: list[float], word: str, points: int = 81) -> pd.DataFrame:
    """The model's mean along one parameter, one deviation around it, the others held: x, mean, low, high."""
    at = plan.space.words.index(word)
    middle = np.linspace(0, 1, points)
    grid = np.tile(np.asarray(held, dtype=float), (points, 1))
    grid[:, at] = middle
    mean, deviation = process.posterior(grid)
    ends = {"mean": mean, "low": mean - deviation, "high": mean + deviation}
    return pd.DataFrame(
        {"x": places(plan.space.ranges[at], middle)} | {k: losses(v, plan) for k, v in ends.items()}
    )


def importances(process: Process, plan: Plan) -> pd.DataFrame:
    """How much of the variation each parameter has a part in, with its error: word, share, error."""
    from core.search.importance import total_shares

    share, error = total_shares(process, np.random.default_rng(plan.seed))
    return pd.DataFrame({"word": plan.space.words, "share": share, "error": error})


def limit_line(plan: Plan, values: dict[str, float], x: str, y: str, points: int = 48) -> pd.DataFrame | None:
    """The largest learning rate that holds, over batch size or momentum: columns x and y, as values.

    For linear least squares it follows from the data alone (`core.sharpness.least_squares`). Else it is a
    local estimate from the curvature at the first weights, which moves in training: often more holds.

    Over batch sizes it is that of batches of equal size: a short last batch, which makes it a saw blade, is
    left out. Over momentum it is that of the batches that are really trained.

    None where the plane has no learning rate or nothing that it depends on, where the rule has no such limit
    in theory or does what the theory does not count in, or where the problem has no curvature that could be
    computed.
    """
    other = y if x == "learning_rate" else x
    config = plan.space.config(plan.config, values)
    if "learning_rate" not in (x, y) or other not in ("batch_size", "momentum") or not _plain(config):
        return None
    along = _along(next(r for r in plan.space.ranges if r.word == other), points)
    nesterov = config.optimizer.nesterov
    try:
        if other == "momentum":
            found = learning_rate_limits(config_moments(config), [config.batch_size], along, nesterov)[:, 0]
        else:
            along = np.unique(np.minimum(along.round(), config.train_rows))
            momentum = [getattr(config.optimizer, "momentum", 0.0)]
            equal = config_moments(config, batch_size=1)  # those of batches that are all as large
            found = learning_rate_limits(equal, along.astype(int), momentum, nesterov)[0]
    except ValueError:
        return None
    line = {"learning_rate": found, other: along}
    return pd.DataFrame({"x": line[x], "y": line[y]})


def _plain(config: Config) -> bool:
    """Whether the limit counts in all that the rule does: no dampening, no weight decay, no schedule."""
    rule = config.optimizer
    if not rule.linear:
        return False
    steady = config.momentum_schedule.constant or not rule.momentum_name
    more = getattr(rule, "weight_decay", 0.0) or getattr(rule, "dampening", 0.0)
    return config.schedule.constant and steady and not more
