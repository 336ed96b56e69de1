"""Where a file stands and which format it has, and the one set of errors for files that cannot be opened."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from penstock.base.errors import InputError
from penstock.data.rows import suggest, text_option

FORMATS: Mapping[str, str] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or a ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)

_WINDOW = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """A file: its path, its name for people, and its format."""

    path: Path
    name: str
    format: str


def find_place(what: str, options: Mapping[str, Any], folder: Path) -> Place:
    """Read `path` and `format`; raises `InputError` when the format cannot be told. Touches no file."""
    name = text_option(what, options, "path") or ""
    kind = text_option(what, options, "format") or FORMATS.get(Path(name).suffix.lower(), "")
    known = sorted(set(FORMATS.values()))
    if kind not in known:
        raise InputError(
            f"the format of {name} is not known" if not kind else f"there is no format {kind!r}",
            code="files.unknown-format",
            hint=suggest(kind, known)
            or f"Let its name end in one of {', '.join(sorted(FORMATS))}, or add `format:` in a flow.",
        )
    return Place(Path(os.path.abspath(folder / Path(name).expanduser())), name, kind)  # noqa: PTH100 - keeps links


def open_file(place: Place) -> BinaryIO:
    """Open a file for reading; raises `InputError` when it is missing, unreadable, empty or no file at all."""
    try:
        handle = place.path.open("rb", buffering=0)
    except OSError as error:
        raise _explain(place, error) from error
    state = os.fstat(handle.fileno())
    if not stat.S_ISREG(state.st_mode) or state.st_size == 0:
        handle.close()
        empty = stat.S_ISREG(state.st_mode)
        raise InputError(
            f"{place.name} is empty" if empty else f"{place.name} is not a regular file",
            code="files.empty" if empty else "files.not-a-file",
            hint="Check the export that wrote it." if empty else "Give the path of a file on disk.",
            where=str(place.path),
        )
    return handle


def _explain(place: Place, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        try:
            beside = os.listdir(place.path.parent)  # noqa: PTH208 - names are enough
        except OSError:
            beside = []
        message, code = f"{place.name} does not exist", "files.missing"
        hint = suggest(place.path.name, beside) or f"It was looked for at {place.path}."
    elif isinstance(error, IsADirectoryError):
        message, code, hint = f"{place.name} is a folder", "files.not-a-file", "Name a file inside it."
    elif isinstance(error, PermissionError):
        message, code = f"{place.name} may not be read", "files.unreadable"
        hint = f"chmod u+r {place.path}"
    else:
        message, code = f"{place.name} cannot be read: {error.strerror}", "files.unreadable"
        hint = "Check the disk or network share that it is on."
    return InputError(message, code=code, hint=hint, where=str(place.path))


def refuse_foreign(place: Place, head: bytes) -> None:
    """Raise `InputError` when the first bytes show another kind of file than text."""
    for magic, kind in _FOREIGN:
        if head.startswith(magic):
            raise InputError(
                f"{place.name} is {kind}, not {place.format}",
                code="files.wrong-format",
                hint="Export it as UTF-8 text (CSV or JSON lines), or set `format:` to what it is.",
                where=str(place.path),
            )
    if b"\x00" in head.split(b"\n", 1)[0]:
        raise InputError(
            f"{place.name} has zero bytes in its first line: it is UTF-16 text or no text at all",
            code="files.wrong-format",
            hint=f"iconv -f utf-16 -t utf-8 {place.name} > utf8-{place.name}",
            where=str(place.path),
        )


def mark(handle: BinaryIO, offset: int) -> str:
    """Fingerprint what was read: the file's first bytes and the last ones before `offset`.

    Growing at the end keeps the mark; a rewritten file changes it.
    """
    window = min(offset, _WINDOW)
    head = os.pread(handle.fileno(), window, 0)
    tail = os.pread(handle.fileno(), window, offset - window)
    return hashlib.blake2b(head + tail, digest_size=12).hexdigest()


def changed(place: Place) -> InputError:
    """Return the error for a file that is not the one which was being read."""
    return InputError(
        f"{place.name} was changed since it was read last, so reading cannot go on in its middle",
        code="files.changed",
        hint="Start the run anew: records that did not change cost nothing again.",
        where=str(place.path),
    )
