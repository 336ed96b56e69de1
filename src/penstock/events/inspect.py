"""Looks into the outbox: the history of one event, the newest events, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.types import Problem
from penstock.events.entries import State, unpack
from penstock.events.outbox_writes import DAY_MS, decode_problem
from penstock.events.traits import names_of
from penstock.runtime.store import Store

__all__ = ["Choice", "DayCount", "History", "Row", "count_days", "count_states", "decode_problem", "find", "tail"]

PAGE = 1_000


class Row(msgspec.Struct, frozen=True):
    """Where one event stands. Times are Unix seconds; `queued_at` is when it was accepted."""

    number: int
    event_id: str
    name: str
    pixel: str
    connection: str
    validate_only: bool
    source: str
    place: str
    state: State
    code: str
    problem: Problem | None
    happened_at: float
    queued_at: float
    settled_at: float | None
    attempts: int
    has: list[str]
    batch: int


class Choice(msgspec.Struct, frozen=True):
    """Which events: all that fit everything that is given. Times are Unix seconds of when they were accepted."""

    state: str = ""
    code: str = ""
    source: str = ""
    since: float = 0.0
    until: float = 1e12
    limit: int = 20


class Try(msgspec.Struct, frozen=True):
    """One request that an event was in: how many events it had, and the answer with all its headers."""

    at: float
    seconds: float
    kind: str
    status: int
    code: str
    message: str
    events: int
    accepted: int | None
    headers: Mapping[str, str]
    response: str


class Change(msgspec.Struct, frozen=True):
    """Why an event began to wait again: the state that it left, and the reason."""

    at: float
    state: str
    problem: Problem | None


class History(msgspec.Struct, frozen=True):
    """Everything that is known of one event; `event` is None when its body is no longer kept.

    `source` is the record with its own values only where the event sends them. In `event` each hash
    stands with the field that it was made from.
    """

    row: Row
    source: dict[str, Any]
    event: dict[str, Any] | None
    request: str
    warnings: list[str]
    attempts: list[Try]
    changes: list[Change]


class DayCount(msgspec.Struct, frozen=True):
    """How many events of one day (UTC, of the events' own times) are in one state for one reason."""

    day: str
    pixel: str
    name: str
    state: str
    code: str
    events: int
    validate_only: bool = False


class _Notes(msgspec.Struct):
    source: dict[str, Any] = {}
    traces: dict[str, str] = {}
    warnings: list[str] = []


async def find(store: Store, event_id: str) -> list[History]:
    """Return the history of every event with this id, newest first."""
    rows = await store.read("events_by_id", event_id=event_id)
    return [await _tell(store, _row(row)) for row in reversed(rows)]


async def _tell(store: Store, row: Row) -> History:
    kept = await store.read("event_body", number=row.number)
    notes = msgspec.json.decode(kept[0][1], type=_Notes) if kept else _Notes()
    event = msgspec.json.decode(kept[0][0]) if kept and kept[0][0] else None
    changes = await store.read("event_changes", number=row.number)
    batches = {row.batch, *(int(change[3]) for change in changes)} - {0}
    attempts = await store.look(lambda tx: tx.fetch_keys("event_attempts", list(batches))) if batches else []
    return History(
        row=row,
        source=notes.source,
        event=_with_traces(event, notes.traces) if event is not None else None,
        request=f"POST /v1/events?pid={row.pixel}" + (" validate_only" if row.validate_only else ""),
        warnings=notes.warnings,
        attempts=[_try(one) for one in sorted(attempts) if not one[11] or row.number in set(unpack(one[11]))],
        changes=[Change(at, state, decode_problem(problem)) for at, state, problem, _ in changes],
    )


def _with_traces(value: Any, traces: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _with_traces(one, traces) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_traces(one, traces) for one in value]
    return f"{value} (hash of {traces[value]})" if isinstance(value, str) and value in traces else value


def _try(row: Sequence[Any]) -> Try:
    _, at, seconds, kind, status, code, message, events, accepted, headers, response, _ = row
    return Try(
        at, seconds, kind, status, code, message, events, accepted, msgspec.json.decode(headers),
        bytes(response).decode("utf-8", "replace"),
    )  # fmt: skip


async def tail(store: Store, choice: Choice) -> list[Row]:
    """Return the newest events that fit, oldest first."""
    rows = await store.read("newest_events", **_values(choice), limit=choice.limit)
    return [_row(row) for row in reversed(rows)]


async def walk(store: Store, choice: Choice) -> AsyncIterator[list[Row]]:
    """Yield all events that fit in the order in which they were accepted, some at a time; memory stays flat."""
    after = 0
    while rows := await store.read("events_after", **_values(choice), after=after, limit=PAGE):
        after = int(rows[-1][0])
        yield [_row(row) for row in rows]


def _values(choice: Choice) -> dict[str, Any]:
    return {
        "state": "waiting" if choice.state == "blocked" else choice.state,
        "held": "paused" if choice.state == "blocked" else "open" if choice.state == "waiting" else "",
        "code": choice.code,
        "source": choice.source,
        "since": choice.since,
        "until": choice.until,
    }


def _row(row: Sequence[Any]) -> Row:
    (number, event_id, name, pixel, connection, is_trial, source, place, state, code, problem, happened_ms, queued_at,
     settled_at, attempts, traits, batch, held, why) = row  # fmt: skip
    is_waiting = state == "waiting"
    if is_waiting:
        state, problem = ("blocked" if held == "paused" else "waiting"), why
    told = decode_problem(problem)
    return Row(
        number, event_id, name, pixel, connection, bool(is_trial), source, place, state,
        code or (told.code if told is not None else ""), told, happened_ms / 1000, queued_at, settled_at, attempts,
        names_of(traits), batch,
    )  # fmt: skip


async def count_states(store: Store) -> dict[str, int]:
    """Return how many events are in each state; waiting ones of a paused destination count as blocked."""
    counts: Counter[str] = Counter()
    for row in await store.read("event_counts", since=0):
        counts["blocked" if row[7] == "waiting" and row[5] == "paused" else row[7]] += int(row[9])
    return dict(counts)


async def count_days(store: Store, since: float) -> list[DayCount]:
    """Return the counts by day of the events' own times."""
    rows = await store.read("event_counts", since=int(since * 1000) // DAY_MS)
    return [
        DayCount(
            datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat(), pixel, name,
            "blocked" if state == "waiting" and held == "paused" else state, code, int(events), bool(is_trial),
        )
        for day, _, _, pixel, is_trial, held, name, state, code, events in rows
    ]  # fmt: skip
