from __future__ import annotations

import pytest
from brevo_emulator_calls import Calls

from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.world import Fault

LABELS = ("positive", "neutral", "negative")


@pytest.fixture
def brevo() -> Calls:
    return Calls()


async def test_the_account_names_its_organisation(brevo):
    got = await brevo("GET", "account")
    assert got.status == 200
    assert got.json["organization_id"] == brevo.state.organization


@pytest.mark.parametrize(
    ("key", "method", "status", "words"),
    [
        (None, "GET", 401, "authentication"),
        ("xkeysib-invalid", "GET", 401, "not found"),
        ("xkeysib-expired", "GET", 401, "expired"),
        ("xkeysib-deactivated", "GET", 401, "not enabled"),
        ("xkeysib-unlisted-ip", "GET", 401, "unrecognised IP"),
        ("xkeysib-readonly", "GET", 200, ""),
        ("xkeysib-readonly", "POST", 403, "permission"),
    ],
)
async def test_keys_are_refused_for_the_reason_in_their_name(brevo, key, method, status, words):
    brevo.app.limits.enabled = True
    got = await brevo(method, "contacts", {"email": "a@x.org"} if method == "POST" else None, key=key)
    assert got.status == status
    assert words in got.raw.decode()
    assert ("x-sib-ratelimit-limit" in got.headers) == (status == 200)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "nowhere", 404, "document_not_found"),
        ("PATCH", "contacts", 405, "method_not_allowed"),
        ("POST", "contacts/batch", 405, "method_not_allowed"),
        ("GET", "emailCampaigns/9", 404, "document_not_found"),
        ("GET", "smtp/templates/9", 404, "document_not_found"),
        ("GET", "webhooks/9", 404, "document_not_found"),
        ("GET", "products/9", 404, "document_not_found"),
        ("GET", "categories/9", 404, "document_not_found"),
        ("GET", "conversations/messages/9", 404, "document_not_found"),
        ("GET", "inbound/events/9", 404, "document_not_found"),
        ("GET", "inbound/attachments/9", 404, "document_not_found"),
        ("DELETE", "smtp/blockedContacts/a@x.org", 404, "document_not_found"),
        ("GET", "contacts/consent-groups", 403, "CONSENT_GROUP_NOT_ENABLED"),
        ("GET", "contacts/nobody@x.org", 404, "document_not_found"),
        ("GET", "contacts/not-an-id", 400, "invalid_parameter"),
        ("GET", "contacts/lists/9", 404, "document_not_found"),
        ("GET", "contacts/lists/9/contacts", 404, "document_not_found"),
        ("GET", "contacts/folders/9", 404, "document_not_found"),
        ("GET", "processes/9", 404, "invalid_parameter"),
        ("DELETE", "contacts/attributes/normal/NONE", 404, "document_not_found"),
    ],
)
async def test_what_is_not_there_gets_an_error_body(brevo, method, path, status, code):
    got = await brevo(method, path)
    assert (got.status, got.json["code"]) == (status, code)
    assert got.json["message"]


async def test_a_body_must_be_json_in_form_and_name(brevo):
    assert (await brevo("POST", "contacts", b"{", media="application/json")).json["code"] == "bad_request"
    assert (await brevo("POST", "contacts", b"{}", media="text/plain")).status == 415
    assert (await brevo("POST", "contacts", {"email": 5})).json["code"] == "invalid_parameter"
    assert (await brevo("POST", "contacts", {})).json["code"] == "missing_parameter"
    assert (await brevo("POST", "contacts", {"email": "no address"})).status == 400
    assert (await brevo("POST", "contacts", {"email": "a@x.org", "listIds": [9]})).status == 400


async def test_a_new_contact_is_201_and_a_known_one_204(brevo):
    created = await brevo("POST", "contacts", {"email": "Ann@x.org", "attributes": {"FIRSTNAME": "Ann"}})
    assert (created.status, created.json) == (201, {"id": 1})
    again = await brevo("POST", "contacts", {"email": "ann@X.org"})
    assert (again.status, again.json["code"]) == (400, "duplicate_parameter")
    assert again.json["metadata"] == {"duplicate_identifiers": ["email"]}
    update = {"email": "ann@x.org", "attributes": {"FIRSTNAME": "Anne"}, "updateEnabled": True}
    updated = await brevo("POST", "contacts", update)
    assert (updated.status, updated.raw) == (204, b"")
    assert (await brevo("POST", "contacts", {**update, "getId": True})).json == {"id": 1}
    shown = await brevo.contact("ann%40x.org")
    assert shown["email"] == "Ann@x.org"
    assert shown["attributes"] == {"FIRSTNAME": "Anne"}


