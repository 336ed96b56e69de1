"""The flow file: parsed, checked, and compiled, with line and column in every complaint."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from pydantic import Field, ValidationError, field_validator

from penstock.base.document import Document, read_document
from penstock.base.errors import FlowError, InputError, MappingError
from penstock.base.expression import Expression, compile_value, suggest
from penstock.flows.consenting import ConsentPart
from penstock.flows.expiring import ExpirePart
from penstock.flows.redacting import Redaction, RedactPart, build_redaction
from penstock.flows.sinking import SINKS, WRITES, AttributePart, EventPart, ListPart, SinkPart, value_of
from penstock.flows.strict import Strict
from penstock.operations.catalogue import find_operation
from penstock.operations.declare import Operation
from penstock.runtime.modes import read_by

COMPUTED = ("trends", "predictions", "segments")
"""Sources of records that are computed from others: a flow of these needs no step."""
SOURCES = ("files", "sql", "brevo", "feedback", *COMPUTED)
MOVERS = {"conversions"}
"""Sinks for which records need not be judged first; nor need orders and products."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class SummarizePart(Strict):
    """How many records of one contact become one result."""

    by: str
    """Which contact a record belongs to, such as `${{ record.email }}`."""
    at: str | None = None
    """When the record was made; without it all count alike."""
    half_life_days: float = Field(90.0, gt=0, allow_inf_nan=False, alias="half-life-days")
    """After this many days a record counts half."""


