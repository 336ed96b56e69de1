"""The arithmetic of one rate limit: what may be sent when, and what a reply says about the vendor's own count.

Plain numbers without a clock, a lock or a wait, so that several processes can keep them in one place.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

TICK = 0.005
"""Seconds by which a request may leave early, so that one waking serves several."""
START = 0.25
"""Seconds' worth of a limit that may leave at once while the vendor's bucket is unknown."""
RESERVE = 0.05
"""Seconds' worth of a limit that only interactive calls may touch."""
PRIOR_DOUBT = 0.2
"""How far the vendor's charge may be from the estimate, as a share, before anything was learnt."""
WAVE = 0.05
"""Seconds within which requests may overtake each other on the way."""
_WINDOW = 100.0
_GAIN = 0.2
_SPREAD = 2.5
_FAST, _SLOW = 10.0, 300.0


class Sample(NamedTuple):
    """What one reply said: the vendor's remaining allowance right after the request of this mark was let in.

    `loose` is the amount that may have overtaken it.
    """

    mark: float
    at: float
    remaining: float
    loose: float


class Booking(NamedTuple):
    """One request's place in a bucket.

    `position` is None for a request that jumped the queue and may leave at `ready_at`.
    `mark` counts everything estimated up to and including this request, `wave` everything
    before those booked at about the same time, which may reach the vendor in any order.
    """

    amount: float
    cost: float
    position: float | None
    mark: float
    wave: float
    ready_at: float


NOTHING = Booking(0.0, 0.0, None, 0.0, 0.0, 0.0)
"""The booking of a call that does not touch a limit."""


