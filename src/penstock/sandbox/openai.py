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

from penstock.sandbox import openai_list, openai_work
from penstock.sandbox.limits import Headers, Limiter
from penstock.sandbox.openai_models import DEFAULT_LIMITS, load_models
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Call, Done, Job, Route, Service
from penstock.sandbox.world import Fault, World, cut_connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_PARTS: tuple[Callable[[Service], list[Route]], ...] = (
    openai_work.make_routes,
    openai_list.make_routes,
)
_QUOTA_CODES = frozenset(
    [
        "credit_balance_exhausted",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    ]
)
_USUAL_CODES = {429: "rate_limit_exceeded", 500: "server_error", 401: "invalid_api_key", 404: "model_not_found"}
_PAGE = b"<html><head><title>%d</title></head><body><center><h1>%d</h1></center><hr>gateway</body></html>"


def build_openai_app(
    world: World, *, tier: str = "Build", limiter: Limiter | None = None, fast: bool = False
) -> OpenAI:
    """Build the application; `tier` gives the limits where no `limiter` is passed."""
    models = load_models()
    limiter = limiter or Limiter(world.clock, dict(models.limits(tier)), default=DEFAULT_LIMITS[tier])
    service = Service(world, models, limiter, fast=fast)
    for make_routes in _PARTS:
        service.add(make_routes(service))
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
            await self._reply(Done(msgspec.json.encode(error.envelope), status=error.status))

    async def _serve(self, job: Job | Done, content: bytes) -> None:
        """Do the work, or what the fault plan says; whatever is done is billed before anybody waits."""
        fault = self._world.take_fault("openai", self._operation)
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            raise self._as_error(fault)
        if fault and kind == "html":
            await self._reply_page(fault.status or 502)
            return
        if kind == "drop":
            await self._cut()
            return
        done = job if isinstance(job, Done) else job.run()
        if isinstance(job, Job) and done.usage is not None:
            caller = self._given.get(b"x-client-request-id", b"").decode("ascii", "replace")
            self._world.bill(self._operation, content, job.model.id, done.usage, caller)
        await self._world.wait("openai")
        if fault and kind in ("slow", "hang"):
            await self._world.clock.sleep(fault.seconds)
        if fault and kind == "lost":
            await (self._reply_page(fault.status) if fault.status else self._cut())
        elif kind == "malformed":
            await self._reply(done._replace(content=done.content[: len(done.content) // 2]))
        else:
            await self._reply(done)

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
        if b"noquota" in self._given[b"authorization"]:
            text = "You have no credit left. Add credit in the billing settings."
            raise ApiError(429, text, code="credit_balance_exhausted", kind="insufficient_quota")
        verdict = self._service.limiter.admit(account, job.model.id, job.charge, images=job.images)
        self._limits = verdict.headers
        if not verdict.allowed:
            raise ApiError(429, verdict.message, code="rate_limit_exceeded", kind=verdict.dimension)

    def _as_error(self, fault: Fault) -> ApiError:
        status = fault.status or 500
        code = fault.code or _USUAL_CODES.get(status)
        if fault.seconds > 0:
            self._limits = [*self._limits, (b"retry-after", b"%d" % max(1, round(fault.seconds)))]
            self._limits.append((b"retry-after-ms", b"%d" % round(fault.seconds * 1000)))
        kind = "insufficient_quota" if code in _QUOTA_CODES else "server_error" if status >= 500 else "requests"
        kind = kind if status >= 429 else "invalid_request_error"
        return ApiError(status, f"Planned fault of the sandbox: {code or status}.", code=code, kind=kind)

    async def _cut(self) -> None:
        self._world.note("openai", self._operation, 0)
        await cut_connection(self._scope, self._receive)

    async def _reply_page(self, status: int) -> None:
        await self._reply(Done(_PAGE % (status, status), kind=b"text/html", status=status))

    async def _reply(self, done: Done) -> None:
        """Send an answer, piece by piece when it is a stream."""
        clock = self._world.clock
        self._world.note("openai", self._operation, done.status)
        headers = [
            (b"content-type", done.kind),
            *([] if done.pieces else [(b"content-length", b"%d" % len(done.content))]),
            (b"x-request-id", clock.new_id("req").encode()),
            (b"openai-processing-ms", b"%d" % round((clock.monotonic() - self._started) * 1000)),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", b"penstock-sandbox"),
            *self._limits,
        ]
        await self._send({"type": "http.response.start", "status": done.status, "headers": headers})
        for piece in done.pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": done.content})
