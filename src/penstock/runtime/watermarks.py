"""Up to where a flow has read a source that can tell what changed; the next run goes on from there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.runtime.answers import forget_answers
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

_encode = msgspec.json.Encoder(order="sorted").encode


class Watermark(msgspec.Struct, frozen=True):
    """Where a scan that was drained ended.

    `basis` is the hash of all that a result rests on beside the record: another one makes every record new. `place`
    is the source's own. `total` is how many records there were. Times are in seconds since 1970.
    """

    basis: str
    place: dict[str, Any]
    total: int | None
    at: float
    reconciled_at: float


class Gone(NamedTuple):
    """A record that its source no longer has, and the names that writes about it may have."""

    key: str
    targets: tuple[str, ...]


class Watermarks:
    """The watermarks of one flow. A source is named by its identity, which holds the account."""

    def __init__(self, store: Store, flow: str) -> None:
        self._store = store
        self._flow = flow

    async def find(self, source: str) -> Watermark | None:
        """Return where the last scan of this source ended; None when there was none."""
        rows = await self._store.read("watermark", flow=self._flow, source=source)
        if not rows:
            return None
        basis, place, total, at, reconciled_at = rows[0]
        return Watermark(basis, msgspec.json.decode(place), total, at, reconciled_at)

    async def save(self, source: str, mark: Watermark) -> None:
        """Note where a scan ended; it never moves while a scan runs."""
        row = {
            "flow": self._flow,
            "source": source,
            **msgspec.structs.asdict(mark),
            "place": _encode(mark.place).decode(),
        }
        await self._store.batch(_save, row)

    async def count_objections(self, since: float) -> int:
        """Return how many people objected here after a moment in seconds since 1970."""
        rows = await self._store.read("bars_since", at=since)
        return int(rows[0][0])

    async def forget(self) -> None:
        """Let the next scan read everything."""
        await self._store.batch(_forget, self._flow)

    async def forget_runs(self) -> None:
        """Forget what runs noted when they began: the last of them is done."""
        await self._store.batch(_forget_runs, self._flow)

    async def kept_keys(self, size: int = 1000) -> AsyncIterator[list[tuple[str, str]]]:
        """Yield key and place of every record that results are kept of, in the order of keys."""
        after = ""
        while rows := await self._store.read("kept_keys", flow=self._flow, after=after, limit=size):
            yield [(str(key), str(place)) for key, place in rows]
            after = rows[-1][0]

    async def close(self, gone: Sequence[Gone], at: float) -> None:
        """Delete results, bought answers, unsent and confirmed states of records that are gone, in one transaction.

        What happened stays: events, orders, and how often something was written.
        """
        if gone:
            await self._store.batch(_close, (self._flow, tuple(gone), at))


def _save(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_watermark", items)
    return [None] * len(items)


def _forget(tx: Tx, items: Sequence[str]) -> list[None]:
    tx.run_many("forget_watermarks", [{"flow": flow} for flow in items])
    return [None] * len(items)


def _forget_runs(tx: Tx, items: Sequence[str]) -> list[None]:
    tx.run_many("forget_run_watermarks", [{"flow": flow} for flow in items])
    return [None] * len(items)


def _close(tx: Tx, items: Sequence[tuple[str, tuple[Gone, ...], float]]) -> list[None]:
    for flow, gone, at in items:
        rows = tx.fetch_keys("answers_of_keys", [one.key for one in gone], flow=flow)
        keys = tuple(bytes.fromhex(part) for (text,) in rows for part in str(text).split(",") if part)
        forget_answers(tx, [keys])
        tx.run_many("drop_item", [{"flow": flow, "key": one.key} for one in gone])
        tx.run_many("resolve_letters", [{"flow": flow, "key": one.key, "at": at} for one in gone])
        tx.run_many("drop_states", [{"flow": flow, "target": name} for one in gone for name in one.targets])
    return [None] * len(items)
