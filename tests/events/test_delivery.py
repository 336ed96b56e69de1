"""What becomes of events at the emulated Conversions API, answer by answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conversion_desk import Office, open_office
from penstock.events.batching import Thresholds
from penstock.events.destinations import Destination
from penstock.vendor.conversions import Conversions
from stores import KINDS, new_place

DAY = 86_400


@pytest.fixture(params=KINDS)
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(new_place(request.param, tmp_path)) as opened:
        yield opened


async def put_many(office: Office, count: int, bad: int | None = None) -> None:
    entries = [office.desk.entry(f"e{number}", is_bad=number == bad) for number in range(count)]
    await office.desk.outbox.accept(entries)


async def test_events_arrive_once_and_in_few_requests(office: Office) -> None:
    await put_many(office, 2500)
    await office.flush()
    assert sorted(office.received) == sorted(f"e{number}" for number in range(2500))
    assert office.requests == 3
    assert await office.desk.counted() == {"delivered": 2500}


@pytest.mark.parametrize(("pointers", "most"), [("all", 2), ("first", 2), ("locations", 2), ("none", 21)])
async def test_one_bad_event_in_a_thousand_is_set_aside(office: Office, pointers: str, most: int) -> None:
    office.app.state.behaviour.pointers = pointers  # type: ignore[assignment]
    await put_many(office, 1000, bad=321)
    await office.flush()
    assert await office.desk.counted() == {"delivered": 999, "rejected": 1}
    assert (await office.desk.states())["e321"] == ["rejected"]
    assert office.requests <= most
    assert len(await office.attempts()) == office.requests


async def test_a_refused_key_pauses_the_destination_and_loses_nothing(office: Office) -> None:
    office.key = "sk-invalid"
    await put_many(office, 3)
    await office.flush()
    await office.flush()
    assert office.requests == 1
    assert await office.desk.counted() == {"waiting": 3}
    (destination,) = list(office.destinations)
    assert destination.is_paused
    assert destination.problem is not None
    assert destination.problem.code == "conversions.key-refused"
    office.key = "sk-conversions"
    await office.destinations.resume()
    await office.flush()
    assert await office.desk.counted() == {"delivered": 3}


async def test_a_paused_destination_does_not_stop_another(office: Office) -> None:
    other = await office.desk.outbox.find_destination("conversions", "unknownPixel", False)
    await office.desk.put("lost", destination=other)
    await office.desk.put("good")
    await office.flush()
    assert office.received == ["good"]
    assert [one.pixel for one in office.destinations if one.is_paused] == ["unknownPixel"]


async def test_throttling_and_breakdowns_are_repeated_with_the_same_ids(office: Office) -> None:
    office.plan("status", status=429, times=2, seconds=40)
    office.plan("status", status=503, times=2)
    office.plan("lost", times=1)
    office.plan("drop", times=1)
    office.plan("html", times=1)
    await put_many(office, 5)
    started = office.desk.clock.now()
    await office.flush(is_patient=True)
    assert office.desk.clock.now() - started > 80
    assert sorted(office.received) == [f"e{number}" for number in range(5)]
    assert office.app.state.counts["duplicates"] == 5
    assert await office.desk.counted() == {"delivered": 5}
    assert [kind for kind, _, _ in await office.attempts()][-1] == "accepted"
    assert len(await office.attempts()) == 8
    assert not [one for one in office.destinations if one.failures]


async def test_an_impatient_flush_leaves_to_a_repetition_what_failed(office: Office) -> None:
    office.plan("status", status=500, times=1)
    await put_many(office, 2)
    await office.flush()
    assert await office.desk.counted() == {"waiting": 2}


async def test_answers_that_say_nothing_are_kept_and_pause_in_the_end(office: Office) -> None:
    office.plan("malformed")
    await put_many(office, 2)
    await office.flush(is_patient=True)
    assert await office.desk.counted() == {"waiting": 2}
    assert [kind for kind, _, _ in await office.attempts()] == ["unknown"] * 3
    (destination,) = list(office.destinations)
    assert destination.is_paused
    rows = await office.desk.query("select response, headers from event_attempts")
    assert all(bytes(body).startswith(b'{"accep') and "x-request-id" in headers for body, headers in rows)


async def test_a_count_that_differs_is_asked_twice_then_kept_with_a_note(office: Office) -> None:
    office.app.state.behaviour.count_duplicates = False
    office.app.state.save("SandboxPixelId00000001", {"id": "e1", "type": "order_created"})
    await put_many(office, 3)
    await office.flush()
    assert office.requests == 2
    assert await office.desk.counted() == {"delivered": 3}
    assert "took 0 of 3" in await office.desk.problem_of("e1")


async def test_only_validated_events_are_not_saved(office: Office) -> None:
    trial = await office.desk.outbox.find_destination("conversions", "SandboxPixelId00000001", True)
    await office.desk.put("a", destination=trial, is_trial=True)
    await office.flush()
    assert office.received == []
    assert await office.desk.counted() == {"validated": 1}


async def test_what_grew_too_old_in_a_pause_is_reported_with_the_cause(office: Office) -> None:
    office.key = "sk-invalid"
    await office.desk.put("old", age=6 * DAY)
    await office.desk.put("young", age=60)
    await office.flush()
    office.desk.clock.advance(2 * DAY)
    await office.flush()
    assert await office.desk.counted() == {"expired": 1, "waiting": 1}
    assert "was paused for 2.0 days" in await office.desk.problem_of("old")


async def test_the_vendors_own_clock_can_expire_an_event(office: Office) -> None:
    office.plan("status", status=422, code="event_timestamp_too_old", times=1)
    await office.desk.put("a")
    await office.flush()
    assert (await office.desk.states())["a"] == ["expired"]


@pytest.fixture
async def timed(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path / "store.sqlite", thresholds=Thresholds(events=10)) as opened:
        yield opened


async def test_a_single_event_is_sent_when_it_has_waited_long_enough(timed: Office) -> None:
    await timed.desk.put("only")
    async with timed.running():
        await timed.pass_seconds(299)
        assert timed.received == []
        await timed.pass_seconds(2)
        assert timed.received == ["only"]


async def test_a_full_batch_is_sent_at_once_and_the_rest_when_it_stops(timed: Office) -> None:
    async with timed.running():
        await timed.pass_seconds(5)
        await timed.desk.put(*"abcdefghijklm")
        timed.loop.note(13, 2000)
        await timed.pass_seconds(0.5)
        assert len(timed.received) == 10
        await timed.pass_seconds(30)
        assert len(timed.received) == 10
    assert len(timed.received) == 13


async def test_enough_bytes_send_a_batch_too(tmp_path: Path) -> None:
    async with open_office(tmp_path / "store.sqlite", thresholds=Thresholds(bytes=400)) as office, office.running():
        await office.desk.put(*"abcd")
        await office.pass_seconds(2)
        assert 0 < len(office.received) < 4


async def test_the_loop_survives_a_store_that_cannot_be_used_for_a_while(timed: Office) -> None:
    await timed.desk.put(*"abcdefghij")
    timed.desk.store._is_closed = True
    assert await timed.desk.clock.run(timed.loop._look_safely()) == 1.0
    assert timed.loop.trouble is not None
    timed.desk.store._is_closed = False
    await timed.flush()
    assert len(timed.received) == 10
    assert await timed.desk.clock.run(timed.loop._look_safely()) == 1.0
    assert timed.loop.trouble is None


async def test_a_defect_in_one_batch_is_shown_and_stops_neither_the_loop_nor_other_destinations(timed: Office) -> None:
    other = await timed.desk.outbox.find_destination("conversions", "OtherPixel", False)
    sound = timed.open_sender

    def open_sender(destination: Destination) -> Conversions:
        if destination.pixel == "OtherPixel":
            raise ZeroDivisionError("a defect")
        return sound(destination)

    timed.delivery._open_sender = open_sender
    async with timed.running():
        await timed.desk.put(*"abcdefghij")
        await timed.desk.outbox.accept([timed.desk.entry(f"x{n}", destination=other) for n in range(10)])
        await timed.pass_seconds(30)
        assert len(timed.received) == 10
        (failing,) = [one for one in timed.destinations if one.problem is not None]
        assert (failing.pixel, failing.problem and failing.problem.code) == ("OtherPixel", "penstock.defect")
        timed.delivery._open_sender = sound
        await timed.pass_seconds(60)
        assert len(timed.received) == 20
