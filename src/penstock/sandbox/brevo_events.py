"""The custom event endpoints of the Brevo emulator; sending one event twice makes two."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from penstock.sandbox.brevo_contacts import IDENTIFIER_KINDS
from penstock.sandbox.brevo_records import Contact, Fields
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import (
    Answer,
    RefusedError,
    Request,
    decode,
    format_time,
    invalid,
    read_number,
    read_numbers,
    to_milliseconds,
)

MAX_PROPERTIES_BYTES = 50 * 1024
DEFAULT_WINDOW = timedelta(days=183)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Event(msgspec.Struct, frozen=True):
    """One event; `date` is when it happened, `visible` from when it can be read (milliseconds)."""

    name: str
    date: int
    visible: int
    contact: int | None
    properties: dict[str, Any]
    contact_properties: dict[str, Any]
    object_type: str
    number: int

    def show(self) -> dict[str, Any]:
        """Return the event as `GET /events` shows it."""
        shown: dict[str, Any] = {
            "event_name": self.name,
            "event_date": format_time(self.date),
            "event_filter_id": f"{self.number:012x}",
            "event_properties": self.properties,
            "contact_properties": self.contact_properties,
        }
        if self.contact is not None:
            shown["contact_id"] = self.contact
        if self.object_type:
            shown["object_type"] = self.object_type
        return shown


class _Body(msgspec.Struct):
    event_name: str
    identifiers: dict[str, str | int]
    event_date: str | None = None
    event_properties: dict[str, Any] = {}
    contact_properties: dict[str, Any] = {}
    object: dict[str, Any] = {}


class _Batch(msgspec.Struct):
    events: list[dict[str, Any]]


def create_event(state: BrevoState, request: Request) -> Answer:
    """POST /events: 204, without any check for a repetition."""
    _track(state, decode(request.body, _Body), "events.create", state.now())
    return Answer(204)


def create_batch(state: BrevoState, request: Request) -> Answer:
    """POST /events/batch: 202 when all fit, 207 when some do, 400 when none does."""
    batch = decode(request.body, _Batch).events
    if not batch:
        raise RefusedError(400, "missing_parameter", "events is missing")
    visible = state.now() + round(state.behaviour.event_delay * 1000)
    errors: dict[str, list[int]] = {}
    for index, raw in enumerate(batch):
        try:
            _track(state, msgspec.convert(raw, _Body), "events.batch", visible)
        except msgspec.ValidationError as error:
            errors.setdefault(str(error), []).append(index)
        except RefusedError as error:
            errors.setdefault(error.message, []).append(index)
    failed = sum(len(indexes) for indexes in errors.values())
    if not failed:
        return Answer(202, {"message": "Batch accepted", "count": len(batch)})
    report = {
        "status": "failed" if failed == len(batch) else "partial_success",
        "total_events": len(batch),
        "successful_events": len(batch) - failed,
        "failed_events": failed,
        "errors": [{"eventIndex": indexes, "message": message} for message, indexes in errors.items()],
    }
    if failed == len(batch):
        return Answer(400, {"code": "invalid_parameter", "message": "all events failed", **report})
    return Answer(207, report)


def keep_half(request: Request) -> Request:
    """Spoil the later half of a batch, so that only a part of it succeeds."""
    batch = decode(request.body, _Batch).events
    for event in batch[(len(batch) + 1) // 2 :]:
        event["event_name"] = ""
    return msgspec.structs.replace(request, body=msgspec.json.encode({"events": batch}))


def _track(state: BrevoState, body: _Body, operation: str, visible: int) -> None:
    if not _NAME.fullmatch(body.event_name):
        raise invalid(f"event_name is not valid: {body.event_name}")
    if len(msgspec.json.encode(body.event_properties)) > MAX_PROPERTIES_BYTES:
        raise RefusedError(400, "out_of_range", "event_properties is larger than 50 KB")
    now = state.now()
    date = now if body.event_date is None else to_milliseconds(body.event_date, "event_date")
    contact = _find(state, body.identifiers)
    if (
        contact is None
        and body.contact_properties
        and state.behaviour.event_contacts
        and "email_id" in body.identifiers
    ):
        contact = state.write(None, Fields(claims={"email": str(body.identifiers["email_id"])}), operation + ".contact")
    event = Event(
        body.event_name,
        date,
        visible,
        None if contact is None else contact.id,
        body.event_properties,
        body.contact_properties,
        str(body.object.get("type", "")),
        state.next_id("event"),
    )
    state.keep_event(event)
    if contact is not None and body.contact_properties:
        state.write(contact, Fields(body.contact_properties), operation + ".contact")
    state.world.wrote("brevo", operation, "" if contact is None else str(contact.id), (body.event_name,))


def _find(state: BrevoState, identifiers: dict[str, str | int]) -> Contact | None:
    """Return the contact meant, if there is one; `contact_id` wins over the rest."""
    known = [name for name in identifiers if name in IDENTIFIER_KINDS]
    if not known:
        raise RefusedError(400, "missing_parameter", "at least one identifier is needed")
    for name in sorted(known, key=lambda one: one != "contact_id"):
        if contact := state.find(IDENTIFIER_KINDS[name], str(identifiers[name])):
            return contact
    return None


def list_events(state: BrevoState, request: Request) -> Answer:
    """GET /events: newest first, of the last six months unless a window is given."""
    start, end = _read_window(state, request)
    contacts = read_numbers(request, "contact_id")
    names, types = set(request.query.get("event_name", ())), set(request.query.get("object_type", ()))
    limit = read_number(request, "limit", 100, 10_000)
    if limit < 1:
        raise RefusedError(400, "out_of_range", "limit must be at least 1")
    offset = read_number(request, "offset", 0)
    pool = [event for one in dict.fromkeys(contacts) for event in state.events_of.get(one, ())]
    now = state.now()
    found = [
        event
        for event in (pool if contacts else state.events)
        if start <= event.date <= end
        and event.visible <= now
        and (not names or event.name in names)
        and (not types or event.object_type in types)
    ]
    found.sort(key=lambda event: (event.date, event.number), reverse=True)
    return Answer(200, {"events": [event.show() for event in found[offset : offset + limit]], "count": len(found)})


def _read_window(state: BrevoState, request: Request) -> tuple[int, int]:
    start, end = request.text("startDate"), request.text("endDate")
    if (start is None) != (end is None):
        raise RefusedError(400, "missing_parameter", "startDate and endDate come together")
    if start is None or end is None:
        begin = datetime.fromtimestamp(state.now() / 1000, UTC) - DEFAULT_WINDOW
        return round(begin.timestamp() * 1000), 2**62
    whole_day = 86_399_999 if len(end) == 10 else 0
    window = to_milliseconds(start, "startDate"), to_milliseconds(end, "endDate") + whole_day
    if window[0] > window[1]:
        raise invalid("startDate must not be later than endDate")
    return window
