"""The official OpenAI SDK, with strict response validation, against the sandbox over a real socket.

Where OpenAI's published description covers an endpoint, what went over the wire is also held against it.
"""

import asyncio
import base64
import json
import struct

import openai
import pytest

from openai_server import OpenAIServer, make_check
from penstock.sandbox.limits import Limit
from penstock.sandbox.world import Fault

QUESTIONS = [
    {"type": "predicate", "name": "delivery", "instructions": "The customer mentions the delivery."},
    {
        "type": "choice",
        "name": "label",
        "instructions": "The mood of the text.",
        "choices": [{"value": "positive"}, {"value": "neutral"}, {"value": "negative"}],
    },
    {
        "type": "score",
        "instructions": "How satisfied is the customer?",
        "levels": [{"label": "very negative"}, {"label": "neutral"}, {"label": "very positive"}],
    },
]
SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "number", "minimum": -1, "maximum": 1},
        "label": {"type": "string", "enum": ["positive", "neutral", "negative"]},
    },
    "required": ["score", "label"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def conforms():
    return make_check()


@pytest.fixture(scope="module")
def running():
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def sandbox(running):
    running.world.reset()
    running.limiter.change(limit=Limit(rpm=60_000, tpm=10_000_000), depth_seconds=60.0, count_refused=False)
    return running


@pytest.fixture
async def client(sandbox):
    async with make_client(sandbox) as client:
        yield client


def make_client(sandbox, key="sk-test", **settings):
    return sandbox.client(api_key=key, **settings)


async def test_decisions_are_answered_in_order_with_probabilities_that_add_up(client):
    decision = await client.decisions.create(
        model="gpt-6-luna", input="The delivery was late and terrible.", questions=QUESTIONS
    )
    predicate, choice, score = decision.answers
    assert predicate.name == "delivery"
    assert predicate.probability > 0.5
    assert choice.choice == "negative"
    assert choice.confidence == max(one.probability for one in choice.probabilities)
    assert sum(one.probability for one in choice.probabilities) == pytest.approx(1.0)
    assert score.name is None
    assert score.score == pytest.approx(sum(one.value * one.probability for one in score.probabilities), abs=1e-5)
    assert score.score < 1.0
    assert decision.usage.total_tokens == decision.usage.input_tokens + decision.usage.output_tokens


async def test_a_structured_response_parses_and_fits_its_schema(client, conforms):
    text = {"format": {"type": "json_schema", "name": "mood", "strict": True, "schema": SCHEMA}}
    request = {"model": "gpt-6-luna", "input": "I love it", "text": text, "reasoning": {"effort": "none"}}
    conforms("CreateResponse", request)
    raw = await client.responses.with_raw_response.create(**request)
    response = raw.parse()
    assert json.loads(response.output_text)["label"] == "positive"
    assert response.status == "completed"
    assert response.service_tier == "default"
    conforms("Response", response_as_described(raw))


async def test_a_response_cut_by_its_limit_is_incomplete_and_bills_its_reasoning(client, conforms):
    raw = await client.responses.with_raw_response.create(model="gpt-6-luna", input="I love it", max_output_tokens=64)
    response = raw.parse()
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == ""
    assert response.usage.output_tokens == response.usage.output_tokens_details.reasoning_tokens == 64
    conforms("Response", response_as_described(raw))


def response_as_described(raw):
    """Return the body without what came after the description of August 2026."""
    body = json.loads(raw.content)
    body.pop("completed_at", None)
    return body


async def test_a_stored_response_is_retrieved_and_an_unstored_one_is_not(client):
    kept = await client.responses.create(model="gpt-6-luna", input="Hello")
    again = await client.responses.retrieve(kept.id)
    assert again == kept
    unkept = await client.responses.create(model="gpt-6-luna", input="Hello", store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(unkept.id)


async def test_a_refusal_is_a_part_of_its_own(client):
    response = await client.responses.create(model="gpt-6-luna", input="[sandbox:refuse] bad text")
    (message,) = [item for item in response.output if item.type == "message"]
    assert message.content[0].type == "refusal"
    completion = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "[sandbox:refuse]"}]
    )
    assert completion.choices[0].message.refusal
    decision = await client.decisions.create(model="gpt-6-luna", input="[sandbox:refuse]", questions=QUESTIONS)
    assert {answer.type for answer in decision.answers} == {"refusal"}


async def test_the_token_counter_agrees_with_the_usage_of_the_call(client):
    text = "The parcel came late. " * 30
    counted = await client.responses.input_tokens.count(model="gpt-6-luna", input=text, instructions="Judge.")
    response = await client.responses.create(model="gpt-6-luna", input=text, instructions="Judge.")
    assert counted.input_tokens == response.usage.input_tokens


