"""A folder as a sink: one file for each made file, such as a text that was read aloud."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.base.errors import InputError
from penstock.base.types import Change, Finding, Outcome, Problem
from penstock.data.rows import check_options, text_option

_NAME = re.compile(r"[\w@+][\w@+. -]{0,150}\Z")
"""No path, nothing hidden, nothing that a file system refuses."""
_CONFIRMED = Outcome("confirmed")


class FolderSink:
    """Writes each file complete or not at all; the same file again changes nothing."""

    MOST_TOGETHER = 20
    """Files that are held in memory at once."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def describe(self) -> str:
        return f"folder {self._name}"

    def identity(self) -> str:
        return f"folder:{self._path}"

    async def check(self, fields: dict[str, str]) -> list[Finding]:  # noqa: ARG002
        return [await asyncio.to_thread(self._check)]

    def _check(self) -> Finding:
        nearest = next(part for part in (self._path, *self._path.parents) if part.exists())
        if not nearest.is_dir():
            return Finding(self._name, "fail", f"{nearest} is not a folder", "Name a folder under `path`.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            return Finding(self._name, "fail", f"{nearest} may not be written to", f"chmod u+wx {nearest}")
        return Finding(self._name, "ok", f"{self._name} can be written")

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Write the files of each change; a change without a usable one is rejected."""
        return [await asyncio.to_thread(self._write, change) for change in changes]

    async def find(self, changes: Sequence[Change]) -> list[Outcome]:
        """Compare with what is there: the same content is confirmed, anything else is written again."""
        return [await asyncio.to_thread(self._find, change) for change in changes]

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    def _write(self, change: Change) -> Outcome:
        try:
            for name, data in _files_of(change).items():
                self._path.mkdir(parents=True, exist_ok=True)
                draft = self._path / f".{name}.{os.getpid()}.part"
                try:
                    draft.write_bytes(data)
                    draft.replace(self._path / name)
                finally:
                    draft.unlink(missing_ok=True)
        except InputError as error:
            return Outcome("rejected", Problem.from_error(error, self._name))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(
                f"{self._name} cannot be written: {reason}", code="folder.unwritable", where=str(self._path)
            ) from error
        return _CONFIRMED

    def _find(self, change: Change) -> Outcome:
        try:
            is_there = all((self._path / name).read_bytes() == data for name, data in _files_of(change).items())
        except InputError as error:
            return Outcome("rejected", Problem.from_error(error, self._name))
        except OSError:
            is_there = False
        return _CONFIRMED if is_there else Outcome("later")


def folder_sink(options: Mapping[str, Any], folder: Path) -> FolderSink:
    """Make a sink of `path`, a folder that is made when it is missing. Raises `InputError` for wrong options."""
    what = "the folder sink"
    check_options(what, options, ("path",), ("path",))
    name = text_option(what, options, "path") or ""
    return FolderSink(Path(os.path.abspath(folder / Path(name).expanduser())), name)  # noqa: PTH100 - keeps links


def _files_of(change: Change) -> dict[str, bytes]:
    """Return the files of a change by name: the values that identify it, the column where there are several."""
    stem = "-".join(str(change.match[key]) for key in sorted(change.match))
    files = {}
    for column, value in change.fields.items():
        if value is None:
            continue
        name = stem if len(change.fields) == 1 else f"{stem}-{column}"
        ending, data = _read(column, value)
        if not _NAME.match(name):
            raise InputError(
                f"{name[:60]!r} is no name for a file",
                code="folder.bad-name",
                hint="Match by letters, digits, blanks and . _ - @ +, such as an id.",
            )
        files[f"{name}{ending}"] = data
    return files


def _read(column: str, value: Any) -> tuple[str, bytes]:
    if isinstance(value, str):
        return ".txt", value.encode()
    try:
        data = base64.b64decode(value["base64"], validate=True)
        return "." + re.sub(r"[^a-z0-9]", "", str(value["name"]).rpartition(".")[2].lower()), data
    except (TypeError, KeyError, ValueError, binascii.Error):
        raise InputError(
            f"{column} holds no file",
            code="folder.no-file",
            hint="Give it what an operation made, such as `${{ speech.audio }}`, or a text.",
        ) from None
