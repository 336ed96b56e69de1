"""The rate limits of the Brevo emulator: one meter per family of endpoints, counted in fixed windows."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

FAMILIES: dict[str, tuple[tuple[int, float], ...]] = {
    "contacts": ((10, 1.0), (36_000, 3600.0)),
    "events": ((10, 1.0), (36_000, 3600.0)),
    "other": ((100, 3600.0),),
}
"""Requests and window in seconds, general plans (developers.brevo.com, api-limits, August 2026)."""


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

    def reset(self, now: float) -> int:
        """Return the whole seconds until the window ends."""
        return max(1, math.ceil((self.number + 1) * self.length - now))


class Verdict(NamedTuple):
    """Whether a request may pass, and the headers that say how much is left."""

    passed: bool
    headers: dict[str, str]


class BrevoLimits:
    """The meters of one account; `scale` multiplies every limit (2 is a Professional plan), `enabled` switches them.

    `bare_contacts` is the family of `/contacts` without a further part, which the vendor does not state.
    """

    def __init__(
        self, scale: float = 1.0, *, enabled: bool = True, bare_contacts: Literal["contacts", "other"] = "contacts"
    ) -> None:
        self.scale = scale
        self.enabled = enabled
        self.bare_contacts = bare_contacts
        self._windows = {name: [_Window(*window) for window in windows] for name, windows in FAMILIES.items()}

    def family(self, method: str, parts: tuple[str, ...]) -> str:
        """Return which meter a request runs on; only `POST /events` has the fast one of events."""
        if parts[:1] == ("contacts",):
            return self.bare_contacts if len(parts) == 1 else "contacts"
        return "events" if (method, parts) == ("POST", ("events",)) else "other"

    def take(self, family: str, now: float) -> Verdict:
        """Count one request; a refused one is not counted. `now` is in seconds since 1970."""
        if not self.enabled:
            return Verdict(True, {})
        windows = self._windows[family]
        for window in windows:
            window.roll(now)
        left = {window: max(1, int(window.requests * self.scale)) - window.used for window in windows}
        passed = min(left.values()) > 0
        for window in windows:
            window.used += passed
        tightest = min(windows, key=lambda window: (left[window], -window.length))
        limit = max(1, int(tightest.requests * self.scale))
        return Verdict(passed, headers(limit, limit - tightest.used, tightest.reset(now)))


def headers(limit: int, remaining: int, reset: int) -> dict[str, str]:
    """Return the vendor's rate-limit headers; `reset` is the seconds left, not a time of day."""
    return {
        "x-sib-ratelimit-limit": str(limit),
        "x-sib-ratelimit-remaining": str(max(remaining, 0)),
        "x-sib-ratelimit-reset": str(reset),
    }
