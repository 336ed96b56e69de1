"""What cells of a table mean to segments, and what is made of columns."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

pytest.importorskip("numpy", reason="needs the extra segments")

from penstock.features.segment_book import Name
from penstock.features.segments import build_behaviour, is_still_meant, mark, to_plain

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("12", 12.0),
        ("-3.5", -3.5),
        ("0", 0.0),
        ("0.5", 0.5),
        ("01067", "01067"),
        ("1e3", 1000.0),
        ("nan", "nan"),
        ("12 apples", "12 apples"),
        ("2026-11-01T00:00:00Z", datetime(2026, 11, 1, tzinfo=UTC)),
        ("shoes; socks ;", ("shoes", "socks")),
        ("It came late; the zip broke. Never again!", "It came late; the zip broke. Never again!"),
        ("", ""),
        (7, 7),
        (None, None),
    ],
)
def test_a_cell_means_what_is_written_in_it(cell: Any, meant: Any) -> None:
    assert to_plain(cell) == meant


def test_columns_of_numbers_and_dates_count_as_numbers_and_all_others_as_categories() -> None:
    columns: dict[str, list[Any]] = {
        "orders": [1.0, None, ""],
        "last": [date(2026, 11, 10), None, datetime(2026, 11, 20, tzinfo=UTC)],
        "shelf": [("shoes", "socks"), "shoes", None],
        "mixed": [1.0, "many", None],
        "loyal": [True, False, None],
    }
    found = build_behaviour(columns, NOON, 0.3, {"shelf": 2})
    assert found is not None
    assert found.numbers == {"orders": [1.0, None, None], "last": [10.5, None, 0.5]}
    assert found.categories == {
        "shelf": [["shoes", "socks"], "shoes", None],
        "mixed": ["1.0", "many", None],
        "loyal": ["yes", "no", None],
    }
    assert build_behaviour({}, NOON, 0.3, {}) is None


def test_a_name_is_meant_while_half_of_what_it_rests_on_is_there() -> None:
    name = Name("Runners", by="model", shown=[mark(text) for text in "abcd"])
    assert is_still_meant(name, {mark("a"), mark("b"), mark("z")})
    assert not is_still_meant(name, {mark("a"), mark("z")})
    assert not is_still_meant(Name("Runners"), {mark("a")})
