"""The comparison's sentence on made-up results whose right answer is known."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.stats

from core.compare import SEEDS, Comparison, Measures, Summary, summarise
from core.config import Config
from core.findings import QUESTION, TIMES, Findings, comparison
from core.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer

NOISE = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])


def history(first: float, last: float, epochs: int, half_life: float, seeds: int = 5) -> np.ndarray:
    """Losses (seeds, epochs + 1) that fall from `first` towards `last`, each seed a little apart."""
    fall = 0.5 ** (np.arange(epochs + 1) / half_life)
    return (last + (first - last) * fall)[None] * (1 + NOISE[:seeds, None])


def summaries(
    rules: list[Optimizer], losses: list[np.ndarray], lost: list[int], target: float
) -> list[Summary]:
    loss = np.stack(losses)
    diverged = np.zeros(loss.shape[:2], dtype=bool)
    for rival, count in enumerate(lost):
        diverged[rival, :count] = True
        loss[rival, :count, 3:] = np.nan
    nothing = np.full(loss.shape[:2], np.nan)
    return summarise(Measures(loss, loss, nothing, loss, diverged, nothing), rules, target)


def said(
    rules: list[Optimizer],
    losses: list[np.ndarray],
    lost: list[int] | None = None,
    target: float = 0.3,
    controls: dict[int, tuple[SGD, np.ndarray, int]] | None = None,
    mode: str = "own",
    seeds: int = 5,
) -> str:
    subject = Comparison(Config(), tuple(rules), seeds, mode)
    beside = {k: summaries([r], [loss], [n], target)[0] for k, (r, loss, n) in (controls or {}).items()}
    return comparison(subject, summaries(rules, losses, lost or [0] * len(rules), target), target, beside)


def numbers(text: str, pattern: str) -> list[float]:
    """The numbers in a part of a sentence; it is there."""
    found = re.search(pattern, text)
    assert found, text
    return [float(n.replace(",", "")) for n in found.groups()]


NUMBER = r"([+-]?[\d.,e-]*\d)"
FAR, NEAR = history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)


# --- SGD or momentum? ----------------------------------------------------------------------------------


def test_the_first_words_answer_the_page_with_both_losses_the_ratio_and_its_interval():
    rng = np.random.default_rng(0)
    losses = [FAR * rng.lognormal(0, 0.05, (5, 1)), NEAR * rng.lognormal(0, 0.05, (5, 1)) / 10]
    text = said([SGD(), Momentum()], losses)
    assert text.startswith("SGD + momentum is surely better than SGD: final loss ")
    pattern = (
        f"final loss {NUMBER} against {NUMBER}, {NUMBER} times as high .95 % interval {NUMBER} to {NUMBER}. "
    )
    low, high, ratio, *ends = numbers(text, pattern + "over 5 seeds")
    sgd, momentum = (loss[:, -1] for loss in losses)
    assert (low, high) == pytest.approx((scipy.stats.gmean(momentum), scipy.stats.gmean(sgd)), rel=0.005)
    assert ratio == pytest.approx(scipy.stats.gmean(sgd / momentum), rel=0.005)
    oracle = scipy.stats.ttest_rel(np.log(sgd), np.log(momentum)).confidence_interval(0.95)
    assert ends == pytest.approx(np.exp(oracle), rel=0.005)


def test_a_smaller_win_is_told_in_percent():
    rng = np.random.default_rng(0)
    losses = [NEAR * 1.25, NEAR * rng.lognormal(0, 0.01, (5, 1))]
    text = said([SGD(), Momentum()], losses)
    apart = np.log(losses[0][:, -1] / losses[1][:, -1])
    low, high = np.exp(scipy.stats.ttest_1samp(apart, 0).confidence_interval(0.95)) * 100 - 100
    told = numbers(text, rf"{NUMBER} % higher \(95 % interval {NUMBER} to {NUMBER} %\)")
    assert told == pytest.approx([np.exp(apart.mean()) * 100 - 100, low, high], rel=0.05)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1]])
def test_sgd_and_momentum_come_first_wherever_they_stand_and_whoever_wins(order: list[int]):
    rules = [SGD(), Momentum(), Nesterov(), Adam()]
    losses = [FAR, NEAR, NEAR * 1.002, NEAR / 5]
    text = said([rules[k] for k in order], [losses[k] for k in order])
    assert text.startswith("SGD + momentum is surely better than SGD: ")
    assert "Adam ended lowest of all 4 with 0.0402, surely." in text


def test_of_several_momenta_the_best_is_compared_and_nesterov_where_there_is_no_other():
    several = said([Momentum(momentum=0.5), SGD(), Momentum()], [FAR, FAR / 2, NEAR / 4])
    assert several.startswith("SGD + momentum (η 0.01, 0.9) is surely better than SGD: ")
    assert said([Adam(), SGD(), Nesterov()], [FAR, FAR, NEAR]).startswith(
        "Nesterov momentum is surely better than SGD: "
    )


def test_without_sgd_or_momentum_the_baseline_is_compared_with_the_best_of_the_others():
    assert said([Adam(), Momentum(), Nesterov()], [FAR, FAR / 1.5, NEAR]).startswith(
        "Nesterov momentum is surely better than Adam: "
    )
    assert said([SGD(), Adam(), Adam(0.1)], [NEAR, FAR, FAR * 2]).startswith(
        "SGD is surely better than Adam ("
    )


def test_a_usual_comparison_is_told_in_at_most_three_short_sentences():
    control = {1: (SGD(learning_rate=0.1), NEAR, 0)}
    text = said([SGD(), Momentum(), Nesterov(), Adam()], [FAR, NEAR, NEAR * 1.2, NEAR / 2], controls=control)
    assert text.count(". ") + 1 <= 3
    assert len(text) < 400


# --- What is not sure ----------------------------------------------------------------------------------


def test_losses_within_one_percent_are_called_alike_however_sure_the_difference_is():
    text = said([SGD(), Momentum()], [NEAR * 1.005, NEAR])
    assert text.startswith("SGD and SGD + momentum end alike: ")
    assert "surely" not in text
    assert "Both are at or below the target loss 0.3 for good in 12.6 epochs." in text
    wide = said([SGD(), Momentum()], [NEAR * np.array([1.4, 0.7, 1.1, 0.8, 1.15])[:, None], NEAR])
    assert wide.startswith("SGD and SGD + momentum cannot be told apart"), (
        "an interval this wide is no likeness"
    )


SHIFT = np.array([0.3, -0.1, 0.3, -0.1, 0.25])[:, None]


def test_a_mean_that_is_lower_by_chance_is_not_called_surely_lower_and_what_it_would_take_is_told():
    even = history(1, 0.4, 40, 4)
    text = said([SGD(), Momentum()], [even * (1 + SHIFT), even], target=0.01)
    assert text.startswith("SGD and SGD + momentum cannot be told apart: ")
    (seeds,) = numbers(text, f"It would take about {NUMBER} seeds to be sure of a difference this large")
    apart = np.log(1 + SHIFT[:, 0])
    rng = np.random.default_rng(0)
    again = rng.normal(apart.mean(), apart.std(ddof=1), (4000, int(seeds)))
    found = (scipy.stats.ttest_1samp(again, 0, axis=1).pvalue < 0.05 * QUESTION / (QUESTION + TIMES)).mean()
    assert 0.8 <= found + 0.03 < 0.95


def test_a_difference_that_no_offered_number_of_seeds_would_show_is_said_to_take_more():
    even = history(1, 0.4, 40, 4)
    text = said([SGD(), Momentum()], [even * (1 + SHIFT / 2 - 0.02), even])
    assert f"It would take more than {SEEDS.high:g} seeds" in text


def test_what_one_pair_would_show_is_not_sure_among_many():
    apart = 1.06 ** np.array([1.0, 2, 3, 4, 5])[:, None]
    pair = said([SGD(), Adam()], [NEAR * apart, NEAR])
    assert pair.startswith("Adam is surely better than SGD")
    many = [SGD(), Adam(), *(Adam(0.01 * k) for k in range(2, 8))]
    losses = [NEAR * apart, *(NEAR * (1 + 1e-4 * k) for k in range(7))]
    assert said(many, losses).startswith("SGD and Adam (η 0.001, 0.9) cannot be told apart")


def test_where_no_two_can_be_told_apart_that_is_all_that_is_said_of_the_others():
    text = said([SGD(), Momentum(), Adam()], [NEAR * (1 + SHIFT), NEAR, NEAR * (1 - SHIFT)])
    assert "No two of all 3 can be told apart." in text
    assert "lowest" not in text


def test_ties_with_the_lowest_are_named_and_only_they():
    text = said([SGD(), Momentum(), Nesterov(), Adam()], [FAR, NEAR, NEAR * 1.001, NEAR * 3])
    assert "SGD + momentum ended lowest of all 4, but not surely below Nesterov momentum." in text


def test_one_seed_gives_no_certainty():
    text = said([SGD(), Momentum()], [FAR[:1], NEAR[:1]], seeds=1)
    assert text.startswith(
        "SGD + momentum ended lower than SGD: final loss 0.197 against 0.429. One seed gives no"
    )
    assert "use 5" in text
    assert "95 %" not in text
    assert "surely" not in text


# --- Time to the target --------------------------------------------------------------------------------


def test_of_those_that_end_alike_the_one_that_is_sooner_for_good_is_named():
    text = said([SGD(), Momentum()], [history(1, 0.2, 200, 12), history(1, 0.2, 200, 4)])
    assert "SGD and SGD + momentum end alike" in text
    pattern = rf"momentum is surely sooner .* 0.3 for good: in {NUMBER} epochs, SGD in {NUMBER} epochs"
    assert numbers(text, pattern) == pytest.approx([12, 36], abs=1)


def test_a_first_crossing_that_does_not_last_is_no_arrival():
    early = history(1, 0.2, 60, 4)
    early[:, 15:47] = 0.5
    early[:, 47:] = 0.2
    text = said([SGD(), Momentum()], [early, history(1, 0.2, 60, 5)])
    assert "SGD + momentum is surely sooner" in text
    assert "SGD in 47 epochs" in text


def test_a_target_that_nobody_reaches_is_said_to_be_missed():
    text = said([SGD(), Momentum()], [NEAR] * 2, target=0.01)
    assert "Neither comes to the target loss 0.01 for good." in text


def test_a_seed_that_never_comes_for_good_counts_as_one_epoch_late():
    late = history(1, 0.2, 60, 4)
    late[1, -1] = 0.35
    findings = Findings(summaries([SGD(), Momentum()], [late, history(1, 0.2, 60, 4)], [0, 0], 0.3), 60)
    assert findings.rivals[0].mean("lasting").n == 4
    assert findings.apart("lasting", 0, 1).tolist() == [0, 61 - findings.rivals[1].lasting[1], 0, 0, 0]
    assert findings.winner is None
    there, never = history(1, 0.2, 60, 4), history(1, 0.2, 60, 4)
    there[:, -1], never[:, -1] = 0.2999, 0.3005
    text = said([SGD(), Momentum()], [never, there])
    assert "SGD + momentum is surely sooner" in text
    assert "SGD never." in text


# --- False claims and found differences ----------------------------------------------------------------


@pytest.mark.parametrize("candidates", [2, 4, 8])
def test_alike_candidates_are_called_surely_different_in_at_most_5_percent_of_comparisons(candidates: int):
    """Skewed losses, half of their spread shared by the candidates of a seed; any false claim counts."""
    rng = np.random.default_rng(candidates)
    rules = [SGD(), Momentum(), Nesterov(), Adam(), *(Adam(0.01 * k) for k in range(2, 6))][:candidates]
    false, comparisons = 0, 400
    for _ in range(comparisons):
        shared, own = rng.gamma(2.0, 1.0, (1, 5, 1)), rng.gamma(2.0, 1.0, (candidates, 5, 1))
        loss = 0.1 * shared * own * np.linspace(3, 1, 13) * rng.lognormal(0, 0.2, (candidates, 5, 13))
        found = Findings(summaries(rules, list(loss), [0] * candidates, 0.5), 12)
        pairs = [(a, b) for a in range(candidates) for b in range(a)]
        false += found.winner is not None or any(found.told_apart(a, b) for a, b in pairs)
    assert false <= scipy.stats.binom.ppf(0.999, comparisons, 0.05)


# --- Divergence ----------------------------------------------------------------------------------------


def test_the_only_one_that_did_not_diverge_is_named_with_its_loss():
    text = said([SGD(), Momentum()], [FAR, NEAR], lost=[5, 0])
    assert text == "Only SGD + momentum did not diverge: final loss 0.201. SGD diverged on all 5 seeds."
    some = said([SGD(), Momentum()], [FAR, NEAR], lost=[5, 2])
    assert some.startswith("Only SGD + momentum has seeds that did not diverge: final loss 0.2")


def test_where_one_of_the_two_diverged_the_other_is_the_answer():
    text = said([SGD(), Momentum(), Adam()], [FAR, NEAR, NEAR / 2], lost=[5, 0, 0])
    assert text.startswith(
        "SGD + momentum is better than SGD, which diverged on all 5 seeds; its final loss is 0.201."
    )
    assert text.count("diverged") == 1
    assert "Adam ended lowest of all 3 with 0.1" in text


def test_when_all_have_diverged_nothing_else_is_claimed():
    text = said([SGD(), Momentum()], [FAR] * 2, lost=[5, 5])
    assert text == "Every optimizer diverged on every seed: use smaller learning rates."


def test_a_rival_that_diverged_for_some_seeds_is_said_to_have_and_is_compared_on_the_others():
    text = said([SGD(), Momentum()], [FAR, NEAR], lost=[0, 2])
    assert "SGD + momentum diverged on 2 of 5 seeds." in text
    assert "over 3 seeds" in text
    assert "Fewer than two seeds of both" in said([SGD(), Momentum()], [FAR, NEAR], lost=[0, 4])


# --- Momentum or a longer step? ------------------------------------------------------------------------


def test_a_win_by_longer_steps_alone_is_not_credited_to_momentum():
    control = {1: (SGD(learning_rate=0.1), NEAR * (1 + SHIFT), 0)}
    text = said([SGD(), Momentum()], [FAR, NEAR], controls=control)
    assert "Plain SGD at the same effective step (η 0.1) ended " in text
    assert "the gain is the longer step, as far as can be seen" in text


def test_a_win_that_longer_steps_do_not_explain_is_credited():
    worse = {1: (SGD(learning_rate=0.1), history(1, 0.35, 40, 8), 0)}
    text = said([SGD(), Momentum()], [FAR, NEAR], controls=worse)
    assert "the gain is more than a longer step" in text
    higher = scipy.stats.gmean(history(1, 0.35, 40, 8)[:, -1] / NEAR[:, -1])
    assert numbers(text, rf"\(η 0.1\) ended {NUMBER} % higher") == pytest.approx(
        [100 * higher - 100], abs=0.5
    )
    dead = {1: (SGD(learning_rate=0.1), history(1, 0.35, 40, 8), 5)}
    assert "diverges: momentum is stable at a step where SGD is not" in said(
        [SGD(), Momentum()], [FAR, NEAR], controls=dead
    )


def test_a_gain_in_time_alone_is_held_against_the_time_of_longer_steps():
    slow, fast = history(1, 0.2, 200, 12), history(1, 0.2, 200, 4)
    late = {1: (SGD(learning_rate=0.1), history(1, 0.2, 200, 8), 0)}
    text = said([SGD(), Momentum()], [slow, fast], controls=late)
    assert "came to the target 12 epochs later: the gain is more than a longer step" in text
    soon = {1: (SGD(learning_rate=0.1), fast, 0)}
    assert "the gain is the longer step" in said([SGD(), Momentum()], [slow, fast], controls=soon)


def test_momentum_that_gains_on_sgd_is_explained_even_when_another_rule_wins():
    control = {1: (SGD(learning_rate=0.1), NEAR, 0)}
    text = said([SGD(), Momentum(), Adam()], [FAR, NEAR, NEAR / 2], controls=control)
    assert "Adam ended lowest of all 3" in text
    assert "Plain SGD at the same effective step (η 0.1)" in text


def test_nothing_is_explained_where_momentum_gains_nothing():
    control = {1: (SGD(learning_rate=0.1), NEAR, 0)}
    text = said([SGD(), Momentum()], [history(1, 0.2, 60, 4)] * 2, controls=control)
    assert "effective step" not in text


def test_tuned_momentum_that_loses_to_tuned_sgd_is_explained():
    text = said([SGD(), Nesterov(), Adam()], [NEAR, FAR, NEAR], mode="tuned")
    assert "Tuned Nesterov momentum ended above tuned SGD, which it contains at momentum 0" in text
    fair = said([SGD(), Nesterov(), Adam()], [FAR, NEAR, NEAR], mode="tuned")
    assert "above tuned SGD" not in fair


def test_two_rivals_of_one_rule_are_told_apart_by_their_numbers():
    text = said([Momentum(momentum=0.5), Momentum()], [FAR, NEAR])
    assert text.startswith(
        "SGD + momentum (η 0.01, 0.9) is surely better than SGD + momentum (η 0.01, 0.5): "
    )
