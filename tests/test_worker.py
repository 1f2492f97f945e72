"""Workers that share a study: who takes which trial, when they end, and what they say."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, Trial, TrialState
from workers import BEAT, GRACE, LONG, QUICK, Worker, crew, until

from core import worker
from core.config import Config
from core.search import asking, search
from core.search import trials as kept
from core.search.plan import BadPlan, Plan
from core.search.shared import (
    FAULTS,
    create_or_open,
    finish,
    listed,
    open_study,
    settle,
    stop_worker,
    watch,
    work,
    workers,
)
from core.search.space import Space
from core.store import BadStorage, Storage, open_storage

ROOT = Path(__file__).parents[1]
RATE = ("learning_rate", 1e-4, 1e-2)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/lab.db"


@pytest.fixture
def storage(url: str) -> Storage:
    return open_storage(url, BEAT, GRACE)


def quick(trial: Trial) -> float:
    return trial.suggest_float(*RATE, log=True)


def states(study: optuna.Study) -> list[str]:
    return [t.state.name for t in study.get_trials()]


def ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE,))


def test_a_worker_ends_when_the_target_is_met_even_where_it_grows(storage: Storage) -> None:
    study = create_or_open(QUICK, storage, "a")
    seen: list[int] = []

    def more(trial: FrozenTrial) -> None:
        seen.append(trial.number)
        if len(seen) == 3:
            kept.set_target(study, 5)

    kept.set_target(study, 4)
    assert work(study, on_trial=more, objective=quick) == 5
    assert seen == [0, 1, 2, 3, 4]
    assert work(study, target=6, objective=quick) == 1
    assert kept.target(study) == 5


def test_what_a_worker_trains_is_what_a_search_in_one_process_does(storage: Storage, url: str) -> None:
    plan = replace(QUICK, trials=3, seeds=2, sampler="sobol")
    study = create_or_open(plan, storage, "a")
    assert work(study) == 3
    alone = search(plan.config, plan.space, trials=3, seeds=2, sampler="sobol").trials
    shared = kept.table(study, plan.space)
    assert shared["learning_rate"].tolist() == alone["learning_rate"].tolist()
    assert shared["score"].to_numpy() == pytest.approx(alone["score"].to_numpy(), rel=1e-5)


@pytest.mark.parametrize("sampler", ["bayesian", "random", "tpe"])
def test_two_workers_do_not_ask_the_same(storage: Storage, sampler: str) -> None:
    plan = replace(QUICK, trials=8, sampler=sampler)
    one, two = create_or_open(plan, storage, "a"), open_study(storage, "a")
    for target in range(1, 9, 2):
        work(one, target, objective=quick)
        work(two, target + 1, objective=quick)
    assert len({t.params["learning_rate"] for t in ended(one)}) == 8


FEW = Plan(Config.from_query({"dataset": "squares", "epochs": "1"}), Space(batch_size=(70, 500)), seeds=1)


@pytest.mark.parametrize("sampler", ["bayesian", "random", "tpe"])
def test_workers_of_a_small_space_try_each_setting_once_and_end(url: str, sampler: str) -> None:
    study = create_or_open(replace(FEW, trials=30, sampler=sampler), open_storage(url, BEAT, GRACE), "a")
    others = [threading.Thread(target=lambda: work(open_study(open_storage(url), "a"))) for _ in range(3)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    assert sorted(min(t.params["batch_size"], 79) for t in ended(study)) == list(range(70, 80))
    assert len(kept.table(study, FEW.space)) == 10, "what was given up for a repeat is not shown"


def test_of_two_that_ask_for_the_same_at_once_one_steps_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler cannot see what the other has asked for, as when both ask at the same moment."""
    study = create_or_open(replace(FEW, trials=10, sampler="random"), open_storage(url), "a")
    other = optuna.create_trial(
        state=TrialState.RUNNING, params={"batch_size": 71}, distributions=FEW.space.distributions()
    )
    study.add_trial(other)
    monkeypatch.setattr(asking, "tried", lambda trials, plan: set())
    work(study, should_stop=lambda: len(ended(study)) == 8)
    sizes = [t.params["batch_size"] for t in [*ended(study), other]]
    assert len(set(sizes)) == len(sizes) == 9
    assert sum(kept.DROPPED in t.user_attrs for t in study.get_trials()) > 0


