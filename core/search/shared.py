"""A study that many processes work on: each asks for a trial, trains it and tells it, until enough have.

Nothing but the database holds them together. A trial that its worker has asked for is trained only if all
trials that run elsewhere and it can end without there being too many: each becomes visible before it looks
around, so of two that compete at least one sees the other and steps back. A worker that dies stops giving
signs of life; whoever notices first fails its trial and queues the setting again. One that was only asleep
finds its trial failed, and leaves it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from core.registry import short
from core.search import trials as kept
from core.search.plan import BadPlan, Plan, to_text
from core.search.presence import (
    MACHINE,
    WAITING,
    WORKING,
    Presence,
    asked_to_stop,
    stop_worker,
    workers,
)
from core.search.study import Repeated
from core.search.study import objective as objective_of
from core.store import (
    Storage,
    in_words,
    is_absent,
    is_trouble,
    open_storage,
    retry,
    storage_of,
    studies,
    trouble,
)

__all__ = [
    "GiveBack",
    "create_or_open",
    "finish",
    "listed",
    "open_study",
    "settle",
    "stop_worker",
    "watch",
    "work",
    "workers",
]

FAULTS = 3  # trials that may fail one after the other by a fault of ours
PATIENCE = 60.0  # seconds for which a database that was lost is waited for
MAKING = 10.0  # seconds that another process may take to make a study
PAUSES = 0.1, 1.0  # seconds between two looks, the first and the longest
_ERROR = "error"

Objective = Callable[[Trial], float]


class GiveBack(BaseException):
    """Raised in the midst of a trial, as by a signal: the trial goes back to the queue and `work` returns."""


class _Left(BaseException):
    """Leaves `study.optimize` in the midst of a trial, without a word about the trial."""


def create_or_open(plan: Plan, storage: Storage, name: str | None = None) -> optuna.Study:
    """The study of that name, which is made when there is none; any number of processes may try at once.

    A plan with more trials than the study has makes it longer.

    Raises:
        BadPlan: The study that is there searches something else.
        BadStorage: The database was lost.
    """
    with in_words(storage):
        return _extended(plan, _created(plan, storage, name))


def _created(plan: Plan, storage: Storage, name: str | None) -> optuna.Study:
    if name is None or name not in studies(storage):
        try:
            name = kept.create(plan, storage, name).study_name
        except BadPlan:
            if name is None or name not in studies(storage):  # not because another process was faster
                raise
    return open_study(storage, name)


def _extended(plan: Plan, study: optuna.Study) -> optuna.Study:
    there = kept.plan_of(study)
    differ = [word for word, mine, theirs in _compared(plan, there) if mine != theirs]
    if differ:
        raise BadPlan(
            f"The study {study.study_name!r} has another {' and '.join(differ)}: choose another name."
        )
    target = kept.target(study)
    if (longer := int(min(plan.trials, max(target, kept.most(study, there))))) > target:
        kept.set_target(study, longer)  # first: others who look on now see that it is done
        kept.fill(study, there, longer)
    return study


def _compared(one: Plan, other: Plan) -> Iterable[tuple[str, Any, Any]]:
    ours, theirs = (json.loads(to_text(plan)) for plan in (one, other))
    return ((word, ours[word], theirs[word]) for word in ("config", "space", "seeds", "sampler", "exact"))


def listed(url: str) -> list[str]:
    """The names of this app's studies in a database, the newest first; none while there is no such file.

    Raises:
        BadStorage: The database cannot be used.
    """
    if is_absent(url):
        return []
    storage = open_storage(url)
    try:
        with in_words(storage):
            return studies(storage, kept.PLAN)
    finally:
        storage.engine.dispose()


def open_study(storage: Storage, name: str) -> optuna.Study:
    """The study of that name, with the sampler that its plan names.

    Optuna's own models get a seed of their own, or all workers would draw the same.

    Raises:
        BadPlan: There is none, it is not of this app, or this machine has other data.
        BadStorage: The database was lost.
    """
    with in_words(storage):
        if name not in (known := studies(storage)):
            near = get_close_matches(name, known, n=3) or known[:3]
            raise BadPlan(
                f"There is no study named {short(name)!r}; there is {', '.join(near) or 'none at all'}."
            )
        return _opened(storage, name)


def _opened(storage: Storage, name: str) -> optuna.Study:
    study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())
    end = time.monotonic() + MAKING
    while _just_begun(study) and time.monotonic() < end:
        time.sleep(PAUSES[0])
    plan = kept.plan_of(study)
    own = replace(plan, seed=secrets.randbits(31)) if plan.sampler in ("gp", "tpe") else plan
    study.sampler = kept.sampler_of(own)
    return study


def _just_begun(study: optuna.Study) -> bool:
    """Whether a study of this app's has no plan yet: another process is making it."""
    attrs = kept.entries(study)
    return kept.PLAN not in attrs and (not attrs or kept.TARGET in attrs)


