"""Whatever the order of calls, replies and cancellations, the pacer's promises hold."""

from __future__ import annotations

import asyncio
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.clock import ManualClock
from penstock.base.errors import ThrottledError
from penstock.runtime.allowance import Allowance, Charge, Ticket, new_allowance
from penstock.runtime.governor import Governor, Permit, Pool
from penstock.runtime.quota import MemoryBoard
from penstock.sandbox.limits import Limit, Limiter
from penstock.vendor.models import Limits

POOL = Pool("account", "model")
gaps = st.floats(0.0, 5.0, allow_nan=False)
sizes = st.integers(1, 400)


@given(st.lists(st.tuples(gaps, sizes), min_size=1, max_size=120), st.sampled_from([1.0, 10.0, 60.0]))
@settings(max_examples=60, deadline=None)
def test_true_estimates_on_any_schedule_are_never_refused(calls: list[tuple[float, int]], depth: float):
    clock = ManualClock()
    limiter = Limiter(clock, {}, default=Limit(600, 30_000), depth_seconds=depth)
    refused = 0

    async def call(governor: Governor, wait: float, tokens: int) -> None:
        nonlocal refused
        await clock.sleep(wait)
        permit = await governor.acquire(POOL, Charge(1, tokens))
        verdict = limiter.admit("account", "model", tokens)
        headers = {name.decode(): value.decode() for name, value in verdict.headers}
        await clock.sleep(0.2)
        if verdict.allowed:
            governor.observe(permit, headers, tokens)
        else:
            refused += 1
            governor.refuse(permit, ThrottledError("too fast"), headers)

    async def run() -> None:
        governor = Governor(clock, MemoryBoard(clock), lambda _: Limits(600, 30_000))
        at = 0.0
        work = []
        for gap, tokens in calls:
            at += gap
            work.append(call(governor, at, tokens))
        await asyncio.gather(*work)
        await governor.close()

    asyncio.run(clock.run(run(), settle_rounds=8))
    assert refused == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.one_of(st.floats(0.0, 100.0), st.floats(0.0, 1e9))),
        st.tuples(st.just("book"), st.integers(0, 100_000)),
        st.tuples(st.just("jump"), st.integers(0, 100_000)),
        st.tuples(st.just("return"), st.integers(0, 50)),
        st.tuples(st.just("reply"), st.floats(0, 1e7)),
        st.tuples(st.just("refuse"), st.sampled_from(["openai.throttled", "openai.slow-down", "openai.no-capacity"])),
    ),
    max_size=60,
)


@given(steps, st.sampled_from([Limits(), Limits(60, 1000), Limits(None, 5000, 100, 5), Limits(500, None)]))
@settings(max_examples=200, deadline=None)
def test_the_numbers_stay_sound_whatever_happens(moves: list[tuple[str, float]], limits: Limits):
    now, allowance = 0.0, new_allowance(0.0, limits)
    tickets: list[Ticket] = []
    for name, value in moves:
        if name == "pass":
            now += value
        allowance.refill(now)
        if name in ("book", "jump"):
            tickets.append(allowance.book(Charge(1, int(value)), now, interactive=name == "jump"))
        elif tickets and name == "return":
            allowance.give_back(tickets.pop(int(value) % len(tickets)))
        elif tickets and name == "reply":
            headers = {"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": str(value)}
            allowance.observe(tickets.pop(0), max(now - 1.0, 0.0), now, headers, 10)
        elif tickets and name == "refuse":
            allowance.refuse(tickets.pop(0), now, now, ThrottledError("", code=str(value)), {"retry-after": "2"})
        _check(allowance, now, tickets)


def _check(allowance: Allowance, now: float, tickets: list[Ticket]) -> None:
    for bucket in allowance.buckets():
        assert bucket.level <= bucket.capacity or not bucket.rate
        assert 0.0 <= bucket.noise <= 1.0
        assert 0.2 <= bucket.ratio <= 5.0
        assert all(math.isfinite(number) for number in (bucket.level, bucket.booked, bucket.charged, bucket.spare))
    assert 0.0 < allowance.brake(now) <= 1.0
    for ticket in tickets:
        assert 0.0 <= allowance.wait(ticket, now) < math.inf


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 300), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_cancelled_calls_leave_nothing_behind(calls: list[tuple[float, int, bool]]):
    clock = ManualClock()

    async def take(governor: Governor, wait: float, tokens: int) -> None:
        await clock.sleep(wait)
        permit: Permit = await governor.acquire(POOL, Charge(1, tokens))
        governor.release(permit)

    async def run() -> None:
        governor = Governor(clock, MemoryBoard(clock), lambda _: Limits(600, 6000))
        tasks = [asyncio.create_task(take(governor, wait, tokens)) for wait, tokens, _ in calls]
        for task, (wait, _, cancelled) in zip(tasks, calls, strict=True):
            if cancelled:
                await clock.sleep(wait / 10)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await clock.sleep(100.0)
        permit = await governor.acquire(POOL, Charge(1, 1))
        governor.observe(permit, {}, 1)
        await clock.sleep(0.1)
        shown = governor.headroom(POOL)
        assert shown["waiting"] == 0
        tokens = shown["limits"]["tokens"]
        assert tokens["left"] >= 6000 / 60 * 0.25 - 2
        await governor.close()

    asyncio.run(clock.run(run(), settle_rounds=8))
