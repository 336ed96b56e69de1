"""Customers as segments see them: described by listed fields, redacted; who objects or was forgotten is left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from penstock.base.errors import InputError, MappingError
from penstock.base.types import Record, Source
from penstock.data.consent import is_contact
from penstock.features.clustering.descriptions import describe_customer
from penstock.features.segments import to_plain
from penstock.flows.gate import Gate
from penstock.flows.model import Flow
from penstock.flows.redacting import Redaction
from penstock.flows.segment_options import Column, SegmentsPart, compile_columns
from penstock.flows.work import Sorted, Work, fold_key
from penstock.runtime.store import Store

PAGE = 2_000
NOTHING = -1
"""The place of the text of a customer without one."""
_SIGNS = (
    "emailBlacklisted", "smsBlacklisted", "whatsappBlacklisted", "listUnsubscribed", "consentGroups", "forgotten",
)  # fmt: skip
"""What a contact allows; the flow looks at it again before it writes."""


@dataclass
class People:
    """All customers, in the order of their source. `texts` are different; `places` has that of each customer."""

    keys: list[str] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    left_out: int = 0
    digest: str = ""
    """Names all of it."""

    def describe(self) -> list[str]:
        """Return the description of each customer, empty for those without one."""
        return ["" if place == NOTHING else self.texts[place] for place in self.places]


class Reader:
    """Reads customers for one flow. What joined rows say of consent counts before anything is described."""

    def __init__(self, store: Store, flow: Flow, part: SegmentsPart, joins: Mapping[str, Source]) -> None:
        self._flow = flow
        self._gate = Gate(flow, store)
        self._joins = joins
        self._described = compile_columns(part.describe)
        self._behaviour = compile_columns(part.behaviour) if part.behaviour else []
        self._carried = (*part.keep, *_SIGNS, *(("listIds",) if flow.consent.lists else ()))
        self._known: dict[str, int] = {}
        self._redacted: dict[str, str] = {}

    @property
    def behaviour(self) -> list[str]:
        """The fields that count beside the text."""
        return [column.label for column in self._behaviour]

    async def read(self, source: Source, as_of: float) -> People:
        """Read everything; a key that comes again is passed over."""
        people = People(columns={column.label: [] for column in self._all()})
        digest = hashlib.blake2b(digest_size=16)
        joined = await self._read_joins()
        seen: set[str] = set()
        async for page in source.pages(size=PAGE):
            records = []
            for record in page.records:
                if record.key not in seen:
                    seen.add(record.key)
                    records.append(record)
            found = await self._sort(records, joined)
            objected = {work.record.key for work in found.objected}
            allowed = {work.record.key for work in found.works}
            people.left_out += len(objected)
            for record in records:
                if record.key in allowed or record.key in objected:
                    self._take(people, record, as_of, record.key in allowed)
                    last = (
                        record.key,
                        people.kept[-1],
                        people.places[-1],
                        [one[-1] for one in people.columns.values()],
                    )
                    digest.update(_encode(last))
        for text in people.texts:
            digest.update(text.encode(errors="replace") + b"\0")
        people.digest = digest.hexdigest()
        return people

    def _all(self) -> list[Column]:
        return list({column.label: column for column in (*self._described, *self._behaviour)}.values())

    async def _sort(self, records: Sequence[Record], joined: Mapping[str, Mapping[str, Any]]) -> Sorted:
        found = Sorted()
        for record in records:
            scope = {"record": {**record.data, "customer": record.key}}
            work = Work(record, {**scope, **self._join(scope, joined)}, record.key, None)
            work.owner = self._gate.find_contact(work.scope) or work.owner
            found.works.append(work)
        await self._gate.hold_back(found)
        return found

    async def _read_joins(self) -> dict[str, dict[str, Any]]:
        """Return what joined contacts say of consent, by join and key."""
        found: dict[str, dict[str, Any]] = {}
        for name, source in self._joins.items():
            found[name] = {}
            async for page in source.pages(size=PAGE):
                for row in page.records:
                    if is_contact(row.data):
                        found[name][fold_key(row.key)] = {
                            sign: row.data[sign] for sign in (*_SIGNS, "listIds") if sign in row.data
                        }
        return found

    def _join(self, scope: dict[str, Any], joined: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        rows: dict[str, Any] = {}
        for join in self._flow.joins:
            if joined.get(join.name):
                try:
                    key = join.on.evaluate(scope)
                except MappingError:
                    key = None
                rows[join.name] = joined[join.name].get(fold_key(str(key)), {}) if key is not None else {}
        return rows

    def _take(self, people: People, record: Record, as_of: float, is_allowed: bool) -> None:
        values = {column.label: to_plain(column.find(record.data)) if is_allowed else None for column in self._all()}
        text = describe_customer(values, [column.label for column in self._described], as_of) if is_allowed else ""
        text = self._redact(text, record) if text else ""
        place = NOTHING
        if text:
            place = self._known.setdefault(text, len(people.texts))
            if place == len(people.texts):
                people.texts.append(text)
        people.keys.append(record.key)
        people.wheres.append(record.where)
        people.kept.append({name: record.data[name] for name in self._carried if name in record.data})
        people.places.append(place)
        for label, column in people.columns.items():
            column.append(values[label])

    def _redact(self, text: str, record: Record) -> str:
        """Return the text without personal data; empty where it cannot be taken out."""
        redaction = self._flow.redaction
        if redaction is None:
            return text
        is_general = not redaction.known and redaction.region is None
        if is_general and text in self._redacted:
            return self._redacted[text]
        told = _redact(redaction, text, record)
        if is_general:
            self._redacted[text] = told
        return told


def _redact(redaction: Redaction, text: str, record: Record) -> str:
    values: dict[str, Any] = {"text": text}
    try:
        redaction.apply(values, frozenset(), {"record": record.data})
    except InputError:
        return ""
    return str(values["text"])


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str, order="sorted")
