"""Which operations exist, found by listing folders and reading one line of each file.

A leaf's module docstring begins with `name: Title.`; everything else is declared in its
`OPERATION`, which is imported only when that one operation is wanted.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.base.errors import InputError

if TYPE_CHECKING:
    from penstock.operations.declare import Operation

FOLDERS = ("operations", "features")

_FIRST_LINE = re.compile(r'^"""([a-z][a-z0-9]*(?:-[a-z0-9]+)*): ([^"]+?)\.?(?:"""|$)')


class Entry(NamedTuple):
    """One operation as a list shows it; `module` is where the rest of it is declared."""

    name: str
    title: str
    group: str
    module: str

    def load(self) -> Operation[Any, Any]:
        """Import the leaf and return its declaration."""
        from importlib import import_module

        operation: Operation[Any, Any] = import_module(self.module).OPERATION
        return operation


@cache
def all_operations() -> tuple[Entry, ...]:
    """List every operation in order of folder and name, without importing one."""
    root = Path(__file__).parents[1]
    found = [entry for folder in FOLDERS for path in (root / folder).glob("*.py") if (entry := _read_entry(path))]
    return tuple(sorted(found, key=lambda entry: (FOLDERS.index(entry.group), entry.name)))


def find_operation(name: str) -> Operation[Any, Any]:
    """Return one operation; raises `InputError` with the nearest name when there is none."""
    return find_entry(name).load()


def find_entry(name: str) -> Entry:
    """Return the list entry of one operation; raises `InputError` with the nearest name when there is none."""
    entries = {entry.name: entry for entry in all_operations()}
    if name in entries:
        return entries[name]
    import difflib

    close = difflib.get_close_matches(name, entries, n=1)
    raise InputError(
        f"there is no operation {name!r}",
        code="operation.unknown",
        hint=f"Did you mean {close[0]}?" if close else f"There are: {', '.join(entries)}.",
    )


def _read_entry(path: Path) -> Entry | None:
    with path.open(encoding="utf-8") as file:
        match = _FIRST_LINE.match(file.readline())
    if match is None:
        return None
    group = path.parent.name
    return Entry(match[1], match[2], group, f"penstock.{group}.{path.stem}")
