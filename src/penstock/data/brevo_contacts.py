"""Brevo contacts as a source: a backfill in order of creation, then increments by time of modification.

Brevo has no cursor and sorts only by creation (API reference, 2026). So a backfill moves its
`createdSince` window along with what was read, and offsets stay small.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.base.redact import redact
from penstock.base.types import Page, Problem, Record, Reject
from penstock.data.brevo_targets import read_email
from penstock.runtime.brevo_calls import BrevoCaller

MOST_PER_PAGE = 1000
WINDOW_MARGIN_MS = 1_000
"""`createdSince` may exclude its own moment, so a window starts this much before the last contact read."""

MOST_OVERLAP_ROWS = 50

OVERLAP_MS = 10 * 60 * 1000
"""Increments start this much before the watermark: late commits and clocks that differ."""


class Account(msgspec.Struct, frozen=True):
    """The Brevo account behind a key; `id` names it in cursors and ledgers."""

    id: str
    name: str
    plan: str


async def read_account(caller: BrevoCaller) -> Account:
    """Ask Brevo whose key this is; raises `AccessError` when the key is refused."""
    content = (await caller.call("account.get", interactive=True)).content
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


class Place(msgspec.Struct):
    """Where a scan stands. Times are in milliseconds since 1970; it is what a cursor holds.

    `seen` are the ids that the next page may repeat. `started` is the server's time when the
    scan began and `newest` the latest modification read: the smaller is the next watermark.
    """

    created_since: int | None = None
    modified_since: int | None = None
    offset: int = 0
    seen: list[int] = []
    started: int = 0
    newest: int = 0
    watermark: int | None = None

    def is_fresh(self) -> bool:
        """Say whether the scan has not read anything yet."""
        return self.started == 0


class BrevoContacts:
    """The contacts of one account, all or those of some lists or of a segment."""

    def __init__(
        self, caller: BrevoCaller, account: Account, *, lists: Sequence[int] = (), segment: int | None = None
    ) -> None:
        if lists and segment is not None:
            raise InputError("choose lists or a segment, not both", code="brevo.lists-and-segment")
        self._caller = caller
        self._account = account
        self._filter: dict[str, Any] = {}
        if lists:
            self._filter = {"listIds": list(lists)}
        elif segment is not None:
            self._filter = {"segmentId": segment}

    def describe(self) -> str:
        return "Brevo contacts" + (f" of {self._account.name}" if self._account.name else "")

    def identity(self) -> str:
        chosen = "".join(f"/{name}={value}" for name, value in self._filter.items())
        return f"brevo:{self._account.id}/contacts{chosen}"

    async def count(self) -> int | None:
        reply = await self._caller.call("contacts.list", query={**self._filter, "limit": 1})
        total = reply.content.get("count")
        return total if isinstance(total, int) else None

    async def close(self) -> None:
        """Do nothing: the connection belongs to who opened it."""

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        """Yield all contacts, or with the cursor of a finished scan those modified since.

        The cursor of the last page starts the next increment; any other resumes inside the scan.
        """
        place = _read_cursor(cursor)
        async for contacts, after in scan(self._caller, place, min(size, MOST_PER_PAGE), self._filter):
            page = Page([], [], msgspec.to_builtins(after))
            for contact in contacts:
                row = to_record(contact)
                page.records.append(row) if isinstance(row, Record) else page.rejects.append(row)
            yield page


def _read_cursor(cursor: dict[str, Any] | None) -> Place:
    if cursor is None:
        return Place()
    try:
        return msgspec.convert(cursor, Place)
    except msgspec.ValidationError as error:
        raise InputError(
            f"the saved place in the Brevo contacts cannot be read: {error}",
            code="brevo.bad-cursor",
            hint="Start this source again from the beginning; unchanged contacts cost nothing.",
        ) from error


async def scan(
    caller: BrevoCaller, place: Place, size: int, filters: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[list[dict[str, Any]], Place]]:
    """Yield new contacts and the place after them, to the end of the scan.

    Ends on a short page, never on the stated count, which moves while the scan runs.
    """
    if place.is_fresh():
        since = None if place.watermark is None else place.watermark - OVERLAP_MS
        place = Place(modified_since=since, watermark=place.watermark, started=round(caller.clock.now() * 1000))
    while True:
        query: dict[str, Any] = {**(filters or {}), "limit": size, "offset": place.offset, "sort": "asc"}
        if place.created_since is not None:
            query["createdSince"] = format_time(place.created_since)
        if place.modified_since is not None:
            query["modifiedSince"] = format_time(place.modified_since)
        contacts = (await caller.call("contacts.list", query=query)).content["contacts"]
        is_last = len(contacts) < size
        seen = set(place.seen)
        fresh = [contact for contact in contacts if not isinstance(contact, dict) or contact.get("id") not in seen]
        place = _finish(place, contacts) if is_last else _advance(place, contacts)
        yield fresh, place
        if is_last:
            return


def _advance(place: Place, contacts: list[Any]) -> Place:
    """Return the place after a full page: a later window where that gains ground, else a larger offset."""
    newest = max([place.newest, *_times(contacts, "modifiedAt")])
    created = _times(contacts, "createdAt")
    # A contact deleted meanwhile moves the rest up, so the next page starts a little before the end of this one.
    overlap = min(MOST_OVERLAP_ROWS, len(contacts) // 10)
    ids = [contact["id"] for contact in contacts if isinstance(contact, dict) and "id" in contact]
    stay = msgspec.structs.replace(place, offset=place.offset + len(contacts) - overlap, newest=newest, seen=ids)
    if place.modified_since is not None or len(created) < len(contacts):
        return stay
    start = created[-1] - WINDOW_MARGIN_MS
    repeated = [number for number, moment in zip(ids, created, strict=False) if moment >= start]
    if len(ids) < len(contacts) or len(repeated) > len(contacts) // 2 or start <= (place.created_since or 0):
        return stay
    return msgspec.structs.replace(stay, created_since=start, offset=0, seen=repeated)


def _finish(place: Place, contacts: list[Any]) -> Place:
    """Return where the next increment starts: nothing modified while the scan ran may be missed."""
    newest = max([place.newest, *_times(contacts, "modifiedAt")])
    reached = min(newest, place.started)
    return Place(watermark=max(reached, place.watermark or 0) or None)


def _times(contacts: list[Any], name: str) -> list[int]:
    times = (read_time(contact.get(name)) for contact in contacts if isinstance(contact, dict))
    return [moment for moment in times if moment is not None]


def to_record(contact: Any) -> Record | Reject:
    """Turn Brevo's contact into a record: stated fields only, and no address that is not a person's."""
    number = contact.get("id") if isinstance(contact, dict) else None
    if not isinstance(number, int):
        problem = Problem(
            "brevo.bad-contact", "Brevo returned a contact without an id", "Nothing to do; it is skipped."
        )
        return Reject("Brevo contacts", redact(str(contact))[:500], problem)
    attributes = contact.get("attributes")
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    email = read_email(contact.get("email"))
    if email is None and read_email(attributes.get("EMAIL")) is None:
        attributes.pop("EMAIL", None)
    ext_id = contact.get("ext_id") or attributes.get("EXT_ID")
    data: dict[str, Any] = {
        "id": number,
        "email": email,
        "ext_id": str(ext_id) if ext_id else None,
        "emailBlacklisted": bool(contact.get("emailBlacklisted")),
        "smsBlacklisted": bool(contact.get("smsBlacklisted")),
        "whatsappBlacklisted": bool(contact.get("whatsappBlacklisted")),
        "listIds": contact.get("listIds") or [],
        "createdAt": contact.get("createdAt"),
        "modifiedAt": contact.get("modifiedAt"),
        "attributes": attributes,
    }
    for name in ("listUnsubscribed", "consentGroups"):
        if contact.get(name) is not None:
            data[name] = contact[name]
    key = email or (f"ext_id:{ext_id}" if ext_id else f"id:{number}")
    return Record(key, data, f"Brevo contact {number}")


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
