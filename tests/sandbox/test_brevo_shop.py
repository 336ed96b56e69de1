"""Orders, products, categories, consent groups, segments, exports and double opt-in of the emulated Brevo."""

from __future__ import annotations

import csv
import io

import pytest
from brevo_emulator_calls import Calls

from penstock.sandbox.brevo_people import add_segment, bounce, confirm, leave_list, opt_out, withdraw
from penstock.sandbox.brevo_wire import format_time

ORDER = {
    "id": "o1",
    "createdAt": "2026-11-01T10:00:00Z",
    "updatedAt": "2026-11-01T10:00:00Z",
    "status": "paid",
    "amount": 20.5,
    "products": [{"productId": "p1", "price": 20.5, "quantity": 1}],
    "identifiers": {"email_id": "a@x.org"},
}


@pytest.fixture
def brevo() -> Calls:
    return Calls()


async def read_export(brevo, **body):
    got = await brevo("POST", "contacts/export", body)
    assert got.status == 202, got.raw
    link = (await brevo.finish(got.json["processId"]))["export_url"]
    file = await brevo("GET", link.removeprefix("https://api.brevo.com/v3/"), key=None)
    assert file.headers["content-type"] == "text/csv"
    return list(csv.DictReader(io.StringIO(file.raw.decode()), delimiter=";"))


async def test_the_same_order_again_changes_it_and_there_is_no_currency(brevo):
    brevo.state.add_contact("a@x.org")
    assert (await brevo("POST", "orders/status", ORDER)).status == 204
    brevo.clock.advance(10)
    between = format_time(brevo.state.now() - 5_000)
    assert (await brevo("POST", "orders/status", {**ORDER, "status": "sent"})).status == 204
    listed = (await brevo("GET", "orders", query={"modifiedSince": between})).json
    (order,) = listed["orders"]
    assert (order["status"], order["amount"], order["contact_id"], order["email"]) == ("sent", 20.5, 1, "a@x.org")
    assert "currency" not in order
    assert (await brevo("GET", "orders", query={"createdSince": between})).json["count"] == 0
    assert (await brevo("GET", "orders", query={"limit": 101})).status == 400
    await brevo("POST", "orders/status", {**ORDER, "status": "sent"})
    assert brevo.state.repeats == {"orders.status": 1}


async def test_a_batch_of_orders_becomes_a_process(brevo):
    got = await brevo("POST", "orders/status/batch", {"orders": [ORDER, {**ORDER, "id": "o2"}]})
    assert (got.status, got.json["count"]) == (202, 2)
    assert (await brevo("GET", "orders")).json["count"] == 0
    brevo.clock.advance(60)
    assert (await brevo("GET", "orders")).json["count"] == 2
    for bad in ({"orders": []}, {"orders": [{**ORDER, "createdAt": "soon"}]}, {"orders": [{"id": "o3"}]}):
        assert (await brevo("POST", "orders/status/batch", bad)).status == 400


async def test_products_are_made_once_and_changed_only_when_allowed(brevo):
    assert (await brevo("POST", "products", {"id": "p1"})).json["code"] == "missing_parameter"
    made = await brevo("POST", "products", {"id": "p1", "name": "Shoe", "price": 10, "sku": "s"})
    assert (made.status, made.json) == (201, {"id": "p1"})
    assert (await brevo("POST", "products", {"id": "p1", "name": "Shoe"})).json["code"] == "duplicate_parameter"
    change = {"id": "p1", "name": "Boot", "updateEnabled": True}
    assert (await brevo("POST", "products", change)).status == 204
    shown = (await brevo("GET", "products/p1")).json
    assert (shown["name"], shown["price"], shown["isDeleted"]) == ("Boot", 10, False)
    batch = {"products": [{"id": "p1", "isDeleted": True}, {"id": "p2", "name": "Sock"}], "updateEnabled": True}
    assert (await brevo("POST", "products/batch", batch)).json == {"createdCount": 1, "updatedCount": 1}
    found = (await brevo("GET", "products", query={"ids": ["p2"]})).json
    assert [one["name"] for one in found["products"]] == ["Sock"]
    many = [{"id": str(number), "name": "n"} for number in range(101)]
    assert (await brevo("POST", "products/batch", {"products": many})).status == 400
    assert (await brevo("POST", "products/batch", {"products": [{"id": "p2", "name": "x"}]})).status == 400


