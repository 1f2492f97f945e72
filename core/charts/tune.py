"""What the Tune page draws: the search as it goes, what its model believes, and what the trials say."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, get_args

import altair as alt

from core.charts.base import (
    ALARM,
    BIG,
    BLUE,
    BROWN,
    DARK_INK,
    GREEN,
    GREY,
    LIGHT_INK,
    ORANGE,
    PURPLE,
    SKY,
    SLATE,
    VERMILLION,
    Spec,
    axis,
    data_free,
    drawable,
    legend,
    lost,
    naming,
    reading,
    until,
    x_axis,
    y_axis,
)

Scale = Literal["log", "linear", "rest"]
Parameter = tuple[str, Scale]
Kind = Literal["belief", "uncertainty", "improvement", "truth"]

HISTORY_COLUMNS = (
    *("trial", "loss", "low", "high", "best", "kind", "lost", "words"),
    *("baseline", "random_best", "grid_best"),
)
TRIAL_CURVE_COLUMNS = ("trial", "epoch", "loss", "look")
SURFACE_COLUMNS = ("x1", "x2", "y1", "y2", "cx", "cy", "value", "px", "py", "mark", "lx", "ly")
SLICE_COLUMNS = ("x", "mean", "low", "high", "px", "py", "lost", "best")
IMPORTANCE_COLUMNS = ("which", "share", "low", "high")
CHANCE_COLUMNS = ("k", "expected", "low", "high", "here", "bayes")
TIMELINE_COLUMNS = ("machine", "begin", "end", "trial", "state")

_LANE = 22  # pixels at the top of a plot, for the ✕ of trials that diverged
_CROSS = "M-1,-1L1,1M1,-1L-1,1"
_STAR = "M0,-1.5L.4,-.5L1.4,-.45L.6,.2L.9,1.2L0,.6L-.9,1.2L-.6,.2L-1.4,-.45L-.4,-.5Z"
_BAR, _DASHES = "M-1.5,-.25H1.5V.25H-1.5Z", "M-1.5,-.15H-.2V.15H-1.5ZM.2,-.15H1.5V.15H.2Z"
_DOTS = "M-1.5,-.15H-.9V.15H-1.5ZM-.3,-.15H.3V.15H-.3ZM.9,-.15H1.5V.15H.9Z"
_LINE: dict[str, Any] = {"strokeWidth": 2.4, "strokeCap": "round", "strokeJoin": "round"}
_THIN: dict[str, Any] = {"strokeWidth": 1.4, "tooltip": None}

_HISTORY = (  # words, colour and shape of the kinds of trials, then of the lines
    ("start", GREY, "triangle-up"),
    ("asked by the sampler", BLUE, "circle"),
    ("added by hand", PURPLE, "diamond"),
    ("taken over", BROWN, "square"),
    ("best so far", ORANGE, _BAR),
    ("random search", SLATE, _DASHES),
    ("grid search", GREEN, _DOTS),
)
_CURVES = (  # words, colour, dash and width of the looks
    ("ended", GREY, [1, 0], 1),
    ("best so far", ORANGE, [1, 0], 3),
    ("running now", SKY, [5, 3], 1.8),
    ("chosen", GREEN, [1, 0], 2.2),
)
_MARKS = (  # words, fill, edge, shape, size and width of the edge
    ("tried", LIGHT_INK, DARK_INK, "circle", 34, 1),
    ("diverged", "transparent", ALARM, _CROSS, 40, 2.2),
    ("best", ORANGE, DARK_INK, _STAR, 100, 1),
    ("training", SKY, DARK_INK, "triangle-up", 60, 1),
    ("next", "transparent", VERMILLION, "circle", 190, 2.6),
)
_STATES = (("done", BLUE), ("running", SKY), ("failed", VERMILLION))


@cache
def history_spec(rivals: bool = False, y_title: str = "validation loss") -> Spec:
    """The search as it goes: each trial's loss with its standard error, and the best so far as steps.

    A trial that diverged on some seed is an ✕ in a lane at the very top, away from the axis. The pointer
    reads the nearest trial, a click selects it (parameter "trial"). A row with only `trial` set widens the
    x-axis, so one at 1 and one at the last planned trial keep it still.

    Columns (HISTORY_COLUMNS): `trial` from 1; `loss`, `low` and `high`: the mean over seeds and one standard
    error to each side; `best`: the lowest so far; `kind`: 0 start, 1 asked by the model, 2 added by hand, 3
    taken over from an earlier search; `lost`: 1 where a seed diverged; `words`: the setting, a text;
    `baseline`: the loss of predicting the mean, in one row or all; `random_best` and `grid_best`: the lowest
    so far of random and grid search. Each may be NaN, and the table may be empty.

    Args:
        rivals: Whether random and grid search are drawn.
        y_title: The words on the y-axis.
    """
    x = alt.X("trial:Q", title="trial", scale=_follow(14), axis=_whole())

    def y(column: str, **options: Any) -> alt.Y:
        return alt.Y(f"{column}:Q", title=y_title, scale=_under_lane(), **options)

    def steps(column: str, colour: str, **look: Any) -> Any:
        line = alt.Chart().transform_filter(drawable(column, True))
        line = line.mark_line(interpolate="step-after", color=colour, tooltip=None, **look)
        return line.encode(x=x, y=y(column))

    told = alt.Chart().transform_filter(f"{drawable('loss', True)} && datum.lost != 1")
    bars = told.transform_filter(f"{drawable('low', True)} && {drawable('high', True)}")
    bars = bars.mark_rule(color=GREY, opacity=0.8, **_THIN).encode(x=x, y=y("low"), y2="high:Q")
    points = told.mark_point(filled=True, size=70, opacity=1, tooltip=None)
    points = points.encode(x=x, y=y("loss", axis=y_axis(True)), **_kinds(rivals))
    others = [steps("random_best", SLATE, strokeWidth=1.5, strokeDash=[6, 4])] if rivals else []
    others += [steps("grid_best", GREEN, strokeWidth=1.5, strokeDash=[2, 3])] if rivals else []
    layers = [bars, *_level("baseline", "predicting the mean", y, GREY, 1.2), *others]
    layers += [steps("best", ORANGE, **_LINE), points, *_lane("trial", x, "datum.lost == 1")]
    chart = alt.layer(until("trial", "trial"), *layers, _picked(x))
    return data_free(chart.properties(height=BIG))


def _kinds(rivals: bool) -> dict[str, Any]:
    """Colour and shape of the kinds of trials; the legend names the lines too."""
    shown = _HISTORY if rivals else _HISTORY[:5]
    index = list(range(len(shown)))
    wide = 100 if rivals else 110  # pixels of an entry
    key = legend(naming(tuple(row[0] for row in shown)), f"clamp(floor(width / {wide}), 1, {len(shown)})")
    colours = alt.Scale(domain=index, range=[row[1] for row in shown])
    shapes = alt.Scale(domain=index, range=[row[2] for row in shown])
    return {
        "color": alt.Color("kind:N", scale=colours, legend=key),
        "shape": alt.Shape("kind:N", scale=shapes, legend=key),
    }


def _picked(x: alt.X) -> Any:
    """A line at the trial nearest to the pointer and at the one that was clicked, and what that trial is."""
    near = alt.selection_point(
        name="near", nearest=True, on="pointermove", clear="pointerout", fields=["trial"], empty=False
    )
    chosen = alt.selection_point(name="trial", nearest=True, on="click", fields=["trial"], empty=False)
    number = f"{drawable('loss', False)} ? format(datum.loss, '.4~g') : '–'"
    words = {
        "result": f"datum.lost == 1 ? 'diverged' : {number}",
        "setting": "datum.words || '–'",
        "origin": f"{naming(tuple(row[0] for row in _HISTORY[:4]))} || '–'".replace("value", "kind"),
    }
    tooltip = [alt.Tooltip("trial:Q", format="d"), alt.Tooltip("result:N", title="loss")]
    tooltip += [alt.Tooltip("setting:N"), alt.Tooltip("origin:N", title="came as")]
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
def trial_curves_spec() -> Spec:
    """The learning curve of every trial; the best, the running and the chosen ones in front.

    What rises above five times where trials usually begin is cut off, so one that diverges hides no other.

    Columns (TRIAL_CURVE_COLUMNS): `trial`, `epoch`, `loss`; `look`: 0 ended, 1 the best so far, 2 running
    now, 3 chosen by the person. The table may be empty.
    """
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
    tooltip = [
        alt.Tooltip("trial:Q", format="d"),
        alt.Tooltip("epoch:Q", format=".4~g"),
        alt.Tooltip("loss:Q", format=".4~g"),
    ]
    base = alt.Chart().encode(
        x=alt.X("epoch:Q", scale=_follow(0), axis=x_axis()),
        y=alt.Y("loss:Q", title="validation loss", scale=_log(8), axis=y_axis(True)),
        color=alt.Color("look:N", scale=colours, legend=key),
        strokeDash=alt.StrokeDash("look:N", scale=dashes, legend=key),
        detail="trial:N",
        tooltip=tooltip,
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


@cache
def surface_spec(kind: Kind, x: Parameter, y: Parameter) -> Spec:
    """A map over two parameters: what the model believes, how unsure it is, the improvement, or the truth.

    Bright is where to look: a low loss, much unknown, a high expected improvement. A click on a cell selects
    its middle, `cx` and `cy` (parameter "cell"); the pointer reads it.

    Columns (SURFACE_COLUMNS): for a cell its edges `x1`, `x2`, `y1`, `y2`, placed at -log10(1 - v) where the
    scale is "rest"; its middle `cx`, `cy` in the parameters' own units; `value`: log10 of the loss (belief
    and truth), the standard deviation of that (uncertainty), log10 of the expected improvement (drawn
    relative to the highest, down to a millionth of it); NaN is grey. For a trial `px`, `py` (placed) and
    `mark`: 0 tried, 1 diverged, 2 the best, 3 in training, 4 asked next. For the line of the largest rate
    that holds `lx`, `ly` (placed), in the order of the rows. The table may be empty.

    Args:
        kind: Which of the four.
        x, y: Name and scale of the two parameters.

    Raises:
        ValueError: There is no such kind or scale.
    """
    _among("kind", kind, Kind)
    cell = alt.selection_point(name="cell", fields=["cx", "cy"], on="click", empty=False)
    titles = {
        "belief": "What the model believes",
        "uncertainty": "How unsure it is",
        "improvement": "Expected improvement",
        "truth": "What is really there",
    }
    shade, read, colour = _shade(kind)
    tooltip = [alt.Tooltip(f"{c}:Q", title=p[0], format=".4~r") for c, p in (("cx", x), ("cy", y))]
    cells = (
        alt.Chart(name="cells")
        .transform_filter("isValid(datum.x1)")
        .transform_joinaggregate(highest="max(value)")
        .transform_calculate(shade=shade, read=f"isValid(datum.value) ? {read[1]} : '–'")
        .mark_rect(
            stroke=alt.expr(f"isValid(datum.shade) ? scale('color', datum.shade) : '{GREY}'"),
            strokeWidth=1,
            invalid=None,
            cursor="pointer",
        )
        .encode(
            x=_along(alt.X, "x1", x),
            x2="x2:Q",
            y=_along(alt.Y, "y1", y),
            y2="y2:Q",
            color=colour,
            tooltip=[*tooltip, alt.Tooltip("read:N", title=read[0])],
        )
        .add_params(cell)
    )
    title = alt.Title(titles[kind], anchor="start", fontSize=13, fontWeight=600, offset=6)
    layers = alt.layer(cells, *_limit(x, y), *_told(x, y))
    edges: dict[str, Any] = {"left": "min(x1)", "right": "max(x2)", "bottom": "min(y1)", "top": "max(y2)"}
    return data_free(layers.transform_joinaggregate(**edges).properties(height=_MAP, title=title))


_MAP = 340  # pixels, with title and legends


def _on_map(x: str, y: str) -> str:
    """A Vega test: the point lies on the cells, or there are none yet; no other may stretch the axes."""

    def between(column: str, low: str, high: str) -> str:
        slack = "1e-5 * abs"  # float32 may round an edge either way
        value = f"datum.{column}"
        return f"{value} >= {low} - {slack}({low}) && {value} <= {high} + {slack}({high})"

    inside = f"{between(x, 'datum.left', 'datum.right')} && {between(y, 'datum.bottom', 'datum.top')}"
    return f"isValid(datum.{x}) && isValid(datum.{y}) && (!isValid(datum.left) || ({inside}))"


def _shade(kind: Kind) -> tuple[str, tuple[str, str], Any]:
    """What a cell's colour stands for, the words and expression of its tooltip, and the channel."""
    power = "pow(10, datum.value)"
    loss = f"format({power}, datum.value < -4 ? '.1~e' : '.2~r')"
    ticks: dict[str, Any] = {"tickCount": 4}
    spread = f"'× ' + format({power}, '.3~r')"
    read = (title := "loss", f"format({power}, '.4~g')")
    scale: dict[str, Any] = {"reverse": True}
    shade, label = "datum.value", loss
    if kind == "uncertainty":
        title, label, scale, read = "factor", spread, {}, ("unsure by a factor", spread)
    if kind == "improvement":
        shade = "isValid(datum.value) ? max(datum.value - datum.highest, -6) : null"
        label = f"{naming(('10⁻⁶', '10⁻⁴', '10⁻²', '1'))}".replace("datum.value", "datum.value / 2 + 3")
        title, scale, ticks = "relative", {"domain": [-6, 0]}, {"values": [-6, -4, -2, 0]}
        read = ("expected improvement", f"format({power}, '.3~g')")
    key = alt.Legend(
        title=title,
        orient="bottom",
        direction="horizontal",
        labelExpr=f"isFinite(datum.value) ? {label} : ''",
        gradientLength=alt.expr("clamp(width - 90, 60, 240)"),
        gradientThickness=8,
        titleOrient="left",
        labelFontSize=10,
        offset=2,
        **ticks,
    )
    known = alt.when("!isValid(datum.shade)").then(alt.value(GREY))
    return shade, read, known.otherwise("shade:Q", scale=alt.Scale(scheme="viridis", **scale), legend=key)


