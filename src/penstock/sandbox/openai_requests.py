"""What the emulated OpenAI refuses: every check of a request body, before any work is done or billed."""

from __future__ import annotations

from typing import Any

from penstock.sandbox.openai_models import Model, Models
from penstock.sandbox.openai_quirks import Quirks
from penstock.sandbox.schema import find_damage, find_fault


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


_PENALTIES = ("presence_penalty", "frequency_penalty", "logit_bias")
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs")


_API_OF = {"responses": "responses", "chat": "chat", "decisions": "decisions", "input_tokens": "responses"}
_API_OF["compact"] = "responses"
_API_OF |= {"embeddings": "embeddings", "moderations": "moderations"}


def find_model(models: Models, operation: str, body: dict[str, Any], now: float, retired_status: int = 404) -> Model:
    """Return the model of a request; refuses a missing, unknown, retired or unfit one."""
    name = body.get("model")
    if operation == "moderations" and name is None:
        name = "omni-moderation-latest"
    if not isinstance(name, str) or not name:
        raise missing("model")
    model = models.find(name, now)
    if model is None:
        raise _unknown_model(models, name, retired_status)
    if operation == "chat" and "chat" not in model.apis and "responses" in model.apis:
        text = "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Use v1/responses."
        raise ApiError(404, text, param="model")
    if operation == "completions":
        text = "This is a chat model and not supported in the v1/completions endpoint. Use v1/chat/completions."
        raise ApiError(404, text, param="model")
    if _API_OF.get(operation, operation) not in model.apis:
        text = f"The model '{name}' cannot be used with this endpoint."
        raise ApiError(400, text, code="unsupported_value", param="model")
    return model


def _unknown_model(models: Models, name: str, retired_status: int) -> ApiError:
    day = models.retired_on(name)
    if day is None:
        text = f"The model `{name}` does not exist or you do not have access to it."
        return ApiError(404, text, code="model_not_found")
    text = f"The model `{name}` was shut down on {day}: it does not exist or you do not have access to it."
    return ApiError(retired_status, text, code="model_not_found")


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


def check_response(body: dict[str, Any], model: Model, quirks: Quirks) -> str | None:
    """Check a Responses body; returns the reasoning effort that applies."""
    if body.get("prompt") is not None:
        text = f"Prompt with id '{body['prompt'].get('id')}' not found."
        raise ApiError(404, text, code="prompt_not_found", param="prompt")
    if body.get("input") is None:
        raise missing("input")
    if body.get("previous_response_id") and body.get("conversation"):
        text = "Mutually exclusive parameters: give 'previous_response_id' or 'conversation', not both."
        raise ApiError(400, text, code="mutually_exclusive_parameters", param="conversation")
    if body.get("background") and body.get("store") is False:
        raise ApiError(400, "Background responses need 'store' to be true.", param="background")
    reasoning = body.get("reasoning") or {}
    effort = _check_effort(model, reasoning.get("effort"), "reasoning.effort", model.efforts)
    if reasoning.get("summary") and not model.efforts:
        raise _unsupported_parameter("reasoning.summary", "this model")
    if reasoning.get("mode") == "pro" and model.family < (5, 6):
        raise _unsupported_value("reasoning.mode", "pro", "Supported values are: standard.")
    _check_sampling(body, model, effort, quirks)
    _check_limit(body, "max_output_tokens", model)
    wanted = body.get("text") or {}
    _check_verbosity(model, wanted.get("verbosity"), "text.verbosity")
    _check_shared(body, model, quirks)
    _check_format(wanted.get("format"), "text.format", model, quirks)
    if _is_json_object(wanted.get("format")) and quirks.json_word:
        _check_json_word("input", body["input"], body.get("instructions"))
    return effort


