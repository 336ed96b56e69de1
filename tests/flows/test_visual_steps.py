"""Campaign pictures as a step of a flow: priced before as pictures, made once, written as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.types import DOLLAR
from penstock.operations.media import measure_picture
from shop import Shop, billed, feedback, in_shop

pytest.importorskip("PIL", reason="the extra `images` is not installed")


async def test_pictures_of_a_table_are_priced_drawn_once_and_lie_in_a_folder(tmp_path: Path) -> None:
    rows = [
        feedback(number, text=text) for number, text in enumerate(["Sandals for the summer.", "Warm wool blankets."])
    ]
    step = {"make-visual": {"offer": "${{ record.text }}", "quality": "low", "size": "banner"}, "as": "visual"}
    part = {"match": "${{ record.id }}", "path": "out", "columns": {"picture": "${{ visual.visuals[0].picture }}"}}
    shop = Shop(tmp_path, rows, steps=[step], summarize=None, sink={"folder": part})

    async def work(workspace) -> None:
        plan = await shop.plan(workspace)
        assert plan.cost is not None
        assert 2 * 0.006 <= plan.cost / DOLLAR <= 2 * 0.008  # what a low picture costs, not what its words would
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.written) == (0, 2)
        files = sorted((tmp_path / "out").iterdir())
        assert [file.name for file in files] == ["f0.jpg", "f1.jpg"]
        assert {measure_picture(file.read_bytes()) for file in files} == {(1200, 608)}
        bought = billed(workspace)
        await shop.run(workspace)
        assert billed(workspace) == bought

    await in_shop(shop, work)
