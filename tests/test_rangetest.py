"""The range test reads the true limit where the usual one reads far beyond it."""

import numpy as np
import pandas as pd
import pytest
import torch

from core.config import Config
from core.datasets import from_table
from core.engine import Training, run
from core.engine.problem import problem
from core.rangetest import range_configs, range_summary, range_table
from core.registry import OutOfRange
from core.stability import NotATable, learning_rate_limit
from tests.plain import finished

BOSTON = Config().but(dataset="boston")
PLAIN = np.random.default_rng(1).standard_normal((60, 3))


def trained(configs: list[Config]) -> Training:
    return finished(Training(configs))


def table(features: np.ndarray) -> Config:
    frame = pd.DataFrame(features, columns=[f"x{k}" for k in range(features.shape[1])])
    data = from_table(
        frame.assign(y=features.sum(1) + PLAIN[: len(features), 0] ** 2), "y", task="regression"
    )
    return Config().but(dataset=data, valid_fraction=0.0)


def inputs(config: Config) -> np.ndarray:
    x = problem(config, torch.float64).x_train.numpy()
    return np.column_stack([x, np.ones(len(x))])


def stock_stop(config: Config, momentum: float, seed: int, steps: int = 100) -> float:
    """Where the usual test stops: the rate rises by a factor at every step, from 1e-5 to 10, until the loss,
    smoothed with 0.98 and corrected for its start, is 4 times the lowest so far (as fastai had it)."""
    X, y = inputs(config), problem(config, torch.float64).y_train.numpy()[:, 0]
    rng = np.random.default_rng(seed)
    weights, velocity, mean, lowest = rng.uniform(-0.27, 0.27, X.shape[1]), 0.0, 0.0, np.inf
    order = rng.permutation(len(X))
    for step, rate in enumerate(np.geomspace(1e-5, 10.0, steps)):
        at = step % config.steps_per_epoch * 32
        order = rng.permutation(len(X)) if at == 0 else order
        xb, yb = X[order[at : at + 32]], y[order[at : at + 32]]
        wrong = xb @ weights - yb
        mean = 0.98 * mean + 0.02 * (wrong**2).mean()
        smooth = mean / (1 - 0.98 ** (step + 1))
        lowest = min(lowest, smooth)
        if smooth > 4 * lowest and step > 10:
            return float(rate)
        velocity = momentum * velocity + 2 * xb.T @ wrong / len(xb)
        weights = weights - rate * velocity
    return float("inf")


@pytest.fixture(scope="module")
def boston() -> pd.DataFrame:
    return range_summary(trained(range_configs(BOSTON))).set_index("momentum")


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_it_reads_the_true_limit_within_a_factor_of_two_where_the_usual_test_does_not(
    momentum: float, boston: pd.DataFrame
) -> None:
    limit = learning_rate_limit(inputs(BOSTON), 32, momentum)
    assert 0.5 < boston.loc[momentum, "diverges"] / limit < 2.0
    usual = np.median([stock_stop(BOSTON, momentum, seed) for seed in range(10)])
    assert usual / limit > 2.0


@pytest.mark.parametrize(
    "config",
    [
        BOSTON.but(dataset="diabetes"),
        BOSTON.but(batch_size=405),
        BOSTON.but(optimizer="nesterov"),
        BOSTON.but(scale=False),
    ],
    ids=["diabetes", "full batch", "nesterov", "unscaled"],
)
def test_it_reads_the_limit_on_other_data_rules_and_batches_too(config: Config) -> None:
    summary = range_summary(trained(range_configs(config, rates=32)))
    ratio = summary["diverges"] / summary["limit"]
    assert ((ratio > 0.5) & (ratio < 2.0)).all()
    assert (summary["best"] < summary["limit"]).all()


