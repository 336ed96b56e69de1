"""Held vectors: each text's own, under an address that does not depend on the call it was bought in.

A body is the bare little-endian 32-bit floats. Beside it stand the model that served it, its share of what the call
cost, and a checksum: a damaged one counts as absent.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.base.types import Money
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.dialects import Tx
from penstock.runtime.ledger import Settlement, settle_calls

_encode = msgspec.json.Encoder(order="sorted").encode
_NOT_MEANT = ("input", "encoding_format")
"""Fields of a request that do not change what the vector of one text is."""


class Held(msgspec.Struct, frozen=True):
    """The vector of one text, the model that served it, and what it once cost."""

    data: bytes
    model: str
    cost: Money | None


class BoughtVectors(msgspec.Struct, frozen=True):
    """A call that ended well: its settlement, and each of its vectors as a row under its address."""

    settlement: Settlement
    keys: list[bytes]
    rows: list[dict[str, Any]]


def addresses_of(ask: Ask, account: str) -> list[bytes]:
    """Return the 16-byte address of each input's vector: account, endpoint, model, dimensions and text."""
    rest = {name: value for name, value in ask.body.items() if name not in _NOT_MEANT}
    head = hashlib.blake2b(digest_size=16)
    head.update(f"{account}\n{ask.path}\n".encode() + _encode(rest) + b"\n")
    found = []
    for text in ask.body["input"]:
        digest = head.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        found.append(digest.digest())
    return found


def is_sound(ask: Ask, content: Any) -> bool:
    """Tell whether the content of an answer is one vector for each input."""
    return isinstance(content, list) and len(content) == len(ask.body["input"])


def split_answer(
    ask: Ask, account: str, settlement: Settlement, answer: Answer, new_number: Callable[[], int]
) -> BoughtVectors:
    """Take an answer apart into rows; each text bears its share of the cost by length."""
    sizes = [len(text) for text in ask.body["input"]]
    total = sum(sizes) or 1
    rows = [
        {
            "id": new_number(),
            "body": data,
            "seal": zlib.crc32(data),
            "model": answer.model,
            "cost": None if answer.cost is None else answer.cost * size // total,
            "at": answer.at,
        }
        for data, size in zip(answer.content, sizes, strict=True)
    ]
    return BoughtVectors(settlement, addresses_of(ask, account), rows)


def find_vectors(tx: Tx, keys: Sequence[bytes], since: float) -> dict[bytes, Held]:
    """Return the held vectors by address, those that were bought at `since` or later."""
    return {
        bytes(key): Held(bytes(body), str(model), cost)
        for key, body, seal, model, cost in tx.fetch_keys("vectors_of", keys, since=since)
        if zlib.crc32(body) == seal
    }


def save_vectors(tx: Tx, items: Sequence[BoughtVectors]) -> list[None]:
    """Keep the vectors of calls and settle the calls."""
    settle_calls(tx, [item.settlement for item in items])
    # What two calls bought at the same time is kept once: the later one replaces the earlier one.
    rows = {key: row for item in items for key, row in zip(item.keys, item.rows, strict=True)}
    replaced = tx.fetch_keys("vector_numbers", list(rows))  # as a rule none
    tx.run_many("delete_vector", [{"id": number} for (number,) in replaced])
    tx.insert_many("vectors", list(rows.values()))
    tx.run_many("point_vector", [{"key": key, "vector": row["id"]} for key, row in rows.items()])
    return [None] * len(items)


def forget_vectors(tx: Tx, keys: Sequence[bytes]) -> int:
    """Delete vectors for good; returns how many were held."""
    numbers = tx.fetch_keys("vector_numbers", keys)
    tx.run_many("delete_vector_key", [{"key": key} for key in keys])
    tx.run_many("delete_vector", [{"id": number} for (number,) in numbers])
    return len(numbers)


def purge_vectors(tx: Tx, before: float) -> int:
    """Delete vectors that were bought before a time; returns how many."""
    tx.run("purge_vector_keys", {"before": before})
    return tx.run("purge_vectors", {"before": before})
