"""How well our sampler searches, beside Optuna's: python -m tests.bench.search

Each sampler runs the app's own search, 20 trials of 4 seeds in rounds of 4, on tables of real training runs
(tests/bench/tables.py), so that a trial is a lookup. A repeat draws its 4 seeds from those of the table; the
others are held out and judge the setting that the app would take. All samplers of a repeat have the same
seeds, and those with a model the same five starts. In the noise-free part the mean over all seeds is searched
and judges. Regret is how far the loss is above that of the table's best cell on the same seeds, in percent.

Milliseconds are of the process's own time for one suggestion, starts left out. Intervals are of the mean of
the paired differences, 95 %, by Student's t. "No worse" means that the interval is not all above 0, "better"
that it is all below 0; of so many claims a few would fail by chance alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import torch
from numpy.typing import NDArray

from core.search import trials as kept
from core.search.asking import as_loss
from core.search.ending import best_trials
from core.search.objective import Outcome
from core.search.plan import SEEDS, Plan
from core.search.sampler import ask
from core.statistics import Estimate, paired
from tests.bench.tables import COARSE, PROBLEMS, RESOLUTIONS, Table, table

Array = NDArray[np.float64]
Lookup = Callable[[Mapping[str, float]], Outcome]

NOISY, NOISE_FREE = "held-out seeds", "noise-free"


class Method(NamedTuple):
    """A way to search: a key of SAMPLERS, how many trials, how many of them in a round."""

    sampler: str
    trials: int = 20
    batch: int = 4


OURS, SINGLY, EXHAUSTED = "ours", "ours, one at a time", "the best cell on the 4 seeds"
METHODS = {
    OURS: Method("bayesian"),
    SINGLY: Method("bayesian", batch=1),
    "TPE": Method("tpe"),
    "GPSampler": Method("gp"),
    "random": Method("random"),
    "random, 40 trials": Method("random", trials=40),
}
RIVALS = {
    NOISY: ("random", "TPE", "GPSampler"),
    NOISE_FREE: ("random", "TPE", "GPSampler", "random, 40 trials"),
}


@dataclass(frozen=True, eq=False)
class View:
    """A table as the searches of one repeat see it.

    Attributes:
        table: Of the problem.
        seeds: Places of the seeds that are told.
        judges: Places of those that judge.
        noisy: Whether the seeds are told as they are; their mean, without any spread, when not.
    """

    table: Table
    seeds: NDArray[np.intp]
    judges: NDArray[np.intp]
    noisy: bool

    @classmethod
    def of(cls, table: Table, kind: str, repeat: int) -> View:
        """The view of a repeat: its seeds are drawn, the rest judges; noise-free, all seeds do both."""
        order = np.random.default_rng(repeat).permutation(table.seeds)
        if kind == NOISE_FREE:
            return cls(table, order, order, noisy=False)
        count = int(SEEDS.default)
        return cls(table, order[:count], order[count:], noisy=True)

    def outcome(self, values: Mapping[str, float]) -> Outcome:
        """What a trial of a setting comes to."""
        scores, lost = self.table.at(values)
        scores, lost = scores[self.seeds], lost[self.seeds]
        if not self.noisy:
            scores, lost = np.full(int(SEEDS.default), scores.mean()), np.full(int(SEEDS.default), lost.all())
        losses = np.where(lost, np.nan, 10.0**scores)
        return Outcome(scores, losses, int(lost.sum()), np.arange(0), np.empty(0))

    @property
    def exhausted(self) -> float:
        """The regret of the cell that is best on the seeds told: of a search that tries everything."""
        told, judged = (self.table.scores[..., seeds].mean(-1) for seeds in (self.seeds, self.judges))
        return float(100.0 * (10.0 ** (judged.ravel()[told.argmin()] - judged.min()) - 1.0))

    def regret(self, values: Mapping[str, float]) -> float:
        """How far the judges' loss of a setting is above that of the best cell, in percent."""
        score = float(self.table.at(values)[0][self.judges].mean())
        return 100.0 * (10.0 ** (score - self.table.lowest(self.judges)) - 1.0)


def searched(plan: Plan, lookup: Lookup) -> tuple[optuna.Study, list[float]]:
    """Runs a search as `core.search.study.Search` does, with lookups for training.

    Returns:
        The study; and the milliseconds of each suggestion that was not queued.
    """
    study, spent = kept.create(plan), []
    while (left := plan.trials - kept.complete(study)) > 0:
        asked = []
        for _ in range(min(plan.batch, left)):
            begin = time.process_time()
            trial = ask(study, plan.space.distributions())
            if "kind" not in trial.user_attrs:
                spent.append(1e3 * (time.process_time() - begin))
            asked.append(trial)
        reasons: Any = getattr(study.sampler, "reasons", {})
        for trial in asked:
            outcome = lookup(plan.space.read(trial.params))
            kept.write(trial, outcome, 0.0, reasons.get(trial.number))
            study.tell(trial, as_loss(kept.value(outcome), plan.exact))
    return study, spent


def played(problem: str, method: Method, view: View, repeat: int) -> dict[str, float]:
    """One repeat of one method: regret of what the app takes, and of the best score told; milliseconds."""
    plan = Plan(
        PROBLEMS[problem], trials=method.trials, batch=method.batch, sampler=method.sampler, seed=repeat
    )
    study, spent = searched(plan, view.outcome)
    frame = kept.table(study, plan.space).set_index("number", drop=False)
    lowest = int(frame["score"].idxmin())
    taken = next(iter(best_trials(frame, plan)), lowest)
    regrets = [view.regret(frame.loc[n, list(plan.space.words)]) for n in (taken, lowest)]
    return {"regret": regrets[0], "by_score": regrets[1], "ms": statistics.median(spent)}