def test_the_limit_beside_it_is_that_of_the_data(boston: pd.DataFrame) -> None:
    for momentum, row in boston.iterrows():
        # the last batch of an epoch has 21 rows, not 32: a few percent
        assert row["limit"] == pytest.approx(learning_rate_limit(inputs(BOSTON), 32, momentum), rel=0.05)


def test_the_table_has_the_last_loss_of_every_run() -> None:
    configs = range_configs(BOSTON, [0.9, 0.0], rates=8, steps=26)
    rows = range_table(trained(configs))
    history = run(configs).groupby("run").last()
    lost = history["status"] == "diverged"
    assert rows["momentum"].tolist() == [0.9] * 8 + [0.0] * 8
    assert rows["learning_rate"].tolist() == [c.learning_rate for c in configs]
    assert rows["diverged"].tolist() == lost.tolist()
    assert rows.loc[~lost, "loss"].tolist() == pytest.approx(history.loc[~lost, "train_loss"].tolist())
    assert rows.loc[lost, "loss"].isna().all()


def test_every_momentum_has_the_same_rates_first_weights_and_batches() -> None:
    configs = range_configs(BOSTON, [0.0, 0.9], rates=8, steps=30)
    assert [c.learning_rate for c in configs[:8]] == [c.learning_rate for c in configs[8:]]
    assert {(c.seed, c.epochs, c.batch_size) for c in configs} == {(0, 3, 32)}  # 13 steps an epoch
    assert np.ptp(np.diff(np.log([c.learning_rate for c in configs[:8]]))) < 1e-9


def test_a_classifier_whose_loss_cannot_explode_has_an_answer_too() -> None:
    moons = Config().but(dataset="moons", model="mlp")
    summary = range_summary(trained(range_configs(moons, [0.9], rates=16, steps=100)))
    assert 0.2 < (summary["diverges"] / summary["limit"])[0] < 5
    iris = range_summary(trained(range_configs(Config().but(dataset="iris"), [0.0], rates=8, steps=40)))
    assert iris["best"][0] > 0


def test_it_can_be_read_before_and_while_it_runs() -> None:
    training = Training(range_configs(BOSTON, [0.5], rates=8, steps=26))
    while training.active:
        assert len(range_summary(training)) == 1
        assert len(range_table(training)) == 8
        training.advance()


@pytest.mark.parametrize(
    "features",
    [
        np.column_stack([PLAIN, PLAIN]),
        np.random.default_rng(2).standard_normal((12, 30)),
    ],
    ids=["duplicate columns", "n < d"],
)
@pytest.mark.parametrize("batch_size", [8, 10_000])
def test_odd_tables_are_read_as_well(features: np.ndarray, batch_size: int) -> None:
    summary = range_summary(trained(range_configs(table(features).but(batch_size=batch_size), [0.0, 0.9])))
    ratio = summary["diverges"] / summary["limit"]
    assert ((ratio > 0.5) & (ratio < 3.0)).all()


def test_one_training_row_is_enough() -> None:
    config = table(PLAIN[:10]).but(valid_fraction=0.9)
    summary = range_summary(trained(range_configs(config, [0.0], rates=24)))
    assert summary["limit"][0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"momenta": []}, "momenta must name at least one"),
        ({"momenta": [1.5]}, r"momentum must be a number in \[0, 1\], got 1.5"),
        ({"rates": 3}, r"rates must be a whole number in \[8, 256\], got 3"),
        ({"steps": 0}, r"steps must be a whole number in \[10, 10000\], got 0"),
    ],
)
def test_bad_values_are_told_what_would_be_good(given: dict[str, object], words: str) -> None:
    with pytest.raises(OutOfRange, match=words):
        range_configs(BOSTON, **given)  # type: ignore[arg-type]


def test_columns_too_large_for_any_rate_are_told_to_be_scaled() -> None:
    with pytest.raises((OutOfRange, NotATable), match=r"standardise the columns|must be scaled"):
        range_configs(table(PLAIN * 1e12).but(scale=False))