async def test_chat_answers_with_a_schema_usage_and_tier(client, conforms):
    request = {
        "model": "gpt-6-luna",
        "messages": [{"role": "developer", "content": "Judge."}, {"role": "user", "content": "Terrible service!"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "m", "strict": True, "schema": SCHEMA}},
        "reasoning_effort": "none",
        "service_tier": "flex",
    }
    conforms("CreateChatCompletionRequest", request)
    raw = await client.chat.completions.with_raw_response.create(**request)
    completion = raw.parse()
    assert json.loads(completion.choices[0].message.content)["label"] == "negative"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.service_tier == "flex"
    assert completion.usage.completion_tokens_details.reasoning_tokens == 0
    conforms("CreateChatCompletionResponse", json.loads(raw.content))


async def test_chat_cut_by_its_limit_says_length(client):
    completion = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "I love it"}], max_tokens=3
    )
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 3


async def test_token_probabilities_come_where_they_are_asked_for(client, conforms):
    text = {"format": {"type": "json_schema", "name": "mood", "strict": True, "schema": SCHEMA}}
    raw = await client.responses.with_raw_response.create(
        model="gpt-4o", input="I love it", text=text, include=["message.output_text.logprobs"]
    )
    conforms("Response", response_as_described(raw))
    part = raw.parse().output[0].content[0]
    assert "".join(piece.token for piece in part.logprobs) == part.text
    assert {piece.token: piece.logprob for piece in part.logprobs}["positive"] < -0.01
    completion = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "I love it"}], logprobs=True
    )
    choice = completion.choices[0]
    assert "".join(piece.token for piece in choice.logprobs.content) == choice.message.content


async def test_embeddings_are_repeatable_unit_vectors_in_both_encodings(client, conforms):
    request = {"model": "text-embedding-3-small", "input": ["late parcel", "late delivery", "blue sky"]}
    conforms("CreateEmbeddingRequest", request)
    raw = await client.embeddings.with_raw_response.create(**request, encoding_format="float")
    body = json.loads(raw.content)
    conforms("CreateEmbeddingResponse", body)
    vectors = [one["embedding"] for one in body["data"]]
    coded = await client.embeddings.with_raw_response.create(**request, encoding_format="base64")
    packed = base64.b64decode(json.loads(coded.content)["data"][0]["embedding"])
    assert struct.unpack("<1536f", packed) == pytest.approx(vectors[0], abs=1e-6)
    assert sum(one * one for one in vectors[0]) == pytest.approx(1.0, abs=1e-4)
    assert dot(vectors[0], vectors[1]) > dot(vectors[0], vectors[2]) + 0.1
    parsed = await client.embeddings.create(**request, dimensions=256, encoding_format="float")
    assert [len(one.embedding) for one in parsed.data] == [256] * 3


def dot(left, right):
    return sum(one * other for one, other in zip(left, right, strict=True))


async def test_moderation_flags_what_threatens_and_costs_nothing(client, conforms, sandbox):
    raw = await client.moderations.with_raw_response.create(input=["A lovely day", "I will kill you"])
    conforms("CreateModerationResponse", json.loads(raw.content))
    calm, threat = raw.parse().results
    assert not calm.flagged
    assert threat.categories.violence
    assert not sandbox.world.billed


async def test_the_list_of_models_leaves_out_the_dead_and_dates_the_dying(client, conforms):
    raw = await client.models.with_raw_response.list()
    conforms("ListModelsResponse", json.loads(raw.content))
    models = {model.id: model for model in raw.parse().data}
    assert "gpt-4" not in models
    assert models["gpt-4o"].shutdown_date == "2027-01-14"
    assert models["gpt-6-luna"].shutdown_date is None
    one = await client.models.retrieve("gpt-6-luna")
    assert one.id == "gpt-6-luna"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-4")


async def test_each_failure_becomes_the_class_that_the_sdk_has_for_it(sandbox, conforms):
    cases = [
        (openai.BadRequestError, Fault(status=400, code="content_policy_violation")),
        (openai.AuthenticationError, Fault(status=401)),
        (openai.PermissionDeniedError, Fault(status=403, code="unsupported_country")),
        (openai.NotFoundError, Fault(status=404)),
        (openai.ConflictError, Fault(status=409)),
        (openai.UnprocessableEntityError, Fault(status=422)),
        (openai.RateLimitError, Fault(status=429)),
        (openai.InternalServerError, Fault(status=503, code="slow_down")),
        (openai.InternalServerError, Fault(kind="html", status=502)),
        (openai.APIConnectionError, Fault(kind="drop")),
        (openai.APIConnectionError, Fault(kind="lost")),
    ]
    async with make_client(sandbox) as client:
        for expected, fault in cases:
            sandbox.world.faults[:] = [fault]
            with pytest.raises(expected) as caught:
                await client.decisions.create(model="gpt-6-luna", input="x", questions=QUESTIONS)
            assert type(caught.value) is expected, fault
            if fault.kind == "status":
                conforms("ErrorResponse", caught.value.response.json())
                assert caught.value.code == fault.code or fault.code is None


