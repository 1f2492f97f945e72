"""Workers that die, sleep or lose the database: nothing is lost, nothing counts twice, targets are met."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from workers import BEAT, GRACE, LONG, PASSWORD, QUICK, Postgres, Worker, crew, postgres, until

from core.search import trials as kept
from core.search.plan import Plan
from core.search.shared import create_or_open, open_study, watch, work, workers
from core.store import BadStorage, open_storage, retry, storage_of


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/lab.db"
    return str(request.getfixturevalue("server").url())


def made(url: str, plan: Plan, name: str) -> optuna.Study:
    return create_or_open(plan, open_storage(url, BEAT, GRACE), name)


def busy(study: optuna.Study, worker: Worker) -> list[FrozenTrial]:
    """The trials that a worker is at."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [t for t in running if t.user_attrs.get("machine") == worker.machine]


def setting(trial: FrozenTrial) -> tuple[float, ...]:
    """What was queued for a trial, and what it has been given: one may be killed between two numbers."""
    known = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    return tuple(known[key] for key in sorted(known))


def check_the_books(study: optuna.Study, settings: int) -> None:
    """What must hold whatever happened: the target met exactly, no setting lost, none counted twice."""
    trials = study.get_trials()
    ended = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(ended) == kept.target(study) == settings
    assert len({setting(t) for t in ended}) == settings
    assert not [t for t in trials if t.state == TrialState.RUNNING]
    retried = {n for t in ended for n in t.system_attrs.get("retry_history", [])}
    failed = [t for t in trials if t.state == TrialState.FAIL and "dropped" not in t.user_attrs]
    assert {t.number for t in failed} == retried
    assert all(t.user_attrs.keys() >= {"scores", "losses", "seconds", "machine"} for t in ended)
    assert all(list(t.intermediate_values)[-1] == kept.plan_of(study).config.epochs for t in ended)


def quiet(*crew: Worker) -> bool:
    """Whether nothing but sentences was written, and no password."""
    logs = [worker.log.read_text() for worker in crew]
    return not any(word in log for log in logs for word in ("Traceback", "Error", "Warning", PASSWORD))


def test_a_worker_killed_in_a_trial_loses_nothing_and_the_other_retries_its_setting(
    url: str, tmp_path: Path
) -> None:
    study = made(url, LONG, "killed")
    with crew(url, "killed", tmp_path, 2) as (killed, other):
        until(lambda: busy(study, killed) and busy(study, other))
        killed.signal(signal.SIGKILL)
        killed.process.join()
        (victim,) = busy(study, killed)
        seconds = until(lambda: study.get_trials()[victim.number].state == TrialState.FAIL)
        again = until(lambda: retries(study, victim))
        print(f"{url.split(':')[0]}: killed, failed after {seconds:.1f} s, queued again after {again:.1f} s")
        assert other.end() == 0
    check_the_books(study, LONG.trials)
    (retry,) = retries(study, victim)
    assert setting(retry) == setting(victim)
    assert (retry.user_attrs["kind"], retry.user_attrs["machine"]) == ("start", other.machine)
    table = workers(study).set_index("machine")
    assert table["failed"].to_dict() == {killed.machine: 1, other.machine: 0}
    assert table["trials"].sum() == LONG.trials
    assert table["state"][other.machine] == "stopped"
    assert quiet(other)


def retries(study: optuna.Study, failed: FrozenTrial) -> list[FrozenTrial]:
    """Who tries a failed trial again."""
    return [t for t in study.get_trials() if t.system_attrs.get("failed_trial") == failed.number]


def test_of_many_who_notice_a_death_at_once_one_queues_the_setting(url: str) -> None:
    study = made(url, QUICK, "noticed")
    study.add_trial(
        optuna.create_trial(
            state=TrialState.FAIL,
            params={"learning_rate": 0.004},
            distributions=QUICK.space.distributions(),
        )
    )
    (victim,) = study.get_trials()
    crowd = [open_study(open_storage(url, BEAT, GRACE), "noticed") for _ in range(8)]
    ready = Barrier(len(crowd))

    def notice(one: optuna.Study) -> None:
        ready.wait()
        retry(one, victim)

    with ThreadPoolExecutor(len(crowd)) as threads:
        list(threads.map(notice, crowd))
    for one in (study, *crowd):
        assert [t.state for t in one.get_trials()] == [TrialState.FAIL, TrialState.WAITING]
        assert setting(one.get_trials()[1]) == (0.004,)
    (second,) = retries(study, victim)
    storage_of(study).set_trial_state_values(second._trial_id, TrialState.FAIL)
    retry(study, second)
    assert len(study.get_trials()) == 3  # one that dies in its turn has a successor of its own


