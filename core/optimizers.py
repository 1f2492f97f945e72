"""The rules that turn a gradient into an update, each written as its equation.

A rule is written for one tensor and is element-wise. Several rules of a kind become one with `stack`: its
numbers are then tensors of shape (R, 1), and the same code moves R runs at once. The choices that differ
between libraries are those of torch.optim, which the tests hold to 1e-10 in double precision.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias, TypeVar, final

from core.registry import Entry, Flag, Interval, Registry, UnknownName, setting, unknown

if TYPE_CHECKING:
    from torch import Tensor

State: TypeAlias = "tuple[Tensor, ...]"
Rule = TypeVar("Rule", bound="Optimizer")

LEARNING_RATE = Interval(
    "η",
    0.01,
    1e-8,
    1e4,
    log=True,
    slider=(1e-6, 10.0),
    help="Too small and the loss falls slowly; too large and it oscillates or diverges.",
)
MOMENTUM = Interval(
    "μ", 0.9, 0.0, 1.0, help="Higher descends faster and oscillates more; 0 is off, 1 never converges."
)
DAMPENING = Interval(
    "τ", 0.0, 0.0, 1.0, help="Scales new gradients in the velocity by 1 − τ: shorter steps, slower descent."
)
WEIGHT_DECAY = Interval(
    "λ",
    0.0,
    0.0,
    10.0,
    slider=(0.0, 0.1),
    help="Shrinks the weights: higher training loss, smaller validation gap.",
)
EPSILON = Interval(
    "ε",
    1e-8,
    0.0,
    1.0,
    log=True,
    slider=(1e-12, 1.0),
    help="Added to the divisor: larger shortens steps where gradients are tiny.",
)
ALPHA = Interval(
    "α",
    0.99,
    0.0,
    0.999999,
    help="Decay of the squared-gradient average: higher is smoother, slower to adapt.",
)
BETA1 = Interval(
    "β₁",
    0.9,
    0.0,
    0.999999,
    help="Decay of the gradient average: higher is smoother and overshoots like momentum.",
)
BETA2 = replace(ALPHA, symbol="β₂", default=0.999)
RATE_DECAY = Interval(
    "δ",
    0.0,
    0.0,
    10.0,
    slider=(0.0, 0.1),
    help="Divides the learning rate by 1 + δ(t − 1): the curve flattens early.",
)
ACCUMULATOR = Interval(
    "s₀",
    0.0,
    0.0,
    100.0,
    slider=(0.0, 1.0),
    help="Initial sum of squared gradients: larger shortens the first steps.",
)
CENTERED = Flag(
    help="Divides by the standard deviation of the gradients: longer steps where they hardly change."
)
AMSGRAD = Flag(help="Uses the largest squared-gradient average so far: one large gradient keeps steps short.")


@dataclass(frozen=True)
class Optimizer(Entry):
    """A rule; its fields are its hyperparameters.

    The fields are floats, and in a rule made by `stack` or `with_numbers` possibly tensors of shape (R, 1) in
    double precision: what is made of them is rounded once, where it meets the gradient, as a float is.
    Every update is proportional to the learning rate and no state holds it, so that a schedule may multiply
    the update instead of the rate.

    Attributes:
        momentum_name: The setting that a momentum schedule moves; empty where there is none.
        linear: Whether an update is linear in the gradients so far, so that there is a stability limit.
        nesterov: Whether a linear rule with momentum looks ahead.
    """

    momentum_name: ClassVar[str] = ""
    linear: ClassVar[bool] = False
    nesterov: ClassVar[bool] = False

    learning_rate: float = setting(LEARNING_RATE)

    @property
    @abstractmethod
    def lines(self) -> tuple[str, ...]:
        """The assignments of one update in LaTeX, in order, without the terms that are switched off."""

    @property
    def equation(self) -> str:
        """The rule that really runs, in LaTeX, on one line."""
        return r",\quad ".join(self.lines)

    @property
    def memory(self) -> tuple[str, ...]:
        """What each tensor of the state is; it depends on the flags, never on the numbers."""
        return ()

    @property
    def has_velocity(self) -> bool:
        """Whether it is SGD with momentum of one kind or another, which momentum 0 makes plain SGD."""
        return self.linear and bool(self.momentum_name)

    @property
    def effective_step(self) -> float | None:
        """How far a constant gradient of 1 moves a parameter per update in the end; None when unbounded or
        when that depends on the gradient's scale."""
        return None

    def start(self, params: Tensor) -> State:
        """The state before the first update: zeros shaped like `params`, one for each name in `memory`."""
        return tuple(params.new_zeros(params.shape) for _ in self.memory)

    @abstractmethod
    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        """What is added to the parameters, and the next state; nothing given is changed in place.

        Call it where autograd does not record.

        Args:
            params: The parameters θ, any shape; (R, P) when the rule's numbers are (R, 1).
            grads: The gradient g at `params`, same shape.
            state: What `start` or the last `update` gave; it stays valid.
            step: The number of this update, counted from 1.

        Returns:
            The update, shaped like `params`, and the state for the next one.
        """

    def with_numbers(self, **numbers: float | Tensor) -> Self:
        """The same rule with other numbers, unchecked: cheap enough for every step of a schedule.

        Args:
            numbers: By setting; floats, or tensors of shape (R, 1).

        Raises:
            UnknownName: The rule has no such setting.
        """
        for key in numbers:
            if key not in vars(self):
                raise UnknownName(unknown("setting", key, vars(self)))
        rule = object.__new__(type(self))
        vars(rule).update(vars(self) | numbers)
        return rule


