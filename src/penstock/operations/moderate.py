"""moderate: Look for harmful content in texts, or in a picture; free of charge.

The Moderations endpoint: thirteen categories, each with a score; pictures count for six of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from penstock.base.errors import OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.files import File, SeenFile, load_files
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens


class Input(Fields):
    """What to look at."""

    texts: list[str] = Field(default=[], max_length=256)
    """The texts."""
    image: SeenFile | None = None
    """A picture, which is looked at together with the texts: png, jpg, webp or gif; path, URL, base64 or data URL."""

    @model_validator(mode="after")
    def _has_something(self) -> Input:
        if not self.texts and self.image is None:
            raise ValueError("texts: there is nothing to look at")
        return self


class Verdict(Fields):
    """What was found in one text."""

    flagged: bool
    """Whether the vendor takes it for harmful."""
    categories: list[str]
    """The categories that it is flagged for."""
    scores: dict[str, float]
    """How sure the vendor is, by category, from 0 to 1."""


class Output(Fields):
    """What was found."""

    verdicts: list[Verdict]
    """One verdict a text, in order; a single one where there is a picture."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Look; raises `OutputError` when there is not one verdict a text."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    tokens = sum(count_tokens(text, choice.model.id) for text in input.texts)
    body = {"model": choice.model.id, "input": input.texts if input.image is None else _list_parts(input, input.image)}
    return Ask(
        OPERATION.name,
        OPERATION.version,
        "/moderations",
        choice.model.id,
        body,
        tokens,
        connection=choice.connection,
        is_free=True,
    )


def _list_parts(input: Input, image: File) -> list[dict[str, Any]]:
    shown = {"type": "image_url", "image_url": {"url": image.data_url()}}
    return [*({"type": "text", "text": text} for text in input.texts), shown]


def read(input: Input, answer: Answer) -> Output:
    """Read the verdicts; raises `OutputError`."""
    results = answer.content.get("results") if isinstance(answer.content, dict) else None
    wanted = len(input.texts) if input.image is None else 1
    if not isinstance(results, list) or len(results) != wanted:
        raise OutputError("the answer does not have one verdict a text", code="output.shape")
    return Output(verdicts=[_read_verdict(result) for result in results], model=answer.model)


def _read_verdict(result: Any) -> Verdict:
    try:
        categories = sorted(name for name, is_flagged in result["categories"].items() if is_flagged)
        scores = {str(name): float(score) for name, score in result["category_scores"].items()}
        return Verdict(flagged=bool(result["flagged"]), categories=categories, scores=scores)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"a verdict has another shape: {error!r}", code="output.shape") from None


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="moderation",
    load=load_files,
    example={"texts": ["What a lovely day.", "I will hurt you."]},
)
