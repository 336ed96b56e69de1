"""Records computed from other records, such as predictions from orders: made once a run, then read like a table.

They are kept in the store, so that a run that was interrupted goes on with the same ones, on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from penstock.base.clock import Clock
from penstock.base.types import Finding, Page, Record, Source
from penstock.operations.declare import ModelChoice
from penstock.runtime.call import Caller, Estimate
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store
from penstock.vendor.models import Kind

PIECE = 2_000
FREE = Estimate(0, 0)


class Means(NamedTuple):
    """What a maker may use of its flow: the path of paid calls, which model answers, and the joined sources."""

    caller: Caller
    choose: Callable[[Kind], ModelChoice]
    joins: Mapping[str, Source]


class Maker(Protocol):
    """Computes the records of a `MadeSource`."""

    def describe(self) -> str:
        """Name what is made for people, without secrets."""

    async def fingerprint(self) -> str:
        """Name all that the records follow from: what is read, the options, the version, the day."""

    async def estimate(self) -> Estimate:
        """Say what making costs; `FREE` where nothing is bought."""

    def example(self) -> Record:
        """Return a record with every field, for checks before anything is bought."""

    def make(self, run: str) -> AsyncIterator[Record]:
        """Yield the records in a stable order; what is bought counts for `run`."""

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class Adviser(Protocol):
    """A maker that has something to say in a plan."""

    async def advise(self) -> list[Finding]:
        """Say what a person should know before the run; buys nothing."""


class MadeSource:
    """A source of computed records. `prepare` makes them; before that it shows what is free, or an example."""

    def __init__(self, store: Store, clock: Clock, flow: str, maker: Maker, batch: str) -> None:
        self._store = store
        self._clock = clock
        self._flow = flow
        self._maker = maker
        self._batch = batch
        self.cost = FREE
        """What `prepare` is going to cost."""
        self._rows: int | None = None

    @classmethod
    async def open(cls, store: Store, clock: Clock, flow: str, place: str, maker: Maker) -> MadeSource:
        """Look whether the records are there already; `place` tells several made sources of one flow apart."""
        text = f"{flow}\n{place}\n{maker.describe()}\n{await maker.fingerprint()}"
        source = cls(store, clock, f"{flow}/{place}", maker, hashlib.blake2b(text.encode(), digest_size=16).hexdigest())
        await source._look()
        if source._rows is None:
            source.cost = await maker.estimate()
        return source

    @property
    def is_known(self) -> bool:
        """Tell whether the records can be read without buying anything."""
        return self._rows is not None or self.cost == FREE

    def describe(self) -> str:
        return self._maker.describe()

    def identity(self) -> str:
        return f"made:{self._batch}"

    async def advise(self) -> list[Finding]:
        """Return what the maker says to a plan."""
        return await self._maker.advise() if isinstance(self._maker, Adviser) else []

    async def go_on(self, identity: str) -> None:
        """Read the records that a run began with, on whichever machine, even where its inputs have changed since."""
        kind, _, batch = identity.partition(":")
        if kind == "made" and batch != self._batch:
            self._batch = batch
            await self._look()

    async def _look(self) -> None:
        rows = await self._store.read("made_batch", batch=self._batch)
        self._rows = int(rows[0][0]) if rows else None

    async def prepare(self, run: str) -> None:
        """Make the records unless they are there; the flow's earlier ones go."""
        if self._rows is not None:
            return
        await self._store.batch(_begin, {"batch": self._batch})
        count = 0
        async for rows in _in_pieces(self._maker.make(run)):
            await self._store.batch(_insert, (self._batch, count, rows))
            count += len(rows)
        end = {"batch": self._batch, "flow": self._flow, "count": count, "at": self._clock.now()}
        await self._store.batch(_finish, end)
        self._rows, self.cost = count, FREE

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        after = int(cursor["after"]) if cursor else 0
        if self._rows is None:
            async for page in self._pages_unmade(after, size):
                yield page
            return
        while rows := await self._store.read("made_rows", batch=self._batch, after=after, limit=size):
            after = int(rows[-1][0]) + 1
            records = [Record(key, msgspec.json.decode(bytes(data)), where) for _, key, where, data in rows]
            yield Page(records, [], {"after": after})

    async def _pages_unmade(self, after: int, size: int) -> AsyncIterator[Page]:
        if self.cost != FREE:
            yield Page([self._maker.example()], [], {"after": 1})
            return
        at = 0
        async for records in _in_pieces(self._maker.make(""), size):
            at += len(records)
            if at > after:
                yield Page(records[max(0, len(records) - (at - after)) :], [], {"after": at})

    async def count(self) -> int | None:
        return self._rows

    async def close(self) -> None:
        await self._maker.close()


async def _in_pieces(records: AsyncIterator[Record], size: int = PIECE) -> AsyncIterator[list[Record]]:
    piece: list[Record] = []
    async for record in records:
        piece.append(record)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def _begin(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("clear_made_rows", items)  # of an attempt that was cut off
    return [None] * len(items)


def _insert(tx: Tx, items: Sequence[tuple[str, int, list[Record]]]) -> list[None]:
    for batch, start, records in items:
        rows = [
            {
                "batch": batch,
                "number": start + at,
                "key": record.key,
                "place": record.where,
                "data": msgspec.json.encode(record.data),
            }
            for at, record in enumerate(records)
        ]
        tx.insert_many("made_rows", rows)
    return [None] * len(items)


def _finish(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    for item in items:
        old = {"batch": item["batch"], "flow": item["flow"]}
        tx.run("clear_old_made_rows", old)
        tx.run("clear_old_made", old)
        tx.run("finish_made", item)
    return [None] * len(items)
