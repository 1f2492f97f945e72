"""What a chart promises: a constant dict that validates, draws only named columns and holds no data."""

import copy
import json
import math
import re
from functools import partial
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from core import charts
from core.charts import base

ROOT = Path(__file__).parent.parent
NASTY = ("""<b>a</b>'"\\ {c} ${d} 😀""", "two\nlines\u2028", "SGD + momentum · η 0.01 · μ 0.9 · n = 5")
STYLES = charts.rival_styles(("sgd", "adam", "momentum"))
MAKERS = [maker for name, maker in vars(charts).items() if name.endswith("_spec")]


def compared(**options):
    return charts.compare_spec(NASTY, STYLES, "epoch", "loss", **options)


RATE, REST, PLAIN = ("learning rate", "log"), ("momentum", "rest"), ('dampening\'s "d"', "linear")
KINDS = ("belief", "uncertainty", "improvement", "truth")
PARALLEL = ("learning rate", "momentum", "the 'loss'")
ALONE = tuple(name for name in charts.HISTORY_COLUMNS if name not in ("random_best", "grid_best"))
SPECS = {  # and the columns of its table
    "loss_log": (lambda: charts.loss_spec(True), charts.LOSS_COLUMNS),
    "loss_linear": (lambda: charts.loss_spec(False), charts.LOSS_COLUMNS),
    "metric": (lambda: charts.curve_spec("train", "valid", title="accuracy"), ("epoch", "train", "valid")),
    "norm": (lambda: charts.curve_spec("value", title="gradient norm", log=True), ("epoch", "value")),
    "fit": (lambda: charts.fit_spec("dose", "answer"), charts.FIT_COLUMNS),
    "predicted": (lambda: charts.predicted_spec("mg/dl"), charts.PREDICTED_COLUMNS),
    "decision": (lambda: charts.decision_spec(("inner", "outer")), charts.DECISION_COLUMNS),
    "confusion": (lambda: charts.confusion_spec(("a", "b's", "c\\d")), charts.CONFUSION_COLUMNS),
    "compare": (lambda: compared(), charts.compare_columns(3)),
    "compare_linear": (lambda: compared(log=False), charts.compare_columns(3)),
    "compare_one": (lambda: compared(focus=1), charts.compare_columns(3)),
    "history": (lambda: charts.history_spec(), ALONE),
    "history_rivals": (lambda: charts.history_spec(True, y_title="MSE"), charts.HISTORY_COLUMNS),
    "curves": (lambda: charts.trial_curves_spec(), charts.TRIAL_CURVE_COLUMNS),
    **{name: (partial(charts.surface_spec, name, RATE, REST), charts.SURFACE_COLUMNS) for name in KINDS},
    "slice": (lambda: charts.slice_spec(REST), charts.SLICE_COLUMNS),
    "slice_linear": (lambda: charts.slice_spec(PLAIN, y_title="MSE"), charts.SLICE_COLUMNS),
    "parallel": (lambda: charts.parallel_spec(PARALLEL), charts.parallel_columns(2)),
    "importance": (lambda: charts.importance_spec(("a", "b's")), charts.IMPORTANCE_COLUMNS),
    "chance": (lambda: charts.chance_spec(), charts.CHANCE_COLUMNS),
    "timeline": (lambda: charts.timeline_spec(), charts.TIMELINE_COLUMNS),
}
every_spec = pytest.mark.parametrize(("make", "columns"), SPECS.values(), ids=SPECS)


def parts(node, key):
    """Every value under `key`, anywhere in the spec."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from parts(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from parts(value, key)


def made(spec):
    """The names that the spec's own transforms make."""
    names = {name for flat in parts(spec, "flatten") for name in flat}
    for value in parts(spec, "as"):
        names.update([value] if isinstance(value, str) else value)
    return names


def read(spec):
    """The columns that the spec reads from the table: fields, folds, and datum in expressions."""
    text = json.dumps(spec)
    folded = {name for fold in parts(spec, "fold") for name in fold}
    fields = {value for value in parts(spec, "field") if isinstance(value, str)}
    mentioned = set(re.findall(r"datum\['(\w+)'\]|datum\.(\w+)", text))
    named = {a or b for a, b in mentioned} - {"value", "label"}  # these two are of a legend or an axis
    return (folded | fields | named) - made(spec)


