"""Run events, written once by whoever works and read by the terminal, a stream or a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.types import Money

Listener = Callable[["Snapshot"], None]


class Snapshot(msgspec.Struct, frozen=True):
    """How far a run is. Rates are records per second, times are seconds, money is picodollars."""

    run: str
    stage: str
    done: int
    total: int | None
    failed: int
    cached: int
    calls: int
    cost: Money
    budget: Money | None
    rate: float
    seconds: float
    left: float | None
    writes: int
    writes_total: int
    headroom: str = ""
    message: str = ""


class Progress:
    """Collects counts and tells its listeners, at most every `every` seconds."""

    def __init__(self, clock: Clock, run: str, *, budget: Money | None = None, every: float = 0.25) -> None:
        self.clock = clock
        self.run = run
        self.budget = budget
        self.every = every
        self.stage = "read"
        self.total: int | None = None
        self.done = self.failed = self.cached = self.calls = self.writes = self.writes_total = 0
        self.cost: Money = 0
        self.headroom: Callable[[], str] = str
        self._listeners: list[Listener] = []
        self._started = clock.monotonic()
        self._told = float("-inf")

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with every snapshot."""
        self._listeners.append(listener)

    def add(self, **amounts: int) -> None:
        """Add to counts by name and tell the listeners when it is time."""
        for name, amount in amounts.items():
            setattr(self, name, getattr(self, name) + amount)
        self.tell()

    def tell(self, message: str = "", *, now: bool = False) -> None:
        """Tell the listeners; a message or `now` does not wait for its time."""
        moment = self.clock.monotonic()
        if not self._listeners or (not message and not now and moment - self._told < self.every):
            return
        self._told = moment
        snapshot = self.snapshot(message)
        for listener in self._listeners:
            listener(snapshot)

    def snapshot(self, message: str = "") -> Snapshot:
        """Return the state of this moment."""
        seconds = self.clock.monotonic() - self._started
        rate = self.done / seconds if seconds > 0 else 0.0
        left = (self.total - self.done) / rate if self.total is not None and rate > 0 else None
        values: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "run",
                "stage",
                "done",
                "total",
                "failed",
                "cached",
                "calls",
                "cost",
                "budget",
                "writes",
                "writes_total",
            )
        }
        return Snapshot(**values, rate=rate, seconds=seconds, left=left, headroom=self.headroom(), message=message)
