"""Which contacts there are: looked up one by one, or met in a scan of the account where that takes fewer calls."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.base.errors import RejectedError
from penstock.base.types import Problem
from penstock.data.brevo_contacts import MOST_PER_PAGE, OVERLAP_MS, Place, format_time, scan
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Target, get_contacts, read_email, spread, width_for
from penstock.runtime.brevo_calls import BrevoCaller

FRESH_SECONDS = 900.0
"""So long a scan of the account tells who is there."""
MOST_ASKED_AGAIN = 500
"""Up to so many that a scan did not meet are asked for once more: they may have come since."""
RECENT_SECONDS = (3_600.0, 86_400.0, 7 * 86_400.0)
"""Who is written to was often changed of late: then what changed within one of these times is read instead of all."""
RECENT_SHARE = 0.1
"""Share of the account up to which that is worth trying."""
WORTH_COUNTING = 50
"""From so many addresses on a call is spent on learning how large the account is."""


async def find_contacts(caller: BrevoCaller, targets: Iterable[Target]) -> dict[Target, dict[str, Any]]:
    """Read many contacts with the fewest calls; absent ones are left out."""
    wanted = list(dict.fromkeys(targets))
    emails = {target.value: target for target in wanted if target.kind == "email_id"}
    if len(emails) < WORTH_COUNTING or not await _is_scan_cheaper(caller, len(emails)):
        return await get_contacts(caller, wanted)
    found = await get_contacts(caller, [target for target in wanted if target.kind != "email_id"])
    async for contacts, _ in scan(caller, Place(), MOST_PER_PAGE):
        for contact in contacts:
            target = emails.get(read_email(contact.get("email")) or "")
            if target is not None:
                found[target] = contact
        if len(found) == len(wanted):
            break
    return found


async def _is_scan_cheaper(caller: BrevoCaller, singles: int) -> bool:
    return 0 < await _count(caller) / MOST_PER_PAGE < singles / 2


async def _count(caller: BrevoCaller, since: float | None = None) -> int:
    """Return how many contacts there are, or have changed since a moment; 0 where Brevo does not say."""
    query: dict[str, Any] = {"limit": 1} | (
        {} if since is None else {"modifiedSince": format_time(round(since * 1000))}
    )
    total = (await caller.call("contacts.list", query=query)).content.get("count")
    return total if isinstance(total, int) else 0


class Person(NamedTuple):
    """A contact as far as writing needs it: its number, and its address where it has one."""

    id: int
    email: str | None


class People:
    """Who is in the account: asked one by one, until a scan of everybody would have cost less; then that, for a while.

    What was read lies in a temporary file: memory stays flat.
    """

    def __init__(self, caller: BrevoCaller) -> None:
        self._caller = caller
        self._asked = 0
        self._read_at: float | None = None
        self._reading = asyncio.Lock()
        self._table = sqlite3.connect("")  # on disk when it grows, gone when closed
        self._table.execute("pragma synchronous = off")
        self._table.execute("pragma journal_mode = off")
        self._table.execute("create table people (id integer primary key, email text)")
        self._table.execute("create index people_by_email on people (email)")

    def close(self) -> None:
        """Delete what was read."""
        self._table.close()

    async def find(self, targets: Iterable[Target]) -> dict[Target, Person]:
        """Return those of the contacts that there are; raises when Brevo does not answer."""
        wanted = list(dict.fromkeys(targets))
        found: dict[Target, Person] = {}
        async with self._reading:
            if await self._is_worth_reading(len(wanted)):
                found = await self._find_recent(wanted)
                if len(wanted) - len(found) > MOST_ASKED_AGAIN or not found:
                    await self._read(Place())
                    self._asked = 0
            if self._is_fresh():
                found = self._look_up(wanted)
        missing = [target for target in wanted if target not in found]
        if found and len(missing) > MOST_ASKED_AGAIN and all(target.kind != "ext_id" for target in missing):
            return found  # so many came within minutes only where they are not there at all
        self._asked += len(missing)
        contacts = await get_contacts(self._caller, missing)
        return found | {target: _to_person(contact) for target, contact in contacts.items()}

    def _is_fresh(self) -> bool:
        return self._read_at is not None and self._caller.clock.monotonic() - self._read_at < FRESH_SECONDS

    async def _is_worth_reading(self, singles: int) -> bool:
        if self._is_fresh() or self._asked + singles < WORTH_COUNTING:
            return False
        return await _is_scan_cheaper(self._caller, self._asked + singles)

    async def _find_recent(self, targets: Sequence[Target]) -> dict[Target, Person]:
        """Return those of many contacts that changed of late, where so few did that reading them costs little."""
        most, now = await _count(self._caller) * RECENT_SHARE, self._caller.clock.now()
        for seconds in RECENT_SECONDS:
            changed = await _count(self._caller, now - seconds)
            if changed > most:
                break
            if changed >= len(targets) - MOST_ASKED_AGAIN:
                await self._read(Place(watermark=round((now - seconds) * 1000) + OVERLAP_MS))
                found = self._look_up(targets)
                self._read_at = None  # of the others nothing is known
                return found
        return {}

    async def _read(self, place: Place) -> None:
        started = self._caller.clock.monotonic()
        self._table.execute("delete from people")
        async for contacts, _ in scan(self._caller, place, MOST_PER_PAGE):
            rows = [_to_person(contact) for contact in contacts if isinstance(contact.get("id"), int)]
            self._table.executemany("insert or replace into people values (?, ?)", rows)
        self._read_at = started

    def _look_up(self, targets: Sequence[Target]) -> dict[Target, Person]:
        found = {}
        for target in targets:
            if target.kind == "ext_id":
                continue
            column, value = ("email", target.value) if target.kind == "email_id" else ("id", int(target.value))
            row = self._table.execute(f"select id, email from people where {column} = ?", (value,)).fetchone()
            if row is not None:
                found[target] = Person(*row)
        return found


def _to_person(contact: Mapping[str, Any]) -> Person:
    return Person(int(contact["id"]), read_email(contact.get("email")))


class ContactBook:
    """Says which contacts of a batch there are, and creates the others where that is wished."""

    def __init__(self, caller: BrevoCaller, people: People, *, create_contacts: bool) -> None:
        self._caller = caller
        self._people = people
        self._create = create_contacts

    async def number(self, targets: Sequence[Target]) -> tuple[dict[Target, int], dict[Target, Problem]]:
        """Return Brevo's numbers of contacts, and why the others have none; raises when Brevo does not answer."""
        known = await self._people.find(targets)
        missing = [target for target in dict.fromkeys(targets) if target not in known]
        refused = dict.fromkeys(missing, NO_SUCH_CONTACT)
        if self._create and missing:
            refused |= await self._create_contacts(missing)
            created = await get_contacts(self._caller, missing)
            known |= {target: _to_person(contact) for target, contact in created.items()}
        numbers = {target: person.id for target, person in known.items()}
        return numbers, {target: problem for target, problem in refused.items() if target not in numbers}

    async def _create_contacts(self, targets: Sequence[Target]) -> dict[Target, Problem]:
        """Create contacts before what is about them: what belongs to nobody could not be found again after a crash."""
        refused: dict[Target, Problem] = {}

        async def create(target: Target) -> None:
            name = "email" if target.kind == "email_id" else "ext_id"
            try:
                await self._caller.call("contacts.create", body={name: target.value, "updateEnabled": True})
            except RejectedError as error:
                refused[target] = Problem.from_error(error)

        able = [target for target in targets if target.kind != "contact_id"]
        await spread(able, create, width_for(self._caller, "contacts.create"))
        return refused
