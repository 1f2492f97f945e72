"""Tune: which values should I use?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from core import jobs
from core.config import Config
from core.registry import Choice, Flag, Word
from core.search.plan import BATCH, EXACT, SAMPLER, SAMPLERS, SEEDS, TRIALS, Plan, moved, same
from core.search.space import Space
from core.searches import OPENING, SEARCHES
from pages import _controls as controls
from pages import _frame as frame
from pages import _live as live
from pages import _open as opening
from pages import _say as say
from pages import _space as spaces
from pages import _study as study
from pages._problem import problem

VIEWS = {
    "maps": "Maps",
    "slices": "Slices",
    "parallel": "Parallel coordinates",
    "importances": "Importances",
    "trials": "Trials",
    "worth": "Against random and grid",
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
    "exact": EXACT,
    "speed": Choice(tuple(live.SECONDS), "fast"),
    "view": Choice(tuple(VIEWS), "maps"),
    "across": Word("learning_rate"),
    "up": Word(),
}
JOBS = ("tune", "beside", "truth", "study")
BESIDE = {"beside": "Random and grid", "truth": "True loss"}  # what else is trained, and its words
NEW, GOING, RESUME, ON, LONGER, MOVED = "new", "going", "resume", "on", "longer", "moved"
STARTS = {  # what Start would do now: its words, and the help
    NEW: ("Start", "Starts a search with these settings."),
    GOING: ("Start", "The search with these settings is running."),
    RESUME: ("Resume", "Resumes what is paused."),
    ON: ("Go on", "Continues the search where it was stopped."),
    LONGER: ("More trials", "Continues the search up to the number of trials that is set now."),
    MOVED: ("New ranges", "Continues in the new ranges; completed trials inside them are kept."),
}
MORE = 10  # trials that one click adds
HEIGHT = 270


def value(word: str) -> Any:
    """What a setting of this page is at now."""
    return controls.value(word, PAGE[word])


def job(word: str = "tune") -> jobs.Job | None:
    """The job that the page shows under a word: tune, beside or truth."""
    return live.job(word)


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


def active() -> list[jobs.Job]:
    """What goes on and is this visitor's: the search, and what is trained beside it."""
    return [each for word in ("tune", *BESIDE) if live.going(each := job(word))]


def pace() -> float | None:
    """How many seconds a search takes at least, as the speed says."""
    return live.SECONDS[value("speed")]


def intent() -> str:
    """What Start does now, as a key of STARTS.

    Raises:
        ValueError: The controls describe no search.
    """
    asked, shown, found, known = plan(), job(), search(), shown_plan()
    if shown is None or known is None or not live.mine(shown):
        return NEW
    if found is not None and moved(asked, known):
        return MOVED
    if not same(asked, known):
        return NEW
    if found is not None and asked.budget > found.target:
        return LONGER
    if (told := active()) and all(each.state == jobs.PAUSED for each in told):
        return RESUME
    if not shown.over:
        return GOING
    return ON if found is not None and found.active else NEW


def start(meant: str) -> None:
    """Does what Start says.

    Args:
        meant: What it said when it was drawn. A search that was to go on and has ended since is left alone.
    """
    controls.touch()
    begin(meant)


def begin(meant: str = NEW) -> None:
    """As `start`."""
    found = search()
    try:
        what = intent()
        if what in (ON, LONGER):
            found.extend(max(0, plan().budget - found.target))
    except ValueError as error:
        say.refuse(str(error))
        return
    if what == NEW and (meant == NEW or shown_plan() is None or _other()):
        renew()
    elif what == MOVED:
        _move(found)
    elif what in (ON, LONGER, RESUME):
        go_on(found)


def renew() -> None:
    """Begins a search with the settings of now."""
    try:
        asked = plan()
    except ValueError as error:
        say.refuse(str(error))
        return
    launch(lambda: study.new(asked), asked)


