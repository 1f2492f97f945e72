"""A comparison in which every rival first searches its own settings, all with the same budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.compare import SEARCHED as SEEDS
from core.compare import Comparison, measure
from core.engine import Training
from core.optimizers import LEARNING_RATE, Optimizer

if TYPE_CHECKING:
    from core.engine.stack import Stack
    from core.history import Record

TRIALS = 16  # settings of each rival and round
ROUNDS = 2  # the first looks everywhere, the next around the best
STEPS = (1e-4, 10.0)  # effective ones; the second round may go three times as far
LEAST = 0.005  # of 1 - momentum


class Tuned:
    """First the search, then the comparison with what it chose; advanced like any training.

    In each round every rival tries TRIALS settings of learning rate and momentum (β₁ for Adam), spread evenly
    over log(1 - μ) and the log of the effective step η / (1 - μ), so that a rule with momentum tries as many
    lengths of step as SGD; for rules without an effective step it is log η. The score of a setting is the
    mean over SEEDS seeds of its last loss, as a share of that of predicting the mean and at worst 1, plus the
    share of seeds that diverged. The comparison then uses seeds that the search never saw.

    Args:
        comparison: What is compared; its rivals give what is not searched.

    Attributes:
        chosen: The rules that the search chose, once it has ended.
        training: The comparison itself, once it has begun.
        tried: How many settings each rival has tried so far.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.chosen: tuple[Optimizer, ...] = ()
        self.training: Training | None = None
        self.tried = 0
        self._best: list[tuple[float, Optimizer]] = [(np.inf, rule) for rule in comparison.rivals]
        self._rounds = [self._search([_spread(rule, TRIALS) for rule in comparison.rivals])]
        share = len(comparison.rivals) * comparison.seeds / len(self._rounds[0].configs)
        self._last = max(comparison.base.steps, round(self._rounds[0].steps * share))

    @property
    def active(self) -> bool:
        """Whether anything is left to do."""
        return self.training is None or self.training.active

    @property
    def steps(self) -> int:
        """About how many updates there are in all."""
        searched = sum(t.steps for t in self._rounds) / len(self._rounds) * ROUNDS
        return round(searched) + (self.training.steps if self.training else self._last)

    @property
    def done(self) -> int:
        """Updates made so far."""
        return sum(t.done for t in self._rounds) + (self.training.done if self.training else 0)

    @property
    def configs(self) -> list[Any]:
        """One for each run of the comparison."""
        return self.training.configs if self.training else []

    def advance(self, steps: int | None = None) -> list[Record]:
        """As `Training.advance`, of the round that is on, or of the comparison."""
        if self.training is not None:
            return self.training.advance(steps)
        now = self._rounds[-1]
        if now.active:
            now.advance(steps)
        if not now.active:
            self._judge(now)
        return []

    def place(self, run: int) -> tuple[Stack, int]:
        """The stack and seat of a run of the comparison."""
        if self.training is None:
            raise ValueError("The comparison has not begun: its optimizers are still being tuned.")
        return self.training.place(run)

    def _search(self, rules: Sequence[Sequence[Optimizer]]) -> Training:
        self._trials = [rule for of_rival in rules for rule in of_rival]
        base, seeds = self.comparison.base, self.comparison.search_seeds
        return Training([replace(base, optimizer=r, seed=seed) for r in self._trials for seed in seeds])

    def _judge(self, ended: Training) -> None:
        measures = measure(ended, len(self._trials), SEEDS, self.comparison.base.epochs)
        worst = np.array([ended.problem(s).baseline for s in range(SEEDS)])
        last = np.where(measures.diverged, np.nan, measures.loss[:, :, -1])
        shares = np.divide(last, worst, out=np.ones_like(last), where=worst > 0)
        scores = np.fmin(shares, 1.0).mean(1) + measures.diverged.mean(1)
        for rival in range(len(self._best)):
            mine = range(rival * TRIALS, (rival + 1) * TRIALS)
            found = min(((float(scores[k]), k) for k in mine), default=(np.inf, 0))
            if found[0] < self._best[rival][0]:
                self._best[rival] = (found[0], self._trials[found[1]])
        self.tried += TRIALS
        if len(self._rounds) < ROUNDS:
            self._rounds.append(self._search([_around(rule, TRIALS) for _, rule in self._best]))
            return
        self.chosen = tuple(rule for _, rule in self._best)
        self.training = Training(self.comparison.configs(self.chosen))


def _points(count: int) -> np.ndarray:
    """Evenly spread points (count, 2) of the unit square: a rank-1 lattice of the golden ratio.

    A point two thirds along has 0 as its second number: a step that plain SGD often likes, without momentum.
    """
    k = np.arange(count)
    return np.stack([(k + 0.5) / count, ((k - 2 * count // 3) * 0.6180339887498949) % 1.0], axis=1)


def _spread(rule: Optimizer, count: int) -> list[Optimizer]:
    """The rule with effective steps and momenta from everywhere."""
    low, high = np.log(STEPS)
    steps = np.exp(low + (high - low) * _points(count)[:, 0])
    rests = np.exp(np.log(LEAST) * _points(count)[:, 1])
    return [_with(rule, step, 1 - rest) for step, rest in zip(steps, rests, strict=True)]


def _around(rule: Optimizer, count: int) -> list[Optimizer]:
    """The rule with effective steps within a factor of 3 and 1 - momentum within a factor of 2.5."""
    own = rule.effective_step or rule.learning_rate
    steps = own * np.exp(np.log(3.0) * (2 * _points(count)[:, 0] - 1))
    word = rule.momentum_name
    rest = 1 - getattr(rule, word) if word else 1.0
    rests = np.clip(rest * np.exp(np.log(2.5) * (2 * _points(count)[:, 1] - 1)), LEAST, 1.0)
    return [_with(rule, step, 1 - rest) for step, rest in zip(steps, rests, strict=True)]


def _with(rule: Optimizer, step: float, momentum: float) -> Optimizer:
    """The rule with this momentum and effective step; the step is its learning rate where it has none."""
    if rule.momentum_name:
        rule = replace(rule, **{rule.momentum_name: float(momentum)})
    times = replace(rule, learning_rate=1.0).effective_step or 1.0
    rate = np.clip(step / times, LEARNING_RATE.low, LEARNING_RATE.high)
    return replace(rule, learning_rate=float(rate))
