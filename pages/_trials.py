"""The trials of a search in figures, and what can be done with one: star, note, queue again, copy, open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core import export, jobs
from core.compare import Rivals
from core.config import Config
from core.labels import label, spoken
from core.search import drawn
from core.search import trials as kept
from core.search.file import to_bytes
from core.search.plan import BadPlan
from core.verdict import digits
from pages import _controls as controls
from pages import _live as live
from pages import _study

PLANNED = "sobol", "grid"  # samplers whose settings are all queued beforehand
NO_FORM: tuple[str, int | None, dict[str, float], int] = "", None, {}, 0
OPEN = kept.QUEUED, kept.RUNNING


def trials(found: Any, frame: pd.DataFrame) -> None:
    """The table; below it one trial and a form for a setting of one's own."""
    st.dataframe(_table(found, frame), hide_index=True, height=260, width="stretch")
    mine = ours()
    numbers = [int(n) for n in frame["number"]]
    now = _looked_at(found, frame, numbers)
    left, right = st.columns(2, gap="medium")
    with left:
        _one(found, frame, numbers, now, mine)
    with right:
        _by_hand(found, now, mine)


def _looked_at(found: Any, frame: pd.DataFrame, numbers: list[int]) -> int:
    """The trial that was picked; else the best when the view came up, whichever is the best by now."""
    study, now = st.session_state.get("looked_at", ("", None))
    came_up = "w_trial" not in st.session_state  # a widget that the last run did not draw is forgotten
    if (picked := st.session_state.get("trial")) in numbers:
        now = picked
    elif came_up or study != found.study.study_name or now not in numbers:
        top = _study.best(found, frame)
        now = top if top is not None else numbers[-1]
    st.session_state["looked_at"] = found.study.study_name, now
    return int(now)


def _table(found: Any, frame: pd.DataFrame) -> pd.DataFrame:
    plan, rests = found.plan, _rests(found)
    shown = pd.DataFrame(
        {"Trial": frame["number"] + 1, "★": ["★" if star else "" for star in frame["star"]]}
        | {label(word): [f"{v:.4g}" for v in frame[word]] for word in plan.space.words}
        | {
            "Loss": [digits(v) if v == v else "–" for v in frame["loss"]],
            "± %": [_percent(v, plan.exact) for v in drawn.errors(frame)],
            "State": [_state(row, rests) for row in frame.itertuples()],
            "Seconds": [f"{v:.2f}" if v == v else "–" for v in frame["seconds"]],
            "Asked": [kept.KINDS.get(kind, "") for kind in frame["kind"]],
            "Note": frame["note"],
        }
    )
    return shown.iloc[::-1]


def _percent(error: float, exact: bool) -> str:
    return "–" if exact or error != error else f"{100 * (10**error - 1):.0f}"


def _state(row: Any, rests: bool) -> str:
    if row.state == kept.DIVERGED:
        return f"diverged on {row.diverged} of {len(row.scores)}"
    return "waiting" if row.state == kept.RUNNING and rests else str(row.state)


def _rests(found: Any) -> bool:
    """Whether the trials that have begun wait, since no job goes on with them."""
    job = live.manager().at_work(found)
    return not found.shared and (job is None or job.state != jobs.RUNNING)


def _job() -> Any:
    """The job of the search that is shown."""
    return live.manager().get(controls.words().get("tune", ""))


def ours() -> bool:
    """Whether this visitor may command the search that is shown."""
    return live.mine(_job())


