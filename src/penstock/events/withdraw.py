"""Takes events back that nobody may send any more: their bodies go, and those that waited are opted out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from penstock.events.outbox_writes import Counts, count_more, move_counts
from penstock.runtime.dialects import Tx

CODE = "privacy.forgotten"


def withdraw_events(tx: Tx, found: Sequence[tuple[int, int]], at: float) -> int:
    """Drop events given by number and destination; returns how many bodies went. Those under way must not be given."""
    counts: Counts = Counter()
    by_destination: dict[int, list[int]] = {}
    for number, destination in found:
        by_destination.setdefault(destination, []).append(number)
    gone = 0
    for destination, numbers in by_destination.items():
        rows = tx.fetch_keys("withdraw_events", numbers, at=at)
        move_counts(counts, destination, rows, "opted out", CODE)
        gone += len(tx.fetch_keys("drop_event_bodies", numbers))
    count_more(tx, counts)
    return gone
