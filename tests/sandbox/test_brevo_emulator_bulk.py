from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from brevo_emulator_calls import Calls
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.base.clock import ManualClock
from penstock.sandbox.brevo_records import KINDS, Fields, Query, duplicate, fold, read_claims
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import RefusedError, format_time, to_milliseconds
from penstock.sandbox.world import Fault, World


@pytest.fixture
def brevo() -> Calls:
    return Calls()


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


async def pages(brevo: Calls, limit: int, **query) -> list[int]:
    found: list[int] = []
    while True:
        page = (await brevo("GET", "contacts", query={"limit": limit, "offset": len(found), **query})).json["contacts"]
        found += [one["id"] for one in page]
        if len(page) < limit:
            return found


async def test_contacts_come_newest_first_in_pages_of_fifty(brevo):
    for number in range(120):
        brevo.state.add_contact(f"c{number}@x.org")
    got = (await brevo("GET", "contacts")).json
    assert got["count"] == 120
    assert [one["id"] for one in got["contacts"]] == list(range(120, 70, -1))
    assert (await brevo("GET", "contacts", query={"offset": 500})).json["contacts"] == []
    assert (await brevo("GET", "contacts", query={"limit": 0})).json["contacts"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 1001},
        {"limit": "many"},
        {"offset": -1},
        {"sort": "up"},
        {"ids": list(range(21))},
        {"ids": "x"},
        {"listIds": 9},
        {"segmentId": 1},
        {"createdSince": "yesterday"},
        {"filter": "contains(FIRSTNAME,'a')"},
        {"filter": 'equals(NOWHERE,"a")'},
    ],
)
async def test_a_query_that_cannot_be_is_refused(brevo, query):
    assert (await brevo("GET", "contacts", query=query)).status == 400


async def test_a_misspelt_filter_is_ignored_and_gives_everything(brevo):
    for number in range(3):
        brevo.state.add_contact(f"c{number}@x.org")
    assert (await brevo("GET", "contacts", query={"modified_since": "2999-01-01"})).json["count"] == 3


@given(st.integers(1, 30), st.integers(0, 60), st.sampled_from(["asc", "desc"]))
@settings(max_examples=30, deadline=None)
async def test_pages_of_any_size_together_hold_each_contact_once(limit, count, sort):
    brevo = Calls()
    for number in range(count):
        brevo.state.add_contact(f"c{number}@x.org", created_at=1_795_000_000 + number * 7 % 11)
    found = await pages(brevo, limit, sort=sort)
    order = [contact.id for contact in brevo.state.by_creation]
    assert found == (order if sort == "asc" else order[::-1])


async def test_windows_take_what_is_later_and_not_what_is_equal(brevo):
    start = brevo.clock.now()
    for number in range(10):
        brevo.state.add_contact(f"c{number}@x.org", created_at=start + number)
    assert await pages(brevo, 3, sort="asc", createdSince=iso(start + 4)) == [6, 7, 8, 9, 10]
    brevo.clock.advance(100)
    await brevo("PUT", "contacts/2", {"attributes": {}})
    await brevo("PUT", "contacts/9", {"attributes": {}})
    assert await pages(brevo, 1, sort="asc", modifiedSince=iso(start + 50)) == [2, 9]
    assert await pages(brevo, 9, modifiedSince=iso(start + 50), createdSince=iso(start + 4)) == [9]
    shown = (await brevo.contact("9"))["modifiedAt"]
    assert await pages(brevo, 9, modifiedSince=shown) == []


async def test_a_deletion_during_a_scan_shifts_the_pages(brevo):
    for number in range(6):
        brevo.state.add_contact(f"c{number}@x.org")
    first = await brevo("GET", "contacts", query={"limit": 3, "sort": "asc"})
    await brevo("DELETE", "contacts/1")
    second = await brevo("GET", "contacts", query={"limit": 3, "offset": 3, "sort": "asc"})
    assert [one["id"] for got in (first, second) for one in got.json["contacts"]] == [1, 2, 3, 5, 6]


