"""The operations over HTTP, from the catalogue alone: a new operation file is a new route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import msgspec
from starlette.responses import Response

from penstock.base.errors import InputError
from penstock.calls import CallOptions, Piece, Preview, parse_options
from penstock.operations.catalogue import Entry, all_operations, find_operation
from penstock.operations.files import NO_PATHS
from penstock.operations.result import Result
from penstock.server.doors import UPLOAD_LIMIT, Call, Door, reply, wrong_media_type
from penstock.server.sse import QUIET_SECONDS, Event, stream
from penstock.server.uploads import ENVELOPE, read_form
from penstock.workspace import Workspace

_EVENTS = "For `Accept: text/event-stream`: events `piece` with `text`, at last `result`, or `problem`"
_OPTIONS = "model, connection, tier, budget, strict and fresh are optional"


class Api:
    """Routes of the operations of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._operations = workspace.operations.reading(NO_PATHS)

    def doors(self) -> Iterator[Door]:
        """Yield the routes; each operation has its own."""
        listed = {"type": "object", "properties": {"operations": {"type": "array", "items": {"type": "object"}}}}
        yield Door("GET", "/v1/operations", self._list, "Every operation.", "work", reply=listed)
        for entry in all_operations():
            yield from self._doors_of(entry)
        # Names that are no operation get an answer that knows the nearest one.
        yield Door("POST", "/v1/operations/{name}", self._call, "", "work", limit=UPLOAD_LIMIT)
        yield Door("GET", "/v1/operations/{name}", self._show, "", "work")

    def _doors_of(self, entry: Entry) -> Iterator[Door]:
        operation = entry.load()
        path = f"/v1/operations/{entry.name}"
        envelope = envelope_schema(operation.input_schema())
        body = {
            "application/json": envelope,
            "multipart/form-data": {
                "type": "object",
                "description": f"`{ENVELOPE}` is the JSON request; each file goes into the input of its part's name.",
                "properties": {ENVELOPE: envelope},
            },
        }
        shared: dict[str, Any] = {"allow": "work", "body": body, "limit": UPLOAD_LIMIT}
        answer = result_schema(operation.output_schema())
        preview = msgspec.json.schema(Preview)
        yield Door("GET", path, self._show, f"The declaration of {entry.name}.", "work")
        events = f"{_EVENTS}." if operation.streams else ""
        yield Door("POST", path, self._call, f"{entry.title}.", reply=answer, keeps=True, events=events, **shared)
        yield Door(
            "POST", f"{path}/preview", self._preview, f"What {entry.name} would send and cost.", reply=preview, **shared
        )

    async def _list(self, _call: Call) -> Response:
        return reply(
            {
                "operations": [
                    {"name": entry.name, "title": entry.title, "group": entry.group} for entry in all_operations()
                ]
            }
        )

    async def _show(self, call: Call) -> Response:
        operation = find_operation(_name_of(call))
        return reply(
            {
                "name": operation.name,
                "title": operation.title,
                "group": operation.entry.group,
                "version": operation.version,
                "input": operation.input_schema(),
                "output": operation.output_schema(),
            }
        )

    async def _call(self, call: Call) -> Response:
        name, values, options = await _read(call)
        if "text/event-stream" in call.request.headers.get("accept", ""):
            return await self._stream(name, values, options)
        return reply(await self._operations.call(name, values, options))

    async def _stream(self, name: str, values: dict[str, Any], options: CallOptions) -> Response:
        """Answer with events as they come; what goes wrong soon, before the first one, has a status of its own."""
        clock, parts = self._workspace.clock, self._operations.stream(name, values, options)
        first = asyncio.ensure_future(anext(parts))
        quiet = asyncio.ensure_future(clock.sleep(QUIET_SECONDS))
        try:
            await asyncio.wait((first, quiet), return_when=asyncio.FIRST_COMPLETED)
        finally:
            quiet.cancel()
        if first.done():
            first.result()
        return stream(_events(first, parts), clock, until=asyncio.Event())  # what is paid for is not cut off

    async def _preview(self, call: Call) -> Response:
        name, values, options = await _read(call)
        return reply(self._operations.preview(name, values, options))


async def _events(
    first: asyncio.Future[Piece | Result], rest: AsyncGenerator[Piece | Result, None]
) -> AsyncIterator[Event]:
    try:
        yield _event(await first)
        async for part in rest:
            yield _event(part)
    finally:
        first.cancel()
        await rest.aclose()


def _event(part: Piece | Result) -> Event:
    return Event(part, name="piece" if isinstance(part, Piece) else "result")


async def _read(call: Call) -> tuple[str, dict[str, Any], CallOptions]:
    """Return what is called, with what and how; raises `InputError` that names what is wrong."""
    name = find_operation(_name_of(call)).name
    if call.media_type == "multipart/form-data":
        values = await read_form(call)
    elif call.media_type in ("application/json", ""):
        values = call.json(dict[str, Any])
    else:
        raise wrong_media_type(call.media_type, "application/json, or multipart/form-data with files")
    inputs = values.pop("input", {})
    if not isinstance(inputs, dict):
        raise InputError("`input` is an object", code="request.invalid", where="input")
    return name, inputs, parse_options(values)


def _name_of(call: Call) -> str:
    named = call.path.get("name")
    return str(named) if named is not None else call.request.url.path.split("/")[3]


def envelope_schema(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a request: the operation's input beside the options of the call."""
    options = msgspec.json.schema_components((CallOptions,))[1]["CallOptions"]
    return {
        "type": "object",
        "description": f"`input` is what the operation takes; {_OPTIONS}.",
        "properties": {"input": inputs, **options["properties"]},
        "required": ["input"],
        "additionalProperties": False,
    }


def result_schema(output: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a result around the operation's own output."""
    result: dict[str, Any] = msgspec.json.schema_components((Result,))[1]["Result"]
    return {**result, "properties": {**result["properties"], "output": output}}
