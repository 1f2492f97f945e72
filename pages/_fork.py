"""What if: a run that goes on is forked, once as it is and once with other numbers."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core import jobs
from core.compare import Comparison, Rivals
from core.config import Config
from pages import _controls as controls
from pages import _live as live
from pages import _say as say


def what_if(shown: jobs.Job | None, runs: dict[str, int]) -> None:
    """A menu that forks one of the runs of a job and shows both branches on the Compare page.

    Args:
        shown: The job; nothing can be forked unless it goes on and this visitor commands it.
        runs: The numbers of the runs that may be forked, by the words for each.
    """
    able = live.going(shown) and bool(runs)
    controls.popover(
        "What if …", ":material/call_split:", "what_if", lambda: _menu(shown, runs), disabled=not able
    )


def _menu(shown: jobs.Job, runs: dict[str, int]) -> None:
    st.caption("From here on, once as it is and once with other numbers: same weights, same batches.")
    given = st.session_state.setdefault("forks", {})
    chosen = given.get("run") if given.get("run") in runs else next(iter(runs))
    if len(runs) > 1:
        controls.pick("if_run", list(runs), str, chosen, lambda name: given.update(run=name), label="Run")
    run = runs[chosen]
    rule = _now(shown, run).optimizer
    words = ["learning_rate", *filter(None, [rule.momentum_name])]
    usual = {"learning_rate": max(rule.learning_rate / 2, rule.settings()["learning_rate"].low)}
    numbers = {}
    for word in words:
        record = rule.settings()[word]
        kept = (shown.id, run, word)
        numbers[word] = given.setdefault(kept, usual.get(word, getattr(rule, word)))

        def typed(new: float, kept: tuple[str, int, str] = kept) -> None:
            given[kept] = new

        controls.number(f"if_{word}", controls.label(word), record, numbers[word], typed)
    if st.button("Fork here", key="fork", width="stretch"):
        _fork(shown, run, numbers)


def _now(shown: jobs.Job, run: int) -> Config:
    """The config of a run with the numbers that it has by now."""
    return shown.configs[run] if shown.training is None else shown.training.config(run)


def _fork(shown: jobs.Job, run: int, numbers: dict[str, float]) -> None:
    now = _now(shown, run)
    rules = (now.optimizer, replace(now.optimizer, **numbers))
    try:
        branches = shown.fork(rules, live.owner(), run, subject=Comparison(now, rules, 1))
    except ValueError as error:
        say.complain([str(error)])
        return
    words = controls.words()
    words |= {"race": branches.id, "rivals": Rivals().text(rules), "seeds": "1", "mode": "own"}
    st.switch_page("pages/compare.py")
