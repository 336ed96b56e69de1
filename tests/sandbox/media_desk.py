"""Calls the emulated OpenAI in process with JSON, forms and queries, on a clock moved by hand."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx2
from openai_emulator_calls import Got

from penstock.base.clock import ManualClock
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.world import Fault, World


class Desk:
    """A world of its own with an emulated OpenAI in it; `letters` are the webhooks that were delivered."""

    def __init__(self, *, limit: Limit | None = None, faults: list[Fault] | None = None) -> None:
        self.clock = ManualClock()
        self.world = World(self.clock, faults=faults)
        self.letters: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        """What the receiver of webhooks answers, one after the other; then always 200."""
        limiter = Limiter(self.clock, {}, default=limit or Limit())
        self.app = build_openai_app(self.world, limiter=limiter, deliver=self._deliver)

    async def _deliver(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.letters.append((url, headers, body))
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            raise ConnectionRefusedError(url)
        return status

    async def call(
        self, method: str, path: str, content: bytes = b"", kind: str = "application/json", query: str = ""
    ) -> Got:
        """Send one request and read the whole answer."""
        headers = [(b"authorization", b"Bearer sk-test"), (b"content-type", kind.encode())]
        scope = {
            "type": "http",
            "method": method,
            "path": f"/v1/{path}",
            "query_string": query.encode(),
            "headers": headers,
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        given = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Got(sent[0]["status"], given, b"".join(message["body"] for message in sent[1:]))

    async def post(self, path: str, **body: Any) -> Got:
        """Post JSON."""
        return await self.call("POST", path, json.dumps(body).encode())

    async def form(self, path: str, files: Any, **fields: Any) -> Got:
        """Post a form, written by a library that the sandbox does not use."""
        request = httpx2.Request("POST", "http://sandbox", data=fields, files=files)
        return await self.call("POST", path, request.read(), request.headers["content-type"])

    async def get(self, path: str, **query: Any) -> Got:
        """Get an object or a list."""
        return await self.call("GET", path, query=urlencode(query))

    async def upload(self, content: bytes, purpose: str = "batch", name: str = "input.jsonl") -> str:
        """Upload a file and return its id."""
        got = await self.form("files", {"file": (name, content)}, purpose=purpose)
        assert got.status == 200, got.raw
        return got.json["id"]

    async def start_batch(self, content: bytes, endpoint: str = "/v1/moderations", **options: Any) -> str:
        """Create a batch and return its id."""
        stored = await self.upload(content)
        body = {"input_file_id": stored, "endpoint": endpoint, "completion_window": "24h", **options}
        got = await self.post("batches", **body)
        assert got.status == 200, got.raw
        return got.json["id"]

    async def batch(self, identity: str, *, after: float = 0.0) -> dict[str, Any]:
        """Let time pass and return a batch."""
        self.clock.advance(after)
        return (await self.get(f"batches/{identity}")).json

    async def lines(self, identity: str | None) -> dict[str, Any]:
        """Return the lines of a file of output or errors by their custom ids; there may be no file."""
        if identity is None:
            return {}
        got = await self.get(f"files/{identity}/content")
        return {row["custom_id"]: row for row in map(json.loads, got.raw.splitlines())}


def write_lines(*bodies: dict[str, Any], url: str = "/v1/moderations") -> bytes:
    """Write the input file of a batch."""
    rows = [{"custom_id": f"row-{at}", "method": "POST", "url": url, "body": body} for at, body in enumerate(bodies)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
