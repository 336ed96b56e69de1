"""Content-addressed answers: the cache, the journal, and what makes every run resumable.

An answer is stored in the transaction that settles its call, before anybody uses it.
A body is compressed and carries its own checksum: a torn or damaged one counts as absent.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import zstandard

from penstock.base.clock import Clock
from penstock.runtime.ask import Answer
from penstock.runtime.dialects import Tx
from penstock.runtime.ledger import Settlement, settle_calls
from penstock.runtime.store import Store
from penstock.runtime.vectors import BoughtVectors, Held, find_vectors, forget_vectors, purge_vectors, save_vectors

_COMPRESS_FROM = 512
_encoder = msgspec.json.Encoder()  # takes whatever a vendor can send, numbers of any size too
_decoder = msgspec.json.Decoder(Answer)


class _Tools(threading.local):
    """A compressor and its counterpart for each thread: making one costs more than a small body."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_tools = _Tools()


class Bought(msgspec.Struct, frozen=True):
    """A call that ended well: its settlement, and its answer under its address."""

    settlement: Settlement
    key: bytes
    answer: Answer


class Answers:
    """The answers of one store; `keep_days` is how long they count, None for ever."""

    def __init__(self, store: Store, clock: Clock, keep_days: float | None = None) -> None:
        self.store = store
        self.clock = clock
        self.keep_days = keep_days

    async def get(self, key: bytes) -> Answer | None:
        """Return a held answer, marked as cached."""
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """Return the answers that are held, by address."""
        if not keys:
            return {}
        since = self._since()
        rows = await self.store.look(lambda tx: tx.fetch_keys("answers_of", keys, since=since))
        found = {}
        for key, body in rows:
            answer = unpack(bytes(body))
            if answer is not None:
                found[bytes(key)] = answer
        return found

    def _since(self) -> float:
        return 0.0 if self.keep_days is None else self.clock.now() - self.keep_days * 86_400

    async def get_vectors(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Return the vectors that are held, by address."""
        since = self._since()
        return await self.store.look(lambda tx: find_vectors(tx, keys, since)) if keys else {}

    async def save_vectors(self, bought: BoughtVectors) -> None:
        """Store the vectors of a call and settle it in one transaction."""
        await self.store.batch(save_vectors, bought)

    async def save(self, bought: Bought) -> None:
        """Store an answer and settle its call in one transaction."""
        await self.store.batch(save_answers, bought)

    async def forget(self, keys: Sequence[bytes]) -> int:
        """Delete answers and vectors for good; returns how many were held."""
        return await self.store.batch(forget_answers, tuple(keys))

    async def purge_expired(self) -> int:
        """Delete answers and vectors that are older than `keep_days`; returns how many."""
        if self.keep_days is None:
            return 0
        return await self.store.batch(_purge, self.clock.now() - self.keep_days * 86_400)


def pack(answer: Answer) -> bytes:
    """Return the stored form: a checksum, a kind byte, the body."""
    body = _encoder.encode(answer)
    kind = b"\0"
    if len(body) >= _COMPRESS_FROM:
        body, kind = _tools.compressor.compress(body), b"\1"
    body = kind + body
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack(stored: bytes) -> Answer | None:
    """Return the answer, or None when the stored form is damaged."""
    body = stored[5:]
    if not body or zlib.crc32(stored[4:]).to_bytes(4, "big") != stored[:4]:
        return None
    try:
        answer = _decoder.decode(_tools.decompressor.decompress(body) if stored[4] else body)
    except (msgspec.DecodeError, zstandard.ZstdError):
        return None
    return msgspec.structs.replace(answer, cached=True)


def save_answers(tx: Tx, items: Sequence[Bought]) -> list[None]:
    """Keep answers and settle their calls."""
    settle_calls(tx, [item.settlement for item in items])
    replaced = tx.fetch_keys("answer_numbers", [item.key for item in items])  # expired or damaged ones, as a rule none
    tx.run_many("delete_answer", [{"id": number} for (number,) in replaced])
    numbers = [item.settlement.reservation.number for item in items]
    rows: list[dict[str, Any]] = [
        {"id": number, "body": pack(item.answer), "at": item.answer.at}
        for number, item in zip(numbers, items, strict=True)
    ]
    tx.run_many("insert_answer", rows)
    tx.run_many(
        "point_answer", [{"key": item.key, "answer": number} for number, item in zip(numbers, items, strict=True)]
    )
    return [None] * len(items)


def forget_answers(tx: Tx, items: Sequence[tuple[bytes, ...]]) -> list[int]:
    """Delete answers and vectors; returns how many of each item were held."""
    counts = []
    for keys in items:
        numbers = tx.fetch_keys("answer_numbers", keys)
        tx.run_many("delete_answer_key", [{"key": key} for key in keys])
        tx.run_many("delete_answer", [{"id": number} for (number,) in numbers])
        counts.append(len(numbers) + forget_vectors(tx, keys))
    return counts


def _purge(tx: Tx, items: Sequence[float]) -> list[int]:
    counts = []
    for before in items:
        tx.run("purge_answer_keys", {"before": before})
        counts.append(tx.run("purge_answers", {"before": before}) + purge_vectors(tx, before))
    return counts
