"""The world that the emulators of one sandbox share: time, chance, planned faults, latency, and what was done."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

import msgspec

from penstock.base.clock import Clock
from penstock.base.types import Usage

_TIER = re.compile(rb'"service_tier"\s*:\s*"(\w+)"')

FaultKind = Literal["status", "slow", "hang", "drop", "lost", "malformed", "html", "cut", "error"]


class Fault(msgspec.Struct, frozen=True):
    """One planned fault: where it strikes, how often, and what happens.

    `kind`: `status` answers `status` and `code`; `slow` waits `seconds`, then answers; `hang` does and bills
    the work, then is silent for `seconds`; `drop` closes without doing the work; `lost` does and bills the
    work, then cuts the answer off; `malformed` answers 200 with cut JSON; `html` answers a gateway's page.
    Only OpenAI's streams: `cut` ends one in the middle without its last event, `error` with an error event
    (without a stream: a response that failed); `slow` spreads the seconds over it, `hang` waits in the middle.
    `param`, `headers` and `retry` (how `seconds` is told) shape OpenAI's `status` faults.
    `after` matching calls pass unharmed first; `times` is how often it strikes at most; `rate` is its chance.
    """

    vendor: str = "*"
    operation: str = "*"
    kind: FaultKind = "status"
    rate: float = 1.0
    times: int | None = None
    after: int = 0
    seconds: float = 0.0
    status: int | None = None
    code: str | None = None
    param: str | None = None
    retry: Literal["both", "seconds", "ms", "date"] = "both"
    headers: dict[str, str] = {}


class Billed(msgspec.Struct, frozen=True):
    """One piece of work that the vendor did and charges for."""

    operation: str
    body_hash: str
    model: str
    usage: Usage
    client_request_id: str
    at: float
    tier: str = "default"


class Written(msgspec.Struct, frozen=True):
    """One write that a vendor accepted: what was touched and which fields were set."""

    vendor: str
    operation: str
    target: str
    fields: tuple[str, ...]
    at: float


class Called(msgspec.Struct, frozen=True):
    """One request that arrived, and how it was answered (0: not at all)."""

    vendor: str
    operation: str
    status: int
    at: float


class Latency(msgspec.Struct, frozen=True):
    """How long an answer takes: `mean` seconds, spread log-normally by `sigma` (0: always the mean)."""

    mean: float = 0.0
    sigma: float = 0.0

    def draw(self, chance: random.Random) -> float:
        """Return the seconds that one answer takes."""
        if self.mean <= 0 or self.sigma <= 0:
            return max(self.mean, 0.0)
        return chance.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma)


class _Progress:
    __slots__ = ("fault", "fired", "seen")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.fired = 0


class World:
    """One sandbox: everything that its emulators share; equal seeds give equal worlds."""

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int = 7,
        faults: list[Fault] | None = None,
        latency: dict[str, Latency] | None = None,
        keep: int = 100_000,
    ) -> None:
        """Start a world. `latency` is per vendor, `*` for all; `keep` bounds the logs, the counts stay exact."""
        self.clock = clock
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.faults: list[Fault] = list(faults or [])
        self.latency: dict[str, Latency] = dict(latency or {})
        self.calls: Counter[tuple[str, str, int]] = Counter()
        self.log: deque[Called] = deque(maxlen=keep)
        self.billed: deque[Billed] = deque(maxlen=keep)
        self.billed_calls: Counter[str] = Counter()
        self.billed_usage: dict[str, Usage] = {}
        self.writes: deque[Written] = deque(maxlen=keep)
        self.written: Counter[tuple[str, str]] = Counter()
        self._progress: dict[int, _Progress] = {}

    def take_fault(self, vendor: str, operation: str) -> Fault | None:
        """Return the fault that strikes this call, if any, and count it; the first that fits wins."""
        for fault in self.faults:
            if fault.vendor not in ("*", vendor) or fault.operation not in ("*", operation):
                continue
            progress = self._progress.setdefault(id(fault), _Progress(fault))
            progress.seen += 1
            if progress.seen <= fault.after or (fault.times is not None and progress.fired >= fault.times):
                continue
            if fault.rate < 1.0 and self.rng.random() >= fault.rate:
                continue
            progress.fired += 1
            return fault
        return None

    async def wait(self, vendor: str) -> None:
        """Take as long as this vendor's answers take."""
        latency = self.latency.get(vendor) or self.latency.get("*")
        seconds = latency.draw(self.rng) if latency else 0.0
        if seconds > 0:
            await self.clock.sleep(seconds)

    def note(self, vendor: str, operation: str, status: int) -> None:
        """Count a request and its answer's status (0: none was given)."""
        self.calls[vendor, operation, status] += 1
        if self.log.maxlen:
            self.log.append(Called(vendor, operation, status, self.clock.now()))

    def bill(self, operation: str, body: bytes, model: str, usage: Usage, client_request_id: str = "") -> None:
        """Charge for work done; the body is kept only as a hash."""
        self.billed_calls[operation] += 1
        self.billed_usage[model] = self.billed_usage.get(model, Usage()) + usage
        if self.billed.maxlen:
            digest = hashlib.blake2b(body, digest_size=16).hexdigest()
            tier = _tier_of(body)
            self.billed.append(Billed(operation, digest, model, usage, client_request_id, self.clock.now(), tier))

    def wrote(self, vendor: str, operation: str, target: str, fields: tuple[str, ...]) -> None:
        """Log an accepted write; only names of fields are kept, never their values."""
        self.written[vendor, operation] += 1
        if self.writes.maxlen:
            self.writes.append(Written(vendor, operation, target, fields, self.clock.now()))

    def bought_twice(self) -> int:
        """Return how many kept billed calls repeat an earlier one with the same body."""
        counts = Counter((one.operation, one.body_hash) for one in self.billed)
        return sum(count - 1 for count in counts.values())

    def reset(self) -> None:
        """Forget faults, logs and counts, and start chance anew; latency stays."""
        self.rng.seed(self.seed)
        self.faults.clear()
        self._progress.clear()
        self.calls.clear()
        self.log.clear()
        self.billed.clear()
        self.billed_calls.clear()
        self.billed_usage.clear()
        self.writes.clear()
        self.written.clear()


def _tier_of(body: bytes) -> str:
    """Return the service tier that is billed for a request."""
    found = _TIER.search(body) if b'"service_tier"' in body else None
    tier = found[1].decode() if found else "default"
    return {"priority": "fast", "flex": "flex", "fast": "fast", "ultrafast": "ultrafast"}.get(tier, "default")


async def cut_connection(scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]]) -> None:
    """Break the connection with no (further) answer.

    The sandbox's own server can abort the socket; anywhere else, in process for
    example, the cut shows as a `ConnectionResetError`.
    """
    abort = scope.get("extensions", {}).get("penstock.abort")
    if abort is None:
        raise ConnectionResetError("the sandbox cut the connection")
    abort()
    while (await receive())["type"] != "http.disconnect":
        pass
