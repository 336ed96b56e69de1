"""Where conversion events go: a Pixel ID with a key, open or paused, and when it is tried again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.types import Problem
from penstock.events.outbox_writes import decode_problem, encode_problem
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0
"""Seconds to the first repetition and the longest pause; each is twice the one before, less a chance part."""


class Destination(msgspec.Struct, frozen=True):
    """One Pixel ID with the connection whose key writes to it.

    While it is paused or fails, `problem` says why, `since` from when on, `failures` how often in a row.
    """

    id: int
    connection: str
    pixel: str
    is_trial: bool
    state: str = "open"
    problem: Problem | None = None
    failures: int = 0
    since: float = 0.0
    retry_at: float = 0.0

    @property
    def is_paused(self) -> bool:
        return self.state == "paused"

    def wait_seconds(self, now: float) -> float:
        """Return how long nothing may be sent there because it failed."""
        return max(self.retry_at - now, 0.0)

    def explain_delay(self, now: float) -> str:
        """Say what has kept events from being sent, for those that expired meanwhile."""
        if self.problem is None:
            return "it was too old when it came, or it came shortly before"
        what = "was paused" if self.is_paused else "failed"
        days = (now - self.since) / 86_400
        return f"its destination {what} for {days:.1f} days: {self.problem.message} [{self.problem.code}]"


class Destinations:
    """The destinations of one store; what is known here is read again with `refresh`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[int, Destination] = {}

    def __iter__(self) -> Iterator[Destination]:
        return iter(list(self._known.values()))

    async def refresh(self) -> None:
        """Read how all destinations stand."""
        rows = await self._store.read("event_destinations")
        self._known = {row[0]: _read(row) for row in rows}

    async def get(self, number: int) -> Destination:
        """Return a destination as it was known last."""
        if number not in self._known:
            await self.refresh()
        return self._known[number]

    async def pause(self, destination: Destination, problem: Problem) -> None:
        """Send nothing there until it is resumed: the key or the Pixel ID was refused."""
        values = {
            "connection": destination.connection,
            "pixel": destination.pixel,
            "problem": encode_problem(problem),
            "at": self._clock.now(),
        }
        await self._write("pause_event_destination", values)

    async def resume(self, pixel: str = "") -> list[Destination]:
        """Open paused destinations again, and try failing ones at once; returns them. `pixel` chooses one."""
        await self.refresh()
        found = [one for one in self if one.problem is not None and pixel in ("", one.pixel)]
        for one in found:
            await self._write("resume_event_destination", {"id": one.id})
        return found

    async def delay(self, destination: Destination, problem: Problem, retry_after: float | None) -> None:
        """Wait before the next request, at least as long as the vendor asks for."""
        at = self._clock.now()
        failures = (await self.get(destination.id)).failures
        seconds = min(FIRST_DELAY * 2.0 ** min(failures, 20), LONGEST_DELAY) * (0.5 + self._clock.random() / 2)
        await self._write(
            "delay_event_destination",
            {
                "id": destination.id,
                "problem": encode_problem(problem),
                "at": at,
                "retry_at": at + max(seconds, retry_after or 0.0),
            },
        )

    async def recover(self, destination: Destination) -> None:
        """Note that a request worked."""
        if (await self.get(destination.id)).failures:
            await self._write("recover_event_destination", {"id": destination.id})

    async def _write(self, name: str, values: dict[str, Any]) -> None:
        await self._store.batch(_run, (name, values))
        await self.refresh()


def _run(tx: Tx, items: Sequence[tuple[str, dict[str, Any]]]) -> list[None]:
    for name, values in items:
        tx.run(name, values)
    return [None] * len(items)


def _read(row: Sequence[Any]) -> Destination:
    number, connection, pixel, is_trial, state, problem, failures, since, retry_at = row
    return Destination(
        number, connection, pixel, bool(is_trial), state, decode_problem(problem), failures, since, retry_at
    )
