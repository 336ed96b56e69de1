"""Strict JSON schemas of the emulated OpenAI: which ones are refused."""

from __future__ import annotations

import re
from typing import Any

_FORBIDDEN_NAMES = (
    "allOf oneOf not if then else dependentRequired dependentSchemas patternProperties unevaluatedProperties "
    "unevaluatedItems propertyNames minProperties maxProperties contains minContains maxContains uniqueItems "
    "prefixItems additionalItems"
)
_FORBIDDEN = frozenset(_FORBIDDEN_NAMES.split())
FORMATS = {
    "date-time": "2026-11-20T12:00:00Z",
    "time": "12:00:00Z",
    "date": "2026-11-20",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "12345678-1234-4234-8234-123456789abc",
}
"""The formats that strict mode knows, each with an example."""
_DEEPEST = 10
_MOST_PROPERTIES = 5_000
_MOST_ENUM_VALUES = 1_000
_MOST_CHARACTERS = 120_000


def find_fault(schema: Any, *, string_lengths: bool = True) -> str | None:
    """Return why a schema cannot be used in strict mode, or None (contract of 2026-11-20, section 2.5).

    Whether minLength and maxLength are taken is not settled there: `string_lengths` says it.
    """
    if not string_lengths and re.search(r"'(?:min|max)Length':", str(schema)):
        return "In context=(), 'minLength' and 'maxLength' are not permitted."
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        return "schema must be a JSON Schema of 'type: \"object\"', got another type or a union."
    counts = {"properties": 0, "enum": 0, "characters": 0}
    fault = _find_fault(schema, "()", 1, counts)
    for name, definition in (schema.get("$defs") or schema.get("definitions") or {}).items():
        counts["characters"] += len(name)
        fault = fault or _find_fault(definition, f"('$defs', {name!r})", 1, counts)
    if fault:
        return fault
    if counts["properties"] > _MOST_PROPERTIES or counts["enum"] > _MOST_ENUM_VALUES:
        return f"schema has {counts['properties']} properties and {counts['enum']} enum values: too many."
    if counts["characters"] > _MOST_CHARACTERS:
        return f"names, enums and constants have {counts['characters']} characters in all: too many."
    return None


def _find_fault(schema: Any, where: str, depth: int, counts: dict[str, int]) -> str | None:
    if not isinstance(schema, dict):
        return f"In context={where}, a schema must be an object."
    forbidden = sorted(_FORBIDDEN & schema.keys())
    if forbidden:
        return f"In context={where}, {forbidden[0]!r} is not permitted."
    if "$ref" in schema:
        return f"In context={where}, $ref cannot have sibling keywords." if len(schema) > 1 else None
    if depth > _DEEPEST:
        return f"In context={where}, the schema is nested deeper than {_DEEPEST} levels."
    if re.search(r"\(\?(?:[=!]|<[=!])", str(schema.get("pattern", ""))):
        return f"In context={where}, look-around is not permitted in 'pattern'."
    _count_values(schema, counts)
    return _find_type_fault(schema, where) or _find_inner_fault(schema, where, depth, counts)


def _count_values(schema: dict[str, Any], counts: dict[str, int]) -> None:
    names, values = schema.get("properties") or {}, schema.get("enum") or []
    counts["properties"] += len(names)
    counts["enum"] += len(values)
    texts = [*names, *(one for one in (*values, schema.get("const")) if isinstance(one, str))]
    counts["characters"] += sum(map(len, texts))


def _find_type_fault(schema: dict[str, Any], where: str) -> str | None:
    kind = schema.get("type")
    fault = None
    if kind is None and not {"anyOf", "enum", "const"} & schema.keys():
        fault = "schema must have a 'type' key."
    elif schema.get("format") and schema["format"] not in FORMATS:
        fault = f"{schema['format']!r} is not a valid format."
    elif has_type(schema, "array") and not isinstance(schema.get("items"), dict):
        fault = "array schema missing items."
    elif has_type(schema, "object") and schema.get("additionalProperties") is not False:
        fault = "'additionalProperties' is required to be supplied and to be false."
    elif has_type(schema, "object") and set(schema.get("required") or []) != set(schema.get("properties") or {}):
        fault = "'required' must be an array including every key in properties."
    return fault and f"In context={where}, {fault}"


def _find_inner_fault(schema: dict[str, Any], where: str, depth: int, counts: dict[str, int]) -> str | None:
    inner = [(f"{where[:-1]}, 'properties', {name!r})", one) for name, one in (schema.get("properties") or {}).items()]
    inner += [(f"{where[:-1]}, 'anyOf', '{at}')", one) for at, one in enumerate(schema.get("anyOf") or [])]
    if isinstance(schema.get("items"), dict):
        inner.append((f"{where[:-1]}, 'items')", schema["items"]))
    for place, one in inner:
        # A union is no level of its own.
        fault = _find_fault(one, place, depth + ("anyOf" not in place), counts)
        if fault:
            return fault
    return None


def has_type(schema: dict[str, Any], name: str) -> bool:
    """Tell whether a schema allows a type."""
    kind = schema.get("type")
    return kind == name or (isinstance(kind, list) and name in kind)


_SCHEMAS = ("items", "additionalProperties", "not")
_LISTS = ("anyOf", "oneOf", "allOf")
_MAPS = ("properties", "$defs", "definitions")


def find_damage(schema: Any) -> str | None:
    """Return why a schema, strict or not, is none at all: parts of a wrong type, references to nothing; or None."""
    return _find_damage(schema, schema)


def _find_damage(schema: Any, root: Any) -> str | None:
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{schema!r} is not of type 'object', 'boolean'."
    found = _find_own_damage(schema, root)
    inner = [schema[name] for name in _SCHEMAS if name in schema]
    for name in (*_LISTS, *_MAPS):
        parts = schema.get(name)
        if parts is None:
            continue
        wanted = list if name in _LISTS else dict
        if not isinstance(parts, wanted):
            return f"{name!r} has the wrong type."
        inner += parts if isinstance(parts, list) else parts.values()
    return found or next((fault for one in inner if (fault := _find_damage(one, root))), None)


def _find_own_damage(schema: dict[str, Any], root: Any) -> str | None:
    kinds = schema.get("type", "object")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not kinds or any(kind not in _TYPES for kind in kinds):
        return f"{schema.get('type')!r} is not a valid type."
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        return "'enum' must be a list with at least one value."
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", *_COUNTS):
        value = schema.get(name, 1)
        if not isinstance(value, int | float) or isinstance(value, bool) or (name == "multipleOf" and value <= 0):
            return f"{name!r} must be a number."
    if not isinstance(schema.get("pattern", ""), str) or not isinstance(schema.get("required", []), list):
        return "'pattern' or 'required' has the wrong type."
    seen = []
    while isinstance(schema, dict) and "$ref" in schema:
        if schema["$ref"] in seen:
            return f"reference {schema['$ref']!r} leads to itself."
        seen.append(schema["$ref"])
        schema = follow(root, schema["$ref"])
    return None if isinstance(schema, dict | bool) else f"reference {seen[-1]!r} leads to nothing."


_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")


def follow(root: Any, reference: Any) -> Any:
    """Return what a reference inside a schema points to; None when that is nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found
