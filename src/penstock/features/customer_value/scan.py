"""Reads an order log once, as whole columns: customers become numbers, and rows that repeat another are marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError
from penstock.features.customer_value.rows import Flags, Floats, Integers

if TYPE_CHECKING:
    from penstock.features.customer_value.orders import OrderColumns, OrderRules

Marks = npt.NDArray[np.uint64]
NEVER = int(np.iinfo(np.int32).min)
"""The day of a row whose date cannot be read."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Scan:
    """The rows of an order log, a column each: nothing is left out, and what cannot be read is marked.

    `customer` is a place in `names` (whose entry is None for rows that name nobody), `day` days since 1970 or `NEVER`,
    `value` NaN where it is no number, `rate` NaN where a currency has none. `repeats` marks every row but the first of
    those that are equal in all fields that are read.
    """

    names: npt.NDArray[Any]
    customer: Integers
    day: Integers
    value: Floats
    rate: Floats | None
    repeats: Flags | None
    currencies: dict[str, int]
    timed: int
    """Dates written with a time of day, and (`offset`) with an offset from UTC; only where dates are text."""
    offset: int

    @property
    def nobody(self) -> Flags:
        """Rows that name no customer."""
        missing = next((at for at, name in enumerate(self.names) if name is None), None)
        return np.zeros(len(self.customer), bool) if missing is None else self.customer == missing


def scan(store: duckdb.DuckDBPyConnection, columns: OrderColumns, rules: OrderRules) -> Scan:
    """Read the table `raw`; raises `InputError` (`orders.column`) when it lacks a column.

    Customers are told apart by 64 bits of hash: among ten million, two are taken for one with a chance of 3 in a
    million. It takes some 70 bytes of memory a row while it reads, and 20 afterwards.
    """
    kinds = _kinds(store, columns)
    fields = _fields(columns, rules, kinds)
    table = store.execute(f"SELECT {', '.join(f'{field} AS {name}' for name, field in fields.items())} FROM raw")
    found = table.fetchnumpy()
    stands, firsts = stand_ins(np.asarray(found.pop("customer")))
    names, customer = _name(store, columns, kinds, stands, firsts)
    day = np.ma.filled(found["day"], NEVER)
    value, rate = _number(found["value"]), _number(found["rate"]) if "rate" in found else None
    repeats = _repeats(np.asarray(found["mark"]), customer, day, value)
    timed, offset = _clocks(store, columns, kinds)
    return Scan(names, customer, day, value, rate, repeats, _currencies(store, columns), timed, offset)


