"""Operations as server-sent events: pieces as they come, then the result, or the problem."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from service import JSON, Client, open_service

from penstock.sandbox.world import Fault

TEXT = {"input": {"text": "Write one line about rain."}}
ACCEPT = {**JSON, "accept": "text/event-stream"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_service(tmp_path) as client:
        yield client


async def follow(client: Client, name: str, body: Any, **headers: str) -> AsyncIterator[tuple[str, Any]]:
    rest = b""
    sent = {**ACCEPT, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async for message in client.stream("POST", f"/v1/operations/{name}", json.dumps(body).encode(), sent):
        if "status" in message:
            fields = dict(message["headers"])
            assert (message["status"], fields[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
            assert fields[b"x-accel-buffering"] == b"no"
        rest += message.get("body", b"")
        while b"\n\n" in rest:
            text, _, rest = rest.partition(b"\n\n")
            event = dict(line.split(": ", 1) for line in text.decode().splitlines() if not line.startswith(":"))
            if event:
                yield event["event"], json.loads(event["data"])


async def gather(client: Client, name: str, body: Any, **headers: str) -> list[tuple[str, Any]]:
    return [event async for event in follow(client, name, body, **headers)]


def plan(client: Client, kind: Any, **rest: Any) -> None:
    world = client.app.workspace.vendors.world
    assert world is not None
    world.faults.append(Fault("openai", "responses", kind, times=1, **rest))


@pytest.mark.parametrize("name", ["respond", "chat"])
async def test_pieces_come_before_the_result_which_is_the_one_of_a_plain_call(client: Client, name: str) -> None:
    *pieces, (last, result) = await gather(client, name, TEXT)
    assert last == "result"
    assert {kind for kind, _ in pieces} == {"piece"}
    assert len(pieces) > 5
    assert "".join(piece["text"] for _, piece in pieces) == result["output"]["text"]
    plain = (await client.post(f"/v1/operations/{name}", TEXT)).json()
    assert (plain["output"], plain["cached"], result["calls"]) == (result["output"], True, 1)


async def test_each_piece_is_a_message_of_its_own(client: Client) -> None:
    body = json.dumps(TEXT).encode()
    sent = [
        part["body"] async for part in client.stream("POST", "/v1/operations/respond", body, ACCEPT) if "body" in part
    ]
    assert max(part.count(b"event: ") for part in sent) == 1


async def test_an_operation_without_pieces_gives_its_result_as_an_event(client: Client) -> None:
    ((kind, result),) = await gather(client, "analyze-sentiment", {"input": {"text": "Lovely, thank you!"}})
    assert (kind, result["output"]["label"]) == ("result", "positive")


async def test_what_goes_wrong_before_the_first_piece_has_its_own_status(client: Client) -> None:
    assert (await client.post("/v1/operations/respond", {"input": {}}, accept="text/event-stream")).status == 422
    plan(client, "status", status=429, code="insufficient_quota")
    answered = await client.post("/v1/operations/respond", TEXT, accept="text/event-stream")
    assert answered.problem["code"].startswith("openai.")


async def test_what_goes_wrong_later_is_the_last_event(client: Client) -> None:
    plan(client, "cut")
    *pieces, (last, problem) = await gather(client, "respond", TEXT)
    assert pieces
    assert (last, problem["code"], problem["status"]) == ("problem", "openai.broken-stream", 503)


async def test_an_unusable_answer_is_a_problem_after_its_pieces(client: Client) -> None:
    *pieces, (last, problem) = await gather(client, "respond", {"input": {**TEXT["input"], "max_tokens": 16}})
    assert pieces
    assert (last, problem["code"]) == ("problem", "output.truncated")


async def test_a_reader_who_hangs_up_leaves_true_books(client: Client) -> None:
    plan(client, "hang", seconds=600.0)
    messages = client.stream("POST", "/v1/operations/respond", json.dumps(TEXT).encode(), ACCEPT)
    async with aclosing(messages):  # type: ignore[type-var]
        while b"event: piece" not in (await anext(messages)).get("body", b""):
            pass
    ledger = client.app.workspace.ledger
    while (await ledger.costs())[0].state == "sent":  # noqa: ASYNC110 - nobody waits for one who hung up
        await asyncio.sleep(0)
    (row,) = await ledger.costs()
    assert (row.state, row.cost) == ("unknown", 0)
    assert row.held > 0


async def test_a_stream_that_is_paid_for_is_not_cut_off_when_the_service_stops(client: Client) -> None:
    events = follow(client, "respond", TEXT)
    await anext(events)
    client.app.drain()
    assert [kind async for kind, _ in events][-1] == "result"


async def test_an_idempotency_key_does_not_hinder_a_stream(client: Client) -> None:
    for _ in range(2):
        assert (await gather(client, "respond", TEXT, idempotency_key="once"))[-1][0] == "result"


async def test_the_document_names_the_events(client: Client) -> None:
    document = (await client.get("/openapi.json")).json()
    answers = document["paths"]["/v1/operations/respond"]["post"]["responses"]["200"]["content"]
    assert set(answers) == {"application/json", "text/event-stream"}
