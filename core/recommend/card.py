"""What batch size allows: does momentum buy longer steps?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.config import Config
from core.maps import is_nesterov
from core.recommend.setting import MOMENTA
from core.registry import OutOfRange
from core.sharpness import config_moments, least_squares
from core.stability import learning_rate_limits
from core.verdict import digits


class NoCard(ValueError):
    """A model whose batch sizes cannot be weighed without training."""


def batch_card(config: Config, batches: Sequence[int] | None = None) -> pd.DataFrame:
    """The largest usable effective step η / (1 - μ) for each batch size, with and without momentum.

    Args:
        config: Linear least squares; its batch size does not count.
        batches: Batch sizes; when None, about 12 from 1 to all training rows, evenly in their logarithm.

    Returns:
        One row for each batch size, with the columns batch_size, plain, with_momentum (the largest over
        MOMENTA above 0) and best_momentum (which one that is).

    Raises:
        NoCard: The model is no linear least squares.
        OutOfRange: A batch size is not one that a config takes, or there are none.
        NotATable: The inputs leave the range of floats unless they are scaled.
    """
    if not least_squares(config):
        raise NoCard(
            "Batch sizes can be compared without training only for linear regression: for other models the "
            "curvature changes during training."
        )
    rows = config.train_rows
    sizes = np.unique(np.geomspace(1, rows, 12).round().astype(int)) if batches is None else np.array(batches)
    for size in sizes:
        Config.settings()["batch_size"].check("batch_size", size.item())
    if not len(sizes):
        raise OutOfRange("batches must name at least one batch size, got none.")
    momenta = np.array(MOMENTA)
    columns_of = [
        learning_rate_limits(config_moments(config, int(size)), [size], momenta, is_nesterov(config))
        for size in sizes
    ]
    limit = np.hstack(columns_of)
    steps = limit / (1.0 - momenta)[:, None]
    best = 1 + steps[1:].argmax(axis=0)
    columns = {
        "batch_size": sizes,
        "plain": steps[0],
        "with_momentum": steps[best, np.arange(len(sizes))],
        "best_momentum": momenta[best],
    }
    return pd.DataFrame(columns)


def batch_sentence(card: pd.DataFrame, batch_size: int) -> str:
    """Whether momentum buys anything at a batch size, from the row of the card that is nearest to it."""
    distance = np.abs(np.log(card["batch_size"].to_numpy() / batch_size))
    row = card.iloc[int(distance.argmin())]
    times, size = row["with_momentum"] / row["plain"], int(row["batch_size"])
    if times < 1.25:
        return (
            f"At batch size {size} momentum gains little: its largest stable effective step is "
            f"{digits(times)} times plain SGD's."
        )
    return (
        f"At batch size {size} momentum allows effective steps up to {digits(times)} times as long as plain "
        f"SGD's, at momentum {row['best_momentum']:g}."
    )
