"""The curvature of a config's own problem: of its inputs, exactly, and of any model at its first weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.config import Config
from core.stability import MAP_PAIRS, Moments, local_direction, moments

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.problem import Problem
    from core.networks import Network

Array = NDArray[np.float64]

ROWS_TIMES_SIZE = 1 << 22  # numbers of the rows' own Hessian products, 16 MB


class NoCurvature(ValueError):
    """A model that bends upward in no direction at its first weights; the text says what to do."""


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


def epoch_noise(rows: int, batch_size: int) -> Array:
    """The share of one row's scatter that each batch of a shuffled epoch has, (batches,).

    It is (n-B)/(n-1)/B of a batch of B rows. The last batch of an epoch is smaller where B does not divide n,
    and its share can be many times the others': with 405 rows in batches of 404 it is a single row.
    """
    whole, rest = divmod(rows, min(batch_size, rows))
    sizes = np.array([min(batch_size, rows)] * whole + [rest] * (rest > 0), dtype=np.float64)
    return (rows - sizes) / max(rows - 1, 1) / sizes


def config_moments(config: Config, batch_size: int | None = None) -> Moments:
    """What the limits of `core.stability` need of a config's problem, for its batch size or another.

    `core.stability` takes all batches as equally large. Here the scatter is so scaled that the answer is for
    the mean over the batches of an epoch (`epoch_noise`).

    For linear least squares they are the moments of its inputs, exact (of more than 32 directions the
    strongest pairs). For any other model they are those of one direction, the steepest at the first weights:
    its curvature, and for the noise of mini-batches how much the rows' own Hessians turn and stretch it,
    E|hv|² - |Hv|². On linear models, where it can be checked, limits made from that one direction are
    0.8 to 1.6 times the exact ones for batches of 8 and more, where ceilings without noise are up to 50 times
    too high; and they are local, since curvature moves while a network trains.

    Raises:
        NotATable: The inputs leave the range of floats unless they are scaled.
        NoCurvature: At the first weights the loss bends upward in no direction.
    """
    only = replace(problem_only(config), batch_size=1)
    known = input_moments(only) if least_squares(config) else local_moments(only)
    shares = epoch_noise(config.train_rows, config.batch_size if batch_size is None else batch_size)
    factor = shares.mean() / shares[0] if shares[0] > 0.0 else 1.0
    return known if factor == 1.0 else replace(known, fourth=known.fourth * factor)


@lru_cache(maxsize=8)
def input_moments(config: Config) -> Moments:
    """The moments of `inputs`, for batches of equal size."""
    return moments(inputs(config), MAP_PAIRS)


@lru_cache(maxsize=32)
def local_moments(config: Config) -> Moments:
    """The moments of the steepest direction at the first weights, for batches of equal size."""
    largest, vector, data, network, first = _steepest(config)
    if not 0.0 < largest < np.inf:
        raise NoCurvature(
            "At its initial weights this model has no positive curvature, so there is no stability limit: "
            "try another seed, or standardise the columns."
        )
    rows = max(8, min(256, len(data.x_train), ROWS_TIMES_SIZE // network.size))
    x, y = data.x_train[:rows, None], data.y_train[:rows, None]
    turned = _products(network, first.expand(len(x), -1), x, y)(vector)
    noise = float(((turned - turned.mean(0)) ** 2).sum(1).mean())
    alone = np.zeros(1, dtype=np.intp)
    fourth = np.array([[noise / largest**2]])
    return Moments(config.train_rows, largest, np.ones(1), alone, alone, fourth, exact=False)


@lru_cache(maxsize=32)
def _steepest(config: Config) -> tuple[float, Array, Problem, Network, Tensor]:
    """The largest curvature and its direction, and what they were found from; first weights (1, P)."""
    from core.engine.problem import WEIGHTS, generator, problem
    from core.networks import Network

    data = problem(config)
    network = Network(config.layers, config.dataset.classes, config.dataset.image_shape)
    rows, steps = (128, 12) if network.image_shape else (512, 20)  # a second at the most
    first = network.start(generator(config.seed, WEIGHTS))[None]
    products = _products(network, first, data.x_train[None, :rows], data.y_train[None, :rows])
    value, vector = local_direction(lambda v: products(v)[0], network.size, steps=steps)
    return value, vector, data, network, first


def _products(network: Network, params: Tensor, x: Tensor, y: Tensor) -> Callable[[Array], Array]:
    """v (P,) -> H v (R, P), of the loss on each of R batches x (R, B, d) at params (R, P)."""
    import torch

    at = params.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = network.loss(network.differentiable(at, x), y).sum()
        (gradient,) = torch.autograd.grad(loss, at, create_graph=True)

    def product(v: Array) -> Array:
        along = torch.from_numpy(v).to(at.dtype).expand(at.shape)
        (turned,) = torch.autograd.grad(gradient, at, along, retain_graph=True)
        image: Array = turned.double().numpy()
        return image

    return product
