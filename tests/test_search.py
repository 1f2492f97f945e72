"""A search in this process: what it asks, trains, tells, keeps, and how it ends."""

import io
import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import optuna
import pandas as pd
import pytest
import torch

import core
from core.compare import Measures
from core.config import Config
from core.engine import run
from core.registry import OutOfRange
from core.search import BadPlan, BadSpace, Plan, Space, ending, search
from core.search import trials as kept
from core.search.objective import CEILING, Outcome, baseline, ceiling, outcomes, scores, thinned
from core.search.plan import APART, FRESH, LAST_SEED, SAMPLERS, grid, moved, same, sobol, starts
from core.search.sampler import ask
from core.search.space import usual_range
from core.search.study import Search, evaluate
from core.search.truth import Beside, Truth

BOSTON = Config.from_query({"dataset": "boston", "epochs": "4"})
ADAM = Config.from_query({"dataset": "boston", "epochs": "1", "optimizer": "adam"})
WORDS = ("learning_rate", "batch_size", "beta1", "beta2", "epsilon", "weight_decay")
SIX = {count: Space(*map(usual_range, WORDS[:count])) for count in range(1, 7)}
HAND = {"learning_rate": 0.0123, "batch_size": 17, "momentum": 0.5}
WILD = Space(learning_rate=(100.0, 1000.0))


def ended(plan: Plan) -> Search:
    found = Search(plan)
    while found.active:
        found.advance()
    return found


@pytest.fixture(scope="module")
def found() -> Search:
    return ended(Plan(BOSTON, trials=10, seeds=3))


@pytest.fixture(scope="module")
def lost() -> Search:
    return ended(Plan(BOSTON, WILD, trials=6, seeds=2))


def test_the_contract_of_the_design_holds() -> None:
    result = search(
        BOSTON, space=Space(learning_rate=(1e-3, 0.1)), trials=5, seeds=2, batch=2, sampler="random"
    )
    assert isinstance(result.best, Config)
    assert len(result.trials) == 5
    assert {"number", "learning_rate", "score", "state"} <= set(result.trials.columns)
    best = result.trials.loc[result.trials["learning_rate"] == result.best.learning_rate]
    assert len(best) == 1
    assert result.best.seed == BOSTON.seed
    assert "fresh seeds" in result.verdict


def test_a_trial_s_score_is_the_mean_log_loss_of_its_seeds_trained_one_by_one(found: Search) -> None:
    """Oracle: each run alone, read from the engine's own table; the ceiling from scratch in numpy."""
    plan, row = found.plan, found.table().iloc[3]
    config = plan.space.config(plan.config, row)
    logs = []
    for seed in range(plan.seeds):
        alone = replace(config, seed=seed)
        losses = run([alone])["valid_loss"].to_numpy()
        split = torch.randperm(506, generator=torch.Generator().manual_seed(3 * seed)).numpy()
        y = BOSTON.dataset.targets
        valid, train = y[split[:101]], y[split[101:]]
        worst = 1.5 * np.mean((valid - train.mean()) ** 2) / train.var()
        logs.append(np.log10(min(losses[-1], worst)))
    assert row["score"] == pytest.approx(np.mean(logs), rel=1e-5)
    assert row["error"] == pytest.approx(np.std(logs, ddof=1) / np.sqrt(3), rel=1e-4)
    assert row["scores"] == pytest.approx(logs, rel=1e-5)


def test_a_worker_s_trial_comes_to_the_same_as_one_of_a_round(found: Search) -> None:
    row = found.table().iloc[5]
    alone = evaluate(found.plan, {word: row[word] for word in found.plan.space.words})
    assert kept.value(alone) == row["score"]


def test_the_ceiling_is_that_of_predicting_the_mean_and_for_classes_of_their_shares() -> None:
    from core.engine.problem import problem

    iris = Config.from_query({"dataset": "iris"})
    known = problem(iris)
    shares = np.bincount(iris.dataset.targets[known.train_index], minlength=3) / len(known.train_index)
    judged = iris.dataset.targets[known.valid_index]
    assert ceiling(known) == pytest.approx(-1.5 * np.log(shares[judged]).mean(), rel=1e-5)
    whole = replace(BOSTON, valid_fraction=0.0)
    assert ceiling(problem(whole)) == pytest.approx(CEILING, rel=1e-4)
    each = [ceiling(problem(replace(BOSTON, seed=s))) / CEILING for s in range(3)]
    assert baseline(BOSTON, 3) == pytest.approx(np.prod(each) ** (1 / 3))


def test_what_diverged_or_is_worse_than_the_ceiling_has_the_ceiling_and_never_nan() -> None:
    told = scores(np.array([[np.nan, 0.1], [50.0, 0.0]]), np.array([2.0, 1.0]))
    assert told.tolist() == [[np.log10(2.0), -1.0], [np.log10(2.0), -12.0]]
    assert scores(np.array([np.nan, 0.1]), np.array([2.0, 1.0]), logarithm=False).tolist() == [2.0, 0.1]


def test_the_first_trials_are_what_the_page_had_and_four_spread_ones_and_then_the_model_is_asked(
    found: Search,
) -> None:
    frame = found.table()
    assert frame["kind"].tolist() == ["default", *["start"] * 4, *["model"] * 5]
    assert frame.loc[0, "learning_rate"] == BOSTON.learning_rate
    assert frame["mean"].notna().tolist() == [False] * 5 + [True] * 5
    assert (frame["improvement"].dropna() > 0).all()
    assert not frame.duplicated(list(found.plan.space.words)).any()


def test_the_same_plan_gives_the_same_trials_whatever_else_drew_numbers_meanwhile(found: Search) -> None:
    torch.manual_seed(17)
    np.random.seed(17)
    before = torch.random.get_rng_state()
    again = ended(found.plan)
    words = [*found.plan.space.words, "score"]
    pd.testing.assert_frame_equal(again.table()[words], found.table()[words])
    assert torch.equal(torch.random.get_rng_state(), before)
    other = ended(replace(found.plan, seed=1, trials=5))
    assert other.table()["learning_rate"].tolist()[1:] != found.table()["learning_rate"].tolist()[1:5]


@pytest.mark.parametrize("sampler", ["gp", "tpe", "sobol", "random", "grid"])
def test_every_sampler_searches_in_the_space_to_the_end(sampler: str) -> None:
    plan = Plan(BOSTON, trials=7, seeds=2, sampler=sampler)
    frame = ended(plan).table()
    assert frame["score"].notna().all()
    assert len(frame.drop_duplicates(list(plan.space.words))) == 7
    for r in plan.space.ranges:
        assert frame[r.word].between(r.low, r.high).all()


SQUARES = Config.from_query({"dataset": "squares", "epochs": "2"})
each_sampler = pytest.mark.parametrize("sampler", list(SAMPLERS))


