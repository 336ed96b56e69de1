"""Campaigns, A/B tests, templates, previews and images of the emulated Brevo."""

from __future__ import annotations

import json

import pytest
from brevo_emulator_calls import Calls
from brevo_hooked import Hooked

from penstock.sandbox.brevo_people import add_segment, leave_list, opt_out
from penstock.sandbox.brevo_wire import format_time

HTML = "<p>Hello {{ contact.FIRSTNAME|default:'friend' }}</p>{{ unsubscribe }}"
DRAFT = {"name": "Autumn", "subject": "Hi", "sender": {"email": "shop@x.org", "name": "Shop"}, "htmlContent": HTML}
TEST = {"abTesting": True, "subjectA": "One", "subjectB": "Two", "splitRule": 50}


@pytest.fixture
def brevo() -> Calls:
    return Calls(organization="campaigns")


def fill(brevo, count=100):
    made = brevo.state.add_list("news").id
    for number in range(count):
        brevo.state.add_contact(f"c{number}@x.org", lists=[made])
    return made


async def draft(brevo, **changes):
    got = await brevo("POST", "emailCampaigns", {**DRAFT, **changes})
    assert got.status == 201, got.raw
    return got.json["id"]


async def show(brevo, number, **query):
    return (await brevo("GET", f"emailCampaigns/{number}", query=query)).json


async def test_a_campaign_is_a_draft_and_the_same_request_twice_makes_two(brevo):
    assert [await draft(brevo), await draft(brevo, previewText="Look", tag="penstock")] == [1, 2]
    shown = await show(brevo, 2)
    assert (shown["status"], shown["subject"], shown["previewText"], shown["tag"]) == (
        "draft",
        "Hi",
        "Look",
        "penstock",
    )
    assert shown["sender"]["email"] == "shop@x.org"
    listed = (await brevo("GET", "emailCampaigns", query={"status": "draft", "excludeHtmlContent": "true"})).json
    assert (listed["count"], [one["id"] for one in listed["campaigns"]]) == (2, [2, 1])
    assert listed["campaigns"][0]["htmlContent"] == ""


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"sender": None},
        {"sender": {"email": "a@x.org", "id": 1}},
        {"sender": {"id": 99}},
        {"subject": None},
        {"htmlContent": "<p>short"},
        {"htmlContent": "x" * 1024 * 1024},
        {"htmlUrl": "https://pages.example/a.html"},
        {"templateId": 9, "htmlContent": None},
        {"recipients": {"listIds": [9]}},
        {"recipients": {"segmentIds": [9]}},
        {"scheduledAt": "2020-01-01T00:00:00Z", "recipients": {"listIds": [1]}},
        {"scheduledAt": "2030-01-01T00:00:00Z"},
        {**TEST, "subjectB": None},
        {**TEST, "subjectB": "One"},
        {**TEST, "sendAtBestTime": True},
        {**TEST, "splitRule": 51},
        {**TEST, "splitRule": 20},
        {**TEST, "splitRule": 20, "winnerCriteria": "open", "winnerDelay": 169},
        {**TEST, "splitRule": None, "recipients": {"listIds": [1]}},
    ],
)
async def test_a_campaign_that_cannot_be_is_refused(brevo, change):
    brevo.state.add_list("news")
    assert (await brevo("POST", "emailCampaigns", {**DRAFT, **change})).status == 400
    assert not brevo.state.campaigns


async def test_a_sent_campaign_reaches_those_who_may_be_reached_and_can_never_be_sent_again(brevo):
    news, out = fill(brevo, 10), brevo.state.add_list("out").id
    contacts = brevo.state.contacts
    opt_out(brevo.state, contacts[1])
    leave_list(brevo.state, contacts[2], news)
    brevo.state.join(contacts[3], out)
    number = await draft(brevo, recipients={"listIds": [news], "exclusionListIds": [out]})
    assert (await brevo("POST", f"emailCampaigns/{number}/sendNow")).status == 204
    assert (await show(brevo, number))["status"] == "in_process"
    again = await brevo("POST", f"emailCampaigns/{number}/sendNow")
    assert (again.status, again.json["code"]) == (400, "campaign_processing")
    brevo.clock.advance(61)
    shown = await show(brevo, number)
    assert (shown["status"], shown["statistics"]["globalStats"]["sent"]) == ("sent", 7)
    assert 0 < shown["statistics"]["globalStats"]["uniqueViews"] <= 7
    assert (await brevo("POST", f"emailCampaigns/{number}/sendNow")).json["code"] == "campaign_sent"
    assert (await brevo("PUT", f"emailCampaigns/{number}", {"name": "x"})).json["code"] == "campaign_sent"
    assert brevo.state.account.credits == 293
    assert brevo.world.written["brevo", "campaigns.send"] == 1


