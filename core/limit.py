"""The one stability limit of a config: exact for linear least squares, found by pilot runs for networks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.config import Config
from core.history import DIVERGED
from core.optimizers import Optimizer
from core.sharpness import config_moments, input_moments, least_squares, problem_only
from core.stability import NotATable, full_batch_limit, learning_rate_limits

if TYPE_CHECKING:
    from core.engine import Training

EXACT, PILOT = "exact", "pilot"
SAFE = 0.7  # of a limit: README says how many runs diverged there (python -m tests.bench.limits)
SEEDS, FEWEST_SEEDS = 8, 2  # pilot runs at each learning rate
UPDATES, FEWEST_UPDATES = 400, 40  # of a pilot run
WORK = 1.2e10  # floating-point operations of all pilot runs, about a second
WIDE = np.geomspace(2.0**-20, 2.0**8, 15)  # the rates of the first look, a factor of 4 apart
STEP, FINE = 1.25, 9  # between the rates of the second look, and how many steps it is long
FAR, FAR_OF_CLASSES = 4.0, 1.5  # times the loss before training: below may be a high, stable noise floor
LAST = 100  # updates whose mean loss is the last of a pilot run
CONVOLVED = 4  # times the operations of a dense layer take as long
POINTS = 33  # of a schedule that are looked at
REMEMBERED = 256


@dataclass(frozen=True)
class Ceiling:
    """The largest stable learning rate of a config.

    Attributes:
        learning_rate: Above it the loss grows without end (exact), or some pilot run was lost (pilot).
        kind: "exact" or "pilot".
    """

    learning_rate: float
    kind: str = EXACT

    @property
    def safe(self) -> float:
        """The safe learning rate, 0.7 times the limit, in two digits."""
        return float(f"{SAFE * self.learning_rate:.1e}")

    @property
    def how(self) -> str:
        """How it is known, to stand after its number."""
        if self.kind == EXACT:
            return "exact for this linear model"
        return "estimated by pilot runs"


def ceiling(config: Config) -> Ceiling | None:
    """The largest learning rate at which a config's training holds, on its data with its batches.

    For linear least squares it is the mini-batch second-moment limit (core.stability) with the noise of all
    batches of an epoch, a smaller last one included. For networks and classes curvature moves in training, so
    that no formula knows it: short pilot runs at rising rates are trained as one, and the limit is the
    largest rate below which all of them held (`held`). It takes about a second and is remembered.

    Weight decay adds its number to every curvature, dampening shortens the steps. Under a schedule it is the
    rate to be set so that no update goes above the limit of its momentum.

    Returns:
        None where nothing is known: for rules that scale each parameter by its gradients, for momentum 1,
        where no rate that was tried is lost, or all are, and where pilot runs would take much longer.
    """
    if not _judged(config):
        return None
    return _exact(config) if least_squares(config) else _pilot(_pilot_problem(config))


def known(config: Config) -> Ceiling | None:
    """As `ceiling`, if it is known at once: exactly, or from pilot runs that were made before."""
    if not _judged(config):
        return None
    if least_squares(config):
        return _exact(config)
    return _FOUND.get(_pilot_problem(config))


def looked_for(config: Config) -> bool:
    """Whether pilot runs have been made for a config, whatever they found."""
    return estimated(config) and _pilot_problem(config) in _FOUND


def estimated(config: Config) -> bool:
    """Whether pilot runs can be asked for a config's limit."""
    return _judged(config) and not least_squares(config)


def held(last: float, diverged: bool, first: float, baseline: float, classes: int) -> bool:
    """Whether a run was stable: it did not diverge, and did not end far above the loss it began with.

    A cross-entropy cannot explode as a square can, so for classes less counts as far.

    Args:
        last, first: Its training loss at the end and before training.
        diverged: Whether the engine took it out.
        baseline: The loss of the best constant prediction.
        classes: How many there are; 0 for regression.
    """
    return not diverged and last <= max(first, baseline) * (FAR_OF_CLASSES if classes else FAR)


def without_last_batch(config: Config) -> float:
    """The limit of a linear least-squares config if all batches were equally large; inf where not known.

    A smaller last batch is noisier than the others and lowers the limit, up to 20 times.
    """
    rows = config.train_rows
    if rows % min(config.batch_size, rows) == 0 or not least_squares(config) or not _judged(config):
        return math.inf
    return min(_limits(config, equal=True))


def _judged(config: Config) -> bool:
    return config.optimizer.linear and max(m for _, m in _moments_of(config)) < 1.0


def _moments_of(config: Config) -> list[tuple[float, float]]:
    """What the rate is multiplied by and the momentum, at POINTS updates of a run where they change."""
    own = getattr(config.optimizer, config.optimizer.momentum_name or "momentum", 0.0)
    if config.schedule.constant and config.momentum_schedule.constant:
        return [(1.0, own)]
    at = np.unique(np.linspace(1, config.steps, min(POINTS, config.steps)).round().astype(int))
    times = [(int(step), config.steps, config.steps_per_epoch) for step in at]
    plain = not config.optimizer.has_velocity
    return [
        (config.schedule.factor(*t), own if plain else config.momentum_schedule.value(own, *t)) for t in times
    ]


def _exact(config: Config) -> Ceiling | None:
    lowest = min(_limits(config))
    return Ceiling(lowest) if 0.0 < lowest < math.inf else None


