"""What all tests share: the repository on the path, strict warnings, one thread, a browser, a server."""

import gc
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser import Visitor

sys.path.insert(0, str(Path(__file__).parents[1]))

import core  # noqa: F401  (before torch and NumPy multiply: it says how)


def pytest_configure(config: pytest.Config) -> None:
    import torch

    config.addinivalue_line("filterwarnings", "error")
    torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Spares every test what takes most of a short one's time.

    A job that ends has its garbage collected, which goes through all objects of all modules: these now count
    as permanent. And Streamlit would read what each installed package says of itself whenever a page opens.
    """
    if "streamlit" in sys.modules:
        from streamlit.components.v2 import manifest_scanner

        manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _jobs_end() -> Iterator[None]:
    """Leaves no job to the next test, in whichever file it stands."""
    yield
    jobs = sys.modules.get("core.jobs")
    if jobs is not None and jobs._manager is not None:
        for job in list(jobs._manager._jobs.values()):
            job.stop()


@pytest.fixture(scope="session")
def served() -> Path:
    """The checkout whose app is served."""
    return Path(os.environ.get("MOMENTUM_LAB_SERVED", Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def address(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the app, with a database of its own, for all the files that ask one."""
    from tests.browser import app

    with app(served, MOMENTUM_LAB_DB=f"sqlite:///{tmp_path_factory.mktemp('lab') / 'lab.db'}") as where:
        yield where


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    from tests.browser import launched

    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def people(browser: "Browser") -> Iterator[list["Visitor"]]:
    """Two persons for a whole file: a tab that has the app's scripts opens a page in a third of the time."""
    from tests.browser import Visitor

    both = [Visitor(browser), Visitor(browser)]
    yield both
    for one in both:
        one.context.close()


@pytest.fixture
def visitor(people: list["Visitor"]) -> Iterator["Visitor"]:
    """The first person, at whom the browser must not complain during a test."""
    yield people[0].anew()
    assert people[0].complaints == []


@pytest.fixture
def other(people: list["Visitor"]) -> Iterator["Visitor"]:
    """The second one, likewise."""
    yield people[1].anew()
    assert people[1].complaints == []
