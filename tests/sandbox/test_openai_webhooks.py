"""Webhooks of the emulated OpenAI: which events go where, how they are signed, and when they are tried again."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json

import pytest
from media_desk import Desk, write_lines

from penstock.sandbox.loopback import post_to_loopback
from penstock.sandbox.openai_webhooks import GAPS_SECONDS
from penstock.sandbox.world import Fault

DAY = 86_400


async def make_endpoint(desk, *types, url="https://shop.example/hooks"):
    got = await desk.post("webhook_endpoints", name="Shop", url=url, event_types=list(types) or ["batch.completed"])
    assert got.status == 200, got.raw
    return got.json


async def run_batch(desk):
    """Start a batch and let the ticker alone bring it to its end."""
    identity = await desk.start_batch(write_lines({"input": "Hello"}))
    await desk.clock.run(desk.clock.sleep(60))
    return identity


def is_signed_with(secret, headers, body):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return expected in headers["webhook-signature"].split(" ")


async def test_a_finished_batch_is_announced_although_nobody_asks():
    desk = Desk()
    endpoint = await make_endpoint(desk)
    identity = await run_batch(desk)
    ((url, headers, body),) = desk.letters
    assert url == endpoint["url"]
    assert is_signed_with(endpoint["signing_secret"], headers, body)
    event = json.loads(body)
    assert (event["object"], event["type"], event["data"]) == ("event", "batch.completed", {"id": identity})
    assert event["created_at"] == int(headers["webhook-timestamp"])


async def test_only_those_who_asked_for_a_type_get_it():
    desk = Desk()
    await make_endpoint(desk, "batch.failed")
    both = [await make_endpoint(desk, "batch.failed", "batch.completed", url=f"https://{at}.example") for at in "ab"]
    await run_batch(desk)
    assert sorted(url for url, _, _ in desk.letters) == [one["url"] for one in both]
    assert len({headers["webhook-id"] for _, headers, _ in desk.letters}) == 2


async def test_a_background_response_is_announced():
    desk = Desk()
    await make_endpoint(desk, "response.completed")
    got = await desk.post("responses", model="gpt-6-luna", input="Hello", background=True)
    await desk.clock.run(desk.clock.sleep(60))
    assert json.loads(desk.letters[0][2])["data"]["id"] == got.json["id"]


async def test_a_failed_delivery_is_tried_again_with_growing_gaps_and_the_same_id():
    desk = Desk()
    await make_endpoint(desk)
    desk.answers = [500, 0, 302, 404, 200]
    await run_batch(desk)
    await desk.clock.run(desk.clock.sleep(DAY))
    assert len({headers["webhook-id"] for _, headers, _ in desk.letters}) == 1
    times = [int(headers["webhook-timestamp"]) for _, headers, _ in desk.letters]
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == list(GAPS_SECONDS[:4])


async def test_deliveries_end_within_three_days():
    assert list(GAPS_SECONDS) == sorted(GAPS_SECONDS)
    assert sum(GAPS_SECONDS) <= 72 * 3_600
    desk = Desk()
    await make_endpoint(desk)
    desk.answers = [500] * 20
    await run_batch(desk)
    await desk.clock.run(desk.clock.sleep(10 * DAY))
    assert len(desk.letters) == 1 + len(GAPS_SECONDS)


async def test_a_deleted_endpoint_gets_nothing_more():
    desk = Desk()
    endpoint = await make_endpoint(desk)
    desk.answers = [500]
    await run_batch(desk)
    await desk.call("DELETE", f"webhook_endpoints/{endpoint['id']}")
    await desk.clock.run(desk.clock.sleep(DAY))
    assert len(desk.letters) <= 4
    before = len(desk.letters)
    await run_batch(desk)
    assert len(desk.letters) == before


@pytest.mark.parametrize(("kind", "count"), [("lost", 2), ("drop", 1), ("slow", 1)])
async def test_faults_repeat_lose_or_delay_a_delivery(kind, count):
    desk = Desk(faults=[Fault(operation="webhooks.deliver", kind=kind, seconds=20, times=1)])
    await make_endpoint(desk)
    await run_batch(desk)
    await desk.clock.run(desk.clock.sleep(DAY))
    assert len(desk.letters) == count
    assert len({headers["webhook-id"] for _, headers, _ in desk.letters}) == 1


async def test_a_forged_delivery_does_not_verify():
    desk = Desk(faults=[Fault(operation="webhooks.deliver", kind="malformed", times=1)])
    endpoint = await make_endpoint(desk)
    await run_batch(desk)
    assert not is_signed_with(endpoint["signing_secret"], *desk.letters[0][1:])


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_rotated_secret_may_count_for_another_day(keeps):
    desk = Desk()
    old = await make_endpoint(desk)
    path = f"webhook_endpoints/{old['id']}"
    new = (await desk.post(f"{path}/rotate_secret", keep_old_secret_active_for_24_hours=keeps)).json
    await desk.post(f"{path}/test", event_type="batch.completed")
    desk.clock.advance(DAY)
    await desk.post(f"{path}/test", event_type="batch.completed")
    (_, *first), (_, *second) = desk.letters
    assert is_signed_with(new["signing_secret"], *first)
    assert is_signed_with(new["signing_secret"], *second)
    assert is_signed_with(old["signing_secret"], *first) is keeps
    assert not is_signed_with(old["signing_secret"], *second)


async def test_a_test_delivery_says_what_the_endpoint_answered():
    desk = Desk()
    endpoint = await make_endpoint(desk)
    desk.answers = [418, 0]
    path = f"webhook_endpoints/{endpoint['id']}/test"
    assert (await desk.post(path, event_type="batch.failed")).json["status_code"] == 418
    assert (await desk.post(path, event_type="batch.failed")).error["code"] == "webhook_unreachable"
    assert (await desk.post(path, event_type="batch.exploded")).error["param"] == "event_type"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"url": "http://shop.example"}, "url"),
        ({"url": "ftp://127.0.0.1"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["image.completed"]}, "event_types"),
        ({"name": None}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_endpoint_is_refused(body, param):
    usual = {"name": "Shop", "url": "https://shop.example", "event_types": ["batch.completed"]}
    got = await Desk().post("webhook_endpoints", **{**usual, **body})
    assert (got.status, got.error["param"]) == (400, param)


async def test_an_unchanged_update_does_not_count_as_a_change():
    desk = Desk()
    endpoint = await make_endpoint(desk)
    desk.clock.advance(60)
    path = f"webhook_endpoints/{endpoint['id']}"
    assert (await desk.post(path, name="Shop")).json["updated_at"] == endpoint["updated_at"]
    assert (await desk.post(path, name="Store")).json["updated_at"] == endpoint["updated_at"] + 60


@pytest.mark.parametrize("url", ["https://127.0.0.1/hooks", "http://example.com/hooks", "http://10.0.0.1/"])
async def test_nothing_leaves_this_machine(url):
    with pytest.raises(OSError, match="this machine only"):
        await post_to_loopback(url, {}, b"{}")


@pytest.mark.parametrize("reply", [b"", b"hello\r\n"])
async def test_an_answer_that_is_none_is_an_error(reply):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="no answer"):
            await post_to_loopback(f"http://127.0.0.1:{port}/hooks?a=b", {}, b"{}")
