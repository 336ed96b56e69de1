"""Holds a request of the emulated OpenAI against the types of its body; every fault is named with its place."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from penstock.sandbox.openai_bodies import BODIES, ITEMS, ResponseFunction
from penstock.sandbox.openai_requests import ApiError, missing

_PARTS = ("input_text", "output_text", "input_image", "input_file", "input_audio", "refusal", "input_json")


def check_shape(operation: str, body: Any) -> dict[str, Any]:
    """Return the body when every name, type and range in it is known to the operation."""
    if not isinstance(body, dict):
        raise ApiError(400, "The request body is not a JSON object.")
    _convert(body, BODIES[operation], "")
    return body


def check_items(items: Any, where: str) -> None:
    """Check the items of a Responses, Decisions or Conversations input."""
    for at, item in enumerate(items if isinstance(items, list) else []):
        kind = item.get("type") or "message"
        shape = ITEMS.get(kind)
        if shape is not None:
            _convert(item, shape, f"{where}[{at}]")
        elif not isinstance(kind, str) or not kind.endswith(("_call", "_output", "_tools", "compaction")):
            raise ApiError(400, f"Invalid value: '{kind}'.", code="invalid_value", param=f"{where}[{at}].type")
        content = item.get("content") if kind == "message" else None
        for place, part in enumerate(content if isinstance(content, list) else []):
            if part.get("type") not in _PARTS:
                text = f"Invalid value: '{part.get('type')}'. Supported values are: {', '.join(_PARTS[:6])}."
                raise ApiError(400, text, code="invalid_value", param=f"{where}[{at}].content[{place}].type")


def check_response_tools(tools: Any) -> None:
    """Check the function tools of a response; hosted tools are not emulated."""
    for at, tool in enumerate(tools or []):
        if tool.get("type") != "function":
            text = f"The Penstock sandbox does not emulate the tool '{tool.get('type')}'; the real service does."
            raise ApiError(400, text, code="sandbox_unsupported", param=f"tools[{at}].type")
        _convert(tool, ResponseFunction, f"tools[{at}]")


def _convert(value: Any, shape: type[Struct], where: str) -> None:
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise _as_refusal(str(error), where) from error


@cache
def _patterns() -> list[tuple[re.Pattern[str], str, str]]:
    rules = [
        (r"Object missing required field `(?P<name>\w+)`", "missing_required_parameter", ""),
        (r"Object contains unknown field `(?P<name>.*)`", "unknown_parameter", "Unknown parameter: '{param}'."),
        (r"Invalid (?:enum )?value (?P<value>.*)", "invalid_value", "Invalid value for '{param}': {value}."),
        (
            r"Expected `int` >= (?P<value>.*)",
            "integer_below_min_value",
            "Invalid '{param}': expected at least {value}.",
        ),
        (r"Expected `int` <= (?P<value>.*)", "integer_above_max_value", "Invalid '{param}': expected at most {value}."),
        (r"Expected `str` of length <= 10485760", "string_above_max_length", "Invalid '{param}': string too long."),
        (r"Expected `(?P<value>[^`]*)`, got `(?P<got>[^`]*)`", "invalid_type", ""),
        (r"Expected (?P<value>.*)", "invalid_value", "Invalid '{param}': expected {value}."),
    ]
    return [(re.compile(pattern), code, text) for pattern, code, text in rules]


def _as_refusal(message: str, where: str) -> ApiError:
    """Turn a fault of the decoder into the service's own words, with the place as `param`."""
    said, _, path = message.partition(" - at ")
    place = path.removeprefix("`key` in ").strip("`").removeprefix("$").removesuffix("[...]")
    place = (where + place).removeprefix(".")
    for pattern, code, text in _patterns():
        found = pattern.fullmatch(said)
        if not found:
            continue
        words = found.groupdict()
        param = f"{place}.{words['name']}".removeprefix(".") if "name" in words else place
        if code == "missing_required_parameter":
            return missing(param)
        if code == "invalid_type":
            kinds = words["value"].replace(" | null", "").replace("|", "or")
            said = f"Invalid type for '{param}': expected one of {kinds}, but got {words['got']} instead."
            return ApiError(400, said, code=code, param=param)
        return ApiError(400, text.format(param=param, value=words.get("value", "")), code=code, param=param)
    return ApiError(400, f"Invalid '{place}': {said}.", code="invalid_value", param=place)
