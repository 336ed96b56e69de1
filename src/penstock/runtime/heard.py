"""What was heard of the contacts of a Brevo account: which events were dealt with, and which contacts changed when.

Of a contact only hashes are kept, so that the same state is recognised without keeping the person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from penstock.base.clock import Clock
from penstock.runtime.barred import mark_people, write_marks
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

KEEP_SECONDS = 30 * 86_400.0
"""How long an event is recognised: Brevo's retries take about 11 hours, a replay of the inbox up to 30 days."""
PIECE = 1_000


class Seen(msgspec.Struct, frozen=True):
    """A contact as it was read: its id, what it is known by (addresses first), and a hash of what others keep in it."""

    contact: int
    identifiers: tuple[str, ...]
    state: bytes
    is_blocked: bool = False
    """Whether it objects by Brevo's blocklist."""


class Changed(msgspec.Struct, frozen=True):
    """A contact that changed, and when that was noticed (seconds since 1970)."""

    contact: int
    at: float


class Missed(msgspec.Struct, frozen=True):
    """A contact that a full reading did not meet; `person` is the hash of its first identifier."""

    contact: int
    person: bytes


class Sweep(msgspec.Struct, frozen=True):
    """How far the account was read: until when (milliseconds), and the number and time of the last full reading."""

    read_until: int = 0
    number: int = 0
    at: float = 0.0


class _Look(msgspec.Struct, frozen=True):
    account: str
    contacts: tuple[Seen, ...]
    sweep: int
    is_first: bool
    at: float