def check_chat(body: dict[str, Any], model: Model, quirks: Quirks) -> str | None:
    """Check a Chat Completions body; returns the reasoning effort that applies."""
    efforts = tuple(effort for effort in model.efforts if effort != "max")
    effort = _check_effort(model, body.get("reasoning_effort"), "reasoning_effort", efforts)
    if body.get("max_tokens") is not None and not model.chat_max_tokens:
        raise _unsupported_parameter("max_tokens", "this model", " Use 'max_completion_tokens' instead.")
    _check_sampling(body, model, effort, quirks)
    modern = model.family >= (5, 0)
    for param in ("stop", "modalities", "prediction", "audio"):
        if body.get(param) is not None and ((param == "stop" and not model.stop) or (param != "stop" and modern)):
            raise _unsupported_parameter(param, "this model")
    for param in ("audio", "web_search_options"):
        _refuse_unemulated(body, param)
    if body.get("tools") or body.get("functions"):
        _check_chat_tools(model, effort)
    _check_limit(body, "max_completion_tokens", model)
    _check_limit(body, "max_tokens", model)
    _check_verbosity(model, body.get("verbosity"), "verbosity")
    _check_shared(body, model, quirks)
    if body.get("service_tier") == "ultrafast":
        raise _invalid("service_tier", "'ultrafast' is for responses.")
    if (body.get("prompt_cache_options") or {}).get("ttl") == "12h":
        raise _unsupported_value("prompt_cache_options.ttl", "12h", "Supported values are: 30m.")
    wanted = body.get("response_format")
    if wanted and wanted["type"] == "json_schema":
        wanted = {"type": "json_schema", **(wanted.get("json_schema") or {})}
    _check_format(wanted, "response_format", model, quirks)
    if _is_json_object(wanted) and quirks.json_word:
        _check_json_word("messages", body["messages"])
    if not model.sees_images and "image_url" in str(body["messages"]):
        raise ApiError(400, "Invalid content type. image_url is not supported by this model.", param="messages")
    return effort


def _is_json_object(wanted: Any) -> bool:
    return bool(wanted) and wanted["type"] == "json_object"


def _check_json_word(param: str, *texts: Any) -> None:
    if not any("json" in str(text).lower() for text in texts):
        text = f"'{param}' must contain the word 'json' in some form to use a format of type 'json_object'."
        raise ApiError(400, text, param=param)


def _check_verbosity(model: Model, verbosity: str | None, param: str) -> None:
    if verbosity not in (None, "medium") and model.family < (5, 0):
        raise _unsupported_value(param, verbosity, "Supported values are: medium.")


def _check_chat_tools(model: Model, effort: str | None) -> None:
    if model.chat_tools == "any" or (model.chat_tools == "effort_none_only" and effort == "none"):
        return
    text = f"Function tools with reasoning are not supported for {model.id} in chat completions. Use /v1/responses."
    raise ApiError(400, text, code="unsupported_parameter", param="tools")


def _refuse_unemulated(body: dict[str, Any], param: str) -> None:
    if body.get(param):
        text = f"The Penstock sandbox does not emulate '{param}'; the real service does."
        raise ApiError(400, text, code="sandbox_unsupported", param=param)


def _check_effort(model: Model, effort: Any, param: str, allowed: tuple[str, ...]) -> str | None:
    if effort is None:
        return model.default_effort
    if not model.efforts:
        raise _unsupported_parameter(param, "this model")
    if effort not in allowed:
        raise _unsupported_value(param, effort, f"Supported values are: {', '.join(allowed)}.")
    return str(effort)


def _check_sampling(body: dict[str, Any], model: Model, effort: str | None, quirks: Quirks) -> None:
    allowed = model.sampling == "yes" or (model.sampling == "effort-none" and effort == "none")
    if model.family >= (6, 0) and not quirks.gpt6_sampling:
        allowed = False
    for param in _SAMPLING:
        given = body.get(param)
        if given is None or (param in ("temperature", "top_p") and given == 1):
            continue
        if allowed and (quirks.penalties or param not in _PENALTIES or model.family < (5, 0)):
            continue
        if param == "temperature":
            raise _unsupported_value(param, given, "Only the default (1) value is supported with this model.")
        raise _unsupported_parameter(param, "this model")
    if body.get("messages") is not None and body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise _invalid("top_logprobs", "'logprobs' must be true to use it.")


