"""The stacked models against torch.nn and autograd, and against themselves alone."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from core.models import ACTIVATIONS, CNN, MLP, MODELS, Layer, Linear, Model, Unfit
from core.networks import Network
from core.registry import OutOfRange, UnknownName
from tests import plain

PICTURE = (2, 9, 7)
PROBLEMS = {  # model, inputs, classes (0: regression), picture
    "linear regression": (Linear(), 5, 0, None),
    "softmax regression": (Linear(), 4, 3, None),
    "one weight": (Linear(), 1, 0, None),
    "tutorial": (MLP(hidden=(10,), activation="identity"), 5, 0, None),
    "deep and narrow": (MLP(hidden=(3, 1, 4, 2)), 2, 2, None),
    "pictures": (CNN(channels=(3, 5)), math.prod(PICTURE), 4, PICTURE),
    "a picture's number": (CNN(channels=(4,)), math.prod(PICTURE), 0, PICTURE),
}
PROBLEMS |= {f"mlp with {a}": (MLP(hidden=(7, 5), activation=a), 3, 3, None) for a in ACTIVATIONS}
PROBLEMS |= {f"regression with {a}": (MLP(hidden=(6,), activation=a), 3, 0, None) for a in ACTIVATIONS}
PROBLEMS |= {
    f"cnn with {a}": (CNN(channels=(2, 3), activation=a), math.prod(PICTURE), 3, PICTURE) for a in ACTIVATIONS
}
each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
each_sharing = pytest.mark.parametrize("shared", [True, False], ids=["shared batch", "own batches"])
Problem = tuple[Model, int, int, tuple[int, int, int] | None]


def network(problem: Problem) -> Network:
    model, inputs, classes, picture = problem
    return Network(model.layers(inputs, classes or 1, picture), classes, picture)


def torchs_own(problem: Problem) -> nn.Sequential:
    return plain.network(*problem)


def load(module: nn.Module, flat: Tensor) -> nn.Module:
    module.to(flat.dtype)
    nn.utils.vector_to_parameters(flat, module.parameters())
    return module


def batch(problem: Problem, runs: int, rows: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs (runs, rows, d) and targets (runs, rows, C)."""
    _, inputs, classes, _ = problem
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(runs, rows, inputs, dtype=dtype, generator=source)
    if classes:
        return x, torch.eye(classes, dtype=dtype)[torch.randint(classes, (runs, rows), generator=source)]
    return x, torch.randn(runs, rows, 1, dtype=dtype, generator=source)


def stacked(net: Network, runs: int, dtype: torch.dtype) -> Tensor:
    source = torch.Generator().manual_seed(1)
    return torch.randn(runs, net.size, dtype=dtype, generator=source) * 0.7


def torchs_loss(module: nn.Module, x: Tensor, y: Tensor, classes: int) -> Tensor:
    if classes:
        return nn.functional.cross_entropy(module(x), y.argmax(-1))
    return nn.functional.mse_loss(module(x), y)


