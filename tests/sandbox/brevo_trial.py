"""A living Brevo account, a workspace that may die over it, and what must be true of both whatever happened."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from brevo_hearing import OUR_KEY, URL, Ear, Shop
from brevo_ledger import KilledError, Killer

from penstock.data.brevo_source import Account
from penstock.flows.engine import Report
from penstock.runtime.barred import Barred
from penstock.runtime.store import Store
from penstock.sandbox.brevo_account import Key
from penstock.sandbox.openai import build_openai_app
from penstock.vendor.http import Http
from penstock.vendors import SANDBOX_OPENAI
from penstock.workspace import Workspace

SANDBOX_KEY = "xkeysib-sandbox"
GOOD = "Lovely jacket, great service, thank you! Order {}."
BAD = "Terrible quality, awful service, I hate it. Order {}."
FLOW = {
    "name": "trial",
    "source": {"brevo": {}},
    "where": "${{ record.attributes.FEEDBACK }}",
    "consent": {"lists": [2]},
    "steps": [{"analyze-sentiment": {"text": "${{ record.attributes.FEEDBACK }}"}}],
    "sink": {
        "brevo": {
            "match": "${{ record.email }}",
            "create-contacts": True,
            "attributes": {"SENTIMENT_LABEL": "${{ sentiment.label }}"},
            "lists": {"Unhappy": "${{ sentiment.score < 0 }}"},
            "event": {"name": "judged", "properties": {"text": "${{ record.attributes.FEEDBACK }}"}},
        }
    },
}


class Trial(Shop):
    """The account with its people, and the commands of one workspace, each in a process of its own that may be killed.

    `letters` are the webhooks on their way. `wrong` collects what must never happen, as it happens.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(per_list_unsubscription=True)
        self.state.account.keys[SANDBOX_KEY] = Key("penstock")
        self.folder = folder
        self.path = folder / "flow.yaml"
        self.path.write_text(json.dumps(FLOW))
        self.letters: list[tuple[str, bytes]] = []
        self.wrong: list[str] = []
        self.refusing: dict[str, int] = {}
        """Who objects: address and id of the contact."""
        self.gone: set[str] = set()
        self.killer: Killer | None = None
        self.openai = build_openai_app(self.world)
        self.state.add_attribute("FEEDBACK")
        self.news = self.state.add_list("News").id
        self.others = self.state.add_list("Others").id
        assert (self.news, self.others) == (1, 2)

    async def _deliver(self, url: str, _headers: dict[str, str], body: bytes) -> int:
        hook = next((one for one in self.state.outbox.hooks.values() if one.address()[0] == url), None)
        self.letters.append((hook.type if hook else "marketing", body))
        return 204

    # what is asked of the vendors

    def watch(self, app: Any) -> Any:
        """Look into every request on its way to a vendor, before it is killed or answered."""

        async def look(scope: Any, receive: Any, send: Any) -> None:
            parts: list[bytes] = []
            while True:
                message = await receive()
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    break
            body, is_read = b"".join(parts), False
            self.check_request(scope["method"], unquote(scope["path"]), body.decode("utf-8", "replace"))

            async def again() -> Any:
                nonlocal is_read
                if is_read:
                    return await receive()
                is_read = True
                return {"type": "http.request", "body": body}

            await app(scope, again, send)

        return look

    def check_request(self, method: str, path: str, body: str) -> None:
        if method == "GET" or path.endswith("/contacts/remove"):
            return
        if '"emailBlacklisted"' in body or '"smsBlacklisted"' in body:
            self.wrong.append(f"a blocklist flag: {method} {path}")
        for email, number in self.refusing.items():
            name = email.partition("@")[0]
            is_about = email in path or f'"{email}"' in body or re.search(rf"Order {name}\b", body)
            if is_about or re.search(rf'"contact_id": ?{number}\b', body):
                self.wrong.append(f"{email} was used: {method} {path} {body[:300]}")

    @asynccontextmanager
    async def open(self, kill_at: tuple[int, str] | None = None) -> Any:
        """Begin a process; it dies at one of its requests."""
        over = {"sandbox": True}
        async with Workspace.open(self.folder, overrides=over, environ={}, clock=self.clock, command="test") as made:
            self.killer = Killer(self._route)
            self.killer.kill_at = kill_at
            app = self.watch(self.killer)
            await made.vendors.http.close()
            made.vendors.http = Http(apps={SANDBOX_OPENAI: app, "api.brevo.com": app})
            yield made

    async def _route(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.app if "/v3/" in scope["path"] else self.openai
        await app(scope, receive, send)

    async def run(self, kill_at: tuple[int, str] | None = None) -> Report | None:
        """Run the flow; None when its process died."""
        try:
            async with self.open(kill_at) as workspace:
                report: Report = await workspace.run(self.path, apply_schema=True)
            if self.killer is not None and not self.killer.is_dead:
                return report
        except KilledError:
            pass
        except BaseExceptionGroup as group:
            if group.split(KilledError)[1] is not None:
                raise
        self._lose_memory()
        return None

    def _lose_memory(self) -> None:
        """Take back what a dying process could not have noted."""
        with sqlite3.connect(self.folder / ".penstock" / "sandbox.sqlite") as connection:
            connection.execute("update effects set state = 'sent' where state = 'unknown'")
        connection.close()

    @asynccontextmanager
    async def hear(self) -> Any:
        """Open the ear of the workspace."""
        store = await Store.open(self.folder / ".penstock" / "sandbox.sqlite", self.clock, "test")
        try:
            yield Ear(self, store)
        finally:
            await store.close()

    async def listen(self) -> None:
        """Make the webhooks of the workspace."""
        async with self.hear() as ear:
            await ear.webhooks.create(URL, ["marketing", "transactional"])

    async def take(self, letters: list[tuple[str, bytes]]) -> None:
        """Deliver some webhooks, and deal with them."""
        async with self.hear() as ear:
            for kind, body in letters:
                await ear.take(kind, body)
            await ear.handle()

    async def reconcile(self) -> None:
        async with self.hear() as ear:
            await ear.hooks.reconcile("brevo", full=True)

    async def object_here(self, email: str) -> None:
        """Note an objection in the workspace itself."""
        async with self.hear() as ear:
            await Barred(ear.store).add([email], "objected", self.clock.now())

    async def settle_down(self) -> None:
        """Give the same command until it ends well with nothing left to write."""
        self.world.faults.clear()
        await self.reconcile()
        for _ in range(12):
            report = await self.run()
            assert report is not None
            if report.problem is None and not report.counts.planned:
                return
        raise AssertionError(f"still not done: {report}")

    # what must be true

    def check(self) -> None:
        """Hold the account against its people, when all is quiet."""
        assert not self.wrong, self.wrong[:5]
        state = self.state
        assert not state.lifted
        assert not self.gone & {contact.email for contact in state.by_creation}
        unhappy = next((one.id for one in state.lists.values() if one.name == "Unhappy"), 0)
        marks = [json.dumps(one.properties, sort_keys=True) for one in state.events]
        assert len(set(marks)) == len(marks), "an event was told twice"
        for contact in state.by_creation:
            text = contact.attributes.get("FEEDBACK", "")
            if contact.email in self.refusing or not text:
                continue
            is_bad = text.startswith("Terrible")
            assert contact.attributes.get("SENTIMENT_LABEL") == ("negative" if is_bad else "positive"), contact.email
            assert (unhappy in contact.lists) == is_bad, contact.email
            told = [one.properties.get("text") for one in state.events_of.get(contact.id, ())]
            assert text in told, contact.email
        for contact in state.by_creation:
            assert not set(contact.unsubscribed) & set(contact.lists) - {self.news, self.others}, contact.email


Work = Callable[[], Awaitable[Any]]
__all__ = ["OUR_KEY", "Account", "Trial"]
