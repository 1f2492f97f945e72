"""Background jobs: training that goes on while pages come and go.

One manager per process, which `manager` gives. A few worker threads advance the jobs in turns of some
milliseconds, so that many paced or paused jobs share one slot; beyond a number of jobs newcomers wait in the
order of their coming.
Nothing here knows of screens: pages call in, workers never call out.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config import Config
from core.optimizers import Optimizer
from core.registry import Interval

if TYPE_CHECKING:
    from core.engine import Training

QUEUED, RUNNING, PAUSED = "queued", "running", "paused"
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"

TURN = 0.02  # seconds of training between two looks at commands
log = logging.getLogger(__name__)


class Refused(ValueError):
    """A job that is not taken on; the text says which limit it meets and what would fit."""


@dataclass(frozen=True)
class Limits:
    """What jobs may cost.

    Attributes:
        slots: Worker threads.
        shared: Jobs that train in turns; others wait.
        queue: Jobs that may wait.
        per_owner: Jobs of one owner that are not over; starting one more stops the oldest.
        updates: Updates of a job, all runs together.
        seconds: Training time of a job.
        kept: Jobs that are over and still remembered.
        grace: Seconds without a watcher who is connected after which a job is stopped.
    """

    slots: int = 2
    shared: int = 8
    queue: int = 32
    per_owner: int = 4
    updates: int = 20_000_000
    seconds: float = 3600.0
    kept: int = 64
    grace: float = 20.0


HOSTED = Limits(slots=1, shared=4, queue=16, per_owner=2, updates=1_000_000, seconds=120.0, kept=24)


def limits() -> Limits:
    """The limits of this process: the hosted ones when MOMENTUM_LAB_HOSTED is set."""
    return HOSTED if os.environ.get("MOMENTUM_LAB_HOSTED", "") not in ("", "0") else Limits()


class Job:
    """Some runs in the background. Commands take effect between two steps; anyone may look at any time.

    Attributes:
        id: Its name in links; who knows it may watch.
        configs: One for each run.
        owner: Who may command it.
        state: "queued", "running", "paused", "finished", "stopped" or "failed".
        training: The runs; None until its first turn.
        reason: Why it ended early, as a sentence.
        seconds: Time spent training.
        subject: What its runs are for, if anything: the page's own affair.
    """

    def __init__(
        self,
        manager: Manager,
        configs: Sequence[Config],
        owner: str,
        pace: float | None,
        make: Callable[[], Training] | None,
        seconds: float | None = None,
        subject: object = None,
    ) -> None:
        self.id = secrets.token_urlsafe(9)
        self.configs = tuple(configs)
        self.owner = owner
        self.state = QUEUED
        self.training: Training | None = None
        self.reason = ""
        self.seconds = 0.0
        self.submitted_at = time.monotonic()
        self.watchers: dict[str, float] = {}  # when each was last known to be connected
        self.seen_at = manager.clock()  # when somebody last watched
        self._manager = manager
        self.subject = subject
        self._make = make
        self._least = seconds
        self._turning = threading.Lock()
        self._owed = 0
        self._changes: list[tuple[int, str, float]] = []
        self._rate = 1000.0  # steps a second, measured
        self._due = 0.0
        self.pace = pace

    @property
    def over(self) -> bool:
        """Whether it will train no more."""
        return self.state in (FINISHED, STOPPED, FAILED)

    @property
    def steps(self) -> int:
        """Updates planned, counted once for each stack of runs; what `done` counts towards."""
        return self.training.steps if self.training else 0

    @property
    def done(self) -> int:
        """Updates made so far, counted once for each stack."""
        return self.training.done if self.training else 0

    @property
    def rate(self) -> float:
        """Updates a second that its last turns made, the waiting of a paced job left out."""
        return self._rate

    @property
    def left(self) -> float:
        """Seconds until it is done, as far as its pace tells."""
        rate = self._rate if self.pace is None else min(self._rate, self.pace)
        return (self.steps - self.done) / rate

    @property
    def position(self) -> int:
        """Its place in the queue, from 1; 0 when it is not waiting."""
        return self._manager.position(self)

    def pause(self) -> None:
        """Holds it where it is; it keeps no slot."""
        self._command(lambda: self._set(PAUSED, (QUEUED, RUNNING)))

    def resume(self) -> None:
        """Lets a paused job go on; it waits behind those who wait already."""

        def wait_again() -> None:
            if self.state == PAUSED:
                self._manager.to_the_end(self)
                self.state = QUEUED

        self._command(wait_again)

    def step(self, steps: int = 1) -> None:
        """Makes single updates of a paused job; pauses it first if it runs."""

        def owe() -> None:
            self._set(PAUSED, (QUEUED, RUNNING))
            self._owed += steps if self.state == PAUSED else 0

        self._command(owe)

    def stop(self, reason: str = "") -> None:
        """Ends it; what it has is kept."""

        def end() -> None:
            if not self.over:
                self.state, self.reason = STOPPED, reason

        self._command(end)

    def change(self, name: str, value: float, run: int = 0) -> None:
        """Sets a hyperparameter of a run from its next step on.

        Raises:
            OutOfRange: The value is not one that the setting takes.
            ValueError: The rule has no such setting.
        """
        rule = self.configs[run].optimizer
        record = rule.settings().get(name)
        if not isinstance(record, Interval):
            numbers = [key for key, known in rule.settings().items() if isinstance(known, Interval)]
            raise ValueError(f"{name} is no number of {rule.name}; it has {', '.join(numbers)}.")
        record.check(name, value)
        self._command(lambda: self._changes.append((run, name, value)))

    def fork(self, rules: Sequence[Optimizer], owner: str, run: int = 0, subject: object = None) -> Job:
        """A new job in which one run goes on from where it is now, once with each rule; this one goes on too.

        Raises:
            ValueError: The run has not begun, or has ended.
            Refused: Too many jobs are waiting.
        """
        with self._turning:
            if self.training is None:
                raise ValueError("Only a run that goes on can be forked; this one has not begun.")
            branches = self.training.fork(run, rules)
        return self._manager.submit(
            branches.configs, owner, pace=self.pace, training=branches, subject=subject
        )

    def wait(self, seconds: float = 0.5) -> None:
        """Waits, not for long, until the last commands have taken effect."""
        with self._manager.changed:
            self._manager.changed.wait_for(self._quiet, timeout=seconds)

    def set_pace(self, pace: float | None) -> None:
        """Sets how many updates a second it makes at the most; None for as many as it can."""
        self._command(lambda: setattr(self, "pace", pace))

    def attach(self, watcher: str) -> None:
        """Counts a watcher in, until it has not been connected for a while: see `Manager`."""
        with self._manager.changed:
            self.watchers[watcher] = self.seen_at = self._manager.clock()

    def _quiet(self) -> bool:
        if self.state == RUNNING:
            return True
        return not (self._wants_turn(0.0) or self.id in self._manager.busy)

    def _set(self, state: str, among: tuple[str, ...]) -> None:
        if self.state in among:
            self.state = state

    def _command(self, act: Callable[[], None]) -> None:
        with self._manager.changed:
            act()
            self._due = 0.0
            self._manager.changed.notify_all()

    def _wants_turn(self, now: float) -> bool:
        if self.state == RUNNING:
            return self._due <= now
        return self.state == PAUSED and (
            self._owed > 0 or (bool(self._changes) and self.training is not None)
        )

    def _turn(self) -> None:
        """Trains for a few milliseconds; the worker has the job to itself but does not hold the lock."""
        with self._turning:
            training = self._prepared()
            while self._changes:
                training.change(*self._changes.pop(0))
            begin, before = time.perf_counter(), training.done
            steps = self._share()
            while training.active and not self.over and (made := training.done - before) < steps:
                training.advance(min(steps - made, max(1, int(self._rate * TURN))))
            made, spent = training.done - before, time.perf_counter() - begin
        if made:
            rate = made / max(spent, 1e-6)
            self._rate += (0.3 if self.seconds else 1.0) * (rate - self._rate)
            if self.pace is not None and self.state == RUNNING:
                self._due = max(self._due, time.monotonic() - TURN) + made / self.pace
        self.seconds += spent

    def _prepared(self) -> Training:
        if self.training is None:
            from core.engine import Training

            self.training = self._make() if self._make else Training(self.configs)
        if self._least:
            self.pace, self._least = self.training.steps / self._least, None
        return self.training

    def _share(self) -> int:
        """Updates to make in this turn."""
        if self.state == PAUSED:
            steps, self._owed = self._owed, 0
            return steps
        if not self.seconds:
            return 1  # how long an update takes is not known yet
        fastest = self._rate if self.pace is None else min(self._rate, self.pace)
        return max(1, int(fastest * TURN))


class Manager:
    """Some jobs, the threads that train them, and one that looks who watches.

    A job is stopped when none of its watchers has been connected for `limits.grace` seconds, or when nobody
    has watched it for as long. Who is back in time counts as if it had never been away.

    Args:
        limits: What they may cost.
        connected: Whether a watcher is there, by the name that `Job.attach` was given; asked about once a
            second, on a thread of the manager's own and without its lock. Everybody is by default.
        clock: Tells how long nobody has watched, in seconds.

    Attributes:
        connected: As given; may be set at any time.
    """

    def __init__(
        self,
        limits: Limits,
        connected: Callable[[str], bool] = lambda watcher: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.connected = connected
        self.clock = clock
        self.changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self.busy: set[str] = set()
        self._closing = False
        names = [f"training-{k}" for k in range(limits.slots)]
        self._workers = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        for worker in self._workers:
            worker.start()
        self._reaper = threading.Thread(target=self._reap, name="reaper", daemon=True)
        self._reaper.start()
        atexit.register(self.close)

    def submit(
        self,
        configs: Sequence[Config],
        owner: str = "",
        *,
        pace: float | None = None,
        paused: bool = False,
        seconds: float | None = None,
        make: Callable[[], Training] | None = None,
        training: Training | None = None,
        updates: int | None = None,
        subject: object = None,
    ) -> Job:
        """Takes on a job.

        Args:
            configs: One for each run.
            owner: Who may command it.
            pace: Updates a second at the most.
            paused: Whether it waits for `step` or `resume`.
            seconds: How long it takes at least; it sets the pace.
            make: Makes the training in the job's first turn; of `configs` when None.
            training: One that is made already; no other job may be at it: see `at_work`.
            updates: How many it will make in all; of `configs` when None.
            subject: Kept with the job for whoever shows it.

        Raises:
            Refused: It is too large, or too many are waiting.
        """
        updates = sum(c.steps for c in configs) if updates is None else updates
        if updates > self.limits.updates:
            raise Refused(
                f"This would make {updates:,} updates; the limit is {self.limits.updates:,}. "
                "Fewer epochs, or a larger batch size, make it fit."
            )
        job = Job(self, configs, owner, pace, make, seconds, subject)
        job.training = training
        with self.changed:
            mine = sorted(
                (j for j in self._jobs.values() if j.owner == owner and not j.over),
                key=lambda j: j.submitted_at,
            )
            replaced = mine[: max(0, len(mine) + 1 - self.limits.per_owner)]
            if sum(j.state == QUEUED for j in self._jobs.values() if j not in replaced) >= self.limits.queue:
                raise Refused(f"{self.limits.queue} runs are waiting already; try again in a minute.")
            for old in replaced:
                old.state, old.reason = STOPPED, "A newer run took its place."
            if paused:
                job.state = PAUSED
            self._jobs[job.id] = job
            self._forget()
            self.changed.notify_all()
        return job

    def get(self, job_id: str) -> Job | None:
        """The job of that name, if it is still remembered."""
        with self.changed:
            return self._jobs.get(job_id)

    def at_work(self, training: object) -> Job | None:
        """The job that goes on with a training; None when there is none."""
        with self.changed:
            found = (job for job in self._jobs.values() if job.training is training and not job.over)
            return next(found, None)

    @property
    def active(self) -> int:
        """Jobs that are running or waiting to."""
        with self.changed:
            return sum(job.state in (RUNNING, QUEUED) for job in self._jobs.values())

    def position(self, job: Job) -> int:
        """The place of a job in the queue, from 1; 0 when it is not waiting."""
        with self.changed:
            waiting = [j.id for j in self._jobs.values() if j.state == QUEUED]
        return waiting.index(job.id) + 1 if job.id in waiting else 0

    def to_the_end(self, job: Job) -> None:
        """Lets a job wait, or take its next turn, behind all others; the caller holds the lock."""
        self._jobs[job.id] = self._jobs.pop(job.id)

    def close(self) -> None:
        """Stops all jobs and waits for the workers."""
        with self.changed:
            self._closing = True
            for job in self._jobs.values():
                if not job.over:
                    job.state, job.reason = STOPPED, "Stopped because the app was closed."
            self.changed.notify_all()
        for thread in (*self._workers, self._reaper):
            thread.join(timeout=10)
        atexit.unregister(self.close)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job._turn()
                self._judge(job)
            except Exception as error:
                log.exception("A job failed.")
                job.state, job.reason = FAILED, f"Training stopped with an error: {error}"
            with self.changed:
                self.busy.discard(job.id)
                self.changed.notify_all()
            if job.over:
                gc.collect()

    def _next(self) -> Job | None:
        """The job whose turn it is; waits for one. None when the manager closes."""
        with self.changed:
            while not self._closing:
                self._admit()
                now = time.monotonic()
                for job in self._jobs.values():
                    if job.id not in self.busy and job._wants_turn(now):
                        self.busy.add(job.id)
                        self.to_the_end(job)
                        return job
                dues = [j._due for j in self._jobs.values() if j.state == RUNNING and j.id not in self.busy]
                self.changed.wait(max(0.001, min(dues) - now) if dues else None)
        return None

    def _admit(self) -> None:
        running = sum(job.state == RUNNING for job in self._jobs.values())
        for job in list(self._jobs.values()):
            if job.state == QUEUED and running < self.limits.shared:
                job.state = RUNNING
                running += 1

    def _judge(self, job: Job) -> None:
        """Ends a job that has nothing left to do or has had its time."""
        with self.changed:
            if job.training is not None and not job.training.active and not job.over:
                job.state = FINISHED
            elif job.state == RUNNING and job.seconds > self.limits.seconds:
                job.state = STOPPED
                job.reason = f"Stopped after {self.limits.seconds:g} seconds of training, the limit here."

    def look(self) -> None:
        """Counts out the watchers that have gone, and stops what nobody has watched for a while."""
        with self.changed:
            names = {name for job in self._jobs.values() for name in job.watchers}
        here = {name for name in names if self.connected(name)}
        with self.changed:
            now = self.clock()
            for job in self._jobs.values():
                job.watchers |= dict.fromkeys(job.watchers.keys() & here, now)
                job.seen_at = max([job.seen_at, *job.watchers.values()])
                for name in [n for n, seen in job.watchers.items() if now - seen > self.limits.grace]:
                    del job.watchers[name]
                if not job.over and now - job.seen_at > self.limits.grace:
                    job.stop("Stopped because nobody was watching.")

    def _reap(self) -> None:
        due = time.monotonic()
        while not self._closing:
            due = max(due + min(1.0, self.limits.grace / 4), time.monotonic())
            with self.changed:
                if self.changed.wait_for(lambda: self._closing, timeout=due - time.monotonic()):
                    return
            try:
                self.look()
            except Exception:
                log.exception("Who watches could not be found out.")

    def _forget(self) -> None:
        over = [job for job in self._jobs.values() if job.over and not job.watchers]
        for job in over[: max(0, len(over) - self.limits.kept)]:
            del self._jobs[job.id]


_making = threading.Lock()
_manager: Manager | None = None


def manager(connected: Callable[[str], bool] | None = None) -> Manager:
    """The one manager of this process, made when it is first asked for; any thread may ask.

    It is a plain value of this module, so nothing that empties a cache ends it. The first call also loads
    what training needs, on a thread of its own, so that the first job need not wait for it.

    Args:
        connected: As for `Manager`; the last that was given counts, and None leaves it as it is.
    """
    global _manager
    with _making:
        if _manager is None:
            threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
            _manager = Manager(limits())
        if connected is not None:
            _manager.connected = connected
        return _manager


def warm_up() -> None:
    """Loads what training needs, and leaves each worker one thread of torch: more get in each other's way."""
    import torch

    import core.engine  # noqa: F401

    torch.set_num_threads(1)
