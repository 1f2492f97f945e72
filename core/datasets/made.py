"""Generated tables of 1,000 rows, whose one thing is known because it was put there.

Each comes from fixed generators, so a table is the same for every seed of a run, and its noise is the
same draws times a scale, so that points move smoothly when the scale does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.datasets.base import Array, Dataset, Floats, listed
from core.registry import Interval, setting

ROWS = 1000
NOT_NEEDED = "None needed: computed, not collected"


def _jitter(default: float, high: float) -> Interval:
    text = "Standard deviation of the noise on every point: more makes the classes overlap."
    return Interval("σ", default, 0.0, high, help=text)


def _error(default: float) -> Interval:
    text = "Standard deviation of the noise on the target: more raises the lowest loss that can be reached."
    return Interval("σ", default, 0.0, 1.0, help=text)


def _draws(*shape: int) -> Floats:
    """Standard normal noise from a generator of its own, so that it does not depend on other options."""
    return np.random.default_rng(1).standard_normal(shape)


@dataclass(frozen=True)
class Points(Dataset):
    """Points of the plane in classes, each shifted by normal noise."""

    task = "classification"
    rows = ROWS
    inputs = 2
    feature_names = ("x1", "x2")
    target_name = "class"
    licence = NOT_NEEDED
    noise: float = setting(_jitter(0.1, 0.5))

    def clean(self) -> tuple[Array, Array]:
        """The points (n, 2) without noise, and their classes (n,)."""
        raise NotImplementedError

    def make(self) -> tuple[Array, Array]:
        points, classes = self.clean()
        return points + self.noise * _draws(*points.shape), classes


@listed
@dataclass(frozen=True)
class Moons(Points):
    """Two half circles that reach into each other."""

    name = "moons"
    title = "Two moons"
    class_names = ("upper", "lower")
    source = "Computed: two half circles of radius 1, as in scikit-learn's make_moons."

    def clean(self) -> tuple[Array, Array]:
        t = np.linspace(0.0, np.pi, ROWS // 2)
        upper = np.column_stack([np.cos(t), np.sin(t)])
        lower = np.column_stack([1.0 - np.cos(t), 0.5 - np.sin(t)])
        return np.concatenate([upper, lower]), np.repeat([0, 1], ROWS // 2)


@listed
@dataclass(frozen=True)
class Circles(Points):
    """One circle inside another."""

    name = "circles"
    title = "Two circles"
    class_names = ("outer", "inner")
    source = "Computed: circles of radius 1 and 0.5 about the origin, as in scikit-learn's make_circles."

    def clean(self) -> tuple[Array, Array]:
        t = np.linspace(0.0, 2.0 * np.pi, ROWS // 2, endpoint=False)
        circle = np.column_stack([np.cos(t), np.sin(t)])
        return np.concatenate([circle, 0.5 * circle]), np.repeat([0, 1], ROWS // 2)


@listed
@dataclass(frozen=True)
class Xor(Points):
    """Four squares, of which those across a corner are of one class."""

    name = "xor"
    title = "XOR"
    class_names = ("same sign", "opposite signs")
    source = "Computed: 250 uniform points in each quarter of a square, as in TensorFlow Playground."

    def clean(self) -> tuple[Array, Array]:
        signs = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])[np.arange(ROWS) * 4 // ROWS]
        distance = np.random.default_rng(0).uniform(0.06, 1.0, (ROWS, 2))
        return signs * distance, (signs[:, 0] != signs[:, 1]).astype(np.int64)


@listed
@dataclass(frozen=True)
class Spirals(Points):
    """Two arms wound into each other."""

    name = "spirals"
    title = "Two spirals"
    class_names = ("first arm", "second arm")
    source = "Computed: two arms of 1.75 turns and radius 1, as in TensorFlow Playground."
    noise: float = setting(_jitter(0.02, 0.2))

    def clean(self) -> tuple[Array, Array]:
        radius = np.arange(1, ROWS // 2 + 1) / (ROWS // 2)
        angle = 1.75 * 2.0 * np.pi * radius
        arm = radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
        return np.concatenate([arm, -arm]), np.repeat([0, 1], ROWS // 2)


@listed
@dataclass(frozen=True)
class Blobs(Points):
    """Three round clouds."""

    name = "blobs"
    title = "Three blobs"
    class_names = ("A", "B", "C")
    source = "Computed: normal clouds about the corners of a triangle at distance 1 from the origin."
    noise: float = setting(_jitter(0.35, 1.0))

    def clean(self) -> tuple[Array, Array]:
        classes = np.arange(ROWS) * 3 // ROWS
        angle = np.pi / 2.0 + 2.0 * np.pi / 3.0 * classes
        return np.column_stack([np.cos(angle), np.sin(angle)]), classes


@listed
@dataclass(frozen=True)
class Plane(Dataset):
    """A target that rises evenly along the diagonal of a square."""

    name = "plane"
    title = "Plane"
    task = "regression"
    rows = ROWS
    inputs = 2
    feature_names = ("x1", "x2")
    target_name = "height"
    source = "Computed: height (x1 + x2) / 10 over the square from −6 to 6, as in TensorFlow Playground."
    licence = NOT_NEEDED
    noise: float = setting(_error(0.1))

    def make(self) -> tuple[Array, Array]:
        points = np.random.default_rng(0).uniform(-6.0, 6.0, (ROWS, 2))
        return points, points.sum(axis=1) / 10.0 + self.noise * _draws(ROWS)


@listed
@dataclass(frozen=True)
class Ravine(Dataset):
    """A linear regression whose loss is a ravine of chosen condition number.

    Every input has mean 0 and variance 1, so standardising does not take the ravine away: it lies in the
    correlations. Over all rows their matrix has exactly the eigenvalues of `spectrum`, and each
    eigen-direction explains a comparable share of the target's variance, so that the slow ones matter.
    """

    name = "ravine"
    title = "Ravine (ill-conditioned regression)"
    task = "regression"
    rows = ROWS
    target_name = "y"
    source = "Computed: a linear target of inputs whose correlation matrix has prescribed eigenvalues."
    licence = NOT_NEEDED
    note = "The condition number is exact over all 1,000 rows and nearly the same on a part of them."
    inputs: int = setting(  # type: ignore[misc]  # elsewhere a constant of the class, here an option
        Interval("d", 5, 1, 64, integer=True, help="Number of inputs; with one the condition number is 1.")
    )
    condition: float = setting(
        Interval(
            *("κ", 100.0, 1.0, 10_000.0),
            log=True,
            help="Largest over smallest curvature: higher slows plain SGD and favours momentum.",
        )
    )
    noise: float = setting(_error(0.1))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "feature_names", tuple(f"x{i + 1}" for i in range(self.inputs)))

    def make(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(0)
        white = _whitened(rng.standard_normal((ROWS, self.inputs)))
        root = correlation_root(spectrum(self.inputs, self.condition), rng)
        share = rng.choice([-1.0, 1.0], self.inputs) * rng.uniform(0.5, 1.5, self.inputs)
        signal = white @ (share / np.linalg.norm(share))
        return white @ root, signal + self.noise * _draws(ROWS)


def spectrum(inputs: int, condition: float) -> Floats:
    """Eigenvalues (d,), falling, evenly spaced on a log scale: mean 1, first by last is `condition`."""
    values = np.geomspace(condition, 1.0, inputs) if inputs > 1 else np.ones(1)
    return np.asarray(values / values.mean(), dtype=np.float64)


def correlation_root(eigenvalues: Floats, rng: np.random.Generator) -> Floats:
    """A random A (d, d) such that A'A is a correlation matrix with these eigenvalues (of mean 1).

    A is diag(√λ) times a random orthogonal matrix; each of d − 1 Givens rotations of two columns, one
    too short and one too long, gives one of them unit length and leaves the eigenvalues alone.

    References:
        Davies and Higham, "Numerically stable generation of correlation matrices and their factors", 2000.
    """
    q, r = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))
    a = np.sqrt(eigenvalues)[:, None] * (q * np.sign(np.diag(r)))  # Haar: the signs make q unique
    for _ in range(len(eigenvalues) - 1):
        length = (a**2).sum(axis=0)
        i, j = int(length.argmin()), int(length.argmax())
        if length[j] - 1.0 < 1e-12:
            break
        dot = a[:, i] @ a[:, j]
        tan = (dot + np.sqrt(dot**2 - (length[i] - 1.0) * (length[j] - 1.0))) / (length[j] - 1.0)
        cos = 1.0 / np.sqrt(1.0 + tan**2)
        a[:, i], a[:, j] = cos * (a[:, i] - tan * a[:, j]), cos * (tan * a[:, i] + a[:, j])
    return np.asarray(a / np.sqrt((a**2).sum(axis=0)), dtype=np.float64)


def _whitened(values: Floats) -> Floats:
    """`values` (n, d) with column means 0 and exactly the identity as covariance (divided by n)."""
    centred = values - values.mean(axis=0)
    factor = np.linalg.cholesky(centred.T @ centred / len(values))
    return np.asarray(np.linalg.solve(factor, centred.T).T, dtype=np.float64)
