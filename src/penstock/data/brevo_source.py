"""A collection of one Brevo account as a source: all of it, or what changed since a watermark."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.base.redact import redact
from penstock.base.types import Page, Problem, Record, Reject
from penstock.data.brevo_scan import Place, Walk, begin, end, format_time, read_place, walk_through
from penstock.runtime.brevo_calls import BrevoCaller


class Account(msgspec.Struct, frozen=True):
    """The Brevo account behind a key; `id` names it in cursors and ledgers."""

    id: str
    name: str
    plan: str


async def read_account(caller: BrevoCaller, *, at_once: bool = False) -> Account:
    """Ask Brevo whose key this is; raises `AccessError` when the key is refused. `at_once` never waits for limits."""
    content = (await caller.call("account.get", interactive=True, at_once=at_once)).content
    organization = content.get("organization_id")
    if not organization:
        raise InputError(
            "Brevo does not say which organisation the key belongs to",
            code="brevo.no-organization",
            hint="Check the base URL of Brevo; Penstock does not write to an account that it cannot name.",
        )
    plans = content.get("plan")
    names = [str(plan.get("type")) for plan in plans if isinstance(plan, dict)] if isinstance(plans, list) else []
    return Account(str(organization), str(content.get("companyName") or ""), ", ".join(names))


class BrevoSource:
    """One kind of object of one account.

    `name` says what it is, for people and, with what was chosen, in the identity of the source. `to_record` turns a
    row into a record. `first` is the moment before which nothing is read, in milliseconds. `complete` may add what
    takes a call of its own; it returns None for a row that does not count.
    """

    def __init__(
        self,
        caller: BrevoCaller,
        account: Account,
        name: str,
        walks: Sequence[Walk],
        to_record: Callable[[Any], Record | Reject],
        *,
        first: int | None = None,
        complete: Callable[[Any], Awaitable[Any | None]] | None = None,
    ) -> None:
        self._caller = caller
        self._account = account
        self._name = name
        self._walks = walks
        self._to_record = to_record
        self._first = first
        self._complete = complete
        self._start: Place | None = None

    def describe(self) -> str:
        """Name the source, and since when it is read."""
        since = ""
        if self._start is not None and self._start.watermark is not None:
            moment = datetime.fromtimestamp(self._start.watermark / 1000, UTC)
            since = f", changed since {moment:%Y-%m-%d %H:%M} UTC"
        of = f" of {self._account.name}" if self._account.name else ""
        return f"Brevo {self._name.replace('-', ' ')}{of}{since}"

    def identity(self) -> str:
        """Name the organisation, the objects and the choice among them."""
        chosen = sorted({f"/{name}={value}" for walk in self._walks for name, value in walk.path.items()})
        chosen += [f"/{name}={value}" for name, value in self._walks[0].query.items() if name not in _FORM]
        return f"brevo:{self._account.id}/{self._name}{''.join(chosen)}"

    @property
    def has_changes(self) -> bool:
        """Say whether Brevo can tell what changed: then a later scan need not read everything."""
        return all(walk.changes for walk in self._walks)

    @property
    def knows_gone(self) -> bool:
        """Say whether what is not there any more was deleted: events only leave the window that is read."""
        return not any(walk.dates for walk in self._walks)

    def start_from(self, watermark: dict[str, Any]) -> None:
        """Read only what changed since the watermark of an earlier scan; see `watermark_of`."""
        self._start = read_place(watermark, self.describe())

    def watermark_of(self, cursor: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return what `start_from` takes, from the last cursor of a scan that was drained; None before that."""
        place = read_place(cursor, self.describe())
        return cursor if place.is_fresh() and place.watermark is not None else None

    async def count(self) -> int | None:
        """Return how many there are, or have changed, as Brevo states it."""
        return await self._sum(self._start or Place())

    async def total(self) -> int | None:
        """Return how many there are now, changed or not, as Brevo states it."""
        return await self._sum(Place())

    async def _sum(self, start: Place) -> int | None:
        total = 0
        for walk in self._walks:
            stated = await self._count(walk, begin(walk, start, self._caller.clock.now(), self._first))
            if stated is None:
                return None
            total += stated
        return total

    async def _count(self, walk: Walk, place: Place) -> int | None:
        query = dict(walk.query) | {"limit": 1}
        if walk.dates:
            query |= {"startDate": format_time(place.modified_since or 0), "endDate": format_time(place.started)}
        elif place.modified_since is not None:
            query["modifiedSince"] = format_time(place.modified_since)
        total = (await self._caller.call(walk.operation, path=walk.path, query=query)).content.get("count")
        return total if isinstance(total, int) else None

    async def close(self) -> None:
        """Do nothing: the connection belongs to who opened it."""

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        """Yield all, or with a watermark what changed since.

        The cursor of the last page holds the next watermark; any other resumes inside the scan.
        """
        place = self._start if cursor is None and self._start is not None else read_place(cursor, self.describe())
        place = begin(self._walks[0], place, self._caller.clock.now(), self._first)
        while place.part < len(self._walks):
            walk, part = self._walks[place.part], place.part
            if part and not (place.offset or place.seen):  # the next walk starts where the first one did
                since = begin(walk, Place(watermark=place.watermark), 1, self._first).modified_since
                place = msgspec.structs.replace(place, modified_since=since)
            async for rows, after in walk_through(self._caller, walk, place, size):
                place = end(after) if after.part == len(self._walks) else after
                yield await self._page(rows, place)
            if place.is_fresh():
                return

    async def _page(self, rows: list[Any], place: Place) -> Page:
        page = Page([], [], msgspec.to_builtins(place))
        for row in rows:
            whole = row if self._complete is None else await self._complete(row)
            if whole is None:
                continue
            record = self._to_record(whole)
            page.records.append(record) if isinstance(record, Record) else page.rejects.append(record)
        return page

    async def all_keys(self) -> AsyncIterator[list[str]]:
        """Yield the keys of everything that is there now, page by page, without a cursor."""
        for walk in self._walks:
            place = begin(walk, Place(), self._caller.clock.now(), self._first)
            async for rows, _ in walk_through(self._caller, walk, place, walk.most):
                records = [self._to_record(row) for row in rows]
                yield [record.key for record in records if isinstance(record, Record)]


_FORM = ("sort", "limit", "statistics", "excludeHtmlContent")
"""Parameters that say how rows come, not which."""


def bad_row(what: str, row: Any) -> Reject:
    """Keep a row aside that has no id."""
    problem = Problem(
        "brevo.bad-row", f"Brevo returned one of the {what} without an id", "Nothing to do; it is skipped."
    )
    return Reject(f"Brevo {what}", redact(str(row))[:500], problem)
