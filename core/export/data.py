"""The data of a program: packed at its end, and unpacked, split and standardised as in the engine."""

from __future__ import annotations

import base64
import zlib

import numpy as np

from core.config import Config
from core.datasets import Dataset
from core.datasets.base import Array
from core.export.text import WIDE, function, when

LEVEL = 6  # of compression; 9 takes ten times as long for 2 % less


def constants(dataset: Dataset) -> str:
    """The two constants that hold the data, exactly."""
    return f"FEATURES = {_packed(dataset.features)}\nTARGETS = {_packed(dataset.targets)}"


def functions(config: Config) -> list[str]:
    """What makes tensors of the constants."""
    unpacked = function(
        "unpacked(text, dtype)",
        "The numbers in one of the texts at the end of this file.",
        "return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype).astype(np.float64)",
    )
    return [unpacked, *when(config.scale, _standardised(config)), _load(config)]


def _standardised(config: Config) -> str:
    if config.dataset.image_shape:
        return function(
            "standardised(values, train)",
            "The pixels with mean 0 and deviation 1, all of the training rows taken together.",
            "return (values - values[train].mean()) / values[train].std()",
        )
    return function(
        "standardised(values, train)",
        "Columns of mean 0 and deviation 1 on the training rows; one that does not vary is only shifted.",
        "spread = values[train].std(axis=0)",
        "spread[spread <= 1e-12 * np.abs(values[train]).max(axis=0)] = 1",
        "return (values - values[train].mean(axis=0)) / spread",
    )


def _load(config: Config) -> str:
    data, valid = config.dataset, config.valid_rows
    x = f"x = {_unpacked('FEATURES', data.features)}.reshape(ROWS, {data.inputs})"
    y = f"y = {_unpacked('TARGETS', data.targets)}"
    order = "torch.randperm(ROWS, generator=torch.Generator().manual_seed(3 * SEED)).numpy()"
    split = [f"order = {order}", "valid, train = order[:VALID_ROWS], order[VALID_ROWS:]"]
    scaled = ["x = standardised(x, train)", *when(not data.classes, "y = standardised(y, train)")]
    return function(
        "load()",
        "Inputs and targets of the training rows" + (", then of the validation rows." if valid else "."),
        x,
        y if data.classes else f"{y}.reshape(ROWS, 1)",
        *(split if valid else [f"train = {order}"]),
        *(scaled if config.scale else []),
        "x = torch.tensor(x, dtype=torch.float32)",
        f"y = torch.tensor(y, dtype=torch.{'int64' if data.classes else 'float32'})",
        "return x[train], y[train]" + (", x[valid], y[valid]" if valid else ""),
    )


def _packing(values: Array) -> tuple[str, int]:
    """The smaller type that holds the values exactly, and what they are divided by when unpacked."""
    for divisor in (1, 255):
        whole = np.rint(values * divisor)
        if whole.min() >= 0 and whole.max() <= 255 and np.array_equal(whole / divisor, values):
            return "uint8", divisor
    return "<f8", 1


def _packed(values: Array) -> str:
    """The values as a text of Python: base64 of zlib of their bytes."""
    dtype, divisor = _packing(values)
    whole = np.rint(values * divisor) if dtype == "uint8" else values
    text = base64.b64encode(zlib.compress(whole.astype(dtype).tobytes(), LEVEL)).decode("ascii")
    lines = [text[begin : begin + WIDE] for begin in range(0, len(text), WIDE)]
    return "\n".join(['"""', *lines, '"""'])


def _unpacked(constant: str, values: Array) -> str:
    dtype, divisor = _packing(values)
    text = f'unpacked({constant}, "{dtype}")'
    return text if divisor == 1 else f"({text} / {divisor})"
