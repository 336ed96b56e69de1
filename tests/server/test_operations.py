"""Operations over HTTP: the same as through every other door."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema_rs
import pytest
from service import Client, open_service

from penstock.operations.catalogue import all_operations


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_service(tmp_path) as client:
        yield client


async def test_an_operation_answers_with_its_result(client: Client) -> None:
    answered = await client.post("/v1/operations/analyze-sentiment", {"input": {"text": "Lovely, thank you!"}})
    assert answered.status == 200, answered.body
    result = answered.json()
    assert result["output"]["label"] == "positive"
    assert result["calls"] == 1
    assert result["cost_dollars"] > 0
    again = (await client.post("/v1/operations/analyze-sentiment", {"input": {"text": "Lovely, thank you!"}})).json()
    assert (again["output"], again["cached"], again["calls"]) == (result["output"], True, 0)


async def test_http_and_python_give_the_same_result(client: Client) -> None:
    values = {"text": "The zip broke on the first day."}
    over_http = (await client.post("/v1/operations/analyze-sentiment", {"input": values})).json()
    in_python = await client.app.workspace.operations.call("analyze-sentiment", values)
    assert over_http["output"] == in_python.output


async def test_every_operation_is_listed_and_declared(client: Client) -> None:
    listed = (await client.get("/v1/operations")).json()["operations"]
    assert [one["name"] for one in listed] == [entry.name for entry in all_operations()]
    for one in listed:
        declared = (await client.get(f"/v1/operations/{one['name']}")).json()
        operation = next(entry for entry in all_operations() if entry.name == one["name"]).load()
        assert declared["input"] == operation.input_schema()
        jsonschema_rs.meta.validate(declared["output"])


async def test_a_preview_sends_nothing(client: Client) -> None:
    made = (await client.post("/v1/operations/respond/preview", {"input": {"text": "Hello"}})).json()
    assert made["path"] == "/responses"
    assert made["most_dollars"] > 0
    assert sum(client.app.workspace.vendors.world.billed_calls.values()) == 0


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"input": {"texd": "x"}}, 422, "operation.bad-input", "text"),
        ({"input": {}}, 422, "operation.bad-input", "text"),
        ({"input": {"text": 7}}, 422, "operation.bad-input", "text"),
        ({"input": []}, 422, "request.invalid", "object"),
        ({"input": {"text": "x"}, "modle": "gpt"}, 422, "call.options", "modle"),
        ({"input": {"text": "x"}, "budget": "much"}, 422, "call.options", "budget"),
        ({"input": {"text": "x"}, "budget": -1}, 422, "call.budget", "dollars"),
        (b"{", 400, "request.not-json", "JSON"),
        (b'{"input": "\xff"}', 400, "request.not-json", "JSON"),
        (b'{"input":' + b"[" * 100_000, 400, "request.not-json", "JSON"),
        (b"[]", 422, "request.invalid", "object"),
        (b"null", 422, "request.invalid", "object"),
        (b"", 400, "request.not-json", "JSON"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_place_of_the_fault(
    client: Client, body: object, status: int, code: str, says: str
) -> None:
    answered = await client.post("/v1/operations/analyze-sentiment", body, content_type="application/json")
    assert (answered.status, answered.problem["code"]) == (status, code), answered.body
    assert says in answered.problem["detail"] + answered.problem["hint"]


async def test_an_unknown_operation_names_the_nearest_one(client: Client) -> None:
    answered = await client.post("/v1/operations/analyse-sentiment", {"input": {}})
    assert (answered.status, answered.problem["code"]) == (404, "operation.unknown")
    assert "analyze-sentiment" in answered.problem["hint"]


async def test_a_budget_that_is_too_small_stops_the_call_before_it_is_sent(client: Client) -> None:
    body = {"input": {"text": "Hello"}, "budget": 0.0000001}
    answered = await client.post("/v1/operations/respond", body)
    assert (answered.status, answered.problem["code"]) == (409, "budget.reached")
    assert sum(client.app.workspace.vendors.world.billed_calls.values()) == 0


async def test_another_media_type_is_refused(client: Client) -> None:
    answered = await client.post("/v1/operations/respond", b"<x/>", content_type="application/xml")
    assert (answered.status, answered.problem["code"]) == (415, "request.media-type")


def form(*parts: tuple[str, str, str, bytes]) -> tuple[bytes, str]:
    lines = []
    for name, filename, kind, content in parts:
        named = f'; filename="{filename}"' if filename else ""
        head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{named}\r\nContent-Type: {kind}\r\n\r\n'
        lines.append(head.encode() + content + b"\r\n")
    return b"".join(lines) + b"--edge--\r\n", "multipart/form-data; boundary=edge"


async def test_a_file_of_a_form_becomes_the_input_of_its_name(client: Client) -> None:
    request = json.dumps({"input": {"instructions": "Repeat."}}).encode()
    body, kind = form(("request", "", "application/json", request), ("text", "a.txt", "text/plain", b"Hello \xff"))
    answered = await client.post("/v1/operations/respond/preview", body, content_type=kind)
    assert answered.status == 200, answered.body
    url = "data:text/plain;base64," + base64.b64encode(b"Hello \xff").decode()
    assert url in json.dumps(answered.json()["body"])


@pytest.mark.parametrize("body", [b"", b"--edge", b"--other\r\n\r\n", b"\x00" * 100])
async def test_a_broken_form_is_refused(client: Client, body: bytes) -> None:
    answered = await client.post("/v1/operations/respond", body, content_type="multipart/form-data; boundary=edge")
    assert 400 <= answered.status < 500, answered.body
    assert answered.problem["code"]


async def test_a_form_with_too_many_files_is_refused(client: Client) -> None:
    body, kind = form(*[("text", "a.txt", "text/plain", b"x")] * 33)
    answered = await client.post("/v1/operations/respond", body, content_type=kind)
    assert (answered.status, answered.problem["code"]) == (422, "request.form")
