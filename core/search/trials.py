"""A study of Optuna's as this app keeps it: its plan, its trials as a table, and how one is written.

Everything that anyone later wants to know of a trial is an attribute of it, written once before its value is
told; so a study can go on, be shown and be judged on any machine that reads its storage.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, Trial, TrialState

from core.labels import spoken
from core.registry import short
from core.search.asking import COUNTED, FIXED, SpaceSampler, score, setting, tried
from core.search.objective import Outcome
from core.search.plan import BadPlan, Plan, from_text, sequence, starts, to_text
from core.search.sampler import Reason
from core.search.space import Range, Space
from core.store import Storage, is_trouble
from core.versions import versions

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


KINDS = {
    "default": "page settings",
    "nearest": "nearest to page settings",
    "start": "space-filling design",
    "model": "suggested by the sampler",
    "random": "drawn at random",
    "hand": "added manually",
    "again": "repeated manually",
    "before": "earlier search",
}
QUEUED, RUNNING, FINISHED, DIVERGED, FAILED = "queued", "running", "finished", "diverged", "failed"
STATES = {
    QUEUED: "pending",
    RUNNING: "running",
    FINISHED: "completed",
    DIVERGED: "diverged",
    FAILED: "failed",
}
DROPPED = "dropped"  # marks a trial that was asked for by mistake and never trained
PLAN = "plan"  # the attribute that all studies of this app have, and no others
TARGET, MARKS, _STOP = "target", "marks", "stop"
RESULT = "fresh_seeds", "fresh_loss", "fresh_interval", "fresh_losses"
METRICS = "study:metric_names"  # Optuna's word, whose own function warns that it is experimental

optuna.logging.set_verbosity(optuna.logging.WARNING)


def create(
    plan: Plan, storage: BaseStorage | None = None, name: str | None = None, queue: bool = True
) -> optuna.Study:
    """A study for a plan, with its first settings queued where that is asked; in memory without a storage.

    Raises:
        BadPlan: A table of one's own cannot be shared; or there is a study of that name already.
    """
    text = _plan_text(plan, needed=storage is not None)
    try:
        study = optuna.create_study(
            storage=storage, study_name=name or _made_up(plan), sampler=sampler_of(plan)
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise BadPlan(f"There is a study named {short(str(name))!r} already: choose another name.") from None
    set_target(study, plan.budget)
    for kind, values in starts(plan) if queue else []:
        enqueue(study, plan, values, kind)
    describe(study, plan)
    study.set_user_attr(PLAN, text)  # last: who opens a study that has a plan finds all of it
    return study


def _made_up(plan: Plan) -> str:
    """A name that says what a study is of, and is no other's."""
    config = plan.config
    parts = config.dataset.name, config.model.name, config.optimizer.name, secrets.token_hex(3)
    return "-".join(parts)


def _plan_text(plan: Plan, needed: bool) -> str:
    try:
        return to_text(plan)
    except BadPlan:
        if needed:
            raise
        return ""


def plan_of(study: optuna.Study) -> Plan:
    """The plan that a study was made for.

    Raises:
        BadPlan: See `core.search.plan.from_text`.
    """
    return from_text(study.user_attrs.get(PLAN, ""))


def sampler_of(plan: Plan) -> SpaceSampler:
    """The sampler that a plan names."""
    return SpaceSampler(plan)


def describe(study: optuna.Study, plan: Plan) -> None:
    """Writes what a study is of and what its values are, for people who open it with Optuna's own tools."""
    for key, value in {**_named(plan), "config": plan.config.words()}.items():
        study.set_user_attr(key, value)
    set_entry(study, METRICS, ["validation loss" if plan.config.valid_rows else "training loss"])


def entries(study: optuna.Study) -> dict[str, Any]:
    """What the app itself keeps beside a study, where Optuna's dashboard does not show it.

    In the studies of earlier versions it stands among the user's attributes.
    """
    return {**study.user_attrs, **study._storage.get_study_system_attrs(study._study_id)}


