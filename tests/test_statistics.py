"""Intervals, tests and corrections: beside scipy, closed forms, and how often they hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from core.compare import shown
from core.statistics import (
    CONFIDENCE,
    LEAST,
    MEDIAN_NEEDS,
    estimate,
    estimates,
    holm,
    jackknife,
    median,
    p_value,
    paired,
    seeds_needed,
    t_quantile,
    t_within,
)


def held(intervals: int, covered: int) -> bool:
    """Whether so many hits are no rarer than 1 in 1,000 for intervals that hold 95 %."""
    return bool(covered >= scipy.stats.binom.ppf(0.001, intervals, CONFIDENCE))


# --- Student's t ---------------------------------------------------------------------------------------

each_degree = pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 7, 15, 31, 100, 399])


@each_degree
def test_student_s_distribution_is_that_of_scipy(degrees: int) -> None:
    for t in (0.0, 0.01, 0.5, 1.0, 2.0, 5.0, 40.0):
        outside = 2 * scipy.stats.t.sf(t, degrees)
        assert 1 - t_within(t, degrees) == pytest.approx(outside, rel=1e-9, abs=1e-14)


@each_degree
@pytest.mark.parametrize("within", [0.0, 0.5, 0.6, 0.95, 0.99, 1 - 0.05 / 56])
def test_the_quantile_is_that_of_scipy(degrees: int, within: float) -> None:
    assert t_quantile(within, degrees) == pytest.approx(
        scipy.stats.t.ppf((1 + within) / 2, degrees), abs=1e-9
    )


@pytest.mark.parametrize(
    ("within", "degrees", "sentence"),
    [
        (1.0, 4, r"within must be in \[0, 1\), got 1"),
        (-0.1, 4, r"within must be in \[0, 1\), got -0.1"),
        (math.nan, 4, r"within must be in \[0, 1\), got nan"),
        (0.95, 0, "degrees must be at least 1, got 0"),
    ],
)
def test_a_quantile_that_cannot_be_is_answered(within: float, degrees: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        t_quantile(within, degrees)


# --- Estimates -----------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 5)
    low, high = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert estimate(values) == pytest.approx((values.mean(), low, high, 5))


def test_on_a_log_scale_it_is_the_geometric_mean_and_the_interval_of_the_logarithms() -> None:
    values = np.random.default_rng(0).lognormal(0.0, 1.0, 8)
    low, high = scipy.stats.ttest_1samp(np.log(values), 0.0).confidence_interval(0.95)
    assert estimate(values, log=True) == pytest.approx(
        (scipy.stats.gmean(values), np.exp(low), np.exp(high), 8)
    )


def test_estimates_of_columns_are_those_of_each_column_whatever_is_missing() -> None:
    values = np.random.default_rng(0).lognormal(size=(6, 7))
    for column in range(7):
        values[:column, column] = [np.nan, np.inf, np.nan, np.inf, np.nan, np.nan][:column]
    values[5, 0] = 0.0
    told = np.array(estimates(values))
    for column in range(7):
        assert told[:, column] == pytest.approx(estimate(values[:, column], log=True)[:3], nan_ok=True)


@pytest.mark.parametrize("seeds", [5, 8, 16])
def test_of_skewed_losses_the_interval_holds_what_it_states(seeds: int) -> None:
    """Losses like those of real problems at their most skewed: lognormal, and a gamma's on its log scale."""
    rng = np.random.default_rng(seeds)
    draws: dict[float, Callable[[], np.ndarray]] = {
        1.0: lambda: rng.lognormal(0.0, 1.0, seeds),
        float(np.exp(scipy.special.digamma(5.0)) / 5): lambda: rng.gamma(5.0, 0.2, seeds),
    }
    for truth, draw in draws.items():
        found = [estimate(draw(), log=True) for _ in range(2000)]
        assert held(2000, sum(e.low <= truth <= e.high for e in found))


def test_the_percentile_bootstrap_that_was_there_before_fails_the_same_bound() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        logs = rng.normal(size=5)
        means = logs[rng.integers(5, size=(1000, 5))].mean(1)
        low, high = np.percentile(means, [2.5, 97.5])
        covered += low <= 0 <= high
    assert not held(300, covered)


def test_one_seed_gives_no_interval_and_none_gives_nothing() -> None:
    one = estimate(np.array([np.nan, 0.25, np.inf]))
    assert (one.mean, one.n) == (0.25, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert shown(one) == "0.25"
    none = estimate(np.array([np.nan]), log=True)
    assert none.n == 0
    assert shown(none) == "–"


def test_equal_values_give_an_interval_of_no_width() -> None:
    assert estimate(np.full(5, 0.5))[:3] == (0.5, 0.5, 0.5)


def test_an_interval_ends_at_what_no_mean_can_be_beyond() -> None:
    shares = np.array([0.9, 1.0, 1.0, 1.0, 1.0])
    assert estimate(shares).high > 1
    assert estimate(shares, bounds=(0.0, 1.0)).high == 1
    assert estimate(shares, bounds=(0.0, 1.0)).low == estimate(shares).low


def test_a_loss_of_zero_counts_as_the_least_and_one_below_is_refused_on_a_log_scale() -> None:
    assert estimate(np.array([0.0, 0.0]), log=True).mean == pytest.approx(LEAST)
    assert math.isfinite(estimate(np.array([0.0, 1.0]), log=True).mean)
    for call in (
        lambda v: estimate(v, log=True),
        lambda v: estimates(v[:, None]),
        lambda v: paired(v, v, log=True),
    ):
        with pytest.raises(ValueError, match=r"values must be at least 0 on a log scale, got -0.5"):
            call(np.array([1.0, -0.5]))


def test_differences_are_taken_within_a_seed() -> None:
    seeds = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    difference = paired(seeds + 0.1, seeds)
    assert difference.mean == pytest.approx(0.1)
    assert difference.high - difference.low < 1e-9
    assert estimate(seeds).high - estimate(seeds).low > 1
    assert paired(np.array([1.0, np.nan, 3.0]), np.array([0.5, 1.0, np.nan])).n == 1


def test_on_a_log_scale_a_difference_is_a_ratio() -> None:
    rng = np.random.default_rng(0)
    b = rng.lognormal(size=6)
    a = b * 2 * rng.lognormal(0.0, 0.1, 6)
    told = paired(a, b, log=True)
    low, high = scipy.stats.ttest_rel(np.log(a), np.log(b)).confidence_interval(0.95)
    assert told == pytest.approx((scipy.stats.gmean(a / b), np.exp(low), np.exp(high), 6))
    assert paired(b, a, log=True)[:3] == pytest.approx((1 / told.mean, 1 / told.high, 1 / told.low))


# --- Tests, one and several ----------------------------------------------------------------------------


def test_the_p_value_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 8, 31):
        apart = rng.normal(0.5, 1.0, n)
        assert p_value(apart) == pytest.approx(scipy.stats.ttest_1samp(apart, 0.0).pvalue, rel=1e-9)


