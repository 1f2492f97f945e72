"""What background jobs promise: commands between steps, exact steps, fair turns, and the engine's numbers."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from core import engine, jobs
from core.config import Config
from core.engine import Training
from core.jobs import FAILED, FINISHED, PAUSED, QUEUED, RUNNING, STOPPED, Limits, Manager, Refused
from core.registry import OutOfRange
from tests.plain import finished

SHORT = Config().but(epochs=5)  # 5 x 13 updates
LONG = Config().but(epochs=10_000)


class Clock:
    """A clock that stands still until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def managed(
    connected: Callable[[str], bool] = lambda watcher: True,
    clock: Callable[[], float] = time.monotonic,
    **limits: float,
) -> Iterator[Manager]:
    manager = Manager(Limits(**limits), connected, clock)
    try:
        yield manager
    finally:
        manager.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    with managed(slots=1) as made:
        yield made


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.002)


def table(job: jobs.Job) -> pd.DataFrame:
    records = [record for run in range(len(job.configs)) for record in job.training.records(run)]
    return pd.DataFrame(records).sort_values(["run", "epoch"], ignore_index=True)


def same(job: jobs.Job) -> bool:
    """Whether a job's records are those of the engine alone, bit for bit."""
    pd.testing.assert_frame_equal(table(job), engine.run(job.configs), check_exact=True)
    return True


def test_a_job_makes_the_numbers_of_the_engine(manager: Manager) -> None:
    job = manager.submit(
        [SHORT, SHORT.but(optimizer="adam"), SHORT.but(dataset="moons", model="mlp", seed=3)]
    )
    until(lambda: job.over)
    assert (job.state, job.reason, job.done) == (FINISHED, "", job.steps)
    assert same(job)


def test_pausing_stepping_and_pacing_do_not_change_the_numbers(manager: Manager) -> None:
    job = manager.submit([SHORT.but(dataset="moons", model="mlp")], paused=True)
    for steps in (1, 2, 30):
        job.step(steps)
        job.wait()
    job.set_pace(400)
    job.resume()
    until(lambda: job.done > 50)
    job.pause()
    job.wait()
    job.set_pace(None)
    job.resume()
    until(lambda: job.over)
    assert same(job)


def test_single_steps_are_single_updates(manager: Manager) -> None:
    job = manager.submit([LONG], paused=True)
    for made in range(1, 20):
        job.step()
        job.wait()
        assert (job.done, job.state) == (made, PAUSED)


def test_many_steps_at_once_all_count(manager: Manager) -> None:
    job = manager.submit([LONG], paused=True)
    for _ in range(50):
        job.step()
    until(lambda: job.done == 50)
    job.wait()
    assert job.done == 50


def test_a_step_pauses_a_running_job_first(manager: Manager) -> None:
    job = manager.submit([LONG], pace=100)
    until(lambda: job.done > 2)
    job.step()
    job.wait()
    done = job.done
    assert job.state == PAUSED
    job.step()
    job.wait()
    assert (job.state, job.done) == (PAUSED, done + 1)


def test_a_paused_job_stands_still_and_keeps_no_slot() -> None:
    with managed(slots=1, shared=1) as manager:
        job = manager.submit([LONG], owner="a")
        until(lambda: job.done)
        job.pause()
        job.wait()
        done = job.done
        other = manager.submit([SHORT], owner="b")
        until(lambda: other.state == FINISHED)
        assert (job.done, job.state) == (done, PAUSED)
        job.resume()
        until(lambda: job.done > done)


def test_a_training_that_is_made_already_is_known_to_be_at_work_until_its_job_is_over(
    manager: Manager,
) -> None:
    made, other = Training([Config()]), Training([Config()])
    job = manager.submit(made.configs, paused=True, training=made, seconds=50.0)
    assert job.training is made
    assert manager.at_work(made) is job
    assert manager.at_work(other) is None
    job.step()
    until(lambda: job.done == 1)
    assert job.pace == made.steps / 50
    job.stop()
    assert manager.at_work(made) is None


def test_stop_keeps_what_there_is(manager: Manager) -> None:
    job = manager.submit([LONG])
    until(lambda: job.done > 100)
    job.stop("Enough.")
    job.wait()
    done = job.done
    next_one = manager.submit([SHORT])
    until(lambda: next_one.over)
    assert (job.state, job.reason, job.done) == (STOPPED, "Enough.", done)
    assert len(job.training.records(0)) == done // LONG.steps_per_epoch + 1
    job.resume()
    job.step()
    job.pause()
    job.wait()
    assert (job.state, job.done) == (STOPPED, done)


