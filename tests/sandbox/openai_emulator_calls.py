"""Calls the emulated OpenAI in process and hands back what it answered."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from penstock.base.clock import ManualClock
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.openai_quirks import Quirks
from penstock.sandbox.world import World

PREDICATE = {"type": "predicate", "name": "delivery", "instructions": "The customer mentions the delivery."}


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[Any]:
        frames = [frame.partition(b"data: ")[2] for frame in self.raw.split(b"\n\n") if frame]
        return [json.loads(data) for data in frames if data != b"[DONE]"]

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Calls:
    """A world of its own with an emulated OpenAI in it."""

    def __init__(
        self,
        *,
        limit: Limit | None = None,
        fast: bool = False,
        quirks: Quirks | None = None,
        plain: bool = False,
        start: float = 1_795_000_000.0,
        **limits: Any,
    ) -> None:
        self.clock = ManualClock(start)
        self.world = World(self.clock)
        self.sent_at: list[float] = []
        self.limiter = Limiter(self.clock, {}, default=limit or Limit(), **limits)
        self.app = build_openai_app(self.world, limiter=self.limiter, fast=fast, quirks=quirks, plain=plain)

    async def __call__(
        self, path: str, body: Any = None, *, key: str | None = "sk-test", method: str | None = None, **headers: str
    ) -> Got:
        given = {"x-client-request-id": "call_1", **headers}
        if key is not None:
            given["authorization"] = f"Bearer {key}"
        scope = {
            "type": "http",
            "method": method or ("GET" if body is None else "POST"),
            "path": f"/v1/{path}",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        }
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            self.sent_at.append(self.clock.monotonic())

        await self.app(scope, receive, send)
        start, *rest = sent
        content = b"".join(message["body"] for message in rest)
        return Got(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, content)

    async def decide(self, text: Any, *questions: dict[str, Any], **rest: Any) -> Got:
        body = {"model": "gpt-6-luna", "input": text, "questions": list(questions or [PREDICATE])}
        return await self("decisions", body, **rest)
