"""How far learning rate and momentum can be pushed on given data, from the data alone, before training."""

from core.stability.local import local_curvature, local_direction
from core.stability.minibatch import MAP_PAIRS, growth_rate, learning_rate_limit, learning_rate_limits
from core.stability.quadratic import (
    Best,
    Damping,
    best_for_quadratic,
    best_without_momentum,
    damping,
    full_batch_limit,
    noise_floor,
    one_dimensional_limit,
    steps_to,
)
from core.stability.spectrum import Curvature, Moments, NotATable, curvature, moments

__all__ = [
    "MAP_PAIRS",
    "Best",
    "Curvature",
    "Damping",
    "Moments",
    "NotATable",
    "best_for_quadratic",
    "best_without_momentum",
    "curvature",
    "damping",
    "full_batch_limit",
    "growth_rate",
    "learning_rate_limit",
    "learning_rate_limits",
    "local_curvature",
    "local_direction",
    "moments",
    "noise_floor",
    "one_dimensional_limit",
    "steps_to",
]
