"""Forks: a run goes on from where it is, as it was and with other numbers, on the same batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.config import Config
from core.engine import DIVERGED, FINISHED, Training
from core.optimizers import OPTIMIZERS, SGD, Adam, Momentum, Nesterov, Optimizer, RMSprop
from core.registry import OutOfRange
from tests.plain import finished, optimizer, plain

BASE = Config().but(dataset="boston", model="mlp", hidden=(6,), batch_size=64, epochs=4, optimizer="momentum")
PER_EPOCH = 7
MIDDLE, END = 10, 14  # steps: in the second epoch, and after it

at_both = pytest.mark.parametrize("step", [0, MIDDLE, END], ids=["before", "middle", "end of an epoch"])


def advanced(configs: list[Config], steps: int, dtype: torch.dtype = torch.float32) -> Training:
    """A training of one stack, `steps` updates on its way."""
    training = Training(configs, dtype=dtype)
    assert len(training.stacks) == 1
    while training.stacks[0].step < steps:
        training.advance(steps - training.stacks[0].step)
    return training


def losses(training: Training, run: int) -> np.ndarray:
    stack, seat = training.place(run)
    return stack.history.batch_loss[:, seat]


def params(training: Training, run: int) -> Tensor:
    stack, seat = training.place(run)
    return stack.params(seat)


def assert_same_run(one: Training, a: int, other: Training, b: int) -> None:
    """Bit for bit: every batch loss, every record, the last parameters."""
    np.testing.assert_array_equal(losses(one, a), losses(other, b))
    assert torch.equal(params(one, a), params(other, b))
    ours, theirs = ([tuple(r[1:]) for r in t.records(run)] for t, run in ((one, a), (other, b)))
    np.testing.assert_array_equal(
        np.array([r[:-1] for r in ours], dtype=float), np.array([r[:-1] for r in theirs], dtype=float)
    )
    assert [r[-1] for r in ours] == [r[-1] for r in theirs]


# --- The oracle: a plain loop that changes its numbers at one step --------------------------------------


def oracle(c: Config, step: int, rule: Optimizer | None = None, **numbers: float) -> Tensor:
    """The last parameters of a plain loop that from a step on has other numbers, or another rule."""

    def before(at: int, now: torch.optim.Optimizer) -> torch.optim.Optimizer:
        if at == step and rule:
            return optimizer(rule, now.param_groups[0]["params"])
        if at == step:
            now.param_groups[0].update(numbers)
        return now

    return plain(c, before=before).params[-1]


# --- What a branch is ----------------------------------------------------------------------------------


@at_both
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_branch_with_the_same_rule_is_the_original_bit_for_bit_to_the_end(name: str, step: int) -> None:
    c = BASE.but(optimizer=name, learning_rate=0.01)
    training = advanced([c], step)
    branches = training.fork(0, [c.optimizer, c.but(learning_rate=0.003).optimizer])
    assert_same_run(finished(branches), 0, finished(training), 0)
    assert branches.records(0)[-1].status == FINISHED


@at_both
def test_the_other_branch_equals_a_plain_loop_that_changes_its_numbers_and_keeps_the_velocity(
    step: int,
) -> None:
    c = BASE.but(learning_rate=0.01, momentum=0.9, seed=3)
    training = advanced([c], step, torch.float64)
    rules = [c.optimizer, Momentum(0.002, 0.9), Momentum(0.01, 0.5), Momentum(0.03, 0.0)]
    branches = finished(training.fork(0, rules))
    for run, rule in enumerate(rules):
        theirs = oracle(c, step, lr=rule.learning_rate, momentum=rule.momentum)
        torch.testing.assert_close(params(branches, run), theirs, rtol=1e-9, atol=1e-9)
    assert len({tuple(params(branches, run).tolist()) for run in range(4)}) == 4


@at_both
def test_a_branch_of_another_kind_begins_with_no_velocity(step: int) -> None:
    c = BASE.but(learning_rate=0.01, momentum=0.9, seed=3)
    training = advanced([c], step, torch.float64)
    rules = [c.optimizer, SGD(0.05), Nesterov(0.02, 0.8)]
    branches = finished(training.fork(0, rules))
    assert c.optimizer == Momentum(0.01, 0.9)
    for run in (1, 2):
        theirs = oracle(c, step, rules[run])
        torch.testing.assert_close(params(branches, run), theirs, rtol=1e-9, atol=1e-9)


@at_both
def test_both_branches_see_the_same_batches_as_the_original(step: int) -> None:
    """With rates too small to move a weight, a loss tells which rows a step saw."""
    c = BASE.but(optimizer="sgd", learning_rate=1e-8)
    training = advanced([c], step)
    branches = finished(training.fork(0, [SGD(1e-8), SGD(2e-8), Adam(1e-8)]))
    finished(training)
    for run in range(3):
        np.testing.assert_allclose(losses(branches, run), losses(training, 0), rtol=1e-4)
    assert losses(training, 0).std() > 0.01


@pytest.mark.parametrize("step", [0, MIDDLE, END])
def test_the_original_does_not_notice_its_fork(step: int) -> None:
    alone, forked = advanced([BASE], step), advanced([BASE], step)
    branches = forked.fork(0, [SGD(0.1), Momentum(0.1, 0.99)])
    finished(branches)
    assert_same_run(finished(forked), 0, finished(alone), 0)


def test_branches_may_go_on_in_turns_with_the_original() -> None:
    training, alone = advanced([BASE], MIDDLE), advanced([BASE], 0)
    branches = training.fork(0, [BASE.optimizer, SGD(0.1)])
    while training.active or branches.active:
        training.advance(3)
        branches.advance(2)
    finished(alone)
    assert_same_run(training, 0, alone, 0)
    assert_same_run(branches, 0, alone, 0)


def several() -> list[Config]:
    rules: list[Optimizer] = [SGD(0.05), Momentum(0.01, 0.9), Adam(0.01), Momentum(0.02, 0.5), RMSprop(0.002)]
    return [BASE.but(optimizer=rule, seed=seed) for rule in rules for seed in (4, 0, 9)]


@pytest.mark.parametrize("step", [MIDDLE, END])
def test_any_run_of_a_stack_of_seeds_and_rules_can_be_forked(step: int) -> None:
    configs = several()
    training = advanced(configs, step)
    forks = [training.fork(run, [c.optimizer, SGD(0.02)]) for run, c in enumerate(configs)]
    finished(training)
    for run, branches in enumerate(forks):
        assert_same_run(finished(branches), 0, training, run)
        assert [c.seed for c in branches.configs] == [configs[run].seed] * 2


def test_a_run_that_shares_its_stack_with_ended_ones_can_be_forked() -> None:
    lost, short = BASE.but(optimizer=SGD(1e4)), BASE.but(epochs=1)
    training = advanced([lost, short, BASE, BASE.but(seed=1)], MIDDLE)
    branches = [training.fork(run, [BASE.optimizer, SGD(0.1)]) for run in (2, 3)]
    finished(training)
    for run, branch in zip((2, 3), branches, strict=True):
        assert_same_run(finished(branch), 0, training, run)


@pytest.mark.parametrize("size", [1, 1000])
def test_batches_of_one_row_and_full_batches_can_be_forked(size: int) -> None:
    c = Config().but(dataset="iris", batch_size=size, epochs=3)
    training = advanced([c, c.but(seed=1)], 2 if size == 1000 else 130)
    branches = training.fork(1, [c.optimizer, SGD(0.1)])
    assert_same_run(finished(branches), 0, finished(training), 1)


def test_data_too_large_to_be_permuted_at_once_can_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engine.stack.GATHERED", 10)
    training = advanced([BASE.but(seed=1), BASE], MIDDLE)
    branches = training.fork(0, [BASE.optimizer, SGD(0.1)])
    assert_same_run(finished(branches), 0, finished(training), 0)


def test_schedules_go_on_where_they_are() -> None:
    c = BASE.but(schedule="cosine", momentum_schedule="sutskever")
    training = advanced([c], MIDDLE)
    branches = training.fork(0, [c.optimizer, SGD(0.1)])
    assert_same_run(finished(branches), 0, finished(training), 0)


def test_a_changed_run_is_forked_with_the_numbers_that_it_has_by_now() -> None:
    training = advanced([BASE], 3)
    training.change(0, "learning_rate", 0.002)
    training.advance(4)
    branches = training.fork(0, [training.config(0).optimizer, SGD(0.1)])
    assert_same_run(finished(branches), 0, finished(training), 0)
    assert next(tuple(c) for c in branches.place(0)[0].history.changes) == (0, 3, "learning_rate", 0.002)


def test_a_branch_can_be_changed_and_forked_again() -> None:
    c = BASE.but(learning_rate=0.01, momentum=0.9, seed=3)
    first = advanced([c], MIDDLE, torch.float64).fork(0, [c.optimizer, Momentum(0.03, 0.5)])
    first.advance(2)
    second = finished(first.fork(0, [Momentum(0.004, 0.9), c.optimizer]))
    torch.testing.assert_close(params(second, 0), oracle(c, MIDDLE + 2, lr=0.004), rtol=1e-9, atol=1e-9)
    first.change(1, "learning_rate", 0.001)
    finished(first)
    assert first.config(1).optimizer == Momentum(0.001, 0.5)
    assert first.config(0).optimizer == c.optimizer


# --- What cannot be forked -----------------------------------------------------------------------------


def test_a_finished_and_a_diverged_run_are_answered_with_a_sentence() -> None:
    training = finished(advanced([BASE, BASE.but(optimizer=SGD(1e4))], 0))
    assert [training.records(run)[-1].status for run in (0, 1)] == [FINISHED, DIVERGED]
    for run in (0, 1):
        with pytest.raises(ValueError, match="Only a run that goes on can be forked; this one has ended"):
            training.fork(run, [SGD(0.1), SGD(0.2)])


def test_a_branch_that_diverges_leaves_the_other_alone() -> None:
    training = advanced([BASE], MIDDLE)
    branches = finished(training.fork(0, [BASE.optimizer, Momentum(1e3, 0.9)]))
    assert [branches.records(run)[-1].status for run in (0, 1)] == [FINISHED, DIVERGED]
    assert_same_run(branches, 0, finished(training), 0)
    assert torch.isfinite(params(branches, 1)).all()


# --- What a branch remembers ---------------------------------------------------------------------------


@pytest.mark.parametrize("step", [MIDDLE, END])
def test_the_history_of_a_branch_holds_the_past_and_marks_the_change(step: int) -> None:
    training = advanced([BASE.but(seed=1), BASE], step)
    past = training.records(1)
    branches = training.fork(1, [BASE.optimizer, Momentum(0.002, 0.5), SGD(BASE.learning_rate)])
    history = branches.stacks[0].history
    assert history.step_count == branches.done == step
    for run in range(3):
        assert branches.records(run) == [r._replace(run=run) for r in past]
        np.testing.assert_array_equal(losses(branches, run)[:step], losses(training, 1)[:step])
        assert np.isnan(losses(branches, run)[step:]).all()
    changes = [tuple(c) for c in history.changes]
    assert changes == [(1, step, "learning_rate", 0.002), (1, step, "momentum", 0.5)]


def test_neither_history_writes_into_the_other() -> None:
    training = advanced([BASE], MIDDLE)
    branches = training.fork(0, [SGD(0.1), SGD(0.2)])
    before = [len(branches.records(run)) for run in (0, 1)]
    finished(training)
    assert [len(branches.records(run)) for run in (0, 1)] == before
    assert np.isnan(losses(branches, 0)[MIDDLE:]).all()
    kept = losses(training, 0).copy()
    finished(branches)
    np.testing.assert_array_equal(losses(training, 0), kept)
    assert training.config(0) == BASE


def test_records_of_a_branch_are_one_for_each_epoch_and_seconds_keep_rising() -> None:
    configs = several()
    training = advanced(configs, MIDDLE)
    until = training.stacks[0].history.scores[4, :, 4].copy()
    branches = finished(training.fork(4, [configs[4].optimizer, Adam(0.01), SGD(0.1)]))
    for run in range(3):
        assert [r.epoch for r in branches.records(run)] == [0, 1, 2, 3, 4]
        assert [r.step for r in branches.records(run)] == [0, 7, 14, 21, 28]
        seconds = branches.place(run)[0].history.scores[run, :, 4]
        assert seconds[0] == 0.0
        np.testing.assert_array_equal(seconds[:2], until[:2])
        assert (np.diff(seconds) > 0).all()
    assert math.isnan(until[2])


def test_a_branch_has_cost_what_its_past_has_cost() -> None:
    training = advanced([BASE], MIDDLE)
    training.stacks[0]._seconds, training.stacks[0]._groups[0].seconds = 100.0, 50.0
    branches = finished(training.fork(0, [BASE.optimizer, SGD(0.1)]))
    assert (branches.stacks[0].history.scores[:, 2, 4] > 150.0).all()


def test_configs_of_the_branches_are_the_original_with_their_rule() -> None:
    rules = [BASE.optimizer, SGD(0.1)]
    branches = advanced([BASE], MIDDLE).fork(0, rules)
    assert branches.configs == [BASE.but(optimizer=rule) for rule in rules]
    assert [branches.config(run).optimizer for run in (0, 1)] == rules
    assert branches.steps == BASE.steps
    with pytest.raises(OutOfRange):
        branches.change(0, "learning_rate", -1.0)
