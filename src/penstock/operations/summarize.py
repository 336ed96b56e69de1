"""summarize: Say the same in fewer words.

One request over the text as data: what it says is never an order.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.base.errors import OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.fence import FENCE_RULE, fence
from penstock.operations.parameters import Wishes
from penstock.operations.talk import Talk, Turn, build_ask, read_text, repair
from penstock.runtime.ask import Answer, Ask

_SHAPES = {"paragraph": "one paragraph", "bullets": "a list, one line each after '- '", "headline": "a headline"}
_SLACK = 1.5
"""How far above the wished words a summary may be before it is asked for again: models count badly."""


class Input(Fields):
    """What to shorten, and how."""

    text: str = Field(min_length=1)
    """The text; it is read as data, never as an order."""
    limit: int = Field(default=80, ge=5, le=2000)
    """Longest summary, in words."""
    style: Literal["paragraph", "bullets", "headline"] = "paragraph"
    """Shape of the summary."""
    focus: str = ""
    """What the reader wants to know, when not everything."""
    language: str = ""
    """Language of the summary, such as `de` or German; empty keeps that of the text."""


class Output(Fields):
    """The short version."""

    text: str
    """The summary."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Shorten; raises `OutputError` when the answer is unusable or far too long after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    orders = [
        f"Summarise the text as {_SHAPES[input.style]} of at most {input.limit} words. Say only what the text says.",
        f"The reader wants to know: {input.focus}" if input.focus else "",
        f"Write in this language: {input.language}" if input.language else "Write in the language of the text.",
        FENCE_RULE,
    ]
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=Talk("\n".join(order for order in orders if order), (Turn("user", fence(input.text)),)),
        wishes=Wishes(max_tokens=input.limit * 3 + 40),
        likely_output_tokens=input.limit,
    )


def read(input: Input, answer: Answer) -> Output:
    """Take the summary; raises `OutputError` where it is far longer than wished."""
    text = read_text(answer.content).strip()
    count = len(text.split())
    if count > input.limit * _SLACK:
        error = OutputError(f"the summary has {count} words, not at most {input.limit}", code="output.too-long")
        error.text = text
        raise error
    return Output(text=text, model=answer.model)


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    example={
        "text": "The sandals came two weeks late. The box was torn, but the shoes are lovely and fit well.",
        "limit": 20,
    },
)