def finish(plan: Plan, url: str, name: str | None = None) -> optuna.Study:
    """Works on a study in a database, with whoever else does, until its target is met.

    Raises:
        BadPlan: See `create_or_open`; or somebody stopped the study.
        BadStorage: See `core.store.open_storage`.
    """
    study = create_or_open(plan, open_storage(url, patience=PATIENCE), name)
    kept.set_stopped(study, False)
    work(study)
    ended, wanted = kept.complete(study), kept.target(study)
    if ended < wanted:
        raise BadPlan(f"The study was stopped: {ended} of {wanted} trials have completed.")
    return study


def work(
    study: optuna.Study,
    target: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_trial: Callable[[FrozenTrial], object] | None = None,
    objective: Objective | None = None,
) -> int:
    """Tries settings until enough trials have ended or somebody wants it to stop.

    The target may grow meanwhile. While all that is left runs elsewhere it waits: others may die.

    Args:
        study: From `create_or_open` or `open_study`.
        target: Trials that are to have ended, by all workers together; the study's own target when None.
        should_stop: Asked between trials.
        on_trial: Called with every trial that this worker has ended.
        objective: What a trial is worth; by default its setting is trained as the plan says.

    Returns:
        How many trials this worker has ended.

    Raises:
        BadStorage: The database was lost for too long.
        BadPlan: This machine has other data than the study, or an earlier version made it.
    """
    with in_words(storage_of(study)):
        if kept.is_earlier(study):
            raise BadPlan(
                f"The study {study.study_name!r} was made by an earlier version of this app: look at it on "
                "the Tune page, download it (Use it, Study), open the file and share it anew."
            )
    tried = objective or objective_of(kept.plan_of(study), study)
    with in_words(storage_of(study)), Presence(study) as presence:
        return _Worker(study, tried, target).run(presence, should_stop, on_trial or (lambda trial: None))


