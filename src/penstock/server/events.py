"""Conversion events over HTTP: taken when they are on disk, each with its own result, found again by their id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from starlette.responses import Response

from penstock.base.errors import InputError
from penstock.base.types import Problem
from penstock.deliveries import Deliveries
from penstock.events.entries import Receipt
from penstock.events.mapping import Mapping
from penstock.server.doors import Call, Door, decode, find_inside, reply, wrong_media_type
from penstock.server.problems import problem_of

BODY_LIMIT = 8 << 20
MOST_EVENTS = 5_000
"""Records of one request at most."""
MOST_MAPPINGS = 1_000
FRESH_SECONDS = 1.0
"""A mapping file that was changed is read anew after this."""
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")

_decoder = msgspec.json.Decoder()
_encode = msgspec.json.encode


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one record, in the order in which they came; `status` is the HTTP status of this one alone."""

    index: int
    status: int
    state: str
    event_id: str = ""
    problem: Problem | None = None
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Loaded:
    mapping: Mapping
    changed: float | None
    looked_at: float


class Events:
    """Routes of the conversion events of one workspace."""

    def __init__(self, deliveries: Deliveries, folder: Path) -> None:
        self._deliveries = deliveries
        self._folder = folder
        self._mappings: dict[tuple[str, bool], _Loaded] = {}

    def doors(self) -> list[Door]:
        """Return the routes."""
        record: dict[str, Any] = {"type": "object", "description": "A record that the mapping can read."}
        body = {
            "application/json": {"oneOf": [record, {"type": "array", "items": record, "maxItems": MOST_EVENTS}]},
            LINES[0]: {"type": "string", "description": "One JSON object a line."},
        }
        query = {
            "mapping": "A preset, or a mapping file in the workspace; not where the token names one.",
            "real_time": "`true` sends the events at once, and answers with their outcome.",
            "validate_only": "`true` has OpenAI check the events and save nothing.",
        }
        taken = {
            "type": "object",
            "properties": {
                "accepted": {"type": "integer"},
                "refused": {"type": "integer"},
                "events": {"type": "array", "items": msgspec.json.schema(Taken)},
            },
            "required": ["accepted", "refused", "events"],
        }
        return [
            Door("POST", "/v1/events", self._take, "Events: 202 when every accepted one is on disk.", "events",
                 body=body, reply=taken, query=query, status=202, limit=BODY_LIMIT, keeps=True, asks_again=True),
            Door("GET", "/v1/events/{id}", self._show, "What became of an event.", "events"),
        ]  # fmt: skip

    async def _take(self, call: Call) -> Response:
        mapping = self._mapping_of(call)
        found = read_records(call)
        good = [one for one in found if isinstance(one, dict)]
        receipts = iter(
            await self._deliveries.accept(
                good,
                mapping=mapping,
                source=call.who.name,
                real_time=_flag(call, "real_time"),
                validate_only=_flag(call, "validate_only"),
            )
        )
        taken = [
            Taken(index, 400, "refused", problem=one) if isinstance(one, Problem) else _taken(index, next(receipts))
            for index, one in enumerate(found)
        ]
        return _answer(taken)

    async def _show(self, call: Call) -> Response:
        event_id = str(call.path["id"])
        histories = await self._deliveries.find(event_id)
        if not call.who.may("work"):  # a source learns of its own events only
            histories = [one for one in histories if one.row.source == call.who.name]
        if not histories:
            raise InputError(
                "no event of this source has that id",
                code="event.unknown",
                hint="An id that the mapping makes up stands in the answer to POST /v1/events.",
            )
        return reply({"events": histories})

    def _mapping_of(self, call: Call) -> Mapping:
        """Return how the records are read: the token's own mapping, else the one that the request names."""
        wanted = call.query.get("mapping", "")
        if call.who.mapping and wanted not in ("", call.who.mapping):
            raise InputError(
                f"the token {call.who.name} reads its events by {call.who.mapping}, not by another mapping",
                code="events.other-mapping",
                hint="Leave the mapping out, or make a token without one.",
            )
        if call.who.mapping:
            return self._load(call.who.mapping, is_trusted=True)
        if not wanted:
            raise InputError(
                "the request does not say how its records become events",
                code="events.no-mapping",
                hint="Add ?mapping=NAME, or give the token one: penstock tokens add NAME --mapping shopify-order",
            )
        return self._load(wanted, is_trusted=False)

    def _load(self, name: str, *, is_trusted: bool) -> Mapping:
        """Load a mapping once for each time that its file changes; `is_trusted` may lie outside of the workspace."""
        now = self._deliveries.clock.monotonic()
        known = self._mappings.get((name, is_trusted))
        if known is not None and now - known.looked_at < FRESH_SECONDS:
            return known.mapping
        path = self._folder / name if is_trusted else find_inside(self._folder, name)
        if path is None and not _NAME.match(name):
            raise _no_mapping(name)
        changed = path.stat().st_mtime if path is not None and path.is_file() else None
        if known is None or known.changed != changed:
            if len(self._mappings) >= MOST_MAPPINGS:
                self._mappings.clear()
            known = _Loaded(self._deliveries.load_mapping(path if path and changed else name), changed, now)
            self._mappings[name, is_trusted] = known
        known.looked_at = now
        return known.mapping


