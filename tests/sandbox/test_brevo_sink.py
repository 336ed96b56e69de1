from __future__ import annotations

from datetime import date

import msgspec
import pytest
from brevo_desk import Desk
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import AccessError
from penstock.base.types import Change, Problem, Sink
from penstock.data.brevo import BrevoSink
from penstock.data.brevo_events import MARK, build_event
from penstock.data.brevo_imports import cut_chunks, read_report
from penstock.data.brevo_schema import Attribute, Option, check_field, encode, is_same, with_options
from penstock.data.brevo_targets import Row, Target, find_target
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.vendor.brevo import Brevo
from penstock.vendor.http import Http

MANY = 700  # more than a minute of single updates at ten a second


def score(email: str, value=0.5, *, change_id: str | None = None, match=None) -> Change:
    return Change(change_id or f"score-{email}", "attributes", match or {"email": email}, {"SENTIMENT_SCORE": value})


def event(email: str, number: int = 0, **fields) -> Change:
    content = {"name": "sentiment_scored", "properties": {"score": 0.5}, **fields}
    return Change(f"event-{email}-{number}", "event", {"email": email}, content)


def write(desk: Desk, changes, **options):
    return desk.clock.run(desk.sink(**options).write(changes))


def find(desk: Desk, changes, **options):
    return desk.clock.run(desk.sink(**options).find(changes))


def states(outcomes):
    return [outcome.state for outcome in outcomes]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.add_score()
    return desk


def test_brevo_is_a_sink():
    assert isinstance(Desk().sink(), Sink)


# --- singly ---------------------------------------------------------------------------------------------------------


async def test_attributes_of_existing_contacts_are_set(desk):
    emails = desk.add_people(30)
    assert set(states(await write(desk, [score(email, n / 30) for n, email in enumerate(emails)]))) == {"confirmed"}
    assert desk.values("SENTIMENT_SCORE") == {email: n / 30 for n, email in enumerate(emails)}


async def test_a_contact_that_is_not_there_is_not_created_by_default(desk):
    (outcome,) = await write(desk, [score("nobody@example.com")])
    assert (outcome.state, outcome.problem.code) == ("rejected", "brevo.no-such-contact")
    assert desk.state.contacts == {}


async def test_a_contact_is_created_where_that_is_wanted(desk):
    changes = [score("new@example.com"), score("", match={"ext_id": "crm-1"})]
    assert states(await write(desk, changes, create_contacts=True)) == ["confirmed", "confirmed"]
    assert len(desk.state.contacts) == 2


async def test_contacts_are_matched_by_id_before_outside_id_before_email(desk):
    contact = desk.state.add_contact("ada@example.com", ext_id="crm-7")
    for match in ({"id": contact.id, "email": "other@example.com"}, {"ext_id": "crm-7"}, {"email": "ADA@example.com"}):
        assert states(await write(desk, [score("", match=match)])) == ["confirmed"]


@pytest.mark.parametrize(
    ("match", "code"),
    [
        ({}, "brevo.no-identifier"),
        ({"email": ""}, "brevo.no-identifier"),
        ({"email": "not an address"}, "brevo.no-identifier"),
        ({"email": "33612345678@mailin-sms.com"}, "brevo.no-identifier"),
        ({"id": "seven"}, "brevo.bad-identifier"),
    ],
)
def test_a_match_without_a_usable_identifier_says_so(match, code):
    found = find_target(match)
    assert isinstance(found, Problem)
    assert found.code == code


async def test_updates_of_one_contact_are_written_in_their_order(desk):
    desk.add_people(20)
    changes = [score(f"person{n % 3}@example.com", float(n), change_id=f"s{n}") for n in range(30)]
    assert set(states(await write(desk, changes))) == {"confirmed"}
    assert [desk.values("SENTIMENT_SCORE")[f"person{n}@example.com"] for n in range(3)] == [27.0, 28.0, 29.0]


