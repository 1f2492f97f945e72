"""The database that holds what is kept, and that many machines may share: where it is, and how it is opened.

No message, log line or address that is shown from here has the password of the database in it.

References:
    SQLAlchemy, "Serializable isolation / Savepoints / Transactional DDL", in its pages on SQLite.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import (
    TrialIntermediateValueModel,
    TrialModel,
    TrialSystemAttributeModel,
)
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "MOMENTUM_LAB_DB"
FILE = "momentum-lab.db"
RETRIES = 3  # times a setting is tried again after its worker has died
BUSY = 30.0  # seconds a SQLite file may be locked by others before it counts as trouble
TRIES = 5  # of opening a database whose tables another process makes at the same moment
PAUSES = 0.1, 2.0  # seconds, the first and the longest, between two tries to reach a server again

_HISTORY = "retry_history"  # Optuna's word: who tried a setting in vain, the first one first
_SILENT = (
    "refused|timeout|timed out|resolve|translate host|can't connect|unreachable|no such file|no route|"
    "closed the connection|closed unexpectedly|starting up|shutting down|terminating connection"
)
_ODD = RuntimeError, ImportError, OSError, ValueError  # schema versions, drivers, names of hosts


class BadStorage(ValueError):
    """A database that cannot be used; the text says why, without its password."""


def default_url() -> str:
    """MOMENTUM_LAB_DB; without it, a SQLite file in the user's data folder, which is made when needed.

    Raises:
        BadStorage: The folder cannot be made.
    """
    if url := os.environ.get(VARIABLE, "").strip():
        return url
    folder = _data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror
    else:
        return f"sqlite:///{folder / FILE}"
    raise BadStorage(f"The folder {folder} cannot be made ({why}): name a database in {VARIABLE}.")


def _data_folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "momentum-lab"


def shown(url: str) -> str:
    """An address without its password, for pages, logs and exports; "?" for what is no address."""
    try:
        parsed = _parsed(url)
    except BadStorage:
        return "?"
    hidden = {key: "***" if _secret(key) else value for key, value in parsed.query.items()}
    return parsed.set(query=hidden).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def _secret(key: str) -> bool:
    return any(word in key.lower() for word in ("pass", "pwd", "secret", "token"))


def _parsed(url: str) -> URL:
    """An address with the driver that is shipped."""
    found = re.fullmatch(r"([A-Za-z][\w+]*)://(.*)", url.strip(), re.DOTALL)
    if not found:
        raise BadStorage(
            "The address of the database must be like sqlite:////folder/lab.db or "
            "postgresql://user:password@host/database."
        )
    dialect, rest = found.groups()
    if dialect != "sqlite" and rest.split("?")[0].count("@") > 1:
        raise BadStorage("A password with @, : or / in it must be written with %40, %3A or %2F instead.")
    if dialect in ("postgres", "postgresql"):
        dialect = "postgresql+psycopg"
    try:
        return make_url(f"{dialect}://{rest}")
    except (ArgumentError, ValueError):
        pass  # what these say has parts of the address, so perhaps of the password
    raise BadStorage(f"The address of the database cannot be read: {dialect}://, then what?")


class Storage(RDBStorage):
    """Optuna's storage, made to outlive a restart of its server.

    Attributes:
        patience: Seconds for which a server that does not answer any more is waited for.
    """

    patience = 0.0

    def __init__(self, url: str, beat: int, grace: int, engine: Mapping[str, Any]) -> None:
        super().__init__(
            url.replace("{", "{{").replace("}", "}}"),
            engine_kwargs=dict(engine),
            grace_period=grace,
            heartbeat_stale_trial_callback=retry,
        )
        self.heartbeat_interval = beat  # given above, it would warn that it is experimental
        event.listen(self.engine, "do_connect", self._connect)

    def record_heartbeat(self, trial_id: int) -> None:
        """As Optuna's; but one that the database does not take is left out, and does not end all others."""
        try:
            super().record_heartbeat(trial_id)
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError):
            self.remove_session()

    def report(self, trial_id: int, values: Mapping[int, float]) -> None:
        """Writes all intermediate values of a running trial, by step, at once instead of one by one.

        What the trial had before it was given back to the queue is replaced.
        """
        with _create_scoped_session(self.scoped_session, True) as session:
            state: Any = TrialModel.find_or_raise_by_id(trial_id, session).state
            self.check_trial_is_updatable(trial_id, state)
            session.query(TrialIntermediateValueModel).filter_by(trial_id=trial_id).delete()
            for step, value in values.items():
                told, kind = TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
                row = {"intermediate_value": told, "intermediate_value_type": kind}
                session.add(TrialIntermediateValueModel(trial_id=trial_id, step=step, **row))

    def now(self) -> float:
        """Seconds since 1970 on the database's clock, the one clock that all machines share."""
        with self.engine.connect() as connection:
            now: datetime = connection.execute(select(func.now())).scalar_one()
        return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()

    def fail_stale(self, study: optuna.Study) -> None:
        """Fails the trials of a study that show no sign of life any more, and queues their settings again.

        As `optuna.storages.fail_stale_trials`, which warns each time that it is experimental.
        """
        for trial_id in self._get_stale_trial_ids(study._study_id):
            with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process was faster
                self.set_trial_state_values(trial_id, TrialState.FAIL)
                retry(study, self.get_trial(trial_id))

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        """As Optuna's, which holds a lock on the study; but a trial is tried again by one other at most.

        Of all who notice that a worker has died the first queues its setting; the others get that trial.
        """
        history = template_trial.system_attrs.get(_HISTORY) if template_trial else None
        query = (
            select(TrialModel)
            .join(TrialSystemAttributeModel)
            .where(TrialModel.study_id == study_id, TrialSystemAttributeModel.key == _HISTORY)
            .where(TrialSystemAttributeModel.value_json == json.dumps(history))
        )
        there = session.execute(query).scalars().first() if history else None
        return there or super()._get_prepared_new_trial(study_id, template_trial, session)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        self._begin_heartbeats(study_id)
        return super()._get_stale_trial_ids(study_id)

    def _begin_heartbeats(self, study_id: int) -> None:
        """Gives running trials without any heartbeat their first: a worker may have died before it could."""
        query = text(
            "SELECT trial_id FROM trials WHERE study_id = :study AND state = 'RUNNING' "
            "AND trial_id NOT IN (SELECT trial_id FROM trial_heartbeats)"
        )
        with self.engine.connect() as connection:
            silent = connection.execute(query, {"study": study_id}).scalars().all()
        for trial_id in silent:
            self.record_heartbeat(trial_id)

    def _connect(self, dialect: Any, record: Any, cargs: Any, cparams: Any) -> Any:
        """Connects; within `patience` it tries again and again."""
        end, pause = time.monotonic() + self.patience, PAUSES[0]
        while True:
            try:
                return dialect.connect(*cargs, **cparams)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, PAUSES[1])


