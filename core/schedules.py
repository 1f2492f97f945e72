"""Schedules: how the learning rate and the momentum change in the course of a run.

A schedule is a pure function of the number of the update, so that a run can be forked, resumed or drawn
ahead at any point. The forms are those of torch.optim.lr_scheduler where it has them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from core.registry import Entry, Interval, Registry, setting

PEAK = Interval(
    "p",
    default=0.3,
    low=0.0,
    high=1.0,
    help="Where in the run the learning rate peaks: early leaves more of the run to settle.",
)


@dataclass(frozen=True)
class Schedule(Entry):
    """What multiplies the learning rate in each update.

    Attributes:
        constant: Whether it changes nothing, so that nothing need be computed.
    """

    constant: ClassVar[bool] = False

    @abstractmethod
    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """What the learning rate is multiplied by, finite and never negative.

        Args:
            step: The number of the update, from 1 to `steps`.
            steps: The updates of the whole run, at least 1.
            steps_per_epoch: The updates of one epoch, at least 1.
        """


@dataclass(frozen=True)
class MomentumSchedule(Entry):
    """What the momentum is in each update.

    Attributes:
        constant: Whether it changes nothing, so that nothing need be computed.
    """

    constant: ClassVar[bool] = False

    @abstractmethod
    def value(self, momentum: float, step: int, steps: int, steps_per_epoch: int) -> float:
        """The momentum of one update, in [0, 1].

        Args:
            momentum: The momentum that is set, in [0, 1].
            step: The number of the update, from 1 to `steps`.
            steps: The updates of the whole run, at least 1.
            steps_per_epoch: The updates of one epoch, at least 1.
        """


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")
MOMENTUM_SCHEDULES: Registry[type[MomentumSchedule]] = Registry("momentum schedule")


def _cosine(begin: float, end: float, share: float) -> float:
    """From `begin` at share 0 to `end` at share 1 along half a cosine."""
    left = (1 + math.cos(math.pi * share)) / 2
    return left * begin + (1 - left) * end


def _cycle(begin: float, middle: float, end: float, peak: float, step: int, steps: int) -> float:
    """Half a cosine from `begin` to `middle`, then one to `end`, turning where torch's OneCycleLR turns."""
    now, turn, last = step - 1, peak * steps - 1, steps - 1
    if now > turn:
        return _cosine(middle, end, (now - turn) / (last - turn))
    return _cosine(begin, middle, now / turn if turn else 1.0)


@SCHEDULES.add
@final
@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate stays as it is set."""

    name = "constant"
    title = "Constant"
    constant = True

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        return 1.0


@SCHEDULES.add
@final
@dataclass(frozen=True)
class Step(Schedule):
    """The learning rate is cut by a fixed factor every few epochs."""

    name = "step"
    title = "Step decay"

    decay: float = setting(
        Interval(
            "γ",
            default=0.1,
            low=0.0,
            high=1.0,
            help="Factor on the learning rate at each decay: a small γ soon stalls the curve.",
        )
    )
    every: int = setting(
        Interval(
            "k",
            default=10,
            low=1,
            high=10_000,
            integer=True,
            slider=(1, 100),
            help="Epochs between two decays: too few, and the curve stalls before the loss is low.",
        )
    )

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        epoch = (step - 1) // steps_per_epoch
        return self.decay ** (epoch // self.every)


@SCHEDULES.add
@final
@dataclass(frozen=True)
class Cosine(Schedule):
    """The learning rate falls along half a cosine: slowly, then fast, then slowly to its end.

    References:
        I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2016 (one period).
    """

    name = "cosine"
    title = "Cosine annealing"

    final: float = setting(
        Interval(
            "f",
            default=0.0,
            low=0.0,
            high=1.0,
            help="Learning rate at the end, as a fraction of the initial one: 0 lets the curve settle.",
        )
    )

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        return _cosine(1.0, self.final, (step - 1) / steps)


@SCHEDULES.add
@final
@dataclass(frozen=True)
class Warmup(Schedule):
    """The learning rate rises in a straight line and then stays.

    References:
        P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017.
    """

    name = "warmup"
    title = "Linear warm-up"

    warmup: float = setting(
        Interval(
            "w",
            default=0.1,
            low=0.0,
            high=1.0,
            help="Fraction of the run in which the rate rises: longer flattens the start of the curve.",
        )
    )

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        rise = self.warmup * steps
        return step / rise if step < rise else 1.0


@SCHEDULES.add
@final
@dataclass(frozen=True)
class OneCycle(Schedule):
    """The learning rate rises from 1/25 to the full rate, then falls to almost nothing.

    References:
        L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning
        rates", 2017.
    """

    name = "onecycle"
    title = "One-cycle"

    peak: float = setting(PEAK)

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        return _cycle(1 / 25, 1.0, 1 / 25 / 1e4, self.peak, step, steps)


@MOMENTUM_SCHEDULES.add
@final
@dataclass(frozen=True)
class MomentumConstant(MomentumSchedule):
    """The momentum stays as it is set."""

    name = "constant"
    title = "Constant"
    constant = True

    def value(self, momentum: float, step: int, steps: int, steps_per_epoch: int) -> float:
        return momentum


@MOMENTUM_SCHEDULES.add
@final
@dataclass(frozen=True)
class Ramp(MomentumSchedule):
    """The momentum goes in a straight line from its start to the value that is set, and stays there."""

    name = "ramp"
    title = "Linear ramp"

    momentum_start: float = setting(
        Interval(
            "μ₀",
            default=0.5,
            low=0.0,
            high=1.0,
            help="Momentum of the first update: lower makes the curve oscillate less at the start.",
        )
    )
    ramp: float = setting(
        Interval(
            "r",
            default=0.5,
            low=0.0,
            high=1.0,
            help="Fraction of the run until momentum has its value: longer delays speed and overshoot.",
        )
    )

    def value(self, momentum: float, step: int, steps: int, steps_per_epoch: int) -> float:
        length = self.ramp * steps
        share = (step - 1) / length if step - 1 < length else 1.0
        return (1 - share) * self.momentum_start + share * momentum


@MOMENTUM_SCHEDULES.add
@final
@dataclass(frozen=True)
class Sutskever(MomentumSchedule):
    """The momentum starts at 0.5 and comes nearer to 1 every 250 updates, up to the value that is set.

    With t counted from 0 it is min(1 − 2^(−1 − log2(⌊t / 250⌋ + 1)), μ).

    References:
        I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum in
        deep learning", 2013.
    """

    name = "sutskever"
    title = "Sutskever"

    def value(self, momentum: float, step: int, steps: int, steps_per_epoch: int) -> float:
        return min(1 - 0.5 / ((step - 1) // 250 + 1), momentum)


@MOMENTUM_SCHEDULES.add
@final
@dataclass(frozen=True)
class MomentumCycle(MomentumSchedule):
    """The momentum goes down and back up while a one-cycle learning rate goes up and back down.

    References:
        L. N. Smith, "A disciplined approach to neural network hyper-parameters: part 1", 2018.
    """

    name = "cycle"
    title = "Cycle"

    momentum_low: float = setting(
        Interval(
            "μ₁",
            default=0.85,
            low=0.0,
            high=1.0,
            help="Momentum where the learning rate peaks: lower keeps the largest rates stable.",
        )
    )
    peak: float = setting(PEAK)

    def value(self, momentum: float, step: int, steps: int, steps_per_epoch: int) -> float:
        return _cycle(momentum, self.momentum_low, momentum, self.peak, step, steps)
