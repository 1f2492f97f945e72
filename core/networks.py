"""The models' arithmetic, many runs at once: one flat tensor (R, P) whose views are the layers.

R runs, P numbers in one run's parameters, B rows in a batch, C outputs. Weights lie in the flat tensor as
torch.nn holds them: for each layer the weight, then the bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional

from core.models import Layer

aten = torch.ops.aten

Shape = tuple[int, int, int]

LANES = 32  # the vector kernels take so many numbers at once and leave the rest to other code


@dataclass(frozen=True)
class Activation:
    """An activation and its backward: the product of its slope with the upstream gradient.

    Attributes:
        forward: z -> a, any shape.
        backward: (gradient at a, z, a) -> gradient at z.
        in_place: As `forward`, from `stretch` times z, which it may overwrite if `backward` does not use z.
        stretch: A power of two.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    in_place: Callable[[Tensor], Tensor]
    stretch: int = 1


def _tanh_of_half(z: Tensor) -> Tensor:
    """tanh(z / 2) = 2 σ(z) - 1 in place of z: to rounding, and several times as fast here as tanh."""
    return torch.add(MINUS_ONE, z.sigmoid_(), alpha=2, out=z)


MINUS_ONE = torch.tensor(-1.0)
FORMS: dict[str, Activation] = {
    "relu": Activation(torch.relu, lambda g, z, a: aten.threshold_backward(g, a, 0), torch.relu_),
    "leaky_relu": Activation(
        functional.leaky_relu,
        lambda g, z, a: aten.leaky_relu_backward(g, z, 0.01, False),
        functional.leaky_relu,
    ),
    "elu": Activation(
        functional.elu, lambda g, z, a: aten.elu_backward(g, 1.0, 1, 1, True, a), functional.elu
    ),
    "tanh": Activation(torch.tanh, lambda g, z, a: aten.tanh_backward(g, a), _tanh_of_half, stretch=2),
    "sigmoid": Activation(torch.sigmoid, lambda g, z, a: aten.sigmoid_backward(g, a), torch.sigmoid_),
    "softplus": Activation(
        functional.softplus, lambda g, z, a: aten.softplus_backward(g, z, 1, 20), functional.softplus
    ),
    "gelu": Activation(functional.gelu, lambda g, z, a: aten.gelu_backward(g, z), functional.gelu),
    "silu": Activation(functional.silu, lambda g, z, a: aten.silu_backward(g, z), functional.silu),
}


