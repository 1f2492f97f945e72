"""A study as a file: what is saved opens again and goes on as it would have; nothing bad comes in with it."""

import gc
import gzip
import json
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

import core
from core.config import Config
from core.search import BadPlan, Plan, Range, Space
from core.search import trials as kept
from core.search.checked import MANY
from core.search.ending import verdict
from core.search.file import MOST, ROWS, from_bytes, to_bytes
from core.search.plan import starts
from core.search.sampler import ask
from core.search.shared import listed, work
from core.search.study import Search
from core.search.watched import watched

BOSTON = Config.from_query({"dataset": "boston", "epochs": "2"})
RATE = Space(learning_rate=(1e-3, 0.1), batch_size=(50, 100))
WILD = Space(learning_rate=(100.0, 1000.0))
EARLIER = gzip.decompress((Path(__file__).parent / "earlier.db.gz").read_bytes())
RATES = "param_name = 'learning_rate'"

Change = Callable[[sqlite3.Connection], Any]


def advanced(found: Search, trials: int) -> Search:
    """A search that so many of its trials have ended of, between two rounds."""
    while found.ended < trials or found.running():
        found.advance()
    return found


def ended(found: Search) -> Search:
    while found.active:
        found.advance()
    return found


@pytest.fixture(scope="module")
def whole() -> Search:
    return ended(Search(Plan(BOSTON, RATE, trials=6, seeds=2)))


@pytest.fixture(scope="module")
def saved(whole: Search) -> bytes:
    """Six trials, a star and a note, and one setting that is queued."""
    study = from_bytes(to_bytes(whole.study)).study
    kept.set_mark(study, 2, True, "looks <b>good</b>")
    kept.enqueue(study, whole.plan, {"learning_rate": 0.0123, "batch_size": 70})
    return to_bytes(study)


def same(one: Search, other: Search) -> None:
    """Passes if two searches hold the same trials, to the last bit."""
    pd.testing.assert_frame_equal(one.table(), other.table(), check_exact=True)
    assert one.curves().keys() == other.curves().keys()
    for number, (epochs, losses) in one.curves().items():
        assert list(other.curves()[number][0]) == list(epochs)
        assert np.array_equal(other.curves()[number][1], losses, equal_nan=True)
    assert (one.target, one.study.study_name) == (other.target, other.study.study_name)


def changed(data: bytes, folder: Path, change: str | Change, *values: Any) -> bytes:
    """A file in which some SQL, or a function of its connection, has changed something."""
    path = folder / "changed.db"
    path.write_bytes(data)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    if isinstance(change, str):
        connection.execute(change, values)
    else:
        change(connection)
    connection.commit()
    connection.close()
    return path.read_bytes()


def refused(data: bytes) -> str:
    """The one plain sentence that a file is refused with."""
    with pytest.raises(BadPlan) as caught:
        from_bytes(data)
    said = str(caught.value)
    assert said.endswith((".", "?"))
    assert len(said) <= 500
    assert "\n" not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for word in ("sqlite3", "sqlalchemy", "Traceback", "SELECT", "Error", tempfile.gettempdir()):
        assert word not in said
    return said


def test_an_ended_search_opens_with_all_that_was_known_of_it(whole: Search) -> None:
    opened = from_bytes(to_bytes(whole.study))
    same(opened, whole)
    assert opened.plan == whole.plan
    assert opened.checks is None
    assert np.isnan(opened.left)  # time is measured anew, on this machine
    assert kept.plan_of(opened.study) == kept.plan_of(whole.study)


def test_a_file_of_an_opened_search_opens_again(saved: bytes) -> None:
    same(from_bytes(to_bytes(from_bytes(saved).study)), from_bytes(saved))


def test_an_ended_search_has_the_same_verdict_after_its_best_were_trained_again(whole: Search) -> None:
    opened = ended(from_bytes(to_bytes(whole.study)))
    assert whole.checks
    assert opened.checks
    assert [c.number for c in opened.checks] == [c.number for c in whole.checks]
    assert all(np.array_equal(a.scores, b.scores) for a, b in zip(opened.checks, whole.checks, strict=True))
    before = verdict(whole.plan, whole.table(), whole.checks)
    assert verdict(opened.plan, opened.table(), opened.checks) == before


def test_stars_notes_and_queued_settings_come_along(saved: bytes) -> None:
    frame = from_bytes(saved).table()
    assert frame["star"].tolist() == [number == 2 for number in range(7)]
    assert frame.loc[2, "note"] == "looks <b>good</b>"
    assert (frame.loc[6, "state"], frame.loc[6, "kind"]) == ("queued", "hand")
    assert frame.loc[6, "learning_rate"] == pytest.approx(0.0123)
    opened = from_bytes(saved)
    opened.extend(1)
    last = advanced(opened, 7).table().iloc[6]
    assert (last["learning_rate"], last["batch_size"], last["state"]) == (0.0123, 70, "finished")


@pytest.mark.parametrize(
    "plan",
    [
        *(Plan(BOSTON, trials=12, seeds=2, sampler=s) for s in ("bayesian", "random", "sobol", "grid")),
        Plan(BOSTON, trials=12, exact=True),
    ],
    ids=["bayesian", "random", "sobol", "grid", "exact"],
)
def test_a_search_that_is_opened_asks_for_the_very_points_that_it_would_have_asked_for(plan: Plan) -> None:
    found = advanced(Search(plan), 8)
    opened = from_bytes(to_bytes(found.study))
    assert opened.searching == (plan.sampler != "grid" or found.target > 8)
    for search in (found, opened):
        search.extend(2)
        advanced(search, search.target)
    varies = ["seconds", "machine", "begin", "end"]
    pd.testing.assert_frame_equal(
        opened.table().drop(columns=varies), found.table().drop(columns=varies), check_exact=True
    )