def test_a_worker_that_slept_too_long_leaves_its_trial_and_goes_on(url: str, tmp_path: Path) -> None:
    study = made(url, LONG, "asleep")
    with crew(url, "asleep", tmp_path, 2) as (sleeper, other):
        until(lambda: busy(study, sleeper) and busy(study, other))
        sleeper.signal(signal.SIGSTOP)
        (victim,) = busy(study, sleeper)
        until(lambda: study.get_trials()[victim.number].state == TrialState.FAIL)
        left = study.get_trials()[victim.number].user_attrs
        assert workers(study).set_index("machine")["state"][sleeper.machine] == "lost"
        kept.set_target(study, LONG.trials + 1)
        sleeper.signal(signal.SIGCONT)
        assert (sleeper.end(), other.end()) == (0, 0)
    check_the_books(study, LONG.trials + 1)
    assert study.get_trials()[victim.number].user_attrs == left, "nobody writes into it any more"
    assert quiet(sleeper, other)


def test_workers_outlive_a_restart_of_the_database(server: Postgres, tmp_path: Path) -> None:
    plan = replace(LONG, trials=6, seeds=1)
    study = made(server.url(), plan, "restarted")
    with crew(server.url(), "restarted", tmp_path, 2) as both:
        until(lambda: kept.complete(study) >= 2)
        for pause in (0.0, 1.0):
            server.stop()
            said = watch(study)
            time.sleep(pause)
            server.start()
            assert said == f"The server at {server.host} does not answer."
            time.sleep(0.3)
        assert [worker.end() for worker in both] == [0, 0]
    check_the_books(study, plan.trials)
    assert quiet(*both)


def test_a_worker_whose_database_stays_away_gives_up_with_a_sentence(server: Postgres) -> None:
    study = made(server.url(), QUICK, "away")

    def taken_away(trial: optuna.Trial) -> float:
        trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        server.stop()
        trial.set_user_attr("scores", [1.0])
        return 1.0

    try:
        with pytest.raises(BadStorage, match=f"The server at {server.host} does not answer") as caught:
            work(study, objective=taken_away)
    finally:
        server.start()
    assert PASSWORD not in str(caught.value)
    begun = [t for t in study.get_trials() if t.state == TrialState.RUNNING]
    assert len(begun) == 1  # it fails, and its setting is queued, as soon as somebody looks
    time.sleep(GRACE + 1)
    assert watch(study) is None
    assert study.get_trials()[begun[0].number].state == TrialState.FAIL
    assert len(retries(study, begun[0])) == 1


def test_four_workers_on_short_trials_end_exactly_as_many_as_were_asked_for(url: str, tmp_path: Path) -> None:
    plan = replace(QUICK, trials=24)
    study = made(url, plan, "short")
    with crew(url, "short", tmp_path, 4) as four:
        assert [worker.end() for worker in four] == [0] * 4
    check_the_books(study, plan.trials)
    table = workers(study)
    assert table["trials"].sum() == plan.trials
    assert set(table["machine"]) == {worker.machine for worker in four}


@pytest.mark.parametrize(
    ("password", "database", "user", "sentence"),
    [
        ("wrong secret", "lab", "keeper", "The server at {} does not take this user or password."),
        ("wrong secret", "lab", "nobody", "The server at {} does not take this user or password."),
        (PASSWORD, "nowhere", "keeper", "The server at {} has no database 'nowhere'."),
    ],
)
def test_a_server_that_refuses_is_answered_with_one_sentence_without_the_password(
    server: Postgres, tmp_path: Path, password: str, database: str, user: str, sentence: str
) -> None:
    url = server.url(password, database, user)
    with pytest.raises(BadStorage) as caught:
        open_storage(url)
    assert str(caught.value) == sentence.format(server.host)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    with crew(url, "any", tmp_path, 1) as (worker,):
        assert worker.end() == 2
    assert worker.log.read_text() == sentence.format(server.host) + "\n"
