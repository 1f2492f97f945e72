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
from contextlib import contextmanager
from pathlib import Path

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
def app(**environment: str) -> Iterator[str]:
    """A fresh server of the app on a free loopback port; gives its address, without a slash at the end.

    Args:
        environment: Variables of its environment, such as MOMENTUM_LAB_GRACE.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    command += [
        "--server.address",
        "127.0.0.1",
        "--server.port",
        str(port),
        "--server.fileWatcherType",
        "none",
    ]
    env = {**os.environ, **environment}
    server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _await(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stderr.close()


def _await(address: str, server: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            raise RuntimeError(f"The app did not start: {server.stderr.read().decode()[-500:]}")
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
        scheme = "dark" if dark else "light"
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page = self.tab()

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
        self.page.evaluate("document.fonts.ready.then(() => true)")

    def button(self, key: str) -> Locator:
        """A button by its key."""
        return self.page.locator(f".st-key-{key} button").first

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
