"""Whatever the Conversions API does for a while: each event ends as it deserves, once, under its own id."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from conversion_desk import Office, open_office
from penstock.events.batching import Thresholds
from penstock.sandbox.world import Fault

FAULTS = st.lists(
    st.builds(
        Fault,
        vendor=st.just("conversions"),
        kind=st.sampled_from(["status", "lost", "drop", "html", "malformed"]),
        times=st.integers(1, 4),
        after=st.integers(0, 6),
        rate=st.sampled_from([1.0, 0.5]),
        seconds=st.sampled_from([0.0, 30.0]),
        status=st.sampled_from([429, 500, 503, 408, 502]),
    ),
    max_size=6,
)


def in_office(work: Callable[[Office], Awaitable[None]], events: int, in_flight: int) -> None:
    async def inner() -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "store.sqlite"
            async with open_office(place, thresholds=Thresholds(events=events), in_flight=in_flight) as office:
                await work(office)

    asyncio.run(inner())


@settings(max_examples=25, deadline=None)
@given(
    FAULTS,
    st.sets(st.integers(0, 59)),
    st.integers(1, 30),
    st.integers(1, 4),
    st.sampled_from(["all", "first", "none"]),
)
def test_each_event_ends_as_it_deserves(
    faults: list[Fault], bad: set[int], events: int, in_flight: int, pointers: str
) -> None:
    async def work(office: Office) -> None:
        office.world.faults += faults
        office.app.state.behaviour.pointers = pointers  # type: ignore[assignment]
        entries = [office.desk.entry(f"e{number}", is_bad=number in bad) for number in range(60)]
        await office.desk.outbox.accept(entries)
        for _ in range(8):  # answers that say nothing pause the destination; a person looks, and opens it again
            await office.flush(is_patient=True)
            if not await office.destinations.resume():
                break
        wanted = {f"e{number}": ["rejected" if number in bad else "delivered"] for number in range(60)}
        assert await office.desk.states() == wanted
        assert sorted(office.received) == sorted(name for name, states in wanted.items() if states == ["delivered"])
        await office.desk.counted()
        assert await office.desk.query("select count(*) from event_batches where session <> ''") == [(0,)]

    in_office(work, events, in_flight)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 20), st.integers(1, 3))
def test_two_processes_on_one_store_never_send_the_same_batch(events: int, in_flight: int) -> None:
    async def work(office: Office) -> None:
        await office.desk.put(*(f"e{number}" for number in range(100)))
        async with office.desk.neighbour() as other_desk:
            other = Office(other_desk, Thresholds(events=events), in_flight)
            other.http = office.http
            other.delivery._open_sender = office.open_sender
            clock = office.desk.clock
            await clock.run(asyncio.gather(office.loop.flush(), other.loop.flush()))
        assert len(office.received) == 100
        assert office.app.state.counts["duplicates"] == 0
        assert await office.desk.counted() == {"delivered": 100}

    in_office(work, events, in_flight)
