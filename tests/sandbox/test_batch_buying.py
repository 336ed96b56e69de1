"""Requests bought through the emulated Batch API: files within the limits, the queue, and results that are missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from call_desk import MODEL, Desk, open_desk
from penstock.base.clock import ManualClock
from penstock.base.errors import StoppedError
from penstock.base.types import to_money
from penstock.runtime.ask import Ask
from penstock.runtime.batch_lines import Room
from penstock.runtime.batches import WHOLE_FILE, Batches, list_batches
from penstock.runtime.store import Store
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.world import Fault, World
from stores import KINDS, new_place

NEVER = float("inf")


def ask_for(number: int, *, words: int = 8, **body: Any) -> Ask:
    text = f"Say number {number}. " + "Again. " * words
    content = {"model": MODEL, "input": text, "max_output_tokens": 40, "store": False, **body}
    return Ask("respond", 1, "/responses", MODEL, content, len(text) // 4, 40, 20)


async def buy(desk: Desk, batches: Batches, asks: list[Ask], run: str = "r") -> None:
    await batches.put(asks, run=run, flow="f")
    work = batches.work_off(run, "f", switch_at=NEVER, stop=asyncio.Event(), tell=lambda _: None)
    await desk.run(work)


async def held(desk: Desk, asks: list[Ask]) -> int:
    return len(await desk.answers.get_many([desk.caller.address(ask) for ask in asks]))


def new_batches(desk: Desk, room: Room = WHOLE_FILE) -> Batches:
    return Batches(desk.store, desk.caller, desk.clock, room)


@pytest.mark.parametrize(
    ("room", "sizes"),
    [
        (Room(4, 10**9, 10**9, NEVER), [4, 4, 2]),
        (Room(10**9, 900, 10**9, NEVER), [3, 3, 3, 1]),
        (Room(10**9, 10**9, 10**9, 50.0), [2, 2, 2, 2, 2]),
    ],
)
async def test_files_keep_to_lines_bytes_and_tokens(tmp_path: Path, room: Room, sizes: list[int]) -> None:
    asks = [ask_for(number) for number in range(10)]
    async with open_desk(tmp_path) as desk:
        batches = new_batches(desk, room)
        await buy(desk, batches, asks)
        assert sorted((row.lines for row in await list_batches(desk.store)), reverse=True) == sizes
        assert await held(desk, asks) == 10
        books = await desk.spent()
        assert (books.calls, books.reserved, books.held, desk.world.bought_twice()) == (10, 0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_either_database_follows_a_batch_through_refusals_and_failures(tmp_path: Path, kind: str) -> None:
    asks = [ask_for(number) for number in range(8)]
    clock = ManualClock()
    store = await Store.open(new_place(kind, tmp_path), clock)
    desk = Desk(clock, store, World(clock), Limiter(clock, {}, default=Limit()), 20.0)
    try:
        desk.world.faults.append(Fault("openai", "batches.line", times=2, status=400, code="invalid_prompt"))
        desk.world.faults.append(Fault("openai", "batches.line", "drop", times=2))
        batches = new_batches(desk)
        await buy(desk, batches, asks)
        counts = await batches.count("r")
        assert (counts["done"], counts["refused"]) == (6, 2)
        known = await batches.known([desk.caller.address(ask) for ask in asks])
        assert [one.problem.code for one in known.values() if one.problem] == ["openai.rejected"] * 2
        await batches.hear((await list_batches(store))[0].vendor_id)
        await batches.forget("r")
        assert await batches.count("r") == {"used": 0}
        books = await desk.spent()
        assert (books.calls, books.reserved, books.held) == (6, 0, 0)
    finally:
        await desk.governor.close()
        await desk.http.close()
        await store.close()


async def test_an_answer_of_a_batch_costs_exactly_half_of_the_same_answer_live(tmp_path: Path) -> None:
    ask = ask_for(1)
    async with open_desk(tmp_path) as desk:
        live = await desk.run(desk.caller.buy(ask_for(1, store=True), run="r"))
        await buy(desk, new_batches(desk), [ask])
        batched = (await desk.answers.get_many([desk.caller.address(ask)]))[desk.caller.address(ask)]
        assert batched.usage == live.usage
        assert batched.cost is not None
        assert (live.cost, batched.tier) == (2 * batched.cost, "batch")


async def test_a_full_queue_is_learnt_and_kept_to(tmp_path: Path) -> None:
    asks = [ask_for(number) for number in range(12)]
    async with open_desk(tmp_path, limit=Limit(batch_tokens=200)) as desk:
        await buy(desk, new_batches(desk), asks)
        rows = list(reversed(await list_batches(desk.store)))
        assert (rows[0].status, rows[0].problem) == ("failed", "token_limit_exceeded")
        assert sum(row.lines for row in rows if row.status == "completed") == 12
        assert await held(desk, asks) == 12
        assert ((await desk.spent()).held, desk.world.bought_twice()) == (0, 0)


async def test_what_is_larger_than_the_whole_queue_is_let_go(tmp_path: Path) -> None:
    asks = [ask_for(1), ask_for(2, words=400)]
    async with open_desk(tmp_path, limit=Limit(batch_tokens=200)) as desk:
        batches = new_batches(desk)
        await buy(desk, batches, asks)
        states = [known.state for known in (await batches.known([desk.caller.address(ask) for ask in asks])).values()]
        assert sorted(states) == ["done", "live"]


@pytest.mark.parametrize("operation", ["files.content", "batches.retrieve"])
async def test_what_is_gone_at_the_vendor_is_held_as_perhaps_billed_and_asked_again(
    tmp_path: Path, operation: str
) -> None:
    asks = [ask_for(number) for number in range(3)]
    async with open_desk(tmp_path) as desk:
        desk.world.faults.append(Fault("openai", operation, "status", times=1, status=404, code="not_found"))
        await buy(desk, new_batches(desk), asks)
        assert await held(desk, asks) == 3
        books = await desk.spent()
        assert (books.calls, books.reserved, books.held > 0) == (3, 0, True)
        assert sorted(await desk.states()) == ["done"] * 3 + ["unknown"] * 3


async def test_a_line_that_spoils_its_file_is_let_go_and_the_others_go_again(tmp_path: Path) -> None:
    asks = [ask_for(0), ask_for(1, model="gpt-5.4-mini"), ask_for(2)]
    async with open_desk(tmp_path) as desk:
        batches = new_batches(desk)
        await buy(desk, batches, asks)
        known = await batches.known([desk.caller.address(ask) for ask in asks])
        assert [known[desk.caller.address(ask)].state for ask in asks] == ["done", "live", "done"]
        assert [row.lines for row in reversed(await list_batches(desk.store))] == [3, 2]
        assert (await desk.spent()).held == 0


async def test_money_for_some_of_it_submits_those_and_then_stops(tmp_path: Path) -> None:
    asks = [ask_for(number) for number in range(10)]
    async with open_desk(tmp_path) as desk:
        batches = new_batches(desk)
        most = desk.caller.estimate(asks[0]).most
        assert most is not None
        desk.ledger.budgets["run"] = 2 * most  # four requests in a batch
        with pytest.raises(StoppedError) as caught:
            await buy(desk, batches, asks)
        assert caught.value.code == "budget.reached"
        kept = await held(desk, asks)
        assert 4 <= kept < 10
        books = await desk.spent()
        assert (books.reserved, books.held, books.spent <= 2 * most) == (0, 0, True)
        desk.ledger.budgets["run"] = to_money(1)
        await buy(desk, batches, [])  # what was put aside waits still
        assert (await held(desk, asks), desk.world.bought_twice()) == (10, 0)


async def test_no_money_at_the_vendor_stops_and_leaves_everything_to_be_asked(tmp_path: Path) -> None:
    asks = [ask_for(number) for number in range(3)]
    async with open_desk(tmp_path) as desk:
        batches = new_batches(desk)
        desk.world.faults.append(Fault("openai", "batches.run", times=1, code="billing_hard_limit_reached"))
        with pytest.raises(Exception, match="quota is used up"):
            await buy(desk, batches, asks)
        assert (await batches.count("r"))["waiting"] == 3
        await buy(desk, batches, asks)
        assert await held(desk, asks) == 3


async def test_another_run_takes_over_what_only_waits_and_leaves_what_is_under_way(tmp_path: Path) -> None:
    asks = [ask_for(number) for number in range(4)]
    async with open_desk(tmp_path) as desk:
        batches = new_batches(desk)
        assert await batches.put(asks, run="first", flow="one") == 4
        assert await batches.put(asks[2:], run="second", flow="two") == 0
        assert [(await batches.count(run)).get("waiting") for run in ("first", "second")] == [2, 2]
        await buy(desk, batches, asks[2:], run="second")
        assert (await batches.count("first"))["waiting"] == 2
        assert await held(desk, asks) == 2
