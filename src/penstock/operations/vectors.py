"""The planner of embeddings: any number of texts in, their vectors out in the same order.

A text is bought once, in calls filled to the vendor's limits; what is held is looked up first, text by text. Vectors
stay bytes or arrays of 32-bit floats all the way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.base.errors import InputError, OutputError, PenstockError, RejectedError, SettingsError, VendorError
from penstock.base.types import Money, Usage
from penstock.operations.declare import Asker, ModelChoice
from penstock.operations.parcels import MOST_INPUTS, Item, Packer, check_text, choose_room, make_ask, measure
from penstock.runtime.ask import Answer
from penstock.runtime.vectors import Held, is_sound

if TYPE_CHECKING:
    import numpy

PAGE = MOST_INPUTS
"""Texts that are looked up together and come out as one block."""
IN_FLIGHT = 12
"""Calls under way at once: each carries up to 17 MB of answer, and a dozen use up the largest published quota."""
_WAITING_BYTES = 192 << 20
_FEWEST_PAGES = 4
_MOST_OUTAGES = 3
_MOST_REFUSED = 16
_NOT_A_NUMBER = b"\x00\x00\xc0\x7f"
_NOTHING = msgspec.Raw(b"null")
"""The body of an answer whose vectors are handed over already."""


@dataclass(frozen=True)
class Block:
    """The vectors of some texts in a row, from the place `start` on.

    A text without a vector is None among `rows` and has its error under its place in `problems`. `answers` are
    the calls that were paid for since the block before, and one for what was held.
    """

    start: int
    rows: list[bytes | None]
    problems: dict[int, PenstockError]
    model: str
    dimensions: int
    answers: tuple[Answer, ...]

    @property
    def matrix(self) -> numpy.ndarray[Any, Any]:
        """The vectors as an array of 32-bit floats, one row a text; NaN where there is a problem."""
        blank = _NOT_A_NUMBER * self.dimensions
        data = b"".join([blank if row is None else row for row in self.rows])
        matrix: numpy.ndarray[Any, Any] = load_numpy().frombuffer(data, "<f4")
        return matrix.reshape(len(self.rows), self.dimensions)


@dataclass(frozen=True)
class Vectors:
    """The vectors of all texts: `matrix` is float32, one row a text, NaN where `problems` has an error for a place."""

    matrix: numpy.ndarray[Any, Any]
    problems: dict[int, PenstockError]
    model: str
    dimensions: int
    answers: tuple[Answer, ...]

    def require_like(self, other: Vectors) -> None:
        """Raise `InputError` unless the other vectors are of the same model and size: else distances mean nothing."""
        mine, theirs = (self.model, self.dimensions), (other.model, other.dimensions)
        if mine != theirs:
            raise InputError(
                f"vectors of {mine[0]} with {mine[1]} dimensions cannot be compared with those of "
                f"{theirs[0]} with {theirs[1]}",
                code="embed.mixed",
                hint="Embed both sets of texts with the same model and dimensions.",
            )


class Embedder:
    """Turns texts into vectors over one connection and model.

    `asker` is the caller of a workspace. `dimensions` is left out with a warning (an error if the choice is strict)
    where the model has a fixed size. What is bought is booked under `flow` and `run`.
    """

    def __init__(
        self,
        asker: Asker,
        choice: ModelChoice,
        *,
        dimensions: int | None = None,
        flow: str = "",
        run: str = "",
        interactive: bool = False,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self.asker = asker
        self.choice = choice
        self.dimensions = dimensions
        self.flow = flow
        self.run = run
        self.interactive = interactive
        self.in_flight = in_flight

    async def embed(self, texts: Iterable[str]) -> Vectors:
        """Return all vectors in one array, which takes 4 bytes a dimension and text; `stream` needs no such memory.

        A text that cannot be embedded has its error beside. Raises what concerns all texts alike: keys, quota,
        budgets, a wrong parameter, an outage; what was bought until then is held.
        """
        numpy = load_numpy()
        known = texts if isinstance(texts, Sequence) else list(texts)
        matrix = None
        problems: dict[int, PenstockError] = {}
        answers: list[Answer] = []
        model, dimensions = self.choice.model.id, self.dimensions or 0
        async for block in self.stream(known):
            problems |= block.problems
            answers += block.answers
            if block.dimensions:
                model, dimensions = block.model, block.dimensions
                if matrix is None:
                    matrix = numpy.full((len(known), dimensions), numpy.nan, numpy.float32)
                matrix[block.start : block.start + len(block.rows)] = block.matrix
        if matrix is None:
            matrix = numpy.full((len(known), dimensions), numpy.nan, numpy.float32)
        return Vectors(matrix, problems, model, dimensions, tuple(answers))

    async def stream(self, texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[Block]:
        """Yield blocks of vectors in the order of the texts; memory does not grow with their number.

        Raises as `embed` does. Close it when leaving early: calls under way are then cut off.
        """
        work = _Work(self)
        try:
            async for page in _read_pages(texts):
                await work.open(page)
                while work.is_ready():
                    yield await work.close()
            while work.pages:
                yield await work.close()
        finally:
            await work.cancel()


class _Page:
    """Texts in a row, and the number of the last call that one of them waits for."""

    def __init__(self, start: int, items: list[Item], fresh: list[Item]) -> None:
        self.start = start
        self.items = items
        self.fresh = fresh
        self.needs = max((item.parcel for item in items), default=0)


class _Work:
    """One stream: its open pages, its calls, and what it learnt on the way."""

    def __init__(self, embedder: Embedder) -> None:
        self.pages: deque[_Page] = deque()
        self._embedder = embedder
        self._asker = embedder.asker
        self._choice = embedder.choice
        self._packer = Packer(choose_room(embedder.choice))
        self._open: dict[str, Item] = {}
        self._bad: dict[str, Item] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._answers: list[Answer] = []
        self._saved: Money | None = 0
        self._held = 0
        self._count = 0
        self._model = ""
        self._size = 0
        self._good_calls = 0
        self._refused = 0
        self._outages = 0

    async def open(self, texts: Sequence[str]) -> None:
        """Take in some texts: look up what is held, pack the rest, and send what is full."""
        items, fresh = self._gather(texts)
        wanted = [item for item in fresh if item.error is None]
        probe = make_ask(self._choice, [item.text for item in wanted], 0, self._embedder.dimensions, self._refusals())
        for item, held in zip(wanted, await self._asker.recall(probe), strict=True):
            if held is not None:
                self._take_held(item, held)
                continue
            measure(item, self._choice)
            if item.error is None and (full := self._packer.add(item)):
                await self._send(full)
        self.pages.append(_Page(self._count, items, fresh))
        self._count += len(items)

    def _gather(self, texts: Sequence[str]) -> tuple[list[Item], list[Item]]:
        """Return an item for each text, the same one for equal texts, and those that are new."""
        items, fresh = [], []
        for text in texts:
            item = (self._open.get(text) or self._bad.get(text)) if isinstance(text, str) else None
            if item is None:
                item = Item(text)
                check_text(item)
                fresh.append(item)
                if isinstance(text, str):
                    self._open[text] = item
            items.append(item)
        return items, fresh

    def is_ready(self) -> bool:
        """Tell whether the first page can be closed at once, or must be because too much waits."""
        if not self.pages:
            return False
        most = max(_FEWEST_PAGES, _WAITING_BYTES // (PAGE * self._size)) if self._size else 2 * _FEWEST_PAGES
        if len(self.pages) > most:
            return True
        needs = self.pages[0].needs
        is_packed = bool(self._packer) and self._packer.number <= needs
        return not is_packed and not any(number <= needs and not task.done() for number, task in self._tasks.items())

    async def close(self) -> Block:
        """Wait for the first page and return it."""
        page = self.pages.popleft()
        if self._packer and self._packer.number <= page.needs:
            await self._send(self._packer.take())
        while waiting := [task for number, task in self._tasks.items() if number <= page.needs]:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
            self._reap()
        for item in page.fresh:
            if isinstance(item.text, str):
                del self._open[item.text]
                if item.error is not None:
                    self._bad[item.text] = item
        problems = {page.start + at: item.error for at, item in enumerate(page.items) if item.error is not None}
        rows = [item.data for item in page.items]
        return Block(page.start, rows, problems, self._model or self._choice.model.id, self._size // 4, self._paid())

    def _paid(self) -> tuple[Answer, ...]:
        """Return the calls since the last time, and one answer for what was held."""
        answers, self._answers = self._answers, []
        if self._held:
            answers.append(Answer(_NOTHING, Usage(), self._saved, self._model, "default", "", 0.0, cached=True))
        self._held, self._saved = 0, 0
        return tuple(answers)

    async def _send(self, items: list[Item]) -> None:
        while len(self._tasks) >= self._embedder.in_flight:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            self._reap()
        self._tasks[items[0].parcel] = asyncio.create_task(self._buy(items))
        # It leaves before the next texts are counted, which takes a while for long ones.
        await asyncio.wait(self._tasks.values(), timeout=0)

    def _reap(self) -> None:
        """Drop the calls that ended; raises what concerns all texts."""
        for number, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[number]
                task.result()

    async def cancel(self) -> None:
        """Cut off what is under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _buy(self, items: list[Item]) -> None:
        """Buy the vectors of some texts; when they are refused together, in halves, until what is refused is alone."""
        try:
            answer = await self._ask(items)
        except (RejectedError, InputError) as error:
            if not _may_be_one_text(error):
                raise
            if len(items) > 1:
                middle = len(items) // 2
                await self._buy(items[:middle])
                await self._buy(items[middle:])
                return
            items[0].error = error
            self._refused += 1
            if self._refused >= _MOST_REFUSED and not self._good_calls:  # it is not about the texts
                raise
        except (VendorError, OutputError) as error:
            self._outages += 1
            if error.recovery == "stop" or self._outages >= _MOST_OUTAGES:
                raise
            for item in items:
                item.error = error
        else:
            self._require_alike(answer.model, len(answer.content[0]))
            self._good_calls += 1
            self._outages = 0
            for item, data in zip(items, answer.content, strict=True):
                item.data = data
            self._answers.append(msgspec.structs.replace(answer, body=_NOTHING))

    async def _ask(self, items: list[Item]) -> Answer:
        """Ask; a refused parameter is learnt and left out. Raises `OutputError` for an answer without vectors."""
        texts, tokens = [item.text for item in items], sum(item.tokens for item in items)
        told = self._embedder
        while True:
            refused = self._refusals()
            ask = make_ask(self._choice, texts, tokens, told.dimensions, refused)
            try:
                answer = await self._asker.ask(ask, flow=told.flow, run=told.run, interactive=told.interactive)
            except RejectedError as error:
                parameter = await self._asker.learn(ask, error)
                may_go = parameter == "encoding_format" or (parameter == "dimensions" and not self._choice.strict)
                if parameter not in ask.body or not may_go:
                    raise
                self._choice = msgspec.structs.replace(self._choice, refused=refused | {parameter})
                continue
            if not is_sound(ask, answer.content):
                raise OutputError(
                    f"{answer.model} did not answer with one vector a text", code="output.shape", hint=_NOT_VECTORS
                )
            return answer

    def _refusals(self) -> frozenset[str]:
        probe = make_ask(self._choice, [], 0, None, frozenset())
        return self._choice.refused | self._asker.refused(probe)

    def _take_held(self, item: Item, held: Held) -> None:
        self._require_alike(held.model, len(held.data))
        item.data = held.data
        self._held += 1
        self._saved = None if held.cost is None or self._saved is None else self._saved + held.cost

    def _require_alike(self, model: str, size: int) -> None:
        """Raise `OutputError` for a vector that is not of the same model and size as the others."""
        if not self._size:
            self._model, self._size = model, size
        elif (model, size) != (self._model, self._size):
            raise OutputError(
                f"vectors of {self._model} ({self._size // 4} dimensions) and of {model} ({size // 4}) came for one "
                "request; they cannot be compared",
                code="embed.mixed-answers",
                hint="Another model serves this name now: embed all texts again with --fresh (`fresh` in Python).",
            )


_NOT_VECTORS = "Check that the connection's endpoint and model serve embeddings."


def _may_be_one_text(error: RejectedError | InputError) -> bool:
    """Tell whether an error can be the fault of some of the texts, or of their sum."""
    if isinstance(error, RejectedError):
        is_about_input = not error.param or error.param.startswith(("input", "$.input"))
        return is_about_input and error.status in (400, 413, 422)
    return error.code == "governor.never-fits"


async def _read_pages(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[list[str]]:
    page: list[str] = []
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            page.append(text)
            if len(page) == PAGE:
                yield page
                page = []
    else:
        for text in texts:
            page.append(text)
            if len(page) == PAGE:
                yield page
                page = []
    if page:
        yield page


def load_numpy() -> Any:
    """Return `numpy`; raises `SettingsError` when it is not installed."""
    try:
        import numpy
    except ImportError as error:
        raise SettingsError(
            "arrays of vectors need the package numpy", code="embed.needs-numpy", hint="pip install 'penstock[vectors]'"
        ) from error
    return numpy