class Bucket(msgspec.Struct, array_like=True):
    """One limit of one pool: a continuous bucket, and how well the estimates fit the vendor's count.

    `level` is what the vendor still grants after everything booked; it is below zero while
    bookings wait. `booked` and `charged` only grow: a booking at `position` may leave once
    `level + booked` has reached it. Amounts are in the limit's unit, times in seconds.
    """

    learns: bool = False
    rate: float = 0.0
    origin: str = "none"
    capacity: float = 0.0
    level: float = 0.0
    booked: float = 0.0
    charged: float = 0.0
    confirmed: float = 0.0
    spare: float = 0.0
    wave: float = 0.0
    wave_at: float = -math.inf
    size: float = 1.0
    noise: float = 0.0
    left_over: float = 0.0
    fast: float = 0.0
    slow: float = 0.0
    ceiling: float = math.inf
    ratio: float = 1.0
    doubt: float = 0.0
    base: tuple[float, float] = (1.0, PRIOR_DOUBT)
    learn_from: float = 0.0
    older: Sample | None = None
    newer: Sample | None = None

    def set_rate(self, rate: float, origin: str, longest: float) -> None:
        """Take `rate` per second as the limit, of which at most `longest` seconds' worth can be saved up."""
        if rate != self.rate:
            known = self.capacity if self.origin == "headers" else 0.0
            self.capacity = min(max(known, rate * START), rate * longest)
            self.level = min(self.level, self.capacity)
            self.rate = rate
            self.older = self.newer = None
        self.origin = origin

    def refill(self, seconds: float, brake: float) -> None:
        """Let `seconds` pass at `brake` times the rate."""
        gain = seconds * self.rate * brake
        self.level = min(self.capacity, self.level + gain)
        self.spare = min(self.reserve, self.spare + gain)
        self.fast *= math.exp(-seconds / _FAST)
        self.slow *= math.exp(-seconds / _SLOW)

    @property
    def reserve(self) -> float:
        """Return what ordinary requests leave for interactive ones."""
        return min(max(self.rate * RESERVE, self.size * self.ratio), self.capacity / 4)

    def book(self, amount: float, now: float, *, interactive: bool = False) -> Booking:
        """Take `amount` (an estimate) out of the bucket, even if it must then wait for it."""
        cost = amount * self.ratio
        if self.wave_at == -math.inf and self.rate:
            self.capacity = max(self.capacity, cost)
            self.level, self.spare = self.capacity, self.reserve
        if now > self.wave_at + WAVE:
            self.wave, self.wave_at = self.charged, now
        self.level -= cost
        self.charged += amount
        if amount > 0:
            self.size += (amount - self.size) * min(1.0, max(amount / (50 * self.size), amount / self.charged))
            self.fast += cost / _FAST
            self.slow += cost / _SLOW
        self.booked += cost
        booking = Booking(amount, cost, self.booked, self.charged, self.wave, now)
        if not interactive or self.wait(booking, now, 1.0) == 0.0:
            return booking
        # Taken out of the level but not of the order: everything that is booked already moves back by its cost.
        self.booked -= cost
        ready_at = now + max(0.0, (cost - self.spare) / self.rate)
        self.spare -= cost
        return booking._replace(position=None, ready_at=ready_at)

    def wait(self, booking: Booking, now: float, brake: float) -> float:
        """Return the seconds until `booking` may leave, as far as is known now."""
        if not self.rate:
            return 0.0
        if booking.position is None:
            return max(0.0, booking.ready_at - now)
        room = max(0.0, self.capacity - booking.cost)
        slack = min(self.margin(booking.mark - self.confirmed) + self.reserve + self.rate * TICK, room)
        return max(0.0, (booking.position + slack - self.level - self.booked) / (self.rate * brake))

    def margin(self, open_amount: float) -> float:
        """Return how far the level may be off with `open_amount` (estimated) sent that no reply speaks for yet."""
        open_amount = max(open_amount, 0.0)
        chance = math.sqrt(self.noise * self.size * (open_amount + self.size))
        return self.ratio * (self.doubt * open_amount + _SPREAD * chance)

    def give_back(self, booking: Booking) -> None:
        """Undo a booking that was certainly never sent."""
        self.level = min(self.capacity, self.level + booking.cost)
        self.forget_samples()

    def forget_samples(self) -> None:
        """Compare the vendor's charges with the estimates only from here on."""
        self.learn_from = self.charged
        self.older = self.newer = None

    def begin_anew(self, refused: Booking, sent_at: float, remaining: float | None) -> None:
        """Compare from a refusal on: what was booked before it was charged or not, nobody knows."""
        self.forget_samples()
        after = self.charged - refused.mark
        if remaining is not None and after <= 4 * self.size:
            self.older = self.newer = Sample(self.charged, sent_at, remaining - after * self.ratio, self.size)

    def correct(self, booking: Booking, sent_at: float, now: float, remaining: float, *, upward: bool) -> None:
        """Bring the level between the bounds that a reply sets.

        Let in when sent, the request saw `remaining`; since then the vendor refilled and
        was sent what was booked after it. Let in as late as now, nothing was refilled.
        `upward` False trusts the reply only where it says that less is left.
        """
        if upward:
            self.capacity = max(self.capacity, remaining + booking.cost)
        if self.learns:
            self._learn(booking, Sample(booking.mark, sent_at, remaining, booking.mark - booking.wave))
        since = max(self.charged - booking.mark, 0.0)
        likely = min(remaining + self.rate * max(now - sent_at, 0.0) - since * self.ratio, self.capacity)
        lowest = remaining - max(self.charged - booking.wave - booking.amount, since) * self.ratio
        error = likely - self.level
        tolerance = self.margin(since)
        if error < -tolerance:
            self.level = likely
        elif upward and self.level < lowest:
            self.level = lowest
        elif upward or error < 0:
            self.level += _GAIN * error
        self.level = min(self.level, self.capacity)
        news, self.left_over = error - self.left_over, likely - self.level
        if abs(news) < self.capacity / 2:
            scale = self.ratio * self.ratio * self.size * (since + self.size)
            self.noise += 0.05 * (min(news * news / scale, 1.0) - self.noise)
        self.confirmed = max(self.confirmed, booking.mark)

    def _learn(self, booking: Booking, sample: Sample) -> None:
        if sample.remaining >= min(self.capacity - 1.5 * booking.cost - 1.0, 0.9 * self.capacity):
            # The bucket was full or nearly so: what it could not hold would look like a charge that was not made.
            self.forget_samples()
            return
        if sample.mark <= self.learn_from or (self.newer is not None and sample.mark <= self.newer.mark):
            return
        if self.older is None or self.newer is None:
            self.older = self.newer = sample
            return
        estimated = sample.mark - self.older.mark
        if estimated < 4 * self.size:
            return
        charged = self.older.remaining - sample.remaining + self.rate * (sample.at - self.older.at)
        measured = min(max(charged / estimated, 0.2), 5.0)
        spread = _SPREAD * math.sqrt(self.noise * self.size * estimated)
        error = (sample.loose + self.older.loose + spread) / estimated
        weight = self.base[1] ** 2 / (self.base[1] ** 2 + error**2)
        self.ratio = self.base[0] + weight * (measured - self.base[0])
        self.doubt = self.base[1] * error / math.hypot(self.base[1], error)
        if sample.mark - self.newer.mark > max(_WINDOW * self.size, 20 * sample.loose):
            self.older, self.newer = self.newer, sample
            self.base = (self.ratio, max(self.doubt, 0.05))


def new_bucket(per_period: float | None, period: float, *, learns: bool = False, full: bool = False) -> Bucket:
    """Return a bucket for a limit that is only assumed until a reply states it; None is no limit."""
    bucket = Bucket(learns=learns)
    if learns:
        bucket.doubt, bucket.noise = PRIOR_DOUBT, 0.02
    if per_period:
        bucket.rate, bucket.origin = per_period / period, "catalogue"
        bucket.capacity = per_period if full else max(bucket.rate * START, 1.0)
        bucket.level = bucket.capacity
    return bucket
