"""Every page can be read without eyes or with weak ones, in the dark, on a phone, and asks no other host."""

from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser import Visitor

LINKS = {
    "train": "/?dataset=moons&model=mlp&epochs=20&speed=fast&run=1",
    "compare": "/compare?dataset=moons&model=mlp&epochs=20&seeds=2&speed=fast&run=1",
    "stability": "/stability?dataset=diabetes&epochs=5&cells=16&run=1",
    "tune": "/tune?dataset=diabetes&epochs=5&trials=6&seeds=2&run=1",
}
GRAVE = ("critical", "serious")
RIGHTS = "[...document.querySelectorAll('svg.marks')].map(chart => chart.getBoundingClientRect().right)"
REACH = "Math.max(...[...document.querySelectorAll('html, [data-testid=stMain]')].map(e => e.scrollWidth))"
GROUND = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"


def grave(page: Page) -> str:
    """What axe finds critical or serious, for a person: the rule and how grave it is, then the elements."""
    page.evaluate(AXE_SCRIPT)
    found: list[dict[str, Any]] = page.evaluate(
        "axe.run({resultTypes: ['violations']}).then(r => r.violations)"
    )
    lines = []
    for rule in (rule for rule in found if rule["impact"] in GRAVE):
        lines.append(f"{rule['impact']} {rule['id']}: {rule['help']}, {len(rule['nodes'])} elements")
        for node in rule["nodes"][:8]:
            why = " ".join(node["failureSummary"].split()[5:])
            lines += [
                f"    {' '.join(map(str, node['target']))}",
                f"        {node['html'][:160]}",
                f"        {why[:300]}",
            ]
    return "\n".join(lines)


def fits(visitor: Visitor, width: int) -> bool:
    """Whether neither the page nor a chart reaches beyond the window."""
    rights = visitor.page.evaluate(RIGHTS)
    return bool(rights) and max(*rights, visitor.page.evaluate(REACH)) <= width


CHART = "[data-testid=stVegaLiteChart]"


def is_dark(page: Page) -> bool:
    """Whether the ground of the page is."""
    return sum(map(int, str(page.evaluate(GROUND))[4:-1].split(","))) < 200


@pytest.mark.parametrize("page", LINKS)
def test_axe_finds_nothing_grave_and_a_page_fits_in_light_and_dark_and_on_a_phone(
    visitor: Visitor, address: str, page: str
) -> None:
    visitor.open(address + LINKS[page])
    visitor.until(lambda: visitor.progress().startswith("Finished"), 60)
    shown, embedded = (visitor.page.locator(f"{what}:visible") for what in (CHART, "svg.marks"))
    for width, dark in ((1366, False), (1366, True), (400, True), (400, False)):
        visitor.looks(width, dark=dark)
        if dark:
            visitor.page.reload()
            visitor.settle()
        visitor.until(lambda dark=dark: is_dark(visitor.page) == dark)
        visitor.until(lambda: embedded.count() >= shown.count() > 0, 60)
        visitor.painted()
        assert fits(visitor, width)
        if width > 400:
            assert grave(visitor.page) == ""
    assert visitor.hosts <= {address.split("//")[1], ""}
