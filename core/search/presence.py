"""Who works on a study: every worker's entry beside it, and the table of them."""

from __future__ import annotations

import platform
import threading
from collections import Counter
from contextlib import suppress

import optuna
import pandas as pd
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from core.search import trials as kept
from core.store import storage_of

WORKING, WAITING, LOST, STOPPED = "working", "waiting", "lost", "stopped"
WORKER, STOP, MACHINE = "worker:", "stop:", "machine"
_TROUBLE = optuna.exceptions.StorageInternalError, SQLAlchemyError


class Presence:
    """A worker's entry beside the study, renewed with every beat by a thread.

    Each worker has a key of its own, so that none overwrites another's.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study, self._storage = study, storage_of(study)
        self._state, self._begin, self._seen = "", 0.0, 0.0
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="presence", daemon=True)

    def __enter__(self) -> Presence:
        kept.set_entry(self._study, STOP + kept.machine(), False)
        self._begin = self._storage.now()
        self.say(WAITING)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self.say(STOPPED)

    def say(self, state: str) -> None:
        """Writes the state where it is a new one."""
        if state != self._state:
            self._state = state
            self._write()

    def _beat(self) -> None:
        while not self._over.wait(self._storage.heartbeat_interval):
            self._write()
            with suppress(*_TROUBLE):
                self._storage.fail_stale(self._study)  # others may die during a long trial of this one
            self._storage.remove_session()

    def _write(self) -> None:
        """Writes what there is to say; a database that is away for a while does not matter here."""
        with self._lock, suppress(*_TROUBLE):
            entry = {"state": self._state, "begin": self._begin, "seen": self._storage.now()}
            kept.set_entry(
                self._study, WORKER + kept.machine(), entry | {"python": platform.python_version()}
            )


def workers(study: optuna.Study) -> pd.DataFrame:
    """Who works, or has worked, on a study.

    Returns:
        One row for each process, in the order of their coming: machine (host and process id), state
        ("working", "waiting" for trials that run elsewhere, "stopped", or "lost": no sign of life for longer
        than the grace period), trials (ended by it), failed, seen (seconds ago), begin (pandas time, UTC),
        python (version).
    """
    storage, attrs = storage_of(study), kept.entries(study)
    now, grace = storage.now(), storage.grace_period
    counts: Counter[tuple[str, TrialState]] = Counter(
        (trial.user_attrs.get(MACHINE, ""), trial.state) for trial in study.get_trials(deepcopy=False)
    )
    rows = []
    for key in sorted((k for k in attrs if k.startswith(WORKER)), key=lambda k: float(attrs[k]["begin"])):
        entry, machine = attrs[key], key.removeprefix(WORKER)
        seen = max(0.0, now - entry["seen"])
        gone = entry["state"] != STOPPED and grace is not None and seen > grace
        rows.append(
            {
                "machine": machine,
                "state": LOST if gone else entry["state"],
                "trials": counts[machine, TrialState.COMPLETE],
                "failed": counts[machine, TrialState.FAIL],
                "seen": seen,
                "begin": pd.Timestamp(entry["begin"], unit="s"),
                "python": entry["python"],
            }
        )
    columns = ["machine", "state", "trials", "failed", "seen", "begin", "python"]
    return pd.DataFrame(rows, columns=columns)


def asked_to_stop(study: optuna.Study) -> bool:
    """Whether this process was asked to."""
    return bool(kept.entries(study).get(STOP + kept.machine()))


def stop_worker(study: optuna.Study, machine: str) -> None:
    """Asks one worker to stop after the trial that it is at; `core.search.trials.set_stopped` asks all."""
    kept.set_entry(study, STOP + machine, True)
