"""What a preset promises: its link is its config, and what its text says is what the engine measures."""

import pandas as pd
import pytest

from core import engine, verdict
from core.config import Config
from core.history import DIVERGED, FINISHED
from core.presets import OPENING, PRESETS

every_preset = pytest.mark.parametrize("name", list(PRESETS))


def outcome(config: Config) -> pd.DataFrame:
    return engine.run([config])


@every_preset
def test_a_preset_is_a_valid_config_and_its_link_comes_back(name: str) -> None:
    preset = PRESETS[name]
    assert Config.from_query(preset.config.to_query()) == preset.config
    assert Config.from_query(dict(preset.query)) == preset.config
    assert preset.config.to_query().items() <= dict(preset.query).items()


@every_preset
def test_a_preset_says_what_it_is_and_what_to_look_at(name: str) -> None:
    preset = PRESETS[name]
    assert preset.title
    assert preset.look.endswith(".")
    assert not preset.title.endswith(".")


def test_no_two_presets_are_the_same() -> None:
    configs = [preset.config for preset in PRESETS.values()]
    assert len(set(configs)) == len(configs)
    assert len({preset.title for preset in PRESETS.values()}) == len(PRESETS)


def test_the_opening_learns_to_tell_the_two_moons_apart() -> None:
    run = outcome(OPENING.config)
    assert run["status"].iloc[-1] == FINISHED
    assert OPENING.config.dataset.inputs == 2, "its decision map is drawn"
    assert run["valid_loss"].iloc[-1] < 0.05 * run["valid_loss"].iloc[0]
    assert run["valid_metric"].iloc[-1] > 0.99


def test_boston_falls_and_levels_off() -> None:
    run = outcome(PRESETS["boston"].config)
    assert run["status"].iloc[-1] == FINISHED
    assert run["valid_loss"].iloc[-1] < 0.5 * run["valid_loss"].iloc[0]
    assert run["train_loss"].iloc[-1] == pytest.approx(run["train_loss"].iloc[-10], rel=0.02)


def test_the_sgd_tutorial_as_written_is_lost_in_its_first_epoch_and_told_why() -> None:
    config = PRESETS["sgd-written"].config
    run = outcome(config)
    assert (run["status"].iloc[-1], run["epoch"].iloc[-1]) == (DIVERGED, 1)
    limit = verdict.ceiling(config)
    times = config.learning_rate / limit.learning_rate
    assert 300 < times < 1000  # the full-batch ceiling is 2 / (2 E[x²]) ≈ 0.0003; small batches lower it
    text = verdict.why_lost(config, limit)
    assert f"{verdict.digits(times)} times the largest stable rate for this data" in text


@pytest.mark.parametrize(("name", "share"), [("sgd-scaled", 0.2), ("sgd-small", 0.5)])
def test_the_repaired_sgd_tutorials_fall(name: str, share: float) -> None:
    run = outcome(PRESETS[name].config)
    assert run["status"].iloc[-1] == FINISHED
    assert run["train_loss"].iloc[-1] < share * run["train_loss"].iloc[0]


def test_the_three_sgd_tutorials_differ_only_in_what_they_say() -> None:
    written = PRESETS["sgd-written"].config
    assert PRESETS["sgd-scaled"].config == written.but(scale=True)
    assert PRESETS["sgd-small"].config == written.but(learning_rate=0.0001)


def test_on_raw_columns_the_bias_hardly_moves() -> None:
    training = engine.Training([PRESETS["sgd-small"].config])
    stack, seat = training.place(0)
    before = stack.params(seat).clone()
    while training.active:
        training.advance()
    weight, bias = (stack.params(seat) - before).abs().tolist()
    best = -1650.0  # the intercept of the line through x², x = 1…99, is -(99 + 1)(99 + 2) / 6 = -1683
    assert weight > 10
    assert bias < 0.1 * abs(best)


def test_momentum_ends_lower_from_the_same_start_and_the_same_batches() -> None:
    off, on = PRESETS["momentum-off"].config, PRESETS["momentum-on"].config
    assert on == off.but(momentum=0.9)
    runs = engine.run([off, on]).groupby("run")["train_loss"].agg(["first", "last"])
    assert runs["first"].nunique() == 1
    assert runs["last"][1] < 0.5 * runs["last"][0]


def test_the_networks_learn_what_their_presets_say() -> None:
    moons = outcome(PRESETS["moons"].config)
    assert moons["valid_metric"].iloc[-1] > 0.95
    digits = outcome(PRESETS["digits"].config)
    assert digits["valid_metric"].iloc[-1] > 0.9


def test_the_spirals_are_found_in_falls() -> None:
    run = outcome(PRESETS["spirals"].config)
    assert run["valid_metric"].iloc[-1] > 0.9
    loss = run["train_loss"].to_numpy()
    halves = (loss[1:] / loss[:-1]).min()
    assert halves < 0.95


def test_pushed_too_far_diverges_with_momentum_and_not_without() -> None:
    config = PRESETS["too-far"].config
    assert outcome(config)["status"].iloc[-1] == DIVERGED
    assert outcome(config.but(momentum=0))["status"].iloc[-1] == FINISHED
    assert config.learning_rate > verdict.ceiling(config).learning_rate