@each_sampler
def test_a_space_of_few_settings_has_each_tried_once_and_then_the_search_ends_and_says_so(
    sampler: str,
) -> None:
    """79 rows are trained on, so batches of 79 and of 10,000 are the same."""
    plan = Plan(SQUARES, Space(batch_size=(72, 10_000)), trials=20, seeds=1, batch=3, sampler=sampler)
    found = ended(plan)
    sizes = found.table()["batch_size"]
    assert sorted(min(n, SQUARES.train_rows) for n in sizes) == list(range(72, 80))
    assert found.target == found.ended == 8
    assert "The search has tried all 8 different settings of its ranges" in ending.verdict(
        found.plan, found.table(), found.checks
    )
    with pytest.raises(OutOfRange, match="has tried all 8 different settings of its ranges: extend a range"):
        found.extend(1)
    assert found.target == 8


@each_sampler
def test_a_search_over_whole_numbers_makes_no_runs_twice_while_new_ones_are_left(sampler: str) -> None:
    plan = Plan(SQUARES, Space(batch_size=(1, 10_000)), trials=40, seeds=1, batch=8, sampler=sampler)
    sizes = ended(plan).table()["batch_size"].clip(upper=SQUARES.train_rows)
    assert len(sizes) == sizes.nunique() == 40


@each_sampler
def test_a_search_that_is_made_longer_tries_only_what_is_left(sampler: str) -> None:
    found = ended(Plan(SQUARES, Space(batch_size=(1, 7)), trials=3, seeds=1, batch=2, sampler=sampler))
    found.extend(2)
    until(found, lambda: not found.active)
    assert found.table()["batch_size"].nunique() == found.ended == 5
    found.extend(10)
    until(found, lambda: not found.active)
    assert found.table()["batch_size"].nunique() == found.ended == found.target == 7


def test_a_search_in_other_ranges_ends_when_all_of_them_has_been_tried() -> None:
    found = ended(Plan(SQUARES, Space(batch_size=(1, 4)), trials=4, seeds=1))
    moved_on = found.moved(replace(found.plan, space=Space(batch_size=(3, 6))), more=10)
    until(moved_on, lambda: not moved_on.active)
    assert sorted(moved_on.table()["batch_size"]) == [3, 4, 5, 6]
    assert moved_on.target == 4


def test_a_setting_by_hand_may_repeat_and_says_so() -> None:
    found = ended(Plan(SQUARES, Space(batch_size=(1, 10_000)), trials=3, seeds=1))
    for size in (500, 700, 80, 78):
        found.enqueue({"batch_size": size})
    until(found, lambda: not found.active)
    frame = found.table().iloc[3:]
    assert frame["kind"].tolist() == ["hand", "again", "again", "hand"]
    assert frame["score"].nunique() == 2
    assert "its runs are those of an earlier one" in ending.why(frame.iloc[1], found.plan)


def test_a_setting_that_failed_is_tried_again_by_the_sampler() -> None:
    plan = Plan(SQUARES, Space(batch_size=(1, 3)), trials=3, seeds=1, sampler="random")
    study = kept.create(plan)
    first = ask(study, plan.space.distributions())
    study.tell(first, state=optuna.trial.TrialState.FAIL)
    sizes = [ask(study, plan.space.distributions()).params["batch_size"] for _ in range(3)]
    assert sorted(sizes) == [1, 2, 3]
    assert kept.most(study, plan) == 3


@pytest.mark.parametrize("sampler", ["bayesian", "tpe", "random"])
def test_a_large_space_that_is_nearly_used_up_still_gives_new_settings(sampler: str) -> None:
    """Of 1,100 batch sizes all but the 60 largest are known, too many to be listed as a small space is."""
    config = Config.from_query({"dataset": "mnist5k", "model": "linear"})
    plan = Plan(config, Space(batch_size=(1, 1100)), sampler=sampler)
    study = kept.create(plan, queue=False)
    there = [
        optuna.create_trial(params={"batch_size": n}, distributions=plan.space.distributions(), value=1.0 / n)
        for n in range(1, 1041)
    ]
    study.add_trials(there)
    sizes = [ask(study, plan.space.distributions()).params["batch_size"] for _ in range(3)]
    assert len(set(sizes)) == 3
    assert min(sizes) > 1040


def test_a_grid_has_no_two_cells_of_the_same_runs_and_keeps_its_ends() -> None:
    for low, high in ((1, 10_000), (1, 12), (60, 500), (1, 79)):
        for trials in (2, 7, 11, 40):
            plan = Plan(SQUARES, Space(batch_size=(low, high)), trials=trials, sampler="grid")
            sizes = sorted(values["batch_size"] for values in grid(plan))
            assert len(set(sizes)) == len(sizes) == min(trials, min(high, 79) - low + 1)
            assert (sizes[0], sizes[-1]) == (low, min(high, 79))
    two = Plan(SQUARES, Space(batch_size=(100, 500), learning_rate=(0.01, 0.1)), trials=6, sampler="grid")
    assert len({values["learning_rate"] for values in grid(two)}) == len(grid(two)) == 6


def test_a_grid_spreads_the_budget_over_the_numbers_ends_included() -> None:
    plan = Plan(BOSTON, trials=20, sampler="grid")
    cells = pd.DataFrame(grid(plan))
    assert sorted(cells.nunique()) == [2, 2, 5]
    assert len(cells.drop_duplicates()) == 20
    assert set(cells["momentum"]) == {0.0, 0.99}
    assert sorted(cells["learning_rate"].unique())[::4] == [1e-4, 0.1]
    small = Plan(BOSTON, Space(learning_rate=(1e-3, 0.1), batch_size=(1, 100)), trials=20, sampler="grid")
    assert sorted(pd.DataFrame(grid(small)).nunique()) == [4, 5]


def test_the_best_three_are_tried_again_on_seeds_that_the_search_has_not_seen(found: Search) -> None:
    assert found.checks is not None
    assert len(found.checks) == 3
    first = found.checks[0]
    assert first.scores.mean() == min(check.scores.mean() for check in found.checks)
    config = found.config(first.number)
    fresh = run([replace(config, seed=APART + s) for s in range(FRESH)])
    assert first.losses == pytest.approx(fresh[fresh["epoch"] == 4]["valid_loss"].to_numpy(), rel=1e-5)
    assert found.best == config


def test_when_all_trials_diverge_the_search_says_so_and_has_no_best(lost: Search) -> None:
    from core.search.ending import verdict

    frame = lost.table()
    assert set(frame["state"]) == {"diverged"}
    assert np.isfinite(frame["score"]).all()
    assert lost.checks == ()
    said = verdict(lost.plan, frame, lost.checks)
    assert said == "All 6 trials so far diverged on some seed. Search smaller learning rates."
    with pytest.raises(BadPlan, match="no trial has completed without diverging"):
        _ = lost.best


def test_a_longer_search_goes_on_where_it_was_and_checks_anew() -> None:
    long = ended(Plan(BOSTON, trials=8, seeds=2, sampler="sobol"))
    found = ended(Plan(BOSTON, trials=5, seeds=2))
    before = found.table()
    found.extend(3)
    assert found.active
    assert found.checks is None
    while found.active:
        found.advance()
    assert found.ended == found.target == found.plan.trials == 8
    pd.testing.assert_frame_equal(found.table().iloc[:5][["score"]], before[["score"]])
    assert len(long.table()) == 8
    with pytest.raises(OutOfRange, match="trials must be"):
        found.extend(1000)
    assert found.target == 8


