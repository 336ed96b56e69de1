"""What a plain server that copies OpenAI's chat does in its own way: any model name, other errors, less to set."""

from __future__ import annotations

from typing import Any

from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_requests import ApiError

_REFUSED = (
    "max_completion_tokens",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "safety_identifier",
    "moderation",
    "store",
)


def find_plain_model(name: str) -> Model:
    """Return a model of that name: a plain server serves what its owner loaded."""
    return Model(
        id=name,
        kind="chat",
        apis=("chat", "completions", "embeddings"),
        context_window=32_768,
        max_input_tokens=32_768,
        max_output_tokens=8_192,
        dimensions=384,
        chat_max_tokens=True,
        strict_json=False,
    )


def check_plain_chat(body: dict[str, Any]) -> None:
    """Refuse what plain servers do not know (contract of 2026-11-20, sections 2.1 and 6.5)."""
    for param in _REFUSED:
        if body.get(param) is not None:
            raise ApiError(400, f"body.{param}: extra fields not permitted", param=param)
    if (body.get("response_format") or {}).get("type") == "json_schema":
        raise ApiError(400, "response_format.type: json_schema is not supported", param="response_format")
    roles = [message["role"] for message in body["messages"]]
    if "developer" in roles:
        raise ApiError(400, "Unexpected role developer", param="messages")
    if roles.count("system") > 1 or "system" in roles[1:]:
        raise ApiError(400, "Only one system message is allowed, at the start", param="messages")


def plain_error(error: ApiError) -> Any:
    """Return the body of a plain server's error: whole-number codes for bad requests, else only a text."""
    message = error.envelope["error"]["message"]
    if error.status == 400:
        return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
    return {"error": message}
