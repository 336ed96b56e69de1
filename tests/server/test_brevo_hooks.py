"""Brevo's webhooks over HTTP: secret path and token, on disk before the answer, 429 for our trouble, never a 5xx."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from service import Answered, Client, open_service

from penstock.base.clock import ManualClock
from penstock.base.errors import SettingsError
from penstock.data.brevo_source import read_account
from penstock.data.brevo_webhooks import Webhooks
from penstock.runtime.barred import Barred
from penstock.runtime.feedback import Feedback
from penstock.runtime.hooks import Hooks
from penstock.sandbox.brevo_inbox import receive_mail, say
from penstock.sandbox.brevo_people import add_conversations_webhook, delete, opt_out

PATH, TOKEN = "a" * 40, "b" * 40
ADDRESS = f"/webhooks/brevo/{PATH}"
BODY = json.dumps({"event": "opened", "email": "anna@x.org", "id": 1, "ts": 5}).encode()
GOOD = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
QUIET = {"brevo.reconcile-minutes": 0}


async def save_hook(client: Client) -> None:
    hooks = Hooks(client.app.workspace.store, client.app.workspace.clock)
    await hooks.save("org", "marketing", "brevo", PATH, TOKEN, 1)


async def post(client: Client, address: str = ADDRESS, body: bytes = BODY, **headers: str) -> Answered:
    client.token = ""
    return await client.post(address, body, **{**GOOD, **headers})


async def test_a_delivery_with_path_and_token_is_kept_once(tmp_path: Path) -> None:
    async with open_service(tmp_path, **QUIET) as client:
        await save_hook(client)
        for _ in range(3):
            assert (await post(client)).status == 204
        basic = base64.b64encode(f"penstock:{TOKEN}".encode()).decode()
        assert (await post(client, body=b"{}", authorization=f"Basic {basic}")).status == 204
        counts = await client.app.inbox.counts()
        assert sum(counts.values()) == 2


@pytest.mark.parametrize(
    ("address", "authorization"),
    [
        (ADDRESS, ""),
        (ADDRESS, "Bearer " + "c" * 40),
        (ADDRESS, "Bearer"),
        (ADDRESS, "Basic !!!"),
        (ADDRESS, "Basic " + base64.b64encode(b"\xff\xfe").decode()),
        ("/webhooks/brevo/" + "d" * 40, f"Bearer {TOKEN}"),
        ("/webhooks/brevo/" + TOKEN, f"Bearer {PATH}"),
    ],
)
async def test_whoever_lacks_either_is_refused_and_nothing_is_kept(
    tmp_path: Path, address: str, authorization: str
) -> None:
    async with open_service(tmp_path, **QUIET) as client:
        await save_hook(client)
        answered = await post(client, address, authorization=authorization)
        assert (answered.status, answered.problem["code"]) == (400, "webhook.bad-token")
        assert await client.app.inbox.counts() == {}


async def test_a_webhook_that_was_made_just_now_is_known_and_a_removed_one_is_not(tmp_path: Path) -> None:
    async with open_service(tmp_path, **QUIET) as client:
        assert (await post(client)).status == 400
        await save_hook(client)
        assert (await post(client)).status == 204


@pytest.mark.parametrize(("ranges", "status"), [("10.0.0.0/8", 403), ("10.0.0.0/8, 127.0.0.0/8", 204), ("", 204)])
async def test_only_addresses_of_the_ranges_may_deliver(tmp_path: Path, ranges: str, status: int) -> None:
    async with open_service(tmp_path, **{"brevo.webhook-ranges": ranges, **QUIET}) as client:
        await save_hook(client)
        assert (await post(client)).status == status


async def test_ranges_that_are_none_stop_the_service_from_starting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="webhook-ranges"):
        async with open_service(tmp_path, **{"brevo.webhook-ranges": "everybody"}):
            pass


@contextmanager
def no_room(client: Client, *tables: str) -> Iterator[None]:
    """Let nothing be written into some tables."""
    place = client.app.workspace.store.place
    with sqlite3.connect(place) as other:
        for table in tables:
            other.execute(
                f"create trigger no_room_{table} before insert on {table} begin select raise(fail, 'no room'); end"
            )
    other.close()
    yield
    with sqlite3.connect(place) as other:
        for table in tables:
            other.execute(f"drop trigger no_room_{table}")
    other.close()


async def test_what_cannot_be_kept_is_asked_for_again(tmp_path: Path) -> None:
    async with open_service(tmp_path, **QUIET) as client:
        await save_hook(client)
        with no_room(client, "inbox"):
            answered = await post(client)
            assert (answered.status, answered.problem["code"]) == (429, "webhook.not-kept")
            assert answered.headers["retry-after"] == "30"
        assert (await post(client)).status == 204


async def test_while_the_service_stops_deliveries_are_kept_and_events_asked_for_again(tmp_path: Path) -> None:
    async with open_service(tmp_path, **QUIET) as client:
        await save_hook(client)
        client.app.drain()
        answered = await client.post("/v1/events?mapping=openai-event", [{"id": "o1"}])
        assert (answered.status, answered.problem["code"]) == (429, "service.draining")
        assert (await client.get("/v1/runs")).status == 503
        assert (await post(client)).status == 204


async def test_what_cannot_be_looked_up_is_asked_for_again(tmp_path: Path) -> None:
    async with open_service(tmp_path, **QUIET) as client:
        await save_hook(client)
        assert (await post(client)).status == 204
        with sqlite3.connect(client.app.workspace.store.place) as other:
            other.execute("alter table hooks rename to gone")
        other.close()
        assert (await post(client, authorization="Bearer x")).status == 429
        with sqlite3.connect(client.app.workspace.store.place) as other:
            other.execute("alter table gone rename to hooks")
        other.close()


class Account:
    """The emulated account in the service's process, whose deliveries come to the service."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.workspace = client.app.workspace
        self.state = self.workspace.vendors.account
        self.state.behaviour.webhook_spread = 0.0
        self.statuses: list[int] = []

    async def listen(self) -> None:
        caller = self.workspace.vendors.open_brevo()
        hooks = Hooks(self.workspace.store, self.workspace.clock)
        webhooks = Webhooks(caller, await read_account(caller), "brevo", hooks)
        await webhooks.create("https://hooks.example.com", ["marketing", "inbound"], domain="reply.example.com")
        made = await webhooks.create("https://hooks.example.com", ["conversations"])
        add_conversations_webhook(self.state, made[0].url)

    async def deliver(self) -> None:
        await self.state.outbox.deliver_due(self._post)

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.client.token = ""
        answered = await self.client.post(urlsplit(url).path, body, **headers)
        self.statuses.append(answered.status)
        return answered.status


