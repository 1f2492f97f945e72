"""The curvature of a linear least-squares model on given inputs, and how it varies from row to row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

MOST_PAIRS = 1024
"""The most pairs of eigen-directions whose second moments are followed: all of them up to 44 directions."""

MOST_WORK = 2e10
"""The most multiplications spent on the table of fourth moments (about two seconds of one core)."""


class NotATable(ValueError):
    """Inputs whose curvature cannot be had; the text says what is wrong with them."""


@dataclass(frozen=True)
class Curvature:
    """The eigenvalues of H = 2 X'X / n, the Hessian of `torch.nn.MSELoss` for a linear model.

    Attributes:
        eigenvalues: Shape (d,), ascending; directions without any curvature hold exactly 0.
        flat: How many of them those are: duplicate or zero columns, or fewer rows than columns.
    """

    eigenvalues: Array
    flat: int

    @property
    def largest(self) -> float:
        return float(self.eigenvalues[-1])

    @property
    def smallest(self) -> float:
        """The smallest that is above rounding; flat directions are left out."""
        return float(self.eigenvalues[self.flat])

    @property
    def condition(self) -> float:
        """The condition number κ = largest / smallest, flat directions left out."""
        return self.largest / self.smallest


@dataclass(frozen=True)
class Moments:
    """What mini-batch stability needs to know of the inputs, in the eigenbasis of H and in units of its largest.

    Symmetric matrices are vectors over pairs (i <= j) of eigen-directions, off-diagonal ones times √2, so that
    inner products stay what they are.

    Attributes:
        rows: How many rows n the inputs have.
        largest: The largest eigenvalue of H.
        eigenvalues: Shape (r,), descending, divided by `largest`; flat directions are left out.
        first, second: Shape (N,), the two directions of each pair that is followed.
        fourth: Shape (N, N), the map P -> E[hPh] - HPH for the curvature h = 2xx' of one row.
        exact: Whether all r (r + 1) / 2 pairs are followed.
    """

    rows: int
    largest: float
    eigenvalues: Array
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    fourth: Array
    exact: bool


def curvature(X: ArrayLike) -> Curvature:
    """The curvature of mean squared error for a linear model on the inputs X.

    Args:
        X: Shape (n, d), the inputs as the model sees them: scaled, with a constant column if it has a bias.

    Raises:
        NotATable: X is no two-dimensional table of finite numbers, or has no rows, or only zeros.
    """
    X = table(X)
    eigenvalues, _ = _principal(X)
    flat = X.shape[1] - len(eigenvalues)
    return Curvature(np.concatenate([np.zeros(flat), eigenvalues[::-1]]), flat)


def moments(X: ArrayLike) -> Moments:
    """The second and fourth moments of the inputs; compute them once to ask for many limits of the same data.

    Up to MOST_PAIRS pairs of eigen-directions are followed, and fewer when there are very many rows (the work is
    n N² multiplications and at most MOST_WORK). With r <= 44 directions that is all of them and everything
    that follows is exact. Beyond, all r pairs (i, i) are kept (though no more than MOST_PAIRS directions)
    and those pairs i < j which the variation from row to row excites most; the limits are then upper bounds
    (Rayleigh-Ritz on a subspace).

    Args:
        X: Shape (n, d), as for `curvature`.

    Raises:
        NotATable: As for `curvature`.
    """
    X = table(X)
    eigenvalues, Z = _principal(X)
    largest = float(eigenvalues[0])
    eigenvalues, Z = (eigenvalues / largest)[:MOST_PAIRS], (Z / math.sqrt(largest))[:, :MOST_PAIRS]
    r = len(eigenvalues)
    budget = max(r, min(MOST_PAIRS, int(math.sqrt(MOST_WORK / len(Z)))))
    first, second = np.triu_indices(r)
    exact = len(first) <= budget
    if not exact:
        first, second = _strongest(eigenvalues, Z, budget)
    fourth = _fourth(Z, first, second)
    fourth[np.diag_indices_from(fourth)] -= eigenvalues[first] * eigenvalues[second]
    return Moments(len(Z), largest, eigenvalues, first, second, fourth, exact)


def table(X: ArrayLike) -> Array:
    """X as a float64 array (n, d), checked.

    Raises:
        NotATable: As for `curvature`.
    """
    try:
        array = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise NotATable("X must be a table of numbers (rows, columns), got something else.") from None
    if array.ndim != 2 or 0 in array.shape:
        raise NotATable(
            f"X must be a table (rows, columns) with at least one of each, got shape {array.shape}."
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = bad[0]
        raise NotATable(
            f"X must hold finite numbers only, got {array[row, column]} in row {row}, column {column}."
        )
    return array


def _principal(X: Array) -> tuple[Array, Array]:
    """The positive eigenvalues of H, descending, and the rows in that basis, shape (n, r)."""
    peak = float(np.abs(X).max())
    if peak == 0.0:
        raise NotATable(
            "X must not be zero everywhere: there is no curvature then, and any learning rate holds."
        )
    U, singular, _ = np.linalg.svd(X / peak, full_matrices=False)
    singular = singular[singular > max(X.shape) * np.finfo(np.float64).eps * singular[0]]
    with np.errstate(over="ignore", under="ignore"):
        eigenvalues = 2.0 * (singular * peak) ** 2 / len(X)
    if not (0.0 < eigenvalues[-1] and eigenvalues[0] < np.inf):
        raise NotATable(
            f"X must be scaled: the squares of its values (up to {peak:g}) leave the range of floats."
        )
    return eigenvalues, U[:, : len(singular)] * (singular * peak)


def _strongest(eigenvalues: Array, Z: Array, budget: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs (i, i), and the pairs i < j that those excite most, as many as the budget allows."""
    squares = Z**2
    scale = 1.0 / np.sqrt(2.0 * eigenvalues)
    noise = scale[:, None] * (squares.T @ squares) * scale
    perron = np.abs(np.linalg.eigh(noise)[1][:, -1]) * scale
    excited = Z.T @ ((squares @ perron)[:, None] * Z)
    upper = np.triu_indices(len(eigenvalues), k=1)
    weight = excited[upper] ** 2 / (eigenvalues[upper[0]] + eigenvalues[upper[1]])
    best = np.argsort(-weight, kind="stable")[: budget - len(eigenvalues)]
    same = np.arange(len(eigenvalues))
    return np.concatenate([same, upper[0][best]]), np.concatenate([same, upper[1][best]])


def _fourth(Z: Array, first: NDArray[np.intp], second: NDArray[np.intp], chunk: int = 4096) -> Array:
    """E[hPh] over the rows, as a matrix over pairs; the rows come in chunks to bound the memory."""
    root = np.where(first == second, 1.0, math.sqrt(2.0))
    total = np.zeros((len(first), len(first)))
    for start in range(0, len(Z), chunk):
        rows = Z[start : start + chunk]
        products = rows[:, first] * rows[:, second] * root
        total += products.T @ products
    return 4.0 / len(Z) * total
