"""The vendor's own SDK against the emulated Brevo's campaigns, templates, webhooks, shop and consents."""

from __future__ import annotations

import httpx
import pytest

pytest.importorskip("brevo")
pytest.importorskip("uvicorn")

from brevo.contacts import RequestContactExportRequestCustomContactFilter
from brevo.core.api_error import ApiError
from brevo.ecommerce.types import (
    CreateUpdateBatchCategoryRequestCategoriesItem,
    CreateUpdateBatchProductsRequestProductsItem,
)
from brevo.email_campaigns.types import (
    CreateEmailCampaignRequestRecipients,
    CreateEmailCampaignRequestSender,
)
from brevo.errors import BadRequestError, ForbiddenError, NotFoundError, PaymentRequiredError
from brevo.transactional_emails.types import CreateSmtpTemplateRequestSender
from brevo.types import Order, OrderIdentifiers, OrderProductsItem
from brevo.webhooks.types import CreateWebhookRequestAuth, CreateWebhookRequestHeadersItem

from brevo_wire import checked, serve_newest
from penstock.sandbox.brevo_inbox import receive_mail, say
from penstock.sandbox.brevo_people import add_segment, bounce, opt_out, withdraw

HTML = "<p>Hello {{ contact.FIRSTNAME|default:'friend' }}</p>"
SENDER = CreateEmailCampaignRequestSender(email="shop@x.org", name="Shop")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


@pytest.fixture(scope="module")
def site():
    with serve_newest() as site:
        yield site


@pytest.fixture
def brevo(site):
    with site.open() as server:
        yield server


def fill(brevo, count):
    news = brevo.state.add_list("news").id
    for number in range(count):
        brevo.state.add_contact(f"c{number}@x.org", {"FIRSTNAME": f"C{number}"}, lists=[news])
    return CreateEmailCampaignRequestRecipients(list_ids=[news])


def test_a_draft_is_made_read_changed_tested_and_deleted(brevo):
    campaigns = brevo.client().email_campaigns
    made = checked(campaigns.create_email_campaign(name="A", sender=SENDER, subject="S", html_content=HTML)).id
    campaigns.update_email_campaign(made, preview_text="Look", tag="penstock")
    shown = checked(campaigns.get_email_campaign(made))
    assert (shown.status, shown.preview_text, shown.tag, shown.html_content) == ("draft", "Look", "penstock", HTML)
    campaigns.send_test_email(made, email_to=["me@x.org"])
    listed = checked(campaigns.get_email_campaigns(status="draft", exclude_html_content=True))
    assert (listed.count, listed.campaigns[0].test_sent) == (1, True)
    assert checked(campaigns.get_shared_template_url(made)).shared_url
    campaigns.delete_email_campaign(made)
    with pytest.raises(NotFoundError):
        campaigns.get_email_campaign(made)
    with pytest.raises(BadRequestError):
        campaigns.create_email_campaign(name="A", sender=SENDER, subject="S")


def test_a_campaign_is_sent_once_and_its_numbers_are_read(brevo):
    campaigns, people = brevo.client().email_campaigns, fill(brevo, 20)
    rest = {"name": "A", "sender": SENDER, "subject": "S", "html_content": HTML, "recipients": people}
    made = campaigns.create_email_campaign(**rest).id
    campaigns.send_email_campaign_now(made)
    brevo.clock.advance(61)
    stats = checked(campaigns.get_email_campaign(made, statistics="globalStats")).statistics.global_stats
    assert (stats.sent, stats.delivered) == (20, 20)
    with pytest.raises(BadRequestError) as again:
        campaigns.send_email_campaign_now(made)
    assert again.value.body["code"] == "campaign_sent"
    process = checked(campaigns.email_export_recipients(made, recipients_type="all")).process_id
    brevo.clock.advance(60)
    link = checked(brevo.client().process.get_process(process)).export_url
    assert len(httpx.get(link).text.split()) == 21
    campaigns.update_campaign_status(made, status="archive")
    brevo.state.account.credits = 1
    with pytest.raises((PaymentRequiredError, ApiError)) as poor:
        campaigns.send_email_campaign_now(campaigns.create_email_campaign(**rest).id)
    assert (poor.value.status_code, poor.value.body.code) == (402, "not_enough_credits")
    assert checked(brevo.client().contacts.get_contact_stats("c0@x.org")).delivered[0].campaign_id == made