def test_where_every_setting_comes_from_is_in_the_file() -> None:
    wild = BOSTON.but(learning_rate=1.0, epochs=1)
    kinds = set()
    for sampler, batch in (("bayesian", 7), ("grid", 4)):
        found = ended(Search(Plan(wild, trials=7, seeds=1, batch=batch, sampler=sampler)))
        opened = from_bytes(to_bytes(found.study))
        assert opened.table()["kind"].tolist() == found.table()["kind"].tolist()
        kinds |= set(opened.table()["kind"])
    assert kinds == {"nearest", "start", "random"}


def test_a_search_saved_in_the_middle_of_a_round_trains_that_round_again(tmp_path: Path) -> None:
    found = advanced(Search(Plan(BOSTON, trials=12, seeds=2)), 8)
    found.advance()
    kept.set_mark(found.study, 9, True, "soon")
    assert (found.table()["state"] == "running").sum() == 4
    opened = from_bytes(to_bytes(found.study))
    assert opened.table()["state"].tolist()[8:] == ["queued"] * 4
    assert opened.table()["note"].tolist()[9] == "soon"
    ended(found)
    ended(opened)
    words = [*found.plan.space.words, "score", "kind", "note", "state"]
    pd.testing.assert_frame_equal(opened.table()[words], found.table()[words], check_exact=True)


def test_a_random_search_that_is_opened_twice_still_draws_no_point_again() -> None:
    found = advanced(Search(Plan(BOSTON, trials=12, seeds=1, batch=3, sampler="random")), 3)
    found.enqueue({"learning_rate": 0.0123, "batch_size": 70, "momentum": 0.5})
    once = advanced(from_bytes(to_bytes(found.study)), 6)
    twice = advanced(from_bytes(to_bytes(once.study)), 12)
    words = list(found.plan.space.words)
    pd.testing.assert_frame_equal(twice.table()[words], advanced(found, 12).table()[words])
    assert not twice.table().duplicated(words).any()


def test_what_a_random_search_took_over_it_has_not_drawn() -> None:
    found = advanced(Search(Plan(BOSTON, RATE, trials=4, seeds=1, sampler="random")), 4)
    wider = Space(learning_rate=(1e-3, 0.2), batch_size=(50, 100))
    moved = found.moved(replace(found.plan, space=wider, trials=8))
    moved.extend(3)
    opened = from_bytes(to_bytes(moved.study))
    for search in (moved, opened):
        advanced(search, search.target)
    words = list(wider.words)
    pd.testing.assert_frame_equal(opened.table()[words], moved.table()[words], check_exact=True)


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_optuna_s_own_samplers_go_on_to_the_end(sampler: str) -> None:
    found = advanced(Search(Plan(BOSTON, trials=10, seeds=1, sampler=sampler)), 8)
    opened = from_bytes(to_bytes(found.study))
    assert type(opened.study.sampler) is type(found.study.sampler)
    frame = advanced(opened, 10).table()
    assert len(frame.drop_duplicates(list(found.plan.space.words))) == 10


def test_running_trials_are_queued_in_the_file_with_their_settings_and_numbers(tmp_path: Path) -> None:
    plan = Plan(BOSTON, trials=12, seeds=2)
    study = kept.create(plan)
    for _ in range(6):
        ask(study, plan.space.distributions()).set_user_attr("scores", [1.0])
    study.enqueue_trial({})
    study.ask()  # it has no setting yet
    path = tmp_path / "study.db"
    path.write_bytes(to_bytes(study))
    trials = optuna.load_study(study_name=None, storage=f"sqlite:///{path}").trials
    assert [t.number for t in trials] == list(range(7))
    assert [t.state for t in trials] == [TrialState.WAITING] * 6 + [TrialState.FAIL]
    assert [t.params for t in trials] == [t.params for t in study.trials]
    assert [t.distributions for t in trials[:6]] == [plan.space.distributions()] * 6
    assert [t.user_attrs for t in trials[:5]] == [{"kind": kind} for kind, _ in starts(plan)]
    assert trials[5].user_attrs == {"kind": "random"}
    assert trials[6].user_attrs == {kept.DROPPED: True}
    for before, after in zip(study.trials[:5], trials[:5], strict=True):
        assert after.system_attrs == {"fixed_params": before.system_attrs["fixed_params"]}
    assert len(from_bytes(path.read_bytes()).table()) == 6


