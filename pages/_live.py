"""The jobs of this process, who is looking at them, what steers one, and the fragment that follows it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core import jobs
from core.config import Config
from core.registry import Choice
from pages import _controls as controls
from pages import _say as say

POLLS = ((2, 0.4), (6, 1.0))  # up to so many active jobs, look every so many seconds
SLOWEST = 2.0
SECONDS = {"slow": 30.0, "watch": 8.0, "fast": None}  # how long a job takes at least
SPEED = Choice(tuple(SECONDS), "watch")
CHANGED = "You changed the settings; these curves are of the old ones. Press Start to train the new ones."
GONE = "This run is not kept on this server any more. Press Start to train it again."


def connected(session: str) -> bool:
    """Whether a session has a browser; where there is no server, as in tests of pages, every one has."""
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


def manager() -> jobs.Manager:
    """The one manager of this process."""
    return jobs.manager(connected)


def session() -> str:
    """The name under which this session watches jobs."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def owner() -> str:
    """Who commands: the browser, so that a reload may go on commanding; else this session.

    The browser is known by Streamlit's own cookie "2|mask|masked token|time", masked anew with every page.
    """
    try:
        _, mask, masked, _ = st.context.cookies["_streamlit_xsrf"].split("|")
        token = bytes(a ^ b for a, b in zip(bytes.fromhex(masked), cycle(bytes.fromhex(mask)), strict=False))
    except (KeyError, ValueError):
        return session()
    return hashlib.sha256(token).hexdigest()


def mine(job: jobs.Job | None) -> bool:
    """Whether this visitor may command the job."""
    return job is not None and job.owner == owner()


def job(word: str) -> jobs.Job | None:
    """The job that a word of the link names, if it is still kept."""
    return manager().get(controls.words().get(word, ""))


def gone(word: str) -> bool:
    """Whether the link names a job that is not kept any more."""
    return bool(controls.words().get(word)) and job(word) is None


def going(shown: jobs.Job | None) -> bool:
    """Whether the job is this visitor's and not over."""
    return mine(shown) and not shown.over


def launch(word: str, configs: Sequence[Config], seconds: float | None, **more: Any) -> bool:
    """Submits a job and shows it under a word of the link; whether there is one, or else a sentence."""
    try:
        new = manager().submit(configs, owner(), seconds=seconds, **more)
    except jobs.Refused as refusal:
        say.refuse(str(refusal))
        return False
    controls.words()[word] = new.id
    return True


def pace() -> float | None:
    """How many seconds a job takes at least, as the speed says."""
    return SECONDS[controls.value("speed", SPEED)]


def command(act: Callable[[jobs.Job], None], *told: jobs.Job) -> None:
    """Passes a command on to jobs of this visitor that are not over."""
    controls.touch()
    for each in told:
        if going(each):
            act(each)
            each.wait()


def run_bar(
    active: Sequence[jobs.Job],
    start: Callable[[], None],
    title: str = "Start",
    icon: str = "play_arrow",
    also: Callable[[str], None] = lambda name: None,
    **more: Any,
) -> None:
    """Start, Pause and Stop. None has another meaning in another state, so that a double click is one click.

    Start is never greyed, so that the keyboard's focus stays on it; what goes on already it leaves alone.

    Args:
        active: The jobs of this visitor that are not over.
        start: Does what the first button says.
        title, icon, more: Of the first button.
        also: Called with the name of each command.
    """

    def tell(name: str, act: Callable[[jobs.Job], None], *told: jobs.Job) -> None:
        command(act, *told)
        also(name)

    running = not all(map(_still, active))
    st.button(title, icon=f":material/{icon}:", type="primary", key="start", on_click=start, **more)
    st.button(
        "Pause",
        icon=":material/pause:",
        key="pause",
        on_click=tell,
        args=("pause", jobs.Job.pause, *active),
        disabled=not running,
    )
    st.button(
        "Stop",
        icon=":material/stop:",
        key="stop",
        on_click=tell,
        args=("stop", jobs.Job.stop, *active),
        disabled=not active,
    )


def speeds(word: str) -> None:
    """How fast a job is shown; one that goes on takes the new speed at once."""

    def taken(_: str, name: str) -> None:
        if going(shown := job(word)):
            seconds = SECONDS[name]
            shown.set_pace(shown.steps / seconds if seconds else None)

    controls.segments("speed", SPEED, str.capitalize, taken)


def watch(job: jobs.Job) -> None:
    """Counts this session among the watchers of a job; it stays one while it looks at other pages."""
    if session() not in job.watchers:
        job.attach(session())


def states(*shown: jobs.Job | None) -> list[tuple[str, bool]]:
    """How jobs are: a page that was drawn when they were otherwise is drawn anew.

    Whether one waits or runs makes no difference to the buttons; what it is at, its panel says.
    """
    known = [each for each in shown if each is not None]
    return [(each.state if _still(each) else "active", each.training is None) for each in known]


def _still(job: jobs.Job) -> bool:
    """Whether a job neither trains nor waits to."""
    return job.state not in (jobs.RUNNING, jobs.QUEUED)


def follow(
    job: jobs.Job | None,
    draw: Callable[[], None],
    *beside: jobs.Job | None,
    drawn: list[tuple[str, bool]] | None = None,
) -> None:
    """Draws a panel, again and again while a job is active; the whole page once one is not, or after a click.

    Args:
        job: What the panel shows.
        draw: Draws it; always the same elements in the same order.
        beside: Other jobs that it shows.
        drawn: The jobs' states when the page began to be drawn; those of now when None.
    """
    shown = [each for each in (job, *beside) if each is not None]
    before = states(*shown) if drawn is None else drawn

    def panel() -> None:
        for each in shown:
            watch(each)
        if states(*shown) != before or st.session_state.get("touched"):
            st.session_state["own"] = True  # the address bar may be behind when this panel was sent for
            st.rerun()
        draw()

    active = not all(map(_still, shown))
    st.fragment(panel, run_every=_interval() if active else None)()


def _interval() -> float:
    active = manager().active
    return next((seconds for most, seconds in POLLS if active <= most), SLOWEST)
