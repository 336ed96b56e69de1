"""The published order logs that come with `lifetimes`, read as files: importing it needs an old setuptools."""

from __future__ import annotations

import csv
import datetime
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from penstock.features.customer_value.orders import OrderColumns, OrderLog, OrderRules
from penstock.features.customer_value.rows import Rows

CUT = datetime.date(1997, 9, 30)
END = datetime.date(1998, 6, 30)


def path_of(package: str, name: str) -> Path:
    """Return a file of a package; skips where the package is absent."""
    try:
        found = [file for file in files(package) or [] if file.name == name]
    except ImportError:
        found = []
    if not found:
        pytest.skip(f"{package} is not installed (test group)")
    return Path(str(found[0].locate()))


def sample() -> list[tuple[str, datetime.date, float]]:
    """Return the orders of the 1/10 sample: customer, day, value."""
    lines = path_of("lifetimes", "CDNOW_sample.txt").read_text().splitlines()
    return [_order(words[1], words[2], words[4]) for words in map(str.split, lines) if words]


def master() -> list[tuple[str, datetime.date, float]]:
    """Return the orders of all 23,570 customers."""
    lines = path_of("lifetimes", "CDNOW_master.txt").read_text().splitlines()
    return [_order(words[0], words[1], words[3]) for words in map(str.split, lines) if words and words[0].isdigit()]


def _order(customer: str, day: str, value: str) -> tuple[str, datetime.date, float]:
    return customer, datetime.date.fromisoformat(day), float(value)


def donors() -> dict[str, np.ndarray]:
    """Return the donors as rows of BG/BB: frequency, recency, opportunities, weight."""
    with path_of("lifetimes", "donations.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


class Cohort(NamedTuple):
    """Histories up to a cut in days, counted by hand, and the orders between the cut and the end."""

    repeats: np.ndarray
    recency: np.ndarray
    age: np.ndarray
    later: np.ndarray
    mean: np.ndarray
    """Mean value of the repeat orders, zero without one."""

    @property
    def rows(self) -> Rows:
        return Rows.of(self.repeats, self.recency / 7, self.age / 7)


@cache
def cohort(full: bool = False, cut: datetime.date = CUT, end: datetime.date = END) -> Cohort:
    """Count by hand: orders of one day are one order."""
    days: dict[str, dict[int, float]] = {}
    for customer, day, value in master() if full else sample():
        own = days.setdefault(customer, {})
        own[day.toordinal()] = own.get(day.toordinal(), 0.0) + value
    found = []
    for own in days.values():
        known = sorted(day for day in own if day <= cut.toordinal())
        later = sum(1 for day in own if cut.toordinal() < day <= end.toordinal())
        mean = sum(own[day] for day in known[1:]) / max(1, len(known) - 1)
        found.append((len(known) - 1, known[-1] - known[0], cut.toordinal() - known[0], later, mean))
    columns = [np.array(column) for column in zip(*found, strict=True)]
    return Cohort(*columns)


def log(orders: list[tuple[str, datetime.date, float]]) -> OrderLog:
    """Make an order log; rows that repeat another count each, since two equal purchases of a day are published so."""
    records = ({"customer": customer, "date": day, "value": value} for customer, day, value in orders)
    return OrderLog.from_records(records, OrderColumns(value="value"), OrderRules(duplicates="keep"), END)
