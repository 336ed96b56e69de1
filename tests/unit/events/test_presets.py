"""Presets over records as the shops and tools really hand them out."""

import msgspec
import pytest

from penstock.events.event import encode_event
from penstock.events.identifiers import hash_email, hash_external_id, hash_name, hash_phone
from penstock.events.mapping import load_mapping

NOW = 1_795_172_400.0
ISO = "2026-11-20T10:00:00Z"
AT = 1_795_168_800_000

SHOPIFY = {
    "id": 820982911946154508,
    "name": "#1001",
    "email": "Jon@Example.ca",
    "phone": None,
    "currency": "USD",
    "created_at": "2026-11-20T04:59:00-05:00",
    "processed_at": "2026-11-20T05:00:00-05:00",
    "total_price": "403.00",
    "landing_site": "/products/serum?utm_source=chatgpt&oppref=abc%2Bdef",
    "order_status_url": "https://shop.example/690933842/orders/123456abcd/authenticate?key=abcdefg",
    "note_attributes": [{"name": "gift", "value": "no"}, {"name": "obref", "value": "ob-1"}],
    "client_details": {"browser_ip": "192.0.2.7", "user_agent": "Mozilla/5.0"},
    "customer": {"id": 115310627314723954, "first_name": "Jon", "last_name": "O'Connor", "phone": "+16135550135"},
    "billing_address": {
        "country_code": "CA",
        "province": "Ontario",
        "city": "Ottawa",
        "zip": "K2P0V6",
        "phone": "613 555",
    },
    "line_items": [
        {
            "product_id": 632910392,
            "variant_id": 808950810,
            "sku": "IPOD-342",
            "title": "Player",
            "quantity": 2,
            "price": "199.00",
        },
        {"product_id": 5, "variant_id": 6, "sku": "", "title": "Strap", "quantity": 1, "price": "5.00"},
    ],
}

WOO = {
    "id": 727,
    "number": "727",
    "currency": "JPY",
    "date_created_gmt": "2026-11-20T09:55:00",
    "date_paid_gmt": "2026-11-20T10:00:00",
    "total": "2935",
    "customer_id": 0,
    "customer_ip_address": "2001:db8::7",
    "customer_user_agent": "Mozilla/5.0",
    "billing": {
        "first_name": "José",
        "last_name": "Doe",
        "city": "San Francisco",
        "state": "CA",
        "postcode": "94103",
        "country": "US",
        "email": "john.doe@example.com",
        "phone": "(555) 555-5555",
    },
    "line_items": [{"name": "Woo Single", "product_id": 93, "quantity": 2, "sku": "", "price": 1467.5}],
    "meta_data": [{"id": 1, "key": "_oppref", "value": "ref-9"}],
}

BREVO = {
    "id": "14",
    "createdAt": "2026-11-20T10:00:00.000Z",
    "updatedAt": ISO,
    "status": "completed",
    "amount": 308.42,
    "email": "visitor@example.com",
    "identifiers": {"ext_id": "ext_id_1"},
    "billing": {
        "city": "Noida",
        "countryCode": "IN",
        "phone": "9238283982",
        "postCode": 110001,
        "region": "North India",
    },
    "products": [{"productId": 21, "quantity": 2, "variantId": "P100", "price": 100}],
}

SEGMENT = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "ajs-1",
    "timestamp": "2026-11-20T10:00:00.000Z",
    "userId": "user-000042",
    "context": {
        "ip": "192.0.2.1",
        "userAgent": "Mozilla/5.0",
        "page": {"url": "https://a.de/thanks?oppref=x%3D"},
        "traits": {"email": "ada@example.com", "firstName": "Ada", "address": {"country": "DE", "city": "Berlin"}},
    },
    "properties": {
        "order_id": "50314b8e",
        "total": 27.5,
        "revenue": 25.0,
        "currency": "USD",
        "products": [{"product_id": "507f", "sku": "45790-32", "name": "Monopoly", "price": 19, "quantity": 1}],
    },
}

