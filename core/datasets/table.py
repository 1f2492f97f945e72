"""A user's own table as a dataset, or one sentence that says what is wrong with it.

pandas is used only through the frame that comes in, so that importing this costs nothing.
"""

from __future__ import annotations

import hashlib
import numbers
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.datasets.base import Array, Dataset, Floats, Task, read_only
from core.registry import Choice, unknown

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 100_000
FEWEST_ROWS = 10
MOST_COLUMNS = 200
MOST_WORDS = 20  # distinct values of a text column that becomes one-hot
MOST_CLASSES = 50
FEW_VALUES = 10  # whole numbers with at most this many distinct values are taken for classes
LARGEST = 1e100  # beyond it the squares of a variance overflow
TASK = Choice(("regression", "classification"), "regression")


class BadTable(ValueError):
    """A table that cannot be learned from; the text says what is wrong with it, in one sentence."""


@dataclass(frozen=True)
class Table(Dataset):
    """A user's table. Two are equal when their contents are, whatever they are called.

    Attributes:
        digest: SHA-256 of the arrays, the names of the columns and classes, and the task.
        facts: What the other datasets say in their class: title, task, rows, and so on.
        arrays: The features and targets, read-only; kept with the table, not in the shared cache.
    """

    digest: str
    facts: dict[str, Any] = field(compare=False, repr=False)
    arrays: tuple[Floats, Array] = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, value in self.facts.items():
            object.__setattr__(self, key, value)

    @property
    def features(self) -> Floats:
        return self.arrays[0]

    @property
    def targets(self) -> Array:
        return self.arrays[1]

    def make(self) -> tuple[Array, Array]:
        return self.arrays


class Column(NamedTuple):
    """A column of a frame, read: its name, what it holds, and its values without any that are missing."""

    name: str
    kind: str  # "number" | "flag" | "text"
    values: Array  # (n,) float64, NaN where missing; for text an object array, None where missing
    missing: Array  # (n,) bool


def from_table(
    frame: pd.DataFrame, target: str, *, name: str = "Your table", task: Task | None = None
) -> Table:
    """The dataset that predicts column `target` of `frame` from its other columns.

    Booleans become 0 and 1; text columns become one column of 0 and 1 per value. Columns that are the same
    in every row or mostly missing are left out, then rows with a missing value; the note counts both. With
    `task` None, text, booleans and whole numbers of few different values are classes, all else a quantity.

    Args:
        frame: Any DataFrame; it is not changed, and no part of it is kept.
        target: The name of the column to predict.
        name: The title on the page; the dataset's own `name` is made from its contents.
        task: "regression" or "classification" when it should not be inferred.

    Raises:
        BadTable: What is wrong, in one sentence that names the column.
        UnknownName: `task` is not one of the two.
    """
    if task is not None:
        TASK.check("task", task)
    names = _names(frame)
    if str(target) not in names:
        raise BadTable(unknown("column", target, names))
    _check_size(frame)
    position = names.index(str(target))
    aim = _target(_read(names[position], frame.iloc[:, position]))
    columns = [_read(n, frame.iloc[:, i]) for i, n in enumerate(names) if i != position]
    columns, rows, note = _usable(columns, len(frame))
    feature_names, features = _matrix(columns, rows)
    task, class_names, targets = _task(aim._replace(values=aim.values[rows]), task)
    facts = {
        "task": task,
        "feature_names": feature_names,
        "target_name": aim.name,
        "class_names": class_names,
    }
    return _table(facts, read_only(features, targets, task), title=str(name), note=note)


def _table(facts: dict[str, Any], arrays: tuple[Floats, Array], title: str, note: str) -> Table:
    """The dataset named after the SHA-256 of its `facts` and `arrays`; title and note are not counted."""
    rows, inputs = arrays[0].shape
    sum_ = hashlib.sha256(repr((*facts.values(), rows, inputs)).encode())
    for array in arrays:
        sum_.update(array.tobytes())
    digest = sum_.hexdigest()
    said = {"name": f"table-{digest[:8]}", "title": title, "rows": rows, "inputs": inputs, "note": note}
    origin = {"source": "A table that was uploaded.", "licence": "Its owner's"}
    return Table(digest, {**facts, **said, **origin}, arrays)


def _names(frame: pd.DataFrame) -> list[str]:
    if not (hasattr(frame, "columns") and hasattr(frame, "iloc")):
        raise BadTable(f"A table must be a pandas DataFrame, got {type(frame).__name__}.")
    names = [str(column) for column in frame.columns]
    _check_distinct(names)
    return names


