"""Works on a study from any machine: python -m core worker --study=NAME.

The database is named by MOMENTUM_LAB_DB, or by --storage, which other users of the machine can read in the
list of processes, with the password in it. Ends by itself when enough trials have ended, or when the page
stops it. The first interrupt (Ctrl-C) lets the trial end, the second, or a termination, gives it back to the
queue at once; the exit code is 0 then, and 2 where something is wrong that the last line names.
"""

from __future__ import annotations

import argparse
import atexit
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from core.jobs import warm_up
from core.store import VARIABLE, BadStorage, default_url, open_storage, shown

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from core.search.plan import Plan


class Stopping:
    """What signals ask of a worker."""

    def __init__(self) -> None:
        self.asked = False
        self._training = False

    def listen(self) -> None:
        """Hears SIGINT and SIGTERM from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def interruptible(self, objective: Callable[[Trial], float]) -> Callable[[Trial], float]:
        """An objective that a signal ends in its midst."""

        def tried(trial: Trial) -> float:
            self._training = True
            try:
                return objective(trial)
            finally:
                self._training = False

        return tried

    def _heard(self, number: int, frame: FrameType | None) -> None:
        from core.search.shared import GiveBack

        again, self.asked = self.asked, True
        if again or (number == signal.SIGTERM and self._training):
            raise GiveBack


def command(study: str) -> str:
    """What to type on any machine so that it works on a study; the database comes from MOMENTUM_LAB_DB."""
    return shlex.join(["python", "-m", "core", "worker", f"--study={study}"])


def start(study: str) -> subprocess.Popen[bytes]:
    """Starts a worker beside this process, which ends it when it ends itself.

    Raises:
        OSError: No process could be started.
    """
    words = [sys.executable, "-m", "core", "worker", f"--study={study}"]
    worker = subprocess.Popen(words, cwd=Path(__file__).parents[1], stdout=subprocess.DEVNULL)
    atexit.register(_end, worker)
    return worker


def _end(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(5)


def options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("--storage", help=f"the database; better in {VARIABLE}, where others cannot read it")
    parser.add_argument("--study", required=True, help="the name of the study")
    parser.add_argument(
        "--target", type=int, help="trials that are to have ended; the study's own if not given"
    )
    parser.add_argument("--beat", type=int, default=15, help="seconds between two signs of life")
    parser.add_argument("--grace", type=int, default=45, help="seconds without one until a trial is given up")


def main(given: argparse.Namespace) -> int:
    """Runs a worker to its end; gives the exit code."""
    from core.search.plan import BadPlan
    from core.search.shared import GiveBack

    try:
        return _work(given)
    except GiveBack:
        return 0
    except (BadStorage, BadPlan) as error:
        print(error, file=sys.stderr)
        return 2


def _work(given: argparse.Namespace) -> int:
    import optuna

    from core.search import trials as kept
    from core.search.shared import PATIENCE, open_study, work
    from core.search.study import objective

    stopping = Stopping()
    stopping.listen()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = given.storage or default_url()
    study = open_study(open_storage(url, given.beat, given.grace, patience=PATIENCE), given.study)
    warm_up()
    plan = kept.plan_of(study)
    print(f"{kept.machine()} works on {given.study!r} in {shown(url)}", flush=True)
    ended = work(
        study,
        given.target,
        lambda: stopping.asked,
        lambda trial: print(line(trial, plan), flush=True),
        stopping.interruptible(objective(plan, study)),
    )
    print(f"{ended} trials here, {kept.complete(study)} of {kept.target(study)} in all", flush=True)
    return 0


def line(trial: FrozenTrial, plan: Plan) -> str:
    """A trial in one line: number, setting, loss, seconds."""
    values = " ".join(f"{word}={value:.4g}" for word, value in plan.space.read(trial.params).items())
    lost = trial.user_attrs["diverged"]
    loss = f"diverged on {lost} of {plan.seeds} seeds" if lost else f"loss {trial.value:.4g}"
    return f"trial {trial.number}: {values} {loss}, {trial.user_attrs['seconds']:.2f} s"