@pytest.mark.parametrize("code", ["duplicate_parameter", "invalid_parameter"])
async def test_a_taken_identifier_is_a_conflict_and_nothing_is_merged(desk, code):
    taken = {"code": code, "message": "taken", "metadata": {"duplicate_identifiers": ["ext_id"]}}

    async def answer(scope, receive, send):
        is_read = scope["method"] == "GET"
        body = (
            {"attributes": [{"name": "SENTIMENT_SCORE", "category": "normal", "type": "float"}]} if is_read else taken
        )
        await send({"type": "http.response.start", "status": 200 if is_read else 400, "headers": []})
        await send({"type": "http.response.body", "body": msgspec.json.encode(body)})

    http = Http(apps={"api.brevo.com": answer})
    sink = BrevoSink(BrevoCaller(Brevo(http, "xkeysib-test-0123"), desk.clock), desk.account, desk.effects)
    (outcome,) = await desk.clock.run(sink.write([score("ada@example.com")]))
    assert (outcome.state, outcome.problem.code) == ("conflict", "brevo.duplicate")
    assert "ext_id" in outcome.problem.message


async def test_no_request_ever_asks_for_a_merge(desk):
    await write(desk, [score(email) for email in desk.add_people(5)], create_contacts=True)
    assert "forceMerge" not in repr(desk.gateway.bodies)


async def test_a_refused_update_is_rejected_with_a_hint(desk):
    desk.add_people(1)
    desk.fault("contacts.update", "status", status=400, times=1)
    (outcome,) = await write(desk, [score("person0@example.com")])
    assert outcome.state == "rejected"
    assert outcome.problem.hint


@pytest.mark.parametrize("kind", ["lost", "drop", "html", "malformed"])
async def test_an_update_whose_answer_is_lost_is_confirmed_in_the_end(desk, kind):
    desk.add_people(1)
    desk.fault("contacts.update", kind, times=2)
    assert states(await write(desk, [score("person0@example.com")])) == ["confirmed"]
    assert desk.values("SENTIMENT_SCORE") == {"person0@example.com": 0.5}


async def test_one_contact_that_brevo_is_working_on_comes_later_and_holds_up_nobody(desk):
    emails = desk.add_people(40)
    desk.fault("contacts.update", "status", status=425, code="account_in_process", times=6)
    outcomes = await write(desk, [score(email) for email in emails])
    assert states(outcomes).count("confirmed") >= 39


async def test_a_contact_that_brevo_is_always_working_on_comes_later(desk):
    desk.add_people(1)
    desk.fault("contacts.update", "status", status=425, code="account_in_process")
    (outcome,) = await write(desk, [score("person0@example.com")])
    assert (outcome.state, outcome.problem.code) == ("later", "brevo.in-process")


async def test_a_refused_key_stops_the_run(desk):
    desk.add_people(5)
    desk.fault("contacts.update", "status", status=401)
    with pytest.raises(AccessError):
        await write(desk, [score(f"person{n}@example.com") for n in range(5)])


async def test_an_unknown_kind_of_change_is_rejected(desk):
    (outcome,) = await write(desk, [Change("x", "letter", {"email": "a@example.com"}, {})])
    assert (outcome.state, outcome.problem.code) == ("rejected", "brevo.unknown-kind")


# --- what Brevo would drop in silence -------------------------------------------------------------------------------


async def test_a_value_of_the_wrong_type_is_refused_before_it_is_sent(desk):
    desk.add_people(1)
    (outcome,) = await write(desk, [score("person0@example.com", "very happy")])
    assert (outcome.state, outcome.problem.code) == ("rejected", "brevo.wrong-type")
    assert desk.count("contacts.update") == 0


async def test_an_unknown_attribute_is_refused_before_it_is_sent(desk):
    desk.add_people(1)
    change = Change("x", "attributes", {"email": "person0@example.com"}, {"SENTIMENT_MOOD": "x"})
    (outcome,) = await write(desk, [change])
    assert (outcome.state, outcome.problem.code) == ("rejected", "brevo.no-such-attribute")


@pytest.mark.parametrize("name", ["EMAIL", "SMS", "EXT_ID", "email"])
async def test_who_a_contact_is_can_never_be_changed(desk, name):
    desk.state.add_contact("person0@example.com", email_blacklisted=True)
    change = Change("x", "attributes", {"email": "person0@example.com"}, {name: "other@example.com"})
    (outcome,) = await write(desk, [change])
    assert outcome.problem.code == "brevo.identity-attribute"
    assert desk.count("contacts.update") == 0


