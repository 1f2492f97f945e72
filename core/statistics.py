"""Intervals and paired differences over seeds: one estimate, one test, one correction for several of them.

Losses are positive and skewed, and what optimizers do to them is a factor, so they are looked at on a log
scale: the mean is the geometric one, a difference is a ratio. Everything else has its arithmetic mean.
README says how often the intervals hold (python -m tests.bench.coverage).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb, pi
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
POWER = 0.8
LEAST = float(np.finfo(np.float32).eps) ** 2  # a squared rounding error: no smaller loss means anything


class Estimate(NamedTuple):
    """A mean, a ratio or a median of some values.

    Attributes:
        mean: What is estimated from the n values; nan when there are none.
        low, high: Its 95 % interval; nan where there are too few values for one.
        n: How many values there were.
    """

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Array, log: bool = False, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    """The mean of the finite values, with Student's t interval; two values are needed for one.

    Args:
        values: (n,), of independent seeds; what is not finite is left out.
        log: Whether it is the geometric mean, its interval made of the logarithms. Then no value may be
            below 0, and what is smaller than LEAST counts as it.
        bounds: What no mean can be below or above, such as (0, 1) for a share; the interval ends there.

    Raises:
        ValueError: A value is below 0 on a log scale.

    References:
        Student, "The probable error of a mean", 1908; U. Olsson, "Confidence intervals for the mean of a
        log-normal distribution", 2005, on why not of the arithmetic mean.
    """
    known = values[np.isfinite(values)]
    return _student(_logarithms(known) if log else known, log, bounds)


def paired(a: Array, b: Array, log: bool = False) -> Estimate:
    """The mean of a - b over the seeds that have both; on a log scale the geometric mean of a / b."""
    return _student(differences(a, b, log), log)


def estimates(values: Array) -> tuple[Array, Array, Array]:
    """Mean, low and high of `estimate` on a log scale of each column, (S, E) -> 3 x (E,), all at once."""
    known = np.isfinite(values)
    n = known.sum(0)
    logs = _logarithms(np.where(known, values, 1.0))
    t = np.array([t_quantile(CONFIDENCE, k - 1) if k > 1 else np.nan for k in range(len(values) + 1)])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = logs.sum(0) / n
        spread = np.where(known, logs - mean, 0.0)
        half = t[n] * np.sqrt((spread**2).sum(0) / (n - 1) / n)
        return np.exp(mean), np.exp(mean - half), np.exp(mean + half)


def differences(a: Array, b: Array, log: bool = False) -> Array:
    """What a and b differ by on each seed that has both, (n,); on a log scale the logarithm of a / b."""
    both = np.isfinite(a) & np.isfinite(b)
    return _logarithms(a[both]) - _logarithms(b[both]) if log else a[both] - b[both]


def _logarithms(values: Array) -> Array:
    if (values < 0).any():
        raise ValueError(f"values must be at least 0 on a log scale, got {np.nanmin(values):g}.")
    logarithms: Array = np.log(np.maximum(values, LEAST))
    return logarithms


def _student(values: Array, log: bool, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    n = len(values)
    mean, half = float(values.mean()) if n else np.nan, np.nan
    if n > 1:
        half = t_quantile(CONFIDENCE, n - 1) * float(values.std(ddof=1)) / n**0.5
    ends = np.array([mean, mean - half, mean + half])
    with np.errstate(over="ignore"):
        mean, low, high = (float(end) for end in (np.exp(ends) if log else ends))
    return Estimate(mean, max(low, bounds[0]), min(high, bounds[1]), n)


def p_value(apart: Array) -> float:
    """How likely a mean this far from 0 would be by chance, by Student's two-sided t-test.

    It is 1 where nothing can be said: with fewer than two values, or when all are 0.

    Args:
        apart: (n,), finite differences of independent seeds.
    """
    if len(apart) < 2 or not apart.any():
        return 1.0
    error = float(apart.std(ddof=1)) / len(apart) ** 0.5
    return 1.0 - t_within(abs(float(apart.mean())) / error, len(apart) - 1) if error else 0.0


def holm(p: Sequence[float], weights: Sequence[float] | None = None) -> Array:
    """The p-values of several tests, adjusted so that a false claim among them all is as rare as of one.

    With those below 0.05 called sure, one or more false ones come in at most 5 % of all families, however
    the tests depend on each other.

    Args:
        p: (m,), one for each claim that could have been made, also those that are not.
        weights: (m,), positive: twice the weight is twice the level. None means that all are alike.

    References:
        S. Holm, "A simple sequentially rejective multiple test procedure", 1979; with weights in section 3.
    """
    values = np.asarray(p, dtype=np.float64)
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(values / weight, kind="stable")
    left = np.cumsum(weight[order][::-1])[::-1]
    out = np.empty_like(values)
    out[order] = np.minimum(np.maximum.accumulate((values / weight)[order] * left), 1.0)
    return out


def seeds_needed(apart: Array, share: float, most: int) -> int | None:
    """How many seeds would find a difference as large as this one, if it is real, four times in five.

    Args:
        apart: (n,), finite differences of independent seeds, at least two.
        share: Of the error rate of 5 %: 1 for a single test, less for one of several.
        most: The largest number that is of use; None is returned when that is too few.

    References:
        J. H. Zar, "Biostatistical Analysis", 5th ed., 2010, section 7.7.
    """
    spread, mean = float(apart.std(ddof=1)), abs(float(apart.mean()))
    sure, found = 1 - (1 - CONFIDENCE) * share, 2 * POWER - 1  # as shares of all t, within ±
    for n in range(2, most + 1):
        if mean * n**0.5 >= spread * (t_quantile(sure, n - 1) + t_quantile(found, n - 1)):
            return n
    return None


def jackknife(statistic: Array, left_out: Array) -> Estimate:
    """A statistic of n values with the interval of its mean pseudo-value.

    Args:
        statistic: (), of all values.
        left_out: (n,), of all but one of them, each in its turn.

    References:
        J. W. Tukey, "Bias and confidence in not-quite large samples", 1958.
    """
    n = len(left_out)
    return estimate(n * statistic - (n - 1) * left_out)


def median(values: Array) -> Estimate:
    """The median with its exact interval: of two order statistics, whatever the distribution.

    There is none for fewer than MEDIAN_NEEDS values: then not even the smallest and the largest hold 95 %,
    and low and high are nan.

    Args:
        values: (n,), not nan; inf is a value like any other, such as a run that missed its target.

    References:
        W. R. Thompson, "On confidence ranges for the median and other expectation distributions for
        populations of unknown distribution form", 1936.
    """
    n, ordered = len(values), np.sort(values)
    if n < MEDIAN_NEEDS:
        return Estimate(float(np.median(values)) if n else np.nan, np.nan, np.nan, n)
    place = max(k for k in range(n // 2) if order_confidence(n, k) >= CONFIDENCE)
    return Estimate(float(np.median(values)), float(ordered[place]), float(ordered[n - 1 - place]), n)


def order_confidence(n: int, k: int) -> float:
    """How surely the median lies from the k-th smallest to the k-th largest of n values, k from 0."""
    return 1.0 - 2.0 * sum(comb(n, below) for below in range(k + 1)) / 2.0**n


MEDIAN_NEEDS = next(n for n in range(1, 100) if order_confidence(n, 0) >= CONFIDENCE)


def t_within(t: float, degrees: int) -> float:
    """How likely Student's t lies within ± t, from the finite sum for whole degrees of freedom.

    References:
        M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 1964, 26.7.3 and 26.7.4.
    """
    angle = np.arctan(t / degrees**0.5)
    sine, squared = np.sin(angle), np.cos(angle) ** 2
    odd = degrees % 2
    k = np.arange(1 + odd, degrees - 1, 2)  # each term is the one before times cos² k / (k + 1)
    terms = np.cumprod(np.concatenate([[1.0], squared * k / (k + 1)]))[: degrees // 2]
    if odd:
        return float(2 / pi * (angle + sine * np.cos(angle) * terms.sum()))
    return float(sine * terms.sum())


@lru_cache(maxsize=4096)
def t_quantile(within: float, degrees: int) -> float:
    """The t whose ± holds this share of Student's distribution: 2.776 for 0.95 and 4 degrees of freedom.

    Raises:
        ValueError: The share is not in [0, 1), or there is no degree of freedom.
    """
    if not 0 <= within < 1:
        raise ValueError(f"within must be in [0, 1), got {within}.")
    if degrees < 1:
        raise ValueError(f"degrees must be at least 1, got {degrees}.")
    low, high = 0.0, pi / 2
    while low < (middle := (low + high) / 2) < high:
        if t_within(float(np.tan(middle)) * degrees**0.5, degrees) < within:
            low = middle
        else:
            high = middle
    return float(np.tan(low) * degrees**0.5)
