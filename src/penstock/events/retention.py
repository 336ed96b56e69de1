"""Forgets what is no longer needed: bodies soon after an event has ended, all else with the memory of its id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock.events.outbox import Outbox
from penstock.runtime.dialects import Tx

PIECE = 1_000
"""Rows that one transaction deletes."""


async def forget_old(outbox: Outbox, keep_seconds: float) -> int:
    """Delete bodies of events that ended `keep_seconds` ago, and whole events after the outbox's memory.

    Waiting events stay whatever their age; the counts by day stay for good. Returns how many rows went.
    """
    now = outbox.clock.now()
    bodies, rows = now - keep_seconds, outbox.store.number_at(now - max(outbox.memory_seconds, keep_seconds))
    before = outbox.store.number_at(bodies)
    gone = await _drop(outbox, "old_event_bodies", {"before": before, "settled": bodies}, _drop_bodies)
    gone += await _drop(outbox, "old_events", {"before": rows}, _drop_events)
    return gone + await _drop(outbox, "old_event_attempts", {"before": rows}, _drop_attempts)


async def _drop(outbox: Outbox, query: str, values: dict[str, Any], handler: Callable[..., list[int]]) -> int:
    gone = 0
    while rows := await outbox.store.read(query, **values, limit=PIECE):
        done = await outbox.store.batch(handler, [int(row[0]) for row in rows])
        gone += done
        if not done:
            break
    return gone


def _drop_bodies(tx: Tx, items: Sequence[list[int]]) -> list[int]:
    return [len(tx.fetch_keys("drop_event_bodies", numbers)) for numbers in items]


def _drop_events(tx: Tx, items: Sequence[list[int]]) -> list[int]:
    gone = []
    for numbers in items:
        tx.fetch_keys("drop_event_bodies", numbers)
        tx.fetch_keys("drop_event_changes", numbers)
        gone.append(len(tx.fetch_keys("drop_events", numbers)))
    return gone


def _drop_attempts(tx: Tx, items: Sequence[list[int]]) -> list[int]:
    gone = []
    for numbers in items:
        batches = {int(row[0]) for row in tx.fetch_keys("drop_event_attempts", numbers)}
        tx.fetch_keys("drop_event_batches", list(batches))
        gone.append(len(numbers))
    return gone
