"""The problem, which every page shares: data, model, batches, seed. Drawn in the sidebar."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.config import Config
from core.datasets import DATASETS, Dataset, thumbnail
from core.models import MODELS
from core.optimizers import OPTIMIZERS
from core.schedules import MOMENTUM_SCHEDULES, SCHEDULES
from pages import _controls as controls
from pages import _say as say


def problem(config: Config, changed: controls.Changed | None = None) -> None:
    """The problem in the sidebar: data, model, batches, seed; and the rule where a page has just one.

    Args:
        config: What the words say.
        changed: Called when a hyperparameter is moved; None leaves the rule out.
    """
    data = config.dataset
    _menu("dataset", DATASETS, data.name)
    st.html(_facts(data))
    if data.note:
        st.caption(say.plain(data.note))
    for word, record in data.settings().items():
        controls.control(word, record)
    controls.control("scale", Config.settings()["scale"])
    models = {name: kind for name, kind in MODELS.items() if data.image_shape or not kind.needs_images}
    _menu("model", models, config.model.name)
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
        _menu("schedule", SCHEDULES, config.schedule.name)
        for word, record in config.schedule.settings().items():
            controls.control(word, record)
        _menu("momentum_schedule", MOMENTUM_SCHEDULES, config.momentum_schedule.name)
        for word, record in config.momentum_schedule.settings().items():
            if word not in config.schedule.settings():
                controls.control(word, record)
        controls.control("valid_fraction", Config.settings()["valid_fraction"])


def _rule(config: Config, changed: controls.Changed) -> None:
    _menu("optimizer", OPTIMIZERS, config.optimizer.name)
    with st.expander("More of the rule"):
        for word, record in config.optimizer.settings().items():
            if word not in ("learning_rate", momentum_word(config)):
                controls.control(word, record, changed)


def _menu(word: str, entries: Mapping[str, Any], current: str) -> None:
    """A menu of the entries of a registry."""

    def picked(name: str) -> None:
        controls.words()[word] = name
        config, wrong = Config.read(controls.settings())
        if wrong:
            controls.words()["model"] = config.model.name
            say.refuse(f"The model is now {config.model.title}: {wrong[-1]}")

    controls.pick(f"w_{word}", list(entries), lambda name: entries[name].title, current, picked)


def _facts(data: Dataset) -> str:
    """A small picture of the data beside its size and task."""
    picture = base64.b64encode(thumbnail(data)).decode()
    task = f"{data.classes} classes" if data.classes else "regression"
    inputs = f"{data.inputs} input{'s' * (data.inputs > 1)}"
    seen = html.escape(f"Thumbnail of the dataset {data.title}", quote=True)
    return (
        f'<div class="facts"><img alt="{seen}" width="64" height="64" src="data:image/png;base64,{picture}">'
        f"<span>{data.rows:,} rows<br>{inputs}<br>{task}</span></div>"
    )


def roll() -> None:
    """Another seed: other split, first weights and batches."""
    controls.touch()
    seed = Config.settings()["seed"]
    controls.put("seed", seed, (controls.value("seed", seed) + 1) % 1000)


def momentum_word(config: Config) -> str:
    """The setting of the rule that acts as momentum; "momentum" also where it has none."""
    return config.optimizer.momentum_name or "momentum"
