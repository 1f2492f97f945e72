"""A browser's side of Streamlit's websocket without a browser: what is asked for, and what comes back.

It draws nothing and sends only what it is told to, also what no browser of good will would send.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from google.protobuf.message import Message
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

LOOPBACK = "127.0.0.1", "localhost", "::1"
PATIENCE = 60.0  # seconds for an answer; a fresh server loads torch while it draws its first page


class Client:
    """One tab of one visitor, open within a `with`. What it has received is kept for a test to look at.

    Args:
        address: Of a server on this machine, as `tests.browser.app` gives it.
        cookie: What the browser would send; a visitor with the same `_streamlit_xsrf` is the same.

    Attributes:
        messages: All messages so far.
        sizes: How many bytes each of them was.
        elements: What the page shows now, by its place on it.
        fragments: The fragments that a browser would ask for again and again now.
        words: The words of the link, as the page has set them.
    """

    def __init__(self, address: str, cookie: str = "") -> None:
        parts = urlsplit(address)
        assert parts.hostname in LOOPBACK, f"Tests ask no other machine, so not {parts.hostname}."
        self.messages: list[ForwardMsg] = []
        self.sizes: list[int] = []
        self.elements: dict[tuple[int, ...], Element] = {}
        self.fragments: list[str] = []
        self.words: dict[str, str] = {}
        self._query = ""
        self._page = ""
        self._drawn: set[tuple[int, ...]] = set()
        self._socket: Any = None
        self._connecting = connect(
            f"ws://{parts.netloc}/_stcore/stream",
            subprotocols=["streamlit"],  # type: ignore[list-item]
            additional_headers={"Cookie": cookie} if cookie else None,
            proxy=None,
            max_size=None,
        )

    def __enter__(self) -> Client:
        self._socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connecting.__exit__(*error)

    def open(self, link: str) -> Client:
        """Opens a page of the app and waits until it is drawn.

        Args:
            link: Path and query, such as /compare?seeds=3.
        """
        parts = urlsplit(link)
        self._page, self._query = parts.path.strip("/"), parts.query
        self.words = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.run()
        return self

    def run(self, **more: Any) -> None:
        """Asks for the page once more, as after a click that changes nothing, and waits for it.

        Args:
            more: Other fields of the request, `streamlit.proto.ClientState`.
        """
        asked = {"query_string": self._query, "page_name": self._page, **more}
        self.send(rerun_script=asked)
        self._until_drawn()

    def tick(self) -> None:
        """What a browser does by itself while a job goes on: asks once for each fragment that wants it."""
        for fragment in list(self.fragments):
            if fragment in self.fragments:  # the one before may have drawn the whole page again
                self.run(fragment_id=fragment, is_auto_rerun=True)

    def send(self, **message: Any) -> None:
        """Sends one message, a `streamlit.proto.BackMsg`, and waits for nothing."""
        self._socket.send(BackMsg(**message).SerializeToString())

    def until(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Follows the page as a browser does until something is so."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"It did not happen in {seconds:g} s; now: {self.said('progress')}"
            time.sleep(0.1)
            self.tick()

    def of(self, kind: str) -> list[Any]:
        """The elements of one kind that the page shows, such as "alert", from top to bottom."""
        shown = [self.elements[place] for place in sorted(self.elements)]
        return [getattr(element, kind) for element in shown if element.WhichOneof("type") == kind]

    def said(self, *kinds: str) -> list[str]:
        """The text of the elements of some kinds, from top to bottom."""
        return [
            str(getattr(e, "body", "") or getattr(e, "text", "")) for kind in kinds for e in self.of(kind)
        ]

    def markdown(self) -> list[str]:
        """Every text on the page that a browser reads as Markdown: bodies, labels, options, explanations."""
        names = ("body", "label", "help", "text", "caption", "content", "options")
        shown = [e for e in self.elements.values() if e.WhichOneof("type") not in ("html", "code")]
        return [text for element in shown for name, text in _strings(element) if name in names]

    def texts(self) -> list[str]:
        """Every piece of text in every message so far."""
        return [text for message in self.messages for _, text in _strings(message)]

    def _until_drawn(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            data = self._socket.recv(timeout=max(0.0, end - time.monotonic()))
            assert isinstance(data, bytes)
            message = ForwardMsg.FromString(data)
            self.messages.append(message)
            self.sizes.append(len(data))
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self._drawn = set()
                if not message.metadata.run.fragment_ids:
                    self.fragments = []
            elif kind == "delta":
                self._take(message)
            elif kind == "page_info_changed":
                self._query = message.page_info_changed.query_string
                self.words = dict(parse_qsl(self._query, keep_blank_values=True))
            elif kind == "auto_rerun":
                if message.auto_rerun.fragment_id not in self.fragments:
                    self.fragments.append(message.auto_rerun.fragment_id)
            elif kind == "stop_auto_rerun":
                gone = set(message.stop_auto_rerun.fragment_ids)
                self.fragments = [fragment for fragment in self.fragments if fragment not in gone]
            elif kind == "script_finished" and self._ended(message.script_finished):
                return

    def _take(self, message: ForwardMsg) -> None:
        place = tuple(message.metadata.delta_path)
        if message.delta.WhichOneof("type") == "new_element":
            self.elements[place] = message.delta.new_element
        else:
            self.elements.pop(place, None)
        self._drawn.add(place)

    def _ended(self, status: int) -> bool:
        """Whether a run was the last; what a whole page did not draw again is gone."""
        if status == ForwardMsg.FINISHED_SUCCESSFULLY:
            self.elements = {place: e for place, e in self.elements.items() if place in self._drawn}
        return status != ForwardMsg.FINISHED_EARLY_FOR_RERUN


def _strings(message: Message) -> Iterator[tuple[str, str]]:
    """Every text in a message, with the name of its field."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            keys = list(value)
            values = [value[key] for key in keys]
            yield from ((field.name, key) for key in keys if isinstance(key, str))
        for each in values:
            if isinstance(each, Message):
                yield from _strings(each)
            elif isinstance(each, str):
                yield field.name, each
