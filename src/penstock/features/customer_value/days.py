"""The days on which each customer ordered, in memory: whatever is counted of an order log is counted from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from penstock.features.customer_value.rows import Flags, Floats, Integers
from penstock.features.customer_value.scan import blocks

_MONDAY = 4  # 1970-01-05, in days since 1970


@dataclass(frozen=True)
class CustomerDays:
    """One entry a customer and day with an order, in this order; days since 1970.

    `customer` are places in a list of names, one for all entries of a customer, which begin at its `starts`; `value`
    is what the day was worth.
    """

    customer: Integers
    starts: Integers
    day: Integers
    value: Floats

    @classmethod
    def of(cls, customer: Integers, day: Integers, value: Floats, chosen: Flags, customers: int) -> CustomerDays:
        """Merge the chosen orders of one customer and day: scipy sorts and adds them as it makes a sparse matrix.

        The columns are used up: what is not chosen moves to a customer behind the last, which is cut off.
        """
        left = np.flatnonzero(~chosen)
        low = int(day.min(where=chosen, initial=np.iinfo(day.dtype).max)) if len(left) < len(day) else 0
        customer[left], day[left] = customers, low
        day -= low
        table = sparse.csr_array((value, (customer, day)), shape=(customers + 1, int(day.max(initial=0)) + 1))
        sizes = np.diff(table.indptr[:-1])
        some, end = np.flatnonzero(sizes), int(table.indptr[-2])
        table.indices += low
        return cls(some, table.indptr[some], table.indices[:end], table.data[:end])

    def between(self, low: int | None, high: int | None) -> CustomerDays:
        """Return the entries from the day `low` to the day `high`."""
        keep = np.ones(len(self.day), bool)
        if low is not None:
            keep &= self.day >= low
        if high is not None:
            keep &= self.day <= high
        if keep.all():
            return self
        return self._split(self.day[keep], self.value[keep], self.count(keep))

    def by(self, grain: int) -> CustomerDays:
        """Merge days into one of each `grain` days, named by its first; weeks begin on Monday."""
        if grain == 1:
            return self
        day = (self.day - _MONDAY) // grain * grain + _MONDAY
        is_new = np.ones(len(day), bool)
        is_new[1:] = day[1:] != day[:-1]
        is_new[self.starts] = True
        return self._split(day[is_new], _add(self.value, np.flatnonzero(is_new)), self.count(is_new))

    def count(self, chosen: Flags) -> Integers:
        """Return how many entries of each customer are chosen."""
        return _add(chosen, self.starts, np.int64)

    def add(self, values: Floats) -> Floats:
        """Return the sum of each customer's values, one an entry."""
        return _add(values, self.starts)

    def begun_by(self, day: int) -> CustomerDays:
        """Return the entries of the customers whose first is not after `day`."""
        begun = self.day[self.starts] <= day
        if begun.all():
            return self
        keep = np.repeat(begun, self.sizes)
        return self._split(self.day[keep], self.value[keep], np.where(begun, self.sizes, 0))

    def add_squares(self, values: Floats) -> Floats:
        """Return the sum of the squares of each customer's values, one an entry."""
        total, starts = np.empty(len(self.starts)), np.append(self.starts, len(self.day))
        for part in blocks(len(self.starts)):
            low, high = starts[part.start], starts[part.stop]
            total[part] = _add(values[low:high] ** 2, self.starts[part] - low)
        return total

    @property
    def last(self) -> int:
        """The last day of all."""
        return int(self.day.max(initial=0))

    @property
    def sizes(self) -> Integers:
        """How many entries each customer has."""
        return np.diff(self.starts, append=len(self.day))

    def _split(self, day: Integers, value: Floats, counts: Integers) -> CustomerDays:
        some = counts > 0
        ends = np.cumsum(counts[some])
        return CustomerDays(self.customer[some], ends - counts[some], day, value)


def _add(values: npt.NDArray[Any], starts: Integers, kind: Any = None) -> npt.NDArray[Any]:
    if not len(starts):
        return np.empty(0, kind or values.dtype)
    return np.asarray(np.add.reduceat(values, starts, dtype=kind))
