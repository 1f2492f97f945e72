"""Dense tables of real training runs, in which a benchmark of searches looks its trials up.

A table holds the score of every cell of learning rate x momentum x batch size on every seed, trained once
with the engine and kept under tests/bench/.cache (not in git). Between cells it is linear in the logarithms
of the learning rate, of the batch size and of 1 - momentum, seed by seed; no value between cells is below all
of theirs, so the best cell bounds what any search can find.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.compare import measure
from core.config import Config
from core.engine import Training
from core.search.objective import ceilings, scores
from core.search.plan import fingerprint
from core.search.space import usual

Array = NDArray[np.float64]

CACHE = Path(__file__).resolve().parent / ".cache"
DIVERGED = 0.5  # an interpolated share of diverged corners from which a seed counts as diverged


@dataclass(frozen=True)
class Resolution:
    """How fine a table is.

    Attributes:
        rates, momenta: Cells along learning rate and momentum, from end to end of the usual space.
        batches: Batch sizes, rising, from 1 to 100.
        seeds: Seeds of each cell, from 0 on.
    """

    rates: int
    momenta: int
    batches: tuple[int, ...]
    seeds: int


FINE = Resolution(33, 15, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100), 20)
MEDIUM = Resolution(25, 13, FINE.batches, 20)
MANY_SEEDS = replace(MEDIUM, seeds=100)
COARSE = Resolution(9, 5, (1, 4, 16, 100), 8)

WORDS = {"optimizer": "momentum", "epochs": 10, "valid_fraction": 0.2}
PROBLEMS = {
    "boston-linear": Config().but(dataset="boston", model="linear", **WORDS),
    "diabetes-linear": Config().but(dataset="diabetes", model="linear", **WORDS),
    "boston-mlp": Config().but(dataset="boston", model="mlp", hidden=(16,), **WORDS),
    "diabetes-mlp": Config().but(dataset="diabetes", model="mlp", hidden=(16,), **WORDS),
}


RESOLUTIONS = {
    "boston-linear": FINE,
    "diabetes-linear": FINE,
    "boston-mlp": MEDIUM,
    "diabetes-mlp": MANY_SEEDS,  # of 20 the noise would be larger than what searches differ by
}


@dataclass(frozen=True, eq=False)
class Table:
    """Scores over the usual space.

    Attributes:
        batches, rates, momenta: (B,), (L,), (M,), the cells along each number.
        scores: (B, L, M, S), log10 of the loss under its ceiling, as `core.search.objective` has it.
        diverged: (B, L, M, S), whether the run diverged.
        seconds: What it took to train.
    """

    batches: Array
    rates: Array
    momenta: Array
    scores: Array
    diverged: NDArray[np.bool_]
    seconds: float

    @property
    def seeds(self) -> int:
        """How many seeds each cell has."""
        return self.scores.shape[3]

    def at(self, values: Mapping[str, float]) -> tuple[Array, NDArray[np.bool_]]:
        """Scores (S,) of a setting, and which of its seeds count as diverged."""
        axes = (
            (np.log(self.batches), np.log(values["batch_size"])),
            (np.log(self.rates), np.log(values["learning_rate"])),
            (-np.log1p(-self.momenta), -np.log1p(-values["momentum"])),
        )
        found, lost = np.zeros(self.seeds), np.zeros(self.seeds)
        for corner in itertools.product(*(_neighbours(axis, at) for axis, at in axes)):
            (b, _), (rate, _), (m, _) = corner
            weight = float(np.prod([w for _, w in corner]))
            if weight:
                found += weight * self.scores[b, rate, m]
                lost += weight * self.diverged[b, rate, m]
        return found, lost >= DIVERGED

    @property
    def error(self) -> float:
        """How far the losses of its best cells can be told apart, in percent.

        The standard error over seeds of the difference to the best cell, its median over the best 200.
        """
        cells = self.scores.reshape(-1, self.seeds)
        best = cells[np.argsort(cells.mean(1))[:200]]
        apart = best[1:] - best[0]
        return float(100.0 * (10.0 ** np.median(apart.std(1, ddof=1) / np.sqrt(self.seeds)) - 1.0))

    def lowest(self, seeds: NDArray[np.intp]) -> float:
        """The mean score of the best cell on some seeds."""
        return float(self.scores[..., seeds].mean(-1).min())


def _neighbours(axis: Array, at: float) -> tuple[tuple[int, float], tuple[int, float]]:
    """The two places of a rising axis around a value, clipped to its ends, and their weights."""
    right = int(np.clip(np.searchsorted(axis, at), 1, len(axis) - 1))
    weight = float(np.clip((at - axis[right - 1]) / (axis[right] - axis[right - 1]), 0.0, 1.0))
    return (right - 1, 1.0 - weight), (right, weight)


def table(problem: str, resolution: Resolution, recompute: bool = False) -> Table:
    """The table of a problem, from the cache where it is there and of the same data and cells.

    Args:
        problem: A key of PROBLEMS.
        resolution: Its cells.
        recompute: Whether it is trained anew in any case.
    """
    config = PROBLEMS[problem]
    path = CACHE / f"{problem}-{resolution.rates}x{resolution.momenta}x{len(resolution.batches)}.npz"
    key = f"{fingerprint(config.dataset)} {config.to_query()} {resolution}"
    if path.exists() and not recompute:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["key"]) == key:
                names = ("batches", "rates", "momenta", "scores", "diverged")
                return Table(*(kept[name] for name in names), float(kept["seconds"]))
    made = train(config, resolution)
    CACHE.mkdir(exist_ok=True)
    np.savez_compressed(path, **vars(made), key=key)
    return made


def train(config: Config, resolution: Resolution) -> Table:
    """Trains every cell on every seed; prints how far it is after each batch size."""
    axes = {r.word: r for r in usual(config).ranges}
    rates, momenta = (
        np.array([axes[word].between(u) for u in np.linspace(0.0, 1.0, count)])
        for word, count in (("learning_rate", resolution.rates), ("momentum", resolution.momenta))
    )
    begin, parts = time.perf_counter(), []
    for batch in resolution.batches:
        sized = replace(config, batch_size=batch)
        parts.append([_trained(sized, rates, m, resolution.seeds) for m in momenta])
        print(f"  batch size {batch}: {time.perf_counter() - begin:.0f} s", flush=True)
    told, lost = (np.stack([np.stack([c[k] for c in part], axis=1) for part in parts]) for k in (0, 1))
    batches = np.array(resolution.batches, dtype=float)
    return Table(batches, rates, momenta, told, lost, time.perf_counter() - begin)


def _trained(config: Config, rates: Array, momentum: float, seeds: int) -> tuple[Array, NDArray[np.bool_]]:
    """Scores (L, S), and which runs diverged, of some learning rates at one momentum and batch size."""
    rules = [replace(config.optimizer, learning_rate=float(r), momentum=float(momentum)) for r in rates]
    training = Training([replace(config, optimizer=rule, seed=s) for rule in rules for s in range(seeds)])
    while training.active:
        training.advance()
    measures = measure(training, len(rates), seeds, config.epochs)
    last = np.where(measures.diverged, np.nan, measures.loss[:, :, -1])
    return scores(last, ceilings(training, seeds)), measures.diverged
