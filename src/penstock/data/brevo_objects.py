"""Lists, segments, campaigns, events, orders, products and categories of a Brevo account as sources.

Which of them can be asked for changes only, and how many one call gives: API reference (2026), pagination.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Record, Reject
from penstock.data.brevo_contacts import BrevoContacts, BrevoMembers
from penstock.data.brevo_scan import Row, Walk, read_time
from penstock.data.brevo_source import Account, BrevoSource, bad_row
from penstock.runtime.brevo_calls import BrevoCaller

DAY_MS = 86_400_000
EVENT_DAYS = 183
"""Brevo's own window of `GET /events` is six months; without `since` that is what is read."""

_encode = msgspec.json.Encoder(order="sorted").encode
_SORTED = {"sort": "asc"}


def _name_event(row: Row) -> str | None:
    """Name an event by everything that it says, for Brevo gives it no id: what was sent twice is one event."""
    if not row.get("event_name") or not row.get("event_date"):
        return None
    said = [row.get(name) for name in ("contact_id", "event_name", "event_date", "object_type", "event_properties")]
    return hashlib.blake2b(_encode(said), digest_size=12).hexdigest()


def _changing(name: str, most: int, modified: str = "") -> Walk:
    return Walk(f"{name}.list", name, most, query=_SORTED, changes=True, modified=modified)


WALKS: dict[str, Walk] = {
    "lists": Walk("lists.list", "lists", 50, query=_SORTED),
    "segments": Walk("segments.list", "segments", 50, query=_SORTED),
    "campaigns": Walk(
        "campaigns.list",
        "campaigns",
        100,
        query={**_SORTED, "statistics": "globalStats", "excludeHtmlContent": "true"},
    ),
    "campaign-results": Walk(
        "campaigns.list", "campaigns", 100, query={**_SORTED, "status": "sent", "excludeHtmlContent": "true"}
    ),
    "events": Walk("events.list", "events", 5_000, changes=True, dates=True, overlap=DAY_MS, id_of=_name_event),
    # The times of an order are the shop's own, so the next increment starts from when this one did.
    "orders": _changing("orders", 100),
    "products": _changing("products", 1_000, "modifiedAt"),
    "categories": _changing("categories", 100, "modifiedAt"),
}
"""How each kind of object is read."""

OBJECTS = ("contacts", "list-members", *WALKS)
_OPTIONS: dict[str, tuple[str, ...]] = {
    "contacts": ("lists", "segment"),
    "list-members": ("lists",),
    "events": ("events", "since"),
}


def open_brevo_source(caller: BrevoCaller, account: Account, options: Mapping[str, Any], now: float) -> BrevoSource:
    """Open the source that a flow's `brevo` block names; raises `InputError` for an option that it does not take."""
    chosen = dict(options)
    name = str(chosen.pop("object", "contacts"))
    if name not in OBJECTS:
        raise InputError(
            f"the source brevo has no objects called {name!r}",
            code="input.unknown-option",
            hint=f"object is one of {', '.join(OBJECTS)}.",
        )
    known = _OPTIONS.get(name, ())
    for option in chosen:
        if option not in known:
            raise InputError(
                f"the source brevo has no option {option!r} for {name}",
                code="input.unknown-option",
                hint=f"It takes object, connection{''.join(f', {one}' for one in known)}.",
            )
    if name in ("contacts", "list-members"):
        return _open_contacts(caller, account, name, chosen)
    return _Objects(caller, account, name, chosen, now)


def _open_contacts(caller: BrevoCaller, account: Account, name: str, options: Mapping[str, Any]) -> BrevoSource:
    lists, segment = options.get("lists", ()), options.get("segment")
    if not isinstance(lists, Sequence) or not all(isinstance(one, int) for one in lists):
        raise _wrong_number("lists: [7]", "lists")
    if segment is not None and not isinstance(segment, int):
        raise _wrong_number("segment: 7", "segments")
    if name == "contacts":
        return BrevoContacts(caller, account, lists=lists, segment=segment)
    if not lists:
        raise _wrong_number("lists: [7]", "lists")
    return BrevoMembers(caller, account, lists=lists)


def _wrong_number(example: str, kind: str) -> InputError:
    return InputError(
        f"{kind} of Brevo are named by their numbers",
        code="input.unknown-option",
        hint=f"Write `{example}`; a flow with `source: {{ brevo: {{ object: {kind} }} }}` reads the numbers.",
    )


class _Objects(BrevoSource):
    """One kind of the table above."""

    def __init__(
        self, caller: BrevoCaller, account: Account, name: str, options: Mapping[str, Any], now: float
    ) -> None:
        walk, first = WALKS[name], None
        if name == "events":
            first = _read_since(options.get("since"), now)
            if names := options.get("events"):
                walk = msgspec.structs.replace(walk, query={"event_name": [str(one) for one in names]})
        complete = self._add_result if name == "campaign-results" else None
        super().__init__(caller, account, name, [walk], _reader(name, walk), first=first, complete=complete)

    async def _add_result(self, row: Row) -> Row | None:
        """Add which subject won; other campaigns than A/B tests have no such result."""
        if not row.get("abTesting"):
            return None
        result = (await self._caller.call("campaigns.result", path={"id": row["id"]})).content
        return {**row, "result": result}


def _reader(name: str, walk: Walk) -> Callable[[Any], Record | Reject]:
    what = name.replace("-", " ")
    one = {"categories": "category", "campaign-results": "campaign"}.get(name, name.removesuffix("s"))

    def read(row: Any) -> Record | Reject:
        key = walk.id_of(row) if isinstance(row, dict) else None
        if not isinstance(key, int | str) or key == "":
            return bad_row(what, row)
        return Record(str(key), row, f"Brevo {one} {key}")

    return read


def _read_since(value: Any, now: float) -> int:
    if value is None:
        return round(now * 1000) - EVENT_DAYS * DAY_MS
    moment = read_time(str(value))
    if moment is None:
        raise InputError(f"since is not a date: {value}", code="input.bad-date", hint="Write it as 2026-11-20.")
    return moment
