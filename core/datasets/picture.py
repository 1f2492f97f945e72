"""Small pictures of datasets, as PNG files."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np

from core.datasets.base import Array, Dataset, Floats
from core.registry import Interval

# Okabe and Ito's colours, the strongest pair first; grey for their black, which a dark page would hide.
COLOURS = np.array(
    [
        *[(0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167)],
        *[(86, 180, 233), (213, 94, 0), (240, 228, 66), (153, 153, 153)],
    ],
    dtype=np.float64,
)
SIZE = Interval("", 64, 16, 512, integer=True, help="Side of the picture in pixels.")
MOST_POINTS = 2000
FINE = 2  # drawn this many times larger, then averaged
KEPT = 64


def png(rgba: Array) -> bytes:
    """A PNG file of the picture `rgba` (height, width, 4) of type uint8, alpha not premultiplied.

    Raises:
        ValueError: The array is of another shape or type, or empty.
    """
    if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.dtype != np.uint8 or rgba.size == 0:
        raise ValueError(f"rgba must be (height, width, 4) of uint8, got {rgba.shape} of {rgba.dtype}.")
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    return file.getvalue()


def thumbnail(dataset: Dataset, size: int = 64) -> bytes:
    """A square PNG of `size` pixels that shows the data on a transparent ground.

    Two inputs are drawn as points coloured by class or target, pictures as a few samples, other regressions
    as the target against the input most correlated with it, other classes in the first two principal
    components. The last KEPT pictures are kept.

    Raises:
        OutOfRange: `size` is no whole number in [16, 512].
    """
    return _thumbnail(dataset, int(SIZE.check("size", size)))


@lru_cache(maxsize=KEPT)
def _thumbnail(dataset: Dataset, size: int) -> bytes:
    draw = _samples if dataset.image_shape else _scatter
    return png(_averaged(draw(dataset, FINE * size)))


def _averaged(canvas: Floats) -> Array:
    """The fine canvas (FINE·s, FINE·s, 4) of colours and opacity in [0, 1] as a picture (s, s, 4)."""
    size = len(canvas) // FINE
    weighted = np.concatenate([canvas[..., :3] * canvas[..., 3:], canvas[..., 3:]], axis=-1)
    mean = weighted.reshape(size, FINE, size, FINE, 4).mean(axis=(1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-12)
    mean[..., 3] *= 255.0
    return np.asarray(mean.round(), dtype=np.uint8)


def _samples(dataset: Dataset, side: int) -> Floats:
    """Nine pictures in three rows, the first of each class, as opacity in the colour of their class."""
    assert dataset.image_shape is not None
    _, height, width = dataset.image_shape
    classes, first = np.unique(dataset.targets, return_index=True)
    canvas = np.zeros((side, side, 4))
    tile = side // 3
    rows, columns = np.arange(tile) * height // tile, np.arange(tile) * width // tile
    for place, (index, row) in enumerate(zip(classes[:9], first[:9], strict=True)):
        image = dataset.features[row].reshape(-1, height, width).mean(axis=0)
        y, x = place // 3 * tile, place % 3 * tile
        canvas[y : y + tile, x : x + tile, :3] = COLOURS[index % len(COLOURS)]
        canvas[y : y + tile, x : x + tile, 3] = (image / max(image.max(), 1e-12))[np.ix_(rows, columns)]
    return canvas


def _scatter(dataset: Dataset, side: int) -> Floats:
    """The points of `_plane` as discs, drawn in a shuffled order so that no class covers another."""
    rows = np.linspace(0, dataset.rows - 1, min(dataset.rows, MOST_POINTS)).astype(int)
    rows = np.random.default_rng(0).permutation(rows)
    features, targets = dataset.features[rows], dataset.targets[rows]
    points, colours = _plane(dataset, features, targets), _colours(dataset, targets)
    radius = float(np.clip(0.4 * side / np.sqrt(len(rows)), side / 64, side / 28))
    place = (radius + _unit(points) * (side - 1 - 2 * radius)).round().astype(int)
    reach = np.arange(-int(radius), int(radius) + 1)
    disc = np.array([(dy, dx) for dy in reach for dx in reach if dy * dy + dx * dx <= radius * radius])
    y, x = (side - 1 - place[:, 1, None] + disc[:, 0]), (place[:, 0, None] + disc[:, 1])
    canvas = np.zeros((side, side, 4))
    canvas[y.ravel(), x.ravel(), :3] = np.repeat(colours, len(disc), axis=0)
    canvas[y.ravel(), x.ravel(), 3] = 1.0
    return canvas


def _plane(dataset: Dataset, features: Floats, targets: Array) -> Floats:
    """The two coordinates (n, 2) that show a table best."""
    if dataset.inputs == 2:
        return features
    if dataset.inputs == 1:
        return np.column_stack([features[:, 0], targets])
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    if dataset.task == "regression":
        best = int(np.abs(scaled.T @ (targets - targets.mean())).argmax())
        return np.column_stack([features[:, best], targets])
    _, _, axes = np.linalg.svd(scaled, full_matrices=False)
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])  # a component's sign is arbitrary
    return np.asarray(scaled @ (axes[:2] * signs[:, None]).T, dtype=np.float64)


def _colours(dataset: Dataset, targets: Array) -> Floats:
    """A colour (n, 3) per row: of its class, or from blue over grey to orange for a target of two inputs."""
    if dataset.task == "classification":
        return np.asarray(COLOURS[targets % len(COLOURS)], dtype=np.float64)
    if dataset.inputs != 2:
        return np.repeat(COLOURS[:1], len(targets), axis=0)
    stops = np.array([COLOURS[0], (187, 187, 187), COLOURS[1]])
    height = _unit(targets[:, None])[:, 0]
    return np.column_stack([np.interp(height, [0.0, 0.5, 1.0], stops[:, i]) for i in range(3)])


def _unit(values: Floats) -> Floats:
    """Each column moved and scaled to [0, 1]; to 0.5 where it does not vary."""
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return np.asarray(np.where(high > low, (values - low) / span, 0.5), dtype=np.float64)
