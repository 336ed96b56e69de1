"""Operations of an open workspace: run one, run many, show what would be sent. Every door calls them from here.

await workspace.operations.respond(text="Write one line about rain.")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import FixError, InputError, PenstockError
from penstock.base.types import DOLLAR, Money, to_money
from penstock.operations.catalogue import all_operations, find_operation
from penstock.operations.declare import Fields, ModelChoice, Operation
from penstock.operations.files import NO_PATHS, Fetch, FilePolicy
from penstock.operations.result import Result, describe_result
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.call import Caller
from penstock.runtime.connections import Book, Connection
from penstock.runtime.radar import describe_end, find_successor
from penstock.runtime.stream import Listen, Speaker
from penstock.runtime.vectors import Held
from penstock.vendor.models import Kind, Model


class CallOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one operation is called: what the input does not say and the settings may say otherwise.

    `budget` is in dollars and a hard stop for this call. `strict` makes an error of what can
    otherwise be left out with a warning. `fresh` neither reads nor keeps a held answer.
    """

    connection: str | None = None
    model: str | None = None
    tier: str | None = None
    budget: float | None = None
    strict: bool = False
    fresh: bool = False


class Piece(msgspec.Struct, frozen=True):
    """A part of an answer's text, given out as soon as it came."""

    text: str


USUAL = CallOptions()
"""A call as the settings say."""


class Preview(msgspec.Struct, frozen=True):
    """The exact request that an operation would send, and what it is expected and at most allowed to cost."""

    operation: str
    connection: str
    method: str
    path: str
    body: dict[str, Any]
    files: tuple[str, ...]
    prompt_tokens: int
    max_output_tokens: int
    likely_dollars: float | None
    most_dollars: float | None
    warnings: tuple[str, ...]


