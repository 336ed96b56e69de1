"""Sends batches of conversion events: one request after the other until each event has its outcome or waits again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError
from penstock.base.types import Problem
from penstock.events.destinations import Destination, Destinations
from penstock.events.entries import Attempt, Batch, Item, Settled
from penstock.events.isolation import Left, isolate
from penstock.events.outbox import Outbox
from penstock.vendor.conversions import Conversions, Verdict

UNKNOWN_BEFORE_PAUSE = 3
"""Answers in a row that say nothing about the events before a person has to look."""
COUNT_TRIES = 2
"""How often an event is sent when the API counts fewer events than it got and does not say which."""

Opener = Callable[[Destination], Conversions]


class Delivery:
    """Sends what the outbox has claimed; pauses, delays and reopens destinations by what comes back."""

    def __init__(
        self, outbox: Outbox, destinations: Destinations, open_sender: Opener, clock: Clock, integration_source: str
    ) -> None:
        self.outbox = outbox
        self.destinations = destinations
        self.clock = clock
        self._open_sender = open_sender
        self.integration_source = integration_source

    async def send(self, batch: Batch) -> None:
        """Send a batch until each event is settled, or waits again with the reason.

        Raises the errors of the store; what could not be written waits again after `Outbox.mend`, or
        when the next process takes over: the ids stay the same.
        """
        open_numbers = {item.number for item in batch.items}
        try:
            destination = await self.destinations.get(batch.destination)
            try:
                sender = self._open_sender(destination)
            except PenstockError as error:
                await self._hold(destination, batch, batch.items, Problem.from_error(error), tried=0)
                return
            run = _Run(self, destination, batch, sender, open_numbers)
            left = await isolate(batch.items, run.send, run.accept, run.keep)
            if left is None:
                await self.destinations.recover(destination)
            else:
                await self._return(destination, batch, left)
        except BaseException:
            self.outbox.strand(batch.id, sorted(open_numbers))
            raise

    async def _return(self, destination: Destination, batch: Batch, left: Left) -> None:
        """Let the events without an outcome wait again, and act on what the answer said about all of them."""
        verdict = left.verdict
        problem = Problem.from_error(verdict.error) if verdict.error is not None else _unexplained(verdict)
        if verdict.kind in ("access", "pixel"):
            await self._hold(destination, batch, left.items, problem)
            return
        if not _is_count(verdict):
            failures = (await self.destinations.get(destination.id)).failures
            if verdict.kind == "unknown" and failures + 1 >= UNKNOWN_BEFORE_PAUSE:
                await self._hold(destination, batch, left.items, problem)
                return
            await self.destinations.delay(destination, problem, verdict.retry_after)
        await self.outbox.release(batch.id, [item.number for item in left.items], problem)

    async def _hold(
        self, destination: Destination, batch: Batch, items: Sequence[Item], problem: Problem, tried: int = 1
    ) -> None:
        await self.destinations.pause(destination, problem)
        await self.outbox.release(batch.id, [item.number for item in items], problem, tried=tried)


class _Run:
    """The requests of one batch, each kept with its answer."""

    def __init__(
        self, delivery: Delivery, destination: Destination, batch: Batch, sender: Conversions, open_numbers: set[int]
    ) -> None:
        self._delivery = delivery
        self._destination = destination
        self._batch = batch
        self._sender = sender
        self._open = open_numbers
        self._began = 0.0

    async def send(self, items: Sequence[Item]) -> Verdict:
        clock = self._delivery.clock
        self._began = clock.now()
        verdict = await self._sender.send(
            [item.body for item in items],
            validate_only=self._destination.is_trial,
            integration_source=self._delivery.integration_source,
        )
        if _is_count(verdict) and all(item.attempts + 1 >= COUNT_TRIES for item in items):
            return msgspec.structs.replace(verdict, kind="accepted")
        return verdict

    def accept(self, items: Sequence[Item], verdict: Verdict) -> list[Settled]:
        """Return the states of accepted events."""
        if self._destination.is_trial:
            return [Settled([item.number for item in items], "validated")]
        problem = Problem.from_error(verdict.error) if verdict.error is not None else None
        return [Settled([item.number for item in items], "delivered", problem)]

    async def keep(self, verdict: Verdict, items: Sequence[Item], settled: Sequence[Settled], is_last: bool) -> None:
        """Write one request with its answer, and what it settled."""
        outbox, batch = self._delivery.outbox, self._batch
        numbers = [item.number for item in items]
        attempt = Attempt(
            id=outbox.store.next_number(),
            batch=batch.id,
            destination=batch.destination,
            at=self._began,
            seconds=self._delivery.clock.now() - self._began,
            kind=verdict.kind,
            status=verdict.status,
            code=verdict.code,
            message=verdict.message,
            events=len(numbers),
            accepted=verdict.accepted,
            headers=verdict.headers,
            response=verdict.body,
            members=() if len(numbers) == len(batch.items) else numbers,
        )
        await outbox.record(attempt, settled, is_last=is_last)
        for one in settled:
            self._open.difference_update(one.numbers)


def _is_count(verdict: Verdict) -> bool:
    """Tell whether the API took the request and only counts fewer or more events than it got.

    Whether it counts events that it had already (from the browser, say) is not documented.
    """
    return verdict.kind == "unknown" and 200 <= verdict.status < 300 and verdict.accepted is not None


def _unexplained(verdict: Verdict) -> Problem:
    return Problem("conversions.unknown-answer", verdict.message or f"the API answered {verdict.status}")
