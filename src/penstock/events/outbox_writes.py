"""The transactions of the outbox: many callers' entries, claims and outcomes in one, each a handler of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock.base.errors import PenstockError, StoppedError
from penstock.base.types import Problem
from penstock.events.entries import Attempt, Entry, Handed, Receipt, Settled, pack
from penstock.runtime.dialects import Tx

DAY_MS = 86_400_000
EXPIRY_PIECE = 1_000
"""Events that one transaction ends because of their age."""

_encode = msgspec.json.encode
Counts = Counter[tuple[int, int, str, str, str]]
"""How many events more, by day, destination, name, state and code."""


class Claim(msgspec.Struct, frozen=True):
    """What to claim: at most `limit` events and `bytes_limit` bytes that happened between two moments."""

    batch: int
    destination: int
    session: str
    at: float
    oldest: int
    newest: int
    limit: int
    bytes_limit: int
    cause: str


class Expiry(msgspec.Struct, frozen=True):
    """Which waiting events end because they are older than `oldest` (ms), and what kept them so long."""

    destination: int
    oldest: int
    at: float
    cause: str


class Recorded(msgspec.Struct, frozen=True):
    """A request with what it settled; `is_last` ends the batch."""

    attempt: Attempt
    settled: Sequence[Settled]
    at: float
    is_last: bool


class Release(msgspec.Struct, frozen=True):
    """Events that wait again; `changes` are ids for their history, one each."""

    batch: int
    numbers: Sequence[int]
    changes: Sequence[int]
    problem: Problem
    at: float
    tried: int


def encode_problem(problem: Problem | None) -> str:
    """Return a problem as it stands in a row."""
    return _encode(problem).decode() if problem is not None else ""


def decode_problem(text: str) -> Problem | None:
    """Read what `encode_problem` wrote."""
    return msgspec.json.decode(text, type=Problem) if text else None


def add_destination(tx: Tx, items: Sequence[dict[str, Any]]) -> list[int]:
    """Make destinations that are new; returns their numbers."""
    found = []
    for item in items:
        rows = tx.fetch("find_event_destination", item)
        if not rows:
            tx.run("add_event_destination", item)
            rows = tx.fetch("find_event_destination", item)
        found.append(int(rows[0][0]))
    return found


def accept(tx: Tx, items: Sequence[Handed]) -> list[list[Receipt] | PenstockError]:
    """Insert entries; an event that is known already becomes a duplicate of the first one."""
    waiting = int(tx.fetch("count_waiting_events", {})[0][0])
    since = min(item.at - item.memory_seconds for item in items)
    ids = {entry.event_id for item in items for entry in item.entries if not entry.is_trial and entry.event_id}
    rows = tx.fetch_keys("known_events", list(ids), since=since) if ids else []
    known = {(pixel, name, event_id): int(number) for event_id, name, pixel, number in rows}
    events: list[dict[str, Any]] = []
    bodies: list[dict[str, Any]] = []
    batches: list[dict[str, Any]] = []
    counts: Counts = Counter()
    made: list[list[Receipt] | PenstockError] = []
    for item in items:
        if waiting + len(item.entries) > item.queue_limit:
            made.append(_queue_full(item.queue_limit))
            continue
        receipts = [_insert(entry, item, known, events, bodies, counts) for entry in item.entries]
        fresh = [entry for entry, receipt in zip(item.entries, receipts, strict=True) if receipt.state == "waiting"]
        waiting += len(fresh)
        if item.batch and fresh:
            batches.append(
                _batch_row(item.batch, fresh[0].destination, item.session, item.at, [e.number for e in fresh])
            )
        made.append(receipts)
    for table, rows_of in (("events", events), ("event_bodies", bodies), ("event_batches", batches)):
        tx.insert_many(table, rows_of)
    count_more(tx, counts)
    return made


def _insert(
    entry: Entry,
    item: Handed,
    known: dict[tuple[str, str, str], int],
    events: list[dict[str, Any]],
    bodies: list[dict[str, Any]],
    counts: Counts,
) -> Receipt:
    state, problem, number = entry.state, entry.problem, entry.number
    if state == "waiting" and not entry.is_trial:
        number = known.setdefault((entry.pixel, entry.name, entry.event_id), entry.number)
        if number != entry.number:
            state = "duplicate"
            problem = Problem("events.duplicate", "repeats an earlier event: same Pixel ID, event name and id")
    is_waiting = state == "waiting"
    code = problem.code if problem is not None else ""
    events.append({
        "number": entry.number, "destination": entry.destination, "event_id": entry.event_id, "name": entry.name,
        "source": entry.source, "place": entry.place, "state": state, "code": code,
        "problem": encode_problem(problem), "happened_ms": entry.happened_ms, "queued_at": item.at,
        "settled_at": None if is_waiting else item.at, "size": len(entry.body), "traits": entry.traits,
        "likeness": entry.likeness, "batch": item.batch if is_waiting else 0,
    })  # fmt: skip
    if state != "duplicate":
        bodies.append({"number": entry.number, "body": entry.body, "notes": entry.notes})
    counts[entry.happened_ms // DAY_MS, entry.destination, entry.name, state, code] += 1
    return Receipt(entry.event_id, number, state, problem, entry.warnings)


def _queue_full(limit: int) -> StoppedError:
    return StoppedError(
        f"{limit:,} conversion events may wait, and there is no room for more",
        code="events.queue-full",
        hint="Keep the event and hand it in again in a minute. `penstock events quality` says what holds the others "
        "up; the setting events.queue-limit is the bound.",
    )


def _batch_row(batch: int, destination: int, session: str, at: float, numbers: Sequence[int]) -> dict[str, Any]:
    return {"id": batch, "destination": destination, "session": session, "at": at, "members": pack(numbers)}


def claim(tx: Tx, items: Sequence[Claim]) -> list[list[int]]:
    """Stamp free events as batches; returns their numbers, nearest to expiry first."""
    return [_claim(tx, item) for item in items]


def _claim(tx: Tx, item: Claim) -> list[int]:
    expire(tx, [Expiry(item.destination, item.oldest, item.at, item.cause)])
    rows = tx.fetch(
        "free_events",
        {"destination": item.destination, "oldest": item.oldest, "newest": item.newest, "limit": item.limit},
    )
    numbers: list[int] = []
    room = item.bytes_limit
    for number, size in rows:
        room -= int(size) + 1
        if room < 0 and numbers:
            break
        numbers.append(int(number))
    if numbers:
        tx.fetch_keys("claim_events", numbers, batch=item.batch)
        tx.insert_many("event_batches", [_batch_row(item.batch, item.destination, item.session, item.at, numbers)])
    return numbers


def expire(tx: Tx, items: Sequence[Expiry]) -> list[int]:
    """End waiting events that are too old; returns how many of each destination."""
    return [_expire(tx, item) for item in items]


def _expire(tx: Tx, item: Expiry) -> int:
    problem = Problem(
        "events.expired",
        f"older than 7 days before it could be sent; {item.cause}",
        "OpenAI takes no older events. Its time must be the conversion's own; send more often, and look at paused "
        "destinations early.",
    )
    rows = tx.fetch(
        "expire_events",
        {
            "destination": item.destination,
            "oldest": item.oldest,
            "at": item.at,
            "code": problem.code,
            "problem": encode_problem(problem),
            "limit": EXPIRY_PIECE,
        },
    )
    counts: Counts = Counter()
    move_counts(counts, item.destination, rows, "expired", problem.code)
    count_more(tx, counts)
    return len(rows)


def record(tx: Tx, items: Sequence[Recorded]) -> list[None]:
    """Write requests, and settle events that are still in the batch that was sent."""
    counts: Counts = Counter()
    tx.insert_many("event_attempts", [_attempt_row(item.attempt) for item in items])
    for item in items:
        for settled in item.settled:
            code = settled.problem.code if settled.problem is not None else ""
            rows = tx.fetch_keys(
                "settle_events",
                list(settled.numbers),
                state=settled.state,
                code=code,
                problem=encode_problem(settled.problem),
                at=item.at,
                batch=item.attempt.batch,
            )
            move_counts(counts, item.attempt.destination, rows, settled.state, code)
    ended = [{"id": item.attempt.batch} for item in items if item.is_last]
    if ended:
        tx.run_many("end_event_batch", ended)
    count_more(tx, counts)
    return [None] * len(items)


def _attempt_row(attempt: Attempt) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(attempt),
        "headers": _encode(attempt.headers).decode(),
        "members": pack(attempt.members),
    }


def release(tx: Tx, items: Sequence[Release]) -> list[None]:
    """Let events wait again, and end their batch."""
    changes: list[dict[str, Any]] = []
    for item in items:
        kept = tx.fetch_keys("release_events", list(item.numbers), batch=item.batch, tried=item.tried)
        why = {"code": item.problem.code, "problem": encode_problem(item.problem)}
        changes += [
            {"id": change, "number": int(number), "batch": item.batch, "at": item.at, "state": "waiting", **why}
            for change, (number,) in zip(item.changes, kept, strict=False)
        ]
        tx.run("end_event_batch", {"id": item.batch})
    tx.insert_many("event_changes", changes)
    return [None] * len(items)


def move_counts(counts: Counts, destination: int, rows: Iterable[Sequence[Any]], state: str, code: str) -> None:
    """Count events out of waiting and into a state."""
    for name, happened_ms in rows:
        day = int(happened_ms) // DAY_MS
        counts[day, destination, name, "waiting", ""] -= 1
        counts[day, destination, name, state, code] += 1


def count_more(tx: Tx, counts: Counts) -> None:
    """Add to the kept counts of events."""
    names = ("day", "destination", "name", "state", "code")
    rows = [{**dict(zip(names, key, strict=True)), "events": more} for key, more in counts.items() if more]
    if rows:
        tx.run_many("count_events", rows)
