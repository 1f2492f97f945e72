"""Each tuned: every rival searches its own settings with one budget, on seeds of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from core import tuned
from core.compare import (
    APART,
    Comparison,
    Measures,
    NoComparison,
    Summary,
    measure,
    summarise,
)
from core.config import Config
from core.engine import Training
from core.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from core.tuned import ROUNDS, SEEDS, TRIALS, Tuned

SMALL = Config().but(dataset="plane", epochs=2, batch_size=200)
PAIR = (SGD(), Momentum())
PROBLEMS = {
    "boston": Config().but(dataset="boston", epochs=20),
    "diabetes": Config().but(dataset="diabetes", epochs=20),
    "moons": Config().but(dataset="moons", model="mlp", hidden=(8,), epochs=8),
    "ravine": Config().but(dataset="ravine", condition=1000, batch_size=1000, valid_fraction=0.0, epochs=100),
}


def finished(comparison: Comparison) -> Tuned:
    search = Tuned(comparison)
    while search.active:
        search.advance()
    return search


def compared(base: Config, rivals: tuple[Optimizer, ...] = PAIR, seeds: int = 2) -> Comparison:
    return Comparison(base, rivals, seeds, mode="tuned")


@cache
def searched(name: str) -> tuple[Tuned, list[Summary]]:
    search = finished(compared(PROBLEMS[name], seeds=5))
    training = search.training
    assert training is not None
    measures = measure(training, 2, 5, PROBLEMS[name].epochs)
    return search, summarise(measures, search.chosen, 0.0)


def trials(search: Tuned, rival: int) -> list[list[Optimizer]]:
    """What a rival tried in each round."""
    own = slice(rival * TRIALS * SEEDS, (rival + 1) * TRIALS * SEEDS, SEEDS)
    return [[c.optimizer for c in part.configs[own]] for part in search._rounds]


# --- One budget, and nothing shared --------------------------------------------------------------------


def test_every_rival_tries_as_many_settings_on_as_many_seeds() -> None:
    rivals = (SGD(), Momentum(), Nesterov(), Adam())
    search = finished(compared(SMALL, rivals))
    assert search.tried == TRIALS * ROUNDS
    assert len(search._rounds) == ROUNDS
    for part in search._rounds:
        assert len(part.configs) == len(rivals) * TRIALS * SEEDS
        names = [c.optimizer.name for c in part.configs]
        assert {name: names.count(name) for name in names} == {r.name: TRIALS * SEEDS for r in rivals}
        assert {replace(c, optimizer=SGD(), seed=0) for c in part.configs} == {SMALL.but(optimizer=SGD())}
    for rival in range(4):
        for tried in trials(search, rival):
            assert len(set(tried)) == TRIALS


def test_seeds_of_the_search_are_not_those_of_the_comparison() -> None:
    search = finished(compared(SMALL.but(seed=5), seeds=32))
    own = {c.seed for c in search.configs}
    assert own == set(range(5, 37))
    for part in search._rounds:
        seen = {c.seed for c in part.configs}
        assert seen == {5 + APART + s for s in range(SEEDS)}
        assert not seen & own


def test_the_same_comparison_finds_the_same() -> None:
    comparison = compared(SMALL, (Momentum(), Adam()))
    one, two = finished(comparison), finished(comparison)
    assert one.chosen == two.chosen
    assert one.training is not None
    assert two.training is not None
    ours, theirs = (np.array([r[:6] for r in t.records(3)]) for t in (one.training, two.training))
    np.testing.assert_array_equal(ours, theirs)


def test_what_a_rival_finds_does_not_depend_on_the_others() -> None:
    """Nor on its place, nor on the rates and momenta that were on the page."""
    one = finished(compared(SMALL, (SGD(), Momentum(), Adam()))).chosen
    two = finished(compared(SMALL, (Nesterov(), Adam(0.5, beta1=0.1), RMSprop(), Momentum(3.0, 0.1)))).chosen
    assert one[1] == two[3]
    assert one[2] == two[1]


def test_settings_that_are_not_searched_stay_as_given() -> None:
    rivals = (SGD(weight_decay=0.01), Adam(beta2=0.9, amsgrad=True), Momentum(dampening=0.25))
    chosen = finished(compared(SMALL, rivals)).chosen
    assert [type(rule) for rule in chosen] == [SGD, Adam, Momentum]
    assert chosen[0] == SGD(chosen[0].learning_rate, 0.01)
    assert chosen[1] == replace(rivals[1], learning_rate=chosen[1].learning_rate, beta1=chosen[1].beta1)
    assert chosen[2] == Momentum(chosen[2].learning_rate, chosen[2].momentum, 0.25)


@pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_every_rule_can_be_tuned(kind: type[Optimizer]) -> None:
    other = Adagrad() if kind is SGD else SGD()
    search = finished(compared(SMALL.but(epochs=1), (kind(), other), seeds=1))
    assert isinstance(search.chosen[0], kind)
    assert not search.active


def test_rules_without_an_effective_step_search_their_rate() -> None:
    first = trials(Tuned(compared(SMALL, (Adam(), Adagrad()))), 0)[0]
    rates = np.sort([rule.learning_rate for rule in first])
    np.testing.assert_allclose(np.diff(np.log(rates)), np.log(1e5) / TRIALS, rtol=1e-6)
    assert max(rule.beta1 for rule in first) > 0.98


def test_a_dampening_that_leaves_next_to_nothing_is_searched_within_the_rates_that_there_are() -> None:
    rivals = (SGD(), Momentum(dampening=0.999999), Momentum(dampening=1.0))
    assert len(finished(compared(SMALL.but(epochs=1), rivals, seeds=1)).chosen) == 3


# --- Nesting -------------------------------------------------------------------------------------------


def test_momentum_tries_as_many_lengths_of_step_as_sgd_and_the_same() -> None:
    search = Tuned(compared(SMALL))
    plain, moving = ([rule.effective_step for rule in trials(search, k)[0]] for k in (0, 1))
    assert moving == pytest.approx(plain)
    momenta = [rule.momentum for rule in trials(search, 1)[0]]
    assert min(momenta) == 0
    assert sorted(momenta)[1] < 0.4
    assert max(momenta) > 0.98
    assert len(set(momenta)) == TRIALS


def test_around_a_best_without_momentum_many_trials_have_none() -> None:
    near = tuned._around(Momentum(0.1, 0.0), TRIALS)
    assert sum(rule.momentum == 0 for rule in near) >= TRIALS // 3
    steps = [rule.effective_step for rule in near]
    assert 0.1 / 3 < min(steps) < 0.04  # type: ignore[type-var]
    assert 0.27 < max(steps) < 0.3  # type: ignore[type-var]


def test_around_a_best_every_trial_is_near_it() -> None:
    best = Momentum(0.02, 0.9)
    for rule in tuned._around(best, TRIALS):
        assert 1 / 3 < rule.effective_step / 0.2 < 3
        assert 1 / 2.51 < (1 - rule.momentum) / 0.1 < 2.51


def loses(name: str, first: int) -> tuple[bool, float]:
    """Whether tuned momentum surely ends above tuned SGD, by more than 1 %, and by which share it does."""
    search = finished(compared(PROBLEMS[name].but(seed=first), seeds=5))
    measures = measure(search.training, 2, 5, PROBLEMS[name].epochs)
    plain, momentum = summarise(measures, search.chosen, 0.0)
    ratio = momentum.against(plain)
    return ratio.low > 1 and ratio.mean > 1.01, ratio.mean - 1


def test_tuned_momentum_does_not_lose_beyond_noise_to_the_sgd_that_it_includes() -> None:
    """Intervals miss the truth on one side about once in forty: one in twelve is noise."""
    found = {name: [loses(name, first) for first in (0, 40, 80, 120)] for name in list(PROBLEMS)[:3]}
    assert sum(lost for each in found.values() for lost, _ in each) <= 1
    for name in ("boston", "diabetes"):
        assert np.mean([share for _, share in found[name]]) < 0.01


def test_on_a_long_ravine_tuned_momentum_beats_tuned_sgd_clearly() -> None:
    search, (plain, momentum) = searched("ravine")
    assert (momentum.final < 0.1 * plain.final).all()
    sgd, heavy = search.chosen
    assert sgd.learning_rate < 2 / 8.2  # the largest that holds, by the largest curvature
    assert sgd.learning_rate > 0.7 * 2 / 8.2
    assert 0.8 < heavy.momentum < 0.995


# --- What is chosen ------------------------------------------------------------------------------------


def score(rule: Optimizer, base: Config) -> float:
    """The mean over the search's seeds of the last loss by that of the mean, told again from the engine."""
    seeds = [base.seed + APART + s for s in range(SEEDS)]
    training = Training([replace(base, optimizer=rule, seed=seed) for seed in seeds])
    while training.active:
        training.advance()
    total = 0.0
    for run in range(SEEDS):
        last, problem = training.records(run)[-1], training.problem(run)
        if last.status == "diverged":
            total += 2.0
        else:
            total += min(1.0, last.valid_loss / float(problem.y_train.double().var(correction=0)))
    return total / SEEDS