async def test_a_hanging_call_times_out_and_is_billed_all_the_same(sandbox):
    sandbox.world.faults.append(Fault(operation="decisions", kind="hang", seconds=2.0, times=1))
    async with make_client(sandbox, timeout=0.2) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.decisions.create(model="gpt-6-luna", input="x", questions=QUESTIONS)
    assert len(sandbox.world.billed) == 1


async def test_a_lost_answer_that_is_asked_again_is_bought_twice(sandbox):
    sandbox.world.faults.append(Fault(operation="decisions", kind="lost", times=1))
    async with make_client(sandbox, max_retries=1) as client:
        await client.decisions.create(model="gpt-6-luna", input="x", questions=QUESTIONS)
    assert sandbox.world.bought_twice() == 1


async def test_keys_are_refused_for_access_and_for_credit(sandbox):
    async with make_client(sandbox, "sk-invalid") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
        assert refused.value.code == "invalid_api_key"
    async with make_client(sandbox, "sk-noquota") as client:
        with pytest.raises(openai.RateLimitError) as empty:
            await client.decisions.create(model="gpt-6-luna", input="x", questions=QUESTIONS)
        assert empty.value.code == "credit_balance_exhausted"
        assert empty.value.type == "insufficient_quota"


async def test_rate_limit_headers_count_down_and_a_refusal_says_when_to_come_back(sandbox, client):
    sandbox.limiter.change(limit=Limit(rpm=2, tpm=100_000))
    ask = client.decisions.with_raw_response.create
    first = await ask(model="gpt-6-luna", input="x", questions=QUESTIONS)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"] == "30s"
    assert first.headers["openai-version"] == "2020-10-01"
    assert first.request_id.startswith("req_")
    await ask(model="gpt-6-luna", input="x", questions=QUESTIONS)
    with pytest.raises(openai.RateLimitError) as refused:
        await ask(model="gpt-6-luna", input="x", questions=QUESTIONS)
    assert refused.value.code == "rate_limit_exceeded"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 30
    assert int(refused.value.response.headers["retry-after-ms"]) <= 30_000


async def test_a_callers_own_request_id_is_kept_with_the_bill(sandbox, client):
    await client.decisions.create(
        model="gpt-6-luna", input="x", questions=QUESTIONS, extra_headers={"X-Client-Request-Id": "call_1"}
    )
    assert sandbox.world.billed[0].client_request_id == "call_1"


async def test_the_control_paths_set_faults_limits_and_show_what_happened(sandbox, client):
    import httpx2

    control = sandbox.url.removesuffix("/openai/v1") + "/_sandbox"
    async with httpx2.AsyncClient(base_url=control) as http:
        await http.post("/faults", json={"vendor": "openai", "kind": "status", "status": 500, "times": 1})
        with pytest.raises(openai.InternalServerError):
            await client.decisions.create(model="gpt-6-luna", input="x", questions=QUESTIONS)
        await http.post("/limits", json={"rpm": 1})
        await client.decisions.create(model="gpt-6-luna", input="x", questions=QUESTIONS)
        with pytest.raises(openai.RateLimitError):
            await client.decisions.create(model="gpt-6-luna", input="x", questions=QUESTIONS)
        state = (await http.get("/state")).json()
        assert state["billed_calls"] == {"decisions": 1}
        assert {(one["status"], one["count"]) for one in state["calls"]} == {(500, 1), (200, 1), (429, 1)}
        assert (await http.post("/faults", json={"kind": "nonsense"})).status_code == 400
        assert (await http.get("/nowhere")).status_code == 404
        assert (await http.request("DELETE", "/faults")).json() == []
        assert (await http.post("/reset")).json()["calls"] == []


async def test_sixty_four_callers_at_once_are_all_answered(sandbox, client):
    calls = [client.decisions.create(model="gpt-6-luna", input=f"text {at}", questions=QUESTIONS) for at in range(64)]
    assert len(await asyncio.gather(*calls)) == 64
    assert sandbox.world.billed_calls["decisions"] == 64
