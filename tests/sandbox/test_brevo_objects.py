from __future__ import annotations

from typing import Any

import msgspec
import pytest
from brevo_desk import Desk

from penstock.base.errors import AccessError, InputError, RejectedError
from penstock.base.types import Source
from penstock.data.brevo_objects import OBJECTS, WALKS, open_brevo_source
from penstock.sandbox.brevo_people import add_segment
from penstock.sandbox.brevo_wire import format_time
from penstock.vendor.brevo_endpoints import ENDPOINTS
from reading import read_all, read_pages

DAY = 86_400.0


def open_one(desk: Desk, name: str, **options: Any) -> Any:
    return open_brevo_source(desk.caller, desk.account, {"object": name, **options}, desk.clock.now())


async def read(desk: Desk, name: str, size: int = 500, **options: Any) -> list[Any]:
    return await desk.clock.run(read_all(open_one(desk, name, **options), size=size))


async def read_since(desk: Desk, name: str, watermark: Any, **options: Any) -> tuple[list[str], Any]:
    """Read what changed, in one go; returns the keys and the next watermark."""
    source = open_one(desk, name, **options)
    if watermark is not None:
        source.start_from(watermark)
    pages = await desk.clock.run(read_pages(source))
    return [record.key for page in pages for record in page.records], source.watermark_of(pages[-1].cursor)


async def send(desk: Desk, operation: str, body: Any) -> Any:
    """Do with the API what a shop does; some of it is no endpoint of ours."""
    headers = {"api-key": "xkeysib-test", "content-type": "application/json"}
    url = f"https://api.brevo.com/v3/{operation}"
    reply = await desk.clock.run(desk.http.send("POST", url, headers=headers, body=msgspec.json.encode(body)))
    assert reply.status < 300, reply.body
    return reply.json() if reply.body else None


def order(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"o{number}",
        "createdAt": "2020-01-01T00:00:00Z",
        "updatedAt": "2020-01-01T00:00:00Z",
        "status": "paid",
        "amount": 20.5,
        "products": [{"productId": "p1", "price": 20.5, "quantity": 1}],
        "identifiers": {"email_id": "person0@example.com"},
        **changes,
    }


@pytest.mark.parametrize("name", OBJECTS)
def test_every_kind_of_object_is_a_source_that_names_itself_and_its_account(name):
    desk = Desk()
    options = {"lists": [1]} if name == "list-members" else {}
    source = open_one(desk, name, **options)
    assert isinstance(source, Source)
    assert source.describe().startswith("Brevo ")
    assert desk.account.id in source.identity()
    assert source.identity() != open_one(desk, "lists" if name != "lists" else "segments").identity()


@pytest.mark.parametrize("name", WALKS)
def test_every_parameter_that_a_walk_sends_is_one_that_the_endpoint_knows(name):
    walk = WALKS[name]
    dates = {"startDate", "endDate"} if walk.dates else {"modifiedSince"} if walk.changes else set()
    assert {*walk.query, "limit", "offset", *dates} <= ENDPOINTS[walk.operation].query


async def test_lists_are_read_beyond_the_first_page():
    desk = Desk()
    for number in range(120):
        desk.state.add_list(f"list {number}")
    records = await read(desk, "lists", size=50)
    assert [record.data["name"] for record in records] == [f"list {number}" for number in range(120)]
    assert records[0].where == "Brevo list 1"
    assert desk.count("lists.list") == 3


async def test_segments_are_read():
    desk = Desk()
    add_segment(desk.state, "Fans", "FIRSTNAME", "Ada")
    (record,) = await read(desk, "segments")
    assert (record.key, record.data["segmentName"]) == ("1", "Fans")


async def test_a_member_of_two_lists_is_two_records():
    desk = Desk()
    first, second = desk.state.add_list("first"), desk.state.add_list("second")
    desk.state.add_contact("a@example.com", lists=[first.id, second.id])
    desk.state.add_contact("b@example.com", lists=[second.id])
    records = await read(desk, "list-members", lists=[first.id, second.id])
    assert [(record.key, record.data["listId"], record.data["email"]) for record in records] == [
        ("1/1", 1, "a@example.com"),
        ("2/1", 2, "a@example.com"),
        ("2/2", 2, "b@example.com"),
    ]


