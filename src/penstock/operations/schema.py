"""JSON Schema for structured output: fitted to the vendor's strict mode before sending, held against the answer after.

What strict mode cannot say is not lost: the answer is checked against the schema as it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec

from penstock.base.errors import InputError

MAX_PROPERTIES = 5000
MAX_DEPTH = 10
MAX_NAME_CHARACTERS = 120_000
MAX_ENUM_VALUES = 1000

_REFUSED = (
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties", "unevaluatedProperties",
    "unevaluatedItems", "propertyNames", "minProperties", "maxProperties", "contains", "minContains", "maxContains",
    "uniqueItems",
)  # fmt: skip
"""Words that strict mode refuses; without them the answer has more freedom, which the check afterwards takes away."""
_DROPPED = ("default", "examples", "example", "title", "$schema", "$id", "$comment", "deprecated", "readOnly")
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}

Schema = dict[str, Any]


class Fitted(NamedTuple):
    """What is sent for a schema.

    `is_wrapped` when the answer stands under `value`, because the outermost must be an object;
    `changes` has a line for each thing that strict mode wanted otherwise.
    """

    schema: Schema
    is_strict: bool
    is_wrapped: bool
    changes: tuple[str, ...]


def fit_schema(schema: Schema) -> Fitted:
    """Fit any JSON Schema to structured output; raises `InputError` for what is no schema.

    Strict mode where the schema can be said in it, otherwise the schema as it is, without strictness.
    """
    try:
        return _fit(msgspec.json.encode(schema))
    except RecursionError:
        raise InputError(
            "the answer schema is nested too deeply", code="schema.invalid", hint=f"{MAX_DEPTH} levels are enough."
        ) from None


@lru_cache(maxsize=256)
def _fit(encoded: bytes) -> Fitted:
    schema = msgspec.json.decode(encoded)
    _check_schema(schema)
    schema = _with_defs(schema)
    is_wrapped = (
        not isinstance(schema, dict) or schema.get("type") != "object" or bool({"anyOf", "oneOf"} & set(schema))
    )
    whole = _wrap(schema) if is_wrapped else schema
    why = ("the outermost is no object: it stands under `value`",) if is_wrapped else ()
    try:
        strict, changes = make_strict(whole)
    except InputError as error:
        return Fitted(
            whole, is_strict=False, is_wrapped=is_wrapped, changes=(*why, f"strict mode is off: {error.message}")
        )
    return Fitted(strict, is_strict=True, is_wrapped=is_wrapped, changes=(*why, *changes))


def _check_schema(schema: Any) -> None:
    """Raise `InputError` for what is no JSON Schema, and for references that lead nowhere or outside."""
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        raise InputError(
            f"the answer schema is not JSON Schema: {error.message}",
            code="schema.invalid",
            hint="Check the words and their kinds at json-schema.org.",
        ) from None
    if any(not str(reference).startswith("#") for reference in _references(schema)):
        raise InputError(
            "the schema refers to another document", code="schema.reference", hint="Put the definition under $defs."
        )
    try:
        jsonschema_rs.validator_for(schema, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise InputError(
            f"the schema cannot be used: {str(error).strip().partition(chr(10))[0]}",
            code="schema.reference",
            hint="Put what it refers to under $defs, and check its patterns.",
        ) from None


def _with_defs(schema: Any) -> Any:
    """Return the schema with its definitions under the one name that strict mode knows."""
    if not isinstance(schema, dict) or "definitions" not in schema:
        return schema
    moved = _redirect(schema, "#/definitions/", "#/$defs/")
    definitions = {**moved.pop("definitions"), **moved.get("$defs", {})}
    return {**moved, "$defs": definitions}


def _redirect(schema: Any, old: str, new: str) -> Any:
    """Return a schema whose references that begin with `old` begin with `new`."""
    if isinstance(schema, list):
        return [_redirect(part, old, new) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _redirect(value, old, new) for key, value in schema.items()}
    reference = found.get("$ref")
    if isinstance(reference, str) and reference.startswith(old):
        found["$ref"] = new + reference.removeprefix(old)
    return found


def _wrap(schema: Any) -> Schema:
    schema = _redirect(_redirect(schema, "#", "#/properties/value"), "#/properties/value/$defs/", "#/$defs/")
    definitions = {"$defs": schema["$defs"]} if isinstance(schema, dict) and "$defs" in schema else {}
    inner = {key: value for key, value in schema.items() if key != "$defs"} if isinstance(schema, dict) else schema
    return {
        "type": "object",
        "properties": {"value": inner},
        "required": ["value"],
        "additionalProperties": False,
        **definitions,
    }


def make_strict(schema: Schema) -> tuple[Schema, list[str]]:
    """Return the schema as strict mode wants it, and a line for each change that was needed.

    Raises `InputError` for what strict mode cannot express (OpenAI, structured outputs,
    November 2026: closed objects, all properties required, size limits). Lengths of
    strings stay in: whether the vendor takes them is unsettled, so `without_lengths`
    removes them from what is sent.
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
    if len(schema.get("allOf", ())) == 1:  # how many tools write a reference with a description
        schema = {**schema["allOf"][0], **{key: value for key, value in schema.items() if key != "allOf"}}
    if "allOf" in schema:
        raise _refuse(where, "`allOf` is not allowed in strict mode")
    if "prefixItems" in schema:
        raise _refuse(where, "`prefixItems` is not allowed in strict mode")
    if "$ref" in schema:
        if len(schema) > 1:
            changes.append(f"{where}: dropped what stood beside $ref")
        return {"$ref": schema["$ref"]}
    result = {key: value for key, value in schema.items() if key not in (*_DROPPED, *_REFUSED)}
    if len(result) < len(schema):
        changes.append(f"{where}: dropped {', '.join(key for key in schema if key not in result)}")
    if result.get("format", "date") not in _FORMATS:
        changes.append(f"{where}: dropped format {result.pop('format')}")
    if "oneOf" in result:
        changes.append(f"{where}: oneOf became anyOf")
        result["anyOf"] = result.pop("oneOf")
    if not {"type", "anyOf", "enum", "const"} & set(result):
        raise _refuse(where, "it has no type")
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
    if isinstance(result.get("additionalProperties"), dict) or "properties" not in result:
        raise _refuse(where, "an object with names of the model's choice")
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
    """Return what is wrong with a JSON value, one line each without the value itself; empty when it fits."""
    errors = _validator(msgspec.json.encode(schema)).iter_errors(value)
    return [f"{_place(error.instance_path)}: {error.message}" for error in errors]