def _limits(config: Config, equal: bool = False) -> list[float]:
    """The rate to be set so that each of some updates is at its limit; inf where there is none."""
    return [_plain(config, m, equal) / factor for factor, m in _moments_of(config) if factor]


def _plain(config: Config, momentum: float, equal: bool) -> float:
    """The limit at a constant rate and this momentum, in batches as they are or all equally large."""
    rule = config.optimizer
    limit = _data_limit(problem_only(config), momentum, rule.nesterov, equal)
    kept = 1 - getattr(rule, "dampening", 0.0) if momentum else 1.0
    if limit is None or kept == 0:
        return math.inf
    if decay := getattr(rule, "weight_decay", 0.0):
        limit = 1 / (1 / limit + 1 / full_batch_limit(decay, momentum, rule.nesterov))
    return limit / kept


@lru_cache(maxsize=512)
def _data_limit(config: Config, momentum: float, nesterov: bool, equal: bool) -> float | None:
    try:
        known = input_moments(replace(config, batch_size=1)) if equal else config_moments(config)
    except NotATable:
        return None
    limit = float(learning_rate_limits(known, [config.batch_size], np.array([momentum]), nesterov)[0, 0])
    return limit if np.isfinite(limit) and limit > 0 else None


def _pilot_problem(config: Config) -> Config:
    """The config whose pilot runs are made: a constant rate, and the highest momentum that it has."""
    rule: Optimizer = replace(config.optimizer, learning_rate=0.01)
    if word := rule.momentum_name:
        rule = replace(rule, **{word: max(m for _, m in _moments_of(config))})
    return replace(problem_only(config), optimizer=rule, seed=0)


_FOUND: dict[Config, Ceiling | None] = {}  # what pilot runs have found, the latest REMEMBERED of it


def _pilot(config: Config) -> Ceiling | None:
    if config not in _FOUND:
        found = _piloted(config)
        while len(_FOUND) >= REMEMBERED:
            _FOUND.pop(next(iter(_FOUND)), None)
        _FOUND[config] = found
    return _FOUND[config]


def _piloted(config: Config) -> Ceiling | None:
    """Two looks at rising rates: a wide one, then a fine one below the first that was lost."""
    seeds = min(SEEDS, _affordable(config))
    if seeds < FEWEST_SEEDS:
        return None
    lost = _first_lost(config, WIDE, FEWEST_SEEDS, 0.1)
    if lost in (0, len(WIDE)):
        return None
    rates = WIDE[lost] / STEP ** np.arange(2 * FINE, -1, -1.0)
    below = _first_lost(config, rates[FINE:], seeds, 1.0) + FINE
    if below == FINE:  # a rare loss far below
        below = _first_lost(config, rates[: FINE + 1], seeds, 1.0)
    return Ceiling(float(rates[below - 1]), PILOT) if below else None


def _first_lost(config: Config, rates: NDArray[np.float64], seeds: int, share: float) -> int:
    """The place of the lowest of rising rates at which some seed is lost; len(rates) where there is none.

    Args:
        config: Of the runs.
        rates: What is tried.
        seeds: Runs at each.
        share: Of WORK that they may cost.
    """
    from core.engine import Training

    runs = len(rates) * seeds
    updates = round(min(UPDATES, max(FEWEST_UPDATES, share * WORK / (runs / 2 * _update_cost(config)))))
    base = replace(config, epochs=math.ceil(updates / config.steps_per_epoch))
    training = Training(
        [
            replace(base, optimizer=replace(config.optimizer, learning_rate=float(rate)), seed=seed)
            for rate in rates
            for seed in range(seeds)
        ]
    )
    while any(stack.active and stack.step < updates for stack in training.stacks):
        training.advance(updates)
    stable = [_stable(training, run) for run in range(runs)]
    lost = ~np.reshape(stable, (-1, seeds)).all(axis=1)
    return int(np.append(lost, True).argmax())


def _stable(training: Training, run: int) -> bool:
    """Whether a pilot run held, by the mean of its last LAST batch losses."""
    stack, seat = training.place(run)
    records, classes = training.records(run), training.configs[run].dataset.classes
    losses = stack.history.batch_loss[max(0, stack.step - LAST) : stack.step, seat]
    diverged = records[-1].status == DIVERGED
    last = records[-1].train_loss if diverged else float(losses.mean())
    return held(last, diverged, records[0].train_loss, training.problem(run).baseline, classes)


def _update_cost(config: Config) -> float:
    """Of an update with its part of the evaluation of an epoch."""
    part = 0.4 * _cost(config, config.train_rows) / config.steps_per_epoch
    return _cost(config, config.batch_size) + part


def _affordable(config: Config) -> int:
    """How many seeds the second look may have: for its updates, and for the evaluation of all runs by the
    engine whenever some are lost."""
    updates = 2 * WORK / (FEWEST_UPDATES * FINE * _update_cost(config))
    evaluations = (WORK / _cost(config, config.train_rows) * 12) ** 0.5 / FINE
    return int(min(updates, evaluations))


def _cost(config: Config, rows: int) -> float:
    """About how many floating-point operations an update of one run on so many rows costs."""
    _, height, width = config.dataset.image_shape or (1, 1, 1)
    work = 0.0
    for k, layer in enumerate(config.layers):
        pixels = CONVOLVED * (height * width >> 2 * k) if len(layer.weight) == 4 else 1
        work += pixels * (6.0 * layer.size + 60.0 * layer.outputs)
    return work * min(rows, config.train_rows)