def test_search_with_a_storage_meets_its_target_and_goes_on_later(url: str) -> None:
    first = search(QUICK.config, QUICK.space, trials=6, seeds=1, storage=url, name="a")
    assert len(first.trials) == 6
    longer = search(QUICK.config, QUICK.space, trials=8, seeds=1, storage=url, name="a")
    assert longer.trials["score"].tolist()[:6] == first.trials["score"].tolist()
    assert len(longer.trials) == 8


def test_a_search_that_somebody_stops_says_how_far_it_came(
    url: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.search.shared.work", lambda study: 0)
    with pytest.raises(BadPlan, match="The study was stopped: 0 of 12 trials have completed"):
        finish(QUICK, url, "a")


def test_two_who_make_the_same_study_at_once_get_the_same(url: str) -> None:
    """On a database that is made at the same moment."""
    names: list[str] = []
    faults: list[BaseException] = []
    gate = threading.Barrier(4)
    plan = replace(QUICK, trials=6, sampler="sobol")

    def make() -> None:
        try:
            gate.wait()
            storage = open_storage(url)
            names.append(create_or_open(plan, storage, "a").study_name)
            storage.remove_session()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (names, faults) == (["a"] * 4, [])
    assert states(open_study(open_storage(url), "a")) == ["WAITING"] * 6


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (replace(QUICK, config=QUICK.config.but(epochs=11)), "config"),
        (replace(QUICK, space=Space(learning_rate=(1e-4, 2e-2))), "space"),
        (replace(QUICK, seeds=2), "seeds"),
        (replace(QUICK, sampler="tpe"), "sampler"),
    ],
)
def test_a_study_of_something_else_is_not_gone_on_with(storage: Storage, other: Plan, differs: str) -> None:
    create_or_open(QUICK, storage, "a")
    with pytest.raises(BadPlan, match=f"The study 'a' has another {differs}: choose another name"):
        create_or_open(other, storage, "a")


def test_a_plan_with_more_trials_makes_the_study_longer_and_one_with_fewer_does_not(storage: Storage) -> None:
    study = create_or_open(QUICK, storage, "a")
    create_or_open(replace(QUICK, trials=15), storage, "a")
    create_or_open(replace(QUICK, trials=3), storage, "a")
    assert kept.target(study) == 15


def test_a_study_that_is_there_keeps_the_seed_of_its_sampler(storage: Storage) -> None:
    create_or_open(replace(QUICK, seed=3), storage, "a")
    assert kept.plan_of(create_or_open(replace(QUICK, seed=4), storage, "a")).seed == 3


def test_another_sampler_than_that_of_the_study_is_refused_by_search(url: str) -> None:
    search(QUICK.config, QUICK.space, trials=1, seeds=1, sampler="grid", storage=url, name="a")
    with pytest.raises(BadPlan, match="The study 'a' has another sampler: choose another name"):
        search(QUICK.config, QUICK.space, trials=1, seeds=1, sampler="bayesian", storage=url, name="a")


@pytest.mark.parametrize(
    ("sampler", "kinds"),
    [
        ("bayesian", ["random", "random", "model", "model"]),
        ("sobol", ["random"] * 4),
        ("grid", ["random"] * 4),
        ("random", ["model"] * 4),
    ],
)
def test_what_a_worker_drew_at_random_says_so(storage: Storage, sampler: str, kinds: list[str]) -> None:
    plan = replace(QUICK, config=QUICK.config.but(epochs=1), trials=4, sampler=sampler)
    kept.create(plan, storage, "a", queue=False)
    study = open_study(storage, "a")
    assert work(study) == 4
    assert kept.table(study, plan.space)["kind"].tolist() == kinds


def test_an_unknown_study_is_answered_with_those_that_are_near(storage: Storage) -> None:
    with pytest.raises(BadPlan, match=r"There is no study named 'boston'; there is none at all\."):
        open_study(storage, "boston")
    create_or_open(QUICK, storage, "boston-1")
    create_or_open(QUICK, storage, "wine")
    with pytest.raises(BadPlan, match=r"There is no study named 'boston'; there is boston-1\."):
        open_study(storage, "boston")