class Operations:
    """The operations of one workspace; each is also a method, `analyze-sentiment` as `analyze_sentiment`."""

    def __init__(
        self,
        caller: Caller,
        book: Book,
        clock: Clock,
        label: str = "",
        *,
        fetch: Fetch,
        files: FilePolicy = NO_PATHS,
    ) -> None:
        """Call over `caller`; what is bought is booked as the flow `label`.

        `fetch` gets files behind URLs; `files` says which paths may be read.
        """
        self._caller = caller
        self._book = book
        self._settings = book.settings
        self._clock = clock
        self._label = label
        self._fetch = fetch
        self._files = files
        self._streams: set[asyncio.Task[Result]] = set()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Result]]:
        known = {entry.name for entry in all_operations()}
        wanted = name.replace("_", "-")
        if wanted not in known:
            raise AttributeError(name)

        async def call(options: CallOptions = USUAL, **values: Any) -> Result:
            return await self.call(wanted, values, options)

        return call

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(entry.name.replace("-", "_") for entry in all_operations())]

    def reading(self, files: FilePolicy) -> Operations:
        """Return the same operations for a caller who may read other paths."""
        return self._derive(self._label, files)

    def under(self, label: str, budget: float | None, files: FilePolicy = NO_PATHS) -> Operations:
        """Return the same operations with all of their calls booked as the flow `label`, `budget` dollars at most.

        Paths are read as `files` allows: as a rule not at all.
        """
        if budget is not None:
            self._caller.ledger.budgets[f"flow:{label}"] = check_budget(budget)
        return self._derive(label, files)

    def _derive(self, label: str, files: FilePolicy) -> Operations:
        derived = Operations(self._caller, self._book, self._clock, label, fetch=self._fetch, files=files)
        derived._streams = self._streams  # closed together
        return derived

    def choose(self, kind: Kind = "chat", options: CallOptions = USUAL) -> ModelChoice:
        """Return the model that answers, and over which connection: those wished for, else those of the settings."""
        connection = self._book.find_for_calls(options.connection or str(self._settings.get("connection")))
        wished = found = self._find_model(kind, options.model, connection)
        if connection.kind == "openai" and self._settings.get("replace-ended"):
            found = find_successor(self._caller.catalogue, wished, self._clock.now())
        return ModelChoice(
            found,
            connection=connection.name,
            tier=options.tier or "default",
            decisions=connection.has_decisions,
            responses=connection.speaks == "responses",
            strict=options.strict,
            instead_of="" if found is wished else wished.id,
            writer=self._find_model("chat", None, connection) if kind in ("transcription", "image") else None,
        )

    async def _read(self, operation: Operation[Any, Any], values: Mapping[str, Any]) -> Any:
        """Return the input with its files: those of paths that may be read, those of URLs fetched."""
        if operation.load is None:
            return operation.parse(values)
        parsed = await asyncio.to_thread(operation.parse, values, self._files)
        return await operation.load(parsed, self._fetch)

    def _find_model(self, kind: Kind, name: str | None, connection: Connection) -> Model:
        if kind == "unknown":  # the operation has none, or its input names it
            return Model(id=name or "", known=False)
        name = name or str(self._settings.get("model" if kind == "chat" else f"model.{kind}"))
        return self._caller.catalogue.find(connection.find_model(name))

    async def call(self, name: str, values: Mapping[str, Any], options: CallOptions = USUAL) -> Result:
        """Run one operation by its name, ahead of flows in the queue.

        Raises `InputError` that names each wrong value, and the typed errors of a paid call.
        """
        return await self._call(name, values, options)

    async def stream(
        self,
        name: str,
        values: Mapping[str, Any],
        options: CallOptions = USUAL,
    ) -> AsyncGenerator[Piece | Result, None]:
        """Run one operation and yield its text as it comes, then its result.

        What is held already, and the text of a server that does not stream, come in one piece; an
        operation that writes no text has none. Raises as `call` does; an answer that turns out unusable
        after a piece was given out raises instead of being repaired, and one that breaks off is not
        asked for again. Closing it early cuts the answer off, which may be billed all the same.
        """
        said: asyncio.Queue[str] = asyncio.Queue()
        work = asyncio.create_task(self._call(name, values, options, said.put_nowait))
        work.add_done_callback(lambda _: said.put_nowait(""))
        self._streams.add(work)
        work.add_done_callback(self._streams.discard)
        try:
            while text := await said.get():
                yield Piece(text)
            yield work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def close(self) -> None:
        """Cut off the streams that nobody ended."""
        streams = tuple(self._streams)
        for work in streams:
            work.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    async def _call(
        self, name: str, values: Mapping[str, Any], options: CallOptions, listen: Listen | None = None
    ) -> Result:
        operation = find_operation(name)
        parsed, choice = await self._read(operation, values), self.choose(operation.kind, options)
        speaker = Speaker(listen, operation.streams(parsed)) if listen and operation.streams else None
        with self._asker(options, speaker.hear if speaker else None) as asker:
            done = await operation.perform(asker, parsed, choice, interactive=True, speaker=speaker)
        result = describe_result(operation.name, done, choice)
        warnings = self._warn(choice, bool(done.answers))
        if speaker is not None:
            warnings += self._end_speech(speaker, result, choice)
        return msgspec.structs.replace(result, warnings=(*warnings, *result.warnings))

    def _end_speech(self, speaker: Speaker, result: Result, choice: ModelChoice) -> tuple[str, ...]:
        """Give out what was held back, or all of a text that did not come in pieces; say when it never does."""
        speaker.end()
        if not speaker.has_spoken and result.output.get("text"):
            speaker.say(str(result.output["text"]))
        account = self._caller.connection(choice.connection).account
        if result.calls and "stream" in self._caller.refusals.of(account, choice.model.id):
            return (f"stream: {choice.model.id} refused it; the answer came in one piece",)
        return ()

    async def call_many(
        self,
        name: str,
        inputs: Mapping[str, Mapping[str, Any]],
        options: CallOptions = USUAL,
    ) -> dict[str, Result | PenstockError]:
        """Run one operation over many inputs, each with its own result or error, as many at once as the setting allows.

        Raises only what concerns all of them alike: keys, quota, budgets.
        """
        operation = find_operation(name)
        choice = self.choose(operation.kind, options)
        slots = asyncio.Semaphore(int(self._settings.get("in-flight")))
        results: dict[str, Result | PenstockError] = {}

        async def one(asker: _Asker, key: str, values: Mapping[str, Any]) -> None:
            async with slots:
                try:
                    done = await operation.perform(asker, await self._read(operation, values), choice)
                except PenstockError as error:
                    if error.recovery == "stop":
                        raise
                    results[key] = error
                else:
                    results[key] = describe_result(operation.name, done, choice)

        with self._asker(options) as asker:
            async with asyncio.TaskGroup() as group:
                for key, values in inputs.items():
                    group.create_task(one(asker, key, values))
        return {key: results[key] for key in inputs}

    def preview(self, name: str, values: Mapping[str, Any], options: CallOptions = USUAL) -> Preview:
        """Return what would be sent; sends nothing."""
        operation: Operation[Any, Any] = find_operation(name)
        choice = self.choose(operation.kind, options)
        parsed = operation.parse(values, self._files)
        prepared = operation.prepare(parsed, choice)
        if isinstance(prepared, Fields):
            return Preview(operation.name, "", "", "", {}, (), 0, 0, 0.0, 0.0, ("no call is needed",))
        ask, _ = operation.heed(parsed, choice, prepared, self._caller.refused(prepared))
        estimate = self._caller.estimate(ask)
        return Preview(
            operation.name,
            ask.connection,
            ask.method,
            ask.path,
            ask.body,
            tuple(f"{file.field}: {file.name} ({len(file.data):,} bytes)" for file in ask.files),
            ask.prompt_tokens,
            ask.max_output_tokens,
            None if estimate.likely is None else estimate.likely / DOLLAR,
            None if estimate.most is None else estimate.most / DOLLAR,
            (*self._warn(choice, True), *ask.warnings),
        )

    def _warn(self, choice: ModelChoice, is_asked: bool) -> tuple[str, ...]:
        """Say when the model that is asked will be shut down, or which one it stands for."""
        if not is_asked or (choice.model.shutdown is None and not choice.instead_of):
            return ()
        client = self._caller.connection(choice.connection)
        advice = describe_end(choice.model, client, self._clock.now(), choice.instead_of)
        return (advice,) if advice else ()

    @contextmanager
    def _asker(self, options: CallOptions, listen: Listen | None = None) -> Iterator[_Asker]:
        """Give the paid path of one call, under its own budget as long as it lasts."""
        budgets, run = self._caller.ledger.budgets, ""
        if options.budget is not None:
            run = self._clock.new_id("call")
            budgets[f"run:{run}"] = check_budget(options.budget)
        try:
            yield _Asker(self._caller, self._label, run, options.fresh, listen)
        finally:
            budgets.pop(f"run:{run}", None)


