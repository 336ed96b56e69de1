"""Finds keys that occur more than once in a source, so that its first record is the one that counts.

Pages are looked at in the order of the source, by the one process that reads it. What was
seen lies in a temporary file: memory stays flat.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence

import msgspec

from penstock.base.errors import MappingError
from penstock.base.expression import Expression
from penstock.base.types import Record

_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


class Repeats(msgspec.Struct):
    """Places in a page of records whose key was met before: with the same content, or with other content."""

    same: list[int] = []
    other: list[int] = []


class Keys:
    """The keys of a source up to here; records that `where` leaves out do not count."""

    def __init__(self, where: Expression | None = None) -> None:
        self._where = where if where is not None and where.names <= {"record"} else None
        self._seen = sqlite3.connect("")  # on disk when it grows, gone when closed
        self._seen.execute("pragma synchronous = off")
        self._seen.execute("pragma journal_mode = off")
        self._seen.execute("create table seen (key blob primary key, content blob) without rowid")

    def look(self, records: Sequence[Record]) -> Repeats:
        """Remember the keys of a page, and return which of its records repeat an earlier one."""
        marks = [(_digest(record.key.encode()), _digest(_encode(record.data))) for record in records]
        before = self._find([key for key, _ in marks])
        new: dict[bytes, bytes] = {}
        repeats = Repeats()
        for index, (key, content) in enumerate(marks):
            if not self._is_wanted(records[index]):
                continue
            first = before.get(key) or new.get(key)
            if first is None:
                new[key] = content
            else:
                (repeats.same if first == content else repeats.other).append(index)
        self._seen.executemany("insert into seen values (?, ?)", new.items())
        return repeats

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        marks = ",".join("?" * len(keys))
        return dict(self._seen.execute(f"select key, content from seen where key in ({marks})", keys))

    def _is_wanted(self, record: Record) -> bool:
        try:
            return self._where is None or bool(self._where.evaluate({"record": record.data}))
        except MappingError:
            return True

    def close(self) -> None:
        """Delete what was remembered."""
        self._seen.close()


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=12).digest()