@pytest.mark.parametrize("create", [False, True])
async def test_no_request_ever_carries_a_blocklist_flag(desk, create):
    contact = desk.state.add_contact("blocked@example.com", email_blacklisted=True, sms_blacklisted=True)
    emails = ["blocked@example.com", *desk.add_people(MANY)]
    await write(desk, [score(email) for email in emails] + [event(emails[0])], create_contacts=create)
    await write(desk, [score(email) for email in emails[:3]], create_contacts=create)
    sent = repr(desk.gateway.bodies).lower()
    assert "lacklist" not in sent
    assert "unlink" not in sent
    assert contact.email_blacklisted
    assert contact.sms_blacklisted


async def test_options_are_added_to_owned_categories_only(desk):
    desk.state.add_attribute("SENTIMENT_LABEL", category="category", enumeration=["positive"])
    desk.state.add_attribute("SENTIMENT_TOPICS", "multiple-choice", enumeration=["price"])
    desk.state.add_attribute("CITY", category="category", enumeration=["Paris"])
    desk.add_people(3)
    fields = [
        {"SENTIMENT_LABEL": "negative", "SENTIMENT_TOPICS": ["price", "delivery"]},
        {"SENTIMENT_LABEL": "positive", "SENTIMENT_TOPICS": "delivery"},
        {"CITY": "Lyon"},
    ]
    changes = [Change(f"c{n}", "attributes", {"email": f"person{n}@example.com"}, one) for n, one in enumerate(fields)]
    outcomes = await write(desk, changes)
    assert states(outcomes) == ["confirmed", "confirmed", "rejected"]
    assert outcomes[2].problem.code == "brevo.no-such-option"
    assert set(desk.state.attributes["SENTIMENT_LABEL"].options.values()) == {"positive", "negative"}
    assert desk.values("SENTIMENT_TOPICS")["person0@example.com"] == ["price", "delivery"]
    assert states(await find(desk, changes[:2])) == ["confirmed", "confirmed"]


async def test_the_check_names_both_types_and_says_how_to_mend_it(desk):
    desk.state.add_attribute("SENTIMENT_LABEL", "date")
    fields = {"SENTIMENT_SCORE": "number", "SENTIMENT_LABEL": "text", "SENTIMENT_AT": "date", "lower": "text"}
    findings = await desk.clock.run(desk.sink().check(fields))
    assert [finding.verdict for finding in findings] == ["ok", "fail", "fail", "fail"]
    assert "type date" in findings[1].message
    assert "text values" in findings[1].message
    assert "--apply-schema" in findings[2].fix
    assert "LOWER" in findings[3].fix
    assert desk.world.writes.maxlen
    assert not desk.world.writes


async def test_missing_attributes_are_created_once_and_existing_ones_are_never_changed(desk):
    desk.state.add_attribute("SENTIMENT_LABEL", "date")
    fields = {"SENTIMENT_LABEL": "text", "SENTIMENT_AT": "date", "SENTIMENT_OK": "boolean", "bad name": "text"}
    sink = desk.sink()
    assert await desk.clock.run(sink.create_missing(fields)) == ["SENTIMENT_AT", "SENTIMENT_OK"]
    assert await desk.clock.run(sink.create_missing(fields)) == []
    assert desk.state.attributes["SENTIMENT_LABEL"].type == "date"
    assert desk.state.attributes["SENTIMENT_OK"].type == "boolean"


async def test_an_attribute_whose_creation_was_lost_on_the_way_back_is_not_an_error(desk):
    desk.fault("attributes.create", "lost", times=1)
    await desk.clock.run(desk.sink().create_missing({"SENTIMENT_AT": "date"}))
    assert "SENTIMENT_AT" in desk.state.attributes


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("float", 3, 3.0),
        ("float", "0.25", 0.25),
        ("float", True, None),
        ("float", float("nan"), None),
        ("float", float("inf"), None),
        ("text", 3, "3"),
        ("text", ["a", "b"], "a, b"),
        ("text", {"a": 1}, None),
        ("boolean", "yes", True),
        ("boolean", 0, False),
        ("boolean", "perhaps", None),
        ("date", "2026-11-20T10:00:00Z", "2026-11-20"),
        ("date", date(2026, 11, 20), "2026-11-20"),
        ("date", "20/11/2026", None),
        ("date", 5, None),
        ("float", None, ""),
        ("date", "", ""),
    ],
)
def test_values_are_encoded_for_the_type_of_the_attribute_or_refused(type, value, expected):
    encoded = encode(Attribute("NAME", "normal", type), "NAME", value)
    if expected is None:
        assert isinstance(encoded, Problem)
    else:
        assert encoded == expected


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()), st.dates()))
def test_every_value_is_either_encoded_so_that_it_compares_equal_or_refused(value):
    for kind in ("text", "float", "date", "boolean", "multiple-choice"):
        attribute = Attribute("NAME", "normal", kind)
        encoded = encode(attribute, "NAME", value)
        assert isinstance(encoded, Problem) or is_same(attribute, encoded, encoded)