def test_a_stop_does_not_wait_for_the_steps_that_are_owed(manager: Manager) -> None:
    job = manager.submit([LONG], paused=True)
    job.step(100_000)
    until(lambda: job.done)
    job.stop()
    job.wait(60)
    assert job.done < 100_000


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_a_slow_run_obeys_within_a_few_updates_from_the_very_first(command: str) -> None:
    with managed(slots=1) as manager:
        job = manager.submit(
            [Config().but(dataset="mnist5k", model="mlp", hidden=(256, 256), batch_size=2000)]
        )
        until(lambda: job.training, 30)
        getattr(job, command)()
        job.wait(30)
        assert job.done <= 2


def test_a_change_is_that_of_the_engine_at_the_recorded_step(manager: Manager) -> None:
    job = manager.submit([LONG.but(epochs=400)], pace=2000)
    until(lambda: job.done > 30)
    job.change("learning_rate", 0.002)
    until(lambda: job.training.stacks[0].history.changes)
    job.change("momentum", 0.5)
    until(lambda: len(job.training.stacks[0].history.changes) == 2)
    job.set_pace(None)
    until(lambda: job.over)
    alone = Training(job.configs)
    for change in job.training.stacks[0].history.changes:
        while alone.stacks[0].step < change.step:
            alone.advance(change.step - alone.stacks[0].step)
        alone.change(0, change.name, change.value)
    finished(alone)
    assert pd.DataFrame(alone.records(0)).equals(pd.DataFrame(job.training.records(0)))
    assert [c.name for c in job.training.stacks[0].history.changes] == ["learning_rate", "momentum"]


def test_a_change_of_a_paused_job_is_seen_at_once(manager: Manager) -> None:
    job = manager.submit([LONG], paused=True)
    job.step()
    job.wait()
    job.change("learning_rate", 0.5)
    job.wait()
    assert (job.training.config(0).learning_rate, job.done) == (0.5, 1)


def test_a_change_that_cannot_be_is_refused_where_it_is_asked(manager: Manager) -> None:
    job = manager.submit([LONG], paused=True)
    with pytest.raises(OutOfRange, match="momentum must be"):
        job.change("momentum", 2.0)
    with pytest.raises(ValueError, match="beta1 is no number of momentum"):
        job.change("beta1", 0.5)
    job.step()
    until(lambda: job.done == 1)


