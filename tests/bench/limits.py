"""How safe the safe learning rates of networks are: every bundled dataset, three networks, six batch sizes.

    python -m tests.bench.limits [--every N] [--processes N] [--rows FILE]

For each problem the limit is found by pilot runs (core.limit), and then at its safe rate SEEDS runs on seeds
that the pilots have not seen make UPDATES updates. For one problem in SWEPT there are MORE seeds and rates
above it, to see how far below the largest rate at which all seeds hold the safe one lies.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import pandas as pd

from core import limit
from core.config import BadConfig, Config
from core.datasets import DATASETS
from core.history import DIVERGED

NETWORKS = (
    {"model": "mlp", "hidden": "16,16", "activation": "tanh"},
    {"model": "mlp", "hidden": "64", "activation": "relu"},
    {"model": "mlp", "hidden": "32,32,32", "activation": "relu"},
)
PICTURES = {"model": "cnn"}  # instead of the second network where the data are pictures
BATCHES = (1, 4, 16, 64, 256, 100_000)
MOMENTA = (0.0, 0.5, 0.9)
SEEDS, MORE, FIRST = 3, 8, 1000
UPDATES = 1000
SWEPT = 13
FACTORS = 1.25 ** np.arange(9)  # of the safe rate: up to 6 times


class Row(NamedTuple):
    """One problem: the limit, and of `runs` at its safe rate how many were lost."""

    dataset: str
    network: str
    batch_size: int
    momentum: float
    limit: float
    seconds: float
    runs: int
    diverged: int
    unstable: int
    below: float


def problems() -> Iterator[Config]:
    """All problems, those of a momentum and a batch size together."""
    for momentum in MOMENTA:
        for batch_size in BATCHES:
            for k, network in enumerate(NETWORKS):
                for name, dataset in DATASETS.items():
                    words = PICTURES if k == 1 and dataset.image_shape else network
                    query = {"dataset": name, "batch_size": str(batch_size), "momentum": str(momentum)}
                    try:
                        yield Config.from_query(query | words)
                    except BadConfig:
                        continue


def measured(config: Config, swept: bool) -> Row:
    """Finds the limit of one problem and tries it."""
    import torch

    torch.set_num_threads(1)
    begin = time.perf_counter()
    found = limit.ceiling(config)
    seconds = time.perf_counter() - begin
    network = (
        f"cnn {config.channels}" if config.model.name == "cnn" else f"{config.hidden} {config.activation}"
    )
    named = config.dataset.name, network, min(config.batch_size, config.train_rows), config.momentum
    if found is None:
        return Row(*named, np.nan, seconds, 0, 0, 0, np.nan)
    seeds = MORE if swept else SEEDS
    diverged, unstable = [], []
    for factor in FACTORS if swept else FACTORS[:1]:
        lost = _tried(config, factor * found.safe, seeds)
        diverged.append(lost[0])
        unstable.append(lost[1])
        if unstable[-1]:
            break
    held = len(unstable) - bool(unstable[-1])
    below = FACTORS[held - 1] if swept and held else np.nan
    return Row(*named, found.learning_rate, seconds, seeds, diverged[0], unstable[0], below)


def _tried(config: Config, rate: float, seeds: int) -> tuple[int, int]:
    """Of some runs at a rate, how many diverged and how many were not stable."""
    from core.engine import Training

    base = config.but(learning_rate=float(rate), epochs=max(1, round(UPDATES / config.steps_per_epoch)))
    training = Training([base.but(seed=FIRST + k) for k in range(seeds)])
    first = [training.records(k)[0].train_loss for k in range(seeds)]
    while training.active and training.done < UPDATES + config.steps_per_epoch:
        training.advance()
    last = [training.records(k)[-1] for k in range(seeds)]
    lost = [record.status == DIVERGED for record in last]
    classes = config.dataset.classes
    stable = [
        limit.held(last[k].train_loss, lost[k], first[k], training.problem(k).baseline, classes)
        for k in range(seeds)
    ]
    return sum(lost), seeds - sum(stable)


def table(rows: list[Row]) -> pd.DataFrame:
    """The rows by network, and all together."""
    frame = pd.DataFrame(rows)

    def line(name: str, part: pd.DataFrame) -> dict[str, object]:
        known = part[part["limit"].notna()]
        runs = int(known["runs"].sum())
        swept = known["below"].dropna()
        return {
            "network": name,
            "problems": len(part),
            "no limit found": len(part) - len(known),
            "runs at the safe rate": runs,
            "diverged": f"{known['diverged'].sum()} ({100 * known['diverged'].sum() / max(runs, 1):.2f} %)",
            "or far above the first loss": int(known["unstable"].sum()),
            "swept": len(swept),
            "largest rate that held / safe: median, 90 %, most": " ".join(
                f"{value:.2g}" for value in swept.quantile([0.5, 0.9, 1.0])
            ),
            "seconds of pilots: median, most": f"{part['seconds'].median():.2f} {part['seconds'].max():.1f}",
        }

    parts = [line(str(name), part) for name, part in frame.groupby("network", sort=False)]
    return pd.DataFrame([*parts, line("all", frame)]).set_index("network")


def main() -> None:
    """Prints the table, and every problem of which a run was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take one problem in so many")
    parser.add_argument("--processes", type=int, default=2, help="at the same time")
    parser.add_argument("--rows", help="a CSV file for the problems, written as they are measured")
    args = parser.parse_args()
    configs = list(problems())[:: args.every]
    configs = [configs[k * 389 % len(configs)] for k in range(len(configs))]  # spread, whenever it is ended
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        rows = []
        for row in pool.map(measured, configs, [k % SWEPT == 0 for k in range(len(configs))]):
            rows.append(row)
            if args.rows:
                pd.DataFrame([row]).to_csv(args.rows, mode="a", header=len(rows) == 1, index=False)
    print(table(rows).T.to_string())
    odd = pd.DataFrame([row for row in rows if row.unstable or row.below > 3 or np.isnan(row.limit)])
    if len(odd):
        print("Runs were lost, or the limit is far below or not found:")
        print(odd.to_string(index=False))


if __name__ == "__main__":
    main()
