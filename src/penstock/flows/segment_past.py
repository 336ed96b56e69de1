"""Where customers were in the last run, and who of them is no longer there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from penstock.base.types import Record
from penstock.runtime.store import Store

_PIECE = 20_000
_SAID = ("segment", "name", "description", "difference", "distance")


class Past(NamedTuple):
    """The segment of each customer in the last run, empty where there was none; and those who had one and are gone."""

    before: list[str]
    gone: list[Record]


async def read_past(store: Store, made_as: str, keys: Sequence[str]) -> Past:
    """Read the records that the flow made last; who is gone comes once more, without a segment, to leave its list."""
    wanted, held, gone = set(keys), {}, []
    after = 0
    while rows := await store.read("made_rows_of_flow", flow=made_as, after=after, limit=_PIECE):
        after = int(rows[-1][0]) + 1
        for _, key, place, data in rows:
            told = msgspec.json.decode(bytes(data))
            segment = told.get("segment") or ""
            if key in wanted:
                held[key] = segment
            elif segment:
                empty = {**dict.fromkeys(_SAID), "outlier": False, "before": segment, "moved": False}
                gone.append(Record(key, {**told, **empty, "name": ""}, place))
    return Past([held.get(key, "") for key in keys], gone)
