"""Of a source record only what its event sends is kept."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.marks import MOST_FIELDS, mark_record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=30,
)


def test_values_that_the_event_sends_stay_and_others_are_named_by_kind() -> None:
    record = {
        "order": "o1",
        "email": "ada@example.com",
        "total": 12,
        "age": 41,
        "vip": True,
        "note": None,
        "lines": [{"sku": "s1"}],
    }
    body = b'{"id":"o1","data":{"amount":12,"contents":[{"id":"s1"}]}}'
    assert mark_record(record, body) == {
        "order": "o1", "email": "(text of 15)", "total": 12, "age": "(number)", "vip": True, "note": None,
        "lines": [{"sku": "s1"}],
    }  # fmt: skip


def test_without_an_event_no_value_stays() -> None:
    assert mark_record({"order": "o1", "total": 12}, b"") == {"order": "(text of 2)", "total": "(number)"}


def test_a_huge_or_deep_record_is_kept_in_part() -> None:
    wide = mark_record({f"f{number}": number for number in range(10_000)}, b"")
    assert len(wide) == MOST_FIELDS
    deep: dict = {}
    for _ in range(500):
        deep = {"in": deep}
    assert len(msgspec.json.encode(mark_record(deep, b""))) < 200
    assert len(mark_record({"list": list(range(10_000))}, b"")["list"]) < MOST_FIELDS


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=6), st.dictionaries(st.text(max_size=6), JSON, max_size=3))
def test_no_text_stays_that_the_event_has_not(record: dict, event: dict) -> None:
    sent = msgspec.json.encode(event).decode()

    def check(value: object) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)
        elif isinstance(value, str) and not value.startswith("("):
            assert msgspec.json.encode(value).decode()[1:-1] in sent

    check(mark_record(record, msgspec.json.encode(event)))
