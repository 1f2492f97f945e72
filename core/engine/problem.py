"""The data of a run as tensors: split by seed, standardised on the training part, cut into batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from core.config import Config
from core.datasets import Dataset

SPLIT, WEIGHTS, BATCHES = range(3)


def generator(seed: int, stream: int) -> torch.Generator:
    """The source of one kind of randomness of a run: SPLIT, WEIGHTS or BATCHES."""
    return torch.Generator().manual_seed(3 * seed + stream)


@dataclass(frozen=True, eq=False)
class Problem:
    """One dataset, split and scaled.

    Attributes:
        x_train, x_valid: Inputs, (n, d).
        y_train, y_valid: Targets, (n, 1) values or (n, C) one-hot classes.
        train_index, valid_index: The rows of the dataset that the parts are made of.
        baseline: Training loss of the best constant prediction.
        center, spread: What was taken from the columns and what they were divided by, (d,) each.
        target_center, target_spread: The same for a numeric target, else 0 and 1.
    """

    x_train: Tensor
    y_train: Tensor
    x_valid: Tensor
    y_valid: Tensor
    train_index: np.ndarray
    valid_index: np.ndarray
    baseline: float
    center: np.ndarray
    spread: np.ndarray
    target_center: float
    target_spread: float


def problem(config: Config, dtype: torch.dtype = torch.float32) -> Problem:
    """The problem of a config; the same tensors for all configs that share data, split and scaling."""
    return _problem(config.dataset, config.seed, config.valid_rows, config.scale, dtype)


@lru_cache(maxsize=64)
def _problem(dataset: Dataset, seed: int, valid_rows: int, scale: bool, dtype: torch.dtype) -> Problem:
    order = torch.randperm(dataset.rows, generator=generator(seed, SPLIT)).numpy()
    valid, train = order[:valid_rows], order[valid_rows:]
    x, y = dataset.features, dataset.targets
    center, spread = _scaling(x[train], bool(dataset.image_shape)) if scale else _unscaled(x)
    x = (x - center) / spread
    if dataset.classes:
        target_center, target_spread = 0.0, 1.0
        shares = np.bincount(y[train], minlength=dataset.classes) / len(train)
        baseline = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
        y = np.eye(dataset.classes)[y]
    else:
        target_center, target_spread = (y[train].mean(), _spread(y[train])) if scale else (0.0, 1.0)
        y = ((y - target_center) / target_spread)[:, None]
        baseline = float(y[train].var())

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(dtype)

    return Problem(
        x_train=tensor(x[train]),
        y_train=tensor(y[train]),
        x_valid=tensor(x[valid]),
        y_valid=tensor(y[valid]),
        train_index=train,
        valid_index=valid,
        baseline=baseline,
        center=center,
        spread=spread,
        target_center=float(target_center),
        target_spread=float(target_spread),
    )


def _scaling(x: np.ndarray, picture: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column; of all pixels together in a picture, whose edges hardly vary."""
    if picture:
        return np.full(x.shape[1], x.mean()), np.full(x.shape[1], _spread(x))
    spread = x.std(0)
    return x.mean(0), np.where(spread > 1e-12 * np.abs(x).max(0), spread, 1.0)


def _unscaled(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(x.shape[1]), np.ones(x.shape[1])


def _spread(values: np.ndarray) -> float:
    spread = float(values.std())
    return spread if spread > 1e-12 * float(np.abs(values).max()) else 1.0