def _no_mapping(name: str) -> InputError:
    return InputError(
        f"there is no mapping {name[:80]!r} in the workspace",
        code="events.no-mapping",
        hint="Name a preset such as shopify-order, or a YAML file by its path from the workspace folder on.",
    )


def _taken(index: int, receipt: Receipt) -> Taken:
    status = 422 if receipt.state == "refused" else 202
    return Taken(index, status, receipt.state, receipt.event_id, receipt.problem, receipt.warnings)


def _answer(taken: Sequence[Taken]) -> Response:
    refused = sum(one.status >= 400 for one in taken)
    document = {"accepted": len(taken) - refused, "refused": refused, "events": taken}
    if refused < len(taken):
        return reply(document, 202)
    first = next((one.problem for one in taken if one.problem is not None), None)
    error = InputError(
        f"none of the {len(taken)} records gives an event" if len(taken) > 1 else "the record gives no event",
        code=first.code if first else None,
        hint=first.hint if first else None,
    )
    content = {**problem_of(error), **document, "status": 422}
    return Response(_encode(content), 422, media_type="application/problem+json")


def read_records(call: Call) -> list[dict[str, Any] | Problem]:
    """Return the records of a body, with the reason in the place of each that is none."""
    media_type = call.media_type
    if media_type in LINES:
        found = _read_lines(call.body)
    elif media_type in ("application/json", ""):
        value = decode(call.body)
        found = value if isinstance(value, list) else [value]
    else:
        raise wrong_media_type(media_type, f"application/json, or {LINES[0]} for one JSON object a line")
    if not found:
        raise InputError("the request holds no record", code="request.empty", hint="Send at least one JSON object.")
    if len(found) > MOST_EVENTS:
        raise InputError(
            f"the request holds {len(found):,} records, more than {MOST_EVENTS:,}",
            code="request.too-large",
            hint="Send them in several requests.",
        )
    return [
        one
        if isinstance(one, dict | Problem)
        else Problem(
            "request.not-an-object", "a record is a JSON object", "Send an object for each event.", where=f"[{index}]"
        )
        for index, one in enumerate(found)
    ]


def _read_lines(body: bytes) -> list[Any]:
    try:
        return _decoder.decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = [line for line in body.split(b"\n") if line.strip()]
        return [_read_line(number, line) for number, line in enumerate(lines[: MOST_EVENTS + 1])]


def _read_line(number: int, line: bytes) -> Any:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Problem("request.not-json", f"the line is not JSON: {error}", where=f"[{number}]")


def _flag(call: Call, name: str) -> bool:
    text = call.query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise InputError(f"{name} is true or false", code="request.invalid", where=name)
    return text in ("true", "1")