def launch(make: Callable[[], Any], asked: Plan) -> bool:
    """Shows a new search in the place of the one before; whether it was taken on."""
    before = job()
    if not live.launch("tune", [asked.config], pace(), make=make, updates=asked.updates, subject=asked):
        return False
    if live.going(before):
        before.stop()
    for word in ("beside", "truth", "study"):
        controls.words().pop(word, None)
    st.session_state.pop("trial", None)  # what was picked of the search before
    return True


def _move(found: Any) -> None:
    """Goes on in other ranges."""
    before, asked = job(), plan()

    def make() -> Any:
        before.stop()
        before.wait()  # what ends until then is taken over
        return found.moved(asked, MORE)

    going = live.going(before)
    if launch(make, asked) and going:
        tell(found, "stop")


def go_on(found: Any) -> None:
    """Lets the search that is shown go on, at the speed that is set, and what is trained beside it."""
    left = found is not None and found.active
    if job().over and left:
        study.go_on(found, pace() if found.pace is None else None)
    live.command(jobs.Job.resume, *active())
    if left:
        tell(found, "resume")


def tell(found: Any, name: str) -> None:
    """Tells the workers of a shared search what its job was told."""
    if found is not None:
        study.in_database(lambda: found.command(name))


def more(found: Any, target: int) -> None:
    """Makes a search longer, up to a number of trials; a second click means the same until a trial ends."""
    controls.touch()
    if not live.mine(job()) or search() is not found or found.target >= target:
        return
    try:
        found.extend(target - found.target)
    except ValueError as error:
        say.refuse(str(error))
        return
    st.session_state["longer"] = id(found), found.ended
    if job().over:
        go_on(found)


def wider(space: Space) -> None:
    """Goes on beyond the ends on which the best setting lies."""
    controls.touch()
    if controls.put("space", PAGE["space"], space):
        begin(MOVED)


def beside() -> None:
    """Random and grid search with the same budget, unless they go on or have ended."""
    controls.touch()
    known, now = shown_plan(), job("beside")
    if known is None or (now is not None and now.subject == known and not _broken_off(now)):
        return
    made = {"make": lambda: study.beside(known), "updates": 2 * known.updates, "subject": known}
    live.launch("beside", [known.config], None, **made)


def _broken_off(shown: jobs.Job) -> bool:
    return shown.state in (jobs.STOPPED, jobs.FAILED)


def take_preset(name: str) -> None:
    """Takes over all settings of the search that was picked, and starts it."""
    controls.replace_words(_words(name), PAGE, ("view", "across", "up", "speed", *JOBS))
    renew()


def _words(name: str) -> dict[str, str]:
    """The words of a preset."""
    preset = SEARCHES[name]
    return preset.plan.config.to_query() | dict(preset.search)


def presets() -> None:
    """The menu of searches."""
    controls.pick(
        "w_search",
        list(SEARCHES),
        lambda name: SEARCHES[name].title,
        _preset(),
        take_preset,
        label="Preset",
        placeholder="Your own settings",
    )


def _preset() -> str | None:
    try:
        asked = plan()
    except ValueError:
        return None
    return next((name for name, preset in SEARCHES.items() if preset.plan == asked), None)


def actions(config: Config) -> None:
    """What can be done: start and steer, and what is searched."""
    shown, found, told = job(), search(), active()
    try:
        what = intent()
    except ValueError:
        what = NEW
    title, help_ = STARTS[what]

    def also(name: str) -> None:
        if shown in told and live.mine(shown):
            tell(found, name)

    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        live.run_bar(told, partial(start, what), title, also=also, help=help_, width=120)
        added = found is not None and st.session_state.get("longer") == (id(found), found.ended)
        target = (found.target if found is not None else 0) + (0 if added else MORE)
        st.button(
            f"{MORE} more",
            icon=":material/add:",
            key=f"more--{target}",
            on_click=more,
            args=(found, target),
            disabled=not live.mine(shown) or found is None,
            help="Makes this search longer, once until its next trial has ended; the best are checked again.",
        )
        controls.popover("Search space", ":material/tune:", "searched", lambda: spaces.editor(config))
        controls.popover("Budget", ":material/timer:", "budget", _budget)
        controls.popover("Open", ":material/folder_open:", "open", opening.choices)
        controls.segments("speed", PAGE["speed"], str.capitalize, _speed)