def test_attributes_that_brevo_computes_are_never_written():
    for category in ("calculated", "global", "transactional"):
        attribute = Attribute("NAME", category, category)
        assert isinstance(encode(attribute, "NAME", 1), Problem)
        assert check_field("NAME", "number", {"NAME": attribute}).verdict == "fail"


def test_an_option_is_not_added_where_the_numbers_of_the_others_would_be_lost():
    attribute = Attribute("SENTIMENT_LANGUAGE", "category", "category", (Option("en", "English"),))
    added = with_options(attribute, ["French"])
    assert isinstance(added, Problem)
    assert with_options(Attribute("A", "category", "category", (Option("4", "x"),)), ["y"]) == {
        "enumeration": [{"value": 4, "label": "x"}, {"value": 5, "label": "y"}]
    }


# --- by import ------------------------------------------------------------------------------------------------------


async def test_many_updates_go_by_import_into_a_list_of_our_own(desk):
    emails = desk.add_people(MANY)
    outcomes = await write(desk, [score(email, n / MANY) for n, email in enumerate(emails)])
    assert set(states(outcomes)) == {"confirmed"}
    assert desk.count("contacts.import", 202) == 1
    assert desk.count("contacts.update") == 0
    assert desk.values("SENTIMENT_SCORE")[emails[7]] == 7 / MANY
    assert "Penstock" in desk.state.folders.values()
    assert [made.name for made in desk.state.lists.values()] == ["Penstock updates"]
    assert outcomes[0].receipt == "import 1"


async def test_the_list_of_our_own_is_opened_once(desk):
    emails = desk.add_people(MANY)
    for _ in range(2):
        await write(desk, [score(email) for email in emails])
    assert len(desk.state.lists) == 1
    assert list(desk.state.folders.values()).count("Penstock") == 1


async def test_imports_go_on_when_somebody_deleted_their_list_and_folder(desk):
    emails = desk.add_people(MANY)
    await write(desk, [score(email, 0.1) for email in emails])
    desk.state.drop_list(next(iter(desk.state.lists)))
    del desk.state.folders[next(n for n, name in desk.state.folders.items() if name == "Penstock")]
    assert set(states(await write(desk, [score(email, 0.2) for email in emails]))) == {"confirmed"}
    assert desk.count("contacts.import", 202) == 2
    assert [made.name for made in desk.state.lists.values()] == ["Penstock updates"]


async def test_an_import_never_creates_a_contact_unless_told_to(desk):
    emails = [*desk.add_people(MANY), "ghost@example.com"]
    outcomes = await write(desk, [score(email) for email in emails])
    assert outcomes[-1].problem.code == "brevo.no-such-contact"
    assert desk.count("contacts.import", 202) == 1
    assert len(desk.state.contacts) == MANY
    await write(desk, [score(email) for email in emails], create_contacts=True)
    assert len(desk.state.contacts) == MANY + 1


async def test_an_import_by_id_takes_the_address_that_the_contact_has_now(desk):
    desk.add_people(MANY)
    changes = [score("", 0.1, match={"id": n + 1, "email": "stale@example.com"}) for n in range(MANY)]
    desk.state.remove(desk.state.contacts[5])
    outcomes = await write(desk, changes)
    assert outcomes[4].problem.code == "brevo.no-such-contact"
    assert states(outcomes).count("confirmed") == MANY - 1
    assert len(desk.state.contacts) == MANY - 1
    assert desk.count("contacts.update") == 0


async def test_a_huge_account_is_not_scanned_for_a_few_updates(desk):
    emails = desk.add_people(MANY)
    changes = [score(email) for email in emails[:20]]
    await write(desk, changes)
    assert desk.count("contacts.list") == 0
    assert desk.count("contacts.update", 204) == 20