async def test_contacts_are_found_by_each_of_their_identifiers(brevo):
    attributes = {"SMS": "+33612345678", "WHATSAPP": "0033700000000", "LANDLINE_NUMBER": "33100000000"}
    await brevo("POST", "contacts", {"email": "a@x.org", "ext_id": "crm/1", "attributes": attributes})
    for identifier, kind in [
        ("a@x.org", None),
        ("1", None),
        ("33612345678", None),
        ("a@x.org", "email_id"),
        ("1", "contact_id"),
        ("crm%2F1", "ext_id"),
        ("%2B33612345678", "phone_id"),
        ("33700000000", "whatsapp_id"),
        ("33100000000", "landline_number_id"),
    ]:
        shown = await brevo.contact(identifier, kind)
        assert shown["id"] == 1, identifier
    assert shown["attributes"]["EXT_ID"] == "crm/1"
    assert shown["attributes"]["SMS"] == "33612345678"
    assert (await brevo("GET", "contacts/1", query={"identifierType": "name"})).status == 400
    assert (await brevo("PUT", "contacts/crm%2F1", {"attributes": {}})).status == 400


async def test_a_phone_that_is_no_phone_rejects_the_contact(brevo):
    got = await brevo("POST", "contacts", {"email": "a@x.org", "attributes": {"SMS": "06 12"}})
    assert (got.status, got.json["message"]) == (400, "Invalid phone number: 06 12")
    assert await brevo.contact("a@x.org") is None


async def test_an_identifier_of_somebody_else_fails_the_whole_write_in_both_spellings():
    for code in ("invalid_parameter", "duplicate_parameter"):
        brevo = Calls(duplicate_code=code)
        brevo.state.add_contact("a@x.org", {"SMS": "33612345678"}, ext_id="one")
        brevo.state.add_contact("b@x.org")
        body = {"attributes": {"SMS": "+33612345678", "FIRSTNAME": "B"}, "ext_id": "one"}
        got = await brevo("PUT", "contacts/b@x.org", body)
        assert (got.status, got.json["code"]) == (400, code)
        assert sorted(got.json["metadata"]["duplicate_identifiers"]) == ["SMS", "ext_id"]
        assert (await brevo.contact("b@x.org"))["attributes"] == {}
        upsert = await brevo("POST", "contacts", {"email": "c@x.org", "updateEnabled": True, **body})
        assert upsert.json["code"] == code
        assert not brevo.world.writes


async def test_a_forced_merge_keeps_the_last_modified_and_deletes_the_other(brevo):
    brevo.state.add_contact("a@x.org", {"SMS": "33612345678"})
    brevo.clock.advance(5)
    brevo.state.add_contact("b@x.org")
    body = {"email": "b@x.org", "attributes": {"SMS": "33612345678"}, "forceMerge": True, "getId": True}
    got = await brevo("POST", "contacts", body)
    assert got.json == {"id": 2}
    assert await brevo.contact("a@x.org") is None
    assert (await brevo.contact("33612345678", "phone_id"))["id"] == 2


async def test_a_new_address_lifts_the_blocklisting(brevo):
    brevo.state.add_contact("a@x.org", email_blacklisted=True)
    brevo.state.add_contact("b@x.org", email_blacklisted=True)
    await brevo("PUT", "contacts/a@x.org", {"attributes": {"EMAIL": "new@x.org"}})
    await brevo("PUT", "contacts/b@x.org", {"attributes": {"EMAIL": "b@x.org", "FIRSTNAME": "B"}})
    assert (await brevo.contact("new@x.org"))["emailBlacklisted"] is False
    assert (await brevo.contact("b@x.org"))["emailBlacklisted"] is True
    assert await brevo.contact("a@x.org") is None


async def test_flags_change_only_when_they_are_sent(brevo):
    brevo.state.add_contact("a@x.org", email_blacklisted=True)
    await brevo("POST", "contacts", {"email": "a@x.org", "smsBlacklisted": True, "updateEnabled": True})
    shown = await brevo.contact("a@x.org")
    assert (shown["emailBlacklisted"], shown["smsBlacklisted"], shown["whatsappBlacklisted"]) == (True, True, False)
    await brevo("POST", "contacts", {"email": "a@x.org", "emailBlacklisted": False, "updateEnabled": True})
    assert (await brevo.contact("a@x.org"))["emailBlacklisted"] is False