def _one(found: Any, frame: pd.DataFrame, numbers: list[int], now: int, mine: bool) -> None:
    """One trial: its mark, which only the search's owner sets, and where it can go."""
    controls.show("w_trial", now)
    st.selectbox("Trial", numbers, key="w_trial", format_func=lambda n: f"Trial {n + 1}", on_change=_pick)
    row = frame[frame["number"] == now].iloc[0]
    controls.show(f"w_note_{now}", row["note"])
    st.text_input(
        "Note",
        key=f"w_note_{now}",
        on_change=_note,
        args=(found, now),
        max_chars=500,
        disabled=not mine,
    )
    with st.container(horizontal=True, gap="small"):
        star = "Unstar" if row["star"] else "Star"
        st.button(
            star,
            icon=":material/star:",
            key="star",
            on_click=_star,
            args=(found, now, not row["star"]),
            disabled=not mine,
        )
        st.button(
            "Queue again",
            icon=":material/replay:",
            key="again",
            on_click=enqueue,
            args=(found, {word: float(row[word]) for word in found.plan.space.words}),
            disabled=not mine,
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


def _star(found: Any, number: int, star: bool) -> None:
    controls.touch()
    _mark(found, number, star=star)


def _note(found: Any, number: int) -> None:
    if (note := controls.heard(f"w_note_{number}")) is not None:
        _mark(found, number, note=note)


def _mark(found: Any, number: int, **new: Any) -> None:
    """Writes a star or a note beside a trial; the other stays as it is by now."""
    if ours():
        old = kept.marks(found.study).get(number, {})
        kept.set_mark(found.study, number, **({"star": False, "note": ""} | old | new))


def _copy(found: Any, number: int) -> None:
    controls.touch()
    _begin(found, None, number)


def _begin(found: Any, source: int | None, number: int) -> tuple[dict[str, float], int]:
    """Lets the form begin anew at the values of a trial; `source` is that trial, or None for a copy."""
    start, turn = found.values(number), st.session_state.get("hand", NO_FORM)[-1] + 1
    st.session_state["hand"] = found.study.study_name, source, start, turn
    return start, turn


def _form(found: Any, now: int) -> tuple[dict[str, float], int]:
    """Where the form begins, and how often it has begun: anew for another trial, but not after a copy."""
    study, source, start, turn = st.session_state.get("hand", NO_FORM)
    if study != found.study.study_name or source not in (None, now):
        return _begin(found, now, now)
    return start, turn


def _by_hand(found: Any, now: int, mine: bool) -> None:
    """A form for a setting of one's own; what is typed stays while the search goes on."""
    when = "after those that are queued" if found.plan.sampler in PLANNED else "next and teaches the model"
    start, turn = _form(found, now)
    with st.form("by-hand", border=True):
        st.caption(f"A setting of your own: it is tried {when}.")
        given = {}
        for cell, r in zip(st.columns(len(found.plan.space.ranges)), found.plan.space.ranges, strict=True):
            given[r.word] = cell.number_input(
                spoken(r.word), value=start[r.word], format="%g", step=None, key=f"hand_{r.word}_{turn}"
            )
        if st.form_submit_button("Queue it", icon=":material/add:", disabled=not mine):
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


def last(frame: pd.DataFrame, values: Mapping[str, float]) -> Any:
    """The last trial of exactly this setting, as a row of the table; None when none has it or all failed."""
    alike = (frame[list(values)] == pd.Series(values)).all(axis=1)
    rows = frame[alike & (frame["state"] != kept.FAILED)]
    return rows.iloc[-1] if len(rows) else None


def enqueue_once(found: Any, values: Mapping[str, float]) -> None:
    """Queues a setting unless exactly this one is queued or being trained."""
    controls.touch()
    row = last(found.table(), values)
    if row is None or row["state"] not in OPEN:
        enqueue(found, dict(values))


def downloads(found: Any, number: int) -> None:
    """A setting as config and as code, the trials and the study itself, made when they are clicked."""
    st.caption("To download")
    config = found.config(number)
    name = f"{config.dataset.name}-{config.model.name}"
    files: tuple[tuple[str, str, str, str, Callable[[], Any]], ...] = (
        ("Config", "settings", f"{name}.json", "application/json", lambda: export.settings(config)),
        ("Code", "code", export.filename(config), "text/x-python", lambda: export.script(config)),
        ("Trials", "table", f"{name}-trials.csv", "text/csv", lambda: kept.to_csv(found.table())),
        ("Study", "database", f"{name}.db", "application/vnd.sqlite3", lambda: to_bytes(found.study)),
    )
    for title, icon, file, kind, make in files:
        st.download_button(
            title,
            make,
            file,
            kind,
            icon=f":material/{icon}:",
            on_click="ignore",
            key=f"get_{title}",
            width="stretch",
        )
