"""The Brevo emulator as an ASGI application: keys, limits, planned faults, and which handler answers what.

Written from the vendor's published contract only. It makes no request itself: `notifyUrl` is accepted and ignored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from penstock.sandbox import brevo_attributes as attributes
from penstock.sandbox import brevo_contacts as contacts
from penstock.sandbox import brevo_events as events
from penstock.sandbox import brevo_imports as imports
from penstock.sandbox import brevo_lists as lists
from penstock.sandbox.brevo_limits import BrevoLimits, headers
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, refuse
from penstock.sandbox.world import Fault, World, cut_connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[BrevoState, Request], Answer]

_FAULT_CODES = {
    400: "invalid_parameter",
    401: "unauthorized",
    402: "not_enough_credits",
    403: "permission_denied",
    404: "document_not_found",
    425: "account_in_process",
    429: "too_many_requests",
}
_KEY_REFUSALS = {
    "invalid": "Key not found",
    "expired": "API Key has expired",
    "deactivated": "API Key is not enabled",
    "unlisted-ip": "Request from an unrecognised IP address 203.0.113.9: add it to the authorised IPs of the account",
}


def get_account(state: BrevoState, _request: Request) -> Answer:
    """GET /account."""
    street = {"street": "1 Sandbox Street", "zipCode": "00000", "city": "Sandbox", "country": "Nowhere"}
    return Answer(
        200,
        {
            "organization_id": state.organization,
            "user_id": 1,
            "enterprise": False,
            "companyName": "Sandbox",
            "email": state.email,
            "firstName": "Sandbox",
            "lastName": "Owner",
            "address": street,
            "plan": [{"type": "free", "creditsType": "sendLimit", "credits": 300}],
            "planVerticals": [
                {"planCategory": "Marketing", "planType": "free", "name": "Free", "status": "active", "credits": "300"}
            ],
            "relay": {
                "enabled": False,
                "data": {"userName": state.email, "relay": "smtp.sandbox.example", "port": 587},
            },
            "marketingAutomation": {"enabled": False},
        },
    )


def list_segments(_state: BrevoState, _request: Request) -> Answer:
    """GET /contacts/segments: this account has none, and no API makes one."""
    return Answer(200, {"segments": [], "count": 0})


def refuse_consent_groups(_state: BrevoState, _request: Request) -> Answer:
    """/contacts/consent-groups: the feature is off in this account."""
    raise RefusedError(403, "CONSENT_GROUP_NOT_ENABLED", "Consent groups are not enabled for this account")


ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", "account", "account.get", get_account),
    ("GET", "contacts", "contacts.list", contacts.list_contacts),
    ("POST", "contacts", "contacts.create", contacts.create_contact),
    ("POST", "contacts/import", "contacts.import", imports.import_contacts),
    ("GET", "contacts/segments", "segments.list", list_segments),
    ("GET", "contacts/consent-groups", "consent-groups.list", refuse_consent_groups),
    ("POST", "contacts/consent-groups", "consent-groups.create", refuse_consent_groups),
    ("GET", "contacts/attributes", "attributes.list", attributes.list_attributes),
    ("DELETE", "contacts/attributes/multiple-choice/{name}/{option}", "attributes.delete", attributes.delete_option),
    ("POST", "contacts/attributes/{category}/{name}", "attributes.create", attributes.create_attribute),
    ("PUT", "contacts/attributes/{category}/{name}", "attributes.update", attributes.update_attribute),
    ("DELETE", "contacts/attributes/{category}/{name}", "attributes.delete", attributes.delete_attribute),
    ("GET", "contacts/lists", "lists.list", lists.list_lists),
    ("POST", "contacts/lists", "lists.create", lists.create_list),
    ("GET", "contacts/lists/{list}", "lists.get", lists.get_list),
    ("PUT", "contacts/lists/{list}", "lists.update", lists.update_list),
    ("DELETE", "contacts/lists/{list}", "lists.delete", lists.delete_list),
    ("GET", "contacts/lists/{list}/contacts", "lists.contacts", contacts.list_members),
    ("POST", "contacts/lists/{list}/contacts/add", "lists.add", lists.add_members),
    ("POST", "contacts/lists/{list}/contacts/remove", "lists.remove", lists.remove_members),
    ("GET", "contacts/folders", "folders.list", lists.list_folders),
    ("POST", "contacts/folders", "folders.create", lists.create_folder),
    ("GET", "contacts/folders/{folder}", "folders.get", lists.get_folder),
    ("PUT", "contacts/folders/{folder}", "folders.update", lists.update_folder),
    ("DELETE", "contacts/folders/{folder}", "folders.delete", lists.delete_folder),
    ("GET", "contacts/folders/{folder}/lists", "folders.lists", lists.list_folder_lists),
    ("GET", "contacts/{identifier}", "contacts.get", contacts.get_contact),
    ("PUT", "contacts/{identifier}", "contacts.update", contacts.update_contact),
    ("DELETE", "contacts/{identifier}", "contacts.delete", contacts.delete_contact),
    ("GET", "processes", "processes.list", imports.list_processes),
    ("GET", "processes/{process}", "processes.get", imports.get_process),
    ("GET", "sandbox-reports/{process}/{token}/{file}", "reports.get", imports.get_report),
    ("GET", "events", "events.list", events.list_events),
    ("POST", "events", "events.create", events.create_event),
    ("POST", "events/batch", "events.batch", events.create_batch),
)


class _Call(NamedTuple):
    operation: str
    handler: Handler
    request: Request

    def run(self, state: BrevoState) -> Answer:
        """Let the handler answer."""
        try:
            return self.handler(state, self.request)
        except RefusedError as error:
            return error.to_answer()


class _Route(NamedTuple):
    pattern: tuple[str, ...]
    methods: dict[str, tuple[str, Handler]]

    def match(self, parts: list[str]) -> dict[str, str] | None:
        """Return the named parts of the path, or None when it is another path."""
        found = {}
        for expected, part in zip(self.pattern, parts, strict=True):
            if expected[0] == "{":
                found[expected[1:-1]] = part
            elif expected != part:
                return None
        return found


def _build_routes() -> dict[int, list[_Route]]:
    routes: dict[int, list[_Route]] = {}
    for method, path, operation, handler in ROUTES:
        pattern = tuple(path.split("/"))
        same_length = routes.setdefault(len(pattern), [])
        route = next((route for route in same_length if route.pattern == pattern), None)
        if route is None:
            route = _Route(pattern, {})
            same_length.append(route)
        route.methods[method] = operation, handler
    return routes


class BrevoApp:
    """The emulator of one account; `state` may be seeded and read, `limits` may be changed while it serves.

    Any key is accepted, except one whose text contains `invalid`, `expired`, `deactivated` or `unlisted-ip` (401)
    and, for anything but GET, `readonly` (403).
    """

    def __init__(self, state: BrevoState, limits: BrevoLimits) -> None:
        self.state = state
        self.world = state.world
        self.limits = limits
        self._routes = _build_routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        call = self._resolve(scope, await _read_body(receive))
        answer, extra = self._admit(scope, call)
        if answer is None:
            answer = await self._serve(call, extra)
        self.world.note("brevo", call.operation, 0 if answer is None else answer.status)
        if answer is None:
            await cut_connection(scope, receive)
        else:
            await _send(send, answer, extra)

    def _resolve(self, scope: Scope, body: bytes) -> _Call:
        parts = [unquote(part) for part in scope["raw_path"].decode("latin-1").strip("/").split("/")]
        begin = parts.index("v3") + 1 if "v3" in parts else len(parts)
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "api.brevo.com")
        site = "/".join([f"{scope['scheme']}://{host}", *parts[:begin]])
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        operation, handler, names = self._match(scope["method"], parts[begin:])
        request = Request(scope["method"], names, query, body, site, tuple(parts[begin:]))
        return _Call(operation, handler, request)

    def _match(self, method: str, parts: list[str]) -> tuple[str, Handler, dict[str, str]]:
        for route in self._routes.get(len(parts), ()):
            names = route.match(parts)
            if names is not None:
                operation, handler = route.methods.get(method, ("unknown", _refuse_method))
                return operation, handler, names
        return "unknown", _refuse_path, {}

    def _admit(self, scope: Scope, call: _Call) -> tuple[Answer | None, dict[str, str]]:
        """Check key, limit and media type; a refused key gets no limit headers, a report needs no key."""
        if call.operation == "reports.get":
            return None, {}
        request = call.request
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if refusal := _check_key(given.get("api-key", ""), request.method):
            return refusal, {}
        family = self.limits.family(request.method, request.parts)
        verdict = self.limits.take(family, self.world.clock.now())
        if not verdict.passed:
            return refuse(429, "too_many_requests", "the rate limit is reached"), verdict.headers
        if request.body and not given.get("content-type", "").startswith("application/json"):
            return refuse(415, "unsupported_media_type", "the body must be application/json"), verdict.headers
        return None, verdict.headers

    async def _serve(self, call: _Call, extra: dict[str, str]) -> Answer | None:
        """Do the work, or what the fault plan says; None cuts the connection. Work is done before anybody waits."""
        imports.settle(self.state)
        fault = self.world.take_fault("brevo", call.operation)
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            return _as_refusal(fault, extra)
        if fault and kind == "html":
            return _page(fault.status or 502)
        if kind == "drop":
            return None
        answer = call.run(self.state)
        await self.world.wait("brevo")
        if fault and kind in ("slow", "hang"):
            await self.world.clock.sleep(fault.seconds)
        if fault and kind == "lost":
            return _page(fault.status) if fault.status else None
        if kind == "malformed":
            return Answer(200, raw=(answer.encode() or b'{"id": 1}')[:-1])
        return answer


def _as_refusal(fault: Fault, extra: dict[str, str]) -> Answer:
    status = fault.status or 500
    if status == 429:
        extra.update(headers(10, 0, max(1, round(fault.seconds))))
    return refuse(status, fault.code or _FAULT_CODES.get(status, "internal_error"), f"planned fault {status}")


def _page(status: int) -> Answer:
    return Answer(status, raw=b"<html><body>Bad Gateway</body></html>", media="text/html")


def build_brevo_app(world: World, *, state: BrevoState | None = None, limits: BrevoLimits | None = None) -> BrevoApp:
    """Build the emulator; its account is `app.state`, its meters are `app.limits`."""
    return BrevoApp(state or BrevoState(world), limits or BrevoLimits())


def _refuse_method(_state: BrevoState, request: Request) -> Answer:
    raise RefusedError(405, "method_not_allowed", f"{request.method} Method is not allowed on this path")


def _refuse_path(_state: BrevoState, request: Request) -> Answer:
    raise RefusedError(404, "document_not_found", f"Unknown path /{'/'.join(request.parts)}")


def _check_key(key: str, method: str) -> Answer | None:
    if not key:
        return refuse(401, "unauthorized", "authentication not found in headers")
    for mark, message in _KEY_REFUSALS.items():
        if mark in key:
            return refuse(401, "unauthorized", message)
    if "readonly" in key and method != "GET":
        return refuse(403, "permission_denied", "the API key has no permission for this action")
    return None


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
