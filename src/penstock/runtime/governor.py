"""Who may send when: every paid call waits here until the vendor's limits have room for it.

Bookings are made in order on a shared board a short time ahead and leave at a computed
moment; every reply moves the moments of those that still wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import DefectError, InputError, ThrottledError
from penstock.runtime.allowance import Allowance, Charge, Ticket, new_allowance
from penstock.runtime.fairness import FairQueue, Waiter
from penstock.runtime.pacer import TICK
from penstock.runtime.quota import Board
from penstock.vendor.models import Limits

HORIZON = 0.025
"""Seconds ahead up to which calls are booked; beyond it only the next one, so that corrections act at once."""
_MOST_AT_ONCE = 256

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Allowance).decode

__all__ = ["Charge", "Governor", "Permit", "Pool"]


class Pool(NamedTuple):
    """Who shares one quota: an account and a model."""

    account: str
    model: str


class Permit:
    """Leave to send one call now; handed back to the governor exactly once."""

    __slots__ = ("is_open", "pool", "sent_at", "ticket")

    def __init__(self, pool: Pool, ticket: Ticket, sent_at: float) -> None:
        self.pool = pool
        self.ticket = ticket
        self.sent_at = sent_at
        self.is_open = True


class _Turn(NamedTuple):
    allowance: Allowance
    results: list[Ticket | InputError]
    waits: list[float]


Lesson = Callable[[Allowance, float], None]
"""Something learnt since the last exchange, applied with the offset from this process's time to the board's."""


class Governor:
    """Keeps the calls of all flows inside the vendor's limits, and close to them."""

    def __init__(self, clock: Clock, board: Board, limits: Callable[[Pool], Limits]) -> None:
        """`limits` gives the expected limits of a pool; the vendor's replies replace them."""
        self._clock = clock
        self._board = board
        self._limits = limits
        self._lanes: dict[Pool, _Lane] = {}

    async def acquire(
        self, pool: Pool, charge: Charge, *, flow: str = "", interactive: bool = False, front: bool = False
    ) -> Permit:
        """Wait until the call may be sent; its tokens are the prompt's estimate and the greatest output.

        `interactive` goes before every flow; `front` is for a call that had its turn and was
        refused. Raises `InputError` (`governor.never-fits`) when no waiting can help.
        """
        return await self._lane(pool).acquire(charge, flow, interactive=interactive, front=front)

    def observe(self, permit: Permit, headers: Mapping[str, str], tokens_used: int | None) -> None:
        """Learn from a reply; `tokens_used` counts only where the headers do not say what is left."""
        sent_at, ticket = _close(permit)

        def lesson(allowance: Allowance, offset: float) -> None:
            allowance.observe(ticket, sent_at + offset, allowance.at, headers, tokens_used)

        self._lane(permit.pool).learn(lesson)

    def refuse(self, permit: Permit, error: ThrottledError, headers: Mapping[str, str]) -> None:
        """Learn from a refusal: everybody on the quota waits as long as the vendor says."""
        sent_at, ticket = _close(permit)

        def lesson(allowance: Allowance, offset: float) -> None:
            allowance.refuse(ticket, sent_at + offset, allowance.at, error, headers)

        self._lane(permit.pool).learn(lesson)

    def release(self, permit: Permit) -> None:
        """Hand back a permit without a reply: never sent, or nobody knows.

        It stays counted as charged until other replies show what the vendor thinks.
        """
        _close(permit)
        self._lane(permit.pool).learn(lambda allowance, _: allowance.doubt())

    def headroom(self, pool: Pool) -> dict[str, Any]:
        """Return for display what is known of a quota.

        `limits` with origin and share used by dimension, `used` (of the tightest, over about the
        last ten seconds), `token_ratio`, `brake`, `held_seconds`, and `waiting` calls.
        """
        return self._lane(pool).describe()

    def _lane(self, pool: Pool) -> _Lane:
        lane = self._lanes.get(pool)
        if lane is None:
            lane = self._lanes[pool] = _Lane(self._clock, self._board, pool, self._limits(pool))
        return lane

    async def close(self) -> None:
        """Stop; calls that still wait are cancelled."""
        for lane in self._lanes.values():
            await lane.close()


def _close(permit: Permit) -> tuple[float, Ticket]:
    if not permit.is_open:
        raise DefectError("a permit was handed back twice", code="governor.permit-reused")
    permit.is_open = False
    return permit.sent_at, permit.ticket