def test_the_study_itself_can_be_read_with_optuna_alone(tmp_path: Path) -> None:
    """As its dashboard and charts read it: losses, settings, curves, what is infeasible, what was found."""
    space = Space(learning_rate=(1e-3, 3.0), batch_size=(20, 100), momentum=(0, 0.99))
    found = ended(Search(Plan(BOSTON.but(seed=3), space, trials=8, seeds=2)))
    path = tmp_path / "study.db"
    path.write_bytes(to_bytes(found.study))
    opened, frame = optuna.load_study(study_name=None, storage=f"sqlite:///{path}"), found.table()
    assert set(frame["state"]) == {"finished", "diverged"}, "this search has both"
    assert opened.study_name.startswith("boston-linear-momentum-")
    assert opened.metric_names == ["validation loss"]
    table = opened.trials_dataframe().set_index("number")
    held = frame[frame["state"] == "finished"]
    shown = table.loc[held.index, "value_validation loss"]
    assert shown.tolist() == pytest.approx(held["loss"].clip(upper=shown.max()).tolist())
    for word in space.words:
        assert table[f"params_{word}"].tolist() == frame[word].tolist()
    assert table["params_batch_size"].dtype == int
    assert (table["state"] == "COMPLETE").all()
    assert [t.constraints["0"] for t in opened.trials] == frame["diverged"].tolist()
    assert opened.best_trial.number == held["score"].idxmin()
    assert opened.best_value == shown.min()
    for trial in opened.trials:
        epochs, losses = found.curves()[trial.number]
        assert trial.intermediate_values == dict(zip(epochs, losses, strict=True))
    best = opened.best_trial
    assert set(best.intermediate_values) == {0, 1, 2}
    assert best.intermediate_values[2] == pytest.approx(best.value)
    told = opened.user_attrs
    assert (told["dataset"], told["model"], told["optimizer"], told["seed"]) == (
        *("boston", "linear", "momentum"),
        3,
    )
    assert Config.from_query(told["config"]) == found.plan.config
    assert told["momentum_lab"] == core.__version__
    assert told["verdict"] == verdict(found.plan, frame, found.checks)
    first = found.checks[0]
    assert told["fresh_seeds"] == list(found.plan.fresh_seeds)
    assert told["fresh_loss"][str(first.number)] == first.loss.mean
    assert told["fresh_losses"][str(first.number)] == first.losses.tolist()
    kinds = ("worker:", "stop", "target", "marks")
    assert not [key for key in told if key.startswith(kinds)]
    assert kept.plan_of(opened) == found.plan


def test_a_search_that_is_made_longer_takes_its_verdict_back_until_it_has_ended() -> None:
    found = ended(Search(Plan(BOSTON, RATE, trials=4, seeds=1)))
    assert found.study.user_attrs["verdict"].startswith("Take trial")
    found.extend(1)
    assert (found.study.user_attrs["verdict"], found.study.user_attrs["fresh_loss"]) == ("", {})
    ended(found)
    assert found.study.user_attrs["verdict"].startswith("Take trial")


def test_diverged_trials_open_as_diverged() -> None:
    found = ended(Search(Plan(BOSTON, WILD, trials=3, seeds=2)))
    assert found.table()["state"].tolist() == ["diverged"] * 3
    opened = from_bytes(to_bytes(found.study))
    same(opened, found)
    assert ended(opened).checks == ()


def test_a_search_in_other_ranges_keeps_what_it_came_from(whole: Search) -> None:
    moved = whole.moved(replace(whole.plan, space=Space(learning_rate=(1e-3, 0.2), batch_size=(40, 100))))
    opened = from_bytes(to_bytes(moved.study))
    same(opened, moved)
    assert opened.study.user_attrs["parent"] == moved.study.user_attrs["parent"]
    assert (opened.table()["kind"] == "before").sum() == 6


def test_a_search_that_was_made_longer_opens_as_long_as_it_was(whole: Search) -> None:
    longer = from_bytes(to_bytes(whole.study))
    longer.extend(3)
    opened = from_bytes(to_bytes(longer.study))
    assert (opened.target, opened.plan.trials, opened.searching) == (9, 9, True)


def test_a_trial_that_failed_keeps_its_number_and_one_that_was_dropped_is_not_in_the_table() -> None:
    plan = Plan(BOSTON, RATE, trials=4, seeds=1)
    study = kept.create(plan)
    for mark in ("machine", kept.DROPPED, "other"):
        trial = ask(study, plan.space.distributions())
        trial.set_user_attr(mark, "there:1")
        study.tell(trial, state=TrialState.FAIL)
    frame = from_bytes(to_bytes(study)).table()
    assert frame["number"].tolist() == [0, 2, 3]
    assert frame["state"].tolist() == ["failed", "failed", "queued"]
    assert frame["machine"].tolist() == ["there:1", "", ""]
    pd.testing.assert_frame_equal(frame, kept.table(study, plan.space))


@pytest.mark.parametrize(
    ("word", "low", "high"),
    [
        ("learning_rate", 0.001234412345678, 0.1),
        ("learning_rate", 0.001, 0.09876612345444),
        ("momentum", 0.5, 0.98765123454444),
    ],
)
def test_trials_on_ends_that_have_more_digits_than_a_plan_s_text_open(
    word: str, low: float, high: float
) -> None:
    found = ended(Search(Plan(BOSTON, Space(**{word: (low, high)}), trials=2, seeds=1, sampler="grid")))
    assert {low, high} & set(found.table()[word])
    opened = from_bytes(to_bytes(found.study))
    assert opened.table()[word].tolist() == pytest.approx(found.table()[word].tolist(), rel=1e-9)
    (r,) = opened.plan.space.ranges
    assert all(r.holds(trial.params[r.word]) for trial in opened.study.trials)