async def test_without_credits_or_recipients_nothing_is_sent(brevo):
    news = fill(brevo, 3)
    brevo.state.account.credits = 2
    poor = await draft(brevo, recipients={"listIds": [news]})
    got = await brevo("POST", f"emailCampaigns/{poor}/sendNow")
    assert (got.status, got.json["code"]) == (402, "not_enough_credits")
    alone = await draft(brevo)
    assert (await brevo("POST", f"emailCampaigns/{alone}/sendNow")).json["code"] == "missing_parameter"
    assert {one.status for one in brevo.state.campaigns.values()} == {"draft"}


async def test_a_scheduled_campaign_goes_out_when_it_is_time_and_cannot_be_deleted_before(brevo):
    news = fill(brevo, 3)
    later = format_time(brevo.state.now() + 3_600_000)
    number = await draft(brevo, recipients={"listIds": [news]}, scheduledAt=later)
    shown = await show(brevo, number)
    assert (shown["status"], shown["scheduledAt"]) == ("queued", later)
    assert (await brevo("DELETE", f"emailCampaigns/{number}")).status == 403
    assert (await brevo("PUT", f"emailCampaigns/{number}", {"subject": "New"})).status == 204
    brevo.clock.advance(3_600 + 61)
    assert (await show(brevo, number))["status"] == "sent"


async def test_only_a_hundred_and_fifty_campaigns_are_scheduled_at_once(brevo):
    news = fill(brevo, 1)
    rest = {"recipients": {"listIds": [news]}, "scheduledAt": "2030-01-01T00:00:00Z"}
    for _ in range(150):
        await draft(brevo, **rest)
    assert (await brevo("POST", "emailCampaigns", {**DRAFT, **rest})).json["code"] == "out_of_range"


async def test_an_ab_test_has_two_subjects_and_one_winner_after_its_delay(brevo):
    news = fill(brevo, 200)
    rest = {**TEST, "splitRule": 20, "winnerCriteria": "click", "winnerDelay": 4}
    number = await draft(brevo, recipients={"listIds": [news]}, **rest)
    path = f"emailCampaigns/{number}/abTestCampaignResult"
    assert (await brevo("GET", path)).json == {"winningVersion": "notAvailable"}
    assert "subject" not in await show(brevo, number)
    await brevo("POST", f"emailCampaigns/{number}/sendNow")
    brevo.clock.advance(61)
    assert (await brevo("GET", path)).json == {"winningVersion": "pending"}
    assert (await show(brevo, number))["statistics"]["globalStats"]["sent"] == 80
    brevo.clock.advance(4 * 3_600)
    result = (await brevo("GET", path)).json
    assert result["winningVersion"] in ("A", "B", "tie")
    assert result["winningCriteria"] == "Click"
    assert result["winningSubjectLine"] in ("One", "Two")
    shown = await show(brevo, number)
    assert (shown["status"], shown["statistics"]["globalStats"]["sent"]) == ("sent", 200)
    sent = {version: int(result["statistics"]["openers"][f"Version {version}"]) for version in "AB"}
    assert min(sent.values()) > 0


async def test_a_test_over_everybody_is_decided_when_it_is_sent(brevo):
    news = fill(brevo, 100)
    number = await draft(brevo, recipients={"listIds": [news]}, **TEST)
    await brevo("POST", f"emailCampaigns/{number}/sendNow")
    brevo.clock.advance(61)
    result = (await brevo("GET", f"emailCampaigns/{number}/abTestCampaignResult")).json
    assert result["winningVersion"] in ("A", "B")
    plain = await draft(brevo)
    assert (await brevo("GET", f"emailCampaigns/{plain}/abTestCampaignResult")).status == 400


