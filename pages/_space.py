"""What is searched: a row for each number, with a tick and two ends."""

from __future__ import annotations

import streamlit as st

from core.config import Config
from core.search.space import USUAL, Range, Ranges, Space, numbers, usual_range
from pages import _controls as controls

RANGES = Ranges()


def chosen(config: Config) -> Space:
    """The space that the words say, with only what the config's rule has."""
    space = controls.value("space", RANGES)
    known = numbers(config)
    kept = [r for r in space.ranges if r.word in known]
    return Space(*kept).of(config)


def editor(config: Config) -> None:
    """Ticks and ends of every number that the rule has; a change takes effect with the next start."""
    space = {r.word: r for r in chosen(config).ranges}
    st.caption("Ticked numbers are searched between their ends; the others stay as they are set.")
    for word, record in numbers(config).items():
        if word not in USUAL:
            continue
        r = space.get(word) or usual_range(word)
        tick, low, high = st.columns([2, 1, 1], vertical_alignment="center")
        on, first, last = (f"w_space_{word}_{part}" for part in ("on", "low", "high"))
        controls.show(on, word in space)
        tick.checkbox(controls.label(word), key=on, on_change=_ticked, args=(config, word))
        for cell, key, end, name in ((low, first, r.low, "lowest"), (high, last, r.high, "highest")):
            controls.show(key, float(end))
            cell.number_input(
                f"{controls.label(word)}, {name}",
                float(record.low),
                float(record.high),
                key=key,
                format="%g",
                step=None,
                disabled=word not in space,
                on_change=_moved,
                args=(config, word, key),
                label_visibility="collapsed",
            )
    st.caption(
        "Learning rate and batch size are searched on a logarithmic scale, momentum as the logarithm of "
        "1 - momentum, which is finer near 1."
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
        st.session_state["wrong"] = ["A search needs at least one number: tick one."]
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
        st.session_state["wrong"] = [str(error)]
        return
    _keep(list(space.ranges))


def _keep(ranges: list[Range]) -> None:
    controls.words()["space"] = RANGES.text(Space(*ranges))
    st.session_state["wrong"] = []
