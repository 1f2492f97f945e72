"""Comparisons: several rules on one problem, several seeds at once, and the numbers that they come to.

All rivals of a seed share data, split, first weights and batches; only the rule differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from core.config import Config
from core.history import DIVERGED
from core.labels import spoken
from core.optimizers import LEARNING_RATE, OPTIMIZERS, SGD, Adam, Momentum, Nesterov, Optimizer
from core.registry import Flag, Interval, OutOfRange, UnknownName, short, unknown
from core.seeds import seeds_from
from core.statistics import Estimate, estimate, estimates, paired

if TYPE_CHECKING:
    from core.engine import Training

FEWEST, MOST = 2, 8
SEEDS = Interval(
    "n", 5, 1, 32, integer=True, help="Runs of each optimizer: more seeds narrow the confidence interval."
)
APART = 1000  # mode "tuned" searches on seeds that begin so far behind the comparison's
SEARCHED = 3  # and on so many of them
ROWS = 120  # epochs drawn at the most
ACCURACY = "Accuracy"


class Mode(NamedTuple):
    """A way to be fair.

    Attributes:
        title: The words on the page.
        proves: What a comparison in this mode can show, as a sentence.
    """

    title: str
    proves: str


MODES = {
    "own": Mode("As set", "Each optimizer has its own settings: the result holds for these only."),
    "same": Mode(
        "Same rate",
        "All have the baseline's learning rate. At momentum 0.9 the effective step is then ten times as "
        "long, and a gain may come from that alone.",
    ),
    "effective": Mode(
        "Same effective step",
        "Learning rates are set so that η / (1 − μ) is the baseline's: what is left is the effect of "
        "momentum itself. Adaptive optimizers keep their own rate.",
    ),
    "tuned": Mode(
        "Each tuned",
        "Learning rate and momentum of each optimizer are tuned first, with equal budgets, on other seeds.",
    ),
}


class NoComparison(ValueError):
    """Rivals that cannot be compared; the text says why."""


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        base: The problem; its rule is not used.
        rivals: Two to eight rules, all different, also in what the mode makes of them; the first is the
            baseline.
        seeds: Runs of each rival, with the seeds from base.seed on.
        mode: A key of MODES.

    Raises:
        NoComparison: Too few rivals, too many, or two that are the same; or too few seeds behind base.seed.
        OutOfRange, UnknownName: seeds or mode cannot be.
    """

    base: Config
    rivals: tuple[Optimizer, ...]
    seeds: int = 5
    mode: str = "own"

    def __post_init__(self) -> None:
        if not FEWEST <= len(self.rivals) <= MOST:
            raise NoComparison(f"rivals must be {FEWEST} to {MOST} optimizers, got {len(self.rivals)}.")
        object.__setattr__(self, "seeds", SEEDS.check("seeds", self.seeds))
        if self.mode not in MODES:
            raise UnknownName(unknown("mode", self.mode, MODES))
        try:
            _ = self.own_seeds, self.search_seeds
        except OutOfRange as error:
            raise NoComparison(str(error)) from None
        rules = [_unsearched(rule) for rule in self.rules] if self.mode == "tuned" else self.rules
        twins = [a.title for k, a in enumerate(rules) if a in rules[:k]]
        if twins:
            how = "" if self.mode == "own" else f" in mode “{MODES[self.mode].title}”"
            raise NoComparison(
                f"The optimizers must differ, but {twins[0]} is there twice with the same settings{how}."
            )

    @property
    def own_seeds(self) -> range:
        """The seeds of each rival's runs."""
        return seeds_from(self.base.seed, self.seeds)

    @property
    def search_seeds(self) -> range:
        """The seeds on which mode "tuned" searches; none in other modes."""
        if self.mode != "tuned":
            return range(0)
        return seeds_from(self.base.seed, SEARCHED, APART, "the optimizers can be tuned on other seeds")

    @cached_property
    def rules(self) -> tuple[Optimizer, ...]:
        """The rivals with what the mode makes of their learning rates."""
        first = self.rivals[0]
        if self.mode == "same":
            return tuple(replace(rule, learning_rate=first.learning_rate) for rule in self.rivals)
        step = first.effective_step
        if self.mode == "effective" and step:
            return tuple(_with_step(rule, step) for rule in self.rivals)
        return self.rivals

    @cached_property
    def controls(self) -> dict[int, SGD]:
        """Plain SGD with the effective step of each rival that has momentum: is its gain more than that?"""
        if self.mode == "tuned":
            return {}
        plain = {k: _plain(rule) for k, rule in enumerate(self.rules)}
        return {k: rule for k, rule in plain.items() if rule}

    def configs(self, rules: Sequence[Optimizer] | None = None) -> list[Config]:
        """One config for each rule and seed, the seeds of a rule together."""
        rules = [*self.rules, *self.controls.values()] if rules is None else rules
        return [replace(self.base, optimizer=rule, seed=seed) for rule in rules for seed in self.own_seeds]