async def test_the_second_update_of_a_contact_comes_after_its_import(desk):
    emails = desk.add_people(MANY)
    changes = [score(email, 0.1) for email in emails] + [score(emails[0], 0.9, change_id="again")]
    assert set(states(await write(desk, changes))) == {"confirmed"}
    assert desk.values("SENTIMENT_SCORE")[emails[0]] == 0.9


async def test_clearing_a_value_never_goes_by_import(desk):
    emails = desk.add_people(MANY)
    desk.state.contacts[1].attributes["SENTIMENT_SCORE"] = 0.5
    changes = [score(email, None if n == 0 else 0.2) for n, email in enumerate(emails)]
    assert set(states(await write(desk, changes))) == {"confirmed"}
    assert desk.count("contacts.update", 204) == 1
    imported = next(body for path, body in desk.gateway.bodies if path.endswith("/import"))
    assert imported["emptyContactsAttributes"] is False
    assert imported["updateExistingContacts"] is True


async def test_rows_that_a_report_names_are_written_singly_and_get_their_own_answer(desk):
    emails = [*desk.add_people(MANY), "a@b"]
    outcomes = await write(desk, [score(email) for email in emails], create_contacts=True)
    assert states(outcomes[:-1]) == ["confirmed"] * MANY
    assert outcomes[-1].state == "rejected"
    assert desk.count("reports.get", 200) == 1
    assert desk.count("contacts.create") == 1


@pytest.mark.parametrize("kind", ["lost", "html", "drop"])
async def test_an_import_whose_answer_is_lost_is_repeated_without_harm(desk, kind):
    emails = desk.add_people(MANY)
    desk.fault("contacts.import", kind, times=1)
    assert set(states(await write(desk, [score(email, 0.3) for email in emails]))) == {"confirmed"}
    assert set(desk.values("SENTIMENT_SCORE").values()) == {0.3}


async def test_when_imports_are_down_single_updates_do_the_work(desk):
    emails = desk.add_people(MANY)
    desk.fault("contacts.import", "status", status=503)
    assert set(states(await write(desk, [score(email) for email in emails]))) == {"confirmed"}
    assert desk.count("contacts.update", 204) == MANY


async def test_when_an_import_fails_single_updates_do_the_work(desk):
    emails = desk.add_people(MANY)
    desk.fault("import.process", "status", times=1)
    assert set(states(await write(desk, [score(email) for email in emails]))) == {"confirmed"}


async def test_when_single_updates_are_down_an_import_does_the_work(desk):
    emails = desk.add_people(100)
    desk.fault("contacts.update", "status", status=500)
    outcomes = await write(desk, [score(email) for email in emails])
    assert states(outcomes).count("confirmed") >= 98
    assert set(states(outcomes)) <= {"confirmed", "later"}
    assert desk.count("contacts.update") < 150


async def test_when_everything_is_down_all_comes_later_and_nothing_is_hammered(desk):
    emails = desk.add_people(200)
    desk.fault("*", "status", status=500, after=1)
    outcomes = await write(desk, [score(email) for email in emails])
    assert set(states(outcomes)) == {"later"}
    assert sum(desk.world.calls.values()) < 250


async def test_an_import_that_never_ends_is_unknown_and_then_found(desk):
    slow = Desk(import_rows_per_second=0.05)
    slow.add_score()
    changes = [score(email) for email in slow.add_people(MANY)]
    outcomes = await write(slow, changes)
    assert set(states(outcomes)) == {"unknown"}
    slow.clock.advance(86_400)
    assert set(states(await find(slow, changes[:40]))) == {"confirmed"}


async def test_a_report_that_cannot_be_read_leaves_the_rows_unknown_and_never_confirmed(desk):
    emails = [*desk.add_people(MANY), "a@b"]
    desk.fault("reports.get", "status", status=500)
    outcomes = await write(desk, [score(email) for email in emails], create_contacts=True)
    assert set(states(outcomes)) == {"unknown"}
    assert states(await find(desk, [score(email) for email in emails[:20]])) == ["confirmed"] * 20


async def test_the_folder_of_our_own_is_found_behind_many_others(desk):
    for number in range(120):
        desk.state.add_folder(f"folder {number}")
    ours = desk.state.add_folder("Penstock")
    await write(desk, [score(email) for email in desk.add_people(MANY)])
    assert [made.folder for made in desk.state.lists.values()] == [ours]


