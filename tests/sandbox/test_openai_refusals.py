import pytest
from openai_emulator_calls import PREDICATE, Calls

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}
TOOL = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}}
LEVELS = [{"label": "low"}, {"label": "high"}]


@pytest.fixture
def openai():
    return Calls()


def respond(**rest):
    return "responses", {"model": "gpt-6-luna", "input": "Hello", **rest}


def chat(model="gpt-6-luna", **rest):
    return "chat/completions", {"model": model, **CHAT, **rest}


def decide(**rest):
    return "decisions", {"model": "gpt-6-luna", "input": "Hello", "questions": [PREDICATE], **rest}


def question(**rest):
    return decide(questions=[{**PREDICATE, **rest}])


def embed(**rest):
    return "embeddings", {"model": "text-embedding-3-small", "input": "Hello", **rest}


def strict(**schema):
    full = {"type": "object", "properties": {}, "required": [], "additionalProperties": False, **schema}
    return respond(text={"format": {"type": "json_schema", "name": "x", "strict": True, "schema": full}})


STRUCTURED = {"text": strict()[1]["text"]}
REFUSALS = [
    (chat(max_tokens=5), 400, "unsupported_parameter", "max_tokens"),
    (chat(temperature=0.2), 400, "unsupported_value", "temperature"),
    (chat(stop=["x"]), 400, "unsupported_parameter", "stop"),
    (chat(logprobs=True), 400, "unsupported_parameter", "logprobs"),
    (chat(reasoning_effort="max"), 400, "unsupported_value", "reasoning_effort"),
    (chat("gpt-4o", reasoning_effort="low"), 400, "unsupported_parameter", "reasoning_effort"),
    (chat("gpt-5.5-pro"), 404, None, "model"),
    (chat(tools=[TOOL]), 400, "unsupported_parameter", "tools"),
    (chat(messages=[]), 400, "invalid_value", "messages"),
    (chat(response_format={"type": "json_object"}), 400, None, "messages"),
    (chat("gpt-4o", max_tokens=20_000), 400, "invalid_value", "max_tokens"),
    (chat(foo=1), 400, "unknown_parameter", "foo"),
    (respond(temperature=0), 400, "unsupported_value", "temperature"),
    (respond(model="gpt-6-astra", reasoning={"effort": "none"}), 400, "unsupported_value", "reasoning.effort"),
    (respond(temperature=3, reasoning={"effort": "none"}), 400, "invalid_value", "temperature"),
    (respond(max_output_tokens=1), 400, "integer_below_min_value", "max_output_tokens"),
    (respond(max_output_tokens=200_000), 400, "invalid_value", "max_output_tokens"),
    (respond(service_tier="ultrafast"), 400, None, "service_tier"),
    (respond(model="gpt-4o", service_tier="flex"), 400, None, "service_tier"),
    (respond(service_tier="cheap"), 400, "invalid_value", "service_tier"),
    (respond(metadata={str(at): "x" for at in range(17)}), 400, "invalid_value", "metadata"),
    (respond(safety_identifier="x" * 129), 400, "invalid_value", "safety_identifier"),
    (respond(previous_response_id="resp_x"), 400, "previous_response_not_found", "previous_response_id"),
    (respond(tools=[{"type": "web_search"}]), 400, "sandbox_unsupported", "tools[0].type"),
    (respond(input=None), 400, "missing_required_parameter", "input"),
    (respond(input="x" * 10_485_761), 400, "string_above_max_length", "input"),
    (respond(model="gpt-5.4-pro", **STRUCTURED), 400, None, "text.format"),
    (respond(model="gpt-4"), 404, "model_not_found", None),
    (respond(model="gpt-4o-2024-05-13"), 404, "model_not_found", None),
    (respond(model="nonsense"), 404, "model_not_found", None),
    (respond(model="text-embedding-3-small"), 400, "unsupported_value", "model"),
    (strict(additionalProperties=True), 400, "invalid_json_schema", "text.format.schema"),
    (strict(properties={"a": {"type": "string"}}), 400, "invalid_json_schema", "text.format.schema"),
    (strict(type="array", items={}), 400, "invalid_json_schema", "text.format.schema"),
    (strict(allOf=[]), 400, "invalid_json_schema", "text.format.schema"),
    (decide(questions=[]), 400, "invalid_value", "questions"),
    (decide(questions=[PREDICATE] * 401), 400, "invalid_value", "questions"),
    (decide(model="gpt-6-sol"), 400, "unsupported_value", "model"),
    (decide(temperature=0), 400, "unknown_parameter", "temperature"),
    (decide(input=7), 400, "invalid_type", "input"),
    (question(type="essay"), 400, "invalid_value", "questions[0].type"),
    (question(instructions=""), 400, "missing_required_parameter", "questions[0].instructions"),
    (question(levels=LEVELS), 400, "unknown_parameter", "questions[0].levels"),
    (question(type="choice", choices=[{"value": "a"}]), 400, "invalid_value", "questions[0].choices"),
    (question(type="choice", choices=[{"value": "a"}] * 2), 400, "invalid_value", "questions[0].choices"),
    (question(type="choice", choices=[{"value": 1}, {"value": 2}]), 400, "invalid_value", "questions[0].choices"),
    (question(type="score", levels=LEVELS[:1]), 400, "invalid_value", "questions[0].levels"),
    (embed(input=""), 400, None, "input"),
    (embed(input=[]), 400, None, "input"),
    (embed(input=["a", ""]), 400, None, "input"),
    (embed(input=["a"] * 2049), 400, None, "input"),
    (embed(input="wörd " * 9_000), 400, "context_length_exceeded", "input"),
    (embed(input=["word " * 4_000] * 80), 400, "max_tokens_per_request", "input"),
    (embed(model="text-embedding-ada-002", dimensions=8), 400, None, "dimensions"),
    (embed(dimensions=1537), 400, "invalid_value", "dimensions"),
    (("moderations", {"input": []}), 400, "invalid_value", "input"),
    (("responses", {"input": "x"}), 400, "missing_required_parameter", "model"),
    (("responses", b"{"), 400, "invalid_json", None),
    (("responses", []), 400, None, None),
]


