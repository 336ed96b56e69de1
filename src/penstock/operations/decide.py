"""decide: Answer typed questions about a text with probabilities.

The Decisions API (beta since 2026-10-06): yes-or-no, choice and scale questions in one
call; a question that the model refuses is a value beside the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import fsum, isfinite
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from penstock.base.errors import InputError, OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.parameters import check_room
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

SUM_TOLERANCE = 0.02
"""How far probabilities may miss one: replies are rounded to a few digits."""


class Predicate(Fields):
    """A statement that is true or false of the text."""

    type: Literal["predicate"] = "predicate"
    """Kind of question."""
    instructions: str = Field(min_length=1)
    """The statement."""
    name: str | None = None
    """Name that the answer carries."""


class Option(Fields):
    """One thing that can be chosen."""

    value: str | bool
    """What the answer says when this is chosen."""
    description: str | None = None
    """When to choose it."""


class Choice(Fields):
    """A question with exactly one right option."""

    type: Literal["choice"] = "choice"
    """Kind of question."""
    instructions: str = Field(min_length=1)
    """What to choose by."""
    choices: list[Option] = Field(min_length=2, max_length=255)
    """The options, each different."""
    name: str | None = None
    """Name that the answer carries."""

    @cached_property
    def offered(self) -> frozenset[str | bool]:
        """The options; the text "true" is not the answer yes."""
        return frozenset(option.value for option in self.choices)


class Level(Fields):
    """One step of a scale."""

    label: str
    """Short name of the step."""
    description: str | None = None
    """What a text at this step is like."""


class Score(Fields):
    """A place on an ordered scale."""

    type: Literal["score"] = "score"
    """Kind of question."""
    instructions: str = Field(min_length=1)
    """What is measured."""
    levels: list[Level] = Field(min_length=2)
    """The steps, lowest first."""
    name: str | None = None
    """Name that the answer carries."""

    @cached_property
    def offered(self) -> frozenset[str | bool]:
        """The labels of the steps."""
        return frozenset(level.label for level in self.levels)


Question = Annotated[Predicate | Choice | Score, Field(discriminator="type")]


class Input(Fields):
    """A text and what to find out about it."""

    text: str = Field(min_length=1)
    """The text that is judged. It is sent as data, after the instructions."""
    questions: list[Question] = Field(min_length=1, max_length=400)
    """What to find out; answers come in the same order."""
    instructions: str = ""
    """What holds for all questions, such as who wrote the text."""


class PredicateAnswer(Fields):
    """How likely the statement is true."""

    type: Literal["predicate"]
    """Kind of answer."""
    probability: Probability
    """Probability that the statement is true."""
    name: str | None = None
    """Name of the question."""


class ChoiceProbability(Fields):
    """How likely one option is right."""

    value: str | bool
    """The option."""
    probability: Probability
    """Its probability."""


class ChoiceAnswer(Fields):
    """The chosen option."""

    type: Literal["choice"]
    """Kind of answer."""
    choice: str | bool
    """The option that was chosen."""
    confidence: Probability
    """How sure the model is."""
    probabilities: list[ChoiceProbability]
    """Every option with its probability."""
    name: str | None = None
    """Name of the question."""


class LevelProbability(Fields):
    """How likely one step is right."""

    label: str
    """The step."""
    probability: Probability
    """Its probability."""
    value: float
    """The vendor's number for the step."""


class ScoreAnswer(Fields):
    """The place on the scale."""

    type: Literal["score"]
    """Kind of answer."""
    score: float = Field(allow_inf_nan=False)
    """The place, in the vendor's numbers for the steps."""
    confidence: Probability
    """How sure the model is."""
    probabilities: list[LevelProbability]
    """Every step with its probability."""
    name: str | None = None
    """Name of the question."""


class RefusedAnswer(Fields):
    """The model would not answer this question; the others stand."""

    type: Literal["refusal"]
    """Kind of answer."""
    name: str | None = None
    """Name of the question."""


AnyAnswer = Annotated[
    PredicateAnswer | ChoiceAnswer | ScoreAnswer | RefusedAnswer,
    Field(discriminator="type"),
]