async def test_statistics_of_the_list_end_after_half_a_year_and_the_window_is_for_sent_ones(brevo):
    news = fill(brevo, 5)
    number = await draft(brevo, recipients={"listIds": [news]})
    await draft(brevo, name="unsent")
    await brevo("POST", f"emailCampaigns/{number}/sendNow")
    start = format_time(brevo.state.now())
    brevo.clock.advance(120)
    end = format_time(brevo.state.now())
    window = {"startDate": start, "endDate": end, "statistics": "globalStats"}
    (one,) = (await brevo("GET", "emailCampaigns", query=window)).json["campaigns"]
    assert one["statistics"]["globalStats"]["sent"] == 5
    brevo.clock.advance(200 * 86_400)
    (one,) = (await brevo("GET", "emailCampaigns", query=window)).json["campaigns"]
    assert one["statistics"]["globalStats"]["sent"] == 0
    for query in (
        {"startDate": start},
        {**window, "status": "draft"},
        {"startDate": start, "endDate": "2099-01-01T00:00:00Z"},
        {"startDate": "2020-01-01T00:00:00Z", "endDate": end},
        {"limit": 101},
    ):
        assert (await brevo("GET", "emailCampaigns", query=query)).status == 400, query


async def test_statuses_move_only_where_they_can(brevo):
    news = fill(brevo, 1)
    number = await draft(brevo, recipients={"listIds": [news]}, scheduledAt="2030-01-01T00:00:00Z")
    path = f"emailCampaigns/{number}/status"
    for status, expected in [("archive", 400), ("suspended", 204), ("queued", 204), ("draft", 204), ("sold", 400)]:
        assert (await brevo("PUT", path, {"status": status})).status == expected, status
    assert (await brevo("PUT", path, {"status": "replicate"})).status == 204
    assert (await show(brevo, 2))["name"] == "Copy of Autumn"
    assert (await brevo("DELETE", f"emailCampaigns/{number}")).status == 204


async def test_fifty_test_emails_a_day_are_the_most(brevo):
    number = await draft(brevo)
    path = f"emailCampaigns/{number}/sendTest"
    assert (await brevo("POST", path, {"emailTo": [f"t{one}@x.org" for one in range(49)]})).status == 204
    assert (await brevo("POST", path, {})).status == 204
    assert (await brevo("POST", path, {"emailTo": ["t@x.org"]})).status == 400
    brevo.clock.advance(86_400)
    assert (await brevo("POST", path, {"emailTo": ["t@x.org"]})).status == 204
    assert (await show(brevo, number))["testSent"] is True


async def test_openers_are_exported_and_shown_per_contact_and_told_by_webhook():
    brevo = Hooked()
    await brevo.hook("opened", "click", "delivered")
    news = fill(brevo, 30)
    number = await draft(brevo, recipients={"listIds": [news]})
    await brevo("POST", f"emailCampaigns/{number}/sendNow")
    bodies = await brevo.wait(120)
    openers = {body["email"] for body in bodies if body["event"] == "opened"}
    assert openers
    assert {(body["camp_id"], body["campaign name"]) for body in bodies} == {(number, "Autumn")}
    assert all(body["URL"] for body in bodies if body["event"] == "click")
    got = await brevo("POST", f"emailCampaigns/{number}/exportRecipients", {"recipientsType": "openers"})
    link = (await brevo.finish(got.json["processId"]))["export_url"]
    file = await brevo("GET", link.removeprefix("https://api.brevo.com/v3/"), key=None)
    assert set(file.raw.decode().split()) == {"EMAIL", *openers}
    stats = (await brevo("GET", f"contacts/{min(openers)}/campaignStats")).json
    assert stats["opened"][0]["campaignId"] == number
    assert (await brevo.contact(min(openers)))["statistics"]["delivered"]
    brevo.clock.advance(91 * 86_400)
    assert (await brevo("GET", f"contacts/{min(openers)}/campaignStats")).json == {}
    old = {"startDate": "2026-11-18", "endDate": "2026-11-19"}
    assert (await brevo("GET", f"contacts/{min(openers)}/campaignStats", query=old)).json["opened"]
    wide = {"startDate": "2026-01-01", "endDate": "2026-11-19"}
    assert (await brevo("GET", f"contacts/{min(openers)}/campaignStats", query=wide)).status == 400