def test_a_trial_is_trained_only_if_all_that_run_can_end_without_too_many(storage: Storage) -> None:
    """Another worker's trial begins between the look for room and the asking: the newcomer steps back."""
    study, other = create_or_open(QUICK, storage, "a"), open_study(storage, "a")
    rival: list[Trial] = []
    trained: list[int] = []
    ask = study.ask

    def raced(*arguments: object, **words: object) -> Trial:
        if not rival:
            other._thread_local.in_optimize_loop = True
            rival.append(other.ask())
        return ask()

    def objective(trial: Trial) -> float:
        trained.append(trial.number)
        return quick(trial)

    def told() -> bool:
        """When the worker looks up again, the rival's trial comes to its end."""
        if rival and rival[0].number not in [t.number for t in ended(other)]:
            rival[0].set_user_attr("machine", "there:1")
            other.tell(rival[0], 1.0)
        return False

    study.ask = raced  # type: ignore[method-assign]
    assert work(study, 1, told, objective=objective) == 0
    assert trained == []
    assert states(study) == ["COMPLETE", "FAIL"]
    assert study.get_trials()[1].user_attrs["dropped"]


def test_a_queued_setting_that_finds_no_room_stays_in_the_queue(storage: Storage) -> None:
    study = create_or_open(replace(QUICK, trials=2), storage, "a")
    kept.enqueue(study, QUICK, {"learning_rate": 0.005})
    ask = study.ask

    def late(*arguments: object, **words: object) -> Trial:
        trial = ask()
        study.ask = ask  # type: ignore[method-assign]
        kept.enqueue(study, QUICK, {"learning_rate": 0.002})
        study.add_trial(
            optuna.create_trial(params={}, distributions={}, value=1.0, user_attrs={"kind": "before"})
        )
        return trial

    study.ask = late  # type: ignore[method-assign]
    assert work(study, 1, objective=quick) == 0
    assert states(study) == ["WAITING", "WAITING", "COMPLETE"]
    assert work(study, 2, objective=quick) == 1
    assert study.get_trials()[0].params["learning_rate"] == pytest.approx(0.005)


def failed(study: optuna.Study, rate: float) -> None:
    distribution = optuna.distributions.FloatDistribution(*RATE[1:], log=True)
    study.add_trial(
        optuna.create_trial(
            state=TrialState.FAIL,
            params={"learning_rate": rate},
            distributions={"learning_rate": distribution},
        )
    )


def test_only_this_app_s_studies_are_listed_and_looking_makes_no_database(url: str, tmp_path: Path) -> None:
    assert listed(url) == []
    assert list(tmp_path.iterdir()) == []
    storage = open_storage(url)
    create_or_open(QUICK, storage, "ours")
    optuna.create_study(storage=storage, study_name="another program's")
    create_or_open(QUICK, storage, "newer")
    assert listed(url) == ["newer", "ours"]


def test_a_setting_that_was_failed_but_not_queued_again_is_found(storage: Storage) -> None:
    """Who fails a trial may die before the setting is queued."""
    study = create_or_open(QUICK, storage, "a")
    failed(study, 0.004)
    assert watch(study) is None
    settle(study)
    assert states(study) == ["FAIL", "WAITING"]
    assert study.get_trials()[1].params == {"learning_rate": 0.004}


def test_a_trial_that_others_failed_in_its_last_moment_is_left_to_them(storage: Storage) -> None:
    study = create_or_open(QUICK, storage, "a")
    taken: list[int] = []

    def objective(trial: Trial) -> float:
        value = quick(trial)
        if not taken:
            taken.append(trial.number)
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return value

    assert work(study, 2, objective=objective) == 2
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.get_trials()[1].params == study.get_trials()[0].params


def test_a_fault_of_the_objective_is_written_down_and_ends_the_work_when_it_comes_again(
    storage: Storage,
) -> None:
    study = create_or_open(QUICK, storage, "a")

    def faulty(trial: Trial) -> float:
        quick(trial)
        raise ZeroDivisionError("nothing to divide by")

    with pytest.raises(ZeroDivisionError, match="nothing to divide by"):
        work(study, objective=faulty)
    assert states(study) == ["FAIL"] * FAULTS
    assert {t.user_attrs["error"] for t in study.get_trials()} == {"ZeroDivisionError: nothing to divide by"}
    settle(study)
    assert states(study) == ["FAIL"] * FAULTS


def test_a_fault_now_and_then_does_not_end_the_work(storage: Storage) -> None:
    study = create_or_open(QUICK, storage, "a")

    def odd(trial: Trial) -> float:
        if trial.number % 2:
            raise ZeroDivisionError
        return quick(trial)

    assert work(study, 6, objective=odd) == 6


def test_while_the_rest_runs_elsewhere_a_worker_waits_and_takes_over_what_dies(storage: Storage) -> None:
    study, other = create_or_open(QUICK, storage, "a"), open_study(storage, "a")
    other._thread_local.in_optimize_loop = True
    quick(gone := other.ask())
    seen: list[str] = []

    def look() -> bool:
        seen.extend(workers(study)["state"])
        return False

    assert work(study, 1, look, objective=quick) == 1
    assert "waiting" in seen
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.get_trials()[1].params == gone.params


