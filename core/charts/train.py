"""What one run is drawn with: its loss and metrics as they come, and what its model has learned."""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt

from core.charts.base import (
    BIG,
    BLUE,
    CLASS_SHAPES,
    CLASSES,
    DARK_INK,
    GREY,
    LIGHT_INK,
    SLATE,
    SMALL,
    SQUARE,
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
    y_scale,
)

# column: (words in the legend, colour, dash)
_SERIES: dict[str, tuple[str, str, list[int]]] = {
    "raw": ("mini-batch", GREY + "66", [1, 0]),
    "smooth": ("moving average", GREY, [1, 0]),
    "train": ("training", BLUE, [1, 0]),
    "valid": ("validation", VERMILLION, [5, 4]),
}
_PLAIN = ("", SLATE, [1, 0])

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
    layers = (curves, until("epoch", "epoch"), *_changes(log), *_lost(log), _read(("train", "valid"), log))
    return data_free(alt.layer(*layers).properties(height=BIG))


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
    layers = (_curves(columns, title, log), until("epoch", "epoch"), _read(columns, log))
    return data_free(alt.layer(*layers).properties(height=SMALL))


@cache
def fit_spec(x_title: str = "x", y_title: str = "y") -> Spec:
    """What a model of one input has learned: the points, and its line through them.

    Columns (FIT_COLUMNS): `x`; `train` and `valid`: the y of a point of that part; `fitted`: the model's y at
    that x, as dense as the line should be smooth. Each row has `x` and usually one of the others.
    """
    x, y = _plain("x", x_title), alt.Y("drawn:Q", title=y_title, scale=alt.Scale(zero=False), axis=axis())
    points = _parts(("train", "valid")).encode(x=x, y=y)
    line = (
        alt.Chart()
        .transform_filter(drawable("fitted", False))
        .mark_line(color=_SERIES["train"][1], strokeWidth=2.4, strokeCap="round")
        .encode(x=x, y=alt.Y("fitted:Q", title=y_title))
    )
    return data_free(alt.layer(points, line).properties(height=SQUARE))


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
        .transform_filter(f"{drawable('train', False)} || {drawable('valid', False)}")
        .transform_calculate(top="isValid(datum.train) ? datum.train : datum.valid")
        .transform_aggregate(a="min(actual)", b="max(actual)", c="min(top)", d="max(top)")
        .transform_calculate(low="min(datum.a, datum.c)", high="max(datum.b, datum.d)")
        .mark_rule(color=GREY, strokeDash=[4, 4])
        .encode(x=alt.X("low:Q", title=f"actual{tail}"), x2="high:Q", y="low:Q", y2="high:Q")
    )
    x = _plain("actual", f"actual{tail}")
    y = alt.Y("drawn:Q", title=f"predicted{tail}", scale=alt.Scale(zero=False), axis=axis())
    points = _parts(("train", "valid")).encode(x=x, y=y)
    return data_free(alt.layer(diagonal, points).properties(height=SQUARE))


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
            x=alt.X("x1_low:Q", title=x1, scale=exact, axis=axis(grid=False)),
            x2="x1_high:Q",
            y=alt.Y("x2_high:Q", title=x2, scale=exact, axis=axis(grid=False)),
            y2="x2_low:Q",
            url="image:N",
        )
    )
    indices = list(range(len(names)))
    key = legend(naming(names), _columns(len(names)))
    shapes = [CLASS_SHAPES[i % len(CLASS_SHAPES)] for i in indices]
    colours = [CLASSES[i % len(CLASSES)] for i in indices]
    points = (
        alt.Chart()
        .transform_filter("isValid(datum.label) && isValid(datum.x1)")
        .mark_point(filled=True, size=38, opacity=1, stroke=LIGHT_INK, strokeWidth=0.7)
        .encode(
            x=alt.X("x1:Q", title=x1, scale=exact),
            y=alt.Y("x2:Q", title=x2, scale=exact),
            color=alt.Color("label:N", scale=alt.Scale(domain=indices, range=colours), legend=key),
            shape=alt.Shape("label:N", scale=alt.Scale(domain=indices, range=shapes), legend=key),
        )
    )
    return data_free(alt.layer(picture, points).properties(height=SQUARE))


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
    words = alt.Axis(
        labelExpr=naming(names), labelOverlap=False, labelAngle=0, labelLimit=76, ticks=False, domain=False
    )
    base = alt.Chart().encode(
        x=alt.X("predicted:O", title="predicted class", scale=scale, axis=words),
        y=alt.Y("actual:O", title="actual class", scale=scale, axis=words),
    )
    colour = alt.Color("share:Q", scale=alt.Scale(scheme="viridis", domain=[0, 1]), legend=None)
    readable = alt.when("datum.share > 0.6").then(alt.value(DARK_INK)).otherwise(alt.value(LIGHT_INK))
    tooltip = [alt.Tooltip("count:Q"), alt.Tooltip("share:Q", title="of the actual class", format=".1%")]
    cells = base.mark_rect(cornerRadius=2).encode(color=colour, tooltip=tooltip)
    counts = base.mark_text(fontSize=13).encode(text=alt.Text("count:Q", format=",d"), color=readable)
    return data_free(alt.layer(cells, counts).properties(height=SQUARE))


