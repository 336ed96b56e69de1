"""Bodies of the emulated OpenAI's answers, field by field as the contract of 2026-11-20 has them."""

from __future__ import annotations

from typing import Any

from penstock.base.types import Usage
from penstock.sandbox.openai_answers import Text, token_chances
from penstock.sandbox.openai_models import Model, Models


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
    """Return a Response object."""
    suffix = identity.removeprefix("resp_")
    output: list[dict[str, Any]] = []
    if text.reasoning_tokens:
        output.append({"id": f"rs_{suffix}", "type": "reasoning", "summary": []})
    if text.text or not text.is_cut:
        wants_chances = "message.output_text.logprobs" in (body.get("include") or [])
        output.append(_message(f"msg_{suffix}", text, token_chances(text) if wants_chances else []))
    wanted = body.get("text") or {}
    reasoning = {"effort": effort, "summary": (body.get("reasoning") or {}).get("summary")}
    return {
        "id": identity,
        "object": "response",
        "created_at": int(now),
        "completed_at": None if text.is_cut else int(now),
        "status": "incomplete" if text.is_cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if text.is_cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": reasoning,
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": served_tier(body),
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": _echo_format(wanted), "verbosity": wanted.get("verbosity", "medium")},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": response_usage(usage),
        "metadata": body.get("metadata") or {},
    }


def _echo_format(wanted: dict[str, Any]) -> dict[str, Any]:
    found = wanted.get("format") or {"type": "text"}
    if found["type"] != "json_schema":
        return dict(found)
    return {"strict": False, **found}


def _message(identity: str, text: Text, chances: list[dict[str, Any]]) -> dict[str, Any]:
    if text.refused:
        part: dict[str, Any] = {"type": "refusal", "refusal": text.text}
    else:
        part = {"type": "output_text", "text": text.text, "annotations": [], "logprobs": chances}
    status = "incomplete" if text.is_cut else "completed"
    return {"id": identity, "type": "message", "role": "assistant", "status": status, "content": [part]}


def chat_body(identity: str, now: float, body: dict[str, Any], text: Text, usage: Usage) -> dict[str, Any]:
    """Return a ChatCompletion object."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if text.refused else text.text,
        "refusal": text.text if text.refused else None,
        "annotations": [],
    }
    finish = "length" if text.is_cut else "stop"
    chances = {"content": token_chances(text), "refusal": None} if body.get("logprobs") else None
    return {
        "id": identity,
        "object": "chat.completion",
        "created": int(now),
        "model": body["model"],
        "choices": [
            {"index": index, "message": message, "logprobs": chances, "finish_reason": finish}
            for index in range(body.get("n") or 1)
        ],
        "usage": chat_usage(usage),
        "service_tier": served_tier(body),
        "system_fingerprint": "fp_sandbox",
    }


def model_body(models: Models, model: Model, name: str) -> dict[str, Any]:
    """Return a Model object with its announced shutdown date."""
    return {
        "id": name,
        "object": "model",
        "created": 1_767_225_600,
        "owned_by": "system",
        "shutdown_date": models.shutdown_of(model, name),
    }