def _limit(x: Parameter, y: Parameter) -> list[Any]:
    """The largest rate that holds, white with a dark edge as on the map of stability."""
    line = alt.Chart().transform_filter(_on_map("lx", "ly"))
    line = line.transform_window(row="row_number()")
    place = {"x": _along(alt.X, "lx", x), "y": _along(alt.Y, "ly", y), "order": "row:Q"}
    looks: list[dict[str, Any]] = [
        {"color": DARK_INK, "strokeWidth": 5, "opacity": 0.9},
        {"color": LIGHT_INK, "strokeWidth": 2},
    ]
    return [line.mark_line(clip=True, tooltip=None, **look).encode(**place) for look in looks]


def _told(x: Parameter, y: Parameter) -> list[Any]:
    """The trials on a map, each readable on any of its colours; the pointer goes through to the cells."""
    index = list(range(len(_MARKS)))
    names = tuple(row[0] for row in _MARKS)
    fills, edges, shapes, sizes, widths = ([row[column] for row in _MARKS] for column in range(1, 6))
    key = legend(
        naming(names),
        "3",
        columnPadding=6,
        rowPadding=0,
        symbolSize=60,
        symbolStrokeWidth=1.2,
        labelFontSize=10,
        offset=2,
    )
    point = (
        alt.Chart()
        .transform_filter(f"isValid(datum.mark) && {_on_map('px', 'py')}")
        .transform_calculate(edge=f"{widths}[datum.mark]", area=f"{sizes}[datum.mark]")
    )
    place = {"x": _along(alt.X, "px", x), "y": _along(alt.Y, "py", y)}

    def looks(channel: Any, values: list[Any], key: Any) -> Any:
        return channel("mark:N", scale=alt.Scale(domain=index, range=values), legend=key)

    common = {"shape": looks(alt.Shape, shapes, key), **place}
    halo = point.mark_point(
        stroke=LIGHT_INK,
        fill="transparent",
        strokeWidth=5,
        opacity=0.85,
        tooltip=None,
        size=alt.expr("datum.area"),
    )
    halo = halo.transform_filter("datum.mark == 1 || datum.mark == 4").encode(**common)
    marks = point.mark_point(
        opacity=1, tooltip=None, strokeWidth=alt.expr("datum.edge"), size=alt.expr("datum.area")
    ).encode(fill=looks(alt.Fill, fills, key), stroke=looks(alt.Stroke, edges, key), **common)
    return [halo, marks]


