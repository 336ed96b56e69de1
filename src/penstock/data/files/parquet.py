"""Reads Parquet row group by row group; needs the `parquet` extra."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

from penstock.base.errors import InputError, SettingsError
from penstock.base.types import Page, Record
from penstock.data.files.place import Place, changed, open_file
from penstock.data.rows import make_key, reject_key, require_columns, require_unique

_WINDOW = 1 << 16
_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 8192


def load_pyarrow() -> Any:
    """Return `pyarrow` with its Parquet module loaded; raises `SettingsError` when it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise SettingsError(
            "Parquet files need the package pyarrow",
            code="files.needs-pyarrow",
            hint="pip install 'penstock[parquet]'",
        ) from error
    return pyarrow


class ParquetReader:
    """Pages of a Parquet file, from its first row or from a cursor on. A changed file is always refused."""

    def __init__(self, place: Place, key: tuple[str, ...], cursor: dict[str, Any] | None) -> None:
        self._name = place.name
        self._place = place
        self._key = key
        self._arrow = load_pyarrow()
        self._handle = open_file(place)
        try:
            self._mark = self._make_mark()
            self._row = self._start(cursor)
            self._file = self._open()
            self._columns: list[str] = self._file.schema_arrow.names
            require_unique(self._name, self._columns)
            require_columns(self._name, key, self._columns)
        except BaseException:
            self.close()
            raise
        self._key_at = [self._columns.index(name) for name in key]
        self._values = self._iterate()

    def close(self) -> None:
        self._handle.close()

    @property
    def rows(self) -> int:
        """The number of rows, as the file's footer states it."""
        return int(self._file.metadata.num_rows)

    def read(self, size: int) -> Page | None:
        """Return the next page, or None at the end of the file."""
        try:
            rows = list(islice(self._values, size))
        except (self._arrow.ArrowException, OSError) as error:
            raise self._broken(error) from error
        if not rows:
            return None
        page = Page([], [])
        columns, key_at = self._columns, self._key_at
        for number, row in enumerate(rows, self._row + 1):
            try:
                key = make_key([row[at] for at in key_at])
                page.records.append(Record(key, dict(zip(columns, row, strict=True)), f"{self._name} row {number}"))
            except ValueError as error:
                page.rejects.append(reject_key(f"{self._name} row {number}", repr(row), error, self._key))
        self._row += len(rows)
        page.cursor = {"row": self._row, "mark": self._mark}
        return page

    def _start(self, cursor: dict[str, Any] | None) -> int:
        if cursor is None:
            return 0
        if cursor["mark"] != self._mark:
            raise changed(self._place)
        return int(cursor["row"])

    def _make_mark(self) -> str:
        """Fingerprint the file: its size, its first bytes, and its last ones, where the footer describes all pages."""
        size = os.fstat(self._handle.fileno()).st_size
        ends = [os.pread(self._handle.fileno(), _WINDOW, at) for at in (0, max(size - _WINDOW, 0))]
        return hashlib.blake2b(str(size).encode() + b"".join(ends), digest_size=12).hexdigest()

    def _open(self) -> Any:
        try:
            return self._arrow.parquet.ParquetFile(self._handle, pre_buffer=False)
        except (self._arrow.ArrowException, OSError) as error:
            raise self._broken(error) from error

    def _iterate(self) -> Iterator[tuple[Any, ...]]:
        """Yield the values of each row from the current one on, without reading the row groups before it."""
        metadata = self._file.metadata
        skip, group = self._row, 0
        while group < metadata.num_row_groups and skip >= metadata.row_group(group).num_rows:
            skip -= metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, metadata.num_row_groups))
        if not groups:
            return
        for batch in self._file.iter_batches(batch_size=_batch_rows(metadata), row_groups=groups):
            yield from zip(*map(self._to_values, batch.slice(min(skip, batch.num_rows)).columns), strict=True)
            skip = max(skip - batch.num_rows, 0)

    def _to_values(self, column: Any) -> list[Any]:
        """Return a column as Python values; days are made once each, because making one costs as much as a row."""
        if not self._arrow.types.is_date32(column.type):
            return list(column.to_pylist())
        encoded = column.dictionary_encode()
        days = encoded.dictionary.to_pylist()
        return [None if at is None else days[at] for at in encoded.indices.to_pylist()]

    def _broken(self, error: Exception) -> InputError:
        return InputError(
            f"{self._name} is not a whole Parquet file: {str(error).splitlines()[0]}",
            code="files.broken-parquet",
            hint="Export it again, or set `format:` if it is CSV or JSON lines.",
            where=str(self._place.path),
        )


def _batch_rows(metadata: Any) -> int:
    """Return how many rows to decode at once, so that long texts do not fill the memory."""
    total = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    return int(min(max(_BATCH_BYTES * metadata.num_rows // max(total, 1), 1), _BATCH_ROWS))