class _Attempt:
    """One trial, as `study.optimize` calls it.

    Attributes:
        trial: What was asked for; None until then.
        fault: What went wrong in the objective itself.
        trouble: What went wrong with the database.
        repeated: Whether another worker makes its runs, so that nothing was trained.
    """

    def __init__(self, objective: Objective, target: int) -> None:
        self.trial: Trial | None = None
        self.fault: Exception | None = None
        self.trouble: Exception | None = None
        self.repeated = False
        self._objective, self._target = objective, target

    def __call__(self, trial: Trial) -> float:
        self.trial = trial
        try:
            self._take_seat(trial)
            return self._objective(trial)
        except Repeated:
            trial.set_user_attr(kept.DROPPED, True)
            self.repeated = True
            raise
        except Exception as error:
            self._explain(trial, error)
            raise

    def _take_seat(self, trial: Trial) -> None:
        known = trial.study.get_trials(deepcopy=False)
        if sum(_counts(t) for t in known if t.number != trial.number) >= self._target:
            raise _Left
        trial.set_user_attr(MACHINE, kept.machine())

    def _explain(self, trial: Trial, error: Exception) -> None:
        if isinstance(error, UpdateFinishedTrialError):
            raise _Left from error
        if is_trouble(error):
            self.trouble = error
            raise _Left from error
        self.fault = error
        trial.set_user_attr(_ERROR, f"{type(error).__name__}: {error}"[:500])


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial has ended well, or may."""
    return trial.state in (TrialState.COMPLETE, TrialState.RUNNING)


def _parent(trial: FrozenTrial) -> int | None:
    """The number of the failed trial that this one tries again."""
    history = trial.system_attrs.get("retry_history")
    return history[-1] if history else None


class _Worker:
    """The loop of one process: it looks for room, tries a trial, and begins again."""

    def __init__(self, study: optuna.Study, objective: Objective, target: int | None) -> None:
        self._study, self._objective, self._target = study, objective, target
        self._storage = storage_of(study)
        self._held: _Attempt | None = None  # its trial may still be ours
        self._faults = 0

    def run(
        self,
        presence: Presence,
        should_stop: Callable[[], bool],
        on_trial: Callable[[FrozenTrial], object],
    ) -> int:
        """Works until it is over; gives how many trials it has ended."""
        ended, pause, lost = 0, PAUSES[0], None
        while not should_stop():
            trial = None
            try:
                if (target := self._target_with_room()) is None:
                    break
                presence.say(WORKING if target else WAITING)
                trial = self._tried(target) if target else None
                lost = None
            except GiveBack:
                self._give_back()
                break
            except Exception as error:
                lost = lost or time.monotonic()
                if not is_trouble(error) or time.monotonic() - lost > self._storage.patience:
                    raise
            if trial is not None:
                ended, pause = ended + 1, PAUSES[0]
                on_trial(trial)
            elif self._faults == 0:
                time.sleep(pause * (0.5 + secrets.randbelow(1000) / 1000))
                pause = min(1.5 * pause, PAUSES[1])
        return ended

    def _target_with_room(self) -> int | None:
        """The target if one more trial may run; 0 if it must wait; None when it is over."""
        self._give_back()
        if kept.stopped(self._study) or asked_to_stop(self._study):
            return None
        target = kept.target(self._study) if self._target is None else self._target
        if kept.complete(self._study) >= target:
            return None
        settle(self._study)
        return target if sum(map(_counts, self._study.get_trials(deepcopy=False))) < target else 0

    def _tried(self, target: int) -> FrozenTrial | None:
        """A trial that has ended here; None when it did not, by no fault of ours that counts."""
        self._held = attempt = _Attempt(self._objective, target)
        try:
            self._study.optimize(attempt, n_trials=1)
        except _Left:
            pass
        except Exception as error:
            if is_trouble(error):
                raise
            if attempt.repeated:
                self._held = None
                return None
            if attempt.fault is None and not self._taken_over(attempt):
                raise
            self._held = None
            self._faults += attempt.fault is not None
            if self._faults >= FAULTS:
                raise
            return None
        else:
            return self._told(attempt)
        if attempt.trouble:
            raise attempt.trouble
        return None

    def _told(self, attempt: _Attempt) -> FrozenTrial:
        self._held, self._faults = None, 0
        assert attempt.trial is not None
        return self._study.get_trials(deepcopy=False)[attempt.trial.number]

    def _taken_over(self, attempt: _Attempt) -> bool:
        """Whether others have failed the trial, because this process slept."""
        trial = attempt.trial
        return trial is not None and self._storage.get_trial(trial._trial_id).state == TrialState.FAIL

    def _give_back(self) -> None:
        """Puts a trial that is still held back into the queue, unless it never had a setting."""
        if self._held is None or (trial := self._held.trial) is None:
            return
        with suppress(UpdateFinishedTrialError):
            now = self._storage.get_trial(trial._trial_id)
            if now.params or "fixed_params" in now.system_attrs:
                self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
            else:
                self._storage.set_trial_user_attr(trial._trial_id, kept.DROPPED, True)
                self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        self._held = None


def settle(study: optuna.Study) -> None:
    """Fails the trials whose workers have died and queues their settings again; those too whose settings
    were not, because who failed them died at that moment.
    """
    storage_of(study).fail_stale(study)
    known = study.get_trials(deepcopy=False)
    retried = {_parent(trial) for trial in known}
    for trial in known:
        explained = trial.user_attrs.keys() & {_ERROR, kept.DROPPED}
        if trial.state == TrialState.FAIL and trial.number not in retried and not explained:
            retry(study, trial)


def watch(study: optuna.Study) -> str | None:
    """What a page calls while it looks on: as `settle`; a sentence when the database does not answer."""
    try:
        settle(study)
    except Exception as error:
        if not is_trouble(error):
            raise
        return trouble(storage_of(study), error)
    return None
