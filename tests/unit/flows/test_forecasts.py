"""What is kept of a run of predictions comes back as it was, on both databases, and forgets a person."""

import datetime
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import cohorts
from penstock.base.clock import ManualClock
from penstock.features.customer_value.fitting import Fit
from penstock.features.customer_value.forecast import Kept, forecast
from penstock.features.customer_value.summaries import COLUMNS
from penstock.features.customer_value.wishes import read_wishes
from penstock.flows.forecasts import load_forecast, save_forecast
from penstock.privacy import Privacy
from penstock.runtime.store import Store
from stores import KINDS, new_place

WISHES = read_wishes({"orders": {"files": {"path": "orders.csv"}}})


@pytest.fixture(scope="module")
def kept() -> Kept:
    log = cohorts.log_of([(f"{name}@example.com", day, value) for name, day, value in cohorts.orders(700)])
    found = forecast(log, WISHES, log.last_day).keep()
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_comes_back_as_it_was(tmp_path: Path, kept: Kept, kind: str) -> None:
    clock = ManualClock()
    store = await Store.open(new_place(kind, tmp_path), clock, "test")
    try:
        assert await load_forecast(store, "shop") is None
        for name in ("shop", "other", "shop"):
            await save_forecast(store, name, kept, clock.now())
        found = await load_forecast(store, "shop")
        assert found is not None
        for field in fields(Kept):
            if field.name != "summaries":
                assert getattr(found, field.name) == getattr(kept, field.name), field.name
        for column in COLUMNS:
            assert np.array_equal(getattr(found.summaries, column), getattr(kept.summaries, column)), column
        assert isinstance(found.until, datetime.date)
        gone = await Privacy(store, clock).forget("C10@example.com")
        assert gone.computed == 2
        for name in ("shop", "other"):
            left = await load_forecast(store, name)
            assert left is not None
            assert set(kept.summaries.customers) - set(left.summaries.customers) == {"c10@example.com"}
    finally:
        await store.close()


async def test_what_the_orders_do_not_hold_stays_unknown(tmp_path: Path, kept: Kept) -> None:
    from dataclasses import replace

    loose = replace(kept, fit=Fit(kept.fit.parameters, -1.0, (math.inf,) * 4, 3, 700.0))
    store = await Store.open(tmp_path / "store.sqlite", ManualClock(), "test")
    try:
        await save_forecast(store, "shop", loose, 0.0)
        found = await load_forecast(store, "shop")
        assert found is not None
        assert found.fit == loose.fit
    finally:
        await store.close()
