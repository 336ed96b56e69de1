"""What a route is: one declaration that the router, the checks and the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.errors import InputError
from penstock.base.redact import redact
from penstock.server.auth import Token

BODY_LIMIT = 4 << 20
"""Bytes of a request's body at most, where a route does not say otherwise."""
UPLOAD_LIMIT = 64 << 20
"""Bytes of a request with files at most: pictures and sound as base64 or as form parts."""
LIST_LIMIT = 200
"""Rows of one answer at most; a cursor leads on."""


@dataclass(slots=True)
class Call:
    """One request on its way to its route: who sends it, and its whole body."""

    request: Request
    who: Token
    body: bytes = b""

    @property
    def path(self) -> Mapping[str, Any]:
        """The parts of the address that the route names."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return self.request.query_params if self.request.scope["query_string"] else {}

    @property
    def media_type(self) -> str:
        """The kind of the body, without its parameters."""
        return self.request.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self, kind: Any = Any) -> Any:
        """Decode the body; raises `InputError` that names the wrong place."""
        if self.media_type not in ("application/json", ""):
            raise wrong_media_type(self.media_type, "application/json")
        return decode(self.body, kind)

    def limit(self, default: int = 50) -> int:
        """Return how many rows are wanted; raises `InputError` for what is no such number."""
        text = self.query.get("limit", str(default))
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= LIST_LIMIT:
            raise InputError(
                f"limit is a number from 1 to {LIST_LIMIT}",
                code="request.limit",
                where="limit",
                hint="Use the `next` of an answer to read on.",
            )
        return int(text)


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one path. `allow` is what a token must be for; None takes everybody."""

    method: str
    path: str
    answer: Callable[[Call], Awaitable[Response]]
    summary: str
    allow: str | None
    body: Mapping[str, Any] | None = None
    """Media type to JSON Schema of the body."""
    reply: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    """JSON Schema of a good answer."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Names of the query, and what each means."""
    status: int = 200
    reply_type: str = "application/json"
    events: str = ""
    """What the events are, where a good answer can also be a stream of them."""
    limit: int = BODY_LIMIT
    keeps: bool = False
    """Whether an Idempotency-Key is honoured."""
    works_while_draining: bool = False
    asks_again: bool = False
    """Whether our own failures are answered with 429: some senders throw away what was answered with 5xx."""


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(
        msgspec.json.encode(value), status_code=status, headers=dict(headers or {}), media_type="application/json"
    )


def decode(body: bytes, kind: Any = Any) -> Any:
    """Decode JSON; raises `InputError` that says where it is wrong, never with the value itself."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise InputError(
            redact(f"the request does not fit: {error}"),
            code="request.invalid",
            hint="GET /openapi.json describes every request.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"the request is not JSON: {redact(str(error))}",
            code="request.not-json",
            hint="Send one JSON document in UTF-8.",
        ) from error


def find_inside(folder: Path, name: str) -> Path | None:
    """Return the YAML file of this name when it lies in `folder` or below, links followed; None otherwise."""
    folder = folder.resolve()
    try:
        path = (folder / name).resolve()
        is_inside = path.is_relative_to(folder) and ".penstock" not in path.parts
        return path if is_inside and path.suffix in (".yaml", ".yml") and path.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def wrong_media_type(given: str, wanted: str) -> InputError:
    """Return the error of a body of the wrong kind."""
    return InputError(
        f"the body is {given or 'of no stated kind'}, not {wanted}",
        code="request.media-type",
        hint=f"Send it with the header Content-Type: {wanted.partition(',')[0]}",
    )
