"""Writes to the emulated Brevo through the ledger, by processes that may die at any request."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brevo_desk import Desk

from penstock.base.errors import UnavailableError
from penstock.data.brevo import BrevoSink, Wish
from penstock.flows.delivery import KINDS, Delivery
from penstock.flows.kept import Effect, FinishedPage, PlannedWrites, hash_effect
from penstock.flows.state import FlowState
from penstock.runtime.effects import Effects
from penstock.runtime.store import Store
from penstock.vendor.http import Http

LISTS = {"Unhappy": (), "Risk": ("low", "high")}
WISHES = {"SENTIMENT_LABEL": Wish("category", ("bad", "good"))}
FIELDS = {"SENTIMENT_SCORE": "number", "SENTIMENT_LABEL": "category"}
MOST_COMMANDS = 8
"""How often the same command is given again when Brevo is down."""


class KilledError(BaseException):
    """The process dies."""


class Killer:
    """Lets the process die at one request, before Brevo gets it or after Brevo did it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.requests = 0
        self.kill_at: tuple[int, str] | None = None
        self.is_dead = False
        self.names: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.is_dead:  # what else was under way in that process ends with it
            raise KilledError
        self.requests += 1
        self.names.append(f"{scope['method']} {scope['path']}")
        if self.kill_at == (self.requests, "before"):
            self.is_dead = True
            raise KilledError
        if self.kill_at == (self.requests, "after"):
            self.is_dead = True
            await self._app(scope, receive, _swallow)
            raise KilledError
        await self._app(scope, receive, send)


async def _swallow(_message: Any) -> None:
    """Nobody is there any more to hear the answer."""


def effect(kind: str, name: str, match: dict[str, Any], fields: dict[str, Any]) -> Effect:
    return Effect(kind, name, match, fields, hash_effect(match, fields))


def effects_of(email: str, number: int, version: int, kinds: Sequence[str]) -> list[Effect]:
    """Return what one contact should come to, in a version of its data."""
    return [one for one in _all_effects_of(email, number, version) if one.kind in kinds]


def _all_effects_of(email: str, number: int, version: int) -> list[Effect]:
    match = {"email": email}
    mood = (number + version) % 3
    return [
        effect("attributes", email, match, {
            "SENTIMENT_SCORE": number + version / 10, "SENTIMENT_LABEL": ("bad", "good", "mixed")[mood],
        }),
        effect("list", f"{email}|Unhappy", match, {"list": "Unhappy", "member": mood == 0}),
        effect("list", f"{email}|Risk", match, {"list": "Risk", "member": (None, "low", "high")[mood]}),
        effect("event", f"{email}-{version}", match, {"name": "judged", "properties": {"key": f"{email}-{version}"}}),
        effect("order", f"o{number}", match, {
            "id": f"o{number}", "createdAt": "2026-11-19", "status": f"s{version}", "amount": number,
            "products": [{"productId": "p", "price": 1}],
        }),
        effect("product", f"p{number % 7}", {}, {"id": f"p{number % 7}", "name": f"Jacket {version}"}),
    ]  # fmt: skip


class Ledgered:
    """One account, one ledger, and one process after the other."""

    def __init__(self, folder: Path, people: int, kinds: Sequence[str] = KINDS, **desk: Any) -> None:
        self.kinds = kinds
        self.path = folder / "store.sqlite"
        self.desk = Desk(**desk)
        self.emails = self.desk.add_people(people)
        self.wanted: dict[str, int] = {}
        self.store: Store
        self.killer: Killer

    async def open(self) -> None:
        """Begin a process."""
        self.killer = Killer(self.desk.gateway)
        self.desk.http = Http(apps={"api.brevo.com": self.killer})
        self.store = await Store.open(self.path, self.desk.clock)
        self.state = FlowState(self.store, "flow")
        caller = self.desk.again()
        place = f"brevo:{self.desk.account.id}"
        effects = Effects(self.store, self.desk.clock, place)
        self.sink = BrevoSink(caller, self.desk.account, effects, wishes=WISHES, lists=LISTS)
        self.delivery = Delivery(self.state, self.sink, place, "brevo", self.desk.clock, lambda _: None)

    async def set_up(self) -> None:
        await self.open()
        await self.desk.clock.run(self.sink.create_missing(FIELDS))

    async def plan(self, version: int, emails: Sequence[str] | None = None) -> None:
        """Keep a page about these people, in a version of their data."""
        chosen = self.emails if emails is None else list(emails)
        number = {email: place for place, email in enumerate(self.emails)}
        effects = [one for email in chosen for one in effects_of(email, number[email], version, self.kinds)]
        self.wanted |= dict.fromkeys(chosen, version)
        writes = PlannedWrites(self.delivery.name, [], lambda _items: (effects, []))
        await self.state.finish_page(FinishedPage(f"run{version}", [], [], [writes], self.desk.clock.now()))

    async def deliver(self) -> None:
        """Write what is planned, as one command does."""

        async def work() -> None:
            failed = await self.delivery.recover() + await self.delivery.deliver(asyncio.Event())
            assert not failed, failed[:3]

        await self.desk.clock.run(work())

    async def persist(self) -> None:
        """Give the same command until nothing is left to do."""
        for _ in range(MOST_COMMANDS):
            try:
                await self.deliver()
            except UnavailableError:
                continue
            return
        raise AssertionError("still not done")

    async def die(self) -> None:
        """End the process without a word: what only it knew is lost."""
        await self.store.close()
        with sqlite3.connect(self.path) as connection:
            connection.execute("update effects set state = 'sent' where state = 'unknown'")
        connection.close()

    def check(self, versions: Sequence[int]) -> None:
        """Hold the account against everything that was planned."""
        state = self.desk.state
        lists = {one.name: one.id for one in state.lists.values()}
        assert len(lists) == len(state.lists)
        for number, contact in enumerate(state.by_creation):
            assert contact.email == self.emails[number]
            version = self.wanted[contact.email]
            mood = (number + version) % 3
            label = next(one for one in state.show(contact)["attributes"].items() if one[0] == "SENTIMENT_LABEL")
            assert contact.attributes["SENTIMENT_SCORE"] == number + version / 10
            assert state.attributes["SENTIMENT_LABEL"].options.get(str(label[1]), label[1]) == (
                "bad", "good", "mixed")[mood]  # fmt: skip
            assert (lists["Unhappy"] in contact.lists) == (mood == 0)
            assert [lists[f"Risk: {one}"] in contact.lists for one in ("low", "high")] == [mood == 1, mood == 2]
            if "order" in self.kinds:
                assert state.shop.orders[f"o{number}"].fields["status"] == f"s{version}"
        marks = [one.properties["key"] for one in state.events]
        judged = [f"{email}-{version}" for version in versions for email in self.emails]
        assert sorted(marks) == sorted(judged if "event" in self.kinds else [])
        assert len(state.contacts) == len(self.emails)
