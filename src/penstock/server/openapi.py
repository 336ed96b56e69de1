"""The OpenAPI 3.1 document, made from the routes themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from penstock import __version__
from penstock.server.doors import Door

_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable name of the error."},
        "hint": {"type": "string", "description": "What to do now."},
        "where": {"type": "string"},
        "request_id": {"type": "string"},
        "vendor_request_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "hint", "where", "request_id"],
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request is done once; its answer is kept for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def build_document(doors: Iterable[Door]) -> dict[str, Any]:
    """Return the document; routes without a summary are not part of it."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, Any] = {}
    for door in doors:
        if door.summary:
            paths.setdefault(door.path, {})[door.method.lower()] = _describe(door, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": __version__,
            "description": "OpenAI for customer data: planned before it costs, resumable, replay-safe.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "What went wrong, and what to do now.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(door: Door, schemas: dict[str, Any]) -> dict[str, Any]:
    name = _name_of(door)
    content = {door.reply_type: {"schema": _hoist(door.reply, name + "Reply", schemas)}}
    if door.events:
        content["text/event-stream"] = {"schema": {"type": "string", "description": door.events}}
    described: dict[str, Any] = {
        "operationId": name[0].lower() + name[1:],
        "summary": door.summary,
        "security": [{"token": []}] if door.allow else [{}],
        "parameters": _parameters(door),
        "responses": {
            str(door.status): {"description": "Done.", "content": content},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if door.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {
                kind: {"schema": _hoist(schema, name + "Request", schemas)} for kind, schema in door.body.items()
            },
        }
    return described


def _parameters(door: Door) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)(?::\w+)?}", door.path)
    ]
    in_query = [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in door.query.items()
    ]
    return [*in_path, *in_query, *([_KEY] if door.keeps else [])]


def _name_of(door: Door) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", door.path) if word and word != "v1"]
    return door.method.capitalize() + "".join(word.capitalize() for word in words)


def _hoist(schema: Mapping[str, Any], name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Move the definitions inside a schema to the components, under names that cannot collide."""

    def walk(part: Any, defined: Mapping[str, str]) -> Any:
        if isinstance(part, list):
            return [walk(one, defined) for one in part]
        if not isinstance(part, Mapping):
            return part
        inner = part.get("$defs")
        if isinstance(inner, Mapping):
            defined = {**defined, **{f"#/$defs/{one}": f"{name}.{one}" for one in inner}}
            for one, body in inner.items():
                schemas[f"{name}.{one}"] = walk(body, defined)
        found = {key: walk(value, defined) for key, value in part.items() if key != "$defs"}
        if part.get("$ref") in defined:
            found["$ref"] = f"#/components/schemas/{defined[part['$ref']]}"
        return found

    hoisted: dict[str, Any] = walk(schema, {})
    return hoisted
