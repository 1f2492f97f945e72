"""The surrogate of the search: a Gaussian process of what was told.

Points lie in the unit cube, values are to be made small and stay in the user's unit outside `fit`.

References:
    C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]

# Priors: normal in the logarithm, so (median, spread) of the logarithm; values have spread 1 and mean 0.
LENGTH = 0.3, 1.0  # times sqrt(m): more directions must not make every point a stranger to all others
AMPLITUDE = 1.0, 1.5  # a variance; wide, since the values told show only a part of how far the function goes
EXTRA = 1e-4, 3.0  # a variance; nearly none, yet 0.1 is only 2.3 spreads away
BOUNDS = (1e-2, 1e2), (1e-3, 1e3), (1e-8, 1e1)  # of scales, amplitude, extra
STEPS, REFINED = 50, 10  # iterations of L-BFGS from a fixed start, and from an earlier process


class NoProcess(ValueError):
    """Data that no process can be fitted to; the text says which argument, what would be good, what came."""


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process with a constant mean and Matérn 5/2 covariance, conditioned on data.

    cov f(x), f(y) = amplitude (1 + √5 r + 5/3 r²) exp(-√5 r),  r² = Σ (a_k · (x - y) / scales_k)²

    with a_k the `directions` of the cube.

    Attributes:
        points: (n, d), in the unit cube.
        values: (n,), what was observed there.
        noise: (n,), the known variance of each value.
        scales: (m,), a length scale for each direction; a long one means that it matters little.
        amplitude: Variance of the function about its mean.
        extra: Variance of noise beyond what is known.
        mean: Of the function, where nothing was told near.
    """

    points: Array
    values: Array
    noise: Array
    scales: Array
    amplitude: float
    extra: float
    mean: float

    @property
    def reach(self) -> Array:
        """(d,), the length scale along each axis: of all directions that it has a part in together."""
        along = directions(self.points.shape[1]) / self.scales
        return np.asarray(np.square(along).sum(1) ** -0.5)

    def posterior(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (m,) of the function without noise at points (m, d)."""
        mean, half = self._project(points)
        return mean, np.sqrt(np.maximum(self.amplitude - np.einsum("nm,nm->m", half, half), 0.0))

    def joint(self, points: Array) -> tuple[Array, Array]:
        """Mean (m,) and covariance (m, m) of the function without noise at points (m, d)."""
        mean, half = self._project(points)
        return mean, self.amplitude * matern(points, points, self.scales) - half.T @ half

    def believing(self, points: Array) -> Process:
        """The process if its own mean were observed at points (m, d): surer there, nowhere another mean.

        References:
            D. Ginsbourger, R. Le Riche, L. Carraro, "Kriging is well-suited to parallelize optimization",
            2010 (the kriging believer).
        """
        return replace(
            self,
            points=np.vstack([self.points, points]),
            values=np.append(self.values, self.posterior(points)[0]),
            noise=np.append(self.noise, np.zeros(len(points))),
        )

    @cached_property
    def log_likelihood(self) -> float:
        """Log density of the values under the process before it saw them."""
        half = np.log(np.diag(self._factor)).sum()
        residual = self.values - self.mean
        return float(-0.5 * residual @ self._weights - half - 0.5 * len(residual) * np.log(2.0 * np.pi))

    @cached_property
    def _factor(self) -> Array:
        """(n, n), lower Cholesky factor of the values' covariance."""
        covariance = self.amplitude * matern(self.points, self.points, self.scales)
        covariance[np.diag_indices_from(covariance)] += self.noise + self.extra
        return cholesky(covariance)

    @cached_property
    def _weights(self) -> Array:
        """(n,), what each value's kernel counts in the mean."""
        return _solve(self._factor, self.values - self.mean)

    def _project(self, points: Array) -> tuple[Array, Array]:
        """Mean (m,), and (n, m) whose columns' products are how much the values explain."""
        cross = self.amplitude * matern(self.points, points, self.scales)
        half: Array = dtrtrs(self._factor, cross, lower=1)[0]
        return self.mean + np.einsum("n,nm->m", self._weights, cross), half


@lru_cache
def directions(d: int) -> Array:
    """(d, m), along which distances count: the axes, then sums and differences of two and three of them.

    What training does depends on products such as learning rate / (batch size (1 - momentum)), whose
    logarithms lie on no axis: with a scale of its own, a valley across the axes can be as narrow as one along
    them. Of 4 parameters there are none of three, and of more only the axes, which saves time.

    References:
        Rasmussen and Williams (above), section 5.1: distances along linear projections (factor analysis).
    """
    most = {2: 2, 3: 3, 4: 2}.get(d, 1)
    signs = product((1.0, 0.0, -1.0), repeat=d) if most > 1 else np.eye(d)
    kept = [s for s in signs if 0 < np.count_nonzero(s) <= most and s[np.flatnonzero(s)[0]] > 0]
    found = np.array(sorted(kept, key=np.count_nonzero)).T
    found.setflags(write=False)
    return found


def matern(left: Array, right: Array, scales: Array) -> Array:
    """(n, k), the Matérn 5/2 correlation of points (n, d) and (k, d) with length scales (m,)."""
    along = directions(left.shape[1]) / scales
    root = np.sqrt(5.0) * cdist(left @ along, right @ along)
    return np.asarray((1.0 + root + root * root / 3.0) * np.exp(-root))


def cholesky(covariance: Array, unit: float | None = None) -> Array:
    """The lower factor (n, n); a diagonal that rounding has spoilt is raised by as little as will do.

    Args:
        covariance: (n, n).
        unit: A variance that the rounding is relative to; the mean of the diagonal when None.

    Raises:
        NoProcess: It is not a covariance at all.
    """
    unit = float(np.trace(covariance)) / len(covariance) if unit is None else unit
    for jitter in (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4):
        raised = covariance.copy(order="F")
        raised[np.diag_indices_from(raised)] += jitter * unit
        factor, failed = dpotrf(raised, lower=1, overwrite_a=1)
        if not failed:
            return np.asarray(factor)
    raise NoProcess("covariance must be positive definite up to rounding, got one that is not.")


def _solve(factor: Array, right: Array) -> Array:
    return np.asarray(dpotrs(factor, right, lower=1)[0])


def fit(points: Array, values: Array, noise: Array | None = None, begin: Process | None = None) -> Process:
    """The process with the most probable hyperparameters, given weak priors, conditioned on the data.

    Inside, values have mean 0 and spread 1 (or are as they are when all are equal). The priors are LENGTH,
    AMPLITUDE and EXTRA above, and a standard normal for the mean, which has a closed form given the others.
    They keep 5 points in 3 dimensions from being fitted with no noise and scales of 0 or infinity, and are
    soon outvoted.

    Args:
        points: (n, d) in the unit cube, n ≥ 1; they may coincide.
        values: (n,), finite.
        noise: (n,), the variance of each value; None or nan where unknown: the fitted extra noise is left.
        begin: A process whose hyperparameters are refined in a few steps; two fixed starts when None.

    Raises:
        NoProcess: The arguments do not fit together or are not finite.
    """
    points, values, noise = _checked(points, values, noise)
    centre, unit = values.mean(), values.std()
    unit = float(unit) if unit > 1e-12 * max(1.0, abs(centre)) else 1.0
    scaled, known = (values - centre) / unit, noise / unit**2
    along = (points @ directions(points.shape[1])).T
    squares = (along[:, :, None] - along[:, None, :]) ** 2
    ends = np.log(np.array([BOUNDS[0]] * len(squares) + list(BOUNDS[1:])))
    options = {"maxiter": REFINED if begin else STEPS}
    data = squares, scaled, known
    found = [
        minimize(negative_log_posterior, start, data, "L-BFGS-B", True, bounds=ends, options=options)
        for start in np.clip(_starts(len(squares), begin, unit), ends[:, 0], ends[:, 1])
    ]
    best = np.exp(min(found, key=lambda result: float(result.fun)).x)
    mean = _mean(cholesky(_covariance(best, squares, known)[0]), scaled)
    amplitude, extra = (float(variance) for variance in best[-2:] * unit**2)
    return Process(points, values, noise, best[:-2], amplitude, extra, centre + unit * mean)


def _checked(points: Array, values: Array, noise: Array | None) -> tuple[Array, Array, Array]:
    points, values = np.asarray(points, dtype=float), np.asarray(values, dtype=float)
    if points.ndim != 2 or not points.size or not ((points >= 0.0) & (points <= 1.0)).all():
        raise NoProcess(f"points must be (n, d) in the unit cube, n and d at least 1, got {_shown(points)}.")
    if values.shape != points.shape[:1] or not np.isfinite(values).all():
        raise NoProcess(f"values must be {len(points)} finite numbers, got {_shown(values)}.")
    if noise is None:
        return points, values, np.zeros(len(points))
    noise = np.nan_to_num(np.asarray(noise, dtype=float), nan=0.0, posinf=-1.0)
    if noise.shape != values.shape or (noise < 0.0).any():
        raise NoProcess(f"noise must be {len(points)} finite variances, none below 0, got {_shown(noise)}.")
    return points, values, noise


def _shown(array: Array) -> str:
    if not array.size:
        return f"shape {array.shape}"
    return f"shape {array.shape} with values in [{array.min():g}, {array.max():g}]"


def _priors(m: int) -> tuple[Array, Array]:
    """(m + 2,) medians and spreads of the logarithms of the scales, the amplitude and the extra noise."""
    medians = np.log([LENGTH[0] * np.sqrt(m)] * m + [AMPLITUDE[0], EXTRA[0]])
    return medians, np.array([LENGTH[1]] * m + [AMPLITUDE[1], EXTRA[1]])


def _starts(m: int, begin: Process | None, unit: float) -> Array:
    """(starts, m + 2) logarithms."""
    if begin is not None:
        return np.log([[*begin.scales, begin.amplitude / unit**2, begin.extra / unit**2]])
    smooth, _ = _priors(m)
    rough = smooth + np.array([np.log(0.3)] * m + [0.0, np.log(100.0)])
    return np.stack([smooth, rough])


def _covariance(hyper: Array, squares: Array, noise: Array) -> tuple[Array, Array]:
    """(n, n) covariance of the values; and its part with which the slope along a log scale is made."""
    root = np.sqrt(5.0 * np.tensordot(hyper[:-2] ** -2, squares, 1))
    decay = hyper[-2] * np.exp(-root)
    covariance = (1.0 + root + root * root / 3.0) * decay
    covariance[np.diag_indices_from(covariance)] += noise + hyper[-1]
    return covariance, 5.0 / 3.0 * (1.0 + root) * decay


def _mean(factor: Array, values: Array) -> float:
    """The most probable constant mean under a standard normal prior."""
    ones = _solve(factor, np.ones(len(values)))
    return float(ones @ values / (ones.sum() + 1.0))


def negative_log_posterior(
    log_hyper: Array, squares: Array, values: Array, noise: Array
) -> tuple[float, Array]:
    """What `fit` minimises, up to a constant, and its gradient.

    Args:
        log_hyper: (m + 2,), logarithms of the scales, the amplitude and the extra noise.
        squares: (m, n, n), squared differences of the points along each direction.
        values: (n,), of mean 0 and spread 1.
        noise: (n,), known variances.
    """
    hyper, (medians, spreads) = np.exp(log_hyper), _priors(len(squares))
    covariance, slope = _covariance(hyper, squares, noise)
    factor = cholesky(covariance)
    mean = _mean(factor, values)
    residual = values - mean
    weights = _solve(factor, residual)
    away = (log_hyper - medians) / spreads
    value = 0.5 * (residual @ weights + mean**2 + away @ away) + np.log(np.diag(factor)).sum()
    inverse: Array = dpotri(factor, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    inner = inverse - np.outer(weights, weights)  # d value / d covariance, twice
    diagonal = np.einsum("ii->i", inner)
    gradient = away / spreads
    gradient[:-2] += 0.5 * np.tensordot(squares, inner * slope, 2) * hyper[:-2] ** -2
    gradient[-2] += 0.5 * ((inner * covariance).sum() - diagonal @ (noise + hyper[-1]))
    gradient[-1] += 0.5 * diagonal.sum() * hyper[-1]
    return float(value), gradient