@each_sharing
@each_problem
def test_loss_and_gradient_equal_torch(problem: Problem, shared: bool) -> None:
    net, module = network(problem), torchs_own(problem)
    params = stacked(net, 3, torch.float64)
    x, y = batch(problem, 1 if shared else 3, 11, torch.float64)
    loss, grads = net.loss_and_gradient(params, x, y)
    outputs = net.predict(params, x)
    evaluated = net.loss(outputs, y)
    for run in range(3):
        load(module, params[run])
        own = 0 if shared else run
        theirs = torchs_loss(module, x[own], y[own], problem[2])
        slopes = torch.autograd.grad(theirs, list(module.parameters()))
        exact = {"rtol": 1e-12, "atol": 1e-12}
        torch.testing.assert_close(loss[run], theirs.detach(), **exact)
        torch.testing.assert_close(evaluated[run], theirs.detach(), **exact)
        torch.testing.assert_close(outputs[run], module(x[own]).detach(), **exact)
        torch.testing.assert_close(grads[run], nn.utils.parameters_to_vector(slopes), **exact)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_far_from_zero_a_bend_is_still_torchs(activation: str) -> None:
    problem = (MLP(hidden=(4,), activation=activation), 1, 0, None)
    net, module = network(problem), torchs_own(problem)
    params = torch.ones(1, net.size, dtype=torch.float64)
    x = torch.tensor([-1e4, -700.0, -40.0, -20.5, 0.0, 1e-9, 19.5, 40.0, 700.0, 1e4], dtype=torch.float64)
    x, y = x.reshape(1, -1, 1), torch.zeros(1, 10, 1, dtype=torch.float64)
    loss, grads = net.loss_and_gradient(params, x, y)
    load(module, params[0])
    theirs = torchs_loss(module, x[0], y[0], 0)
    slopes = nn.utils.parameters_to_vector(torch.autograd.grad(theirs, list(module.parameters())))
    torch.testing.assert_close(loss[0], theirs.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(grads[0], slopes, rtol=1e-12, atol=1e-12)


def test_a_loss_of_huge_outputs_is_finite_and_torchs() -> None:
    net = network(PROBLEMS["softmax regression"])
    params = stacked(net, 2, torch.float64) * 1e4
    x, y = batch(PROBLEMS["softmax regression"], 2, 5, torch.float64)
    loss, grads = net.loss_and_gradient(params, x, y)
    module = torchs_own(PROBLEMS["softmax regression"])
    assert bool(grads.isfinite().all())
    for run in range(2):
        load(module, params[run])
        theirs = torchs_loss(module, x[run], y[run], 3).detach()
        torch.testing.assert_close(loss[run], theirs, rtol=1e-12, atol=1e-12)


@each_problem
def test_the_first_weights_are_torchs_in_number_and_bit_for_bit(problem: Problem) -> None:
    for seed in (0, 1, 12345):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            theirs = nn.utils.parameters_to_vector(torchs_own(problem).parameters()).detach()
        assert network(problem).size == len(theirs)
        for dtype in (torch.float32, torch.float64):
            ours = network(problem).start(torch.Generator().manual_seed(seed), dtype)
            assert torch.equal(ours, theirs.to(dtype))


SIZES = [  # hidden, inputs, classes, rows
    ((16, 16), 2, 2, 32),
    ((7, 5), 3, 3, 13),
    ((7, 5), 3, 0, 21),
    ((1,), 1, 0, 5),
    ((3,), 13, 10, 1),
    ((33, 17), 30, 2, 32),
    ((10, 1), 5, 0, 3),
    ((2,), 1, 2, 100),
    ((1, 33), 5, 2, 32),
    ((), 13, 0, 32),
    ((), 30, 2, 7),
    ((), 1, 0, 1),
]


@each_sharing
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_run_alone_gives_what_it_gives_among_neighbours_bit_for_bit(activation: str, shared: bool) -> None:
    for (hidden, inputs, classes, rows), runs in itertools.product(SIZES, (2, 9, 40)):
        problem = (MLP(hidden=hidden, activation=activation) if hidden else Linear(), inputs, classes, None)
        net = network(problem)
        params = stacked(net, runs, torch.float32)
        x, y = batch(problem, 1 if shared else runs, rows, torch.float32)
        loss, grads = net.loss_and_gradient(params, x, y)
        outputs = net.predict(params, x)
        evaluated = net.loss(outputs, y)
        for run in {0, 1, runs - 1}:
            alone = params[run : run + 1].clone()
            own_x, own_y = (x, y) if shared else (x[run : run + 1].clone(), y[run : run + 1].clone())
            own_loss, own_grads = net.loss_and_gradient(alone, own_x, own_y)
            own_outputs = net.predict(alone, own_x)
            assert torch.equal(own_loss[0], loss[run])
            assert torch.equal(own_grads[0], grads[run])
            assert torch.equal(own_outputs[0], outputs[run])
            assert torch.equal(net.loss(own_outputs, own_y)[0], evaluated[run])


@each_problem
def test_parameters_that_lie_within_others_are_read_where_they_lie_and_nothing_is_changed(
    problem: Problem,
) -> None:
    net = network(problem)
    everything = stacked(net, 5, torch.float64)
    x, y = batch(problem, 1, 6, torch.float64)
    before = [t.clone() for t in (everything, x, y)]
    wider = torch.cat([everything, everything], 1)
    for within in (everything[2:4], everything[1::2], wider[1:3, : net.size], everything[3].expand(2, -1)):
        copied = within.clone()
        assert torch.equal(net.predict(within, x), net.predict(copied, x))
        for ours, theirs in zip(
            net.loss_and_gradient(within, x, y), net.loss_and_gradient(copied, x, y), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        net.loss(net.predict(within, x), y)
    assert all(torch.equal(a, b) for a, b in zip(before, (everything, x, y), strict=True))
    assert not everything.requires_grad


def test_the_models_are_these_in_this_order() -> None:
    assert list(MODELS) == ["linear", "mlp", "cnn"]
    assert MODELS["mlp"]() == MLP(hidden=(16, 16), activation="tanh")
    assert MLP(hidden=(3,)).layers(2, 1) == [Layer((3, 2), "tanh"), Layer((1, 3))]


def test_a_convolution_needs_pictures_and_pixels_enough() -> None:
    with pytest.raises(Unfit, match=r"model cnn needs an image dataset: digits or mnist5k"):
        CNN().layers(13, 1, None)
    with pytest.raises(Unfit, match=r"channels must be fewer: 3 poolings reduce 4 x 7 pixels to nothing"):
        CNN(channels=(4, 4, 4)).layers(28, 2, (1, 4, 7))


@pytest.mark.parametrize("hidden", [(), (0,), (300,), (16, 16.5), (1,) * 7])
def test_hidden_layers_out_of_range_are_answered_with_what_would_be_good(hidden: tuple[int, ...]) -> None:
    with pytest.raises(OutOfRange, match=r"hidden must be 1 to 6 whole numbers in \[1, 256\], such as 16,16"):
        MLP(hidden=hidden)


def test_an_unknown_activation_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"'rellu'\. Did you mean 'relu'\? There are: identity, relu,"):
        MLP(activation="rellu")
