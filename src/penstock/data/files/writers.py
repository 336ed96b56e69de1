"""Writes rows as CSV, JSON lines or Parquet to an open file; one writer per format, all with the same two methods."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec

from penstock.base.errors import InputError
from penstock.data.files.parquet import load_pyarrow
from penstock.data.rows import suggest

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")

KINDS = ("text", "number", "date", "boolean")


class Columns:
    """The columns of the file: those that were named, or those of the first rows, in their order."""

    def __init__(self, name: str, declared: Mapping[str, str | None]) -> None:
        self._name = name
        self._is_declared = bool(declared)
        self.kinds: dict[str, str | None] = dict(declared)

    def settle(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take the columns from the first rows, unless they were named."""
        if not self.kinds:
            for row in rows:
                self.kinds.update(dict.fromkeys(row))

    def cells(self, row: Mapping[str, Any]) -> list[Any]:
        """Return a row's values in order, None where it has none; raises `InputError` for a column unheard of.

        Columns that were named choose among a row's fields; the others are left out on purpose.
        """
        if not self._is_declared and not row.keys() <= self.kinds.keys():
            new = next(name for name in row if name not in self.kinds)
            raise InputError(
                f"a later row brings the column {new!r}, which the first rows of {self._name} do not have",
                code="files.late-column",
                hint=suggest(new, self.kinds) or f"Name all columns of {self._name} with `columns: […]`.",
            )
        return [row.get(name) for name in self.kinds]


class CsvWriter:
    """Writes CSV with a header, UTF-8, CRLF (RFC 4180, October 2005).

    A text that a spreadsheet would run as a formula gets an apostrophe in front of it
    (OWASP, CSV Injection); numbers, also as text, stay what they are.
    """

    def __init__(self, handle: BinaryIO, columns: Columns, defuse: bool) -> None:
        self._columns = columns
        self._defuse = defuse
        self._handle = handle
        self._has_header = False

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline="")
        table = csv.writer(text)
        if not self._has_header:
            self._columns.settle(rows)
            if self._columns.kinds:
                table.writerow([self._cell(name) for name in self._columns.kinds])
            self._has_header = True
        table.writerows([[self._cell(value) for value in self._columns.cells(row)] for row in rows])
        self._handle.write(text.getvalue().encode())

    def finish(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """Nothing is held back."""

    def _cell(self, value: Any) -> str | int | float | None:
        if isinstance(value, str):
            if self._defuse and value.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(value):
                return "'" + value
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None or isinstance(value, (int, float)):
            return value
        return _as_text(value)


class JsonlWriter:
    """Writes one JSON object per line, UTF-8; fields that are missing stay missing unless columns were named."""

    def __init__(self, handle: BinaryIO, columns: Columns) -> None:
        self._handle = handle
        self._columns = columns
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._columns.kinds:
            rows = [dict(zip(self._columns.kinds, self._columns.cells(row), strict=True)) for row in rows]
        self._handle.write(self._encoder.encode_lines(rows))

    def finish(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """Nothing is held back."""


class ParquetWriter:
    """Writes Parquet; the type of each column is the one that was named, else that of the first rows.

    Lists and objects become JSON text; dates without a zone are taken as UTC.
    """

    def __init__(self, handle: BinaryIO, columns: Columns) -> None:
        self._handle = handle
        self._columns = columns
        self._arrow = load_pyarrow()
        self._writer: Any = None
        self._schema: Any = None

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._writer is None:
            self._columns.settle(rows)
        values = zip(*(self._columns.cells(row) for row in rows), strict=True)
        named = list(zip(self._columns.kinds, values, strict=True)) if rows else [(n, ()) for n in self._columns.kinds]
        if self._writer is None:
            self._start(named)
        arrays = [self._array(name, cells, self._schema.field(name).type) for name, cells in named]
        self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))

    def finish(self) -> None:
        if self._writer is None:
            self.write([])
        self._writer.close()

    def abandon(self) -> None:
        """Let go without a whole file; else the writer would try to end it when the file is gone."""
        if self._writer is not None:
            with suppress(self._arrow.ArrowException, OSError, ValueError):
                self._writer.close()

    def _start(self, named: Sequence[tuple[str, Sequence[Any]]]) -> None:
        arrow = self._arrow
        types = {
            "text": arrow.string(),
            "number": arrow.float64(),
            "date": arrow.timestamp("us", tz="UTC"),
            "boolean": arrow.bool_(),
        }
        fields = []
        for name, cells in named:
            kind = self._columns.kinds[name]
            found = types[kind] if kind else self._array(name, cells, None).type
            fields.append((name, arrow.string() if arrow.types.is_null(found) else found))
        self._schema = arrow.schema(fields)
        self._writer = arrow.parquet.ParquetWriter(self._handle, self._schema, compression="zstd")

    def _array(self, name: str, cells: Sequence[Any], type: Any) -> Any:
        kind = self._columns.kinds[name]
        try:
            return self._arrow.array([_fit(cell, kind) for cell in cells], type=type)
        except UnicodeEncodeError:
            raise
        except (self._arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            found = sorted({cell.__class__.__name__ for cell in cells if cell is not None})
            raise InputError(
                f"the column {name!r} cannot hold {' and '.join(found)} at once: {str(error).splitlines()[0]}",
                code="files.mixed-column",
                hint=f"Say what it holds: `columns: {{{name}: text}}` (one of {', '.join(KINDS)}).",
            ) from error


def _fit(value: Any, kind: str | None) -> Any:
    """Turn a value into what a column of the named kind takes."""
    if isinstance(value, (list, tuple, dict)) or (kind == "text" and value is not None and not isinstance(value, str)):
        return _as_text(value)
    if kind == "date" and isinstance(value, str):
        return datetime.datetime.fromisoformat(value)
    return value


def _as_text(value: Any) -> str:
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    encoded = msgspec.json.encode(value).decode()
    return msgspec.json.decode(encoded, type=str) if encoded.startswith('"') else encoded
