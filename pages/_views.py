"""The views of the Tune page: what the surrogate model says, and what the trials say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs
from core.labels import spoken
from core.search import belief, drawn, ending
from core.search import trials as kept
from core.search.space import Range
from core.search.truth import Truth
from core.sharpness import least_squares
from pages import _controls as controls
from pages import _live as live
from pages import _say as say
from pages import _study as study
from pages import _trials
from pages._study import caption, judged

KINDS = ("belief", "uncertainty", "improvement")
SURFACE = 340
TRY = 320  # pixels, for the words of two numbers
LIMIT = "The white-edged line is the largest stable learning rate, from the data alone."
LOCAL = (
    "The white-edged line is a local estimate of the largest stable learning rate, from the curvature at the "
    "initial weights: training is often stable above it."
)
Shown = dict[str, jobs.Job | None]


def maps(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """Posterior mean and deviation, expected improvement and true loss, over two numbers of the space."""
    plan, process = found.plan, study.belief(found, frame)
    ranges = {r.word: r for r in plan.space.ranges}
    if len(ranges) < 2:
        caption("Maps are drawn over two parameters; this search has one: see Slices.")
        return
    pair = plane(plan.space.words)
    aim = _aim(found, pair)
    alike = _trials.alike(frame, aim) if aim else frame[:0]
    with st.container(horizontal=True, vertical_alignment="bottom", key="plane"):
        if len(ranges) > 2:
            for word, now in zip(("across", "up"), pair, strict=True):
                controls.pick(f"w_{word}", list(ranges), spoken, now, partial(_taken, word), width=190)
        st.button(
            "Measure the true loss",
            icon=":material/grid_on:",
            key="truth",
            on_click=train_truth,
            args=(found, pair),
            help="Trains a grid of up to 25 by 15 settings, each with the seeds of the search.",
        )
        _offer(found, pair, aim, alike)
    axes = (ranges[pair[0]], ranges[pair[1]])
    top = study.best(found, frame)
    held = found.values(top) if top is not None else plan.space.at([0.5] * len(ranges))
    if process is None:
        caption("The surrogate model is fitted once three trials have completed.")
        return
    caption(_aimed(aim, alike))
    ahead = _following(found, frame)
    marks = drawn.points(frame, axes, top, ahead[0] if ahead else _queued(frame))
    limit = drawn.line(belief.limit_line(plan, held, *pair), axes)
    seen = belief.surface(process, plan, plan.space.unit(held), *pair)
    places = [place for _ in range(2) for place in st.columns(2)]
    clicked = partial(_clicked, found, held, pair)
    for place, kind in zip(places, KINDS, strict=False):
        with place:
            _surface(kind, [drawn.cells(kind, seen, plan, axes), marks, limit], axes, clicked)
    with places[3]:
        _truth(found, held, axes, seen, [marks, limit], shown.get("truth"), clicked)
    others = _listed({w: v for w, v in held.items() if w not in pair})
    at = f"The other parameters are those of the best trial: {others}." if others else ""
    line = (LIMIT if least_squares(plan.config) else LOCAL) if len(limit) else ""
    caption(_asked(frame, plan, ahead), at, line)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{spoken(word)} {value:.4g}" for word, value in values.items())


def plane(words: tuple[str, ...]) -> tuple[str, str]:
    """The two numbers that maps are drawn over: as picked, else the first two."""
    across, up = (controls.words().get(word, "") for word in ("across", "up"))
    across = across if across in words else words[0]
    up = up if up in words and up != across else next(w for w in words if w != across)
    return across, up


def _taken(word: str, name: str) -> None:
    controls.words()[word] = name


def _following(found: Any, frame: pd.DataFrame) -> Any:
    """What would be tried next, while nothing is queued or being tried; kept until something is."""
    if frame["state"].isin(_trials.OPEN).any() or found.shared:
        return None
    key = (found.study.study_name, len(frame), int(frame["score"].notna().sum()))
    held, ahead = st.session_state.get("following", (None, None))
    if held != key:
        ahead = kept.following(found.study, found.plan)
        st.session_state["following"] = (key, ahead)
    return ahead


def _queued(frame: pd.DataFrame) -> Any:
    """The setting that is queued first; None when none is."""
    rows = frame[frame["state"] == kept.QUEUED]
    return rows.iloc[0] if len(rows) else None


def _asked(frame: pd.DataFrame, plan: Any, ahead: Any) -> str:
    """Why the trial that was picked was asked; else what would be next, or why the last one was."""
    picked = st.session_state.get("trial")
    rows = frame[frame["number"] == picked] if picked is not None else frame[frame["mean"].notna()]
    if ahead and picked is None:
        return ending.why_next(*ahead, plan)
    return ending.why(rows.iloc[-1], plan) if len(rows) else ""


def _clicked(found: Any, held: dict[str, float], pair: tuple[str, str], key: str) -> None:
    """Keeps the setting that was clicked on a map: all its numbers, as they are at that moment."""
    if cell := st.session_state[key].selection.get("cell"):
        controls.touch()
        at = held | {pair[0]: cell[0]["cx"], pair[1]: cell[0]["cy"]}
        setting = {r.word: r.tidy(at[r.word]) for r in found.plan.space.ranges}
        st.session_state["cell"] = found.study.study_name, pair, setting


def _aim(found: Any, pair: tuple[str, str]) -> dict[str, float]:
    """The setting that was clicked on these maps; empty before a click."""
    study, words, setting = st.session_state.get("cell", ("", (), {}))
    return setting if (study, words) == (found.study.study_name, pair) else {}


def _offer(found: Any, pair: tuple[str, str], aim: dict[str, float], alike: pd.DataFrame) -> None:
    """Queues the setting that was clicked on a map; of one width, so that nothing moves at the click."""
    waits = alike["state"].isin(_trials.OPEN).any()
    st.button(
        say.plain(f"Try {_listed({word: aim[word] for word in pair})}" if aim else "Try a setting"),
        icon=":material/touch_app:",
        key=f"try_cell--{len(alike)}",
        on_click=_trials.enqueue_once,
        args=(found, aim, len(alike)),
        disabled=not aim or waits or not _trials.ours(),
        help="Queues the setting that was clicked on a map as the next trial. Parameters that the maps do "
        "not show are as in the best trial at the click.",
        width=TRY,
        wrap=False,
    )


def _aimed(aim: dict[str, float], alike: pd.DataFrame) -> str:
    """All numbers of the setting that was clicked, and what has become of it."""
    if not aim:
        return "Click a map to choose a setting to try."
    setting = _listed(aim)
    if not len(alike):
        return f"{setting[:1].upper()}{setting[1:]}."
    last = alike.iloc[-1]
    become = {kept.QUEUED: "Queued", kept.RUNNING: "Running"}.get(last["state"], "Completed")
    return f"{become} as trial {last['number']}: {setting}."


def _surface(
    kind: str, parts: list[pd.DataFrame], axes: tuple[Range, Range], clicked: Callable[[str], None]
) -> None:
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(charts.SURFACE_COLUMNS))
    x, y = ((spoken(r.word), r.scale) for r in axes)
    words = (
        "Map of the surrogate's posterior mean, its standard deviation, expected improvement, or true loss."
    )
    key = f"map-{kind}-{axes[0].word}-{axes[1].word}"
    st.vega_lite_chart(
        table.astype("float32"),
        charts.surface_spec(kind, x, y),
        key=key,
        on_select=partial(clicked, key),
        selection_mode=["cell"],
        height=SURFACE,
        alt=words,
    )


def train_truth(found: Any, pair: tuple[str, str]) -> None:
    """Trains the grid of real runs over two numbers; once for a best trial, however often it is asked for."""
    controls.touch()
    top = study.best(found, found.table())
    if top is None:
        say.refuse("The true loss is measured around the best trial, and no trial has completed yet.")
        return
    made = Truth(found.plan, found.values(top), *pair)
    now = live.job("truth")
    if now is not None and now.subject == (found, pair):
        there = (
            now.state not in (jobs.STOPPED, jobs.FAILED) and _elsewhere(now.training, made.held, pair) == {}
        )
        if there or not now.over:
            return
    live.launch("truth", made.configs, None, training=made, updates=made.steps, subject=(found, pair))


def _elsewhere(made: Truth, held: Mapping[str, float], pair: tuple[str, str]) -> dict[str, float]:
    """The values at which the true loss was measured that are other ones than `held`."""
    return {w: v for w, v in made.held.items() if w not in pair and v != held[w]}


def _truth(
    found: Any,
    held: dict[str, float],
    axes: tuple[Range, Range],
    seen: belief.Surface,
    parts: list[pd.DataFrame],
    job: jobs.Job | None,
    clicked: Callable[[str], None],
) -> None:
    """The map of real runs; grey cells on the model's own axes where they are not trained at what is held."""
    pair = (axes[0].word, axes[1].word)
    job = job if job is not None and job.subject == (found, pair) else None
    made = job.training if job else None
    old = _elsewhere(made, held, pair) if made else {}
    if made is None or old:
        cells = drawn.grid(seen.x, seen.y, seen.mean * float("nan"), axes)
    else:
        cells = drawn.grid(made.x, made.y, drawn.logs(made.scores, found.plan), axes)
    _surface("truth", [cells, *parts], axes, clicked)
    if old:
        caption(f"The true loss was measured at {_listed(old)}; measure it again for the best trial of now.")
    if job is not None and job.reason:
        caption(job.reason)


