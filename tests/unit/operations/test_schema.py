from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import InputError
from penstock.operations.schema import check_value, make_strict, without_lengths


def test_an_optional_property_becomes_required_or_null() -> None:
    strict, changes = make_strict({"type": "object", "properties": {"a": {"type": "string", "title": "A"}}})
    assert strict == {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert changes == [
        "$.a: dropped title",
        "$.a: optional became required or null",
        "$: closed to other properties",
    ]


def test_a_strict_schema_stays_as_it_is() -> None:
    strict, _ = make_strict({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}})
    assert make_strict(strict) == (strict, [])


def test_nested_definitions_and_choices_are_closed_too() -> None:
    schema = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node", "description": "dropped"}},
        "required": ["tree"],
        "$defs": {"node": {"oneOf": [{"type": "object", "properties": {}}, {"type": "null"}]}},
    }
    strict, changes = make_strict(schema)
    assert strict["$defs"]["node"]["anyOf"][0]["additionalProperties"] is False
    assert strict["properties"]["tree"] == {"$ref": "#/$defs/node"}
    assert "#node: oneOf became anyOf" in changes


def test_a_property_may_be_called_like_a_keyword() -> None:
    properties = {name: {"type": "string", "maxLength": 3} for name in ("title", "minLength", "maxLength", "default")}
    strict, _ = make_strict({"type": "object", "properties": properties, "required": list(properties)})
    sent = without_lengths(strict)
    assert list(sent["properties"]) == list(properties)
    assert sent["properties"]["maxLength"] == {"type": "string"}


DEEP: dict[str, Any] = {"type": "string"}
for _ in range(11):
    DEEP = {"type": "object", "properties": {"a": DEEP}, "required": ["a"]}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"anyOf": [{"type": "object"}]},
        {"type": "object", "anyOf": []},
        {"type": "object", "properties": {"a": {"allOf": []}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "object", "patternProperties": {}}}},
        {"type": "object", "properties": {"a": {"enum": list(range(1001))}}},
        {"type": "object", "properties": {f"p{i}": {"type": "null"} for i in range(5001)}},
        DEEP,
    ],
)
def test_what_strict_mode_cannot_express_is_refused(schema: Any) -> None:
    with pytest.raises(InputError) as caught:
        make_strict(schema)
    assert caught.value.code == "schema.not-strict"


def _objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from("abc"), parts, max_size=3).map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[:1],
            "additionalProperties": len(properties) > 1,
        }
    )


LEAVES = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda kind: {"type": kind}),
    st.just({"type": ["string", "null"], "minLength": 1, "maxLength": 2}),
    st.just({"type": "string", "pattern": "^[a-c]+$"}),
    st.just({"type": "number", "minimum": -1, "exclusiveMaximum": 2}),
    st.just({"type": "integer", "multipleOf": 3, "exclusiveMinimum": 0, "maximum": 9}),
    st.lists(st.sampled_from(["a", 1, True, None, 0]), min_size=1, max_size=3).map(lambda values: {"enum": values}),
    st.just({"const": False}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        _objects(parts),
        parts.map(lambda items: {"type": "array", "items": items, "maxItems": 2}),
        st.lists(parts, min_size=1, max_size=2).map(lambda some: {"anyOf": some}),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 10), st.sampled_from([0.5, 2.0, -1.0]), st.text("abcd", max_size=3)
    ),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from("abcd"), parts, max_size=3),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_the_check_agrees_with_an_independent_validator(schema: Any, value: Any) -> None:
    assert (not check_value(schema, value)) == jsonschema_rs.is_valid(schema, value)


def test_a_reference_is_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    }
    assert check_value(schema, {"next": {"next": None}}) == []
    assert check_value(schema, {"next": {"next": 1}})


@given(st.sampled_from([float("nan"), float("inf"), float("-inf")]))
def test_a_number_that_is_none_is_refused(value: float) -> None:
    assert check_value({"type": "number"}, value)