class _Asker:
    """The paid path for one call: under its own budget, and past the held answers where that is wished."""

    def __init__(self, caller: Caller, label: str, run: str, fresh: bool, listen: Listen | None) -> None:
        self._caller = caller
        self._label = label
        self._run = run
        self._fresh = fresh
        self._listen = listen

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        if self._fresh:
            ask = msgspec.structs.replace(ask, is_kept=False)
        return await self._caller.ask(
            ask, flow=flow or self._label, run=run or self._run, interactive=interactive, listen=self._listen
        )

    async def recall(self, ask: Ask) -> list[Held | None]:
        return [None] * len(ask.body["input"]) if self._fresh else await self._caller.recall(ask)

    def refused(self, ask: Ask) -> frozenset[str]:
        return self._caller.refused(ask)

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        return await self._caller.learn(ask, error)


def check_budget(dollars: float) -> Money:
    """Return a budget as money; raises `InputError` for what is no amount."""
    if not 0 < dollars <= 1e9:  # also refuses NaN
        raise InputError("a budget is an amount in dollars, more than 0", code="call.budget")
    return to_money(dollars)


def parse_options(values: Mapping[str, Any]) -> CallOptions:
    """Build options from plain values; raises `FixError` that names what is wrong."""
    try:
        return msgspec.convert(dict(values), CallOptions)
    except msgspec.ValidationError as error:
        known = ", ".join(CallOptions.__struct_fields__)
        raise FixError(
            f"the call options are wrong: {error}", code="call.options", hint=f"There are: {known}."
        ) from None