def test_chosen_is_the_best_of_all_that_was_tried() -> None:
    search = finished(compared(SMALL, (SGD(), Momentum()), seeds=1))
    for rival, chosen in enumerate(search.chosen):
        tried = [rule for part in trials(search, rival) for rule in part]
        assert len(tried) == TRIALS * ROUNDS
        scores = [score(rule, SMALL) for rule in tried]
        assert chosen in tried
        assert score(chosen, SMALL) == pytest.approx(min(scores), rel=1e-5)


def told(monkeypatch: pytest.MonkeyPatch, rounds: list[dict[int, list[float]]]) -> Tuned:
    """A search whose trials end with these shares of the mean's loss, nan for diverged, else with 0.9."""
    given = iter(rounds)

    def measured(training: Training, rules: int, seeds: int, epochs: int) -> Measures:
        worst = np.array([training.problem(s).baseline for s in range(seeds)])
        shares = np.full((rules, seeds), 0.9)
        for trial, values in next(given).items():
            shares[trial] = values
        loss = np.repeat((shares * worst)[:, :, None], epochs + 1, 2)
        return Measures(loss, loss, shares, loss, np.isnan(shares), shares)

    monkeypatch.setattr(tuned, "measure", measured)
    return finished(compared(SMALL.but(epochs=1), seeds=1))


