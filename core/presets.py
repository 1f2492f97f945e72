"""Starting points: a problem with settings worth looking at, and what to look at. Tutorials come first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from core.config import Config
from core.registry import Registry


@dataclass(frozen=True)
class Preset:
    """A config with a reason.

    Attributes:
        name: The word in links.
        title: The words in the menu.
        query: The settings that differ from the defaults, as in a link.
        look: What to look at, in one or two sentences.
    """

    name: str
    title: str
    query: tuple[tuple[str, str], ...]
    look: str

    @cached_property
    def config(self) -> Config:
        """The config of the preset."""
        return Config.from_query(dict(self.query))


PRESETS: Registry[Preset] = Registry("preset")


def _add(name: str, title: str, look: str, **query: str) -> None:
    PRESETS.add(Preset(name, title, tuple(query.items()), look))


_add(
    "boston",
    "Boston housing, momentum",
    "Training and validation loss fall together and level off: a line can do no better on these 13 columns.",
    dataset="boston",
    model="linear",
    optimizer="momentum",
)
_add(
    "sgd-written",
    "SGD tutorial, as written",
    "Raw x from 1 to 99 makes the loss so steep that 0.1 is hundreds of times too large: it is lost at once.",
    dataset="squares",
    model="linear",
    optimizer="sgd",
    learning_rate="0.1",
    scale="false",
    valid_fraction="0",
    epochs="100",
)
_add(
    "sgd-scaled",
    "SGD tutorial, repaired by scaling",
    "The same rule and the same rate on standardised columns: 0.1 is now a good choice.",
    dataset="squares",
    model="linear",
    optimizer="sgd",
    learning_rate="0.1",
    valid_fraction="0",
    epochs="100",
)
_add(
    "sgd-small",
    "SGD tutorial, repaired by a small rate",
    "On raw columns a rate that holds is so small that the bias hardly moves: the loss falls, then crawls.",
    dataset="squares",
    model="linear",
    optimizer="sgd",
    learning_rate="0.0001",
    scale="false",
    valid_fraction="0",
    epochs="100",
)
_MOMENTUM = {
    "dataset": "ravine",
    "inputs": "5",
    "model": "mlp",
    "hidden": "10",
    "activation": "identity",
    "optimizer": "momentum",
    "learning_rate": "0.005",
    "epochs": "60",
}
_add(
    "momentum-off",
    "Momentum tutorial, momentum 0",
    "Five inputs, ten units, one output. Steep directions are learned at once, flat ones hardly move.",
    momentum="0",
    **_MOMENTUM,
)
_add(
    "momentum-on",
    "Momentum tutorial, momentum 0.9",
    "The same start and the same batches: velocity builds up along the flat directions, the loss falls on.",
    momentum="0.9",
    **_MOMENTUM,
)
_add(
    "moons",
    "Two moons, a small network",
    "The border bends around the moons as the loss falls.",
    dataset="moons",
    model="mlp",
    optimizer="momentum",
    learning_rate="0.1",
)
_add(
    "spirals",
    "Spirals, a wider network",
    "Long level stretches, then sudden falls when another turn of the spiral is found.",
    dataset="spirals",
    model="mlp",
    hidden="32,32",
    optimizer="momentum",
    learning_rate="0.1",
    epochs="300",
)
_add(
    "digits",
    "Handwritten digits, convolutions",
    "Watch which digits are taken for which; most are right after a few epochs.",
    dataset="digits",
    model="cnn",
    optimizer="momentum",
    learning_rate="0.02",
    epochs="10",
)
_add(
    "too-far",
    "Momentum pushed too far",
    "A rate that plain SGD would survive: with momentum 0.9 and small batches it is above the limit.",
    dataset="boston",
    model="linear",
    optimizer="momentum",
    learning_rate="0.07",
    batch_size="8",
)
OPENING = PRESETS["boston"]
