"""What is no longer needed goes: bodies first, then events; what still waits stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outboxes import DAY, Desk, open_desk
from penstock.events import replay
from penstock.events.retention import forget_old
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(new_place(request.param, tmp_path)) as opened:
        yield opened


async def count(desk: Desk, table: str) -> int:
    return int((await desk.query(f"select count(*) from {table}"))[0][0])


async def test_bodies_go_before_events_and_waiting_ones_stay(desk: Desk) -> None:
    await desk.put("sent")
    batch = await desk.claim()
    assert batch is not None
    await desk.settle(batch, "delivered")
    await desk.put("held", age=-20 * DAY)
    assert await forget_old(desk.outbox, 7 * DAY) == 0
    desk.clock.advance(8 * DAY)
    assert await forget_old(desk.outbox, 7 * DAY) == 1
    assert (await count(desk, "event_bodies"), await count(desk, "events")) == (1, 2)
    assert (await replay.replay(desk.outbox, replay.Choice(event_ids=["sent"]))).gone == 1
    (again,) = await desk.put("sent")
    assert again.state == "duplicate"
    desk.clock.advance(31 * DAY)
    await forget_old(desk.outbox, 7 * DAY)
    assert await desk.states() == {"held": ["waiting"]}
    assert [await count(desk, name) for name in ("event_attempts", "event_batches", "event_changes")] == [0, 0, 0]
    (fresh,) = await desk.put("sent")
    assert fresh.state == "waiting"
