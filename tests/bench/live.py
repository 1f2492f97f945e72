"""What watching costs: python -m tests.bench.live

The same run, by core.engine alone and as a job that a real Chromium watches at full speed, in turns, so that
a busy machine slows both. Updates are counted per second: of the wall; of the wall less the time in which the
training thread was ready but other processes had the processor (Chromium draws on the same machine); of the
training thread's own processor time; of the processor time of the whole process, ticks included. Compare the
wall on an idle machine only. The run: two moons, MLP 2-16-16-2, batch 32, momentum.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import MOUNTS, ROOT, app, launched

TURNS = 5
SETTLED, WATCHED = 3.0, 6.0  # seconds before and while updates are counted
QUERY = {"dataset": "moons", "model": "mlp", "epochs": "10000"}
LINK = "&".join(f"{word}={text}" for word, text in (QUERY | {"speed": "fast", "run": "1"}).items())
TICKS = """() => { window.ticks = 0; new MutationObserver(() => window.ticks++).observe(
  document.querySelector('.stProgress'), {childList: true, subtree: true, characterData: true}); }"""
HEADLESS = f"""
import json, time
from pathlib import Path
import core, torch
from core.config import Config
from core.engine import Training
torch.set_num_threads(1)
training = Training([Config.from_query({QUERY})])
for _ in range(20): training.advance()
def waited(): return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
before, kept = training.done, waited()
wall, own, all = time.perf_counter(), time.thread_time(), time.process_time()
while time.perf_counter() - wall < {WATCHED} and training.active:
    training.advance()
passed = time.perf_counter() - wall
print(json.dumps([training.done - before, passed, passed - (waited() - kept), time.thread_time() - own,
                  time.process_time() - all]))
"""


class Rates(NamedTuple):
    """Updates a second of four clocks, as above."""

    wall: float
    free: float
    thread: float
    process: float


class Watching(NamedTuple):
    """What watching was like."""

    rates: Rates
    ticks: float  # a second
    kilobytes: float  # a tick, on the websocket
    mounts: int


def headless() -> Rates:
    """The engine alone, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", HEADLESS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    updates, *seconds = json.loads(done.stdout)
    return Rates(*(updates / each for each in seconds))


def watched(browser: Browser) -> Watching:
    """The same run as a job, with a page on it."""
    with app() as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        received: list[int] = []
        page.on("websocket", lambda s: s.on("framereceived", lambda frame: received.append(len(frame))))
        page.goto(f"{address}/?{LINK}")
        page.wait_for_selector("svg.marks", state="attached")
        page.wait_for_timeout(1000 * SETTLED)
        server = _server_of(address)
        page.evaluate(MOUNTS)
        page.evaluate(TICKS)
        first, threads, begin = _next_update(page), _threads(server), time.perf_counter()
        bytes_before, ticks_before = sum(received), page.evaluate("window.ticks")
        page.wait_for_timeout(1000 * WATCHED)
        last, now, wall = _next_update(page), _threads(server), time.perf_counter() - begin
        spent = {k: now[k].spent - threads.get(k, Thread(0.0, 0.0)).spent for k in now}
        training, updates = max(spent, key=spent.__getitem__), last - first
        kept = now[training].kept_waiting - threads[training].kept_waiting
        ticks = page.evaluate("window.ticks") - ticks_before
        mounts = page.evaluate("window.mounts")
        page.close()
    kilobytes = (sum(received) - bytes_before) / 1000 / ticks
    rates = Rates(*(updates / each for each in (wall, wall - kept, spent[training], sum(spent.values()))))
    return Watching(rates, ticks / wall, kilobytes, mounts)


def _next_update(page: Page) -> int:
    """The number of the update that the page tells next, at the moment it does."""
    now = "document.querySelector('.stProgress').innerText"
    page.wait_for_function(f"before => {now} !== before", arg=page.evaluate(now), polling=10)
    found = re.search(r"update ([\d,]+) of", page.evaluate(now))
    assert found, page.evaluate(now)
    return int(found[1].replace(",", ""))


def _server_of(address: str) -> int:
    """The process that was started for the address."""
    port = address.rsplit(":", 1)[1]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and port in _words(entry / "cmdline"):
            return int(entry.name)
    raise RuntimeError(f"No process serves {address}.")


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split("\0")
    except OSError:
        return []


class Thread(NamedTuple):
    """Seconds that a thread has had a processor, and that it was ready but another had it."""

    spent: float
    kept_waiting: float


def _threads(process: int) -> dict[str, Thread]:
    """What the threads of a process have had (Linux)."""
    found = {}
    for thread in Path(f"/proc/{process}/task").iterdir():
        spent, waited, _ = (thread / "schedstat").read_text().split()
        found[thread.name] = Thread(int(spent) / 1e9, int(waited) / 1e9)
    return found


def main() -> None:
    """Prints the table."""
    alone: list[Rates] = []
    live: list[Watching] = []
    with sync_playwright() as playwright:
        browser = launched(playwright)
        for turn in range(TURNS):
            alone.append(headless())
            live.append(watched(browser))
            print(
                f"turn {turn + 1}: alone {alone[-1].wall:,.0f}, watched {live[-1].rates.wall:,.0f} a second"
            )
        browser.close()
    print(
        f"\n{'updates a second of':<22}{'alone':>10}{'watched':>10}{'ratio':>8}   (medians of {TURNS} turns)"
    )
    names = ("wall", "wall, others left out", "training thread", "process")
    for name, words in zip(Rates._fields, names, strict=True):
        a = [getattr(rates, name) for rates in alone]
        b = [getattr(one.rates, name) for one in live]
        ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
        print(f"{words:<22}{statistics.median(a):>10,.0f}{statistics.median(b):>10,.0f}{ratio:>8.0%}")
    for name, text in (
        ("ticks", "ticks a second"),
        ("kilobytes", "kB a tick"),
        ("mounts", "charts re-mounted"),
    ):
        print(f"{text:<22}{'':>10}{statistics.median(getattr(one, name) for one in live):>10.1f}")


if __name__ == "__main__":
    main()