def _x(field: str = "epoch", **options: Any) -> alt.X:
    """The epoch as x; the axis itself is said once, in _curves, since each tick sends the whole spec."""
    return alt.X(f"{field}:Q", title="epoch", **options)


def _y(field: str, title: str, log: bool, **options: Any) -> alt.Y:
    return alt.Y(f"{field}:Q", title=title, scale=y_scale(log), **options)


def _plain(column: str, title: str) -> alt.X:
    return alt.X(f"{column}:Q", title=title, scale=alt.Scale(zero=False), axis=axis(grid=False))


def _columns(entries: int) -> str:
    """A Vega expression: all names in one row, or in two columns where the chart is narrow."""
    return f"width < {95 * entries} ? 2 : {entries}"


def _style(column: str) -> tuple[str, str, list[int]]:
    return _SERIES.get(column, _PLAIN)


def _words(columns: tuple[str, ...]) -> str:
    return "{" + ", ".join(f"'{name}': '{_style(name)[0]}'" for name in columns) + "}[datum.value]"


def _curves(columns: tuple[str, ...], title: str, log: bool) -> Any:
    """The lines, one for each column; the browser folds the table, which is a third of a long one's bytes."""
    styles = [_style(name) for name in columns]
    key = legend(_words(columns), _columns(len(columns))) if len(columns) > 1 else None

    def ranged(channel: Any, values: list[Any]) -> Any:
        return channel("series:N", scale=alt.Scale(domain=list(columns), range=values), legend=key)

    return (
        alt.Chart()
        .transform_fold(list(columns), as_=["series", "drawn"])
        .transform_filter(drawable("drawn", log))
        .mark_line(strokeCap="round", strokeJoin="round", clip=True)
        .encode(
            x=_x(scale=alt.Scale(zero=False, nice=False), axis=x_axis()),
            y=_y("drawn", title, log, axis=y_axis(log)),
            color=ranged(alt.Color, [style[1] for style in styles]),
            strokeDash=ranged(alt.StrokeDash, [style[2] for style in styles]),
            strokeWidth=alt.when("datum.series == 'raw'").then(alt.value(1)).otherwise(alt.value(2)),
        )
    )


def _parts(columns: tuple[str, ...]) -> Any:
    """Points of training and validation, told apart by colour and shape; x and y are for the caller."""
    key = legend(_words(columns), _columns(len(columns)))
    colours = alt.Scale(domain=list(columns), range=[_style(name)[1] for name in columns])
    shapes = alt.Scale(domain=list(columns), range=list(CLASS_SHAPES[: len(columns)]))
    return (
        alt.Chart()
        .transform_fold(list(columns), as_=["series", "drawn"])
        .transform_filter(drawable("drawn", False))
        .mark_point(filled=True, size=32, opacity=0.85)
        .encode(
            color=alt.Color("series:N", scale=colours, legend=key),
            shape=alt.Shape("series:N", scale=shapes, legend=key),
        )
    )


def _changes(log: bool) -> list[Any]:
    base = alt.Chart().transform_filter(drawable("changed", log))
    tooltip = [
        alt.Tooltip("epoch:Q", title="changed at epoch", format=".5~g"),
        alt.Tooltip("learning_rate:Q", title="learning rate", format=".3~g"),
        alt.Tooltip("momentum:Q", title="momentum", format=".3~g"),
    ]
    line = base.mark_rule(color=GREY, strokeWidth=1, strokeDash=[2, 3]).encode(x=_x(), tooltip=tooltip)
    diamond = base.mark_point(shape="diamond", filled=True, size=80, color=GREY, opacity=1, stroke=LIGHT_INK)
    return [line, diamond.encode(x=_x(), y=_y("changed", "loss", log), tooltip=tooltip)]


def _lost(log: bool) -> list[Any]:
    place = {"x": _x(), "y": _y("lost", "loss", log)}
    return [mark.transform_filter(drawable("lost", log)).encode(**place) for mark in lost("epoch")]


def _read(columns: tuple[str, ...], log: bool) -> Any:
    titles = {"epoch": "epoch", **{name: _style(name)[0] or name for name in columns}}
    return reading(_x(), "epoch", [drawable(name, log) for name in columns], titles)
