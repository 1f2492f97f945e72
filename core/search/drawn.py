"""The tables that the Tune page's pictures are drawn from; their columns are those of `core.charts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from core.labels import spoken
from core.search.belief import Surface, losses, places, slices
from core.search.plan import Plan
from core.search.process import Process
from core.search.sampler import noise_of
from core.search.space import Range
from core.search.trials import DIVERGED, FINISHED, RUNNING

KIND = {"default": 0, "nearest": 0, "start": 0, "model": 1, "random": 1, "hand": 2, "again": 2, "before": 3}
CURVES = 60  # learning curves drawn at the most, the latest
OTHER, BEST, GOING, CHOSEN = range(4)  # looks of a learning curve
TOLD, LOST, TOP, TRAINED, NEXT = range(5)  # marks on a surface


def errors(frame: pd.DataFrame) -> np.ndarray:
    """The standard error of each trial's score as far as it tells settings apart, (n,).

    All trials have the same seeds, so what a seed does to all of them is left out; where that cannot be told
    yet, the plain standard error.
    """
    noise = noise_of([list(s) for s in frame["scores"]])
    plain = frame["error"].to_numpy(float)
    return plain if noise is None else np.where(np.isfinite(noise), np.sqrt(noise), plain)


def history(
    frame: pd.DataFrame, plan: Plan, baseline: float, beside: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """One row for each trial that has ended, in the order of ending, with the best so far.

    Args:
        frame: The search's table.
        plan: Its plan.
        baseline: The loss of predicting the mean.
        beside: Tables of other searches by the name of their sampler: their best so far is drawn.
    """
    ended = frame[frame["score"].notna()]
    score, error = ended["score"].to_numpy(float), np.nan_to_num(errors(ended))
    lost = (ended["state"] == DIVERGED).to_numpy()
    table = pd.DataFrame(
        {
            "trial": ended["number"].to_numpy(float),
            "loss": np.where(lost, np.nan, losses(score, plan)),
            "low": np.where(lost, np.nan, losses(score - error, plan)),
            "high": np.where(lost, np.nan, losses(score + error, plan)),
            "best": losses(best_so_far(ended), plan),
            "kind": [KIND.get(kind, 1) for kind in ended["kind"]],
            "lost": lost.astype(float),
            "baseline": baseline,
            "words": [setting(row, plan.space.words) for _, row in ended.iterrows()],
        }
    )
    ends = pd.DataFrame({"trial": [0.0, max(plan.budget, len(frame)) - 1.0]})
    table = pd.concat([table, ends], ignore_index=True)
    for name, other in beside.items():
        done = other[other["score"].notna()]
        best = losses(best_so_far(done), plan)
        extra = pd.DataFrame({"trial": np.arange(float(len(best))), f"{name}_best": best})
        table = pd.concat([table, extra], ignore_index=True)
    columns = ["trial", "loss", "low", "high", "best", "kind", "lost", "baseline", "random_best", "grid_best"]
    return table.reindex(columns=[*columns, "words"])


def best_so_far(ended: pd.DataFrame) -> np.ndarray:
    """The lowest score of a setting that held, up to each trial; nan before the first."""
    scores = np.where(ended["state"] == FINISHED, ended["score"].to_numpy(float), np.inf)
    best = np.minimum.accumulate(scores) if len(scores) else scores
    return np.where(np.isfinite(best), best, np.nan)


def setting(row: pd.Series, words: Iterable[str]) -> str:
    """A trial's values in words."""
    return ", ".join(f"{spoken(word)} {row[word]:.4g}" for word in words)


