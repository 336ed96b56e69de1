"""Accepts and delivers conversion events in processes that a test kills: `conversions_child.py BASE_URL`.

An order is `DATABASE LOG SEED COUNT`: a new process opens the store, accepts COUNT events singly, in arrays and in
real time, and delivers all the while. The id of each acknowledged event goes to LOG at once. Then it drains and ends.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from outboxes import DAY, PIXEL, Desk
from penstock.base.clock import SystemClock
from penstock.events.batching import Thresholds
from penstock.events.delivery import Delivery
from penstock.events.destinations import Destinations
from penstock.events.entries import Batch, Item
from penstock.events.loop import Loop
from penstock.events.outbox import Outbox
from penstock.runtime.store import Store
from penstock.vendor.conversions import Conversions
from penstock.vendor.http import Http

FEEDERS = 4


class Child:
    def __init__(self, store: Store, clock: SystemClock, base_url: str, log: str) -> None:
        self.http = Http()
        self.desk = Desk(store, clock, "")  # type: ignore[arg-type]
        self.outbox = Outbox(store, clock, memory_seconds=30 * DAY, queue_limit=1_000_000)
        self.delivery = Delivery(
            self.outbox,
            Destinations(store, clock),
            lambda one: Conversions(self.http, "sk-conversions", pixel_id=one.pixel, base_url=base_url),
            clock,
            "penstock",
        )
        self.loop = Loop(self.outbox, self.delivery, clock, Thresholds(events=25, seconds=0.02), in_flight=3)
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, ids: list[str]) -> None:
        os.write(self.log, "".join(f"{one}\n" for one in ids).encode())

    async def feed(self, name: str, count: int, chance: random.Random) -> None:
        made = 0
        while made < count:
            size = min(chance.choice([1, 1, 5, 40]), count - made)
            ids = [f"{name}-{made + place}" for place in range(size)]
            made += size
            entries = [self.desk.entry(one) for one in ids]
            if size == 5:
                await self.send_now(entries, ids)
                continue
            await self.outbox.accept(entries)
            self.note(ids)
            self.loop.note(size, 0)

    async def send_now(self, entries: list, ids: list[str]) -> None:
        batch = self.outbox.store.next_number()
        await self.outbox.accept(entries, batch=batch)
        self.note(ids)
        await self.delivery.send(Batch(batch, self.desk.destination, [Item(one.number, one.body) for one in entries]))


async def work(order: list[str], base_url: str) -> None:
    database, log, seed, count = order
    clock = SystemClock()
    store = await Store.open(database if "://" in database else Path(database), clock)
    child = Child(store, clock, base_url, log)
    child.desk.destination = await child.outbox.find_destination("conversions", PIXEL, False)
    stop = asyncio.Event()
    running = asyncio.ensure_future(child.loop.run(stop))
    chance = random.Random(int(seed))
    await asyncio.gather(*(child.feed(f"{seed}-{n}", int(count) // FEEDERS, chance) for n in range(FEEDERS)))
    stop.set()
    await running
    await child.loop.flush(is_patient=True)
    await child.http.close()
    await store.close()


if __name__ == "__main__":
    from forks import fork_for_each_order

    fork_for_each_order(lambda order: work(order, sys.argv[1]))
