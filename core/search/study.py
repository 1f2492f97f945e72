"""A search in this process: a round is asked for, trained as one, told; then the best are tried again."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import Trial, TrialState

from core.compare import measure
from core.config import Config
from core.registry import OutOfRange
from core.search import trials as kept
from core.search.asking import as_loss, tried
from core.search.ending import Check, best_trials, chosen, verdict
from core.search.objective import Outcome, ceilings, curves, outcomes, thinned
from core.search.plan import FRESH, TRIALS, BadPlan, Plan, starts
from core.search.sampler import ASKING, ask, note_draw
from core.search.space import Range

if TYPE_CHECKING:
    from core.engine import Training
    from core.engine.stack import Stack
    from core.history import Record

CHECKED = 3  # settings that are tried again in the end


class Repeated(Exception):
    """A trial's runs are made by another one, which was asked for at the same moment."""


@dataclass(eq=False)
class Round:
    """Settings that are being trained as one.

    Attributes:
        trials: The trials, by their place in the training.
        training: One run for each of them and each seed, the seeds of a trial together.
        seconds: Time spent on it so far.
    """

    trials: list[Trial]
    values: list[dict[str, float]]
    training: Training
    seconds: float = 0.0


class Search:
    """A search on its way; advanced like any training, by one thread, and read by any other (`core.jobs`).

    When its trials have ended it trains the best three again, on seeds that it has not seen: `checks`.
    Any thread may make it longer.

    Args:
        plan: What is searched.
        study: To go on with; a new one in memory when None.

    Attributes:
        plan: As given; `extend` makes it longer.
        study: Optuna's, which holds all that is known.
        checks: What the fresh seeds said, the best first; None until then, empty where all trials diverged.
        seconds: Time spent training and asking.
        pace: Updates a second at the most, as a job takes it; None for as many as it can.
        shared: Whether others train its trials.
    """

    pace: float | None = None
    shared = False

    def __init__(self, plan: Plan, study: optuna.Study | None = None) -> None:
        self.plan = plan
        self.study = study if study is not None else kept.create(plan)
        self.checks: tuple[Check, ...] | None = None
        self.seconds = 0.0
        self._round: Round | None = None
        self._check: Training | None = None
        self._checking: list[int] = []
        self._checked_at = 0  # the target when the check began
        self._made = self._told_here = 0
        self._turn = threading.RLock()
        self._length = threading.Lock()  # held where the target and the checks must agree, never for long

    @property
    def target(self) -> int:
        """How many trials are to end."""
        return kept.target(self.study)

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return kept.complete(self.study)

    @property
    def searching(self) -> bool:
        """Whether trials are left to try."""
        return self.ended < self.target

    @property
    def active(self) -> bool:
        """Whether anything is left to do."""
        return self.searching or self.checks is None

    @property
    def configs(self) -> list[Config]:
        """Of the runs that go on now."""
        training = self._training
        return training.configs if training else []

    @property
    def done(self) -> int:
        """Updates made so far."""
        training = self._training
        return self._made + (training.done if training else 0)

    @property
    def steps(self) -> int:
        """About how many updates it makes in all, from its trials so far; all seeds count as one.

        What it has taken over is not among them, as its updates were made elsewhere.
        """
        plan, told = self.plan, self._told_here
        each = self.done / told if told else plan.updates / plan.budget / plan.seeds
        return max(self.done + 1, round(each * (told + self.target - self.ended + CHECKED)))

    @property
    def left(self) -> float:
        """Seconds until it has ended, as its trials so far tell; nan before the first has."""
        if not self._told_here or not self.seconds:
            return float("nan")
        checks = 0.0 if self.checks is not None else CHECKED * FRESH / self.plan.seeds
        training, begun = self._training, 0.0  # in trials, as all counts here
        if training and training.steps:
            size = len(self._round.trials) if self._round else checks
            begun = size * training.done / training.steps
        made = self._told_here + begun
        return self.seconds / made * max(self.target - self.ended + checks - begun, 0.0)

    @property
    def rounds(self) -> tuple[int, int]:
        """The round that it is at, from 1, and how many there will be."""
        size = self.plan.batch
        return -(-min(self.ended + 1, self.target) // size), -(-self.target // size)

    @property
    def best(self) -> Config:
        """The setting to take: the best on fresh seeds; until those have run, the best of the trials.

        Raises:
            BadPlan: No trial has ended yet, or all have diverged.
        """
        number = (
            self.checks[0].number if self.checks else next(iter(best_trials(self.table(), self.plan)), None)
        )
        if number is None:
            raise BadPlan("There is no best setting: no trial has completed without diverging.")
        return self.config(number)

    def table(self) -> pd.DataFrame:
        """One row for each trial; see `core.search.trials.table`."""
        return kept.table(self.study, self.plan.space)

    def values(self, number: int) -> dict[str, float]:
        """The setting of a trial."""
        frame = self.table().set_index("number")
        return {word: float(frame.loc[number, word]) for word in self.plan.space.words}

    def config(self, number: int) -> Config:
        """The config of a trial, with the plan's own seed."""
        return self.plan.configs(self.values(number))[0]

    def curves(self) -> dict[int, Any]:
        """The learning curves of the trials that have ended; see `core.search.trials.learning_curves`."""
        return kept.learning_curves(self.study)

    def running(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """The learning curves of the trials that go on, by number: epochs and losses so far."""
        now = self._round
        if now is None:
            return {}
        epochs = self.plan.config.epochs
        drawn = curves(measure(now.training, len(now.trials), self.plan.seeds, epochs))
        keep = thinned(epochs + 1)
        return {t.number: (keep, drawn[k][keep]) for k, t in enumerate(now.trials)}

    def enqueue(self, values: Mapping[str, float]) -> None:
        """Queues a setting of a person's own; the search becomes longer where it has no room for it.

        Raises:
            BadPlan: A number is missing or outside its range.
            OutOfRange: There would be too many trials.
        """
        kept.fits(self.plan, values)
        with self._length:
            TRIALS.check("trials", max(kept.target(self.study), kept.counted(self.study) + 1))
            kept.enqueue(self.study, self.plan, values)
            self._lengthen(max(kept.target(self.study), kept.counted(self.study)))

    def command(self, name: str) -> None:
        """What else is to be done when its job is paused, resumed or stopped: nothing here."""

    def extend(self, trials: int) -> None:
        """Makes the search longer by `trials`, 0 or more; the best are checked anew in the end.

        In a space that has fewer settings left it becomes as long as there are.

        Raises:
            OutOfRange: There would be too many trials, or fewer; or every setting has been tried.
        """
        with self._length:
            target, most = kept.target(self.study), kept.most(self.study, self.plan)
            if trials > 0 and most <= target:
                raise OutOfRange(self.plan.spent)
            longer = int(min(TRIALS.check("trials", target + trials), max(target, most)))
            if longer < target or trials < 0:
                raise OutOfRange(f"trials must be 0 or more, got {trials}.")
            kept.fill(self.study, self.plan, longer)
            self._lengthen(longer)

    def _lengthen(self, target: int) -> None:
        self.plan = replace(self.plan, trials=target)
        kept.set_target(self.study, target)
        if self.checks is not None:
            kept.set_result(self.study, "", {})
        self.checks = None

    def moved(self, plan: Plan, more: int = 1) -> Search:
        """A new search in other ranges that takes over what this one has tried inside them.

        It makes the trials that are left of this one; one that has met its target makes `more`.
        """
        study = kept.create(plan, queue=False)
        old, open_ = self.plan.space, (TrialState.RUNNING, TrialState.WAITING)
        taken = kept.take_over(self.study, study, plan, old)
        again = kept.queue_again(self.study, study, plan, old, open_)
        left = max(self.target - self.ended, len(again)) or more
        plan = replace(plan, trials=int(min(len(taken) + left, kept.most(study, plan))))
        kept.fill(study, plan, plan.trials)
        known = tried(study.get_trials(deepcopy=False), plan)
        fresh = [(k, v) for k, v in starts(plan)[len(taken) :] if plan.runs(v) not in known]
        for kind, values in fresh[: plan.trials - kept.counted(study)]:
            kept.enqueue(study, plan, values, kind)
        kept.copy_marks(self.study, study, taken | again)
        parent = {"name": self.study.study_name, "taken": len(taken), "tried": self.ended}
        study.set_user_attr("parent", parent)
        kept.set_target(study, plan.trials)
        return Search(plan, study)

    def advance(self, steps: int | None = None) -> list[Record]:
        """Asks for a round, or trains for about `steps` updates, all its runs together, or tells it."""
        with self._turn:  # the job before this one may be in its last turn still
            begin = time.perf_counter()
            if self._round is None and self._check is None:
                self._begin()
            else:
                self._train(steps)
            self.seconds += time.perf_counter() - begin
        return []

    def place(self, run: int) -> tuple[Stack, int]:
        """The stack and seat of a run that goes on now.

        Raises:
            ValueError: No round is being trained.
        """
        if (training := self._training) is None:
            raise ValueError("No round is being trained now.")
        return training.place(run)

    @property
    def _training(self) -> Training | None:
        return self._round.training if self._round else self._check

    def _begin(self) -> None:
        """Asks for the next round, or begins the check of the best."""
        from core.engine import Training

        self._checked_at = self.target
        count = min(self.plan.batch, self._checked_at - self.ended)
        if count > 0:
            space = self.plan.space
            asked = [ask(self.study, space.distributions()) for _ in range(count)]
            values = [space.read(trial.params) for trial in asked]
            configs = [config for v in values for config in self.plan.configs(v)]
            self._round = Round(asked, values, Training(configs))
            return
        self._checking = best_trials(self.table(), self.plan)[:CHECKED]
        if not self._checking:
            self._conclude(())
            return
        fresh = self.plan.fresh_seeds
        configs = [c for n in self._checking for c in self.plan.configs(self.values(n), fresh)]
        self._check = Training(configs)

    def _train(self, steps: int | None) -> None:
        begin = time.perf_counter()
        training = self._training
        assert training is not None
        outdated = self._round is None and self.target != self._checked_at  # longer since the check began
        if training.active and not outdated:
            training.advance(None if steps is None else max(1, steps))
        if self._round:
            self._round.seconds += time.perf_counter() - begin
        if training.active and not outdated:
            return
        if self._round:
            self._tell(self._round)
        elif not outdated:
            results = self._judged(training, len(self._checking), FRESH)
            self._conclude(chosen(results, self._checking))
        self._made += training.done
        self._round = self._check = None

    def _conclude(self, checks: tuple[Check, ...]) -> None:
        """Keeps what the fresh seeds said, unless the search was made longer meanwhile."""
        with self._length:
            if self.target != self._checked_at:
                return
            self.checks = checks
        kept.set_result(self.study, verdict(self.plan, self.table(), checks), self._told_fresh(checks))

    def _told_fresh(self, checks: tuple[Check, ...]) -> dict[str, Any]:
        """What the fresh seeds said, as it stands in the study."""
        loss = {str(check.number): check.loss for check in checks}
        return {
            "fresh_seeds": list(self.plan.fresh_seeds),
            "fresh_loss": {n: mean.mean for n, mean in loss.items()},
            "fresh_interval": {n: [mean.low, mean.high] for n, mean in loss.items()},
            "fresh_losses": {str(check.number): check.losses.tolist() for check in checks},
        }

    def _tell(self, ended: Round) -> None:
        plan = self.plan
        results = self._judged(ended.training, len(ended.trials), plan.seeds)
        reasons: Any = getattr(self.study.sampler, "reasons", {})
        for trial, outcome in zip(ended.trials, results, strict=True):
            reason = reasons.get(trial.number)
            kept.write(trial, outcome, ended.seconds / len(ended.trials), reason)
            self.study.tell(trial, as_loss(kept.value(outcome), plan.exact))
            self._told_here += 1

    def _judged(self, training: Training, settings: int, seeds: int) -> list[Outcome]:
        measures = measure(training, settings, seeds, self.plan.config.epochs)
        return outcomes(measures, ceilings(training, seeds), not self.plan.exact)


def evaluate(plan: Plan, values: Mapping[str, float]) -> Outcome:
    """Trains one setting on all seeds of a plan, as one stack; what a worker does for a trial."""
    from core.engine import Training

    training = Training(plan.configs(values))
    while training.active:
        training.advance()
    measures = measure(training, 1, plan.seeds, plan.config.epochs)
    return outcomes(measures, ceilings(training, plan.seeds), not plan.exact)[0]


def objective(plan: Plan, study: optuna.Study) -> Any:
    """The function of one trial that `study.optimize` calls: it trains the setting and writes its outcome."""

    def evaluated(trial: Trial) -> float:
        with ASKING:
            params = {r.word: _suggested(trial, r) for r in plan.space.ranges}
        note_draw(trial)
        if kept.repeats(study, trial.number, plan):
            raise Repeated
        begin = time.perf_counter()
        outcome = evaluate(plan, plan.space.read(params))
        reasons: Any = getattr(study.sampler, "reasons", {})
        kept.write(trial, outcome, time.perf_counter() - begin, reasons.get(trial.number))
        return as_loss(kept.value(outcome), plan.exact)

    return evaluated


def _suggested(trial: Trial, r: Range) -> float:
    if r.integer:
        return trial.suggest_int(r.word, math.ceil(r.low), math.floor(r.high), log=r.scale == "log")
    return trial.suggest_float(r.word, r.low, r.high, log=r.scale == "log")