def _plain(rule: Optimizer) -> SGD | None:
    """SGD that goes as far per step, for rules with momentum; None where no learning rate is that long."""
    step = rule.effective_step
    if not (rule.has_velocity and getattr(rule, rule.momentum_name) and step):
        return None
    if not LEARNING_RATE.low <= step <= LEARNING_RATE.high:
        return None
    return SGD(step, getattr(rule, "weight_decay", 0.0))


def _unsearched(rule: Optimizer) -> Optimizer:
    """What is left to tell two rules apart once learning rate and momentum are searched."""
    names = ["learning_rate", *filter(None, [rule.momentum_name])]
    return replace(rule, **{name: rule.settings()[name].default for name in names})


def _with_step(rule: Optimizer, step: float) -> Optimizer:
    if not (own := rule.effective_step):
        return rule
    rate, low, high = rule.learning_rate * step / own, LEARNING_RATE.low, LEARNING_RATE.high
    if not low <= rate <= high:
        raise NoComparison(
            f"{rule.title} would need the learning rate {rate:.3g} for the baseline's effective step, "
            f"but it must be in [{low:g}, {high:g}]: change the baseline's learning rate."
        )
    return replace(rule, learning_rate=rate)


@dataclass(frozen=True)
class Rivals:
    """The setting that names the rivals in a link: sgd:learning_rate=0.1,momentum:learning_rate=0.1."""

    default: tuple[Optimizer, ...] = (SGD(), Momentum(), Nesterov(), Adam(learning_rate=0.01))
    help: str = "Two to eight optimizers, each with its settings."

    def parse(self, name: str, text: str) -> tuple[Optimizer, ...]:
        return self.check(name, tuple(_rule(part) for part in text.split(",") if part))

    def check(self, name: str, value: tuple[Optimizer, ...]) -> tuple[Optimizer, ...]:
        if not FEWEST <= len(value) <= MOST:
            raise OutOfRange(f"{name} must be {FEWEST} to {MOST} optimizers, got {len(value)}.")
        return value

    def text(self, value: tuple[Optimizer, ...]) -> str:
        return ",".join(_words(rule) for rule in value)


def _rule(text: str) -> Optimizer:
    name, *pairs = text.split(":")
    kind = OPTIMIZERS[name]
    given: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in kind.settings():
            raise OutOfRange(f"{name} has no {short(key)!r}; it has {', '.join(kind.settings())}.")
        given[key] = kind.settings()[key].parse(key, value)
    return kind(**given)


def _words(rule: Optimizer) -> str:
    records = rule.settings().items()
    given = [f"{k}={r.text(getattr(rule, k))}" for k, r in records if getattr(rule, k) != r.default]
    return ":".join([rule.name, *given])


def label(rule: Optimizer) -> str:
    """A rule in a legend: its title, rate and momentum, and what else is not as usual."""
    words = [rule.title, f"η {rule.learning_rate:.3g}"]
    word = rule.momentum_name
    for key, record in rule.settings().items():
        value = getattr(rule, key)
        told = key == word and (value or rule.has_velocity)
        if isinstance(record, Interval) and key != "learning_rate" and (told or value != record.default):
            words.append(f"{record.symbol} {value:.3g}")
        elif isinstance(record, Flag) and value != record.default:
            words.append(spoken(key) if value else f"not {spoken(key)}")
    return " · ".join(words)


