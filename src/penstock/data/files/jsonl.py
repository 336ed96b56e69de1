"""Reads JSON lines: one object per line; a line that is no object is kept aside."""

from __future__ import annotations

import os
from itertools import chain, islice
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Page, Record, Reject
from penstock.data.files.lines import Bookmark, Lines
from penstock.data.files.place import Place
from penstock.data.rows import RAW_LIMIT, make_key, reject, reject_key, require_columns

_SAMPLE_BYTES = 1 << 16


class JsonlReader:
    """Pages of a file of JSON lines, from its first line or from a cursor on."""

    def __init__(self, place: Place, key: tuple[str, ...], encoding: str, cursor: dict[str, Any] | None) -> None:
        self._name = place.name
        self._key = key
        self._encoding = encoding
        self._decode = msgspec.json.Decoder().decode
        self._lines = Lines(place)
        try:
            self._look_at_head()
            self._bookmark = Bookmark(self._lines)
            if cursor is not None:
                self._bookmark.resume(cursor)
        except BaseException:
            self.close()
            raise
        self._line = self._lines.line
        self._stream = chain.from_iterable(iter(self._lines.read, []))

    def close(self) -> None:
        self._lines.close()

    def read(self, size: int) -> Page | None:
        """Return the next page, or None at the end of the file."""
        page = Page([], [])
        before = self._line
        for line in islice(self._stream, size):
            self._line += 1
            if not line.isspace():
                self._add(page, line)
        if self._line == before:
            return None
        page.cursor = self._bookmark.place(self._line)
        return page

    def _add(self, page: Page, line: bytes) -> None:
        where = f"{self._name}:{self._line}"
        data = self._parse(line, where)
        if isinstance(data, Reject):
            page.rejects.append(data)
            return
        try:
            page.records.append(Record(make_key([data.get(name) for name in self._key]), data, where))
        except ValueError as error:
            page.rejects.append(reject_key(where, _show(line), error, self._key))

    def _parse(self, line: bytes, where: str) -> dict[str, Any] | Reject:
        try:
            data = self._decode(line if self._encoding == "utf-8" else line.decode(self._encoding))
        except UnicodeDecodeError:
            message = f"the line is not {_bad_byte(line, self._encoding)}"
            return reject(where, _show(line), "input.bad-bytes", message, "Repair the line, or set `encoding:`.")
        except (msgspec.DecodeError, RecursionError) as error:
            return reject(where, _show(line), "input.bad-json", f"the line is not JSON: {error}", "Repair the line.")
        if not isinstance(data, dict):
            message = f"the line holds {type(data).__name__}, not an object"
            return reject(where, _show(line), "input.bad-json", message, 'Write one {"column": value, …} per line.')
        return data

    def _look_at_head(self) -> None:
        """Raise `InputError` when the first lines show that no line can be a record."""
        head = os.pread(self._lines.handle.fileno(), _SAMPLE_BYTES, self._lines.offset_after(0))
        if head.lstrip().startswith(b"["):
            raise InputError(
                f"{self._name} is one JSON array, not one object per line",
                code="files.wrong-format",
                hint=f"jq -c '.[]' {self._name} > lines.jsonl",
                where=f"{self._name}:1",
            )
        names: dict[str, None] = {}
        for line in head.splitlines():
            data = self._parse(line, "")
            if isinstance(data, dict):
                names.update(dict.fromkeys(data))
        if names:
            require_columns(self._name, self._key, list(names))


def _bad_byte(line: bytes, encoding: str) -> str:
    try:
        line.decode(encoding)
    except UnicodeDecodeError as error:
        return f"{encoding}: byte {error.start + 1} is 0x{line[error.start]:02x}"
    return encoding


def _show(line: bytes) -> str:
    return line[:RAW_LIMIT].decode("utf-8", "backslashreplace").rstrip("\r\n")
