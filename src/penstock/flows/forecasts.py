"""What is kept of a run of predictions for the next one: summaries of customers in pieces, without which no drift."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import msgspec
import zstandard

from penstock.runtime.barred import fold_identifier
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

if TYPE_CHECKING:
    from penstock.features.customer_value.forecast import Kept

PIECE = 20_000
_Row = tuple[str, int, int, int, float, float, float, float]
"""Customer, orders, first and last day, total, squares, first total, refunds."""


class _Saved(NamedTuple):
    name: str
    header: bytes
    pieces: list[bytes]
    at: float


class KeptPiece(msgspec.Struct, frozen=True):
    """A piece that holds a person."""

    name: str
    number: int


async def save_forecast(store: Store, name: str, kept: Kept, at: float) -> None:
    """Keep a run in place of the last one of that name."""
    whole = kept.summaries
    facts = {part: getattr(whole, part) for part in ("since", "as_of", "unit", "has_value")}
    judged = {part: getattr(kept, part) for part in ("model", "fit", "horizon", "cut", "until", "trials", "baselines")}
    header = msgspec.msgpack.encode({**judged, **facts})  # not JSON: an error may be infinite
    await store.batch(_save, _Saved(name, header, list(_pack(_rows(kept))), at))


async def load_forecast(store: Store, name: str) -> Kept | None:
    """Return what is kept of the last run of that name."""
    import numpy as np

    from penstock.features.customer_value.forecast import Kept
    from penstock.features.customer_value.summaries import COLUMNS, Summaries

    found = await store.read("kept_forecast", forecast=name)
    if not found:
        return None
    header = msgspec.msgpack.decode(bytes(found[0][0]))
    rows = [row for (data,) in await store.read("forecast_pieces", forecast=name) for row in _unpack(bytes(data))]
    refunds = {row[0]: row[7] for row in rows if row[7]}
    columns = list(zip(*(row[:7] for row in rows if row[1]), strict=True)) or [()] * 7
    kinds = (object, np.int64, np.int64, np.int64, np.float64, np.float64, np.float64)
    table: dict[str, Any] = {
        name: np.array(column, kind) for name, column, kind in zip(COLUMNS, columns, kinds, strict=True)
    }
    facts = {part: header.pop(part) for part in ("since", "as_of", "unit", "has_value")}
    types = get_type_hints(Kept)
    judged = {part: msgspec.convert(value, types[part], strict=False) for part, value in header.items()}
    return Kept(**judged, summaries=Summaries(**table, **facts, refunds=refunds))


def find_pieces(tx: Tx, people: Collection[str]) -> list[KeptPiece]:
    """Return which pieces hold one of these people."""
    return [
        KeptPiece(name, number)
        for name, number, data in tx.fetch("all_forecast_pieces", {})
        if any(fold_identifier(row[0]) in people for row in _unpack(bytes(data)))
    ]


def forget_in_pieces(tx: Tx, pieces: Sequence[KeptPiece], people: Collection[str]) -> None:
    """Take these people out of the pieces."""
    wanted = {(piece.name, piece.number) for piece in pieces}
    for name, number, data in tx.fetch("all_forecast_pieces", {}) if wanted else ():
        if (name, number) in wanted:
            rows = [row for row in _unpack(bytes(data)) if fold_identifier(row[0]) not in people]
            tx.run("change_forecast_piece", {"forecast": name, "number": number, "data": _squeeze(rows)})


def _rows(kept: Kept) -> Iterator[_Row]:
    from penstock.features.customer_value.summaries import COLUMNS

    whole = kept.summaries
    known = set(whole.customers.tolist()) if whole.refunds else set()
    for row in zip(*(getattr(whole, name).tolist() for name in COLUMNS), strict=True):
        yield (*row, whole.refunds.get(row[0], 0.0))
    for name, amount in whole.refunds.items():
        if name not in known:
            yield (name, 0, 0, 0, 0.0, 0.0, 0.0, amount)


def _pack(rows: Iterator[_Row]) -> Iterator[bytes]:
    from itertools import islice

    while piece := list(islice(rows, PIECE)):
        yield _squeeze(piece)


def _squeeze(rows: list[_Row]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(rows), 1)


def _unpack(data: bytes) -> list[_Row]:
    return msgspec.msgpack.decode(zstandard.decompress(data), type=list[_Row])


def _save(tx: Tx, items: Sequence[_Saved]) -> list[None]:
    for item in items:
        tx.run("drop_forecast", {"forecast": item.name})
        tx.run("drop_forecast_pieces", {"forecast": item.name})
        tx.insert_many("forecasts", [{"name": item.name, "header": item.header, "at": item.at}])
        rows = [{"name": item.name, "number": at, "data": piece} for at, piece in enumerate(item.pieces)]
        if rows:
            tx.insert_many("forecast_pieces", rows)
    return [None] * len(items)
