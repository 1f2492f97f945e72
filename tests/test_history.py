"""What a drawn curve promises: extremes are kept, points stay where they are, the size is bounded."""

import math

import numpy as np
import pandas as pd
import pytest

from core.history import CURVE, DIVERGED, FINISHED, RUNNING, Change, History, Record, curve, table

EPOCH = 10  # steps in an epoch


def history_of(losses: np.ndarray, planned: int | None = None) -> History:
    history = History(1, planned or len(losses))
    history.batch_loss[: len(losses), 0] = losses
    history.step_count = len(losses)
    return history


def record(epoch: int, train: float, valid: float = math.nan, status: str = RUNNING) -> Record:
    return Record(0, epoch, epoch * EPOCH, train, valid, 0.5, 0.5, 1.0, status)


def drawn(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table[["epoch", column]].dropna()


def noise(steps: int) -> np.ndarray:
    return np.random.default_rng(0).exponential(size=steps).astype(np.float32)


def test_a_short_run_is_drawn_whole() -> None:
    losses = noise(200)
    points = drawn(curve(history_of(losses), 0, EPOCH, 20), "raw")
    np.testing.assert_array_equal(points["raw"], losses)
    np.testing.assert_allclose(points["epoch"], np.arange(200) / EPOCH, rtol=1e-6)


@pytest.mark.parametrize("steps", [301, 1000, 4097, 123_457])
def test_the_lowest_and_the_highest_of_each_bin_are_kept(steps: int) -> None:
    losses = noise(steps)
    points = drawn(curve(history_of(losses), 0, 1, steps), "raw")
    width = next(2**k for k in range(30) if steps <= 300 * 2**k)
    kept = dict(zip(points["epoch"].astype(int), points["raw"], strict=True))
    for begin in range(0, steps, width):
        block = losses[begin : begin + width]
        for place in (begin + block.argmin(), begin + block.argmax()):
            assert kept[place] == losses[place]
    assert len(kept) <= 2 * math.ceil(steps / width)


def test_one_spike_is_never_lost() -> None:
    for place in (0, 7, 5000, 99_998, 99_999):
        losses = np.ones(100_000, dtype=np.float32)
        losses[place] = 1e5
        points = drawn(curve(history_of(losses), 0, 1000, 100), "raw")
        spike = points[points["raw"] == 1e5]
        assert spike["epoch"].tolist() == [pytest.approx(place / 1000, abs=1e-5)]


def test_points_that_are_drawn_stay_while_the_run_grows() -> None:
    losses = noise(20_000)
    before: set[int] = set()
    for steps in range(50, 20_000, 173):
        now = set(drawn(curve(history_of(losses[:steps], 20_000), 0, 1, 20_000), "raw")["epoch"].astype(int))
        width = next(2**k for k in range(30) if steps <= 300 * 2**k)
        earlier = next(2**k for k in range(30) if steps - 173 <= 300 * 2**k)
        settled = {place for place in before if place < (steps - 173) // width * width}
        if width == earlier:
            assert settled <= now
        else:  # bins were joined in pairs: nothing new appears among what was drawn
            assert {place for place in now if place < (steps - 173) // width * width} <= before
        before = now


@pytest.mark.parametrize("steps", [0, 1, 299, 300, 301, 5000, 1_000_000])
def test_the_table_has_a_bounded_size(steps: int) -> None:
    history = history_of(noise(steps), 1_000_000)
    history.records[0] = [record(k, 1.0) for k in range(steps // EPOCH + 1)]
    table = curve(history, 0, EPOCH, 100_000)
    assert len(table) <= 600 + 151 + 2
    assert list(table.columns) == list(CURVE)
    assert set(table.dtypes.astype(str)) == {"float32"}
    assert table["epoch"].is_monotonic_increasing


def test_many_changes_do_not_make_the_table_grow_without_end() -> None:
    history = history_of(noise(1000))
    history.changes = [Change(0, k, "learning_rate", 0.1) for k in range(1000)]
    assert len(curve(history, 0, EPOCH, 100)) <= 600 + 65 + 2


def test_first_and_last_epoch_are_always_drawn() -> None:
    for epochs in (1, 2, 149, 150, 151, 9999):
        history = history_of(np.ones(4, dtype=np.float32))
        history.records[0] = [record(k, 1.0 + k) for k in range(epochs + 1)]
        points = drawn(curve(history, 0, EPOCH, epochs), "train")
        assert points["epoch"].iloc[[0, -1]].tolist() == [0, epochs]


@pytest.mark.parametrize("steps", [5, 400, 50_000])
def test_the_moving_mean_of_a_constant_is_that_constant(steps: int) -> None:
    table = curve(history_of(np.full(steps, 0.7, dtype=np.float32)), 0, EPOCH, 5000)
    np.testing.assert_allclose(drawn(table, "smooth")["smooth"], 0.7, rtol=1e-6)


def test_the_moving_mean_is_centred_and_as_wide_as_an_epoch() -> None:
    losses = noise(250)
    points = drawn(curve(history_of(losses), 0, EPOCH, 25), "smooth")
    for place, mean in zip(range(250), points["smooth"], strict=True):
        half = min(EPOCH // 2, place, 249 - place)
        assert mean == pytest.approx(losses[place - half : place + half + 1].mean(), rel=1e-5)


def test_the_moving_mean_does_not_lag_behind_a_fall_in_a_short_run() -> None:
    falling = np.linspace(3.0, 0.0, 3 * EPOCH, dtype=np.float32)
    points = drawn(curve(history_of(falling), 0, EPOCH, 3), "smooth")
    np.testing.assert_allclose(points["smooth"], falling[: len(points)], atol=1e-5)


def test_the_epochs_planned_are_there_from_the_first_moment_on() -> None:
    for steps in (0, 40):
        table = curve(history_of(noise(steps), 500), 0, EPOCH, 50)
        ends = table[table.drop(columns="epoch").isna().all(axis=1)]
        assert ends["epoch"].tolist() == [0, 50]


def test_a_lost_run_has_one_cross_at_its_last_finite_state() -> None:
    history = history_of(np.array([1, 5, 900], dtype=np.float32), 100)
    history.records[0] = [record(0, 2.0), Record(0, 1, 3, 5e6, math.nan, 0, 0, math.nan, DIVERGED)]
    table = curve(history, 0, EPOCH, 10)
    assert drawn(table, "lost").to_numpy().tolist() == [[pytest.approx(0.3), 5e6]]
    history.records[0] = [record(0, 2.0), record(1, 1.0, status=FINISHED)]
    assert drawn(curve(history, 0, EPOCH, 10), "lost").empty


def test_a_change_is_marked_where_it_was_made_with_what_it_set() -> None:
    history = history_of(noise(50), 100)
    history.changes = [Change(0, 20, "learning_rate", 0.5), Change(0, 31, "momentum", 0.25)]
    marks = curve(history, 0, EPOCH, 10).dropna(subset="changed")
    assert marks["epoch"].tolist() == [2.0, pytest.approx(3.1)]
    assert marks["changed"].tolist() == [history.batch_loss[20, 0], history.batch_loss[31, 0]]
    assert marks["learning_rate"].iloc[0] == 0.5
    assert marks["momentum"].iloc[1] == 0.25
    assert marks[["learning_rate", "momentum"]].isna().to_numpy().sum() == 2


def test_of_what_was_set_several_times_at_one_step_the_last_is_marked() -> None:
    history = history_of(noise(50), 100)
    history.changes = [Change(0, 20, "learning_rate", value) for value in (0.5, 0.25, 0.125)]
    history.changes.append(Change(0, 20, "momentum", 0.75))
    marks = curve(history, 0, EPOCH, 10).dropna(subset="changed")
    assert marks["learning_rate"].dropna().tolist() == [0.125]
    assert marks["momentum"].dropna().tolist() == [0.75]


def test_a_change_of_something_else_is_not_called_momentum() -> None:
    history = history_of(noise(50), 100)
    history.changes = [Change(0, 20, "weight_decay", 0.5)]
    marks = curve(history, 0, EPOCH, 10).dropna(subset="changed")
    assert len(marks) == 1
    assert marks[["learning_rate", "momentum"]].isna().to_numpy().all()


def test_a_change_before_the_first_step_and_one_not_yet_followed_do_no_harm() -> None:
    history = history_of(noise(0), 100)
    history.changes = [Change(0, 0, "learning_rate", 0.5)]
    assert curve(history, 0, EPOCH, 10)["epoch"].tolist() == [0, 0, 10]
    history = history_of(noise(5), 100)
    history.changes = [Change(0, 5, "learning_rate", 0.5)]
    assert curve(history, 0, EPOCH, 10)["changed"].dropna().tolist() == [history.batch_loss[4, 0]]


def test_neighbours_are_not_drawn() -> None:
    history = History(2, 30)
    history.batch_loss[:20, 0], history.batch_loss[:, 1] = noise(20), 7.0
    history.step_count = 30
    history.changes = [Change(1, 3, "momentum", 0.1)]
    history.records[1] = [record(0, 7.0)]
    table = curve(history, 0, EPOCH, 3)
    assert len(drawn(table, "raw")) == 20
    assert not (table == 7.0).to_numpy().any()
    assert table["changed"].isna().all()


def test_the_table_for_a_person_has_the_pages_words_and_no_empty_column() -> None:
    aside = table([record(0, 2.0, 3.0), record(1, 1.0, 1.5)], "R²")
    assert list(aside) == [
        *("Epoch", "Update", "Training loss", "Validation loss", "Training R²", "Validation R²"),
        *("Gradient norm", "Status"),
    ]
    assert aside["Validation loss"].tolist() == [3.0, 1.5]
    alone = table([Record(0, 1, 10, 2.0, math.nan, 0.5, math.nan, 1.0, FINISHED)], "Accuracy")
    assert list(alone) == ["Epoch", "Update", "Training loss", "Training accuracy", "Gradient norm", "Status"]
