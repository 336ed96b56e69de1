"""Walks through a collection of Brevo, which has offsets, no cursor, and changes meanwhile.

Rows come in order of creation, so a row that is added or changed can only be met twice, and what was met is
remembered. A deleted row moves the rest up: a page that begins behind what was met is noticed, and read again
further up. Rules: API reference (2026), pagination of `/contacts` and of the other collections.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.vendor.brevo import QueryValue

WINDOW_MARGIN_MS = 1_000
"""`createdSince` may exclude its own moment, so a window starts this much before the last row read."""

OVERLAP_MS = 10 * 60 * 1000
"""Increments start this much before the watermark: late commits and clocks that differ."""

KEPT = 2_000
"""Rows of a window that a cursor can name as met: a window does not move while more than these lie in it."""

ANCHORS = 100
"""Rows before an offset that a cursor names, so that a page behind a gap is noticed."""

Id = int | str
Row = dict[str, Any]


class Walk(msgspec.Struct, frozen=True):
    """How one collection is read.

    `most` is how many rows one call may give, at least two. `windows`: `createdSince` moves along with what was
    read, so offsets stay small. `changes`: the filter `modifiedSince`, or with `dates` the pair `startDate` and
    `endDate`, tells what is new. `modified` names the time that counts as a row's last change, where Brevo has one.
    `adds` are fields that every row gets.
    """

    operation: str
    collection: str
    most: int
    path: Mapping[str, str | int] = {}
    query: Mapping[str, QueryValue] = {}
    windows: bool = False
    changes: bool = False
    dates: bool = False
    modified: str = ""
    overlap: int = OVERLAP_MS
    adds: Mapping[str, Any] = {}
    id_of: Callable[[Row], Id | None] = lambda row: row.get("id")


class Place(msgspec.Struct):
    """Where a scan stands. Times are in milliseconds since 1970; it is what a cursor holds.

    `seen` are rows that the next page may repeat, each with its time of creation. `started` is the time when the
    scan began, by Brevo's clock where `is_stated`, and `newest` the latest change read: by our own clock the smaller
    is the next watermark. `part` counts the walks that are done, where a source has several.
    """

    created_since: int | None = None
    modified_since: int | None = None
    offset: int = 0
    seen: list[tuple[Id, int]] = []
    started: int = 0
    newest: int = 0
    watermark: int | None = None
    part: int = 0
    is_stated: bool = False

    def is_fresh(self) -> bool:
        """Say whether the scan has not read anything yet."""
        return self.started == 0


class _Met:
    """The ids that a scan has given so far; on disk when they are many, so memory stays flat."""

    def __init__(self, ids: Sequence[Id]) -> None:
        self._seen = sqlite3.connect("")
        self._seen.execute("pragma synchronous = off")
        self._seen.execute("pragma journal_mode = off")
        self._seen.execute("create table seen (id primary key) without rowid")
        self.add(ids)

    def add(self, ids: Sequence[Id]) -> None:
        """Remember ids."""
        self._seen.executemany("insert or ignore into seen values (?)", [(one,) for one in ids])

    def find(self, ids: Sequence[Id]) -> set[Id]:
        """Return which of these were met."""
        marks = ",".join("?" * len(ids))
        return {row[0] for row in self._seen.execute(f"select id from seen where id in ({marks})", ids)}

    def close(self) -> None:
        """Forget all."""
        self._seen.close()


async def walk_through(
    caller: BrevoCaller, walk: Walk, place: Place, size: int
) -> AsyncIterator[tuple[list[Any], Place]]:
    """Yield rows that were not met, at most `size` at once, and the place after them, to the end of the walk.

    Ends on a short page, never on the stated count, which moves while the scan runs. The last place has
    `offset` 0 and `seen` empty; a row without an id is given as often as it is met.
    """
    met = _Met([one for one, _ in place.seen])
    try:
        while True:
            reply = await caller.call(walk.operation, path=walk.path, query=_query(walk, place))
            rows = [{**row, **walk.adds} if walk.adds else row for row in reply.content[walk.collection]]
            if reply.date is not None and not (place.offset or place.seen or place.part):
                place = msgspec.structs.replace(place, started=round(reply.date * 1000), is_stated=True)
            ids = [_id_of(walk, row) for row in rows]
            known = met.find([one for one in ids if one is not None])
            if place.offset and not known:  # rows before this page were deleted, and unread ones moved up before it
                place = msgspec.structs.replace(place, offset=max(0, place.offset - walk.most))
                continue
            fresh = []
            for row, one in zip(rows, ids, strict=True):
                if one is None or one not in known:
                    fresh.append(row)
                if one is not None:
                    known.add(one)
            met.add(list(known))
            is_last = len(rows) < walk.most
            after = _finish(walk, place, rows) if is_last else _advance(walk, place, rows)
            for part, between in _cut(walk, fresh, place, after, size):
                yield part, between
            if is_last:
                return
            place = after
    finally:
        met.close()


def begin(walk: Walk, place: Place, now: float, first: int | None = None) -> Place:
    """Return where a scan starts: where it stood, at `first`, or a little before the watermark."""
    if not place.is_fresh():
        return place
    since = place.watermark - walk.overlap if walk.changes and place.watermark is not None else first
    return Place(modified_since=since, watermark=place.watermark, started=round(now * 1000))


def end(place: Place) -> Place:
    """Return what the next increment starts from: nothing that changed while the scan ran may be missed."""
    reached = place.started if place.is_stated else min(place.newest, place.started)
    return Place(watermark=max(reached, place.watermark or 0) or None)


def read_place(cursor: dict[str, Any] | None, what: str) -> Place:
    """Read a cursor; raises `InputError` for one of something else."""
    if cursor is None:
        return Place()
    try:
        return msgspec.convert(cursor, Place)
    except msgspec.ValidationError as error:
        raise InputError(
            f"the saved place in the {what} cannot be read: {error}",
            code="brevo.bad-cursor",
            hint="Start this source again from the beginning; unchanged contacts cost nothing.",
        ) from error


def _query(walk: Walk, place: Place) -> dict[str, QueryValue]:
    query: dict[str, QueryValue] = {**walk.query, "limit": walk.most, "offset": place.offset}
    if place.created_since is not None:
        query["createdSince"] = format_time(place.created_since)
    if walk.dates:
        query["startDate"] = format_time(place.modified_since or 0)
        query["endDate"] = format_time(place.started)
    elif place.modified_since is not None:
        query["modifiedSince"] = format_time(place.modified_since)
    return query


def _id_of(walk: Walk, row: Any) -> Id | None:
    one = walk.id_of(row) if isinstance(row, dict) else None
    return one if isinstance(one, int | str) else None


def _cut(walk: Walk, fresh: list[Any], place: Place, after: Place, size: int) -> list[tuple[list[Any], Place]]:
    """Cut what one call gave into pages; between two of them the place is that of the call, with more seen."""
    pages = []
    for start in range(0, len(fresh), size):
        if start + size >= len(fresh):
            pages.append((fresh[start:], after))
        else:
            seen = [*place.seen, *_pairs(walk, fresh[: start + size])]
            pages.append((fresh[start : start + size], msgspec.structs.replace(place, seen=seen)))
    return pages or [([], after)]


def _pairs(walk: Walk, rows: list[Any]) -> list[tuple[Id, int]]:
    found = [(_id_of(walk, row), row) for row in rows]
    return [(one, read_time(row.get("createdAt")) or 0) for one, row in found if one is not None]


def _advance(walk: Walk, place: Place, rows: list[Any]) -> Place:
    """Return the place after a full page: a later window where that gains ground, else a larger offset."""
    pairs = _pairs(walk, rows)
    seen = list({**dict(place.seen), **dict(pairs)}.items())[-KEPT:] if walk.windows else pairs[-ANCHORS:]
    newest = max([place.newest, *_changes(walk, rows)])
    overlap = min(10, max(1, walk.most // 50), len(rows) - 1)
    stay = msgspec.structs.replace(place, offset=place.offset + len(rows) - overlap, newest=newest, seen=seen)
    if not walk.windows or place.modified_since is not None or not all(moment for _, moment in pairs):
        return stay
    start = pairs[-1][1] - WINDOW_MARGIN_MS
    repeated = [(one, moment) for one, moment in seen if moment >= start]
    if len(pairs) < len(rows) or start <= (place.created_since or 0) or len(repeated) == KEPT:
        return stay
    behind = sum(moment > start for _, moment in repeated)
    return msgspec.structs.replace(stay, created_since=start, offset=max(0, behind - overlap), seen=repeated)


def _finish(walk: Walk, place: Place, rows: list[Any]) -> Place:
    newest = max([place.newest, *_changes(walk, rows)])
    if not walk.modified:
        newest = place.started
    part = place.part + 1
    return Place(started=place.started, newest=newest, watermark=place.watermark, part=part, is_stated=place.is_stated)


def _changes(walk: Walk, rows: list[Any]) -> list[int]:
    times = (read_time(row.get(walk.modified)) for row in rows if isinstance(row, dict))
    return [moment for moment in times if moment is not None]


def read_time(value: Any) -> int | None:
    """Read a time of Brevo as milliseconds since 1970; without an offset it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def format_time(milliseconds: int) -> str:
    """Write a time as Brevo's filters take it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"