@lru_cache(maxsize=256)
def _validator(encoded: bytes) -> jsonschema_rs.Validator:
    schema = msgspec.json.decode(encoded)
    return jsonschema_rs.validator_for(schema, mask="the value", validate_formats=True, offline=True)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (value for key, value in schema.items() if key == "$ref" and isinstance(value, str))
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _references(part)


def _place(path: list[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def without_added_nulls(schema: Any, value: Any) -> Any:
    """Return an answer without the nulls that stand for optional properties, which strict mode made required."""
    return _prune(schema, value, schema)


def _prune(schema: Any, value: Any, root: Any) -> Any:
    if not isinstance(schema, dict):
        return value
    for branch in _branches(schema, root):
        if isinstance(value, dict) and "properties" in branch:
            value = _prune_object(branch, value, root)
        elif isinstance(value, list) and "items" in branch:
            value = [_prune(branch["items"], item, root) for item in value]
    return value


def _prune_object(schema: Schema, value: dict[str, Any], root: Any) -> dict[str, Any]:
    properties, required = schema["properties"], set(schema.get("required", ()))
    kept = {}
    for name, item in value.items():
        part = properties.get(name)
        if item is None and part is not None and name not in required and not _takes_null(part, root):
            continue
        kept[name] = item if part is None else _prune(part, item, root)
    return kept


def _takes_null(schema: Any, root: Any) -> bool:
    shared = {name: root[name] for name in ("$defs", "definitions") if name in root}
    inlined = {**schema, **shared} if isinstance(schema, dict) else schema
    try:
        return jsonschema_rs.is_valid(inlined, None, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):  # it refers to another place of the whole
        return False


def _branches(schema: Schema, root: Any, depth: int = 0) -> Iterator[Schema]:
    """Yield the schema and what it refers to or offers, as far as objects and lists go."""
    if "$ref" in schema and depth < MAX_DEPTH:
        yield from _branches(_resolve(schema["$ref"], root), root, depth + 1)
    yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word, ()):
            if isinstance(part, dict):
                yield from _branches(part, root, depth + 1)


def _resolve(reference: str, root: Any) -> Schema:
    node: Any = root
    for part in reference.removeprefix("#").split("/"):
        node = node.get(part.replace("~1", "/").replace("~0", "~"), {}) if part else node
    return dict(node)
