"""Attacks on what stands open to others: addresses inside the network, bombs, twisted bodies, forged senders."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from service import Answered, Client, open_service

from penstock.runtime.feedback import Feedback
from penstock.runtime.hooks import Hooks
from penstock.server.feedback import sign

SECRET = "a-long-random-text-of-a-test"
PATH, TOKEN = "a" * 40, "b" * 40

INSIDE = [
    "https://127.0.0.1/x.png",
    "https://localhost/x.png",
    "https://[::1]/x.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1/x.png",
    "https://[::ffff:10.0.0.1]/x.png",
    "https://0x7f000001/x.png",
    "https://2130706433/x.png",
    "https://127.1/x.png",
    "https://user:pass@127.0.0.1/x.png",
    "http://127.0.0.1/x.png",
    "file:///etc/hostname",
    "gopher://127.0.0.1:6379/_x",
]

DEEP = [
    b"[" * 100_000,
    b'{"text":' * 20_000 + b'"x"' + b"}" * 20_000,
    b'{"text": "x", "extra": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"text": "\\ud800"}',
    b'{"text": "x", "at": 1e400}',
    b'{"text": "x", "at": "2026-11-20T10:00:00Z", "id": ' + b"9" * 5_000 + b"}",
    b'{"text": "x", "__class__": 1, "source": "../../etc"}',
    b"\xff\xfe\x00",
    b"",
]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    given: dict[str, Any] = {"feedback.webhook-secret": SECRET, "brevo.reconcile-minutes": 0}
    async with open_service(tmp_path, **given) as client:
        yield client


async def give(client: Client, content: bytes, kind: str = "application/json") -> Answered:
    signed = sign(int(client.app.workspace.clock.now()), content, SECRET)
    return await client.post("/v1/feedback", content, penstock_signature=signed, content_type=kind)


@pytest.mark.parametrize("url", INSIDE)
async def test_no_address_inside_the_network_is_fetched(client: Client, url: str) -> None:
    body = {"input": {"text": "Paint it blue", "images": [url]}}
    answered = await client.post("/v1/operations/edit-image", body)
    assert answered.status in (400, 422), answered.body
    assert answered.problem["code"] in ("operation.bad-input", "file.not-fetched", "address.not-public")


@pytest.mark.parametrize("content", DEEP)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_a_twisted_body_is_a_problem_and_never_a_defect(client: Client, content: bytes, kind: str) -> None:
    answered = await give(client, content, kind)
    assert answered.status in (202, 400, 413, 415, 422), answered.body
    assert client.defects == []


@pytest.mark.parametrize("content", DEEP)
async def test_a_twisted_delivery_of_a_webhook_is_kept_and_put_aside(client: Client, content: bytes) -> None:
    hooks = Hooks(client.app.workspace.store, client.app.workspace.clock)
    await hooks.save("org", "marketing", "brevo", PATH, TOKEN, 1)
    client.token = ""
    answered = await client.post(f"/webhooks/brevo/{PATH}", content, authorization=f"Bearer {TOKEN}")
    assert answered.status in (204, 400, 429)
    assert client.defects == []


async def test_a_signature_of_another_address_is_good_for_nothing_else(client: Client) -> None:
    """What was signed as feedback opens neither operations nor events nor webhooks."""
    content = json.dumps({"text": "x"}).encode()
    signed = sign(int(client.app.workspace.clock.now()), content, SECRET)
    client.token = ""
    for address in ("/v1/operations/respond", "/v1/events", "/v1/connections", "/webhooks/brevo/x", "/webhooks/openai"):
        answered = await client.post(address, content, penstock_signature=signed, content_type="application/json")
        assert answered.status in (400, 401, 403), (address, answered.body)


async def test_texts_over_http_are_data_and_never_expressions(client: Client) -> None:
    text = "${{ record.secret }} {{ 7 * 7 }} {% if 1 %}"
    assert (await give(client, json.dumps({"text": text, "id": "1"}).encode())).status == 202
    (row,) = await Feedback(client.app.workspace.store, client.app.workspace.clock).page()
    assert row.text == text


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is so large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    packed = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 0)])
async def test_a_picture_that_unfolds_to_gigabytes_is_never_unfolded(client: Client, size: tuple[int, int]) -> None:
    picture = b64encode(bomb(*size)).decode()
    body = {"input": {"text": "Paint it blue", "images": [{"base64": picture}]}}
    answered = await client.post("/v1/operations/edit-image", body)
    assert answered.status < 500, answered.body
    assert client.defects == []
