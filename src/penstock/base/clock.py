"""Time, waiting, randomness and ids: the only place that asks the system for them."""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Clock(Protocol):
    """What the rest of the program may know about time and chance."""

    def now(self) -> float:
        """Return the wall-clock time in seconds since 1970 (UTC)."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def outside(self, work: Awaitable[T]) -> T:
        """Wait for what is not time, such as a thread at work on a file."""

    def random(self) -> float:
        """Return a number from [0, 1)."""

    def new_id(self, prefix: str) -> str:
        """Return a new id that sorts by time, such as `run_01jd…`."""


def _format_id(prefix: str, milliseconds: int, chance: int) -> str:
    number = (milliseconds << 60) | chance
    letters = []
    for _ in range(22):
        letters.append(_ALPHABET[number & 31])
        number >>= 5
    return f"{prefix}_{''.join(reversed(letters))}"


def secure_bytes(count: int) -> bytes:
    """Return bytes that nobody can foresee, for keys and nonces; no test replaces them."""
    return os.urandom(count)


class SystemClock:
    """The machine's own clock and randomness."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))

    async def outside(self, work: Awaitable[T]) -> T:
        return await work

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, not secrecy

    def new_id(self, prefix: str) -> str:
        return _format_id(prefix, int(time.time() * 1000), int.from_bytes(os.urandom(8), "big") >> 4)


class ManualClock:
    """A clock that moves only when everybody waits, for tests and simulations.

    `sleep` parks the caller; `run(coroutine)` advances to the next waking time
    whenever no task is ready, so hours pass in milliseconds and in a fixed order.
    """

    def __init__(self, start: float = 1_795_000_000.0, seed: int = 7) -> None:
        self._time = start
        self._start = start
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._order = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._outside = 0

    def now(self) -> float:
        return self._time

    def monotonic(self) -> float:
        return self._time - self._start

    def random(self) -> float:
        return self._chance.random()

    def new_id(self, prefix: str) -> str:
        return _format_id(prefix, int(self._time * 1000), self._chance.getrandbits(60))

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._time + seconds, self._order, waiter))
        await waiter

    async def outside(self, work: Awaitable[T]) -> T:
        self._outside += 1
        try:
            return await work
        finally:
            self._outside -= 1

    def advance(self, seconds: float) -> None:
        """Move the time on and wake who is due."""
        self._wake_until(self._time + seconds)

    def _wake_until(self, target: float) -> None:
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, waiter = heapq.heappop(self._sleepers)
            self._time = max(self._time, due)
            if not waiter.done():
                waiter.set_result(None)
        self._time = max(self._time, target)

    async def run(self, work: Awaitable[T], settle_rounds: int = 20) -> T:
        """Drive `work` to its end, jumping over every wait; returns its result.

        The clock does not move while somebody waits for what is `outside`. Another wait that is
        not for this clock (a socket) gets real time: `settle_rounds` idle turns of the loop.
        """
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(settle_rounds):
                await asyncio.sleep(0)
                if task.done():
                    return task.result()
            if self._sleepers and not self._outside:
                self._wake_until(self._sleepers[0][0])
            else:
                await asyncio.sleep(0.0005)
        return task.result()
