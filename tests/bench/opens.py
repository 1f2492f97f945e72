"""How often a page that is opened on a cold and busy server shows what it was asked for.

python -m tests.bench.opens [--root DIR] [--rounds 10] [--busy 2] [--late 10]

In each round the four pages are opened at once, each on a fresh server and in a fresh profile, with two other
processes that want the processor. A page is wrong if any field or the address is not what the link says;
without a link, if it is not what the same server shows once it is left in peace. It flashed if a field was
wrong for a moment.

A fast machine is right nearly always even where a slow one is wrong in a third of all opens. So the pages are
late as well: for ten seconds after the server's first word they are too busy to listen, then hear all of it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

from tests.browser import ROOT, apps, busy, launched
from tests.opening import PAGES, Opened, Opening, flashed, opened, openings, wrong

QUIET, MOST = 2.0, 60.0  # seconds that a page must be still, and how long that is waited for
KINDS = ("bare", "link", "run")


@dataclass(frozen=True)
class Result:
    """What came of one open."""

    opening: Opening
    found: list[str]
    flashed: bool
    opened: Opened


def once(playwright: Playwright, root: Path, ways: list[Opening], others: int, late: float) -> list[Result]:
    """One round: cold opens at the same time."""
    browser = launched(playwright)
    with apps(len(ways), root) as servers:
        addresses = [server + way.link for server, way in zip(servers, ways, strict=True)]
        with busy(others):
            cold = opened(browser, addresses, late, QUIET, MOST)
        bare = [address for address, way in zip(addresses, ways, strict=True) if way.kind == "bare"]
        calm = iter([opened(browser, [address], 0.0, QUIET, MOST)[0] for address in bare])
    browser.close()
    results = []
    for way, one in zip(ways, cold, strict=True):
        usual = next(calm).every[-1] if way.kind == "bare" else None
        flashes = usual is None and any(flashed(way, seen) for seen in one.every)
        results.append(Result(way, wrong(way, one.every[-1], usual), flashes, one))
    return results


def main() -> None:
    """Prints a line for each open and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose app is served")
    parser.add_argument("--rounds", type=int, default=10, help="opens of each page")
    parser.add_argument("--busy", type=int, default=2, help="processes beside them")
    parser.add_argument("--late", type=float, default=10.0, help="seconds that the pages do not listen")
    asked = parser.parse_args()
    root = asked.root.resolve()
    sys.path.insert(0, str(root))
    results: list[Result] = []
    with sync_playwright() as playwright:
        for k in range(asked.rounds):
            ways = [openings(path)[(k + shift) % 5] for shift, path in enumerate(PAGES)]
            for result in once(playwright, root, ways, asked.busy, asked.late):
                results.append(result)
                tell(result)
    table(results)


def tell(result: Result) -> None:
    """Prints one open."""
    words = ["wrong" if result.found else "right"]
    words += [f"{result.opened.chart:.1f} s" if result.opened.chart else "no chart"]
    words += ["flashed"] * result.flashed + ["never still"] * (not result.opened.rested)
    print(f"{', '.join(words):<24}{result.opening.link}")
    print("".join(f"    {line}\n" for line in result.found), end="", flush=True)


def table(results: list[Result]) -> None:
    """Wrong of all opens, by page and kind, and how soon the first chart came."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        for path in (result.opening.path, "all"):
            for kind in (result.opening.kind, "all"):
                groups[path, kind].append(result)
    heads = (*KINDS, "all", "flashed", "chart")
    print(f"\n{'wrong / opens':<14}" + "".join(f"{head:>9}" for head in heads))
    for path in (*PAGES, "all"):
        row = groups[path, "all"]
        of = (groups[path, kind] for kind in (*KINDS, "all"))
        cells = [f"{sum(bool(r.found) for r in group)} / {len(group)}" for group in of]
        charts = [r.opened.chart for r in row if r.opened.chart]
        cells += [
            str(sum(r.flashed for r in row)),
            f"{statistics.median(charts):.1f} s" if charts else "none",
        ]
        print(f"{path:<14}" + "".join(f"{cell:>9}" for cell in cells))


if __name__ == "__main__":
    main()
