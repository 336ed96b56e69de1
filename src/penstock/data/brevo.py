"""Brevo as a sink: attributes and events of contacts, checked against the account's schema before they are sent.

Brevo accepts what it will not keep, so everything that it would drop in silence is refused here.
Blocklist flags are never read into a write: there is no way to resubscribe anybody through this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from penstock.base.errors import PenstockError, RejectedError, ThrottledError, UnavailableError
from penstock.base.types import Change, Finding, Outcome, Problem, Record
from penstock.data.brevo_contacts import (
    MOST_PER_PAGE,
    Account,
    BrevoContacts,
    Place,
    read_account,
    scan,
    to_record,
)
from penstock.data.brevo_events import EventWriter, Item
from penstock.data.brevo_schema import (
    NAME,
    TYPE_OF_KIND,
    Attribute,
    check_field,
    encode,
    is_same,
    read_attributes,
    with_options,
)
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Row, Target, find_target, get_contacts
from penstock.data.brevo_updates import ContactWriter
from penstock.runtime.brevo_calls import BrevoCaller

__all__ = ["Account", "BrevoContacts", "BrevoSink", "read_account"]

SCHEMA_SECONDS = 900.0
KINDS = ("attributes", "event")
OWNED_PREFIXES = ("PENSTOCK_", "SENTIMENT_", "AI_")


class BrevoSink:
    """Writes contact attributes (kind `attributes`) and events (kind `event`) to one account."""

    def __init__(
        self,
        caller: BrevoCaller,
        account: Account,
        *,
        create_contacts: bool = False,
        owned_prefixes: Sequence[str] = OWNED_PREFIXES,
    ) -> None:
        """Write to `account`. Options are added only to attributes whose names start with `owned_prefixes`."""
        self._caller = caller
        self._account = account
        self._create = create_contacts
        self._owned = tuple(owned_prefixes)
        self._contacts = ContactWriter(caller, create_contacts=create_contacts)
        self._events = EventWriter(caller, create_contacts=create_contacts)
        self._attributes: dict[str, Attribute] = {}
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    def describe(self) -> str:
        return "Brevo" + (f" account {self._account.name}" if self._account.name else "")

    def identity(self) -> str:
        return f"brevo:{self._account.id}"

    async def close(self) -> None:
        """Do nothing: the connection belongs to who opened it."""

    async def check(self, fields: dict[str, str]) -> list[Finding]:
        attributes = await self._schema(fresh=True) if fields else {}
        return [check_field(name, kind, attributes) for name, kind in fields.items()]

    async def create_missing(self, fields: dict[str, str]) -> list[str]:
        """Create the attributes that the account lacks; returns their names. Never changes an existing one."""
        attributes = await self._schema(fresh=True)
        created = []
        for name, kind in fields.items():
            if name in attributes or check_field(name, kind, {name: _pretend(name, kind)}).verdict != "ok":
                continue
            try:
                await self._caller.call(
                    "attributes.create",
                    path={"category": "normal", "name": name},
                    body={"type": TYPE_OF_KIND.get(kind, "text")},
                    interactive=True,
                )
            except RejectedError:
                if name not in await self._schema(fresh=True):
                    raise
                continue
            created.append(name)
        await self._schema(fresh=True)
        return created

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Write events first, then attributes: who sees the new state finds the event that explains it.

        An error that stops the run is raised only while nothing of `changes` was sent; after that
        the rest comes `later`, so that no event is forgotten and sent again.
        """
        done: dict[int, Outcome] = {}
        stopped: PenstockError | None = None
        try:
            await self._write_all(list(enumerate(changes)), done)
        except PenstockError as error:
            can_wait = isinstance(error, (UnavailableError, ThrottledError))
            if not can_wait and not any(outcome.state in ("confirmed", "unknown") for outcome in done.values()):
                raise
            stopped = error
        for index, change in enumerate(changes):
            if change.kind not in KINDS:
                done[index] = Outcome("rejected", _unknown_kind(change.kind))
            elif stopped is not None:
                done.setdefault(index, Outcome("later", Problem.from_error(stopped)))
        return [done[index] for index in range(len(changes))]

    async def _write_all(self, items: Sequence[Item], done: dict[int, Outcome]) -> None:
        await self._events.write([item for item in items if item[1].kind == "event"], done)
        updates = [item for item in items if item[1].kind == "attributes"]
        if updates:
            await self._register_options(updates)
            await self._contacts.write(await self._prepare(updates, done), done)

    async def find(self, changes: Sequence[Change]) -> list[Outcome]:
        """Compare with what Brevo holds: attributes by value, events by the mark that they carry."""
        items = list(enumerate(changes))
        done = await self._events.find([item for item in items if item[1].kind == "event"])
        updates = [item for item in items if item[1].kind == "attributes"]
        try:
            rows = await self._prepare(updates, done)
            attributes = await self._schema() if rows else {}
            contacts = await get_contacts(self._caller, [row.target for row in rows])
            for row in rows:
                done[row.index] = self._compare(row, contacts.get(row.target), attributes)
        except (UnavailableError, ThrottledError) as error:
            for index, _ in updates:
                done.setdefault(index, Outcome("unknown", Problem.from_error(error)))
        for index, change in items:
            done.setdefault(index, Outcome("rejected", _unknown_kind(change.kind)))
        return [done[index] for index in range(len(changes))]

    def _compare(self, row: Row, contact: dict[str, Any] | None, attributes: dict[str, Attribute]) -> Outcome:
        if contact is None:
            return Outcome("later") if self._create else Outcome("rejected", NO_SUCH_CONTACT)
        held = contact.get("attributes") or {}
        is_there = all(is_same(attributes.get(name), value, held.get(name)) for name, value in row.attributes.items())
        return Outcome("confirmed") if is_there else Outcome("later")

    async def changed_since(self, at: float) -> AsyncIterator[dict[str, Any]]:
        """Yield the contacts that changed since a moment in Unix seconds, with what their people allow."""
        async for contacts, _ in scan(self._caller, Place(watermark=round(at * 1000)), MOST_PER_PAGE):
            for contact in contacts:
                row = to_record(contact)
                if isinstance(row, Record):
                    yield row.data

    async def read_back(self, matches: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
        """Return the attributes that Brevo holds now for each contact; None where there is no such contact."""
        targets = [find_target(match) for match in matches]
        contacts = await get_contacts(self._caller, [target for target in targets if isinstance(target, Target)])
        found: list[dict[str, Any] | None] = []
        for target in targets:
            contact = contacts.get(target) if isinstance(target, Target) else None
            found.append(None if contact is None else dict(contact.get("attributes") or {}))
        return found

    async def _schema(self, *, fresh: bool = False) -> dict[str, Attribute]:
        async with self._reading:
            now = self._caller.clock.monotonic()
            if fresh or self._read_at is None or now - self._read_at > SCHEMA_SECONDS:
                reply = await self._caller.call("attributes.list", interactive=True)
                self._attributes, self._read_at = read_attributes(reply.content), now
            return self._attributes

    async def _prepare(self, items: Sequence[Item], done: dict[int, Outcome]) -> list[Row]:
        """Encode updates; what can never be written is done at once, as rejected."""
        attributes = await self._schema() if items else {}
        rows = []
        for index, change in items:
            target = find_target(change.match)
            if isinstance(target, Problem):
                done[index] = Outcome("rejected", target)
                continue
            encoded = {name.upper(): value for name, value in change.fields.items()}
            encoded = {name: encode(attributes.get(name), name, value) for name, value in encoded.items()}
            problem = next((value for value in encoded.values() if isinstance(value, Problem)), None)
            if problem is not None:
                done[index] = Outcome("rejected", problem)
            else:
                rows.append(Row(index, target, encoded))
        return rows

    async def _register_options(self, items: Sequence[Item]) -> None:
        """Add the labels that a batch needs to categories that the connector owns; Brevo drops unknown ones."""
        attributes = await self._schema()
        missing: dict[str, list[str]] = {}
        for _, change in items:
            for name, value in change.fields.items():
                attribute = attributes.get(name.upper())
                if attribute is not None and attribute.name.startswith(self._owned):
                    for label in _labels(attribute, value):
                        if not attribute.has_option(label) and label not in missing.setdefault(attribute.name, []):
                            missing[attribute.name].append(label)
        for name, labels in missing.items():
            body = with_options(attributes[name], labels) if labels else None
            if isinstance(body, dict):
                path = {"category": attributes[name].category, "name": name}
                with suppress(RejectedError):  # what needed the option is then refused by name
                    await self._caller.call("attributes.update", path=path, body=body, interactive=True)
        if any(missing.values()):
            await self._schema(fresh=True)


def _labels(attribute: Attribute, value: Any) -> list[str]:
    if value in (None, "") or attribute.type not in ("category", "multiple-choice"):
        return []
    if attribute.type == "category":
        return [value] if isinstance(value, str) else []
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if isinstance(part, str)] if isinstance(parts, (list, tuple)) else []


def _pretend(name: str, kind: str) -> Attribute:
    return Attribute(name, "normal" if NAME.fullmatch(name) else "", TYPE_OF_KIND.get(kind, "text"))


def _unknown_kind(kind: str) -> Problem:
    return Problem("brevo.unknown-kind", f"Brevo cannot be written a {kind!r}", "Use `attributes` or `event`.")
