"""Feedback over HTTP: signed, fresh, kept before the answer, once however often and by whatever road it comes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from service import Answered, Client, open_service

from penstock.base.clock import ManualClock
from penstock.runtime.feedback import Feedback
from penstock.server.feedback import WINDOW_SECONDS, sign

SECRET, NEXT = "a long secret of the shop", "the-next-one-of-the-shop"
SETTINGS = {"feedback.webhook-secret": SECRET.replace(" ", "-")}
KEY = SETTINGS["feedback.webhook-secret"]
ONE = {"id": 7, "text": "Good", "email": "Anna@X.org", "at": "2026-11-01T10:00:00Z", "stars": 5}


async def send(
    client: Client,
    body: Any = ONE,
    *,
    secret: str = KEY,
    age: int = 0,
    target: str = "/v1/feedback?source=reviews",
    **more: str,
) -> Answered:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = int(client.app.workspace.clock.now()) - age
    client.token = ""
    headers = {"penstock_signature": sign(at, content, secret), "content_type": "application/json", **more}
    return await client.post(target, content, **headers)


async def rows(client: Client) -> list[Any]:
    return await Feedback(client.app.workspace.store, client.app.workspace.clock).page()


async def test_signed_feedback_is_kept_once(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(), **SETTINGS) as client:
        assert (await send(client)).json() == {"added": 1, "known": 0, "refused": []}
        assert (await send(client)).json() == {"added": 0, "known": 1, "refused": []}
        (row,) = await rows(client)
        assert (row.id, row.contact, row.text, row.extra) == ("reviews:7", "anna@x.org", "Good", {"stars": 5})
        assert row.happened_at == 1_793_527_200.0


async def test_every_good_record_is_taken_and_every_other_one_named(tmp_path: Path) -> None:
    lines = b"""{"text": "one", "id": 1}
not json
{"text": ""}
[1]
{"text": "two", "at": "yesterday"}
{"text": "3", "source": "S"}"""
    async with open_service(tmp_path, ManualClock(), **SETTINGS) as client:
        answered = await send(client, lines, content_type="application/x-ndjson")
        assert answered.status == 202
        assert answered.json()["added"] == 2
        found = [(one["index"], one["problem"]["code"]) for one in answered.json()["refused"]]
        assert found == [
            (1, "request.not-json"),
            (2, "feedback.no-text"),
            (3, "request.not-an-object"),
            (4, "feedback.bad-time"),
        ]
        assert (await send(client, [{"text": " "}])).status == 422
        assert {row.source for row in await rows(client)} == {"reviews", "s"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret": "of a stranger"}, "feedback.bad-signature"),
        ({"penstock_signature": ""}, "feedback.unsigned"),
        ({"penstock_signature": "t=1,t=2,v1=00"}, "feedback.unsigned"),
        ({"penstock_signature": "t=99999999999999,v1=00"}, "feedback.unsigned"),
        ({"penstock_signature": "v1=00"}, "feedback.unsigned"),
        ({"age": WINDOW_SECONDS + 1}, "feedback.too-old"),
        ({"age": -WINDOW_SECONDS - 1}, "feedback.too-old"),
    ],
)
async def test_what_was_not_signed_just_now_is_refused(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    async with open_service(tmp_path, ManualClock(), **SETTINGS) as client:
        answered = await send(client, **change)
        assert (answered.status, answered.problem["code"]) == (400, code)
        assert await rows(client) == []


async def test_a_changed_body_does_not_fit_its_signature(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(), **SETTINGS) as client:
        signature = sign(int(client.app.workspace.clock.now()), b'{"text": "Good"}', KEY)
        answered = await send(client, b'{"text": "Bad"}', penstock_signature=signature)
        assert answered.problem["code"] == "feedback.bad-signature"


async def test_while_a_secret_is_rotated_both_are_good(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(), **{"feedback.webhook-secret": f"{KEY} {NEXT}"}) as client:
        assert [(await send(client, {**ONE, "id": key}, secret=key)).status for key in (KEY, NEXT)] == [202, 202]
        at = int(client.app.workspace.clock.now())
        good, content = sign(at, b'{"text": "x"}', KEY).partition(",")[2], b'{"text": "x"}'
        answered = await send(client, content, penstock_signature=f"t={at},v1={'0' * 64},{good}")
        assert answered.status == 202


async def test_without_a_secret_none_is_taken(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock()) as client:
        answered = await send(client)
        assert (answered.status, answered.problem["code"]) == (400, "feedback.no-secret")


async def test_feedback_that_cannot_be_kept_is_asked_for_again(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(), **SETTINGS) as client:
        place = client.app.workspace.store.place
        with sqlite3.connect(place) as other:
            other.execute("create trigger no_room before insert on feedback begin select raise(fail, 'no room'); end")
        other.close()
        answered = await send(client)
        assert answered.status == 429
        assert answered.problem["code"].startswith("store.")
        assert int(answered.headers["retry-after"]) > 0
        with sqlite3.connect(place) as other:
            other.execute("drop trigger no_room")
        other.close()
        assert (await send(client)).status == 202
