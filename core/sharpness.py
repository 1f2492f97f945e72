"""The curvature of a config's own problem: of its inputs, exactly, and of any model at its first weights."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.config import Config
from core.stability import MAP_PAIRS, Moments, local_curvature, moments

Array = NDArray[np.float64]


def least_squares(config: Config) -> bool:
    """Whether it is linear least squares, of which all that is said about stability is exact."""
    return config.model.name == "linear" and not config.dataset.classes


def problem_only(config: Config) -> Config:
    """The same problem with everything that its curvature does not depend on at its default."""
    return Config(
        dataset=config.dataset,
        model=config.model,
        batch_size=min(config.batch_size, config.train_rows),
        seed=config.seed,
        scale=config.scale,
        valid_fraction=config.valid_fraction,
    )


def inputs(config: Config) -> Array:
    """The training inputs as a linear model sees them: scaled, with a column of ones, (n, d + 1)."""
    import torch

    from core.engine.problem import problem

    x = problem(config, torch.float64).x_train.numpy()
    return np.hstack([x, np.ones((len(x), 1))])


def input_moments(config: Config) -> Moments:
    """The moments of `inputs`, kept for the next question; of more than 32 directions the strongest pairs.

    Raises:
        NotATable: The inputs leave the range of floats unless they are scaled.
    """
    return _moments(problem_only(config.but(model="linear", batch_size=1)))


@lru_cache(maxsize=8)
def _moments(config: Config) -> Moments:
    return moments(inputs(config), MAP_PAIRS)


def sharpness(config: Config) -> float:
    """The largest Hessian eigenvalue of the loss at the first weights; it changes while the model trains."""
    return _sharpness(problem_only(config))


@lru_cache(maxsize=32)
def _sharpness(config: Config) -> float:
    import torch

    from core.engine.problem import WEIGHTS, generator, problem
    from core.networks import Network

    data = problem(config)
    network = Network(config.layers, config.dataset.classes, config.dataset.image_shape)
    rows, steps = (128, 12) if network.image_shape else (512, 20)  # a second at the most
    x, y = data.x_train[None, :rows], data.y_train[None, :rows]
    first = network.start(generator(config.seed, WEIGHTS))[None].requires_grad_()
    with torch.enable_grad():
        loss = network.loss(network.differentiable(first, x), y).sum()
        (gradient,) = torch.autograd.grad(loss, first, create_graph=True)

    def product(v: Array) -> Array:
        along = torch.from_numpy(v).to(first.dtype)[None]
        (turned,) = torch.autograd.grad(gradient, first, along, retain_graph=True)
        image: Array = turned[0].double().numpy()
        return image

    return local_curvature(product, first.numel(), steps=steps)[0]
