"""Train: what does this setting do?"""

from __future__ import annotations

import math
import time
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs, learned, verdict
from core.config import Config
from core.history import CURVE, DIVERGED, Record, curve
from core.optimizers import OPTIMIZERS
from core.presets import PRESETS
from core.registry import Choice, Flag, Interval, Word
from pages import _controls as controls
from pages import _frame  # noqa: F401
from pages import _live as live
from pages._fork import what_if
from pages._problem import momentum_word, problem

PAGE = {
    "run": Flag(False),
    "job": Word(),
    "axis": Choice(("log", "linear"), "log"),
    "speed": Choice(tuple(live.SECONDS), "watch"),
}
HEIGHT = 330
ALT = "Loss against the epoch. The sentence above says what it shows, the data table below has its numbers."


def job() -> jobs.Job | None:
    """The job that the page shows."""
    return live.manager().get(controls.words().get("job", ""))


def start(*, paused: bool = False, at_once: bool = False) -> None:
    """Starts a run of what the page shows, unless one has just been started."""
    controls.touch()
    shown = job()
    if shown is not None and live.mine(shown) and not shown.over:
        return
    launch(controls.config(), paused=paused, at_once=at_once)


def launch(config: Config, *, paused: bool = False, at_once: bool = False) -> bool:
    """Submits a job and shows it; whether there is a new one."""
    try:
        seconds = None if at_once else live.SECONDS[controls.value("speed", PAGE["speed"])]
        new = live.launch([config], seconds, paused=paused)
    except jobs.Refused as refusal:
        st.session_state["wrong"] = [str(refusal)]
        return False
    if new:
        controls.words()["job"] = new.id
    return new is not None


def restart() -> None:
    """Runs the same config again, from the same first weights."""
    controls.touch()
    if (shown := job()) is not None:
        relaunch(shown, shown.configs[0])


def relaunch(shown: jobs.Job | None, config: Config) -> None:
    """Submits a job in the place of another; the second click of a double click leaves the new one alone."""
    if launch(config) and live.mine(shown):
        shown.stop()


def step() -> None:
    """One update: of the paused run, or of a new one."""
    controls.touch()
    shown = job()
    if shown is None or shown.over or not live.mine(shown):
        start(paused=True)
        shown = job()
    if shown is not None and live.mine(shown):
        shown.step()
        shown.wait()


def command(name: str) -> None:
    """Passes a command on to the job; a second click within a moment is the same click."""
    controls.touch()
    if live.mine(shown := job()) and not controls.again(name):
        getattr(shown, name)()
        shown.wait()


def changed(word: str, value: object) -> None:
    """A hyperparameter was moved: a run that goes on follows it."""
    shown = job()
    if (
        live.mine(shown)
        and not shown.over
        and isinstance(shown.configs[0].optimizer.settings().get(word), Interval)
    ):
        shown.change(word, value)


def take_preset() -> None:
    """Takes over all settings of the preset that was picked, and runs it."""
    if (name := controls.heard("w_preset")) is None:
        return
    controls.replace_words(PRESETS[name].config.to_query(), PAGE, ("axis", "speed"))
    launch(PRESETS[name].config)


def presets(config: Config) -> None:
    """The menu of presets."""
    controls.show("w_preset", _preset(config))
    st.selectbox(
        "Preset",
        list(PRESETS),
        key="w_preset",
        format_func=lambda name: PRESETS[name].title,
        placeholder="Your own settings",
        on_change=take_preset,
    )


def _preset(config: Config) -> str | None:
    """The preset that has just these settings."""
    return next((name for name, preset in PRESETS.items() if preset.config == config), None)


