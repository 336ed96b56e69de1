"""An outbox at hand for tests: entries by a letter, claims, outcomes, and what the tables say."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from books import query
from penstock.base.clock import ManualClock
from penstock.base.types import Problem
from penstock.events.entries import Attempt, Batch, Entry, Receipt, Settled, State
from penstock.events.outbox import Outbox
from penstock.runtime.store import Store

DAY = 86_400
START = 1_795_000_000.0
PIXEL = "SandboxPixelId00000001"


class Desk:
    """A store with an outbox and one destination."""

    def __init__(self, store: Store, clock: ManualClock, place: Path | str) -> None:
        self.store, self.clock, self.place = store, clock, place
        self.outbox = Outbox(store, clock, memory_seconds=30 * DAY, queue_limit=1_000_000)
        self.destination = 0

    def entry(
        self, event_id: str, *, name: str = "order_created", age: float = 60.0, is_bad: bool = False, **more: Any
    ) -> Entry:
        happened = int((self.clock.now() - age) * 1000)
        shape = "contents" if name == "order_created" else "customer_action"
        data = "{}" if is_bad else f'{{"type":"{shape}"}}'
        body = (
            f'{{"id":"{event_id}","type":"{name}","timestamp_ms":{happened},"data":{data},"action_source":"web",'
            f'"source_url":"https://shop.example/"}}'
        )
        values = {"destination": self.destination, "is_trial": False, **more}
        return Entry(
            number=self.store.next_number(),
            pixel=PIXEL,
            event_id=event_id,
            name=name,
            happened_ms=happened,
            body=body.encode(),
            notes=b"{}",
            source="test",
            place="",
            **values,
        )

    async def put(self, *event_ids: str, **more: Any) -> list[Receipt]:
        return await self.outbox.accept([self.entry(event_id, **more) for event_id in event_ids])

    async def claim(self, *, limit: int = 1000, bytes_limit: int = 1_000_000, cause: str = "") -> Batch | None:
        return await self.outbox.claim(self.destination, limit, bytes_limit, cause)

    def attempt(self, batch: Batch) -> Attempt:
        return Attempt(
            self.store.next_number(), batch.id, batch.destination, self.clock.now(), 0.1, "accepted", 200, "", "",
            len(batch.items), len(batch.items), {}, b"",
        )  # fmt: skip

    async def settle(self, batch: Batch, state: State, problem: Problem | None = None) -> None:
        numbers = [item.number for item in batch.items]
        await self.outbox.record(self.attempt(batch), [Settled(numbers, state, problem)], is_last=True)

    async def query(self, text: str) -> list[Any]:
        return await query(self.store, text)

    async def states(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for event_id, state in await self.query("select event_id, state from events order by number"):
            found.setdefault(event_id, []).append(state)
        return found

    async def problem_of(self, event_id: str) -> str:
        return str((await self.query(f"select problem from events where event_id = '{event_id}'"))[0][0])

    async def counted(self) -> dict[str, int]:
        """Return the kept counts by state, after comparing them with the events themselves."""
        rows = await self.query("select state, events from event_counts where events <> 0")
        kept: Counter[str] = Counter()
        for state, events in rows:
            kept[state] += int(events)
        true = {state: int(count) for state, count in await self.query("select state, count(*) from events group by 1")}
        assert dict(kept) == true
        return true

    @asynccontextmanager
    async def neighbour(self) -> AsyncIterator[Desk]:
        """Open the same store once more, as another process would."""
        store = await Store.open(self.place, self.clock)
        try:
            other = Desk(store, self.clock, self.place)
            other.destination = self.destination
            yield other
        finally:
            await store.close()


@asynccontextmanager
async def open_desk(place: Path | str) -> AsyncIterator[Desk]:
    clock = ManualClock(START)
    store = await Store.open(place, clock)
    try:
        desk = Desk(store, clock, place)
        desk.destination = await desk.outbox.find_destination("conversions", PIXEL, False)
        yield desk
    finally:
        await store.close()