@pytest.mark.parametrize(("request_", "status", "code", "param"), REFUSALS)
async def test_what_the_service_refuses_is_refused_with_its_envelope(openai, request_, status, code, param):
    got = await openai(*request_)
    assert got.status == status
    assert got.error.keys() == {"message", "type", "param", "code"}
    assert (got.error["code"], got.error["param"]) == (code, param), got.error
    assert got.error["type"] == "invalid_request_error"
    assert not openai.world.billed
    assert openai.limiter.accepted == 0


ACCEPTED = [
    chat(temperature=0.2, reasoning_effort="none"),
    chat(temperature=1),
    chat(max_completion_tokens=500),
    chat(tools=[TOOL], reasoning_effort="none"),
    chat("gpt-4o", max_tokens=5, stop=["x"], temperature=0, seed=3, n=2),
    chat("gpt-5.1", tools=[TOOL]),
    chat(response_format={"type": "json_object"}, messages=[{"role": "user", "content": "Answer in JSON"}]),
    respond(service_tier="fast"),
    respond(reasoning={"effort": "max"}),
    respond(input=[{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}], truncation="auto"),
    strict(properties={"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, required=["next"]),
    decide(prompt_cache_key="k", safety_identifier="x" * 128),
    decide(questions=[PREDICATE] * 400),
    question(type="choice", choices=[{"value": True}, {"value": "True"}]),
    question(instructions=[{"type": "input_text", "text": "The delivery was late."}]),
    embed(input=[1, 2, 3], dimensions=1),
    ("moderations", {"input": [{"type": "text", "text": "Hello"}]}),
    ("responses/input_tokens", {"model": "gpt-6-luna", "input": "Hello"}),
]


@pytest.mark.parametrize("request_", ACCEPTED)
async def test_what_the_service_takes_is_taken(openai, request_):
    got = await openai(*request_)
    assert got.status == 200, got.raw


async def test_a_prompt_beyond_the_context_is_refused_with_its_size(openai):
    got = await openai(
        "chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "a b " * 70_000}]}
    )
    assert got.status == 400
    assert got.error["code"] == "context_length_exceeded"
    assert "128000" in got.error["message"]


@pytest.mark.parametrize("key", [None, "", "pk-123", "sk-invalid-key"])
async def test_a_wrong_key_is_refused_and_never_repeated(openai, key):
    got = await openai.decide("x", key=key)
    assert got.status == 401
    assert got.error["code"] == "invalid_api_key"
    assert not key or key not in got.raw.decode()


async def test_a_key_without_credit_may_look_but_not_buy(openai):
    got = await openai.decide("x", key="sk-noquota")
    assert (got.status, got.error["type"]) == (429, "insufficient_quota")
    assert (await openai("models", key="sk-noquota")).status == 200


async def test_unknown_addresses_and_methods_are_told_apart(openai):
    assert (await openai("nowhere", {})).status == 404
    assert (await openai("decisions", method="GET")).status == 405
    assert (await openai("models", {}, method="POST")).status == 405


async def test_a_model_dies_on_its_date(openai):
    body = {"model": "gpt-5", "input": "Hello"}
    assert (await openai("responses", body)).status == 200
    openai.clock.advance(40 * 86_400)
    got = await openai("responses", body)
    assert (got.status, got.error["code"]) == (404, "model_not_found")