def actions(config: Config) -> None:
    """What can be done: start and steer."""
    shown = job()
    state = shown.state if live.mine(shown) else ""
    going = state in (jobs.RUNNING, jobs.QUEUED)
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        st.button(
            "Start",
            icon=":material/play_arrow:",
            type="primary",
            key="start",
            on_click=start,
            disabled=going or state == jobs.PAUSED,
        )
        if state == jobs.PAUSED:
            st.button("Resume", icon=":material/resume:", key="pause", on_click=command, args=("resume",))
        else:
            st.button(
                "Pause",
                icon=":material/pause:",
                key="pause",
                on_click=command,
                args=("pause",),
                disabled=not going,
            )
        st.button(
            "Step", icon=":material/skip_next:", key="step", on_click=step, disabled=going, help="One update"
        )
        st.button(
            "Stop",
            icon=":material/stop:",
            key="stop",
            on_click=command,
            args=("stop",),
            disabled=not (going or state == jobs.PAUSED),
        )
        st.button(
            "Restart",
            icon=":material/replay:",
            key="restart",
            on_click=restart,
            disabled=shown is None,
            help="The same run again, from the same first weights",
        )
        controls.segments("speed", PAGE["speed"], str.capitalize, speed)
        what_if(shown, {"this run": 0})
    left, right = st.columns(2)
    with left:
        rate = config.optimizer.settings()["learning_rate"]
        controls.dial("learning_rate", rate, controls.log_grid(rate), changed)
    with right:
        word = momentum_word(config)
        if record := config.optimizer.settings().get(word):
            controls.dial(
                word, record, [m for m in controls.MOMENTA if record.low <= m <= record.high], changed
            )


def speed(word: str, name: str) -> None:
    """The run that goes on takes the new speed at once."""
    if live.mine(shown := job()):
        seconds = live.SECONDS[name]
        shown.set_pace(shown.steps / seconds if seconds else None)


def panel() -> None:
    """Progress, verdict, curves, picture and numbers of the job; the same elements whatever its state."""
    shown = job()
    training = shown.training if shown else None
    records = training.records(0) if training else []
    config = _now(shown) if shown else None
    limit = verdict.ceiling(config) if training else None
    st.progress(_fraction(shown), text=_progress(shown, records))
    said = verdict.verdict(config, records, limit) if config else "Press Start to train."
    with st.container(key="verdict"):
        words, offer = st.columns([5, 1], vertical_alignment="top")
        words.markdown(f"{said} {shown.reason}" if shown else said)
        with offer:
            _offer(limit)
    curves, learned = st.columns([3, 2])
    with curves:
        st.vega_lite_chart(_curve(training), charts.loss_spec(_log()), key="loss", alt=ALT, height=HEIGHT)
    with learned:
        _picture(shown)
    _numbers(shown, records)


def _now(shown: jobs.Job) -> Config:
    """The config of a job with the hyperparameters that it has by now."""
    return shown.configs[0] if shown.training is None else shown.training.config(0)


def _log() -> bool:
    return controls.value("axis", PAGE["axis"]) == "log"


def _fraction(shown: jobs.Job | None) -> float:
    return shown.done / shown.steps if shown and shown.steps else 0.0


