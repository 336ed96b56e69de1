"""Mappings: every parameter of an event, what is refused and why, and files with mistakes."""

import msgspec
import pytest

from penstock.base.errors import FlowError, SettingsError
from penstock.events.contract import load_contract
from penstock.events.event import encode_event
from penstock.events.identifiers import hash_email, hash_phone
from penstock.events.mapping import load_mapping
from penstock.events.mapping_file import preset_names

NOW = 1_795_172_400.0
ISO = "2026-11-20T10:00:00Z"
HEAD = "event: order_created\naction_source: other\namount_unit: major\n"
ID = "  id: ${{ record.order }}\n  timestamp: ${{ record.at }}\n"
RECORD = {"order": "1001", "at": ISO}


@pytest.fixture
def mapping(tmp_path):
    def load(text, **rest):
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return load_mapping(path, **rest)

    return load


@pytest.fixture
def event(mapping):
    """Map one record and return the event as it is sent, with the whole outcome."""

    def make(fields, record=(), head=HEAD, **rest):
        mapped = mapping(f"{head}fields:\n{ID}{fields}", **rest).apply({**RECORD, **dict(record)}, now=NOW)
        return (msgspec.json.decode(encode_event(mapped.event)) if mapped.event else None), mapped

    return make


def codes(mapped):
    return [(one.code, one.field) for one in mapped.refusals]


def test_the_least_mapping_gives_the_least_event(event):
    sent, mapped = event("")
    assert sent == {
        "id": "1001",
        "type": "order_created",
        "timestamp_ms": 1_795_168_800_000,
        "action_source": "other",
        "data": {"type": "contents"},
    }
    assert mapped.event.name == "order_created"
    assert mapped.warnings == ()


def test_both_columns_of_each_identifier_meet_in_one_list(event):
    fields = "  email: ${{ record.mails }}\n  email_sha256: ${{ record.hashed }}\n"
    other = hash_email("other@example.com")
    sent, mapped = event(fields, {"mails": ["A@b.de", "a@b.de ", "no mail", "c@d.de"], "hashed": [other, "x"]})
    assert sent["user"]["emails_sha256"] == [hash_email("a@b.de"), hash_email("c@d.de"), other]
    assert mapped.event.traces == {hash_email("a@b.de"): "email", hash_email("c@d.de"): "email", other: "email_sha256"}
    assert [warning.rpartition("[")[2].partition("]")[0] for warning in mapped.warnings] == [
        "identifier.not-an-email",
        "identifier.not-hashed",
    ]
    assert "no mail" not in str(mapped.warnings)


def test_only_the_first_three_valid_unique_values_are_sent(event):
    mails = [f"user{number}@example.com" for number in range(5)]
    sent, _ = event("  email: ${{ record.mails }}\n", {"mails": ["bad", mails[0], *mails]})
    assert sent["user"]["emails_sha256"] == [hash_email(one) for one in mails[:3]]


def test_a_phone_with_an_extension_leaves_itself_out_and_not_the_event(event):
    sent, mapped = event("  phone: ${{ record.phone }}\n", {"phone": "+1 415 555 2671 ext. 12"})
    assert "user" not in sent
    assert "phone holds more than digits" in mapped.warnings[0]


def test_the_country_code_of_the_mapping_makes_national_phones_whole(event):
    sent, _ = event("  phone: ${{ record.phone }}\n", {"phone": "0171 1234567"}, HEAD + 'phone_country_code: "+49"\n')
    assert sent["user"]["phone_numbers_sha256"] == [hash_phone("+49 171 1234567")]


