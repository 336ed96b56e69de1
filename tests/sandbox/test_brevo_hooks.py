"""Deliveries of the emulated Brevo: lost, doubled, reordered, echoed; the state is that of the account all the same."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from brevo_hearing import OUR_KEY, URL, Ear, Shop, open_ear
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.base.errors import InputError
from penstock.data.brevo_payloads import read_news
from penstock.privacy import Privacy
from penstock.runtime.feedback import Put, make_said
from penstock.runtime.inbox import FIRST_WAIT
from penstock.sandbox.brevo_inbox import receive_mail, say
from penstock.sandbox.brevo_people import bounce, delete, edit, opt_out, sign_up, stir
from stores import KINDS, new_place

PEOPLE = [f"c{number}@x.org" for number in range(6)]


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.state.add_list("one")
    for email in PEOPLE:
        shop.state.add_contact(email, {"FIRSTNAME": "A"}, lists=[1])
    return shop


@pytest.fixture(params=KINDS)
async def ear(request: pytest.FixtureRequest, shop: Shop, tmp_path: Path) -> AsyncIterator[Ear]:
    async with open_ear(shop, new_place(request.param, tmp_path)) as ear:
        yield ear


async def run(ear: Ear, *works: Awaitable[Any]) -> None:
    """Listen, do something, and handle what is heard of it."""

    async def work() -> None:
        await ear.listen()
        for one in works:
            await one
        await ear.shop.settle()
        await ear.handle()

    await ear.shop.clock.run(work())


async def do(change: Any, *arguments: Any) -> None:
    change(*arguments)


async def test_an_opt_out_bars_at_once_and_a_deletion_forgets(shop: Shop, ear: Ear) -> None:
    await ear.feedback.put([make_said("file", text="Mine", source="s", contact=PEOPLE[1])])
    first, second, *_ = shop.state.by_creation
    await run(ear, do(opt_out, shop.state, first), do(delete, shop.state, second))
    assert await ear.barred(*PEOPLE) == {PEOPLE[0]: "objected", PEOPLE[1]: "forgotten"}
    assert await ear.said() == []
    assert await ear.feedback.put([make_said("file", text="Again", source="s", contact=PEOPLE[1])]) == Put(forgotten=1)
    assert await ear.said() == []


async def test_changes_and_additions_of_others_are_noted(shop: Shop, ear: Ear) -> None:
    one, two, three, *_ = shop.state.by_creation
    shop.state.add_list("two")
    await run(
        ear,
        do(edit, shop.state, one, {"FIRSTNAME": "B"}),
        shop.write(PEOPLE[1], FIRSTNAME="C"),
        do(sign_up, shop.state, "new@x.org", (2,), {}),
        do(bounce, shop.state, three),
    )
    new = shop.state.find("email", "new@x.org")
    assert new is not None
    assert {one.id, two.id, new.id} <= await ear.changed()
    before = await ear.look(PEOPLE)
    for kind, body in shop.deliveries() * 2:
        assert not await ear.take(kind, body)
    await ear.handle()
    assert await ear.look(PEOPLE) == before


async def test_our_own_writes_do_not_come_back_as_changes(shop: Shop, ear: Ear) -> None:
    await run(ear, shop.write(PEOPLE[0], OUR_KEY, FIRSTNAME="Ours"))
    assert len(shop.sent) == 1
    assert await ear.changed() == set()


async def test_without_the_keys_name_our_own_attributes_tell_an_echo(shop: Shop, tmp_path: Path) -> None:
    shop.state.add_attribute("SENTIMENT_SCORE", "float")
    async with open_ear(shop, tmp_path / "s", key_name="") as ear:
        await run(ear, shop.write(PEOPLE[0], OUR_KEY, SENTIMENT_SCORE=0.5))
        assert len(shop.sent) == 1
        assert await ear.changed() == set()


async def test_at_last_the_contents_tell_an_echo(shop: Shop, tmp_path: Path) -> None:
    async with open_ear(shop, tmp_path / "s", key_name="") as ear:
        await shop.clock.run(ear.hooks.reconcile("brevo"))
        body = {"event": "contact_updated", "email": PEOPLE[0], "id": 1, "ts": 5, "content": {"FIRSTNAME": "A"}}
        await ear.take("marketing", json.dumps(body).encode())
        await shop.clock.run(ear.handle())
        assert await ear.changed() == set()
        await shop.clock.run(shop.write(PEOPLE[0], OUR_KEY, FIRSTNAME="B"))
        await ear.take("marketing", json.dumps({**body, "content": {"FIRSTNAME": "B"}}).encode())
        await shop.clock.run(ear.handle())
        assert await ear.changed() == {1}


async def test_a_deletion_is_believed_only_when_brevo_has_the_contact_no_more(shop: Shop, ear: Ear) -> None:
    body = {"event": "contact_deleted", "email": PEOPLE[0], "key": "1", "id": 1, "list_id": [1], "ts": 5}
    await ear.take("marketing", json.dumps(body).encode())
    await shop.clock.run(ear.handle())
    assert await ear.barred(*PEOPLE) == {}
    assert await ear.changed() == {1}


async def test_conversations_and_mail_become_feedback_once(shop: Shop, ear: Ear) -> None:
    first = shop.state.by_creation[0]
    await run(
        ear,
        do(say, shop.state, first, "Where is my parcel?"),
        do(lambda: say(shop.state, first, "On its way", agent=True)),
        do(lambda: say(shop.state, first, "Thank you", ends=True)),
        do(receive_mail, shop.state, "  C1@X.org", "help@reply.example.com", "Late", "It came late"),
    )
    assert await ear.said() == ["It came late", "Thank you", "Where is my parcel?"]
    rows = await ear.feedback.page()
    assert {(row.source, row.road, row.contact) for row in rows} == {
        ("conversations", "conversation", PEOPLE[0]),
        ("mail", "mail", PEOPLE[1]),
    }
    assert all(row.happened_at > 1e9 for row in rows)


async def test_another_account_behind_the_same_connection_is_never_acted_on(shop: Shop, ear: Ear) -> None:
    body = json.dumps({"event": "contact_deleted", "email": "gone@x.org", "ts": 5}).encode()
    await ear.inbox.put("brevo", "other-organisation/brevo/marketing-1", "marketing", body)
    assert await ear.inbox.handle_due() == 1
    assert await ear.inbox.counts() == {("marketing", "waiting"): 1}
    assert await ear.barred("gone@x.org") == {}


async def test_many_changes_in_one_delivery_are_read_by_the_thousand(shop: Shop, ear: Ear) -> None:
    for number in range(300):
        shop.state.add_contact(f"many{number}@x.org")
    events = [
        {"event": "contact_updated", "email": f"many{number}@x.org", "ts": int(shop.clock.now()), "id": 1}
        for number in range(300)
    ]
    await ear.take("marketing", json.dumps({"events": events}).encode())
    await shop.clock.run(ear.handle())
    assert len(await ear.changed()) >= 300
    assert sum(count for (_, name, _), count in shop.world.calls.items() if name.startswith("contacts.")) <= 3


async def test_a_flood_of_single_changes_is_read_together_too(shop: Shop, ear: Ear) -> None:
    at, bodies = int(shop.clock.now()), []
    for number in range(400):
        shop.state.add_contact(f"many{number}@x.org")
        bodies.append({"event": "contact_updated", "email": f"many{number}@x.org", "ts": at, "id": 1})
    await asyncio.gather(*(ear.take("marketing", json.dumps(body).encode()) for body in bodies))
    shop.clock.advance(120)
    await shop.clock.run(ear.handle())
    assert len(await ear.changed()) >= 400
    assert sum(count for (_, name, _), count in shop.world.calls.items() if name.startswith("contacts.")) < 130


async def test_no_delivery_about_a_forgotten_person_stays(shop: Shop, ear: Ear) -> None:
    first, second, *_ = shop.state.by_creation
    await run(ear, do(delete, shop.state, first))
    assert await ear.inbox.counts() == {}
    mail = {"MessageId": "<m1@x>", "From": {"Address": PEOPLE[0]}, "RawTextBody": "Me again"}
    await ear.take("inbound", json.dumps({"items": [mail]}).encode())
    await ear.handle()
    assert (await ear.inbox.counts(), await ear.said()) == ({}, [])
    await ear.take(
        "inbound", json.dumps({"items": [{**mail, "MessageId": "<m2@x>", "From": {"Address": second.email}}]}).encode()
    )
    await ear.handle()
    assert (await ear.inbox.counts(), await ear.said()) == ({("inbound", "done"): 1}, ["Me again"])


async def test_an_unreadable_delivery_is_tried_again_and_then_put_aside(shop: Shop, ear: Ear) -> None:
    await ear.take("marketing", b"\xff not json")
    for _ in range(25):
        await ear.inbox.handle_due()
        shop.clock.advance(FIRST_WAIT * 1000)
    assert await ear.inbox.counts() == {("marketing", "failed"): 1}


async def test_a_reading_finds_what_was_never_delivered(shop: Shop, ear: Ear) -> None:
    await ear.feedback.put([make_said("file", text="Mine", source="s", contact=PEOPLE[2])])
    first = await shop.clock.run(ear.hooks.reconcile("brevo"))
    assert (first.read, first.changed, first.was_full) == (6, 0, True)
    shop.fault("webhooks.deliver", "drop", times=100)
    shop.clock.advance(3600)
    one, two, three, *_ = shop.state.by_creation
    await run(
        ear,
        do(edit, shop.state, one, {"FIRSTNAME": "B"}),
        do(opt_out, shop.state, two),
        do(delete, shop.state, three),
        do(sign_up, shop.state, "new@x.org", (1,), {}),
    )
    assert (shop.sent, await ear.changed()) == ([], set())
    found = await shop.clock.run(ear.hooks.reconcile("brevo"))
    assert not found.was_full
    new = shop.state.find("email", "new@x.org")
    assert new is not None
    assert await ear.changed() == {one.id, two.id, new.id}
    assert await ear.barred(*PEOPLE) == {PEOPLE[1]: "objected"}
    shop.clock.advance(86_400)
    found = await shop.clock.run(ear.hooks.reconcile("brevo"))
    assert (found.was_full, found.gone) == (True, 1)
    assert await ear.barred(*PEOPLE) == {PEOPLE[1]: "objected", PEOPLE[2]: "forgotten"}
    assert await ear.said() == []
    again = await shop.clock.run(ear.hooks.reconcile("brevo", full=True))
    assert (again.changed, again.gone) == (0, 0)


async def test_two_contacts_that_were_merged_are_nobody_forgotten(shop: Shop, ear: Ear) -> None:
    await shop.clock.run(ear.hooks.reconcile("brevo"))
    delete(shop.state, shop.state.by_creation[0])
    shop.state.add_contact(PEOPLE[0])
    shop.clock.advance(86_400)
    found = await shop.clock.run(ear.hooks.reconcile("brevo"))
    assert found.gone == 1
    assert await ear.barred(*PEOPLE) == {}


@pytest.mark.parametrize("is_told", [True, False])
async def test_who_moved_and_was_deleted_is_forgotten_by_the_former_address_too(
    shop: Shop, ear: Ear, is_told: bool
) -> None:
    await ear.feedback.put([make_said("file", text="Mine", source="s", contact=PEOPLE[0])])
    await shop.clock.run(ear.hooks.reconcile("brevo"))
    first, second, *_ = shop.state.by_creation
    shop.clock.advance(3600)
    await run(ear, do(edit, shop.state, first, {"EMAIL": "moved@x.org"}))
    await shop.clock.run(ear.hooks.reconcile("brevo"))
    if not is_told:
        shop.fault("webhooks.deliver", "drop", times=100)
    shop.clock.advance(86_400)
    await run(ear, do(delete, shop.state, first))
    await shop.clock.run(ear.hooks.reconcile("brevo"))
    assert await ear.said() == []
    assert await ear.barred(*PEOPLE, "moved@x.org") == {PEOPLE[0]: "forgotten", "moved@x.org": "forgotten"}
    assert second.email == PEOPLE[1]


async def test_an_address_that_somebody_else_has_now_is_not_forgotten(shop: Shop, ear: Ear) -> None:
    await shop.clock.run(ear.hooks.reconcile("brevo"))
    first, second, *_ = shop.state.by_creation
    shop.clock.advance(3600)
    edit(shop.state, first, {"EMAIL": "moved@x.org"})
    edit(shop.state, second, {"EMAIL": PEOPLE[0]})
    await shop.clock.run(ear.hooks.reconcile("brevo"))
    await run(ear, do(delete, shop.state, first))
    assert await ear.barred(*PEOPLE, "moved@x.org") == {"moved@x.org": "forgotten"}


async def test_an_outage_never_reads_as_deletions(shop: Shop, ear: Ear) -> None:
    await shop.clock.run(ear.hooks.reconcile("brevo"))
    shop.fault("contacts.list", "status", status=200, times=1)
    shop.clock.advance(86_400)
    found = await shop.clock.run(ear.hooks.reconcile("brevo"))
    assert (found.read, found.gone) == (6, 0)


def account_of_everything() -> Shop:
    """Let everything happen that a delivery tells of, with some deliveries doubled by retries."""
    shop = Shop(per_list_unsubscription=True)
    shop.state.add_list("one")
    shop.state.add_list("two")
    for email in PEOPLE:
        shop.state.add_contact(email, {"FIRSTNAME": "A"}, lists=[1])
    return shop


async def happen(shop: Shop) -> None:
    a, b, c, d, *_ = shop.state.by_creation
    edit(shop.state, a, {"FIRSTNAME": "B"})
    say(shop.state, b, "I want it gone")
    opt_out(shop.state, a)
    delete(shop.state, b)
    edit(shop.state, c, {"FIRSTNAME": "C"})
    say(shop.state, d, "Fine", ends=True)
    receive_mail(shop.state, PEOPLE[2], "help@reply.example.com", "Hello", "A letter")
    await shop.write(PEOPLE[3], OUR_KEY, FIRSTNAME="Ours")
    await shop.write(PEOPLE[4], FIRSTNAME="Theirs")
    sign_up(shop.state, "new@x.org", (2,), {})
    await shop.settle()


NAMES = [*PEOPLE, "new@x.org"]


async def collect(folder: Path) -> tuple[Shop, list[tuple[str, bytes]], dict[str, Any]]:
    """Return an account after everything happened, its deliveries, and the state after hearing them in order."""
    shop = account_of_everything()
    async with open_ear(shop, folder / "first.sqlite") as ear:

        async def work() -> None:
            await ear.listen()
            await happen(shop)
            await ear.handle()

        await shop.clock.run(work())
        return shop, shop.deliveries(), await ear.look(NAMES)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_deliveries_gives_the_same_state(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("heard")

    async def work() -> None:
        shop, deliveries, expected = await collect(folder)
        assert expected["barred"] == {PEOPLE[0]: "objected", PEOPLE[1]: "forgotten"}
        given = deliveries + chance.choices(deliveries, k=len(deliveries))
        chance.shuffle(given)
        async with open_ear(shop, folder / "second.sqlite") as ear:
            for kind, body in given:
                await ear.take(kind, respell(body, chance))
                if chance.random() < 0.3:
                    await shop.clock.run(ear.handle())
            await shop.clock.run(ear.handle())
            assert await ear.look(NAMES) == expected

    asyncio.run(work())


def respell(body: bytes, chance: random.Random) -> bytes:
    """Write a delivery as Brevo may also write it: capitals, arrays, numbers as texts, other names and local times."""
    value = json.loads(body)
    if "event" not in value:
        return json.dumps(value, indent=chance.choice([None, 1])).encode()
    if isinstance(value.get("email"), str):
        spelled = chance.choice([value["email"], value["email"].upper(), f" {value['email']} "])
        value["email"] = chance.choice([spelled, [spelled]])
    if "content" in value:
        value["content"] = chance.choice([value["content"], [value["content"]]])
    for name in ("id", "ts", "camp_id"):
        if name in value:
            value[name] = chance.choice([value[name], str(value[name])])
    if "list_id" in value:
        value["list_id"] = chance.choice([value["list_id"], [str(one) for one in value["list_id"]]])
    value["event"] = chance.choice([value["event"], value["event"].replace("_", ""), value["event"].upper()])
    value["date"] = chance.choice(["2026-01-01 00:00:00", "2026-07-01 12:00:00"])
    shape = chance.choice(["alone", "array", "object"])
    return json.dumps({"alone": value, "array": [value], "object": {"events": [value]}}[shape]).encode()


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_every_spelling_of_an_event_has_the_same_mark(chance: random.Random) -> None:
    body = json.dumps(
        {
            "event": "contact_updated", "email": "anna@x.org", "id": 7, "key": "3", "ts": 1_790_000_000, "camp_id": 4,
            "list_id": [2, 1], "content": {"FIRSTNAME": "B"}, "date": "2026-11-01 10:00:00",
        }
    ).encode()  # fmt: skip
    (expected,), (found,) = read_news(body), read_news(respell(body, chance))
    assert (found.mark, found.email, found.at) == (expected.mark, "anna@x.org", 1_790_000_000.0)


WORDS = st.sampled_from(
    ["event", "events", "items", "eventName", "email", "key", "content", "list_id", "messages", "message", "ts", "From"]
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=6)
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_no_body_breaks_the_reader(value: Any) -> None:
    with suppress(InputError):
        assert all(len(one.mark) == 16 for one in read_news(json.dumps(value).encode()))


async def test_a_process_that_dies_before_it_dealt_with_a_message_leaves_it_for_the_next(
    shop: Shop, tmp_path: Path
) -> None:
    place = tmp_path / "store.sqlite"
    async with open_ear(shop, place) as dying:
        await run_without_handling(dying, shop)
    async with open_ear(shop, place) as ear:
        await ear.inbox.recover()
        await shop.clock.run(ear.handle())
        assert await ear.barred(*PEOPLE) == {PEOPLE[0]: "objected", PEOPLE[1]: "forgotten"}


async def run_without_handling(ear: Ear, shop: Shop) -> None:
    async def work() -> None:
        await ear.listen()
        opt_out(shop.state, shop.state.by_creation[0])
        delete(shop.state, shop.state.by_creation[1])
        await shop.settle()

    await shop.clock.run(work())


@pytest.mark.parametrize("fails", ["account.get", "contacts.get"])
async def test_a_message_that_broke_off_in_the_middle_is_done_again(shop: Shop, ear: Ear, fails: str) -> None:
    shop.fault(fails, "status", status=401, times=1)
    await run(
        ear, do(opt_out, shop.state, shop.state.by_creation[0]), do(delete, shop.state, shop.state.by_creation[1])
    )
    assert await ear.barred(*PEOPLE[:2]) == {PEOPLE[0]: "objected"}
    shop.clock.advance(FIRST_WAIT + 1)
    await shop.clock.run(ear.handle())
    assert await ear.barred(*PEOPLE[:2]) == {PEOPLE[0]: "objected", PEOPLE[1]: "forgotten"}


async def test_an_objection_heard_from_brevo_is_shown_by_explain(shop: Shop, ear: Ear) -> None:
    await run(ear, do(opt_out, shop.state, shop.state.by_creation[0]))
    explained = await Privacy(ear.store, shop.clock).explain(PEOPLE[0])
    assert explained.barred == "objected"


DOINGS = ("edit", "join", "opt-out", "delete", "sign-up", "bounce")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=1, max_size=6))
def test_whatever_is_lost_doubled_or_broken_off_in_the_end_everything_was_heard(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rounds: list[tuple[int, bool]]
) -> None:
    place = tmp_path_factory.mktemp("heard") / "store.sqlite"

    shop = Shop(seed=seed)

    async def work() -> None:
        shop.state.add_list("one")
        for email in PEOPLE:
            shop.state.add_contact(email, {"FIRSTNAME": "A"})
        before = {one.id: shop.state.show(one) for one in shop.state.by_creation}
        emails = {one.id: one.email for one in shop.state.by_creation}
        async with open_ear(shop, place) as ear:
            await ear.feedback.put([make_said("file", text="Mine", source="s", id=who, contact=who) for who in PEOPLE])
            await ear.hooks.reconcile("brevo")
            await ear.listen()
            await ear.webhooks.create(URL, ["marketing"])
        for kind, rate in (("drop", 0.2), ("lost", 0.2), ("slow", 0.3)):
            shop.fault("webhooks.deliver", kind, rate=rate, seconds=300.0)
        shop.fault("contacts.get", "status", rate=0.2, status=500)
        for count, crashes in rounds:
            async with open_ear(shop, place) as ear:
                shop.ears = [ear]
                await ear.inbox.recover()
                stir(shop.state, count, DOINGS)
                emails |= {one.id: one.email for one in shop.state.by_creation}
                await shop.settle(400.0)
                if not crashes:
                    await ear.inbox.handle_due()
        shop.world.faults.clear()
        async with open_ear(shop, place) as ear:
            shop.ears = [ear]
            await ear.inbox.recover()
            await shop.settle(100_000.0)
            await ear.handle()
            await ear.hooks.reconcile("brevo", full=True)
            await check(shop, ear, before, emails)

    asyncio.run(shop.clock.run(work()))


async def check(shop: Shop, ear: Ear, before: dict[int, Any], emails: dict[int, str]) -> None:
    """Hold what was heard against the account."""
    state = {one.id: one for one in shop.state.by_creation}
    barred = await ear.barred(*emails.values())
    for number, email in emails.items():
        if number in state and state[number].email_blacklisted:
            assert barred[email] in ("objected", "forgotten"), email
        elif number in state and email in PEOPLE:
            assert email not in barred, email
    gone = {email for number, email in emails.items() if number not in state}
    assert {email for email in PEOPLE if email in gone} == {
        email for email in PEOPLE if barred.get(email) == "forgotten"
    }
    assert {row.contact for row in await ear.feedback.page()} == set(PEOPLE) - gone
    ignored = {"modifiedAt"}
    edited = {
        number
        for number, one in state.items()
        if number not in before
        or {name: value for name, value in shop.state.show(one).items() if name not in ignored}
        != {name: value for name, value in before[number].items() if name not in ignored}
    }
    assert edited <= await ear.changed()
