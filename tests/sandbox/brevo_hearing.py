"""A workspace that listens to an emulated Brevo account; deliveries go into its inbox, or wherever a test puts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.base.clock import ManualClock
from penstock.base.errors import StoppedError
from penstock.brevo_hooks import BrevoHooks, name_delivery
from penstock.data.brevo_payloads import is_urgent
from penstock.data.brevo_source import Account
from penstock.data.brevo_webhooks import Webhooks
from penstock.runtime.barred import Barred
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.feedback import Feedback
from penstock.runtime.heard import Heard
from penstock.runtime.hooks import Hooks
from penstock.runtime.inbox import Inbox
from penstock.runtime.store import Store
from penstock.sandbox.brevo import build_brevo_app
from penstock.sandbox.brevo_account import Key
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.brevo_people import add_conversations_webhook
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.world import Fault, World
from penstock.vendor.brevo import Brevo
from penstock.vendor.http import Http

TYPES = ("marketing", "transactional", "inbound", "conversations")
OUR_KEY, OTHER_KEY = "xkeysib-penstock-0123", "xkeysib-crm-0123"
URL = "https://hooks.example.com"


class Shop:
    """The account, and what it sent; `answers` are the statuses of the next deliveries."""

    def __init__(self, *, seed: int = 7, **settings: Any) -> None:
        self.clock = ManualClock()
        self.world = World(self.clock, seed=seed)
        self.state = BrevoState(self.world, **settings)
        self.state.account.keys |= {OUR_KEY: Key("penstock"), OTHER_KEY: Key("crm")}
        self.sent: list[tuple[str, dict[str, str], bytes]] = []
        self.ears: list[Ear] = []
        limits = BrevoLimits(enabled=False)
        self.app = build_brevo_app(self.world, state=self.state, limits=limits, deliver=self._deliver)
        self.http = Http(apps={"api.brevo.com": self.app})

    def caller(self, key: str = OUR_KEY) -> BrevoCaller:
        return BrevoCaller(Brevo(self.http, key), self.clock)

    def fault(self, operation: str, kind: str, **rest: Any) -> None:
        self.world.faults.append(Fault("brevo", operation, kind, **rest))  # type: ignore[arg-type]

    async def write(self, email: str, key: str = OTHER_KEY, **attributes: Any) -> None:
        """Change a contact with an API key."""
        await self.caller(key).call("contacts.update", path={"identifier": email}, body={"attributes": attributes})

    async def settle(self, seconds: float = 60.0) -> None:
        """Let what is on its way arrive."""
        self.app.ticker.watch()
        await self.clock.sleep(seconds)

    async def _deliver(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.sent.append((url, headers, body))
        hook = next((one for one in self.state.outbox.hooks.values() if one.address()[0] == url), None)
        if not self.ears:
            raise ConnectionRefusedError(url)
        try:
            for ear in list(self.ears):
                await ear.take(hook.type if hook else "marketing", body)
        except StoppedError as error:  # its process ended just now
            raise ConnectionRefusedError(url) from error
        return 204

    def deliveries(self) -> list[tuple[str, bytes]]:
        """Return everything that was sent: type and body."""
        types = {one.address()[0]: one.type for one in self.state.outbox.hooks.values()}
        return [(types[url], body) for url, _, body in self.sent]


class Ear:
    """One workspace of the shop."""

    def __init__(self, shop: Shop, store: Store, *, key_name: str = "penstock") -> None:
        self.shop = shop
        self.store = store
        self.account = Account(shop.state.organization, "Sandbox", "free")
        caller = shop.caller()
        self.hooks = BrevoHooks(store, shop.clock, lambda _: caller, key_name=key_name)
        self.inbox = Inbox(store, shop.clock)
        for one in TYPES:
            self.inbox.register("brevo", one, self.hooks.handle)
        self.webhooks = Webhooks(caller, self.account, "brevo", Hooks(store, shop.clock))
        self.feedback = Feedback(store, shop.clock)

    async def take(self, kind: str, body: bytes) -> bool:
        name = name_delivery(self.account.id, "brevo", kind, body)
        return await self.inbox.put("brevo", name, kind, body, urgent=is_urgent(body))

    async def handle(self) -> None:
        while await self.inbox.handle_due():
            pass

    async def listen(self) -> None:
        """Have every kind of webhook, and hear at once."""
        await self.webhooks.create(URL, ["marketing", "transactional"])
        await self.webhooks.create(URL, ["inbound"], domain="reply.example.com")
        made = await self.webhooks.create(URL, ["conversations"])
        add_conversations_webhook(self.shop.state, made[0].url)
        self.shop.ears.append(self)

    async def changed(self) -> set[int]:
        return {one.contact for one in await self.hooks.changed_contacts(self.account.id, 0)}

    async def barred(self, *names: str) -> dict[str, str]:
        return dict(await Barred(self.store).find(names))

    async def said(self) -> list[str]:
        return sorted(row.text for row in await self.feedback.page())

    async def look(self, names: list[str]) -> dict[str, Any]:
        """Return the whole state that deliveries can change."""
        return {
            "barred": await self.barred(*names),
            "changed": await self.changed(),
            "said": [
                (row.id, row.contact, row.text) for row in sorted(await self.feedback.page(), key=lambda one: one.id)
            ],
            "seen": {one.contact for one in await Heard(self.store, self.shop.clock).missed(self.account.id, 1 << 60)},
        }


@asynccontextmanager
async def open_ear(shop: Shop, place: Path | str, **options: Any) -> AsyncIterator[Ear]:
    store = await Store.open(place, shop.clock, "test")
    ear = Ear(shop, store, **options)
    try:
        yield ear
    finally:
        shop.ears = [one for one in shop.ears if one is not ear]
        await store.close()
