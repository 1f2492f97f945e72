"""The sampler of a search: it asks the one that the plan names, and never twice for the same runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from core.search.plan import CHOICES, Plan, Runs
from core.search.sampler import BayesianSampler, RandomSampler, Reason, make_sampler
from core.search.space import Space

AGAIN = 32  # times that a sampler which draws is asked for something new
COUNTED = TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING
FIXED = "fixed_params"  # Optuna's word: the setting that a trial was queued with

Values = dict[str, float]


class SpaceSampler(BaseSampler):
    """Asks the sampler that a plan names, and asks again while its setting has runs that are made already.

    A trial's parameters are values that a person reads, and its value is a loss. The sampler that is asked is
    told something else: parameters on the scales of the search, batch sizes up to the training rows, and the
    scores that are minimised. A setting that it insists on, although its runs are made, queued or under way,
    gives way to the nearest one that is new; only where there is none left, it stays.

    Args:
        plan: Of the search.

    Attributes:
        reasons: For each trial number that a model of ours asked, why.
        drawn: The numbers of the trials that were drawn at random in the place of something better.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.distributions = plan.searched.searched(whole=plan.sampler == "bayesian")
        self.inner = make_sampler(plan.sampler, self.distributions, plan.seed, plan.exact)
        self.reasons: Mapping[int, Reason] = getattr(self.inner, "reasons", {})
        self.drawn: set[int] = getattr(self.inner, "drawn", set())

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space."""
        return self.plan.space.distributions()

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of a trial, all together."""
        others = [t for t in study.get_trials(deepcopy=False, states=COUNTED) if t.number != trial.number]
        known, values = tried(others, self.plan), {}
        for values in self._suggested(others, trial.number):
            if self.plan.runs(values) not in known:
                return values
        return self._nearest(values, known, trial.number)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A draw, for a parameter that is not of the space."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def _suggested(self, others: Sequence[FrozenTrial], number: int) -> Iterator[Values]:
        """What the sampler would try, then what else; each only once it is wanted."""
        read, inner = self.plan.searched.read, self.inner
        if isinstance(inner, RandomSampler):
            for turn in range(AGAIN):
                yield read(inner.draw(number, turn))
        elif isinstance(inner, BayesianSampler):
            yield read(inner.suggest(number, self._copies(others)))
        else:
            study = optuna.create_study(sampler=inner)
            study.add_trials(self._copies(others))
            for _ in range(
                1 if self.plan.settings else AGAIN
            ):  # what was asked for in vain counts as pending
                yield read(study.ask(self.distributions).params)

    def _copies(self, others: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """The trials with a value or that run, as the sampler is told them."""
        found, space = [], self.plan.searched
        for trial in others:
            values = space.read(trial.params)
            if trial.state == TrialState.WAITING or len(values) < len(space.ranges):
                continue
            copy = create_trial(
                state=trial.state,
                params=space.raw(values),
                distributions=self.distributions,
                value=score(trial),
                user_attrs={"scores": trial.user_attrs.get("scores") or ()},
            )
            copy.number = trial.number
            found.append(copy)
        return found

    def _nearest(self, values: Values, known: set[Runs], number: int) -> Values:
        """The setting nearest to one whose runs are new; that one where there is none."""
        space, here = self.plan.searched, np.array(self.plan.searched.unit(values))
        left = self.plan.settings
        if left is None:
            lines = (values | {r.word: v} for r in space.ranges for v in self.plan.values(r, CHOICES) or ())
            chance = RandomSampler(self.distributions, self.plan.seed)
            draws = (space.read(chance.draw(number, turn)) for turn in range(AGAIN))
            left = list(chain(lines, draws))
        left = [v for v in left if self.plan.runs(v) not in known]
        return min(left, key=lambda v: float(np.abs(space.unit(v) - here).max()), default=values)


def setting(trial: FrozenTrial, space: Space) -> Values:
    """A trial's values, also of one that is only queued; what is missing is left out."""
    return space.read({**trial.system_attrs.get(FIXED, {}), **trial.params})


def tried(trials: Iterable[FrozenTrial], plan: Plan) -> set[Runs]:
    """The runs of trials that have ended, run or are queued."""
    counted = (setting(t, plan.space) for t in trials if t.state in COUNTED)
    return {plan.runs(values) for values in counted if len(values) == len(plan.space.ranges)}


def as_loss(score: float, exact: bool) -> float:
    """What is minimised, as the loss that a trial's value is: scores are logarithms unless they are exact."""
    return score if exact else 10.0**score


def score(trial: FrozenTrial) -> float | None:
    """What is minimised of a trial that has ended: the mean of its seeds' scores; None of any other.

    Its value is a loss in the studies of today, and was the score itself in earlier ones.
    """
    if trial.state != TrialState.COMPLETE:
        return None
    scores = trial.user_attrs.get("scores")
    return float(np.mean(scores)) if scores else trial.value
