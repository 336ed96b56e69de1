"""Both emulators behind the paths of the served sandbox, its control paths, and the account that is kept."""

import msgspec

from penstock.base.clock import ManualClock, SystemClock
from penstock.sandbox.conversions_keep import load_ad_account, save_ad_account
from penstock.sandbox.conversions_state import PIXEL, ConversionsState
from penstock.sandbox.server import build_app
from penstock.sandbox.world import World
from penstock.vendor.ads import Ads
from penstock.vendor.conversions import Conversions
from penstock.vendor.http import Http
from processes import serve_sandbox

SITE = "http://sandbox.local:8089"


def make_lead(clock, number=1, **changes):
    event = {
        "id": f"lead-{number}",
        "type": "lead_created",
        "timestamp_ms": round(clock.now() * 1000),
        "action_source": "other",
        "data": {"type": "customer_action"},
        **changes,
    }
    return msgspec.json.encode(event)


async def test_one_port_serves_both_apis_over_one_account():
    clock = ManualClock()
    http = Http(apps={"sandbox.local": build_app(World(clock))})
    ads = Ads(http, "sk-advertiser-0123", base_url=f"{SITE}/ads/v1")
    pixel = await ads.create_pixel("Served")
    client = Conversions(http, await ads.create_key("server"), pixel_id=pixel.pixel_id, base_url=f"{SITE}/conversions")
    assert (await client.send([make_lead(clock)])).kind == "accepted"
    assert [one.id for one in await ads.sample(pixel.pixel_id)] == ["lead-1"]


async def test_behaviour_is_changed_and_counts_are_read_over_the_control_paths():
    clock = ManualClock()
    http = Http(apps={"sandbox.local": build_app(World(clock))})
    client = Conversions(http, "sk-any-0123", pixel_id=PIXEL, base_url=f"{SITE}/conversions")

    async def control(method, path, body=None):
        content = None if body is None else msgspec.json.encode(body)
        reply = await http.send(method, f"{SITE}/_sandbox/{path}", headers={}, body=content)
        return reply.status, reply.json()

    status, behaviour = await control("POST", "conversions", {"pointers": "none"})
    assert (status, behaviour["pointers"], behaviour["codes"]) == (200, "none", "named")
    assert (await client.send([make_lead(clock, id="")])).pointers == ()
    assert (await control("POST", "conversions", {"pointer": "none"}))[0] == 400
    await client.send([make_lead(clock)])
    state = (await control("GET", "state"))[1]
    assert state["conversions"]["saved"] == {f"{PIXEL} lead_created": 1}
    assert state["conversions"]["counts"] == {"requests": 2, "refused batches": 1, "saved": 1}
    assert (await control("POST", "faults", {"vendor": "conversions", "kind": "status", "status": 503}))[0] == 200
    assert (await client.send([make_lead(clock)])).kind == "unavailable"


def test_the_account_is_the_same_for_the_next_command(tmp_path):
    clock = ManualClock()
    first = ConversionsState(World(clock))
    pixel = first.add_pixel("Kept")
    key = first.add_key("conversions")
    event = msgspec.json.decode(make_lead(clock))
    assert first.save(pixel.pixel_id, event)
    save_ad_account(first, tmp_path / "account.json")
    second = ConversionsState(World(clock))
    assert load_ad_account(second, tmp_path / "account.json")
    assert (second.pixels, second.keys) == (first.pixels, {key: "conversions"})
    assert not second.save(pixel.pixel_id, event)
    assert second.add_pixel("Another").pixel_id != pixel.pixel_id
    assert not load_ad_account(second, tmp_path / "nothing.json")


def test_only_so_many_events_are_held_and_all_are_counted():
    clock = ManualClock()
    state = ConversionsState(World(clock), keep=10)
    for number in range(25):
        state.save(PIXEL, msgspec.json.decode(make_lead(clock, number)))
    assert len(state.received) == 10
    assert state.saved[PIXEL, "lead_created"] == 25


async def test_over_a_real_connection_a_lost_answer_is_no_lost_event():
    clock = SystemClock()
    with serve_sandbox() as sandbox:
        client = Conversions(Http(), "sk-any-0123", pixel_id=PIXEL, base_url=f"{sandbox.url}/conversions/v1/events")
        sandbox.post("faults", vendor="conversions", kind="drop", times=1)
        sandbox.post("faults", vendor="conversions", kind="lost", times=1)
        sandbox.post("faults", vendor="conversions", kind="html", times=1)
        verdicts = [await client.send([make_lead(clock)]) for _ in range(4)]
        assert [one.kind for one in verdicts] == ["unavailable", "unavailable", "unavailable", "accepted"]
        assert [one.status for one in verdicts] == [0, 0, 502, 200]
        counts = sandbox.state()["conversions"]["counts"]
    assert (counts["saved"], counts["duplicates"]) == (1, 1)
