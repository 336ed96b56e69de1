"""People, keys, inboxes, switches, control paths and the kept file of the emulated Brevo."""

from __future__ import annotations

import base64

import msgspec
import pytest
from brevo_hooked import Hooked
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.clock import ManualClock
from penstock.sandbox.brevo import build_brevo_app
from penstock.sandbox.brevo_account import Key
from penstock.sandbox.brevo_consents import ConsentGroup
from penstock.sandbox.brevo_inbox import receive_mail, say
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.brevo_people import DOINGS, Errand, add_conversations_webhook, edit, run_errand, stir
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import RefusedError
from penstock.sandbox.keep import load_account, save_account
from penstock.sandbox.server import build_app
from penstock.sandbox.world import Fault, World
from penstock.vendor.http import Http

SITE = "http://sandbox.local:8089"


@pytest.fixture
def brevo() -> Hooked:
    return Hooked()


async def test_a_registered_key_may_do_what_its_rights_say(brevo):
    keys = brevo.state.account.keys
    keys["k-limited"] = Key("limited", {"contacts": "read", "events": "write", "*": "none"})
    keys["k-write"] = Key("writer", {"contacts": "write"})
    keys["k-old"] = Key("old", expires=brevo.clock.now())
    keys["k-off"] = Key("off", active=False)
    brevo.state.add_contact("a@x.org")
    event = {"event_name": "e", "identifiers": {"contact_id": 1}}
    for key, method, path, body, status in [
        ("k-limited", "GET", "contacts", None, 200),
        ("k-limited", "POST", "contacts", {"email": "b@x.org"}, 403),
        ("k-limited", "POST", "events", event, 204),
        ("k-limited", "GET", "webhooks", None, 403),
        ("k-write", "PUT", "contacts/1", {"attributes": {}}, 204),
        ("k-write", "DELETE", "contacts/1", None, 403),
        ("k-write", "DELETE", "webhooks/1", None, 404),
        ("k-old", "GET", "contacts", None, 401),
        ("k-off", "GET", "contacts", None, 401),
    ]:
        assert (await brevo(method, path, body, key=key)).status == status, (key, method, path)


async def test_an_unlisted_address_is_refused_with_its_own_message(brevo):
    brevo.state.account.allowed_ips = ["198.51.100.7"]
    got = await brevo("GET", "account")
    assert (got.status, "unrecognised IP address 127.0.0.1" in got.json["message"]) == (401, True)
    brevo.state.account.allowed_ips.append("127.0.0.1")
    assert (await brevo("GET", "account")).status == 200


async def test_the_account_shows_its_plan(brevo):
    brevo.state.account.plan, brevo.state.account.credits = "business", 5_000
    shown = (await brevo("GET", "account")).json
    assert shown["plan"] == [{"type": "business", "creditsType": "sendLimit", "credits": 5_000}]
    made = await brevo("POST", "senders", {"name": "Shop", "email": "shop@x.org"})
    senders = (await brevo("GET", "senders")).json["senders"]
    assert [one["id"] for one in senders] == [1, made.json["id"]]


async def test_a_conversation_is_told_from_its_start_to_its_transcript(brevo):
    add_conversations_webhook(brevo.state, "https://shop.example/talk")
    ann = brevo.state.add_contact("ann@x.org", {"FIRSTNAME": "Ann"})
    first = say(brevo.state, ann, "It broke")
    say(brevo.state, ann, "Sorry", agent=True)
    say(brevo.state, ann, "Thanks", ends=True)
    bodies = await brevo.wait()
    kinds = sorted(body["eventName"] for body in bodies)
    assert kinds == [
        "conversationFragment",
        "conversationFragment",
        "conversationStarted",
        "conversationTranscript",
    ]
    (whole,) = [body for body in bodies if body["eventName"] == "conversationTranscript"]
    assert [(one["type"], one["text"]) for one in whole["messages"]] == [
        ("visitor", "It broke"),
        ("agent", "Sorry"),
        ("visitor", "Thanks"),
    ]
    assert whole["visitor"]["attributes"]["EMAIL"] == "ann@x.org"
    assert (await brevo("GET", f"conversations/messages/{first}")).json["text"] == "It broke"
    assert (await brevo("GET", "webhooks")).json == {"webhooks": []}


