import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from openai_emulator_calls import PREDICATE, Calls

from penstock.base.clock import SystemClock
from penstock.base.types import Usage
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.openai_models import load_models
from penstock.sandbox.tokens import Tokenizer
from penstock.sandbox.world import Fault, Latency, World
from penstock.vendor.http import Http

LONG = "The parcel came late and nobody answered. " * 300


@pytest.fixture
def openai():
    return Calls()


async def test_a_long_prefix_is_read_from_the_cache_in_steps_of_128(openai):
    async def usage(**rest):
        got = await openai("responses", {"model": "gpt-6-luna", "instructions": LONG, "input": "x", **rest})
        return got.json["usage"]["input_tokens_details"]

    first = await usage()
    assert first["cached_tokens"] == 0
    assert first["cache_write_tokens"] >= 1024
    again = await usage(input="y")
    assert again["cached_tokens"] >= 1024
    assert again["cached_tokens"] % 128 == 0
    assert (await usage(prompt_cache_key="other"))["cached_tokens"] == 0
    openai.clock.advance(3_600)
    assert (await usage())["cached_tokens"] == 0


async def test_older_models_report_no_cache_writes(openai):
    got = await openai("responses", {"model": "gpt-5.4", "input": LONG})
    assert got.json["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}


async def test_short_prompts_are_never_cached(openai):
    for _ in range(2):
        got = await openai.decide("Too slow.")
        assert got.json["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}


async def test_the_tier_that_serves_is_reported(openai):
    for asked, served in ((None, "default"), ("auto", "default"), ("fast", "priority"), ("flex", "flex")):
        body = {"model": "gpt-6-luna", "input": "x", "service_tier": asked}
        assert (await openai("responses", body)).json["service_tier"] == served


async def test_all_paid_work_is_billed_with_its_usage_and_free_work_is_not(openai):
    got = await openai.decide("Too slow.")
    usage = got.json["usage"]
    (bill,) = openai.world.billed
    assert bill.usage == Usage(input=usage["input_tokens"], output=usage["output_tokens"])
    assert (bill.operation, bill.model, bill.client_request_id) == ("decisions", "gpt-6-luna", "call_1")
    await openai("moderations", {"input": "x"})
    await openai("responses/input_tokens", {"model": "gpt-6-luna", "input": "x"})
    await openai("models")
    assert len(openai.world.billed) == 1
    assert openai.world.calls["openai", "decisions", 200] == 1


async def test_latency_is_waited_on_the_worlds_clock(openai):
    openai.world.latency["openai"] = Latency(1.5)
    got = await openai.clock.run(openai.decide("x"))
    assert openai.clock.monotonic() == 1.5
    assert got.headers["openai-processing-ms"] == "1500"


@pytest.mark.parametrize(
    ("fault", "status", "billed"),
    [
        (Fault(kind="status", status=503, code="slow_down", seconds=20), 503, 0),
        (Fault(kind="html"), 502, 0),
        (Fault(kind="lost", status=502), 502, 1),
        (Fault(kind="malformed"), 200, 1),
        (Fault(kind="slow", seconds=30), 200, 1),
        (Fault(kind="hang", seconds=30), 200, 1),
    ],
)
async def test_each_planned_fault_shows_and_bills_as_planned(openai, fault, status, billed):
    openai.world.faults.append(fault)
    got = await openai.clock.run(openai.decide("x"))
    assert got.status == status
    assert len(openai.world.billed) == billed
    if fault.kind == "status":
        assert got.error["code"] == "slow_down"
        assert got.headers["retry-after"] == "20"
    if fault.kind in ("html", "malformed", "lost"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(got.raw)
    if fault.kind in ("slow", "hang"):
        assert openai.clock.monotonic() == 30


@pytest.mark.parametrize(("kind", "billed"), [("drop", 0), ("lost", 1)])
async def test_a_cut_connection_bills_only_work_that_was_done(openai, kind, billed):
    openai.world.faults.append(Fault(kind=kind))
    with pytest.raises(ConnectionResetError):
        await openai.decide("x")
    assert len(openai.world.billed) == billed
    assert openai.world.calls["openai", "decisions", 0] == 1


@pytest.mark.parametrize(
    ("code", "kind"), [("rate_limit_exceeded", "requests"), ("project_spend_limit_exceeded", "insufficient_quota")]
)
async def test_a_planned_429_tells_speed_from_money(openai, code, kind):
    openai.world.faults.append(Fault(status=429, code=code))
    got = await openai.decide("x")
    assert (got.status, got.error["code"], got.error["type"]) == (429, code, kind)


async def test_who_gives_up_while_waiting_has_paid(openai):
    openai.world.latency["openai"] = Latency(60)
    task = asyncio.ensure_future(openai.decide("x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(openai.world.billed) == 1


async def test_the_fast_way_answers_in_the_same_shape(openai):
    fast = Calls(fast=True)
    slow_body, fast_body = (await openai.decide("Late parcel")).json, (await fast.decide("Late parcel")).json
    assert slow_body.keys() == fast_body.keys()
    assert slow_body["usage"].keys() == fast_body["usage"].keys()
    assert [one.keys() for one in slow_body["answers"]] == [one.keys() for one in fast_body["answers"]]
    assert (await fast.decide("x", {"type": "essay"})).status == 400
    assert (await fast("decisions", {"model": "gpt-6-sol", "input": "x", "questions": [PREDICATE]})).status == 400


async def test_the_penstock_client_reaches_it_in_process():
    http = Http(apps={"api.openai.com": build_openai_app(World(SystemClock()))})
    reply = await http.send("GET", "https://api.openai.com/v1/models", headers={"Authorization": "Bearer sk-x"})
    await http.close()
    assert reply.status == 200
    assert "gpt-6-luna" in {model["id"] for model in reply.json()["data"]}


def test_without_ranks_tokens_are_counted_by_characters():
    assert Tokenizer(exact=False).count("x" * 440) == 100
    assert len(Tokenizer(exact=False).blocks("x" * 563 * 3)) == 3


def test_the_facts_about_models_are_those_of_the_contract():
    root = Path(os.environ.get("PENSTOCK_SHARED", Path(__file__).parents[2].parent / "shared"))
    path = root / "contracts/models.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    known = {model.id: model for model in load_models().all}
    sampling = {"always": "yes", "never": "no", "only_when_effort_none": "effort-none"}
    stated = json.loads(path.read_text())["models"]
    assert {one["id"] for one in stated} == known.keys()
    for one in stated:
        model = known[one["id"]]
        assert model.shutdown == one.get("shutdown_date"), model.id
        assert list(model.apis) == one["apis"]
        assert set(model.snapshots) == set(one.get("snapshots", []))
        for name in ("context_window", "max_input_tokens", "max_output_tokens"):
            assert getattr(model, name) == (one.get(name) or 0), (model.id, name)
        if one["kind"] == "chat":
            params = one["params"]
            assert list(model.efforts) == params["reasoning"]["efforts_responses"], model.id
            assert model.default_effort == params["reasoning"]["default_effort"], model.id
            assert model.sampling == sampling[params["sampling_params"]], model.id
            assert model.strict_json == params["structured_outputs_json_schema"], model.id


async def test_the_server_runs_as_a_process_of_its_own():
    flags = ["--port", "0", "--rpm", "1", "--tpm", "0", "--fast"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock.sandbox.server", *flags, stdout=asyncio.subprocess.PIPE
    )
    http = Http()
    try:
        assert b"lexicon" in await process.stdout.readline()
        url = (await process.stdout.readline()).decode().strip().partition("=")[2]
        body = json.dumps({"model": "gpt-6-luna", "input": "x", "questions": [PREDICATE]}).encode()
        headers = {"Authorization": "Bearer sk-x"}
        statuses = [(await http.send("POST", f"{url}/decisions", headers=headers, body=body)).status for _ in range(2)]
        assert statuses == [200, 429]
        account = url.replace("/openai/v1", "/brevo/v3/account")
        assert (await http.send("GET", account, headers={"api-key": "xkeysib-x"})).status == 200
    finally:
        await http.close()
        process.terminate()
        await process.wait()