class Network:
    """A model's layers as functions of a stack of flat parameters.

    Args:
        layers: What the model is made of.
        classes: Number of classes; 0 for regression, which has one output and squared error.
        image_shape: (channels, height, width) when the first layer is a convolution.

    Attributes:
        size: P, the number of parameters of one run.
    """

    def __init__(self, layers: Sequence[Layer], classes: int, image_shape: Shape | None = None) -> None:
        self.layers = list(layers)
        self.classes = classes
        self.image_shape = image_shape if len(layers[0].weight) == 4 else None
        *self.starts, self.size = accumulate((layer.size for layer in layers), initial=0)

    def start(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
        """Initial parameters (P,), drawn in the order and from the intervals of torch.nn's layers.

        With a generator of seed s they are what `torch.manual_seed(s)` and torch.nn.Linear or Conv2d give.

        References:
            torch.nn.Linear.reset_parameters: uniform in ±1/√fan_in for weights and biases alike.
        """
        flat = torch.empty(self.size, dtype=torch.float32)
        for layer, begin in zip(self.layers, self.starts, strict=True):
            weight = math.sqrt(3.0) * (math.sqrt(2.0 / 6.0) / math.sqrt(layer.fan_in))
            bias = 1 / math.sqrt(layer.fan_in)
            middle, end = begin + layer.outputs * layer.fan_in, begin + layer.size
            flat[begin:middle].uniform_(-weight, weight, generator=generator)
            flat[middle:end].uniform_(-bias, bias, generator=generator)
        return flat.to(dtype)

    def predict(self, params: Tensor, x: Tensor) -> Tensor:
        """Outputs (R, B, C) of R runs for inputs (R, B, d) or (1, B, d); C is 1 for regression."""
        return self._convolved(params, x) if self.image_shape else self._dense(params, x)[-1]

    def differentiable(self, params: Tensor, x: Tensor) -> Tensor:
        """As `predict`, in operations that autograd can follow, twice if need be; for curvature."""
        if self.image_shape:
            return self._convolved(params, x)
        a = x.expand(params.shape[0], -1, -1)
        for k, layer in enumerate(self.layers):
            a = torch.baddbmm(self._bias(params, k), a, self._weight(params, k).mT)
            a = FORMS[layer.activation].forward(a) if layer.activation in FORMS else a
        return a

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss (R,) of outputs (R, B, C): squared error, or cross-entropy with one-hot targets."""
        if self.classes:
            shifted = outputs - outputs.detach().amax(-1, keepdim=True)
            return _cross_entropy(shifted, shifted.exp().sum(-1, keepdim=True), targets)
        return (outputs - targets).square().mean((1, 2))

    def answers(self, outputs: Tensor) -> Tensor:
        """The class (R, B) that each row of outputs (R, B, C) is taken for; the first of equals."""
        if self.classes == 2:
            return (outputs[..., 1] > outputs[..., 0]).long()  # ten times as fast as argmax of two
        return outputs.argmax(-1)

    def loss_and_gradient(self, params: Tensor, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (R,) and its gradient (R, P) for each run.

        Args:
            params: (R, P).
            x: Inputs, (R, B, d), or (1, B, d) when all runs see the same batch.
            targets: (R, B, C) or (1, B, C): values, or one-hot classes.
        """
        if self.image_shape:
            return self._by_autograd(params, x, targets)
        trail = self._dense(params, x)
        loss, upstream = self._head(trail[-1], targets)
        return loss, self._back(params, trail, upstream)

    def _weight(self, flat: Tensor, k: int) -> Tensor:
        layer = self.layers[k]  # (R, out, in), a view
        begin = flat.storage_offset() + self.starts[k]
        sizes = (flat.shape[0], layer.outputs, layer.fan_in)
        return flat.as_strided(sizes, (flat.stride(0), layer.fan_in, 1), begin)

    def _bias(self, flat: Tensor, k: int) -> Tensor:
        layer = self.layers[k]  # (R, 1, out), a view
        begin = flat.storage_offset() + self.starts[k] + layer.outputs * layer.fan_in
        return flat.as_strided((flat.shape[0], 1, layer.outputs), (flat.stride(0), layer.outputs, 1), begin)

    def _dense(self, params: Tensor, x: Tensor) -> list[Tensor]:
        """What each layer sees and makes: x, then z and a for every hidden layer, then the outputs."""
        a = x.expand(params.shape[0], -1, -1)
        trail = [a]
        for k, layer in enumerate(self.layers):
            activation = FORMS.get(layer.activation)
            stretch = activation.stretch if activation else 1
            z = _product(a, self._weight(params, k).mT, self._bias(params, k), stretch)
            a = _each(activation.in_place, z) if activation else z
            trail += [z, a]
        return trail[:-1]

    def _head(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        rows = outputs.shape[1]
        if self.classes:
            shifted = outputs - outputs.amax(-1, keepdim=True)
            chances = shifted.exp()
            total = chances.sum(-1, keepdim=True)
            loss = _cross_entropy(shifted, total, targets)
            return loss, chances.div_(total).sub_(targets).div_(rows)
        error = outputs - targets
        return error.square().mean((1, 2)), error.mul_(2 / rows)

    def _back(self, params: Tensor, trail: list[Tensor], upstream: Tensor) -> Tensor:
        grads = torch.empty_like(params)
        for k in range(len(self.layers) - 1, -1, -1):
            a = trail[2 * k]
            self._weight(grads, k).copy_(_product(upstream.mT, a))  # bmm into the view is 4 times slower
            torch.sum(upstream, 1, keepdim=True, out=self._bias(grads, k))
            if k:
                upstream = _product(upstream, self._weight(params, k))
                activation = self.layers[k - 1].activation
                if activation != "identity":
                    upstream = _each(FORMS[activation].backward, upstream, trail[2 * k - 1], a)
        return grads

    def _convolved(self, params: Tensor, x: Tensor) -> Tensor:
        """As `predict`, for convolutions: the runs are the groups of one grouped convolution."""
        assert self.image_shape is not None
        runs, (rows, depth, height, width) = params.shape[0], (x.shape[1], *self.image_shape)
        shared = x.shape[0] == 1
        a = x.reshape(-1, rows, depth, height, width).transpose(0, 1).reshape(rows, -1, height, width)
        for k, layer in enumerate(self.layers[:-1]):
            weight = self._weight(params, k).reshape(-1, *layer.weight[1:])
            groups = 1 if shared and k == 0 else runs
            a = functional.conv2d(a, weight, self._bias(params, k).reshape(-1), padding=1, groups=groups)
            form = FORMS.get(layer.activation)
            a = functional.max_pool2d(form.forward(a) if form else a, 2)
        a = a.reshape(rows, runs, -1).transpose(0, 1)
        last = len(self.layers) - 1
        return torch.baddbmm(self._bias(params, last), a, self._weight(params, last).mT)

    def _by_autograd(self, params: Tensor, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        leaf = params.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(self._convolved(leaf, x), targets)
            (grads,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), grads


def _cross_entropy(shifted: Tensor, total: Tensor, targets: Tensor) -> Tensor:
    """Mean (R,) over the rows of log Σ exp(outputs) minus the right output, both less the largest one."""
    return (total.log().sum((1, 2)) - (shifted * targets).sum((1, 2))) / shifted.shape[1]


def _each(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """An element-wise function of tensors of one shape, whose numbers do not depend on how many there are.

    The rest that does not fill a vector is rounded differently; so it is filled up.
    """
    size = tensors[0].numel()
    rest = -size % LANES
    if not rest:
        return function(*tensors)
    filled = (functional.pad(t.reshape(-1), (0, rest)) for t in tensors)
    return function(*filled)[:size].view_as(tensors[0])


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None, stretch: int = 1) -> Tensor:
    """Batched stretch · (a @ b + bias), whose numbers do not depend on how many runs there are.

    A single matrix times a vector goes to another kernel that adds in another order; so it is made twice.
    """
    if a.shape[0] == 1 and 1 in (a.shape[1], b.shape[2]):
        a, b = a.expand(2, -1, -1), b.expand(2, -1, -1)
        bias = bias if bias is None else bias.expand(2, -1, -1)
        return _product(a, b, bias, stretch)[:1]
    return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b, beta=stretch, alpha=stretch)
