"""What a reconciliation reads from the ledger, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from books import put_aside
from penstock.base.clock import ManualClock
from penstock.base.types import Usage
from penstock.runtime.ledger import Ledger, Settlement
from penstock.runtime.reconcile import Booked, read_ledger
from penstock.runtime.store import Store
from stores import KINDS, new_place

DAY = 86_400
TODAY, TOMORROW = "2026-11-18", "2026-11-19"


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_are_added_up_per_day_project_and_model_that_answered(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()
    store = await Store.open(new_place(kind, tmp_path), clock, "test")
    ledger = Ledger(store, clock)
    start = clock.now() // DAY * DAY

    async def call(state: str, cost: int | None, served: str = "m-2026-01-01") -> None:
        held = await put_aside(ledger, 100)
        usage = Usage(10, 4, 0, 3) if state == "done" else Usage()
        await ledger.settle(Settlement(held, state, clock.now(), cost, usage, served))  # type: ignore[arg-type]

    await call("done", 30)
    await call("done", None)
    await call("failed", 0, served="")
    await call("unknown", None, served="")
    await clock.run(clock.sleep(DAY))
    await call("done", 50)
    found = await read_ledger(
        store, start, start + 2 * DAY, {"openai": "proj"}, lambda name: name.removesuffix("-2026-01-01")
    )
    assert found == {
        (TODAY, "proj", "m"): Booked(2, 20, 8, 6, 30, unknown=1, unpriced=1, held=200),
        (TOMORROW, "proj", "m"): Booked(1, 10, 4, 3, 50),
    }
    assert await read_ledger(store, start, start + DAY, {"another": "proj"}, str) == {}
    assert set(await read_ledger(store, start, start + DAY, {"openai": ""}, str)) == {
        (TODAY, "", "m"),
        (TODAY, "", "m-2026-01-01"),
    }
    await store.close()