GA4 = {
    "event": "purchase",
    "gtm.start": AT,
    "page_location": "https://a.de/thanks?oppref=q",
    "ecommerce": {
        "transaction_id": "T_12345",
        "value": 30.03,
        "currency": "EUR",
        "items": [{"item_id": "SKU_1", "item_name": "Tee", "item_group_id": "G", "price": 10.01, "quantity": 3}],
    },
    "user_data": {"email_address": "ada@example.com", "address": [{"first_name": "Ada", "country": "DE"}]},
}


def send(name, record):
    mapped = load_mapping(name).apply(record, now=NOW)
    assert mapped.refusals == ()
    return msgspec.json.decode(encode_event(mapped.event)), mapped.warnings


def test_an_order_webhook_of_shopify():
    sent, warnings = send("shopify-order", SHOPIFY)
    assert sent == {
        "id": "#1001",
        "type": "order_created",
        "timestamp_ms": AT,
        "action_source": "web",
        "source_url": "https://shop.example/690933842/orders/123456abcd/authenticate",
        "oppref": "abc%2Bdef",
        "user": {
            "emails_sha256": [hash_email("jon@example.ca")],
            "phone_numbers_sha256": [hash_phone("+1 613 555 0135")],
            "external_ids_sha256": [hash_external_id("115310627314723954")],
            "first_names_sha256": [hash_name("jon")],
            "last_names_sha256": [hash_name("oconnor")],
            "countries": ["CA"],
            "regions": ["Ontario"],
            "cities": ["Ottawa"],
            "postal_codes": ["K2P0V6"],
            "obref": "ob-1",
            "ip_address": "192.0.2.7",
            "user_agent": "Mozilla/5.0",
        },
        "data": {
            "type": "contents",
            "amount": 40300,
            "currency": "USD",
            "contents": [
                {
                    "id": "IPOD-342",
                    "group_id": "632910392",
                    "name": "Player",
                    "content_type": "product",
                    "quantity": 2,
                    "amount": 19900,
                },
                {"id": "6", "group_id": "5", "name": "Strap", "content_type": "product", "quantity": 1, "amount": 500},
            ],
        },
    }
    assert warnings == ()


def test_an_order_webhook_of_woocommerce():
    sent, warnings = send("woocommerce-order", WOO)
    assert (sent["id"], sent["timestamp_ms"], sent["oppref"]) == ("727", AT, "ref-9")
    assert sent["data"]["amount"] == 2935
    assert sent["data"]["contents"][0]["id"] == "93"
    assert "external_ids_sha256" not in sent["user"]
    assert [text.partition(" ")[0] for text in warnings] == ["phone"]


def test_an_order_of_brevo_needs_the_currency_of_the_shop(tmp_path):
    refused = load_mapping("brevo-order").apply(BREVO, now=NOW)
    assert [(one.code, one.field) for one in refused.refusals] == [("event.no-currency", "amount")]
    path = tmp_path / "mine.yaml"
    path.write_text("preset: brevo-order\nfields:\n  currency: EUR\n")
    sent, _ = send(path, BREVO)
    assert sent["data"] == {
        "type": "contents",
        "amount": 30842,
        "currency": "EUR",
        "contents": [{"id": "P100", "group_id": "21", "content_type": "product", "quantity": 2, "amount": 10000}],
    }
    assert sent["user"]["postal_codes"] == ["110001"]


def test_a_track_call_of_segment():
    sent, warnings = send("segment-track", SEGMENT)
    assert (sent["id"], sent["oppref"], sent["source_url"]) == ("50314b8e", "x%3D", "https://a.de/thanks")
    assert sent["data"]["amount"] == 2750
    assert sent["user"]["external_ids_sha256"] == [hash_external_id("user-000042")]
    assert warnings == ()
    other = load_mapping("segment-track").apply({**SEGMENT, "event": "Coupon Entered"}, now=NOW)
    assert [one.code for one in other.refusals] == ["event.unknown-type"]