def test_places_and_devices_are_sent_in_clear_text(event):
    fields = (
        "  country: ${{ record.c }}\n  region: ${{ record.r }}\n  city: ${{ record.t }}\n"
        "  postal_code: ${{ record.p }}\n"
        "  android_advertising_id: ${{ record.a }}\n  ip_address: ${{ record.i }}\n  user_agent: ${{ record.u }}\n"
        "  obref: ${{ record.o }}\n"
    )
    record = {
        "c": "us",
        "r": "California",
        "t": " San Francisco ",
        "p": "94107",
        "i": "2001:db8::1",
        "u": "Mozilla/5.0",
        "a": "38400000-8CF0-11bd-b23e-10b96e40000d",
        "o": " opaque/+= ",
    }
    sent, mapped = event(fields, record)
    assert sent["user"] == {
        "countries": ["US"],
        "regions": ["California"],
        "cities": ["San Francisco"],
        "postal_codes": ["94107"],
        "android_advertising_id": "38400000-8cf0-11bd-b23e-10b96e40000d",
        "obref": " opaque/+= ",
        "ip_address": "2001:db8::1",
        "user_agent": "Mozilla/5.0",
    }
    assert mapped.warnings == ()
    wrong = {"c": "Romania", "r": "a" * 64, "t": "ada@b.de", "p": "///", "i": "999.1.1.1", "a": "x", "o": 5, "u": ""}
    sent, mapped = event(fields, wrong)
    assert "user" not in sent
    assert len(mapped.warnings) == 7
    assert not any(value in text for value in ("Romania", "ada@", "999") for text in mapped.warnings)


def test_money_items_and_plans_follow_the_shape(event):
    fields = (
        "  amount: ${{ record.total }}\n  currency: ${{ record.cur }}\n"
        "  contents:\n    each: ${{ record.items }}\n    id: ${{ item.sku }}\n    quantity: ${{ item.n }}\n"
        "    amount: ${{ item.price }}\n    variant_dict: ${{ item.variant }}\n    currency: ${{ record.cur }}\n"
    )
    items = [
        {"sku": 7, "n": "2", "price": "29.99", "variant": {"colour": "blue"}},
        {"sku": "b", "n": 1.5, "price": "1.999"},
    ]
    sent, mapped = event(fields, {"total": "59.98", "cur": "eur", "items": items})
    assert sent["data"] == {
        "type": "contents",
        "amount": 5998,
        "currency": "EUR",
        "contents": [
            {"currency": "EUR", "id": "7", "quantity": 2, "amount": 2999, "variant_dict": {"colour": "blue"}},
            {"currency": "EUR", "id": "b"},
        ],
    }
    assert [text.partition(" ")[0] for text in mapped.warnings] == ["contents[1].quantity", "contents[1].amount"]
    sent, mapped = event(fields, {"total": "5", "cur": "EUR", "items": items}, HEAD.replace("order", "lead"))
    assert sent["data"] == {"type": "customer_action", "amount": 500, "currency": "EUR"}
    assert "contents is not part of customer_action" in mapped.warnings[0]


@pytest.mark.parametrize(
    ("record", "refused"),
    [
        ({"total": "10.005", "cur": "USD"}, ("money.precision", "amount")),
        ({"total": "10", "cur": ""}, ("event.no-currency", "amount")),
        ({"total": "10", "cur": "DOLLAR"}, ("money.unknown-currency", "currency")),
        ({"total": "1,000.00", "cur": "USD"}, ("money.not-a-number", "amount")),
        ({"order": ""}, ("event.missing", "id")),
        ({"order": []}, ("event.wrong-type", "id")),
        ({"order": "ada@example.com"}, ("event.personal-data", "id")),
        ({"at": ""}, ("event.missing", "timestamp")),
        ({"at": "2026-11-20T10:00:00"}, ("moment.no-offset", "timestamp")),
        ({"at": int(NOW * 1000) - 604_800_001}, ("event.too-old", "timestamp")),
        ({"at": int(NOW * 1000) + 600_001}, ("event.too-new", "timestamp")),
        ({"out": "maybe"}, ("event.not-a-flag", "opt_out")),
        ({"src": "tv"}, ("event.unknown-source", "action_source")),
        ({"src": "web"}, ("event.missing", "source_url")),
        ({"src": "web", "url": "/thanks"}, ("event.bad-url", "source_url")),
    ],
)
def test_each_reason_names_its_field(event, record, refused):
    fields = (
        "  amount: ${{ record.total }}\n  currency: ${{ record.cur }}\n  opt_out: ${{ record.out }}\n"
        "  action_source: ${{ record.src }}\n  source_url: ${{ record.url }}\n"
    )
    sent, mapped = event(fields, record)
    assert sent is None
    assert codes(mapped) == [refused]
    assert "ada@example.com" not in str(mapped)


def test_the_window_includes_its_edges(event):
    for at in (int(NOW * 1000) - 604_800_000, int(NOW * 1000) + 600_000):
        sent, _ = event("", {"at": at})
        assert sent["timestamp_ms"] == at


