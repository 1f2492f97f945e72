"""Compare: SGD or momentum?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs
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
    meanings,
    measure,
    metric_name,
    summarise,
    table,
    usual_target,
)
from core.comparisons import COMPARISONS
from core.findings import comparison
from core.optimizers import OPTIMIZERS, Optimizer
from core.registry import Choice, Flag, Interval, Word
from pages import _controls as controls
from pages import _frame as frame
from pages import _live as live
from pages import _say as say
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
    "speed": live.SPEED,
}
OPENING = COMPARISONS["moons"]
BIG, SMALL = 320, 200


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
    return live.job("race")


def start() -> None:
    """Compares what the page shows: goes on with it where it is paused, leaves it alone where it goes on."""
    controls.touch()
    shown = job()
    if live.going(shown) and _same(shown.subject):
        if shown.state == jobs.PAUSED:
            shown.resume()
            shown.wait()
        return
    begin(shown, live.pace())


def begin(shown: jobs.Job | None, seconds: float | None) -> None:
    """Submits the comparison that the page shows, in the place of another."""
    try:
        new = compared()
    except NoComparison as error:
        say.refuse(str(error))
        return
    made = {"subject": new, "make": _maker(new), "updates": _updates(new)}
    if live.launch("race", new.configs(), seconds, **made) and live.going(shown):
        shown.stop()


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


def edit(place: int, **numbers: Any) -> None:
    """Sets numbers of one optimizer; a quick hand may mean one that is gone, or is another by now."""
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


def add(count: int) -> None:
    """One optimizer more than `count`: one that is not there yet, else the first with half its rate."""
    controls.touch()
    now = rivals()
    if len(now) != count or count >= MOST:
        return
    fresh = next((k for n, k in OPTIMIZERS.items() if n not in {r.name for r in now}), None)
    rate = now[0].learning_rate
    least = now[0].settings()["learning_rate"].low
    new = fresh(learning_rate=rate) if fresh else replace(now[0], learning_rate=max(rate / 2, least))
    controls.put("rivals", PAGE["rivals"], (*now, new))


def remove(place: int, count: int) -> None:
    """One optimizer less than `count`, while there are more than two."""
    controls.touch()
    if len(now := rivals()) == count > 2:
        controls.put("rivals", PAGE["rivals"], (*now[:place], *now[place + 1 :]))


def take_preset(name: str) -> None:
    """Takes over all settings of the preset that was picked, and runs it."""
    shown = job()
    controls.replace_words(dict(COMPARISONS[name].query), PAGE, ("speed", "view"))
    begin(shown, live.pace())


def presets() -> None:
    """The menu of comparisons worth looking at."""
    controls.pick(
        "w_comparison",
        list(COMPARISONS),
        lambda name: COMPARISONS[name].title,
        _preset(),
        take_preset,
        label="Preset",
        placeholder="Your own comparison",
    )


def _preset() -> str | None:
    try:
        now = compared()
    except NoComparison:
        return None
    return next((name for name, preset in COMPARISONS.items() if preset.comparison == now), None)


def rules() -> None:
    """The optimizers, one button each with its colour and numbers; what is in it is drawn when it opens."""
    now = _as_run()
    styles = charts.rival_styles(tuple(rule.name for rule in now))
    edges = [
        f".st-key-rule-{k} button {{ border-left: 5px solid {style[0]}; }}" for k, style in enumerate(styles)
    ]
    st.html(f"<style>{' '.join(edges)}</style>")
    with st.container(horizontal=True, gap="small", key="rules"):
        for place, rule in enumerate(now):
            with st.container(key=f"rule-{place}", width="content"):
                controls.popover(
                    say.plain(label(rule)),
                    None,
                    f"rule_{place}",
                    lambda place=place, rule=rule: details(place, rule, len(now)),
                )
        st.button(
            "Add optimizer",
            icon=":material/add:",
            key="add",
            on_click=add,
            args=(len(now),),
            disabled=len(now) >= MOST,
            type="tertiary",
        )


def _as_run() -> tuple[Optimizer, ...]:
    """The rivals with the learning rates that the mode gives them."""
    try:
        return compared().rules
    except NoComparison:
        return rivals()


def details(place: int, rule: Optimizer, count: int) -> None:
    """One optimizer: which it is, its learning rate and momentum."""
    name = f"w_rival{place}"
    controls.pick(
        f"{name}_rule",
        list(OPTIMIZERS),
        lambda name: OPTIMIZERS[name].title,
        rule.name,
        lambda name: follow(place, name),
        label=f"Candidate {place}" if place else "Baseline",
    )
    mode = controls.value("mode", PAGE["mode"])
    for word in filter(None, ["learning_rate", rule.momentum_name]):
        given = mode == "tuned" or (place > 0 and word == "learning_rate" and mode in ("same", "effective"))
        controls.number(
            f"{name}_{word}",
            controls.label(word),
            rule.settings()[word],
            getattr(rule, word),
            lambda new, word=word: edit(place, **{word: new}),
            disabled=given,
            help=rule.settings()[word].help,
        )
    st.button(
        "Leave out",
        icon=":material/close:",
        key=f"{name}_out",
        on_click=remove,
        args=(place, count),
        disabled=count <= 2,
        width="stretch",
    )


def actions() -> None:
    """What can be done, and in which way it is fair."""
    shown = job()
    going = live.going(shown)
    resumes = going and shown.state == jobs.PAUSED and _same(shown.subject)
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        live.run_bar([shown] if going else [], start, "Resume" if resumes else "Start", width=110)
        live.speeds("race")
        what_if(shown, _runs(shown))
        controls.segments("mode", PAGE["mode"], lambda name: MODES[name].title)
    st.caption(say.plain(MODES[controls.value("mode", PAGE["mode"])].proves))


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
    refusal = ""
    if subject is None:
        try:
            subject = compared()
        except NoComparison as error:
            refusal, subject = str(error), Comparison(controls.config().but(seed=0), Rivals().default)
    training = shown.training if shown else None
    rules = subject.rules
    if subject.mode == "tuned" and training is not None:
        rules, training = training.chosen or rules, training.training
    frame, summaries, said = _read(subject, rules, training)
    with st.container(key="verdict"):
        st.markdown(say.plain(refusal or _said(shown, subject, said)))
    styles = charts.rival_styles(tuple(rule.name for rule in rules))
    labels = tuple(f"{label(rule)} · n = {subject.seeds}" for rule in rules)
    x, log = controls.value("x", PAGE["x"]), controls.value("axis", PAGE["axis"]) == "log"
    titles = (AXES[x], "validation loss" if subject.base.valid_rows else "training loss")
    if controls.value("view", PAGE["view"]) == "together":
        st.vega_lite_chart(frame, charts.compare_spec(labels, styles, *titles, log), height=BIG, alt=ALT)
    else:
        _apart(frame, labels, styles, titles, log)
    with st.container(key="notice"):
        name = _preset()
        st.caption(f"**What to notice** {COMPARISONS[name].look}" if name else "")
    _numbers(summaries, titles[1].capitalize(), metric_name(subject.base))


def _numbers(summaries: list[Summary], loss: str, metric: str) -> None:
    """The table: its columns are explained at their heads and wide enough for all that is in them."""
    numbers, helps = table(summaries, loss, metric), meanings(loss, metric)
    config = {
        name: st.column_config.TextColumn(
            help=helps.get(name),
            width=22 + 7 * max(len(name), *numbers[name].str.len()),
            pinned=name == numbers.columns[0],
        )
        for name in numbers
    }
    st.dataframe(numbers, hide_index=True, column_config=config)


def _said(shown: jobs.Job | None, subject: Comparison, said: str) -> str:
    """What the comparison shows, in words."""
    if shown is None:
        return live.GONE if live.gone("race") else "Press Start to compare."
    if shown.training is not None and not shown.over:
        said = f"So far: {said}"
    return " ".join(filter(None, ["" if _same(subject) else live.CHANGED, said, shown.reason]))


ALT = (
    "Loss of each optimizer: the geometric mean over seeds, and its 95 % interval as a band. The sentence "
    "above says what it shows, the table below has its numbers."
)


def _apart(frame: pd.DataFrame, labels: Any, styles: Any, titles: Any, log: bool) -> None:
    """One small chart for each rival, the others grey behind it, so that all have the same axes."""
    for first in range(0, len(labels), 4):
        for column, k in zip(st.columns(4), range(first, min(first + 4, len(labels))), strict=False):
            with column:
                st.caption(say.plain(labels[k]))
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
    said = comparison(subject, ranked, target, shadows) if training else "Press Start to compare."
    frame = curves(measures, len(rules), subject.base, controls.value("x", PAGE["x"]))
    return frame, ranked, said


def _progress(shown: jobs.Job | None) -> str:
    if shown is None:
        return "Ready"
    if shown.state == jobs.QUEUED and shown.position:
        return f"Number {shown.position} in the queue"
    subject = shown.subject
    runs = f"{len(subject.rivals)} optimizers × {subject.seeds} seed{'s' * (subject.seeds > 1)}"
    if subject.mode == "tuned" and shown.training is not None and shown.training.training is None:
        return f"Tuning · {shown.training.tried} settings of each optimizer tried"
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
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom", key="axes"):
        controls.segments("x", PAGE["x"], lambda name: AXES[name].capitalize())
        controls.segments("axis", PAGE["axis"], str.capitalize)
        controls.segments("view", PAGE["view"], str.capitalize)
        with st.container(width=170):
            controls.number(
                "w_target",
                "Target loss",
                TARGET,
                controls.value("target", TARGET),
                lambda new: controls.put("target", TARGET, new),
                help=TARGET.help,
            )


def draw() -> None:
    """The page."""
    controls.read_link(PAGE, dict(OPENING.query), lambda name: dict(COMPARISONS[name].query))
    if controls.words().pop("run", "false") == "true":
        begin(None, live.pace())
    elif not controls.words().get("race") and not controls.opened_by_link():
        begin(None, None)
    shown = job()
    if shown is not None:
        live.watch(shown)
    drawn = live.states(shown)  # before the buttons, which depend on them
    with st.sidebar:
        presets()
        problem(controls.config())
        controls.control("seeds", SEEDS)
    frame.head("Compare", "SGD or momentum?", controls.start_link(PAGE, ("race",), _preset()))
    actions()
    rules()
    live.follow(shown, panel, drawn=drawn)
    under()
    controls.write_link(PAGE)


frame.guarded(draw)
