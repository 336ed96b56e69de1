"""What can be wrong with the input of an operation, made from its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jsonschema_rs

CANDIDATES: tuple[Any, ...] = (7, "many", {"nonsense": []}, [[]])
"""One of these has the wrong type, whatever is wanted. Numbers as text are no fault: a shell writes them so."""


class Wrong(NamedTuple):
    """An input with one fault, and the field that an error has to name."""

    kind: str
    field: str
    values: dict[str, Any]


def wrong_inputs(schema: Mapping[str, Any], example: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield the example with each field wrong in each way that its schema knows."""
    yield Wrong("unknown", "nonsense", {**example, "nonsense": 1})
    for name in schema.get("required", ()):
        yield Wrong("missing", name, {key: value for key, value in example.items() if key != name})
    for name, part in schema["properties"].items():
        for kind, value in _wrong_values({**part, "$defs": schema.get("$defs", {})}):
            yield Wrong(kind, name, {**example, name: value})


def _wrong_values(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    fits = jsonschema_rs.validator_for(dict(part)).is_valid
    if not fits(None):
        yield "null", None
    wrong = next((value for value in CANDIDATES if not fits(value) and not _reads_as(part, value)), None)
    if wrong is not None:
        yield "type", wrong
    for one in (part, *part.get("anyOf", ())):
        yield from ((kind, value) for kind, value in _out_of_range(one) if not fits(value))


def _reads_as(part: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a value is taken although its type is another one: numbers are text to a shell."""
    kinds = {part.get("type"), *(one.get("type") for one in part.get("anyOf", ()))}
    is_number = isinstance(value, int) and bool(kinds & {"number", "integer"})
    return is_number or (isinstance(value, list) and "object" in kinds)


def _out_of_range(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "minimum" in part:
        yield "too small", part["minimum"] - 1
    if "maximum" in part:
        yield "too large", part["maximum"] + 1
        yield "huge", 10**30
    if part.get("minLength"):
        yield "empty", ""
    if "maxLength" in part:
        yield "too long", "x" * (part["maxLength"] + 1)
    if "enum" in part:
        yield "not offered", "nonsense"
    if part.get("minItems"):
        yield "empty", []
    if part.get("minProperties"):
        yield "empty", {}
    if "maxItems" in part and part.get("items", {}).get("type") == "string":
        yield "too many", ["x"] * (part["maxItems"] + 1)
