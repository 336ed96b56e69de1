"""Flows and runs over HTTP: planned, started, followed, resumed, stopped, retried; no file outside the workspace."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from service import Answered, Client, open_service

from penstock.server.desk import EVENTS_KEPT, Feed
from shop import Shop, feedback


def make_shop(folder: Path, records: int = 6, **flow: Any) -> Shop:
    return Shop(folder, [feedback(number) for number in range(records)], **flow)


async def start(client: Client, **body: Any) -> str:
    answered = await client.post("/v1/flows/run", {"flow": "flow.yaml", "apply_schema": True, **body})
    assert answered.status == 202, answered.body
    return str(answered.json()["run"])


async def follow(client: Client, run: str, last: str = "") -> list[dict[str, Any]]:
    return [event async for event in client.events(f"/v1/runs/{run}/events", last)]


async def test_a_flow_is_planned_run_and_followed_to_its_end(tmp_path: Path) -> None:
    make_shop(tmp_path)
    async with open_service(tmp_path) as client:
        plan = (await client.post("/v1/flows/plan", {"flow": "flow.yaml"})).json()
        assert (plan["records"], plan["calls"]) == (6, 6)
        answered = await client.post("/v1/flows/run", {"flow": "flow.yaml", "apply_schema": True})
        assert answered.status == 202
        run = answered.json()["run"]
        assert answered.headers["location"] == f"/v1/runs/{run}"
        events = await follow(client, run)
        assert events[-1]["event"] == "end"
        assert events[-1]["data"]["state"] == "done"
        assert events[-1]["data"]["counts"]["written"] == 6
        assert events[-1]["data"]["file"] == "flow.yaml"
        assert {event["event"] for event in events[:-1]} == {"progress"}
        shown = (await client.get(f"/v1/runs/{run}")).json()
        assert (shown["state"], shown["dead_letters"]) == ("done", [])
        listed = (await client.get("/v1/runs")).json()
        assert [one["run"] for one in listed["runs"]] == [run]


async def test_a_reader_that_comes_back_goes_on_after_its_last_event(tmp_path: Path) -> None:
    make_shop(tmp_path)
    async with open_service(tmp_path) as client:
        run = await start(client)
        whole = await follow(client, run)
        progress = [event["id"] for event in whole if event["event"] == "progress"]
        assert len(set(progress)) == len(progress) >= 1
        for place, last in enumerate(progress):
            again = await follow(client, run, last)
            assert [event["id"] for event in again] == [*progress[place + 1 :], "end"]
        assert await follow(client, run, "of-another-process-7") == whole
        ended = await client.get(f"/v1/runs/{run}/events", last_event_id="end")
        assert (ended.status, ended.body) == (204, b"")


async def test_each_event_of_a_feed_reaches_every_reader_once_and_in_order() -> None:
    feed = Feed("run")
    feed.put(0)

    async def read(last: str) -> list[int]:
        return [event.data async for event in feed.follow(last)]

    readers = [asyncio.create_task(read(last)) for last in ("", "run-1", "other-9")]
    for number in range(1, 60):
        feed.put(number)
        if number % 7 == 0:
            await asyncio.sleep(0)
    feed.end()
    whole, rest, other = await asyncio.gather(*readers)
    assert whole == other == list(range(60))
    assert rest == list(range(1, 60))
    for number in range(EVENTS_KEPT):
        feed.put(number)
    assert len(await read("run-1")) == EVENTS_KEPT  # the oldest are forgotten


async def test_a_run_that_is_watched_from_elsewhere_is_read_from_the_store(tmp_path: Path) -> None:
    make_shop(tmp_path)
    async with open_service(tmp_path) as client:
        run = await start(client)
        await follow(client, run)
    async with open_service(tmp_path) as client:
        events = await follow(client, run)
        assert [event["event"] for event in events] == ["end"]
        assert events[0]["data"]["counts"]["judged"] == 6


async def test_a_run_is_stopped_softly_and_goes_on_with_the_next_request(tmp_path: Path) -> None:
    make_shop(tmp_path, 300)
    async with open_service(tmp_path) as client:
        run = await start(client)
        stopped = await client.post(f"/v1/runs/{run}/stop")
        assert stopped.status == 202
        end = (await follow(client, run))[-1]
        assert end["data"]["state"] == "stopped"
        again = await client.post(f"/v1/runs/{run}/stop")
        assert (again.status, again.problem["code"]) == (422, "run.not-here")
        assert await start(client) == run
        end = (await follow(client, run))[-1]
        assert (end["data"]["state"], end["data"]["counts"]["judged"]) == ("done", 300)


async def test_a_second_run_of_a_flow_under_way_is_refused(tmp_path: Path) -> None:
    make_shop(tmp_path, 2000)
    async with open_service(tmp_path) as client:
        run = await start(client)
        answered = await client.post("/v1/flows/run", {"flow": "flow.yaml"})
        assert (answered.status, answered.problem["code"]) == (409, "run.already-running")
        await client.post(f"/v1/runs/{run}/stop")
        await follow(client, run)


async def test_failed_records_are_shown_and_tried_again(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, 3)
    shop.rows[1]["email"] = ""
    shop.write()
    async with open_service(tmp_path) as client:
        run = await start(client)
        await follow(client, run)
        shown = (await client.get(f"/v1/runs/{run}?limit=1")).json()
        assert len(shown["dead_letters"]) == 1
        assert shown["dead_letters"][0]["problem"]["code"]
        retried = await client.post(f"/v1/runs/{run}/retry", {})
        assert retried.status == 202, retried.body
        assert retried.json()["run"] != run
        await follow(client, retried.json()["run"])


@pytest.mark.parametrize(
    "name",
    ["../flow.yaml", "/etc/passwd", "flow.txt", "missing.yaml", "", ".", "a\0.yaml", "x" * 5000 + ".yaml", "link.yaml",
     "folder/../../outside.yaml", ".penstock/flow.yaml", "folder.yaml", "//etc/hosts.yaml", "~/flow.yaml"],
)  # fmt: skip
async def test_a_flow_file_outside_of_the_workspace_cannot_be_reached(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    make_shop(folder)
    prepare_escapes(tmp_path, folder)
    async with open_service(folder) as client:
        for path in ("/v1/flows/plan", "/v1/flows/run"):
            answered = await client.post(path, {"flow": name})
            assert (answered.status, answered.problem["code"]) == (404, "flow.unknown")
            assert str(tmp_path) not in answered.body.decode()


def prepare_escapes(outside: Path, folder: Path) -> None:
    text = (folder / "flow.yaml").read_text()
    for place in (outside / "outside.yaml", outside / "flow.yaml", folder / "flow.txt"):
        place.write_text(text)
    (folder / ".penstock").mkdir()
    (folder / ".penstock" / "flow.yaml").write_text(text)
    (folder / "folder.yaml").mkdir()
    (folder / "link.yaml").symlink_to(outside / "outside.yaml")


async def test_runs_are_listed_in_pages(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, 2)
    async with open_service(tmp_path) as client:
        runs = []
        for number in range(5):
            shop.rows.append(feedback(100 + number))
            shop.write()
            run = await start(client)
            await follow(client, run)
            runs.append(run)
        seen: list[str] = []
        before = ""
        while True:
            page = (await client.get(f"/v1/runs?limit=2&before={before}")).json()
            seen += [one["run"] for one in page["runs"]]
            if page["next"] is None:
                break
            before = page["next"]
        assert seen == runs[::-1]
        assert (await client.get("/v1/runs?flow=other")).json() == {"runs": [], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=%D9%A3", "limit="])
async def test_a_wrong_limit_is_named(tmp_path: Path, query: str) -> None:
    async with open_service(tmp_path) as client:
        answered = await client.get(f"/v1/runs?{query}")
        assert (answered.status, answered.problem["code"]) == (422, "request.limit")


async def test_an_unknown_run_is_not_found_anywhere(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        sent: list[Answered] = [
            await client.get("/v1/runs/run_x"),
            await client.get("/v1/runs/run_x/events"),
            await client.post("/v1/runs/run_x/stop"),
            await client.post("/v1/runs/run_x/retry", {}),
        ]
        assert [(one.status, one.problem["code"]) for one in sent] == [(404, "run.unknown")] * 4


async def test_a_dear_run_needs_a_budget_or_a_yes(tmp_path: Path) -> None:
    columns = {"id": "${{ record.id }}", "label": "${{ sentiment.label }}"}
    sink = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": columns}}
    make_shop(tmp_path, sink=sink, summarize=None)
    settings = {"sandbox": False, "openai.api-key": "sk-none", "openai.base-url": "http://127.0.0.1:9/v1"}
    async with open_service(tmp_path, **settings, ask_above=0.000001) as client:
        answered = await client.post("/v1/flows/run", {"flow": "flow.yaml"})
        assert (answered.status, answered.problem["code"]) == (422, "budget.not-confirmed")
        for budget in (0, -1, 1e300):
            refused = await client.post("/v1/flows/run", {"flow": "flow.yaml", "budget": budget})
            assert refused.problem["code"] == "request.budget"
        assert (await client.get("/v1/runs")).json()["runs"] == []
    async with open_service(tmp_path, **settings, model="a-model-without-a-price") as client:
        answered = await client.post("/v1/flows/run", {"flow": "flow.yaml"})
        assert "unknown cost" in answered.problem["detail"]


async def test_streams_end_and_runs_stop_softly_when_the_service_drains(tmp_path: Path) -> None:
    make_shop(tmp_path, 300)
    async with open_service(tmp_path) as client:
        run = await start(client)
        began = asyncio.Event()

        async def read() -> None:
            async for _ in client.events(f"/v1/runs/{run}/events"):
                began.set()

        reader = asyncio.create_task(read())
        await began.wait()
        client.app.drain()
        await reader
        assert (await client.get("/readyz")).json() == {"status": "draining"}
        assert (await client.get("/healthz")).status == 200
        refused = await client.get("/v1/runs")
        assert (refused.status, refused.problem["code"]) == (503, "service.draining")
        assert refused.headers["retry-after"]
        await client.app.desk.wait()
    async with open_service(tmp_path) as client:
        assert json.loads((await client.get(f"/v1/runs/{run}")).body)["state"] == "stopped"
