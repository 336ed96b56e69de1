"""The delivery loop: looks when batches are due, claims them and has them sent, several at once per destination."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from penstock.base.clock import Clock
from penstock.base.errors import StoppedError
from penstock.base.types import Problem
from penstock.events.batching import Thresholds
from penstock.events.delivery import Delivery
from penstock.events.destinations import Destination
from penstock.events.entries import WINDOW_SECONDS, Batch, Load
from penstock.events.outbox import Outbox
from penstock.events.retention import forget_old

LOOK_SECONDS = 1.0
"""The longest pause between two looks: other processes accept events too, and some of them die."""
TAKEOVER_SECONDS = 5.0
CLEANING_SECONDS = 3600.0


class Loop:
    """Keeps one process's deliveries going; several processes may run it on one store."""

    def __init__(
        self,
        outbox: Outbox,
        delivery: Delivery,
        clock: Clock,
        thresholds: Thresholds,
        *,
        in_flight: int,
        keep_seconds: float = 7 * 86_400.0,
    ) -> None:
        """Send at most `in_flight` requests to a destination at once; bodies go `keep_seconds` after the end."""
        self.thresholds = thresholds
        self.trouble: Problem | None = None
        """What went wrong in the last look: the store cannot be used, or a defect; None while all is well."""
        self._outbox = outbox
        self._delivery = delivery
        self._clock = clock
        self._in_flight = in_flight
        self._keep_seconds = keep_seconds
        self._workers: dict[int, set[asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._fresh = [0, 0]
        self._next_takeover = 0.0
        self._next_cleaning = clock.now() + CLEANING_SECONDS
        self._cleaning: asyncio.Task[int] | None = None

    def note(self, events: int, size: int) -> None:
        """Hear of accepted events; a full batch is sent without waiting for the next look."""
        self._fresh[0] += events
        self._fresh[1] += size
        if self._fresh[0] >= self.thresholds.events or self._fresh[1] >= self.thresholds.bytes:
            self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then send what may be sent and return; what is left stays on disk."""
        try:
            while not stop.is_set():
                wait = await self._look_safely()
                await self._pause(min(wait, LOOK_SECONDS), stop)
            with suppress(StoppedError):  # what could not be sent is on disk
                await self.flush()
        finally:
            await self._end()

    async def flush(self, *, is_patient: bool = False) -> None:
        """Send everything that may be sent, whatever the thresholds say.

        Returns when the rest is paused, not due yet, or waits for a repetition; with `is_patient`
        repetitions are waited for too. Raises the errors of the store.
        """
        while True:
            wait = await self._look(is_forced=True)
            tasks = [task for tasks in self._workers.values() for task in tasks]
            if tasks:
                await asyncio.wait(tasks)
            elif is_patient and wait is not None:
                await self._clock.sleep(wait)
            else:
                return

    async def _look_safely(self) -> float:
        try:
            wait = await self._look(is_forced=False)
        except Exception as error:  # noqa: BLE001 - disk full, database away, a defect: the events are safe, and wait
            self.trouble = Problem.from_error(error)
            return LOOK_SECONDS
        self.trouble = None
        return LOOK_SECONDS if wait is None else wait

    async def _look(self, *, is_forced: bool) -> float | None:
        """Start what is due; returns the seconds until something will be, None when nothing waits for a time."""
        self._fresh = [0, 0]
        self._wake.clear()
        self._reap()
        await self._outbox.mend()
        if self._clock.now() >= self._next_takeover:
            self._next_takeover = self._clock.now() + TAKEOVER_SECONDS
            await self._outbox.take_over()
        if self._clock.now() >= self._next_cleaning:
            self._next_cleaning = self._clock.now() + CLEANING_SECONDS
            self._cleaning = asyncio.ensure_future(forget_old(self._outbox, self._keep_seconds))
        await self._delivery.destinations.refresh()
        waits = [await self._look_at(one, is_forced) for one in self._delivery.destinations]
        return min((wait for wait in waits if wait is not None), default=None)

    async def _look_at(self, destination: Destination, is_forced: bool) -> float | None:
        now = self._clock.now()
        load = await self._outbox.load(destination.id, self.thresholds.events)
        if load.first_ms is not None and load.first_ms / 1000 < now - WINDOW_SECONDS:
            while await self._outbox.expire(destination.id, destination.explain_delay(now)):
                pass
            load = await self._outbox.load(destination.id, self.thresholds.events)
        wait = self.thresholds.wait_seconds(load, now)
        if destination.is_paused or wait is None:
            return None
        delay = destination.wait_seconds(now)
        if delay:
            return delay
        if wait and not is_forced:
            return wait
        self._start(destination, is_forced)
        return LOOK_SECONDS

    def _start(self, destination: Destination, is_forced: bool) -> None:
        """Start one more worker; a destination that fails gets one request at a time."""
        workers = self._workers.setdefault(destination.id, set())
        if len(workers) < (1 if destination.failures else self._in_flight):
            workers.add(asyncio.ensure_future(self._work(destination.id, is_forced)))

    async def _work(self, number: int, is_forced: bool) -> None:
        """Claim and send batches of one destination until none is due."""
        while True:
            destination = await self._delivery.destinations.get(number)
            now = self._clock.now()
            if destination.is_paused or destination.wait_seconds(now):
                return
            limits = self.thresholds
            batch = await self._outbox.claim(number, limits.events, limits.bytes, destination.explain_delay(now))
            if batch is None:
                return
            more = self.thresholds.wait_seconds(await self._load(number), now)
            is_more_due = more is not None and (is_forced or not more)
            if is_more_due:
                self._start(destination, is_forced)
            await self._send(batch, destination)
            if not is_more_due:
                return

    async def _send(self, batch: Batch, destination: Destination) -> None:
        """Send a batch; a defect delays its destination, so that no batch is tried in a circle, and is raised."""
        try:
            await self._delivery.send(batch)
        except StoppedError:
            raise
        except Exception as error:
            await self._delivery.destinations.delay(destination, Problem.from_error(error), None)
            raise

    async def _load(self, number: int) -> Load:
        return await self._outbox.load(number, self.thresholds.events)

    def _reap(self) -> None:
        """Forget workers that are done; raises what one of them raised."""
        failed: BaseException | None = None
        if self._cleaning is not None and self._cleaning.done():
            failed, self._cleaning = self._cleaning.exception(), None
        for workers in self._workers.values():
            for task in [task for task in workers if task.done()]:
                workers.discard(task)
                failed = failed or (None if task.cancelled() else task.exception())
        if failed is not None:
            raise failed

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        """Wait, but no longer than until a full batch is there or the end is asked for."""
        waits = [
            asyncio.ensure_future(self._clock.sleep(max(seconds, 0.001))),
            asyncio.ensure_future(self._wake.wait()),
            asyncio.ensure_future(stop.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _end(self) -> None:
        tasks: list[asyncio.Task[Any]] = [task for workers in self._workers.values() for task in workers]
        if self._cleaning is not None:
            tasks.append(self._cleaning)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):
            await self._outbox.mend()
