"""Every request passes here: who sends it, how large and how slow it may be, and what leaves when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from penstock.base.clock import Clock
from penstock.base.errors import AccessError, DefectError, FixError, InputError, PenstockError, UnavailableError
from penstock.server.auth import NOBODY, Token, Tokens, check_allowed
from penstock.server.doors import Call, Door
from penstock.server.idempotency import Replies
from penstock.server.metrics import Metrics
from penstock.server.problems import problem_response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_SECONDS = 30.0
"""How long a body may take to arrive."""
MOST_BYTES = 512 << 20
"""Bytes of bodies that are held at once; what comes beyond is sent away with 429."""
MOST_AT_ONCE = 2048
"""Requests under way at once; more are sent away with 429 before anything is read of them."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
"""On every answer that does not say otherwise."""


class Gate:
    """The application: a router whose every answer, good or bad, leaves in the same form."""

    def __init__(
        self,
        doors: list[Door],
        *,
        clock: Clock,
        tokens: Tokens | None,
        replies: Replies,
        metrics: Metrics,
        draining: asyncio.Event,
        folder: str,
        report: Callable[[PenstockError], None],
    ) -> None:
        """Wire it; without `tokens` everybody on this machine may do everything."""
        self._clock = clock
        self._tokens = tokens
        self._replies = replies
        self._metrics = metrics
        self._draining = draining
        self._folder = folder
        self._report = report
        self._body_seconds = BODY_SECONDS
        self._under_way = 0
        self._load = _Load()
        by_path: dict[str, dict[str, Door]] = {}
        for door in doors:
            by_path.setdefault(door.path, {})[door.method] = door
        places = {path: _Place(self, path, methods) for path, methods in by_path.items()}
        self._exact = {path: place for path, place in places.items() if "{" not in path}
        open_ = [Route(path, place) for path, place in places.items() if "{" in path]
        self._router = Router(open_, redirect_slashes=False, default=_not_found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request_id = self._clock.new_id("req")
        outgoing = _Outgoing(send, request_id)
        started = self._clock.monotonic()
        self._under_way += 1
        self._metrics.in_flight.set(self._under_way)
        try:
            if self._under_way > MOST_AT_ONCE:
                raise _busy()
            place = self._exact.get(scope["path"], self._router)
            await place(scope, receive, outgoing)
        except (ClientDisconnect, OSError):
            outgoing.status = outgoing.status or 499
        except PenstockError as error:
            await self._fail(error, scope, receive, outgoing)
        except Exception as error:  # noqa: BLE001 - the one place where a defect becomes an answer
            defect = DefectError(f"{type(error).__name__} while answering {scope['method']} {_route_of(scope)}")
            defect.__cause__ = error
            self._report(defect)
            await self._fail(defect, scope, receive, outgoing)
        finally:
            self._under_way -= 1
            self._metrics.in_flight.set(self._under_way)
            seconds = self._clock.monotonic() - started
            self._metrics.note_request(_route_of(scope), str(scope["method"]), outgoing.status, seconds)

    async def _fail(self, error: PenstockError, scope: Scope, receive: Receive, outgoing: _Outgoing) -> None:
        if outgoing.status:  # the answer has begun: nothing can be said any more
            return
        self._metrics.note_problem(error.code)
        asks_again = bool(scope.get("penstock.asks-again"))
        response = problem_response(error, outgoing.request_id, self._folder, asks_again=asks_again)
        if error.code == "request.method":
            response.headers["Allow"] = error.where
        await response(scope, receive, outgoing)

    async def answer(self, door: Door, request: Request) -> Response:
        """Check who asks, read the body, and answer once per Idempotency-Key."""
        if self._draining.is_set() and not door.works_while_draining:
            raise UnavailableError(
                "the service is stopping",
                code="service.draining",
                hint="Send the request again: another one takes over.",
            )
        who = await self._recognise(door, request)
        if door.method != "POST":
            return await door.answer(Call(request, who))
        with self._load.share() as share:
            body = await _read_body(request, door.limit, share, self._body_seconds)
            return await self._answer_once(door, Call(request, who, body))

    async def _answer_once(self, door: Door, call: Call) -> Response:
        key = call.request.headers.get("idempotency-key") if door.keeps else None
        if key is None:
            return await door.answer(call)
        url = call.request.url
        content = b"\n".join((door.method.encode(), url.path.encode(), url.query.encode(), call.body))
        return await self._replies.once(call.who.name, key, content, lambda: door.answer(call))

    async def _recognise(self, door: Door, request: Request) -> Token:
        if door.allow is None:
            return NOBODY
        if self._tokens is None:
            _check_local(request)
            return NOBODY
        who = await self._tokens.recognise(request.headers.get("authorization"))
        check_allowed(who, door.allow)
        return who


class _Place:
    """One path: hands a request to the door of its method."""

    def __init__(self, gate: Gate, path: str, doors: dict[str, Door]) -> None:
        self._gate = gate
        self._path = path
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["penstock.route"] = self._path
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        door = self._doors.get(method)
        if door is None:
            allowed = ", ".join(sorted(self._doors))
            raise InputError(
                f"{self._path} takes {allowed}",
                code="request.method",
                hint="GET /openapi.json lists every route.",
                where=allowed,
            )
        scope["penstock.asks-again"] = door.asks_again
        response = await self._gate.answer(door, Request(scope, receive))
        await response(scope, receive, send)


class _Outgoing:
    """Sends an answer with the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _HEADERS.items() if name not in present]
            headers.append((b"x-request-id", self.request_id.encode()))
            message = {**message, "headers": headers}
        await self._send(message)


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise InputError("there is no such address", code="request.not-found", hint="GET /openapi.json lists every route.")


def _route_of(scope: Scope) -> str:
    """Return the route's own path: the address itself may hold ids."""
    return str(scope.get("penstock.route", "none"))


def _busy() -> FixError:
    return FixError(
        "too many requests are under way already",
        code="request.busy",
        hint="Send the request again after the seconds of Retry-After.",
    )


class _Load:
    """How many bytes of bodies are held at once, over all requests."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Yield what is called with the size of each part that comes; all is given back at the end."""
        held = 0

        def add(size: int) -> None:
            nonlocal held
            if self.bytes + size > MOST_BYTES:
                raise _busy()
            held += size
            self.bytes += size

        try:
            yield add
        finally:
            self.bytes -= held


async def _read_body(request: Request, limit: int, hold: Callable[[int], None], seconds: float) -> bytes:
    """Return the body; raises `InputError` when it is larger than `limit` bytes, comes too slowly or is packed."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise InputError(
            "the body is compressed", code="request.encoding", hint="Send it as it is, without Content-Encoding."
        )
    stated = request.headers.get("content-length", "0")
    if stated.isascii() and stated.isdecimal() and int(stated[:20]) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                hold(len(part))
                parts.append(part)
    except TimeoutError as error:
        raise InputError(
            f"the body did not arrive within {seconds:g} s", code="request.too-slow", hint="Send it faster."
        ) from error
    return b"".join(parts)


def _too_large(limit: int) -> InputError:
    return InputError(
        f"the body is larger than {limit:,} bytes", code="request.too-large", hint="Send it in several requests."
    )


def _check_local(request: Request) -> None:
    """Refuse what a page of another site makes a browser on this machine send."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    origin = request.headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).hostname not in LOOPBACK
    if host not in LOOPBACK or is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        raise AccessError(
            "a service without tokens answers only this machine's own requests",
            code="request.foreign-page",
            hint="Call it by 127.0.0.1 or localhost, or start it without --no-auth and use a token.",
        )
