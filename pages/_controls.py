"""Widgets that several pages draw, made from what core declares; and the link, which is the state.

The settings live as words of the link in `session_state["words"]`. A widget shows a word and writes it back;
it owns nothing, so nothing is lost when its page is not drawn.

Every widget is made with its value, and one whose value was changed by anything but a hand on it is made
anew (see `key`). So the browser is never told a value that it could miss, and what it reports of a widget
that is gone is of no effect: what is shown is what runs, on a cold server and in a hurry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from core.config import Config
from core.labels import label
from core.registry import Choice, Flag, Interval, Setting
from pages import _say as say

DECADE = (1, 1.5, 2, 3, 5, 7)
MOMENTA = (
    *(0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99),
    *(0.995, 0.999, 1),
)
Changed = Callable[[str, Any], None]
Preset = Callable[[str], Mapping[str, str]]
OWN: set[str] = set()  # words of the link that belong to one page


def words() -> dict[str, str]:
    """The settings of this session as words of a link."""
    return st.session_state.setdefault("words", {})


def settings() -> dict[str, str]:
    """The words that say what to run; those that belong to one page only are left out."""
    return {word: text for word, text in words().items() if word not in OWN}


def replace_words(new: dict[str, str], page: dict[str, Setting], kept: Sequence[str]) -> None:
    """Takes over all words of a preset; those of other pages stay, and `kept` of this one."""
    stay = {k: v for k, v in words().items() if (k in OWN and k not in page) or k in kept}
    st.session_state["words"] = stay | new


def config() -> Config:
    """What the words say to run."""
    return Config.read(settings())[0]


def read_link(page: dict[str, Setting], opening: dict[str, str], preset: Preset) -> None:
    """Takes over what the link says, when somebody opened it or went back to it.

    A run that a widget or the panel of a job caused is neither, whatever the address bar said when it was
    sent. A sentence for each thing that cannot be is kept for the top of the page.

    Args:
        page: The settings that only this page has.
        opening: The words that the page opens with when the link says nothing.
        preset: The words of a preset by its name; the link's own words count more.
    """
    OWN.update(page)
    state = st.session_state
    asked = {k: v for k, v in st.query_params.to_dict().items() if not k.startswith("embed")}
    by_hand, by_panel = state.pop("touched", False), state.pop("own", False)
    if "words" not in state:
        state["bare"] = not asked
    elif by_hand or by_panel or not asked or asked in (state.get("written"), state.get("read")):
        return
    state["read"], state["written"] = dict(asked), None
    words, state["wrong"] = _understood(asked or opening, page, preset)
    state["words"] = {k: v for k, v in state.get("words", {}).items() if k in OWN and k not in page} | words


def _understood(
    asked: Mapping[str, str], page: dict[str, Setting], preset: Preset
) -> tuple[dict[str, str], list[str]]:
    """The words of a link that can be, and a sentence for each that cannot."""
    wrong = []
    if name := asked.get("preset"):
        try:
            asked = {**preset(name), **asked}
        except ValueError as error:
            wrong.append(str(error))
    own = {k: v for k, v in asked.items() if k in page}
    read, bad = Config.read({k: v for k, v in asked.items() if k not in page and k != "preset"})
    kept = read.to_query()
    for word, text in own.items():
        try:
            kept[word] = page[word].text(page[word].parse(word, text))
        except ValueError as error:
            bad.append(str(error))
    return kept, wrong + bad


def write_link(page: dict[str, Setting]) -> None:
    """Makes the address bar say what the page shows; defaults are left out."""
    usual = {key: record.text(record.default) for key, record in page.items()}
    now = config().to_query() | {
        key: words()[key] for key in page if words().get(key, usual[key]) != usual[key]
    }
    state = st.session_state
    known = now in (state.get("written"), state.get("read")) and st.query_params.to_dict() == now
    state["written"], state["read"] = now, None
    if not known:
        st.query_params.from_dict(now)


def start_link(page: dict[str, Setting], jobs: Sequence[str], preset: str | None) -> dict[str, str]:
    """The words of a link that starts what the page shows: a preset by its name, and no job.

    Args:
        page: The settings that only this page has.
        jobs: Those of them that name jobs.
        preset: The preset that has just these settings.
    """
    said = {"preset": preset} if preset else config().to_query()
    if not preset:
        usual = {key: record.text(record.default) for key, record in page.items()}
        own = {key: words()[key] for key in page if words().get(key, usual[key]) != usual[key]}
        said |= {key: text for key, text in own.items() if key not in jobs}
    return said | {"run": "1"}


def opened_by_link() -> bool:
    """Whether this session began with a link that says something."""
    return not st.session_state.get("bare", True)


def touch() -> None:
    """Says that the coming run is caused by a hand; to be called in every callback."""
    st.session_state["touched"] = True
    say.forget()


def value(word: str, record: Setting) -> Any:
    """What a setting is at now."""
    text = words().get(word)
    try:
        return record.default if text is None else record.parse(word, text)
    except ValueError:
        return record.default


def put(word: str, record: Setting, new: Any, field: str = "") -> bool:
    """Sets a word; a value that cannot be leaves it, with a sentence at the field. Whether it was set."""
    try:
        name = label(word)
        words()[word] = record.text(
            record.parse(name, new) if isinstance(new, str) else record.check(name, new)
        )
    except ValueError as error:
        say.refuse(str(error), field)
        return False
    return True


def key(name: str, shown: Any) -> str:
    """The key under which a widget, drawn next with `shown` as its value, is the one of the last picture.

    It is another widget once the value has been changed by anything but a hand on it: the browser keeps what
    it has of a widget that it knows, and takes the value that comes with one that it does not.
    """
    made = st.session_state.setdefault("made", {})
    turn, last = made.get(name, (0, shown))
    turn += last != shown
    made[name] = turn, shown
    return _key(name, turn)


def hand(name: str, at: str, changed: Callable[[Any], None]) -> Callable[[], None]:
    """The callback of the widget that has the key `at`: passes on what a hand has set it to.

    A browser also reports what a widget shows that has just gone, or that it shows what it was made with;
    neither is a hand.
    """

    def take() -> None:
        touch()
        made = st.session_state.setdefault("made", {})
        turn, last = made.get(name, (0, None))
        said = st.session_state.get(at)
        if _key(name, turn) == at and said is not None and said != last:
            made[name] = turn, said
            changed(said)

    return take


def _key(name: str, turn: int) -> str:
    return f"{name}--{turn}" if turn else name


def popover(label: str, icon: str | None, key: str, draw: Callable[[], None], **more: Any) -> None:
    """A popover that is drawn when it opens."""
    with st.popover(label, icon=icon, key=key, on_change=touch, **more) as popover:
        if popover.open:
            draw()


def pick(
    name: str,
    options: Sequence[Any],
    title: Callable[[Any], str],
    current: Any,
    changed: Callable[[Any], None],
    **more: Any,
) -> None:
    """A menu for one of several names; none of them is taken where `current` is not among them."""

    known = current if current in options else None
    at = key(name, known)
    st.selectbox(
        more.pop("label", None) or label(name.removeprefix("w_")),
        options,
        index=None if known is None else list(options).index(known),
        key=at,
        format_func=title,
        on_change=hand(name, at, changed),
        **more,
    )


def control(word: str, record: Setting, changed: Changed | None = None, **more: Any) -> None:
    """The widget that suits a setting."""
    current = value(word, record)
    name = f"w_{word}"

    def take(said: Any) -> None:
        if put(word, record, said, name) and changed:
            changed(word, value(word, record))

    more = {"help": record.help or None} | more
    if isinstance(record, Flag):
        flag(name, label(word), current, take, **more)
    elif isinstance(record, Choice):
        pick(name, record.options, str, current, take, **more)
    elif isinstance(record, Interval) and not record.integer:
        slider(name, label(word), grid(record), current, take, **more)
    else:
        text(name, label(word), record.text(current), take, **more)


def flag(name: str, title: str, current: bool, changed: Callable[[bool], None], **more: Any) -> None:
    """A switch."""
    at = key(name, current)
    st.toggle(title, value=current, key=at, on_change=hand(name, at, changed), **more)


def slider(
    name: str,
    title: str,
    stops: Sequence[float],
    current: float,
    changed: Callable[[float], None],
    **more: Any,
) -> None:
    """A slider over given stops; a value between two of them is a stop of its own while it is there."""
    now = float(current)
    at = key(name, now)
    st.select_slider(
        title,
        sorted({*map(float, stops), now}),
        value=now,
        key=at,
        format_func=exact,
        on_change=hand(name, at, changed),
        **more,
    )


def text(name: str, title: str, current: str, changed: Callable[[str], None], **more: Any) -> None:
    """A field; what cannot be taken is named under it, and what was there stays."""
    at = key(name, current)
    st.text_input(title, current, key=at, on_change=hand(name, at, changed), **more)
    say.at_field(name)


def number(
    name: str,
    title: str,
    record: Interval,
    current: float,
    changed: Callable[[float], None],
    **more: Any,
) -> None:
    """A field for a number that is no word of the link by itself."""

    def take(said: str) -> None:
        try:
            new = record.parse(title, said)
        except ValueError as error:
            say.refuse(str(error), name)
            return
        changed(new)

    text(name, title, record.text(current), take, **more)


def segments(word: str, record: Choice, title: Callable[[str], str], changed: Changed | None = None) -> None:
    """A row of choices of which one is taken."""
    name = f"w_{word}"
    current = value(word, record)

    def take(said: str) -> None:
        if put(word, record, said) and changed:
            changed(word, said)

    at = key(name, current)
    st.segmented_control(
        label(word),
        record.options,
        default=current,
        key=at,
        format_func=title,
        required=True,
        label_visibility="collapsed",
        on_change=hand(name, at, take),
    )


def dial(word: str, record: Interval, stops: Sequence[float], changed: Changed) -> None:
    """A slider over given stops with a field beside it for any other value."""
    current = float(value(word, record))
    name = f"w_{word}"

    def take(said: Any) -> None:
        if put(word, record, said, name):
            changed(word, value(word, record))

    with st.container(key=f"dial-{word}"):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        with left:
            slider(f"{name}_grid", label(word), stops, current, take, help=record.help)
        with right:
            text(name, label(word), record.text(current), take, label_visibility="collapsed")


def exact(number: float) -> str:
    """A number in the shortest digits that are just this number."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


def grid(record: Interval) -> list[float]:
    """The stops of a slider over an interval: of a logarithmic one those of every decade."""
    low, high = record.slider or (record.low, record.high)
    if not record.log:
        return [float(f"{low + (high - low) * k / 100:.6g}") for k in range(101)]
    zero = [0.0] if record.low == 0 else []
    first, last = (math.log10(end) for end in (low or high / 1e8, high))
    decades = range(math.floor(first), math.ceil(last) + 1)
    stops = [float(f"{m * 10.0**e:.6g}") for e in decades for m in DECADE]
    return zero + [s for s in stops if low <= s <= high]
