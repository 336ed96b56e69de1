"""The outbox of conversion events: on disk before they are acknowledged, claimed in batches, settled one by one.

Every change of state is part of one shared transaction of the store. What is sent and when is
decided in `batching` and `delivery`; here stands only what is true of each event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.base.clock import Clock
from penstock.base.types import Problem
from penstock.events import outbox_writes as writes
from penstock.events.entries import (
    AHEAD_SECONDS,
    WINDOW_SECONDS,
    Attempt,
    Batch,
    Entry,
    Handed,
    Item,
    Load,
    Receipt,
    Settled,
    unpack,
)
from penstock.runtime.store import Store


class Outbox:
    """Conversion events in the store; `memory_seconds` is how long an event is recognised when it comes again."""

    def __init__(self, store: Store, clock: Clock, *, memory_seconds: float, queue_limit: int) -> None:
        self.store = store
        self.clock = clock
        self.memory_seconds = memory_seconds
        self.queue_limit = queue_limit
        self._stranded: dict[int, list[int]] = {}

    async def accept(self, entries: Sequence[Entry], *, batch: int = 0) -> list[Receipt]:
        """Write entries; returns one receipt each, in order, when they are on disk.

        With `batch` the new ones are this process's own to send from the start. Raises `StoppedError`
        `events.queue-full` and the errors of the store (full, locked, gone): nothing is kept then.
        """
        session = self.store.session if batch else ""
        return await self.store.batch(
            writes.accept, Handed(entries, self.clock.now(), self.memory_seconds, self.queue_limit, batch, session)
        )

    async def find_destination(self, connection: str, pixel: str, is_trial: bool) -> int:
        """Return the number of a destination, which is made when it is new."""
        values = {"connection": connection, "pixel": pixel, "validate_only": int(is_trial)}
        return await self.store.batch(writes.add_destination, values)

    async def load(self, destination: int, limit: int) -> Load:
        """Count what may be sent now, up to `limit` events."""
        rows = await self.store.read("event_load", destination=destination, newest=self._newest(), limit=limit)
        return Load(int(rows[0][0]), int(rows[0][1]), rows[0][2], rows[0][3])

    async def claim(self, destination: int, limit: int, bytes_limit: int, cause: str) -> Batch | None:
        """Stamp the events nearest to expiry as a batch of this process, while expired ones end with `cause`.

        Returns None when nothing may be sent now.
        """
        at = self.clock.now()
        order = writes.Claim(
            batch=self.store.next_number(),
            destination=destination,
            session=self.store.session,
            at=at,
            oldest=int((at - WINDOW_SECONDS) * 1000),
            newest=self._newest(),
            limit=limit,
            bytes_limit=bytes_limit,
            cause=cause,
        )
        numbers = await self.store.batch(writes.claim, order, lambda claimed: self.strand(order.batch, claimed))
        if not numbers:
            return None
        try:
            return await self.read_batch(order.batch, destination, numbers)
        except BaseException:
            self.strand(order.batch, numbers)
            raise

    def strand(self, batch: int, numbers: Iterable[int]) -> None:
        """Remember a batch that ended in an error or was cancelled; `mend` lets its events wait again."""
        self._stranded[batch] = list(numbers)

    async def mend(self) -> None:
        """Let the events of stranded batches wait again; what cannot be written now stays for the next time."""
        problem = Problem("events.interrupted", "sending was interrupted before an answer was kept")
        for batch, numbers in list(self._stranded.items()):
            await self.release(batch, numbers, problem)
            self._stranded.pop(batch, None)

    async def read_batch(self, batch: int, destination: int, numbers: Sequence[int]) -> Batch:
        """Read the bodies of claimed events, in the order of `numbers`."""
        rows = await self.store.look(lambda tx: tx.fetch_keys("event_bodies", list(numbers)))
        items = {int(number): Item(int(number), bytes(body), tried) for number, body, tried in rows}
        return Batch(batch, destination, [items[number] for number in numbers])

    async def record(self, attempt: Attempt, settled: Sequence[Settled], *, is_last: bool) -> None:
        """Write a request with its answer, and the events that it settles; `is_last` ends the batch."""
        await self.store.batch(writes.record, writes.Recorded(attempt, settled, self.clock.now(), is_last))

    async def release(self, batch: int, numbers: Sequence[int], problem: Problem, *, tried: int = 1) -> None:
        """Let events wait again outside of a batch; `problem` is why they were not settled."""
        changes = [self.store.next_number() for _ in numbers]
        order = writes.Release(batch, numbers, changes, problem, self.clock.now(), tried)
        await self.store.batch(writes.release, order)

    async def expire(self, destination: int, cause: str) -> int:
        """End waiting events that are too old to be sent, a thousand at most; returns how many."""
        at = self.clock.now()
        order = writes.Expiry(destination, int((at - WINDOW_SECONDS) * 1000), at, cause)
        return await self.store.batch(writes.expire, order)

    async def take_over(self) -> int:
        """Let the batches of dead processes wait again, with their ids; returns how many there were."""
        rows = await self.store.read("open_event_batches")
        dead = set(await self.store.find_dead({str(session) for session, _, _ in rows}))
        found = [(int(batch), unpack(members)) for session, batch, members in rows if session in dead]
        problem = Problem("events.taken-over", "the process that was sending it ended before an answer was kept")
        for batch, numbers in found:
            await self.release(batch, numbers, problem)
        return len(found)

    def _newest(self) -> int:
        return int((self.clock.now() + AHEAD_SECONDS) * 1000)