def test_all_reasons_are_told_at_once(event):
    _, mapped = event("  opt_out: ${{ record.o }}\n", {"order": "", "at": "x", "o": "x"})
    assert [field for _, field in codes(mapped)] == ["id", "timestamp", "opt_out"]


def test_the_action_source_of_the_record_comes_before_that_of_mapping_and_connection(event):
    fields = "  action_source: ${{ record.src }}\n"
    assert event(fields, {"src": "EMAIL"})[0]["action_source"] == "email"
    assert event(fields, {})[0]["action_source"] == "other"
    bare = HEAD.replace("action_source: other\n", "")
    assert event(fields, {}, bare, action_source="offline")[0]["action_source"] == "offline"
    assert codes(event(fields, {}, bare)[1]) == [("event.missing", "source_url")]


def test_app_events_are_of_mobile_apps(event):
    head = "event: app_opened\n"
    assert event("", {}, head)[0]["action_source"] == "mobile_app"
    _, mapped = event("  action_source: web\n", {}, head)
    assert ("event.wrong-source", "action_source") in codes(mapped)


def test_custom_events_take_a_name_of_their_own_and_any_data(event):
    head = "event: custom\naction_source: other\n"
    fields = (
        "  custom_event_name: ${{ record.name }}\n  data:\n    minutes: ${{ record.m }}\n    tags: ${{ record.t }}\n"
        "    fixed: 5\n"
    )
    sent, mapped = event(fields, {"name": "Demo-Watched", "m": 12, "t": ["a", None]}, head)
    assert sent["custom_event_name"] == mapped.event.name == "demo-watched"
    assert sent["data"] == {"type": "custom", "minutes": 12, "tags": ["a", None], "fixed": 5}
    for name in ("", "order_created", "-x", "a b", "x" * 65, "Order_Created"):
        assert codes(event(fields, {"name": name}, head)[1])[0][1] == "custom_event_name"
    sent, _ = event("  custom_event_name: ${{ record.name }}\n", {"name": "ignored"})
    assert "custom_event_name" not in sent


def test_data_that_names_a_person_is_refused(event):
    head = "event: custom\naction_source: other\n"
    fields = (
        "  custom_event_name: demo\n  email: ${{ record.mail }}\n  external_id: ${{ record.cid }}\n"
        "  data:\n    note: ${{ record.n }}\n"
    )
    for note in ("write to Ada@Example.com", {"deep": ["CUST-0042"]}, "id CUST-0042 here", {"ada%40example.com": 1}):
        _, mapped = event(fields, {"mail": "ada@example.com", "cid": "CUST-0042", "n": note}, head)
        assert codes(mapped) == [("event.personal-data", "note")]
    assert event(fields, {"cid": "42", "n": "42 pieces"}, head)[0] is not None


def test_source_urls_lose_query_fragment_password_and_people(event):
    fields = "  source_url: ${{ record.u }}\n  email: ${{ record.mail }}\n"

    def url(text):
        return event(fields, {"u": text, "mail": "ada@example.com"})[0]["source_url"]

    assert url("https://a.de/thanks?email=ada@example.com#x") == "https://a.de/thanks"
    assert url("https://me:secret@a.de/thanks") == "https://a.de/thanks"
    assert url("https://a.de/u/ada@example.com/thanks") == "https://a.de/"
    assert url("https://a.de/u/ada%40example.com") == "https://a.de/"
    assert url("HTTPS://A.de") == "HTTPS://A.de"


def test_the_click_reference_is_passed_byte_for_byte(event):
    fields = "  oppref: ${{ record.ref }}\n  landing_url: ${{ record.land }}\n"
    assert event(fields, {"ref": "a%2Bb+c=="})[0]["oppref"] == "a%2Bb+c=="
    assert event(fields, {"land": "/p?utm=1&oppref=a%2Bb+c#top"})[0]["oppref"] == "a%2Bb+c"
    assert event(fields, {"ref": "first", "land": "/?oppref=second"})[0]["oppref"] == "first"
    assert "oppref" not in event(fields, {"ref": " ", "land": "/?x=1"})[0]


def test_without_consent_nothing_is_made(event):
    fields = "  consent: ${{ record.ok }}\n"
    assert event(fields, {"ok": "yes"})[0] is not None
    for value in ("no", "", None, "perhaps", 0, {}):
        _, mapped = event(fields, {"ok": value})
        assert mapped.is_opted_out
        assert codes(mapped) == [("event.opted-out", "consent")]


