"""What only a browser can prove: live charts in place, quick hands, reloads, tabs."""

import pytest

from tests.browser import MOUNTS, Visitor

RUN = "?dataset=moons&model=mlp&speed=slow&epochs=400&run=1"
IDLE = RUN.replace("&run=1", "")


def running(visitor: Visitor, address: str, link: str = RUN) -> str:
    """Opens a link that starts a run; the name of its job."""
    visitor.open(address + "/" + link)
    visitor.until(
        lambda: "job" in visitor.link() and "Running" in visitor.progress() and visitor.update() > 3
    )
    return visitor.link()["job"]


def says(visitor: Visitor, state: str) -> None:
    """Waits until the progress line tells a state."""
    visitor.until(lambda: state in visitor.progress())


def stands_still(visitor: Visitor) -> None:
    """A single step from here is the very next update, so there was none in between."""
    at = visitor.update()
    visitor.button("step").click()
    visitor.until(lambda: visitor.update() == at + 1)
    assert "Paused" in visitor.progress()


def test_the_first_page_is_a_finished_run_soon(visitor: Visitor, address: str) -> None:
    visitor.open(address)
    says(visitor, "Finished")
    assert "Validation loss" in visitor.page.locator(".st-key-verdict").inner_text()
    assert visitor.page.locator("svg.marks").count() == 2


def test_a_run_is_started_paused_stepped_resumed_changed_and_stopped_in_the_same_charts(
    visitor: Visitor, address: str
) -> None:
    visitor.open(f"{address}/{IDLE}")
    visitor.button("start").click()
    visitor.until(lambda: visitor.update() > 100)
    visitor.page.evaluate(MOUNTS)
    visitor.button("pause").click()
    says(visitor, "Paused")
    stands_still(visitor)
    at = visitor.update()
    visitor.button("start").click()
    visitor.until(lambda: visitor.update() > at + 10)
    visitor.typed("w_learning_rate", "0.2")
    visitor.until(lambda: visitor.link().get("learning_rate") == "0.2")
    visitor.until(lambda: visitor.update() > at + 200)
    visitor.button("stop").click()
    says(visitor, "Stopped")
    visitor.settle()
    assert visitor.page.evaluate("window.mounts") == 0
    assert visitor.page.locator("svg.marks").count() == 2
    at = visitor.update()
    visitor.page.reload()
    visitor.settle()
    says(visitor, "Stopped")
    assert visitor.update() == at


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
    visitor.open(f"{address}/{IDLE}")
    visitor.button("start").dblclick()
    visitor.until(lambda: visitor.update() > 3 and "job" in visitor.link())
    first = visitor.link()["job"]
    visitor.button("pause").dblclick()
    says(visitor, "Paused")
    stands_still(visitor)
    at = visitor.update()
    visitor.button("start").dblclick()
    visitor.until(lambda: "Running" in visitor.progress() and visitor.update() > at + 10)
    visitor.button("stop").dblclick()
    says(visitor, "Stopped")
    visitor.button("restart").dblclick()
    visitor.until(lambda: "Running" in visitor.progress() and visitor.link()["job"] != first)
    again = visitor.link()["job"]
    visitor.until(lambda: visitor.update() > 10)
    assert visitor.link()["job"] == again


BAD = ("abc", "", "NaN", "١٢", "0.1.2", "1;2;3", "1e999", "-1", "--", "1_0")
FIELDS = (("", "w_learning_rate"), ("", "w_hidden"), ("compare", "w_target"), ("stability", "w_batch_size"))


@pytest.mark.parametrize(("page", "name"), FIELDS)
def test_what_cannot_be_read_leaves_the_value_and_says_so_at_the_field(
    visitor: Visitor, address: str, page: str, name: str
) -> None:
    visitor.open(f"{address}/{page}?dataset=moons&model=mlp&learning_rate=0.03")
    before, link = visitor.field(name).input_value(), visitor.link()
    said = visitor.page.get_by_text("must be")
    for text in BAD if (page, name) == FIELDS[0] else BAD[:4]:
        visitor.typed(name, text)
        visitor.until(lambda text=text: said.count() == 1 and (text or "nothing") in said.inner_text())
        visitor.until(lambda: visitor.field(name).input_value() == before)
        assert visitor.link() == link
    visitor.typed(name, "7")
    visitor.until(lambda: visitor.link() != link)
    assert said.count() == 0


def test_a_decimal_comma_and_an_exponent_are_understood(visitor: Visitor, address: str) -> None:
    visitor.open(f"{address}/?dataset=moons")
    for name, text, number in (
        ("learning_rate", "0,05", "0.05"),
        ("learning_rate", "1e-3", "0.001"),
        ("epochs", "1e2", "100"),
    ):
        visitor.typed(f"w_{name}", text)
        visitor.until(lambda name=name, number=number: visitor.link().get(name) == number)


def test_start_by_keyboard_keeps_the_focus(visitor: Visitor, address: str) -> None:
    visitor.open(f"{address}/{IDLE}")
    visitor.button("start").focus()
    visitor.page.keyboard.press("Enter")
    visitor.until(lambda: visitor.update() > 3)
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")
    says(visitor, "Paused")


def test_the_link_button_copies_a_link_that_starts(visitor: Visitor, other: Visitor, address: str) -> None:
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def copied() -> str:
        visitor.page.get_by_role("button", name="Copy link").click()
        visitor.page.get_by_role("button", name="Link copied").wait_for()
        return str(visitor.page.evaluate("navigator.clipboard.readText()"))

    visitor.open(f"{address}/?preset=sgd-scaled&run=1")
    visitor.until(lambda: "job" in visitor.link() and visitor.update() > 3)
    assert copied() == f"{address}/?preset=sgd-scaled&run=1"
    visitor.typed("w_seed", "4")
    visitor.until(lambda: visitor.link().get("seed") == "4")
    link = copied()
    assert "job=" not in link
    other.open(link)
    other.until(lambda: other.update() > 3)
    assert other.field("w_seed").input_value() == "4"


def test_a_link_to_a_run_that_is_not_kept_any_more_says_so(visitor: Visitor, address: str) -> None:
    for path, word in (("compare", "race"), ("stability", "map"), ("tune", "tune"), ("", "job")):
        visitor.open(f"{address}/{path}?dataset=diabetes&{word}=none-such")
        visitor.page.get_by_text("not kept on this server any more").first.wait_for()
    visitor.button("start").click()
    visitor.until(lambda: visitor.update() > 3)


def test_a_lost_run_shows_a_cross_and_its_cause_and_is_repaired_in_one_click(
    visitor: Visitor, address: str
) -> None:
    visitor.open(address + "/?dataset=boston&learning_rate=3&speed=fast&run=1")
    says(visitor, "Diverged")
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


def test_another_page_and_back_or_a_reload_leaves_the_run_alone_and_finds_it_to_command(
    visitor: Visitor, address: str
) -> None:
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
    at = visitor.update()
    visitor.page.reload()
    visitor.settle()
    visitor.until(lambda: visitor.update() > at)
    assert visitor.link()["job"] == job
    visitor.button("stop").click()
    says(visitor, "Stopped")


def test_who_has_the_link_may_watch_but_not_command(visitor: Visitor, other: Visitor, address: str) -> None:
    job = running(visitor, address)
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
