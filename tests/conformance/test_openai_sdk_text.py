"""The official OpenAI SDK, with strict response validation, on what the sandbox keeps, calls and blocks.

Every request and answer is also held against OpenAI's published description where that is at hand.
"""

import json

import openai
import pytest

from openai_wire import RecordedServer, read_description
from penstock.base.clock import ManualClock
from penstock.sandbox.world import Fault

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FLAT_TOOL = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
LUNA = {"model": "gpt-6-luna"}


@pytest.fixture(scope="module")
def server():
    with RecordedServer(clock=ManualClock()) as server:
        yield server


@pytest.fixture
async def client(server):
    server.world.clock.advance(60)
    async with server.client() as client:
        await client.models.list()  # lets earlier background work end
        server.world.reset()
        yield client


@pytest.fixture(scope="module")
def description():
    return read_description()


@pytest.fixture
def heard(server, description):
    server.wire.heard.clear()
    return lambda: server.wire.check(description)


async def test_a_chained_response_has_read_what_came_before(client, heard):
    first = await client.responses.create(**LUNA, input="My name is Ada.", instructions="Be brief.")
    second = await client.responses.create(**LUNA, input="[sandbox:echo]", previous_response_id=first.id)
    said = second.output_text
    assert "user: My name is Ada." in said
    assert first.output_text in said
    assert "system: " not in said, "instructions are not carried over"
    assert second.usage.input_tokens > first.usage.input_tokens
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(**LUNA, input="x", previous_response_id="resp_none")
    assert caught.value.code == "previous_response_not_found"
    assert heard() == 3


async def test_what_a_response_was_asked_with_is_listed_in_pages(client, heard):
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
    items = [
        {"role": "developer", "content": "Judge."},
        {"role": "user", "content": [{"type": "input_text", "text": "Good"}, image]},
        {"role": "assistant", "content": "Fine."},
        {"role": "user", "content": "Bad"},
    ]
    response = await client.responses.create(**LUNA, input=items)
    newest_first = [item async for item in client.responses.input_items.list(response.id, limit=3)]
    assert [item.role for item in newest_first] == ["user", "assistant", "user", "developer"]
    oldest = await client.responses.input_items.list(response.id, order="asc", limit=1)
    assert oldest.data[0].content[0].text == "Judge."
    assert oldest.has_more
    heard()


