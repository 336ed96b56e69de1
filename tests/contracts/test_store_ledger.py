"""What every ledger does, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from books import count_books, die, put_aside, query
from penstock.base.clock import ManualClock
from penstock.base.errors import FixError, StoppedError
from penstock.base.types import Usage
from penstock.runtime.ledger import Ledger, Settlement, Spent
from penstock.runtime.store import Store
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return new_place(request.param, tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(place: Path | str, clock: ManualClock) -> AsyncIterator[Store]:
    store = await Store.open(place, clock, "test")
    yield store
    await store.close()


async def test_a_call_moves_from_reserved_to_spent(store: Store, clock: ManualClock) -> None:
    ledger = Ledger(store, clock)
    held = await put_aside(ledger, 100)
    assert held.call_id.startswith("pk-")
    assert await ledger.spent("run:r") == Spent(0, 100, 0, 0)
    await ledger.settle(Settlement(held, "done", clock.now(), 30, Usage(5, 0, 0, 2)))
    for scope in ("run:r", "flow:f", "day:2026-11-18", "month:2026-11"):
        assert await ledger.spent(scope) == Spent(30, 0, 0, 1), scope
    assert await ledger.spent("run:other") == Spent(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("state", "cost", "expected"),
    [
        ("done", 30, Spent(30, 0, 0, 1)),
        ("done", None, Spent(0, 0, 100, 1)),  # paid for at a price nobody knows: it stays put aside
        ("failed", 0, Spent(0, 0, 0, 0)),
        ("failed", 12, Spent(12, 0, 0, 0)),
        ("unknown", 0, Spent(0, 0, 100, 0)),
    ],
)
async def test_each_ending_has_its_place_in_the_books(
    store: Store, clock: ManualClock, state: str, cost: int | None, expected: Spent
) -> None:
    ledger = Ledger(store, clock)
    settlement = Settlement(await put_aside(ledger, 100), state, clock.now(), cost)  # type: ignore[arg-type]
    for _ in range(2):  # the second time changes nothing
        await ledger.settle(settlement)
        assert await ledger.spent("run:r") == expected
    assert await count_books(store) == expected


async def test_an_outcome_that_becomes_known_late_replaces_the_unknown(store: Store, clock: ManualClock) -> None:
    ledger = Ledger(store, clock)
    held = await put_aside(ledger, 100)
    await ledger.settle(Settlement(held, "unknown", clock.now()))
    await ledger.settle(Settlement(held, "done", clock.now(), 30))
    assert await ledger.spent("run:r") == Spent(30, 0, 0, 1) == await count_books(store)


async def test_a_call_that_does_not_fit_into_a_budget_never_leaves(store: Store, clock: ManualClock) -> None:
    ledger = Ledger(store, clock, {"run": 100})
    await ledger.settle(Settlement(await put_aside(ledger, 60), "done", clock.now(), 60))
    with pytest.raises(StoppedError, match="the budget of the run r is reached") as raised:
        await put_aside(ledger, 41)
    assert raised.value.code == "budget.reached"
    assert "Raise the budget" in raised.value.hint
    assert await ledger.spent("run:r") == Spent(60, 0, 0, 1)
    await put_aside(ledger, 40)
    await put_aside(ledger, 100, run="another")


async def test_a_caller_waits_while_what_is_left_is_only_put_aside(store: Store, clock: ManualClock) -> None:
    ledger = Ledger(store, clock, {"flow:f": 100})

    async def work() -> list[str]:
        order = []
        first = await put_aside(ledger, 100)

        async def second() -> None:
            await put_aside(ledger, 70)
            order.append("second")

        waiting = asyncio.ensure_future(second())
        await clock.sleep(60.0)
        order.append("settled")
        await ledger.settle(Settlement(first, "done", clock.now(), 30))
        await waiting
        return order

    assert await clock.run(work()) == ["settled", "second"]


async def test_money_that_another_process_settles_is_noticed(
    store: Store, place: Path | str, clock: ManualClock
) -> None:
    other = await Store.open(place, clock)
    ledger, their = Ledger(store, clock, {"day": 100}), Ledger(other, clock, {"day": 100})

    async def work() -> None:
        theirs = await put_aside(their, 90)
        waiting = asyncio.ensure_future(put_aside(ledger, 50))
        await clock.sleep(20.0)
        assert not waiting.done()
        await their.settle(Settlement(theirs, "done", clock.now(), 10))
        await waiting

    await clock.run(work())
    await other.close()


async def test_nobody_waits_for_the_money_of_a_process_that_died(
    store: Store, place: Path | str, clock: ManualClock
) -> None:
    other = await Store.open(place, clock)
    await put_aside(Ledger(other, clock), 90)
    await die(other)
    ledger = Ledger(store, clock, {"day": 100})
    with pytest.raises(StoppedError):  # what died may have been billed: it counts
        await clock.run(put_aside(ledger, 50))
    assert await ledger.spent("run:r") == Spent(0, 0, 90, 0)


async def test_a_caller_that_is_cancelled_while_it_reserves_leaves_nothing_behind(
    store: Store, clock: ManualClock
) -> None:
    ledger = Ledger(store, clock, {"run": 1000})
    for turns in range(30):
        task = asyncio.ensure_future(put_aside(ledger, 1000))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            await ledger.settle(Settlement(task.result(), "failed", clock.now()))
        await clock.run(put_back(ledger, clock))
    assert await ledger.spent("run:r") == Spent(0, 0, 0, 0) == await count_books(store)


async def put_back(ledger: Ledger, clock: ManualClock) -> None:
    await ledger.settle(Settlement(await put_aside(ledger, 1000), "failed", clock.now()))


async def test_without_a_price_a_budget_cannot_be_kept(store: Store, clock: ManualClock) -> None:
    with pytest.raises(FixError) as raised:
        await put_aside(Ledger(store, clock, {"month": 1}), None)
    assert raised.value.code == "budget.price-unknown"
    free = Ledger(store, clock)
    await free.settle(Settlement(await put_aside(free, None), "done", clock.now(), None))
    assert await free.spent("run:r") == Spent(0, 0, 0, 1)
    [row] = await free.costs()
    assert (row.count, row.cost, row.held, row.unpriced) == (1, 0, 0, 1)


async def test_costs_are_told_by_day_in_utc(store: Store, clock: ManualClock) -> None:
    ledger = Ledger(store, clock)
    midnight = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    for moment in (midnight - 0.4, midnight - 0.0001, midnight, midnight + 0.6, midnight + 86_399.7):
        clock._time = moment
        await ledger.settle(Settlement(await put_aside(ledger, 10), "done", clock.now(), 7, Usage(100, 40, 0, 5)))
    await ledger.settle(Settlement(await put_aside(ledger, 10), "unknown", clock.now()))
    await put_aside(ledger, 10)
    rows = {(row.day, row.state): row for row in await ledger.costs()}
    found = {name: (row.count, row.cost, row.held, row.input, row.cached) for name, row in rows.items()}
    assert found == {
        ("2026-11-19", "done"): (2, 14, 0, 200, 80),
        ("2026-11-20", "done"): (3, 21, 0, 300, 120),
        ("2026-11-20", "unknown"): (1, 0, 10, 0, 0),
        ("2026-11-20", "sent"): (1, 0, 0, 0, 0),
    }
    assert {row.day for row in await ledger.costs(since=midnight)} == {"2026-11-20"}
    assert next(row.day for row in await ledger.costs()) == "2026-11-20"


async def test_a_budget_of_a_day_begins_anew_with_the_next(store: Store, clock: ManualClock) -> None:
    ledger = Ledger(store, clock, {"day": 100, "month": 150})
    await ledger.settle(Settlement(await put_aside(ledger, 100), "done", clock.now(), 100))
    with pytest.raises(StoppedError, match="of the day"):
        await put_aside(ledger, 1)
    clock.advance(86_400)
    await put_aside(ledger, 50)
    with pytest.raises(StoppedError, match="of the month"):
        await put_aside(ledger, 51)


async def test_recovery_marks_what_dead_processes_left_and_nothing_else(
    store: Store, place: Path | str, clock: ManualClock
) -> None:
    dead, alive = await Store.open(place, clock), await Store.open(place, clock)
    left = [await put_aside(Ledger(dead, clock), 5) for _ in range(3)]
    await Ledger(dead, clock).settle(Settlement(left[0], "done", clock.now(), 4))
    await put_aside(Ledger(alive, clock), 7)
    await put_aside(Ledger(store, clock), 11)
    await die(dead)
    ledger = Ledger(store, clock)
    found = await asyncio.gather(ledger.recover(), ledger.recover(), Ledger(alive, clock).recover())
    assert sum(found) == 2
    assert await ledger.recover() == 0
    assert await ledger.spent("run:r") == Spent(4, 18, 10, 1) == await count_books(store)
    assert [(row[3], row[5]) for row in await store.read("unknown_calls", limit=9)] == [("op", 5), ("op", 5)]
    await alive.close()


async def test_a_call_still_open_when_its_store_was_closed_is_found_later(
    store: Store, place: Path | str, clock: ManualClock
) -> None:
    other = await Store.open(place, clock)
    await put_aside(Ledger(other, clock), 5)
    await other.close()
    assert await Ledger(store, clock).recover() == 1
    assert await Ledger(store, clock).recover() == 0


CHILD = """
import asyncio, random, sys
from books import put_aside
from penstock.base.clock import SystemClock
from penstock.base.errors import StoppedError
from penstock.runtime.ledger import Ledger, Settlement
from penstock.runtime.store import Store

