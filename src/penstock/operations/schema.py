"""JSON Schema for strict structured output: made strict before sending, and checked again on the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import inf, isfinite
from typing import Any

from penstock.base.errors import InputError

MAX_PROPERTIES = 5000
MAX_DEPTH = 10
MAX_NAME_CHARACTERS = 120_000
MAX_ENUM_VALUES = 1000

_REFUSED = (
    "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
    "unevaluatedProperties", "unevaluatedItems", "propertyNames", "minProperties", "maxProperties", "contains",
    "minContains", "maxContains", "uniqueItems", "prefixItems",
)  # fmt: skip
_DROPPED = ("default", "examples", "example", "title", "$schema", "$id", "$comment", "deprecated", "readOnly")
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}

Schema = dict[str, Any]


def make_strict(schema: Schema) -> tuple[Schema, list[str]]:
    """Return the schema as strict mode wants it, and a line for each change that was needed.

    Raises `InputError` for what strict mode cannot express (OpenAI, structured outputs,
    November 2026: closed objects, all properties required, no `allOf`, size limits).
    Lengths of strings stay in: whether the vendor takes them is unsettled, so
    `without_lengths` removes them from what is sent.
    """
    if schema.get("type") != "object" or "anyOf" in schema or "oneOf" in schema:
        raise _refuse("$", "the outermost schema must be an object, not a choice")
    changes: list[str] = []
    strict = _strict(schema, "$", changes)
    _check_size(strict)
    return strict, changes


def without_lengths(schema: Any) -> Any:
    """Return a strict schema without minLength and maxLength, which are checked on the answer instead."""
    if isinstance(schema, list):
        return [without_lengths(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: without_lengths(part) for name, part in value.items()}
        if key in ("properties", "$defs")
        else without_lengths(value)
        for key, value in schema.items()
        if key not in ("minLength", "maxLength")
    }


def _strict(schema: Any, where: str, changes: list[str]) -> Schema:
    if not isinstance(schema, dict):
        raise _refuse(where, "`true` and `false` are not schemas in strict mode")
    if "$ref" in schema:
        if len(schema) > 1:
            changes.append(f"{where}: dropped what stood beside $ref")
        return {"$ref": schema["$ref"]}
    for word in _REFUSED:
        if word in schema:
            raise _refuse(where, f"`{word}` is not allowed in strict mode")
    result = {key: value for key, value in schema.items() if key not in _DROPPED}
    if len(result) < len(schema):
        changes.append(f"{where}: dropped {', '.join(key for key in schema if key in _DROPPED)}")
    if result.get("format", "date") not in _FORMATS:
        changes.append(f"{where}: dropped format {result.pop('format')}")
    if "oneOf" in result:
        changes.append(f"{where}: oneOf became anyOf")
        result["anyOf"] = result.pop("oneOf")
    _strict_children(result, where, changes)
    return result


def _strict_children(result: Schema, where: str, changes: list[str]) -> None:
    if "anyOf" in result:
        result["anyOf"] = [_strict(part, f"{where}|{i}", changes) for i, part in enumerate(result["anyOf"])]
    if "array" in _types(result):
        if "items" not in result:
            raise _refuse(where, "an array needs `items`")
        result["items"] = _strict(result["items"], f"{where}[]", changes)
    if "$defs" in result:
        result["$defs"] = {name: _strict(part, f"#{name}", changes) for name, part in result["$defs"].items()}
    if "object" in _types(result):
        _close_object(result, where, changes)


def _close_object(result: Schema, where: str, changes: list[str]) -> None:
    properties = result.get("properties", {})
    required = set(result.get("required", ()))
    closed = {}
    for name, part in properties.items():
        strict = _strict(part, f"{where}.{name}", changes)
        if name not in required:
            changes.append(f"{where}.{name}: optional became required or null")
            strict = _allow_null(strict)
        closed[name] = strict
    if result.get("additionalProperties") is not False:
        changes.append(f"{where}: closed to other properties")
    result.update(properties=closed, required=list(closed), additionalProperties=False)


def _allow_null(schema: Schema) -> Schema:
    if "null" in _types(schema) or any("null" in _types(part) for part in schema.get("anyOf", ())):
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def _types(schema: Schema) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _refuse(where: str, why: str) -> InputError:
    return InputError(
        f"the schema cannot be used at {where}: {why}",
        code="schema.not-strict",
        hint="Describe the answer with typed properties, `anyOf`, `enum` and `$defs` only.",
    )


def _walk(schema: Any, depth: int = 0) -> Iterator[tuple[Schema, int]]:
    yield schema, depth
    for part in schema.get("properties", {}).values():
        yield from _walk(part, depth + 1)
    if "items" in schema:
        yield from _walk(schema["items"], depth + 1)
    for part in (*schema.get("anyOf", ()), *schema.get("$defs", {}).values()):
        yield from _walk(part, depth)


def _check_size(schema: Schema) -> None:
    properties = characters = values = deepest = 0
    for part, depth in _walk(schema):
        names = [*part.get("properties", {}), *part.get("$defs", {})]
        enum = part.get("enum", [part["const"]] if "const" in part else [])
        properties += len(part.get("properties", {}))
        values += len(part.get("enum", ()))
        characters += sum(map(len, names)) + sum(len(str(value)) for value in enum)
        deepest = max(deepest, depth)
    for measured, allowed, what in (
        (properties, MAX_PROPERTIES, "properties"),
        (deepest, MAX_DEPTH, "levels"),
        (characters, MAX_NAME_CHARACTERS, "characters of names and enum values"),
        (values, MAX_ENUM_VALUES, "enum values"),
    ):
        if measured > allowed:
            raise _refuse("$", f"it has {measured:,} {what}; {allowed:,} are allowed")


def check_value(schema: Schema, value: Any) -> list[str]:
    """Return what is wrong with a JSON value, one line each; empty when it fits.

    Knows the words that `make_strict` lets pass, and minLength and maxLength.
    """
    problems: list[str] = []
    _check(schema, value, "$", schema, problems)
    return problems


def _check(schema: Schema, value: Any, where: str, root: Schema, problems: list[str]) -> None:
    while "$ref" in schema:
        schema = _resolve(schema["$ref"], root)
    kinds = _types(schema)
    if kinds and not any(_IS[kind](value) for kind in kinds):
        problems.append(f"{where}: expected {' or '.join(kinds)}")
        return
    if "anyOf" in schema and not any(_fits(part, value, root) for part in schema["anyOf"]):
        problems.append(f"{where}: fits none of the allowed shapes")
    if "enum" in schema and not any(_same(value, allowed) for allowed in schema["enum"]):
        problems.append(f"{where}: not one of the allowed values")
    if "const" in schema and not _same(value, schema["const"]):
        problems.append(f"{where}: not the one allowed value")
    if isinstance(value, str):
        _check_text(schema, value, where, problems)
    elif _IS["number"](value):
        _check_number(schema, value, where, problems)
    elif isinstance(value, list):
        _check_array(schema, value, where, root, problems)
    elif isinstance(value, dict):
        _check_object(schema, value, where, root, problems)


def _fits(schema: Schema, value: Any, root: Schema) -> bool:
    problems: list[str] = []
    _check(schema, value, "$", root, problems)
    return not problems


def _resolve(reference: str, root: Schema) -> Schema:
    node: Any = root
    for part in reference.removeprefix("#").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")] if part else node
    return dict(node)


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _check_text(schema: Schema, value: str, where: str, problems: list[str]) -> None:
    if len(value) < schema.get("minLength", 0):
        problems.append(f"{where}: shorter than {schema['minLength']} characters")
    if len(value) > schema.get("maxLength", len(value)):
        problems.append(f"{where}: longer than {schema['maxLength']} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        problems.append(f"{where}: does not match {schema['pattern']}")


def _check_number(schema: Schema, value: float, where: str, problems: list[str]) -> None:
    if not isfinite(value):
        problems.append(f"{where}: not a finite number")
        return
    if value < schema.get("minimum", value) or value > schema.get("maximum", value):
        problems.append(f"{where}: {value:g} is out of range")
    if value <= schema.get("exclusiveMinimum", -inf) or value >= schema.get("exclusiveMaximum", inf):
        problems.append(f"{where}: {value:g} is out of range")
    step = schema.get("multipleOf")
    if step and abs(value / step - round(value / step)) > 1e-9:
        problems.append(f"{where}: {value:g} is not a multiple of {step:g}")


def _check_array(schema: Schema, value: list[Any], where: str, root: Schema, problems: list[str]) -> None:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        problems.append(f"{where}: {len(value)} items")
    if "items" in schema:
        for index, item in enumerate(value):
            _check(schema["items"], item, f"{where}[{index}]", root, problems)


def _check_object(schema: Schema, value: dict[str, Any], where: str, root: Schema, problems: list[str]) -> None:
    properties = schema.get("properties", {})
    problems += [f"{where}.{name}: missing" for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        if name in properties:
            _check(properties[name], item, f"{where}.{name}", root, problems)
        elif schema.get("additionalProperties") is False:
            problems.append(f"{where}.{name}: not asked for")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_IS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and isfinite(value) and value == int(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
