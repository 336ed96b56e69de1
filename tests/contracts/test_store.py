"""What every store does, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.base.clock import ManualClock, SystemClock
from penstock.base.errors import DefectError, FixError, InputError, StoppedError
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store
from stores import KINDS, CountedWrites, names, new_place, row, write_row


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return new_place(request.param, tmp_path)


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    store = await Store.open(place, SystemClock(), "test")
    yield store
    await store.close()


async def test_callers_that_wait_at_the_same_time_share_a_transaction(store: Store) -> None:
    counted = CountedWrites()
    await asyncio.gather(*(store.batch(counted, row(f"r{n}")) for n in range(1000)))
    assert sum(counted.sizes) == 1000
    assert len(counted.sizes) <= 10
    assert len(await names(store)) == 1000


async def test_what_is_written_is_there_after_opening_again(place: Path | str) -> None:
    store = await Store.open(place, SystemClock())
    await store.batch(write_row, row("kept"))
    await store.close()
    store = await Store.open(place, SystemClock())
    assert await names(store) == {"kept"}
    await store.close()


async def test_one_bad_item_does_not_cost_the_others(store: Store) -> None:
    transactions = []

    def write(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
        transactions.append(len(items))
        write_row(tx, items)
        if any(item["operation"] == "r77" for item in items):
            raise ValueError("not like this")
        return [None] * len(items)

    results = await asyncio.gather(*(store.batch(write, row(f"r{n}")) for n in range(512)), return_exceptions=True)
    bad = [result for result in results if result is not None]
    assert len(bad) == 1
    assert isinstance(bad[0], DefectError)
    assert bad[0].code == "store.defect"
    assert len(await names(store)) == 511
    assert len(transactions) < 40


async def test_a_result_that_is_an_error_reaches_only_its_caller(store: Store) -> None:
    def write(tx: Tx, items: Sequence[dict[str, Any]]) -> list[Any]:
        write_row(tx, items)
        return [InputError("odd", code="test.odd") if item["samples"] % 2 else "even" for item in items]

    rows = [row(f"r{n}") | {"samples": n} for n in range(10)]
    results = await asyncio.gather(*(store.batch(write, one) for one in rows), return_exceptions=True)
    assert [isinstance(result, InputError) for result in results] == [n % 2 == 1 for n in range(10)]


async def test_a_text_that_no_database_can_hold_is_named_as_such(store: Store) -> None:
    broken = store.batch(write_row, row("half an emoji \ud83d"))
    results = await asyncio.gather(broken, store.batch(write_row, row("fine")), return_exceptions=True)
    assert isinstance(results[0], InputError)
    assert results[0].code == "store.bad-value"
    assert await names(store) == {"fine"}


async def test_two_stores_on_one_place_write_at_once(place: Path | str) -> None:
    stores = await asyncio.gather(*(Store.open(place, SystemClock()) for _ in range(3)))
    await asyncio.gather(
        *(store.batch(write_row, row(f"r{at}-{n}")) for n in range(200) for at, store in enumerate(stores))
    )
    assert len(await names(stores[0])) == 600
    for store in stores:
        await store.close()


async def test_a_store_written_by_a_newer_program_is_refused_before_anything_is_changed(place: Path | str) -> None:
    await (await Store.open(place, SystemClock())).close()
    if isinstance(place, Path):
        raw = sqlite3.connect(place)
        raw.execute("pragma user_version = 99")
        raw.close()
    else:
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("insert into schema_version values (99)")
    with pytest.raises(FixError, match=r"newer Penstock \(schema 99") as raised:
        await Store.open(place, SystemClock())
    assert raised.value.code == "store.newer"
    assert "Upgrade" in raised.value.hint


async def test_a_closed_store_says_so_instead_of_waiting_for_ever(place: Path | str) -> None:
    store = await Store.open(place, SystemClock())
    late = asyncio.ensure_future(store.batch(write_row, row("in time")))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    await late
    for attempt in (store.batch(write_row, row("too late")), store.read("corrections"), store.dead_sessions()):
        with pytest.raises(StoppedError) as raised:
            await attempt
        assert raised.value.code == "store.closed"
    store.post(write_row, row("too late"))


async def test_a_write_happens_even_when_its_caller_is_cancelled(store: Store) -> None:
    orphans: list[str] = []

    def write(tx: Tx, items: Sequence[dict[str, Any]]) -> list[str]:
        write_row(tx, items)
        return [item["operation"] for item in items]

    tasks = [asyncio.ensure_future(store.batch(write, row(f"r{n}"), orphans.append)) for n in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await store.batch(write_row, row("last"))
    assert len(await names(store)) == 101
    returned = {result for result in results if isinstance(result, str)}
    assert len(returned) == 50
    assert set(orphans) == {f"r{n}" for n in range(100)} - returned


async def test_a_cancelled_read_leaves_the_store_usable(store: Store) -> None:
    await store.batch(write_row, row("kept"))
    tasks = [asyncio.ensure_future(store.read("corrections")) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[:49]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[49].result() == [("kept", "m", 1.0, 1)]
    assert await names(store) == {"kept"}


async def test_numbers_only_grow_and_differ_between_stores_when_the_clock_goes_back(place: Path | str) -> None:
    clock = ManualClock()
    stores = [await Store.open(place, clock) for _ in range(3)]
    numbers: list[list[int]] = [[] for _ in stores]
    for jump in (0.0, 0.001, -3600.0, 0.0, 5.0, -1.0):
        clock._time += jump
        for store, own in zip(stores, numbers, strict=True):
            own += [store.next_number() for _ in range(6000)]
    for own in numbers:
        assert own == sorted(set(own))
    assert len(set().union(*numbers)) == 3 * 6 * 6000
    assert max(map(max, numbers)) < 2**63
    for store in stores:
        await store.close()


async def test_only_a_session_whose_process_is_gone_counts_as_dead(place: Path | str) -> None:
    first, second = await Store.open(place, SystemClock()), await Store.open(place, SystemClock())
    assert await first.dead_sessions() == []
    second._writer.close()  # what the end of a process does to its connections and locks
    assert await first.dead_sessions() == [second.session]
    second._is_closed = True
    second._jobs.put(None)
    second._reads.shutdown()
    second._reader.close()
    await first.close()
    third = await Store.open(place, SystemClock())
    assert await third.dead_sessions() == [second.session]
    await third.close()


async def test_a_caller_in_another_event_loop_gets_its_own_result(store: Store) -> None:
    def elsewhere() -> set[str]:
        async def work() -> set[str]:
            await store.batch(write_row, row("elsewhere"))
            return await names(store)

        return asyncio.run(work())

    _, found = await asyncio.gather(store.batch(write_row, row("here")), asyncio.to_thread(elsewhere))
    assert "elsewhere" in found


async def test_a_caller_whose_event_loop_is_gone_does_not_stop_the_writer(store: Store) -> None:
    def elsewhere() -> None:
        async def work() -> None:
            for n in range(50):
                store._jobs.put(_job(store, n))

        asyncio.run(work())

    await asyncio.to_thread(elsewhere)
    await store.batch(write_row, row("last"))
    assert len(await names(store)) == 51


def _job(store: Store, number: int) -> Any:
    from penstock.runtime.store import _Job

    return _Job(write_row, row(f"r{number}"), asyncio.get_running_loop().create_future())