async def test_filters_by_id_list_and_value_combine(brevo):
    brevo.state.add_attribute("LABEL", category="category", enumeration=["good", "bad"])
    brevo.state.add_attribute("SCORE", "float")
    brevo.state.add_attribute("DONE", "boolean")
    brevo.state.add_attribute("TOPICS", "multiple-choice", enumeration=["a", "b"])
    one, two = brevo.state.add_list("one").id, brevo.state.add_list("two").id
    brevo.state.add_contact("a@x.org", {"LABEL": "good", "SCORE": 1, "FIRSTNAME": "A b"}, lists=[one])
    brevo.state.add_contact("b@x.org", {"LABEL": "bad", "DONE": True, "TOPICS": ["a", "b"]}, lists=[two])
    brevo.state.add_contact("c@x.org", {"TOPICS": ["a"]})
    for query, expected in [
        ({"ids": [1, 3, 99]}, [1, 3]),
        ({"listIds": [one, two]}, [1, 2]),
        ({"listIds": two, "ids": [1, 2]}, [2]),
        ({"filter": 'equals(LABEL,"good")'}, [1]),
        ({"filter": 'equals(LABEL, "2")'}, [2]),
        ({"filter": 'equals(SCORE,"1")'}, [1]),
        ({"filter": 'equals(SCORE,"x")'}, []),
        ({"filter": "equals(DONE, true)"}, [2]),
        ({"filter": 'equals(TOPICS,"a, b")'}, [2]),
        ({"filter": 'equals(TOPICS,"a")'}, [2, 3]),
        ({"filter": 'equals(FIRSTNAME,"A b")'}, [1]),
    ]:
        assert await pages(brevo, 50, sort="asc", **query) == expected, query


async def test_an_import_is_queued_then_in_process_then_complete():
    brevo = Calls(import_delay=2, import_rows_per_second=1)
    made = brevo.state.add_list("a").id
    rows = [{"email": f"c{number}@x.org", "attributes": {"FIRSTNAME": "C", "NOWHERE": 1}} for number in range(3)]
    got = await brevo("POST", "contacts/import", {"jsonBody": rows, "listIds": [made]})
    assert got.status == 202
    process = got.json["processId"]
    seen = []
    for _ in range(6):
        shown = (await brevo("GET", f"processes/{process}")).json
        seen.append((shown["status"], len(brevo.state.contacts), "info" in shown))
        brevo.clock.advance(1)
    assert seen == [("queued", 0, False)] * 2 + [("in_process", 0, False)] * 3 + [("completed", 3, True)]
    assert shown["name"] == "IMPORTUSER"
    assert set(shown["info"]["import"].values()) == {None}
    assert (await brevo.contact("c1%40x.org"))["attributes"] == {"FIRSTNAME": "C"}
    assert (await brevo("GET", "processes")).json == {"processes": [shown], "count": 1}


@pytest.mark.parametrize(
    "body",
    [
        {"listIds": [1]},
        {"jsonBody": [{"email": "a@x.org"}], "fileBody": "EMAIL\na@x.org", "listIds": [1]},
        {"jsonBody": [{"email": "a@x.org"}]},
        {"jsonBody": [{"email": "a@x.org"}], "listIds": [7]},
        {"jsonBody": [{"email": "a@x.org"}], "newList": {"listName": "n", "folderId": 9}},
        {"fileUrl": "https://x.org/a.csv", "listIds": [1]},
        {"fileBody": "NAME\nAnn", "listIds": [1]},
        b'{"listIds": [1], "fileBody": "' + b"x" * (10 * 1024 * 1024) + b'"}',
    ],
)
async def test_an_import_that_cannot_be_is_refused_and_starts_nothing(brevo, body):
    brevo.state.add_list("a")
    assert (await brevo("POST", "contacts/import", body)).status == 400
    assert not brevo.state.processes


