"""The Conversions API emulator as an ASGI application: `POST /v1/events?pid=`, with planned faults.

Written from the vendor contract of November 2026 alone. Bodies that were seen on the live API are given word for
word; what nobody has seen follows `Behaviour`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec

from penstock.sandbox.conversions_rules import Behaviour, Flaw, Rules, load_table
from penstock.sandbox.conversions_state import ConversionsState
from penstock.sandbox.world import Fault, World, cut_connection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MISSING_SCOPE = (
    "You have insufficient permissions for this operation. Missing scopes: ads.third_party_events.write. Check that "
    "you have the correct role in your organization, and if you're using a restricted API key, that it has the "
    "necessary scopes."
)
_MISSING_PID = "[{'type': 'missing', 'loc': ('query', 'pid'), 'msg': 'Field required', 'input': None}]"
_POINTERS = ("all", "first", "none", "locations")
_NO_CODES = ("missing_event_data_type", "event_timestamp_too_old")


class Answer(NamedTuple):
    """Status, body and media type of an answer, and seconds that it asks to wait."""

    status: int
    body: bytes
    media: str = "application/json"
    wait: float | None = None


class RefusedError(Exception):
    """The emulator refuses a request."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode())
        self.answer = answer


def refuse(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> RefusedError:
    """Build a refusal in the platform's envelope; `errors` stands only where it is given."""
    details: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}
    if errors is not None:
        details["errors"] = errors
    return RefusedError(Answer(status, msgspec.json.encode({"error": details})))