async def test_polls_stay_far_below_the_hourly_limit():
    slow = Desk(import_rows_per_second=0.3)
    slow.add_score()
    assert set(states(await write(slow, [score(email) for email in slow.add_people(MANY)]))) == {"confirmed"}
    assert slow.count("processes.get") < 60
    assert slow.count("processes.get", 429) == 0


@pytest.mark.parametrize(
    "text",
    [
        "EMAIL\na@example.com\nb@example.com\n",
        "\ufeffEMAIL;EXT_ID\nA@example.com;7\nb@example.com;8\n".lstrip("\ufeff"),
        '"email","line"\n"a@example.com",1\n"b@example.com",2\n',
        "a@example.com\r\nb@example.com\r\n\r\n",
    ],
)
def test_reports_are_read_in_every_shape(text):
    assert [{cell for cell in row if "@" in cell} for row in read_report(text)] == [
        {"a@example.com"},
        {"b@example.com"},
    ]


def test_chunks_stay_below_the_size_that_brevo_advises():
    rows = [
        (f"p{n}@example.com", Row(n, Target("email_id", f"p{n}@example.com"), {"TEXT": "ü" * 100_000}))
        for n in range(120)
    ]
    chunks = list(cut_chunks(rows))
    assert sum(len(chunk) for chunk in chunks) == 120
    for chunk in chunks:
        body = [{"email": email, "attributes": row.attributes} for email, row in chunk]
        assert len(msgspec.json.encode(body)) < 8_000_000


# --- events ---------------------------------------------------------------------------------------------------------


async def test_an_event_is_sent_once_with_the_mark_of_its_change(desk):
    desk.add_people(2)
    outcomes = await write(desk, [event("person0@example.com"), event("nobody@example.com")])
    assert states(outcomes) == ["confirmed", "rejected"]
    assert [one.properties for one in desk.state.events] == [{"score": 0.5, MARK: "event-person0@example.com-0"}]


@pytest.mark.parametrize("kind", ["lost", "drop", "html"])
async def test_an_event_without_an_answer_is_unknown_then_looked_up_and_never_doubled(desk, kind):
    desk.add_people(1)
    change = event("person0@example.com")
    desk.fault("events.create", kind, times=1)
    assert states(await write(desk, [change])) == ["unknown"]
    found = states(await find(desk, [change]))
    assert found == (["confirmed"] if kind == "lost" else ["later"])
    if found == ["later"]:
        assert states(await write(desk, [change])) == ["confirmed"]
    assert len(desk.state.events) == 1


async def test_events_are_found_among_many_by_contact_name_date_and_mark(desk):
    emails = desk.add_people(120)
    changes = [event(email, n, date="2025-02-03T10:00:00Z") for n, email in enumerate(emails)]
    assert set(states(await write(desk, changes[:60]))) == {"confirmed"}
    assert states(await find(desk, changes)) == ["confirmed"] * 60 + ["later"] * 60
    assert desk.count("events.list") <= 8


async def test_when_events_cannot_be_read_their_outcome_stays_unknown(desk):
    desk.add_people(1)
    desk.fault("events.list", "status", status=500)
    assert states(await find(desk, [event("person0@example.com")])) == ["unknown"]


async def test_when_events_are_down_only_a_few_are_left_unknown(desk):
    emails = desk.add_people(100)
    desk.fault("events.create", "status", status=500)
    outcomes = states(await write(desk, [event(email) for email in emails]))
    assert outcomes.count("unknown") < 30
    assert outcomes.count("later") > 70


async def test_a_key_revoked_in_the_middle_forgets_no_event_that_was_sent(desk):
    changes = [event(email) for email in desk.add_people(60)]
    desk.fault("events.create", "status", status=401, after=20)
    outcomes = await write(desk, changes)
    assert states(outcomes).count("confirmed") == len(desk.state.events) == 20
    rest = [change for change, outcome in zip(changes, outcomes, strict=True) if outcome.state == "later"]
    with pytest.raises(AccessError):
        await write(desk, rest)
    desk.world.faults.clear()
    assert set(states(await write(desk, rest))) == {"confirmed"}
    assert len({one.properties[MARK] for one in desk.state.events}) == len(desk.state.events) == 60