@dataclass(frozen=True, eq=False)
class Measures:
    """What the runs of a comparison came to so far; R rules, S seeds, E + 1 epochs with that before training.

    Attributes:
        loss: (R, S, E + 1), of the validation part, or of the training part when there is no other; nan where
            a run has not come or has diverged.
        train: The same of the training part.
        metric: (R, S), the last share of right classes or R².
        seconds: (R, S, E + 1), the computing that each run has cost.
        diverged: (R, S), whether the run has diverged.
        lost: (R, S), the last finite loss of those that have, else nan.
    """

    loss: np.ndarray
    train: np.ndarray
    metric: np.ndarray
    seconds: np.ndarray
    diverged: np.ndarray
    lost: np.ndarray


def measure(training: Training | None, rules: int, seeds: int, epochs: int) -> Measures:
    """Reads the records of a training of `rules` x `seeds` runs, in that order; it may go on meanwhile.

    None is a training that has not begun.
    """
    scores = np.full((rules * seeds, epochs + 1, 5), np.nan)
    lost = np.full((rules * seeds, 2), np.nan)
    diverged = np.zeros(rules * seeds, dtype=bool)
    for run in range(rules * seeds if training else 0):
        stack, seat = training.place(run)  # type: ignore[union-attr]
        scores[run, : stack.history.scores.shape[1]] = stack.history.scores[seat]
        lost[run] = stack.history.lost[seat]
        diverged[run] = stack.history.records[seat][-1].status == DIVERGED
    train, valid, train_metric, metric, seconds = np.moveaxis(scores.reshape(rules, seeds, -1, 5), 3, 0)
    metrics = _judged(train_metric, metric).reshape(rules * seeds, -1)
    return Measures(
        loss=_judged(train, valid),
        train=train,
        metric=_last(metrics).reshape(rules, seeds),
        seconds=seconds,
        diverged=diverged.reshape(rules, seeds),
        lost=_judged(lost[:, 0], lost[:, 1]).reshape(rules, seeds),
    )


