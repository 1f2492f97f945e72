"""What a picture of a run promises: it shows what the weights say, in the data's own units."""

import base64
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from core import learned
from core.config import Config
from core.datasets import COLOURS, DATASETS, from_table
from core.engine import Training
from tests.plain import finished

FIT = Config().but(dataset="squares", epochs=1, batch_size=16)
MOONS = Config().but(dataset="moons", model="linear", epochs=1)
DIGITS = Config().but(dataset="digits", model="mlp", epochs=2)


def with_weights(config: Config, numbers: list[float]) -> Training:
    """A training whose run 0 has known weights."""
    training = Training([config])
    stack, seat = training.place(0)
    stack.params(seat).copy_(torch.tensor(numbers))
    return training


def pixels(table: pd.DataFrame) -> np.ndarray:
    """The picture (height, width, 4) of a map's table, read by another program."""
    from io import BytesIO

    from PIL import Image

    kind, data = table["image"].iloc[0].split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))


def predictions(training: Training, x: np.ndarray) -> np.ndarray:
    """Outputs by torch.nn.functional alone, for a linear model or an MLP with tanh."""
    stack, seat = training.place(0)
    problem, flat = training.problem(0), stack.params(seat)
    a = torch.from_numpy((x - problem.center) / problem.spread).float()
    begin = 0
    layers = training.configs[0].layers
    for k, layer in enumerate(layers):
        middle = begin + layer.outputs * layer.fan_in
        weight = flat[begin:middle].reshape(layer.outputs, layer.fan_in)
        a = functional.linear(a, weight, flat[middle : begin + layer.size])
        a = torch.tanh(a) if k + 1 < len(layers) else a
        begin += layer.size
    return a.numpy() * problem.target_spread + problem.target_center


@pytest.mark.parametrize("scale", [True, False])
def test_the_fitted_line_is_that_of_the_weights_in_the_datas_own_units(scale: bool) -> None:
    training = with_weights(FIT.but(scale=scale), [0.75, -0.25])
    p = training.problem(0)
    table = learned.picture(training).table
    line = table.dropna(subset="fitted")
    x = line["x"].to_numpy(float)
    expected = (0.75 * (x - p.center[0]) / p.spread[0] - 0.25) * p.target_spread + p.target_center
    np.testing.assert_allclose(line["fitted"], expected, rtol=1e-5, atol=1e-3)
    data = training.configs[0].dataset
    assert [x[0], x[-1]] == [data.features.min(), data.features.max()]


def test_the_points_are_the_datas_own_and_in_their_part() -> None:
    training = Training([FIT])
    data, p = FIT.dataset, training.problem(0)
    table = learned.picture(training).table
    for column, rows in (("train", p.train_index), ("valid", p.valid_index)):
        shown = table.dropna(subset=column)
        assert set(zip(shown["x"], shown[column], strict=True)) == set(
            zip(data.features[rows, 0].astype("float32"), data.targets[rows].astype("float32"), strict=True)
        )


def test_predicted_and_actual_are_in_the_targets_unit() -> None:
    training = with_weights(Config().but(epochs=1), [0.0] * 13 + [1.0])
    p = training.problem(0)
    table = learned.picture(training).table
    np.testing.assert_allclose(
        table["train"].fillna(table["valid"]), p.target_center + p.target_spread, rtol=1e-5
    )
    assert set(table["actual"]) <= set(Config().dataset.targets.astype("float32"))
    assert p.target_center == pytest.approx(Config().dataset.targets[p.train_index].mean())
    assert not (table["train"].notna() & table["valid"].notna()).any()


def test_each_row_is_predicted_for_itself() -> None:
    training = with_weights(Config().but(epochs=1), [*np.linspace(-1, 1, 13), 0.3])
    data = Config().dataset
    by_target = {}
    for x, y in zip(data.features, predictions(training, data.features)[:, 0], strict=True):
        by_target.setdefault(round(float(y), 2), x)
    table = learned.picture(training).table
    shown = table["train"].fillna(table["valid"])
    close = [min(abs(float(v) - known) for known in by_target) for v in shown]
    assert max(close) < 0.01


