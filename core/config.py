"""What a run is: a frozen value, read from a link and written to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from typing import Any

from core.datasets import DATASETS, Dataset
from core.models import MODELS, Layer, Linear, Model
from core.optimizers import OPTIMIZERS, Momentum, Optimizer
from core.registry import Entry, Flag, Interval, Registry, Setting, nearest, setting, short
from core.schedules import (
    MOMENTUM_SCHEDULES,
    SCHEDULES,
    Constant,
    MomentumConstant,
    MomentumSchedule,
    Schedule,
)

NAMED = 3  # words of a link that are no setting and are named; the others are counted


class BadConfig(ValueError):
    """Settings that cannot be; the text is one sentence for each thing that is wrong."""


@dataclass(frozen=True)
class Config:
    """What one run is: the problem, the rule and the seed. Equal configs give equal runs.

    The settings of the chosen dataset, model, rule and schedules can be read as if they were its own:
    `config.learning_rate`, `config.hidden`.

    Attributes:
        dataset, model, optimizer, schedule, momentum_schedule: What was picked, with its settings.
        batch_size: Rows of a mini-batch; as many as the training part has, or more, is full batch.
        epochs: Passes over the training part.
        seed: Where the split, the first weights and the order of the batches come from.
        scale: Whether columns (and a numeric target) are standardised on the training part.
        valid_fraction: The part of the rows that is kept for validation.
    """

    dataset: Dataset = DATASETS["boston"]
    model: Model = Linear()
    optimizer: Optimizer = Momentum()
    schedule: Schedule = Constant()
    momentum_schedule: MomentumSchedule = MomentumConstant()
    batch_size: int = setting(
        Interval(
            "B",
            32,
            1,
            100_000,
            log=True,
            integer=True,
            help="Rows per update: small batches make the curve noisy.",
        )
    )
    epochs: int = setting(
        Interval(
            "E",
            50,
            1,
            10_000,
            log=True,
            integer=True,
            help="Passes over the training set: the curve's length.",
        )
    )
    seed: int = setting(
        Interval(
            "s",
            0,
            0,
            1_000_000_000,
            integer=True,
            help="Sets split, initial weights and batch order: another seed gives another curve.",
        )
    )
    scale: bool = setting(
        Flag(True, "Mean 0 and standard deviation 1 in every column: larger learning rates become stable.")
    )
    valid_fraction: float = setting(
        Interval(
            "",
            0.2,
            0.0,
            0.9,
            slider=(0.0, 0.5),
            help="Fraction of the rows held out: the validation curve is theirs.",
        )
    )

    def __post_init__(self) -> None:
        for key, record in Config.settings().items():
            object.__setattr__(self, key, record.check(key, getattr(self, key)))
        _ = self.layers

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """Its own settings; those of what was picked are in `parts`."""
        return {f.name: f.metadata["setting"] for f in fields(cls) if "setting" in f.metadata}

    @property
    def parts(self) -> dict[str, Entry]:
        """What was picked, by the word in the link."""
        return {word: getattr(self, word) for word in CHOICES}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            for word in CHOICES:
                part = self.__dict__.get(word)
                if part is not None and name in part.settings():
                    return getattr(part, name)
        raise AttributeError(f"This config has no {name!r}.")

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers of the model for this data."""
        data = self.dataset
        return self.model.layers(data.inputs, data.classes or 1, data.image_shape)

    @property
    def valid_rows(self) -> int:
        """Rows kept for validation; at least one row is left for training."""
        return min(round(self.dataset.rows * self.valid_fraction), self.dataset.rows - 1)

    @property
    def train_rows(self) -> int:
        """Rows that are trained on."""
        return self.dataset.rows - self.valid_rows

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one epoch; the last batch may be smaller."""
        return -(-self.train_rows // self.batch_size)

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.epochs * self.steps_per_epoch

    def but(self, **changes: Any) -> Config:
        """This config with other values, by the words of the link.

        Settings of what is newly picked by name are at their defaults, unless the old pick had one of that
        name. An entry (a table of one's own, a rule with its numbers) is taken as it is.

        Raises:
            BadConfig: A name or a value that cannot be.
        """
        given = {
            word: value for word, value in changes.items() if word in CHOICES and isinstance(value, Entry)
        }
        kept = {word: part for word, part in self.parts.items() if word not in changes} | given
        query = self.words()
        for part in given.values():
            query |= _texts(part)
        query |= {key: _text(key, value) for key, value in changes.items()}
        return _sound(Config._read(query, kept, "."))

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Config:
        """The config that a link describes; what it does not name is at its default.

        Raises:
            BadConfig: Unknown names or bad values, each with a sentence that says what would be good.
        """
        return _sound(cls._read(query, {}, "."))

    @classmethod
    def read(cls, query: Mapping[str, str]) -> tuple[Config, list[str]]:
        """As `from_query`, but with defaults in place of what is wrong, and the sentences about it."""
        return cls._read(query, {}, "; it is ignored.")

    @classmethod
    def _read(
        cls, query: Mapping[str, str], kept: Mapping[str, Entry], becomes: str
    ) -> tuple[Config, list[str]]:
        """As `read`; what is picked comes from `kept` where that has it, whatever the query calls it.

        Args:
            becomes: How the sentence about a word that is no setting goes on: what becomes of it.
        """
        wrong = _no_settings([key for key in query if key not in _known()], becomes)
        chosen = {word: kept[word] if word in kept else _picked(word, query, wrong) for word in CHOICES}
        picked = {word: _filled(part, query, wrong) for word, part in chosen.items()}
        own = {k: _parsed(k, r, query, wrong) for k, r in cls.settings().items() if k in query}
        for key, record in _known().items():  # of something that was not picked: checked, then left out
            if (
                key in query
                and record
                and key not in own
                and not any(hasattr(p, key) for p in picked.values())
            ):
                _parsed(key, record, query, wrong)
        try:
            return cls(**picked, **own), wrong
        except ValueError as error:
            return cls(**(picked | {"model": Linear()}), **own), [*wrong, str(error)]

    def to_query(self) -> dict[str, str]:
        """The words of its link: only what differs from the defaults."""
        bare: dict[str, Any] = {word: _bare(part) for word, part in self.parts.items()}
        plain = Config(**bare)
        usual = plain.words() | {w: t for w, t in Config().words().items() if w in CHOICES}
        return {key: text for key, text in self.words().items() if usual[key] != text}

    def words(self) -> dict[str, str]:
        """All words that a link of it could have, those at their defaults too."""
        words = {word: part.name for word, part in self.parts.items()}
        owners: list[Any] = [*self.parts.values(), self]
        for owner in owners:
            words |= _texts(owner)
        return words


CHOICES: dict[str, Registry[Any]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "momentum_schedule": MOMENTUM_SCHEDULES,
}


@cache
def _known() -> dict[str, Setting | None]:
    """Every word a link may hold, with its record; None for the words that pick something."""
    records: dict[str, Setting | None] = dict.fromkeys(CHOICES)
    for registry in CHOICES.values():
        for entry in registry.values():
            records |= {word: r for word, r in entry.settings().items() if word not in records}
    return records | Config.settings()


def _no_settings(words: list[str], becomes: str) -> list[str]:
    """A sentence for each of the first words that are no setting, and one for all others together."""
    named = [
        f"There is no setting named {short(word)!r}{becomes}{nearest(word, _known())}"
        for word in words[:NAMED]
    ]
    more = len(words) - NAMED
    return (
        [*named, f"{more:,} more {'names are' if more > 1 else 'name is'} no setting."] if more > 0 else named
    )


def _sound(read: tuple[Config, list[str]]) -> Config:
    config, wrong = read
    if wrong:
        raise BadConfig(" ".join(wrong))
    return config


def _texts(owner: Any) -> dict[str, str]:
    """The settings of an entry or a config as the words of a link."""
    return {key: record.text(getattr(owner, key)) for key, record in owner.settings().items()}


def _bare(part: Entry) -> Entry:
    """The same pick with all its settings at their defaults."""
    return replace(part, **{key: record.default for key, record in part.settings().items()})


def _picked(word: str, query: Mapping[str, str], wrong: list[str]) -> Any:
    """The entry that the link names for `word`, with default settings; the usual one where it names none."""
    usual = next(f.default for f in fields(Config) if f.name == word)
    entry = _tried(lambda: CHOICES[word][query[word]], usual, wrong) if word in query else usual
    return entry() if isinstance(entry, type) else entry


def _filled(part: Any, query: Mapping[str, str], wrong: list[str]) -> Any:
    given = {k: _parsed(k, r, query, wrong) for k, r in part.settings().items() if k in query}
    return replace(part, **given) if given else part


def _parsed(key: str, record: Setting, query: Mapping[str, str], wrong: list[str]) -> Any:
    return _tried(lambda: record.parse(key, query[key]), record.default, wrong)


def _tried(read: Any, otherwise: Any, wrong: list[str]) -> Any:
    try:
        return read()
    except ValueError as error:
        wrong.append(str(error))
        return otherwise


def _text(key: str, value: Any) -> str:
    record = _known().get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, Entry):
        return value.name
    return str(value) if record is None else record.text(value)
