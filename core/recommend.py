"""Which learning rate and momentum for this data, model and batch size, and what runs say to that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from core.config import Config
from core.history import DIVERGED
from core.maps import SAFE, is_nesterov, limits, with_rule
from core.registry import OutOfRange
from core.sharpness import config_moments, inputs, least_squares
from core.stability import learning_rate_limits
from core.verdict import EXACT, LOCAL, digits

if TYPE_CHECKING:
    from core.engine import Training

Array = NDArray[np.float64]

SHRINK = 0.02  # the target: what is left of the excess loss
MOMENTA = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99)
SHARES = SAFE * 2.0 ** (-np.arange(16) / 2.0)  # of the limit: the learning rates that are weighed
PATIENCE = 20_000  # steps that are looked ahead at most
WORTH = 0.9  # momentum is recommended when it needs fewer steps than this share of those without
FACTORS = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
THUMB = 0.1  # of the limit: the rate that the rule of thumb takes
CHECKED = (0.5, 1.0, 1.5)  # of FACTORS; the others show how wide the good region is
SEEDS = 5
GOOD = 1.1  # a rate is good whose last loss is at most so many times the best rate's


class NoCard(ValueError):
    """A model whose batch sizes cannot be weighed without training."""


@dataclass(frozen=True)
class Recommendation:
    """A setting and what is expected of it.

    Attributes:
        learning_rate, momentum: The setting; of Nesterov's rule where the config's is that, else heavy ball.
        steps: Expected updates until the excess training loss has shrunk to SHRINK; inf when not within
            PATIENCE, nan where there is no theory.
        epochs: The same in passes over the training part.
        limit: The largest learning rate that holds with this momentum.
        reason: Why, in two or three sentences; also whether momentum buys anything.
        kind: "exact" for linear least squares, "local" for a rule of thumb from the first weights.
        target: The training loss that counts as reached; nan where there is no theory.
        plain: The expected updates of the best setting without momentum.
    """

    learning_rate: float
    momentum: float
    steps: float
    epochs: float
    limit: float
    reason: str
    kind: str = EXACT
    target: float = float("nan")
    plain: float = float("nan")

    def config(self, config: Config) -> Config:
        """The config with this setting."""
        return with_rule(config, self.learning_rate, self.momentum)


@dataclass(frozen=True, eq=False)
class _Start:
    """Linear least squares in the eigenbasis of its Hessian, r directions that are not flat.

    Attributes:
        eigenvalues: λ, (r,).
        error: The first weights' distance from the best ones, (r,).
        floor: The loss of the best weights.
        scatter: E[hPh] - HPH on diagonals, (r, r), of one row's Hessian h.
        skew: How a mean error changes the gradient's scatter, (r, r).
        noise: The gradient's scatter at the best weights, (r,).
        share: The share of one row's scatter that a batch has.
    """

    eigenvalues: Array
    error: Array
    floor: float
    scatter: Array
    skew: Array
    noise: Array
    share: float


def recommend(config: Config) -> Recommendation:
    """Learning rate and momentum for a config's data, model and batch size, before any training.

    For linear least squares the expected training loss is followed step by step (`expected_loss`: the mean
    error along each direction, and its variance from the batches' noise) for MOMENTA and for learning rates
    from 0.7 times the mini-batch limit downward; the setting that is first to bring the excess loss to
    SHRINK of what it was, and keeps it there, is taken. Thus large steps lose where their noise floor lies
    above the target. Momentum is recommended only when it saves a tenth of the steps.

    For other models it is a rule of thumb: momentum 0.9 at a tenth of the limit that the curvature at the
    first weights and its scatter from row to row give, since curvature grows in training. On moons, Boston
    and digits (MLP, MLP, CNN) that lay within, or beside, the rates that ended best.

    Raises:
        NoCurvature, NotATable: See `core.sharpness.config_moments`.
    """
    return _exact(config) if least_squares(config) else _thumb(config)


def _exact(config: Config) -> Recommendation:
    momenta, start = np.array(MOMENTA), _start(config)
    limit = limits(config, momenta)
    rates = (limit[:, None] * SHARES).ravel()
    cells = np.repeat(momenta, len(SHARES))
    aim = SHRINK * float(start.error**2 @ start.eigenvalues) / 2.0
    steps = _times(start, rates, cells, is_nesterov(config), aim, limit=PATIENCE)
    fastest = int(np.argmin(steps))
    plain = int(np.argmin(np.where(cells == 0.0, steps, np.inf)))
    chosen = fastest if steps[fastest] < WORTH * steps[plain] else plain
    rate = _two_digits(rates[chosen])
    momentum, needed = float(cells[chosen]), float(steps[chosen])
    of_limit = float(limit[chosen // len(SHARES)])
    return Recommendation(
        learning_rate=rate,
        momentum=momentum,
        steps=needed,
        epochs=needed / config.steps_per_epoch,
        limit=of_limit,
        reason=_reason(config, momentum, rate / of_limit, needed, float(steps[plain])),
        target=start.floor + aim,
        plain=float(steps[plain]),
    )


def _reason(config: Config, momentum: float, share: float, steps: float, plain: float) -> str:
    at = f"The rate is {digits(share)} times the largest that holds for this data and batch size."
    if math.isinf(steps):
        return (
            f"{at} No setting brings the loss {1 - SHRINK:.0%} of the way down within {PATIENCE:,} steps: "
            + ("curvatures differ too much." if config.scale else "scale the columns.")
        )
    if not momentum:
        return (
            f"Momentum buys no speed here at batch size {config.batch_size}: without it {_steps(plain)} are "
            f"expected, and no setting with it needs a tenth less. {at}"
        )
    without = "more than can be waited for" if math.isinf(plain) else f"{plain:,.0f}"
    return f"Momentum {momentum:g} is expected to need {_steps(steps)}, without it {without}. {at}"


def _steps(count: float) -> str:
    return f"{count:,.0f} step{'s' * (count != 1)}"


def _thumb(config: Config) -> Recommendation:
    momentum = 0.9
    limit = float(limits(config, np.array([momentum]))[0])
    rate = _two_digits(THUMB * limit)
    reason = (
        f"A rule of thumb, not a promise: momentum 0.9, at {digits(THUMB)} times the limit that the "
        "curvature at the first weights gives. Curvature changes while this model trains, so check it."
    )
    unknown = float("nan")
    return Recommendation(rate, momentum, unknown, unknown, limit, reason, kind=LOCAL)


def expected_loss(
    config: Config, learning_rates: ArrayLike, momenta: ArrayLike, steps: int, nesterov: bool = False
) -> Array:
    """The training loss to be expected of linear least squares from the config's first weights.

    Mean and variance of the error along each eigen-direction obey a recursion in which the batches' noise is
    the gradient's scatter: from the residuals, and from the error itself through the rows' own curvatures.
    What directions share beyond that (their covariance) is left out.

    Args:
        config: Linear least squares.
        learning_rates, momenta: (K,), one for each curve.
        steps: How far.

    Returns:
        (K, steps + 1), the first column before training.
    """
    start = _start(config)
    rates, betas = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (learning_rates, momenta))
    flow = _flow(start, rates, betas, nesterov)
    with np.errstate(over="ignore", invalid="ignore"):  # above the limit
        return start.floor + np.stack([next(flow) for _ in range(steps + 1)], axis=1)


def _start(config: Config) -> _Start:
    import torch

    from core.engine.problem import WEIGHTS, generator, problem
    from core.networks import Network

    X, y = inputs(config), problem(config, torch.float64).y_train.numpy()[:, 0]
    rows, known = len(X), config_moments(config)
    network = Network(config.layers, 0)
    first = network.start(generator(config.seed, WEIGHTS)).double().numpy()
    _, values, basis = np.linalg.svd(X, full_matrices=False)
    basis = basis[: len(known.eigenvalues)]
    weights = np.linalg.lstsq(X, y, rcond=None)[0]
    residual = y - X @ weights
    Z = X @ basis.T
    curvatures = 2.0 / rows * values[: len(basis)] ** 2
    squares, size = Z**2, min(config.batch_size, rows)
    return _Start(
        eigenvalues=curvatures,
        error=basis @ (first - weights),
        floor=float((residual**2).mean()),
        scatter=4.0 / rows * squares.T @ squares - np.diag(curvatures**2),
        skew=-8.0 / rows * squares.T @ (residual[:, None] * Z),
        noise=4.0 / rows * squares.T @ residual**2,
        share=0.0 if size == rows else (rows - size) / (rows - 1) / size,
    )


def _flow(start: _Start, rates: Array, betas: Array, nesterov: bool) -> Iterator[Array]:
    """The expected excess loss (K,) before each step, for ever; one curve for each rate and momentum.

    z = (error, step) with mean m and, along each direction, variances p, c, v.
    """
    eta, beta = rates[:, None], betas[:, None]
    x = eta * start.eigenvalues
    push = 1.0 + beta if nesterov else np.ones_like(beta)  # of the gradient on the error
    keep = beta**2 if nesterov else beta  # of the last step on the error
    a, b = 1.0 - push * x, -keep + 0.0 * x
    error, velocity = np.broadcast_to(start.error, x.shape), np.zeros_like(x)
    p, c, v = (np.zeros_like(x) for _ in range(3))
    while True:
        yield ((error**2 + p) @ start.eigenvalues) / 2.0
        second = p + error**2
        kick = second @ start.scatter.T + error @ start.skew.T + start.noise
        kick = start.share * eta**2 * np.maximum(kick, 0.0)
        p, c, v = (
            a**2 * p + 2.0 * a * b * c + b**2 * v + push**2 * kick,
            a * x * p + (a * beta + b * x) * c + b * beta * v - push * kick,
            x**2 * p + 2.0 * x * beta * c + beta**2 * v + kick,
        )
        error, velocity = a * error + b * velocity, x * error + beta * velocity


def _times(start: _Start, rates: Array, betas: Array, nesterov: bool, aim: float, limit: int) -> Array:
    """Steps (K,) until the expected excess loss is at or below `aim` for good; inf for those that are later
    than the first one with momentum and the first one without, which end the search."""
    since = np.full(len(rates), np.inf)
    settled = np.zeros(len(rates), dtype=bool)
    plain = betas == 0.0
    for step, excess in enumerate(_flow(start, rates, betas, nesterov)):
        below = excess <= aim
        since = np.where(below, np.minimum(since, step), np.where(settled, since, np.inf))
        settled |= step - since >= 10 + 0.25 * since
        first = since[settled].min(initial=np.inf)
        if (plain & settled).any() or step >= min(limit, 50 * first + 100):
            break
    return np.where(settled, since, np.inf)


def _two_digits(value: float) -> float:
    """The value rounded down to two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / unit) * unit:.1e}")