async def test_a_segment_gets_a_campaign_too(brevo):
    for name in ("Ann", "Bob"):
        brevo.state.add_contact(f"{name}@x.org", {"FIRSTNAME": name})
    segment = add_segment(brevo.state, "Anns", "FIRSTNAME", "Ann").id
    number = await draft(brevo, recipients={"segmentIds": [segment]})
    await brevo("POST", f"emailCampaigns/{number}/sendNow")
    brevo.clock.advance(61)
    assert (await show(brevo, number))["statistics"]["globalStats"]["sent"] == 1


async def template(brevo, **changes):
    body = {"templateName": "T", "subject": "Hi {{ contact.FIRSTNAME }}", "sender": {"id": 1}, "htmlContent": HTML}
    got = await brevo("POST", "smtp/templates", {**body, **changes})
    assert got.status == 201, got.raw
    return got.json["id"]


async def preview(brevo, number, **rest):
    return (await brevo("POST", "smtp/template/preview", {"templateId": number, **rest})).json


async def test_templates_are_inactive_until_told_otherwise_and_only_inactive_ones_can_go(brevo):
    number = await template(brevo)
    assert (await brevo("GET", f"smtp/templates/{number}")).json["isActive"] is False
    assert (await brevo("PUT", f"smtp/templates/{number}", {"isActive": True, "tag": "t"})).status == 204
    active = (await brevo("GET", "smtp/templates", query={"templateStatus": "true"})).json
    assert (active["count"], active["templates"][0]["tag"]) == (1, "t")
    assert (await brevo("DELETE", f"smtp/templates/{number}")).status == 400
    await brevo("PUT", f"smtp/templates/{number}", {"isActive": False})
    assert (await brevo("DELETE", f"smtp/templates/{number}")).status == 204
    assert (await brevo("GET", f"smtp/templates/{number}")).status == 404
    assert (await brevo("POST", "smtp/templates", {"templateName": "T"})).json["code"] == "missing_parameter"


async def test_a_preview_fills_in_a_contact_or_parameters(brevo):
    brevo.state.add_contact("ann@x.org", {"FIRSTNAME": "Ann"})
    brevo.state.add_contact("bob@x.org")
    loop = "{% for one in params.items %}[{{ one|upper }}]{% endfor %}{% if contact.LASTNAME %}!{% endif %}"
    number = await template(brevo, htmlContent=HTML + loop)
    ann = await preview(brevo, number, email="ann@x.org", params={"items": ["a", "b"]})
    assert (ann["subject"], ann["fromEmail"]) == ("Hi Ann", "owner@sandbox.example")
    assert ann["html"].startswith("<p>Hello Ann</p>")
    assert ann["html"].endswith("[A][B]")
    assert "Hello friend" in (await preview(brevo, number, email="bob@x.org"))["html"]
    assert (await brevo("POST", "smtp/template/preview", {"templateId": number})).status == 400
    assert (await brevo("POST", "smtp/template/preview", {"templateId": number, "email": "z@x.org"})).status == 404


async def test_the_old_language_knows_no_parameters_and_one_old_placeholder_makes_all_of_it_old(brevo):
    brevo.state.add_contact("ann@x.org", {"FIRSTNAME": "Ann"})
    old = await template(brevo, subject="Hi {FIRSTNAME}", htmlContent="<p>{{ params.x }} {LASTNAME}.</p>")
    shown = await preview(brevo, old, email="ann@x.org", params={"x": "kept out"})
    assert (shown["subject"], shown["html"]) == ("Hi Ann", "<p>{{ params.x }} .</p>")
    styled = await template(brevo, htmlContent="<style>a{color}</style><p>{{ params.x }}</p>")
    assert (await preview(brevo, styled, params={"x": 1}))["html"].endswith("<p>1</p>")


