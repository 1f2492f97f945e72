"""A study as a file: a SQLite database that Optuna and its dashboard open, and that this app opens again.

A file that comes back may come from anybody. It is looked at through a connection that cannot write, its
schema must be that of plain tables, and the search is built anew from what has been checked, part by part.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from core.search import trials as kept
from core.search.checked import MANY, ODD, Held, brief, rebuilt, settled
from core.search.plan import BadPlan
from core.search.study import Search

MOST = 10_000_000  # bytes of a file
ROWS = 40_000  # of each table
THINGS = 200  # of a schema

_HEADER = b"SQLite format 3\0"
_PLAIN = re.compile(r'CREATE (UNIQUE )?INDEX [\w"]+ ON [\w"]+ \([\w", ]+\)')
_TABLES = frozenset({*models.BaseModel.metadata.tables, "alembic_version"})
_READING = *ODD, sqlite3.Error, SQLAlchemyError, optuna.exceptions.OptunaError

_NOT_OURS = "The file must be a study that was saved here, a SQLite database; it is {}."
_DAMAGED = "The file is damaged: save the study again and take that file."
_VERSION = (
    f"The file was made by another version of Optuna than the one here, {optuna.__version__}: "
    "save the study again with this one."
)


def to_bytes(study: optuna.Study) -> bytes:
    """The study itself, as a SQLite file that Optuna and its dashboard open.

    A trial that runs now is queued in it with its setting, so that all keep their numbers; one that has no
    setting yet has failed in it, and is marked as dropped.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            _write(study, connection)
        return path.read_bytes()


def _write(study: optuna.Study, connection: sqlite3.Connection) -> None:
    storage = RDBStorage("sqlite://", {"creator": lambda: connection, "poolclass": StaticPool})
    try:
        copy = optuna.create_study(storage=storage, study_name=study.study_name)
        for key, attr in study.user_attrs.items():
            if not kept.is_entry(key):
                copy.set_user_attr(key, attr)
        for key, attr in kept.entries(study).items():
            if key in (kept.TARGET, kept.MARKS, kept.METRICS):
                kept.set_entry(copy, key, attr)
        copy.add_trials([settled(trial) for trial in study.get_trials()])
    finally:
        storage.remove_session()
        storage.engine.dispose()


def from_bytes(data: bytes) -> Search:
    """The search that a file holds, in memory: to look at, or to go on with.

    It asks for the very points that the saved one would have asked for, unless Optuna's GP or TPE asks: these
    draw from numbers that no file holds. What its best were on fresh seeds is not in the file either.

    Args:
        data: What `to_bytes` gave, or anything else.

    Raises:
        BadPlan: It is no study of this app's, or one with something in it that cannot be.
    """
    if len(data) > MOST:
        raise BadPlan(f"The file must have at most {MOST // 10**6} MB, got {len(data) / 1e6:.1f} MB.")
    if not data.startswith(_HEADER):
        raise BadPlan(_NOT_OURS.format("something else" if data else "empty"))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        path.write_bytes(data)
        try:
            with closing(_opened(path)) as connection:
                _look(connection, len(data))
        except BadPlan:
            raise
        except _READING:
            raise BadPlan(_DAMAGED) from None
        held = _read(path)
    return rebuilt(held)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, runs no function for a schema, and holds no value beyond the file's."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST)
    for pragma in ("trusted_schema = OFF", "query_only = ON", "ignore_check_constraints = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _look(connection: sqlite3.Connection, size: int) -> None:
    """Passes if a database is sound, has Optuna's tables and nothing but tables, and holds one study."""
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    if len(schema) > THINGS:
        raise BadPlan(_NOT_OURS.format("a database of another program"))
    for kind, name, sql in schema:
        if not _is_plain(connection, kind, name, sql):
            thing = kind if kind in ("table", "index", "view", "trigger") else "entry"
            raise BadPlan(f"The file must have plain tables only, got the {thing} {brief(name)}.")
    pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if pages * page != size or connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise BadPlan(_DAMAGED)
    names = {name for kind, name, _ in schema if kind == "table"}
    if "studies" not in names:
        raise BadPlan(_NOT_OURS.format("a database of another program"))
    if not names >= _TABLES:
        raise BadPlan(_VERSION)
    for table in sorted(_TABLES):
        (rows,) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        if rows > ROWS:
            raise BadPlan(f"The file must have at most {ROWS} rows of each kind, got {rows} of {table}.")
    _look_at_rows(connection)


def _is_plain(connection: sqlite3.Connection, kind: Any, name: Any, sql: Any) -> bool:
    """Whether something of a schema only holds rows: no view, trigger, module, or column that is computed.

    A default counts as computed: rows that are too short have it, each as often as they are read.
    """
    if kind == "index":
        return sql is None or (isinstance(sql, str) and _PLAIN.fullmatch(" ".join(sql.split())) is not None)
    if kind != "table" or not isinstance(sql, str) or not sql.upper().startswith("CREATE TABLE "):
        return False
    query = "SELECT count(*) FROM pragma_table_xinfo(?) WHERE hidden OR dflt_value IS NOT NULL"
    return bool(connection.execute(query, (name,)).fetchone() == (0,))


def _look_at_rows(connection: sqlite3.Connection) -> None:
    """Passes if a database is of the version that is here, and has one study, of not too many trials."""
    tables = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    version = connection.execute("SELECT schema_version FROM version_info").fetchall()
    if tables != [(_tables_version(),)] or version != [(models.SCHEMA_VERSION,)]:
        raise BadPlan(_VERSION)
    names = [row[0] for row in connection.execute("SELECT study_name FROM studies ORDER BY study_id")]
    if len(names) != 1:
        known = f"{len(names)}: {', '.join(map(brief, names[:3]))}" if names else "none"
        raise BadPlan(f"The file must hold one study, got {known}{', …' if len(names) > 3 else ''}.")
    (trials,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    if trials > MANY:
        raise BadPlan(f"The study must have at most {MANY} trials, got {trials}.")


@cache
def _tables_version() -> str:
    """The version of the tables that the Optuna here makes."""
    storage = RDBStorage("sqlite://")
    try:
        return storage.get_head_version()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _read(path: Path) -> Held:
    """What Optuna finds in a file.

    Raises:
        BadPlan: It finds something else than its schema says.
    """
    options = {"creator": lambda: _opened(path), "poolclass": NullPool}
    try:
        storage = RDBStorage("sqlite://", options, skip_compatibility_check=True, skip_table_creation=True)
    except _READING:
        raise BadPlan(_DAMAGED) from None
    try:
        study = optuna.load_study(study_name=None, storage=storage, sampler=RandomSampler())
        return Held(study.study_name, study.directions, kept.entries(study), study.get_trials())
    except _READING:
        raise BadPlan(_DAMAGED) from None
    finally:
        storage.remove_session()
        storage.engine.dispose()
