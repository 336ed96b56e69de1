"""Ways to buy an answer: now, at the flex tier, or in a batch; and which is the cheapest that meets a deadline.

A way is how a request travels, not what is asked: the answer has the same address whichever way it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Money, Usage
from penstock.runtime.ask import Ask
from penstock.runtime.call import FLEX_PATHS, FLEX_SECONDS, Caller
from penstock.vendor.openai_batches import PATHS, WINDOW_SECONDS

Way = Literal["now", "flex", "batch"]
WAYS: tuple[Way, ...] = ("now", "batch", "flex")
"""In the order of preference at an equal price: batches leave the quota of live calls alone."""

CANCEL_SECONDS = 600.0
"""A batch may take so long to end after it was cancelled (contract 2.16)."""
SHORTEST_RESERVE = 1800.0
"""Seconds before a deadline at which a batch is called off at the latest, and what is left is bought live."""
LONGEST_SECONDS = 14 * 86_400.0

_UNITS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?[mhd])+\Z")


class Mode(msgspec.Struct, frozen=True):
    """How a run buys. `until` is its deadline; from `switch_at` on everything is bought live (seconds since 1970)."""

    way: Way = "now"
    by: str = "now"
    until: float | None = None
    switch_at: float = 0.0


class Outlook(msgspec.Struct, frozen=True):
    """What one way costs and how long it takes; money is picodollars, None where a price is unknown."""

    way: Way
    calls: int
    """Requests that can go this way; the others are bought live."""
    cost: Money | None
    minutes: float | None
    """How long it takes at most; at full quota where the way is `now`. None when no limit is known."""
    meets: bool
    is_chosen: bool
    why: str


class Costs:
    """Adds up what requests cost by each way."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self.calls: dict[Way, int] = dict.fromkeys(WAYS, 0)
        self.cost: dict[Way, Money | None] = dict.fromkeys(WAYS, 0)

    def add(self, ask: Ask, used: Usage) -> None:
        """Count one request that probably uses so much."""
        for way in WAYS:
            taken = self._ways.choose(ask, way)
            self.calls[way] += taken == way
            before, price = self.cost[way], self._ways.price(ask, used, taken)
            self.cost[way] = None if before is None or price is None else before + price


class Ways:
    """Says which requests can go which way; `is_vendor` tells the connections at which OpenAI itself answers."""

    def __init__(self, caller: Caller, is_vendor: Callable[[str], bool]) -> None:
        self._caller = caller
        self._is_vendor = is_vendor
        self._cheaper: dict[tuple[str, str, str, Way], bool] = {}

    def choose(self, ask: Ask, way: Way) -> Way:
        """Return the way that a request takes in a run of this way: what no batch takes may go at the flex tier."""
        if way == "batch" and self._fits_batch(ask):
            return "batch"
        if way != "now" and self._fits_flex(ask):
            return "flex"
        return "now"

    def price(self, ask: Ask, used: Usage, way: Way) -> Money | None:
        """Return what so much costs by this way."""
        if ask.is_free:
            return 0
        return self._caller.price(ask, used, tier=ask.tier if way == "now" else way)

    def _fits_batch(self, ask: Ask) -> bool:
        is_plain = not ask.files and ask.method == "POST" and ask.reply != "media"
        is_settled = ask.is_kept and not ask.is_once and not {"stream", "background"} & ask.body.keys()
        return ask.path in PATHS and is_plain and is_settled and self._is_cheaper(ask, "batch")

    def _fits_flex(self, ask: Ask) -> bool:
        return ask.path in FLEX_PATHS and not ask.files and self._is_cheaper(ask, "flex")

    def _is_cheaper(self, ask: Ask, way: Way) -> bool:
        """Tell whether the catalogue has a lower price for the model this way, which also says that it is served."""
        if ask.is_free or ask.tier != "default":
            return False
        key = (ask.connection, ask.path, ask.model, way)
        found = self._cheaper.get(key)
        if found is None:
            used = Usage(input=1000, output=0 if ask.reply == "vectors" else 1000)
            usual, price = self.price(ask, used, "now"), self.price(ask, used, way)
            found = usual is not None and price is not None and price < usual and self._is_vendor(ask.connection)
            self._cheaper[key] = found
        return found


def read_by(text: str) -> float:
    """Return the seconds that a run may take: `90m`, `24h`, `1d12h`; 0 for `now`. Raises `InputError`."""
    text = text.strip().lower()
    if text in ("now", "0"):
        return 0.0
    if _SPAN.match(text):
        seconds = sum(float(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"[\d.]+[mhd]", text))
        if 0 < seconds <= LONGEST_SECONDS:
            return seconds
    raise InputError(
        f"{text[:40]!r} is not a time by which a run is done",
        code="run.bad-deadline",
        hint="Write now, or a span such as 90m, 24h or 2d (14d at most).",
        where="by",
    )


def weigh(costs: Costs, minutes: float | None, seconds: float, *, more: bool = False) -> list[Outlook]:
    """Return every way with its price and time, the chosen one marked: the cheapest that is done in `seconds`.

    `minutes` is what all requests take live at full quota. With `more` there are requests that are known only
    after the first answers: a way that is not dearer may be cheaper for them.
    """
    live = 60.0 * (minutes or 0.0)
    needed: dict[Way, float] = {"now": live, "flex": 2 * live + FLEX_SECONDS, "batch": max(WINDOW_SECONDS, 2 * live)}
    meets = {way: way == "now" or seconds >= needed[way] for way in WAYS}
    usable = [way for way in WAYS if meets[way] and (way == "now" or costs.calls[way] or more)]
    if more:
        usable.sort(key=("batch", "flex", "now").index)
    chosen = "now" if costs.cost["now"] is None else min(usable, key=lambda way: costs.cost[way] or 0)
    return [
        Outlook(
            way,
            costs.calls[way],
            costs.cost[way],
            minutes if way == "now" else needed[way] / 60,
            meets[way],
            way == chosen,
            _explain(way, chosen, costs, meets[way]),
        )
        for way in WAYS
    ]


def _explain(way: Way, chosen: Way, costs: Costs, is_in_time: bool) -> str:
    all_calls, calls, cost = costs.calls["now"], costs.calls[way], costs.cost[way]
    rest = f"; {all_calls - calls:,} requests cannot, and are bought otherwise" if calls < all_calls else ""
    if not all_calls:
        why = "nothing is bought"
    elif way != "now" and not calls and way != chosen:
        why = "no request can go this way: the endpoint or the model is not offered there"
    elif not is_in_time:
        why = "it may take longer than the deadline leaves"
    elif costs.cost["now"] is None:
        why = "the price of the model is unknown, so nothing is known to be cheaper"
    elif not calls:
        why = "not dearer, and may be cheaper for requests that are known only after the first answers"
    elif way == chosen:
        why = f"the cheapest that meets the deadline{rest}"
    else:
        why = ("not cheaper" if cost == costs.cost[chosen] else "dearer") + rest
    return why


def make_mode(outlooks: Sequence[Outlook], by: str, seconds: float, now: float) -> Mode:
    """Return the mode of a run that begins now."""
    chosen = next(one for one in outlooks if one.is_chosen)
    if chosen.way == "now":
        return Mode(by=by, until=now + seconds if seconds else None)
    live = 60.0 * (next(one for one in outlooks if one.way == "now").minutes or 0.0)
    reserve = FLEX_SECONDS + 2 * live
    if chosen.way == "batch":
        reserve = max(SHORTEST_RESERVE, CANCEL_SECONDS + 2 * live)
    return Mode(chosen.way, by, now + seconds, now + max(seconds - reserve, 0.0))
