"""The one-click comparisons: what each one's text says is what the engine measures."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from core.compare import Comparison, Summary, measure, summarise, usual_target
from core.comparisons import COMPARISONS, VIEW, ComparisonPreset
from core.config import Config
from core.engine import Training
from core.engine.problem import problem
from core.optimizers import SGD
from core.registry import UnknownName
from core.stability import best_for_quadratic, best_without_momentum, curvature, learning_rate_limit, moments

each_preset = pytest.mark.parametrize("preset", COMPARISONS.values(), ids=list(COMPARISONS))


def trained(comparison: Comparison) -> tuple[list[Summary], np.ndarray]:
    """The summaries of rivals and then controls, and the losses (R, S, E + 1) of all."""
    rules = [*comparison.rules, *comparison.controls.values()]
    training = Training(comparison.configs())
    while training.active:
        training.advance()
    measures = measure(training, len(rules), comparison.seeds, comparison.base.epochs)
    return summarise(measures, rules, usual_target(measures, len(comparison.rules))), measures.loss


@cache
def measured(name: str) -> tuple[list[Summary], np.ndarray]:
    return trained(COMPARISONS[name].comparison)


def inputs(config: Config) -> np.ndarray:
    x = problem(config).x_train.double().numpy()
    return np.hstack([x, np.ones((len(x), 1))])


def epochs_until(loss: np.ndarray, share: float, floor: float) -> float:
    """The mean over seeds (S, E + 1) of the epoch in which so much of the excess over the floor is left."""
    excess = loss - floor
    there = excess <= share * excess[:, :1]
    assert there.any(1).all()
    return float(there.argmax(1).mean())


# --- All of them ---------------------------------------------------------------------------------------


def test_there_are_at_least_ten_with_reasons() -> None:
    assert len(COMPARISONS) >= 10
    assert len({p.title for p in COMPARISONS.values()}) == len(COMPARISONS)


@each_preset
def test_a_text_is_a_short_line_or_two_that_end(preset: ComparisonPreset) -> None:
    assert preset.look.endswith(".")
    assert 40 < len(preset.look) < 260
    assert 5 < len(preset.title) < 50


@each_preset
def test_a_query_holds_only_words_of_the_link_and_says_nothing_twice(preset: ComparisonPreset) -> None:
    words = dict(preset.query)
    assert len(words) == len(preset.query)
    own = {k: v for k, v in words.items() if k not in (*VIEW, "rivals", "seeds", "mode")}
    assert preset.comparison.base == Config.from_query(own)
    assert len(preset.comparison.rivals) >= 2


@each_preset
def test_a_comparison_is_quick(preset: ComparisonPreset) -> None:
    """Counted, not timed: numbers that the runs' layers touch; some 2e9 of them take a second of one core."""
    comparison = preset.comparison
    assert comparison.seeds in (5, 10)
    base = comparison.base
    size = sum(layer.size for layer in base.layers)
    runs = len(comparison.configs())
    assert 3 * size * base.train_rows * base.epochs * runs < 4e9
    assert base.steps * len(Training(comparison.configs()).stacks) <= 5000


def test_an_unknown_comparison_is_answered() -> None:
    with pytest.raises(UnknownName, match=r"No comparison named 'shine'. Did you mean 'shines'"):
        COMPARISONS["shine"]


# --- Each of them --------------------------------------------------------------------------------------


def test_moons_momentum_beats_sgd_by_longer_steps_and_adam_is_first() -> None:
    (sgd, momentum, nesterov, adam, control, _), _ = measured("moons")
    assert control.rule.learning_rate == pytest.approx(0.1)
    for rival in (momentum, nesterov, control):
        assert rival.mean().mean < 0.2 * sgd.mean().mean
        assert adam.mean().mean < 0.6 * rival.mean().mean
    assert abs(control.mean().mean / momentum.mean().mean - 1) < 0.1
    assert np.nanmax(adam.epochs) < np.nanmin(momentum.epochs)


