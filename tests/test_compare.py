"""Comparisons: who is compared with whom, at which rates, and the numbers and lines that come of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from core.compare import (
    MODES,
    ROWS,
    Comparison,
    Measures,
    NoComparison,
    Rivals,
    curves,
    label,
    meanings,
    measure,
    metric_name,
    shown,
    summarise,
    table,
    usual_target,
)
from core.config import Config
from core.engine import Training
from core.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSprop
from core.registry import Flag, Interval, OutOfRange, UnknownName
from core.statistics import estimate, paired

MOONS = Config().but(dataset="moons", model="mlp", hidden=(8,), epochs=3)
FOUR = Rivals().default
SOON = Config().but(dataset="ravine", condition=10, batch_size=1000, valid_fraction=0.0, epochs=30)


def trained(comparison: Comparison) -> Training:
    training = Training(comparison.configs())
    while training.active:
        training.advance()
    return training


def read(comparison: Comparison) -> Measures:
    rules = len(comparison.rules) + len(comparison.controls)
    return measure(trained(comparison), rules, comparison.seeds, comparison.base.epochs)


def made(loss: np.ndarray, diverged: list[tuple[int, int]] | None = None) -> Measures:
    """Measures with these losses (R, S, E + 1); a diverged run's are nan where the caller says so."""
    dead = np.zeros(loss.shape[:2], dtype=bool)
    for place in diverged or []:
        dead[place] = True
    seconds = np.broadcast_to(0.5 * np.arange(loss.shape[2]), loss.shape).copy()
    seconds[np.isnan(loss)] = np.nan
    unknown = np.full(loss.shape[:2], np.nan)
    return Measures(loss, 0.9 * loss, unknown, seconds, dead, unknown)


# --- Who is compared -----------------------------------------------------------------------------------


def test_rivals_of_a_seed_share_split_first_weights_and_batches() -> None:
    comparison = Comparison(MOONS, FOUR, seeds=3)
    training = Training(comparison.configs(comparison.rules))
    first = {run: training.place(run) for run in range(12)}
    weights = {run: stack.params(seat).clone() for run, (stack, seat) in first.items()}
    training.advance(1)
    for seed in range(3):
        own = range(seed, 12, 3)
        problems = {id(training.problem(run)) for run in own}
        losses = {float(stack.history.batch_loss[0, seat]) for stack, seat in (first[run] for run in own)}
        starts = {tuple(training.records(run)[0][2:8][:4]) for run in own}
        assert len(problems) == len(losses) == len(starts) == 1
        assert all(torch.equal(weights[run], weights[seed]) for run in own)
    assert len({float(first[seed][0].history.batch_loss[0, first[seed][1]]) for seed in range(3)}) == 3


def test_batches_stay_the_same_when_rivals_have_gone_different_ways() -> None:
    """With a rate too small to change a weight, a loss tells which rows a step saw."""
    still = (SGD(1e-8), Momentum(1e-8, 0.5))
    training = trained(Comparison(MOONS, still, seeds=2))
    stack, seats = training.stacks[0], [training.place(run)[1] for run in range(4)]
    seen = stack.history.batch_loss[:, seats]
    np.testing.assert_allclose(seen[:, :2], seen[:, 2:], rtol=1e-4)
    assert np.abs(seen[:, 0] - seen[:, 1]).max() > 0.01


def test_rivals_differ_in_the_rule_alone_and_seeds_count_from_the_base() -> None:
    comparison = Comparison(MOONS.but(seed=7), FOUR, seeds=3)
    configs = comparison.configs(comparison.rules)
    assert [c.seed for c in configs] == [7, 8, 9] * 4
    assert [c.optimizer for c in configs[::3]] == list(FOUR)
    assert len({replace(c, optimizer=SGD(), seed=0) for c in configs}) == 1


