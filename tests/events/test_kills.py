"""Processes that accept and deliver events are killed again and again: nothing acknowledged is lost or renamed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from books import query
from forks import Children, serve_app
from penstock.base.clock import SystemClock
from penstock.runtime.store import Store
from penstock.sandbox.conversions import ConversionsApp, build_conversions_app
from penstock.sandbox.world import Fault, Latency, World
from stores import new_place

CHILD = Path(__file__).with_name("conversions_child.py")
COUNT = 80


async def kill_again_and_again(app: ConversionsApp, children: Children, place: Any, log: Path, kills: int) -> int:
    """Kill a child after a random number of further saved events, again and again; then let one end."""
    chance = random.Random()
    killed = 0
    for seed in range(kills):
        target = app.state.counts["saved"] + chance.randrange(0, COUNT)
        pid = await children.begin(f"{place} {log} {seed} {COUNT}")
        ending = asyncio.ensure_future(children.ended())
        while app.state.counts["saved"] < target and not ending.done():  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() * 0.01)  # anywhere between accept, claim, request, answer and commit
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal.SIGKILL)
        killed += await ending == -signal.SIGKILL
    await children.begin(f"{place} {log} {kills} 4")
    assert await children.ended() == 0
    return killed


async def check(app: ConversionsApp, place: Any, acknowledged: list[str]) -> None:
    received = {one.event["id"] for one in app.state.received}
    assert len(app.state.received) == len(received)
    assert set(acknowledged) <= received
    store = await Store.open(place, SystemClock())
    rows = await query(store, "select event_id, state from events")
    claimed = await query(store, "select count(*) from event_batches where session <> ''")
    counts = await query(store, "select state, sum(events) from event_counts group by state")
    await store.close()
    assert {state for _, state in rows} == {"delivered"}
    assert sorted(one for one, _ in rows) == sorted(received)  # nothing under another id, nothing twice in the store
    assert claimed == [(0,)]
    assert {state: int(total) for state, total in counts if total} == {"delivered": len(rows)}


async def run(place: Any, folder: Path, kills: int, least: int) -> None:
    world = World(SystemClock(), latency={"conversions": Latency(0.002, 0.5)})
    world.faults.append(Fault("conversions", "events", "lost", rate=0.02))
    world.faults.append(Fault("conversions", "events", "status", rate=0.02, status=503))
    app = build_conversions_app(world)
    log = folder / "acknowledged.txt"
    async with serve_app(app) as url:
        children = await Children.start(CHILD, url)
        try:
            killed = await kill_again_and_again(app, children, place, log, kills)
        finally:
            await children.close()
    assert killed >= least
    await check(app, place, log.read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))  # 200 kills in all
async def test_after_kills_every_acknowledged_event_has_arrived(part: int, tmp_path: Path) -> None:
    await run(tmp_path / "store.sqlite", tmp_path, kills=60, least=50)


@pytest.mark.slow
async def test_after_kills_every_acknowledged_event_has_arrived_on_postgresql_too(tmp_path: Path) -> None:
    await run(new_place("postgresql", tmp_path), tmp_path, kills=25, least=18)