class _Lane:
    """One pool in this process: its queue, its bookings and its exchanges with the board."""

    def __init__(self, clock: Clock, board: Board, pool: Pool, limits: Limits) -> None:
        self._clock = clock
        self._board = board
        self._pool = pool
        self._key = f"{pool.account}\n{pool.model}"
        self._limits = limits
        self._queue = FairQueue()
        self._booked: deque[Waiter] = deque()
        self._lessons: list[Lesson] = []
        self._last = self._before = -1.0
        self._batch = 4
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.Future[None] | None = None
        self._news = False
        self._known: Allowance | None = None
        self._seen_at = 0.0

    async def acquire(self, charge: Charge, flow: str, *, interactive: bool, front: bool) -> Permit:
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        waiter = Waiter(charge, flow, future, interactive=interactive, front=front)
        self._queue.add(waiter)
        self._poke()
        try:
            return await future
        except asyncio.CancelledError:
            future.cancel()
            self._give_back(waiter)
            raise

    def learn(self, lesson: Lesson) -> None:
        self._lessons.append(lesson)
        self._poke()

    def _give_back(self, waiter: Waiter) -> None:
        """Undo what was booked for a call that was cancelled before it left."""
        ticket = waiter.ticket
        if ticket is not None:
            waiter.ticket = None
            with contextlib.suppress(ValueError):
                self._booked.remove(waiter)
            self.learn(lambda allowance, _: allowance.give_back(ticket))

    def _poke(self) -> None:
        self._news = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        elif self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    async def _work(self) -> None:
        try:
            while self._queue or self._booked or self._lessons:
                now, pause = self._clock.monotonic(), self._board.pause
                rest = self._last + pause - now
                if rest > 0 and now - self._before < 10 * pause:  # a lone call need not wait for company
                    await self._clock.sleep(rest)
                await self._exchange()
                self._grant()
                if self._booked and not self._news:
                    await self._nap(self._booked[0].due - self._clock.monotonic())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it instead of waiting for ever
            self._fail(error)
        finally:
            self._task = None

    async def _nap(self, seconds: float) -> None:
        """Wait until the next booking is due or something new came in."""
        self._alarm = alarm = asyncio.get_running_loop().create_future()
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        sleeper.add_done_callback(lambda _: None if alarm.done() else alarm.set_result(None))
        try:
            await alarm
        finally:
            self._alarm = None
            sleeper.cancel()

    async def _exchange(self) -> None:
        self._news = False
        lessons, self._lessons = self._lessons, []
        booked, batch = list(self._booked), self._take()
        tickets = [waiter.ticket for waiter in booked if waiter.ticket is not None]
        try:
            turn = await self._board.exchange(
                self._key, lambda state, now: self._turn(state, now, lessons, tickets, batch)
            )
        except BaseException:
            for waiter in reversed(batch):
                self._queue.put_back(waiter)
            raise
        self._known = turn.allowance
        self._before = self._last
        self._last = self._seen_at = self._clock.monotonic()
        for waiter in reversed(batch[len(turn.results) :]):
            self._queue.put_back(waiter)
        for waiter, wait in zip(booked, turn.waits, strict=False):
            waiter.due = self._last + wait
        for waiter, result, wait in zip(batch, turn.results, turn.waits[len(booked) :], strict=False):
            waiter.due = self._last + wait
            self._place(waiter, result)
        self._batch = min(_MOST_AT_ONCE, 2 + 2 * len(turn.results))

    def _take(self) -> list[Waiter]:
        known = self._known
        request_seconds = 1.0 / (known.requests.rate if known and known.requests.rate else 1.0)
        token_seconds = 1.0 / known.tokens.rate if known and known.tokens.rate else 0.0
        batch: list[Waiter] = []
        while len(batch) < self._batch and self._queue:
            waiter = self._queue.take(request_seconds, token_seconds)
            if waiter is None:
                break
            batch.append(waiter)
        return batch

    def _place(self, waiter: Waiter, result: Ticket | InputError) -> None:
        if isinstance(result, InputError):
            if not waiter.future.done():
                waiter.future.set_exception(result)
            return
        waiter.ticket = result
        self._booked.append(waiter)
        if waiter.future.done():  # cancelled while the board was asked
            self._give_back(waiter)

    def _turn(
        self, state: bytes | None, now: float, lessons: list[Lesson], tickets: list[Ticket], batch: list[Waiter]
    ) -> tuple[bytes, _Turn]:
        """Bring the pool up to date and book what may leave soon; runs inside the board's transaction."""
        offset = now - self._clock.monotonic()
        allowance = self._read(state) or new_allowance(now, self._limits)
        allowance.refill(now)
        for lesson in lessons:
            lesson(allowance, offset)
        waits = [allowance.wait(ticket, now) for ticket in tickets]
        results: list[Ticket | InputError] = []
        last = max(waits, default=0.0)
        for waiter in batch:
            if last > HORIZON and not waiter.interactive:
                break
            try:
                allowance.check(waiter.charge)
            except InputError as error:
                results.append(error)
                waits.append(0.0)
                continue
            ticket = allowance.book(waiter.charge, now, interactive=waiter.interactive)
            results.append(ticket)
            wait = allowance.wait(ticket, now)
            waits.append(wait)
            last = max(last, wait)
        return _encode(allowance), _Turn(allowance, results, waits)

    @staticmethod
    def _read(state: bytes | None) -> Allowance | None:
        """Decode a state; one written by another release that cannot be read is learnt anew."""
        try:
            return None if state is None else _decode(state)
        except msgspec.DecodeError:
            return None

    def _grant(self) -> None:
        now = self._clock.monotonic()
        waiting: deque[Waiter] = deque()
        for waiter in self._booked:
            if waiter.due > now + TICK:
                waiting.append(waiter)
            elif waiter.ticket is not None and not waiter.future.done():
                waiter.future.set_result(Permit(self._pool, waiter.ticket, now))
        self._booked = deque(sorted(waiting, key=_due)) if len(waiting) > 1 else waiting

    def _fail(self, error: BaseException) -> None:
        waiting = [waiter for waiter in self._booked if not waiter.future.done()]
        self._booked.clear()
        while (waiter := self._queue.take(1.0, 0.0)) is not None:
            waiting.append(waiter)
        for waiter in waiting:
            waiter.future.set_exception(error)

    def describe(self) -> dict[str, Any]:
        known = self._known or new_allowance(self._clock.monotonic(), self._limits)
        shown = known.describe(known.at + self._clock.monotonic() - self._seen_at)
        shown["waiting"] = len(self._queue) + len(self._booked)
        return shown

    async def close(self) -> None:
        for waiter in (*self._booked, *iter(lambda: self._queue.take(1.0, 0.0), None)):
            waiter.future.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _due(waiter: Waiter) -> float:
    return waiter.due
