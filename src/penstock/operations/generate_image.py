"""generate-image: Draw pictures from a description.

GPT Image: pictures come as files, never as addresses. Sizes, qualities and formats are held to what the model makes.
"""

from __future__ import annotations

from penstock.operations.declare import Asker, ModelChoice, Operation
from penstock.operations.pictures import SECONDS, Look, Order, Pictures, read_pictures
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens


class Input(Look):
    """What to draw."""


class Output(Pictures):
    """What was drawn."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Draw; raises `RejectedError` for what the vendor does not draw, `OutputError` for an answer without pictures."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    order = Order(input, choice)
    tokens = count_tokens(order.body["prompt"], choice.model.id)
    return Ask(
        OPERATION.name,
        OPERATION.version,
        "/images/generations",
        choice.model.id,
        order.body,
        tokens,
        connection=choice.connection,
        images=input.copies,
        most=order.most(tokens),
        likely=order.likely(tokens),
        timeout=SECONDS,
        warnings=tuple(order.warnings),
    )


def read(input: Input, answer: Answer) -> Output:
    """Take the pictures; raises `OutputError`."""
    return Output(**dict(read_pictures(input, answer)))


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="image",
    example={"text": "A red kettle on a wooden table, morning light", "quality": "low"},
)
