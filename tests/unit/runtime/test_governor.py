import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import DefectError, InputError, ThrottledError
from penstock.runtime.governor import Charge, Governor, Permit, Pool
from penstock.runtime.quota import MemoryBoard
from penstock.vendor.models import Limits

POOL = Pool("account", "model")
SMALL = Limits(600, 60_000)
ROOM = {
    "x-ratelimit-limit-requests": "600",
    "x-ratelimit-remaining-requests": "599",
    "x-ratelimit-limit-tokens": "60000",
    "x-ratelimit-remaining-tokens": "59000",
}


def refusal(code: str = "openai.throttled") -> ThrottledError:
    return ThrottledError("too fast", code=code)


def governed(work: Callable[[Governor, ManualClock], Coroutine[Any, Any, None]], limits: Limits = SMALL) -> None:
    clock = ManualClock()

    async def run() -> None:
        governor = Governor(clock, MemoryBoard(clock), lambda _: limits)
        await work(governor, clock)
        await governor.close()

    asyncio.run(clock.run(run()))


async def heard(governor: Governor, clock: ManualClock, headers: Mapping[str, str] = ROOM) -> None:
    """Have one call answered with `headers`."""
    permit = await governor.acquire(POOL, Charge(1, 100))
    governor.observe(permit, headers, 100)
    await clock.sleep(0.01)


async def take(governor: Governor, clock: ManualClock, count: int, tokens: int = 10, **how: Any) -> list[float]:
    """Acquire `count` permits at once; returns when each came."""
    start, times = clock.monotonic(), []

    async def one() -> None:
        governor.release(await governor.acquire(POOL, Charge(1, tokens), **how))
        times.append(clock.monotonic() - start)

    await asyncio.gather(*(one() for _ in range(count)))
    return times


def test_before_the_first_reply_only_a_quarter_of_a_second_may_leave_at_once():
    async def work(governor: Governor, clock: ManualClock) -> None:
        times = await take(governor, clock, 10)
        assert sum(time < 0.1 for time in times) <= 3
        assert max(times) > 2.0

    governed(work)


def test_the_first_reply_replaces_the_expected_limits():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        times = await take(governor, clock, 500)
        assert max(times) < 1.0
        limits = governor.headroom(POOL)["limits"]
        assert limits["requests"] == {**limits["requests"], "limit": 600.0, "known_from": "headers"}

    governed(work, Limits())


def test_a_steady_queue_leaves_at_the_rate_of_the_binding_limit():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock, {**ROOM, "x-ratelimit-remaining-requests": "0"})
        times = await take(governor, clock, 100)
        assert max(times) == pytest.approx(10.0, abs=0.5)

    governed(work)


def test_without_headers_the_limits_of_the_catalogue_are_kept():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock, {})
        times = await take(governor, clock, 100)
        assert max(times) == pytest.approx(10.0, abs=0.5)
        assert governor.headroom(POOL)["limits"]["requests"]["known_from"] == "catalogue"

    governed(work)


def test_a_server_that_states_no_limits_is_not_slowed():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock, {})
        times = await take(governor, clock, 1000, tokens=100_000)
        assert max(times) < 0.1

    governed(work, Limits())


def test_a_refusal_holds_everybody_until_the_stated_milliseconds_are_over():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        permit = await governor.acquire(POOL, Charge(1, 10))
        governor.refuse(permit, refusal(), {**ROOM, "retry-after-ms": "2500", "retry-after": "3"})
        times = await take(governor, clock, 5)
        assert min(times) == pytest.approx(2.5, abs=0.02)

    governed(work)


def test_a_refused_call_goes_before_all_that_wait():
    async def work(governor: Governor, clock: ManualClock) -> None:
        order: list[str] = []

        async def call(name: str, **how: Any) -> None:
            governor.release(await governor.acquire(POOL, Charge(1, 10), **how))
            order.append(name)

        await heard(governor, clock)
        permit = await governor.acquire(POOL, Charge(1, 10))
        governor.refuse(permit, refusal(), {"retry-after-ms": "1000"})
        waiting = [asyncio.create_task(call(f"new {number}")) for number in range(5)]
        await clock.sleep(0.1)
        await asyncio.gather(call("refused", front=True), *waiting)
        assert order.index("refused") <= 1

    governed(work)


