"""The search's samplers: our Bayesian one, which says why it asked a point, and Optuna's own beside it."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from core.registry import UnknownName, unknown
from core.search.acquisition import propose
from core.search.process import Process, fit

Array = NDArray[np.float64]
Space = Mapping[str, BaseDistribution]

ASKING = threading.Lock()  # held around every ask: GPSampler changes thread settings of the whole process

BLAS = "OPENBLAS_NUM_THREADS"
STARTS = 5  # trials before Optuna's own models begin, as many as a search of ours queues
SHRUNK = 4.0  # degrees of freedom with which the usual spread between seeds counts in a trial's own
MANY = 200  # trials beyond which hyperparameters are fitted to the first of them, and only refined


class NotSearchable(ValueError):
    """A space or a study that the Bayesian sampler cannot search; the text says what it can."""


@dataclass(frozen=True)
class Reason:
    """Why a point was asked, in the unit of the objective.

    Attributes:
        mean, deviation: What the model believed of the point.
        improvement: Expected by it.
        best: What the improvement is measured from: the smallest mean at a point told or pending.
        told: Trials that the model knew.
    """

    mean: float
    deviation: float
    improvement: float
    best: float
    told: int


@dataclass(frozen=True, eq=False)
class Told:
    """What a study's trials say about a space of d parameters.

    Attributes:
        numbers: (n,), of the trials, rising.
        points: (n, d), in the unit cube.
        values: (n,), of the objective.
        noise: (n,), variances of the values; nan where unknown.
    """

    numbers: tuple[int, ...]
    points: Array
    values: Array
    noise: Array


@dataclass(frozen=True, slots=True)
class _Axis:
    """A parameter from low to high on [0, 1].

    With a step, the values are the middles of equal cells; the ends themselves on a logarithmic scale, where
    half a step below the smallest would be far away.
    """

    low: float
    high: float
    log: bool
    step: float

    @classmethod
    def of(cls, distribution: BaseDistribution) -> _Axis:
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            raise NotSearchable(f"distributions must be floats or whole numbers, got {distribution}.")
        return cls(distribution.low, distribution.high, distribution.log, distribution.step or 0.0)

    @property
    def ends(self) -> tuple[float, float]:
        if self.log:
            return math.log(self.low), math.log(self.high)
        return self.low - self.step / 2.0, self.high + self.step / 2.0

    def unit(self, value: Array) -> Array:
        (start, end), at = self.ends, np.log(value) if self.log else value
        return np.clip((at - start) / (end - start), 0.0, 1.0) if end > start else np.full_like(value, 0.5)

    def value(self, unit: Array) -> Array:
        start, end = self.ends
        value = start + unit * (end - start)
        value = np.exp(value) if self.log else value
        if self.step:
            value = self.low + self.step * np.round((value - self.low) / self.step)
        return np.clip(value, self.low, self.high)


def to_unit(params: Mapping[str, Any], space: Space) -> Array | None:
    """The point (d,) of the unit cube that is these parameters; None when one is missing or out of range."""
    axes = [_Axis.of(distribution) for distribution in space.values()]
    values = [params.get(name) for name in space]
    inside = (
        isinstance(v, int | float) and axis.low <= v <= axis.high
        for v, axis in zip(values, axes, strict=True)
    )
    if not all(inside):
        return None
    return np.array([axis.unit(np.asarray(v, dtype=float)) for v, axis in zip(values, axes, strict=True)])


def from_unit(point: Array, space: Space) -> dict[str, Any]:
    """The parameters at a point (d,) of the unit cube."""
    params: dict[str, Any] = {}
    for unit, (name, distribution) in zip(point, space.items(), strict=True):
        value = _Axis.of(distribution).value(unit).item()
        params[name] = int(value) if isinstance(distribution, IntDistribution) else value
    return params


def noise_of(scores: Sequence[Sequence[float]]) -> Array:
    """The variance of each trial's mean score, from how its seeds' scores spread.

    All trials use the same seeds, so a seed that is easy for all is no noise: r_is = y_is - mean_i - mean_s +
    mean. A trial's own variance has few degrees of freedom and is drawn towards the median trial's, which one
    seed that diverged does not move. Trials with all scores equal, as at the ceiling, say nothing about seeds
    and are left out of both.

    Args:
        scores: (n, k), of n trials with the same k seeds.

    Returns:
        (n,); all nan where it cannot be known: one seed, fewer than 3 trials whose seeds differ, or trials
        that disagree on k.
    """
    counts = {len(row) for row in scores}
    if len(counts) != 1 or counts <= {0, 1} or not np.isfinite([v for row in scores for v in row]).all():
        return np.full(len(scores), np.nan)
    table = np.array(scores, dtype=float)
    if len(table) < 3:
        return np.full(len(table), np.nan)
    spread = np.ptp(table, axis=1) > 0.0
    n, k = int(spread.sum()), table.shape[1]
    own = np.zeros(len(table))
    if n == 0:
        return own
    if n < 3:
        return np.full(len(table), np.nan)
    rows = table[spread] - table[spread].mean(1, keepdims=True)
    residual = rows - rows.mean(0)
    own[spread] = (residual**2).sum(1) / (k - 1) * n / (n - 1)
    usual = np.median(own[spread]) / (1.0 - 2.0 / (9.0 * (k - 1))) ** 3  # median of chi-square over its mean
    return np.asarray((SHRUNK * usual + (k - 1) * own) / (SHRUNK + k - 1) / k)


def told(trials: Iterable[FrozenTrial], space: Space) -> Told:
    """The finished trials that lie in the space, by number; infinite values count as the worst finite one."""
    done = [
        (trial, point)
        for trial in sorted(trials, key=lambda trial: trial.number)
        if trial.state == TrialState.COMPLETE and (point := to_unit(trial.params, space)) is not None
    ]
    values = np.array([trial.value for trial, _ in done], dtype=float)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Told((), np.empty((0, len(space))), np.empty(0), np.empty(0))
    return Told(
        tuple(trial.number for trial, _ in done),
        np.stack([point for _, point in done]),
        np.clip(values, finite.min(), finite.max()),
        noise_of([trial.user_attrs.get("scores") or () for trial, _ in done]),
    )


def pending(trials: Iterable[FrozenTrial], space: Space) -> Array:
    """(m, d), the points of trials that run now with all parameters known, by number."""
    running = sorted((t for t in trials if t.state == TrialState.RUNNING), key=lambda t: t.number)
    points = [p for t in running if (p := to_unit(t.params, space)) is not None]
    return np.array(points, dtype=float).reshape(-1, len(space))


class BayesianSampler(BaseSampler):
    """Asks where a Gaussian process of the told trials expects to improve most.

    Made for `study.ask(distributions)` and for `trial.suggest_…` of the same distributions in
    `study.optimize`. Trials that run count as told what the model believes of them, so a round of asks
    spreads out. A point depends on the seed, the trial's number and the other trials, on nothing else.

    Args:
        distributions: The whole space; floats and whole numbers.
        seed: Of the candidates and of what is drawn while fewer than two trials are told; at least 0.
        plain: Whether plain expected improvement is compared, as in the tutorial, instead of its logarithm.

    Attributes:
        reasons: For each trial number that this object asked, but for those drawn at random, why.
        drawn: The numbers of those.

    Raises:
        NotSearchable: A distribution has no numbers, or (when asked) the study does not minimise one value.
    """

    def __init__(self, distributions: Space, seed: int = 0, plain: bool = False) -> None:
        if not distributions:
            raise NotSearchable("distributions must name at least one parameter, got none.")
        for distribution in distributions.values():
            _Axis.of(distribution)
        self.distributions = dict(distributions)
        self.seed, self.plain = seed, plain
        self.reasons: dict[int, Reason] = {}
        self.drawn: set[int] = set()
        self._fitted: dict[Any, Process] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The distributions that the sampler was made with."""
        if study.directions != [StudyDirection.MINIMIZE]:
            ways = ", ".join(direction.name.lower() for direction in study.directions)
            raise NotSearchable(f"study must minimize one value, got one to {ways}.")
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of a trial, all together."""
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        return self.suggest(trial.number, trials)

    def suggest(self, number: int, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """The parameters of the trial of a number, after others that have ended or run."""
        space, generator = self.distributions, np.random.default_rng([self.seed, number])
        known = told(trials, space)
        if len(known.values) < 2:
            self.drawn.add(number)
            return from_unit(generator.random(len(space)), space)
        process = self.process(known)
        running = pending(trials, space)
        if len(running):
            process = process.believing(running)
        found = propose(process, generator, log=not self.plain, snap=_snap(space))
        self.reasons[number] = Reason(
            found.mean, found.deviation, found.improvement, found.best, len(known.values)
        )
        return from_unit(found.point, space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A uniform draw: for a parameter that is not of the space."""
        generator = np.random.default_rng([self.seed, trial.number, *param_name.encode()])
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[generator.integers(len(param_distribution.choices))]
        space = {param_name: param_distribution}
        return from_unit(generator.random(1), space)[param_name]

    def process(self, known: Told) -> Process:
        """The model of what is told; kept until something else is, so that a round of asks fits it once."""
        return self._kept(known, lambda: self._fit(known))

    def _fit(self, known: Told) -> Process:
        if len(known.values) <= MANY:
            return fit(known.points, known.values, known.noise)
        early = Told(known.numbers[:MANY], known.points[:MANY], known.values[:MANY], known.noise[:MANY])
        begin = self._kept(early, lambda: self._fit(early))
        return fit(known.points, known.values, known.noise, begin)

    def _kept(self, known: Told, make: Callable[[], Process]) -> Process:
        """The process of what is told, made when it is not one of the two used last."""
        key = known.points.tobytes(), known.values.tobytes(), known.noise.tobytes()
        process = self._fitted.pop(key) if key in self._fitted else make()
        self._fitted[key] = process
        if len(self._fitted) > 2:
            self._fitted.pop(next(iter(self._fitted)))
        return process


