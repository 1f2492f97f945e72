"""Tune: which values should I use?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core import jobs
from core.config import Config
from core.registry import Choice, Flag, Word
from core.search.plan import BATCH, SAMPLER, SAMPLERS, SEEDS, TRIALS, Plan, moved, same
from core.search.space import Space
from core.searches import SEARCHES
from pages import _controls as controls
from pages import _frame  # noqa: F401
from pages import _live as live
from pages import _open as opening
from pages import _space as spaces
from pages import _study as study
from pages._problem import problem

VIEWS = {
    "maps": "Maps",
    "slices": "Slices",
    "parallel": "Parallel",
    "importances": "Importances",
    "trials": "Trials",
    "worth": "Was it worth it?",
    "workers": "Workers",
}
PAGE = {
    "run": Flag(False),
    "tune": Word(),
    "beside": Word(),
    "truth": Word(),
    "study": Word(),
    "space": spaces.RANGES,
    "trials": TRIALS,
    "seeds": SEEDS,
    "round": BATCH,
    "sampler": SAMPLER,
    "exact": Flag(
        False, "Linear scales, one seed, one trial at a time, the plain loss, as the tutorial has it."
    ),
    "speed": Choice(tuple(live.SECONDS), "fast"),
    "view": Choice(tuple(VIEWS), "maps"),
    "across": Word("learning_rate"),
    "up": Word(),
}
SEARCH = ("space", "trials", "seeds", "round", "sampler", "exact")
NEW, GOING = "Start", "Going"  # what Start would do now
ON, LONGER, MOVED = "Go on", "More trials", "New ranges"
STARTS = {
    NEW: "Begins a search with the settings of now.",
    GOING: "It is on its way.",
    ON: "Goes on where it was stopped.",
    LONGER: "Goes on until there are as many trials as the budget says now.",
    MOVED: "Goes on in the ranges of now; what was tried inside them is taken over.",
}
BESIDE = {"beside": "Random and grid", "truth": "The truth"}  # what else is trained, and its words
MORE = 10  # trials that one click adds to a search that has ended
HEIGHT = 300


def value(word: str) -> Any:
    """What a setting of this page is at now."""
    return controls.value(word, PAGE[word])


def job(word: str = "tune") -> jobs.Job | None:
    """The job that the page shows under a word: tune, beside or truth."""
    return live.manager().get(controls.words().get(word, ""))


def search() -> Any:
    """The search that the page shows; None before its first turn."""
    shown = job()
    return shown.training if shown else None


def plan() -> Plan:
    """The search that the page's controls describe.

    Raises:
        ValueError: They describe none.
    """
    config = controls.config()
    names = {"trials": "trials", "seeds": "seeds", "batch": "round", "sampler": "sampler", "exact": "exact"}
    given = {name: value(word) for name, word in names.items()}
    return Plan(config, spaces.chosen(config), **given)


def shown_plan() -> Plan | None:
    """The plan of the search that is shown."""
    shown, found = job(), search()
    return found.plan if found else shown.subject if shown else None


def launch(make: Callable[[], Any], asked: Plan, word: str, updates: int) -> None:
    """Submits a job and shows it under a word of the link; a search takes its time, as the speed says."""
    seconds = live.SECONDS[value("speed")] if word == "tune" else None
    try:
        new = live.launch([asked.config], seconds, make=make, updates=updates, subject=asked)
    except jobs.Refused as refusal:
        st.session_state["wrong"] = [str(refusal)]
        return
    if new:
        controls.words()[word] = new.id


def start() -> None:
    """Does what Start says: begins a search, or goes on with the one that is shown."""
    controls.touch()
    shown, found = job(), search()
    try:
        asked = plan()
        what = intent(asked)
    except ValueError as error:
        st.session_state["wrong"] = [str(error)]
        return
    if what == GOING:
        return
    st.session_state["wrong"] = []
    if what in (ON, LONGER):
        found.extend(max(0, asked.trials - found.target))
        study.tell(found, "resume")
        go_on(found)
        return
    if live.mine(shown) and not shown.over:
        shown.stop()
        shown.wait()
        if what == MOVED:
            study.tell(found, "stop")
    for word in ("beside", "truth", "study"):
        controls.words().pop(word, None)
    st.session_state.pop("trial", None)  # what was picked of the search before
    make = (lambda: found.moved(asked, MORE)) if what == MOVED else (lambda: study.new(asked))
    launch(make, asked, "tune", asked.updates)


def intent(asked: Plan) -> str:
    """What Start does now: the words on the button."""
    shown, found, known = job(), search(), shown_plan()
    if shown is None or known is None or not live.mine(shown):
        return NEW
    if found is not None and moved(asked, known):
        return MOVED
    if not same(asked, known):
        return NEW
    if not shown.over:
        return GOING
    if found is None:
        return NEW
    if asked.trials > found.target:
        return LONGER
    return ON if found.active else NEW


def more() -> None:
    """Makes the search longer."""
    controls.touch()
    shown, found = job(), search()
    if not live.mine(shown) or found is None:
        return
    try:
        found.extend(MORE)
    except ValueError as error:
        st.session_state["wrong"] = [str(error)]
        return
    if shown.over:
        go_on(found)


def go_on(found: Any) -> None:
    """Lets the search that is shown go on, at the speed that is set."""
    try:
        study.go_on(found, live.SECONDS[value("speed")] if found.pace is None else None)
    except jobs.Refused as refusal:
        st.session_state["wrong"] = [str(refusal)]


def wider(space: Space) -> None:
    """Goes on beyond the ends on which the best setting lies."""
    controls.put("space", PAGE["space"], space)
    start()


def beside() -> None:
    """Random and grid search with the same budget."""
    controls.touch()
    known, now = shown_plan(), job("beside")
    if known is None or (now is not None and not now.over):
        return
    controls.words()["view"] = "worth"
    launch(lambda: study.beside(known), known, "beside", 2 * known.updates)


def command(name: str) -> None:
    """Passes a command on to all that goes on, and to the search's workers; a double click is one click."""
    controls.touch()
    told = going()
    if not told or controls.again(name):
        return
    for each in told:
        getattr(each, name)()
        each.wait()
    if job() in told:
        study.tell(search(), name)