def checks(config: Config, recommendation: Recommendation) -> list[Config]:
    """The runs that try a recommendation: FACTORS times its rate by SEEDS seeds, a factor's seeds together.

    All factors share the data, first weights and batches of a seed. They are short: three times the expected
    epochs, 5 to 200, and the config's own epochs where nothing is expected.
    """
    expected = recommendation.epochs
    epochs = config.epochs if not math.isfinite(expected) else min(max(math.ceil(3 * expected), 5), 200)
    base = replace(recommendation.config(config), epochs=epochs)
    rates = [factor * recommendation.learning_rate for factor in FACTORS]
    return [
        replace(with_rule(base, rate, recommendation.momentum), seed=config.seed + seed)
        for rate in rates
        for seed in range(SEEDS)
    ]


def validate(training: Training) -> pd.DataFrame:
    """What the runs of `checks` came to, also while they go on.

    Returns:
        One row for each of FACTORS, with the columns
            factor, learning_rate, checked (whether it is of CHECKED),
            diverged: the share of runs that diverged,
            steps, low, high: the median of the updates to the target, with its 95 % bootstrap interval; a
                run that missed it counts as inf, and an epoch is divided as if the loss fell geometrically,
            reached: the share of runs that came to the target,
            loss: the mean of the last validation loss (training loss where there is none) over those that
                did not diverge,
            good: whether no run diverged and `loss` is at most GOOD times the lowest of such rates.
        The target of a seed is SHRINK above the least loss that a linear model can have on its data; for
        other models, above the lowest training loss that any rate has come to.
    """
    curves, lost = _curves(training)
    judged = np.array([_last_loss(training, run) for run in range(len(training.configs))])
    loss = np.where(lost, np.nan, judged.reshape(lost.shape))
    times = _steps_to(curves, _targets(training, curves), training.configs[0].steps_per_epoch)
    held: NDArray[np.bool_] = np.logical_not(lost.any(axis=1))
    mean = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan for row in loss])
    best = np.min(mean[held & np.isfinite(mean)], initial=np.inf)
    rows = [
        {
            "factor": factor,
            "learning_rate": training.configs[k * SEEDS].optimizer.learning_rate,
            "checked": factor in CHECKED,
            "diverged": float(lost[k].mean()),
            **dict(zip(("steps", "low", "high"), _median(times[k]), strict=True)),
            "reached": float(np.isfinite(times[k]).mean()),
            "loss": float(mean[k]),
            "good": bool(held[k] and mean[k] <= GOOD * best),
        }
        for k, factor in enumerate(FACTORS)
    ]
    return pd.DataFrame(rows)


