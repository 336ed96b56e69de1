"""Whatever happens to calls, in whatever order, the books are their sum and no budget is passed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from books import count_books, put_aside
from penstock.base.clock import ManualClock
from penstock.base.errors import StoppedError
from penstock.runtime.ledger import Ledger, Reservation, Settlement
from penstock.runtime.store import Store
from stores import KINDS, new_place

ENDINGS = st.sampled_from(["done", "failed", "unknown"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "settle"]),
        st.integers(0, 9),  # which run, or which reservation
        st.one_of(st.none(), st.integers(0, 10**13)),  # worst case, or cost
        ENDINGS,
    ),
    max_size=40,
)


class Place:
    """One database for all examples of a test; each example uses runs of its own."""

    def __init__(self, kind: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.database = new_place(kind, Path(self.folder.name))
        self.examples = 0

    def next(self, seed: int = 7) -> tuple[ManualClock, str]:
        self.examples += 1
        return ManualClock(1_795_000_000.0 + self.examples, seed), f"example-{self.examples}"


@pytest.fixture(params=KINDS, scope="module")
def place(request: pytest.FixtureRequest) -> Any:
    place = Place(request.param)
    yield place
    place.folder.cleanup()


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_books_are_the_sum_of_the_calls(place: Place, steps: list[tuple[str, int, int | None, Any]]) -> None:
    asyncio.run(follow(place, steps))


async def follow(place: Place, steps: list[tuple[str, int, int | None, Any]]) -> None:
    clock, flow = place.next()
    store = await Store.open(place.database, clock)
    ledger = Ledger(store, clock)
    held: list[Reservation] = []
    for kind, number, amount, ending in steps:
        if kind == "reserve":
            held.append(await put_aside(ledger, amount, run=f"{flow}-{number}", flow=flow))
        elif held:
            chosen = held[number % len(held)]
            await ledger.settle(Settlement(chosen, ending, clock.now(), amount if ending == "done" else 0))
    for run in range(10):
        assert await ledger.spent(f"run:{flow}-{run}") == await count_books(store, f"run = '{flow}-{run}'")
    assert await ledger.spent(f"flow:{flow}") == await count_books(store, f"flow = '{flow}'")
    assert await ledger.spent("month:2026-11") == await count_books(store)
    await store.close()


@given(
    seed=st.integers(0, 2**32),
    caps=st.fixed_dictionaries({}, optional={name: st.integers(0, 3000) for name in ("run", "flow", "other")}),
    processes=st.integers(1, 3),
    dearest=st.integers(1, 500),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_with_64_calls_in_flight_no_budget_is_ever_passed(
    place: Place, seed: int, caps: dict[str, int], processes: int, dearest: int
) -> None:
    asyncio.run(spend(place, seed, caps, processes, dearest))


async def spend(place: Place, seed: int, caps: dict[str, int], processes: int, dearest: int) -> None:
    clock, flow = place.next(seed)
    budgets = {"run": 2000, f"flow:{flow}": caps.get("flow", 5000), f"run:{flow}-a": caps.get("run", 1000)}
    stores = [await Store.open(place.database, clock) for _ in range(processes)]
    ledgers = [Ledger(store, clock, budgets) for store in stores]
    refused: list[tuple[str, int]] = []
    share = 64 // processes
    await clock.run(
        asyncio.gather(*(work(ledger, clock, flow, dearest, refused) for ledger in ledgers for _ in range(share)))
    )
    for run in ("a", "b"):
        scope = f"run:{flow}-{run}"
        spent = await ledgers[0].spent(scope)
        assert spent.reserved == 0
        assert spent == await count_books(stores[0], f"run = '{flow}-{run}'")
        assert spent.spent + spent.held <= budgets.get(scope, budgets["run"])
    whole = await ledgers[0].spent(f"flow:{flow}")
    assert whole.spent + whole.held <= budgets[f"flow:{flow}"]
    for run, wanted in refused:  # nobody was stopped who still fitted
        scope = f"run:{flow}-{run}"
        own = await ledgers[0].spent(scope)
        fits_run = own.spent + own.held + wanted <= budgets.get(scope, budgets["run"])
        fits_flow = whole.spent + whole.held + wanted <= budgets[f"flow:{flow}"]
        assert not (fits_run and fits_flow)
    for store in stores:
        await store.close()


async def work(
    ledger: Ledger,
    clock: ManualClock,
    flow: str,
    dearest: int,
    refused: list[tuple[str, int]],
    calls: Sequence[int] = range(4),
) -> None:
    for _ in calls:
        run = "a" if clock.random() < 0.5 else "b"
        worst = int(clock.random() * dearest)
        try:
            held = await put_aside(ledger, worst, run=f"{flow}-{run}", flow=flow)
        except StoppedError:
            refused.append((run, worst))
            continue
        await clock.sleep(clock.random())
        ending: Any = "unknown" if clock.random() < 0.1 else "done"
        await ledger.settle(Settlement(held, ending, clock.now(), int(worst * clock.random())))