def stackable(rule: Optimizer) -> tuple[type[Optimizer], tuple[bool, ...]]:
    """The class and the flags of a rule: rules for which this is equal can be stacked."""
    return type(rule), tuple(value for value in vars(rule).values() if isinstance(value, bool))


def stack(rules: Sequence[Rule], like: Tensor) -> Rule:
    """One rule that moves R runs, row r as `rules[r]` would.

    A number that all rules agree on stays a plain float; any other becomes a float64 tensor of shape (R, 1).
    Either way row r moves as `rules[r]` alone would, bit for bit.

    Args:
        rules: R rules with equal `stackable`.
        like: The parameters (R, P), for the device.

    Raises:
        ValueError: There are no rules, or they are of several kinds.
    """
    import torch

    if len({stackable(rule) for rule in rules}) != 1:
        given = ", ".join(sorted({repr(rule) for rule in rules})) or "none"
        raise ValueError(f"rules must be one or more of the same class with the same flags, got {given}.")
    columns = {key: [vars(rule)[key] for rule in rules] for key in vars(rules[0])}
    differing = {key: column for key, column in columns.items() if column.count(column[0]) < len(column)}
    tensors = {k: torch.tensor(column, dtype=torch.float64)[:, None] for k, column in differing.items()}
    return rules[0].with_numbers(**{key: tensor.to(like.device) for key, tensor in tensors.items()})


def _on(number: float | Tensor) -> bool:
    """Whether a number makes a difference for some run."""
    return not isinstance(number, (int, float)) or number != 0


def _sign(number: float | Tensor) -> float | Tensor:
    """1 where a number that is never negative is on, 0 where it is off."""
    return float(number != 0) if isinstance(number, (int, float)) else number.sign()


def _as(like: Tensor, number: float | Tensor) -> float | Tensor:
    """The number in the precision of `like`; a plain one takes it by itself."""
    return number if isinstance(number, (int, float)) else number.to(like.dtype)


def _plus(a: Tensor, number: float | Tensor, b: Tensor) -> Tensor:
    """a + number · b in one operation."""
    return a.add(b, alpha=number) if isinstance(number, (int, float)) else a.addcmul(b, number.to(a.dtype))