async def test_rows_that_were_not_written_stand_in_the_reports_of_a_completed_import(brevo):
    brevo.state.add_contact("owner@x.org", {"SMS": "33612345678", "WHATSAPP": "33700000000"}, ext_id="e1")
    rows = [
        {"email": "good@x.org", "attributes": {"FIRSTNAME": "G", "SMS": "no phone"}},
        {"email": "not an address"},
        {"email": "GOOD@x.org"},
        {"email": "b@x.org", "attributes": {"EXT_ID": "e1"}},
        {"email": "c@x.org", "attributes": {"SMS": "+33612345678"}},
        {"email": "d@x.org", "attributes": {"WHATSAPP": "33700000000"}},
        {},
    ]
    body = {"jsonBody": rows, "newList": {"listName": "new", "folderId": 1}}
    process = (await brevo("POST", "contacts/import", body)).json["processId"]
    links = (await brevo.finish(process))["info"]["import"]
    reports = {}
    for name, link in links.items():
        if link is not None:
            assert link.startswith("https://api.brevo.com/v3/")
            got = await brevo("GET", link.removeprefix("https://api.brevo.com/v3/"), key=None)
            assert got.headers["content-type"] == "text/csv"
            reports[name] = list(csv.reader(io.StringIO(got.raw.decode()), delimiter=";"))
    assert reports == {
        "invalid_emails": [["EMAIL"], ["not an address"], [""]],
        "duplicate_email_id": [["EMAIL", "EMAIL_ID"], ["GOOD@x.org", "GOOD@x.org"]],
        "duplicate_ext_id": [["EMAIL", "EXT_ID"], ["b@x.org", "e1"]],
        "duplicate_phone_id": [["EMAIL", "PHONE_ID"], ["c@x.org", "33612345678"]],
        "duplicate_whatsapp_id": [["EMAIL", "WHATSAPP_ID"], ["d@x.org", "33700000000"]],
    }
    shown = await brevo.contact("good@x.org")
    assert (shown["attributes"], shown["listIds"]) == ({"FIRSTNAME": "G"}, [1])
    assert len(brevo.state.contacts) == 2
    path = links["invalid_emails"].removeprefix("https://api.brevo.com/v3/")
    assert (await brevo("GET", path.replace("invalid_emails", "other"))).status == 404


async def test_an_import_touches_known_contacts_only_as_told(brevo):
    made = brevo.state.add_list("a").id
    for number in range(3):
        brevo.state.add_contact(f"c{number}@x.org", {"FIRSTNAME": "old", "LASTNAME": "old"})
    for number, options in enumerate(
        [{}, {"emptyContactsAttributes": True, "emailBlacklist": True}, {"updateExistingContacts": False}]
    ):
        row = {"email": f"c{number}@x.org", "attributes": {"FIRSTNAME": "new", "LASTNAME": ""}}
        got = await brevo("POST", "contacts/import", {"jsonBody": [row], "listIds": [made], **options})
        await brevo.finish(got.json["processId"])
    shown = [await brevo.contact(str(number)) for number in (1, 2, 3)]
    assert [one["attributes"] for one in shown] == [
        {"FIRSTNAME": "new", "LASTNAME": "old"},
        {"FIRSTNAME": "new"},
        {"FIRSTNAME": "old", "LASTNAME": "old"},
    ]
    assert [one["emailBlacklisted"] for one in shown] == [False, True, False]
    assert all(one["listIds"] == [made] for one in shown)


