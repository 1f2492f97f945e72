"""The learning-rate range test, per momentum, without the lag that makes the usual one read too far.

The usual test raises the rate at every step of one run and reads off where the loss turns up. Three things
lag behind so fast a rate: the velocity needs 1 / (1 - μ) steps to come up to it, the weights need longer
still to be carried away, and the smoothed loss that is read follows later; measured, the point where it
"diverges" is 2 to 7 times the true limit. Correcting the lag would need to know the very curvatures that the
test is to find. So here every rate has a short run of its own, at a constant rate from the same first
weights on the same batches, all of them stacked: nothing moves that could lag, and the loss that is read is
that of the whole training part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from core.config import Config
from core.history import DIVERGED
from core.maps import limits, with_rule
from core.optimizers import LEARNING_RATE, MOMENTUM
from core.registry import Interval, OutOfRange

if TYPE_CHECKING:
    from core.engine import Training

MOMENTA = (0.0, 0.5, 0.9)
RATES = Interval("", 48, 8, 256, integer=True, help="Learning rates tested at each momentum.")
STEPS = Interval(
    "",
    300,
    10,
    10_000,
    log=True,
    integer=True,
    help="Updates at each learning rate: more find slower divergence.",
)
FAR = 4.0  # times the first loss: below it may be a high noise floor that is still one
SPAN = 1e-3, 10.0  # of the smallest and the largest limit: the ends of the rates


def range_configs(
    config: Config, momenta: Sequence[float] = MOMENTA, rates: int = 48, steps: int = 300
) -> list[Config]:
    """The runs of a range test: for each momentum the same learning rates, rising; to be trained as one.

    Args:
        config: The problem; of its rule only whether it is Nesterov's counts, of its epochs nothing.
        momenta: At least one.
        rates: How many learning rates, evenly in their logarithm.
        steps: Updates of each run, rounded up to whole epochs.

    Raises:
        OutOfRange: A value is outside what is good.
        NoCurvature, NotATable: See `core.sharpness.config_moments`.
    """
    if not len(momenta):
        raise OutOfRange("momenta must name at least one momentum, got none.")
    betas = [MOMENTUM.check("momentum", momentum) for momentum in momenta]
    count, updates = int(RATES.check("rates", rates)), int(STEPS.check("steps", steps))
    known = limits(config, np.array([beta for beta in betas if beta < 1.0] or [0.9]))
    low, high = SPAN[0] * float(known.min()), SPAN[1] * float(known.max())
    low, high = max(low, LEARNING_RATE.low), min(high, LEARNING_RATE.high)
    if low >= high:
        raise OutOfRange(
            f"learning_rate would have to be about {known.max():.1g} here, but it must be in "
            f"[{LEARNING_RATE.low:g}, {LEARNING_RATE.high:g}]: standardise the columns."
        )
    grid = np.clip(np.geomspace(low, high, count), low, high)
    base = replace(config, epochs=math.ceil(updates / config.steps_per_epoch))
    return [with_rule(base, rate, beta) for beta in betas for rate in grid]


def range_table(training: Training) -> pd.DataFrame:
    """What the runs of `range_configs` came to, also while they go on.

    Returns:
        One row for each run, with the columns momentum, learning_rate, loss (of the training part at the
        end; nan where it diverged) and diverged.
    """
    rows = []
    for run, config in enumerate(training.configs):
        last, rule = training.records(run)[-1], config.optimizer
        lost = last.status == DIVERGED
        loss = np.nan if lost else last.train_loss
        momentum = rule.momentum  # type: ignore[attr-defined]
        rows.append((momentum, rule.learning_rate, loss, lost))
    return pd.DataFrame(rows, columns=["momentum", "learning_rate", "loss", "diverged"])


def range_summary(training: Training) -> pd.DataFrame:
    """What is read off a range test, beside the limit that is known without it.

    Returns:
        One row for each momentum, with the columns
            momentum,
            best: the learning rate with the lowest last loss,
            diverges: the lowest rate from which on every run ends above FAR times the loss that all began
                with (for classes, whose loss cannot explode, above that loss); inf if there is none,
            limit: the largest that holds, from `core.maps.limits`: exact for linear least squares, and else
                from the curvature at the first weights.
    """
    table, first = range_table(training), training.records(0)[0].train_loss
    lost = first * (1.0 if training.configs[0].dataset.classes else FAR)
    rows = []
    for momentum, part in table.groupby("momentum", sort=True):
        rates, loss = part["learning_rate"].to_numpy(), part["loss"].fillna(np.inf).to_numpy()
        held = np.flatnonzero(loss < lost)
        up = int(held[-1]) + 1 if len(held) else 0
        best = rates[int(loss.argmin())] if len(held) else np.nan
        rows.append((momentum, best, rates[up] if up < len(rates) else np.inf))
    summary = pd.DataFrame(rows, columns=["momentum", "best", "diverges"])
    known = limits(training.configs[0], summary["momentum"].to_numpy(dtype=float))
    return summary.assign(limit=known)
