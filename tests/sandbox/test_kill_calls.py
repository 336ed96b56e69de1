"""Processes that buy answers are killed again and again: what was paid for is held, and the books are true."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from books import count_books, query
from penstock.base.clock import SystemClock
from penstock.runtime.answers import Answers
from penstock.runtime.ledger import Ledger
from penstock.runtime.store import Store
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.server import make_config
from penstock.sandbox.world import Latency, World
from stores import new_place

WIDTH = 8


@asynccontextmanager
async def serve(world: World) -> AsyncIterator[str]:
    """Serve the emulated OpenAI on loopback, so that its bills outlive every child."""
    import uvicorn

    app = build_openai_app(world, limiter=Limiter(world.clock, {}, default=Limit()), fast=True)
    server = uvicorn.Server(make_config(app, "127.0.0.1", 0))
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for this
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        await task


class Children:
    """One process that forks the others, so that Python and its imports start once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, base_url: str) -> Children:
        here = Path(__file__).parent
        environment = {**os.environ, "PYTHONPATH": str(here.parent)}
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(here / "calls_child.py"),
                base_url,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
            )
        )

    async def begin(self, order: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n".encode())
        return int((await self._line())[1])

    async def ended(self) -> int:
        return int((await self._line())[2])

    async def _line(self) -> list[str]:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().split()

    async def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()


async def kill_again_and_again(world: World, children: Children, database: Any, count: int, kills: int) -> int:
    """Kill a child after a random number of further requests, again and again; then let one end. Returns the kills."""
    chance = random.Random()
    killed = 0
    for seed in range(kills):
        target = world.billed_calls["decisions"] + chance.randrange(1, 2 * count // kills + 2)
        pid = await children.begin(f"{database} {count} {WIDTH} {seed}")
        ending = asyncio.ensure_future(children.ended())
        while world.billed_calls["decisions"] < target and not ending.done():  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() * 0.004)  # anywhere between request, answer and commit
        if not ending.done():
            os.kill(pid, signal.SIGKILL)
        killed += await ending == -signal.SIGKILL
    await children.begin(f"{database} {count} {WIDTH} 999")
    assert await children.ended() == 0
    return killed


async def check_books(world: World, database: Any, count: int, killed: int) -> None:
    clock = SystemClock()
    store = await Store.open(database, clock)
    ledger = Ledger(store, clock)
    assert await ledger.recover() == 0
    spent = await ledger.spent("run:r")
    assert spent == await count_books(store)
    assert spent.reserved == 0
    assert world.bought_twice() <= WIDTH * killed
    rows = await query(store, "select id, state, input, cost from calls")
    calls = {f"pk-{number:x}": (state, taken, cost) for number, state, taken, cost in rows}
    assert {state for state, _, _ in calls.values()} <= {"done", "unknown"}
    assert sum(state == "done" for state, _, _ in calls.values()) == spent.calls == count
    unknown = [state for state, _, _ in calls.values() if state == "unknown"]
    assert len(unknown) <= WIDTH * killed
    billed = {bill.client_request_id: bill.usage.input for bill in world.billed}
    for name, taken in billed.items():  # whatever the vendor bills is in the books
        state, noted, _ = calls[name]
        assert state == "unknown" or noted == taken
    assert all(name in billed for name, (state, _, _) in calls.items() if state == "done")
    keys = [bytes(key) for (key,) in await query(store, "select key from answer_keys")]
    assert len(await Answers(store, clock).get_many(keys)) == len(keys) == count
    await store.close()


async def run(database: Any, count: int, kills: int, least: int) -> None:
    world = World(SystemClock(), latency={"openai": Latency(0.002, 0.5)})
    async with serve(world) as url:
        children = await Children.start(url)
        try:
            killed = await kill_again_and_again(world, children, database, count, kills)
        finally:
            await children.close()
    assert killed >= least
    await check_books(world, database, count, killed)


@pytest.mark.slow
async def test_after_sixty_kills_nothing_held_is_bought_again_and_the_books_are_true(tmp_path: Path) -> None:
    await run(tmp_path / "store.sqlite", count=600, kills=65, least=50)


@pytest.mark.slow
async def test_after_kills_the_books_are_true_on_postgresql_too(tmp_path: Path) -> None:
    await run(new_place("postgresql", tmp_path), count=200, kills=15, least=10)
