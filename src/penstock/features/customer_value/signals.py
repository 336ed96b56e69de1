"""A signal (a number that became known of a customer, such as what a text felt like) counts only where it helped.

Chances with it are held against chances without it on the newest complete window, customer by customer.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from penstock.base.types import Finding
from penstock.features.customer_value.rows import Floats

LEAST = 50
"""Customers of whom a signal must be known, at the beginning of either window, to be weighed at all."""


class Signal(NamedTuple):
    """What a signal won: by how much smaller the Brier score is with it, with the interval of that difference.

    `customers` is of how many it was known when the window began.
    """

    name: str
    customers: int
    gain: float
    low: float
    high: float

    @property
    def counts(self) -> bool:
        """Whether chances are surely better with it."""
        return self.low > 0

    @property
    def finding(self) -> Finding:
        """The verdict in words."""
        if self.customers < LEAST:
            message = f"the signal {self.name!r} does not count: it is known of {self.customers} customers"
            return Finding("signals", "warn", message, f"Bring it for {LEAST} customers at least, dated early enough.")
        won = f"chances miss by {self.gain:.5f} less with it (Brier, {self.low:.5f} to {self.high:.5f})"
        if self.counts:
            return Finding("signals", "ok", f"the signal {self.name!r} counts: {won}")
        message = f"the signal {self.name!r} does not count: {won}, which may be chance"
        return Finding("signals", "warn", message, "Nothing to do: forecasts are made without it.")


def weigh(
    name: str, customers: int, without: Floats, chances: Floats | None, truth: Floats, signals: int = 1
) -> Signal:
    """Hold chances with a signal against those without it; the interval is 95 % for all the `signals` together.

    Chances are None where the signal is known of too few customers to be learnt.

    The differences are those of the same customers, so that what both get wrong falls away. More signals widen each
    interval (Bonferroni): of many that say nothing, one would look useful by chance.
    """
    if chances is None:
        return Signal(name, customers, 0.0, 0.0, 0.0)
    won = (without - truth) ** 2 - (chances - truth) ** 2
    wide = NormalDist().inv_cdf(1 - 0.025 / max(signals, 1)) * float(won.std()) / len(won) ** 0.5
    gain = float(np.mean(won))
    return Signal(name, customers, gain, gain - wide, gain + wide)
