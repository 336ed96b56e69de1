"""The operations as tools for models, over the Model Context Protocol: from the catalogue alone.

All calls of a server are under one budget. Without one, a person is asked before the calls may come to
more than the setting `ask-above`, through the client where it can ask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mcp_types as wire
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from penstock import __version__
from penstock.base.errors import DefectError, FixError, InputError, PenstockError, StoppedError
from penstock.base.redact import redact
from penstock.base.types import DOLLAR
from penstock.calls import CallOptions, Preview, parse_options
from penstock.operations.catalogue import Entry, all_operations, find_entry
from penstock.operations.declare import Operation
from penstock.operations.files import NO_PATHS, FilePolicy
from penstock.operations.result import Result
from penstock.runtime.ask import Ask
from penstock.server.api import result_schema
from penstock.workspace import Workspace

OPTIONS = "options"
"""The argument of every tool that says how it is called, beside the operation's own input."""
_CONSENT = "consent"
_ABOUT = (
    "Operations of OpenAI through Penstock. Each result carries what it used and cost; an error says what to do. "
    "Equal calls are answered from what is held already, at no cost."
)


@dataclass(frozen=True)
class Terms:
    """What the clients of a server may do.

    `budget` is in dollars, for all of their calls together. With `read_only` nothing is bought and
    nothing changed. `only` names the operations that are offered; empty means all. Files are read at paths
    below `allow_files`, and nowhere without it.
    """

    budget: float | None = None
    read_only: bool = False
    only: tuple[str, ...] = ()
    allow_files: Path | None = None


class Tools:
    """The operations of one workspace as tools, on terms."""

    def __init__(self, workspace: Workspace, terms: Terms) -> None:
        """Raises `InputError` for an operation that does not exist and a budget that is no amount."""
        self._workspace = workspace
        self._terms = terms
        self._label = workspace.clock.new_id("mcp")
        files = FilePolicy((terms.allow_files,)) if terms.allow_files else NO_PATHS
        self._operations = workspace.operations.under(self._label, terms.budget, files)
        self._agreed = float(workspace.settings.get("ask-above"))
        entries = [find_entry(name) for name in terms.only] or all_operations()
        self.offered = {entry.name: tool for entry in entries if (tool := self._describe(entry)) is not None}

    def _describe(self, entry: Entry) -> wire.Tool | None:
        """Return the tool of an operation; None where it buys or changes something and that may not be."""
        operation = entry.load()
        ask = self._prepare_example(operation)
        is_free = ask is None or (ask.is_free and not ask.is_once)
        if self._terms.read_only and not is_free:
            return None
        return wire.Tool(
            name=entry.name,
            title=entry.title,
            description=_explain(operation),
            input_schema=tool_input(operation),
            output_schema=_hoist(result_schema(operation.output_schema())),
            annotations=wire.ToolAnnotations(
                read_only_hint=is_free,
                destructive_hint=ask is not None and ask.is_once,
                idempotent_hint=ask is None or ask.is_kept,
                open_world_hint=True,
            ),
        )

    def _prepare_example(self, operation: Operation[Any, Any]) -> Ask | None:
        prepared = operation.prepare(operation.parse(operation.example), self._operations.choose(operation.kind))
        return prepared if isinstance(prepared, Ask) else None

    async def call(self, name: str, arguments: Mapping[str, Any], person: Person) -> Result | Question:
        """Run one operation, or return the question that a person has to answer first.

        Raises the typed errors of the call; `FixError` and `StoppedError` for what the terms forbid.
        """
        if name not in self.offered:
            raise self._unknown(name)
        values = dict(arguments)
        options = parse_options(_object(values.pop(OPTIONS, {})))
        preview = self._operations.preview(name, values, options)
        if self._terms.read_only and not (preview.most_dollars == 0 and preview.method != "DELETE"):
            raise FixError(
                f"{name} would buy or change something, and this server only reads",
                code="mcp.read-only",
                hint="Start `penstock mcp` without --read-only.",
            )
        question = await self._ask_first(name, preview, options, person)
        return question or await self._operations.call(name, values, options)

    def _unknown(self, name: str) -> InputError:
        find_entry(name)  # knows the nearest name
        return InputError(
            f"{name} is not offered by this server",
            code="mcp.not-offered",
            hint=f"It offers: {', '.join(self.offered)}.",
        )

    async def _ask_first(self, name: str, preview: Preview, options: CallOptions, person: Person) -> Question | None:
        """Have a person agree before the calls may come to more than was agreed to; a budget is an answer."""
        if self._terms.budget is not None or self._workspace.vendors.is_sandbox:
            return None
        most = preview.most_dollars if options.budget is None else min(options.budget, preview.most_dollars or 1e9)
        books = await self._workspace.ledger.spent(f"flow:{self._label}")
        spent = (books.spent + books.reserved + books.held) / DOLLAR
        if most is not None and spent + most <= self._agreed:
            return None
        question = Question(
            f"{name} may cost {'an unknown amount' if most is None else f'${most:,.4f}'}; "
            f"${spent:,.4f} is spent so far. May it be bought?"
        )
        answer = await person.answer(question)
        if answer is None:
            return question
        if not answer:
            raise StoppedError("a person declined this call; nothing was spent", code="budget.declined")
        self._agreed = max(self._agreed, spent + (most or 0.0))
        return None


