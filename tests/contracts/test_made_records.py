"""Records that a flow computes: made once for the same inputs, read the same on both kinds of database."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import StoppedError
from penstock.base.types import Record
from penstock.flows.made import FREE, PIECE, MadeSource
from penstock.privacy import Privacy
from penstock.runtime.call import Estimate
from penstock.runtime.store import Store
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield store
    await store.close()


class Squares:
    """Makes the squares of the first numbers, and counts how often it was asked to."""

    def __init__(self, count: int, cost: Estimate = FREE, cut_at: int | None = None) -> None:
        self.count = count
        self.cost = cost
        self.cut_at = cut_at
        self.makings = 0

    def describe(self) -> str:
        return "squares"

    async def fingerprint(self) -> str:
        return str(self.count)

    async def estimate(self) -> Estimate:
        return self.cost

    def example(self) -> Record:
        return Record("example", {"square": 4})

    async def make(self, run: str) -> AsyncIterator[Record]:
        self.makings += 1
        for number in range(self.count):
            if number == self.cut_at:
                raise StoppedError("the money is spent", code="budget.exceeded")
            yield Record(f"N{number}@Example.com", {"square": number * number}, f"number {number}")

    async def close(self) -> None:
        pass


async def open_source(store: Store, maker: Squares, flow: str = "f") -> MadeSource:
    return await MadeSource.open(store, store.clock, flow, "source", maker)


async def read(source: MadeSource, cursor: dict[str, Any] | None = None, size: int = 700) -> list[Record]:
    return [record async for page in source.pages(cursor, size) for record in page.records]


async def test_records_are_made_once_for_the_same_inputs(store: Store) -> None:
    maker = Squares(2 * PIECE + 5)
    source = await open_source(store, maker)
    await source.prepare("run_1")
    again = await open_source(store, maker)
    await again.prepare("run_2")
    records = await read(again)
    assert maker.makings == 1
    assert [record.data["square"] for record in records] == [n * n for n in range(2 * PIECE + 5)]
    assert (records[7].key, records[7].where) == ("N7@Example.com", "number 7")
    assert (await again.count(), again.identity()) == (2 * PIECE + 5, source.identity())


async def test_a_cursor_goes_on_right_behind_its_page(store: Store) -> None:
    source = await open_source(store, Squares(1_000))
    pages = [page async for page in source.pages(size=300)]
    await source.prepare("run")
    for page, later in itertools.pairwise(pages):
        rest = await read(source, page.cursor, 300)
        assert rest[: len(later.records)] == later.records
    assert await read(source, pages[-1].cursor) == []


async def test_what_was_cut_off_is_made_anew_and_never_read(store: Store) -> None:
    source = await open_source(store, Squares(3 * PIECE, cut_at=PIECE + 10))
    with pytest.raises(StoppedError):
        await source.prepare("run")
    whole = await open_source(store, Squares(3 * PIECE))
    await whole.prepare("run")
    assert len(await read(whole)) == 3 * PIECE


async def test_other_inputs_replace_the_records_of_the_same_flow_only(store: Store) -> None:
    old, others = await open_source(store, Squares(10)), await open_source(store, Squares(10), flow="g")
    await old.prepare("run")
    await others.prepare("run")
    new = await open_source(store, Squares(11))
    await new.prepare("run")
    assert (len(await read(new)), len(await read(others))) == (11, 10)
    assert await read(old) == []


async def test_what_costs_is_shown_by_an_example_until_it_is_made(store: Store) -> None:
    source = await open_source(store, Squares(10, Estimate(500, 900)))
    assert (source.is_known, source.cost.likely) == (False, 500)
    assert [record.key for record in await read(source)] == ["example"]
    await source.prepare("run")
    assert (source.is_known, source.cost, len(await read(source))) == (True, FREE, 10)


async def test_another_machine_goes_on_with_the_records_that_the_run_began_with(store: Store) -> None:
    began = await open_source(store, Squares(10))
    await began.prepare("run")
    other = await open_source(store, Squares(11, Estimate(5, 9)))  # its inputs have changed since
    await other.go_on(began.identity())
    assert (other.is_known, await read(other)) == (True, await read(began))
    await other.go_on("file:elsewhere")
    assert other.identity() == began.identity()


async def test_nothing_made_is_no_record(store: Store) -> None:
    source = await open_source(store, Squares(0))
    await source.prepare("run")
    assert (await read(source), await source.count()) == ([], 0)


async def test_what_was_computed_of_a_person_is_shown_and_forgotten(store: Store) -> None:
    source = await open_source(store, Squares(5))
    await source.prepare("run")
    privacy = Privacy(store, store.clock)
    assert (await privacy.explain("n3@example.com")).computed == 1
    assert (await privacy.forget("n3@example.com", compact=False)).computed == 1
    assert [record.data["square"] for record in await read(source, size=2)] == [0, 1, 4, 16]