def good_region(table: pd.DataFrame) -> tuple[float, float]:
    """The learning rates around the best of those tried that end within 10 % of it; nan if none held."""
    good = table["good"].to_numpy()
    if not good.any():
        return float("nan"), float("nan")
    low = high = int(np.argmin(np.where(good, table["loss"], np.inf)))
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(good) and good[high + 1]:
        high += 1
    rates = table["learning_rate"].to_numpy()
    return float(rates[low]), float(rates[high])


def validation_sentence(table: pd.DataFrame, recommendation: Recommendation) -> str:
    """What the runs say to the recommendation: whether it held, when it arrived, how much room there is."""
    row = table[table["factor"] == 1.0].iloc[0]
    lost = round(row["diverged"] * SEEDS)
    held = f"None of {SEEDS} runs diverged" if not lost else f"{lost} of {SEEDS} runs diverged"
    if math.isfinite(row["steps"]):
        expected = recommendation.steps
        against = f" ({expected:,.0f} were expected)" if math.isfinite(expected) else ""
        held += f"; the median run came to the target in {digits(row['steps'])} steps{against}"
    elif not lost:
        held += f"; {round(row['reached'] * SEEDS)} came to the target in the time given"
    low, high = good_region(table)
    if math.isnan(low):
        return f"{held}. No rate that was tried held with every seed."
    room = (
        f"Rates from {digits(low)} to {digits(high)}" if low < high else f"Of those tried only {digits(low)}"
    )
    return f"{held}. {room} end within {GOOD - 1:.0%} of the best, with no run lost."


