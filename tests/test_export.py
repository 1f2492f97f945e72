"""Exports: a program prints the app's own numbers and shows nothing it does not need; settings come back."""

import ast
import io
import json
import re
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import core
from core import engine
from core.config import BadConfig, Config
from core.datasets import DATASETS, Dataset, from_table
from core.engine.problem import problem
from core.export import filename, from_settings, script, settings
from core.models import ACTIVATIONS
from core.optimizers import OPTIMIZERS, Momentum
from core.schedules import MOMENTUM_SCHEDULES, SCHEDULES, MomentumCycle, OneCycle

ROOT = Path(__file__).parents[1]
BASE = Config().but(epochs=3)
MOONS = Config().but(dataset="moons", model="mlp", epochs=2)
HOSTILE = ['"""', "'''; import os #", "\n\nraise SystemExit", "\\", "{x}", "%s", "a\x00b", "naïve ☃"]
DRIVER = """
import contextlib, io, json, pathlib, runpy, sys, torch, traceback
torch.set_num_threads(1)
outputs = {}
for path in sorted(pathlib.Path(".").glob("*.py")):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            runpy.run_path(str(path), run_name="__main__")
        except Exception:
            print(traceback.format_exc())
    outputs[path.stem] = printed.getvalue()
print(json.dumps([outputs, "core" in sys.modules]))
"""


def table(
    names: list[str] = HOSTILE, rows: int = 60, classes: bool = False, apart: float = 1e4, **columns: Any
) -> Dataset:
    """A table of one's own, whose columns and words have these names."""
    rng = np.random.default_rng(0)
    values = {name: rng.normal(apart * k, 3.0, rows) for k, name in enumerate(names)}
    words = np.array(names)[rng.integers(0, 4, rows)]
    target = np.where(np.arange(rows) % 2, *names[:2]) if classes else sum(values.values()) + rng.random(rows)
    frame = pd.DataFrame({**values, names[0] * 2: words, **columns, names[1] * 2: target})
    return from_table(frame, names[1] * 2, name=names[0])


def rare(rows: int) -> np.ndarray:
    """0 but for one row, which with seed 0 is kept for validation."""
    return np.eye(rows)[torch.randperm(rows, generator=torch.Generator().manual_seed(0))[0]]


def constant_target() -> Dataset:
    """A target that does not vary in the training rows."""
    frame = pd.DataFrame({"x": np.arange(40.0), "y": 0.5 + rare(40)})
    return from_table(frame, "y", task="regression")


def nearly_whole() -> Dataset:
    """Numbers that would fit into a byte, but for their last digits."""
    x = np.arange(40.0)
    return from_table(pd.DataFrame({"x": x + 1e-9, "y": (x + 1e-9) / 255}), "y", task="regression")