def test_a_slow_down_lowers_the_rate_for_a_quarter_of_an_hour():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        for _ in range(30):
            await take(governor, clock, 10)
            await heard(governor, clock)
            await clock.sleep(1.0)
        permit = await governor.acquire(POOL, Charge(1, 10))
        governor.refuse(permit, refusal("openai.slow-down"), {"retry-after": "1"})
        await clock.sleep(2.0)
        assert governor.headroom(POOL)["brake"] < 0.95
        await clock.sleep(850.0)
        slowed = governor.headroom(POOL)["brake"]
        assert slowed < 0.95
        await clock.sleep(950.0)
        assert slowed < governor.headroom(POOL)["brake"] <= 1.0

    governed(work)


def test_one_slow_down_said_to_many_calls_counts_once():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        permits = [await governor.acquire(POOL, Charge(1, 10)) for _ in range(20)]
        governor.refuse(permits[0], refusal("openai.slow-down"), {})
        await clock.sleep(0.1)
        once = governor.headroom(POOL)["brake"]
        for permit in permits[1:]:
            governor.refuse(permit, refusal("openai.slow-down"), {})
        await clock.sleep(0.1)
        assert governor.headroom(POOL)["brake"] == once

    governed(work)


def test_a_call_larger_than_the_stated_limit_fails_before_it_is_sent():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        with pytest.raises(InputError) as caught:
            await governor.acquire(POOL, Charge(1, 100_000))
        assert caught.value.code == "governor.never-fits"
        assert await take(governor, clock, 1)

    governed(work)


def test_a_call_larger_than_an_assumed_limit_is_tried():
    async def work(governor: Governor, clock: ManualClock) -> None:
        assert await take(governor, clock, 1, tokens=100_000)

    governed(work)


def test_a_call_that_a_full_bucket_refused_is_not_tried_again():
    async def work(governor: Governor, clock: ManualClock) -> None:
        state = {**ROOM, "x-ratelimit-remaining-tokens": "900"}
        await heard(governor, clock, state)
        await clock.sleep(120.0)
        permit = await governor.acquire(POOL, Charge(1, 2000))
        governor.refuse(permit, refusal(), {**state, "x-ratelimit-remaining-tokens": "1000"})
        with pytest.raises(InputError):
            await governor.acquire(POOL, Charge(1, 2000), front=True)

    governed(work)


def test_flows_share_alike_however_many_calls_each_has_waiting():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock, {**ROOM, "x-ratelimit-remaining-requests": "0"})
        done: list[str] = []

        async def call(flow: str) -> None:
            governor.release(await governor.acquire(POOL, Charge(1, 10), flow=flow))
            done.append(flow)

        tasks = [asyncio.create_task(call(flow)) for flow in ["big"] * 100 + ["small"] * 20]
        await asyncio.gather(*tasks)
        assert 18 <= done[:40].count("small") <= 20

    governed(work)


def test_a_flow_of_long_texts_and_one_of_short_ones_share_tokens_alike():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock, {**ROOM, "x-ratelimit-remaining-tokens": "0"})
        had = {"long": 0, "short": 0}

        async def call(flow: str, tokens: int) -> None:
            governor.release(await governor.acquire(POOL, Charge(1, tokens), flow=flow))
            had[flow] += tokens

        tasks = [asyncio.create_task(call("long", 2000)) for _ in range(30)]
        tasks += [asyncio.create_task(call("short", 200)) for _ in range(300)]
        await clock.sleep(20.0)
        assert had["long"] == pytest.approx(had["short"], abs=2200)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    governed(work)


