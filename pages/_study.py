"""What the Tune page shows of a search: progress, history, curves, and the views below them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs
from core.search.plan import Plan
from core.search.space import Space
from pages import _controls as controls
from pages import _live as live

ALT = {
    "history": "Loss of every trial with its error bar, and the best so far. Trials has the numbers.",
    "curves": "Learning curve of every trial.",
}
AWAY = "The database does not answer; try again in a moment."


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


def tell(found: Any, name: str) -> None:
    """Tells the workers of a shared search what its job was told."""
    if found is not None:
        in_database(lambda: found.command(name))


def go_on(found: Any, seconds: float | None = None) -> None:
    """Lets a search go on that has stopped; where a newer job has it in hand, that one is shown.

    Args:
        found: The search.
        seconds: How long it is to take at least.

    Raises:
        Refused: Too many jobs are waiting.
    """
    plan = found.plan
    new = live.manager().at_work(found) or live.launch(
        [plan.config], seconds, training=found, updates=plan.updates, subject=plan, pace=found.pace
    )
    if new:
        controls.words()["tune"] = new.id


def in_database(act: Callable[[], object]) -> None:
    """Does something in the database; a sentence on the page when it does not answer."""
    from core.store import BadStorage, is_trouble

    try:
        act()
    except BadStorage as error:
        st.session_state["wrong"] = [str(error)]
    except Exception as error:
        if not is_trouble(error):
            raise
        st.session_state["wrong"] = [AWAY]


def ready(plan: Callable[[], Plan]) -> str:
    """What Start would do, while there is no search yet."""
    try:
        asked = plan()
    except ValueError:
        return "Press Start once the settings hold."
    settings = "1 setting is" if asked.trials == 1 else f"{asked.trials} settings are"
    return f"Press Start: {settings} tried, {asked.seeds} run{'s' * (asked.seeds > 1)} each."


def fraction(shown: jobs.Job | None) -> float:
    """How far a search is, by its trials."""
    found = shown.training if shown else None
    if found is None:
        return 0.0
    return min(1.0, found.ended / found.target) if found.active else 1.0


def progress(shown: jobs.Job, other: bool) -> str:
    """The line at the bar: trial, round, time left."""
    found = shown.training
    if shown.state == jobs.QUEUED and shown.position:
        return f"Number {shown.position} in the queue"
    if found is None:
        return "Starting"
    ended, target = found.ended, found.target
    if other and shown.over:
        return "These trials are of other settings than now: Start searches those of now."
    now = " · of other settings than now, which Start would search" if other else ""
    if found.active and not found.searching:
        return f"All {ended} trials · the best are tried again on fresh seeds{now}"
    if not getattr(found, "alive", True) and not shown.over:
        return f"Waiting for workers · {ended} of {target} trials{now}"
    where = f"trial {min(ended + 1, target)} of {target}, round {found.rounds[0]} of {found.rounds[1]}"
    if shown.state == jobs.RUNNING:
        seconds = max(found.left, shown.left) if shown.pace and not found.shared else found.left
        left = f" · {seconds:.0f} s left" if seconds == seconds else ""
        return f"Searching · {where}{left}{now}"
    return f"Finished · {ended} trials" if not found.active else f"{shown.state.capitalize()} · {where}{now}"


def beside_progress(shown: jobs.Job, name: str) -> tuple[float, str]:
    """How far something is that is trained beside a search, as a share and in words."""
    share = min(1.0, shown.done / shown.steps) if shown.steps else 0.0
    if shown.state == jobs.QUEUED and shown.position:
        return share, f"{name} · number {shown.position} in the queue"
    if shown.state == jobs.PAUSED:
        return share, f"{name} · paused at {share:.0%}"
    left = f" · {shown.left:.0f} s left" if share else ""
    return share, f"{name} · {share:.0%}{left}"


def verdict(shown: jobs.Job, frame: pd.DataFrame | None) -> str:
    """What has been found, in words."""
    from core.search.ending import verdict as words

    found = shown.training
    if found is None or frame is None:
        return shown.reason or "The search is being prepared."
    said = words(found.plan, frame, found.checks)
    return f"{said} {shown.reason}".replace("$", r"\$")


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
    from pages import _trials

    top = best(found, frame) if found is not None and frame is not None else None
    with st.popover("Use it", icon=":material/output:", disabled=top is None, width="stretch"):
        if top is not None:
            _trials.apply(found, top, "best")
            _trials.downloads(found, top)
    space = beyond(found) if wider else None
    st.button(
        "Search wider",
        icon=":material/open_in_full:",
        key="wider",
        on_click=wider,
        args=(space,),
        disabled=space is None,
        width="stretch",
        help="Moves the ends that the best setting lies on, and goes on with the trials that are known.",
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
    event = st.vega_lite_chart(
        table,
        charts.history_spec(bool(others), judged(found)),
        key=f"history-{bool(others)}-{st.session_state.get('cleared', 0)}",
        on_select="rerun",
        selection_mode=["trial"],
        height=height,
        alt=ALT["history"],
    )
    picked = event.selection.get("trial") if event else None
    if picked:
        st.session_state["trial"] = int(picked[0]["trial"]) - 1


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


def view(name: str, found: Any, frame: pd.DataFrame | None, shown: dict[str, jobs.Job | None]) -> None:
    """The view that is picked, below the history."""
    from pages import _views

    if name == "workers":
        from pages import _workers

        return _workers.workers(found)
    if found is None or frame is None or not frame["score"].notna().any():
        st.caption("Here is more to see once the first trials have ended.")
        return
    getattr(_views, name)(found, frame, shown)