async def test_list_unsubscriptions_show_only_where_the_account_has_them():
    plain, strict = Calls(), Calls(per_list_unsubscription=True)
    for brevo in (plain, strict):
        brevo.state.add_contact("a@x.org", unsubscribed=[1])
    assert "listUnsubscribed" not in await plain.contact("a@x.org")
    assert (await strict.contact("a@x.org"))["listUnsubscribed"] == [1]


async def test_contacts_without_an_address_have_none_or_a_synthetic_one():
    plain, old = Calls(), Calls(synthetic_addresses=True)
    for brevo in (plain, old):
        assert (await brevo("POST", "contacts", {"attributes": {"SMS": "33612345678"}})).status == 201
    assert "email" not in await plain.contact("1")
    assert (await old.contact("1"))["email"] == "33612345678@mailin-sms.com"


async def test_a_deleted_contact_leaves_nothing_behind(brevo):
    made = brevo.state.add_list("news")
    brevo.state.add_contact("a@x.org", {"SMS": "33612345678"}, ext_id="e", lists=[made.id])
    assert (await brevo("DELETE", "contacts/e", query={"identifierType": "ext_id"})).status == 204
    assert (await brevo("DELETE", "contacts/1")).status == 404
    assert (await brevo("GET", f"contacts/lists/{made.id}")).json["uniqueSubscribers"] == 0
    assert (await brevo("POST", "contacts", {"email": "a@x.org", "ext_id": "e"})).json == {"id": 2}


async def test_the_owner_of_the_account_cannot_be_deleted(brevo):
    brevo.state.add_contact(brevo.state.email)
    assert (await brevo("DELETE", "contacts/1")).status == 405


async def test_values_of_the_wrong_type_and_unknown_names_vanish_without_an_error(brevo):
    brevo.state.add_attribute("SCORE", "float")
    brevo.state.add_attribute("AT", "date")
    brevo.state.add_attribute("REVIEW", "boolean")
    brevo.state.add_attribute("TOPICS", "multiple-choice", enumeration=["price", "staff"])
    brevo.state.add_attribute("LABEL", category="category", enumeration=LABELS)
    wrong = {
        "SCORE": "0.5",
        "AT": "20/11/2026",
        "REVIEW": "yes",
        "TOPICS": ["price", "weather"],
        "LABEL": "furious",
        "FIRSTNAME": 5,
        "NOWHERE": "x",
        "lastname": "x",
    }
    got = await brevo("POST", "contacts", {"email": "a@x.org", "attributes": wrong})
    assert got.status == 201
    assert (await brevo.contact("a@x.org"))["attributes"] == {}
    right = {"SCORE": 0.5, "AT": "2026-11-20", "REVIEW": False, "TOPICS": ["price"], "LABEL": "negative"}
    assert (await brevo("PUT", "contacts/1", {"attributes": right})).status == 204
    assert (await brevo.contact("1"))["attributes"] == {**right, "LABEL": 3}
    await brevo("PUT", "contacts/1", {"attributes": {"SCORE": "", "AT": None}})
    assert "SCORE" not in (await brevo.contact("1"))["attributes"]
    assert "AT" in (await brevo.contact("1"))["attributes"]
    assert brevo.world.writes[-1].fields == ("SCORE",)


async def test_a_cleared_phone_is_free_for_somebody_else(brevo):
    brevo.state.add_contact("a@x.org", {"SMS": "33612345678"})
    await brevo("PUT", "contacts/1", {"attributes": {"SMS": ""}})
    assert (await brevo("POST", "contacts", {"email": "b@x.org", "attributes": {"SMS": "33612345678"}})).status == 201