@every_spec
def test_a_spec_is_valid_vega_lite_without_data_and_reads_the_columns_it_names_and_no_other(make, columns):
    spec = make()
    alt.Chart.from_dict({"data": {"name": "table"}, **spec}).to_dict(validate=True)
    assert read(spec) - {""} == set(columns), "a row's number is of no column"
    assert all(name.isidentifier() for name in {*columns, *made(spec)}), "a dot would be a path"
    assert not {"datasets", "$schema"} & spec.keys()
    assert spec["config"] == {"mark": {"aria": False}}, "colours and fonts are the page's"
    assert not list(parts(spec, "data"))
    assert not [row for values in parts(spec, "values") for row in values if isinstance(row, dict)]


def test_a_spec_is_the_same_object_for_the_same_arguments_and_the_same_text_when_it_is_made_again():
    assert [name for name, (make, _) in SPECS.items() if make() is not make()] == []
    first = {name: json.dumps(make()) for name, (make, _) in SPECS.items()}
    for maker in MAKERS:
        maker.cache_clear()
    alt.Chart().mark_point().add_params(alt.selection_point()).to_dict(validate=False)  # moves the counters
    assert {name: json.dumps(make()) for name, (make, _) in SPECS.items()} == first


@pytest.mark.parametrize("rows", [0, 3])
def test_streamlit_draws_any_table_with_each_spec_and_leaves_it_unchanged(rows):
    from streamlit.testing.v1 import AppTest

    def page(drawn):
        import streamlit as st

        for name, (spec, table) in drawn.items():
            modes = [param["name"] for param in spec.get("params", ()) if param["name"] != "near"]
            options = {"on_select": "rerun", "selection_mode": modes} if modes else {}
            st.vega_lite_chart(table, spec, key=name, alt="a chart", **options)

    drawn = {
        name: (make(), pd.DataFrame({c: [math.nan] * rows for c in columns}, dtype="float32"))
        for name, (make, columns) in SPECS.items()
    }
    before = copy.deepcopy({name: spec for name, (spec, _) in drawn.items()})
    test = AppTest.from_function(page, args=(drawn,), default_timeout=20).run()
    assert not test.exception
    assert {name: spec for name, (spec, _) in drawn.items()} == before
    shown = [json.loads(chart.proto.spec)["layer"] for chart in test.get("vega_lite_chart")]
    assert shown == [spec["layer"] for spec in before.values()]


@every_spec
def test_every_colour_is_one_of_the_shared_ones(make, columns):
    known = {value for name, value in vars(base).items() if name.isupper() and str(value).startswith("#")}
    assert set(re.findall(r"#[0-9a-fA-F]{6}\b", json.dumps(make()))) <= known


def test_a_log_chart_leaves_out_zero_and_below_and_a_linear_one_does_not():
    def filters(spec):
        return [text for text in parts(spec, "filter") if "drawn" in text]

    assert all("> 0" in text for text in filters(charts.loss_spec(True)))
    assert not any("> 0" in text for text in filters(charts.loss_spec(False)))


@pytest.mark.parametrize("log", [True, False])
def test_no_value_is_clamped_and_no_axis_end_is_fixed(log):
    scales = list(parts(charts.loss_spec(log), "scale"))
    numeric = [scale for scale in scales if "range" not in scale]
    assert numeric
    assert not any({"domain", "domainMax", "domainMin", "clamp"} & scale.keys() for scale in numeric)


def channels(colour):
    """Red, green and blue of linear light, in [0, 1]."""
    written = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in written]


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    linear = channels(colour)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def config():
    import tomllib

    return tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_series_stands_out_from_both_pages(theme):
    page = config()["theme"][theme]["backgroundColor"]
    rivals = {colour for rule in charts.COLOURS for colour, _ in charts.rival_styles((rule,) * 8)}
    colours = {*charts.COLOURS.values(), *charts.CLASSES, charts.ALARM, *rivals}
    assert {colour: contrast(colour, page) for colour in colours if contrast(colour, page) < 3} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_both_themes(theme):
    colours = config()["theme"][theme]
    sidebar = colours["sidebar"]
    for ground in (colours["backgroundColor"], colours["secondaryBackgroundColor"], *sidebar.values()):
        assert contrast(colours["textColor"], ground) >= 7
        assert contrast(colours["linkColor"], ground) >= 4.5


def test_each_optimizer_has_its_own_colour_and_its_own_dash():
    from core.optimizers import OPTIMIZERS

    assert set(charts.COLOURS) == set(charts.DASHES) == set(OPTIMIZERS)
    assert len(set(charts.COLOURS.values())) == len(charts.COLOURS)
    assert len({tuple(dash) for dash in charts.DASHES.values()}) == len(charts.DASHES)
    assert len(set(charts.CLASSES)) == len(charts.CLASSES)