async def test_a_csv_import_reads_typed_cells(brevo):
    made = brevo.state.add_list("a").id
    brevo.state.add_attribute("SCORE", "float")
    brevo.state.add_attribute("REVIEW", "boolean")
    brevo.state.add_attribute("AT", "date")
    brevo.state.add_attribute("TOPICS", "multiple-choice", enumeration=["a", "b"])
    text = (
        "EMAIL;EXT_ID;SCORE;REVIEW;AT;TOPICS;OTHER\n"
        'a@x.org;e1;-0.5;true;2026-11-20;"a,b";x\n'
        ";e2;much;perhaps;soon;c;x\n"
    )
    got = await brevo("POST", "contacts/import", {"fileBody": text, "listIds": [made]})
    await brevo.finish(got.json["processId"])
    first = await brevo.contact("a@x.org")
    assert first["attributes"] == {
        "SCORE": -0.5,
        "REVIEW": True,
        "AT": "2026-11-20",
        "TOPICS": ["a", "b"],
        "EXT_ID": "e1",
    }
    second = await brevo.contact("e2", "ext_id")
    assert second["attributes"] == {"EXT_ID": "e2"}


async def test_imports_run_one_after_the_other_and_the_later_one_wins():
    brevo = Calls(import_delay=1, import_rows_per_second=1)
    made = brevo.state.add_list("a").id
    for name in ("first", "second"):
        row = {"email": "a@x.org", "attributes": {"FIRSTNAME": name}}
        await brevo("POST", "contacts/import", {"jsonBody": [row], "listIds": [made]})
    brevo.clock.advance(2)
    states = [one["status"] for one in (await brevo("GET", "processes", query={"sort": "asc"})).json["processes"]]
    assert states == ["completed", "in_process"]
    brevo.clock.advance(50)
    shown = await brevo.contact("a@x.org")
    assert shown["attributes"]["FIRSTNAME"] == "second"
    assert shown["modifiedAt"] == format_time(int((brevo.clock.now() - 49) * 1000))


async def test_a_planned_fault_fails_a_process_as_a_whole():
    brevo = Calls(faults=[Fault("brevo", "import.process", times=1)])
    made = brevo.state.add_list("a").id
    body = {"jsonBody": [{"email": "a@x.org"}], "listIds": [made]}
    failed = await brevo.finish((await brevo("POST", "contacts/import", body)).json["processId"])
    assert (failed["status"], "info" in failed, len(brevo.state.contacts)) == ("failed", False, 0)
    done = await brevo.finish((await brevo("POST", "contacts/import", body)).json["processId"])
    assert (done["status"], len(brevo.state.contacts)) == ("completed", 1)


async def test_every_row_of_an_import_is_logged_as_a_write(brevo):
    made = brevo.state.add_list("a").id
    rows = [{"email": f"c{number}@x.org", "attributes": {"FIRSTNAME": "C"}} for number in range(5)]
    for _ in range(2):
        got = await brevo("POST", "contacts/import", {"jsonBody": rows, "listIds": [made]})
        await brevo.finish(got.json["processId"])
    assert brevo.world.written["brevo", "contacts.import"] == 12
    assert brevo.world.writes[1].target == "1"
    assert brevo.world.writes[1].fields == ("email", "FIRSTNAME", "listIds")
    assert brevo.state.repeats == {"contacts.import": 5}


async def test_an_event_is_kept_each_time_it_is_sent(brevo):
    brevo.state.add_contact("a@x.org")
    event = {
        "event_name": "feedback_scored",
        "identifiers": {"email_id": "a@x.org"},
        "event_date": "2026-11-19T10:00:00+01:00",
        "event_properties": {"score": 0.5},
        "contact_properties": {"FIRSTNAME": "Ann"},
    }
    for _ in range(2):
        assert (await brevo("POST", "events", event)).status == 204
    got = (await brevo("GET", "events", query={"contact_id": 1, "event_name": "feedback_scored"})).json
    assert got["count"] == 2
    assert got["events"][0]["event_properties"] == {"score": 0.5}
    assert got["events"][0]["event_date"] == "2026-11-19T09:00:00.000Z"
    assert (await brevo.contact("1"))["attributes"] == {"FIRSTNAME": "Ann"}
    assert (await brevo("GET", "events", query={"event_name": "other"})).json == {"events": [], "count": 0}


