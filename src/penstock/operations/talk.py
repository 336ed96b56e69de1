"""What is said to a text model, and how its answer is read: the same over the Responses API and Chat Completions.

An answer that was cut off, filtered, refused or failed is told apart from a good one
before anybody reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from penstock.base.errors import OutputError
from penstock.operations.declare import ModelChoice
from penstock.operations.parameters import HEAD_ROOM, Api, Translated, Wishes, check_room, translate
from penstock.operations.schema import Fitted, Schema, check_value, fit_schema, without_added_nulls, without_lengths
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens

PICTURE_TOKENS = 1_600
"""What a picture is taken to use as input, at most; the vendor counts by its size."""
_PATHS = {"responses": "/responses", "chat": "/chat/completions"}


class Picture(msgspec.Struct, frozen=True):
    """A picture that a model looks at: its address, or its bytes as a `data:` URL."""

    url: str
    detail: str = "auto"


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: Literal["user", "assistant", "developer"]
    text: str
    pictures: tuple[Picture, ...] = ()


class Talk(msgspec.Struct, frozen=True):
    """Instructions, what was said so far, and the JSON Schema that the answer must fit."""

    instructions: str
    turns: tuple[Turn, ...]
    schema: Schema | None = None


def choose_api(choice: ModelChoice, preferred: Api) -> Api:
    """Return the API to use: the preferred one, unless the endpoint or the model lacks it."""
    if not choice.responses:
        return "chat"
    apis = choice.model.apis
    if preferred == "chat" and choice.model.known and "chat" not in apis:
        return "responses"
    return preferred


def build_ask(
    *,
    operation: str,
    version: int,
    choice: ModelChoice,
    talk: Talk,
    wishes: Wishes,
    preferred: Api = "responses",
    likely_output_tokens: int = 0,
    extra: dict[str, Any] | None = None,
) -> Ask:
    """Build the request for a talk; nothing is stored at the vendor.

    Raises `InputError` for what a strict call cannot honour and for a schema that is none.
    """
    api = choose_api(choice, preferred)
    translated = translate(wishes, choice, api)
    fitted = fit_schema(talk.schema) if talk.schema is not None else None
    instructions, form, warnings = _shape_answer(talk, fitted, choice, api, translated)
    body: dict[str, Any] = {"model": choice.model.id, **translated.body, "store": False}
    if api == "responses":
        body["input"] = _input_items(talk.turns)
        if instructions:
            body["instructions"] = instructions
        if form:
            body["text"] = {**body.get("text", {}), "format": form}
    else:
        body["messages"] = _chat_messages(instructions, talk.turns, choice)
        if form:
            body["response_format"] = form
        if choice.model.known is False or "store" in choice.refused:  # such a server keeps nothing anyway
            del body["store"]
    if choice.tier != "default":
        body["service_tier"] = choice.tier
    body.update(extra or {})
    written = instructions + "".join(turn.text for turn in talk.turns)
    tokens = count_tokens(written + ("" if form is None else msgspec.json.encode(form).decode()), choice.model.id)
    tokens += PICTURE_TOKENS * sum(len(turn.pictures) for turn in talk.turns)
    check_room(choice.model, tokens)
    likely = (likely_output_tokens or wishes.max_tokens // 2) + HEAD_ROOM[translated.effort or "none"] // 2
    return Ask(
        operation,
        version,
        _PATHS[api],
        choice.model.id,
        body,
        tokens,
        translated.limit,
        min(likely, translated.limit),
        choice.connection,
        choice.tier,
        warnings=(*translated.warnings, *warnings),
    )


def _shape_answer(
    talk: Talk, fitted: Fitted | None, choice: ModelChoice, api: Api, translated: Translated
) -> tuple[str, dict[str, Any] | None, tuple[str, ...]]:
    """Return the instructions, the form that the answer is held to, and what could not be said in it."""
    instructions = "\n\n".join(part for part in (talk.instructions, translated.instructions) if part)
    if fitted is None:
        return instructions, None, ()
    name = "text.format" if api == "responses" else "response_format"
    if (choice.model.known and not choice.model.strict_json) or any(one.startswith(name) for one in choice.refused):
        told = f"Answer with one JSON object that fits this JSON Schema:\n{msgspec.json.encode(fitted.schema).decode()}"
        warning = f"answer_schema: {choice.model.id} cannot be held to a schema; the answer is checked here"
        return f"{instructions}\n\n{told}".strip(), {"type": "json_object"}, (warning, *fitted.changes)
    sent = without_lengths(fitted.schema) if fitted.is_strict else fitted.schema
    form = {"name": "answer", "schema": sent, "strict": fitted.is_strict}
    shaped = {"type": "json_schema", **form} if api == "responses" else {"type": "json_schema", "json_schema": form}
    return instructions, shaped, tuple(f"answer_schema: {change}" for change in fitted.changes)


def _input_items(turns: tuple[Turn, ...]) -> str | list[dict[str, Any]]:
    """Write turns for the Responses API; a single plain one is just its text."""
    if len(turns) == 1 and turns[0].role == "user" and not turns[0].pictures:
        return turns[0].text
    return [{"role": turn.role, "content": _response_parts(turn)} for turn in turns]


def _response_parts(turn: Turn) -> str | list[dict[str, Any]]:
    if not turn.pictures:
        return turn.text
    shown = [{"type": "input_image", "image_url": one.url, "detail": one.detail} for one in turn.pictures]
    return [{"type": "input_text", "text": turn.text}, *shown]


def _chat_messages(instructions: str, turns: tuple[Turn, ...], choice: ModelChoice) -> list[dict[str, Any]]:
    """Write turns for Chat Completions, with the role that gives orders as the model knows it, in one message."""
    told_so = any(name.startswith("messages") and name.endswith("role") for name in choice.refused)
    leader = "developer" if choice.model.known and choice.model.reasons and not told_so else "system"
    orders = [instructions, *(turn.text for turn in turns if turn.role == "developer")]
    told = "\n\n".join(order for order in orders if order)
    messages: list[dict[str, Any]] = [{"role": leader, "content": told}] if told else []
    said = [turn for turn in turns if turn.role != "developer"]
    return [*messages, *({"role": turn.role, "content": _chat_parts(turn)} for turn in said)]


def _chat_parts(turn: Turn) -> str | list[dict[str, Any]]:
    if not turn.pictures:
        return turn.text
    shown = [{"type": "image_url", "image_url": {"url": one.url, "detail": one.detail}} for one in turn.pictures]
    return [{"type": "text", "text": turn.text}, *shown]


def read_text(content: Any) -> str:
    """Return the visible text of a finished answer.

    Raises `OutputError` with code `output.truncated`, `output.filtered`, `output.refused`,
    `output.failed`, `output.empty` or `output.unfinished`; its `text` is what was written so far.
    """
    if not isinstance(content, dict):
        raise OutputError("the answer is not an object", code="output.shape")
    texts, refusals = _chat_words(content) if "choices" in content else _response_words(content)
    try:
        _check_end(content)
        if refusals:
            raise OutputError("the model refused to answer", code="output.refused", detail=" ".join(refusals))
        if not any(text.strip() for text in texts):
            raise OutputError(
                "the answer holds no visible text",
                code="output.empty",
                hint="Raise max_tokens or lower the effort: reasoning uses up the same tokens.",
            )
    except OutputError as error:
        error.text = "".join(texts) or "".join(refusals)
        raise
    return "".join(texts)


def _response_words(content: dict[str, Any]) -> tuple[list[str], list[str]]:
    parts = list_parts(content)
    texts = [str(part.get("text") or "") for part in parts if part.get("type") == "output_text"]
    return texts, [str(part.get("refusal") or "") for part in parts if part.get("type") == "refusal"]


def _chat_words(content: dict[str, Any]) -> tuple[list[str], list[str]]:
    messages = [choice.get("message") for choice in _dicts(content.get("choices"))[:1]]
    said = [message for message in messages if isinstance(message, dict)]
    texts = [str(message.get("content") or "") for message in said]
    return texts, [str(message["refusal"]) for message in said if message.get("refusal")]


def list_parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    """List the content parts of the messages in a response."""
    messages = [item for item in _dicts(content.get("output")) if item.get("type") == "message"]
    return [part for message in messages for part in _dicts(message.get("content"))]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _field(value: Any, name: str) -> str:
    return str(value.get(name) or "") if isinstance(value, dict) else ""


def _check_end(content: dict[str, Any]) -> None:
    """Raise `OutputError` for an answer that did not end well, whichever API it came over."""
    if "choices" in content:
        choices = _dicts(content.get("choices"))
        reason = _field(choices[0] if choices else None, "finish_reason")
        status = {"length": "incomplete", "content_filter": "incomplete"}.get(reason, "completed")
    else:
        status = content.get("status", "completed")
        reason = _field(content.get("incomplete_details"), "reason")
    if status == "incomplete" and reason == "content_filter":
        raise OutputError("the vendor's content filter cut the answer", code="output.filtered")
    if status == "incomplete":
        raise OutputError(
            f"the answer was cut off ({reason or 'no reason given'})",
            code="output.truncated",
            hint="Raise max_tokens or lower the effort.",
        )
    if status == "failed":
        code = _field(content.get("error"), "code") or "no code given"
        raise OutputError(f"the vendor gave up on this request ({code})", code="output.failed")
    if status != "completed":
        raise OutputError(f"the answer is {status}, not completed", code="output.unfinished")


def read_json(text: str, schema: Schema) -> Any:
    """Decode an answer and hold it against the schema as it was given; raises `OutputError` that holds the text."""
    fitted = fit_schema(schema)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unfit(f"the answer is not JSON: {error}", "output.not-json", text) from None
    if fitted.is_wrapped:
        if not isinstance(value, dict) or "value" not in value:
            raise _unfit("the answer does not fit the schema: $.value is missing", "output.schema", text)
        value = value["value"]
    value = without_added_nulls(schema, value)
    problems = check_value(schema, value)
    if problems:
        raise _unfit(f"the answer does not fit the schema: {'; '.join(problems[:5])}", "output.schema", text)
    return value


def _unfit(message: str, code: str, text: str) -> OutputError:
    error = OutputError(message, code=code)
    error.text = text
    return error


def repair(ask: Ask, answer: Answer, error: OutputError) -> Ask | None:
    """Ask once more with what was wrong, or with twice the room when the answer was cut; a refusal stays one."""
    body = dict(ask.body)
    if error.code in ("output.truncated", "output.empty"):
        names = ("max_output_tokens", "max_completion_tokens", "max_tokens")
        body.update({name: ask.max_output_tokens * 2 for name in names if name in body})
        return msgspec.structs.replace(ask, body=body, max_output_tokens=ask.max_output_tokens * 2)
    if error.code in ("output.refused", "output.filtered", "output.failed"):
        return None
    content = answer.content if isinstance(answer.content, dict) else {}
    spoken = "".join((_chat_words if "choices" in content else _response_words)(content)[0])
    note = f"That answer cannot be used: {error.message}. Answer again, correctly."
    said = [{"role": "assistant", "content": spoken or "(nothing)"}]
    if "messages" in body:
        body["messages"] = [*body["messages"], *said, {"role": "user", "content": note}]
    else:
        before = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
        body["input"] = [*before, *said, {"role": "developer", "content": note}]
    tokens = ask.prompt_tokens + count_tokens(spoken + note, ask.model)
    return msgspec.structs.replace(ask, body=body, prompt_tokens=tokens)


def join_warnings(*groups: Iterable[str]) -> tuple[str, ...]:
    """Return all warnings, each once."""
    return tuple(dict.fromkeys(warning for group in groups for warning in group))
