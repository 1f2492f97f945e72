"""Training: configs in, records out; many runs as one.

Runs that share data, model and batch size are stacked: their parameters are one tensor
with a leading run axis. Others are trained next to them, in turns.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import pandas as pd
import torch

from core.config import Config
from core.engine.problem import Problem
from core.engine.stack import Stack
from core.history import DIVERGED, FINISHED, RUNNING, Change, History, Record
from core.optimizers import Optimizer

__all__ = ["DIVERGED", "FINISHED", "RUNNING", "Change", "History", "Record", "Training", "run", "train"]

STACKED = 1 << 19  # numbers that one step of a stack may touch, so that they stay in the cache


class Training:
    """Runs on their way: advanced, changed and looked at from outside.

    Args:
        configs: One for each run; any may be mixed.
        device: Where they train.
        dtype: In which precision.

    Attributes:
        configs: As given.
        stacks: Runs of one shape together.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.configs = list(configs)
        self._runs: list[list[int]] = _stackable_runs(self.configs)
        self.stacks = [Stack([self.configs[k] for k in runs], device, dtype) for runs in self._runs]
        self._seats = {run: (s, seat) for s, runs in enumerate(self._runs) for seat, run in enumerate(runs)}

    @property
    def active(self) -> bool:
        """Whether any run goes on."""
        return any(stack.active for stack in self.stacks)

    def start(self) -> list[Record]:
        """The state of every run before training, epoch 0."""
        return sorted(
            r for s, stack in enumerate(self.stacks) for r in self._numbered(s, stack.first_records)
        )

    def advance(self, steps: int | None = None) -> list[Record]:
        """Lets the stack that is furthest behind make updates, at most to the end of its epoch.

        Args:
            steps: At most so many; all that are left of the epoch when None.

        Returns:
            The records of runs whose epoch, or whose life, ended on the way.
        """
        active = [s for s, stack in enumerate(self.stacks) if stack.active]
        if not active:
            return []
        s = min(active, key=lambda s: self.stacks[s].progress)
        stack = self.stacks[s]
        left = stack.steps_per_epoch - stack.step % stack.steps_per_epoch
        return self._numbered(s, stack.advance(left if steps is None else min(steps, left)))

    def fork(self, run: int, rules: Sequence[Optimizer]) -> Training:
        """A training in which one run goes on from here once with each rule; see `Stack.fork`."""
        stack, seat = self.place(run)
        branches = Training([])
        branches.stacks = [stack.fork(seat, rules)]
        branches.configs = list(branches.stacks[0].configs)
        branches._runs = [list(range(len(rules)))]
        branches._seats = {k: (0, k) for k in range(len(rules))}
        return branches

    @property
    def steps(self) -> int:
        """Updates planned: of the longest run of each stack, summed."""
        return sum(len(stack.history.batch_loss) for stack in self.stacks)

    @property
    def done(self) -> int:
        """Updates made so far, counted as in `steps`."""
        return sum(stack.step for stack in self.stacks)

    def change(self, run: int, name: str, value: float) -> None:
        """Sets a hyperparameter of one run from its next step on; see `Stack.change`."""
        stack, seat = self.place(run)
        stack.change(seat, name, value)

    def place(self, run: int) -> tuple[Stack, int]:
        """The stack of a run and its seat there."""
        s, seat = self._seats[run]
        return self.stacks[s], seat

    def config(self, run: int) -> Config:
        """The config of a run, with the hyperparameters that it has by now."""
        stack, seat = self.place(run)
        return replace(self.configs[run], optimizer=stack.rules[seat])

    def problem(self, run: int) -> Problem:
        """The data of a run."""
        stack, seat = self.place(run)
        return stack.problem(seat)

    def records(self, run: int) -> list[Record]:
        """What is recorded of one run so far."""
        stack, seat = self.place(run)
        return [r._replace(run=run) for r in stack.history.records[seat]]

    def _numbered(self, s: int, records: list[Record]) -> list[Record]:
        return [r._replace(run=self._runs[s][r.run]) for r in records]


def train(
    configs: Sequence[Config], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Iterator[list[Record]]:
    """Trains all runs; yields records as they come, epoch 0 of all runs first.

    A run is a function of its config alone, whatever else trains beside it. Runs of the same seed and data
    share their split, first weights and batches. A run that diverges (a loss that is not finite, or beyond
    1e6 times that of the best constant prediction) has one last record with status "diverged".

    Args:
        configs: One for each run; any may be mixed.
        device: Where they train; a GPU pays for thousands of runs.
        dtype: In which precision.

    Yields:
        Lists of `Record`, each run's in the order of its epochs.
    """
    training = Training(configs, device, dtype)
    yield training.start()
    while training.active:
        yield training.advance()


def run(
    configs: Sequence[Config], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> pd.DataFrame:
    """Trains all runs to the end.

    Returns:
        One row for each run and epoch with the columns of `Record`, sorted by run and epoch.
    """
    records = [record for records in train(configs, device, dtype) for record in records]
    return pd.DataFrame(sorted(records), columns=list(Record._fields))


def _stackable_runs(configs: Sequence[Config]) -> list[list[int]]:
    """The numbers of the runs that can be one stack, cut so that a step stays in the processor's cache."""
    alike: dict[Hashable, list[int]] = {}
    for number, c in enumerate(configs):
        key = (c.dataset, c.model, c.scale, c.valid_rows, min(c.batch_size, c.train_rows))
        alike.setdefault(key, []).append(number)
    return [
        runs[k : k + size]
        for runs in alike.values()
        for size in [_stack_size(configs[runs[0]])]
        for k in range(0, len(runs), size)
    ]


def _stack_size(config: Config) -> int:
    widths = sum(3 * layer.outputs * (64 if len(layer.weight) == 4 else 1) for layer in config.layers)
    parameters = sum(layer.size for layer in config.layers)
    touched = min(config.batch_size, config.train_rows) * widths + 3 * parameters
    return max(8, min(256, STACKED // touched))
