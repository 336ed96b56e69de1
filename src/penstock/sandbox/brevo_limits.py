"""The rate limits of the Brevo emulator: one meter per family of endpoints, counted in fixed windows."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

FAMILIES: dict[str, tuple[tuple[int, float], ...]] = {
    "contacts": ((10, 1.0), (36_000, 3600.0)),
    "events": ((10, 1.0), (36_000, 3600.0)),
    "orders": ((5, 1.0), (18_000, 3600.0)),
    "products": ((2, 1.0), (7_200, 3600.0)),
    "email": ((1_000, 1.0), (3_600_000, 3600.0)),
    "smtp": ((300, 3600.0),),
    "other": ((100, 3600.0),),
}
"""Requests and window in seconds, general plans (developers.brevo.com, api-limits, August 2026)."""

_EXACT = {
    ("POST", ("events",)): "events",
    ("POST", ("orders", "status")): "orders",
    ("POST", ("products",)): "products",
    ("POST", ("smtp", "email")): "email",
    ("GET", ("smtp", "blockedContacts")): "email",
}
_BATCHES = {("events", "batch"): "events", ("orders", "status", "batch"): "orders", ("products", "batch"): "products"}


class _Window:
    __slots__ = ("length", "number", "requests", "used")

    def __init__(self, requests: int, length: float) -> None:
        self.requests = requests
        self.length = length
        self.number = -1
        self.used = 0

    def roll(self, now: float) -> None:
        """Start anew when the window of the last request has passed."""
        number = int(now // self.length)
        if number != self.number:
            self.number, self.used = number, 0

    def left(self, now: float) -> float:
        """Return the seconds until the window ends."""
        return (self.number + 1) * self.length - now


class Verdict(NamedTuple):
    """Whether a request may pass, and the headers that say how much is left."""

    passed: bool
    headers: dict[str, str]


class BrevoLimits:
    """The meters of one account; `scale` multiplies every limit (2 is a Professional plan), `enabled` switches them.

    The vendor does not state: `bare_contacts`, the family of `/contacts` without a further part; `batches`, whether
    batches of events, orders and products run on the meter of their kind (`own`); `shared`, whether everything else
    shares one meter or each first part of a path has its own; `unit`, that of the reset header.
    """

    def __init__(
        self,
        scale: float = 1.0,
        *,
        enabled: bool = True,
        bare_contacts: Literal["contacts", "other"] = "contacts",
        batches: Literal["own", "other"] = "other",
        shared: bool = True,
        unit: Literal["seconds", "milliseconds"] = "seconds",
    ) -> None:
        self.scale = scale
        self.enabled = enabled
        self.bare_contacts = bare_contacts
        self.batches = batches
        self.shared = shared
        self.unit = unit
        self._windows: dict[str, list[_Window]] = {}

    def family(self, method: str, parts: tuple[str, ...]) -> str:
        """Return which meter a request runs on; one of its own is named `other:` and the first part of the path."""
        if parts[:1] == ("contacts",):
            return self.bare_contacts if len(parts) == 1 else "contacts"
        if found := _EXACT.get((method, parts)):
            return found
        if self.batches == "own" and method == "POST" and parts in _BATCHES:
            return _BATCHES[parts]
        if parts[:1] == ("smtp",):
            return "smtp"
        return "other" if self.shared else f"other:{parts[0] if parts else ''}"

    def take(self, family: str, now: float) -> Verdict:
        """Count one request; a refused one is not counted. `now` is in seconds since 1970."""
        if not self.enabled:
            return Verdict(True, {})
        windows = self._windows.get(family)
        if windows is None:
            windows = [_Window(*window) for window in FAMILIES[family.partition(":")[0]]]
            self._windows[family] = windows
        for window in windows:
            window.roll(now)
        left = {window: max(1, int(window.requests * self.scale)) - window.used for window in windows}
        passed = min(left.values()) > 0
        for window in windows:
            window.used += passed
        tightest = min(windows, key=lambda window: (left[window], -window.length))
        limit = max(1, int(tightest.requests * self.scale))
        return Verdict(passed, self.headers(limit, limit - tightest.used, tightest.left(now)))

    def headers(self, limit: int, remaining: int, seconds: float) -> dict[str, str]:
        """Return the vendor's rate-limit headers; `reset` is the time left, not a time of day."""
        factor = 1000 if self.unit == "milliseconds" else 1
        return {
            "x-sib-ratelimit-limit": str(limit),
            "x-sib-ratelimit-remaining": str(max(remaining, 0)),
            "x-sib-ratelimit-reset": str(max(1, math.ceil(seconds * factor))),
        }
