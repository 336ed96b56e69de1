"""Server-sent events out of bytes that come in parts of any size (WHATWG HTML standard, section 9.2, 2026)."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One event: its name, empty when it has none, and its data as they were sent."""

    name: str
    data: bytes


class EventReader:
    """Takes in parts of a stream and gives out each event with the part that completes it."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._after_return = False
        self._is_first = True
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> list[Event]:
        """Take in a part; returns the events that it completes."""
        if self._after_return and part:  # a line break of two characters, cut between them
            part = part.removeprefix(b"\n")
            self._after_return = False
        if not part:
            return []
        self._after_return = part.endswith(b"\r")
        if b"\n" not in part and b"\r" not in part:
            self._rest.append(part)
            return []
        lines = b"".join((*self._rest, part)).splitlines(keepends=True)
        self._rest = [] if lines[-1].endswith((b"\n", b"\r")) else [lines.pop()]
        return [event for line in lines if (event := self._take(line.rstrip(b"\r\n"))) is not None]

    def end(self) -> list[Event]:
        """Return the event that was under way when the stream ended; some servers leave out its empty line."""
        lines = (b"".join(self._rest), b"")
        self._rest = []
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> Event | None:
        if self._is_first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._is_first = False
        if not line:
            event = Event(self._name, b"\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None
