"""Whether a campaign may go out: its state, its recipients, its credit, its test, and the refusals in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.base.errors import FixError
from penstock.base.types import Finding
from penstock.campaigns.kept import Kept, Review
from penstock.data.brevo_campaigns import OPEN_STATES, Shown
from penstock.data.brevo_recipients import Headcount
from penstock.features.writing.sample import size_arm
from penstock.runtime.brevo_calls import BrevoCaller

EMBEDDED_RECIPIENTS = 5_000
"""A mail with its pictures inside goes to no more people (API description, 2026)."""
_USUAL_SHARES = {"open": (0.20, 0.22), "click": (0.02, 0.022)}
"""An improvement by a tenth on usual shares: what a test of subjects should at least be able to see."""


def state_of(shown: Shown, kept: Kept | None, now: str) -> str:
    """Return Brevo's status, but for a draft with an approval that still holds; `now` is its fingerprint or time."""
    if shown.status in OPEN_STATES and kept is not None and kept.approved and now in (kept.approved, kept.modified):
        return "approved"
    return {"queued": "scheduled"}.get(shown.status, shown.status)


def hold_to_own_draft(review: Review) -> None:
    """Raise `FixError` unless a campaign was drafted here and is a draft still."""
    if not review.is_own:
        raise FixError(
            f"the campaign {review.number} was not drafted here",
            code="campaign.not-own",
            hint="Send it in Brevo; Penstock only touches campaigns of its own.",
        )
    if review.state not in (*OPEN_STATES, "approved"):
        raise FixError(
            f"the campaign {review.number} is {review.state}",
            code="campaign.not-a-draft",
            hint="Nothing is left to do.",
        )


def not_a_draft(shown: Shown) -> FixError:
    """Return the refusal to change what is no draft any more."""
    return FixError(
        f"the campaign {shown.id} ({shown.name}) is {state_of(shown, None, '')}",
        code="campaign.not-a-draft",
        hint="Give a new campaign another name; one that is scheduled: penstock campaigns withdraw NAME.",
    )


def checks_failed(review: Review) -> FixError:
    """Return the refusal to let a campaign go out that failed a check."""
    first, *more = review.failures
    rest = f" (and {len(more)} more)" if more else ""
    return FixError(
        f"the campaign {review.number} must not go out: {first.name}: {first.message}{rest}",
        code="campaign.checks-failed",
        hint=first.fix,
    )


def check_recipients(shown: Shown, headcount: Headcount) -> Finding:
    """Look whether anybody would get a campaign, and nobody who must not."""
    if not headcount.reached:
        fix = "Name lists or segments under `recipients` whose contacts may be mailed."
        return Finding("recipients", "fail", f"nobody would get it: {headcount.describe()}", fix)
    if headcount.objected:
        fix = "Blocklist them in Brevo, or put them on a list that is excluded (`without-lists`)."
        return Finding("recipients", "fail", f"{headcount.objected:,} of them objected here", fix)
    if shown.inline_image_activation and headcount.reached > EMBEDDED_RECIPIENTS:
        fix = "Host the pictures instead: embed-images: false."
        return Finding("recipients", "fail", f"{headcount.reached:,} with embedded pictures; Brevo allows 5,000", fix)
    return Finding("recipients", "ok", headcount.describe())


def check_test(shown: Shown, headcount: Headcount) -> Sequence[Finding]:
    """Say whether an A/B test can show anything with so many people."""
    if not shown.ab_testing:
        return []
    share = shown.split_rule or 50
    each = headcount.reached * share // 100
    criterion = (shown.winner_criteria or "click").lower()
    usual, better = _USUAL_SHARES.get(criterion, _USUAL_SHARES["click"])
    needed = size_arm(usual, better)
    said = (
        f"{each:,} people get each subject; to see {criterion}s rise from {usual:.1%} to {better:.1%} takes {needed:,}"
    )
    if each >= needed:
        return [Finding("A/B test", "ok", said)]
    return [Finding("A/B test", "warn", said, "The better one may be so by chance: test on more people, or choose.")]


async def check_sender(caller: BrevoCaller, email: str, number: Any) -> Finding:
    """Look whether a sender, by address or id, is one of the account's and verified."""
    rows = (await caller.call("senders.list", interactive=True)).content["senders"]
    known = [one for one in rows if one.get("email") == email or (number and str(one.get("id")) == str(number))]
    if not known:
        names = ", ".join(str(one.get("email")) for one in rows[:5]) or "none"
        fix = f"Verify it in Brevo under Senders, or use one that is there: {names}."
        return Finding("sender", "fail", f"{email or number} is no sender of the account", fix)
    if not any(one.get("active", True) for one in known):
        return Finding("sender", "fail", f"{email or number} is not verified", "Verify it in Brevo first.")
    return Finding("sender", "ok", str(known[0].get("email")))


async def check_credit(caller: BrevoCaller, headcount: Headcount) -> list[Finding]:
    """Say so when the plan has fewer mails left than are needed; nothing where the plan states no number."""
    plans = (await caller.call("account.get", interactive=True)).content.get("plan") or []
    stated = [one.get("credits") for one in plans if one.get("creditsType") == "sendLimit"]
    left = sum(one for one in stated if isinstance(one, int))
    if not stated or left >= headcount.reached:
        return []
    message = f"{left:,} mails are left in the plan, {headcount.reached:,} are needed"
    return [Finding("credit", "warn", message, "Brevo refuses to send without credit: buy more, or send to fewer.")]
