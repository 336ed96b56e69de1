"""Batches of the emulated OpenAI: their life by the clock, their files, and every way in which they go wrong."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_desk import Desk, write_lines

from penstock.sandbox.limits import Limit
from penstock.sandbox.openai_batch_files import check_input
from penstock.sandbox.openai_models import load_models
from penstock.sandbox.world import Fault, Latency

DAY = 86_400
HELLO = {"model": "gpt-6-luna", "input": "Hello", "reasoning": {"effort": "none"}}
RESPONSES = "/v1/responses"


def texts(count):
    return write_lines(*({"input": f"Text {at}"} for at in range(count)))


def responses(count):
    return write_lines(*({**HELLO, "input": f"Text {at}"} for at in range(count)), url=RESPONSES)


async def test_a_batch_lives_by_the_clock_and_shows_its_progress():
    desk = Desk()
    desk.world.latency["openai.batches"] = Latency(mean=100.0)
    identity = await desk.start_batch(texts(10))
    seen = []
    for wait in (0, 10, 40, 40, 10):
        batch = await desk.batch(identity, after=wait)
        seen.append((batch["status"], batch["request_counts"]["completed"]))
    assert seen == [("validating", 0), ("in_progress", 0), ("in_progress", 5), ("finalizing", 10), ("completed", 10)]
    assert batch["completed_at"] - batch["created_at"] == 100
    assert batch["expires_at"] - batch["created_at"] == DAY
    assert batch["failed_at"] is None
    assert len(await desk.lines(batch["output_file_id"])) == 10


async def test_a_batch_is_done_also_when_nobody_asked_meanwhile():
    desk = Desk()
    batch = await desk.batch(await desk.start_batch(responses(5), RESPONSES), after=DAY)
    assert (batch["status"], batch["model"]) == ("completed", "gpt-6-luna")
    assert batch["usage"]["total_tokens"] == sum(
        row["response"]["body"]["usage"]["total_tokens"] for row in (await desk.lines(batch["output_file_id"])).values()
    )
    assert desk.world.billed_calls == {"batch.responses": 5}
    assert {one.client_request_id for one in desk.world.billed} == {f"row-{at}" for at in range(5)}


async def test_equal_worlds_shuffle_alike_and_answer_as_the_live_endpoint_does():
    orders = []
    for _ in range(2):
        desk = Desk()
        batch = await desk.batch(await desk.start_batch(texts(30)), after=DAY)
        rows = await desk.lines(batch["output_file_id"])
        orders.append(list(rows))
    assert orders[0] == orders[1] != sorted(orders[0], key=lambda name: int(name[4:]))
    live = (await desk.post("moderations", input="Text 7")).json["results"]
    assert rows["row-7"]["response"]["body"]["results"] == live


@pytest.mark.parametrize(
    ("row", "code", "param"),
    [
        ('{"custom_id": "a"', "invalid_json_line", None),
        ("[]", "invalid_json_line", None),
        ('{"custom_id": 7}', "invalid_json_line", None),
        ('{"custom_id": "", "method": "POST"}', "missing_required_parameter", "custom_id"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/moderations"}', "missing_required_parameter", "body"),
        (
            '{"custom_id": "row-0", "method": "POST", "url": "/v1/moderations", "body": {}}',
            "duplicate_custom_id",
            "custom_id",
        ),
        ('{"custom_id": "a", "method": "GET", "url": "/v1/moderations", "body": {}}', "invalid_method", "method"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {}}', "invalid_url", "url"),
        (
            '{"custom_id": "a", "method": "POST", "url": "/v1/moderations", "body": {"model": "gpt-6-luna"}}',
            "mismatched_model",
            "body.model",
        ),
    ],
)
async def test_validation_names_the_line_and_the_reason(row, code, param):
    desk = Desk()
    batch = await desk.batch(await desk.start_batch(texts(1) + b"\n" + row.encode() + b"\n"), after=1)
    assert batch["status"] == "failed"
    (fault,) = batch["errors"]["data"]
    assert (fault["code"], fault["param"], fault["line"]) == (code, param, 3)
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)


@pytest.mark.parametrize(
    ("content", "endpoint", "code"),
    [
        (b"\n\n", "/v1/moderations", "empty_file"),
        (b"{}\n" * 50_001, "/v1/moderations", "too_many_tasks"),
        (write_lines({"model": "gpt-4", "input": "x"}, url=RESPONSES), RESPONSES, "model_not_found"),
        (
            write_lines({"model": "gpt-image-2.5-flare", "prompt": "x"}, url="/v1/images/generations"),
            "/v1/images/generations",
            "model_not_found",
        ),
        (
            write_lines(*[{"model": "text-embedding-3-small", "input": ["x"] * 2_000}] * 26, url="/v1/embeddings"),
            "/v1/embeddings",
            "too_many_inputs",
        ),
    ],
)
async def test_a_file_beyond_the_limits_fails_as_a_whole(content, endpoint, code):
    desk = Desk()
    batch = await desk.batch(await desk.start_batch(content, endpoint), after=DAY // 2)
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", code)


def test_a_file_above_200_megabytes_is_not_read():
    checked = check_input(b" " * 200_000_001, RESPONSES, load_models(), 0.0)
    assert checked.faults[0]["code"] == "file_too_large"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input_file_id": "file-x"}, "id"),
        ({"endpoint": "/v1/decisions"}, "endpoint"),
        ({"endpoint": "/v1/videos"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"completion_window": None}, "completion_window"),
        ({"metadata": "x"}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds"),
        ({"service_tier": "flex"}, "service_tier"),
    ],
)
async def test_a_batch_that_cannot_be_is_refused(body, param):
    desk = Desk()
    usual = {"input_file_id": await desk.upload(texts(1)), "endpoint": "/v1/moderations", "completion_window": "24h"}
    got = await desk.post("batches", **{**usual, **body})
    assert (got.status, got.error["param"]) == (404 if param == "id" else 400, param)


async def test_only_files_for_batches_make_a_batch():
    desk = Desk()
    stored = await desk.upload(texts(1), "user_data")
    body = {"input_file_id": stored, "endpoint": "/v1/moderations", "completion_window": "24h"}
    assert (await desk.post("batches", **body)).error["param"] == "input_file_id"


async def test_creations_are_limited_per_hour():
    desk = Desk()
    stored = await desk.upload(texts(1))
    body = {"input_file_id": stored, "endpoint": "/v1/moderations", "completion_window": "24h"}
    statuses = [(await desk.post("batches", **body)).status for _ in range(2_001)]
    assert statuses == [200] * 2_000 + [429]
    desk.clock.advance(3_600)
    assert (await desk.post("batches", **body)).status == 200


async def test_queued_tokens_have_a_pool_of_their_own():
    content = responses(4)
    tokens = sum(len(json.dumps(json.loads(row)["body"])) // 4 for row in content.splitlines())
    desk = Desk(limit=Limit(rpm=1, batch_tokens=tokens))
    first = await desk.start_batch(content, RESPONSES)
    second = await desk.start_batch(content, RESPONSES)
    failed = await desk.batch(second, after=2)
    assert (failed["status"], failed["errors"]["data"][0]["code"]) == ("failed", "token_limit_exceeded")
    assert (await desk.batch(first, after=60))["status"] == "completed"
    third = await desk.batch(await desk.start_batch(content, RESPONSES), after=60)
    assert (third["status"], third["request_counts"]["completed"]) == ("completed", 4)


async def test_a_slow_batch_expires_with_what_is_done():
    desk = Desk(faults=[Fault(operation="batches.run", kind="slow", seconds=2 * DAY)])
    identity = await desk.start_batch(texts(10))
    batch = await desk.batch(identity, after=DAY)
    assert batch["status"] == "expired"
    assert batch["request_counts"] == {"total": 10, "completed": 4, "failed": 6}
    rows = await desk.lines(batch["error_file_id"])
    assert {row["error"]["code"] for row in rows.values()} == {"batch_expired"}
    done = await desk.lines(batch["output_file_id"])
    assert {*rows, *done} == {f"row-{at}" for at in range(10)}
    assert len(done) == 4


async def test_a_batch_that_hangs_expires_with_nothing():
    desk = Desk(faults=[Fault(operation="batches.run", kind="hang")])
    batch = await desk.batch(await desk.start_batch(texts(3)), after=DAY)
    assert (batch["status"], batch["output_file_id"], batch["request_counts"]["failed"]) == ("expired", None, 3)


async def test_a_batch_may_fail_on_their_side():
    desk = Desk(faults=[Fault(operation="batches.run", kind="status", code="server_error")])
    batch = await desk.batch(await desk.start_batch(texts(3)), after=60)
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "server_error")


async def test_single_lines_fail_by_plan():
    faults = [
        Fault(operation="batches.line", kind="status", status=500, code="server_error", times=2),
        Fault(operation="batches.line", kind="drop", times=1),
    ]
    desk = Desk(faults=faults)
    batch = await desk.batch(await desk.start_batch(responses(5), RESPONSES), after=60)
    assert batch["request_counts"] == {"total": 5, "completed": 2, "failed": 3}
    rows = list((await desk.lines(batch["error_file_id"])).values())
    assert [(row["response"] or {}).get("status_code") for row in rows] == [500, 500, None]
    assert desk.world.billed_calls["batch.responses"] == 2


@pytest.mark.parametrize("extra", [{"stream": True}, {"service_tier": "flex"}, {"background": True}])
async def test_what_only_a_live_call_can_have_fails_its_line(extra):
    desk = Desk()
    batch = await desk.batch(
        await desk.start_batch(write_lines({**HELLO, **extra}, url=RESPONSES), RESPONSES), after=60
    )
    row = (await desk.lines(batch["error_file_id"]))["row-0"]
    assert row["response"]["body"]["error"]["param"] == next(iter(extra))
    assert (batch["status"], batch["output_file_id"]) == ("completed", None)


async def test_a_cancelled_batch_hands_over_what_is_done():
    desk = Desk()
    desk.world.latency["openai.batches"] = Latency(mean=1_000.0)
    identity = await desk.start_batch(texts(10))
    await desk.batch(identity, after=500)
    assert (await desk.call("POST", f"batches/{identity}/cancel")).json["status"] == "cancelling"
    assert (await desk.batch(identity, after=99))["status"] == "cancelling"
    batch = await desk.batch(identity, after=1)
    assert (batch["status"], batch["request_counts"]) == ("cancelled", {"total": 10, "completed": 5, "failed": 5})
    assert (await desk.call("POST", f"batches/{identity}/cancel")).status == 409
    assert (await desk.batch(identity, after=DAY))["status"] == "cancelled"


RANKS = ["validating", "in_progress", "finalizing", "cancelling", "completed", "expired", "cancelled", "failed"]
FAULTS = [
    Fault(operation="batches.run", kind="slow", seconds=DAY),
    Fault(operation="batches.line", kind="status", status=500, rate=0.5),
    Fault(operation="batches.line", kind="drop", times=2),
]


@given(
    count=st.integers(1, 12),
    faults=st.lists(st.sampled_from(FAULTS), max_size=2),
    steps=st.lists(st.one_of(st.just("cancel"), st.floats(0, 2 * DAY)), max_size=6),
)
def test_whatever_happens_each_line_ends_once_and_the_counts_agree(count, faults, steps):
    async def live():
        desk = Desk(faults=list(faults))
        desk.world.latency["openai.batches"] = Latency(mean=5_000.0)
        identity = await desk.start_batch(texts(count))
        seen = [await desk.batch(identity)]
        for step in steps:
            if step == "cancel":
                await desk.call("POST", f"batches/{identity}/cancel")
            seen.append(await desk.batch(identity, after=0.0 if step == "cancel" else step))
        seen.append(await desk.batch(identity, after=3 * DAY))
        return seen, [await desk.lines(seen[-1][f"{name}_file_id"]) for name in ("output", "error")]

    seen, (output, errors) = asyncio.run(live())
    ranks = [RANKS.index(batch["status"]) for batch in seen]
    assert ranks == sorted(ranks)
    last = seen[-1]
    # A batch that was cancelled before it was read knows no lines.
    if last["status"] != "cancelled" or last["request_counts"]["total"]:
        assert sorted([*output, *errors]) == sorted(f"row-{at}" for at in range(count))
    assert last["request_counts"] == {
        "total": len(output) + len(errors),
        "completed": len(output),
        "failed": len(errors),
    }
    assert last["created_at"] <= last[f"{last['status']}_at"] <= seen[0]["expires_at"] + 600


async def test_output_expires_when_it_was_asked_to():
    desk = Desk()
    policy = {"anchor": "created_at", "seconds": 3_600}
    batch = await desk.batch(await desk.start_batch(texts(1), output_expires_after=policy), after=60)
    assert (await desk.get(f"files/{batch['output_file_id']}")).status == 200
    desk.clock.advance(3_600)
    assert (await desk.get(f"files/{batch['output_file_id']}")).status == 404


async def test_batches_are_listed_newest_first_and_unknown_ones_are_not_found():
    desk = Desk()
    made = [await desk.start_batch(texts(1)) for _ in range(3)]
    assert [one["id"] for one in (await desk.get("batches", limit=2)).json["data"]] == made[:0:-1]
    assert (await desk.get("batches/batch_x")).status == 404
