"""The limiter of the emulated OpenAI: exact token buckets per account and model, with the real service's headers."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from penstock.base.clock import Clock

Headers = list[tuple[bytes, bytes]]


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model allows: requests, tokens and pictures per minute, requests per day; None is no limit.

    `batch_tokens` are the input tokens that may wait in batches at once.
    """

    rpm: float | None = None
    tpm: float | None = None
    rpd: float | None = None
    ipm: float | None = None
    batch_tokens: float | None = None


class Verdict(NamedTuple):
    """Whether a request may pass, the headers to send, and for a refusal the binding dimension and the reason."""

    allowed: bool
    headers: Headers
    dimension: str = ""
    message: str = ""


class _Bucket:
    __slots__ = ("capacity", "level", "rate", "refilled")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self.level = capacity
        self.refilled = now

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.refilled) * self.rate)
        self.refilled = now

    def wait_for(self, amount: float) -> float:
        """Return the seconds until `amount` fits; more than the bucket holds fits when it is full."""
        return max(0.0, (min(amount, self.capacity) - self.level - 1e-9) / self.rate)

    def remaining(self) -> int:
        return max(0, math.floor(self.level + 1e-9))

    def seconds_to_full(self) -> float:
        return (self.capacity - self.level) / self.rate


class _Pool:
    __slots__ = ("day", "images", "limit", "requests", "tokens")

    def __init__(self, limit: Limit, depth_seconds: float, now: float) -> None:
        def bucket(per_minute: float | None) -> _Bucket | None:
            if per_minute is None:
                return None
            rate = per_minute / 60.0
            return _Bucket(rate, max(1.0, rate * depth_seconds), now)

        self.limit = limit
        self.requests = bucket(limit.rpm)
        self.tokens = bucket(limit.tpm)
        self.images = bucket(limit.ipm)
        self.day = _Bucket(limit.rpd / 86_400.0, limit.rpd, now) if limit.rpd else None


_NAMES = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "images": "images per min (IPM)",
    "day": "requests per day (RPD)",
}


class Limiter:
    """Enforces limits exactly; every account has its own buckets per model.

    `depth_seconds` is how much of a minute's allowance can be saved up: 60 is a whole minute, full at the
    start; 1 enforces per second. With `count_refused`, refused requests use the allowance too.
    """

    def __init__(
        self,
        clock: Clock,
        limits: dict[str, Limit],
        *,
        default: Limit,
        depth_seconds: float = 60.0,
        count_refused: bool = False,
    ) -> None:
        self._clock = clock
        self._pools: dict[tuple[str, str], _Pool] = {}
        self.limits = dict(limits)
        self.default = default
        self.depth_seconds = depth_seconds
        self.count_refused = count_refused
        self.accepted = 0
        self.refused = 0

    def change(
        self,
        *,
        model: str = "*",
        limit: Limit | None = None,
        depth_seconds: float | None = None,
        count_refused: bool | None = None,
    ) -> None:
        """Set other limits from now on; all buckets start full again."""
        if limit is not None and model == "*":
            self.limits.clear()
            self.default = limit
        elif limit is not None:
            self.limits[model] = limit
        self.depth_seconds = self.depth_seconds if depth_seconds is None else depth_seconds
        self.count_refused = self.count_refused if count_refused is None else count_refused
        self._pools.clear()

    def admit(self, account: str, model: str, tokens: int, images: int = 0) -> Verdict:
        """Charge one request of `tokens` and `images`, or refuse it."""
        now = self._clock.monotonic()
        pool = self._pools.get((account, model))
        if pool is None:
            pool = _Pool(self.limits.get(model, self.default), self.depth_seconds, now)
            self._pools[account, model] = pool
        wait, dimension = 0.0, ""
        for name, bucket, amount in _buckets(pool, tokens, images):
            bucket.refill(now)
            needed = bucket.wait_for(amount)
            if needed > wait:
                wait, dimension = needed, name
        for name, most, amount in (("tokens", pool.limit.tpm, tokens), ("images", pool.limit.ipm, images)):
            if most is not None and amount > most:
                wait, dimension = math.inf, name
        if not dimension:
            self.accepted += 1
            for _, bucket, amount in _buckets(pool, tokens, images):
                bucket.level -= amount
            return Verdict(True, _headers(pool))
        self.refused += 1
        if self.count_refused:
            for _, bucket, amount in _buckets(pool, tokens, images):
                bucket.level = min(bucket.level, max(0.0, bucket.level - amount))
        return _refusal(pool, model, {"tokens": tokens, "images": images}.get(dimension, 1), wait, dimension)


def _buckets(pool: _Pool, tokens: int, images: int) -> list[tuple[str, _Bucket, float]]:
    return [
        (name, bucket, amount)
        for name, bucket, amount in (
            ("requests", pool.requests, 1.0),
            ("tokens", pool.tokens, float(tokens)),
            ("images", pool.images, float(images)),
            ("day", pool.day, 1.0),
        )
        if bucket is not None
    ]


def _refusal(pool: _Pool, model: str, asked: int, wait: float, dimension: str) -> Verdict:
    own = pool.limit
    limit = {"requests": own.rpm, "tokens": own.tpm, "images": own.ipm, "day": own.rpd}[dimension]
    kind = "requests" if dimension == "day" else dimension
    if math.isinf(wait):
        message = f"Request too large for {model} on {_NAMES[dimension]}: Limit {limit:.0f}, Requested {asked}."
        return Verdict(False, _headers(pool), kind, message)
    message = (
        f"Rate limit reached for {model} on {_NAMES[dimension]}: Limit {limit:.0f}, Requested {asked}. "
        f"Please try again in {format_duration(wait)}."
    )
    headers = _headers(pool)
    headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait))))
    headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(wait * 1000))))
    return Verdict(False, headers, kind, message)


def _headers(pool: _Pool) -> Headers:
    found: Headers = []
    for name, bucket, limit in (
        (b"requests", pool.requests, pool.limit.rpm),
        (b"tokens", pool.tokens, pool.limit.tpm),
        (b"images", pool.images, pool.limit.ipm),
    ):
        if bucket is not None and limit is not None:
            found.append((b"x-ratelimit-limit-" + name, b"%d" % limit))
            found.append((b"x-ratelimit-remaining-" + name, b"%d" % bucket.remaining()))
            found.append((b"x-ratelimit-reset-" + name, format_duration(bucket.seconds_to_full()).encode()))
    return found


def format_duration(seconds: float) -> str:
    """Write a duration as the service's headers do: `20ms`, `1s`, `6m0s`, `1h0m0s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds < 1000:
        return f"{max(milliseconds, 0)}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(math.ceil(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
