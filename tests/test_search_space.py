"""Spaces and plans: what is searched, how it is written, and what is refused."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from core.config import Config
from core.datasets import from_table
from core.optimizers import OPTIMIZERS
from core.registry import OutOfRange, UnknownName
from core.search.plan import SAMPLERS, BadPlan, Plan, fingerprint, from_text, to_text, to_words
from core.search.space import USUAL, BadSpace, Range, Ranges, Space, numbers, usual, usual_range
from core.searches import SEARCHES

ROOT = Path(__file__).parents[1]
MOMENTUM = Config.from_query({"dataset": "boston", "epochs": "10"})
SGD = MOMENTUM.but(optimizer="sgd")
RANGES = [usual_range(word) for word in USUAL] + [Range("batch_size", 1, 100, "linear")]
each_range = pytest.mark.parametrize("r", RANGES, ids=lambda r: f"{r.word}-{r.scale}")


@each_range
def test_a_place_between_the_ends_and_its_value_are_one_another_s_inverse(r: Range) -> None:
    for unit in np.linspace(0, 1, 23):
        assert r.unit(r.between(unit)) == pytest.approx(unit, abs=1e-9)
    assert r.between(0) == pytest.approx(r.low)
    assert r.between(1) == pytest.approx(r.high)


def test_half_way_is_the_geometric_mean_on_a_logarithmic_scale_of_the_value_or_of_its_rest() -> None:
    assert Range("learning_rate", 1e-4, 1e-1).between(0.5) == pytest.approx(math.sqrt(1e-5))
    assert Range("momentum", 0.0, 0.99, "rest").between(0.5) == pytest.approx(0.9)
    assert Range("dampening", 0.0, 0.9, "linear").between(0.5) == pytest.approx(0.45)


@each_range
def test_what_is_trained_is_what_a_person_reads_and_lies_in_the_range(r: Range) -> None:
    for unit in np.random.default_rng(0).random(50):
        value = r.at(unit)
        assert r.holds(value)
        assert r.tidy(value) == value
        rest = 1 - value if r.scale == "rest" else value
        assert float(f"{rest:.4g}") == pytest.approx(rest, rel=1e-7) or value in (r.low, r.high)


@each_range
def test_a_trial_s_parameter_and_the_value_that_is_trained_go_into_each_other(r: Range) -> None:
    for unit in (0.0, 0.3, 1.0):
        value = r.at(unit)
        assert r.value(r.raw(value)) == pytest.approx(value, rel=1e-9)
        assert r.distribution()._contains(value)
        for whole in (True, False):
            assert r.searched(whole)._contains(r.raw(value))
        assert Space(r).read({r.word: value}) == {r.word: value}
        assert Space(r).read(Space(r).raw({r.word: value})) == {r.word: pytest.approx(value, rel=1e-9)}


def test_batch_sizes_are_whole_and_told_to_optunas_models_as_floats_where_the_scale_is_logarithmic() -> None:
    r, whole = usual_range("batch_size"), optuna.distributions.IntDistribution
    assert isinstance(r.at(0.31), int)
    assert r.distribution() == r.searched() == whole(1, 100, log=True)
    assert r.searched(whole=False) == optuna.distributions.FloatDistribution(1, 100, log=True)
    linear = Range("batch_size", 1, 100, "linear")
    assert linear.distribution() == linear.searched(whole=False) == whole(1, 100)


@pytest.mark.parametrize(
    "r",
    [
        *(Range("learning_rate", 0.1, 0.1004), Range("learning_rate", 0.12345, 0.1239)),
        *(Range("learning_rate", 9.997, 10.02), Range("learning_rate", 0.0999, 0.1002, "linear")),
        *(Range("momentum", 0.8997, 0.90031, "rest"), Range("momentum", 0.98, 0.9802, "rest")),
        *(Range("batch_size", 3, 11), Range("batch_size", 3, 11, "linear")),
    ],
    ids=str,
)
def test_a_short_range_knows_all_its_values(r: Range) -> None:
    """Oracle: the values at very many places."""
    seen = sorted({r.at(unit) for unit in np.linspace(0, 1, 100_001)})
    assert r.values(len(seen)) == seen
    assert r.values(len(seen) - 1) is None


def test_a_range_that_ends_at_zero_has_no_list_of_values() -> None:
    assert Range("dampening", 0.0, 0.9, "linear").values(10**6) is None


def test_settings_that_make_the_same_runs_are_known_and_listed_once() -> None:
    config = Config.from_query({"dataset": "squares"})
    assert config.train_rows == 79
    plan = Plan(config, Space(batch_size=(70, 10_000)), trials=30)
    assert plan.settings == [{"batch_size": n} for n in range(70, 80)]
    assert plan.budget == 10
    assert plan.runs({"batch_size": 79}) == plan.runs({"batch_size": 5000}) != plan.runs({"batch_size": 78})
    assert Plan(config, Space(batch_size=(100, 10_000)), trials=30).budget == 1
    two = Space(batch_size=(100, 10_000), learning_rate=(0.1, 0.1004))
    assert Plan(config, two, trials=30).budget == Plan(config, two, trials=30, sampler="grid").budget == 5
    assert Plan(config, trials=30).settings is None
    assert Plan(config, trials=30).budget == 30


@pytest.mark.parametrize(
    ("low", "high", "scale", "said"),
    [
        (0.1, 0.1, "log", "empty"),
        (0.1, 0.01, "log", "from the smaller to the larger"),
        (0.0, 0.1, "log", "begin above 0, as at 0.0001"),
        (0.5, 1.0, "rest", "end below 1"),
        (math.nan, 1.0, "log", "must be numbers"),
        (0.0, math.inf, "linear", "must be numbers"),
        (0.1, 0.2, "cubic", "log, linear, rest"),
    ],
)
def test_a_range_that_cannot_be_is_told_with_what_came(
    low: float, high: float, scale: str, said: str
) -> None:
    with pytest.raises(BadSpace, match=said) as told:
        Range("learning_rate", low, high, scale)
    assert "learning rate" in str(told.value)


@pytest.mark.parametrize(
    ("word", "low", "high", "scale"),
    [
        ("weight_decay", 0.1, 0.1, "log"),
        ("weight_decay", 0.1, 0.01, "log"),
        ("weight_decay", 0.0, 0.1, "log"),
        ("weight_decay", 0.5, 1.0, "rest"),
        ("weight_decay", math.nan, 1.0, "log"),
        ("weight_decay", 0.1, 0.2, "cubic"),
    ],
)
def test_a_refusal_calls_a_number_as_the_page_does_not_as_links_do(
    word: str, low: float, high: float, scale: str
) -> None:
    with pytest.raises(BadSpace, match=r"^weight decay") as told:
        Range(word, low, high, scale)
    assert "_" not in str(told.value)


def test_without_ranges_the_usual_ones_of_the_rule_are_searched() -> None:
    assert Space().of(MOMENTUM).words == ("learning_rate", "batch_size", "momentum")
    assert Space().of(SGD).words == ("learning_rate", "batch_size")
    assert Space().of(MOMENTUM.but(optimizer="adam")).words == ("learning_rate", "batch_size", "beta1")


def test_bounds_by_word_take_the_usual_scale() -> None:
    space = Space(learning_rate=(1e-3, 1), momentum=(0.5, 0.9))
    assert space.ranges == (Range("learning_rate", 1e-3, 1), Range("momentum", 0.5, 0.9, "rest"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_number_of_every_rule_can_be_searched(name: str) -> None:
    config = MOMENTUM.but(optimizer=name)
    for word in numbers(config):
        space = Space(usual_range(word)).of(config)
        tried = space.config(config, space.at([0.37]))
        assert getattr(tried, word) == space.ranges[0].at(0.37)
    assert {word for word in usual(config).words} <= set(numbers(config))


def test_a_number_that_the_rule_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(
        BadSpace, match=r"momentum cannot be searched with SGD; these can: learning_rate, batch"
    ):
        Space(momentum=(0, 0.9)).of(SGD)
    with pytest.raises(BadSpace, match="colour cannot be searched"):
        Space(colour=(0, 1))
    with pytest.raises(BadSpace, match=r"learning rate must be a number in \[1e-08, 10000\]"):
        Space(learning_rate=(1e-12, 0.1)).of(SGD)
    with pytest.raises(BadSpace, match=r"learning rate must be a number in \[1e-08, 10000\], got 20000"):
        Space(learning_rate=(0.1, 20000)).of(SGD)
    with pytest.raises(BadSpace, match=r"learning rate: its range must be two numbers, such as"):
        Space(learning_rate=(1,))  # type: ignore[arg-type]
    with pytest.raises(BadSpace, match="learning rate stands twice"):
        Space(usual_range("learning_rate"), learning_rate=(1e-3, 1))
    with pytest.raises(BadSpace, match="At most 6 parameters"):
        Space(*(usual_range(word) for word in list(USUAL)[:7]))


def test_a_space_is_the_same_after_a_link() -> None:
    record = Ranges()
    for space in (Space(), Space(learning_rate=(1e-3, 1)), Space(*RANGES[:3]).linear()):
        assert record.parse("space", record.text(space)) == space
    with pytest.raises(BadSpace, match=r"such as learning_rate:0\.0001:0\.1"):
        record.parse("space", "learning_rate")
    with pytest.raises(BadSpace):
        record.parse("space", "learning_rate:a:b")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trials": 0}, r"trials must be a whole number in \[1, 1000\], got 0"),
        ({"trials": 100_000}, r"trials must be a whole number in \[1, 1000\], got 100000"),
        ({"seeds": 0}, r"seeds must be a whole number in \[1, 16\]"),
        ({"batch": 2.5}, "batch must be a whole number"),
    ],
)
def test_a_budget_that_cannot_be_is_told_in_one_sentence(given: dict[str, float], said: str) -> None:
    with pytest.raises(OutOfRange, match=said):
        Plan(MOMENTUM, **given)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="Did you mean 'bayesian'"):
        Plan(MOMENTUM, sampler="bayesan")


def test_the_exact_tutorial_has_linear_scales_one_seed_and_one_setting_at_a_time() -> None:
    plan = SEARCHES["tutorial"].plan
    lr, batch = plan.space.ranges
    assert (lr.low, lr.high, lr.scale) == (1e-4, 0.1, "linear")
    assert (batch.low, batch.high, batch.scale, batch.integer) == (1, 100, "linear", True)
    assert (plan.trials, plan.seeds, plan.batch, plan.exact) == (20, 1, 1, True)
    config = plan.config
    told = (
        config.dataset.name,
        config.model.name,
        config.optimizer.name,
        config.epochs,
        config.valid_fraction,
    )
    assert told == ("boston", "linear", "sgd", 10, 0.2)


def test_what_to_look_at_in_adam_s_search_is_called_as_its_controls_are() -> None:
    assert "Adam's learning rate, batch size and β₁:" in SEARCHES["moons-adam"].look


@pytest.mark.parametrize("name", SEARCHES)
def test_every_preset_is_a_search_with_a_reason(name: str) -> None:
    preset = SEARCHES[name]
    assert preset.plan.space.ranges
    assert len(preset.look) > 40


def test_a_plan_is_the_same_after_it_was_written_into_a_study() -> None:
    for plan in (
        Plan(MOMENTUM, sampler="tpe", seeds=2),
        SEARCHES["tutorial"].plan,
        SEARCHES["moons-adam"].plan,
    ):
        assert from_text(to_text(plan)) == plan


def test_a_plan_for_other_data_or_of_another_app_is_refused() -> None:
    text = to_text(Plan(MOMENTUM))
    with pytest.raises(BadPlan, match="other data under the name 'boston'"):
        from_text(text.replace(fingerprint(MOMENTUM.dataset), "0" * 12))
    for bad in ("", "{}", "[]", '{"config": {"dataset": "no"}}'):
        with pytest.raises(BadPlan, match="not made by this app"):
            from_text(bad)


def test_a_table_of_one_s_own_cannot_be_shared() -> None:
    frame = pd.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0) ** 2})
    own = MOMENTUM.but(dataset=from_table(frame, target="b"))
    with pytest.raises(BadPlan, match="is here only"):
        to_text(Plan(own))


def test_what_the_page_needs_before_it_draws_is_light() -> None:
    heavy = "{'torch', 'pandas', 'optuna', 'scipy', 'sqlalchemy', 'altair'}"
    code = f"import sys; import core.search, core.searches; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_samplers_have_titles() -> None:
    assert set(SAMPLERS) == {"bayesian", "gp", "tpe", "sobol", "random", "grid"}


@pytest.mark.parametrize(
    ("name", "dataset", "model", "optimizer", "sampler", "exact"),
    [
        ("tutorial", "boston", "linear", "sgd", "bayesian", True),
        ("tutorial-grid", "boston", "linear", "sgd", "grid", False),
        ("tutorial-repaired", "boston", "linear", "sgd", "bayesian", False),
        ("boston", "boston", "linear", "momentum", "bayesian", False),
        ("diabetes", "diabetes", "linear", "momentum", "bayesian", False),
        ("boston-mlp", "boston", "mlp", "momentum", "bayesian", False),
        ("moons-adam", "moons", "mlp", "adam", "bayesian", False),
    ],
)
def test_a_preset_searches_what_its_title_names(
    name: str, dataset: str, model: str, optimizer: str, sampler: str, exact: bool
) -> None:
    plan = SEARCHES[name].plan
    config = plan.config
    assert (config.dataset.name, config.model.name, config.optimizer.name) == (dataset, model, optimizer)
    assert (plan.sampler, plan.exact) == (sampler, exact)


def test_a_space_holds_only_what_has_every_number_in_its_range_ends_included() -> None:
    space = Space(learning_rate=(1e-3, 0.1), momentum=(0, 0.9))
    assert space.holds({"learning_rate": 0.1, "momentum": 0.0})
    assert not space.holds({"learning_rate": 0.1, "momentum": 0.95})
    assert not space.holds({"learning_rate": 0.1})


def test_a_place_beyond_an_end_is_the_end() -> None:
    r = Range("momentum", 0.5, 0.99, "rest")
    assert r.between(-0.2) == pytest.approx(0.5)
    assert r.between(1.2) == pytest.approx(0.99)


def test_ends_of_more_than_four_digits_hold_their_own_values() -> None:
    r = Range("learning_rate", 0.000123467, 0.0987653)
    for unit in (0.0, 1e-7, 1 - 1e-7, 1.0):
        assert r.holds(r.at(unit))


def test_all_trials_and_all_their_seeds_count_as_updates() -> None:
    """404 or 405 of Boston's 506 rows are trained, in 13 batches of 32, for 10 epochs."""
    plan = Plan(MOMENTUM, Space(learning_rate=(1e-3, 0.1)), trials=7, seeds=3)
    assert plan.updates == 7 * 3 * 13 * 10


def test_the_seeds_of_a_trial_begin_at_that_of_the_config() -> None:
    config = Config.from_query({"dataset": "boston", "seed": "40"})
    values = {"learning_rate": 0.02, "batch_size": 8, "momentum": 0.5}
    configs = Plan(config, seeds=3).configs(values)
    assert [c.seed for c in configs] == [40, 41, 42]
    assert {(c.learning_rate, c.batch_size) for c in configs} == {(0.02, 8)}


def test_data_with_other_targets_are_other_data() -> None:
    frame = pd.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0) ** 2})
    same = from_table(frame, target="b", name="other title")
    other = from_table(frame.assign(b=frame["b"] + (frame["a"] == 7)), target="b")
    assert fingerprint(from_table(frame, target="b")) == fingerprint(same) != fingerprint(other)


def test_a_plan_in_words_of_a_link_has_its_own_numbers() -> None:
    space = Space(learning_rate=(1e-3, 1))
    assert to_words(Plan(MOMENTUM, space, trials=9, seeds=3, batch=2, sampler="tpe")) == {
        "space": "learning_rate:0.001:1",
        "trials": "9",
        "seeds": "3",
        "round": "2",
        "sampler": "tpe",
        "exact": "false",
    }
