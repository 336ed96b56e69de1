"""Names and dates of records."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from penstock.base.errors import MappingError
from penstock.flows.work import fold_key, to_time

NOON = 1_795_176_000.0  # 2026-11-20T12:00Z


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("2026-11-20T12:00Z", NOON),
        ("2026-11-20T13:00+01:00", NOON),
        ("2026-11-20 12:00:00", NOON),
        (" 2026-11-20 ", NOON - 43_200),
        ("20261120", NOON - 43_200),
        (NOON, NOON),
        (int(NOON) * 1000, NOON),
        (str(int(NOON)), NOON),
        (datetime(2026, 11, 20, 12), NOON),  # noqa: DTZ001 - without a zone on purpose
        (datetime(2026, 11, 20, 13, tzinfo=timezone(timedelta(hours=1))), NOON),
        (datetime(2026, 11, 20, 12, tzinfo=UTC), NOON),
        (date(2026, 11, 20), NOON - 43_200),
        (None, None),
        ("", None),
    ],
)
def test_dates_of_every_form_become_seconds(value: Any, wanted: float | None) -> None:
    assert to_time(value) == wanted


@pytest.mark.parametrize("value", ["yesterday", "20.11.2026", "2026-13-01", float("nan"), float("inf"), [], {}])
def test_what_is_no_date_is_a_mapping_error(value: Any) -> None:
    with pytest.raises(MappingError) as caught:
        to_time(value)
    assert caught.value.code == "mapping.bad-date"


def test_addresses_are_compared_without_case_and_other_names_with_it() -> None:
    assert fold_key(" Ann@Example.COM ") == "ann@example.com"
    assert fold_key(" Order-A7 ") == "Order-A7"
