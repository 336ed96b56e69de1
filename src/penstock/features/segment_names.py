"""Names of segments by a model: asked for one by one, held against members who were not shown, unique."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.base.errors import OutputError, PenstockError, UnavailableError
from penstock.features import naming
from penstock.features.segment_book import Name
from penstock.features.segments import mark
from penstock.operations import classify
from penstock.operations.declare import Asker, Fields, ModelChoice

FEWEST = 20
"""Customers below which a segment is not shown to a model: a name would be about people."""
TESTED = 5
"""Members held back who must be recognised by name and description."""
_ENOUGH = 0.5
_AT_ONCE = 8


class Nameless(NamedTuple):
    """A segment that wants a name: descriptions of members, of members held back, of near others; its words."""

    id: str
    members: list[str]
    held_back: list[str]
    others: list[str]
    words: list[str]


class Told(NamedTuple):
    """Who answers, in which language, and on whose account."""

    asker: Asker
    choice: ModelChoice
    language: str
    flow: str
    run: str

    async def perform(self, module: Any, input: Fields) -> Any:
        """Return the output of one operation."""
        done = await module.OPERATION.perform(self.asker, input, self.choice, flow=self.flow, run=self.run)
        return done.output


def write_input(one: Nameless, language: str, taken: Sequence[str] = ()) -> naming.Input:
    """Return what is asked for a segment."""
    return naming.Input(
        members=one.members, others=one.others, words=one.words[:10], taken=sorted(taken), language=language
    )


async def name_segments(told: Told, wanted: Sequence[Nameless], known: Mapping[str, Name]) -> dict[str, Name]:
    """Return a name for each of `wanted`; `known` are those of all segments, which stay where a model gives none.

    Raises what concerns all alike (keys, budgets); an outage or an unusable answer leaves the known name.
    """
    slots = asyncio.Semaphore(_AT_ONCE)
    ids = {one.id for one in wanted}
    kept = [name.name for key, name in known.items() if key not in ids]

    async def first(one: Nameless) -> Name:
        async with slots:
            return await _ask(told, one, kept, known[one.id])

    given = dict(zip((one.id for one in wanted), await asyncio.gather(*map(first, wanted)), strict=True))
    for one in wanted:  # names were asked for side by side: the later of two equal ones is asked for again
        taken = kept + [name.name for key, name in given.items() if key != one.id]
        if given[one.id].name.casefold() in {name.casefold() for name in taken}:
            given[one.id] = await _ask(told, one, taken, known[one.id])
    return await _test(told, wanted, {**known, **given}, known)


async def _ask(told: Told, one: Nameless, taken: Sequence[str], known: Name) -> Name:
    try:
        output = await told.perform(naming, write_input(one, told.language, taken))
    except OutputError as error:
        return msgspec.structs.replace(known, problem=error.message, shown=[mark(text) for text in one.members])
    except UnavailableError as error:
        return msgspec.structs.replace(known, problem=error.message, shown=[])
    shown = [mark(text) for text in one.members]
    return Name(output.name, output.description, output.difference, "model", output.model, shown)


async def _test(
    told: Told, wanted: Sequence[Nameless], names: dict[str, Name], known: Mapping[str, Name]
) -> dict[str, Name]:
    """Hold new names against members that nobody was shown; one that does not find them gives way to words."""
    if len(names) < 2:
        return {one.id: names[one.id] for one in wanted}
    labels = {key: f"{name.name}. {name.description}" for key, name in names.items()}
    slots = asyncio.Semaphore(_AT_ONCE)

    async def is_found(key: str, text: str) -> bool | None:
        async with slots:
            try:
                output = await told.perform(classify, classify.Input(text=text, labels=labels, instructions=_WHO))
            except PenstockError as error:
                if isinstance(error, (OutputError, UnavailableError)):
                    return None
                raise
            return bool(output.labels == [key])

    tested = {}
    for one in wanted:
        name = names[one.id]
        if name.by != "model":
            tested[one.id] = name
            continue
        said = await asyncio.gather(*(is_found(one.id, text) for text in one.held_back[:TESTED]))
        right, asked = sum(verdict is True for verdict in said), sum(verdict is not None for verdict in said)
        if asked and right < _ENOUGH * asked:
            problem = f"by {name.name!r} only {right} of {asked} members held back were recognised"
            name = msgspec.structs.replace(known[one.id], problem=problem, shown=name.shown)
        tested[one.id] = msgspec.structs.replace(name, right=right, asked=asked)
    return tested


_WHO = "The text describes a customer; each label is a group of customers. Say to which group the customer belongs."
