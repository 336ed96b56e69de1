"""What an A/B test proves: the difference of two shares with its interval, and how many people it would take.

The interval of a difference is Newcombe's (method 10, Statistics in Medicine 17, 1998), from Wilson's of each share.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal, NamedTuple

import msgspec

from penstock.data.brevo_results import Counts
from penstock.features.intervals import Interval, of_share
from penstock.features.writing.sample import size_arm

MEASURES = ("opened", "clicked")


class Share(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """How much larger the share of B is than that of A; `verdict` says whether that is more than chance.

    `needed` is how many people each version would need to tell a difference like this; None where nobody can say.
    """

    measure: str
    value: float
    low: float
    high: float
    verdict: Literal["better", "worse", "too few"]
    needed: int | None

    def describe(self) -> str:
        """Say it in a sentence."""
        points = f"{self.value * 100:+.1f} points from A ({self.low * 100:+.1f} to {self.high * 100:+.1f})"
        said = f"{self.measure}: B is {points}"
        if self.verdict != "too few":
            return f"{said}: B is {self.verdict}."
        if self.needed is None:
            return f"{said}: the sample is too small to tell them apart."
        return f"{said}: too few to tell; a difference like that needs {self.needed:,} people for each."


def find_share(count: int, total: int) -> Share:
    """Return a share with its interval; of nothing, nothing is known."""
    count = min(count, total)
    interval = of_share(count, total) or Interval(0.0, 1.0)
    return Share(count / total if total else 0.0, interval.low, interval.high)


def compare(first: Counts, second: Counts) -> list[Difference]:
    """Compare two versions by what was opened and clicked."""
    return [_compare(first, second, measure) for measure in MEASURES]


def _compare(first: Counts, second: Counts, measure: str) -> Difference:
    one, other = (find_share(getattr(arm, measure), arm.delivered) for arm in (first, second))
    value = other.value - one.value
    low = value - sqrt((other.value - other.low) ** 2 + (one.high - one.value) ** 2)
    high = value + sqrt((other.high - other.value) ** 2 + (one.value - one.low) ** 2)
    if low > 0 or high < 0:
        return Difference(measure, value, low, high, "better" if value > 0 else "worse", None)
    can_tell = value and 0 < one.value < 1 and 0 < other.value < 1
    return Difference(measure, value, low, high, "too few", size_arm(one.value, other.value) if can_tell else None)