RIVALS = [
    ("sgd", "momentum"),
    ("sgd", "momentum", "momentum", "adam"),
    ("sgd", "sgd", "adam", "adam", "momentum", "momentum", "nesterov", "rmsprop"),
    *[(rule,) * 8 for rule in charts.COLOURS],
    (*charts.COLOURS, "sgd"),
]


@pytest.mark.parametrize("names", RIVALS, ids="-".join)
def test_the_first_rival_of_a_rule_looks_as_the_rule_does_everywhere(names):
    styles = charts.rival_styles(names)
    firsts = {name: styles[names.index(name)] for name in names}
    assert firsts == {name: (charts.COLOURS[name], tuple(charts.DASHES[name])) for name in names}


@pytest.mark.parametrize("names", RIVALS, ids="-".join)
def test_no_two_rivals_share_a_colour_or_a_dash(names):
    styles = charts.rival_styles(names)
    assert len(styles) == len(names)
    assert len({colour for colour, _ in styles}) == len({dash for _, dash in styles}) == len(names)
    assert charts.ALARM not in dict(styles)


def test_the_next_rival_of_a_rule_takes_no_rules_own_look_while_there_is_another():
    extra = charts.rival_styles(("sgd", "sgd", "sgd", "sgd"))[1:]
    assert not {colour for colour, _ in extra} & set(charts.COLOURS.values())
    assert not {dash for _, dash in extra} & {tuple(dash) for dash in charts.DASHES.values()}


def test_nine_rivals_are_too_many():
    with pytest.raises(ValueError, match=r"names must be at most 8 rules, got 9\."):
        charts.rival_styles(("sgd",) * 9)


# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB: no red cones, no green cones
SEEN_BY = {
    "protan": [
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ],
    "deutan": [
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ],
}


def times(matrix, vector):
    return [sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix]


def lab(linear):
    """CIELAB under D65 of linear sRGB."""
    to_xyz = [(0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)]
    scaled = [value / white for value, white in zip(times(to_xyz, linear), (0.9505, 1, 1.089), strict=True)]
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_further_rivals_of_a_rule_are_told_from_the_rules_by_colour_blind_eyes(eyes):
    def seen(colour):
        return lab([min(1, max(0, light)) for light in times(SEEN_BY[eyes], channels(colour))])

    extra = [colour for colour, _ in charts.rival_styles(("sgd",) * 4)[1:]]
    near = {
        (a, b): math.dist(seen(a), seen(b)) for a in extra for b in {*charts.COLOURS.values(), *extra} - {a}
    }
    assert min(near.values()) > 10, "2.3 is just noticeable"


def test_a_legend_shows_every_label_as_one_line_of_its_own_text():
    for text in parts(compared(), "labelExpr"):
        shown = json.loads(text.removesuffix("[datum.value]"))
        assert shown == [NASTY[0], "two lines", NASTY[2]]


def test_rivals_of_the_same_words_are_numbered():
    spec = charts.compare_spec(("a", "b", "a"), STYLES, "epoch", "loss")
    tooltip = next(parts(spec, "tooltip"))
    assert [entry["title"] for entry in tooltip] == ["epoch", "a (1)", "b", "a (3)"]


def test_one_tooltip_reads_every_rival():
    (tooltip,) = parts(compared(), "tooltip")
    assert [entry["field"] for entry in tooltip] == ["x", "m0_text", "m1_text", "m2_text"]
    (tooltip,) = parts(compared(focus=1), "tooltip")
    assert [entry["field"] for entry in tooltip] == ["x", "m1_text"]


def test_a_tooltip_can_name_what_has_a_backslash():
    """Vega-Lite 6 makes an expression of the title: it minds the quotes in it, and nothing else."""
    spec = charts.compare_spec(("a\\", 'b"'), STYLES[:2], "epoch", "loss")
    (tooltip,) = parts(spec, "tooltip")
    written = ['"' + entry["title"].replace('"', '\\"') + '"' for entry in tooltip[1:]]
    assert [json.loads(text) for text in written] == ["a\\", 'b"']


