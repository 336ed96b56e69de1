"""Drafts and sends in processes that end themselves: `campaign_child.py BASE_URL`, one order a line.

An order is `FOLDER ACTION SUBJECT OPERATION WHEN`: a process of its own makes the draft (or sends it),
and ends with code 9 right before or after the first request of that operation; `never` lets it finish.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from campaign_desk import CAMPAIGN, HTML, change

from forks import fork_for_each_order
from penstock.base.clock import SystemClock
from penstock.base.errors import FixError
from penstock.campaigns.desk import Campaigns
from penstock.data.brevo import read_account
from penstock.data.brevo_campaign_file import CampaignFile
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.store import Store
from penstock.vendor.brevo import Brevo
from penstock.vendor.http import Http

KILLED = 9


class Fatal(Brevo):
    """A client after which the process is no more."""

    def aim(self, operation: str, when: str) -> None:
        self._at = operation, when

    async def send(self, operation: str, **rest: Any) -> Any:
        if self._at == (operation, "before"):
            os._exit(KILLED)
        reply = await super().send(operation, **rest)
        if self._at == (operation, "after"):
            os._exit(KILLED)
        return reply


async def work(order: list[str]) -> None:
    place, action, subject, operation, when = order
    url, folder = sys.argv[1], Path(place)
    clock, http = SystemClock(), Http()
    client = Fatal(http, "xkeysib-test", base_url=f"{url}/v3")
    client.aim("", "")
    caller = BrevoCaller(client, clock)
    account = await read_account(caller)
    client.aim(operation, when)
    store = await Store.open(folder / "store.sqlite", clock)

    async def publish(name: str, _content: bytes) -> str:
        return f"https://pictures.example/{name}"

    campaigns = Campaigns(store, clock, caller, account, publish, local=True)
    html = HTML + '<img src="hero.png" alt="">'
    if action == "draft":
        await campaigns.draft(CampaignFile(change(CAMPAIGN, subject=subject, html=html), "campaign", folder))
    else:
        review = await campaigns.show("winter")
        try:
            await campaigns.approve("winter", "ann")
            await campaigns.send("winter", confirm_id=review.number, confirm_recipients=10)
        except FixError as error:
            if error.code != "campaign.not-a-draft":
                raise
    await http.close()
    await store.close()


if __name__ == "__main__":
    from test_campaign_gallery import picture

    from penstock.data.brevo_images import fit_picture
    from penstock.data.brevo_preview import render

    fit_picture(picture())  # what is imported when it is used, once for all children
    render("{{ contact.X }}", {}, {})
    fork_for_each_order(work)