def is_earlier(study: optuna.Study) -> bool:
    """Whether a version of the app before 1.0 made a study: its trials have other parameters than now."""
    return "momentum_lab" not in study.user_attrs


def is_entry(key: str) -> bool:
    """Whether an attribute of a study of an earlier version is what the app itself keeps."""
    return key in (TARGET, MARKS, _STOP) or key.startswith(("worker:", "stop:"))


def set_entry(study: optuna.Study, key: str, value: Any) -> None:
    """Keeps something beside a study; see `entries`."""
    study._storage.set_study_system_attr(study._study_id, key, value)


def set_result(study: optuna.Study, verdict: str, fresh: Mapping[str, Any]) -> None:
    """Writes the verdict and what the fresh seeds said into a study; empty while it goes on again.

    Where the database of a shared study does not answer, the study lacks it, and nothing else happens.
    """
    try:
        for key in RESULT:
            study.set_user_attr(key, _finite(fresh.get(key, {})))
        study.set_user_attr("verdict", verdict)
    except Exception as error:
        if not is_trouble(error):
            raise


def _finite(value: Any) -> Any:
    """What JSON has words for, with null for what is no number."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def target(study: optuna.Study) -> int:
    """How many trials are to end."""
    return int(entries(study)[TARGET])


def set_target(study: optuna.Study, trials: int) -> None:
    """Sets how many trials are to end."""
    set_entry(study, TARGET, int(trials))


def stopped(study: optuna.Study) -> bool:
    """Whether somebody asked all workers to stop."""
    return bool(entries(study).get(_STOP, False))


def set_stopped(study: optuna.Study, stop: bool) -> None:
    """Asks all workers to stop after the trial that they are at, or lets them go on."""
    set_entry(study, _STOP, stop)


def marks(study: optuna.Study) -> dict[int, dict[str, Any]]:
    """What a person wrote beside trials: {number: {"star": bool, "note": str}}."""
    return {int(k): v for k, v in entries(study).get(MARKS, {}).items()}


def copy_marks(old: optuna.Study, study: optuna.Study, numbers: Mapping[int, int]) -> None:
    """Writes the stars and notes of a study beside the same trials of another, by their numbers there."""
    known = {str(numbers[n]): mark for n, mark in marks(old).items() if n in numbers}
    if known:
        set_entry(study, MARKS, known)


def set_mark(study: optuna.Study, number: int, star: bool, note: str) -> None:
    """Writes a star and a note beside a trial; a finished trial itself never changes."""
    known = {str(k): v for k, v in marks(study).items()}
    set_entry(study, MARKS, known | {str(number): {"star": bool(star), "note": note[:500]}})


def enqueue(study: optuna.Study, plan: Plan, values: Mapping[str, float], kind: str = "hand") -> None:
    """Queues a setting: it is tried before the sampler is asked again.

    A person may ask for runs that are made already: that trial is of the kind "again".

    Args:
        study: Where it is queued.
        plan: Of the study.
        values: The setting.
        kind: A key of KINDS.

    Raises:
        BadPlan: A number is missing or outside its range.
    """
    fits(plan, values)
    if kind == "hand" and plan.runs(values) in tried(study.get_trials(deepcopy=False), plan):
        kind = "again"
    params = {r.word: int(values[r.word]) if r.integer else values[r.word] for r in plan.space.ranges}
    study.enqueue_trial(params, user_attrs={"kind": kind})


def fits(plan: Plan, values: Mapping[str, float]) -> None:
    """Passes if a setting has every number of the space, in its range.

    Raises:
        BadPlan: A number is missing or outside its range.
    """
    for r in plan.space.ranges:
        if r.word not in values or not r.holds(values[r.word]):
            given = "nothing" if r.word not in values else f"{values[r.word]:g}"
            raise BadPlan(
                f"{spoken(r.word)} must be in [{r.low:g}, {r.high:g}], the search range, got {given}."
            )


def fill(study: optuna.Study, plan: Plan, trials: int) -> None:
    """Queues the next points of a Sobol search until `trials` have ended, run or are queued.

    The other samplers are asked for what comes after their first settings.
    """
    missing = trials - counted(study)
    if plan.sampler == "sobol" and missing > 0:
        there = study.get_trials(deepcopy=False)
        known = sum(_of_sequence(trial) for trial in there)
        for values in sequence(plan, missing, tried(there, plan), known):
            enqueue(study, plan, values, "start")


def repeats(study: optuna.Study, number: int, plan: Plan) -> bool:
    """Whether another trial that has ended or runs makes the runs of one that the sampler was asked for.

    What was queued may repeat: a person asked for it, or its worker has died.
    """
    trials = study.get_trials(deepcopy=False)
    mine = trials[number]
    if FIXED in mine.system_attrs or "kind" in mine.user_attrs:
        return False
    others = (t for t in trials if t.number != number and t.state != TrialState.WAITING)
    return plan.runs(setting(mine, plan.space)) in tried(others, plan)


def most(study: optuna.Study, plan: Plan) -> float:
    """How many trials there can be without runs that are made twice; infinity where that is no limit."""
    if plan.settings is None:
        return np.inf
    known = tried(study.get_trials(deepcopy=False), plan)
    return counted(study) + sum(plan.runs(values) not in known for values in plan.settings)


def _of_sequence(trial: FrozenTrial) -> bool:
    """Whether a trial used up a point of a Sobol search; one that is tried again did so only once."""
    return trial.user_attrs.get("kind") in ("start", "before") and "retry_history" not in trial.system_attrs


def write(trial: Trial, outcome: Outcome, seconds: float, reason: Reason | None = None) -> None:
    """Writes what a trial's runs came to beside it; telling its value, a loss, ends it.

    The learning curve is its intermediate values. A trial with seeds that diverged is complete all the same,
    since the samplers learn their ceiling from its value, but it breaks a constraint: to Optuna it is
    infeasible and never the best.
    """
    told = {
        "scores": [float(v) for v in outcome.scores],
        "losses": _plain(outcome.losses),
        "diverged": outcome.diverged,
        "seconds": round(seconds, 4),
        "machine": machine(),
    }
    if reason is not None:
        told["reason"] = {k: float(getattr(reason, k)) for k in ("mean", "deviation", "improvement", "best")}
    for key, value in told.items():
        trial.set_user_attr(key, value)
    for key, value in constraint(outcome.diverged).items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)
    points = zip(outcome.epochs, outcome.curve, strict=True)
    curve = {int(epoch): float(loss) for epoch, loss in points if np.isfinite(loss)}
    if isinstance(storage := getattr(trial.storage, "_backend", trial.storage), Storage):
        storage.report(trial._trial_id, curve)
        return
    for epoch, loss in curve.items():
        trial.report(loss, epoch)


def constraint(diverged: int) -> dict[str, list[float]]:
    """The system attribute by which a trial with seeds that diverged is infeasible, and any other feasible.

    It is of the form that Optuna reads and its dashboard knows; `Trial.set_constraint` writes another one, of
    which dashboard 0.21 knows nothing.
    """
    return {"constraints": [float(diverged)]}


def following(study: optuna.Study, plan: Plan) -> tuple[dict[str, float], Reason] | None:
    """What the Bayesian sampler would ask for next, and why; None for others and without a model."""
    sampler = sampler_of(plan)
    if plan.sampler != "bayesian":
        return None
    trial = optuna.trial.create_trial(state=TrialState.WAITING)
    trial.number = len(study.get_trials(deepcopy=False))
    values = sampler.sample_relative(study, trial, plan.space.distributions())
    reason = sampler.reasons.get(trial.number)
    return (values, reason) if reason else None


def value(outcome: Outcome) -> float:
    """What is told of a trial: the mean over seeds."""
    return float(outcome.scores.mean())


def machine() -> str:
    """This process, in the table of workers: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def complete(study: optuna.Study) -> int:
    """How many trials have ended with a value."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def counted(study: optuna.Study) -> int:
    """How many trials have ended with a value, run or are queued."""
    return len(study.get_trials(deepcopy=False, states=COUNTED))


def table(study: optuna.Study, space: Space) -> pd.DataFrame:
    """One row for each trial, in the order in which they were asked; without those that were dropped.

    Returns:
        Columns: number (from 0); one for each number of the space; score (what is minimised: the mean over
        seeds) and error (its standard error); loss, of the mean seed; state ("queued", "running", "finished",
        "diverged" on some seed, "failed"); diverged (seeds); kind (a key of KINDS); mean, deviation and
        improvement, what the model expected when it asked, and best, what it improves on; seconds; machine;
        begin and end (pandas times); star, note; scores and losses of the seeds.
    """
    trials = [t for t in study.get_trials(deepcopy=False) if DROPPED not in t.user_attrs]
    beside = marks(study)
    rows = [_row(trial, space, beside.get(trial.number, {})) for trial in trials]
    frame = pd.DataFrame(rows, columns=list(_row(None, space, {})))
    return frame.astype({"begin": "datetime64[ns]", "end": "datetime64[ns]"})


def _row(trial: FrozenTrial | None, space: Space, mark: Mapping[str, Any]) -> dict[str, Any]:
    attrs = trial.user_attrs if trial else {}
    scores = np.array(attrs.get("scores", []), dtype=float)
    ended = trial is not None and trial.state == TrialState.COMPLETE
    known = score(trial) if trial else None
    error = float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else np.nan
    losses = np.array([np.nan if v is None else v for v in attrs.get("losses", [])], dtype=float)
    reason = attrs.get("reason", {})
    return {
        "number": trial.number if trial else 0,
        **dict.fromkeys(space.words, np.nan),
        **(setting(trial, space) if trial else {}),
        "score": np.nan if known is None else known,
        "error": error,
        "loss": _mean_loss(losses) if ended else np.nan,
        "state": _state(trial, attrs) if trial else "",
        "diverged": int(attrs.get("diverged", 0)),
        "kind": attrs.get("kind", "model"),
        "mean": reason.get("mean", np.nan),
        "deviation": reason.get("deviation", np.nan),
        "improvement": reason.get("improvement", np.nan),
        "best": reason.get("best", np.nan),
        "seconds": attrs.get("seconds", np.nan),
        "machine": attrs.get("machine", ""),
        "begin": trial.datetime_start if trial else None,
        "end": trial.datetime_complete if trial else None,
        "star": bool(mark.get("star", False)),
        "note": str(mark.get("note", "")),
        "scores": scores,
        "losses": losses,
    }


def _mean_loss(losses: np.ndarray) -> float:
    """The geometric mean over the seeds that did not diverge: what the score is the logarithm of."""
    known = losses[np.isfinite(losses) & (losses > 0)]
    return float(np.exp(np.log(known).mean())) if len(known) else np.nan


def _state(trial: FrozenTrial, attrs: Mapping[str, Any]) -> str:
    if trial.state == TrialState.COMPLETE:
        return DIVERGED if attrs.get("diverged") else FINISHED
    return {TrialState.WAITING: QUEUED, TrialState.RUNNING: RUNNING}.get(trial.state, FAILED)


def told(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that have a score."""
    return frame[np.isfinite(frame["score"])]


