"""When a batch is sent: enough events, enough bytes, or the oldest has waited long enough."""

from __future__ import annotations

import msgspec

from penstock.events.entries import Load


class Thresholds(msgspec.Struct, frozen=True):
    """Whichever is reached first sends a batch; a request never holds more than `events` and `bytes`."""

    events: int = 1_000
    seconds: float = 300.0
    bytes: int = 1_000_000

    def wait_seconds(self, load: Load, now: float) -> float | None:
        """Return how long to wait before what is there must be sent: 0 for at once, None while there is nothing.

        The age counts by itself: the last event is sent in time although no other follows.
        """
        if not load.events or load.oldest is None:
            return None
        if load.events >= self.events or load.bytes >= self.bytes:
            return 0.0
        return max(load.oldest + self.seconds - now, 0.0)
