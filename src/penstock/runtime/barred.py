"""Who must not come back or must not be profiled: salted hashes of identifiers, which tell nothing by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from penstock.base.clock import secure_bytes
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

Reason = Literal["forgotten", "objected"]
_SALT = "people"


class Bar(msgspec.Struct, frozen=True):
    """Identifiers to bar for a reason, or to let go again."""

    identifiers: tuple[str, ...]
    reason: Reason
    at: float
    lift: bool = False


def fold_identifier(text: str) -> str:
    """Return an identifier in the form in which it is compared."""
    text = text.strip()
    return text.lower() if "@" in text else text


def name_record(flow: str, key: str) -> str:
    """Return the identifier of a record, which means something in its flow only."""
    return f"{flow}\n{key}"


class Barred:
    """The barred identifiers of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, identifiers: Iterable[str], reason: Reason, at: float) -> None:
        """Bar identifiers; once more changes nothing."""
        await self._store.batch(write_bars, Bar(tuple(identifiers), reason, at))

    async def lift(self, identifiers: Iterable[str], reason: Reason) -> None:
        """Let identifiers go."""
        await self._store.batch(write_bars, Bar(tuple(identifiers), reason, 0.0, lift=True))

    async def find(self, identifiers: Iterable[str]) -> dict[str, Reason]:
        """Return why each of these is barred; forgotten stands over objected."""
        if not await self._store.read("salt", of=_SALT):  # nobody is
            return {}
        names = set(identifiers)
        return await self._store.look(lambda tx: find_barred(tx, names))


def find_barred(tx: Tx, identifiers: Iterable[str]) -> dict[str, Reason]:
    """Return why each of these is barred; nearly free while nobody is."""
    found = tx.fetch("salt", {"of": _SALT})
    if not found:
        return {}
    marks: dict[bytes, list[str]] = {}
    for one in set(identifiers):
        marks.setdefault(_mark(bytes(found[0][0]), one), []).append(one)
    rows = sorted(tx.fetch_keys("barred_of", list(marks)), key=lambda row: str(row[1]) == "forgotten")
    return {name: reason for mark, reason in rows for name in marks[bytes(mark)]}


def mark_people(tx: Tx, identifiers: Iterable[str]) -> list[bytes]:
    """Return the hashes that stand for identifiers in this store; the first makes the salt."""
    tx.run("make_salt", {"name": _SALT, "salt": secure_bytes(32)})
    salt = bytes(tx.fetch("salt", {"of": _SALT})[0][0])
    return [_mark(salt, one) for one in identifiers]


def write_marks(tx: Tx, marks: Iterable[bytes], reason: Reason, at: float) -> None:
    """Bar people of whom only the hash is known."""
    tx.run_many("bar", [{"mark": mark, "reason": reason, "at": at} for mark in marks])


def write_bars(tx: Tx, items: Sequence[Bar]) -> list[None]:
    """Write or lift bars."""
    for item in items:
        rows = [{"mark": mark, "reason": item.reason} for mark in mark_people(tx, item.identifiers)]
        if item.lift:
            tx.run_many("unbar", rows)
        else:
            tx.run_many("bar", [{**row, "at": item.at} for row in rows])
    return [None] * len(items)


def _mark(salt: bytes, identifier: str) -> bytes:
    return hashlib.blake2b(fold_identifier(identifier).encode(), key=salt, digest_size=20).digest()
