"""Recommendations: what is expected is what simulated runs do, and what the sentences say is so."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from core import maps, recommend
from core.config import Config
from core.datasets import from_table
from core.engine import Training
from core.engine.problem import problem
from core.limit import ceiling
from core.recommend import NoCard, Recommendation, batch_card, batch_sentence, checks, expected_loss, validate
from core.registry import OutOfRange
from core.stability import best_for_quadratic, curvature, full_batch_limit, learning_rate_limit
from core.verdict import digits

BOSTON = Config().but(dataset="boston")
RAVINE = Config().but(dataset="ravine", condition=1000, batch_size=1000, valid_fraction=0.0)
RNG = np.random.default_rng(1)
PLAIN = RNG.standard_normal((60, 3))


def table(features: np.ndarray, target: np.ndarray | None = None) -> Config:
    frame = pd.DataFrame(features, columns=[f"x{k}" for k in range(features.shape[1])])
    if target is None:
        target = features.sum(1) + np.random.default_rng(0).standard_normal(len(features))
    data = from_table(frame.assign(y=target), "y", task="regression")
    return Config().but(dataset=data, valid_fraction=0.0)


ODD = {
    "constant column": table(np.column_stack([PLAIN, np.eye(60)[0]])).but(valid_fraction=0.5, seed=2),
    "duplicate columns": table(np.column_stack([PLAIN, PLAIN])),
    "n < d": table(RNG.standard_normal((12, 30))),
    "one row": table(PLAIN[:10]).but(valid_fraction=0.9),
    "batch > n": table(PLAIN).but(batch_size=5000),
    "batch 1": table(PLAIN).but(batch_size=1),
}


def trained(configs: list[Config]) -> Training:
    training = Training(configs)
    while training.active:
        training.advance()
    return training


def simulated(
    config: Config, rate: float, momentum: float, nesterov: bool, steps: int, shuffled: bool
) -> np.ndarray:
    """The mean training loss of 400 runs in plain numpy, from the config's first weights.

    Batches are of shuffled epochs, or each is drawn for itself in the size that it has in an epoch.
    """
    X, y = design(config)
    rows, size = len(X), min(config.batch_size, len(X))
    first = Training([config], dtype=torch.float64).stacks[0].params(0).numpy()
    rng, weights, losses = np.random.default_rng(0), np.tile(first, (400, 1)), []
    velocity, per_epoch = 0.0 * weights, -(-rows // size)
    for step in range(steps + 1):
        losses.append(((weights @ X.T - y) ** 2).mean())
        if step % per_epoch == 0 or not shuffled:
            order = np.argsort(rng.random((400, rows)), axis=1)
        batch = order[:, step % per_epoch * size : (step % per_epoch + 1) * size]
        xb, wrong = X[batch], np.einsum("rbd,rd->rb", X[batch], weights) - y[batch]
        gradient = 2.0 * np.einsum("rbd,rb->rd", xb, wrong) / batch.shape[1]
        velocity = momentum * velocity + gradient
        weights = weights - rate * (gradient + momentum * velocity if nesterov else velocity)
    return np.array(losses)


@pytest.mark.parametrize("dataset", ["boston", "diabetes"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize(
    ("batch_size", "shuffled", "low", "high"),
    [(32, False, 0.9, 1.15), (32, True, 0.9, 2.0)],
)
def test_the_expected_loss_is_that_of_simulated_runs(
    dataset: str, momentum: float, nesterov: bool, batch_size: int, shuffled: bool, low: float, high: float
) -> None:
    """Of shuffled epochs the excess falls below what is expected only toward the end of each."""
    config = BOSTON.but(dataset=dataset, batch_size=batch_size)
    rate = 0.3 * maps.limits(config, np.array([momentum]), nesterov)[0]
    expected = expected_loss(config, [rate], [momentum], 30, nesterov)[0]
    floor = np.linalg.lstsq(*design(config), rcond=None)[1][0] / config.train_rows
    ratio = (expected - floor) / (simulated(config, rate, momentum, nesterov, 30, shuffled) - floor)
    assert low < ratio.min()
    assert ratio.max() < high


def design(config: Config) -> tuple[np.ndarray, np.ndarray]:
    data = problem(config, torch.float64)
    x = data.x_train.numpy()
    return np.column_stack([x, np.ones(len(x))]), data.y_train.numpy()[:, 0]


@pytest.mark.parametrize("nesterov", [False, True])
def test_with_full_batches_the_expected_loss_is_the_runs_own(nesterov: bool) -> None:
    config = RAVINE.but(optimizer="nesterov" if nesterov else "momentum", epochs=50)
    config = config.but(learning_rate=0.1, momentum=0.8)
    training = Training([config], dtype=torch.float64)
    while training.active:
        training.advance()
    losses = [r.train_loss for r in training.records(0)]
    assert expected_loss(config, [0.1], [0.8], 50, nesterov)[0] == pytest.approx(losses, rel=1e-9)


def test_above_the_limit_the_expected_loss_grows_without_end() -> None:
    limit = maps.limits(BOSTON, np.array([0.5]))[0]
    low, high = expected_loss(BOSTON, [0.5 * limit, 3 * limit], [0.5, 0.5], 600)
    assert low[-1] < low[0]
    assert not high[-1] < 1e6 * high[0]


def test_a_long_ravine_gets_the_momentum_that_theory_gives_it() -> None:
    found = recommend.recommend(RAVINE)
    ends = curvature(design(RAVINE)[0])
    best = best_for_quadratic(ends.smallest, ends.largest)
    assert found.momentum == pytest.approx(best.momentum, abs=0.05)
    assert found.learning_rate <= 0.7 * found.limit
    assert found.limit == pytest.approx(full_batch_limit(ends.largest, found.momentum), rel=1e-6)
    assert found.steps < found.plain / 10
    needs = f"{found.steps:,.0f} updates, plain SGD {found.plain:,.0f}."
    assert f"Momentum {found.momentum:g} is expected to need {needs}" in found.reason
    share = f"{100 * found.learning_rate / found.limit:.2g} % of the largest stable rate"
    assert f"The rate is {share} ({digits(found.limit)}) for this data" in found.reason


def test_the_expected_steps_are_those_of_the_run() -> None:
    found = recommend.recommend(RAVINE)
    training = trained([found.config(RAVINE).but(epochs=200)])
    below = np.array([r.train_loss for r in training.records(0)]) <= found.target
    assert np.argmax(below) == pytest.approx(found.steps, abs=1)
    assert below[math.ceil(1.25 * found.steps) + 10 :].all()


@pytest.mark.parametrize("batch_size", [1, 2, 32, 405])
def test_the_recommended_rate_is_safe_and_no_setting_weighed_is_much_faster(batch_size: int) -> None:
    config = BOSTON.but(batch_size=batch_size)
    found = recommend.recommend(config)
    assert found.kind == "exact"
    assert found.learning_rate <= 0.7 * found.limit
    assert found.limit == pytest.approx(maps.limits(config, np.array([found.momentum]))[0])
    assert found.epochs == pytest.approx(found.steps / config.steps_per_epoch)
    curve = expected_loss(config, [found.learning_rate], [found.momentum], int(1.2 * found.steps) + 3)[0]
    assert np.argmax(curve <= found.target) == pytest.approx(found.steps, rel=0.05, abs=1)


def test_at_batch_size_two_momentum_buys_no_speed_and_that_is_said() -> None:
    found = recommend.recommend(BOSTON.but(batch_size=2))
    assert found.momentum == 0.0
    assert found.steps == found.plain
    assert "Momentum gives no speed-up at batch size 2" in found.reason


def test_momentum_is_recommended_when_it_saves_a_tenth_only() -> None:
    for batch_size in (2, 8, 32, 128, 405):
        found = recommend.recommend(BOSTON.but(batch_size=batch_size))
        assert (found.momentum > 0) == (found.steps < 0.9 * found.plain)


def test_unscaled_columns_are_told_to_be_scaled_when_nothing_else_helps() -> None:
    wide = table(PLAIN * [1.0, 1e4, 1.0], target=PLAIN.sum(1)).but(scale=False)
    raw, scaled = (recommend.recommend(wide.but(scale=s)) for s in (False, True))
    assert math.isinf(raw.steps)
    assert "No setting is expected to remove 98 % of the excess loss within 10,000 updates" in raw.reason
    assert raw.reason.endswith(": standardise the columns.")
    assert 0 < raw.learning_rate <= 0.7 * raw.limit
    assert scaled.steps < 100


def test_the_target_counts_from_the_better_of_the_first_weights_and_the_best_constant() -> None:
    assert recommend.target(1.0, 2.0, 5.0) == pytest.approx(1.02)
    assert recommend.target(1.0, 1e6, 5.0) == pytest.approx(1.08)
    assert recommend.target(1.0, 2.0, 1.0) == pytest.approx(1.02)


@pytest.mark.parametrize("query", [{"dataset": "moons", "model": "mlp"}, {"dataset": "iris"}])
def test_other_models_get_a_rule_of_thumb_that_calls_itself_one(query: dict[str, str]) -> None:
    config = Config().but(**query)
    found = recommend.recommend(config)
    assert (found.kind, found.momentum) == ("pilot", 0.9)
    assert found.reason.startswith("A rule of thumb")
    assert math.isnan(found.steps)
    limit = ceiling(found.config(config))
    assert found.limit == limit.learning_rate
    assert found.learning_rate < limit.safe / 2
    rows = validate(trained(checks(config.but(seed=500), found))).set_index("factor")
    assert rows.loc[[0.5, 1.0, 1.5], "diverged"].tolist() == [0, 0, 0]


def test_of_a_model_without_a_limit_nothing_is_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.recommend.setting.ceiling", lambda config: None)
    with pytest.raises(recommend.NoRecommendation, match="no stability limit"):
        recommend.recommend(Config().but(dataset="iris"))


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
def test_odd_tables_get_a_recommendation_that_holds(config: Config) -> None:
    found = recommend.recommend(config)
    assert 0 < found.learning_rate <= 0.7 * found.limit
    assert math.isfinite(found.steps)
    rows = validate(trained(checks(config, found)))
    assert rows.set_index("factor").loc[[0.5, 1.0], "diverged"].tolist() == [0.0, 0.0]
    assert len(batch_card(config)) >= 1


def test_the_checks_are_paired_and_short() -> None:
    found = recommend.recommend(BOSTON)
    runs = checks(BOSTON, found)
    seeds = recommend.SEEDS
    assert len(runs) == len(recommend.FACTORS) * seeds
    assert {c.epochs for c in runs} == {max(5, math.ceil(3 * found.epochs))}
    for k, factor in enumerate(recommend.FACTORS):
        of_factor = runs[seeds * k : seeds * k + seeds]
        assert [c.seed for c in of_factor] == list(range(seeds))
        assert {c.learning_rate for c in of_factor} == {factor * found.learning_rate}
        assert {c.momentum for c in of_factor} == {found.momentum}
    network = Config().but(dataset="moons", model="mlp", epochs=7)
    assert {c.epochs for c in checks(network, recommend.recommend(network))} == {7}


@pytest.mark.parametrize(
    "config", [BOSTON, BOSTON.but(dataset="diabetes"), RAVINE], ids=lambda c: c.dataset.name
)
def test_the_recommendation_holds_and_arrives_about_when_it_is_expected_to(config: Config) -> None:
    found = recommend.recommend(config)
    rows = validate(trained(checks(config, found))).set_index("factor")
    own = rows.loc[1.0]
    assert own["diverged"] == 0
    assert own["good"]
    assert own["low"] <= own["steps"] <= own["high"]
    assert 0.5 < own["steps"] / found.steps < 1.5


def test_the_table_of_the_checks_says_what_the_records_say() -> None:
    found = Recommendation(0.1, 0.0, 20.0, 2.0, 0.157, "")
    training = trained(checks(BOSTON, found))
    rows = validate(training)
    seeds = recommend.SEEDS
    lost = [
        [training.records(seeds * k + s)[-1].status == "diverged" for s in range(seeds)] for k in range(8)
    ]
    assert rows["diverged"].tolist() == pytest.approx(np.mean(lost, axis=1).tolist())
    assert rows["diverged"].iloc[-1] == 1.0
    assert rows.query("checked")["factor"].tolist() == [0.5, 1.0, 1.5]
    held = [training.records(s)[-1].valid_loss for s in range(seeds)]
    assert rows["loss"][0] == pytest.approx(np.mean(held))
    good = rows.query("good")
    assert (good["loss"] <= 1.1 * rows.loc[rows["diverged"] == 0, "loss"].min()).all()
    low, high = recommend.good_region(rows)
    assert low in good["learning_rate"].tolist()
    assert high in good["learning_rate"].tolist()


def test_times_to_the_target_are_right_where_the_loss_falls_geometrically() -> None:
    from core.recommend.trial import _steps_to

    curve = 2.0 * 0.5 ** np.arange(6.0)
    curves = np.stack([[curve, np.full(6, np.inf)], [np.full(6, 2.0), curve[::-1]]])
    times = _steps_to(curves, np.array([0.3, 0.3]), steps_per_epoch=10)
    assert times[0, 0] == pytest.approx(10 * math.log2(2.0 / 0.3))
    assert np.isinf(times[0, 1])
    assert np.isinf(times[1, 0])


def test_the_sentence_of_the_checks_tells_of_runs_that_were_lost() -> None:
    bold = Recommendation(2.0, 0.9, 20.0, 2.0, 0.1, "")
    rows = validate(trained(checks(BOSTON, bold)))
    assert recommend.validation_sentence(rows, bold).startswith("6 of 6 runs diverged")
    calm = recommend.recommend(RAVINE)
    text = recommend.validation_sentence(validate(trained(checks(RAVINE, calm))), calm)
    assert text.startswith("None of 6 runs diverged; the median run reached the target loss in")
    assert f"updates (expected: {calm.steps:,.0f})" in text


def test_the_checks_may_take_the_last_seed_that_there_is_and_no_further() -> None:
    found, last = recommend.recommend(BOSTON), 1_000_000_001 - recommend.SEEDS
    assert max(c.seed for c in checks(BOSTON.but(seed=last), found)) == 1_000_000_000
    with pytest.raises(OutOfRange, match=rf"at most {last:,} .* got {last + 1:,}\.$"):
        checks(BOSTON.but(seed=last + 1), found)


def rows_of(times: dict[float, tuple[float, float, float]], rate: float = 0.04) -> pd.DataFrame:
    """A table of checks in which all runs held: of each factor the median of updates and its interval."""
    columns = {"factor": list(times), "learning_rate": [factor * rate for factor in times]}
    steps, low, high = zip(*times.values(), strict=True)
    more = {
        "steps": steps,
        "low": low,
        "high": high,
        "diverged": 0.0,
        "reached": 1.0,
        "loss": 1.0,
        "good": True,
    }
    return pd.DataFrame(columns | more)


@pytest.mark.parametrize(
    ("limit", "high", "trained_rate", "words"),
    [
        (0.1, 70.0, 0.06, "it is the one to train"),
        (0.07, 70.0, 0.04, "but at 86 % of the largest stable rate"),
        (0.1, 95.0, 0.04, "Learning rates from"),
    ],
    ids=["safe", "above the safe share", "not surely"],
)
def test_a_rate_that_the_runs_show_to_be_faster_is_taken_if_it_is_surely_so_and_safe(
    limit: float, high: float, trained_rate: float, words: str
) -> None:
    found = Recommendation(0.04, 0.9, 100.0, 2.0, limit, "")
    rows = rows_of({0.5: (200, 180, 220), 1.0: (100, 90, 110), 1.5: (66, 60, high)})
    assert recommend.settled(rows, found) == pytest.approx(trained_rate)
    said = recommend.validation_sentence(rows, found)
    assert words in said
    assert ("faster" in said) == (high < 90)


@pytest.mark.parametrize(("good", "bad"), [(8e-8, 7.99e-8), (1e4 / 3, 3334.0)])
def test_a_recommendation_of_which_some_multiple_cannot_be_set_is_refused_before_anything_runs(
    good: float, bad: float
) -> None:
    rates = {c.optimizer.learning_rate for c in checks(BOSTON, Recommendation(good, 0.5, 9.0, 1.0, 1.0, ""))}
    assert len(rates) == len(recommend.FACTORS)
    with pytest.raises(OutOfRange) as caught:
        checks(BOSTON, Recommendation(bad, 0.5, 9.0, 1.0, 1.0, ""))
    assert str(caught.value) == (
        "learning_rate must be in [8e-08, 3.33e+03] so that 0.125 to 3 times as much can be tested, "
        f"got {bad:.3g}: standardise the columns."
    )


def test_checks_can_be_read_while_they_go_on() -> None:
    found = recommend.recommend(BOSTON)
    training = Training(checks(BOSTON, found))
    for _ in range(3):
        rows = validate(training)
        assert len(rows) == len(recommend.FACTORS)
        assert recommend.validation_sentence(rows, found)
        training.advance()


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
def test_the_card_holds_the_largest_effective_steps(optimizer: str) -> None:
    config = BOSTON.but(optimizer=optimizer, valid_fraction=0.0)  # 506 = 2 x 11 x 23 rows
    card = batch_card(config, [1, 11, 46, 506])
    X = design(config)[0]
    for row in card.itertuples():
        limits = {
            m: learning_rate_limit(X, row.batch_size, m, optimizer == "nesterov") / (1 - m)
            for m in recommend.MOMENTA
        }
        assert row.plain == pytest.approx(limits[0.0], rel=1e-6)
        assert row.with_momentum == pytest.approx(max(v for m, v in limits.items() if m), rel=1e-6)
        assert limits[row.best_momentum] == pytest.approx(row.with_momentum, rel=1e-6)


def test_the_card_runs_from_one_row_to_all_and_says_what_momentum_buys() -> None:
    card = batch_card(BOSTON)
    assert card["batch_size"].iloc[[0, -1]].tolist() == [1, 405]
    assert 10 <= len(card) <= 12
    gain = card["with_momentum"] / card["plain"]
    assert gain.iloc[0] < 1.5
    assert gain.iloc[-1] > 50
    assert "At batch size 405 momentum allows effective steps up to 199 times as long as plain SGD's" in (
        batch_sentence(card, 9999)
    )
    for factor, said in ((1.0, "gains little"), (1.24, "is 1.24 times"), (1.5, "up to 1.5 times")):
        assert said in batch_sentence(card.assign(with_momentum=factor * card["plain"]), 32)


def test_a_batch_beyond_the_data_is_the_full_batch() -> None:
    card = batch_card(BOSTON, [405, 99_999])
    assert card["plain"][0] == pytest.approx(card["plain"][1])


def test_what_the_card_cannot_be_made_of_is_said() -> None:
    with pytest.raises(NoCard, match="only for linear regression"):
        batch_card(Config().but(dataset="moons", model="mlp"))
    with pytest.raises(OutOfRange, match="at least one batch size"):
        batch_card(BOSTON, [])
    with pytest.raises(OutOfRange, match=r"batch_size must be a whole number in \[1, 100000\], got 0"):
        batch_card(BOSTON, [0])
    assert len(batch_card(ODD["one row"])) == 1


def test_scaling_changes_what_is_recommended() -> None:
    scaled, raw = (recommend.recommend(BOSTON.but(scale=s)) for s in (True, False))
    assert raw.learning_rate < 1e-3 * scaled.learning_rate
    assert raw.limit < 1e-3 * scaled.limit
    assert not raw.steps < 10 * scaled.steps
