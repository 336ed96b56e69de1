"""What an operation is: typed input and output around one paid call, with pure preparing and reading.

A leaf is a module with `Input`, `Output`, `run` and `OPERATION`. Commands, routes, flow
steps and reference pages are derived from the declaration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.base.errors import DefectError, InputError, OutputError, PenstockError, RejectedError
from penstock.base.redact import redact
from penstock.operations.catalogue import Entry, all_operations
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.stream import STREAM_PARAMETERS, Speaker
from penstock.runtime.vectors import Held
from penstock.vendor.models import Kind, Model


class Fields(BaseModel):
    """Base of every `Input` and `Output`: closed, unchangeable; the text under a field is its help."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelChoice(msgspec.Struct, frozen=True):
    """Which model answers, over which connection and tier.

    `decisions` and `responses` are False where an endpoint lacks that API.
    `refused` are parameters that this model is known to refuse there. With `strict` a parameter that
    cannot be honoured is an error; otherwise it is left out with a warning. `instead_of` is a model that was
    wished for and is shut down. `writer` is the text model where the model itself is of another kind.
    """

    model: Model
    connection: str = "openai"
    tier: str = "default"
    decisions: bool = True
    responses: bool = True
    refused: frozenset[str] = frozenset()
    strict: bool = False
    instead_of: str = ""
    writer: Model | None = None

    @property
    def has_decisions(self) -> bool:
        """Tell whether the Decisions API can be used."""
        return self.decisions and self.model.decisions


class Asker(Protocol):
    """The one thing that an operation needs of the runtime: the path of a paid call."""

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        """Answer one request; raises the typed errors of `base.errors`."""

    async def recall(self, ask: Ask) -> list[Held | None]:
        """Return the held vector, or None, of each text in a request for vectors."""

    def refused(self, ask: Ask) -> frozenset[str]:
        """Return the parameters that this model is known to refuse over this connection."""

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        """Remember which parameter an error refuses; returns its name, or nothing."""


I = TypeVar("I", bound=Fields)  # noqa: E741 - input
O = TypeVar("O", bound=Fields)  # noqa: E741 - output


@dataclass(frozen=True)
class Done(Generic[O]):
    """A finished operation: its output, and the answers that were used for it (none, one, or two after a repair)."""

    output: O
    answers: tuple[Answer, ...] = ()
    warnings: tuple[str, ...] = ()
    """What of the input could not be honoured."""