@cache
def slice_spec(x: Parameter, y_title: str = "validation loss") -> Spec:
    """The model along one parameter through the best setting, with its band and the trials.

    Columns (SLICE_COLUMNS): `x`, placed at -log10(1 - v) where the scale is "rest"; `mean`, `low`, `high`:
    the believed loss and its band; for a trial `px` (placed), `py` its loss and `lost`, 1 where it
    diverged; `best`: the best setting's value (placed), in a row of its own. The table may be empty.

    Args:
        x: Name and scale of the parameter.
        y_title: The words on the y-axis.

    Raises:
        ValueError: There is no such scale.
    """

    def y(column: str, **options: Any) -> alt.Y:
        return alt.Y(f"{column}:Q", title=y_title, scale=_under_lane(), **options)

    along = _along(alt.X, "x", x)
    believed = alt.Chart().transform_filter(drawable("mean", True))
    sure = believed.transform_filter(f"{drawable('low', True)} && {drawable('high', True)}")
    band = sure.mark_area(color=BLUE, opacity=0.18, tooltip=None)
    band = band.encode(x=along, y=y("low", axis=y_axis(True)), y2="high:Q")
    line = believed.mark_line(color=BLUE, strokeWidth=2, tooltip=None).encode(x=along, y=y("mean"))
    at_best = alt.Chart().transform_filter(drawable("best", False))
    rule = at_best.mark_rule(color=ORANGE, strokeDash=[4, 3], **_THIN).encode(x=_along(alt.X, "best", x))
    word = at_best.mark_text(text="best", color=ORANGE, align="left", dx=5, dy=-7, tooltip=None)
    word = word.encode(x=_along(alt.X, "best", x), y=alt.value("height"))
    told = alt.Chart().transform_filter(f"{drawable('py', True)} && datum.lost != 1")
    points = told.mark_point(filled=True, size=46, color=SLATE, opacity=0.9, tooltip=None)
    points = points.encode(x=_along(alt.X, "px", x), y=y("py"))
    titles = {"natural": x[0], "mean": "believed loss", "low": "from", "high": "to"}
    read = reading(along, "natural", [drawable("mean", True)], titles)
    lane = _lane("px", _along(alt.X, "px", x), "datum.lost == 1 && isValid(datum.px)")
    chart = alt.layer(band, rule, word, line, points, *lane, read)
    natural = "1 - pow(10, -datum.x)" if x[1] == "rest" else "datum.x"
    return data_free(chart.transform_calculate(natural=natural).properties(height=220))


