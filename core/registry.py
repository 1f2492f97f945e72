"""What a person can pick (entries in registries) and what they can set on it (settings).

One record per setting is the slider on the page, the check, the error message, the word in the link and
the search space. Nothing here imports more than the standard library: pages draw before torch is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, ClassVar, Protocol, TypeVar

T = TypeVar("T")
C = TypeVar("C", bound="type[Entry]")

SHOWN = 80  # characters of what was given that a message repeats
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")  # or a decimal comma: nobody can tell
_WIDTHS = re.compile(r" *[0-9]{1,9} *(, *[0-9]{1,9} *)*")


class UnknownName(ValueError, KeyError):
    """A name that nothing answers to; the text lists the names that exist."""

    __str__ = Exception.__str__


class OutOfRange(ValueError):
    """A value outside what its setting allows; the text names the setting, the good values, the given one."""


class Setting(Protocol):
    """One thing that can be set: how it is read from text, checked and written."""

    @property
    def default(self) -> Any: ...
    @property
    def help(self) -> str: ...
    def parse(self, name: str, text: str) -> Any: ...
    def check(self, name: str, value: Any) -> Any: ...
    def text(self, value: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class Interval:
    """A number between two ends, both included.

    Attributes:
        symbol: The letter in the equation, such as "η".
        default: The value when nothing is said.
        low, high: The ends; a value outside raises OutOfRange.
        log: Whether its slider and its search space are logarithmic.
        integer: Whether only whole numbers are meant.
        slider: The part of the interval that a slider shows; the whole one when None.
        help: What it does to the curve, in one sentence.
    """

    symbol: str
    default: float
    low: float
    high: float
    log: bool = False
    integer: bool = False
    slider: tuple[float, float] | None = None
    help: str = ""

    def parse(self, name: str, text: str) -> float:
        """The number that a text says: 0.05, 0,05 and 5e-2 are the same one."""
        said = text.strip()
        if not _NUMBER.fullmatch(said) or _THOUSANDS.fullmatch(said):
            raise OutOfRange(f"{name} must be {self._good()}, got {quoted(said)}.")
        return self.check(name, float(said.replace(",", ".")), said)

    def check(self, name: str, value: float, given: str | None = None) -> float:
        """`value` as a float (or int), if it lies in the interval.

        Raises:
            OutOfRange: It is no finite number in [low, high], or not whole where it must be.
        """
        given = short(given if given is not None else repr(value))
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise OutOfRange(f"{name} must be {self._good()}, got {given}.") from None
        whole = not self.integer or number == math.floor(number) if math.isfinite(number) else False
        if not (whole and self.low <= number <= self.high):
            raise OutOfRange(f"{name} must be {self._good()}, got {given}.")
        return int(number) if self.integer else number

    def text(self, value: float) -> str:
        return str(int(value)) if self.integer else repr(float(value)).removesuffix(".0")

    def _good(self) -> str:
        kind = "a whole number" if self.integer else "a number"
        return f"{kind} in [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few names."""

    options: tuple[str, ...]
    default: str
    help: str = ""

    def parse(self, name: str, text: str) -> str:
        return self.check(name, text)

    def check(self, name: str, value: str) -> str:
        if value not in self.options:
            raise UnknownName(unknown(name, value, self.options))
        return value

    def text(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class Flag:
    """On or off."""

    default: bool = False
    help: str = ""

    def parse(self, name: str, text: str) -> bool:
        words: dict[str, bool] = dict.fromkeys(("true", "1", "yes", "on"), True)
        words |= dict.fromkeys(("false", "0", "no", "off"), False)
        return self.check(name, words.get(text.strip().lower(), text))

    def check(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            given = quoted(value) if isinstance(value, str) else short(repr(value))
            raise OutOfRange(f"{name} must be true or false, got {given}.")
        return value

    def text(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Widths:
    """A short list of whole numbers, written with commas: 16,16."""

    default: tuple[int, ...]
    most: int
    low: int
    high: int
    help: str = ""

    def parse(self, name: str, text: str) -> tuple[int, ...]:
        if not _WIDTHS.fullmatch(text):
            raise OutOfRange(f"{name} must be {self._good()}, got {quoted(text)}.")
        return self.check(name, tuple(map(int, text.split(","))))

    def check(self, name: str, value: tuple[int, ...]) -> tuple[int, ...]:
        widths = tuple(value)
        good = all(isinstance(w, int) and self.low <= w <= self.high for w in widths)
        if not (good and 1 <= len(widths) <= self.most):
            raise OutOfRange(f"{name} must be {self._good()}, got {quoted(self.text(widths))}.")
        return widths

    def text(self, value: tuple[int, ...]) -> str:
        return ",".join(map(str, value))

    def _good(self) -> str:
        example = self.text(self.default)
        return f"1 to {self.most} whole numbers in [{self.low}, {self.high}], such as {example}"


@dataclass(frozen=True, slots=True)
class Word:
    """A name that is not known beforehand: letters, digits, - and _, or nothing."""

    default: str = ""
    help: str = ""

    def parse(self, name: str, text: str) -> str:
        return self.check(name, text)

    def check(self, name: str, value: str) -> str:
        if len(value) > 64 or not all(c.isalnum() or c in "-_" for c in value):
            raise OutOfRange(f"{name} must be a word of letters, digits, - and _, got {quoted(value)}.")
        return value

    def text(self, value: str) -> str:
        return value


def setting(record: Setting) -> Any:
    """A dataclass field that carries its record; its default is the record's."""
    return field(default=record.default, metadata={"setting": record})


@dataclass(frozen=True)
class Entry:
    """Something that can be picked: a frozen value whose fields are its settings.

    Attributes:
        name: The word in links and code.
        title: The words on the page.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __post_init__(self) -> None:
        for key, record in self.settings().items():
            object.__setattr__(self, key, record.check(key, getattr(self, key)))

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """The settings by field name, in the order in which they are declared."""
        return {f.name: f.metadata["setting"] for f in fields(cls) if "setting" in f.metadata}


def short(text: str) -> str:
    """A text in at most SHOWN characters."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def quoted(text: str) -> str:
    """What was given, as a message repeats it: short and in quotes."""
    return repr(short(text.strip())) if text.strip() else "nothing"


def nearest(name: object, known: Iterable[str]) -> str:
    """The question whether another name was meant, with a space before it; empty where none is near."""
    near = get_close_matches(short(str(name)), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist, with the nearest one that does."""
    names = list(known)
    return f"No {kind} named {short(str(name))!r}.{nearest(name, names)} There are: {', '.join(names)}."


class Registry(Mapping[str, T]):
    """Entries by name, in the order in which they were added.

    Args:
        kind: What the entries are, in the words of a message ("optimizer").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, entry: T) -> T:
        """Adds an entry under its `name`; usable as a class decorator."""
        name: str = entry.name  # type: ignore[attr-defined]
        if name in self._entries:
            raise ValueError(f"There is already a {self.kind} named {name!r}.")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise UnknownName(unknown(self.kind, name, self._entries)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