def test_an_ab_test_ends_with_a_winner(brevo):
    campaigns, people = brevo.client().email_campaigns, fill(brevo, 100)
    rest = {"ab_testing": True, "subject_a": "One", "subject_b": "Two", "split_rule": 25}
    made = campaigns.create_email_campaign(
        name="A",
        sender=SENDER,
        html_content=HTML,
        recipients=people,
        winner_criteria="open",
        winner_delay=2,
        **rest,
    ).id
    seen = [checked(campaigns.get_ab_test_campaign_result(made)).winning_version]
    campaigns.send_email_campaign_now(made)
    brevo.clock.advance(61)
    seen.append(checked(campaigns.get_ab_test_campaign_result(made)).winning_version)
    brevo.clock.advance(7_200)
    result = checked(campaigns.get_ab_test_campaign_result(made))
    assert seen == ["notAvailable", "pending"]
    assert result.winning_subject_line == {"A": "One", "B": "Two"}[result.winning_version]
    assert checked(campaigns.get_email_campaign(made)).split_rule == 25


def test_a_picture_goes_to_the_gallery_by_its_address(brevo):
    brevo.state.hosted["https://cdn.example/a.png"] = PNG
    shown = checked(brevo.client().email_campaigns.upload_image_to_gallery(image_url="https://cdn.example/a.png"))
    assert httpx.get(shown.url).content == PNG
    again = brevo.client().email_campaigns.upload_image_to_gallery(image_url=shown.url)
    assert httpx.get(again.url).content == PNG
    with pytest.raises(BadRequestError):
        brevo.client().email_campaigns.upload_image_to_gallery(image_url="https://cdn.example/a.webp")


def test_a_template_is_made_previewed_switched_on_and_deleted(brevo):
    emails = brevo.client().transactional_emails
    brevo.state.add_contact("ann@x.org", {"FIRSTNAME": "Ann"})
    sender = CreateSmtpTemplateRequestSender(email="shop@x.org", name="Shop")
    made = checked(emails.create_smtp_template(template_name="T", subject="S", sender=sender, html_content=HTML)).id
    assert checked(emails.get_smtp_template(made)).is_active is False
    shown = checked(emails.post_preview_smtp_email_templates(request={"templateId": made, "email": "ann@x.org"}))
    assert (shown.html, shown.from_email) == ("<p>Hello Ann</p>", "shop@x.org")
    emails.update_smtp_template(made, is_active=True, subject="S2")
    emails.send_test_template(made, email_to=["me@x.org"])
    assert checked(emails.get_smtp_templates(template_status=True)).templates[0].subject == "S2"
    with pytest.raises(BadRequestError):
        emails.delete_smtp_template(made)
    emails.update_smtp_template(made, is_active=False)
    emails.delete_smtp_template(made)
    assert checked(emails.get_smtp_templates()).count == 0


def test_webhooks_are_managed_and_forty_are_the_most(brevo):
    webhooks = brevo.client().webhooks
    made = checked(
        webhooks.create_webhook(
            url="https://shop.example/h",
            type="marketing",
            events=["contactUpdated", "contactDeleted"],
            description="penstock",
            batched=False,
            auth=CreateWebhookRequestAuth(type="bearer", token="long-and-random"),
            headers=[CreateWebhookRequestHeadersItem(key="x-own", value="1")],
        )
    ).id
    webhooks.update_webhook(made, events=["unsubscribed"])
    shown = checked(webhooks.get_webhook(made))
    assert (shown.events, shown.url, shown.type) == (["unsubscribed"], "https://shop.example/h", "marketing")
    for _ in range(39):
        webhooks.create_webhook(url="https://shop.example/h", type="marketing", events=["spam"])
    with pytest.raises(BadRequestError):
        webhooks.create_webhook(url="https://shop.example/h", type="marketing", events=["spam"])
    assert len(checked(webhooks.get_webhooks(type="marketing")).webhooks) == 40
    webhooks.delete_webhook(made)
    with pytest.raises(NotFoundError):
        webhooks.get_webhook(made)


def test_orders_and_products_are_written_and_read(brevo):
    shop = brevo.client().ecommerce
    brevo.state.add_contact("a@x.org")
    order = {
        "id": "o1",
        "amount": 20.5,
        "status": "paid",
        "created_at": "2026-11-01T10:00:00Z",
        "updated_at": "2026-11-01T10:00:00Z",
        "products": [OrderProductsItem(product_id="p1", price=20.5, quantity=1)],
        "identifiers": OrderIdentifiers(email_id="a@x.org"),
    }
    shop.create_order(**order)
    accepted = checked(shop.create_batch_order(orders=[Order(**{**order, "id": "o2"})], historical=True))
    assert (brevo.last.status_code, accepted.count) == (202, 1)
    brevo.clock.advance(60)
    assert [one["id"] for one in shop.get_orders(sort="asc")["orders"]] == ["o1", "o2"]
    assert checked(shop.create_update_product(id="p1", name="Shoe", price=20.5)).id == "p1"
    assert shop.create_update_product(id="p1", name="Boot", update_enabled=True) is None
    many = [CreateUpdateBatchProductsRequestProductsItem(id=f"p{number}", name="n") for number in range(3)]
    counts = checked(shop.create_update_batch_products(products=many, update_enabled=True))
    assert (counts.created_count, counts.updated_count) == (2, 1)
    assert checked(shop.get_product_info("p2")).name == "n"
    assert checked(shop.get_products(limit=2)).count == 3
    assert checked(shop.create_update_category(id="c1", name="Shoes")).id == "c1"
    rows = [CreateUpdateBatchCategoryRequestCategoriesItem(id="c2", name="Hats")]
    assert checked(shop.create_update_batch_category(categories=rows)).created_count == 1
    assert checked(shop.get_categories()).count == 2
    assert checked(shop.get_category_info("c2")).name == "Hats"
    assert checked(shop.get_the_iso4217compliant_display_currency_code_for_your_brevo_account()).code == "EUR"
    brevo.state.behaviour.ecommerce = False
    with pytest.raises((ForbiddenError, ApiError)) as off:
        shop.get_the_iso4217compliant_display_currency_code_for_your_brevo_account()
    assert off.value.status_code == 403
    shop.activate_the_e_commerce_app()
    assert checked(shop.set_config_display_currency(code="USD")).code == "USD"


