"""The service in this process: requests straight into the application, answers and streams out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError
from penstock.server.app import App, build_app
from penstock.server.auth import ALLOWED, Tokens
from penstock.workspace import Workspace

JSON = {"content-type": "application/json"}


class Answered(NamedTuple):
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """The problem details; checks that they are whole and tell no stack."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.body)
        found: dict[str, Any] = self.json()
        assert found["status"] == self.status
        assert found["code"]
        assert found["request_id"] == self.headers["x-request-id"]
        assert b"Traceback" not in self.body
        return found


class Client:
    """Sends requests to an application as a server would."""

    def __init__(self, app: App, token: str = "") -> None:
        self.app = app
        self.token = token
        self.defects: list[PenstockError] = []

    def _scope(self, method: str, target: str, headers: Mapping[str, str]) -> dict[str, Any]:
        path, _, query = target.partition("?")
        sent = {"host": "127.0.0.1", **({"authorization": f"Bearer {self.token}"} if self.token else {}), **headers}
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()]
        return {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path, "root_path": "",
            "raw_path": path.encode(), "query_string": query.encode(), "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80), "headers": fields,
        }  # fmt: skip

    async def send(self, method: str, target: str, body: Any = None, **headers: str) -> Answered:
        """Send a request; what is no bytes is sent as JSON."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body, given = json.dumps(body).encode(), {**JSON, **given}
        parts = [part async for part in self.stream(method, target, body or b"", given)]
        start = parts[0]
        fields = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answered(start["status"], fields, b"".join(part.get("body", b"") for part in parts[1:]))

    async def get(self, target: str, **headers: str) -> Answered:
        return await self.send("GET", target, **headers)

    async def post(self, target: str, body: Any = None, **headers: str) -> Answered:
        return await self.send("POST", target, body, **headers)

    async def stream(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages of an answer as they are sent; leaving the loop hangs up."""
        coming: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        gone = asyncio.Event()
        requests = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            try:
                await self.app(self._scope(method, target, headers or {}), receive, send)
            finally:
                coming.put_nowait(None)

        async def send(message: Any) -> None:
            coming.put_nowait(dict(message))

        task = asyncio.create_task(work())
        try:
            while (message := await coming.get()) is not None:
                yield message
            await task
        finally:
            gone.set()
            await asyncio.gather(task, return_exceptions=True)

    async def events(self, target: str, last: str = "") -> AsyncIterator[dict[str, Any]]:
        """Yield server-sent events, parsed: id, event, data."""
        rest = b""
        async for message in self.stream("GET", target, headers={"last-event-id": last} if last else {}):
            assert message.get("status", 200) == 200, message
            rest += message.get("body", b"")
            while b"\n\n" in rest:
                text, _, rest = rest.partition(b"\n\n")
                fields = dict(line.split(": ", 1) for line in text.decode().splitlines() if not line.startswith(":"))
                if fields:
                    yield {**fields, "data": json.loads(fields["data"])}


@asynccontextmanager
async def open_service(
    folder: Path, clock: Clock | None = None, *, with_tokens: bool = True, **overrides: Any
) -> AsyncIterator[Client]:
    """Open a workspace in the sandbox and the service on it; the client has a token that may do everything."""
    given = {"sandbox": True, **{name.replace("_", "-"): value for name, value in overrides.items()}}
    async with Workspace.open(folder, overrides=given, environ={}, clock=clock, command="test") as workspace:
        tokens = Tokens(workspace.store, workspace.clock)
        token = await tokens.add("tests", allow=ALLOWED) if with_tokens else ""
        defects: list[PenstockError] = []
        app = build_app(workspace, tokens=tokens if with_tokens else None, report=defects.append)
        client = Client(app, token)
        client.defects = defects
        async with app.running():
            yield client
        assert defects == []
