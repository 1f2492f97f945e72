"""What a run and step costs, beside the loop of the tutorials: python -m tests.bench.engine

One table, no assertion. All ways train the same thing (moons, MLP 2-16-16-2, tanh, batch 32, SGD with
momentum) in one process and one thread, in turns, so that a busy machine slows all of them; the median of the
turns is shown. Ratios are of the thread's own time (time.thread_time), since other work is not ours. With
evaluation, loss and metric of the whole training and validation part are computed after each epoch.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from core.config import Config
from core.engine import Training
from core.engine.problem import problem

TURNS = 7
RUNS = (1, 8, 25, 64, 256, 1024)
BASE = Config().but(
    dataset="moons", model="mlp", hidden=(16, 16), learning_rate=0.01, momentum=0.9, epochs=10_000
)


class Tutorial:
    """One run, as a tutorial writes it."""

    def __init__(self, loader: bool) -> None:
        data = problem(BASE)
        self.x, self.y = data.x_train, data.y_train.argmax(1)
        self.x_valid, self.y_valid = data.x_valid, data.y_valid.argmax(1)
        self.model = nn.Sequential(
            nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2)
        )
        self.loss = nn.CrossEntropyLoss()
        self.rule = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        dataset = torch.utils.data.TensorDataset(self.x, self.y)
        self.loader = torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=True) if loader else None
        self.history: list[float] = []

    def batches(self) -> object:
        if self.loader:
            return self.loader
        order = torch.randperm(len(self.x))
        return ((self.x[rows], self.y[rows]) for rows in order.split(32))

    def epoch(self, evaluated: bool) -> None:
        for x, y in self.batches():
            self.rule.zero_grad()
            loss = self.loss(self.model(x), y)
            loss.backward()
            self.rule.step()
            self.history.append(loss.item())
        if evaluated:
            with torch.no_grad():
                for x, y in ((self.x, self.y), (self.x_valid, self.y_valid)):
                    outputs = self.model(x)
                    self.history.append(self.loss(outputs, y).item())
                    self.history.append((outputs.argmax(1) == y).float().mean().item())


class Ours:
    """Many runs of the engine, each with its own seed, learning rate and momentum."""

    def __init__(self, runs: int, evaluated: bool, seeds: int) -> None:
        configs = [
            BASE.but(learning_rate=0.003 + 0.00001 * k, momentum=0.5 + 0.0003 * k, seed=k % seeds)
            for k in range(runs)
        ]
        self.training = Training(configs)
        self.evaluated = evaluated

    def epoch(self) -> None:
        for stack in self.training.stacks:
            if self.evaluated:
                stack.advance(stack.steps_per_epoch)
                continue
            report, evaluate = stack._report, stack._evaluate
            stack._evaluate = lambda params: torch.zeros(len(params), 4).numpy()
            stack._report = lambda *a, **k: []
            stack.advance(stack.steps_per_epoch)
            stack._report, stack._evaluate = report, evaluate


def timed(work: Callable[[], None], repeats: int) -> tuple[float, float]:
    """Seconds of this thread and of the wall for one call."""
    wall, own = time.perf_counter(), time.thread_time()
    for _ in range(repeats):
        work()
    return (time.thread_time() - own) / repeats, (time.perf_counter() - wall) / repeats


def multiply_speed() -> float:
    """Billions of multiply-adds a second of one thread in a product of 512 x 512."""
    a = torch.randn(512, 512)
    seconds, _ = timed(lambda: a @ a, 20)
    return 512**3 / seconds / 1e9


def ways() -> dict[str, tuple[Callable[[], None], int, int]]:
    """What is timed: an epoch of it, how many runs that is, how often in a turn."""
    made: dict[str, tuple[Callable[[], None], int, int]] = {}
    for evaluated in (True, False):
        tail = "" if evaluated else ", no evaluation"
        for name, loader in (("tutorial loop", True), ("plain loop", False)):
            tutorial = Tutorial(loader)
            made[name + tail] = (lambda t=tutorial, e=evaluated: t.epoch(e)), 1, 2
        for runs in RUNS:
            ours = Ours(runs, evaluated, seeds=runs)
            made[f"engine, {runs} runs{tail}"] = ours.epoch, runs, max(1, 32 // runs)
    for runs in (25, 256):
        made[f"engine, {runs} runs of one seed"] = Ours(runs, True, seeds=1).epoch, runs, 1
    return made


def main() -> None:
    torch.set_num_threads(1)
    todo = ways()
    steps = BASE.steps_per_epoch
    own: dict[str, list[float]] = {name: [] for name in todo}
    wall: dict[str, list[float]] = {name: [] for name in todo}
    for work, _, _ in todo.values():
        work()
    speeds = []
    for _ in range(TURNS):
        speeds.append(multiply_speed())
        for name, (work, runs, repeats) in todo.items():
            seconds, passed = timed(work, repeats)
            own[name].append(seconds / runs / steps * 1e6)
            wall[name].append(passed / runs / steps * 1e6)
    absent = [name for name in ("jax", "tensorflowjs") if importlib.util.find_spec(name) is None]
    print(f"matrix product 512 x 512: {statistics.median(speeds):.1f} billion multiply-adds a second")
    print(
        f"microseconds per run and step, median of {TURNS} turns; not installed: {', '.join(absent) or '-'}\n"
    )
    print(f"{'way':42s} {'thread':>9s} {'wall':>9s} {'tutorial / it':>14s} {'plain / it':>11s}")
    for name, seconds in own.items():
        tail = ", no evaluation" if name.endswith("no evaluation") else ""
        ratios = [
            statistics.median(own[way + tail]) / statistics.median(seconds)
            for way in ("tutorial loop", "plain loop")
        ]
        print(
            f"{name:42s} {statistics.median(seconds):9.1f} {statistics.median(wall[name]):9.1f}"
            f" {ratios[0]:13.1f}x {ratios[1]:10.1f}x"
        )


if __name__ == "__main__":
    main()
