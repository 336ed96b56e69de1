"""What the emulated OpenAI refuses: every check of a request body, before any work is done or billed."""

from __future__ import annotations

from typing import Any

from penstock.sandbox.openai_models import Model, Models
from penstock.sandbox.schema import find_fault


class ApiError(Exception):
    """A refusal with the service's envelope: status, message, code, param and type."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.envelope = {"error": {"message": message, "type": kind, "param": param, "code": code}}


_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHARED = (
    "model temperature top_p top_logprobs tools tool_choice parallel_tool_calls store stream stream_options "
    "service_tier metadata prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier moderation "
    "user "
)
_KNOWN = {
    "responses": _names(
        _SHARED + "input instructions max_output_tokens reasoning text max_tool_calls previous_response_id "
        "conversation background truncation include context_management prompt"
    ),
    "chat": _names(
        _SHARED + "messages max_tokens max_completion_tokens frequency_penalty presence_penalty logit_bias logprobs n "
        "seed stop response_format reasoning_effort functions function_call verbosity prediction modalities audio "
        "web_search_options"
    ),
    "decisions": _names("model input questions prompt_cache_key prompt_cache_options safety_identifier"),
    "embeddings": _names("model input dimensions encoding_format user"),
    "moderations": _names("model input"),
    "input_tokens": _names(
        "model input instructions tools tool_choice text reasoning truncation parallel_tool_calls "
        "previous_response_id conversation personality"
    ),
}
_TIERS = ("auto", "default", "flex", "priority", "fast", "scale", "ultrafast")
_API_OF = {"responses": "responses", "chat": "chat", "decisions": "decisions", "input_tokens": "responses"}
_API_OF |= {"embeddings": "embeddings", "moderations": "moderations"}


def check_names(operation: str, body: Any) -> dict[str, Any]:
    """Return the body when it is an object with known parameters only."""
    if not isinstance(body, dict):
        raise ApiError(400, "The request body is not a JSON object.")
    unknown = sorted(body.keys() - _KNOWN[operation])
    if unknown:
        raise ApiError(400, f"Unknown parameter: '{unknown[0]}'.", code="unknown_parameter", param=unknown[0])
    return body


def find_model(models: Models, operation: str, body: dict[str, Any], now: float) -> Model:
    """Return the model of a request; refuses a missing, unknown, retired or unfit one."""
    name = body.get("model")
    if operation == "moderations" and name is None:
        name = "omni-moderation-latest"
    if not isinstance(name, str) or not name:
        raise missing("model")
    model = models.find(name, now)
    if model is None:
        raise ApiError(
            404,
            f"The model `{name}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    if operation == "chat" and "chat" not in model.apis and "responses" in model.apis:
        text = "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Use v1/responses."
        raise ApiError(404, text, param="model")
    if _API_OF[operation] not in model.apis:
        text = f"The model '{name}' cannot be used with this endpoint."
        raise ApiError(400, text, code="unsupported_value", param="model")
    return model


def missing(param: str) -> ApiError:
    """Return the refusal of a request that lacks a required parameter."""
    text = f"Missing required parameter: '{param}'."
    return ApiError(400, text, code="missing_required_parameter", param=param)


def _unsupported_parameter(param: str, model: str, instead: str = "") -> ApiError:
    text = f"Unsupported parameter: '{param}' is not supported with {model}.{instead}"
    return ApiError(400, text, code="unsupported_parameter", param=param)


def _unsupported_value(param: str, value: Any, text: str) -> ApiError:
    text = f"Unsupported value: '{param}' does not support {value!r}. {text}"
    return ApiError(400, text, code="unsupported_value", param=param)


def _invalid(param: str, text: str) -> ApiError:
    return ApiError(400, f"Invalid '{param}': {text}", code="invalid_value", param=param)


def check_response(body: dict[str, Any], model: Model) -> str | None:
    """Check a Responses body; returns the reasoning effort that applies."""
    if body.get("input") is None and body.get("prompt") is None:
        raise missing("input")
    _check_input(body.get("input", ""), "input")
    if body.get("previous_response_id") and body.get("conversation"):
        text = "Mutually exclusive parameters: give 'previous_response_id' or 'conversation', not both."
        raise ApiError(400, text, code="mutually_exclusive_parameters", param="conversation")
    for param in ("stream", "background", "conversation", "prompt"):
        _refuse_unemulated(body, param)
    effort = _check_effort(model, (body.get("reasoning") or {}).get("effort"), "reasoning.effort", model.efforts)
    _check_sampling(body, model, effort)
    _check_limit(body, "max_output_tokens", model, least=16)
    _check_shared(body, model)
    _check_format((body.get("text") or {}).get("format"), "text.format", model)
    return effort


def check_chat(body: dict[str, Any], model: Model) -> str | None:
    """Check a Chat Completions body; returns the reasoning effort that applies."""
    messages = body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "expected an array with at least one message.")
    _refuse_unemulated(body, "stream")
    efforts = tuple(effort for effort in model.efforts if effort != "max")
    effort = _check_effort(model, body.get("reasoning_effort"), "reasoning_effort", efforts)
    if body.get("max_tokens") is not None and not model.chat_max_tokens:
        raise _unsupported_parameter("max_tokens", "this model", " Use 'max_completion_tokens' instead.")
    _check_sampling(body, model, effort)
    modern = model.family >= (5, 0)
    for param in ("stop", "modalities", "prediction", "audio"):
        if body.get(param) is not None and ((param == "stop" and not model.stop) or (param != "stop" and modern)):
            raise _unsupported_parameter(param, "this model")
    if body.get("tools") or body.get("functions"):
        _check_chat_tools(model, effort)
    _check_limit(body, "max_completion_tokens", model)
    _check_limit(body, "max_tokens", model)
    _check_shared(body, model)
    response_format = body.get("response_format")
    inner = response_format
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        inner = {"type": "json_schema", **(response_format.get("json_schema") or {})}
    _check_format(inner, "response_format", model)
    if isinstance(inner, dict) and inner.get("type") == "json_object" and "json" not in str(messages).lower():
        text = "'messages' must contain the word 'json' in some form to use 'response_format' of type 'json_object'."
        raise ApiError(400, text, param="messages")
    return effort


def _check_chat_tools(model: Model, effort: str | None) -> None:
    if model.chat_tools == "any" or (model.chat_tools == "effort_none_only" and effort == "none"):
        return
    text = f"Function tools with reasoning are not supported for {model.id} in chat completions. Use /v1/responses."
    raise ApiError(400, text, code="unsupported_parameter", param="tools")


def _refuse_unemulated(body: dict[str, Any], param: str) -> None:
    if body.get(param):
        text = f"The Penstock sandbox does not emulate '{param}'; the real service does."
        raise ApiError(400, text, code="sandbox_unsupported", param=param)


def _check_input(value: Any, param: str) -> None:
    if isinstance(value, str):
        if len(value) > 10_485_760:
            text = f"Invalid '{param}': string too long, at most 10485760 characters, got {len(value)}."
            raise ApiError(400, text, code="string_above_max_length", param=param)
    elif not isinstance(value, list):
        raise ApiError(
            400, f"Invalid type for '{param}': expected a string or an array.", code="invalid_type", param=param
        )
    else:
        for at, item in enumerate(value):
            if not isinstance(item, dict):
                raise ApiError(400, f"Invalid type for '{param}[{at}]': expected an object.", code="invalid_type")


def _check_effort(model: Model, effort: Any, param: str, allowed: tuple[str, ...]) -> str | None:
    if effort is None:
        return model.default_effort
    if not model.efforts:
        raise _unsupported_parameter(param, "this model")
    if effort not in allowed:
        raise _unsupported_value(param, effort, f"Supported values are: {', '.join(allowed)}.")
    return str(effort)


def _check_sampling(body: dict[str, Any], model: Model, effort: str | None) -> None:
    if model.sampling == "no" or (model.sampling == "effort-none" and effort != "none"):
        for param in _SAMPLING:
            if body.get(param) is None or (param in ("temperature", "top_p") and body[param] == 1):
                continue
            if param == "temperature":
                raise _unsupported_value(param, body[param], "Only the default (1) value is supported with this model.")
            raise _unsupported_parameter(param, "this model")
    for param, low, high in (("temperature", 0, 2), ("top_p", 0, 1), ("top_logprobs", 0, 20)):
        value = body.get(param)
        if value is not None and not (isinstance(value, int | float) and low <= value <= high):
            raise _invalid(param, f"expected a number from {low} to {high}.")


def _check_limit(body: dict[str, Any], param: str, model: Model, least: int = 1) -> None:
    value = body.get(param)
    if value is None:
        return
    if not isinstance(value, int) or value < least:
        text = f"Invalid '{param}': expected an integer of at least {least}."
        raise ApiError(400, text, code="integer_below_min_value", param=param)
    if model.max_output_tokens and value > model.max_output_tokens:
        text = f"{param} is too large: {value}. This model supports at most {model.max_output_tokens} output tokens."
        raise ApiError(400, text, code="invalid_value", param=param)


def _check_shared(body: dict[str, Any], model: Model) -> None:
    tier = body.get("service_tier")
    if tier not in (None, *_TIERS):
        raise _invalid("service_tier", f"supported values are {', '.join(_TIERS)}.")
    if tier in ("scale", "ultrafast") or (tier == "flex" and not model.has_flex):
        text = f"Invalid service_tier argument: {tier} is not available to this project for {model.id}."
        raise ApiError(400, text, param="service_tier")
    metadata = body.get("metadata") or {}
    if len(metadata) > 16 or any(len(key) > 64 or len(str(value)) > 512 for key, value in metadata.items()):
        raise _invalid("metadata", "at most 16 pairs, keys of 64 and values of 512 characters.")
    if len(body.get("safety_identifier") or "") > 128:
        raise _invalid("safety_identifier", "at most 128 characters.")


def _check_format(wanted: Any, param: str, model: Model) -> None:
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise _invalid(f"{param}.type", "supported values are text, json_object, json_schema.")
    if kind != "json_schema":
        return
    if not model.strict_json:
        text = f"Invalid parameter: '{param}' of type 'json_schema' is not supported with this model."
        raise ApiError(400, text, param=param)
    for name in ("name", "schema"):
        if wanted.get(name) is None:
            raise missing(f"{param}.{name}")
    fault = find_fault(wanted["schema"]) if wanted.get("strict") else None
    if fault:
        text = f"Invalid schema for '{wanted['name']}': {fault}"
        raise ApiError(400, text, code="invalid_json_schema", param=f"{param}.schema")


def check_decision(body: dict[str, Any]) -> None:
    """Check a Decisions body (public beta of 2026-10-06: 1 to 400 questions of three types)."""
    if body.get("input") is None:
        raise missing("input")
    _check_input(body["input"], "input")
    questions = body.get("questions")
    if questions is None:
        raise missing("questions")
    if not isinstance(questions, list) or not 1 <= len(questions) <= 400:
        count = len(questions) if isinstance(questions, list) else "none"
        raise _invalid("questions", f"expected 1 to 400 questions, got {count}.")
    for at, question in enumerate(questions):
        _check_question(question, f"questions[{at}]")


def _check_question(question: Any, where: str) -> None:
    kind = question.get("type") if isinstance(question, dict) else None
    if kind not in ("predicate", "choice", "score"):
        raise _invalid(f"{where}.type", "supported values are predicate, choice, score.")
    if not question.get("instructions"):
        raise missing(f"{where}.instructions")
    extra = {"predicate": set(), "choice": {"choices"}, "score": {"levels"}}[kind]
    unknown = sorted(question.keys() - {"type", "instructions", "name"} - extra)
    if unknown:
        text = f"Unknown parameter: '{where}.{unknown[0]}'."
        raise ApiError(400, text, code="unknown_parameter", param=f"{where}.{unknown[0]}")
    if kind == "choice":
        _check_choices(question.get("choices"), f"{where}.choices")
    if kind == "score":
        _check_levels(question.get("levels"), f"{where}.levels")


def _check_choices(choices: Any, where: str) -> None:
    if not isinstance(choices, list) or not 2 <= len(choices) <= 255:
        raise _invalid(where, "expected 2 to 255 choices.")
    values = [choice.get("value") if isinstance(choice, dict) else None for choice in choices]
    if not all(isinstance(value, str | bool) for value in values):
        raise _invalid(where, "each choice needs a value that is a string or a boolean.")
    if len({(type(value), value) for value in values}) < len(values):
        raise _invalid(where, "each choice must be unique.")


def _check_levels(levels: Any, where: str) -> None:
    if not isinstance(levels, list) or len(levels) < 2:
        raise _invalid(where, "expected at least 2 levels.")
    if not all(isinstance(level, dict) and isinstance(level.get("label"), str) and level["label"] for level in levels):
        raise _invalid(where, "each level needs a label.")


def check_embedding(body: dict[str, Any], model: Model) -> list[Any]:
    """Check an Embeddings body; returns its inputs, one per vector."""
    value = body.get("input")
    if value is None:
        raise missing("input")
    inputs = value if isinstance(value, list) and not all(isinstance(one, int) for one in value) else [value]
    if not inputs or any(not one or not isinstance(one, str | list) for one in inputs):
        raise ApiError(400, "'$.input' is invalid: empty inputs are not allowed.", param="input")
    if len(inputs) > 2048:
        raise ApiError(400, f"'$.input' is invalid: at most 2048 inputs, got {len(inputs)}.", param="input")
    dimensions = body.get("dimensions")
    if dimensions is not None and not model.can_shorten:
        raise ApiError(400, "This model does not support specifying dimensions.", param="dimensions")
    if dimensions is not None and not (isinstance(dimensions, int) and 1 <= dimensions <= model.dimensions):
        raise _invalid("dimensions", f"expected 1 to {model.dimensions}.")
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise _invalid("encoding_format", "supported values are float, base64.")
    return inputs


def check_moderation(body: dict[str, Any]) -> list[str]:
    """Check a Moderations body; returns the text of each input."""
    value = body.get("input")
    if value is None:
        raise missing("input")
    _check_moderation_type(value)
    if isinstance(value, str):
        return [value]
    if all(isinstance(one, str) for one in value):
        return list(value)
    return ["\n".join(str(part.get("text", "")) for part in value)]


def _check_moderation_type(value: Any) -> None:
    if isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(one, str) for one in value)):
        return
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise _invalid("input", "expected a string, strings, or parts.")
