"""Conversions as the sink of a flow: each row becomes an event in the outbox, and is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.base.errors import PenstockError, SettingsError, StoppedError
from penstock.base.types import Change, Finding, Outcome, Problem, Record
from penstock.deliveries import Deliveries
from penstock.events.entries import Receipt
from penstock.events.mapping import Mapping

_TAKEN = ("waiting", "blocked", "delivered", "validated", "duplicate", "opted out")
"""States that end a flow's duty: the event is on disk, and the outbox carries on with it."""


class EventSink:
    """Hands rows to the outbox; the same row again is the same event, which is sent once."""

    def __init__(self, deliveries: Deliveries, mapping: Mapping, name: str, flow: str) -> None:
        """Turn rows into events with `mapping`, which people know by `name`."""
        self._deliveries = deliveries
        self._mapping = mapping
        self._name = name
        self._source = f"flow {flow}"

    def describe(self) -> str:
        return f"conversions by {self._name}"

    def identity(self) -> str:
        return f"conversions#{self._name}"

    async def check(self, fields: dict[str, str]) -> list[Finding]:  # noqa: ARG002 - the mapping says what it reads
        try:
            self._deliveries.check_default(self._mapping)
        except SettingsError as error:
            return [Finding("conversions", "fail", error.message, error.hint)]
        return [Finding("conversions", "ok", f"rows become events by {self._name}")]

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        records = [Record(change.id, _row(change), f"{self._source} {change.id}") for change in changes]
        try:
            receipts = await self._deliveries.send_now(records, mapping=self._mapping, source=self._source)
        except StoppedError as error:  # the queue is full: the rows stay planned
            return [Outcome("later", Problem.from_error(error))] * len(changes)
        return [_outcome(receipt) for receipt in receipts]

    async def find(self, changes: Sequence[Change]) -> list[Outcome]:
        return [Outcome("later")] * len(changes)  # an event that is known already is never sent again

    async def close(self) -> None:
        await self._deliveries.outbox.mend()


def _row(change: Change) -> dict[str, Any]:
    return {**change.match, **change.fields}


def _outcome(receipt: Receipt) -> Outcome:
    if receipt.state in _TAKEN:
        return Outcome("confirmed", receipt=receipt.event_id)
    return Outcome("rejected", receipt.problem or Problem("events.refused", f"the event is {receipt.state}"))


def load_events_mapping(deliveries: Deliveries, name: str, where: str) -> Mapping:
    """Load the mapping that a flow names; raises the typed error of a wrong one, with the place in the flow."""
    try:
        return deliveries.load_mapping(name)
    except PenstockError as error:
        error.where = error.where or where
        raise