async def test_attributes_are_made_once_and_keep_their_type(brevo):
    path = "contacts/attributes/normal/SCORE"
    assert (await brevo("POST", path, {"type": "float"})).status == 201
    assert (await brevo("POST", path, {"type": "float"})).json["code"] == "invalid_parameter"
    assert (await brevo("PUT", path, {"type": "text", "value": "x"})).status == 400
    assert (await brevo("PUT", path, {})).status == 400
    assert (await brevo("DELETE", path)).status == 204
    assert (await brevo("PUT", path, {"value": "x"})).status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("normal/score", {"type": "float"}),
        ("odd/SCORE", {"type": "float"}),
        ("normal/SCORE", {"type": "id"}),
        ("normal/SCORE", {"type": "category"}),
        ("normal/SCORE", {}),
        ("normal/SCORE", {"type": "multiple-choice"}),
        ("normal/SCORE", {"type": "multiple-choice", "multiCategoryOptions": ["x" * 201]}),
        ("transactional/SCORE", {"type": "user"}),
        ("category/SCORE", {}),
        ("category/SCORE", {"type": "text", "enumeration": [{"value": 1, "label": "a"}]}),
        ("category/SCORE", {"enumeration": [{"value": 1, "label": "x" * 201}]}),
        ("calculated/SCORE", {}),
        ("global/SCORE", {}),
    ],
)
async def test_an_attribute_that_cannot_be_is_refused(brevo, path, body):
    assert (await brevo("POST", f"contacts/attributes/{path}", body)).status == 400
    assert "SCORE" not in brevo.state.attributes


async def test_attributes_of_every_category_are_listed_as_the_vendor_does(brevo):
    for path, body in {
        "category/LANGUAGE": {"enumeration": [{"value": "en", "label": "English"}, {"value": 2, "label": "French"}]},
        "normal/TOPICS": {"type": "multiple-choice", "multiCategoryOptions": ["price", "staff"]},
        "transactional/ORDER_ID": {"type": "id"},
        "calculated/ORDERS": {"value": "COUNT[ORDER_ID]"},
        "global/ALL_ORDERS": {"value": "SUM[ORDERS]"},
    }.items():
        assert (await brevo("POST", f"contacts/attributes/{path}", body)).status == 201
    listed = {one["name"]: one for one in (await brevo("GET", "contacts/attributes")).json["attributes"]}
    assert listed["FIRSTNAME"] == {"name": "FIRSTNAME", "category": "normal", "type": "text"}
    assert listed["LANGUAGE"]["enumeration"] == [
        {"value": 0, "valueStr": "en", "label": "English"},
        {"value": 2, "valueStr": "2", "label": "French"},
    ]
    assert listed["TOPICS"]["multiCategoryOptions"] == ["price", "staff"]
    assert listed["ORDERS"]["calculatedValue"] == "COUNT[ORDER_ID]"
    assert (await brevo("DELETE", "contacts/attributes/multiple-choice/TOPICS/price")).status == 204
    assert (await brevo("DELETE", "contacts/attributes/multiple-choice/TOPICS/price")).status == 404
    new = {"multiCategoryOptions": ["staff", "food"]}
    assert (await brevo("PUT", "contacts/attributes/normal/TOPICS", new)).status == 204
    assert brevo.state.attributes["TOPICS"].choices == ["staff", "food"]


async def test_transactional_attributes_need_the_one_that_identifies_them(brevo):
    brevo.state.add_attribute("ORDER_ID", "id", "transactional")
    brevo.state.add_attribute("ORDER_PRICE", "float", "transactional")
    got = await brevo("POST", "contacts", {"email": "a@x.org", "attributes": {"ORDER_PRICE": 5}})
    assert got.json["message"] == "Transactional attribute as primary Key is missing"
    whole = {"email": "a@x.org", "attributes": {"ORDER_PRICE": 5, "ORDER_ID": "1"}}
    assert (await brevo("POST", "contacts", whole)).status == 201


async def test_a_deleted_attribute_takes_its_values_along(brevo):
    brevo.state.add_contact("a@x.org", {"FIRSTNAME": "Ann", "LASTNAME": "Lee"})
    await brevo("DELETE", "contacts/attributes/normal/FIRSTNAME")
    assert (await brevo.contact("1"))["attributes"] == {"LASTNAME": "Lee"}


async def test_own_writes_move_the_time_of_modification_even_when_nothing_changed(brevo):
    brevo.state.add_contact("a@x.org", {"FIRSTNAME": "Ann"})
    before = await brevo.contact("1")
    brevo.clock.advance(10)
    await brevo("PUT", "contacts/1", {"attributes": {"FIRSTNAME": "Ann"}})
    after = await brevo.contact("1")
    assert after["createdAt"] == before["createdAt"]
    assert after["modifiedAt"] > before["modifiedAt"]
    assert brevo.state.repeats == {"contacts.update": 1}
    assert [(one.operation, one.target, one.fields) for one in brevo.world.writes] == [
        ("contacts.update", "1", ("FIRSTNAME",))
    ]


