"""What a run is: its link, its checks, its sentences, and what makes two of them equal."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.config import CHOICES, BadConfig, Config
from core.datasets import DATASETS, from_table
from core.models import ACTIVATIONS, CNN, MLP, MODELS, Linear
from core.optimizers import OPTIMIZERS, SGD, Adam, Momentum
from core.registry import Choice, Flag, Interval, OutOfRange, Setting, UnknownName, Widths
from core.schedules import MOMENTUM_SCHEDULES, SCHEDULES, Cosine

ROOT = Path(__file__).parents[1]
PICTURES = ("digits", "mnist5k")


def some_value(record: Setting, source: random.Random) -> Any:
    """A value that the setting takes, awkward ones among them."""
    if isinstance(record, Interval):
        low, high = record.slider or (record.low, record.high)
        value = source.choice([low, high, source.uniform(low, high), low + (high - low) / 3])
        return int(value) if record.integer else value
    if isinstance(record, Flag):
        return source.random() < 0.5
    if isinstance(record, Choice):
        return source.choice(record.options)
    assert isinstance(record, Widths)
    return tuple(
        source.randint(record.low, record.high) for _ in range(source.randint(1, min(record.most, 3)))
    )


def filled(entry: Any, source: random.Random) -> Any:
    kind = entry if isinstance(entry, type) else type(entry)
    return kind(**{key: some_value(record, source) for key, record in kind.settings().items()})


def many_configs() -> Iterator[Config]:
    """Every entry of every registry with random settings, and the same with its defaults."""
    source = random.Random(0)
    words = ("dataset", "model", "optimizer", "schedule", "momentum_schedule")
    longest = max(len(CHOICES[word]) for word in words)
    for turn in range(3 * longest):
        picks = {}
        for word in words:
            entries = list(CHOICES[word].values())
            picks[word] = filled(entries[turn % len(entries)], source)
        if picks["dataset"].name not in PICTURES and picks["model"].name == "cnn":
            picks["model"] = MLP()
        if picks["dataset"].name in PICTURES and turn % 2:
            picks["model"] = CNN()
        if isinstance(picks["model"], CNN):
            picks["model"] = CNN(channels=(3, 4), activation=source.choice(ACTIVATIONS))
        if turn % 3 == 2:
            picks = {w: p if w == "dataset" or p.name == "cnn" else type(p)() for w, p in picks.items()}
        if picks["schedule"].name == "onecycle" and picks["momentum_schedule"].name == "cycle":
            picks["momentum_schedule"] = type(picks["momentum_schedule"])(peak=picks["schedule"].peak)
        own = {key: some_value(record, source) for key, record in Config.settings().items()}
        yield Config(**picks, **own)


CONFIGS = list(many_configs())


def test_the_many_configs_hold_every_entry_of_every_registry() -> None:
    for word, registry in CHOICES.items():
        assert {getattr(c, word).name for c in CONFIGS} == set(registry), word


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda c: f"{c.dataset.name}-{c.model.name}-{c.optimizer.name}"
)
def test_a_link_gives_back_the_config_it_was_made_from(config: Config) -> None:
    query = config.to_query()
    again = Config.from_query(query)
    assert again == config
    assert hash(again) == hash(config)
    assert again.to_query() == query
    assert all(isinstance(key, str) and isinstance(text, str) for key, text in query.items())
    assert Config.read(query) == (config, [])


@pytest.mark.parametrize("config", CONFIGS[::4])
def test_a_link_holds_only_what_differs_from_the_defaults(config: Config) -> None:
    query = config.to_query()
    for word in query:
        without = {k: t for k, t in query.items() if k != word}
        assert Config.read(without)[0] != config or Config.read(without)[1]


def test_the_default_config_has_an_empty_link() -> None:
    assert Config().to_query() == {}
    assert Config.from_query({}) == Config()


def test_a_default_that_is_spelled_out_is_left_out_of_the_link() -> None:
    query = {
        "dataset": "boston",
        "optimizer": "momentum",
        "momentum": "0.90",
        "epochs": "50.0",
        "scale": "yes",
    }
    assert Config.from_query(query) == Config()
    assert Config.from_query({"optimizer": "adam", "learning_rate": "0.001"}).to_query() == {
        "optimizer": "adam"
    }
    assert Config(optimizer=Adam(learning_rate=0.01)).to_query() == {
        "optimizer": "adam",
        "learning_rate": "0.01",
    }


def test_the_link_of_the_design_is_understood() -> None:
    config = Config.from_query(
        {
            **{"dataset": "boston", "model": "linear", "optimizer": "momentum", "learning_rate": "0.01"},
            **{"momentum": "0.9", "batch_size": "32", "epochs": "10", "seed": "0"},
        }
    )
    assert config == Config(
        dataset=DATASETS["boston"], model=Linear(), optimizer=Momentum(0.01, 0.9), epochs=10
    )
    assert (config.learning_rate, config.momentum, config.batch_size) == (0.01, 0.9, 32)
    assert config.to_query() == {"epochs": "10"}


def test_words_of_a_link_are_the_names_of_the_fields() -> None:
    query = {
        **{"dataset": "moons", "noise": "0.25", "model": "mlp", "hidden": "8,4", "activation": "relu"},
        **{"optimizer": "adamw", "beta1": "0.8", "amsgrad": "true", "schedule": "cosine", "final": "0.1"},
        **{
            "momentum_schedule": "ramp",
            "ramp": "0.3",
            "scale": "false",
            "valid_fraction": "0.3",
            "seed": "7",
        },
    }
    config = Config.from_query(query)
    assert config.dataset.noise == config.noise == 0.25
    assert (config.hidden, config.activation) == ((8, 4), "relu")
    assert (config.beta1, config.amsgrad, config.final, config.ramp) == (0.8, True, 0.1, 0.3)
    assert (config.scale, config.valid_fraction, config.seed) == (False, 0.3, 7)
    assert config.to_query() == query


BAD = [  # what the link says; the one sentence about it
    ({"dataset": "bostn"}, "No dataset named 'bostn'. Did you mean 'boston'? There are: squares, boston, "),
    ({"optimizer": "nope"}, "No optimizer named 'nope'. There are: sgd, momentum, nesterov, rmsprop, "),
    ({"model": "mpl"}, "No model named 'mpl'. Did you mean 'mlp'? There are: linear, mlp, cnn."),
    ({"schedule": "cosin"}, "No schedule named 'cosin'. Did you mean 'cosine'? There are: constant, step, "),
    ({"learning_rate": "nan"}, "learning_rate must be a number in [1e-08, 10000], got 'nan'."),
    ({"learning_rate": "0"}, "learning_rate must be a number in [1e-08, 10000], got 0."),
    ({"learning_rate": "-1"}, "learning_rate must be a number in [1e-08, 10000], got -1."),
    ({"learning_rate": "1e400"}, "learning_rate must be a number in [1e-08, 10000], got 1e400."),
    ({"learning_rate": "inf"}, "learning_rate must be a number in [1e-08, 10000], got 'inf'."),
    ({"learning_rate": "abc"}, "learning_rate must be a number in [1e-08, 10000], got 'abc'."),
    ({"learning_rate": ""}, "learning_rate must be a number in [1e-08, 10000], got nothing."),
    ({"momentum": "1.01"}, "momentum must be a number in [0, 1], got 1.01."),
    ({"epochs": "10000000"}, "epochs must be a whole number in [1, 10000], got 10000000."),
    ({"epochs": "0"}, "epochs must be a whole number in [1, 10000], got 0."),
    ({"epochs": "2.5"}, "epochs must be a whole number in [1, 10000], got 2.5."),
    ({"batch_size": "0"}, "batch_size must be a whole number in [1, 100000], got 0."),
    ({"seed": "-1"}, "seed must be a whole number in [0, 1e+09], got -1."),
    ({"valid_fraction": "1"}, "valid_fraction must be a number in [0, 0.9], got 1."),
    ({"scale": "maybe"}, "scale must be true or false, got 'maybe'."),
    (
        {"model": "mlp", "hidden": "300"},
        "hidden must be 1 to 6 whole numbers in [1, 256], such as 16,16, got '300'.",
    ),
    (
        {"model": "mlp", "hidden": "16,x"},
        "hidden must be 1 to 6 whole numbers in [1, 256], such as 16,16, got '16,x'.",
    ),
    (
        {"model": "mlp", "activation": "rellu"},
        "No activation named 'rellu'. Did you mean 'relu'? There are: ",
    ),
    ({"model": "cnn"}, "model cnn needs an image dataset: digits or mnist5k."),
    (
        {"model": "cnn", "dataset": "digits", "channels": "8,65"},
        "channels must be 1 to 3 whole numbers in [1, 64], such as 8,16, got '8,65'.",
    ),
    ({"learning_rat": "0.1"}, "There is no setting named 'learning_rat'"),
    ({"__class__": "x"}, "There is no setting named '__class__'"),
    ({"noise": "-1"}, "noise must be a number in [0, "),
    ({"dataset": "moons", "noise": "0.6"}, "noise must be a number in [0, 0.5], got 0.6."),
]
each_bad = pytest.mark.parametrize(("query", "sentence"), BAD, ids=[str(q) for q, _ in BAD])


@each_bad
def test_a_bad_link_is_answered_with_one_sentence_that_says_what_would_be_good(
    query: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        Config.from_query(query)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(sentence)
    assert len(Config.read(query)[1]) == 1
    assert "\n" not in str(caught.value)


@each_bad
def test_what_is_wrong_in_a_link_leaves_the_rest_as_it_says(query: dict[str, str], sentence: str) -> None:
    rest = {"optimizer": "nesterov", "momentum": "0.7", "epochs": "12", "seed": "3"}
    both = rest | query
    config, wrong = Config.read(both)
    assert len(wrong) == 1
    assert wrong[0].startswith(sentence)
    for key in rest.keys() - query.keys():
        assert key == "optimizer" or "optimizer" in query or getattr(config, key) == float(rest[key])
    assert "optimizer" in query or config.optimizer.name == "nesterov"


def test_each_of_several_wrong_things_gets_its_sentence() -> None:
    query = {"dataset": "bostn", "learning_rate": "abc", "epochs": "0", "colour": "red", "seed": "5"}
    config, wrong = Config.read(query)
    assert len(wrong) == 4
    assert config == Config(seed=5)
    with pytest.raises(BadConfig, match=r"colour.*bostn.*learning_rate.*epochs"):
        Config.from_query(query)


def test_a_setting_of_what_was_not_picked_is_checked_and_left_out() -> None:
    config, wrong = Config.read({"optimizer": "sgd", "momentum": "0.5", "beta1": "0.3"})
    assert (config, wrong) == (Config(optimizer=SGD()), [])
    assert Config.read({"optimizer": "sgd", "momentum": "7"})[1] == [
        "momentum must be a number in [0, 1], got 7."
    ]


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"epochs": 0}, OutOfRange, "epochs must be a whole number in [1, 10000], got 0."),
        ({"batch_size": 2.5}, OutOfRange, "batch_size must be a whole number in [1, 100000], got 2.5."),
        ({"seed": float("nan")}, OutOfRange, "seed must be a whole number in [0, 1e+09], got nan."),
        ({"scale": 1}, OutOfRange, "scale must be true or false, got 1."),
        ({"model": CNN()}, ValueError, "model cnn needs an image dataset"),
    ],
)
def test_what_cannot_be_is_refused_in_code_too(
    arguments: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        Config(**arguments)
    assert str(caught.value).startswith(text)


def test_two_sgd_configs_cannot_differ_in_momentum() -> None:
    one, other = (Config.from_query({"optimizer": "sgd", "momentum": m}) for m in ("0.1", "0.9"))
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError, match="momentum"):
        _ = one.momentum


def test_equal_configs_are_one_key_and_different_ones_are_not() -> None:
    assert len({Config(), Config(epochs=50), Config(epochs=50.0), Config(optimizer=Momentum(0.01))}) == 1
    different = [
        *(Config(), Config(seed=1), Config(scale=False), Config(model=MLP()), Config(optimizer=SGD())),
        *(Config(schedule=Cosine()), Config(schedule=Cosine(final=0.5)), Config(valid_fraction=0.0)),
    ]
    assert len(set(different)) == len(different)


def test_a_config_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().epochs = 3


def test_but_changes_what_is_named_and_keeps_the_rest() -> None:
    config = Config(optimizer=Momentum(0.05, 0.8), epochs=7, seed=3)
    assert config.but(epochs=9) == Config(optimizer=Momentum(0.05, 0.8), epochs=9, seed=3)
    assert config.but(momentum=0.5, learning_rate="0.1").optimizer == Momentum(0.1, 0.5)
    assert config.but() == config
    assert config == Config(optimizer=Momentum(0.05, 0.8), epochs=7, seed=3)
    assert config.but(model="mlp", hidden=(3, 2)).model == MLP(hidden=(3, 2))


def test_but_carries_over_settings_of_the_same_name() -> None:
    config = Config(optimizer=Momentum(0.05, 0.8))
    assert config.but(optimizer="nesterov").optimizer == OPTIMIZERS["nesterov"](0.05, 0.8)
    assert config.but(optimizer="sgd").optimizer == SGD(0.05)
    assert config.but(optimizer="sgd").but(optimizer="momentum").optimizer == Momentum(0.05, 0.9)


def test_but_takes_an_entry_with_its_numbers() -> None:
    config = Config(optimizer=Momentum(0.05, 0.8))
    assert config.but(optimizer=Momentum(0.2)).optimizer == Momentum(0.2, 0.9)
    assert config.but(optimizer=Adam(learning_rate=0.3, beta1=0.5)).optimizer == Adam(0.3, 0.5)
    assert config.but(optimizer=Momentum(0.2), momentum=0.1).optimizer == Momentum(0.2, 0.1)


def test_but_works_on_a_table_of_ones_own() -> None:
    source = np.random.default_rng(0)
    frame = pd.DataFrame({"a": source.normal(size=30), "y": source.normal(size=30)})
    table = from_table(frame, target="y")
    config = Config(dataset=table).but(epochs=3, optimizer="adam")
    assert config == Config(dataset=table, epochs=3, optimizer=Adam(learning_rate=0.01))
    assert Config().but(dataset=table) == Config(dataset=table)
    assert config.but(dataset="boston") == Config(epochs=3, optimizer=Adam(learning_rate=0.01))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": 0}, "epochs must be a whole number in [1, 10000], got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number in [1e-08, 10000], got 'nan'"),
        ({"optimizer": "nope"}, "No optimizer named 'nope'"),
        ({"model": "cnn"}, "model cnn needs an image dataset"),
        ({"epoch": 3}, "There is no setting named 'epoch'. Did you mean 'epochs'?"),
    ],
)
def test_but_refuses_what_cannot_be(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(BadConfig) as caught:
        Config().but(**changes)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("fraction", "size", "valid", "steps"),
    [(0.2, 32, 101, 13), (0.0, 32, 0, 16), (0.2, 405, 101, 1), (0.2, 404, 101, 2), (0.9, 1, 455, 51)],
)
def test_rows_and_steps_are_counted_from_the_data(fraction: float, size: int, valid: int, steps: int) -> None:
    config = Config(valid_fraction=fraction, batch_size=size, epochs=3)
    assert (config.valid_rows, config.train_rows) == (valid, 506 - valid)
    assert (config.steps_per_epoch, config.steps) == (steps, 3 * steps)


def test_what_a_config_has_not_is_an_attribute_error() -> None:
    for name in ("beta1", "nonsense", "_hidden", "__deepcopy__"):
        assert not hasattr(Config(), name)


def test_a_word_in_a_link_means_one_thing_everywhere() -> None:
    """Two entries that share a setting's name share what kind of thing it is."""
    kinds: dict[str, type] = {}
    registries = (DATASETS, MODELS, OPTIMIZERS, SCHEDULES, MOMENTUM_SCHEDULES)
    for entry in itertools.chain.from_iterable(r.values() for r in registries):
        for key, record in entry.settings().items():
            assert kinds.setdefault(key, type(record)) is type(record), key
            assert key not in Config.settings(), key
            assert key not in CHOICES, key


def test_unknown_names_are_a_key_error_and_a_value_error() -> None:
    with pytest.raises(UnknownName):
        _ = CHOICES["dataset"]["nope"]
    assert issubclass(UnknownName, ValueError)
    assert issubclass(UnknownName, KeyError)