def storage_of(study: optuna.Study) -> Storage:
    """The storage that a study lives in.

    Raises:
        BadStorage: It was not opened by `open_storage`, so no other machine can join.
    """
    storage: Any = study._storage
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, Storage):
        raise BadStorage("This study is in memory: other machines cannot join it.")
    return backend


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queues the setting of a trial whose worker has died once more, at most RETRIES times in all.

    Its kind goes with it; what the dead worker had begun to write does not. A trial that had no setting yet
    leaves nothing to retry.
    """
    history = [*trial.system_attrs.get(_HISTORY, []), trial.number]
    fixed = {k: v for k, v in trial.system_attrs.items() if k == "fixed_params"}
    if len(history) > RETRIES or not (trial.params or fixed):
        return
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={k: v for k, v in trial.user_attrs.items() if k == "kind"},
            system_attrs={**fixed, "failed_trial": history[0], _HISTORY: history},
        )
    )


def open_storage(
    url: str, beat: int = 15, grace: int = 45, wait: float = 5.0, patience: float = 0.0
) -> Storage:
    """Opens the database of an address, and makes its tables where there are none.

    Args:
        url: Of SQLAlchemy's form; postgres:// and postgresql:// mean the driver that is shipped.
        beat: Seconds between two signs of life of a running trial.
        grace: Seconds without one after which its setting is tried elsewhere.
        wait: Seconds within which the server must answer now.
        patience: Seconds for which it is waited for when it is lost later on.

    Raises:
        BadStorage: It cannot be used, or a worker would be given up between two signs of life.
    """
    if not 0 < beat < grace:
        raise BadStorage(
            "The seconds between two signs of life must be above 0 and fewer than those without one after "
            f"which a trial is given up, got {beat} and {grace}."
        )
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise BadStorage("A SQLite database in memory cannot be shared: name a file, as sqlite:///lab.db.")
    begin = time.monotonic()
    for attempt in range(TRIES):
        try:
            storage = _opened(parsed, beat, grace, wait)
        except (SQLAlchemyError, optuna.exceptions.OptunaError, *_ODD) as error:
            why, again = _reason(parsed, error), _tables_race(error)
        else:
            storage.patience = patience
            return storage
        if not again or time.monotonic() - begin > wait:
            break
        time.sleep(0.1 * (attempt + 1))
    raise BadStorage(why)


def _opened(url: URL, beat: int, grace: int, wait: float) -> Storage:
    storage = Storage(url.render_as_string(hide_password=False), beat, grace, _engine_options(url, wait))
    if url.get_backend_name() == "sqlite":
        with storage.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("PRAGMA user_version = 1")  # fails now where nothing can be written
            connection.rollback()
        _set_up_sqlite(storage.engine)
    return storage


def _engine_options(url: URL, wait: float) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": wait}}
    options: dict[str, Any] = {"pool_pre_ping": True, "hide_parameters": True}
    if url.get_driver_name() == "psycopg" and "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": max(2, round(wait))}
    return options


def _set_up_sqlite(engine: Engine) -> None:
    """Write-ahead log, and transactions that lock from their first statement on.

    Python's driver begins a transaction only when something is written, so that two workers could both read
    that a trial is waiting and both take it; begun with IMMEDIATE, the second waits for the first.
    """

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY)}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()


def _tables_race(error: BaseException) -> bool:
    """Whether another process has just made, or makes, what this one wanted to make."""
    words = str(error).lower()
    return any(w in words for w in ("already exists", "duplicate key", "unique constraint", "no such table"))


def _reason(url: URL, error: BaseException) -> str:
    """Why a database cannot be opened, in one sentence."""
    if isinstance(error, NoSuchModuleError):
        return f"There is no kind of database {url.drivername!r} here: sqlite and postgresql are known."
    if isinstance(error, ImportError):
        return f"{url.drivername} needs a driver that is not installed here; sqlite and postgresql have one."
    if isinstance(error, RuntimeError) or "revision" in str(error):
        return (
            f"The database {_name(url)} was made by another version of Optuna than {optuna.__version__}: "
            "take another database, or the same version on all machines."
        )
    words = _plain_words(url, error)
    return _sqlite_reason(url, words) if url.get_backend_name() == "sqlite" else _server_reason(url, words)


def _name(url: URL) -> str:
    return shown(url.render_as_string(hide_password=False))


def _sqlite_reason(url: URL, words: str) -> str:
    path = Path(url.database or "").absolute()
    if "not a database" in words or "malformed" in words:
        return f"{path} is no SQLite database."
    if "locked" in words:
        return f"{path} is locked by another program: close that, or wait."
    if "readonly" in words or "read-only" in words:
        return f"{path} cannot be written: it, or its folder, is read-only."
    if "unable to open" in words and not path.parent.is_dir():
        return f"There is no folder {path.parent} for the database {path.name}."
    if "unable to open" in words:
        return f"{path} cannot be opened: it is a folder, or this user may not write there."
    return f"{path} cannot be used: {words}."


def _server_reason(url: URL, words: str) -> str:
    at = f"{url.host or url.query.get('host') or 'this machine'}"
    at += f", port {url.port}" if url.port else ""
    known = {
        r'database ".*" does not exist|unknown database': f"has no database {url.database!r}",
        "password|role|access denied|authentication|pg_hba": "does not take this user or password",
        _SILENT: "does not answer",
    }
    for signs, what in known.items():
        if re.search(signs, words, re.IGNORECASE):
            return f"The server at {at} {what}."
    return f"The server at {at} cannot be used: {words}."


def _plain_words(url: URL, error: BaseException) -> str:
    """What a driver says, as one line without the password."""
    origin = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    words = " ".join(str(getattr(origin, "orig", None) or origin).split())[:300]
    values = [url.password, *(v for k, v in url.query.items() if _secret(k))]
    for value in values:
        if value:
            words = words.replace(str(value), "***")
    return words.rstrip(".")


def is_trouble(error: BaseException) -> bool:
    """Whether an error comes from a database that was lost, locked or restarted."""
    known = optuna.exceptions.StorageInternalError, DBAPIError
    return any(isinstance(link, known) for link in _chain(error))


def trouble(storage: RDBStorage, error: BaseException) -> str:
    """The sentence for such an error."""
    found = [link for link in _chain(error) if isinstance(link, DBAPIError)]
    return _reason(storage.engine.url, found[0] if found else error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it; not what it was raised in spite of, as by `raise ... from None`."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@contextmanager
def in_words(storage: RDBStorage) -> Iterator[None]:
    """Turns the errors of a database that is lost within into a sentence.

    Raises:
        BadStorage: That sentence.
    """
    try:
        yield
    except Exception as error:
        if not is_trouble(error):
            raise
        raise BadStorage(trouble(storage, error)) from None


def is_absent(url: str) -> bool:
    """Whether an address is of a SQLite file that is not there yet; opening it would make it.

    Raises:
        BadStorage: It is no address.
    """
    parsed = _parsed(url)
    return parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists()


def studies(storage: BaseStorage, having: str = "") -> list[str]:
    """The names of the studies in a database, the newest first; only those with an attribute, if given."""
    known = sorted(storage.get_all_studies(), key=lambda study: study._study_id, reverse=True)
    return [study.study_name for study in known if not having or having in study.user_attrs]