async def main(place, cap, seed):
    clock = SystemClock()
    chance = random.Random(seed)
    store = await Store.open(place, clock)
    ledger = Ledger(store, clock, {"day": cap})

    async def work():
        while True:
            worst = chance.randrange(1, 100)
            held = await put_aside(ledger, worst)
            await asyncio.sleep(chance.random() / 500)
            await ledger.settle(Settlement(held, "done", clock.now(), chance.randrange(worst + 1)))

    results = await asyncio.gather(*(work() for _ in range(16)), return_exceptions=True)
    assert all(isinstance(result, StoppedError) for result in results), results
    await store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


async def test_several_processes_never_pass_one_budget(place: Path | str, store: Store) -> None:
    cap = 20_000
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(place), str(cap), str(seed), env=environment
        )
        for seed in range(3)
    ]
    ended = asyncio.gather(*(child.wait() for child in children))
    most = 0
    while not ended.done():
        for spent, reserved, held in await query(store, "select spent, reserved, held from budgets"):
            most = max(most, spent + reserved + held)
        await asyncio.sleep(0.01)
    assert await ended == [0, 0, 0]
    books = await count_books(store)
    assert most <= cap
    assert cap - 100 < books.spent <= cap
    assert books.reserved == books.held == 0
    sessions = await query(store, "select count(distinct session), count(*) from calls")
    assert sessions[0][0] == 3
