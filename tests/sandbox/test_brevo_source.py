from __future__ import annotations

from email.utils import formatdate

import msgspec
import pytest
from brevo_desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import AccessError, InputError, UnavailableError
from penstock.base.types import Source
from penstock.data.brevo import read_account
from penstock.data.brevo_contacts import OVERLAP_MS, BrevoContacts, format_time, read_time, to_record
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.vendor.brevo import Brevo
from penstock.vendor.http import Http


async def read_all(desk: Desk, cursor=None, size=7, source=None):
    """Read to the end; returns the records and the last cursor, each cursor having passed through JSON."""
    records = []
    async for page in (source or desk.contacts(per_call=size)).pages(cursor, size):
        records += page.records
        cursor = msgspec.json.decode(msgspec.json.encode(page.cursor))
    return records, cursor


def read(desk: Desk, *args, **rest):
    return desk.clock.run(read_all(desk, *args, **rest))


def test_contacts_are_a_source():
    assert isinstance(Desk().contacts(), Source)


async def test_every_contact_is_read_once_in_order_of_creation():
    desk = Desk()
    emails = desk.add_people(100)
    records, _ = await read(desk)
    assert [record.key for record in records] == emails


async def test_a_record_holds_the_stated_fields_and_nothing_else():
    desk = Desk(per_list_unsubscription=True)
    desk.state.add_contact("Ada@Example.com", {"FIRSTNAME": "Ada"}, unsubscribed=[1], email_blacklisted=True)
    (record,), _ = await read(desk)
    assert record.key == "ada@example.com"
    assert record.data["email"] == "ada@example.com"
    assert record.data["attributes"]["FIRSTNAME"] == "Ada"
    assert record.data["emailBlacklisted"] is True
    assert record.data["listUnsubscribed"] == [1]
    assert record.where == "Brevo contact 1"


async def test_a_contact_made_of_a_phone_number_never_shows_its_synthetic_address():
    desk = Desk(synthetic_addresses=True)
    desk.state.add_contact(None, {"SMS": "+33612345678"})
    (record,), _ = await read(desk)
    assert record.key == "id:1"
    assert record.data["email"] is None
    assert "mailin-sms" not in repr(record)


async def test_a_contact_known_only_by_an_outside_id_is_keyed_by_it():
    record = to_record({"id": 9, "attributes": {"EXT_ID": "crm-9"}})
    assert record.key == "ext_id:crm-9"
    assert record.data["ext_id"] == "crm-9"


@pytest.mark.parametrize("row", [None, "text", {}, {"id": "nine"}])
def test_a_contact_that_cannot_be_read_is_kept_aside(row):
    assert to_record(row).problem.code == "brevo.bad-contact"


@pytest.mark.parametrize("apart", [0.0, 0.01, 0.4, 3.0])
@pytest.mark.parametrize("size", [3, 10, 64])
async def test_contacts_created_at_once_are_each_read_once(apart, size):
    desk = Desk()
    emails = desk.add_people(200, apart=apart)
    records, _ = await read(desk, None, size)
    assert [record.key for record in records] == emails


@settings(max_examples=15, deadline=None)
@given(stop=st.integers(1, 12), apart=st.sampled_from([0.0, 0.3, 5.0]), size=st.integers(2, 30))
async def test_a_scan_resumed_anywhere_gives_each_contact_exactly_once(stop, apart, size):
    desk = Desk()
    emails = desk.add_people(90, apart=apart)
    keys, cursor = [], None

    async def read_some():
        nonlocal cursor
        count = 0
        async for page in desk.contacts(per_call=size).pages(cursor, size):
            keys.extend(record.key for record in page.records)
            cursor = msgspec.json.decode(msgspec.json.encode(page.cursor))
            count += 1
            if count == stop:
                return

    await desk.clock.run(read_some())
    if "watermark" not in cursor or cursor["watermark"] is None:
        rest, _ = await read(desk, cursor, size)
        keys += [record.key for record in rest]
    assert keys == emails


async def test_contacts_deleted_during_a_scan_make_no_other_contact_disappear():
    desk = Desk()
    emails = desk.add_people(200, apart=0.0)
    seen = []

    async def scan():
        async for page in desk.contacts(per_call=40).pages(None, 40):
            seen.extend(record.key for record in page.records)
            if len(seen) < 120:
                for email in seen[-3:-1]:
                    desk.state.remove(desk.state.find("email", email))

    await desk.clock.run(scan())
    assert set(seen) == set(emails)


async def test_an_increment_reads_what_was_modified_since_and_no_more():
    desk = Desk()
    emails = desk.add_people(60, apart=3600.0)
    _, cursor = await read(desk)
    desk.clock.advance(86_400)
    contact = desk.state.find("email", emails[5])
    contact.modified = desk.state.now()
    desk.state.add_contact("new@example.com")
    desk.clock.advance(3_600)
    records, cursor = await read(desk, cursor)
    overlap = {emails[-1]}
    assert {record.key for record in records} == {emails[5], "new@example.com"} | overlap
    desk.clock.advance(86_400)
    assert {record.key for record in (await read(desk, cursor))[0]} == {emails[5], "new@example.com"}


