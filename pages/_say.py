"""What a page says that is not a number: sentences about what cannot be, shown as text whoever wrote them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

MOST, LONGEST = 4, 400  # sentences shown at once, and characters of each
_MARKS = re.compile(r"([!-/:-@\[-`{-~])")
_JOINED = re.compile(r"(\\:|\\@|www)", re.IGNORECASE)
_APART = "\u2060"  # WORD JOINER, of no width


def plain(text: str) -> str:
    """Text as Markdown that shows just these characters: no link, picture, colour, formula or emoji.

    Every mark of ASCII is escaped. Streamlit turns addresses and emoji names into links and pictures even
    after that, so what begins them is followed by a character of no width.
    """
    lines = " ".join(text.split())
    return _JOINED.sub(rf"\1{_APART}", _MARKS.sub(r"\\\1", lines))


def complain(sentences: Sequence[str]) -> None:
    """Says what cannot be, in one place; of many things the first few."""
    if not sentences:
        return
    more = len(sentences) - MOST
    shown = [cut(sentence) for sentence in sentences[:MOST]]
    st.error("  \n".join(map(plain, shown)) + (f"  \nAnd {more} more." if more > 0 else ""))


def cut(text: str) -> str:
    """The beginning of a text that is too long to be read."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def refuse(sentence: str, field: str = "") -> None:
    """Keeps a sentence for the next picture: at a field, or at the top of the page.

    It is shown until a hand does something else.
    """
    st.session_state["refused"] = (field, sentence)


def refused() -> list[str]:
    """What is to be said at the top of the page, of the link and of the last command."""
    field, sentence = st.session_state.get("refused", ("", ""))
    return [*st.session_state.get("wrong", []), *([sentence] if sentence and not field else [])]


def at_field(field: str) -> None:
    """Says, right under a field, why what was typed there was not taken."""
    where, sentence = st.session_state.get("refused", ("", ""))
    if sentence and where == field:
        st.markdown(f":red[{plain(cut(sentence))}]")


def forget() -> None:
    """A hand has done something else: what was said is said no more."""
    st.session_state.pop("refused", None)
    st.session_state["wrong"] = []
