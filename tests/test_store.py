"""The database's address: what it opens, what it never shows, and a sentence for each way to be wrong."""

import logging
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from core import store
from core.store import BadStorage, default_url, is_absent, open_storage, retry, shown, storage_of, studies

SECRET = "s3cret"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/lab.db"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def refused(url: str, wait: float = 1.0) -> str:
    with pytest.raises(BadStorage) as caught:
        open_storage(url, wait=wait)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    return str(caught.value)


def test_the_variable_names_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOMENTUM_LAB_DB", "postgresql://host/lab")
    assert default_url() == "postgresql://host/lab"


@pytest.mark.parametrize(
    ("platform", "variable", "folder"),
    [
        ("linux", "XDG_DATA_HOME", "momentum-lab"),
        ("linux", "HOME", ".local/share/momentum-lab"),
        ("darwin", "HOME", "Library/Application Support/momentum-lab"),
        ("win32", "LOCALAPPDATA", "momentum-lab"),
    ],
)
def test_without_it_a_file_in_the_data_folder_is_made_and_opens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variable: str, folder: str
) -> None:
    for name in ("MOMENTUM_LAB_DB", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(store.sys, "platform", platform)
    url = default_url()
    assert url == f"sqlite:///{tmp_path}/{folder}/momentum-lab.db"
    assert studies(open_storage(url)) == []


def test_a_data_folder_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("MOMENTUM_LAB_DB", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(BadStorage, match=r"The folder .*/file/momentum-lab cannot be made"):
        default_url()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"postgresql://me:{SECRET}@host:5432/lab", "postgresql+psycopg://me:***@host:5432/lab"),
        (f"postgres://me:{SECRET}@host/lab", "postgresql+psycopg://me:***@host/lab"),
        (
            f"postgresql://host/lab?user=me&password={SECRET}",
            "postgresql+psycopg://host/lab?password=***&user=me",
        ),
        (f"postgresql://host/lab?sslpassword={SECRET}", "postgresql+psycopg://host/lab?sslpassword=***"),
        (f"mysql+pymysql://me:{SECRET}@host/lab", "mysql+pymysql://me:***@host/lab"),
        ("sqlite:////folder/lab.db", "sqlite:////folder/lab.db"),
        (f"postgresql://me:{SECRET}", "?"),
        (f"postgresql://me:p@{SECRET}@host/lab", "?"),
        (SECRET, "?"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, text: str) -> None:
    shown_text = shown(url)
    assert shown_text.partition("?")[0] == text.partition("?")[0]
    assert set(shown_text.partition("?")[2].split("&")) == set(text.partition("?")[2].split("&"))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "The address of the database must be like sqlite:////folder/lab.db"),
        ("lab.db", "The address of the database must be like"),
        (f"postgresql://me:{SECRET}", "The address of the database cannot be read"),
        (f"postgresql://me:p@{SECRET}@host/lab", "must be written with %40, %3A or %2F"),
        (f"oracledb2://me:{SECRET}@host/lab", "There is no kind of database 'oracledb2' here"),
        (f"mysql+pymysql://me:{SECRET}@host/lab", "mysql+pymysql needs a driver that is not installed here"),
        ("sqlite://", "A SQLite database in memory cannot be shared"),
        ("sqlite:///:memory:", "A SQLite database in memory cannot be shared"),
        ("sqlite:////no/such/folder/lab.db", "There is no folder /no/such/folder for the database lab.db."),
        ("sqlite:////proc/lab.db", "/proc/lab.db cannot be opened"),
    ],
)
def test_an_address_that_cannot_be_used_gets_one_sentence(url: str, sentence: str) -> None:
    said = refused(url)
    assert sentence in said
    assert SECRET not in said