class Minute:
    """Counts requests in windows of one minute."""

    def __init__(self) -> None:
        self._window = -1
        self._used: dict[str, int] = {}

    def take(self, name: str, most: int, now: float) -> float:
        """Count a request; returns the seconds to wait when it is one too many, else 0."""
        if int(now // 60) != self._window:
            self._window = int(now // 60)
            self._used.clear()
        self._used[name] = self._used.get(name, 0) + 1
        return 0.0 if self._used[name] <= most else (self._window + 1) * 60 - now


class ConversionsApp:
    """The emulator of one account; `state` may be seeded and read, `state.behaviour` replaced while it serves.

    A key whose text contains `invalid` is unknown (401); one with `advertiser`, `platform` or `unscoped` lacks the
    scope (401); any other `sk-…` may write, beside those that the emulated Ads API made.
    """

    def __init__(self, state: ConversionsState) -> None:
        self.state = state
        self.world = state.world
        self._minute = Minute()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        fault = self.world.take_fault("conversions", "events")
        answer = await self._serve(scope, body, fault)
        self.world.note("conversions", "events", 0 if answer is None else answer.status)
        if answer is None:
            await cut_connection(scope, receive)
        else:
            await send_answer(send, answer, self.world, self.state.behaviour)

    async def _serve(self, scope: Scope, body: bytes, fault: Fault | None) -> Answer | None:
        """Do the work, or what the fault plan says; None cuts the connection. Work is done before anybody waits."""
        kind = fault.kind if fault else ""
        shape = fault.code if fault and fault.code in _POINTERS else None
        if fault and kind == "status" and shape is None:
            return planned(fault)
        if kind == "drop":
            return None
        if fault and kind == "html":
            return page(fault.status or 502)
        try:
            answer = self._answer(scope, body, shape or self.state.behaviour.pointers)
        except RefusedError as error:
            answer = error.answer
        await self.world.wait("conversions")
        if fault and kind in ("slow", "hang"):
            await self.world.clock.sleep(fault.seconds)
        if fault and kind == "lost":
            return page(fault.status) if fault.status else None
        return Answer(200, answer.body[: len(answer.body) // 2]) if kind == "malformed" else answer

    def _answer(self, scope: Scope, body: bytes, pointers: str) -> Answer:
        state, behaviour = self.state, self.state.behaviour
        state.counts["requests"] += 1
        if scope["path"].rstrip("/") != "/v1/events":
            raise refuse(404, "Not found")
        if scope["method"] != "POST":
            raise refuse(405, "Method Not Allowed")
        key = read_key(scope)
        check_key(state, key)
        pixel_id = self._read_pixel(scope)
        most = behaviour.requests_per_minute
        if most is not None and (wait := self._minute.take(key, most, self.world.clock.now())):
            raise RefusedError(too_fast(wait if behaviour.states_wait else None))
        if behaviour.most_bytes is not None and len(body) > behaviour.most_bytes:
            raise refuse(behaviour.too_large_status, "Request body is too large.")
        events, validate_only = _read_batch(body, behaviour)
        flaws = list(Rules(behaviour, round(self.world.clock.now() * 1000)).find_flaws(events))
        if flaws:
            state.counts["refused batches"] += 1
            raise _refuse_batch(flaws, pointers, behaviour)
        if validate_only:
            state.counts["validated"] += len(events)
            return _accepted(len(events))
        new = sum([state.save(pixel_id, event) for event in events])
        self.world.written["conversions", "events"] += new
        return _accepted(len(events) if behaviour.count_duplicates else new)

    def _read_pixel(self, scope: Scope) -> str:
        pixel_id = parse_qs(str(scope["query_string"], "latin-1")).get("pid", [""])[-1]
        if not pixel_id:
            raise refuse(400, _MISSING_PID)
        if not self.state.knows_pixel(pixel_id):
            raise refuse(403, "403: unknown pid", kind="server_error")
        return pixel_id


def build_conversions_app(
    world: World, *, state: ConversionsState | None = None, behaviour: Behaviour | None = None
) -> ConversionsApp:
    """Build the emulator; its account is `app.state`."""
    return ConversionsApp(state or ConversionsState(world, behaviour))


def _accepted(count: int) -> Answer:
    return Answer(200, b'{"accepted_events":%d}' % count)


def check_key(state: ConversionsState, key: str) -> None:
    """Raise the refusal of a key that may not write events."""
    kind = state.kind_of(key)
    if kind == "unknown":
        raise refuse(401, "Unauthorized")
    if kind not in ("conversions", "any"):
        raise refuse(401, MISSING_SCOPE)


def _read_batch(body: bytes, behaviour: Behaviour) -> tuple[list[Any], bool]:
    """Return the events of a request and whether they are only to be judged."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise refuse(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(content, dict) or "events" not in content:
        raise refuse(400, "Missing required field: events", param="events")
    limits, events = load_table().limits, content["events"]
    if not isinstance(events, list):
        raise refuse(400, "events must be an array.", param="events")
    if len(events) > limits["events"]:
        raise refuse(400, f"events must have at most {limits['events']} entries.", param="events")
    if not events and behaviour.empty_batch == "refuse":
        raise refuse(400, "events must have at least 1 entry.", param="events")
    if not isinstance(content.get("validate_only", False), bool):
        raise refuse(400, "validate_only must be a boolean.", param="validate_only")
    source = content.get("integration_source", "sandbox")
    if not isinstance(source, str) or not re.fullmatch(limits["integration_source"], source.strip().lower()):
        raise refuse(400, "integration_source is invalid.", param="integration_source")
    return events, content.get("validate_only", False)


def _refuse_batch(flaws: list[Flaw], pointers: str, behaviour: Behaviour) -> RefusedError:
    """Refuse a whole batch: what is told of its flaws is a matter of `pointers`."""
    if pointers == "none":
        return refuse(flaws[0].status, "The request has an invalid event.", code="invalid_event")
    if pointers == "locations":
        return refuse(400, f"[{', '.join(_location(flaw) for flaw in flaws)}]")
    first = flaws[0]
    told = flaws if pointers == "all" else flaws[:1]
    errors = [{"message": flaw.message, "param": flaw.param, "code": _shown_code(flaw, behaviour)} for flaw in told]
    if first.status == 422:
        return refuse(422, first.message, param=first.param, code=_shown_code(first, behaviour), errors=errors)
    where = f"events[{first.place}]"
    text = f"Invalid event at {where}. See errors for details."
    return refuse(400, text, param=where, code="invalid_event", errors=errors)


def _shown_code(flaw: Flaw, behaviour: Behaviour) -> str | None:
    return flaw.code if behaviour.codes == "named" or flaw.code in _NO_CODES else None


def _location(flaw: Flaw) -> str:
    parts = [f"'{part}'" if not part.isdigit() else part for part in re.split(r"[.\[\]]+", flaw.field) if part]
    place = ", ".join(["'body'", "'events'", str(flaw.place), *parts])
    return f"{{'type': 'value_error', 'loc': ({place}), 'msg': '{flaw.text}', 'input': None}}"


def too_fast(wait: float | None) -> Answer:
    """Answer that requests come too fast; nobody has seen this body on the live API."""
    refusal = refuse(429, "Rate limit reached. Please slow down.", kind="requests", code="rate_limit_exceeded")
    return refusal.answer._replace(wait=wait)


def planned(fault: Fault) -> Answer:
    """Answer with a planned status; well-known ones with the body of the live API."""
    status = fault.status or 500
    wait = fault.seconds or None
    if status == 429:
        return too_fast(wait)
    texts = {
        401: MISSING_SCOPE if fault.code == "missing_scope" else "Unauthorized",
        403: "403: unknown pid",
        404: "Not found",
    }
    text = texts.get(status, "The server had an error." if status >= 500 else "The request was refused.")
    kind = "server_error" if status == 403 or status >= 500 else "invalid_request_error"
    code = None if fault.code == "missing_scope" else fault.code
    return refuse(status, text, kind=kind, code=code).answer._replace(wait=wait)


def page(status: int) -> Answer:
    """Answer as a gateway does."""
    return Answer(status, b"<html><body>Bad Gateway</body></html>", "text/html")


def read_key(scope: Scope) -> str:
    """Return the bearer token of a request."""
    given: bytes = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    scheme, _, key = given.decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


async def read_body(receive: Receive) -> bytes:
    """Return the whole body of a request."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def send_answer(send: Send, answer: Answer, world: World, behaviour: Behaviour) -> None:
    """Send an answer with its headers."""
    fields = [
        (b"content-type", answer.media.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        (b"date", formatdate(world.clock.now(), usegmt=True).encode()),
    ]
    if behaviour.request_ids:
        fields.append((b"x-request-id", world.clock.new_id("req").encode()))
    if answer.wait is not None:
        fields.append((b"retry-after", b"%d" % max(1, round(answer.wait))))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": answer.body})
