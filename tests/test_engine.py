"""Whole runs against a plain PyTorch loop, and against each other: alone, among neighbours, interrupted."""

import itertools
import math
import random
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from core.config import Config
from core.datasets import from_table
from core.engine import DIVERGED, FINISHED, RUNNING, Record, Training, run, train
from core.optimizers import OPTIMIZERS
from core.registry import OutOfRange
from core.schedules import MOMENTUM_SCHEDULES, SCHEDULES
from tests.plain import Plain, finished, plain, split

NUMBERS = {  # of every rule, all of them away from their defaults
    "sgd": {"learning_rate": 0.03, "weight_decay": 0.02},
    "momentum": {"learning_rate": 0.02, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01},
    "nesterov": {"learning_rate": 0.015, "momentum": 0.85, "weight_decay": 0.03},
    "rmsprop": {
        **{"learning_rate": 0.004, "alpha": 0.95, "epsilon": 1e-4, "momentum": 0.4, "centered": True},
        "weight_decay": 0.02,
    },
    "adagrad": {
        **{"learning_rate": 0.05, "learning_rate_decay": 0.01, "initial_accumulator": 0.2, "epsilon": 1e-6},
        "weight_decay": 0.01,
    },
    "adam": {
        **{"learning_rate": 0.01, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-5, "amsgrad": True},
        "weight_decay": 0.03,
    },
    "adamw": {"learning_rate": 0.008, "beta1": 0.85, "beta2": 0.9, "epsilon": 1e-6, "weight_decay": 0.2},
}
PROBLEMS = {
    "linear, regression": {"dataset": "boston", "model": "linear", "epochs": 3},
    "mlp, regression": {
        "dataset": "diabetes",
        "model": "mlp",
        "hidden": (7, 5),
        "batch_size": 50,
        "epochs": 3,
    },
    "linear, classes": {"dataset": "iris", "model": "linear", "batch_size": 17, "epochs": 4},
    "mlp, classes": {"dataset": "wine", "model": "mlp", "activation": "relu", "batch_size": 16, "epochs": 3},
    "cnn": {"dataset": "digits", "model": "cnn", "channels": (3, 4), "batch_size": 500, "epochs": 2},
    "unscaled": {"dataset": "moons", "model": "mlp", "hidden": (6,), "scale": False, "epochs": 2},
    "full batch": {"dataset": "plane", "model": "linear", "batch_size": 5000, "epochs": 4},
}


def config(**words: object) -> Config:
    """A config by the words of its link."""
    return Config().but(**words)


def double(c: Config) -> Training:
    return finished(Training([c], dtype=torch.float64))


def assert_equal(training: Training, run: int, oracle: Plain) -> None:
    """Every number of every epoch, the last parameters, and (in single precision) every batch loss."""
    records = training.records(run)
    ours = np.array([record[1:8] for record in records], dtype=float)
    np.testing.assert_allclose(ours, np.array(oracle.rows), rtol=1e-9, atol=1e-9)
    stack, seat = training.place(run)
    torch.testing.assert_close(stack.params(seat), oracle.params[-1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        stack.history.batch_loss[: len(oracle.batch_loss), seat], oracle.batch_loss, rtol=1e-6, atol=1e-9
    )


# --- Against torch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_a_whole_run_equals_a_plain_torch_loop(problem: dict[str, object], name: str) -> None:
    c = config(**problem, optimizer=name, **NUMBERS[name], seed=5)
    assert_equal(double(c), 0, plain(c))


def test_very_different_runs_trained_at_once_each_equal_a_plain_torch_loop() -> None:
    configs = [
        config(**problem, optimizer=name, **NUMBERS[name], seed=seed)
        for problem, name, seed in zip(PROBLEMS.values(), OPTIMIZERS, (0, 1, 2, 3, 4, 5, 6), strict=True)
    ]
    configs += [
        configs[1].but(learning_rate=0.1, seed=3),
        configs[1].but(epochs=1),
        configs[1].but(momentum=0.1),
    ]
    training = finished(Training(configs, dtype=torch.float64))
    for number, c in enumerate(configs):
        assert_equal(training, number, plain(c))


def test_the_numbers_of_every_rule_differ_from_its_defaults() -> None:
    for name, kind in OPTIMIZERS.items():
        rule = kind(**NUMBERS[name])
        same = {k for k, r in rule.settings().items() if getattr(rule, k) == r.default}
        assert same <= {"amsgrad", "dampening", "centered"}, name


SMALL = {"dataset": "iris", "model": "mlp", "hidden": (5,), "batch_size": 20, "epochs": 8, "seed": 2}
STEPS, PER_EPOCH = 48, 6  # of SMALL
RATE = 0.05
TORCHS = {  # schedule -> its settings and the same of torch
    "constant": ({}, lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": (
        {"decay": 0.5, "every": 2},
        lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=2 * PER_EPOCH, gamma=0.5),
    ),
    "cosine": (
        {"final": 0.1},
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.1 * RATE),
    ),
    "warmup": (
        {"warmup": 0.25},
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 12, total_iters=11),
    ),
    "onecycle": (
        {"peak": 0.4},
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=RATE, total_steps=STEPS, pct_start=0.4, cycle_momentum=False
        ),
    ),
}


