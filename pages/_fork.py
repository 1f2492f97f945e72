"""What if: a run that goes on is forked, once as it is and once with other numbers."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core import jobs
from core.compare import Comparison, Rivals
from core.config import Config
from core.registry import Interval
from pages import _controls as controls
from pages import _live as live


def what_if(shown: jobs.Job | None, runs: dict[str, int]) -> None:
    """A menu that forks one of the runs of a job and shows both branches on the Compare page.

    Args:
        shown: The job; nothing can be forked unless it goes on and this visitor commands it.
        runs: The numbers of the runs that may be forked, by the words for each.
    """
    able = live.mine(shown) and not shown.over and bool(runs)
    with st.popover("What if …", icon=":material/call_split:", disabled=not able):
        st.caption("From here on, once as it is and once with other numbers: same weights, same batches.")
        if not able:
            return
        chosen = st.selectbox("Run", list(runs), key="if_run") if len(runs) > 1 else next(iter(runs))
        run = runs[chosen]
        rule = _now(shown, run).optimizer
        words = ["learning_rate", *filter(None, [rule.momentum_name])]
        numbers = {word: _number(word, rule.settings()[word], getattr(rule, word)) for word in words}
        if st.button("Fork here", key="fork", width="stretch"):
            _fork(shown, run, numbers)


def _now(shown: jobs.Job, run: int) -> Config:
    """The config of a run with the numbers that it has by now."""
    return shown.configs[run] if shown.training is None else shown.training.config(run)


def _number(word: str, record: Interval, now: float) -> float:
    low, high = float(record.low), float(record.high)
    usual = max(now / 2, low) if word == "learning_rate" else now
    return st.number_input(controls.label(word), low, high, usual, format="%g", step=None, key=f"if_{word}")


def _fork(shown: jobs.Job, run: int, numbers: dict[str, float]) -> None:
    now = _now(shown, run)
    rules = (now.optimizer, replace(now.optimizer, **numbers))
    try:
        branches = shown.fork(rules, live.owner(), run, subject=Comparison(now, rules, 1))
    except ValueError as error:
        st.error(str(error))
        return
    words = controls.words()
    words |= {"race": branches.id, "rivals": Rivals().text(rules), "seeds": "1", "mode": "own"}
    st.switch_page("pages/compare.py")
