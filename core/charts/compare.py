"""What rivals are drawn with: a colour and a dash for each, their means and the bands of their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from core.charts.base import (
    BIG,
    CLAY,
    COLOURS,
    DASHES,
    GREY,
    MOSS,
    PERIWINKLE,
    SMALL,
    Spec,
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

Style = tuple[str, tuple[int, ...]]
MOST_RIVALS = 8

_OWN: dict[str, Style] = {name: (colour, tuple(DASHES[name])) for name, colour in COLOURS.items()}
_SPARE: tuple[Style, ...] = ((PERIWINKLE, (14, 3, 3, 3)), (MOSS, (6, 6)), (CLAY, (18, 6)))
_LINE: dict[str, Any] = {"strokeWidth": 2, "strokeCap": "butt", "strokeJoin": "round"}
_BAND = 0.15  # opacity
_SAMPLE = "M-3,0L3,0"  # the piece of line in the legend, long enough for a dash


def rival_styles(names: tuple[str, ...]) -> tuple[Style, ...]:
    """A colour and a dash for each rival, no two of them alike in either.

    The first rival of a rule looks as that rule does on every page. Further ones of the same rule take what
    no rule owns, and after that what the rules own that are not here.

    Args:
        names: The rule of each rival; the same one may come several times.

    Raises:
        ValueError: There are more rivals than eyes can tell apart.
    """
    if len(names) > MOST_RIVALS:
        raise ValueError(f"names must be at most {MOST_RIVALS} rules, got {len(names)}.")
    spare = iter([*_SPARE, *(style for rule, style in _OWN.items() if rule not in names)])
    first = [name in _OWN and name not in names[:i] for i, name in enumerate(names)]
    return tuple(_OWN[name] if own else next(spare) for name, own in zip(names, first, strict=True))


def compare_columns(rivals: int) -> tuple[str, ...]:
    """The columns of the table that compare_spec draws: `x`, and `m0 l0 h0 lost0` and so on."""
    return ("x", *(f"{part}{i}" for i in range(rivals) for part in ("m", "l", "h", "lost")))


@cache
def compare_spec(
    labels: tuple[str, ...],
    styles: tuple[Style, ...],
    x_title: str,
    y_title: str,
    log: bool = True,
    focus: int | None = None,
) -> Spec:
    """Rivals on one pair of axes: the mean over each one's seeds, and its interval as a band.

    An ✕ in the alarm colour marks where a seed diverged; the word beside it is said once for each rival. The
    pointer reads all means at the nearest x at once.

    Columns (compare_columns): `x`; for each rival, here the first, `m0`: the mean, `l0` and `h0`: the ends
    of its interval, `lost0`: the last drawn value of a seed that diverged there. Each may be NaN
    anywhere, and the table may be empty; a line runs on over rows that have no value for it. A row with
    only `x` set widens the x-axis, so one at each end keeps it still from the first tick.

    Args:
        labels: The words for each rival, shown as they are.
        styles: The colour and the dash of each rival, from rival_styles.
        x_title, y_title: The words on the axes.
        log: Whether the y-axis is logarithmic; then values of 0 and below are left out.
        focus: One rival for a small multiple: the others lie behind it in grey, there are no words, and since
            all multiples of a table hold the same values they have the same axes. None draws the whole chart.

    Raises:
        ValueError: There is not one style for each label, or no rival has the number `focus`.
    """
    if len(labels) != len(styles):
        raise ValueError(f"styles must be one for each of {len(labels)} labels, got {len(styles)}.")
    if focus is not None and not 0 <= focus < len(labels):
        raise ValueError(f"focus must be None or in [0, {len(labels) - 1}], got {focus!r}.")
    names = _apart(labels)
    place = _Place(x_title, y_title, log) if focus is None else _Place(None, None, log)
    marks = _all(names, styles, place) if focus is None else _one(focus, styles[focus][0], place)
    read = {f"m{i}": name for i, name in enumerate(names) if focus in (None, i)}
    line = reading(place.x(), "x", [drawable(column, log) for column in read], {"x": x_title, **read})
    chart = alt.layer(_long(alt.layer(*marks), len(labels)), until("x", place.x_title), line)
    return data_free(chart.properties(height=BIG + 10 * len(labels) if focus is None else SMALL))


@dataclass(frozen=True)
class _Place:
    """Where marks stand: the words on the axes, None for no words, and whether the y-axis is logarithmic."""

    x_title: str | None
    y_title: str | None
    log: bool

    def x(self, **options: Any) -> alt.X:
        return alt.X("x:Q", title=self.x_title, **options)

    def y(self, column: str, **options: Any) -> alt.Y:
        return alt.Y(f"{column}:Q", title=self.y_title, scale=y_scale(self.log), **options)

    def put(self, mark: Any, column: str, **channels: Any) -> Any:
        """A mark at the values of a column that can be drawn."""
        drawn = mark.transform_filter(drawable(column, self.log))
        return drawn.encode(x=self.x(), y=self.y(column), **channels)

    def bands(self, colour: Any, opacity: Any) -> Any:
        """The areas of the intervals: the first layer, so the axes are said here."""
        x = self.x(scale=alt.Scale(zero=False, nice=False), axis=x_axis())
        y = self.y("low", axis=y_axis(self.log))
        test = f"{drawable('low', self.log)} && {drawable('high', self.log)}"
        area = alt.Chart().transform_filter(test).mark_area(color=colour)
        return area.encode(x=x, y=y, y2="high:Q", detail="rival:N", opacity=opacity)


def _long(marks: Any, rivals: int) -> Any:
    """The marks with one row for each rival at each x; the browser unfolds the table, it travels wide."""

    def every(part: str) -> str:
        return "[" + ", ".join(f"datum.{part}{i}" for i in range(rivals)) + "]"

    parts = {"mean": every("m"), "low": every("l"), "high": every("h"), "lost": every("lost")}
    numbered = marks.transform_calculate(rival=str(list(range(rivals))), **parts)
    return numbered.transform_flatten(["rival", *parts])


def _all(labels: tuple[str, ...], styles: tuple[Style, ...], place: _Place) -> list[Any]:
    """Every rival in its own colour and dash, named above the chart."""
    indices = list(range(len(labels)))
    colours = alt.Scale(domain=indices, range=[colour for colour, _ in styles])
    dashes = alt.Scale(domain=indices, range=[list(dash) for _, dash in styles])
    key = _key(labels)
    lines = {
        "color": alt.Color("rival:N", scale=colours, legend=key),
        "strokeDash": alt.StrokeDash("rival:N", scale=dashes, legend=key),
    }
    cross, word = (place.put(mark, "lost") for mark in lost("x"))
    return [
        place.bands(alt.expr("scale('color', datum.rival)"), alt.value(_BAND)),
        place.put(alt.Chart().mark_line(**_LINE), "mean", **lines),
        cross,
        _once(word),
    ]


def _one(rival: int, colour: str, place: _Place) -> list[Any]:
    """One rival in front of the others; what is not shown of them is there unseen, for the axes' sake."""
    mine = f"datum.rival == {rival}"

    def shown(opacity: float) -> Any:
        return alt.when(mine).then(alt.value(opacity)).otherwise(alt.value(0))

    thin = alt.Chart().mark_line(color=GREY, strokeWidth=1, opacity=0.5)
    line = alt.Chart().mark_line(color=colour, **_LINE).transform_filter(mine)
    cross, word = (place.put(mark, "lost") for mark in lost("x"))
    return [
        place.bands(colour, shown(_BAND)),
        place.put(thin, "mean", detail="rival:N"),
        place.put(line, "mean"),
        cross.encode(opacity=shown(1)),
        _once(word.transform_filter(mine)),
    ]


def _once(word: Any) -> Any:
    """The word at the last ✕ of each rival: several seeds are often lost side by side."""
    ranked = word.transform_joinaggregate(last="max(x)", groupby=["rival"])
    return ranked.transform_filter("datum.x == datum.last")


def _key(labels: tuple[str, ...]) -> alt.Legend:
    """As many names in a row as there is room for, each beside a piece of its line."""
    wide = 5.3 * max(map(len, labels)) + 58  # pixels of an entry
    fit = f"clamp(floor(width / {wide:.0f}), 1, {len(labels)})"
    return legend(
        naming(labels),
        fit,
        symbolType=_SAMPLE,
        symbolOffset=8,
        labelOffset=20,
        labelLimit=600,
        rowPadding=1,
    )


def _apart(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Each label in one line, with its place where it repeats: a tooltip has only one row for a name."""
    lines = [" ".join(label.split()) for label in labels]
    return tuple(f"{line} ({i + 1})" if lines.count(line) > 1 else line for i, line in enumerate(lines))