def test_shines_momentum_is_down_at_once_and_sgd_creeps() -> None:
    (sgd, momentum, nesterov, *controls), loss = measured("shines")
    floor = float(np.nanmin(loss))
    assert epochs_until(loss[1], 0.01, floor) == pytest.approx(45, abs=5)
    assert epochs_until(loss[2], 0.01, floor) < 80
    assert (sgd.final > 10 * momentum.final).all()
    assert (sgd.final > 10 * nesterov.final).all()
    assert all(control.diverged == 1 for control in controls)
    comparison = COMPARISONS["shines"].comparison
    longer = replace(comparison, base=comparison.base.but(epochs=1000))
    alone = Training(longer.configs([SGD(0.24)]))
    while alone.active:
        alone.advance()
    slow = measure(alone, 1, 5, 1000).loss[0]
    assert epochs_until(slow, 0.01, floor) == pytest.approx(600, rel=0.15)


def test_shines_has_every_rule_near_its_best() -> None:
    comparison = COMPARISONS["shines"].comparison
    values = curvature(inputs(comparison.base)).eigenvalues
    small, large = float(min(values)), float(max(values))
    assert large / small == pytest.approx(1000, rel=0.01)
    sgd, momentum, nesterov = comparison.rules
    assert sgd.learning_rate == pytest.approx(best_without_momentum(small, large).learning_rate, rel=0.02)
    best = best_for_quadratic(small, large)
    assert momentum.learning_rate == pytest.approx(best.learning_rate, rel=0.02)
    assert momentum.momentum == pytest.approx(best.momentum, abs=0.005)
    root = (3 * large / small + 1) ** 0.5  # Lessard, Recht, Packard 2016, table 1
    assert nesterov.learning_rate == pytest.approx(4 / (3 * large + small), rel=0.02)
    assert nesterov.momentum == pytest.approx((root - 2) / (root + 2), abs=0.005)


def test_tiny_steps_all_curves_are_one() -> None:
    (_, momentum, nesterov, *_), loss = measured("tiny-steps")
    assert momentum.rule.learning_rate == nesterov.rule.learning_rate == pytest.approx(0.0001)
    apart = np.abs(loss[1:3] / loss[0] - 1)
    assert apart.max() < 0.1  # while momentum comes up to speed
    assert apart[..., -1].max() < 0.005


def test_batch_of_two_each_at_its_largest_safe_rate_ends_alike() -> None:
    comparison = COMPARISONS["batch-of-two"].comparison
    data = moments(inputs(comparison.base))
    for rule in comparison.rules:
        limit = learning_rate_limit(data, 2, getattr(rule, "momentum", 0.0))
        assert rule.learning_rate == pytest.approx(0.7 * limit, rel=0.03)
    steps = [rule.effective_step for rule in comparison.rules]
    assert max(steps) < 1.25 * min(steps)
    rivals = measured("batch-of-two")[0][:3]
    for one, other in itertools.combinations(rivals, 2):
        assert one.diverged == other.diverged == 0
        difference = one.against(other)
        assert difference.low < 1 < difference.high


def test_hurts_momentum_takes_twice_as_long_at_the_same_rate() -> None:
    (sgd, momentum, control), loss = measured("hurts")
    fast, slow = (epochs_until(loss[k], 0.001, 0.0) for k in (0, 1))
    assert fast == pytest.approx(25, abs=3)
    assert 1.8 < slow / fast < 2.6
    assert (momentum.final > 100 * sgd.final).all()
    assert sgd.rule.learning_rate == momentum.rule.learning_rate == 0.2
    assert (np.diff(loss[0], axis=1) < 0).all()
    assert (np.diff(loss[1], axis=1) > 0).any(1).all()  # past the minimum and up again
    assert control.diverged == 1


