"""The views of the Tune page: what the model believes, and what the trials say."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from core import charts, jobs
from core.search import belief, drawn, ending
from core.search import trials as kept
from core.search.space import Range
from core.search.truth import Truth
from pages import _controls as controls
from pages import _live as live
from pages import _study as study
from pages import _trials
from pages._study import judged, parameter

KINDS = ("belief", "uncertainty", "improvement")
SURFACE = 340
Shown = dict[str, jobs.Job | None]


def maps(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """Belief, uncertainty, expected improvement and truth, over two numbers of the space."""
    plan, process = found.plan, study.belief(found, frame)
    ranges = {r.word: r for r in plan.space.ranges}
    if len(ranges) < 2:
        st.caption("Maps are drawn over two numbers; this search has one: see Slices.")
        return
    pair = plane(plan.space.words)
    with st.container(horizontal=True, vertical_alignment="bottom", key="plane"):
        if len(ranges) > 2:
            for word, now in zip(("across", "up"), pair, strict=True):
                controls.pick(word, list(ranges), parameter, now, _taken, width=190)
        st.button(
            "Train the truth",
            icon=":material/grid_on:",
            key="truth",
            on_click=train_truth,
            args=(found, pair),
            help="Real runs on a grid of 25 by 15 settings, each with the seeds of the search.",
        )
    axes = (ranges[pair[0]], ranges[pair[1]])
    top = study.best(found, frame)
    held = found.values(top) if top is not None else plan.space.at([0.5] * len(ranges))
    if process is None:
        st.caption("The model begins to believe something after three trials.")
        return
    ahead = _following(found, frame)
    marks = drawn.points(frame, axes, top, ahead[0] if ahead else None)
    limit = drawn.line(belief.limit_line(plan, held, *pair), axes)
    seen = belief.surface(process, plan, plan.space.unit(held), *pair)
    places = [place for _ in range(2) for place in st.columns(2)]
    for place, kind in zip(places, KINDS, strict=False):
        with place:
            _surface(kind, [drawn.cells(kind, seen, plan, axes), marks, limit], axes)
    with places[3]:
        _truth(found, pair, axes, seen, [marks, limit], shown.get("truth"))
    _offer(found, held, axes)
    others = [f"{parameter(w)} {v:.4g}" for w, v in held.items() if w not in pair]
    at = f" The rest is held where the best trial has it: {', '.join(others)}." if others else ""
    line = " The white-edged line is the largest learning rate that holds, from the data alone." * len(
        limit[:1]
    )
    st.caption(f"{_asked(frame, plan, ahead)}{at}{line}")


def plane(words: tuple[str, ...]) -> tuple[str, str]:
    """The two numbers that maps are drawn over: as picked, else the first two."""
    across, up = (controls.words().get(word, "") for word in ("across", "up"))
    across = across if across in words else words[0]
    up = up if up in words and up != across else next(w for w in words if w != across)
    return across, up


def _taken(word: str, name: str) -> None:
    controls.words()[word] = name


def _following(found: Any, frame: pd.DataFrame) -> Any:
    """What would be tried next, while nothing is being tried; kept until something is."""
    if (frame["state"] == kept.RUNNING).any() or found.shared:
        return None
    key = (found.study.study_name, len(frame), int(frame["score"].notna().sum()))
    held, ahead = st.session_state.get("following", (None, None))
    if held != key:
        ahead = kept.following(found.study, found.plan)
        st.session_state["following"] = (key, ahead)
    return ahead


def _asked(frame: pd.DataFrame, plan: Any, ahead: Any) -> str:
    """Why the trial that was picked was asked; else what would be next, or why the last one was."""
    picked = st.session_state.get("trial")
    rows = frame[frame["number"] == picked] if picked is not None else frame[frame["mean"].notna()]
    if ahead and picked is None:
        return ending.why_next(*ahead, plan)
    return ending.why(rows.iloc[-1], plan) if len(rows) else ""


def _offer(found: Any, held: dict[str, float], axes: tuple[Range, Range]) -> None:
    """Queues the setting that was clicked on a map."""
    cell = st.session_state.get("cell")
    known = cell is not None and cell[0] == tuple(r.word for r in axes)
    at = dict(zip(cell[0], cell[1], strict=True)) if known else {}
    values = {r.word: r.tidy(at.get(r.word, held[r.word])) for r in found.plan.space.ranges}
    words = ", ".join(f"{parameter(r.word)} {values[r.word]:.4g}" for r in axes)
    st.button(
        f"Try {words}" if known else "Click a map to try a setting",
        icon=":material/touch_app:",
        key="try_cell",
        on_click=_trials.enqueue,
        args=(found, values),
        disabled=not known,
        help="It is queued as the next trial, the other numbers as in the best one.",
    )


def _surface(kind: str, parts: list[pd.DataFrame], axes: tuple[Range, Range]) -> None:
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(charts.SURFACE_COLUMNS))
    x, y = ((parameter(r.word), r.scale) for r in axes)
    words = "Map of what the model believes, of its uncertainty, of expected improvement, or of real runs."
    spec = charts.surface_spec(kind, x, y)
    event = st.vega_lite_chart(
        table.astype("float32"),
        spec,
        key=f"map-{kind}-{axes[0].word}-{axes[1].word}",
        on_select="rerun",
        selection_mode=["cell"],
        height=SURFACE,
        alt=words,
    )
    picked = event.selection.get("cell") if event else None
    if picked and st.session_state.get("cells", {}).get(kind) != picked:
        st.session_state.setdefault("cells", {})[kind] = picked
        st.session_state["cell"] = (tuple(r.word for r in axes), (picked[0]["cx"], picked[0]["cy"]))


def train_truth(found: Any, pair: tuple[str, str]) -> None:
    """Trains the grid of real runs over two numbers."""
    controls.touch()
    top = study.best(found, found.table())
    if top is None:
        st.session_state["wrong"] = ["The truth is trained around the best trial, and there is none yet."]
        return
    made = Truth(found.plan, found.values(top), *pair)
    try:
        new = live.launch(made.configs, None, training=made, updates=made.steps, subject=(found, pair))
    except jobs.Refused as refusal:
        st.session_state["wrong"] = [str(refusal)]
        return
    if new:
        controls.words()["truth"] = new.id


def _truth(
    found: Any,
    pair: tuple[str, str],
    axes: tuple[Range, Range],
    seen: belief.Surface,
    parts: list[pd.DataFrame],
    job: jobs.Job | None,
) -> None:
    """The map of real runs; where they are not trained, grey cells on the model's own axes."""
    made = job.training if job and job.subject == (found, pair) else None
    if made is None:
        cells = drawn.grid(seen.x, seen.y, seen.mean * float("nan"), axes)
    else:
        cells = drawn.grid(made.x, made.y, drawn.logs(made.scores, found.plan), axes)
    _surface("truth", [cells, *parts], axes)
    if job is not None and job.subject == (found, pair) and job.reason:
        st.caption(job.reason)


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
                charts.slice_spec((parameter(r.word), r.scale), judged(found)),
                key=f"slice-{r.word}",
                height=240,
                alt="Loss along one number: the model's mean and deviation, and the trials.",
            )
    st.caption(
        "The band is what the model believes along each number, one deviation around its mean, through the "
        "best setting; the points are all trials, which differ in the other numbers too."
    )


