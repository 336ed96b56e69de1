"""Brevo as a sink: what contacts hold, which lists they are on, what they did and bought, checked before it is sent.

Brevo accepts what it will not keep, so everything that it would drop in silence is refused here.
Blocklist flags are never read into a write: there is no way to resubscribe anybody through this module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.base.errors import PenstockError, ThrottledError, UnavailableError
from penstock.base.types import Change, Finding, Outcome, Problem, Record
from penstock.data.brevo_attributes import Schema
from penstock.data.brevo_contacts import (
    MOST_PER_PAGE,
    OVERLAP_MS,
    Account,
    BrevoContacts,
    Place,
    read_account,
    scan,
    to_record,
)
from penstock.data.brevo_events import EventWriter, Item
from penstock.data.brevo_known import People, find_contacts
from penstock.data.brevo_lists import ListWriter, list_name
from penstock.data.brevo_owned import OwnedLists
from penstock.data.brevo_processes import Processes
from penstock.data.brevo_schema import Attribute, Wish, encode, holds
from penstock.data.brevo_shop import ShopWriter
from penstock.data.brevo_targets import DELETED, NO_SUCH_CONTACT, Row, Target, find_target, get_contacts
from penstock.data.brevo_updates import ContactWriter
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

__all__ = ["Account", "BrevoContacts", "BrevoSink", "Wish", "read_account"]

KINDS = ("product", "order", "event", "attributes", "list")
LATE_SECONDS = 60.0
"""How far a look at what just changed reaches back before its moment: clocks differ."""


class _Writers(NamedTuple):
    contacts: ContactWriter
    members: ListWriter
    events: EventWriter
    shop: ShopWriter


class BrevoSink:
    """Writes contact attributes, list memberships, events, orders and products to one account."""

    def __init__(
        self,
        caller: BrevoCaller,
        account: Account,
        effects: Effects,
        *,
        create_contacts: bool = False,
        wishes: Mapping[str, Wish] | None = None,
        lists: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Write to `account`, and note in `effects` what is made there.

        `wishes` says more of attributes than their values do. `lists` are names of lists of our own, each with the
        options of its family, none for a plain list.
        """
        self._caller = caller
        self._account = account
        self._create = create_contacts
        families = {name: options for name, options in (lists or {}).items() if options}
        self._lists = [
            one for name, options in (lists or {}).items() for one in ([list_name(name, o) for o in options] or [name])
        ]
        self._owned = OwnedLists(caller, effects)
        self._processes = Processes(caller, effects)
        self._schema = Schema(caller, effects, wishes or {})
        self._people = People(caller)
        self._families = families
        self._writers = {create: self._make_writers(create=create) for create in {False, create_contacts}}

    def _make_writers(self, *, create: bool) -> _Writers:
        caller, people = self._caller, self._people
        return _Writers(
            ContactWriter(caller, self._owned, self._processes, people, create_contacts=create),
            ListWriter(caller, self._owned, self._families, create_contacts=create),
            EventWriter(caller, people, create_contacts=create),
            ShopWriter(caller, self._processes, people, create_contacts=create),
        )

    @property
    def creates_contacts(self) -> bool:
        """Whether contacts that were never there are created."""
        return self._create

    def describe(self) -> str:
        return "Brevo" + (f" account {self._account.name}" if self._account.name else "")

    def identity(self) -> str:
        return f"brevo:{self._account.id}"

    async def close(self) -> None:
        """Let go of what was read; the connection belongs to who opened it."""
        self._people.close()

    async def check(self, fields: dict[str, str]) -> list[Finding]:
        """Look at attributes, lists, and where `fields` names some (`order.amount`) at orders and products."""
        attributes = {name: kind for name, kind in fields.items() if "." not in name}
        findings = await self._schema.check(attributes) if attributes else []
        findings += await self._owned.check(self._lists) if self._lists else []
        for kind in ("order", "product"):
            names = [name.partition(".")[2] for name in fields if name.startswith(f"{kind}.")]
            findings += await self._writers[False].shop.check(kind, names) if names else []
        return findings

    async def create_missing(self, fields: dict[str, str]) -> list[str]:
        """Create the attributes, options and lists that the account lacks; returns the names of what was made."""
        created = await self._schema.create({name: kind for name, kind in fields.items() if "." not in name})
        return created + await self._owned.create(self._lists)

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
        return [self._explain(change, done[index]) for index, change in enumerate(changes)]

    def _may_create(self, change: Change) -> bool:
        return self._create and not change.is_known

    def _explain(self, change: Change, outcome: Outcome) -> Outcome:
        """Tell a contact that was deleted from one that never was."""
        was_deleted = self._create and change.is_known and outcome.problem is NO_SUCH_CONTACT
        return Outcome(outcome.state, DELETED, outcome.receipt) if was_deleted else outcome

    async def _write_all(self, items: Sequence[Item], done: dict[int, Outcome]) -> None:
        await self._processes.settle()
        for create, writers in self._writers.items():
            part = [item for item in items if self._may_create(item[1]) == create]
            if part:
                await self._write_part(writers, part, done)

    async def _write_part(self, writers: _Writers, items: Sequence[Item], done: dict[int, Outcome]) -> None:
        things = _of(items, "order", "product")
        if things:
            await writers.shop.write(things, done)
        events = _of(items, "event")
        if events:
            await writers.events.write(events, done)
        updates = _of(items, "attributes")
        if updates:
            await self._schema.register_options([change for _, change in updates])
            rows = await self._prepare(updates, done)
            await writers.contacts.write(rows, done, await self._schema.read())
        moves = _of(items, "list")
        if moves:
            await writers.members.write(moves, done)

    async def find(self, changes: Sequence[Change]) -> list[Outcome]:
        """Compare with what Brevo holds: values and lists as they are, events by the mark that they carry."""
        items = list(enumerate(changes))
        updates = _of(items, "attributes")
        try:
            await self._processes.settle()
            done: dict[int, Outcome] = {}
            for create, writers in self._writers.items():
                events = [item for item in _of(items, "event") if self._may_create(item[1]) == create]
                done |= await writers.events.find(events) if events else {}
            done |= await self._writers[False].members.find(_of(items, "list"))
            done |= await self._writers[False].shop.find(_of(items, "order", "product"))
            rows = await self._prepare(updates, {})
            done |= dict.fromkeys((place for place, _ in updates), Outcome("later"))  # writing tells what is wrong
            attributes = await self._schema.read() if rows else {}
            contacts = await find_contacts(self._caller, [row.target for row in rows])
            for row in rows:
                may_create = self._may_create(changes[row.index])
                done[row.index] = _compare(row, contacts.get(row.target), attributes, may_create=may_create)
        except (UnavailableError, ThrottledError) as error:
            done = {place: Outcome("unknown", Problem.from_error(error)) for place, _ in items}
        for index, change in items:
            done.setdefault(index, Outcome("rejected", _unknown_kind(change.kind)))
        return [self._explain(change, done[index]) for index, change in items]

    async def changed_since(self, at: float) -> AsyncIterator[dict[str, Any]]:
        """Yield the contacts that changed since a moment in Unix seconds, with what their people allow."""
        place = Place(watermark=round((at - LATE_SECONDS) * 1000) + OVERLAP_MS)  # the scan takes the overlap off
        async for contacts, _ in scan(self._caller, place, MOST_PER_PAGE):
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

    async def _prepare(self, items: Sequence[Item], done: dict[int, Outcome]) -> list[Row]:
        """Encode updates; what can never be written is done at once, as rejected."""
        attributes = await self._schema.read() if items else {}
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


def _compare(
    row: Row, contact: dict[str, Any] | None, attributes: dict[str, Attribute], *, may_create: bool
) -> Outcome:
    if contact is None:
        return Outcome("later") if may_create else Outcome("rejected", NO_SUCH_CONTACT)
    held = contact.get("attributes") or {}
    return Outcome("confirmed" if holds(held, row.attributes, attributes) else "later")


def _of(items: Sequence[Item], *kinds: str) -> list[Item]:
    return [item for item in items if item[1].kind in kinds]


def _unknown_kind(kind: str) -> Problem:
    return Problem("brevo.unknown-kind", f"Brevo cannot be written a {kind!r}", f"Use one of {', '.join(KINDS)}.")