def quote(name: str) -> str:
    """Write a column's name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _kinds(store: duckdb.DuckDBPyConnection, columns: OrderColumns) -> dict[str, str]:
    kinds = {str(row[0]): str(row[1]) for row in store.execute("DESCRIBE raw").fetchall()}
    wanted = (columns.customer, columns.date, columns.value, columns.currency, columns.order)
    missing = [name for name in wanted if name and name not in kinds]
    if missing:
        raise InputError(
            f"the order log has no column {', '.join(missing)}",
            code="orders.column",
            hint=f"It has {', '.join(kinds)}.",
        )
    return kinds


def _fields(columns: OrderColumns, rules: OrderRules, kinds: dict[str, str]) -> dict[str, str]:
    """Return what is read, in SQL: each field as what it should be, NULL where it cannot; `mark` is a hash of all."""
    at = quote(columns.date)
    if kinds[columns.date] == "VARCHAR" and columns.format:
        at = f"try_strptime({at}, {_text(columns.format)})"
    elif kinds[columns.date] == "VARCHAR":
        at = f"try_cast({at} AS TIMESTAMPTZ)"  # with an offset: moved into the zone; without: as written
    value = f"try_cast({quote(columns.value)} AS DOUBLE)" if columns.value else "1.0::DOUBLE"
    marked = [at, value] if columns.value else [at]
    fields = {
        "customer": f"hash({quote(columns.customer)})",
        "day": f"(try_cast({at} AS DATE) - DATE '1970-01-01')::INTEGER",
        "value": value,
    }
    if columns.currency and rules.rates:
        cases = " ".join(f"WHEN {_text(name)} THEN {rate!r}::DOUBLE" for name, rate in rules.rates.items())
        fields["rate"] = f"CASE upper(trim({quote(columns.currency)}::VARCHAR)) {cases} END"
        marked.append(fields["rate"])
    if columns.order:
        marked.append(quote(columns.order))
    return fields | {"mark": f"hash({', '.join(marked)})"}


def _number(column: Any) -> Floats:
    return np.ma.filled(column, np.nan)


def stand_ins(marks: Marks) -> tuple[Integers, Flags]:
    """Return for each row the row that stands for all with the same mark, and which rows stand for any.

    The leading bits of a mark are its place in a table that remembers one row; the few marks that find another one
    there are sorted. That is a third of what sorting all of them takes.
    """
    place = _places(marks, len(marks))
    table = np.zeros(1 << _bits(len(marks)), place.dtype)
    table[place[::-1]] = np.arange(len(marks) - 1, -1, -1, dtype=place.dtype)  # the first row has the last word
    stands = table[place]
    strange = np.flatnonzero(marks[stands] != marks)
    if len(strange):
        _, first, back = np.unique(marks[strange], return_index=True, return_inverse=True)
        stands[strange] = strange[first][back]
    is_first = np.zeros(len(marks), bool)
    is_first[stands] = True
    return stands, is_first


def _bits(rows: int) -> int:
    return max(rows.bit_length(), 8)


def _places(marks: Marks, rows: int) -> Integers:
    """Return the leading bits of marks: as many as make a place for each row."""
    bits = _bits(rows)
    return (marks >> np.uint64(64 - bits)).astype(np.int32 if bits < 32 else np.int64)


def _name(
    store: duckdb.DuckDBPyConnection, columns: OrderColumns, kinds: dict[str, str], stands: Integers, firsts: Flags
) -> tuple[npt.NDArray[Any], Integers]:
    """Fetch the name of each customer once, and return the names and each row's place in them."""
    name = quote(columns.customer)
    clean = f"nullif(trim({name}), '')" if kinds[columns.customer] == "VARCHAR" else f"{name}::VARCHAR"
    store.register("firsts", {"is_first": firsts})
    found = store.execute(
        f"SELECT {clean} AS name, {clean} IS DISTINCT FROM {name}::VARCHAR AS is_changed "
        f"FROM (SELECT {name} FROM raw) POSITIONAL JOIN firsts WHERE is_first"
    ).fetchnumpy()
    store.unregister("firsts")
    names = np.array(found["name"], object)
    names[np.ma.getmaskarray(found["name"])] = None
    places = (np.cumsum(firsts, dtype=stands.dtype) - 1)[stands]
    if not np.asarray(found["is_changed"]).any():
        return names, places
    seen: dict[Any, int] = {}  # names that differ by spaces around them are one customer
    same = np.array([seen.setdefault(entry, len(seen)) for entry in names], places.dtype)
    return np.array(list(seen), object), same[places]


def _repeats(mark: Marks, customer: Integers, day: Integers, value: Floats) -> Flags | None:
    """Mark every row but one of those that are equal; a shared hash alone does not make them so."""
    mark = mark + customer.astype(np.uint64) * _ODD
    in_order = np.sort(mark)
    again = in_order[1:][in_order[1:] == in_order[:-1]]
    if not len(again):
        return None
    is_near = np.zeros(1 << _bits(len(mark)), bool)  # only the few rows near a mark that comes again are sorted
    is_near[_places(again, len(mark))] = True
    near = np.flatnonzero(is_near[_places(mark, len(mark))])
    near = near[np.argsort(mark[near], kind="stable")]
    low, high = near[:-1], near[1:]
    is_same = np.ones(len(low), bool)
    for column in (mark, customer, day, (value + 0.0).view(np.uint64)):  # no minus zero
        is_same &= column[low] == column[high]
    result = np.zeros(len(mark), bool)
    result[high] = is_same
    return result


def _clocks(store: duckdb.DuckDBPyConnection, columns: OrderColumns, kinds: dict[str, str]) -> tuple[int, int]:
    if kinds[columns.date] != "VARCHAR" or columns.format:
        return 0, 0
    name = quote(columns.date)
    pattern = r"'[0-9]{2}:[0-9]{2}.*([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)$'"
    row = store.execute(
        f"SELECT count(*) FILTER (regexp_matches({name}, '[0-9]:[0-9]')), "
        f"count(*) FILTER (regexp_matches({name}, {pattern})) FROM raw"
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _currencies(store: duckdb.DuckDBPyConnection, columns: OrderColumns) -> dict[str, int]:
    if not columns.currency:
        return {}
    name = f"coalesce(nullif(upper(trim({quote(columns.currency)}::VARCHAR)), ''), 'none')"
    found = store.execute(f"SELECT {name} AS name, count(*) FROM raw GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    return {str(currency): int(count) for currency, count in found}
