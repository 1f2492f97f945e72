"""What browser tests share: a Chromium, the app on a free port, and words for what a person does there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright

ROOT = Path(__file__).parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
HARMLESS = ("Infinite extent", "Log scale domain includes zero", "status of 404", "WebSocket connection to")
MOUNTS = """() => { window.mounts = 0; new MutationObserver(records => { for (const record of records)
  for (const node of record.addedNodes) if (node.nodeType === 1)
    window.mounts += node.matches('svg.marks') ? 1 : node.querySelectorAll('svg.marks').length;
}).observe(document.body, {childList: true, subtree: true}); }"""


class NoChromium(RuntimeError):
    """There is no Chromium and none could be installed; the text says what was tried."""


def chromium(playwright: Playwright) -> str:
    """The path of a Chromium: the system's, Playwright's own, or one that is installed now.

    Raises:
        NoChromium: None could be found or installed.
    """

    def found() -> str | None:
        own = playwright.chromium.executable_path
        return next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)

    tries: list[list[str]] = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        tries += [["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]]
    for command in tries:
        if path := found():
            return path
        subprocess.run(command, capture_output=True, timeout=600, check=False)
    if path := found():
        return path
    raise NoChromium(
        f"The browser tests need Chromium. None of {', '.join(NAMES)} is on the path, and "
        f"{'; '.join(' '.join(t) for t in tries)} did not bring one. Install Chromium or Google Chrome."
    )


def launched(playwright: Playwright) -> Browser:
    """A browser without a window."""
    return playwright.chromium.launch(executable_path=chromium(playwright), args=list(QUIET))


@contextmanager
def app(root: Path = ROOT, script: Path = Path("app.py"), **environment: str) -> Iterator[str]:
    """A fresh server of the app on a free loopback port; gives its address, without a slash at the end.

    Args:
        root: The checkout whose app is served.
        script: What is served, in that folder or anywhere else.
        environment: Variables of its environment, such as MOMENTUM_LAB_DB.
    """
    with apps(1, root, script, **environment) as (address,):
        yield address


@contextmanager
def apps(
    count: int, root: Path = ROOT, script: Path = Path("app.py"), **environment: str
) -> Iterator[list[str]]:
    """As `app`, but several servers that start at the same time, each a process of its own."""
    with ExitStack() as stack:
        started = [stack.enter_context(_server(root, script, environment)) for _ in range(count)]
        for address, server, log in started:
            _await(f"{address}/_stcore/health", server, log)
        yield [address for address, _, _ in started]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Other processes that want the processor; they end with the block, or with whoever began them."""
    loop = f"import os\nwhile os.getppid() == {os.getpid()}:\n    sum(range(10**6))"
    others = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@contextmanager
def _server(
    root: Path, script: Path, environment: dict[str, str]
) -> Iterator[tuple[str, subprocess.Popen[bytes], IO[bytes]]]:
    """The address of a server that has been started but may not answer yet; the server; what it logs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"headless": "true", "address": "127.0.0.1", "port": str(port), "fileWatcherType": "none"}
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += [word for name, value in options.items() for word in (f"--server.{name}", value)]
    env = {**os.environ, **environment}
    with TemporaryFile() as log:  # a pipe that nobody reads would hold up a server that has much to say
        server = subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.DEVNULL, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}", server, log
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _await(address: str, server: subprocess.Popen[bytes], log: IO[bytes], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"The app did not start: {log.read().decode()[-500:]}")
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"The app did not answer at {address} within {seconds:g} seconds.")


class Visitor:
    """One person in one browser profile, and what the browser complained about meanwhile.

    Attributes:
        page: The tab that is in front.
        complaints: Console errors and warnings that are not known to be harmless, and page errors.
        hosts: Hosts that were asked for something.
    """

    def __init__(self, browser: Browser, *, width: int = 1280, dark: bool = False) -> None:
        self.context: BrowserContext = browser.new_context()
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page = self.tab()
        self.looks(width, dark=dark)

    def anew(self) -> Visitor:
        """The same person with a clean record, in a light window of 1280 by 900."""
        self.complaints.clear()
        self.hosts.clear()
        self.looks(1280)
        return self

    def looks(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Gives the window a size and a scheme; nothing in it moves by itself."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")

    def tab(self) -> Page:
        """Another tab of the same person."""
        page = self.context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda m: self._heard(m.type, m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda r: self.hosts.add(r.url.split("/")[2]) if "//" in r.url else None)
        return page

    def open(self, address: str) -> Page:
        """Opens an address and waits until the page is drawn."""
        self.page.goto(address)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Waits until charts are there and no script runs."""
        self.page.wait_for_selector("svg.marks", state="attached")
        self.page.wait_for_selector(
            "[data-testid=stApp][data-test-script-state=notRunning]", state="attached"
        )
        self.painted()

    def painted(self) -> None:
        """Waits until what the page has been told is in the picture."""
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.page.evaluate(f"document.fonts.ready.then(() => {frames}).then(() => true)")

    def widget(self, name: str) -> Locator:
        """What stands around a widget, whichever time it has been made."""
        return self.page.locator(f':is(.st-key-{name}, [class*="st-key-{name}--"])').first

    def field(self, name: str) -> Locator:
        """The field or the handle of a widget."""
        return self.widget(name).locator("input").first

    def button(self, key: str) -> Locator:
        """A button by its key."""
        return self.widget(key).locator("button").first

    def typed(self, name: str, text: str) -> None:
        """Types a text into a field and presses Enter."""
        field = self.field(name)
        field.fill(text)
        field.press("Enter")

    def progress(self) -> str:
        """The line at the progress bar."""
        return self.page.locator(".stProgress").inner_text()

    def update(self) -> int:
        """The number of the last update that the progress line tells."""
        words = self.progress().replace(",", "").split("update ")
        return int(words[1].split(" ")[0]) if len(words) > 1 else -1

    def until(self, true: Callable[[], object], seconds: float = 15.0) -> None:
        """Waits, while the browser goes on, until something is so."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"It did not happen in {seconds:g} s; now: {self.progress()!r}"
            self.page.wait_for_timeout(50)

    def link(self) -> dict[str, str]:
        """The words in the address bar."""
        return dict(self.page.evaluate("[...new URLSearchParams(location.search)]"))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(known in text for known in HARMLESS):
            self.complaints.append(text)
