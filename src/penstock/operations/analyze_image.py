"""analyze-image: Answer questions about pictures, as text or as JSON that fits a schema.

A text model that reads images. A picture behind a URL is fetched by the vendor, or here where that is wished.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field

from penstock.operations.answer_schema import AnswerSchema
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.files import Fetch, SeenFile, load_files
from penstock.operations.media import RED_SQUARE
from penstock.operations.parameters import Wishes, cut_at
from penstock.operations.request import refuse
from penstock.operations.talk import Picture, Talk, Turn, build_ask, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask


class Input(Wishes):
    """What to look at, and what to find out."""

    text: str = Field(min_length=1, validation_alias=AliasChoices("text", "prompt"))
    """The question, or what to do."""
    images: list[SeenFile] = Field(min_length=1, max_length=50, validation_alias=AliasChoices("images", "image"))
    """The pictures: png, jpg, webp or gif; paths, URLs, base64 or data URLs."""
    detail: Literal["auto", "low", "high"] = "auto"
    """How closely to look; high costs more."""
    inline: bool = False
    """Fetch a picture behind a URL here and send it along, instead of having the vendor fetch it."""
    instructions: str = ""
    """What the model must do and be, the same for many pictures."""
    answer_schema: AnswerSchema | None = None
    """JSON Schema that the answer must fit; without it the answer is text."""


class Output(Fields):
    """What was found out."""

    text: str
    """The answer as text."""
    data: Any = None
    """The answer as JSON, when a schema was given."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Look; raises `InputError` for a model that is blind, `OutputError` when the answer is cut, refused or unfit."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent; raises `InputError` for a model that does not read images."""
    model = choice.model
    if model.known and not model.reads_images:
        raise refuse("images", f"{model.id} does not read them", "use a model that does, such as the default")
    pictures = tuple(Picture(image.data_url(), input.detail) for image in input.images)
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=Talk(input.instructions, (Turn("user", input.text, pictures),), input.answer_schema),
        wishes=input,
    )


async def load(input: Input, fetch: Fetch) -> Input:
    """Fetch pictures here where that is wished; otherwise the vendor does."""
    return await load_files(input, fetch) if input.inline else input


def read(input: Input, answer: Answer) -> Output:
    """Take the text out of the answer and hold it against the schema; raises `OutputError`."""
    text = read_text(answer.content)
    if input.answer_schema is None:
        return Output(text=cut_at(text, input.stop), model=answer.model)
    return Output(text=text, data=read_json(text, input.answer_schema), model=answer.model)


def streams(input: Input) -> list[str]:
    """Give out the text as it comes, up to a stop text; JSON has none."""
    return [] if input.answer_schema is not None else input.stop


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    streams=streams,
    load=load,
    example={"text": "Which colour is this?", "images": [f"data:image/png;base64,{RED_SQUARE}"]},
)