@dataclass(frozen=True)
class Operation(Generic[I, O]):
    """The declaration of one operation; every function in it is pure.

    `version` is part of an answer's address: raise it when the same input may now be
    answered or read differently. `prepare` says what would be sent, or gives the output
    where no call is needed. `read` turns an answer into the output or raises
    `OutputError`. `repair` is asked once for another request, `fallback` for an output
    that needs no answer. `kind` says which default model it takes. An operation of many
    calls, such as the vectors of a thousand texts, does its own `work` instead; what
    `prepare` returns is then its first request, which is what `--dry-run` shows. Where
    the field `text` of the output is what the model writes, `streams` says so: pieces of
    it can be given out as they come, up to the first of the texts that it returns. `load`
    fetches the files of an input that are behind URLs, before anything is prepared. `example`
    are values of the input that work as they are, in the sandbox too. `sample` is asked after each
    good output whether another answer is needed, or gives the output of them all. `optional` fields
    change nothing that is kept of a record while they have their default.
    """

    module: str
    version: int
    input: type[I]
    output: type[O]
    prepare: Callable[[I, ModelChoice], Ask | O]
    read: Callable[[I, Answer], O]
    repair: Callable[[Ask, Answer, OutputError], Ask | None] | None = None
    fallback: Callable[[I], O | None] | None = None
    kind: Kind = "chat"
    work: Callable[[Asker, I, ModelChoice], Awaitable[Done[O]]] | None = None
    streams: Callable[[I], Sequence[str]] | None = None
    load: Callable[[I, Callable[[str, int], Awaitable[bytes]]], Awaitable[I]] | None = None
    example: Mapping[str, Any] = field(default_factory=dict)
    sample: Callable[[I, ModelChoice, Sequence[O]], Ask | O] | None = None
    optional: frozenset[str] = frozenset()

    @cached_property
    def entry(self) -> Entry:
        """Where the catalogue lists this operation."""
        for entry in all_operations():
            if entry.module == self.module:
                return entry
        raise DefectError(f"{self.module} does not begin with `name: Title.`", code="operation.unlisted")

    @property
    def name(self) -> str:
        """The verb-noun name, the same everywhere."""
        return self.entry.name

    @property
    def title(self) -> str:
        """One sentence for lists and help."""
        return self.entry.title

    def parse(self, values: Mapping[str, Any], files: object = None) -> I:
        """Build the input from plain values; raises `InputError` that names each wrong field.

        `files` is the `operations.files.FilePolicy` of whoever calls; without one no path is read.
        """
        try:
            return self.input.model_validate(values, context={} if files is None else {"files": files})
        except ValidationError as error:
            raise _input_error(self.name, error, list(self.input.model_fields)) from None

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the input."""
        return self.input.model_json_schema()

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the output."""
        return self.output.model_json_schema(mode="serialization")

    async def perform(
        self,
        asker: Asker,
        input: I,
        choice: ModelChoice,
        *,
        flow: str = "",
        run: str = "",
        interactive: bool = False,
        prepared: Ask | O | None = None,
        speaker: Speaker | None = None,
    ) -> Done[O]:
        """Prepare (unless that is done already), ask, read; on an unusable answer one repair, then the fallback.

        A parameter that the vendor refuses is learnt and left out, unless the choice is strict.
        `speaker` is who hears the answers of `asker` as they come: what it gave out is not repaired.
        Raises `OutputError` when the answer stays unusable and there is no fallback, and
        whatever the paid call raises.
        """
        if self.work is not None:
            return await self.work(asker, input, choice)
        prepared = prepared or self.prepare(input, choice)
        if not isinstance(prepared, Ask):
            return Done(prepared)
        told = _Told(flow, run, interactive)
        request, first = await self._ask(asker, input, choice, prepared, told)
        answers: tuple[Answer, ...] = (first,)
        try:
            done = Done(self.read(input, first), answers, request.warnings)
            return await self._sample(asker, input, choice, done, told) if self.sample else done
        except OutputError as error:
            problem = error
        if speaker is not None:
            if speaker.has_spoken:
                raise problem
            speaker.begin()
        again = self.repair(request, first, problem) if self.repair else None
        if again is not None:
            second = await asker.ask(again, flow=flow, run=run, interactive=interactive)
            answers = (first, second)
            try:
                return Done(self.read(input, second), answers, request.warnings)
            except OutputError as error:
                problem = error
        output = self.fallback(input) if self.fallback else None
        if output is None:
            raise problem
        return Done(output, answers, request.warnings)

    async def _ask(self, asker: Asker, input: I, choice: ModelChoice, request: Ask, told: _Told) -> tuple[Ask, Answer]:
        """Ask; each parameter that is refused is left out of a new request, as long as that changes it."""
        while True:
            request, choice = self.heed(input, choice, request, asker.refused(request))
            try:
                return request, await asker.ask(request, flow=told.flow, run=told.run, interactive=told.interactive)
            except RejectedError as error:
                parameter = "" if choice.strict else await asker.learn(request, error)
                if not parameter or parameter in choice.refused:
                    raise
                again, choice = self.heed(input, choice, request, frozenset({parameter}))
                if again.body == request.body and parameter not in STREAM_PARAMETERS:
                    raise
                request = again

    async def _sample(self, asker: Asker, input: I, choice: ModelChoice, done: Done[O], told: _Told) -> Done[O]:
        """Ask for further answers as long as they are wished for; one that cannot be used ends it."""
        outputs, answers = [done.output], done.answers
        while self.sample is not None:
            after = self.sample(input, choice, outputs)
            if not isinstance(after, Ask):
                return Done(after, answers, done.warnings)
            answer = await asker.ask(after, flow=told.flow, run=told.run, interactive=told.interactive)
            answers = (*answers, answer)
            try:
                outputs.append(self.read(input, answer))
            except OutputError:
                break
        return Done(done.output, answers, done.warnings)

    def heed(self, input: I, choice: ModelChoice, request: Ask, refused: frozenset[str]) -> tuple[Ask, ModelChoice]:
        """Prepare a request again without what is known to be refused; a strict choice sends it all the same."""
        if choice.strict or refused <= choice.refused:
            return request, choice
        choice = msgspec.structs.replace(choice, refused=choice.refused | refused)
        again = self.prepare(input, choice)
        return (again if isinstance(again, Ask) else request), choice


class _Told(NamedTuple):
    """What the books want to know about a call."""

    flow: str
    run: str
    interactive: bool


def _input_error(name: str, error: ValidationError, fields: list[str]) -> InputError:
    import difflib

    lines, hint = [], f"It takes: {', '.join(fields)}."
    for problem in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in problem["loc"]) or "input"
        lines.append(f"{field}: {problem['msg'].removeprefix('Value error, ')}")
        close = difflib.get_close_matches(field, fields, n=1)
        if problem["type"] == "extra_forbidden" and close:
            hint = f"Did you mean {close[0]}?"
    return InputError(
        redact(f"{name} cannot use this input: {'; '.join(lines)}"), code="operation.bad-input", hint=hint
    )