def test_eight_rivals_by_eight_seeds_of_an_mlp_are_one_stack() -> None:
    eight = tuple(Momentum(0.01 * (k + 1)) for k in range(4)) + FOUR[:1] + (Nesterov(), Adam(), RMSprop())
    base = Config().but(dataset="moons", model="mlp", epochs=1)
    comparison = Comparison(base, eight, seeds=8)
    assert len(Training(comparison.configs(comparison.rules)).stacks) == 1
    assert len(Training(comparison.configs()).stacks) == 1


def test_what_is_measured_stands_in_the_order_of_the_rivals() -> None:
    comparison = Comparison(MOONS, (Adam(0.01), SGD(0.1), Nesterov(0.05)), seeds=2)
    training = trained(comparison)
    measures = measure(training, 3, 2, 3)
    for run in range(6):
        records = training.records(run)
        at = divmod(run, 2)
        assert measures.loss[at].tolist() == pytest.approx([r.valid_loss for r in records])
        assert measures.train[at].tolist() == pytest.approx([r.train_loss for r in records])
        assert measures.metric[at] == pytest.approx(records[-1].valid_metric)
    assert [c.optimizer.name for c in training.configs[::2]] == ["adam", "sgd", "nesterov", "sgd"]


def test_without_a_validation_part_the_training_loss_is_judged() -> None:
    comparison = Comparison(SOON.but(epochs=2), (SGD(), Momentum()), seeds=2)
    measures = read(comparison)
    np.testing.assert_array_equal(measures.loss, measures.train)
    assert np.isfinite(measures.metric).all()


def test_a_training_that_has_not_begun_can_be_measured_and_drawn() -> None:
    measures = measure(None, 2, 3, 4)
    assert np.isnan(measures.loss).all()
    assert not measures.diverged.any()
    assert math.isnan(usual_target(measures, 2))
    for axis in ("epochs", "updates", "gradients", "seconds"):
        assert len(curves(measures, 2, MOONS, axis)) <= 2
    assert [s.mean("epochs").n for s in summarise(measures, FOUR[:2], math.nan)] == [0, 0]


def test_a_run_whose_first_loss_is_not_finite_counts_as_diverged() -> None:
    measures = read(Comparison(SOON, (SGD(1e4), SGD(0.1)), seeds=2))
    assert measures.diverged.tolist() == [[True, True], [False, False]]
    training = Training(Comparison(SOON, (SGD(1e3), SGD(0.1)), seeds=1).configs())
    stack = training.stacks[0]
    stack._live = (stack._seats, torch.full_like(stack._params, math.nan))
    stack._before = stack._params
    training.advance()
    assert measure(training, 2, 1, 30).diverged.all()


# --- Modes ---------------------------------------------------------------------------------------------


def test_as_set_changes_nothing() -> None:
    assert Comparison(MOONS, FOUR).rules == FOUR


def test_same_rate_gives_all_the_first_ones_and_changes_nothing_else() -> None:
    given = (SGD(0.03), Momentum(0.5, 0.8, 0.1), Adam(0.2, beta1=0.5))
    rules = Comparison(MOONS, given, mode="same").rules
    assert rules == (SGD(0.03), Momentum(0.03, 0.8, 0.1), Adam(0.03, beta1=0.5))


def test_same_effective_step_divides_the_rate_by_what_momentum_multiplies() -> None:
    given = (SGD(0.1), Momentum(7.0, 0.9), Momentum(1.0, 0.5, dampening=0.5), Nesterov(0.3, 0.99), Adam(0.2))
    rules = Comparison(MOONS, given, mode="effective").rules
    assert [r.learning_rate for r in rules] == pytest.approx([0.1, 0.01, 0.1, 0.001, 0.2])
    assert [r.effective_step for r in rules[:4]] == pytest.approx([0.1] * 4)
    assert [getattr(r, "momentum", None) for r in rules] == [None, 0.9, 0.5, 0.99, None]


