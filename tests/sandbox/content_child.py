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
from penstock.data.brevo_preview import render as render_preview
from penstock.features.writing.files import read_brief
from penstock.features.writing.languages import guess_language
from penstock.features.writing.layout import SLOTS, USUAL, fill, render
from penstock.operations.catalogue import find_operation
from penstock.operations.schema import check_value
from penstock.operations.shrink import shrink
from penstock.sandbox.pixels import draw_look, encode_picture
from penstock.vendor.models import load_catalogue
from penstock.vendor.tokens import count_tokens
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


def warm_up() -> None:
    """Load once what is loaded when it is used, so that no child does it again."""
    guess_language("What is loaded when it is used", "en")
    count_tokens("What is loaded when it is used", "gpt-6-luna")
    check_value({"type": "object"}, {})
    shrink(encode_picture(draw_look("x"), 32, 32, "jpeg"), "x", most_bytes=9_000, most_width=16)
    render(fill(USUAL, dict.fromkeys(SLOTS, "x")))
    render_preview("{{ contact.X }}", {}, {})
    load_catalogue()
    for name in ("write-email", "make-visual", "analyze-image"):
        find_operation(name)


if __name__ == "__main__":
    warm_up()
    fork_for_each_order(work)
