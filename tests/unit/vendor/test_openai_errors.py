"""What the answers of OpenAI, Azure, gateways and compatible servers mean: the table of the vendor's error page."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import (
    AccessError,
    PenstockError,
    QuotaError,
    RejectedError,
    SettingsError,
    ThrottledError,
    UnavailableError,
    VendorError,
)
from penstock.vendor.http import Reply
from penstock.vendor.openai import read_reply

HOST = "gateway.example"


def answered(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Reply(status, {"x-request-id": "req_1", **(headers or {})}, raw, HOST)


def meaning(status: int, body: Any, headers: dict[str, str] | None = None) -> PenstockError:
    error = read_reply(answered(status, body, headers)).error
    assert error is not None
    return error


def envelope(
    code: Any = None, message: str = "It failed.", kind: str = "invalid_request_error", param: Any = None
) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


QUOTA = "insufficient_quota"
NO_IP = "Your IP is not on the allow-list."
NO_ORG = "No such organization: org-1."
NO_PROJECT = "OpenAI-Project header should match project for API key"
ROWS = [
    (400, envelope("unsupported_parameter", param="max_tokens"), RejectedError, "openai.unsupported-parameter"),
    (400, envelope("unsupported_value", param="temperature"), RejectedError, "openai.unsupported-value"),
    (400, envelope("context_length_exceeded"), RejectedError, "openai.too-long"),
    (400, envelope("moderation_blocked"), RejectedError, "openai.blocked"),
    (400, envelope("content_policy_violation"), RejectedError, "openai.blocked"),
    (400, envelope("content_filter"), RejectedError, "openai.blocked"),
    (400, envelope(param="service_tier"), RejectedError, "openai.tier-not-allowed"),
    (400, envelope(), RejectedError, "openai.rejected"),
    (401, envelope("invalid_api_key", "Incorrect API key provided."), AccessError, "openai.key-refused"),
    (401, envelope("invalid_api_key", "Look at your organization and project."), AccessError, "openai.key-refused"),
    (401, envelope(None, "Missing bearer"), AccessError, "openai.key-refused"),
    (401, envelope(None, "You must be a member of an organization"), AccessError, "openai.wrong-organization"),
    (401, envelope("mismatched_organization", "It differs."), AccessError, "openai.wrong-organization"),
    (401, envelope("invalid_organization", NO_ORG), AccessError, "openai.wrong-organization"),
    (401, envelope("mismatched_project", NO_PROJECT), AccessError, "openai.wrong-project"),
    (401, envelope("ip_not_authorized", NO_IP), AccessError, "openai.ip-not-allowed"),
    (401, envelope(None, NO_IP), AccessError, "openai.ip-not-allowed"),
    (401, b"", AccessError, "openai.key-refused"),
    (403, envelope("unsupported_country_region_territory"), AccessError, "openai.country"),
    (403, envelope(None, "You have insufficient permissions: missing scopes"), AccessError, "openai.not-allowed"),
    (403, envelope("model_not_found", "Project p does not have access to x"), RejectedError, "openai.model-not-found"),
    (403, b"<html>Forbidden</html>", AccessError, "openai.gateway"),
    (404, envelope("model_not_found"), RejectedError, "openai.model-not-found"),
    (404, envelope(None, "model 'llama' not found, try pulling it first"), RejectedError, "openai.model-not-found"),
    (404, envelope("DeploymentNotFound"), RejectedError, "openai.deployment-missing"),
    (404, envelope(None, "Invalid URL (POST /v1/decisions)"), RejectedError, "openai.endpoint-missing"),
    (404, envelope(None, "No response found with id 'resp_1'."), RejectedError, "openai.not-found"),
    (404, envelope(None, "No such File object: file-1", param="id"), RejectedError, "openai.not-found"),
    (404, {"detail": "Not Found"}, RejectedError, "openai.endpoint-missing"),
    (404, b"<html>404</html>", RejectedError, "openai.endpoint-missing"),
    (405, envelope("method_not_allowed"), RejectedError, "openai.endpoint-missing"),
    (408, envelope(), UnavailableError, "openai.unavailable"),
    (409, envelope(), UnavailableError, "openai.unavailable"),
    (413, envelope(), RejectedError, "openai.too-large"),
    (413, b"<html>too large</html>", RejectedError, "openai.too-large"),
    (422, envelope(), RejectedError, "openai.not-processable"),
    (429, envelope("rate_limit_exceeded", kind="tokens"), ThrottledError, "openai.throttled"),
    (429, envelope("rate_limit_exceeded", kind=QUOTA), ThrottledError, "openai.throttled"),
    (429, envelope("credit_balance_exhausted", kind=QUOTA), QuotaError, "openai.credit-exhausted"),
    (429, envelope("organization_spend_limit_exceeded", kind=QUOTA), QuotaError, "openai.organization-spend-limit"),
    (429, envelope("project_spend_limit_exceeded", kind=QUOTA), QuotaError, "openai.project-spend-limit"),
    (429, envelope("organization_usage_limit_exceeded", kind=QUOTA), QuotaError, "openai.usage-limit"),
    (429, envelope("insufficient_quota", kind=QUOTA), QuotaError, "openai.quota-exhausted"),
    (429, envelope(None, kind=QUOTA), QuotaError, "openai.quota-exhausted"),
    (400, envelope("billing_hard_limit_reached"), QuotaError, "openai.quota-exhausted"),
    (429, envelope("resource_unavailable"), ThrottledError, "openai.no-capacity"),
    (429, envelope(None, "Resource unavailable for the flex tier"), ThrottledError, "openai.no-capacity"),
    (429, b"slow down please", ThrottledError, "openai.throttled"),
    (500, envelope("server_error", kind="server_error"), UnavailableError, "openai.unavailable"),
    (502, b"<html>Bad gateway</html>", UnavailableError, "openai.unavailable"),
    (503, envelope(None, "The engine is currently overloaded"), UnavailableError, "openai.unavailable"),
    (503, envelope(None, "Slow down: your traffic rose too fast"), ThrottledError, "openai.slow-down"),
    (503, envelope("slow_down"), ThrottledError, "openai.slow-down"),
    (301, b"", SettingsError, "openai.redirected"),
    (200, [1, 2], UnavailableError, "openai.wrong-shape"),
    (200, "hello", UnavailableError, "openai.wrong-shape"),
    (200, b"null", UnavailableError, "openai.wrong-shape"),
    (200, b"<html>hello</html>", UnavailableError, "http.not-json"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "code"), ROWS)
def test_every_row_of_the_error_table_has_its_class_code_host_and_remedy(
    status: int, body: Any, kind: type[PenstockError], code: str
) -> None:
    error = meaning(status, body)
    assert (type(error), error.code) == (kind, code)
    assert HOST in error.message
    assert error.hint
    if isinstance(error, VendorError) and status >= 400:
        assert (error.status, error.request_id) == (status, "req_1")


def test_the_five_kinds_of_429_have_five_codes_and_five_remedies() -> None:
    kinds = [
        meaning(429, envelope("rate_limit_exceeded", kind="requests")),
        meaning(429, envelope("credit_balance_exhausted", kind=QUOTA)),
        meaning(429, envelope("project_spend_limit_exceeded", kind=QUOTA)),
        meaning(429, envelope("organization_usage_limit_exceeded", kind=QUOTA)),
        meaning(429, envelope("resource_unavailable")),
    ]
    assert len({error.code for error in kinds}) == len({error.hint for error in kinds}) == 5
    assert [error.recovery for error in kinds] == ["retry", "stop", "stop", "stop", "retry"]


def test_the_parameter_that_is_refused_is_kept_with_the_error() -> None:
    error = meaning(400, envelope("unsupported_parameter", param="max_tokens"))
    assert isinstance(error, RejectedError)
    assert error.param == "max_tokens"
    assert "max_tokens" in error.hint


@pytest.mark.parametrize(
    ("status", "body", "param"),
    [
        (400, {"error": "response_format.type: json_schema is not supported"}, "response_format.type"),
        (400, {"object": "error", "message": "body.store: extra fields not permitted", "code": 400}, "store"),
        (400, {"error": "Unexpected role developer"}, "messages.role"),
        (400, {"error": {"message": "Unrecognized request argument supplied: seed", "code": None}}, "seed"),
        (400, {"error": {"message": "Unsupported parameter: 'max_completion_tokens'."}}, "max_completion_tokens"),
        (
            422,
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "stop"],
                        "msg": "Extra inputs are not permitted",
                        "input": "secret",
                    }
                ]
            },
            "stop",
        ),
    ],
)
def test_a_refused_parameter_is_understood_without_openais_codes(status: int, body: Any, param: str) -> None:
    error = meaning(status, body)
    assert isinstance(error, RejectedError)
    assert error.code in ("openai.unsupported-parameter", "openai.unsupported-value")
    assert error.param == param
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "body",
    [
        {"error": "model overloaded"},
        {"error": {"message": "bad", "code": 400, "type": None}},
        {"error": {"message": ["bad"], "code": {"x": 1}}},
        {"error": {}},
        {"error": []},
        {"object": "error", "message": "bad", "code": 40001},
        {"detail": [{"loc": ["body"], "msg": "bad", "input": "secret text"}]},
        [],
        "bad",
        7,
        b"null",
        b"",
        b"<html><title>400</title></html>",
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503])
def test_no_body_of_a_gateway_breaks_the_reading_or_is_quoted_whole(body: Any, status: int) -> None:
    error = meaning(status, body)
    assert HOST in error.message
    assert "secret text" not in error.message + error.detail
    assert "<html>" not in error.message


@given(
    status=st.integers(300, 599),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "param", "detail"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    ),
)
def test_any_bad_answer_becomes_a_typed_error_that_names_the_host(status: int, body: Any) -> None:
    error = meaning(status, body)
    assert type(error) in (AccessError, QuotaError, RejectedError, SettingsError, ThrottledError, UnavailableError)
    assert HOST in error.message


def test_keys_and_addresses_in_a_vendors_message_are_not_shown() -> None:
    said = "Incorrect API key provided: sk-proj-abcdefgh12345678 for ann@example.com"
    error = meaning(401, envelope("invalid_api_key", said))
    assert "abcdefgh" not in error.message + error.detail
    assert "ann@" not in error.message + error.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "3", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_refusal_keeps_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    error = meaning(429, envelope("rate_limit_exceeded"), headers)
    assert isinstance(error, ThrottledError)
    assert error.retry_after == seconds


def test_a_redirect_names_where_it_leads_and_is_not_followed() -> None:
    error = meaning(307, b"", {"location": "https://elsewhere.example/v1/responses?key=1"})
    assert "elsewhere.example" in error.message
    assert "key=1" not in error.message
