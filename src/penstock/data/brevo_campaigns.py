"""Campaigns at Brevo: what one says, how it is written as a draft, and what Brevo shows of it.

Everything made here is a draft that nobody receives. Sending and scheduling stand apart and ask the
status first. Rules: Brevo's API description of `/emailCampaigns` (2026).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec

from penstock.base.errors import InputError, RejectedError, UnavailableError
from penstock.data.brevo_contacts import Account, format_time, read_time
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

MOST_PER_PAGE = 100
FRESH_PAGES = 10
"""So many of the newest drafts are looked through before one is made, in case the store of its maker is lost."""
CLOCK_MARGIN_MS = 3_600_000
"""How far Brevo's clock and this one may differ while a draft without an outcome is looked for."""
MAX_HTML_BYTES = 1024 * 1024
MIN_HTML_LETTERS = 10
MAX_WAIT_HOURS = 168
OPEN_STATES = ("draft",)

CAMPAIGN, SENDING = "campaign", "campaign-send"


class Sender(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who a mail comes from: a sender of the account by its address or its id."""

    email: str = ""
    id: int | None = None
    name: str = ""


class Recipients(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Who a campaign goes to, by ids or names of lists and segments."""

    lists: tuple[int | str, ...] = ()
    segments: tuple[int | str, ...] = ()
    without_lists: tuple[int | str, ...] = ()
    without_segments: tuple[int | str, ...] = ()


class SubjectTest(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """How two subjects are tried: `share` percent of the recipients get each, the better one goes to the rest.

    With a share of 50 nobody is left, so there is no winner to wait for.
    """

    share: int = 20
    winner: Literal["clicks", "opens"] = "clicks"
    wait_hours: int = 24


class Campaign(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """What a campaign says and to whom. Two subjects make it an A/B test; Brevo knows no test of bodies."""

    name: str
    sender: Sender
    html: str
    subject: str = ""
    subjects: tuple[str, ...] = ()
    preview_text: str = ""
    recipients: Recipients = Recipients()
    reply_to: str = ""
    to: str = ""
    params: dict[str, Any] = {}
    utm: dict[Literal["source", "medium", "campaign", "content", "term", "id"], str] = {}
    test: SubjectTest = SubjectTest()
    best_time: bool = False
    embed_images: bool = False
    unsubscribe_page: str = ""
    tag: str = ""
    assisted_by: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the subject, or both."""
        return self.subjects or (self.subject,)


class Audience(msgspec.Struct, frozen=True):
    """Recipients by the ids of the account."""

    lists: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    without_lists: tuple[int, ...] = ()
    without_segments: tuple[int, ...] = ()


def check_campaign(campaign: Campaign) -> None:
    """Raise `InputError` (`campaign.invalid`) for what Brevo would refuse or quietly ignore."""
    problem = _find_problem(campaign)
    if problem:
        raise InputError(
            f"the campaign {campaign.name!r} cannot be a draft: {problem}",
            code="campaign.invalid",
            hint="Correct the campaign file; docs/how-to/campaigns.md shows a whole one.",
        )


def _find_problem(campaign: Campaign) -> str:
    size = len(campaign.html.encode())
    rules = (
        (not campaign.name.strip(), "it has no name"),
        (bool(campaign.subject and campaign.subjects), "it has `subject` and `subjects`; give one of them"),
        (
            bool(campaign.subjects) and (len(campaign.subjects) != 2 or len(set(campaign.subjects)) != 2),
            "an A/B test has exactly two subjects, which differ",
        ),
        (not all(line.strip() for line in campaign.lines), "a subject is empty"),
        (
            bool(campaign.sender.email) == (campaign.sender.id is not None),
            "`sender` has exactly one of email and id",
        ),
        (
            len(campaign.html) <= MIN_HTML_LETTERS or size >= MAX_HTML_BYTES,
            f"the HTML has {size:,} bytes; more than {MIN_HTML_LETTERS} and less than 1 MB are allowed",
        ),
        (bool(campaign.subjects) and campaign.best_time, "an A/B test cannot be sent at the best time"),
        (not 1 <= campaign.test.share <= 50, "`share` of the test is from 1 to 50 percent"),
        (
            not 1 <= campaign.test.wait_hours <= MAX_WAIT_HOURS,
            f"`wait-hours` of the test is from 1 to {MAX_WAIT_HOURS}",
        ),
    )
    return next((text for is_wrong, text in rules if is_wrong), "")


def make_mark(account: Account, kind: str, name: str) -> str:
    """Return the tag by which a draft of this name is found again in its account."""
    digest = hashlib.blake2b(f"{account.id}\n{kind}\n{name}".encode(), digest_size=8).hexdigest()
    return f"penstock-{digest}"


def to_body(campaign: Campaign, audience: Audience, mark: str) -> dict[str, Any]:
    """Return the request of a draft; every field that can be emptied is stated, so that an update leaves no rest."""
    body: dict[str, Any] = {
        "name": campaign.name,
        "tag": f"{campaign.tag} {mark}".strip(),
        "sender": to_sender(campaign.sender),
        "htmlContent": campaign.html,
        "previewText": campaign.preview_text,
        "toField": campaign.to,
        "params": campaign.params,
        "recipients": {
            "listIds": list(audience.lists),
            "segmentIds": list(audience.segments),
            "exclusionListIds": list(audience.without_lists),
            "exclusionSegmentIds": list(audience.without_segments),
        },
        "inlineImageActivation": campaign.embed_images,
        "sendAtBestTime": campaign.best_time,
        "abTesting": bool(campaign.subjects),
        **{f"utm{name.title()}": value for name, value in campaign.utm.items()},
    }
    if campaign.reply_to:
        body["replyTo"] = campaign.reply_to
    if campaign.unsubscribe_page:
        body["unsubscriptionPageId"] = campaign.unsubscribe_page
    return body | _subjects(campaign)


def _subjects(campaign: Campaign) -> dict[str, Any]:
    if not campaign.subjects:
        return {"subject": campaign.subject}
    body: dict[str, Any] = dict(zip(("subjectA", "subjectB"), campaign.subjects, strict=True))
    body["splitRule"] = campaign.test.share
    if campaign.test.share < 50:
        body["winnerCriteria"] = campaign.test.winner.removesuffix("s")
        body["winnerDelay"] = campaign.test.wait_hours
    return body


def to_sender(sender: Sender) -> dict[str, Any]:
    """Return a sender as a request names it: by the id where there is one, never by both."""
    given: dict[str, Any] = {"email": sender.email} if sender.id is None else {"id": sender.id}
    return {**given, "name": sender.name} if sender.name else given


class Shown(msgspec.Struct, frozen=True, rename="camel"):
    """A campaign as Brevo shows it, as far as it decides what people receive."""

    id: int
    name: str
    status: str
    sender: dict[str, Any] = {}
    subject: str = ""
    subject_a: str = ""
    subject_b: str = ""
    ab_testing: bool = False
    split_rule: int | None = None
    winner_criteria: str | None = None
    winner_delay: int | None = None
    preview_text: str = ""
    html_content: str = ""
    header: str = ""
    footer: str = ""
    reply_to: str = ""
    to_field: str = ""
    tag: str = ""
    send_at_best_time: bool = False
    inline_image_activation: bool = False
    recipients: dict[str, Any] = {}
    created_at: str = ""
    modified_at: str = ""
    scheduled_at: str | None = None
    sent_date: str | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the subject, or both."""
        return (self.subject_a, self.subject_b) if self.ab_testing else (self.subject,)

    @property
    def audience(self) -> Audience:
        """Return who it goes to."""

        def ids(*names: str) -> tuple[int, ...]:
            found = next((self.recipients[name] for name in names if self.recipients.get(name)), ())
            return tuple(one for one in found if isinstance(one, int))

        return Audience(
            ids("lists"), ids("segments"), ids("exclusionLists"), ids("excludedSegments", "exclusionSegments")
        )

    def fingerprint(self) -> str:
        """Return a hash of everything that people receive and of who they are; an edit anywhere changes it."""
        content = {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if name not in ("id", "status", "created_at", "modified_at", "scheduled_at", "sent_date")
        }
        return hashlib.blake2b(msgspec.json.encode(content, order="deterministic"), digest_size=16).hexdigest()


def read_shown(content: Any) -> Shown:
    """Read a campaign as Brevo shows it; what it leaves out, or gives as null, is empty."""
    given = {name: value for name, value in content.items() if value is not None}
    return msgspec.convert(given, Shown, strict=False)


class BrevoCampaigns:
    """The campaigns of one account. Only those that carry its own mark are ever changed."""

    def __init__(self, caller: BrevoCaller, account: Account, effects: Effects) -> None:
        self._caller = caller
        self._account = account
        self._effects = effects

    def mark(self, name: str) -> str:
        """Return the tag of the draft of this name."""
        return make_mark(self._account, CAMPAIGN, name)

    async def draft(self, campaign: Campaign, audience: Audience) -> tuple[int, bool]:
        """Make the draft of this name unless there is one; returns its id, and whether it was made or found just now.

        A creation without an outcome is looked for by its mark before it is repeated.
        """
        body = to_body(campaign, audience, self.mark(campaign.name))
        known = await self._effects.get(CAMPAIGN, campaign.name)
        since = int(known.fields.get("since", 0)) if known else round(self._caller.clock.now() * 1000)

        async def make() -> str:
            found = await self.find(campaign.name, pages=FRESH_PAGES)
            try:
                return str(found or (await self._caller.call("campaigns.create", body=body)).content["id"])
            except UnavailableError as error:
                error.hint = "Run the same command again: it looks for the draft before it makes one."
                raise

        async def look() -> str | None:
            found = await self.find(campaign.name, since=since)
            return None if found is None else str(found)

        receipt = await self._effects.once(CAMPAIGN, campaign.name, make, look, {"since": since})
        return int(receipt), known is None or known.state != "confirmed"

    async def find(self, name: str, *, pages: int | None = None, since: int | None = None) -> int | None:
        """Look for the campaign that carries the mark of a name, newest first.

        Stops after `pages`, or where campaigns are older than `since` (milliseconds since 1970).
        """
        mark = self.mark(name)
        async for shown in self.newest(pages=pages):
            if mark in shown.tag.split():
                return shown.id
            created = read_time(shown.created_at)
            if since is not None and created is not None and created < since - CLOCK_MARGIN_MS:
                return None
        return None

    async def newest(self, *, pages: int | None = None) -> AsyncIterator[Shown]:
        """Yield campaigns without their HTML, newest first."""
        page = 0
        while pages is None or page < pages:
            query: dict[str, str | int] = {"limit": MOST_PER_PAGE, "offset": page * MOST_PER_PAGE, "sort": "desc"}
            query["excludeHtmlContent"] = "true"
            reply = await self._caller.call("campaigns.list", query=query)
            rows = reply.content["campaigns"]
            for row in rows:
                yield read_shown(row)
            if len(rows) < MOST_PER_PAGE:
                return
            page += 1

    async def read(self, number: int) -> Shown:
        """Read one campaign; raises `InputError` (`campaign.unknown`) when the account has none of this id."""
        try:
            reply = await self._caller.call("campaigns.get", path={"id": number}, interactive=True)
        except RejectedError as error:
            if error.code != "brevo.not-found":
                raise
            raise InputError(
                f"the account {self._account.name or self._account.id} has no campaign {number}",
                code="campaign.unknown",
                hint="`penstock campaigns list` shows what there is.",
            ) from error
        return read_shown(reply.content)

    async def update(self, number: int, campaign: Campaign, audience: Audience) -> None:
        """Make a draft say what the campaign says."""
        body = to_body(campaign, audience, self.mark(campaign.name))
        await self._caller.call("campaigns.update", path={"id": number}, body=body, interactive=True)

    async def forget(self, name: str) -> None:
        """Forget a draft that somebody deleted at Brevo, so that it can be made again."""
        await self._effects.forget(CAMPAIGN, name)

    async def schedule(self, number: int, at: float) -> None:
        """Have a campaign sent at a moment, in Unix seconds; once more with the same moment changes nothing."""
        body = {"scheduledAt": format_time(round(at * 1000))}
        await self._caller.call("campaigns.update", path={"id": number}, body=body, interactive=True)

    async def unschedule(self, number: int) -> None:
        """Make a scheduled campaign a draft again."""
        await self._caller.call("campaigns.status", path={"id": number}, body={"status": "draft"}, interactive=True)

    async def send(self, number: int) -> None:
        """Send a campaign now, once. Without an answer the status tells whether it was; it is never repeated by itself.

        Raises what Brevo answers, `brevo.no-credit` among others.
        """

        async def make() -> str:
            await self._caller.call("campaigns.send", path={"id": number}, interactive=True)
            return str(number)

        async def look() -> str | None:
            return None if (await self.read(number)).status in OPEN_STATES else str(number)

        await self._effects.once(SENDING, str(number), make, look, {"campaign": number})
