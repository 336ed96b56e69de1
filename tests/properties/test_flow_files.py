"""Flow files and expressions hold for any input: a value, or one error with its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from penstock.base.errors import FlowError, MappingError, PenstockError
from penstock.base.expression import compile_value
from penstock.flows.model import load_flow

NAMES = st.sampled_from(["record", "sentiment", "a", "b_1", "keys", "items"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=12,
)
SCOPES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(".".join)
WORDS = [
    "name",
    "source",
    "files",
    "path",
    "key",
    "steps",
    "analyze-sentiment",
    "text",
    "topics",
    "summarize",
    "by",
    "at",
    "sink",
    "brevo",
    "match",
    "attributes",
    "event",
    "properties",
    "join",
    "on",
    "as",
    "where",
    "budget",
    "model",
    "half-life-days",
    "columns",
    "url",
    "table",
    "sql",
    "create-contacts",
]
LEAVES = (
    st.sampled_from(
        [
            "${{ record.email }}",
            "${{ record. }}",
            "${{ sentiment.score }}",
            "${{ 1 + }}",
            "${{}}",
            "feedback",
            "x.csv",
            "id",
            "${{ record.a | join(',') }}",
            "${{ range(10**9) }}",
            "${{ ''.__class__ }}",
            "a-b",
            "",
            "${{ record['email'] }}",
        ]
    )
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=5) | st.lists(inner, max_size=3)
    ),
    max_leaves=25,
)


def good_flow() -> dict[str, Any]:
    return {
        "name": "feedback",
        "source": {"files": {"path": "feedback.csv", "key": "id"}},
        "join": {"contact": {"files": {"path": "contacts.csv", "key": "email"}, "on": "${{ record.email }}"}},
        "where": "${{ record.text }}",
        "steps": [{"analyze-sentiment": {"text": "${{ record.text }}", "topics": ["a", "b"]}}],
        "summarize": {"by": "${{ record.email }}", "at": "${{ record.date }}", "half-life-days": 30},
        "sink": {
            "brevo": {
                "match": "${{ record.email }}",
                "attributes": {"SCORE": "${{ sentiment.score }}"},
                "event": {"name": "judged", "date": "${{ record.date }}", "properties": {"a": "${{ record.id }}"}},
            }
        },
        "budget": 2.5,
    }


def write(path: Path, data: Any) -> Path:
    text = io.StringIO()
    YAML(typ="safe").dump(data, text)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def flow_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flows") / "flow.yaml"


def attempt(work: Callable[[], Any], error: type[PenstockError]) -> Any:
    """Return what `work` returns, or the error when it is of the kind that is allowed."""
    try:
        return work()
    except error as caught:
        return caught


def load_or_complain(path: Path) -> None:
    """Load a file; anything but a flow or a `FlowError` with place and message fails the test."""
    found = attempt(lambda: load_flow(path), FlowError)
    if isinstance(found, FlowError):
        assert found.message
        assert not found.where or str(path) in found.where
    else:
        assert found.steps


@given(path=PATHS, scope=SCOPES)
def test_a_plain_path_is_what_the_expression_engine_makes_of_it(path: str, scope: dict[str, Any]) -> None:
    first, *rest = path.split(".")
    brackets = first + "".join(f"['{part}']" for part in rest)
    plain = attempt(lambda: compile_value("${{ " + path + " }}").evaluate(scope), MappingError)
    for source in (f"({path})", brackets):  # neither is a plain path
        other = attempt(lambda source=source: compile_value("${{ " + source + " }}").evaluate(scope), MappingError)  # type: ignore[misc]
        assert getattr(plain, "code", plain) == getattr(other, "code", other)
    if rest == []:
        assert plain == scope.get(path, plain)


@given(text=st.text(max_size=30), scope=SCOPES)
def test_any_text_is_a_value_or_one_mapping_error(text: str, scope: dict[str, Any]) -> None:
    for value in (text, "${{ " + text + " }}", {"a": ["${{" + text + "}}"]}):
        found = attempt(lambda value=value: compile_value(value).evaluate(scope), MappingError)  # type: ignore[misc]
        if isinstance(found, MappingError):
            assert found.code.startswith(("expression.", "mapping."))


@given(text=st.text(max_size=20).filter(lambda text: "${{" not in text))
def test_text_without_marks_stays_as_it_is(text: str) -> None:
    braces = "{{ contact.FIRSTNAME }} " + text
    assert compile_value(braces).evaluate({}) == braces


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=TREES)
def test_any_tree_is_a_flow_or_a_flow_error(flow_path: Path, data: Any) -> None:
    load_or_complain(write(flow_path, data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(part=st.sampled_from(sorted(good_flow())), value=TREES)
def test_a_good_flow_with_one_part_replaced_is_a_flow_or_a_flow_error(flow_path: Path, part: str, value: Any) -> None:
    load_or_complain(write(flow_path, {**good_flow(), part: value}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`\n\t ,?~", max_size=40).map(str.encode))
def test_any_bytes_are_a_flow_or_a_flow_error(flow_path: Path, content: bytes) -> None:
    flow_path.write_bytes(content)
    load_or_complain(flow_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    number=st.integers(0, 400),
    junk=st.sampled_from(["\t", ":", "- ", "}", "*a ", "&a ", "!x ", "\x00", "${{", '"', "\n"]),
)
def test_a_flow_file_with_a_slip_of_the_keyboard_is_a_flow_or_a_flow_error(
    flow_path: Path, number: int, junk: str
) -> None:
    text = write(flow_path, good_flow()).read_text()
    place = number % len(text)
    flow_path.write_text(text[:place] + junk + text[place:])
    load_or_complain(flow_path)


def test_a_flow_written_again_from_its_definition_is_the_same_flow(flow_path: Path) -> None:
    import msgspec

    first = load_flow(write(flow_path, good_flow()))
    again = load_flow(write(flow_path, msgspec.json.decode(first.definition)))
    assert (again.hash, again.definition) == (first.hash, first.definition)
    turned = dict(reversed(good_flow().items()))
    assert load_flow(write(flow_path, turned)).hash == first.hash
