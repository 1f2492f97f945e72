"""How a search ends: which settings are best, whether that is sure, and what the search was worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.labels import spoken
from core.search.belief import believe, losses, units
from core.search.objective import Outcome
from core.search.plan import SAMPLERS, Plan
from core.search.space import USUAL, Range, Space, numbers
from core.search.trials import FINISHED
from core.seeds import seeds_from
from core.statistics import CONFIDENCE, Estimate, estimate, holm, jackknife, p_value
from core.verdict import digits

if TYPE_CHECKING:
    from core.search.sampler import Reason

EDGE = 0.03  # of a range: nearer to its end counts as on it
RATIO = 1.5  # of an end on a linear scale, for a number that is usually searched in ratios: the same
ORIGINS = {
    "default": "has the settings of the page",
    "nearest": "has the settings in the ranges that are nearest to those of the page",
    "start": "is a point of the space-filling design",
    "random": "was drawn at random",
    "hand": "was added manually",
    "again": "was added manually, although its runs are those of an earlier one",
    "before": "was taken over from the search in the earlier ranges",
}


@dataclass(frozen=True, eq=False)
class Check:
    """One of the best settings, tried again on seeds that the search has not seen.

    Attributes:
        number: Its trial.
        scores: (F,), what was minimised, on each fresh seed; all checks have the same seeds.
        losses: (F,), the last losses; nan where a seed diverged.
    """

    number: int
    scores: NDArray[np.float64]
    losses: NDArray[np.float64]

    @property
    def loss(self) -> Estimate:
        """The geometric mean of the losses of the seeds that held, with its 95 % interval, as on Compare."""
        return estimate(self.losses, log=True)

    @property
    def diverged(self) -> int:
        """How many fresh seeds diverged."""
        return int(np.isnan(self.losses).sum())


def best_trials(frame: pd.DataFrame, plan: Plan) -> list[int]:
    """The numbers of the trials that ended on all seeds, best first; the same setting only once.

    They are ranked by what the model believes of each setting, which a lucky draw moves less than it moves
    the trial's own score; by the score where grid, random or Sobol search asked, or there is no model yet.
    """
    known = frame[frame["state"] == FINISHED]
    known = known.loc[~_runs(known, plan).duplicated()]
    rank = known["score"].to_numpy(float)
    process = believe(frame, plan) if plan.sampler not in ("random", "grid", "sobol") else None
    if process is not None and len(known):
        rank = process.posterior(units(known, plan))[0]
    return [int(n) for n in known["number"].to_numpy()[np.argsort(rank, kind="stable")]]


def _runs(frame: pd.DataFrame, plan: Plan) -> pd.Series:
    """What tells the runs of the rows apart."""
    return frame[list(plan.space.words)].apply(plan.runs, axis=1, result_type="reduce").astype(object)


def chosen(results: Sequence[Outcome], numbers: Sequence[int]) -> tuple[Check, ...]:
    """The checks of some settings, the best on fresh seeds first."""
    checks = [Check(n, r.scores, r.losses) for n, r in zip(numbers, results, strict=True)]
    return tuple(sorted(checks, key=lambda check: float(check.scores.mean())))


@dataclass(frozen=True, eq=False)
class Judged:
    """The runs by which a trial is judged, for pages that train them again.

    Attributes:
        seeds: (S,), fresh ones where the trial was tried on such, else those of the search.
        losses: (S,), the last losses; nan where a seed diverged, empty where the trial has not ended.
        fresh: Whether the seeds are fresh ones.
    """

    seeds: range
    losses: NDArray[np.float64]
    fresh: bool

    @property
    def typical(self) -> int:
        """The seed whose loss is nearest to the geometric mean; the first where none held."""
        apart = np.abs(self.losses - estimate(self.losses, log=True).mean)
        return self.seeds[int(np.nanargmin(apart))] if np.isfinite(apart).any() else self.seeds[0]

    @property
    def words(self) -> str:
        """What Train and Compare open, and how it hangs together with the mean that is told here."""
        count, held = len(self.seeds), self.losses[np.isfinite(self.losses)]
        plural = "s" * (count > 1)
        seeds = f"{count} fresh seed{plural}" if self.fresh else f"{count} seed{plural} of the search"
        if not len(held):
            why = "all of which diverged" if len(self.losses) else "whose losses are not known yet"
            return f"Train opens seed {self.typical}, Compare the {seeds}, {why}."
        own = digits(self.losses[self.seeds.index(self.typical)])
        if count == 1:
            return f"Train and Compare open seed {self.typical} of the search, whose loss is {own}."
        mean, low, high = (digits(v) for v in (estimate(held, log=True).mean, held.min(), held.max()))
        return (
            f"Train opens seed {self.typical}, whose loss {own} is nearest to the mean {mean}: the {seeds} "
            f"range from {low} to {high}. Compare opens all {count}."
        )


def judged(plan: Plan, frame: pd.DataFrame, checks: Sequence[Check] | None, number: int) -> Judged:
    """The runs by which a trial is judged as far as the search has come.

    Args:
        plan: Of the search.
        frame: Its table.
        checks: Its checks; None before they have ended.
        number: Of the trial.
    """
    for check in checks or ():
        if check.number == number:
            return Judged(plan.fresh_seeds, check.losses, fresh=True)
    losses = frame.set_index("number").loc[number, "losses"]
    return Judged(seeds_from(plan.config.seed, plan.seeds), np.asarray(losses, dtype=float), fresh=False)


def ties(checks: Sequence[Check]) -> list[int]:
    """The trials that are as good as the first: behind it by no more than one standard error.

    The standard error is of the difference on the same seeds.
    """
    return [check.number for check in checks[1:] if _behind(check, checks[0]) <= 1.0]


def _behind(check: Check, best: Check) -> float:
    """By how many standard errors a setting is behind the best."""
    apart = check.scores - best.scores
    error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
    mean = float(apart.mean())
    return mean / error if error > 0 else (0.0 if mean <= 0 else np.inf)


def edges(plan: Plan, values: Mapping[str, float]) -> list[str]:
    """A sentence for each number of a setting that lies on an end of its range and could go further."""
    said = []
    for r, low in _ends(plan, values):
        end, way = ("lower", "downwards") if low else ("upper", "upwards")
        name, at = spoken(r.word), digits(r.low if low else r.high)
        said.append(f"The {name} is at the {end} bound of its range ({at}): extend the range {way}.")
    return said


def widened(plan: Plan, values: Mapping[str, float]) -> Space | None:
    """The space with the ends that a setting lies on moved outwards; None where it lies on none."""
    ends, known = dict(_ends(plan, values)), numbers(plan.config)
    moved = (r.wider(ends[r], known[r.word]) if r in ends else r for r in plan.space)
    return Space(*moved) if ends else None


def _ends(plan: Plan, values: Mapping[str, float]) -> list[tuple[Range, bool]]:
    """The ranges on whose low (True) or high end a setting lies, where going further would change something.

    Batches cannot become larger than the training part.
    """
    known, found = numbers(plan.config), []
    for r in plan.space:
        value, record = values[r.word], known[r.word]
        whole = r.word == "batch_size" and r.high >= plan.config.train_rows
        if record.low < r.low and _near(r, value, r.low):
            found.append((r, True))
        elif record.high > r.high and not whole and _near(r, value, r.high):
            found.append((r, False))
    return found


def _near(r: Range, value: float, end: float) -> bool:
    """Whether a value is as good as an end of its range.

    On a linear scale a number that counts in ratios may be many times an end that lies close to 0: there the
    ratio must be small too, that of 1 - value for numbers that are finer near 1.
    """
    if abs(r.unit(value) - r.unit(end)) > EDGE:
        return False
    usual = USUAL[r.word].scale if r.word in USUAL else "linear"
    if r.scale != "linear" or usual == "linear":
        return True
    a, b = (1 - value, 1 - end) if usual == "rest" else (value, end)
    return max(a, b) <= RATIO * min(a, b)


def verdict(plan: Plan, frame: pd.DataFrame, checks: Sequence[Check] | None) -> str:
    """What the search has found, in plain sentences; how sure that is, and what stands in its way.

    While it goes on, the best is the lowest score, as the history draws it. In the end it is the first of the
    checks.
    """
    ended = int(frame["score"].notna().sum())
    if not ended:
        return "No trial has completed yet."
    held = frame[frame["state"] == FINISHED]
    if not len(held):
        lower = " Search smaller learning rates." if "learning_rate" in plan.space.words else ""
        return f"All {ended} trials so far diverged on some seed.{lower}"
    if checks is None:
        best = held.iloc[int(held["score"].to_numpy().argmin())]
        loss = float(losses(np.asarray(best["score"]), plan))
        return f"Best so far: trial {best['number']}: {_setting(plan, best)}, loss {digits(loss)}."
    first = checks[0]
    setting = frame.set_index("number").loc[first.number]
    values = {word: float(setting[word]) for word in plan.space.words}
    told = _fresh_and_seen(plan, first, setting, several=len(held) > 1)
    parts = [f"Take trial {first.number}: {_setting(plan, setting)}. {told}"]
    if first.diverged:
        lost = f"{first.diverged} of {len(first.losses)} fresh seeds diverged"
        parts.append(f"{lost}: the setting is too close to the stability limit.")
    return " ".join([*parts, _certainty(checks), *edges(plan, values), *_notes(plan, frame)])


def _fresh_and_seen(plan: Plan, first: Check, setting: pd.Series, several: bool) -> str:
    """The loss of the best on fresh seeds and on those of the search, the same kind of mean (`Check.loss`).

    The smallest of several noisy means tends to lie below what it estimates: where it does, that is said.
    """
    fresh = first.loss
    seen = Check(first.number, setting["scores"], setting["losses"]).loss
    now, then = digits(fresh.mean), digits(seen.mean)
    lucky = several and seen.mean < fresh.mean and then != now
    reason = ", lower because the best of many trials is partly luck" if lucky else ""
    seeds = f"{fresh.n} fresh seed{'s' * (fresh.n != 1)}"
    told = f"Loss {now} on {seeds}{_interval(fresh)}" if fresh.n else "No loss on fresh seeds"
    return f"{told}; the search had seen {then}{reason}."


def _certainty(checks: Sequence[Check]) -> str:
    equal = ties(checks)
    if len(checks) == 1:
        return ""
    if not equal:
        following = f"the runner-up, trial {checks[1].number},"
        return f"It is better than {following} by more than one standard error of the paired difference."
    names = " and ".join(str(n) for n in equal)
    trials = "Trials" if len(equal) > 1 else "Trial"
    tied = f"{'are' if len(equal) > 1 else 'is'} tied with it"
    return f"{trials} {names} {tied}: within one standard error of the paired difference."


def _notes(plan: Plan, frame: pd.DataFrame) -> list[str]:
    """Rules of thumb that a search's trials call for, and that nothing is left to try.

    References:
        V. Godbole et al., "Deep Learning Tuning Playbook", 2023.
    """
    ended = frame["score"].notna().sum()
    lost = (frame["state"] == "diverged").sum()
    said = []
    if ended and lost > ended / 2:
        said.append(f"{lost} of {ended} trials diverged: a smaller search space would waste fewer.")
    if plan.settings and _runs(frame[frame["score"].notna()], plan).nunique() == len(plan.settings):
        said.append(plan.spent)
    return said


def _setting(plan: Plan, row: Mapping[str, float] | pd.Series) -> str:
    return ", ".join(f"{spoken(w)} {row[w]:.4g}" for w in plan.space.words)


def _interval(value: Estimate) -> str:
    if not np.isfinite(value.low):
        return ""
    return f", 95 % interval {digits(value.low)} to {digits(value.high)}"


def why(row: pd.Series, plan: Plan) -> str:
    """Why a trial was asked, in a sentence; for one that nobody asked for, where it came from."""
    name = f"Trial {row['number']}"
    if not np.isfinite(row["mean"]):
        return (
            f"{name} {ORIGINS.get(row['kind'], f'was suggested by the sampler ({SAMPLERS[plan.sampler]})')}."
        )
    expected = _expectation(row["mean"], row["deviation"], row["best"], plan)
    return f"{name} was suggested for its expected improvement: {expected}."


def why_next(values: Mapping[str, float], reason: Reason, plan: Plan) -> str:
    """What the search would suggest next, and why."""
    expected = _expectation(reason.mean, reason.deviation, reason.best, plan)
    return f"The next suggestion is {_setting(plan, values)}: {expected}."


def _expectation(mean: float, deviation: float, best: float, plan: Plan) -> str:
    ends = losses(np.array([mean, mean - deviation, mean + deviation, best]), plan)
    middle, low, high, known = (digits(float(v)) for v in ends)
    against = (
        f"{'below' if mean < best else 'not below'} the best posterior mean of a known setting ({known})"
    )
    doubt = "" if mean < best else ", so its standard deviation made it worth a trial"
    return f"posterior mean {middle}, one standard deviation {low} to {high}, {against}{doubt}"


def expected_best(scores: NDArray[np.float64], most: int | None = None) -> pd.DataFrame:
    """The best score that k settings drawn at random have on average, from the scores of some that were.

    The expectation of the smallest of k draws from the scores, with a 95 % interval by the jackknife. It is
    given up to a quarter of the scores: beyond, too few of them decide, and it would hold too seldom.

    Args:
        scores: (N,), of random search.
        most: The largest k; N when None. Beyond N the scores say nothing new.

    Returns:
        Columns k, expected, low, high; the last two nan where there is no interval.

    References:
        J. Dodge et al., "Show your work: improved reporting of experimental results", 2019.
    """
    k = np.arange(1, (most or len(scores)) + 1)
    expected = _smallest(scores, k)
    few = k[k <= len(scores) / 4]
    left_out = np.array([_smallest(np.delete(scores, i), few) for i in range(len(scores) if len(few) else 0)])
    ends = np.full((2, len(k)), np.nan)
    for at in range(len(few)):
        ends[:, at] = jackknife(expected[at], left_out[:, at])[1:3]
    return pd.DataFrame({"k": k, "expected": expected, "low": ends[0], "high": ends[1]})


def _smallest(scores: NDArray[np.float64], k: NDArray[np.int_]) -> NDArray[np.float64]:
    """The expected smallest of k draws with replacement, (K,)."""
    share = np.arange(len(scores) + 1) / len(scores)
    best: NDArray[np.float64] = np.diff(share ** k[:, None], axis=1) @ -np.sort(-scores)
    return best


def helped(best: Check, others: dict[str, Check | None], plan: Plan) -> str:
    """Whether the search was worth it here: its setting against those that other searches ended with.

    Differences are of means of the kind that `Check.loss` gives, but diverged seeds count as in their scores.
    A search is tied whose p-value, by Holm's adjustment for all of them, is not below 0.05.

    Args:
        best: What this search chose.
        others: By title, what each other search with the same budget chose, on the same fresh seeds; None
            where all of its settings diverged.
        plan: Of this search.
    """
    apart = {title: other.scores - best.scores for title, other in others.items() if other is not None}
    adjusted = dict(zip(apart, holm([p_value(scores) for scores in apart.values()]), strict=True))
    said = []
    for title in others:
        if title not in apart:
            said.append(f"{title} search found no setting that did not diverge.")
            continue
        told = estimate(apart[title])
        mean, low, high = (_apart(float(v), plan) for v in told[:3])
        ended = f"ended {'higher' if told.mean > 0 else 'lower'}"
        if adjusted[title] >= 1 - CONFIDENCE:
            ended = "is tied"
        numbers = f"loss {mean} relative to this search, 95 % interval {low} to {high}"
        said.append(f"{title} search {ended}: {numbers}.")
    return " ".join(said)


def _apart(score: float, plan: Plan) -> str:
    """A difference of scores with its sign: of losses, or of their logarithms as a change in percent."""
    return f"{score:+.3g}" if plan.exact else f"{100 * (10**score - 1):+.1f} %"
