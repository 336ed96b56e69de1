"""Sending in the Brevo emulator: when campaigns go out, to whom, how readers answer, and who wins an A/B test.

Nothing leaves the sandbox. Readers answer by chance that depends on the seed, the campaign and the subject alone.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from penstock.sandbox.brevo_campaigns import (
    MAX_INLINE_RECIPIENTS,
    OPEN,
    Campaign,
    check_recipients,
    find_campaign,
)
from penstock.sandbox.brevo_imports import start_process
from penstock.sandbox.brevo_payloads import tell_campaign
from penstock.sandbox.brevo_records import Act, Contact, Query
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, decode, invalid

LINK = "https://sandbox.example/"


def find_recipients(state: BrevoState, one: Campaign) -> list[Contact]:
    """Return who gets a campaign: nobody who is blocklisted, has left the list, is excluded or has no address."""
    given = one.fields.get("recipients", {})
    lists, out = given.get("listIds", []), given.get("exclusionListIds", [])
    found: dict[int, Contact] = {}
    for number in lists:
        if number in state.lists:
            rows, _ = state.select(Query(lists=(number,)))
            found.update({row.id: row for row in rows if number not in row.unsubscribed})
    for number in given.get("segmentIds", []):
        found.update(_members(state, number))
    for number in given.get("exclusionSegmentIds", []):
        found = {key: row for key, row in found.items() if key not in _members(state, number)}
    return [
        row
        for _, row in sorted(found.items())
        if row.email and not row.email_blacklisted and not set(out) & {*row.lists}
    ]


def _members(state: BrevoState, number: int) -> dict[int, Contact]:
    segment = state.segments[number]
    rows, _ = state.select(Query(equals=((segment.attribute, segment.value),)))
    return {row.id: row for row in rows}


def send_now(state: BrevoState, request: Request) -> Answer:
    """POST /emailCampaigns/{campaign}/sendNow: 204; 402 without credits; what is sent cannot be sent again."""
    one = find_campaign(state, request)
    if one.status not in OPEN:
        code = "campaign_processing" if one.status == "in_process" else "campaign_sent"
        raise RefusedError(400, code, "Campaign could not be sent")
    check_recipients(one)
    _begin(state, one, state.now())
    state.world.wrote("brevo", "campaigns.send", str(one.id), ())
    return Answer(204)


def _begin(state: BrevoState, one: Campaign, at: int) -> None:
    people = find_recipients(state, one)
    if len(people) > state.account.credits:
        raise RefusedError(402, "not_enough_credits", "You don't have enough credit to send your campaign")
    if one.fields.get("inlineImageActivation") and len(people) > MAX_INLINE_RECIPIENTS:
        raise invalid("a campaign with embedded images can have 5000 recipients at most")
    state.account.credits -= len(people)
    one.waiting = [person.id for person in people]
    one.status, one.modified, one.scheduled = "in_process", at, at


def settle_campaigns(state: BrevoState) -> None:
    """Let everything happen that is due by now: scheduled campaigns begin, mail arrives, tests are decided."""
    now = state.now()
    for one in list(state.campaigns.values()):
        if one.status == "queued" and one.scheduled is not None and one.scheduled <= now:
            try:
                _begin(state, one, one.scheduled)
            except RefusedError:
                one.status = "suspended"
        due = (one.scheduled or 0) + round(state.behaviour.send_seconds * 1000)
        if one.status == "in_process" and one.sent is None and due <= now:
            _deliver(state, one, due)
        if one.status == "in_process" and one.sent is not None and one.decided is not None and one.decided <= now:
            _mail(state, one, one.waiting, find_winner(one) or "A", one.decided)
            one.waiting, one.status = [], "sent"


def _deliver(state: BrevoState, one: Campaign, at: int) -> None:
    one.sent, people = at, one.waiting
    if not one.is_test():
        _mail(state, one, people, "", at)
        one.waiting, one.status = [], "sent"
        return
    split = one.fields.get("splitRule", 50)
    size = max(1, len(people) * split // 100) if split < 50 else (len(people) + 1) // 2
    _mail(state, one, people[:size], "A", at)
    _mail(state, one, people[size : 2 * size], "B", at)
    one.waiting = people[2 * size :]
    if split == 50:
        one.status, one.decided = "sent", at
    else:
        one.decided = at + one.fields["winnerDelay"] * 3_600_000


def _mail(state: BrevoState, one: Campaign, people: list[int], version: str, at: int) -> None:
    subject = one.fields.get(f"subject{version}", "")
    taste = random.Random(f"{state.world.seed} {subject}").uniform(0.15, 0.6)  # noqa: S311 - repeatable on purpose
    for number in people:
        if number not in state.contacts:
            continue
        chance = random.Random(f"{state.world.seed} {one.id} {number}")  # noqa: S311 - repeatable on purpose
        note(state, one, number, Act("sent", one.id, at, version=version))
        note(state, one, number, Act("delivered", one.id, at, version=version))
        if chance.random() < taste:
            note(state, one, number, Act("opened", one.id, at, version=version))
            if chance.random() < 0.3:
                note(state, one, number, Act("clicked", one.id, at, LINK, version))


def note(state: BrevoState, one: Campaign, number: int, act: Act) -> None:
    """Keep what happened with a campaign, and tell the webhooks that want to know."""
    state.acts.setdefault(number, []).append(act)
    for name in (act.kind, f"{act.version}.{act.kind}") if act.version else (act.kind,):
        one.tally[name] = one.tally.get(name, 0) + 1
    if state.outbox.hooks and act.kind != "sent":
        tell_campaign(state, act, state.contacts[number], one.fields)


def find_winner(one: Campaign) -> str:
    """Return A, B, or nothing for a tie."""
    kind = "clicked" if one.fields.get("winnerCriteria") == "click" else "opened"
    first, second = (_rate(one, version, kind) for version in "AB")
    return "" if first == second else "A" if first > second else "B"


def _rate(one: Campaign, version: str, kind: str) -> float:
    return one.tally.get(f"{version}.{kind}", 0) / max(1, one.tally.get(f"{version}.delivered", 0))


def get_test_result(state: BrevoState, request: Request) -> Answer:
    """GET /emailCampaigns/{campaign}/abTestCampaignResult."""
    one = find_campaign(state, request)
    if not one.is_test():
        raise invalid("the campaign is not an A/B test")
    if one.sent is None or one.decided is None or one.decided > state.now():
        return Answer(200, {"winningVersion": "notAvailable" if one.sent is None else "pending"})
    winner = find_winner(one)
    kinds = {
        "openers": "opened",
        "clicks": "clicked",
        "unsubscribed": "unsubscribed",
        "hardBounces": "hardBounce",
        "softBounces": "softBounce",
        "complaints": "complaint",
    }
    shown: dict[str, Any] = {
        "winningVersion": winner or "tie",
        "winningCriteria": "Click" if one.fields.get("winnerCriteria") == "click" else "Open",
        "winningSubjectLine": one.fields[f"subject{winner or 'A'}"],
        "openRate": _percent(_rate(one, winner or "A", "opened")),
        "clickRate": _percent(_rate(one, winner or "A", "clicked")),
        "winningVersionRate": _percent(_rate(one, winner or "A", "opened")),
        "statistics": {
            name: {f"Version {one_}": _count(one, one_, kind) for one_ in "AB"} for name, kind in kinds.items()
        },
        "clickedLinks": {f"Version {version}": _links(one, version) for version in "AB"},
    }
    return Answer(200, shown)


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f}%"


def _count(one: Campaign, version: str, kind: str) -> str:
    return str(one.tally.get(f"{version}.{kind}", 0))


def _links(one: Campaign, version: str) -> list[dict[str, Any]]:
    count = one.tally.get(f"{version}.clicked", 0)
    return (
        [{"link": LINK, "clicksCount": count, "clickRate": _percent(_rate(one, version, "clicked"))}] if count else []
    )


class _Status(msgspec.Struct):
    status: str


_MOVES = {
    "suspended": (("queued", "in_process"), "suspended"),
    "archive": (("sent",), "archive"),
    "darchive": (("archive",), "sent"),
    "queued": (("suspended",), "queued"),
    "cancel": (("queued", "suspended", "in_process"), "cancelled"),
    "draft": (("queued", "suspended"), "draft"),
}


def change_status(state: BrevoState, request: Request) -> Answer:
    """PUT /emailCampaigns/{campaign}/status; `replicate` makes a new draft."""
    one = find_campaign(state, request)
    wanted = decode(request.body, _Status).status
    if wanted == "replicate":
        copy = Campaign(state.next_id("campaign"), "draft", state.now(), state.now(), dict(one.fields), one.html)
        copy.fields["name"] = f"Copy of {one.fields['name']}"
        state.campaigns[copy.id] = copy
    else:
        allowed, then = _MOVES.get(wanted, ((), ""))
        if one.status not in allowed:
            raise invalid(f"a campaign that is {one.status} cannot become {wanted}")
        one.status = then
        if then == "draft":
            one.scheduled = None
    one.modified = state.now()
    state.world.wrote("brevo", "campaigns.status", str(one.id), (wanted,))
    return Answer(204)


class _Recipients(msgspec.Struct, rename="camel"):
    recipients_type: str
    notify_url: str | None = None


_KINDS = {
    "all": "sent",
    "openers": "opened",
    "clickers": "clicked",
    "softBounces": "softBounce",
    "hardBounces": "hardBounce",
    "unsubscribed": "unsubscribed",
}


def export_recipients(state: BrevoState, request: Request) -> Answer:
    """POST /emailCampaigns/{campaign}/exportRecipients: 202 with the process; only of a sent campaign."""
    one = find_campaign(state, request)
    body = decode(request.body, _Recipients)
    wanted = body.recipients_type
    without = {"nonOpeners": "opened", "nonClickers": "clicked"}.get(wanted)
    if one.sent is None or (wanted not in _KINDS and without is None):
        raise invalid("recipientsType is not valid, or the campaign is not sent")

    def work() -> None:
        lines = ["EMAIL"]
        for number, acts in state.acts.items():
            kinds = {act.kind for act in acts if act.campaign == one.id}
            if number in state.contacts and (
                "sent" in kinds and without not in kinds if without else _KINDS[wanted] in kinds
            ):
                lines.append(state.contacts[number].email)
        process.file = "\n".join(lines) + "\n"

    process = start_process(state, "EXPORTUSER", one.tally.get("sent", 0), work, request, body.notify_url)
    return Answer(202, {"processId": process.id})
