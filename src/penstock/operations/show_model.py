"""show-model: Show one model as the vendor lists it.

Tells whether the key may use it, and when it ends.
"""

from __future__ import annotations

from urllib.parse import quote

from pydantic import Field

from penstock.base.errors import OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.list_models import Listed, read_model
from penstock.runtime.ask import Answer, Ask


class Input(Fields):
    """Which model."""

    name: str = Field(min_length=1)
    """Its name."""


class Output(Listed):
    """The model."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Show it; raises `RejectedError` when the key may not use it."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    return Ask(
        OPERATION.name,
        OPERATION.version,
        f"/models/{quote(input.name, safe='')}",
        "",
        {},
        0,
        connection=choice.connection,
        method="GET",
        is_free=True,
        is_kept=False,
    )


def read(input: Input, answer: Answer) -> Output:  # noqa: ARG001 - the reply says it all
    """Read the reply; raises `OutputError`."""
    if not isinstance(answer.content, dict):
        raise OutputError("the reply is no model", code="output.shape")
    return Output.model_validate(read_model(answer.content).model_dump())


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="unknown",
    example={"name": "gpt-6-luna"},
)
