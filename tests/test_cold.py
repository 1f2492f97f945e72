"""The first page that anybody sees on a cold and busy server shows what it was asked for."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import ROOT, app, apps
from tests.opening import PAGES, Seen, opened, openings, wrong

SERVED = Path(os.environ.get("MOMENTUM_LAB_SERVED", ROOT))
LATE, QUIET, MOST = 6.0, 1.0, 60.0  # seconds


@pytest.fixture(scope="module")
def usual(browser: Browser) -> dict[str, Seen]:
    """What each page shows when it is opened without a link, alone and on a server that is warm."""
    with app(SERVED) as address:
        return {path: opened(browser, [address + path], 0.0, QUIET, MOST)[0].every[-1] for path in PAGES}


@pytest.mark.parametrize("way", range(10))
def test_four_pages_opened_at_once_on_cold_servers_by_a_busy_browser_show_what_was_asked(
    browser: Browser, usual: dict[str, Seen], way: int
) -> None:
    ways = [openings(path)[(way + shift) % 10] for shift, path in enumerate(PAGES)]
    with apps(len(ways), SERVED) as servers:
        addresses = [server + each.link for server, each in zip(servers, ways, strict=True)]
        results = opened(browser, addresses, LATE, QUIET, MOST)
    lines = []
    for each, result in zip(ways, results, strict=True):
        found = wrong(each, result.every[-1], usual[each.path] if each.kind == "bare" else None)
        found += ["it never came to rest"] * (not result.rested)
        lines += [f"{each.link}: {line}" for line in found]
    assert not lines, "\n".join(lines)