def test_turns_are_fair(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, turn = [], jobs.Job._turn

    def noted(job: jobs.Job) -> None:
        turns.append(job.id)
        turn(job)

    monkeypatch.setattr(jobs.Job, "_turn", noted)
    with managed(slots=1, per_owner=9) as manager:
        several = [manager.submit([LONG]) for _ in range(4)]
        until(lambda: min(job.done for job in several) > 1000)
    first = max(turns.index(job.id) for job in several)
    rounds = [turns[k : k + 4] for k in range(first, len(turns) - 3, 4)]
    assert len(rounds) > 5
    assert all(len(set(each)) == 4 for each in rounds)


def test_the_queue_is_first_come() -> None:
    with managed(slots=1, shared=1, per_owner=9) as manager:
        first, *waiting = [manager.submit([LONG]) for _ in range(4)]
        until(lambda: first.state == RUNNING)
        assert [job.position for job in (first, *waiting)] == [0, 1, 2, 3]
        waiting[1].stop()
        assert [job.position for job in waiting] == [1, 0, 2]
        first.stop()
        until(lambda: waiting[0].state == RUNNING)
        assert [waiting[2].state, waiting[2].position] == [QUEUED, 1]


def test_who_resumes_waits_behind_those_who_wait_already() -> None:
    with managed(slots=1, shared=1, per_owner=9) as manager:
        early = manager.submit([LONG], paused=True)
        first, second = manager.submit([LONG]), manager.submit([LONG])
        until(lambda: first.state == RUNNING)
        early.resume()
        assert [job.position for job in (second, early)] == [1, 2]


@pytest.mark.parametrize(
    ("limits", "config", "sentence"),
    [
        ({"updates": 100}, LONG, "130,000 updates; the limit is 100"),
        ({"queue": 2, "shared": 1}, LONG, "2 runs are waiting already"),
    ],
)
def test_a_ceiling_is_said_in_a_sentence(limits: dict[str, int], config: Config, sentence: str) -> None:
    with managed(slots=1, **limits) as manager:
        if "queue" in limits:
            running, *_ = [manager.submit([config], owner="first")]
            until(lambda: running.state == RUNNING)
            for owner in "ab":
                manager.submit([config], owner=owner)
        with pytest.raises(Refused, match=sentence):
            manager.submit([config], owner="late")


def test_who_is_refused_loses_nothing() -> None:
    with managed(slots=1, shared=1, queue=1, per_owner=1) as manager:
        mine = manager.submit([LONG], owner="me")
        until(lambda: mine.state == RUNNING)
        manager.submit([LONG], owner="other")
        with pytest.raises(Refused):
            manager.submit([LONG], owner="me")
        assert mine.state == RUNNING


def test_too_long_a_job_is_stopped_with_the_reason() -> None:
    with managed(slots=1, seconds=0.1) as manager:
        job = manager.submit([LONG])
        until(lambda: job.over)
        assert (job.state, job.reason) == (STOPPED, "Stopped after 0.1 seconds of training, the limit here.")


def test_a_newer_run_of_the_same_owner_takes_the_oldest_place_and_no_one_elses() -> None:
    with managed(slots=1, per_owner=2) as manager:
        others = manager.submit([LONG], owner="b")
        mine = [manager.submit([LONG], owner="a")]
        mine.append(manager.submit([LONG], owner="a", paused=True))
        until(lambda: mine[0].done)
        mine.append(manager.submit([LONG], owner="a"))
        assert [job.over for job in (*mine, others)] == [True, False, False, False]
        assert mine[0].reason == "A newer run took its place."
        mine[1].stop()
        mine.append(manager.submit([LONG], owner="a"))
        assert [job.over for job in mine] == [True, True, False, False]


def test_a_job_that_nobody_watches_is_stopped_when_the_grace_is_over_and_not_before() -> None:
    here, clock = {"tab"}, Clock()
    with managed(here.__contains__, clock, slots=1, grace=20.0) as manager:
        never, left = manager.submit([LONG], paused=True), manager.submit([LONG], paused=True)
        left.attach("tab")
        clock.now = 20.0
        manager.look()
        assert not never.over
        clock.now = 20.1
        manager.look()
        assert (never.state, never.reason) == (STOPPED, "Stopped because nobody was watching.")
        assert not left.over
        here.clear()
        clock.now = 40.1
        manager.look()
        assert not left.over
        clock.now = 40.2
        manager.look()
        assert (left.state, left.reason) == (STOPPED, "Stopped because nobody was watching.")


def test_a_job_goes_on_as_long_as_one_of_its_watchers_is_connected() -> None:
    here, clock = {"one", "two"}, Clock()
    with managed(here.__contains__, clock, slots=1, grace=20.0) as manager:
        job = manager.submit([LONG], paused=True)
        job.attach("one")
        job.attach("two")
        here.remove("one")
        for clock.now in range(0, 200, 15):
            manager.look()
            assert not job.over
        assert set(job.watchers) == {"two"}


def test_who_is_connected_again_in_time_finds_the_job_going_on_and_need_not_say_so() -> None:
    here, clock = {"tab"}, Clock()
    with managed(here.__contains__, clock, slots=1, grace=20.0) as manager:
        job = manager.submit([LONG], paused=True)
        job.attach("tab")
        for _ in range(10):
            here.clear()
            clock.now += 15.0
            manager.look()
            here.add("tab")
            manager.look()
        assert not job.over


def test_a_reload_is_another_watcher_of_the_same_job() -> None:
    here, clock = {"0"}, Clock()
    with managed(here.__contains__, clock, slots=1, grace=20.0) as manager:
        job = manager.submit([LONG], paused=True)
        for reloads in range(10):
            here.clear()
            here.add(str(reloads))
            job.attach(str(reloads))
            clock.now += 15.0
            manager.look()
        assert not job.over
        assert set(job.watchers) <= {"8", "9"}


def test_who_watches_is_looked_at_now_and_then_without_being_asked() -> None:
    here = {"tab"}
    with managed(here.__contains__, slots=1, grace=0.2) as manager:
        never, left, kept = (manager.submit([LONG], paused=True) for _ in range(3))
        left.attach("gone")
        kept.attach("tab")
        until(lambda: never.over and left.over)
        assert {never.reason, left.reason} == {"Stopped because nobody was watching."}
        assert not kept.over


def test_while_it_cannot_be_found_out_who_is_connected_nothing_is_stopped() -> None:
    asked, there = [], threading.Event()

    def connected(watcher: str) -> bool:
        asked.append(watcher)
        if not there.is_set():
            raise RuntimeError("The server is not there.")
        return False

    with managed(connected, slots=1, grace=0.04) as manager:
        job = manager.submit([LONG], paused=True)
        job.attach("tab")
        until(lambda: len(asked) > 9)
        assert not job.over
        there.set()
        until(lambda: job.over)


def test_who_is_asked_may_use_the_manager_from_another_thread() -> None:
    """The manager does not hold its lock while it asks, or the two would wait for each other."""

    def connected(watcher: str) -> bool:
        other = threading.Thread(target=lambda: manager.get(job.id))
        other.start()
        other.join(5)
        return not other.is_alive()

    clock = Clock()
    with managed(connected, clock, slots=1) as manager:
        job = manager.submit([LONG], paused=True)
        job.attach("tab")
        clock.now = 30.0
        manager.look()
        assert not job.over


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A process that has no manager yet; the threads that warm it up."""
    warmed: list[str] = []
    monkeypatch.setattr(jobs, "_manager", None)
    monkeypatch.setattr(jobs, "warm_up", lambda: warmed.append(threading.current_thread().name))
    yield warmed
    if jobs._manager is not None:
        jobs._manager.close()


def test_there_is_one_manager_whoever_asks_first(fresh: list[str]) -> None:
    together, found = threading.Barrier(16), []

    def ask() -> None:
        together.wait()
        found.append(jobs.manager())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: fresh)
    assert (len(found), len(set(found)), fresh) == (16, 1, ["warm-up"])
    assert found[0].limits == jobs.limits()


def test_the_manager_asks_whom_it_was_told_last(fresh: list[str]) -> None:
    manager = jobs.manager()
    assert manager.connected("anybody")
    assert jobs.manager({"tab"}.__contains__) is manager
    assert [manager.connected(name) for name in ("tab", "other")] == [True, False]
    assert jobs.manager().connected("other") is False


def test_a_job_that_fails_says_why_and_frees_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Training, steps: int | None = None) -> None:
        if self.configs[0].seed == 13:
            raise MemoryError("no room left")
        return advance(self, steps)

    advance = Training.advance
    monkeypatch.setattr(Training, "advance", broken)
    with managed(slots=1, shared=1) as manager:
        bad, good = manager.submit([LONG.but(seed=13)]), manager.submit([SHORT])
        until(lambda: good.over)
        assert (bad.state, bad.reason) == (FAILED, "Training stopped with an error: no room left")
        assert good.state == FINISHED


def test_closing_ends_the_jobs_and_the_threads() -> None:
    before = set(threading.enumerate())
    manager = Manager(Limits(slots=2))
    made = [manager.submit([LONG]) for _ in range(2)]
    until(lambda: all(job.done for job in made))
    manager.close()
    assert all(job.over for job in made)
    done = [job.done for job in made]
    until(lambda: not set(threading.enumerate()) - before, 2)
    assert [job.done for job in made] == done


def test_a_paced_job_takes_its_time_without_keeping_the_processor_busy() -> None:
    with managed(slots=1) as manager:
        warm = manager.submit([SHORT])
        until(lambda: warm.over)
        begin = time.monotonic()
        job = manager.submit([Config().but(epochs=20)], pace=260)  # 260 updates
        until(lambda: job.over)
        took = time.monotonic() - begin
        assert took > 0.9  # never faster than its pace, however slow the machine
        assert job.seconds < took / 2  # and it trained for the smaller part of that time


def test_a_new_pace_counts_at_once(manager: Manager) -> None:
    job = manager.submit([LONG], pace=1.0)
    until(lambda: job.done)
    job.set_pace(None)
    until(lambda: job.done > 1000, 5)


def test_time_left_follows_the_pace(manager: Manager) -> None:
    job = manager.submit([Config().but(epochs=100)], pace=100)
    until(lambda: job.done >= 10)
    assert job.left == pytest.approx((job.steps - job.done) / 100, rel=0.05)


def test_what_is_over_is_forgotten_in_the_end_but_not_while_it_is_watched() -> None:
    with managed(slots=1, kept=2, per_owner=99) as manager:
        watched = manager.submit([SHORT])
        watched.attach("tab")
        done = [manager.submit([SHORT]) for _ in range(5)]
        until(lambda: all(job.over for job in done))
        manager.submit([SHORT])
        assert manager.get(watched.id) is watched
        assert sum(manager.get(job.id) is not None for job in done) == 2


def test_many_threads_may_look_while_it_trains(manager: Manager) -> None:
    job = manager.submit([LONG.but(epochs=300)])
    until(lambda: job.training)
    while not job.over:
        history = job.training.stacks[0].history
        count = history.step_count
        assert np.isfinite(history.batch_loss[:count]).all()
        assert len(job.training.records(0)) >= count // LONG.steps_per_epoch
        time.sleep(0.001)
    assert job.state == FINISHED


def test_a_job_is_found_at_any_moment(manager: Manager) -> None:
    interval = sys.getswitchinterval()
    job = manager.submit([LONG])
    until(lambda: job.done)
    try:
        sys.setswitchinterval(1e-6)
        found = [manager.get(job.id) is job and manager.active == 1 for _ in range(20_000)]
    finally:
        sys.setswitchinterval(interval)
    assert all(found)


def test_the_hosted_limits_are_the_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOMENTUM_LAB_HOSTED", "1")
    assert jobs.limits() == jobs.HOSTED
    monkeypatch.setenv("MOMENTUM_LAB_HOSTED", "0")
    assert jobs.limits() == Limits()
    assert jobs.HOSTED.slots == 1
    assert all(getattr(jobs.HOSTED, f.name) <= getattr(Limits(), f.name) for f in fields(Limits))
