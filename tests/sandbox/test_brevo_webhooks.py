"""Webhooks of the emulated Brevo: management, authenticity, payloads, retries, and what is never promised."""

from __future__ import annotations

import base64
import itertools
from collections import Counter

import pytest
from brevo_hooked import Hooked
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.sandbox.brevo_account import Key
from penstock.sandbox.brevo_people import delete, edit, opt_out
from penstock.sandbox.brevo_webhooks import GAPS_SECONDS
from penstock.sandbox.world import Fault

DAY = 86_400


@pytest.fixture
def brevo() -> Hooked:
    return Hooked()


async def change(brevo, value="x", key="xkeysib-test"):
    assert (await brevo("PUT", "contacts/1", {"attributes": {"FIRSTNAME": value}}, key=key)).status == 204


async def test_webhooks_are_made_listed_changed_and_deleted(brevo):
    first = await brevo.hook("contactUpdated", description="one", auth={"type": "bearer", "token": "t"})
    second = await brevo.hook("delivered", type="transactional", channel="email")
    shown = (await brevo("GET", f"webhooks/{first}")).json
    assert (shown["url"], shown["events"], shown["type"]) == (
        "https://shop.example/hooks/secret",
        ["contactUpdated"],
        "marketing",
    )
    assert (shown["batched"], shown["auth"]["token"], shown["description"]) == (False, "t", "one")
    assert [one["id"] for one in (await brevo("GET", "webhooks")).json["webhooks"]] == [second, first]
    listed = await brevo("GET", "webhooks", query={"type": "marketing"})
    assert [one["id"] for one in listed.json["webhooks"]] == [first]
    assert (await brevo("GET", "webhooks", query={"type": "all"})).status == 400
    assert (await brevo("PUT", f"webhooks/{first}", {"events": ["contactDeleted"]})).status == 204
    assert (await brevo("GET", f"webhooks/{first}")).json["events"] == ["contactDeleted"]
    assert (await brevo("DELETE", f"webhooks/{first}")).status == 204
    assert (await brevo("DELETE", f"webhooks/{first}")).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {"events": ["contactUpdated"], "type": "marketing"},
        {"url": "https://a.example", "type": "marketing"},
        {"url": "http://a.example", "events": ["contactUpdated"], "type": "marketing"},
        {"url": "https://a.example", "events": ["contactCreated"], "type": "marketing"},
        {"url": "https://a.example", "events": ["contactUpdated"]},
        {"url": "https://a.example", "events": ["inboundEmailProcessed"], "type": "inbound"},
        {"url": "https://a.example", "events": ["delivered"], "type": "other"},
    ],
)
async def test_a_webhook_that_cannot_be_is_refused(brevo, body):
    assert (await brevo("POST", "webhooks", body)).status == 400
    assert not brevo.state.outbox.hooks


async def test_an_account_has_forty_webhooks_at_most_and_the_same_twice_is_two(brevo):
    for _ in range(40):
        await brevo.hook("contactUpdated")
    got = await brevo("POST", "webhooks", {"url": "https://a.example", "events": ["spam"], "type": "marketing"})
    assert got.status == 400
    brevo.state.add_contact("a@x.org")
    await change(brevo)
    assert len(await brevo.wait()) == 40


async def test_a_change_is_told_with_its_fields_and_the_name_of_the_key(brevo):
    hook = await brevo.hook("contactUpdated")
    brevo.state.account.keys["xkeysib-own"] = Key("penstock")
    brevo.state.add_contact("a@x.org", ext_id="crm-1")
    await change(brevo, "Ann", key="xkeysib-own")
    await change(brevo, "Ann", key="xkeysib-own")
    edit(brevo.state, brevo.state.contacts[1], {"FIRSTNAME": "Eve"})
    own, people = sorted(await brevo.wait(), key=lambda body: body["content"]["FIRSTNAME"])
    assert (own["event"], own["id"], own["email"], own["key"]) == ("contact_updated", hook, "a@x.org", "crm-1")
    assert (own["content"], own["api_key_name"]) == ({"FIRSTNAME": "Ann"}, "penstock")
    assert (people["content"], people["api_key_name"]) == ({"FIRSTNAME": "Eve"}, "")
    assert "event_id" not in own