def going() -> list[jobs.Job]:
    """What goes on and is this visitor's: the search, and what is trained beside it."""
    shown = [job(word) for word in ("tune", *BESIDE)]
    return [each for each in shown if each is not None and live.mine(each) and not each.over]


def take_preset() -> None:
    """Takes over all settings of the search that was picked, and starts it."""
    if (name := controls.heard("w_search")) is None:
        return
    preset = SEARCHES[name]
    controls.replace_words(
        preset.plan.config.to_query() | dict(preset.search), PAGE, ("view", "across", "up")
    )
    start()


def presets() -> None:
    """The menu of searches."""
    controls.show("w_search", _preset())
    st.selectbox(
        "Preset",
        list(SEARCHES),
        key="w_search",
        format_func=lambda name: SEARCHES[name].title,
        placeholder="Your own settings",
        on_change=take_preset,
    )


def _preset() -> str | None:
    try:
        asked = plan()
    except ValueError:
        return None
    return next((name for name, preset in SEARCHES.items() if preset.plan == asked), None)


def actions(config: Config) -> None:
    """What can be done: start and steer, and what is searched."""
    shown, active, what = job(), going(), _start_words()
    paused = bool(active) and all(each.state == jobs.PAUSED for each in active)
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        st.button(
            NEW if what == GOING else what,
            icon=":material/play_arrow:",
            type="primary",
            key="start",
            on_click=start,
            disabled=what == GOING,
            help=STARTS[what],
            width=130,
        )
        st.button(
            "Resume" if paused else "Pause",
            icon=":material/resume:" if paused else ":material/pause:",
            key="pause",
            on_click=command,
            args=("resume" if paused else "pause",),
            disabled=not active,
        )
        st.button(
            "Stop", icon=":material/stop:", key="stop", on_click=command, args=("stop",), disabled=not active
        )
        st.button(
            f"{MORE} more",
            icon=":material/add:",
            key="more",
            on_click=more,
            disabled=not live.mine(shown) or search() is None,
            help="Makes this search longer; the best are checked anew in the end.",
        )
        st.button(
            "Random and grid beside it",
            icon=":material/stacked_line_chart:",
            key="beside",
            on_click=beside,
            disabled=shown is None,
            help="Two other searches with the same budget: did the Bayesian one help here?",
        )
        controls.popover("What is searched", ":material/tune:", "searched", lambda: spaces.editor(config))
        controls.popover("Budget and sampler", ":material/timer:", "budget", _budget)
        controls.popover("Open", ":material/folder_open:", "open", opening.choices)
        controls.segments("speed", PAGE["speed"], str.capitalize, speed)


