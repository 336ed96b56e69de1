"""Custom events of contacts: sent once, and looked up before they are ever sent again.

Brevo has no idempotency key for events and does not drop repetitions (API reference, 2026), so
each event carries the id of its effect as a property, by which it is found after a crash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from penstock.base.errors import RejectedError, ThrottledError, UnavailableError
from penstock.base.types import Change, Outcome, Problem
from penstock.data.brevo_known import ContactBook, People
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Target, find_target, spread, width_for
from penstock.runtime.brevo_calls import BrevoCaller

MARK = "penstock_id"
MOST_PROPERTIES_BYTES = 50_000
CONTACTS_PER_LOOK = 50
EVENTS_PER_LOOK = 1000
SECOND_LOOK_SECONDS = 30.0
"""Events of a batch are queued at Brevo and show up when their turn comes."""
DOWN_AFTER = 3
PATIENCE_SECONDS = 60.0
MOST_PER_BATCH, MOST_BATCH_BYTES = 1_000, 4_000_000
"""The vendor states no limit of a batch; one that it refuses is sent event by event."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LATER = Problem("brevo.unavailable", "Brevo takes no events at the moment", "Run the same command again later.")
_UNKNOWN = Problem(
    "brevo.unknown-outcome",
    "the event was sent, but no answer came; it is looked up before it is sent again",
    "Run the same command again: it looks the event up first.",
)

Item = tuple[int, Change]
Ready = tuple[int, dict[str, Any]]


class EventWriter:
    """Sends events, each at most once per call: one by one up to a minute's worth, else in batches."""

    def __init__(self, caller: BrevoCaller, people: People, *, create_contacts: bool) -> None:
        self._caller = caller
        self._people = people
        self._create = create_contacts
        self._is_batch_down = False
        self._book = ContactBook(caller, people, create_contacts=create_contacts)

    async def write(self, items: Sequence[Item], done: dict[int, Outcome]) -> None:
        """Send the events and note in `done` what became of each, also when an error stops the rest."""
        ready = await self._prepare(items, done)
        if not self._is_batch_down and len(ready) > self._caller.rate_of("events.create") * PATIENCE_SECONDS:
            for batch in _cut(ready):
                done.update(await self._send_batch(batch))
            ready = [item for item in ready if item[0] not in done]
        failures_in_a_row = 0

        async def send(item: Ready) -> None:
            nonlocal failures_in_a_row
            index, body = item
            if failures_in_a_row >= DOWN_AFTER:
                done[index] = Outcome("later", _LATER)
                return
            done[index] = await self._send_one(body)
            failures_in_a_row = failures_in_a_row + 1 if done[index].state in ("later", "unknown") else 0

        await spread(ready, send, width_for(self._caller, "events.create"))

    async def _prepare(self, items: Sequence[Item], done: dict[int, Outcome]) -> list[Ready]:
        parsed = _parse(items, done)
        ready: list[Ready] = []
        try:
            numbers, refused = await self._book.number([target for target, _ in parsed.values()])
        except (UnavailableError, ThrottledError):
            done.update(dict.fromkeys(parsed, Outcome("later", _LATER)))
            return []
        for index, (target, body) in parsed.items():
            if target in numbers:
                ready.append((index, {**body, "identifiers": {"contact_id": numbers[target]}}))
            else:
                done[index] = Outcome("rejected", refused[target])
        return ready

    async def _send_batch(self, batch: Sequence[Ready]) -> dict[int, Outcome]:
        """Send a batch and tell what became of each event; one without an outcome is to be sent by itself."""
        try:
            reply = await self._caller.call("events.batch", body={"events": [body for _, body in batch]})
        except (RejectedError, ThrottledError):
            return {}  # nothing of it was taken
        except UnavailableError as error:
            self._is_batch_down = True
            return {index: Outcome("unknown", _UNKNOWN) for index, _ in batch} if error.sent else {}
        failed = _read_failed(reply.content, len(batch)) if reply.status == 207 else set()
        if failed is None:
            return {index: Outcome("unknown", _UNKNOWN) for index, _ in batch}
        return {
            index: Outcome("confirmed", None, f"event {body['event_properties'][MARK]}")
            for place, (index, body) in enumerate(batch)
            if place not in failed
        }

    async def _send_one(self, body: dict[str, Any]) -> Outcome:
        try:
            await self._caller.call("events.create", body=body)
        except RejectedError as error:
            return Outcome("rejected", Problem.from_error(error))
        except ThrottledError as error:
            return Outcome("later", Problem.from_error(error))
        except UnavailableError as error:
            is_refused = not error.sent or error.code == "brevo.in-process"
            return Outcome("later", Problem.from_error(error)) if is_refused else Outcome("unknown", _UNKNOWN)
        return Outcome("confirmed", None, f"event {body['event_properties'][MARK]}")

    async def find(self, items: Sequence[Item]) -> dict[int, Outcome]:
        """Look events up by the mark that they carry: confirmed, or later when certainly not there."""
        done: dict[int, Outcome] = {}
        waiting = _parse(items, done)
        contacts: dict[Target, int] | None = None
        try:
            contacts = await self._find_numbers([target for target, _ in waiting.values()])
            marks = await self._read_marks(waiting, contacts)
        except (UnavailableError, ThrottledError, RejectedError):
            contacts, marks = None, set()
        for index, (target, body) in waiting.items():
            if contacts is None:
                done[index] = Outcome("unknown", _UNKNOWN)
            elif body["event_properties"][MARK] in marks:
                done[index] = Outcome("confirmed")
            elif target in contacts or self._create:
                done[index] = Outcome("later")
            else:
                done[index] = Outcome("rejected", NO_SUCH_CONTACT)
        return done

    async def _find_numbers(self, targets: Sequence[Target]) -> dict[Target, int]:
        return {target: person.id for target, person in (await self._people.find(targets)).items()}

    async def _read_marks(
        self, waiting: dict[int, tuple[Target, dict[str, Any]]], contacts: dict[Target, int]
    ) -> set[str]:
        """Read which of the wanted marks are there; looks twice, for events may show up late."""
        groups: dict[tuple[str, bool], list[tuple[int, dict[str, Any]]]] = {}
        for target, body in waiting.values():
            if target in contacts:
                key = (body["event_name"], "event_date" in body)
                groups.setdefault(key, []).append((contacts[target], body))
        marks: set[str] = set()
        for members in groups.values():
            for start in range(0, len(members), CONTACTS_PER_LOOK):
                part = members[start : start + CONTACTS_PER_LOOK]
                wanted = {body["event_properties"][MARK] for _, body in part}
                found = await self._look(part)
                if not wanted <= found:
                    await self._caller.clock.sleep(SECOND_LOOK_SECONDS)
                    found |= await self._look(part)
                marks |= wanted & found
        return marks

    async def _look(self, part: Sequence[tuple[int, dict[str, Any]]]) -> set[str]:
        name = part[0][1]["event_name"]
        ids = sorted({contact for contact, _ in part})
        query: dict[str, Any] = {"contact_id": ids, "event_name": name, "limit": EVENTS_PER_LOOK}
        dates = sorted(datetime.fromisoformat(body["event_date"]) for _, body in part if "event_date" in body)
        if dates:
            query["startDate"] = (dates[0] - timedelta(days=1)).date().isoformat()
            query["endDate"] = (dates[-1] + timedelta(days=1)).date().isoformat()
        marks: set[str] = set()
        offset = 0
        while True:
            events = (await self._caller.call("events.list", query={**query, "offset": offset})).content["events"]
            marks.update(str((event.get("event_properties") or {}).get(MARK)) for event in events)
            if len(events) < EVENTS_PER_LOOK:
                return marks
            offset += len(events)


