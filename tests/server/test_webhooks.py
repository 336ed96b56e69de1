"""Webhooks over HTTP: signed, kept before they are acknowledged, handled once, never answered with 5xx."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path

import pytest
from service import Answered, Client, open_service

from penstock.base.clock import ManualClock
from penstock.runtime.inbox import Message
from penstock.vendor.openai_webhooks import sign

SECRET = "whsec_" + base64.b64encode(b"a secret of this very endpoint").decode()
OLD = "whsec_" + base64.b64encode(b"the one before it").decode()
BODY = json.dumps({"object": "event", "id": "evt_1", "type": "batch.completed", "data": {"id": "batch_1"}}).encode()


async def deliver(
    client: Client, message: str = "wh_1", *, secret: str = SECRET, age: int = 0, **more: str
) -> Answered:
    at = int(client.app.workspace.clock.now()) - age
    headers = {
        "webhook_id": message,
        "webhook_timestamp": str(at),
        "webhook_signature": sign(message, at, BODY, secret),
        "content_type": "application/json",
    }
    client.token = ""
    return await client.post("/webhooks/openai", BODY, **{**headers, **more})


async def test_a_signed_message_is_kept_handled_and_recognised_when_it_comes_again(tmp_path: Path) -> None:
    seen: list[Message] = []

    async def handle(message: Message) -> None:
        seen.append(message)

    clock = ManualClock()

    async def work() -> None:
        async with open_service(tmp_path, clock, **{"openai.webhook-secret": f"{SECRET} {OLD}"}) as client:
            client.app.inbox.register("openai", "batch.completed", handle)
            for _ in range(3):
                assert (await deliver(client)).status == 204
            assert (await deliver(client, "wh_2", secret=OLD)).status == 204
            while len(seen) < 2:
                await clock.sleep(1)

    await clock.run(work())
    assert [(message.message, message.body) for message in seen] == [("wh_1", BODY), ("wh_2", BODY)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret": "whsec_" + base64.b64encode(b"a stranger's").decode()}, "webhook.bad-signature"),
        ({"age": 301}, "webhook.too-old"),
        ({"age": -301}, "webhook.too-new"),
        ({"webhook_signature": ""}, "webhook.unsigned"),
        ({"webhook_id": "wh_other"}, "webhook.bad-signature"),
    ],
)
async def test_what_openai_did_not_sign_just_now_is_refused_and_not_kept(
    tmp_path: Path, change: dict[str, object], code: str
) -> None:
    async with open_service(tmp_path, ManualClock(), **{"openai.webhook-secret": SECRET}) as client:
        answered = await deliver(client, **change)  # type: ignore[arg-type]
        assert (answered.status, answered.problem["code"]) == (400, code)
        assert await client.app.inbox.counts() == {}


async def test_without_a_secret_every_message_is_refused(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        answered = await deliver(client)
        assert (answered.status, answered.problem["code"]) == (400, "webhook.no-secret")


async def test_a_message_that_cannot_be_kept_is_asked_for_again(tmp_path: Path) -> None:
    async with open_service(tmp_path, **{"openai.webhook-secret": SECRET}) as client:
        place = client.app.workspace.store.place
        with sqlite3.connect(place) as other:
            other.execute("create trigger no_room before insert on inbox begin select raise(fail, 'no room'); end")
        other.close()
        answered = await deliver(client)
        assert (answered.status, answered.problem["code"]) == (429, "webhook.not-kept")
        assert answered.headers["retry-after"] == "30"
        with sqlite3.connect(place) as other:
            other.execute("drop trigger no_room")
        other.close()
        assert (await deliver(client)).status == 204


async def test_a_vendor_that_is_not_known_has_no_address(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        assert (await client.post("/webhooks/nobody", b"{}")).status == 404
