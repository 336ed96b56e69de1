"""Calls to Brevo at the pace that the account allows, repeated where that is safe.

The one owner of retries and of waiting for Brevo: one meter per group of endpoints, started from the
published limits and corrected by every reply.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import ThrottledError, UnavailableError
from penstock.vendor.brevo import Brevo, BrevoReply, QueryValue, RateState
from penstock.vendor.brevo_endpoints import ENDPOINTS, FAMILIES, Endpoint

ATTEMPTS = 6
THROTTLED_ATTEMPTS = 12
BASE_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
PATIENCE_SECONDS = 5.0
SHORTEST_SLEEP_SECONDS = 0.0001  # a shorter one can vanish beside the seconds since 1970


class Bucket:
    """One limit as a bucket: what may be saved up plus what flows in never passes `limit` in any `period`."""

    def __init__(self, limit: float, period: float, saved_share: float) -> None:
        self.period = period
        self._share = saved_share
        self.change(limit)
        self.level = self.depth
        self._renewal: float | None = None

    def change(self, limit: float) -> None:
        """Set another limit; what is in the bucket stays."""
        self.limit = limit
        self.depth = max(1.0, limit * self._share)
        self.rate = max(limit - self.depth, limit * 0.5) / self.period

    def state(self, left: float, seconds: float) -> None:
        """Take over what the server says: `left` calls, and nothing more for `seconds`."""
        self.level = left
        self._renewal = seconds

    def refill(self, seconds: float) -> None:
        """Let `seconds` pass."""
        if self._renewal is not None:
            self._renewal -= seconds
            if self._renewal <= 0:
                self.level, self._renewal = max(self.level, self.depth), None
        elif self.level < self.depth:
            self.level = min(self.depth, self.level + seconds * self.rate)

    def wait_for(self, calls: float) -> float:
        """Return the seconds until `calls` fit."""
        missing = min(calls, self.depth) - self.level - 1e-9
        if missing <= 0:
            return 0.0
        return missing / self.rate if self._renewal is None else self._renewal


class Headroom(msgspec.Struct, frozen=True):
    """What is left of one group: `stated` by Brevo's headers, else assumed from the published limits."""

    limit: float
    left: float
    seconds: float
    """The period of the limit."""
    stated: bool


class Meter:
    """Lets calls of one group pass at the allowed pace, in order of arrival."""

    def __init__(self, limits: tuple[tuple[int, int], ...], clock: Clock) -> None:
        """Start from `limits`, pairs of calls and seconds."""
        self._clock = clock
        self._line = asyncio.Lock()
        self._in_flight = 0
        self._answered = asyncio.Event()
        self._held_until = 0.0
        self._refilled = clock.monotonic()
        self._stated: RateState | None = None
        self._start_from(limits)

    def _start_from(self, limits: tuple[tuple[int, int], ...]) -> None:
        self._published = limits
        # Hourly limits alone must leave room for a burst of polls; beside a limit per second they hardly bind.
        hourly_share = 0.05 if len(limits) > 1 else 0.5
        self._buckets = [Bucket(calls, period, 0.1 if period <= 1 else hourly_share) for calls, period in limits]

    @property
    def rate(self) -> float:
        """Return the calls per second that can be kept up."""
        return min(bucket.rate for bucket in self._buckets)

    async def enter(self, *, interactive: bool = False) -> None:
        """Wait for a turn; interactive calls pass the line and may use the reserve."""
        if interactive:
            await self._take(0)
            return
        async with self._line:
            await self._take(self._reserve())

    def leave(self, rate: RateState | None) -> None:
        """Note that a call ended, and what its reply said about the limit."""
        self._in_flight -= 1
        self._answered.set()
        if rate is not None:
            self._stated = rate
            self._learn(rate)

    def seconds_to_wait(self) -> float:
        """Return how long a call that passes the line would wait now."""
        return self._wait(1)

    def headroom(self) -> Headroom:
        """Return what is left of the first limit: as Brevo stated it last, else as published."""
        if self._stated is not None:
            seconds = self._buckets[self._which(self._stated)].period
            return Headroom(self._stated.limit, self._stated.remaining, seconds, stated=True)
        bucket = self._buckets[0]
        return Headroom(bucket.limit, bucket.limit, bucket.period, stated=False)

    @property
    def is_hourly(self) -> bool:
        """Say whether only an hourly limit is known; what the server states then counts exactly."""
        return len(self._buckets) == 1

    def hold(self, seconds: float) -> None:
        """Let nobody pass for `seconds`: one refusal is enough for all."""
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def _reserve(self) -> float:
        """Return the calls that only interactive work may use: a few of a small hourly limit."""
        return min(5.0, self._buckets[0].depth - 1) if self.is_hourly else 0.0

    async def _take(self, reserve: float) -> None:
        if self._in_flight and not self._answered.is_set():
            await self._answered.wait()  # the first reply tells the plan, and what others have used already
        while (wait := self._wait(1 + reserve)) > 0:
            await self._clock.sleep(max(wait, SHORTEST_SLEEP_SECONDS))
        for bucket in self._buckets:
            bucket.level -= 1
        self._in_flight += 1

    def _wait(self, calls: float) -> float:
        now = self._clock.monotonic()
        for bucket in self._buckets:
            bucket.refill(now - self._refilled)
        self._refilled = now
        return max(self._held_until - now, *(bucket.wait_for(calls) for bucket in self._buckets))

    def _learn(self, rate: RateState) -> None:
        if self.is_hourly and rate.reset_seconds <= 1 and rate.limit <= 60:
            # The endpoint belongs to a faster group than the guide let expect: its limit is per second.
            self._start_from(((rate.limit, 1), (rate.limit * 3600, 3600)))
        index = self._which(rate)
        factor = rate.limit / self._published[index][0]
        for bucket, (calls, _) in zip(self._buckets, self._published, strict=True):
            if not math.isclose(bucket.limit, calls * factor):
                bucket.change(calls * factor)
        bucket = self._buckets[index]
        left = float(rate.remaining - self._in_flight)
        if self.is_hourly:
            bucket.state(left, rate.reset_seconds)
        else:
            bucket.level = min(bucket.level, left)

    def _which(self, rate: RateState) -> int:
        """Tell which limit a reply speaks of: by the time to its renewal, else the one of nearest size.

        A longer time is no proof of an hourly limit, for some have seen milliseconds.
        """
        if rate.reset_seconds <= 1:
            return 0
        distances = [abs(math.log(rate.limit / calls)) for calls, _ in self._published]
        return min(range(len(distances)), key=distances.__getitem__)


