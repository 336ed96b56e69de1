"""The official OpenAI SDK, with strict response validation, on files, uploads, batches and webhooks of the sandbox."""

import asyncio
import hashlib
import json

import openai
import pytest

from openai_server import OpenAIServer, make_check, without_nulls
from penstock.sandbox.world import Fault, Latency


@pytest.fixture(scope="module")
def server():
    with OpenAIServer() as server:
        server.world.latency["openai.batches"] = Latency(mean=0.05)
        yield server


@pytest.fixture(scope="module")
def conforms():
    return make_check()


@pytest.fixture
async def client(server):
    server.world.reset()
    async with server.client() as client:
        yield client


def write_lines(*bodies, url="/v1/responses"):
    rows = [{"custom_id": f"row-{at}", "method": "POST", "url": url, "body": body} for at, body in enumerate(bodies)]
    return ("\n".join(map(json.dumps, rows)) + "\n").encode()


async def run_batch(client, content, endpoint="/v1/responses", **options):
    stored = await client.files.create(file=("input.jsonl", content), purpose="batch")
    batch = await client.batches.create(input_file_id=stored.id, endpoint=endpoint, completion_window="24h", **options)
    assert batch.status == "validating"
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        await asyncio.sleep(0.01)
        batch = await client.batches.retrieve(batch.id)
    return batch


async def read_lines(client, identity):
    content = await client.files.content(identity)
    return {row["custom_id"]: row for row in map(json.loads, content.text.splitlines())}