def test_a_setting_added_by_hand_is_tried_next_and_teaches_the_model() -> None:
    found = Search(Plan(BOSTON, trials=6, seeds=2, batch=1))
    for _ in range(200):
        if found.ended == 5:
            break
        found.advance()
    values = {"learning_rate": 0.0123, "batch_size": 17, "momentum": 0.5}
    found.enqueue(values)
    while found.searching:
        found.advance()
    last = found.table().iloc[5]
    assert (last["kind"], last["learning_rate"], last["batch_size"], last["momentum"]) == (
        "hand",
        0.0123,
        17,
        0.5,
    )
    while found.active:
        found.advance()
    found.enqueue(values | {"momentum": 0.25})
    assert found.target == 7
    while found.active:
        found.advance()
    assert found.table().iloc[6]["momentum"] == 0.25


def test_a_setting_outside_of_the_ranges_is_refused_and_nothing_is_queued() -> None:
    found = Search(Plan(BOSTON, trials=6, seeds=2))
    before = len(found.table())
    with pytest.raises(BadPlan, match=r"momentum must be in \[0, 0.99\], the search range, got 0.999"):
        found.enqueue({"learning_rate": 0.01, "batch_size": 17, "momentum": 0.999})
    with pytest.raises(BadPlan, match=r"batch size must be in \[1, 100\], the search range, got nothing"):
        found.enqueue({"learning_rate": 0.01, "momentum": 0.5})
    assert len(found.table()) == before


def test_other_ranges_take_over_what_lies_inside_and_the_model_goes_on_with_it(found: Search) -> None:
    plan = replace(
        found.plan, space=Space(learning_rate=(1e-4, 0.02), batch_size=(1, 100), momentum=(0, 0.99))
    )
    inside = found.table()
    inside = inside[inside["learning_rate"] <= 0.02]
    new = found.moved(plan)
    taken = new.table()[lambda f: f["kind"] == "before"]
    assert sorted(taken["score"]) == sorted(inside["score"])
    assert len(found.table()) == 10
    while new.active:
        new.advance()
    asked = new.table()[lambda f: f["kind"] == "model"]
    assert asked["mean"].notna().all()
    assert (new.table()["learning_rate"] <= 0.02).all()
    assert new.study.user_attrs["parent"]["taken"] == len(inside)


def test_curves_grow_while_a_round_is_trained_and_stay_when_it_has_ended() -> None:
    found = Search(Plan(BOSTON, trials=4, seeds=2))
    found.advance()
    assert set(found.running()) == {0, 1, 2, 3}
    for _ in range(8):
        found.advance()
    epochs, losses = found.running()[0]
    assert np.isfinite(losses[0])
    while found.active:
        found.advance()
    assert found.running() == {}
    epochs, losses = kept.learning_curves(found.study)[0]
    alone = run(found.plan.configs(found.values(0)))
    mean = np.exp(np.log(alone.pivot(index="epoch", columns="run", values="valid_loss")).mean(axis=1))
    assert list(epochs) == [0, 1, 2, 3, 4]
    assert losses == pytest.approx(mean.to_numpy(), rel=1e-5)


def test_progress_never_goes_back_and_time_left_is_known_after_the_first_round() -> None:
    found = Search(Plan(BOSTON, trials=8, seeds=2))
    assert np.isnan(found.left)
    done, ended_trials = [], []
    while found.active:
        found.advance()
        done.append(found.done)
        ended_trials.append(found.ended)
        assert found.rounds[0] <= found.rounds[1] == 2
        assert found.done < found.steps or not found.active
    assert done == sorted(done)
    assert ended_trials == sorted(ended_trials)
    assert found.left == 0


def test_two_jobs_that_have_a_search_in_hand_take_turns() -> None:
    """The one before may be in its last turn when the next begins; oracle: one thread alone."""
    plan = Plan(BOSTON, trials=12, seeds=2)
    alone, both = ended(plan), Search(plan)
    ready, faults = threading.Barrier(4), []

    def go_on() -> None:
        ready.wait()
        try:
            while both.active:
                both.advance(50)
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert both.table()["score"].tolist() == alone.table()["score"].tolist()
    assert both.best == alone.best


def test_stars_and_notes_stand_beside_trials_that_never_change(found: Search) -> None:
    before = found.table()["score"]
    kept.set_mark(found.study, 2, True, "looks <b>good</b>")
    kept.set_mark(found.study, 3, False, "x" * 900)
    frame = found.table()
    assert frame.loc[2, "star"]
    assert frame.loc[2, "note"] == "looks <b>good</b>"
    assert len(frame.loc[3, "note"]) == 500
    pd.testing.assert_series_equal(frame["score"], before)


def test_trials_as_csv_are_the_table_with_the_loss_of_every_seed_and_make_their_runs_again() -> None:
    """Oracle: the runs of a row trained from what the row says alone."""
    found = ended(Plan(replace(BOSTON, seed=7, epochs=2), trials=4, seeds=2))
    frame = found.table()
    read = pd.read_csv(io.StringIO(kept.to_csv(frame, found.plan)))
    assert read["score"].tolist() == pytest.approx(frame["score"].tolist())
    config = Config.from_query(dict(parse_qsl(read["config"][3])))
    assert (config.seed, config.learning_rate) == (7, read["learning_rate"][3])
    runs = run([config, config.but(seed=8)])
    last = runs[runs["epoch"] == 2]["valid_loss"].tolist()
    assert read[["loss_seed_7", "loss_seed_8"]].iloc[3].tolist() == pytest.approx(last, rel=1e-12)
    told = read[["dataset", "model", "optimizer", "seed", "momentum_lab", "torch", "optuna"]].astype(str)
    here = [core.__version__, version("torch"), optuna.__version__]
    assert told.drop_duplicates().to_numpy().tolist() == [["boston", "linear", "momentum", "7", *here]]


def test_a_setting_that_has_no_values_yet_has_no_config_in_the_csv() -> None:
    plan = Plan(BOSTON, trials=2, seeds=1, sampler="random")
    study = kept.create(plan)
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.FAIL))
    read = pd.read_csv(io.StringIO(kept.to_csv(kept.table(study, plan.space), plan)))
    assert read["config"].isna().all()
    assert read["dataset"].tolist() == ["boston"]


def test_two_searches_at_once_come_to_what_each_comes_to_alone() -> None:
    plans = [Plan(BOSTON, trials=6, seeds=2, seed=s, sampler=n) for s, n in ((0, "bayesian"), (1, "gp"))]
    alone = [ended(plan).table()["score"].tolist() for plan in plans]
    together: dict[int, list[float]] = {}
    threads = [
        threading.Thread(target=lambda k=k: together.update({k: ended(plans[k]).table()["score"].tolist()}))
        for k in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[0], together[1]] == alone
    assert torch.get_num_threads() == 1


