"""Counts what becomes of records under a mapping: events, refusals and warnings by code, columns that are nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as AnyMapping
from typing import Any

import msgspec

from penstock.base.expression import suggest
from penstock.base.types import Problem
from penstock.events.mapped import Mapped
from penstock.events.mapping import Mapping

_SAMPLE = 1_000


class Counts(msgspec.Struct):
    """How many records gave an event and why others did not; `types` and `reasons` are by name and code."""

    records: int = 0
    events: int = 0
    opted_out: int = 0
    refused: int = 0
    unreadable: int = 0
    types: dict[str, int] = {}
    reasons: dict[str, int] = {}
    warnings: dict[str, int] = {}
    absent: tuple[str, ...] = ()
    """Fields whose column no record has, each with the nearest right name."""


class Tally:
    """Counts the records of one source; memory does not grow with them."""

    def __init__(self, mapping: Mapping) -> None:
        self._counts = Counts()
        self._types: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._warnings: Counter[str] = Counter()
        plan = mapping.plan
        self._wanted = {
            name: str(one.path[1])
            for name, one in plan.fields.items()
            if name in plan.own and one.path is not None and len(one.path) > 1
        }
        self._columns: set[str] = set()

    def add(self, record: AnyMapping[str, Any], mapped: Mapped) -> None:
        """Count one record."""
        counts = self._counts
        counts.records += 1
        if counts.records <= _SAMPLE and isinstance(record, dict):
            self._columns.update(map(str, record))
        if mapped.event is not None:
            counts.events += 1
            self._types[mapped.event.name] += 1
        elif mapped.is_opted_out:
            counts.opted_out += 1
        else:
            counts.refused += 1
        self._reasons.update({(one.code, one.field) for one in mapped.refusals})
        self._warnings.update({_code(text) for text in mapped.warnings})

    def add_unreadable(self, problem: Problem) -> None:
        """Count a row that is no record at all."""
        self._counts.records += 1
        self._counts.unreadable += 1
        self._reasons[problem.code, "row"] += 1

    def counts(self) -> Counts:
        """Return the counts so far."""
        counts = self._counts
        counts.types = dict(self._types.most_common())
        counts.reasons = {f"{code} ({field})": number for (code, field), number in self._reasons.most_common()}
        counts.warnings = dict(self._warnings.most_common())
        counts.absent = tuple(
            f"{field}: no record has {column!r}. {suggest(column, self._columns)}"
            for field, column in self._wanted.items()
            if counts.records and column not in self._columns
        )
        return counts


def _code(warning: str) -> str:
    """Return the code that a warning carries in brackets."""
    return warning.rpartition("[")[2].partition("]")[0] or warning
