"""Every model of the contract's parameter matrix refuses and takes what its row says, on both text endpoints."""

import json
import os
from pathlib import Path

import pytest
from openai_emulator_calls import Calls

from penstock.sandbox.openai_models import load_models
from penstock.sandbox.openai_quirks import Quirks

BEFORE_ANY_SHUTDOWN = 1_746_000_000.0
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MODELS = {model.id: model for model in load_models().all if model.kind == "chat"}
CHATTING = [name for name, model in MODELS.items() if "chat" in model.apis]
ONLY_RESPONSES = [name for name in MODELS if name not in CHATTING]
TOOL = {"type": "function", "function": {"name": "find_order"}}
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
SAMPLING = {
    "temperature": 0.2,
    "top_p": 0.5,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logit_bias": {"50": 1},
    "logprobs": True,
}


@pytest.fixture
def openai():
    return Calls(start=BEFORE_ANY_SHUTDOWN)


async def chat(openai, model, **rest):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **rest}
    return await openai("chat/completions", body)


async def respond(openai, model, **rest):
    return await openai("responses", {"model": model, "input": "Hello", **rest})


def matrix():
    root = Path(os.environ.get("PENSTOCK_SHARED", Path(__file__).parents[2].parent / "shared"))
    path = root / "contracts/models.json"
    if not path.is_file():
        return {}
    return {one["id"]: one["params"] for one in json.loads(path.read_text())["models"] if one["kind"] == "chat"}


@pytest.mark.parametrize("name", MODELS)
async def test_each_effort_is_taken_or_refused_by_name(openai, name):
    params = matrix().get(name)
    if params is None:
        pytest.skip("the contract is not here")
    for effort in EFFORTS:
        got = await respond(openai, name, reasoning={"effort": effort})
        assert (got.status == 200) == (effort in params["reasoning"]["efforts_responses"]), effort
        if got.status != 200:
            assert got.error["param"] == "reasoning.effort"
            assert got.error["code"] in ("unsupported_value", "unsupported_parameter")
        if name in CHATTING:
            got = await chat(openai, name, reasoning_effort=effort)
            assert (got.status == 200) == (effort in params["reasoning"]["efforts_responses"] and effort != "max")


@pytest.mark.parametrize("name", MODELS)
async def test_sampling_follows_the_model_and_the_effort(openai, name):
    model = MODELS[name]
    for effort in model.efforts or (None,):
        allowed = model.sampling == "yes" or (model.sampling == "effort-none" and effort == "none")
        for param in ("temperature", "top_p"):
            got = await respond(openai, name, **{param: SAMPLING[param]}, reasoning={"effort": effort})
            assert (got.status == 200) == allowed, (effort, param)
            if not allowed:
                code = "unsupported_value" if param == "temperature" else "unsupported_parameter"
                assert (got.error["code"], got.error["param"]) == (code, param)
            assert (await respond(openai, name, **{param: 1}, reasoning={"effort": effort})).status == 200
        for param, value in SAMPLING.items() if name in CHATTING and effort != "max" else ():
            got = await chat(openai, name, **{param: value}, reasoning_effort=effort)
            assert (got.status == 200) == allowed, (effort, param)


@pytest.mark.parametrize("name", CHATTING)
async def test_a_chat_takes_the_token_limit_stops_and_tools_that_its_model_knows(openai, name):
    model = MODELS[name]
    assert (await chat(openai, name, max_completion_tokens=900)).status == 200
    got = await chat(openai, name, max_tokens=900)
    assert (got.status == 200) == model.chat_max_tokens
    if got.status != 200:
        assert got.error["code"] == "unsupported_parameter"
        assert "max_completion_tokens" in got.error["message"]
    assert ((await chat(openai, name, stop="x")).status == 200) == model.stop
    modern = model.family >= (5, 0)
    assert ((await chat(openai, name, modalities=["text"])).status == 400) == modern
    assert ((await chat(openai, name, verbosity="low")).status == 200) == modern
    for effort in model.efforts or (None,):
        if effort == "max":
            continue
        got = await chat(openai, name, tools=[TOOL], reasoning_effort=effort)
        taken = model.chat_tools == "any" or (model.chat_tools == "effort_none_only" and effort == "none")
        assert (got.status == 200) == taken
        assert taken or "/v1/responses" in got.error["message"]


