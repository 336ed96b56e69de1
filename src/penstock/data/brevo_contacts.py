"""Brevo contacts and the members of lists as sources.

Brevo has no cursor and sorts only by creation (API reference, 2026). So a backfill moves its
`createdSince` window along with what was read, and increments ask for `modifiedSince`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from penstock.base.errors import InputError
from penstock.base.redact import redact
from penstock.base.types import Problem, Record, Reject
from penstock.data.brevo_scan import OVERLAP_MS, Place, Walk, begin, end, format_time, read_time, walk_through
from penstock.data.brevo_source import Account, BrevoSource, read_account
from penstock.data.brevo_targets import read_email
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.vendor.brevo import QueryValue

__all__ = ["OVERLAP_MS", "Account", "Place", "format_time", "read_account", "read_time"]

MOST_PER_PAGE = 1000
MOST_MEMBERS_PER_PAGE = 500


class BrevoContacts(BrevoSource):
    """The contacts of one account, all or those of some lists or of a segment.

    Who joins or leaves a list or segment need not change for that, so of a choice everything is read each time.
    """

    def __init__(
        self,
        caller: BrevoCaller,
        account: Account,
        *,
        lists: Sequence[int] = (),
        segment: int | None = None,
        per_call: int = MOST_PER_PAGE,
    ) -> None:
        """Read contacts; `per_call` is how many one call asks for."""
        if lists and segment is not None:
            raise InputError("choose lists or a segment, not both", code="brevo.lists-and-segment")
        chosen: dict[str, QueryValue] = {}
        if lists:
            chosen = {"listIds": list(lists)}
        elif segment is not None:
            chosen = {"segmentId": segment}
        super().__init__(caller, account, "contacts", [_walk(per_call, chosen)], to_record)


class BrevoMembers(BrevoSource):
    """Who is on which of some lists: one record for each list and contact."""

    def __init__(
        self, caller: BrevoCaller, account: Account, *, lists: Sequence[int], per_call: int = MOST_MEMBERS_PER_PAGE
    ) -> None:
        """Read members; `per_call` is how many one call asks for."""
        walks = [
            Walk(
                "lists.contacts",
                "contacts",
                per_call,
                path={"id": number},
                query={"sort": "asc"},
                adds={"listId": number},
            )
            for number in dict.fromkeys(lists)
        ]
        super().__init__(caller, account, "list-members", walks, to_member)


def _walk(per_call: int, chosen: Mapping[str, Any]) -> Walk:
    return Walk(
        "contacts.list",
        "contacts",
        per_call,
        query={**chosen, "sort": "asc"},
        windows=True,
        changes=not chosen,
        modified="modifiedAt",
    )


async def scan(
    caller: BrevoCaller, place: Place, size: int, filters: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[list[dict[str, Any]], Place]]:
    """Yield contacts and the place after them, to the end of the scan; a watermark in `place` reads what changed."""
    walk = Walk(
        "contacts.list",
        "contacts",
        size,
        query={**(filters or {}), "sort": "asc"},
        windows=True,
        changes=True,
        modified="modifiedAt",
    )
    async for rows, after in walk_through(caller, walk, begin(walk, place, caller.clock.now()), size):
        yield rows, end(after) if after.part else after


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


def to_member(contact: Any) -> Record | Reject:
    """Turn a contact of a list into the record of its membership."""
    record = to_record(contact)
    if isinstance(record, Reject):
        return record
    number = contact["listId"]
    data = {"listId": number, **record.data}
    return Record(f"{number}/{data['id']}", data, f"Brevo list {number}, contact {data['id']}")
