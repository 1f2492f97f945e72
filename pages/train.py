"""Train: what does this setting do?"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs, learned, verdict
from core import limit as limits
from core.compare import metric_name
from core.config import Config
from core.history import CURVE, DIVERGED, Record, curve, table
from core.optimizers import LEARNING_RATE
from core.presets import OPENING, PRESETS
from core.registry import Choice, Flag, Interval, Word
from pages import _controls as controls
from pages import _frame as frame
from pages import _live as live
from pages import _say as say
from pages._fork import what_if
from pages._problem import momentum_word, problem

PAGE = {
    "run": Flag(False),
    "job": Word(),
    "axis": Choice(("log", "linear"), "log"),
    "speed": live.SPEED,
}
HEIGHT = 320
ALT = "Loss against the epoch. The sentence above says what it shows, the data table below has its numbers."


def job() -> jobs.Job | None:
    """The job that the page shows."""
    return live.job("job")


def start() -> None:
    """Trains what the page shows: goes on with it where it is paused, leaves it alone where it goes on."""
    controls.touch()
    begin()


def begin(*, paused: bool = False) -> None:
    """As `start`; what goes on with other settings makes room for a new run."""
    shown = job()
    if live.going(shown) and _now(shown) == controls.config():
        if shown.state == jobs.PAUSED and not paused:
            shown.resume()
            shown.wait()
        return
    relaunch(shown, controls.config(), paused=paused)


def relaunch(shown: jobs.Job | None, config: Config, **more: Any) -> None:
    """Submits a job in the place of another."""
    if live.launch("job", [config], live.pace(), **more) and live.going(shown):
        shown.stop()


def restart(job_id: str) -> None:
    """Runs the config of a job again, from the same first weights.

    The button of another job is another widget, so the second click of a double click means the same job.
    """
    controls.touch()
    if (shown := job()) is not None and shown.id == job_id:
        relaunch(shown, shown.configs[0])


def step() -> None:
    """One update: of the paused run, or of a new one."""
    controls.touch()
    if not live.going(job()):
        begin(paused=True)
    live.command(jobs.Job.step, *filter(None, [job()]))


def changed(word: str, value: object) -> None:
    """A hyperparameter was moved: a run that goes on follows it."""
    shown = job()
    if live.going(shown) and isinstance(shown.configs[0].optimizer.settings().get(word), Interval):
        shown.change(word, value)


def take_preset(name: str) -> None:
    """Takes over all settings of the preset that was picked, and runs it."""
    shown = job()
    controls.replace_words(PRESETS[name].config.to_query(), PAGE, ("axis", "speed"))
    relaunch(shown, PRESETS[name].config)


def presets(config: Config) -> None:
    """The menu of presets."""
    controls.pick(
        "w_preset",
        list(PRESETS),
        lambda name: PRESETS[name].title,
        _preset(config),
        take_preset,
        placeholder="Your own settings",
    )


def _preset(config: Config) -> str | None:
    """The preset that has just these settings."""
    return next((name for name, preset in PRESETS.items() if preset.config == config), None)


def actions(config: Config) -> None:
    """What can be done: start and steer."""
    shown = job()
    going = live.going(shown)
    paused = going and shown.state == jobs.PAUSED
    resumes = paused and _now(shown) == config
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        live.run_bar([shown] if going else [], start, "Resume" if resumes else "Start", width=110)
        st.button(
            "Step",
            icon=":material/skip_next:",
            key="step",
            on_click=step,
            disabled=going and not paused,
            help="One update",
        )
        run = shown.id if shown else ""
        st.button(
            "Restart",
            icon=":material/replay:",
            key=controls.key("restart", run),
            on_click=restart,
            args=(run,),
            disabled=shown is None,
            help="The same run again, from the same first weights",
        )
        live.speeds("job")
        what_if(shown, {"this run": 0})
    left, right = st.columns(2)
    with left:
        rate = config.optimizer.settings()["learning_rate"]
        controls.dial("learning_rate", rate, controls.grid(rate), changed)
    with right:
        word = momentum_word(config)
        if record := config.optimizer.settings().get(word):
            stops = [m for m in controls.MOMENTA if record.low <= m <= record.high]
            controls.dial(word, record, stops, changed)


def panel() -> None:
    """Progress, verdict, curves, picture and numbers of the job; the same elements whatever its state."""
    shown = job()
    training = shown.training if shown else None
    records = training.records(0) if training else []
    config = _now(shown) if shown else None
    limit = limits.known(config) if config and training else None
    st.progress(_fraction(shown), text=_progress(shown, records))
    with st.container(key="verdict"):
        words, offer = st.columns([5, 1], vertical_alignment="top")
        words.markdown(say.plain(_said(shown, config, records, limit)))
        with offer:
            _offer(config if training else None, limit)
    curves, picture = st.columns([3, 2])
    with curves:
        st.vega_lite_chart(_curve(training), charts.loss_spec(_log()), key="loss", alt=ALT, height=HEIGHT)
    with picture:
        _picture(shown)
    with st.container(key="notice"):
        name = _preset(controls.config())
        st.caption(f"**What to notice** {PRESETS[name].look}" if name else "")
    _numbers(shown, records)


def _said(
    shown: jobs.Job | None, config: Config | None, records: list[Record], limit: limits.Ceiling | None
) -> str:
    """What the run shows, in words."""
    if shown is None or config is None:
        return live.GONE if live.gone("job") else "Press Start to train."
    changed = _now(shown) != controls.config()
    return " ".join(
        filter(None, [live.CHANGED if changed else "", verdict.verdict(config, records, limit), shown.reason])
    )


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
    epoch = min(shown.done // config.steps_per_epoch + 1, config.epochs)
    where = f"epoch {epoch} of {config.epochs}, update {shown.done:,} of {config.steps:,}"
    if shown.state == jobs.RUNNING:
        return f"Running · {where} · {shown.left:.0f} s left"
    lost = bool(records) and records[-1].status == DIVERGED
    return f"{'Diverged' if lost else shown.state.capitalize()} · {where}"


def _offer(config: Config | None, limit: limits.Ceiling | None) -> None:
    """A button that sets the largest safe rate; where only pilot runs can find it, first one that does."""
    finds = config is not None and limit is None and limits.estimated(config)
    text = f"Use {verdict.digits(limit.safe)}" if limit else "Find safe rate" if finds else "Safe rate"
    help_ = "Known for SGD, momentum and Nesterov, after a start."
    if limit:
        help_ = (
            f"Sets the learning rate to {100 * limits.SAFE:.0f} % of the largest stable rate, {limit.how}, "
            "and starts again."
        )
    elif finds:
        help_ = "Makes short pilot runs at rising learning rates; they take a second or two."
    if finds and limits.looked_for(config):
        help_ = (
            "Pilot runs found no limit: all of them held, or none did, or this problem is too large for them."
        )
        finds = False
    st.button(
        text if finds or limit else "Safe rate",
        key="find" if finds else "safe",
        on_click=find_rate if finds else use_rate,
        args=(config,) if finds else (limit.safe if limit else 0.0,),
        disabled=not (finds or limit),
        help=help_,
        width="stretch",
    )


def find_rate(config: Config) -> None:
    """Looks for the largest stable rate by pilot runs; the page knows it from then on."""
    controls.touch()
    limits.ceiling(config)


def use_rate(rate: float) -> None:
    """Sets a learning rate and trains with it from the first weights."""
    controls.touch()
    before = controls.config()
    if controls.put("learning_rate", LEARNING_RATE, rate) and controls.config() != before:
        relaunch(job(), controls.config())


def _curve(training: Any) -> pd.DataFrame:
    if training is None:
        return pd.DataFrame(columns=list(CURVE), dtype="float32")
    stack, seat = training.place(0)
    return curve(stack.history, seat, stack.steps_per_epoch, stack.configs[seat].epochs)


def _picture(shown: jobs.Job | None) -> None:
    """What the run has learned; drawn anew when an epoch has ended."""
    config = shown.configs[0] if shown else controls.config()
    kind = learned.kind(config)
    key = (shown.id, shown.done // config.steps_per_epoch, shown.over) if shown and shown.training else None
    held, table = st.session_state.get("picture", (None, None))
    if key is None:
        table = None
    elif held != key:
        table = learned.picture(shown.training).table
        st.session_state["picture"] = (key, table)
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
            "Updates/s",
            shown and shown.rate,
            lambda v: f"{v:,.0f}",
            "What this machine makes at full speed.",
        ),
    ]
    if data and data.classes:
        figures.insert(
            2,
            (
                "Accuracy",
                metric,
                lambda v: f"{100 * v:.1f} %",
                "Share of rows that are classified correctly.",
            ),
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
        cell.metric(say.plain(name), text(value) if known else "–", help=explained or None)


def under(config: Config) -> None:
    """The rule that really runs, and the figures as a table."""
    shown = job()
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        st.latex(config.optimizer.equation)
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        controls.segments("axis", PAGE["axis"], str.capitalize)
    step = config.optimizer.effective_step
    reach = (
        f" Against a constant gradient its step grows to {verdict.digits(step)} times the gradient."
        if step and momentum_word(config) in config.optimizer.settings()
        else ""
    )
    st.caption(f"**The rule** {(type(config.optimizer).__doc__ or '').splitlines()[0]}{reach}")
    with st.expander("Data table", on_change=controls.touch, key="table") as opened:
        if opened.open and shown and shown.training:
            name = metric_name(shown.configs[0])
            st.dataframe(table(shown.training.records(0), name), hide_index=True)


def draw() -> None:
    """The page."""
    controls.read_link(PAGE, OPENING.config.to_query(), lambda name: PRESETS[name].config.to_query())
    config = controls.config()
    if controls.words().pop("run", "false") == "true":
        live.launch("job", [config], live.pace())
    elif not controls.words().get("job") and not controls.opened_by_link():
        live.launch("job", [config], None)
    if (shown := job()) is not None:
        live.watch(shown)
    drawn = live.states(shown)  # before the buttons, which depend on them
    with st.sidebar:
        presets(config)
        problem(config, changed)
    frame.head("Train", "what does this setting do?", controls.start_link(PAGE, ("job",), _preset(config)))
    actions(config)
    live.follow(shown, panel, drawn=drawn)
    under(config)
    controls.write_link(PAGE)


frame.guarded(draw)