async def test_inbound_mail_arrives_as_json_with_attachments_behind_a_token(brevo):
    await brevo.hook("inboundEmailProcessed", type="inbound", domain="reply.x.org")
    await brevo.hook("inboundEmailProcessed", type="inbound", domain="other.org", url="https://other.org/h")
    uuid = receive_mail(
        brevo.state, "ann@x.org", "shop@reply.x.org", "Broken", "It **broke**", {"a.txt": ("text/plain", b"log")}
    )
    (body,) = await brevo.wait()
    (item,) = body["items"]
    assert (item["Uuid"], item["From"]["Address"], item["Subject"]) == ([uuid], "ann@x.org", "Broken")
    assert item["ExtractedMarkdownMessage"] == "It **broke**"
    file = await brevo("GET", f"inbound/attachments/{item['Attachments'][0]['DownloadToken']}")
    assert (file.raw, file.headers["content-type"]) == (b"log", "text/plain")
    assert (await brevo("GET", "inbound/events")).json["events"][0]["uuid"] == uuid
    assert (await brevo("GET", f"inbound/events/{uuid}")).json["attachments"][0]["name"] == "a.txt"
    brevo.clock.advance(31 * 86_400)
    assert (await brevo("GET", "inbound/events")).json == {"events": []}


async def test_people_do_the_same_things_with_the_same_seed():
    def play():
        state = BrevoState(World(ManualClock(), seed=3))
        state.add_list("news")
        for number in range(20):
            state.add_contact(f"c{number}@x.org", {"FIRSTNAME": "C"}, lists=[1])
        return stir(state, 60), [state.show(one) for one in state.by_creation]

    first, second = play(), play()
    assert first == second
    assert {one.doing for one in first[0]} >= {"edit", "opt-out", "delete", "sign-up"}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_whatever_people_do_the_indexes_agree(seed, count):
    state = BrevoState(World(ManualClock(), seed=seed), consent_groups=True)
    for name in ("one", "two"):
        state.add_list(name)
    for number in range(10):
        state.add_contact(f"c{number}@x.org", lists=[1 + number % 2])
    done = stir(state, count, (*DOINGS, "bounce", "confirm", "withdraw"))
    gone = {one.contact for one in done if one.doing == "delete"}
    assert gone.isdisjoint(state.contacts)
    assert {one.email for one in state.by_creation} == {one.email for one in state.contacts.values()}
    for number, one in state.lists.items():
        assert one.members == {contact.id for contact in state.by_creation if number in contact.lists}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_people_did_is_the_same_after_it_was_kept(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("kept") / "account.json"
    state = BrevoState(World(ManualClock(), seed=seed), per_list_unsubscription=True)
    state.add_list("one")
    for number in range(10):
        state.add_contact(f"c{number}@x.org", {"SMS": f"336000000{number}0"}, lists=[1])
    stir(state, 40)
    save_account(state, path)
    other = BrevoState(World(ManualClock()))
    assert load_account(other, path)
    assert [other.show(one) for one in other.by_creation] == [state.show(one) for one in state.by_creation]
    assert {kind: set(rows) for kind, rows in other.owners.items()} == {
        kind: set(rows) for kind, rows in state.owners.items()
    }
    assert other.lists[1].members == state.lists[1].members


def test_an_errand_that_cannot_be_done_is_refused(brevo):
    for errand in (
        Errand("opt-out", "nobody@x.org"),
        Errand("fly", "1"),
        Errand("segment", name="s", text="NOWHERE", value="1"),
    ):
        brevo.state.find("id", "1") or brevo.state.add_contact("a@x.org")
        with pytest.raises(RefusedError):
            run_errand(brevo.state, errand)


async def test_what_the_documents_leave_open_can_be_switched():
    strict = Hooked(unknown_attributes="refuse", event_contacts=True, import_identifiers=False, contact_batch="works")
    body = {"email": "a@x.org", "attributes": {"NOWHERE": 1}}
    assert (await strict("POST", "contacts", body)).status == 400
    event = {"event_name": "e", "identifiers": {"email_id": "a@x.org"}, "contact_properties": {"FIRSTNAME": "A"}}
    assert (await strict("POST", "events", event)).status == 204
    assert (await strict.contact("a@x.org"))["attributes"] == {"FIRSTNAME": "A"}
    made = strict.state.add_list("one").id
    rows = {"jsonBody": [{"attributes": {"EXT_ID": "e1"}}], "listIds": [made]}
    await strict.finish((await strict("POST", "contacts/import", rows)).json["processId"])
    assert strict.state.find("ext_id", "e1") is None
    batch = {"contacts": [{"email": "a@x.org", "attributes": {"FIRSTNAME": "B"}}, {"id": 99}]}
    assert (await strict("POST", "contacts/batch", batch)).status == 204
    assert (await strict.contact("a@x.org"))["attributes"] == {"FIRSTNAME": "B"}
    assert (await strict("POST", "contacts/batch", {"contacts": [{"id": 1, "email": "a@x.org"}]})).status == 400


async def test_a_contact_that_is_still_processed_answers_425():
    brevo = Hooked(busy_seconds=5)
    await brevo("POST", "contacts", {"email": "a@x.org"})
    for method, path, body in [
        ("PUT", "contacts/1", {"attributes": {}}),
        ("POST", "contacts", {"email": "a@x.org", "updateEnabled": True}),
    ]:
        got = await brevo(method, path, body)
        assert (got.status, got.json["code"]) == (425, "account_in_process")
    brevo.clock.advance(5)
    assert (await brevo("PUT", "contacts/1", {"attributes": {}})).status == 204


async def test_a_write_may_be_visible_later():
    brevo = Hooked(visible_after=10)
    await brevo("POST", "contacts", {"email": "a@x.org", "attributes": {"FIRSTNAME": "A"}})
    assert await brevo.contact("1") is None
    brevo.clock.advance(10)
    await brevo("PUT", "contacts/1", {"attributes": {"FIRSTNAME": "B"}})
    assert (await brevo.contact("1"))["attributes"]["FIRSTNAME"] == "A"
    brevo.clock.advance(10)
    assert (await brevo.contact("1"))["attributes"]["FIRSTNAME"] == "B"


async def test_a_planned_207_lets_half_of_a_batch_fail_and_a_planned_200_is_an_error_envelope(brevo):
    brevo.world.faults.append(Fault("brevo", "events.batch", status=207, times=1))
    event = {"event_name": "e", "identifiers": {"email_id": "a@x.org"}}
    got = await brevo("POST", "events/batch", {"events": [event, event, event]})
    assert (got.status, got.json["successful_events"], got.json["errors"][0]["eventIndex"]) == (207, 2, [2])
    brevo.world.faults.append(Fault("brevo", "contacts.list", status=200, times=1))
    envelope = await brevo("GET", "contacts")
    assert (envelope.status, set(envelope.json)) == (200, {"code", "message"})


async def test_whoever_was_resubscribed_by_a_key_is_named_and_nobody_else(brevo):
    made = brevo.state.add_list("one").id
    for name in "abcd":
        brevo.state.add_contact(f"{name}@x.org", email_blacklisted=True, sms_blacklisted=True)
    await brevo("PUT", "contacts/1", {"emailBlacklisted": True, "attributes": {"FIRSTNAME": "A"}})
    await brevo("POST", "contacts/import", {"jsonBody": [{"email": "a@x.org"}], "listIds": [made]})
    edit(brevo.state, brevo.state.contacts[4], {"EMAIL": "moved@x.org"})
    brevo.clock.advance(60)
    assert (await brevo.contact("1"))["listIds"] == [made]
    assert brevo.state.lifted == []
    await brevo("PUT", "contacts/2", {"smsBlacklisted": False})
    await brevo("PUT", "contacts/3", {"attributes": {"EMAIL": "new@x.org"}})
    assert brevo.state.lifted == [2, 3]


def test_each_errand_does_what_its_name_says(brevo):
    state = brevo.state
    news = state.add_list("news").id
    state.behaviour.consent_groups = True
    state.groups[1] = ConsentGroup(1, "News", "manual", 0, 0)
    state.add_contact("a@x.org")
    for errand in (
        Errand("edit", "a@x.org", {"FIRSTNAME": "A"}),
        Errand("join", "1", number=news),
        Errand("leave-list", "1", number=news),
        Errand("withdraw", "1", number=1),
        Errand("say", "1", text="Hello"),
        Errand("bounce", "1"),
        Errand("mail", "a@x.org", recipient="in@x.org", subject="S", text="T"),
        Errand("segment", name="As", text="FIRSTNAME", value="A"),
        Errand("key", text="k-1", name="own"),
        Errand("conversations-webhook", url="https://shop.example/talk"),
    ):
        run_errand(state, errand)
    shown = state.show(state.contacts[1])
    assert (shown["attributes"], shown["listIds"], shown["emailBlacklisted"]) == ({"FIRSTNAME": "A"}, (news,), True)
    assert shown["consentGroups"] == [{"id": 1, "status": "unsubscribed"}]
    assert state.contacts[1].unsubscribed == (news,)
    assert (len(state.inbox.messages), len(state.inbox.mails), len(state.segments)) == (1, 1, 1)
    assert state.account.keys["k-1"].name == "own"
    run_errand(state, Errand("delete", "1"))
    assert not state.contacts


async def test_everything_is_kept_between_commands_under_its_own_ids(brevo, tmp_path):
    path = tmp_path / "account.json"
    await brevo.hook("contactUpdated")
    news = brevo.state.add_list("news").id
    for name in "abc":
        brevo.state.add_contact(f"{name}@x.org", {"SMS": f"3361234567{ord(name) % 10}"}, ext_id=name, lists=[news])
    await brevo("DELETE", "contacts/1")
    await brevo("PUT", "contacts/2", {"attributes": {"FIRSTNAME": "B"}})
    campaign = {"name": "C", "subject": "S", "sender": {"id": 1}, "htmlContent": "<p>Hello all</p>"}
    await brevo("POST", "emailCampaigns", campaign)
    await brevo("POST", "products", {"id": "p", "name": "n"})
    await brevo("POST", "events", {"event_name": "e", "identifiers": {"contact_id": 2}})
    rows = {"jsonBody": [{"email": "d@x.org"}, {"email": "no"}], "listIds": [news]}
    process = (await brevo("POST", "contacts/import", rows)).json["processId"]
    save_account(brevo.state, path)

    other = Hooked()
    other.clock.advance(brevo.clock.now() - other.clock.now())
    assert load_account(other.state, path)
    for place in ("contacts?limit=9", "contacts/lists", "webhooks", "emailCampaigns/1", "products", "events"):
        text, _, query = place.partition("?")
        pairs = [tuple(query.split("="))] if query else ()
        before, after = await brevo("GET", text, query=pairs), await other("GET", text, query=pairs)
        assert after.json == before.json, place
    assert sorted(other.state.contacts) == [2, 3, 4]
    assert (await other("GET", f"processes/{process}")).json["status"] == "completed"
    assert (await other.contact("c", "ext_id"))["id"] == 3
    assert (await other("POST", "contacts", {"email": "e@x.org"})).json == {"id": 5}
    assert [body["content"] for body in await other.wait()] == [{"FIRSTNAME": "B"}]
    assert not load_account(Hooked().state, tmp_path / "none.json")


def test_a_file_of_contacts_and_attributes_alone_can_still_be_read(tmp_path):
    path = tmp_path / "account.json"
    contact = {"id": 7, "created": 1, "modified": 2, "email": "a@x.org", "attributes": {}, "lists": [4]}
    attribute = {"name": "SCORE", "category": "normal", "type": "float"}
    path.write_bytes(msgspec.json.encode({"attributes": [attribute], "contacts": [contact]}))
    state = BrevoState(World(ManualClock()))
    assert load_account(state, path)
    assert (state.contacts[7].lists, state.add_contact("b@x.org").id) == ((), 8)
    assert "SCORE" in state.attributes


async def test_the_control_paths_send_people_and_switch_behaviour():
    clock = ManualClock()
    http = Http(apps={"sandbox.local": build_app(World(clock))})

    async def control(method, path, body=None):
        content = None if body is None else msgspec.json.encode(body)
        reply = await http.send(method, f"{SITE}/_sandbox/brevo/{path}", headers={}, body=content)
        return reply.status, reply.json()

    async def api(path, body=None):
        content = None if body is None else msgspec.json.encode(body)
        headers = {"api-key": "xkeysib-test", "content-type": "application/json"}
        method = "GET" if body is None else "POST"
        return await http.send(method, f"{SITE}/brevo/v3/{path}", headers=headers, body=content)

    done = await control("POST", "people", {"doing": "sign-up", "contact": "a@x.org"})
    assert done == (200, {"doing": "sign-up", "contact": 1, "details": {"email": "a@x.org"}})
    several = [{"doing": "opt-out", "contact": "a@x.org"}, {"doing": "stir", "count": 5}]
    assert (await control("POST", "people", several))[0] == 200
    assert (await control("POST", "people", {"doing": "opt-out", "contact": "z@x.org"}))[0] == 400
    assert (await control("POST", "people", {"doing": "fly", "contact": "1", "far": 1}))[0] == 400
    assert (await control("POST", "behaviour", {"ecommerce": False}))[1]["ecommerce"] is False
    assert (await api("orders")).status == 403
    assert (await control("POST", "behaviour", {"ecommerces": False}))[0] == 400
    assert (await control("GET", "behaviour"))[1]["ecommerce"] is False
    assert (await control("POST", "limits", {"enabled": False}))[0] == 200
    assert (await control("POST", "account", {"plan": "business", "credits": 9}))[1]["credits"] == 9
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    assert (await control("POST", "hosted", {"url": "https://cdn.example/a.png", "content": picture}))[0] == 200
    assert (await api("emailCampaigns/images", {"imageUrl": "https://cdn.example/a.png"})).status == 201
    shown = (await control("GET", "state"))[1]
    assert (shown["images"], shown["waiting"], shown["deliveries"]) == (1, 0, {})
    assert (await control("POST", "deliver"))[1] == {"tried": 0}
    assert (await control("POST", "nothing"))[0] == 404


async def test_an_app_can_be_built_without_a_receiver():
    world = World(ManualClock())
    app = build_brevo_app(world, limits=BrevoLimits(enabled=False))
    assert app.ticker.next_due() is None