def test_nothing_else_than_what_is_known_of_trials_and_studies_comes_in(saved: bytes, tmp_path: Path) -> None:
    def more(file: sqlite3.Connection) -> None:
        file.execute("INSERT INTO trial_user_attributes VALUES (900, 1, 'other', '1')")
        file.execute("INSERT INTO trial_system_attributes VALUES (901, 1, 'other', '1')")
        file.execute("INSERT INTO study_user_attributes VALUES (902, 1, 'stop', 'true')")
        file.execute("INSERT INTO study_system_attributes VALUES (903, 1, 'worker:me', 'true')")

    opened = from_bytes(changed(saved, tmp_path, more))
    same(opened, from_bytes(saved))
    first = opened.study.trials[0]
    assert first.user_attrs.keys() == {"scores", "losses", "diverged", "seconds", "machine", "kind"}
    assert first.system_attrs.keys() == {"fixed_params", "constraints"}
    named = {"dataset", "model", "optimizer", "seed", "seeds", "sampler", "momentum_lab", "torch", "optuna"}
    assert opened.study.user_attrs.keys() == {*named, "config", "plan"}
    entries = kept.entries(opened.study).keys() - opened.study.user_attrs.keys()
    assert entries == {"target", "marks", "study:metric_names"}


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65, "\u202eabc"], ids=ascii)
def test_a_name_that_is_no_line_of_text_is_replaced(saved: bytes, tmp_path: Path, name: str) -> None:
    opened = from_bytes(changed(saved, tmp_path, "UPDATE studies SET study_name = ?", name))
    assert opened.study.study_name.startswith("no-name-")


def test_long_names_of_machines_are_cut(saved: bytes, tmp_path: Path) -> None:
    data = attribute(saved, tmp_path, "machine", "m" * 1000)
    assert from_bytes(data).table()["machine"].str.len().max() == 200


def test_times_are_kept(whole: Search, saved: bytes) -> None:
    frame = from_bytes(saved).table()
    for column in ("begin", "end"):
        assert frame[column].tolist()[:6] == whole.table()[column].tolist()


def test_trials_that_run_in_a_file_are_queued_or_dropped(saved: bytes, tmp_path: Path) -> None:
    def run(file: sqlite3.Connection) -> None:
        file.execute("UPDATE trials SET state = 'RUNNING' WHERE number >= 5")
        file.execute("DELETE FROM trial_system_attributes WHERE trial_id = 7")

    opened = from_bytes(changed(saved, tmp_path, run))
    assert opened.table()["state"].tolist() == ["finished"] * 5 + ["queued"]
    assert [t.state for t in opened.study.trials][5:] == [TrialState.WAITING, TrialState.FAIL]
    assert opened.table()["scores"].map(len).tolist() == [2] * 5 + [0]


def test_words_of_a_plan_that_are_not_known_do_not_come_in(saved: bytes, tmp_path: Path) -> None:
    text = from_bytes(saved).study.user_attrs["plan"]
    more = json.dumps(json.loads(text) | {"more": "x"})
    assert from_bytes(of_study(saved, tmp_path, "plan", more)).study.user_attrs["plan"] == text


def test_plain_losses_may_be_large_but_not_negative(tmp_path: Path) -> None:
    found = ended(Search(Plan(BOSTON, RATE, trials=2, exact=True)))
    value = "UPDATE trial_values SET value = ? WHERE trial_id = 1"
    large = attribute(to_bytes(found.study), tmp_path, "scores", [1e6])
    large = attribute(large, tmp_path, "reason", REASON | {"mean": 1e6})
    assert from_bytes(changed(large, tmp_path, value, 1e6)).table().loc[0, "score"] == 1e6
    assert "its value must be 1e+06, as its seeds' scores say, got -1.0" in refused(
        changed(large, tmp_path, value, -1.0)
    )
    assert "its scores must be" in refused(attribute(large, tmp_path, "scores", [-1.0]))


def holding() -> list[Any]:
    """What holds a database open now; other tests may have left something."""
    gc.collect()
    return [thing for thing in gc.get_objects() if issubclass(type(thing), RDBStorage | sqlite3.Connection)]