async def test_categories_follow_the_same_rules(brevo):
    assert (await brevo("POST", "categories", {"id": "c1", "name": "Shoes"})).status == 201
    batch = {"categories": [{"id": "c1", "url": "https://x.org"}, {"id": "c2", "name": "Hats"}], "updateEnabled": True}
    assert (await brevo("POST", "categories/batch", batch)).json == {"createdCount": 1, "updatedCount": 1}
    assert (await brevo("GET", "categories/c1")).json["url"] == "https://x.org"
    assert (await brevo("GET", "categories")).json["count"] == 2


async def test_a_shop_that_is_off_answers_403_until_it_is_activated():
    brevo = Calls(ecommerce=False)
    for path in ("orders", "products", "categories", "ecommerce/config/displayCurrency"):
        got = await brevo("GET", path)
        assert (got.status, got.json["code"]) == (403, "permission_denied")
    assert (await brevo("POST", "ecommerce/activate")).status == 200
    assert (await brevo("POST", "ecommerce/config/displayCurrency", {"code": "USD"})).json == {"code": "USD"}
    assert (await brevo("GET", "ecommerce/config/displayCurrency")).json == {"code": "USD"}
    assert (await brevo("POST", "ecommerce/config/displayCurrency", {"code": "dollars"})).status == 400


async def test_consent_groups_are_refused_while_they_are_off(brevo):
    for method, path in [("GET", ""), ("POST", ""), ("GET", "/1"), ("PUT", "/1"), ("DELETE", "/1")]:
        got = await brevo(method, f"contacts/consent-groups{path}", {"name": "n", "signupMode": "manual"})
        assert (got.status, got.json["code"]) == (403, "CONSENT_GROUP_NOT_ENABLED")


async def test_consent_groups_hold_who_subscribed_and_who_withdrew():
    brevo = Calls(consent_groups=True)
    news = brevo.state.add_list("news").id
    for name in "ab":
        brevo.state.add_contact(f"{name}@x.org", lists=[news])
    body = {"name": "Newsletter", "signupMode": "manual", "description": "d", "listIds": [news]}
    made = await brevo("POST", "contacts/consent-groups", body)
    assert (made.status, made.json["contactsCount"], made.json["isDefault"]) == (201, 2, False)
    assert (await brevo("POST", "contacts/consent-groups", body)).status == 409
    assert (await brevo("POST", "contacts/consent-groups", {**body, "name": "x" * 256})).status == 400
    assert (await brevo("POST", "contacts/consent-groups", {**body, "signupMode": "other"})).status == 400
    withdraw(brevo.state, brevo.state.contacts[2], 1)
    assert (await brevo.contact("2"))["consentGroups"] == [{"id": 1, "status": "unsubscribed"}]
    rows = {"jsonBody": [{"email": "b@x.org"}, {"email": "c@x.org"}], "listIds": [news], "consentGroupIds": [1]}
    await brevo.finish((await brevo("POST", "contacts/import", rows)).json["processId"])
    shown = [(await brevo.contact(str(number)))["consentGroups"][0]["status"] for number in (1, 2, 3)]
    assert shown == ["subscribed", "unsubscribed", "subscribed"]
    assert (await brevo("POST", "contacts/import", {**rows, "consentGroupIds": [9]})).status == 400
    assert (await brevo("PUT", "contacts/consent-groups/1", {"name": "News"})).json["name"] == "News"
    listed = (await brevo("GET", "contacts/consent-groups", query={"signupMode": "manual"})).json
    assert (listed["total"], listed["consentGroups"][0]["name"]) == (1, "News")
    assert (await brevo("DELETE", "contacts/consent-groups/1")).status == 204
    assert (await brevo.contact("1"))["consentGroups"] == []


