"""The first page that anybody sees on a cold and busy server shows what it was asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import Visitor, app, apps
from tests.opening import PAGES, Seen, opened, openings, wrong

LATE, QUIET, MOST = 6.0, 1.0, 60.0  # seconds


@pytest.fixture(scope="module")
def first(browser: Browser, served: Path) -> Iterator[tuple[Visitor, str]]:
    """Who was the first to ask a fresh server for anything, by a link to a page; its address."""
    with app(served) as address:
        visitor = Visitor(browser)
        visitor.open(address + "/train?dataset=moons&seed=4")
        yield visitor, address
        visitor.context.close()


def test_a_link_to_a_page_works_as_the_first_thing_a_server_sees(first: tuple[Visitor, str]) -> None:
    visitor, _ = first
    assert visitor.page.title() == "Momentum Lab"
    assert visitor.field("w_seed").input_value() == "4"
    assert visitor.page.get_by_role("link", name="Compare").count() >= 1
    assert visitor.page.get_by_text("_live").count() == 0
    assert visitor.complaints == []


@pytest.fixture(scope="module")
def usual(browser: Browser, first: tuple[Visitor, str]) -> dict[str, Seen]:
    """What each page shows when it is opened without a link, alone and on a server that is warm."""
    _, address = first
    return {path: opened(browser, [address + path], 0.0, QUIET, MOST)[0].every[-1] for path in PAGES}


WAYS = (0, 1, 4)  # of `openings`: bare, by a link, by the other link with run=1


@pytest.mark.parametrize("turn", range(len(WAYS)))
def test_four_pages_opened_at_once_on_cold_servers_by_a_busy_browser_show_what_was_asked(
    browser: Browser, served: Path, usual: dict[str, Seen], turn: int
) -> None:
    """Each page comes once in each way; `python -m tests.bench.opens` counts many more."""
    ways = [openings(path)[WAYS[(turn + shift) % len(WAYS)]] for shift, path in enumerate(PAGES)]
    with apps(len(ways), served) as servers:
        addresses = [server + each.link for server, each in zip(servers, ways, strict=True)]
        results = opened(browser, addresses, LATE, QUIET, MOST)
    lines = []
    for each, result in zip(ways, results, strict=True):
        found = wrong(each, result.every[-1], usual[each.path] if each.kind == "bare" else None)
        found += ["it never came to rest"] * (not result.rested)
        lines += [f"{each.link}: {line}" for line in found]
    assert not lines, "\n".join(lines)
