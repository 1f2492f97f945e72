"""What can be opened: a study that was downloaded, or one in the database that others work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from core import jobs
from core.search.plan import to_words
from core.store import default_url
from pages import _controls as controls
from pages import _live as live
from pages import _say as say
from pages import _study

LARGEST = 10  # MB
NO_DATABASE = "Studies in a database are opened by the app on your own machine, not by this hosted demo."


def choices() -> None:
    """A place for a file; and, where this machine is one's own, the studies in its database."""
    st.file_uploader(
        "A study that was downloaded here",
        type="db",
        key="w_file",
        on_change=_file,
        max_upload_size=LARGEST,
        help="“Use it” has the button that downloads one. The search can be resumed where it was.",
    )
    if jobs.limits() == jobs.HOSTED:
        return
    try:
        names = _names(default_url())
    except ValueError as error:
        say.complain([str(error)])
        return
    controls.pick(
        "w_open",
        names,
        str,
        None,
        study,
        label="A study in the database",
        placeholder="Pick one" if names else "There is none yet: share a search",
        disabled=not names,
    )


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=4)
def _names(url: str) -> list[str]:
    from core.search.shared import listed

    return listed(url)


def _file() -> None:
    from core.search.file import from_bytes

    controls.touch()
    if (file := st.session_state.get("w_file")) is not None:
        follow(lambda: from_bytes(file.getvalue()))


def study(name: str) -> None:
    """Looks on at a study in the database of this machine; not on the hosted demo, where it is not theirs."""
    if jobs.limits() == jobs.HOSTED:
        say.refuse(NO_DATABASE)
        controls.words().pop("study", None)
        return
    from core.search.watched import watched

    follow(lambda: watched(default_url(), name))


def follow(make: Callable[[], Any]) -> None:
    """Shows a search that was made elsewhere, and goes on with it; a sentence where there is none.

    One that others work on is looked at twice a second, as a job that every page may follow. The search that
    was shown until now stops only once the other is shown; workers go on with it.
    """
    before = live.job("tune")
    try:
        found = make()
    except ValueError as error:
        say.refuse(str(error))
        controls.words().pop("study", None)
        return
    if not _study.show(found):
        return
    if live.going(before):
        before.stop()
    fresh = ("beside", "truth", "study", "speed")
    others = {k: v for k, v in controls.words().items() if k in controls.OWN and k not in fresh}
    own = to_words(found.plan) | ({"study": found.name} if found.shared else {})
    st.session_state["words"] = others | found.plan.config.to_query() | own
    st.session_state.pop("trial", None)