def test_the_table_of_workers_counts_what_each_did(storage: Storage) -> None:
    study = create_or_open(QUICK, storage, "a")
    assert workers(study).empty
    work(study, 2, objective=lambda trial: trial.set_user_attr("machine", kept.machine()) or quick(trial))
    (row,) = workers(study).to_dict("records")
    assert (row["machine"], row["state"], row["trials"], row["failed"]) == (kept.machine(), "stopped", 2, 0)
    assert 0 <= row["seen"] < 60


def test_one_worker_or_all_are_stopped_after_their_trial(storage: Storage) -> None:
    study = create_or_open(QUICK, storage, "a")
    assert work(study, on_trial=lambda trial: stop_worker(study, kept.machine()), objective=quick) == 1
    assert work(study, on_trial=lambda trial: kept.set_stopped(study, True), objective=quick) == 1
    assert work(study, objective=quick) == 0


def at_work(study: optuna.Study, worker: Worker) -> bool:
    running = study.get_trials(states=(TrialState.RUNNING,))
    return any(t.params and t.user_attrs.get("machine") == worker.machine for t in running)


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_a_worker_told_to_end_gives_its_trial_back_at_once(
    storage: Storage, url: str, tmp_path: Path, numbers: list[int]
) -> None:
    study = create_or_open(replace(LONG, config=LONG.config.but(epochs=1000)), storage, "a")
    with crew(url, "a", tmp_path, 1) as (worker,):
        until(lambda: at_work(study, worker))
        for number in numbers:
            worker.signal(number)
            time.sleep(0.5)  # two signals at once are heard as one
        assert worker.end() == 0
        assert "Traceback" not in worker.log.read_text()
    assert states(study) == ["WAITING"] * LONG.trials


def test_an_interrupt_lets_the_trial_end_and_the_line_says_what_came(
    storage: Storage, url: str, tmp_path: Path
) -> None:
    study = create_or_open(LONG, storage, "a")
    with crew(url, "a", tmp_path, 1) as (worker,):
        until(lambda: at_work(study, worker))
        worker.signal(signal.SIGINT)
        assert worker.end() == 0
    assert sorted(states(study)) == ["COMPLETE"] + ["WAITING"] * (LONG.trials - 1)
    begin, line, end = worker.log.read_text().splitlines()
    assert begin == f"{worker.machine} works on 'a' in {url}"
    assert line.startswith("trial 0: learning_rate=")
    assert f"loss {study.trials[0].value:.4g}, " in line
    assert end == f"1 trials here, 1 of {LONG.trials} in all"


def command(url: str, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "core", "worker", *more],
        cwd=ROOT,
        env={**os.environ, "MOMENTUM_LAB_DB": url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_works_and_other_data_is_refused_with_a_sentence(storage: Storage, url: str) -> None:
    study = create_or_open(replace(QUICK, trials=2, sampler="bayesian"), storage, "a")
    code, said = command(url, "--study", "a")
    assert (code, said.splitlines()[-1]) == (0, "2 trials here, 2 of 2 in all")
    theirs = study.user_attrs["plan"].replace('"data": "', '"data": "f')
    study.set_user_attr("plan", theirs)
    code, said = command("postgresql://nobody:s3cret@127.0.0.1:1/none", "--storage", url, "--study", "a")
    assert code == 2
    assert said.startswith("This study was made with other data under the name 'boston'")
    assert said.count("\n") == 1


def test_the_command_that_the_page_shows_names_any_study(storage: Storage, url: str) -> None:
    words = shlex.split(worker.command("-a b;'c"))
    assert words[:4] == ["python", "-m", "core", "worker"]
    code, said = command(url, *words[4:])
    assert (code, said) == (2, """There is no study named "-a b;'c"; there is none at all.\n""")


def test_a_database_that_is_lost_is_said_and_not_shown_as_a_fault(storage: Storage, tmp_path: Path) -> None:
    study = create_or_open(QUICK, storage, "a")
    (tmp_path / "lab.db").write_text("no database any more " * 1000)
    storage.engine.dispose()
    said = watch(study)
    assert said is not None
    assert said.startswith(str(tmp_path / "lab.db"))
    with pytest.raises(BadStorage, match=r"lab\.db"):
        work(study, objective=quick)
