"""A search built anew from what a file holds: every part is checked, and nothing else is carried over."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from core.config import Config
from core.registry import Interval
from core.search import trials as kept
from core.search.asking import FIXED, as_loss
from core.search.plan import LAST_SEED, SEEDS, TRIALS, BadPlan, Plan, from_text, to_text
from core.search.study import Search

MANY = 2 * int(TRIALS.high)  # trials, with those that failed
PLAN = 20_000  # letters of a plan
POINTS = 200  # of a learning curve
NAME, NOTE, MACHINE = 64, 500, 200  # letters
LARGE, DECADES = 3.4e38, 38.0  # what single precision holds, and its logarithm
BELIEF = 150.0  # decades that a model's mean and deviation may have: their sum still has a power of ten
ODD = ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError

_NO_PLAN = "This study was not made by this app: it must have a plan, got {}."


class Held(NamedTuple):
    """What Optuna reads in a file; nothing of it has been checked."""

    name: Any
    directions: Sequence[StudyDirection]
    attrs: Mapping[str, Any]
    trials: Sequence[FrozenTrial]


def rebuilt(held: Held) -> Search:
    """The search that is held, in memory.

    Raises:
        BadPlan: Something in it cannot be.
    """
    if held.directions != [StudyDirection.MINIMIZE]:
        raise BadPlan("The study must minimise one value; this one was made for something else.")
    plan = _plan(held.attrs)
    if [trial.number for trial in held.trials] != list(range(len(held.trials))):
        raise BadPlan("The numbers of the study's trials must run from 0 on without a gap; these do not.")
    trials = [_trial(trial, plan) for trial in held.trials]
    attrs = {
        kept.TARGET: _whole(held.attrs.get(kept.TARGET), "The number of trials", 1, int(TRIALS.high)),
        kept.MARKS: _marks(held.attrs.get(kept.MARKS, {}), len(trials)),
    }
    study = optuna.create_study(sampler=kept.sampler_of(plan), study_name=_name(held.name))
    study.add_trials(trials)
    for key, attr in attrs.items():
        kept.set_entry(study, key, attr)
    kept.describe(study, plan)
    study.set_user_attr(kept.PLAN, to_text(plan))
    if "parent" in held.attrs:
        study.set_user_attr("parent", _parent(held.attrs["parent"]))
    return Search(replace(plan, trials=kept.target(study)), study)


def _plan(attrs: Mapping[str, Any]) -> Plan:
    """The plan of a study.

    Raises:
        BadPlan: There is none, or one that cannot be; see `core.search.plan.from_text`.
    """
    if (text := attrs.get("plan")) == "":
        raise BadPlan("This study is of an uploaded table, which is not in the file: it cannot be resumed.")
    if not isinstance(text, str) or len(text) > PLAN:
        raise BadPlan(_NO_PLAN.format("none" if text is None else brief(text)))
    try:
        words = json.loads(text)
        if not isinstance(words, dict):
            raise BadPlan(_NO_PLAN.format(brief(text)))
        _whole(words.get("seed"), "The seed of the search", 0, LAST_SEED)
        if not isinstance(words.get("exact"), bool):
            raise _bad("Whether the search is exact", "true or false", words.get("exact"))
        return from_text(text)
    except BadPlan as error:
        raise BadPlan(str(error)[:500]) from None
    except ODD:
        raise BadPlan(_NO_PLAN.format(brief(text))) from None


def _trial(held: FrozenTrial, plan: Plan) -> FrozenTrial:
    """A trial with what is known of trials, and nothing else."""
    name, state = f"Trial {held.number}", held.state
    if state == TrialState.PRUNED:
        raise BadPlan(f"{name} must be completed, failed or pending, got a pruned one.")
    params = _setting(held.params, plan, name)
    fixed = _setting(held.system_attrs.get(FIXED, {}), plan, name)
    words = plan.space.distributions()
    if state == TrialState.COMPLETE and len(params) < len(words):
        raise BadPlan(f"{name} must have {', '.join(words)}, got {', '.join(params) or 'none of them'}.")
    if state == TrialState.WAITING and not (params or fixed):
        raise BadPlan(f"{name} is pending and must have a setting, got none.")
    attrs, complete = _attrs(held, plan, name), state == TrialState.COMPLETE
    new = optuna.trial.create_trial(
        state=state,
        value=_value(held, plan, name, attrs["scores"]) if complete else None,
        params=params,
        distributions={key: words[key] for key in params},
        user_attrs=attrs,
        system_attrs=({FIXED: fixed} if fixed else {})
        | (kept.constraint(attrs["diverged"]) if complete else {}),
        intermediate_values=_curve(held, name) if complete else None,
    )
    if state.is_finished():
        new.datetime_complete = _time(held.datetime_complete, name)
        new.datetime_start = _time(held.datetime_start or held.datetime_complete, name)
    return settled(new)


def _setting(given: Any, plan: Plan, name: str) -> dict[str, float]:
    """Those of the space's numbers that are given, each in its range; nothing else may be.

    Earlier versions kept 1 - value where that was searched, and batch sizes before they were rounded.
    """
    if not isinstance(given, dict):
        raise _bad(f"{name}: its setting", "numbers by name", given)
    ranges, earlier = plan.space.ranges, plan.space.searched(whole=False)
    for key in given:
        if key not in earlier and key not in plan.space.words:
            raise BadPlan(f"{name}: its setting must be of {', '.join(plan.space.words)}, got {brief(key)}.")
    found = {}
    for r in ranges:
        if r.word in given:
            whole = r.integer and r.scale != "log"
            found[r.word] = r.tidy(_within(given[r.word], r.low, r.high, f"{name}: {r.word}", whole))
        elif r.key in given:
            d: Any = earlier[r.key]
            found[r.word] = r.value(_within(given[r.key], d.low, d.high, f"{name}: {r.key}"))
    return found


def _within(value: Any, low: float, high: float, what: str, whole: bool = False) -> float:
    """A parameter in its range, whose ends a plan's text has with ten digits."""
    near = 1e-9 * max(abs(low), abs(high))
    if not (_is_number(value) and low - near <= value <= high + near):
        raise _bad(what, f"a number in [{low:g}, {high:g}], the search range", value)
    if whole and value != int(value):
        raise _bad(what, "a whole number", value)
    return float(min(max(value, low), high))


