"""Conversion events over HTTP: on disk before they are acknowledged, one result each, found again, delivered."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service import Client, open_service

from penstock.base.clock import ManualClock
from penstock.server.auth import Tokens
from penstock.server.events import MOST_EVENTS, _read_lines

NOW = 1_795_000_000


def record(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"order-{number}", "event": "order_created", "timestamp": NOW, "source_url": "https://shop.example/thanks",
        "email": f"jane{number}@example.com", "amount": "12.50", "currency": "EUR", **more,
    }  # fmt: skip


async def send(client: Client, body: Any, kind: str = "application/json", query: str = "mapping=flat") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(f"/v1/events?{query}", content, content_type=kind)


async def test_one_event_is_accepted_found_and_delivered(tmp_path: Path) -> None:
    clock = ManualClock(NOW)

    async def work() -> None:
        async with open_service(tmp_path, clock) as client:
            answered = await send(client, record(1))
            assert answered.status == 202, answered.body
            assert answered.json()["accepted"] == 1
            (taken,) = answered.json()["events"]
            assert (taken["status"], taken["state"], taken["event_id"]) == (202, "waiting", "order-1")
            (found,) = (await client.get("/v1/events/order-1")).json()["events"]
            assert (found["row"]["state"], found["row"]["source"]) == ("waiting", "tests")
            assert "jane1" not in json.dumps(found)
            await client.app.deliveries.flush()
            (found,) = (await client.get("/v1/events/order-1")).json()["events"]
            assert found["row"]["state"] == "delivered"
            figures = (await client.get("/metrics")).body.decode()
            assert 'penstock_events{state="delivered"} 1.0' in figures

    await clock.run(work())


async def test_each_record_of_an_array_or_of_lines_has_its_own_result_in_order(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(NOW)) as client:
        body = [record(1), record(2, timestamp=NOW - 8 * 86_400), "no object", record(1), record(3)]
        answered = await send(client, body)
        assert answered.status == 202
        results = answered.json()["events"]
        assert [one["index"] for one in results] == [0, 1, 2, 3, 4]
        assert [one["state"] for one in results] == ["waiting", "refused", "refused", "duplicate", "waiting"]
        assert [one["status"] for one in results] == [202, 422, 400, 202, 202]
        assert (answered.json()["accepted"], answered.json()["refused"]) == (3, 2)
        assert results[1]["problem"]["code"]
        lines = b"\n".join(
            [json.dumps(record(7)).encode(), b"{broken", b"", b"[1]", b'{"a": "\xff"}', json.dumps(record(8)).encode()]
        )
        for kind in ("application/x-ndjson", "application/jsonl; charset=utf-8"):
            answered = await send(client, lines, kind)
            codes = [one.get("problem", {}).get("code") for one in answered.json()["events"]]
            codes = [code if code != "events.duplicate" else None for code in codes]
            assert codes == [None, "request.not-json", "request.not-an-object", "request.not-json", None]
        good = b"\n".join(json.dumps(record(number)).encode() for number in range(20, 25))
        assert (await send(client, good + b"\n", "application/x-ndjson")).json()["accepted"] == 5


async def test_a_request_without_any_good_record_is_a_problem_with_every_reason(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(NOW)) as client:
        answered = await send(client, record(1, event="no such event"))
        assert answered.status == 422
        assert answered.headers["content-type"] == "application/problem+json"
        problem = answered.json()
        assert problem["code"] == problem["events"][0]["problem"]["code"]
        assert problem["hint"]
        assert (problem["accepted"], problem["refused"]) == (0, 1)


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "application/json", 400, "request.not-json"),
        (b"[]", "application/json", 422, "request.empty"),
        (b"\n\n", "application/x-ndjson", 422, "request.empty"),
        (b"a,b", "text/csv", 415, "request.media-type"),
        (b"[" + b"{}," * MOST_EVENTS + b"{}]", "application/json", 413, "request.too-large"),
        (b"{}\n" * (MOST_EVENTS + 1), "application/x-ndjson", 413, "request.too-large"),
        (b"x\n" * (MOST_EVENTS + 1), "application/x-ndjson", 413, "request.too-large"),
    ],
)
async def test_a_body_that_holds_no_records_is_refused(
    tmp_path: Path, body: bytes, kind: str, status: int, code: str
) -> None:
    async with open_service(tmp_path) as client:
        answered = await send(client, body, kind)
        assert (answered.status, answered.problem["code"]) == (status, code)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "events.no-mapping"),
        ("mapping=../outside.yaml", "events.no-mapping"),
        ("mapping=/etc/passwd", "events.no-mapping"),
        ("mapping=fla", "flow.missing"),
        ("mapping=bad.yaml", "flow.mapping"),
        ("mapping=flat&real_time=perhaps", "request.invalid"),
    ],
)
async def test_a_wrong_mapping_or_flag_is_named(tmp_path: Path, query: str, code: str) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside.yaml").write_text("event: order_created")
    (tmp_path / "inside" / "bad.yaml").write_text("nonsense: 1")
    async with open_service(tmp_path / "inside") as client:
        answered = await send(client, record(1), query=query)
        assert 400 <= answered.status < 500
        assert answered.problem["code"] == code, answered.body


async def test_a_token_reads_its_events_by_its_own_mapping_and_sees_only_them(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("preset: flat\nevent: lead_created\n")
    async with open_service(tmp_path, ManualClock(NOW)) as client:
        tokens = Tokens(client.app.workspace.store, client.app.workspace.clock)
        shop = await tokens.add("shop", allow=["events"], mapping="own.yaml")
        other = await tokens.add("other", allow=["events"])
        everything, client.token = client.token, shop
        assert (await send(client, record(1), query="")).status == 202
        refused = await send(client, record(2), query="mapping=flat")
        assert refused.problem["code"] == "events.other-mapping"
        (found,) = (await client.get("/v1/events/order-1")).json()["events"]
        assert (found["row"]["name"], found["row"]["source"]) == ("lead_created", "shop")
        client.token = other
        answered = await client.get("/v1/events/order-1")
        assert (answered.status, answered.problem["code"]) == (404, "event.unknown")
        client.token = everything
        assert (await client.get("/v1/events/order-1")).status == 200


async def test_orders_of_brevo_are_read_by_a_mapping_that_adds_the_currency(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    (tmp_path / "brevo.yaml").write_text("preset: brevo-order\nfields:\n  currency: EUR\n")
    order = {
        "id": "shop-77", "status": "completed", "amount": 308.42, "createdAt": "2026-11-18T08:00:00Z",
        "updatedAt": "2026-11-18T08:05:00Z", "email": "jane@example.com",
        "identifiers": {"ext_id": "customer-9"}, "billing": {"countryCode": "DE", "city": "Berlin"},
        "products": [{"productId": "P1", "quantity": 2, "price": 154.21, "variantId": "P1-red"}],
    }  # fmt: skip

    async def work() -> None:
        async with open_service(tmp_path, clock) as client:
            tokens = Tokens(client.app.workspace.store, clock)
            client.token = await tokens.add("brevo", allow=["events"], mapping="brevo.yaml")
            for _ in range(2):  # a repeated delivery
                answered = await client.post("/v1/events", order)
                assert answered.status == 202, answered.body
            await client.app.deliveries.flush()
            found = (await client.get("/v1/events/shop-77")).json()["events"]
            assert sorted(one["row"]["state"] for one in found) == ["delivered", "duplicate"]

    await clock.run(work())


async def test_in_real_time_the_answer_holds_the_outcome(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(NOW)) as client:
        for query, state in (("real_time=true", "delivered"), ("real_time=1&validate_only=true", "validated")):
            answered = await send(client, record(1), query=f"mapping=flat&{query}")
            assert [one["state"] for one in answered.json()["events"]] == [state]


async def test_a_full_queue_and_a_full_disk_are_told_to_the_sender_who_keeps_the_events(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(NOW), **{"events.queue-limit": 3}) as client:
        assert (await send(client, [record(1), record(2), record(3)])).status == 202
        answered = await send(client, [record(4), record(5)])
        assert (answered.status, answered.problem["code"]) == (429, "events.queue-full")
        assert int(answered.headers["retry-after"]) > 0
        assert (await client.get("/v1/events/order-4")).status == 404
    async with open_service(tmp_path, ManualClock(NOW, seed=8)) as client:
        place = client.app.workspace.store.place
        lock = sqlite3.connect(place)
        tables = [row[0] for row in lock.execute("select name from sqlite_master where type = 'table'")]
        table = next(name for name in tables if name in ("events", "outbox"))
        lock.execute(f"create trigger no_room before insert on {table} begin select raise(fail, 'no room'); end")
        answered = await send(client, record(9))
        assert answered.status == 429  # Brevo throws away what was answered with 5xx
        assert answered.problem["code"].startswith("store.")
        lock.execute("drop trigger no_room")
        lock.close()
        assert (await send(client, record(9))).status == 202


async def test_a_missing_key_is_the_services_fault_not_the_senders(tmp_path: Path) -> None:
    async with open_service(tmp_path, ManualClock(NOW), sandbox=False) as client:
        answered = await send(client, record(1))
        assert (answered.status, answered.problem["code"]) == (429, "settings.missing")
        assert answered.headers["retry-after"]


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line) | st.just(b'{"a": 1}'), max_size=8))
def test_lines_are_read_one_by_one_whatever_the_others_are(lines: list[bytes]) -> None:
    found = _read_lines(b"\n".join(lines))
    kept = [line for line in lines if line.strip()]
    assert len(found) == len(kept)
    for line, value in zip(kept, found, strict=True):
        if line == b'{"a": 1}':
            assert value == {"a": 1}
