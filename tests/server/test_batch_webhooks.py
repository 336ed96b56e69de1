"""Batches over HTTP: the webhook that tells of an end, and plans that compare the ways to buy."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

from service import Client, open_service

from penstock.base.clock import ManualClock
from penstock.runtime.ask import Ask
from penstock.runtime.batches import list_batches
from penstock.vendor.openai_webhooks import sign
from shop import Shop, feedback

SECRET = "whsec_" + base64.b64encode(b"a secret of this very endpoint").decode()


def write_shop(folder: Path) -> None:
    step = {"summarize": {"text": "${{ record.text }}", "limit": 20}, "as": "short"}
    sink = {"files": {"match": "${{ record.id }}", "path": "out.csv", "columns": {"short": "${{ short.text }}"}}}
    Shop(folder, [feedback(number) for number in range(4)], steps=[step], summarize=None, sink=sink, model="gpt-6-luna")


async def deliver(client: Client, vendor_id: str) -> int:
    at = int(client.app.workspace.clock.now())
    event = {"object": "event", "id": "evt_1", "type": "batch.completed", "data": {"id": vendor_id}}
    body = json.dumps(event).encode()
    headers = {"webhook_id": "wh_1", "webhook_timestamp": str(at), "webhook_signature": sign("wh_1", at, body, SECRET)}
    return (await client.post("/webhooks/openai", body, content_type="application/json", **headers)).status


async def test_a_signed_webhook_makes_its_batch_due_whoever_follows_it(tmp_path: Path) -> None:
    clock = ManualClock()
    body = {"model": "gpt-6-luna", "input": "Say something.", "max_output_tokens": 40}
    ask = Ask("respond", 1, "/responses", "gpt-6-luna", body, 4, 40, 20)

    async def work() -> None:
        async with open_service(tmp_path, clock, **{"openai.webhook-secret": SECRET}) as client:
            workspace, stop = client.app.workspace, asyncio.Event()
            await workspace.batches.put([ask], run="run_1", flow="f")
            leave = {"switch_at": float("inf"), "stop": stop, "tell": lambda _: stop.set()}
            await workspace.batches.work_off("run_1", "f", **leave)  # submitted, then nobody is there
            (row,) = await list_batches(workspace.store)
            assert (row.state, row.due_at > 0) == ("open", True)
            assert await deliver(client, row.vendor_id) == 204
            while (await list_batches(workspace.store))[0].due_at:
                await clock.sleep(1)

    await clock.run(work(), settle_rounds=100)


async def test_a_plan_over_http_compares_the_ways(tmp_path: Path) -> None:
    write_shop(tmp_path)
    clock = ManualClock()

    async def work() -> None:
        async with open_service(tmp_path, clock) as client:
            made = (await client.post("/v1/flows/plan", {"flow": "flow.yaml", "by": "24h"})).json()
            assert [(way["way"], way["is_chosen"]) for way in made["ways"]] == [
                ("now", False),
                ("batch", True),
                ("flex", False),
            ]
            refused = await client.post("/v1/flows/plan", {"flow": "flow.yaml", "by": "soon"})
            assert (refused.status, refused.problem["code"]) == (422, "run.bad-deadline")

    await clock.run(work(), settle_rounds=100)
