"""An emulator of the OpenAI platform API, written from the contract of 2026-11-20 alone.

Operations, as fault plans and logs name them: `responses`, `responses.retrieve`, `input_tokens`,
`chat`, `decisions`, `embeddings`, `moderations`, `models`. Any key that starts with `sk-` is
accepted, except one that contains `invalid`; the credit of one that contains `noquota` is used up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from penstock.sandbox.limits import Headers, Limiter
from penstock.sandbox.openai_models import DEFAULT_LIMITS, load_models
from penstock.sandbox.openai_replies import model_body
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_work import Desk, Done, Job
from penstock.sandbox.world import Fault, World, cut_connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_POSTS = {
    "/v1/responses": "responses",
    "/v1/responses/input_tokens": "input_tokens",
    "/v1/chat/completions": "chat",
    "/v1/decisions": "decisions",
    "/v1/embeddings": "embeddings",
    "/v1/moderations": "moderations",
}
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
    return OpenAI(world, limiter, Desk(world.clock, models, fast=fast))


class OpenAI:
    """The emulated service as an ASGI application."""

    def __init__(self, world: World, limiter: Limiter, desk: Desk) -> None:
        self.world = world
        self.limiter = limiter
        self._desk = desk
        self._models = load_models()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        await _Exchange(self, scope, receive, send).answer()

    def route(self, method: str, path: str) -> str:
        """Return the operation that a path names."""
        operation = _POSTS.get(path) if method == "POST" else None
        if operation is None and method == "GET":
            if path == "/v1/models" or path.startswith("/v1/models/"):
                operation = "models"
            elif path.startswith("/v1/responses/"):
                operation = "responses.retrieve"
        if operation is None and (path in _POSTS or path == "/v1/models"):
            raise ApiError(405, f"Not allowed to {method} on {path}.", code="method_not_allowed")
        if operation is None:
            raise ApiError(404, f"Invalid URL ({method} {path})")
        return operation

    def prepare(self, operation: str, path: str, content: bytes) -> Job | Done:
        """Check a request; what is only looked up is done at once."""
        if operation == "responses.retrieve":
            return Done(self._desk.stored_response(path.rsplit("/", 1)[1]), None)
        if operation == "models":
            return Done(msgspec.json.encode(self._list_models(path.removeprefix("/v1/models").strip("/"))), None)
        return self._desk.prepare(operation, content)

    def _list_models(self, name: str) -> dict[str, Any]:
        now = self.world.clock.now()
        names = [(model, one) for model in self._models.all for one in (model.id, *model.snapshots)]
        alive = [(model, one) for model, one in names if not self._models.is_shut_down(model, one, now)]
        if not name:
            return {"object": "list", "data": [model_body(self._models, model, one) for model, one in alive]}
        for model, one in alive:
            if one == name:
                return model_body(self._models, model, one)
        raise ApiError(404, f"The model '{name}' does not exist", code="model_not_found", param="model")


class _Exchange:
    """One request and its answer."""

    def __init__(self, service: OpenAI, scope: Scope, receive: Receive, send: Send) -> None:
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
            self._operation = self._service.route(self._scope["method"], path)
            account = self._check_key()
            content = await self._read()
            job = self._service.prepare(self._operation, path, content)
            if isinstance(job, Job):
                self._admit(job, account)
            await self._serve(job, content)
        except ApiError as error:
            await self._reply(error.status, msgspec.json.encode(error.envelope))

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
            await self._reply(200, done.content[: len(done.content) // 2])
        else:
            await self._reply(200, done.content)

    def _check_key(self) -> str:
        scheme, _, key = self._given.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not key.startswith("sk-") or "invalid" in key:
            text = (
                "Incorrect API key provided." if key else "You didn't provide an API key in the Authorization header."
            )
            raise ApiError(401, text, code="invalid_api_key")
        if "noquota" in key and self._operation not in ("models", "responses.retrieve"):
            text = "You have no credit left. Add credit in the billing settings."
            raise ApiError(429, text, code="credit_balance_exhausted", kind="insufficient_quota")
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
        verdict = self._service.limiter.admit(account, job.model.id, job.charge)
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
        await self._reply(status, _PAGE % (status, status), b"text/html")

    async def _reply(self, status: int, content: bytes, kind: bytes = b"application/json") -> None:
        clock = self._world.clock
        self._world.note("openai", self._operation, status)
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(content)),
            (b"x-request-id", clock.new_id("req").encode()),
            (b"openai-processing-ms", b"%d" % round((clock.monotonic() - self._started) * 1000)),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", b"penstock-sandbox"),
            *self._limits,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": content})
