"""Reads CSV: finds the delimiter and the header, keeps rows aside that do not fit, goes on anywhere.

Rows end with LF, CRLF or CR; cells are quoted as in RFC 4180 (October 2005); blank lines are skipped.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal, NamedTuple

from penstock.base.errors import InputError
from penstock.base.types import Page, Record, Reject
from penstock.data.files.lines import Bookmark, Lines
from penstock.data.files.place import Place
from penstock.data.rows import RAW_LIMIT, make_key, reject, reject_key, require_columns, require_unique

DELIMITERS = ",;\t|"
CELL_LIMIT_CHARACTERS = 32 << 20

_SNIFF_BYTES = 1 << 16
_SNIFF_LINES = 50


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How a CSV file is read; a delimiter of None is found out."""

    key: tuple[str, ...]
    encoding: str = "utf-8"
    delimiter: str | None = None


class _Taken(NamedTuple):
    rows: list[tuple[list[str], int]]
    fault: Literal["", "too-large", "unclosed"]


class _Rows:
    """The cells of one row after the other, each with the number of the line where it ends."""

    def __init__(self, lines: Lines, delimiter: str, encoding: str) -> None:
        # The limit is one for the whole process; it only ever grows here.
        csv.field_size_limit(max(csv.field_size_limit(), CELL_LIMIT_CHARACTERS))
        self.bad_lines: dict[int, UnicodeDecodeError] = {}
        self._lines = lines
        self._encoding = encoding
        self._before = lines.line
        self._taken: list[tuple[list[str], int]] = []
        self._taken_at_end: int | None = None
        self._cells = csv.reader(chain.from_iterable(self._texts()), delimiter=delimiter)

    def take(self, count: int) -> _Taken:
        """Return up to `count` rows and what is wrong: the last one's quote never closes, or the next is too large."""
        self._taken = taken = []
        cells, before = self._cells, self._before
        try:
            for row in islice(cells, count):
                taken.append((row, before + cells.line_num))  # noqa: PERF401 - rows before a failing one are kept
        except csv.Error:
            return _Taken(taken, "too-large")
        # A row that needed the end of the file to end is one whose quote is still open.
        is_unclosed = self._taken_at_end is not None and len(taken) > self._taken_at_end
        return _Taken(taken, "unclosed" if is_unclosed else "")

    def _texts(self) -> Iterator[Sequence[str]]:
        while lines := self._lines.read():
            try:
                yield [line.decode(self._encoding) for line in lines]
            except UnicodeDecodeError:
                yield self._decode_singly(lines, self._lines.line - len(lines) + 1)
        self._taken_at_end = len(self._taken)

    def _decode_singly(self, lines: list[bytes], first: int) -> list[str]:
        texts = []
        for number, line in enumerate(lines, first):
            try:
                texts.append(line.decode(self._encoding))
            except UnicodeDecodeError as error:
                self.bad_lines[number] = error
                texts.append(line.decode(self._encoding, "replace"))
        return texts


