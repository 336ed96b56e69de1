"""Email campaigns of the Brevo emulator: drafts, A/B tests, changes, and everything that is not sending."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sandbox.brevo_render import is_new_language
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_templates import SenderGiven, count_test, read_html
from penstock.sandbox.brevo_wire import (
    Answer,
    RefusedError,
    Request,
    cut_page,
    decode,
    format_time,
    invalid,
    to_milliseconds,
)

MAX_CAMPAIGNS = 10_000
MAX_SCHEDULED = 150
MAX_INLINE_RECIPIENTS = 5_000
_TWO_YEARS = 2 * 366 * 86_400_000
_HALF_YEAR = 183 * 86_400_000
_STATUSES = {"inProcess": "in_process", "inReview": "in_review"}
_SHOWN = (
    "subject",
    "subjectA",
    "subjectB",
    "splitRule",
    "winnerCriteria",
    "winnerDelay",
    "previewText",
    "sendAtBestTime",
)
OPEN = ("draft", "queued", "suspended")


class Campaign(msgspec.Struct):
    """One campaign; times are milliseconds. `tally` counts what happened, under a kind or `A.` or `B.` and a kind."""

    id: int
    status: str
    created: int
    modified: int
    fields: dict[str, Any]
    html: str
    scheduled: int | None = None
    sent: int | None = None
    decided: int | None = None
    test_sent: bool = False
    waiting: list[int] = []
    tally: dict[str, int] = {}

    def is_test(self) -> bool:
        """Say whether it is an A/B test."""
        return bool(self.fields.get("abTesting"))


class _Recipients(msgspec.Struct, rename="camel", omit_defaults=True):
    list_ids: list[int] = []
    segment_ids: list[int] = []
    exclusion_list_ids: list[int] = []
    exclusion_segment_ids: list[int] = []


class _Body(msgspec.Struct, rename="camel", omit_defaults=True):
    name: str | None = None
    sender: SenderGiven | None = None
    subject: str | None = None
    html_content: str | None = None
    html_url: str | None = None
    template_id: int | None = None
    recipients: _Recipients | None = None
    preview_text: str | None = None
    reply_to: str | None = None
    to_field: str | None = None
    tag: str | None = None
    params: dict[str, Any] | None = None
    scheduled_at: str | None = None
    send_at_best_time: bool | None = None
    inline_image_activation: bool | None = None
    mirror_active: bool | None = None
    unsubscription_page_id: str | None = None
    ab_testing: bool | None = None
    subject_a: str | None = None
    subject_b: str | None = None
    split_rule: int | None = None
    winner_criteria: str | None = None
    winner_delay: int | None = None
    utm_campaign: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_content: str | None = None
    utm_term: str | None = None
    header: str | None = None
    footer: str | None = None


def list_campaigns(state: BrevoState, request: Request) -> Answer:
    """GET /emailCampaigns: no filter by modification; statistics only when asked for, and of six months."""
    rows = list(state.campaigns.values())
    wanted = request.text("status")
    if wanted is not None:
        rows = [one for one in rows if one.status == _STATUSES.get(wanted, wanted)]
    if request.text("type") == "trigger":
        rows = []
    if window := _read_window(state, request):
        if wanted not in (None, "sent"):
            raise invalid("startDate and endDate are for sent campaigns only")
        rows = [one for one in rows if one.sent is not None and window[0] <= one.sent <= window[1]]
    page = cut_page(rows, request, default=50, highest=100)
    plain = request.text("excludeHtmlContent") == "true"
    kind = request.text("statistics")
    shown = [show_campaign(state, one, kind, recent=True, plain=plain) for one in page]
    return Answer(200, {"campaigns": shown, "count": len(rows)})


def _read_window(state: BrevoState, request: Request) -> tuple[int, int] | None:
    start, end = request.text("startDate"), request.text("endDate")
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise RefusedError(400, "missing_parameter", "startDate and endDate come together")
    low, high = to_milliseconds(start, "startDate"), to_milliseconds(end, "endDate")
    if high > state.now() or low > high or high - low > _TWO_YEARS:
        raise invalid("the window must lie in the past and be two years at most")
    return low, high


def show_campaign(
    state: BrevoState, one: Campaign, kind: str | None, *, recent: bool = False, plain: bool = False
) -> dict[str, Any]:
    """Return a campaign as the API shows it."""
    given = one.fields
    recipients = given.get("recipients", {})
    sender = given["sender"]
    shown = {
        "id": one.id,
        "name": given["name"],
        "type": "classic",
        "status": one.status,
        "testSent": one.test_sent,
        "header": given.get("header", ""),
        "footer": given.get("footer", ""),
        "htmlContent": "" if plain else one.html,
        "createdAt": format_time(one.created),
        "modifiedAt": format_time(one.modified),
        "sender": sender,
        "replyTo": given.get("replyTo", sender["email"]),
        "toField": given.get("toField", ""),
        "tag": given.get("tag", ""),
        "abTesting": one.is_test(),
        "recipients": {
            "lists": recipients.get("listIds", []),
            "segments": recipients.get("segmentIds", []),
            "exclusionLists": recipients.get("exclusionListIds", []),
            "excludedSegments": recipients.get("exclusionSegmentIds", []),
        },
        "statistics": _statistics(state, one, kind, recent),
    }
    shown.update({name: given[name] for name in _SHOWN if name in given})
    if one.scheduled is not None:
        shown["scheduledAt"] = format_time(one.scheduled)
    if one.sent is not None:
        shown["sentDate"] = format_time(one.sent)
    return shown


def _statistics(state: BrevoState, one: Campaign, kind: str | None, recent: bool) -> dict[str, Any]:
    count = one.tally.get
    stats = {
        "uniqueClicks": count("clicked", 0),
        "clickers": count("clicked", 0),
        "complaints": count("complaint", 0),
        "delivered": count("delivered", 0),
        "sent": count("sent", 0),
        "softBounces": count("softBounce", 0),
        "hardBounces": count("hardBounce", 0),
        "uniqueViews": count("opened", 0),
        "trackableViews": count("opened", 0),
        "viewed": count("opened", 0),
        "estimatedViews": 0,
        "deferred": 0,
        "unsubscriptions": count("unsubscribed", 0),
        "appleMppOpens": 0,
        "opensRate": round(100 * count("opened", 0) / max(1, count("delivered", 0)), 2),
    }
    old = recent and one.sent is not None and one.sent < state.now() - _HALF_YEAR
    nothing = dict.fromkeys(stats, 0)
    lists = one.fields.get("recipients", {}).get("listIds", [])
    filled = kind == "globalStats" and not old
    return {
        "globalStats": stats if filled else nothing,
        "campaignStats": [{"listId": lists[0], **stats}] if lists and one.sent is not None and not old else [],
        "mirrorClick": 0,
        "remaining": len(one.waiting),
        "linksStats": {"https://sandbox.example/": count("clicked", 0)} if kind == "linksStats" and not old else {},
        "statsByDomain": {},
        "statsByDevice": {"desktop": {}, "mobile": {}, "tablet": {}, "unknown": {}},
        "statsByBrowser": {},
    }


def create_campaign(state: BrevoState, request: Request) -> Answer:
    """POST /emailCampaigns: a draft, or queued when it is scheduled; the same one twice makes two."""
    body = decode(request.body, _Body)
    if not body.name or body.sender is None:
        raise RefusedError(400, "missing_parameter", "name and sender are needed")
    if sum(part is not None for part in (body.html_content, body.html_url, body.template_id)) != 1:
        raise invalid("exactly one of htmlContent, htmlUrl and templateId is needed")
    if len(state.campaigns) >= MAX_CAMPAIGNS:
        raise RefusedError(400, "out_of_range", f"the account has {MAX_CAMPAIGNS} campaigns, which is the most")
    made = Campaign(0, "draft", state.now(), state.now(), {}, "")
    _take(state, made, body)
    made.id = state.next_id("campaign")
    state.campaigns[made.id] = made
    state.world.wrote("brevo", "campaigns.create", str(made.id), tuple(made.fields))
    return Answer(201, {"id": made.id})


def update_campaign(state: BrevoState, request: Request) -> Answer:
    """PUT /emailCampaigns/{campaign}: only what is not sent yet."""
    one = find_campaign(state, request)
    body = decode(request.body, _Body)
    if one.status not in OPEN:
        code = "campaign_processing" if one.status == "in_process" else "campaign_sent"
        raise RefusedError(400, code, "only a draft or a scheduled campaign can be updated")
    changed = msgspec.structs.replace(one, fields=dict(one.fields))
    _take(state, changed, body)
    changed.modified = state.now()
    state.campaigns[one.id] = changed
    state.world.wrote("brevo", "campaigns.update", str(one.id), tuple(msgspec.to_builtins(body)))
    return Answer(204)


def _take(state: BrevoState, one: Campaign, body: _Body) -> None:
    given: dict[str, Any] = msgspec.to_builtins(body)
    for name in ("htmlContent", "htmlUrl", "templateId", "scheduledAt"):
        given.pop(name, None)
    if body.sender is not None:
        sender = body.sender.read(state)
        given["sender"] = {"name": sender.name, "email": sender.email, "id": sender.id}
    html = read_html(state, body.html_content, body.html_url)
    if body.template_id is not None:
        if body.template_id not in state.templates:
            raise invalid(f"templateId does not exist: {body.template_id}")
        html = state.templates[body.template_id].html
        given.setdefault("subject", state.templates[body.template_id].subject)
    one.html = html or one.html
    one.fields.update(given)
    _check(state, one)
    if body.scheduled_at is not None:
        _schedule(state, one, body.scheduled_at)
    texts = (str(one.fields.get("subject", "")), one.html, one.fields["sender"]["name"], one.fields.get("toField", ""))
    if not is_new_language(*texts):
        one.fields.pop("params", None)


def _check(state: BrevoState, one: Campaign) -> None:
    given = one.fields
    recipients = given.get("recipients", {})
    state.check_lists([*recipients.get("listIds", []), *recipients.get("exclusionListIds", [])])
    for number in (*recipients.get("segmentIds", []), *recipients.get("exclusionSegmentIds", [])):
        if number not in state.segments:
            raise invalid(f"Segment id does not exist: {number}")
    if one.is_test():
        _check_test(given)
    elif not given.get("subject"):
        raise RefusedError(400, "missing_parameter", "subject is missing")


def _check_test(given: dict[str, Any]) -> None:
    given.pop("subject", None)
    if not given.get("subjectA") or not given.get("subjectB"):
        raise RefusedError(400, "missing_parameter", "subjectA and subjectB are needed")
    if given["subjectA"] == given["subjectB"]:
        raise invalid("subjectA and subjectB must differ")
    if given.get("sendAtBestTime"):
        raise invalid("an A/B test cannot be sent at the best time")
    split = given.get("splitRule")
    if split is None:
        if given.get("recipients"):
            raise RefusedError(400, "missing_parameter", "splitRule is missing")
        return
    if not 1 <= split <= 50:
        raise RefusedError(400, "out_of_range", "splitRule must be from 1 to 50")
    if split < 50 and (given.get("winnerCriteria") not in ("open", "click") or not given.get("winnerDelay")):
        raise RefusedError(400, "missing_parameter", "winnerCriteria and winnerDelay are needed")
    if not 1 <= given.get("winnerDelay", 1) <= 168:
        raise RefusedError(400, "out_of_range", "winnerDelay must be from 1 to 168 hours")


def _schedule(state: BrevoState, one: Campaign, text: str) -> None:
    moment = to_milliseconds(text, "scheduledAt")
    if moment <= state.now():
        raise invalid("scheduledAt must be in the future")
    check_recipients(one)
    waiting = sum(other.status == "queued" and other.id != one.id for other in state.campaigns.values())
    if waiting >= MAX_SCHEDULED:
        raise RefusedError(400, "out_of_range", f"{MAX_SCHEDULED} campaigns are scheduled, which is the most")
    one.scheduled, one.status = moment, "queued"


def check_recipients(one: Campaign) -> None:
    """Raise when nobody was named who gets the campaign."""
    recipients = one.fields.get("recipients", {})
    if not recipients.get("listIds") and not recipients.get("segmentIds"):
        raise RefusedError(400, "missing_parameter", "recipients are missing")


def get_campaign(state: BrevoState, request: Request) -> Answer:
    """GET /emailCampaigns/{campaign}."""
    one = find_campaign(state, request)
    kind = request.text("statistics") or "globalStats"
    plain = request.text("excludeHtmlContent") == "true"
    return Answer(200, show_campaign(state, one, kind, plain=plain))


def delete_campaign(state: BrevoState, request: Request) -> Answer:
    """DELETE /emailCampaigns/{campaign}: not once it is scheduled."""
    one = find_campaign(state, request)
    if one.status in ("queued", "in_process"):
        raise RefusedError(403, "permission_denied", "a scheduled campaign cannot be deleted")
    del state.campaigns[one.id]
    state.world.wrote("brevo", "campaigns.delete", str(one.id), ())
    return Answer(204)


class _Test(msgspec.Struct, rename="camel"):
    email_to: list[str] = []


def send_test(state: BrevoState, request: Request) -> Answer:
    """POST /emailCampaigns/{campaign}/sendTest."""
    one = find_campaign(state, request)
    count_test(state, decode(request.body, _Test).email_to)
    one.test_sent = True
    state.world.wrote("brevo", "campaigns.test", str(one.id), ())
    return Answer(204)


def share(state: BrevoState, request: Request) -> Answer:
    """GET /emailCampaigns/{campaign}/sharedUrl."""
    return Answer(200, {"sharedUrl": f"https://sandbox.example/campaigns/{find_campaign(state, request).id}"})


def find_campaign(state: BrevoState, request: Request) -> Campaign:
    """Return the campaign that a path names; refuses with 404 where there is none."""
    text = request.path["campaign"]
    if not text.isdecimal() or int(text) not in state.campaigns:
        raise RefusedError(404, "document_not_found", "Campaign ID does not exist")
    return state.campaigns[int(text)]