async def test_members_of_many_lists_go_on_from_every_page():
    desk = Desk(limited=False)
    lists = [desk.state.add_list(f"list {number}") for number in range(3)]
    for number in range(20):
        desk.state.add_contact(f"p{number}@example.com", lists=[one.id for one in lists])
    numbers = [one.id for one in lists]
    whole = await read(desk, "list-members", size=7, lists=numbers)
    assert len(whole) == 60
    pages = await desk.clock.run(read_pages(open_one(desk, "list-members", lists=numbers), size=7))
    done = 0
    for page in pages[:-1]:
        done += len(page.records)
        rest = await desk.clock.run(read_all(open_one(desk, "list-members", lists=numbers), page.cursor, size=5))
        assert [record.key for record in rest] == [record.key for record in whole[done:]]


async def test_campaigns_come_with_their_numbers_and_without_their_html():
    desk = Desk()
    content = {"subject": "Hi", "htmlContent": "<p>Hello, all of you</p>"}
    body = {"name": "Spring", "sender": {"email": "owner@sandbox.example"}, **content}
    await send(desk, "emailCampaigns", body)
    (record,) = await read(desk, "campaigns")
    assert record.data["name"] == "Spring"
    assert record.data["htmlContent"] == ""
    assert "opensRate" in record.data["statistics"]["globalStats"]


async def test_only_sent_tests_have_a_result():
    desk = Desk()
    chosen = desk.state.add_list("all")
    for number in range(40):
        desk.state.add_contact(f"p{number}@example.com", lists=[chosen.id])
    common = {
        "sender": {"email": "owner@sandbox.example"},
        "htmlContent": "<p>Hello, all of you</p>",
        "recipients": {"listIds": [chosen.id]},
    }
    await send(desk, "emailCampaigns", {**common, "name": "Plain", "subject": "Hi"})
    test = {"abTesting": True, "subjectA": "A?", "subjectB": "B!", "splitRule": 50}
    made = await send(desk, "emailCampaigns", {**common, "name": "Test", **test})
    assert await read(desk, "campaign-results") == []
    await send(desk, f"emailCampaigns/{made['id']}/sendNow", {})
    desk.clock.advance(60)
    desk.state.campaigns[made["id"]].status = "sent"
    (record,) = await read(desk, "campaign-results")
    assert record.data["name"] == "Test"
    assert record.data["result"]["winningVersion"]


async def test_events_are_read_once_however_often_they_were_sent_and_then_only_new_ones():
    desk = Desk()
    desk.add_people(1)
    begun = desk.state.now()
    for text in ("good", "bad", "bad"):
        await send(
            desk,
            "events",
            {
                "event_name": "feedback",
                "identifiers": {"email_id": "person0@example.com"},
                "event_date": format_time(begun),
                "event_properties": {"text": text},
            },
        )
    await send(desk, "events", {"event_name": "other", "identifiers": {"contact_id": 1}})
    desk.clock.advance(10)
    records = await read(desk, "events", events=["feedback"])
    assert sorted(record.data["event_properties"]["text"] for record in records) == ["bad", "good"]
    desk.clock.advance(3 * DAY)
    keys, watermark = await read_since(desk, "events", None)
    assert len(keys) == 3
    desk.clock.advance(3 * DAY)
    await send(desk, "events", {"event_name": "late", "identifiers": {"contact_id": 1}})
    desk.clock.advance(10)
    again, _ = await read_since(desk, "events", watermark)
    assert len(again) == 1
    assert not set(again) & set(keys)


async def test_events_before_the_wished_day_are_not_read():
    desk = Desk()
    desk.add_people(1)
    for back in (400 * DAY, 40 * DAY, 1 * DAY):
        await send(
            desk,
            "events",
            {
                "event_name": "seen",
                "identifiers": {"contact_id": 1},
                "event_date": format_time(desk.state.now() - round(back * 1000)),
            },
        )
    assert len(await read(desk, "events")) == 2
    since = format_time(desk.state.now() - round(500 * DAY * 1000))
    assert len(await read(desk, "events", since=since)) == 3
    with pytest.raises(InputError, match="not a date"):
        open_one(desk, "events", since="last summer")


