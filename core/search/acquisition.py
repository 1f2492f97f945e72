"""The acquisition of the search: where its surrogate expects to improve most.

Points lie in the unit cube, values are to be made small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr

from core.search.process import Process

Array = NDArray[np.float64]
Snap = Callable[[Array], Array]

SPREAD, LOCAL, BEST = 1024, 320, 5  # candidates over the cube, and around this many of the best points
RADII = 0.3, 0.1, 0.03, 0.01  # of the perturbations around them, in length scales
POLISHED, ROUNDS, TRIES = 4, 8, 32  # candidates polished, rounds in which the radius halves, tries of each
APART = 1e-3  # the least distance to any point that is known, in its largest coordinate
SERIES = -1e3  # below this z the closed form loses digits and the series is exact to 1e-11


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """log E max(best - f, 0) for normal f, exact to 9 digits however unlikely: -inf only where it is 0.

    References:
        S. Ament et al., "Unexpected improvements to expected improvement for Bayesian optimization", 2023.
    """
    mean, deviation = np.broadcast_arrays(np.asarray(mean, dtype=float), np.asarray(deviation, dtype=float))
    gain = best - mean
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = gain / deviation
        sure = np.log(np.maximum(gain, 0.0))
        return np.asarray(np.where(deviation > 0.0, np.log(deviation) + _log_h(z), sure))


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """E max(best - f, 0) for normal f: (best - mean) Φ(z) + deviation φ(z), z = (best - mean) / deviation."""
    improvement: Array = np.exp(log_expected_improvement(mean, deviation, best))
    return improvement


def _log_h(z: Array) -> Array:
    """log(φ(z) + z Φ(z))."""
    density = -0.5 * z * z - 0.5 * np.log(2.0 * np.pi)
    near = np.log(np.exp(density) + z * ndtr(z))
    tail = density + np.log1p(z * np.sqrt(0.5 * np.pi) * erfcx(-z / np.sqrt(2.0)))
    far = density - 2.0 * np.log(-z) + np.log1p(-3.0 / (z * z))
    return np.asarray(np.where(z > -1.0, near, np.where(z > SERIES, tail, far)))


def best_value(process: Process) -> float:
    """What an improvement is measured from: the smallest mean at the known points, not the luckiest value."""
    return float(process.posterior(process.points)[0].min())


@dataclass(frozen=True, eq=False)
class Proposal:
    """Where to look next, and what is believed of it.

    Attributes:
        point: (d,), in the unit cube.
        improvement: Expected, in the unit of the values.
        mean, deviation: Of the function there.
        best: What the improvement is measured from.
    """

    point: Array
    improvement: float
    mean: float
    deviation: float
    best: float


def lattice(count: int, d: int, generator: np.random.Generator) -> Array:
    """(count, d) points spread evenly over the unit cube: an additive recurrence, shifted at random.

    References:
        M. Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018.
    """
    golden = 2.0
    for _ in range(64):
        golden = (1.0 + golden) ** (1.0 / (d + 1))
    steps = golden ** -np.arange(1.0, d + 1.0)
    return (generator.random(d) + np.arange(1, count + 1)[:, None] * steps) % 1.0


def propose(
    process: Process,
    generator: np.random.Generator,
    best: float | None = None,
    log: bool = True,
    snap: Snap | None = None,
) -> Proposal:
    """The point of the largest expected improvement, at least APART from all known ones.

    A point that is (almost) known is not asked again even where noise could be averaged out: one beside it
    averages it as well, and tells more. Only where nothing else is left, it is.

    Args:
        process: Knows the points told and, by `Process.believing`, those asked but not yet told.
        generator: Of the candidates.
        best: What the improvement is measured from; `best_value` when None.
        log: Whether its logarithm is compared; the plain one is 0, so flat, where improvement is unlikely.
        snap: Moves points (m, d) to the nearest that can be run.
    """
    best = best_value(process) if best is None else best
    snap = snap or (lambda points: points)
    improvement = log_expected_improvement if log else expected_improvement

    def score(points: Array) -> Array:
        apart = np.abs(points.T[:, :, None] - process.points.T[:, None]).max(0).min(1) >= APART
        return np.where(apart, improvement(*process.posterior(points), best), -np.inf)

    candidates = snap(_candidates(process, generator))
    point = _polished(candidates, score, process.reach, generator, snap)
    (mean,), (deviation,) = process.posterior(point[None])
    gain = expected_improvement(mean, deviation, best)
    return Proposal(point, float(gain), float(mean), float(deviation), best)


def _candidates(process: Process, generator: np.random.Generator) -> Array:
    """(k, d): points spread over the cube, and perturbations of the best ones known."""
    d = process.points.shape[1]
    known = process.points[np.argsort(process.posterior(process.points)[0], kind="stable")[:BEST]]
    centres = np.resize(known, (LOCAL, d))
    radii = np.repeat(RADII, LOCAL // len(RADII))[:, None] * np.minimum(process.reach, 1.0)
    near = centres + radii * generator.standard_normal((LOCAL, d))
    return np.vstack([lattice(SPREAD, d, generator), np.clip(near, 0.0, 1.0)])


def _polished(
    candidates: Array, score: Snap, reach: Array, generator: np.random.Generator, snap: Snap
) -> Array:
    """The best point (d,) after rounds of ever smaller steps from the best few candidates."""
    scores = score(candidates)
    top = np.argsort(-scores, kind="stable")[:POLISHED]
    points, scores = candidates[top], scores[top]
    radius = 0.1 * np.minimum(reach, 1.0)
    for k in range(ROUNDS):
        steps = 0.5**k * radius * generator.standard_normal((TRIES, *points.shape))
        tries = snap(np.clip(points + steps, 0.0, 1.0).reshape(-1, len(reach)))
        tried = np.vstack([points[None], tries.reshape(steps.shape)])
        values = np.vstack([scores, score(tries).reshape(TRIES, -1)])
        best = values.argmax(0), np.arange(len(points))
        points, scores = tried[best], values[best]
    return np.asarray(points[scores.argmax()])
