"""What a map of 1,024 real runs costs, and how prediction and measurement agree: python -m tests.bench.maps

One thread of torch. Seconds are of the wall, from the first update of a map to its last, in one worker.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from core import maps
from core.config import Config

PROBLEMS = {
    "linear on boston, 10 epochs, batch 32 (to be under 15 s)": {"dataset": "boston", "epochs": 10},
    "MLP 2-16-16-2 on moons, 10 epochs, batch 32 (under 30 s)": {
        "dataset": "moons",
        "model": "mlp",
        "hidden": (16, 16),
        "epochs": 10,
    },
    "linear on boston, 50 epochs, batch 32": {"dataset": "boston", "epochs": 50},
    "linear on boston, 10 epochs, batch 4": {"dataset": "boston", "epochs": 10, "batch_size": 4},
    "linear on boston, full batch, 200 epochs": {"dataset": "boston", "epochs": 200, "batch_size": 405},
    "linear on boston, batches of 404 and of 1, 100 epochs": {
        "dataset": "boston",
        "epochs": 100,
        "batch_size": 404,
    },
    "linear on boston, nesterov, 10 epochs": {"dataset": "boston", "epochs": 10, "optimizer": "nesterov"},
    "linear on diabetes, 10 epochs, batch 32": {"dataset": "diabetes", "epochs": 10},
    "linear on boston unscaled, 10 epochs": {"dataset": "boston", "epochs": 10, "scale": False},
    "MLP 13-16-16-1 on boston, 10 epochs": {"dataset": "boston", "model": "mlp", "epochs": 10},
}


def main() -> None:
    torch.set_num_threads(1)
    for name, words in PROBLEMS.items():
        config = Config().but(**words)
        begin = time.perf_counter()
        axes = maps.axes(config)
        prediction = maps.predict(config, axes)
        predicted = time.perf_counter() - begin
        grid = maps.Map(config, axes)
        begin = time.perf_counter()
        while grid.active:
            grid.advance(20_000)
        seconds = time.perf_counter() - begin
        ratio, wrong = prediction.ratio, grid.diverged | (grid.loss > grid.first)
        safe, far = ratio < maps.SAFE, ratio > 3.0
        print(f"{name}\n  predicted in {predicted:.2f} s, {ratio.size:,} runs measured in {seconds:.2f} s")
        print(f"  safe cells that diverged: {int((safe & grid.diverged).sum())} of {int(safe.sum())}")
        print(
            f"  above 3 times the limit: {np.mean(grid.diverged[far]):.0%} of {int(far.sum())} cells "
            f"diverged in time, {np.mean(wrong[far]):.0%} did or ended above their first loss"
        )


if __name__ == "__main__":
    main()