class Question(msgspec.Struct, frozen=True):
    """What a person is asked before something is bought."""

    text: str


class Person:
    """The person behind a client, as far as the protocol reaches: asked through the client, if it can ask."""

    def __init__(self, context: ServerRequestContext[Any, Any], said: Mapping[str, Any]) -> None:
        self._context = context
        self._said = said.get(_CONSENT)

    async def answer(self, question: Question) -> bool | None:
        """Return whether the person agrees; None when the question has to be returned to the client first.

        Raises `FixError` where the client cannot ask.
        """
        if isinstance(self._said, wire.ElicitResult):
            return self._said.action == "accept"
        able = self._context.session.client_capabilities
        if able is None or able.elicitation is None:
            raise FixError(
                f"nobody can be asked: {question.text.removesuffix(' May it be bought?')}",
                code="budget.not-confirmed",
                hint="Start `penstock mcp` with --budget DOLLARS, or use a client that can ask (elicitation).",
            )
        if self._context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return None
        said = await self._context.session.elicit_form(
            question.text, {"type": "object", "properties": {}}, self._context.request_id
        )
        return said.action == "accept"


def build_server(tools: Tools) -> Server[Any]:
    """Return the protocol's server for these tools, to be put on a transport."""

    async def list_tools(_context: Any, _params: wire.PaginatedRequestParams | None) -> wire.ListToolsResult:
        return wire.ListToolsResult(tools=list(tools.offered.values()))

    async def call_tool(
        context: ServerRequestContext[Any, Any], params: wire.CallToolRequestParams
    ) -> wire.CallToolResult | wire.InputRequiredResult:
        try:
            person = Person(context, params.input_responses or {})
            done = await tools.call(params.name, params.arguments or {}, person)
        except PenstockError as error:
            return _failed(error)
        except Exception as error:  # noqa: BLE001 - a client is told in words, never with a stack
            return _failed(DefectError(f"{type(error).__name__} in the tool {params.name}"))
        return _put(done) if isinstance(done, Question) else _finished(done)

    return Server(
        "penstock",
        version=__version__,
        title="Penstock",
        instructions=_ABOUT,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def tool_input(operation: Operation[Any, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments: the operation's input, and the options of the call."""
    schema = operation.input_schema()
    options = msgspec.json.schema_components((CallOptions,))[1]["CallOptions"]
    described = {**options, "description": "How it is called; all of it may be left out."}
    properties = {**schema["properties"], OPTIONS: described}
    return {**schema, "properties": properties, "examples": [operation.example]}


def _explain(operation: Operation[Any, Any]) -> str:
    from importlib import import_module
    from inspect import cleandoc

    more = cleandoc(import_module(operation.module).__doc__ or "").partition("\n")[2].strip()
    return f"{operation.title}. {' '.join(more.split())}".strip()


def _hoist(schema: dict[str, Any]) -> dict[str, Any]:
    """Move the definitions of the output to the top, where its references look for them."""
    properties = dict(schema["properties"])
    output = dict(properties["output"])
    definitions = output.pop("$defs", None)
    hoisted = {**schema, "properties": {**properties, "output": output}}
    return {**hoisted, "$defs": definitions} if definitions else hoisted


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FixError("the call options are not an object", code="call.options", where=OPTIONS)
    return value


def _finished(result: Result) -> wire.CallToolResult:
    plain = msgspec.to_builtins(result)
    files: list[wire.ContentBlock] = []
    output = _take_files(plain["output"], files)
    text = output.get("text")
    shown = text if isinstance(text, str) and text else json.dumps(output, ensure_ascii=False)
    cost = "unknown" if result.cost_dollars is None else f"${result.cost_dollars:.6f}"
    facts = "; ".join([f"cost: {cost}", *(["held already"] if result.cached else []), *result.warnings])
    about = wire.TextContent(text=f"[{result.model or 'no call'}; {facts}]")
    return wire.CallToolResult(content=[wire.TextContent(text=shown), *files, about], structured_content=plain)


def _take_files(value: Any, files: list[wire.ContentBlock]) -> Any:
    """Return an output without the content of its pictures and sounds, which go into `files`."""
    if isinstance(value, list):
        return [_take_files(part, files) for part in value]
    if not isinstance(value, dict):
        return value
    if {"media_type", "base64"} <= value.keys():
        kind, content = value["media_type"], value["base64"]
        if kind.startswith("image/"):
            files.append(wire.ImageContent(data=content, mime_type=kind))
        elif kind.startswith("audio/"):
            files.append(wire.AudioContent(data=content, mime_type=kind))
        return {name: part for name, part in value.items() if name != "base64"}
    return {name: _take_files(part, files) for name, part in value.items()}


def _failed(error: PenstockError) -> wire.CallToolResult:
    told = {name: redact(str(value)) for name, value in error.to_dict().items()}
    text = f"{told['code']}: {told['message']}. {told['hint']}".strip()
    return wire.CallToolResult(content=[wire.TextContent(text=text)], structured_content=told, is_error=True)


def _put(question: Question) -> wire.InputRequiredResult:
    form = wire.ElicitRequestFormParams(message=question.text, requested_schema={"type": "object", "properties": {}})
    return wire.InputRequiredResult(input_requests={_CONSENT: wire.ElicitRequest(params=form)})
