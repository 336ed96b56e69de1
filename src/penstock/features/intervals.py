"""Intervals of measured shares, correlations and other figures: 95 % each, by stated formulas, without chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import atanh, fsum, isnan, sqrt, tanh
from typing import NamedTuple

Z = 1.959963984540054


class Interval(NamedTuple):
    """The values that fit what was measured."""

    low: float
    high: float


def of_share(hits: int, tried: int) -> Interval | None:
    """Return the interval of a share (E.B. Wilson, 1927); None when nothing was tried."""
    if not tried:
        return None
    share, pull = hits / tried, Z * Z / tried
    middle, reach = share + pull / 2, Z * sqrt(share * (1 - share) / tried + pull / (4 * tried))
    low, high = (middle - reach) / (1 + pull), (middle + reach) / (1 + pull)
    return Interval(0.0 if not hits else max(low, 0.0), 1.0 if hits == tried else min(high, 1.0))


def of_correlation(found: float, pairs: int) -> Interval | None:
    """Return the interval of a correlation (R.A. Fisher's z, 1921); None for fewer than four pairs."""
    if pairs < 4 or isnan(found):
        return None
    if abs(found) >= 1:
        return Interval(found, found)
    reach = Z / sqrt(pairs - 3)
    return Interval(tanh(atanh(found) - reach), tanh(atanh(found) + reach))


def of_figure(
    found: float, without: Iterable[tuple[float, int]], low: float = 0.0, high: float = 1.0
) -> Interval | None:
    """Return the interval of any figure by the jackknife (M. Quenouille, J. Tukey).

    `without` are the figures with one example left out, each with how many examples give it; None for fewer than two.
    """
    parts = list(without)
    count = sum(times for _, times in parts)
    if count < 2:
        return None
    mean = fsum(value * times for value, times in parts) / count
    error = sqrt((count - 1) / count * fsum(times * (value - mean) ** 2 for value, times in parts))
    return Interval(max(found - Z * error, low), min(found + Z * error, high))


def without_one(
    pairs: Sequence[tuple[str, str]], figure: Callable[[Sequence[str], Sequence[str]], float]
) -> Iterable[tuple[float, int]]:
    """Yield a figure of (truth, said) with one pair left out; equal pairs give equal figures."""
    for pair, times in Counter(pairs).items():
        rest = list(pairs)
        rest.remove(pair)
        yield figure(*zip(*rest, strict=True)) if rest else 0.0, times
