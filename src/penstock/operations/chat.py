"""chat: Continue a conversation.

Chat Completions, or the Responses API for models that know nothing else.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field, model_validator

from penstock.operations.answer_schema import AnswerSchema
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.parameters import Wishes, cut_at
from penstock.operations.talk import Talk, Turn, build_ask, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask


class Message(Fields):
    """Something that was said."""

    role: Literal["user", "assistant", "system", "developer"]
    """Who said it; system and developer both give orders."""
    content: str
    """What was said."""


class Input(Wishes):
    """A conversation, and how it goes on."""

    text: str = Field(default="", validation_alias=AliasChoices("text", "prompt"))
    """What the user says now; may be left out where the messages end with it."""
    instructions: str = Field(default="", validation_alias=AliasChoices("instructions", "system", "system_prompt"))
    """What the model must do and be, before anything is said."""
    messages: list[Message] = Field(default=[], validation_alias=AliasChoices("messages", "history"))
    """What was said so far, oldest first."""
    answer_schema: AnswerSchema | None = None
    """JSON Schema that the answer must fit; without it the answer is text."""

    @model_validator(mode="after")
    def _needs_something_said(self) -> Input:
        if not self.text.strip() and not any(message.content.strip() for message in self.messages):
            raise ValueError("nothing is said: give text, or messages")
        return self


class Output(Fields):
    """How the conversation goes on."""

    text: str
    """What the model says."""
    data: Any = None
    """The same as JSON, when a schema was given."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Continue; raises `OutputError` when the answer is cut, filtered, refused or does not fit after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    turns = [Turn(_role(message.role), message.content) for message in input.messages]
    if input.text.strip():
        turns.append(Turn("user", input.text))
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=Talk(input.instructions, tuple(turns), input.answer_schema),
        wishes=input,
        preferred="chat",
    )


def _role(name: str) -> Literal["user", "assistant", "developer"]:
    return "user" if name == "user" else "assistant" if name == "assistant" else "developer"


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
    example={
        "instructions": "You answer customers of a shoe shop.",
        "messages": [
            {"role": "user", "content": "Do you have sandals?"},
            {"role": "assistant", "content": "Yes, in brown and in black."},
        ],
        "text": "In which sizes?",
    },
)
