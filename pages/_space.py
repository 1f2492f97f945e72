"""What is searched: a row for each number, with a tick and two ends."""

from __future__ import annotations

import math

import streamlit as st

from core.config import Config
from core.labels import label, spoken
from core.registry import Flag
from core.search.space import USUAL, Range, Ranges, Space, numbers, usual_range
from pages import _controls as controls

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


def editor(config: Config) -> None:
    """Ticks and ends of every number that the rule has; a change takes effect with the next start."""
    space = chosen(config)
    row, refusal = _refusal()
    st.caption("Ticked numbers are searched between their ends; the others stay as they are set.")
    with st.container(key="space_heads"):
        for cell, head in zip(st.columns(COLUMNS)[1:], ("from", "to"), strict=True):
            cell.caption(head)
    for word in numbers(config):
        if word not in USUAL:
            continue
        with st.container():  # what is said below one row moves none of the others to another place
            _row(config, space, word)
            if word == row:
                controls.complain([refusal])
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


def step(r: Range, end: float) -> float:
    """By how much one click moves an end of a range: half a unit of its first digit, so 0.1 to 0.15 or 0.05.

    The digit is that of 1 - end on that scale, and of the range's width on a linear one. Whole numbers move
    by whole steps.
    """
    size = {"log": end, "rest": 1 - end, "linear": r.high - r.low}[r.scale]
    half = float(f"5e{math.floor(math.log10(float(f'{size:.6g}'))) - 1}")
    return max(1.0, half) if r.integer else half


def _row(config: Config, space: Space, word: str) -> None:
    """A tick and two ends."""
    record = numbers(config)[word]
    ticked = word in space.words
    r = next((r for r in space.ranges if r.word == word), usual_range(word))
    tick, low, high = st.columns(COLUMNS, vertical_alignment="center")
    on, first, last = (f"w_space_{word}_{part}" for part in ("on", "low", "high"))
    controls.show(on, ticked)
    tick.checkbox(label(word), key=on, on_change=_ticked, args=(config, word))
    for cell, key, end, name in ((low, first, r.low, "from"), (high, last, r.high, "to")):
        controls.show(key, float(end))
        cell.number_input(
            f"{label(word)}, {name}",
            float(record.low),
            float(record.high),
            key=key,
            format="%g",
            step=step(r, end),
            disabled=not ticked,
            on_change=_moved,
            args=(config, word, key),
            label_visibility="collapsed",
        )


def _ticked(config: Config, word: str) -> None:
    if (ticked := controls.heard(f"w_space_{word}_on")) is None:
        return
    ranges = {r.word: r for r in chosen(config).ranges}
    if ticked:
        ranges[word] = usual_range(word)
    else:
        ranges.pop(word, None)
    if not ranges:
        _refuse(word, "A search needs at least one number: tick one.")
        return
    order = list(numbers(config))
    _keep(sorted(ranges.values(), key=lambda r: order.index(r.word)))


def _moved(config: Config, word: str, key: str) -> None:
    old = {r.word: r for r in chosen(config).ranges}
    if controls.heard(key) is None or word not in old:  # a quick hand typed in a row that was just unticked
        return
    low, high = (float(st.session_state[f"w_space_{word}_{end}"]) for end in ("low", "high"))
    try:
        old[word] = Range(word, low, high, old[word].scale)
        space = Space(*old.values()).of(config)
    except ValueError as error:
        _refuse(word, str(error))
        return
    _keep(list(space.ranges))


def _keep(ranges: list[Range]) -> None:
    controls.words()["space"] = RANGES.text(Space(*ranges))
    st.session_state["wrong"] = []
    st.session_state["refusal"] = None


def _refuse(word: str, sentence: str) -> None:
    """Says at the next picture what cannot be in a row, and there only."""
    st.session_state["wrong"] = []
    st.session_state["refusal"], st.session_state["refused"] = (word, sentence), True


def _refusal() -> tuple[str, str]:
    """The row that was refused last and why; nothing once a hand has done something else."""
    state = st.session_state
    if not state.pop("refused", False) and state.get("by_hand"):
        state["refusal"] = None
    return state.get("refusal") or ("", "")