class Output(Fields):
    """The answers, in the order of the questions."""

    answers: list[AnyAnswer]
    """One per question; `refusal` where the model would not answer."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Answer the questions; raises `OutputError` when the answers do not fit them after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    questions = [question.model_dump(exclude_none=True) for question in input.questions]
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        messages=write_messages(input.instructions, input.text),
        questions=questions,
        prompt_tokens=count_tokens(str(questions) + input.instructions + input.text, choice.model.id),
    )


def write_messages(instructions: str, text: str) -> list[dict[str, Any]]:
    """Write the input as messages: what never changes first, so that the prompt cache can hold it."""
    user = {"type": "message", "role": "user", "content": text}
    return [{"type": "message", "role": "developer", "content": instructions}, user] if instructions else [user]


def build_ask(
    *,
    operation: str,
    version: int,
    choice: ModelChoice,
    messages: list[dict[str, Any]],
    questions: list[dict[str, Any]],
    prompt_tokens: int,
) -> Ask:
    """Build a request to the Decisions API; raises `InputError` for a model that it does not serve.

    The API has no service tiers and its output is free, so the tier is always the
    default one and no output is reserved.
    """
    if not choice.has_decisions:
        raise InputError(
            f"{choice.model.id} on connection {choice.connection} has no Decisions API",
            code="decide.no-decisions",
            hint="Use gpt-6-luna on an OpenAI connection, or `respond` with a schema.",
        )
    check_room(choice.model, prompt_tokens)
    return Ask(
        operation=operation,
        version=version,
        path="/decisions",
        model=choice.model.id,
        body={"model": choice.model.id, "input": messages, "questions": questions},
        prompt_tokens=prompt_tokens,
        connection=choice.connection,
    )


def read(input: Input, answer: Answer) -> Output:
    """Check the answers against the questions; raises `OutputError`."""
    answers = read_answers(answer)
    check_answers(input.questions, answers)
    return Output.model_validate({"answers": msgspec.to_builtins(answers), "model": answer.model})


def repair(ask: Ask, _answer: Answer, error: OutputError) -> Ask | None:
    """Ask once more, telling what did not fit; equal requests would find the same held answer."""
    if error.code == "output.refused":
        return None
    note = f"An earlier answer could not be used: {error.message}"
    messages = [*ask.body["input"], {"type": "message", "role": "developer", "content": note}]
    tokens = ask.prompt_tokens + count_tokens(note, ask.model)
    return msgspec.structs.replace(ask, body={**ask.body, "input": messages}, prompt_tokens=tokens)


_Chance = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Named(msgspec.Struct, frozen=True, tag_field="type"):
    """What answers look like on the wire; read with msgspec, because every bought record passes here."""

    name: str | None = None


class PredicateRead(_Named, frozen=True, tag="predicate", kw_only=True):
    """How likely a statement is true."""

    probability: _Chance


class OptionChance(msgspec.Struct, frozen=True):
    """How likely an option is right."""

    value: str | bool
    probability: _Chance


class ChoiceRead(_Named, frozen=True, tag="choice", kw_only=True):
    """The chosen option."""

    choice: str | bool
    confidence: _Chance
    probabilities: list[OptionChance]


class LevelChance(msgspec.Struct, frozen=True):
    """How likely a step is right."""

    label: str
    probability: _Chance
    value: float


class ScoreRead(_Named, frozen=True, tag="score", kw_only=True):
    """The place on the scale."""

    score: float
    confidence: _Chance
    probabilities: list[LevelChance]


class RefusalRead(_Named, frozen=True, tag="refusal"):
    """No answer to this question."""


AnswerRead = PredicateRead | ChoiceRead | ScoreRead | RefusalRead


class _Reply(msgspec.Struct, frozen=True):
    answers: list[AnswerRead] | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Reply)


def find_answers(answer: Answer) -> list[AnswerRead] | None:
    """Type the answers of a Decisions reply; None for a reply of another endpoint.

    Raises `OutputError` when they are not answers at all.
    """
    body: Any = answer.body
    try:
        reply = _decoder.decode(body) if isinstance(body, msgspec.Raw) else msgspec.convert(body, _Reply)
    except msgspec.ValidationError as error:
        raise OutputError(f"the answers have a wrong shape: {error}", code="output.shape") from None
    if isinstance(reply.answers, msgspec.UnsetType):
        return None
    for one in reply.answers:
        if isinstance(one, ScoreRead) and not isfinite(one.score):
            raise OutputError("the answers have a wrong shape: a score is not a number", code="output.shape")
    return reply.answers


def read_answers(answer: Answer) -> list[AnswerRead]:
    """Type the answers of a Decisions reply; raises `OutputError` when there are none."""
    answers = find_answers(answer)
    if answers is None:
        raise OutputError("the answers have a wrong shape: there are none", code="output.shape")
    return answers


def check_answers(questions: Sequence[Predicate | Choice | Score], answers: Sequence[AnswerRead]) -> None:
    """Check that each answer belongs to its question and is coherent; raises `OutputError`."""
    if len(answers) != len(questions):
        raise OutputError(f"{len(answers)} answers came for {len(questions)} questions", code="output.shape")
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True), 1):
        problem = _find_problem(question, answer)
        if problem:
            raise OutputError(f"answer {number} {problem}", code="output.incoherent")


def _find_problem(question: Predicate | Choice | Score, answer: AnswerRead) -> str:
    if question.name and answer.name != question.name:
        return f"is named {answer.name!r}, not {question.name!r}"
    if (isinstance(answer, PredicateRead) and question.type == "predicate") or isinstance(answer, RefusalRead):
        return ""
    kind = answer.__struct_config__.tag
    if kind != question.type:
        return f"is a {kind} to a {question.type} question"
    if isinstance(question, Choice) and isinstance(answer, ChoiceRead):
        chances = {part.value: part.probability for part in answer.probabilities}
        return _check_chances(chances, len(answer.probabilities), question.offered) or _check_chosen(
            answer.choice, chances
        )
    if isinstance(question, Score) and isinstance(answer, ScoreRead):
        steps = {part.label: part.probability for part in answer.probabilities}
        return _check_chances(steps, len(answer.probabilities), question.offered)
    return ""


def _check_chances(chances: Mapping[Any, float], count: int, offered: frozenset[str | bool]) -> str:
    """Check `count` probabilities; one that came twice leaves fewer in `chances`."""
    if count != len(offered) or chances.keys() != offered:
        return "has probabilities for other options than were offered"
    total = fsum(chances.values())
    return "" if abs(total - 1) <= SUM_TOLERANCE else f"has probabilities that add up to {total:.3f}"


def _check_chosen(chosen: Any, chances: Mapping[Any, float]) -> str:
    if chosen not in chances:
        return "chooses something that was not offered"
    is_top = chances[chosen] + SUM_TOLERANCE >= max(chances.values())
    return "" if is_top else "does not choose the most probable option"


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    example={
        "text": "The parcel came two weeks late, but the shoes are lovely.",
        "questions": [
            {"type": "predicate", "name": "late", "instructions": "The delivery was late."},
            {
                "type": "choice",
                "name": "mood",
                "instructions": "The customer's mood.",
                "choices": [{"value": "glad"}, {"value": "angry"}, {"value": "neither"}],
            },
        ],
    },
)