async def test_what_happens_at_brevo_arrives(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work() -> Any:
        async with open_service(tmp_path, clock, **QUIET) as client:
            account = Account(client)
            for name in ("anna", "bert", "carl"):
                account.state.add_contact(f"{name}@x.org")
            await account.listen()
            anna, bert, carl = account.state.by_creation
            opt_out(account.state, anna)
            delete(account.state, bert)
            say(account.state, carl, "Where is it?")
            receive_mail(account.state, "carl@x.org", "help@reply.example.com", "Late", "Too late")
            await account.deliver()
            store = client.app.workspace.store
            while {state for _, state in await client.app.inbox.counts()} != {"done"}:
                await clock.sleep(1)
            barred = await Barred(store).find(["anna@x.org", "bert@x.org", "carl@x.org"])
            said = sorted(row.text for row in await Feedback(store, clock).page())
            return account.statuses, barred, said

    statuses, barred, said = await clock.run(work())
    assert set(statuses) == {204}
    assert barred == {"anna@x.org": "objected", "bert@x.org": "forgotten"}
    assert said == ["Too late", "Where is it?"]


async def test_the_service_itself_finds_what_was_never_delivered(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work() -> Any:
        async with open_service(tmp_path, clock) as client:
            account = Account(client)
            account.state.add_contact("anna@x.org")
            await account.listen()
            await clock.sleep(3600)
            opt_out(account.state, account.state.by_creation[0])
            account.state.outbox.letters.clear()
            await clock.sleep(3600)
            return await Barred(client.app.workspace.store).find(["anna@x.org"])

    assert await clock.run(work()) == {"anna@x.org": "objected"}
