"""`embed` as a step of a flow: text by text held, forgotten with its record, and through batches."""

from __future__ import annotations

import csv
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.workspace import Workspace
from shop import Shop, feedback

STEP = {"embed": {"text": "${{ record.text }}", "dimensions": 4, "encoding": "base64"}, "as": "vector"}
SINK = {
    "files": {"match": "${{ record.id }}", "path": "out.csv", "columns": {"vector": "${{ vector.vectors | first }}"}}
}


def make_shop(folder: Path, **flow: Any) -> Shop:
    folder.mkdir(exist_ok=True)
    parts: dict[str, Any] = {
        "steps": [STEP], "summarize": None, "sink": SINK, "model": "text-embedding-3-small", **flow
    }  # fmt: skip
    return Shop(folder, [feedback(index) for index in range(6)], **parts)


async def in_time(shop: Shop, work: Callable[[Workspace], Awaitable[None]]) -> None:
    """Do `work` in a workspace whose days pass in milliseconds."""
    clock = ManualClock()

    async def all_of_it() -> None:
        async with shop.open(clock) as workspace:
            await work(workspace)

    await clock.run(all_of_it(), settle_rounds=100)


def asked(workspace: Workspace) -> int:
    """Return how many live calls reached the vendor."""
    world = workspace.vendors.world
    assert world is not None
    return sum(count for (_, name, _), count in world.calls.items() if name == "embeddings")


def results(shop: Shop) -> list[str]:
    with (shop.folder / "out.csv").open(encoding="utf-8") as file:
        return [row["vector"] for row in csv.DictReader(file)]


async def test_a_step_of_vectors_goes_live_or_by_batch_with_the_same_results(tmp_path: Path) -> None:
    found = {}
    for by in ("now", "24h"):
        shop = make_shop(tmp_path / by)

        async def run(workspace: Workspace, shop: Shop = shop, by: str = by) -> None:
            report = await shop.run(workspace, by=by)
            assert (report.state, report.counts.failed) == ("done", 0)
            assert asked(workspace) == (6 if by == "now" else 0)
            found[by] = (results(shop), report.counts.cost)

        await in_time(shop, run)
    assert len(set(found["now"][0])) > 1
    assert found["now"][0] == found["24h"][0]
    assert found["24h"][1] == found["now"][1] / 2 > 0


@pytest.mark.parametrize("by", ["now", "24h"])
async def test_what_was_bought_for_a_record_is_forgotten_with_it(tmp_path: Path, by: str) -> None:
    shop = make_shop(tmp_path)

    async def run(workspace: Workspace) -> None:
        await shop.run(workspace, by=by)
        assert (await workspace.store.read("count_answers"))[0][0] == 6
        assert await workspace.forget_answers("f0") >= 1
        assert (await workspace.store.read("count_answers"))[0][0] == 5

    await in_time(shop, run)
