"""embed: Turn texts into vectors.

Many texts at once: equal ones are bought once, held ones never again; one that is refused does not cost the others.
"""

from __future__ import annotations

import base64
import struct
from typing import Literal

from pydantic import Field, model_validator

from penstock.base.errors import OutputError
from penstock.operations.declare import Asker, Done, Fields, ModelChoice, Operation
from penstock.operations.parcels import MOST_INPUTS, VERSION, Item, Packer, check_text, choose_room, make_ask, measure
from penstock.operations.vectors import Embedder
from penstock.runtime.ask import Answer, Ask


class Input(Fields):
    """What to embed, and how."""

    text: str = ""
    """One text."""
    texts: list[str] = Field(default=[], max_length=20_000)
    """Texts; their vectors come in the same order. For more of them there is `Embedder`, in Python."""
    encoding: Literal["float", "base64"] = "float"
    """How vectors are written: as numbers, or as base64 of little-endian 32-bit floats."""
    dimensions: int | None = Field(default=None, ge=1, le=16_384)
    """Length of the vectors, where the model can shorten them."""

    @model_validator(mode="after")
    def _has_one_kind_of_text(self) -> Input:
        if bool(self.text) == bool(self.texts):
            raise ValueError("give either text or texts")
        return self

    def all_texts(self) -> list[str]:
        """Return what is to be embedded."""
        return self.texts or [self.text]


class Unembedded(Fields):
    """A text that has no vector, and why."""

    place: int
    """Where it stands among the texts, from 0 on."""
    code: str
    """Code of the error."""
    message: str
    """What is wrong with it."""
    hint: str
    """What to do now."""


class Output(Fields):
    """The vectors."""

    vectors: list[list[float] | str | None]
    """One for each text, in order; none for a text with a problem."""
    dimensions: int
    """Their length."""
    model: str
    """The model that made them; vectors of different models cannot be compared."""
    encoding: Literal["float", "base64"]
    """How they are written."""
    problems: list[Unembedded] = Field(default=[])
    """The texts that have no vector."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Embed; raises the error of the first text when none could be embedded."""
    return (await OPERATION.perform(asker, input, choice)).output


async def work(asker: Asker, input: Input, choice: ModelChoice) -> Done[Output]:
    """Embed over as many calls as it takes."""
    texts = input.all_texts()
    embedder = Embedder(asker, choice, dimensions=input.dimensions, interactive=len(texts) <= MOST_INPUTS)
    blocks = [block async for block in embedder.stream(texts)]
    problems = {at: error for block in blocks for at, error in block.problems.items()}
    if len(problems) == len(texts):
        raise problems[0]
    vectors = [_write(row, input.encoding) for block in blocks for row in block.rows]
    output = Output.model_construct(  # built from bytes here: to check a million numbers again would double the time
        vectors=vectors,
        dimensions=blocks[-1].dimensions,
        model=blocks[-1].model,
        encoding=input.encoding,
        problems=[
            Unembedded(place=place, code=error.code, message=error.message, hint=error.hint)
            for place, error in problems.items()
        ],
    )
    answers = tuple(answer for block in blocks for answer in block.answers)
    return Done(output, answers, _warn(input, output))


def _warn(input: Input, output: Output) -> tuple[str, ...]:
    if input.dimensions in (None, output.dimensions):
        return ()
    return (f"dimensions: {output.model} has a fixed size of {output.dimensions}, so they were left out",)


def _write(row: bytes | None, encoding: str) -> list[float] | str | None:
    if row is None:
        return None
    return base64.b64encode(row).decode() if encoding == "base64" else list(struct.unpack(f"<{len(row) // 4}f", row))


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent first; raises `InputError` when no text can be sent."""
    packer = Packer(choose_room(choice))
    items = [Item(text) for text in dict.fromkeys(input.all_texts())]
    first: list[Item] = []
    for item in items:
        check_text(item)
        if item.error is None:
            measure(item, choice)
        if item.error is None and (first := packer.add(item)):
            break
    first = first or packer.take()
    if not first and items[0].error is not None:
        raise items[0].error
    tokens = sum(item.tokens for item in first)
    return make_ask(choice, [item.text for item in first], tokens, input.dimensions, choice.refused)


def read(input: Input, answer: Answer) -> Output:
    """Read the vectors of one call; raises `OutputError`."""
    rows = answer.content
    if not isinstance(rows, list) or len(rows) != len(input.all_texts()):
        raise OutputError("the answer does not have one vector a text", code="output.shape")
    vectors = [_write(row, input.encoding) for row in rows]
    return Output(vectors=vectors, dimensions=len(rows[0]) // 4, model=answer.model, encoding=input.encoding)


OPERATION = Operation(
    module=__name__,
    version=VERSION,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="embedding",
    work=work,
    example={"texts": ["The parcel came late.", "Delivery took too long."], "dimensions": 8},
)