def _decayed(params: Tensor, grads: Tensor, weight_decay: float) -> Tensor:
    """g + λθ, which is `grads` itself where there is no decay."""
    return _plus(grads, weight_decay, params) if _on(weight_decay) else grads


def _decay_lines(weight_decay: float) -> tuple[str, ...]:
    return (r"g \leftarrow g + \lambda \theta",) if _on(weight_decay) else ()


def _plus_epsilon(divisor: str, epsilon: float) -> str:
    return rf"{divisor} + \epsilon" if _on(epsilon) else divisor


OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer")


@OPTIMIZERS.add
@final
@dataclass(frozen=True)
class SGD(Optimizer):
    """Each update is the learning rate times the negative gradient.

    References:
        H. Robbins, S. Monro, "A stochastic approximation method", 1951.
    """

    name = "sgd"
    title = "SGD"
    linear = True

    weight_decay: float = setting(WEIGHT_DECAY)

    @property
    def lines(self) -> tuple[str, ...]:
        return (*_decay_lines(self.weight_decay), r"\theta \leftarrow \theta - \eta g")

    @property
    def effective_step(self) -> float | None:
        return self.learning_rate

    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        g = _decayed(params, grads, self.weight_decay)
        return g * _as(g, -self.learning_rate), ()


@OPTIMIZERS.add
@final
@dataclass(frozen=True)
class Momentum(Optimizer):
    """SGD with a velocity: an exponentially decaying sum of past gradients.

    As in torch.optim the first gradient enters the velocity undampened, the learning rate stays outside of
    the velocity, and with momentum 0 there is no dampening either.

    References:
        B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    name = "momentum"
    title = "SGD + momentum"
    momentum_name = "momentum"
    linear = True

    momentum: float = setting(MOMENTUM)
    dampening: float = setting(DAMPENING)
    weight_decay: float = setting(WEIGHT_DECAY)

    @property
    def lines(self) -> tuple[str, ...]:
        decay = _decay_lines(self.weight_decay)
        if not _on(self.momentum):
            return (*decay, r"\theta \leftarrow \theta - \eta g")
        velocity: tuple[str, ...] = (r"v \leftarrow \mu v + g",)
        if _on(self.dampening):
            velocity = (r"v(1) = g", r"v \leftarrow \mu v + (1 - \tau) g")
        return (*decay, *velocity, r"\theta \leftarrow \theta - \eta v")

    @property
    def memory(self) -> tuple[str, ...]:
        return ("velocity",)

    @property
    def effective_step(self) -> float | None:
        if self.momentum == 1:
            return None
        kept = 1 - self.dampening if self.momentum else 1.0
        return self.learning_rate * kept / (1 - self.momentum)

    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        (v,) = state
        g = _decayed(params, grads, self.weight_decay)
        if step > 1 and _on(self.dampening):
            g = g * _as(g, 1 - self.dampening * _sign(self.momentum))
        v = _plus(g, self.momentum, v)
        return v * _as(v, -self.learning_rate), (v,)


@OPTIMIZERS.add
@final
@dataclass(frozen=True)
class Nesterov(Optimizer):
    """Momentum with look-ahead: the step is the one that the next velocity would take.

    In PyTorch's form, where the gradient is taken at the parameters themselves.

    References:
        Y. Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k²)",
            1983.
        I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
    """

    name = "nesterov"
    title = "Nesterov momentum"
    momentum_name = "momentum"
    linear = True
    nesterov = True

    momentum: float = setting(MOMENTUM)
    weight_decay: float = setting(WEIGHT_DECAY)

    @property
    def lines(self) -> tuple[str, ...]:
        decay = _decay_lines(self.weight_decay)
        if not _on(self.momentum):
            return (*decay, r"\theta \leftarrow \theta - \eta g")
        return (*decay, r"v \leftarrow \mu v + g", r"\theta \leftarrow \theta - \eta (g + \mu v)")

    @property
    def memory(self) -> tuple[str, ...]:
        return ("velocity",)

    @property
    def effective_step(self) -> float | None:
        return None if self.momentum == 1 else self.learning_rate / (1 - self.momentum)

    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        (v,) = state
        g = _decayed(params, grads, self.weight_decay)
        v = _plus(g, self.momentum, v)
        return _plus(g, self.momentum, v).mul_(_as(v, -self.learning_rate)), (v,)


@OPTIMIZERS.add
@final
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Each gradient is divided by the root of a moving average of its squares.

    Centered, it is divided by the running standard deviation instead. As in torch.optim that is not a number
    where rounding makes the variance negative.

    References:
        T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", 2012.
        A. Graves, "Generating sequences with recurrent neural networks", 2013 (centered).
    """

    name = "rmsprop"
    title = "RMSprop"
    momentum_name = "momentum"

    alpha: float = setting(ALPHA)
    epsilon: float = setting(EPSILON)
    momentum: float = setting(replace(MOMENTUM, default=0.0))
    centered: bool = setting(CENTERED)
    weight_decay: float = setting(WEIGHT_DECAY)

    @property
    def lines(self) -> tuple[str, ...]:
        square = r"s \leftarrow \alpha s + (1 - \alpha) g^2"
        mean = (r"m \leftarrow \alpha m + (1 - \alpha) g",) if self.centered else ()
        divisor = _plus_epsilon(r"\sqrt{s - m^2}" if self.centered else r"\sqrt{s}", self.epsilon)
        scaled = rf"\frac{{g}}{{{divisor}}}"
        moves: tuple[str, ...] = (rf"\theta \leftarrow \theta - \eta {scaled}",)
        if _on(self.momentum):
            moves = (rf"v \leftarrow \mu v + {scaled}", r"\theta \leftarrow \theta - \eta v")
        return (*_decay_lines(self.weight_decay), square, *mean, *moves)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("velocity", "square", "mean") if self.centered else ("velocity", "square")

    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        v, s, *mean = state
        g = _decayed(params, grads, self.weight_decay)
        new = _as(g, 1 - self.alpha)
        s = s.lerp(g * g, new)
        mean = [m.lerp(g, new) for m in mean]
        variance = s.addcmul(mean[0], mean[0], value=-1) if self.centered else s
        scaled = g / variance.sqrt().add_(_as(g, self.epsilon))
        v = _plus(scaled, self.momentum, v) if _on(self.momentum) else scaled
        return v * _as(v, -self.learning_rate), (v, s, *mean)


