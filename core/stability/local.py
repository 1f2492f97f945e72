"""The curvature of any model where it stands: local, and moving while it trains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.registry import OutOfRange

Array = NDArray[np.float64]


def local_curvature(
    hessian_vector_product: Callable[[Array], Array], size: int, *, seed: int = 0, steps: int = 30
) -> tuple[float, float]:
    """The largest eigenvalue of a Hessian at the present weights, known only by its products with vectors.

    It is local: it describes the loss around these weights and changes while the model trains, so a limit
    made from it holds for the next steps and not for the whole run. The largest is the most positive
    one, also where the Hessian has negative eigenvalues.

    Args:
        hessian_vector_product: Gives H v, shape (size,), for a vector v of that shape.
        size: The number of parameters.
        seed: Of the random vector that the search starts from.
        steps: The most products that are asked for.

    Returns:
        The value, and its residual |Hv - value v|: an eigenvalue lies within the residual of the value.

    Raises:
        OutOfRange: size or steps is below 1, or a product is not finite or of another shape.

    References:
        Lanczos iteration with full reorthogonalisation; Golub and Van Loan, "Matrix Computations", 10.1.
    """
    return _lanczos(hessian_vector_product, size, seed, steps)[:2]


def local_direction(
    hessian_vector_product: Callable[[Array], Array], size: int, *, seed: int = 0, steps: int = 30
) -> tuple[float, Array]:
    """As `local_curvature`: the value, and its direction as a vector (size,) of length 1."""
    value, _, vector = _lanczos(hessian_vector_product, size, seed, steps)
    return value, vector


def _lanczos(
    hessian_vector_product: Callable[[Array], Array], size: int, seed: int, steps: int
) -> tuple[float, float, Array]:
    """The largest eigenvalue, its residual and its vector."""
    for name, number in (("size", size), ("steps", steps)):
        if number < 1:
            raise OutOfRange(f"{name} must be a whole number of at least 1, got {number!r}.")
    start = np.random.default_rng(seed).standard_normal(size)
    basis, images = [start / np.linalg.norm(start)], []
    while True:
        image = np.array(hessian_vector_product(basis[-1]), dtype=np.float64)
        if image.shape != (size,) or not np.isfinite(image).all():
            raise OutOfRange(f"hessian_vector_product must give {size} finite numbers, got {image!r:.80}.")
        images.append(image)
        Q, HQ = np.array(basis), np.array(images)
        values, vectors = np.linalg.eigh((Q @ HQ.T + HQ @ Q.T) / 2.0)
        value, vector = float(values[-1]), vectors[:, -1]
        residual = float(np.linalg.norm(vector @ HQ - value * (vector @ Q)))
        rest = image - Q.T @ (Q @ image)
        rest -= Q.T @ (Q @ rest)
        size_left = float(np.linalg.norm(rest))
        settled = residual <= 1e-10 * max(abs(values[0]), abs(value))
        if settled or len(basis) == min(steps, size) or size_left <= 1e-12 * np.linalg.norm(image):
            return value, residual, vector @ Q
        basis.append(rest / size_left)