def test_the_truth_is_real_runs_scored_as_trials_are() -> None:
    plan = Plan(BOSTON, seeds=3)
    held = {"learning_rate": 0.01, "batch_size": 50, "momentum": 0.5}
    truth = Truth(plan, held, "learning_rate", "momentum")
    assert truth.scores.shape == (15, 25)
    done = [truth.done]
    while truth.active:
        truth.advance()
        done.append(truth.done)
    assert done == sorted(done)
    assert truth.done == truth.steps
    assert np.isfinite(truth.scores).all()
    for row, column in ((0, 0), (7, 12), (14, 24)):
        cell = {"learning_rate": truth.x[column], "batch_size": 50, "momentum": truth.y[row]}
        assert truth.scores[row, column] == pytest.approx(kept.value(evaluate(plan, cell)), rel=1e-6)


def test_the_truth_over_batch_sizes_has_each_size_once() -> None:
    truth = Truth(
        Plan(BOSTON, seeds=1),
        {"learning_rate": 0.01, "batch_size": 50, "momentum": 0.5},
        "batch_size",
        "learning_rate",
    )
    assert len(set(truth.x)) == len(truth.x) <= 25
    assert truth.scores.shape == (15, len(truth.x))


def test_random_and_grid_have_the_same_budget_and_the_same_fresh_seeds() -> None:
    beside = Beside(Plan(BOSTON, trials=6, seeds=2))
    while beside.active:
        beside.advance()
    for name, other in beside.searches.items():
        assert (other.plan.sampler, other.ended, other.plan.seeds) == (name, 6, 2)
        assert other.checks is not None
        assert all(len(check.scores) == FRESH for check in other.checks)


def test_bad_spaces_and_budgets_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(BadSpace):
        search(BOSTON, Space(learning_rate=(0, 0.1)))
    with pytest.raises(OutOfRange):
        search(BOSTON, trials=0)


def test_what_would_be_tried_next_is_what_is_tried_next(found: Search) -> None:
    search = ended(replace(found.plan, batch=1, trials=7))
    values, reason = kept.following(search.study, search.plan) or ({}, None)
    search.extend(1)
    while search.searching:
        search.advance()
    last = search.table().iloc[7]
    assert {word: last[word] for word in values} == values
    assert reason is not None
    assert last["mean"] == reason.mean
    assert kept.following(search.study, replace(search.plan, sampler="random")) is None


def test_the_ceiling_for_numbers_is_of_the_mean_of_the_training_rows_alone() -> None:
    """Oracle: the split from its seed, the targets in their own unit; losses are in variances of training."""
    from core.engine.problem import problem

    split = torch.randperm(506, generator=torch.Generator().manual_seed(0)).numpy()
    y = BOSTON.dataset.targets
    valid, train = y[split[:101]], y[split[101:]]
    worst = 1.5 * np.mean((valid - train.mean()) ** 2) / train.var()
    assert ceiling(problem(BOSTON)) == pytest.approx(worst, rel=1e-5)


def test_a_loss_of_zero_counts_as_a_millionth_of_a_millionth_of_the_ceiling() -> None:
    told = scores(np.zeros(3), np.array([100.0, 1.0, 0.01]))
    assert told.tolist() == pytest.approx([-10.0, -12.0, -14.0])


def test_each_seed_that_diverged_has_the_ceiling_of_its_own_rows(lost: Search) -> None:
    from core.engine.problem import problem

    worst = [np.log10(ceiling(problem(replace(BOSTON, seed=seed)))) for seed in range(2)]
    assert worst[0] != pytest.approx(worst[1], rel=1e-3)
    for told in lost.table()["scores"]:
        assert list(told) == pytest.approx(worst, rel=1e-6)


def judged(*losses: list[float]) -> Outcome:
    """What three epochs of one setting come to, for each seed."""
    loss = np.array([losses])
    lost = ~np.isfinite(loss[:, :, -1])
    return outcomes(
        Measures(loss, loss, lost * np.nan, loss, lost, lost * np.nan), np.full(len(losses), 50.0)
    )[0]


def test_a_curve_goes_on_with_the_seeds_that_have_not_diverged() -> None:
    outcome = judged([4.0, 2.0, 8.0], [9.0, np.nan, np.nan])
    assert outcome.curve.tolist() == pytest.approx([6.0, 2.0, 8.0])
    assert outcome.diverged == 1


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 52, 99, 100, 101, 1000, 1001])
def test_a_kept_curve_has_its_first_and_last_epoch_and_about_fifty_points(count: int) -> None:
    keep = thinned(count)
    assert (keep[0], keep[-1]) == (0, count - 1)
    assert len(keep) <= 51
    assert len(keep) == count or count > 50
    assert len(set(np.diff(keep)[:-1])) <= 1


def test_a_trial_with_one_seed_lost_is_called_diverged() -> None:
    plan = Plan(BOSTON, trials=5, seeds=2)
    study = kept.create(plan)
    trial = ask(study, plan.space.distributions())
    outcome = judged([4.0, 2.0, 8.0], [9.0, np.nan, np.nan])
    kept.write(trial, outcome, 0.1)
    study.tell(trial, kept.value(outcome))
    row = kept.table(study, plan.space).iloc[0]
    assert (row["state"], row["diverged"], row["loss"]) == ("diverged", 1, pytest.approx(8.0))
    assert row["score"] == pytest.approx((np.log10(8) + np.log10(50)) / 2)


def test_a_trial_s_loss_is_the_geometric_mean_of_its_seeds(found: Search) -> None:
    frame = found.table()
    held = frame[frame["state"] == "finished"]
    means = [math.prod(losses) ** (1 / 3) for losses in held["losses"]]
    assert held["loss"].to_numpy() == pytest.approx(means)


def test_a_queued_setting_is_in_the_table_before_it_is_tried() -> None:
    found = Search(Plan(BOSTON, trials=6, seeds=2))
    values = {"learning_rate": 0.0123, "batch_size": 17, "momentum": 0.5}
    found.enqueue(values)
    last = found.table().iloc[-1]
    assert (last["state"], last["kind"]) == ("queued", "hand")
    assert {word: last[word] for word in values} == pytest.approx(values)
    assert found.target == 6, "it takes the place of a trial that the model would have asked for"


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_searches_also_on_the_tutorial_s_scales(sampler: str, exact: bool) -> None:
    plan = Plan(replace(BOSTON, epochs=1), trials=7, seeds=1, sampler=sampler, exact=exact)
    found = ended(plan)
    frame = found.table()
    assert found.ended == found.target == 7
    assert frame["score"].notna().all()
    first = {"random": 0, "sobol": 7, "grid": 6}.get(sampler, 5)
    last = "random" if sampler == "grid" else "model"
    assert set(frame["kind"][:first]) <= {"default", "start"}
    assert frame["kind"][first:].tolist() == [last] * (7 - first)