def _check_distinct(names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadTable(f"Every column needs a name of its own, but {_listed(twice)} comes more than once.")


def _check_size(frame: pd.DataFrame) -> None:
    rows, columns = frame.shape
    if rows == 0:
        raise BadTable("The table has no rows.")
    if rows > MOST_ROWS:
        raise BadTable(f"The table may have at most {MOST_ROWS:,} rows, but it has {rows:,}.")
    if columns < 2:
        raise BadTable("The table has no column beside the target: there is nothing to predict it from.")
    _check_columns(columns - 1)


def _check_columns(count: int) -> None:
    if count > MOST_COLUMNS:
        raise BadTable(
            f"The table may have at most {MOST_COLUMNS} columns beside the target, "
            f"counting one per value of a text column, but it has {count:,}."
        )


def _read(name: str, series: pd.Series[Any]) -> Column:
    """The column as numbers or words, whatever pandas holds it in."""
    kind = series.dtype.kind
    missing = np.asarray(series.isna(), dtype=bool)
    if series.dtype.name == "category":
        words = series.astype(object)
        present = set(map(type, words[~missing]))
        return _words(name, words, missing) if present != {bool} else _numbers(name, words, missing, "flag")
    if kind == "O" or kind not in "biuf":
        kind = _kind_of_objects(name, series, missing)
    if kind == "text":
        return _words(name, series, missing)
    return _numbers(name, series, missing, "flag" if kind in ("b", "flag") else "number")


def _kind_of_objects(name: str, series: pd.Series[Any], missing: Array) -> str:
    """What a column holds that pandas has no number type for: "flag", "number" or "text"."""
    if series.dtype.kind in "mM" or series.dtype.name.startswith("period"):
        raise _dates(name)
    values = list(series[~missing])
    if all(isinstance(v, str) for v in values):
        return "text"
    if all(isinstance(v, bool | np.bool_) for v in values):
        return "flag"
    if all(isinstance(v, numbers.Real | Decimal) and not isinstance(v, bool) for v in values):
        return "number"
    if all(hasattr(v, "year") or hasattr(v, "total_seconds") or hasattr(v, "hour") for v in values):
        raise _dates(name)
    kinds = sorted({type(v).__name__ for v in values})
    raise BadTable(
        f"Column {_short(name)} must hold numbers, true and false, or text alone, "
        f"but it holds {' and '.join(kinds[:3])}."
    )


def _dates(name: str) -> BadTable:
    return BadTable(
        f"Column {_short(name)} holds dates or times, which are not numbers: "
        "turn it into a number, such as days since the first, or leave it out."
    )


def _words(name: str, series: pd.Series[Any], missing: Array) -> Column:
    values = np.full(len(series), None, dtype=object)
    values[~missing] = [str(value) for value in series[~missing]]
    return Column(name, "text", values, missing)


def _numbers(name: str, series: pd.Series[Any], missing: Array, kind: str) -> Column:
    values = np.full(len(series), np.nan)
    try:
        values[~missing] = (
            [float(v) for v in series[~missing]] if series.dtype.kind == "O" else series[~missing]
        )
    except OverflowError:  # a whole number of Python beyond the largest float
        raise BadTable(f"Column {_short(name)} holds a number that is too large to compute with.") from None
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0]) + 1
        raise BadTable(f"Column {_short(name)} holds an infinite value, the first in row {row:,}.")
    if (np.abs(values[~missing]) > LARGEST).any():
        raise BadTable(f"Column {_short(name)} holds a number that is too large to compute with.")
    return Column(name, kind, values, missing)


def _target(column: Column) -> Column:
    missing = int(column.missing.sum())
    if missing:
        raise BadTable(
            f"The target {_short(column.name)} is missing in {missing:,} of {len(column.missing):,} rows: "
            "fill these in or leave the rows out."
        )
    return column


def _usable(columns: list[Column], rows: int) -> tuple[list[Column], Array, str]:
    """The columns to learn from, which rows they have complete (n,), and the note on what was left out."""
    mostly = [c for c in columns if 2 * c.missing.sum() > rows]
    columns = [c for c in columns if 2 * c.missing.sum() <= rows]
    whole = ~np.any([c.missing for c in columns], axis=0) if columns else np.ones(rows, dtype=bool)
    if columns and whole.sum() < FEWEST_ROWS:
        raise BadTable(
            f"At least {FEWEST_ROWS} rows without a missing value are needed, but there "
            f"{'is' if whole.sum() == 1 else 'are'} {whole.sum()} of {rows:,}."
        )
    constant = [c for c in columns if len(_distinct(c, whole)) == 1]
    columns = [c for c in columns if len(_distinct(c, whole)) > 1]
    if not columns:
        raise BadTable(
            "No column beside the target is left to learn from: "
            "each is the same in every row or mostly missing."
        )
    return columns, whole, _note(mostly, constant, int(rows - whole.sum()), rows)