def learning_curves(
    ended: Mapping[int, tuple[Sequence[float], Sequence[float]]],
    going: Mapping[int, tuple[Sequence[float], Sequence[float]]],
    best: int | None,
    picked: int | None,
) -> pd.DataFrame:
    """One row for each trial and epoch: trial, epoch, loss, look."""
    keep = sorted(ended)[-CURVES:]
    shown = {n: (OTHER, ended[n]) for n in keep}
    for number, look in ((best, BEST), (picked, CHOSEN)):
        if number is not None and number in ended:
            shown[number] = (look, ended[number])
    shown |= {n: (GOING, curve) for n, curve in going.items()}
    parts = [
        pd.DataFrame({"trial": float(n), "epoch": epochs, "loss": loss, "look": float(look)})
        for n, (look, (epochs, loss)) in shown.items()
    ]
    columns = ["trial", "epoch", "loss", "look"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table.astype("float32")


def cells(kind: str, seen: Surface, plan: Plan, ranges: tuple[Range, Range]) -> pd.DataFrame:
    """The cells of a surface: kind is "belief", "uncertainty" or "improvement"; logarithms to base 10.

    Where the loss itself is searched, the deviation of its logarithm is that of the loss over its mean.
    """
    if kind == "improvement":
        value = np.log10(np.maximum(seen.improvement, 1e-300))
    elif kind == "belief":
        value = logs(seen.mean, plan)
    else:
        value = seen.deviation / (np.log(10) * np.maximum(seen.mean, 1e-12)) if plan.exact else seen.deviation
    return grid(seen.x, seen.y, value, ranges)


def logs(scores: np.ndarray, plan: Plan) -> np.ndarray:
    """What is minimised, as the logarithm of a loss."""
    return np.log10(np.maximum(scores, 1e-12)) if plan.exact else scores


def grid(x: np.ndarray, y: np.ndarray, value: np.ndarray, ranges: tuple[Range, Range]) -> pd.DataFrame:
    """Cells that fill the plane, with their edges and middles.

    Args:
        x, y: (X,) and (Y,), the middles of the cells, rising, as values.
        value: (Y, X).
        ranges: Of x and y.
    """
    across, up = (_edges(r, v) for r, v in zip(ranges, (x, y), strict=True))
    row, column = (i.ravel() for i in np.indices(value.shape))
    return pd.DataFrame(
        {
            "x1": placed(ranges[0], across)[column],
            "x2": placed(ranges[0], across)[column + 1],
            "y1": placed(ranges[1], up)[row],
            "y2": placed(ranges[1], up)[row + 1],
            "cx": np.asarray(x)[column],
            "cy": np.asarray(y)[row],
            "value": np.asarray(value, dtype=float).ravel(),
        }
    )


def _edges(r: Range, middles: np.ndarray) -> np.ndarray:
    """Halfway between neighbouring middles on the range's scale; the outermost at its ends."""
    at = np.array([r.unit(float(v)) for v in middles])
    return places(r, np.concatenate([[0.0], (at[1:] + at[:-1]) / 2, [1.0]]))


def placed(r: Range, values: np.ndarray) -> np.ndarray:
    """Values where the axis has them: at -log10(1 - value) on the scale "rest"."""
    at = np.asarray(values, dtype=float)
    return -np.log10(1 - at) if r.scale == "rest" else at


def points(
    frame: pd.DataFrame,
    ranges: tuple[Range, Range],
    best: int | None,
    following: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The trials on a surface, and what would be tried next: px, py and their mark."""
    shown = frame[frame["state"].isin([FINISHED, DIVERGED, RUNNING])].dropna(subset=[r.word for r in ranges])
    mark = np.where(shown["state"] == DIVERGED, LOST, np.where(shown["state"] == RUNNING, TRAINED, TOLD))
    mark = np.where(shown["number"] == best, TOP, mark)
    dots = pd.DataFrame(
        {r.word: shown[r.word].to_numpy(float) for r in ranges} | {"mark": mark.astype(float)}
    )
    if following is not None:
        dots.loc[len(dots)] = [*(following[r.word] for r in ranges), NEXT]
    px, py = (placed(r, dots[r.word].to_numpy(float)) for r in ranges)
    return pd.DataFrame({"px": px, "py": py, "mark": dots["mark"]})


def line(found: pd.DataFrame | None, ranges: tuple[Range, Range]) -> pd.DataFrame:
    """The line of the largest rate that holds, where it lies in the ranges: lx, ly."""
    if found is None:
        return pd.DataFrame({"lx": [], "ly": []})
    inside = found[
        [ranges[0].holds(x) and ranges[1].holds(y) for x, y in zip(found["x"], found["y"], strict=True)]
    ]
    lx, ly = placed(ranges[0], inside["x"].to_numpy(float)), placed(ranges[1], inside["y"].to_numpy(float))
    return pd.DataFrame({"lx": lx, "ly": ly})


def sliced(
    process: Process | None, frame: pd.DataFrame, plan: Plan, held: list[float], r: Range, best: int | None
) -> pd.DataFrame:
    """One parameter: the model's band through the best setting, and every trial's loss."""
    band = slices(process, plan, held, r.word) if process else pd.DataFrame({"x": []})
    band["x"] = placed(r, band["x"].to_numpy(float))
    ended = frame[frame["score"].notna()]
    lost = (ended["state"] == DIVERGED).to_numpy()
    dots = pd.DataFrame(
        {
            "px": placed(r, ended[r.word].to_numpy(float)),
            "py": np.where(lost, np.nan, losses(ended["score"].to_numpy(float), plan)),
            "lost": lost.astype(float),
        }
    )
    top = pd.DataFrame({"best": placed(r, ended.loc[ended["number"] == best, r.word].to_numpy(float))})
    columns = ["x", "mean", "low", "high", "px", "py", "lost", "best"]
    return pd.concat([band, dots, top], ignore_index=True).reindex(columns=columns).astype("float32")


def parallel(frame: pd.DataFrame, plan: Plan, best: int | None) -> pd.DataFrame:
    """Every trial as a line over its numbers and its loss; and the ticks of each axis, the loss's last."""
    ended = frame[frame["score"].notna()]
    table = pd.DataFrame({"trial": ended["number"].astype(float), "best": (ended["number"] == best) * 1.0})
    for k, r in enumerate(plan.space.ranges):
        table[f"p{k}"] = [r.unit(v) for v in ended[r.word]]
    score = ended["score"].to_numpy(float)
    table["lost"] = (ended["state"] == DIVERGED).to_numpy(float)
    table["loss"] = losses(score, plan)
    low, high = (float(score.min()), float(score.max())) if len(score) else (0.0, 1.0)
    least, most = losses(np.array([low, high if high - low > 1e-6 else low + 1.0]), plan)
    judge = Range("loss", float(least), float(most), "linear" if plan.exact else "log")
    table["p_loss"] = [judge.unit(v) for v in table["loss"]]
    table = table.astype("float32")
    table["words"] = [setting(row, plan.space.words) for _, row in ended.iterrows()]
    ticks = [
        {"ruler": float(k), "place": r.unit(value), "label": f"{value:.4g}"}
        for k, r in enumerate((*plan.space.ranges, judge))
        for value in round_values(r)
    ]
    return pd.concat([table, pd.DataFrame(ticks)], ignore_index=True)


def round_values(r: Range) -> list[float]:
    """Three to six round values between the ends of a range; five at even steps where there are no such."""
    if r.scale == "rest":
        choices = [[0.0, 0.5, *(1.0 - 10.0**-k for k in range(1, 9))]]
    elif r.scale == "log":
        tens = 10.0 ** np.arange(np.floor(np.log10(r.low)), np.log10(r.high) + 1.0)
        digits = (1, 2, 5), (1, 3), (1,), (1, 2, 3, 5, 7)
        rows = [np.outer(tens, row).ravel() for row in digits]
        choices = [list(row) for row in (*rows, *(tens[::step] for step in (2, 3, 5)))]
    else:
        unit = 10.0 ** np.floor(np.log10(r.high - r.low))
        steps = unit * np.array([0.2, 0.5, 1.0, 2.0, 5.0])
        choices = [list(step * np.arange(np.ceil(r.low / step), r.high / step + 1.0)) for step in steps]
    slack = 1e-9 * (r.high - r.low)
    for choice in choices:
        inside = [float(v) for v in choice if r.low - slack <= v <= r.high + slack]
        if 3 <= len(inside) <= 6:
            return inside
    return [float(v) for v in places(r, np.linspace(0, 1, 5))]


def chance(table: pd.DataFrame, plan: Plan, budget: int, found: float) -> pd.DataFrame:
    """Expected best-of-k of random search in losses, with the budget and what this search found."""
    shown = {c: losses(table[c].to_numpy(float), plan) for c in ("expected", "low", "high")}
    frame = pd.DataFrame({"k": table["k"].astype(float)} | shown)
    return pd.concat([frame, pd.DataFrame({"here": [float(budget)], "bayes": [found]})], ignore_index=True)


def timeline(frame: pd.DataFrame) -> pd.DataFrame:
    """When each machine trained what, in seconds since the first trial: machine, begin, end, trial, state."""
    shown = frame[frame["begin"].notna() & (frame["machine"] != "")]
    if not len(shown):
        return pd.DataFrame(
            {"machine": pd.Series(dtype=str), "begin": [], "end": [], "trial": [], "state": []}
        )
    zero = shown["begin"].min()
    begin = (shown["begin"] - zero).dt.total_seconds()
    end = (shown["end"] - zero).dt.total_seconds().fillna(begin)
    state = [2.0 if s == "failed" else 1.0 if s == RUNNING else 0.0 for s in shown["state"]]
    return pd.DataFrame(
        {
            "machine": shown["machine"],
            "begin": begin,
            "end": end,
            "trial": shown["number"].astype(float),
            "state": state,
        }
    )
