"""How feedback moves over time, by topic: a mean with its interval for each window, and which topics have turned.

Rule, version 1. What is counted is people, not texts: of each, the mean of their scores in a window, weighed by
confidence. Unclear feedback and feedback without a date is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import floor, sqrt
from typing import Any, Literal

import msgspec

from penstock.features.student import half_width, welch
from penstock.features.summary import DAY, LEAST_CONFIDENCE, TREND_STEP, UNKNOWN_CONFIDENCE

ALL = "all feedback"
"""Stands for every feedback, whatever it is about."""
COVERAGE = 0.95
FEWEST = 8
"""Of fewer people nothing but the mean is told: no interval, no turn."""
FALSE_ALARMS = 0.05
"""How often a look finds a turn in any topic though nothing has changed, at most."""
DAYS = 28.0
"""Length of a window."""
WINDOWS = 6
"""So many windows are shown; a turn is the newest one against the three before it."""
BEFORE = 3


class Spread(msgspec.Struct):
    """People, their mean and the sum of squared distances from it (Welford's method)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one person in."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def variance(self) -> float:
        """The variance as if two more people stood at the ends, −1 and 1: few equal scores prove little."""
        ends = (1 + self.mean) ** 2 + (1 - self.mean) ** 2
        return (self.squares + ends) / (self.count + 1)


class Point(msgspec.Struct, frozen=True):
    """One window. `low` and `high` hold the mean of all customers in 95 of 100 cases; None for too few people."""

    start: str
    """First day, UTC."""
    end: str
    people: int
    mean: float
    low: float | None
    high: float | None


class Topic(msgspec.Struct, frozen=True):
    """One topic: its windows, oldest first, and how the newest differs from the three before it."""

    topic: str
    points: list[Point]
    turn: Literal["better", "worse", "steady", "unknown"]
    """`unknown` where there are too few people to tell."""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    """How likely such a change comes about by chance, all topics considered (Holm)."""


class Trends(msgspec.Struct, frozen=True):
    """The trends of one flow, or of one contact in it."""

    flow: str
    contact: str
    as_of: str
    days: float
    feedback: int
    people: int
    undated: int
    topics: list[Topic]
    turned: list[str]
    """Topics that have turned, worse ones first."""


class Collector:
    """Takes judgements in, those of one person after the other, and keeps only sums."""

    def __init__(self, as_of: float, days: float = DAYS, *, each: bool = False) -> None:
        """Look back from `as_of`; with `each` every feedback counts as a person, as where all are of one contact."""
        self.as_of = as_of
        self.window = days * DAY
        self.feedback = self.people = self.undated = 0
        self._each = each
        self._spreads: dict[tuple[str, int], Spread] = {}
        self._owner: str | None = None
        self._sums: dict[tuple[str, int], tuple[float, float]] = {}

    def add(self, owner: str, at: float | None, output: Mapping[str, Any]) -> None:
        """Take one judgement; the same person's must follow one another."""
        if at is None:
            self.undated += 1
            return
        place = floor((self.as_of - at) / self.window)
        if output.get("label") == "unclear" or not 0 <= place < WINDOWS:
            return
        self.feedback += 1
        if owner != self._owner or self._each:
            self._close()
            self._owner = owner
        confidence = output.get("confidence")
        weight = max(UNKNOWN_CONFIDENCE if confidence is None else float(confidence), LEAST_CONFIDENCE)
        for topic, score in _scores(output):
            for window in (place, WINDOWS) if 1 <= place <= BEFORE else (place,):
                total, sum_ = self._sums.get((topic, window), (0.0, 0.0))
                self._sums[topic, window] = (total + weight, sum_ + weight * score)

    def _close(self) -> None:
        if not self._sums:
            return
        self.people += 1
        for name, (total, sum_) in self._sums.items():
            self._spreads.setdefault(name, Spread()).add(sum_ / total)
        self._sums.clear()

    def finish(self, flow: str = "", contact: str = "", topic: str = "") -> Trends:
        """Return the trends of all topics, or of one; others are looked at all the same, so that chances hold."""
        self._close()
        names = sorted({name for name, _ in self._spreads}, key=lambda name: (name != ALL, name))
        chances = _holm({name: chance for name in names if (chance := self._compare(name)[3]) is not None})
        topics = [self._topic(name, chances.get(name)) for name in names if not topic or name == topic]
        turned = sorted((one for one in topics if one.turn in ("worse", "better")), key=lambda one: one.turn != "worse")
        return Trends(
            flow,
            contact,
            _to_day(self.as_of),
            self.window / DAY,
            self.feedback,
            self.people,
            self.undated,
            topics,
            [one.topic for one in turned],
        )

    def _topic(self, name: str, chance: float | None) -> Topic:
        points = [self._point(name, place) for place in reversed(range(WINDOWS)) if (name, place) in self._spreads]
        change, low, high, _ = self._compare(name)
        if change is None or chance is None:
            return Topic(name, points, "unknown")
        has_turned = chance <= FALSE_ALARMS and abs(change) >= TREND_STEP
        turn: Literal["better", "worse", "steady"] = "steady" if not has_turned else "better" if change > 0 else "worse"
        return Topic(name, points, turn, _round(change), _round(low), _round(high), chance)

    def _point(self, name: str, place: int) -> Point:
        spread = self._spreads[name, place]
        low = high = None
        if spread.count >= FEWEST:
            reach = half_width(COVERAGE, spread.count - 1) * sqrt(spread.variance / spread.count)
            low, high = _round(max(spread.mean - reach, -1.0)), _round(min(spread.mean + reach, 1.0))
        start, end = self.as_of - (place + 1) * self.window, self.as_of - place * self.window
        return Point(_to_day(start), _to_day(end), spread.count, round(spread.mean, 4) + 0.0, low, high)

    def _compare(self, name: str) -> tuple[float | None, float | None, float | None, float | None]:
        """Compare the newest window with those before it: change, its interval, and its chance alone."""
        now, before = (self._spreads.get((name, place), Spread()) for place in (0, WINDOWS))
        if min(now.count, before.count) < FEWEST:
            return None, None, None, None
        error, freedom, chance = welch(*((one.count, one.mean, one.variance) for one in (now, before)))
        change, reach = now.mean - before.mean, half_width(COVERAGE, freedom) * error
        return change, max(change - reach, -2.0), min(change + reach, 2.0), chance


def _scores(output: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what a feedback says about each topic: the aspect's score where there is one, else that of the whole."""
    yield ALL, float(output["score"])
    alone = {one["topic"]: float(one["score"]) for one in output.get("aspects") or ()}
    for topic in output.get("topics") or ():
        yield topic, alone.get(topic, float(output["score"]))


def _holm(chances: Mapping[str, float]) -> dict[str, float]:
    """Adjust chances for their number (S. Holm, 1979), so that any false alarm is as rare as was stated."""
    adjusted, worst = {}, 0.0
    for place, name in enumerate(sorted(chances, key=lambda name: (chances[name], name))):
        worst = max(worst, min(chances[name] * (len(chances) - place), 1.0))
        adjusted[name] = round(worst, 6)
    return adjusted


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4) + 0.0


def _to_day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def list_steps(outputs: Mapping[str, Any]) -> Sequence[str]:
    """Return which steps of a flow gave judgements of feedback."""
    return [
        name for name, output in outputs.items() if isinstance(output, dict) and {"score", "label"} <= output.keys()
    ]
