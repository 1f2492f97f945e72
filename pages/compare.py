"""Compare: SGD or momentum?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs, verdict
from core.compare import (
    MODES,
    MOST,
    SEEDS,
    Comparison,
    NoComparison,
    Rivals,
    Summary,
    curves,
    label,
    measure,
    summarise,
    table,
    usual_target,
)
from core.comparisons import COMPARISONS
from core.optimizers import OPTIMIZERS, Optimizer
from core.registry import Choice, Flag, Interval, Word
from pages import _controls as controls
from pages import _frame  # noqa: F401
from pages import _live as live
from pages._fork import what_if
from pages._problem import problem

AXES = {
    "epochs": "epochs",
    "updates": "updates",
    "gradients": "gradients seen",
    "seconds": "seconds of computing",
}
TARGET = Interval(
    "", 0.0, 0.0, 1e9, help="The loss that counts as reached; 0 is 95 % of the way to the lowest."
)
PAGE = {
    "run": Flag(False),
    "race": Word(),
    "rivals": Rivals(),
    "seeds": SEEDS,
    "mode": Choice(tuple(MODES), "own"),
    "x": Choice(tuple(AXES), "epochs"),
    "axis": Choice(("log", "linear"), "log"),
    "view": Choice(("together", "apart"), "together"),
    "target": TARGET,
    "speed": Choice(tuple(live.SECONDS), "watch"),
}
BIG, SMALL = 380, 200


def rivals() -> tuple[Optimizer, ...]:
    """The rules on the cards."""
    return controls.value("rivals", PAGE["rivals"])


def compared() -> Comparison:
    """What the page says to compare.

    Raises:
        NoComparison: The rivals cannot be compared.
    """
    seeds, mode = (controls.value(word, PAGE[word]) for word in ("seeds", "mode"))
    return Comparison(controls.config(), rivals(), seeds, mode)


def job() -> jobs.Job | None:
    """The job that the page shows."""
    return live.manager().get(controls.words().get("race", ""))


def start(*, at_once: bool = False) -> None:
    """Starts the comparison that the page shows, unless one goes on."""
    controls.touch()
    shown = job()
    if shown is None or shown.over or not live.mine(shown):
        launch(at_once=at_once)


def launch(*, at_once: bool = False) -> None:
    """Submits the comparison."""
    try:
        new = compared()
        seconds = None if at_once else live.SECONDS[controls.value("speed", PAGE["speed"])]
        started = live.launch(new.configs(), seconds, subject=new, make=_maker(new), updates=_updates(new))
    except (NoComparison, jobs.Refused) as refusal:
        st.session_state["wrong"] = [str(refusal)]
        return
    if started:
        controls.words()["race"] = started.id


def _maker(new: Comparison) -> Any:
    """What makes the training of a comparison whose rivals are tuned; None for the others."""
    if new.mode != "tuned":
        return None

    def make() -> Any:
        from core.tuned import Tuned

        return Tuned(new)

    return make


def _updates(new: Comparison) -> int:
    runs = len(new.configs())
    return new.base.steps * (runs + (len(new.rivals) * 96 if new.mode == "tuned" else 0))


def command(name: str) -> None:
    """Passes a command on to the job; a second click within a moment is the same click."""
    controls.touch()
    if live.mine(shown := job()) and not controls.again(name):
        getattr(shown, name)()
        shown.wait()


def edit(place: int, **numbers: Any) -> None:
    """Sets numbers of one rival; a quick hand may mean one that is gone, or has another rule by now."""
    now = list(rivals())
    if place < len(now) and numbers.keys() <= now[place].settings().keys():
        now[place] = replace(now[place], **numbers)
        controls.put("rivals", PAGE["rivals"], tuple(now))


def follow(place: int, name: str) -> None:
    """Makes a rival follow another rule, keeping the numbers that it has too."""
    now = list(rivals())
    if place < len(now):
        old = now[place]
        kept = {k: getattr(old, k) for k in OPTIMIZERS[name].settings() if k in old.settings()}
        now[place] = OPTIMIZERS[name](**kept)
        controls.put("rivals", PAGE["rivals"], tuple(now))


def add() -> None:
    """One rival more: a rule that is not there yet, else the first with half its rate."""
    now = rivals()
    fresh = next((k for n, k in OPTIMIZERS.items() if n not in {r.name for r in now}), None)
    rate = now[0].learning_rate
    least = now[0].settings()["learning_rate"].low
    new = fresh(learning_rate=rate) if fresh else replace(now[0], learning_rate=max(rate / 2, least))
    controls.put("rivals", PAGE["rivals"], (*now, new))


def remove(place: int) -> None:
    """One rival less, while there are more than two."""
    controls.touch()
    if len(now := rivals()) > 2:
        controls.put("rivals", PAGE["rivals"], (*now[:place], *now[place + 1 :]))


def presets() -> None:
    """The menu of comparisons worth looking at."""
    controls.show("w_comparison", _preset())

    def take() -> None:
        if (name := controls.heard("w_comparison")) is None:
            return
        controls.replace_words(dict(COMPARISONS[name].query), PAGE, ("speed", "view"))
        launch()

    st.selectbox(
        "Preset",
        list(COMPARISONS),
        key="w_comparison",
        format_func=lambda name: COMPARISONS[name].title,
        placeholder="Your own comparison",
        on_change=take,
    )


def _preset() -> str | None:
    try:
        now = compared()
    except NoComparison:
        return None
    return next((name for name, preset in COMPARISONS.items() if preset.comparison == now), None)


def cards() -> None:
    """The rivals, each with its colour and its numbers."""
    now = _as_run()
    styles = charts.rival_styles(tuple(rule.name for rule in now))
    for first in range(0, len(now), 4):
        for column, place in zip(st.columns(4), range(first, min(first + 4, len(now))), strict=False):
            with column, st.container(border=True, gap="small", key=f"rival-{place}"):
                card(place, now[place], styles[place][0], len(now))


def _as_run() -> tuple[Optimizer, ...]:
    """The rivals with the learning rates that the mode gives them."""
    try:
        return compared().rules
    except NoComparison:
        return rivals()


def card(place: int, rule: Optimizer, colour: str, count: int) -> None:
    """One rival: its rule, learning rate and momentum."""
    key = f"w_rival{place}"
    st.html(f'<div style="height:4px;border-radius:2px;background:{colour}"></div>')
    names, out = st.columns([5, 1], vertical_alignment="bottom")
    controls.show(f"{key}_rule", rule.name)

    def take() -> None:
        if (name := controls.heard(f"{key}_rule")) is not None:
            follow(place, name)

    names.selectbox(
        f"Rival {place + 1}" if place else "Baseline",
        list(OPTIMIZERS),
        key=f"{key}_rule",
        format_func=lambda name: OPTIMIZERS[name].title,
        on_change=take,
    )
    out.button(
        "",
        icon=":material/close:",
        key=f"{key}_out",
        on_click=remove,
        args=(place,),
        disabled=count <= 2,
        type="tertiary",
        help="Leave this rival out",
    )
    mode = controls.value("mode", PAGE["mode"])
    numbers = ["learning_rate", *filter(None, [rule.momentum_name])]
    for column, word in zip(st.columns(2), numbers, strict=False):
        with column:
            number(place, word, rule, mode)


def number(place: int, word: str, rule: Optimizer, mode: str) -> None:
    """A field for one number of a rival; greyed where the mode sets it."""
    record = rule.settings()[word]
    key = f"w_rival{place}_{word}"
    controls.show(key, float(getattr(rule, word)))

    def take() -> None:
        if (said := controls.heard(key)) is not None:
            edit(place, **{word: said})

    given = mode == "tuned" or (place > 0 and word == "learning_rate" and mode in ("same", "effective"))
    st.number_input(
        controls.label(word) if word != "learning_rate" else "Rate",
        float(record.low),
        float(record.high),
        key=key,
        format="%g",
        step=None,
        on_change=take,
        disabled=given,
        help=record.help,
    )


def actions() -> None:
    """What can be done, and in which way it is fair."""
    shown = job()
    state = shown.state if live.mine(shown) else ""
    going = state in (jobs.RUNNING, jobs.QUEUED)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom", key="actions"):
        st.button(
            "Start",
            icon=":material/play_arrow:",
            type="primary",
            key="start",
            on_click=start,
            disabled=going or state == jobs.PAUSED,
        )
        paused = state == jobs.PAUSED
        st.button(
            "Resume" if paused else "Pause",
            icon=":material/resume:" if paused else ":material/pause:",
            key="pause",
            on_click=command,
            args=("resume" if paused else "pause",),
            disabled=not (going or paused),
        )
        st.button(
            "Stop",
            icon=":material/stop:",
            key="stop",
            on_click=command,
            args=("stop",),
            disabled=not (going or paused),
        )
        st.button("Add rival", icon=":material/add:", key="add", on_click=add, disabled=len(rivals()) >= MOST)
        what_if(shown, _runs(shown))
        controls.segments("speed", PAGE["speed"], str.capitalize, speed)
        controls.segments("mode", PAGE["mode"], lambda name: MODES[name].title)
    st.caption(MODES[controls.value("mode", PAGE["mode"])].proves)


def speed(word: str, name: str) -> None:
    """The comparison that goes on takes the new speed at once."""
    if live.mine(shown := job()):
        seconds = live.SECONDS[name]
        shown.set_pace(shown.steps / seconds if seconds else None)


def _runs(shown: jobs.Job | None) -> dict[str, int]:
    """The first run of each rival of a job, by its label."""
    if shown is None or shown.subject.mode == "tuned":
        return {}
    return {label(rule): k * shown.subject.seeds for k, rule in enumerate(shown.subject.rules)}


def panel() -> None:
    """Progress, verdict, curves and numbers; the same elements whatever the state."""
    shown = job()
    subject = shown.subject if shown else None
    done = shown.done / shown.steps if shown and shown.steps else 0.0
    finished = bool(shown) and shown.state == jobs.FINISHED
    st.progress(1.0 if finished else min(done, 1.0), text=_progress(shown))
    if subject is None:
        try:
            subject = compared()
        except NoComparison:
            subject = Comparison(controls.config(), Rivals().default)
    training = shown.training if shown else None
    rules = subject.rules
    if subject.mode == "tuned" and training is not None:
        rules, training = training.chosen or rules, training.training
    frame, summaries, said = _read(subject, rules, training)
    with st.container(key="verdict"):
        begun = training is not None and not shown.over
        st.markdown(f"{'So far: ' if begun else ''}{said} {shown.reason if shown else ''}")
    styles = charts.rival_styles(tuple(rule.name for rule in rules))
    labels = tuple(f"{label(rule)} · n = {subject.seeds}" for rule in rules)
    x, log = controls.value("x", PAGE["x"]), controls.value("axis", PAGE["axis"]) == "log"
    titles = (AXES[x], "validation loss" if subject.base.valid_rows else "training loss")
    if controls.value("view", PAGE["view"]) == "together":
        st.vega_lite_chart(frame, charts.compare_spec(labels, styles, *titles, log), height=BIG, alt=ALT)
    else:
        _apart(frame, labels, styles, titles, log)
    st.table(table(summaries, titles[1].capitalize()).set_index("Rival"))


ALT = (
    "Loss of each rival, the mean over seeds and a band from the lowest to the highest. The sentence says it."
)


def _apart(frame: pd.DataFrame, labels: Any, styles: Any, titles: Any, log: bool) -> None:
    """One small chart for each rival, the others grey behind it, so that all have the same axes."""
    for first in range(0, len(labels), 4):
        for column, k in zip(st.columns(4), range(first, min(first + 4, len(labels))), strict=False):
            with column:
                st.caption(labels[k].replace(" · ", "  \n", 1))
                spec = charts.compare_spec(labels, styles, *titles, log, focus=k)
                st.vega_lite_chart(frame, spec, height=SMALL, alt=f"{ALT} This one shows {labels[k]}.")


def _read(subject: Comparison, rules: Any, training: Any) -> tuple[pd.DataFrame, list[Summary], str]:
    """The drawn table, the summaries and the sentence of a comparison as far as it has come."""
    beside = subject.controls if training and len(training.configs) > len(rules) * subject.seeds else {}
    every = [*rules, *beside.values()]
    measures = measure(training, len(every), subject.seeds, subject.base.epochs)
    target = controls.value("target", TARGET) or usual_target(measures, len(rules))
    summaries = summarise(measures, every, target)
    ranked, shadows = summaries[: len(rules)], dict(zip(beside, summaries[len(rules) :], strict=True))
    said = verdict.comparison(subject, ranked, target, shadows) if training else "Press Start to compare."
    frame = curves(measures, len(rules), subject.base, controls.value("x", PAGE["x"]))
    return frame, ranked, said


def _progress(shown: jobs.Job | None) -> str:
    if shown is None:
        return "Ready"
    if shown.state == jobs.QUEUED and shown.position:
        return f"Number {shown.position} in the queue"
    subject = shown.subject
    runs = f"{len(subject.rivals)} rivals × {subject.seeds} seed{'s' * (subject.seeds > 1)}"
    if subject.mode == "tuned" and shown.training is not None and shown.training.training is None:
        return f"Tuning · {shown.training.tried} settings of each rival tried"
    if shown.over and not _same(subject):
        return "These curves are of other settings than now: Start compares those of now."
    if shown.state == jobs.RUNNING:
        return f"Running · {runs} · {shown.left:.0f} s left"
    return f"{shown.state.capitalize()} · {runs}"


def _same(subject: Comparison) -> bool:
    """Whether a comparison is the one that the page now says."""
    try:
        return compared() == subject
    except NoComparison:
        return False


def under() -> None:
    """The axes and the target."""
    key = "w_target"

    def take() -> None:
        if (said := controls.heard(key)) is not None:
            controls.put("target", TARGET, said)

    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        controls.segments("x", PAGE["x"], lambda name: AXES[name].capitalize())
        controls.segments("axis", PAGE["axis"], str.capitalize)
        controls.segments("view", PAGE["view"], str.capitalize)
        controls.show(key, float(controls.value("target", TARGET)))
        st.number_input(
            "Target loss",
            TARGET.low,
            TARGET.high,
            key=key,
            format="%g",
            step=None,
            width=150,
            help=TARGET.help,
            on_change=take,
        )
    if name := _preset():
        st.caption(f"**What to notice** {COMPARISONS[name].look}")


def main() -> None:
    """The page."""
    wrong = controls.read_link(PAGE)
    if controls.words().pop("run", "false") == "true":
        launch()
    elif "race" not in controls.words():
        launch(at_once=True)
    shown = job()
    if shown is not None:
        live.watch(shown)
    with st.sidebar:
        presets()
        problem(controls.config())
        controls.control("seeds", SEEDS)
    st.markdown("**Compare** · SGD or momentum?")
    controls.complain(wrong or st.session_state.get("wrong", []))
    actions()
    cards()
    live.follow(shown, panel)
    under()
    controls.write_link(PAGE)


main()
