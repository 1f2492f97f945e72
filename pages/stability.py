"""Stability: how far can learning rate and momentum go on this very data?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs, maps, rangetest, recommend, verdict
from core.compare import Rivals
from core.config import Config
from core.limit import ceiling
from core.optimizers import LEARNING_RATE, SGD, Momentum, Nesterov
from core.registry import Choice, Flag, Word
from core.sharpness import config_moments
from pages import _controls as controls
from pages import _frame as frame
from pages import _live as live
from pages import _say as say
from pages._problem import problem

KINDS = {"momentum": "Heavy ball", "nesterov": "Nesterov"}
PAGE = {
    "run": Flag(False),
    "map": Word(),
    "check": Word(),
    "range": Word(),
    "kind": Choice(tuple(KINDS), "momentum"),
    "cells": Choice(("16", "32"), "32"),
}
OPENING = {"dataset": "diabetes"}
HEIGHT = 400
ALT = "Learning rate against momentum: predicted growth, or the loss of real runs, with the limit as a line."


@st.cache_resource(max_entries=12, show_spinner="Computing the limits from the data …")
def predicted(config: Config, size: int) -> maps.Prediction:
    """The map of a problem before any training."""
    return maps.predict(config, maps.axes(config, size))


@st.cache_resource(max_entries=24, show_spinner="Weighing batch sizes …")
def card(config: Config) -> pd.DataFrame:
    """The batch-size card of a problem."""
    rows = config.train_rows
    sizes = {2**k for k in range(rows.bit_length())} | {rows, min(config.batch_size, rows)}
    return recommend.batch_card(config, sorted(sizes))


@st.cache_resource(max_entries=24, show_spinner="Looking for the best setting …")
def advice(config: Config) -> recommend.Recommendation:
    """The recommendation for a problem."""
    return recommend.recommend(config)


def problem_config() -> Config:
    """The problem with the plain rule of the map: equal for all learning rates and momenta on the page."""
    kind = Nesterov() if controls.value("kind", PAGE["kind"]) == "nesterov" else Momentum()
    return maps.with_rule(replace(controls.config(), optimizer=kind), kind.learning_rate, kind.momentum)


def job() -> jobs.Job | None:
    """The measurement that the page shows."""
    return live.job("map")


def measure() -> None:
    """Starts the real runs of the map: goes on with them where they are paused, else leaves them alone."""
    controls.touch()
    shown, config = job(), problem_config()
    if live.going(shown) and shown.subject == config:
        if shown.state == jobs.PAUSED:
            shown.resume()
            shown.wait()
        return
    try:
        made = maps.Map(config, predicted(config, size()).axes)
    except ValueError as error:
        say.refuse(str(error))
        return
    if live.launch("map", made.configs, None, training=made, updates=made.steps, subject=config):
        live.command(jobs.Job.stop, *filter(None, [shown]))


def size() -> int:
    """Cells along each side."""
    return int(controls.value("cells", PAGE["cells"]))


def actions() -> None:
    """Measure, stop, and what kind of map."""
    shown = job()
    going = live.going(shown)
    resumes = going and shown.state == jobs.PAUSED and shown.subject == problem_config()
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        title = "Resume" if resumes else "Measure"
        live.run_bar([shown] if going else [], measure, title, "grid_on", width=120)
        controls.segments("kind", PAGE["kind"], KINDS.__getitem__)
        controls.segments("cells", PAGE["cells"], lambda n: f"{n} × {n}")


def summary(config: Config) -> None:
    """The largest stable rates and the curvature, in words."""
    known = config_moments(config)
    prediction = predicted(config, size())
    plain, heavy = (verdict.digits(float(v)) for v in maps.limits(config, pd.Series([0.0, 0.9]).to_numpy()))
    kind = KINDS[controls.value("kind", PAGE["kind"])]
    at = f"**{plain}** at momentum 0 and **{heavy}** at momentum 0.9 ({kind})"
    size_ = min(config.batch_size, config.train_rows)
    largest = verdict.digits(known.largest)
    if prediction.exact:
        condition = verdict.digits(1 / float(known.eigenvalues[-1]))
        rates = f"At batch size {size_} the largest stable learning rate is {at}."
        why = (
            "Exact for this linear model, from the data alone: the largest curvature of the training loss is "
            f"{largest}, its condition number κ {condition}."
        )
    else:
        rates = f"At batch size {size_} training is stable at the initial weights up to {at}."
        why = (
            f"The largest curvature there, {largest}, moves in training, so this is no safe rate: “Recommend "
            "a setting” finds one by pilot runs."
        )
    with st.container(key="verdict"):
        st.markdown(f"{rates} {why}")


def panel() -> None:
    """The map: predicted at once, then filled by real runs; a click trains a cell."""
    config = problem_config()
    shown = job()
    mapped = shown.training if shown and shown.subject == config else None
    prediction = predicted(config, len(mapped.axes.momenta) if mapped else size())
    st.progress(shown.done / shown.steps if mapped else 0.0, text=_progress(shown, config))
    key = f"map-{st.session_state.get('visits', 0)}-{bool(mapped)}"
    event = st.vega_lite_chart(
        maps.drawn(prediction, mapped),
        charts.map_spec(mapped is not None),
        on_select="rerun",
        selection_mode=["cell"],
        key=key,
        height=HEIGHT,
        alt=ALT,
    )
    picked = event.selection.get("cell") if event else None
    if picked:
        st.session_state["visits"] = st.session_state.get("visits", 0) + 1
        cell = picked[0]
        go_train(float(cell["rate"]), float(cell["momentum"]))
    colour = "loss at the end of a real run" if mapped else "steps that shrink the error to a tenth"
    bands = "stability limit, dashed lines are 0.7 and 2 times it: safe below, unsafe above"
    if not prediction.exact:
        bands = "stability limit at the initial weights, dashed lines are 0.7 and 2 times it"
    st.caption(
        f"**What to notice** Colour is the {colour}; brighter is better, red diverges. The white line is the "
        f"{bands}. Thin diagonals have the same effective step. Click a cell to train it."
    )


def _progress(shown: jobs.Job | None, config: Config) -> str:
    if shown is None:
        return live.GONE.replace("run", "map") if live.gone("map") else "Predicted, before any training"
    if shown.subject != config:
        return "Predicted, before any training · the measured map is of other settings"
    measured = int(shown.training.measured.sum()) if shown.training else 0
    total = len(shown.configs)
    if shown.state == jobs.QUEUED and shown.position:
        return f"Number {shown.position} in the queue"
    words = "Measuring" if shown.state == jobs.RUNNING else shown.state.capitalize()
    return f"{words} · {measured:,} of {total:,} runs"


def go_train(rate: float, momentum: float) -> None:
    """Opens the Train page with a setting, and starts it."""
    kind = controls.value("kind", PAGE["kind"])
    words = controls.words()
    words |= {"optimizer": kind, "learning_rate": f"{rate:.3g}", "momentum": f"{momentum:.3g}", "run": "true"}
    words.pop("job", None)
    st.switch_page("pages/train.py")


def go_compare(found: recommend.Recommendation) -> None:
    """Opens the Compare page with the recommended setting against plain SGD at its own safe rate."""
    kind = Nesterov if controls.value("kind", PAGE["kind"]) == "nesterov" else Momentum
    limit = ceiling(maps.with_rule(problem_config(), found.learning_rate, 0.0))
    best = kind(learning_rate=found.learning_rate, momentum=found.momentum)
    rivals = (SGD(learning_rate=limit.safe if limit else found.learning_rate), best)
    words = controls.words()
    words |= {"rivals": Rivals().text(rivals), "mode": "own", "seeds": "5", "run": "true"}
    words.pop("race", None)
    st.switch_page("pages/compare.py")


def go_tune(found: recommend.Recommendation) -> None:
    """Opens the Tune page with a search around the recommended setting: a tenth to three times its rate."""
    kind = controls.value("kind", PAGE["kind"])
    low, high = (
        max(found.learning_rate / 10, LEARNING_RATE.low),
        min(3 * found.learning_rate, LEARNING_RATE.high),
    )
    words = controls.words()
    words |= {"optimizer": kind, "learning_rate": f"{found.learning_rate:.3g}"}
    words |= {"momentum": f"{found.momentum:.3g}", "run": "true"}
    words["space"] = f"learning_rate:{low:.2g}:{high:.2g},momentum:0:0.99"
    for word in ("tune", "study", "beside", "truth"):
        words.pop(word, None)
    st.switch_page("pages/tune.py")


def check() -> None:
    """Finds a setting for the problem and tries it with short runs, unless they go on."""
    controls.touch()
    if live.going(checking()):
        return
    config = problem_config()
    try:
        found = advice(config)
        tried = recommend.checks(config, found)
    except ValueError as error:
        say.refuse(str(error))
        return
    live.launch("check", tried, None, subject=(config, found))


def checking() -> jobs.Job | None:
    """The short runs that the page shows, if they are of this problem."""
    shown = live.job("check")
    return shown if shown is not None and shown.subject[0] == problem_config() else None


def recommendation() -> None:
    """One setting, why, and what short runs say to it."""
    shown = checking()
    if shown is None:
        st.caption("A learning rate and a momentum for this problem, tested by short runs.")
        return
    found = shown.subject[1]
    st.markdown(
        f"Learning rate **{verdict.digits(found.learning_rate)}**, momentum "
        f"**{verdict.digits(found.momentum)}**. {say.plain(found.reason)}"
    )
    if shown.training is None:
        return
    table = recommend.validate(shown.training)
    if shown.over:
        st.markdown(say.plain(recommend.validation_sentence(table, found)))
    st.table(_rows(table[table["checked"]]))
    found = replace(found, learning_rate=recommend.settled(table, found)) if shown.over else found
    with st.container(horizontal=True):
        if st.button("Train it", icon=":material/play_arrow:", key="go_train"):
            go_train(found.learning_rate, found.momentum)
        if st.button("Compare it with SGD", icon=":material/compare_arrows:", key="go_compare"):
            go_compare(found)
        if st.button("Tune around it", icon=":material/tune:", key="go_tune"):
            go_tune(found)


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    rates = [f"{row.factor:g} × · {verdict.digits(row.learning_rate)}" for row in table.itertuples()]
    rows = {
        "Learning rate": rates,
        "Diverged": [f"{row.diverged:.0%}" for row in table.itertuples()],
        "Updates to target": [_interval(row) for row in table.itertuples()],
        "Final loss": [verdict.digits(row.loss) for row in table.itertuples()],
    }
    return pd.DataFrame(rows).set_index("Learning rate")


def _interval(row: Any) -> str:
    if row.steps == float("inf"):
        return f"missed by {1 - row.reached:.0%}"
    steps, low, high = (verdict.digits(value) for value in (row.steps, row.low, row.high))
    if row.high == float("inf"):
        return f"{steps}, at least {low}; missed by {1 - row.reached:.0%}"
    return f"{steps} [{low}, {high}]"


def batches(config: Config) -> None:
    """Does momentum buy anything at this batch size?"""
    st.markdown("**Does momentum buy anything at this batch size?**")
    try:
        weighed = card(config)
    except recommend.NoCard as none:
        st.caption(say.plain(str(none)))
        return
    st.markdown(say.plain(recommend.batch_sentence(weighed, min(config.batch_size, config.train_rows))))
    frame = pd.DataFrame(
        {"batch": weighed["batch_size"], "plain": weighed["plain"], "momentum_step": weighed["with_momentum"]}
    )
    frame["here"] = float("nan")
    frame.loc[len(frame), "here"] = min(config.batch_size, config.train_rows)
    st.vega_lite_chart(
        frame.astype("float32"), charts.card_spec(), height=230, alt="Largest usable effective step."
    )


def test_range() -> None:
    """Starts the range test, short runs at constant rates for each momentum, unless it goes on."""
    controls.touch()
    if live.going(ranged()):
        return
    config = problem_config()
    try:
        runs = rangetest.range_configs(config)
    except ValueError as error:
        say.refuse(str(error))
        return
    live.launch("range", runs, None, subject=(config, rangetest.MOMENTA))


def ranged() -> jobs.Job | None:
    """The range test that the page shows, if it is of this problem."""
    shown = live.job("range")
    return shown if shown is not None and shown.subject[0] == problem_config() else None


def range_panel() -> None:
    """The loss after short runs at each rate, with the true limits as lines."""
    shown = ranged()
    if shown is None or shown.training is None or not shown.over:
        st.caption("Each rate has a short run of its own, so that nothing lags behind a rising rate.")
        return
    momenta = shown.subject[1]
    table = rangetest.range_table(shown.training)
    wide = table.pivot(index="learning_rate", columns="momentum", values="loss")
    wide.columns = [f"m{momenta.index(momentum)}" for momentum in wide.columns]
    summary = rangetest.range_summary(shown.training)
    lines = {f"limit{momenta.index(row.momentum)}": row.limit for row in summary.itertuples()}
    frame = pd.concat([wide.rename_axis("rate").reset_index(), pd.DataFrame([lines])], ignore_index=True)
    spec = charts.range_spec(tuple(momenta))
    st.vega_lite_chart(frame.astype("float32"), spec, height=260, alt="Last loss against the learning rate.")
    st.caption(" ".join(_read_off(row) for row in summary.itertuples()))


def _read_off(row: Any) -> str:
    never = row.diverges == float("inf")
    lost = "does not diverge" if never else f"diverges from {verdict.digits(row.diverges)} on"
    best, limit = verdict.digits(row.best), verdict.digits(row.limit)
    return f"Momentum {row.momentum:g}: lowest loss at {best}, {lost}, largest stable rate {limit}."


def draw() -> None:
    """The page."""
    controls.read_link(PAGE, OPENING, _no_preset)
    if controls.words().pop("run", "false") == "true":
        measure()
    shown = job()
    if shown is not None:
        live.watch(shown)
    drawn = live.states(shown)  # before the buttons, which depend on them
    config = problem_config()
    with st.sidebar:
        problem(controls.config())
    frame.head(
        "Stability",
        "how far can learning rate and momentum go on this data?",
        controls.start_link(PAGE, ("map", "check", "range"), None),
    )
    actions()
    summary(config)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        live.follow(shown, panel, drawn=drawn)
    with right:
        batches(config)
        st.button("Recommend a setting", icon=":material/auto_awesome:", key="recommend", on_click=check)
        short = checking()
        if short is not None:
            live.watch(short)
        live.follow(short, recommendation)
    st.markdown("**Range test, per momentum**")
    st.button("Run the range test", icon=":material/show_chart:", key="range", on_click=test_range)
    if (test := ranged()) is not None:
        live.watch(test)
    live.follow(test, range_panel)
    controls.write_link(PAGE)


def _no_preset(name: str) -> dict[str, str]:
    raise ValueError(f"This page has no presets, so preset {name[:80]!r} is ignored.")


frame.guarded(draw)