async def test_events_that_come_late_while_they_are_read_hide_none():
    desk = Desk(limited=False)
    desk.add_people(1)
    for number in range(30):
        await send(desk, "events", {"event_name": f"e{number}", "identifiers": {"contact_id": 1}})
        desk.clock.advance(1)
    source = open_one(desk, "events")
    names: list[str] = []

    async def go() -> None:
        async for page in source.pages(size=7):
            names.extend(record.data["event_name"] for record in page.records)

    await desk.clock.run(go())
    assert sorted(names) == sorted(f"e{number}" for number in range(30))


@pytest.mark.parametrize("name", ["orders", "products", "categories"])
async def test_of_a_shop_only_what_changed_is_read_again(name):
    desk = Desk(limited=False, ecommerce=True)
    desk.add_people(1)

    async def put(*numbers: int, **changes: Any) -> None:
        for number in numbers:
            if name == "orders":
                await send(desk, "orders/status", order(number, **changes))
            else:
                body = {"id": f"o{number}", "name": f"thing {changes}", "updateEnabled": True}
                await send(desk, name, body)

    await put(*range(24))
    desk.clock.advance(DAY)
    await put(24)
    desk.clock.advance(DAY)
    keys, watermark = await read_since(desk, name, None)
    assert sorted(keys) == sorted(f"o{number}" for number in range(25))
    desk.clock.advance(DAY)
    await put(3, 30, status="sent")
    desk.clock.advance(DAY)
    keys, watermark = await read_since(desk, name, watermark)
    assert set(keys) - {"o24"} == {"o3", "o30"}
    desk.clock.advance(DAY)
    assert set((await read_since(desk, name, watermark))[0]) <= {"o3", "o30"}


async def test_a_shop_that_is_switched_off_is_an_error_and_not_an_empty_shop():
    desk = Desk(ecommerce=False)
    with pytest.raises(AccessError, match="may not"):
        await read(desk, "orders")


async def test_a_list_that_is_not_there_is_an_error_and_not_an_empty_list():
    desk = Desk()
    with pytest.raises(RejectedError):
        await read(desk, "list-members", lists=[99])


@pytest.mark.parametrize(
    "options",
    [
        {"object": "contact"},
        {"object": "orders", "lists": [1]},
        {"object": "contacts", "events": ["x"]},
        {"object": "list-members"},
        {"object": "list-members", "lists": ["seven"]},
        {"lists": 7},
        {"segment": "fans"},
        {"modifedSince": "2026-01-01"},
    ],
)
def test_an_option_that_does_not_belong_is_refused_with_the_right_ones(options):
    desk = Desk()
    with pytest.raises(InputError) as caught:
        open_brevo_source(desk.caller, desk.account, options, desk.clock.now())
    assert caught.value.hint


async def test_a_row_without_an_id_is_kept_aside():
    desk = Desk()
    source = open_one(desk, "lists")
    assert source._to_record({"name": "nameless"}).problem.code == "brevo.bad-row"
    assert source._to_record("text").problem.code == "brevo.bad-row"


async def test_one_call_fills_several_pages_and_each_of_them_can_be_gone_on_from():
    desk = Desk()
    emails = desk.add_people(90)
    pages = await desk.clock.run(read_pages(desk.contacts(), size=20))
    assert [len(page.records) for page in pages] == [20, 20, 20, 20, 10]
    assert desk.count("contacts.list") == 1
    for number, page in enumerate(pages[:-1], 1):
        rest = await desk.clock.run(read_all(desk.contacts(), page.cursor, size=33))
        assert [record.key for record in rest] == emails[20 * number :]


async def test_ten_thousand_contacts_take_eleven_calls_and_a_percent_of_them_one():
    desk = Desk()
    desk.add_people(10_000, apart=0.5)
    keys, watermark = await read_since(desk, "contacts", None)
    assert len(set(keys)) == len(keys) == 10_000
    assert desk.count("contacts.list") == 11
    desk.clock.advance(10 * DAY)
    for contact in desk.state.by_creation[::100]:
        contact.modified = desk.state.now()
    desk.state.touch()
    keys, _ = await read_since(desk, "contacts", watermark)
    assert len(keys) < 100 + 1_201  # a percent, and the ten minutes before the watermark
    assert desk.count("contacts.list") <= 13
