"""What the Stability page draws: the map of learning rate and momentum, the batch card, the range test."""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt

from core.charts.base import (
    ALARM,
    CROSS,
    DARK_INK,
    GREEN,
    GREY,
    LIGHT_INK,
    ORANGE,
    PURPLE,
    SKY,
    SLATE,
    Spec,
    axis,
    data_free,
    drawable,
    legend,
    loss_of_log,
    naming,
)

MAP_COLUMNS = (
    *("rate", "momentum", "x1", "x2", "y1", "y2", "growth", "loss", "lost", "epochs"),
    *("line", "line_x", "line_y"),
)
CARD_COLUMNS = ("batch", "plain", "momentum_step", "here")
_MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
_HEIGHTS = (0.0, 0.30103, 0.69897, 1.0, 1.30103, 1.69897, 2.0)  # -log10(1 - momentum)
_LINES = (
    "largest stable rate",
    "0.7 and 2 times it",
    "",
    "full-batch limit: heavy ball",
    "full-batch limit: SGD",
    "full-batch limit: Nesterov",
)
_LINE_COLOURS = (LIGHT_INK, GREY, GREY, ORANGE, SLATE, GREEN)


@cache
def map_spec(measured: bool) -> Spec:
    """The map: how many steps shrink the error to a tenth as predicted, or the last loss of real runs.

    Bright is good in both; each has colours of its own, since they mean different things.

    A click on a cell selects its `rate` and `momentum` (parameter "cell"); the pointer reads it.

    Columns (MAP_COLUMNS): for a cell `rate` and `momentum`, its edges `x1`, `x2` and, at
    -log10(1 - momentum), `y1`, `y2`; `growth`: the factor of the error per step; `loss`: the last loss of its
    run, NaN where it is not known; `lost`: 1 where the run diverged, 2 where it ended worse than untrained,
    else 0, NaN where it is not known; `epochs`: to a target, not drawn. For the point of a line `line` (0 the
    limit, 1 and 2 its bands, 3 to 5 the full-batch ceilings of heavy ball, SGD and Nesterov, from 6 on equal
    effective steps), `line_x`, `line_y`. The table may be empty.

    Args:
        measured: Whether cells show what runs came to; otherwise what is predicted.
    """
    layers = [_cells(measured), *([_crosses()] if measured else []), *_lines()]
    return data_free(alt.layer(*layers).resolve_scale(color="independent").properties(height=430))


def _x(column: str) -> alt.X:
    scale = alt.Scale(type="log", nice=False)
    return alt.X(f"{column}:Q", title="learning rate", scale=scale, axis=axis(grid=False, tickCount=6))


def _y(column: str) -> alt.Y:
    label = f"[{', '.join(map(str, _MOMENTA))}][indexof({list(_HEIGHTS)}, datum.value)]"
    scale = alt.Scale(zero=False, nice=False)
    shown = axis(grid=False, values=list(_HEIGHTS), labelExpr=label, labelOverlap=False)
    return alt.Y(f"{column}:Q", title="momentum", scale=scale, axis=shown)


def _cells(measured: bool) -> Any:
    cell = alt.selection_point(name="cell", fields=["rate", "momentum"], on="click", empty=False)
    words = {
        "step": "datum.momentum < 1 ? datum.rate / (1 - datum.momentum) : 0",
        "result": "datum.lost == 1 ? 'diverged' : isValid(datum.loss) ? format(datum.loss, '.3~g')"
        " + (datum.lost == 2 ? ', above the initial loss' : '') : '–'",
        "shade": "datum.lost >= 1 ? null : log(max(datum.loss, 1e-12)) / log(10)"
        if measured
        else "datum.growth < 1 ? min(-log(10) / log(datum.growth), 1e6) : null",
    }
    tooltip = [
        alt.Tooltip("rate:Q", title="learning rate", format=".3~g"),
        alt.Tooltip("momentum:Q", format=".3~r"),
        alt.Tooltip("step:Q", title="effective step", format=".3~g"),
        alt.Tooltip("growth:Q", title="growth of the error per update", format=".5~g"),
    ]
    tooltip += [alt.Tooltip("result:N", title="loss at the end")] if measured else []
    return (
        alt.Chart()
        .transform_filter("isValid(datum.x1)")
        .transform_calculate(**words)
        .mark_rect(cursor="pointer", strokeWidth=0, invalid=None)
        .encode(
            x=_x("x1"),
            x2="x2:Q",
            y=_y("y1"),
            y2="y2:Q",
            color=_shade(measured),
            opacity=_known(measured),
            tooltip=tooltip,
        )
        .add_params(cell)
    )


def _shade(measured: bool) -> Any:
    title = "loss at the end" if measured else "updates to a tenth of the error"
    label: dict[str, Any] = {"labelExpr": f"isFinite(datum.value) ? {loss_of_log('datum.value')} : ''"}
    key = alt.Legend(
        title=title,
        orient="bottom",
        direction="horizontal",
        gradientLength=240,
        **(label if measured else {}),
    )
    if measured:
        bad = alt.when("datum.lost >= 1").then(alt.value(ALARM))
        scale = alt.Scale(scheme="viridis", reverse=True)
        return (
            bad.when("!isValid(datum.loss)")
            .then(alt.value(GREY))
            .otherwise("shade:Q", scale=scale, legend=key)
        )
    scale = alt.Scale(scheme=alt.SchemeParams("blues", extent=[0.05, 1]), type="log")
    return alt.when("datum.growth >= 1").then(alt.value(ALARM)).otherwise("shade:Q", scale=scale, legend=key)


def _known(measured: bool) -> Any:
    if not measured:
        return alt.when("datum.growth >= 1").then(alt.value(0.3)).otherwise(alt.value(0.95))
    bad = alt.when("datum.lost >= 1").then(alt.value(0.3))
    return bad.when("isValid(datum.loss)").then(alt.value(0.95)).otherwise(alt.value(0.12))


