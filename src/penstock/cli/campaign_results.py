"""Writes the results of a campaign for people: shares with their intervals, and what an A/B test proves."""

from __future__ import annotations

from penstock.campaigns.kept import Results
from penstock.campaigns.proof import find_share
from penstock.cli import render
from penstock.data.brevo_results import Counts

SHARES = ("opened", "clicked", "unsubscribed")


def show_results(found: Results) -> None:
    """Write a table of versions, and a sentence on each difference."""
    render.show(f"{found.name} ({found.number}), {found.state}")
    rows = [
        (one.version or "all", f"{one.delivered:,}", *(_share(one, name) for name in SHARES), f"{one.bounced:,}")
        for one in found.versions
    ]
    render.show_table(["", "delivered", *SHARES, "bounced"], rows)
    if not any(one.delivered for one in found.versions):
        render.note("Brevo has no results yet: they come some minutes after a campaign is sent.")
        return
    if found.winner:
        render.show(f"Brevo's winner: {found.winner}")
    for difference in found.differences:
        render.show(difference.describe())
    if found.differences:
        render.note("Brevo counts for the winner also those who got it after the test, at another time.")
    render.note("In brackets: 95 % intervals. Mail programs that load pictures by themselves inflate what is opened.")


def _share(one: Counts, name: str) -> str:
    share = find_share(getattr(one, name), one.delivered)
    return f"{share.value:.1%} ({share.low:.1%}–{share.high:.1%})" if one.delivered else ""