async def test_segments_are_read_and_filtered_by_but_never_made(brevo):
    for name in ("Ann", "Bob", "Ann"):
        brevo.state.add_contact(f"{len(brevo.state.contacts)}@x.org", {"FIRSTNAME": name})
    made = add_segment(brevo.state, "Anns", "FIRSTNAME", "Ann", "people").id
    (shown,) = (await brevo("GET", "contacts/segments")).json["segments"]
    assert (shown["id"], shown["segmentName"], shown["categoryName"]) == (made, "Anns", "people")
    found = (await brevo("GET", "contacts", query={"segmentId": made, "sort": "asc"})).json
    assert ([one["id"] for one in found["contacts"]], found["count"]) == ([1, 3], 2)
    assert (await brevo("GET", "contacts", query={"segmentId": made, "listIds": 1})).status == 400
    assert (await brevo("POST", "contacts/segments", {"name": "x"})).status == 405


async def test_exports_tell_who_opted_out(brevo):
    news = brevo.state.add_list("news").id
    brevo.state.add_contact("a@x.org", {"FIRSTNAME": "A"}, lists=[news])
    brevo.state.add_contact("b@x.org", lists=[news], email_blacklisted=True)
    leave_list(brevo.state, brevo.state.add_contact("c@x.org", lists=[news]), news)
    options = {"exportAttributes": ["firstname"], "exportSubscriptionStatus": ["email_marketing"]}
    rows = await read_export(brevo, customContactFilter={"actionForContacts": "allContacts"}, **options)
    assert [(row["EMAIL"], row["FIRSTNAME"], row["EMAIL_MARKETING"]) for row in rows] == [
        ("a@x.org", "A", "subscribed"),
        ("b@x.org", "", "unsubscribed"),
        ("c@x.org", "", "subscribed"),
    ]
    for action, rest, expected in [
        ("subscribed", {"listId": news}, ["a@x.org", "c@x.org"]),
        ("unsubscribed", {}, ["b@x.org"]),
        ("unsubscribedPerList", {"listId": news}, ["c@x.org"]),
    ]:
        found = await read_export(brevo, customContactFilter={"actionForContacts": action, **rest})
        assert [row["EMAIL"] for row in found] == expected, action
    for bad in ({}, {"actionForContacts": "unsubscribedPerList"}, {"actionForContacts": "x"}):
        assert (await brevo("POST", "contacts/export", {"customContactFilter": bad})).status == 400


async def test_a_double_opt_in_joins_nothing_until_the_link_is_followed(brevo):
    news = brevo.state.add_list("news").id
    html = '<p><a href="{{ doubleoptin }}">Yes</a></p>'
    template = {"templateName": "DOI", "subject": "S", "sender": {"id": 1}, "htmlContent": html}
    number = (await brevo("POST", "smtp/templates", template)).json["id"]
    body = {
        "email": "a@x.org",
        "includeListIds": [news],
        "redirectionUrl": "https://x.org",
        "templateId": number,
        "attributes": {"FIRSTNAME": "A"},
    }
    path = "contacts/doubleOptinConfirmation"
    assert (await brevo("POST", path, {**body, "templateId": 9})).status == 400
    assert (await brevo("POST", path, {"email": "a@x.org"})).json["code"] == "missing_parameter"
    assert (await brevo("POST", path, body)).status == 201
    assert (await brevo("POST", path, body)).status == 204
    assert (await brevo.contact("a@x.org"))["listIds"] == []
    confirm(brevo.state, brevo.state.contacts[1])
    assert (await brevo.contact("a@x.org"))["listIds"] == [news]


async def test_a_dead_address_is_blocked_until_somebody_unblocks_it(brevo):
    bounce(brevo.state, brevo.state.add_contact("a@x.org"))
    listed = (await brevo("GET", "smtp/blockedContacts")).json
    assert (listed["count"], listed["contacts"][0]["reason"]["code"]) == (1, "hardBounce")
    assert (await brevo.contact("a@x.org"))["emailBlacklisted"] is True
    assert (await brevo("DELETE", "smtp/blockedContacts/a%40x.org")).status == 204
    assert (await brevo("GET", "smtp/blockedContacts")).json["count"] == 0