def parallel_columns(parameters: int) -> tuple[str, ...]:
    """The columns of the table that parallel_spec draws, for so many parameters."""
    return ("trial", "loss", "lost", "best", "words", "p_loss", *(f"p{j}" for j in range(parameters)))


@cache
def parallel_spec(axes: tuple[tuple[str, tuple[str, ...]], ...]) -> Spec:
    """Each trial as a line across one axis for each parameter, to its loss on the last axis.

    Bright is a low loss, the best is thick and orange; a trial that diverged ends in an ✕ above the
    last axis. Dragging over an axis (parameter "brush") fades the trials that lie outside there; dragging
    over several axes asks for all of them.

    Columns (parallel_columns): `trial`, `loss`, `words`: the setting, a text; `lost`: 1 where it diverged;
    `best`: 1 for the best; `p0` and so on: the place on each parameter's axis, in [0, 1]; `p_loss`: the place
    on the last one, low for a low loss. The table may be empty.

    Args:
        axes: Title and five tick labels, from bottom to top, of each parameter, then of the loss.

    Raises:
        ValueError: There are fewer than two axes, or one has not five labels.
    """
    if len(axes) < 2:
        raise ValueError(f"axes must be at least one parameter and the loss, got {len(axes)}.")
    if bad := [name for name, labels in axes if len(labels) != 5]:
        raise ValueError(f"axes must have five labels each, got other numbers for {', '.join(bad)}.")
    names, labels = tuple(name for name, _ in axes), [row for _, row in axes]
    columns: list[Any] = [*(f"p{j}" for j in range(len(axes) - 1)), "end"]
    rulers = (_ruler(j, row, j == len(names) - 1) for j, row in enumerate(labels))
    chart = (
        alt.layer(*_strands(names, columns), *_ends(names), *rulers)
        .transform_calculate(end=f"datum.lost == 1 ? {_ABOVE} : datum.p_loss")
        .resolve_scale(y="independent")
    )
    return data_free(chart.properties(height=BIG))


