"""The schedules against torch.optim.lr_scheduler, closed forms and bounds."""

import math
from itertools import combinations, product

import pytest
import torch
from torch.optim import lr_scheduler

from core.optimizers import OPTIMIZERS
from core.registry import Entry, OutOfRange
from core.schedules import (
    MOMENTUM_SCHEDULES,
    SCHEDULES,
    Cosine,
    MomentumCycle,
    MomentumSchedule,
    OneCycle,
    Ramp,
    Schedule,
    Step,
    Sutskever,
    Warmup,
)

LENGTHS = [1, 2, 3, 4, 10, 97, 300]


def extremes(kind: type[Entry]) -> list[Entry]:
    """The entry with its settings at their defaults and at every combination of their ends."""
    ends = {key: (record.low, record.high, record.default) for key, record in kind.settings().items()}
    return [kind(**dict(zip(ends, values, strict=True))) for values in product(*ends.values())]


def factors(schedule: Schedule, steps: int, steps_per_epoch: int = 1) -> list[float]:
    return [schedule.factor(step, steps, steps_per_epoch) for step in range(1, steps + 1)]


def values(schedule: MomentumSchedule, momentum: float, steps: int) -> list[float]:
    return [schedule.value(momentum, step, steps, 1) for step in range(1, steps + 1)]


