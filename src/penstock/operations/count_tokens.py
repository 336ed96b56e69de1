"""count-tokens: Count the tokens of a request without generating.

The vendor's own counter, which is authoritative and free, or an estimate on this machine.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.base.errors import OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.runtime.ask import Answer, Ask
from penstock.vendor import tokens


class Input(Fields):
    """What to count."""

    text: str = Field(min_length=1)
    """The text."""
    instructions: str = ""
    """Instructions that would be sent with it."""
    method: Literal["vendor", "here"] = "vendor"
    """Who counts: the vendor, or this machine (no call; exact with the `tokens` extra, for models it knows)."""


class Output(Fields):
    """How many."""

    tokens: int
    """Input tokens."""
    method: Literal["vendor", "here"]
    """Who counted."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Count; raises `OutputError` when the reply has no count."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask | Output:
    """Say what would be sent, or count here."""
    count = tokens.count_tokens(input.instructions + input.text, choice.model.id)
    if input.method == "here":
        return Output(tokens=count, method="here")
    body = {"model": choice.model.id, "input": input.text}
    if input.instructions:
        body["instructions"] = input.instructions
    return Ask(
        OPERATION.name,
        OPERATION.version,
        "/responses/input_tokens",
        choice.model.id,
        body,
        count,
        connection=choice.connection,
        is_free=True,
    )


def read(input: Input, answer: Answer) -> Output:  # noqa: ARG001 - the reply says it all
    """Read the count; raises `OutputError`."""
    content = answer.content if isinstance(answer.content, dict) else {}
    count = content.get("input_tokens")
    if not isinstance(count, int) or isinstance(count, bool):
        raise OutputError("the reply has no count of tokens", code="output.shape")
    return Output(tokens=count, method="vendor")


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    example={"text": "Write one line about rain."},
)
