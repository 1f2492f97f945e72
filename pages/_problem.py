"""The problem, which every page shares: data, model, batches, seed. Drawn in the sidebar."""

from __future__ import annotations

import streamlit as st

from core.config import Config
from core.datasets import DATASETS, thumbnail
from core.models import MODELS
from core.optimizers import OPTIMIZERS
from core.schedules import MOMENTUM_SCHEDULES, SCHEDULES
from pages import _controls as controls


def problem(config: Config, changed: controls.Changed | None = None) -> None:
    """The problem in the sidebar: data, model, batches, seed; and the rule where a page has just one.

    Args:
        config: What the words say.
        changed: Called when a hyperparameter is moved; None leaves the rule out.
    """
    data = config.dataset
    controls.pick("dataset", list(DATASETS), lambda name: DATASETS[name].title, data.name, _picked)
    picture, words = st.columns([1, 3], vertical_alignment="center")
    picture.image(thumbnail(data), width=64)
    words.caption(f"{data.rows:,} rows  \n{data.inputs} input{'s' * (data.inputs > 1)}  \n{_task(config)}")
    if data.note:
        st.caption(data.note)
    for word, record in data.settings().items():
        controls.control(word, record)
    controls.control("scale", Config.settings()["scale"])
    models = [name for name, kind in MODELS.items() if data.image_shape or not kind.needs_images]
    controls.pick("model", models, lambda name: MODELS[name].title, config.model.name, _picked)
    for word, record in config.model.settings().items():
        controls.control(word, record)
    if changed:
        _rule(config, changed)
    left, right = st.columns(2)
    with left:
        controls.control("batch_size", Config.settings()["batch_size"])
    with right:
        controls.control("epochs", Config.settings()["epochs"])
    if config.batch_size >= config.train_rows:
        st.caption(f"All {config.train_rows:,} training rows are one batch.")
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        controls.control("seed", Config.settings()["seed"])
    right.button(
        "", icon=":material/casino:", help="Another seed", key="dice", on_click=roll, width="stretch"
    )
    with st.expander("Schedules, validation"):
        controls.pick(
            "schedule", list(SCHEDULES), lambda name: SCHEDULES[name].title, config.schedule.name, _picked
        )
        for word, record in config.schedule.settings().items():
            controls.control(word, record)
        titles = {name: kind.title for name, kind in MOMENTUM_SCHEDULES.items()}
        controls.pick(
            "momentum_schedule", list(titles), titles.__getitem__, config.momentum_schedule.name, _picked
        )
        for word, record in config.momentum_schedule.settings().items():
            if word not in config.schedule.settings():
                controls.control(word, record)
        controls.control("valid_fraction", Config.settings()["valid_fraction"])


def _rule(config: Config, changed: controls.Changed) -> None:
    controls.pick(
        "optimizer", list(OPTIMIZERS), lambda name: OPTIMIZERS[name].title, config.optimizer.name, _picked
    )
    with st.expander("More of the rule"):
        for word, record in config.optimizer.settings().items():
            if word not in ("learning_rate", momentum_word(config)):
                controls.control(word, record, changed)


def roll() -> None:
    """Another seed: other split, first weights and batches."""
    seed = Config.settings()["seed"]
    controls.put("seed", seed, (controls.value("seed", seed) + 1) % 1000)


def momentum_word(config: Config) -> str:
    """The setting of the rule that acts as momentum; "momentum" also where it has none."""
    return config.optimizer.momentum_name or "momentum"


def _task(config: Config) -> str:
    return f"{config.dataset.classes} classes" if config.dataset.classes else "regression"


def _picked(word: str, name: str) -> None:
    """Something else was _picked from a menu."""
    controls.words()[word] = name
    config, wrong = Config.read(controls.settings())
    if wrong:
        controls.words()["model"] = config.model.name
        st.toast(f"The model is now {config.model.title}: {wrong[-1]}")
