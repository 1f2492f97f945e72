"""Runs of one shape, trained as one: one gradient for all, an update for each kind of rule."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from core.config import Config
from core.engine.problem import BATCHES, WEIGHTS, Problem, generator, problem
from core.history import DIVERGED, FINISHED, RUNNING, Change, History, Record
from core.networks import Network
from core.optimizers import OPTIMIZERS, Optimizer, State, stack, stackable
from core.registry import Interval

LOST = 1e6  # a loss this many times the constant predictor's counts as diverged
GATHERED = 1 << 22  # an epoch's inputs are permuted at once up to this many numbers
ROWS_EVALUATED = 1 << 12  # an evaluation makes about this many numbers of a run's widest layer at once
RUNS_EVALUATED = 1 << 16  # and this many of all runs together, so that they stay in the cache


@dataclass
class ParameterGroup:
    """Neighbouring runs of a stack, rows `rows` of its tensors, that follow the same kind of rule.

    `seconds` is what its updates have cost so far, for each of its runs.
    """

    rows: slice
    rule: Optimizer
    state: State
    scheduled: bool
    seconds: float = 0.0


class Stack:
    """R runs whose tensors have the same shapes, advanced step by step.

    Runs of the same seed share split, first weights and batches. A run that diverges is frozen at its last
    finite step and leaves the stack; so does one that has made its epochs. "Row" is a run's place in the
    stack's tensors, "seat" its place among the configs.

    Args:
        configs: Alike in all but rule, schedules, epochs and seed.
        device, dtype: Where and in which precision the runs live.

    Attributes:
        history: What happened so far.
        step, epoch: Updates and passes made.
        first_records: The state before training.
    """

    def __init__(self, configs: Sequence[Config], device: torch.device | str, dtype: torch.dtype) -> None:
        first = configs[0]
        self.configs = list(configs)
        self.rules = [c.optimizer for c in configs]
        self.history = History(len(configs), max(c.steps for c in configs), max(c.epochs for c in configs))
        self.step = 0
        self.epoch = 0
        self.batch_size, self.steps_per_epoch = first.batch_size, first.steps_per_epoch
        self.network = Network(first.layers, first.dataset.classes, first.dataset.image_shape)
        self._device, self._dtype = device, dtype
        self._frozen: dict[int, Tensor] = {}
        self._seconds = 0.0
        self._load_data()
        seats = sorted(range(len(configs)), key=lambda seat: repr(stackable(self.rules[seat])))
        self._seat(seats, self._first_weights(seats))
        self._before = self._params
        self._form_groups()
        unknown = np.full(len(seats), np.nan)
        self.first_records = self._report(self._evaluate(self._params), unknown, [RUNNING] * len(seats), 0, 0)

    @property
    def active(self) -> bool:
        """Whether any run goes on."""
        return bool(self._seats)

    @property
    def progress(self) -> float:
        """Epochs made, a started one in part."""
        return self.step / self.steps_per_epoch

    def params(self, seat: int) -> Tensor:
        """The parameters (P,) of one run: now, or where it ended. Any thread may ask."""
        seats, params = self._live
        return params[seats.index(seat)] if seat in seats else self._frozen[seat]

    def problem(self, seat: int) -> Problem:
        """The data of one run."""
        return self._problems[self._seeds.index(self.configs[seat].seed)]

    @torch.no_grad()
    def advance(self, steps: int) -> list[Record]:
        """Makes up to `steps` updates; the records of runs whose epoch or whose life ended on the way."""
        records: list[Record] = []
        for _ in range(steps):
            if not self.active:
                break
            records += self._advance_once()
        return records

    def change(self, seat: int, name: str, value: float) -> None:
        """Sets a hyperparameter of one run from the next step on.

        Raises:
            OutOfRange: The value is not one that the setting takes.
            ValueError: The rule of this run has no such hyperparameter.
        """
        rule = self.rules[seat]
        numbers = [key for key, record in rule.settings().items() if isinstance(record, Interval)]
        if name not in numbers:
            raise ValueError(f"{name} is no number of {rule.name}; it has {', '.join(numbers)}.")
        self.rules[seat] = replace(rule, **{name: value})
        self.history.changes.append(Change(seat, self.step, name, getattr(self.rules[seat], name)))
        for group in self._groups:
            group.rule = stack([self.rules[s] for s in self._seats[group.rows]], self._params)

    def fork(self, seat: int, rules: Sequence[Optimizer]) -> Stack:
        """A stack in which one run goes on from here once with each rule, on the same batches.

        A rule of the same kind takes over the velocity; another kind begins with none.

        Raises:
            ValueError: The run has ended.
        """
        if seat not in self._seats:
            raise ValueError("Only a run that goes on can be forked; this one has ended.")
        branch = copy(self)
        at, group = self._seats.index(seat), next(t for t in self._groups if seat in self._seats[t.rows])
        own = self._seeds.index(self.configs[seat].seed)
        branch.configs = [replace(self.configs[seat], optimizer=rule) for rule in rules]
        branch.rules = list(rules)
        branch.history = self.history.branch(seat, self.rules[seat], rules)
        branch._frozen = {}
        branch._seeds, branch._problems = [self._seeds[own]], [self._problems[own]]
        branch._shuffles = [_twin(self._shuffles[own])]
        branch._begins = self._begins[:1]
        branch._train = self._train[0][own : own + 1], self._train[1][own : own + 1]
        branch._valid = self._valid[0][own : own + 1], self._valid[1][own : own + 1]
        if self.step % self.steps_per_epoch:  # in the middle of an epoch, whose order is drawn
            branch._orders = self._orders[own : own + 1] - self._begins[own]
            branch._epoch = tuple(t[own : own + 1] for t in self._epoch)
        seats = sorted(range(len(rules)), key=lambda k: repr(stackable(rules[k])))
        branch._seat(seats, self._params[at].repeat(len(rules), 1))
        branch._before = self._before[at].repeat(len(rules), 1)
        branch._form_groups()
        for new in branch._groups:
            if stackable(new.rule) == stackable(group.rule):
                runs = new.rows.stop - new.rows.start
                new.state = tuple(t[at - group.rows.start].repeat(runs, 1) for t in group.state)
            new.seconds = group.seconds
        return branch

    @property
    def _seats(self) -> list[int]:
        return self._live[0]

    @property
    def _params(self) -> Tensor:
        return self._live[1]

    def _load_data(self) -> None:
        self._seeds = sorted({c.seed for c in self.configs})
        of_seed = {c.seed: problem(c, self._dtype) for c in self.configs}
        self._problems = [of_seed[seed] for seed in self._seeds]
        self._shuffles = [generator(seed, BATCHES) for seed in self._seeds]

        def together(name: str) -> Tensor:  # (S, n, d), S seeds
            tensors = [getattr(p, name) for p in self._problems]
            return (torch.stack(tensors) if len(tensors) > 1 else tensors[0][None]).to(self._device)

        self._train = together("x_train"), together("y_train")
        self._valid = together("x_valid"), together("y_valid")
        seeds, rows = self._train[0].shape[:2]
        self._begins = rows * torch.arange(seeds, device=self._device)[:, None]  # of each seed's rows

    def _first_weights(self, seats: list[int]) -> Tensor:
        drawn = {seed: self.network.start(generator(seed, WEIGHTS), self._dtype) for seed in self._seeds}
        return torch.stack([drawn[self.configs[seat].seed] for seat in seats]).to(self._device)

    def _seat(self, seats: list[int], params: Tensor) -> None:
        """Makes `seats` the runs that go on, with `params` (A, P) in that order."""
        self._live = (seats, params)
        self._place = np.array(seats, dtype=int)
        index = [self._seeds.index(self.configs[seat].seed) for seat in seats]
        one_each = index == list(range(len(self._seeds)))
        self._seed_index = None if one_each else torch.tensor(index, device=self._device)
        caps = [LOST * (self._problems[i].baseline or 1.0) for i in index]
        self._cap = torch.tensor(caps, dtype=self._dtype, device=self._device)

    def _form_groups(self) -> None:
        self._groups: list[ParameterGroup] = []
        begin = 0
        for _, group in groupby(self._seats, key=lambda seat: stackable(self.rules[seat])):
            seats = list(group)
            rows = slice(begin, begin + len(seats))
            self._groups.append(self._group(seats, rows))
            begin = rows.stop

    def _group(
        self, seats: list[int], rows: slice, state: State | None = None, seconds: float = 0.0
    ) -> ParameterGroup:
        """The runs in `seats` as a group; its state starts anew when None."""
        rule = stack([self.rules[seat] for seat in seats], self._params)
        moving = any(not _steady(self.configs[seat]) for seat in seats)
        return ParameterGroup(
            rows, rule, rule.start(self._params[rows]) if state is None else state, moving, seconds
        )

    def _advance_once(self) -> list[Record]:
        at = self.step % self.steps_per_epoch
        if at == 0:
            self._shuffle()
        begin, runs = time.perf_counter(), len(self._seats)
        loss, grads = self.network.loss_and_gradient(self._params, *self._batch(at))
        self._seconds += (time.perf_counter() - begin) / runs
        fine = loss <= self._cap  # false for nan too
        records: list[Record] = []
        if not bool(fine.all()):
            records = self._lose(~fine, self.epoch + 1)
            loss, grads = loss[fine], grads[fine]
        if not self.active:
            return records
        self.history.batch_loss[self.step, self._place] = loss.cpu().numpy()
        self.step += 1
        self._update(grads)
        self.history.step_count = self.step
        return records + self._close_epoch(grads) if at + 1 == self.steps_per_epoch else records

    def _update(self, grads: Tensor) -> None:
        now = self._params
        updates = []
        for group in self._groups:
            begin = time.perf_counter()
            rule = self._scheduled(group)
            update, group.state = rule.update(now[group.rows], grads[group.rows], group.state, self.step)
            updates.append(update)
            group.seconds += (time.perf_counter() - begin) / (group.rows.stop - group.rows.start)
        self._before = now
        self._live = (self._seats, now + (updates[0] if len(updates) == 1 else torch.cat(updates)))

    def _scheduled(self, group: ParameterGroup) -> Optimizer:
        """The group's rule with what the schedules make of learning rate and momentum in this step."""
        if not group.scheduled:
            return group.rule
        configs = [self.configs[seat] for seat in self._seats[group.rows]]
        times = [(self.step, c.steps, self.steps_per_epoch) for c in configs]
        factors = [c.schedule.factor(*t) for c, t in zip(configs, times, strict=True)]
        numbers = {"learning_rate": self._column(factors) * group.rule.learning_rate}
        if word := group.rule.momentum_name:
            bases = [getattr(self.rules[seat], word) for seat in self._seats[group.rows]]
            most = _most(group.rule.name, word)
            numbers[word] = self._column(
                [
                    min(c.momentum_schedule.value(b, *t), most)
                    for c, b, t in zip(configs, bases, times, strict=True)
                ]
            )
        return group.rule.with_numbers(**numbers)

    def _column(self, values: list[float]) -> Tensor | float:
        if len(set(values)) == 1:
            return values[0]
        return torch.tensor(values, dtype=torch.float64, device=self._device)[:, None]

    def _shuffle(self) -> None:
        """Draws the order of the next epoch; full batches need none."""
        x, y = self._train
        if self.steps_per_epoch == 1:
            self._epoch: tuple[Tensor, ...] = (x, y)
            return
        orders = [torch.randperm(x.shape[1], generator=g) for g in self._shuffles]
        self._orders = torch.stack(orders).to(self._device) + self._begins
        self._epoch = self._picked(slice(None)) if x.numel() <= GATHERED else ()

    def _picked(self, rows: slice) -> tuple[Tensor, Tensor]:
        places = self._orders[:, rows]
        x, y = (t.flatten(0, 1).index_select(0, places.flatten()) for t in self._train)
        return x.view(*places.shape, -1), y.view(*places.shape, -1)

    def _batch(self, at: int) -> tuple[Tensor, Tensor]:
        """The mini-batch number `at` of the epoch: (1, B, d) when all runs share it, else (A, B, d)."""
        rows = slice(at * self.batch_size, (at + 1) * self.batch_size)
        x, y = (t[:, rows] for t in self._epoch) if self._epoch else self._picked(rows)
        return self._for_runs(x), self._for_runs(y)

    def _for_runs(self, of_seeds: Tensor, runs: slice = slice(None)) -> Tensor:
        """What each seed has as what each run has: (A, ...), or (1, ...) when all runs share it."""
        if len(self._seeds) == 1:
            return of_seeds
        return (
            of_seeds[runs] if self._seed_index is None else of_seeds.index_select(0, self._seed_index[runs])
        )

    def _close_epoch(self, grads: Tensor) -> list[Record]:
        self.epoch += 1
        values, norms = self._evaluate(self._params), grads.norm(dim=1).cpu().numpy()
        fine = values[:, 0] <= self._cap.cpu().numpy()
        lost = [] if fine.all() else self._lose(torch.from_numpy(~fine), self.epoch)
        over = np.array([self.configs[seat].epochs <= self.epoch for seat in self._seats], dtype=bool)
        statuses = [FINISHED if ended else RUNNING for ended in over]
        records = self._report(values[fine], norms[fine], statuses, self.epoch, self.step)
        if over.any():
            self._leave(torch.from_numpy(over), self._params)
        return sorted(lost + records)

    def _lose(self, lost: Tensor, epoch: int) -> list[Record]:
        """Freezes the runs marked in `lost` (A,) one step back, where their loss was still in bounds."""
        lost = lost.to(self._device)
        values, unknown = self._evaluate(self._before)[lost.cpu().numpy()], np.full(int(lost.sum()), np.nan)
        everyone = self._seats
        seats = [seat for seat, gone in zip(everyone, lost.tolist(), strict=True) if gone]
        self._leave(lost, self._before)
        return self._report(values, unknown, [DIVERGED] * len(seats), epoch, max(self.step - 1, 0), seats)

    def _leave(self, gone: Tensor, params: Tensor) -> None:
        """Takes the runs marked in `gone` (A,) out; each keeps its row of `params`."""
        leaving, stay = gone.tolist(), ~gone.to(self._device)
        for row, seat in enumerate(self._seats):
            if leaving[row]:
                self._frozen[seat] = params[row].clone()
        groups, begin = [], 0
        for group in self._groups:
            state = tuple(t[stay[group.rows]] for t in group.state)
            seats = [
                s for s, out in zip(self._seats[group.rows], leaving[group.rows], strict=True) if not out
            ]
            if seats:
                groups.append(self._group(seats, slice(begin, begin + len(seats)), state, group.seconds))
                begin += len(seats)
        self._groups, self._before = groups, self._before[stay]
        self._seat(
            [seat for seat, out in zip(self._seats, leaving, strict=True) if not out], self._params[stay]
        )

    def _report(
        self,
        values: np.ndarray,
        norms: np.ndarray,
        statuses: Sequence[str],
        epoch: int,
        step: int,
        seats: Sequence[int] | None = None,
    ) -> list[Record]:
        """Writes a record for each run that goes on, or for `seats`."""
        seats = self._seats if seats is None else seats
        rows = zip(seats, values.tolist(), norms.tolist(), statuses, strict=True)
        records = [
            Record(seat, epoch, step, v[0], v[1], v[2], v[3], norm, status) for seat, v, norm, status in rows
        ]
        for record in records:
            self.history.records[record.run].append(record)
        if DIVERGED in statuses:
            self.history.lost[seats] = values[:, :2]
        elif seats:
            self.history.scores[seats, epoch] = np.column_stack([values, self._clocks()])
        return sorted(records)

    def _clocks(self) -> np.ndarray:
        """Seconds of computing that each run (A,) has cost: of the gradients, and of its group's updates."""
        return np.concatenate(
            [np.full(t.rows.stop - t.rows.start, self._seconds + t.seconds) for t in self._groups]
        )

    @torch.no_grad()
    def _evaluate(self, params: Tensor) -> np.ndarray:
        """Training loss, validation loss and the metric of both, (A, 4)."""
        train, valid = self._scores(params, *self._train), self._scores(params, *self._valid)
        return np.stack([train[0], valid[0], train[1], valid[1]], axis=1)

    def _scores(self, params: Tensor, x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Mean loss and metric (A,) on x (S, n, d)."""
        if x.shape[1] == 0:
            return np.full(len(params), np.nan), np.full(len(params), np.nan)
        widest = max(layer.outputs * (64 if self.network.image_shape else 1) for layer in self.network.layers)
        rows = max(1, ROWS_EVALUATED // max(widest, x.shape[2]))
        together = max(1, RUNS_EVALUATED // (rows * widest))
        parts = [
            self._score(params[begin : begin + together], x, y, slice(begin, begin + together), rows)
            for begin in range(0, len(params), together)
        ]
        loss, hits = np.concatenate(parts, axis=1)
        if self.network.classes:
            return loss, hits
        spread = self._for_runs(y).var(dim=(1, 2), correction=0).cpu().numpy().astype(float)
        return loss, 1 - np.divide(loss, spread, out=np.full_like(loss, np.nan), where=spread > 0)

    def _score(self, params: Tensor, x: Tensor, y: Tensor, runs: slice, size: int) -> np.ndarray:
        """Mean loss and share of right classes, (2, a), of the runs `runs`, so many rows at a time."""
        total = torch.zeros(2, len(params), dtype=torch.float64, device=self._device)
        for begin in range(0, x.shape[1], size):
            part, target = (self._for_runs(t[:, begin : begin + size], runs) for t in (x, y))
            outputs = self.network.predict(params, part)
            total[0] += self.network.loss(outputs, target).double() * part.shape[1]
            if self.network.classes:
                total[1] += (self.network.answers(outputs) == self.network.answers(target)).sum(-1)
        return (total / x.shape[1]).cpu().numpy()


def _steady(config: Config) -> bool:
    """Whether no schedule moves anything."""
    return config.schedule.constant and config.momentum_schedule.constant


@cache
def _most(rule: str, word: str) -> float:
    """The largest value of a setting: Adam's β₁ stays below 1, which a momentum schedule may reach."""
    record = OPTIMIZERS[rule].settings()[word]
    assert isinstance(record, Interval)
    return record.high


def _twin(source: torch.Generator) -> torch.Generator:
    """A generator that goes on as `source` will."""
    return torch.Generator().set_state(source.get_state())