async def test_what_is_modified_while_a_scan_runs_is_in_the_next_increment():
    desk = Desk()
    emails = desk.add_people(30)

    async def scan():
        cursor = None
        async for page in desk.contacts(per_call=10).pages(None, 10):
            desk.clock.advance(7_200)
            for email in (emails[0], emails[-1]):
                desk.state.find("email", email).modified = desk.state.now()
            cursor = page.cursor
        return cursor

    cursor = await desk.clock.run(scan())
    desk.clock.advance(7_200)
    records, _ = await read(desk, cursor)
    assert {emails[0], emails[-1]} <= {record.key for record in records}


async def test_the_watermark_never_moves_back():
    desk = Desk()
    desk.add_people(5)
    _, first = await read(desk)
    for contact in list(desk.state.by_creation):
        desk.state.remove(contact)
    _, second = await read(desk, first)
    assert second["watermark"] == first["watermark"]


async def test_an_empty_account_is_read_whole_the_next_time():
    desk = Desk()
    records, cursor = await read(desk)
    desk.state.add_contact("first@example.com", created_at=desk.clock.now() - OVERLAP_MS)
    assert records == []
    assert [record.key for record in (await read(desk, cursor))[0]] == ["first@example.com"]


async def test_an_outage_in_the_middle_is_an_error_and_not_the_end():
    desk = Desk()
    desk.add_people(30)
    desk.fault("contacts.list", "html", after=2)
    with pytest.raises(UnavailableError):
        await read(desk, None, 10)


async def test_only_the_chosen_lists_are_read():
    desk = Desk()
    chosen = desk.state.add_list("chosen")
    desk.state.add_contact("in@example.com", lists=[chosen.id])
    desk.state.add_contact("out@example.com")
    records, _ = await read(desk, source=desk.contacts(lists=[chosen.id]))
    assert [record.key for record in records] == ["in@example.com"]


async def test_the_count_is_what_brevo_states():
    desk = Desk()
    desk.add_people(12)
    assert await desk.clock.run(desk.contacts().count()) == 12


def test_a_cursor_belongs_to_account_and_choice():
    desk = Desk()
    assert desk.contacts().identity() != desk.contacts(lists=[3]).identity()
    assert desk.account.id in desk.contacts().identity()


async def test_a_cursor_of_something_else_is_refused():
    with pytest.raises(InputError, match="saved place"):
        await read(Desk(), {"offset": "many"})


def test_lists_and_segment_exclude_each_other():
    with pytest.raises(InputError):
        Desk().contacts(lists=[1], segment=2)


async def test_the_account_behind_a_key_is_named_by_its_organisation():
    desk = Desk()
    account = await desk.clock.run(read_account(desk.caller))
    assert account.id == desk.state.organization
    with pytest.raises(AccessError):
        await desk.clock.run(read_account(Desk(key="xkeysib-expired").caller))


@given(st.integers(0, 4_000_000_000_000))
def test_times_are_written_as_brevo_reads_them(moment):
    assert read_time(format_time(moment)) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2017-05-12T12:30:00Z", 1494592200000),
        ("2017-05-12 12:30:00+00:00", 1494592200000),
        ("2017-05-12T14:30:00.000+02:00", 1494592200000),
        ("2017-05-12T12:30:00", 1494592200000),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_are_read_in_every_form_that_brevo_uses(text, moment):
    assert read_time(text) == moment


class Dated:
    """A vendor that states the time with every answer, by a clock that differs from ours."""

    def __init__(self, desk: Desk, ahead: float) -> None:
        self.desk, self.ahead = desk, ahead

    async def __call__(self, scope, receive, send):
        async def add_date(message):
            if message["type"] == "http.response.start":
                date = formatdate(self.desk.clock.now() + self.ahead, usegmt=True)
                message = {**message, "headers": [*message["headers"], (b"date", date.encode())]}
            await send(message)

        await self.desk.gateway(scope, receive, add_date)


@pytest.mark.parametrize("ahead", [-86_400.0, 0.0, 86_400.0])
async def test_the_next_scan_starts_from_the_time_that_brevo_states(ahead):
    desk = Desk()
    desk.add_people(5)
    caller = BrevoCaller(Brevo(Http(apps={"api.brevo.com": Dated(desk, ahead)}), "xkeysib-test-0123"), desk.clock)
    source = BrevoContacts(caller, desk.account)
    _, cursor = await read(desk, source=source)
    assert cursor["watermark"] == (int(desk.clock.now()) + ahead) * 1000


FAULTS = (
    ("status", {"status": 500}),
    ("status", {"status": 503}),
    ("status", {"status": 425}),
    ("status", {"status": 429, "seconds": 1}),
    ("status", {"status": 200}),
    ("status", {"status": 207}),
    ("html", {}),
    ("drop", {}),
    ("lost", {}),
    ("malformed", {}),
)


@pytest.mark.parametrize(("kind", "more"), FAULTS)
async def test_a_fifth_of_the_calls_fails_in_every_way_and_nobody_is_missed(kind, more):
    desk = Desk()
    emails = desk.add_people(2_000, apart=0.3)
    desk.fault("contacts.list", kind, rate=0.2, **more)
    records, _ = await read(desk, None, 50)
    assert [record.key for record in records] == emails
    assert 40 < desk.count("contacts.list") < 90
