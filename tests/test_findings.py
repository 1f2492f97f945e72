"""The comparison's sentence on made-up results whose right answer is known."""

from __future__ import annotations

import numpy as np

from core.compare import Comparison, Measures, Summary, paired, summarise
from core.config import Config
from core.findings import comparison
from core.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer
from core.verdict import digits

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


def test_a_clear_win_is_named_with_both_losses_and_the_interval_of_the_paired_difference():
    losses = [history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)]
    text = said([SGD(), Momentum()], losses)
    assert text.startswith("SGD + momentum ended lowest: 0.201 against SGD 0.4")
    apart = paired(losses[1][:, -1], losses[0][:, -1])
    numbers = f"{digits(apart.mean)}, 95 % interval {digits(apart.low)} to {digits(apart.high)} over 5 seeds."
    assert f"The paired difference to SGD is {numbers}" in text
    assert apart.high < 0


def test_the_difference_that_is_stated_is_to_the_runner_up_over_the_seeds_of_both():
    losses = [history(1, 0.6, 40, 4), history(1, 0.4, 40, 4), history(1, 0.2, 40, 4)]
    text = said([SGD(), Momentum(), Adam()], losses, lost=[0, 2, 0])
    apart = paired(losses[2][2:, -1], losses[1][2:, -1])
    assert f"The paired difference to SGD + momentum is {digits(apart.mean)}, " in text
    assert " over 3 seeds. The 95 % intervals of the other paired differences exclude 0 too." in text


def test_the_only_one_that_did_not_diverge_is_named_with_its_loss():
    losses = [history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)]
    text = said([SGD(), Momentum()], losses, lost=[5, 0])
    assert text == "Only SGD + momentum did not diverge: final loss 0.201. SGD diverged on all 5 seeds."
    some = said([SGD(), Momentum()], losses, lost=[5, 2])
    assert some.startswith("Only SGD + momentum has seeds that did not diverge: final loss 0.2")


def test_a_tie_is_called_a_tie():
    text = said([SGD(), Momentum()], [history(1, 0.2, 60, 4)] * 2)
    assert "SGD and SGD + momentum cannot be told apart" in text
    assert "equally fast" in text
    assert "ended lowest" not in text


def test_of_those_that_end_alike_the_faster_one_is_named():
    text = said([SGD(), Momentum()], [history(1, 0.2, 200, 12), history(1, 0.2, 200, 4)])
    assert "cannot be told apart by their final loss" in text
    assert "SGD + momentum reached the target loss 0.3 in 12" in text
    assert "SGD 36" in text


def test_one_seed_gives_no_certainty():
    text = said([SGD(), Momentum()], [history(1, 0.4, 40, 10, 1), history(1, 0.2, 40, 4, 1)], seeds=1)
    assert "one seed gives no interval" in text
    assert "95 %" not in text


def test_when_all_have_diverged_nothing_else_is_claimed():
    text = said([SGD(), Momentum()], [history(1, 0.4, 40, 10)] * 2, lost=[5, 5])
    assert text == "Every optimizer diverged on every seed: use smaller learning rates."


def test_a_rival_that_diverged_for_some_seeds_is_said_to_have():
    text = said([SGD(), Momentum()], [history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)], lost=[0, 2])
    assert "SGD + momentum diverged on 2 of 5 seeds." in text


def test_a_win_by_longer_steps_alone_is_not_credited_to_momentum():
    losses = [history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)]
    control = {1: (SGD(learning_rate=0.1), history(1, 0.2, 40, 4), 0)}
    text = said([SGD(), Momentum()], losses, controls=control)
    assert "Plain SGD at the same effective step (η 0.1) does as well: the gain is the longer step" in text


def test_a_win_that_longer_steps_do_not_explain_is_credited():
    losses = [history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)]
    worse = {1: (SGD(learning_rate=0.1), history(1, 0.35, 40, 8), 0)}
    assert "does worse: the gain is more than a longer step" in said(
        [SGD(), Momentum()], losses, controls=worse
    )
    dead = {1: (SGD(learning_rate=0.1), history(1, 0.35, 40, 8), 5)}
    assert "diverges: momentum is stable at a step where SGD is not" in said(
        [SGD(), Momentum()], losses, controls=dead
    )


def test_tuned_momentum_that_loses_to_tuned_sgd_is_explained():
    losses = [history(1, 0.2, 40, 4), history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)]
    text = said([SGD(), Nesterov(), Adam()], losses, mode="tuned")
    assert "Tuned Nesterov momentum ended above tuned SGD, which it contains at momentum 0" in text
    fair = said([SGD(), Nesterov(), Adam()], [losses[1], losses[0], losses[0]], mode="tuned")
    assert "above tuned SGD" not in fair


def test_a_target_that_nobody_reaches_is_said_to_be_missed():
    text = said([SGD(), Momentum()], [history(1, 0.2, 40, 4)] * 2, target=0.01)
    assert "None of them reached the target loss 0.01 on every seed." in text


def test_two_rivals_of_one_rule_are_told_apart_by_their_numbers():
    text = said([Momentum(momentum=0.5), Momentum()], [history(1, 0.4, 40, 10), history(1, 0.2, 40, 4)])
    assert "SGD + momentum (η 0.01, 0.9) ended lowest" in text


def test_momentum_that_gains_on_sgd_is_explained_even_when_another_rule_wins():
    losses = [history(1, 0.4, 40, 10), history(1, 0.2, 40, 4), history(1, 0.1, 40, 4)]
    control = {1: (SGD(learning_rate=0.1), history(1, 0.2, 40, 4), 0)}
    text = said([SGD(), Momentum(), Adam()], losses, controls=control)
    assert text.startswith("Adam ended lowest")
    assert (
        "As for SGD + momentum against SGD: plain SGD at the same effective step (η 0.1) does as well" in text
    )


def test_nothing_is_explained_where_momentum_gains_nothing():
    control = {1: (SGD(learning_rate=0.1), history(1, 0.2, 40, 4), 0)}
    text = said([SGD(), Momentum()], [history(1, 0.2, 60, 4)] * 2, controls=control)
    assert "effective step" not in text


def test_a_mean_that_is_lower_by_chance_is_not_called_surely_lower():
    shift = np.array([0.3, -0.25, 0.3, -0.3, 0.25])[:, None]  # a mean of 6 % either way, seeds that disagree
    even = history(1, 0.4, 40, 4)
    text = said([SGD(), Momentum()], [even * (1 + shift), even])
    assert "ended lowest" not in text
    assert "cannot be told apart" in text
