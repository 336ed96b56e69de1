"""A simulated run against the sandbox's exact limiter: many workers, one or more governors, a clock that jumps."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from penstock.base.clock import ManualClock
from penstock.base.errors import ThrottledError
from penstock.runtime.governor import Charge, Governor, Pool
from penstock.runtime.quota import Board, MemoryBoard
from penstock.sandbox.limits import Limit, Limiter
from penstock.vendor.models import Limits

POOL = Pool("account", "model")
BUILD = Limits(rpm=5000, tpm=1_000_000)


@dataclass
class Trial:
    """What to simulate: 3,000 requests and 400,000 tokens a minute, answers after about 0.3 s."""

    depth: float = 1.0
    count_refused: bool = False
    work: str = "mixed"
    error: float = 1.0
    noise: float = 0.0
    seconds: float = 30.0
    workers: int = 64
    processes: int = 1
    expected: Limits = BUILD
    seed: int = 1
    latency: float = 0.3
    headers: bool = True
    start: float = field(default=0.0, init=False)
    last: float = field(default=0.0, init=False)
    requests: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    wanted: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.chance = random.Random(self.seed)
        self.limiter = Limiter(
            self.clock, {}, default=Limit(3000, 400_000), depth_seconds=self.depth, count_refused=self.count_refused
        )
        self.governors: list[Governor] = []

    def run(self, board: Board | None = None) -> Trial:
        asyncio.run(self.clock.run(self.simulate(board), settle_rounds=8))
        return self

    async def simulate(self, board: Board | None = None) -> None:
        board = board or MemoryBoard(self.clock)
        self.governors = [Governor(self.clock, board, lambda _: self.expected) for _ in range(self.processes)]
        self.start = self.clock.monotonic()
        share = self.workers // self.processes
        await asyncio.gather(*(self.work_on(governor) for governor in self.governors for _ in range(share)))
        for governor in self.governors:
            await governor.close()

    async def work_on(self, governor: Governor) -> None:
        while self.clock.monotonic() < self.start + self.seconds:
            tokens = self.size()
            self.wanted += 1
            await self.call(governor, tokens)

    def size(self) -> int:
        if self.work == "short":
            return 38
        dice = self.chance.random()
        if dice < 0.8:
            return int(248 + 100 * self.chance.random())
        return int(300 + 600 * self.chance.random()) if dice < 0.95 else int(900 + 912 * self.chance.random())

    async def call(self, governor: Governor, tokens: int) -> None:
        guess = max(1, int(tokens * self.error * self.chance.lognormvariate(0.0, self.noise)))
        again = False
        while True:
            permit = await governor.acquire(POOL, Charge(1, guess), front=again)
            await self.clock.sleep(0.0002 + 0.002 * self.chance.random())
            verdict = self.limiter.admit("account", "model", tokens)
            headers = {name.decode(): value.decode() for name, value in verdict.headers} if self.headers else {}
            if verdict.allowed:
                self.requests += 1
                self.tokens += tokens
                self.last = self.clock.monotonic()
                await self.clock.sleep(self.latency * self.chance.lognormvariate(0.0, 0.3))
                governor.observe(permit, headers, tokens)
                return
            self.refused += 1
            again = True
            await self.clock.sleep(0.02)
            governor.refuse(permit, ThrottledError("too fast", code="openai.throttled", retry_after=1.0), headers)

    @property
    def used(self) -> float:
        """Return the admitted share of what the binding limit offered between first call and last admission."""
        passed = self.last - self.start + self.depth
        return max(self.requests / (50.0 * passed), self.tokens / (400_000 / 60 * passed))

    @property
    def refused_share(self) -> float:
        return self.refused / (self.refused + self.requests)
