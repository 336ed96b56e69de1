"""An answer of the emulated OpenAI that fits a strict schema and makes sense where the field's name is known."""

from __future__ import annotations

import re
from typing import Any

from penstock.sandbox.judge import Judgement, choose, is_true
from penstock.sandbox.pattern import Pattern
from penstock.sandbox.prompt import Entry
from penstock.sandbox.schema import FORMATS, follow, has_type
from penstock.sandbox.summary import summarise

_DEEPEST = 40
"""Where a schema that always asks for more of itself ends."""


class Filler:
    """Fills a schema: fields with known names from the judgement, all others with the shortest value that fits."""

    def __init__(self, schema: dict[str, Any], entries: list[tuple[Entry, Judgement]]) -> None:
        self._root = schema
        self._entries = entries

    def fill(self) -> Any:
        """Return a value that fits the schema."""
        entry, judgement = self._entries[0]
        return self._value("", self._root, entry, judgement, 0)

    def _value(self, name: str, schema: Any, entry: Entry, judgement: Judgement, depth: int) -> Any:
        schema = {} if isinstance(schema, bool) or depth > _DEEPEST else self._resolve(schema)
        for union in ("anyOf", "oneOf", "allOf"):
            if schema.get(union):
                branch = self._branch(schema[union], depth)
                return self._value(name, branch, entry, judgement, depth + ("$ref" in branch))
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else _pick(name, schema, judgement)
        kind = _plain_type(schema, depth)
        if kind == "object":
            fields = schema.get("properties") or {}
            return {key: self._value(key, one, entry, judgement, depth + 1) for key, one in fields.items()}
        if kind == "array":
            return self._array(name, schema, entry, judgement, depth)
        return _scalar(kind, name, schema, entry, judgement)

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = follow(self._root, schema["$ref"])
        return schema

    def _branch(self, branches: list[Any], depth: int) -> Any:
        """Prefer a value to null, but end a recursion where it can end."""
        branches = [{} if isinstance(one, bool) else one for one in branches]
        simple = [one for one in branches if self._resolve(one).get("type") not in ("object", "array")]
        nothing = [one for one in branches if self._resolve(one).get("type") == "null"]
        if depth > 4 and (nothing or simple):
            return (nothing or simple)[0]
        return next((one for one in branches if one not in nothing), branches[0])

    def _array(self, name: str, schema: dict[str, Any], entry: Entry, judgement: Judgement, depth: int) -> list[Any]:
        items = schema.get("items")
        items = self._resolve(items) if isinstance(items, dict) else {}
        least, most = schema.get("minItems", 0), schema.get("maxItems", 1 << 30)
        if "enum" in items and all(isinstance(one, str) for one in items["enum"]):
            shares = [(is_true(f"mentions {one}", judgement), one) for one in items["enum"]]
            found = [one for share, one in shares if share > 0.5][:most]
            rest = [one for _, one in sorted(shares, key=lambda pair: -pair[0]) if one not in found]
            return found + [rest[at % len(rest)] if rest else found[0] for at in range(max(0, least - len(found)))]
        if has_type(items, "object") and {"id", "key"} & (items.get("properties") or {}).keys():
            packed = [self._value(name, items, one, judged, depth + 1) for one, judged in self._entries]
            if least <= len(packed) <= most:
                return packed
        count = max(least, 0 if depth > 3 else min(1, most))
        return [self._value(name, items, entry, judgement, depth + 1) for _ in range(count)]


def _plain_type(schema: dict[str, Any], depth: int) -> str:
    kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else "null")
    if isinstance(kind, str):
        return kind
    if depth > 4 and "null" in kind:
        return "null"
    return str(next((one for one in kind if one != "null"), "null"))


def _scalar(kind: str, name: str, schema: dict[str, Any], entry: Entry, judgement: Judgement) -> Any:
    if kind == "string":
        return _string(name, schema, entry, judgement)
    if kind in ("number", "integer"):
        return _number(name, schema, judgement, whole=kind == "integer", identity=entry.id)
    if kind == "boolean":
        return is_true(f"{name.replace('_', ' ')} {schema.get('description', '')}", judgement) > 0.5
    return None


def _pick(name: str, schema: dict[str, Any], judgement: Judgement) -> Any:
    values = schema["enum"]
    if name == "language" and judgement.language in values:
        return judgement.language
    options = [value for value in values if isinstance(value, str)] or values
    if set(map(type, options)) == {bool} or not all(isinstance(value, str) for value in options):
        return options[0]
    shares = choose([(value, "") for value in options], judgement)
    return options[max(range(len(shares)), key=shares.__getitem__)]


def _string(name: str, schema: dict[str, Any], entry: Entry, judgement: Judgement) -> str:
    if "pattern" in schema:
        return Pattern(schema["pattern"]).example()
    if schema.get("format") in FORMATS:
        return str(FORMATS[schema["format"]])
    least, most = schema.get("minLength", 0), schema.get("maxLength", 100_000)
    text: str = _named_text(name.lower(), entry, judgement)[:most]
    return text.ljust(least, ".")


def _named_text(name: str, entry: Entry, judgement: Judgement) -> str:
    first = re.split(r"(?<=[.!?])\s", judgement.text.strip(), maxsplit=1)[0][:160]
    if name in ("id", "key", "record_id") and entry.id is not None:
        text = str(entry.id)
    elif name in ("label", "sentiment", "mood"):
        text = judgement.label
    elif name in ("language", "lang", "locale"):
        text = judgement.language
    elif any(word in name for word in ("summary", "abstract", "gist")):
        text = summarise(judgement.text)
    elif "translat" in name:
        text = f"[not translated by the sandbox] {judgement.text}"
    elif any(word in name for word in ("reason", "explanation", "rationale", "note")):
        text = f"The words are {judgement.label} on the whole."
    else:
        text = first
    return text


def _number(name: str, schema: dict[str, Any], judgement: Judgement, *, whole: bool, identity: Any) -> float | int:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if name in ("id", "key") and isinstance(identity, int):
        return identity
    if "confidence" in name or "probab" in name:
        value = judgement.confidence * (high if high and high > 1 else 1)
    elif low is not None and high is not None:
        value = low + (judgement.score + 1.0) / 2.0 * (high - low)
    else:
        value = judgement.score
    step = schema.get("multipleOf") or (1 if whole else 0.0001)
    value = _snap(value, step, low, high)
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        value = _next(schema["exclusiveMinimum"], step, up=True)
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        value = _next(schema["exclusiveMaximum"], step, up=False)
    return round(value) if whole else round(value, 10)


def _snap(value: float, step: float, low: float | None, high: float | None) -> float:
    value = round(value / step) * step
    if low is not None and value < low:
        value = -(-low // step) * step
    if high is not None and value > high:
        value = high // step * step
    return value


def _next(bound: float, step: float, *, up: bool) -> float:
    value = round(bound / step) * step
    while value <= bound if up else value >= bound:
        value += step if up else -step
    return value
