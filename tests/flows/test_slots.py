"""Places for work at once, however the waiting ends."""

import asyncio

from penstock.flows.slots import Slots


async def test_no_more_are_inside_than_there_are_places_and_all_come_in_order():
    slots, inside, most, order = Slots(3), 0, 0, []

    async def work(number: int) -> None:
        nonlocal inside, most
        async with slots:
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work(number) for number in range(20)))
    assert (most, order) == (3, list(range(20)))


async def test_a_place_is_not_lost_when_who_waits_for_it_is_cancelled():
    slots = Slots(1)
    await slots.__aenter__()

    async def wait() -> None:
        async with slots:
            pass

    waiting, handed, last = (asyncio.create_task(wait()) for _ in range(3))
    await asyncio.sleep(0)
    waiting.cancel()
    await slots.__aexit__()
    handed.cancel()  # after the place was handed over, before it could be used
    await asyncio.wait_for(last, 5)
    assert waiting.cancelled()
    assert handed.cancelled()
    await asyncio.wait_for(wait(), 5)
