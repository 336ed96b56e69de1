"""Written texts and what became of them, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import InputError
from penstock.campaigns.kept import KeptCampaigns
from penstock.data.brevo_results import Counts
from penstock.features.writing.results import (
    Outcome,
    find_interval,
    order_angles,
    read_results,
    remember_results,
    remember_written,
)
from penstock.runtime.store import Store
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield store
    await store.close()


async def remember(store: Store, *outcomes: Outcome) -> int:
    return await remember_results(store, ManualClock(), outcomes)


async def test_results_are_added_up_by_angle_and_order_what_is_tried_next(store: Store) -> None:
    assert order_angles(await read_results(store)) == []
    await remember(
        store,
        Outcome("may", "A", "question", 40_000, 1200, 9000, "de"),
        Outcome("may", "B", "benefit", 40_000, 800, 9000, "de"),
        Outcome("june", "A", "question", 10_000, 250, 100, "fr"),
        Outcome("june", "B", "news", 100, 3),
    )
    best, *_ = found = await read_results(store)
    assert (best.angle, best.versions, best.delivered, best.clicked, best.rate) == ("question", 2, 50_000, 1450, 0.029)
    assert best.low < 0.029 < best.high
    assert order_angles(found)[0] == "question"  # not news: three clicks of a hundred say little
    assert order_angles(found)[-1] == "benefit"
    assert len(order_angles(found)) == 7
    (german,) = [one for one in await read_results(store, "de") if one.angle == "question"]
    assert german.delivered == 40_000


async def test_the_same_version_again_takes_the_place_of_what_was_known(store: Store) -> None:
    for clicked in (10, 20):
        await remember(store, Outcome("may", "A", "news", 1000, clicked))
    (found,) = [one for one in await read_results(store) if one.delivered]
    assert (found.versions, found.delivered, found.clicked) == (1, 1000, 20)


async def test_results_of_campaigns_find_their_angle_by_the_subject(store: Store) -> None:
    subjects = [("Subject one", "en", "benefit"), ("Subject two", "en", "question"), ("Subject one", "en", "news")]
    await remember_written(store, ManualClock(), subjects)  # the same text again: the last angle holds
    kept = KeptCampaigns(store, "account")
    counts = [
        Counts("", "Subject one", 2000, 0, 60),
        Counts("A", "Subject one", 1000, 0, 20),
        Counts("B", "Subject two", 1000, 0, 40),
    ]
    await kept.keep_results(7, counts, 1.0)
    await kept.keep_results(8, [Counts("", "Subject two", 500, 0, 5)], 1.0)
    await kept.keep_results(9, [Counts("", "Not ours", 9, 0, 9)], 1.0)
    found = {one.angle: (one.delivered, one.clicked) for one in await read_results(store) if one.delivered}
    assert found == {"news": (1000, 20), "question": (1500, 45)}


@pytest.mark.parametrize(("delivered", "clicked", "opened"), [(10, 11, 0), (10, -1, 0), (10, 1, 11)])
async def test_counts_that_cannot_be_are_refused_before_any_is_written(
    store: Store, delivered: int, clicked: int, opened: int
) -> None:
    with pytest.raises(InputError, match="outcome 2"):
        await remember(store, Outcome("a", "A", "news", 10, 1), Outcome("a", "B", "news", delivered, clicked, opened))
    assert not any(one.delivered for one in await read_results(store))


def test_the_interval_is_wilsons() -> None:
    assert find_interval(0, 0) == (0.0, 1.0)
    low, high = find_interval(10, 100)
    assert (round(low, 4), round(high, 4)) == (0.0552, 0.1744)
    assert find_interval(0, 10)[0] == 0.0
    assert find_interval(10, 10)[1] == 1.0