def test_nothing_of_a_file_is_left_behind(
    saved: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = holding()
    bad = [saved[:5000], changed(saved, tmp_path, "UPDATE alembic_version SET version_num = 'v9'")]
    for _ in range(2):
        to_bytes(from_bytes(saved).study)
        for data in bad:
            refused(data)
    assert list(folder.iterdir()) == []
    assert [thing for thing in holding() if not any(thing is known for known in before)] == []


def test_a_database_of_a_web_of_workers_in_write_ahead_mode_opens(saved: bytes, tmp_path: Path) -> None:
    def logged(file: sqlite3.Connection) -> None:
        file.execute("PRAGMA journal_mode = WAL")

    same(from_bytes(changed(saved, tmp_path, logged)), from_bytes(saved))


def test_files_that_are_no_database_are_refused() -> None:
    assert "it is empty" in refused(b"")
    assert "it is something else" in refused(b"PK\x03\x04" + bytes(100))
    assert "at most 10 MB, got 10.0 MB" in refused(bytes(MOST + 1))
    assert "damaged" in refused(b"SQLite format 3\x00")
    assert "damaged" in refused(b"SQLite format 3\x00" + bytes(range(256)) * 40)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.commit()
    connection.close()
    assert "a database of another program" in refused((tmp_path / "other.db").read_bytes())


def test_a_file_that_was_cut_is_damaged_wherever_it_was_cut(saved: bytes) -> None:
    for length in (16, 99, 100, 4095, 4096, 5000, len(saved) // 2, len(saved) - 4096, len(saved) - 1):
        assert refused(saved[:length])
    assert "damaged" in refused(saved[: len(saved) // 2])


def test_a_file_with_wrong_bytes_is_refused_in_a_sentence_or_opens_as_a_search(saved: bytes) -> None:
    chance = np.random.default_rng(5)
    text = np.array([m for m in range(len(saved)) if saved[m]])
    for _ in range(60):
        data = bytearray(saved)
        for place in chance.choice(text, size=chance.integers(1, 6), replace=False):
            data[place] = chance.integers(256)
        try:
            opened = from_bytes(bytes(data))
        except BadPlan:
            opened = None
        assert len(opened.table()) == 7 if opened else refused(bytes(data))


def made(*names: str) -> bytes:
    """A file of Optuna's with studies that are not this app's."""
    with tempfile.TemporaryDirectory() as folder:
        storage = RDBStorage(f"sqlite:///{folder}/x.db")
        for name in names:
            study = optuna.create_study(storage=storage, study_name=name)
            study.add_trial(
                create_trial(value=1.0, params={"x": 1.0}, distributions={"x": FloatDistribution(0, 2)})
            )
        storage.remove_session()
        storage.engine.dispose()
        return Path(folder, "x.db").read_bytes()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "must hold one study, got none"),
        (("a", "b"), "must hold one study, got 2: 'a', 'b'."),
        (("a", "b", "c", "d"), "got 4: 'a', 'b', 'c', …."),
        (("theirs",), "not made by this app: it must have a plan, got none"),
    ],
)
def test_a_file_must_hold_one_study_of_this_app_s(names: tuple[str, ...], said: str) -> None:
    assert said in refused(made(*names))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("CREATE VIEW seen AS SELECT * FROM trials", "got the view 'seen'"),
        ("CREATE TRIGGER t AFTER INSERT ON trials BEGIN SELECT 1; END", "got the trigger 't'"),
        ("CREATE VIRTUAL TABLE words USING fts5(x)", "got the table 'words'"),
        ("CREATE TABLE t (a, b AS (zeroblob(1000000000)))", "got the table 't'"),
        ("CREATE TABLE t (a, b AS (zeroblob(a)) STORED)", "got the table 't'"),
        ("ALTER TABLE trials ADD COLUMN more TEXT DEFAULT 'much'", "got the table 'trials'"),
        ("CREATE INDEX i ON trials (abs(number))", "got the index 'i'"),
        ("CREATE INDEX i ON trials (number) WHERE number > 3", "got the index 'i'"),
    ],
)
def test_a_schema_with_more_than_plain_tables_is_refused(
    saved: bytes, tmp_path: Path, change: str, said: str
) -> None:
    said = f"The file must have plain tables only, {said}."
    assert refused(changed(saved, tmp_path, change)) == said


def test_a_table_of_optuna_s_that_is_really_a_view_is_refused(saved: bytes, tmp_path: Path) -> None:
    def swap(file: sqlite3.Connection) -> None:
        file.execute("ALTER TABLE trial_values RENAME TO hidden")
        file.execute("CREATE VIEW trial_values AS SELECT * FROM hidden")

    assert "the view 'trial_values'" in refused(changed(saved, tmp_path, swap))


def test_a_schema_of_very_many_tables_is_refused(saved: bytes, tmp_path: Path) -> None:
    def many(file: sqlite3.Connection) -> None:
        for k in range(200):
            file.execute(f"CREATE TABLE t{k} (a)")
        file.execute("CREATE VIEW seen AS SELECT * FROM trials")

    assert "a database of another program" in refused(changed(saved, tmp_path, many))


def test_tables_that_share_a_page_are_damage(saved: bytes, tmp_path: Path) -> None:
    def share(file: sqlite3.Connection) -> None:
        file.execute("PRAGMA writable_schema = ON")
        root = "(SELECT rootpage FROM sqlite_master WHERE name = 'trial_heartbeats')"
        file.execute(f"UPDATE sqlite_master SET rootpage = {root} WHERE name = 'study_system_attributes'")

    assert "damaged" in refused(changed(saved, tmp_path, share))


def test_a_plain_index_does_no_harm(saved: bytes, tmp_path: Path) -> None:
    same(
        from_bytes(changed(saved, tmp_path, "CREATE UNIQUE INDEX i ON trials (study_id, number)")),
        from_bytes(saved),
    )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'v2.6.0.a'",
        "UPDATE alembic_version SET version_num = 'v99.0.0.a'",
        "UPDATE alembic_version SET version_num = x'00ff'",
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('v2.6.0.a')",
        "UPDATE version_info SET schema_version = 11",
        "DELETE FROM version_info",
        "DROP TABLE trial_heartbeats",
    ],
)
def test_a_file_of_another_version_of_optuna_is_refused(saved: bytes, tmp_path: Path, change: str) -> None:
    assert "another version of Optuna than the one here" in refused(changed(saved, tmp_path, change))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trials SET state = 'ASLEEP' WHERE number = 1",
        "UPDATE trials SET datetime_complete = 'yesterday' WHERE number = 1",
        "UPDATE trial_params SET distribution_json = '{}' WHERE trial_id = 1",
        "UPDATE trial_user_attributes SET value_json = '[1,' WHERE key = 'scores'",
        "UPDATE trial_user_attributes SET value_json = x'ff' WHERE key = 'scores'",
        "UPDATE trial_values SET objective = 7 WHERE trial_id = 1",
        "UPDATE study_user_attributes SET value_json = NULL WHERE key = 'plan'",
        "ALTER TABLE trials RENAME COLUMN state TO condition",
    ],
)
def test_rows_that_optuna_cannot_read_are_damage(saved: bytes, tmp_path: Path, change: str) -> None:
    assert "damaged" in refused(changed(saved, tmp_path, change))


