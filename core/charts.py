"""Tables to charts: one colour for one thing on every page, and specs that hold no data.

A live chart must never be embedded anew while it runs, and the browser updates it in place only when its
spec is the same text again. So each function here gives a constant Vega-Lite dict, made once with Altair and
kept; a page draws it with `st.vega_lite_chart(table, spec)`, where the table is wide, float32, with one plain
column for one series and NaN where a row has no value for it. Nobody may change a returned dict.

Texts, axes and grids take the page's theme; only the series have colours of their own, each with a
contrast of at least 3 to 1 on the light and on the dark page.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt

Spec = dict[str, Any]

# Okabe and Ito's set ("Color universal design", 2008); lightness changed where one of the pages swallowed it.
_BLUE, _VERMILLION, _ORANGE, _GREEN = "#177bc0", "#d55e00", "#c77f00", "#009e73"
_PURPLE, _SKY, _OLIVE, _BROWN = "#b565a7", "#2b93cf", "#8c8c00", "#8a6d4b"
_SLATE, _GREY = "#5b7f9d", "#7f8a94"
ALARM = "#e0245e"
LIGHT_INK, DARK_INK = "#ffffff", "#1d252c"

COLOURS = {
    "sgd": _SLATE,
    "momentum": _ORANGE,
    "nesterov": _GREEN,
    "adam": _PURPLE,
    "adamw": _BROWN,
    "rmsprop": _SKY,
    "adagrad": _OLIVE,
}
DASHES = {
    "sgd": [1, 0],
    "momentum": [8, 3],
    "nesterov": [2, 3],
    "adam": [8, 3, 2, 3],
    "adamw": [8, 3, 2, 3, 2, 3],
    "rmsprop": [4, 3],
    "adagrad": [12, 4],
}
CLASSES = (_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY, _VERMILLION, _OLIVE, _BROWN, _SLATE, _GREY)
CLASS_SHAPES = ("circle", "triangle-up", "square", "diamond", "cross", "triangle-down")

# column: (words in the legend, colour, dash)
_SERIES: dict[str, tuple[str, str, list[int]]] = {
    "raw": ("mini-batch", _GREY + "66", [1, 0]),
    "smooth": ("moving mean", _GREY, [1, 0]),
    "train": ("training", _BLUE, [1, 0]),
    "valid": ("validation", _VERMILLION, [5, 4]),
}
_PLAIN = ("", _SLATE, [1, 0])
_CROSS = "M-1,-1L1,1M1,-1L-1,1"  # in an SVG path's own words: ✕, the same in every font
_BIG, _SMALL, _SQUARE = 320, 190, 320  # heights in pixels

LOSS_COLUMNS = ("epoch", "raw", "smooth", "train", "valid", "lost", "changed", "learning_rate", "momentum")
FIT_COLUMNS = ("x", "train", "valid", "fitted")
PREDICTED_COLUMNS = ("actual", "train", "valid")
DECISION_COLUMNS = ("x1", "x2", "label", "image", "x1_low", "x1_high", "x2_low", "x2_high")
CONFUSION_COLUMNS = ("actual", "predicted", "count", "share")


@cache
def loss_spec(log: bool = True) -> Spec:
    """The loss of one run against the epoch, drawn in place while it trains.

    Raw losses lie faintly behind, their mean, training and validation in front. The point where the run
    diverged is an ✕ in the alarm colour with the word beside it; a diamond on a thin line marks where
    learning rate or momentum was changed. The pointer reads the nearest row that has `train` or `valid`.

    Nothing is clamped: the axes follow the table. A row with only `epoch` set widens the x-axis, so a row at
    0 and one at the planned number of epochs keep it still from the first tick to the last.

    Columns (LOSS_COLUMNS): `epoch`; `raw`, `smooth`, `train`, `valid`: losses; `lost`: the last finite
    loss of a diverged run; `changed`: the loss at a change, with the new `learning_rate` and
    `momentum` in that row. All must exist; each may be NaN anywhere, and the table may be empty.

    Args:
        log: Whether the loss axis is logarithmic; then values of 0 and below are left out.
    """
    curves = _curves(("raw", "smooth", "train", "valid"), "loss", log)
    layers = (curves, _until(), *_changes(log), *_lost(log), _reading(("train", "valid"), log))
    return _data_free(alt.layer(*layers).properties(height=_BIG))


@cache
def curve_spec(*columns: str, title: str, log: bool = False) -> Spec:
    """One more small curve against the epoch, such as a metric or the gradient norm.

    Columns: `epoch`, and one for each name in `columns`; "train" and "valid" look as they do in loss_spec,
    any other name is drawn in a neutral colour. NaN anywhere is fine, and so is an empty table.

    Args:
        columns: The columns to draw, such as "train", "valid" or just "value".
        title: The words on the y-axis.
        log: Whether the y-axis is logarithmic; then values of 0 and below are left out.
    """
    layers = (_curves(columns, title, log), _until(), _reading(columns, log))
    return _data_free(alt.layer(*layers).properties(height=_SMALL))


@cache
def fit_spec(x_title: str = "x", y_title: str = "y") -> Spec:
    """What a model of one input has learned: the points, and its line through them.

    Columns (FIT_COLUMNS): `x`; `train` and `valid`: the y of a point of that part; `fitted`: the model's y at
    that x, as dense as the line should be smooth. Each row has `x` and usually one of the others.
    """
    x, y = _plain("x", x_title), alt.Y("drawn:Q", title=y_title, scale=alt.Scale(zero=False), axis=_axis())
    points = _parts(("train", "valid")).encode(x=x, y=y)
    line = (
        alt.Chart()
        .transform_filter(_drawable("fitted", False))
        .mark_line(color=_SERIES["train"][1], strokeWidth=2.4, strokeCap="round")
        .encode(x=x, y=alt.Y("fitted:Q", title=y_title))
    )
    return _data_free(alt.layer(points, line).properties(height=_SQUARE))


@cache
def predicted_spec(unit: str = "") -> Spec:
    """Predicted against actual values; a perfect model's points lie on the diagonal.

    Columns (PREDICTED_COLUMNS): `actual`; `train` and `valid`: what the model predicts for a row of
    that part.

    Args:
        unit: The unit of both axes, in words; none when empty.
    """
    tail = f" ({unit})" if unit else ""
    diagonal = (
        alt.Chart()
        .transform_filter(f"{_drawable('train', False)} || {_drawable('valid', False)}")
        .transform_calculate(top="isValid(datum.train) ? datum.train : datum.valid")
        .transform_aggregate(a="min(actual)", b="max(actual)", c="min(top)", d="max(top)")
        .transform_calculate(low="min(datum.a, datum.c)", high="max(datum.b, datum.d)")
        .mark_rule(color=_GREY, strokeDash=[4, 4])
        .encode(x=alt.X("low:Q", title=f"actual{tail}"), x2="high:Q", y="low:Q", y2="high:Q")
    )
    x = _plain("actual", f"actual{tail}")
    y = alt.Y("drawn:Q", title=f"predicted{tail}", scale=alt.Scale(zero=False), axis=_axis())
    points = _parts(("train", "valid")).encode(x=x, y=y)
    return _data_free(alt.layer(diagonal, points).properties(height=_SQUARE))


@cache
def decision_spec(names: tuple[str, ...], x1: str = "x1", x2: str = "x2") -> Spec:
    """What a classifier of two inputs has learned: its map as a picture, the points on top.

    Columns (DECISION_COLUMNS): in one row `image`, a PNG as a data URL whose first row of pixels is at the
    top, with its edges `x1_low`, `x1_high`, `x2_low`, `x2_high`; in the others a point's `x1`, `x2` and
    `label`, the index of its class. Each class has its colour from CLASSES and its shape from CLASS_SHAPES.

    Args:
        names: The classes in the order of their indices.
        x1, x2: The words on the axes.
    """
    exact = alt.Scale(zero=False, nice=False)
    picture = (
        alt.Chart()
        .transform_filter("isValid(datum.image)")
        .mark_image(aspect=False)
        .encode(
            x=alt.X("x1_low:Q", title=x1, scale=exact, axis=_axis(grid=False)),
            x2="x1_high:Q",
            y=alt.Y("x2_high:Q", title=x2, scale=exact, axis=_axis(grid=False)),
            y2="x2_low:Q",
            url="image:N",
        )
    )
    indices = list(range(len(names)))
    legend = _legend(_naming(names), len(names))
    shapes = [CLASS_SHAPES[i % len(CLASS_SHAPES)] for i in indices]
    colours = [CLASSES[i % len(CLASSES)] for i in indices]
    points = (
        alt.Chart()
        .transform_filter("isValid(datum.label) && isValid(datum.x1)")
        .mark_point(filled=True, size=38, opacity=1, stroke=LIGHT_INK, strokeWidth=0.7)
        .encode(
            x=alt.X("x1:Q", title=x1, scale=exact),
            y=alt.Y("x2:Q", title=x2, scale=exact),
            color=alt.Color("label:N", scale=alt.Scale(domain=indices, range=colours), legend=legend),
            shape=alt.Shape("label:N", scale=alt.Scale(domain=indices, range=shapes), legend=legend),
        )
    )
    return _data_free(alt.layer(picture, points).properties(height=_SQUARE))


@cache
def confusion_spec(names: tuple[str, ...]) -> Spec:
    """How often each class was taken for which: counts, coloured by their share of the actual class.

    Columns (CONFUSION_COLUMNS): `actual` and `predicted`: indices of classes; `count`; `share`: the count
    divided by the number of rows of the actual class, in [0, 1].

    Args:
        names: The classes in the order of their indices.
    """
    indices = list(range(len(names)))
    scale = alt.Scale(domain=indices, paddingInner=0.04, paddingOuter=0.02)
    axis = alt.Axis(
        labelExpr=_naming(names), labelOverlap=False, labelAngle=0, labelLimit=76, ticks=False, domain=False
    )
    base = alt.Chart().encode(
        x=alt.X("predicted:O", title="predicted class", scale=scale, axis=axis),
        y=alt.Y("actual:O", title="actual class", scale=scale, axis=axis),
    )
    colour = alt.Color("share:Q", scale=alt.Scale(scheme="viridis", domain=[0, 1]), legend=None)
    readable = alt.when("datum.share > 0.6").then(alt.value(DARK_INK)).otherwise(alt.value(LIGHT_INK))
    tooltip = [alt.Tooltip("count:Q"), alt.Tooltip("share:Q", title="of the actual class", format=".1%")]
    cells = base.mark_rect(cornerRadius=2).encode(color=colour, tooltip=tooltip)
    counts = base.mark_text(fontSize=13).encode(text=alt.Text("count:Q", format=",d"), color=readable)
    return _data_free(alt.layer(cells, counts).properties(height=_SQUARE))


def _data_free(chart: Any) -> Spec:
    """A chart as a dict in which neither the whole nor a layer names any data: the page brings its table."""
    left_out = ("data", "datasets", "$schema", "config")
    spec = {key: part for key, part in chart.to_dict().items() if key not in left_out}
    spec["padding"] = {"left": 0, "top": 4, "right": 10, "bottom": 4}
    return {**spec, "layer": [{k: v for k, v in layer.items() if k != "data"} for layer in spec["layer"]]}


def _drawable(column: str, log: bool) -> str:
    """A Vega test: the value is a finite number, and above 0 where the axis is logarithmic."""
    field = f"datum['{column}']"
    return f"isFinite({field}) && " + (f"{field} > 0" if log else f"isValid({field})")


def _axis(**options: Any) -> alt.Axis:
    calm: dict[str, Any] = {"domain": False, "ticks": False, "gridOpacity": 0.6, "gridWidth": 0.6}
    return alt.Axis(**{**calm, "format": ".3~g", "labelOverlap": "greedy", "tickCount": 6, **options})


def _x(field: str = "epoch", **options: Any) -> alt.X:
    """The epoch as x; the axis itself is said once, in _curves, since each tick sends the whole spec."""
    return alt.X(f"{field}:Q", title="epoch", **options)


def _y(field: str, title: str, log: bool, **options: Any) -> alt.Y:
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    return alt.Y(f"{field}:Q", title=title, scale=scale, **options)


def _plain(column: str, title: str) -> alt.X:
    return alt.X(f"{column}:Q", title=title, scale=alt.Scale(zero=False), axis=_axis(grid=False))


def _naming(names: tuple[str, ...]) -> str:
    """A Vega expression that turns an index into its name."""
    quoted = ", ".join("'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in names)
    return f"[{quoted}][datum.value]"


def _legend(label: str, entries: int) -> alt.Legend:
    """A row of names above the chart, or two columns of them where it is narrow."""
    room = alt.expr(f"width < {95 * entries} ? 2 : {entries}")
    return alt.Legend(
        title=None, orient="top", labelExpr=label, columns=room, symbolSize=90, columnPadding=10, offset=4
    )


def _style(column: str) -> tuple[str, str, list[int]]:
    return _SERIES.get(column, _PLAIN)


def _words(columns: tuple[str, ...]) -> str:
    return "{" + ", ".join(f"'{name}': '{_style(name)[0]}'" for name in columns) + "}[datum.value]"


def _curves(columns: tuple[str, ...], title: str, log: bool) -> Any:
    """The lines, one for each column; the browser folds the table, which is a third of a long one's bytes."""
    styles = [_style(name) for name in columns]
    legend = _legend(_words(columns), len(columns)) if len(columns) > 1 else None

    def ranged(channel: Any, values: list[Any]) -> Any:
        return channel("series:N", scale=alt.Scale(domain=list(columns), range=values), legend=legend)

    return (
        alt.Chart()
        .transform_fold(list(columns), as_=["series", "drawn"])
        .transform_filter(_drawable("drawn", log))
        .mark_line(strokeCap="round", strokeJoin="round", clip=True)
        .encode(
            x=_x(
                scale=alt.Scale(zero=False, nice=False),
                axis=_axis(grid=False, format="~g", tickCount=8, labelFlush=True),
            ),
            y=_y("drawn", title, log, axis=_axis(tickCount=5, format=".2~g")),
            color=ranged(alt.Color, [style[1] for style in styles]),
            strokeDash=ranged(alt.StrokeDash, [style[2] for style in styles]),
            strokeWidth=alt.when("datum.series == 'raw'").then(alt.value(1)).otherwise(alt.value(2)),
        )
    )


