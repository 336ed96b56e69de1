"""respond: Write text, or JSON that fits a schema.

The Responses API, or Chat Completions where an endpoint has nothing else.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from penstock.operations.answer_schema import AnswerSchema
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.parameters import Wishes, cut_at
from penstock.operations.talk import Talk, Turn, build_ask, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask


class Input(Wishes):
    """What to write."""

    text: str = Field(min_length=1)
    """The request, or the data that the instructions are about."""
    instructions: str = ""
    """What the model must do; the same for many texts, so that the prompt cache can hold it."""
    answer_schema: AnswerSchema | None = None
    """JSON Schema that the answer must fit; without it the answer is text."""


class Output(Fields):
    """What was written."""

    text: str
    """The answer as text."""
    data: Any = None
    """The answer as JSON, when a schema was given."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Write; raises `OutputError` when the answer is cut, filtered, refused or does not fit after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=Talk(input.instructions, (Turn("user", input.text),), input.answer_schema),
        wishes=input,
    )


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
    example={"text": "Write one line about rain."},
)