def test_the_exact_tutorial_starts_spread_out_without_what_the_page_had() -> None:
    first = starts(Plan(BOSTON, trials=20, exact=True))
    assert [kind for kind, _ in first] == ["start"] * 5
    assert BOSTON.learning_rate not in [values["learning_rate"] for _, values in first]


def test_a_grid_comes_in_an_order_of_chance() -> None:
    plan = Plan(BOSTON, trials=11, sampler="grid")
    rates = [values["learning_rate"] for values in grid(plan)]
    assert rates != sorted(rates)
    assert rates != [values["learning_rate"] for values in grid(replace(plan, seed=1))]
    assert len(rates) == 8, "of three numbers with two values or more, 8 is the most below 11"


@pytest.mark.parametrize(
    ("budget", "numbers", "counts"),
    [
        (1, 3, [1, 1, 1]),
        (2, 3, [2, 1, 1]),
        (3, 3, [3, 1, 1]),
        (5, 3, [2, 2, 1]),
        (7, 3, [3, 2, 1]),
        (13, 4, [3, 2, 2, 1]),
        (20, 6, [2, 2, 2, 2, 1, 1]),
        (23, 6, [2, 2, 2, 2, 1, 1]),
        (31, 5, [3, 2, 2, 2, 1]),
        (36, 3, [4, 3, 3]),
        (61, 6, [3, 2, 2, 2, 2, 1]),
    ],
)
def test_a_grid_has_two_values_for_as_many_numbers_as_it_can_then_the_most_cells_then_the_most_even(
    budget: int, numbers: int, counts: list[int]
) -> None:
    """Oracle: the counts by hand, and all grids of that budget beside them."""
    cells = pd.DataFrame(grid(Plan(ADAM, SIX[numbers], trials=budget, sampler="grid")))
    assert [cells[word].nunique() for word in SIX[numbers].words] == counts
    assert len(cells.drop_duplicates()) == len(cells) == math.prod(counts)

    def worth(shape: tuple[int, ...]) -> tuple[int, int, float]:
        return sum(n > 1 for n in shape), math.prod(shape), -float(np.std([n for n in shape if n > 1] or [0]))

    most = max(counts) + 2
    for shape in itertools.product(range(1, most + 1), repeat=min(numbers, 4)):
        if math.prod(shape) <= budget:
            assert worth(shape) <= worth(tuple(counts))


def test_what_a_grid_leaves_of_its_budget_is_drawn_at_random_and_says_so() -> None:
    plan = Plan(ADAM, SIX[6], trials=23, seeds=1, batch=16, sampler="grid")
    found = ended(plan)
    frame = found.table()
    assert found.ended == found.target == len(frame) == 23
    assert frame["kind"].tolist() == ["start"] * 16 + ["random"] * 7
    assert not frame.duplicated(list(plan.space.words)).any()
    assert found.checks


def test_a_trial_that_was_asked_for_by_mistake_is_not_in_the_table() -> None:
    plan = Plan(BOSTON, trials=5, seeds=2)
    study = kept.create(plan)
    ask(study, plan.space.distributions()).set_user_attr(kept.DROPPED, True)
    assert kept.table(study, plan.space)["number"].tolist() == [1, 2, 3, 4]


def test_results_of_other_numbers_than_those_searched_are_not_taken_over(found: Search) -> None:
    new = found.moved(replace(found.plan, space=Space(learning_rate=(1e-4, 0.1))))
    assert new.ended == new.study.user_attrs["parent"]["taken"] == 0


def test_an_ended_search_in_other_ranges_tries_one_setting_more_or_as_many_as_are_asked(
    found: Search,
) -> None:
    space = Space(learning_rate=(1e-4, 0.1), batch_size=(1, 100), momentum=(0, 0.98))
    for more in (1, 10):
        new = found.moved(replace(found.plan, space=space), more)
        taken = new.study.user_attrs["parent"]["taken"]
        assert new.ended == taken > 0
        assert new.target == new.plan.trials == taken + more
        assert new.searching


def test_what_was_taken_over_counts_neither_as_updates_nor_as_time_of_the_new_search(found: Search) -> None:
    """Counted in, a search at a slow speed would wait for minutes between two updates."""
    space = Space(learning_rate=(1e-4, 0.1), batch_size=(1, 100), momentum=(0, 0.98))
    new = found.moved(replace(found.plan, space=space), 8)
    plan = new.plan
    assert new.steps == pytest.approx(plan.updates / plan.trials / plan.seeds * (8 + 3), abs=1)
    assert np.isnan(new.left)
    while new.target - new.ended > 4:
        new.advance()
    new.seconds = 2.0
    assert new.steps == pytest.approx(new.done / 4 * (8 + 3), abs=1)
    assert new.left == pytest.approx(0.5 * (4 + 3 * FRESH / plan.seeds))


def test_fresh_seeds_lie_behind_the_config_s_own() -> None:
    config = replace(BOSTON, seed=30)
    found = Search(Plan(config, trials=5, seeds=2))
    while found.searching or found.running():
        found.advance()
    while not found.configs:
        found.advance()
    assert [c.seed for c in found.configs[:FRESH]] == list(range(30 + APART, 30 + APART + FRESH))


def test_the_setting_to_take_is_the_best_on_fresh_seeds_whatever_the_search_saw(found: Search) -> None:
    assert found.checks is not None
    other = Search(found.plan, found.study)
    other.checks = found.checks[::-1]
    assert other.best == found.config(found.checks[-1].number) != found.best


def test_what_is_checked_are_the_best_by_rank(found: Search) -> None:
    from core.search.ending import best_trials

    assert found.checks is not None
    assert {c.number for c in found.checks} == set(best_trials(found.table(), found.plan)[:3])


def test_rounds_count_from_one_and_the_last_one_has_what_is_left() -> None:
    found = Search(Plan(BOSTON, trials=6, seeds=2, batch=4))
    assert found.rounds == (1, 2)
    sizes = []
    while found.searching:
        found.advance()
        if found.running() and len(sizes) < found.rounds[0]:
            sizes.append(len(found.running()))
    assert sizes == [4, 2]
    assert found.ended == 6
    assert found.rounds == (2, 2)


def test_time_left_counts_the_trials_and_the_check_to_come() -> None:
    found = Search(Plan(BOSTON, trials=8, seeds=2))
    while found.ended < 4:
        found.advance()
    found.seconds = 2.0
    assert found.left == pytest.approx(0.5 * (4 + 3 * FRESH / 2)), "the check is of 3 settings on FRESH seeds"


def test_the_time_of_a_round_is_shared_by_its_trials(found: Search) -> None:
    assert 0 < found.table()["seconds"].sum() <= found.seconds


def test_a_search_made_longer_during_its_check_is_checked_when_it_really_ends() -> None:
    found = Search(Plan(BOSTON, trials=5, seeds=2))
    while found.searching or found.running():
        found.advance()
    found.advance()
    found.extend(2)
    while found.searching:
        found.advance()
        assert found.checks is None or not found.searching
    while found.active:
        found.advance()
    assert found.ended == 7
    assert found.checks