def test_the_map_has_each_class_colour_where_the_weights_say() -> None:
    training = with_weights(MOONS, [-4.0, 0.0, 4.0, 0.0, 0.0, 0.0])  # the right half is of class 1
    picture = learned.picture(training)
    image = pixels(picture.table)
    side, (ground,) = len(image), picture.table.dropna(subset="image").to_dict("records")
    x = np.linspace(ground["x1_low"], ground["x1_high"], side)
    p = training.problem(0)
    sure = 1 / (1 + np.exp(-8 * np.abs(x - p.center[0]) / p.spread[0]))
    chance = np.where(x > p.center[0], sure, 1 - sure)[:, None]
    expected = (1 - chance) * COLOURS[0] + chance * COLOURS[1]
    np.testing.assert_allclose(image[..., :3], np.broadcast_to(expected, (side, side, 3)), atol=1)
    np.testing.assert_allclose(image[side // 2, :, 3], 60 + 110 * (2 * sure - 1), atol=1)


def test_the_top_of_the_map_is_the_top_of_the_data() -> None:
    training = with_weights(MOONS, [0.0, -4.0, 0.0, 4.0, 0.0, 0.0])  # class 1 lies above
    image = pixels(learned.picture(training).table)[..., :3].astype(float)
    top, bottom = image[0].mean(0), image[-1].mean(0)
    assert np.abs(top - COLOURS[1]).max() < 3
    assert np.abs(bottom - COLOURS[0]).max() < 3


def test_all_points_lie_on_the_map() -> None:
    table = learned.picture(Training([MOONS])).table
    ground, points = table.dropna(subset="image").iloc[0], table.dropna(subset="label")
    assert points["x1"].between(ground["x1_low"], ground["x1_high"]).all()
    assert points["x2"].between(ground["x2_low"], ground["x2_high"]).all()
    assert len(points) == pytest.approx(learned.DRAWN, abs=2)


def test_confusion_counts_are_those_of_counting_one_by_one() -> None:
    training = finished(Training([DIGITS]))
    data, rows = DIGITS.dataset, training.problem(0).valid_index
    guesses = predictions(training, data.features[rows]).argmax(1)
    counts = {(a, g): 0 for a in range(10) for g in range(10)}
    for actual, guess in zip(data.targets[rows], guesses, strict=True):
        counts[int(actual), int(guess)] += 1
    table = learned.picture(training).table
    shown = {
        (int(r.actual), int(r.predicted)): int(r.n) for r in table.rename(columns={"count": "n"}).itertuples()
    }
    assert shown == counts
    assert table.groupby("actual")["share"].sum().tolist() == pytest.approx([1.0] * 10)
    right = sum(counts[k, k] for k in range(10)) / len(rows)
    assert right == pytest.approx(training.records(0)[-1].valid_metric)


def test_without_validation_rows_the_training_rows_are_counted() -> None:
    config = DIGITS.but(valid_fraction=0.0)
    assert learned.picture(Training([config])).table["count"].sum() == config.dataset.rows


def test_a_class_that_does_not_occur_has_no_share() -> None:
    frame = pd.DataFrame({"a": range(40), "b": 0.5, "c": 1.0, "kind": ["x"] * 38 + ["y"] * 2})
    config = Config(dataset=from_table(frame, target="kind"), valid_fraction=0.1, epochs=1)
    table = learned.picture(Training([config])).table
    assert np.isfinite(table["share"]).all()


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_dataset_has_a_picture_of_a_bounded_size(name: str) -> None:
    config = Config().but(dataset=name, epochs=1)
    picture = learned.picture(Training([config]))
    assert picture.kind == learned.kind(config)
    assert len(picture.table) <= learned.DRAWN + learned.LINE + 2
    assert learned.WORDS[picture.kind]
    numbers = picture.table.select_dtypes("number")
    assert np.isfinite(numbers.fillna(0)).all(axis=None)


def test_a_lost_run_is_pictured_at_its_last_finite_weights() -> None:
    training = finished(Training([Config().but(learning_rate=100.0, epochs=3)]))
    table = learned.picture(training).table
    assert all(math.isfinite(v) for v in table["train"].dropna())
