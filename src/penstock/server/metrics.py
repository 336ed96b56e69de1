"""What Prometheus reads: requests, calls, cost, queues and outcomes; labels never hold personal data.

Calls and cost are counted from the ledger since this process began, over all processes of
the store; the ledger is never read twice for what is settled.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Sums
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from penstock.base.clock import Clock
from penstock.base.types import DOLLAR
from penstock.runtime.store import Store
from penstock.server.doors import Call, Door

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SETTLE_SECONDS = 60.0
"""Calls that are younger are read again at the next look: they may still be written."""

Counts = Mapping[tuple[str, ...], int]
Amounts = Sums[tuple[str, ...]]


class Metrics:
    """The figures of one service."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._since = clock.now()
        self._settled: dict[str, Amounts] = {}
        self._queues: list[tuple[str, str, tuple[str, ...], Callable[[], Awaitable[Counts]]]] = []
        self._families: list[Metric] = []
        self._looking = asyncio.Lock()
        self.registry = CollectorRegistry()
        self.in_flight = Gauge("penstock_requests_in_flight", "Requests under way.", registry=self.registry)
        self._requests = Histogram(
            "penstock_request_seconds",
            "Requests by route, and how long they took.",
            ("route", "method", "status"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._problems = Counter(
            "penstock_problems", "Requests that failed, by code.", ("code",), registry=self.registry
        )
        self.registry.register(_Held(self._families))

    def note_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH") else "other"
        self._requests.labels(route, known, str(status or 499)).observe(seconds)

    def note_problem(self, code: str) -> None:
        """Count a request that failed."""
        self._problems.labels(code).inc()

    def watch(self, name: str, help: str, labels: tuple[str, ...], count: Callable[[], Awaitable[Counts]]) -> None:
        """Show the counts that `count` returns, by labels, whenever the figures are read."""
        self._queues.append((name, help, labels, count))

    def doors(self) -> list[Door]:
        """Return the route that Prometheus reads."""
        return [
            Door(
                "GET",
                "/metrics",
                self._show,
                "Figures for Prometheus.",
                "metrics",
                reply={"type": "string"},
                reply_type="text/plain",
                works_while_draining=True,
            )
        ]

    async def _show(self, _call: Call) -> Response:
        async with self._looking:
            families: list[Metric] = list(await self._ledger())
        for name, help_, labels, count in self._queues:
            gauge = GaugeMetricFamily(name, help_, labels=labels)
            for values, number in sorted((await count()).items()):
                gauge.add_metric(values, number)
            families.append(gauge)
        self._families[:] = families
        return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def _ledger(self) -> Iterable[Metric]:
        """Read what happened since the last look, and add it to what was settled before."""
        oldest = (await self._store.read("oldest_open_call"))[0][0]
        now = self._clock.now()
        settled_until = max(self._since, min(now - SETTLE_SECONDS, now if oldest is None else float(oldest)))
        if settled_until > self._since:
            rows = await self._store.read("calls_between", since=self._since, until=settled_until)
            _add(self._settled, rows)
            self._since = settled_until
        recent = {name: Sums(amounts) for name, amounts in self._settled.items()}
        _add(recent, await self._store.read("calls_between", since=self._since, until=float("1e18")))
        return _families_of(recent)


class _Held(Collector):
    """Gives the registry what was read from the store for this look."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return list(self._families)


def _add(amounts: dict[str, Amounts], rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows of calls by model, operation and outcome to the amounts of each figure."""
    for model, operation, state, count, cost, tokens_in, cached, tokens_out, seconds in rows:
        key = (str(model), str(operation))
        values = {
            "calls": ((*key, str(state)), count),
            "cost": (key, cost),
            "input": ((*key, "input"), tokens_in),
            "cached": ((*key, "cached"), cached),
            "output": ((*key, "output"), tokens_out),
            "seconds": (key, seconds),
        }
        for name, (labels, value) in values.items():
            amounts.setdefault(name, Sums())[labels] += value or 0


def _families_of(amounts: Mapping[str, Amounts]) -> list[Metric]:
    both = ("model", "operation")
    calls = CounterMetricFamily("penstock_calls", "Paid calls by outcome.", labels=(*both, "state"))
    cost = CounterMetricFamily("penstock_cost_dollars", "What calls cost, where the price is known.", labels=both)
    tokens = CounterMetricFamily("penstock_tokens", "Tokens; cached ones are inside input.", labels=(*both, "kind"))
    seconds = CounterMetricFamily("penstock_call_seconds", "How long calls took, all together.", labels=both)
    for family, names in ((calls, ("calls",)), (tokens, ("input", "cached", "output")), (seconds, ("seconds",))):
        for name in names:
            for labels, value in sorted(amounts.get(name, {}).items()):
                family.add_metric(labels, float(value))
    for labels, value in sorted(amounts.get("cost", {}).items()):
        cost.add_metric(labels, float(value) / DOLLAR)
    return [calls, cost, tokens, seconds]
