"""How often the intervals and the word "surely" hold on real problems: python -m tests.bench.coverage

Each problem, a bundled table x a linear model or a network, is trained once with every rule on SEEDS seeds;
then comparisons of a few seeds are drawn from these runs again and again, and judged by the code of the page.

Coverage: how often the 95 % interval of `core.statistics.estimate` holds the mean of all seeds that were not
drawn, at least 600; beside it a percentile bootstrap of the same logarithms.

False claims: in how many comparisons of 2, 4 and 8 candidates that are truly alike at least one is called
surely lower or surely sooner than another. They are alike in three ways: "same setting": SGD alone, each
candidate on seeds of its own; "rates 1.0001": SGD with rates that factor apart, on shared seeds; "equal
means": the different rules on shared seeds, with their real noise, each one's losses times a factor that
makes the means of all seeds equal (there only final losses are judged, since curves differ in time).

Power: how often SGD and momentum 0.9, alone or among four, are called surely different in the right way.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from core.compare import Measures, measure, summarise, usual_target
from core.config import Config
from core.engine import Training
from core.findings import LEVEL, Findings
from core.optimizers import SGD, Adagrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from core.statistics import estimate, estimates

Array = NDArray[np.float64]

TABLES = ("boston", "diabetes", "wine", "breast_cancer", "iris")
MODELS = ("linear", "mlp")
RULES: tuple[Optimizer, ...] = (
    *(SGD(0.01), Momentum(0.01, 0.9), Nesterov(0.01, 0.9), Adam(0.01)),
    *(RMSprop(0.003), Adagrad(0.03), Momentum(0.01, 0.5), Adam(0.003)),
)
SEEDS = 640
ALIKE = "same setting", "rates 1.0001", "equal means"
CANDIDATES = 2, 4, 8
FEW = 5, 8, 16
COVERED = 3, *FEW


@dataclass(frozen=True)
class Found:
    """What one problem came to, all as shares.

    Attributes:
        name: Table and model.
        ratio: The final loss of SGD as a multiple of that of momentum, over all seeds.
        coverage: By rule (0 SGD, 1 momentum) and seeds.
        bootstrap: The same, of the percentile bootstrap.
        false: By kind of likeness, candidates and seeds.
        power: By candidates (2 or 4) and seeds; nan where the truth differs by too little to be called so.
        wrong: The same, of claims in the wrong direction.
    """

    name: str
    ratio: float
    coverage: dict[tuple[int, int], float]
    bootstrap: dict[tuple[int, int], float]
    false: dict[tuple[str, int, int], float]
    power: dict[tuple[int, int], float]
    wrong: dict[tuple[int, int], float]


def losses(base: Config, rules: Sequence[Optimizer], seeds: int) -> Array:
    """The losses (R, S, E + 1) of each rule on each seed; none diverges."""
    training = Training([replace(base, optimizer=rule, seed=seed) for rule in rules for seed in range(seeds)])
    while training.active:
        training.advance()
    measures = measure(training, len(rules), seeds, base.epochs)
    assert not measures.diverged.any()
    return np.asarray(measures.loss, dtype=np.float64)


def findings(loss: Array) -> Findings:
    """What the page would find in the losses (R, S, E + 1) of the first rules."""
    nothing = np.full(loss.shape[:2], np.nan)
    measures = Measures(loss, loss, nothing, loss, np.zeros(loss.shape[:2], dtype=bool), nothing)
    rules = RULES[: len(loss)]
    target = usual_target(measures, len(rules))
    return Findings(summarise(measures, rules, target), loss.shape[2] - 1)


def covered(final: Array, seeds: int, repeats: int, rng: np.random.Generator) -> tuple[float, float]:
    """How often the interval of a few of the losses (S,) holds the mean of the others; the bootstrap's."""
    logs, held, boot = np.log(final), 0, 0
    for _ in range(repeats):
        drawn = rng.choice(len(final), seeds, replace=False)
        truth = math.exp((logs.sum() - logs[drawn].sum()) / (len(final) - seeds))
        told = estimate(final[drawn], log=True)
        held += told.low <= truth <= told.high
        means = logs[drawn][rng.integers(seeds, size=(400, seeds))].mean(1)
        low, high = np.percentile(means, [2.5, 97.5])
        boot += low <= math.log(truth) <= high
    return held / repeats, boot / repeats


def falsely(kind: str, pools: dict[str, Array], count: int, seeds: int, rng: np.random.Generator) -> bool:
    """Whether any of some candidates that are truly alike is called surely better than another."""
    pool = pools[kind]
    if kind == ALIKE[0]:
        drawn = pool[0, rng.choice(pool.shape[1], (count, seeds), replace=False)]
    else:
        drawn = pool[:count, rng.choice(pool.shape[1], seeds, replace=False)]
    found = findings(drawn)
    sooner = found.winner is not None and kind != ALIKE[2]
    return sooner or any(found.told_apart(a, b) for a, b in itertools.combinations(range(count), 2))