def _crosses() -> Any:
    """A small ✕ in every cell whose run diverged: colour is not the only cue."""
    return (
        alt.Chart()
        .transform_filter("datum.lost == 1")
        .transform_calculate(middle="sqrt(datum.x1 * datum.x2)", height="(datum.y1 + datum.y2) / 2")
        .mark_point(shape=CROSS, size=9, strokeWidth=0.8, stroke=ALARM, opacity=0.7, tooltip=None)
        .encode(x=_x("middle"), y=_y("height"))
    )


def _lines() -> list[Any]:
    steps = _line("datum.line >= 6", color=GREY, strokeWidth=0.7, opacity=0.45)
    edge = _line("datum.line == 0", color=DARK_INK, strokeWidth=5, opacity=0.9)
    drawn = _line("datum.line < 6", strokeWidth=2, opacity=1)
    index = list(range(len(_LINES)))
    key = legend(
        naming(_LINES), "width > 400 ? 3 : 1", values=[3, 4, 5], symbolType="stroke", symbolStrokeWidth=3
    )
    colour = alt.Color("line:O", scale=alt.Scale(domain=index, range=list(_LINE_COLOURS)), legend=key)
    dashes = [[1, 0], [5, 4], [5, 4], [2, 2], [2, 2], [2, 2]]
    dash = alt.StrokeDash("line:O", scale=alt.Scale(domain=index, range=dashes), legend=None)
    return [steps, edge, drawn.encode(color=colour, strokeDash=dash)]


def _line(test: str, **look: Any) -> Any:
    chart = (
        alt.Chart()
        .transform_filter(f"isValid(datum.line) && {test}")
        .mark_line(clip=True, tooltip=None, **look)
    )
    return chart.encode(x=_x("line_x"), y=_y("line_y"), detail="line:O", order="line_y:Q")


@cache
def card_spec() -> Spec:
    """The largest usable effective step for each batch size, without momentum and with the best one.

    Columns (CARD_COLUMNS): `batch`, `plain`, `momentum_step`; `here`: the batch size that is set, in a row of
    its own.
    """
    names = ("without momentum", "with the best momentum")
    series: list[Any] = ["plain", "momentum_step"]
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("batch:Q", title="batch size", scale=scale, axis=axis(grid=False))
    y = alt.Y(
        "step:Q", title="largest stable effective step", scale=alt.Scale(type="log"), axis=axis(tickCount=4)
    )
    key = legend(f"{dict(zip(series, names, strict=True))}[datum.value]", "width > 260 ? 2 : 1")
    colour = alt.Color("series:N", scale=alt.Scale(domain=series, range=[SLATE, ORANGE]), legend=key)
    dash = alt.StrokeDash("series:N", scale=alt.Scale(domain=series, range=[[1, 0], [8, 3]]), legend=key)
    tooltip = [
        alt.Tooltip("batch:Q", title="batch size"),
        alt.Tooltip("step:Q", format=".3~g", title="effective step"),
    ]
    lines = (
        alt.Chart()
        .transform_fold(series, as_=["series", "step"])
        .transform_filter(drawable("step", True))
        .mark_line(strokeWidth=2.2, point={"size": 28})
        .encode(x=x, y=y, color=colour, strokeDash=dash, tooltip=tooltip)
    )
    here = (
        alt.Chart()
        .transform_filter(drawable("here", True))
        .mark_rule(strokeDash=[3, 3], color=GREY, strokeWidth=1.5)
    )
    return data_free(
        alt.layer(lines, here.encode(x=alt.X("here:Q", title="batch size"))).properties(height=230)
    )


@cache
def range_spec(momenta: tuple[float, ...]) -> Spec:
    """The last loss of short runs against their learning rate, one line for each momentum.

    Columns: `rate`, `m0`, `m1` and so on; `limit0` and so on in a row of their own: the largest that hold.

    Args:
        momenta: The momenta of m0, m1 and so on; five at most.
    """
    looks = ((SLATE, [1, 0]), (SKY, [8, 3]), (ORANGE, [2, 3]), (GREEN, [8, 3, 2, 3]), (PURPLE, [12, 4]))[
        : len(momenta)
    ]
    series: list[Any] = [f"m{k}" for k in range(len(momenta))]
    names = {name: f"momentum {momentum:g}" for name, momentum in zip(series, momenta, strict=True)}
    key = legend(f"{names}[datum.value]", str(len(momenta)))
    colours = alt.Scale(domain=series, range=[look[0] for look in looks])
    dashes = alt.Scale(domain=series, range=[look[1] for look in looks])
    x = alt.X("rate:Q", title="learning rate", scale=alt.Scale(type="log", nice=False), axis=axis(grid=False))
    y = alt.Y("loss:Q", title="final training loss", scale=alt.Scale(type="log"), axis=axis(tickCount=4))
    lines = (
        alt.Chart()
        .transform_fold(series, as_=["series", "loss"])
        .transform_filter(drawable("loss", True))
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color("series:N", scale=colours, legend=key),
            strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=key),
            tooltip=[
                alt.Tooltip("rate:Q", title="learning rate", format=".3~g"),
                alt.Tooltip("loss:Q", title="final training loss", format=".3~g"),
            ],
        )
    )
    rules = [
        alt.Chart()
        .transform_filter(drawable(f"limit{k}", True))
        .mark_rule(color=look[0], strokeDash=[3, 3], strokeWidth=1.5)
        .encode(x=alt.X(f"limit{k}:Q", title="learning rate"))
        for k, look in enumerate(looks)
    ]
    return data_free(alt.layer(lines, *rules).properties(height=260))
