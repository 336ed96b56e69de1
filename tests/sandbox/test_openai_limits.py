import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_emulator_calls import Calls

from penstock.base.clock import ManualClock
from penstock.sandbox.limits import Limit, Limiter, format_duration
from penstock.sandbox.openai_models import DEFAULT_LIMITS, load_models


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0195, "20ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (8.64, "8.64s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3_661, "1h1m1s"),
        (86_399.5, "24h0m0s"),
    ],
)
def test_durations_are_written_as_the_headers_write_them(seconds, text):
    assert format_duration(seconds) == text


@given(
    depth=st.sampled_from([1.0, 10.0, 60.0]),
    count_refused=st.booleans(),
    schedule=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 900)), max_size=150),
)
def test_no_schedule_gets_more_than_the_bucket_and_its_refill(depth, count_refused, schedule):
    clock = ManualClock()
    limit = Limit(rpm=120, tpm=6_000)
    limiter = Limiter(clock, {}, default=limit, depth_seconds=depth, count_refused=count_refused)
    requests = tokens = 0
    for wait, charge in schedule:
        clock.advance(wait)
        if limiter.admit("a", "m", charge).allowed:
            requests += 1
            tokens += charge
        passed = clock.monotonic()
        assert requests <= 2.0 * (depth + passed) + 1e-6
        # A charge above the bucket passes when the bucket is full and leaves a debt, hence one charge more.
        assert tokens <= 100.0 * (depth + passed) + (900 if depth < 9 else 0) + 1e-6


@given(charges=st.lists(st.integers(1, 500), min_size=1, max_size=60), depth=st.sampled_from([1.0, 60.0]))
def test_whoever_comes_back_when_told_is_let_in(charges, depth):
    clock = ManualClock()
    limiter = Limiter(clock, {}, default=Limit(rpm=60, tpm=30_000), depth_seconds=depth)
    for charge in charges:
        verdict = limiter.admit("a", "m", charge)
        if not verdict.allowed:
            clock.advance(int(dict(verdict.headers)[b"retry-after-ms"]) / 1000)
            assert limiter.admit("a", "m", charge).allowed


def test_refused_requests_use_the_allowance_only_when_they_count():
    def through(count_refused):
        clock = ManualClock()
        limiter = Limiter(clock, {}, default=Limit(rpm=60), depth_seconds=1.0, count_refused=count_refused)
        allowed = 0
        for _ in range(400):
            allowed += limiter.admit("a", "m", 0).allowed
            clock.advance(0.25)
        return allowed

    assert through(count_refused=False) == 100
    assert through(count_refused=True) < 5


def test_the_day_has_a_limit_of_its_own():
    limiter = Limiter(ManualClock(), {}, default=Limit(rpm=1_000, rpd=3))
    verdicts = [limiter.admit("a", "m", 0) for _ in range(4)]
    assert [one.allowed for one in verdicts] == [True, True, True, False]
    assert "RPD" in verdicts[3].message
    assert dict(verdicts[3].headers)[b"retry-after"] == b"28800"


def test_a_request_above_the_minute_is_refused_for_good():
    limiter = Limiter(ManualClock(), {}, default=Limit(tpm=1_000))
    verdict = limiter.admit("a", "m", 1_001)
    assert not verdict.allowed
    assert b"retry-after" not in dict(verdict.headers)
    assert verdict.message.startswith("Request too large")


def test_accounts_and_models_do_not_share():
    limiter = Limiter(ManualClock(), {"n": Limit(rpm=2)}, default=Limit(rpm=1))
    assert limiter.admit("a", "m", 0).allowed
    assert not limiter.admit("a", "m", 0).allowed
    assert limiter.admit("b", "m", 0).allowed
    assert limiter.admit("a", "n", 0).allowed
    assert limiter.admit("a", "n", 0).allowed


async def test_the_charge_is_the_prompt_by_characters_plus_the_most_that_may_be_written():
    calls = Calls(limit=Limit(tpm=100_000))
    got = await calls("responses", {"model": "gpt-6-luna", "input": "x" * 400, "max_output_tokens": 900})
    assert got.headers["x-ratelimit-remaining-tokens"] == "99000"
    got = await calls.decide("x" * 400)
    spent = 99_000 - int(got.headers["x-ratelimit-remaining-tokens"])
    assert 100 < spent < 150


async def test_headers_and_refusal_of_a_whole_minute_bucket():
    calls = Calls(limit=Limit(rpm=3, tpm=100_000))
    for remaining, reset in ((2, "20s"), (1, "40s"), (0, "1m0s")):
        got = await calls.decide("x")
        assert got.headers["x-ratelimit-limit-requests"] == "3"
        assert got.headers["x-ratelimit-remaining-requests"] == str(remaining)
        assert got.headers["x-ratelimit-reset-requests"] == reset
    got = await calls.decide("x")
    assert got.status == 429
    assert got.error["code"] == "rate_limit_exceeded"
    assert got.error["type"] == "requests"
    assert got.headers["retry-after"] == "20"
    assert got.headers["retry-after-ms"] == "20000"
    assert len(calls.world.billed) == 3
    calls.clock.advance(20)
    assert (await calls.decide("x")).status == 200


async def test_a_project_has_its_own_limits_whatever_its_keys():
    calls = Calls(limit=Limit(rpm=1))
    assert (await calls.decide("x", key="sk-1", openai_project="p")).status == 200
    assert (await calls.decide("x", key="sk-2", openai_project="p")).status == 429
    assert (await calls.decide("x", key="sk-2")).status == 200


def test_limits_come_from_the_tier_and_fall_back_to_the_common_ones():
    models = load_models()
    assert models.limits("Build")["gpt-6-luna"] == DEFAULT_LIMITS["Build"]
    assert models.limits("Build")["text-embedding-3-small"] == Limit(rpm=3_000, tpm=1_000_000, batch_tokens=1_500_000)
    assert models.limits("Launch")["text-embedding-3-small"].tpm == 1_000_000
    assert models.limits("Launch")["text-embedding-3-small"].batch_tokens == 100_000_000
    assert models.limits("Grow")["omni-moderation-latest"].tpm == 500_000


def test_pictures_have_a_limit_of_their_own():
    limiter = Limiter(ManualClock(), {}, default=Limit(tpm=100_000, ipm=5))
    first = limiter.admit("a", "m", 100, images=4)
    assert dict(first.headers)[b"x-ratelimit-remaining-images"] == b"1"
    refused = limiter.admit("a", "m", 100, images=2)
    assert (refused.allowed, refused.dimension) == (False, "images")
    assert dict(refused.headers)[b"retry-after"] == b"12"
    assert limiter.admit("a", "m", 100, images=1).allowed
    assert "too large" in limiter.admit("a", "m", 100, images=6).message
