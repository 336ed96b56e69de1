"""Both sides of the books: what is added up, and which reason each difference is given."""

from __future__ import annotations

import pytest

from penstock.base.types import DOLLAR
from penstock.runtime.reconcile import Booked, Line, Stated, compare, gather, total
from penstock.vendor.admin import BilledRow, UsageRow

OLD, TODAY = "2026-11-10", "2026-11-20"
CENT = DOLLAR // 100


def same(name: str) -> str:
    return name


def line_of(ours: Booked | None, theirs: Stated | None, day: str = OLD) -> Line:
    key = (day, "proj", "gpt-6-luna")
    lines = compare({key: ours} if ours else {}, {key: theirs} if theirs else {}, TODAY)
    assert len(lines) == 1
    return lines[0]


def booked(**rest: int) -> Booked:
    return Booked(**{"requests": 10, "input": 1000, "cached": 128, "output": 100, "cost": CENT, **rest})


def stated(**rest: int | None) -> Stated:
    return Stated(**{"requests": 10, "input": 1000, "cached": 128, "output": 100, "cost": CENT, **rest})  # type: ignore[arg-type]


def test_equal_books_need_no_reason():
    line = line_of(booked(), stated())
    assert (line.is_equal, line.tokens, line.cost, line.reasons) == (True, 0, 0, ())


def test_binary_fractions_of_an_invoice_are_no_difference():
    assert line_of(booked(), stated(cost=CENT + 1_000_000)).is_equal


@pytest.mark.parametrize(
    ("ours", "theirs", "day", "reason"),
    [
        (booked(requests=8, unknown=2, held=CENT), stated(), OLD, "2 calls without a known outcome"),
        (booked(requests=8, unknown=2, held=CENT), stated(), OLD, "up to $0.0100"),
        (booked(requests=7), stated(), OLD, "3 requests did not come from this workspace"),
        (booked(), stated(requests=4), "2026-11-19", "still be arriving"),
        (booked(), stated(cost=None), TODAY, "still be arriving"),
        (booked(), stated(requests=4), OLD, "the vendor has less"),
        (booked(unpriced=3), stated(cost=2 * CENT), OLD, "3 calls have no known price here"),
        (booked(), stated(input=1200), OLD, "other tokens for the same requests"),
        (booked(), stated(cached=512, cost=CENT // 2), OLD, "cache hits differ: 512 tokens at the vendor, 128 here"),
        (booked(), stated(cost=2 * CENT), OLD, "at another price (+100.0%)"),
        (None, stated(), OLD, "10 requests did not come from this workspace"),
        (booked(), None, OLD, "the vendor has less"),
    ],
)
def test_a_difference_gets_its_likely_reason(ours, theirs, day, reason):
    line = line_of(ours, theirs, day)
    assert not line.is_equal
    assert any(reason in one for one in line.reasons), line.reasons


def test_calls_of_unknown_outcome_are_not_taken_for_strangers():
    line = line_of(booked(requests=8, unknown=2, held=CENT), stated())
    assert not any("did not come from this workspace" in reason for reason in line.reasons)


def test_free_calls_need_no_invoice():
    line = line_of(Booked(requests=3, input=50), Stated(requests=3, input=50))
    assert line.is_equal


def test_pictures_are_compared_by_requests_and_cost_only():
    line = line_of(booked(), stated(input=0, output=0, cached=0, has_tokens=False))
    assert (line.tokens, line.is_equal) == (None, True)


def test_what_the_vendor_states_is_added_up_by_day_project_and_model():
    usage = [
        UsageRow(OLD, "p1", "gpt-6-luna-2026-09-22", 1, 10, 0, 5),
        UsageRow(OLD, "p2", "gpt-6-luna", 2, 20, 4, 6),
        UsageRow(OLD, "p1", "gpt-image-2", 1, has_tokens=False),
    ]
    costs = [
        BilledRow(OLD, "p1", "gpt-6-luna, input_tokens", CENT),
        BilledRow(OLD, "p2", "gpt-6-luna, output_tokens", CENT),
        BilledRow(OLD, "p1", "web search tool calls", 3 * CENT),
    ]
    found = gather(usage, costs, lambda _: "", lambda name: name.removesuffix("-2026-09-22"))
    luna = found[OLD, "", "gpt-6-luna"]
    assert (luna.requests, luna.input, luna.cached, luna.output, luna.cost) == (3, 30, 4, 11, 2 * CENT)
    assert found[OLD, "", "web search tool calls"].cost == 3 * CENT
    assert found[OLD, "", "gpt-image-2"].has_tokens is False
    assert found[OLD, "", "gpt-image-2"].cost is None


def test_lines_stand_newest_day_first_and_add_up():
    days = ("2026-11-01", "2026-11-03", "2026-11-02")
    ours = {(day, "p", "m"): booked() for day in days}
    lines = compare(ours, {(day, "p", "m"): stated() for day in days}, TODAY)
    assert [line.day for line in lines] == sorted(days, reverse=True)
    sums = total(lines)
    assert (sums.ours.requests, sums.theirs.cost, sums.tokens, sums.cost) == (30, 3 * CENT, 0, 0)
