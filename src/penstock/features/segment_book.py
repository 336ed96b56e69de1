"""What is kept of segments: each version with its centres and what is said of it, and what people wish of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.base.errors import InputError
from penstock.base.expression import suggest
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

KEPT = 10
"""Versions that stay."""
Wish = Literal["", "follow", "anew"]


class Word(msgspec.Struct, frozen=True):
    """A word of a segment, and the parts of its own and of all other customers who have it."""

    word: str
    here: float
    elsewhere: float


class Difference(msgspec.Struct, frozen=True):
    """How a segment differs from all other customers in one field; see `clustering.profile.Fact`."""

    field: str
    value: str
    here: float
    elsewhere: float
    lift: float | None
    effect: float
    is_clear: bool


class Name(msgspec.Struct, frozen=True):
    """What a segment is called, by whom (`terms`, `model`, `person`), and on which descriptions that rests, hashed.

    Of `asked` customers who were held back, `right` were recognised by name and description.
    """

    name: str
    description: str = ""
    difference: str = ""
    by: Literal["terms", "model", "person"] = "terms"
    model: str = ""
    shown: list[str] = []
    right: int = 0
    asked: int = 0
    problem: str = ""
    """Why no model named it, where one was asked."""


class Segment(msgspec.Struct, frozen=True):
    """One segment, with all that is said of it."""

    id: str
    name: Name
    customers: int
    share: float
    outliers: int
    words: list[Word]
    profile: list[Difference]


class Trial(msgspec.Struct, frozen=True):
    """What one number of segments would be like; see `clustering.counts.Trial`."""

    segments: int
    silhouette: float
    agreement: float
    smallest: float
    explained: float
    objection: str


class Moved(msgspec.Struct, frozen=True):
    """Whether customers still are where the segments were made for; see `clustering.drift.Drift`."""

    verdict: str
    distances: float
    far: float
    shares: float
    reasons: list[str]


class Picture(msgspec.Struct, frozen=True):
    """A drawn sample of customers: two coordinates and the place of the segment each, and how to read it."""

    note: str
    method: str
    points: list[tuple[float, float, int]]


class About(msgspec.Struct, frozen=True):
    """What one version says. `way` is how it came about: found, followed or placed."""

    name: str
    at: float
    way: str
    embedding: str
    customers: int
    without: int
    """Customers without a description: they are in no segment."""
    left_out: int
    """Customers who object: nothing of them was read."""
    outliers: int
    changed: int
    """Customers who are in another segment than in the version before."""
    stayed: int
    weights: dict[str, float]
    segments: list[Segment]
    trials: list[Trial]
    suggested: int | None
    drift: Moved | None
    retired: dict[str, str]
    """Ids that are no more, each with the id that most of its customers have now."""
    picture: Picture
    version: int = 0


class Version(NamedTuple):
    """A version as it is kept; `recipe` names what it was found by."""

    number: int
    recipe: str
    model: bytes
    about: About


class Wished(NamedTuple):
    """What people wish of the next run; `number` counts wishes."""

    number: int = 0
    wish: Wish = ""
    names: Mapping[str, str] = {}


class SegmentBook:
    """The segments of one name: a flow, or a join of one."""

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self._store = store

    async def newest(self) -> Version | None:
        """Return the newest version, None before the first."""
        rows = await self._store.read("newest_segments", flow=self.name)
        return Version(int(rows[0][0]), rows[0][2], bytes(rows[0][3]), _read(rows[0][4])) if rows else None

    async def require(self) -> Version:
        """Return the newest version; raises `InputError` before the first."""
        found = await self.newest()
        if found is None:
            names = [str(row[0]) for row in await self._store.read("segment_names")]
            raise InputError(
                f"there are no segments of {self.name}",
                code="segments.unknown",
                hint=suggest(self.name, names) or "`penstock run` of a flow with the source segments makes them.",
            )
        return found

    async def wished(self) -> Wished:
        """Return what is wished of the next run."""
        rows = await self._store.read("segment_wish", flow=self.name)
        return Wished(int(rows[0][0]), rows[0][1], msgspec.json.decode(rows[0][2])) if rows else Wished()

    async def wish(self, wish: Wish | None = None, names: Mapping[str, str] | None = None) -> Wished:
        """Wish for centres that follow their customers, or are found anew; or give names, an empty one takes it back.

        Raises `InputError` for a segment that is not there, and for a name that another one has.
        """
        newest, before = await self.require(), await self.wished()
        ids = {one.id: one.name for one in newest.about.segments}
        given = {**before.names, **(names or {})}
        for one in names or {}:
            if one not in ids:
                raise InputError(f"there is no segment {one}", code="segments.unknown-id", hint=suggest(one, ids))
        given = {one: name.strip() for one, name in given.items() if name.strip() and one in ids}
        called = [given.get(one, name.name).casefold() for one, name in ids.items()]
        if len(set(called)) < len(called):
            raise InputError("two segments would have the same name", code="segments.same-name")
        after = Wished(before.number + 1, before.wish if wish is None else wish, given)
        await self._store.batch(_set_wish, {"flow": self.name, "number": after.number, "wish": after.wish,
                                            "names": msgspec.json.encode(after.names).decode()})  # fmt: skip
        return after

    async def add(self, recipe: str, model: bytes, about: About, wished: Wished) -> int:
        """Keep a new version, and note that the wish was heard; returns its number."""
        return await self._store.batch(_add, (self.name, recipe, model, about, wished.number))


def _read(data: Any) -> About:
    return msgspec.json.decode(bytes(data), type=About)


def _set_wish(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("set_segment_wish", items)
    return [None] * len(items)


def _add(tx: Tx, items: Sequence[tuple[str, str, bytes, About, int]]) -> list[int]:
    numbers = []
    for name, recipe, model, about, wish in items:
        rows = tx.fetch("newest_segments", {"flow": name})
        number = int(rows[0][0]) + 1 if rows else 1
        kept = msgspec.json.encode(msgspec.structs.replace(about, version=number))
        tx.run("add_segments", {"flow": name, "version": number, "at": about.at, "recipe": recipe, "model": model,
                                "about": kept})  # fmt: skip
        tx.run("drop_old_segments", {"flow": name, "version": number - KEPT})
        tx.run("clear_segment_wish", {"flow": name, "number": wish})
        numbers.append(number)
    return numbers
