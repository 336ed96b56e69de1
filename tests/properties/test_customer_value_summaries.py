"""Summaries that grow day by day are the ones counted from scratch."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts import log_of
from penstock.features.customer_value.orders import OrderRules

START = datetime.date(2026, 1, 1)
ORDERS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 40), st.integers(-50, 5000)), min_size=1, max_size=40
)


@settings(max_examples=40, deadline=None)
@given(ORDERS, st.sets(st.integers(0, 39), max_size=4), st.sampled_from(["drop", "net"]))
def test_summaries_added_day_by_day_are_those_from_scratch(rows, cuts, refunds):
    rows = [("a", 0, 100), *rows]
    log = log_of(
        [(name, START + datetime.timedelta(days=at), cents / 100) for name, at, cents in rows],
        OrderRules(refunds=refunds),
    )
    last = (log.last_day - START).days
    edges = [*sorted(cut for cut in cuts if cut < last), last]
    grown, since = None, 0
    for edge in edges:
        until = START + datetime.timedelta(days=edge)
        part = log.summaries(until, START + datetime.timedelta(days=since))
        grown, since = part if grown is None else grown.merge(part), edge + 1
    whole = log.summaries()
    order = np.argsort(whole.customers)
    own = np.argsort(grown.customers)
    for name in ("customers", "orders", "first", "last"):
        assert getattr(grown, name)[own].tolist() == getattr(whole, name)[order].tolist()
    for name in ("total", "squares", "first_total", "net"):
        assert getattr(grown, name)[own] == pytest.approx(getattr(whole, name)[order], rel=1e-9, abs=1e-9)
    assert (grown.since, grown.as_of) == (whole.since, whole.as_of)
