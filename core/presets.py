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
    "Training and validation loss fall together and level off: the limit of a linear model on 13 columns.",
    dataset="boston",
    model="linear",
    optimizer="momentum",
)
_add(
    "sgd-written",
    "SGD tutorial, as written",
    "Raw x from 1 to 99 makes the loss so steep that 0.1 is hundreds of times too large: it diverges.",
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
    "The same optimizer and learning rate on standardised columns: 0.1 is now a good choice.",
    dataset="squares",
    model="linear",
    optimizer="sgd",
    learning_rate="0.1",
    valid_fraction="0",
    epochs="100",
)
_add(
    "sgd-small",
    "SGD tutorial, repaired by a small learning rate",
    "On raw columns a stable rate is so small that the bias hardly moves: the loss falls, then crawls.",
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
    "Five inputs, ten units, one output: steep directions converge at once, flat ones hardly move.",
    momentum="0",
    **_MOMENTUM,
)
_add(
    "momentum-on",
    "Momentum tutorial, momentum 0.9",
    "Same initial weights and batches: velocity builds up along flat directions and the loss keeps falling.",
    momentum="0.9",
    **_MOMENTUM,
)
_add(
    "moons",
    "Two moons, a small network",
    "The decision boundary bends around the moons as the loss falls.",
    dataset="moons",
    model="mlp",
    optimizer="momentum",
    learning_rate="0.1",
)
_add(
    "spirals",
    "Spirals, a wider network",
    "Long plateaus, then sudden drops when another turn of the spiral is fitted.",
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
    "Watch which digits are mixed up; most are classified correctly after a few epochs.",
    dataset="digits",
    model="cnn",
    optimizer="momentum",
    learning_rate="0.02",
    epochs="10",
)
_add(
    "too-far",
    "Momentum pushed too far",
    "A rate at which plain SGD is stable: with momentum 0.9 and small batches it is above the limit.",
    dataset="boston",
    model="linear",
    optimizer="momentum",
    learning_rate="0.07",
    batch_size="8",
)
OPENING = PRESETS["moons"]