def test_a_setting_that_loses_a_seed_is_worse_than_one_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    search = told(monkeypatch, [{3: [0.1, 0.1, np.nan], 4: [0.5] * 3, TRIALS + 7: [0.2] * 3}, {}])
    assert search.chosen == (trials(search, 0)[0][4], trials(search, 1)[0][7])


def test_what_the_first_round_found_stays_unless_the_second_finds_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = told(monkeypatch, [{3: [0.2] * 3, TRIALS + 2: [0.2] * 3}, {5: [0.3] * 3, TRIALS + 5: [0.1] * 3}])
    assert search.chosen == (trials(search, 0)[0][3], trials(search, 1)[1][5])


def test_the_comparison_trains_what_was_chosen() -> None:
    search, summaries = searched("boston")
    training = search.training
    assert training is not None
    assert [c.optimizer for c in training.configs] == [rule for rule in search.chosen for _ in range(5)]
    assert [s.rule for s in summaries] == list(search.chosen)
    assert all(training.records(run)[-1].epoch == 20 for run in range(10))
    assert search.configs == training.configs
    stack, seat = search.place(7)
    assert (stack, seat) == training.place(7)


def test_settings_that_diverge_do_not_crash_and_are_not_chosen() -> None:
    """On raw columns every effective step from 1e-4 on is far above the limit."""
    raw = Config().but(dataset="boston", scale=False, epochs=2)
    search = finished(compared(raw))
    assert all(part.records(0)[-1].status == "diverged" for part in search._rounds)
    assert len(search.chosen) == 2
    calm = finished(compared(SMALL))
    assert any(
        calm._rounds[0].records(run)[-1].status == "diverged" for run in range(len(calm._rounds[0].configs))
    )
    assert calm.training is not None
    assert all(calm.training.records(run)[-1].status == "finished" for run in range(4))


def test_losses_that_vanish_and_targets_that_never_change_are_searched_too() -> None:
    easy = Config().but(dataset="wine", model="linear", epochs=3, batch_size=8)
    assert len(finished(compared(easy, seeds=1)).chosen) == 2
    alone = SMALL.but(valid_fraction=0.0)
    assert len(finished(compared(alone, seeds=1)).chosen) == 2


# --- On its way ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plane", "ravine"])
def test_progress_rises_to_all_that_was_planned(name: str) -> None:
    base = SMALL if name == "plane" else PROBLEMS["ravine"].but(epochs=20)
    search = Tuned(compared(base, seeds=5))
    planned, seen = search.steps, [0]
    while search.active:
        search.advance(7)
        assert seen[-1] <= search.done <= search.steps
        seen.append(search.done)
    assert 0.9 * search.steps <= search.done <= search.steps
    assert 0.8 < search.steps / planned < 1.25


def test_steps_are_as_few_as_asked_for() -> None:
    search = Tuned(compared(SMALL))
    before = search.done
    while search.training is None:
        search.advance(1)
        assert search.done - before <= 1
        before = search.done


def test_before_the_comparison_begins_it_has_no_runs() -> None:
    search = Tuned(compared(SMALL))
    assert (search.chosen, search.training, search.configs, search.tried) == ((), None, [], 0)
    assert search.active
    with pytest.raises(ValueError, match="has not begun: its optimizers are still being tuned"):
        search.place(0)


def test_a_seed_that_leaves_no_room_for_the_search_is_refused_when_the_comparison_is_made() -> None:
    last = 1_000_000_000 - APART - SEEDS + 1
    sentence = (
        "seed must be at most 999,998,998 so that the optimizers can be tuned on other seeds, "
        "got 999,998,999."
    )
    with pytest.raises(NoComparison, match=f"^{sentence}$"):
        compared(SMALL.but(seed=last + 1))
    searched = {c.seed for c in Tuned(compared(SMALL.but(seed=last)))._rounds[0].configs}
    assert searched == {1_000_000_000 - s for s in range(SEEDS)}
