"""The vendor's own SDK against the emulated Brevo, over a real loopback server."""

from __future__ import annotations

import httpx
import pytest

pytest.importorskip("brevo")
pytest.importorskip("uvicorn")

from brevo.contacts.types import (
    AddContactToListRequestBodyEmails,
    AddContactToListRequestBodyExtIds,
    AddContactToListRequestBodyIds,
    CreateAttributeRequestEnumerationItem,
    ImportContactsRequestJsonBodyItem,
    ImportContactsRequestNewList,
    RemoveContactFromListRequestBodyAll,
    RemoveContactFromListRequestBodyIds,
    UpdateAttributeRequestEnumerationItem,
)
from brevo.core.api_error import ApiError
from brevo.errors import (
    BadRequestError,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    TooEarlyError,
    TooManyRequestsError,
    UnauthorizedError,
)
from brevo.event.types import (
    CreateBatchEventsRequestEventsItem,
    CreateBatchEventsRequestEventsItemIdentifiers,
    CreateEventRequestIdentifiers,
)

from brevo_wire import SPEC, build_validator, checked, find_template, load_specification, serve_newest
from penstock.sandbox.world import Fault


@pytest.fixture(scope="module")
def site():
    with serve_newest() as site:
        yield site


@pytest.fixture
def brevo(site):
    with site.open() as server:
        yield server


def test_the_specification_is_at_hand_and_knows_our_paths():
    if load_specification() is None:
        pytest.skip(f"{SPEC} is not at hand; set PENSTOCK_SHARED to the folder that holds specs/")
    assert find_template("/contacts/a%40x.org") == "/contacts/{identifier}"
    assert build_validator("/contacts", "get", "200").is_valid({"contacts": [], "count": 0})
    assert not build_validator("/contacts", "get", "200").is_valid({"count": 0})


def test_the_account_has_every_field_that_the_sdk_promises(brevo):
    account = checked(brevo.client().account.get_account())
    assert account.organization_id == brevo.state.organization
    assert account.plan[0].type == "free"


def test_a_contact_goes_through_its_whole_life(brevo):
    contacts = brevo.client().contacts
    made = checked(contacts.create_contact(email="ann+1@x.org", ext_id="crm/1", attributes={"FIRSTNAME": "Ann"}))
    assert (brevo.last.status_code, made.id) == (201, 1)
    for identifier, kind in [("ann+1@x.org", None), (1, None), ("crm%2F1", "ext_id"), (1, "contact_id")]:
        found = checked(contacts.get_contact_info(identifier, identifier_type=kind))
        assert (found.id, found.attributes.FIRSTNAME) == (1, "Ann")
    assert contacts.create_contact(email="ANN+1@x.org", update_enabled=True, attributes={"FIRSTNAME": "A"}) is None
    assert brevo.last.status_code == 204
    contacts.update_contact("crm%2F1", identifier_type="ext_id", attributes={"EMAIL": "new@x.org", "LASTNAME": "Lee"})
    found = contacts.get_contact_info("new@x.org")
    assert (found.attributes.FIRSTNAME, found.attributes.LASTNAME) == ("A", "Lee")
    contacts.delete_contact(1)
    with pytest.raises(NotFoundError) as caught:
        contacts.get_contact_info("new@x.org")
    assert caught.value.body["code"] == "document_not_found"


def test_contacts_without_an_email_are_shown_without_one(brevo):
    contacts = brevo.client().contacts
    contacts.create_contact(attributes={"SMS": "+33612345678"})
    found = checked(contacts.get_contact_info("33612345678", identifier_type="phone_id"))
    assert found.email is None
    assert found.attributes.SMS == "33612345678"


def test_contacts_are_listed_in_pages_windows_and_filters(brevo):
    start = brevo.clock.now()
    made = brevo.state.add_list("one").id
    for number in range(25):
        name = {"FIRSTNAME": "even" if number % 2 == 0 else "odd"}
        brevo.state.add_contact(f"c{number}@x.org", name, lists=[made], created_at=start + number)
    contacts = brevo.client().contacts
    page = checked(contacts.get_contacts(limit=10, offset=20, sort="asc"))
    assert (page.count, [one.id for one in page.contacts]) == (25, [21, 22, 23, 24, 25])
    since = brevo.state.show(brevo.state.contacts[23])["createdAt"]
    assert [one.id for one in contacts.get_contacts(created_since=since).contacts] == [25, 24]
    assert contacts.get_contacts(modified_since=since, list_ids=[made]).count == 2
    assert contacts.get_contacts(ids=[1, 2]).count == 2
    assert contacts.get_contacts(filter='equals(FIRSTNAME,"odd")').count == 12
    with pytest.raises(BadRequestError) as caught:
        contacts.get_contacts(limit=1001)
    assert caught.value.body["code"] == "out_of_range"


