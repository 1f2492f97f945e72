"""The models: what each one is made of. Their arithmetic, many runs at once, is in networks.py."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from core.registry import Choice, Entry, Registry, Widths, setting

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "tanh", "sigmoid", "softplus", "gelu", "silu")


@dataclass(frozen=True)
class Layer:
    """One layer with weights, shaped as torch.nn holds them.

    Attributes:
        weight: (out, in) for a dense layer, (out, in, 3, 3) for a convolution.
        activation: What follows it; "identity" for the last one.
    """

    weight: tuple[int, ...]
    activation: str = "identity"

    @property
    def outputs(self) -> int:
        return self.weight[0]

    @property
    def fan_in(self) -> int:
        size = 1
        for length in self.weight[1:]:
            size *= length
        return size

    @property
    def size(self) -> int:
        """The number of its weights and biases."""
        return self.outputs * (self.fan_in + 1)


class Unfit(ValueError):
    """A model that cannot take this data."""


@dataclass(frozen=True)
class Model(Entry):
    """A model that can be picked.

    Attributes:
        needs_images: Whether it takes pictures only.
    """

    needs_images: ClassVar[bool] = False

    def layers(
        self, inputs: int, outputs: int, image_shape: tuple[int, int, int] | None = None
    ) -> list[Layer]:
        """Its layers for `inputs` columns (or pictures of `image_shape`) and `outputs` values.

        Raises:
            Unfit: It needs pictures and the data has none.
        """
        raise NotImplementedError


MODELS: Registry[type[Model]] = Registry("model")

_activation = Choice(
    ACTIVATIONS, "tanh", "Non-linearity after each hidden layer; with identity the model stays linear."
)


@MODELS.add
@dataclass(frozen=True)
class Linear(Model):
    """One weight for each input and a bias: linear regression, or softmax regression for classes."""

    name = "linear"
    title = "Linear"

    def layers(
        self, inputs: int, outputs: int, image_shape: tuple[int, int, int] | None = None
    ) -> list[Layer]:
        return [Layer((outputs, inputs))]


@MODELS.add
@dataclass(frozen=True)
class MLP(Model):
    """Dense layers with an activation between them."""

    name = "mlp"
    title = "Multilayer perceptron"

    hidden: tuple[int, ...] = setting(
        Widths(
            (16, 16), most=6, low=1, high=256, help="Units of each hidden layer: 16,16 is two layers of 16."
        )
    )
    activation: str = setting(_activation)

    def layers(
        self, inputs: int, outputs: int, image_shape: tuple[int, int, int] | None = None
    ) -> list[Layer]:
        widths = (inputs, *self.hidden)
        body = [Layer((wide, narrow), self.activation) for narrow, wide in pairwise(widths)]
        return [*body, Layer((outputs, widths[-1]))]


@MODELS.add
@dataclass(frozen=True)
class CNN(Model):
    """Convolutions of 3 x 3, each followed by an activation and 2 x 2 max pooling, then a dense layer."""

    name = "cnn"
    title = "Convolutional network"
    needs_images = True

    channels: tuple[int, ...] = setting(
        Widths(
            (8, 16),
            most=3,
            low=1,
            high=64,
            help="Output channels of each convolution: 8,16 is two convolutions.",
        )
    )
    activation: str = setting(Choice(ACTIVATIONS, "relu", _activation.help))

    def layers(
        self, inputs: int, outputs: int, image_shape: tuple[int, int, int] | None = None
    ) -> list[Layer]:
        if image_shape is None:
            raise Unfit("model cnn needs an image dataset: digits or mnist5k.")
        depth, height, width = image_shape
        halvings = len(self.channels)
        if min(height, width) >> halvings < 1:
            raise Unfit(
                f"channels must be fewer: {halvings} poolings reduce {height} x {width} pixels to nothing."
            )
        depths = (depth, *self.channels)
        body = [Layer((out, into, 3, 3), self.activation) for into, out in pairwise(depths)]
        return [*body, Layer((outputs, depths[-1] * (height >> halvings) * (width >> halvings)))]
