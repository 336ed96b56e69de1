"""A file as a sink that is rewritten as a whole: the new one appears complete, or the old one stays."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import stat
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from penstock.base.errors import InputError, SettingsError
from penstock.base.types import Finding, SnapshotSink
from penstock.data.files.parquet import load_pyarrow
from penstock.data.files.place import Place, find_place
from penstock.data.files.writers import KINDS, Columns, CsvWriter, JsonlWriter, ParquetWriter
from penstock.data.rows import check_options, flag_option, names_option, suggest

OPTIONS = ("path", "format", "columns", "defuse")

_BATCH_ROWS = 2000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_numbers = itertools.count(1)


class _Writer(Protocol):
    def write(self, rows: Sequence[Mapping[str, Any]]) -> None: ...

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


class FileSink:
    """Replaces one file atomically; readers see the old rows or the new ones, never a part.

    A process that is killed while it writes leaves a hidden `.NAME.….part` beside the file, which may be deleted.
    """

    def __init__(self, place: Place, columns: Mapping[str, str | None], defuse: bool) -> None:
        self._place = place
        self._declared = columns
        self._defuse = defuse

    def describe(self) -> str:
        return self._place.name

    def identity(self) -> str:
        return f"file:{self._place.path}"

    async def check(self, fields: dict[str, str]) -> list[Finding]:
        return await asyncio.to_thread(self._check, fields)

    async def replace(self, rows: AsyncIterator[dict[str, Any]]) -> int:
        draft = await asyncio.to_thread(_Draft, self._place, self._declared, self._defuse)
        try:
            count = 0
            batch: list[dict[str, Any]] = []
            async for row in rows:
                batch.append(row)
                if len(batch) == _BATCH_ROWS:
                    await asyncio.to_thread(draft.write, batch)
                    count += len(batch)
                    batch = []
            await asyncio.to_thread(draft.write, batch)
            await asyncio.to_thread(draft.publish)
            return count + len(batch)
        finally:
            draft.discard()

    def _check(self, fields: dict[str, str]) -> list[Finding]:
        name, path = self._place.name, self._place.path.resolve()
        findings = []
        if self._place.format == "parquet":
            try:
                load_pyarrow()
            except SettingsError as error:
                findings.append(Finding(name, "fail", error.message, error.hint))
        if not path.parent.is_dir():
            findings.append(
                Finding(name, "fail", f"the folder {path.parent} does not exist", f"mkdir -p {path.parent}")
            )
        elif path.is_dir():
            findings.append(Finding(name, "fail", f"{name} is a folder", "Name a file inside it."))
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            findings.append(
                Finding(name, "fail", f"the folder {path.parent} may not be written to", f"chmod u+wx {path.parent}")
            )
        for field in fields:
            if self._declared and field not in self._declared:
                fix = suggest(field, self._declared) or f"Add {field} to `columns`, or leave it out on purpose."
                findings.append(Finding(name, "warn", f"the field {field!r} is not among the columns of {name}", fix))
        return findings or [Finding(name, "ok", f"{name} can be written")]


class _Draft:
    """The new file while it is not yet in place. Every failure to write is an `InputError`."""

    def __init__(self, place: Place, declared: Mapping[str, str | None], defuse: bool) -> None:
        if place.format == "parquet":
            load_pyarrow()
        self._name = place.name
        self._target = place.path.resolve()  # a link stays a link to the new file
        self._path = self._target.with_name(f".{self._target.name}.{os.getpid()}.{next(_numbers)}.part")
        # A cancelled task leaves its thread at work: nothing is closed under it.
        self._lock = threading.Lock()
        try:
            self._handle: BinaryIO = self._path.open("xb")
        except OSError as error:
            raise self._explain(error) from error
        self._writer = _make_writer(place, self._handle, Columns(place.name, declared), defuse)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        try:
            with self._lock:
                self._writer.write(rows)
        except OSError as error:
            raise self._explain(error) from error
        except UnicodeEncodeError as error:
            raise InputError(
                f"a text for {self._name} holds half a character (U+{ord(error.object[error.start]):04X})",
                code="files.bad-text",
                hint="Remove lone surrogates from the text where it is made.",
            ) from error

    def publish(self) -> None:
        """Bring everything to the disk, then put the file in place with the rights that the old one had."""
        try:
            with self._lock:
                self._writer.finish()
                self._handle.flush()
                with suppress(FileNotFoundError):
                    os.fchmod(self._handle.fileno(), stat.S_IMODE(self._target.stat().st_mode))
                os.fsync(self._handle.fileno())
                self._handle.close()
                self._path.replace(self._target)
        except OSError as error:
            raise self._explain(error) from error
        _sync_folder(self._target.parent)

    def discard(self) -> None:
        """Remove what was not published; harmless afterwards."""
        with self._lock:
            self._writer.abandon()
            with suppress(OSError):
                self._handle.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _explain(self, error: OSError) -> InputError:
        if error.errno in _FULL:
            code, reason, hint = "files.disk-full", "the disk is full", "Free some space, then run the same command."
        else:
            code, reason = "files.not-written", error.strerror or str(error)
            hint = f"Check that {self._target.parent} exists and may be written to."
        message = f"{self._name} could not be written ({reason}); the file is as it was"
        return InputError(message, code=code, hint=hint, where=str(self._target))


def _make_writer(place: Place, handle: BinaryIO, columns: Columns, defuse: bool) -> _Writer:
    if place.format == "parquet":
        return ParquetWriter(handle, columns)
    if place.format == "jsonl":
        return JsonlWriter(handle, columns)
    return CsvWriter(handle, columns, defuse)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def files_sink(options: Mapping[str, Any], folder: Path) -> SnapshotSink:
    """Make a sink of a CSV, JSON lines or Parquet file.

    Options: `path` (from `folder` on), `format` (csv, jsonl or parquet; else the name's ending tells),
    `columns` (names in order, or names with kinds: text, number, date, boolean) and `defuse`
    (true: an apostrophe stands before texts in CSV that a spreadsheet would run as formulas).
    Raises `InputError` for wrong options; the file is opened by `replace`.
    """
    what = "the files sink"
    check_options(what, options, OPTIONS, ("path",))
    place = find_place(what, options, folder)
    return FileSink(place, _declared(what, options), flag_option(what, options, "defuse", default=True))


def _declared(what: str, options: Mapping[str, Any]) -> dict[str, str | None]:
    columns = options.get("columns", [])
    if not isinstance(columns, dict):
        return dict.fromkeys(names_option(what, options, "columns"))
    for name, kind in columns.items():
        if kind not in KINDS:
            raise InputError(
                f"the column {name!r} of {options['path']} has the kind {kind!r}",
                code="input.wrong-option",
                hint=suggest(str(kind), KINDS) or f"Kinds are {', '.join(KINDS)}.",
            )
    return {str(name): str(kind) for name, kind in columns.items()}
