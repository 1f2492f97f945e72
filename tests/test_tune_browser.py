"""The Tune page in a real browser: live and still, whatever a hurried person does while a search goes on."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import MOUNTS, Visitor, app

LONG = "/tune?dataset=boston&model=mlp&epochs=60&trials=60&seeds=8&view=slices&run=1"
SHORT = "/tune?dataset=boston&epochs=5&trials=8&seeds=2&run=1"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("lab")
    with app(MOMENTUM_LAB_DB=f"sqlite:///{folder / 'lab.db'}") as where:
        yield where


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    one = Visitor(browser)
    yield one
    one.context.close()
    assert one.complaints == []


def trial(visitor: Visitor) -> int:
    """How many trials have ended, as the progress line tells."""
    found = re.search(r"(\d+) of \d+ trials", visitor.progress())
    return int(found[1]) if found else -1


def searching(visitor: Visitor, address: str, ended: int = 4) -> None:
    visitor.open(address + LONG)
    visitor.until(lambda: "Searching" in visitor.progress() and trial(visitor) > ended, 90)
    visitor.until(lambda: "tune" in visitor.link())


def finished(visitor: Visitor, address: str, link: str = SHORT) -> None:
    visitor.open(address + link)
    visitor.until(lambda: visitor.progress().startswith("Finished"), 60)
    visitor.settle()


def test_charts_are_mounted_once_while_a_search_goes_on(visitor: Visitor, address: str) -> None:
    searching(visitor, address)
    page = visitor.page
    page.wait_for_timeout(1500)
    page.evaluate(MOUNTS)
    charts, at = page.locator("svg.marks").count(), trial(visitor)
    visitor.until(lambda: trial(visitor) > at + 4, 90)
    assert page.evaluate("window.mounts") == 0
    assert page.locator("svg.marks").count() == charts
    visitor.button("stop").click()
    visitor.until(lambda: "Stopped" in visitor.progress())


def test_a_search_is_paused_resumed_stopped_and_goes_on(visitor: Visitor, address: str) -> None:
    searching(visitor, address)
    visitor.button("pause").click()
    visitor.until(lambda: "Paused" in visitor.progress())
    at = visitor.progress()
    visitor.page.wait_for_timeout(1500)
    assert visitor.progress() == at
    assert "Resume" in visitor.button("start").inner_text()
    visitor.button("start").click()
    visitor.until(lambda: "Searching" in visitor.progress())
    visitor.button("stop").click()
    visitor.until(lambda: "Stopped" in visitor.progress())
    at = trial(visitor)
    assert "Go on" in visitor.button("start").inner_text()
    visitor.button("start").click()
    visitor.until(lambda: "Searching" in visitor.progress() and trial(visitor) > at, 60)
    visitor.button("stop").click()


def test_a_search_goes_on_while_another_page_is_looked_at_and_after_a_reload(
    visitor: Visitor, address: str
) -> None:
    searching(visitor, address)
    job, at = visitor.link()["tune"], trial(visitor)
    page = visitor.page
    page.get_by_role("link", name="Stability").click()
    page.wait_for_url("**/stability**")
    visitor.settle()
    page.get_by_role("link", name="Tune").click()
    page.wait_for_url("**/tune**")
    visitor.until(lambda: trial(visitor) > at, 60)
    visitor.until(lambda: visitor.link().get("tune") == job)
    page.reload()
    visitor.settle()
    visitor.until(lambda: "Searching" in visitor.progress() and trial(visitor) > at + 1, 60)
    visitor.button("stop").click()
    visitor.until(lambda: "Stopped" in visitor.progress())


def test_more_trials_can_be_asked_for_from_a_search_s_first_trials_on(visitor: Visitor, address: str) -> None:
    searching(visitor, address, ended=0)
    visitor.until(visitor.button("more").is_enabled, 60)
    assert "Searching" in visitor.progress()
    visitor.button("stop").click()


@pytest.mark.parametrize("width", [1280, 400])
def test_the_row_of_views_stays_where_it_is_when_a_shorter_one_is_picked(
    browser: Browser, address: str, width: int
) -> None:
    visitor = Visitor(browser, width=width)
    finished(visitor, address)
    row = visitor.widget("w_view")
    below_the_header = "row => { row.style.scrollMarginTop = '120px'; row.scrollIntoView({block: 'start'}) }"
    row.evaluate(below_the_header)
    visitor.page.wait_for_timeout(500)
    before = row.bounding_box()
    for name in ("Importances", "Against random and grid", "Maps"):
        row.get_by_text(name, exact=True).click()
        visitor.settle()
        visitor.page.wait_for_timeout(500)
        now = row.bounding_box()
        assert before is not None
        assert now is not None
        assert now["y"] == pytest.approx(before["y"], abs=2)
    visitor.context.close()


FAINTEST = """() => new Promise(done => {
    let least = 1;
    const end = performance.now() + 6000;
    const look = () => {
        for (const element of document.querySelectorAll('[data-testid=stElementContainer]'))
            least = Math.min(least, Number(getComputedStyle(element).opacity));
        performance.now() < end ? requestAnimationFrame(look) : done(least);
    };
    look();
})"""


def test_nothing_fades_while_a_search_goes_on(visitor: Visitor, address: str) -> None:
    visitor.page.emulate_media(reduced_motion="no-preference")
    visitor.open(address + LONG.replace("view=slices", "view=maps").replace("epochs=60", "epochs=20"))
    visitor.until(lambda: trial(visitor) > 8, 90)
    assert visitor.page.evaluate(FAINTEST) == 1
    assert "Searching" in visitor.progress()
    visitor.button("stop").click()


def test_the_page_opens_idle_and_start_is_in_sight(visitor: Visitor, address: str) -> None:
    visitor.open(address + "/tune")
    visitor.page.wait_for_timeout(1500)
    assert visitor.progress() == "Ready"
    assert "tune" not in visitor.link()
    assert "Press Start for 20 trials" in visitor.widget("verdict").inner_text()


def test_a_double_click_does_what_one_click_does(visitor: Visitor, address: str) -> None:
    visitor.open(address + LONG.replace("&run=1", ""))
    visitor.button("start").dblclick()
    visitor.until(lambda: trial(visitor) > 4 and "tune" in visitor.link(), 90)
    first = visitor.link()["tune"]
    visitor.button("pause").dblclick()
    visitor.until(lambda: "Paused" in visitor.progress())
    at = visitor.progress()
    visitor.page.wait_for_timeout(1000)
    assert visitor.progress() == at
    visitor.button("more").dblclick()
    visitor.until(lambda: "of 70 trials" in visitor.progress())
    visitor.button("start").dblclick()
    visitor.until(lambda: "Searching" in visitor.progress())
    visitor.button("stop").dblclick()
    visitor.until(lambda: "Stopped" in visitor.progress())
    assert "of 70 trials" in visitor.progress()
    assert visitor.link()["tune"] == first
    visitor.button("start").dblclick()
    visitor.until(lambda: "Searching" in visitor.progress())
    visitor.button("stop").click()
    visitor.until(lambda: "Stopped" in visitor.progress())


@pytest.mark.parametrize("view", ["trials", "maps", "worth"])
def test_nothing_moves_between_idle_running_and_done(browser: Browser, address: str, view: str) -> None:
    visitor = Visitor(browser, width=1366)
    visitor.page.set_viewport_size({"width": 1366, "height": 768})
    visitor.open(address + SHORT.replace("&run=1", f"&view={view}"))
    visitor.page.wait_for_timeout(500)

    def tops() -> list[float]:
        places = [visitor.page.locator(f".st-key-{key}").bounding_box() for key in ("verdict", "notice")]
        row = visitor.widget("w_view").bounding_box()
        return [place["y"] for place in [*places, row] if place]

    idle = tops()
    visitor.button("start").click()
    visitor.until(lambda: visitor.progress().startswith("Finished"), 60)
    visitor.settle()
    assert tops() == idle
    assert max(tops()) < 768
    visitor.context.close()


def test_a_double_click_shares_a_search_once(visitor: Visitor, address: str) -> None:
    finished(visitor, address, SHORT + "&view=workers")
    visitor.button("share_it").dblclick()
    visitor.until(lambda: "study" in visitor.link())
    name = visitor.link()["study"]
    visitor.page.wait_for_timeout(1500)
    assert visitor.link()["study"] == name
    visitor.button("open").click()
    visitor.field("w_open").click()
    options = visitor.page.locator("[role=option]")
    visitor.until(lambda: options.count() > 0)
    assert options.all_inner_texts() == [name]


def test_two_visitors_search_at_once_and_each_sees_the_own(browser: Browser, address: str) -> None:
    visitors = [Visitor(browser), Visitor(browser)]
    for visitor, trials in zip(visitors, (8, 6), strict=True):
        visitor.page.goto(address + SHORT.replace("trials=8", f"trials={trials}"))
    for visitor, trials in zip(visitors, (8, 6), strict=True):
        visitor.until(lambda v=visitor, n=trials: v.progress() == f"Finished · {n} trials", 90)
        assert visitor.complaints == []
        visitor.context.close()


def test_a_click_on_a_map_queues_that_setting(visitor: Visitor, address: str) -> None:
    finished(visitor, address)
    page = visitor.page
    chart = page.locator("svg.marks").nth(2)
    chart.scroll_into_view_if_needed()
    box = chart.locator(".mark-rect").first.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    visitor.until(lambda: "Try learning rate" in visitor.button("try_cell").inner_text())
    visitor.button("try_cell").click()
    visitor.until(lambda: visitor.progress() == "Finished · 9 trials", 60)


def test_a_point_of_the_history_is_picked_by_a_click(visitor: Visitor, address: str) -> None:
    finished(visitor, address, SHORT + "&view=trials")
    page = visitor.page
    point = page.locator("svg.marks").first.locator(".mark-symbol path").first
    point.click(force=True)
    field = visitor.field("w_trial")
    visitor.until(lambda: field.input_value() == "Trial 0")


def test_the_study_the_trials_and_the_code_can_be_taken_along(visitor: Visitor, address: str) -> None:
    finished(visitor, address)
    page = visitor.page
    page.get_by_text("Use it").click()
    for label, ending in (("Config", ".json"), ("Code", ".py"), ("Trials", ".csv"), ("Study", ".db")):
        with page.expect_download() as download:
            page.locator(f".st-key-get_{label.replace(' ', '-')} button").click()
        assert download.value.suggested_filename.endswith(ending)
        assert download.value.path().stat().st_size > 50


def test_a_study_that_was_taken_along_opens_again_and_a_wrong_file_leaves_it_there(
    visitor: Visitor, browser: Browser, address: str, tmp_path: Path
) -> None:
    finished(visitor, address)
    visitor.page.get_by_role("button", name="Use it").first.click()
    with visitor.page.expect_download() as download:
        visitor.button("get_Study").click()
    download.value.save_as(tmp_path / "study.db")
    (tmp_path / "wrong.db").write_bytes(b"hello")
    said = visitor.page.locator(".st-key-verdict p").first.inner_text()
    other = Visitor(browser)
    other.open(address + "/tune?dataset=moons&epochs=3")
    other.button("open").click()
    upload = other.page.locator(".st-key-w_file input[type=file]")
    upload.set_input_files(tmp_path / "study.db")
    other.until(lambda: other.page.locator(".st-key-verdict p").first.inner_text() == said, 60)
    other.until(lambda: other.link().get("epochs") == "5" and "dataset" not in other.link())
    upload.set_input_files(tmp_path / "wrong.db")
    other.until(lambda: "The file must be a study" in other.page.locator(".stAlert").first.inner_text())
    assert other.page.locator(".st-key-verdict p").first.inner_text() == said
    assert other.complaints == []
    other.context.close()


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_window_shows_everything_in_one_column(browser: Browser, address: str, dark: bool) -> None:
    visitor = Visitor(browser, width=400, dark=dark)
    finished(visitor, address)
    page = visitor.page
    page.wait_for_timeout(800)
    rights = page.evaluate(
        "[...document.querySelectorAll('svg.marks')].map(chart => chart.getBoundingClientRect().right)"
    )
    assert len(rights) == 6
    assert max(rights) <= 400
    assert visitor.complaints == []
    visitor.context.close()


def test_the_ranges_and_the_budget_show_their_values_when_they_are_opened(
    visitor: Visitor, address: str
) -> None:
    visitor.open(address + "/tune?trials=12&space=learning_rate:0.001:0.5,momentum:0:0.9")
    page = visitor.page
    page.get_by_text("Search space").click()
    low, high = (visitor.field(f"w_space_learning_rate_{end}") for end in ("low", "high"))
    visitor.until(lambda: low.count() == 1 and high.input_value() == "0.5")
    assert low.input_value() == "0.001"
    ticks = [visitor.field(f"w_space_{w}_on") for w in ("learning_rate", "batch_size", "momentum")]
    assert [tick.is_checked() for tick in ticks] == [True, False, True]
    high.fill("0.2")
    high.press("Enter")
    visitor.until(lambda: visitor.link().get("space") == "learning_rate:0.001:0.2,momentum:0:0.9")
    assert low.input_value() == "0.001"
    page.keyboard.press("Escape")
    page.get_by_text("Budget").click()
    trials = visitor.field("w_trials")
    visitor.until(lambda: trials.count() == 1 and trials.input_value() == "12")
    page.keyboard.press("Escape")
    page.get_by_text("Search space").click()
    visitor.until(lambda: high.count() == 1 and high.input_value() == "0.2")
