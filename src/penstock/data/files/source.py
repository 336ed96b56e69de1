"""Files as a source of records: one reader per format, each page read in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from penstock.base.errors import InputError
from penstock.base.types import Page, Source
from penstock.data.files.csvfile import CsvOptions, CsvReader
from penstock.data.files.jsonl import JsonlReader
from penstock.data.files.lines import check_encoding
from penstock.data.files.parquet import ParquetReader
from penstock.data.files.place import Place, find_place
from penstock.data.rows import check_options, names_option, text_option

OPTIONS = ("path", "key", "format", "encoding", "delimiter")


class _Reader(Protocol):
    def read(self, size: int) -> Page | None: ...

    def close(self) -> None: ...


class _Opener(Protocol):
    def __call__(self, *, cursor: dict[str, Any] | None) -> _Reader: ...


class _Guarded:
    """A reader that is never closed under a thread which a cancelled task left at work."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()

    def read(self, size: int) -> Page | None:
        with self._lock:
            return self._reader.read(size)

    def close(self) -> None:
        with self._lock:
            self._reader.close()


class FileSource:
    """Records of one file, in the order in which they stand there.

    A cursor goes on in the same file even when rows were added at its end (not for
    Parquet, whose files are never appended to); any other change is an `InputError`.
    """

    def __init__(self, place: Place, opener: _Opener) -> None:
        self._place = place
        self._open = opener
        self._readers: set[_Guarded] = set()

    def describe(self) -> str:
        return self._place.name

    def identity(self) -> str:
        return f"file:{self._place.path}"

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        reader = _Guarded(await asyncio.to_thread(self._open, cursor=cursor))
        self._readers.add(reader)
        try:
            while (page := await asyncio.to_thread(reader.read, size)) is not None:
                yield page
        finally:
            self._readers.discard(reader)
            reader.close()

    async def count(self) -> int | None:
        if self._place.format != "parquet":
            return None
        reader = await asyncio.to_thread(self._open, cursor=None)
        reader.close()
        return reader.rows if isinstance(reader, ParquetReader) else None

    async def close(self) -> None:
        while self._readers:
            self._readers.pop().close()


def files_source(options: Mapping[str, Any], folder: Path) -> Source:
    """Make a source of a CSV, JSON lines or Parquet file.

    Options: `path` (from `folder` on), `key` (the column or columns that identify a record),
    `format` (csv, jsonl or parquet; else the name's ending tells), and for text `encoding`
    (utf-8) and, for CSV, `delimiter` (found out among comma, semicolon, tab and bar).
    Raises `InputError` for wrong options; the file itself is opened by `pages` and `count`.
    """
    what = "the files source"
    check_options(what, options, OPTIONS, ("path", "key"))
    place = find_place(what, options, folder)
    key = names_option(what, options, "key")
    if place.format == "parquet":
        return FileSource(place, partial(ParquetReader, place, key))
    encoding = check_encoding(text_option(what, options, "encoding") or "utf-8", place.name)
    if place.format == "jsonl":
        return FileSource(place, partial(JsonlReader, place, key, encoding))
    return FileSource(place, partial(CsvReader, place, CsvOptions(key, encoding, _delimiter(what, options))))


def _delimiter(what: str, options: Mapping[str, Any]) -> str | None:
    given = text_option(what, options, "delimiter")
    delimiter = {"tab": "\t", "\\t": "\t"}.get(given or "", given)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise InputError(
            f"the delimiter of {options['path']} is {given!r}",
            code="input.wrong-option",
            hint='Give one character, such as ";", or `tab`; or leave it out to have it found.',
        )
    return delimiter
