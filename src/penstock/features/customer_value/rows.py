"""Order histories as columns, with equal ones merged: a million customers are some hundred thousand rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Histories: orders after the first, time from the first to the last, time from the first to now; one unit.

    `weight` is how many customers share the row.
    """

    repeats: Floats
    recency: Floats
    age: Floats
    weight: Floats

    @classmethod
    def of(cls, repeats: npt.ArrayLike, recency: npt.ArrayLike, age: npt.ArrayLike) -> Rows:
        """Take histories as they are, one row each; raises `InputError` where one cannot be."""
        x, last, now = (np.atleast_1d(np.asarray(column, np.float64)) for column in (repeats, recency, age))
        rows = cls(*np.broadcast_arrays(x, last, now, np.ones(1)))
        _check(rows)
        return rows

    @classmethod
    def merged(cls, repeats: Integers, recency: Integers, age: Integers, unit: float) -> Rows:
        """Merge equal histories that are counted in whole days; `unit` is how many days are one unit of time."""
        return cls.grouped(repeats, recency, age, unit)[0]

    @classmethod
    def grouped(cls, repeats: Integers, recency: Integers, age: Integers, unit: float) -> tuple[Rows, Integers]:
        """Merge as `merged`, and say in which row each customer is."""
        key, spans = _pack(repeats, recency, age)
        order = np.argsort(key)
        key = key[order]
        is_new = np.ones(len(key), bool)
        is_new[1:] = key[1:] != key[:-1]
        starts = np.flatnonzero(is_new)
        places = np.empty(len(key), np.intp)
        places[order] = np.cumsum(is_new) - 1
        weight = np.diff(np.append(starts, len(key))).astype(np.float64)
        rest, day = np.divmod(key[starts], spans[1])
        x, last = np.divmod(rest, spans[0])
        rows = cls(x.astype(np.float64), last / unit, day / unit, weight)
        _check(rows)
        return rows, places

    @cached_property
    def customers(self) -> float:
        """How many customers there are."""
        return float(self.weight.sum())

    @property
    def mean_age(self) -> float:
        """The mean time since the first order: the scale of the search for parameters."""
        if not len(self.weight):
            raise InputError("there is no customer", code="orders.empty", hint="Bring an order log.")
        return float((self.age * self.weight).sum() / self.customers) or 1.0

    @cached_property
    def levels(self) -> tuple[Floats, Integers, Floats]:
        """The distinct numbers of orders, which of them each row has, and the customers of each.

        Gamma functions are computed once a level: they depend on nothing else of a customer.
        """
        values, places = np.unique(self.repeats, return_inverse=True)
        return values, places, np.bincount(places, self.weight, len(values)).astype(np.float64)

    def take(self, chosen: npt.NDArray[Any] | slice, weight: Floats) -> Rows:
        """Return some of the rows with another weight each."""
        return Rows(self.repeats[chosen], self.recency[chosen], self.age[chosen], weight)


def over_distinct(compute: Callable[..., Floats], *columns: Floats) -> Floats:
    """Compute once for every distinct combination of the columns, and give each row its own result."""
    if _rises(columns):
        return compute(*columns)
    order = np.lexsort(columns) if len(columns) > 1 else np.argsort(columns[0])
    sorted_columns = [column[order] for column in columns]
    new = np.zeros(len(order), bool)
    new[0] = True
    for column in sorted_columns:
        new[1:] |= column[1:] != column[:-1]
    found = compute(*(column[new] for column in sorted_columns))
    result = np.empty(len(order))
    result[order] = found[np.cumsum(new) - 1]
    return result


def _rises(columns: tuple[Floats, ...]) -> bool:
    """Return whether the combinations are distinct and in order already, the last column first."""
    rises = np.zeros(max(len(columns[0]) - 1, 0), bool)
    for column in columns:
        rises = (column[1:] > column[:-1]) | ((column[1:] == column[:-1]) & rises)
    return bool(rises.all())


def _pack(repeats: Integers, recency: Integers, age: Integers) -> tuple[Integers, tuple[int, int]]:
    spans = tuple(int(column.max(initial=0)) + 1 for column in (recency, age))
    if min((int(column.min(initial=0)) for column in (repeats, recency, age)), default=0) < 0:
        raise InputError("a history has a negative number", code="orders.impossible", hint=_HINT)
    if (int(repeats.max(initial=0)) + 1) * spans[0] * spans[1] >= 1 << 63:
        raise InputError("the histories span too long a time", code="orders.impossible", hint=_HINT)
    return (repeats.astype(np.int64) * spans[0] + recency) * spans[1] + age, (spans[0], spans[1])


_HINT = "An order history has 0 ≤ recency ≤ age, and recency 0 where there is no second order."


def _check(rows: Rows) -> None:
    columns = np.stack([rows.repeats, rows.recency, rows.age])
    sound = np.isfinite(columns).all(axis=0) & (columns >= 0).all(axis=0) & (rows.recency <= rows.age)
    sound &= (rows.repeats > 0) | (rows.recency == 0)
    if not sound.all():
        x, last, now = columns[:, int(np.argmin(sound))]
        raise InputError(
            f"no customer can have {x:g} repeat orders, the last after {last:g}, of {now:g}",
            code="orders.impossible",
            hint=_HINT,
        )