def test_a_duplicate_names_the_identifiers_in_its_metadata(brevo):
    contacts = brevo.client().contacts
    brevo.state.add_contact("a@x.org", {"SMS": "33612345678"})
    with pytest.raises(BadRequestError) as created:
        contacts.create_contact(email="a@x.org")
    assert created.value.body["code"] == "duplicate_parameter"
    assert created.value.body["metadata"] == {"duplicate_identifiers": ["email"]}
    with pytest.raises(BadRequestError) as upserted:
        contacts.create_contact(email="b@x.org", attributes={"SMS": "33612345678"}, update_enabled=True)
    assert upserted.value.body["code"] == "invalid_parameter"
    assert upserted.value.body["metadata"] == {"duplicate_identifiers": ["SMS"]}
    merged = contacts.create_contact(email="b@x.org", attributes={"SMS": "33612345678"}, force_merge=True, get_id=True)
    assert merged.id == 1


def test_attributes_of_each_category_can_be_made_changed_and_deleted(brevo):
    contacts = brevo.client().contacts
    contacts.create_attribute("normal", "SCORE", type="float")
    contacts.create_attribute("normal", "TOPICS", type="multiple-choice", multi_category_options=["a", "b"])
    options = [CreateAttributeRequestEnumerationItem(value=1, label="good")]
    contacts.create_attribute("category", "LABEL", enumeration=options)
    contacts.create_attribute("transactional", "ORDER_ID", type="id")
    contacts.create_attribute("calculated", "ORDERS", value="COUNT[ORDER_ID]")
    contacts.create_attribute("global", "ALL_ORDERS", value="SUM[ORDERS]")
    with pytest.raises(BadRequestError):
        contacts.create_attribute("normal", "SCORE", type="float")
    more = [UpdateAttributeRequestEnumerationItem(value=number, label=name) for number, name in ((1, "x"), (2, "y"))]
    contacts.update_attribute("category", "LABEL", enumeration=more)
    contacts.delete_multi_attribute_options("TOPICS", "a")
    contacts.delete_attribute("normal", "SCORE")
    with pytest.raises(NotFoundError):
        contacts.delete_attribute("normal", "SCORE")
    listed = {one.name: one for one in checked(contacts.get_attributes()).attributes}
    assert "SCORE" not in listed
    assert [one.value_str for one in listed["LABEL"].enumeration] == ["1", "2"]
    assert listed["TOPICS"].multi_category_options == ["b"]
    assert listed["ORDERS"].calculated_value == "COUNT[ORDER_ID]"


def test_a_value_of_the_wrong_type_is_lost_with_a_success(brevo):
    brevo.state.add_attribute("SCORE", "float")
    contacts = brevo.client().contacts
    contacts.create_contact(email="a@x.org", attributes={"SCORE": "high", "UNKNOWN": 1})
    assert contacts.get_contact_info("a@x.org").attributes.model_extra == {}


def test_lists_and_folders_can_be_made_filled_and_emptied(brevo):
    contacts = brevo.client().contacts
    for name in "abc":
        brevo.state.add_contact(f"{name}@x.org", ext_id=name)
    folder = checked(contacts.create_folder(name="Penstock")).id
    made = checked(contacts.create_list(name="scored", folder_id=folder)).id
    contacts.update_folder(folder, name="P")
    contacts.update_list(made, name="s")
    assert checked(contacts.get_folder(folder)).name == "P"
    added = contacts.add_contact_to_list(made, request=AddContactToListRequestBodyEmails(emails=["a@x.org", "z@x.org"]))
    assert (checked(added).contacts.success, added.contacts.failure) == (["a@x.org"], ["z@x.org"])
    contacts.add_contact_to_list(made, request=AddContactToListRequestBodyExtIds(ext_ids=["b"]))
    contacts.add_contact_to_list(made, request=AddContactToListRequestBodyIds(ids=[3]))
    with pytest.raises(BadRequestError):
        contacts.add_contact_to_list(made, request=AddContactToListRequestBodyIds(ids=[3]))
    shown = checked(contacts.get_list(made))
    assert (shown.name, shown.unique_subscribers, shown.total_subscribers) == ("s", 3, 0)
    assert checked(contacts.get_lists()).count == 1
    assert checked(contacts.get_folders()).count == 2
    assert checked(contacts.get_folder_lists(folder)).lists[0].id == made
    assert [one.id for one in checked(contacts.get_contacts_from_list(made, sort="asc")).contacts] == [1, 2, 3]
    contacts.remove_contact_from_list(made, request=RemoveContactFromListRequestBodyIds(ids=[1]))
    gone = contacts.remove_contact_from_list(made, request=RemoveContactFromListRequestBodyAll(all=True))
    assert checked(gone).contacts.total == 2
    brevo.clock.advance(60)
    assert contacts.get_contacts_from_list(made).count == 0
    contacts.delete_list(made)
    contacts.delete_folder(folder)
    assert checked(contacts.get_segments()).count == 0
    with pytest.raises(NotFoundError):
        contacts.get_list(made)