def test_consent_groups_are_off_until_the_account_has_them(brevo):
    client = brevo.client()
    with pytest.raises((ForbiddenError, ApiError)) as off:
        client.consent_groups.get_consent_groups()
    assert "CONSENT_GROUP_NOT_ENABLED" in str(off.value.body)
    brevo.state.behaviour.consent_groups = True
    contact = brevo.state.add_contact("a@x.org")
    made = checked(client.consent_groups.create_consent_group(name="News", signup_mode="manual")).id
    withdraw(brevo.state, contact, made)
    (given,) = checked(client.contacts.get_contact_info("a@x.org")).consent_groups
    assert (given.id, given.status) == (made, "unsubscribed")
    assert checked(client.consent_groups.update_consent_group(made, name="Letter")).name == "Letter"
    assert checked(client.consent_groups.get_consent_groups()).total == 1
    assert checked(client.consent_groups.get_consent_group(made)).contacts_count == 1
    client.consent_groups.delete_consent_group(made)
    with pytest.raises((NotFoundError, ApiError)):
        client.consent_groups.get_consent_group(made)


def test_who_opted_out_is_read_from_an_export_and_from_segments(brevo):
    client = brevo.client()
    brevo.state.add_contact("a@x.org", {"FIRSTNAME": "A"})
    opt_out(brevo.state, brevo.state.add_contact("b@x.org"))
    wanted = RequestContactExportRequestCustomContactFilter(action_for_contacts="unsubscribed")
    process = checked(client.contacts.request_contact_export(custom_contact_filter=wanted)).process_id
    brevo.clock.advance(60)
    text = httpx.get(client.process.get_process(process).export_url).text
    assert "b@x.org" in text
    assert "a@x.org" not in text
    made = add_segment(brevo.state, "As", "FIRSTNAME", "A", "people").id
    assert checked(client.contacts.get_segments()).segments[0].segment_name == "As"
    assert [one.email for one in client.contacts.get_contacts(segment_id=made).contacts] == ["a@x.org"]


def test_a_double_opt_in_is_201_then_204(brevo):
    client = brevo.client()
    news = brevo.state.add_list("news").id
    sender = CreateSmtpTemplateRequestSender(email="shop@x.org")
    html = '<a href="{{ doubleoptin }}">Yes</a>'
    template = client.transactional_emails.create_smtp_template(
        template_name="DOI", subject="S", sender=sender, html_content=html
    )
    for expected in (201, 204):
        client.contacts.create_doi_contact(
            email="a@x.org", include_list_ids=[news], redirection_url="https://x.org", template_id=template.id
        )
        assert brevo.last.status_code == expected


def test_feedback_can_be_read_where_brevo_shows_it(brevo):
    client = brevo.client()
    ann = brevo.state.add_contact("ann@x.org")
    message = say(brevo.state, ann, "It broke")
    assert checked(client.conversations.get_a_message(message)).text == "It broke"
    uuid = receive_mail(brevo.state, "ann@x.org", "shop@reply.x.org", "S", "T", {"a.txt": ("text/plain", b"log")})
    assert checked(client.inbound_parsing.get_inbound_email_events()).events[0].uuid_ == uuid
    assert checked(client.inbound_parsing.get_inbound_email_events_by_uuid(uuid)).subject == "S"
    (token,) = brevo.state.inbox.mails[uuid].files
    assert b"".join(client.inbound_parsing.get_inbound_email_attachment(token)) == b"log"
    bounce(brevo.state, ann)
    assert checked(client.transactional_emails.get_transac_blocked_contacts()).contacts[0].email == "ann@x.org"
    client.transactional_emails.unblock_or_resubscribe_a_transactional_contact("ann@x.org")
    assert checked(client.senders.get_senders()).senders[0].active is True
    assert checked(client.senders.create_sender(name="N", email="n@x.org")).id == 2
