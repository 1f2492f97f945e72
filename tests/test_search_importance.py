"""The importances: total shares of functions whose shares have a closed form."""

import numpy as np
import pytest

from core.search.acquisition import lattice
from core.search.importance import total_shares
from core.search.process import fit

Array = np.ndarray


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_shares_of_a_sum_are_those_of_its_terms() -> None:
    points = lattice(60, 3, rng())
    share, deviation = total_shares(fit(points, points @ [1.0, 2.0, 3.0]), rng())
    assert share == pytest.approx(np.array([1.0, 4.0, 9.0]) / 14.0, abs=0.03)
    assert deviation.max() < 0.01


def test_the_shares_of_a_product_are_those_of_the_closed_form() -> None:
    # Sobol's g-function without its kinks: Π (1 + c (12 (x - 1/2)²- 1)) has V_k = c² 4/5 per factor.
    points = lattice(150, 3, rng())
    parts = 1.0 + np.array([0.8, 0.5, 0.0]) * (12.0 * (points - 0.5) ** 2 - 1.0)
    share, deviation = total_shares(fit(points, parts.prod(1)), rng())
    of = 0.8 * np.array([0.8, 0.5, 0.0]) ** 2
    total = np.prod(1.0 + of) - 1.0
    exact = of * np.prod(1.0 + of) / (1.0 + of) / total
    assert share == pytest.approx(exact, abs=0.05)
    assert share.sum() > 1.05
    assert deviation.max() < 0.03


def test_the_shares_of_ishigami_are_the_closed_form() -> None:
    points = lattice(250, 3, rng())
    x = np.pi * (2.0 * points - 1.0)
    values = np.sin(x[:, 0]) + 7.0 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
    share, _ = total_shares(fit(points, values), rng())
    assert share == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.06)


def test_the_error_bars_of_shares_are_wide_for_few_points_and_not_far_too_small() -> None:
    def shares(n: int, seed: int) -> tuple[Array, Array]:
        points = rng(seed).random((n, 3))
        return total_shares(fit(points, np.sin(5.0 * points[:, 0]) + points[:, 1] ** 2), rng(seed))

    few, many = [shares(8, s) for s in range(25)], [shares(40, s) for s in range(25)]
    assert np.mean([d for _, d in few]) > 3.0 * np.mean([d for _, d in many])
    truth = np.mean([share for share, _ in many], axis=0)
    off = np.array([np.abs(share - truth) / np.maximum(deviation, 0.02) for share, deviation in few])
    assert np.median(off) < 2.0


def test_shares_of_one_point_or_of_a_constant_are_unsure_shares() -> None:
    for process in (fit(np.array([[0.5, 0.5]]), np.ones(1)), fit(rng().random((5, 2)), np.ones(5))):
        share, deviation = total_shares(process, rng())
        assert ((share >= 0.0) & (share <= 1.0)).all()
        assert deviation.min() > 0.1
    again = total_shares(process, rng())
    assert again[0].tolist() == share.tolist()