def test_an_import_is_followed_to_its_reports(brevo):
    client = brevo.client()
    rows = [
        ImportContactsRequestJsonBodyItem(email="a@x.org", attributes={"FIRSTNAME": "A"}),
        ImportContactsRequestJsonBodyItem(email="nobody"),
    ]
    new = ImportContactsRequestNewList(list_name="imported", folder_id=1)
    process = checked(client.contacts.import_contacts(json_body=rows, new_list=new)).process_id
    assert brevo.last.status_code == 202
    seen = []
    for _ in range(3):
        seen.append(checked(client.process.get_process(process)).status)
        brevo.clock.advance(0.9995)
    assert seen == ["queued", "queued", "completed"]
    reports = checked(client.process.get_process(process)).info.import_
    assert reports.duplicate_ext_id is None
    assert reports.invalid_emails.startswith(brevo.address)
    assert httpx.get(reports.invalid_emails).text == "EMAIL\nnobody\n"
    assert checked(client.process.get_processes(limit=50)).count == 1
    assert client.contacts.get_contact_info("a@x.org").list_ids == [1]


def test_a_csv_import_needs_a_list(brevo):
    contacts = brevo.client().contacts
    with pytest.raises(BadRequestError) as caught:
        contacts.import_contacts(file_body="EMAIL;FIRSTNAME\na@x.org;A")
    assert caught.value.body["code"] == "missing_parameter"
    made = brevo.state.add_list("one").id
    contacts.import_contacts(file_body="EMAIL;FIRSTNAME\na@x.org;A", list_ids=[made])
    brevo.clock.advance(60)
    assert contacts.get_contact_info("a@x.org").attributes.FIRSTNAME == "A"


def test_events_are_tracked_and_read_back(brevo):
    brevo.state.add_contact("a@x.org")
    client = brevo.client()
    client.event.create_event(
        event_name="scored",
        identifiers=CreateEventRequestIdentifiers(email_id="a@x.org"),
        event_properties={"score": 1, "nested": {"label": "good"}},
    )
    found = checked(client.event.get_events(contact_id=1, event_name=["scored"]))
    assert (found.count, found.events[0].event_properties["nested"]) == (1, {"label": "good"})
    with pytest.raises(BadRequestError):
        client.event.create_event(event_name="no spaces", identifiers=CreateEventRequestIdentifiers(email_id="a@x.org"))


def test_the_sdk_hides_the_partial_failure_of_a_batch_that_the_wire_shows(brevo):
    client = brevo.client()
    whose = CreateBatchEventsRequestEventsItemIdentifiers(email_id="a@x.org")
    good = CreateBatchEventsRequestEventsItem(event_name="scored", identifiers=whose)
    bad = CreateBatchEventsRequestEventsItem(event_name="no spaces", identifiers=whose)
    assert checked(client.event.create_batch_events(events=[good])).count == 1
    client.event.create_batch_events(events=[good, bad])
    assert brevo.last.status_code == 207
    assert brevo.last.json()["errors"][0]["eventIndex"] == [1]
    with pytest.raises(BadRequestError):
        client.event.create_batch_events(events=[bad])


@pytest.mark.parametrize("key", ["invalid", "expired", "deactivated", "unlisted-ip"])
def test_a_refused_key_is_unauthorized_and_shows_no_limits(brevo, key):
    brevo.app.limits.enabled = True
    with pytest.raises((UnauthorizedError, ApiError)) as caught:
        brevo.client(f"xkeysib-{key}").account.get_account()
    assert (caught.value.status_code, caught.value.body["code"]) == (401, "unauthorized")
    assert not [name for name in caught.value.headers if name.startswith("x-sib")]


def test_permissions_methods_and_unknown_paths_are_refused(brevo):
    with pytest.raises((ForbiddenError, ApiError)) as readonly:
        brevo.client("xkeysib-readonly").contacts.create_contact(email="a@x.org")
    assert readonly.value.status_code == 403
    with pytest.raises((NotFoundError, ApiError)) as missing:
        brevo.client().coupons.get_coupon_collections()
    assert missing.value.status_code == 404
    brevo.state.add_contact(brevo.state.email)
    with pytest.raises(MethodNotAllowedError):
        brevo.client().contacts.delete_contact(1)


def test_too_many_requests_carry_the_vendors_own_headers(brevo):
    brevo.app.limits.enabled = True
    contacts = brevo.client().contacts
    for _ in range(10):
        contacts.get_contacts()
    with pytest.raises(TooManyRequestsError) as caught:
        contacts.get_contacts()
    assert caught.value.headers["x-sib-ratelimit-remaining"] == "0"
    assert "retry-after" not in caught.value.headers


def test_planned_faults_reach_the_sdk_as_its_own_errors(brevo):
    contacts = brevo.client().contacts
    brevo.world.faults.append(Fault("brevo", "contacts.create", "status", status=425, times=1))
    with pytest.raises(TooEarlyError) as early:
        contacts.create_contact(email="a@x.org")
    assert early.value.body.code == "account_in_process"
    brevo.world.faults.append(Fault("brevo", "contacts.create", "drop", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        contacts.create_contact(email="a@x.org")
    assert not brevo.state.contacts
    brevo.world.faults.append(Fault("brevo", "contacts.create", "lost", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        contacts.create_contact(email="a@x.org")
    assert len(brevo.state.contacts) == 1
    brevo.world.faults.append(Fault("brevo", "contacts.list", "html", times=1))
    with pytest.raises(ApiError) as page:
        contacts.get_contacts()
    assert page.value.status_code == 502
