"""The acquisition: expected improvement as it is, and the point where it is largest."""

import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.stats import qmc

from core.search.acquisition import (
    APART,
    _candidates,
    best_value,
    expected_improvement,
    lattice,
    log_expected_improvement,
    propose,
)
from core.search.process import Process, fit

Array = np.ndarray


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def valley(points: Array) -> Array:
    return 3.0 + np.sin(4.0 * points[:, 0]) + (points[:, 1] - 0.4) ** 2


# Improvement


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.7), (-2.0, 0.3), (0.5, 2.0), (3.0, 0.6)])
def test_expected_improvement_is_the_integral(mean: float, deviation: float) -> None:
    def gain(f: float) -> float:
        return (0.2 - f) * stats.norm.pdf(f, mean, deviation)

    integral = quad(gain, mean - 12.0 * deviation, 0.2, points=[min(mean, 0.1)], epsabs=0, epsrel=1e-11)[0]
    found = expected_improvement(np.array([mean]), np.array([deviation]), 0.2)
    assert found == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize(
    "z", [30, 5, 1, 0, -0.5, -0.999, -1, -1.001, -5, -10, -40, -300, -999, -1001, -1e5, -1e8, -1e12]
)
def test_the_logarithm_of_improvement_is_exact_far_out(z: float) -> None:
    with mpmath.workdps(60):
        at = mpmath.mpf(z)
        # erfc by its asymptotic series cancels: enough digits for the far tail
        with mpmath.workdps(60 + 2 * int(np.log10(abs(z) + 1.0)) * 2):
            h = mpmath.npdf(at) + at * mpmath.erfc(-at / mpmath.sqrt(2)) / 2
            exact = float(mpmath.log(h) + mpmath.log(mpmath.mpf("0.25")))
    found = float(log_expected_improvement(np.array(-0.25 * z), np.array(0.25), 0.0))
    assert found == pytest.approx(exact, rel=1e-12, abs=3e-10)


def test_what_is_certain_improves_by_what_it_is_better() -> None:
    mean, deviation = np.array([1.0, 3.0, 2.0]), np.zeros(3)
    assert expected_improvement(mean, deviation, 2.0).tolist() == [1.0, 0.0, 0.0]
    assert log_expected_improvement(mean, deviation, 2.0).tolist() == [0.0, -np.inf, -np.inf]
    tiny = log_expected_improvement(np.array([0.0, 1.0]), np.array([1e-300, 1e-3]), 0.5)
    assert tiny[0] == pytest.approx(np.log(0.5))
    assert -1.3e5 < tiny[1] < -1.2e5


def test_the_best_is_what_is_believed_and_not_the_luckiest() -> None:
    g = rng(1)
    points, values = g.random((50, 2)), g.standard_normal(50)  # all noise
    process = fit(points, values, np.ones(50))
    assert values.min() < -2.0
    assert best_value(process) == pytest.approx(0.0, abs=0.5)
    assert best_value(process) == process.posterior(points)[0].min()


# The proposal


@pytest.mark.parametrize("seed", range(3))
def test_no_point_of_a_fine_grid_promises_more_than_the_proposal(seed: int) -> None:
    points = rng(seed).random((9, 2))
    process = fit(points, valley(points))
    found = propose(process, rng(seed))
    side = np.linspace(0.0, 1.0, 201)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    gains = expected_improvement(*process.posterior(grid), best_value(process))
    assert found.improvement > 0.99 * gains.max()
    mean, deviation = process.posterior(found.point[None])
    assert [found.mean, found.deviation] == [mean[0], deviation[0]]
    assert found.best == best_value(process)
    assert found.improvement == expected_improvement(mean, deviation, found.best)[0]


def test_a_proposal_is_as_good_as_finer_steps_make_it() -> None:
    points = rng(5).random((12, 3))
    process = fit(points, valley(points))
    found = propose(process, rng())
    near = np.clip(found.point + 0.003 * rng(1).standard_normal((4000, 3)), 0.0, 1.0)
    assert found.improvement > 0.999 * expected_improvement(*process.posterior(near), found.best).max()


def test_the_plain_improvement_proposes_the_same_until_it_is_too_small_to_be_a_number() -> None:
    points = rng(0).random((10, 2))
    process = fit(points, valley(points))
    assert propose(process, rng(), log=False).point.tolist() == propose(process, rng()).point.tolist()
    hopeless = best_value(process) - 60.0 * np.sqrt(process.amplitude)
    by_log, by_plain = (propose(process, rng(), hopeless, log) for log in (True, False))
    chance = [
        float(log_expected_improvement(np.array(p.mean), np.array(p.deviation), hopeless))
        for p in (by_log, by_plain)
    ]
    assert by_plain.improvement == 0.0
    assert chance[0] > chance[1] + 100.0


def test_what_an_improvement_is_measured_from_can_be_said() -> None:
    points = rng(0).random((10, 2))
    process = fit(points, valley(points))
    assert propose(process, rng(), best=10.0).best == 10.0
    assert propose(process, rng(), best=10.0).improvement > 6.0


def test_no_known_point_is_asked_again_while_there_is_another() -> None:
    points = np.linspace(0.0, 1.0, 30)[:, None] ** 2
    values = 1.0 - points[:, 0]
    process = fit(points, values)  # the best lies at a corner that is known
    for seed in range(5):
        found = propose(process, rng(seed)).point
        assert np.abs(found - points).max(1).min() >= APART
        process = process.believing(found[None])
        points = process.points

    def coarse(at: Array) -> Array:
        return np.round(at * 2.0) / 2.0

    known_two = fit(np.array([[0.0], [1.0]]), np.array([1.0, 0.0]))
    assert propose(known_two, rng(), snap=coarse).point == [0.5]
    assert propose(known_two.believing(np.array([[0.5]])), rng(), snap=coarse).point in ([0.0], [0.5], [1.0])


def test_a_proposal_depends_on_its_generator_alone() -> None:
    process = fit(rng(0).random((10, 2)), valley(rng(0).random((10, 2))))
    before = np.random.get_state()[1].tolist()
    assert propose(process, rng(3)).point.tolist() == propose(process, rng(3)).point.tolist()
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(("d", "factor"), [(1, 0.2), (2, 0.2), (3, 0.2), (6, 1.0), (8, 1.0)])
def test_the_candidates_are_spread_more_evenly_than_at_random(d: int, factor: float) -> None:
    made = [qmc.discrepancy(lattice(512, d, rng(s))) for s in range(3)]
    drawn = [qmc.discrepancy(rng(s).random((512, d))) for s in range(3)]
    assert max(made) < factor * min(drawn)
    assert lattice(5, d, rng(0)).tolist() != lattice(5, d, rng(1)).tolist()


def test_candidates_lie_about_the_best_point_as_wide_as_the_function_reaches() -> None:
    scales = np.array([0.05, *[0.8] * 12])
    process = Process(np.full((1, 3), 0.5), np.zeros(1), np.zeros(1), scales, 1.0, 0.01, 0.0)
    near = _candidates(process, rng())[-320:]
    radius = np.mean(np.square([0.3, 0.1, 0.03, 0.01])) ** 0.5
    assert (near - 0.5).std(0) / process.reach == pytest.approx(np.full(3, radius), rel=0.15)