def test_opt_out_is_a_flag_of_the_event_and_not_consent(event):
    assert event("  opt_out: ${{ record.o }}\n", {"o": "true"})[0]["opt_out"] is True
    assert "opt_out" not in event("  opt_out: ${{ record.o }}\n", {"o": "false"})[0]


def test_destinations_and_trials_can_be_overridden_per_record(event):
    head = HEAD + "pixel: ${{ record.px }}\nconnection: eu\nvalidate_only: ${{ record.try }}\n"
    _, mapped = event("", {"px": "PX2", "try": "true"}, head)
    assert (mapped.pixel_id, mapped.connection, mapped.validate_only) == ("PX2", "eu", True)
    _, mapped = event("", {}, head)
    assert (mapped.pixel_id, mapped.connection, mapped.validate_only) == (None, "eu", False)


def test_names_of_events_are_translated_and_unknown_ones_refused(event):
    head = "event: ${{ record.event }}\naction_source: other\nevent_names:\n  purchase: order_created\n"
    assert event("", {"event": "purchase"}, head)[0]["type"] == "order_created"
    assert event("", {"event": "Lead Created"}, head)[0]["type"] == "lead_created"
    for name, reason in (("scroll", "event.unknown-type"), ("", "event.missing"), (["x"], "event.unknown-type")):
        assert codes(event("", {"event": name}, head)[1]) == [(reason, "event")]


def test_automapping_fills_blanks_and_replaces_nothing(mapping):
    record = {
        "id": "1",
        "timestamp": ISO,
        "page_url": "https://a.de/x?y",
        "ip": "192.0.2.1",
        "useragent": "Mozilla",
        "_csubtotal": ["42.00"],
        "_ccurrency": "USD",
        "_csku": ["a", "b"],
        "_cprodname": ["A", "B"],
        "_cquan": ["1", "2"],
        "_cprice": ["2.00", "20.00"],
        "_ccat": ["product", "product"],
    }
    text = "event: order_created\namount_unit: major\nfields:\n  id: ${{ record.id }}\n"
    sent = msgspec.json.decode(encode_event(mapping(text).apply(record, now=NOW).event))
    assert sent["source_url"] == "https://a.de/x"
    assert sent["user"] == {"ip_address": "192.0.2.1", "user_agent": "Mozilla"}
    assert sent["data"]["amount"] == 4200
    assert sent["data"]["contents"][1] == {
        "id": "b",
        "name": "B",
        "quantity": 2,
        "amount": 2000,
        "content_type": "product",
    }
    explicit = mapping(text + "  ip_address: ${{ record.mine }}\n").apply({**record, "mine": "192.0.2.9"}, now=NOW)
    assert explicit.event.user.ip_address == "192.0.2.9"
    off = mapping(text + "automap: false\n").apply(record, now=NOW)
    assert codes(off) == [("event.missing", "timestamp"), ("event.missing", "source_url")]
    undeclared = mapping(text.replace("amount_unit: major\n", "")).apply(record, now=NOW)
    assert "amount" not in undeclared.event.data
    assert "amount has no declared unit" in undeclared.warnings[0]


def test_expressions_compute_and_their_failures_are_reasons_without_data(event):
    assert (
        event(
            "  plan_id: x\n  currency: ${{ record.c | upper }}\n  amount: ${{ record.a or record.b }}\n",
            {"c": "eur", "b": "5"},
        )[0]["data"]["amount"]
        == 500
    )
    _, mapped = event("  amount: ${{ record.a / 0 }}\n", {"a": 1})
    assert codes(mapped)[0][0] == "mapping.failed"
    _, mapped = event("  oppref: ${{ (record.mail | int(base='x')) }}\n", {"mail": "ada@example.com"})
    assert "ada" not in str(mapped)


