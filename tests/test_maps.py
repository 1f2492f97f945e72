"""Maps: what is predicted is what runs do, every cell is trained once, and bad input gets an answer."""

import threading
import time

import numpy as np
import pandas as pd
import pytest

from core import engine, maps
from core.config import Config
from core.datasets import from_table
from core.jobs import FINISHED, Limits, Manager
from core.maps import Map, axes, band, predict, with_rule
from core.registry import OutOfRange
from core.sharpness import epoch_noise, input_moments, local_moments
from core.stability import NotATable, full_batch_limit, learning_rate_limits

BOSTON = Config().but(dataset="boston", epochs=10)
MOONS = Config().but(dataset="moons", model="mlp", epochs=2)


def table(features: np.ndarray, seed: int = 0) -> Config:
    """A linear model of a table of one's own, trained on all rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(features, columns=[f"x{k}" for k in range(features.shape[1])])
    target = features.sum(1) + rng.standard_normal(len(features))
    data = from_table(frame.assign(y=target), "y", task="regression")
    return Config().but(dataset=data, valid_fraction=0.0, epochs=20)


def finished(mapped: Map) -> Map:
    while mapped.active:
        mapped.advance()
    return mapped


def test_the_axes_span_what_matters_and_begin_without_momentum() -> None:
    grid = axes(BOSTON, 16)
    limits = maps.limits(BOSTON, grid.momenta)
    assert grid.shape == (16, 16)
    assert grid.momenta[0] == 0.0
    assert grid.momenta[-1] == pytest.approx(0.99)
    assert np.ptp(np.diff(np.log(1 - grid.momenta))) < 1e-12
    assert np.ptp(np.diff(np.log(grid.learning_rates))) < 1e-12
    assert grid.learning_rates[0] == pytest.approx(0.02 * limits.min())
    assert grid.learning_rates[-1] == pytest.approx(5 * limits.max())
    for rate in grid.learning_rates:
        with_rule(BOSTON, rate, 0.5)  # no rate is outside what can be set


@pytest.mark.parametrize("size", [1, 65, 2.5, "many"])
def test_a_size_that_cannot_be_says_what_would_be_good(size: object) -> None:
    with pytest.raises(OutOfRange, match=r"size must be a whole number in \[2, 64\]"):
        axes(BOSTON, size)  # type: ignore[arg-type]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_growth_passes_one_where_the_limit_lies(optimizer: str) -> None:
    config = BOSTON.but(optimizer=optimizer)
    prediction = predict(config, axes(config, 12))
    assert prediction.exact
    assert ((prediction.growth < 1.0) == (prediction.ratio < 1.0)).all()
    nesterov = predict(BOSTON, prediction.axes, nesterov=True)
    assert (optimizer == "nesterov") == np.array_equal(nesterov.limit, prediction.limit)


def test_the_ceilings_of_full_batches_are_the_closed_forms() -> None:
    config = BOSTON.but(batch_size=405)
    prediction = predict(config, axes(config, 5))
    largest = 2.0 / prediction.full_batch["sgd"][0]
    for name, momenta, nesterov in (
        ("sgd", [0.0] * 5, False),
        ("momentum", prediction.axes.momenta, False),
        ("nesterov", prediction.axes.momenta, True),
    ):
        closed = [full_batch_limit(largest, m, nesterov) for m in momenta]
        assert prediction.full_batch[name] == pytest.approx(closed, rel=1e-12)
    assert prediction.limit == pytest.approx(prediction.full_batch["momentum"], rel=1e-9)


def test_bands_change_at_seven_tenths_and_at_twice_the_limit() -> None:
    assert [band(r) for r in (0.0, 0.69, 0.7, 1.99, 2.0, 9.0)] == [
        *("safe", "safe", "amber", "amber", "unsafe", "unsafe")
    ]
    prediction = predict(BOSTON, axes(BOSTON, 6))
    assert [[band(r) for r in row] for row in prediction.ratio] == prediction.bands.tolist()


def test_scaling_moves_curvature_limit_and_map_together() -> None:
    scaled, raw = (predict(c, axes(c, 6)) for c in (BOSTON, BOSTON.but(scale=False)))
    times = raw.limit / scaled.limit
    assert (times < 1e-3).all()
    assert raw.axes.learning_rates[-1] < scaled.axes.learning_rates[0]
    assert raw.full_batch["sgd"][0] < 1e-3 * scaled.full_batch["sgd"][0]


@pytest.mark.parametrize(
    ("config", "times"),
    [
        (BOSTON.but(epochs=50), 3.0),
        (BOSTON.but(batch_size=4), 3.0),
        (BOSTON.but(batch_size=405, epochs=150), 1.5),
        (BOSTON.but(optimizer="nesterov", epochs=50), 3.0),
        (BOSTON.but(scale=False, epochs=50), 3.0),
        (BOSTON.but(dataset="diabetes", epochs=50), 3.0),
    ],
    ids=["boston", "batch 4", "full batch", "nesterov", "unscaled", "diabetes"],
)
def test_runs_hold_in_the_safe_band_and_are_lost_far_above_the_limit(config: Config, times: float) -> None:
    grid = axes(config, 8)
    prediction, mapped = predict(config, grid), finished(Map(config, grid))
    assert not mapped.diverged[prediction.bands == "safe"].any()
    assert mapped.diverged[prediction.ratio > times].all()


def test_a_last_batch_of_one_row_lowers_the_limit() -> None:
    config = BOSTON.but(batch_size=404, epochs=100)  # of 405 rows
    assert epoch_noise(405, 404) == pytest.approx([1 / 404 / 404, 1.0])
    assert epoch_noise(404, 101) == pytest.approx([(404 - 101) / 403 / 101] * 4)
    grid = axes(config, 8)
    prediction, mapped = predict(config, grid), finished(Map(config, grid))
    assert (prediction.limit < 0.3 * maps.limits(config.but(batch_size=405), grid.momenta)).all()
    assert not mapped.diverged[prediction.bands == "safe"].any()
    assert (mapped.diverged | (mapped.loss > mapped.first))[prediction.ratio > 8].all()


def test_a_networks_prediction_is_called_local_and_counts_the_batches_noise() -> None:
    config = BOSTON.but(model="mlp")
    grid = axes(config, 8)
    small, full = (predict(config.but(batch_size=b), grid) for b in (4, 405))
    assert not small.exact
    assert full.limit == pytest.approx(full.full_batch["momentum"], rel=1e-9)
    assert (small.limit < 0.9 * full.limit).all()
    prediction, mapped = predict(config, grid), finished(Map(config, grid))
    assert not mapped.diverged[prediction.ratio < 0.3].any()
    assert mapped.diverged[prediction.ratio > 3].all()


@pytest.mark.parametrize(("batch_size", "low", "high"), [(8, 0.9, 2.1), (32, 0.9, 1.3), (405, 0.999, 1.001)])
def test_a_limit_from_one_direction_is_near_the_exact_one_where_that_is_known(
    batch_size: int, low: float, high: float
) -> None:
    momenta = [0.0, 0.5, 0.9]
    exact, local = (
        learning_rate_limits(known(BOSTON), [batch_size], momenta)[:, 0]
        for known in (input_moments, local_moments)
    )
    assert (local / exact > low).all()
    assert (local / exact < high).all()


def test_every_cell_is_the_run_that_its_config_names_and_is_trained_once() -> None:
    config = BOSTON.but(epochs=3, batch_size=64)
    mapped = Map(config, axes(config, 9))
    seen: list[int] = []
    while mapped.active:
        seen += [r.run for r in mapped.advance() if r.status != engine.RUNNING]
    assert sorted(seen) == list(range(81))
    assert mapped.measured.all()
    history = engine.run(mapped.configs)
    last = history.groupby("run").last()
    lost = (last["status"] == engine.DIVERGED).to_numpy().reshape(9, 9)
    assert np.array_equal(mapped.diverged, lost)
    assert mapped.loss[~lost] == pytest.approx(last["valid_loss"].to_numpy().reshape(9, 9)[~lost], rel=1e-6)
    assert np.isnan(mapped.loss[lost]).all()
    assert mapped.first == history.query("epoch == 0")["valid_loss"].iloc[0]


def test_a_map_fills_in_from_coarse_to_fine() -> None:
    mapped = Map(BOSTON.but(epochs=1), axes(BOSTON, 16))
    counts = []
    while mapped.active:
        before = mapped.measured.sum()
        mapped.advance()
        if mapped.measured.sum() != before and mapped._training is None:
            counts.append(int(mapped.measured.sum()))
            strides = maps.level(mapped.axes.shape)
            if len(counts) <= 3:
                assert np.array_equal(mapped.measured, strides >= (8, 4, 2)[len(counts) - 1])
    assert counts == [4, 16, 64, 128, 192, 256]


def test_a_cell_not_yet_measured_shows_its_coarser_neighbour() -> None:
    mapped = Map(BOSTON, axes(BOSTON, 8))
    mapped.loss[0, 0], mapped.diverged[0, 4], mapped.loss[4, 0], mapped.loss[4, 4] = 1.0, True, 2.0, 3.0
    mapped.loss[6, 6] = 4.0
    loss, diverged, own = mapped.filled()
    assert own.sum() == 5
    assert (loss[:4, :4] == 1.0).all()
    assert diverged[:4, 4:].all()
    assert np.isnan(loss[:4, 4:]).all()
    assert (loss[4:, :4] == 2.0).all()
    assert (loss[4:6, 4:] == 3.0).all()
    assert (loss[6:, 6:] == 4.0).all()
    assert diverged.sum() == 16


def test_the_table_has_a_row_for_each_measured_cell() -> None:
    mapped = finished(Map(BOSTON.but(epochs=2), axes(BOSTON, 4), target=0.5))
    rows = mapped.table()
    assert len(rows) == 16
    for row in rows.itertuples():
        config = mapped.configs[row.cell]
        assert (config.learning_rate, config.momentum) == (row.learning_rate, row.momentum)
    reached = rows[rows["epochs_to"].notna()]
    assert len(reached)
    assert (reached["loss"] <= 0.5).any()
    assert reached["epochs_to"].isin([1.0, 2.0]).all()
    assert finished(Map(BOSTON.but(epochs=1), axes(BOSTON, 2))).table()["epochs_to"].isna().all()


def test_cells_are_of_the_configs_rule_with_nothing_else_switched_on() -> None:
    given = BOSTON.but(dampening=0.5, weight_decay=0.1, schedule="cosine")
    cell = with_rule(given, 0.1, 0.5)
    assert cell == BOSTON.but(learning_rate=0.1, momentum=0.5)
    assert with_rule(BOSTON.but(optimizer="nesterov"), 0.1, 0.5).optimizer.name == "nesterov"
    for other in ("sgd", "adam"):
        assert with_rule(BOSTON.but(optimizer=other), 0.1, 0.5).optimizer.name == "momentum"


def test_without_a_validation_part_the_training_loss_counts() -> None:
    config = BOSTON.but(valid_fraction=0.0, epochs=2)
    mapped = finished(Map(config, axes(config, 2)))
    train = engine.run(mapped.configs).groupby("run")["train_loss"].last().to_numpy().reshape(2, 2)
    held = ~mapped.diverged
    assert held.any()
    assert mapped.loss[held] == pytest.approx(train[held], rel=1e-6)


def test_a_map_is_a_job_that_tells_how_far_it_is_and_can_be_stopped_and_read_meanwhile() -> None:
    manager = Manager(Limits(slots=1))
    try:
        config = MOONS.but(epochs=20)
        mapped = Map(config, axes(config, 16))
        job = manager.submit([], make=lambda: mapped, updates=mapped.steps)
        job.attach("test")
        done, errors = [], []

        def read() -> None:
            try:
                while not job.over:
                    mapped.filled(), mapped.table(), done.append(job.done / max(1, job.steps))
                    time.sleep(0.005)
            except Exception as error:
                errors.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        until = time.monotonic() + 10
        while mapped.measured.sum() < 4 and time.monotonic() < until:
            time.sleep(0.01)
        job.stop()
        job.wait()
        reader.join(timeout=5)
        assert not errors
        assert 4 <= mapped.measured.sum() < 256
        assert done == sorted(done)
        small = Map(BOSTON.but(epochs=2), axes(BOSTON, 4))
        job = manager.submit([], make=lambda: small, updates=small.steps)
        job.attach("test")
        while not job.over and time.monotonic() < until:
            time.sleep(0.01)
        assert (job.state, job.done) == (FINISHED, job.steps)
        assert small.measured.all()
    finally:
        manager.close()


def test_only_a_cell_in_training_has_a_place() -> None:
    mapped = Map(BOSTON, axes(BOSTON, 4))
    with pytest.raises(ValueError, match="Cell 0 is not being trained now"):
        mapped.place(0)
    mapped.advance(1)
    stack, seat = mapped.place(0)
    assert stack.configs[seat] == mapped.configs[0]
    with pytest.raises(ValueError, match="Cell 1 is not being trained now"):
        mapped.place(1)
    finished(mapped)
    assert mapped.advance() == []


RNG = np.random.default_rng(1)
PLAIN = RNG.standard_normal((60, 3))
SPIKE = np.column_stack([PLAIN, np.eye(60)[0]])


@pytest.mark.parametrize(
    "config",
    [
        table(SPIKE).but(valid_fraction=0.5, seed=2),
        table(np.column_stack([PLAIN, PLAIN])),
        table(RNG.standard_normal((12, 30))),
        table(PLAIN[:10]).but(valid_fraction=0.9),
        table(PLAIN).but(batch_size=5000),
        table(PLAIN).but(batch_size=1),
    ],
    ids=["constant column", "duplicate columns", "n < d", "one row", "batch > n", "batch 1"],
)
def test_odd_tables_get_a_map_that_is_right(config: Config) -> None:
    grid = axes(config, 6)
    prediction, mapped = (
        predict(config, grid),
        finished(Map(config.but(epochs=max(20, 240 // config.steps_per_epoch)), grid)),
    )
    assert np.isfinite(prediction.growth).all()
    assert (prediction.limit > 0).all()
    assert not mapped.diverged[prediction.ratio < 0.7].any()
    assert mapped.diverged[prediction.ratio > 3].all()


def test_one_row_leaves_only_the_bias() -> None:
    config = table(PLAIN[:10]).but(valid_fraction=0.9)
    assert config.train_rows == 1
    assert predict(config, axes(config, 4)).full_batch["sgd"] == pytest.approx([1.0] * 4)


def test_duplicate_columns_count_as_one_of_twice_the_curvature() -> None:
    column = PLAIN[:, :1]
    once, twice = table(column), table(np.column_stack([column, column]))
    large = twice.but(batch_size=60), once.but(batch_size=60)
    both, one = (maps.limits(c, np.array([0.0]))[0] for c in large)
    assert (one, both) == (pytest.approx(1.0), pytest.approx(0.5))


@pytest.mark.parametrize("size", [1e9, 1e12])
def test_columns_too_large_for_any_rate_are_told_to_be_scaled(size: float) -> None:
    config = table(PLAIN * size / np.abs(PLAIN).max())
    assert axes(config, 4).shape == (4, 4)
    with pytest.raises((maps.NoMap, NotATable), match=r"standardise the columns|must be scaled"):
        axes(config.but(scale=False), 4)