def _note(mostly: list[Column], constant: list[Column], dropped: int, rows: int) -> str:
    parts = [
        f"columns more than half empty ({_listed([c.name for c in mostly])})" if mostly else "",
        f"columns that are the same in every row ({_listed([c.name for c in constant])})" if constant else "",
        f"{dropped:,} of {rows:,} rows with a missing value" if dropped else "",
    ]
    said = [part for part in parts if part]
    return f"Left out: {', '.join(said)}." if said else ""


def _distinct(column: Column, rows: Array) -> list[Any]:
    """The different values in these rows, sorted; numbers by size, words by alphabet."""
    values = column.values[rows]
    return sorted(set(values)) if column.kind == "text" else np.unique(values).tolist()


def _matrix(columns: list[Column], rows: Array) -> tuple[tuple[str, ...], Array]:
    """The names (d,) and values (n, d) of the features, text as one column of 0 and 1 per value."""
    names: list[str] = []
    parts: list[Array] = []
    for column in columns:
        values = column.values[rows]
        if column.kind != "text":
            names, parts = [*names, column.name], [*parts, values]
            continue
        words = _distinct(column, rows)
        if len(words) > MOST_WORDS:
            raise _many_words(column, words)
        names += [f"{column.name}={word}" for word in words]
        parts += [values == word for word in words]
    _check_columns(len(parts))
    _check_distinct(names)
    return tuple(names), np.column_stack(parts).astype(np.float64)


def _many_words(column: Column, words: list[str]) -> BadTable:
    """The message for a text column with too many values: most often it is numbers with a few slips."""
    name, slips = _short(column.name), [word for word in words if not _is_number(word)]
    if not slips:
        return BadTable(f"Column {name} holds numbers that are written as text: read them as numbers.")
    if 2 * len(slips) < len(words):
        return BadTable(f"Column {name} is text, for among its numbers there is {_listed(slips)}.")
    return BadTable(
        f"A text column may have at most {MOST_WORDS} different values, but {name} has {len(words):,}: "
        "leave it out or group its values."
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _task(aim: Column, task: Task | None) -> tuple[Task, tuple[str, ...], Array]:
    """The task, the names of the classes, and the targets (n,) as numbers or class indices."""
    values = _distinct(aim, np.ones(len(aim.values), dtype=bool))
    if len(values) == 1:
        raise BadTable(f"The target {_short(aim.name)} is the same in every row: there is nothing to learn.")
    if (task or _inferred(aim, values)) == "classification":
        return "classification", *_classes(aim, values)
    if aim.kind == "text":
        raise BadTable(f"The target {_short(aim.name)} is text, so the task must be classification.")
    return "regression", (), aim.values


def _inferred(aim: Column, values: list[Any]) -> Task:
    if aim.kind != "number":
        return "classification"
    whole = len(values) <= FEW_VALUES and all(value == int(value) for value in values)
    often = whole and min(Counter(aim.values.tolist()).values()) > 1
    return "classification" if often else "regression"


def _classes(aim: Column, values: list[Any]) -> tuple[tuple[str, ...], Array]:
    if len(values) > MOST_CLASSES:
        raise BadTable(
            f"There may be at most {MOST_CLASSES} classes, but the target {_short(aim.name)} has "
            f"{len(values):,} different values."
        )
    index = {value: i for i, value in enumerate(values)}
    targets = np.array([index[value] for value in aim.values.tolist()])
    names = tuple(_class_name(aim, value) for value in values)
    alone = [names[i] for i in np.flatnonzero(np.bincount(targets) == 1)]
    if alone:
        raise BadTable(f"Every class needs two rows or more, but {_listed(alone)} has one.")
    return names, targets


def _class_name(aim: Column, value: Any) -> str:
    if aim.kind == "flag":
        return "true" if value else "false"
    return value if aim.kind == "text" else repr(float(value)).removesuffix(".0")


def _listed(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(_short, names[:most])) + more


def _short(name: str, most: int = 60) -> str:
    return repr(name if len(name) <= most else name[: most - 1] + "…")