def torchs(
    make: object, steps: int, per_epoch: int = 1, rate: float = 1.0
) -> tuple[list[float], list[float]]:
    """Learning rate and momentum of every update under a scheduler that torch steps once in `per_epoch`."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate, momentum=0.5)
    scheduler = make(optimizer)
    group, seen = optimizer.param_groups[0], []
    for step in range(1, steps + 1):
        seen.append((float(group["lr"]), float(group["momentum"])))
        optimizer.step()
        if step % per_epoch == 0 and step < steps:
            scheduler.step()
    return tuple(zip(*seen, strict=True))


def near(expected: object) -> object:
    return pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_the_schedules_are_these_in_this_order() -> None:
    assert list(SCHEDULES) == ["constant", "step", "cosine", "warmup", "onecycle"]
    assert list(MOMENTUM_SCHEDULES) == ["constant", "ramp", "sutskever", "cycle"]


@pytest.mark.parametrize(
    ("decay", "every", "per_epoch"), [(0.1, 10, 3), (0.5, 1, 1), (0.9, 2, 7), (0.0, 4, 5)]
)
def test_step_decay_equals_torch(decay: float, every: int, per_epoch: int) -> None:
    rates, _ = torchs(lambda o: lr_scheduler.StepLR(o, every, gamma=decay), 90, per_epoch)
    assert factors(Step(decay=decay, every=every), 90, per_epoch) == near(rates)


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_cosine_equals_torch(final: float, steps: int) -> None:
    rates, _ = torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=steps, eta_min=final), steps)
    assert factors(Cosine(final=final), steps) == near(rates)


@pytest.mark.parametrize(("warmup", "steps"), [(0.1, 100), (0.5, 10), (1.0, 30), (0.02, 100)])
def test_warmup_equals_torch(warmup: float, steps: int) -> None:
    rise = round(warmup * steps)
    rates, _ = torchs(lambda o: lr_scheduler.LinearLR(o, 1 / rise, total_iters=rise - 1), steps)
    assert factors(Warmup(warmup=warmup), steps) == near(rates)


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("peak", [0.0, 0.05, 0.3, 0.71, 0.999])
def test_one_cycle_equals_torch_in_rate_and_momentum(peak: float, steps: int) -> None:
    rate, high, low = 0.7, 0.95, 0.8
    rates, momenta = torchs(
        lambda o: lr_scheduler.OneCycleLR(
            o, rate, total_steps=steps, pct_start=peak, max_momentum=high, base_momentum=low
        ),
        steps,
        rate=rate,
    )
    assert [rate * f for f in factors(OneCycle(peak=peak), steps)] == near(rates)
    assert values(MomentumCycle(momentum_low=low, peak=peak), high, steps) == near(momenta)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_cycle_may_peak_in_its_first_update(steps: int) -> None:
    assert factors(OneCycle(peak=1 / steps), steps)[0] == 1.0  # torch divides by zero here
    assert values(MomentumCycle(momentum_low=0.8, peak=1 / steps), 0.9, steps)[0] == 0.8


def test_one_cycle_begins_at_a_25th_peaks_at_the_rate_and_ends_at_a_250000th() -> None:
    course = factors(OneCycle(peak=0.3), 100)
    assert (course[0], course[29], course[-1]) == near((1 / 25, 1.0, 1 / 250_000))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99, 1.0])
def test_sutskevers_momentum_is_his_formula(momentum: float) -> None:
    expected = [min(1 - 2 ** (-1 - math.log2(t // 250 + 1)), momentum) for t in range(3000)]
    assert values(Sutskever(), momentum, 3000) == near(expected)


def test_sutskevers_momentum_changes_every_250_updates() -> None:
    course = values(Sutskever(), 0.99, 1000)
    assert [course[t] for t in (0, 249, 250, 499, 500, 999)] == near([0.5, 0.5, 0.75, 0.75, 1 - 1 / 6, 0.875])


def test_a_ramp_is_a_line_and_then_level() -> None:
    course = values(Ramp(momentum_start=0.1, ramp=0.4), 0.9, 10)
    assert course == near([0.1, 0.3, 0.5, 0.7, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])


def test_without_a_ramp_or_a_warmup_everything_is_constant() -> None:
    assert values(Ramp(ramp=0.0), 0.9, 5) == values(MOMENTUM_SCHEDULES["constant"](), 0.9, 5) == [0.9] * 5
    assert factors(Warmup(warmup=0.0), 5) == factors(SCHEDULES["constant"](), 5) == [1.0] * 5


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("steps", LENGTHS)
def test_a_factor_is_always_between_0_and_1(name: str, steps: int) -> None:
    for schedule in extremes(SCHEDULES[name]):
        for per_epoch in (1, 3, steps):
            assert all(0 <= f <= 1 for f in factors(schedule, steps, per_epoch)), schedule


@pytest.mark.parametrize("name", list(MOMENTUM_SCHEDULES))
@pytest.mark.parametrize("steps", LENGTHS)
def test_a_scheduled_momentum_is_always_between_0_and_1(name: str, steps: int) -> None:
    for schedule in extremes(MOMENTUM_SCHEDULES[name]):
        for momentum in (0.0, 0.3, 0.9, 1.0):
            assert all(0 <= v <= 1 for v in values(schedule, momentum, steps)), (schedule, momentum)


@pytest.mark.parametrize("kind", [*SCHEDULES.values(), *MOMENTUM_SCHEDULES.values()])
def test_a_schedule_is_constant_exactly_if_it_says_so(kind: type[Entry]) -> None:
    entry = kind()
    course = factors(entry, 600) if isinstance(entry, Schedule) else values(entry, 0.9, 600)
    assert kind.constant == (len(set(course)) == 1)


@pytest.mark.parametrize("kind", [*SCHEDULES.values(), *MOMENTUM_SCHEDULES.values()])
def test_a_value_out_of_range_is_answered_with_a_sentence(kind: type[Entry]) -> None:
    for key, record in kind.settings().items():
        number = "a whole number" if record.integer else "a number"
        for bad in (record.low - 1, record.high + 1, float("nan"), "x", *([2.5] if record.integer else [])):
            with pytest.raises(OutOfRange) as caught:
                kind(**{key: bad})
            sentence = f"{key} must be {number} in [{record.low:g}, {record.high:g}], got {bad!r}."
            assert str(caught.value) == sentence


@pytest.mark.parametrize("kind", [*SCHEDULES.values(), *MOMENTUM_SCHEDULES.values()])
def test_every_schedule_and_setting_says_what_it_is(kind: type[Entry]) -> None:
    assert kind.title
    assert (kind.__doc__ or "").splitlines()[0].endswith(".")
    assert all(record.help.endswith(".") for record in kind.settings().values())


def test_a_word_in_a_link_means_one_thing_in_rules_and_schedules() -> None:
    for one, other in combinations((OPTIMIZERS, SCHEDULES, MOMENTUM_SCHEDULES), 2):
        for a, b in product(one.values(), other.values()):
            for key in a.settings().keys() & b.settings().keys():
                assert a.settings()[key] == b.settings()[key], key
