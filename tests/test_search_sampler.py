"""The samplers: a point follows from seed and results alone, rounds spread, noise is known, it finds."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from core.registry import UnknownName
from core.search import sampler as module
from core.search.acquisition import best_value, expected_improvement, lattice, propose
from core.search.process import fit
from core.search.sampler import (
    ASKING,
    BayesianSampler,
    NotSearchable,
    Reason,
    ask,
    from_unit,
    make_sampler,
    noise_of,
    pending,
    to_unit,
    told,
)

Array = np.ndarray
SPACE = {
    "learning_rate": FloatDistribution(1e-4, 0.1, log=True),
    "batch_size": FloatDistribution(1.0, 100.0, log=True),
    "one_minus_momentum": FloatDistribution(0.01, 1.0, log=True),
}
CUBE = {f"x{k}": FloatDistribution(0.0, 1.0) for k in range(3)}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


def new(sampler: optuna.samplers.BaseSampler | None = None, direction: str = "minimize") -> optuna.Study:
    return optuna.create_study(sampler=sampler or BayesianSampler(CUBE), direction=direction)


def unit(trial: optuna.Trial, space: dict = CUBE) -> Array:
    point = to_unit(trial.params, space)
    assert point is not None
    return point


def search(
    sampler: optuna.samplers.BaseSampler,
    function: Callable[[Array], float],
    space: dict = CUBE,
    trials: int = 20,
    seed: int = 0,
    batch: int = 1,
) -> list[float]:
    """The values of a search with five starts of a lattice, as told."""
    study, values = new(sampler), []
    for point in lattice(5, len(space), np.random.default_rng([seed, 1])):
        study.enqueue_trial(from_unit(point, space))
    while len(values) < trials:
        for trial in [ask(study, space) for _ in range(batch)]:
            values.append(function(unit(trial, space)))
            study.tell(trial, values[-1])
    return values


def bowl(x: Array) -> float:
    """The log of a quadratic loss with a floor, and a ridge as between learning rate and momentum."""
    z = np.array([x[0] - 0.62 + 0.35 * (x[2] - 0.4), 0.6 * (x[1] - 0.35), 0.5 * (x[2] - 0.4)])
    return float(np.log10(0.02 + z @ z) - np.log10(0.02))


def diverges(x: Array) -> bool:
    return x[0] + 0.6 * x[2] > 1.1


def cornered(x: Array) -> float:
    return 1.0 if diverges(x) else min(bowl(x), 1.0)


def branin(x: Array) -> float:
    a, b = 15.0 * x[0] - 5.0, 15.0 * x[1]
    ridge = b - 5.1 / (4.0 * np.pi**2) * a**2 + 5.0 / np.pi * a - 6.0
    return float(ridge**2 + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * np.cos(a) + 10.0 - 0.397887357729738)


def hartmann(x: Array) -> float:
    steep = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    at = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
    return float(3.86278214782076 - np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(steep * (x - at) ** 2).sum(1)))


# The unit cube


def test_the_unit_cube_is_the_space_in_its_own_scales() -> None:
    params = {"learning_rate": 10**-2.5, "batch_size": 10.0, "one_minus_momentum": 0.01, "other": "word"}
    assert to_unit(params, SPACE) == pytest.approx([0.5, 0.5, 0.0])
    linear = {"x": FloatDistribution(-2.0, 6.0)}
    assert to_unit({"x": 0.0}, linear) == pytest.approx([0.25])
    for space in (SPACE, linear):
        for point in np.random.default_rng(0).random((20, len(space))):
            assert to_unit(from_unit(point, space), space) == pytest.approx(point, abs=1e-12)
        for end in (0.0, 1.0):
            for name, value in from_unit(np.full(len(space), end), space).items():
                assert space[name].low <= value <= space[name].high


@pytest.mark.parametrize(
    "distribution",
    [
        *(IntDistribution(1, 7), IntDistribution(1, 100, log=True), IntDistribution(2, 20, step=3)),
        *(FloatDistribution(0.0, 1.0, step=0.25), IntDistribution(4, 4), FloatDistribution(0.5, 0.5)),
    ],
    ids=str,
)
def test_whole_numbers_and_steps_have_cells_of_their_own(distribution: object) -> None:
    space = {"x": distribution}
    step = distribution.step or 1.0
    values = np.arange(distribution.low, distribution.high + step / 2.0, step)
    for value in values:
        assert from_unit(to_unit({"x": value}, space), space) == {"x": value}
    found = [from_unit(np.array([u]), space)["x"] for u in np.linspace(0.0, 1.0, 2001)]
    assert sorted(set(found)) == pytest.approx(values.tolist())
    assert {type(v) for v in found} == {int if isinstance(distribution, IntDistribution) else float}
    if not distribution.log:
        counts = np.unique(found, return_counts=True)[1]
        assert np.ptp(counts) <= 2


def test_a_trial_of_other_bounds_counts_where_it_lies_within() -> None:
    wide = {"x": FloatDistribution(0.0, 10.0)}
    trials = [
        create_trial(params={"x": x}, distributions=wide, value=x, user_attrs={"scores": [x, x + 1]})
        for x in (0.5, 3.0, 1.0)
    ]
    trials.append(create_trial(params={"x": 0.7}, distributions=wide, state=TrialState.FAIL))
    trials.append(create_trial(params={}, distributions={}, value=1.0))
    study = new()
    study.add_trials(trials)
    known = told(study.trials, {"x": FloatDistribution(0.0, 2.0)})
    assert known.numbers == (0, 2)
    assert known.points.tolist() == [[0.25], [0.5]]
    assert known.values.tolist() == [0.5, 1.0]
    assert np.isnan(known.noise).all()
    assert told(study.trials[::-1], {"x": FloatDistribution(0.0, 2.0)}).numbers == (0, 2)


def test_an_infinite_value_counts_as_the_worst_finite_one() -> None:
    study = new()
    for x, value in ((0.1, 1.0), (0.2, np.inf), (0.3, 4.0)):
        study.add_trial(create_trial(params=dict.fromkeys(CUBE, x), distributions=CUBE, value=value))
    assert told(study.trials, CUBE).values.tolist() == [1.0, 4.0, 4.0]
    assert told(study.trials[1:2], CUBE).values.tolist() == []


# Noise


def table(n: int, k: int, spread: Array, seed: int = 0) -> Array:
    g = np.random.default_rng(seed)
    return g.normal(0.0, 3.0, (n, 1)) + g.normal(0.0, 2.0, k) + spread[:, None] * g.standard_normal((n, k))


def test_seeds_that_are_easy_for_all_are_no_noise() -> None:
    assert noise_of(table(8, 4, np.zeros(8)).tolist()) == pytest.approx(np.zeros(8), abs=1e-25)


def test_the_noise_is_the_variance_of_the_mean() -> None:
    found = [noise_of(table(20, 4, np.full(20, 0.6), seed).tolist()) for seed in range(300)]
    assert np.mean(found) == pytest.approx(0.36 / 4.0, rel=0.05)
    assert np.mean([np.std(f) / np.mean(f) for f in found]) < 0.4  # a trial's own would be 0.82


def test_a_trial_that_spreads_more_has_more_noise_and_leaves_the_others_theirs() -> None:
    spread = np.full(20, 0.1)
    plain = np.mean([noise_of(table(20, 4, spread, s).tolist())[1:].mean() for s in range(50)])
    spread[0] = 2.0
    found = np.mean([noise_of(table(20, 4, spread, s).tolist()) for s in range(50)], axis=0)
    assert found[0] > 20.0 * plain
    assert found[1:].mean() < 3.0 * plain


def test_trials_at_the_ceiling_do_not_hide_the_others_noise() -> None:
    scores = table(10, 4, np.full(10, 0.5))
    alone = noise_of(scores.tolist())
    among = noise_of([*scores.tolist(), *[[7.0] * 4] * 15])
    assert among[:10] == pytest.approx(alone, rel=1e-12)
    assert (among[10:] > 0.0).all()
    assert (among[10:] < alone.mean()).all()
    assert noise_of([[7.0] * 4] * 5).tolist() == [0.0] * 5


@pytest.mark.parametrize(
    "scores",
    [
        *([], [[1.0, 2.0]] * 2, [[1.0], [2.0], [3.0]], [[1.0, 2.0], [1.0, 2.0], [1.0]], [[]] * 3),
        *([[1.0, np.nan], [1.0, 2.0], [3.0, 5.0]], [[1.0, 1.0], [2.0, 2.0], [1.0, 3.0], [2.0, 3.0]]),
    ],
)
def test_noise_that_cannot_be_known_is_unknown(scores: list[list[float]]) -> None:
    assert noise_of(scores).shape == (len(scores),)
    assert np.isnan(noise_of(scores)).all()


def test_the_model_knows_the_noise_of_the_seeds() -> None:
    g = np.random.default_rng(0)
    study = new()
    for x in g.random((12, 3)):
        scores = (x.sum() + 0.3 * g.standard_normal(4)).tolist()
        trial = create_trial(
            params={f"x{k}": float(v) for k, v in enumerate(x)},
            distributions=CUBE,
            value=float(np.mean(scores)),
            user_attrs={"scores": scores},
        )
        study.add_trial(trial)
    known = told(study.trials, CUBE)
    assert known.noise == pytest.approx(noise_of([t.user_attrs["scores"] for t in study.trials]))
    assert BayesianSampler(CUBE).process(known).noise.tolist() == known.noise.tolist()


# Asking


def seeded_study(n: int, sampler: BayesianSampler, order: int = 1, shift: int = 5) -> optuna.Study:
    """A study in which n trials were queued, then told in the order of their numbers or the other way."""
    study = new(sampler)
    for point in lattice(n, 3, np.random.default_rng(shift)):
        study.enqueue_trial(from_unit(point, CUBE))
    for trial in [ask(study, CUBE) for _ in range(n)][::order]:
        study.tell(trial, bowl(unit(trial)))
    return study


def test_a_point_follows_from_seed_number_and_results_alone() -> None:
    def next_point(seed: int, order: int = 1) -> list[float]:
        return unit(ask(seeded_study(8, BayesianSampler(CUBE, seed), order), CUBE)).tolist()

    here = next_point(3)
    assert next_point(3, order=-1) == here
    assert next_point(4) != here
    code = (
        "import sys, core\nsys.path.insert(0, 'tests')\n"
        "from test_search_sampler import *\noptuna.logging.set_verbosity(30)\n"
        "print(unit(ask(seeded_study(8, BayesianSampler(CUBE, 3)), CUBE)).tolist())"
    )
    root = Path(__file__).parents[1]
    made = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == str(here)


def test_a_sampler_that_has_asked_before_asks_as_a_new_one() -> None:
    used = BayesianSampler(CUBE, 3)
    search(used, bowl, trials=9, seed=1)
    here = unit(ask(seeded_study(8, used), CUBE)).tolist()
    assert here == unit(ask(seeded_study(8, BayesianSampler(CUBE, 3)), CUBE)).tolist()


def test_no_global_generator_is_read_or_moved() -> None:
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    points = search(BayesianSampler(CUBE), bowl, trials=8)
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    np.random.seed(1)
    assert search(BayesianSampler(CUBE), bowl, trials=8) == points


def test_before_two_results_points_are_drawn_evenly() -> None:
    study = new(BayesianSampler(CUBE, 1))
    points = np.array([unit(ask(study, CUBE)) for _ in range(40)])
    assert points.mean(0) == pytest.approx(np.full(3, 0.5), abs=0.15)
    assert points.std(0) == pytest.approx(np.full(3, 12**-0.5), abs=0.1)
    assert study.sampler.reasons == {}
    other = ask(new(BayesianSampler(CUBE, 2)), CUBE)
    assert unit(other).tolist() != points[0].tolist()


def test_a_round_of_asks_spreads_out() -> None:
    apart = []
    for shift in range(9):
        study = seeded_study(8, BayesianSampler(CUBE), shift=shift)
        points = np.array([unit(ask(study, CUBE)) for _ in range(4)])
        assert pending(study.trials, CUBE).tolist() == points.tolist()
        apart.append(np.abs(points[:, None] - points).max(2)[np.triu_indices(4, 1)].min())
    assert np.median(apart) > 0.05
    reasons = [study.sampler.reasons[n] for n in range(8, 12)]
    assert [r.told for r in reasons] == [8] * 4
    assert [r.improvement for r in reasons] == sorted((r.improvement for r in reasons), reverse=True)


def test_a_trial_half_asked_is_not_pending() -> None:
    study = seeded_study(4, BayesianSampler(CUBE))
    study.ask({"x0": CUBE["x0"]})
    assert pending(study.trials, CUBE).shape == (0, 3)


def test_the_reason_is_what_the_model_believed() -> None:
    study = seeded_study(9, BayesianSampler(CUBE))
    known = told(study.trials, CUBE)
    trial = ask(study, CUBE)
    process = fit(known.points, known.values, known.noise)
    reason = study.sampler.reasons[trial.number]
    mean, deviation = process.posterior(unit(trial)[None])
    assert reason == Reason(
        pytest.approx(mean[0]),
        pytest.approx(deviation[0]),
        pytest.approx(expected_improvement(mean, deviation, best_value(process))[0]),
        pytest.approx(best_value(process)),
        9,
    )
    assert set(study.sampler.reasons) == {9}


def test_whole_numbers_are_asked_and_never_twice() -> None:
    space = {"n": IntDistribution(1, 40), "x": FloatDistribution(0.0, 1.0, step=0.5)}
    study = new(BayesianSampler(space, 1))
    seen = []
    for _ in range(25):
        trial = ask(study, space)
        seen.append((trial.params["n"], trial.params["x"]))
        study.tell(trial, float(abs(trial.params["n"] - 17) + trial.params["x"]))
    assert len(set(seen[2:])) == len(seen[2:])
    assert (17, 0.0) in seen


def test_a_logarithmic_space_is_searched_as_its_exponents() -> None:
    powers = {"x": FloatDistribution(-4.0, -1.0), "y": FloatDistribution(0.0, 2.0)}
    values = {"x": FloatDistribution(1e-4, 1e-1, log=True), "y": FloatDistribution(1.0, 100.0, log=True)}

    def function(x: Array) -> float:
        return float(round((x[0] - 0.3) ** 2 + (x[1] - 0.6) ** 2, 9))

    one, other = (search(BayesianSampler(s), function, s, trials=10) for s in (powers, values))
    assert one == pytest.approx(other, abs=1e-6)


def test_workers_that_suggest_get_the_points_of_asks() -> None:
    def objective(trial: optuna.Trial) -> float:
        for name in CUBE:
            trial.suggest_float(name, 0.0, 1.0)
        trial.suggest_int("other", 3, 9)
        trial.suggest_categorical("kind", ["a", "b"])
        return bowl(unit(trial))

    one, other = new(BayesianSampler(CUBE, 2)), new(BayesianSampler(CUBE, 2))
    one.optimize(objective, n_trials=8)
    for _ in range(8):
        trial = ask(other, CUBE)
        other.tell(trial, bowl(unit(trial)))
    assert [unit(t).tolist() for t in one.trials] == [unit(t).tolist() for t in other.trials]
    assert len({t.params["other"] for t in one.trials}) > 2
    assert {t.params["kind"] for t in one.trials} == {"a", "b"}


def test_a_round_fits_once_and_a_long_study_starts_from_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []

    def spied(points: Array, values: Array, noise: Array, begin: object = None) -> object:
        assert noise.tolist() == pytest.approx([np.nan] * len(values), nan_ok=True)
        fits.append((len(values), begin is not None))
        return fit(points, values, noise, begin)

    monkeypatch.setattr(module, "fit", spied)
    monkeypatch.setattr(module, "MANY", 10)
    study = seeded_study(10, BayesianSampler(CUBE))
    fits.clear()
    trials = [ask(study, CUBE) for _ in range(3)]
    assert fits == [(10, False)]
    for trial in trials:
        study.tell(trial, bowl(unit(trial)))
        ask(study, CUBE)
    assert fits == [(10, False), (11, True), (12, True), (13, True)]
    fresh = optuna.create_study(sampler=BayesianSampler(CUBE))
    fresh.add_trials([t for t in study.trials if t.state == TrialState.COMPLETE])
    ask(fresh, CUBE)
    assert fits[4:] == [(10, False), (13, True)]
    assert len(study.sampler._fitted) == 2  # a study of any length keeps no more


@pytest.mark.parametrize("plain", [True, False])
def test_the_tutorials_sampler_compares_the_plain_improvement(
    plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = []

    def spied(*args: object, log: bool, **rest: object) -> object:
        logs.append(log)
        return propose(*args, log=log, **rest)

    monkeypatch.setattr(module, "propose", spied)
    ask(seeded_study(3, make_sampler("bayesian", CUBE, 0, plain)), CUBE)
    assert logs == [not plain]


@pytest.mark.parametrize("direction", ["maximize"])
def test_only_one_value_is_minimised(direction: str) -> None:
    with pytest.raises(NotSearchable, match="study must minimize one value, got one to maximize"):
        ask(new(BayesianSampler(CUBE), direction), CUBE)
    both = optuna.create_study(sampler=BayesianSampler(CUBE), directions=["minimize", "minimize"])
    with pytest.raises(NotSearchable, match="got one to minimize, minimize"):
        ask(both, CUBE)


def test_a_space_without_numbers_is_refused() -> None:
    with pytest.raises(
        NotSearchable, match=r"distributions must be floats or whole numbers, got Categorical"
    ):
        BayesianSampler({"x": CategoricalDistribution(["a", "b"])})
    with pytest.raises(NotSearchable, match="at least one parameter, got none"):
        BayesianSampler({})


# The others


def test_each_name_makes_its_sampler() -> None:
    names = ("bayesian", "gp", "tpe", "sobol", "random", "grid")
    kinds = [type(make_sampler(name, CUBE, 0)).__name__ for name in names]
    bayesian, gp, tpe, *others = kinds
    assert (bayesian, gp, tpe) == ("BayesianSampler", "GPSampler", "TPESampler")
    assert others == ["RestSampler", "RandomSampler", "RestSampler"]
    assert make_sampler("bayesian", CUBE, 3, plain=True).plain
    with pytest.raises(UnknownName, match=r"No sampler named .baysian.\. Did you mean .bayesian."):
        make_sampler("baysian", CUBE, 0)


def test_only_what_was_drawn_at_random_instead_of_something_better_says_so() -> None:
    """The first of four trials is queued; the model begins when two are told; others are as they were."""
    kinds = {}
    for name in ("bayesian", "gp", "tpe", "sobol", "random", "grid"):
        study = new(make_sampler(name, CUBE, 0))
        study.enqueue_trial(from_unit(np.full(3, 0.5), CUBE), user_attrs={"kind": "start"})
        for _ in range(4):
            trial = ask(study, CUBE)
            study.tell(trial, bowl(unit(trial)))
        kinds[name] = [trial.user_attrs.get("kind") for trial in study.trials]
    assert kinds == {
        "bayesian": ["start", "random", None, None],
        "gp": ["start", None, None, None],
        "tpe": ["start", None, None, None],
        "sobol": ["start", "random", "random", "random"],
        "random": ["start", None, None, None],
        "grid": ["start", "random", "random", "random"],
    }


def test_what_is_left_open_is_drawn_as_random_search_draws() -> None:
    grid, chance = (search(make_sampler(name, CUBE, 3), bowl, trials=5) for name in ("grid", "random"))
    assert grid == chance


@pytest.mark.parametrize("name", ["bayesian", "gp", "tpe", "random"])
def test_each_sampler_repeats_itself_from_its_seed(name: str) -> None:
    one, again, other = (search(make_sampler(name, CUBE, seed), bowl, trials=8) for seed in (1, 1, 2))
    assert one == again
    assert one[5:] != other[5:]


@pytest.mark.parametrize("variable", [None, "2"])
def test_asking_leaves_the_threads_as_they_are(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", variable)

    class Rude(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study: object, trial: object) -> dict:
            assert ASKING.locked()
            torch.set_num_threads(3)
            os.environ["OPENBLAS_NUM_THREADS"] = "1"
            if broken:
                raise RuntimeError("broken")
            return {}

    before = torch.get_num_threads()
    for broken in (False, True):
        if broken:
            with pytest.raises(RuntimeError, match="broken"):
                ask(new(Rude()), CUBE)
        else:
            ask(new(Rude()), CUBE)
        assert torch.get_num_threads() == before
        assert os.environ.get("OPENBLAS_NUM_THREADS") == variable
        assert not ASKING.locked()


def test_two_studies_ask_one_after_the_other() -> None:
    inside, most = [0], [0]

    class Slow(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study: object, trial: object) -> dict:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.02)
            inside[0] -= 1
            return {}

    threads = [threading.Thread(target=ask, args=(new(Slow()), CUBE)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


# How good it is


@cache
def regret(name: str, function: Callable[[Array], float], d: int, repeats: int = 12) -> float:
    """The median over repeats of the best value after 20 trials; the functions have their least at 0."""
    space = {f"x{k}": FloatDistribution(0.0, 1.0) for k in range(d)}
    found = [min(search(make_sampler(name, space, s), function, space, seed=s)) for s in range(repeats)]
    return float(np.median(found))


@pytest.mark.parametrize(
    ("function", "d", "factor"),
    [(bowl, 3, 0.02), (branin, 2, 0.1), (hartmann, 3, 0.2)],
    ids=["bowl", "branin", "hartmann"],
)
def test_the_search_is_far_better_than_chance(
    function: Callable[[Array], float], d: int, factor: float
) -> None:
    assert regret("bayesian", function, d) < factor * regret("random", function, d)


@pytest.mark.parametrize(("function", "d"), [(bowl, 3), (branin, 2)], ids=["bowl", "branin"])
def test_the_search_is_no_worse_than_optunas(function: Callable[[Array], float], d: int) -> None:
    assert regret("bayesian", function, d) <= regret("gp", function, d, repeats=8)


def test_rounds_of_four_find_it_as_well() -> None:
    found = [min(search(BayesianSampler(CUBE, s), bowl, trials=21, seed=s, batch=4)) for s in range(6)]
    assert np.median(found) < 0.1 * regret("random", bowl, 3)


def test_a_diverging_corner_is_not_asked_again() -> None:
    for seed in range(4):
        points: list[Array] = []

        def function(x: Array, points: list[Array] = points) -> float:
            points.append(x)
            return cornered(x)

        search(BayesianSampler(CUBE, seed), function, seed=seed)
        assert len(points) == 20
        assert sum(map(diverges, points[5:])) <= 2


def test_noise_does_not_keep_it_from_the_valley() -> None:
    found = []
    for seed in range(24):
        g, study = np.random.default_rng(seed), new(BayesianSampler(CUBE, seed))
        for point in lattice(5, 3, np.random.default_rng([seed, 1])):
            study.enqueue_trial(from_unit(point, CUBE))
        for _ in range(25):
            trial = ask(study, CUBE)
            scores = bowl(unit(trial)) + 0.2 * g.standard_normal(4)
            trial.set_user_attr("scores", scores.tolist())
            study.tell(trial, float(scores.mean()))
        known = told(study.trials, CUBE)
        believed = study.sampler.process(known).posterior(known.points)[0]
        found.append(bowl(known.points[believed.argmin()]))
    assert np.median(found) < 0.2 / 4**0.5  # the standard error of one trial
