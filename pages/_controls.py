"""Widgets that several pages draw, made from what core declares; and the link, which is the state.

The settings live as words of the link in `session_state["words"]`. A widget shows a word and writes it back;
it owns nothing, so nothing is lost when its page is not drawn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from core.config import Config
from core.labels import label
from core.registry import Choice, Flag, Interval, Setting, Widths
from pages._live import DOUBLE

DECADE = (1, 1.5, 2, 3, 5, 7)
MOMENTA = (
    0,
    0.2,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.85,
    0.9,
    0.92,
    0.94,
    0.95,
    0.96,
    0.97,
    0.98,
    0.99,
    0.995,
    0.999,
    1,
)
STALE = 1.0  # seconds in which a widget may echo what it was told
HEARD = 3.0  # seconds after which a browser has surely drawn what it was told
Changed = Callable[[str, Any], None]
OWN: set[str] = set()  # words of the link that belong to one page


def words() -> dict[str, str]:
    """The settings of this session as words of a link."""
    return st.session_state.setdefault("words", {})


def settings() -> dict[str, str]:
    """The words that say what to run; those that belong to one page only are left out."""
    return {word: text for word, text in words().items() if word not in OWN}


def replace_words(new: dict[str, str], page: dict[str, Setting], kept: Sequence[str]) -> None:
    """Takes over all words of a preset; those of other pages stay, and `kept` of this one."""
    touch()
    stay = {k: v for k, v in words().items() if (k in OWN and k not in page) or k in kept}
    st.session_state["words"] = stay | new
    st.session_state["wrong"] = []


def config() -> Config:
    """What the words say to run."""
    return Config.read(settings())[0]


def complain(wrong: Sequence[str]) -> None:
    """Says what cannot be, in one place."""
    if wrong:
        st.error("  \n".join(sentence.replace("$", r"\$") for sentence in wrong))


def read_link(page: dict[str, Setting]) -> list[str]:
    """Takes over what the link says, when somebody opened it or went back to it.

    A run that a widget or the panel of a job caused is neither, whatever the address bar said when it was
    sent; nor is one that follows a run that was cut short before it could write the link.

    Args:
        page: The settings that only this page has.

    Returns:
        A sentence for each thing that cannot be, in the link or in what was typed last.
    """
    OWN.update(page)
    state = st.session_state
    asked = {k: v for k, v in st.query_params.to_dict().items() if not k.startswith("embed")}
    touched = state["by_hand"] = state.pop("touched", False)
    panel = state.pop("own", False)
    if state.pop("complete", False):
        state["unheard"] = set()
    known = "words" in state
    if known and (touched or panel or not asked or asked in (state.get("written"), state.get("read"))):
        return state.get("wrong", [])
    state["bare"], state["read"] = not asked, dict(asked)
    own = {k: asked.pop(k) for k in list(asked) if k in page}
    read, wrong = Config.read(asked)
    kept = read.to_query()
    for key, text in own.items():
        try:
            kept[key] = page[key].text(page[key].parse(key, text))
        except ValueError as error:
            wrong.append(str(error))
    others = {k: v for k, v in state.get("words", {}).items() if k in OWN and k not in page}
    state["words"], state["wrong"] = others | kept, wrong
    return wrong


def write_link(page: dict[str, Setting]) -> None:
    """Makes the address bar say what the page shows; defaults are left out."""
    usual = {key: record.text(record.default) for key, record in page.items()}
    now = config().to_query() | {
        key: words()[key] for key in page if words().get(key, usual[key]) != usual[key]
    }
    st.session_state["written"], st.session_state["read"] = now, None
    if st.query_params.to_dict() != now:
        st.query_params.from_dict(now)
    st.session_state["complete"] = True
    if st.session_state.pop("toggling", False):
        st.session_state["drawn"] = time.monotonic()


def opened_by_link() -> bool:
    """Whether this session began with a link that says something."""
    return not st.session_state.get("bare", True)


def touch() -> None:
    """Says that the coming run is caused by a widget; to be called in every callback."""
    st.session_state["touched"] = True


def again(name: str) -> bool:
    """Whether a command is the second click of a double click on the button that pauses and resumes.

    By then the button may have its other meaning. It came within the moment of a double click, or waited
    while the first click's page was drawn and is heard as soon as that is done.
    """
    state, now = st.session_state, time.monotonic()
    if name not in ("pause", "resume"):
        return False
    if now - state.get("toggled", -DOUBLE) < DOUBLE or now - state.get("drawn", -DOUBLE) < DOUBLE / 2:
        return True
    state["toggled"], state["toggling"] = now, True
    return False


def value(word: str, record: Setting) -> Any:
    """What a setting is at now."""
    text = words().get(word)
    try:
        return record.default if text is None else record.parse(word, text)
    except ValueError:
        return record.default


def put(word: str, record: Setting, new: Any) -> None:
    """Sets a word; a value that cannot be leaves it and says so on the page."""
    touch()
    try:
        words()[word] = record.text(
            record.parse(word, new) if isinstance(new, str) else record.check(word, new)
        )
        st.session_state["wrong"] = []
    except ValueError as error:
        st.session_state["wrong"] = [str(error)]


def show(key: str, shown: Any) -> None:
    """Makes the widget `key`, drawn next, show a value.

    Nothing is said about a widget that shows it already, so that a quick hand is never overtaken; but what a
    run said that was cut short is said again, since it may never have reached the browser. So is what was
    said just before a run that no hand caused: of what comes between two pictures the browser keeps the last.
    """
    state = st.session_state
    unheard = state.setdefault("unheard", set())
    if key in unheard or key not in state or state[key] != shown or _just_told(key):
        now = time.monotonic()
        told = [(t, v) for t, v in state.setdefault("told", {}).get(key, []) if now - t < STALE]
        state["told"][key] = [*told, (now, state.get(key)), (now, shown)]
        state[key] = shown
        unheard.add(key)


def _just_told(key: str) -> bool:
    said = st.session_state.get("told", {}).get(key, [])
    recent = bool(said) and time.monotonic() - said[-1][0] < HEARD
    return recent and not st.session_state.get("by_hand")


def heard(key: str) -> Any:
    """What a hand has set a widget to; None for an echo, and for a widget that is gone with its page.

    While a run that sets a widget is under way, the browser still reports what the widget showed before, and
    Streamlit takes that for a change by hand.
    """
    touch()
    said = st.session_state.get(key)
    now = time.monotonic()
    told = st.session_state.get("told", {}).get(key, [])
    return None if any(now - t < STALE and v == said for t, v in told) else said


def popover(label: str, icon: str, key: str, draw: Callable[[], None]) -> None:
    """A popover that is drawn when it opens: what is in a closed one is never told its values."""
    with st.popover(label, icon=icon, key=key, on_change=touch) as popover:
        if popover.open:
            draw()


def pick(
    word: str,
    options: Sequence[str],
    title: Callable[[str], str],
    current: str,
    changed: Changed,
    **more: Any,
) -> None:
    """A menu for one of several names."""
    key = f"w_{word}"
    show(key, current if current in options else options[0])

    def take() -> None:
        if (said := heard(key)) is not None:
            changed(word, said)

    st.selectbox(label(word), options, key=key, format_func=title, on_change=take, **more)


def control(word: str, record: Setting, changed: Changed | None = None) -> None:
    """The widget that suits a setting."""
    key = f"w_{word}"
    current = value(word, record)

    def take() -> None:
        if (said := heard(key)) is None:
            return
        put(word, record, said)
        if changed:
            changed(word, value(word, record))

    common: dict[str, Any] = {"key": key, "help": record.help or None}
    if isinstance(record, Flag):
        show(key, current)
        st.toggle(label(word), on_change=take, **common)
    elif isinstance(record, Choice):
        show(key, current)
        st.selectbox(label(word), record.options, on_change=take, **common)
    elif isinstance(record, Widths):
        show(key, record.text(current))
        st.text_input(label(word), on_change=take, **common)
    elif isinstance(record, Interval) and record.log and not record.integer:
        grid = _grid(record, current)
        show(key, current)
        st.select_slider(label(word), grid, format_func=lambda v: f"{v:g}", on_change=take, **common)
    elif isinstance(record, Interval) and record.integer:
        show(key, int(current))
        low, high = int(record.low), int(record.high)
        st.number_input(label(word), low, high, step=1, on_change=take, **common)
    elif isinstance(record, Interval):
        low, high = record.slider or (record.low, record.high)
        show(key, float(current))
        low, high = min(low, current), max(high, current)
        st.slider(label(word), float(low), float(high), step=(high - low) / 100, on_change=take, **common)


def segments(word: str, record: Choice, title: Callable[[str], str], changed: Changed | None = None) -> None:
    """A row of choices of which one is taken."""
    key = f"w_{word}"
    show(key, value(word, record))

    def take() -> None:
        if (said := heard(key)) is None:
            return
        put(word, record, said)
        if changed:
            changed(word, said)

    st.segmented_control(
        label(word),
        record.options,
        key=key,
        format_func=title,
        required=True,
        label_visibility="collapsed",
        on_change=take,
    )


def dial(word: str, record: Interval, grid: Sequence[float], changed: Changed) -> None:
    """A slider over a grid with a field beside it for any other value."""
    slider, field = f"w_{word}_grid", f"w_{word}"
    current = float(value(word, record))
    stops = sorted({*map(float, grid), current})

    def take(key: str) -> None:
        if (said := heard(key)) is not None:
            put(word, record, said)
            changed(word, value(word, record))

    left, right = st.columns([3, 1], vertical_alignment="bottom")
    show(slider, current)
    left.select_slider(
        label(word),
        stops,
        key=slider,
        format_func=lambda v: f"{v:g}",
        on_change=take,
        args=(slider,),
        help=record.help,
    )
    show(field, current)
    right.number_input(
        label(word),
        float(record.low),
        float(record.high),
        key=field,
        format="%g",
        step=None,
        on_change=take,
        args=(field,),
        label_visibility="collapsed",
    )


def log_grid(record: Interval) -> list[float]:
    """The stops of a logarithmic slider."""
    low, high = record.slider or (record.low, record.high)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stops = [float(f"{m * 10.0**e:.6g}") for e in range(first, last + 1) for m in DECADE]
    return [s for s in stops if low <= s <= high]


def _grid(record: Interval, current: float) -> list[float]:
    zero = [0.0] if record.low == 0 else []
    return sorted({*zero, *log_grid(record), float(current)})
