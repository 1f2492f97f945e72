"""The Stability page: what it draws is what core predicts and measures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import charts, maps
from core.config import Config
from tests import seen
from tests.seen import progress, said, settled, widget


def opened(**query: str) -> AppTest:
    return seen.opened("stability", **({"dataset": "boston"} | query))


def table(at: AppTest, place: int = 0) -> pd.DataFrame:
    return seen.drawn(seen.charts(at)[place])


def test_the_map_is_drawn_before_any_training_and_is_the_prediction():
    at = opened()
    assert not at.exception
    assert progress(at) == "Predicted, before any training"
    cells = table(at).dropna(subset=["x1"])
    assert len(cells) == 32 * 32
    config = maps.with_rule(Config(), 0.01, 0.9)
    expected = maps.predict(config, maps.axes(config, 32)).growth.ravel()
    assert np.allclose(cells["growth"], expected, rtol=1e-5)


def test_a_measured_map_fills_with_real_runs():
    at = opened(epochs="3")
    widget(at, "w_cells").set_value("16").run()
    at.button(key="start").click().run()
    settled(at, lambda: progress(at).startswith("Finished"))
    assert progress(at) == "Finished · 256 of 256 runs"
    cells = table(at).dropna(subset=["x1"])
    known = np.isfinite(cells["loss"]) | (cells["lost"] == 1)
    assert known.all()
    config = maps.with_rule(Config().but(epochs=3), 0.01, 0.9)
    alone = maps.Map(config, maps.axes(config, 16))
    while alone.active:
        alone.advance()
    assert np.allclose(cells["loss"], alone.loss.ravel(), rtol=1e-5, equal_nan=True)


def limits(at: AppTest) -> list[float]:
    """The largest stable rates that the page states, at momentum 0 and 0.9."""
    (sentence,) = [m.value for m in at.markdown if "largest stable learning rate is" in m.value]
    return [float(part) for part in sentence.split("**")[1:4:2]]


def test_scaling_changes_the_limits_and_they_are_those_of_the_map() -> None:
    scaled, raw = limits(opened()), limits(opened(scale="false"))
    assert all(b < 1e-3 * a for a, b in zip(scaled, raw, strict=True))
    config = maps.with_rule(Config(), 0.01, 0.9)
    assert scaled == pytest.approx(maps.limits(config, np.array([0.0, 0.9])), rel=0.005)


def test_an_opened_page_shows_the_diabetes_table_and_measures_nothing() -> None:
    at = seen.opened("stability")
    assert widget(at, "w_dataset").value == "diabetes"
    assert progress(at) == "Predicted, before any training"
    assert "map" not in seen.link_of(at)


def test_a_recommendation_is_tried_by_runs_and_can_be_trained():
    at = opened()
    at.button(key="recommend").click().run()
    settled(at, lambda: "of 6 runs diverged" in said(at))
    assert not at.exception
    assert any(m.value.startswith("Learning rate **") for m in at.markdown)
    at.button(key="go_train").click().run()
    assert not at.exception


@pytest.mark.parametrize(
    "query", [{"dataset": "moons", "model": "mlp"}, {"dataset": "ravine", "inputs": "1"}]
)
def test_other_problems_open_without_a_traceback(query):
    at = opened(**query)
    assert not at.exception
    assert at.get("vega_lite_chart")


@pytest.mark.parametrize("measured", [True, False])
def test_the_specs_hold_no_data_and_name_the_columns_of_the_table(measured):
    spec = charts.map_spec(measured)
    assert spec == charts.map_spec(measured)
    assert "data" not in spec
    config = maps.with_rule(Config(), 0.01, 0.9)
    drawn = maps.drawn(maps.predict(config, maps.axes(config, 8)))
    assert tuple(drawn.columns) == charts.MAP_COLUMNS
    assert charts.card_spec()["layer"]
    assert charts.range_spec((0.0, 0.5, 0.9))["layer"]


def test_a_maps_lines_lie_where_the_limits_are():
    config = maps.with_rule(Config(), 0.01, 0.9)
    prediction = maps.predict(config, maps.axes(config, 16))
    drawn = maps.drawn(prediction)
    limit = drawn[drawn["line"] == 0]
    assert np.allclose(1 - 10 ** -limit["line_y"], prediction.axes.momenta, atol=1e-6)
    assert np.allclose(limit["line_x"], prediction.limit, rtol=1e-5)
    band = drawn[drawn["line"] == 1]
    assert np.allclose(band["line_x"], 0.7 * prediction.limit, rtol=1e-5)


def test_a_run_that_ends_worse_than_untrained_is_told_from_one_that_diverged():
    config = maps.with_rule(Config().but(epochs=3), 0.01, 0.9)
    measured = maps.Map(config, maps.axes(config, 16))
    while measured.active:
        measured.advance()
    cells = maps.drawn(maps.predict(config, measured.axes), measured).dropna(subset=["x1"])
    lost = cells["lost"].to_numpy()
    assert ((lost == 1) == measured.diverged.ravel()).all()
    assert ((lost == 2) == (measured.loss.ravel() > measured.first)).all()
    assert {0.0, 1.0, 2.0} == set(lost)


def test_train_opens_with_what_was_recommended():
    at = opened()
    at.button(key="recommend").click().run()
    settled(at, lambda: "of 6 runs diverged" in said(at))
    (found,) = [m.value for m in at.markdown if m.value.startswith("Learning rate **")]
    rate, momentum = (float(part) for part in found.split("**")[1:4:2])
    at.button(key="go_train").click().run()
    assert float(widget(at, "w_learning_rate").value) == rate
    assert float(widget(at, "w_momentum").value) == momentum


def test_the_recommendation_goes_to_a_search_around_it() -> None:
    at = opened(epochs="3")
    at.button(key="recommend").click().run()
    settled(at, lambda: any(b.key == "go_tune" for b in at.button))
    rate = float(at.session_state["words"].get("learning_rate", 0.01))
    at.button(key="go_tune").click().run()
    assert not at.exception
    assert any(str(m.value).startswith("**Tune**") for m in at.markdown)
    words = at.session_state["words"]
    assert float(words["learning_rate"]) != rate
    low, high = (float(end) for end in words["space"].split(",")[0].split(":")[1:])
    assert low < float(words["learning_rate"]) < high
    assert words["tune"]
