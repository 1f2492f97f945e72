"""The arrows between the modules, read from the sources: the order of this list is the architecture."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    *(
        "versions",
        "labels",
        "registry",
        "datasets",
        "models",
        "optimizers",
        "schedules",
        "landscapes",
        "config",
        "seeds",
        "networks",
    ),
    *("history", "engine", "statistics", "stability", "sharpness", "limit", "learned"),
    *("compare", "tuned", "verdict", "findings"),
    *("maps", "recommend", "rangetest", "store", "search", "jobs", "worker"),
    *("presets", "comparisons", "searches", "export", "charts"),
]
CHARTS_SEE = {"pandas", "altair"}
PAGES_SEE = {"core", "pages", "pandas", "streamlit"}


def module_of(file: Path) -> str:
    """The module of core that a file belongs to; a folder is one module."""
    return file.relative_to(ROOT / "core").parts[0].removesuffix(".py")


def imports(source: str, package: str = "") -> Iterator[str]:
    """Full names of everything a source imports, anywhere in it, also while types are checked."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def imported(file: Path) -> list[str]:
    return list(imports(file.read_text(encoding="utf-8"), ".".join(file.relative_to(ROOT).parts[:-1])))


def core_modules(names: list[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("core.")}


def files(folder: str) -> list[Path]:
    found = sorted(p for p in (ROOT / folder).rglob("*.py") if "data" not in p.relative_to(ROOT).parts[1:-1])
    return [p for p in found if p.name != "__main__.py" and p != ROOT / "core" / "__init__.py"]


def page_files() -> list[Path]:
    return [p for p in [ROOT / "app.py", *files("pages")] if p.exists()]


def faults(found: list[Path], allowed: Callable[[Path, list[str]], set[str]]) -> dict[str, set[str]]:
    """What each of some files imports and may not, by its name; empty if all is well."""
    wrong = {str(file.relative_to(ROOT)): allowed(file, imported(file)) for file in found}
    assert wrong
    return {name: names for name, names in wrong.items() if names}


def tops(names: list[str]) -> set[str]:
    """The packages of names, without those of the standard library."""
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)


def test_every_module_of_core_has_its_place_in_the_order() -> None:
    assert {module_of(file) for file in files("core")} <= set(ORDER)


def test_a_module_imports_only_from_modules_before_it() -> None:
    def later(file: Path, names: list[str]) -> set[str]:
        return core_modules(names) - set(ORDER[: ORDER.index(module_of(file)) + 1])

    assert faults(files("core"), later) == {}


def test_core_never_imports_streamlit_or_pages() -> None:
    assert faults(files("core"), lambda _, names: tops(names) & {"streamlit", "pages", "app"}) == {}


def test_charts_see_only_pandas_and_altair() -> None:
    def outside(_: Path, names: list[str]) -> set[str]:
        return tops([name for name in names if not name.startswith("core.charts")]) - CHARTS_SEE

    assert faults([f for f in files("core") if module_of(f) == "charts"], outside) == {}


def test_pages_see_only_core_pandas_streamlit_and_each_other() -> None:
    assert faults(page_files(), lambda _, names: tops(names) - PAGES_SEE) == {}


@pytest.mark.parametrize(
    ("source", "package", "names"),
    [
        ("import core.config as c, torch", "core", ["core.config", "torch"]),
        ("from core import config, jobs", "core", ["core.config", "core.jobs"]),
        ("from core.jobs import Jobs", "core", ["core.jobs.Jobs"]),
        ("from .jobs import Jobs", "core", ["core.jobs.Jobs"]),
        ("from . import jobs", "core", ["core.jobs"]),
        ("from ..jobs import Jobs", "core.engine", ["core.jobs.Jobs"]),
        ("def f():\n    import streamlit.web", "core", ["streamlit.web"]),
        ("if TYPE_CHECKING:\n    from torch import Tensor", "core", ["torch.Tensor"]),
    ],
)
def test_no_way_to_write_an_import_is_overlooked(source: str, package: str, names: list[str]) -> None:
    assert list(imports(source, package)) == names


HEAVY = "{'torch', 'pandas', 'streamlit', 'altair', 'optuna', 'scipy', 'sklearn', 'matplotlib'}"


LINK = "core.config.Config.from_query({'dataset': 'moons', 'model': 'mlp'})"


@pytest.mark.parametrize("module", ["config", "presets", "jobs"])
def test_what_a_page_needs_before_it_draws_is_light(module: str) -> None:
    """A page draws text and controls first; what it imports for that must not load what is slow to load."""
    heavy = HEAVY.replace("'pandas', ", "") if module != "config" else HEAVY
    code = f"import sys; import core.{module}; {LINK}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_nothing_at_run_time_loads_torch_optim_or_scikit_learn() -> None:
    loaded = {name for file in [*files("core"), *page_files()] for name in imported(file)}
    assert not {n for n in loaded if n.startswith("torch.optim") or n.split(".")[0] == "sklearn"}


def test_every_module_named_here_can_be_imported_if_it_is_there() -> None:
    for module in ORDER:
        if (ROOT / "core" / f"{module}.py").exists() or (ROOT / "core" / module).is_dir():
            importlib.import_module(f"core.{module}")


PUBLIC = {
    *("Config", "DATASETS", "MODELS", "OPTIMIZERS", "Space", "from_table"),
    *("learning_rate_limit", "run", "script", "search", "train"),
}


@pytest.mark.parametrize(
    "first", ["", "import core.search, core.engine; "], ids=["first", "after its modules"]
)
def test_the_public_names_come_from_core_itself_and_nothing_is_loaded_until_one_is_used(first: str) -> None:
    code = (
        f"import sys; {first}import core; early = sorted({HEAVY} & set(sys.modules)); "
        f"from core import {', '.join(PUBLIC)}; "
        "c = Config.from_query({'epochs': '1'}); "
        "print(early, len(run([c])), OPTIMIZERS[c.optimizer.name].name, "
        "len(search(c, Space(learning_rate=(0.001, 0.01)), trials=2, seeds=1).trials), len(script(c)) > 99)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    early, *rest = done.stdout.strip().rsplit(" ", 4)
    assert done.stderr == ""
    assert rest == ["2", "momentum", "2", "True"]
    assert first or early == "[]"


def test_core_lists_its_public_names_and_names_them_where_one_is_wrong() -> None:
    import core

    assert set(core.__all__) == PUBLIC
    assert set(dir(core)) >= PUBLIC
    with pytest.raises(AttributeError, match="it has DATASETS"):
        _ = core.nothing


def test_what_kind_of_rule_it_is_is_asked_of_the_rule_itself() -> None:
    rules = {"SGD", "Momentum", "Nesterov", "RMSprop", "Adagrad", "Adam", "AdamW"}
    asked = {
        (file.name, node.lineno)
        for file in [*files("core"), *page_files()]
        if file.name != "optimizers.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        if rules & {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
    }
    assert asked == set()
