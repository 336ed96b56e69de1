"""What the emulated OpenAI writes: tasks done without a model, phrases, function calls; and bodies of any shape."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_emulator_calls import Calls

from penstock.sandbox.world import Fault

PARCEL = "The parcel came late. The parcel was broken. I called twice. Nobody answered about the parcel."
TOOLS = [
    {"type": "function", "name": "find_order", "parameters": {"type": "object", "properties": {"id": {}}}},
    {"type": "function", "name": "refund", "parameters": {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object"}}}},
]


@pytest.fixture
def openai():
    return Calls()


async def ask(openai, given, **rest):
    got = await openai("responses", {"model": "gpt-6-luna", "input": given, **rest})
    assert got.status == 200, got.raw
    return got.json


async def say(openai, given, **rest):
    parts = (await ask(openai, given, **rest))["output"][-1]["content"]
    return parts[0].get("text", parts[0].get("refusal"))


async def test_a_summary_is_made_of_the_texts_own_sentences(openai):
    said = await say(openai, PARCEL, instructions="Summarize the text.")
    assert said.startswith("The parcel")
    assert len(said) < len(PARCEL)
    assert all(sentence.strip(". ") in PARCEL for sentence in said.split(". "))


async def test_a_classification_answers_with_one_of_the_labels(openai):
    orders = "Classify the text into one of: praise, delivery, billing."
    assert await say(openai, PARCEL, instructions=orders) == "delivery"
    assert await say(openai, f"{orders}\n<text>The invoice is wrong.</text>") == "billing"


async def test_a_translation_says_that_it_is_none(openai):
    said = await say(openai, PARCEL, instructions="Translate the text to German.")
    assert said == f"[not translated by the sandbox to German] {PARCEL}"


async def test_fields_with_known_names_are_filled_with_sense(openai):
    names = ("summary", "translation", "label")
    fields = {name: {"type": "string"} for name in names[:2]} | {"label": {"type": "string", "enum": ["x", "delivery"]}}
    schema = {"type": "object", "properties": fields, "required": [*names], "additionalProperties": False}
    wanted = {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": schema}}
    filled = json.loads(await say(openai, PARCEL, text=wanted))
    assert filled["summary"].startswith("The parcel")
    assert filled["translation"].endswith(PARCEL)
    assert filled["label"] == "delivery"


async def test_broken_json_is_repaired_once_the_prompt_holds_it(openai):
    wanted = {"format": {"type": "json_object"}}
    broken = await say(openai, "Answer in JSON [sandbox:broken]", text=wanted)
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken)
    json.loads(await say(openai, f"Answer in JSON [sandbox:broken]. This was wrong: {broken}", text=wanted))


async def test_a_tight_limit_is_used_up_by_reasoning_first(openai):
    got = await ask(openai, "[sandbox:words 200]", max_output_tokens=200)
    assert got["incomplete_details"]["reason"] == "max_output_tokens"
    assert [item["type"] for item in got["output"]] == ["reasoning"]
    got = await ask(openai, "[sandbox:words 200]", max_output_tokens=300)
    assert got["output"][-1]["status"] == "incomplete"
    assert got["usage"]["output_tokens"] == 300


async def test_a_filtered_answer_is_half_a_text(openai):
    got = await ask(openai, "[sandbox:words 20] [sandbox:filter]")
    assert (got["status"], got["incomplete_details"]["reason"]) == ("incomplete", "content_filter")
    assert got["output"][-1]["content"][0]["text"].startswith("word1 word2")


async def test_a_stop_text_ends_an_answer(openai):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "[sandbox:words 9]"}], "stop": ["word4"]}
    got = await openai("chat/completions", body)
    assert got.json["choices"][0]["message"]["content"] == "word1 word2 word3 "


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("Where is my order?", "auto", ["find_order"]),
        ("Good morning", "auto", []),
        ("Where is my order?", "none", []),
        ("Good morning", "required", ["find_order"]),
        ("Good morning", {"type": "function", "name": "refund"}, ["refund"]),
        ("[sandbox:call refund find_order]", "auto", ["refund", "find_order"]),
    ],
)
async def test_which_function_is_called_is_read_off_words_and_wishes(openai, text, choice, called):
    got = await ask(openai, text, tools=TOOLS, tool_choice=choice)
    calls = [item for item in got["output"] if item["type"] == "function_call"]
    assert [call["name"] for call in calls] == called
    assert len({call["call_id"] for call in calls}) == len(calls)
    assert all(isinstance(json.loads(call["arguments"]), dict) for call in calls)


async def test_one_call_at_a_time_where_that_is_asked(openai):
    text = "[sandbox:call refund find_order]"
    got = await ask(openai, text, tools=TOOLS, parallel_tool_calls=False)
    assert [item["name"] for item in got["output"] if item["type"] == "function_call"] == ["refund"]


async def test_equal_requests_get_equal_texts(openai):
    assert await say(openai, PARCEL) == await say(Calls(), PARCEL)


async def test_referenced_items_are_read_again(openai):
    first = await ask(openai, "I love it")
    reference = {"type": "item_reference", "id": first["output"][-1]["id"]}
    said = await say(openai, [reference, {"role": "user", "content": "[sandbox:echo]"}])
    assert first["output"][-1]["content"][0]["text"] in said
    got = await openai("responses", {"model": "gpt-6-luna", "input": [{"type": "item_reference", "id": "msg_none"}]})
    assert got.status == 404


async def test_the_slow_work_of_a_background_response_is_announced(openai):
    heard = []
    openai.app.service.listeners.append(lambda event, identity: heard.append((event, identity)))
    done = await ask(openai, "Hello", background=True)
    failed = await ask(openai, "[sandbox:fail]", background=True)
    stopped = await ask(openai, "Hello", background=True)
    await openai(f"responses/{stopped['id']}/cancel", method="POST")
    openai.clock.advance(10)
    await openai("models")
    assert sorted(heard) == sorted(
        [
            ("response.completed", done["id"]),
            ("response.failed", failed["id"]),
            ("response.cancelled", stopped["id"]),
        ]
    )


SHAPES = [
    ("responses", {"model": 7}, "invalid_type", "model"),
    ("responses", {"input": [{"role": "king", "content": "x"}]}, "invalid_value", "input[0].role"),
    ("responses", {"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
    ("responses", {"input": [7]}, "invalid_type", "input[0]"),
    ("responses", {"input": [{"type": "nonsense"}]}, "invalid_value", "input[0].type"),
    ("responses", {"input": [{"role": "user", "content": [{"type": "text"}]}]}, "invalid_value", None),
    ("responses", {"input": [{"type": "function_call", "name": "x", "arguments": ""}]}, None, "input[0].call_id"),
    ("responses", {"text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type"),
    ("responses", {"reasoning": {"effort": "huge"}}, "invalid_value", "reasoning.effort"),
    ("responses", {"reasoning": {"mood": "x"}}, "unknown_parameter", "reasoning.mood"),
    ("responses", {"metadata": {"a": 1}}, "invalid_type", "metadata"),
    ("responses", {"top_logprobs": 21}, "integer_above_max_value", "top_logprobs"),
    ("responses", {"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
    ("responses", {"tool_choice": "auto"}, "invalid_value", "tool_choice"),
    ("responses", {"stream_options": {}}, "invalid_value", "stream_options"),
    ("responses", {"store": "yes"}, "invalid_type", "store"),
    ("responses", {"prompt": {"id": "pmpt_1"}}, "prompt_not_found", "prompt"),
    ("chat/completions", {"messages": "x"}, "invalid_type", "messages"),
    ("chat/completions", {"messages": [{"content": "x"}]}, "missing_required_parameter", "messages[0].role"),
    ("chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, None, "messages[0].tool_call_id"),
    ("chat/completions", {"n": 0}, "integer_below_min_value", "n"),
    ("chat/completions", {"stop": ["a"] * 5}, "invalid_value", "stop"),
    ("chat/completions", {"presence_penalty": 3}, "invalid_value", "presence_penalty"),
    ("chat/completions", {"top_logprobs": 2}, "invalid_value", "top_logprobs"),
    ("chat/completions", {"prompt_cache_options": {"ttl": "12h"}}, "unsupported_value", "prompt_cache_options.ttl"),
    ("chat/completions", {"web_search_options": {"x": 1}}, "sandbox_unsupported", "web_search_options"),
    ("moderations", {"input": [{"type": "image_url"}]}, "missing_required_parameter", "input[0].image_url.url"),
    ("moderations", {"input": ["x", 7]}, "invalid_type", "input[1]"),
    ("embeddings", {"encoding_format": "hex"}, "invalid_value", "encoding_format"),
]
WHOLE = {
    "responses": {"model": "gpt-6-luna", "input": "x"},
    "chat/completions": {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]},
    "moderations": {},
    "embeddings": {"model": "text-embedding-3-small", "input": "x"},
}


@pytest.mark.parametrize(("path", "part", "code", "param"), SHAPES)
async def test_a_fault_of_a_body_is_named_with_its_place(openai, path, part, code, param):
    got = await openai(path, {**WHOLE[path], **part})
    assert got.status in (400, 404)
    assert got.error["type"] == "invalid_request_error"
    assert code in (None, got.error["code"]), got.error
    assert param in (None, got.error["param"]), got.error
    assert not openai.world.billed


WORDS = ["", "auto", "user", "tool", "message", "function", "function_call_output", "input_text", "json_schema", "x"]
KEYS = ["type", "role", "content", "name", "format", "effort", "id", "call_id", "function", "parameters", "schema"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3000) | st.floats(-3, 3) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=6,
)
PARAMETERS = """input messages tools tool_choice text reasoning stop n response_format metadata conversation stream
previous_response_id max_output_tokens max_tokens questions dimensions prompt moderation include store background
functions reasoning_effort stream_options"""
NAMES = st.sampled_from(PARAMETERS.split())
SHARED = Calls()


@given(path=st.sampled_from([*WHOLE, "decisions", "conversations", "responses/compact"]), data=st.data())
@settings(max_examples=200, deadline=None)
async def test_no_body_makes_the_service_stumble(path, data):
    body = {**WHOLE.get(path, {}), **data.draw(st.dictionaries(NAMES, VALUES, max_size=4))}
    got = await SHARED(path, body)
    assert got.status in (200, 400, 404)
    if got.status != 200:
        assert got.error.keys() == {"message", "type", "param", "code"}


async def test_a_plain_server_has_its_own_errors():
    plain = Calls(plain=True)
    body = {"model": "any", "messages": [{"role": "developer", "content": "x"}]}
    got = await plain("chat/completions", body)
    assert (got.status, got.json["code"]) == (400, 400)
    two = [{"role": "system", "content": "x"}, {"role": "system", "content": "y"}]
    assert (await plain("chat/completions", {"model": "any", "messages": two})).status == 400
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    messages = [{"role": "user", "content": "x"}]
    assert (
        await plain("chat/completions", {"model": "a", "messages": messages, "response_format": wanted})
    ).status == 400
    for path in ("responses", "decisions", "nowhere"):
        got = await plain(path, {"model": "any", "input": "x"})
        assert (got.status, got.json.keys()) == (404, {"error"})
    plain.world.faults.append(Fault(code="server_error"))
    got = await plain("chat/completions", {"model": "any", "messages": messages})
    assert isinstance(got.json["error"], str)
    assert "x-request-id" not in got.headers


async def test_a_completion_echoes_fills_and_repeats():
    plain = Calls(plain=True)
    body = {"model": "any", "prompt": ["a", "b"], "n": 2, "echo": True, "suffix": "the end", "max_tokens": 100}
    got = (await plain("completions", body)).json
    assert [choice["text"][0] for choice in got["choices"]] == ["a", "a", "b", "b"]
    assert "the end" in got["choices"][0]["text"]
    assert (await Calls()("completions", {"model": "gpt-4o", "prompt": "x"})).status == 404