class Heard:
    """What was heard, in one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, marks: Sequence[bytes]) -> set[bytes]:
        """Return those events that were dealt with before."""
        return {bytes(row[0]) for row in await self._store.look(lambda tx: tx.fetch_keys("heard_of", marks))}

    async def note(self, marks: Iterable[bytes]) -> None:
        """Note that events were dealt with."""
        await self._store.batch(_note, (tuple(marks), self._clock.now()))

    async def see(self, account: str, contacts: Sequence[Seen], *, sweep: int = 0, is_first: bool = False) -> int:
        """Take in how contacts are now; returns how many of them changed since they were last seen.

        One that is blocked is noted as objecting in the same transaction. With `is_first` contacts that were never
        seen count as known, for the account is read for the first time.
        """
        if not contacts:
            return 0
        return await self._store.batch(_see, _Look(account, tuple(contacts), sweep, is_first, self._clock.now()))

    async def changed_contacts(
        self, account: str, after: float, *, beyond: int = -1, limit: int = PIECE
    ) -> list[Changed]:
        """Return contacts whose change was noticed after a moment, the oldest first.

        Read on with the `at` and `contact` (`beyond`) of the last; start a minute early, for several processes note.
        """
        rows = await self._store.read("changed_contacts", account=account, after=after, contact=beyond, limit=limit)
        return [Changed(int(contact), at) for contact, at in rows]

    async def missed(self, account: str, sweep: int, after: int = -1) -> list[Missed]:
        """Return contacts that the full reading of this number did not meet."""
        rows = await self._store.read("missed_contacts", account=account, sweep=sweep, after=after, limit=PIECE)
        return [Missed(int(contact), bytes(person)) for contact, person in rows]

    async def met(self, account: str, sweep: int, people: Sequence[bytes]) -> set[bytes]:
        """Return those people whom the full reading met, perhaps as another contact: two may have been merged."""
        rows = await self._store.look(lambda tx: tx.fetch_keys("people_met", people, account=account, sweep=sweep))
        return {bytes(row[0]) for row in rows}

    async def drop(self, account: str, contacts: Iterable[Missed], *, bar: bool = True) -> None:
        """Let go of contacts that are gone, and keep what they were known by from coming back."""
        await self._store.batch(_drop, (account, tuple(contacts), self._clock.now() if bar else None))

    async def former(self, account: str, contacts: Sequence[int]) -> list[Missed]:
        """Return what contacts were known by before they were known by something else."""
        rows = await self._store.look(lambda tx: tx.fetch_keys("former_of", contacts, account=account))
        return [Missed(int(contact), bytes(person)) for contact, person in rows]

    async def seen_by(self, account: str, people: Sequence[bytes]) -> list[Missed]:
        """Return the contacts that were last seen with these identifiers."""
        rows = await self._store.look(lambda tx: tx.fetch_keys("contacts_of_people", people, account=account))
        return [Missed(int(contact), bytes(person)) for contact, person in rows]

    async def drop_person(self, identifiers: Iterable[str]) -> None:
        """Forget how the contact with these identifiers was seen."""
        await self._store.batch(_drop_person, tuple(identifiers))

    async def mark(self, identifiers: Sequence[str]) -> list[bytes]:
        """Return the hashes that stand for identifiers here."""
        return await self._store.batch(_mark, tuple(identifiers))

    async def sweep_of(self, account: str) -> Sweep:
        """Return how far an account was read."""
        rows = await self._store.read("sweep_of", account=account)
        return Sweep(int(rows[0][0]), int(rows[0][1]), rows[0][2]) if rows else Sweep()

    async def save_sweep(self, account: str, sweep: Sweep) -> None:
        """Note how far an account was read."""
        await self._store.batch(_save_sweep, (account, sweep))

    async def forget_old(self) -> None:
        """Forget events that come back no more."""
        await self._store.batch(_forget, self._clock.now() - KEEP_SECONDS)


def _note(tx: Tx, items: Sequence[tuple[tuple[bytes, ...], float]]) -> list[None]:
    tx.run_many("hear", [{"mark": mark, "at": at} for marks, at in items for mark in marks])
    return [None] * len(items)


def _see(tx: Tx, items: Sequence[_Look]) -> list[int]:
    return [_see_one(tx, look) for look in items]


def _see_one(tx: Tx, look: _Look) -> int:
    numbers = [one.contact for one in look.contacts]
    found = tx.fetch_keys("seen_of", numbers, account=look.account)
    known = {int(row[0]): bytes(row[1]) for row in found}
    former = {int(row[0]): bytes(row[2]) for row in found}
    people = mark_people(tx, [one.identifiers[0] for one in look.contacts])
    rows, moved, changed = [], [], 0
    for one, person in zip(look.contacts, people, strict=True):
        has_changed = known.get(one.contact, one.state if look.is_first else b"") != one.state
        changed += has_changed
        if former.get(one.contact, person) != person:
            moved.append({"account": look.account, "contact": one.contact, "person": former[one.contact]})
        if not has_changed and one.contact in known and not look.sweep:
            continue
        row = {"account": look.account, "contact": one.contact, "person": person, "seen": one.state}
        rows.append({**row, "changed_at": look.at if has_changed else None, "sweep": look.sweep})
    tx.run_many("see_contact", rows)
    tx.run_many("note_former", moved)
    blocked = [name for one in look.contacts if one.is_blocked for name in one.identifiers]
    if blocked:
        write_marks(tx, mark_people(tx, blocked), "objected", look.at)
    return changed


def _drop(tx: Tx, items: Sequence[tuple[str, tuple[Missed, ...], float | None]]) -> list[None]:
    for account, contacts, at in items:
        if at is not None:
            write_marks(tx, [one.person for one in contacts], "forgotten", at)
        rows = [{"account": account, "contact": one.contact} for one in contacts]
        tx.run_many("drop_contact", rows)
        tx.run_many("drop_former", rows)
    return [None] * len(items)


def _drop_person(tx: Tx, items: Sequence[tuple[str, ...]]) -> list[None]:
    for identifiers in items:
        tx.run_many("drop_person", [{"person": mark} for mark in mark_people(tx, identifiers)])
    return [None] * len(items)


def _mark(tx: Tx, items: Sequence[tuple[str, ...]]) -> list[list[bytes]]:
    return [mark_people(tx, identifiers) for identifiers in items]


def _save_sweep(tx: Tx, items: Sequence[tuple[str, Sweep]]) -> list[None]:
    for account, sweep in items:
        row = {"account": account, "read_until": sweep.read_until, "number": sweep.number, "at": sweep.at}
        tx.run("save_sweep", row)
    return [None] * len(items)


def _forget(tx: Tx, items: Sequence[float]) -> list[None]:
    tx.run("forget_heard", {"before": max(items)})
    return [None] * len(items)
