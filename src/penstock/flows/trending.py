"""Trends of the feedback that a flow has judged: read from what is kept, or as the source of another flow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from math import floor, isfinite
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.base.expression import suggest
from penstock.base.types import Page, Record
from penstock.features.summary import DAY
from penstock.features.trends import DAYS, Collector, Trends, list_steps
from penstock.flows.work import fold_key
from penstock.runtime.store import Store

PIECE = 2_000
LONGEST = 3_650.0
"""Most days of a window."""


async def read_trends(
    store: Store, flow: str, now: float, *, days: float = DAYS, topic: str = "", contact: str = ""
) -> Trends:
    """Return how the feedback that `flow` has judged moves, as of its newest date, which is never later than `now`.

    A `contact` (email, or what `summarize.by` gives) is looked at alone. Nothing is called or written.
    Raises `InputError` where nothing with a date was judged.
    """
    if not isfinite(days) or not 0 < days <= LONGEST:
        raise InputError(
            "the days of a window are a number above zero, at most ten years",
            code="trends.bad-days",
            hint="28 days show months, 7 weeks.",
        )
    newest = (await store.read("newest_dated", flow=flow, now=now))[0][0]
    if newest is None:
        raise InputError(
            f"the flow {flow} has judged nothing that has a date",
            code="trends.nothing-dated",
            hint="Run it first; `summarize: { by: …, at: … }` says whose a feedback is, and of when.",
        )
    collector = Collector(float(newest), days, each=bool(contact))
    async for owner, _, dated, output in _rows(store, flow, fold_key(contact)):
        outputs = msgspec.json.decode(bytes(output))
        for step in list_steps(outputs)[:1]:
            if dated is None or dated <= newest:
                collector.add(owner, dated, outputs[step])
    trends = collector.finish(flow, contact)
    names = [one.topic for one in trends.topics]
    if topic and topic not in names:
        raise InputError(f"no feedback is about {topic!r}", code="trends.no-topic", hint=suggest(topic, names))
    chosen = [one for one in trends.topics if topic in ("", one.topic)]
    turned = [name for name in trends.turned if topic in ("", name)]
    return msgspec.structs.replace(trends, topics=chosen, turned=turned)


async def _rows(store: Store, flow: str, contact: str) -> AsyncIterator[tuple[Any, ...]]:
    """Yield judged records, those of one person after the other."""
    if contact:
        for row in await store.read("judged_of_owner", flow=flow, owner=contact):
            yield row
        return
    owner, key = "", ""
    while rows := await store.read("judged_by_owner", flow=flow, owner=owner, key=key, limit=PIECE):
        for row in rows:
            yield row
        owner, key = rows[-1][0], rows[-1][1]


class TrendSource:
    """One record per topic: how it stands, and whether it has turned.

    A record is recognised by topic, turn and window, so that a turn makes one event however often it is looked for.
    """

    def __init__(self, store: Store, now: float, options: Mapping[str, Any]) -> None:
        """Take `flow` (whose feedback), and optionally `days` and `topic`; raises `InputError` for other options."""
        known = ("flow", "days", "topic")
        for name in options:
            if name not in known:
                raise InputError(
                    f"the source trends has no option {name!r}",
                    code="input.unknown-option",
                    hint=suggest(name, known) or "It takes flow, days and topic.",
                )
        days = options.get("days", DAYS)
        if not options.get("flow") or isinstance(days, bool) or not isinstance(days, (int, float)):
            raise InputError(
                "the source trends needs the name of a flow, and days as a number", code="trends.bad-source"
            )
        self._store = store
        self._now = now
        self._flow = str(options["flow"])
        self._days = float(days)
        self._topic = str(options.get("topic") or "")

    def describe(self) -> str:
        return f"trends of {self._flow}"

    def identity(self) -> str:
        return f"trends:{self._flow}:{self._days:g}:{self._topic}"

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:  # noqa: ARG002
        """Yield one page; there are at most as many topics as the closed list holds."""
        if cursor:
            return
        trends = await read_trends(self._store, self._flow, self._now, days=self._days, topic=self._topic)
        yield Page([self._record(trends, one) for one in msgspec.to_builtins(trends.topics)], [], {"done": True})

    def _record(self, trends: Trends, topic: dict[str, Any]) -> Record:
        newest = topic.pop("points")[-1]
        window = floor(self._now / (self._days * DAY))
        place = {"people": newest["people"], "mean": newest["mean"], "until": newest["end"]}
        data = {**topic, **place, "as_of": trends.as_of, "flow": trends.flow}
        return Record(f"{topic['topic']}|{topic['turn']}|{self._days:g}|{window}", data, f"topic {topic['topic']}")

    async def count(self) -> int | None:
        return None

    async def close(self) -> None:
        """Do nothing: the store belongs to who opened it."""
