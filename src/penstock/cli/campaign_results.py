"""Writes the results of a campaign for people: shares with their intervals, and what an A/B test proves."""

from __future__ import annotations

from penstock.campaigns.kept import Results
from penstock.cli import render
from penstock.data.brevo_results import Counts, find_difference, find_share
from penstock.features.writing.sample import size_arm

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
    arms = {one.version: one for one in found.versions if one.version}
    if found.winner:
        render.show(f"Brevo's winner: {found.winner}")
    if len(arms) == 2:
        for name in ("opened", "clicked"):
            render.show(describe_difference(arms["A"], arms["B"], name))
        render.note("Brevo counts for the winner also those who got it after the test, at another time.")
    render.note("In brackets: 95 % intervals. Mail programs that load pictures by themselves inflate what is opened.")


def _share(one: Counts, name: str) -> str:
    share = find_share(getattr(one, name), one.delivered)
    return f"{share.value:.1%} ({share.low:.1%}–{share.high:.1%})" if one.delivered else ""


def describe_difference(first: Counts, second: Counts, name: str) -> str:
    """Say whether B differs from A, or that nobody can tell, and how many people that would take."""
    one, other = (find_share(getattr(arm, name), arm.delivered) for arm in (first, second))
    gap = find_difference(one, other)
    said = f"{name}: B is {gap.value * 100:+.1f} points from A ({gap.low * 100:+.1f} to {gap.high * 100:+.1f})"
    if gap.low > 0 or gap.high < 0:
        return f"{said}: B is {'better' if gap.value > 0 else 'worse'}."
    if one.value == other.value or not 0 < one.value < 1 or not 0 < other.value < 1:
        return f"{said}: the sample is too small to tell them apart."
    needed = size_arm(one.value, other.value)
    return f"{said}: too few to tell; a difference like that needs {needed:,} people for each."
