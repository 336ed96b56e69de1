"""Compares the ledger with the vendor's usage and costs, per day (UTC), project and model, and says why they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import msgspec

from penstock.base.types import DOLLAR, Money, format_money
from penstock.runtime.store import Store
from penstock.vendor.admin import Admin, BilledRow, UsageRow
from penstock.vendor.prices import to_time

LATE_DAYS = 1
"""Days before today whose figures may still be arriving at the vendor."""
ROUNDING: Money = DOLLAR // 10_000
"""Amounts come as binary fractions, one per line item: a smaller difference says nothing."""

Key = tuple[str, str, str]
"""Day, project, model."""


class Booked(msgspec.Struct):
    """What our ledger holds for one day, project and model; `held` is what unknown calls and prices may come to."""

    requests: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: Money = 0
    unknown: int = 0
    unpriced: int = 0
    held: Money = 0


class Stated(msgspec.Struct):
    """What the vendor states; the cost is None while no invoice line is there."""

    requests: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: Money | None = None
    has_tokens: bool = True


class Line(msgspec.Struct, frozen=True):
    """One day, project and model on both sides. Differences are the vendor's figures minus ours."""

    day: str
    project: str
    model: str
    ours: Booked
    theirs: Stated
    reasons: tuple[str, ...] = ()

    @property
    def tokens(self) -> int | None:
        """The difference in tokens; None where the vendor counts other units."""
        if not self.theirs.has_tokens:
            return None
        return self.theirs.input + self.theirs.output - self.ours.input - self.ours.output

    @property
    def cost(self) -> Money | None:
        """The difference in cost, in picodollars; None while the vendor states none."""
        return None if self.theirs.cost is None else self.theirs.cost - self.ours.cost

    @property
    def is_equal(self) -> bool:
        """Whether both sides agree, up to rounding."""
        return (
            self.ours.requests == self.theirs.requests
            and not self.tokens
            and self.cost is not None
            and abs(self.cost) <= ROUNDING
        )


