"""Every page can be read and used without eyes or with weak ones: axe finds nothing serious on any."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from tests.browser import ROOT, Visitor, app

LINKS = {
    "train": "/?dataset=moons&model=mlp&epochs=20&speed=fast&run=1",
    "compare": "/compare?dataset=moons&model=mlp&epochs=20&seeds=2&speed=fast&run=1",
    "stability": "/stability?dataset=diabetes&epochs=5&cells=16&run=1",
    "tune": "/tune?dataset=diabetes&epochs=5&trials=6&seeds=2&run=1",
}
GRAVE = ("critical", "serious")
SERVED = Path(os.environ.get("MOMENTUM_LAB_SERVED", ROOT))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with app(SERVED) as where:
        yield where


def findings(page: Page) -> list[dict[str, Any]]:
    """What axe has to say about a page, each rule with the elements that break it."""
    page.evaluate(AXE_SCRIPT)
    found: list[dict[str, Any]] = page.evaluate(
        "axe.run({resultTypes: ['violations']}).then(r => r.violations)"
    )
    return found


def told(found: list[dict[str, Any]]) -> str:
    """Findings for a person: the rule and how grave it is, then the elements."""
    lines = []
    for rule in found:
        lines.append(f"{rule['impact']} {rule['id']}: {rule['help']}, {len(rule['nodes'])} elements")
        for node in rule["nodes"][:8]:
            why = " ".join(node["failureSummary"].split()[5:])
            lines += [
                f"    {' '.join(map(str, node['target']))}",
                f"        {node['html'][:160]}",
                f"        {why[:300]}",
            ]
    return "\n".join(lines)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", LINKS)
def test_axe_finds_nothing_critical_or_serious(browser: Browser, address: str, page: str, dark: bool) -> None:
    visitor = Visitor(browser, width=1366, dark=dark)
    visitor.open(address + LINKS[page])
    visitor.until(lambda: visitor.progress().startswith("Finished"), 60)
    visitor.settle()
    grave = [rule for rule in findings(visitor.page) if rule["impact"] in GRAVE]
    visitor.context.close()
    assert not grave, told(grave)
