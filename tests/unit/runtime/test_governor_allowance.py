import pytest

from penstock.base.errors import ThrottledError
from penstock.runtime.allowance import Charge, new_allowance, read_duration, read_wait
from penstock.vendor.models import Limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("1s", 1.0), ("6m0s", 360.0), ("1h2m3s", 3723.0), ("8.64s", 8.64), ("", None), (None, None)],
)
def test_durations_are_read_as_the_headers_write_them(text: str | None, seconds: float | None):
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_milliseconds_go_before_seconds_and_nonsense_is_ignored(headers: dict[str, str], seconds: float | None):
    assert read_wait(headers) == seconds


def test_a_clock_that_went_back_keeps_the_limits_and_drops_the_holds():
    allowance = new_allowance(5000.0, Limits(600, 60_000))
    ticket = allowance.book(Charge(1, 100), 5000.0)
    headers = {"x-ratelimit-limit-requests": "1200", "x-ratelimit-remaining-requests": "1000"}
    allowance.observe(ticket, 5000.0, 5000.0, headers, 100)
    allowance.refuse(ticket, 5000.0, 5000.0, ThrottledError("", retry_after=3600.0), {})
    allowance.refill(10.0)
    assert allowance.requests.rate == 20.0
    assert allowance.wait(allowance.book(Charge(1, 1), 10.0), 10.0) < 5.0


def test_a_failure_without_headers_does_not_lift_assumed_limits():
    allowance = new_allowance(0.0, Limits())
    ticket = allowance.book(Charge(1, 100), 0.0)
    allowance.observe(ticket, 0.0, 0.5, {}, None)
    assert allowance.requests.origin == "assumed"
    assert not allowance.heard


def test_use_beyond_the_estimate_counts_where_headers_are_silent():
    allowance = new_allowance(0.0, Limits(600, 60_000))
    ticket = allowance.book(Charge(1, 100), 0.0)
    before = allowance.tokens.level
    allowance.observe(ticket, 0.0, 0.5, {}, 250)
    assert allowance.tokens.level == before - 150


def test_a_lack_of_capacity_at_the_vendor_teaches_nothing_about_the_quota():
    allowance = new_allowance(0.0, Limits(600, 60_000))
    ticket = allowance.book(Charge(1, 100), 0.0)
    allowance.refuse(ticket, 0.0, 0.5, ThrottledError("", code="openai.no-capacity", retry_after=5.0), {})
    assert allowance.hold_until == 5.5
    assert allowance.brake_from == 1.0
