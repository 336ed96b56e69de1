"""Lets events that ended wait again, with the same ids: by id, by state or reason, by time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Problem
from penstock.events.entries import WINDOW_SECONDS
from penstock.events.outbox import Outbox
from penstock.events.outbox_writes import DAY_MS, Counts, count_more, encode_problem
from penstock.runtime.dialects import Tx

REPLAYABLE = ("rejected", "expired", "delivered", "validated")
"""States that have a body to send; what a mapping refused is handed in again from its source."""
PAGE = 1_000


class Choice(msgspec.Struct, frozen=True):
    """Which events to replay: by ids, or by state and reason; times are Unix seconds of when they were accepted."""

    event_ids: Sequence[str] = ()
    state: str = ""
    code: str = ""
    since: float = 0.0
    until: float = 1e12


class Replayed(msgspec.Struct, frozen=True):
    """How many wait again, how many are too old for OpenAI, and how many are no longer kept."""

    waiting: int
    too_old: int
    gone: int

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(self.waiting + other.waiting, self.too_old + other.too_old, self.gone + other.gone)


class _Order(msgspec.Struct, frozen=True):
    numbers: Sequence[int]
    changes: Sequence[int]
    oldest: int
    at: float


async def replay(outbox: Outbox, choice: Choice) -> Replayed:
    """Let the chosen events wait again; raises `InputError` when nothing or everything is chosen."""
    if choice.event_ids:
        rows = await outbox.store.look(lambda tx: tx.fetch_keys("replayable_ids", list(choice.event_ids)))
        return await _replay(outbox, [int(row[0]) for row in rows])
    if choice.state not in REPLAYABLE and not choice.code:
        raise InputError(
            "say which events to replay",
            code="events.replay-what",
            hint=f"Give ids, --code, or --state with one of {', '.join(REPLAYABLE)}; --since and --until narrow it.",
        )
    total, after = Replayed(0, 0, 0), 0
    values = {"state": choice.state, "code": choice.code, "since": choice.since, "until": choice.until}
    while rows := await outbox.store.read("replayable_events", **values, after=after, limit=PAGE):
        after = int(rows[-1][0])
        total += await _replay(outbox, [int(row[0]) for row in rows])
    return total


async def _replay(outbox: Outbox, numbers: Sequence[int]) -> Replayed:
    if not numbers:
        return Replayed(0, 0, 0)
    store, at = outbox.store, outbox.clock.now()
    changes = [store.next_number() for _ in numbers]
    return await store.batch(_write, _Order(numbers, changes, int((at - WINDOW_SECONDS) * 1000), at))


def _write(tx: Tx, items: Sequence[_Order]) -> list[Replayed]:
    return [_write_one(tx, item) for item in items]


def _write_one(tx: Tx, item: _Order) -> Replayed:
    rows = tx.fetch_keys("ended_events", list(item.numbers))
    kept = [row for row in rows if row[7]]
    fresh = [row for row in kept if int(row[3]) >= item.oldest]
    changes: list[dict[str, Any]] = []
    counts: Counts = Counter()
    for change, (number, destination, name, happened_ms, state, code, batch, _) in zip(
        item.changes, fresh, strict=False
    ):
        problem = encode_problem(
            Problem("events.replayed", f"replayed; it was {state}" + (f" [{code}]" if code else ""))
        )
        changes.append({"id": change, "number": number, "at": item.at, "state": state, "code": "events.replayed",
                        "problem": problem, "batch": batch})  # fmt: skip
        day = int(happened_ms) // DAY_MS
        counts[day, int(destination), name, state, code] -= 1
        counts[day, int(destination), name, "waiting", ""] += 1
    if fresh:
        tx.fetch_keys("replay_events", [int(row[0]) for row in fresh])
        tx.insert_many("event_changes", changes)
        count_more(tx, counts)
    return Replayed(len(fresh), len(kept) - len(fresh), len(rows) - len(kept))