async def test_when_contacts_cannot_be_looked_up_their_events_come_later(desk):
    desk.add_people(2)
    desk.fault("contacts.get", "status", status=500)
    assert states(await write(desk, [event("person0@example.com"), event("person1@example.com")])) == ["later"] * 2
    assert desk.state.events == type(desk.state.events)()


async def test_a_contact_that_may_be_created_is_there_before_its_event_which_can_then_be_found_again(desk):
    assert states(await write(desk, [event("new@example.com")], create_contacts=True)) == ["confirmed"]
    assert [one.email for one in desk.state.by_creation] == ["new@example.com"]
    assert states(await find(desk, [event("new@example.com")], create_contacts=True)) == ["confirmed"]
    assert states(await find(desk, [event("new@example.com", 2)], create_contacts=True)) == ["later"]


async def test_when_the_schema_cannot_be_read_updates_come_later(desk):
    desk.add_people(1)
    desk.fault("attributes.list", "status", status=500)
    assert states(await write(desk, [score("person0@example.com")])) == ["later"]
    assert states(await find(desk, [score("person0@example.com")])) == ["unknown"]


async def test_an_option_that_brevo_refuses_rejects_only_who_needs_it(desk):
    desk.state.add_attribute("SENTIMENT_LABEL", category="category", enumeration=["positive"])
    emails = desk.add_people(2)
    desk.fault("attributes.update", "status", status=400)
    labels = ["positive", "negative"]
    changes = [
        Change(e, "attributes", {"email": e}, {"SENTIMENT_LABEL": v}) for e, v in zip(emails, labels, strict=True)
    ]
    assert states(await write(desk, changes)) == ["confirmed", "rejected"]


async def test_a_field_of_unknown_kind_fits_every_attribute_and_is_created_as_text(desk):
    sink = desk.sink()
    assert await desk.clock.run(sink.create_missing({"SENTIMENT_SCORE": "", "SENTIMENT_NOTE": ""})) == [
        "SENTIMENT_NOTE"
    ]
    findings = await desk.clock.run(sink.check({"SENTIMENT_SCORE": "", "SENTIMENT_NOTE": ""}))
    assert [finding.verdict for finding in findings] == ["ok", "ok"]


async def test_events_come_before_the_attributes_that_they_explain(desk):
    desk.add_people(1)
    changes = [score("person0@example.com"), event("person0@example.com")]
    assert states(await write(desk, changes)) == ["confirmed", "confirmed"]
    assert [one.operation for one in desk.world.writes] == ["events.create", "contacts.update"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "two words"},
        {"name": "x" * 256},
        {"name": "ok", "properties": {"bad key": 1}},
        {"name": "ok", "properties": [1]},
        {"name": "ok", "properties": {"text": "x" * 60_000}},
        {"name": "ok", "date": "yesterday"},
    ],
)
def test_an_event_that_brevo_would_refuse_is_refused_here(fields):
    assert isinstance(build_event(Change("x", "event", {}, fields)), Problem)


# --- looking back ---------------------------------------------------------------------------------------------------


async def test_after_a_crash_only_what_is_not_there_is_written_again(desk):
    emails = desk.add_people(40)
    changes = [score(email, 0.25) for email in emails]
    await write(desk, changes[:25])
    found = states(await find(desk, changes))
    assert found == ["confirmed"] * 25 + ["later"] * 15
    again = [change for change, state in zip(changes, found, strict=True) if state == "later"]
    assert set(states(await write(desk, again))) == {"confirmed"}
    assert desk.count("contacts.update", 204) == 40


async def test_reading_back_takes_twenty_contacts_per_call_where_ids_are_known(desk):
    desk.add_people(50)
    desk.state.contacts[1].attributes["SENTIMENT_SCORE"] = -0.5
    matches = [{"id": n} for n in range(1, 52)] + [{"email": "person0@example.com"}, {}]
    found = await desk.clock.run(desk.sink().read_back(matches))
    assert found[0] == {"SENTIMENT_SCORE": -0.5}
    assert found[50:] == [None, {"SENTIMENT_SCORE": -0.5}, None]
    assert desk.count("contacts.list") == 3


def test_the_ledger_of_effects_belongs_to_the_organisation():
    desk = Desk()
    assert desk.sink().identity() == f"brevo:{desk.account.id}"
