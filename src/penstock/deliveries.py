"""Conversion events of one workspace: from a record to a receipt on disk, then to OpenAI, now or in batches.

async with workspace.deliveries() as deliveries:
    receipts = await deliveries.accept(records, mapping=load_mapping("shop.yaml"), source="shop")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from penstock.base.clock import Clock
from penstock.base.settings import Settings
from penstock.base.types import Finding
from penstock.events import inspect, replay
from penstock.events.batching import Thresholds
from penstock.events.contract import find_contract
from penstock.events.delivery import Delivery
from penstock.events.destinations import Destination, Destinations
from penstock.events.entries import Batch, Entry, Item, Receipt, State
from penstock.events.intake import Intake, Source
from penstock.events.loop import Loop
from penstock.events.mapping import Mapping, load_mapping
from penstock.events.outbox import Outbox
from penstock.events.quality import Quality, read_quality
from penstock.runtime.store import Store
from penstock.vendor.conversions import Conversions
from penstock.vendors import Vendors

DAY_SECONDS = 86_400.0


class Deliveries:
    """Accepts, sends and inspects conversion events; several processes may do so on one store."""

    def __init__(self, store: Store, clock: Clock, settings: Settings, vendors: Vendors) -> None:
        """Take what a workspace has open; `open_deliveries` also lets go of batches at the end."""
        get = settings.get
        self.clock = clock
        self.outbox = Outbox(
            store,
            clock,
            memory_seconds=float(get("events.memory-days")) * DAY_SECONDS,
            queue_limit=int(get("events.queue-limit")),
        )
        self.destinations = Destinations(store, clock)
        thresholds = Thresholds(
            max(1, min(int(get("events.batch-size")), 1_000)),
            float(get("events.batch-seconds")),
            max(1, int(get("events.batch-bytes"))),
        )
        integration = str(get("conversions.integration-source"))
        self.delivery = Delivery(self.outbox, self.destinations, self._open, clock, integration)
        self.loop = Loop(
            self.outbox,
            self.delivery,
            clock,
            thresholds,
            in_flight=max(1, int(get("events.in-flight"))),
            keep_seconds=float(get("events.keep-days")) * DAY_SECONDS,
        )
        self._settings = settings
        self._vendors = vendors
        self._senders: dict[tuple[str, str], Conversions] = {}
        self._intake = Intake(self.outbox, lambda name, pixel: self._sender(name, pixel).pixel_id)

    def load_mapping(self, source: Path | str) -> Mapping:
        """Load a mapping file or a preset with the contract and the action source of this workspace."""
        return load_mapping(
            source,
            contract=find_contract(self._settings.folder),
            action_source=str(self._settings.get("conversions.action-source")),
        )

    def check_default(self, mapping: Mapping) -> None:
        """Raise `SettingsError` where events would go to the default connection, and its key or Pixel ID is missing."""
        if mapping.plan.connection is None:
            self._sender("conversions", "from the mapping" if mapping.plan.pixel is not None else "")

    # in

    async def accept(
        self,
        records: Sequence[Source],
        *,
        mapping: Mapping | None = None,
        source: str,
        real_time: bool = False,
        validate_only: bool = False,
    ) -> list[Receipt]:
        """Turn records into events and write them; returns one receipt per record, in order, when they are on disk.

        Records that are events already need no mapping. With `real_time` new events are sent before it
        returns. Raises `SettingsError` for a missing key or Pixel ID, `StoppedError` `events.queue-full`
        and the errors of the store; nothing of `records` may be taken for accepted then.
        """
        entries = [await self._intake.make(record, mapping, source, validate_only) for record in records]
        if real_time:
            return await self._accept_and_send(entries)
        receipts = await self.outbox.accept(entries) if entries else []
        self.loop.note(len(entries), sum(len(entry.body) for entry in entries))
        return [await self._with_blocks(receipt, entry) for receipt, entry in zip(receipts, entries, strict=True)]

    async def send_now(
        self,
        records: Sequence[Source],
        *,
        mapping: Mapping | None = None,
        source: str,
        validate_only: bool = False,
    ) -> list[Receipt]:
        """Accept records and send their events at once; the receipts say what OpenAI answered.

        An event that could not be sent, or whose answer says nothing sure, stays `waiting` (or `blocked`)
        with the problem, and the delivery loop takes it over with the same id.
        """
        return await self.accept(records, mapping=mapping, source=source, real_time=True, validate_only=validate_only)

    async def _accept_and_send(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Claim the entries of each destination in the transaction that writes them, then send them."""
        places: dict[int, list[int]] = {}
        for place, entry in enumerate(entries):
            places.setdefault(entry.destination, []).append(place)
        await self.destinations.refresh()
        receipts: list[Receipt | None] = [None] * len(entries)
        most = self.loop.thresholds.events
        parts = [
            (number, found[start : start + most])
            for number, found in places.items()
            for start in range(0, len(found), most)
        ]

        async def one(number: int, part: list[int]) -> None:
            made = await self._send_part(number, [entries[place] for place in part])
            for place, receipt in zip(part, made, strict=True):
                receipts[place] = receipt

        await asyncio.gather(*(one(number, part) for number, part in parts))
        return [receipt for receipt in receipts if receipt is not None]

    async def _send_part(self, number: int, entries: Sequence[Entry]) -> list[Receipt]:
        destination = await self.destinations.get(number)
        if destination.is_paused or destination.wait_seconds(self.clock.now()):
            receipts = await self.outbox.accept(entries)
            return [await self._with_blocks(one, entry) for one, entry in zip(receipts, entries, strict=True)]
        batch = self.outbox.store.next_number()
        numbers = [entry.number for entry in entries if entry.state == "waiting"]
        try:
            receipts = await self.outbox.accept(entries, batch=batch)
        except asyncio.CancelledError:  # it may be written all the same
            self.outbox.strand(batch, numbers)
            raise
        fresh = {one.number for one in receipts if one.state == "waiting"}
        items = [Item(entry.number, entry.body) for entry in entries if entry.number in fresh]
        if items:
            await self.delivery.send(Batch(batch, number, items))
        return [await self._outcome(one, entry) for one, entry in zip(receipts, entries, strict=True)]

    async def _outcome(self, receipt: Receipt, entry: Entry) -> Receipt:
        if receipt.state != "waiting":
            return receipt
        rows = await self.outbox.store.read("event_outcome", number=entry.number)
        state: State = rows[0][0]
        if state == "waiting":
            return await self._with_blocks(receipt, entry)
        return msgspec.structs.replace(receipt, state=state, problem=inspect.decode_problem(rows[0][1]))

    async def _with_blocks(self, receipt: Receipt, entry: Entry) -> Receipt:
        """Say on a waiting event's receipt what holds its destination up."""
        if receipt.state != "waiting":
            return receipt
        destination = await self.destinations.get(entry.destination)
        state: State = "blocked" if destination.is_paused else "waiting"
        return msgspec.structs.replace(receipt, state=state, problem=destination.problem)

    # connections

    def _sender(self, connection: str, pixel: str) -> Conversions:
        key = (connection, pixel)
        if key not in self._senders:
            self._senders[key] = self._vendors.open_conversions(name=connection, pixel_id=pixel or None)
        return self._senders[key]

    def _open(self, destination: Destination) -> Conversions:
        return self._sender(destination.connection, destination.pixel)

    # out

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set: at 1,000 events, 1 MB or 5 minutes since the oldest (settings); then drain."""
        await self.loop.run(stop)

    async def flush(self, *, is_patient: bool = False) -> dict[str, int]:
        """Send everything that may be sent; returns the counts by state. `is_patient` waits for repetitions too."""
        await self.loop.flush(is_patient=is_patient)
        return await self.counts()

    async def resume(self, pixel: str = "") -> list[Destination]:
        """Open paused destinations again, with the keys that are set now; `pixel` chooses one."""
        self._senders.clear()
        return await self.destinations.resume(pixel)

    async def check(self) -> list[Finding]:
        """Say which destinations are paused or fail, why, and what waits for them; changes nothing."""
        await self.destinations.refresh()
        return [
            Finding(
                f"Events to {one.pixel}",
                "fail" if one.is_paused else "warn",
                f"{'paused' if one.is_paused else 'failing'}: {one.problem.message}",
                f"{one.problem.hint} Then: penstock events resume".strip(),
            )
            for one in self.destinations
            if one.problem is not None
        ]

    async def replay(self, choice: replay.Choice) -> replay.Replayed:
        """Let events that ended wait again, with the same ids."""
        return await replay.replay(self.outbox, choice)

    # what happened

    async def find(self, event_id: str) -> list[inspect.History]:
        """Return the histories of the events with an id, newest first; several names or pixels may share it."""
        return await inspect.find(self.outbox.store, event_id)

    async def tail(self, choice: inspect.Choice) -> list[inspect.Row]:
        """Return the newest events that fit, oldest of them first."""
        return await inspect.tail(self.outbox.store, choice)

    async def counts(self) -> dict[str, int]:
        """Return how many events are in each state."""
        return await inspect.count_states(self.outbox.store)

    async def quality(self, since: float = 0.0) -> Quality:
        """Say how good the events are that were accepted since then, and what to mend first."""
        await self.destinations.refresh()
        return await read_quality(self.outbox.store, since, [one for one in self.destinations if one.is_paused])

    async def counts_by_day(self, since: float = 0.0) -> list[inspect.DayCount]:
        """Return how many events of each day, Pixel ID and name ended how; `since` is in Unix seconds."""
        return await inspect.count_days(self.outbox.store, since)


@asynccontextmanager
async def open_deliveries(
    store: Store, clock: Clock, settings: Settings, vendors: Vendors
) -> AsyncIterator[Deliveries]:
    """Open the deliveries of a workspace; nothing that was interrupted stays claimed when it is closed."""
    deliveries = Deliveries(store, clock, settings, vendors)
    try:
        yield deliveries
    finally:
        await deliveries.outbox.mend()