def test_a_server_that_does_not_answer_is_named_with_its_port_within_seconds(
    dead_port: int, silent_port: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    begin = time.monotonic()
    for port in (dead_port, silent_port):
        said = refused(f"postgresql://me:{SECRET}@127.0.0.1:{port}/lab")
        assert said == f"The server at 127.0.0.1, port {port} does not answer."
    assert time.monotonic() - begin < 60  # not for ever: the limit itself is the driver's
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database at all, " * 100)
    assert refused(f"sqlite:///{tmp_path}/notes.txt") == f"{tmp_path}/notes.txt is no SQLite database."


def test_a_file_that_may_only_be_read_is_named(tmp_path: Path, url: str) -> None:
    open_storage(url)
    said = refused(f"sqlite:///file:{tmp_path}/lab.db?mode=ro&uri=true")
    assert said.endswith("cannot be written: it, or its folder, is read-only.")


def test_a_locked_database_is_named_soon_and_opens_afterwards(tmp_path: Path, url: str) -> None:
    open_storage(url)
    other = sqlite3.connect(tmp_path / "lab.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert refused(url, wait=0.2) == f"{tmp_path}/lab.db is locked by another program: close that, or wait."
    other.execute("ROLLBACK")
    other.close()
    assert studies(open_storage(url)) == []


@pytest.mark.parametrize("version", ["v3.0.0.d", "v99.0.0.a"])
def test_a_database_of_another_version_is_named(tmp_path: Path, url: str, version: str) -> None:
    open_storage(url)
    with sqlite3.connect(tmp_path / "lab.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
    assert "was made by another version of Optuna than 5.0.0" in refused(url)


def test_a_sqlite_file_has_a_write_ahead_log_and_waits_for_others(url: str) -> None:
    with open_storage(url).engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]
        assert values == ["wal", 1]
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_a_sqlite_file_gives_a_waiting_trial_to_one_of_two_only(url: str) -> None:
    """The second transaction may not even read before the first has ended."""
    one, two = open_storage(url), open_storage(url)
    with one.engine.connect() as first, two.engine.connect() as second:
        first.exec_driver_sql("SELECT 1")
        second.connection.execute("PRAGMA busy_timeout = 50")  # type: ignore[attr-defined]
        second.rollback()
        with pytest.raises(Exception, match="locked"):
            second.exec_driver_sql("SELECT 1")


def test_studies_are_listed_with_the_newest_first(url: str) -> None:
    storage = open_storage(url)
    for name in ("b", "c", "a"):
        optuna.create_study(storage=storage, study_name=name)
    assert studies(storage) == ["a", "c", "b"]
    optuna.create_study(storage=storage, study_name="d").set_user_attr("plan", "")
    assert studies(storage, having="plan") == ["d"]


def test_a_file_that_is_not_there_yet_is_known_without_making_it(url: str) -> None:
    assert is_absent(url)
    assert is_absent(url)
    open_storage(url)
    assert not is_absent(url)
    assert not is_absent("postgresql://host/lab")
    with pytest.raises(BadStorage, match="must be like"):
        is_absent("nonsense")


def test_braces_in_an_address_are_no_template(tmp_path: Path) -> None:
    open_storage(f"sqlite:///{tmp_path}/{{SCHEMA_VERSION}}.db")
    assert [p.name for p in tmp_path.glob("*.db")] == ["{SCHEMA_VERSION}.db"]


def begun(study: optuna.Study, **attrs: object) -> optuna.trial.FrozenTrial:
    study.add_trial(
        optuna.create_trial(
            state=TrialState.FAIL,
            params={"x": 0.5},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
            user_attrs={"kind": "hand", "scores": [1.0], "machine": "there:1"},
            system_attrs=attrs,
        )
    )
    return study.get_trials()[-1]


def test_a_retried_trial_keeps_its_setting_and_kind_and_nothing_half_written(url: str) -> None:
    study = optuna.create_study(storage=open_storage(url))
    retry(study, begun(study, fixed_params={"x": 0.5}, rubbish=1))
    new = study.get_trials()[-1]
    assert (new.state, new.params, new.user_attrs) == (TrialState.WAITING, {"x": 0.5}, {"kind": "hand"})
    assert new.system_attrs == {"fixed_params": {"x": 0.5}, "failed_trial": 0, "retry_history": [0]}


def test_a_setting_is_retried_three_times_at_most(url: str) -> None:
    study = optuna.create_study(storage=open_storage(url))
    retry(study, begun(study, retry_history=[7, 8]))
    assert study.get_trials()[-1].system_attrs == {"failed_trial": 7, "retry_history": [7, 8, 0]}
    retry(study, begun(study, retry_history=[7, 8, 0]))
    assert len(study.get_trials(states=(TrialState.WAITING,))) == 1


def test_a_trial_without_a_setting_leaves_nothing_to_retry(url: str) -> None:
    study = optuna.create_study(storage=open_storage(url))
    study.add_trial(optuna.create_trial(state=TrialState.FAIL))
    retry(study, study.get_trials()[0])
    assert len(study.get_trials()) == 1


@pytest.mark.parametrize(("beat", "grace"), [(30, 2), (5, 5), (0, 45), (-1, 45)])
def test_a_grace_in_which_no_sign_of_life_could_come_is_refused(beat: int, grace: int, url: str) -> None:
    with pytest.raises(BadStorage, match=f"above 0 and fewer than .*, got {beat} and {grace}"):
        open_storage(url, beat=beat, grace=grace)


def test_a_trial_whose_worker_died_before_its_first_heartbeat_is_failed_too(url: str) -> None:
    storage = open_storage(url, beat=1, grace=2)
    study = optuna.create_study(storage=storage)
    storage.create_new_trial(study._study_id)  # what a worker does that dies right after
    end = time.monotonic() + 30
    while study.get_trials()[0].state == TrialState.RUNNING and time.monotonic() < end:
        storage.fail_stale(study)
        time.sleep(0.2)
    assert study.get_trials()[0].state == TrialState.FAIL


def test_a_heartbeat_that_the_database_does_not_take_is_left_out(url: str) -> None:
    storage = open_storage(url)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE trial_heartbeats")
    storage.record_heartbeat(1)  # the thread that beats goes on, and beats again when the database is back


def test_the_clock_is_the_database_s_own(url: str) -> None:
    assert abs(open_storage(url).now() - time.time()) < 60


def test_a_study_in_memory_cannot_be_shared() -> None:
    with pytest.raises(BadStorage, match="This study is in memory"):
        storage_of(optuna.create_study())
