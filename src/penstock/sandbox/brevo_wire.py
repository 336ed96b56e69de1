"""What goes over the wire to and from the Brevo emulator: requests, answers, refusals, dates and paging."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

T = TypeVar("T")

MAX_BODY_BYTES = 10 * 1024 * 1024


class Request(msgspec.Struct, frozen=True):
    """One request as a handler sees it.

    `site` is the address of the API as its caller wrote it, `parts` the decoded path below it, `path` its named parts.
    """

    method: str
    path: dict[str, str]
    query: dict[str, list[str]]
    body: bytes
    site: str
    parts: tuple[str, ...] = ()

    def text(self, name: str) -> str | None:
        """Return a query parameter that may be given once."""
        values = self.query.get(name)
        return values[-1] if values else None


class Answer(msgspec.Struct, frozen=True):
    """Status and JSON body (None: empty) of an answer; `raw` with its media type stands instead of JSON."""

    status: int
    content: Any = None
    raw: bytes | None = None
    media: str = "application/json"

    def encode(self) -> bytes:
        """Return the body as bytes."""
        if self.raw is not None:
            return self.raw
        return b"" if self.content is None else msgspec.json.encode(self.content)


class RefusedError(Exception):
    """The emulator refuses a request; becomes an error body. Like the vendor's, the message may quote values."""

    def __init__(self, status: int, code: str, message: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.metadata = metadata

    def to_answer(self) -> Answer:
        """Return the error as an answer."""
        return refuse(self.status, self.code, self.message, self.metadata)


def refuse(status: int, code: str, message: str, metadata: dict[str, Any] | None = None) -> Answer:
    """Build an error answer."""
    content: dict[str, Any] = {"code": code, "message": message}
    if metadata:
        content["metadata"] = metadata
    return Answer(status, content)


def invalid(message: str) -> RefusedError:
    """Build the most common refusal: a parameter that cannot be."""
    return RefusedError(400, "invalid_parameter", message)


def decode(body: bytes, shape: type[T]) -> T:
    """Decode a JSON body into `shape`; fields that it does not know are ignored."""
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        if "missing required field" in str(error):
            raise RefusedError(400, "missing_parameter", str(error)) from error
        raise invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, "bad_request", "Input must be a valid JSON object") from error


def to_milliseconds(text: str, name: str) -> int:
    """Read a date-time of a request; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"{name} is not a valid date: {text}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def format_time(milliseconds: int) -> str:
    """Write a time as the vendor does: UTC, with milliseconds and a `Z`."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def format_stamps(milliseconds: int) -> dict[str, Any]:
    """Return the two times of a contact's webhook: `date` is French local time without a zone, `ts` epoch seconds."""
    local = datetime.fromtimestamp(milliseconds / 1000, ZoneInfo("Europe/Paris"))
    return {"date": f"{local:%Y-%m-%d %H:%M:%S}", "ts": milliseconds // 1000}


def read_number(request: Request, name: str, default: int, highest: int | None = None) -> int:
    """Read a whole number from the query, from 0 to `highest`."""
    text = request.text(name)
    if text is None:
        return default
    number = to_number(text, name)
    if number < 0 or (highest is not None and number > highest):
        raise RefusedError(400, "out_of_range", f"{name} is out of range: {text}")
    return number


def to_number(text: str, name: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError as error:
        raise invalid(f"{name} must be an integer, got {text}") from error


def read_numbers(request: Request, name: str) -> list[int]:
    """Read a query parameter that may be repeated."""
    return [to_number(text, name) for text in request.query.get(name, ())]


def is_descending(request: Request) -> bool:
    """Read `sort`; the vendor's default is descending."""
    sort = request.text("sort") or "desc"
    if sort not in ("asc", "desc"):
        raise invalid(f"sort must be asc or desc, got {sort}")
    return sort == "desc"


def cut_page(rows: Sequence[T], request: Request, default: int, highest: int, low: int = 0) -> list[T]:
    """Return the page that a request asks for of `rows[low:]`, which stand in ascending order.

    Only the page itself is copied, so the cost does not grow with the collection.
    """
    limit = read_number(request, "limit", default, highest)
    offset = read_number(request, "offset", 0)
    descending = is_descending(request)
    if offset >= len(rows) - low:
        return []
    if descending:
        end = len(rows) - offset
        return list(rows[max(end - limit, low) : end][::-1])
    return list(rows[low + offset : low + offset + limit])
