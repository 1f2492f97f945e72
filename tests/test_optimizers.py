"""The rules against torch.optim, closed forms, stability theorems and equivalences."""

import inspect
import subprocess
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch

from core.optimizers import OPTIMIZERS, Momentum, Nesterov, Optimizer, stack, stackable
from core.registry import Flag, Interval, OutOfRange, UnknownName
from tests import plain

ROOT = Path(__file__).parents[1]
STEPS = 300
CURVATURE = torch.tensor([0.0, 0.01, 0.3, 1.0, 2.0], dtype=torch.float64)
FIRST = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0], dtype=torch.float64)
NOISE = torch.randn(STEPS, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LATEX = {"η": r"\eta", "μ": r"\mu", "τ": r"\tau", "λ": r"\lambda", "ε": r"\epsilon", "α": r"\alpha"}
LATEX |= {"δ": r"\delta", "s₀": "s_0", "β₁": r"\beta_1", "β₂": r"\beta_2"}
VARIANTS = {
    "sgd": [{}, {"weight_decay": 0.1}, {"learning_rate": 0.3, "weight_decay": 1.0}],
    "momentum": [
        {},
        {"momentum": 0.5, "weight_decay": 0.1},
        {"dampening": 0.3},
        {"momentum": 0.0, "dampening": 0.4, "learning_rate": 0.2},
        {"momentum": 0.99, "dampening": 1.0},
        {"momentum": 1.0, "learning_rate": 0.001},
        {"momentum": 0.7, "dampening": 0.5, "weight_decay": 0.3, "learning_rate": 0.1},
    ],
    "nesterov": [
        {},
        {"momentum": 0.0, "learning_rate": 0.2},
        {"momentum": 0.99, "weight_decay": 0.2},
        {"momentum": 1.0, "learning_rate": 1e-4},
    ],
    "rmsprop": [
        {},
        {"centered": True},
        {"momentum": 0.9},
        {"alpha": 0.5, "epsilon": 0.1, "weight_decay": 0.2},
        {"alpha": 0.9, "centered": True, "momentum": 0.5, "weight_decay": 0.1, "learning_rate": 0.05},
        {"alpha": 0.0, "momentum": 0.3},
    ],
    "adagrad": [
        {},
        {"learning_rate_decay": 0.05, "learning_rate": 0.5},
        {"initial_accumulator": 0.7, "weight_decay": 0.1},
        {"learning_rate_decay": 1.0, "initial_accumulator": 2.0, "epsilon": 0.5, "weight_decay": 0.3},
    ],
}
VARIANTS["adam"] = VARIANTS["adamw"] = [
    {},
    {"amsgrad": True},
    {"weight_decay": 0.0, "learning_rate": 0.1},
    {"beta1": 0.0, "beta2": 0.5, "epsilon": 0.1},
    {"beta1": 0.99, "beta2": 0.999999, "weight_decay": 0.5, "learning_rate": 0.02},
    {"beta1": 0.8, "beta2": 0.0, "amsgrad": True, "weight_decay": 0.3, "learning_rate": 0.05},
    {"beta1": 0.5, "beta2": 0.9, "amsgrad": True, "epsilon": 0.01},
]
RULES = [OPTIMIZERS[name](**numbers) for name, variants in VARIANTS.items() for numbers in variants]
each_rule = pytest.mark.parametrize("rule", RULES, ids=repr)
each_name = pytest.mark.parametrize("name", list(OPTIMIZERS))


def everything_on(name: str) -> Optimizer:
    """The rule with every number away from zero and every flag set."""
    kind = OPTIMIZERS[name]
    return kind(
        **{k: r.default or (True if isinstance(r, Flag) else 0.1) for k, r in kind.settings().items()}
    )


def everything_off(name: str) -> Optimizer:
    """The rule with every number that may be zero at zero and every flag unset."""
    kind = OPTIMIZERS[name]
    off = {
        k: False if isinstance(r, Flag) else 0.0 for k, r in kind.settings().items() if k != "learning_rate"
    }
    return kind(**off)


def torchs_path(rule: Optimizer) -> torch.Tensor:
    """The parameters after each step, (STEPS, 5), as torch.optim makes them on a noisy quadratic."""
    params = torch.nn.Parameter(FIRST.clone())
    optimizer = plain.optimizer(rule, [params])
    path = []
    for noise in NOISE:
        params.grad = CURVATURE * params.detach() + noise
        optimizer.step()
        path.append(params.detach().clone())
    return torch.stack(path)


def our_path(rule: Optimizer, first: torch.Tensor) -> torch.Tensor:
    """The same made by our rule, (STEPS, ...)."""
    params, state, path = first, rule.start(first), []
    for step, noise in enumerate(NOISE.to(first.dtype), start=1):
        update, state = rule.update(params, CURVATURE.to(first.dtype) * params + noise, state, step)
        params = params + update
        path.append(params)
    return torch.stack(path)


def on_quadratic(rule: Optimizer, curvature: float, params: torch.Tensor, steps: int) -> torch.Tensor:
    """Where the rule is after so many steps on h θ² / 2."""
    state = rule.start(params)
    for step in range(1, steps + 1):
        update, state = rule.update(params, curvature * params, state, step)
        params = params + update
    return params


def assert_equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert bool(theirs.isfinite().all())
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_optimizers_are_these_in_this_order() -> None:
    assert list(OPTIMIZERS) == ["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw"]


@each_rule
def test_a_rule_alone_equals_torch(rule: Optimizer) -> None:
    assert_equal(our_path(rule, FIRST), torchs_path(rule))


@pytest.mark.parametrize(
    ("kind", "group"), [(k, list(g)) for k, g in groupby(sorted(RULES, key=repr), stackable)]
)
def test_every_row_of_a_stack_equals_torch(kind: object, group: list[Optimizer]) -> None:
    params = FIRST.expand(len(group), -1).clone()
    path = our_path(stack(group, params), params)
    for row, rule in enumerate(group):
        assert_equal(path[:, row], torchs_path(rule))


@pytest.mark.parametrize(
    ("name", "key"),
    [(n, k) for n, kind in OPTIMIZERS.items() for k, r in kind.settings().items() if isinstance(r, Interval)],
)
def test_a_stack_that_differs_in_one_number_equals_torch(name: str, key: str) -> None:
    rule = everything_on(name)
    rules = [replace(rule, **{key: value}) for value in (0.05, 0.2, 0.7)]
    params = FIRST.expand(3, -1).clone()
    path = our_path(stack(rules, params), params)
    for row in range(3):
        assert_equal(path[:, row], torchs_path(rules[row]))


def test_dampening_is_off_in_the_rows_without_momentum_only() -> None:
    rules = [Momentum(momentum=m, dampening=0.3) for m in (0.0, 0.5, 0.9)]
    path = our_path(stack(rules, FIRST), FIRST.expand(3, -1).clone())
    for row, rule in enumerate(rules):
        assert_equal(path[:, row], torchs_path(rule))


@each_rule
def test_a_stack_of_equal_rules_is_bit_identical_to_one(rule: Optimizer) -> None:
    first = FIRST.float()
    together = our_path(stack([rule] * 3, first), first.expand(3, -1).clone())
    assert torch.equal(together, our_path(rule, first).unsqueeze(1).expand_as(together))


@each_name
def test_in_single_precision_neighbours_make_no_difference(name: str) -> None:
    rules = [everything_on(name), replace(OPTIMIZERS[name](), learning_rate=0.02, weight_decay=0.3)]
    rules[1] = replace(rules[1], **{k: True for k, r in rules[1].settings().items() if isinstance(r, Flag)})
    first = FIRST.float()
    path = our_path(stack(rules, first), first.expand(2, -1).clone())
    for row, rule in enumerate(rules):
        assert torch.equal(path[:, row], our_path(rule, first))


@each_name
def test_defaults_are_torchs_where_torch_decides(name: str) -> None:
    rule = OPTIMIZERS[name]()
    theirs = inspect.signature(type(plain.optimizer(rule, [torch.nn.Parameter(FIRST.clone())]))).parameters
    for key in rule.settings().keys() - {"learning_rate", "beta1", "beta2"}:
        if (name, key) not in {("momentum", "momentum"), ("nesterov", "momentum")}:
            assert getattr(rule, key) == theirs[plain.WORDS.get(key, key)].default, key
    if "beta1" in rule.settings():
        assert (rule.learning_rate, (rule.beta1, rule.beta2)) == (
            theirs["lr"].default,
            theirs["betas"].default,
        )


@pytest.mark.parametrize("m", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("kind", [Momentum, Nesterov])
def test_momentum_on_a_quadratic_is_a_matrix_power(kind: type[Optimizer], m: float) -> None:
    h, rate = 1.5, 0.1
    behind = [[m, h], [-rate * m, 1 - rate * h]]  # (v, θ) after a step of heavy ball
    ahead = [[m, h], [-rate * m**2, 1 - rate * h * (1 + m)]]  # and of Nesterov
    rule, first = kind(learning_rate=rate, momentum=m), torch.tensor([2.0], dtype=torch.float64)
    for steps in (1, 2, 17, 200):
        power = np.linalg.matrix_power(np.array(behind if kind is Momentum else ahead), steps)
        there = on_quadratic(rule, h, first, steps)
        np.testing.assert_allclose(there.numpy(), [2.0 * power[1, 1]], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_it_settles_below_the_stability_bound_and_not_above(name: str, momentum: float) -> None:
    h = 3.0
    bound = {
        "sgd": 2 / h,
        "momentum": 2 * (1 + momentum) / h,
        "nesterov": 2 * (1 + momentum) / (h * (1 + 2 * momentum)),
    }[name]
    numbers = {} if name == "sgd" else {"momentum": momentum}
    rules = [OPTIMIZERS[name](learning_rate=bound * share, **numbers) for share in (0.99, 1.01)]
    below, above = on_quadratic(stack(rules, FIRST), h, FIRST[:1].expand(2, 1), 2000).abs().flatten()
    assert below < 1e-3
    assert not above < 1e3


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_first_step_of_adam_is_the_learning_rate_long(name: str) -> None:
    rule = OPTIMIZERS[name](learning_rate=0.3, epsilon=0.0, weight_decay=0.0)
    grads = torch.tensor([5.0, -0.001], dtype=torch.float64)
    update, _ = rule.update(grads, grads, rule.start(grads), 1)
    torch.testing.assert_close(update, -0.3 * grads.sign(), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("numbers", [{}, {"weight_decay": 0.2, "learning_rate": 0.3}])
@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_momentum_zero_is_sgd(name: str, numbers: dict[str, float]) -> None:
    sgd = our_path(OPTIMIZERS["sgd"](**numbers), FIRST)
    assert torch.equal(our_path(OPTIMIZERS[name](momentum=0.0, **numbers), FIRST), sgd)
    if name == "momentum":
        assert torch.equal(our_path(Momentum(momentum=0.0, dampening=0.6, **numbers), FIRST), sgd)


@each_name
@pytest.mark.parametrize("runs", [1, 3])
def test_an_update_changes_nothing_that_it_was_given(name: str, runs: int) -> None:
    rules = [replace(everything_on(name), learning_rate=0.1 + r, weight_decay=0.2 + r) for r in range(runs)]
    params = FIRST.expand(runs, -1).clone()
    for rule in (stack(rules, params), OPTIMIZERS[name](), everything_off(name)):
        _, state = rule.update(params, NOISE[:runs], rule.start(params), 1)
        given = (params, NOISE[:runs].clone(), *state)
        before = [tensor.clone() for tensor in given]
        update, after = rule.update(given[0], given[1], state, 2)
        assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
        memory = {t.data_ptr() for t in given}
        assert memory.isdisjoint(t.data_ptr() for t in (update, *after))


@each_rule
def test_an_update_is_proportional_to_the_learning_rate(rule: Optimizer) -> None:
    longer = rule.with_numbers(learning_rate=rule.learning_rate * 8)
    state, far = rule.start(FIRST), longer.start(FIRST)
    for step, noise in enumerate(NOISE[:5], start=1):
        update, state = rule.update(FIRST, noise, state, step)
        long, far = longer.update(FIRST, noise, far, step)
        torch.testing.assert_close(long, 8 * update, rtol=1e-12, atol=1e-15)


@each_name
def test_a_state_has_one_tensor_for_each_name_in_memory(name: str) -> None:
    for rule in (OPTIMIZERS[name](), everything_on(name)):
        params = FIRST.float().expand(2, -1)
        state = rule.start(params)
        _, after = rule.update(params, params, state, 1)
        for tensors in (state, after):
            assert len(tensors) == len(rule.memory)
            assert all(t.shape == params.shape and t.dtype == params.dtype for t in tensors)


def test_a_stack_keeps_what_is_equal_as_a_plain_number() -> None:
    rule = stack([Momentum(momentum=m) for m in (0.1, 0.2)], FIRST.float())
    assert rule.learning_rate == 0.01
    assert rule.momentum.shape == (2, 1)
    assert rule.momentum.dtype == torch.float64  # its complement has more digits than single precision


@pytest.mark.parametrize(
    "rules",
    [[], [OPTIMIZERS["sgd"](), Momentum()], [OPTIMIZERS["adam"](), OPTIMIZERS["adam"](amsgrad=True)]],
)
def test_rules_of_several_kinds_are_not_stacked(rules: list[Optimizer]) -> None:
    with pytest.raises(ValueError, match="same class with the same flags"):
        stack(rules, FIRST)


def test_other_numbers_leave_the_rule_as_it_was_and_unknown_ones_are_refused() -> None:
    rule = Momentum()
    assert rule.with_numbers(momentum=0.5) == Momentum(momentum=0.5)
    assert rule == Momentum()
    with pytest.raises(UnknownName, match="momentun"):
        rule.with_numbers(momentun=0.5)


@each_name
def test_a_value_out_of_range_is_answered_with_a_sentence(name: str) -> None:
    kind = OPTIMIZERS[name]
    for key, record in kind.settings().items():
        if isinstance(record, Flag):
            with pytest.raises(OutOfRange, match=f"^{key} must be true or false, got 'maybe'"):
                kind(**{key: "maybe"})
            continue
        for bad in (record.low - 1, record.high * 2 + 1, float("nan"), float("inf"), "x", None):
            with pytest.raises(OutOfRange) as caught:
                kind(**{key: bad})
            sentence = str(caught.value)
            assert sentence == f"{key} must be a number in [{record.low:g}, {record.high:g}], got {bad!r}."


@each_name
def test_an_equation_names_what_is_switched_on_and_nothing_else(name: str) -> None:
    on, off = everything_on(name), everything_off(name)
    for record in on.settings().values():
        if isinstance(record, Interval):
            assert LATEX[record.symbol] in on.equation
    for record in (
        v for k, v in off.settings().items() if k not in {"learning_rate", "alpha", "beta1", "beta2"}
    ):
        if isinstance(record, Interval):
            assert LATEX[record.symbol] not in off.equation
    for rule in (on, off):
        assert rule.equation.count("{") == rule.equation.count("}")


@pytest.mark.parametrize(
    ("name", "flag", "term"), [("rmsprop", "centered", "m^2"), ("adam", "amsgrad", r"\max")]
)
def test_an_equation_shows_a_flag_only_when_it_is_set(name: str, flag: str, term: str) -> None:
    assert term not in OPTIMIZERS[name]().equation
    assert term in OPTIMIZERS[name](**{flag: True}).equation


def test_the_equation_of_plain_momentum_is_the_one_in_the_books() -> None:
    assert Momentum().equation == r"v \leftarrow \mu v + g,\quad \theta \leftarrow \theta - \eta v"


MOVING = [rule for rule in RULES if rule.effective_step is not None]


def test_an_effective_step_have_the_rules_of_sgd_s_kind_whose_velocity_ends() -> None:
    assert [
        rule
        for rule in RULES
        if rule.name == "sgd" or (rule.name in {"momentum", "nesterov"} and rule.momentum < 1)
    ] == MOVING


@pytest.mark.parametrize("rule", MOVING, ids=repr)
def test_the_effective_step_is_what_a_constant_gradient_ends_up_moving(rule: Optimizer) -> None:
    rule, one = replace(rule, weight_decay=0.0), torch.ones(1, dtype=torch.float64)
    state = rule.start(one)
    for step in range(1, 4001):
        update, state = rule.update(one, one, state, step)
    assert -update.item() == pytest.approx(rule.effective_step, rel=1e-10, abs=1e-10)


@each_name
def test_every_rule_and_setting_says_what_it_is(name: str) -> None:
    kind = OPTIMIZERS[name]
    assert kind.title
    assert (kind.__doc__ or "").splitlines()[0].endswith(".")
    assert all(record.help.endswith(".") for record in kind.settings().values())
    assert kind.momentum_name == "" or kind.momentum_name in kind.settings()


def test_rules_and_schedules_are_there_before_torch() -> None:
    program = (
        "import sys, core.optimizers as o, core.schedules; [k().equation for k in o.OPTIMIZERS.values()];"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