async def test_the_contact_number_decides_whose_event_it_is(brevo):
    brevo.state.add_contact("a@x.org")
    brevo.state.add_contact("b@x.org")
    both = {"email_id": "a@x.org", "contact_id": 2}
    await brevo("POST", "events", {"event_name": "e", "identifiers": both, "object": {"type": "order"}})
    await brevo("POST", "events", {"event_name": "e", "identifiers": {"email_id": "stranger@x.org"}})
    shown = (await brevo("GET", "events", query={"limit": 10})).json["events"]
    assert [one.get("contact_id") for one in shown] == [None, 2]
    assert (await brevo("GET", "events", query={"object_type": "order"})).json["count"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"event_name": "with space"},
        {"event_name": "x" * 256},
        {"identifiers": {}},
        {"identifiers": {"name": "x"}},
        {"event_date": "yesterday"},
        {"event_properties": {"text": "x" * 51_300}},
    ],
)
async def test_an_event_that_cannot_be_is_refused(brevo, change):
    event = {"event_name": "e", "identifiers": {"email_id": "a@x.org"}, **change}
    assert (await brevo("POST", "events", event)).status == 400
    assert not brevo.state.events


async def test_a_batch_tells_which_events_failed():
    brevo = Calls(event_delay=2)
    good = {"event_name": "e", "identifiers": {"email_id": "a@x.org"}}
    bad = {"event_name": "e"}
    accepted = await brevo("POST", "events/batch", {"events": [good, good]})
    assert (accepted.status, accepted.json["count"]) == (202, 2)
    partial = await brevo("POST", "events/batch", {"events": [good, bad, good, bad]})
    assert partial.status == 207
    assert (partial.json["successful_events"], partial.json["failed_events"]) == (2, 2)
    assert [one["eventIndex"] for one in partial.json["errors"]] == [[1, 3]]
    assert (await brevo("POST", "events/batch", {"events": [bad]})).status == 400
    assert (await brevo("POST", "events/batch", [good])).status == 400
    assert (await brevo("POST", "events/batch", {"events": []})).status == 400
    assert (await brevo("GET", "events")).json["count"] == 0
    brevo.clock.advance(2)
    assert (await brevo("GET", "events")).json["count"] == 4


async def test_only_so_many_events_are_kept():
    brevo = Calls(keep_events=3)
    brevo.state.add_contact("a@x.org")
    for number in range(5):
        whose = {"email_id": "a@x.org" if number % 2 else "stranger@x.org"}
        await brevo("POST", "events", {"event_name": f"e{number}", "identifiers": whose})
        brevo.clock.advance(1)
    names = [one["event_name"] for one in (await brevo("GET", "events")).json["events"]]
    assert names == ["e4", "e3", "e2"]
    assert [one.name for one in brevo.state.events_of[1]] == ["e3"]


async def test_events_are_read_newest_first_in_a_window(brevo):
    identifiers = {"email_id": "a@x.org"}
    for day in ("2026-01-05", "2026-11-03", "2026-11-01", "2026-11-02"):
        await brevo("POST", "events", {"event_name": f"d{day}", "identifiers": identifiers, "event_date": day})
    names = [one["event_name"][-2:] for one in (await brevo("GET", "events")).json["events"]]
    assert names == ["03", "02", "01"]
    window = {"startDate": "2026-01-01", "endDate": "2026-11-02"}
    assert (await brevo("GET", "events", query=window)).json["count"] == 3
    assert [
        (await brevo("GET", "events", query=query)).status
        for query in ({"startDate": "2026-01-01"}, {**window, "startDate": "2026-12-01"}, {"limit": 0})
    ] == [400, 400, 400]
    assert len((await brevo("GET", "events", query={"limit": 1, "offset": 1})).json["events"]) == 1


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_a_time_survives_being_written_and_read(moment):
    milliseconds = int(moment.timestamp() * 1000)
    assert to_milliseconds(format_time(milliseconds), "t") == milliseconds


