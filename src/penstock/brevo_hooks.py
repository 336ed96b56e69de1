"""What follows from Brevo's webhooks, and the readings that find what was never delivered.

An opt-out is noted at once; a deletion is believed when Brevo itself has the contact no more; a change is looked at
before it counts, unless we caused it. Doing any of it again, in any order, leaves the same state.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import FixError, InputError, PenstockError
from penstock.base.types import Record
from penstock.data.brevo_attributes import OWNED_PREFIXES
from penstock.data.brevo_contacts import scan, to_record
from penstock.data.brevo_objects import open_brevo_source
from penstock.data.brevo_payloads import News, read_news
from penstock.data.brevo_scan import Place
from penstock.data.brevo_source import Account, read_account
from penstock.data.brevo_targets import Target, get_contacts, read_email
from penstock.data.consent import PROFILING, consent_of
from penstock.data.feedback import read_said
from penstock.privacy import Privacy
from penstock.runtime.barred import Barred
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.dialects import Tx
from penstock.runtime.effects import Effects
from penstock.runtime.feedback import Feedback, Put, Said
from penstock.runtime.heard import Changed, Heard, Missed, Seen, Sweep
from penstock.runtime.hooks import Hooks
from penstock.runtime.inbox import Message
from penstock.runtime.store import Store
from penstock.vendors import Vendors

PAGE = 1_000
FULL_SECONDS = 86_400.0
"""Between readings of the whole account, which find contacts that were deleted without a word."""
MANY = 100
"""Contacts read singly within a minute, beyond which the account is asked what changed, a thousand a call."""
MINUTE = 60.0
EARLIER_SECONDS = 600.0
LATE_SECONDS = 60.0
"""A reading covers events up to this before it began: clocks differ, and a write may be visible later."""
EVENT_SECONDS = 7 * 86_400.0
"""How far back custom events are read each time: their date is the sender's, and may lie behind."""
SOURCE = "feedback"
"""Whose words an event brings where it does not say it."""
TYPES = ("marketing", "transactional", "inbound", "conversations")
"""The types of webhooks, each a type of message in the inbox."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Reconciled(msgspec.Struct, frozen=True):
    """What a reading found: contacts read, those that changed, those that are gone, and whether it was a full one."""

    read: int = 0
    changed: int = 0
    gone: int = 0
    was_full: bool = False


class BrevoHooks:
    """Handles deliveries of Brevo, and reads what they did not tell."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        open_caller: Callable[[str], BrevoCaller],
        *,
        key_name: str = "",
        event: str = "",
    ) -> None:
        """Wire it: `open_caller` opens a named connection.

        `key_name` is what Brevo calls our API key, `event` the custom event that brings feedback.
        """
        self._store = store
        self._event = event.strip()
        self._hooks = Hooks(store, clock)
        self._clock = clock
        self._open = open_caller
        self._key_name = key_name.strip()
        self._heard = Heard(store, clock)
        self._feedback = Feedback(store, clock)
        self._privacy = Privacy(store, clock)
        self._accounts: dict[str, Account] = {}
        self._looks = _Looks()

    async def changed_contacts(self, account: str, after: float, *, beyond: int = -1) -> list[Changed]:
        """Return contacts of an account whose change was noticed after a moment; see `Heard.changed_contacts`."""
        return await self._heard.changed_contacts(account, after, beyond=beyond)

    async def handle(self, message: Message) -> None:
        """Do what a delivery asks for; raises what the inbox tries again after."""
        account, connection, _ = message.message.split("/", 2)
        everything = read_news(message.body)
        news = await self._unheard(everything)
        await self._note_objections([one for one in news if one.kind == "opt-out"])
        await self._feedback.put([said for one in news for said in one.said])
        await self._heard.note([one.mark for one in news if one.kind in ("opt-out", "said")])
        rest = [one for one in news if one.kind in ("deleted", "changed")]
        if rest:
            caller = await self._caller(connection, account)
            for one in rest:
                if one.kind == "deleted":
                    await self._delete(caller, account, one)
            await self._look_at(caller, account, [one for one in rest if one.kind == "changed"])
            await self._heard.note([one.mark for one in rest])
        await self._drop_if_forgotten(message, everything)

    async def reconcile(self, connection: str, *, full: bool = False) -> Reconciled:
        """Read what changed since the last reading; once a day, or with `full`, read everything."""
        caller = self._open(connection)
        account = (await read_account(caller)).id
        last = await self._heard.sweep_of(account)
        is_due = last.number == 0 or self._clock.now() - last.at >= FULL_SECONDS
        if full or is_due:
            return await self._read_all(caller, account, last)
        found, place = await self._read_from(caller, account, Place(watermark=last.read_until or None))
        until = place.watermark or last.read_until
        await self._heard.save_sweep(account, msgspec.structs.replace(last, read_until=until))
        return found

    async def read_events(self, connection: str) -> Put:
        """Take in the custom events that bring feedback; the same event again is the same feedback."""
        if not self._event:
            return Put()
        caller = self._open(connection)
        account = await read_account(caller)
        since = datetime.fromtimestamp(self._clock.now() - EVENT_SECONDS, UTC).date().isoformat()
        options = {"object": "events", "events": [self._event], "since": since}
        put = Put()
        async for page in open_brevo_source(caller, account, options, self._clock.now()).pages():
            put = put + await self._feedback.put(await self._read_events(caller, page.records))
        return put

    async def _read_events(self, caller: BrevoCaller, records: Sequence[Record]) -> list[Said]:
        """Return the feedback of events, with the address of whom Brevo names by a number only."""
        numbers = {str(record.data["contact_id"]) for record in records if record.data.get("contact_id")}
        contacts = await get_contacts(caller, [Target("contact_id", number) for number in sorted(numbers)])
        emails = {target.value: contact.get("email") for target, contact in contacts.items()}
        said = []
        for record in records:
            number = str(record.data.get("contact_id") or "")
            given = dict(record.data.get("event_properties") or {})
            given.setdefault("at", record.data.get("event_date"))
            given.setdefault("email", read_email(emails.get(number)) or (f"id:{number}" if number else None))
            with suppress(InputError):  # an event without words is no feedback
                said.append(read_said("event", given, source=SOURCE))
        return said

    async def _unheard(self, news: Sequence[News]) -> list[News]:
        """Return each event once, without those that were dealt with."""
        first = {one.mark: one for one in reversed(news)}
        known = await self._heard.find(list(first)) if first else set()
        return [one for one in news if first[one.mark] is one and one.mark not in known]

    async def _drop_if_forgotten(self, message: Message, news: Sequence[News]) -> None:
        """Keep no delivery about somebody who was forgotten: all that follows from it was done."""
        names = {name for one in news for name in (*one.names, *(said.contact for said in one.said))} - {""}
        if "forgotten" in (await Barred(self._store).find(names)).values():
            await self._store.batch(_drop_message, message.number)

    async def _note_objections(self, news: Sequence[News]) -> None:
        names = {name for one in news for name in one.names}
        if names:
            await Barred(self._store).add(sorted(names), "objected", self._clock.now())

    async def _caller(self, connection: str, account: str) -> BrevoCaller:
        """Return the connection, once it is sure that it still leads to the account that spoke."""
        caller = self._open(connection)
        if connection not in self._accounts:
            self._accounts[connection] = await read_account(caller)
        if self._accounts[connection].id != account:
            self._accounts.pop(connection)
            raise FixError(
                f"a webhook of another Brevo account came for the connection {connection}",
                code="webhook.other-account",
                hint="Its key was changed for another account's: `penstock webhooks create` for this one, and remove "
                "the old webhooks in the other account.",
            )
        return caller

    async def _delete(self, caller: BrevoCaller, account: str, one: News) -> None:
        """Forget a contact that Brevo has no more; one that is there after all only changed."""
        found = await get_contacts(caller, _targets(one))
        if found or not one.names:
            await self._see(account, found.values())
            return
        await Barred(self._store).add(one.names, "forgotten", self._clock.now())
        await self._forget(account, await self._heard.seen_by(account, await self._heard.mark(one.names)))
        for name in one.names:
            await self._privacy.forget(name, compact=False)

    async def _look_at(self, caller: BrevoCaller, account: str, news: Sequence[News]) -> None:
        """Read contacts that somebody else changed, and note those that are not as they were."""
        if not news:
            return
        owned, lists = await self._owned(account)
        foreign = [one for one in news if not self._is_echo(one, owned, lists)]
        if self._looks.are_many(len(foreign), self._clock.monotonic()):
            async with self._looks.line:  # one reading is enough for all that wait for it
                foreign = self._looks.left(account, foreign)
                if foreign:
                    await self._read_together(caller, account, foreign)
            return
        foreign = self._looks.left(account, foreign)
        targets = [target for one in foreign for target in _targets(one)]
        await self._see(account, (await get_contacts(caller, targets)).values())

    async def _read_together(self, caller: BrevoCaller, account: str, news: Sequence[News]) -> None:
        """Read everything that changed since the earliest of these events."""
        now = self._clock.now()
        since = min((one.at for one in news if one.at), default=now) - EARLIER_SECONDS
        await self._read_from(caller, account, Place(watermark=round(since * 1000)))
        self._looks.covered[account] = (since, now - LATE_SECONDS)

    def _is_echo(self, one: News, owned: frozenset[str], lists: frozenset[int]) -> bool:
        """Tell whether we caused a change: by the key's name, else because only what is ours was touched."""
        if one.by and one.by == self._key_name:
            return True
        if one.fields:
            return all(name in owned or name.startswith(OWNED_PREFIXES) for name in one.fields)
        return bool(one.lists) and one.lists <= lists

    async def _owned(self, account: str) -> tuple[frozenset[str], frozenset[int]]:
        """Return the attributes and lists that were made from here."""
        effects = Effects(self._store, self._clock, f"brevo:{account}")
        attributes = frozenset(one.name for one in await effects.known("attribute"))
        lists = await effects.known("list")
        return attributes, frozenset(int(one.receipt) for one in lists if one.receipt.isdecimal())

    async def _see(
        self, account: str, contacts: Iterable[Any], *, sweep: int = 0, is_first: bool = False
    ) -> tuple[int, int]:
        """Note how contacts are; returns how many were read and how many changed."""
        records = [row for row in map(to_record, contacts) if isinstance(row, Record)]
        owned, lists = await self._owned(account) if records else (frozenset[str](), frozenset[int]())
        seen = [_seen(record, owned, lists) for record in records]
        return len(seen), await self._heard.see(account, seen, sweep=sweep, is_first=is_first)

    async def _read_from(
        self, caller: BrevoCaller, account: str, place: Place, *, sweep: int = 0, is_first: bool = False
    ) -> tuple[Reconciled, Place]:
        read = changed = 0
        async for contacts, after in scan(caller, place, PAGE):
            place = after
            page = await self._see(account, contacts, sweep=sweep, is_first=is_first)
            read, changed = read + page[0], changed + page[1]
        return Reconciled(read, changed), place

    async def _read_all(self, caller: BrevoCaller, account: str, last: Sweep) -> Reconciled:
        """Read every contact, and deal with those that are known and were not met."""
        now = self._clock.now()
        number = max(last.number + 1, round(now * 1000))
        found, place = await self._read_from(caller, account, Place(), sweep=number, is_first=last.number == 0)
        gone = await self._find_gone(caller, account, number)
        await self._heard.save_sweep(account, Sweep(place.watermark or last.read_until, number, now))
        return Reconciled(found.read, found.changed, gone, was_full=True)

    async def _find_gone(self, caller: BrevoCaller, account: str, number: int) -> int:
        """Forget people whose contacts are gone; returns how many contacts that were."""
        count, after = 0, -1
        while missed := await self._heard.missed(account, number, after):
            after = missed[-1].contact
            found = await get_contacts(caller, [Target("contact_id", str(one.contact)) for one in missed])
            await self._see(account, found.values(), sweep=number)
            there = {target.value for target in found}
            gone = [one for one in missed if str(one.contact) not in there]
            met = await self._heard.met(account, number, [one.person for one in gone])
            await self._forget(account, [one for one in gone if one.person not in met])
            await self._heard.drop(account, [one for one in gone if one.person in met], bar=False)  # merged
            count += len(gone)
        return count

    async def _forget(self, account: str, gone: Sequence[Missed]) -> None:
        """Forget people of whom only the hash is known, by former addresses too, unless somebody else has those now."""
        if not gone:
            return
        former = await self._heard.former(account, [one.contact for one in gone])
        taken = await self._heard.met(account, 0, [one.person for one in former])
        lost = [*gone, *(one for one in former if one.person not in taken)]
        people = {one.person for one in lost}
        for query in ("owners_after", "feedback_contacts_after"):
            after = ""
            while rows := await self._store.read(query, after=after, limit=PAGE):
                names = [str(row[0]) for row in rows]
                after = names[-1]
                marks = await self._heard.mark(names)
                for name, mark in zip(names, marks, strict=True):
                    if mark in people:
                        await self._privacy.forget(name, compact=False)
        await self._heard.drop(account, lost)

    async def run(self, stop: asyncio.Event, seconds: float, report: Callable[[PenstockError], None]) -> None:
        """Reconcile every `seconds` the accounts that have webhooks here, until `stop` is set."""
        while not stop.is_set():
            for connection in sorted({hook.connection for hook in await self._hooks.list()}):
                try:
                    await self.reconcile(connection)
                    await self.read_events(connection)
                except PenstockError as error:
                    report(error)
            await self._heard.forget_old()
            await _rest(self._clock, stop, seconds)