def _parts(columns: tuple[str, ...]) -> Any:
    """Points of training and validation, told apart by colour and shape; x and y are for the caller."""
    legend = _legend(_words(columns), len(columns))
    colours = alt.Scale(domain=list(columns), range=[_style(name)[1] for name in columns])
    shapes = alt.Scale(domain=list(columns), range=list(CLASS_SHAPES[: len(columns)]))
    return (
        alt.Chart()
        .transform_fold(list(columns), as_=["series", "drawn"])
        .transform_filter(_drawable("drawn", False))
        .mark_point(filled=True, size=32, opacity=0.85)
        .encode(
            color=alt.Color("series:N", scale=colours, legend=legend),
            shape=alt.Shape("series:N", scale=shapes, legend=legend),
        )
    )


def _until() -> Any:
    """One unseen point at the table's last epoch, drawn or not: it keeps the x-axis still."""
    ends = alt.Chart().transform_aggregate(first="min(epoch)", last="max(epoch)").mark_rule(opacity=0)
    return ends.encode(x=_x("first"), x2="last:Q")


def _changes(log: bool) -> list[Any]:
    base = alt.Chart().transform_filter(_drawable("changed", log))
    tooltip = [
        alt.Tooltip("epoch:Q", title="changed at epoch", format=".3~g"),
        alt.Tooltip("learning_rate:Q", title="learning rate", format=".3~g"),
        alt.Tooltip("momentum:Q", title="momentum", format=".3~g"),
    ]
    line = base.mark_rule(color=_GREY, strokeWidth=1, strokeDash=[2, 3]).encode(x=_x(), tooltip=tooltip)
    diamond = base.mark_point(shape="diamond", filled=True, size=80, color=_GREY, opacity=1, stroke=LIGHT_INK)
    return [line, diamond.encode(x=_x(), y=_y("changed", "loss", log), tooltip=tooltip)]


