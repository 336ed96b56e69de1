"""The desk of campaigns: what can be done with them, and in which order.

campaigns = await open_campaigns(workspace.store, workspace.clock, workspace.vendors)
drafted = await campaigns.draft(read_campaign(Path("campaign.yaml"), to_html))
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import FixError, InputError, UnavailableError
from penstock.base.types import Finding
from penstock.campaigns.judge import (
    check_credit,
    check_recipients,
    check_sender,
    check_test,
    checks_failed,
    hold_to_own_draft,
    not_a_draft,
    state_of,
)
from penstock.campaigns.kept import Drafted, KeptCampaigns, Listed, Results, Review
from penstock.campaigns.pictures import make_publish
from penstock.campaigns.pieces import HeldPieces
from penstock.campaigns.proof import compare
from penstock.data.brevo_campaign_file import CampaignFile
from penstock.data.brevo_campaigns import (
    CAMPAIGN,
    OPEN_STATES,
    Audience,
    BrevoCampaigns,
    Campaign,
    Shown,
    to_body,
)
from penstock.data.brevo_checks import check_mail, mail_of, mail_shown, preview
from penstock.data.brevo_contacts import Account, read_account
from penstock.data.brevo_images import Gallery, Host, Publish, fit_picture, place_pictures
from penstock.data.brevo_recipients import Headcount, count_recipients, resolve, sample_recipients
from penstock.data.brevo_results import merge_counts, read_test, read_totals
from penstock.data.brevo_schema import read_attributes
from penstock.data.brevo_targets import Target, get_contact
from penstock.data.brevo_templates import BrevoTemplates
from penstock.runtime.barred import Barred
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects
from penstock.runtime.store import Store
from penstock.vendors import Vendors

LOOK_AGAIN_SECONDS = 5.0
"""After a sending without an answer, so long until the status is asked."""
LONGEST_NUMBER = 15
"""Digits of an id; what has more is a name."""
_PLACE = "https://preview.example/picture.jpg"


async def open_campaigns(store: Store, clock: Clock, vendors: Vendors, connection: str = "brevo") -> Campaigns:
    """Open the campaigns of the account behind a connection; raises `AccessError` when the key is refused."""
    caller = vendors.open_brevo(connection)
    account = await read_account(caller)
    return Campaigns(store, clock, caller, account, make_publish(vendors), local=vendors.is_sandbox)


class Campaigns:
    """The campaigns of one Brevo account. Drafting is free; approving and sending are for a person to do."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        caller: BrevoCaller,
        account: Account,
        publish: Publish,
        *,
        local: bool = False,
    ) -> None:
        """Use `publish` to put pictures where Brevo can fetch them; `local` allows links to this machine (sandbox)."""
        effects = Effects(store, clock, f"brevo:{account.id}")
        self.account = account
        self._clock = clock
        self._caller = caller
        self._effects = effects
        self._vendor = BrevoCampaigns(caller, account, effects)
        self._templates = BrevoTemplates(caller, account, effects)
        self._gallery = Gallery(caller, effects, publish)
        self._kept = KeptCampaigns(store, account.id)
        self._pieces = HeldPieces(store, clock, account.id)
        self._barred = Barred(store)
        self._local = local

    async def check(self, file: CampaignFile) -> list[Finding]:
        """Check what a file says before anything is written; its pictures are made to fit, not hosted."""

        async def host(content: bytes, name: str) -> str:
            fit_picture(content, name)
            return _PLACE

        findings = await self._check_content(await self._with_pictures(file, host))
        return [*findings, *await self._pieces.check(file)]

    async def draft(self, file: CampaignFile, *, replace: bool = False) -> Drafted:
        """Make the draft or template of a file, or bring the one of that name up to date; `failed` writes nothing.

        Raises `FixError` when it is sent or scheduled already (`campaign.not-a-draft`), or when somebody edited it at
        Brevo since (`campaign.edited`), unless `replace` is set.
        """
        findings = await self.check(file)
        name = file.campaign.name
        if any(one.verdict == "fail" for one in findings):
            return Drafted(file.kind, 0, name, "failed", findings)
        campaign = await self._with_pictures(file, self._gallery.host)
        if file.kind == "template":
            return await self._draft_template(campaign, findings)
        number, done = await self._draft(campaign, replace)
        await self._pieces.link(number, file)
        return Drafted("campaign", number, name, done, findings)

    async def _draft_template(self, template: Campaign, findings: list[Finding]) -> Drafted:
        number, done = await self._templates.draft(template)
        shown = await self._templates.preview(number, params=template.params)
        findings = [*findings, Finding("Brevo's preview", "ok", f"subject: {shown['subject']}")]
        return Drafted("template", number, template.name, done, findings)

    async def _with_pictures(self, file: CampaignFile, host: Host) -> Campaign:
        html = await place_pictures(file.campaign.html, file.folder, host)
        return msgspec.structs.replace(file.campaign, html=html)

    async def _check_content(self, campaign: Campaign) -> list[Finding]:
        audience = await resolve(self._caller, campaign.recipients)
        samples = await sample_recipients(self._caller, self.account, audience)
        findings = check_mail(mail_of(campaign), await self._attributes(), samples, local=self._local)
        return [*findings, await check_sender(self._caller, campaign.sender.email, campaign.sender.id)]

    async def _draft(
        self, campaign: Campaign, replace: bool
    ) -> tuple[int, Literal["made", "updated", "unchanged", "failed"]]:
        audience = await resolve(self._caller, campaign.recipients)
        number, is_new = await self._vendor.draft(campaign, audience)
        try:
            shown = await self._vendor.read(number)
        except InputError:  # somebody deleted it at Brevo
            await self._vendor.forget(campaign.name)
            number, is_new = await self._vendor.draft(campaign, audience)
            shown = await self._vendor.read(number)
        if shown.status not in OPEN_STATES:
            raise not_a_draft(shown)
        kept, body = await self._kept.get(number), _hash_body(campaign, audience)
        is_written = kept is not None and bool(kept.fingerprint)  # else a writing was cut off
        is_edited = kept is not None and is_written and kept.fingerprint != shown.fingerprint()
        if kept is not None and is_written and not is_edited and kept.body == body:
            return number, "unchanged"
        if is_edited and not replace:
            raise FixError(
                f"the draft {number} was edited at Brevo since it was written",
                code="campaign.edited",
                hint="Take the edits over into the file and add --replace, or give the campaign another name.",
            )
        if kept is not None or not is_new:
            await self._kept.keep(number, campaign, body, None, self._clock.now())
            await self._vendor.update(number, campaign, audience)
            shown = await self._vendor.read(number)
        await self._kept.keep(number, campaign, body, shown, self._clock.now())
        return number, "made" if is_new else "updated"

    async def newest(self, limit: int = 100) -> list[Listed]:
        """List the newest campaigns of the account, own ones and others."""
        own = await self._kept.all()
        found: list[Listed] = []
        async for shown in self._vendor.newest(pages=-(-limit // 100)):
            kept = own.get(shown.id)
            state = state_of(shown, kept, shown.modified_at)
            found.append(Listed(shown.id, shown.name, state, shown.lines, kept is not None))
        return found[:limit]

    async def show(self, which: str) -> Review:
        """Return a campaign, by name or id, as it is at Brevo now: recipients counted afresh, all checks made."""
        number = await self._number(which)
        kept = await self._kept.get(number)
        params = msgspec.json.decode(kept.params) if kept else {}
        headcount = await self._count((await self._vendor.read(number)).audience)
        shown = await self._vendor.read(number)  # after the count, which takes its time
        findings = await self._check_shown(shown, params, headcount)
        return Review(
            number=number,
            name=shown.name,
            state=state_of(shown, kept, shown.fingerprint()),
            subjects=shown.lines,
            preview_text=shown.preview_text,
            sender=str(shown.sender.get("email") or shown.sender.get("id") or ""),
            recipients=headcount,
            findings=findings,
            fingerprint=shown.fingerprint(),
            modified=shown.modified_at,
            is_own=kept is not None,
            approved_by=kept.approved_by if kept else "",
            approved_at=kept.approved_at if kept else 0.0,
            assisted_by=kept.assisted if kept else "",
            scheduled_at=shown.scheduled_at or "",
            sent_at=shown.sent_date or "",
        )

    async def preview(self, which: str, email: str = "") -> dict[str, str]:
        """Return every text of a campaign as a recipient gets it: the one of an address, else the first."""
        number = await self._number(which)
        shown, kept = await self._vendor.read(number), await self._kept.get(number)
        if email:
            contact = await get_contact(self._caller, Target("email_id", email))
        else:
            contact = next(iter(await sample_recipients(self._caller, self.account, shown.audience)), {})
        if contact is None:
            raise InputError(
                f"the account has no contact {email}",
                code="campaign.no-such-contact",
                hint="Name one that Brevo has; without a name the first recipient is taken.",
            )
        return preview(mail_shown(shown, msgspec.json.decode(kept.params) if kept else {}), contact)

    async def _check_shown(self, shown: Shown, params: dict[str, Any], headcount: Headcount) -> list[Finding]:
        mail, attributes = mail_shown(shown, params), await self._attributes()
        return [
            *check_mail(mail, attributes, headcount.samples, local=self._local),
            await check_sender(self._caller, str(shown.sender.get("email") or ""), shown.sender.get("id")),
            check_recipients(shown, headcount),
            *check_test(shown, headcount),
            *await self._pieces.check_kept(shown.id),
            *(await check_credit(self._caller, headcount) if shown.status in OPEN_STATES else []),
        ]

    async def approve(self, which: str, by: str, seen: str = "") -> Review:
        """Note that a person approves a draft as it is now; any later edit, here or at Brevo, ends that.

        `seen` is the fingerprint of what the person looked at. Raises `FixError` when it is no longer that
        (`campaign.edited`), when a check fails (`campaign.checks-failed`), or when it is no draft of our own.
        """
        review = await self.show(which)
        hold_to_own_draft(review)
        if seen and seen != review.fingerprint:
            raise FixError(
                f"the draft {review.number} was edited while you looked at it",
                code="campaign.edited",
                hint=f"Look at it again: penstock campaigns show {review.number}",
            )
        if review.failures:
            raise checks_failed(review)
        at = self._clock.now()
        await self._kept.approve(review, by, at)
        await self._pieces.approve(review.number, by)
        return msgspec.structs.replace(review, state="approved", approved_by=by, approved_at=at)

    async def send(self, which: str, *, confirm_id: int, confirm_recipients: int) -> Review:
        """Send an approved draft now. Id and number of recipients must be typed and are held against a fresh count.

        Raises `FixError` for whatever does not agree, and `UnavailableError` when nobody knows whether it was sent:
        the status is asked first, and nothing is repeated by itself.
        """
        review = await self._confirm(which, confirm_id, confirm_recipients)
        try:
            await self._vendor.send(review.number)
        except UnavailableError as error:
            if not error.sent:
                raise
            await self._clock.sleep(LOOK_AGAIN_SECONDS)
            if (await self._vendor.read(review.number)).status in OPEN_STATES:
                error.hint = "Brevo still calls it a draft. Look at `penstock campaigns show`, then send it again."
                raise
            await self._vendor.send(review.number)  # is known to be done now, so this only notes it
        return msgspec.structs.replace(review, state="sent")

    async def schedule(self, which: str, at: float, *, confirm_id: int, confirm_recipients: int) -> Review:
        """Have an approved draft sent at a moment, in Unix seconds; the same rules as `send`."""
        if at <= self._clock.now():
            raise InputError("the moment lies in the past", code="campaign.past", hint="Give a later one, or send now.")
        review = await self._confirm(which, confirm_id, confirm_recipients)
        await self._vendor.schedule(review.number, at)
        return msgspec.structs.replace(review, state="scheduled")

    async def withdraw(self, which: str) -> Shown:
        """Make a scheduled campaign of our own a draft again; it keeps its approval while nobody edits it."""
        number = await self._number(which)
        shown = await self._vendor.read(number)
        if await self._kept.get(number) is None or shown.status not in ("queued", "suspended"):
            raise not_a_draft(shown)
        await self._vendor.unschedule(number)
        return await self._vendor.read(number)

    async def _confirm(self, which: str, confirm_id: int, confirm_recipients: int) -> Review:
        number = await self._number(which)
        if confirm_id != number:
            raise FixError(
                f"{which!r} is the campaign {number}, not {confirm_id}",
                code="campaign.not-confirmed",
                hint="Look at it with `penstock campaigns show`, then type its id.",
            )
        review = await self.show(which)
        hold_to_own_draft(review)
        if review.state != "approved":
            edited = " any more: it was edited since" if review.approved_by else ""
            raise FixError(
                f"the campaign {number} is not approved{edited}",
                code="campaign.not-approved",
                hint=f"Look at it, then: penstock campaigns approve {number}",
            )
        if review.recipients.reached != confirm_recipients:
            raise FixError(
                f"the campaign {number} would reach {review.recipients.reached:,} people now, "
                f"not {confirm_recipients:,}",
                code="campaign.not-confirmed",
                hint="Look why with `penstock campaigns show`, then type the number that is meant.",
            )
        if review.failures:
            raise checks_failed(review)
        return review

    async def results(self, which: str) -> Results:
        """Read what a campaign came to, keep it, and return the larger of what was kept and what Brevo says."""
        number = await self._number(which)
        shown = await self._vendor.read(number)
        totals = await read_totals(self._caller, number, " / ".join(shown.lines))
        winner, now = "", [totals]
        if shown.ab_testing:
            test = await read_test(self._caller, shown, totals)
            winner, now = test.winner, [totals, *test.versions]
        versions = merge_counts(await self._kept.results(number), now)
        await self._kept.keep_results(number, versions, self._clock.now())
        arms = [one for one in versions if one.version]
        differences = compare(*arms) if len(arms) == 2 else []
        return Results(number, shown.name, shown.status, winner, versions, differences, self._clock.now())

    async def _number(self, which: str) -> int:
        """Return the id of a campaign that is named by its id or, when it is our own, by its name."""
        if which.isdecimal() and len(which) <= LONGEST_NUMBER:
            return int(which)
        known = await self._effects.get(CAMPAIGN, which)
        if known is not None and known.receipt:
            return int(known.receipt)
        raise InputError(
            f"no campaign was drafted here under the name {which!r}",
            code="campaign.unknown",
            hint="`penstock campaigns list` shows names and ids.",
        )

    async def _count(self, audience: Audience) -> Headcount:
        return await count_recipients(self._caller, self.account, audience, self._barred.find)

    async def _attributes(self) -> set[str]:
        reply = await self._caller.call("attributes.list", interactive=True)
        return set(read_attributes(reply.content))


def _hash_body(campaign: Campaign, audience: Audience) -> bytes:
    body = to_body(campaign, audience, "")
    return hashlib.blake2b(msgspec.json.encode(body, order="sorted"), digest_size=16).digest()
