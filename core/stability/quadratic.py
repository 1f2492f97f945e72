"""Momentum on a quadratic, in closed form: ceilings, damping, rates and the noise floor.

Along an eigen-direction of curvature λ the error obeys e[k+1] = a e[k] - d e[k-1], with x = αλ:
heavy ball a = 1 + β - x, d = β; Nesterov (PyTorch's form) a = (1 + β)(1 - x), d = β (1 - x).

References:
    G. Goh, "Why Momentum Really Works", Distill, 2017. B. T. Polyak, "Some methods of speeding up the
    convergence of iteration methods", 1964.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.registry import OutOfRange

Array = NDArray[np.float64]


class Best(NamedTuple):
    """The setting that is fastest in the long run, and the factor by which it shrinks the error per step."""

    learning_rate: float
    momentum: float
    rate: float


@dataclass(frozen=True)
class Damping:
    """How the error moves along each direction.

    Attributes:
        label: Shape (d,), one of
            "overdamped" (creeps in from one side), "critical" (as fast as it can without ripples),
            "underdamped" (ripples), "alternating" (jumps across at every step) and
            "unstable" (grows).
        rate: Shape (d,), the factor by which the error shrinks per step in the long run; 1 if flat.
        period: Shape (d,), steps per ripple of the error (of the loss: half that); inf without ripples.
    """

    label: NDArray[np.str_]
    rate: Array
    period: Array


def full_batch_limit(largest: float, momentum: float = 0.0, nesterov: bool = False) -> float:
    """The learning rate below which full-batch training settles: 2(1+β)/λ, with Nesterov 2(1+β)/(λ(1+2β)).

    At momentum 1 heavy ball below this limit neither grows nor settles; it rings for ever.

    Args:
        largest: The largest eigenvalue λ of the Hessian.
        momentum: In [0, 1].

    References:
        Goh 2017 for heavy ball; Nesterov from the roots of r² - (1+β)(1-x) r + β(1-x).
    """
    check_positive("largest", largest)
    check_momentum(momentum)
    return 2.0 * (1.0 + momentum) / (largest * (1.0 + 2.0 * momentum if nesterov else 1.0))


def one_dimensional_limit(mean: float, variance: float, momentum: float = 0.0) -> float:
    """The learning rate below which heavy ball holds when each batch has a curvature of its own.

    α = 2(1-β²)λ / [s²(1+β) + (1-β)λ²]: 2(1+β)/λ without variance, about 2(1-β)λ/s² with much of it.

    Args:
        mean: λ, the mean curvature of a batch.
        variance: s², its variance over batches.
        momentum: In [0, 1].

    References:
        Own derivation: the second moment of (e[k], e[k-1]) has a fixed point at the limit. The same two
        regimes are seen in deep networks by arXiv 2604.14108.
    """
    check_positive("mean", mean)
    check_momentum(momentum)
    if not 0.0 <= variance < math.inf:
        raise OutOfRange(f"variance must be a finite number of at least 0, got {variance!r}.")
    if variance == 0.0:
        return full_batch_limit(mean, momentum)
    return 2.0 * (1.0 - momentum**2) * mean / (variance * (1.0 + momentum) + (1.0 - momentum) * mean**2)


def damping(learning_rate: float, momentum: float, eigenvalues: ArrayLike, nesterov: bool = False) -> Damping:
    """Whether the error creeps, ripples, jumps or grows along each direction.

    Heavy ball ripples iff (1-√β)² < αλ < (1+√β)², and then shrinks by √β per step whatever α and λ are.

    Args:
        learning_rate: α > 0.
        momentum: In [0, 1].
        eigenvalues: The curvatures of the directions, at least 0; any shape, flattened.

    References:
        Goh 2017. The ripple angle θ has cos θ = a / (2√d); one ripple takes 2π/θ steps.
    """
    check_positive("learning_rate", learning_rate)
    check_momentum(momentum)
    curvatures = np.atleast_1d(np.asarray(eigenvalues, dtype=np.float64)).ravel()
    if not (np.isfinite(curvatures).all() and (curvatures >= 0.0).all()):
        raise OutOfRange(
            "eigenvalues must be finite numbers of at least 0; on a saddle every rule runs away."
        )
    a, d = coefficients(learning_rate * curvatures, momentum, nesterov)
    critical = np.abs(a**2 - 4.0 * d) <= 1e-12 * (1.0 + momentum) ** 2
    complex_roots = (a**2 < 4.0 * d) & ~critical
    rate = np.where(critical, np.abs(a) / 2.0, largest_root(a, d))
    angle = np.arccos(np.clip(a / (2.0 * np.sqrt(np.where(complex_roots, d, 1.0))), -1.0, 1.0))
    period = np.where(complex_roots, 2.0 * math.pi / np.where(complex_roots, angle, 1.0), np.inf)
    jumps = ~complex_roots & (a < 0.0)
    ceiling = 2.0 * (1.0 + momentum) / (1.0 + 2.0 * momentum if nesterov else 1.0)
    label = np.select(
        [learning_rate * curvatures > ceiling, critical, complex_roots, jumps],
        ["unstable", "critical", "underdamped", "alternating"],
        "overdamped",
    )
    return Damping(label, rate, np.where(jumps, 2.0, period))


def steps_to(rate: float, shrink: float) -> float:
    """How many steps shrink the excess loss to `shrink` times what it was: ln(shrink) / (2 ln rate).

    It is the long-run answer: rules with momentum overshoot first, by about √κ/e at their best setting.

    Args:
        rate: The factor by which the error shrinks per step; at 1 or above the answer is inf.
        shrink: In (0, 1), such as 0.001.
    """
    if not 0.0 < shrink < 1.0:
        raise OutOfRange(f"shrink must lie between 0 and 1, such as 0.001, got {shrink!r}.")
    if not rate >= 0.0:
        raise OutOfRange(f"rate must be a number of at least 0, got {rate!r}.")
    if rate >= 1.0:
        return math.inf
    return 1.0 if rate == 0.0 else float(math.ceil(math.log(shrink) / (2.0 * math.log(rate))))


def best_for_quadratic(smallest: float, largest: float) -> Best:
    """The fastest heavy ball for curvatures between the two: rate (√κ-1)/(√κ+1).

    References:
        Polyak 1964; Goh 2017: α = (2/(√λ1+√λn))², β = ((√κ-1)/(√κ+1))².
    """
    check_ends(smallest, largest)
    low, high = math.sqrt(smallest), math.sqrt(largest)
    rate = (high - low) / (high + low)
    return Best((2.0 / (low + high)) ** 2, rate**2, rate)


def best_without_momentum(smallest: float, largest: float) -> Best:
    """The fastest plain gradient descent for curvatures between the two: α = 2/(λ1+λn), rate (κ-1)/(κ+1)."""
    check_ends(smallest, largest)
    return Best(2.0 / (smallest + largest), 0.0, (largest - smallest) / (largest + smallest))


def noise_floor(
    learning_rate: float, momentum: float, eigenvalue: float, variance: float, nesterov: bool = False
) -> float:
    """The variance of a weight about its minimum, once settled, under additive gradient noise.

    Heavy ball: α σ² (1+β) / [λ (1-β) (2(1+β) - αλ)]. The excess loss is λ/2 times this.

    Args:
        eigenvalue: The curvature λ > 0 along the weight's direction.
        variance: σ² of the gradient noise of one step, independent from step to step.

    Returns:
        The variance; inf at and beyond the full-batch limit.

    References:
        Own derivation: the stationary variance of an AR(2) process, for Nesterov an ARMA(2, 1) one.
    """
    check_positive("learning_rate", learning_rate)
    if not 0.0 <= variance < math.inf:
        raise OutOfRange(f"variance must be a finite number of at least 0, got {variance!r}.")
    if learning_rate >= full_batch_limit(eigenvalue, momentum, nesterov) or (
        momentum == 1.0 and not nesterov
    ):
        return math.inf
    x = np.array(learning_rate * eigenvalue)
    return float(learning_rate**2 * variance * gain(x, x, np.array(momentum), np.array(0.0), nesterov))


def gain(x: Array, y: Array, momentum: Array, excess: Array, nesterov: bool) -> Array:
    """The response of E[e_x e_y] to a unit of noise per step, discounted by γ = 1 + excess per step.

    Σ h_x(k) h_y(k) / γ^(k+1) over the impulse responses h of the two directions; written so that nothing
    cancels when x, y, 1-β and the excess are all small.

    Args:
        x, y: αλ of the two directions; all arguments broadcast.
        excess: γ - 1, above that of the noise-free recursion.

    References:
        Own derivation: both directions are AR(2) filters (ARMA(2, 1) for Nesterov, whose gradient noise
        enters as (1+β) at its own step and -β at the next); the poles of the sum are the products
        of their roots.
    """
    total, product, apart = x + y, x * y, (x - y) ** 2
    growth, plus, minus = 1.0 + excess, 1.0 + momentum, 1.0 - momentum + excess
    bend = excess * (plus * (1.0 - momentum) + excess)
    if not nesterov:
        poles = minus**2 * (bend + growth * (plus * total - product)) + momentum * growth**2 * apart
        return np.asarray(growth * minus * (growth + momentum) / poles)
    p, q = minus + momentum * x, minus + momentum * y
    bracket = bend + (growth * plus**2 - momentum**2) * (total - product) - growth * momentum * total
    poles = growth**2 * momentum**2 * apart + p * q * bracket
    direct = (growth * plus**2 + momentum**2) * (growth * (p + q) - p * q)
    return np.asarray((direct - plus**2 * momentum * growth * ((1.0 - x) * q + (1.0 - y) * p)) / poles)


def coefficients(x: Array, momentum: ArrayLike, nesterov: bool) -> tuple[Array, Array]:
    """a and d of e[k+1] = a e[k] - d e[k-1], for x = αλ."""
    beta = np.asarray(momentum, dtype=np.float64)
    if nesterov:
        return (1.0 + beta) * (1.0 - x), beta * (1.0 - x)
    return 1.0 + beta - x, beta + 0.0 * x


def largest_root(a: Array, d: Array) -> Array:
    """The larger modulus of the two roots of r² - a r + d."""
    inside = a**2 - 4.0 * d
    real = (np.abs(a) + np.sqrt(np.maximum(inside, 0.0))) / 2.0
    return np.where(inside < 0.0, np.sqrt(np.maximum(d, 0.0)), real)


def check_momentum(momentum: float) -> None:
    """Raises OutOfRange unless momentum lies in [0, 1]."""
    if not 0.0 <= momentum <= 1.0:
        raise OutOfRange(f"momentum must lie in [0, 1], got {momentum!r}.")


def check_positive(name: str, value: float) -> None:
    """Raises OutOfRange unless the value is finite and above 0."""
    if not 0.0 < value < math.inf:
        raise OutOfRange(f"{name} must be a finite number above 0, got {value!r}.")


def check_ends(smallest: float, largest: float) -> None:
    """Raises OutOfRange unless 0 < smallest <= largest."""
    check_positive("smallest", smallest)
    check_positive("largest", largest)
    if smallest > largest:
        raise OutOfRange(f"smallest must be at most largest, got {smallest!r} and {largest!r}.")
