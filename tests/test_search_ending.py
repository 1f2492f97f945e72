"""How a search ends: ranks, ties, edges, what it was worth, and what the pictures are drawn from."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from core.config import Config
from core.search import Plan, Space, belief, drawn
from core.search import trials as kept
from core.search.ending import (
    Check,
    best_trials,
    chosen,
    edges,
    expected_best,
    helped,
    ties,
    verdict,
    why,
)
from core.search.objective import Outcome
from core.search.study import Search

BOSTON = Config.from_query({"dataset": "boston", "epochs": "3"})
PLAN = Plan(BOSTON, trials=12, seeds=3)


@pytest.fixture(scope="module")
def found() -> Search:
    search = Search(PLAN)
    while search.active:
        search.advance()
    return search


def check(number: int, *scores: float) -> Check:
    return Check(number, np.array(scores), 10.0 ** np.array(scores))


def test_ties_are_those_within_one_standard_error_of_the_paired_difference() -> None:
    """By hand: differences 1, 2, 3 have mean 2 and standard error 1 / sqrt(3)."""
    best = check(0, 0.0, 5.0, 1.0)
    apart = np.array([1.0, 2.0, 3.0])
    error = 1 / np.sqrt(3)
    behind = check(1, *(best.scores + apart - apart.mean() + 1.01 * error))
    tied = check(2, *(best.scores + apart - apart.mean() + 0.99 * error))
    assert ties([best, tied, behind]) == [2]
    assert ties([best, check(3, *best.scores)]) == [3]
    assert ties([best, check(4, *(best.scores + 0.1))]) == []


def test_the_best_on_fresh_seeds_stands_first() -> None:
    results = [
        Outcome(np.full(2, s), 10 ** np.full(2, s), 0, np.arange(1), np.ones(1)) for s in (0.3, 0.1, 0.2)
    ]
    assert [c.number for c in chosen(results, [7, 5, 9])] == [5, 9, 7]


def test_ranks_are_of_settings_that_held_each_once_and_by_belief_where_there_is_a_model(
    found: Search,
) -> None:
    frame = found.table()
    twice = pd.concat([frame, frame.iloc[[0]].assign(number=99)], ignore_index=True)
    assert 99 not in best_trials(twice, PLAN)
    held = frame[frame["state"] == "finished"]
    assert sorted(best_trials(frame, PLAN)) == sorted(held["number"])
    by_score = replace(PLAN, sampler="random")
    assert best_trials(frame, by_score) == held.sort_values("score")["number"].tolist()
    process = belief.believe(frame, PLAN)
    assert process is not None
    mean = process.posterior(belief.units(held, PLAN))[0]
    assert best_trials(frame, PLAN) == held["number"].to_numpy()[np.argsort(mean)].tolist()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            {"learning_rate": 1e-4},
            ["The learning rate is at the low end of its range (0.0001): widen it downwards."],
        ),
        (
            {"learning_rate": 0.0999},
            ["The learning rate is at the high end of its range (0.1): widen it upwards."],
        ),
        ({"momentum": 0.0}, []),  # there is nothing below 0
        ({"batch_size": 1}, []),
        ({"momentum": 0.99}, ["The momentum is at the high end of its range (0.99): widen it upwards."]),
        ({}, []),
    ],
)
def test_a_setting_on_the_edge_of_the_space_says_so_where_it_could_go_further(
    value: dict[str, float], said: list[str]
) -> None:
    middle = {"learning_rate": 0.01, "batch_size": 20, "momentum": 0.9}
    assert edges(PLAN, middle | value) == said


def test_the_expected_best_of_k_is_the_mean_over_all_draws() -> None:
    """Oracle: every one of the n^k draws with replacement, enumerated."""
    scores = np.array([3.0, 1.0, 2.5, 7.0])
    table = expected_best(scores)
    for k in (1, 2, 3, 4):
        exact = np.mean([min(draw) for draw in product(scores, repeat=k)])
        assert table.loc[k - 1, "expected"] == pytest.approx(exact, rel=1e-12)
    assert (table["low"] <= table["expected"]).all()
    assert (table["expected"] <= table["high"]).all()


def test_the_sentence_says_whether_the_search_helped_here() -> None:
    best = check(0, *np.linspace(0, 0.1, 8))
    noise = np.tile([0.01, -0.01], 4)
    others = {
        "Random": check(1, *(best.scores + 0.1 + noise)),
        "Grid": check(2, *(best.scores - 0.1 + noise)),
        "Same": check(3, *(best.scores + noise)),
        "Lost": None,
    }
    said = helped(best, others, PLAN)
    assert "Random search ended higher: its loss is 25.9% above" in said
    assert "Grid search ended lower: its loss is 20.6% below" in said
    assert "Same search did as well" in said
    assert "Lost search found no setting that holds" in said


def test_the_verdict_names_the_setting_its_loss_on_fresh_seeds_and_ties(found: Search) -> None:
    frame = found.table()
    early = verdict(PLAN, frame.iloc[:4], None)
    assert early.startswith("Best so far: learning rate **")
    assert found.checks
    row = frame.set_index("number").loc[found.checks[0].number]
    said = verdict(PLAN, frame, found.checks)
    assert said.startswith(
        f"Take learning rate **{row['learning_rate']:.4g}**, batch size **{row['batch_size']:.4g}**"
    )
    assert "on 8 fresh seeds its loss is" in said
    one, two = check(found.checks[0].number, 0.1, 0.2), check(3, 0.1, 0.2)
    assert "Trial 4 did as well within one standard error" in verdict(PLAN, frame, (one, two))
    worse = check(3, 0.2, 0.3)
    assert "better than the next best, trial 4" in verdict(PLAN, frame, (one, worse))
    assert verdict(PLAN, frame.iloc[:0], None) == "The first settings are being tried."


def test_more_than_half_diverged_asks_for_a_smaller_space(found: Search) -> None:
    frame = found.table()
    frame.loc[:7, "state"] = "diverged"
    one = check(int(frame.loc[11, "number"]), 0.1, 0.2)
    assert "8 of 12 settings diverged: a smaller space would waste fewer." in verdict(PLAN, frame, (one,))


def test_why_a_point_was_asked_is_what_the_model_expected_of_it(found: Search) -> None:
    frame = found.table()
    assert why(frame.iloc[0], PLAN) == "Trial 1 is what the page had set."
    row = frame[frame["kind"] == "model"].iloc[0]
    said = why(row, PLAN)
    assert f"{10 ** row['mean']:.3g}" in said
    assert f"{10 ** row['best']:.3g}" in said
    drawn_at_random = frame.iloc[0].copy()
    drawn_at_random["kind"] = "model"
    assert why(drawn_at_random, replace(PLAN, sampler="random")) == "Trial 1 was drawn by Random."


def test_the_model_of_the_maps_is_the_one_that_asked(found: Search) -> None:
    """Trial 9 is the first of a round: what it expected follows from the eight trials before it."""
    frame = found.table()
    asked = frame.iloc[8]
    process = belief.believe(frame.iloc[:8], PLAN)
    assert process is not None
    mean, deviation = process.posterior(belief.units(frame.iloc[[8]], PLAN))
    assert mean[0] == pytest.approx(asked["mean"], abs=2e-3)
    assert deviation[0] == pytest.approx(asked["deviation"], rel=2e-2)


def test_history_has_the_best_so_far_and_never_a_loss_for_what_diverged(found: Search) -> None:
    frame = found.table()
    frame.loc[2, "state"] = "diverged"
    table = drawn.history(frame, PLAN, 1.0, {"random": frame})
    rows = table[table["loss"].notna()]
    assert len(rows) == 11
    lost = table[table["lost"] == 1]
    assert lost["trial"].tolist() == [3]
    held = np.where(frame["state"] == "finished", frame["score"], np.inf)
    assert table["best"].dropna().tolist() == pytest.approx(list(10 ** np.minimum.accumulate(held)))
    assert (rows["low"] < rows["loss"]).all()
    assert table["random_best"].notna().sum() == 12


def test_error_bars_tell_settings_apart_and_leave_out_what_a_seed_does_to_all(found: Search) -> None:
    frame = found.table()
    shifted = frame.copy()
    seed = np.array([0.0, 5.0, -2.0])
    shifted["scores"] = [s + seed for s in frame["scores"]]
    assert drawn.errors(shifted) == pytest.approx(drawn.errors(frame))
    assert (drawn.errors(frame)[frame["state"] == "finished"] > 0).all()


def test_cells_cover_the_plane_and_hold_what_the_process_says(found: Search) -> None:
    frame = found.table()
    process = belief.believe(frame, PLAN)
    assert process is not None
    lr, _, momentum = PLAN.space.ranges
    held = [0.3, 0.6, 0.2]
    seen = belief.surface(process, PLAN, held, "learning_rate", "momentum", 9)
    cells = drawn.cells("belief", seen, PLAN, (lr, momentum))
    assert cells["x1"].min() == pytest.approx(1e-4)
    assert cells["x2"].max() == pytest.approx(0.1)
    assert (cells["y1"].min(), cells["y2"].max()) == (pytest.approx(0), pytest.approx(2))
    for k in (0, 40, 80):
        cell = cells.iloc[k]
        point = [lr.unit(cell["cx"]), 0.6, momentum.unit(cell["cy"])]
        mean, deviation = process.posterior(np.array([point]))
        assert cell["value"] == pytest.approx(mean[0], rel=1e-6)
        assert cell["x1"] < cell["cx"] < cell["x2"]
        wide = drawn.cells("uncertainty", seen, PLAN, (lr, momentum)).iloc[k]
        assert wide["value"] == pytest.approx(deviation[0], rel=1e-6)


def test_the_limit_on_the_plane_is_that_of_the_stability_theory() -> None:
    from core import maps
    from core.sharpness import inputs
    from core.stability import learning_rate_limit

    values = {"learning_rate": 0.01, "batch_size": 16, "momentum": 0.9}
    line = belief.limit_line(PLAN, values, "learning_rate", "momentum")
    assert line is not None
    config = replace(BOSTON, batch_size=16)
    assert line["x"].to_numpy() == pytest.approx(maps.limits(config, line["y"].to_numpy()))
    over = belief.limit_line(PLAN, values, "learning_rate", "batch_size")
    assert over is not None
    at = over[over["y"] == over["y"].max()].iloc[0]
    same = learning_rate_limit(inputs(BOSTON), batch_size=int(at["y"]), momentum=0.9)
    assert at["x"] == pytest.approx(same, rel=1e-6)
    assert belief.limit_line(PLAN, values, "batch_size", "momentum") is None
    adam = Plan(BOSTON.but(optimizer="adam"))
    assert (
        belief.limit_line(
            adam, {"learning_rate": 0.01, "batch_size": 16, "beta1": 0.9}, "learning_rate", "batch_size"
        )
        is None
    )


def test_parallel_axes_have_five_labels_and_lines_in_the_unit_interval(found: Search) -> None:
    table, axes = drawn.parallel(found.table(), PLAN, 3)
    assert table.loc[table["best"] == 1, "trial"].tolist() == [4]
    assert [title for title, _ in axes] == ["learning rate", "batch size", "momentum", "loss"]
    assert axes[0][1] == ("0.0001", "0.00056", "0.0032", "0.018", "0.1")
    inside = table[["p0", "p1", "p2", "p_loss"]]
    assert ((inside >= -1e-6) & (inside <= 1 + 1e-6)).all().all()


def test_a_slice_goes_through_the_best_setting(found: Search) -> None:
    frame = found.table()
    process = belief.believe(frame, PLAN)
    best = best_trials(frame, PLAN)[0]
    held = PLAN.space.unit(found.values(best))
    r = PLAN.space.ranges[2]
    table = drawn.sliced(process, frame, PLAN, held, r, best)
    assert table["best"].dropna().tolist() == pytest.approx(
        [drawn.placed(r, [found.values(best)["momentum"]])[0]]
    )
    band = table[table["x"].notna()]
    assert ((band["low"] < band["mean"]) & (band["mean"] < band["high"])).all()
    assert process is not None
    at = belief.places(r, np.array([held[2]]))
    near = band.iloc[(band["x"] - drawn.placed(r, at)[0]).abs().argmin()]
    assert near["mean"] == pytest.approx(10 ** process.posterior(np.array([held]))[0][0], rel=0.02)


def test_before_the_first_trial_there_is_nothing_to_draw() -> None:
    plan = Plan(BOSTON, Space(learning_rate=(1e-3, 0.1)), trials=4, seeds=2)
    frame = kept.table(kept.create(plan), plan.space)
    assert belief.believe(frame, plan) is None
    assert drawn.history(frame, plan, 1.0, {})["trial"].tolist() == [1, 4]
    assert drawn.learning_curves({}, {}, None, None).empty
