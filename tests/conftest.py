"""What all tests share: the repository on the path, strict warnings, one thread of torch, a browser."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1]))

import core  # noqa: F401  (before torch and NumPy multiply: it says how)


def pytest_configure(config: pytest.Config) -> None:
    import torch

    config.addinivalue_line("filterwarnings", "error")
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _jobs_end() -> Iterator[None]:
    """Leaves no job to the next test, in whichever file it stands."""
    yield
    jobs = sys.modules.get("core.jobs")
    if jobs is not None and jobs._manager is not None:
        for job in list(jobs._manager._jobs.values()):
            job.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    from tests.browser import launched

    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()
