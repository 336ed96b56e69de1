"""respond: Write text, or JSON that fits a schema.

The Responses API. An answer that was cut off, filtered, refused or failed is told apart
from a good one before anybody reads it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import Field

from penstock.base.errors import InputError, OutputError
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.schema import check_value, make_strict, without_lengths
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.models import Model
from penstock.vendor.tokens import count_tokens

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

HEAD_ROOM = {"none": 0, "minimal": 300, "low": 800, "medium": 2500, "high": 8000, "xhigh": 16_000, "max": 32_000}
"""Tokens added for reasoning, which is charged as output and hidden: too few leave no visible text."""


class Input(Fields):
    """What to write."""

    text: str = Field(min_length=1)
    """The request, or the data that the instructions are about."""
    instructions: str = ""
    """What the model must do; the same for many texts, so that the prompt cache can hold it."""
    answer_schema: dict[str, Any] | None = None
    """JSON Schema that the answer must fit; without it the answer is text."""
    max_output_tokens: int = Field(default=800, ge=16)
    """Longest visible answer, in tokens; room for reasoning is added."""
    effort: str | None = None
    """How long the model may think: none, minimal, low, medium, high, xhigh or max; empty takes the least it allows."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Randomness, for models that still accept it."""


class Output(Fields):
    """What was written."""

    text: str
    """The answer as text."""
    data: Any = None
    """The answer as JSON, when a schema was given."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Write; raises `OutputError` when the answer is cut, filtered, refused or does not fit after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        instructions=input.instructions,
        text=input.text,
        schema=make_strict(input.answer_schema)[0] if input.answer_schema is not None else None,
        max_output_tokens=input.max_output_tokens,
        effort=input.effort,
        temperature=input.temperature,
    )


def build_ask(
    *,
    operation: str,
    version: int,
    choice: ModelChoice,
    instructions: str,
    text: str,
    schema: dict[str, Any] | None,
    max_output_tokens: int,
    likely_output_tokens: int = 0,
    effort: str | None = None,
    temperature: float | None = None,
    extra: dict[str, Any] | None = None,
) -> Ask:
    """Build a request to the Responses API; raises `InputError` for what the model does not take.

    `schema` is strict already. Nothing is stored at the vendor.
    """
    model = choice.model
    if schema is not None and model.known and not model.strict_json:
        raise InputError(
            f"{model.id} cannot be held to a schema",
            code="respond.no-schema",
            hint=f"Use a model with structured output, such as {model.replacement or 'gpt-6-luna'}.",
        )
    effort = choose_effort(model, effort, temperature)
    room = max_output_tokens + HEAD_ROOM[effort or "none"]
    limit = min(room, model.max_output_tokens or room)
    body: dict[str, Any] = {"model": model.id, "input": text, "max_output_tokens": limit, "store": False}
    if instructions:
        body["instructions"] = instructions
    if effort is not None:
        body["reasoning"] = {"effort": effort}
    if temperature is not None:
        body["temperature"] = temperature
    if schema is not None:
        sent = without_lengths(schema)
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": sent, "strict": True}}
    if choice.tier != "default":
        body["service_tier"] = choice.tier
    body.update(extra or {})
    written = instructions + text + ("" if schema is None else msgspec.json.encode(schema).decode())
    tokens = count_tokens(written, model.id)
    likely = (likely_output_tokens or max_output_tokens // 2) + HEAD_ROOM[effort or "none"] // 2
    return Ask(operation, version, "/responses", model.id, body, tokens, limit, likely, choice.connection, choice.tier)


def choose_effort(model: Model, wanted: str | None, temperature: float | None = None) -> str | None:
    """Return the effort to send, or None to send none; raises `InputError` for what the model does not take.

    Without a wish it is the least that the model allows. Temperature goes only to models
    that do not reason, or at effort none (parameter matrix of November 2026).
    """
    if not model.known:  # another server's model: its rules are its own
        return wanted
    if wanted is not None and wanted not in model.efforts:
        raise InputError(
            f"{model.id} does not take effort {wanted!r}",
            code="respond.no-such-effort",
            hint=f"It takes {', '.join(model.efforts)}." if model.efforts else "Leave the effort out for this model.",
        )
    effort = wanted or min(model.efforts, key=EFFORTS.index, default=None)
    if temperature is not None and (
        model.sampling == "no" or (model.sampling == "effort-none" and effort not in (None, "none"))
    ):
        raise InputError(
            f"{model.id} does not take a temperature" + ("" if model.sampling == "no" else f" at effort {effort}"),
            code="respond.no-temperature",
            hint="Leave the temperature out" + ("." if model.sampling == "no" else ", or set the effort to none."),
        )
    return effort


def read(input: Input, answer: Answer) -> Output:
    """Take the text out of the answer and hold it against the schema; raises `OutputError`."""
    text = read_text(answer.content)
    if input.answer_schema is None:
        return Output(text=text, model=answer.model)
    return Output(text=text, data=read_json(text, make_strict(input.answer_schema)[0]), model=answer.model)


def read_text(content: Any) -> str:
    """Return the visible text of a finished response.

    Raises `OutputError` with code `output.truncated`, `output.filtered`, `output.refused`,
    `output.failed` or `output.empty`.
    """
    if not isinstance(content, dict):
        raise OutputError("the answer is not an object", code="output.shape")
    _check_status(content)
    texts, refusals = [], []
    for part in list_parts(content):
        if part.get("type") == "refusal":
            refusals.append(str(part.get("refusal") or ""))
        elif part.get("type") == "output_text":
            texts.append(str(part.get("text") or ""))
    if refusals:
        raise OutputError("the model refused to answer", code="output.refused", detail=" ".join(refusals))
    if not any(text.strip() for text in texts):
        raise OutputError(
            "the answer holds no visible text",
            code="output.empty",
            hint="Raise max_output_tokens or lower the effort: reasoning uses up the same tokens.",
        )
    return "".join(texts)


def list_parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    """List the content parts of the messages in a response."""
    messages = [item for item in _dicts(content.get("output")) if item.get("type") == "message"]
    return [part for message in messages for part in _dicts(message.get("content"))]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _field(value: Any, name: str) -> str:
    return str(value.get(name) or "") if isinstance(value, dict) else ""


def _check_status(content: dict[str, Any]) -> None:
    status = content.get("status", "completed")
    if status == "incomplete":
        reason = _field(content.get("incomplete_details"), "reason")
        if reason == "content_filter":
            raise OutputError("the vendor's content filter cut the answer", code="output.filtered")
        raise OutputError(
            f"the answer was cut off ({reason or 'no reason given'})",
            code="output.truncated",
            hint="Raise max_output_tokens or lower the effort.",
        )
    if status == "failed":
        code = _field(content.get("error"), "code") or "no code given"
        raise OutputError(f"the vendor gave up on this request ({code})", code="output.failed")
    if status != "completed":
        raise OutputError(f"the answer is {status}, not completed", code="output.unfinished")


def read_json(text: str, schema: dict[str, Any]) -> Any:
    """Decode an answer and hold it against its strict schema; raises `OutputError`."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise OutputError(f"the answer is not JSON: {error}", code="output.not-json") from None
    problems = check_value(schema, value)
    if problems:
        raise OutputError(f"the answer does not fit the schema: {'; '.join(problems[:5])}", code="output.schema")
    return value


def repair(ask: Ask, answer: Answer, error: OutputError) -> Ask | None:
    """Ask once more with what was wrong, or with twice the room when the answer was cut; a refusal stays one."""
    body = dict(ask.body)
    if error.code in ("output.truncated", "output.empty"):
        body["max_output_tokens"] = ask.max_output_tokens * 2
        return msgspec.structs.replace(ask, body=body, max_output_tokens=ask.max_output_tokens * 2)
    if error.code in ("output.refused", "output.filtered", "output.failed"):
        return None
    parts = list_parts(answer.content) if isinstance(answer.content, dict) else []
    spoken = "".join(str(part.get("text") or "") for part in parts)
    note = f"That answer cannot be used: {error.message}. Answer again, correctly."
    body["input"] = [
        {"role": "user", "content": ask.body["input"]},
        {"role": "assistant", "content": spoken or "(nothing)"},
        {"role": "developer", "content": note},
    ]
    tokens = ask.prompt_tokens + count_tokens(spoken + note, ask.model)
    return msgspec.structs.replace(ask, body=body, prompt_tokens=tokens)


OPERATION = Operation(module=__name__, version=1, input=Input, output=Output, prepare=prepare, read=read, repair=repair)
