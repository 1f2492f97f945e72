"""Comparisons worth looking at: where momentum shines, does nothing and hurts, each with what to look at.

The numbers in the texts are what the engine measures; tests/test_comparisons.py holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from core.compare import SEEDS, Comparison, Rivals
from core.config import Config
from core.registry import Registry

VIEW = ("axis", "x")
"""Words of the link that say how a comparison is drawn, not what is compared."""


@dataclass(frozen=True)
class ComparisonPreset:
    """A comparison with a reason.

    Attributes:
        name: The word in links.
        title: The words in the menu.
        query: As in a link of the Compare page: the words of a config, `rivals`, `seeds`, `mode`, and
            perhaps `axis` and `x`.
        look: What to look at, in one or two sentences.
    """

    name: str
    title: str
    query: tuple[tuple[str, str], ...]
    look: str

    @cached_property
    def comparison(self) -> Comparison:
        """What is compared."""
        words = {key: text for key, text in self.query if key not in VIEW}
        rivals = Rivals().parse("rivals", words.pop("rivals"))
        seeds = int(SEEDS.parse("seeds", words.pop("seeds", str(SEEDS.default))))
        mode = words.pop("mode", "own")
        return Comparison(Config.from_query(words), rivals, seeds, mode)


COMPARISONS: Registry[ComparisonPreset] = Registry("comparison")


def _add(name: str, title: str, look: str, rivals: str, **query: str) -> None:
    COMPARISONS.add(ComparisonPreset(name, title, (*query.items(), ("rivals", rivals)), look))


_FULL = {"model": "linear", "batch_size": "1000", "valid_fraction": "0"}  # the ravine's 1,000 rows at once
_MOONS = {"dataset": "moons", "model": "mlp", "epochs": "30"}

_add(
    "moons",
    "Four optimizers on two moons",
    "At one learning rate momentum is far faster than SGD, but so would plain SGD be at ten times the rate. "
    "Adam, which adapts its step sizes, is fastest.",
    "sgd,momentum,nesterov,adam:learning_rate=0.01",
    **_MOONS,
)
_add(
    "shines",
    "Momentum shines: a long ravine",
    "Condition number 1,000, full batch, each near its best learning rate. Momentum removes 99 % of the "
    "excess loss in about 45 epochs; plain SGD, limited by the steepest direction, needs about 600.",
    "sgd:learning_rate=0.24,momentum:learning_rate=0.45:momentum=0.88,"
    "nesterov:learning_rate=0.16:momentum=0.93",
    dataset="ravine",
    condition="1000",
    epochs="200",
    **_FULL,
)
_add(
    "tiny-steps",
    "Momentum does nothing: tiny steps",
    "SGD at 0.001 and momentum 0.9 at 0.0001 have the same effective step, and their curves coincide: at "
    "small steps momentum is only a larger learning rate.",
    "sgd:learning_rate=0.001,momentum:learning_rate=0.001,nesterov:learning_rate=0.001",
    dataset="boston",
    model="linear",
    mode="effective",
)
_add(
    "batch-of-two",
    "Momentum does nothing: batches of two",
    "Each at 0.7 times its largest stable rate. With the gradient noise of two rows, momentum lowers that "
    "rate as much as it lengthens the effective step, so all three end alike.",
    "sgd:learning_rate=0.028,momentum:learning_rate=0.015:momentum=0.5,momentum:learning_rate=0.0034",
    dataset="boston",
    model="linear",
    batch_size="2",
    epochs="20",
    seeds="10",
)
_add(
    "hurts",
    "Momentum hurts: a well-conditioned problem",
    "Condition number 10, full batch, one learning rate near the best for plain SGD, which removes 99.9 % of "
    "the excess loss in about 25 epochs; momentum 0.9 oscillates about the minimum and needs twice that.",
    "sgd:learning_rate=0.2,momentum:learning_rate=0.2",
    dataset="ravine",
    condition="10",
    noise="0",
    epochs="60",
    mode="same",
    **_FULL,
)
_add(
    "too-heavy",
    "Momentum 0.99 in a short run",
    "The effective steps are equal, but the velocity at 0.99 needs about 300 updates to build up and there "
    "are 130: its loss is well above the others', and it oscillates.",
    "sgd:learning_rate=0.05,momentum:learning_rate=0.05,momentum:learning_rate=0.05:momentum=0.99",
    dataset="boston",
    model="linear",
    epochs="10",
    mode="effective",
)
_add(
    "nesterov-ceiling",
    "Nesterov's lower stability limit",
    "Full batch at learning rate 0.4: plain SGD is stable up to 0.43 and heavy ball up to 0.82, but Nesterov "
    "only up to 0.29, so it alone diverges.",
    "sgd:learning_rate=0.4,momentum:learning_rate=0.4,nesterov:learning_rate=0.4",
    dataset="ravine",
    condition="10",
    epochs="60",
    mode="same",
    **_FULL,
)
_add(
    "unscaled",
    "Raw columns defeat every optimizer",
    "Boston housing without standardising, SGD and momentum at 0.7 times their limits: R² ends below 0.2, "
    "for Adam near 0.4. Plain SGD at 0.05 on standardised columns reaches 0.64.",
    "sgd:learning_rate=2.2e-6,momentum:learning_rate=3.7e-6,nesterov:learning_rate=1.5e-6,"
    "adam:learning_rate=0.1",
    dataset="boston",
    model="linear",
    scale="false",
)
_add(
    "tutorial",
    "The momentum tutorial: 0 against 0.9",
    "Five inputs, ten units, one output, one learning rate. Momentum needs a tenth of the epochs, and its "
    "effective step is ten times as long: the mode “same effective step” shows what is left of the gain.",
    "sgd:learning_rate=0.005,momentum:learning_rate=0.005",
    dataset="ravine",
    inputs="5",
    model="mlp",
    hidden="10",
    activation="identity",
    epochs="60",
    mode="same",
)
_add(
    "same-rate",
    "Two moons at one learning rate",
    "At the same learning rate momentum is far ahead. See “Two moons at one effective step” next: nothing is "
    "left of the gain.",
    "sgd:learning_rate=0.01,momentum:learning_rate=0.01,nesterov:learning_rate=0.01",
    mode="same",
    **_MOONS,
)
_add(
    "same-step",
    "Two moons at one effective step",
    "Momentum has a tenth of SGD's learning rate, so that the effective steps are equal: the three curves "
    "coincide. At the same learning rate momentum won by its longer steps alone.",
    "sgd:learning_rate=0.1,momentum:learning_rate=0.1,nesterov:learning_rate=0.1",
    mode="effective",
    **_MOONS,
)
_add(
    "adam-or-momentum",
    "Adam against tuned baselines",
    "Handwritten digits, each optimizer at a tuned learning rate. Adam's usual advantage is nearly gone: all "
    "three reach about 98 % accuracy.",
    "sgd:learning_rate=0.3,momentum:learning_rate=0.06,adam:learning_rate=0.007",
    dataset="digits",
    model="mlp",
    hidden="32",
    epochs="15",
)
