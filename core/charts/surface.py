"""What a search's model believes: maps over two parameters and cuts along one, with the trials."""

from __future__ import annotations

from functools import cache, partial
from typing import Any, Literal, get_args

import altair as alt

from core.charts.base import (
    ALARM,
    BLUE,
    CROSS,
    DARK_INK,
    GREY,
    LIGHT_INK,
    ORANGE,
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
    loss_of_log,
    naming,
    reading,
    under_lane,
    y_axis,
)

Scale = Literal["log", "linear", "rest"]
Parameter = tuple[str, Scale]
Kind = Literal["belief", "uncertainty", "improvement", "truth"]

SURFACE_COLUMNS = ("x1", "x2", "y1", "y2", "cx", "cy", "value", "px", "py", "mark", "lx", "ly")
SLICE_COLUMNS = ("x", "mean", "low", "high", "px", "py", "lost", "best")

_MAP = 340  # pixels, with title and legends
_STAR = "M0,-1.5L.4,-.5L1.4,-.45L.6,.2L.9,1.2L0,.6L-.9,1.2L-.6,.2L-1.4,-.45L-.4,-.5Z"
_TITLES: dict[Kind, str] = {
    "belief": "Surrogate: posterior mean",
    "uncertainty": "Surrogate: standard deviation",
    "improvement": "Expected improvement",
    "truth": "True loss, measured",
}
_MARKS = (  # words, fill, edge, shape, size and width of the edge
    ("completed", LIGHT_INK, DARK_INK, "circle", 34, 1),
    ("diverged", "transparent", ALARM, CROSS, 40, 2.2),
    ("best", ORANGE, DARK_INK, _STAR, 100, 1),
    ("running", SKY, DARK_INK, "triangle-up", 60, 1),
    ("next", "transparent", VERMILLION, "circle", 190, 2.6),
)


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
    title = alt.Title(_TITLES[kind], anchor="start", fontSize=13, fontWeight=600, offset=6)
    layers = alt.layer(_cells(kind, x, y), *_limit(x, y), *_told(x, y))
    edges: dict[str, Any] = {"left": "min(x1)", "right": "max(x2)", "bottom": "min(y1)", "top": "max(y2)"}
    return data_free(layers.transform_joinaggregate(**edges).properties(height=_MAP, title=title))


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
    y = partial(under_lane, title=y_title)
    along = _along(alt.X, "x", x)
    believed = alt.Chart().transform_filter(drawable("mean", True))
    sure = believed.transform_filter(f"{drawable('low', True)} && {drawable('high', True)}")
    band = sure.mark_area(color=BLUE, opacity=0.18, tooltip=None)
    band = band.encode(x=along, y=y("low", axis=y_axis(True)), y2="high:Q")
    line = believed.mark_line(color=BLUE, strokeWidth=2, tooltip=None).encode(x=along, y=y("mean"))
    at_best = alt.Chart().transform_filter(drawable("best", False))
    rule = at_best.mark_rule(color=ORANGE, strokeDash=[4, 3], **THIN).encode(x=_along(alt.X, "best", x))
    word = at_best.mark_text(text="best", color=ORANGE, align="left", dx=5, dy=-7, tooltip=None)
    word = word.encode(x=_along(alt.X, "best", x), y=alt.value("height"))
    told = alt.Chart().transform_filter(f"{drawable('py', True)} && datum.lost != 1")
    points = told.mark_point(filled=True, size=46, color=SLATE, opacity=0.9, tooltip=None)
    points = points.encode(x=_along(alt.X, "px", x), y=y("py"))
    titles = {
        "natural": x[0],
        "mean": "posterior mean",
        "low": "− 1 standard deviation",
        "high": "+ 1 standard deviation",
    }
    read = reading(along, "natural", [drawable("mean", True)], titles)
    lane = in_lane("px", _along(alt.X, "px", x), "datum.lost == 1 && isValid(datum.px)")
    chart = alt.layer(band, rule, word, line, points, *lane, read)
    natural = "1 - pow(10, -datum.x)" if x[1] == "rest" else "datum.x"
    return data_free(chart.transform_calculate(natural=natural).properties(height=220))


def _cells(kind: Kind, x: Parameter, y: Parameter) -> Any:
    """The coloured cells; the pointer reads them, a click selects one."""
    cell = alt.selection_point(name="cell", fields=["cx", "cy"], on="click", empty=False)
    shade, read, colour = _shade(kind)
    tooltip = [alt.Tooltip(f"{c}:Q", title=p[0], format=".4~r") for c, p in (("cx", x), ("cy", y))]
    return (
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
    loss = loss_of_log("datum.value")
    ticks: dict[str, Any] = {"tickCount": 4}
    spread = f"'× ' + format({power}, '.3~r')"
    read = (title := "loss", f"format({power}, '.4~g')")
    scale: dict[str, Any] = {"reverse": True}
    shade, label = "datum.value", loss
    if kind == "uncertainty":
        title, label, scale, read = "factor", spread, {}, ("standard deviation, as a factor", spread)
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
        return channel(f"{column}:Q", title=name, scale=linear_scale(0), axis=shown)
    follow = log_scale(0) if scale == "log" else linear_scale(0)
    return channel(f"{column}:Q", title=name, scale=follow, axis=axis(grid=False))
