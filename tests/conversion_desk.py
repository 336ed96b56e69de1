"""The delivery of conversion events at hand for tests: an outbox before the emulated Conversions API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from outboxes import Desk, open_desk
from penstock.events.batching import Thresholds
from penstock.events.delivery import Delivery
from penstock.events.destinations import Destination, Destinations
from penstock.events.loop import Loop
from penstock.sandbox.conversions import build_conversions_app
from penstock.sandbox.world import Fault, World
from penstock.vendor.conversions import Conversions
from penstock.vendor.http import Http

HOST = "conversions.sandbox"


class Office:
    """A desk with a loop that delivers to an emulator on the same clock."""

    def __init__(self, desk: Desk, thresholds: Thresholds, in_flight: int) -> None:
        self.desk = desk
        self.world = World(desk.clock)
        self.app = build_conversions_app(self.world)
        self.http = Http(apps={HOST: self.app})
        self.key = "sk-conversions"
        self.destinations = Destinations(desk.store, desk.clock)
        self.delivery = Delivery(desk.outbox, self.destinations, self.open_sender, desk.clock, "penstock")
        self.loop = Loop(desk.outbox, self.delivery, desk.clock, thresholds, in_flight=in_flight)

    def open_sender(self, destination: Destination) -> Conversions:
        return Conversions(self.http, self.key, pixel_id=destination.pixel, base_url=f"https://{HOST}")

    def plan(self, kind: Any, **more: Any) -> None:
        self.world.faults.append(Fault("conversions", "events", kind, **more))

    @property
    def requests(self) -> int:
        return sum(count for (vendor, _, _), count in self.world.calls.items() if vendor == "conversions")

    @property
    def received(self) -> list[str]:
        return [one.event["id"] for one in self.app.state.received]

    async def flush(self, *, is_patient: bool = False) -> None:
        await self.desk.clock.run(self.loop.flush(is_patient=is_patient))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the loop meanwhile; time passes with `pass_seconds` only."""
        stop = asyncio.Event()
        task = asyncio.ensure_future(self.loop.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def pass_seconds(self, seconds: float) -> None:
        """Let time pass, but never while the loop is at work: threads know nothing of this clock."""
        clock = self.desk.clock
        end = clock.now() + seconds
        while clock.now() < end:
            for _ in range(3):
                await self._idle()
            due = min(at for at, _, waiter in clock._sleepers if not waiter.done())
            clock._wake_until(min(due, end))
        await self._idle()

    async def _idle(self) -> None:
        def is_busy() -> bool:
            workers = any(not task.done() for tasks in self.loop._workers.values() for task in tasks)
            return workers or not any(not waiter.done() for _, _, waiter in self.desk.clock._sleepers)

        await asyncio.sleep(0)
        while is_busy():  # noqa: ASYNC110 - threads set no event
            await asyncio.sleep(0.0005)

    async def attempts(self) -> list[tuple[str, int, int]]:
        return await self.desk.query("select kind, status, events from event_attempts order by id")


@asynccontextmanager
async def open_office(
    place: Path | str, *, thresholds: Thresholds | None = None, in_flight: int = 4
) -> AsyncIterator[Office]:
    async with open_desk(place) as desk:
        office = Office(desk, thresholds or Thresholds(), in_flight)
        try:
            yield office
        finally:
            await office.http.close()