def _cut(ready: Sequence[Ready]) -> Iterator[list[Ready]]:
    batch: list[Ready] = []
    size = 0
    for item in ready:
        length = len(msgspec.json.encode(item[1]))
        if batch and (len(batch) >= MOST_PER_BATCH or size + length > MOST_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _read_failed(content: Any, sent: int) -> set[int] | None:
    """Return the places in a batch that a partial success (status 207) names as failed; None when it cannot be told.

    The answer is `failed_events` and `errors[{eventIndex[], message}]` (changelog 2026-03-03).
    """
    errors = content.get("errors") if isinstance(content, dict) else None
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        return None
    failed = {place for error in errors for place in error.get("eventIndex") or ()}
    is_whole = len(failed) == content.get("failed_events") and failed <= set(range(sent))
    return failed if is_whole else None


def _parse(items: Sequence[Item], done: dict[int, Outcome]) -> dict[int, tuple[Target, dict[str, Any]]]:
    """Return who and what of each event; those that can never be sent are done, as rejected."""
    parsed: dict[int, tuple[Target, dict[str, Any]]] = {}
    for index, change in items:
        target, body = find_target(change.match), build_event(change)
        if isinstance(target, Problem):
            done[index] = Outcome("rejected", target)
        elif isinstance(body, Problem):
            done[index] = Outcome("rejected", body)
        else:
            parsed[index] = (target, body)
    return parsed


def build_event(change: Change) -> dict[str, Any] | Problem:
    """Build the body of an event from the fields `name`, `date` and `properties`, or say what is wrong.

    Limits: name up to 255 letters, digits, `-`, `_`; properties up to 50 KB (event reference, 2026).
    """
    name = change.fields.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return _bad("name", "the name of an event is up to 255 letters, digits, - and _")
    properties = change.fields.get("properties") or {}
    if not isinstance(properties, dict) or not all(_NAME.fullmatch(str(key)) for key in properties):
        return _bad("properties", "the properties of an event are named with letters, digits, - and _")
    body: dict[str, Any] = {"event_name": name, "event_properties": {**properties, MARK: change.id}}
    if len(msgspec.json.encode(body["event_properties"])) > MOST_PROPERTIES_BYTES:
        return _bad("properties", "the properties of an event are larger than 50 KB")
    moment = change.fields.get("date")
    if moment in (None, ""):
        return body
    try:
        moment = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    except ValueError:
        return _bad("date", "the date of an event is written as 2026-11-20T14:30:00Z")
    body["event_date"] = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    return body


def _bad(field: str, message: str) -> Problem:
    return Problem("brevo.bad-event", message, "Correct the event in the flow's sink.", field)
