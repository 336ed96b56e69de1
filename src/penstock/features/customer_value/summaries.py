"""What a model needs of each customer, kept so that the orders of a new day are added without reading the old ones."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError
from penstock.features.customer_value.gamma_gamma import Spend
from penstock.features.customer_value.rows import Floats, Integers, Rows

EPOCH = datetime.date(1970, 1, 1).toordinal()
COLUMNS = ("customers", "orders", "first", "last", "total", "squares", "first_total")


@dataclass(frozen=True)
class Summaries:
    """One row a customer, of the orders from the day `since` to the day `as_of`, both included; days since 1970.

    `orders` counts days with an order, `total` is what all of them were worth, `squares` the sum of the squares of
    what each day was worth, `first_total` what the first day was worth. `unit` is how many days are one unit of time.
    """

    customers: npt.NDArray[Any]
    orders: Integers
    first: Integers
    last: Integers
    total: Floats
    squares: Floats
    first_total: Floats
    since: int
    as_of: int
    unit: float = 7.0
    has_value: bool = True
    refunds: dict[str, float] = field(default_factory=dict)
    """What each customer got back in these days, where refunds count; also of customers without an order in them."""

    def __len__(self) -> int:
        return len(self.customers)

    @property
    def repeats(self) -> Integers:
        """Orders after the first."""
        return self.orders - 1

    @cached_property
    def grouped(self) -> tuple[Rows, Integers]:
        """Equal histories as one row, and the row of each customer."""
        return Rows.grouped(self.repeats, self.last - self.first, self.as_of - self.first, self.unit)

    @cached_property
    def mean(self) -> Floats:
        """The mean value of the orders after the first, zero without one: the first is often an offer."""
        return np.asarray((self.net - self.first_total) / np.maximum(self.repeats, 1))

    @cached_property
    def net(self) -> Floats:
        """What the orders were worth after refunds."""
        if not self.refunds:
            return self.total
        return np.asarray(self.total - np.array([self.refunds.get(name, 0.0) for name in self.customers]))

    @property
    def spend(self) -> Spend:
        """What Gamma-Gamma is fitted to."""
        return Spend.of(self.repeats, self.mean)

    def merge(self, later: Summaries) -> Summaries:
        """Add the summaries of the days that follow; the result is the same as from all orders at once.

        Raises `InputError` when the days overlap: an order could count twice.
        """
        if later.since <= self.as_of or later.unit != self.unit:
            raise InputError(
                f"orders up to {to_date(self.as_of)} are counted already, and the new ones begin on "
                f"{to_date(later.since)}",
                code="orders.overlap",
                hint="Add only days that follow, in the same unit, or count the whole log again.",
            )
        names = np.concatenate((self.customers, later.customers))
        customers, places = np.unique(names, return_inverse=True)
        old, new = places[: len(self)], places[len(self) :]
        result = {name: np.zeros(len(customers), getattr(self, name).dtype) for name in COLUMNS[1:]}
        result["first"][new], result["first_total"][new] = later.first, later.first_total
        for name in ("first", "last", "first_total"):
            result[name][old] = getattr(self, name)
        result["last"][new] = later.last
        for name in ("orders", "total", "squares"):
            result[name][old] += getattr(self, name)
            result[name][new] += getattr(later, name)
        refunds = dict(self.refunds)
        for name, amount in later.refunds.items():
            refunds[name] = refunds.get(name, 0.0) + amount
        has_value = self.has_value and later.has_value
        return Summaries(
            customers, **result, since=self.since, as_of=later.as_of, unit=self.unit, has_value=has_value,
            refunds=refunds,
        )  # fmt: skip

    def until(self, as_of: datetime.date) -> Summaries:
        """Return the same orders seen from a later day on which nothing was ordered."""
        day = to_day(as_of)
        if day < self.as_of:
            raise InputError(
                f"the summaries know orders up to {to_date(self.as_of)}, after {as_of}",
                code="orders.overlap",
                hint="Count the whole log again, up to the earlier day.",
            )
        return replace(self, as_of=day)

    def save(self, path: Path) -> None:
        """Write to a Parquet file, which takes the place of one that is there."""
        import duckdb

        fresh = path.with_name(path.name + ".new")
        facts = {name: np.full(len(self), getattr(self, name)) for name in ("since", "as_of", "unit", "has_value")}
        facts["refunds"] = np.full(len(self), json.dumps(self.refunds), object)
        table = {name: getattr(self, name) for name in COLUMNS} | facts
        with duckdb.connect(":memory:") as store:
            store.register("summaries", table)
            store.execute(f"COPY summaries TO '{str(fresh).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> Summaries:
        """Read what `save` wrote."""
        import duckdb

        with duckdb.connect(":memory:") as store:
            table = store.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchnumpy()
        if not len(table["customers"]):
            raise InputError(f"{path} has no customer", code="orders.empty", hint="Count the order log again.")
        columns = {name: np.asarray(table[name]) for name in COLUMNS}
        since, as_of = int(table["since"][0]), int(table["as_of"][0])
        return cls(
            **columns, since=since, as_of=as_of, unit=float(table["unit"][0]), has_value=bool(table["has_value"][0]),
            refunds=json.loads(table["refunds"][0]),
        )  # fmt: skip


def to_day(date: datetime.date) -> int:
    """Return the days since 1970 of a date."""
    return date.toordinal() - EPOCH


def to_date(day: int) -> datetime.date:
    """Return the date of a number of days since 1970."""
    return datetime.date.fromordinal(int(day) + EPOCH)