def results(
    problems: Sequence[str], repeats: range, quick: bool, recompute: bool
) -> Iterator[dict[str, Any]]:
    """One row for each problem, kind, repeat and method; a line about each problem on the way."""
    for problem in problems:
        cells = table(problem, COARSE if quick else RESOLUTIONS[problem], recompute)
        begin = time.perf_counter()
        for kind, repeat in ((kind, repeat) for repeat in repeats for kind in RIVALS):
            view = View.of(cells, kind, repeat)
            if kind == NOISY:
                row = {"problem": problem, "kind": kind, "method": EXHAUSTED, "repeat": repeat}
                yield row | dict.fromkeys(("regret", "by_score"), view.exhausted) | {"ms": np.nan}
            for name in (n for n in METHODS if n.startswith(OURS) or n in RIVALS[kind]):
                row = {"problem": problem, "kind": kind, "method": name, "repeat": repeat}
                yield row | played(problem, METHODS[name], view, repeat)
        print(f"{problem}: {facts(cells)}; searched in {time.perf_counter() - begin:.0f} s", flush=True)


def facts(cells: Table) -> str:
    """A table in words: its cells, its seeds, how its runs ended."""
    b, rates, momenta, seeds = cells.scores.shape
    return (
        f"{rates} learning rates x {momenta} momenta x {b} batch sizes x {seeds} seeds, "
        f"{cells.scores.size:,} runs in {cells.seconds:.0f} s, {cells.diverged.mean():.0%} diverged, "
        f"its best cells are told apart to {cells.error:.2f} %"
    )


def summary(frame: pd.DataFrame, kind: str, column: str = "regret") -> str:
    """A Markdown table of one kind: median, and mean with its standard error, of each method and problem."""
    part = frame[frame["kind"] == kind]
    problems, methods = list(part["problem"].unique()), list(part["method"].unique())
    lines = [f"| sampler | {' | '.join(problems)} |", "|---" * (len(problems) + 1) + "|"]
    for name in methods:
        cells = [part[(part["method"] == name) & (part["problem"] == p)][column] for p in problems]
        shown = [f"{c.median():.2f} ({c.mean():.2f} ± {c.sem():.2f})" for c in cells]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def speeds(frame: pd.DataFrame) -> str:
    """A Markdown table of the milliseconds of a suggestion: the median over repeats of their medians."""
    medians = (
        frame[frame["ms"].notna()]
        .groupby(["method", "problem"], sort=False)["ms"]
        .median()
        .unstack("problem")
    )
    problems = list(medians.columns)
    lines = [f"| sampler | {' | '.join(problems)} |", "|---" * (len(problems) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join(f'{v:.1f}' for v in row)} |"
        for name, row in zip(medians.index, medians.to_numpy(), strict=True)
    ]
    return "\n".join(lines)


def difference(frame: pd.DataFrame, problem: str, kind: str, rival: str, ours: str = OURS) -> Estimate:
    """Ours minus a rival, in points of regret, over the repeats: below 0 ours is better."""
    part = frame[(frame["problem"] == problem) & (frame["kind"] == kind)]
    regrets = part.pivot(index="repeat", columns="method", values="regret")
    return paired(regrets[ours].to_numpy(float), regrets[rival].to_numpy(float))


def claims(frame: pd.DataFrame) -> list[str]:
    """A line for each thing that is claimed of our sampler, and whether it holds here."""
    lines = []
    for kind, rivals in RIVALS.items():
        for problem in frame["problem"].unique():
            for rival in rivals:
                equal = rival in RIVALS[NOISY]
                for ours in (OURS,) if equal else (OURS, SINGLY):
                    apart = difference(frame, problem, kind, rival, ours)
                    holds = apart.low <= 0.0 if equal else apart.high < 0.0
                    lines.append(
                        f"{ours}: {'no worse' if equal else 'better'} than {rival} on {problem}, {kind}: "
                        f"{'yes' if holds else 'no'}{', better' if apart.high < 0.0 else ''} "
                        f"(difference {apart.mean:+.2f} [{apart.low:+.2f}, {apart.high:+.2f}] points)"
                    )
    return lines


def report(frame: pd.DataFrame) -> str:
    """All tables and claims, as Markdown."""
    numbers = frame["repeat"]
    parts = [f"{numbers.nunique()} repeats, {numbers.min()} to {numbers.max()}."]
    for kind in RIVALS:
        parts += [f"Regret in percent, {kind}: median (mean ± standard error)", summary(frame, kind)]
    parts += ["The same on held-out seeds, had the trial with the lowest score been taken:"]
    parts += [summary(frame, NOISY, "by_score")]
    parts += ["Milliseconds of a suggestion, median", speeds(frame)]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in claims(frame))])


def main() -> None:
    parser = argparse.ArgumentParser(description="Our sampler beside Optuna's, on tables of real runs.")
    parser.add_argument("--repeats", type=int, help="repeats of each search (30, quick: 3)")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first repeat, which is its seed (0)"
    )
    parser.add_argument(
        "--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), help="which tables (all)"
    )
    parser.add_argument("--quick", action="store_true", help="coarse tables, few repeats: does it run?")
    parser.add_argument("--recompute", action="store_true", help="train the tables anew")
    parser.add_argument("--rows", type=Path, help="a CSV file for the result of every single search")
    given = parser.parse_args()
    torch.set_num_threads(1)
    count = given.repeats or (3 if given.quick else 30)
    repeats = range(given.first, given.first + count)
    frame = pd.DataFrame(results(given.problems, repeats, given.quick, given.recompute))
    if given.rows:
        frame.to_csv(given.rows, index=False)
    print(f"\n{report(frame)}")


if __name__ == "__main__":
    main()
