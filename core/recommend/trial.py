"""Short paired runs that try a recommendation, and what they came to."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import Config
from core.history import DIVERGED
from core.limit import EXACT, SAFE
from core.maps import with_rule
from core.optimizers import LEARNING_RATE
from core.recommend.expected import begin
from core.recommend.setting import Recommendation, target
from core.registry import OutOfRange
from core.seeds import seeds_from
from core.sharpness import least_squares
from core.statistics import median
from core.verdict import digits

if TYPE_CHECKING:
    from core.engine import Training

Array = NDArray[np.float64]

FACTORS = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
CHECKED = (0.5, 1.0, 1.5)  # of FACTORS; the others show how wide the good region is
SEEDS = 6  # the fewest with which a median has a 95 % interval
LONGEST = 10_000  # updates of a run
GOOD = 1.1  # a rate is good whose last loss is at most so many times the best rate's


def checks(config: Config, recommendation: Recommendation) -> list[Config]:
    """The runs that try a recommendation: FACTORS times its rate by SEEDS seeds, a factor's seeds together.

    All factors share the data, first weights and batches of a seed. They are short: three times the expected
    epochs (at least 5, at most LONGEST updates), and the config's own where nothing is expected.

    Raises:
        OutOfRange: There are too few seeds behind the config's, or one of the rates cannot be set.
    """
    rates = [factor * recommendation.learning_rate for factor in FACTORS]
    if not LEARNING_RATE.low <= rates[0] <= rates[-1] <= LEARNING_RATE.high:
        low, high = LEARNING_RATE.low / FACTORS[0], LEARNING_RATE.high / FACTORS[-1]
        raise OutOfRange(
            f"learning_rate must be in [{low:.3g}, {high:.3g}] so that {FACTORS[0]:g} to {FACTORS[-1]:g} "
            f"times as much can be tested, got {recommendation.learning_rate:.3g}: standardise the columns."
        )
    expected = recommendation.epochs
    most = max(5, LONGEST // config.steps_per_epoch)
    epochs = min(max(math.ceil(3 * expected), 5), most) if math.isfinite(expected) else config.epochs
    base = replace(recommendation.config(config), epochs=epochs)
    return [
        replace(with_rule(base, rate, recommendation.momentum), seed=seed)
        for rate in rates
        for seed in seeds_from(config.seed, SEEDS)
    ]


def validate(training: Training) -> pd.DataFrame:
    """What the runs of `checks` came to, also while they go on.

    Returns:
        One row for each of FACTORS, with the columns
            factor, learning_rate, checked (whether it is of CHECKED),
            diverged: the share of runs that diverged,
            steps, low, high: the median of the updates to the target, with its 95 % interval
                (`core.statistics.median`); a run that missed it counts as inf, and an epoch is divided as if
                the loss fell geometrically,
            reached: the share of runs that came to the target,
            loss: the mean of the last validation loss (training loss where there is none) over those that
                did not diverge,
            good: whether no run diverged and `loss` is at most GOOD times the lowest of such rates.
        The target of a seed (`core.recommend.target`) counts from the least loss that a linear model can
        have on its data; for other models, from the lowest training loss that any rate has come to.
    """
    curves, lost = _curves(training)
    judged = np.array([_last_loss(training, run) for run in range(len(training.configs))])
    loss = np.where(lost, np.nan, judged.reshape(lost.shape))
    times = _steps_to(curves, _targets(training, curves), training.configs[0].steps_per_epoch)
    held: NDArray[np.bool_] = np.logical_not(lost.any(axis=1))
    mean = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan for row in loss])
    best = np.min(mean[held & np.isfinite(mean)], initial=np.inf)
    rows = [
        {
            "factor": factor,
            "learning_rate": training.configs[k * SEEDS].optimizer.learning_rate,
            "checked": factor in CHECKED,
            "diverged": float(lost[k].mean()),
            **dict(zip(("steps", "low", "high"), median(times[k])[:3], strict=True)),
            "reached": float(np.isfinite(times[k]).mean()),
            "loss": float(mean[k]),
            "good": bool(held[k] and mean[k] <= GOOD * best),
        }
        for k, factor in enumerate(FACTORS)
    ]
    return pd.DataFrame(rows)


def good_region(table: pd.DataFrame) -> tuple[float, float]:
    """The learning rates around the best of those tried that end within 10 % of it; nan if none held."""
    good = table["good"].to_numpy()
    if not good.any():
        return float("nan"), float("nan")
    low = high = int(np.argmin(np.where(good, table["loss"], np.inf)))
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(good) and good[high + 1]:
        high += 1
    rates = table["learning_rate"].to_numpy()
    return float(rates[low]), float(rates[high])


def validation_sentence(table: pd.DataFrame, recommendation: Recommendation) -> str:
    """What the runs say to the recommendation: whether it held, when it arrived, how much room there is."""
    row = table[table["factor"] == 1.0].iloc[0]
    lost = round(row["diverged"] * SEEDS)
    ended = f"None of {SEEDS} runs diverged" if not lost else f"{lost} of {SEEDS} runs diverged"
    if math.isfinite(row["steps"]):
        expected = recommendation.steps
        against = f" (expected: {expected:,.0f})" if math.isfinite(expected) else ""
        ended += f"; the median run reached the target loss in {digits(row['steps'])} updates{against}"
    elif not lost:
        ended += f"; {round(row['reached'] * SEEDS)} reached the target loss"
    ended += _faster(table, recommendation)
    low, high = good_region(table)
    if math.isnan(low):
        return f"{ended}. Every learning rate tested diverged on some seed."
    several = f"Learning rates from {digits(low)} to {digits(high)} end"
    room = several if low < high else f"Of the learning rates tested only {digits(low)} ends"
    return f"{ended}. {room} within {100 * (GOOD - 1):.0f} % of the lowest final loss without divergence."


def faster(table: pd.DataFrame) -> pd.Series | None:
    """The row of the fastest learning rate that is surely faster than the recommended one; None without one.

    It held on every seed, every seed reached the target, and its interval of the median lies below that of
    the recommended rate.
    """
    own = table[table["factor"] == 1.0].iloc[0]
    sooner = table[(table["diverged"] == 0) & (table["reached"] == 1) & (table["high"] < own["low"])]
    return None if sooner.empty else sooner.loc[sooner["steps"].idxmin()]


def _faster(table: pd.DataFrame, recommendation: Recommendation) -> str:
    """Whether a learning rate that was tried is faster than the recommended one, and why that is not it."""
    row = faster(table)
    if row is None:
        return ""
    rate = row["learning_rate"]
    said = f". Learning rate {digits(rate)} was faster, {digits(row['steps'])} updates"
    if recommendation.kind == EXACT and rate > SAFE * recommendation.limit:
        share = 100 * rate / recommendation.limit
        return f"{said}, but at {share:.0f} % of the largest stable rate it leaves too little room"
    return f"{said}, and held on all {SEEDS} seeds: it is the one to train"


def settled(table: pd.DataFrame, recommendation: Recommendation) -> float:
    """The learning rate to train: the recommended one, or a surely faster one that is safe."""
    row = faster(table)
    if row is None or (recommendation.kind == EXACT and row["learning_rate"] > SAFE * recommendation.limit):
        return recommendation.learning_rate
    return float(row["learning_rate"])


def _curves(training: Training) -> tuple[Array, NDArray[np.bool_]]:
    """Training losses (F, S, E + 1), inf once lost and nan where it has not come; who is lost (F, S)."""
    runs, epochs = len(training.configs), training.configs[0].epochs
    losses, lost = np.full((runs, epochs + 1), np.nan), np.zeros(runs, dtype=bool)
    for run in range(runs):
        records = training.records(run)
        losses[run, : len(records)] = [r.train_loss for r in records]
        if records[-1].status == DIVERGED:
            losses[run, len(records) - 1 :] = np.inf
            lost[run] = True
    shape = (runs // SEEDS, SEEDS)
    return losses.reshape(*shape, epochs + 1), lost.reshape(shape)


def _last_loss(training: Training, run: int) -> float:
    last = training.records(run)[-1]
    return last.train_loss if math.isnan(last.valid_loss) else last.valid_loss


def _targets(training: Training, curves: Array) -> Array:
    """The training loss of each seed that counts as reached, (S,)."""
    exact = least_squares(training.configs[0])
    aims = []
    for seed, first in enumerate(curves[0, :, 0]):
        least = begin(training.configs[seed]).floor if exact else float(np.nanmin(curves[:, seed]))
        aims.append(target(least, float(first), training.problem(seed).baseline))
    return np.array(aims)


def _steps_to(curves: Array, targets: Array, steps_per_epoch: int) -> Array:
    """Updates (F, S) to the target, between epochs as if the loss fell geometrically; inf where missed."""
    below = curves <= targets[:, None]
    at = np.maximum(below.argmax(axis=2), 1)
    after, before = (np.take_along_axis(curves, k[:, :, None], 2)[:, :, 0] for k in (at, at - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.log(before / targets) / np.log(before / after)
    whole = at - 1 + np.clip(np.nan_to_num(part, nan=1.0), 0.0, 1.0)
    return np.where(below.any(axis=2), whole * steps_per_epoch, np.inf)
