"""Bodies of the emulated OpenAI's answers, field by field as the contract of 2026-11-20 has them."""

from __future__ import annotations

from typing import Any

from penstock.base.types import Usage
from penstock.sandbox.openai_models import Model, Models
from penstock.sandbox.openai_writer import Text, token_chances


def response_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object of responses and decisions."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object of chat completions."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def served_tier(body: dict[str, Any]) -> str:
    """Return the tier that serves a request: `fast` is another name for `priority`, `auto` resolves to `default`."""
    asked = body.get("service_tier") or "auto"
    return {"auto": "default", "fast": "priority"}.get(asked, asked)


def response_body(
    identity: str, now: float, body: dict[str, Any], text: Text, usage: Usage, effort: str | None
) -> dict[str, Any]:
    """Return a finished Response object."""
    wanted = body.get("text") or {}
    asked = body.get("reasoning") or {}
    status = {"": "completed", "failed": "failed"}.get(text.end, "incomplete")
    reasons = {"length": "max_output_tokens", "filter": "content_filter"}
    error = {"code": "server_error", "message": "The sandbox was asked to fail."} if text.end == "failed" else None
    conversation = body.get("conversation")
    return {
        "id": identity,
        "object": "response",
        "created_at": int(now),
        "completed_at": int(now) if status == "completed" else None,
        "status": status,
        "background": bool(body.get("background")),
        "error": error,
        "incomplete_details": {"reason": reasons[text.end]} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": body["model"],
        "output": _output(identity.removeprefix("resp_"), body, text),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        **({"conversation": {"id": conversation}} if conversation else {}),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": effort, "summary": asked.get("summary")},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": served_tier(body),
        "store": body.get("store") is not False,
        "temperature": _or(body.get("temperature"), 1.0),
        "text": {"format": _echo_format(wanted), "verbosity": wanted.get("verbosity") or "medium"},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [{"strict": False, "parameters": None, **tool} for tool in body.get("tools") or []],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": _or(body.get("top_p"), 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": response_usage(usage),
        "metadata": body.get("metadata") or {},
    }


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


def _output(suffix: str, body: dict[str, Any], text: Text) -> list[dict[str, Any]]:
    """Return the output items: reasoning, then function calls or a message."""
    items: list[dict[str, Any]] = []
    if text.end == "failed":
        return items
    asked = body.get("reasoning") or {}
    if text.reasoning_tokens:
        summary = [{"type": "summary_text", "text": "The sandbox counted words."}] if asked.get("summary") else []
        items.append({"id": f"rs_{suffix}", "type": "reasoning", "summary": summary})
        if "reasoning.encrypted_content" in (body.get("include") or []):
            items[0]["encrypted_content"] = f"sandbox-{suffix}"
    status = "incomplete" if text.is_cut else "completed"
    for at, call in enumerate(text.calls):
        names = {"id": f"fc_{suffix}{at}", "call_id": f"call_{suffix}{at}", "name": call.name}
        items.append({**names, "type": "function_call", "arguments": call.arguments, "status": status})
    if not text.calls and (text.text or not text.is_cut):
        wants_chances = "message.output_text.logprobs" in (body.get("include") or [])
        items.append(_message(f"msg_{suffix}", text, token_chances(text) if wants_chances else []))
    return items


def _echo_format(wanted: dict[str, Any]) -> dict[str, Any]:
    found = wanted.get("format") or {"type": "text"}
    if found["type"] != "json_schema":
        return dict(found)
    return {**found, "strict": bool(found.get("strict"))}


def _message(identity: str, text: Text, chances: list[dict[str, Any]]) -> dict[str, Any]:
    if text.refused:
        part: dict[str, Any] = {"type": "refusal", "refusal": text.text}
    else:
        part = {"type": "output_text", "text": text.text, "annotations": [], "logprobs": chances}
    status = "incomplete" if text.is_cut else "completed"
    return {"id": identity, "type": "message", "role": "assistant", "status": status, "content": [part]}


def chat_body(
    identity: str, now: float, body: dict[str, Any], text: Text, usage: Usage | None, *, plain: bool = False
) -> dict[str, Any]:
    """Return a ChatCompletion object; a plain server leaves out what only OpenAI has."""
    suffix = identity.removeprefix("chatcmpl_")
    message: dict[str, Any] = {"role": "assistant", "content": None if text.refused or text.calls else text.text}
    if not plain:
        message |= {"refusal": text.text if text.refused else None, "annotations": []}
    functions = [{"name": call.name, "arguments": call.arguments} for call in text.calls]
    if functions and body.get("functions"):
        message["function_call"] = functions[0]
    elif functions:
        message["tool_calls"] = [
            {"id": f"call_{suffix}{at}", "type": "function", "function": function}
            for at, function in enumerate(functions)
        ]
    chances = {"content": token_chances(text), "refusal": None} if body.get("logprobs") else None
    reply = {
        "id": identity,
        "object": "chat.completion",
        "created": int(now),
        "model": body["model"],
        "choices": [
            {"index": index, "message": message, "logprobs": chances, "finish_reason": _finish(body, text)}
            for index in range(body.get("n") or 1)
        ],
    }
    if usage is not None:
        reply["usage"] = plain_usage(usage) if plain else chat_usage(usage)
    if plain:
        return reply
    reply |= {"service_tier": served_tier(body), "system_fingerprint": "fp_sandbox"}
    return reply | ({"metadata": body.get("metadata") or {}} if body.get("store") else {})


def plain_usage(usage: Usage) -> dict[str, Any]:
    """Return the usage object of legacy completions and of plain servers."""
    total = usage.input + usage.output
    return {"prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": total}


def _finish(body: dict[str, Any], text: Text) -> str:
    if text.is_cut:
        return {"length": "length"}.get(text.end, "content_filter")
    if text.calls:
        return "function_call" if body.get("functions") else "tool_calls"
    return "stop"


def completion_body(
    identity: str, now: float, body: dict[str, Any], texts: list[str], text: Text, usage: Usage | None
) -> dict[str, Any]:
    """Return a legacy Completion object with one text for each choice."""
    finish = _finish(body, text)
    reply = {
        "id": identity,
        "object": "text_completion",
        "created": int(now),
        "model": body["model"],
        "choices": [
            {"index": at, "text": one, "logprobs": None, "finish_reason": finish} for at, one in enumerate(texts)
        ],
    }
    return reply | ({"usage": plain_usage(usage)} if usage is not None else {})


def list_body(data: list[dict[str, Any]], *, has_more: bool = False) -> dict[str, Any]:
    """Return a page of objects that have ids."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else ("", "")
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


def model_body(models: Models, model: Model, name: str) -> dict[str, Any]:
    """Return a Model object with its announced shutdown date."""
    return {
        "id": name,
        "object": "model",
        "created": 1_767_225_600,
        "owned_by": "system",
        "shutdown_date": models.shutdown_of(model, name),
    }
