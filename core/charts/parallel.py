"""What the trials say at a glance: each a line across its parameters, to its loss."""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt

from core.charts.base import ALARM, BIG, GREY, ORANGE, Spec, axis, data_free, drawable, lost, naming

_ABOVE = 1.1  # where a trial that diverged meets the axis of the loss, whose labels end at 1


def parallel_columns(parameters: int) -> tuple[str, ...]:
    """The columns of the table that parallel_spec draws, for so many parameters."""
    places = (f"p{j}" for j in range(parameters))
    return ("trial", "loss", "lost", "best", "words", "p_loss", *places, "ruler", "place", "label")


@cache
def parallel_spec(names: tuple[str, ...]) -> Spec:
    """Each trial as a line across one axis for each parameter, to its loss on the last axis.

    Bright is a low loss, the best is thick and orange; a trial that diverged ends in an ✕ above the
    last axis. Dragging over an axis (parameter "brush") fades the trials that lie outside there; dragging
    over several axes asks for all of them.

    Columns (parallel_columns): `trial`, `loss`, `words`: the setting, a text; `lost`: 1 where it diverged;
    `best`: 1 for the best; `p0` and so on: the place on each parameter's axis, in [0, 1]; `p_loss`: the place
    on the last one, low for a low loss. For a tick, in a row of its own, `ruler`: the axis, counted from 0;
    `place`: where on it, in [0, 1]; `label`: its words. The table may be empty.

    Args:
        names: Of each parameter's axis, then of the loss's.

    Raises:
        ValueError: There are fewer than two names.
    """
    if len(names) < 2:
        raise ValueError(f"names must be those of at least one parameter and the loss, got {len(names)}.")
    columns: list[Any] = [*(f"p{j}" for j in range(len(names) - 1)), "end"]
    rulers = (_ruler(j) for j in range(len(names)))
    chart = (
        alt.layer(*rulers, *_strands(names, columns), *_ends(names), *_ticks(names))
        .transform_calculate(end=f"datum.lost == 1 ? {_ABOVE} : datum.p_loss")
        .resolve_scale(y="independent")
    )
    return data_free(chart.properties(height=BIG))


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


def _ruler(j: int) -> Any:
    """The line of one axis; nothing is drawn along it here."""
    shown = axis(values=[], domain=True, grid=False, orient="left", offset=alt.expr(f"-scale('x', {j})"))
    return alt.Chart().transform_filter("false").mark_point(tooltip=None).encode(y=_height(axis=shown))


def _ticks(names: tuple[str, ...]) -> list[Any]:
    """The words of the ticks, on the side of their axis that has no lines."""
    last = len(names) - 1
    sides: list[tuple[str, dict[str, Any]]] = [
        (f"datum.ruler < {last}", {"align": "right", "dx": -6}),
        (f"datum.ruler == {last}", {"align": "left", "dx": 6}),
    ]
    return [
        alt.Chart()
        .transform_filter(f"isValid(datum.ruler) && {side}")
        .transform_calculate(axis="datum.ruler", at="datum.place")
        .mark_text(color=GREY, fontWeight=600, baseline="middle", tooltip=None, **look)
        .encode(x=_across(names), y=_height(axis=None), text="label:N")
        for side, look in sides
    ]


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