def slices(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """One picture for each number: the model's band through the best setting, and the trials."""
    plan, process = found.plan, study.belief(found, frame)
    top = study.best(found, frame)
    held = plan.space.unit(found.values(top)) if top is not None else [0.5] * len(plan.space.ranges)
    columns = st.columns(min(3, len(plan.space.ranges)))
    for k, r in enumerate(plan.space.ranges):
        table = drawn.sliced(process, frame, plan, held, r, top)
        with columns[k % len(columns)]:
            st.vega_lite_chart(
                table,
                charts.slice_spec((spoken(r.word), r.scale), judged(found)),
                key=f"slice-{r.word}",
                height=240,
                alt="Loss along one parameter: the surrogate's mean and deviation, and the trials.",
            )
    caption(
        "The band is the surrogate's posterior mean with one standard deviation, along each parameter "
        "through the best setting.",
        "The points are all trials; their other parameters differ.",
    )


def parallel(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """Every trial as a line over its numbers; a box across an axis picks some."""
    table = drawn.parallel(frame, found.plan, study.best(found, frame))
    names = (*map(spoken, found.plan.space.words), "loss")
    st.vega_lite_chart(
        table,
        charts.parallel_spec(names),
        key="parallel",
        height=320,
        alt="Each trial as a line over its numbers.",
    )
    caption("Draw a box across an axis to keep the trials that pass there; double-click to keep all.")


def importances(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """How much of the variation each number has a part in."""
    process = study.belief(found, frame)
    if process is None:
        caption("Importances are known once three trials have completed.")
        return
    key = (found.study.study_name, len(process.values))
    held, table = st.session_state.get("shares", (None, None))
    if held != key:
        table = belief.importances(process, found.plan)
        st.session_state["shares"] = (key, table)
    bars = pd.DataFrame(
        {
            "which": range(len(table)),
            "share": table["share"],
            "low": (table["share"] - table["error"]).clip(0, 1),
            "high": (table["share"] + table["error"]).clip(0, 1),
        }
    )
    names = tuple(spoken(word) for word in table["word"])
    st.vega_lite_chart(
        bars.astype("float32"),
        charts.importance_spec(names),
        key="importances",
        height=60 + 44 * len(names),
        alt="Importance of each number.",
    )
    caption(
        "Total-effect Sobol indices of the surrogate over the whole search space: the share of the variance "
        "that is gone when a parameter is fixed.",
        "Interactions count for each parameter in them, so the shares may add up to more than 1.",
        "The error bar is the surrogate's own uncertainty; it is too narrow while trials are few.",
    )


def worth(found: Any, frame: pd.DataFrame | None, shown: Shown, act: Callable[[], None]) -> None:
    """This search against random and grid search with the same budget.

    Args:
        found, frame, shown: As of the other views; there may be no search yet.
        act: Starts the two.
    """
    other = shown.get("beside")
    known = other is not None and found is not None and other.subject == found.plan
    rivals = other.training.searches if known and other.training else {}
    there = known and other.state not in (jobs.STOPPED, jobs.FAILED)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Run random and grid search",
            icon=":material/stacked_line_chart:",
            key="beside",
            on_click=act,
            disabled=found is None or there,
        )
        caption("Each gets the budget of this search: as many trials, on the same seeds.")
    if other is not None and other.reason:
        caption(other.reason)
    if not rivals:
        return
    random = rivals["random"].table()
    scores = random["score"].dropna().to_numpy(float)
    if len(scores) > 1:
        table = drawn.chance(
            ending.expected_best(scores), found.plan, found.target, _found_loss(found, frame)
        )
        st.vega_lite_chart(
            table.astype("float32"),
            charts.chance_spec(judged(found)),
            key="chance",
            height=260,
            alt="Expected best of k random trials.",
        )
    if found.checks and not other.training.active:
        ends = {name.capitalize(): (r.checks or (None,))[0] for name, r in rivals.items()}
        st.markdown(say.plain(ending.helped(found.checks[0], ends, found.plan)))
    elif found.checks == ():
        st.markdown("All trials of this search diverged, so there is nothing to compare.")
    else:
        caption("The comparison follows once all three have run their best again on fresh seeds.")
    caption(
        "The curve is the expected best of k random trials, from the random search.",
        "Where it is level, more trials would not help.",
    )


def _found_loss(found: Any, frame: pd.DataFrame) -> float:
    best = drawn.best_so_far(frame[frame["score"].notna()])
    return float(belief.losses(best[-1:], found.plan)[0]) if len(best) else float("nan")


def trials(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """Every trial in figures, and what can be done with one."""
    _trials.trials(found, frame)