@pytest.mark.parametrize("epochs", [1, 61])
def test_curves_of_a_round_reach_the_last_epoch(epochs: int) -> None:
    config = replace(BOSTON, epochs=epochs, batch_size=405)
    plan = Plan(config, Space(learning_rate=(1e-3, 0.1)), trials=2, seeds=1, batch=2)
    found = Search(plan)
    found.advance()
    assert found.running()[0][0][-1] == epochs


def test_an_exact_search_and_its_truth_have_plain_losses() -> None:
    plan = Plan(replace(BOSTON, epochs=1), trials=2, exact=True)
    values = {"learning_rate": 0.01, "batch_size": 50, "momentum": 0.5}
    outcome = evaluate(plan, values)
    assert outcome.scores.tolist() == outcome.losses.tolist()
    found = Search(plan)
    while found.searching:
        found.advance()
    row = found.table().iloc[0]
    assert row["score"] == pytest.approx(row["loss"])
    truth = Truth(plan, values, "momentum", "learning_rate")
    while np.isnan(truth.scores).all():
        truth.advance()
    row, column = np.argwhere(np.isfinite(truth.scores))[12]
    cell = values | {"momentum": truth.x[column], "learning_rate": truth.y[row]}
    assert truth.scores[row, column] == pytest.approx(float(evaluate(plan, cell).scores[0]), rel=1e-6)


def test_the_truth_fills_from_coarse_to_fine_with_its_cells_in_the_middle_of_the_ranges() -> None:
    plan = Plan(replace(BOSTON, epochs=1), seeds=1)
    held = {"learning_rate": 0.01, "batch_size": 405, "momentum": 0.5}
    truth = Truth(plan, held, "learning_rate", "momentum")
    assert np.log10(truth.x) == pytest.approx(-4 + 3 * (np.arange(25) + 0.5) / 25, abs=1e-3)
    for _ in range(60):
        truth.advance(steps=25)
        rows = np.flatnonzero(np.isfinite(truth.scores).all(axis=1))
        if len(rows) == 3:
            break
    assert np.diff([-1, *rows, 15]).max() <= 8, "three of fifteen rows lie far apart"


def test_the_progress_of_the_truth_grows_while_a_row_is_trained() -> None:
    plan = Plan(replace(BOSTON, epochs=1), seeds=1)
    held = {"learning_rate": 0.01, "batch_size": 32, "momentum": 0.5}
    truth = Truth(plan, held, "learning_rate", "momentum")
    truth.advance(steps=25)
    once = truth.done
    truth.advance(steps=25)
    assert np.isnan(truth.scores).all()
    assert 0 < once < truth.done < truth.steps / 15


def test_random_and_grid_are_checked_on_the_very_seeds_of_the_search() -> None:
    plan = Plan(replace(BOSTON, seed=20), trials=6, seeds=2)
    for other in Beside(plan).searches.values():
        assert other.plan.config == plan.config
        assert other.plan.space == plan.space


def test_other_ranges_keep_what_is_queued_or_in_training_where_it_fits() -> None:
    search = Search(Plan(BOSTON, trials=8, seeds=1))
    while search.ended < 4:
        search.advance()
    fits = {"learning_rate": 0.0123, "batch_size": 17, "momentum": 0.5}
    search.enqueue(fits)
    search.enqueue(fits | {"learning_rate": 0.09})
    search.advance()
    space = Space(learning_rate=(1e-4, 0.02), batch_size=(1, 100), momentum=(0, 0.99))
    frame = search.moved(replace(search.plan, space=space)).table()
    hand = frame[frame["kind"] == "hand"]
    assert hand["learning_rate"].tolist() == [0.0123]
    assert hand["state"].tolist() == ["queued"]


def test_a_setting_beyond_the_largest_budget_is_refused_and_not_queued() -> None:
    search = ended(Plan(BOSTON, trials=4, seeds=1))
    kept.set_target(search.study, 1000)
    for _ in range(996):
        search.study.add_trial(optuna.trial.create_trial(value=0.0))
    before = len(search.study.trials)
    with pytest.raises(OutOfRange, match="trials must be"):
        search.enqueue({"learning_rate": 0.0123, "batch_size": 17, "momentum": 0.5})
    assert len(search.study.trials) == before


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_a_search_of_one_trial_works_to_its_end(sampler: str) -> None:
    for exact in (False, True):
        result = search(replace(BOSTON, epochs=1), trials=1, seeds=1, sampler=sampler, exact=exact)
        assert len(result.trials) == 1
        assert "fresh seeds" in result.verdict
    assert sobol(3, 0, 0).shape == (0, 3)