CASES: dict[str, Config] = {
    **{f"data-{name}": BASE.but(dataset=name, epochs=2) for name in DATASETS},
    **{f"activation-{name}": MOONS.but(activation=name) for name in ACTIVATIONS},
    **{f"rule-{name}": BASE.but(optimizer=name) for name in OPTIMIZERS},
    **{f"rate-{name}": BASE.but(schedule=name) for name in SCHEDULES},
    # Data
    "moons-noisy": MOONS.but(noise=0.4),
    "plane-exact": BASE.but(dataset="plane", noise=0.0, learning_rate=1e-3),
    "ravine-wide": BASE.but(dataset="ravine", inputs=9, condition=30.0, noise=0.5, learning_rate=1e-3),
    "squares-raw": BASE.but(dataset="squares", scale=False, learning_rate=1e-5),
    "mnist-raw": BASE.but(dataset="mnist5k", scale=False, epochs=1),
    "iris-raw": BASE.but(dataset="iris", scale=False),
    "table": BASE.but(dataset=table()),
    "table-raw": BASE.but(dataset=table(apart=0.1), scale=False, learning_rate=1e-4),
    "table-classes": BASE.but(dataset=table(classes=True), model="mlp"),
    "table-rare": BASE.but(dataset=table(rare=rare(60))),
    "table-one-row": BASE.but(dataset=table(rows=10), valid_fraction=0.9),
    "table-constant-target": BASE.but(dataset=constant_target(), learning_rate=1e-3),
    # Models
    "mlp-boston": BASE.but(model="mlp"),
    "mlp-deep": BASE.but(model="mlp", dataset="iris", hidden="7,3,5,4,6,9", activation="relu"),
    "mlp-narrow": MOONS.but(hidden="1"),
    "cnn": BASE.but(dataset="digits", model="cnn", channels="3", activation="gelu", epochs=1),
    "cnn-deep": BASE.but(dataset="digits", model="cnn", channels="2,4,3", activation="tanh", epochs=1),
    "cnn-bare": BASE.but(dataset="digits", model="cnn", activation="identity", valid_fraction=0.0, epochs=1),
    "mlp-pictures": BASE.but(dataset="digits", model="mlp", epochs=1),
    # Rules
    "sgd-decay": BASE.but(optimizer="sgd", weight_decay=0.3),
    "momentum-all": BASE.but(momentum=0.7, dampening=0.4, weight_decay=0.1),
    "momentum-off": BASE.but(momentum=0.0, dampening=0.4),
    "momentum-full": BASE.but(momentum=1.0, learning_rate=1e-4),
    "nesterov-all": BASE.but(optimizer="nesterov", momentum=0.7, weight_decay=0.1),
    "nesterov-off": BASE.but(optimizer="nesterov", momentum=0.0),
    "rmsprop-all": BASE.but(
        optimizer="rmsprop", alpha=0.8, epsilon=0.1, momentum=0.6, centered=True, weight_decay=0.1
    ),
    "adagrad-all": BASE.but(
        optimizer="adagrad",
        learning_rate=0.3,
        learning_rate_decay=0.05,
        initial_accumulator=0.3,
        epsilon=0.1,
        weight_decay=0.1,
    ),
    "adam-all": BASE.but(
        optimizer="adam",
        learning_rate=0.02,
        beta1=0.5,
        beta2=0.7,
        epsilon=0.1,
        amsgrad=True,
        weight_decay=0.1,
    ),
    "adam-plain": BASE.but(optimizer="adam", beta1=0.0, beta2=0.0, epsilon=1.0),
    "adamw-all": BASE.but(
        optimizer="adamw", learning_rate=0.02, beta1=0.5, beta2=0.7, amsgrad=True, weight_decay=2.0
    ),
    "adamw-off": BASE.but(optimizer="adamw", weight_decay=0.0, learning_rate=0.02),
    # Schedules
    "step-cut": BASE.but(schedule="step", decay=0.3, every=2, epochs=5),
    "step-adamw": BASE.but(schedule="step", decay=0.3, every=1, optimizer="adamw", weight_decay=3.0),
    "cosine-final": BASE.but(schedule="cosine", final=0.4),
    "warmup-none": BASE.but(schedule="warmup", warmup=0.0),
    "warmup-all": BASE.but(schedule="warmup", warmup=1.0, optimizer="sgd", valid_fraction=0.0),
    "onecycle-early": BASE.but(schedule="onecycle", peak=0.0),
    "onecycle-late": BASE.but(schedule="onecycle", peak=1.0, optimizer="adagrad"),
    "onecycle-short": BASE.but(schedule="onecycle", batch_size=405, epochs=2, peak=0.5),
    **{
        f"{name}-{rule}": BASE.but(
            optimizer=rule, momentum_schedule=name, momentum_low=0.3, learning_rate=3e-3
        ).but(**({"momentum": "0.9"} if rule == "rmsprop" else {}))
        for name in MOMENTUM_SCHEDULES
        for rule in OPTIMIZERS
    },
    "ramp-none": BASE.but(momentum_schedule="ramp", ramp=0.0),
    "ramp-beyond-adam": BASE.but(optimizer="adam", momentum_schedule="ramp", momentum_start=1.0),
    "ramp-all": BASE.but(momentum_schedule="ramp", ramp=1.0, momentum_start=0.99),
    "ramp-from-zero": BASE.but(momentum_schedule="ramp", momentum_start=0.0, ramp=0.02, dampening=0.5),
    "ramp-to-zero": BASE.but(momentum_schedule="ramp", momentum=0.0, dampening=0.5),
    "ramp-nesterov-to-zero": BASE.but(momentum_schedule="ramp", optimizer="nesterov", momentum=0.0),
    "ramp-rmsprop-from-zero": BASE.but(
        momentum_schedule="ramp", optimizer="rmsprop", momentum_start=0.0, momentum=0.8
    ),
    "cycle-through-zero": BASE.but(
        momentum_schedule="cycle", momentum_low=0.0, dampening=0.5, batch_size=100, epochs=4, peak=0.5625
    ),
    "sutskever-long": BASE.but(momentum_schedule="sutskever", batch_size=1, epochs=1, learning_rate=1e-4),
    "both": BASE.but(schedule="onecycle", momentum_schedule="cycle", optimizer="adam"),
    "both-peaks": Config(
        optimizer=Momentum(dampening=0.2),
        schedule=OneCycle(peak=0.6),
        momentum_schedule=MomentumCycle(momentum_low=0.5, peak=0.2),
        epochs=3,
    ),
    # Batches, seeds, parts
    "all-rows": BASE.but(valid_fraction=0.0),
    "all-rows-classes": BASE.but(dataset="wine", valid_fraction=0.0),
    "half": BASE.but(valid_fraction=0.5),
    "batch-1": BASE.but(batch_size=1, learning_rate=1e-4, epochs=2),
    "batch-ragged": BASE.but(batch_size=101),
    "batch-full": BASE.but(batch_size=405, epochs=8),
    "batch-over": BASE.but(batch_size=100_000, epochs=8),
    "seed-7": BASE.but(seed=7),
    "seed-largest": MOONS.but(seed=1_000_000_000),
    "long": BASE.but(epochs=60, batch_size=64),
    # Runs that are lost
    "lost-within-an-epoch": BASE.but(learning_rate=1.0),
    "lost-at-an-epochs-first-batch": BASE.but(learning_rate=0.141, epochs=30),
    "lost-before-the-first-update": BASE.but(dataset=table(), scale=False),
    "lost-after-an-epoch": BASE.but(learning_rate=1.0, batch_size=405, epochs=40),
    "lost-at-once": BASE.but(learning_rate=1e4, batch_size=405),
    "lost-to-nan": BASE.but(model="mlp", hidden="9,9,9,9", activation="relu", learning_rate=1e4),
    "lost-to-nan-at-once": BASE.but(dataset="digits", scale=False, optimizer="adam", epsilon=0.0),
    "lost-raw": BASE.but(dataset="squares", scale=False, learning_rate=0.1, momentum=0.0),
    "lost-classes": BASE.but(dataset="wine", scale=False, learning_rate=2.59, batch_size=16),
    "lost-constant-target": BASE.but(dataset=constant_target(), learning_rate=2.0, epochs=40),
}
EDITS: dict[str, Callable[[str], str]] = {
    "edited-seed": lambda text: text.replace("SEED = 0", "SEED = 7"),
    "edited-rate": lambda text: text.replace("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.003"),
    "edited-batch": lambda text: text.replace("BATCH_SIZE = 32", "BATCH_SIZE = 50"),
}
EDITED = BASE.but(schedule="cosine", momentum_schedule="ramp")
CASES |= {
    "edited-seed": EDITED.but(seed=7),
    "edited-rate": EDITED.but(learning_rate=0.003),
    "edited-batch": EDITED.but(batch_size=50),
}
DOUBLE = [name for name in CASES if name.startswith("rule-") or name.endswith(("-all", "-zero", "-peaks"))]
PLAIN = ["abcdefgh"[sorted(HOSTILE).index(name)] for name in HOSTILE]  # in the same order
each_case = pytest.mark.parametrize("name", CASES)