async def reconcile(
    store: Store,
    admin: Admin,
    since: date,
    until: date,
    *,
    projects: Mapping[str, str],
    model_of: Callable[[str], str],
    project: str = "",
    now: float,
) -> list[Line]:
    """Compare the days from `since` on and before `until` (UTC), newest first.

    `projects` names the project of each connection that is billed by this organisation, empty where
    that is not known; then all projects are compared as one. `project` narrows both sides to one.
    """
    start, end = int(to_time(since)), int(to_time(until))
    wanted = (project,) if project else ()
    usage, costs = await admin.usage(start, end, wanted), await admin.costs(start, end, wanted)
    seen = {row.project for row in usage} | {row.project for row in costs}
    own = {name: known or project or (min(seen) if len(seen) == 1 else "") for name, known in projects.items()}
    is_parted = all(own.values())
    if project:
        own = {name: known for name, known in own.items() if known == project}
    booked = await read_ledger(
        store, start, end, {name: known if is_parted else "" for name, known in own.items()}, model_of
    )
    stated = gather(usage, costs, lambda name: name if is_parted else "", model_of)
    return compare(booked, stated, _day(int(now // 86_400)))


async def read_ledger(
    store: Store, since: float, until: float, projects: Mapping[str, str], model_of: Callable[[str], str]
) -> dict[Key, Booked]:
    """Return what the connections in `projects` were booked with between two times (seconds since 1970)."""
    booked: dict[Key, Booked] = {}
    for row in await store.read("booked_usage", since=since, until=until):
        day, connection, model, state, count, *sums = row
        if connection in projects:
            key = (_day(int(day)), projects[connection], model_of(model))
            _book(booked.setdefault(key, Booked()), state, int(count), [int(value or 0) for value in sums])
    return booked


def _book(booked: Booked, state: str, count: int, sums: list[int]) -> None:
    taken, cached, given, cost, held, unpriced = sums
    booked.input += taken
    booked.cached += cached
    booked.output += given
    booked.cost += cost
    booked.held += held
    booked.unpriced += unpriced
    if state == "done":
        booked.requests += count
    elif state != "failed":
        booked.unknown += count


def gather(
    usage: Iterable[UsageRow],
    costs: Iterable[BilledRow],
    project_of: Callable[[str], str],
    model_of: Callable[[str], str],
) -> dict[Key, Stated]:
    """Add up what the vendor states; the model of a line item stands before its last comma."""
    stated: dict[Key, Stated] = {}
    for row in usage:
        one = stated.setdefault((row.day, project_of(row.project), model_of(row.model)), Stated())
        one.requests += row.requests
        one.input += row.input
        one.cached += row.cached
        one.output += row.output
        one.has_tokens = one.has_tokens and row.has_tokens
    for item in costs:
        model = model_of(item.line_item.rpartition(", ")[0] or item.line_item)
        one = stated.setdefault((item.day, project_of(item.project), model), Stated())
        one.cost = (one.cost or 0) + item.cost
    return stated


def compare(booked: Mapping[Key, Booked], stated: Mapping[Key, Stated], today: str) -> list[Line]:
    """Return one line per day, project and model, newest day first, each with the likely reasons of a difference."""
    lines = []
    for key in sorted({*booked, *stated}, key=lambda key: (-date.fromisoformat(key[0]).toordinal(), *key[1:])):
        line = Line(*key, booked.get(key, Booked()), stated.get(key, Stated()))
        is_free = not line.ours.cost and not line.ours.unpriced and line.theirs.requests == line.ours.requests
        if line.theirs.cost is None and is_free:
            line.theirs.cost = 0
        lines.append(msgspec.structs.replace(line, reasons=tuple(_explain(line, today))))
    return lines


def _explain(line: Line, today: str) -> Iterable[str]:
    if line.is_equal:
        return
    ours, theirs = line.ours, line.theirs
    if ours.unknown:
        yield f"{ours.unknown:,} calls without a known outcome may be billed, up to {format_money(ours.held)}"
    foreign = theirs.requests - ours.requests - ours.unknown
    if foreign > 0:
        yield f"{foreign:,} requests did not come from this workspace: someone else uses the key or the project"
    is_open = date.fromisoformat(line.day) >= date.fromisoformat(today) - timedelta(days=LATE_DAYS)
    if theirs.requests < ours.requests or theirs.cost is None:
        yield (
            "the vendor's figures of this day may still be arriving"
            if is_open
            else "the vendor has less: calls near midnight, or calls billed to another project or organisation"
        )
    if theirs.requests == ours.requests and not ours.unknown:
        yield from _explain_same_requests(line)


def _explain_same_requests(line: Line) -> Iterable[str]:
    ours, theirs = line.ours, line.theirs
    if ours.unpriced:
        yield f"{ours.unpriced:,} calls have no known price here; describe the model in models.toml"
    if line.tokens:
        yield "the vendor counts other tokens for the same requests"
    if theirs.has_tokens and theirs.cached != ours.cached:
        yield f"cache hits differ: {theirs.cached:,} tokens at the vendor, {ours.cached:,} here"
    elif line.cost and abs(line.cost) > ROUNDING and not line.tokens and not ours.unpriced:
        share = f" ({line.cost / ours.cost:+.1%})" if ours.cost else ""
        yield f"the same tokens at another price{share}: our price list may be old, see `penstock models show`"


def total(lines: Iterable[Line]) -> Line:
    """Return the sums of all lines."""
    ours, theirs = Booked(), Stated()
    for line in lines:
        for side, sums in ((line.ours, ours), (line.theirs, theirs)):
            _add(sums, side)
    return Line("", "", "", ours, theirs)


def _add(sums: Any, side: Any) -> None:
    for name in type(sums).__struct_fields__:
        if name != "has_tokens":
            setattr(sums, name, (getattr(sums, name) or 0) + (getattr(side, name) or 0))


def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
