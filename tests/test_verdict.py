"""What the sentence about a run promises: it is right where the right answer is known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from core import engine, maps, verdict
from core.config import Config
from core.engine.problem import problem
from core.history import DIVERGED, FINISHED, RUNNING, Record
from core.limit import Ceiling, ceiling
from core.sharpness import config_moments
from core.stability import learning_rate_limit
from core.verdict import digits

BOSTON = Config()
MOONS = Config().but(dataset="moons", model="mlp", hidden=(4,), learning_rate=0.1)


def records(
    train: Sequence[float], valid: Sequence[float] | None = None, metric: float = 0.5, status: str = FINISHED
) -> list[Record]:
    valid = valid or [math.nan] * len(train)
    made = [
        Record(0, k, 13 * k, t, v, metric, metric, 1.0, RUNNING)
        for k, (t, v) in enumerate(zip(train, valid, strict=True))
    ]
    return [*made[:-1], made[-1]._replace(status=status)]


def said(train: Sequence[float], valid: Sequence[float] | None = None, **more: object) -> str:
    return verdict.verdict(BOSTON, records(train, valid, **more))


FALL = [0.5 * 0.9**k for k in range(30)]
LEVEL = [0.2 + 0.3 * 0.5**k for k in range(30)]


def test_before_anything_there_is_nothing_to_judge() -> None:
    assert verdict.verdict(BOSTON, []) == "Not started."
    assert said([0.5], status=RUNNING) == "Before training the loss is 0.5."


def test_a_loss_that_falls_is_said_to_fall() -> None:
    text = said(FALL)
    assert "Training loss is still falling." in text
    assert "down 95 % from 0.5" in text


def test_a_loss_that_has_levelled_off_is_said_to_have() -> None:
    text = said(LEVEL, LEVEL)
    assert text.startswith("Validation loss 0.2 at the end, down 60 % from 0.5; R² 0.50.")
    assert "levelled off" in text
    assert "falling" not in text


@pytest.mark.parametrize(
    ("last", "words"), [(0.25, "down 50 %"), (0.001, "down 99.8 %"), (1e-9, "down more than 99.9 %")]
)
def test_only_all_is_called_a_hundred_percent(last: float, words: str) -> None:
    assert words in said([0.5, 0.4, last])


def test_noise_around_a_level_is_no_fall_and_no_rise() -> None:
    wave = [0.2 + 0.3 * 0.5**k + 0.002 * math.sin(7 * k) for k in range(60)]
    assert "levelled off" in said(wave)


def test_a_loss_that_rises_is_said_to_rise() -> None:
    text = said([0.5 * 1.05**k for k in range(30)])
    assert "rising" in text
    assert "up " in text


def test_overfitting_is_said_with_the_epoch_it_began() -> None:
    valid = [0.5 * 0.9**k if k < 12 else 0.5 * 0.9**12 * 1.05 ** (k - 12) for k in range(30)]
    text = said(FALL, valid)
    epoch = int(text.split("Validation loss was lowest around epoch ")[1].split(";")[0])
    assert 11 <= epoch <= 15
    assert "overfits" in text


def test_validation_that_rises_with_training_is_not_called_overfitting() -> None:
    wave = [0.5 * 0.9**k if k < 12 else 0.5 * 0.9**12 * 1.05 ** (k - 12) for k in range(30)]
    assert "overfit" not in said(wave, wave)


def test_a_model_no_better_than_the_mean_is_called_so() -> None:
    assert "no better than predicting the mean" in said(LEVEL, LEVEL, metric=-0.1)
    assert "R² 0.73" in said(LEVEL, LEVEL, metric=0.73)


def test_classes_are_judged_by_accuracy() -> None:
    text = verdict.verdict(MOONS, records(LEVEL, LEVEL, metric=0.966))
    assert "accuracy 96.6 %." in text
    assert "R²" not in text


def test_a_run_on_its_way_is_told_from_a_finished_one() -> None:
    assert "in epoch 29," in said(LEVEL, status=RUNNING)
    assert "at the end," in said(LEVEL)


@pytest.mark.parametrize(
    ("rate", "limit", "sentence"),
    [
        (
            0.3,
            Ceiling(0.1),
            "Learning rate 0.3 is 3 times the largest stable rate for this data (about 0.1).",
        ),
        (0.11, Ceiling(0.1), "Learning rate 0.11 is 10 % above the largest stable rate"),
        (
            0.05,
            Ceiling(0.1),
            "diverged although it is not above the largest stable rate for this data (about 0.1).",
        ),
        (0.3, None, "Learning rate 0.3 was not stable here for"),
    ],
)
def test_a_lost_run_is_told_its_cause(rate: float, limit: Ceiling | None, sentence: str) -> None:
    lost = records([0.5, 4e5], status=DIVERGED)
    text = verdict.verdict(BOSTON.but(learning_rate=rate), lost, limit)
    assert text.startswith("Diverged in epoch 1, after 13 updates.")
    assert sentence in text


def test_a_lost_runs_updates_are_counted_in_words() -> None:
    for step, words in (
        (1, "after 1 update."),
        (1234, "after 1,234 updates."),
    ):
        lost = [Record(0, 1, step, 1e6, math.nan, 0, 0, math.nan, DIVERGED)]
        assert words in verdict.verdict(BOSTON, lost)


def test_a_run_above_the_limit_is_warned_while_it_still_holds() -> None:
    text = verdict.verdict(BOSTON.but(learning_rate=0.5), records(LEVEL), Ceiling(0.1))
    assert "The largest stable learning rate here is about 0.1; this one is above it." in text
    assert "above" not in verdict.verdict(BOSTON, records(LEVEL), Ceiling(0.1))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("scale", [True, False])
def test_the_ceiling_of_a_line_with_equal_batches_is_that_of_its_data(optimizer: str, scale: bool) -> None:
    config = BOSTON.but(optimizer=optimizer, scale=scale, batch_size=15)
    assert config.train_rows % 15 == 0
    x = problem(config, torch.float64).x_train.numpy()
    momentum = 0.0 if optimizer == "sgd" else 0.9
    limit = learning_rate_limit(np.hstack([x, np.ones((len(x), 1))]), 15, momentum, optimizer == "nesterov")
    assert ceiling(config) == Ceiling(pytest.approx(limit, rel=1e-4))


@pytest.mark.parametrize(
    ("dataset", "batch_size"), [("diabetes", 32), ("boston", 101), ("boston", 200), ("diabetes", 88)]
)
def test_no_run_diverges_at_the_safe_rate_though_the_last_batch_of_an_epoch_is_small(
    dataset: str, batch_size: int
) -> None:
    config = Config().but(dataset=dataset, batch_size=batch_size)
    assert 0 < config.train_rows % batch_size < 6
    epochs = max(50, 3000 // config.steps_per_epoch)
    runs = [config.but(learning_rate=ceiling(config).safe, epochs=epochs, seed=seed) for seed in range(8)]
    assert set(engine.run(runs).groupby("run")["status"].last()) == {FINISHED}


def test_the_ceiling_is_the_limit_that_the_map_draws() -> None:
    for config in (BOSTON, Config().but(dataset="diabetes", batch_size=88, optimizer="nesterov")):
        drawn = float(maps.limits(config, np.array([config.momentum]))[0])
        assert ceiling(config).learning_rate == pytest.approx(drawn)


def test_a_run_that_made_no_update_did_not_end_for_its_learning_rate() -> None:
    lost = [Record(0, 0, 0, 1e12, 1e12, 0.0, 0.0, float("nan"), RUNNING)]
    lost.append(Record(0, 1, 0, 1e12, 1e12, 0.0, 0.0, float("nan"), DIVERGED))
    said = verdict.verdict(BOSTON.but(scale=False), lost, Ceiling(1e-6))
    assert "before its first update" in said
    assert "not standardised" in said
    assert "too large" not in said
    assert "standardised" not in verdict.verdict(BOSTON, lost, Ceiling(0.1))


def test_a_metric_that_is_not_defined_is_not_judged() -> None:
    rows = [Record(0, k, k, 1.0 / (k + 1), 1.0 / (k + 1), 0.5, float("nan"), 1.0, RUNNING) for k in range(3)]
    said = verdict.verdict(BOSTON, rows)
    assert "R² is not defined" in said
    assert "predicting the mean" not in said


def test_dampening_raises_the_ceiling_as_it_shortens_the_steps() -> None:
    plain, half = ceiling(BOSTON), ceiling(BOSTON.but(dampening=0.5))
    assert half.learning_rate == pytest.approx(2 * plain.learning_rate)
    assert ceiling(BOSTON.but(dampening=1.0)) is None
    assert ceiling(BOSTON.but(momentum=0, dampening=0.5)) == ceiling(BOSTON.but(optimizer="sgd"))


@pytest.mark.parametrize("optimizer", ["rmsprop", "adagrad", "adam", "adamw"])
def test_rules_that_scale_by_their_gradients_have_no_ceiling(optimizer: str) -> None:
    assert ceiling(BOSTON.but(optimizer=optimizer)) is None


def hessian(config: Config) -> np.ndarray:
    """The Hessian of a dense network's loss at its first weights, by torch.autograd through torch.nn."""
    torch_seed = torch.Generator().manual_seed(3 * config.seed + 1)
    data = problem(config, torch.float64)
    flat = []
    for layer in config.layers:
        bound = 1 / math.sqrt(layer.fan_in)
        flat += [
            torch.empty(n).uniform_(-bound, bound, generator=torch_seed)
            for n in (layer.outputs * layer.fan_in, layer.outputs)
        ]
    activation = torch.relu if config.activation == "relu" else torch.tanh
    loss = nn.CrossEntropyLoss() if config.dataset.classes else nn.MSELoss()
    target = data.y_train

    def of(parameters: torch.Tensor) -> torch.Tensor:
        a, begin = data.x_train, 0
        for k, layer in enumerate(config.layers):
            size = layer.outputs * layer.fan_in
            weight = parameters[begin : begin + size].reshape(layer.outputs, layer.fan_in)
            bias = parameters[begin + size : begin + size + layer.outputs]
            a = nn.functional.linear(a, weight, bias)
            a = activation(a) if k + 1 < len(config.layers) else a
            begin += size + layer.outputs
        return loss(a, target)

    return torch.autograd.functional.hessian(of, torch.cat(flat).double()).numpy()


