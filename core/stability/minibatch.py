"""The learning rate that holds with mini-batches, exactly for a linear model, from the inputs alone.

One step moves error and velocity z = (e, αv) of a linear least-squares model by a random linear map. Its mean
is T, the full-batch step; its scatter comes from the batch, whose Hessian is H plus a deviation. So the
second moment obeys S <- T S T' + α² (b b') ⊗ C(P), with P = E[ee'] and

    C(P) = (1/B) (n-B)/(n-1) (E[hPh] - HPH),   h = 2xx' of one row,
    T = [[I - αH, -βI], [αH, βI]],         b = (-1, 1)       for heavy ball,
    T = [[I - (1+β)αH, -β²I], [αH, βI]],   b = (-(1+β), 1)   for Nesterov in PyTorch's form.

The factor (n-B)/(n-1) is for batches of a shuffled epoch; without it, batches are drawn with replacement.
The batches of one epoch are taken as independent of each other, which they nearly are, and as equally large,
which a smaller last one is not; neither showed in simulated runs.

In the eigenbasis of H every pair of directions is a small filter of its own, and only C couples them. Growth
of S by γ per step then means P = α² G(γ) ∘ C(P), where G is the filters' gain (`quadratic.gain`): γ is where
the largest eigenvalue of the symmetric matrix √G C √G, which has one row per pair, is 1/α²; and the limit is
where that holds with γ = 1. For heavy ball 1/(α²G) is linear in 1/α at γ = 1, so that all rates below the
limit hold and none above it does; with one direction it is `quadratic.one_dimensional_limit`. For Nesterov
G is not proven positive, but was in three million random cases.

References:
    Own derivation, checked against the recursion itself and against simulated runs (tests/test_stability.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.registry import OutOfRange
from core.stability.quadratic import check_momentum, check_positive, coefficients, gain, largest_root
from core.stability.spectrum import Array, Moments, moments

Conductance = Callable[[Array, NDArray[np.intp]], Array]

MAP_PAIRS = 528
"""The most pairs of directions that a map follows: all of them up to 32 directions."""

_CELLS = 1 << 18
"""How many numbers (cells times pairs) are worked on at once: 2 MB an array, which stays in the cache."""


def learning_rate_limit(
    X: ArrayLike | Moments,
    batch_size: int = 32,
    momentum: float = 0.9,
    nesterov: bool = False,
    replacement: bool = False,
) -> float:
    """The largest learning rate that holds for this momentum and batch size, before any training.

    Below it the mean square error of a linear model's weights stays bounded, above it it grows. It is a good
    ruler and no guarantee for a single run: below 0.7 times the limit runs are safe, above 2 times they are
    not, though with small batches and little momentum the wait until one blows up can be long.

    Args:
        X: The inputs as the model sees them, shape (n, d), scaled, with a constant column if there is a bias;
            or their `moments`, to ask for many limits of the same data.
        batch_size: B >= 1; at n and above every batch is the whole data, and the limit is `full_batch_limit`.
        momentum: In [0, 1]. At 1 with mini-batches nothing dissipates the noise and heavy ball's limit is 0;
            Nesterov damps by itself, and its limit may be above 0.
        nesterov: Whether the step is PyTorch's Nesterov step.
        replacement: Whether batches are drawn with replacement instead of from shuffled epochs.

    Raises:
        NotATable: X has no curvature; the text says why.
        OutOfRange: momentum or batch_size is outside what is good.
    """
    return float(learning_rate_limits(X, [batch_size], [momentum], nesterov, replacement)[0, 0])


def learning_rate_limits(
    X: ArrayLike | Moments,
    batch_sizes: ArrayLike,
    momenta: ArrayLike,
    nesterov: bool = False,
    replacement: bool = False,
) -> Array:
    """`learning_rate_limit` for every momentum and batch size at once.

    Returns:
        Shape (len(momenta), len(batch_sizes)).

    Raises:
        NotATable, OutOfRange: As for `learning_rate_limit`.
    """
    data = X if isinstance(X, Moments) else moments(X)
    betas = _momenta(momenta)
    noise = np.array(
        [_noise(data.rows, size, replacement) for size in np.atleast_1d(np.asarray(batch_sizes))]
    )
    shape = (len(betas), len(noise))
    beta, share = (np.broadcast_to(a, shape).ravel() for a in (betas[:, None], noise))
    ceiling = 2.0 * (1.0 + beta) / (1.0 + 2.0 * beta if nesterov else 1.0)
    limit = np.where(share > 0.0, 0.0, ceiling)
    open_ = np.flatnonzero((share > 0.0) & (nesterov | (beta < 1.0)))
    for cells in _chunks(open_, len(data.first)):
        limit[cells] = _limits(data, beta[cells], share[cells], ceiling[cells], nesterov)
    return np.asarray((limit / data.largest).reshape(shape))


def growth_rate(
    X: ArrayLike | Moments,
    learning_rates: ArrayLike,
    momenta: ArrayLike,
    batch_size: int = 32,
    nesterov: bool = False,
    replacement: bool = False,
) -> Array:
    """The factor by which the root mean square error of the weights moves per step, in the long run.

    It is below 1 exactly below the limit of `learning_rate_limit`. Noise that does not vanish at the minimum
    (targets that no linear model fits) adds a floor and does not change it.

    Args:
        X: As for `learning_rate_limit`. From a table, at most MAP_PAIRS pairs of directions are followed:
            exact with up to 32 directions, beyond that as if the limit were a few percent higher (`moments`).
            A map of 1024 cells then takes at most about two seconds of one core.
        learning_rates: All above 0.
        momenta: All in [0, 1].

    Returns:
        Shape (len(momenta), len(learning_rates)).

    Raises:
        NotATable, OutOfRange: As for `learning_rate_limit`.
    """
    data = X if isinstance(X, Moments) else moments(X, MAP_PAIRS)
    betas, rates = _momenta(momenta), np.atleast_1d(np.asarray(learning_rates, dtype=np.float64))
    for rate in rates:
        check_positive("learning_rate", float(rate))
    share = _noise(data.rows, batch_size, replacement)
    shape = (len(betas), len(rates))
    beta, alpha = (np.broadcast_to(a, shape).ravel() for a in (betas[:, None], rates * data.largest))
    a, d = coefficients(alpha[:, None] * data.eigenvalues, beta[:, None], nesterov)
    excess = largest_root(a, d).max(axis=1) ** 2 - 1.0
    if share > 0.0:
        for cells in _chunks(np.arange(len(beta)), len(data.first)):
            excess[cells] = _excesses(data, alpha[cells], beta[cells], share, excess[cells], nesterov)
    return np.asarray(np.sqrt(1.0 + excess).reshape(shape))


def _limits(data: Moments, beta: Array, share: Array, ceiling: Array, nesterov: bool) -> Array:
    """The limits of several cells times the largest eigenvalue; 0 where not even a tiny rate holds."""
    loudest = _Loudest(data, len(beta))

    def conductance(t: Array, cells: NDArray[np.intp]) -> Array:
        x, y = data.eigenvalues[data.first] / t[:, None], data.eigenvalues[data.second] / t[:, None]
        response = gain(x, y, beta[cells, None], np.zeros(()), nesterov)
        return 1.0 / loudest(response * (share[cells] / t**2)[:, None], cells)

    reached: Array = 1.0 / _crossing(conductance, 1.0 / ceiling, 4.0 / ceiling)
    return reached


def _excesses(data: Moments, alpha: Array, beta: Array, share: float, quiet: Array, nesterov: bool) -> Array:
    """γ - 1 of several cells, of which `quiet` is the noise-free value."""
    loudest = _Loudest(data, len(beta))

    def conductance(excess: Array, cells: NDArray[np.intp]) -> Array:
        rates = alpha[cells, None]
        x, y = rates * data.eigenvalues[data.first], rates * data.eigenvalues[data.second]
        response = gain(x, y, beta[cells, None], excess[:, None], nesterov)
        return 1.0 / loudest(response * (share * rates**2), cells)

    return _crossing(conductance, quiet, quiet + 0.01)


def _crossing(values: Conductance, low: Array, first: Array, steps: int = 100) -> Array:
    """Where functions that rise from 0 at `low` reach 1, all at once; inf where they never do.

    Regula falsi (Illinois), after stretching the interval until the end is beyond. The functions here are
    nearly straight lines, so that about seven evaluations are enough.
    """
    left, right, y = low.copy(), np.full_like(low, np.inf), first.copy()
    below, above = np.full_like(low, -1.0), np.full_like(low, np.nan)
    side, active = np.zeros(len(low), dtype=np.int64), np.arange(len(low))
    for _ in range(steps):
        miss = values(y[active], active) - 1.0
        under = miss < 0.0
        lower, upper = active[under], active[~under]
        above[lower] *= np.where(side[lower] < 0, 0.5, 1.0)
        below[upper] *= np.where(side[upper] > 0, 0.5, 1.0)
        left[lower], below[lower], side[lower] = y[lower], miss[under], -1
        right[upper], above[upper], side[upper] = y[upper], miss[~under], 1
        width, closed = right[active] - left[active], np.isfinite(right[active])
        narrow = closed & (width <= 1e-14 * np.abs(left[active]))
        far = ~closed & (y[active] > 1e14 * np.maximum(1.0, low[active]))
        y[active[far]] = np.inf
        active = active[~((np.abs(miss) <= 1e-9) | narrow | far)]
        if not len(active):
            break
        y[active] = _next(low[active], left[active], right[active], below[active], above[active])
        active = active[(y[active] > left[active]) & (y[active] < right[active])]
    return y


def _next(low: Array, left: Array, right: Array, below: Array, above: Array) -> Array:
    """The chord's crossing inside a bracket; without a right end, a stretch past where the line crosses."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        chord = left - below * (right - left) / (above - below)
        stretch = low + (left - low) * np.clip(1.1 / (1.0 + below), 1.5, 1e3)
    return np.where(np.isinf(right), stretch, chord)


