"""Finds the rows of a store that belong to one person."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from penstock.base.errors import MappingError
from penstock.events.identifiers import hash_email, hash_external_id
from penstock.flows.forecasts import KeptPiece, find_pieces
from penstock.runtime.barred import fold_identifier, name_record
from penstock.runtime.store import Store

PIECE = 1_000
"""Rows that are looked at together where no index leads to a person."""
LONG_ENOUGH = 6
"""A shorter identifier is a number or word that stands for other things too: it is not searched in texts."""


class ItemTrace(msgspec.Struct, frozen=True):
    """A kept result."""

    flow: str
    key: str
    owner: str
    answers: list[bytes]
    output: dict[str, Any]
    place: str
    run: str
    at: float
    made: dict[str, str]


class EffectTrace(msgspec.Struct, frozen=True):
    """A write, planned or done."""

    flow: str
    sink: str
    kind: str
    target: str
    match: dict[str, Any]
    fields: dict[str, Any]
    state: str
    at: float

    def row(self) -> dict[str, str]:
        """Return what names its row."""
        return {"flow": self.flow, "sink": self.sink, "kind": self.kind, "target": self.target}


class Traces:
    """Everything that is kept of one person; false when there is nothing."""

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        self.items: list[ItemTrace] = []
        self.effects: list[EffectTrace] = []
        self.letters: list[int] = []
        self.letter_keys: list[tuple[str, str]] = []
        self.lookups: list[dict[str, str]] = []
        self.cursors: list[str] = []
        self.messages: list[int] = []
        self.replies: list[dict[str, str]] = []
        self.feedback: list[str] = []
        self.made: list[dict[str, Any]] = []
        self.summaries: list[KeptPiece] = []
        self.names: list[str] = [identifier]
        self.events: list[tuple[int, int]] = []
        self.under_way = 0

    def __bool__(self) -> bool:
        rows = (self.items, self.effects, self.letters, self.lookups, self.cursors, self.messages, self.replies)
        return any(rows) or bool(self.events) or bool(self.feedback) or bool(self.made) or bool(self.summaries)

    @property
    def answers(self) -> list[bytes]:
        """The addresses of the answers that the results rest on."""
        return list(dict.fromkeys(key for item in self.items for key in item.answers))

    def identifiers(self) -> Iterator[str]:
        """Yield everything by which the person or a record of it may come back."""
        yield self.identifier
        yield from (name_record(item.flow, item.key) for item in self.items)
        yield from (name_record(flow, key) for flow, key in self.letter_keys if key)
        for effect in self.effects:
            if effect.sink.startswith("brevo:"):  # elsewhere it may name a row, not a person
                yield from (fold_identifier(str(value)) for value in effect.match.values() if value not in (None, ""))


async def find_traces(store: Store, identifier: str) -> Traces:
    """Return what is kept of a person: by the index where there is one, else by a walk over the rows."""
    traces = Traces(identifier)
    names = [identifier]
    is_named = _searcher(identifier)
    like = f"%{identifier.lower()}%"
    for row in await store.read("effects_like", like=like):
        effect = _to_effect(row)
        if is_named(" ".join(str(part or "") for part in (row[3], row[4], row[5], row[6]))) or identifier in {
            fold_identifier(str(value)) for value in effect.match.values()
        }:
            traces.effects.append(effect)
            names += [fold_identifier(str(value)) for value in effect.match.values() if value not in (None, "")]
    names = list(dict.fromkeys(names))
    for row in await store.look(lambda tx: tx.fetch_keys("items_of_person", names)):
        traces.items.append(_to_item(row))
    keys = {(item.flow, item.key) for item in traces.items}
    await _find_letters(store, traces, like, is_named, keys)
    for run, name, key, body in await store.read("lookups_like", like=like):
        if fold_identifier(key) == identifier or is_named(body):
            traces.lookups.append({"run": run, "name": name, "key": key})
    traces.cursors = [run for run, cursor in await store.read("cursors_like", like=like) if is_named(cursor)]
    for name, contact, *texts in await store.read("feedback_like", contact=identifier, like=like):
        if contact == identifier or is_named(" ".join(texts)):
            traces.feedback.append(name)
    keys_of_person = [*names, *(key for _, key in keys)]
    rows = await store.look(lambda tx: tx.fetch_keys("made_rows_of", [key.lower() for key in keys_of_person]))
    traces.made = [{"batch": batch, "number": number} for batch, number in rows]
    traces.names = keys_of_person
    people = {fold_identifier(key) for key in keys_of_person}
    traces.summaries = await store.look(lambda tx: find_pieces(tx, people))
    await _find_messages(store, traces, is_named)
    await _find_events(store, traces, is_named)
    return traces


async def _find_letters(
    store: Store, traces: Traces, like: str, is_named: Callable[[str], bool], keys: set[tuple[str, str]]
) -> None:
    found = {}
    for number, flow, key, *texts in await store.read("letters_like", like=like):
        if fold_identifier(key) == traces.identifier or is_named(" ".join(texts)):
            found[number] = (flow, key)
    targets = [effect.target for effect in traces.effects]
    for number, flow, key in await store.look(
        lambda tx: tx.fetch_keys("letters_of_keys", [*{key for _, key in keys}, *targets])
    ):
        if (flow, key) in keys or key in targets:
            found[number] = (flow, key)
    traces.letters = [int(number) for number in found]
    traces.letter_keys = [(flow, key) for flow, key in found.values() if key not in targets]


async def _find_messages(store: Store, traces: Traces, is_named: Callable[[str], bool]) -> None:
    async for number, body in _walk(lambda after: store.read("messages_after", after=after, limit=PIECE), 0):
        if is_named(bytes(body).decode(errors="replace")):
            traces.messages.append(int(number))
    after = ""
    while rows := await store.read("replies_after", after=after, limit=PIECE):
        after = f"{rows[-1][0]} {rows[-1][1]}"
        traces.replies += [
            {"key": key, "who": who} for key, who, body in rows if is_named(bytes(body).decode(errors="replace"))
        ]


async def _find_events(store: Store, traces: Traces, is_named: Callable[[str], bool]) -> None:
    """Find events by the hashes that stand in them, as the contract of conversions makes them."""
    hashes = [str(hash_external_id(traces.identifier)).encode()] if len(traces.identifier) >= LONG_ENOUGH else []
    with suppress(MappingError):  # an identifier that is no email
        hashes.append(str(hash_email(traces.identifier)).encode())
    rows = _walk(lambda after: store.read("event_bodies_after", after=after, limit=PIECE), 0)
    async for number, body, notes, destination, state, batch in rows:
        texts = bytes(body) + bytes(notes)
        if any(one in texts for one in hashes) or is_named(texts.decode(errors="replace")):
            if state == "waiting" and batch:
                traces.under_way += 1
            else:
                traces.events.append((int(number), int(destination)))


async def _walk(read: Callable[[int], Awaitable[list[tuple[Any, ...]]]], after: int) -> Any:
    while rows := await read(after):
        after = int(rows[-1][0])
        for row in rows:
            yield row


def _searcher(identifier: str) -> Callable[[str], bool]:
    """Return what tells whether a text names the person."""
    if len(identifier) < LONG_ENOUGH:
        return lambda _text: False
    pattern = re.compile(rf"(?<![\w.+\-]){re.escape(identifier)}(?![\w\-]|\.\w)", re.IGNORECASE)
    return lambda text: pattern.search(text) is not None


def _to_item(row: tuple[Any, ...]) -> ItemTrace:
    flow, key, owner, answers, output, place, run, at, _state, made = row
    keys = [bytes.fromhex(part) for part in answers.split(",") if part]
    found = msgspec.json.decode(made or "{}")
    return ItemTrace(flow, key, owner, keys, msgspec.json.decode(bytes(output)), place, run, at, found)


def _to_effect(row: tuple[Any, ...]) -> EffectTrace:
    flow, sink, kind, target, match, fields, confirmed, state, _receipt, at, _run = row
    held = msgspec.json.decode(confirmed or fields)
    return EffectTrace(flow, sink, kind, target, msgspec.json.decode(match), held, state, at)