class _Looks:
    """How many contacts were read singly of late, and which time a reading of all changes covers."""

    def __init__(self) -> None:
        self.line = asyncio.Lock()
        self.covered: dict[str, tuple[float, float]] = {}
        self._count = 0
        self._since = 0.0

    def are_many(self, count: int, now: float) -> bool:
        """Count contacts to read; tells whether they are too many for single calls."""
        if now - self._since >= MINUTE:
            self._since, self._count = now, 0
        self._count += count
        return self._count > MANY

    def left(self, account: str, news: Sequence[News]) -> list[News]:
        """Return the events that no reading covers yet."""
        since, until = self.covered.get(account, (0.0, 0.0))
        return [one for one in news if not since <= one.at <= until]


def open_hooks(vendors: Vendors, store: Store) -> BrevoHooks:
    """Return what handles the deliveries of a workspace."""
    settings = vendors.settings
    return BrevoHooks(
        store,
        vendors.clock,
        vendors.open_brevo,
        key_name=str(settings.get("brevo.key-name") or ""),
        event=str(settings.get("brevo.feedback-event") or ""),
    )


async def _rest(clock: Clock, stop: asyncio.Event, seconds: float) -> None:
    tasks = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _drop_message(tx: Tx, items: Sequence[int]) -> list[None]:
    tx.run_many("drop_message", [{"id": number} for number in items])
    return [None] * len(items)


