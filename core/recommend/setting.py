"""Learning rate and momentum for a config, with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.config import Config
from core.limit import EXACT, PILOT, SAFE, ceiling
from core.maps import is_nesterov, limits, with_rule
from core.recommend.expected import begin, times
from core.sharpness import least_squares
from core.verdict import digits

SHRINK = 0.02  # of the excess loss is left at the target
MOMENTA = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99)
SHARES = SAFE * 2.0 ** (-np.arange(16) / 2.0)  # of the limit: the learning rates that are weighed
PATIENCE = 10_000  # steps that are looked ahead at most
WORTH = 0.9  # momentum is recommended when it needs fewer steps than this share of those without
THUMB = 0.25  # of the limit that pilot runs found: the rate that the rule of thumb takes


class NoRecommendation(ValueError):
    """A problem for which no setting can be recommended; the text says why."""


@dataclass(frozen=True)
class Recommendation:
    """A setting and what is expected of it.

    Attributes:
        learning_rate, momentum: The setting; of Nesterov's rule where the config's is that, else heavy ball.
        steps: Expected updates to `target`; inf when not within PATIENCE, nan where there is no theory.
        epochs: The same in passes over the training part.
        limit: The largest stable learning rate at this momentum.
        reason: Why, in two or three sentences; also whether momentum buys anything.
        kind: "exact" for linear least squares, "pilot" for a rule of thumb from pilot runs (core.limit).
        target: The training loss that counts as reached, see `target`; nan where there is no theory.
        plain: The expected updates of the best setting without momentum.
    """

    learning_rate: float
    momentum: float
    steps: float
    epochs: float
    limit: float
    reason: str
    kind: str = EXACT
    target: float = float("nan")
    plain: float = float("nan")

    def config(self, config: Config) -> Config:
        """The config with this setting."""
        return with_rule(config, self.learning_rate, self.momentum)


def target(least: float, first: float, baseline: float) -> float:
    """The loss that counts as reached: SHRINK of the way from `least` to `first`, the loss before training.

    Where the best constant prediction does better than the first weights (raw columns make their loss
    enormous), the way begins at its loss, `baseline`; unless that is all that there is to learn.
    """
    begun = min(first, baseline)
    if begun - least <= 1e-12 * (first - least):
        begun = first
    return least + SHRINK * (begun - least)


def recommend(config: Config) -> Recommendation:
    """Learning rate and momentum for a config's data, model and batch size, before any training.

    For linear least squares the expected training loss is followed step by step (`expected_loss`: the mean
    error along each direction, and its variance from the batches' noise) for MOMENTA and for learning rates
    from 0.7 times the mini-batch limit downward; the setting that is first to bring it to the target, and
    keeps it there, is taken. Thus large steps lose where their noise floor lies
    above the target. Momentum is recommended only when it saves a tenth of the steps.

    For other models, whose curvature moves in training, it is a rule of thumb: momentum 0.9 at a quarter of
    the largest rate at which all pilot runs held; `core.recommend.trial` tries rates around it.

    Raises:
        NoRecommendation: Pilot runs found no limit.
        NoCurvature, NotATable: See `core.sharpness.config_moments`.
    """
    return _exact(config) if least_squares(config) else _thumb(config)


def _exact(config: Config) -> Recommendation:
    from core.engine.problem import problem

    momenta, start = np.array(MOMENTA), begin(config)
    limit = limits(config, momenta)
    rates = (limit[:, None] * SHARES).ravel()
    cells = np.repeat(momenta, len(SHARES))
    first = start.floor + float(start.error**2 @ start.eigenvalues) / 2.0
    aim = target(start.floor, first, problem(config).baseline)
    steps, last = times(start, rates, cells, is_nesterov(config), aim - start.floor, limit=PATIENCE)
    fastest = int(np.argmin(steps if np.isfinite(steps).any() else last))
    plain = int(np.argmin(np.where(cells == 0.0, steps, np.inf)))
    worth = steps[fastest] < WORTH * steps[plain] or math.isinf(steps[fastest])
    chosen = fastest if worth else plain
    rate = _two_digits(rates[chosen])
    momentum, needed = float(cells[chosen]), float(steps[chosen])
    of_limit = float(limit[chosen // len(SHARES)])
    return Recommendation(
        learning_rate=rate,
        momentum=momentum,
        steps=needed,
        epochs=needed / config.steps_per_epoch,
        limit=of_limit,
        reason=_reason(config, momentum, rate, of_limit, needed, float(steps[plain])),
        target=aim,
        plain=float(steps[plain]),
    )


def _reason(config: Config, momentum: float, rate: float, limit: float, steps: float, plain: float) -> str:
    at = f"The rate is {_of_limit(rate, limit)} for this data and batch size."
    if math.isinf(steps):
        return (
            f"{at} No setting is expected to remove {_percent(1 - SHRINK)} of the excess loss within "
            f"{PATIENCE:,} updates{'' if config.scale else ': standardise the columns'}."
        )
    if not momentum:
        return (
            f"Momentum gives no speed-up at batch size {config.batch_size}: plain SGD is expected to need "
            f"{_steps(plain)}, and no momentum saves a tenth of that. {at}"
        )
    needs = f"Momentum {momentum:g} is expected to need {_steps(steps)}"
    if math.isinf(plain):
        return f"{needs}; plain SGD does not get there in the updates looked ahead. {at}"
    return f"{needs}, plain SGD {plain:,.0f}. {at}"


def _steps(count: float) -> str:
    return f"{count:,.0f} update{'s' * (count != 1)}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _of_limit(rate: float, limit: float) -> str:
    return f"{_percent(rate / limit)} of the largest stable rate ({digits(limit)})"


def _thumb(config: Config) -> Recommendation:
    momentum = 0.9
    found = ceiling(with_rule(config, 0.01, momentum))
    if found is None:
        raise NoRecommendation(
            "No setting can be recommended here: pilot runs found no stability limit. Search the learning "
            "rate on Tune."
        )
    rate = _two_digits(THUMB * found.learning_rate)
    reason = (
        f"A rule of thumb: momentum 0.9 at {_percent(THUMB)} of the largest rate at which all pilot runs "
        f"held ({digits(found.learning_rate)}), since the curvature of this model moves in training."
    )
    unknown = float("nan")
    return Recommendation(rate, momentum, unknown, unknown, found.learning_rate, reason, kind=PILOT)


def _two_digits(value: float) -> float:
    """The value rounded down to two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / unit) * unit:.1e}")
