"""The official OpenAI SDK, with strict response validation, reads the sandbox's streams over a real socket.

Every request, answer and event is also held against OpenAI's published description where that is at hand.
"""

import json

import openai
import pytest

from openai_wire import RecordedServer, read_description
from penstock.sandbox.world import Fault

ORDERS = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "urgent": {"type": "boolean"}},
    "required": ["order", "urgent"],
    "additionalProperties": False,
}
FLAT_TOOL = {"type": "function", "name": "find_order", "description": "Finds it.", "parameters": ORDERS, "strict": True}
TOOL = {"type": "function", "function": {"name": "find_order", "parameters": ORDERS, "strict": True}}
FORMAT = {"type": "json_schema", "name": "order", "strict": True, "schema": ORDERS}


@pytest.fixture(scope="module")
def server():
    with RecordedServer() as server:
        yield server


@pytest.fixture
async def client(server):
    server.world.reset()
    async with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def description():
    return read_description()


@pytest.fixture
def heard(server, description):
    server.wire.heard.clear()
    return lambda: server.wire.check(description)


async def collect(stream):
    return [event async for event in stream]


async def read(client, **request):
    return await collect(await client.responses.create(model="gpt-6-luna", stream=True, **request))


CASES = {
    "text": ({"input": "I love it", "reasoning": {"effort": "none"}}, "response.output_text", "completed"),
    "structured": ({"input": "Order 7 is late", "text": {"format": FORMAT}}, "response.output_text", "completed"),
    "refusal": ({"input": "[sandbox:refuse]"}, "response.refusal", "completed"),
    "call": ({"input": "find my order", "tools": [FLAT_TOOL]}, "response.function_call_arguments", "completed"),
    "summary": ({"input": "Hi", "reasoning": {"summary": "auto"}}, "response.reasoning_summary_text", "completed"),
    "cut": ({"input": "[sandbox:words 500]", "max_output_tokens": 300}, "response.output_text", "incomplete"),
    "filtered": ({"input": "[sandbox:words 50] [sandbox:filter]"}, "response.output_text", "incomplete"),
    "failed": ({"input": "[sandbox:fail]"}, None, "failed"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_stream_tells_a_response_in_order_and_ends_once(client, heard, case):
    request, name, end = CASES[case]
    events = await read(client, **request)
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert types[-1] == f"response.{end}"
    assert sum(one in ("response.completed", "response.incomplete", "response.failed") for one in types) == 1
    assert [event.sequence_number for event in events] == list(range(len(events)))
    final = events[-1].response
    if name:
        deltas = [event.delta for event in events if event.type == f"{name}.delta"]
        assert len(deltas) > 1
        done = next(event for event in events if event.type == f"{name}.done")
        assert "".join(deltas) in (getattr(done, key, None) for key in ("text", "refusal", "arguments"))
    assert [event.item for event in events if event.type == "response.output_item.done"] == final.output
    assert await client.responses.retrieve(final.id) == final
    assert heard() == 2


async def test_the_sdks_own_collector_rebuilds_the_response_from_the_events(client):
    async with client.responses.stream(model="gpt-6-luna", input="I love it", tools=[FLAT_TOOL]) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_response()
    kept = await client.responses.retrieve(final.id)
    assert final.output_text == kept.output_text != ""
    assert final.usage == kept.usage


async def test_a_stored_stream_is_read_again_from_any_event(client, heard):
    events = await read(client, input="I love it")
    again = await client.responses.retrieve(events[0].response.id, stream=True, starting_after=3)
    assert [event async for event in again] == events[4:]
    heard()


async def test_chat_chunks_add_up_to_the_message_and_the_last_one_holds_the_usage(client, heard):
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "I love it"}], "n": 2, "logprobs": True}
    stream = await client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    whole = await client.chat.completions.create(**request)
    for choice in whole.choices:
        parts = [part for chunk in chunks for part in chunk.choices if part.index == choice.index]
        assert "".join(part.delta.content or "" for part in parts) == choice.message.content
        assert parts[0].delta.role == "assistant"
        assert [part.finish_reason for part in parts if part.finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert heard() == 2


async def test_without_the_option_no_chunk_of_a_chat_holds_usage(client):
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "I love it"}], "stream": True}
    async for chunk in await client.chat.completions.create(**request):
        assert chunk.usage is None
        assert chunk.choices


async def test_called_functions_come_in_pieces_in_a_chat(client, heard):
    request = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "find my order"}], "tools": [TOOL]}
    async with client.chat.completions.stream(**request, reasoning_effort="none") as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls
    assert final.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments).keys() == {"order", "urgent"}
    heard()


@pytest.mark.parametrize(("text", "reason"), [("[sandbox:refuse]", "stop"), ("[sandbox:filter]", "content_filter")])
async def test_a_chat_that_is_refused_or_filtered_says_so_at_its_end(client, heard, text, reason):
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "stream": True}
    chunks = [chunk async for chunk in await client.chat.completions.create(**request)]
    assert chunks[-1].choices[0].finish_reason == reason
    refused = "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks)
    assert bool(refused) == (reason == "stop")
    heard()


async def test_a_stream_that_is_cut_ends_without_its_last_event_and_is_billed(server, client):
    server.world.faults.append(Fault(operation="responses", kind="cut"))
    events = await read(client, input="I love it")
    assert events[0].type == "response.created"
    assert "response.completed" not in [event.type for event in events]
    assert len(server.world.billed) == 1


async def test_a_stream_whose_connection_breaks_raises_in_the_middle(server, client):
    server.world.faults.append(Fault(operation="responses", kind="lost"))
    stream = await client.responses.create(model="gpt-6-luna", input="I love it", stream=True)
    assert (await anext(stream)).type == "response.created"
    with pytest.raises(openai.APIConnectionError):
        await collect(stream)


async def test_an_error_event_ends_a_stream(server, client):
    server.world.faults.append(Fault(kind="error"))
    events = await read(client, input="I love it")
    assert (events[-1].type, events[-1].code) == ("error", "server_error")
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "I love it"}], "stream": True}
    chunks = await client.chat.completions.create(**request)
    with pytest.raises(openai.APIError, match="stream broke"):
        await collect(chunks)


async def test_without_a_stream_the_same_fault_is_a_response_that_failed(server, client, heard):
    server.world.faults.append(Fault(operation="responses", kind="error"))
    response = await client.responses.create(model="gpt-6-luna", input="I love it")
    assert response.status == "failed"
    assert response.error.code == "server_error"
    assert heard() == 1


async def test_a_broken_event_is_no_json(server, client):
    server.world.faults.append(Fault(operation="responses", kind="malformed"))
    with pytest.raises(json.JSONDecodeError):
        await read(client, input="I love it")