def test_nothing_is_claimed_of_one_seed_or_of_no_difference_and_all_of_one_that_is_always_the_same() -> None:
    assert p_value(np.array([])) == p_value(np.array([3.0])) == p_value(np.zeros(5)) == 1
    assert p_value(np.full(5, 0.5)) == 0


def rejected(p: np.ndarray, weights: np.ndarray, level: float) -> np.ndarray:
    """What the closure of weighted Bonferroni tests rejects: what is in no subset that it keeps."""
    out = np.ones(len(p), dtype=bool)
    for size in range(1, len(p) + 1):
        for subset in map(list, itertools.combinations(range(len(p)), size)):
            if not (p[subset] <= level * weights[subset] / weights[subset].sum()).any():
                out[subset] = False
    return out


def test_holm_rejects_what_the_closed_test_does_with_and_without_weights() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        p, weights = rng.uniform(size=5) ** 3 * 0.2, rng.uniform(0.2, 3.0, 5)
        np.testing.assert_array_equal(holm(p, weights) <= 0.05, rejected(p, weights, 0.05))
        np.testing.assert_array_equal(holm(p) <= 0.05, rejected(p, np.ones(5), 0.05))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("candidates", [2, 4, 8])
def test_alike_candidates_are_found_different_in_no_more_than_5_percent_of_families(candidates: int) -> None:
    rng = np.random.default_rng(candidates)
    families = 1000
    false = 0
    for _ in range(families):
        losses = rng.normal(size=(candidates, 5)) + rng.normal(size=5)
        pairs = itertools.combinations(losses, 2)
        false += bool((holm([p_value(a - b) for a, b in pairs]) < 0.05).any())
    assert false <= scipy.stats.binom.ppf(0.999, families, 0.05)


def test_so_many_seeds_find_a_difference_four_times_in_five() -> None:
    """Oracle: drawn again with that many seeds, at the level that was stated."""
    rng = np.random.default_rng(0)
    apart = rng.normal(size=12)
    apart = (apart - apart.mean()) / apart.std(ddof=1) + 0.9
    for share in (1.0, 0.1):
        n = seeds_needed(apart, share, 100)
        assert n is not None
        found = np.mean([p_value(rng.normal(0.9, 1.0, n)) < 0.05 * share for _ in range(2000)])
        fewer = np.mean([p_value(rng.normal(0.9, 1.0, n - 3)) < 0.05 * share for _ in range(2000)])
        assert fewer < 0.8 < found + 0.03
        assert found < 0.9
    assert seeds_needed(apart / 100 + np.array([1, -1] * 6), 1.0, 32) is None


# --- Medians and other statistics ----------------------------------------------------------------------


@pytest.mark.parametrize("n", [6, 8, 9, 16, 33])
def test_the_interval_of_a_median_is_exact_and_the_narrowest_that_holds_95_percent(n: int) -> None:
    """Oracle: of n fair coins, the binomial chance that the median lies between two order statistics."""
    told = median(np.random.default_rng(n).permutation(n).astype(float))
    below = int(told.low)
    assert told.high == n - 1 - below
    assert told.mean == (n - 1) / 2
    assert 1 - 2 * scipy.stats.binom.cdf(below, n, 0.5) >= 0.95
    assert 1 - 2 * scipy.stats.binom.cdf(below + 1, n, 0.5) < 0.95


def test_too_few_values_have_a_median_and_no_interval() -> None:
    assert MEDIAN_NEEDS == 6
    told = median(np.array([3.0, 1.0, 2.0, 5.0, 4.0]))
    assert (told.mean, told.n) == (3, 5)
    assert math.isnan(told.low)
    assert math.isnan(told.high)
    assert math.isnan(median(np.array([])).mean)


def test_of_a_median_a_miss_is_a_value_like_any_other() -> None:
    told = median(np.array([1.0, 2.0, 3.0, np.inf, np.inf, np.inf, np.inf]))
    assert (told.mean, told.low, told.high) == (np.inf, 1, np.inf)


def test_the_jackknife_of_a_mean_is_student_s_interval() -> None:
    values = np.random.default_rng(0).normal(size=9)
    left_out = np.array([np.delete(values, i).mean() for i in range(9)])
    assert jackknife(values.mean(), left_out) == pytest.approx(estimate(values))
