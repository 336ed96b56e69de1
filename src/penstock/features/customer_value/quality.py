"""What is wrong with an order log: every row that is left out and every oddity, with how many and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.base.types import Finding
from penstock.features.customer_value.rows import Flags, Floats, Integers
from penstock.features.customer_value.scan import Scan
from penstock.features.customer_value.summaries import EPOCH, to_date

if TYPE_CHECKING:
    from penstock.features.customer_value.orders import OrderColumns, OrderRules

EARLIEST = 1 - EPOCH
"""The first day that a date can name, 0001-01-01, in days since 1970."""


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


@dataclass(frozen=True)
class Sorted:
    """Which rows of a scan count: orders and refunds, with their value at the given rates; days since 1970."""

    orders: tuple[Integers, Integers, Floats]
    """Customer, day and value of each."""
    refunds: tuple[Integers, Integers, Floats]
    quality: Quality


def inspect(found: Scan, columns: OrderColumns, rules: OrderRules, today: int) -> Sorted:
    """Tell orders from refunds and from rows that are left out, and say what looks odd."""
    mixed = len([name for name in found.currencies if name not in rules.rates]) > (0 if rules.rates else 1)
    counts, sound = _count(found, today)
    if found.repeats is not None and rules.duplicates == "drop":
        sound &= ~found.repeats
    if rules.zeros == "drop" and columns.value:
        sound &= found.value != 0
    has_value = columns.value is not None and not mixed
    worth = found.value if found.rate is None else found.value * found.rate
    orders = _take(sound & (worth >= 0), found.customer, found.day, worth)
    if not has_value:
        orders = (*orders[:2], np.zeros(len(orders[0])))
    quality = Quality(
        counts["rows"], counts["used"], counts["refunds"], counts["first"], counts["last"], has_value, found.currencies
    )
    quality.findings += _left_out(counts, rules, columns)
    quality.findings += _mixes(found, columns, rules, mixed)
    quality.findings += _gaps(orders[1])
    return Sorted(orders, _take(sound & (worth < 0), found.customer, found.day, worth), quality)


def _count(found: Scan, today: int) -> tuple[dict[str, Any], Flags]:
    """Count the rows by what is wrong with them, and return those with which nothing is."""
    day, value = found.day, found.value
    nobody, undated, future = found.nobody, day < EARLIEST, day > today
    worthless = ~np.isfinite(value)
    sound = ~(nobody | undated | future | worthless)
    used, refunds = sound & (value >= 0), sound & (value < 0)
    days = day[used]
    counts = {
        "rows": len(day),
        "nobody": int(nobody.sum()),
        "undated": int(undated.sum()),
        "future": int(future.sum()),
        "worthless": int(worthless.sum()),
        "zeros": int((used & (value == 0)).sum()),
        "refunds": int(refunds.sum()),
        "refunded": float(value[refunds].sum()),
        "used": len(days),
        "first": int(days.min()) if len(days) else 0,
        "last": int(day[sound].max()) if sound.any() else 0,
        "repeated": 0 if found.repeats is None else int(found.repeats.sum()),
    }
    return counts, sound


def _take(chosen: Flags, customer: Integers, day: Integers, value: Floats) -> tuple[Integers, Integers, Floats]:
    if chosen.all():
        return customer, day, value
    return customer[chosen], day[chosen], value[chosen]


def _left_out(counts: dict[str, Any], rules: OrderRules, columns: OrderColumns) -> list[Finding]:
    rows: int = counts["rows"]
    said: list[Finding] = []

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
    say("duplicates", counts["repeated"], f"rows repeat another in every field and {counted}", "Look at the export.")
    return said


def _mixes(found: Scan, columns: OrderColumns, rules: OrderRules, mixed: bool) -> list[Finding]:
    said = []
    if mixed and columns.value:
        names = ", ".join(list(found.currencies)[:8])
        message = f"values in {names} cannot be added: spend and value are not predicted"
        said.append(Finding("currencies", "fail", message, "Give a rate for each currency, or one currency's orders."))
    if 0 < found.offset < found.timed:
        message = f"{found.offset:,} of {found.timed:,} times have an offset; the others are taken as {rules.zone}"
        said.append(Finding("zones", "warn", message, "Write every time with its offset."))
    return said


def _gaps(ordered: Integers) -> list[Finding]:
    days = np.unique(ordered)
    steps = np.diff(days)
    if len(steps) < 10:
        return []
    longest = int(steps.argmax())
    usual = float(np.quantile(steps, 0.95))
    if steps[longest] < 7 or steps[longest] < 5 * usual:
        return []
    low, high = to_date(days[longest] + 1), to_date(days[longest + 1] - 1)
    message = f"nobody ordered from {low} to {high}, {steps[longest] - 1} days"
    return [Finding("gaps", "warn", message, "Look whether orders are missing: a gap looks as if customers had left.")]
