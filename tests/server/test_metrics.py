"""The figures for Prometheus: true to the ledger, counted once, without personal data; and the health addresses."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from service import Client, open_service

from penstock.base.clock import ManualClock

TEXT = "Lovely jacket, thank you! jane.doe@example.com +49 170 1234567"


async def read(client: Client) -> dict[tuple[str, ...], float]:
    answered = await client.get("/metrics")
    assert answered.status == 200
    assert answered.headers["content-type"].startswith("text/plain")
    text = answered.body.decode()
    assert "jane" not in text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_calls_and_cost_are_those_of_the_ledger_however_often_they_are_read(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work() -> None:
        async with open_service(tmp_path, clock) as client:
            for number in range(5):
                await client.post("/v1/operations/analyze-sentiment", {"input": {"text": f"{number}. {TEXT}"}})
                clock.advance(50)
                await read(client)
            figures = await read(client)
            clock.advance(500)
            assert await read(client) | figures == await read(client) | figures
            calls = figures["penstock_calls_total", "gpt-6-luna", "analyze-sentiment", "done"]
            rows = await client.app.workspace.ledger.costs()
            assert calls == sum(row.count for row in rows) == 5
            cost = sum(row.cost for row in rows) / 1e12
            assert abs(figures["penstock_cost_dollars_total", "gpt-6-luna", "analyze-sentiment"] - cost) < 1e-9
            tokens = sum(row.input for row in rows)
            assert figures["penstock_tokens_total", "input", "gpt-6-luna", "analyze-sentiment"] == tokens
            again = await read(client)
            for name, value in figures.items():
                if name[0] in ("penstock_calls_total", "penstock_cost_dollars_total", "penstock_tokens_total"):
                    assert abs(again[name] - value) < 1e-9

    await clock.run(work())


async def test_requests_are_counted_by_route_never_by_address(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        await client.get("/v1/runs/jane.doe@example.com")
        await client.get("/jane.doe@example.com")
        await client.send("BREW", "/healthz")
        figures = await read(client)
        assert figures["penstock_request_seconds_count", "GET", "/v1/runs/{id}", "404"] == 1
        assert figures["penstock_request_seconds_count", "GET", "none", "404"] == 1
        assert figures["penstock_request_seconds_count", "other", "/healthz", "405"] == 1
        assert figures["penstock_problems_total", "run.unknown"] == 1


async def test_queues_are_shown_by_state(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        await client.app.inbox.put("openai", "wh_1", "batch.completed", b"{}")
        figures = await read(client)
        states = [key[1] for key in figures if key[0] == "penstock_inbox_messages" and key[2] == "batch.completed"]
        assert len(states) == 1  # waiting, or handled by now
        assert figures["penstock_inbox_messages", states[0], "batch.completed"] == 1


async def test_a_store_that_cannot_be_written_is_not_ready_but_alive(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_service(tmp_path, clock) as client:
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        place = client.app.workspace.store.place
        with sqlite3.connect(place) as other:
            other.execute("create trigger no_room before update on sessions begin select raise(fail, 'no room'); end")
        other.close()
        assert (await client.get("/readyz")).status == 200  # looked at most once a second
        clock.advance(2)
        answered = await client.get("/readyz")
        assert (answered.status, answered.headers["retry-after"]) == (503, "5")
        assert answered.json()["status"].startswith("store.")
        assert (await client.get("/healthz")).status == 200
        with sqlite3.connect(place) as other:
            other.execute("drop trigger no_room")
        other.close()