def _check_limit(body: dict[str, Any], param: str, model: Model) -> None:
    value = body.get(param)
    if value is not None and model.max_output_tokens and value > model.max_output_tokens:
        text = f"{param} is too large: {value}. This model supports at most {model.max_output_tokens} output tokens."
        raise ApiError(400, text, code="invalid_value", param=param)


def _check_shared(body: dict[str, Any], model: Model, quirks: Quirks) -> None:
    tier = body.get("service_tier")
    if tier in ("scale", "ultrafast") or (tier == "flex" and not model.has_flex):
        text = f"Invalid service_tier argument: {tier} is not available to this project for {model.id}."
        raise ApiError(400, text, param="service_tier")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise _invalid("stream_options", "it is only allowed when 'stream' is true.")
    for at, tool in enumerate([*(body.get("tools") or []), *(body.get("functions") or [])]):
        _check_function(tool.get("function") or tool, f"tools[{at}]", quirks)
    names = [tool.get("name") or (tool.get("function") or {}).get("name") for tool in body.get("tools") or []]
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise _invalid("tool_choice", "supported values are none, auto, required, or a tool.")
    if choice is not None and choice != "none" and not names:
        raise _invalid("tool_choice", "it is only allowed when 'tools' are given.")
    if isinstance(choice, dict) and choice.get("type") in ("function", None):
        wanted = choice.get("name") or (choice.get("function") or {}).get("name")
        if wanted not in names:
            raise _invalid("tool_choice", f"there is no tool named {wanted!r}.")


def _check_function(function: dict[str, Any], where: str, quirks: Quirks) -> None:
    schema = function.get("parameters")
    if schema is None:
        return
    fault = find_damage(schema)
    if not fault and function.get("strict"):
        fault = find_fault(schema, string_lengths=quirks.string_lengths)
    if fault:
        text = f"Invalid schema for function '{function.get('name')}': {fault}"
        raise ApiError(400, text, code="invalid_function_parameters", param=f"{where}.parameters")


def _check_format(wanted: Any, param: str, model: Model, quirks: Quirks) -> None:
    if wanted is None or wanted["type"] != "json_schema":
        return
    if not model.strict_json:
        text = f"Invalid parameter: '{param}' of type 'json_schema' is not supported with this model."
        raise ApiError(400, text, param=param)
    for name in ("name", "schema"):
        if wanted.get(name) is None:
            raise missing(f"{param}.{name}")
    fault = find_damage(wanted["schema"])
    if not fault and wanted.get("strict"):
        fault = find_fault(wanted["schema"], string_lengths=quirks.string_lengths)
    if fault:
        text = f"Invalid schema for '{wanted['name']}': {fault}"
        raise ApiError(400, text, code="invalid_json_schema", param=f"{param}.schema")


def check_decision(body: dict[str, Any]) -> None:
    """Check a Decisions body (public beta of 2026-10-06: 1 to 400 questions of three types)."""
    if body.get("input") is None:
        raise missing("input")
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
    return inputs


def check_moderation(body: dict[str, Any]) -> list[tuple[str, bool]]:
    """Check a Moderations body; returns each input's text and whether it holds an image."""
    value = body.get("input")
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        return [(value, False)]
    if not value:
        raise _invalid("input", "expected a string, strings, or parts.")
    if all(isinstance(one, str) for one in value):
        return [(one, False) for one in value]
    for at, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("text", "image_url"):
            raise _invalid(f"input[{at}].type", "supported values are text, image_url.")
        if not (part.get("text") if kind == "text" else (part.get("image_url") or {}).get("url")):
            raise missing(f"input[{at}].{'text' if kind == 'text' else 'image_url.url'}")
    texts = [str(part["text"]) for part in value if part["type"] == "text"]
    return [("\n".join(texts), len(texts) < len(value))]