async def test_each_part_of_the_shop_runs_on_its_own_meter():
    from penstock.sandbox.brevo_limits import BrevoLimits

    brevo = Calls(BrevoLimits())
    limits = {
        "products": ("POST", {"id": "p", "name": "n"}, "2"),
        "orders/status": ("POST", ORDER, "5"),
        "smtp/templates": ("GET", None, "300"),
        "smtp/blockedContacts": ("GET", None, "1000"),
        "orders": ("GET", None, "100"),
        "webhooks": ("GET", None, "100"),
    }
    for path, (method, body, expected) in limits.items():
        assert (await brevo(method, path, body)).headers["x-sib-ratelimit-limit"] == expected, path
    assert (await brevo("GET", "webhooks")).headers["x-sib-ratelimit-remaining"] == "97"
    brevo.app.limits.shared = False
    assert (await brevo("GET", "webhooks")).headers["x-sib-ratelimit-remaining"] == "99"
    brevo.app.limits.batches = "own"
    event = {"events": [{"event_name": "e", "identifiers": {"email_id": "a@x.org"}}]}
    assert (await brevo("POST", "events/batch", event)).headers["x-sib-ratelimit-limit"] == "10"
    brevo.app.limits.unit = "milliseconds"
    assert int((await brevo("GET", "webhooks")).headers["x-sib-ratelimit-reset"]) > 3_600


async def test_exports_go_by_segment_list_and_campaign(brevo):
    news = brevo.state.add_list("news").id
    for name in "abc":
        brevo.state.add_contact(f"{name}@x.org", {"FIRSTNAME": name}, lists=[news])
    segment = add_segment(brevo.state, "As", "FIRSTNAME", "a").id
    campaign = {"name": "C", "subject": "S", "sender": {"id": 1}, "htmlContent": "<p>Hello all</p>"}
    campaign["recipients"] = {"listIds": [news], "exclusionSegmentIds": [segment]}
    number = (await brevo("POST", "emailCampaigns", campaign)).json["id"]
    await brevo("POST", f"emailCampaigns/{number}/sendNow")
    brevo.clock.advance(61)
    opt_out(brevo.state, brevo.state.contacts[2], number)
    for wanted, expected in [
        ({"actionForContacts": "allContacts", "segmentId": segment}, ["a@x.org"]),
        ({"actionForEmailCampaigns": "unsubscribed", "emailCampaignId": number}, ["b@x.org"]),
    ]:
        rows = await read_export(brevo, customContactFilter=wanted, exportMetadata=["listIds"])
        assert [(row["EMAIL"], row["LIST_IDS"]) for row in rows] == [(email, str(news)) for email in expected]
    bad = {"actionForContacts": "allContacts", "segmentId": 9}
    assert (await brevo("POST", "contacts/export", {"customContactFilter": bad})).status == 400
    nothing = {"customContactFilter": {"actionForContacts": "allContacts"}, "exportMandatoryAttributes": False}
    assert (await brevo("POST", "contacts/export", nothing)).status == 400
    got = await brevo("POST", f"emailCampaigns/{number}/exportRecipients", {"recipientsType": "nonClickers"})
    link = (await brevo.finish(got.json["processId"]))["export_url"]
    file = await brevo("GET", link.removeprefix("https://api.brevo.com/v3/"), key=None)
    assert set(file.raw.decode().split()) <= {"EMAIL", "b@x.org", "c@x.org"}
    stats = (await brevo("GET", f"emailCampaigns/{number}")).json["statistics"]["globalStats"]
    assert (stats["sent"], stats["unsubscriptions"]) == (2, 1)
    shown = (await brevo("GET", "contacts/b@x.org/campaignStats")).json
    assert shown["unsubscriptions"]["userUnsubscription"][0]["campaignId"] == number


async def test_lists_move_between_folders_one_change_at_a_time(brevo):
    other = brevo.state.add_folder("other")
    made = brevo.state.add_list("one").id
    assert (await brevo("PUT", f"contacts/lists/{made}", {"folderId": other})).status == 204
    assert (await brevo("GET", f"contacts/lists/{made}")).json["folderId"] == other
    assert (await brevo("DELETE", f"contacts/lists/{made}")).status == 204
    assert (await brevo("GET", f"contacts/lists/{made}")).status == 404
