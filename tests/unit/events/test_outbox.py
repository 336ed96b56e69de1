"""The outbox on every kind of database: accepted, recognised, claimed, settled, released, taken over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outboxes import PIXEL, Desk, open_desk
from penstock.base.clock import SystemClock
from penstock.base.errors import StoppedError
from penstock.base.types import Problem
from penstock.events.entries import Settled
from stores import KINDS, new_place

DAY = 86_400
WHY = Problem("test.why", "because")


@pytest.fixture(params=KINDS)
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(new_place(request.param, tmp_path)) as opened:
        yield opened


async def test_an_event_waits_until_it_is_delivered(desk: Desk) -> None:
    (receipt,) = await desk.put("a")
    assert (receipt.event_id, receipt.state) == ("a", "waiting")
    batch = await desk.claim()
    assert batch is not None
    assert [item.number for item in batch.items] == [receipt.number]
    await desk.settle(batch, "delivered")
    assert await desk.states() == {"a": ["delivered"]}
    assert await desk.counted() == {"delivered": 1}


async def test_the_same_event_is_sent_once_within_the_memory(desk: Desk) -> None:
    first, second = await desk.put("a", "a")
    assert (second.state, second.number) == ("duplicate", first.number)
    (third,) = await desk.put("a")
    assert third.state == "duplicate"
    (other,) = await desk.put("a", name="lead_created")
    assert other.state == "waiting"
    assert await desk.counted() == {"waiting": 2, "duplicate": 2}
    desk.clock.advance(31 * DAY)
    (late,) = await desk.put("a")
    assert late.state == "waiting"


async def test_a_refused_event_may_come_again_with_the_same_id(desk: Desk) -> None:
    await desk.put("a")
    batch = await desk.claim()
    assert batch is not None
    await desk.settle(batch, "rejected", WHY)
    (again,) = await desk.put("a")
    assert again.state == "waiting"


async def test_an_event_that_is_only_validated_is_no_first_copy(desk: Desk) -> None:
    trial = await desk.outbox.find_destination("conversions", PIXEL, True)
    await desk.put("a", destination=trial, is_trial=True)
    (real,) = await desk.put("a")
    assert real.state == "waiting"


async def test_those_nearest_to_expiry_go_first_and_the_expired_say_why(desk: Desk) -> None:
    await desk.put("late", age=8 * DAY)
    await desk.put("fresh", age=60)
    await desk.put("urgent", age=6 * DAY)
    await desk.put("soon", age=-3600)
    batch = await desk.claim(cause="the destination was paused")
    assert batch is not None
    assert [item.body.split(b'"')[3] for item in batch.items] == [b"urgent", b"fresh"]
    assert await desk.states() == {
        "late": ["expired"], "fresh": ["waiting"], "urgent": ["waiting"], "soon": ["waiting"],
    }  # fmt: skip
    assert "the destination was paused" in await desk.problem_of("late")
    assert await desk.claim() is None
    desk.clock.advance(3600)
    later = await desk.claim()
    assert later is not None
    assert len(later.items) == 1


async def test_a_batch_keeps_to_both_limits_but_takes_one_large_event(desk: Desk) -> None:
    await desk.put(*"abcdef")
    three = await desk.claim(limit=3)
    assert three is not None
    assert len(three.items) == 3
    size = len(three.items[0].body)
    two = await desk.claim(bytes_limit=2 * size + 5)
    assert two is not None
    assert len(two.items) == 2
    one = await desk.claim(bytes_limit=1)
    assert one is not None
    assert len(one.items) == 1


async def test_what_was_not_settled_waits_again_and_its_history_says_why(desk: Desk) -> None:
    await desk.put("a", "b")
    batch = await desk.claim()
    assert batch is not None
    numbers = [item.number for item in batch.items]
    await desk.outbox.release(batch.id, numbers, WHY)
    assert await desk.counted() == {"waiting": 2}
    again = await desk.claim()
    assert again is not None
    assert [item.number for item in again.items] == numbers
    assert await desk.query("select number, batch, code from event_changes order by number") == [
        (number, batch.id, "test.why") for number in numbers
    ]


async def test_the_outcome_of_a_batch_that_was_taken_away_changes_nothing(desk: Desk) -> None:
    await desk.put("a")
    first = await desk.claim()
    assert first is not None
    await desk.outbox.release(first.id, [first.items[0].number], WHY)
    second = await desk.claim()
    assert second is not None
    await desk.settle(first, "rejected", WHY)
    assert await desk.states() == {"a": ["waiting"]}
    await desk.settle(second, "delivered")
    assert await desk.counted() == {"delivered": 1}


async def test_the_batch_of_a_dead_process_waits_again_and_that_of_a_living_one_does_not(
    request: pytest.FixtureRequest, desk: Desk
) -> None:
    await desk.put("a", "b")
    async with desk.neighbour() as other:
        mine = await desk.claim(limit=1)
        theirs = await other.claim(limit=1)
        assert mine is not None
        assert theirs is not None
        assert await desk.outbox.take_over() == 0
    while await desk.outbox.take_over() == 0:  # a server lets go of a lock a moment after its client has gone
        await SystemClock().sleep(0.01)
    assert await desk.outbox.take_over() == 0
    again = await desk.claim()
    assert again is not None
    assert [item.number for item in again.items] == [item.number for item in theirs.items]
    assert await desk.counted() == {"waiting": 2}


async def test_a_full_queue_is_told_and_keeps_nothing(desk: Desk) -> None:
    desk.outbox.queue_limit = 3
    await desk.put(*"abc")
    with pytest.raises(StoppedError) as caught:
        await desk.put("d")
    assert caught.value.code == "events.queue-full"
    assert await desk.counted() == {"waiting": 3}


async def test_entries_can_be_claimed_in_the_transaction_that_accepts_them(desk: Desk) -> None:
    batch = desk.store.next_number()
    receipts = await desk.outbox.accept([desk.entry("a"), desk.entry("b"), desk.entry("a")], batch=batch)
    assert await desk.claim() is None
    numbers = [one.number for one in receipts if one.state == "waiting" and one.number is not None]
    found = await desk.outbox.read_batch(batch, desk.destination, numbers)
    assert [item.number for item in found.items] == numbers
    await desk.settle(found, "delivered")
    assert await desk.counted() == {"delivered": 2, "duplicate": 1}


async def test_a_part_of_a_batch_can_be_settled_apart(desk: Desk) -> None:
    await desk.put(*"abc")
    batch = await desk.claim()
    assert batch is not None
    bad, *good = [item.number for item in batch.items]
    attempt = desk.attempt(batch)
    await desk.outbox.record(attempt, [Settled([bad], "rejected", WHY), Settled(good, "delivered")], is_last=True)
    assert await desk.states() == {"a": ["rejected"], "b": ["delivered"], "c": ["delivered"]}
    assert await desk.query("select count(*) from event_batches where session <> ''") == [(0,)]


async def test_a_full_disk_is_told_to_who_hands_in_and_nothing_is_kept(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "store.sqlite") as desk:
        await desk.put("a")
        raw = desk.store._writer._raw  # type: ignore[attr-defined]
        pages = raw.execute("pragma page_count").fetchone()[0]
        raw.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(StoppedError) as caught:
            await desk.outbox.accept([desk.entry(f"e{number}") for number in range(500)])
        assert caught.value.code == "store.full"
        raw.execute("pragma max_page_count = 1000000")
        assert await desk.counted() == {"waiting": 1}
        await desk.put("b")
        assert await desk.counted() == {"waiting": 2}
