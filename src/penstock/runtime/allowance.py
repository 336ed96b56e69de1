"""All limits of one pool (requests, tokens and images a minute, requests a day) and what replies teach about them.

Plain numbers that are encoded onto a board, so that every process on the quota sees the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from penstock.base.errors import InputError, ThrottledError
from penstock.runtime.pacer import NOTHING, START, Booking, Bucket, new_bucket
from penstock.vendor.models import Limits

MINUTE, DAY = 60.0, 86_400.0
ASSUMED_REQUESTS, ASSUMED_TOKENS = 1000.0, 500_000.0
"""Limits a minute to begin with where the catalogue knows none; the first reply replaces them."""
FIRST_REQUESTS = 8.0
"""Requests that may leave at once before anything was heard, however high the expected limit."""
UNHEARD_SHARE = 0.25
"""Share of the expected rates that is used after the first burst until a reply has stated the true ones."""
SLOW_DOWN_SECONDS = 900.0
"""How long the former rate is kept after a slow-down, and the time in which it may then grow by half
(vendor guides on errors and rate limits, 2026)."""
_GROWTH = 1.5
_LOWEST_BRAKE = 0.02
_DURATION = re.compile(r"([\d.]+)(ms|h|m|s|d)")
_HEADERS = {
    (what, of): (f"x-ratelimit-{what}-{of}", f"x-ratelimit-{what}-project-{of}")
    for what in ("limit", "remaining")
    for of in ("requests", "tokens")
}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY}


class Charge(NamedTuple):
    """What one call takes from a quota: requests, tokens (prompt and greatest output), images."""

    requests: int
    tokens: int
    images: int = 0


class Ticket(NamedTuple):
    """A call's bookings, one per bucket of its pool."""

    requests: Booking
    tokens: Booking
    images: Booking
    day: Booking