def until(found: Search, met: Callable[[], bool]) -> None:
    """Advances a search until something is so."""
    for _ in range(500):
        if met():
            return
        found.advance()
    raise AssertionError("it never was")


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_a_setting_queued_by_hand_is_tried_whenever_it_is_queued(sampler: str) -> None:
    """At the very beginning, in the last round, twice at once, while the best are checked, after the end."""
    found = Search(Plan(replace(BOSTON, epochs=1), trials=7, seeds=1, batch=4, sampler=sampler))
    found.enqueue(HAND | {"momentum": 0.1})
    until(found, lambda: len(found.running()) + found.ended == found.target)
    for momentum in (0.2, 0.3):
        found.enqueue(HAND | {"momentum": momentum})
    until(found, lambda: not found.searching and bool(found.configs))
    found.enqueue(HAND | {"momentum": 0.4})
    until(found, lambda: not found.active)
    checks = found.checks
    found.enqueue(HAND | {"momentum": 0.5})
    assert found.checks is None
    until(found, lambda: not found.active)
    frame = found.table()
    hand = frame[frame["kind"] == "hand"]
    assert hand["momentum"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert hand["score"].notna().all()
    assert len(frame) == found.ended == found.target == found.plan.trials
    assert found.checks not in (None, checks)


def test_more_settings_by_hand_than_are_left_are_all_tried() -> None:
    found = Search(Plan(replace(BOSTON, epochs=1), trials=6, seeds=1, batch=2))
    until(found, lambda: found.ended == 4)
    for k in range(4):
        found.enqueue(HAND | {"momentum": 0.1 * k})
    assert found.target == found.plan.trials == 9, "four have ended, one start and four by hand are queued"
    until(found, lambda: not found.active)
    assert found.table()["score"].notna().sum() == 9


def test_a_setting_that_a_full_queue_of_the_largest_budget_has_no_room_for_is_refused() -> None:
    found = Search(Plan(BOSTON, trials=1000, seeds=1, sampler="sobol"))
    with pytest.raises(OutOfRange, match=r"trials must be a whole number in \[1, 1000\], got 1001"):
        found.enqueue(HAND)
    assert len(found.table()) == found.target == found.plan.trials == 1000


def test_a_search_cannot_be_made_shorter(found: Search) -> None:
    with pytest.raises(OutOfRange, match=r"trials must be 0 or more, got -3"):
        found.extend(-3)
    assert found.target == found.plan.trials == 10


def test_stars_and_notes_come_along_to_other_ranges_with_their_settings() -> None:
    found = Search(Plan(replace(BOSTON, epochs=1), trials=9, seeds=1))
    until(found, lambda: found.ended == 4 and bool(found.running()))
    found.enqueue(HAND)
    for number in range(9):
        kept.set_mark(found.study, number, number % 2 == 0, f"note {number}")
    rates = found.table()["learning_rate"]
    space = Space(learning_rate=(1e-4, float(rates.median())), batch_size=(1, 100), momentum=(0, 0.99))
    before = found.table()[lambda f: f["learning_rate"] <= rates.median()]
    after = found.moved(replace(found.plan, space=space)).table()
    noted = after[after["note"] != ""]
    words = [*found.plan.space.words, "star", "note"]
    assert 0 < len(before) < 9
    assert sorted(map(tuple, noted[words].to_numpy())) == sorted(map(tuple, before[words].to_numpy()))
    assert noted["number"].tolist() != before["number"].tolist()


def test_what_the_page_had_moved_into_the_ranges_is_not_said_to_be_what_it_had() -> None:
    held = {"learning_rate": 1.0, "batch_size": 300, "momentum": 0.999}
    first, *rest = starts(Plan(BOSTON.but(**held)))
    assert first == ("nearest", {"learning_rate": 0.1, "batch_size": 100, "momentum": 0.99})
    assert {kind for kind, _ in rest} == {"start"}
    ends = {"learning_rate": 0.1, "batch_size": 1, "momentum": 0.99}
    assert starts(Plan(BOSTON.but(**ends)))[0] == ("default", ends)
    assert kept.KINDS["nearest"] == "nearest to page settings"


def test_what_was_nearest_in_the_old_ranges_is_not_said_to_be_so_in_wider_ones() -> None:
    plan = Plan(BOSTON.but(learning_rate=1.0, epochs=1), trials=6, seeds=1)
    found = Search(plan)
    found.advance()
    kinds = {}
    for high in (0.1, 0.5, 2.0):
        space = Space(learning_rate=(1e-4, high), batch_size=(1, 100), momentum=(0, 0.9))
        frame = found.moved(replace(plan, space=space)).table()
        kinds[high] = frame.loc[frame["learning_rate"] >= 0.1, "kind"].tolist()
    assert kinds == {0.1: ["nearest"], 0.5: ["before", "nearest"], 2.0: ["before", "default"]}


@pytest.mark.parametrize("exact", [False, True])
def test_a_sobol_search_that_is_made_longer_is_as_if_it_had_been_longer_from_the_start(exact: bool) -> None:
    plan = Plan(replace(BOSTON, epochs=1), trials=14, seeds=1, sampler="sobol", exact=exact)
    found = ended(replace(plan, trials=5))
    found.extend(4)
    until(found, lambda: not found.active)
    found.extend(5)
    words = list(plan.space.words)
    pd.testing.assert_frame_equal(found.table()[words], Search(plan).table()[words])
    assert set(found.table()["kind"]) == {"start"}
    until(found, lambda: not found.active)
    assert found.ended == found.target == len(found.table()) == 14


def test_a_sobol_search_in_other_ranges_goes_on_with_its_sequence() -> None:
    plan = Plan(replace(BOSTON, epochs=1), trials=8, seeds=1, sampler="sobol")
    space = Space(learning_rate=(1e-5, 1.0), batch_size=(1, 100), momentum=(0, 0.99))
    moved = ended(plan).moved(replace(plan, space=space), 6)
    frame = moved.table()
    assert frame["kind"].tolist() == ["before"] * 8 + ["start"] * 6
    assert len(frame) == moved.target == 14
    oracle = [space.at(u) for u in sobol(3, 14, plan.seed)[8:]]
    assert frame[list(space.words)].iloc[8:].to_dict("records") == oracle


def test_a_sobol_search_that_is_moved_while_it_goes_on_uses_no_point_of_its_sequence_twice() -> None:
    plan = Plan(replace(BOSTON, epochs=1), trials=12, seeds=1, sampler="sobol")
    space = Space(learning_rate=(1e-4, 1e-2), batch_size=(1, 100), momentum=(0, 0.99))
    found = Search(plan)
    until(found, lambda: found.ended == 4 and bool(found.running()))
    frame = found.moved(replace(plan, space=space)).table()
    kept_on = int((found.table()["learning_rate"] <= 1e-2).sum())
    assert 4 < kept_on < 12
    oracle = [space.at(u) for u in sobol(3, 12, plan.seed)[kept_on:]]
    new = frame[list(space.words)].iloc[kept_on:].to_dict("records")
    assert new == oracle[: len(new)]
    assert len(new) > 0


def test_what_is_queued_beyond_the_target_of_an_old_study_is_tried_in_other_ranges() -> None:
    found = ended(Plan(replace(BOSTON, epochs=1), trials=4, seeds=1))
    for momentum in (0.1, 0.2, 0.3):
        kept.enqueue(found.study, found.plan, HAND | {"momentum": momentum})
    space = Space(learning_rate=(1e-5, 1.0), batch_size=(1, 100), momentum=(0, 0.99))
    moved = found.moved(replace(found.plan, space=space))
    assert moved.target == moved.plan.trials == 7
    assert kept.counted(moved.study) == 7


def test_a_search_in_other_ranges_queues_no_more_than_it_will_try() -> None:
    space = Space(learning_rate=(1e-5, 1.0), batch_size=(1, 100), momentum=(0, 0.99))
    for sampler in SAMPLERS:
        found = Search(Plan(replace(BOSTON, epochs=1), trials=8, seeds=1, sampler=sampler))
        until(found, lambda found=found: found.ended == 4 and bool(found.running()))
        found.enqueue(HAND)
        moved = found.moved(replace(found.plan, space=space))
        assert kept.counted(moved.study) <= moved.target
        until(moved, lambda moved=moved: not moved.active)
        assert moved.table()["score"].notna().all()
        assert "hand" in set(moved.table()["kind"])


def test_what_is_drawn_before_two_results_are_told_is_said_to_be_drawn_at_random() -> None:
    plan = Plan(replace(BOSTON, epochs=1), trials=9, seeds=1, batch=8)
    frame = ended(plan).table()
    assert frame["kind"].tolist() == ["default", *["start"] * 4, *["random"] * 3, "model"]
    assert frame["mean"].notna().tolist() == [False] * 8 + [True]


def test_what_a_grid_search_tries_when_it_is_made_longer_is_said_to_be_drawn_at_random() -> None:
    found = ended(Plan(replace(BOSTON, epochs=1), trials=8, seeds=1, sampler="grid"))
    assert set(found.table()["kind"]) == {"start"}
    found.extend(3)
    until(found, lambda: not found.active)
    assert found.table()["kind"].tolist()[8:] == ["random"] * 3


def test_a_search_made_longer_while_its_check_is_judged_is_checked_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import core.search.study as module

    found = Search(Plan(replace(BOSTON, epochs=1), trials=4, seeds=1))
    judge, seen = module.chosen, []

    def late(results: Any, numbers: Any) -> Any:
        if not seen:
            found.extend(4)
        seen.append(list(numbers))
        return judge(results, numbers)

    monkeypatch.setattr(module, "chosen", late)
    monkeypatch.setattr(module, "best_trials", lambda frame, plan: frame["number"].tolist()[::-1])
    until(found, lambda: not found.active)
    assert seen == [[3, 2, 1], [7, 6, 5]]
    assert {check.number for check in found.checks or ()} == {7, 6, 5}


def test_a_check_that_is_out_of_date_is_left_at_once() -> None:
    found = Search(Plan(replace(BOSTON, epochs=200), trials=4, seeds=1))
    until(found, lambda: not found.searching and bool(found.configs))
    found.extend(1)
    done = found.done
    found.advance(1)
    assert found.configs == []
    assert found.done == done


def test_making_a_search_longer_does_not_wait_for_its_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.engine import Training

    found = Search(Plan(replace(BOSTON, epochs=1), trials=4, seeds=1))
    found.advance()
    begun, go_on = threading.Event(), threading.Event()

    def slow(training: Training, steps: int | None = None) -> list[Any]:
        begun.set()
        go_on.wait(60)
        return []

    monkeypatch.setattr(Training, "advance", slow)
    trainer = threading.Thread(target=found.advance)
    trainer.start()
    begun.wait(60)
    both = [
        threading.Thread(target=found.extend, args=(2,)),
        threading.Thread(target=found.enqueue, args=(HAND,)),
    ]
    for thread in both:
        thread.start()
        thread.join(20)
    waiting = [thread.is_alive() for thread in both]
    go_on.set()
    for thread in (trainer, *both):
        thread.join()
    assert waiting == [False, False]
    assert found.target == 6


def test_clicks_at_once_are_all_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ended(Plan(replace(BOSTON, epochs=1), trials=4, seeds=1))
    read = kept.target

    def slowly(study: optuna.Study) -> int:
        target = read(study)
        time.sleep(0.01)
        return target

    def all_at_once(click: Callable[[int], None]) -> None:
        threads = [threading.Thread(target=click, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    monkeypatch.setattr(kept, "target", slowly)
    all_at_once(lambda k: found.enqueue(HAND | {"momentum": k / 10}))
    assert found.target == found.plan.trials == 4 + 4
    all_at_once(lambda k: found.extend(2))
    assert found.target == found.plan.trials == 8 + 8

    def both(k: int) -> None:
        if k == 3:
            time.sleep(0.005)
            found.extend(2)
        else:
            found.enqueue(HAND | {"momentum": 0.9 + k / 100})

    all_at_once(both)
    assert found.target == found.plan.trials == 16 + 2, "there is room for three by hand"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"config": None}, "config must be a Config, such as Config(), got None."),
        (
            {"config": {"dataset": "boston"}},
            "config must be a Config, such as Config(), got {'dataset': 'boston'}.",
        ),
        (
            {"space": {"learning_rate": (1e-3, 0.1)}},
            "space must be a Space, such as Space(learning_rate=(0.001, 0.1))",
        ),
        ({"space": {}}, "got {}."),
        ({"exact": "no"}, "exact must be true or false, got 'no'."),
        ({"exact": 1}, "exact must be true or false, got 1."),
        ({"exact": None}, "exact must be true or false, got None."),
        ({"seed": -1}, "seed must be a whole number from 0 to 2147483647, got -1."),
        ({"seed": LAST_SEED + 1}, "seed must be a whole number from 0 to 2147483647, got 2147483648."),
        ({"seed": 1.5}, "got 1.5."),
        ({"seed": "1"}, "got '1'."),
        ({"seed": None}, "got None."),
        ({"seed": True}, "got True."),
        (
            {"storage": Path("lab.db")},
            "storage must be the address of a database, such as sqlite:///lab.db, or None",
        ),
        ({"name": 5}, "name must be the name of a study or None, got 5."),
    ],
    ids=str,
)
@pytest.mark.parametrize("sampler", ["bayesian", "grid"])
def test_an_argument_of_another_kind_is_refused_in_a_sentence(
    sampler: str, given: dict[str, Any], said: str
) -> None:
    known: dict[str, Any] = {"config": BOSTON, "trials": 2, "seeds": 1, "sampler": sampler}
    with pytest.raises((BadPlan, OutOfRange)) as caught:
        search(**known | given)
    assert said in str(caught.value)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_a_search_may_have_the_last_seed_that_there_is(sampler: str) -> None:
    seed: Any = np.int64(LAST_SEED)
    plan = Plan(replace(BOSTON, epochs=1), trials=7, seeds=1, batch=7, sampler=sampler, seed=seed)
    assert type(plan.seed) is int
    assert ended(plan).ended == 7