async def test_lists_and_deletions_are_told_but_never_a_new_contact(brevo):
    await brevo.hook("contactUpdated", "listAddition", "contactDeleted")
    made = brevo.state.add_list("news").id
    await brevo("POST", "contacts", {"email": "a@x.org"})
    await brevo("POST", "contacts", {"email": "b@x.org", "listIds": [made]})
    await brevo("POST", f"contacts/lists/{made}/contacts/add", {"ids": [1]})
    assert {(body["event"], body["email"]) for body in await brevo.wait()} == {
        ("list_addition", "a@x.org"),
        ("list_addition", "b@x.org"),
    }
    delete(brevo.state, brevo.state.contacts[2])
    last = (await brevo.wait())[-1]
    assert (last["event"], last["email"], last["list_id"]) == ("contact_deleted", "b@x.org", [made])
    assert "api_key_name" not in last


async def test_an_opt_out_is_told_with_its_lists_under_either_name(brevo):
    await brevo.hook("unsubscribed")
    made = brevo.state.add_list("news").id
    for name, called in (("a", "unsubscribe"), ("b", "unsubscribed")):
        brevo.state.behaviour.opt_out_event = called
        opt_out(brevo.state, brevo.state.add_contact(f"{name}@x.org", lists=[made]))
    first, second = sorted(await brevo.wait(), key=lambda body: body["email"])
    assert (first["event"], second["event"]) == ("unsubscribe", "unsubscribed")
    assert (first["list_id"], first["ts_event"]) == ([made], int(brevo.clock.now() - 60))
    assert (await brevo.contact("a@x.org"))["emailBlacklisted"] is True


async def test_only_the_epoch_fields_are_utc(brevo):
    await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    moment = int(brevo.clock.now())
    await change(brevo)
    (body,) = await brevo.wait()
    assert body["ts"] == moment
    assert body["date"] == "2026-11-18 12:06:40"  # an hour ahead of UTC in winter


async def test_arrays_stand_for_scalars_in_the_other_published_shape():
    brevo = Hooked(payload_arrays=True)
    await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    await change(brevo, "Ann")
    (body,) = await brevo.wait()
    assert (body["email"], body["content"]) == (["a@x.org"], [{"FIRSTNAME": "Ann"}])


@pytest.mark.parametrize(
    ("rest", "url", "expected"),
    [
        ({"auth": {"type": "bearer", "token": "long"}}, "https://shop.example/h", {"authorization": "Bearer long"}),
        ({"headers": [{"key": "X-Own", "value": "v"}]}, "https://shop.example/h", {"x-own": "v"}),
        (
            {},
            "https://me:pass%20word@shop.example/h",
            {"authorization": "Basic " + base64.b64encode(b"me:pass word").decode()},
        ),
    ],
)
async def test_a_delivery_proves_itself_by_token_header_or_credentials_and_is_never_signed(brevo, rest, url, expected):
    await brevo.hook("contactUpdated", url=url, **rest)
    brevo.state.add_contact("a@x.org")
    await change(brevo)
    await brevo.wait()
    ((to, headers, _),) = brevo.letters
    assert to == "https://shop.example/h"
    assert expected.items() <= headers.items()
    assert not [name for name in headers if "signature" in name or name.endswith("-id")]


async def test_after_a_429_it_is_tried_four_more_times_with_growing_gaps_then_never(brevo):
    await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    brevo.answers = [429] * 9
    await change(brevo)
    bodies = await brevo.wait(2 * DAY)
    assert len(bodies) == 5
    assert all(body == bodies[0] for body in bodies)
    gaps = [round(later - earlier) for earlier, later in itertools.pairwise(brevo.times)]
    assert gaps == [int(gap) for gap in GAPS_SECONDS]
    assert brevo.state.outbox.counts == {"retried": 4, "discarded": 1}


@pytest.mark.parametrize("status", [500, 503, 400, 401, 404, 301])
async def test_every_other_answer_discards_the_event_for_good(brevo, status):
    await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    brevo.answers = [status]
    await change(brevo)
    assert len(await brevo.wait(2 * DAY)) == 1
    assert brevo.state.outbox.counts == {"discarded": 1}


async def test_a_silent_receiver_is_left_alone_for_ten_minutes_then_gets_everything(brevo):
    await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    brevo.answers = [0]
    await change(brevo, "1")
    await brevo.wait(30)
    await change(brevo, "2")
    assert len(await brevo.wait(60)) == 1
    bodies = await brevo.wait(DAY)
    assert sorted(body["content"]["FIRSTNAME"] for body in bodies[1:]) == ["1", "2"]
    assert min(brevo.times[1:]) - brevo.times[0] >= 600