_ABOVE = 1.1  # where a trial that diverged meets the axis of the loss, whose labels end at 1


def _inside(j: int, column: str) -> str:
    """A Vega test: the brush leaves out this axis, or holds the trial's place on it."""
    at = f"datum['{column}']"
    within = f"isValid({at}) && {at} >= brush.at[0] && {at} <= brush.at[1]"
    return f"(!brush.axis || {j} < brush.axis[0] || {j} > brush.axis[1] || ({within}))"


def _height(**options: Any) -> alt.Y:
    return alt.Y("at:Q", title=None, scale=alt.Scale(domain=[-0.03, 1.14], nice=False, zero=False), **options)


def _across(names: tuple[str, ...]) -> alt.X:
    """The axes side by side, their names above them, one word under the other where it is narrow."""
    last = len(names) - 1
    words = naming(names)
    label = f"width < {100 * (last + 1)} ? split({words}, ' ') : {words}"
    shown = axis(orient="top", grid=False, values=list(range(last + 1)), labelExpr=label, labelOverlap=False)
    scale = alt.Scale(domain=[0, last], nice=False, range=[50, alt.expr("width - 48")])
    return alt.X("axis:Q", title=None, scale=scale, axis=shown)


def _ruler(j: int, labels: tuple[str, ...], last: bool) -> Any:
    """One axis with its five labels on the side without lines; nothing is drawn along it here."""
    place = f"scale('x', {j})"
    side = (
        {"orient": "right", "offset": alt.expr(f"{place} - width")}
        if last
        else {"orient": "left", "offset": alt.expr(f"-{place}")}
    )
    shown = axis(
        values=[0, 0.25, 0.5, 0.75, 1],
        labelExpr=naming(labels).replace("datum.value", "round(datum.value * 4)"),
        domain=True,
        grid=False,
        zindex=1,
        **side,
    )
    return alt.Chart().transform_filter("false").mark_point(tooltip=None).encode(y=_height(axis=shown))


