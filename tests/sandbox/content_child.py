"""Content and drafts in processes that a test kills: `content_child.py BASE_URL`, an order is `FOLDER BRIEF ACTION`.

`write` writes what the brief asks for, a language drafts its campaign, with the vendors behind the address.
"""

from __future__ import annotations

import sys
from pathlib import Path

from forks import fork_for_each_order
from penstock.campaigns.desk import open_campaigns
from penstock.content import Content
from penstock.data.brevo_campaign_file import read_campaign
from penstock.features.writing.files import read_brief
from penstock.features.writing.languages import guess_language
from penstock.features.writing.layout import SLOTS, USUAL, fill, render
from penstock.workspace import Workspace


async def work(order: list[str]) -> None:
    folder, brief = Path(order[0]), read_brief(Path(order[1]))
    overrides = {"sandbox": True, "sandbox-url": sys.argv[1], "openai.tier": "Tier 5"}
    async with Workspace.open(folder, overrides=overrides, environ={}) as workspace:
        if order[2] == "write":
            await Content(workspace.operations, workspace.store, workspace.clock).write(brief, folder=folder)
            return
        desk = await open_campaigns(workspace.store, workspace.clock, workspace.vendors)
        drafted = await desk.draft(read_campaign(folder / f"campaign-{order[2]}.yaml", render))
        assert drafted.done != "failed", drafted.findings


if __name__ == "__main__":
    import PIL.JpegImagePlugin  # noqa: F401 - what is imported when it is used, once for all children

    guess_language("What is loaded when it is used", "en")
    render(fill(USUAL, dict.fromkeys(SLOTS, "x")))
    fork_for_each_order(work)
