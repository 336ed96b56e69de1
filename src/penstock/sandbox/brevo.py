"""The Brevo emulator as an ASGI application: keys, limits, planned faults, and what happens around a request.

Written from the vendor's published contract only. It sends webhooks to, and fetches images from, this machine alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from penstock.sandbox.brevo_account import check_key, name_of
from penstock.sandbox.brevo_events import keep_half
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.brevo_routes import OPEN, Handler, Routes
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_ticker import Ticker
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, refuse
from penstock.sandbox.loopback import Deliver, post_to_loopback
from penstock.sandbox.world import Fault, World, cut_connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_FAULT_CODES = {
    200: "internal_error",
    400: "invalid_parameter",
    401: "unauthorized",
    402: "not_enough_credits",
    403: "permission_denied",
    404: "document_not_found",
    425: "account_in_process",
    429: "too_many_requests",
}


class _Call(NamedTuple):
    operation: str
    handler: Handler
    request: Request
    key: str

    async def run(self, state: BrevoState) -> Answer:
        """Let the handler answer, in the name of the caller's key."""
        state.actor = name_of(state, self.key)
        try:
            answer = self.handler(state, self.request)
            return answer if isinstance(answer, Answer) else await answer
        except RefusedError as error:
            return error.to_answer()
        finally:
            state.actor = ""


class BrevoApp:
    """The emulator of one account; `state` may be seeded and read, `limits` may be changed while it serves.

    Any key is accepted, except one whose text contains `invalid`, `expired`, `deactivated` or `unlisted-ip` (401)
    and, for anything but GET, `readonly` (403); a key in `state.account.keys` may do what stands there.
    """

    def __init__(self, state: BrevoState, limits: BrevoLimits, deliver: Deliver = post_to_loopback) -> None:
        self.state = state
        self.world = state.world
        self.limits = limits
        self.ticker = Ticker(state, deliver)
        self._routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        call = self._resolve(scope, await _read_body(receive))
        answer, extra = self._admit(scope, call)
        if answer is None:
            answer = await self._serve(call, extra)
        self.world.note("brevo", call.operation, 0 if answer is None else answer.status)
        self.ticker.watch()
        if answer is None:
            await cut_connection(scope, receive)
        else:
            await _send(send, answer, extra)

    def _resolve(self, scope: Scope, body: bytes) -> _Call:
        parts = [unquote(part) for part in scope["raw_path"].decode("latin-1").strip("/").split("/")]
        begin = parts.index("v3") + 1 if "v3" in parts else len(parts)
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        site = "/".join([f"{scope['scheme']}://{given.get('host', 'api.brevo.com')}", *parts[:begin]])
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        operation, handler, names = self._routes.match(scope["method"], parts[begin:])
        request = Request(scope["method"], names, query, body, site, tuple(parts[begin:]))
        return _Call(operation, handler, request, given.get("api-key", ""))

    def _admit(self, scope: Scope, call: _Call) -> tuple[Answer | None, dict[str, str]]:
        """Check key, limit and media type; a refused key gets no limit headers, a file behind a secret needs none."""
        if call.operation in OPEN:
            return None, {}
        request = call.request
        ip = (scope.get("client") or ("127.0.0.1",))[0]
        if refusal := check_key(self.state, call.key, request.method, request.parts[0] if request.parts else "", ip):
            return refusal, {}
        family = self.limits.family(request.method, request.parts)
        verdict = self.limits.take(family, self.world.clock.now())
        if not verdict.passed:
            return refuse(429, "too_many_requests", "the rate limit is reached"), verdict.headers
        media = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        if request.body and not media.startswith(b"application/json"):
            return refuse(415, "unsupported_media_type", "the body must be application/json"), verdict.headers
        return None, verdict.headers

    async def _serve(self, call: _Call, extra: dict[str, str]) -> Answer | None:
        """Do the work, or what the fault plan says; None cuts the connection. Work is done before anybody waits."""
        self.ticker.settle()
        fault = self.world.take_fault("brevo", call.operation)
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            if fault.status != 207 or call.operation != "events.batch":
                return self._refuse(fault, extra)
            call = call._replace(request=keep_half(call.request))
        if fault and kind == "html":
            return _page(fault.status or 502)
        if kind == "drop":
            return None
        answer = await call.run(self.state)
        await self.world.wait("brevo")
        if fault and kind in ("slow", "hang"):
            await self.world.clock.sleep(fault.seconds)
        if fault and kind == "lost":
            return _page(fault.status) if fault.status else None
        if kind == "malformed":
            return Answer(200, raw=(answer.encode() or b'{"id": 1}')[:-1])
        return answer

    def _refuse(self, fault: Fault, extra: dict[str, str]) -> Answer:
        status = fault.status or 500
        if status == 429:
            extra.update(self.limits.headers(10, 0, fault.seconds))
        return refuse(status, fault.code or _FAULT_CODES.get(status, "internal_error"), f"planned fault {status}")


def _page(status: int) -> Answer:
    return Answer(status, raw=b"<html><body>Bad Gateway</body></html>", media="text/html")


def build_brevo_app(
    world: World,
    *,
    state: BrevoState | None = None,
    limits: BrevoLimits | None = None,
    deliver: Deliver = post_to_loopback,
) -> BrevoApp:
    """Build the emulator; its account is `app.state`, its meters are `app.limits`, `deliver` posts webhooks."""
    return BrevoApp(state or BrevoState(world), limits or BrevoLimits(), deliver)


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _send(send: Send, answer: Answer, extra: dict[str, str]) -> None:
    body = answer.encode()
    fields = [(name.encode(), value.encode()) for name, value in extra.items()]
    if body:
        fields.append((b"content-type", answer.media.encode()))
    if answer.status != 204:
        fields.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