async def test_a_template_that_does_not_parse_has_no_preview(brevo):
    number = await template(brevo, htmlContent="<p>{% if contact.FIRSTNAME %}</p>")
    got = await brevo("POST", "smtp/template/preview", {"templateId": number, "params": {}})
    assert (got.status, "cannot be rendered" in got.json["message"]) == (400, True)


async def test_parameters_of_a_campaign_count_only_in_the_new_language(brevo):
    new = await draft(brevo, params={"x": 1})
    old = await draft(brevo, params={"x": 1}, subject="Hi {FIRSTNAME}")
    fields = {number: one.fields for number, one in brevo.state.campaigns.items()}
    assert ("params" in fields[new], "params" in fields[old]) == (True, False)
    made = await template(brevo)
    got = await brevo("POST", "emailCampaigns", {**DRAFT, "htmlContent": None, "templateId": made})
    assert (await show(brevo, got.json["id"]))["htmlContent"] == HTML


async def test_the_gallery_takes_addresses_of_small_pictures_and_shows_them(brevo):
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    brevo.state.hosted.update(
        {
            "https://cdn.example/a.png": png,
            "https://cdn.example/big.png": png + bytes(2 * 1024 * 1024),
            "https://cdn.example/a.webp": b"RIFF" + bytes(10),
            "https://cdn.example/lie.png": b"<html>",
        }
    )
    got = await brevo("POST", "emailCampaigns/images", {"imageUrl": "https://cdn.example/a.png"})
    assert got.status == 201
    shown = await brevo("GET", got.json["url"].removeprefix("https://api.brevo.com/v3/"), key=None)
    assert (shown.raw, shown.headers["content-type"]) == (png, "image/png")
    again = await brevo("POST", "emailCampaigns/images", {"imageUrl": "https://cdn.example/a.png"})
    assert again.json["url"] != got.json["url"]
    for name in ("big.png", "a.webp", "lie.png", "nowhere.png"):
        refused = await brevo("POST", "emailCampaigns/images", {"imageUrl": f"https://cdn.example/{name}"})
        assert refused.status == 400, name
    assert (await brevo("GET", "sandbox-images/none.png", key=None)).status == 404
    assert json.loads(refused.raw)["code"] == "invalid_parameter"


async def test_a_scheduled_campaign_without_credits_is_suspended_and_embedded_pictures_have_a_limit(brevo):
    news = fill(brevo, 3)
    later = format_time(brevo.state.now() + 60_000)
    number = await draft(brevo, recipients={"listIds": [news]}, scheduledAt=later)
    brevo.state.account.credits = 0
    brevo.clock.advance(61)
    assert (await show(brevo, number))["status"] == "suspended"
    for one in range(5_001):
        brevo.state.add_contact(f"many{one}@x.org", lists=[news])
    brevo.state.account.credits = 10_000
    heavy = await draft(brevo, recipients={"listIds": [news]}, inlineImageActivation=True)
    assert (await brevo("POST", f"emailCampaigns/{heavy}/sendNow")).status == 400


async def test_pages_that_the_sandbox_can_reach_are_taken_by_their_address(brevo):
    brevo.state.hosted["https://pages.example/a.html"] = HTML.encode()
    number = await template(brevo, htmlContent=None, htmlUrl="https://pages.example/a.html")
    assert (await brevo("GET", f"smtp/templates/{number}")).json["htmlContent"] == HTML
    both = {"htmlContent": HTML, "htmlUrl": "https://pages.example/a.html"}
    assert (await brevo("PUT", f"smtp/templates/{number}", both)).status == 400
    assert (await brevo("POST", f"smtp/templates/{number}/sendTest", {"emailTo": ["a@x.org"]})).status == 204


async def test_a_test_is_decided_although_nobody_asks_and_webhooks_tell_the_rest():
    brevo = Hooked()
    await brevo.hook("delivered")
    news = fill(brevo, 40)
    rest = {**TEST, "splitRule": 25, "winnerCriteria": "open", "winnerDelay": 1}
    number = await draft(brevo, recipients={"listIds": [news]}, **rest)
    later = format_time(brevo.state.now() + 600_000)
    assert (await brevo("PUT", f"emailCampaigns/{number}", {"scheduledAt": later})).status == 204
    assert len(await brevo.wait(700)) == 20
    assert len(await brevo.wait(3_700)) == 40
