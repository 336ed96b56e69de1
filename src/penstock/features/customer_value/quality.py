"""What is wrong with an order log: every row that is left out and every oddity, with how many and what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from penstock.base.types import Finding
from penstock.features.customer_value.rows import Flags, Floats, Integers
from penstock.features.customer_value.scan import Scan, blocks
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
class Refunds:
    """Money that went back: whose (a place in the names of the scan), when (days since 1970), how much (below zero)."""

    customer: Integers
    day: Integers
    value: Floats


def inspect(found: Scan, columns: OrderColumns, rules: OrderRules, today: int) -> tuple[Quality, Flags, Refunds]:
    """Say what looks odd, which rows are orders, and what was refunded; values are turned into one currency."""
    mixed = len([name for name in found.currencies if name not in rules.rates]) > (0 if rules.rates else 1)
    counts, sound = _count(found, today)
    if found.repeats is not None and rules.duplicates == "drop":
        sound &= ~found.repeats
    if rules.zeros == "drop" and columns.value:
        sound &= found.value != 0
    if found.rate is not None:
        found.value[:] *= found.rate
    has_value = columns.value is not None and not mixed
    quality = Quality(
        counts["rows"], counts["used"], counts["refunds"], counts["first"], counts["last"], has_value, found.currencies
    )
    back = np.flatnonzero(sound & (found.value < 0)) if counts["refunds"] else np.empty(0, np.intp)
    sound &= found.value >= 0
    quality.findings += _left_out(counts, rules, columns)
    quality.findings += _mixes(found, columns, rules, mixed)
    quality.findings += _gaps(found.day, sound, quality)
    return quality, sound, Refunds(found.customer[back], found.day[back], found.value[back])


def _count(found: Scan, today: int) -> tuple[Counter[str], Flags]:
    """Count the rows by what is wrong with them, and return those with which nothing is."""
    sound = np.empty(len(found.day), bool)
    counts: Counter[str] = Counter({"rows": len(found.day)})
    first, last = today, EARLIEST - 1
    for block in blocks(len(sound)):
        day, value = found.day[block], found.value[block]
        nobody, undated, future = found.customer[block] == found.nobody, day < EARLIEST, day > today
        worthless = ~np.isfinite(value)
        good = ~(nobody | undated | future | worthless)
        used, back = good & (value >= 0), good & (value < 0)
        wrong = {"nobody": nobody, "undated": undated, "future": future, "worthless": worthless}
        for name, rows in {**wrong, "used": used, "refunds": back, "zeros": used & (value == 0)}.items():
            counts[name] += int(np.count_nonzero(rows))
        counts["refunded"] += value[back].sum()
        first = min(first, int(day.min(where=used, initial=today)))
        last = max(last, int(day.max(where=good, initial=EARLIEST - 1)))
        sound[block] = good
    counts["first"], counts["last"] = first, last
    counts["repeated"] = 0 if found.repeats is None else int(np.count_nonzero(found.repeats))
    return counts, sound


def _left_out(counts: Counter[str], rules: OrderRules, columns: OrderColumns) -> list[Finding]:
    rows = counts["rows"]
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


def _gaps(day: Integers, orders: Flags, quality: Quality) -> list[Finding]:
    if not quality.orders:
        return []
    is_busy = np.zeros(quality.last - quality.first + 1, bool)
    for block in blocks(len(day)):
        is_busy[day[block][orders[block]] - quality.first] = True
    days = np.flatnonzero(is_busy) + quality.first
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