def _strands(names: tuple[str, ...], columns: list[Any]) -> list[Any]:
    """The lines, lost ones behind and the best in front; a point keeps its trial's row for the brush."""
    brush = alt.selection_interval(name="brush", encodings=["x", "y"], empty=True)
    tooltip = [alt.Tooltip("trial:Q", format="d"), alt.Tooltip("loss:Q", format=".4~g")]
    tooltip += [alt.Tooltip("words:N", title="setting")]
    inside = " && ".join(_inside(j, column) for j, column in enumerate(columns))

    def lines(test: str, shown: float, name: str | None = None, **look: Any) -> Any:
        opacity = alt.when(inside).then(alt.value(shown)).otherwise(alt.value(0.06))
        chart = alt.Chart(name=name) if name else alt.Chart()
        chart = chart.transform_fold(columns, as_=["on", "at"]).transform_filter(
            f"{test} && isValid(datum.at)"
        )
        chart = chart.transform_calculate(axis=f"indexof({columns}, datum.on)")
        line = chart.mark_line(strokeJoin="round", strokeCap="round", **look)
        place = {"x": _across(names), "y": _height(axis=None), "detail": "trial:N"}
        return line.encode(tooltip=tooltip, opacity=opacity, **place)

    scale = alt.Scale(scheme=alt.SchemeParams("viridis", extent=[0.05, 0.9]), reverse=True, type="log")
    shade = alt.Color("loss:Q", scale=scale, legend=None)
    held = f"datum.lost != 1 && {drawable('loss', True)}"
    return [
        lines("datum.lost == 1", 0.5, color=ALARM, strokeWidth=0.8),
        lines(held, 0.5, color=GREY, strokeWidth=3),
        lines(held, 1, name="strands", strokeWidth=2).encode(color=shade).add_params(brush),
        lines(f"{held} && datum.best == 1", 1, color=ORANGE, strokeWidth=4),
    ]


