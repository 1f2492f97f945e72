"""How a search ends: ranks, ties, edges, what it was worth, and what the pictures are drawn from."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gmean, spearmanr

from core.config import Config
from core.search import Plan, Space, belief, drawn
from core.search import trials as kept
from core.search.ending import (
    Check,
    Judged,
    best_trials,
    chosen,
    edges,
    expected_best,
    helped,
    judged,
    ties,
    verdict,
    why,
    widened,
)
from core.search.objective import Outcome
from core.search.plan import sobol
from core.search.process import Process
from core.search.space import Range
from core.search.study import Search, evaluate
from core.search.truth import COLUMNS, ROWS, Truth
from core.verdict import digits

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
            ["The learning rate is at the lower bound of its range (0.0001): extend the range downwards."],
        ),
        (
            {"learning_rate": 0.0999},
            ["The learning rate is at the upper bound of its range (0.1): extend the range upwards."],
        ),
        ({"momentum": 0.0}, []),  # there is nothing below 0
        ({"batch_size": 1}, []),
        (
            {"momentum": 0.99},
            ["The momentum is at the upper bound of its range (0.99): extend the range upwards."],
        ),
        (
            {"batch_size": 100},
            ["The batch size is at the upper bound of its range (100): extend the range upwards."],
        ),
        ({}, []),
    ],
)
def test_a_setting_on_the_edge_of_the_space_says_so_where_it_could_go_further(
    value: dict[str, float], said: list[str]
) -> None:
    middle = {"learning_rate": 0.01, "batch_size": 20, "momentum": 0.9}
    assert edges(PLAN, middle | value) == said


@pytest.mark.parametrize(
    ("value", "ends"),
    [
        ({}, None),
        ({"momentum": 0.0}, None),  # there is nothing below 0
        ({"learning_rate": 0.1}, {"learning_rate": (1e-4, 1.0)}),
        ({"learning_rate": 1e-4}, {"learning_rate": (1e-5, 0.1)}),
        ({"batch_size": 100}, {"batch_size": (1, 1000)}),
        ({"momentum": 0.99, "learning_rate": 0.1}, {"momentum": (0, 0.999), "learning_rate": (1e-4, 1.0)}),
    ],
)
def test_the_ends_that_a_setting_lies_on_move_outwards_and_no_others(
    value: dict[str, float], ends: dict[str, tuple[float, float]] | None
) -> None:
    middle = {"learning_rate": 0.01, "batch_size": 20, "momentum": 0.9}
    space = widened(PLAN, middle | value)
    if ends is None:
        assert space is None
    else:
        before = {r.word: (r.low, r.high) for r in PLAN.space}
        assert space == Space(**(before | ends))
        assert edges(replace(PLAN, space=space), middle | value) == []


@pytest.mark.parametrize(
    ("exact", "ends", "value", "moved"),
    [
        (False, (2e-8, 1.0), 2e-8, (1e-8, 1.0)),
        (False, (1e-4, 5e3), 5e3, (1e-4, 1e4)),
        (True, (0.01, 0.03), 0.03, (0.01, 0.05)),
        (True, (0.01, 0.03), 0.01, (1e-8, 0.03)),
    ],
)
def test_an_end_moves_by_a_decade_or_by_its_width_where_it_is_linear_and_no_further_than_the_setting_takes(
    exact: bool, ends: tuple[float, float], value: float, moved: tuple[float, float]
) -> None:
    space = widened(Plan(BOSTON, Space(learning_rate=ends), exact=exact), {"learning_rate": value})
    assert space is not None
    assert [(r.low, r.high) for r in space] == [moved]
    assert [r.scale for r in space] == ["linear" if exact else "log"]


@pytest.mark.parametrize(
    ("word", "ends", "value", "near"),
    [
        ("learning_rate", (1e-4, 0.1), 0.003, False),  # 30 times the end, though it lies 3 % away
        ("learning_rate", (1e-4, 0.1), 1.4e-4, True),
        ("learning_rate", (1e-4, 0.1), 1.6e-4, False),
        ("learning_rate", (1e-4, 0.1), 0.098, True),
        ("momentum", (0.0, 0.99), 0.97, False),  # 1 - momentum is 3 times that of the end
        ("momentum", (0.0, 0.99), 0.986, True),
        ("momentum", (0.5, 0.99), 0.51, True),
        ("dampening", (0.01, 0.9), 0.02, True),  # this one counts in differences
        ("dampening", (0.01, 0.9), 0.04, False),
    ],
)
def test_on_a_linear_scale_an_end_is_near_also_in_the_ratio_that_counts(
    word: str, ends: tuple[float, float], value: float, near: bool
) -> None:
    plan = Plan(BOSTON.but(optimizer="momentum"), Space(**{word: ends}), exact=True)
    assert bool(edges(plan, {word: value})) is near
    assert (widened(plan, {word: value}) is not None) is near


def test_no_larger_batches_than_the_training_part_has_rows_are_advised() -> None:
    rows = BOSTON.train_rows
    for end, advised in ((rows - 1, True), (rows, False), (rows + 1, False)):
        plan = Plan(BOSTON, Space(batch_size=(1, end)))
        assert bool(edges(plan, {"batch_size": end})) is advised
        assert (widened(plan, {"batch_size": end}) is not None) is advised
    small = Plan(BOSTON, Space(batch_size=(2, 1000)))
    assert len(edges(small, {"batch_size": 2})) == 1, "smaller ones are"


def test_the_expected_best_of_k_is_the_mean_over_all_draws() -> None:
    """Oracle: every one of the n^k draws with replacement, enumerated."""
    scores = np.array([3.0, 1.0, 2.5, 7.0])
    table = expected_best(scores)
    for k in (1, 2, 3, 4):
        exact = np.mean([min(draw) for draw in product(scores, repeat=k)])
        assert table.loc[k - 1, "expected"] == pytest.approx(exact, rel=1e-12)
    assert table.loc[0, "low"] < table.loc[0, "expected"] < table.loc[0, "high"]
    assert table.loc[1:, ["low", "high"]].isna().all(axis=None), (
        "four scores bear no interval of more than one draw"
    )
    assert expected_best(scores[:1]).to_numpy()[0] == pytest.approx([1, 3, np.nan, np.nan], nan_ok=True)


def test_the_interval_of_the_expected_best_holds_about_what_it_states_as_far_as_it_is_drawn() -> None:
    """Oracle: normal scores, of which the expected smallest of k is known by drawing many."""
    rng = np.random.default_rng(0)
    truth = [rng.normal(size=(200_000, k)).min(axis=1).mean() for k in range(1, 6)]
    tables = [expected_best(rng.normal(size=20), most=6) for _ in range(400)]
    for k, value in enumerate(truth):
        held = sum(t.loc[k, "low"] <= value <= t.loc[k, "high"] for t in tables)
        assert held >= 0.88 * 400, k + 1
    assert all(np.isnan(t.loc[5, "low"]) for t in tables)


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
    interval = r"95 % interval \+2\d\.\d % to \+2\d\.\d %\."
    told = rf"Random search ended higher: loss \+25\.9 % relative to this search, {interval}"
    assert re.search(told, said)
    assert "Grid search ended lower: loss -20.6 % relative to this search, 95 % interval -2" in said
    assert re.search(r"Same search is tied: loss .0\.0 % .*, 95 % interval -\d\.\d % to \+\d\.\d %\.", said)
    assert "Lost search found no setting that did not diverge." in said


def test_the_verdict_names_the_setting_its_loss_on_fresh_seeds_and_ties(found: Search) -> None:
    frame = found.table()
    early = verdict(PLAN, frame.iloc[:4], None)
    lowest = frame.iloc[:4]["score"].to_numpy().argmin()
    assert early.startswith(f"Best so far: trial {lowest}: learning rate ")
    assert found.checks
    row = frame.set_index("number").loc[found.checks[0].number]
    said = verdict(PLAN, frame, found.checks)
    assert said.startswith(
        f"Take trial {found.checks[0].number}: "
        f"learning rate {row['learning_rate']:.4g}, batch size {row['batch_size']:.4g}"
    )
    fresh = digits(found.checks[0].loss.mean)
    assert f"momentum {row['momentum']:.4g}. Loss {fresh} on 8 fresh seeds, 95 % interval " in said
    one, two = check(found.checks[0].number, 0.1, 0.2), check(3, 0.1, 0.2)
    alike = "Trial 3 is tied with it: within one standard error of the paired difference."
    assert alike in verdict(PLAN, frame, (one, two))
    three = check(8, 0.1, 0.2)
    alike = "Trials 3 and 8 are tied with it: within one standard error of the paired difference."
    assert alike in verdict(PLAN, frame, (one, two, three))
    worse = check(3, 0.2, 0.3)
    better = (
        "It is better than the runner-up, trial 3, by more than one standard error of the paired difference."
    )
    assert better in verdict(PLAN, frame, (one, worse))
    assert verdict(PLAN, frame.iloc[:0], None) == "No trial has completed yet."


def test_more_than_half_diverged_asks_for_a_smaller_space(found: Search) -> None:
    frame = found.table()
    frame.loc[:7, "state"] = "diverged"
    one = check(int(frame.loc[11, "number"]), 0.1, 0.2)
    assert "8 of 12 trials diverged: a smaller search space would waste fewer." in verdict(
        PLAN, frame, (one,)
    )


def test_why_a_point_was_asked_is_what_the_model_expected_of_it(found: Search) -> None:
    frame = found.table()
    assert why(frame.iloc[0], PLAN) == "Trial 0 has the settings of the page."
    row = frame[frame["kind"] == "model"].iloc[0]
    said = why(row, PLAN)
    assert f"{10 ** row['mean']:.3g}" in said
    assert f"{10 ** row['best']:.3g}" in said
    drawn_at_random = frame.iloc[0].copy()
    drawn_at_random["kind"] = "model"
    assert (
        why(drawn_at_random, replace(PLAN, sampler="random"))
        == "Trial 0 was suggested by the sampler (Random)."
    )


def test_why_of_a_setting_that_was_moved_into_the_ranges_or_drawn_at_random_says_so() -> None:
    row = pd.Series({"number": 0, "kind": "nearest", "mean": np.nan, "deviation": np.nan, "best": np.nan})
    assert why(row, PLAN) == "Trial 0 has the settings in the ranges that are nearest to those of the page."
    row["kind"] = "random"
    assert why(row, PLAN) == "Trial 0 was drawn at random."


def test_the_model_of_the_maps_believes_what_the_one_that_asked_does(found: Search) -> None:
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
    assert lost["trial"].tolist() == [2]
    held = np.where(frame["state"] == "finished", frame["score"], np.inf)
    assert table["best"].dropna().tolist() == pytest.approx(list(10 ** np.minimum.accumulate(held)))
    assert (rows["low"] < rows["loss"]).all()
    assert table["random_best"].notna().sum() == 12


def test_error_bars_tell_settings_apart_and_leave_out_what_a_seed_does_to_all(found: Search) -> None:
    frame = found.table()
    shifted = frame.copy()
    seed = np.array([0.0, 5.0, -2.0])
    shifted["scores"] = [s + seed for s in frame["scores"]]
    shifted["error"] = [s.std(ddof=1) / np.sqrt(3) for s in shifted["scores"]]
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


def test_parallel_axes_have_round_ticks_where_a_trial_of_that_value_passes(found: Search) -> None:
    frame = found.table()
    table = drawn.parallel(frame, PLAN, 3)
    assert table.loc[table["best"] == 1, "trial"].tolist() == [3]
    ticks = table.dropna(subset=["ruler"]).groupby("ruler")["label"].agg(list).tolist()
    assert ticks[:3] == [
        ["0.0001", "0.001", "0.01", "0.1"],
        ["1", "3", "10", "30", "100"],
        ["0", "0.5", "0.9", "0.99"],
    ]
    lines = table.dropna(subset=["trial"])
    assert lines[["p0", "p1", "p2", "p_loss"]].stack().between(-1e-6, 1 + 1e-6).all()
    values = [frame["learning_rate"], frame["batch_size"], -np.log1p(-frame["momentum"]), frame["score"]]
    scales = [np.log, np.log, lambda v: -np.log1p(-v), np.log10]
    for k, (column, value) in enumerate(zip(("p0", "p1", "p2", "p_loss"), values, strict=True)):
        value = np.log(value) if k < 2 else value
        slope, start = np.polyfit(value, lines[column].astype(float), 1)
        own = table[table["ruler"] == k]
        at = scales[k](own["label"].astype(float).to_numpy())
        assert own["place"].to_numpy() == pytest.approx(start + slope * at, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (Range("learning_rate", 1e-4, 0.1), [1e-4, 1e-3, 1e-2, 0.1]),
        (Range("learning_rate", 0.01, 0.1), [0.01, 0.02, 0.05, 0.1]),
        (Range("learning_rate", 1e-8, 1e2), [1e-8, 1e-6, 1e-4, 1e-2, 1, 100]),
        (Range("batch_size", 1, 100, "linear"), [20, 40, 60, 80, 100]),
        (Range("momentum", 0, 0.9, "linear"), [0, 0.2, 0.4, 0.6, 0.8]),
        (Range("momentum", 0.5, 0.9999, "rest"), [0.5, 0.9, 0.99, 0.999, 0.9999]),
        (Range("loss", 0.29, 1.4), [0.3, 0.5, 0.7, 1]),
    ],
)
def test_ticks_are_round_numbers(given: Range, values: list[float]) -> None:
    assert drawn.round_values(given) == pytest.approx(values)


@pytest.mark.parametrize("scale", ["log", "rest", "linear"])
def test_there_are_three_to_six_ticks_in_any_range(scale: str) -> None:
    for low, width in product((1e-5, 0.0123, 0.4, 0.7), (1e-4, 0.03, 0.1, 0.29)):
        r = Range("momentum", low, low + width, scale)
        ticks = drawn.round_values(r)
        assert 3 <= len(ticks) <= 6
        assert ticks == sorted(set(ticks))
        assert all(-1e-6 <= r.unit(v) <= 1 + 1e-6 for v in ticks)


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
    assert drawn.history(frame, plan, 1.0, {})["trial"].tolist() == [0, 3]
    assert drawn.learning_curves({}, {}, None, None).empty


def test_one_lucky_fresh_seed_does_not_make_a_setting_the_best() -> None:
    lucky, steady = np.array([-0.5, 0.9]), np.array([0.1, 0.1])
    results = [Outcome(s, 10**s, 0, np.arange(1), np.ones(1)) for s in (lucky, steady)]
    assert [c.number for c in chosen(results, [0, 1])] == [1, 0]


def test_sobol_search_is_ranked_by_the_scores_themselves_as_random_search_is(found: Search) -> None:
    frame = found.table()
    held = frame[frame["state"] == "finished"].sort_values("score")
    assert held["number"].tolist() != best_trials(frame, PLAN)
    for sampler in ("sobol", "grid"):
        assert best_trials(frame, replace(PLAN, sampler=sampler)) == held["number"].tolist()


def test_an_end_beyond_which_no_value_is_allowed_asks_for_no_wider_range() -> None:
    plan = Plan(BOSTON, Space(learning_rate=(1e-8, 1e4), momentum=(0.5, 0.9)))
    middle = {"learning_rate": 0.01, "momentum": 0.8}
    assert edges(plan, middle | {"learning_rate": 1e4}) == []
    assert edges(plan, middle | {"learning_rate": 1e-8}) == []
    assert len(edges(plan, middle | {"momentum": 0.5})) == 1


def test_smaller_learning_rates_are_advised_only_where_they_are_searched(found: Search) -> None:
    frame = found.table().assign(state="diverged")
    still = Plan(BOSTON, Space(batch_size=(1, 100), momentum=(0, 0.99)))
    assert verdict(still, frame, ()) == "All 12 trials so far diverged on some seed."


def test_the_verdict_warns_of_fresh_seeds_that_diverged_and_of_an_edge(found: Search) -> None:
    frame = found.table()
    number = int(frame.loc[11, "number"])
    frame.loc[11, "learning_rate"] = 0.1
    broken = Check(number, np.zeros(4), np.array([1.0, np.nan, 1.2, np.nan]))
    said = verdict(PLAN, frame, (broken,))
    assert re.search(r"Loss [\d.]+ on 2 fresh seeds, 95 % interval", said)
    assert "2 of 4 fresh seeds diverged: the setting is too close to the stability limit." in said
    assert "The learning rate is at the upper bound of its range (0.1): extend the range upwards." in said
    assert "too close" not in verdict(PLAN, frame, (check(number, 0.1, 0.2),))


def figures(said: str) -> list[float]:
    """Mean, low and high end of the loss on fresh seeds, and the loss that the search had seen."""
    fresh = r"Loss ([\d.]+) on \d+ fresh seeds, 95 % interval ([\d.]+) to ([\d.]+)"
    pattern = fresh + r"; the search had seen ([\d.,]*\d)[.,]"
    told = re.search(pattern, said)
    assert told is not None
    return [float(text.replace(",", "")) for text in told.groups()]


def test_the_loss_on_fresh_seeds_and_the_one_that_the_search_saw_are_both_geometric_means(
    found: Search,
) -> None:
    """The interval by hand: the means of normal logarithms are normal."""
    frame = found.table()
    frame.at[11, "losses"], frame.at[11, "scores"] = np.array([0.01, 1, 1]), np.array([-2.0, 0, 0])
    rng = np.random.default_rng(3)
    losses = np.append(10.0 ** rng.normal(0.0, 0.5, 99), np.nan)
    one = Check(int(frame.loc[11, "number"]), np.log10(np.nan_to_num(losses, nan=100.0)), losses)
    mean, low, high, seen = figures(verdict(PLAN, frame, (one,)))
    assert seen == pytest.approx(10 ** (-2 / 3), rel=0.005)
    logs = np.log10(losses[:99])
    assert mean == pytest.approx(10 ** logs.mean(), rel=0.005)
    half = 1.96 * logs.std() / np.sqrt(99)
    assert np.log10([low, high]) - logs.mean() == pytest.approx([-half, half], rel=0.1)
    assert mean < 0.8 * losses[:99].mean()


def test_both_are_the_means_of_the_compare_page_also_where_the_plain_loss_was_searched(found: Search) -> None:
    frame, exact = found.table(), replace(PLAN, exact=True)
    frame.at[11, "losses"] = np.array([25.0])
    one = Check(int(frame.loc[11, "number"]), np.zeros(8), np.linspace(20.0, 30.0, 8))
    mean, low, high, seen = figures(verdict(exact, frame, (one,)))
    assert (mean, seen) == (float(f"{gmean(np.linspace(20.0, 30.0, 8)):.3g}"), 25)
    assert 20 < low < mean < high < 30


def test_what_train_and_compare_open_is_said_also_of_trials_without_a_loss(found: Search) -> None:
    def told(*losses: float, plan: Plan = PLAN) -> Judged:
        frame = found.table().assign(losses=[np.array(losses)] * 12)
        return judged(plan, frame, None, 5)

    seeds = "Train opens seed 0, Compare the 3 seeds of the search"
    assert told(*[np.nan] * 3).words == f"{seeds}, all of which diverged."
    assert told().words == f"{seeds}, whose losses are not known yet."
    assert (told(4.0, np.nan, 1.5).seeds, told(4.0, np.nan, 1.5).typical) == (range(3), 2)
    alone = told(0.25, plan=replace(PLAN, seeds=1))
    assert alone.words == "Train and Compare open seed 0 of the search, whose loss is 0.25."


def test_one_seed_that_held_has_no_interval() -> None:
    alone = Check(0, np.array([0.0, 2.0]), np.array([1.0, np.nan])).loss
    assert (alone.mean, alone.n) == (1, 1)
    assert np.isnan([alone.low, alone.high]).all()


def test_a_setting_of_which_no_fresh_seed_held_has_no_loss_on_them(found: Search) -> None:
    frame = found.table()
    lost = Check(int(frame.loc[11, "number"]), np.full(8, 2.0), np.full(8, np.nan))
    said = verdict(PLAN, frame, (lost,))
    assert ". No loss on fresh seeds; the search had seen" in said
    assert "8 of 8 fresh seeds diverged: the setting is too close to the stability limit." in said
    assert "nan" not in said


def test_while_it_goes_on_the_best_so_far_is_the_one_of_the_picture(found: Search) -> None:
    """One trial had luck: its seeds disagree, so belief does not follow its score, but the line does."""
    frame = found.table()
    lowest = frame["score"].min()
    lost, lucky = frame["score"].nlargest(2).index
    frame.loc[lost, ["state", "score"]] = "diverged", lowest - 1.0
    frame.loc[lucky, "score"] = lowest - 0.1
    frame.at[lucky, "scores"] = lowest - 0.1 + np.array([-3.0, 0.0, 3.0])
    assert best_trials(frame, PLAN)[0] != lucky
    said = verdict(PLAN, frame, None)
    setting = f"learning rate {frame.loc[lucky, 'learning_rate']:.4g}, "
    assert said.startswith(f"Best so far: trial {lucky}: {setting}")
    line = drawn.history(frame, PLAN, 1.0, {})["best"].dropna().iloc[-1]
    assert said.endswith(f", loss {digits(line)}.")
    assert line == pytest.approx(10 ** (lowest - 0.1))


LUCK = ", lower because the best of many trials is partly luck."


@pytest.mark.parametrize(
    ("fresh", "trials", "told"),
    [
        (0.6, 12, True),
        (0.5001, 12, False),  # both are 0.5 in the digits that are shown
        (0.4, 12, False),
        (0.6, 1, False),  # the best of one has had no choice
        (np.nan, 12, False),
    ],
)
def test_a_loss_that_is_higher_on_fresh_seeds_is_explained_and_no_other(
    found: Search, fresh: float, trials: int, told: bool
) -> None:
    frame = found.table()
    frame.at[11, "scores"], frame.at[11, "losses"] = np.full(3, np.log10(0.5)), np.full(3, 0.5)
    one = Check(int(frame.loc[11, "number"]), np.full(8, np.log10(fresh)), np.full(8, fresh))
    said = verdict(PLAN, frame.iloc[12 - trials :], (one,))
    assert f"the search had seen 0.5{LUCK if told else '.'}" in said
    assert ("luck" in said) is told


def test_what_the_verdict_says_calls_numbers_as_the_page_does_not_as_links_do(found: Search) -> None:
    frame = found.table().assign(weight_decay=0.1)
    space = Space(learning_rate=(1e-4, 0.1), weight_decay=(1e-6, 0.1))
    plan = replace(PLAN, space=space)
    said = verdict(plan, frame, (check(int(frame.loc[11, "number"]), 0.1, 0.2),))
    assert re.search(r", weight decay 0\.1\. Loss [\d.]+ on 2 fresh seeds", said)
    assert "The weight decay is at the upper bound of its range (0.1): extend the range upwards." in said
    assert "_" not in said


def test_just_half_diverged_is_no_reason_to_shrink_the_space(found: Search) -> None:
    frame = found.table().assign(state="finished")
    frame.loc[:5, "state"] = "diverged"
    assert "diverged" not in verdict(PLAN, frame, (check(int(frame.loc[11, "number"]), 0.1, 0.2),))


def test_a_point_is_asked_for_a_lower_loss_or_because_the_model_is_unsure() -> None:
    row = pd.Series({"number": 6, "kind": "model", "mean": 1.0, "deviation": 1.0, "best": 2.0})
    assert why(row, PLAN) == (
        "Trial 6 was suggested for its expected improvement: posterior mean 10, one standard deviation 1 to "
        "100, below the best posterior mean of a known setting (100)."
    )
    row["mean"] = 3.0
    assert why(row, PLAN).endswith(
        "posterior mean 1,000, one standard deviation 100 to 10,000, not below the best posterior mean of a "
        "known setting (100), so its standard deviation made it worth a trial."
    )


def test_the_interval_of_the_expected_best_holds_95_in_100() -> None:
    """Oracle: the best of one draw is the mean, whose interval for many scores is the normal one."""
    scores = np.random.default_rng(5).normal(3.0, 2.0, 500)
    table = expected_best(scores, most=2)
    assert table["k"].tolist() == [1, 2]
    half = 1.96 * scores.std() / np.sqrt(500)
    assert scores.mean() - table.loc[0, "low"] == pytest.approx(half, rel=0.15)
    assert table.loc[0, "high"] - scores.mean() == pytest.approx(half, rel=0.15)


def test_other_searches_are_compared_seed_by_seed_and_in_the_loss_where_that_was_searched() -> None:
    best = check(0, *np.linspace(0, 3, 8))
    higher = {"Random": check(1, *(best.scores + 0.1 + np.tile([0.01, -0.01], 4)))}
    assert "ended higher" in helped(best, higher, PLAN), "seeds differ far more than settings do"
    exact = replace(PLAN, exact=True)
    said = helped(best, higher, exact)
    assert said.startswith(
        "Random search ended higher: loss +0.1 relative to this search, 95 % interval +0.09"
    )
    assert belief.losses(np.array([0.5, 2.0]), exact).tolist() == [0.5, 2.0]


def test_the_limit_of_nesterov_is_nesterov_s_and_lies_on_either_axis() -> None:
    from core import maps

    config = BOSTON.but(optimizer="nesterov")
    plan = Plan(config)
    values = {"learning_rate": 0.01, "batch_size": 16, "momentum": 0.9}
    line = belief.limit_line(plan, values, "learning_rate", "momentum")
    assert line is not None
    small = replace(config, batch_size=16)
    assert line["x"].to_numpy() == pytest.approx(maps.limits(small, line["y"].to_numpy(), nesterov=True))
    turned = belief.limit_line(plan, values, "momentum", "learning_rate")
    assert turned is not None
    assert turned["x"].tolist() == line["y"].tolist()
    assert turned["y"].tolist() == line["x"].tolist()


@pytest.mark.parametrize(
    "words",
    [
        {"dampening": "0.5"},
        {"weight_decay": "0.01"},
        {"schedule": "cosine"},
        {"momentum_schedule": "ramp"},
        {"optimizer": "sgd", "weight_decay": "0.01"},
        {"optimizer": "nesterov", "schedule": "warmup"},
    ],
)
def test_there_is_no_limit_where_the_rule_does_what_it_does_not_count_in(words: dict[str, str]) -> None:
    base = {"dataset": "boston", "optimizer": "momentum"}
    values = {"learning_rate": 0.01, "batch_size": 16, "momentum": 0.9}
    plan = Plan(Config.from_query(base | words))
    assert belief.limit_line(plan, values, "learning_rate", "batch_size") is None
    plain = Plan(Config.from_query(base | {k: v for k, v in words.items() if k == "optimizer"}))
    assert belief.limit_line(plain, values, "learning_rate", "batch_size") is not None


def test_what_is_searched_counts_where_the_best_has_it_and_sgd_has_no_momentum_to_schedule() -> None:
    space = Space(learning_rate=(1e-3, 0.1), momentum=(0.0, 0.99), dampening=(0.0, 0.9))
    plan = Plan(BOSTON.but(optimizer="momentum"), space)
    values = {"learning_rate": 0.01, "momentum": 0.9, "dampening": 0.0}
    assert belief.limit_line(plan, values, "learning_rate", "momentum") is not None
    assert belief.limit_line(plan, values | {"dampening": 0.3}, "learning_rate", "momentum") is None
    words = {"dataset": "boston", "optimizer": "sgd", "momentum_schedule": "ramp"}
    still = Plan(Config.from_query(words))
    assert belief.limit_line(still, values | {"batch_size": 16}, "learning_rate", "batch_size") is not None


def believed(found: Search) -> Process:
    process = belief.believe(found.table(), PLAN)
    assert process is not None
    return process


def test_the_map_of_improvement_is_over_the_smallest_mean_at_a_trial(found: Search) -> None:
    """Oracle: the mean of max(best - f, 0) over many draws of f."""
    process = believed(found)
    seen = belief.surface(process, PLAN, [0.3, 0.6, 0.2], "learning_rate", "momentum", 5)
    best = process.posterior(process.points)[0].min()
    draws = np.random.default_rng(0).standard_normal(200_000)
    widest = np.unravel_index(seen.improvement.argmax(), seen.improvement.shape)
    for at in (widest, (0, 0), (4, 2)):
        gain = np.maximum(best - (seen.mean[at] + seen.deviation[at] * draws), 0).mean()
        assert seen.improvement[at] == pytest.approx(gain, rel=0.05, abs=1e-5)


def test_the_band_of_a_slice_is_one_deviation_wide(found: Search) -> None:
    process = believed(found)
    table = belief.slices(process, PLAN, [0.3, 0.6, 0.2], "momentum", 3)
    mean, deviation = process.posterior(np.array([[0.3, 0.6, u] for u in (0.0, 0.5, 1.0)]))
    assert table["low"].to_numpy() == pytest.approx(10 ** (mean - deviation))
    assert table["high"].to_numpy() == pytest.approx(10 ** (mean + deviation))
    assert table["x"].to_numpy() == pytest.approx([0, 0.9, 0.99])


def test_importances_name_each_number_s_share_and_what_is_unsure_of_it(found: Search) -> None:
    table = belief.importances(believed(found), PLAN)
    assert tuple(table["word"]) == PLAN.space.words
    assert table["share"].sum() >= 1 - 3 * table["error"].sum(), "total shares add up to one at least"
    assert (table["share"].max() > table["error"]).all()


RATE, REST = Range("learning_rate", 1e-4, 0.1), Range("momentum", 0.0, 0.99, "rest")


def test_each_trial_lies_on_the_map_where_its_axes_have_it_and_has_its_own_mark(found: Search) -> None:
    frame = found.table().iloc[:5]
    frame["state"] = ["finished", "diverged", "running", "finished", "queued"]
    dots = drawn.points(frame, (RATE, REST), 3, {"learning_rate": 0.02, "momentum": 0.9})
    assert dots["mark"].tolist() == [0, 1, 3, 2, 4]
    assert dots["px"].to_numpy() == pytest.approx([*frame["learning_rate"][:4], 0.02])
    assert dots["py"].to_numpy() == pytest.approx([*(-np.log10(1 - frame["momentum"][:4])), 1.0])
    assert drawn.points(frame, (RATE, REST), None)["mark"].tolist() == [0, 1, 3, 0]


def test_the_limit_is_drawn_only_where_it_lies_on_the_map() -> None:
    found = pd.DataFrame({"x": [0.05, 0.2, 0.05, 0.05], "y": [0.9, 0.9, 0.995, 0.0]})
    line = drawn.line(found, (RATE, REST))
    assert line["lx"].tolist() == [0.05, 0.05]
    assert line["ly"].to_numpy() == pytest.approx([1.0, 0.0])
    assert drawn.line(None, (RATE, REST)).empty


def test_the_latest_curves_are_drawn_and_the_best_the_running_and_the_picked_stand_out() -> None:
    ended = {n: ([0, 1], [2.0, 1.0 + n]) for n in range(70)}
    table = drawn.learning_curves(ended, {70: ([0], [3.0])}, best=2, picked=5)
    looks = table.groupby("trial")["look"].first()
    assert looks.index.tolist() == [2, 5, *range(10, 71)]
    assert looks[looks > 0].to_dict() == {2: 1, 5: 3, 70: 2}
    assert table.loc[table["trial"] == 70, "loss"].tolist() == [3.0]


def test_the_history_tells_where_each_trial_came_from_and_what_predicting_the_mean_costs(
    found: Search,
) -> None:
    kinds = ["default", "nearest", "start", "model", "random", "hand", "before"]
    frame = found.table().iloc[:7].assign(kind=kinds)
    table = drawn.history(frame, PLAN, 84.0, {})
    assert table["kind"].dropna().tolist() == [0, 0, 0, 1, 1, 2, 3]
    assert set(table["baseline"].dropna()) == {84.0}


def test_every_cell_has_its_own_edges_middle_and_value() -> None:
    x, y = belief.places(RATE, np.array([1, 3, 5]) / 6), belief.places(REST, np.array([0.25, 0.75]))
    cells = drawn.grid(x, y, np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), (RATE, REST))
    assert cells["value"].tolist() == [1, 2, 3, 4, 5, 6]
    assert cells["x1"].to_numpy() == pytest.approx([1e-4, 1e-3, 1e-2] * 2)
    assert cells["x2"].to_numpy() == pytest.approx([1e-3, 1e-2, 1e-1] * 2)
    assert cells["y1"].to_numpy() == pytest.approx([0, 0, 0, 1, 1, 1], abs=1e-12)
    assert cells["y2"].to_numpy() == pytest.approx([1, 1, 1, 2, 2, 2])
    assert cells["cx"].to_numpy() == pytest.approx([10**-3.5, 10**-2.5, 10**-1.5] * 2)
    assert cells["cy"].to_numpy() == pytest.approx([1 - 10**-0.5] * 3 + [1 - 10**-1.5] * 3)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_every_cell_of_the_truth_lies_around_the_setting_that_is_trained_in_it(scale: str) -> None:
    """Batch sizes are rounded, and equal ones trained once: what is left is not evenly spaced."""
    sizes = Range("batch_size", 1, 20, scale)
    plan = Plan(BOSTON, Space(RATE, sizes))
    made = Truth(plan, {"learning_rate": 0.01, "batch_size": 16}, "learning_rate", "batch_size")
    assert (len(made.x), len(made.y)) == (COLUMNS, len(set(made.y)))
    assert len(made.y) < ROWS or scale == "linear"
    cells = drawn.grid(made.x, made.y, np.zeros((len(made.y), len(made.x))), (RATE, sizes))
    assert ((cells["y1"] <= cells["cy"]) & (cells["cy"] <= cells["y2"])).all()
    assert ((cells["x1"] < cells["cx"]) & (cells["cx"] < cells["x2"])).all()
    rows = cells.drop_duplicates("cy")
    assert (rows["y1"].iloc[0], rows["y2"].iloc[-1]) == (pytest.approx(1), pytest.approx(20))
    assert rows["y1"].to_numpy()[1:] == pytest.approx(rows["y2"].to_numpy()[:-1])
    between = made.y[1:] * made.y[:-1] if scale == "log" else (made.y[1:] + made.y[:-1]) / 2
    assert rows["y2"].to_numpy()[:-1] == pytest.approx(np.sqrt(between) if scale == "log" else between)


def test_one_value_fills_its_whole_axis() -> None:
    cells = drawn.grid(np.array([0.01]), np.array([0.9]), np.array([[1.0]]), (RATE, REST))
    assert cells[["x1", "x2", "y1", "y2"]].to_numpy()[0] == pytest.approx([1e-4, 0.1, 0.0, 2.0])


def test_lines_end_low_for_a_low_loss_and_those_of_lost_trials_are_marked(found: Search) -> None:
    frame = found.table()
    frame.loc[2, "state"] = "diverged"
    table = drawn.parallel(frame, PLAN, None).dropna(subset=["trial"])
    assert table.loc[table["lost"] == 1, "trial"].tolist() == [2]
    order = frame["score"].to_numpy().argsort()
    assert table["p_loss"].to_numpy()[order[[0, -1]]].tolist() == [0, 1]
    assert (np.diff(table["p_loss"].to_numpy()[order]) >= 0).all()


def test_the_points_of_a_slice_are_losses_and_what_diverged_has_none(found: Search) -> None:
    frame = found.table()
    frame.loc[2, "state"] = "diverged"
    table = drawn.sliced(None, frame, PLAN, [0.5] * 3, RATE, None)
    dots = table.dropna(subset=["px"])
    assert dots["lost"].tolist() == [0, 0, 1] + [0] * 9
    assert dots["py"].isna().tolist() == [False, False, True] + [False] * 9
    losses = 10 ** frame["score"].drop(index=2)
    assert dots["py"].dropna().to_numpy() == pytest.approx(losses.to_numpy(), rel=1e-5)


def test_chance_and_what_the_search_found_are_drawn_as_losses() -> None:
    table = drawn.chance(expected_best(np.array([0.0, 1.0])), PLAN, 12, 7.5)
    assert table["expected"].dropna().tolist() == pytest.approx([10**0.5, 10**0.25])
    assert table[["here", "bayes"]].dropna().to_numpy().tolist() == [[12, 7.5]]


def test_the_timeline_counts_seconds_and_tells_running_from_failed(found: Search) -> None:
    frame = found.table().iloc[:4].assign(machine=["a", "b", "a", ""])
    frame["state"] = ["finished", "running", "failed", "finished"]
    zero = pd.Timestamp("2026-01-01 12:00")
    frame["begin"] = [zero + pd.Timedelta(seconds=s) for s in (3, 5, 7, 0)]
    frame["end"] = [zero + pd.Timedelta(seconds=6), pd.NaT, zero + pd.Timedelta(seconds=9), zero]
    table = drawn.timeline(frame)
    assert table["machine"].tolist() == ["a", "b", "a"]
    assert table["begin"].tolist() == [0, 2, 4]
    assert table["end"].tolist() == [3, 2, 6]
    assert table["state"].tolist() == [0, 1, 2]
    assert table["trial"].tolist() == [0, 1, 2]
    assert drawn.timeline(frame.iloc[3:]).empty


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_what_the_model_believes_is_like_the_truth_where_nothing_was_tried(model: str) -> None:
    """Oracle: 40 settings spread over the space, really trained. Deviations must cover the misses."""
    plan = Plan(BOSTON.but(model=model, epochs=10), seeds=4)
    search = Search(plan)
    while search.searching:
        search.advance()
    process = belief.believe(search.table(), plan)
    assert process is not None
    points = sobol(3, 40, 5)
    truth = np.array([kept.value(evaluate(plan, plan.space.at(point))) for point in points])
    mean, deviation = process.posterior(points)
    assert spearmanr(mean, truth).statistic > 0.7
    assert np.sqrt((((mean - truth) / deviation) ** 2).mean()) < 2
    assert np.ptp(mean) > 0.4 * np.ptp(truth)
