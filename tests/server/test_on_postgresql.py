"""The whole service on PostgreSQL: two of it share tokens, repeated writes, events and figures."""

from __future__ import annotations

from pathlib import Path
from time import time

from service import Client, open_service
from test_events import record

from postgres import new_database
from shop import Shop


async def test_two_services_on_one_database_share_everything(tmp_path: Path) -> None:
    url = new_database()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        open_service(tmp_path / "one", database_url=url) as one,
        open_service(tmp_path / "two", database_url=url) as two,
    ):
        one.token = two.token  # the token of the first was replaced by the second's
        await use_both(one, two)


async def use_both(one: Client, two: Client) -> None:
    body = {"input": {"text": "Lovely, thank you!"}}
    first = await one.post("/v1/operations/analyze-sentiment", body, idempotency_key="k")
    again = await two.post("/v1/operations/analyze-sentiment", body, idempotency_key="k")
    assert first.status == 200, first.body
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    for client in (one, two):
        figures = (await client.get("/metrics")).body.decode()
        assert 'penstock_calls_total{model="gpt-6-luna",operation="analyze-sentiment",state="done"} 1.0' in figures
        assert (await client.get("/readyz")).status == 200
    sent = [(await client.post("/v1/events?mapping=flat", record(1, timestamp=time()))).json() for client in (one, two)]
    assert [answered["events"][0]["state"] for answered in sent] == ["waiting", "duplicate"]
    found = (await two.get("/v1/events/order-1")).json()["events"]
    states = [event["row"]["state"] for event in found]
    assert states.count("duplicate") == 1
    assert set(states) - {"duplicate"} in ({"waiting"}, {"delivered"})  # by now it may have been sent


async def test_a_run_that_one_service_started_is_followed_in_another(tmp_path: Path) -> None:
    url = new_database()
    Shop(tmp_path)
    async with (
        open_service(tmp_path, database_url=url) as one,
        open_service(tmp_path, database_url=url) as two,
    ):
        one.token = two.token
        started = await two.post("/v1/flows/run", {"flow": "flow.yaml", "apply_schema": True})
        run = started.json()["run"]
        events = [event async for event in two.events(f"/v1/runs/{run}/events")]
        assert events[-1]["data"]["state"] == "done"
        two_again = (await two.get(f"/v1/runs/{run}")).json()
        async for event in Client(one.app, two.token).events(f"/v1/runs/{run}/events"):
            assert (event["event"], event["data"]["counts"]) == ("end", two_again["counts"])
