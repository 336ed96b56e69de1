"""What vendors told us by webhook: kept before it is acknowledged, handled at least once, each message one row.

A handler is registered for a type of message; messages without one wait, so that a later
version can still handle them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError
from penstock.base.redact import redact
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

AT_ONCE = 16
"""Messages that are handled at the same time."""
LOOK_SECONDS = 5.0
"""Between looks for messages that another process kept, or that are due again."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0
MOST_ATTEMPTS = 20
RECOVER_SECONDS = 600.0
"""Between looks for what dead processes had taken, and for what is old."""
KEEP_SECONDS = 7 * 86_400.0
"""Handled messages are recognised as repeated for so long: vendors repeat for up to 72 hours."""


class Message(msgspec.Struct, frozen=True):
    """One message as it came; `body` is raw."""

    number: int
    vendor: str
    message: str
    """The vendor's id of the delivery: the same when it is delivered again."""
    type: str
    body: bytes
    attempts: int
    at: float


Handle = Callable[[Message], Awaitable[None]]


class Inbox:
    """The messages of one store, and who handles them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._handlers: dict[tuple[str, str], Handle] = {}
        self._came = asyncio.Event()

    def register(self, vendor: str, type: str, handle: Handle) -> None:
        """Have messages of a type handled; `handle` may be called again for the same message after a crash."""
        self._handlers[vendor, type] = handle
        self._came.set()

    async def put(self, vendor: str, message: str, type: str, body: bytes, *, urgent: bool = False) -> bool:
        """Keep a message; returns once it is on disk, False when it was kept before.

        An urgent one is handled before everything that waits. Raises `StoppedError` or `FixError`
        when it cannot be kept.
        """
        row = {"id": self._store.next_number(), "vendor": vendor, "message": message, "type": type, "body": body}
        now = self._clock.now()
        is_new = await self._store.batch(_put, {**row, "due_at": 0.0 if urgent else now, "at": now})
        self._came.set()
        return is_new

    async def counts(self) -> Mapping[tuple[str, str], int]:
        """Return how many messages there are, by type and state."""
        return {(kind, state): int(count) for kind, state, count in await self._store.read("count_inbox")}

    async def replay(self, vendor: str, *, every: bool = False) -> int:
        """Have the messages of a vendor that failed handled once more, or every one; returns how many that are."""
        count = await self._store.batch(_replay, {"vendor": vendor, "every": int(every), "at": self._clock.now()})
        self._came.set()
        return count

    async def run(self, stop: asyncio.Event) -> None:
        """Handle messages until `stop` is set; those under way are finished."""
        recovered = float("-inf")
        while not stop.is_set():
            if self._clock.monotonic() - recovered >= RECOVER_SECONDS:
                await self.recover()
                recovered = self._clock.monotonic()
            self._came.clear()
            if not await self.handle_due():
                await self._wait(stop)

    async def recover(self) -> None:
        """Open what dead processes had taken, and forget what was handled long ago."""
        for session in [*await self._store.dead_sessions(), ""]:
            await self._store.batch(_reopen, session)
        await self._store.batch(_forget, self._clock.now() - KEEP_SECONDS)

    async def handle_due(self) -> int:
        """Handle the messages that are due now; returns how many there were."""
        if not self._handlers:
            return 0
        types = [f"{vendor} {kind}" for vendor, kind in self._handlers]
        row = {"types": types, "at": self._clock.now(), "session": self._store.session}
        found = await self._store.batch(_take, row)
        await asyncio.gather(*(self._handle(message) for message in found))
        return len(found)

    async def _handle(self, message: Message) -> None:
        try:
            await self._handlers[message.vendor, message.type](message)
        except asyncio.CancelledError:
            self._store.post(_end, _row(message, "waiting", self._clock.now(), "the process stopped"))
            raise
        except Exception as error:  # noqa: BLE001 - kept with the message, which is tried again
            wait = min(FIRST_WAIT * 2**message.attempts, LONGEST_WAIT)
            state = "waiting" if message.attempts + 1 < MOST_ATTEMPTS else "failed"
            code = error.code if isinstance(error, PenstockError) else type(error).__name__
            await self._end(message, state, wait, redact(f"{code}: {error}")[:500])
            return
        await self._end(message, "done", 0.0, "")

    async def _end(self, message: Message, state: str, wait: float, problem: str) -> None:
        await self._store.batch(_end, _row(message, state, self._clock.now() + wait, problem))

    async def _wait(self, stop: asyncio.Event) -> None:
        tasks = [
            asyncio.ensure_future(waiting)
            for waiting in (self._came.wait(), stop.wait(), self._clock.sleep(LOOK_SECONDS))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _row(message: Message, state: str, due_at: float, problem: str) -> dict[str, Any]:
    return {"id": message.number, "state": state, "due_at": due_at, "problem": problem}


def _put(tx: Tx, items: Sequence[dict[str, Any]]) -> list[bool]:
    return [tx.run("put_message", item) > 0 for item in items]


def _take(tx: Tx, items: Sequence[dict[str, Any]]) -> list[list[Message]]:
    return [_take_one(tx, item) for item in items]


def _take_one(tx: Tx, item: dict[str, Any]) -> list[Message]:
    rows = tx.fetch_keys("due_messages", item["types"], at=item["at"], limit=AT_ONCE)
    found = [Message(int(row[0]), row[1], row[2], row[3], bytes(row[4]), int(row[5]), row[6]) for row in rows]
    tx.run_many("take_message", [{"id": message.number, "session": item["session"]} for message in found])
    return found


def _end(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("end_message", items)
    return [None] * len(items)


def _reopen(tx: Tx, items: Sequence[str]) -> list[None]:
    tx.run_many("reopen_messages", [{"session": session} for session in items])
    return [None] * len(items)


def _replay(tx: Tx, items: Sequence[dict[str, Any]]) -> list[int]:
    return [tx.run("reopen_message", item) for item in items]


def _forget(tx: Tx, items: Sequence[float]) -> list[None]:
    tx.run("forget_messages", {"before": max(items)})
    return [None] * len(items)
