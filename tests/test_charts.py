"""What a chart promises: a constant dict that validates, draws only named columns and holds no data."""

import copy
import json
import re
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from core import charts

ROOT = Path(__file__).parent.parent
SPECS = {
    "loss_log": (lambda: charts.loss_spec(True), charts.LOSS_COLUMNS),
    "loss_linear": (lambda: charts.loss_spec(False), charts.LOSS_COLUMNS),
    "metric": (lambda: charts.curve_spec("train", "valid", title="accuracy"), ("epoch", "train", "valid")),
    "norm": (lambda: charts.curve_spec("value", title="gradient norm", log=True), ("epoch", "value")),
    "fit": (lambda: charts.fit_spec("dose", "answer"), charts.FIT_COLUMNS),
    "predicted": (lambda: charts.predicted_spec("mg/dl"), charts.PREDICTED_COLUMNS),
    "decision": (lambda: charts.decision_spec(("inner", "outer")), charts.DECISION_COLUMNS),
    "confusion": (lambda: charts.confusion_spec(("a", "b's", "c\\d")), charts.CONFUSION_COLUMNS),
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
    names = set()
    for value in parts(spec, "as"):
        names.update([value] if isinstance(value, str) else value)
    return names


def read(spec):
    """The columns that the spec reads from the table: fields, folds, and datum in expressions."""
    text = json.dumps(spec)
    folded = {name for fold in parts(spec, "fold") for name in fold}
    fields = {value for value in parts(spec, "field") if isinstance(value, str)}
    mentioned = set(re.findall(r"datum\['(\w+)'\]|datum\.(\w+)", text))
    named = {a or b for a, b in mentioned if b != "value"}  # datum.value is an entry of a legend or an axis
    return (folded | fields | named) - made(spec)


@every_spec
def test_a_spec_is_valid_vega_lite(make, columns):
    spec = {"data": {"name": "table"}, **make()}
    alt.Chart.from_dict(spec).to_dict(validate=True)


@every_spec
def test_a_chart_reads_the_columns_it_names_and_no_other(make, columns):
    assert read(make()) == set(columns)


@every_spec
def test_no_column_has_a_dot(make, columns):
    assert all(name.isidentifier() for name in {*columns, *made(make())})


@every_spec
def test_a_spec_holds_no_data(make, columns):
    spec = make()
    assert not {"datasets", "$schema", "config"} & spec.keys()
    assert not list(parts(spec, "data"))
    assert not list(parts(spec, "values"))


@every_spec
def test_a_spec_is_the_same_text_when_it_is_made_again(make, columns):
    first = json.dumps(make())
    for maker in (charts.loss_spec, charts.curve_spec, charts.fit_spec, charts.predicted_spec):
        maker.cache_clear()
    charts.decision_spec.cache_clear()
    charts.confusion_spec.cache_clear()
    alt.Chart().mark_point().add_params(alt.selection_point()).to_dict(
        validate=False
    )  # moves Altair's counters
    assert json.dumps(make()) == first


@every_spec
@pytest.mark.parametrize("rows", [0, 3])
def test_streamlit_draws_any_table_with_the_spec_and_leaves_it_unchanged(make, columns, rows):
    from streamlit.testing.v1 import AppTest

    def page(spec, table):
        import streamlit as st

        st.vega_lite_chart(table, spec, alt="a chart")

    spec = make()
    before = copy.deepcopy(spec)
    table = pd.DataFrame({name: [float("nan")] * rows for name in columns}, dtype="float32")
    test = AppTest.from_function(page, args=(spec, table), default_timeout=20).run()
    assert not test.exception
    assert spec == before
    drawn = json.loads(test.get("vega_lite_chart")[0].proto.spec)
    assert drawn["layer"] == spec["layer"]


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


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
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
    colours = {*charts.COLOURS.values(), *charts.CLASSES, charts.ALARM}
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


def test_colours_are_written_in_one_place_only():
    pattern = re.compile(r"#[0-9a-fA-F]{6}\b")
    found = [
        n
        for n, line in enumerate((ROOT / "core/charts.py").read_text("utf-8").splitlines())
        if pattern.search(line)
    ]
    assert found[-1] - found[0] < 12, "all of them stand together at the top"
    others = [*(ROOT / "core").rglob("*.py"), *(ROOT / "pages").glob("*.py"), *ROOT.glob("*.py")]
    strays = [p.name for p in others if p.name != "charts.py" and pattern.search(p.read_text("utf-8"))]
    assert strays == []


def test_every_key_of_the_streamlit_config_exists():
    from streamlit import config as streamlit_config

    def keys(node, prefix=""):
        for name, value in node.items():
            yield from keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]

    known = set(streamlit_config._config_options_template)
    assert set(keys(config())) <= known


def test_streamlit_does_not_collect_garbage_after_every_tick():
    assert config()["runner"]["postScriptGC"] is False
    source = Path(__import__("streamlit").__file__).parent / "runtime/scriptrunner/script_runner.py"
    assert 'get_option("runner.postScriptGC")' in source.read_text("utf-8")
