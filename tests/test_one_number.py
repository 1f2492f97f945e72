"""One setting has one number, wherever it is read: on every page, in the files, in the program, in Optuna."""

import io
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import optuna
import pandas as pd
import pytest

from core import Config, Space, run, script
from core.compare import Comparison, measure, summarise
from core.engine import Training
from core.maps import Axes, Map
from core.optimizers import SGD, Momentum
from core.search.file import to_bytes
from core.search.plan import Plan
from core.search.study import Search
from core.search.trials import to_csv

SEEDS = 3
RULE = Momentum(learning_rate=0.01, momentum=0.8)
CONFIG = Config(optimizer=RULE, batch_size=32, epochs=4)


@pytest.fixture(scope="module")
def losses() -> np.ndarray:
    """The last validation loss of each seed, each run trained alone."""
    return np.array(
        [run([CONFIG.but(seed=seed)])["valid_loss"].iloc[-1].item() for seed in range(SEEDS)], dtype=float
    )


@pytest.fixture(scope="module")
def searched() -> Search:
    """A search whose first trial is the setting."""
    space = Space(learning_rate=(0.001, 0.1), batch_size=(1, 100), momentum=(0.0, 0.99))
    search = Search(Plan(CONFIG, space, trials=4, seeds=SEEDS, batch=2))
    while search.active:
        search.advance()
    return search


def test_compare_states_the_losses_of_the_runs(losses: np.ndarray) -> None:
    compared = Comparison(CONFIG, (SGD(), RULE), SEEDS)
    training = Training(compared.configs())
    while training.active:
        training.advance()
    measures = measure(training, len(compared.rules), SEEDS, CONFIG.epochs)
    own = summarise(measures, compared.rules, 0.1)[1].final
    assert own.tolist() == losses.tolist()


def test_a_cell_of_the_map_has_the_loss_of_its_run(losses: np.ndarray) -> None:
    axes = Axes(np.array([0.005, RULE.learning_rate]), np.array([0.0, RULE.momentum]))
    measured = Map(CONFIG, axes)
    while measured.active:
        measured.advance()
    assert measured.loss[1, 1] == losses[0]


def test_the_search_its_csv_and_optuna_state_the_losses_of_the_runs(
    losses: np.ndarray, searched: Search, tmp_path: Path
) -> None:
    row = searched.table().iloc[0]
    assert row["number"] == 0
    assert list(row["losses"]) == losses.tolist()

    line = pd.read_csv(io.StringIO(to_csv(searched.table(), searched.plan))).iloc[0]
    assert [line[f"loss_seed_{seed}"] for seed in range(SEEDS)] == pytest.approx(losses.tolist(), rel=1e-12)
    again = Config.from_query(dict(parse_qsl(line["config"])))
    assert run([again])["valid_loss"].iloc[-1] == losses[0]

    path = tmp_path / "study.db"
    path.write_bytes(to_bytes(searched.study))
    with sqlite3.connect(path) as connection:
        ((name,),) = connection.execute("SELECT study_name FROM studies").fetchall()
    trial = optuna.load_study(study_name=name, storage=f"sqlite:///{path}").trials[0]
    mean = float(np.exp(np.log(losses).mean()))
    assert trial.value == pytest.approx(mean, rel=1e-9)
    assert row["loss"] == pytest.approx(mean, rel=1e-9)
    assert trial.params["learning_rate"] == pytest.approx(RULE.learning_rate)
    assert (trial.params["batch_size"], trial.params["momentum"]) == (32, pytest.approx(RULE.momentum))
    assert trial.intermediate_values[CONFIG.epochs] == pytest.approx(mean, rel=1e-6)


def test_the_fresh_seeds_of_a_search_state_the_losses_of_their_runs(searched: Search) -> None:
    check = searched.checks[0]
    best = searched.config(check.number)
    alone = [run([best.but(seed=s)])["valid_loss"].iloc[-1] for s in searched.plan.fresh_seeds]
    assert check.losses.tolist() == alone


def test_the_program_prints_the_losses_of_the_run(losses: np.ndarray, tmp_path: Path) -> None:
    program = tmp_path / "run.py"
    program.write_text(script(CONFIG))
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    printed = pd.read_csv(io.StringIO(done.stdout))
    assert printed["valid_loss"].iloc[-1] == pytest.approx(losses[0], rel=1e-5)
