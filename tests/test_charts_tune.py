"""What the Tune page's charts promise: constant and free of data, and in a browser they do what they say."""

import json
import math
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from core import charts
from core.charts import base
from tests.browser import ROOT, Visitor, app
from tests.test_charts import KINDS, PARALLEL, PLAIN, RATE, REST, SPECS, parts

N = float("nan")


@pytest.mark.parametrize(
    ("make", "parameter", "fields"),
    [
        (charts.history_spec, "trial", ["trial"]),
        (lambda: charts.surface_spec("truth", RATE, PLAIN), "cell", ["cx", "cy"]),
    ],
)
def test_a_click_selects_by_the_promised_name_and_columns(make, parameter, fields):
    (found,) = [param for param in make()["params"] if param["name"] == parameter]
    assert found["select"]["type"] == "point"
    assert found["select"]["fields"] == fields


def ranges(spec, channel):
    """The ranges of the nominal scales of a channel, the same one once."""
    scales = [entry.get("scale", {}) for entry in parts(spec, channel) if isinstance(entry, dict)]
    return {json.dumps(scale["range"]) for scale in scales if "range" in scale}


@pytest.mark.parametrize("rivals", [False, True])
def test_kinds_of_trials_and_lines_differ_in_colour_and_in_shape(rivals):
    for channel in ("color", "shape"):
        (text,) = ranges(charts.history_spec(rivals), channel)
        values = json.loads(text)
        assert len(values) == len(set(values)) == (8 if rivals else 6)


@pytest.mark.parametrize("rivals", [False, True])
def test_no_text_of_the_history_lies_where_trials_are(rivals):
    marks = [layer["mark"] for layer in charts.history_spec(rivals)["layer"]]
    assert [mark["text"] for mark in marks if mark["type"] == "text"] == ["diverged"]


def test_the_marks_on_a_map_differ_in_shape_or_size_and_in_colour():
    spec = charts.surface_spec("belief", RATE, REST)
    ((shapes,), (fills,), (edges,)) = (map(json.loads, ranges(spec, c)) for c in ("shape", "fill", "stroke"))
    assert len(set(zip(fills, edges, strict=True))) == 5
    assert len({*shapes}) == 4
    assert shapes[0] == shapes[4] == "circle"
    by_mark = [text for text in parts(spec, "calculate") if text.endswith("[datum.mark]")]
    sizes = [json.loads(text.removesuffix("[datum.mark]")) for text in by_mark]
    assert any(size[4] > 4 * size[0] for size in sizes), "what is asked next is a ring around other marks"


def test_looks_of_learning_curves_differ_in_colour_and_in_dash_or_width():
    spec = charts.trial_curves_spec()
    (colours,) = map(json.loads, ranges(spec, "color"))
    assert colours == [base.GREY, base.ORANGE, base.SKY, base.GREEN]
    (dashes,) = map(json.loads, ranges(spec, "strokeDash"))
    widths = [layer["mark"]["strokeWidth"] for layer in spec["layer"]]
    assert len({(str(dash), width) for dash, width in zip(dashes, widths, strict=True)}) == 4
    assert widths[0] == min(widths)
    assert widths[1] == max(widths)


def test_of_learning_curves_only_those_that_go_on_are_dashed():
    (dashes,) = map(json.loads, ranges(charts.trial_curves_spec(), "strokeDash"))
    (names,) = {text.removesuffix("[datum.value]") for text in parts(charts.trial_curves_spec(), "labelExpr")}
    dashed = [name for name, (_, gap) in zip(json.loads(names), dashes, strict=True) if gap > 0]
    assert dashed == ["running"]


def test_a_trial_that_diverged_ends_above_the_labels_and_inside_the_chart(blank):
    spec = charts.parallel_spec(PARALLEL)
    (end,) = [entry["calculate"] for entry in spec_transforms(spec) if entry.get("as") == "end"]
    rows = [{"lost": lost, "p_loss": 0.3} for lost in (0, 1)]
    held, above = blank.evaluate(f"rows => rows.map(datum => {end})", rows)
    scales = [entry["scale"] for entry in parts(spec, "y") if isinstance(entry, dict) and "scale" in entry]
    tops = {scale["domain"][1] for scale in scales}
    assert held == 0.3
    assert 1.05 < above < min(tops)


