"""The one stability limit: exact where it can be, found by pilot runs elsewhere, and never claimed beyond."""

import math

import numpy as np
import pytest
import torch

from core import engine, maps
from core.config import Config
from core.engine.problem import problem
from core.history import DIVERGED, FINISHED
from core.limit import PILOT, Ceiling, ceiling, estimated, held, known, looked_for, without_last_batch
from core.stability import learning_rate_limit
from core.verdict import why_lost

BOSTON = Config()
NETWORKS = (
    BOSTON.but(model="mlp"),
    BOSTON.but(model="mlp", batch_size=4),
    BOSTON.but(dataset="moons", model="mlp", activation="relu", optimizer="nesterov"),
    BOSTON.but(dataset="iris", model="mlp", optimizer="sgd"),
)


def lost(config: Config, rate: float, updates: int = 1000) -> int:
    """Oracle: of eight runs on seeds that no pilot run has seen, how many diverge or end far too high."""
    base = config.but(learning_rate=rate, epochs=math.ceil(updates / config.steps_per_epoch))
    table = engine.run([base.but(seed=700 + k) for k in range(8)])
    runs = [run for _, run in table.groupby("run")]
    far = 1.5 if config.dataset.classes else 4.0
    above = [run["train_loss"].iloc[-1] > far * max(run["train_loss"].iloc[0], 1.0) for run in runs]
    return sum(run["status"].iloc[-1] == DIVERGED or bad for run, bad in zip(runs, above, strict=True))


@pytest.mark.parametrize("config", NETWORKS, ids=lambda c: f"{c.dataset.name}-{c.model.name}-{c.batch_size}")
def test_of_networks_and_classes_unseen_seeds_hold_at_the_safe_rate_and_are_lost_far_above(
    config: Config,
) -> None:
    found = ceiling(config)
    assert found.kind == PILOT
    assert lost(config, found.safe) == 0
    assert lost(config, 6 * found.learning_rate) > 0


def test_what_pilot_runs_find_is_known_from_then_on_whatever_the_seed_and_the_rate() -> None:
    config = BOSTON.but(dataset="iris", model="mlp", hidden=(3,))
    assert estimated(config)
    assert not looked_for(config)
    assert known(config) is None
    found = ceiling(config)
    assert known(config.but(seed=9, learning_rate=0.5, epochs=7)) is found
    assert looked_for(config)
    assert known(config.but(momentum=0.5)) is None


def test_where_no_pilot_run_can_be_lost_or_all_are_no_limit_is_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.limit._FOUND", {})
    for lowest in (0, 15):
        monkeypatch.setattr("core.limit._first_lost", lambda *_, lowest=lowest: lowest)
        assert ceiling(BOSTON.but(model="mlp", hidden=(2 + lowest,))) is None


def test_a_problem_that_is_too_large_for_pilot_runs_has_no_limit() -> None:
    assert ceiling(BOSTON.but(dataset="mnist5k", model="mlp", hidden=(256, 256), batch_size=4000)) is None


def test_no_rate_is_judged_of_rules_that_scale_by_gradients_and_at_momentum_one() -> None:
    for words in ({"optimizer": "adam"}, {"momentum": 1.0}):
        for model in ("linear", "mlp"):
            config = BOSTON.but(model=model, **words)
            assert ceiling(config) is None
            assert not estimated(config)


def test_under_a_schedule_it_is_the_rate_to_be_set_so_that_no_update_is_above_the_limit_of_its_momentum() -> (
    None
):
    plain = ceiling(BOSTON).learning_rate
    for name in ("step", "cosine", "warmup", "onecycle"):
        assert ceiling(BOSTON.but(schedule=name)).learning_rate == pytest.approx(plain, rel=0.02)
    ramp = BOSTON.but(momentum_schedule="ramp", momentum_start=0.98)
    path = np.linspace(0.98, 0.9, 200)
    assert ceiling(ramp).learning_rate == pytest.approx(maps.limits(BOSTON, path).min(), rel=0.01)
    cycle = BOSTON.but(schedule="onecycle", momentum_schedule="cycle", momentum_low=0.0)
    for config in (ramp, cycle):
        safe = config.but(learning_rate=ceiling(config).safe, epochs=200)
        ends = engine.run([safe.but(seed=seed) for seed in range(6)]).groupby("run")["status"].last()
        assert set(ends) == {FINISHED}


def test_without_its_small_last_batch_the_limit_is_that_of_the_data() -> None:
    config = BOSTON.but(batch_size=101)
    x = problem(config, torch.float64).x_train.numpy()
    equal = learning_rate_limit(np.hstack([x, np.ones((len(x), 1))]), 101, 0.9)
    assert without_last_batch(config) == pytest.approx(equal, rel=1e-4)
    assert without_last_batch(BOSTON.but(batch_size=15)) == math.inf
    assert without_last_batch(config.but(model="mlp")) == math.inf


def test_a_cause_is_named_only_if_the_run_would_have_held_without_it() -> None:
    config = BOSTON.but(batch_size=101, learning_rate=0.1)
    assert "last batch of an epoch, 1 row, lowers it" in why_lost(config, ceiling(config))
    above = config.but(learning_rate=1.5 * without_last_batch(config))
    assert "last batch" not in why_lost(above, ceiling(above))
    raw = BOSTON.but(scale=False, learning_rate=0.01)
    assert "With standardised columns" in why_lost(raw, ceiling(raw))
    assert "standardised" not in why_lost(raw.but(learning_rate=50), ceiling(raw))
    assert "pilot runs" in why_lost(BOSTON.but(model="mlp", learning_rate=3), Ceiling(0.1, PILOT))


def test_a_run_is_stable_that_neither_diverged_nor_ended_far_above_its_first_loss() -> None:
    assert held(3.9, False, 1.0, 0.5, 0)
    assert not held(4.1, False, 1.0, 0.5, 0)
    assert not held(0.1, True, 1.0, 0.5, 0)
    assert held(1.4, False, 0.1, 1.0, 3)
    assert not held(1.6, False, 0.1, 1.0, 3)
