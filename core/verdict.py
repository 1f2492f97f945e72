"""From records to plain sentences: what a run did, how far its learning rate may go, and why it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.config import Config
from core.history import DIVERGED, FINISHED, Record
from core.optimizers import SGD, Momentum, Nesterov

FALLING = 0.01  # a loss that changes by less than this share in the last fifth of a run counts as level
EXACT, LOCAL = "exact", "local"


@dataclass(frozen=True)
class Ceiling:
    """The largest learning rate that holds.

    Attributes:
        learning_rate: Above it the loss grows without end.
        kind: "exact" for linear least squares, from the data alone; "local" where it comes from the
            curvature at the first weights and changes as the model trains.
    """

    learning_rate: float
    kind: str

    @property
    def safe(self) -> float:
        """A rate at which no measured run diverged, 0.7 times the ceiling, in two digits."""
        return float(f"{0.7 * self.learning_rate:.1e}")


def ceiling(config: Config) -> Ceiling | None:
    """The largest learning rate for the data, model, batch size and momentum of a config.

    For linear least squares it is the mini-batch second-moment limit (core.stability), otherwise the
    full-batch ceiling of the largest Hessian eigenvalue at the first weights. None for rules that scale each
    parameter by its gradients: they have no such ceiling.
    """
    rule = config.optimizer
    if isinstance(rule, SGD):
        return _ceiling(_problem_only(config), 0.0, False, 1.0)
    if isinstance(rule, Momentum):
        kept = 1 - rule.dampening if rule.momentum else 1.0
        return _ceiling(_problem_only(config), rule.momentum, False, kept)
    if isinstance(rule, Nesterov):
        return _ceiling(_problem_only(config), rule.momentum, True, 1.0)
    return None


def _problem_only(config: Config) -> Config:
    """The same problem with everything that the ceiling does not depend on at its default."""
    return Config(
        dataset=config.dataset,
        model=config.model,
        batch_size=min(config.batch_size, config.train_rows),
        seed=config.seed,
        scale=config.scale,
        valid_fraction=config.valid_fraction,
    )


@lru_cache(maxsize=128)
def _ceiling(config: Config, momentum: float, nesterov: bool, kept: float) -> Ceiling | None:
    from core.stability import full_batch_limit, learning_rate_limit

    if kept == 0:
        return None
    if config.model.name == "linear" and not config.dataset.classes:
        limit = learning_rate_limit(_inputs(config), config.batch_size, momentum, nesterov)
        return Ceiling(limit / kept, EXACT) if np.isfinite(limit) and limit > 0 else None
    largest = _sharpness(config)
    return Ceiling(full_batch_limit(largest, momentum, nesterov) / kept, LOCAL) if largest > 0 else None


def _inputs(config: Config) -> np.ndarray:
    """The scaled training inputs with a column of ones, (n, d + 1)."""
    from core.engine.problem import problem

    x = problem(config).x_train.double().numpy()
    return np.hstack([x, np.ones((len(x), 1))])


@lru_cache(maxsize=32)
def _sharpness(config: Config) -> float:
    """The largest Hessian eigenvalue of the loss at the first weights, by differences of gradients."""
    import torch

    from core.engine.problem import WEIGHTS, generator, problem
    from core.networks import Network
    from core.stability import local_curvature

    data = problem(config, torch.float64)
    network = Network(config.layers, config.dataset.classes, config.dataset.image_shape)
    first = network.start(generator(config.seed, WEIGHTS), torch.float64)
    x, y = data.x_train[None, :512], data.y_train[None, :512]
    width = 1e-4 * (1 + float(first.norm())) / float(first.numel()) ** 0.5

    def product(v: np.ndarray) -> np.ndarray:
        shift = torch.from_numpy(v) * (width / float(np.linalg.norm(v)))
        _, grads = network.loss_and_gradient(torch.stack([first + shift, first - shift]), x, y)
        change: np.ndarray = (grads[0] - grads[1]).numpy() * (float(np.linalg.norm(v)) / (2 * width))
        return change

    return local_curvature(product, first.numel(), steps=20)[0]


def verdict(config: Config, records: Sequence[Record], limit: Ceiling | None = None) -> str:
    """One or two sentences on how a run went, also while it goes on.

    Args:
        config: What was run, with the learning rate that it has now.
        records: One for each epoch so far, epoch 0 first; may be empty.
        limit: The largest learning rate that holds, when it is known.
    """
    if not records:
        return "Not started."
    last, first = records[-1], records[0]
    if last.status == DIVERGED:
        return f"{_lost(last)} {why_lost(config, limit)}"
    if last.epoch == 0:
        return f"Before training the loss is {digits(first.train_loss)}."
    return " ".join(filter(None, [_reached(config, records), _trend(records), _within(config, limit)]))


def why_lost(config: Config, limit: Ceiling | None) -> str:
    """The cause of a divergence, with how far above the limit the learning rate was."""
    rate = config.optimizer.learning_rate
    if limit is None:
        return (
            f"Learning rate {digits(rate)} is too large here for {config.optimizer.title}; try a tenth of it."
        )
    times = rate / limit.learning_rate
    where = "for this data" if limit.kind == EXACT else "at the first weights"
    known = f"the largest that holds {where} is about {digits(limit.learning_rate)}"
    if times > 1:
        return f"Learning rate {digits(rate)} is {_times(times)} too large: {known}."
    return (
        f"Learning rate {digits(rate)} was too large on the way although {known}: curvature grew in training."
    )


def digits(number: float) -> str:
    """A number in three significant digits, without an exponent where that is short."""
    if number == 0 or not np.isfinite(number):
        return "0" if number == 0 else str(number)
    if 1e-4 <= abs(number) < 1e6:
        decimals = max(0, 2 - int(np.floor(np.log10(abs(number)))))
        text = f"{number:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{number:.2e}"


def _times(times: float) -> str:
    return f"{digits(times)} times" if times >= 2 else f"{100 * (times - 1):.0f} %"


def _lost(last: Record) -> str:
    after = (
        "before its first update" if last.step == 0 else f"after {last.step:,} update{'s' * (last.step > 1)}"
    )
    return f"Diverged in epoch {last.epoch}, {after}."


def _judged(records: Sequence[Record]) -> tuple[str, list[float]]:
    """The loss that counts, by name: of the validation part when there is one."""
    if np.isfinite(records[-1].valid_loss):
        return "Validation loss", [r.valid_loss for r in records]
    return "Training loss", [r.train_loss for r in records]


def _reached(config: Config, records: Sequence[Record]) -> str:
    name, losses = _judged(records)
    last = records[-1]
    metric = last.valid_metric if np.isfinite(last.valid_loss) else last.train_metric
    change = losses[-1] / losses[0] - 1 if losses[0] > 0 else 0.0
    moved = f"down {-100 * change:.0f} %" if change < 0 else f"up {100 * change:.0f} %"
    if config.dataset.classes:
        score = f"{100 * metric:.1f} % right"
    else:
        score = f"R² {metric:.2f}" if metric > 0 else "no better than predicting the mean"
    ended = "in the end" if last.status == FINISHED else f"in epoch {last.epoch}"
    return f"{name} {digits(losses[-1])} {ended}, {moved} from {digits(losses[0])}; {score}."


def _trend(records: Sequence[Record]) -> str:
    """What the last fifth of the run does, and whether the best lies behind it."""
    if len(records) < 6:
        return ""
    back = max(3, len(records) // 5)
    train = _smooth([r.train_loss for r in records], back)
    valid = _smooth(_judged(records)[1], back)
    best = int(np.argmin(valid))
    if valid[-1] > 1.05 * valid[best] and train[-1] < train[best] * (1 - FALLING):
        return f"Validation was best around epoch {records[best].epoch}; since then it overfits."
    if train[-1] < train[-1 - back] * (1 - FALLING):
        return "Training loss is still falling."
    return (
        "Training loss is rising."
        if train[-1] > train[-1 - back] * (1 + 5 * FALLING)
        else "It has levelled off."
    )


def _smooth(losses: list[float], width: int) -> np.ndarray:
    """Means of the last `width` values, fewer at the beginning."""
    return np.array([np.mean(losses[max(0, k + 1 - width) : k + 1]) for k in range(len(losses))])


def _within(config: Config, limit: Ceiling | None) -> str:
    if limit is None:
        return ""
    share = config.optimizer.learning_rate / limit.learning_rate
    where = "here" if limit.kind == EXACT else "at the first weights"
    known = f"The largest learning rate that holds {where} is about {digits(limit.learning_rate)}."
    return f"{known} This one is above it." if share > 1 else known