@pytest.mark.parametrize("name", ["history", "slice", "parallel"])
def test_what_diverged_is_a_cross_in_the_alarm_colour_and_is_said(name):
    marks = [mark for mark in parts(SPECS[name][0](), "mark") if isinstance(mark, dict)]
    (cross,) = [mark for mark in marks if mark.get("shape") == "M-1,-1L1,1M1,-1L-1,1"]
    (word,) = [mark for mark in marks if mark.get("text") == "diverged"]
    assert cross["stroke"] == word["color"] == charts.ALARM


def test_a_map_marks_what_diverged_with_the_same_cross():
    spec = charts.surface_spec("belief", RATE, REST)
    ((shapes,), (edges,)) = (map(json.loads, ranges(spec, c)) for c in ("shape", "stroke"))
    assert (shapes[1], edges[1]) == ("M-1,-1L1,1M1,-1L-1,1", charts.ALARM)


@pytest.mark.parametrize("kind", KINDS)
def test_each_map_says_what_it_shows_and_takes_the_page_theme(kind):
    title = charts.surface_spec(kind, RATE, REST)["title"]
    assert (
        title["text"]
        == {
            "belief": "Surrogate: posterior mean",
            "uncertainty": "Surrogate: standard deviation",
            "improvement": "Expected improvement",
            "truth": "True loss, measured",
        }[kind]
    )
    assert "color" not in title


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: charts.surface_spec("hope", RATE, REST),
            "kind must be one of belief, ",
        ),
        (
            lambda: charts.surface_spec("truth", RATE, ("a", "cubic")),
            "scale must be one of log, ",
        ),
        (lambda: charts.slice_spec(("a", "")), "scale must be one of log, linear, rest, got ''."),
        (
            lambda: charts.parallel_spec(PARALLEL[:1]),
            "names must be those of at least one parameter and the loss, got 1.",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(make, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


@pytest.mark.parametrize("name", ["history", "slice"])
def test_the_axis_of_losses_ends_below_the_lane_of_what_diverged(name):
    spec = SPECS[name][0]()
    scales = [y["scale"] for y in parts(spec, "y") if "scale" in y]
    assert {scale["range"][1] for scale in scales} == {22}
    assert {scale["range"][0]["expr"] for scale in scales} == {"height"}
    heights = {y["value"] for y in parts(spec, "y") if isinstance(y.get("value"), int | float)}
    assert heights
    assert all(0 < height < 22 for height in heights)


@pytest.mark.parametrize("kind", KINDS)
def test_bright_is_where_to_look(blank, kind):
    """A low loss, much unknown, a high improvement; the last one relative, down to a millionth."""
    spec = charts.surface_spec(kind, RATE, REST)
    (scale,) = [c["scale"] for c in parts(spec, "color") if isinstance(c, dict) and "scale" in c]
    assert scale["scheme"] == "viridis"
    assert scale.get("reverse", False) == (kind in ("belief", "truth"))
    (shade,) = [entry["calculate"] for entry in spec_transforms(spec) if entry.get("as") == "shade"]
    written = f"const max = Math.max, isValid = v => v !== null; return {shade};"
    found = blank.evaluate(
        f"rows => rows.map(datum => {{ {written} }})", [{"value": v, "highest": -2} for v in (-2, -5, -40)]
    )
    assert found == ([0, -3, -6] if kind == "improvement" else [-2, -5, -40])
    assert scale.get("domain") == ([-6, 0] if kind == "improvement" else None)


def spec_transforms(spec):
    return [entry for transforms in parts(spec, "transform") for entry in transforms]


def test_the_tooltip_of_a_slice_tells_the_parameters_own_value(blank):
    for parameter, value in ((REST, 0.99), (PLAIN, 2)):
        (made_of,) = [
            e["calculate"] for e in spec_transforms(charts.slice_spec(parameter)) if e.get("as") == "natural"
        ]
        found = blank.evaluate(f"datum => {{ const pow = Math.pow; return {made_of}; }}", {"x": 2})
        assert found == pytest.approx(value)


def test_states_of_a_machine_differ_in_colour_and_in_fill_or_height():
    spec = charts.timeline_spec()
    ((fills,), (edges,)) = (map(json.loads, ranges(spec, channel)) for channel in ("fill", "stroke"))
    heights = [mark["height"]["band"] for mark in parts(spec, "mark") if "height" in mark]
    assert len(set(edges)) == 3
    assert fills[1] == "transparent"
    assert heights[2] < heights[0] / 2 + 0.01


def test_lines_of_rivals_differ_in_dash_and_the_best_is_thick():
    lines = [
        mark for mark in parts(charts.history_spec(True), "mark") if mark.get("interpolate") == "step-after"
    ]
    dashes = {mark["color"]: tuple(mark.get("strokeDash", (1, 0))) for mark in lines}
    assert len(dashes) == len(set(dashes.values())) == 3
    assert dashes[base.ORANGE] == (1, 0)
    assert max(lines, key=lambda mark: mark["strokeWidth"])["color"] == base.ORANGE


def rest_labels(spec, channel):
    return next(entry["axis"] for entry in parts(spec, channel) if "labelExpr" in entry.get("axis", {}))


def test_a_parameter_near_one_is_labelled_with_its_own_values(blank):
    axis = rest_labels(charts.slice_spec(REST), "x")
    label = f"const datum = {{value}}; {FORMAT} return {axis['labelExpr']};"
    said = blank.evaluate(f"values => values.map(value => {{ {label} }})", axis["values"])
    assert said[:6] == ["0", "0.5", "0.9", "0.99", "0.999", "0.9999"]
    for place, text in zip(axis["values"], said, strict=True):
        assert place == pytest.approx(-math.log10(1 - float(text)), abs=1e-4)
    assert axis["values"] == rest_labels(charts.surface_spec("belief", RATE, REST), "y")["values"]


FORMAT = "const pow = Math.pow, ceil = Math.ceil, format = v => String(Number(v.toPrecision(6)));"


@pytest.mark.parametrize("top", [1, 2, 10, 11, 20, 30, 50, 77, 100, 400, 500, 501, 3000])
@pytest.mark.parametrize("first", [0, 1])
def test_an_axis_of_trials_has_their_numbers_or_their_count_in_even_steps(blank, first, top):
    spec = charts.chance_spec() if first else charts.history_spec()
    axis = next(x["axis"] for x in parts(spec, "x") if "axis" in x)
    written = f"const domain = () => [{first}, top]; {FORMAT} return {axis['values']['expr']};"
    ticks = blank.evaluate(f"top => {{ {written} }}", top)
    shown = sorted(tick for tick in ticks if tick <= top)
    assert shown[0] == first
    assert all(float(tick).is_integer() for tick in shown)
    assert len(shown) == len(set(shown)) <= axis["tickCount"], "Vega thins out what is more than that"
    steps = {b - a for a, b in pairwise(shown[1:])}
    assert len(steps) <= 1
    assert all(step % 50 == 0 or step in (1, 2, 5, 10) for step in steps)
    assert top - shown[-1] < max(shown[-1] - shown[-2] if len(shown) > 1 else 1, 1) + (top > 500) * 100


TRIALS = 12
LOST = [k in (3, 7) for k in range(TRIALS)]
LOSSES = [30 + 7 * ((5 * k) % TRIALS) for k in range(TRIALS)]
PLACES = np.random.default_rng(3).random((TRIALS, 3))


def tables() -> dict[str, pd.DataFrame]:
    """A small table for each chart that is tried in the browser."""
    history = [
        {
            **{
                "trial": k + 1,
                "loss": N if LOST[k] else LOSSES[k],
                "low": LOSSES[k] / 1.1,
                "high": LOSSES[k] * 1.1,
            },
            **{"best": min(LOSSES[: k + 1]), "kind": k % 4, "lost": float(LOST[k]), "words": f"rate {k}"},
            **{"baseline": 90.0, "random_best": 80.0, "grid_best": 85.0},
        }
        for k in range(TRIALS)
    ]
    edges = (0.0, 0.5, 1.0, 1.5, 2.0)
    surface = [
        {"x1": 10 ** (a - 4), "x2": 10 ** (b - 4), "y1": c, "y2": d, "value": 1.5 + a * c / 8}
        | {"cx": 10 ** ((a + b) / 2 - 4), "cy": 1 - 10 ** -((c + d) / 2)}
        for a, b in pairwise(edges)
        for c, d in pairwise(edges)
    ]
    surface += [{"px": 10**-3, "py": 0.75 + 0.2 * mark, "mark": mark} for mark in range(5)]
    surface += [{"px": 10.0, "py": 1.0, "mark": 0}, {"lx": 10**-3, "ly": 0.1}, {"lx": 50.0, "ly": 1.9}]
    parallel = [
        {"trial": k + 1, "loss": N if LOST[k] else LOSSES[k], "lost": float(LOST[k]), "best": float(k == 0)}
        | {"words": "w", "p0": PLACES[k, 0], "p1": PLACES[k, 1], "p_loss": N if LOST[k] else PLACES[k, 2]}
        for k in range(TRIALS)
    ]
    parallel += [{"ruler": k, "place": k / 2, "label": f"tick {k}"} for k in range(3)]
    curves = [
        {"trial": k, "epoch": e, "loss": 600 * (100.0**e if k == 4 else 0.5**e), "look": k % 4}
        for k in range(5)
        for e in range(9)
    ]
    return {
        "history": pd.DataFrame(history),
        "surface": pd.DataFrame(surface).reindex(columns=list(charts.SURFACE_COLUMNS)),
        "parallel": pd.DataFrame(parallel),
        "curves": pd.DataFrame(curves),
    }


PAGE = """
import json, sys
sys.path.insert(0, {root!r})
import pandas as pd, streamlit as st
from core import charts
names = {names!r}
drawn = {{
    "history": (charts.history_spec(True), "trial"),
    "surface": (charts.surface_spec("belief", {rate!r}, {rest!r}), "cell"),
    "parallel": (charts.parallel_spec(names), "brush"),
    "curves": (charts.trial_curves_spec(), None),
}}
for name, (spec, mode) in drawn.items():
    table = pd.read_json({folder!r} + "/" + name + ".json")
    with st.container(key=name):
        if mode:
            options = {{"key": "chart_" + name, "on_select": "rerun", "selection_mode": [mode]}}
            event = st.vega_lite_chart(table, spec, **options)
            st.text(json.dumps(event["selection"]))
        else:
            st.vega_lite_chart(table, spec)
"""


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Page]:
    """An empty page: Vega's expressions are JavaScript."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a page that draws the charts of `tables`."""
    folder = tmp_path_factory.mktemp("charts")
    for name, table in tables().items():
        (folder / f"{name}.json").write_text(table.to_json(orient="records"))
    script = PAGE.format(root=str(ROOT), folder=str(folder), names=PARALLEL, rate=RATE, rest=REST)
    (folder / "page.py").write_text(script)
    with app(script=folder / "page.py") as where:
        yield where


@pytest.fixture(scope="module")
def visitor(browser: Browser, address: str) -> Iterator[Visitor]:
    one = Visitor(browser)
    one.open(address)
    one.page.wait_for_function("document.querySelectorAll('svg.marks').length === 4")
    yield one
    one.context.close()
    assert one.complaints == []


def told(visitor: Visitor, name: str) -> dict:
    """What the page was told of a click or a drag on a chart."""
    return json.loads(visitor.page.locator(f".st-key-{name} [data-testid=stText]").inner_text())


def middle(visitor: Visitor, chart: str, mark: str, place: int = 0) -> tuple[float, float]:
    """Where the middle of a drawn mark is."""
    found = visitor.page.locator(f".st-key-{chart} {mark}").nth(place)
    found.scroll_into_view_if_needed()
    box = found.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


CROSSES = f"path[stroke='{charts.ALARM}'][stroke-width='2.6']"


def test_trials_that_diverged_lie_above_all_others_and_do_not_stretch_the_axis(visitor):
    crosses = [middle(visitor, "history", CROSSES, place) for place in range(sum(LOST))]
    points = visitor.page.locator(".st-key-history .mark-symbol.role-mark path[fill^='#']")
    boxes = [points.nth(place).bounding_box() for place in range(points.count())]
    heights = [box["y"] for box in boxes if box and box["width"] > 3]
    assert len({round(y) for _, y in crosses}) == 1
    assert max(y for _, y in crosses) < min(heights)


def test_a_click_on_a_trial_selects_it_also_where_it_diverged(visitor):
    for place, trial in enumerate(k + 1 for k, lost in enumerate(LOST) if lost):
        visitor.page.mouse.click(*middle(visitor, "history", CROSSES, place))
        visitor.until(lambda trial=trial: told(visitor, "history") == {"trial": [{"trial": trial}]})


def test_a_click_on_a_cell_selects_its_middle_also_under_a_trial(visitor):
    """The star, at rate 0.001 and 0.75 + 0.2 * 2 up, is in the cell of 10^-3 … 10^-2.5 and 1 … 1.5."""
    star = ".mark-symbol path[fill='#c77f00']"
    visitor.page.mouse.click(*middle(visitor, "surface", f".role-mark{star}", 0))
    visitor.until(lambda: told(visitor, "surface").get("cell"))
    (cell,) = told(visitor, "surface")["cell"]
    assert math.log10(cell["cx"]) == pytest.approx(-2.75, abs=0.51)
    assert -math.log10(1 - cell["cy"]) == pytest.approx(1.25)


def test_a_trial_outside_the_cells_is_left_out_and_does_not_stretch_the_map(visitor):
    labels = visitor.page.locator(".st-key-surface .role-axis-label text").all_text_contents()
    rates = [float(text) for text in labels if text]
    assert 10**-4 in rates
    assert max(rates) < 1.01
    marks = visitor.page.locator(".st-key-surface .mark-symbol.role-mark.layer_4_marks path")
    assert marks.count() == 5


def test_a_curve_that_rises_far_is_cut_off_so_that_it_hides_no_other(visitor):
    labels = visitor.page.locator(".st-key-curves .role-axis-label text").all_text_contents()
    assert max(float(text.replace(",", "")) for text in labels if text) <= 3000


@pytest.mark.parametrize(
    ("first", "last", "low", "high"),
    [(1, 1, 0.3, 0.8), (0, 1, 0.1, 0.9), (2, 2, -0.01, 0.5), (2, 2, 0.2, 1.12), (0, 2, 0.05, 1.12)],
)
def test_the_brush_fades_exactly_the_trials_outside_it(visitor, first, last, low, high):
    frame = visitor.page.locator(".st-key-parallel svg .background").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    columns = visitor.page.locator(".st-key-parallel .role-axis .role-axis-domain line")
    across = sorted({round(columns.nth(k).bounding_box()["x"]) for k in range(columns.count())})
    assert len(across) == 3
    bottom, top = (box["y"] + box["height"] * (1.14 - at) / 1.17 for at in (low, high))
    visitor.page.mouse.dblclick((across[0] + across[1]) / 2, box["y"] + 5)
    visitor.until(lambda: told(visitor, "parallel") == {"brush": {}})
    visitor.page.mouse.move(across[first] - 15, bottom)
    visitor.page.mouse.down()
    visitor.page.mouse.move(across[last] + 15, top, steps=4)
    visitor.page.mouse.up()
    visitor.until(lambda: told(visitor, "parallel").get("brush"))
    brush = told(visitor, "parallel")["brush"]
    (left, right), (bottom, top) = brush["axis"], brush["at"]
    assert [j for j in range(3) if left <= j <= right] == list(range(first, last + 1))
    ends = np.where(LOST, 1.1, PLACES[:, 2])
    places = np.column_stack([PLACES[:, :2], ends])[:, first : last + 1]
    inside = ((places >= bottom) & (places <= top)).all(1)
    assert inside.any()
    assert not inside.all()
    strands = opacities(visitor, ".strands_marks path[stroke-width='2']")
    assert [opacity == 1 for opacity in strands] == inside[~np.array(LOST)].tolist()
    lost = opacities(visitor, "path[stroke-width='0.8']")
    assert [opacity == 0.5 for opacity in lost] == inside[LOST].tolist()


def test_a_tick_stands_at_its_place_on_the_outer_side_of_its_axis(visitor):
    frame = visitor.page.locator(".st-key-parallel svg .background").first.bounding_box()
    columns = visitor.page.locator(".st-key-parallel .role-axis .role-axis-domain line")
    across = sorted({columns.nth(k).bounding_box()["x"] for k in range(columns.count())})
    for k in range(3):
        box = visitor.page.locator(".st-key-parallel svg text", has_text=f"tick {k}").bounding_box()
        middle = frame["y"] + frame["height"] * (1.14 - k / 2) / 1.17
        assert box["y"] + box["height"] / 2 == pytest.approx(middle, abs=3)
        gap = box["x"] - across[k] if k == 2 else across[k] - box["x"] - box["width"]
        assert gap == pytest.approx(6, abs=2)


def opacities(visitor: Visitor, marks: str) -> list[float]:
    """How the lines of the trials are seen, in the order of the trials."""
    program = "paths => paths.map(path => Number(path.getAttribute('opacity')))"
    return visitor.page.locator(f".st-key-parallel svg {marks}").evaluate_all(program)
