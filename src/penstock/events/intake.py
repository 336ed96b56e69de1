"""From a record to an entry of the outbox: mapped, its destination found, its traces and marks noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from penstock.base.errors import SettingsError
from penstock.base.types import Problem, Record
from penstock.events.entries import Entry, State
from penstock.events.event import Event, encode_event
from penstock.events.mapped import Mapped
from penstock.events.mapping import Mapping as EventMapping
from penstock.events.marks import mark_record
from penstock.events.outbox import Outbox
from penstock.events.traits import likeness_of, read_traits

CONNECTION = "conversions"
"""The connection whose key is used where neither mapping nor record names one."""

Source = Record | Mapping[str, Any] | Event
"""What is handed in: a record of a source, its bare fields, or an event."""

_encode = msgspec.json.encode


class Intake:
    """Makes entries; `find_pixel` gives the Pixel ID of a connection, or checks the one that a record asks for."""

    def __init__(self, outbox: Outbox, find_pixel: Callable[[str, str], str]) -> None:
        self._outbox = outbox
        self._find_pixel = find_pixel
        self._numbers: dict[tuple[str, str, bool], int] = {}

    async def make(self, record: Source, mapping: EventMapping | None, source: str, is_trial: bool) -> Entry:
        """Return the entry of a record; bad data gives one that is refused.

        Raises `SettingsError` for a missing mapping, key or Pixel ID.
        """
        place, data = (record.where, record.data) if isinstance(record, Record) else ("", record)
        mapped = self._map(data, mapping)
        is_trial = is_trial or mapped.validate_only
        problem = _refusal(mapped, place)
        connection, pixel = CONNECTION, ""
        if mapped.connection or mapped.pixel_id:
            try:
                pixel = self._find_pixel(mapped.connection or CONNECTION, mapped.pixel_id or "")
                connection = mapped.connection or CONNECTION
            except SettingsError as error:  # what the record names does not exist: it alone is refused
                problem = Problem.from_error(error, place)
        pixel = pixel or self._find_pixel(CONNECTION, "")
        key = (connection, pixel, is_trial)
        if key not in self._numbers:
            self._numbers[key] = await self._outbox.find_destination(*key)
        fields = data if isinstance(data, Mapping) else {}
        return self._entry(mapped, problem, self._numbers[key], pixel, is_trial, fields, source, place)

    def _map(self, data: Any, mapping: EventMapping | None) -> Mapped:
        if isinstance(data, Event):
            return Mapped(event=data, warnings=data.warnings)
        if mapping is None:
            raise SettingsError(
                "records need a mapping to become events",
                code="events.no-mapping",
                hint="Name a mapping file or a preset: --mapping shop.yaml.",
            )
        return mapping.apply(data, now=self._outbox.clock.now())

    def _entry(
        self,
        mapped: Mapped,
        problem: Problem | None,
        destination: int,
        pixel: str,
        is_trial: bool,
        fields: Mapping[str, Any],
        source: str,
        place: str,
    ) -> Entry:
        event = mapped.event
        body = encode_event(event) if event is not None and problem is None else b""
        notes: dict[str, Any] = {"source": mark_record(fields, body)} if fields else {}
        if event is not None and event.traces:
            notes["traces"] = event.traces
        if mapped.warnings:
            notes["warnings"] = mapped.warnings
        state: State = "waiting" if problem is None else "opted out" if mapped.is_opted_out else "refused"
        now_ms = int(self._outbox.clock.now() * 1000)
        return Entry(
            number=self._outbox.store.next_number(),
            destination=destination,
            pixel=pixel,
            is_trial=is_trial,
            event_id=event.id if event is not None else "",
            name=event.name if event is not None else "",
            happened_ms=event.timestamp_ms if event is not None else now_ms,
            body=body,
            notes=_encode(notes),
            source=source,
            place=place,
            traits=read_traits(event) if event is not None else 0,
            likeness=likeness_of(body, event.id) if event is not None else 0,
            state=state,
            problem=problem,
            warnings=mapped.warnings,
        )


def _refusal(mapped: Mapped, place: str) -> Problem | None:
    """Return why a record gives no event, all its reasons in one."""
    if mapped.event is not None or not mapped.refusals:
        return None
    first = mapped.refusals[0]
    text = "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in mapped.refusals)
    return Problem(first.code, text, first.hint, place)