@pytest.mark.parametrize(
    "config",
    [
        MOONS.but(valid_fraction=0.5),
        MOONS.but(valid_fraction=0.5, activation="relu"),
        Config().but(dataset="iris", model="mlp", hidden=(3, 3)),
        Config().but(dataset="squares", model="mlp", hidden=(5,), seed=7),
    ],
    ids=["moons", "relu", "iris", "squares"],
)
def test_the_curvature_of_a_network_is_the_largest_eigenvalue_of_its_hessian(config: Config) -> None:
    largest = np.linalg.eigvalsh(hessian(config))[-1]
    assert config_moments(config).largest == pytest.approx(largest, rel=0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize("weight_decay", [0.0, 10.0])
def test_runs_hold_below_the_ceiling_and_are_lost_above_it(optimizer: str, weight_decay: float) -> None:
    config = BOSTON.but(optimizer=optimizer, weight_decay=weight_decay, epochs=200)
    limit = ceiling(config).learning_rate
    runs = [config.but(learning_rate=share * limit, seed=0) for share in (0.7, 2.0)]
    ends = engine.run(runs).groupby("run")["status"].last().tolist()
    assert ends == [FINISHED, DIVERGED]


def test_the_safe_rate_lies_seven_tenths_of_the_way_in_two_digits() -> None:
    assert Ceiling(0.12345).safe == 0.086
    assert Ceiling(2.0).safe == 1.4
    assert Ceiling(3.5746e-05).safe == 2.5e-05


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.1, "0.1"),
        (0.25, "0.25"),
        (0.12345, "0.123"),
        (0.00012345, "0.000123"),
        (0.000099, "9.90e-05"),
        (12.345, "12.3"),
        (100, "100"),
        (999.6, "1,000"),
        (1234.5, "1,234"),
        (654321, "654,321"),
        (999999.6, "1,000,000"),
        (1e6, "1.00e+06"),
        (-0.25, "-0.25"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (9.999, "10"),
        (0.9999, "1"),
    ],
)
def test_numbers_have_three_digits_and_an_exponent_only_where_it_is_short(number: float, text: str) -> None:
    assert digits(number) == text


def test_no_number_of_a_real_run_breaks_the_sentence() -> None:
    for config in (BOSTON.but(epochs=8), MOONS.but(epochs=8), BOSTON.but(learning_rate=50, epochs=3)):
        training = engine.Training([config])
        while training.active:
            training.advance()
            text = verdict.verdict(config, training.records(0), ceiling(config))
            assert text[0].isupper()
            assert text.endswith(".")
            assert "nan" not in text
            assert "None" not in text