def _value(held: FrozenTrial, plan: Plan, name: str, scores: list[float]) -> float:
    """The value of a trial that has ended: a loss; in files of earlier versions the score itself."""
    values, what = held.values, f"{name}: its value"
    if values is None or len(values) != 1:
        raise _bad(what, "one number", values)
    mean = float(np.mean(scores))
    loss = as_loss(mean, plan.exact)
    if not _is_number(values[0]) or not any(
        math.isclose(values[0], good, rel_tol=1e-9, abs_tol=1e-9) for good in (mean, loss)
    ):
        raise _bad(what, f"{loss:g}, as its seeds' scores say", values[0])
    return loss


def _curve(held: FrozenTrial, name: str) -> dict[int, float]:
    """The learning curve of a trial: its intermediate values."""
    given: Mapping[Any, Any] = held.intermediate_values or _earlier_curve(held, name)
    if len(given) > POINTS:
        raise _bad(f"{name}: its curve", f"at most {POINTS} losses", f"{len(given)} of them")
    longest = Config.settings()["epochs"]
    assert isinstance(longest, Interval)
    what = f"{name}: its curve"
    return {
        _whole(epoch, f"{name}: an epoch", 0, int(longest.high)): _number(loss, what, 0, LARGE)
        for epoch, loss in given.items()
    }


def _earlier_curve(held: FrozenTrial, name: str) -> dict[Any, Any]:
    """The learning curve of a file of an earlier version, which has it in two lists."""
    epochs, curve = (held.user_attrs.get(word, []) for word in ("epochs", "curve"))
    if not isinstance(epochs, list) or not isinstance(curve, list) or len(epochs) != len(curve):
        raise _bad(f"{name}: its curve", "two lists of the same length", (epochs, curve))
    return {
        _whole(epoch, f"{name}: an epoch", 0, LAST_SEED): loss
        for epoch, loss in zip(epochs, curve, strict=True)
        if loss is not None
    }


def _ends(plan: Plan) -> tuple[float, float]:
    """Between what a score lies: a loss, or its logarithm."""
    return (0.0, LARGE) if plan.exact else (-DECADES, DECADES)


def _attrs(held: FrozenTrial, plan: Plan, name: str) -> dict[str, Any]:
    """What is written beside a trial."""
    given, attrs = held.user_attrs, {}
    if "kind" in given:
        attrs["kind"] = given["kind"]
        if not (isinstance(given["kind"], str) and given["kind"] in kept.KINDS):
            raise _bad(f"{name}: where it comes from", f"one of {', '.join(kept.KINDS)}", given["kind"])
    if held.state == TrialState.COMPLETE:
        return attrs | _outcome(held, plan, name)
    if held.state == TrialState.FAIL and "machine" in given:
        attrs["machine"] = _text(given["machine"], f"{name}: its machine")[:MACHINE]
    if held.state == TrialState.FAIL and given.get(kept.DROPPED):
        attrs[kept.DROPPED] = True
    return attrs


