"""The jobs of this process, who is looking at them, and the one fragment that follows a running job."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import streamlit as st

from core import jobs
from core.config import Config

POLLS = ((2, 0.4), (6, 1.0))  # up to so many active jobs, look every so many seconds
SLOWEST = 2.0
DOUBLE = 0.5  # seconds within which the same again is the second click of a double click
SECONDS = {"slow": 30.0, "watch": 8.0, "fast": None}  # how long a job takes at least


@st.cache_resource(show_spinner=False)
def manager() -> jobs.Manager:
    """The one manager; torch is loaded beside it, so that the first Start need not wait for it."""
    threading.Thread(target=jobs.warm_up, name="warm-up", daemon=True).start()
    return jobs.Manager(jobs.limits())


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda name: manager().detach(name))
def session() -> str:
    """The name under which this session watches jobs; it is released when the tab is closed."""
    return secrets.token_urlsafe(9)


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


def launch(configs: Sequence[Config], seconds: float | None, **more: Any) -> jobs.Job | None:
    """Submits a job; None when the same has been submitted a moment ago, as by a second click.

    Raises:
        Refused: It is too large, or too many are waiting.
    """
    asked, now = (tuple(configs), more.get("subject")), time.monotonic()
    before, moment = st.session_state.get("launched", (None, -1.0))
    if asked == before and now - moment < DOUBLE:
        return None
    st.session_state["launched"] = asked, now
    return manager().submit(configs, owner(), seconds=seconds, **more)


def watch(job: jobs.Job) -> None:
    """Counts this session among the watchers of a job; it stays one while it looks at other pages."""
    if session() not in job.watchers:
        job.attach(session())


def follow(job: jobs.Job | None, draw: Callable[[], None], *beside: jobs.Job | None) -> None:
    """Draws a panel, again and again while a job is active; the whole page once one is not, or after a click.

    Args:
        job: What the panel shows.
        draw: Draws it; always the same elements in the same order.
        beside: Other jobs that it shows.
    """
    shown = [each for each in (job, *beside) if each is not None]

    def states() -> list[tuple[str, bool]]:
        return [(each.state, each.training is None) for each in shown]

    drawn = states()

    def panel() -> None:
        if states() != drawn or st.session_state.get("touched"):
            st.session_state["own"] = True  # the address bar may be behind when this panel was sent for
            st.rerun()
        draw()

    active = any(each.state in (jobs.RUNNING, jobs.QUEUED) for each in shown)
    st.fragment(panel, run_every=_interval() if active else None)()


def _interval() -> float:
    active = manager().active
    return next((seconds for most, seconds in POLLS if active <= most), SLOWEST)