def test_same_effective_step_takes_the_first_one_even_when_it_has_momentum() -> None:
    rules = Comparison(MOONS, (Momentum(0.01, 0.9), SGD(3.0)), mode="effective").rules
    assert [r.learning_rate for r in rules] == pytest.approx([0.01, 0.1])


@pytest.mark.parametrize(
    ("rivals", "rate"),
    [((Momentum(1e4, 0.99), SGD(0.1)), "1e[+]06"), ((SGD(1e-8), Momentum(0.1, 0.9)), "1e-09")],
)
def test_a_step_that_no_learning_rate_makes_is_no_comparison(
    rivals: tuple[Optimizer, ...], rate: str
) -> None:
    with pytest.raises(NoComparison, match=f"would need the learning rate {rate} .* in .1e-08, 10000"):
        Comparison(MOONS, rivals, mode="effective")


def test_where_the_first_has_no_effective_step_rates_stay() -> None:
    given = (Adam(0.01), SGD(0.1), Momentum(0.02, 1.0))
    assert Comparison(MOONS, given, mode="effective").rules == given
    assert Comparison(MOONS, given[::-1], mode="effective").rules == given[::-1]


def test_every_mode_has_a_title_and_one_thing_that_it_can_prove() -> None:
    assert list(MODES) == ["own", "same", "effective", "tuned"]
    assert all(mode.title and mode.proves.endswith(".") for mode in MODES.values())


def test_each_rival_with_momentum_has_a_control_that_goes_as_far_without_it() -> None:
    given = (SGD(0.5), Momentum(0.01, 0.9, weight_decay=0.2), Nesterov(0.02, 0.5), Momentum(0.3, 0.0), Adam())
    controls = Comparison(MOONS, given).controls
    assert list(controls) == [1, 2]
    assert controls[1].learning_rate == pytest.approx(0.1)
    assert controls[1].weight_decay == 0.2
    assert controls[2] == SGD(0.04)
    assert not Comparison(MOONS, given, mode="tuned").controls


def test_a_control_that_no_learning_rate_can_make_is_left_out() -> None:
    comparison = Comparison(MOONS, (SGD(), Momentum(100.0, 0.9999), Momentum(0.1, 1.0)))
    assert comparison.controls == {}
    assert len(comparison.configs()) == 15


# --- What cannot be compared ---------------------------------------------------------------------------


def test_identical_rivals_are_refused_by_name() -> None:
    with pytest.raises(NoComparison, match="SGD is there twice with the same settings"):
        Comparison(MOONS, (SGD(0.1), Adam(), SGD(0.1)))


def test_rivals_that_a_mode_makes_identical_are_refused_with_the_mode() -> None:
    given = (SGD(0.1), SGD(0.2))
    Comparison(MOONS, given)
    for mode in ("same", "effective", "tuned"):
        with pytest.raises(NoComparison, match=f"SGD .* twice .*{MODES[mode].title}"):
            Comparison(MOONS, given, mode=mode)


def test_rivals_that_differ_in_what_is_searched_only_are_the_same_when_tuned() -> None:
    with pytest.raises(NoComparison, match="momentum is there twice"):
        Comparison(MOONS, (SGD(), Momentum(0.1, 0.5), Momentum(0.2, 0.9)), mode="tuned")
    Comparison(MOONS, (Momentum(0.1, 0.5), Momentum(0.1, 0.5, weight_decay=0.1)), mode="tuned")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_and_too_many_rivals_are_refused_with_how_many_are_good(count: int) -> None:
    with pytest.raises(NoComparison, match=f"rivals must be 2 to 8 optimizers, got {count}"):
        Comparison(MOONS, tuple(SGD(0.1 * (k + 1)) for k in range(count)))


@pytest.mark.parametrize("seeds", [0, 33, -1, 2.5, math.nan])
def test_a_bad_number_of_seeds_is_answered(seeds: float) -> None:
    with pytest.raises(OutOfRange, match=r"seeds must be a whole number in \[1, 32\]"):
        Comparison(MOONS, FOUR, seeds)  # type: ignore[arg-type]