def test_too_heavy_momentum_ends_well_above_the_others() -> None:
    comparison = COMPARISONS["too-heavy"].comparison
    assert comparison.base.steps == 130
    assert np.log(0.05) / np.log(0.99) == pytest.approx(300, rel=0.01)
    assert [rule.effective_step for rule in comparison.rules] == pytest.approx([0.05] * 3)
    (sgd, light, heavy, *_), loss = measured("too-heavy")
    for other in (sgd, light):
        assert heavy.against(other).low > 1.05
    assert (np.diff(loss[2], axis=1) > 0).any(1).all()


def test_nesterov_ceiling_only_nesterov_is_lost() -> None:
    comparison = COMPARISONS["nesterov-ceiling"].comparison
    largest = curvature(inputs(comparison.base)).largest
    ceilings = [2 / largest, 2 * 1.9 / largest, 2 * 1.9 / 2.8 / largest]
    assert ceilings == pytest.approx([0.43, 0.82, 0.29], abs=0.006)
    (sgd, momentum, nesterov, *_), _ = measured("nesterov-ceiling")
    assert [s.diverged for s in (sgd, momentum, nesterov)] == [0, 0, 1]
    assert (momentum.metric > 0.98).all()


def test_unscaled_every_rule_ends_far_below_plain_sgd_on_scaled_columns() -> None:
    comparison = COMPARISONS["unscaled"].comparison
    data = moments(inputs(comparison.base))
    for rule, nesterov in zip(comparison.rules[:3], (False, False, True), strict=True):
        limit = learning_rate_limit(data, 32, getattr(rule, "momentum", 0.0), nesterov)
        assert rule.learning_rate == pytest.approx(0.7 * limit, rel=0.03)
    summaries, _ = measured("unscaled")
    scaled = Comparison(comparison.base.but(scale=True), (SGD(0.05), SGD(0.04)))
    (good, *_), _ = trained(scaled)
    reached = [s.mean("metric").mean for s in summaries[:4]]
    assert max(reached[:3]) < 0.2
    assert reached[3] == pytest.approx(0.4, abs=0.05)
    assert good.mean("metric").mean == pytest.approx(0.64, abs=0.01)
    many, _ = trained(replace(comparison, seeds=16))
    (good, *_), _ = trained(replace(scaled, seeds=16))
    assert all(good.against(rival, "metric").low > 0 for rival in many[:4])


def test_tutorial_momentum_is_down_in_a_tenth_of_the_epochs_and_so_is_sgd_with_longer_steps() -> None:
    comparison = COMPARISONS["tutorial"].comparison
    assert [layer.weight for layer in comparison.base.layers] == [(10, 5), (1, 10)]
    assert {layer.activation for layer in comparison.base.layers} == {"identity"}
    (sgd, momentum, control), _ = measured("tutorial")
    assert sgd.mean("epochs").mean / momentum.mean("epochs").mean == pytest.approx(10, abs=2.5)
    assert (momentum.final < sgd.final).all()
    assert control.mean("epochs").mean == pytest.approx(momentum.mean("epochs").mean, rel=0.1)


def test_same_rate_momentum_wins_and_at_the_same_step_nothing_is_left_of_it() -> None:
    (slow, *fast), _ = measured("same-rate")
    for rival in fast[:2]:
        assert (rival.final < 0.3 * slow.final).all()
    (sgd, *others), loss = measured("same-step")
    assert [s.rule.effective_step for s in (sgd, *others)] == pytest.approx([0.1] * 5)
    for rival in others[:2]:
        difference = rival.against(sgd)
        assert difference.low < 1 < difference.high
    means = loss[:3].mean(1)
    assert np.abs(means[1:] / means[0] - 1)[:, 2:].max() < 0.15


def test_adam_or_momentum_all_have_98_percent_right() -> None:
    (sgd, momentum, adam, _), _ = measured("adam-or-momentum")
    right = [s.mean("metric").mean for s in (sgd, momentum, adam)]
    assert right == pytest.approx([0.98] * 3, abs=0.005)
    assert np.abs(adam.metric - momentum.metric).max() < 0.01
    assert adam.mean().mean > 0.85 * momentum.mean().mean