def _ends(names: tuple[str, ...]) -> list[Any]:
    """One ✕ above the last axis where trials diverged, and the word."""
    once = {"x": _across(names), "y": _height(axis=None)}
    return [
        mark.transform_filter("datum.lost == 1")
        .transform_aggregate(at="max(end)", groupby=["lost"])
        .transform_calculate(axis=str(len(names) - 1))
        .encode(**once)
        for mark in lost("axis")
    ]


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
        title = "share of the variation"
        return alt.X(f"{column}:Q", title=title, scale=scale, axis=axis(format=".0%", tickCount=5))

    words = {"share": "share", "low": "from", "high": "to"}
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
    x = alt.X("k:Q", title="random trials", scale=_follow(0), axis=_whole())

    def y(column: str, **options: Any) -> alt.Y:
        return alt.Y(f"{column}:Q", title=y_title, scale=_log(16), **options)

    base = alt.Chart().transform_filter(drawable("expected", True))
    sure = base.transform_filter(f"{drawable('low', True)} && {drawable('high', True)}")
    band = sure.mark_area(color=SLATE, opacity=0.2, tooltip=None)
    band = band.encode(x=x, y=y("low", axis=y_axis(True)), y2="high:Q")
    line = base.mark_line(color=SLATE, tooltip=None, **_LINE).encode(x=x, y=y("expected"))
    here = alt.Chart().transform_filter(drawable("here", False)).transform_aggregate(budget="max(here)")
    place = {"x": alt.X("budget:Q", title="random trials")}
    rule = here.mark_rule(color=GREY, strokeDash=[3, 3], **_THIN).encode(**place)
    left = "width - scale('x', datum.budget) < 70"
    word = here.mark_text(
        text="budget",
        color=GREY,
        align=alt.expr(f"{left} ? 'right' : 'left'"),
        dx=alt.expr(f"{left} ? -5 : 5"),
        tooltip=None,
    ).encode(y=alt.value(8), **place)
    level = _level("bayes", "found by the Bayesian search", y, ORANGE, 2, dy=9)
    titles = {"k": "random trials", "expected": "expected best", "low": "from", "high": "to"}
    chart = alt.layer(band, rule, word, line, *level, reading(x, "k", [drawable("expected", True)], titles))
    return data_free(chart.properties(height=240))


@cache
def timeline_spec() -> Spec:
    """Which machine trained which trial when: a bar for each, hollow while it runs, short if it failed.

    Columns (TIMELINE_COLUMNS): `machine`: its name, a text; `begin`, `end`: seconds since the search began;
    `trial`; `state`: 0 done, 1 running, 2 failed. The table may be empty.
    """
    index = list(range(len(_STATES)))
    edges = alt.Scale(domain=index, range=[colour for _, colour in _STATES])
    fills = alt.Scale(domain=index, range=[BLUE, "transparent", VERMILLION])
    key = legend(naming(tuple(name for name, _ in _STATES)), "3", symbolType="square")
    tooltip = [
        alt.Tooltip("trial:Q", format="d"),
        alt.Tooltip("machine:N"),
        alt.Tooltip("span:N", title="time"),
        alt.Tooltip("ended:N", title="state"),
    ]
    names = naming(tuple(name for name, _ in _STATES)).replace("value", "state")
    words = {
        "span": "format(datum.begin, '.1f') + ' – ' + format(datum.end, '.1f') + ' s'",
        "ended": names,
        "middle": "(datum.begin + datum.end) / 2",
    }
    x, title = alt.Scale(nice=False), "seconds since the search began"
    rows = alt.Axis(ticks=False, domain=False, grid=False, labelLimit=120, labelPadding=6)
    y = alt.Y("machine:N", title=None, axis=rows)
    base = alt.Chart().transform_filter(drawable("end", False)).transform_calculate(**words)
    place = {"x": alt.X("begin:Q", title=title, scale=x, axis=axis(tickCount=8)), "x2": "end:Q", "y": y}
    fill = {
        "fill": alt.Fill("state:N", scale=fills, legend=key),
        "stroke": alt.Stroke("state:N", scale=edges, legend=key),
    }
    heights = ((0, 0.7), (1, 0.7), (2, 0.3))  # state, share of the row
    bars = [
        base.transform_filter(f"datum.state == {state}")
        .mark_bar(cornerRadius=2, strokeWidth=1.5, opacity=0.9, height={"band": height})
        .encode(tooltip=tooltip, **place, **fill)
        for state, height in heights
    ]
    room = "scale('x', datum.end) - scale('x', datum.begin) > 20"
    number = base.transform_filter("datum.state == 0").mark_text(fontSize=10, color=LIGHT_INK, tooltip=None)
    number = number.encode(
        x=alt.X("middle:Q", title=title),
        y=y,
        text=alt.Text("trial:Q", format="d"),
        opacity=alt.when(room).then(alt.value(1)).otherwise(alt.value(0)),
    )
    return data_free(alt.layer(*bars, number).properties(height=BIG - 100))