@pytest.mark.parametrize("record", [None, [], "text", 5, {}, {"order": None}])
def test_what_is_no_record_is_refused(mapping, record):
    mapped = mapping(f"{HEAD}fields:\n{ID}").apply(record, now=NOW)
    assert mapped.event is None
    assert mapped.refusals


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("event: order_craeted\nfields:\n" + ID, ":1:1", "order_craeted", "order_created"),
        (HEAD + "feilds:\n" + ID, ":4:1", "feilds", "fields"),
        (HEAD + "fields:\n" + ID + "  emial: x\n", ":7:3", "emial", "email"),
        (HEAD + "fields:\n" + ID + "  zip_code: x\n", ":7:3", "zip_code", "Write postal_code."),
        (HEAD + "fields:\n" + ID + "  emails_sha256: x\n", ":7:3", "emails_sha256", "Write email_sha256."),
        (HEAD + "fields:\n" + ID + "  city_sha256: x\n", ":7:3", "city_sha256", "A hashed city cannot be read"),
        (HEAD + "fields:\n" + ID + "  event_id: x\n", ":7:3", "event_id", "Write id."),
        (HEAD + "fields:\n" + ID + "  email: ${{ rec.x }}\n", ":7:3", "rec", "record"),
        (HEAD + "fields:\n" + ID + "  email: ${{ record. }}\n", ":7:3", "cannot read", ""),
        (HEAD + "fields:\n" + ID + "  contents:\n    sku: x\n", ":8:5", "sku", "Known here"),
        (HEAD + "fields: [a]\n", ":4:1", "names and their values", "indented"),
        (HEAD + "timezone: Mars\nfields:\n" + ID, "", "Mars", "Europe/Berlin"),
        (HEAD.replace("major", "cents") + "fields:\n" + ID, ":3:1", "cents", "major"),
        ("event: custom\nfields:\n" + ID + "  amount: 5\n", ":5:3", "unit is not declared", "amount_unit: major"),
        (HEAD.replace("other", "tv") + "fields:\n" + ID, ":2:1", "tv", "web"),
        (HEAD + "preset: shopfy\nfields:\n" + ID, ":4:1", "shopfy", "shopify-order"),
        (HEAD + "phone_country_code: DE\nfields:\n" + ID, ":4:1", "DE", "digits"),
        (HEAD + "automap: maybe\nfields:\n" + ID, ":4:1", "maybe", "true or false"),
        ("fields:\n" + ID, ":1:1", "which event", "event:"),
        ("event: [", ":1", "not valid YAML", ""),
        ("- a\n", ":1:1", "mapping file", ""),
    ],
)
def test_a_mistake_in_a_mapping_has_a_place_and_a_right_word(mapping, text, place, message, hint):
    with pytest.raises(FlowError) as caught:
        mapping(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert place in caught.value.where


def test_a_file_can_start_from_a_preset_and_take_fields_away(mapping):
    loaded = mapping("preset: brevo-order\nfields:\n  currency: EUR\n  email: null\n")
    mapped = loaded.apply({"id": "1", "createdAt": ISO, "amount": 5.5, "email": "ada@example.com"}, now=NOW)
    assert mapped.event.data == {"type": "contents", "amount": 550, "currency": "EUR"}
    assert mapped.event.user is None


def test_a_new_event_type_needs_lines_and_no_code(tmp_path, mapping):
    override = tmp_path / "conversions.toml"
    override.write_text(
        '[types.attribution_appended]\nshape = "attribution"\ncertainty = "uncertain"\nsource = "tealium"\n'
        '[shapes.attribution]\noriginal_event_id = { kind = "text", required = "yes" }\nshare = { kind = "number" }\n'
    )
    contract = load_contract(override)
    text = (
        "event: attribution_appended\naction_source: other\nfields:\n"
        + ID
        + "  original_event_id: ${{ record.first }}\n  share: 0.5\n"
    )
    loaded = mapping(text, contract=contract)
    sent = loaded.apply({**RECORD, "first": "999"}, now=NOW).event
    assert sent.data == {"type": "attribution", "original_event_id": "999", "share": 0.5}
    assert codes(loaded.apply(RECORD, now=NOW)) == [("event.missing", "data.original_event_id")]
    assert "attribution_appended" in str(contract.json_schema())


@pytest.mark.parametrize(
    "text",
    [
        "types = 5",
        '[types.x]\nshape = "nowhere"',
        '[user.shoe_size]\nkind = "text"\ninput = "shoe"',
        "generation = [",
        "[typos]\na = 1",
    ],
)
def test_a_contract_that_does_not_hold_together_is_refused(tmp_path, text):
    override = tmp_path / "conversions.toml"
    override.write_text(text)
    with pytest.raises(SettingsError):
        load_contract(override)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_says_what_it_is_for(name):
    assert load_mapping(name).plan.fields