@pytest.mark.parametrize(("spec", "column"), [(charts.loss_spec(), "epoch"), (compared(), "x")])
def test_the_word_beside_a_cross_stands_where_there_is_room(spec, column):
    (align,) = [text["expr"] for text in parts(spec, "align")]
    near, left, right = re.fullmatch(
        rf"width - scale\('x', datum\['{column}'\]\) < (\d+) \? '(\w+)' : '(\w+)'", align
    ).groups()
    assert (left, right) == ("right", "left"), "text that ends at the cross lies on its left"
    assert int(near) > 13 + 8 * len("diverged") * 0.8, "pixels: the gap and the letters"
    (gap,) = [text["expr"] for text in parts(spec, "dx")]
    assert gap == align.replace("'right'", "-13").replace("'left'", "13")


def test_a_small_multiple_has_no_words_and_the_values_of_all_rivals():
    spec = compared(focus=1)
    assert not list(parts(spec, "legend"))
    axes = [layer["encoding"][channel] for layer in spec["layer"][0]["layer"] for channel in ("x", "y")]
    assert {axis["title"] for axis in axes} == {None}
    assert spec["layer"][0]["transform"] == compared()["layer"][0]["transform"]
    assert spec["height"] < compared()["height"]


def test_each_multiple_draws_its_own_rival_in_its_own_colour():
    for focus, (colour, _) in enumerate(STYLES):
        bands, others, line, *_ = compared(focus=focus)["layer"][0]["layer"]
        assert bands["mark"]["color"] == line["mark"]["color"] == colour != others["mark"]["color"]
        assert {"filter": f"datum.rival == {focus}"} in line["transform"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"styles": STYLES[:2]}, "styles must be one for each of 3 labels, got 2."),
        ({"focus": 3}, "focus must be None or in [0, 2], got 3."),
        ({"focus": -1}, "focus must be None or in [0, 2], got -1."),
    ],
)
def test_what_does_not_fit_together_is_refused_in_a_sentence(change, said):
    given = {"labels": NASTY, "styles": STYLES, "x_title": "epoch", "y_title": "loss"}
    with pytest.raises(ValueError, match=re.escape(said)):
        charts.compare_spec(**{**given, **change})


def test_numbers_on_axes_are_plain():
    """In d3's words: decimals from 0.000001 up to 999,999; without the 6 it guesses from the step."""
    axes = [axis for spec in (charts.loss_spec(), compared()) for axis in parts(spec, "axis")]
    assert {axis["format"] for axis in axes} == {".6~g"}


def test_colours_are_written_in_one_place_only():
    pattern = re.compile(r"#[0-9a-fA-F]{6}\b")
    lines = (ROOT / "core/charts/base.py").read_text("utf-8").splitlines()
    found = [n for n, line in enumerate(lines) if pattern.search(line)]
    assert found[-1] - found[0] < 12, "all of them stand together at the top"
    others = [*(ROOT / "core").rglob("*.py"), *(ROOT / "pages").glob("*.py"), *ROOT.glob("*.py")]
    strays = [
        p.name for p in others if p != ROOT / "core/charts/base.py" and pattern.search(p.read_text("utf-8"))
    ]
    assert strays == []


MEASURED = charts.map_spec(True)


def test_the_colour_bar_of_the_measured_map_is_logarithmic_and_labelled_in_losses():
    (key,) = [key for key in parts(MEASURED, "legend") if key and "gradientLength" in key]
    assert key["title"] == "loss at the end"
    assert "format(pow(10, datum.value), " in key["labelExpr"]
    assert "log(max(datum.loss, 1e-12)) / log(10)" in json.dumps(MEASURED)


def test_a_run_of_a_map_that_diverged_is_a_cross_in_the_alarm_colour_not_a_dot():
    (layer,) = [layer for layer in MEASURED["layer"] if layer["mark"].get("type") == "point"]
    assert layer["mark"]["shape"] == "M-1,-1L1,1M1,-1L-1,1"
    assert layer["mark"]["stroke"] == charts.ALARM
    assert layer["transform"][0] == {"filter": "datum.lost == 1"}
    assert not [layer for layer in charts.map_spec(False)["layer"] if layer["mark"].get("type") == "point"]


@pytest.mark.parametrize("make", [charts.loss_spec, lambda: compared(), charts.history_spec])
def test_no_reading_line_is_drawn_before_the_pointer_comes(make):
    """A condition on an empty selection holds for every row, unless it says otherwise."""
    conditions = [
        c for found in parts(make(), "condition") for c in (found if type(found) is list else [found])
    ]
    near = [condition for condition in conditions if condition.get("param") == "near"]
    assert near
    assert all(condition["empty"] is False for condition in near)