def test_a_whole_number_of_seeds_may_come_as_a_float() -> None:
    assert len(Comparison(MOONS, FOUR[:2], 2.0).configs(FOUR[:2])) == 4  # type: ignore[arg-type]


@pytest.mark.parametrize(("seeds", "last"), [(1, "1,000,000,000"), (5, "999,999,996"), (32, "999,999,969")])
def test_seeds_may_count_to_the_last_that_there_is_and_no_further(seeds: int, last: str) -> None:
    seed = int(last.replace(",", ""))
    comparison = Comparison(replace(MOONS, seed=seed), FOUR, seeds)
    assert max(c.seed for c in comparison.configs()) == 1_000_000_000
    if seeds > 1:
        sentence = (
            f"seed must be at most {last} so that there are {seeds} seeds from it on, got {seed + 1:,}."
        )
        with pytest.raises(NoComparison, match=f"^{sentence}$"):
            Comparison(replace(MOONS, seed=seed + 1), FOUR, seeds)


def test_an_unknown_mode_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'tuned'.*own, same, effective, tuned"):
        Comparison(MOONS, FOUR, mode="tunned")


# --- Links ---------------------------------------------------------------------------------------------


def other(kind: type[Optimizer]) -> Optimizer:
    """A rule with none of its settings at its default."""
    numbers = {}
    for place, (key, record) in enumerate(kind.settings().items()):
        if isinstance(record, Interval):
            numbers[key] = min(
                record.high, max(record.low, record.default * 0.7 + 0.0123456789 * (place + 1))
            )
        elif isinstance(record, Flag):
            numbers[key] = not record.default
    return kind(**numbers)


def test_rivals_of_every_rule_come_back_from_a_link_as_they_were() -> None:
    record = Rivals()
    rules = tuple(other(kind) for kind in OPTIMIZERS.values())
    for rule in rules:
        assert all(getattr(rule, key) != r.default for key, r in rule.settings().items())
    assert record.parse("rivals", record.text(rules)) == rules
    assert record.parse("rivals", record.text(record.default)) == record.default