@pytest.mark.parametrize("name", MODELS)
async def test_strict_json_roles_and_flex_follow_the_model(openai, name):
    model = MODELS[name]
    wanted = {"type": "json_schema", "name": "x", "strict": True, "schema": SCHEMA}
    assert ((await respond(openai, name, text={"format": wanted})).status == 200) == model.strict_json
    assert ((await respond(openai, name, service_tier="flex")).status == 200) == model.has_flex
    assert (await respond(openai, name, service_tier="fast")).json["service_tier"] == "priority"
    pro = await respond(openai, name, reasoning={"mode": "pro"})
    assert (pro.status == 200) == (model.family >= (5, 6))
    if name in CHATTING:
        for role in ("system", "developer"):
            messages = [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Hello"}]
            assert (await chat(openai, name, messages=messages)).status == 200


@pytest.mark.parametrize("name", ONLY_RESPONSES)
async def test_models_of_responses_only_are_no_chat_models(openai, name):
    got = await chat(openai, name)
    assert got.status == 404
    assert "not a chat model" in got.error["message"]


@pytest.mark.parametrize("name", ["gpt-6-luna", "gpt-6.1-terra"])
async def test_open_questions_about_sampling_can_be_answered_both_ways(name):
    none = {"reasoning_effort": "none"}
    assert (await chat(Calls(), name, temperature=0.2, **none)).status == 200
    got = await chat(Calls(quirks=Quirks(gpt6_sampling=False)), name, temperature=0.2, **none)
    assert (got.error["code"], got.error["param"]) == ("unsupported_value", "temperature")
    careful = Calls(quirks=Quirks(penalties=False))
    assert (await chat(careful, name, temperature=0.2, **none)).status == 200
    assert (await chat(careful, name, presence_penalty=0.2, **none)).error["param"] == "presence_penalty"
    assert (await chat(careful, "gpt-4o", presence_penalty=0.2)).status == 200


@pytest.mark.parametrize("status", [404, 403])
async def test_a_retired_model_names_its_last_day(status):
    openai = Calls(quirks=Quirks(retired_status=status))
    for name in (name for name, model in MODELS.items() if model.shutdown == "2026-10-23"):
        got = await respond(openai, name)
        assert (got.status, got.error["code"]) == (status, "model_not_found")
        assert "2026-10-23" in got.error["message"]
    assert (await respond(openai, "nonsense")).status == 404


async def test_lengths_of_strings_in_strict_schemas_are_an_open_question():
    schema = {**SCHEMA, "properties": {"a": {"type": "string", "maxLength": 4}}, "required": ["a"]}
    wanted = {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": schema}}
    got = await respond(Calls(), "gpt-6-luna", text=wanted)
    assert len(json.loads(got.json["output"][-1]["content"][0]["text"])["a"]) <= 4
    got = await respond(Calls(quirks=Quirks(string_lengths=False)), "gpt-6-luna", text=wanted)
    assert got.error["code"] == "invalid_json_schema"


async def test_json_mode_wants_the_word_where_that_rule_holds():
    wanted = {"format": {"type": "json_object"}}
    got = await respond(Calls(), "gpt-6-luna", text=wanted)
    assert got.error["param"] == "input"
    assert (await respond(Calls(), "gpt-6-luna", text=wanted, instructions="Answer in JSON.")).status == 200
    assert (await respond(Calls(quirks=Quirks(json_word=False)), "gpt-6-luna", text=wanted)).status == 200
