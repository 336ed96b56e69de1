"""What the outbox of conversion events holds and hands around: entries, receipts, batches, attempts."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from penstock.base.types import Problem

State = Literal[
    "waiting", "blocked", "delivered", "validated", "rejected", "expired", "opted out", "duplicate", "refused"
]
WINDOW_SECONDS, AHEAD_SECONDS = 7 * 86_400, 600
"""How old an event may be when it arrives, and how far ahead (Conversions API, read 2026-09)."""


class Receipt(msgspec.Struct, frozen=True):
    """What became of one record that was handed in.

    `blocked` is a waiting event whose destination is paused. `number` is the event's own in this
    store; a duplicate has that of the event which it repeats. `warnings` do not stop an event.
    """

    event_id: str
    number: int | None
    state: State
    problem: Problem | None = None
    warnings: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event, or the refusal of one, on its way into the outbox; `body` is the JSON object that is sent."""

    number: int
    destination: int
    pixel: str
    is_trial: bool
    """Whether it is only to be validated."""
    event_id: str
    name: str
    happened_ms: int
    body: bytes
    notes: bytes
    source: str
    place: str
    traits: int = 0
    likeness: int = 0
    state: State = "waiting"
    problem: Problem | None = None
    warnings: tuple[str, ...] = ()


class Handed(msgspec.Struct, frozen=True):
    """Entries that are accepted together; with `batch` they are claimed by `session` in the same transaction."""

    entries: Sequence[Entry]
    at: float
    memory_seconds: float
    queue_limit: int
    batch: int = 0
    session: str = ""


class Item(msgspec.Struct, frozen=True, gc=False):
    """A claimed event."""

    number: int
    body: bytes
    attempts: int = 0


class Batch(msgspec.Struct, frozen=True):
    """Events that this process has claimed for one destination, nearest to expiry first."""

    id: int
    destination: int
    items: Sequence[Item]


class Attempt(msgspec.Struct, frozen=True):
    """One request and its answer; `seconds` is how long it took, `response` is capped and redacted."""

    id: int
    batch: int
    destination: int
    at: float
    seconds: float
    kind: str
    status: int
    code: str
    message: str
    events: int
    accepted: int | None
    headers: Mapping[str, str]
    response: bytes
    members: Sequence[int] = ()
    """The events of the request; empty where they are the whole batch."""


class Settled(msgspec.Struct, frozen=True):
    """The end of some events of a batch: the state that they are in for good, and why."""

    numbers: Sequence[int]
    state: State
    problem: Problem | None = None


class Load(msgspec.Struct, frozen=True):
    """What waits for one destination, counted up to a limit: events, bytes, and since when the oldest waits.

    `first_ms` is when the one nearest to expiry happened.
    """

    events: int
    bytes: int
    oldest: float | None
    first_ms: int | None


def pack(numbers: Sequence[int]) -> bytes:
    """Write event numbers as a few bytes each."""
    return zlib.compress(array("q", numbers).tobytes(), 1) if numbers else b""


def unpack(members: bytes) -> list[int]:
    """Read what `pack` wrote."""
    return list(array("q", zlib.decompress(members))) if members else []
