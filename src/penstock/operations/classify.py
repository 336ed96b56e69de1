"""classify: Choose what fits a text from a closed list of labels.

Over the Decisions API with probabilities; where a model or endpoint lacks it, over structured output.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from penstock.base.errors import OutputError
from penstock.operations import decide, talk
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.fence import FENCE_RULE, fence
from penstock.operations.parameters import Wishes
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens

_NAME = "label"


class Input(Fields):
    """A text and what it can be."""

    text: str = Field(min_length=1)
    """The text; it is read as data, never as an order."""
    labels: dict[str, str] = Field(min_length=2, max_length=255)
    """The labels, each with what it covers; a list of names does as well."""
    many: bool = False
    """Whether several labels may fit, or none; otherwise it is exactly one."""
    above: float = Field(default=0.5, ge=0, le=1)
    """With many: from what probability on a label is taken."""
    instructions: str = ""
    """What else the model should know, such as who wrote the text."""

    @field_validator("labels", mode="before")
    @classmethod
    def _name_only(cls, given: Any) -> Any:
        return {str(name): "" for name in given} if isinstance(given, (list, tuple)) else given


class Output(Fields):
    """What the text is."""

    labels: list[str]
    """The labels that fit, likeliest first."""
    probabilities: dict[str, float] | None
    """How likely each label is; null where the model gives no probabilities."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Choose; raises `OutputError` when the answer is unusable after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    told = "\n".join(part for part in (input.instructions, FENCE_RULE) if part)
    if choice.has_decisions:
        questions = write_questions(input)
        fenced = fence(input.text)
        return decide.build_ask(
            operation=OPERATION.name,
            version=OPERATION.version,
            choice=choice,
            messages=decide.write_messages(told, fenced),
            questions=questions,
            prompt_tokens=count_tokens(str(questions) + told + fenced, choice.model.id),
        )
    lines = "\n".join(f"- {name}: {covers}" if covers else f"- {name}" for name, covers in input.labels.items())
    several = "Say which labels fit the text, likeliest first; none may fit."
    order = several if input.many else "Say which label fits the text best."
    return talk.build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=talk.Talk(f"{order}\n{lines}\n{told}", (talk.Turn("user", fence(input.text)),), _schema(input)),
        wishes=Wishes(max_tokens=60 + 12 * (len(input.labels) if input.many else 1)),
        likely_output_tokens=12,
    )


def write_questions(input: Input) -> list[dict[str, Any]]:
    """Write the questions: a choice of one, or one statement a label."""
    if not input.many:
        options = [{"value": name, "description": covers or name} for name, covers in input.labels.items()]
        order = "Which label fits the text best?"
        return [{"type": "choice", "name": _NAME, "instructions": order, "choices": options}]
    return [
        {
            "type": "predicate",
            "name": f"{_NAME}_{number}",
            "instructions": f"This label fits the text: {name}" + (f" ({covers})" if covers else ""),
        }
        for number, (name, covers) in enumerate(input.labels.items())
    ]


def _schema(input: Input) -> dict[str, Any]:
    one = {"type": "string", "enum": list(input.labels)}
    part = {"type": "array", "items": one} if input.many else one
    return {"type": "object", "properties": {_NAME: part}, "required": [_NAME], "additionalProperties": False}


def read(input: Input, answer: Answer) -> Output:
    """Read the answer of either road; raises `OutputError`."""
    answers = decide.find_answers(answer)
    if answers is not None:
        return _read_decisions(input, answer, answers)
    value = talk.read_json(talk.read_text(answer.content), _schema(input))[_NAME]
    labels = list(dict.fromkeys(value)) if input.many else [value]
    return Output(labels=labels, probabilities=None, model=answer.model)


def _read_decisions(input: Input, answer: Answer, answers: list[decide.AnswerRead]) -> Output:
    typed = decide.Input.model_validate({"text": "-", "questions": write_questions(input)}).questions
    decide.check_answers(typed, answers)
    if any(isinstance(one, decide.RefusalRead) for one in answers):
        raise OutputError("the model refused to judge this text", code="output.refused")
    chances: dict[str, float] = {}
    for name, one in zip(input.labels, answers, strict=False):
        if isinstance(one, decide.ChoiceRead):
            chances = {str(part.value): part.probability for part in one.probabilities}
        elif isinstance(one, decide.PredicateRead):
            chances[name] = one.probability
    ranked = sorted(chances, key=lambda name: -chances[name])
    labels = [name for name in ranked if chances[name] >= input.above] if input.many else ranked[:1]
    return Output(labels=labels, probabilities={name: chances[name] for name in input.labels}, model=answer.model)


def repair(ask: Ask, answer: Answer, error: OutputError) -> Ask | None:
    """Ask once more with what was wrong; a refusal stays one."""
    return (decide.repair if ask.path == "/decisions" else talk.repair)(ask, answer, error)


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    example={
        "text": "My parcel has not arrived yet.",
        "labels": {"delivery": "parcels, dates, addresses", "billing": "invoices and payments", "product": "the goods"},
    },
)
