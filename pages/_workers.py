"""The Workers view: one study, many machines. Shares a search, shows who works on it, and stops them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs, worker
from core.registry import Word
from core.search import drawn
from core.search import trials as kept
from core.search.presence import STOPPED
from core.search.shared import stop_worker
from core.search.watched import SILENT, Watched, share
from core.store import VARIABLE, default_url, shown
from pages import _controls as controls
from pages import _live as live
from pages import _open as opening
from pages import _say as say
from pages._study import caption, in_database


def workers(found: Any) -> None:
    """Who works on the study; or, while it is here alone, how to share it."""
    if jobs.limits() == jobs.HOSTED:
        caption("On this hosted demo a search runs here alone. Run the app yourself to use many machines.")
        return
    if found is not None and found.shared:
        _shared(found)
    else:
        _alone(found)


def _alone(found: Any) -> None:
    try:
        where = shown(default_url())
    except ValueError as error:
        say.complain([str(error)])
        return
    caption(
        f"A shared search lives in a database, here {where}, and any number of processes work on it.",
        f"Another database, such as a PostgreSQL server for many machines, is named by {VARIABLE}.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", key="share"):
        st.text_input(
            "Name of the study",
            "",
            key="w_study",
            max_chars=64,
            placeholder="made up when empty",
            width=260,
            on_change=controls.touch,
        )
        st.button(
            "Share this search",
            icon=":material/share:",
            key="share_it",
            on_click=_share,
            args=(found,),
            disabled=found is None or not live.mine(live.job("tune")),
            help="Its trials so far go into the database, and workers continue it.",
        )
    say.at_field("w_study")


def _share(found: Any) -> None:
    """Puts the search into the database; it rests meanwhile, and goes on here if it cannot be put there."""
    controls.touch()
    shown_job = live.job("tune")
    if not live.mine(shown_job) or shown_job.training is not found:  # shared by the click before this one
        return
    try:
        name = Word().check("The name of a study", st.session_state.get("w_study", "").strip())
    except ValueError as error:
        say.refuse(str(error), "w_study")
        return
    if rests := shown_job.state == jobs.RUNNING:
        shown_job.pause()
        shown_job.wait()
    opening.follow(lambda: share(found, default_url(), name))
    if rests and live.job("tune") is shown_job and shown_job.state == jobs.PAUSED:
        shown_job.resume()


def _shared(found: Watched) -> None:
    look = found.look
    st.code(worker.command(found.name), language="bash")
    url = default_url()
    caption(
        f"The database is {shown(url)}.",
        f"It is a file of this machine; for other machines name a PostgreSQL server in {VARIABLE}."
        if url.startswith("sqlite")
        else f"Set {VARIABLE} to its address, with the password, wherever a worker runs.",
    )
    _orders(found)
    if found.trouble:
        say.complain([found.trouble])
    if not len(look.workers):
        caption(SILENT)
        return
    st.dataframe(_table(look.workers), hide_index=True, width="stretch")
    st.vega_lite_chart(
        drawn.timeline(look.trials),
        charts.timeline_spec(),
        key="timeline",
        height=60 + 36 * max(1, look.trials.loc[look.trials["machine"] != "", "machine"].nunique()),
        alt="When each worker trained which trial.",
    )


def _orders(found: Watched) -> None:
    """Starts a worker here, stops all of them or one, and lets them go on."""
    stopped, alive, begun = found.look.stopped, found.alive, st.session_state.get("begun", 0)
    with st.container(horizontal=True, gap="small", key="worker_actions"):
        st.button(
            "Start one here",
            icon=":material/add:",
            key=f"worker_here--{begun}",
            on_click=_start,
            args=(found.name, begun),
            disabled=not found.searching,
        )
        st.button(
            "Stop all",
            icon=":material/stop:",
            key="workers_stop",
            on_click=_stop,
            args=(found, True),
            disabled=stopped or not found.searching,
        )
        st.button(
            "Let them go on",
            icon=":material/play_arrow:",
            key="workers_on",
            on_click=_stop,
            args=(found, False),
            disabled=not stopped,
        )
        with st.popover("Stop one", icon=":material/stop_circle:", disabled=not alive):
            for machine in alive:
                name = say.plain(machine)
                st.button(name, key=f"stop_{machine}", on_click=_stop_one, args=(found, machine))


def _table(known: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Worker": known["machine"],
            "State": known["state"],
            "Trials": known["trials"],
            "Given up": known["failed"],
            "Seen": [
                "–" if state == STOPPED else f"{seconds:.0f} s ago"
                for state, seconds in zip(known["state"], known["seen"], strict=True)
            ],
            "Since": known["begin"].dt.strftime("%H:%M:%S UTC"),
        }
    )


def _start(name: str, begun: int) -> None:
    """Starts a worker for a study; a second click means the same one."""
    controls.touch()
    if st.session_state.get("begun", 0) != begun:
        return
    st.session_state["begun"] = begun + 1
    try:
        worker.start(name)
    except OSError as error:
        say.refuse(f"No worker could be started here: {error}")


def _stop(found: Watched, stop: bool) -> None:
    controls.touch()
    in_database(lambda: kept.set_stopped(found.study, stop))


def _stop_one(found: Watched, machine: str) -> None:
    controls.touch()
    in_database(lambda: stop_worker(found.study, machine))