@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_run_with_a_schedule_equals_torchs_scheduler(name: str, rule: str) -> None:
    numbers, scheduler = TORCHS[name]
    words = SMALL | {"optimizer": rule, "learning_rate": RATE, "schedule": name, **numbers}
    c = config(**words)
    assert (c.steps, c.steps_per_epoch) == (STEPS, PER_EPOCH)
    oracle = plain(c, scheduler)
    assert_equal(double(c), 0, oracle)
    training = finished(Training([c, c.but(learning_rate=0.01), c.but(epochs=3)], dtype=torch.float64))
    assert_equal(training, 0, oracle)


def set_numbers(rule: torch.optim.Optimizer, momentum: float, **numbers: float) -> torch.optim.Optimizer:
    (group,) = rule.param_groups
    own = {"betas": (momentum, group["betas"][1])} if "betas" in group else {"momentum": momentum}
    group.update(numbers | own)
    return rule


FORMULAS = {  # what the momentum is in update t, counted from 0, when 0.9 is set
    "constant": ({}, lambda t: 0.9),
    "ramp": (
        {"momentum_start": 0.3, "ramp": 0.5},
        lambda t: 0.3 + (0.9 - 0.3) * min(t / (0.5 * STEPS), 1.0),
    ),
    "sutskever": ({}, lambda t: min(1 - 2 ** (-1 - math.log2(t // 250 + 1)), 0.9)),
}


@pytest.mark.parametrize("rule", ["momentum", "nesterov", "rmsprop"])
@pytest.mark.parametrize("name", [n for n in MOMENTUM_SCHEDULES if n != "cycle"])
def test_a_run_with_a_momentum_schedule_equals_a_loop_that_sets_it(name: str, rule: str) -> None:
    numbers, formula = FORMULAS[name]
    words = {"optimizer": rule, "learning_rate": 0.005, "momentum": 0.9, "momentum_schedule": name}
    c = config(**SMALL, **words, **numbers)
    assert_equal(double(c), 0, plain(c, before=lambda t, rule: set_numbers(rule, formula(t))))


@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_one_cycle_of_rate_and_momentum_equals_torchs(rule: str) -> None:
    words = {"optimizer": rule, "learning_rate": RATE, "schedule": "onecycle", "momentum_schedule": "cycle"}
    momentum = {"momentum": 0.95} if rule == "momentum" else {"beta1": 0.95}
    c = config(**SMALL, **words, **momentum, peak=0.3, momentum_low=0.7)
    oracle = plain(
        c,
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=RATE, total_steps=STEPS, pct_start=0.3, base_momentum=0.7, max_momentum=0.95
        ),
    )
    assert_equal(double(c), 0, oracle)


@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "cosine"])
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_a_value_changed_while_it_runs_equals_a_changed_param_group(name: str, scheduled: bool) -> None:
    momentum = OPTIMIZERS[name].momentum_name
    schedule = {"schedule": "cosine"} if scheduled else {}
    c = config(**SMALL, optimizer=name, learning_rate=0.02, **{momentum: 0.9}, **schedule)
    others = [c.but(learning_rate=0.5), c.but(seed=9), c.but(epochs=2)]
    training = Training([*others, c], dtype=torch.float64)
    training.start()
    changes = {4: ("learning_rate", 0.1), 7: (momentum, 0.5), 30: ("learning_rate", 0.003)}
    while training.active:
        stack, _ = training.place(3)
        if stack.step in changes:
            training.change(3, *changes.pop(stack.step))
        training.advance(1)

    def rate(step: int) -> float:
        base = 0.02 if step < 4 else 0.1 if step < 30 else 0.003
        return base * ((1 + math.cos(math.pi * step / STEPS)) / 2 if scheduled else 1.0)

    def before(step: int, rule: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return set_numbers(rule, 0.9 if step < 7 else 0.5, lr=rate(step))

    assert_equal(training, 3, plain(c, before=before))
    for number, other in enumerate(others):
        assert_equal(training, number, plain_of(other))
    stack, seat = training.place(3)
    assert [tuple(change) for change in stack.history.changes] == [
        (seat, 4, "learning_rate", 0.1),
        (seat, 7, momentum, 0.5),
        (seat, 30, "learning_rate", 0.003),
    ]


def plain_of(c: Config) -> Plain:
    """The plain loop of a config with a constant or a cosine schedule."""
    if c.schedule.name == "constant":
        return plain(c)
    return plain(c, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=c.steps))


@pytest.mark.parametrize(
    ("name", "value", "kind", "text"),
    [
        ("learning_rate", -1.0, OutOfRange, r"learning_rate must be a number in \[1e-08, 10000\], got -1.0"),
        ("momentum", 1.5, OutOfRange, r"momentum must be a number in \[0, 1\], got 1.5"),
        ("momentun", 0.5, ValueError, r"momentun is no number of momentum"),
        ("beta1", 0.5, ValueError, r"beta1 is no number of momentum"),
    ],
)
def test_a_bad_change_is_answered_and_changes_nothing(
    name: str, value: float, kind: type[Exception], text: str
) -> None:
    c = config(**SMALL, optimizer="momentum")
    training = Training([c], dtype=torch.float64)
    training.advance(3)
    with pytest.raises(kind, match=text):
        training.change(0, name, value)
    finished(training)
    assert training.place(0)[0].history.changes == []
    assert_equal(training, 0, plain(c))


@pytest.mark.parametrize("neighbours", [0, 1])
def test_a_flag_is_not_changed_while_a_run_goes_on(neighbours: int) -> None:
    c = config(**SMALL, optimizer="adam")
    training = Training([c, *[c.but(epochs=2)] * neighbours], dtype=torch.float64)
    training.advance(3)
    with pytest.raises(ValueError, match="amsgrad"):
        training.change(0, "amsgrad", True)
    finished(training)
    assert_equal(training, 0, plain(c))


# --- A run is a function of its config -----------------------------------------------------------------


def mixture() -> Iterator[Config]:
    """Runs that differ in everything that runs can differ in."""
    for name, (key, problem) in itertools.product(OPTIMIZERS, PROBLEMS.items()):
        if key != "cnn":
            yield config(**problem, optimizer=name, **NUMBERS[name], seed=4)
    for rate, momentum in itertools.product((0.001, 0.03, 0.3), (0.0, 0.77, 0.999, 1.0)):
        yield config(**SMALL, optimizer="momentum", learning_rate=rate, momentum=momentum, dampening=0.1)
    for share in (0.3, 0.7, 0.9):
        yield config(**SMALL, optimizer="adam", learning_rate=0.01, beta1=share, beta2=1 - share / 100)
        yield config(**SMALL, optimizer="adamw", weight_decay=share - 0.3, learning_rate=0.1 + share)
        yield config(**SMALL, optimizer="adagrad", learning_rate_decay=share - 0.3)
        yield config(**SMALL, optimizer="rmsprop", alpha=share, momentum=0.5 * share - 0.15)
    for k, (rate, momentum) in enumerate(itertools.product(SCHEDULES, MOMENTUM_SCHEDULES)):
        schedules = {"schedule": rate, "momentum_schedule": momentum}
        yield config(**SMALL, optimizer="nesterov", learning_rate=0.01 + 0.001 * k, **schedules)
    for seed in range(5):
        yield config(**SMALL | {"seed": seed, "epochs": 1 + seed, "batch_size": 7 * seed + 1})
    yield config(dataset="squares", model="linear", scale=False, learning_rate=0.1, optimizer="sgd")


MIXTURE = list(mixture())


def of(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    return frame[frame.run == number].drop(columns="run").reset_index(drop=True)


def test_a_run_alone_gives_what_it_gives_among_neighbours_bit_for_bit() -> None:
    together = run(MIXTURE)
    for number, c in enumerate(MIXTURE):
        pd.testing.assert_frame_equal(of(together, number), of(run([c]), 0), check_exact=True, obj=str(c))


@pytest.mark.parametrize("hidden", [(16, 16), (7, 5), (1,)])
@pytest.mark.parametrize("activation", ["tanh", "softplus", "elu", "silu", "gelu", "sigmoid"])
def test_an_odd_sized_run_does_not_notice_its_neighbours(activation: str, hidden: tuple[int, ...]) -> None:
    words = {"dataset": "moons", "model": "mlp", "hidden": hidden, "activation": activation, "batch_size": 77}
    configs = [config(**words, epochs=2, seed=s, learning_rate=0.01 * (s + 1)) for s in range(13)]
    together = run(configs)
    for number in (0, 5, 12):
        alone = of(run([configs[number]]), 0)
        pd.testing.assert_frame_equal(of(together, number), alone, check_exact=True)


def test_runs_that_differ_in_one_thing_only_are_not_confused() -> None:
    base = config(dataset="moons", model="mlp", hidden=(5,), epochs=2, batch_size=64)
    changes = [
        *({}, {"scale": False}, {"valid_fraction": 0.5}, {"valid_fraction": 0}, {"noise": 0.3}, {"seed": 1}),
        *({"batch_size": 65}, {"hidden": (6,)}, {"activation": "relu"}, {"epochs": 3}, {"momentum": 0.5}),
    ]
    configs = [base.but(**change) for change in changes]
    together = run(configs)
    for number, c in enumerate(configs):
        pd.testing.assert_frame_equal(of(together, number), of(run([c]), 0), check_exact=True)
    assert len({repr(of(together, number).to_dict()) for number in range(len(configs))}) == len(configs)


def test_the_order_of_the_configs_makes_no_difference() -> None:
    order = list(range(len(MIXTURE)))
    random.Random(0).shuffle(order)
    straight, shuffled = run(MIXTURE), run([MIXTURE[k] for k in order])
    for place, number in enumerate(order):
        pd.testing.assert_frame_equal(of(straight, number), of(shuffled, place), check_exact=True)


def test_how_the_steps_are_cut_makes_no_difference() -> None:
    configs = MIXTURE[-8:]
    whole = Training(configs)
    pieces = Training(configs)
    cuts = itertools.cycle([1, 5, 2, 100])
    finished(whole)
    while pieces.active:
        pieces.advance(next(cuts))
    for number in range(len(configs)):
        assert repr(whole.records(number)) == repr(pieces.records(number))


def test_global_randomness_is_neither_used_nor_moved() -> None:
    c = config(**SMALL)
    frames = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
            frames.append(run([c, c.but(seed=8)]))
            after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
        assert torch.equal(before[0], after[0])
        assert np.array_equal(before[1], after[1])
        assert before[2] == after[2]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_runs_in_several_threads_at_once_give_what_they_give_alone() -> None:
    configs = [config(**SMALL, optimizer=name, **NUMBERS[name]) for name in OPTIMIZERS]
    alone = [run([c]) for c in configs]
    together: list[pd.DataFrame | None] = [None] * len(configs)

    def work(number: int) -> None:
        torch.set_num_threads(1)
        together[number] = run([configs[number]])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(configs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_rivals_start_from_the_same_weights_and_see_the_same_batches() -> None:
    configs = [config(**SMALL, optimizer=name, learning_rate=0.01) for name in OPTIMIZERS]
    training = Training(configs)
    first = [record._replace(run=0) for record in training.start()]
    assert len({repr(record) for record in first}) == 1
    training.advance(1)
    losses = {float(s.history.batch_loss[0, k]) for s in training.stacks for k in range(len(s.configs))}
    assert len(losses) == 1
    still = [c.but(learning_rate=1e-8, epochs=2) for c in configs if c.optimizer.name in ("sgd", "momentum")]
    training = finished(Training(still))
    (stack,) = training.stacks
    np.testing.assert_allclose(stack.history.batch_loss[:, 0], stack.history.batch_loss[:, 1], rtol=1e-5)


def test_other_seeds_have_other_splits_weights_and_batches() -> None:
    base = config(**SMALL)
    first = [record.train_loss for record in Training([base.but(seed=s) for s in range(6)]).start()]
    assert len(set(first)) == 6
    problems = [Training([base.but(seed=s)]).place(0)[0].problem(0) for s in range(3)]
    assert len({tuple(p.valid_index) for p in problems}) == 3
    assert all(set(p.train_index) | set(p.valid_index) == set(range(150)) for p in problems)
    assert all(len(p.train_index) + len(p.valid_index) == 150 for p in problems)


# --- Divergence ----------------------------------------------------------------------------------------

WILD = {"dataset": "boston", "model": "linear", "optimizer": "momentum", "learning_rate": 0.5, "seed": 3}


def lost_at(c: Config) -> tuple[int, Plain]:
    """The first step whose loss, before its update, is out of bounds in the plain loop."""
    oracle = plain(c)
    _, y, *_ = split(c)
    if c.dataset.classes:
        share = torch.bincount(y) / len(y)
        limit = 1e6 * float(-(share * share.log()).sum())
    else:
        limit = 1e6 * float(y.var(correction=0))
    return next(k for k, loss in enumerate(oracle.batch_loss) if not loss <= limit), oracle


@pytest.mark.parametrize("rate", [0.5, 5.0, 1e4])
def test_a_diverging_run_ends_one_step_before_its_loss_got_out_of_bounds(rate: float) -> None:
    c = config(**WILD | {"learning_rate": rate}, epochs=4)
    training = double(c)
    step, oracle = lost_at(c)
    *_, last = training.records(0)
    assert last.status == DIVERGED
    assert (last.step, last.epoch) == (step - 1, step // c.steps_per_epoch + 1)
    assert math.isfinite(last.train_loss)
    assert math.isfinite(last.valid_loss)
    stack, seat = training.place(0)
    params = stack.params(seat)
    assert bool(params.isfinite().all())
    torch.testing.assert_close(params, oracle.params[step - 1], rtol=1e-9, atol=1e-9)
    seen = stack.history.batch_loss[:, seat]
    np.testing.assert_allclose(seen[:step], oracle.batch_loss[:step], rtol=1e-6)
    assert np.isnan(seen[step:]).all()
    assert [r.status for r in training.records(0)[:-1]] == [RUNNING] * (len(training.records(0)) - 1)


def test_a_run_that_diverges_with_the_last_step_of_an_epoch_is_seen_at_its_end() -> None:
    c = config(**WILD, batch_size=1000, epochs=50)
    training = double(c)
    oracle = plain(c)
    _, y, *_ = split(c)
    limit = 1e6 * float(y.var(correction=0))
    epoch = next(int(row[0]) for row in oracle.rows if not row[2] <= limit)
    last = training.records(0)[-1]
    assert (last.status, last.epoch, last.step) == (DIVERGED, epoch, epoch - 1)
    stack, seat = training.place(0)
    torch.testing.assert_close(stack.params(seat), oracle.params[epoch - 1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(last.train_loss, oracle.rows[epoch - 1][2], rtol=1e-9)


def test_neighbours_do_not_notice_that_a_run_diverges() -> None:
    def runs(**numbers: tuple[object, ...]) -> list[Config]:
        settings = [
            dict(zip(numbers, values, strict=True)) for values in itertools.product(*numbers.values())
        ]
        return [config(**WILD | {"epochs": 6} | words) for words in settings]

    calm = runs(learning_rate=(0.003, 0.01), seed=(1, 3))
    wild = runs(learning_rate=(0.5, 3.0, 1e4))
    rms = runs(optimizer=("rmsprop",), learning_rate=(0.01, 1e4))
    configs = [wild[0], calm[0], rms[1], calm[1], wild[1], calm[2], rms[0], wild[2], calm[3]]
    together = run(configs)
    ended = together.groupby("run").status.last().tolist()
    assert ended.count(DIVERGED) == 4
    for number, c in enumerate(configs):
        pd.testing.assert_frame_equal(of(together, number), of(run([c]), 0), check_exact=True)


def test_a_gradient_that_overflows_is_divergence_and_leaves_finite_numbers() -> None:
    words = {"dataset": "wine", "model": "mlp", "activation": "relu", "learning_rate": 1e4, "epochs": 5}
    configs = [config(**words, optimizer=name) for name in OPTIMIZERS]
    training = finished(Training(configs))
    for number in range(len(configs)):
        stack, seat = training.place(number)
        last = training.records(number)[-1]
        assert bool(stack.params(seat).isfinite().all())
        assert math.isfinite(last.train_loss)
        assert last.status in (DIVERGED, FINISHED)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_at_once_is_divergence(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [config(**SMALL, optimizer="momentum", learning_rate=rate) for rate in (0.01, 0.02, 0.03)]
    training = Training(configs, dtype=torch.float64)
    training.advance(4)
    (stack,) = training.stacks
    honest = stack.network.loss_and_gradient

    def broken(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        loss, grads = honest(*arguments)
        loss[1] = bad
        return loss, grads

    with monkeypatch.context() as patch:
        patch.setattr(stack.network, "loss_and_gradient", broken)
        training.advance(1)
    finished(training)
    last = training.records(1)[-1]
    assert (last.status, last.epoch, last.step) == (DIVERGED, 1, 3)
    torch.testing.assert_close(stack.params(1), plain(configs[1]).params[3], rtol=1e-9, atol=1e-9)
    assert_equal(training, 0, plain(configs[0]))
    assert_equal(training, 2, plain(configs[2]))


def test_the_overshoot_of_the_best_heavy_ball_is_not_divergence() -> None:
    """On a quadratic of condition κ the distance first grows to about √κ / e times where it began."""
    words = {"dataset": "ravine", "condition": 1000, "noise": 0, "model": "linear", "valid_fraction": 0}
    ravine = config(**words, batch_size=1000, epochs=600)
    curvatures = 2 * torch.linalg.eigvalsh(torch.tensor(ravine.dataset.features).T.cov(correction=0))
    low, high = math.sqrt(curvatures[0]), math.sqrt(curvatures[-1])
    assert (high / low) ** 2 == pytest.approx(1000)
    momentum = ((high - low) / (high + low)) ** 2
    best = ravine.but(optimizer="momentum", learning_rate=4 / (high + low) ** 2, momentum=momentum)
    history = run([best], dtype=torch.float64)
    assert history.status.iloc[-1] == FINISHED
    assert history.train_loss.max() > 3 * history.train_loss[0]
    assert history.train_loss.iloc[-1] < 1e-12 * history.train_loss[0]


def test_the_tutorials_squares_diverge_at_rate_0_1_and_not_at_a_small_one() -> None:
    raw = {"dataset": "squares", "model": "linear", "optimizer": "sgd", "scale": False, "epochs": 20}
    history = run([config(**raw, learning_rate=0.1), config(**raw, learning_rate=1e-4)])
    wild, calm = of(history, 0), of(history, 1)
    assert wild.status.tolist() == [RUNNING, DIVERGED]
    assert wild.epoch.iloc[-1] == 1
    assert calm.status.iloc[-1] == FINISHED
    assert calm.train_loss.iloc[-1] < calm.train_loss[0]
    assert np.isfinite(history.train_loss).all()


# --- The table -----------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_run_and_epoch_from_0_on() -> None:
    sizes = ((3, 20), (1, 7), (5, 20), (2, 10_000))
    configs = [config(**SMALL | {"epochs": e, "batch_size": b}) for e, b in sizes]
    history = run(configs)
    assert list(history.columns) == [
        *("run", "epoch", "step", "train_loss", "valid_loss", "train_metric", "valid_metric"),
        *("gradient_norm", "status"),
    ]
    for number, c in enumerate(configs):
        rows = of(history, number)
        assert rows.epoch.tolist() == list(range(c.epochs + 1))
        assert rows.step.tolist() == [epoch * c.steps_per_epoch for epoch in range(c.epochs + 1)]
        assert rows.status.tolist() == [RUNNING] * c.epochs + [FINISHED]
        assert np.isnan(rows.gradient_norm[0])
        assert (rows.gradient_norm[1:] > 0).all()
    assert history.run.is_monotonic_increasing


def test_train_gives_epoch_0_of_every_run_first_and_each_run_in_order() -> None:
    configs = [config(**SMALL | {"epochs": e, "seed": s}) for e, s in ((3, 0), (1, 1), (2, 0))]
    configs.append(config(dataset="boston", model="linear", epochs=2))
    first, *rest = list(train(configs))
    assert [(r.run, r.epoch, r.status) for r in first] == [(k, 0, RUNNING) for k in range(4)]
    records = [record for part in rest for record in part]
    for number in range(4):
        assert [r.epoch for r in records if r.run == number] == list(range(1, configs[number].epochs + 1))
    assert all(isinstance(r, Record) for r in records)


def test_no_configs_give_an_empty_table() -> None:
    history = run([])
    assert len(history) == 0
    assert "train_loss" in history.columns


@pytest.mark.parametrize("dataset", ["boston", "iris"])
def test_without_a_validation_part_its_loss_is_nan_and_training_works(dataset: str) -> None:
    c = config(dataset=dataset, model="linear", valid_fraction=0, epochs=3)
    assert_equal(double(c), 0, plain(c))
    history = run([c])
    assert history.valid_loss.isna().all()
    assert history.valid_metric.isna().all()
    assert history.status.iloc[-1] == FINISHED
    assert history.train_loss.iloc[-1] < history.train_loss[0]


@pytest.mark.parametrize("size", [405, 406, 100_000])
def test_a_batch_as_large_as_the_data_or_larger_is_full_batch(size: int) -> None:
    c = config(dataset="boston", model="linear", batch_size=size, epochs=5)
    assert (c.train_rows, c.steps_per_epoch) == (405, 1)
    pd.testing.assert_frame_equal(run([c]), run([c.but(batch_size=405)]), check_exact=True)
    assert_equal(double(c), 0, plain(c))


def test_no_order_is_drawn_for_full_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training([config(dataset="boston", model="linear", batch_size=405, epochs=3)])
    monkeypatch.setattr(torch, "randperm", None)
    finished(training)
    assert training.records(0)[-1].status == FINISHED


def test_runs_of_full_batch_share_a_stack_whatever_the_word_for_it() -> None:
    base = config(dataset="boston", model="linear", epochs=2)
    assert len(Training([base.but(batch_size=b) for b in (405, 500, 100_000)]).stacks) == 1


def with_one_row_apart(**columns: float) -> Config:
    """A linear run on a table where these columns are constant but in one row, which validates."""
    apart = int(torch.randperm(40, generator=torch.Generator().manual_seed(0))[0])
    source = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": source.normal(size=40), "b": source.normal(size=40), "y": source.normal(size=40)}
    )
    for name, value in columns.items():
        frame[name] = value
        frame.loc[apart, name] = value + 1
    return replace(Config(epochs=3), dataset=from_table(frame, target="y"))


def test_a_constant_column_is_only_centred() -> None:
    c = with_one_row_apart(b=3.7)
    training = double(c)
    problem = training.place(0)[0].problem(0)
    assert float(problem.x_train[:, 1].abs().max()) < 1e-12
    assert float(problem.x_valid[0, 1]) == pytest.approx(1)
    assert_equal(training, 0, plain(c))


def test_a_constant_target_is_learned_without_a_fault() -> None:
    history = run([with_one_row_apart(y=5.0).but(epochs=30, batch_size=8)])
    assert history.status.iloc[-1] == FINISHED
    assert history.train_loss.iloc[-1] < 1e-3
    assert history.train_metric.isna().all()


def test_a_constant_pixel_is_scaled_with_its_picture() -> None:
    c = config(dataset="digits", model="linear", epochs=1)
    problem = Training([c]).place(0)[0].problem(0)
    assert len(set(problem.center)) == len(set(problem.spread)) == 1
    assert float(problem.x_train.mean()) == pytest.approx(0, abs=1e-6)
    assert float(problem.x_train.std()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("rule", ["adam", "adamw"])
def test_a_momentum_schedule_that_reaches_1_stops_where_adam_s_average_must(rule: str) -> None:
    base = Config().but(optimizer=rule, epochs=2, momentum_schedule="ramp", momentum_start=1.0)
    at_most = run([base.but(momentum_start=0.999999)])
    assert run([base])["train_loss"].tolist() == pytest.approx(at_most["train_loss"].tolist(), rel=1e-4)
