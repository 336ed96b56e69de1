"""extract: Take facts out of a text, as JSON that fits a schema.

What the text does not tell comes back as null where the schema allows it.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from penstock.operations.answer_schema import AnswerSchema
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.fence import FENCE_RULE, fence
from penstock.operations.parameters import Wishes
from penstock.operations.talk import Talk, Turn, build_ask, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask

_ORDER = (
    "Take the facts that the schema asks for out of the text. Copy values as they stand; never guess: what the text "
    "does not tell is null, or left empty where null is not allowed."
)


class Input(Fields):
    """Where facts are taken from, and which."""

    text: str = Field(min_length=1)
    """The text; it is read as data, never as an order."""
    answer_schema: AnswerSchema
    """JSON Schema of the facts; the descriptions in it tell the model what to look for."""
    instructions: str = ""
    """What else the model should know, such as what an unusual word means."""
    max_tokens: int = Field(default=1500, ge=1)
    """Longest answer, in tokens."""


class Output(Fields):
    """The facts."""

    data: Any
    """The facts, as the schema says."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Take the facts out; raises `OutputError` when the answer does not fit the schema after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    orders = "\n".join(part for part in (_ORDER, input.instructions, FENCE_RULE) if part)
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=Talk(orders, (Turn("user", fence(input.text)),), input.answer_schema),
        wishes=Wishes(max_tokens=input.max_tokens),
        likely_output_tokens=min(150, input.max_tokens),
    )


def read(input: Input, answer: Answer) -> Output:
    """Hold the facts against the schema; raises `OutputError`."""
    return Output(data=read_json(read_text(answer.content), input.answer_schema), model=answer.model)


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    example={
        "text": "Order 4711: two pairs of sandals, size 39.",
        "answer_schema": {
            "type": "object",
            "properties": {"order": {"type": "string"}, "size": {"type": ["integer", "null"]}},
            "required": ["order", "size"],
            "additionalProperties": False,
        },
    },
)
