"""analyze-sentiment: Judge how satisfied a customer's feedback is, and what it is about.

One Decisions call per text, or strict structured output where that API is missing. The
text is data, never instruction. What each judgement rests on is kept beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from math import exp, fsum
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, WithJsonSchema, field_validator

from penstock.base.errors import OutputError
from penstock.features import aspects as aspect_rules
from penstock.features import offline
from penstock.features.aspects import Aspect
from penstock.features.calibration import Calibration
from penstock.features.minimise import minimise
from penstock.features.offline import Label
from penstock.features.prompt import MAX_CHARACTERS, Fenced, cut, join
from penstock.features.rubric import ANCHORS, LABELS, NOTHING, RUBRIC, SARCASM, settle, to_label
from penstock.features.topics import DEFAULT_TOPICS, check_topics
from penstock.operations import decide, talk
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.fence import fence
from penstock.operations.parameters import Wishes
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens

RULE_VERSION = 1
"""Raise with any change to rubric, questions or the rules below: held answers and fingerprints follow it."""

TOPIC_THRESHOLD = 0.5
SURE_SCORE = 0.5
"""A judgement without probabilities is clear from here on, when its label has a sign."""


class Input(Fields):
    """One feedback."""

    text: Annotated[str, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})]
    """What the customer wrote, in any language; a missing text is one that says nothing."""
    topics: dict[str, str] = Field(default_factory=lambda: dict(DEFAULT_TOPICS))
    """Closed list of topics: name to what it covers, or a plain list of names. Empty finds none."""
    language: str | None = Field(default=None, max_length=35)
    """Language code of the text, such as `de`, when it is known."""
    known: tuple[str, ...] = ()
    """Personal values of the customer (email, names, phone): these and whatever looks personal are not sent."""
    aspects: bool = False
    """Also judge each topic for itself, with the words that it rests on."""
    agreement: bool = False
    """Where a model tells no probabilities and the text is hard, ask two to four times more: what agrees counts."""
    calibration: tuple[Annotated[float, Field(gt=0, le=100)], Annotated[float, Field(ge=-100, le=100)]] | None = None
    """Slope and offset from `penstock evaluate sentiment`, which bring confidences to shares of right answers."""

    @field_validator("text", mode="before")
    @classmethod
    def _take_missing_text(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("known", mode="before")
    @classmethod
    def _drop_missing_values(cls, value: Any) -> Any:
        values = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(str(item) for item in values if item not in (None, ""))

    @field_validator("topics", mode="before")
    @classmethod
    def _name_topics(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
            if len({name.casefold() for name in value}) < len(value):
                raise ValueError("a topic is there twice")
            return {name: DEFAULT_TOPICS.get(name, "") for name in value}
        return value

    @field_validator("topics")
    @classmethod
    def _check_topics(cls, value: dict[str, str]) -> dict[str, str]:
        return check_topics(value)


class Output(Fields):
    """The judgement."""

    score: float = Field(ge=-1, le=1, allow_inf_nan=False)
    """From −1 (very dissatisfied) to 1 (very satisfied); its sign never contradicts the label."""
    label: Label
    """negative, neutral, positive, mixed, or unclear when the text does not tell."""
    topics: list[str]
    """What it is about: names from the closed list."""
    confidence: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """How sure the label is, from the model's probabilities, or the share of samples that agree; else empty."""
    language: str | None = None
    """Language code, when it was given."""
    model: str
    """What judged: the model that answered, `vader`, or empty when nothing had to."""
    rule_version: int
    """Version of the rubric and rules."""
    method: Literal["decisions", "structured", "offline", "none"]
    """How it was judged; `none` means that the text holds nothing to judge."""
    truncated: bool = False
    """Whether the middle of a long text was left out."""
    aspects: list[Aspect] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Each topic of the text with a score of its own; left out unless it was asked for."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Judge one feedback.

    A judgement that stays unusable after one repair comes from the offline scorer and
    says so. Raises `OutputError` only when that extra is not installed.
    """
    return (await OPERATION.perform(asker, input, choice)).output


_ANCHORS = {name: anchor for anchor, name, _ in ANCHORS}


def prepare(input: Input, choice: ModelChoice) -> Ask | Output:
    """Say what would be sent, or give the judgement where the text holds nothing to judge."""
    shown = present(input)
    without_call = _judge_without_call(input, shown)
    if without_call is not None:
        return without_call
    if not choice.has_decisions:
        return _build_structured(input, choice, fence(shown.text, "feedback"))
    pieces = aspect_rules.split(shown.text) if input.aspects and input.topics else []
    fenced = fence(aspect_rules.number(shown.text, pieces) if len(pieces) > 1 else shown.text, "feedback")
    questions, tokens = _questions(tuple(input.topics.items()), choice.model.id, len(pieces))
    return decide.build_ask(
        operation=OPERATION.name,
        version=RULE_VERSION,
        choice=choice,
        messages=decide.write_messages(RUBRIC, fenced),
        questions=questions,
        prompt_tokens=tokens + count_tokens(fenced, choice.model.id),
    )


def present(input: Input) -> Fenced:
    """Return the text as a model may see it: cleaned, cut, without personal data. The same for preview and call."""
    return join([minimise(part, input.known) for part in cut(input.text)])


def _judge_without_call(input: Input, shown: Fenced) -> Output | None:
    text = shown.text
    if not text or text.strip(" .!?").casefold() in NOTHING:
        return _write(input, offline.UNKNOWN, "none", "", shown.truncated)
    if any(letter.isalnum() for letter in text):
        return None
    verdict = offline.score_emoji(text)
    return _write(input, verdict, "none" if verdict == offline.UNKNOWN else "offline", "", shown.truncated)


def _write(
    input: Input,
    verdict: tuple[float, Label],
    method: Literal["decisions", "structured", "offline", "none"],
    model: str,
    truncated: bool,
    *,
    topics: list[str] | None = None,
    confidence: float | None = None,
    aspects: list[Aspect] | None = None,
) -> Output:
    if confidence is not None and input.calibration is not None:
        confidence = Calibration(*input.calibration).apply(confidence)
    return Output(
        score=round(verdict[0], 4) + 0.0,
        label=verdict[1],
        topics=topics or [],
        confidence=confidence if confidence is None else round(confidence, 4),
        language=input.language,
        model=model,
        rule_version=RULE_VERSION,
        method=method,
        truncated=truncated,
        aspects=(aspects or []) if input.aspects else None,
    )


@lru_cache(maxsize=256)
def _questions(
    topics: tuple[tuple[str, str], ...], model: str, pieces: int = 0
) -> tuple[list[dict[str, Any]], int]:  # fmt: skip
    """Return the questions, label before number, and the tokens of all that is the same for every text.

    `pieces` is into how many numbered pieces the text is cut; 0 asks about no aspects.
    """
    choices = [{"value": label, "description": meaning} for label, meaning in LABELS.items()]
    levels = [{"label": label, "description": meaning} for _, label, meaning in ANCHORS]
    questions: list[dict[str, Any]] = [
        {"type": "choice", "name": "label", "instructions": "How does the customer feel?", "choices": choices},
        {"type": "score", "name": "score", "instructions": "How satisfied is the customer?", "levels": levels},
        {"type": "predicate", "name": "sarcasm", "instructions": SARCASM},
    ]
    for number, (topic, covers) in enumerate(topics):
        meaning = f"{topic} ({covers})" if covers else topic
        about = f"The feedback says something about {meaning}."
        questions.append({"type": "predicate", "name": f"topic_{number}", "instructions": about})
    if pieces:
        questions += aspect_rules.write_questions([name for name, _ in topics], list(_ANCHORS), pieces)
    return questions, count_tokens(RUBRIC + msgspec.json.encode(questions).decode(), model)


def read(input: Input, answer: Answer) -> Output:
    """Turn an answer of either road into a judgement; raises `OutputError` when it contradicts itself."""
    answers = decide.find_answers(answer)
    return _read_structured(input, answer) if answers is None else _read_decisions(input, answer, answers)


def _read_decisions(input: Input, answer: Answer, answers: list[decide.AnswerRead]) -> Output:
    text = present(input).text if input.aspects and input.topics else ""
    pieces = len(aspect_rules.split(text)) if text else 0
    decide.check_answers(_typed_questions(tuple(input.topics.items()), pieces), answers)
    label, score, sarcasm, *rest = answers
    if not isinstance(label, decide.ChoiceRead) or not isinstance(score, decide.ScoreRead):
        raise OutputError("the model refused to judge this text", code="output.refused")
    chances = {str(part.value): part.probability for part in label.probabilities}
    levels = {part.label: part.probability for part in score.probabilities}
    irony = sarcasm.probability if isinstance(sarcasm, decide.PredicateRead) else 0.0
    number = fsum(anchor * levels[name] for anchor, name, _ in ANCHORS) / fsum(levels.values())
    verdict, doubt = settle(to_label(label.choice), number, irony)
    found = {
        topic: about.probability
        if isinstance(about, decide.PredicateRead) and about.probability >= TOPIC_THRESHOLD
        else 0.0
        for topic, about in zip(input.topics, rest, strict=False)
    }
    aspects = aspect_rules.read_answers(text, found, _ANCHORS, rest[len(found) :]) if pieces else []
    return _write(
        input,
        verdict,
        "decisions",
        answer.model,
        _truncated(input),
        topics=[topic for topic, chance in found.items() if chance],
        confidence=chances[verdict[1]] / fsum(chances.values()) * doubt,
        aspects=aspects,
    )


@lru_cache(maxsize=256)
def _typed_questions(topics: tuple[tuple[str, str], ...], pieces: int) -> list[Any]:
    return decide.Input.model_validate({"text": "-", "questions": _questions(topics, "", pieces)[0]}).questions


def _truncated(input: Input) -> bool:
    longest = len(input.text) * (1 if input.text.isascii() else 18)  # NFKC makes 18 letters of U+FDFA
    return longest > MAX_CHARACTERS and present(input).truncated


def _build_structured(input: Input, choice: ModelChoice, fenced: str, sample: int = 0) -> Ask:
    """Build the request without Decisions; a further `sample` lists the labels in another order."""
    topics = "\n".join(f"- {name}: {covers}" if covers else f"- {name}" for name, covers in input.topics.items())
    steps = (
        "First quote the words that decide, then say whether it is sarcastic, then the label, then the score, "
        "whose sign agrees with the label, then the topics that it says something about."
    )
    if input.aspects and input.topics:
        steps += " Then judge each of these topics for itself: quote the words about it, then score them alone."
    names = [*LABELS][sample:] + [*LABELS][:sample]
    labels = "\n".join(f"- {label}: {LABELS[label]}" for label in names)
    anchors = "\n".join(f"- {anchor:g}: {name}; {meaning}" for anchor, name, meaning in ANCHORS)
    parts = [RUBRIC, steps, f"Labels:\n{labels}", f"Score:\n{anchors}", f"Topics:\n{topics}" if topics else ""]
    # only models that never reason return probabilities of their tokens
    extra = {"include": ["message.output_text.logprobs"], "temperature": 0} if choice.model.sampling == "yes" else {}
    room = 48 * len(input.topics) if input.aspects else 0
    return talk.build_ask(
        operation=OPERATION.name,
        version=RULE_VERSION,
        choice=choice,
        talk=talk.Talk(
            "\n\n".join(part for part in parts if part),
            (talk.Turn("user", fenced),),
            _schema(tuple(input.topics), input.aspects),
        ),
        wishes=Wishes(max_tokens=160 + 8 * len(input.topics) + room),
        # the frame, a topic or two, and the quoted words
        likely_output_tokens=32 + min(len(fenced) // 8, 25) + (60 if room else 0),
        extra=extra,
    )


@lru_cache(maxsize=64)
def _schema(topics: tuple[str, ...], aspects: bool = False) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "evidence": {"type": "string", "description": "The deciding words, quoted, at most 20."},
        "sarcastic": {"type": "boolean"},
        "label": {"type": "string", "enum": list(LABELS)},
        "score": {"type": "number", "minimum": -1, "maximum": 1},
    }
    if topics:
        properties["topics"] = {"type": "array", "items": {"type": "string", "enum": list(topics)}}
    if topics and aspects:
        properties["aspects"] = aspect_rules.quote_schema(topics)
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _read_structured(input: Input, answer: Answer) -> Output:
    text = talk.read_text(answer.content)
    value = talk.read_json(text, _schema(tuple(input.topics), input.aspects))
    verdict, doubt = settle(to_label(value["label"]), float(value["score"]), float(value["sarcastic"]))
    chance = _read_label_chance(answer.content, value["label"]) if verdict[1] == value["label"] else None
    said = value.get("aspects", ())
    aspects = aspect_rules.read_quotes(present(input).text, tuple(input.topics), said) if said else []
    named = {*value.get("topics", ()), *(aspect.topic for aspect in aspects)}
    return _write(
        input,
        verdict,
        "structured",
        answer.model,
        _truncated(input),
        topics=[topic for topic in input.topics if topic in named],
        confidence=None if chance is None else chance * doubt,
        aspects=aspects,
    )


def _read_label_chance(content: dict[str, Any], label: str) -> float | None:
    """Return the probability of the tokens that wrote the label, None where the reply has none."""
    pieces = [
        (str(piece.get("token", "")), float(piece.get("logprob", 0.0)))
        for part in talk.list_parts(content)
        for piece in part.get("logprobs") or ()
    ]
    whole = "".join(token for token, _ in pieces)
    found = re.search(rf'"label"\s*:\s*"({re.escape(label)})"', whole)
    if found is None:
        return None
    start, end = found.span(1)
    total, position = 0.0, 0
    for token, logprob in pieces:
        if position < end and position + len(token) > start:
            total += logprob
        position += len(token)
    return min(exp(min(total, 0.0)), 1.0)


def repair(ask: Ask, answer: Answer, error: OutputError) -> Ask | None:
    """Ask once more with what was wrong; a refusal stays one."""
    return (decide.repair if ask.path == "/decisions" else talk.repair)(ask, answer, error)


def fallback(input: Input) -> Output | None:
    """Judge with the offline scorer, marked as such; None when its extra is not installed."""
    shown = present(input)
    verdict = offline.score_offline(shown.text, input.language)
    return None if verdict is None else _write(input, verdict, "offline", offline.NAME, shown.truncated)


def sample(input: Input, choice: ModelChoice, outputs: Sequence[Output]) -> Ask | Output:
    """Say what to ask once more, or give the judgement that the samples agree on.

    Only where it was wished, nothing told a confidence, and the first judgement is not clear: three samples,
    five when these do not agree. The label of most counts (of equally many the first), its scores are
    averaged, topics are those of at least half, and the confidence is the share of samples with that label.
    """
    first = outputs[0]
    is_clear = first.label in ("negative", "positive") and abs(first.score) >= SURE_SCORE
    if not input.agreement or first.method != "structured" or first.confidence is not None or is_clear:
        return first
    labels = [output.label for output in outputs]
    if len(outputs) < 3 or (len(outputs) < len(LABELS) and len(set(labels)) > 1):
        return _build_structured(input, choice, fence(present(input).text, "feedback"), len(outputs))
    label = max(labels, key=labels.count)
    agreeing = [output for output in outputs if output.label == label]
    topics = [topic for topic in input.topics if 2 * sum(topic in one.topics for one in outputs) >= len(outputs)]
    return _write(
        input,
        (fsum(output.score for output in agreeing) / len(agreeing), label),
        "structured",
        first.model,
        first.truncated,
        topics=topics,
        confidence=len(agreeing) / len(outputs),
        aspects=[one for one in agreeing[0].aspects or [] if one.topic in topics],
    )


OPERATION = Operation(
    module=__name__,
    version=RULE_VERSION,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    fallback=fallback,
    sample=sample,
    optional=frozenset({"aspects", "agreement", "calibration"}),
    example={"text": "The parcel came two weeks late, but the shoes are lovely."},
)
