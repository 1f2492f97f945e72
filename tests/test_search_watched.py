"""A shared search as a page sees it: what workers do is seen, commands reach them, nothing is lost."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from core.config import Config
from core.jobs import RUNNING, Job, Limits, Manager
from core.registry import OutOfRange
from core.search import BadPlan, Plan
from core.search import trials as kept
from core.search.shared import create_or_open, listed, open_study, settle, work
from core.search.study import Search
from core.search.watched import share, watched
from core.store import BadStorage, open_storage, storage_of

BOSTON = Config.from_query({"dataset": "boston", "epochs": "3"})
PLAN = Plan(BOSTON, trials=8, seeds=2)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'lab.db'}"


def half() -> Search:
    """A search that was stopped after its first round."""
    found = Search(PLAN)
    while found.ended < 4:
        found.advance()
    return found


def helped(url: str, name: str) -> None:
    """Works on a study from another thread until its target is met."""
    study = open_study(open_storage(url, beat=1, grace=3), name)
    thread = threading.Thread(target=work, args=(study,))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_a_shared_search_has_all_trials_and_workers_go_on_where_it_was(url: str) -> None:
    alone = half()
    found = share(alone, url, "mine")
    assert found.name == "mine"
    assert found.table()["score"].dropna().tolist() == alone.table()["score"].dropna().tolist()
    assert (found.ended, found.target, found.searching) == (4, 8, True)
    queued = found.table()["state"].tolist().count("queued")
    assert queued == 1  # the fifth start, which the next worker takes first
    helped(url, "mine")
    assert found.ended == 4  # until it looks
    found.advance()
    assert (found.ended, found.searching) == (8, False)
    while found.active:
        found.advance()
    assert found.checks
    assert found.table()["machine"].ne("").all()
    assert found.look.workers["trials"].tolist() == [8]  # this very process did them all
    assert set(found.curves()) == set(range(8))


@pytest.fixture
def going() -> Iterator[Job]:
    """A search that goes on in the background; its first trials have ended."""
    manager = Manager(Limits(slots=1))
    found = Search(Plan(BOSTON.but(epochs=60), trials=400, seeds=2))
    job = manager.submit([BOSTON], training=found, updates=1)
    until(lambda: found.ended >= 4)
    yield job
    manager.close()


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.002)


def goes_on(job: Job) -> None:
    """Passes when a job is running and makes more updates."""
    done = job.training.done
    until(lambda: job.training.done > done)
    assert job.state == RUNNING


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("postgresql://lab:secret@127.0.0.1:{port}/lab", "does not answer"),
        ("sqlite:///{folder}", "cannot be opened: it is a folder"),
        ("sqlite:///{folder}/none/lab.db", "There is no folder"),
        ("nonsense", "The address of the database must be like"),
    ],
)
def test_a_search_that_cannot_be_shared_goes_on_and_one_sentence_says_why(
    going: Job, tmp_path: Path, where: str, sentence: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BadStorage, match=sentence) as caught:
        share(going.training, where.format(port=port, folder=tmp_path))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    goes_on(going)


def test_a_search_whose_name_is_taken_goes_on(going: Job, url: str) -> None:
    share(half(), url, "mine")
    with pytest.raises(BadPlan, match="There is a study named 'mine' already"):
        share(going.training, url, "mine")
    goes_on(going)


def test_a_search_goes_on_while_it_is_shared_and_nothing_that_it_had_is_missing(going: Job, url: str) -> None:
    before = going.training.study.get_trials()
    found = share(going.training, url, "mine")
    goes_on(going)
    there = found.study.get_trials()
    done = [t for t in before if t.state == TrialState.COMPLETE]
    assert len(done) >= 4
    known = {(tuple(t.params.items()), t.value) for t in there if t.state == TrialState.COMPLETE}
    assert {(tuple(t.params.items()), t.value) for t in done} <= known
    assert {t.state for t in there} <= {TrialState.COMPLETE, TrialState.WAITING}
    assert len(there) >= len(before)


def test_a_database_that_is_lost_while_a_search_is_shared_is_a_sentence_and_nothing_half_done_stays(
    going: Job, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*given: object) -> None:
        raise optuna.exceptions.StorageInternalError("the server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(kept, "copy_marks", lost)
        with pytest.raises(BadStorage):
            share(going.training, url, "mine")
    goes_on(going)
    assert listed(url) == []
    assert share(going.training, url, "mine").name == "mine"


def test_a_study_that_is_not_there_is_said_in_one_short_sentence(url: str) -> None:
    with pytest.raises(BadPlan, match=r"^There is no study named 'gone'; there is none at all\.$"):
        watched(url, "gone")
    share(half(), url, "mine")
    with pytest.raises(BadPlan, match=r"^There is no study named 'gone'; there is mine\.$"):
        watched(url, "gone")
    with pytest.raises(BadPlan) as caught:
        watched(url, "x" * 10_000)
    assert len(str(caught.value)) < 300


def test_a_study_is_opened_by_its_name_and_made_longer(url: str) -> None:
    share(half(), url, "mine")
    found = watched(url, "mine")
    assert found.plan == PLAN
    found.extend(3)
    assert found.target == 11
    assert kept.target(open_study(open_storage(url), "mine")) == 11


def test_commands_reach_the_workers(url: str) -> None:
    found = share(half(), url)
    other = open_study(open_storage(url), found.name)
    for name, stopped in (("pause", True), ("resume", False), ("stop", True)):
        found.command(name)
        assert kept.stopped(other) is stopped
    assert work(other) == 0
    found.advance()
    assert found.look.stopped


def test_a_name_that_is_taken_or_missing_and_data_of_one_s_own_are_refused(url: str) -> None:
    alone = half()
    share(alone, url, "mine")
    with pytest.raises(BadPlan, match="There is a study named 'mine' already"):
        share(alone, url, "mine")
    with pytest.raises(BadPlan, match="There is no study named 'mien'; there is mine"):
        watched(url, "mien")
    with pytest.raises(BadStorage, match="There is no folder"):
        watched("sqlite:////no/such/folder/lab.db", "mine")


def test_a_database_that_goes_away_is_a_sentence_and_what_was_seen_stays(url: str) -> None:
    found = share(half(), url, "mine")
    before = found.table()
    path = Path(url.removeprefix("sqlite:///"))
    for part in path.parent.glob("lab.db*"):
        part.write_bytes(b"this is no database" * 300)
    found.advance()
    assert found.trouble
    assert found.table() is before


def test_time_left_is_by_the_workers_that_are_there(url: str) -> None:
    found = share(half(), url, "mine")
    assert found.left != found.left
    assert found.alive == []
    helped(url, "mine")
    found.advance()
    assert found.left == 0.0


def test_a_shared_search_in_other_ranges_is_one_of_this_process_again(url: str) -> None:
    found = share(half(), url, "mine")
    from core.search import Space

    moved = found.moved(
        replace(PLAN, space=Space(learning_rate=(1e-4, 0.02), batch_size=(1, 100), momentum=(0, 0.9)))
    )
    assert type(moved) is Search
    assert (moved.table()["kind"] == "before").sum() <= 4


def test_a_round_that_was_broken_off_is_not_shared_as_if_it_were_trained_elsewhere(url: str) -> None:
    alone = half()
    alone.advance()  # asks for the next round
    assert "running" in alone.table()["state"].tolist()
    found = share(alone, url)
    assert "running" not in found.table()["state"].tolist()
    assert found.ended == 4


def test_a_shared_search_is_as_long_as_it_was_however_long_its_plan(url: str) -> None:
    alone = Search(PLAN)
    kept.set_target(alone.study, 11)
    assert share(alone, url).target == 11


def test_a_study_that_was_made_longer_is_opened_at_its_new_length(url: str) -> None:
    share(half(), url, "mine").extend(3)
    assert watched(url, "mine").plan == replace(PLAN, trials=11)


def test_workers_that_have_stopped_are_not_at_work_and_every_look_counts_as_progress(url: str) -> None:
    found = share(half(), url, "mine")
    found.extend(20)
    study = open_study(open_storage(url, beat=1, grace=3), "mine")
    thread = threading.Thread(target=work, args=(study,))
    thread.start()
    try:
        while found.ended < 5:
            before = found.done
            found.advance()
            assert found.done > before
        assert len(found.alive) == 1
    finally:
        found.command("stop")
        thread.join(60)
    assert not thread.is_alive()
    found.advance()
    assert found.searching
    assert found.look.workers["state"].tolist() == ["stopped"]
    assert found.alive == []


def test_a_setting_in_training_when_a_search_is_shared_is_tried_by_the_workers(url: str) -> None:
    alone = Search(PLAN)
    while alone.ended < 8:
        alone.advance()
    alone.enqueue({"learning_rate": 0.0123, "batch_size": 17, "momentum": 0.5})
    while not alone.running():
        alone.advance()
    frame = share(alone, url).table()
    assert frame.loc[frame["kind"] == "hand", "state"].tolist() == ["queued"]
    assert frame.loc[frame["kind"] == "hand", "learning_rate"].tolist() == [0.0123]


HAND = {"learning_rate": 0.0123, "batch_size": 17, "momentum": 0.5}


def test_stars_and_notes_are_shared_with_their_settings(url: str) -> None:
    """What runs here is queued behind the others there, so numbers change."""
    alone = half()
    while not alone.running():
        alone.advance()
    alone.enqueue(HAND)
    for number in (1, 5, 8):
        kept.set_mark(alone.study, number, number != 5, f"note {number}")
    before, after = (frame[frame["note"] != ""] for frame in (alone.table(), share(alone, url).table()))
    words = [*PLAN.space.words, "star", "note"]
    assert after["note"].tolist() == ["note 1", "note 8", "note 5"]
    assert sorted(map(tuple, after[words].to_numpy())) == sorted(map(tuple, before[words].to_numpy()))


def test_two_who_look_on_and_make_a_study_longer_both_have_their_trials(url: str) -> None:
    one = share(half(), url, "mine")
    other = watched(url, "mine")
    one.extend(20)
    other.extend(10)
    assert kept.target(open_study(open_storage(url), "mine")) == 38
    assert other.target == other.plan.trials == 38


@pytest.mark.parametrize("sampler", ["bayesian", "sobol"])
def test_a_setting_queued_by_hand_in_a_shared_search_is_tried_by_the_workers(url: str, sampler: str) -> None:
    """Oracle: of the search as it stands in the database, so many have ended, run or are queued."""
    share(Search(Plan(BOSTON.but(epochs=1), trials=5, seeds=1, sampler=sampler)), url, "mine")
    found = watched(url, "mine")
    found.enqueue(HAND)
    assert found.target == found.plan.trials == 6
    kept.set_target(found.study, 8)
    found.enqueue(HAND | {"momentum": 0.25})
    assert found.target == 8, "there was room for it"
    helped(url, "mine")
    found.advance()
    frame = found.table()
    assert frame.loc[frame["kind"] == "hand", "score"].notna().tolist() == [True, True]
    found.enqueue(HAND | {"momentum": 0.75})
    assert found.target == 9


def test_a_setting_beyond_the_largest_budget_is_not_queued_in_a_shared_search(url: str) -> None:
    found = share(half(), url, "mine")
    kept.set_target(found.study, 1001)  # as no page does
    before = len(found.study.trials)
    with pytest.raises(OutOfRange, match=r"trials must be .* got 1001"):
        found.enqueue(HAND)
    assert len(found.study.trials) == before


def test_what_the_workers_drew_for_a_shared_sobol_search_is_its_sequence_also_when_it_is_longer(
    url: str,
) -> None:
    plan = Plan(BOSTON.but(epochs=1), trials=9, seeds=1, sampler="sobol")
    share(Search(replace(plan, trials=4)), url, "mine")
    found = watched(url, "mine")
    found.extend(3)
    create_or_open(plan, open_storage(url), "mine")
    helped(url, "mine")
    found.advance()
    words = list(plan.space.words)
    assert found.table()["score"].notna().sum() == 9
    assert set(found.table()["kind"]) == {"start"}
    pd.testing.assert_frame_equal(found.table()[words], Search(plan).table()[words])


def test_a_point_that_a_dead_worker_held_is_not_skipped_by_a_longer_sobol_search(url: str) -> None:
    plan = Plan(BOSTON, trials=6, seeds=1, sampler="sobol")
    found = share(Search(replace(plan, trials=4)), url, "mine")
    first = found.study.trials[0]._trial_id
    for state in (TrialState.RUNNING, TrialState.FAIL):
        storage_of(found.study).set_trial_state_values(first, state)
    settle(found.study)
    found.extend(2)
    tried = found.table()[lambda frame: frame["state"] == "queued"][list(plan.space.words)]
    wanted = Search(plan).table()[list(plan.space.words)]
    assert sorted(map(tuple, tried.to_numpy())) == sorted(map(tuple, wanted.to_numpy()))


def test_a_check_that_began_before_others_tried_more_does_not_count(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.search.study.best_trials", lambda frame, plan: frame["number"].tolist()[::-1])
    found = share(half(), url, "mine")
    helped(url, "mine")
    while found.searching or not found.configs:
        found.advance()
    found.extend(2)
    helped(url, "mine")
    while found.searching:
        found.advance()
    found.advance()
    assert found.configs == [], "it is left at once"
    while found.active:
        found.advance()
    assert {check.number for check in found.checks or ()} == {9, 8, 7}


def test_a_look_that_began_before_the_study_was_made_longer_does_not_hide_that(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = share(half(), url, "mine")
    longer = threading.Thread(target=found.extend, args=(3,))
    stopped = kept.stopped

    def late(study: optuna.Study) -> bool:
        """The last thing that a look reads."""
        if not longer.ident:
            longer.start()
            longer.join(0.5)
        return stopped(study)

    monkeypatch.setattr(kept, "stopped", late)
    found.advance()
    longer.join()
    assert found.target == kept.target(found.study) == 11
