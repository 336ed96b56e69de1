"""Runs that buy in batches: the same results as at once, at half the price, and nothing bought twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from penstock.base.clock import ManualClock
from penstock.sandbox.world import Fault, Latency
from penstock.workspace import Workspace
from shop import Shop, billed, feedback

STEP = {"summarize": {"text": "${{ record.text }}", "limit": 20}}
COLUMNS = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": {"summary": "${{ text.text }}"}}}


def make_shop(folder: Path, number: int = 6, **flow: Any) -> Shop:
    parts: dict[str, Any] = {
        "steps": [{**STEP, "as": "text"}], "summarize": None, "sink": COLUMNS, "model": "gpt-6-luna", **flow
    }  # fmt: skip
    return Shop(folder, [feedback(index) for index in range(number)], **parts)


async def in_time(shop: Shop, work: Callable[[Workspace], Awaitable[None]]) -> None:
    """Do `work` in a workspace whose days pass in milliseconds."""
    clock = ManualClock()

    async def all_of_it() -> None:
        async with shop.open(clock) as workspace:
            await work(workspace)

    await clock.run(all_of_it(), settle_rounds=100)


async def test_a_run_with_a_day_of_time_gives_the_same_results_at_half_the_price(tmp_path: Path) -> None:
    found = {}
    for by in ("now", "24h"):
        folder = tmp_path / by
        folder.mkdir()
        shop = make_shop(folder)

        async def work(workspace: Workspace, by: str = by, shop: Shop = shop, folder: Path = folder) -> None:
            report = await shop.run(workspace, by=by)
            assert report.problem is None, report.problem
            counts = report.counts
            assert (counts.judged, counts.calls, counts.cached, counts.failed) == (6, 6, 0, 0)
            assert billed(workspace) == 6
            found[by] = (counts.cost, counts.tokens, (folder / "out.csv").read_text())

        await in_time(shop, work)
    assert found["now"][0] == 2 * found["24h"][0]
    assert found["now"][1:] == found["24h"][1:]
