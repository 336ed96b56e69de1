"""What makes each segment different: its numbers and categories beside those of everybody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import asin, sqrt
from typing import Any, NamedTuple

import numpy as np

from penstock.features.clustering.model import NOWHERE, Places, Segmentation

Array = np.ndarray[Any, Any]

_FEWEST = 5
"""Customers that a statement must be about: fewer would be statements about people."""
_BY_CHANCE = 3.0
"""Standard errors within which a difference may be chance; many fields are looked at, so more than the usual two."""


class Fact(NamedTuple):
    """How a segment differs from all other customers in one field.

    Of a number, `here` and `elsewhere` are means; of a category, the parts of customers who have `value`. `lift` is
    their ratio, None where there is nothing to divide by. `effect` is in standard deviations (Cohen's d, and h for
    parts; 0.2 is small, 0.8 large), with the sign of the difference. `is_clear` is False where it may be chance.
    """

    field: str
    value: str
    here: float
    elsewhere: float
    lift: float | None
    effect: float
    customers: int
    is_clear: bool


class Profile(NamedTuple):
    """One segment; facts with the largest effects first, clear ones before the rest."""

    id: str
    customers: int
    share: float
    facts: tuple[Fact, ...]


def profile_segments(
    segmentation: Segmentation,
    places: Places,
    numbers: Mapping[str, Sequence[float | None] | Array] | None = None,
    categories: Mapping[str, Sequence[str | Collection[str] | None]] | None = None,
) -> list[Profile]:
    """Return a profile for each segment; fields may be others than those that the segments were found by.

    Unknown values (None, NaN) count nowhere. A statement about fewer than five customers is not made.
    """
    count = len(segmentation.ids)
    facts: list[list[Fact]] = [[] for _ in range(count)]
    for name, values in (numbers or {}).items():
        for segment, fact in _compare_number(name, values, places.segments, count):
            facts[segment].append(fact)
    for name, given in (categories or {}).items():
        for segment, fact in _compare_category(name, given, places.segments, count):
            facts[segment].append(fact)
    sizes = places.sizes(count)
    total = max(int(sizes.sum()), 1)
    return [
        Profile(
            segmentation.ids[at],
            int(sizes[at]),
            float(sizes[at] / total),
            tuple(sorted(facts[at], key=lambda fact: (not fact.is_clear, -abs(fact.effect), fact.field, fact.value))),
        )
        for at in range(count)
    ]


def _compare_number(
    name: str, values: Sequence[float | None] | Array, segments: Array, count: int
) -> list[tuple[int, Fact]]:
    column = np.array([np.nan if value is None else value for value in values], np.float64)
    known = np.isfinite(column) & (segments != NOWHERE)
    column, places = column[known], segments[known]
    spread = float(column.std()) if len(column) else 0.0
    sizes = np.bincount(places, minlength=count)
    sums = np.bincount(places, column, minlength=count)
    found = []
    for at in range(count):
        rest = len(column) - int(sizes[at])
        if sizes[at] < _FEWEST or rest < _FEWEST or not spread:
            continue
        here, elsewhere = float(sums[at] / sizes[at]), float((sums.sum() - sums[at]) / rest)
        effect = (here - elsewhere) / spread
        error = sqrt(1 / sizes[at] + 1 / rest)
        fact = Fact(name, "", here, elsewhere, _lift(here, elsewhere), effect, int(sizes[at]), _is_clear(effect, error))
        found.append((at, fact))
    return found


def _compare_category(
    name: str, given: Sequence[str | Collection[str] | None], segments: Array, count: int
) -> list[tuple[int, Fact]]:
    held: Counter[tuple[int, str]] = Counter()
    known = np.zeros(count, np.int64)
    for at, value in zip(segments.tolist(), given, strict=True):
        if at == NOWHERE or value is None:
            continue
        known[at] += 1
        held.update((at, one) for one in ({value} if isinstance(value, str) else set(value)))
    totals: Counter[str] = Counter()
    for (_, value), number in held.items():
        totals[value] += number
    found = []
    for at in range(count):
        rest = int(known.sum() - known[at])
        if known[at] < _FEWEST or rest < _FEWEST:
            continue
        for value, total in totals.items():
            number = held[at, value]
            if total < _FEWEST or 0 < number < _FEWEST:
                continue
            here, elsewhere = number / int(known[at]), (total - number) / rest
            effect = 2 * asin(sqrt(here)) - 2 * asin(sqrt(elsewhere))
            clear = _is_clear(effect, sqrt(1 / int(known[at]) + 1 / rest))
            if effect:
                fact = Fact(name, value, here, elsewhere, _lift(here, elsewhere), effect, number, clear)
                found.append((at, fact))
    return found


def _lift(here: float, elsewhere: float) -> float | None:
    return here / elsewhere if elsewhere > 0 and here >= 0 else None


def _is_clear(effect: float, error: float) -> bool:
    return abs(effect) > _BY_CHANCE * error