class Allowance(msgspec.Struct, array_like=True):
    """The state of one pool; times are seconds on the board's clock."""

    at: float
    requests: Bucket
    tokens: Bucket
    images: Bucket
    day: Bucket
    hold_until: float = 0.0
    brake_from: float = 1.0
    brake_until: float = 0.0
    taught_at: float = -math.inf
    heard: bool = False
    blind: bool = False
    """True once a request was refused that the remaining-headers had room for: then they only lower the level."""

    def buckets(self) -> tuple[Bucket, Bucket, Bucket, Bucket]:
        """Return the buckets in the order of a ticket."""
        return (self.requests, self.tokens, self.images, self.day)

    def brake(self, now: float) -> float:
        """Return the share of the rates in use: 1 once heard, unless asked to slow down or refused unexpectedly."""
        if not self.heard:
            return UNHEARD_SHARE
        if self.brake_from >= 1.0:
            return 1.0
        return min(1.0, self.brake_from * _growth(now - self.brake_until))

    def refill(self, now: float) -> None:
        """Let the time pass until `now`; a clock that went back means that the machine was started again."""
        if now < self.at - 1.0:
            self._restart(now)
        passed = now - self.at
        if passed <= 0:
            return
        brake = self.brake(now)
        if self.heard and brake >= 1.0:
            self.brake_from = 1.0
        for bucket in self.buckets():
            if bucket.origin == "refusals":
                bucket.rate *= _growth(min(passed, SLOW_DOWN_SECONDS))
            bucket.refill(passed, brake)
        self.at = now

    def _restart(self, now: float) -> None:
        self.at, self.hold_until, self.brake_until, self.taught_at = now, 0.0, now, -math.inf
        for bucket in self.buckets():
            bucket.wave_at = now
            bucket.forget_samples()

    def book(self, charge: Charge, now: float, *, interactive: bool = False) -> Ticket:
        """Book a call in every bucket."""
        return Ticket(
            self.requests.book(charge.requests, now, interactive=interactive),
            self.tokens.book(charge.tokens, now, interactive=interactive) if charge.tokens else NOTHING,
            self.images.book(charge.images, now, interactive=interactive) if charge.images else NOTHING,
            self.day.book(charge.requests, now, interactive=interactive) if self.day.rate else NOTHING,
        )

    def wait(self, ticket: Ticket, now: float) -> float:
        """Return the seconds until a booked call may leave, as far as is known now."""
        brake = self.brake(now)
        longest = max(0.0, self.hold_until - now)
        for bucket, booking in zip(self.buckets(), ticket, strict=True):
            if booking.amount:
                longest = max(longest, bucket.wait(booking, now, brake))
        return longest

    def give_back(self, ticket: Ticket) -> None:
        """Undo the bookings of a call that was certainly never sent."""
        for bucket, booking in zip(self.buckets(), ticket, strict=True):
            if booking.amount:
                bucket.give_back(booking)

    def doubt(self) -> None:
        """Note that a call ended without a reply: it may have been charged or not."""
        self.tokens.forget_samples()

    def check(self, charge: Charge) -> None:
        """Raise `InputError` for a call that no waiting can ever let through."""
        self._check("tokens", self.tokens, charge.tokens)
        self._check("requests", self.requests, charge.requests)
        if charge.images:
            self._check("images", self.images, charge.images)

    def _check(self, name: str, bucket: Bucket, amount: float) -> None:
        cost = amount * bucket.ratio
        stated = bucket.rate * MINUTE if bucket.origin == "headers" else math.inf
        if cost > stated * 1.0001 or cost > bucket.ceiling * 0.999:
            raise InputError(
                f"one call takes about {cost:,.0f} {name} of a quota that holds {min(stated, bucket.ceiling):,.0f}",
                code="governor.never-fits",
                hint="Shorten the text, ask for less output, use another model, or have the limit raised.",
            )

    def observe(
        self, ticket: Ticket, sent_at: float, now: float, headers: Mapping[str, str], used_tokens: int | None
    ) -> None:
        """Learn from a reply: limits, and what is left."""
        upward = not self.blind and self.brake_from >= 1.0
        for name, bucket, booking in (
            ("requests", self.requests, ticket.requests),
            ("tokens", self.tokens, ticket.tokens),
        ):
            limit, remaining = _tighter(headers, "limit", name), _tighter(headers, "remaining", name)
            if name == "requests" and limit is not None and _is_daily(headers, limit, remaining):
                self.day.set_rate(limit / DAY, "headers", DAY)
                bucket, booking, limit = self.day, ticket.day, None  # noqa: PLW2901 - the header speaks of the day
            if limit:
                bucket.set_rate(limit / MINUTE, "headers", MINUTE)
            elif bucket.origin == "assumed" and used_tokens is not None:
                bucket.rate, bucket.origin = 0.0, "none"
            if remaining is not None and bucket.rate and (booking is not NOTHING or not bucket.charged):
                bucket.correct(booking, sent_at, now, remaining, upward=upward)
            elif used_tokens is not None and name == "tokens":
                bucket.level -= max(0.0, used_tokens - booking.cost)
            self.heard = self.heard or limit is not None or used_tokens is not None

    def refuse(
        self, ticket: Ticket, sent_at: float, now: float, error: ThrottledError, headers: Mapping[str, str]
    ) -> None:
        """Learn from a refusal: nobody sends until the vendor's time is over; limits and margins are mended."""
        wait = read_wait(headers)
        self.hold_until = max(self.hold_until, now + ((error.retry_after or 1.0) if wait is None else wait))
        full = [
            bucket.rate > 0 and bucket.level + booking.cost >= bucket.capacity * 0.98
            for bucket, booking in zip(self.buckets(), ticket, strict=True)
        ]
        if error.code.endswith("no-capacity"):
            return
        news = sent_at > self.taught_at
        if error.code.endswith("slow-down"):
            if news:
                self._slow_down(now)
            return
        stated = _tighter(headers, "remaining", "tokens"), _tighter(headers, "remaining", "requests")
        uncharged = Ticket(*(booking if booking is NOTHING else booking._replace(cost=0.0) for booking in ticket))
        self.observe(uncharged, sent_at, now, headers, None)
        for bucket, booking, remaining in (
            (self.requests, ticket.requests, stated[1]),
            (self.tokens, ticket.tokens, stated[0]),
        ):
            bucket.begin_anew(booking, sent_at, remaining)
        if not news:
            return
        self.taught_at = now
        if stated == (None, None):
            self._refused_unseen(now)
        elif (stated[0] is None or stated[0] >= 2 * ticket.tokens.cost) and (stated[1] is None or stated[1] >= 2):
            self._refused_with_room(now)
        elif stated[0] is not None and stated[0] < ticket.tokens.cost:
            self._refused_for_tokens(ticket, full[1])

    def _slow_down(self, now: float) -> None:
        self.taught_at = now
        if not self.requests.rate and not self.tokens.rate:
            self._set_from_speed(self.requests)
        limited = [bucket for bucket in (self.requests, self.tokens) if bucket.rate]
        fast = max((bucket.fast / bucket.rate for bucket in limited), default=1.0)
        slow = max((bucket.slow / bucket.rate for bucket in limited), default=0.0)
        self._set_brake(min(max(slow, fast / 2), fast * 0.9, self.brake(now) * 0.9), now + SLOW_DOWN_SECONDS)

    def _refused_unseen(self, now: float) -> None:
        """Without headers only the refusal tells: send less, then try a little more again."""
        if not self.requests.rate and not self.tokens.rate:
            self._set_from_speed(self.requests)
        for bucket in (self.requests, self.tokens):
            bucket.level = min(bucket.level, 0.0)
        self._set_brake(self.brake(now) * 0.85, now + 10.0)

    def _refused_with_room(self, now: float) -> None:
        """The headers had room: the vendor enforces something finer than it shows."""
        if self.blind:
            self._set_brake(self.brake(now) * 0.95, now + 10.0)
        self.blind = True
        for bucket in (self.requests, self.tokens):
            bucket.capacity = max(bucket.rate * START, bucket.size * bucket.ratio)
            bucket.level = min(bucket.level, 0.0)

    def _refused_for_tokens(self, ticket: Ticket, was_full: bool) -> None:
        bucket = self.tokens
        if was_full and ticket.tokens.cost > bucket.capacity * 0.98:
            bucket.ceiling = min(bucket.ceiling, ticket.tokens.cost)
        bucket.noise = min(bucket.noise * 1.5 + 0.01, 1.0)
        bucket.doubt = max(bucket.doubt, 0.05)
        bucket.base = (bucket.ratio, max(bucket.base[1], 0.1))

    def _set_from_speed(self, bucket: Bucket) -> None:
        bucket.set_rate(max(bucket.fast, ASSUMED_REQUESTS / MINUTE / 10), "refusals", MINUTE)

    def _set_brake(self, share: float, until: float) -> None:
        self.brake_from, self.brake_until = max(share, _LOWEST_BRAKE), until

    def describe(self, now: float) -> dict[str, Any]:
        """Return what a progress display shows: limits and where they are from, shares used, holds."""
        shown: dict[str, Any] = {}
        for name, bucket, period in (
            ("requests", self.requests, MINUTE),
            ("tokens", self.tokens, MINUTE),
            ("images", self.images, MINUTE),
            ("day", self.day, DAY),
        ):
            if bucket.rate:
                shown[name] = {
                    "limit": round(bucket.rate * period, 3),
                    "known_from": bucket.origin,
                    "left": round(max(bucket.level, 0.0), 1),
                    "used": round(bucket.fast / bucket.rate, 4),
                }
        minute = [shown[name]["used"] for name in ("requests", "tokens", "images") if name in shown]
        return {
            "limits": shown,
            "used": max(minute, default=None),
            "token_ratio": round(self.tokens.ratio, 4),
            "brake": round(self.brake(now), 4),
            "held_seconds": round(max(0.0, self.hold_until - now), 3),
        }