_EMAILS = st.sampled_from([None, "a@x.org", "A@x.org", "b@x.org", "c@x.org"])
_EXT_IDS = st.sampled_from([None, "1", "2"])
_PHONES = st.sampled_from([None, "", "+33612345678", "0033612345678", "33700000000"])


class Account(RuleBasedStateMachine):
    """Whatever is written, the look-ups agree with the contacts."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.state = BrevoState(World(self.clock))
        self.lists = [self.state.add_list(name).id for name in ("one", "two")]

    @rule(email=_EMAILS, ext_id=_EXT_IDS, phone=_PHONES, numbers=st.sets(st.sampled_from([1, 2])), force=st.booleans())
    def write(self, email, ext_id, phone, numbers, force) -> None:
        self.clock.advance(1)
        attributes = {} if phone is None else {"SMS": phone}
        claims = read_claims(email, ext_id, attributes)
        if not claims:
            return
        primary = next(iter(claims))
        target = self.state.find(primary, claims[primary])
        if self.state.conflicts(claims, target):
            if not force:
                return
            target = self.state.merge(claims, target)
        fields = Fields(attributes, claims, sorted(numbers), sorted({1, 2} - numbers))
        written = self.state.write(target, fields, "write")
        assert all(self.state.find(kind, value) is written for kind, value in claims.items())

    @rule(email=_EMAILS, ext_id=_EXT_IDS, created=st.integers(0, 10))
    def seed(self, email, ext_id, created) -> None:
        try:
            self.state.add_contact(email, ext_id=ext_id, created_at=created)
        except RefusedError:
            assert self.state.find("email", email or "") or self.state.find("ext_id", ext_id or "")

    @rule(place=st.integers(0, 5))
    def delete(self, place) -> None:
        if place < len(self.state.by_creation):
            self.state.remove(self.state.by_creation[place])

    @invariant()
    def indexes_agree(self) -> None:
        contacts = self.state.contacts
        assert [one.id for one in sorted(contacts.values(), key=lambda one: (one.created, one.id))] == [
            one.id for one in self.state.by_creation
        ]
        for kind in KINDS:
            held = {fold(kind, one.identity(kind)): one.id for one in contacts.values() if one.identity(kind)}
            assert held == {value: owner.id for value, owner in self.state.owners[kind].items()}
        for number in self.lists:
            assert self.state.lists[number].members == {one.id for one in contacts.values() if number in one.lists}
            rows, _ = self.state.select(Query(lists=(number,)))
            assert {one.id for one in rows} == self.state.lists[number].members


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_refusal_of_a_duplicate_names_its_identifiers():
    error = duplicate(["email", "SMS"], "create", "duplicate_parameter")
    assert error.to_answer().content["metadata"] == {"duplicate_identifiers": ["email", "SMS"]}


@pytest.mark.slow
async def test_a_hundred_thousand_contacts_are_imported_and_read_back(brevo):
    made = brevo.state.add_list("a").id
    brevo.state.add_attribute("SCORE", "float")
    size, chunk = 100_000, 25_000
    for start in range(0, size, chunk):
        rows = [
            {"email": f"c{number}@x.org", "attributes": {"SCORE": number / size}}
            for number in range(start, start + chunk)
        ]
        got = await brevo("POST", "contacts/import", {"jsonBody": rows, "listIds": [made]})
        assert got.status == 202
    brevo.clock.advance(3600)
    assert len(set(await pages(brevo, 1000, sort="asc"))) == size
    assert (await brevo("GET", "contacts", query={"listIds": made, "limit": 1})).json["count"] == size
    assert len(brevo.world.writes) <= brevo.world.writes.maxlen
