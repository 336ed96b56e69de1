"""Calls the Brevo emulator in process, as a server would."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

from penstock.base.clock import ManualClock
from penstock.sandbox.brevo import BrevoApp, build_brevo_app
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.world import Fault, World


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Calls:
    """An account, its clock and a client of it."""

    def __init__(self, limits: BrevoLimits | None = None, faults: list[Fault] | None = None, **settings: Any) -> None:
        self.clock = ManualClock()
        self.world = World(self.clock, faults=faults)
        self.state = BrevoState(self.world, **settings)
        self.app: BrevoApp = build_brevo_app(self.world, state=self.state, limits=limits or BrevoLimits(enabled=False))

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Any = (),
        key: str | None = "xkeysib-test",
        media: str = "application/json",
    ) -> Got:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = [(b"host", b"api.brevo.com"), (b"content-type", media.encode())]
        if key is not None:
            headers.append((b"api-key", key.encode()))
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https",
            "raw_path": f"/v3/{path}".encode(),
            "query_string": urlencode(query, doseq=True).encode(),
            "headers": headers,
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Got(sent[0]["status"], fields, sent[1]["body"])

    async def contact(self, identifier: str, kind: str | None = None) -> Any:
        got = await self("GET", f"contacts/{identifier}", query={"identifierType": kind} if kind else ())
        return got.json if got.status == 200 else None

    async def finish(self, process: int) -> Any:
        """Let the clock pass until a process is done; returns it."""
        while True:
            shown = (await self("GET", f"processes/{process}")).json
            if shown["status"] in ("completed", "failed"):
                return shown
            self.clock.advance(1.0)
