"""What a page must show once it has been opened, and what it does show: its fields by label, its address.

Nothing here knows how pages make their controls: a field is what a screen reader would call one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext, Page, TimeoutError, ViewportSize

SIZE: ViewportSize = {"width": 1366, "height": 768}
PAGES = ("/", "/compare", "/stability", "/tune")
ALIVE = {"run", "job", "race", "map", "check", "range", "tune", "beside", "truth", "study", "preset"}
"""Words that name what has been started or picked: they come into the address by themselves."""

WATCH = """() => { const now = () => {
    const controls = [...document.querySelectorAll('[data-testid=stApp] input[aria-label]')].map(
      e => [e.ariaLabel, e.type === 'checkbox' ? `${e.checked}` : e.ariaValueText ?? e.value]);
    const picked = [...document.querySelectorAll('[role=radiogroup] [aria-checked=true]')].map(
      e => [e.closest('[role=radiogroup]').ariaLabel, e.innerText]);
    const blamed = document.body.innerText.match(/[^.\\n]*(of other settings|changed the settings)[^.\\n]*/);
    const errors = document.querySelectorAll('[data-testid=stAlertContentError], [data-testid=stException]');
    return {fields: [...controls, ...picked], link: [...new URLSearchParams(location.search)],
      said: [...[...errors].map(e => e.innerText), ...(blamed ? [blamed[0]] : [])]};
  };
  const seen = window.seen = {every: [], changed: 0, chart: null};
  setInterval(() => {
    const app = document.querySelector('[data-testid=stApp]');
    if (!app) return;
    const text = JSON.stringify(now());
    if (text !== seen.every.at(-1)) { seen.every.push(text); seen.changed = performance.now(); }
    if (document.querySelector('svg.marks, canvas.marks')) seen.chart ??= performance.now();
    seen.still = seen.chart !== null && app.dataset.testScriptState === 'notRunning'
      ? performance.now() - seen.changed : 0;
  }, 100);
}"""


LATE = """() => { const Plain = WebSocket, held = [];
  let first = null;
  const look = setInterval(() => {
    if (first === null || performance.now() - first < MS) return;
    clearInterval(look);
    first = -1;
    held.forEach(tell => tell());
  }, 50);
  window.WebSocket = class extends Plain {
    addEventListener(type, heard, ...rest) {
      super.addEventListener(type, type !== 'message' ? heard : event => {
        if (first === -1) return heard.call(this, event);
        first ??= performance.now();
        held.push(() => heard.call(this, event));
      }, ...rest);
    }
    set onmessage(heard) { this.addEventListener('message', heard); }
  };
}"""


@dataclass(frozen=True)
class Opening:
    """One way to open a page.

    Attributes:
        path: The page.
        problem: Words of the link that a config understands.
        more: Words that only the page understands.
        shown: What a field must show besides what the config says, by label, where it is drawn.
        run: Whether the link asks the page to start.
    """

    path: str
    problem: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    run: bool = False

    @property
    def link(self) -> str:
        """The path with the words of the link."""
        words = {**self.problem, **self.more, **({"run": "1"} if self.run else {})}
        return f"{self.path}?{urlencode(words)}" if words else self.path

    @property
    def kind(self) -> str:
        """In a word: bare, link or run."""
        return "run" if self.run else "link" if self.problem else "bare"


def openings(path: str) -> list[Opening]:
    """Five ways to open a page: bare, by its two links, and by both with run=1."""
    first, second = (each for each in LINKS if each.path == path)
    return [Opening(path), first, replace(first, run=True), second, replace(second, run=True)]


RIVALS = "sgd:learning_rate=0.05,nesterov:learning_rate=0.05:momentum=0.8,rmsprop:learning_rate=0.02"
LINKS = (
    Opening(
        "/",
        dict(dataset="moons", model="mlp", learning_rate="0.037", momentum="0.83", batch_size="16", seed="3"),
        dict(speed="fast"),
    ),
    Opening(
        "/",
        dict(dataset="diabetes", optimizer="nesterov", learning_rate="0.004", scale="false", epochs="25"),
        dict(axis="linear"),
    ),
    Opening(
        "/compare",
        dict(dataset="moons", model="mlp", batch_size="16", epochs="30", seed="7"),
        dict(rivals=RIVALS, seeds="3", speed="fast"),
        {"Seeds": "3", "Baseline": "SGD", "Rival 2": "Nesterov momentum", "Rival 3": "RMSprop"},
    ),
    Opening(
        "/compare",
        dict(dataset="diabetes", scale="false", epochs="20"),
        dict(rivals="momentum:learning_rate=0.002,adam", mode="same"),
        {"Baseline": "SGD + momentum", "Rival 2": "Adam"},
    ),
    Opening(
        "/stability",
        dict(dataset="diabetes", batch_size="16", epochs="12", seed="5"),
        dict(cells="16", kind="nesterov"),
    ),
    Opening("/stability", dict(dataset="moons", scale="false", epochs="8"), dict(cells="16")),
    Opening(
        "/tune",
        dict(dataset="diabetes", optimizer="nesterov", batch_size="16", epochs="8", seed="4"),
        dict(trials="6", seeds="2"),
    ),
    Opening("/tune", dict(dataset="wine", scale="false", epochs="6"), dict(trials="5")),
)


@dataclass(frozen=True)
class Seen:
    """What a page shows.

    Attributes:
        fields: What each control shows, by its label; a label that several share has several.
        link: The words of the address.
        said: Errors, and blame for changed settings.
    """

    fields: Mapping[str, list[str]]
    link: Mapping[str, str]
    said: list[str]


def watch(context: BrowserContext, late: float = 0.0) -> None:
    """Makes every page of a context take down what it shows from its first moment on.

    Args:
        context: A fresh one.
        late: For so many seconds after the server's first word the page is too busy to listen; then it hears
            all that was said at once, with no picture in between. Any slow machine does that now and then.
    """
    context.add_init_script(f"({WATCH})()")
    if late:
        context.add_init_script(f"({LATE.replace('MS', str(1000 * late))})()")


@dataclass(frozen=True)
class Opened:
    """What came of one open.

    Attributes:
        every: All that the page has shown, in turn.
        chart: Seconds to the first chart; None without one.
        rested: Whether the page came to rest.
    """

    every: list[Seen]
    chart: float | None
    rested: bool


def opened(
    browser: Browser, addresses: Sequence[str], late: float, quiet: float, most: float
) -> list[Opened]:
    """Opens addresses at the same time, each in a fresh profile, and waits until each page is at rest.

    Args:
        browser: Where.
        addresses: With the link.
        late: As in `watch`.
        quiet, most: As in `still`.
    """
    contexts = [browser.new_context(viewport=SIZE, reduced_motion="reduce") for _ in addresses]
    pages = []
    for context, address in zip(contexts, addresses, strict=True):
        watch(context, late)
        pages.append(context.new_page())
        pages[-1].goto(address, wait_until="commit")
    rested = [still(page, quiet, most) for page in pages]
    results = [Opened(history(page), first_chart(page), r) for page, r in zip(pages, rested, strict=True)]
    for context in contexts:
        context.close()
    return results


def still(page: Page, quiet: float, most: float) -> bool:
    """Waits until fields and address have not changed for `quiet` seconds and no script runs.

    Returns:
        Whether they came to rest within `most` seconds.
    """
    try:
        page.wait_for_function("ms => window.seen?.still > ms", arg=1000 * quiet, timeout=1000 * most)
    except TimeoutError:
        return False
    return True


def history(page: Page) -> list[Seen]:
    """What a page has shown since it was opened; what it shows now comes last."""
    every = page.evaluate("window.seen.every.map(JSON.parse)")
    return [_seen(one) for one in every]


def first_chart(page: Page) -> float | None:
    """Seconds from the opening to the first chart."""
    at = page.evaluate("window.seen.chart")
    return None if at is None else at / 1000


def _seen(one: dict[str, list[list[str]]]) -> Seen:
    fields: dict[str, list[str]] = {}
    for label, text in one["fields"]:
        fields.setdefault(label, []).append(text)
    return Seen(fields, dict(one["link"]), one["said"])  # type: ignore[arg-type]


def expected(opening: Opening) -> dict[str, str]:
    """What the fields of a link must show, by label, from the config alone."""
    from core.config import Config

    config = Config.from_query(opening.problem)
    fields = {
        "Dataset": config.dataset.title,
        "Model": config.model.title,
        "Standardise columns": str(config.scale).lower(),
        "Batch size": str(config.batch_size),
        "Epochs": str(config.epochs),
        "Seed": str(config.seed),
    }
    if opening.path in ("/", "/tune"):
        fields["Optimizer"] = config.optimizer.title
    if opening.path == "/":
        fields["Learning rate"] = str(config.learning_rate)
        fields["Momentum"] = str(config.momentum)
    return fields


def wrong(opening: Opening, seen: Seen, usual: Seen | None = None) -> list[str]:
    """What a page shows that it should not, a line for each; nothing if it is right.

    Args:
        opening: How it was opened.
        seen: What it shows.
        usual: What it shows when nothing else wants the processor; for an opening without a link.
    """
    found = [f"says {each!r}" for each in seen.said]
    if usual is not None:
        found += _differences(usual.fields, seen.fields)
        found += [f"{w} in the address" for w in _settings(seen.link).items() ^ _settings(usual.link).items()]
        return found
    found += _misshown(opening, seen.fields)
    found += [f"no field {label!r}" for label in expected(opening) if label not in seen.fields]
    return found + _misled(opening, seen.link)


def flashed(opening: Opening, seen: Seen) -> list[str]:
    """The fields that show something else than the link says; an empty one is only about to be drawn."""
    return _misshown(opening, {label: texts for label, texts in seen.fields.items() if "" not in texts})


def _misshown(opening: Opening, fields: Mapping[str, list[str]]) -> list[str]:
    asked = {**expected(opening), **opening.shown}
    drawn = {label: texts for label, texts in fields.items() if label in asked}
    return _differences({label: [asked[label]] * len(texts) for label, texts in drawn.items()}, drawn)


def _differences(right: Mapping[str, Iterable[str]], shown: Mapping[str, Iterable[str]]) -> list[str]:
    return [
        f"{label} shows {', '.join(shown.get(label, ['nothing']))} and not {', '.join(texts)}"
        for label, texts in right.items()
        if not _alike(list(texts), list(shown.get(label, [])))
    ]


def _alike(right: list[str], shown: list[str]) -> bool:
    return len(right) == len(shown) and all(map(_same, right, shown))


def _same(right: str, shown: str) -> bool:
    """Whether two texts are equal, as numbers if they are numbers."""
    try:
        return math.isclose(float(right), float(shown), rel_tol=1e-9)
    except ValueError:
        return right == shown


def _settings(link: Mapping[str, str]) -> dict[str, str]:
    return {word: text for word, text in link.items() if word not in ALIVE}


def _misled(opening: Opening, link: Mapping[str, str]) -> list[str]:
    """What the address says that the link did not."""
    from core.config import Config

    words = _settings(link)
    own = {word: text for word, text in words.items() if not Config.read({word: text})[1]}
    found = [
        f"{word}={text} in the address" for word, text in opening.more.items() if words.get(word) != text
    ]
    found += [f"{word} in the address" for word in words.keys() - own.keys() - opening.more.keys()]
    if Config.read(own)[0] != Config.from_query(opening.problem):
        found.append(f"the address is of other settings: {urlencode(words)}")
    return found
