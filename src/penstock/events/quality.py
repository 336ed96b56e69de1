"""How good the conversion events are: what they can be matched by, how fresh, what was refused, what to mend first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from penstock.events.destinations import Destination
from penstock.events.traits import BIT, STRONG, TRAITS
from penstock.runtime.store import Store

_STRONG_BITS = sum(BIT[name] for name in STRONG)
_NOT_SHOWN = ("opt_out", "web", "currency_alone")


class Freshness(msgspec.Struct, frozen=True):
    """Seconds from when events happened until they were accepted, and from then until they ended."""

    mean_seconds: float
    longest_seconds: float
    over_an_hour: int
    over_a_day: int
    mean_seconds_to_end: float


class Quality(msgspec.Struct, frozen=True):
    """The report. Shares are of the events that were made, between 0 and 1; trials are left out of everything."""

    records: int
    events: int
    states: dict[str, int]
    coverage: dict[str, float]
    """Share of events that have each identifier or part."""
    matchable: float
    """Share that has at least one of click reference, email, phone or external id."""
    oppref: float
    freshness: Freshness | None
    duplicates: float
    """Share of records that repeated an event."""
    refusals: dict[str, int]
    """Events without an event sent, by code: refused by the mapping, rejected by OpenAI, expired."""
    currency_problems: dict[str, int]
    same_but_for_id: int
    """Events that differ from another in nothing but the id: a random id per attempt cannot be recognised."""
    late_web: int
    """Web events that came more than an hour after they happened."""
    mend_first: list[str]


class _Sums:
    """What the rows of the query add up to."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.bits: Counter[str] = Counter()
        self.events = self.matchable = self.over_hour = self.over_day = self.web = self.late_web = 0
        self.seconds = self.longest = self.to_end = 0.0
        self.ended = 0

    def add(self, state: str, code: str, traits: int, count: int, ages: Sequence[float]) -> None:
        self.states[state] += count
        if state in ("refused", "rejected", "expired"):
            self.refusals[code] += count
        if state in ("refused", "opted out", "duplicate"):
            return
        seconds, longest, over_hour, over_day, to_end = ages
        self.events += count
        self.matchable += count if traits & _STRONG_BITS else 0
        for name in TRAITS:
            self.bits[name] += count if traits & BIT[name] else 0
        self.seconds += seconds
        self.longest = max(self.longest, longest)
        self.over_hour += int(over_hour)
        self.over_day += int(over_day)
        self.late_web += int(over_hour) if traits & BIT["web"] else 0
        if state != "waiting":
            self.ended += count
            self.to_end += to_end

    def freshness(self) -> Freshness | None:
        if not self.events:
            return None
        return Freshness(
            self.seconds / self.events,
            self.longest,
            self.over_hour,
            self.over_day,
            self.to_end / self.ended if self.ended else 0.0,
        )


async def read_quality(store: Store, since: float, paused: Sequence[Destination]) -> Quality:
    """Sum up the events that were accepted since then, in Unix seconds; reads no bodies."""
    sums = _Sums()
    for is_trial, state, code, traits, count, *ages in await store.read("event_quality", since=since):
        if not is_trial:
            sums.add(state, code, int(traits), int(count), [float(value) for value in ages])
    groups, copies, example = (await store.read("alike_events", since=since))[0]
    alike = int(copies or 0) - int(groups or 0)
    total = sums.events or 1
    currency = {code: count for code, count in sums.refusals.items() if "currency" in code or "amount" in code}
    if sums.bits["currency_alone"]:
        currency["currency without an amount"] = sums.bits["currency_alone"]
    return Quality(
        records=sums.states.total(),
        events=sums.events,
        states=dict(sums.states.most_common()),
        coverage={name: sums.bits[name] / total for name in TRAITS if name not in _NOT_SHOWN},
        matchable=sums.matchable / total,
        oppref=sums.bits["oppref"] / total,
        freshness=sums.freshness(),
        duplicates=sums.states["duplicate"] / (sums.states.total() or 1),
        refusals=dict(sums.refusals.most_common()),
        currency_problems=currency,
        same_but_for_id=alike,
        late_web=sums.late_web,
        mend_first=[*_pauses(paused, sums), *_advise(sums, alike, str(example or ""), bool(currency))],
    )


def _pauses(paused: Sequence[Destination], sums: _Sums) -> list[str]:
    waiting = sums.states["waiting"]
    return [
        f"The destination {one.pixel} is paused, {waiting:,} events wait: {one.problem.message} "
        f"{one.problem.hint} Then: penstock events resume"
        for one in paused
        if one.problem is not None
    ]


def _advise(sums: _Sums, alike: int, example: str, has_currency: bool) -> list[str]:
    """Return what to mend, the costliest first: lost events, then unmatched ones, then wrong or repeated ones."""
    found: list[tuple[float, str]] = []
    total = sums.events or 1
    for code, count in sums.refusals.most_common(3):
        share = count / (sums.states.total() or 1)
        found.append((2 + share, f"{count:,} events were lost to {code}: penstock events tail --code {code}"))
    unmatched = 1 - sums.matchable / total
    if sums.events and unmatched > 0.05:
        text = (
            f"{unmatched:.0%} of events have neither click reference nor email, phone or external id: they match nobody"
        )
        found.append((1 + unmatched, text))
    if sums.events and sums.bits["oppref"] / total < 0.02:
        found.append((1, "Hardly any event has an oppref: keep the __oppref cookie with the order, undecoded"))
    if has_currency:
        found.append((0.9, "Amounts or currencies are wrong or incomplete: look at the codes above"))
    if alike:
        text = (
            f"{alike:,} events equal another but for the id (such as {example}): a random id per attempt counts twice"
        )
        found.append((0.8 + alike / total, text))
    if sums.over_day:
        text = f"{sums.over_day:,} events came more than a day late: OpenAI takes none after 7 days"
        found.append((0.5 + sums.over_day / total, text))
    if sums.late_web:
        text = (
            f"{sums.late_web:,} web events came more than an hour late: where the browser pixel sends the same id, "
            "its thinner copy came first and wins"
        )
        found.append((0.4 + sums.late_web / total, text))
    return [text for _, text in sorted(found, reverse=True)]
