"""Every endpoint that the product uses, asked by the vendor's own SDK: none is emulated that the SDK cannot drive."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("brevo")
pytest.importorskip("uvicorn")

from brevo.contacts.types import (
    AddContactToListRequestBodyIds,
    CreateAttributeRequestEnumerationItem,
    ImportContactsRequestJsonBodyItem,
    RemoveContactFromListRequestBodyIds,
    UpdateAttributeRequestEnumerationItem,
)
from brevo.ecommerce.types import CreateUpdateBatchProductsRequestProductsItem
from brevo.email_campaigns.types import CreateEmailCampaignRequestSender
from brevo.event.types import (
    CreateBatchEventsRequestEventsItem,
    CreateBatchEventsRequestEventsItemIdentifiers,
    CreateEventRequestIdentifiers,
)
from brevo.transactional_emails.types import CreateSmtpTemplateRequestSender
from brevo.types import Order, OrderIdentifiers, OrderProductsItem

from brevo_wire import checked, serve_newest
from penstock.vendor.brevo_endpoints import ENDPOINTS

HTML = "<p>Hello {{ contact.FIRSTNAME }}</p> <a href='{{ unsubscribe }}'>leave</a>"
ANN = "ann@x.org"
MOMENT = "2026-11-01T10:00:00Z"
ORDER: dict[str, Any] = {
    "id": "o1",
    "amount": 20.5,
    "status": "paid",
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "products": [OrderProductsItem(product_id="p1", price=20.5, quantity=1)],
    "identifiers": OrderIdentifiers(email_id=ANN),
}
OPTION = {"value": 1, "label": "bad"}
PRODUCT = CreateUpdateBatchProductsRequestProductsItem(id="p2", name="Boot")
ROW = ImportContactsRequestJsonBodyItem(email="new@x.org", attributes={"FIRSTNAME": "New"})
TEMPLATE = {"template_name": "T", "subject": "S", "html_content": HTML}
CAMPAIGN = {"name": "A", "subject": "S", "html_content": HTML}


def _event(maker: Any, identifiers: Any) -> Any:
    return maker(event_name="judged", identifiers=identifiers(email_id=ANN), event_properties={"label": "bad"})


ASKS: dict[str, Any] = {
    "account.get": lambda c, s: c.account.get_account(),
    "contacts.create": lambda c, s: c.contacts.create_contact(email=ANN, attributes={"FIRSTNAME": "Ann"}),
    "contacts.list": lambda c, s: c.contacts.get_contacts(limit=10, sort="asc"),
    "contacts.get": lambda c, s: c.contacts.get_contact_info(ANN, identifier_type="email_id"),
    "contacts.update": lambda c, s: c.contacts.update_contact(ANN, attributes={"LASTNAME": "Lee"}),
    "attributes.list": lambda c, s: c.contacts.get_attributes(),
    "attributes.create": lambda c, s: c.contacts.create_attribute(
        "category", "MOOD", enumeration=[CreateAttributeRequestEnumerationItem(**OPTION)]
    ),
    "attributes.update": lambda c, s: c.contacts.update_attribute(
        "category", "MOOD", enumeration=[UpdateAttributeRequestEnumerationItem(**OPTION)]
    ),
    "folders.create": lambda c, s: c.contacts.create_folder(name="Ours"),
    "folders.list": lambda c, s: c.contacts.get_folders(limit=10, offset=0),
    "lists.create": lambda c, s: c.contacts.create_list(name="Unhappy", folder_id=2),
    "folders.lists": lambda c, s: c.contacts.get_folder_lists(2),
    "lists.list": lambda c, s: c.contacts.get_lists(),
    "lists.get": lambda c, s: c.contacts.get_list(1),
    "lists.add": lambda c, s: c.contacts.add_contact_to_list(1, request=AddContactToListRequestBodyIds(ids=[1])),
    "lists.contacts": lambda c, s: c.contacts.get_contacts_from_list(1),
    "lists.remove": lambda c, s: c.contacts.remove_contact_from_list(
        1, request=RemoveContactFromListRequestBodyIds(ids=[1])
    ),
    "segments.list": lambda c, s: c.contacts.get_segments(limit=10, offset=0),
    "contacts.import": lambda c, s: c.contacts.import_contacts(json_body=[ROW], list_ids=[1]),
    "processes.list": lambda c, s: c.process.get_processes(),
    "processes.get": lambda c, s: c.process.get_process(1),
    "events.create": lambda c, s: c.event.create_event(
        event_name="judged", identifiers=CreateEventRequestIdentifiers(email_id=ANN)
    ),
    "events.batch": lambda c, s: c.event.create_batch_events(
        events=[_event(CreateBatchEventsRequestEventsItem, CreateBatchEventsRequestEventsItemIdentifiers)]
    ),
    "events.list": lambda c, s: c.event.get_events(limit=10),
    "orders.status": lambda c, s: c.ecommerce.create_order(**ORDER),
    "orders.batch": lambda c, s: c.ecommerce.create_batch_order(orders=[Order(**{**ORDER, "id": "o2"})]),
    "orders.list": lambda c, s: c.ecommerce.get_orders(),
    "products.create": lambda c, s: c.ecommerce.create_update_product(id="p1", name="Shoe"),
    "products.batch": lambda c, s: c.ecommerce.create_update_batch_products(products=[PRODUCT]),
    "products.list": lambda c, s: c.ecommerce.get_products(),
    "categories.list": lambda c, s: c.ecommerce.get_categories(),
    "ecommerce.currency": lambda c, s: (
        c.ecommerce.get_the_iso4217compliant_display_currency_code_for_your_brevo_account()
    ),
    "senders.list": lambda c, s: c.senders.get_senders(),
    "campaigns.create": lambda c, s: c.email_campaigns.create_email_campaign(
        sender=CreateEmailCampaignRequestSender(email="owner@sandbox.example", name="Shop"), **CAMPAIGN
    ),
    "campaigns.list": lambda c, s: c.email_campaigns.get_email_campaigns(),
    "campaigns.get": lambda c, s: c.email_campaigns.get_email_campaign(1),
    "campaigns.update": lambda c, s: c.email_campaigns.update_email_campaign(1, recipients={"listIds": [1]}),
    "campaigns.test": lambda c, s: c.email_campaigns.send_test_email(1, email_to=["me@x.org"]),
    "campaigns.send": lambda c, s: c.email_campaigns.send_email_campaign_now(1),
    "campaigns.status": lambda c, s: c.email_campaigns.update_campaign_status(1, status="archive"),
    "campaigns.result": lambda c, s: c.email_campaigns.get_ab_test_campaign_result(_make_test(c)),
    "images.upload": lambda c, s: c.email_campaigns.upload_image_to_gallery(image_url="https://cdn.example/a.png"),
    "templates.create": lambda c, s: c.transactional_emails.create_smtp_template(
        sender=CreateSmtpTemplateRequestSender(email="owner@sandbox.example", name="Shop"), **TEMPLATE
    ),
    "templates.list": lambda c, s: c.transactional_emails.get_smtp_templates(),
    "templates.get": lambda c, s: c.transactional_emails.get_smtp_template(1),
    "templates.update": lambda c, s: c.transactional_emails.update_smtp_template(1, subject="S2"),
    "templates.preview": lambda c, s: c.transactional_emails.post_preview_smtp_email_templates(
        request={"templateId": 1, "email": ANN}
    ),
    "consent-groups.list": lambda c, s: c.consent_groups.get_consent_groups(),
    "webhooks.create": lambda c, s: c.webhooks.create_webhook(
        url="https://shop.example/h", type="marketing", events=["contactDeleted"]
    ),
    "webhooks.list": lambda c, s: c.webhooks.get_webhooks(type="marketing"),
    "webhooks.update": lambda c, s: c.webhooks.update_webhook(1, events=["unsubscribed"]),
    "webhooks.delete": lambda c, s: c.webhooks.delete_webhook(1),
}
"""One call of the SDK for each operation, in an order in which each finds what it needs."""


def _make_test(client: Any) -> int:
    sender = CreateEmailCampaignRequestSender(email="owner@sandbox.example", name="Shop")
    test = {"ab_testing": True, "subject_a": "One", "subject_b": "Two", "split_rule": 25}
    more = {"winner_criteria": "open", "winner_delay": 2, "recipients": {"listIds": [1]}}
    made = client.email_campaigns.create_email_campaign(name="T", sender=sender, html_content=HTML, **test, **more)
    return int(made.id)


@pytest.fixture(scope="module")
def site():
    with serve_newest() as site:
        yield site


def test_every_operation_of_the_product_has_a_call_of_the_sdk():
    assert set(ASKS) == set(ENDPOINTS)


def test_the_sdk_reaches_every_operation_and_reads_every_answer(site):
    with site.open(consent_groups=True) as brevo:
        client = brevo.client()
        brevo.state.hosted["https://cdn.example/a.png"] = b"\x89PNG\r\n\x1a\n" + bytes(64)
        brevo.state.add_list("News")
        for name, ask in ASKS.items():
            checked(ask(client, brevo.state))
            endpoint = ENDPOINTS[name]
            asked = brevo.last.request
            path = asked.url.path.split("/v3", 1)[1]
            assert asked.method == endpoint.method, name
            assert re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", endpoint.path), path), name
            assert brevo.last.status_code in endpoint.good, name
            brevo.clock.advance(60)
