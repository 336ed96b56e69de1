"""Reads JSON lines: one object per line; a line that is no object is kept aside."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Page, Record, Reject
from penstock.data.files.lines import Bookmark, Lines
from penstock.data.files.place import Place
from penstock.data.rows import RAW_LIMIT, make_key, reject, reject_key, require_columns

_SAMPLE_BYTES = 1 << 16
_BAD_LINE = (UnicodeDecodeError, msgspec.DecodeError, RecursionError)


class JsonlReader:
    """Pages of a file of JSON lines, from its first line or from a cursor on."""

    def __init__(self, place: Place, key: tuple[str, ...], encoding: str, cursor: dict[str, Any] | None) -> None:
        self._name = place.name
        self._key = key
        self._encoding = encoding
        self._decode = msgspec.json.Decoder().decode
        self._decode_line: Callable[[bytes], Any] = self._decode if encoding == "utf-8" else self._decode_encoded
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
        before = number = self._line
        decode, name, keys, key = self._decode_line, self._name, self._key, ""
        for line in islice(self._stream, size):
            number += 1
            try:
                data = decode(line)
            except _BAD_LINE:
                data = None
            where = f"{name}:{number}"
            if type(data) is not dict:
                self._set_aside(page, line, where)
                continue
            if keys:
                try:
                    key = make_key([data.get(one) for one in keys])
                except ValueError as error:
                    page.rejects.append(reject_key(where, _show(line), error, keys))
                    continue
            page.records.append(Record(key, data, where))
        self._line = number
        if number == before:
            return None
        page.cursor = self._bookmark.place(number)
        return page

    def _set_aside(self, page: Page, line: bytes, where: str) -> None:
        """Keep a line that holds no object, with the reason; an empty one is nothing."""
        if not line.isspace():
            page.rejects.append(self._refuse(line, where))

    def _decode_encoded(self, line: bytes) -> Any:
        return self._decode(line.decode(self._encoding))

    def _refuse(self, line: bytes, where: str) -> Reject:
        try:
            data = self._decode_line(line)
        except UnicodeDecodeError:
            message = f"the line is not {_bad_byte(line, self._encoding)}"
            return reject(where, _show(line), "input.bad-bytes", message, "Repair the line, or set `encoding:`.")
        except (msgspec.DecodeError, RecursionError) as error:
            return reject(where, _show(line), "input.bad-json", f"the line is not JSON: {error}", "Repair the line.")
        message = f"the line holds {type(data).__name__}, not an object"
        return reject(where, _show(line), "input.bad-json", message, 'Write one {"column": value, …} per line.')

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
            try:
                data = self._decode_line(line)
            except _BAD_LINE:
                continue
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
