"""Reads an order log once, as whole columns: customers become numbers, and rows that repeat another are marked."""

from __future__ import annotations

from collections.abc import Iterator
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
_BLOCK = 1 << 16
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
    nobody: int
    """The place in `names` of rows that name no customer; -1 where there are none."""


def scan(store: duckdb.DuckDBPyConnection, columns: OrderColumns, rules: OrderRules) -> Scan:
    """Read the table `raw`; raises `InputError` (`orders.column`) when it lacks a column.

    Customers are told apart by 64 bits of hash: among ten million, two are taken for one with a chance of 3 in a
    million. Reading takes some 70 bytes of memory a row.
    """
    kinds = _kinds(store, columns)
    fields = _fields(columns, rules, kinds)
    table = store.execute(f"SELECT {', '.join(f'{field} AS {name}' for name, field in fields.items())} FROM raw")
    found = table.fetchnumpy()
    names, nobody, customer = _name(store, columns, kinds, *stand_ins(np.asarray(found.pop("customer"))))
    day = np.ma.filled(found["day"], NEVER)
    value, rate = _number(found["value"]), _number(found["rate"]) if "rate" in found else None
    repeats = _repeats(np.asarray(found.pop("mark")), customer, day, value)
    clocks = _clocks(store, columns, kinds)
    return Scan(names, customer, day, value, rate, repeats, _currencies(store, columns), *clocks, nobody)


def blocks(rows: int) -> Iterator[slice]:
    """Yield parts of so many rows, small enough that what is worked out of one stays near the processor."""
    for start in range(0, rows, _BLOCK):
        yield slice(start, min(start + _BLOCK, rows))


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
    bits, rows = _bits(len(marks)), len(marks)
    kind = np.int32 if bits < 32 else np.int64
    table, is_first = np.zeros(1 << bits, kind), np.zeros(rows, bool)
    stands: Integers = np.empty(rows, kind)
    for block in blocks(rows):
        table[_places(marks[block], bits)] = np.arange(block.start, block.stop, dtype=kind)
    strange = []
    for block in blocks(rows):
        stands[block] = table[_places(marks[block], bits)]
        strange.append(block.start + np.flatnonzero(marks[stands[block]] != marks[block]))
    others = np.concatenate(strange) if strange else np.empty(0, np.int64)
    if len(others):
        _, first, back = np.unique(marks[others], return_index=True, return_inverse=True)
        stands[others] = others[first][back]
    is_first[stands] = True
    return stands, is_first


def _bits(rows: int) -> int:
    return max(rows.bit_length() - 1, 8)


def _places(marks: Marks, bits: int) -> npt.NDArray[np.int64]:
    """Return the leading bits of marks."""
    return (marks >> np.uint64(64 - bits)).view(np.int64)


def _name(
    store: duckdb.DuckDBPyConnection, columns: OrderColumns, kinds: dict[str, str], stands: Integers, firsts: Flags
) -> tuple[npt.NDArray[Any], int, Integers]:
    """Fetch the name of each customer once; return the names, the place of none at all, and each row's place."""
    name = quote(columns.customer)
    clean = f"nullif(trim({name}), '')" if kinds[columns.customer] == "VARCHAR" else f"{name}::VARCHAR"
    store.register("firsts", {"is_first": firsts})
    found = store.execute(
        f"SELECT {clean} AS name, {clean} IS DISTINCT FROM {name}::VARCHAR AS is_changed "
        f"FROM (SELECT {name} FROM raw) POSITIONAL JOIN firsts WHERE is_first"
    ).fetchnumpy()
    store.unregister("firsts")
    names = np.array(found["name"], object)
    missing = np.flatnonzero(np.ma.getmaskarray(found["name"]))
    names[missing] = None
    place = np.cumsum(firsts, dtype=stands.dtype)
    for block in blocks(len(stands)):
        stands[block] = place[stands[block]] - 1
    if not np.asarray(found["is_changed"]).any():
        return names, int(missing[0]) if len(missing) else -1, stands
    seen: dict[Any, int] = {}  # names that differ by spaces around them are one customer
    same = np.array([seen.setdefault(entry, len(seen)) for entry in names], stands.dtype)
    return np.array(list(seen), object), seen.get(None, -1), same[stands]


def _repeats(mark: Marks, customer: Integers, day: Integers, value: Floats) -> Flags | None:
    """Mark every row but one of those that are equal; a shared hash alone does not make them so."""
    for block in blocks(len(mark)):
        mark[block] += customer[block].astype(np.uint64) * _ODD
    in_order, bits = np.sort(mark), _bits(len(mark))
    again = in_order[1:][in_order[1:] == in_order[:-1]]
    if not len(again):
        return None
    is_near = np.zeros(1 << bits, bool)  # only the few rows near a mark that comes again are sorted
    is_near[_places(again, bits)] = True
    found = [block.start + np.flatnonzero(is_near[_places(mark[block], bits)]) for block in blocks(len(mark))]
    near = np.concatenate(found)
    near = near[np.argsort(mark[near], kind="stable")]
    low, high = near[:-1], near[1:]
    is_same = mark[low] == mark[high]
    for column in (customer, day):
        is_same &= column[low] == column[high]
    is_same &= (value[low] == value[high]) | (np.isnan(value[low]) & np.isnan(value[high]))
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
