"""What only a browser can prove: live charts in place, quick hands, reloads, tabs, looks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import MOUNTS, Visitor, app

RIGHTS = "[...document.querySelectorAll('svg.marks')].map(chart => chart.getBoundingClientRect().right)"
RUN = "?dataset=moons&model=mlp&speed=slow&epochs=400&run=1"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with app() as where:
        yield where


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    one = Visitor(browser)
    yield one
    one.context.close()
    assert one.complaints == []


def running(visitor: Visitor, address: str, link: str = RUN) -> str:
    """Opens a link that starts a run; the name of its job."""
    visitor.open(address + "/" + link)
    visitor.until(
        lambda: "job" in visitor.link() and "Running" in visitor.progress() and visitor.update() > 3
    )
    return visitor.link()["job"]


def still(visitor: Visitor) -> bool:
    """Whether the run stands still over more than one look at it."""
    before = visitor.update()
    visitor.page.wait_for_timeout(900)
    return visitor.update() == before


def test_the_first_page_is_a_finished_run_soon(visitor: Visitor, address: str) -> None:
    visitor.open(address)
    visitor.until(lambda: "Finished" in visitor.progress())
    assert "Validation loss" in visitor.page.locator(".st-key-verdict").inner_text()
    assert visitor.page.locator("svg.marks").count() == 2


def test_a_run_is_started_paused_stepped_resumed_and_stopped(visitor: Visitor, address: str) -> None:
    visitor.open(address + "/" + RUN.replace("&run=1", ""))
    visitor.button("start").click()
    visitor.until(lambda: visitor.update() > 3)
    visitor.button("pause").click()
    visitor.until(lambda: "Paused" in visitor.progress())
    assert still(visitor)
    at = visitor.update()
    visitor.button("step").click()
    visitor.until(lambda: visitor.update() == at + 1)
    assert "Paused" in visitor.progress()
    visitor.button("start").click()
    visitor.until(lambda: visitor.update() > at + 10)
    visitor.button("stop").click()
    visitor.until(lambda: "Stopped" in visitor.progress())
    assert still(visitor)


def test_charts_are_mounted_once_whatever_is_done_to_a_run(visitor: Visitor, address: str) -> None:
    running(visitor, address)
    page = visitor.page
    page.wait_for_timeout(1500)
    page.evaluate(MOUNTS)
    at = visitor.update()
    visitor.typed("w_learning_rate", "0.2")
    visitor.until(lambda: visitor.link().get("learning_rate") == "0.2")
    visitor.button("pause").click()
    visitor.until(lambda: "Paused" in visitor.progress())
    visitor.button("start").click()
    visitor.until(lambda: visitor.update() > at + 200)
    visitor.button("stop").click()
    visitor.until(lambda: "Stopped" in visitor.progress())
    page.wait_for_timeout(500)
    assert page.evaluate("window.mounts") == 0
    assert page.locator("svg.marks").count() == 2


def test_quick_arrow_keys_end_where_they_should_and_typed_values_follow(
    visitor: Visitor, address: str
) -> None:
    running(visitor, address)
    page = visitor.page
    visitor.widget("w_momentum_grid").locator("input[type=range]").focus()
    moved = visitor.widget("w_momentum_grid")

    def press(key: str, *stops: str) -> None:
        """As quick as the browser shows the handle at the next stop, which is quicker than the server."""
        for stop in stops:
            page.keyboard.press(key)
            visitor.until(lambda stop=stop: moved.inner_text().split()[1] == stop)

    def shown() -> tuple[str, str | None]:
        return visitor.field("w_momentum").input_value(), visitor.link().get("momentum")

    press("ArrowLeft", "0.85", "0.8", "0.7", "0.6")
    visitor.until(lambda: shown() == ("0.6", "0.6"))
    visitor.settle()
    assert shown() == ("0.6", "0.6")
    press("ArrowRight", "0.7", "0.8")
    visitor.until(lambda: shown() == ("0.8", "0.8"))
    visitor.typed("w_momentum", "0.123")
    visitor.until(lambda: visitor.link().get("momentum") == "0.123")
    visitor.until(lambda: "0.123" in visitor.widget("w_momentum_grid").inner_text())
    assert "Running" in visitor.progress()


def test_a_double_click_is_one_click(visitor: Visitor, address: str) -> None:
    visitor.open(address + "/" + RUN.replace("&run=1", ""))
    visitor.button("start").dblclick()
    visitor.until(lambda: visitor.update() > 3 and "job" in visitor.link())
    first = visitor.link()["job"]
    visitor.button("pause").dblclick()
    visitor.until(lambda: "Paused" in visitor.progress())
    assert still(visitor)
    assert "Paused" in visitor.progress()
    visitor.button("start").dblclick()
    visitor.until(lambda: "Running" in visitor.progress())
    assert not still(visitor)
    visitor.button("stop").dblclick()
    visitor.until(lambda: "Stopped" in visitor.progress())
    visitor.button("restart").dblclick()
    visitor.until(lambda: "Running" in visitor.progress() and visitor.link()["job"] != first)
    again = visitor.link()["job"]
    visitor.until(lambda: visitor.update() > 10)
    assert visitor.link()["job"] == again


BAD = ("abc", "", "NaN", "١٢", "0.1.2", "1;2;3", "1e999", "-1", "--", "1_0")


@pytest.mark.parametrize(
    ("page", "name"),
    [("", "w_learning_rate"), ("", "w_hidden"), ("compare", "w_target"), ("stability", "w_batch_size")],
)
def test_what_cannot_be_read_leaves_the_value_and_says_so_at_the_field(
    visitor: Visitor, address: str, page: str, name: str
) -> None:
    visitor.open(f"{address}/{page}?dataset=moons&model=mlp&learning_rate=0.03")
    before, link = visitor.field(name).input_value(), visitor.link()
    said = visitor.page.get_by_text("must be")
    for text in BAD:
        visitor.typed(name, text)
        visitor.until(lambda text=text: said.count() == 1 and (text or "nothing") in said.inner_text())
        visitor.until(lambda: visitor.field(name).input_value() == before)
        assert visitor.link() == link
    visitor.typed(name, "7")
    visitor.until(lambda: visitor.link() != link)
    assert said.count() == 0


def test_a_decimal_comma_and_an_exponent_are_understood(visitor: Visitor, address: str) -> None:
    visitor.open(f"{address}/?dataset=moons")
    visitor.typed("w_learning_rate", "0,05")
    visitor.until(lambda: visitor.link().get("learning_rate") == "0.05")
    visitor.typed("w_learning_rate", "1e-3")
    visitor.until(lambda: visitor.link().get("learning_rate") == "0.001")
    visitor.typed("w_epochs", "1e2")
    visitor.until(lambda: visitor.link().get("epochs") == "100")


def test_start_by_keyboard_keeps_the_focus(visitor: Visitor, address: str) -> None:
    visitor.open(address + "/" + RUN.replace("&run=1", ""))
    visitor.button("start").focus()
    visitor.page.keyboard.press("Enter")
    visitor.until(lambda: visitor.update() > 3)
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")
    visitor.until(lambda: "Paused" in visitor.progress())


def test_the_link_button_copies_a_link_that_starts(visitor: Visitor, browser: Browser, address: str) -> None:
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.open(f"{address}/?preset=sgd-scaled&run=1")
    visitor.until(lambda: "Finished" in visitor.progress())
    visitor.page.get_by_role("button", name="Copy link").click()
    visitor.page.get_by_role("button", name="Link copied").wait_for()
    copied = visitor.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{address}/?preset=sgd-scaled&run=1"
    visitor.typed("w_seed", "4")
    visitor.until(lambda: visitor.link().get("seed") == "4")
    visitor.page.get_by_role("button", name="Copy link").click()
    visitor.page.get_by_role("button", name="Link copied").wait_for()
    copied = visitor.page.evaluate("navigator.clipboard.readText()")
    assert "job=" not in copied
    other = Visitor(browser)
    other.open(copied)
    other.until(lambda: "Finished" in other.progress())
    assert other.field("w_seed").input_value() == "4"
    other.context.close()


def test_a_link_to_a_run_that_is_not_kept_any_more_says_so(visitor: Visitor, address: str) -> None:
    for path, word in (("", "job"), ("compare", "race"), ("stability", "map"), ("tune", "tune")):
        visitor.open(f"{address}/{path}?dataset=diabetes&{word}=none-such")
        visitor.page.get_by_text("not kept on this server any more").first.wait_for()
    visitor.open(f"{address}/?dataset=diabetes&job=none-such")
    visitor.button("start").click()
    visitor.until(lambda: visitor.update() > 3)


def test_a_reload_finds_the_run_and_may_command_it(visitor: Visitor, address: str) -> None:
    job = running(visitor, address)
    at = visitor.update()
    visitor.page.reload()
    visitor.settle()
    visitor.until(lambda: visitor.update() > at)
    assert visitor.link()["job"] == job
    visitor.button("stop").click()
    visitor.until(lambda: "Stopped" in visitor.progress())


def test_a_lost_run_shows_a_cross_and_its_cause_and_is_repaired_in_one_click(
    visitor: Visitor, address: str
) -> None:
    visitor.open(address + "/?dataset=boston&learning_rate=3&speed=fast&run=1")
    visitor.until(lambda: "Diverged" in visitor.progress())
    said = visitor.page.locator(".st-key-verdict")
    visitor.until(lambda: "times the largest stable rate" in said.inner_text())
    visitor.until(lambda: "diverged" in visitor.page.locator("svg.marks").first.text_content())
    visitor.button("safe").click()
    visitor.until(lambda: "Finished" in visitor.progress() and "down" in said.inner_text())
    visitor.until(lambda: float(visitor.link()["learning_rate"]) < 0.1)
    assert "diverged" not in visitor.page.locator("svg.marks").first.text_content()


def test_back_undoes_a_setting_and_forward_does_it_again(visitor: Visitor, address: str) -> None:
    visitor.open(address + "/?dataset=moons")

    def seed() -> str:
        return visitor.field("w_seed").input_value()

    for value in ("5", "7"):
        visitor.typed("w_seed", value)
        visitor.until(lambda value=value: visitor.link().get("seed") == value)
        visitor.settle()
    visitor.page.go_back()
    visitor.until(lambda: seed() == "5")
    visitor.settle()
    visitor.page.go_back()
    visitor.until(lambda: seed() == "0" and visitor.link() == {"dataset": "moons"})
    visitor.page.go_forward()
    visitor.until(lambda: seed() == "5")


def test_another_page_and_back_leaves_the_run_alone(visitor: Visitor, address: str) -> None:
    job = running(visitor, address)
    at = visitor.update()
    visitor.page.get_by_role("link", name="Compare").first.click()
    visitor.page.wait_for_selector("text=SGD or momentum?")
    visitor.settle()
    visitor.until(lambda: visitor.link().get("dataset") == "moons")
    visitor.page.get_by_role("link", name="Train").first.click()
    visitor.page.wait_for_selector("text=what does this setting do?")
    visitor.until(lambda: visitor.update() > at and "Running" in visitor.progress())
    visitor.until(lambda: visitor.link().get("job") == job)


def test_a_link_to_a_page_works_as_the_first_thing_a_server_sees(browser: Browser) -> None:
    with app() as fresh:
        visitor = Visitor(browser)
        visitor.open(fresh + "/train?dataset=moons&seed=4")
        assert visitor.page.title() == "Momentum Lab"
        assert visitor.field("w_seed").input_value() == "4"
        assert visitor.page.get_by_role("link", name="Compare").count() >= 1
        assert visitor.page.get_by_text("_live").count() == 0
        assert visitor.complaints == []
        visitor.context.close()


def test_who_has_the_link_may_watch_but_not_command(visitor: Visitor, browser: Browser, address: str) -> None:
    job = running(visitor, address)
    other = Visitor(browser)
    other.open(f"{address}/{RUN.replace('run=1', 'job=' + job)}")
    other.until(lambda: "Running" in other.progress() and other.update() > 0)
    at = other.update()
    other.until(lambda: other.update() > at)
    assert [other.button(key).is_enabled() for key in ("start", "pause", "stop")] == [True, False, False]
    other.button("start").click()
    other.until(lambda: other.link().get("job", job) != job and other.update() > 0)
    at = visitor.update()
    visitor.until(lambda: visitor.update() > at)
    assert visitor.link()["job"] == job
    assert other.complaints == []
    other.context.close()


def test_a_closed_tab_stops_its_run_after_a_while(visitor: Visitor, address: str) -> None:
    job = running(visitor, address)
    address = visitor.page.url
    visitor.page.close()
    visitor.page = visitor.tab()
    visitor.page.goto("about:blank")
    visitor.page.wait_for_timeout(22_500)
    visitor.open(address)
    visitor.until(lambda: "Stopped" in visitor.progress())
    assert visitor.link()["job"] == job
    assert "nobody was watching" in visitor.page.locator(".st-key-verdict").inner_text()


@pytest.mark.parametrize("path", ["", "compare"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False)])
def test_pages_fit_in_light_and_dark_and_on_a_phone_and_ask_no_other_host(
    browser: Browser, address: str, tmp_path: Path, path: str, width: int, dark: bool
) -> None:
    visitor = Visitor(browser, width=width, dark=dark)
    page = visitor.open(f"{address}/{path}")
    visitor.until(lambda: "Finished" in visitor.progress())
    visitor.settle()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert max(page.evaluate(RIGHTS)) <= width
    ground = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == dark
    shot = tmp_path / "page.png"
    page.screenshot(path=shot, full_page=True, animations="disabled", caret="hide")
    assert shot.stat().st_size > 20_000
    assert visitor.hosts <= {address.split("//")[1], ""}
    assert visitor.complaints == []
    visitor.context.close()