def learning_curves(study: optuna.Study) -> dict[int, tuple[Sequence[int], Sequence[float]]]:
    """The learning curve of each trial that has ended, by number: epochs and losses."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = {t.number: t.intermediate_values or earlier_curve(t.user_attrs) for t in ended}
    return {n: (list(curve), list(curve.values())) for n, curve in found.items()}


def earlier_curve(attrs: Mapping[str, Any]) -> dict[int, float]:
    """The learning curve among the attributes of a trial, where earlier versions kept it."""
    points = zip(attrs.get("epochs", ()), attrs.get("curve", ()), strict=True)
    return {epoch: loss for epoch, loss in points if loss is not None}


def take_over(old: optuna.Study, study: optuna.Study, plan: Plan, old_space: Space) -> dict[int, int]:
    """Adds the ended trials of a study that lie in another's space to it.

    Returns:
        Their numbers, old and new.
    """
    numbers = {}
    for trial in old.get_trials(states=(TrialState.COMPLETE,)):
        values = old_space.read(trial.params)
        if set(values) == set(plan.space.words) and plan.space.holds(values):
            params = {r.word: r.tidy(values[r.word]) for r in plan.space.ranges}
            attrs = {**trial.user_attrs, "kind": "before"}
            numbers[trial.number] = len(study.get_trials(deepcopy=False))
            study.add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions=plan.space.distributions(),
                    value=trial.value,
                    user_attrs=attrs,
                    intermediate_values=trial.intermediate_values,
                    system_attrs=constraint(trial.user_attrs.get("diverged", 0)),
                )
            )
    return numbers


def queue_again(
    old: optuna.Study, study: optuna.Study, plan: Plan, old_space: Space, states: tuple[TrialState, ...]
) -> dict[int, int]:
    """Queues in a study the settings of another that are queued or being trained there, if they fit.

    Returns:
        Their numbers, old and new.
    """
    numbers = {}
    for trial in old.get_trials(deepcopy=False, states=states):
        values = {r.word: r.tidy(v) for r, v in _matched(plan.space, setting(trial, old_space))}
        if plan.space.holds(values):
            numbers[trial.number] = len(study.get_trials(deepcopy=False))
            kind = trial.user_attrs.get("kind", "model")
            moved = kind == "nearest" and values != plan.space.values(plan.config)
            enqueue(study, plan, values, "before" if moved else kind)
    return numbers


def _matched(space: Space, values: Mapping[str, float]) -> list[tuple[Range, float]]:
    """The ranges of a space with the values that lie in them."""
    return [(r, values[r.word]) for r in space.ranges if r.word in values and r.holds(values[r.word])]


def to_csv(frame: pd.DataFrame, plan: Plan) -> str:
    """The table as CSV: one row for each trial, with all that is needed to make its runs again.

    The last loss of each seed has a column of its own, named by the seed. Every row names the app's version,
    torch's and Optuna's, the dataset, the model and the optimizer, and its config in the words of a link,
    defaults too, with the first of its seeds.
    """
    wide = frame.drop(columns=["scores", "losses"])
    most = max((len(v) for v in frame["losses"]), default=0)
    for k in range(most):
        column = f"loss_seed_{plan.config.seed + k}"
        wide[column] = [v[k] if k < len(v) else np.nan for v in frame["losses"]]
    for key, value in _named(plan).items():
        wide[key] = value
    known = wide[list(plan.space.words)].notna().all(axis=1)
    wide["config"] = [
        urlencode(plan.space.config(plan.config, row).words()) if there else ""
        for there, (_, row) in zip(known, wide.iterrows(), strict=True)
    ]
    return str(wide.to_csv(index=False))


def _named(plan: Plan) -> dict[str, Any]:
    """What a study is of, for a person who reads its file."""
    config = plan.config
    picked = {word: config.parts[word].name for word in ("dataset", "model", "optimizer")}
    return {**picked, "seed": config.seed, "seeds": plan.seeds, "sampler": plan.sampler, **versions()}


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers that JSON has a word for."""
    return [float(v) if np.isfinite(v) else None for v in values]