async def test_files_are_uploaded_listed_read_and_deleted(client, conforms):
    raw = await client.files.with_raw_response.create(
        file=("rows.jsonl", b'{"a": 1}\n'), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    stored = raw.parse()
    conforms("OpenAIFile", raw.http_response.json())
    assert stored.expires_at - stored.created_at == 3600
    others = [await client.files.create(file=(f"{at}.png", b"\x89PNG"), purpose="vision") for at in range(3)]
    listed = [one.id async for one in client.files.list(purpose="vision", limit=2)]
    assert listed == [one.id for one in reversed(others)]
    page = await client.files.with_raw_response.list(limit=2)
    conforms("ListFilesResponse", page.http_response.json())
    assert (await client.files.content(stored.id)).content == b'{"a": 1}\n'
    assert (await client.files.retrieve(stored.id)).filename == "rows.jsonl"
    assert (await client.files.delete(stored.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(stored.id)


async def test_a_large_file_comes_in_parts(client, conforms):
    content = b'{"row": 1}\n' * 1_000
    upload = await client.uploads.upload_file_chunked(
        file=content,
        filename="rows.jsonl",
        bytes=len(content),
        mime_type="text/jsonl",
        purpose="batch",
        part_size=4_000,
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
    )
    assert upload.status == "completed"
    assert (await client.files.content(upload.file.id)).content == content
    conforms("Upload", without_nulls(upload.model_dump()))
    other = await client.uploads.create(filename="a.jsonl", bytes=10, mime_type="text/jsonl", purpose="batch")
    assert (await client.uploads.cancel(other.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        await client.uploads.parts.create(other.id, data=b"0123456789")


async def test_a_batch_ends_with_an_answer_per_line(client, server, conforms):
    content = write_lines(*({"model": "gpt-6-luna", "input": f"Order {at} is great"} for at in range(20)))
    options = {"metadata": {"run": "7"}, "output_expires_after": {"anchor": "created_at", "seconds": 7200}}
    conforms(
        "CreateBatchRequest",
        {"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h", **options},
    )
    batch = await run_batch(client, content, **options)
    assert batch.status == "completed"
    assert batch.model == "gpt-6-luna"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (20, 20, 0)
    assert batch.error_file_id is None
    rows = await read_lines(client, batch.output_file_id)
    assert sorted(rows) != list(rows)
    assert set(rows) == {f"row-{at}" for at in range(20)}
    bodies = [row["response"]["body"] for row in rows.values()]
    assert {body["object"] for body in bodies} == {"response"}
    assert sum(body["usage"]["total_tokens"] for body in bodies) == batch.usage.total_tokens
    assert server.world.billed_calls == {"batch.responses": 20}
    conforms("Batch", without_nulls(batch.model_dump()))
    page = await client.batches.with_raw_response.list(limit=1)
    conforms("ListBatchesResponse", without_nulls(page.http_response.json()))


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/chat/completions", {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}),
        ("/v1/moderations", {"input": "Hello"}),
        ("/v1/images/generations", {"model": "gpt-image-2", "prompt": "A kite", "quality": "low"}),
    ],
)
async def test_every_endpoint_of_the_contract_runs_in_batches(client, endpoint, body):
    batch = await run_batch(client, write_lines(body, url=endpoint), endpoint)
    assert (batch.status, batch.request_counts.completed) == ("completed", 1)
    row = (await read_lines(client, batch.output_file_id))["row-0"]
    assert row["response"]["status_code"] == 200
    assert row["error"] is None


async def test_a_completed_batch_may_have_errors_only(client):
    batch = await run_batch(client, write_lines({"model": "gpt-6-luna", "input": "Hi", "temperature": 0.5}))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    row = (await read_lines(client, batch.error_file_id))["row-0"]
    assert row["response"]["status_code"] == 400
    assert row["response"]["body"]["error"]["param"] == "temperature"


async def test_a_bad_input_file_fails_with_line_numbers(client, conforms):
    good = {"model": "gpt-6-luna", "input": "Hi"}
    content = write_lines(good, {"model": "gpt-6-sol", "input": "Hi"}) + b"{oops\n" + write_lines(good)
    batch = await run_batch(client, content)
    assert batch.status == "failed"
    assert [(one.code, one.line) for one in batch.errors.data] == [
        ("mismatched_model", 2),
        ("invalid_json_line", 3),
        ("duplicate_custom_id", 4),
    ]
    conforms("Batch", without_nulls(batch.model_dump()))


async def test_a_lost_reply_leaves_a_batch_behind(client, server):
    stored = await client.files.create(file=("input.jsonl", write_lines({"model": "gpt-6-luna"})), purpose="batch")
    server.world.faults.append(Fault(operation="batches.create", kind="lost", times=1))
    with pytest.raises(openai.APIConnectionError):
        await client.batches.create(
            input_file_id=stored.id, endpoint="/v1/responses", completion_window="24h", metadata={"key": "mine"}
        )
    assert (await client.batches.list(limit=1)).data[0].metadata == {"key": "mine"}


class Inbox:
    """A server on loopback that keeps what is posted to it."""

    def __init__(self):
        self.letters = asyncio.Queue()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/hooks"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def _take(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(
            line.lower().split(": ", 1) if "signature" not in line else line.split(": ", 1) for line in head[1:-2]
        )
        body = await reader.readexactly(int(headers["content-length"]))
        self.letters.put_nowait((headers, body))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def test_webhooks_arrive_signed_and_unwrap(client, conforms):
    async with Inbox() as inbox:
        made = await client.webhooks.create(name="Batches", url=inbox.url, event_types=["batch.completed"])
        tested = await client.webhooks.test(made.id, event_type="batch.failed")
        assert tested.status_code == 204
        headers, body = await inbox.letters.get()
        assert client.webhooks.unwrap(body, headers, secret=made.signing_secret).type == "batch.failed"

        batch = await run_batch(client, write_lines({"model": "gpt-6-luna", "input": "Hi"}))
        headers, body = await inbox.letters.get()
        event = client.webhooks.unwrap(body, headers, secret=made.signing_secret)
        assert (event.type, event.data.id) == ("batch.completed", batch.id)
        conforms("WebhookBatchCompleted", json.loads(body))
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body + b" ", headers, secret=made.signing_secret)

        rotated = await client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
        await client.webhooks.test(made.id, event_type="response.completed")
        headers, body = await inbox.letters.get()
        for secret in (made.signing_secret, rotated.signing_secret):
            assert client.webhooks.unwrap(body, headers, secret=secret).type == "response.completed"
        await client.webhooks.delete(made.id)


async def test_webhook_endpoints_are_kept(client):
    types = await client.webhooks.event_types.list()
    assert "response.completed" in types.data
    made = await client.webhooks.create(name="A", url="https://shop.example/hooks", event_types=["batch.expired"])
    changed = await client.webhooks.update(made.id, name="B")
    assert (changed.name, changed.url) == ("B", made.url)
    assert made.signing_secret.startswith("whsec_")
    assert made.signing_secret.endswith(changed.signing_secret_hint[-4:])
    assert (await client.webhooks.retrieve(made.id)).event_types == ["batch.expired"]
    assert [one.id async for one in client.webhooks.list()] == [made.id]
    with pytest.raises(openai.BadRequestError, match="HTTPS"):
        await client.webhooks.update(made.id, url="http://shop.example/hooks")
    assert (await client.webhooks.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.webhooks.retrieve(made.id)
