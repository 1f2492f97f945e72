"""The trials of a search in figures, and what can be done with one: star, note, queue again, copy, open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from core import export, jobs
from core.compare import Rivals
from core.config import Config
from core.labels import label, spoken
from core.optimizers import OPTIMIZERS, Optimizer
from core.search import drawn, ending
from core.search import trials as kept
from core.search.file import to_bytes
from core.search.space import numbers
from core.verdict import digits
from pages import _controls as controls
from pages import _live as live
from pages import _say as say
from pages import _study

PLANNED = "sobol", "grid"  # samplers whose settings are all queued beforehand
NO_FORM: tuple[str, int | None, dict[str, float], int] = "", None, {}, 0
OPEN = kept.QUEUED, kept.RUNNING


def trials(found: Any, frame: pd.DataFrame) -> None:
    """The table; below it one trial and a form for a setting of one's own."""
    st.dataframe(_table(found, frame), hide_index=True, height=260, width="stretch")
    mine = ours()
    known = [int(n) for n in frame["number"]]
    now = _looked_at(found, frame, known)
    left, right = st.columns(2, gap="medium")
    with left:
        _one(found, frame, known, now, mine)
    with right:
        _by_hand(found, now, mine)


def _looked_at(found: Any, frame: pd.DataFrame, known: list[int]) -> int:
    """The trial that was picked; else the best when the view came up, whichever is the best by now."""
    study, now = st.session_state.get("looked_at", ("", None))
    came_up = "copy" not in st.session_state  # a button that the last run did not draw is forgotten
    if (picked := st.session_state.get("trial")) in known:
        now = picked
    elif came_up or study != found.study.study_name or now not in known:
        top = _study.best(found, frame)
        now = top if top is not None else known[-1]
    st.session_state["looked_at"] = found.study.study_name, now
    return int(now)


def _table(found: Any, frame: pd.DataFrame) -> pd.DataFrame:
    plan, rests = found.plan, _rests(found)
    shown = pd.DataFrame(
        {"Trial": frame["number"], "★": ["★" if star else "" for star in frame["star"]]}
        | {label(word): [f"{v:.4g}" for v in frame[word]] for word in plan.space.words}
        | {
            "Loss": [digits(v) if v == v else "–" for v in frame["loss"]],
            "± %": [_percent(v, plan.exact) for v in drawn.errors(frame)],
            "State": [_state(row, rests) for row in frame.itertuples()],
            "Seconds": [f"{v:.2f}" if v == v else "–" for v in frame["seconds"]],
            "Origin": [kept.KINDS.get(kind, "") for kind in frame["kind"]],
            "Note": frame["note"],
        }
    )
    return shown.iloc[::-1]


def _percent(error: float, exact: bool) -> str:
    return "–" if exact or error != error else f"{100 * (10**error - 1):.0f}"


def _state(row: Any, rests: bool) -> str:
    if row.state == kept.DIVERGED:
        return f"diverged on {row.diverged} of {len(row.scores)}"
    return "waiting" if row.state == kept.RUNNING and rests else kept.STATES[row.state]


def _rests(found: Any) -> bool:
    """Whether the trials that have begun wait, since no job goes on with them."""
    job = live.manager().at_work(found)
    return not found.shared and (job is None or job.state != jobs.RUNNING)


def ours() -> bool:
    """Whether this visitor may command the search that is shown."""
    return live.mine(live.job("tune"))


def _one(found: Any, frame: pd.DataFrame, known: list[int], now: int, mine: bool) -> None:
    """One trial: its mark, which only the search's owner sets, and where it can go."""
    controls.pick("w_trial", known, lambda n: f"Trial {n}", now, _pick)
    row = frame[frame["number"] == now].iloc[0]
    setting = {word: float(row[word]) for word in found.plan.space.words}
    controls.text(
        f"w_note_{now}",
        "Note",
        row["note"],
        lambda note: _mark(found, now, note=note),
        max_chars=500,
        disabled=not mine,
    )
    with st.container(horizontal=True, gap="small"):
        starred = bool(row["star"])
        st.button(
            "Unstar" if starred else "Star",
            icon=":material/star:",
            key="unstar" if starred else "star",
            on_click=_star,
            args=(found, now, not starred),
            disabled=not mine,
        )
        count = len(alike(frame, setting))
        st.button(
            "Queue again",
            icon=":material/replay:",
            key=f"again--{count}",
            on_click=enqueue_once,
            args=(found, setting, count),
            disabled=not mine,
        )
        st.button(
            "Copy",
            icon=":material/content_copy:",
            key="copy",
            on_click=_copy,
            args=(found, now),
            help="Copies its values into the form.",
        )
        told = ending.judged(found.plan, frame, found.checks, now)
        apply(found, now, told)
    st.caption(say.plain(told.words))


