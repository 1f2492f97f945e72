"""What the Tune page shows of a search: progress, history, curves, and the views below them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs
from core.labels import spoken
from core.search.plan import SAMPLERS, Plan
from core.search.space import Space
from pages import _controls as controls
from pages import _live as live
from pages import _say as say

ALT = {
    "history": "Loss of every trial with its error bar, and the best so far. Trials has the numbers.",
    "curves": "Learning curve of every trial.",
}
MENU = 300  # pixels of what can be done with the best setting
LENT = "seed", "seeds"  # words of the search that it opens other pages with other values of
AWAY = "The database does not answer; try again in a moment."
CHANGED = (
    "You changed the settings; these trials are of the old ones. Press Start to search with the new ones."
)
GONE = "This search is not kept on this server any more. Press Start to begin it again."


def judged(found: Any) -> str:
    """The words for the loss that counts."""
    aside = found is None or found.plan.config.valid_rows
    return "validation loss" if aside else "training loss"


def new(plan: Plan) -> Any:
    """A search that begins."""
    from core.search.study import Search

    return Search(plan)


def beside(plan: Plan) -> Any:
    """Random and grid search with the budget of a plan."""
    from core.search.truth import Beside

    return Beside(plan)


def go_on(found: Any, seconds: float | None = None) -> None:
    """Lets a search go on that has stopped; where a newer job has it in hand, that one is shown.

    Args:
        found: The search.
        seconds: How long it is to take at least.
    """
    if known := live.manager().at_work(found):
        controls.words()["tune"] = known.id
    else:
        show(found, seconds)


def show(found: Any, seconds: float | None = None) -> bool:
    """Submits a search that is made already and shows it; whether it was taken on."""
    made = {"training": found, "updates": found.plan.updates, "subject": found.plan, "pace": found.pace}
    return live.launch("tune", [found.plan.config], seconds, **made)


def in_database(act: Callable[[], object]) -> None:
    """Does something that may be in a database; a sentence on the page when that does not answer."""
    from core.store import BadStorage, is_trouble

    try:
        act()
    except BadStorage as error:
        say.refuse(str(error))
    except Exception as error:
        if not is_trouble(error):
            raise
        say.refuse(AWAY)


def caption(*sentences: str) -> None:
    """Small print, shown as text."""
    st.caption(say.plain(" ".join(filter(None, sentences))))


def ready(plan: Callable[[], Plan]) -> str:
    """What Start would do, while there is no search yet."""
    try:
        asked = plan()
    except ValueError as error:
        return str(error)
    trials = f"{asked.budget} trial{'s' * (asked.budget > 1)} × {asked.seeds} seed{'s' * (asked.seeds > 1)}"
    ranges = ", ".join(f"{spoken(r.word)} {r.low:g} to {r.high:g}" for r in asked.space.ranges)
    how = (
        "Each trial trains one setting on all seeds; a surrogate model of the trials suggests the next."
        if asked.sampler in ("bayesian", "gp", "tpe")
        else f"Each trial trains one setting on all seeds. Sampler: {SAMPLERS[asked.sampler]}."
    )
    few = " These ranges have no more settings." if asked.budget < asked.trials else ""
    return f"Press Start for {trials} over {ranges}.{few} {how}"


def fraction(shown: jobs.Job | None) -> float:
    """How far a search is, by its trials."""
    found = shown.training if shown else None
    if found is None:
        return 0.0
    return min(1.0, found.ended / found.target) if found.active else 1.0


def progress(shown: jobs.Job) -> str:
    """The line at the bar: trial, round, time left."""
    found = shown.training
    if shown.state == jobs.QUEUED and shown.position:
        return f"Number {shown.position} in the queue"
    if found is None:
        return "Starting" if not shown.over else shown.state.capitalize()
    ended, target = found.ended, found.target
    if found.active and not found.searching and not shown.over:
        return f"All {ended} trials completed · the best run again on fresh seeds"
    if not getattr(found, "alive", True) and not shown.over:
        return f"Waiting for workers · {ended} of {target} trials"
    where = f"{ended} of {target} trials, round {found.rounds[0]} of {found.rounds[1]}"
    if shown.state == jobs.RUNNING:
        seconds = max(found.left, shown.left) if shown.pace and not found.shared else found.left
        left = f" · {seconds:.0f} s left" if seconds == seconds else ""
        return f"Searching · {where}{left}"
    return f"Finished · {ended} trials" if not found.active else f"{shown.state.capitalize()} · {where}"


def beside_progress(shown: jobs.Job, name: str) -> tuple[float, str]:
    """How far something is that is trained beside a search, as a share and in words."""
    share = min(1.0, shown.done / shown.steps) if shown.steps else 0.0
    if shown.state == jobs.QUEUED and shown.position:
        return share, f"{name} · number {shown.position} in the queue"
    if shown.state == jobs.PAUSED:
        return share, f"{name} · paused at {share:.0%}"
    left = f" · {shown.left:.0f} s left" if share else ""
    return share, f"{name} · {share:.0%}{left}"


def verdict(shown: jobs.Job, frame: pd.DataFrame | None, other: bool) -> str:
    """What has been found, in words.

    Args:
        shown: The job of the search.
        frame: The search's table.
        other: Whether the controls say another search by now.
    """
    from core.search.ending import verdict as words

    found = shown.training
    said = "" if found is None or frame is None else words(found.plan, frame, found.checks)
    said = said or ("" if shown.reason else "The search is being prepared.")
    return " ".join(filter(None, [CHANGED if other else "", said, shown.reason]))


def come_back() -> None:
    """Gives the search its own seeds again, where there are still those that it opened another page with."""
    now = controls.words()
    for word, (given, own) in st.session_state.pop("lent", {}).items():
        if now.get(word) == given:
            now.pop(word, None)
            now |= {} if own is None else {word: own}


def best(found: Any, frame: pd.DataFrame) -> int | None:
    """The number of the best trial on fresh seeds; until those have run, of the lowest score, as drawn."""
    from core.search.trials import FINISHED

    if found.checks:
        return int(found.checks[0].number)
    held = frame[frame["state"] == FINISHED]
    return int(held.loc[held["score"].idxmin(), "number"]) if len(held) else None


def use(found: Any, frame: pd.DataFrame | None, wider: Callable[[Space], None] | None) -> None:
    """What can be done with the best setting: train it, compare it, take it along, search beyond it.

    Args:
        found: The search; None before its first turn.
        frame: Its table.
        wider: Goes on in another space; None where that cannot be.
    """
    from core.search import ending
    from pages import _trials

    top = best(found, frame) if found is not None and frame is not None else None
    with st.popover("Use it", icon=":material/output:", disabled=top is None, width="stretch"):
        if top is not None:
            judged = ending.judged(found.plan, frame, found.checks, top)
            with st.container(width=MENU):
                _trials.apply(found, top, judged, "best")
                caption(judged.words)
                _trials.downloads(found, top, judged.typical)
    space = beyond(found) if wider else None
    st.button(
        "Search wider",
        key="wider",
        on_click=wider,
        args=(space,),
        disabled=space is None,
        width="stretch",
        help="Extends the ranges on whose bound the best setting lies; the trials so far are kept.",
    )


def beyond(found: Any) -> Space | None:
    """The space moved on where the best setting of a search that has ended lies on an end of it."""
    if found is None or not found.checks:
        return None
    from core.search.ending import widened

    space = widened(found.plan, found.values(found.checks[0].number))
    return space if isinstance(space, Space) else None


def history(found: Any, frame: pd.DataFrame | None, others: dict[str, pd.DataFrame], height: int) -> None:
    """Loss against trial; a click picks a trial."""
    table = pd.DataFrame(columns=list(charts.HISTORY_COLUMNS))
    if found is not None and frame is not None and len(frame):
        from core.search import drawn
        from core.search.objective import baseline

        level = baseline(found.plan.config, found.plan.seeds)
        table = drawn.history(frame, found.plan, level, others)
    key = f"history-{bool(others)}"

    def picked() -> None:
        controls.touch()
        if at := st.session_state[key].selection.get("trial"):
            st.session_state["trial"] = int(at[0]["trial"])

    st.vega_lite_chart(
        table,
        charts.history_spec(bool(others), judged(found)),
        key=key,
        on_select=picked,
        selection_mode=["trial"],
        height=height,
        alt=ALT["history"],
    )


def curves(found: Any, frame: pd.DataFrame | None, height: int) -> None:
    """The learning curve of every trial; those that go on grow."""
    table = pd.DataFrame(columns=list(charts.TRIAL_CURVE_COLUMNS), dtype="float32")
    if found is not None and frame is not None:
        from core.search import drawn

        ended, going = found.curves(), found.running()
        table = drawn.learning_curves(ended, going, best(found, frame), st.session_state.get("trial"))
    st.vega_lite_chart(
        table, charts.trial_curves_spec(judged(found)), key="curves", height=height, alt=ALT["curves"]
    )


def belief(found: Any, frame: pd.DataFrame) -> Any:
    """The process fitted to the trials so far; kept until another trial has ended."""
    from core.search.belief import believe

    key = (found.study.study_name, found.plan.space, int(frame["score"].notna().sum()))
    held, process = st.session_state.get("belief", (None, None))
    if held != key:
        process = believe(frame, found.plan)
        st.session_state["belief"] = (key, process)
    return process


def view(
    name: str,
    found: Any,
    frame: pd.DataFrame | None,
    shown: dict[str, jobs.Job | None],
    act: Callable[[], None],
) -> None:
    """The view that is picked, below the history.

    Args:
        name: Its word.
        found, frame: The search and its table.
        shown: What is trained beside the search.
        act: Starts random and grid search.
    """
    from pages import _views

    if name == "workers":
        from pages import _workers

        return _workers.workers(found)
    if name == "worth":
        return _views.worth(found, frame, shown, act)
    if found is None or frame is None or not frame["score"].notna().any():
        caption("There is more to see once the first trials have completed.")
        return None
    return getattr(_views, name)(found, frame, shown)