class _Loudest:
    """The largest eigenvalues of √D C √D for many diagonal matrices D at once, by restarted Lanczos.

    The eigenvector of each cell is kept to start the next question from; the first start is the identity
    matrix, which is never orthogonal to the positive matrix that is sought.
    """

    def __init__(self, data: Moments, cells: int, depth: int = 8) -> None:
        same = (data.first == data.second).astype(np.float64)
        self._fourth = data.fourth
        self._vectors = np.broadcast_to(same, (cells, len(same))).copy()
        self._depth = min(depth, len(same))

    def __call__(self, weights: Array, cells: NDArray[np.intp]) -> Array:
        """The eigenvalues for weights D, shape (len(cells), N)."""
        root = np.sqrt(np.maximum(weights, 0.0))
        values = np.empty(len(cells))
        left = np.arange(len(cells))
        for _ in range(60):
            value, vector, residual = self._sweep(root[left], self._vectors[cells[left]])
            values[left], self._vectors[cells[left]] = value, vector
            left = left[residual > 1e-5 * np.abs(value)]
            if not len(left):
                break
        return np.maximum(values, np.finfo(np.float64).tiny)

    def _sweep(self, root: Array, start: Array) -> tuple[Array, Array, Array]:
        """A few Lanczos steps in every cell: Ritz values, vectors and residuals."""
        cells, n = root.shape
        basis, images = np.zeros((cells, self._depth, n)), np.zeros((cells, self._depth, n))
        vector = start
        for k in range(self._depth):
            norm = np.linalg.norm(vector, axis=1, keepdims=True)
            basis[:, k] = vector / np.maximum(norm, np.finfo(np.float64).tiny)
            images[:, k] = root * ((root * basis[:, k]) @ self._fourth)
            known = basis[:, : k + 1]
            vector = images[:, k]
            for _ in range(2):
                vector = (
                    vector - np.matmul(np.matmul(known, vector[:, :, None]).transpose(0, 2, 1), known)[:, 0]
                )
            vector[np.linalg.norm(vector, axis=1) <= 1e-12 * np.linalg.norm(images[:, k], axis=1)] = 0.0
        values, vectors = np.linalg.eigh(np.matmul(basis, images.transpose(0, 2, 1)))
        top = vectors[:, None, :, -1]
        ritz, image = np.matmul(top, basis)[:, 0], np.matmul(top, images)[:, 0]
        residual = np.linalg.norm(image - values[:, -1:] * ritz, axis=1)
        return values[:, -1], ritz, residual


def _noise(rows: int, batch_size: object, replacement: bool) -> float:
    """The share of one row's scatter that a batch's Hessian has: (n-B)/(n-1)/B, or 1/B with replacement."""
    size = float(batch_size)  # type: ignore[arg-type]
    if not (size >= 1.0 and size == math.floor(size)):
        raise OutOfRange(f"batch_size must be a whole number of at least 1, got {size:g}.")
    if replacement:
        return 1.0 / size
    return 0.0 if size >= rows else (rows - size) / (rows - 1) / size


def _momenta(momenta: ArrayLike) -> Array:
    betas = np.atleast_1d(np.asarray(momenta, dtype=np.float64))
    for beta in betas:
        check_momentum(float(beta))
    return betas


def _chunks(cells: NDArray[np.intp], pairs: int) -> list[NDArray[np.intp]]:
    """The cells in groups of about _CELLS numbers."""
    size = max(1, _CELLS // pairs)
    return [cells[i : i + size] for i in range(0, len(cells), size)]