async def test_the_contacts_family_lets_ten_a_second_through():
    brevo = Calls(BrevoLimits())
    got = [await brevo("GET", "contacts") for _ in range(11)]
    assert [one.status for one in got] == [200] * 10 + [429]
    assert [int(one.headers["x-sib-ratelimit-remaining"]) for one in got] == [*range(9, -1, -1), 0]
    assert got[-1].headers["x-sib-ratelimit-limit"] == "10"
    assert got[-1].headers["x-sib-ratelimit-reset"] == "1"
    assert got[-1].json["code"] == "too_many_requests"
    assert (await brevo("POST", "events", {"event_name": "e", "identifiers": {"email_id": "a@x.org"}})).status == 204
    brevo.clock.advance(1)
    assert (await brevo("GET", "contacts")).status == 200


async def test_everything_else_shares_a_hundred_an_hour():
    brevo = Calls(BrevoLimits())
    brevo.clock.advance(3600 - brevo.clock.now() % 3600)
    statuses = [(await brevo("GET", path)).status for path in ("account", "processes", "events", "nowhere") * 26]
    assert [status == 429 for status in statuses] == [False] * 100 + [True] * 4
    brevo.clock.advance(3599)
    refused = await brevo("GET", "account")
    assert (refused.status, refused.headers["x-sib-ratelimit-reset"]) == (429, "1")
    brevo.clock.advance(1)
    assert (await brevo("GET", "account")).status == 200


async def test_the_hour_binds_when_less_of_it_is_left_than_of_the_second():
    brevo = Calls(BrevoLimits(0.001))
    brevo.clock.advance(3600 - brevo.clock.now() % 3600)
    for _ in range(36):
        got = await brevo("GET", "contacts")
        assert got.status == 200
        brevo.clock.advance(1)
    refused = await brevo("GET", "contacts")
    assert refused.status == 429
    assert refused.headers["x-sib-ratelimit-limit"] == "36"
    assert int(refused.headers["x-sib-ratelimit-reset"]) == 3564


async def test_limits_scale_and_can_be_switched_off():
    brevo = Calls(BrevoLimits(2))
    assert [(await brevo("GET", "contacts")).status for _ in range(21)] == [200] * 20 + [429]
    brevo.app.limits.scale = 3
    assert (await brevo("GET", "contacts")).status == 200
    brevo.app.limits.enabled = False
    got = [await brevo("GET", "contacts") for _ in range(50)]
    assert {one.status for one in got} == {200}
    assert "x-sib-ratelimit-limit" not in got[0].headers


async def test_the_bare_contacts_path_may_be_on_the_slow_meter():
    brevo = Calls(BrevoLimits(bare_contacts="other"))
    assert (await brevo("GET", "contacts")).headers["x-sib-ratelimit-limit"] == "100"
    assert (await brevo("GET", "contacts/lists")).headers["x-sib-ratelimit-limit"] == "10"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(kind="status", status=425), 425, "account_in_process"),
        (Fault(kind="status", status=429, seconds=30), 429, "too_many_requests"),
        (Fault(kind="status", status=500), 500, "internal_error"),
        (Fault(kind="status", status=402, code="own"), 402, "own"),
    ],
)
async def test_a_planned_status_is_answered_instead_of_the_work(fault, status, code):
    brevo = Calls(faults=[fault])
    got = await brevo("POST", "contacts", {"email": "a@x.org"})
    assert (got.status, got.json["code"]) == (status, code)
    assert not brevo.state.contacts
    if status == 429:
        assert got.headers["x-sib-ratelimit-reset"] == "30"


async def test_a_dropped_call_does_no_work_and_a_lost_one_does():
    for kind, contacts in (("drop", 0), ("lost", 1)):
        brevo = Calls(faults=[Fault("brevo", "contacts.create", kind, times=1)])
        with pytest.raises(ConnectionResetError):
            await brevo("POST", "contacts", {"email": "a@x.org"})
        assert len(brevo.state.contacts) == contacts
        assert len(brevo.world.writes) == contacts
        assert brevo.world.calls["brevo", "contacts.create", 0] == 1
        assert (await brevo("GET", "contacts")).status == 200


