"""The oracle of engine, networks and rules: models and runs of a tutorial, from torch alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.config import Config
from core.engine import Training
from core.models import CNN, MLP, Model
from core.optimizers import Optimizer

ACTIVATIONS = {
    **{"identity": nn.Identity, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "tanh": nn.Tanh},
    **{"sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "gelu": nn.GELU, "silu": nn.SiLU},
}
WORDS = {
    "learning_rate": "lr",
    "epsilon": "eps",
    "learning_rate_decay": "lr_decay",
    "initial_accumulator": "initial_accumulator_value",
}
KINDS = {"rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}


def network(model: Model, inputs: int, classes: int, picture: tuple[int, int, int] | None) -> nn.Sequential:
    """A model made of torch.nn modules; 0 classes: one number."""
    parts: list[nn.Module] = []
    if isinstance(model, CNN) and picture:
        depth, height, width = picture
        parts.append(nn.Unflatten(1, picture))
        for channels in model.channels:
            parts += [
                nn.Conv2d(depth, channels, 3, padding=1),
                ACTIVATIONS[model.activation](),
                nn.MaxPool2d(2),
            ]
            depth, height, width = channels, height // 2, width // 2
        parts.append(nn.Flatten())
        inputs = depth * height * width
    elif isinstance(model, MLP):
        for wide in model.hidden:
            parts += [nn.Linear(inputs, wide), ACTIVATIONS[model.activation]()]
            inputs = wide
    return nn.Sequential(*parts, nn.Linear(inputs, classes or 1))


def optimizer(rule: Optimizer, params: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of torch.optim that a rule stands for."""
    numbers = {WORDS.get(key, key): getattr(rule, key) for key in rule.settings()}
    if "beta1" in numbers:
        numbers["betas"] = (numbers.pop("beta1"), numbers.pop("beta2"))
    if rule.name == "nesterov":
        numbers["nesterov"] = numbers["momentum"] > 0
    made: torch.optim.Optimizer = getattr(torch.optim, KINDS.get(rule.name, "SGD"))(params, **numbers)
    return made


def finished(training: Training) -> Training:
    """A training of the engine, at its end."""
    while training.active:
        training.advance()
    return training


@dataclass
class Plain:
    """What a plain loop saw: a row for each epoch, parameters after each step, each step's batch loss."""

    rows: list[tuple[float, ...]] = field(default_factory=list)
    params: list[Tensor] = field(default_factory=list)
    batch_loss: list[float] = field(default_factory=list)


def split(c: Config) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_train, y_train, x_valid, y_valid in double, standardised as the design says."""
    x = torch.tensor(c.dataset.features)
    y = torch.tensor(c.dataset.targets)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3 * c.seed))
    held = round(len(x) * c.valid_fraction)
    valid, train = order[:held], order[held:]
    if c.scale:
        over = None if c.dataset.image_shape else 0
        mean, spread = x[train].mean(over), x[train].std(over, correction=0)
        x = (x - mean) / torch.where(spread > 1e-9, spread, 1.0)
        if not c.dataset.classes:
            y = (y - y[train].mean()) / y[train].std(correction=0)
    return x[train], y[train], x[valid], y[valid]


def loss_of(net: nn.Module, x: Tensor, y: Tensor, classes: int) -> Tensor:
    out = net(x)
    return nn.functional.cross_entropy(out, y) if classes else nn.functional.mse_loss(out[:, 0], y)


def score(net: nn.Module, x: Tensor, y: Tensor, classes: int) -> tuple[float, float]:
    if not len(x):
        return math.nan, math.nan
    with torch.no_grad():
        loss = float(loss_of(net, x, y, classes))
        if classes:
            return loss, float((net(x).argmax(1) == y).double().mean())
        spread = float(y.var(correction=0))
        return loss, 1 - loss / spread if spread else math.nan


def batches(c: Config, rows: int) -> Iterator[Tensor]:
    """The rows of each mini-batch, epoch after epoch."""
    source = torch.Generator().manual_seed(3 * c.seed + 2)
    while True:
        everything = c.batch_size >= rows
        order = torch.arange(rows) if everything else torch.randperm(rows, generator=source)
        yield from order.split(c.batch_size)  # type: ignore[no-untyped-call]


def plain(
    c: Config,
    scheduler: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] | None = None,
    before: Callable[[int, torch.optim.Optimizer], torch.optim.Optimizer] = lambda step, rule: rule,
) -> Plain:
    """Trains as a tutorial would, in double; `before` may change or exchange the rule before each step.

    Args:
        c: The run.
        scheduler: Makes torch's own of the rule.
        before: Is given the step, counted from 0, and the rule.
    """
    x, y, x_valid, y_valid = split(c)
    classes = c.dataset.classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3 * c.seed + 1)
        net = network(c.model, c.dataset.inputs, classes, c.dataset.image_shape).double()
    rule = optimizer(c.optimizer, list(net.parameters()))
    moving = scheduler(rule) if scheduler else None
    seen = Plain()

    def note(epoch: int, step: int, norm: float) -> None:
        (train, metric), (valid, valid_metric) = (
            score(net, x, y, classes),
            score(net, x_valid, y_valid, classes),
        )
        seen.rows.append((epoch, step, train, valid, metric, valid_metric, norm))

    note(0, 0, math.nan)
    seen.params.append(nn.utils.parameters_to_vector(net.parameters()).detach().clone())
    per_epoch = -(-len(x) // c.batch_size)
    for step, rows in enumerate(itertools.islice(batches(c, len(x)), c.epochs * per_epoch)):
        rule = before(step, rule)
        rule.zero_grad()
        loss = loss_of(net, x[rows], y[rows], classes)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.cat([p.grad.reshape(-1) for p in net.parameters() if p.grad is not None]).norm())
        rule.step()
        if moving:
            moving.step()
        seen.batch_loss.append(float(loss.detach()))
        seen.params.append(nn.utils.parameters_to_vector(net.parameters()).detach().clone())
        if (step + 1) % per_epoch == 0:
            note((step + 1) // per_epoch, step + 1, norm)
    return seen
