"""What is searched: a row for each number, with a tick and two ends."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.config import Config
from core.labels import label, spoken
from core.registry import Flag, Interval
from core.search.space import USUAL, Range, Ranges, Space, numbers, usual_range
from pages import _controls as controls
from pages import _say as say

RANGES = Ranges()
COLUMNS = [4, 3, 3]
SCALES = {
    "log": "Logarithmic scale",
    "rest": "Logarithm of 1 - value, finer near 1",
    "linear": "Linear scale",
}


def chosen(config: Config) -> Space:
    """The space that the words say, with only what the config's rule has."""
    space = controls.value("space", RANGES)
    known = numbers(config)
    kept = [r for r in space.ranges if r.word in known]
    return Space(*kept).of(config)


def _shown(config: Config) -> Space:
    """The space to edit: the usual one where the words say none that can be."""
    try:
        return chosen(config)
    except ValueError:
        return Space().of(config)


def editor(config: Config) -> None:
    """Ticks and ends of every number that the rule has; a change takes effect with the next start."""
    space = _shown(config)
    st.caption("Ticked parameters are searched between their bounds; the others keep their values.")
    with st.container(key="space"):
        for cell, head in zip(st.columns(COLUMNS)[1:], ("from", "to"), strict=True):
            cell.caption(head)
        for word in filter(USUAL.__contains__, numbers(config)):
            with st.container():  # what is said below one row moves none of the others to another place
                _row(config, space, word)
                say.at_field(_name(word))
    exact = controls.value("exact", Flag())
    st.caption(scales(space.linear() if exact else space))


def scales(space: Space) -> str:
    """On which scale each number of a space is searched."""
    said = []
    for scale, title in SCALES.items():
        names = [spoken(r.word) for r in space.ranges if r.scale == scale]
        if names:
            said.append(f"{title}: {', '.join(names)}.")
    return " ".join(said)


def _name(word: str) -> str:
    return f"w_space_{word}"


def _row(config: Config, space: Space, word: str) -> None:
    """A tick and two ends."""
    record, ticked = numbers(config)[word], word in space.words
    r = next((r for r in space.ranges if r.word == word), usual_range(word))
    tick, low, high = st.columns(COLUMNS, vertical_alignment="center")
    name = f"{_name(word)}_on"
    at = controls.key(name, ticked)
    tick.checkbox(
        label(word), ticked, key=at, on_change=controls.hand(name, at, lambda on: _tick(config, word, on))
    )
    for cell, end, title in ((low, "low", "from"), (high, "high", "to")):
        with cell:
            controls.text(
                f"{_name(word)}_{end}",
                f"{label(word)}, {title}",
                record.text(getattr(r, end)),
                lambda said, end=end: _move(config, word, record, end, said),
                disabled=not ticked,
                label_visibility="collapsed",
            )


def _tick(config: Config, word: str, on: bool) -> None:
    """Takes a number into the search, or out of it."""
    ranges = {r.word: r for r in _shown(config).ranges}
    if on:
        ranges[word] = usual_range(word)
    else:
        ranges.pop(word, None)
    if not ranges:
        say.refuse("A search needs at least one parameter: tick one.", _name(word))
        return
    order = list(numbers(config))
    _keep(config, sorted(ranges.values(), key=lambda r: order.index(r.word)), word)


def _move(config: Config, word: str, record: Interval, end: str, said: str) -> None:
    """Moves one end of a range to what was typed."""
    old = {r.word: r for r in _shown(config).ranges}
    if word not in old:  # a quick hand typed in a row that was just unticked
        return
    try:
        old[word] = replace(old[word], **{end: float(record.parse(label(word), said))})
    except ValueError as error:
        say.refuse(str(error), _name(word))
        return
    _keep(config, list(old.values()), word)


def _keep(config: Config, ranges: list[Range], word: str) -> None:
    try:
        controls.words()["space"] = RANGES.text(Space(*ranges).of(config))
    except ValueError as error:
        say.refuse(str(error), _name(word))
