"""Starting points for a search: a problem, a space and a sampler with a reason. The tutorial's come first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from core.config import Config
from core.registry import Registry
from core.search.plan import Plan
from core.search.space import Ranges


@dataclass(frozen=True)
class Preset:
    """A search with a reason.

    Attributes:
        name: The word in links.
        title: The words in the menu.
        problem: The settings that differ from the defaults, as in a link.
        search: The same of the search: space, trials, seeds, sampler, exact.
        look: What to look at, in one or two sentences.
    """

    name: str
    title: str
    problem: tuple[tuple[str, str], ...]
    search: tuple[tuple[str, str], ...]
    look: str

    @cached_property
    def plan(self) -> Plan:
        """The search of the preset."""
        words = dict(self.search)
        space = Ranges().parse("space", words.get("space", ""))
        return Plan(
            Config.from_query(dict(self.problem)),
            space,
            trials=int(words.get("trials", 20)),
            seeds=int(words.get("seeds", 4)),
            sampler=words.get("sampler", "bayesian"),
            exact=words.get("exact") == "true",
        )


SEARCHES: Registry[Preset] = Registry("search")


def _add(name: str, title: str, look: str, problem: dict[str, str], **search: str) -> None:
    SEARCHES.add(Preset(name, title, tuple(problem.items()), tuple(search.items()), look))


_TUTORIAL = {"dataset": "boston", "model": "linear", "optimizer": "sgd", "epochs": "10"}
_add(
    "tutorial",
    "Tuning tutorial, as written",
    "Learning rate 0.0001 to 0.1 and batch size 1 to 100 on linear scales, 20 trials of one seed: most "
    "trials have a large learning rate, since nine tenths of a linear range lie above 0.01.",
    _TUTORIAL,
    exact="true",
    seeds="1",
)
_add(
    "tutorial-grid",
    "Tuning tutorial, grid search",
    "The search that the tutorial names first: 5 learning rates by 4 batch sizes, on log scales.",
    _TUTORIAL,
    sampler="grid",
)
_add(
    "tutorial-repaired",
    "Tuning tutorial, repaired",
    "Log scales and four seeds per trial: the error bars show which trials can be told apart.",
    _TUTORIAL,
)
_add(
    "boston",
    "Boston housing, with momentum",
    "Learning rate, batch size and momentum together: along the diagonals of equal effective step the loss "
    "hardly changes.",
    {"dataset": "boston", "model": "linear", "optimizer": "momentum", "epochs": "10"},
)
_add(
    "diabetes",
    "Diabetes, with momentum",
    "Most good settings are tied: where the effective step is the same, the loss hardly changes.",
    {"dataset": "diabetes", "model": "linear", "optimizer": "momentum", "epochs": "10"},
)
_add(
    "boston-mlp",
    "Boston housing, a small network",
    "Here tuning matters more: the best and the median trial are far apart.",
    {"dataset": "boston", "model": "mlp", "hidden": "16", "optimizer": "momentum", "epochs": "10"},
)
_add(
    "moons-adam",
    "Two moons with Adam",
    "Adam's learning rate, batch size and β₁: a wide range of learning rates works.",
    {"dataset": "moons", "model": "mlp", "optimizer": "adam", "epochs": "20"},
)
OPENING = SEARCHES["diabetes"]
