"""The manual clock: hours pass at once, in a fixed order."""

from __future__ import annotations

import asyncio

from penstock.base.clock import ManualClock, SystemClock


async def test_sleepers_wake_in_the_order_of_their_time() -> None:
    clock, woken = ManualClock(), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    await clock.run(asyncio.gather(*(sleep(seconds) for seconds in (3600.0, 5.0, 60.0, 0.0))))
    assert woken == [(0.0, 0.0), (5.0, 5.0), (60.0, 60.0), (3600.0, 3600.0)]


def test_ids_sort_by_time_and_differ() -> None:
    clock = ManualClock()
    first = clock.new_id("run")
    clock.advance(1)
    second = clock.new_id("run")
    assert first < second
    assert first.startswith("run_")
    assert len({SystemClock().new_id("x") for _ in range(500)}) == 500