async def test_slow_and_hanging_answers_take_their_time():
    for kind in ("slow", "hang"):
        brevo = Calls(faults=[Fault("*", "contacts.create", kind, seconds=90)])
        start = brevo.clock.now()
        got = await brevo.clock.run(brevo("POST", "contacts", {"email": "a@x.org"}))
        assert got.status == 201
        assert brevo.clock.now() - start == 90


async def test_a_cut_answer_is_not_json_and_a_gateway_speaks_html():
    brevo = Calls(faults=[Fault(kind="malformed", times=1), Fault(kind="html")])
    cut = await brevo("POST", "contacts", {"email": "a@x.org"})
    assert cut.status == 200
    with pytest.raises(ValueError, match="Expecting"):
        cut.json  # noqa: B018 - reading is what fails
    page = await brevo("GET", "contacts")
    assert (page.status, page.headers["content-type"]) == (502, "text/html")


async def test_an_answer_can_be_lost_behind_a_gateway_page():
    brevo = Calls(faults=[Fault(kind="lost", status=504)])
    page = await brevo("POST", "contacts", {"email": "a@x.org"})
    assert (page.status, page.headers["content-type"]) == (504, "text/html")
    assert len(brevo.state.contacts) == 1


async def test_lists_and_folders_live_and_die_together(brevo):
    folder = (await brevo("POST", "contacts/folders", {"name": "Penstock"})).json["id"]
    assert (await brevo("POST", "contacts/lists", {"name": "a", "folderId": 99})).status == 404
    assert (await brevo("POST", "contacts/lists", {"name": "a"})).json["code"] == "missing_parameter"
    made = (await brevo("POST", "contacts/lists", {"name": "a", "folderId": folder})).json["id"]
    assert (await brevo("PUT", f"contacts/lists/{made}", {"name": "b", "folderId": 1})).status == 400
    assert (await brevo("PUT", f"contacts/lists/{made}", {"name": "b"})).status == 204
    brevo.state.add_contact("a@x.org", lists=[made])
    shown = (await brevo("GET", f"contacts/lists/{made}")).json
    assert (shown["name"], shown["uniqueSubscribers"], shown["totalSubscribers"]) == ("b", 1, 0)
    assert (await brevo("GET", f"contacts/folders/{folder}/lists")).json["count"] == 1
    assert (await brevo("PUT", f"contacts/folders/{folder}", {"name": "P"})).status == 204
    assert (await brevo("GET", "contacts/folders", query={"sort": "asc"})).json["folders"][1]["name"] == "P"
    assert (await brevo("DELETE", f"contacts/folders/{folder}")).status == 204
    assert (await brevo("GET", f"contacts/lists/{made}")).status == 404
    assert (await brevo.contact("a@x.org"))["listIds"] == []
    assert (await brevo("GET", "contacts/lists", query={"limit": 51})).json["code"] == "out_of_range"


async def test_members_come_and_go_with_failures_named(brevo):
    made = brevo.state.add_list("a").id
    for name in "abc":
        brevo.state.add_contact(f"{name}@x.org", ext_id=name)
    path = f"contacts/lists/{made}/contacts"
    added = await brevo("POST", f"{path}/add", {"emails": ["a@x.org", "z@x.org"]})
    assert (added.status, added.json) == (201, {"contacts": {"success": ["a@x.org"], "failure": ["z@x.org"]}})
    again = await brevo("POST", f"{path}/add", {"emails": ["a@x.org"]})
    assert (again.status, again.json["code"]) == (400, "invalid_parameter")
    assert (await brevo("POST", f"{path}/add", {"ids": [2], "extIds": ["c"]})).status == 400
    assert (await brevo("POST", f"{path}/add", {"extIds": ["b", "c"]})).status == 201
    assert (await brevo("POST", f"{path}/add", {"ids": list(range(151))})).json["code"] == "out_of_range"
    assert [one["id"] for one in (await brevo("GET", path)).json["contacts"]] == [3, 2, 1]
    assert (await brevo("POST", f"{path}/remove", {"ids": [1]})).status == 201
    gone = (await brevo("POST", f"{path}/remove", {"all": True})).json["contacts"]
    assert gone["total"] == 2
    assert (await brevo("GET", path)).json["count"] == 2
    assert (await brevo.finish(gone["processId"]))["status"] == "completed"
    assert (await brevo("GET", path)).json == {"contacts": [], "count": 0}