def test_an_interactive_call_does_not_wait_behind_a_flow():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        bulk = [asyncio.create_task(governor.acquire(POOL, Charge(1, 3000))) for _ in range(50)]
        await clock.sleep(30.0)
        times = await take(governor, clock, 1, tokens=500, interactive=True)
        assert times[0] < 0.01
        for task in bulk:
            task.cancel()
        await asyncio.gather(*bulk, return_exceptions=True)

    governed(work)


def test_a_cancelled_wait_gives_its_place_to_the_next():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock, {**ROOM, "x-ratelimit-remaining-tokens": "0"})
        large = asyncio.create_task(governor.acquire(POOL, Charge(1, 20_000)))
        await clock.sleep(0.1)
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        times = await take(governor, clock, 1, tokens=100)
        assert times[0] < 1.0
        assert governor.headroom(POOL)["waiting"] == 0

    governed(work)


def test_a_permit_granted_in_the_moment_of_cancelling_is_given_back():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        before = governor.headroom(POOL)["limits"]["tokens"]["left"]
        tasks = [asyncio.create_task(governor.acquire(POOL, Charge(1, 1000))) for _ in range(10)]
        while not any(task.done() for task in tasks):
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await clock.sleep(1.0)
        await take(governor, clock, 1, tokens=1)
        assert governor.headroom(POOL)["limits"]["tokens"]["left"] >= before - 10

    governed(work)


def test_a_permit_is_handed_back_only_once():
    async def work(governor: Governor, clock: ManualClock) -> None:
        permit: Permit = await governor.acquire(POOL, Charge(1, 10))
        governor.release(permit)
        with pytest.raises(DefectError):
            governor.observe(permit, {}, None)

    governed(work)


def test_the_tighter_of_project_and_organisation_binds():
    async def work(governor: Governor, clock: ManualClock) -> None:
        project = {"x-ratelimit-limit-project-requests": "60", "x-ratelimit-remaining-project-requests": "5"}
        await heard(governor, clock, {**ROOM, **project})
        assert governor.headroom(POOL)["limits"]["requests"]["limit"] == 60.0
        times = await take(governor, clock, 10)
        assert sum(time < 0.1 for time in times) <= 5

    governed(work)


def test_request_headers_that_speak_of_a_day_leave_the_minute_alone():
    async def work(governor: Governor, clock: ManualClock) -> None:
        day = {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "8.64s",
        }
        await heard(governor, clock, day)
        limits = governor.headroom(POOL)["limits"]
        assert limits["day"]["limit"] == 10_000.0
        assert limits["requests"]["known_from"] == "catalogue"

    governed(work)


def test_a_day_of_requests_is_not_exceeded():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        times = await take(governor, clock, 110)
        assert sum(time < 60 for time in times) <= 100
        assert max(times) > 3600

    governed(work, Limits(600, 60_000, rpd=100))


def test_images_have_a_limit_of_their_own():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        start = clock.monotonic()
        for _ in range(12):
            governor.release(await governor.acquire(POOL, Charge(1, 10, images=1)))
        assert clock.monotonic() - start > 60.0

    governed(work, Limits(600, 60_000, ipm=10))


def test_refusals_without_headers_lower_the_rate_and_it_recovers():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock, {})
        for _ in range(3):
            permit = await governor.acquire(POOL, Charge(1, 10))
            governor.refuse(permit, ThrottledError("too fast", retry_after=1.0), {})
            await clock.sleep(2.0)
        lowered = governor.headroom(POOL)["brake"]
        assert lowered < 0.7
        await clock.sleep(1800.0)
        await take(governor, clock, 1)
        assert governor.headroom(POOL)["brake"] == 1.0

    governed(work)


def test_headers_that_promise_room_and_are_refused_are_not_trusted_again():
    async def work(governor: Governor, clock: ManualClock) -> None:
        await heard(governor, clock)
        for _ in range(2):
            permit = await governor.acquire(POOL, Charge(1, 10))
            governor.refuse(permit, refusal(), {**ROOM, "retry-after-ms": "100"})
            await clock.sleep(2.0)
        await heard(governor, clock)
        times = await take(governor, clock, 20)
        assert sum(time < 0.1 for time in times) <= 4

    governed(work)
