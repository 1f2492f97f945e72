"""The pictures of the README: `python -m tests.screenshots` drives the real app and writes docs/*.png."""

from __future__ import annotations

from playwright.sync_api import sync_playwright

from tests.browser import ROOT, app, launched

SHOTS = {
    "train": "/?preset=moons&speed=fast&run=1",
    "compare": "/compare?preset=moons&speed=fast&run=1",
    "stability": "/stability?dataset=diabetes&epochs=10&run=1",
    "tune": "/tune?preset=diabetes&run=1",
}
TALL = {"tune": 1330}  # pixels, for those whose picture goes on below
READY = "() => document.querySelector('.stProgress')?.innerText.startsWith('Finished')"


def main() -> None:
    """Writes each shot in light and dark, at two pixels for one."""
    folder = ROOT / "docs"
    folder.mkdir(exist_ok=True)
    with app() as address, sync_playwright() as playwright:
        browser = launched(playwright)
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": 1366, "height": 800},
                device_scale_factor=2,
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            for name, link in SHOTS.items():
                page = context.new_page()
                page.set_viewport_size({"width": 1366, "height": TALL.get(name, 800)})
                page.goto(address + link)
                page.wait_for_function(READY, timeout=60_000)
                page.wait_for_timeout(1500)
                page.screenshot(path=folder / f"{name}-{scheme}.png", animations="disabled", caret="hide")
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
