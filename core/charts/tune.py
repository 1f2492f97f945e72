"""How a search goes: trials, learning curves, machines; what mattered, and what chance would have found."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import altair as alt

from core.charts.base import (
    BIG,
    BLUE,
    BROWN,
    GREEN,
    GREY,
    LIGHT_INK,
    OLIVE,
    ORANGE,
    PURPLE,
    SKY,
    SLATE,
    THIN,
    VERMILLION,
    Spec,
    axis,
    data_free,
    drawable,
    in_lane,
    legend,
    linear_scale,
    log_scale,
    naming,
    nearest,
    reading,
    under_lane,
    until,
    x_axis,
    y_axis,
)

HISTORY_COLUMNS = (
    *("trial", "loss", "low", "high", "best", "kind", "lost", "words"),
    *("baseline", "random_best", "grid_best"),
)
TRIAL_CURVE_COLUMNS = ("trial", "epoch", "loss", "look")
IMPORTANCE_COLUMNS = ("which", "share", "low", "high")
CHANCE_COLUMNS = ("k", "expected", "low", "high", "here", "bayes")
TIMELINE_COLUMNS = ("machine", "begin", "end", "trial", "state")

_BAR, _DASHES = "M-1.5,-.25H1.5V.25H-1.5Z", "M-1.5,-.15H-.2V.15H-1.5ZM.2,-.15H1.5V.15H.2Z"
_DASH_DOT = "M-1.5,-.15H.1V.15H-1.5ZM.7,-.15H1.3V.15H.7Z"
_DOTS = "M-1.5,-.15H-.9V.15H-1.5ZM-.3,-.15H.3V.15H-.3ZM.9,-.15H1.5V.15H.9Z"
_LINE: dict[str, Any] = {"strokeWidth": 2.4, "strokeCap": "round", "strokeJoin": "round"}

_HISTORY = (  # words, colour and shape of the kinds of trials, then of the lines
    ("initial design", GREY, "triangle-up"),
    ("suggested", BLUE, "circle"),
    ("added manually", PURPLE, "diamond"),
    ("earlier search", BROWN, "square"),
    ("best so far", ORANGE, _BAR),
    ("constant model", OLIVE, _DASH_DOT),
    ("random search", SLATE, _DASHES),
    ("grid search", GREEN, _DOTS),
)
_CURVES = (  # words, colour, dash and width of the looks
    ("completed", GREY, [1, 0], 1),
    ("best so far", ORANGE, [1, 0], 3),
    ("running", SKY, [5, 3], 1.8),
    ("selected", GREEN, [1, 0], 2.2),
)
_STATES = (("completed", BLUE), ("running", SKY), ("failed", VERMILLION))
_SECONDS = "seconds since the search began"


@cache
def history_spec(rivals: bool = False, y_title: str = "validation loss") -> Spec:
    """The search as it goes: each trial's loss with its standard error, and the best so far as steps.

    A trial that diverged on some seed is an ✕ in a lane at the very top, away from the axis. The pointer
    reads the nearest trial, a click selects it (parameter "trial"). A row with only `trial` set widens the
    x-axis, so one at 0 and one at the last planned trial keep it still.

    Columns (HISTORY_COLUMNS): `trial`: its number; `loss`, `low` and `high`: the mean over seeds and one
    standard error to each side; `best`: the lowest so far; `kind`: 0 start, 1 asked by the model, 2 added by
    hand, 3 taken over from an earlier search; `lost`: 1 where a seed diverged; `words`: the setting, a text;
    `baseline`: the loss of predicting the mean, in one row or all; `random_best` and `grid_best`: the lowest
    so far of random and grid search. Each may be NaN, and the table may be empty.

    Args:
        rivals: Whether random and grid search are drawn.
        y_title: The words on the y-axis.
    """
    x = alt.X("trial:Q", title="trial", scale=linear_scale(14), axis=_whole(0))
    y = partial(under_lane, title=y_title)

    def steps(column: str, colour: str, **look: Any) -> Any:
        line = alt.Chart().transform_filter(drawable(column, True))
        line = line.mark_line(interpolate="step-after", color=colour, tooltip=None, **look)
        return line.encode(x=x, y=y(column))

    told = alt.Chart().transform_filter(f"{drawable('loss', True)} && datum.lost != 1")
    bars = told.transform_filter(f"{drawable('low', True)} && {drawable('high', True)}")
    bars = bars.mark_rule(color=GREY, opacity=0.8, **THIN).encode(x=x, y=y("low"), y2="high:Q")
    points = told.mark_point(filled=True, size=70, opacity=1, tooltip=None)
    points = points.encode(x=x, y=y("loss", axis=y_axis(True)), **_kinds(rivals))
    others = [steps("random_best", SLATE, strokeWidth=1.5, strokeDash=[6, 4])] if rivals else []
    others += [steps("grid_best", GREEN, strokeWidth=1.5, strokeDash=[2, 3])] if rivals else []
    level = _level("baseline").mark_rule(color=OLIVE, strokeDash=[8, 3, 2, 3], strokeWidth=1.4, tooltip=None)
    layers = [bars, level.encode(y=y("level")), *others]  # the legend names it, off the points
    layers += [steps("best", ORANGE, **_LINE), points, *in_lane("trial", x, "datum.lost == 1")]
    chart = alt.layer(until("trial", "trial"), *layers, _picked(x))
    return data_free(chart.properties(height=BIG))


def _kinds(rivals: bool) -> dict[str, Any]:
    """Colour and shape of the kinds of trials; the legend names the lines too."""
    shown = _HISTORY if rivals else _HISTORY[:6]
    index = list(range(len(shown)))
    columns = f"clamp(floor(width / 105), 1, {len(shown)})"
    key = legend(naming(tuple(row[0] for row in shown)), columns)
    colours = alt.Scale(domain=index, range=[row[1] for row in shown])
    shapes = alt.Scale(domain=index, range=[row[2] for row in shown])
    return {
        "color": alt.Color("kind:N", scale=colours, legend=key),
        "shape": alt.Shape("kind:N", scale=shapes, legend=key),
    }


def _picked(x: alt.X) -> Any:
    """A line at the trial nearest to the pointer and at the one that was clicked, and what that trial is."""
    near = nearest("trial")
    chosen = alt.selection_point(name="trial", nearest=True, on="click", fields=["trial"], empty=False)
    number = f"{drawable('loss', False)} ? format(datum.loss, '.4~g') : '–'"
    words = {
        "result": f"datum.lost == 1 ? 'diverged' : {number}",
        "setting": "datum.words || '–'",
        "origin": f"{naming(tuple(row[0] for row in _HISTORY[:4]))} || '–'".replace("value", "kind"),
    }
    tooltip = [alt.Tooltip("trial:Q", format="d"), alt.Tooltip("result:N", title="loss")]
    tooltip += [alt.Tooltip("setting:N"), alt.Tooltip("origin:N", title="origin")]
    shown = alt.when(chosen).then(alt.value(0.9)).when(near).then(alt.value(0.4)).otherwise(alt.value(0))
    return (
        alt.Chart(name="trials")
        .transform_filter(f"{drawable('loss', True)} || datum.lost == 1")
        .transform_calculate(**words)
        .mark_rule(strokeWidth=1.5, color=GREEN)
        .encode(x=x, tooltip=tooltip, opacity=shown)
        .add_params(near, chosen)
    )


@cache
def trial_curves_spec(y_title: str = "validation loss") -> Spec:
    """The learning curve of every trial; the best, the running and the chosen ones in front.

    What rises above five times where trials usually begin is cut off, so one that diverges hides no other.

    Columns (TRIAL_CURVE_COLUMNS): `trial`, `epoch`, `loss`; `look`: 0 ended, 1 the best so far, 2 running
    now, 3 chosen by the person. The table may be empty.
    """
    tooltip = [
        alt.Tooltip("trial:Q", format="d"),
        alt.Tooltip("epoch:Q", format=".4~g"),
        alt.Tooltip("loss:Q", format=".4~g"),
    ]
    base = alt.Chart().encode(
        x=alt.X("epoch:Q", scale=linear_scale(0), axis=x_axis()),
        y=alt.Y("loss:Q", title=y_title, scale=log_scale(8), axis=y_axis(True)),
        detail="trial:N",
        tooltip=tooltip,
        **_looks(),
    )
    curves = [
        base.transform_filter(f"datum.look == {look}").mark_line(
            clip=True, strokeJoin="round", strokeWidth=width, opacity=0.55 if look == 0 else 1
        )
        for look, (*_, width) in enumerate(_CURVES)
    ]
    chart = (
        alt.layer(*curves)
        .transform_filter(drawable("loss", True))
        .transform_joinaggregate(first="min(epoch)")
        .transform_calculate(start="datum.epoch == datum.first ? datum.loss : null")
        .transform_joinaggregate(usual="median(start)")
        .transform_filter("datum.loss <= 5 * datum.usual")
    )
    return data_free(chart.properties(height=BIG))


def _looks() -> dict[str, Any]:
    """Colour and dash of the looks of a learning curve, with their legend."""
    index = list(range(len(_CURVES)))
    key = legend(
        naming(tuple(row[0] for row in _CURVES)),
        "width < 420 ? 2 : 4",
        symbolType="M-3,0L3,0",
        symbolStrokeWidth=2.5,
        symbolOpacity=1,
        symbolOffset=8,
        labelOffset=20,
    )
    colours = alt.Scale(domain=index, range=[row[1] for row in _CURVES])
    dashes = alt.Scale(domain=index, range=[row[2] for row in _CURVES])
    return {
        "color": alt.Color("look:N", scale=colours, legend=key),
        "strokeDash": alt.StrokeDash("look:N", scale=dashes, legend=key),
    }


@cache
def importance_spec(names: tuple[str, ...]) -> Spec:
    """How much of the loss's variation each parameter accounts for, with error bars.

    Columns (IMPORTANCE_COLUMNS): `which`: the index of the parameter; `share`, `low`, `high` in [0, 1]. The
    table may be empty; the bars keep the order of the names.

    Args:
        names: The parameters.
    """
    rows = alt.Axis(labelExpr=naming(names), ticks=False, domain=False, labelLimit=130, labelPadding=6)
    y = alt.Y("which:O", title=None, scale=alt.Scale(domain=list(range(len(names)))), axis=rows)
    scale = alt.Scale(domain=[0, 1], nice=False)

    def x(column: str) -> alt.X:
        title = "total Sobol index"
        return alt.X(f"{column}:Q", title=title, scale=scale, axis=axis(format=".0%", tickCount=5))

    words = {"share": "total Sobol index", "low": "− 1 standard deviation", "high": "+ 1 standard deviation"}
    tooltip = [alt.Tooltip(f"{column}:Q", title=title, format=".0%") for column, title in words.items()]
    base = alt.Chart().transform_filter(drawable("share", False))
    bars = base.mark_bar(color=BLUE, height={"band": 0.6}, cornerRadiusEnd=2, opacity=0.4)
    spread = base.transform_filter(f"{drawable('low', False)} && {drawable('high', False)}")
    rule = spread.mark_rule(color=BLUE, strokeWidth=2, tooltip=None).encode(y=y, x=x("low"), x2="high:Q")
    ends = [
        spread.mark_tick(color=BLUE, thickness=2, size=10, tooltip=None).encode(y=y, x=x(c))
        for c in ("low", "high")
    ]
    chart = alt.layer(bars.encode(y=y, x=x("share"), tooltip=tooltip), rule, *ends)
    return data_free(chart.properties(height=60 + 30 * len(names)))


@cache
def chance_spec(y_title: str = "validation loss") -> Spec:
    """The best loss that so many random trials may expect, and what the Bayesian search found.

    Columns (CHANCE_COLUMNS): `k`: the number of random trials; `expected`, `low`, `high`: the best of k and
    its band; `here`: the budget, and `bayes`: the lowest loss of the Bayesian search, each in one row or all.
    The table may be empty.

    Args:
        y_title: The words on the y-axis.
    """
    x = alt.X("k:Q", title="random trials", scale=linear_scale(0), axis=_whole(1))

    def y(column: str, **options: Any) -> alt.Y:
        return alt.Y(f"{column}:Q", title=y_title, scale=log_scale(16), **options)

    base = alt.Chart().transform_filter(drawable("expected", True))
    sure = base.transform_filter(f"{drawable('low', True)} && {drawable('high', True)}")
    band = sure.mark_area(color=SLATE, opacity=0.2, tooltip=None)
    band = band.encode(x=x, y=y("low", axis=y_axis(True)), y2="high:Q")
    line = base.mark_line(color=SLATE, tooltip=None, **_LINE).encode(x=x, y=y("expected"))
    here = alt.Chart().transform_filter(drawable("here", False)).transform_aggregate(budget="max(here)")
    place = {"x": alt.X("budget:Q", title="random trials")}
    rule = here.mark_rule(color=GREY, strokeDash=[3, 3], **THIN).encode(**place)
    left = "width - scale('x', datum.budget) < 70"
    word = here.mark_text(
        text="budget",
        color=GREY,
        align=alt.expr(f"{left} ? 'right' : 'left'"),
        dx=alt.expr(f"{left} ? -5 : 5"),
        tooltip=None,
    ).encode(y=alt.value(8), **place)
    found = _level("bayes").mark_rule(color=ORANGE, strokeDash=[6, 4], strokeWidth=2, tooltip=None)
    name = _level("bayes").mark_text(text="best of this search", color=ORANGE, align="right", dx=-4, dy=9)
    level = [found.encode(y=y("level")), name.encode(x=alt.value("width"), y=y("level"))]
    titles = {"k": "random trials", "expected": "expected best loss", "low": "95 % band, from", "high": "to"}
    chart = alt.layer(band, rule, word, line, *level, reading(x, "k", [drawable("expected", True)], titles))
    return data_free(chart.properties(height=240))


@cache
def timeline_spec() -> Spec:
    """Which machine trained which trial when: a bar for each, hollow while it runs, short if it failed.

    Columns (TIMELINE_COLUMNS): `machine`: its name, a text; `begin`, `end`: seconds since the search began;
    `trial`; `state`: 0 done, 1 running, 2 failed. The table may be empty.
    """
    tooltip = [
        alt.Tooltip("trial:Q", format="d"),
        alt.Tooltip("machine:N"),
        alt.Tooltip("span:N", title="time"),
        alt.Tooltip("ended:N", title="state"),
    ]
    words = {
        "span": "format(datum.begin, '.1f') + ' – ' + format(datum.end, '.1f') + ' s'",
        "ended": naming(tuple(name for name, _ in _STATES)).replace("value", "state"),
        "middle": "(datum.begin + datum.end) / 2",
    }
    rows = alt.Axis(ticks=False, domain=False, grid=False, labelLimit=120, labelPadding=6)
    y = alt.Y("machine:N", title=None, axis=rows)
    base = alt.Chart().transform_filter(drawable("end", False)).transform_calculate(**words)
    place = {
        "x": alt.X("begin:Q", title=_SECONDS, scale=alt.Scale(nice=False), axis=axis(tickCount=8)),
        "x2": "end:Q",
        "y": y,
    }
    heights = ((0, 0.7), (1, 0.7), (2, 0.3))  # state, share of the row
    bars = [
        base.transform_filter(f"datum.state == {state}")
        .mark_bar(cornerRadius=2, strokeWidth=1.5, opacity=0.9, height={"band": height})
        .encode(tooltip=tooltip, **place, **_states())
        for state, height in heights
    ]
    chart = alt.layer(*bars, _numbers(base, y))
    return data_free(chart.properties(height=BIG - 100))


def _states() -> dict[str, Any]:
    """Fill and edge of the states of a trial on a machine, with their legend."""
    index = list(range(len(_STATES)))
    edges = alt.Scale(domain=index, range=[colour for _, colour in _STATES])
    fills = alt.Scale(domain=index, range=[BLUE, "transparent", VERMILLION])
    key = legend(naming(tuple(name for name, _ in _STATES)), "3", symbolType="square")
    return {
        "fill": alt.Fill("state:N", scale=fills, legend=key),
        "stroke": alt.Stroke("state:N", scale=edges, legend=key),
    }


def _numbers(spans: Any, y: alt.Y) -> Any:
    """The numbers of the trials that are done, in the bars that have room for one."""
    room = "scale('x', datum.end) - scale('x', datum.begin) > 20"
    number = spans.transform_filter("datum.state == 0").mark_text(fontSize=10, color=LIGHT_INK, tooltip=None)
    return number.encode(
        x=alt.X("middle:Q", title=_SECONDS),
        y=y,
        text=alt.Text("trial:Q", format="d"),
        opacity=alt.when(room).then(alt.value(1)).otherwise(alt.value(0)),
    )


def _whole(first: int) -> alt.Axis:
    """An axis of whole numbers: the first, 0 or 1, then ten even steps up to the highest."""
    top = "domain('x')[1]"
    few = "".join(f"{top} < {most + 1} ? {step} : " for most, step in ((10, 1), (20, 2), (50, 5), (100, 10)))
    step = f"({few}50 * ceil({top} / 500))"
    steps = ", ".join(f"{k} * {step}" for k in range(1, 11))
    begin = f"{step} > 1 ? 1 : 11" if first else "0"
    ticks = alt.expr(f"[{begin}, {steps}]")
    return axis(grid=False, values=ticks, tickCount=12, format="d")


def _level(column: str) -> Any:
    """The one value of a column, as the level of a line across the plot."""
    return alt.Chart().transform_filter(drawable(column, True)).transform_aggregate(level=f"max({column})")
