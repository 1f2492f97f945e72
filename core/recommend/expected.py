"""The training loss to be expected of linear least squares, step by step, before any training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.config import Config
from core.sharpness import config_moments, epoch_noise, inputs

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Start:
    """Linear least squares in the eigenbasis of its Hessian, r directions that are not flat.

    Attributes:
        eigenvalues: λ, (r,).
        error: The first weights' distance from the best ones, (r,).
        floor: The loss of the best weights.
        scatter: E[hPh] - HPH on diagonals, (r, r), of one row's Hessian h.
        skew: How a mean error changes the gradient's scatter, (r, r).
        noise: The gradient's scatter at the best weights, (r,).
        shares: Of one row's scatter, that each batch of an epoch has, (batches,).
    """

    eigenvalues: Array
    error: Array
    floor: float
    scatter: Array
    skew: Array
    noise: Array
    shares: Array


def expected_loss(
    config: Config, learning_rates: ArrayLike, momenta: ArrayLike, steps: int, nesterov: bool = False
) -> Array:
    """The training loss to be expected of linear least squares from the config's first weights.

    Mean and variance of the error along each eigen-direction obey a recursion in which the batches' noise is
    the gradient's scatter: from the residuals, and from the error itself through the rows' own curvatures.
    What directions share beyond that (their covariance) is left out, and the batches of an epoch are taken as
    independent. Since each row comes only once, runs are better than that toward the end of an epoch: by
    half of the excess at most in the cases measured, and not at its beginning.

    Args:
        config: Linear least squares.
        learning_rates, momenta: (K,), one for each curve.
        steps: How far.

    Returns:
        (K, steps + 1), the first column before training.
    """
    start = begin(config)
    rates, betas = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (learning_rates, momenta))
    flow = _flow(start, rates, betas, nesterov)
    with np.errstate(over="ignore", invalid="ignore"):  # above the limit
        return start.floor + np.stack([next(flow) for _ in range(steps + 1)], axis=1)


def begin(config: Config) -> Start:
    """Where the training of a config begins."""
    import torch

    from core.engine.problem import WEIGHTS, generator, problem
    from core.networks import Network

    X, y = inputs(config), problem(config, torch.float64).y_train.numpy()[:, 0]
    rows, known = len(X), config_moments(config)
    network = Network(config.layers, 0)
    first = network.start(generator(config.seed, WEIGHTS)).double().numpy()
    _, values, basis = np.linalg.svd(X, full_matrices=False)
    basis = basis[: len(known.eigenvalues)]
    weights = np.linalg.lstsq(X, y, rcond=None)[0]
    residual = y - X @ weights
    Z = X @ basis.T
    curvatures = 2.0 / rows * values[: len(basis)] ** 2
    squares = Z**2
    return Start(
        eigenvalues=curvatures,
        error=basis @ (first - weights),
        floor=float((residual**2).mean()),
        scatter=4.0 / rows * squares.T @ squares - np.diag(curvatures**2),
        skew=-8.0 / rows * squares.T @ (residual[:, None] * Z),
        noise=4.0 / rows * squares.T @ residual**2,
        shares=epoch_noise(rows, config.batch_size),
    )


def _flow(start: Start, rates: Array, betas: Array, nesterov: bool) -> Iterator[Array]:
    """The expected excess loss (K,) before each step, for ever; one curve for each rate and momentum.

    z = (error, step) with mean m and, along each direction, variances p, c, v.
    """
    eta, beta = rates[:, None], betas[:, None]
    x = eta * start.eigenvalues
    push = 1.0 + beta if nesterov else np.ones_like(beta)  # of the gradient on the error
    keep = beta**2 if nesterov else beta  # of the last step on the error
    a, b = 1.0 - push * x, -keep + 0.0 * x
    error, velocity = np.broadcast_to(start.error, x.shape), np.zeros_like(x)
    p, c, v = (np.zeros_like(x) for _ in range(3))
    for share in cycle(start.shares):
        yield ((error**2 + p) @ start.eigenvalues) / 2.0
        second = p + error**2
        kick = second @ start.scatter.T + error @ start.skew.T + start.noise
        kick = share * eta**2 * np.maximum(kick, 0.0)
        p, c, v = (
            a**2 * p + 2.0 * a * b * c + b**2 * v + push**2 * kick,
            a * x * p + (a * beta + b * x) * c + b * beta * v - push * kick,
            x**2 * p + 2.0 * x * beta * c + beta**2 * v + kick,
        )
        error, velocity = a * error + b * velocity, x * error + beta * velocity


def times(
    start: Start, rates: Array, betas: Array, nesterov: bool, aim: float, limit: int
) -> tuple[Array, Array]:
    """Steps (K,) until the expected excess loss is at or below `aim` for good, and the last excess (K,) seen.

    The search ends with the first setting without momentum that is there, or when that takes 50 times as
    long as the fastest; the steps of settings that are not there by then are inf.
    """
    since = np.full(len(rates), np.inf)
    settled = np.zeros(len(rates), dtype=bool)
    plain = betas == 0.0
    for step, excess in enumerate(_flow(start, rates, betas, nesterov)):
        below = excess <= aim
        since = np.where(below, np.minimum(since, step), np.where(settled, since, np.inf))
        settled |= step - since >= 10 + 0.25 * since
        first = since[settled].min(initial=np.inf)
        if (plain & settled).any() or step >= min(limit, 50 * first + 100):
            break
    return np.where(settled, since, np.inf), excess