def test_a_push_to_the_data_layer_of_ga4():
    sent, warnings = send("ga4", GA4)
    assert (sent["id"], sent["timestamp_ms"], sent["oppref"]) == ("T_12345", AT, "q")
    assert sent["data"]["contents"] == [
        {"id": "SKU_1", "group_id": "G", "name": "Tee", "content_type": "product", "quantity": 3, "amount": 1001}
    ]
    assert sent["user"]["first_names_sha256"] == [hash_name("ada")]
    assert warnings == ()


def test_an_event_of_a_server_container_for_ga4():
    flat = {
        "event_name": "add_to_cart",
        "event_id": "e-1",
        "timestamp_micros": AT * 1000,
        "page_location": "https://a.de/p",
        "value": 5,
        "currency": "EUR",
        "items": [{"item_id": "a", "quantity": 1}],
        "ip_override": "192.0.2.1",
        "user_data": {"sha256_email_address": hash_email("ada@example.com"), "address": {"city": "Berlin"}},
    }
    sent, _ = send("ga4", flat)
    assert (sent["type"], sent["id"], sent["data"]["amount"]) == ("items_added", "e-1", 500)
    assert sent["user"]["emails_sha256"] == [hash_email("ada@example.com")]


def test_a_row_of_a_flat_table():
    row = {
        "event": "lead_created",
        "id": "7",
        "timestamp": ISO,
        "action_source": "phone_call",
        "email": "ada@example.com",
        "phone": "",
        "amount": "",
        "currency": "",
        "oppref": "r",
    }
    sent, warnings = send("flat", row)
    assert sent["data"] == {"type": "customer_action"}
    assert sent["action_source"] == "phone_call"
    assert warnings == ()


OLDER = {
    "event_name": "order_created",
    "event_id": "a1",
    "event_time_epoch_ms": AT,
    "action_source": "web",
    "event_source_url": "https://a.de/x",
    "event_data": {"type": "contents", "amount": 100, "currency": "EUR"},
    "user": {
        "email_sha256": hash_email("ada@example.com"),
        "external_id": "CUST-00042",
        "country": "de",
        "zip_code": "10115",
    },
}


def test_names_of_older_generations_become_todays():
    sent, warnings = send("openai-event", OLDER)
    assert sent == {
        "id": "a1",
        "type": "order_created",
        "timestamp_ms": AT,
        "action_source": "web",
        "source_url": "https://a.de/x",
        "data": {"type": "contents", "amount": 100, "currency": "EUR"},
        "user": {
            "emails_sha256": [hash_email("ada@example.com")],
            "external_ids_sha256": [hash_external_id("CUST-00042")],
            "countries": ["DE"],
            "postal_codes": ["10115"],
        },
    }
    assert "user.zip_code is the old name of postal_codes [event.old-name]" in warnings


@pytest.mark.parametrize(
    "name",
    ["country_sha256", "city_sha256", "zip_code_sha256", "email", "phone", "first_name", "date_of_births_sha256"],
)
def test_hashed_places_and_raw_identifiers_are_left_out_with_the_reason(name):
    record = {**OLDER, "user": {name: "ada@example.com"}}
    sent, warnings = send("openai-event", record)
    assert "user" not in sent
    assert any(text.startswith(f"user.{name}: ") for text in warnings)
    assert not any("ada@example.com" in text for text in warnings)


@pytest.mark.parametrize("name", ["checkout_session", "line_items", "order", "oppcref"])
def test_parts_that_are_gone_refuse_the_event(name):
    mapped = load_mapping("openai-event").apply({**OLDER, name: {}}, now=NOW)
    assert [(one.code, one.field) for one in mapped.refusals] == [("event.old-name", name)]


def test_an_event_of_today_passes_unchanged():
    event = {
        "id": "q-9",
        "type": "custom",
        "custom_event_name": "demo-watched",
        "timestamp_ms": AT,
        "action_source": "other",
        "opt_out": True,
        "user": {"first_names_sha256": [hash_name("ada")], "user_agent": "Mozilla"},
        "data": {
            "type": "custom",
            "minutes": 12,
            "tags": ["a"],
            "note": None,
            "amount": 5,
            "currency": "EUR",
            "plan_id": "p",
        },
    }
    sent, warnings = send("openai-event", event)
    assert sent == event
    assert warnings == ()