async def test_a_deleted_response_is_gone(client, heard):
    response = await client.responses.create(**LUNA, input="Hi")
    await client.responses.delete(response.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            await gone(response.id)
    heard()


async def test_a_background_response_passes_through_its_states_and_is_billed_at_the_end(server, client, heard):
    response = await client.responses.create(**LUNA, input="I love it", background=True)
    assert (response.status, response.output, response.usage) == ("queued", [], None)
    assert not server.world.billed
    server.world.clock.advance(2)
    assert (await client.responses.retrieve(response.id)).status == "in_progress"
    server.world.clock.advance(4)
    done = await client.responses.retrieve(response.id)
    assert done.status == "completed"
    assert done.output_text
    assert server.world.billed_calls["responses"] == 1
    assert (await client.responses.cancel(done.id)).status == "completed"
    heard()


async def test_a_cancelled_background_response_stays_cancelled_and_costs_nothing(server, client, heard):
    response = await client.responses.create(**LUNA, input="I love it", background=True)
    assert (await client.responses.cancel(response.id)).status == "cancelled"
    server.world.clock.advance(60)
    assert (await client.responses.retrieve(response.id)).status == "cancelled"
    assert not server.world.billed
    plain = await client.responses.create(**LUNA, input="Hi")
    with pytest.raises(openai.BadRequestError):
        await client.responses.cancel(plain.id)
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(**LUNA, input="x", background=True, store=False)
    heard()


async def test_a_planned_fault_keeps_a_response_from_being_cancelled(server, client):
    response = await client.responses.create(**LUNA, input="I love it", background=True)
    server.world.faults.append(Fault(operation="responses.cancel", code="server_error", times=1))
    with pytest.raises(openai.InternalServerError):
        await client.responses.cancel(response.id)
    assert (await client.responses.retrieve(response.id)).status == "queued"


async def test_a_function_is_called_and_its_result_is_answered(client, heard):
    question = {"role": "user", "content": "What is the weather in Oslo?"}
    first = await client.responses.create(**LUNA, input=[question], tools=[FLAT_TOOL])
    call = next(item for item in first.output if item.type == "function_call")
    assert json.loads(call.arguments).keys() == {"city"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "4 degrees"}
    asked = [question, *(item.model_dump(exclude_none=True) for item in first.output), result]
    second = await client.responses.create(**LUNA, input=asked, tools=[FLAT_TOOL])
    assert "4 degrees" in second.output_text
    chained = await client.responses.create(
        **LUNA, input=[result], previous_response_id=first.id, tools=[FLAT_TOOL], tool_choice="none"
    )
    assert "4 degrees" in chained.output_text
    heard()


async def test_a_chat_calls_functions_as_it_is_told(client, heard):
    messages = [{"role": "user", "content": "Tell me about the weather"}]
    request = {"model": "gpt-4o", "messages": messages, "tools": [TOOL]}
    called = (await client.chat.completions.create(**request)).choices[0]
    assert called.finish_reason == "tool_calls"
    assert called.message.content is None
    untold = (await client.chat.completions.create(**request, tool_choice="none")).choices[0]
    assert untold.finish_reason == "stop"
    (call,) = called.message.tool_calls
    answer = {"role": "tool", "tool_call_id": call.id, "content": "Rain"}
    messages = [*messages, called.message.model_dump(exclude_none=True), answer]
    last = await client.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])
    assert "Rain" in last.choices[0].message.content
    old = {"name": "weather", "parameters": WEATHER}
    legacy = await client.chat.completions.create(model="gpt-4o", messages=messages[:1], functions=[old])
    assert legacy.choices[0].finish_reason == "function_call"
    assert legacy.choices[0].message.function_call.name == "weather"
    heard()


async def test_system_and_history_of_a_chat_arrive(client):
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Ahoy"},
        {"role": "assistant", "content": "Arr"},
        {"role": "user", "content": "I love it"},
    ]
    said = (await client.chat.completions.create(model="gpt-4o", messages=messages)).choices[0].message.content
    assert "You are a pirate." in said
    assert "Earlier messages: 2" in said
    messages[-1]["content"] = "[sandbox:echo]"
    said = (await client.chat.completions.create(model="gpt-4o", messages=messages)).choices[0].message.content
    assert said.splitlines()[:3] == ["system: You are a pirate.", "user: Ahoy", "assistant: Arr"]


