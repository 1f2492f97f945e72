"""The surrogate: scikit-learn's Gaussian process, and the most probable one."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from core.search import process as module
from core.search.acquisition import APART, propose
from core.search.process import (
    NoProcess,
    Process,
    cholesky,
    directions,
    fit,
    matern,
    negative_log_posterior,
)

Array = np.ndarray


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def known(n: int = 12, d: int = 3, seed: int = 0) -> Process:
    """A process with fixed hyperparameters on random data with noise that differs between points."""
    g = rng(seed)
    noise, scales = g.uniform(0.0, 0.1, n), g.uniform(0.2, 2.0, along(np.zeros((1, d))).shape[1])
    return Process(g.random((n, d)), g.standard_normal(n), noise, scales, 1.7, 0.01, 0.4)


def along(points: Array) -> Array:
    """Where points (n, d) lie along each direction, (n, m): between these the distances are along axes."""
    return points @ directions(points.shape[1])


def oracle(process: Process) -> GaussianProcessRegressor:
    """Knows points by where they lie along the directions."""
    kernel = ConstantKernel(process.amplitude, "fixed") * Matern(process.scales, "fixed", nu=2.5)
    alpha = process.noise + process.extra
    found = GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None)
    return found.fit(along(process.points), process.values - process.mean)


def valley(points: Array) -> Array:
    return 3.0 + np.sin(4.0 * points[:, 0]) + (points[:, 1] - 0.4) ** 2


# The process


def test_distances_count_along_axes_and_their_sums_and_differences() -> None:
    axes = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    twos = [(1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1)]
    threes = [(1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1)]
    found = [tuple(a) for a in directions(3).T]
    assert found[:3] == axes
    assert set(found[3:9]) == set(twos)
    assert set(found[9:]) == set(threes)
    assert directions(1).tolist() == [[1.0]]
    assert {tuple(a) for a in directions(2).T} == {(1, 0), (0, 1), (1, 1), (1, -1)}
    assert [directions(d).shape for d in (4, 5, 8, 30)] == [(4, 16), (5, 5), (8, 8), (30, 30)]
    for d in range(1, 7):
        assert directions(d)[:, :d].tolist() == np.eye(d).tolist()
        both = [tuple(a) for a in np.hstack([directions(d), -directions(d)]).T]
        assert len(set(both)) == len(both)


def test_directions_that_all_share_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        directions(3)[0, 0] = 2.0


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6])
def test_as_far_as_it_reaches_along_an_axis_is_a_distance_of_one(d: int) -> None:
    process = known(5, d)
    middle = np.full((1, d), 0.5)
    one = (1.0 + 5.0**0.5 + 5.0 / 3.0) * np.exp(-(5.0**0.5))
    found = matern(middle, middle + np.diag(process.reach), process.scales)
    assert found[0] == pytest.approx(np.full(d, one), rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (9, 2), (12, 3), (20, 4), (60, 5)])
def test_the_posterior_is_scikit_learns(n: int, d: int) -> None:
    process = known(n, d)
    at = rng(1).random((40, d))
    mean, covariance = oracle(process).predict(along(at), return_cov=True)
    assert process.posterior(at)[0] == pytest.approx(mean + process.mean, abs=1e-8)
    assert process.posterior(at)[1] == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-8)
    assert process.joint(at)[0] == pytest.approx(mean + process.mean, abs=1e-8)
    assert process.joint(at)[1] == pytest.approx(covariance, abs=1e-8)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (9, 2), (12, 3), (20, 4), (60, 5)])
def test_the_likelihood_is_scikit_learns(n: int, d: int) -> None:
    process = known(n, d)
    assert process.log_likelihood == pytest.approx(oracle(process).log_marginal_likelihood(), abs=1e-8)


def test_believing_a_point_is_to_observe_its_mean() -> None:
    process = known()
    at, place = rng(1).random((30, 3)), np.array([[0.3, 0.6, 0.2]])
    believed = process.believing(place)
    assert believed.posterior(at)[0] == pytest.approx(process.posterior(at)[0], abs=1e-9)
    _, joint = process.joint(np.vstack([place, at]))
    explained = joint[0, 1:] ** 2 / (joint[0, 0] + process.extra)
    left = np.diag(joint)[1:] - explained
    assert believed.posterior(at)[1] == pytest.approx(np.sqrt(left), abs=1e-8)
    one_by_one = believed.believing(at[:1]).posterior(at)[1]
    assert one_by_one == pytest.approx(
        process.believing(np.vstack([place, at[:1]])).posterior(at)[1], abs=1e-8
    )


def test_a_spoilt_diagonal_is_raised_by_as_little_as_will_do() -> None:
    ones = np.ones((4, 4))
    factor = cholesky(ones)
    assert factor @ factor.T == pytest.approx(ones, abs=1e-9)
    good = known().joint(rng().random((5, 3)))[1]
    assert cholesky(good) == pytest.approx(np.linalg.cholesky(good), abs=1e-12)
    with pytest.raises(NoProcess, match="covariance must be positive definite"):
        cholesky(-np.eye(3))


# The fit


def problem(n: int = 15, d: int = 3) -> tuple[Array, Array, Array, Array]:
    """Points, squared differences along the directions, values of mean 0 and spread 1, noise."""
    points = rng(2).random((n, d))
    values = points @ np.arange(1.0, d + 1.0) + 0.1 * rng(3).standard_normal(n)
    values = (values - values.mean()) / values.std()
    at = along(points)
    squares = np.stack([np.subtract.outer(a, a) ** 2 for a in at.T])
    return points, squares, values, rng(4).uniform(0.0, 0.05, n)


@pytest.mark.parametrize("seed", range(4))
def test_the_slope_of_what_is_minimised_is_that_of_finite_differences(seed: int) -> None:
    _, squares, values, noise = problem()
    at, step = rng(seed).uniform(-3.0, 1.0, len(squares) + 2), 1e-5
    gradient = negative_log_posterior(at, squares, values, noise)[1]
    for k, unit in enumerate(np.eye(len(at))):
        above = negative_log_posterior(at + step * unit, squares, values, noise)[0]
        below = negative_log_posterior(at - step * unit, squares, values, noise)[0]
        assert gradient[k] == pytest.approx((above - below) / (2.0 * step), rel=1e-6, abs=1e-7)


def test_what_is_minimised_is_likelihood_and_priors() -> None:
    points, squares, values, noise = problem()

    def expected(logs: Array) -> float:
        def cost(mean: float) -> float:
            hyper = np.exp(logs)
            process = Process(points, values, noise, hyper[:13], hyper[13], hyper[14], mean)
            return -oracle(process).log_marginal_likelihood() - stats.norm.logpdf(mean)

        medians, spreads = np.log([*[0.3 * 13**0.5] * 13, 1.0, 1e-4]), [1.0] * 13 + [1.5, 3.0]
        prior = stats.norm.logpdf(logs, medians, spreads).sum()
        return minimize_scalar(cost, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).fun - prior

    one, other = rng(0).uniform(-2.0, 1.0, 15), rng(1).uniform(-2.0, 1.0, 15)
    found = [negative_log_posterior(at, squares, values, noise)[0] for at in (one, other)]
    assert found[0] - found[1] == pytest.approx(expected(one) - expected(other), abs=1e-6)


def test_the_fit_is_the_most_probable_of_many() -> None:
    points, squares, values, noise = problem()
    process = fit(points, values, noise)
    logs = np.log([*process.scales, process.amplitude, process.extra])
    least, slope = negative_log_posterior(logs, squares, values, noise)
    assert np.abs(slope).max() < 1e-2
    for spread in (0.5, 2.0):
        draws = logs + rng(0).normal(0.0, spread, (300, 15))
        assert least < min(negative_log_posterior(at, squares, values, noise)[0] for at in draws)


@pytest.mark.parametrize("across", [(1, -1, 0), (1, -1, -1)])
def test_a_valley_across_the_axes_is_followed_better_than_along_axes_alone(
    across: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slanted(points: Array) -> Array:
        return np.log10(0.02 + (points @ across) ** 2)

    def errors() -> list[float]:
        """Off the data, root mean squares."""
        fits = [fit(points, slanted(points)) for points in told]
        return [float(np.sqrt(np.mean((p.posterior(at)[0] - slanted(at)) ** 2))) for p in fits]

    told, at = [rng(seed).random((40, 3)) for seed in range(5)], rng(9).random((500, 3))
    followed = errors()
    monkeypatch.setattr(module, "directions", np.eye)
    assert np.median(followed) < 0.5 * np.median(errors())
    assert np.median(followed) < 0.1 * slanted(at).std()


def test_the_fit_finds_what_matters_and_how_much_noise_there_is() -> None:
    g = rng(0)
    points = g.random((120, 3))
    clean = np.sin(6.0 * points[:, 0])
    process = fit(points, clean + 0.2 * g.standard_normal(120))
    assert process.scales[0] < 0.3 * process.scales[1:].min()
    assert 0.15 < np.sqrt(process.extra) < 0.25
    assert fit(points, clean).extra < 1e-5
    told = fit(points, clean + 0.2 * g.standard_normal(120), np.full(120, 0.04))
    assert told.extra < 0.01
    mean, deviation = told.posterior(points)
    inside = np.abs(mean - clean) < 2.0 * deviation
    assert inside.mean() > 0.85


def test_a_unit_changes_nothing_but_the_numbers() -> None:
    points, _, values, noise = problem()
    plain, other = fit(points, values, noise), fit(points, 1e-3 * values + 70.0, 1e-6 * noise)
    at = rng(1).random((20, 3))
    assert other.posterior(at)[0] == pytest.approx(1e-3 * plain.posterior(at)[0] + 70.0, abs=1e-6)
    assert other.posterior(at)[1] == pytest.approx(1e-3 * plain.posterior(at)[1], rel=1e-3)
    assert propose(other, rng()).point == pytest.approx(propose(plain, rng()).point, abs=0.02)


def test_noise_that_is_unknown_is_no_noise_that_is_known() -> None:
    points, _, values, _ = problem()
    nothing, unknown = fit(points, values), fit(points, values, np.full(15, np.nan))
    assert unknown.extra == nothing.extra
    assert (unknown.noise == 0.0).all()


def test_repeats_are_averaged_by_their_noise() -> None:
    g = rng(0)
    spread = np.column_stack([np.linspace(0.0, 1.0, 6)] * 2)
    points = np.vstack([spread, np.tile([[0.9, 0.1]], (40, 1))])
    noise = np.array([1e-6] * 6 + [0.25] * 20 + [4.0] * 20)
    values = np.append(10.0 * g.standard_normal(6), 2.0 + np.sqrt(noise[6:]) * g.standard_normal(40))
    process = fit(points, values, noise)
    weights = 1.0 / (noise[6:] + process.extra)
    (mean,), (deviation,) = process.posterior(points[-1:])
    assert mean == pytest.approx(weights @ values[6:] / weights.sum(), abs=0.01)
    assert deviation == pytest.approx(weights.sum() ** -0.5, rel=0.01)


@pytest.mark.parametrize(
    ("points", "values"),
    [
        (np.array([[0.5, 0.5]]), np.array([3.0])),
        (rng().random((6, 2)), np.full(6, -2.5)),
        (np.full((6, 2), 0.25), np.arange(6.0)),
        (np.full((6, 2), 0.25), np.full(6, 1e6)),
        (np.repeat(rng().random((4, 2)), 3, axis=0), np.repeat(np.arange(4.0), 3)),
    ],
    ids=["one point", "all equal", "one place", "one place, all equal", "each thrice"],
)
def test_data_that_say_little_still_make_a_process(points: Array, values: Array) -> None:
    process = fit(points, values)
    mean, deviation = process.posterior(np.vstack([points, rng(1).random((50, 2))]))
    assert np.isfinite([mean, deviation]).all()
    assert mean[0] == pytest.approx(
        values[: len(points)][(points == points[0]).all(1)].mean(), rel=0.05, abs=0.05
    )
    assert deviation[len(points) :].max() > deviation[0]
    found = propose(process, rng())
    assert np.isfinite(found.point).all()
    assert found.improvement > 0.0
    assert np.abs(found.point - points).max(1).min() >= APART


def test_five_hundred_points_are_fitted_from_earlier_ones() -> None:
    points = rng().random((500, 3))
    values = valley(points) + 0.1 * rng(1).standard_normal(500)
    process = fit(points, values, begin=fit(points[:100], values[:100]))
    assert np.sqrt(process.extra) == pytest.approx(0.1, rel=0.15)
    at = rng(2).random((100, 3))
    assert process.posterior(at)[0] == pytest.approx(valley(at), abs=0.1)


def test_a_beginning_is_the_only_start(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _, values, noise = problem()
    begin = fit(points, 5.0 * values, 25.0 * noise)
    starts = []

    def spied(function: object, start: Array, *rest: object, **options: object) -> object:
        starts.append(start)
        return minimize(function, start, *rest, **options)

    minimize = module.minimize
    monkeypatch.setattr(module, "minimize", spied)
    again = fit(points, 5.0 * values, 25.0 * noise, begin)
    assert len(starts) == 1
    assert np.exp(starts[0][:-2]) == pytest.approx(begin.scales)
    assert np.exp(starts[0][-2:]) == pytest.approx([begin.amplitude / 25.0, begin.extra / 25.0])
    assert again.amplitude == pytest.approx(begin.amplitude, rel=0.01)


@pytest.mark.parametrize(
    ("points", "values", "noise", "text"),
    [
        (np.zeros((0, 2)), np.zeros(0), None, "points must be .* in the unit cube"),
        (np.array([[1.5]]), np.zeros(1), None, r"points must be .*\[1.5, 1.5\]"),
        (np.array([[np.nan]]), np.zeros(1), None, "points must be"),
        (np.zeros(3), np.zeros(3), None, "points must be"),
        (np.zeros((2, 1)), np.array([1.0, np.inf]), None, "values must be 2 finite numbers"),
        (np.zeros((2, 1)), np.zeros(3), None, r"values must be 2 .* shape \(3,\)"),
        (np.zeros((2, 1)), np.zeros(2), np.array([0.1, -0.1]), "noise must be 2 finite variances"),
        (np.zeros((2, 1)), np.zeros(2), np.array([0.1, np.inf]), "noise must be 2 finite variances"),
        (np.zeros((2, 1)), np.zeros(2), np.zeros(3), "noise must be 2"),
    ],
)
def test_data_that_cannot_be_say_what_would_be_good(
    points: Array, values: Array, noise: Array | None, text: str
) -> None:
    with pytest.raises(NoProcess, match=text):
        fit(points, values, noise)