def test_brackets_without_end_are_refused(saved: bytes, tmp_path: Path) -> None:
    deep = "[" * 100_000
    for key, kind in (("plan", "user"), ("marks", "system")):
        query = f"UPDATE study_{kind}_attributes SET value_json = ? WHERE key = ?"
        assert "damaged" in refused(changed(saved, tmp_path, query, deep, key))
        assert refused(changed(saved, tmp_path, query, json.dumps("[" * 15_000), key))


def test_too_many_trials_or_rows_are_refused_before_they_are_read(saved: bytes, tmp_path: Path) -> None:
    def filled(count: int, query: str) -> bytes:
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n LIMIT {count}) "
        return changed(saved, tmp_path, numbers + query)

    trials = "INSERT INTO trials SELECT i, i, 1, 'WAITING', NULL, NULL FROM n"
    attrs = "INSERT INTO trial_user_attributes SELECT i, 1, 'a' || i, '1' FROM n"
    assert refused(filled(MANY - 6, trials)) == f"The study must have at most {MANY} trials, got {MANY + 1}."
    assert f"at most {ROWS} rows of each kind" in refused(filled(ROWS, attrs))


def attribute(data: bytes, folder: Path, key: str, value: Any) -> bytes:
    """A file in which the first trial has another value of an attribute."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()

    def change(file: sqlite3.Connection) -> None:
        file.execute("DELETE FROM trial_user_attributes WHERE trial_id = 1 AND key = ?", (key,))
        row = None, 1, key, text.decode()
        file.execute("INSERT INTO trial_user_attributes VALUES (?, ?, ?, ?)", row)

    return changed(data, folder, change)


INF, NAN = float("inf"), float("nan")
REASON = {"mean": -0.5, "deviation": 0.1, "improvement": 0.01, "best": -0.6}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scores", [NAN, 0.1], "its scores must be a number in [-38, 38], got nan"),
        ("scores", [INF, 0.1], "got inf"),
        ("scores", ["0.1", "0.2"], "got '0.1'"),
        ("scores", [True, False], "got True"),
        ("scores", [None, 0.1], "got nothing"),
        ("scores", [], "a list of 1 to 16 numbers, got []"),
        ("scores", [0.1] * 17, "a list of 1 to 16 numbers"),
        ("scores", [[0.1], [0.2]], "got [0.1]"),
        ("scores", 0.1, "a list of 1 to 16 numbers, got 0.1"),
        ("scores", {"a": 1}, "a list of 1 to 16 numbers"),
        ("scores", [30.0, 30.0], "its value must be 1e+30, as its seeds' scores say, got"),
        ("losses", [0.1], "its losses must be a list of 2 numbers"),
        ("losses", [0.1, NAN], "got nan"),
        ("losses", [0.1, -1], "got -1"),
        ("losses", [0.1, 1e39], "got 1e+39"),
        ("diverged", 3, "a whole number in [0, 2], got 3"),
        ("diverged", -1, "got -1"),
        ("diverged", 1.0, "got 1.0"),
        ("diverged", True, "got True"),
        ("seconds", -1, "its seconds must be"),
        ("seconds", INF, "its seconds must be"),
        ("seconds", "1", "its seconds must be"),
        ("machine", 3, "its machine must be a text, got 3"),
        ("machine", b'"\\ud800"', "its machine must be a text"),
        ("kind", "magic", "one of default, nearest, start, model, random, hand, again, before, got 'magic'"),
        ("kind", ["hand"], "got ['hand']"),
        ("reason", [1, 2, 3, 4], "numbers by name"),
        ("reason", {"mean": 1.0}, "its deviation must be"),
        ("reason", REASON | {"best": NAN}, "its best must be"),
        ("reason", REASON | {"mean": 400}, "its mean must be a number in [-150, 150], got 400"),
        ("reason", REASON | {"deviation": -1}, "its deviation must be"),
        ("reason", REASON | {"improvement": "1"}, "its improvement must be"),
    ],
)
def test_what_is_written_beside_a_trial_must_be_of_its_kind(
    saved: bytes, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    told = refused(attribute(saved, tmp_path, key, value))
    assert told.startswith("Trial 0: ")
    assert said in told


@pytest.mark.parametrize("key", ["scores", "losses", "diverged", "seconds", "machine"])
def test_a_trial_that_has_ended_must_have_all_that_is_written_of_it(
    saved: bytes, tmp_path: Path, key: str
) -> None:
    query = "DELETE FROM trial_user_attributes WHERE key = ? AND trial_id = 1"
    assert "got nothing" in refused(changed(saved, tmp_path, query, key))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("SET step = -1", "an epoch must be a whole number in [0, 10000], got -1"),
        ("SET step = 10001", "got 10001"),
        ("SET intermediate_value = -1", "its curve must be a number in [0, 3.4e+38], got -1"),
        ("SET intermediate_value = NULL, intermediate_value_type = 'INF_POS'", "got inf"),
        ("SET intermediate_value = NULL, intermediate_value_type = 'NAN'", "got nan"),
    ],
)
def test_a_learning_curve_must_be_of_losses_by_epochs(
    saved: bytes, tmp_path: Path, change: str, said: str
) -> None:
    query = f"UPDATE trial_intermediate_values {change} WHERE trial_id = 1 AND step = 2"
    assert said in refused(changed(saved, tmp_path, query))


def test_a_learning_curve_of_very_many_points_is_refused(saved: bytes, tmp_path: Path) -> None:
    def more(file: sqlite3.Connection) -> None:
        rows = ((1000 + k, 1, 10 + k, 1.0, "FINITE") for k in range(200))
        file.executemany("INSERT INTO trial_intermediate_values VALUES (?, ?, ?, ?, ?)", rows)

    assert "its curve must be at most 200 losses" in refused(changed(saved, tmp_path, more))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("epochs", [0, 1, 10**400], "an epoch must be a whole number"),
        ("epochs", [0, 1, 2.5], "got 2.5"),
        ("epochs", [0, -1, 2], "got -1"),
        ("epochs", [[0], 1, 2], "got [0]"),
        ("epochs", list(range(201)), "two lists of the same length"),
        ("epochs", "012", "two lists of the same length, got ('012', ["),
        ("epochs", [0, 1], "two lists of the same length"),
        ("curve", [0.1, 0.2], "two lists of the same length"),
        ("curve", [0.1, 0.2, INF], "got inf"),
    ],
)
def test_a_learning_curve_of_an_earlier_version_must_be_two_lists_that_fit(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    assert said in refused(attribute(EARLIER, tmp_path, key, value))


def test_a_file_of_the_version_before_opens_with_all_that_it_says(tmp_path: Path) -> None:
    """It has logarithms as values, 1 - momentum, batch sizes before rounding and curves as attributes."""
    path = tmp_path / "study.db"
    path.write_bytes(EARLIER)
    earlier = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    trials = earlier.get_trials(states=(TrialState.COMPLETE,))
    found = from_bytes(EARLIER)
    frame = found.table().iloc[:6]
    assert frame["score"].tolist() == pytest.approx([t.value for t in trials], rel=1e-12)
    assert frame["batch_size"].tolist() == [round(t.params["batch_size"]) for t in trials]
    rests = [1 - t.params["one_minus_momentum"] for t in trials]
    assert frame["momentum"].tolist() == pytest.approx(rests, abs=1e-4)
    assert frame["learning_rate"].tolist() == pytest.approx(
        [t.params["learning_rate"] for t in trials], rel=1e-3
    )
    for trial in trials:
        drawn = [loss for loss in trial.user_attrs["curve"] if loss is not None]
        assert list(found.curves()[trial.number][1]) == drawn
    assert [t.value for t in found.study.trials[:6]] == pytest.approx([10**t.value for t in trials])
    assert found.table().loc[2, ["star", "note"]].tolist() == [True, "earlier"]
    assert found.table().loc[6, ["state", "batch_size", "momentum"]].tolist() == ["queued", 70, 0.5]
    assert found.target == 6
    same(from_bytes(to_bytes(found.study)), found)
    found.extend(2)
    assert ended(found).ended == 8


def test_a_shared_study_of_the_version_before_is_shown_but_not_gone_on_with(tmp_path: Path) -> None:
    """Optuna takes no whole batch sizes in a study that has had broken ones."""
    path = tmp_path / "lab.db"
    path.write_bytes(EARLIER)
    url = f"sqlite:///{path}"
    (name,) = listed(url)
    found = watched(url, name)
    assert found.table().loc[2, "star"]
    assert found.target == found.ended == 6
    with pytest.raises(BadPlan, match=r"an earlier version.* download it .* share it anew"):
        work(found.study)
    opened = from_bytes(to_bytes(found.study))
    opened.extend(2)
    assert ended(opened).ended == 8


def test_what_the_model_expected_comes_along_and_nothing_beside_it(saved: bytes, tmp_path: Path) -> None:
    opened = from_bytes(attribute(saved, tmp_path, "reason", REASON | {"more": "x"}))
    assert opened.study.trials[0].user_attrs["reason"] == REASON


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE trial_params SET param_value = 5 WHERE trial_id = 1", "the search range, got 5"),
        (f"UPDATE trial_params SET param_value = 'x' WHERE trial_id = 1 AND {RATES}", "got 'x'"),
        (f"UPDATE trial_params SET param_value = 9e999 WHERE trial_id = 1 AND {RATES}", "got inf"),
        (f"UPDATE trial_params SET param_value = 'x' WHERE trial_id = 1 AND NOT {RATES}", "is damaged"),
        ("DELETE FROM trial_params WHERE trial_id = 1", "got none of them"),
        (
            "DELETE FROM trial_params WHERE trial_id = 1 AND param_name = 'batch_size'",
            "must have learning_rate, batch_size, got learning_rate",
        ),
        (
            "UPDATE trial_params SET param_name = 'momentum' WHERE param_id = 2",
            "must be of learning_rate, batch_size, got 'momentum'",
        ),
        (
            "UPDATE trial_system_attributes SET value_json = '{\"learning_rate\": 7}' WHERE trial_id = 7",
            "in [0.001, 0.1], the search range, got 7",
        ),
        ("UPDATE trial_system_attributes SET value_json = '[1]' WHERE trial_id = 7", "numbers by name"),
        (
            "UPDATE trial_system_attributes SET value_json = '{\"x\": 7}' WHERE trial_id = 7",
            "must be of learning_rate, batch_size, got 'x'",
        ),
        ("DELETE FROM trial_system_attributes WHERE trial_id = 7", "is pending and must have a setting"),
        ("UPDATE trial_values SET value = 'x' WHERE trial_id = 1", "its value must be"),
        ("UPDATE trial_values SET value_type = 'INF_POS', value = NULL WHERE trial_id = 1", "got inf"),
        ("DELETE FROM trial_values WHERE trial_id = 1", "its value must be one number, got nothing"),
        ("UPDATE trials SET state = 'PRUNED' WHERE number = 1", "got a pruned one"),
        ("UPDATE trials SET number = 3 WHERE number = 1", "must run from 0 on without a gap"),
        ("DELETE FROM trials WHERE number = 1", "must run from 0 on without a gap"),
        ("UPDATE trials SET datetime_complete = NULL WHERE number = 1", "its times must be"),
        ("UPDATE trials SET datetime_start = '0001-01-01 00:00:00.0' WHERE number = 1", "its times must be"),
        ("UPDATE study_directions SET direction = 'MAXIMIZE'", "must minimise one value"),
    ],
)
def test_trials_that_cannot_be_are_refused(saved: bytes, tmp_path: Path, change: str, said: str) -> None:
    assert said in refused(changed(saved, tmp_path, change))


def test_a_batch_size_on_a_linear_scale_must_be_whole(tmp_path: Path) -> None:
    plan = Plan(BOSTON, Space(Range("batch_size", 50, 100, "linear")), trials=2, seeds=1)
    found = ended(Search(plan))
    data = to_bytes(found.study)
    same(from_bytes(data), found)
    query = "UPDATE trial_system_attributes SET value_json = '{\"batch_size\": 60.5}' WHERE trial_id = 1"
    assert "batch_size must be a whole number, got 60.5" in refused(changed(data, tmp_path, query))


def of_study(data: bytes, folder: Path, key: str, value: Any) -> bytes:
    """A file whose study has another value of an attribute."""

    def change(file: sqlite3.Connection) -> None:
        kind = "system" if key in ("target", "marks") else "user"
        file.execute(f"DELETE FROM study_{kind}_attributes WHERE key = ?", (key,))
        row = None, 1, key, json.dumps(value)
        file.execute(f"INSERT INTO study_{kind}_attributes VALUES (?, ?, ?, ?)", row)

    return changed(data, folder, change)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("target", 0, "The number of trials must be a whole number in [1, 1000], got 0"),
        ("target", 10**9, "got 1000000000"),
        ("target", "12", "got '12'"),
        ("target", True, "got True"),
        ("target", None, "got nothing"),
        ("marks", [1], "The stars and notes must be by trial, got [1]"),
        ("marks", {"7": {"star": True, "note": ""}}, "one of the 7 trials, got '7'"),
        ("marks", {"-1": {"star": True, "note": ""}}, "got '-1'"),
        ("marks", {"01": {"star": True, "note": ""}}, "got '01'"),
        ("marks", {"1": {"star": 1, "note": ""}}, "mark of trial 1 must be a star and a note"),
        ("marks", {"1": "good"}, "mark of trial 1 must be a star and a note, got 'good'"),
        ("marks", {"1": {"star": True, "note": {}}}, "mark of trial 1: its note must be a text, got {}"),
        ("marks", {"1": {"star": True}}, "its note must be a text, got nothing"),
        ("marks", {"1": {"star": True, "note": "x" * 501}}, "at most 500 letters"),
        ("marks", {"1": {"star": True, "note": "\udfff"}}, "its note must be a text"),
        ("parent", [], "The search before it must be a name and two numbers"),
        ("parent", {"name": 3, "taken": 1, "tried": 2}, "must be a text, got 3"),
        ("parent", {"name": "a", "taken": -1, "tried": 2}, "The trials taken before must be"),
        ("parent", {"name": "a", "taken": 1}, "The trials tried before must be"),
        ("plan", None, "it must have a plan, got none"),
        ("plan", 3, "it must have a plan, got 3"),
        ("plan", "x" * 20_001, "it must have a plan, got 'xxx"),
        ("plan", "{", "it must have a plan, got '{'"),
        ("plan", "[]", "it must have a plan, got '[]'"),
        ("plan", "[" * 19_000, "it must have a plan, got '[[["),
        ("plan", "", "an uploaded table"),
    ],
)
def test_what_is_written_of_the_study_must_be_of_its_kind(
    saved: bytes, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    assert said in refused(of_study(saved, tmp_path, key, value))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"data": "0123456789ab"}, "made with other data under the name 'boston' (theirs 0123456789ab"),
        ({"seed": -1}, "The seed of the search must be a whole number in [0, 2147483647], got -1"),
        ({"seed": 2**31}, "The seed of the search must be a whole number in [0, 2147483647], got 2147483648"),
        ({"seed": "0"}, "The seed of the search must be"),
        ({"exact": 1}, "Whether the search is exact must be true or false, got 1"),
        ({"sampler": "magic"}, "magic"),
        ({"trials": 0}, "trials must be"),
        ({"seeds": 10**400}, "seeds must be"),
        ({"space": "learning_rate:0:1"}, "logarithmic scale"),
        ({"space": 3}, "not made by this app"),
        ({"config": {"dataset": "nowhere"}}, "nowhere"),
        ({"config": {"x" * 15_000: "1"}}, "not made by this app"),
        ({"config": {"epochs": 10**400}}, "its settings must be texts."),
        ({"config": 3}, "not made by this app"),
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused(
    saved: bytes, tmp_path: Path, words: dict[str, Any], said: str
) -> None:
    text = from_bytes(saved).study.user_attrs["plan"]
    with pytest.raises(BadPlan) as caught:
        from_bytes(of_study(saved, tmp_path, "plan", json.dumps(json.loads(text) | words)))
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_a_trial_of_another_space_than_the_plan_s_is_refused(saved: bytes, tmp_path: Path) -> None:
    plan = json.loads(from_bytes(saved).study.user_attrs["plan"])
    other = json.dumps(plan | {"space": "learning_rate:0.001:0.1,momentum:0:0.9"})
    said = refused(of_study(saved, tmp_path, "plan", other))
    assert said == "Trial 0: its setting must be of learning_rate, momentum, got 'batch_size'."