def _budget() -> None:
    for word in ("trials", "seeds", "round"):
        controls.control(word, PAGE[word])
    controls.pick("sampler", list(SAMPLERS), SAMPLERS.__getitem__, value("sampler"), _sampled)
    controls.control("exact", PAGE["exact"])


def speed(word: str, name: str) -> None:
    """The search that goes on takes the new speed at once."""
    shown, found = job(), search()
    if live.mine(shown) and found is not None and found.pace is None:
        seconds = live.SECONDS[name]
        shown.set_pace(found.steps / seconds if seconds else None)


def _sampled(word: str, name: str) -> None:
    controls.words()[word] = name


def _start_words() -> str:
    try:
        return intent(plan())
    except ValueError:
        return NEW


def panel() -> None:
    """Progress, verdict, history, curves and the view; the same elements whatever the state."""
    shown, found = job(), search()
    frame = found.table() if found else None
    if found is not None and found.pace and shown.pace and not found.searching:
        shown.set_pace(None)  # what is left is training, not looking on
    st.progress(*_progress(shown))
    with st.container(key="verdict"):
        words, use = st.columns([5, 1], vertical_alignment="top")
        words.markdown(study.verdict(shown, frame) if shown else study.ready(plan))
        with use:
            study.use(found, frame, wider if live.mine(shown) and not _other(shown) else None)
    left, right = st.columns([3, 2])
    with left:
        study.history(found, frame, _beside(), HEIGHT)
    with right:
        study.curves(found, frame, HEIGHT)
    if name := _preset():
        st.caption(f"**What to notice** {SEARCHES[name].look}")
    controls.segments("view", PAGE["view"], VIEWS.__getitem__)
    with st.container(key="view"):
        study.view(value("view"), found, frame, {word: job(word) for word in BESIDE})


def _beside() -> dict[str, pd.DataFrame]:
    other = job("beside")
    if other is None or other.training is None or other.subject != shown_plan():
        return {}
    return {name: each.table() for name, each in other.training.searches.items()}


def _progress(shown: jobs.Job | None) -> tuple[float, str]:
    """How far the search is; once it has ended, how far what is trained beside it is."""
    if shown is None:
        return 0.0, "Ready"
    for word, name in BESIDE.items():
        aside = job(word)
        if shown.over and aside is not None and not aside.over:
            return study.beside_progress(aside, name)
    return study.fraction(shown), study.progress(shown, _other(shown))


def _other(shown: jobs.Job) -> bool:
    """Whether the search shown is of other settings than the controls say."""
    try:
        known = shown_plan()
        return not (same(plan(), known) or moved(plan(), known))
    except ValueError:
        return False


def main() -> None:
    """The page."""
    wrong = controls.read_link(PAGE)
    config = controls.config()
    if controls.words().pop("run", "false") == "true":
        start()
    elif (name := controls.words().get("study")) and job() is None:
        opening.study(name)
    elif "tune" not in controls.words() and not controls.opened_by_link():
        start()
    followed = [job(word) for word in ("tune", *BESIDE)]
    for each in followed:
        if each is not None:
            live.watch(each)
    with st.sidebar:
        presets()
        problem(config, lambda word, new: None)
    st.markdown(
        "**Tune** · which values should I use? :gray[Each trial trains one setting, on a few seeds; "
        "a model of the trials so far chooses the next.]"
    )
    controls.complain(st.session_state.get("wrong", wrong))
    actions(config)
    live.follow(followed[0], panel, *followed[1:])
    controls.write_link(PAGE)


main()
