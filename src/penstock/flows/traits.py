"""What else is known of customers, and since when: numbers from files, SQL, or judged feedback."""

from __future__ import annotations

import datetime
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from penstock.base.errors import InputError
from penstock.base.expression import suggest
from penstock.base.types import Source
from penstock.features.trends import list_steps
from penstock.flows.work import fold_key
from penstock.runtime.store import Store

if TYPE_CHECKING:
    from penstock.features.customer_value.wishes import SignalWishes

PIECE = 2_000


class Known(NamedTuple):
    """A number about a customer, named as `fold_key` does, from a day on."""

    customer: str
    day: datetime.date
    name: str
    value: float


async def read_known(
    store: Store, wishes: SignalWishes, open_source: Callable[[str, Mapping[str, Any]], Awaitable[Source]]
) -> tuple[list[Known], int]:
    """Return what is known of customers, and how many numbers or days could not be read."""
    found: list[Known] = []
    unread = 0
    if wishes.flow:
        found += [one async for one in _judged(store, wishes.flow)]
    for kind in ("files", "sql"):
        options = getattr(wishes, kind)
        if options is None:
            continue
        if not wishes.values:
            raise InputError(
                "signals need the names of their columns",
                code="prediction.wrong-option",
                hint="Write `signals: { files: …, values: [score] }`.",
            )
        source = await open_source(kind, {"key": wishes.contact, **options})
        try:
            async for page in source.pages(size=PIECE):
                unread += len(page.rejects)
                for record in page.records:
                    read = _read(record.data, wishes)
                    found += read
                    unread += len(wishes.values) - len(read)
        finally:
            await source.close()
    return found, unread


async def _judged(store: Store, flow: str) -> AsyncIterator[Known]:
    """Yield the scores that a flow has given to feedback with a date."""
    owner, key = "", ""
    while rows := await store.read("judged_by_owner", flow=flow, owner=owner, key=key, limit=PIECE):
        for person, _, dated, output in rows:
            outputs = msgspec.json.decode(bytes(output))
            steps = list_steps(outputs)
            score = outputs[steps[0]].get("score") if steps else None
            if dated is not None and isinstance(score, int | float) and math.isfinite(score):
                day = datetime.datetime.fromtimestamp(float(dated), datetime.UTC).date()
                yield Known(fold_key(person), day, "sentiment", float(score))
        owner, key = rows[-1][0], rows[-1][1]


def _read(row: Mapping[str, Any], wishes: SignalWishes) -> list[Known]:
    for name in (wishes.contact, wishes.date, *wishes.values):
        if name not in row:
            raise InputError(f"the signals have no column {name!r}", code="orders.column", hint=suggest(name, row))
    found = []
    try:
        day = datetime.date.fromisoformat(str(row[wishes.date])[:10])
    except ValueError:
        return []
    for name in wishes.values:
        try:
            value = float(row[name])
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            found.append(Known(fold_key(str(row[wishes.contact])), day, name, value))
    return found
