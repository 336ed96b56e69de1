"""One record on its way through a flow: its scope, its results, and what names and dates in it mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any

from penstock.base.errors import MappingError, PenstockError
from penstock.base.types import Problem, Record
from penstock.flows.kept import Item
from penstock.operations.declare import Fields
from penstock.runtime.ask import Answer, Ask


@dataclass(slots=True)
class Work:
    """One record on its way through the steps."""

    record: Record
    scope: dict[str, Any]
    owner: str
    dated: float | None
    known: Item | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    prints: list[bytes] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    problem: Problem | None = None
    stage: str = ""
    now: float = 0.0
    """When the record is looked at."""
    stale_before: float = 0.0
    """Results that were judged earlier do not count, and are made anew."""
    made: dict[str, str] = field(default_factory=dict)
    """By step, what made the result."""

    def fail(self, stage: str, error: PenstockError) -> None:
        """Take the record out of the run and remember why."""
        self.stage = stage
        self.problem = Problem.from_error(error, self.record.where)

    @property
    def is_fresh(self) -> bool:
        """Tell whether some step was judged on something else than what is kept."""
        known = self.known
        return (
            known is None
            or self.is_expired
            or known.state != "done"
            or known.fingerprint != b"".join(self.prints)
            or known.output.keys() != self.outputs.keys()
        )

    @property
    def is_expired(self) -> bool:
        """Tell whether what is kept is too old to count."""
        return self.known is not None and self.known.state == "done" and self.known.at < self.stale_before

    @property
    def at(self) -> float:
        """When the result was made."""
        return self.now if self.known is None or self.is_fresh else self.known.at

    def is_reached(self, steps: int) -> bool:
        """Tell whether the record has its result, or failed."""
        return self.problem is not None or len(self.outputs) == steps

    def known_answers(self) -> list[str]:
        """Return the answers that earlier results rested on: they are forgotten with the record."""
        return [part for part in self.known.answers.split(",") if part] if self.known is not None else []

    def item(self) -> Item:
        """Return what is to be remembered of this record."""
        return Item(
            self.record.key,
            self.owner,
            b"".join(self.prints),
            "failed" if self.problem else "done",
            self.outputs,
            self.dated,
            ",".join(dict.fromkeys([*self.known_answers(), *self.answers])),
            self.record.where,
            at=self.at,
            made=self.made,
        )


def status_of(at: float, made: Mapping[str, str]) -> dict[str, str | None]:
    """Return what expressions of a sink see as `status`: day (UTC), model and version of a result."""
    parts = [one.partition("|") for one in made.values()]
    return {
        "at": datetime.fromtimestamp(at, UTC).date().isoformat() if at else None,
        "model": ", ".join(dict.fromkeys(model for _, _, model in parts if model)) or None,
        "version": ", ".join(dict.fromkeys(version for version, _, _ in parts)) or None,
    }


@dataclass(slots=True)
class Sorted:
    """A page, sorted by what must be done."""

    works: list[Work] = field(default_factory=list)
    filtered: int = 0
    forgotten: int = 0
    objected: list[Work] = field(default_factory=list)
    """Records of people who object: nothing of them is sent."""
    duplicates: list[Work] = field(default_factory=list)
    """Keys that were met before; with a problem where the records differ."""


@dataclass(slots=True)
class Wanted:
    """What a step needs for one record: the input, and the request when one must be sent."""

    work: Work
    input: Fields
    ask: Ask
    key: bytes


class Purchases:
    """Counts what a page bought and what it had already."""

    def __init__(self) -> None:
        self.calls = self.cached = self.cost = self.tokens = self.saved = 0

    def add(self, answer: Answer) -> None:
        """Count one answer."""
        if answer.cached:
            self.cached += 1
            self.saved += answer.cost or 0
            return
        self.calls += 1
        self.cost += answer.cost or 0
        self.tokens += answer.usage.input + answer.usage.output


def fold_key(text: str) -> str:
    """Return a name in the form in which it is compared: addresses do not differ by case or surrounding blanks."""
    text = text.strip()
    return text.lower() if "@" in text else text


def to_time(value: Any) -> float | None:
    """Turn a date of a record into seconds since 1970; a date without a zone is UTC.

    Takes ISO 8601 text, dates, and seconds or milliseconds; raises `MappingError` otherwise.
    """
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    try:
        if isinstance(value, (int, float)) or (str(value).isdigit() and len(str(value)) >= 10):
            number = float(value)
            if not isfinite(number):
                raise ValueError("no moment")
            return number / 1000 if number > 1e11 else number
        return to_time(datetime.fromisoformat(str(value).strip()))
    except (ValueError, OverflowError) as error:
        raise MappingError(
            f"{str(value)[:40]!r} is not a date",
            code="mapping.bad-date",
            hint="Write it as 2026-11-20 or 2026-11-20T09:30Z.",
        ) from error
