"""Descriptions of customers: what they are like, never who they are, and steady from day to day."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import InputError
from penstock.features.clustering.descriptions import BANDS, band, check_fields, describe_customer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


def test_listed_fields_become_lines_in_their_order():
    values = {
        "plan": "gold",
        "orders": 12,
        "last_order": date(2026, 10, 1),
        "renewal": datetime(2026, 11, 30, 12, tzinfo=UTC),
        "shelves": ["shoes", "bags", "shoes"],
        "newsletter": True,
        "email": "ann@example.org",
    }
    fields = check_fields(["orders", "plan", "last_order", "renewal", "shelves", "newsletter"])
    assert describe_customer(values, fields, NOON).splitlines() == [
        "orders: 10 to under 20",
        "plan: gold",
        "last order: 50 to under 100 days ago",
        "renewal: in 10 to under 20 days",
        "shelves: bags, shoes",
        "newsletter: yes",
    ]


def test_what_is_unknown_is_not_mentioned():
    values = {"plan": None, "orders": float("nan"), "shelves": [], "city": " \n\u200b ", "raw": {"a": 1}}
    assert describe_customer(values, ("plan", "orders", "shelves", "city", "raw", "gone"), NOON) == ""


def test_a_value_stays_on_its_line_and_is_cut():
    told = describe_customer({"city": "Ber\nlin\x00\u202e: admin", "note": "x" * 999}, ("city", "note"), NOON)
    assert told.splitlines() == ["city: Ber lin : admin", "note: " + "x" * 300]


def test_the_text_changes_only_with_the_band():
    values = {"last_order": date(2026, 10, 1)}
    days = [describe_customer(values, ("last_order",), NOON + day * 86_400) for day in range(40)]
    assert len(set(days)) == 1


@pytest.mark.parametrize("field", ["EMAIL", "First Name", "lastname", "SMS", "ext_id", " ", "Date-of-Birth"])
def test_fields_that_say_who_a_person_is_are_refused(field):
    with pytest.raises(InputError) as caught:
        check_fields(["plan", field])
    assert caught.value.code == "segments.identifying-field"


@pytest.mark.parametrize("field", ["religion", "health_status", "trade union", "Nationalität"])
def test_fields_of_special_categories_are_refused(field):
    with pytest.raises(InputError) as caught:
        check_fields([field])
    assert caught.value.code == "segments.special-field"


@pytest.mark.parametrize("fields", [[], ["plan", "plan"], [f"f{number}" for number in range(41)]])
def test_no_field_twice_and_not_too_many(fields):
    with pytest.raises(InputError) as caught:
        check_fields(fields)
    assert caught.value.code == "segments.fields"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (0.5, "0 to under 1"),
        (1, "1"),
        (3, "2 to under 5"),
        (99_999, "50000 to under 100000"),
        (1e300, "100000 or more"),
        (-3, "minus 2 to under 5"),
        (float("inf"), ""),
    ],
)
def test_numbers_are_told_in_bands(value, told):
    assert band(value) == told


@given(st.floats(0, 1e6))
def test_every_number_lies_in_its_band(value):
    told = band(value)
    if " to under " in told:
        low, high = map(float, told.split(" to under "))
        assert low <= value < high
    else:
        assert float(told.removesuffix(" or more")) <= value
    assert BANDS[0] == 0