def apply(found: Any, number: int, judged: ending.Judged, key: str = "one") -> None:
    """Opens a setting on Train or on Compare, with the seeds by which it is judged."""
    config = found.config(number)
    if st.button("Train it", icon=":material/play_arrow:", key=f"{key}_to_train"):
        _take(replace(config, seed=judged.typical), {"run": "true"}, "job")
        st.switch_page("pages/train.py")
    if st.button("Compare it", icon=":material/compare_arrows:", key=f"{key}_to_compare"):
        rivals = Rivals().text((_other(found.plan.config.optimizer, config.optimizer), config.optimizer))
        more = {"rivals": rivals, "seeds": str(len(judged.seeds)), "mode": "own", "run": "true"}
        _take(replace(config, seed=judged.seeds[0]), more, "race")
        st.switch_page("pages/compare.py")


def _other(page: Optimizer, chosen: Optimizer) -> Optimizer:
    """What a chosen rule is compared with: what the page had, or its defaults, or another rule's."""
    usual = (kind() for kind in (type(page), *OPTIMIZERS.values()))
    return next(rule for rule in (page, *usual) if rule != chosen)


def _take(config: Config, more: dict[str, str], shown: str) -> None:
    """Makes the words say a config; those of the pages stay, but for the job that another page shows."""
    before = controls.words()
    words = {word: text for word, text in before.items() if word in controls.OWN and word != shown}
    new = words | config.to_query() | more
    st.session_state["lent"] = {word: (new.get(word), before.get(word)) for word in _study.LENT}
    st.session_state["words"] = new


def _pick(number: int) -> None:
    st.session_state["trial"] = number


def _star(found: Any, number: int, star: bool) -> None:
    controls.touch()
    _mark(found, number, star=star)


def _mark(found: Any, number: int, **new: Any) -> None:
    """Writes a star or a note beside a trial; the other stays as it is by now."""

    def write() -> None:
        old = kept.marks(found.study).get(number, {})
        kept.set_mark(found.study, number, **({"star": False, "note": ""} | old | new))

    if ours():
        _study.in_database(write)


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
    when = (
        "after those that are queued"
        if found.plan.sampler in PLANNED
        else "next, and the sampler learns from it"
    )
    start, turn = _form(found, now)
    known, keys = numbers(found.plan.config), {}
    with st.form("by-hand", border=True):
        st.caption(f"A setting of your own: it is evaluated {when}.")
        for cell, word in zip(st.columns(len(start)), start, strict=True):
            keys[word] = f"hand_{word}--{turn}"
            cell.text_input(spoken(word), known[word].text(start[word]), key=keys[word])
        say.at_field("by-hand")
        st.form_submit_button(
            "Queue it",
            icon=":material/add:",
            key=f"queue--{turn}",
            on_click=_typed,
            args=(found, keys, turn),
            disabled=not mine,
        )


def _typed(found: Any, keys: dict[str, str], turn: int) -> None:
    """Queues the setting that was typed; a second click means the form that is gone by then."""
    controls.touch()
    study, source, _, now = st.session_state.get("hand", NO_FORM)
    if now != turn:
        return
    known = numbers(found.plan.config)
    try:
        values = {word: known[word].parse(spoken(word), st.session_state[key]) for word, key in keys.items()}
        kept.fits(found.plan, values)
    except ValueError as error:
        say.refuse(str(error), "by-hand")
        return
    st.session_state["hand"] = study, source, values, turn + 1
    enqueue(found, values)


def enqueue(found: Any, values: Mapping[str, float]) -> None:
    """Queues a setting; a search that has ended goes on for it."""
    job = live.job("tune")
    if not live.mine(job):
        return
    tidy = {r.word: r.tidy(values[r.word]) for r in found.plan.space.ranges}
    try:
        _study.in_database(lambda: found.enqueue(tidy))
    except ValueError as error:
        say.refuse(str(error))
        return
    if job.over and found.active:
        _study.go_on(found)


def alike(frame: pd.DataFrame, values: Mapping[str, float]) -> pd.DataFrame:
    """The trials of exactly this setting, as rows of the table, but for those that failed."""
    same = (frame[list(values)] == pd.Series(values)).all(axis=1)
    return frame[same & (frame["state"] != kept.FAILED)]


def enqueue_once(found: Any, values: Mapping[str, float], count: int) -> None:
    """Queues a setting unless there are more than `count` trials of it by now, or one waits."""
    controls.touch()
    there = alike(found.table(), values)
    if len(there) <= count and not there["state"].isin(OPEN).any():
        enqueue(found, values)


def downloads(found: Any, number: int, seed: int) -> None:
    """A setting as config and as code, the trials and the study itself, made when they are clicked."""
    st.caption(f"To download; config and code have seed {seed}.")
    config = replace(found.config(number), seed=seed)
    name = f"{config.dataset.name}-{config.model.name}"
    files: tuple[tuple[str, str, str, str, Callable[[], Any]], ...] = (
        ("Config", "settings", f"{name}.json", "application/json", lambda: export.settings(config)),
        ("Code", "code", export.filename(config), "text/x-python", lambda: export.script(config)),
        ("Trials", "table", f"{name}-trials.csv", "text/csv", lambda: kept.to_csv(found.table(), found.plan)),
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
