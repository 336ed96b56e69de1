"""Requests on their way through batches, as rows: kept, gathered into files with their money, and ended.

Handlers of `Store.batch` only; what is sent and when is the business of `batches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from penstock.base.errors import PenstockError
from penstock.base.types import Money
from penstock.runtime.answers import Bought, save_answers
from penstock.runtime.ask import Ask
from penstock.runtime.dialects import Tx
from penstock.runtime.ledger import Refusal, Reservation, Settlement, Wish, reserve_calls, scopes_of, settle_calls
from penstock.runtime.steps import pack_error, unpack_error
from penstock.runtime.vectors import BoughtVectors, save_vectors

State = Literal["waiting", "batched", "done", "refused", "live"]

_encode = msgspec.json.Encoder(order="sorted").encode
_READ = 2000
"""Rows that are looked at together while a file is filled."""


class Line(msgspec.Struct, frozen=True):
    """One request: what is asked, under which address its answer will be, and the most that it can cost in a batch."""

    number: int
    key: bytes
    ask: Ask
    run: str
    flow: str
    size: int
    inputs: int
    most: Money | None

    def row(self) -> dict[str, Any]:
        """Return what is kept of it."""
        ask = self.ask
        return {
            "id": self.number, "key": self.key, "run": self.run, "flow": self.flow, "connection": ask.connection,
            "path": ask.path, "model": ask.model, "ask": _encode(ask), "custom_id": self.key.hex(), "size": self.size,
            "tokens": ask.prompt_tokens, "inputs": self.inputs, "most": self.most,
        }  # fmt: skip


class Known(msgspec.Struct, frozen=True):
    """What is known of a request: its state, whose it is, and why it was refused."""

    number: int
    run: str
    state: str
    problem: PenstockError | None


class Sent(msgspec.Struct, frozen=True):
    """A request that is in a batch."""

    number: int
    key: bytes
    custom_id: str
    ask: Ask
    call: int
    reserved: Money | None
    attempts: int


class BatchRow(msgspec.Struct, frozen=True):
    """One batch: whose it is, how far it is, and what the vendor calls it."""

    id: str
    run: str
    flow: str
    connection: str
    path: str
    model: str
    state: str
    status: str
    lines: int
    tokens: int
    completed: int
    failed: int
    file: str
    vendor_id: str
    session: str
    reserved_at: float
    due_at: float
    polls: int
    created_at: float | None
    ended_at: float | None
    problem: str


class Room(msgspec.Struct, frozen=True):
    """How much one file may hold."""

    lines: int
    bytes: int
    inputs: int
    tokens: float


class Filling(msgspec.Struct, frozen=True):
    """A file that is to be filled with what waits of one kind."""

    batch: str
    run: str
    flow: str
    connection: str
    path: str
    model: str
    session: str
    room: Room
    at: float
    wish: Any
    """Returns the `Wish` for a request's operation and the most that it can cost."""


class Filled(msgspec.Struct, frozen=True):
    """What was taken into a file, and what kept the next request out (None: the file was full, or nothing waits)."""

    lines: int
    refusal: Refusal | None
    wanted: Money


class End(msgspec.Struct, frozen=True):
    """How one request of a batch ended: bought, settled without an answer, or only put back."""

    number: int
    state: State
    bought: Bought | None = None
    settlement: Settlement | None = None
    problem: PenstockError | None = None
    failed: int = 0
    """1 when an attempt was used up."""
    used: int = 0
    vectors: BoughtVectors | None = None
    """What was bought, where it is held text by text."""


def to_batch(row: Sequence[Any]) -> BatchRow:
    """Return a batch from its row."""
    return BatchRow(*row)


def to_sent(row: Sequence[Any]) -> Sent:
    """Return a request in a batch from its row."""
    number, key, custom_id, ask, call, reserved, attempts = row[:7]
    return Sent(number, bytes(key), custom_id, msgspec.json.decode(bytes(ask), type=Ask), call, reserved, attempts)


def reservation_of(sent: Sent, batch: BatchRow) -> Reservation:
    """Return the money that was put aside for a request."""
    return Reservation(sent.call, sent.reserved, scopes_of(batch.reserved_at, batch.run, batch.flow))


def find_known(tx: Tx, keys: Sequence[bytes]) -> dict[bytes, Known]:
    """Return what is known of requests by their addresses."""
    found = {}
    for key, number, run, state, problem in tx.fetch_keys("lines_of", keys) if keys else ():
        error = unpack_error(msgspec.json.decode(problem)) if problem else None
        found[bytes(key)] = Known(number, run, state, error)
    return found


