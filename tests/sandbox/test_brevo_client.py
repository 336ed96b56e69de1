from __future__ import annotations

import asyncio

import pytest
from brevo_desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.clock import ManualClock
from penstock.base.errors import AccessError, RejectedError, ThrottledError, UnavailableError
from penstock.runtime.brevo_calls import ATTEMPTS, Meter
from penstock.vendor.brevo import RateState

EVENT = {"event_name": "scored", "identifiers": {"email_id": "person0@example.com"}}


async def get(desk: Desk, email: str = "person0@example.com"):
    return await desk.clock.run(desk.caller.call("contacts.get", path={"identifier": email}))


async def test_a_read_is_repeated_through_every_passing_fault():
    desk = Desk()
    desk.add_people(1)
    for kind in ("drop", "lost", "malformed", "html"):
        desk.fault("contacts.get", kind, times=1)
    assert (await get(desk)).content["email"] == "person0@example.com"
    assert desk.count("contacts.get") == 5


async def test_repetition_ends_and_the_last_error_is_raised():
    desk = Desk()
    desk.fault("contacts.get", "status", status=500)
    with pytest.raises(UnavailableError):
        await get(desk)
    assert desk.count("contacts.get") == ATTEMPTS
    assert desk.clock.monotonic() < 120


async def test_what_brevo_is_still_working_on_is_asked_again_later():
    desk = Desk()
    desk.add_people(1)
    desk.fault("contacts.get", "status", status=425, times=2)
    assert (await get(desk)).status == 200


@pytest.mark.parametrize(("status", "kind"), [(401, AccessError), (403, AccessError), (400, RejectedError)])
async def test_what_cannot_become_better_is_never_repeated(status, kind):
    desk = Desk()
    desk.fault("contacts.get", "status", status=status)
    with pytest.raises(kind):
        await get(desk)
    assert desk.count("contacts.get") == 1


@pytest.mark.parametrize("kind", ["lost", "html", "malformed"])
async def test_an_event_whose_outcome_is_unknown_is_never_sent_twice(kind):
    desk = Desk()
    desk.add_people(1)
    desk.fault("events.create", kind)
    with pytest.raises(UnavailableError) as caught:
        await desk.clock.run(desk.caller.call("events.create", body=EVENT))
    assert caught.value.sent
    assert desk.count("events.create") == 1


async def test_an_event_that_was_refused_as_too_fast_is_sent_again():
    desk = Desk()
    desk.add_people(1)
    desk.fault("events.create", "status", status=429, seconds=3, times=2)
    await desk.clock.run(desk.caller.call("events.create", body=EVENT))
    assert len(desk.state.events) == 1
    assert desk.clock.monotonic() >= 6


async def test_being_refused_for_ever_ends_as_throttled():
    desk = Desk()
    desk.fault("contacts.get", "status", status=429, seconds=2)
    with pytest.raises(ThrottledError):
        await get(desk)


async def test_a_refusal_holds_everybody_once():
    desk = Desk()
    desk.add_people(1)
    desk.fault("contacts.get", "status", status=429, seconds=30, times=1)
    calls = [desk.caller.call("contacts.get", path={"identifier": "person0@example.com"}) for _ in range(20)]
    await desk.clock.run(asyncio.gather(*calls))
    assert desk.count("contacts.get", 429) == 1
    assert 30 <= desk.clock.monotonic() < 40


@pytest.mark.parametrize("scale", [1, 2, 6, 50])
async def test_the_pace_follows_the_plan_that_the_headers_state_without_one_refusal(scale):
    desk = Desk(scale=scale)
    desk.add_people(1)
    count = 100 * scale
    calls = [desk.caller.call("contacts.get", path={"identifier": "person0@example.com"}) for _ in range(count)]
    await desk.clock.run(asyncio.gather(*calls))
    assert desk.count("contacts.get", 429) == 0
    assert desk.clock.monotonic() < 1.25 * count / (10 * scale) + 1


async def test_the_small_hourly_limit_is_never_passed():
    desk = Desk()
    calls = [desk.caller.call("account.get") for _ in range(150)]
    await desk.clock.run(asyncio.gather(*calls))
    assert desk.count("account.get", 200) == 150
    assert desk.count("account.get", 429) == 0


async def test_another_process_that_uses_the_limit_up_is_noticed_from_the_headers():
    desk = Desk()
    other = desk.again()
    await desk.clock.run(asyncio.gather(*(other.call("account.get") for _ in range(80))))
    await desk.clock.run(asyncio.gather(*(desk.caller.call("account.get") for _ in range(40))))
    assert desk.count("account.get", 429) <= 1


async def test_interactive_calls_find_a_few_left_when_work_has_taken_the_rest():
    desk = Desk()
    work = [asyncio.ensure_future(desk.caller.call("account.get")) for _ in range(120)]
    await desk.clock.run(desk.caller.call("account.get"), settle_rounds=5)
    begun = desk.clock.monotonic()
    await desk.clock.run(desk.caller.call("account.get", interactive=True))
    assert desk.clock.monotonic() - begun < 60
    await desk.clock.run(asyncio.gather(*work))


async def test_slow_answers_do_not_let_more_calls_through_than_allowed():
    desk = Desk()
    desk.add_people(1)
    desk.fault("contacts.get", "slow", seconds=1.5)
    calls = [desk.caller.call("contacts.get", path={"identifier": "person0@example.com"}) for _ in range(60)]
    await desk.clock.run(asyncio.gather(*calls))
    assert desk.count("contacts.get", 429) == 0


@settings(max_examples=60, deadline=None)
@given(
    waits=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    limit=st.integers(2, 80),
)
async def test_no_second_ever_holds_more_calls_than_the_limit(waits, limit):
    clock = ManualClock()
    meter = Meter(((limit, 1), (limit * 3600, 3600)), clock)
    passed: list[float] = []

    async def call(wait: float) -> None:
        await clock.sleep(wait)
        await meter.enter()
        passed.append(clock.monotonic())
        meter.leave(None)

    await clock.run(asyncio.gather(*(call(wait) for wait in waits)))
    passed.sort()
    for start in passed:
        assert sum(start <= moment < start + 1 - 1e-6 for moment in passed) <= limit


@settings(max_examples=100, deadline=None)
@given(
    states=st.lists(
        st.builds(
            RateState,
            st.sampled_from([1, 10, 20, 60, 100, 200, 36_000, 10_000_000]),
            st.integers(0, 40_000),
            st.floats(0, 3600),
        ),
        max_size=20,
    ),
    hourly=st.booleans(),
)
async def test_no_headers_however_odd_stop_the_calls_for_good(states, hourly):
    clock = ManualClock()
    meter = Meter(((100, 3600),) if hourly else ((10, 1), (36_000, 3600)), clock)

    async def call() -> None:
        for state in [*states, None]:
            await meter.enter()
            meter.leave(state)

    await clock.run(call())
    assert clock.monotonic() < 3600 * 24 * 30
