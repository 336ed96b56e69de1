"""A Brevo account with a list of people, a store, and the campaigns on top of both, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from brevo_desk import Desk

from penstock.campaigns.desk import Campaigns
from penstock.data.brevo_campaign_file import CampaignFile
from penstock.data.brevo_campaigns import Campaign, Recipients, Sender
from penstock.runtime.store import Store

HTML = (
    "<p>Hello {{ contact.FIRSTNAME | default:'there' }}, {{ params.offer }} off everything for the cold.</p>"
    '<a href="https://shop.example/winter">See the sale</a> <a href="{{ unsubscribe }}">Unsubscribe</a>'
)
CAMPAIGN = Campaign(
    name="winter",
    sender=Sender(email="owner@sandbox.example"),
    html=HTML,
    subject="Winter is half the price",
    preview_text="Until Sunday.",
    recipients=Recipients(lists=("News",)),
    params={"offer": "50 %"},
)


def change(campaign: Campaign = CAMPAIGN, **fields: Any) -> Campaign:
    return msgspec.structs.replace(campaign, **fields)


def as_test(campaign: Campaign = CAMPAIGN, **fields: Any) -> Campaign:
    return change(campaign, subject="", subjects=("Winter is half the price", "Warm for less"), **fields)


class CampaignDesk(Desk):
    """The account, and campaigns of one store; `people` are on the list News, the last one blocklisted."""

    store: Store
    campaigns: Campaigns
    folder: Path

    def people(self, count: int = 11) -> int:
        news = self.state.add_list("News")
        for number in range(count):
            self.state.add_contact(
                f"p{number}@example.com",
                {"FIRSTNAME": f"P{number}"},
                lists=[news.id],
                email_blacklisted=number == count - 1,
            )
        return news.id

    async def publish(self, name: str, content: bytes) -> str:
        url = f"https://pictures.example/{name}"
        self.state.hosted[url] = content
        return url

    def file(self, campaign: Campaign = CAMPAIGN, kind: Any = "campaign") -> CampaignFile:
        return CampaignFile(campaign, kind, self.folder)

    async def draft(self, campaign: Campaign = CAMPAIGN, *, kind: Any = "campaign", replace: bool = False) -> Any:
        return await self.campaigns.draft(self.file(campaign, kind), replace=replace)

    async def approved(self, campaign: Campaign = CAMPAIGN) -> Any:
        await self.draft(campaign)
        return await self.campaigns.approve(campaign.name, "ann")


@asynccontextmanager
async def open_desk(folder: Path, *, place: Path | str | None = None, **options: Any) -> AsyncIterator[CampaignDesk]:
    desk = CampaignDesk(limited=False, **options)
    desk.folder = folder
    desk.store = await Store.open(place or folder / "store.sqlite", desk.clock)
    desk.campaigns = Campaigns(desk.store, desk.clock, desk.caller, desk.account, desk.publish)
    desk.people()
    try:
        yield desk
    finally:
        await desk.store.close()