def new_allowance(now: float, limits: Limits) -> Allowance:
    """Begin with the catalogue's limits; where it knows none, with a low assumed one until the first reply."""
    requests = new_bucket(limits.rpm or ASSUMED_REQUESTS, MINUTE)
    tokens = new_bucket(limits.tpm or ASSUMED_TOKENS, MINUTE, learns=True)
    requests.origin = "catalogue" if limits.rpm else "assumed"
    tokens.origin = "catalogue" if limits.tpm else "assumed"
    requests.capacity = requests.level = min(requests.capacity, FIRST_REQUESTS)
    images, day = new_bucket(limits.ipm, MINUTE), new_bucket(limits.rpd, DAY, full=True)
    return Allowance(now, requests, tokens, images, day)


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a refusal asks to wait: milliseconds first, then seconds; None where it does not say."""
    milliseconds = _number(headers.get("retry-after-ms"))
    return _number(headers.get("retry-after")) if milliseconds is None else milliseconds / 1000


def read_duration(text: str | None) -> float | None:
    """Read a duration as the rate-limit headers write it: `20ms`, `1s`, `6m0s`; returns seconds."""
    parts = _DURATION.findall(text or "")
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None


def _growth(seconds: float) -> float:
    """Return by how much a rate may have grown after `seconds`."""
    return math.pow(_GROWTH, min(max(seconds, 0.0) / SLOW_DOWN_SECONDS, 50.0))


def _is_daily(headers: Mapping[str, str], limit: float, remaining: float | None) -> bool:
    """Tell whether the request headers speak of a day: then one request comes back 100 times slower or more.

    The vendor shows whichever request limit binds; its reset says how fast the bucket fills.
    """
    reset = read_duration(headers.get("x-ratelimit-reset-requests"))
    if reset is None or remaining is None or remaining >= limit:
        return False
    return (limit - remaining) / max(reset, 0.001) < limit / MINUTE / 100


def _tighter(headers: Mapping[str, str], what: str, of: str) -> float | None:
    """Read a header that exists for the organisation and for the project; the lower of the two binds."""
    whole, part = _HEADERS[what, of]
    value, other = _number(headers.get(whole)), _number(headers.get(part))
    if value is None or other is None:
        return other if value is None else value
    return min(value, other)


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None