async def test_batched_webhooks_come_in_windows_of_five_minutes_with_five_hundred_events_at_most():
    for shape in ("array", "object"):
        brevo = Hooked(batch_shape=shape)
        await brevo.hook("contactUpdated", batched=True)
        brevo.state.add_contact("a@x.org")
        for number in range(501):
            edit(brevo.state, brevo.state.contacts[1], {"FIRSTNAME": str(number)})
        bodies = await brevo.wait(301)
        events = [body if shape == "array" else body["events"] for body in bodies]
        assert sorted(len(one) for one in events) == [1, 500]
        assert {moment % 300 for moment in brevo.times} == {0.0}


async def test_the_order_of_events_is_not_kept(brevo):
    await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    for number in range(20):
        await change(brevo, str(number))
    seen = [int(body["content"]["FIRSTNAME"]) for body in await brevo.wait()]
    assert sorted(seen) == list(range(20))
    assert seen != sorted(seen)


async def test_planned_faults_lose_double_and_delay_deliveries(brevo):
    await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    for number, (kind, seconds) in enumerate((("drop", 0), ("lost", 0), ("slow", 5_000))):
        brevo.world.faults.append(Fault("brevo", "webhooks.deliver", kind, times=1, seconds=seconds))
        await change(brevo, str(number))
        await brevo.wait(10)
    bodies = await brevo.wait(DAY)
    assert sorted(body["content"]["FIRSTNAME"] for body in bodies) == ["1", "1", "2"]
    assert brevo.times[1] - brevo.times[0] >= 600


async def test_imports_tell_of_each_changed_contact_or_of_none():
    for tells in (True, False):
        brevo = Hooked(import_webhooks=tells)
        await brevo.hook("contactUpdated", "listAddition")
        made = brevo.state.add_list("news").id
        brevo.state.add_contact("a@x.org")
        rows = [{"email": f"{name}@x.org", "attributes": {"FIRSTNAME": "I"}} for name in "ab"]
        await brevo("POST", "contacts/import", {"jsonBody": rows, "listIds": [made]})
        bodies = await brevo.wait()
        told = sorted((body["event"], body["email"], body["api_key_name"]) for body in bodies)
        expected = [("contact_updated", "a@x.org"), ("list_addition", "a@x.org"), ("list_addition", "b@x.org")]
        assert told == ([(*one, "sandbox") for one in expected] if tells else [])


async def test_the_end_of_an_import_is_posted_to_its_notify_url_once(brevo):
    made = brevo.state.add_list("news").id
    body = {"jsonBody": [{"email": "a@x.org"}], "listIds": [made], "notifyUrl": "https://shop.example/done"}
    process = (await brevo("POST", "contacts/import", body)).json["processId"]
    brevo.answers = [429]
    (told,) = await brevo.wait(DAY)
    assert (told["id"], told["status"]) == (process, "completed")
    assert brevo.letters[0][0] == "https://shop.example/done"


async def test_what_is_on_its_way_to_a_deleted_webhook_is_not_sent(brevo):
    hook = await brevo.hook("contactUpdated")
    brevo.state.add_contact("a@x.org")
    await change(brevo)
    await brevo("DELETE", f"webhooks/{hook}")
    assert await brevo.wait() == []


@settings(max_examples=60, deadline=None)
@given(
    answers=st.lists(st.sampled_from([0, 200, 204, 301, 404, 429, 500]), max_size=30),
    kinds=st.lists(st.sampled_from(["drop", "lost", "slow"]), max_size=5),
    count=st.integers(1, 12),
    batched=st.booleans(),
)
async def test_every_event_ends_as_delivered_dropped_or_discarded_after_five_tries_at_most(
    answers, kinds, count, batched
):
    brevo = Hooked()
    brevo.world.faults += [Fault("brevo", "webhooks.deliver", kind, times=1, seconds=50) for kind in kinds]
    await brevo.hook("contactUpdated", batched=batched)
    brevo.state.add_contact("a@x.org")
    brevo.answers = list(answers)
    for number in range(count):
        await change(brevo, str(number))
    bodies = await brevo.wait(10 * DAY)
    counts = brevo.state.outbox.counts
    assert not brevo.state.outbox.letters
    letters = 1 if batched else count
    assert counts["delivered"] + counts["discarded"] + counts["dropped"] == letters
    assert len(bodies) == counts["delivered"] + counts["discarded"] + counts["retried"]
    tries = Counter(str(body) for body in bodies)
    assert max(tries.values(), default=0) <= 5