def name_delivery(account: str, connection: str, type: str, body: bytes) -> str:
    """Return the id under which a delivery is kept; the same body again is the same delivery."""
    return f"{account}/{connection}/{type}-{hashlib.blake2b(body, digest_size=16).hexdigest()}"


def _targets(one: News) -> list[Target]:
    """Return by what a contact is read: the address, else the key as whatever it may be."""
    if one.email:
        return [Target("email_id", one.email)]
    numbers = [Target("contact_id", one.key)] if one.key.isdecimal() else []
    return [*numbers, Target("ext_id", one.key)] if one.key else []


def _seen(record: Record, owned: frozenset[str], lists: frozenset[int]) -> Seen:
    """Return what is kept of a contact: hashes, made without what we write ourselves."""
    data = dict(record.data)
    data.pop("modifiedAt", None)
    data["attributes"] = {
        name: value
        for name, value in data["attributes"].items()
        if name not in owned and not name.startswith(OWNED_PREFIXES)
    }
    data["listIds"] = sorted(one for one in data["listIds"] if one not in lists)
    names = (data["email"], data["ext_id"], f"id:{data['id']}")
    return Seen(
        data["id"],
        tuple(name for name in names if name),
        hashlib.blake2b(_encode(data), digest_size=16).digest(),
        consent_of(data, PROFILING) == "blocklisted",
    )
