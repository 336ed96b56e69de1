"""The order log: any file or records, cleaned by stated rules in one place, and never read beyond the day asked for.

DuckDB does the counting. Whatever is left out or looks odd becomes a finding (`quality`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import duckdb
import numpy as np

from penstock.base.errors import InputError
from penstock.base.types import Finding, Source
from penstock.features.customer_value.days import CustomerDays
from penstock.features.customer_value.rows import Floats, Integers
from penstock.features.customer_value.scan import quote, scan
from penstock.features.customer_value.summaries import Summaries, to_date, to_day

BATCH = 50_000
FORMATS = {
    ".csv": "read_csv(?, all_varchar = true)", ".tsv": "read_csv(?, all_varchar = true)",
    ".parquet": "read_parquet(?)",
    ".jsonl": "read_json(?, format = 'newline_delimited')", ".ndjson": "read_json(?, format = 'newline_delimited')",
}  # fmt: skip
"""How DuckDB reads each kind of file, by the ending of its name."""


@dataclass(frozen=True)
class OrderColumns:
    """Which field is what; `value`, `currency` and `order` may be absent. `format` is for dates that are not ISO."""

    customer: str = "customer"
    date: str = "date"
    value: str | None = None
    currency: str | None = None
    order: str | None = None
    format: str | None = None
    """As `strptime`, for instance `%d.%m.%Y`."""


@dataclass(frozen=True)
class OrderRules:
    """How orders are counted. Orders of one grain (days) are one order; `unit` is how many days are one unit of time.

    refunds (values below zero): `drop` leaves them out, `net` takes them off the customer's total; neither is an order.
    zeros: orders worth nothing count as orders (`keep`) or not (`drop`). duplicates: rows that repeat another one in
    every field count once (`drop`) or each (`keep`). `rates` turn currencies into one.
    """

    zone: str = "UTC"
    """Where a day begins and ends; times without an offset are taken as written."""
    grain: int = 1
    unit: float = 7.0
    refunds: Literal["drop", "net"] = "drop"
    zeros: Literal["keep", "drop"] = "keep"
    duplicates: Literal["drop", "keep"] = "drop"
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.grain < 1 or not (np.isfinite(self.unit) and self.unit > 0):
            raise InputError(
                f"grain {self.grain} and unit {self.unit} are not days",
                code="orders.unit",
                hint="Use a grain of whole days from 1, and a unit above 0: 1, 7, 30.4375 or 365.25.",
            )


class OrderLog:
    """Cleaned orders. Everything that is read of them names its last day, so that no future leaks into the past."""

    def __init__(
        self, store: duckdb.DuckDBPyConnection, columns: OrderColumns, rules: OrderRules, today: datetime.date
    ) -> None:
        from penstock.features.customer_value.quality import inspect

        self.rules = rules
        found = scan(store, columns, rules)
        store.close()
        self.quality, is_order, self._refunded = inspect(found, columns, rules, to_day(today))
        self._names = found.names
        if not self.quality.has_value:
            found.value[:] = 0.0
        self._days = CustomerDays.of(found.customer, found.day, found.value, is_order, len(found.names))
        if not self.quality.orders:
            raise InputError(
                "the order log holds no order that can be used",
                code="orders.empty",
                hint="; ".join(finding.message for finding in self.quality.findings) or "Look at the file.",
            )
        self.first_day, self.last_day = to_date(self.quality.first), to_date(self.quality.last)

    @classmethod
    def from_file(cls, path: Path, columns: OrderColumns, rules: OrderRules, today: datetime.date) -> Self:
        """Read CSV, TSV, JSON lines or Parquet where it lies; raises `InputError` where that fails."""
        reader = FORMATS.get(path.suffix.lower())
        if reader is None or not path.is_file():
            raise InputError(
                f"{path} is no order log that can be read",
                code="orders.file",
                hint="Give an existing .csv, .tsv, .jsonl or .parquet file, or records.",
            )
        store = _connect(rules)
        try:
            place = reader.replace("?", "'" + str(path).replace("'", "''") + "'")
            store.execute(f"CREATE VIEW raw AS SELECT * FROM {place}")
            return cls(store, columns, rules, today)
        except duckdb.Error as error:
            raise InputError(f"{path} cannot be read: {error}", code="orders.file", hint="Mend the file.") from error

    @classmethod
    def from_records(
        cls, records: Iterable[Mapping[str, Any]], columns: OrderColumns, rules: OrderRules, today: datetime.date
    ) -> Self:
        """Take records of any origin, for instance rows of a table."""
        intake = _Intake(columns, rules)
        for record in records:
            intake.add(record)
        return cls(intake.finish(), columns, rules, today)

    @classmethod
    async def from_source(cls, source: Source, columns: OrderColumns, rules: OrderRules, today: datetime.date) -> Self:
        """Take the records of a source; its rejected rows become a finding."""
        intake, rejected = _Intake(columns, rules), 0
        async for page in source.pages():
            rejected += len(page.rejects)
            for record in page.records:
                intake.add(record.data)
        log = cls(intake.finish(), columns, rules, today)
        if rejected:
            said = Finding("rejects", "warn", f"{rejected:,} rows of the source cannot be read", "Mend these rows.")
            log.quality.findings.append(said)
        return log

    def summaries(self, as_of: datetime.date | None = None, since: datetime.date | None = None) -> Summaries:
        """Count the orders from `since` (else the first) to `as_of` (else the last day of the log)."""
        return self._count(*self._window(as_of, since), 0)[0]

    def holdout(self, as_of: datetime.date, until: datetime.date) -> tuple[Summaries, Integers, Floats]:
        """Return the summaries up to `as_of`, and what each of these customers ordered after it up to `until`.

        The second and third are orders and their value: the only thing that is ever read after `as_of`.
        """
        low, high = self._window(as_of, None)
        if not as_of < until <= self.last_day:
            raise InputError(
                f"the log ends on {self.last_day}: nothing is known from {as_of} to {until}",
                code="orders.window",
                hint="Choose a window that lies within the log.",
            )
        return self._count(low, high, to_day(until))

    def recent(self, summaries: Summaries, days: int) -> Integers:
        """Return the orders of each customer in the last `days` before the summaries' own last day."""
        found = self._days.between(None, summaries.as_of).by(self.rules.grain)
        counts = found.count(found.day > summaries.as_of - days)
        names = self._names[found.customer]
        if np.array_equal(names, summaries.customers):
            return counts
        known = dict(zip(names.tolist(), counts.tolist(), strict=True))
        return np.array([known.get(name, 0) for name in summaries.customers], np.int64)

    def close(self) -> None:
        """Let go of the memory."""
        self._days = self._days.between(self._days.last + 1, None)

    def _window(self, as_of: datetime.date | None, since: datetime.date | None) -> tuple[int, int]:
        low, high = to_day(since or self.first_day), to_day(as_of or self.last_day)
        if high < low:
            raise InputError(
                f"there is no order up to {to_date(high)}",
                code="orders.window",
                hint=f"The log runs from {self.first_day} to {self.last_day}.",
            )
        return low, high

    def _count(self, low: int, high: int, until: int) -> tuple[Summaries, Integers, Floats]:
        """Count what is known by the day `high`, and what comes after it up to the day `until`."""
        days = self._days if (until or high) >= to_day(self.last_day) else self._days.between(None, until or high)
        days = days.by(self.rules.grain)
        if self.rules.grain > 1 or low > to_day(self.first_day):
            days = days.between(low, None)
        orders, value = days.sizes, days.value
        if until:
            days = days.begun_by(high)
            known = days.day <= high
            orders, value = days.count(known), np.where(known, days.value, 0.0)
        found = Summaries(
            self._names[days.customer], orders, first=days.day[days.starts], last=days.day[days.starts + orders - 1],
            total=days.add(value), squares=days.add_squares(value), first_total=days.value[days.starts],
            since=low, as_of=high, unit=self.rules.unit, has_value=self.quality.has_value,
            refunds=self._refunds(low, high),
        )  # fmt: skip
        return found, days.sizes - orders, days.add(days.value - value) if until else np.zeros(len(found))

    def _refunds(self, low: int, high: int) -> dict[str, float]:
        if self.rules.refunds == "drop" or not self.quality.has_value:
            return {}
        back = self._refunded
        chosen = (back.day >= low) & (back.day <= high)
        some, places = np.unique(back.customer[chosen], return_inverse=True)
        amounts = np.bincount(places, -back.value[chosen], len(some))
        return dict(zip(self._names[some].tolist(), amounts.tolist(), strict=True))