def _progress(shown: jobs.Job | None, records: list[Record]) -> str:
    if shown is None:
        return "Ready"
    config = shown.configs[0]
    if shown.state == jobs.QUEUED and shown.position:
        return f"Number {shown.position} in the queue"
    if shown.over and _now(shown) != controls.config():
        return "These curves are of other settings than now: Start trains those of now."
    epoch = min(shown.done // config.steps_per_epoch + 1, config.epochs)
    where = f"epoch {epoch} of {config.epochs}, update {shown.done:,} of {config.steps:,}"
    if shown.state == jobs.RUNNING:
        return f"Running · {where} · {shown.left:.0f} s left"
    lost = bool(records) and records[-1].status == DIVERGED
    return f"{'Diverged' if lost else shown.state.capitalize()} · {where}"


def _offer(limit: verdict.Ceiling | None) -> None:
    """A button that sets the largest safe rate."""
    text = f"Use {verdict.digits(limit.safe)}" if limit else "Safe rate"
    help_ = (
        "Sets 0.7 times the largest learning rate that holds, and starts again."
        if limit
        else "Known after a start."
    )
    if st.button(text, key="safe", disabled=limit is None, help=help_, width="stretch") and limit:
        controls.put("learning_rate", OPTIMIZERS["sgd"].settings()["learning_rate"], limit.safe)
        relaunch(job(), controls.config())
        st.rerun()


def _curve(training: Any) -> pd.DataFrame:
    if training is None:
        return pd.DataFrame(columns=list(CURVE), dtype="float32")
    stack, seat = training.place(0)
    return curve(stack.history, seat, stack.steps_per_epoch, stack.configs[seat].epochs)


def _picture(shown: jobs.Job | None) -> None:
    """What the run has learned; drawn anew when an epoch has ended, of a run at full speed once a second."""
    config = shown.configs[0] if shown else controls.config()
    kind = learned.kind(config)
    key = (shown.id, shown.done // config.steps_per_epoch, shown.over) if shown and shown.training else None
    held, table, moment = st.session_state.get("picture", (None, None, 0.0))
    now = time.monotonic()
    fresh = held == key or (held and key and held[::2] == key[::2] and not shown.pace and now - moment < 1)
    if key is None:
        table = None
    elif not fresh:
        table = learned.picture(shown.training).table
        st.session_state["picture"] = (key, table, now)
    spec, columns = _picture_spec(kind, config)
    frame = pd.DataFrame(columns=list(columns), dtype="float32") if table is None else table
    st.vega_lite_chart(frame, spec, key=f"learned-{kind}", height=HEIGHT, alt=learned.WORDS[kind])


def _picture_spec(kind: str, config: Config) -> tuple[dict[str, object], tuple[str, ...]]:
    data = config.dataset
    if kind == learned.MAP:
        return charts.decision_spec(data.class_names, *data.feature_names), charts.DECISION_COLUMNS
    if kind == learned.CONFUSION:
        return charts.confusion_spec(data.class_names), charts.CONFUSION_COLUMNS
    if kind == learned.FIT:
        return charts.fit_spec(data.feature_names[0], data.target_name), charts.FIT_COLUMNS
    return charts.predicted_spec(data.unit), charts.PREDICTED_COLUMNS


def _numbers(shown: jobs.Job | None, records: list[Record]) -> None:
    """The last record in figures."""
    last = records[-1] if records else None
    data = shown.configs[0].dataset if shown else None
    judged = last and (last.valid_loss if math.isfinite(last.valid_loss) else last.train_loss)
    metric = last and (last.valid_metric if math.isfinite(last.valid_metric) else last.train_metric)
    figures = [
        ("Training loss", last and last.train_loss, verdict.digits, ""),
        ("Validation loss", last and last.valid_loss, verdict.digits, ""),
        (
            "Gradient norm",
            last and last.gradient_norm,
            verdict.digits,
            "Of the last mini-batch of the epoch.",
        ),
        (
            "Updates a second",
            shown and shown.rate,
            lambda v: f"{v:,.0f}",
            "What this machine makes at full speed.",
        ),
    ]
    if data and data.classes:
        figures.insert(
            2, ("Right", metric, lambda v: f"{100 * v:.1f} %", "Share of rows whose class is right.")
        )
    else:
        spread = shown.training.problem(0).target_spread if shown and shown.training else 1.0
        unit = f" ({data.unit})" if data and data.unit else ""
        error = judged and math.sqrt(judged) * spread
        figures.insert(
            2, (f"Typical error{unit}", error, verdict.digits, "Root mean square, in the data's own unit.")
        )
    for cell, (name, value, text, explained) in zip(st.columns(len(figures)), figures, strict=True):
        known = value is not None and math.isfinite(value)
        cell.metric(name, text(value) if known else "–", help=explained or None)


def under(config: Config) -> None:
    """The rule that really runs, and the figures as a table."""
    shown = job()
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        st.latex(config.optimizer.equation)
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        controls.segments("axis", PAGE["axis"], str.capitalize)
        name = _preset(config)
    if name:
        st.caption(f"**What to notice** {PRESETS[name].look}")
    step = config.optimizer.effective_step
    reach = (
        f" Against a steady slope its step grows to {verdict.digits(step)}."
        if step and momentum_word(config) in config.optimizer.settings()
        else ""
    )
    st.caption(f"**The rule** {(type(config.optimizer).__doc__ or '').splitlines()[0]}{reach}")
    with st.expander("Data table", on_change="rerun", key="table") as table:
        if table.open and shown and shown.training:
            st.dataframe(pd.DataFrame(shown.training.records(0)), hide_index=True)


def main() -> None:
    """The page."""
    wrong = controls.read_link(PAGE)
    config = controls.config()
    if controls.words().pop("run", "false") == "true":
        launch(config)
    elif "job" not in controls.words() and not controls.opened_by_link():
        launch(config, at_once=True)
    if (shown := job()) is not None:
        live.watch(shown)
    with st.sidebar:
        presets(config)
        problem(config, changed)
    st.markdown("**Train** · what does this setting do?")
    controls.complain(st.session_state.get("wrong", wrong))
    actions(config)
    live.follow(shown, panel)
    under(config)
    controls.write_link(PAGE)


main()