class FlowFile(Strict):
    """A whole flow file."""

    name: str
    """Name of the flow: its state and budget belong to it."""
    description: str = ""
    """What the flow is for."""
    source: dict[str, dict[str, Any]]
    """Where records come from: one of files, sql, brevo, feedback, trends, predictions, segments."""
    join: dict[str, dict[str, Any]] = Field(default={})
    """Further sources, looked up by key for each record."""
    where: str | None = None
    """Only records for which this is true."""
    steps: list[dict[str, Any]] = Field(default=[])
    """Operations, one after the other; a flow to conversions, or of orders or products, needs none."""
    redact: RedactPart | Literal[False] = RedactPart()
    """What is taken out of texts before a step sees them; false sends them as they are."""
    consent: ConsentPart = ConsentPart()
    """Whose records may be used; people who object are skipped and counted."""
    summarize: SummarizePart | None = None
    """Several records per contact become one result."""
    sink: dict[str, SinkPart] = Field(default={})
    """Where results go."""
    connection: str | None = None
    """Named connection that calls go over, instead of the setting."""
    model: str | None = None
    """Model instead of the setting."""
    expire: ExpirePart | None = None
    """How long a result counts, such as `180 days`, or `{ age: 180 days, then: clear }`."""
    budget: float | None = Field(None, gt=0, le=1e9)
    """Dollars that one run may cost."""
    by: str | None = None
    """By when a run is to be done, such as 24h: the cheapest way that meets it is taken."""

    @field_validator("expire", mode="before")
    @classmethod
    def _take_age(cls, value: Any) -> Any:
        return {"age": value} if isinstance(value, str) else value

    @field_validator("by")
    @classmethod
    def _check_by(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                read_by(value)
            except InputError as error:
                raise ValueError(f"{error.message}: {error.hint}") from error
        return value

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(f"{value!r} is no name: a lower-case letter, then letters, digits and hyphens, at most 64")
        return value


class Placed(NamedTuple):
    """An expression and where it stands; `sees_summary` where a step's result is the summary of a contact."""

    expression: Expression
    place: str
    sees_summary: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a flow; `name` is how later expressions call its result."""

    name: str
    operation: Operation[Any, Any]
    inputs: Mapping[str, Expression]
    place: str


@dataclass(frozen=True, slots=True)
class Join:
    """A second source, looked up by `on`."""

    name: str
    kind: str
    options: Mapping[str, Any]
    on: Expression


@dataclass(frozen=True, slots=True)
class Summarize:
    """The compiled rule of `SummarizePart`."""

    by: Expression
    at: Expression | None
    half_life_days: float


@dataclass(frozen=True, slots=True)
class Target:
    """One sink: what identifies a target, what is set on it, and the event, order or product of each record."""

    kind: str
    match: Expression
    fields: Mapping[str, Expression]
    lists: Mapping[str, Expression]
    event: EventPart | None
    event_date: Expression | None
    event_properties: Mapping[str, Expression]
    order: Mapping[str, Expression]
    product: Mapping[str, Expression]
    part: SinkPart

    @property
    def is_of_owner(self) -> bool:
        """Tell whether it holds the state of a contact or row, which a summary can change."""
        return bool(self.fields or self.lists)

    @property
    def sees_status(self) -> bool:
        """Tell whether something that it holds says when and by what a result was made."""
        parts = (self.fields, self.lists, self.event_properties, self.order, self.product)
        return any("status" in expression.names for part in parts for expression in part.values())

    @property
    def has_state(self) -> bool:
        """Tell whether it holds more than events."""
        return bool(self.is_of_owner or self.order or self.product)


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow that is ready to run. `definition` is its canonical text, `hash` names it."""

    name: str
    path: Path
    source_kind: str
    source_options: Mapping[str, Any]
    joins: tuple[Join, ...]
    where: Expression | None
    steps: tuple[Step, ...]
    redaction: Redaction | None
    consent: ConsentPart
    summarize: Summarize | None
    expire: ExpirePart | None
    targets: tuple[Target, ...]
    connection: str | None
    model: str | None
    budget: float | None
    by: str | None
    definition: str
    hash: str
    expressions: tuple[Placed, ...]
    document: Document

    @property
    def folder(self) -> Path:
        """Where relative paths of the flow start."""
        return self.path.resolve().parent


def load_flow(path: Path) -> Flow:
    """Read a flow file; raises `FlowError` with file, line and column, and the nearest right word."""
    return _Loader(read_document(path)).load()


class _Loader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.expressions: list[Placed] = []

    def load(self) -> Flow:
        parsed = self._parse()
        definition = msgspec.json.encode(self.document.plain, order="sorted").decode()
        kind, options = self._one_of(parsed.source, SOURCES, ("source",))
        joins = tuple(self._join(name, part) for name, part in parsed.join.items())
        names = {"record", *(join.name for join in joins)}
        known = frozenset(names)
        where = self._expression(parsed.where, ("where",), names) if parsed.where else None
        summarize = self._summarize(parsed.summarize, names)
        steps = []
        for index, part in enumerate(parsed.steps):
            step = self._step(index, part, names)
            names.add(step.name)
            steps.append(step)
        is_moving = bool(set(parsed.sink) & MOVERS) or any(part.order or part.product for part in parsed.sink.values())
        if not steps and not is_moving and kind not in COMPUTED:
            raise self._error("a flow needs at least one step", ("steps",))
        return Flow(
            name=parsed.name,
            path=self.document.path,
            source_kind=kind,
            source_options=options,
            joins=joins,
            where=where,
            steps=tuple(steps),
            redaction=self._redaction(parsed.redact, known) if parsed.redact else None,
            consent=parsed.consent,
            summarize=summarize,
            expire=parsed.expire,
            targets=tuple(self._target(kind, part, names) for kind, part in parsed.sink.items()),
            connection=parsed.connection,
            model=parsed.model,
            budget=parsed.budget,
            by=parsed.by,
            definition=definition,
            hash=hashlib.blake2b(definition.encode(), digest_size=8).hexdigest(),
            expressions=tuple(self.expressions),
            document=self.document,
        )

    def _parse(self) -> FlowFile:
        try:
            return FlowFile.model_validate(self.document.plain)
        except ValidationError as error:
            first = error.errors()[0]
            path = tuple(first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            hint = ""
            if path and first["type"] != "value_error":
                message = f"{path[-1]!r}: {message[:1].lower()}{message[1:]}"
            if first["type"] == "extra_forbidden":
                message = f"{path[-1]!r} is not a word of a flow file here"
                hint = suggest(str(path[-1]), _words_at(path[:-1]))
            elif first["type"] == "missing":
                message = f"{path[-1]!r} is missing"
                path = path[:-1]
            raise self._error(message, path, hint) from error

    def _error(self, message: str, path: tuple[Any, ...], hint: str = "", code: str | None = None) -> FlowError:
        hint = hint or "docs/reference/flow-file.md has every word of a flow file."
        return FlowError(message, where=self.document.place(path), hint=hint, code=code)

    def _one_of(
        self, part: Mapping[str, Mapping[str, Any]], known: tuple[str, ...], path: tuple[Any, ...]
    ) -> tuple[str, Mapping[str, Any]]:
        kinds = [word for word in part if word != "on"]
        if len(kinds) != 1:
            raise self._error(f"name exactly one of {', '.join(known)}", path)
        if kinds[0] not in known:
            raise self._error(f"{kinds[0]!r} is not a source", (*path, kinds[0]), suggest(kinds[0], known))
        return kinds[0], part[kinds[0]]

    def _join(self, name: str, part: dict[str, Any]) -> Join:
        path = ("join", name)
        self._check_word(name, {"record", "status"}, path)
        if "on" not in part:
            raise self._error("'on' is missing: which key of it belongs to a record", path)
        kind, options = self._one_of(part, SOURCES, path)
        return Join(name, kind, options, self._expression(part["on"], (*path, "on"), {"record"}))

    def _step(self, index: int, part: dict[str, Any], names: set[str]) -> Step:
        path = ("steps", index)
        words = [word for word in part if word != "as"]
        if len(words) != 1:
            raise self._error("a step is one operation with its inputs, and optionally `as: name`", path)
        try:
            operation = find_operation(words[0])
        except InputError as error:
            raise self._error(error.message, (*path, words[0]), error.hint, "flow.unknown-operation") from error
        inputs = part[words[0]] or {}
        if not isinstance(inputs, dict):
            raise self._error(f"the inputs of {words[0]} are a mapping", (*path, words[0]))
        known = operation.input.model_fields
        compiled = {}
        for field, value in inputs.items():
            if field not in known:
                raise self._error(f"{words[0]} has no input {field!r}", (*path, words[0], field), suggest(field, known))
            compiled[field] = self._expression(value, (*path, words[0], field), names)
        for field, info in known.items():
            if info.is_required() and field not in compiled:
                raise self._error(f"{words[0]} needs the input {field!r}", (*path, words[0]))
        name = str(part.get("as") or words[0].partition("-")[2] or words[0])
        self._check_word(name, names | {"status"}, (*path, "as" if "as" in part else words[0]))
        return Step(name, operation, compiled, self.document.place((*path, words[0])))

    def _check_word(self, name: str, taken: set[str], path: tuple[Any, ...]) -> None:
        if not _WORD.match(name):
            raise self._error(f"{name!r} cannot be used in expressions: letters, digits and _ only", path)
        if name in taken:
            raise self._error(f"the name {name!r} is taken", path, "Give it another one with `as: name`.")

    def _summarize(self, part: SummarizePart | None, names: set[str]) -> Summarize | None:
        if part is None:
            return None
        return Summarize(
            self._expression(part.by, ("summarize", "by"), names),
            self._expression(part.at, ("summarize", "at"), names) if part.at else None,
            part.half_life_days,
        )

    def _redaction(self, part: RedactPart, names: frozenset[str]) -> Redaction:
        def express(text: str, *path: Any) -> Expression:
            return self._expression(text, ("redact", *path), set(names))

        def refuse(message: str, *path: Any) -> FlowError:
            return self._error(message, ("redact", *path), code="flow.bad-pattern")

        return build_redaction(part, self.document.path.resolve().parent, express, refuse)

    def _target(self, kind: str, part: SinkPart, names: set[str]) -> Target:
        path = ("sink", kind)
        if kind not in SINKS:
            raise self._error(f"{kind!r} is not a sink", path, suggest(kind, SINKS))
        for word in self.document.plain["sink"][kind]:
            if word not in SINKS[kind]:
                raise self._error(f"the sink {kind} has no {word!r}", (*path, word), suggest(word, SINKS[kind]))
        if not part.writes_something(kind):
            words = " or ".join(WRITES.get(kind, ("columns",)))
            raise self._error(f"the sink {kind} writes nothing: give it {words}", path)
        if kind == "conversions" and not part.mapping:
            raise self._error("the sink conversions needs a mapping: a preset such as flat, or a file", path)
        if part.match is None and part.is_about_contacts():
            raise self._error("'match' is missing", path)
        match = part.match if isinstance(part.match, dict) else {"email": part.match}
        event = part.event

        def express(word: str, values: Mapping[str, Any], *, sees_summary: bool = False) -> dict[str, Expression]:
            found = {}
            for name, given in values.items():
                value, below = value_of(given)
                place = (*path, *word.split("."), name, *below)
                found[name] = self._expression(value, place, names, sees_summary=sees_summary)
            return found

        names = names | {"status"}
        is_brevo = kind == "brevo"
        status = {
            f"{part.status}_{word.upper()}": self._expression(f"${{{{ status.{word} }}}}", (*path, "status"), names)
            for word in (("at", "model", "version") if part.status else ())
        }
        return Target(
            kind,
            self._expression(match if part.is_about_contacts() else {}, (*path, "match"), names, sees_summary=True),
            {**express("attributes", part.attributes, sees_summary=True), **status}
            if is_brevo
            else express("columns", part.columns, sees_summary=True),
            express("lists", part.lists, sees_summary=True),
            event,
            self._expression(event.date, (*path, "event", "date"), names) if event and event.date else None,
            express("event.properties", event.properties if event else {}),
            express("order", part.order),
            express("product", part.product),
            part,
        )

    def _expression(
        self, value: Any, path: tuple[Any, ...], names: set[str], *, sees_summary: bool = False
    ) -> Expression:
        try:
            compiled = compile_value(value)
        except MappingError as error:
            raise self._error(error.message, path, error.hint, "flow.expression") from error
        for name in sorted(compiled.names - names):
            raise self._error(f"nothing is called {name!r} here", path, suggest(name, names), "flow.unknown-name")
        if compiled.names:
            self.expressions.append(Placed(compiled, self.document.place(path), sees_summary))
        return compiled


def _words_at(path: tuple[Any, ...]) -> list[str]:
    part: Any = FlowFile
    if path[:1] == ("summarize",):
        part = SummarizePart
    elif path[:1] == ("expire",):
        part = ExpirePart
    elif path[:1] == ("consent",):
        part = ConsentPart
    elif path[:1] == ("redact",):
        part = RedactPart
    elif path[:1] == ("sink",):
        part = {"event": EventPart, "attributes": AttributePart, "lists": ListPart}.get(
            str(path[2]) if len(path) > 2 else "", SinkPart
        )
    return [info.alias or name for name, info in part.model_fields.items()]