async def test_stored_chats_are_found_changed_and_deleted(client, heard):
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "user", "content": "Ho"}]
    kept = await client.chat.completions.create(model="gpt-4o", messages=messages, store=True, metadata={"run": "7"})
    await client.chat.completions.create(model="gpt-4o", messages=messages, store=True, metadata={"run": "8"})
    found = [one async for one in client.chat.completions.list(metadata={"run": "7"})]
    assert [one.id for one in found] == [kept.id]
    assert (await client.chat.completions.retrieve(kept.id)).choices == kept.choices
    # The SDK's own type says that every stored message is the assistant's; the service lists the user's.
    listed = (await client.chat.completions.messages.with_raw_response.list(kept.id)).http_response.json()
    assert [(one["role"], one["content"]) for one in listed["data"]] == [("user", None), ("user", "Ho")]
    changed = await client.chat.completions.update(kept.id, metadata={"run": "9"})
    assert changed.metadata == {"run": "9"}
    assert (await client.chat.completions.delete(kept.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.retrieve(kept.id)
    heard()


async def test_a_conversation_remembers_what_was_asked_and_answered(client, heard):
    begun = await client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "My name is Ada."}], metadata={"a": "b"}
    )
    await client.responses.create(**LUNA, input="I love it", conversation=begun.id)
    echoed = await client.responses.create(**LUNA, input="[sandbox:echo]", conversation=begun.id)
    assert "My name is Ada." in echoed.output_text
    assert echoed.conversation.id == begun.id
    items = [item async for item in client.conversations.items.list(begun.id, order="asc", limit=2)]
    assert [item.type for item in items if item.type != "reasoning"] == ["message"] * 5
    one = await client.conversations.items.retrieve(items[0].id, conversation_id=begun.id)
    assert one == items[0]
    added = await client.conversations.items.create(
        begun.id, items=[{"type": "message", "role": "user", "content": "More"}]
    )
    await client.conversations.items.delete(added.data[0].id, conversation_id=begun.id)
    assert (await client.conversations.update(begun.id, metadata={"c": "d"})).metadata == {"c": "d"}
    assert (await client.conversations.retrieve(begun.id)).metadata == {"c": "d"}
    assert (await client.conversations.delete(begun.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(**LUNA, input="x", conversation=begun.id)
    heard()


async def test_a_conversation_is_compacted_to_one_item_that_is_read_again(client, heard):
    items = [{"role": "user", "content": "The parcel came late."}, {"role": "user", "content": "Refund me."}]
    compacted = await client.responses.compact(model="gpt-6-luna", input=items)
    kept = [item.model_dump(exclude_none=True) for item in compacted.output]
    after = await client.responses.create(**LUNA, input=[*kept, {"role": "user", "content": "[sandbox:echo]"}])
    assert "The parcel came late." in after.output_text
    heard()


async def test_inline_moderation_scores_or_blocks(client, heard):
    score = {"model": "omni-moderation-latest"}
    response = await client.responses.create(**LUNA, input="I will kill you", moderation=score)
    assert response.moderation.input.flagged
    assert not response.moderation.output.flagged
    messages = [{"role": "user", "content": "I will kill you"}]
    chat = await client.chat.completions.create(model="gpt-4o", messages=messages, moderation=score)
    assert chat.moderation.input.results[0].flagged
    blocked = {**score, "policy": {"input": {"mode": "block"}}}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(**LUNA, input="I will kill you", moderation=blocked)
    assert caught.value.code == "moderation_blocked"
    held = {**score, "policy": {"output": {"mode": "block"}}}
    response = await client.responses.create(**LUNA, input="I will kill you [sandbox:echo]", moderation=held)
    assert response.incomplete_details.reason == "content_filter"
    assert response.output_text == ""
    heard()


async def test_images_are_moderated_with_the_text(client, heard):
    parts = [
        {"type": "text", "text": "A lovely day"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    verdict = (await client.moderations.create(input=parts)).results[0]
    assert not verdict.flagged
    assert verdict.category_applied_input_types.violence == ["text", "image"]
    assert verdict.category_applied_input_types.hate == ["text"]
    heard()


async def test_a_plain_server_answers_chats_and_completions_in_its_own_way():
    with RecordedServer(plain=True) as server:
        async with server.client() as client:
            messages = [{"role": "user", "content": "I love it"}]
            chat = await client.chat.completions.create(model="llama", messages=messages, max_tokens=5)
            assert chat.usage.completion_tokens == 5
            assert chat.choices[0].finish_reason == "length"
            stream = await client.chat.completions.create(
                model="llama", messages=messages, stream=True, stream_options={"include_usage": True}
            )
            assert {chunk.usage async for chunk in stream} == {None}
            filled = await client.completions.create(model="llama", prompt="def f(", suffix="return 1", max_tokens=60)
            assert "return 1" in filled.choices[0].text
            # Chunks of completions have no reason to end until they do; the SDK's type does not know that.
            async with openai.AsyncOpenAI(api_key="sk-x", base_url=server.url) as lenient:
                chunks = await lenient.completions.create(model="llama", prompt="a", stream=True, n=2)
                assert {chunk.choices[0].index async for chunk in chunks} == {0, 1}
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(model="llama", messages=messages, max_completion_tokens=5)
            assert refused.value.response.json()["code"] == 400
            with pytest.raises(openai.NotFoundError) as missing:
                await client.decisions.create(model="llama", input="x", questions=[])
            assert isinstance(missing.value.response.json()["error"], str)
            assert "x-ratelimit-limit-requests" not in missing.value.response.headers
