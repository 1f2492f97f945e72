"""What the charts share: colours, dashes, axes, legends, the ✕ of a lost run, its lane, the reading line."""

from __future__ import annotations

import json
from typing import Any

import altair as alt

Spec = dict[str, Any]

# Okabe and Ito's set ("Color universal design", 2008); lightness changed where one of the pages swallowed it.
BLUE, VERMILLION, ORANGE, GREEN = "#177bc0", "#d55e00", "#c77f00", "#009e73"
PURPLE, SKY, OLIVE, BROWN = "#b565a7", "#2b93cf", "#8c8c00", "#8a6d4b"
SLATE, GREY = "#5b7f9d", "#7f8a94"
PERIWINKLE, MOSS, CLAY = "#8877ff", "#487820", "#d07848"  # for a rule's second rival and so on: no rule's own
ALARM = "#e0245e"
LIGHT_INK, DARK_INK = "#ffffff", "#1d252c"

COLOURS = {
    "sgd": SLATE,
    "momentum": ORANGE,
    "nesterov": GREEN,
    "adam": PURPLE,
    "adamw": BROWN,
    "rmsprop": SKY,
    "adagrad": OLIVE,
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
CLASSES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, OLIVE, BROWN, SLATE, GREY)
CLASS_SHAPES = ("circle", "triangle-up", "square", "diamond", "cross", "triangle-down")
BIG, SMALL, SQUARE = 320, 190, 320  # heights in pixels

CROSS = "M-1,-1L1,1M1,-1L-1,1"  # in an SVG path's own words: ✕, the same in every font
THIN: dict[str, Any] = {"strokeWidth": 1.4, "tooltip": None}  # a rule that only supports what is drawn
_LABEL_ROOM = 80  # pixels that the word beside a cross needs
_LANE = 22  # pixels at the top of a plot, for the ✕ of trials that diverged


def data_free(chart: Any) -> Spec:
    """A chart as a dict in which neither the whole nor a layer names any data: the page brings its table.

    Its marks are no graphics of their own to a screen reader, which reads the text of the whole chart.
    """
    look = {"padding": {"left": 0, "top": 4, "right": 10, "bottom": 4}, "config": {"mark": {"aria": False}}}
    return {**_bare(chart.to_dict()), **look}


def _bare(part: Spec) -> Spec:
    """A chart or layer, and the layers in it, without what Streamlit brings."""
    kept = {k: v for k, v in part.items() if k not in ("data", "datasets", "$schema", "config")}
    return {**kept, "layer": [_bare(layer) for layer in part["layer"]]} if "layer" in part else kept


def drawable(column: str, log: bool) -> str:
    """A Vega test: the value is a finite number, and above 0 where the axis is logarithmic."""
    field = f"datum['{column}']"
    return f"isFinite({field}) && " + (f"{field} > 0" if log else f"isValid({field})")


def axis(**options: Any) -> alt.Axis:
    """A quiet axis; its numbers are plain decimals from 0.000001 up to 999,999."""
    calm: dict[str, Any] = {"domain": False, "ticks": False, "gridOpacity": 0.6, "gridWidth": 0.6}
    return alt.Axis(**{**calm, "format": ".6~g", "labelOverlap": "greedy", "tickCount": 6, **options})


def x_axis() -> alt.Axis:
    """The axis along which a run goes."""
    return axis(grid=False, tickCount=8, labelFlush=True)


def y_axis(log: bool) -> alt.Axis:
    """The axis of a value, as wide whatever its numbers; a log one's lines without a number stand back."""
    numbered: Any = alt.condition("datum.label", alt.value(0.6), alt.value(0.2))
    return axis(tickCount=5, minExtent=36, **({"gridOpacity": numbered} if log else {}))


def y_scale(log: bool) -> alt.Scale:
    """A scale that follows the table: no end of it is fixed, and a ✕ at an end has room."""
    room = 10  # pixels
    return log_scale(room) if log else alt.Scale(zero=False, padding=room)


def linear_scale(room: int) -> alt.Scale:
    """A linear scale from the lowest to the highest value, with so many pixels to spare."""
    return alt.Scale(zero=False, nice=False, padding=room)


def log_scale(room: int) -> alt.Scale:
    """A logarithmic scale from the lowest to the highest value, with so many pixels to spare."""
    return alt.Scale(type="log", nice=False, padding=room)


def under_lane(column: str, title: str, **options: Any) -> alt.Y:
    """A loss on a logarithmic y-axis that ends below the lane of the trials that diverged."""
    scale = alt.Scale(type="log", nice=False, padding=10, range=[alt.expr("height"), _LANE])
    return alt.Y(f"{column}:Q", title=title, scale=scale, **options)


