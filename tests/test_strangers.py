"""What a stranger sends, by link or by message, stays the stranger's: two real clients at one real server."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.clients import Client

PAGES = "/", "/compare", "/stability", "/tune"
SLOW = "/?dataset=moons&model=mlp&speed=slow&epochs=400&run=1"  # takes 30 s at the least
GRACE = 0.75  # of such a run: longer than an unwatched job is let go on


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address) as one:
        yield one


def progress(client: Client) -> tuple[int, int]:
    """The number of the last update that the progress line tells, and how many there will be."""
    found = re.search(r"update ([\d,]+) of ([\d,]+)", " ".join(client.said("progress")))
    return (int(found[1].replace(",", "")), int(found[2].replace(",", ""))) if found else (-1, 1)


def running(client: Client) -> Client:
    """Opens a link that starts a long run, and waits until it trains."""
    client.open(SLOW)
    client.until(lambda: progress(client)[0] > 0)
    return client


def plain(text: str) -> str:
    """Markdown as a reader sees it, as far as its escapes go."""
    return re.sub(r"\\(.)", r"\1", text).replace("\u2060", "")


class Cleared(NamedTuple):
    """What a stranger who clears the cache does to others, here and now.

    Attributes:
        stranger: Whose own run, as slow on any machine, is the clock.
        stayed: A visitor whose tab stays open, and who asks for nothing.
        before, at_once: The job of that visitor before the message and right after it.
        left: The job of a visitor whose tab was closed then.
    """

    stranger: Client
    stayed: Client
    before: str
    at_once: tuple[str, str]
    left: str


@pytest.fixture(scope="module")
def cleared(address: str) -> Iterator[Cleared]:
    with Client(address) as stayed, Client(address) as stranger:
        with Client(address) as leaving:
            left = running(leaving).words["job"]
            before = running(stayed).words["job"]
        stranger.open("/")
        stranger.send(clear_cache=True)
        running(stranger)  # on the same socket, so that the message has been obeyed by now
        stayed.tick()
        yield Cleared(stranger, stayed, before, (stayed.words["job"], stayed.said("progress")[0]), left)


@pytest.fixture(scope="module")
def later(cleared: Cleared) -> Cleared:
    """When more than the grace period has passed since; the tests before these have used the time."""
    one = cleared.stranger
    one.until(lambda: progress(one)[0] > GRACE * progress(one)[1], 180)
    return cleared


def test_a_stranger_who_clears_the_cache_leaves_the_runs_of_others_alone(cleared: Cleared) -> None:
    job, words = cleared.at_once
    assert job == cleared.before
    assert words.startswith("Running")


def controls(client: Client) -> set[str]:
    """The names of what can be used on the page."""
    kinds = "button", "number_input", "selectbox", "slider", "checkbox", "button_group", "text_input"
    return {control.label for kind in kinds for control in client.of(kind)} - {""}


@pytest.mark.parametrize(
    ("link", "most"),
    [
        ("/compare?dataset=moons&seed={}", 999_999_996),
        ("/compare?dataset=moons&seeds=32&seed={}", 999_999_969),
        ("/compare?dataset=moons&mode=tuned&seed={}", 999_998_998),
        ("/tune?dataset=moons&seed={}", 999_994_993),
    ],
)
def test_a_seed_that_leaves_no_room_is_said_in_one_sentence_and_the_page_stays_usable(
    address: str, client: Client, link: str, most: int
) -> None:
    with Client(address) as good:
        good.open(link.format(most))
        assert (good.said("alert"), good.of("exception")) == ([], [])
    client.open(link.format(most + 1))
    assert client.of("exception") == []
    (said,) = (text for text in map(plain, client.markdown()) if "must be at most" in text)
    assert re.search(rf"seed must be at most {most:,} so that [^.]*, got {most + 1:,}\.", said)
    assert "Start" in controls(client)
    assert len(controls(client)) > len(controls(good)) / 2
    client.open(link.format(3))
    assert (client.said("alert"), controls(client)) == ([], controls(good))


@pytest.mark.parametrize("page", PAGES)
def test_a_thousand_words_that_mean_nothing_make_a_page_hardly_longer(
    address: str, client: Client, page: str
) -> None:
    with Client(address) as usual:
        usual.open(f"{page}?dataset=moons")
    client.open(f"{page}?dataset=moons&" + "&".join(f"stranger{k}={k}" for k in range(999)))
    assert sum(client.sizes) < sum(usual.sizes) + 2_000
    assert sum("stranger" in text for text in client.texts()) <= 1
    assert client.of("exception") == []


HOSTILE = (
    "![x](http://example.invalid/x.png)",
    "[log in again](http://example.invalid)",
    "http://example.invalid/?a=b",
    "www.example.invalid",
    "<img src=http://example.invalid/x.png>",
    ":red[**Log in again**] $\\href{http://example.invalid}{x}$ :material/login: :smile:",
    '"><script>fetch("http://example.invalid")</script>',
)
WORDS = "dataset", "model", "optimizer", "schedule", "seed", "mode", "rivals", "sampler", "space", "![y](//z)"


def live(markdown: str) -> str:
    """What of a text is more than text: what its escapes do not cover."""
    return re.sub(r"\\.", "", markdown)


@pytest.mark.parametrize("page", PAGES)
def test_no_text_of_a_link_becomes_markdown_or_markup(client: Client, page: str) -> None:
    """Every word of a link with one of the texts, and every text under one of the words."""
    turns = {(word, HOSTILE[k % len(HOSTILE)]) for k, word in enumerate(WORDS)}
    turns |= {(WORDS[k % 2], text) for k, text in enumerate(HOSTILE)}
    for word, text in sorted(turns):
        client.open(f"{page}?{quote(word)}={quote(text)}")
        assert client.of("exception") == []
        for shown in map(live, client.markdown()):
            assert "![" not in shown
            assert "](" not in shown
            assert "://" not in shown
            assert "www.example" not in shown
            assert "Log in again**" not in shown
            assert ":smile:" not in shown
        for shown in client.said("html"):
            assert "<img src=http" not in shown
            assert "<script>fetch" not in shown


def test_a_run_whose_tab_is_open_goes_on_after_the_grace_period_also_when_the_cache_was_cleared(
    later: Cleared,
) -> None:
    def shown() -> float:
        done, of = progress(later.stayed)
        return done / of

    later.stayed.tick()
    assert later.stayed.words["job"] == later.before
    begun = shown()
    goes_on = begun == 1
    later.stayed.until(lambda: goes_on or shown() > begun)
    assert later.stayed.said("progress")[0].startswith(("Running", "Finished"))


def test_a_run_whose_tab_was_closed_is_stopped_after_the_grace_period(later: Cleared, client: Client) -> None:
    client.open(f"/?dataset=moons&model=mlp&job={later.left}")
    assert "Stopped" in client.said("progress")[0]
    assert "nobody was watching" in " ".join(client.texts())