def study(name: str, base: Config, repeats: int) -> Found:
    """Trains a problem and draws from it."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pool = losses(base, RULES, SEEDS)
    rates = [SGD(0.01 * 1.0001**k) for k in range(max(CANDIDATES))]
    means = estimates(pool[:, :, -1].T)[0]
    pools = dict(
        zip(ALIKE, (pool, losses(base, rates, SEEDS // 4), pool / means[:, None, None]), strict=True)
    )
    cells = {(rule, n): covered(pool[rule, :, -1], n, 10 * repeats, rng) for rule in (0, 1) for n in COVERED}
    false = {
        (kind, count, n): float(np.mean([falsely(kind, pools, count, n, rng) for _ in range(times)]))
        for kind in ALIKE
        for count in CANDIDATES
        for times in [repeats * max(CANDIDATES) // count]
        for n in FEW
    }
    ratio = float(means[0] / means[1])
    low, high = (1, 0) if ratio > 1 else (0, 1)
    power, wrong = {}, {}
    for count, n in itertools.product(CANDIDATES[:2], FEW):
        drawn = [findings(pool[:count, rng.choice(SEEDS, n, replace=False)]) for _ in range(repeats)]
        clear = abs(math.log(ratio)) > LEVEL
        power[count, n] = float(np.mean([f.below(low, high) for f in drawn])) if clear else math.nan
        wrong[count, n] = float(np.mean([f.below(high, low) for f in drawn]))
    coverage, bootstrap = ({cell: shares[k] for cell, shares in cells.items()} for k in (0, 1))
    return Found(name, ratio, coverage, bootstrap, false, power, wrong)


def row(*cells: object) -> None:
    """A line of a table, as README has it."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(*titles: object) -> None:
    """The first two lines of a table."""
    print()
    row(*titles)
    row(*("---" for _ in titles))


def percent(shares: Iterable[float]) -> str:
    """Shares as 93.1 / 95.0."""
    return " / ".join("–" if math.isnan(share) else f"{100 * share:.1f}" for share in shares)


def show(found: Sequence[Found]) -> None:
    """The three tables."""
    head("coverage in %, SGD / momentum", *(f"{n} seeds" for n in COVERED), "bootstrap, 5 seeds")
    for f in found:
        cells = [percent(f.coverage[rule, n] for rule in (0, 1)) for n in COVERED]
        row(f.name, *cells, percent(f.bootstrap[rule, 5] for rule in (0, 1)))
    every = {n: [f.coverage[rule, n] for f in found for rule in (0, 1)] for n in COVERED}
    boot = [f.bootstrap[rule, 5] for f in found for rule in (0, 1)]
    row("mean", *(percent([np.mean(every[n])]) for n in COVERED), percent([np.mean(boot)]))
    row("lowest", *(percent([min(every[n])]) for n in COVERED), percent([min(boot)]))
    head("false “surely” in % of comparisons: mean, highest problem", *(f"{n} seeds" for n in FEW))
    for kind, count in itertools.product(ALIKE, CANDIDATES):
        shares = [[f.false[kind, count, n] for f in found] for n in FEW]
        row(f"{count} candidates, {kind}", *(f"{percent([np.mean(s)])}, {percent([max(s)])}" for s in shares))
    columns = [f"{n} seeds, of {count}" for count in CANDIDATES[:2] for n in FEW]
    head("found in %", "SGD's loss / momentum's", *columns)
    for f in found:
        row(f.name, f"{f.ratio:.3g}", *(percent([f.power[cell]]) for cell in f.power))
    row(
        "wrong direction",
        "",
        *(percent([np.mean([f.wrong[cell] for f in found])]) for cell in found[0].wrong),
    )


def main() -> None:
    """Trains, draws and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument(
        "--repeats",
        type=int,
        default=200,
        help="comparisons of eight of each kind and problem; of fewer candidates, more",
    )
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    begin = time.perf_counter()
    names = [f"{table}, {model}" for table in TABLES for model in MODELS]
    bases = [
        Config().but(dataset=table, model=model, epochs=options.epochs)
        for table in TABLES
        for model in MODELS
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        found = list(pool.map(study, names, bases, [options.repeats] * len(names)))
    show(found)
    print(f"\n{time.perf_counter() - begin:.0f} s, {SEEDS} seeds, {options.repeats} comparisons of eight")


if __name__ == "__main__":
    main()