def put_lines(tx: Tx, items: Sequence[Sequence[Line]]) -> list[int]:
    """Keep requests that wait; those under way stay as they are. Returns how many were not there before."""
    return [_put(tx, lines) for lines in items]


def _put(tx: Tx, lines: Sequence[Line]) -> int:
    known = find_known(tx, [line.key for line in lines])
    fresh: dict[bytes, Line] = {}
    for line in lines:
        found = known.get(line.key)
        if found is None:
            fresh[line.key] = line
        elif found.state == "waiting" or (found.state == "live" and found.run != line.run):
            tx.run("claim_line", {"id": found.number, "run": line.run, "flow": line.flow})
        elif found.state == "done" or (found.state == "refused" and found.run != line.run):
            # its answer was forgotten since, or another run was refused it
            tx.run("drop_line", {"id": found.number})
            fresh[line.key] = line
    tx.run_many("put_line", [line.row() for line in fresh.values()])
    return len(fresh)


def fill_files(tx: Tx, items: Sequence[Filling]) -> list[Filled | PenstockError]:
    """Take what fits into a file, with its money, in one transaction; nothing is sent before that is on disk."""
    return [_fill(tx, item) for item in items]


def _fill(tx: Tx, item: Filling) -> Filled | PenstockError:
    found = _find_fitting(tx, item)
    asks = {number: bytes(ask) for number, ask in tx.fetch_keys("operations_of", [row[0] for row in found])}
    wishes: list[Wish] = [item.wish(asks[number], most) for number, _, _, _, most in found]
    taken, refusal, wanted = [], None, 0
    for row, wish, result in zip(found, wishes, reserve_calls(tx, wishes), strict=True):
        if isinstance(result, PenstockError):
            return result
        if isinstance(result, Reservation):
            taken.append((row, result))
        elif refusal is None:
            refusal, wanted = result, wish.row["reserved"] or 0
    rows = [
        {"id": row[0], "batch": item.batch, "call": result.number, "reserved": result.amount} for row, result in taken
    ]
    tx.run_many("take_line", rows)
    if rows:
        tokens = sum(row[2] for row, _ in taken)
        tx.run(
            "add_batch",
            {
                "id": item.batch, "run": item.run, "flow": item.flow, "connection": item.connection,
                "path": item.path, "model": item.model, "lines": len(rows), "tokens": tokens,
                "session": item.session, "at": item.at,
            },
        )  # fmt: skip
    return Filled(len(rows), refusal, wanted)


def _find_fitting(tx: Tx, item: Filling) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    lines, size, inputs, tokens = 0, 0, 0, 0.0
    room, after = item.room, 0
    kind = {"run": item.run, "connection": item.connection, "path": item.path, "model": item.model}
    while True:
        rows = tx.fetch("lines_waiting", {**kind, "after": after, "limit": _READ})
        for row in rows:
            lines, size, inputs, tokens = lines + 1, size + row[1], inputs + row[3], tokens + row[2]
            is_full = lines > room.lines or size > room.bytes or inputs > room.inputs or tokens > room.tokens
            if is_full:
                return found
            found.append(row)
        if len(rows) < _READ:
            return found
        after = rows[-1][0]


def end_lines(tx: Tx, items: Sequence[Sequence[End]]) -> list[None]:
    """Keep answers, settle calls, and say what becomes of each request, in one transaction."""
    ends = [end for item in items for end in item]
    save_answers(tx, [end.bought for end in ends if end.bought is not None])
    save_vectors(tx, [end.vectors for end in ends if end.vectors is not None])
    settle_calls(tx, [end.settlement for end in ends if end.settlement is not None])
    tx.run_many(
        "end_line",
        [
            {
                "id": end.number, "state": end.state, "batch": "", "failed": end.failed, "used": end.used,
                "problem": msgspec.json.encode(pack_error(end.problem)).decode() if end.problem else "", "empty": b"",
            }
            for end in ends
        ],
    )  # fmt: skip
    return [None] * len(items)


def run_named(tx: Tx, items: Sequence[tuple[str, dict[str, Any]]]) -> list[None]:
    """Run one named statement for each item."""
    for name, values in items:
        tx.run(name, values)
    return [None] * len(items)