def _budget() -> None:
    for word in ("trials", "seeds", "round"):
        controls.control(word, PAGE[word])
    controls.pick(
        "w_sampler",
        list(SAMPLERS),
        SAMPLERS.__getitem__,
        value("sampler"),
        lambda name: controls.put("sampler", SAMPLER, name),
        help=SAMPLER.help,
    )
    controls.control("exact", EXACT)


def _speed(word: str, name: str) -> None:
    """The search that goes on takes the new speed at once."""
    shown, found = job(), search()
    if live.going(shown) and found is not None and found.pace is None:
        shown.set_pace(found.steps / pace() if pace() else None)


def panel() -> None:
    """Progress, verdict, history, curves and the view; the same elements whatever the state."""
    shown, found = job(), search()
    table = found.table() if found else None
    other = shown is not None and _other()
    if found is not None and found.pace and shown.pace and not found.searching:
        shown.set_pace(None)  # what is left is training, not looking on
    st.progress(*_progress(shown))
    with st.container(key="verdict"):
        words, use = st.columns([4, 1], vertical_alignment="top")
        with words, st.container(key="found"):
            st.markdown(say.plain(_said(shown, table, other)))
        with use:
            study.use(found, table, wider if live.mine(shown) and not other else None)
    left, right = st.columns(2)
    with left:
        study.history(found, table, _beside(), HEIGHT)
    with right:
        study.curves(found, table, HEIGHT)
    with st.container(key="notice"):
        name = _preset()
        st.caption(f"**What to notice** {SEARCHES[name].look}" if name else "")
    controls.segments("view", PAGE["view"], VIEWS.__getitem__)
    with st.container(key="view"):
        study.view(value("view"), found, table, {word: job(word) for word in BESIDE}, beside)


def _said(shown: jobs.Job | None, table: pd.DataFrame | None, other: bool) -> str:
    """What the search has found, or would do."""
    if shown is None:
        return study.GONE if live.gone("tune") else study.ready(plan)
    return study.verdict(shown, table, other)


def _beside() -> dict[str, pd.DataFrame]:
    other = job("beside")
    if other is None or other.training is None or other.subject != shown_plan():
        return {}
    return {name: each.table() for name, each in other.training.searches.items()}


def _progress(shown: jobs.Job | None) -> tuple[float, str]:
    """How far the search is; once it has ended, how far what is trained beside it is."""
    if shown is None:
        return 0.0, "Not kept any more" if live.gone("tune") else "Ready"
    for word, name in BESIDE.items():
        aside = job(word)
        if shown.over and aside is not None and not aside.over:
            return study.beside_progress(aside, name)
    return study.fraction(shown), study.progress(shown)


def _other() -> bool:
    """Whether the search shown is of other settings than the controls say."""
    known = shown_plan()
    try:
        return known is not None and not (same(plan(), known) or moved(plan(), known))
    except ValueError:
        return False


def draw() -> None:
    """The page."""
    controls.read_link(PAGE, _words(OPENING.name), _words)
    study.come_back()
    config = controls.config()
    if controls.words().pop("run", "false") == "true":
        begin()
    elif (name := controls.words().get("study")) and job() is None:
        opening.study(name)
        config = controls.config()
    followed = [job(word) for word in ("tune", *BESIDE)]
    for each in followed:
        if each is not None:
            live.watch(each)
    drawn = live.states(*followed)  # before the buttons, which depend on them
    with st.sidebar:
        presets()
        problem(config, lambda word, new: None)
    frame.head("Tune", "which values should I use?", controls.start_link(PAGE, JOBS, _preset()))
    actions(config)
    live.follow(followed[0], panel, *followed[1:], drawn=drawn)
    controls.write_link(PAGE)


frame.guarded(draw)
