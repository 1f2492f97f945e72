"""How much each parameter matters: its total share of the variance, from draws of the fitted process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.search.process import Process, cholesky

Array = NDArray[np.float64]

FINE = 2048  # points at which the mean, which is cheap, is compared


def total_shares(
    process: Process, generator: np.random.Generator, draws: int = 24, base: int = 128
) -> tuple[Array, Array]:
    """Total-effect Sobol shares: S_k = E[Var(f | all but x_k)] / Var f, for x uniform in the unit cube.

    A share lies in [0, 1] and counts a parameter's own effect and all interactions that it takes part in, so
    that together they sum to 1 for an additive function and to more for others. Each draw is a function that
    the data allow, and has shares of its own, so the deviation holds what the model does not know of its
    function. What it does not know of its scales is not in it: from few points the shares come out too even
    and the deviations too small. What the few points of the draws get wrong of the mean function is made good
    by many points of that alone (a control variate).

    Args:
        process: The model.
        generator: Of the points and the draws.
        draws: Functions drawn.
        base: Points at which each is compared with itself after a change of one parameter.

    Returns:
        Mean and standard deviation (d,) of the shares over the draws; 0 of a function that is constant.

    References:
        M. J. W. Jansen, "Analysis of variance designs for model output", 1999.
        A. Saltelli et al., "Variance based sensitivity analysis of model output", 2010.
    """
    d = process.points.shape[1]
    mean, covariance = process.joint(_design(base, d, generator))
    deviates = cholesky(covariance, process.amplitude) @ generator.standard_normal((len(mean), draws))
    fine = process.posterior(_design(FINE, d, generator))[0]
    drawn = _parts(mean[:, None] + deviates, d)
    few, many = _parts(mean[:, None], d), _parts(fine[:, None], d)
    effects, variance = (of + good - bad for of, good, bad in zip(drawn, many, few, strict=True))
    share = np.divide(effects, variance, np.zeros_like(effects), where=variance > 0.0)
    share = np.clip(share, 0.0, 1.0)
    return share.mean(1), share.std(1)


def _design(base: int, d: int, generator: np.random.Generator) -> Array:
    """(base + d base, d): points, then for each parameter the same points with that one changed."""
    left, right = np.split(_latin(base, 2 * d, generator), 2, axis=1)
    changed = np.where(np.eye(d, dtype=bool)[:, None], right, left)
    return np.vstack([left, changed.reshape(-1, d)])


def _parts(values: Array, d: int) -> tuple[Array, Array]:
    """Effects (d, draws) of the parameters and variances (draws,) of functions valued on a design."""
    at = values.reshape(d + 1, -1, values.shape[1])
    return 0.5 * ((at[1:] - at[0]) ** 2).mean(1), values.var(0)


def _latin(count: int, d: int, generator: np.random.Generator) -> Array:
    """(count, d), a Latin hypercube: each parameter takes one value in each of `count` equal cells."""
    cells = generator.permuted(np.tile(np.arange(count), (d, 1)), axis=1).T
    return np.asarray((cells + generator.random((count, d))) / count)
