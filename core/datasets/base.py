"""What a dataset is: facts that are known at once, arrays that come when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from core.registry import Entry, Registry

Task: TypeAlias = Literal["regression", "classification"]
Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.float64]
D = TypeVar("D", bound="type[Dataset]")


@dataclass(frozen=True)
class Dataset(Entry):
    """A table to learn from: a frozen value, equal to another of its class with equal options.

    Attributes:
        task: "regression" or "classification".
        rows, inputs: The shape (n, d) of the features, known without loading them.
        feature_names: One word per column of the features.
        target_name: What is to be predicted.
        unit: The target's unit; "" when it has none.
        class_names: The classes in the order of their index; empty for regression.
        image_shape: (channels, height, width) when a row of features is a picture, otherwise None.
        source: Where it comes from, in one sentence.
        licence: What it may be used for.
        note: What should be known before trusting it, in one sentence; "" when nothing.
    """

    task: ClassVar[Task]
    rows: ClassVar[int]
    inputs: ClassVar[int]
    feature_names: ClassVar[tuple[str, ...]]
    target_name: ClassVar[str]
    unit: ClassVar[str] = ""
    class_names: ClassVar[tuple[str, ...]] = ()
    image_shape: ClassVar[tuple[int, int, int] | None] = None
    source: ClassVar[str]
    licence: ClassVar[str]
    note: ClassVar[str] = ""

    @property
    def classes(self) -> int:
        """How many classes there are; 0 for regression."""
        return len(self.class_names)

    @property
    def features(self) -> Floats:
        """The inputs, (n, d), read-only; loaded or generated at the first look."""
        return _arrays(self)[0]

    @property
    def targets(self) -> Array:
        """What is to be predicted, (n,), read-only: float64, or the class index as int64."""
        return _arrays(self)[1]

    def make(self) -> tuple[Array, Array]:
        """Loads or generates the features (n, d) and the targets (n,); the same at every call."""
        raise NotImplementedError


@lru_cache(maxsize=16)
def _arrays(dataset: Dataset) -> tuple[Floats, Array]:
    return read_only(*dataset.make(), dataset.task)


def read_only(features: Array, targets: Array, task: Task) -> tuple[Floats, Array]:
    """The arrays in the types that a Dataset promises, closed to writing."""
    kind = np.int64 if task == "classification" else np.float64
    inputs = np.ascontiguousarray(features, dtype=np.float64)
    outputs = np.ascontiguousarray(targets, dtype=kind)
    inputs.flags.writeable = outputs.flags.writeable = False
    return inputs, outputs


DATASETS: Registry[Dataset] = Registry("dataset")


def listed(dataset: D) -> D:
    """Class decorator: adds the dataset with its default options to DATASETS."""
    DATASETS.add(dataset())
    return dataset
