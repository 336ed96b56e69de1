"""Every row of the contract's table of errors (section 2.7) can be planned, on every endpoint, with its headers."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from openai_emulator_calls import Calls

from penstock.sandbox.limits import Limit
from penstock.sandbox.world import Fault

QUOTA = "insufficient_quota"
BAD = "invalid_request_error"
ROWS = [
    ("unsupported_parameter", 400, "unsupported_parameter", BAD),
    ("unsupported_value", 400, "unsupported_value", BAD),
    ("context_length_exceeded", 400, "context_length_exceeded", BAD),
    ("moderation_blocked", 400, "moderation_blocked", "image_generation_user_error"),
    ("content_policy_violation", 400, "content_policy_violation", BAD),
    ("service_tier", 400, None, BAD),
    ("invalid_api_key", 401, "invalid_api_key", BAD),
    ("not_a_member", 401, None, BAD),
    ("ip_not_authorized", 401, "ip_not_authorized", BAD),
    ("mismatched_organization", 401, "mismatched_organization", BAD),
    ("mismatched_project", 401, "mismatched_project", BAD),
    ("unsupported_country_region_territory", 403, "unsupported_country_region_territory", "request_forbidden"),
    ("insufficient_permissions", 403, None, BAD),
    ("model_not_found", 404, "model_not_found", BAD),
    ("request_timeout", 408, None, "timeout"),
    ("conflict", 409, None, BAD),
    ("request_too_large", 413, "request_too_large", BAD),
    ("unprocessable", 422, None, BAD),
    ("rate_limit_exceeded", 429, "rate_limit_exceeded", "requests"),
    ("tokens_exceeded", 429, "rate_limit_exceeded", "tokens"),
    ("credit_balance_exhausted", 429, "credit_balance_exhausted", QUOTA),
    ("organization_spend_limit_exceeded", 429, "organization_spend_limit_exceeded", QUOTA),
    ("project_spend_limit_exceeded", 429, "project_spend_limit_exceeded", QUOTA),
    ("organization_usage_limit_exceeded", 429, "organization_usage_limit_exceeded", QUOTA),
    ("insufficient_quota", 429, "insufficient_quota", QUOTA),
    ("resource_unavailable", 429, "resource_unavailable", "resource_unavailable"),
    ("server_error", 500, "server_error", "server_error"),
    ("overloaded", 503, "overloaded", "service_unavailable_error"),
    ("slow_down", 503, "slow_down", "service_unavailable_error"),
]
REQUESTS = {
    "responses": {"model": "gpt-6-luna", "input": "x"},
    "chat/completions": {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]},
    "embeddings": {"model": "text-embedding-3-small", "input": "x"},
    "moderations": {"input": "x"},
}


@pytest.fixture
def openai():
    return Calls()


@pytest.mark.parametrize(("name", "status", "code", "kind"), ROWS)
async def test_a_row_is_planned_by_its_code_alone(openai, name, status, code, kind):
    openai.world.faults.append(Fault(code=name))
    for path, body in REQUESTS.items():
        got = await openai(path, body)
        assert (got.status, got.error["code"], got.error["type"]) == (status, code, kind)
        assert got.error.keys() == {"message", "type", "param", "code"}
    assert not openai.world.billed


async def test_the_parameter_of_a_refusal_can_be_named(openai):
    openai.world.faults.append(Fault(code="unsupported_parameter", param="stop"))
    assert (await openai.decide("x")).error["param"] == "stop"
    openai.world.faults[:] = [Fault(code="service_tier")]
    assert (await openai.decide("x")).error["param"] == "service_tier"
    openai.world.faults[:] = [Fault(code="model_not_found", status=403)]
    assert (await openai.decide("x")).status == 403


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        ("both", {"retry-after": "20", "retry-after-ms": "20000"}),
        ("seconds", {"retry-after": "20"}),
        ("ms", {"retry-after-ms": "20000"}),
    ],
)
async def test_the_wait_is_told_in_each_form(openai, retry, expected):
    openai.world.faults.append(Fault(code="rate_limit_exceeded", seconds=20, retry=retry))
    got = await openai.decide("x")
    assert {name: value for name, value in got.headers.items() if name.startswith("retry-after")} == expected


async def test_the_wait_is_told_as_a_date(openai):
    openai.world.faults.append(Fault(code="slow_down", seconds=90, retry="date"))
    got = await openai.decide("x")
    told = parsedate_to_datetime(got.headers["retry-after"])
    assert told - datetime.fromtimestamp(openai.clock.now(), UTC) == told.resolution * 90_000_000


async def test_without_seconds_no_wait_is_told_and_other_headers_are_those_planned(openai):
    openai.world.faults.append(Fault(code="project_spend_limit_exceeded", headers={"X-Should-Retry": "false"}))
    got = await openai.decide("x")
    assert "retry-after" not in got.headers
    assert got.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", REQUESTS)
async def test_limits_are_told_for_the_project_too(path):
    openai = Calls(limit=Limit(rpm=60, tpm=6_000))
    got = await openai(path, REQUESTS[path], openai_project="proj_1")
    for name in ("requests", "tokens"):
        for part in ("limit", "remaining", "reset"):
            own = got.headers[f"x-ratelimit-{part}-{name}"]
            assert got.headers[f"x-ratelimit-{part}-project-{name}"] == own
    other = await openai(path, REQUESTS[path])
    assert not [name for name in other.headers if "project" in name]


async def test_a_stream_has_the_limits_in_its_headers_and_a_refusal_is_no_stream():
    openai = Calls(limit=Limit(rpm=1, tpm=6_000))
    got = await openai("responses", {**REQUESTS["responses"], "stream": True})
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["x-ratelimit-remaining-requests"] == "0"
    assert "content-length" not in got.headers
    refused = await openai("responses", {**REQUESTS["responses"], "stream": True})
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")


async def test_a_slow_stream_sends_each_piece_as_it_comes(openai):
    openai.world.faults.append(Fault(kind="slow", seconds=30))
    got = await openai.clock.run(openai("responses", {**REQUESTS["responses"], "stream": True}))
    assert got.events[-1]["type"] == "response.completed"
    start, *pieces, _end = openai.sent_at
    assert start == 0
    assert len(pieces) == len(got.events)
    assert len(set(pieces)) == len(pieces)
    assert pieces[-1] == pytest.approx(30)


async def test_a_hanging_stream_is_silent_in_the_middle(openai):
    openai.world.faults.append(Fault(kind="hang", seconds=30))
    got = await openai.clock.run(openai("responses", {**REQUESTS["responses"], "stream": True}))
    assert got.events[-1]["type"] == "response.completed"
    assert set(openai.sent_at) == {0, 30}
    assert 2 < openai.sent_at.count(0) < len(got.events)


@pytest.mark.parametrize("path", ["responses", "chat/completions"])
async def test_a_lost_stream_breaks_in_the_middle_and_is_billed(openai, path):
    openai.world.faults.append(Fault(kind="lost"))
    with pytest.raises(ConnectionResetError):
        await openai(path, {**REQUESTS[path], "stream": True})
    assert len(openai.world.billed) == 1


async def test_a_chat_stream_with_an_error_event_has_no_end_mark(openai):
    openai.world.faults.append(Fault(kind="error"))
    got = await openai("chat/completions", {**REQUESTS["chat/completions"], "stream": True})
    assert got.status == 200
    assert got.events[-1]["error"]["code"] == "server_error"
    assert b"[DONE]" not in got.raw