def loss_of_log(exponent: str) -> str:
    """A Vega expression: the loss whose logarithm to base 10 the expression `exponent` is, in two digits."""
    return f"format(pow(10, {exponent}), {exponent} < -4 ? '.1~e' : '.2~r')"


def naming(names: tuple[str, ...]) -> str:
    """A Vega expression that turns an index into its name, whatever is in the name."""
    return f"{json.dumps(names)}[datum.value]"


def legend(label: str, columns: str, **options: Any) -> alt.Legend:
    """Names in rows above the chart; `label` and `columns` are Vega expressions."""
    calm: dict[str, Any] = {"title": None, "orient": "top", "offset": 4, "columnPadding": 10}
    expressions = {"labelExpr": label, "columns": alt.expr(columns)}
    return alt.Legend(**{**calm, "symbolSize": 90, **expressions, **options})


def until(field: str, title: str | None) -> Any:
    """One unseen point at the table's first and last x, drawn or not: it keeps the x-axis still."""
    ends = alt.Chart().transform_aggregate(first=f"min({field})", last=f"max({field})").mark_rule(opacity=0)
    return ends.encode(x=alt.X("first:Q", title=title), x2="last:Q")


def lost(x: str) -> tuple[Any, Any]:
    """The ✕ where a run diverged, and the word on its right, or on its left where the right has no room.

    Args:
        x: The column on the x-axis; filters and channels are for the caller.
    """
    left = f"width - scale('x', datum['{x}']) < {_LABEL_ROOM}"
    cross = alt.Chart().mark_point(shape=CROSS, size=90, stroke=ALARM, strokeWidth=2.6, opacity=1)
    label = alt.Chart().mark_text(
        text="diverged",
        color=ALARM,
        fontWeight=600,
        align=alt.expr(f"{left} ? 'right' : 'left'"),
        dx=alt.expr(f"{left} ? -13 : 13"),
    )
    return cross, label


def in_lane(column: str, x: alt.X, test: str) -> list[Any]:
    """The ✕ of trials that diverged, in their lane, and the word once, beside the axis's numbers.

    Args:
        column: The column on the x-axis.
        x: The channel of the ✕.
        test: A Vega test: the row is of a trial that diverged. Such rows have `lost` in common.
    """
    height = alt.value(_LANE / 2 - 2)
    cross, _ = lost(column)
    once = alt.Chart().transform_filter(test).transform_aggregate(found="count()", groupby=["lost"])
    word = once.mark_text(text="diverged", color=ALARM, fontWeight=600, align="right", tooltip=None)
    return [
        cross.transform_filter(test).encode(x=x, y=height),
        word.encode(x=alt.value(-6), y=height),
    ]


def nearest(column: str) -> alt.Parameter:
    """The value of a column at the mark nearest to the pointer, as the parameter "near"."""
    return alt.selection_point(
        name="near", nearest=True, on="pointermove", clear="pointerout", fields=[column], empty=False
    )


def reading(x: alt.X, column: str, tests: list[str], titles: dict[str, str]) -> Any:
    """A thin line at the row nearest to the pointer, and what its columns say there, in one tooltip.

    It holds on to an x, not to a row of the table, so the next tick leaves it where it is.

    Args:
        x: The channel of the line.
        column: The column on the x-axis.
        tests: A row can be read where one of these Vega tests holds.
        titles: The words in the tooltip for that column, then for each one that is read.
    """
    near = nearest(column)
    read = {name: title for name, title in titles.items() if name != column}
    texts = {f"{name}_text": _text(name) for name in read}
    tooltip = [alt.Tooltip(f"{column}:Q", title=_quoted(titles[column]), format=".5~g")]
    tooltip += [alt.Tooltip(f"{name}_text:N", title=_quoted(title)) for name, title in read.items()]
    return (
        alt.Chart(name="reading")
        .transform_filter(" || ".join(f"({test})" for test in tests))
        .transform_calculate(**texts)
        .mark_rule(strokeWidth=1)
        .encode(x=x, tooltip=tooltip, opacity=alt.when(near).then(alt.value(0.5)).otherwise(alt.value(0)))
        .add_params(near)
    )


def _quoted(title: str) -> str:
    """Words for a tooltip: Vega-Lite puts them into an expression, where it minds the quotes alone."""
    return title.replace("\\", "\\\\")


def _text(column: str) -> str:
    """A Vega expression: the value in three digits, plain where it is neither huge nor tiny; – for none."""
    field = f"datum['{column}']"
    plain = f"abs({field}) < 1e5 && abs({field}) >= 1e-4"
    return f"{drawable(column, False)} ? format({field}, {plain} ? '.3~r' : '.3~g') : '–'"