def _lost(log: bool) -> list[Any]:
    base = alt.Chart().transform_filter(_drawable("lost", log)).encode(x=_x(), y=_y("lost", "loss", log))
    cross = base.mark_point(shape=_CROSS, size=90, stroke=ALARM, strokeWidth=2.6, opacity=1)
    label = base.mark_text(text="diverged", color=ALARM, align="right", dx=-13, fontWeight=600)
    return [cross, label]


def _reading(columns: tuple[str, ...], log: bool) -> Any:
    """A thin line at the row nearest to the pointer, and what its columns say there.

    It holds on to an epoch, not to a row of the table, so the next tick leaves it where it is.
    """
    near = alt.selection_point(
        name="near", nearest=True, on="pointermove", clear="pointerout", fields=["epoch"], empty=False
    )
    tooltip = [alt.Tooltip("epoch:Q", format=".3~g")]
    tooltip += [alt.Tooltip(f"{name}_text:N", title=_style(name)[0] or name) for name in columns]
    return (
        alt.Chart(name="reading")
        .transform_filter(" || ".join(f"({_drawable(name, log)})" for name in columns))
        .transform_calculate(**{f"{name}_text": _text(name) for name in columns})
        .mark_rule(strokeWidth=1)
        .encode(x=_x(), tooltip=tooltip, opacity=alt.when(near).then(alt.value(0.5)).otherwise(alt.value(0)))
        .add_params(near)
    )


def _text(column: str) -> str:
    return f"isValid(datum['{column}']) ? format(datum['{column}'], '.3~g') : '–'"