def _curves(training: Training) -> tuple[Array, NDArray[np.bool_]]:
    """Training losses (F, S, E + 1), inf once lost and nan where it has not come; who is lost (F, S)."""
    runs, epochs = len(training.configs), training.configs[0].epochs
    losses, lost = np.full((runs, epochs + 1), np.nan), np.zeros(runs, dtype=bool)
    for run in range(runs):
        records = training.records(run)
        losses[run, : len(records)] = [r.train_loss for r in records]
        if records[-1].status == DIVERGED:
            losses[run, len(records) - 1 :] = np.inf
            lost[run] = True
    shape = (runs // SEEDS, SEEDS)
    return losses.reshape(*shape, epochs + 1), lost.reshape(shape)


def _last_loss(training: Training, run: int) -> float:
    last = training.records(run)[-1]
    return last.train_loss if math.isnan(last.valid_loss) else last.valid_loss


def _targets(training: Training, curves: Array) -> Array:
    """The training loss of each seed that counts as reached, (S,)."""
    first = curves[0, :, 0]
    if least_squares(training.configs[0]):
        least = np.array([_least(config) for config in training.configs[:SEEDS]])
    else:
        least = np.nanmin(curves, axis=(0, 2))
    return np.asarray(least + SHRINK * (first - least))


def _least(config: Config) -> float:
    """The least training loss of linear least squares."""
    import torch

    from core.engine.problem import problem

    X, y = inputs(config), problem(config, torch.float64).y_train.numpy()[:, 0]
    return float(((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2).mean())


def _steps_to(curves: Array, targets: Array, steps_per_epoch: int) -> Array:
    """Updates (F, S) to the target, between epochs as if the loss fell geometrically; inf where missed."""
    below = curves <= targets[:, None]
    at = np.maximum(below.argmax(axis=2), 1)
    after, before = (np.take_along_axis(curves, k[:, :, None], 2)[:, :, 0] for k in (at, at - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.log(before / targets) / np.log(before / after)
    whole = at - 1 + np.clip(np.nan_to_num(part, nan=1.0), 0.0, 1.0)
    return np.where(below.any(axis=2), whole * steps_per_epoch, np.inf)


def _median(values: Array) -> tuple[float, float, float]:
    """The median and its 95 % percentile-bootstrap interval; inf is a value like any other."""
    draws = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    medians = np.sort(np.median(values[draws], axis=1))
    low, high = medians[[50, 1949]]
    return float(np.median(values)), float(low), float(high)


def batch_card(config: Config, batches: Sequence[int] | None = None) -> pd.DataFrame:
    """The largest usable effective step η / (1 - μ) for each batch size, with and without momentum.

    Args:
        config: Linear least squares; its batch size does not count.
        batches: Batch sizes; when None, about 12 from 1 to all training rows, evenly in their logarithm.

    Returns:
        One row for each batch size, with the columns batch_size, plain, with_momentum (the largest over
        MOMENTA above 0) and best_momentum (which one that is).

    Raises:
        NoCard: The model is no linear least squares.
        OutOfRange: A batch size is no whole number of at least 1.
        NotATable: The inputs leave the range of floats unless they are scaled.
    """
    if not least_squares(config):
        raise NoCard(
            "Batch sizes can be weighed without training only for a linear model of a quantity: elsewhere "
            "the curvature, and with it the answer, changes while training."
        )
    rows = config.train_rows
    sizes = np.unique(np.geomspace(1, rows, 12).round().astype(int)) if batches is None else np.array(batches)
    if not len(sizes):
        raise OutOfRange("batches must name at least one batch size, got none.")
    momenta = np.array(MOMENTA)
    limit = learning_rate_limits(config_moments(config), sizes, momenta, is_nesterov(config))
    steps = limit / (1.0 - momenta)[:, None]
    best = 1 + steps[1:].argmax(axis=0)
    columns = {
        "batch_size": sizes,
        "plain": steps[0],
        "with_momentum": steps[best, np.arange(len(sizes))],
        "best_momentum": momenta[best],
    }
    return pd.DataFrame(columns)


def batch_sentence(card: pd.DataFrame, batch_size: int) -> str:
    """Whether momentum buys anything at a batch size, from the row of the card that is nearest to it."""
    distance = np.abs(np.log(card["batch_size"].to_numpy() / batch_size))
    row = card.iloc[int(distance.argmin())]
    times, size = row["with_momentum"] / row["plain"], int(row["batch_size"])
    if times < 1.25:
        return (
            f"At batch size {size} momentum buys nothing: it allows no longer effective step than plain SGD."
        )
    much = "little" if times < 2 else "much"
    return (
        f"At batch size {size} momentum buys {much}: effective steps up to {digits(times)} times as long as "
        f"plain SGD's, at momentum {row['best_momentum']:g}."
    )