@OPTIMIZERS.add
@final
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Each gradient is divided by the root of the sum of all its squares so far, so steps only shrink.

    References:
        J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic
        optimization", 2011.
    """

    name = "adagrad"
    title = "Adagrad"

    learning_rate_decay: float = setting(RATE_DECAY)
    initial_accumulator: float = setting(ACCUMULATOR)
    epsilon: float = setting(replace(EPSILON, default=1e-10))
    weight_decay: float = setting(WEIGHT_DECAY)

    @property
    def lines(self) -> tuple[str, ...]:
        begin = (r"s(0) = s_0",) if _on(self.initial_accumulator) else ()
        rate = r"\frac{\eta}{1 + (t - 1) \delta}" if _on(self.learning_rate_decay) else r"\eta"
        divisor = _plus_epsilon(r"\sqrt{s}", self.epsilon)
        return (
            *begin,
            *_decay_lines(self.weight_decay),
            r"s \leftarrow s + g^2",
            rf"\theta \leftarrow \theta - {rate} \frac{{g}}{{{divisor}}}",
        )

    @property
    def memory(self) -> tuple[str, ...]:
        return ("square",)

    def start(self, params: Tensor) -> State:
        """The initial accumulator, shaped like `params`."""
        return (params.new_zeros(params.shape).add_(_as(params, self.initial_accumulator)),)

    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        (s,) = state
        g = _decayed(params, grads, self.weight_decay)
        s = s.addcmul(g, g)
        rate = self.learning_rate / (1 + (step - 1) * self.learning_rate_decay)
        return (g / s.sqrt().add_(_as(g, self.epsilon))).mul_(_as(g, -rate)), (s,)


@dataclass(frozen=True)
class _Adaptive(Optimizer):
    """What Adam and AdamW share: all but the place of weight decay."""

    momentum_name = "beta1"

    learning_rate: float = setting(replace(LEARNING_RATE, default=0.001))
    beta1: float = setting(BETA1)
    beta2: float = setting(BETA2)
    epsilon: float = setting(EPSILON)
    amsgrad: bool = setting(AMSGRAD)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("mean", "square", "largest") if self.amsgrad else ("mean", "square")

    def _averages(self) -> tuple[str, ...]:
        largest = (r"\bar s \leftarrow \max(\bar s, s)",) if self.amsgrad else ()
        square = r"\bar s" if self.amsgrad else "s"
        return (
            r"m \leftarrow \beta_1 m + (1 - \beta_1) g",
            r"s \leftarrow \beta_2 s + (1 - \beta_2) g^2",
            *largest,
            r"\hat m = \frac{m}{1 - \beta_1^t}",
            rf"\hat s = \frac{{{square}}}{{1 - \beta_2^t}}",
        )

    def _move(self) -> str:
        divisor = _plus_epsilon(r"\sqrt{\hat s}", self.epsilon)
        return rf"\eta \frac{{\hat m}}{{{divisor}}}"

    def _adam(self, g: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        m, s, *largest = state
        m = m.lerp(g, _as(g, 1 - self.beta1))
        s = s.lerp(g * g, _as(g, 1 - self.beta2))
        largest = [past.maximum(s) for past in largest]
        size = largest[0] if self.amsgrad else s
        divisor = size.sqrt().div_(_as(g, _bias(self.beta2, step) ** 0.5)).add_(_as(g, self.epsilon))
        return (m / divisor).mul_(_as(g, -self.learning_rate / _bias(self.beta1, step))), (m, s, *largest)


def _bias(beta: float | Tensor, step: int) -> float | Tensor:
    """1 − β^t."""
    return 1 - beta**step


@OPTIMIZERS.add
@final
@dataclass(frozen=True)
class Adam(_Adaptive):
    """A moving average of gradients over the root of one of their squares, both bias-corrected.

    References:
        D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2014.
        S. J. Reddi, S. Kale, S. Kumar, "On the convergence of Adam and beyond", 2018 (amsgrad; here, as in
        torch.optim, the largest average is taken before the correction).
    """

    name = "adam"
    title = "Adam"

    weight_decay: float = setting(WEIGHT_DECAY)

    @property
    def lines(self) -> tuple[str, ...]:
        move = rf"\theta \leftarrow \theta - {self._move()}"
        return (*_decay_lines(self.weight_decay), *self._averages(), move)

    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        return self._adam(_decayed(params, grads, self.weight_decay), state, step)


@OPTIMIZERS.add
@final
@dataclass(frozen=True)
class AdamW(_Adaptive):
    """Adam with decoupled weight decay, which is not divided by the size of the gradients.

    References:
        I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2017.
    """

    name = "adamw"
    title = "AdamW"

    weight_decay: float = setting(replace(WEIGHT_DECAY, default=0.01))

    @property
    def lines(self) -> tuple[str, ...]:
        decay = r"\eta \lambda \theta - " if _on(self.weight_decay) else ""
        return (*self._averages(), rf"\theta \leftarrow \theta - {decay}{self._move()}")

    def update(self, params: Tensor, grads: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        move, state = self._adam(grads, state, step)
        if _on(self.weight_decay):
            move = _plus(move, -self.learning_rate * self.weight_decay, params)
        return move, state