class BrevoCaller:
    """The door to Brevo for everything above: paced, repeated where safe, bounded."""

    def __init__(self, client: Brevo, clock: Clock) -> None:
        self.clock = clock
        self._client = client
        self._meters = {name: Meter(family.limits, clock) for name, family in FAMILIES.items()}

    def headroom(self) -> dict[str, Headroom]:
        """Return what is left of each group of endpoints, as far as this process knows."""
        return {name: meter.headroom() for name, meter in self._meters.items()}

    def rate_of(self, operation: str) -> float:
        """Return the calls per second that `operation` can keep up."""
        return self._meters[ENDPOINTS[operation].family].rate

    async def call(
        self,
        operation: str,
        *,
        path: Mapping[str, str | int] | None = None,
        query: Mapping[str, QueryValue] | None = None,
        body: Any = None,
        interactive: bool = False,
        at_once: bool = False,
    ) -> BrevoReply:
        """Call an endpoint and repeat it while that is safe; raises the last error.

        `interactive` passes those that wait and may use the reserve. `at_once` is for somebody who looks: it raises
        `ThrottledError` instead of waiting for a limit to be renewed.

        For an endpoint that must not be repeated, an `UnavailableError` with `sent` True means
        that the outcome is unknown. One with the class `never` is asked exactly once.
        """
        endpoint = ENDPOINTS[operation]
        meter = self._meters[endpoint.family]
        failed = throttled = 0
        while True:
            if at_once:
                _check_patience(meter, endpoint)
            await meter.enter(interactive=interactive)
            rate = None
            try:
                reply = await self._client.send(operation, path=path, query=query, body=body)
                rate = reply.rate
            except ThrottledError as error:
                throttled += 1
                if throttled >= THROTTLED_ATTEMPTS or at_once or endpoint.retry == "never":
                    raise
                meter.hold(self._wait_when_throttled(error, throttled, is_exact=meter.is_hourly))
                continue
            except UnavailableError as error:
                failed += 1
                if failed >= ATTEMPTS or not _may_repeat(endpoint, error):
                    raise
            else:
                return reply
            finally:
                meter.leave(rate)
            await self.clock.sleep(self._wait_when_failed(failed))

    def _wait_when_throttled(self, error: ThrottledError, count: int, *, is_exact: bool) -> float:
        """Return the seconds to hold: what Brevo states, within a cap that grows where the unit is doubtful."""
        cap = math.inf if is_exact else LONGEST_WAIT_SECONDS * 2.0 ** (count - 1)
        if error.retry_after is None:
            return min(LONGEST_WAIT_SECONDS, 2.0**count) * (0.5 + self.clock.random() / 2)
        return min(error.retry_after, cap) + self.clock.random() * 0.1

    def _wait_when_failed(self, count: int) -> float:
        return self.clock.random() * min(LONGEST_WAIT_SECONDS, BASE_WAIT_SECONDS * 2.0**count)

    async def download(self, url: str) -> str:
        """Fetch a report that Brevo points to; repeated on failure."""
        for count in range(1, ATTEMPTS + 1):
            try:
                return await self._client.download(url)
            except UnavailableError:
                if count == ATTEMPTS:
                    raise
            await self.clock.sleep(self._wait_when_failed(count))
        raise AssertionError


def _check_patience(meter: Meter, endpoint: Endpoint) -> None:
    wait = meter.seconds_to_wait()
    if wait > PATIENCE_SECONDS:
        raise ThrottledError(
            f"nothing is left of the account's limit for {endpoint.family}",
            code="brevo.throttled",
            retry_after=wait,
            where=endpoint.path,
        )


def _may_repeat(endpoint: Endpoint, error: UnavailableError) -> bool:
    if endpoint.retry == "never":
        return False
    return endpoint.retry == "safe" or not error.sent or error.code == "brevo.in-process"
