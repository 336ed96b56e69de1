"""What is wrong with an order log: every row that is left out and every oddity, with how many and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from penstock.base.errors import InputError
from penstock.base.types import Finding
from penstock.features.customer_value.summaries import to_date

if TYPE_CHECKING:
    from penstock.features.customer_value.orders import OrderColumns, OrderRules


@dataclass
class Quality:
    """Counts of rows by what became of them, and the findings in words."""

    rows: int
    orders: int
    refunds: int
    first: int
    last: int
    has_value: bool
    currencies: dict[str, int]
    findings: list[Finding] = field(default_factory=list)


def inspect(store: duckdb.DuckDBPyConnection, columns: OrderColumns, rules: OrderRules, today: int) -> Quality:
    """Make the view `orders` (customer, day, value) of the table `raw`, and say what it leaves out."""
    kinds = _kinds(store, columns)
    _view_read(store, columns, rules, kinds)
    currencies = _currencies(store, columns)
    mixed = len([name for name in currencies if name not in rules.rates]) > (0 if rules.rates else 1)
    counts = _count(store, today)
    repeated = _repeated(store) if counts["rows"] else 0
    rows = "seen"
    if repeated and rules.duplicates == "drop":  # only rows that have a double are compared as a whole
        rows = (
            "(SELECT * FROM seen WHERE hash(seen) NOT IN (FROM doubles) UNION ALL "
            "SELECT DISTINCT * FROM seen WHERE hash(seen) IN (FROM doubles))"
        )
    zero = " AND value <> 0" if rules.zeros == "drop" and columns.value else ""
    store.execute(
        f"CREATE VIEW orders AS SELECT customer, day, value * rate AS value FROM {rows} "
        f"WHERE customer IS NOT NULL AND day <= {today} AND value IS NOT NULL AND isfinite(value){zero}"
    )
    has_value = columns.value is not None and not mixed
    quality = Quality(
        counts["rows"], counts["used"], counts["refunds"], counts["first"], counts["last"], has_value, currencies
    )
    quality.findings += _left_out(counts, repeated, rules, columns)
    quality.findings += _mixes(store, columns, rules, currencies, mixed, kinds)
    quality.findings += _gaps(store)
    return quality


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


def _view_read(
    store: duckdb.DuckDBPyConnection, columns: OrderColumns, rules: OrderRules, kinds: dict[str, str]
) -> None:
    """Make the view `seen`: fields read as what they should be, NULL where they cannot."""
    from penstock.features.customer_value.orders import quote

    date = quote(columns.date)
    kind = kinds[columns.date]
    if columns.format and kind == "VARCHAR":
        at = f"try_strptime({date}, '{columns.format.replace(chr(39), chr(39) * 2)}')"
    elif kind == "VARCHAR":
        at = f"try_cast({date} AS TIMESTAMPTZ)"  # with an offset: moved into the zone; without: as written
    else:
        at = date
    day = f"(try_cast({at} AS DATE) - DATE '1970-01-01')"
    value = f"try_cast({quote(columns.value)} AS DOUBLE)" if columns.value else "1.0::DOUBLE"
    rate = "1.0"
    if columns.currency and rules.rates:
        cases = " ".join(f"WHEN '{name.replace(chr(39), chr(39) * 2)}' THEN {rate!r}"
                         for name, rate in rules.rates.items())  # fmt: skip
        rate = f"CASE upper(trim({quote(columns.currency)}::VARCHAR)) {cases} END"
    customer = quote(columns.customer)
    if kinds[columns.customer] == "VARCHAR":
        customer = f"nullif(trim({customer}), '')"
    order = f", {quote(columns.order)} AS number" if columns.order else ""
    store.execute(
        f"CREATE VIEW seen AS SELECT {customer}::VARCHAR AS customer, {day} AS day, {at} AS at, {value} AS value, "
        f"{rate} AS rate{order} FROM raw"
    )


def _count(store: duckdb.DuckDBPyConnection, today: int) -> dict[str, Any]:
    sound = f"customer IS NOT NULL AND day <= {today} AND isfinite(value)"
    fields = {
        "rows": "count(*)",
        "nobody": "count(*) FILTER (customer IS NULL)",
        "undated": "count(*) FILTER (day IS NULL)",
        "future": f"count(*) FILTER (day > {today})",
        "worthless": "count(*) FILTER (value IS NULL OR NOT isfinite(value))",
        "zeros": f"count(*) FILTER (value = 0 AND {sound})",
        "refunds": f"count(*) FILTER (value < 0 AND {sound})",
        "refunded": f"coalesce(sum(value) FILTER (value < 0 AND {sound}), 0.0)",
        "used": f"count(*) FILTER (value >= 0 AND {sound})",
        "first": f"coalesce(min(day) FILTER (value >= 0 AND {sound}), 0)",
        "last": f"coalesce(max(day) FILTER ({sound}), 0)",
    }
    row = store.execute(f"SELECT {', '.join(fields.values())} FROM seen").fetchone()
    return dict(zip(fields, row or (), strict=True))


def _repeated(store: duckdb.DuckDBPyConnection) -> int:
    """Return how many rows repeat another in every field that is read; the table `doubles` marks them."""
    marks = np.sort(store.execute("SELECT hash(seen) AS mark FROM seen").fetchnumpy()["mark"])
    again = marks[1:][marks[1:] == marks[:-1]]
    store.register("found", {"mark": np.unique(again)})
    store.execute("CREATE TABLE doubles AS SELECT mark FROM found")
    store.unregister("found")
    return len(again)


def _currencies(store: duckdb.DuckDBPyConnection, columns: OrderColumns) -> dict[str, int]:
    from penstock.features.customer_value.orders import quote

    if not columns.currency:
        return {}
    name = f"coalesce(nullif(upper(trim({quote(columns.currency)}::VARCHAR)), ''), 'none')"
    found = store.execute(f"SELECT {name} AS name, count(*) FROM raw GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    return {str(currency): int(count) for currency, count in found}


def _left_out(counts: dict[str, Any], repeated: int, rules: OrderRules, columns: OrderColumns) -> list[Finding]:
    rows, said = counts["rows"], []

    def say(name: str, count: int, message: str, fix: str) -> None:
        if count:
            serious = count > rows / 100 and name in {"customers", "dates", "values"}
            said.append(Finding(name, "fail" if serious else "warn", f"{count:,} {message}", fix))

    say("customers", counts["nobody"], "rows name no customer and are left out", "Fill the customer column.")
    say("dates", counts["undated"], "dates cannot be read and are left out", "Write YYYY-MM-DD, or state the format.")
    say("future", counts["future"], "orders lie in the future and are left out", "Look at the clock of the source.")
    if columns.value:
        fix = "Write numbers with a point, without currency signs."
        say("values", counts["worthless"], "values are no numbers and their rows are left out", fix)
    kept = "taken off the customer's total" if rules.refunds == "net" else "left out"
    amount = f"refunds of {-counts['refunded']:,.2f} in all are no orders and are {kept}"
    say("refunds", counts["refunds"], amount, "Set how refunds count.")
    counted = "count as orders" if rules.zeros == "keep" else "are left out"
    say("zeros", counts["zeros"], f"orders are worth nothing and {counted}", "Set how zero orders count.")
    counted = "count once" if rules.duplicates == "drop" else "count each"
    say("duplicates", repeated, f"rows repeat another in every field and {counted}", "Look at the export.")
    return said


def _mixes(
    store: duckdb.DuckDBPyConnection, columns: OrderColumns, rules: OrderRules, currencies: dict[str, int],
    mixed: bool, kinds: dict[str, str],
) -> list[Finding]:  # fmt: skip
    from penstock.features.customer_value.orders import quote

    said = []
    if mixed and columns.value:
        names = ", ".join(list(currencies)[:8])
        message = f"values in {names} cannot be added: spend and value are not predicted"
        said.append(Finding("currencies", "fail", message, "Give a rate for each currency, or one currency's orders."))
    if kinds[columns.date] == "VARCHAR" and not columns.format:
        name = quote(columns.date)
        pattern = r"'[0-9]{2}:[0-9]{2}.*([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)$'"
        row = store.execute(
            f"SELECT count(*) FILTER (regexp_matches({name}, {pattern})), "
            f"count(*) FILTER (regexp_matches({name}, '[0-9]:[0-9]')) FROM raw"
        ).fetchone()
        offset, timed = (int(row[0]), int(row[1])) if row else (0, 0)
        if 0 < offset < timed:
            message = f"{offset:,} of {timed:,} times have an offset; the others are taken as {rules.zone}"
            said.append(Finding("zones", "warn", message, "Write every time with its offset."))
    return said


def _gaps(store: duckdb.DuckDBPyConnection) -> list[Finding]:
    days = np.array(store.execute("SELECT DISTINCT day FROM orders WHERE value >= 0 ORDER BY day").fetchall(), int)
    steps = np.diff(days.reshape(-1))
    if len(steps) < 10:
        return []
    longest = int(steps.argmax())
    usual = float(np.quantile(steps, 0.95))
    if steps[longest] < 7 or steps[longest] < 5 * usual:
        return []
    low, high = to_date(days[longest, 0] + 1), to_date(days[longest + 1, 0] - 1)
    message = f"nobody ordered from {low} to {high}, {steps[longest] - 1} days"
    return [Finding("gaps", "warn", message, "Look whether orders are missing: a gap looks as if customers had left.")]
