"""A search in this process: what it asks, trains, tells, keeps, and how it ends."""

import io
import sqlite3
import threading
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
import torch

from core.config import Config
from core.engine import run
from core.registry import OutOfRange
from core.search import BadPlan, BadSpace, Plan, Space, search
from core.search import trials as kept
from core.search.objective import CEILING, baseline, ceiling, scores
from core.search.plan import APART
from core.search.study import FRESH, Search, evaluate
from core.search.truth import Beside, Truth

BOSTON = Config.from_query({"dataset": "boston", "epochs": "4"})
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


def test_a_grid_spreads_the_budget_over_the_numbers_ends_included() -> None:
    plan = Plan(BOSTON, trials=20, sampler="grid")
    cells = pd.DataFrame(kept.grid(plan))
    assert sorted(cells.nunique()) == [2, 2, 5]
    assert len(cells.drop_duplicates()) == 20
    assert set(cells["momentum"]) == {0.0, 0.99}
    assert sorted(cells["learning_rate"].unique())[::4] == [1e-4, 0.1]
    small = Plan(BOSTON, Space(learning_rate=(1e-3, 0.1), batch_size=(1, 100)), trials=20, sampler="grid")
    assert sorted(pd.DataFrame(kept.grid(small)).nunique()) == [4, 5]


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
    assert said == "All 6 settings tried so far diverged on some seed. Search smaller learning rates."
    with pytest.raises(BadPlan, match="no trial has ended without diverging"):
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
    with pytest.raises(BadPlan, match=r"momentum must be in \[0, 0.99\], the range searched, got 0.999"):
        found.enqueue({"learning_rate": 0.01, "batch_size": 17, "momentum": 0.999})
    with pytest.raises(BadPlan, match=r"batch_size must be in \[1, 100\], the range searched, got nothing"):
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


def test_stars_and_notes_stand_beside_trials_that_never_change(found: Search) -> None:
    before = found.table()["score"]
    kept.set_mark(found.study, 2, True, "looks <b>good</b>")
    kept.set_mark(found.study, 3, False, "x" * 900)
    frame = found.table()
    assert frame.loc[2, "star"]
    assert frame.loc[2, "note"] == "looks <b>good</b>"
    assert len(frame.loc[3, "note"]) == 500
    pd.testing.assert_series_equal(frame["score"], before)


def test_the_study_itself_can_be_taken_along_and_opened_by_optuna(found: Search, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "study.db"
    path.write_bytes(kept.to_bytes(found.study))
    opened = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    assert [t.value for t in opened.trials] == found.table()["score"].tolist()
    assert kept.plan_of(opened) == replace(found.plan, trials=10)
    with sqlite3.connect(path) as file:
        assert file.execute("select count(*) from trials").fetchone() == (10,)


def test_trials_as_csv_are_the_table_with_the_loss_of_every_seed(found: Search) -> None:
    frame = found.table()
    read = pd.read_csv(io.StringIO(kept.to_csv(frame)))
    assert read["score"].tolist() == pytest.approx(frame["score"].tolist())
    assert read[["loss_0", "loss_1", "loss_2"]].iloc[4].tolist() == pytest.approx(
        list(frame.loc[4, "losses"])
    )


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
    plan = Plan(BOSTON, seeds=2)
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
