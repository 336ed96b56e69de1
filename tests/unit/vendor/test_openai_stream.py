"""Streams as OpenAI and servers that copy it send them, and what the errors inside them mean."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.base.errors import (
    PenstockError,
    QuotaError,
    RejectedError,
    ThrottledError,
    UnavailableError,
)
from penstock.base.types import Usage
from penstock.vendor.http import Incoming
from penstock.vendor.openai import Exchange
from penstock.vendor.openai_stream import hear

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


class Cut:
    """Where the connection breaks."""


async def listen(
    *events: Any, is_chat: bool = True, status: int = 200, kind: str = "text/event-stream"
) -> tuple[list[str], Exchange]:
    parts = list(events)

    async def read() -> bytes | None:
        part = parts.pop(0) if parts else None
        if isinstance(part, Cut):
            raise ConnectionResetError("cut")
        return part if part is None or isinstance(part, bytes) else b"data: " + msgspec.json.encode(part) + b"\n\n"

    said: list[str] = []
    incoming = Incoming(status, {"content-type": kind, "x-request-id": "r"}, "gateway.example", read, 5.0)
    return said, await hear(incoming, said.append, is_chat=is_chat)


def chunk(text: str | None = None, reason: str | None = None, **rest: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **rest}


async def test_noise_that_hides_lengths_is_no_part_of_the_answer() -> None:
    _, exchange = await listen(chunk("a", obfuscation="xyz"), chunk(None, "stop"), b"data: [DONE]\n\n")
    assert "obfuscation" not in exchange.content


async def test_usage_comes_in_a_last_chunk_without_choices() -> None:
    said, exchange = await listen(
        chunk("a", usage=None), chunk("b"), chunk(None, "stop"), {"choices": [], "usage": USAGE}, b"data: [DONE]\n\n"
    )
    assert (said, exchange.usage) == (["a", "b"], Usage(input=3, output=2))


@pytest.mark.parametrize(
    "end",
    [
        pytest.param([chunk(None, "stop"), b"data: [DONE]\n\n"], id="both"),
        pytest.param([chunk(None, "stop")], id="without a last mark"),
        pytest.param([b"data: [DONE]\n\n"], id="without a reason"),
        pytest.param([b"data: [DONE]"], id="without an empty line"),
        pytest.param([chunk(None, "stop"), Cut()], id="cut after the reason"),
    ],
)
async def test_gateways_end_a_stream_in_several_ways(end: list[Any]) -> None:
    said, exchange = await listen(chunk("all"), *end)
    assert said == ["all"]
    assert exchange.error is None
    assert exchange.content["choices"][0]["message"]["content"] == "all"
    assert exchange.usage == Usage()


@pytest.mark.parametrize("is_chat", [True, False])
@pytest.mark.parametrize(
    "events",
    [
        pytest.param([], id="nothing"),
        pytest.param([chunk("half")], id="half an answer"),
        pytest.param([chunk("half"), Cut()], id="cut"),
        pytest.param([b"data: [DONE]\n\n"], id="an end without an answer"),
        pytest.param([chunk("half"), b'data: {"id": \n\n', b"data: {}\n\n"], id="not JSON"),
        pytest.param([chunk("half"), b"data: 7\n\n"], id="no object"),
        pytest.param([{"type": "response.output_text.delta", "delta": "half"}], id="half a response"),
        pytest.param([{"type": "response.completed"}], id="an end without its response"),
    ],
)
async def test_an_answer_without_its_end_is_a_broken_one(events: list[Any], is_chat: bool) -> None:
    with pytest.raises(UnavailableError) as caught:
        await listen(*events, is_chat=is_chat)
    assert caught.value.sent


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("server_error", None, UnavailableError),
        (None, None, UnavailableError),
        (500, None, UnavailableError),
        ("something_new", "server_error", UnavailableError),
        ("rate_limit_exceeded", "tokens", ThrottledError),
        ("slow_down", None, ThrottledError),
        ("insufficient_quota", "insufficient_quota", QuotaError),
        ("credit_balance_exhausted", "insufficient_quota", QuotaError),
        ("invalid_prompt", "invalid_request_error", RejectedError),
        ("context_length_exceeded", None, RejectedError),
    ],
)
async def test_an_error_event_means_what_the_same_error_means_elsewhere(
    code: Any, kind: str | None, expected: type[PenstockError]
) -> None:
    error = {"code": code, "type": kind, "message": "Slow down." if code == "slow_down" else "It broke.", "param": None}
    flat = {**error, "type": "error", "sequence_number": 3}
    nested = {"type": "error", "error": error}
    for events, is_chat in (([{"error": error}], True), ([flat], False), ([nested], False)):
        if flat in events and kind:
            continue  # the flat form has no room for the kind
        _, exchange = await listen(*events, is_chat=is_chat)
        assert type(exchange.error) is expected, exchange.error
        assert exchange.request_id == "r"
        assert exchange.content is None


async def test_an_error_that_is_only_a_text_is_told() -> None:
    _, exchange = await listen({"error": "overloaded"})
    assert isinstance(exchange.error, UnavailableError)
    assert "overloaded" in exchange.error.message


async def test_a_server_that_does_not_stream_is_read_whole() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "all"}, "finish_reason": "stop"}], "usage": USAGE}
    said, exchange = await listen(msgspec.json.encode(whole), kind="application/json; charset=utf-8")
    assert (said, exchange.content, exchange.usage) == ([], whole, Usage(input=3, output=2))


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (401, "application/json", b'{"error": {"code": "invalid_api_key", "message": "no"}}'),
        (502, "text/html", b"<html>"),
        (200, "text/html", b"<html>"),
        (429, "text/event-stream", b'{"error": {"code": "rate_limit_exceeded", "message": "too fast"}}'),
    ],
)
async def test_an_error_or_a_page_is_no_stream(status: int, kind: str, body: bytes) -> None:
    said, exchange = await listen(body, status=status, kind=kind)
    assert said == []
    assert exchange.error is not None


async def test_a_response_that_failed_has_its_error_and_its_usage() -> None:
    failed = {"status": "failed", "error": {"code": "server_error", "message": "no"}, "usage": {"input_tokens": 7}}
    _, exchange = await listen({"type": "response.failed", "response": failed}, is_chat=False)
    assert isinstance(exchange.error, UnavailableError)
    assert exchange.usage.input == 7


async def test_a_last_event_without_its_items_gets_those_that_came() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "all"}]}
    _, exchange = await listen(
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
        is_chat=False,
    )
    assert exchange.content == {"status": "completed", "output": [item]}


async def test_what_follows_the_last_event_is_not_waited_for_and_not_read() -> None:
    said, exchange = await listen(
        {"type": "response.completed", "response": {"status": "completed"}},
        {"type": "response.output_text.delta", "delta": "beyond"},
        is_chat=False,
    )
    assert said == []
    assert exchange.error is None


async def test_the_parts_of_two_calls_are_kept_apart() -> None:
    def call(at: int, **function: str) -> dict[str, Any]:
        part = {"index": at, "id": f"call_{at}", "type": "function", "function": function}
        return {"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]}

    _, exchange = await listen(
        call(0, name="a", arguments=""), call(0, arguments='{"x"'), call(1, name="b", arguments="{}"),
        call(0, arguments=":1}"), chunk(None, "tool_calls"), b"data: [DONE]\n\n",
    )  # fmt: skip
    calls = exchange.content["choices"][0]["message"]["tool_calls"]
    assert [(one["id"], one["function"]) for one in calls] == [
        ("call_0", {"name": "a", "arguments": '{"x":1}'}),
        ("call_1", {"name": "b", "arguments": "{}"}),
    ]