def test_a_config_whose_check_would_have_no_seeds_is_refused_when_the_plan_is_made() -> None:
    last = 1_000_000_000 - APART - FRESH + 1
    config = replace(BOSTON, epochs=1, seed=last)
    sentence = (
        "seed must be at most 999,994,993 so that the best can be evaluated on fresh seeds, got 999,994,994."
    )
    with pytest.raises(OutOfRange, match=f"^{sentence}$"):
        Plan(replace(config, seed=last + 1))
    assert "fresh seeds" in search(config, trials=1, seeds=16).verdict


def test_the_seconds_left_fall_while_a_round_and_the_check_are_trained() -> None:
    plan = Plan(BOSTON, Space(learning_rate=(1e-3, 1e-2)), trials=12, seeds=2, batch=4)
    found, seen = Search(plan), []
    while found.active:
        found.advance(20)
        found.seconds = 0.001 * found.done  # as on a machine that is always as fast
        if found.ended and found.active:
            seen.append(found.left)
    round_of_four = 0.001 * found.done / 4  # three rounds and the check make as many updates each
    assert seen[0] == pytest.approx(round_of_four / 4 * (8 + 12))
    assert len(set(seen)) > 10
    assert (np.diff(seen) < 1e-9).all()
    assert seen[-1] < 0.4 * seen[0]


def test_plans_are_the_same_search_whatever_they_begin_at_and_moved_where_only_ends_differ() -> None:
    one = Plan(BOSTON, Space(learning_rate=(1e-3, 0.1), momentum=(0, 0.9)), trials=8)
    begun = replace(one, config=BOSTON.but(learning_rate=0.05, momentum=0.5), trials=40)
    assert same(one, begun)
    other = [
        replace(one, seeds=2),
        replace(one, sampler="tpe"),
        replace(one, config=BOSTON.but(batch_size=8)),
        replace(one, config=BOSTON.but(dataset="diabetes")),
        replace(one, space=Space(learning_rate=(1e-3, 0.1))),
    ]
    assert not any(same(one, plan) or moved(one, plan) for plan in other)
    wider = replace(begun, space=Space(learning_rate=(1e-4, 0.1), momentum=(0, 0.9)))
    assert moved(one, wider)
    assert not same(one, wider)
    assert not moved(one, begun)