def _judged(train: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """What counts: of the validation part, or of the training part where there is no other."""
    return np.where(np.isnan(valid), train, valid)


def curves(
    measures: Measures, rules: int, config: Config, axis: str = "epochs", what: str = "loss"
) -> pd.DataFrame:
    """What is drawn of a comparison: for each rule the geometric mean over seeds and its 95 % interval.

    A seed that has diverged is left out from there on, and what it did above the others' losses is not drawn,
    so that it never stretches their axis. Nor does an interval of few seeds: it ends at the lowest and the
    highest loss of all.

    Args:
        measures: Of at least `rules` rules.
        rules: How many are drawn.
        config: One of the runs, for the lengths of an epoch.
        axis: "epochs", "updates", "gradients" (rows seen) or "seconds" (of computing, measured).
        what: "loss" (validation) or "train".

    Returns:
        Columns x, and m0 l0 h0 lost0 … for each rule, float32; at most about ROWS rows for each rule.
    """
    values = getattr(measures, what)[:rules].copy()
    calm = values[~measures.diverged[:rules]]
    calm = calm[np.isfinite(calm)]
    highest = float(calm.max()) if len(calm) else np.nan
    values[values > highest] = np.nan
    lowest = float(np.nanmin(values)) if np.isfinite(values).any() else np.nan
    epochs = values.shape[2] - 1
    stride = max(1, -(-epochs // ROWS))
    keep = np.unique(np.append(np.arange(0, epochs + 1, stride), epochs))
    lengths = {"epochs": 1, "updates": config.steps_per_epoch, "gradients": config.train_rows}
    frames = []
    for k in range(rules):
        seen = np.isfinite(values[k]).any(0)
        mean, *ends = estimates(values[k])
        low, high = (np.clip(end, lowest, highest) for end in ends)
        x = (
            np.fmax.accumulate(_over_seeds(np.nanmean, measures.seconds[k]))
            if axis == "seconds"
            else np.arange(epochs + 1.0) * lengths[axis]
        )
        rows = keep[seen[keep]]
        frame = pd.DataFrame({"x": x[rows], f"m{k}": mean[rows], f"l{k}": low[rows], f"h{k}": high[rows]})
        if measures.diverged[k].any():
            last, mark = _mark(values[k][measures.diverged[k]], highest)
            frame = pd.concat([frame, pd.DataFrame({"x": [x[last]], f"lost{k}": [mark]})])
        frames.append(frame)
    end = np.nanmax(measures.seconds, initial=0.0) if axis == "seconds" else epochs * lengths[axis]
    frames.append(pd.DataFrame({"x": [0.0, end]}))
    columns = ["x", *(f"{c}{k}" for k in range(rules) for c in ("m", "l", "h", "lost"))]
    table = pd.concat(frames).groupby("x", as_index=False).first() if axis != "seconds" else pd.concat(frames)
    return table.reindex(columns=columns).sort_values("x", ignore_index=True).astype("float32")


def _mark(dead: np.ndarray, highest: float) -> tuple[int, float]:
    """Where the ✕ of diverged seeds (S, E + 1) stands: on the last drawn, or at the top where none is."""
    drawn = np.flatnonzero(np.isfinite(dead).any(0))
    if not len(drawn):
        return 0, highest
    return int(drawn[-1]), float(estimates(dead)[0][drawn[-1]])


def _over_seeds(reduce: Any, values: np.ndarray) -> np.ndarray:
    """A reduction over seeds, (S, E + 1) -> (E + 1,); nan where no seed has a value."""
    out = np.full(values.shape[1], np.nan)
    seen = np.isfinite(values).any(0)
    out[seen] = reduce(values[:, seen], axis=0)
    return out


LOSSES = ("final", "best", "train", "area")
BOUNDS = {"metric": (-np.inf, 1.0), "epochs": (0.0, np.inf), "lasting": (0.0, np.inf)}


@dataclass(frozen=True, eq=False)
class Summary:
    """One rival in numbers; arrays are per seed, nan where a seed diverged or missed.

    Attributes:
        rule: The rival.
        final, best, train, metric, area: Last loss, lowest loss, last training loss, last metric, and the
            mean loss over all epochs.
        epochs: The first epoch at or below the target.
        lasting: The first epoch from which on all are at or below the target, as far as the run has come.
        diverged: Share of seeds that diverged.
    """

    rule: Optimizer
    final: np.ndarray
    best: np.ndarray
    train: np.ndarray
    metric: np.ndarray
    area: np.ndarray
    epochs: np.ndarray
    lasting: np.ndarray
    diverged: float

    @property
    def seeds(self) -> int:
        """How many runs there were."""
        return len(self.final)

    def mean(self, what: str = "final") -> Estimate:
        """The mean of one of the arrays over seeds: geometric for losses, arithmetic for the rest."""
        return estimate(getattr(self, what), what in LOSSES, BOUNDS.get(what, (-np.inf, np.inf)))

    def against(self, other: Summary, what: str = "final") -> Estimate:
        """This rival's losses as a multiple of another's on the same seeds, or its difference to them."""
        return paired(getattr(self, what), getattr(other, what), what in LOSSES)


def usual_target(measures: Measures, rules: int) -> float:
    """A loss 95 % of the way from the first to the lowest that any rival has on average, or nan.

    Runs that diverged count only when all did.
    """
    loss, dead = measures.loss[:rules], measures.diverged[:rules, :, None]
    means = np.array([_over_seeds(np.nanmean, v) for v in np.where(dead & (not dead.all()), np.nan, loss)])
    if not np.isfinite(means[:, 0]).any():
        return float("nan")
    first = float(np.nanmean(means[:, 0]))
    return first - 0.95 * (first - float(np.nanmin(means)))


def summarise(measures: Measures, rules: Sequence[Optimizer], target: float) -> list[Summary]:
    """One summary for each rule. A loss counts only of runs that did not diverge."""
    out = []
    for k, rule in enumerate(rules):
        dead = measures.diverged[k]
        loss, train = (np.where(dead[:, None], np.nan, a[k]) for a in (measures.loss, measures.train))
        final, last_train = (_last(runs) for runs in (loss, train))
        best, area = (_per_seed(f, loss) for f in (np.nanmin, np.nanmean))
        metric = np.where(dead, np.nan, measures.metric[k])
        first, lasting = _first(loss <= target), _lasting(loss, target)
        out.append(Summary(rule, final, best, last_train, metric, area, first, lasting, float(dead.mean())))
    return out


def _first(hit: np.ndarray) -> np.ndarray:
    """The first epoch that is hit, (S, E + 1) -> (S,); nan where none is."""
    return np.where(hit.any(1), hit.argmax(1).astype(float), np.nan)


def _lasting(loss: np.ndarray, target: float) -> np.ndarray:
    """The first epoch from which on no known loss is above the target, (S, E + 1) -> (S,); nan for none."""
    above = ~(loss <= target) & np.isfinite(loss)
    ahead = np.logical_or.accumulate(above[:, ::-1], axis=1)[:, ::-1]
    return _first(np.isfinite(loss) & ~ahead)


def _per_seed(reduce: Any, values: np.ndarray) -> np.ndarray:
    return _over_seeds(reduce, values.T)


def _last(values: np.ndarray) -> np.ndarray:
    """The last finite value of each run, (S, E + 1) -> (S,)."""
    known = np.isfinite(values)
    at = values.shape[1] - 1 - known[:, ::-1].argmax(1)
    return np.where(known.any(1), values[np.arange(len(values)), at], np.nan)


def metric_name(config: Config) -> str:
    """What the metric of a problem is called."""
    return ACCURACY if config.dataset.classes else "R²"


def table(
    summaries: Sequence[Summary], loss: str = "Validation loss", metric: str = "Accuracy or R²"
) -> pd.DataFrame:
    """The numbers of a comparison for a person: means with their intervals; misses are misses.

    Args:
        summaries: One for each rival, the baseline first.
        loss: What the loss that counts is called; there is no further column where it is the training loss.
        metric: From `metric_name`; accuracy is shown in percent.

    Returns:
        Texts, in the columns that `meanings` explains, "Optimizer" and "Diverged".
    """
    base, counts = summaries[0], loss.lower()
    rows = []
    for summary in summaries:
        score = summary.mean("metric")
        rows.append(
            {
                "Optimizer": label(summary.rule),
                f"Final {counts}": shown(summary.mean()),
                "Loss relative to baseline": "" if summary is base else shown(summary.against(base)),
                "Epochs to target": _times(summary, "epochs"),
                "Epochs to target, for good": _times(summary, "lasting"),
                metric: _percent(score) if metric == ACCURACY else shown(score),
                "Final training loss": shown(summary.mean("train")),
                f"Lowest {counts}": shown(summary.mean("best")),
                "Mean loss over epochs": shown(summary.mean("area")),
                "Diverged": f"{round(summary.diverged * summary.seeds)} of {summary.seeds}",
            }
        )
    return pd.DataFrame(rows)


def meanings(loss: str = "Validation loss", metric: str = "Accuracy or R²") -> dict[str, str]:
    """What the columns of `table` say, in a sentence or two each; the arguments are those of `table`."""
    counts = loss.lower()
    student = "mean with its 95 % interval (Student's t), over the seeds that"
    geometric = f"geometric {student.replace('t)', 't on the logarithms)')} did not diverge."
    return {
        f"Final {counts}": f"The {counts} after the last epoch: {geometric}",
        "Loss relative to baseline": f"The final {counts} as a multiple of the first optimizer's on the same "
        "seed: geometric mean with its 95 % interval, each by itself. What the sentence above calls sure is "
        "corrected for the number of pairs.",
        "Epochs to target": "The first epoch at or below the target loss; the loss may rise above it again: "
        f"{student} came there.",
        "Epochs to target, for good": "The first epoch from which on every epoch is at or below the target "
        f"loss: {student} came there.",
        metric: f"After the last epoch: {student} did not diverge.",
        "Final training loss": f"The training loss after the last epoch: {geometric}",
        f"Lowest {counts}": f"The lowest {counts} of all epochs, however lucky: {geometric}",
        "Mean loss over epochs": f"The mean {counts} of all epochs of a run, small where it falls early: "
        f"{geometric}",
    }


def _times(summary: Summary, what: str) -> str:
    """Epochs to the target, and how many seeds missed it."""
    times, n = summary.mean(what), summary.seeds
    missed = f"missed by {n - times.n} of {n}" if times.n < n else ""
    return " · ".join(filter(None, [shown(times) if times.n else "", missed]))


def _percent(value: Estimate) -> str:
    """A share as `shown` does it, in percent."""
    hundredfold = Estimate(100 * value.mean, max(100 * value.low, 0.0), 100 * value.high, value.n)
    mean, *interval = shown(hundredfold).split(" ", 1)
    return " ".join([f"{mean} %" if value.n else mean, *interval])


def shown(value: Estimate) -> str:
    """A mean with its interval, in three digits."""
    if value.n == 0:
        return "–"
    interval = "" if np.isnan(value.low) else f" [{value.low:.3g}, {value.high:.3g}]"
    return f"{value.mean:.3g}{interval}"
