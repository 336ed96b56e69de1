"""Any JSON Schema: fitted or refused in words; an answer to what is sent fits what was given, or is reported."""

from __future__ import annotations

import string
from typing import Any

import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import InputError
from penstock.operations.schema import Fitted, check_value, fit_schema, without_added_nulls, without_lengths

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=3)
TEXTS = st.text(string.ascii_letters + "äß ", max_size=4)


WORDS = (
    {"minProperties": 0}, {"patternProperties": {}}, {"not": {"type": "null"}}, {"if": {}}, {"uniqueItems": True},
    {"title": "T"}, {"default": None},
)  # fmt: skip


def define(part: Any, name: str, word: str) -> dict[str, Any]:
    return {word: {name: part}, "type": "object", "properties": {"r": {"$ref": f"#/{word}/{name}"}}}


def extend(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(NAMES, parts, max_size=3).flatmap(
        lambda properties: st.builds(
            lambda required, closed: {
                "type": "object",
                "properties": properties,
                "required": required,
                **({"additionalProperties": False} if closed else {}),
            },
            st.lists(st.sampled_from(sorted(properties)), unique=True) if properties else st.just([]),
            st.booleans(),
        )
    )
    lists = st.builds(lambda part, most: {"type": "array", "items": part, "maxItems": most}, parts, st.integers(0, 3))
    choices = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        objects,
        lists,
        choices.map(lambda some: {"anyOf": some}),
        choices.map(lambda some: {"oneOf": some}),
        parts.map(lambda part: {"allOf": [part], "description": "One."}),
        st.builds(define, parts, NAMES, st.sampled_from(["$defs", "definitions"])),
        st.builds(lambda part, more: {**part, **more}, parts, st.sampled_from(WORDS)),
    )


LEAVES = st.one_of(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer"},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["string", "null"]},
            {"type": "object"},
            {"type": "array"},
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "color"},
            {},
            {"const": 4},
            {"$ref": "#/$defs/nowhere"},
        ]
    ),
    st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(lambda values: {"enum": values}),
    st.integers(0, 3).map(lambda most: {"type": "string", "maxLength": most}),
    st.integers(-3, 3).map(lambda least: {"type": "integer", "minimum": least}),
)
SCHEMAS = st.recursive(LEAVES, extend, max_leaves=8)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), TEXTS),
    lambda parts: st.one_of(st.lists(parts, max_size=3), st.dictionaries(NAMES, parts, max_size=3)),
    max_leaves=6,
)


def fit(schema: dict[str, Any]) -> Fitted | None:
    """Fit a schema; None where it is refused in words."""
    try:
        return fit_schema(schema)
    except InputError as error:
        if error.code not in ("schema.invalid", "schema.reference"):
            raise
        return None


@given(SCHEMAS)
@settings(max_examples=400, deadline=None)
def test_any_schema_is_fitted_or_refused_in_words(schema: dict[str, Any]) -> None:
    fitted = fit(schema)
    if fitted is None:
        return
    assert isinstance(fitted.schema, dict)
    if fitted.is_strict:
        check_strict(without_lengths(fitted.schema))
    else:
        assert any("strict mode is off" in change for change in fitted.changes)


def check_strict(part: dict[str, Any]) -> None:
    """Hold a schema against the vendor's rules for strict mode."""
    assert not set(part) & {"allOf", "oneOf", "not", "if", "patternProperties", "minProperties", "title", "default"}
    if part.get("type") == "object":
        assert part["additionalProperties"] is False
        assert sorted(part["required"]) == sorted(part["properties"])
    inner = [*part.get("properties", {}).values(), *part.get("anyOf", ()), *part.get("$defs", {}).values()]
    for one in [*inner, *([part["items"]] if "items" in part else [])]:
        check_strict(one)


def write_answer(schema: Any, root: dict[str, Any], draw: Any, depth: int = 0) -> Any:
    """Write what a model held to a strict schema may answer."""
    if "$ref" in schema:
        return write_answer(root["$defs"][schema["$ref"].rpartition("/")[2]], root, draw, depth + 1)
    if "anyOf" in schema:
        return write_answer(draw(st.sampled_from(schema["anyOf"])), root, draw, depth + 1)
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    if "const" in schema:
        return schema["const"]
    kind = schema["type"]
    kind = draw(st.sampled_from(kind)) if isinstance(kind, list) else kind
    if kind == "object":
        return {name: write_answer(part, root, draw, depth + 1) for name, part in schema["properties"].items()}
    if kind == "array":
        count = draw(st.integers(0, schema.get("maxItems", 2)))
        return [write_answer(schema["items"], root, draw, depth + 1) for _ in range(count)]
    numbers = st.integers(schema.get("minimum", -9), 9)
    simple = {"string": TEXTS, "integer": numbers, "number": numbers, "boolean": st.booleans(), "null": st.none()}
    return draw(simple[kind])


@given(SCHEMAS, st.data())
@settings(max_examples=400, deadline=None)
def test_an_answer_to_the_strict_schema_fits_the_given_one_or_is_reported(schema: dict[str, Any], data: Any) -> None:
    fitted = fit(schema)
    if fitted is None or not fitted.is_strict:
        return
    answer = write_answer(fitted.schema, fitted.schema, data.draw)
    value = answer["value"] if fitted.is_wrapped else answer
    pruned = without_added_nulls(schema, value)
    assert bool(check_value(schema, pruned)) is not jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(
        pruned
    )


@given(SCHEMAS, VALUES)
@settings(max_examples=400, deadline=None)
def test_what_fits_already_is_left_as_it_is(schema: dict[str, Any], value: Any) -> None:
    if fit(schema) is not None and not check_value(schema, value):
        assert not check_value(schema, without_added_nulls(schema, value))
