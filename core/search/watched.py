"""A study in a database as a page sees it: others train its trials, this process looks on."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from optuna.trial import TrialState

from core.search import trials as kept
from core.search.presence import WAITING, WORKING, workers
from core.search.shared import open_study, watch
from core.search.study import Search
from core.store import in_words, open_storage

if TYPE_CHECKING:
    from core.history import Record

SILENT = "No worker is connected yet: run the command above on any machine that reaches the database."


@dataclass(frozen=True, eq=False)
class Look:
    """What a look at the database saw.

    Attributes:
        trials: The study's table.
        workers: The table of `core.search.shared.workers`.
        curves: Learning curves of the trials that have ended, by number.
        target: Trials that are to end.
        stopped: Whether the workers were asked to stop.
    """

    trials: pd.DataFrame
    workers: pd.DataFrame
    curves: dict[int, Any]
    target: int
    stopped: bool


class Watched(Search):
    """A search that workers on any machine do; advanced like any training, but by looking (`core.jobs`).

    Everything that is read from it is of the last look, so a page never waits for the database. When the
    target is met it trains the check of the best itself, as any search does.

    Args:
        study: In a database; see `core.search.shared.open_study`.

    Attributes:
        trouble: A sentence while the database does not answer.
        pace: Looks a second.
    """

    pace = 2.0
    shared = True

    def __init__(self, study: optuna.Study) -> None:
        super().__init__(kept.plan_of(study), study)
        self.trouble = ""
        self._looks = 0
        self.look = self._looked()
        self.plan = replace(self.plan, trials=self.look.target)

    @property
    def name(self) -> str:
        """The name of the study in its database."""
        return self.study.study_name

    @property
    def target(self) -> int:
        return self.look.target

    @property
    def ended(self) -> int:
        return int(self.look.trials["score"].notna().sum())

    @property
    def done(self) -> int:
        return super().done + self._looks

    @property
    def alive(self) -> list[str]:
        """The workers that are at work, or wait for others."""
        known = self.look.workers
        return [str(name) for name in known.loc[known["state"].isin([WORKING, WAITING]), "machine"]]

    @property
    def left(self) -> float:
        """Seconds until the target is met if the workers go on as so far; nan while that is not known."""
        if not self.searching:
            return 0.0
        ended = self.look.trials.dropna(subset=["score", "begin", "end"])
        ended = ended[ended["machine"].isin(self.alive)]
        if len(ended) < 2:
            return float("nan")
        took = (ended["end"].max() - ended["begin"].min()).total_seconds()
        return float(took / len(ended) * (self.target - self.ended))

    def command(self, name: str) -> None:
        """Asks all workers to stop at "stop" and "pause", and lets them go on at "resume"."""
        kept.set_stopped(self.study, name != "resume")

    def table(self) -> pd.DataFrame:
        return self.look.trials

    def curves(self) -> dict[int, Any]:
        return self.look.curves

    def advance(self, steps: int | None = None) -> list[Record]:
        """Looks once; or, when the target is met, trains the check."""
        if not self.searching:
            return super().advance(steps)
        begin = time.perf_counter()
        self.trouble = watch(self.study) or ""
        if not self.trouble:
            with self._length:  # an older look must not take the place of the one after `extend`
                self.look = self._looked()
        self._looks += 1
        self.seconds += time.perf_counter() - begin
        return []

    def _lengthen(self, target: int) -> None:
        super()._lengthen(target)
        self.look = self._looked()

    def _looked(self) -> Look:
        study = self.study
        return Look(
            kept.table(study, self.plan.space),
            workers(study),
            kept.learning_curves(study),
            kept.target(study),
            kept.stopped(study),
        )


def share(found: Search, url: str, name: str = "") -> Watched:
    """Puts a search into a database, with all its trials, so that workers can go on with it.

    Nothing is done to the search itself, which may be going on: once this has returned, all that it had is in
    the database, and it can be stopped. What is raised leaves it as it was, and nothing of it there.

    Args:
        found: A search of this process. A trial that it is training now is trained anew by the workers.
        url: Of the database.
        name: Of the study there; one is made up when it is empty.

    Raises:
        BadPlan: The name is taken, or the data is a table of one's own.
        BadStorage: The database does not answer, or does not any more.
    """
    storage = open_storage(url)
    name = name or f"{found.plan.config.dataset.name}-{secrets.token_hex(3)}"
    with in_words(storage):
        study = kept.create(replace(found.plan, trials=found.target), storage, name, queue=False)
        try:
            _copy(found, study)
            return Watched(open_study(storage, name))
        except Exception:
            with suppress(Exception):  # a database that was lost cannot be tidied up
                optuna.delete_study(study_name=name, storage=storage)
            raise


def _copy(found: Search, study: optuna.Study) -> None:
    """Writes what a search has at one moment, its trials and marks, into an empty study of its plan."""
    now = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    now.add_trials(found.study.get_trials())
    whole = [t for t in now.get_trials() if t.state != TrialState.RUNNING]
    study.add_trials(whole)
    numbers = {t.number: number for number, t in enumerate(whole)}
    numbers |= kept.queue_again(now, study, found.plan, found.plan.space, (TrialState.RUNNING,))
    kept.copy_marks(found.study, study, numbers)


def watched(url: str, name: str) -> Watched:
    """A study in a database, to look on.

    Raises:
        BadPlan: There is none of that name, it is not of this app, or of other data.
        BadStorage: The database does not answer.
    """
    return Watched(open_study(open_storage(url), name))
