"""The trials of a search in figures, and what can be done with one: star, note, queue again, copy, open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core import export
from core.compare import Rivals
from core.config import Config
from core.search import drawn
from core.search import trials as kept
from core.search.file import to_bytes
from core.search.plan import BadPlan
from core.verdict import digits
from pages import _controls as controls
from pages import _live as live
from pages import _study
from pages._study import parameter

PLANNED = "sobol", "grid"  # samplers whose settings are all queued beforehand


def trials(found: Any, frame: pd.DataFrame) -> None:
    """The table; below it one trial and a form for a setting of one's own."""
    st.dataframe(_table(found, frame), hide_index=True, height=260, width="stretch")
    ours = live.mine(_job())
    numbers = [int(n) for n in frame["number"]]
    top = _study.best(found, frame)
    now = st.session_state.get("trial")
    now = now if now in numbers else (top if top is not None else numbers[-1])
    left, right = st.columns(2, gap="medium")
    with left:
        _one(found, frame, numbers, now, ours)
    with right:
        _by_hand(found, now, ours)


def _table(found: Any, frame: pd.DataFrame) -> pd.DataFrame:
    plan = found.plan
    shown = pd.DataFrame(
        {"Trial": frame["number"] + 1, "★": ["★" if star else "" for star in frame["star"]]}
        | {parameter(word).capitalize(): [f"{v:.4g}" for v in frame[word]] for word in plan.space.words}
        | {
            "Loss": [digits(v) if v == v else "–" for v in frame["loss"]],
            "± %": [_percent(v, plan.exact) for v in drawn.errors(frame)],
            "State": [_state(row) for row in frame.itertuples()],
            "Seconds": [f"{v:.2f}" if v == v else "–" for v in frame["seconds"]],
            "Asked": [kept.KINDS.get(kind, "") for kind in frame["kind"]],
            "Note": frame["note"],
        }
    )
    return shown.iloc[::-1]


def _percent(error: float, exact: bool) -> str:
    return "–" if exact or error != error else f"{100 * (10**error - 1):.0f}"


def _state(row: Any) -> str:
    return f"diverged on {row.diverged} of {len(row.scores)}" if row.state == kept.DIVERGED else row.state


def _job() -> Any:
    """The job of the search that is shown."""
    return live.manager().get(controls.words().get("tune", ""))


def _one(found: Any, frame: pd.DataFrame, numbers: list[int], now: int, ours: bool) -> None:
    """One trial: its mark, which only the search's owner sets, and where it can go."""
    controls.show("w_trial", now)
    st.selectbox("Trial", numbers, key="w_trial", format_func=lambda n: f"Trial {n + 1}", on_change=_pick)
    row = frame[frame["number"] == now].iloc[0]
    controls.show("w_note", row["note"])
    st.text_input(
        "Note",
        key="w_note",
        on_change=_note,
        args=(found, now, bool(row["star"])),
        max_chars=500,
        disabled=not ours,
    )
    with st.container(horizontal=True, gap="small"):
        star = "Unstar" if row["star"] else "Star"
        st.button(
            star,
            icon=":material/star:",
            key="star",
            on_click=_star,
            args=(found, now, row),
            disabled=not ours,
        )
        st.button(
            "Queue again",
            icon=":material/replay:",
            key="again",
            on_click=enqueue,
            args=(found, {word: float(row[word]) for word in found.plan.space.words}),
            disabled=not ours,
        )
        st.button(
            "Copy",
            icon=":material/content_copy:",
            key="copy",
            on_click=_copy,
            args=(found, now),
            help="Its values go into the form beside it.",
        )
        apply(found, now)


def apply(found: Any, number: int, key: str = "one") -> None:
    """Opens a setting on Train or on Compare."""
    if st.button("Train it", icon=":material/play_arrow:", key=f"{key}_to_train"):
        _take(found.config(number), {"run": "true"}, "job")
        st.switch_page("pages/train.py")
    if st.button("Compare it", icon=":material/compare_arrows:", key=f"{key}_to_compare"):
        config, before = found.config(number), found.plan.config
        same = before.optimizer == config.optimizer
        rivals = (type(before.optimizer)() if same else before.optimizer, config.optimizer)
        _take(config, {"rivals": Rivals().text(rivals), "mode": "own", "run": "true"}, "race")
        st.switch_page("pages/compare.py")


def _take(config: Config, more: dict[str, str], shown: str) -> None:
    """Makes the words say a config; those of the pages stay, but for the job that another page shows."""
    words = {word: text for word, text in controls.words().items() if word in controls.OWN and word != shown}
    st.session_state["words"] = words | config.to_query() | more


def _pick() -> None:
    if (number := controls.heard("w_trial")) is not None:
        st.session_state["trial"] = number


def _star(found: Any, number: int, row: Any) -> None:
    controls.touch()
    if live.mine(_job()):
        kept.set_mark(found.study, number, not row["star"], row["note"])


def _note(found: Any, number: int, star: bool) -> None:
    if (note := controls.heard("w_note")) is not None and live.mine(_job()):
        kept.set_mark(found.study, number, star, note)


def _copy(found: Any, number: int) -> None:
    controls.touch()
    st.session_state["hand"] = found.values(number)


def _by_hand(found: Any, now: int, ours: bool) -> None:
    """A form for a setting of one's own."""
    when = "after those that are queued" if found.plan.sampler in PLANNED else "next and teaches the model"
    held = st.session_state.get("hand", {})
    start = found.values(now)
    with st.form("by-hand", border=True):
        st.caption(f"A setting of your own: it is tried {when}.")
        given = {}
        for cell, r in zip(st.columns(len(found.plan.space.ranges)), found.plan.space.ranges, strict=True):
            value = float(held.get(r.word, start[r.word]))
            given[r.word] = cell.number_input(
                parameter(r.word), value=value, format="%g", step=None, key=f"hand_{r.word}_{value:g}"
            )
        if st.form_submit_button("Queue it", icon=":material/add:", disabled=not ours):
            enqueue(found, given)
            st.rerun()


def enqueue(found: Any, values: dict[str, float]) -> None:
    """Queues a setting; a search that has ended goes on for it."""
    controls.touch()
    job = _job()
    if not live.mine(job):
        return
    tidy = {
        r.word: r.tidy(values[r.word]) if r.holds(values[r.word]) else values[r.word]
        for r in found.plan.space.ranges
        if values[r.word] is not None
    }
    try:
        found.enqueue(tidy)
        if job.over:
            _study.go_on(found)
        st.session_state["wrong"] = []
    except (BadPlan, ValueError) as error:
        st.session_state["wrong"] = [str(error)]


def downloads(found: Any, number: int) -> None:
    """A setting as config and as code, the trials and the study itself, made when they are clicked."""
    config = found.config(number)
    name = f"{config.dataset.name}-{config.model.name}"
    files: tuple[tuple[str, str, str, str, Callable[[], Any]], ...] = (
        ("Config", "settings", f"{name}.json", "application/json", lambda: export.settings(config)),
        ("Code", "code", export.filename(config), "text/x-python", lambda: export.script(config)),
        ("Trials", "table", f"{name}-trials.csv", "text/csv", lambda: kept.to_csv(found.table())),
        ("Study", "database", f"{name}.db", "application/vnd.sqlite3", lambda: to_bytes(found.study)),
    )
    for label, icon, file, kind, make in files:
        st.download_button(
            label,
            make,
            file,
            kind,
            icon=f":material/{icon}:",
            on_click="ignore",
            key=f"get_{label}",
            width="stretch",
        )