class CsvReader:
    """Pages of a CSV file, from its first row or from a cursor on."""

    def __init__(self, place: Place, options: CsvOptions, cursor: dict[str, Any] | None) -> None:
        self._options = options
        self._name = place.name
        self._lines = Lines(place)
        try:
            self._delimiter = options.delimiter or _sniff(self._lines, options)
            self._header = self._read_header()
            self._key_at = [self._header.index(name) for name in options.key]
            self._bookmark = Bookmark(self._lines)
            if cursor is not None:
                self._bookmark.resume(cursor)
            self._restart()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._lines.close()

    def read(self, size: int) -> Page | None:
        """Return the next page, or None at the end of the file."""
        rows, fault = self._rows.take(size)
        if not rows and not fault:
            return None
        page = Page([], [])
        last = rows.pop() if fault == "unclosed" else None
        self._sort(page, rows)
        if last is not None:
            self._keep_tail(page, last[1])
        if fault == "too-large":
            self._skip_line(page)
        page.cursor = self._bookmark.place(self._line)
        for number in [number for number in self._rows.bad_lines if number <= self._line]:
            del self._rows.bad_lines[number]
        return page

    def _restart(self) -> None:
        self._line = self._lines.line
        self._rows = _Rows(self._lines, self._delimiter, self._options.encoding)

    def _read_header(self) -> list[str]:
        rows = _Rows(self._lines, self._delimiter, self._options.encoding)
        header: list[str] = []
        end = 0
        while not header:
            taken, fault = rows.take(1)
            if fault or not taken or any(number <= taken[0][1] for number in rows.bad_lines):
                raise self._bad_header()
            header, end = taken[0]
        self._lines.move(self._lines.offset_after(end), end)
        names = [name.strip() or f"column {number}" for number, name in enumerate(header, 1)]
        require_unique(self._name, names)
        require_columns(self._name, self._options.key, names)
        return names

    def _bad_header(self) -> InputError:
        return InputError(
            f"the first row of {self._name} is not a readable header",
            code="files.bad-header",
            hint="The first row names the columns, in UTF-8, with every quote closed. "
            "For another encoding add `encoding:` (such as cp1252).",
            where=f"{self._name}:1",
        )

    def _sort(self, page: Page, rows: list[tuple[list[str], int]]) -> None:
        """Make records of the rows that fit and keep the others aside."""
        name, header, key_at, bad_lines = self._name, self._header, self._key_at, self._rows.bad_lines
        width, line = len(header), self._line
        for row, end in rows:
            if len(row) != width or bad_lines:
                fault = self._find_fault(row, line + 1, end)
                if fault is not None:
                    page.rejects.append(fault)
                if fault is not None or not row:
                    line = end
                    continue
            try:
                key = make_key([row[at] for at in key_at])
                page.records.append(Record(key, dict(zip(header, row, strict=True)), f"{name}:{line + 1}"))
            except ValueError as error:
                page.rejects.append(
                    reject_key(f"{name}:{line + 1}", self._raw(line + 1, end), error, self._options.key)
                )
            line = end
        self._line = line

    def _find_fault(self, row: list[str], first: int, end: int) -> Reject | None:
        where = f"{self._name}:{first}"
        for number in range(first, end + 1):
            error = self._rows.bad_lines.get(number)
            if error is not None:
                byte = error.object[error.start]
                return reject(
                    where,
                    self._raw(first, end),
                    "input.bad-bytes",
                    f"line {number} is not {error.encoding}: byte {error.start + 1} is 0x{byte:02x}",
                    "Repair the line, or name the file's encoding with `encoding:` (such as cp1252).",
                )
        if row and len(row) != len(self._header):
            return reject(
                where,
                self._raw(first, end),
                "input.ragged-row",
                f"the row has {len(row)} cells, the header {len(self._header)}",
                "Put cells that hold the delimiter or a line end in double quotes.",
            )
        return None

    def _keep_tail(self, page: Page, end: int) -> None:
        """Keep everything aside that stands behind a quote which never closes: none of it can be trusted."""
        first = self._line + 1
        lines = f"line {first}" if end == first else f"lines {first} to {end}"
        page.rejects.append(
            reject(
                f"{self._name}:{first}",
                self._raw(first, end),
                "input.unclosed-quote",
                f"a quote that opens in line {first} never closes; {lines} were not read",
                "Close the quote, or double it where it is part of the text.",
            )
        )
        self._line = end

    def _skip_line(self, page: Page) -> None:
        """Keep only the line aside in which a cell starts that outgrows the limit, and go on behind it."""
        first = self._line + 1
        page.rejects.append(
            reject(
                f"{self._name}:{first}",
                self._raw(first, first),
                "input.cell-too-large",
                f"a cell that starts in line {first} is longer than {CELL_LIMIT_CHARACTERS:,} characters",
                "A quote is probably never closed in this line.",
            )
        )
        self._lines.move(self._lines.offset_after(first), first)
        self._restart()

    def _raw(self, first: int, last: int) -> str:
        return self._lines.raw(first, last, RAW_LIMIT).decode(self._options.encoding, "backslashreplace").rstrip("\r\n")


def _sniff(lines: Lines, options: CsvOptions) -> str:
    """Return the delimiter under which the key columns appear and the first rows have one width."""
    start = lines.offset_after(0)
    head = os.pread(lines.handle.fileno(), _SNIFF_BYTES, start)
    sample = head.decode(options.encoding, "replace").splitlines(keepends=True)
    if len(head) == _SNIFF_BYTES and len(sample) > 1:
        sample.pop()  # cut somewhere
    sample = sample[:_SNIFF_LINES]

    def score(delimiter: str) -> tuple[bool, float, int]:
        rows = [row for row in csv.reader(sample, delimiter=delimiter) if row]
        names = [name.strip() for name in rows[0]] if rows else []
        same = sum(len(row) == len(names) for row in rows) if len(names) > 1 else 0
        return all(name in names for name in options.key), same / max(len(rows), 1), len(names)

    return max(DELIMITERS, key=score)
