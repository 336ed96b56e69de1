"""A caller with everything behind it, against the emulated OpenAI in process, on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from penstock.base.clock import ManualClock
from penstock.runtime.answers import Answers
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.call import Caller
from penstock.runtime.corrections import Corrections
from penstock.runtime.governor import Governor
from penstock.runtime.ledger import Ledger, Spent
from penstock.runtime.quota import MemoryBoard
from penstock.runtime.refusals import Refusals
from penstock.runtime.store import Store
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.world import Fault, World
from penstock.vendor.http import Http
from penstock.vendor.models import Limits, load_catalogue
from penstock.vendor.openai import OpenAI

T = TypeVar("T")
MODEL = "gpt-6-luna"
QUESTION = {"type": "predicate", "name": "delivery", "instructions": "The customer mentions the delivery."}


def ask_about(text: str, **rest: Any) -> Ask:
    body = {"model": rest.get("model", MODEL), "input": text, "questions": [QUESTION]}
    values: dict[str, Any] = {"operation": "decide", "version": 1, "path": "/decisions", "model": MODEL}
    return Ask(**{**values, "body": body, "prompt_tokens": 30, **rest})


class Desk:
    """One world, one store and one caller; `run` lets hours pass in milliseconds."""

    def __init__(self, clock: ManualClock, store: Store, world: World, limiter: Limiter, timeout: float) -> None:
        self.clock = clock
        self.store = store
        self.world = world
        app = build_openai_app(world, limiter=limiter, fast=True)
        self.http = Http(apps={"api.openai.com": app})
        self.timeout = timeout
        self.ledger = Ledger(store, clock)
        self.answers = Answers(store, clock)
        self.governor = Governor(clock, MemoryBoard(clock), lambda _: Limits(rpm=60_000))
        self.caller = self.new_caller()

    def new_caller(self, key: str = "sk-test", **rest: Any) -> Caller:
        return Caller(
            connections={"openai": OpenAI(self.http, key, timeout=self.timeout, **rest)},
            answers=self.answers,
            ledger=self.ledger,
            governor=self.governor,
            catalogue=load_catalogue(),
            corrections=Corrections(self.store, {}),
            refusals=Refusals(self.store, self.clock, {}),
            clock=self.clock,
        )

    def plan(self, kind: Any, **rest: Any) -> None:
        self.world.faults.append(Fault("openai", "decisions", kind, **rest))

    async def run(self, work: Awaitable[T]) -> T:
        return await self.clock.run(work, settle_rounds=200)

    async def ask(self, text: str = "Late again.", **rest: Any) -> Answer:
        return await self.run(self.caller.ask(ask_about(text), run="r", **rest))

    async def states(self) -> list[str]:
        """Return how the calls ended, in the order in which they left."""
        rows = await self.store.look(
            lambda tx: tx._raw.execute("select state from calls order by id").fetchall()  # type: ignore[attr-defined]
        )
        return [row[0] for row in rows]

    async def spent(self) -> Spent:
        return await self.ledger.spent("run:r")

    @property
    def asked(self) -> int:
        """How many requests reached the vendor."""
        return sum(count for (_, operation, _), count in self.world.calls.items() if operation == "decisions")

    @property
    def billed(self) -> int:
        return self.world.billed_calls["decisions"]


@asynccontextmanager
async def open_desk(
    folder: Path, *, limit: Limit | None = None, timeout: float = 20.0, world_clock: ManualClock | None = None
) -> AsyncIterator[Desk]:
    clock = ManualClock()
    store = await Store.open(folder / "store.sqlite", clock)
    world = World(world_clock or clock)
    desk = Desk(clock, store, world, Limiter(clock, {}, default=limit or Limit()), timeout)
    try:
        yield desk
    finally:
        await desk.governor.close()
        await desk.http.close()
        await store.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - threads are at work, not only this loop
        await asyncio.sleep(0)