def _among(name: str, given: str, allowed: Any) -> None:
    if given not in get_args(allowed):
        raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {given!r}.")


def _along(channel: Any, column: str, parameter: Parameter) -> Any:
    """The axis of a parameter; the values of one that rests near 1 come placed at -log10(1 - v)."""
    name, scale = parameter
    _among("scale", scale, Scale)
    if scale == "rest":
        places = [0, 0.30103, *(range(1, 7))]
        label = "format(1 - pow(10, -datum.value), '.6~r')"
        shown = axis(grid=False, values=places, labelExpr=label, tickCount=9)
        return channel(f"{column}:Q", title=name, scale=_follow(0), axis=shown)
    follow = _log(0) if scale == "log" else _follow(0)
    return channel(f"{column}:Q", title=name, scale=follow, axis=axis(grid=False))


def _follow(room: int) -> alt.Scale:
    """A linear scale from the lowest to the highest value, with so many pixels to spare."""
    return alt.Scale(zero=False, nice=False, padding=room)


def _log(room: int) -> alt.Scale:
    return alt.Scale(type="log", nice=False, padding=room)


def _under_lane() -> alt.Scale:
    """A log scale that ends below the lane of the trials that diverged."""
    return alt.Scale(type="log", nice=False, padding=10, range=[alt.expr("height"), _LANE])


def _whole() -> alt.Axis:
    """An axis of counts: 1, then ten even steps up to the highest."""
    top = "domain('x')[1]"
    few = "".join(f"{top} < {most + 1} ? {step} : " for most, step in ((10, 1), (20, 2), (50, 5), (100, 10)))
    step = f"({few}50 * ceil({top} / 500))"
    steps = ", ".join(f"{k} * {step}" for k in range(1, 11))
    ticks = alt.expr(f"[{step} > 1 ? 1 : 11, {steps}]")
    return axis(grid=False, values=ticks, tickCount=12, format="d")


def _lane(column: str, x: alt.X, test: str) -> list[Any]:
    """The ✕ of trials that diverged, in their lane, and the word once, beside the axis's numbers."""
    height = alt.value(_LANE / 2 - 2)
    cross, _ = lost(column)
    once = alt.Chart().transform_filter(test).transform_aggregate(found="count()", groupby=["lost"])
    word = once.mark_text(text="diverged", color=ALARM, fontWeight=600, align="right", tooltip=None)
    return [
        cross.transform_filter(test).encode(x=x, y=height),
        word.encode(x=alt.value(-6), y=height),
    ]


def _level(column: str, words: str, y: Any, colour: str, width: float, dy: int = -8) -> list[Any]:
    """A dashed level across the plot, with its name so many pixels below its right end."""
    level = alt.Chart().transform_filter(drawable(column, True)).transform_aggregate(level=f"max({column})")
    rule = level.mark_rule(color=colour, strokeDash=[6, 4], strokeWidth=width, tooltip=None)
    word = level.mark_text(text=words, color=colour, align="right", dx=-4, dy=dy, tooltip=None)
    return [rule.encode(y=y("level")), word.encode(x=alt.value("width"), y=y("level"))]
