"""What a run has learned, as tables to draw: a line, a map, a scatter or a confusion matrix."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from core.config import Config
from core.datasets import COLOURS, png

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine import Training
    from core.engine.problem import Problem
    from core.networks import Network

FIT, MAP, PREDICTED, CONFUSION = "fit", "map", "predicted", "confusion"
WORDS = {
    FIT: "The data and the fitted function.",
    MAP: "The data on the decision map: the class that the model predicts at each point.",
    PREDICTED: "Predicted against actual values; a perfect model lies on the diagonal.",
    CONFUSION: "Confusion matrix: how often each actual class is predicted as which.",
}
DRAWN = 400  # points drawn at the most
LINE = 100  # points of a fitted line
PIXELS = 64  # side of a map


@dataclass(frozen=True, eq=False)
class Picture:
    """A table and the kind of picture that it is for.

    Attributes:
        kind: "fit", "map", "predicted" or "confusion".
        table: The columns that the chart of that kind reads, in the data's own units.
    """

    kind: str
    table: pd.DataFrame


def kind(config: Config) -> str:
    """The picture that fits the data: known before any training."""
    data = config.dataset
    if data.classes:
        return MAP if data.inputs == 2 else CONFUSION
    return FIT if data.inputs == 1 else PREDICTED


def picture(training: Training, run: int = 0) -> Picture:
    """What one run has learned by now. Any thread may ask while the training goes on."""
    stack, seat = training.place(run)
    config, problem, network = training.configs[run], stack.problem(seat), stack.network
    params = stack.params(seat).detach().cpu()[None]
    draw = {FIT: _fit, MAP: _map, PREDICTED: _predicted, CONFUSION: _confusion}[kind(config)]
    return Picture(kind(config), draw(config, problem, network, params))


def _outputs(problem: Problem, network: Network, params: Tensor, x: np.ndarray) -> np.ndarray:
    """Predictions (n, C) for inputs (n, d) in the data's own units."""
    import torch

    scaled = torch.from_numpy((x - problem.center) / problem.spread).to(params.dtype)
    with torch.no_grad():
        pieces = [network.predict(params, scaled[None, k : k + 512])[0] for k in range(0, len(scaled), 512)]
    out: np.ndarray = torch.cat(pieces).double().cpu().numpy()
    return out * problem.target_spread + problem.target_center


def _parts(problem: Problem, most: int = DRAWN) -> tuple[np.ndarray, np.ndarray]:
    """Rows to draw, of both parts in their proportion, and which of them are for training."""
    parts = problem.train_index, problem.valid_index
    share = min(1.0, most / sum(map(len, parts)))
    drawn = [part[: max(1, round(len(part) * share))] for part in parts]
    return np.concatenate(drawn), np.repeat([True, False], [len(rows) for rows in drawn])


def _split(values: np.ndarray, training: np.ndarray) -> dict[str, np.ndarray]:
    """A column for each part, nan where a row is of the other."""
    return {"train": np.where(training, values, np.nan), "valid": np.where(training, np.nan, values)}


def _fit(config: Config, problem: Problem, network: Network, params: Tensor) -> pd.DataFrame:
    data = config.dataset
    rows, training = _parts(problem)
    x = data.features[:, 0]
    grid = np.linspace(x.min(), x.max(), LINE)
    fitted = _outputs(problem, network, params, grid[:, None])[:, 0]
    points = pd.DataFrame({"x": x[rows], **_split(data.targets[rows], training)})
    return _small(pd.concat([points, pd.DataFrame({"x": grid, "fitted": fitted})], ignore_index=True))


def _predicted(config: Config, problem: Problem, network: Network, params: Tensor) -> pd.DataFrame:
    data = config.dataset
    rows, training = _parts(problem)
    out = _outputs(problem, network, params, data.features[rows])[:, 0]
    return _small(pd.DataFrame({"actual": data.targets[rows], **_split(out, training)}))


def _small(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype("float32")


def _map(config: Config, problem: Problem, network: Network, params: Tensor) -> pd.DataFrame:
    data = config.dataset
    rows, _ = _parts(problem)
    x = data.features
    low, high = x.min(0), x.max(0)
    margin = 0.08 * (high - low)
    low, high = low - margin, high + margin
    across, up = (np.linspace(low[k], high[k], PIXELS) for k in (0, 1))
    grid = np.stack(np.meshgrid(across, up[::-1]), axis=-1).reshape(-1, 2)
    image = base64.b64encode(png(_shades(_outputs(problem, network, params, grid)))).decode()
    points = pd.DataFrame({"x1": x[rows, 0], "x2": x[rows, 1], "label": data.targets[rows]})
    edges = {"x1_low": low[0], "x1_high": high[0], "x2_low": low[1], "x2_high": high[1]}
    ground = pd.DataFrame([{"image": f"data:image/png;base64,{image}", **edges}])
    table = pd.concat([ground, points], ignore_index=True)
    return table.astype({name: "float32" for name in table.columns if name != "image"})


def _shades(outputs: np.ndarray) -> np.ndarray:
    """The classes' colours, mixed by their chances; the surer the more opaque. (PIXELS, PIXELS, 4)."""
    chances = np.exp(outputs - outputs.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    classes = chances.shape[1]
    colours = chances @ COLOURS[np.arange(classes) % len(COLOURS)]
    sure = (chances.max(1) - 1 / classes) / (1 - 1 / classes)
    rgba = np.concatenate([colours, (60 + 110 * sure)[:, None]], axis=1)
    picture: np.ndarray = rgba.round().astype(np.uint8).reshape(PIXELS, PIXELS, 4)
    return picture


def _confusion(config: Config, problem: Problem, network: Network, params: Tensor) -> pd.DataFrame:
    data = config.dataset
    rows = problem.valid_index if len(problem.valid_index) else problem.train_index
    guess = _outputs(problem, network, params, data.features[rows]).argmax(1)
    counts = np.zeros((data.classes, data.classes), dtype=int)
    np.add.at(counts, (data.targets[rows], guess), 1)
    actual, predicted = np.indices(counts.shape).reshape(2, -1)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    columns = {"actual": actual, "predicted": predicted, "count": counts.ravel(), "share": share.ravel()}
    return pd.DataFrame(columns)