class RandomSampler(BaseSampler):
    """Draws evenly over a space; a point depends on the seed and the trial's number, on nothing else.

    Args:
        distributions: The whole space; floats and whole numbers.
        seed: Of what is drawn; at least 0.
    """

    def __init__(self, distributions: Space, seed: int) -> None:
        self.distributions, self.seed = dict(distributions), seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The distributions that the sampler was made with."""
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of a trial, all together."""
        return self.draw(trial.number)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A draw for a parameter that is not of the space."""
        space = {param_name: param_distribution}
        generator = np.random.default_rng([self.seed, trial.number, *param_name.encode()])
        return from_unit(generator.random(1), space)[param_name]

    def draw(self, number: int, turn: int = 0) -> dict[str, Any]:
        """The parameters for the trial of a number; others with every turn."""
        generator = np.random.default_rng([self.seed, number, turn])
        return from_unit(generator.random(len(self.distributions)), self.distributions)


class RestSampler(RandomSampler):
    """Draws at random what grid and Sobol search leave open.

    Attributes:
        drawn: The numbers of the trials that it drew.
    """

    def __init__(self, distributions: Space, seed: int) -> None:
        super().__init__(distributions, seed)
        self.drawn: set[int] = set()

    def draw(self, number: int, turn: int = 0) -> dict[str, Any]:
        """As random search draws."""
        self.drawn.add(number)
        return super().draw(number, turn)


def _snap(space: Space) -> Callable[[Array], Array] | None:
    """Moves points (m, d) to what `from_unit` makes of them; None where that is the same."""
    axes = [_Axis.of(distribution) for distribution in space.values()]
    if not any(axis.step for axis in axes):
        return None

    def snap(points: Array) -> Array:
        columns = zip(axes, points.T, strict=True)
        return np.stack([axis.unit(axis.value(c)) if axis.step else c for axis, c in columns], axis=1)

    return snap


def make_sampler(name: str, distributions: Space, seed: int, plain: bool = False) -> BaseSampler:
    """The sampler of a name: bayesian, gp, tpe, sobol, random or grid.

    Sobol and grid queue their points beforehand; what they leave open is drawn at random.

    Args:
        name: One of these names.
        distributions: The whole space.
        seed: Of everything that the sampler draws.
        plain: See `BayesianSampler`; the others do not use it.

    Raises:
        UnknownName: There is no such sampler.
    """
    makers: dict[str, Callable[[], BaseSampler]] = {
        "bayesian": lambda: BayesianSampler(distributions, seed, plain),
        "gp": lambda: GPSampler(seed=seed, n_startup_trials=STARTS),
        "tpe": lambda: TPESampler(seed=seed, n_startup_trials=STARTS),
        "sobol": lambda: RestSampler(distributions, seed),
        "random": lambda: RandomSampler(distributions, seed),
        "grid": lambda: RestSampler(distributions, seed),
    }
    if name not in makers:
        raise UnknownName(unknown("sampler", name, makers))
    return makers[name]()


def ask(study: Study, distributions: Space) -> Trial:
    """The study's next trial with all its parameters; the process's thread settings stay as they are.

    Holds `ASKING`: whoever asks otherwise must hold it too.
    """
    import torch

    with ASKING:
        threads, blas = torch.get_num_threads(), os.environ.get(BLAS)
        try:
            trial = study.ask(dict(distributions))
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            if blas is None:
                os.environ.pop(BLAS, None)
            else:
                os.environ[BLAS] = blas
    note_draw(trial)
    return trial


def note_draw(trial: Trial) -> None:
    """Writes beside a trial that has its setting that the setting was drawn at random, where it was.

    It is where grid or Sobol search has nothing queued any more, or the Bayesian sampler no model yet; random
    search and Optuna's own samplers are not asked what they did.
    """
    if trial.number in getattr(trial.study.sampler, "drawn", ()):
        trial.set_user_attr("kind", "random")