class _Intake:
    """Records on their way into a table, as text, in batches."""

    def __init__(self, columns: OrderColumns, rules: OrderRules) -> None:
        wanted = (columns.customer, columns.date, columns.value, columns.currency, columns.order)
        self._names = [name for name in wanted if name]
        self._store = _connect(rules)
        fields = ", ".join(f"{quote(name)} VARCHAR" for name in self._names)
        self._store.execute(f"CREATE TABLE raw ({fields})")
        self._waiting: list[list[str | None]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        self._waiting.append([_to_text(record.get(name)) for name in self._names])
        if len(self._waiting) >= BATCH:
            self._flush()

    def finish(self) -> duckdb.DuckDBPyConnection:
        self._flush()
        return self._store

    def _flush(self) -> None:
        if self._waiting:
            batch = {f"c{at}": np.array(column, object) for at, column in enumerate(zip(*self._waiting, strict=True))}
            self._store.register("batch", batch)
            self._store.execute(f"INSERT INTO raw SELECT {', '.join(batch)} FROM batch")
            self._store.unregister("batch")
            self._waiting = []


def _to_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _connect(rules: OrderRules) -> duckdb.DuckDBPyConnection:
    store = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False})
    try:
        store.execute("SET enable_progress_bar = false")
        store.execute("SET TimeZone = ?", [rules.zone])
        if store.execute("SELECT count(*) FROM duckdb_optimizers() WHERE name = 'type_pushdown'").fetchone() != (0,):
            store.execute("SET disabled_optimizers = 'type_pushdown'")  # DuckDB 2.0 makes errors of try_cast on CSV
    except duckdb.Error as error:
        store.close()
        raise InputError(
            f"there is no time zone {rules.zone!r}", code="orders.zone", hint="Use a name such as Europe/Berlin."
        ) from error
    return store