def _outcome(held: FrozenTrial, plan: Plan, name: str) -> dict[str, Any]:
    """What a trial's runs came to, as `core.search.trials.write` writes it."""
    given = held.user_attrs
    scores = _numbers(given.get("scores"), f"{name}: its scores", (1, int(SEEDS.high)), *_ends(plan))
    seeds = len(scores)
    told: dict[str, Any] = {
        "scores": scores,
        "losses": _numbers(given.get("losses"), f"{name}: its losses", (seeds, seeds), 0, LARGE, gaps=True),
        "diverged": _whole(given.get("diverged"), f"{name}: its seeds that diverged", 0, seeds),
        "seconds": _number(given.get("seconds"), f"{name}: its seconds", 0, 1e9),
        "machine": _text(given.get("machine"), f"{name}: its machine")[:MACHINE],
    }
    return told | ({"reason": _reason(given["reason"], plan, name)} if "reason" in given else {})


def _reason(given: Any, plan: Plan, name: str) -> dict[str, float]:
    """What the model expected of a trial."""
    most = LARGE if plan.exact else BELIEF
    words = {"mean": -most, "deviation": 0.0, "improvement": 0.0, "best": -most}
    if not isinstance(given, dict):
        raise _bad(f"{name}: what was expected of it", "numbers by name", given)
    return {key: _number(given.get(key), f"{name}: its {key}", low, most) for key, low in words.items()}


def _marks(given: Any, trials: int) -> dict[str, dict[str, Any]]:
    """The stars and notes of a study."""
    if not isinstance(given, dict):
        raise _bad("The stars and notes", "by trial", given)
    known = {str(number) for number in range(trials)}
    for number, mark in given.items():
        if number not in known:
            raise _bad("A star or note", f"of one of the {trials} trials", number)
        name = f"The mark of trial {int(number)}"
        if not isinstance(mark, dict) or not isinstance(mark.get("star"), bool):
            raise _bad(name, "a star and a note", mark)
        if len(_text(mark.get("note"), f"{name}: its note")) > NOTE:
            raise _bad(f"{name}: its note", f"of at most {NOTE} letters", mark["note"])
    return {number: {"star": mark["star"], "note": mark["note"]} for number, mark in given.items()}


def _parent(given: Any) -> dict[str, Any]:
    """The search in other ranges that a search took trials over from."""
    if not isinstance(given, dict):
        raise _bad("The search before it", "a name and two numbers", given)
    name = _text(given.get("name"), "The name of the search before it")[:NAME]
    numbers = {k: _whole(given.get(k), f"The trials {k} before", 0, int(MANY)) for k in ("taken", "tried")}
    return {"name": name, **numbers}


def _name(given: Any) -> str | None:
    """The name of a study if it can stand in a line of text; otherwise a new one is made."""
    sane = isinstance(given, str) and 0 < len(given) <= NAME and given.isprintable()
    return given if sane else None


def _numbers(
    given: Any, what: str, count: tuple[int, int], low: float, high: float, gaps: bool = False
) -> list[float | None]:
    """A list of numbers between two ends; with gaps, None may stand for one."""
    least, most = count
    if not isinstance(given, list) or not least <= len(given) <= most:
        size = str(most) if least == most else f"{least} to {most}"
        raise _bad(what, f"a list of {size} numbers", given)
    return [None if gaps and v is None else _number(v, what, low, high) for v in given]


def _number(given: Any, what: str, low: float, high: float) -> float:
    if not (_is_number(given) and low <= given <= high):
        raise _bad(what, f"a number in [{low:g}, {high:g}]", given)
    return float(given)


def _whole(given: Any, what: str, low: int, high: int) -> int:
    if not (_is_number(given) and isinstance(given, int) and low <= given <= high):
        raise _bad(what, f"a whole number in [{low}, {high}]", given)
    return given


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _text(given: Any, what: str) -> str:
    """A text that can be written as UTF-8."""
    if not isinstance(given, str) or any("\ud800" <= letter <= "\udfff" for letter in given):
        raise _bad(what, "a text", given)
    return given


def _time(given: Any, name: str) -> datetime:
    if not isinstance(given, datetime) or not 2000 <= given.year < 2200:
        raise _bad(f"{name}: its times", "from the years 2000 to 2199", given)
    return given


def _bad(what: str, good: str, came: Any) -> BadPlan:
    return BadPlan(f"{what} must be {good}, got {brief(came)}.")


def brief(given: Any) -> str:
    """What came, in few letters."""
    return "nothing" if given is None else reprlib.repr(given)


def settled(trial: FrozenTrial) -> FrozenTrial:
    """A trial as it can lie in a file: queued, without what it had begun to write, if it runs now."""
    if trial.state != TrialState.RUNNING:
        return trial
    fixed = {k: v for k, v in trial.system_attrs.items() if k == FIXED and v}
    if not (trial.params or fixed):
        return optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={kept.DROPPED: True})
    return optuna.trial.create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={k: v for k, v in trial.user_attrs.items() if k == "kind"},
        system_attrs=fixed,
    )