def parallel(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """Every trial as a line over its numbers; drag along an axis to pick some."""
    table = drawn.parallel(frame, found.plan, study.best(found, frame))
    names = (*map(parameter, found.plan.space.words), "loss")
    st.vega_lite_chart(
        table,
        charts.parallel_spec(names),
        key="parallel",
        height=320,
        alt="Each trial as a line over its numbers.",
    )
    st.caption("Drag over an axis to keep the trials that pass there; click beside it to keep all.")


def importances(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """How much of the variation each number has a part in."""
    process = study.belief(found, frame)
    if process is None:
        st.caption("Importances are known after three trials.")
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
    names = tuple(parameter(word) for word in table["word"])
    st.vega_lite_chart(
        bars.astype("float32"),
        charts.importance_spec(names),
        key="importances",
        height=60 + 44 * len(names),
        alt="Importance of each number.",
    )
    st.caption(
        "Total-effect Sobol shares over the whole space, from the model: the part of the variation that "
        "goes when a number is held still, its interplay with others counted in, so they may add up to more "
        "than 1. The error bar is what the model does not know yet."
    )


def worth(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """Did the search help here, against random and grid search with the same budget?"""
    other = shown.get("beside")
    rivals = other.training.searches if other and other.training and other.subject == found.plan else {}
    if other is not None and other.reason:
        st.caption(other.reason)
    if not rivals:
        st.caption("“Random and grid beside it” runs both with this budget and compares what each ends with.")
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
        st.markdown(ending.helped(found.checks[0], ends, found.plan))
    elif found.checks == ():
        st.markdown("All trials of this search diverged, so there is nothing to compare.")
    else:
        st.caption("The sentence comes when all searches have checked their best on fresh seeds.")
    st.caption(
        "The curve is the best that k random settings come to on average (from the random search); where it "
        "is level, more trials would not help."
    )


def _found_loss(found: Any, frame: pd.DataFrame) -> float:
    best = drawn.best_so_far(frame[frame["score"].notna()])
    return float(belief.losses(best[-1:], found.plan)[0]) if len(best) else float("nan")


def trials(found: Any, frame: pd.DataFrame, shown: Shown) -> None:
    """Every trial in figures, and what can be done with one."""
    _trials.trials(found, frame)
