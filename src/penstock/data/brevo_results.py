"""What became of a campaign: the counts of each version as Brevo states them, or as they follow from what it states."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.base.errors import RejectedError
from penstock.data.brevo_campaigns import Shown
from penstock.runtime.brevo_calls import BrevoCaller

COUNTS = ("delivered", "opened", "clicked", "unsubscribed", "complained", "bounced")
_IN_TEST = {
    "opened": ("openers",),
    "clicked": ("clicks",),
    "unsubscribed": ("unsubscribed",),
    "complained": ("complaints",),
    "bounced": ("hardBounces", "softBounces"),
}


class Counts(msgspec.Struct, frozen=True):
    """What one version came to; `version` is A, B, or empty for the whole campaign."""

    version: str
    subject: str
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    unsubscribed: int = 0
    complained: int = 0
    bounced: int = 0

    def __or__(self, other: Counts) -> Counts:
        """Keep the larger of each count: people do not take back what they did, but Brevo forgets it."""
        return Counts(
            other.version,
            other.subject or self.subject,
            **{name: max(getattr(self, name), getattr(other, name)) for name in COUNTS},
        )


class TrialState(msgspec.Struct, frozen=True):
    """How far an A/B test is: `winner` is A, B, tie, pending or notAvailable, in Brevo's words."""

    winner: str
    versions: list[Counts]


async def read_totals(caller: BrevoCaller, number: int, subject: str) -> Counts:
    """Read the counts of a whole campaign, from the campaign itself: in lists they end after six months."""
    query = {"statistics": "globalStats", "excludeHtmlContent": "true"}
    content = (await caller.call("campaigns.get", path={"id": number}, query=query, interactive=True)).content
    stats = (content.get("statistics") or {}).get("globalStats") or {}

    def count(*names: str) -> int:
        return sum(_to_count(stats.get(name)) for name in names)

    return Counts(
        "",
        subject,
        delivered=count("delivered"),
        opened=count("uniqueViews"),
        clicked=count("uniqueClicks"),
        unsubscribed=count("unsubscriptions"),
        complained=count("complaints"),
        bounced=count("hardBounces", "softBounces"),
    )


async def read_test(caller: BrevoCaller, shown: Shown, totals: Counts) -> TrialState:
    """Read how an A/B test went, version by version."""
    try:
        reply = await caller.call("campaigns.result", path={"id": shown.id}, interactive=True)
    except RejectedError:
        return TrialState("notAvailable", [])
    content = reply.content
    winner = str(content.get("winningVersion") or "notAvailable")
    stats = content.get("statistics") or {}
    if not stats:
        return TrialState(winner, [])
    counted = {
        version: {
            name: sum(_to_count((stats.get(part) or {}).get(f"Version {version}")) for part in parts)
            for name, parts in _IN_TEST.items()
        }
        for version in "AB"
    }
    delivered = _share_out(content, winner, counted, totals.delivered)
    return TrialState(
        winner,
        [
            Counts(version, subject, delivered=delivered[version], **counted[version])
            for version, subject in zip("AB", shown.lines, strict=False)
        ],
    )


def _share_out(
    content: dict[str, Any], winner: str, counted: dict[str, dict[str, int]], delivered: int
) -> dict[str, int]:
    """Return how many mails of each version arrived, which Brevo does not say.

    It states the winner's rates, and count by rate is the number; without them both have half.
    """
    leader = winner if winner in counted else "A"
    other = "B" if leader == "A" else "A"
    for name, field in (("opened", "openRate"), ("clicked", "clickRate")):
        rate = _to_rate(content.get(field))
        if rate and counted[leader][name]:
            found = round(counted[leader][name] / rate)
            if 0 < found < delivered:
                return {leader: found, other: delivered - found}
    return {"A": (delivered + 1) // 2, "B": delivered // 2}


def _to_count(value: Any) -> int:
    match = re.match(r"\s*\d+", str(value if value is not None else ""))
    return int(match[0]) if match else 0


def _to_rate(value: Any) -> float:
    match = re.match(r"\s*(\d+(?:[.,]\d+)?)\s*%", str(value or ""))
    return float(match[1].replace(",", ".")) / 100 if match else 0.0


def merge_counts(before: Sequence[Counts], now: Sequence[Counts]) -> list[Counts]:
    """Return the counts of each version, the larger ones of what was kept and what was read."""
    kept = {one.version: one for one in before}
    found = {one.version: kept[one.version] | one if one.version in kept else one for one in now}
    return [{**kept, **found}[version] for version in sorted({*kept, *found})]
