"""What tests of pages share: the app without a browser, its widgets by name, its words as they are read."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from streamlit.testing.v1 import AppTest

from core.jobs import Job
from pages import _live

ROOT = Path(__file__).parents[1]
KINDS = ("button", "selectbox", "slider", "select_slider", "toggle", "checkbox", "text_input", "button_group")
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|\u2060")


def opened(page: str = "", **link: str) -> AppTest:
    """The app on a page, opened by a link that says so much."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for word, text in link.items():
        at.query_params[word] = text
    if page:
        at.switch_page(f"pages/{page}.py")
    return at.run()


def link_of(at: AppTest) -> dict[str, str]:
    """The words in the address bar."""
    return {word: texts if isinstance(texts, str) else texts[0] for word, texts in at.query_params.items()}


def job_of(at: AppTest, word: str = "job") -> Job:
    """The job that the link names."""
    found = _live.manager().get(link_of(at)[word])
    assert found is not None
    return found


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.01)


def ended(at: AppTest, word: str = "job") -> AppTest:
    """The page once its job is over."""
    until(lambda: job_of(at, word).over)
    return at.run()


def settled(at: AppTest, true: Callable[[], object], seconds: float = 60.0) -> None:
    """Draws the page again until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.05)
        at.run()


def _named(key: str | None) -> str:
    """The name of a widget, without the number of times that it was made anew."""
    return (key or "").rsplit("--", 1)[0]


def widget(at: AppTest, name: str) -> Any:
    """The widget of a name, whichever time it has been made."""
    found = [each for kind in KINDS for each in at.get(kind) if _named(each.key) == name]
    assert found, f"There is no {name}; there are {sorted(widgets(at))}."
    return found[0]


def widgets(at: AppTest) -> dict[str, Any]:
    """The values of all widgets, by name."""
    shown: list[Any] = [each for kind in KINDS for each in at.get(kind)]
    return {_named(w.key): w.value for w in shown if w.key and w.key.startswith("w_")}


def read(text: str) -> str:
    """Markdown that shows plain text, as that text."""
    return ESCAPED.sub(lambda match: match[1] or "", text)


def said(at: AppTest) -> str:
    """The sentences on the page."""
    return " ".join(read(element.value) for element in at.markdown)


def complaints(at: AppTest) -> list[str]:
    """What the page says cannot be, at its top and at its fields."""
    top = [line for error in at.error for line in read(error.value).split("  \n")]
    fields = [m.value for m in at.markdown if m.value.startswith(":red[")]
    return top + [read(text)[len(":red[") : -1] for text in fields]


def calm(at: AppTest) -> bool:
    """Whether nothing went wrong."""
    return not at.exception and not complaints(at)


def charts(at: AppTest) -> list[Any]:
    """The charts of the page."""
    return [element.proto for element in at.get("vega_lite_chart")]


def drawn(proto: Any) -> pd.DataFrame:
    """The table behind a chart."""
    data = proto.data.data if proto.data.data else proto.datasets[0].data.data
    return pa.ipc.open_stream(io.BytesIO(data)).read_pandas()


def progress(at: AppTest) -> str:
    """The line at the progress bar."""
    return str(at.get("progress")[0].proto.text)
