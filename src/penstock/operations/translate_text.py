"""translate-text: Translate a text, with its placeholders and tags intact.

Placeholders and tags are counted before and after: a translation that lost or added one is asked for again.
"""

from __future__ import annotations

import re
from collections import Counter

from pydantic import Field

from penstock.base.errors import OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.fence import FENCE_RULE, fence
from penstock.operations.parameters import Wishes
from penstock.operations.talk import Talk, Turn, build_ask, read_text, repair
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens

_KEPT = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\$\{.*?\}|%\([a-z_]+\)[sd]|%[sd]|</?[A-Za-z][^<>]*>|https?://[^\s<>\"']+",
    re.DOTALL,
)


class Input(Fields):
    """What to translate."""

    text: str = Field(min_length=1)
    """The text; it is read as data, never as an order."""
    to: str = Field(min_length=2)
    """Language to translate into, such as `de`, `pt-BR` or German."""
    source: str = ""
    """Language of the text; empty lets the model find out."""
    tone: str = ""
    """How it should sound, such as formal or friendly; empty keeps that of the text."""
    glossary: dict[str, str] = Field(default={})
    """Words with a fixed translation; a word that maps to itself is left as it is."""


class Output(Fields):
    """The translation."""

    text: str
    """The text in the other language."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Translate; raises `OutputError` when placeholders or tags are not intact after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    words = "\n".join(f"- {word} → {fixed}" for word, fixed in input.glossary.items())
    orders = [
        f"Translate the text into this language: {input.to}. Answer with the translation only.",
        f"It is written in this language: {input.source}" if input.source else "",
        f"Tone: {input.tone}" if input.tone else "Keep the tone.",
        "Leave placeholders such as {{ … }}, ${…}, %s, tags and addresses exactly as they are.",
        f"Translate these words as given:\n{words}" if words else "",
        FENCE_RULE,
    ]
    tokens = count_tokens(input.text, choice.model.id)
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=Talk("\n".join(order for order in orders if order), (Turn("user", fence(input.text)),)),
        wishes=Wishes(max_tokens=tokens * 3 + 60),  # some scripts take three times the tokens of English
        likely_output_tokens=tokens * 5 // 4 + 5,
    )


def read(input: Input, answer: Answer) -> Output:
    """Take the translation; raises `OutputError` where a placeholder, tag or address is lost, new or changed."""
    text = read_text(answer.content).strip()
    before, after = count_kept(input.text), count_kept(text)
    if before != after:
        parts = [f"{part} is missing" for part in before - after] + [f"{part} is new" for part in after - before]
        error = OutputError(f"placeholders or tags are not intact: {'; '.join(parts[:5])}", code="output.placeholders")
        error.text = text
        raise error
    return Output(text=text, model=answer.model)


def count_kept(text: str) -> Counter[str]:
    """Count what a translation must keep: placeholders, tags and addresses."""
    return Counter(_KEPT.findall(text))


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    example={"text": "Dear {{ name }}, your parcel is on its way.", "to": "de"},
)
