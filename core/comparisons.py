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
    "Four rules on two moons",
    "At one rate momentum falls far faster than SGD, but so would plain SGD with steps ten times as long. "
    "Adam, which chooses the length of every step by itself, is first.",
    "sgd,momentum,nesterov,adam:learning_rate=0.01",
    **_MOONS,
)
_add(
    "shines",
    "Momentum shines: a long ravine",
    "Condition number 1,000, full batch, every rule near its own best rate. Momentum has 99 % of the way "
    "behind it after some 45 epochs; plain SGD, whose rate the steepest direction limits, needs some 600.",
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
    "SGD with 0.001 and momentum 0.9 with 0.0001 go equally far per step, and their curves are one curve: "
    "while steps are short, momentum is nothing but a longer step.",
    "sgd:learning_rate=0.001,momentum:learning_rate=0.001,nesterov:learning_rate=0.001",
    dataset="boston",
    model="linear",
    mode="effective",
)
_add(
    "batch-of-two",
    "Momentum does nothing: batches of two",
    "Each at its largest safe rate, 0.7 times the limit. The noise of two rows a step lowers that rate as "
    "fast as momentum lengthens the step, so all three go equally far and end alike.",
    "sgd:learning_rate=0.028,momentum:learning_rate=0.015:momentum=0.5,momentum:learning_rate=0.0034",
    dataset="boston",
    model="linear",
    batch_size="2",
    epochs="20",
    seeds="10",
)
_add(
    "hurts",
    "Momentum hurts: a round bowl",
    "Condition number 10, full batch, one rate for both, near the best for plain SGD: it has 99.9 % of the "
    "way behind it after some 25 epochs; momentum 0.9 swings past the minimum and back and needs twice that.",
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
    "Steps equally long in the end, but 0.99 needs about 300 updates to come up to speed and there are 130: "
    "its loss is well above the others', and it swings.",
    "sgd:learning_rate=0.05,momentum:learning_rate=0.05,momentum:learning_rate=0.05:momentum=0.99",
    dataset="boston",
    model="linear",
    epochs="10",
    mode="effective",
)
_add(
    "nesterov-ceiling",
    "Nesterov's lower ceiling",
    "Full batch at rate 0.4: plain SGD holds up to 0.43 here and heavy ball up to 0.82, but Nesterov only up "
    "to 0.29, so it alone is lost.",
    "sgd:learning_rate=0.4,momentum:learning_rate=0.4,nesterov:learning_rate=0.4",
    dataset="ravine",
    condition="10",
    epochs="60",
    mode="same",
    **_FULL,
)
_add(
    "unscaled",
    "Raw columns beat every rule",
    "Boston housing without standardising, SGD and momentum at 0.7 times their limits: R² ends below 0.2, "
    "with Adam near 0.4. Plain SGD at 0.05 on standardised columns has 0.64.",
    "sgd:learning_rate=2.2e-6,momentum:learning_rate=3.7e-6,nesterov:learning_rate=1.5e-6,"
    "adam:learning_rate=0.1",
    dataset="boston",
    model="linear",
    scale="false",
)
_add(
    "tutorial",
    "The momentum tutorial: 0 against 0.9",
    "Five inputs, ten units, one output, one rate for both. Momentum is down in a tenth of the epochs, and "
    "its steps are ten times as long: the mode “same effective step” shows what is left of it.",
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
    "Two moons at one rate",
    "At the same rate momentum wins by far. Look at “two moons at one effective step” next: nothing is left "
    "of it.",
    "sgd:learning_rate=0.01,momentum:learning_rate=0.01,nesterov:learning_rate=0.01",
    mode="same",
    **_MOONS,
)
_add(
    "same-step",
    "Two moons at one effective step",
    "Momentum takes a tenth of SGD's rate, so that all go equally far: the three curves lie on each other. "
    "At the same rate momentum won by its longer steps alone.",
    "sgd:learning_rate=0.1,momentum:learning_rate=0.1,nesterov:learning_rate=0.1",
    mode="effective",
    **_MOONS,
)
_add(
    "adam-or-momentum",
    "Adam against well-set rivals",
    "Handwritten digits, each rule at a rate that was searched for it. What Adam is famous for is nearly "
    "gone: all three have some 98 % of the digits right.",
    "sgd:learning_rate=0.3,momentum:learning_rate=0.06,adam:learning_rate=0.007",
    dataset="digits",
    model="mlp",
    hidden="32",
    epochs="15",
)