def in_double_precision(text: str) -> str:
    """The program with its tensors and its model, whose weights are drawn as before, in double precision."""
    text = text.replace("dtype=torch.float32", "dtype=torch.float64")
    return text.replace("    optimizer =", "    model = model.double()\n    optimizer =", 1)


@pytest.fixture(scope="module")
def programs() -> dict[str, str]:
    texts = {name: EDITS[name](script(EDITED)) if name in EDITS else script(c) for name, c in CASES.items()}
    return texts | {f"double-{name}": in_double_precision(texts[name]) for name in DOUBLE}


@pytest.fixture(scope="module")
def folder(programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All programs, each in its file."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> tuple[dict[str, str], dict[str, pd.DataFrame]]:
    """What each program printed, and what the engine says of the same run."""
    command = [sys.executable, "-I", "-W", "error", "-c", DRIVER]
    driver = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    answers: list[tuple[str, str]] = []
    reader = threading.Thread(target=lambda: answers.append(driver.communicate()))
    reader.start()
    frame = engine.run(list(CASES.values()))
    double = engine.run([CASES[name] for name in DOUBLE], dtype=torch.float64)
    reader.join()
    printed, errors = answers[0]
    assert (driver.returncode, errors) == (0, "")
    outputs, core_was_imported = json.loads(printed)
    assert not core_was_imported
    runs = {name: frame[frame.run == run] for run, name in enumerate(CASES)}
    return outputs, runs | {f"double-{name}": double[double.run == run] for run, name in enumerate(DOUBLE)}


@each_case
def test_a_program_prints_the_apps_own_numbers(name: str, results: Any) -> None:
    text, run = results[0][name], results[1][name]
    assert text.startswith("epoch,train_loss,valid_loss\n"), text
    printed = pd.read_csv(io.StringIO(text))
    assert printed.epoch.tolist() == run.epoch.tolist()
    for column in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(printed[column], run[column], rtol=1e-5)


@pytest.mark.parametrize("name", DOUBLE)
def test_in_double_precision_they_agree_to_the_last_printed_digit(name: str, results: Any) -> None:
    printed, run = pd.read_csv(io.StringIO(results[0][f"double-{name}"])), results[1][f"double-{name}"]
    for column in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(printed[column], run[column], rtol=1e-8)


def test_the_runs_that_are_to_be_lost_are_and_no_others(results: Any) -> None:
    lost = {name for name, run in results[1].items() if run.status.iloc[-1] == "diverged"}
    assert lost == {name for name in CASES if name.startswith("lost-")}


def test_without_validation_rows_the_last_column_is_empty_as_in_the_apps_csv(results: Any) -> None:
    columns = ["epoch", "train_loss", "valid_loss"]
    app = results[1]["all-rows"][columns].to_csv(index=False).splitlines()
    printed = results[0]["all-rows"].splitlines()
    assert app[0] == printed[0]
    assert len(app) == len(printed) == 5
    assert all(line.endswith(",") and line.count(",") == 2 for line in app[1:] + printed[1:])


def test_a_program_runs_alone_in_an_empty_folder_and_says_nothing_else(tmp_path: Path) -> None:
    config = BASE.but(epochs=2)
    file = tmp_path / filename(config)
    file.write_text(script(config), encoding="utf-8")
    command = [sys.executable, "-I", "-W", "error", file.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["epoch", "0", "1", "2"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_every_program_passes_the_linter_and_is_formatted(folder: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "ruff.toml"), "--no-cache", "."]
    for command in (
        ["check", "--ignore", "TID251"],
        ["format", "--check"],
    ):  # TID251: what the app must not use
        done = subprocess.run(
            [*ruff, *command, *config], cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


@each_case
def test_a_program_imports_torch_and_numpy_and_nothing_else_that_must_be_installed(
    name: str, programs: dict[str, str]
) -> None:
    tree = ast.parse(programs[name])
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert modules - set(sys.stdlib_module_names) == {"torch", "numpy"}


@each_case
def test_a_program_shows_nothing_that_it_does_not_use(name: str, programs: dict[str, str]) -> None:
    text = programs[name]
    tree = ast.parse(text)
    assigned = [t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    defined = [*assigned, *(node.name for node in tree.body if isinstance(node, ast.FunctionDef))]
    used = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert set(defined) <= used
    assert len(defined) == len(set(defined))


def test_without_momentum_nothing_is_said_of_dampening(programs: dict[str, str]) -> None:
    assert "dampening" not in programs["momentum-off"].lower()
    assert "dampening=DAMPENING" in programs["momentum-all"]


def test_the_readable_part_of_a_program_fits_on_two_screens(programs: dict[str, str]) -> None:
    lengths = {name: len(text.split("FEATURES = ")[0].splitlines()) for name, text in programs.items()}
    assert lengths["data-boston"] < 90
    assert max(lengths.values()) < 140


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("name", [*DATASETS, "table", "nearly whole"])
def test_the_data_of_a_program_are_the_engines_to_the_last_bit(
    name: str, scale: bool, tmp_path: Path
) -> None:
    data = DATASETS[name] if name in DATASETS else table(apart=1e4) if name == "table" else nearly_whole()
    config = Config(dataset=data, scale=scale, seed=3)
    file = tmp_path / "program.py"
    file.write_text(script(config), encoding="utf-8")
    x, y, x_valid, y_valid = runpy.run_path(str(file))["load"]()
    expected = problem(config)
    assert torch.equal(x, expected.x_train)
    assert torch.equal(x_valid, expected.x_valid)
    for part, target in ((y, expected.y_train), (y_valid, expected.y_valid)):
        assert torch.equal(part, target.argmax(1) if data.classes else target)


@pytest.mark.parametrize("classes", [False, True])
def test_no_name_of_a_users_table_is_in_the_program(classes: bool) -> None:
    hostile, plain = table(classes=classes), table(PLAIN, classes=classes)
    texts = [script(Config(dataset=data)).replace(data.name, "a table") for data in (hostile, plain)]
    assert texts[0] == texts[1]
    assert texts[0].isascii()


def test_a_datasets_own_name_cannot_break_out_of_the_text_or_of_the_folder() -> None:
    data = table()
    for name in [*HOSTILE, "../../etc/passwd", "C:\\x", "a" * 5 + "\r\n"]:
        object.__setattr__(data, "name", name)
        text = script(Config(dataset=data))
        compile(text, "program", "exec")
        docstring = ast.get_docstring(ast.parse(text))
        assert docstring is not None
        assert docstring.endswith("at the end of this file.")
        assert re.fullmatch(r"[A-Za-z0-9_-]+\.py", filename(Config(dataset=data)))


def test_a_filename_says_what_the_run_is() -> None:
    assert filename(Config()) == "boston-linear-momentum.py"
    data = table()
    assert filename(MOONS.but(dataset=data, optimizer="adamw")) == f"{data.name}-mlp-adamw.py"


@each_case
def test_settings_come_back_as_they_were(name: str) -> None:
    config = CASES[name]
    if config.dataset.name in DATASETS and name != "both-peaks":  # which no link can say
        assert from_settings(settings(config)) == config
    words = json.loads(settings(config))
    versions = {"momentum_lab": core.__version__, "torch": version("torch"), "optuna": version("optuna")}
    assert words == {"app": "momentum-lab", **versions, **config.words()}
    for word in ("dataset", "model", "optimizer", "seed", "learning_rate", "batch_size", "epochs"):
        assert word in words, "also where it is at its default"


def test_settings_of_the_first_version_still_open() -> None:
    assert from_settings('{"app": "momentum-lab", "epochs": "5"}') == Config(epochs=5)


def test_settings_that_are_at_defaults_stay_what_they_are_when_a_default_changes() -> None:
    """A file names them all: read without the defaults of now, it gives the same config."""
    config = MOONS.but(optimizer="adamw")
    words = json.loads(settings(config))
    assert config.words().items() <= words.items()
    assert len(config.words()) > len(config.to_query())


def test_settings_of_a_users_table_name_the_table_that_is_missing() -> None:
    data = table()
    with pytest.raises(BadConfig, match=f"No dataset named '{data.name}'"):
        from_settings(settings(Config(dataset=data)))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "null", "[]", "3", '"momentum-lab"', "{}", "[" * 100_000, '{"app": NaN}'),
        *('{"epochs": "5"}', '{"app": "another", "epochs": "5"}', '{"app": ["momentum-lab"]}'),
        '{"app": "momentum-lab", "epochs": 5}',
        '{"app": "momentum-lab", "hidden": ["16"]}',
    ],
)
def test_what_is_no_settings_file_gets_one_sentence(text: str) -> None:
    with pytest.raises(
        BadConfig, match=r'must be JSON of words with texts, one of them "app": "momentum-lab"'
    ):
        from_settings(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"epochs": "0"}, r"epochs must be a whole number in \[1, 10000\], got '?0"),
        ({"epoch": "5"}, "There is no setting named 'epoch'. Did you mean 'epochs'"),
        ({"dataset": "../secret"}, "No dataset named '../secret'"),
    ],
)
def test_settings_that_cannot_be_are_answered_as_a_link_is(words: dict[str, str], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        from_settings(json.dumps({"app": "momentum-lab", **words}))
