"""The order in which waiting calls are served: returned ones, then interactive ones, then flows in fair shares."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from penstock.runtime.allowance import Charge, Ticket


class Waiter:
    """One call that waits for its turn."""

    __slots__ = ("charge", "cost", "due", "flow", "front", "future", "interactive", "reached", "ticket")

    def __init__(self, charge: Charge, flow: str, future: asyncio.Future[Any], *, interactive: bool, front: bool):
        self.charge = charge
        self.flow = flow
        self.future = future
        self.interactive = interactive
        self.front = front
        self.cost = self.reached = 0.0
        self.ticket: Ticket | None = None
        self.due = 0.0


class FairQueue:
    """Serves the flow that has had the least so far; a flow that was away cannot save up a claim.

    What a flow has had is counted in seconds of the quota, so that few long texts and many
    short ones share alike. Over any time two busy flows differ by one call at most.
    """

    def __init__(self) -> None:
        self._front: deque[Waiter] = deque()
        self._interactive: deque[Waiter] = deque()
        self._flows: dict[str, deque[Waiter]] = {}
        self._had: dict[str, float] = {}
        self._reached = 0.0

    def __len__(self) -> int:
        ahead = len(self._front) + len(self._interactive)
        return ahead + (sum(map(len, self._flows.values())) if self._flows else 0)

    def __bool__(self) -> bool:
        return bool(self._flows or self._front or self._interactive)

    def add(self, waiter: Waiter) -> None:
        """Queue a call."""
        self._lane(waiter).append(waiter)

    def put_back(self, waiter: Waiter) -> None:
        """Return the call that was taken last, as if it had not been taken."""
        if waiter.front or waiter.interactive:
            self._lane(waiter).appendleft(waiter)
            return
        self._flows.setdefault(waiter.flow, deque()).appendleft(waiter)
        self._had[waiter.flow] -= waiter.cost
        self._reached = waiter.reached

    def _lane(self, waiter: Waiter) -> deque[Waiter]:
        if waiter.interactive:
            return self._interactive
        if waiter.front:
            return self._front
        queue = self._flows.get(waiter.flow)
        if queue is None:
            if len(self._had) > 2 * len(self._flows) + 100:
                self._had = {name: had for name, had in self._had.items() if had > self._reached or name in self._flows}
            queue = self._flows[waiter.flow] = deque()
            self._had[waiter.flow] = max(self._had.get(waiter.flow, 0.0), self._reached)
        return queue

    def take(self, request_seconds: float, token_seconds: float) -> Waiter | None:
        """Take the next call that still waits; the arguments are what one request and one token take of the quota."""
        while self:
            waiter = self._next()
            if waiter.front or waiter.interactive:
                if not waiter.future.done():
                    return waiter
                continue
            if waiter.future.done():
                continue
            charge = waiter.charge
            waiter.cost = max(charge.requests * request_seconds, charge.tokens * token_seconds)
            waiter.reached, self._reached = self._reached, self._had[waiter.flow]
            self._had[waiter.flow] += waiter.cost
            return waiter
        return None

    def _next(self) -> Waiter:
        if self._interactive:
            return self._interactive.popleft()
        if self._front:
            return self._front.popleft()
        flow = min(self._flows, key=self._had.__getitem__) if len(self._flows) > 1 else next(iter(self._flows))
        queue = self._flows[flow]
        waiter = queue.popleft()
        if not queue:
            del self._flows[flow]
        return waiter
