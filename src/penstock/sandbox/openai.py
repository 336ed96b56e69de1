"""An emulator of the OpenAI platform API, written from the contract of 2026-11-20 alone.

Operations, as fault plans and logs name them, are those of the routes: `responses`, `responses.retrieve`,
`input_tokens`, `chat`, `decisions`, `embeddings`, `moderations`, `models` and more. Any key that starts with
`sk-` is accepted, except one that contains `invalid`; the credit of one that contains `noquota` is used up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from penstock.sandbox import openai_admin, openai_chat, openai_list, openai_media, openai_responses, openai_work
from penstock.sandbox.limits import Headers, Limiter
from penstock.sandbox.loopback import Deliver, post_to_loopback
from penstock.sandbox.openai_faults import as_error, fault_headers, spoil_body, spoil_stream
from penstock.sandbox.openai_models import DEFAULT_LIMITS, load_models
from penstock.sandbox.openai_plain import plain_error
from penstock.sandbox.openai_quirks import Quirks
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Act, Call, Done, Job, Route, Service
from penstock.sandbox.world import Fault, World, cut_connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_PARTS: tuple[Callable[[Service], list[Route]], ...] = (
    openai_responses.make_routes,
    openai_chat.make_routes,
    openai_work.make_routes,
    openai_list.make_routes,
    openai_media.make_routes,
    openai_admin.make_routes,
)
_PLAIN_OPERATIONS = ("chat", "completions", "embeddings", "models")
_PAGE = b"<html><head><title>%d</title></head><body><center><h1>%d</h1></center><hr>gateway</body></html>"


def build_openai_app(
    world: World,
    *,
    tier: str = "Build",
    limiter: Limiter | None = None,
    fast: bool = False,
    quirks: Quirks | None = None,
    plain: bool = False,
    deliver: Deliver = post_to_loopback,
) -> OpenAI:
    """Build the application; `tier` gives the limits where no `limiter` is passed.

    `quirks` settle what the contract leaves open. With `plain` it is a server that copies OpenAI's chat:
    any model name, other error bodies, no usage in streams, no JSON schema, only `max_tokens`, no limits.
    `deliver` sends webhooks.
    """
    models = load_models()
    limiter = limiter or Limiter(world.clock, dict(models.limits(tier)), default=DEFAULT_LIMITS[tier])
    service = Service(world, models, limiter, fast=fast, quirks=quirks, plain=plain, deliver=deliver)
    for make_routes in _PARTS:
        routes = make_routes(service)
        service.add([route for route in routes if not plain or route.operation in _PLAIN_OPERATIONS])
    return OpenAI(service)


class OpenAI:
    """The emulated service as an ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.world = service.world
        self.limiter = service.limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await _Exchange(self.service, scope, receive, send).answer()


