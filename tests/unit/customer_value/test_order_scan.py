"""One reading of the log tells customers apart, finds what repeats, and leaves out what has no day."""

import datetime

import numpy as np
import pytest

from cohorts import log_of
from penstock.features.customer_value.scan import stand_ins

DAY = datetime.date(2026, 1, 1)


@pytest.mark.parametrize("alike", [0, 40, 63])
def test_equal_marks_share_one_row_even_where_their_leading_bits_are_all_the_same(alike):
    marks = np.random.default_rng(alike).integers(0, 50, 3000, dtype=np.uint64) << np.uint64(max(58 - alike, 0))
    stands, is_first = stand_ins(marks)
    assert (marks[stands] == marks).all()
    assert is_first.sum() == len(set(marks.tolist())) == len(set(stands.tolist()))


def test_names_that_differ_by_spaces_are_one_customer_and_their_equal_rows_repeat():
    log = log_of([(" a", DAY, 5), ("a ", DAY, 5), ("a", DAY, 7), ("b", DAY, 5)])
    summaries = log.summaries()
    assert dict(zip(summaries.customers, summaries.total, strict=True)) == {"a": 12.0, "b": 5.0}
    assert [finding.message[:6] for finding in log.quality.findings if finding.name == "duplicates"] == ["1 rows"]


def test_a_date_before_all_dates_cannot_be_read():
    log = log_of([("a", "-infinity", 5), ("a", DAY, 5)])
    assert log.first_day == DAY
    assert "dates" in {finding.name for finding in log.quality.findings}