def test_a_link_holds_only_what_differs_from_the_defaults() -> None:
    assert Rivals().text((SGD(), Momentum(0.1), Adam(amsgrad=True))) == (
        "sgd,momentum:learning_rate=0.1,adam:amsgrad=true"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "rivals must be 2 to 8 optimizers, got 0"),
        ("sgd", "rivals must be 2 to 8 optimizers, got 1"),
        (",".join(["sgd"] * 9), "rivals must be 2 to 8 optimizers, got 9"),
        ("sgd,momentom", "No optimizer named 'momentom'. Did you mean 'momentum'?"),
        ("sgd,adam:momentum=0.9", "adam has no 'momentum'; it has learning_rate, beta1"),
        ("sgd,momentum:momentum=1.5", r"momentum must be a number in \[0, 1\], got 1.5"),
        ("sgd,momentum:momentum", "momentum must be a number in .*, got nothing"),
        ("sgd:learning_rate=fast,adam", "learning_rate must be a number in .*, got 'fast'"),
        ("sgd,adam:amsgrad=perhaps", "amsgrad must be true or false, got 'perhaps'"),
        ("sgd,:", "No optimizer named ''"),
    ],
)
def test_bad_words_in_a_link_are_answered_with_what_would_be_good(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Rivals().parse("rivals", text)


def test_a_label_tells_rate_and_momentum() -> None:
    assert label(SGD(0.1)) == "SGD · η 0.1"
    assert label(Momentum(0.01234, 0.95)) == "SGD + momentum · η 0.0123 · μ 0.95"
    assert label(Momentum(0.1, 0.0)) == "SGD + momentum · η 0.1 · μ 0"
    assert label(Adam(0.01)) == "Adam · η 0.01 · β₁ 0.9"
    assert label(RMSprop(0.01)) == "RMSprop · η 0.01"
    assert label(RMSprop(0.01, momentum=0.5)) == "RMSprop · η 0.01 · μ 0.5"


def test_labels_tell_rivals_apart_that_differ_in_any_setting() -> None:
    for kind in OPTIMIZERS.values():
        changed = other(kind)
        several = [kind(), *(replace(kind(), **{k: getattr(changed, k)}) for k in kind.settings())]
        assert len({label(rule) for rule in several}) == len(several), kind.name
    assert label(AdamW(weight_decay=0.0)) == "AdamW · η 0.001 · β₁ 0.9 · λ 0"


# --- Summaries -----------------------------------------------------------------------------------------


def test_a_summary_is_the_last_the_lowest_and_the_mean_of_each_seed() -> None:
    loss = np.array([[[4.0, 1.0, 2.0], [3.0, 2.0, 1.0]]])
    (summary,) = summarise(made(loss), [SGD()], 1.5)
    assert summary.final.tolist() == [2.0, 1.0]
    assert summary.best.tolist() == [1.0, 1.0]
    assert summary.area.tolist() == pytest.approx([7 / 3, 2.0])
    assert summary.train.tolist() == pytest.approx([1.8, 0.9])
    assert summary.epochs.tolist() == [1.0, 2.0]
    np.testing.assert_equal(summary.lasting, [np.nan, 2.0])
    assert (summary.seeds, summary.diverged) == (2, 0.0)


def test_a_seed_that_misses_the_target_is_a_miss_and_no_large_number() -> None:
    loss = np.array([[[4.0, 0.5], [4.0, 2.0]], [[4.0, 3.0], [4.0, 3.0]]])
    first, second = summarise(made(loss), FOUR[:2], 1.0)
    assert np.isnan(first.epochs).tolist() == np.isnan(first.lasting).tolist() == [False, True]
    assert np.isnan(second.epochs).all()
    rows = table([first, second])
    assert rows["Epochs to target"].tolist() == ["1 · missed by 1 of 2", "missed by 2 of 2"]
    assert rows["Epochs to target, for good"].tolist() == rows["Epochs to target"].tolist()
    again = summarise(made(np.array([[[4.0, 0.5, 2.0, 0.5]]])), [SGD()], 1.0)
    assert table(again)[["Epochs to target", "Epochs to target, for good"]].to_numpy().tolist() == [
        ["1", "3"]
    ]
    assert rows["Loss relative to baseline"].tolist() == [
        "",
        shown(paired(second.final, first.final, log=True)),
    ]
    assert rows["Loss relative to baseline"][1].startswith("3 [")


def test_the_time_to_a_target_is_the_first_and_for_good_that_of_the_last_crossing() -> None:
    """Oracle: for each epoch, whether all from there on are at or below the target."""
    rng = np.random.default_rng(0)
    loss = rng.uniform(0.0, 2.0, (1, 200, 9)) * np.linspace(1.5, 0.5, 9)
    loss[0, 150:, 5:] = np.nan  # these still run
    (summary,) = summarise(made(loss), [SGD()], 1.0)
    for seed in range(200):
        known = loss[0, seed][np.isfinite(loss[0, seed])]
        good = [e for e in range(len(known)) if (known[e:] <= 1.0).all()]
        hits = np.flatnonzero(known <= 1.0)
        np.testing.assert_equal(summary.epochs[seed], hits[0] if len(hits) else np.nan)
        np.testing.assert_equal(summary.lasting[seed], good[0] if good else np.nan)
    assert (summary.lasting >= summary.epochs)[np.isfinite(summary.lasting)].all()
    assert (summary.lasting > summary.epochs).any()
    assert (np.isnan(summary.lasting) & np.isfinite(summary.epochs)).any()


def test_losses_are_compared_as_ratios_on_the_same_seeds_and_other_numbers_as_differences() -> None:
    loss = np.array([[[4.0, 0.5], [4.0, 2.0], [4.0, 3.0]], [[4.0, 1.0], [4.0, 4.0], [4.0, 6.0]]])
    first, second = summarise(made(loss), FOUR[:2], 2.5)
    assert second.against(first)[:3] == pytest.approx((2, 2, 2))
    assert first.mean().mean == pytest.approx(3 ** (1 / 3))
    assert second.against(first, "epochs").n == 1
    assert second.mean("epochs").mean == 1.0


def test_every_column_with_an_interval_is_explained_and_nothing_else() -> None:
    measures = made(np.array([[[4.0, 1.0], [4.0, 2.0]]]))
    for words in (("Validation loss", "R²"), ("Training loss", "Accuracy")):
        explained = meanings(*words)
        columns = list(table(summarise(measures, [SGD()], 1.0), *words))
        assert [c for c in columns if c not in explained] == ["Optimizer", "Diverged"]
        assert list(explained) == [c for c in columns if c in explained]
        assert all(text.endswith(".") for text in explained.values())
    assert "first epoch at or below" in explained["Epochs to target"]
    assert "from which on every epoch is at or below" in explained["Epochs to target, for good"]


def test_a_target_that_is_met_at_the_start_takes_no_epochs_and_one_out_of_reach_is_missed_by_all() -> None:
    loss = np.array([[[4.0, 1.0], [4.0, 1.0]]])
    (met,) = summarise(made(loss), [SGD()], 9.0)
    assert met.epochs.tolist() == met.lasting.tolist() == [0.0, 0.0]
    for target in (-1.0, 0.0, math.nan):
        (missed,) = summarise(made(loss), [SGD()], target)
        assert np.isnan([missed.epochs, missed.lasting]).all()


def test_what_a_diverged_seed_reached_before_does_not_count() -> None:
    loss = np.array([[[4.0, 0.1, np.nan], [4.0, 2.0, 1.0]]])
    (summary,) = summarise(made(loss, [(0, 0)]), [SGD()], 0.5)
    assert np.isnan(summary.final).tolist() == [True, False]
    assert np.isnan(summary.best).tolist() == [True, False]
    assert np.isnan([summary.epochs, summary.lasting]).all()
    assert summary.diverged == 0.5
    assert table([summary])["Diverged"][0] == "1 of 2"


def test_all_diverged_gives_a_table_and_no_numbers() -> None:
    loss = np.full((2, 3, 4), np.nan)
    loss[:, :, 0] = 1.0
    measures = made(loss, [(r, s) for r in range(2) for s in range(3)])
    rows = table(summarise(measures, FOUR[:2], usual_target(measures, 2)))
    assert rows["Final validation loss"].tolist() == ["–", "–"]
    assert rows["Diverged"].tolist() == ["3 of 3", "3 of 3"]
    assert table(summarise(measures, FOUR[:2], 0.0), metric="Accuracy")["Accuracy"].tolist() == ["–", "–"]


def test_the_table_names_its_metric_and_has_no_column_twice() -> None:
    assert metric_name(Config().but(dataset="moons")) == "Accuracy"
    assert metric_name(Config()) == "R²"
    loss = np.array([[[4.0, 1.0], [4.0, 2.0]]])
    measures = replace(made(loss), metric=np.array([[0.5, 1.0]]))
    summaries = summarise(measures, [SGD()], 1.0)
    assert table(summaries, metric="R²")["R²"][0].startswith("0.75 [")
    assert table(summaries, metric="Accuracy")["Accuracy"][0] == "75 % [0, 100]"
    losses = [name for name in table(summaries) if name.endswith(" loss")]
    assert losses == ["Final validation loss", "Final training loss", "Lowest validation loss"]
    alone = [name for name in table(summaries, "Training loss") if name.endswith(" loss")]
    assert alone == ["Final training loss", "Lowest training loss"]
    assert next(iter(table(summaries))) == "Optimizer"


def test_the_usual_target_is_95_percent_of_the_way_to_the_lowest_mean() -> None:
    loss = np.array([[[10.0, 5.0, 2.0], [12.0, 5.0, 0.0]], [[10.0, 6.0, 6.0], [12.0, 4.0, 4.0]]])
    assert usual_target(made(loss), 2) == pytest.approx(11.0 - 0.95 * 10.0)
    assert usual_target(made(loss), 1) == pytest.approx(11.0 - 0.95 * 10.0)
    assert usual_target(made(loss[1:]), 1) == pytest.approx(11.0 - 0.95 * 6.0)


def test_what_diverged_sets_no_target() -> None:
    loss = np.array([[[10.0, 0.001, np.nan]], [[10.0, 6.0, 5.0]]])
    assert usual_target(made(loss, [(0, 0)]), 2) == pytest.approx(10.0 - 0.95 * 5.0)
    assert np.isfinite(usual_target(made(loss, [(0, 0), (1, 0)]), 2))


# --- Lines ---------------------------------------------------------------------------------------------

CALM = np.linspace(4.0, 1.0, 11)


def diverging(calm: np.ndarray = CALM) -> Measures:
    """Two rivals of three seeds; one seed of the second grows a hundredfold and is lost after epoch 6."""
    loss = np.stack([np.stack([calm * f for f in (0.9, 1.0, 1.1)])] * 2)
    loss[1, 2, 3:7] = [6.0, 20.0, 90.0, 400.0]
    loss[1, 2, 7:] = np.nan
    return made(loss, [(1, 2)])


def test_a_diverged_seed_never_stretches_the_axis_of_the_others() -> None:
    frame = curves(diverging(), 2, MOONS)
    drawn = frame.filter(regex="^(m|l|h|lost)").to_numpy()
    assert np.nanmax(drawn) <= np.float32(4.4)
    assert np.nanmin(drawn) >= np.float32(0.9)


def test_the_mark_of_a_diverged_seed_stands_on_its_last_drawn_value() -> None:
    frame = curves(diverging(), 2, MOONS)
    marks = frame.dropna(subset="lost1")
    assert len(marks) == 1
    assert marks["x"].item() == 2
    assert marks["lost1"].item() == pytest.approx(CALM[2] * 1.1)
    assert frame["lost0"].isna().all()


def test_a_diverged_seed_that_is_above_all_others_from_the_start_is_marked_at_the_top() -> None:
    measures = diverging()
    measures.loss[1, 2, :7] = 1e5
    marks = curves(measures, 2, MOONS).dropna(subset="lost1")
    assert marks["lost1"].item() == pytest.approx(4.4)
    assert marks["x"].item() == 0


def test_mean_and_band_are_those_of_the_seeds_and_the_mean_is_that_of_the_table() -> None:
    frame = curves(diverging(), 2, MOONS).dropna(subset="m0")
    np.testing.assert_allclose(frame["m0"], CALM * (0.9 * 1.1) ** (1 / 3), rtol=1e-6)
    assert frame["m0"].iloc[-1] == pytest.approx(summarise(diverging(), FOUR[:2], 0.0)[0].mean().mean)
    each = [estimate(CALM[e] * np.array([0.9, 1.0, 1.1]), log=True) for e in range(11)]
    lowest, highest = 0.9 * CALM[-1], 1.1 * CALM[0]
    np.testing.assert_allclose(frame["l0"], [max(e.low, lowest) for e in each], rtol=1e-6)
    np.testing.assert_allclose(frame["h0"], [min(e.high, highest) for e in each], rtol=1e-6)
    late = curves(diverging(), 2, MOONS).dropna(subset="m1").set_index("x").loc[8]
    assert late["m1"] == pytest.approx(0.9**0.5 * CALM[8])


def test_all_diverged_gives_a_table_that_can_be_drawn() -> None:
    comparison = Comparison(SOON, (SGD(100.0), Momentum(100.0)), seeds=2)
    measures = read(comparison)
    assert measures.diverged.all()
    frame = curves(measures, 2, SOON)
    assert np.isfinite(frame["x"]).all()
    assert frame[["lost0", "lost1"]].notna().sum().tolist() == [1, 1]
    assert np.isfinite(usual_target(measures, 2))


def test_a_real_divergence_leaves_the_others_lines_as_they_are() -> None:
    calm, wild = (SGD(0.1), SGD(0.2)), (SGD(0.1), SGD(0.2), SGD(1.0))
    alone, beside = (read(Comparison(SOON, rivals, 3)) for rivals in (calm, wild))
    assert beside.diverged.tolist() == [[False] * 3, [False] * 3, [True] * 3]
    columns = ["x", "m0", "l0", "h0", "m1", "l1", "h1"]
    one = curves(alone, 2, SOON)[columns].dropna()
    two = curves(beside, 3, SOON)
    pd.testing.assert_frame_equal(one, two[columns].dropna(), check_like=True)
    assert np.nanmax(two.filter(regex="2$").to_numpy()) <= np.float32(alone.loss.max())


@pytest.mark.parametrize("axis", ["epochs", "updates", "gradients", "seconds"])
def test_the_same_losses_can_be_read_against_four_measures_of_effort(axis: str) -> None:
    comparison = Comparison(MOONS, FOUR, seeds=2)
    measures = read(comparison)
    frame = curves(measures, 4, MOONS, axis)
    last = {"epochs": 3, "updates": 3 * 25, "gradients": 3 * 800, "seconds": np.nanmax(measures.seconds)}
    assert frame["x"].max() == pytest.approx(last[axis])
    assert frame["x"].is_monotonic_increasing
    for k in range(4):
        line = frame.dropna(subset=f"m{k}")
        assert line["x"].is_monotonic_increasing
        assert len(line) == 4
        np.testing.assert_allclose(line[f"m{k}"], scipy.stats.gmean(measures.loss[k]), rtol=1e-6)


def test_seconds_never_run_backwards_when_a_slow_seed_is_lost() -> None:
    measures = diverging()
    measures.seconds[1, 2] *= 5
    line = curves(measures, 2, MOONS, "seconds").dropna(subset="m1")
    by_epoch = line.sort_values("m1", ascending=False)["x"]
    assert by_epoch.is_monotonic_increasing


def test_the_training_loss_can_be_drawn_instead() -> None:
    measures = made(np.stack([[CALM]]))
    assert curves(measures, 1, MOONS, what="train")["m0"].tolist() == pytest.approx((0.9 * CALM).tolist())


@pytest.mark.parametrize("axis", ["epochs", "seconds"])
def test_what_is_drawn_of_ten_thousand_epochs_is_bounded(axis: str) -> None:
    measures = made(np.linspace(4, 1, 10_001)[None, None] * np.ones((8, 3, 1)))
    frame = curves(measures, 8, MOONS.but(epochs=10_000), axis)
    assert len(frame) <= (ROWS + 4) * (1 if axis == "epochs" else 8)
    assert len(frame.columns) == 33
    assert set(frame.dtypes) == {np.dtype("float32")}
    line = frame.dropna(subset="m7")
    assert ROWS // 2 <= len(line) <= ROWS + 2
    assert line["m7"].iloc[[0, -1]].tolist() == [4.0, 1.0]


def test_an_axis_does_not_move_while_a_run_grows() -> None:
    measures = diverging()
    measures.loss[:, :, 4:] = np.nan
    frame = curves(measures, 2, MOONS, "updates")
    assert (frame["x"].min(), frame["x"].max()) == (0, 250)