class _Exchange:
    """One request and its answer."""

    def __init__(self, service: Service, scope: Scope, receive: Receive, send: Send) -> None:
        self._service = service
        self._world = service.world
        self._scope = scope
        self._receive = receive
        self._send = send
        self._started = service.world.clock.monotonic()
        self._given = {bytes(name): bytes(value) for name, value in scope["headers"]}
        self._limits: Headers = []
        self._operation = "unknown"

    async def answer(self) -> None:
        path = self._scope["path"]
        try:
            route, names = self._service.find(self._scope["method"], path)
            self._operation = route.operation
            account = self._check_key(route)
            self._service.run_due()
            content = await self._read()
            query = parse_qs(self._scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
            call = Call(route.operation, route.method, path, names, query, self._given, content, account)
            job = route.handler(call)
            if isinstance(job, Job):
                self._admit(job, account)
            await self._serve(job, content)
        except ApiError as error:
            body = plain_error(error) if self._service.plain else error.envelope
            await self._reply(Done(msgspec.json.encode(body), status=error.status))

    async def _serve(self, job: Job | Act | Done, content: bytes) -> None:
        """Do the work, or what the fault plan says; whatever is done is billed before anybody waits."""
        fault = self._world.take_fault("openai", self._operation)
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            self._limits = [*self._limits, *fault_headers(fault, self._world.clock.now())]
            raise as_error(fault)
        if fault and kind == "html":
            await self._reply_page(fault.status or 502)
            return
        if kind == "drop":
            await self._cut()
            return
        done = job if isinstance(job, Done) else job.run()
        if not isinstance(done, Done):
            done = await done
        if isinstance(job, Job) and done.usage is not None:
            caller = self._given.get(b"x-client-request-id", b"").decode("ascii", "replace")
            self._world.bill(self._operation, content, job.model.id, done.usage, caller)
        await self._world.wait("openai")
        if done.pieces:
            await self._stream(done, fault)
        else:
            await self._answer_whole(done, fault)

    async def _answer_whole(self, done: Done, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if fault and kind in ("slow", "hang"):
            await self._world.clock.sleep(fault.seconds)
        if fault and kind == "lost":
            await (self._reply_page(fault.status) if fault.status else self._cut())
        elif kind in ("malformed", "cut", "error"):
            await self._reply(spoil_body(done, kind, self._operation))
        else:
            await self._reply(done)

    async def _stream(self, done: Done, fault: Fault | None) -> None:
        """Send piece by piece, as the fault plan says."""
        kind = fault.kind if fault else ""
        if fault and kind in ("malformed", "cut", "error", "lost"):
            done = spoil_stream(done, kind, self._operation)
        await self._begin(done)
        middle = len(done.pieces) // 2
        for at, piece in enumerate(done.pieces):
            if fault and (kind == "slow" or (kind == "hang" and at == middle)):
                await self._world.clock.sleep(fault.seconds / (len(done.pieces) if kind == "slow" else 1))
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        if kind == "lost":
            await cut_connection(self._scope, self._receive)
        await self._send({"type": "http.response.body", "body": b""})

    def _check_key(self, route: Route) -> str:
        scheme, _, key = self._given.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not key.startswith("sk-") or "invalid" in key:
            text = (
                "Incorrect API key provided." if key else "You didn't provide an API key in the Authorization header."
            )
            raise ApiError(401, text, code="invalid_api_key")
        if route.admin and not key.startswith("sk-admin"):
            raise ApiError(403, "You have insufficient permissions for this operation. Use an admin key.")
        return self._given.get(b"openai-project", b"").decode("latin-1") or key

    async def _read(self) -> bytes:
        if self._scope["method"] == "GET":
            return b""
        message = await self._receive()
        parts = [message.get("body", b"")]
        while message.get("more_body"):
            message = await self._receive()
            parts.append(message.get("body", b""))
        return b"".join(parts)

    def _admit(self, job: Job, account: str) -> None:
        if job.charge is None:
            return
        if self._service.plain:
            return
        if b"noquota" in self._given[b"authorization"]:
            text = "You have no credit left. Add credit in the billing settings."
            raise ApiError(429, text, code="credit_balance_exhausted", kind="insufficient_quota")
        verdict = self._service.limiter.admit(account, job.model.id, job.charge, images=job.images)
        self._limits = [*verdict.headers, *self._project_headers(verdict.headers)]
        if not verdict.allowed:
            raise ApiError(429, verdict.message, code="rate_limit_exceeded", kind=verdict.dimension)

    async def _cut(self) -> None:
        self._world.note("openai", self._operation, 0)
        await cut_connection(self._scope, self._receive)

    async def _reply_page(self, status: int) -> None:
        await self._reply(Done(_PAGE % (status, status), kind=b"text/html", status=status))

    def _project_headers(self, headers: Headers) -> Headers:
        """Return the limits once more under the names that they have for a project."""
        if b"openai-project" not in self._given:
            return []
        found = [(name.rpartition(b"-"), value) for name, value in headers if name.startswith(b"x-ratelimit-")]
        return [(head + b"-project-" + last, value) for (head, _, last), value in found]

    async def _reply(self, done: Done) -> None:
        """Send a whole answer."""
        await self._begin(done)
        await self._send({"type": "http.response.body", "body": done.content})

    async def _begin(self, done: Done) -> None:
        """Send the status and the headers; a stream has no length."""
        clock = self._world.clock
        self._world.note("openai", self._operation, done.status)
        headers = [(b"content-type", done.kind)]
        if not done.pieces:
            headers.append((b"content-length", b"%d" % len(done.content)))
        if not self._service.plain:
            headers += [
                (b"x-request-id", clock.new_id("req").encode()),
                (b"openai-processing-ms", b"%d" % round((clock.monotonic() - self._started) * 1000)),
                (b"openai-version", b"2020-10-01"),
                (b"openai-organization", b"penstock-sandbox"),
            ]
        start = {"type": "http.response.start", "status": done.status, "headers": [*headers, *self._limits]}
        await self._send(start)
