"""Pictures of the pages and what of them is in the first screen: python -m tests.looks OUTDIR [options]

For each page, state, size and scheme it writes a screenshot of the window as it opens, and prints where the
first chart begins and ends, where the verdict and "what to notice" end, how many links to pages are in sight,
whether the page is wider than the window, and which text is cut. A size is WIDTHxHEIGHT, with @1.5 for a
screen of that many pixels a point, as at 150 % zoom.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from tests.browser import ROOT, app, launched

PROBLEM = "dataset=moons&model=mlp"
PATHS = {
    "train": f"/?{PROBLEM}&learning_rate=0.1",
    "compare": f"/compare?{PROBLEM}&epochs=30",
    "stability": "/stability?dataset=diabetes&epochs=10",
    "tune": "/tune?dataset=diabetes&epochs=10",
}
STATES = {"idle": "", "running": "&speed=slow&run=1", "done": "&speed=fast&run=1"}
SIZES = ("1366x768", "911x768", "400x800", "911x512@1.5")
STARTED = """([state]) => { const said = document.querySelector('.stProgress')?.innerText ?? '';
  return state === 'idle'
    || (state === 'done' ? said.startsWith('Finished') : /^(Running|Searching|Measur)/.test(said)); }"""
DRAWN = """() => document.querySelector('svg.marks, canvas.marks')
  && document.querySelector('[data-testid=stApp]').dataset.testConnectionState === 'CONNECTED'"""
MEASURE = """() => {
  const box = e => e?.getBoundingClientRect(), round = Math.round;
  const seen = e => e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && box(e).width > 2
    && box(e).right > 0 && box(e).left < innerWidth;
  const chart = box([...document.querySelectorAll('svg.marks, canvas.marks')].find(seen));
  const verdict = document.querySelector('.st-key-verdict [data-testid=stMarkdownContainer]');
  const notice = [...document.querySelectorAll('strong')].find(e => /what to notice/i.test(e.innerText));
  const cut = new Set();
  for (const e of document.querySelectorAll('[data-testid=stMain] *, [data-testid=stSidebar] *, header *')) {
    const own = e.value ?? [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join('').trim();
    if (!own || e.closest('svg') || ['range', 'checkbox'].includes(e.type) || !seen(e)) continue;
    const style = getComputedStyle(e);
    const hides = style.overflowX !== 'visible' || style.textOverflow === 'ellipsis';
    let outer = e, hidden = hides && e.scrollWidth > e.clientWidth + 1;
    for (let i = 0; i < 3 && !hidden && (outer = outer.parentElement); i++)
      hidden = getComputedStyle(outer).overflowX === 'hidden' && box(e).right > box(outer).right + 1;
    const words = style.overflowWrap !== 'normal' && own.length < 30 && !/\\s/.test(own)
      && box(e).height > 1.8 * (parseFloat(style.lineHeight) || 20);
    if (hidden) cut.add(own.slice(0, 24));
    else if (words) cut.add(own.slice(0, 24) + ' (broken)');
  }
  const links = [...document.querySelectorAll('a')].filter(
    e => /^(Train|Compare|Stability|Tune)$/.test(e.innerText.trim()) && seen(e) && box(e).top < innerHeight);
  return {links: links.length, top: chart && round(chart.top), bottom: chart && round(chart.bottom),
    verdict: verdict && round(box(verdict).bottom), notice: notice && round(box(notice).bottom),
    cut: [...cut], wide: document.documentElement.scrollWidth - innerWidth};
}"""


@contextmanager
def shown(browser: Browser, address: str, state: str, size: str, scheme: str) -> Iterator[Page]:
    """A page in a state, in a window of a size."""
    points, _, factor = size.partition("@")
    width, height = map(int, points.split("x"))
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=float(factor or 1),
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_function(DRAWN, timeout=60_000)
    try:
        page.wait_for_function(STARTED, arg=[state], timeout=60_000)
    except TimeoutError:
        print(f"never {state}: {page.locator('.stProgress').first.inner_text()!r}")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", state="attached")
    page.evaluate("document.fonts.ready.then(() => true)")
    page.wait_for_timeout(700)  # charts are drawn a frame or two after their data has come
    yield page
    context.close()


def line(found: dict[str, Any], height: int) -> str:
    """What was measured, for a person; what is below the first screen has a star."""
    cells = []
    for name in ("top", "bottom", "verdict", "notice"):
        at = found[name]
        cells.append("–" if at is None else f"{at}{'*' * (at > height)}")
    wide = f"{found['wide']} px" if found["wide"] > 0 else "no"
    return (
        "".join(f"{cell:>9}" for cell in [*cells, found["links"], wide])
        + "  "
        + (", ".join(found["cut"]) or "nothing")
    )


def main() -> None:
    """Writes the pictures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose app is served")
    for name, usual in (
        ("pages", PATHS),
        ("states", STATES),
        ("sizes", SIZES),
        ("schemes", ("light", "dark")),
    ):
        parser.add_argument(f"--{name}", default=",".join(usual), help="with commas")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    head = "".join(f"{n:>9}" for n in ("chart", "to", "verdict", "notice", "links", "wider"))
    print(f"{'page':<38}{head}  cut       (* below the window)")
    with app(asked.root.resolve()) as server, sync_playwright() as playwright:
        browser = launched(playwright)
        for name in asked.pages.split(","):
            for state in asked.states.split(","):
                for size in asked.sizes.split(","):
                    for scheme in asked.schemes.split(","):
                        picture = f"{name}-{state}-{size}-{scheme}"
                        with shown(
                            browser, server + PATHS[name] + STATES[state], state, size, scheme
                        ) as page:
                            found = page.evaluate(MEASURE)
                            page.screenshot(path=asked.folder / f"{picture}.png", caret="hide")
                        height = int(size.partition("@")[0].split("x")[1])
                        print(f"{picture:<38}{line(found, height)}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
