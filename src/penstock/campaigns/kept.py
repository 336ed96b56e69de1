"""What is kept of campaigns: drafts of our own with their approvals, and results that were read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from penstock.base.types import Finding
from penstock.campaigns.proof import Difference
from penstock.data.brevo_campaigns import Campaign, Shown
from penstock.data.brevo_recipients import Headcount
from penstock.data.brevo_results import Counts
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store


class Kept(msgspec.Struct, frozen=True):
    """What is kept here of a draft of our own; `approved` is empty until a person approved it."""

    number: int
    name: str
    body: bytes
    fingerprint: str
    modified: str
    params: str
    assisted: str
    approved: str
    approved_by: str
    approved_at: float
    recipients: int
    at: float


class Drafted(msgspec.Struct, frozen=True):
    """A draft at Brevo: `done` says what happened to it, `findings` what the checks said."""

    kind: Literal["campaign", "template"]
    number: int
    name: str
    done: Literal["made", "updated", "unchanged", "failed"]
    findings: list[Finding]


class Listed(msgspec.Struct, frozen=True):
    """One campaign in a list: `state` is Brevo's status, or `approved` for a draft that a person approved."""

    number: int
    name: str
    state: str
    subjects: tuple[str, ...]
    is_own: bool


class Review(msgspec.Struct, frozen=True):
    """One campaign as it stands at Brevo now, with everything that decides whether it may be sent."""

    number: int
    name: str
    state: str
    subjects: tuple[str, ...]
    preview_text: str
    sender: str
    recipients: Headcount
    findings: list[Finding]
    fingerprint: str
    modified: str
    is_own: bool
    approved_by: str
    approved_at: float
    assisted_by: str
    scheduled_at: str
    sent_at: str

    @property
    def failures(self) -> list[Finding]:
        """Return what must be mended first."""
        return [one for one in self.findings if one.verdict == "fail"]


class Results(msgspec.Struct, frozen=True):
    """What a campaign came to, as far as Brevo says; `winner` is empty for one that is no A/B test."""

    number: int
    name: str
    state: str
    winner: str
    versions: list[Counts]
    differences: list[Difference]
    at: float


class KeptCampaigns:
    """The rows of one account."""

    def __init__(self, store: Store, account: str) -> None:
        self._store = store
        self._account = account

    async def get(self, number: int) -> Kept | None:
        """Return what is kept of a campaign; None for one that was not drafted here."""
        rows = await self._store.read("campaign_row", account=self._account, number=number)
        return Kept(*rows[0]) if rows else None

    async def all(self) -> dict[int, Kept]:
        """Return every draft of our own by its id."""
        rows = await self._store.read("campaign_rows", account=self._account)
        return {kept.number: kept for kept in (Kept(*row) for row in rows)}

    async def keep(self, number: int, campaign: Campaign, body: bytes, shown: Shown | None, at: float) -> None:
        """Note what is written; approvals of what was there end. Without `shown` the writing is only about to begin."""
        row = {
            "account": self._account,
            "number": number,
            "name": campaign.name,
            "body": body,
            "fingerprint": shown.fingerprint() if shown else "",
            "modified": shown.modified_at if shown else "",
            "params": msgspec.json.encode(campaign.params).decode(),
            "assisted": campaign.assisted_by,
            "at": at,
        }
        await self._store.batch(_save, row)

    async def approve(self, review: Review, by: str, at: float) -> None:
        """Note that a person approves a campaign as it was looked at."""
        row = {"account": self._account, "number": review.number, "fingerprint": review.fingerprint, "by": by, "at": at}
        row |= {"modified": review.modified, "recipients": review.recipients.reached}
        await self._store.batch(_approve, row)

    async def results(self, number: int) -> list[Counts]:
        """Return the results that were kept of a campaign."""
        rows = await self._store.read("campaign_results_of", account=self._account, number=number)
        return [Counts(*row[:-1]) for row in rows]

    async def keep_results(self, number: int, versions: Sequence[Counts], at: float) -> None:
        """Keep the results of a campaign."""
        place = {"account": self._account, "number": number, "at": at}
        rows: Sequence[Mapping[str, Any]] = [{**place, **msgspec.structs.asdict(one)} for one in versions]
        await self._store.batch(_save_results, rows)


def _save(tx: Tx, items: Sequence[Mapping[str, Any]]) -> list[None]:
    tx.run_many("save_campaign", items)
    return [None] * len(items)


def _approve(tx: Tx, items: Sequence[Mapping[str, Any]]) -> list[None]:
    tx.run_many("approve_campaign", items)
    return [None] * len(items)


def _save_results(tx: Tx, items: Sequence[Sequence[Mapping[str, Any]]]) -> list[None]:
    for rows in items:
        tx.run_many("save_campaign_result", rows)
    return [None] * len(items)
