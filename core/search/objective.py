"""What a search minimises: the logarithm of the loss, over several seeds, with a ceiling for what failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.compare import Measures
from core.config import Config
from core.seeds import seeds_from

if TYPE_CHECKING:
    from core.engine import Training
    from core.engine.problem import Problem

Array = NDArray[np.float64]

CEILING = 1.5  # times the loss of predicting the mean: what is worse than that is all the same
FLOOR = 1e-12  # of the same: a loss of 0 has no logarithm
POINTS = 50  # of a learning curve that are kept, at the most but one


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the runs of one setting came to.

    Attributes:
        scores: (S,), what is minimised, for each seed; their mean is the trial's value.
        losses: (S,), the last validation loss (training loss where nothing is kept aside), nan where the
            seed diverged.
        diverged: How many seeds diverged.
        epochs: (P,), the epochs of the learning curve.
        curve: (P,), the geometric mean of the loss over the seeds that have not diverged; nan without any.
    """

    scores: Array
    losses: Array
    diverged: int
    epochs: NDArray[np.intp]
    curve: Array


def ceiling(problem: Problem) -> float:
    """1.5 times the loss, on the rows that judge, of the best constant that the training rows know of.

    For numbers that constant is their mean, for classes their shares. The rows that judge are those kept for
    validation, or the training rows where none are.
    """
    known, judged = (np.asarray(y, dtype=float) for y in (problem.y_train, problem.y_valid))
    judged = judged if len(judged) else known
    if known.shape[1] == 1:
        return CEILING * float(((judged - known.mean(0)) ** 2).mean())
    shares = np.maximum(known.mean(0), 0.5 / len(known))
    return CEILING * float(-(judged * np.log(shares)).sum(1).mean())


@lru_cache(maxsize=64)
def baseline(config: Config, seeds: int) -> float:
    """The loss of predicting the mean, on the rows that judge: its geometric mean over seeds."""
    from core.engine.problem import problem

    known = [
        ceiling(problem(replace(config, seed=seed))) / CEILING for seed in seeds_from(config.seed, seeds)
    ]
    return float(np.exp(np.log(known).mean()))


def ceilings(training: Training, seeds: int) -> Array:
    """The ceiling of each seed, (S,), from a training whose first runs are one setting's seeds."""
    return np.array([ceiling(training.problem(run)) for run in range(seeds)])


def scores(losses: Array, ceilings: Array, logarithm: bool = True) -> Array:
    """What is minimised: log10 of the loss, never above that of the ceiling, which diverged runs have.

    Args:
        losses: (..., S), nan where a run diverged.
        ceilings: (S,), positive.
        logarithm: Whether the logarithm is taken; the tuning tutorial minimises the plain loss.
    """
    known = np.fmin(losses, ceilings)
    return np.log10(np.maximum(known, FLOOR * ceilings)) if logarithm else known


def outcomes(measures: Measures, ceilings: Array, logarithm: bool = True) -> list[Outcome]:
    """One outcome for each setting of a training that has ended."""
    last = np.where(measures.diverged, np.nan, measures.loss[:, :, -1])
    told = scores(last, ceilings, logarithm)
    keep = thinned(measures.loss.shape[2])
    drawn = curves(measures)[:, keep]
    return [
        Outcome(told[k], last[k], int(measures.diverged[k].sum()), keep, drawn[k]) for k in range(len(last))
    ]


def curves(measures: Measures) -> Array:
    """The learning curve of each setting, (R, E + 1): the geometric mean over the seeds that go on."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(np.where(measures.loss > 0, measures.loss, np.nan))
    seen = np.isfinite(logs).sum(1)
    total = np.where(np.isfinite(logs), logs, 0.0).sum(1)
    out: Array = np.exp(np.divide(total, seen, out=np.full(total.shape, np.nan), where=seen > 0))
    return out


def thinned(count: int) -> NDArray[np.intp]:
    """Evenly spaced places among `count`, the last with them."""
    stride = max(1, -(-count // POINTS))
    return np.unique(np.append(np.arange(0, count, stride), count - 1))
