"""Writes the contract as JSON Schema, for people who check events elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.events.contract import Contract, Field, Identifier

_TEXT = {"type": "string", "minLength": 1}
_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_CLEAR: dict[str, dict[str, Any]] = {
    "country": {"type": "string", "pattern": "^[A-Za-z]{2}$"},
    "place": {"type": "string", "minLength": 1, "maxLength": 128},
    "postal-code": {"type": "string", "minLength": 1, "maxLength": 32},
    "device": {"type": "string", "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"},
    "ip": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
}


def request_schema(contract: Contract) -> dict[str, Any]:
    """Return the schema of a request body; what no schema can say (the time window) is left to `validate`."""
    request = contract.request
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"OpenAI Conversions API, generation {contract.generation}, compiled {contract.compiled}",
        "type": "object",
        "required": ["events"],
        "additionalProperties": False,
        "properties": {
            "events": {
                "type": "array",
                "minItems": 1,
                "maxItems": contract.limits["events_per_request"].value,
                "items": {"$ref": "#/$defs/event"},
            },
            "validate_only": {"type": "boolean"},
            "integration_source": {"type": "string", "pattern": f"^{request['integration_source'].pattern}$"},
        },
        "$defs": {"event": event_schema(contract), "item": _object(contract, contract.item), "user": _user(contract)},
    }


def event_schema(contract: Contract) -> dict[str, Any]:
    """Return the schema of one element of `events`."""
    properties = {name: _field(contract, field) for name, field in contract.envelope.items()}
    rules: list[dict[str, Any]] = [
        {
            "if": {"properties": {"action_source": {"const": "web"}}, "required": ["action_source"]},
            "then": {"required": ["source_url"]},
        }
    ]
    for name, kind in contract.types.items():
        then: dict[str, Any] = {"properties": {"data": _shape(contract, kind.shape)}}
        if kind.named:
            then["required"] = ["custom_event_name"]
        if kind.action_source:
            then["properties"]["action_source"] = {"const": kind.action_source}
        rules.append({"if": {"properties": {"type": {"const": name}}}, "then": then})
    return {
        "type": "object",
        "required": [name for name, field in contract.envelope.items() if field.required == "yes"],
        "additionalProperties": False,
        "properties": properties,
        "allOf": rules,
    }


def _shape(contract: Contract, name: str) -> dict[str, Any]:
    fields = contract.shapes[name]
    shape = _object(contract, {key: field for key, field in fields.items() if key != "*"})
    shape["properties"]["type"] = {"const": name}
    shape["required"] = ["type", *(key for key, field in fields.items() if field.required == "yes")]
    shape["additionalProperties"] = "*" in fields
    if "amount" in fields:
        shape["dependentRequired"] = {"amount": ["currency"]}
    return shape


def _object(contract: Contract, fields: dict[str, Field]) -> dict[str, Any]:
    properties = {name: _field(contract, field) for name, field in fields.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _field(contract: Contract, field: Field) -> dict[str, Any]:
    schemas: dict[str, dict[str, Any]] = {
        "text": _TEXT,
        "opaque": _TEXT,
        "integer": {"type": "integer", "minimum": 0},
        "number": {"type": "number"},
        "flag": {"type": "boolean"},
        "money": {"type": "integer", "minimum": 0},
        "currency": {"type": "string", "pattern": "^[A-Za-z]{3}$"},
        "contents": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "text-map": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {},
        "moment": {"type": "integer"},
        "choice": {"enum": list(field.choices)},
        "url": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+"},
        "custom-name": {"type": "string", "pattern": f"^{field.pattern}$", "not": {"enum": sorted(contract.types)}},
        "type": {"enum": list(contract.types)},
        "user": {"$ref": "#/$defs/user"},
        "data": {"type": "object", "required": ["type"]},
    }
    return {**schemas[field.kind], **({"description": field.rule} if field.rule else {})}


def _user(contract: Contract) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _identifier(one) for name, one in contract.user.items()},
    }


def _identifier(one: Identifier) -> dict[str, Any]:
    value = _HASH if one.hashed else _CLEAR.get(one.kind, _TEXT)
    schema: dict[str, Any] = {"type": "array", "items": value} if one.many else dict(value)
    return {**schema, "description": one.rule}
