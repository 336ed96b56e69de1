import math

import pytest

from penstock.runtime.pacer import PRIOR_DOUBT, TICK, Bucket, new_bucket


def bucket(per_minute: float = 6000.0, *, learns: bool = False, capacity: float = 100.0) -> Bucket:
    made = new_bucket(per_minute, 60.0, learns=learns)
    made.set_rate(per_minute / 60.0, "headers", 60.0)
    made.capacity = made.level = capacity
    made.doubt = made.noise = 0.0
    made.charged = made.confirmed = 1e-9
    return made


def test_a_call_leaves_at_once_while_the_bucket_has_room():
    full = bucket()
    assert full.wait(full.book(1, 0.0), 0.0, 1.0) == 0.0


def test_bookings_beyond_the_level_wait_for_the_refill_in_order():
    full = bucket(capacity=10.0)
    bookings = [full.book(1, 0.0) for _ in range(20)]
    waits = [full.wait(booking, 0.0, 1.0) for booking in bookings]
    assert waits == sorted(waits)
    slack = full.reserve + full.rate * TICK
    assert waits[-1] == pytest.approx((20 + slack - 10) / 100.0)


def test_a_brake_lengthens_the_waits():
    full = bucket(capacity=10.0)
    last = [full.book(1, 0.0) for _ in range(20)][-1]
    assert full.wait(last, 0.0, 0.5) == pytest.approx(2 * full.wait(last, 0.0, 1.0))


def test_a_higher_level_makes_waiting_bookings_leave_earlier():
    full = bucket(capacity=10.0)
    last = [full.book(1, 0.0) for _ in range(20)][-1]
    before = full.wait(last, 0.0, 1.0)
    full.level += 5.0
    assert full.wait(last, 0.0, 1.0) == pytest.approx(before - 0.05)


def test_the_level_never_rises_above_what_the_vendor_can_hold():
    full = bucket(capacity=10.0)
    full.refill(3600.0, 1.0)
    assert full.level == 10.0


def test_an_interactive_call_goes_before_bookings_that_still_wait():
    empty = bucket(capacity=10.0)
    for _ in range(30):
        empty.book(1, 0.0)
    waiting = empty.book(1, 0.0)
    before = empty.wait(waiting, 0.0, 1.0)
    empty.spare = empty.reserve
    jumper = empty.book(1, 0.0, interactive=True)
    assert empty.wait(jumper, 0.0, 1.0) == 0.0
    assert empty.wait(waiting, 0.0, 1.0) == pytest.approx(before + 0.01)


def test_interactive_calls_beyond_the_reserve_wait_too():
    empty = bucket(capacity=10.0)
    for _ in range(30):
        empty.book(1, 0.0)
    empty.spare = empty.reserve
    jumpers = [empty.book(1, 0.0, interactive=True) for _ in range(10)]
    assert empty.wait(jumpers[-1], 0.0, 1.0) == pytest.approx((10 - empty.reserve) / 100.0)


def test_what_was_never_sent_is_given_back():
    full = bucket()
    booking = full.book(30, 0.0)
    full.give_back(booking)
    assert full.level == 100.0


def test_a_reply_lowers_a_level_that_is_too_high():
    high = bucket()
    booking = high.book(1, 0.0)
    high.correct(booking, 0.0, 0.0, 20.0, upward=True)
    assert high.level == pytest.approx(20.0)


def test_a_reply_raises_a_level_that_is_too_low():
    low = bucket()
    booking = low.book(1, 0.0)
    low.level = -50.0
    low.correct(booking, 0.0, 0.0, 40.0, upward=True)
    assert low.level == pytest.approx(40.0)


def test_what_was_booked_after_the_request_is_not_in_its_reply():
    low = bucket()
    booking = low.book(1, 0.0)
    low.book(30, 1.0)
    low.level = -50.0
    low.correct(booking, 0.0, 0.0, 90.0, upward=True)
    assert low.level == pytest.approx(60.0)


def test_a_reply_that_is_not_trusted_upward_only_lowers():
    low = bucket()
    booking = low.book(1, 0.0)
    low.level = 5.0
    low.correct(booking, 0.0, 0.0, 90.0, upward=False)
    assert low.level == 5.0


def test_the_depth_of_the_bucket_is_learnt_from_the_largest_rest():
    unknown = new_bucket(60_000, 60.0)
    unknown.set_rate(1000.0, "headers", 60.0)
    assert unknown.capacity == 250.0
    unknown.correct(unknown.book(10, 0.0), 0.0, 0.0, 39_990.0, upward=True)
    assert unknown.capacity == 40_000.0


def test_the_first_call_leaves_even_when_it_is_larger_than_the_first_burst():
    small = new_bucket(600, 60.0)
    booking = small.book(200, 0.0)
    assert small.wait(booking, 0.0, 1.0) == 0.0


@pytest.mark.parametrize("truth", [0.8, 1.0, 1.18, 1.5])
def test_the_ratio_of_the_vendors_charge_to_the_estimate_is_learnt(truth: float):
    known = bucket(60_000, learns=True, capacity=50_000.0)
    known.doubt = PRIOR_DOUBT
    remaining, now = 40_000.0, 0.0
    known.level = remaining
    for _ in range(400):
        known.refill(0.1, 1.0)
        now += 0.1
        remaining += 100.0
        booking = known.book(100, now)
        remaining -= 100 * truth
        known.correct(booking, now, now, remaining, upward=True)
    assert known.ratio == pytest.approx(truth, rel=0.02)
    assert known.doubt < 0.05


def test_a_full_bucket_teaches_nothing_about_the_ratio():
    idle = bucket(60_000, learns=True, capacity=1000.0)
    for number in range(200):
        idle.correct(idle.book(10, number), number, number, 990.0, upward=True)
    assert idle.ratio == 1.0


def test_no_limit_means_no_wait():
    free = new_bucket(None, 60.0)
    assert free.wait(free.book(1e9, 0.0), 0.0, 1.0) == 0.0
    assert math.isinf(free.ceiling)
