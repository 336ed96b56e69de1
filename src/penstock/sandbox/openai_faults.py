"""Planned faults of the emulated OpenAI: each row of the contract's table of errors by its code, and broken streams."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, NamedTuple

import msgspec

from penstock.sandbox.limits import Headers
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Done
from penstock.sandbox.openai_streams import frame
from penstock.sandbox.world import Fault


class _Known(NamedTuple):
    status: int
    kind: str
    text: str
    param: str | None = None


_BAD = "invalid_request_error"
_KNOWN = {
    "unsupported_parameter": _Known(400, _BAD, "Unsupported parameter.", "max_tokens"),
    "unsupported_value": _Known(400, _BAD, "Unsupported value: only the default is supported.", "temperature"),
    "context_length_exceeded": _Known(400, _BAD, "The input exceeds the context window of this model.", "input"),
    "moderation_blocked": _Known(400, "image_generation_user_error", "The request was rejected by the safety system."),
    "content_policy_violation": _Known(400, _BAD, "The request was rejected by the safety system."),
    "service_tier": _Known(400, _BAD, "This service tier is not available to the project.", "service_tier"),
    "invalid_api_key": _Known(401, _BAD, "Incorrect API key provided."),
    "not_a_member": _Known(401, _BAD, "You must be a member of an organization to use the API."),
    "ip_not_authorized": _Known(401, _BAD, "Your IP address is not on the allow-list of this project."),
    "mismatched_organization": _Known(401, _BAD, "The organization does not match the API key."),
    "mismatched_project": _Known(401, _BAD, "The project does not match the API key."),
    "unsupported_country_region_territory": _Known(403, "request_forbidden", "Country or region is not supported."),
    "insufficient_permissions": _Known(403, _BAD, "You have insufficient permissions for this operation."),
    "model_not_found": _Known(404, _BAD, "The model does not exist or you do not have access to it."),
    "request_timeout": _Known(408, "timeout", "The request timed out."),
    "conflict": _Known(409, _BAD, "The object was changed by another request."),
    "request_too_large": _Known(413, _BAD, "The request body is too large."),
    "unprocessable": _Known(422, _BAD, "The request is well-formed but could not be processed."),
    "rate_limit_exceeded": _Known(429, "requests", "Rate limit reached: requests per min (RPM)."),
    "tokens_exceeded": _Known(429, "tokens", "Rate limit reached: tokens per min (TPM)."),
    "credit_balance_exhausted": _Known(429, "insufficient_quota", "You have no credit left."),
    "organization_spend_limit_exceeded": _Known(
        429, "insufficient_quota", "The organization's spend limit is reached."
    ),
    "project_spend_limit_exceeded": _Known(429, "insufficient_quota", "The project's spend limit is reached."),
    "organization_usage_limit_exceeded": _Known(
        429, "insufficient_quota", "The organization's usage limit is reached."
    ),
    "insufficient_quota": _Known(429, "insufficient_quota", "You exceeded your current quota."),
    "resource_unavailable": _Known(429, "resource_unavailable", "No flex capacity now; you were not charged."),
    "server_error": _Known(500, "server_error", "The server had an error while processing your request."),
    "overloaded": _Known(503, "service_unavailable_error", "The engine is currently overloaded."),
    "slow_down": _Known(503, "service_unavailable_error", "Slow down: your traffic rose too fast."),
}
_WITHOUT_CODE = frozenset(
    ["service_tier", "not_a_member", "insufficient_permissions", "request_timeout", "conflict", "unprocessable"]
)
"""Names of rows that answer without a code; they are known by status, `param` or words."""
_AS_RATE_LIMIT = "tokens_exceeded"
_USUAL = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 500: "server_error"}


def as_error(fault: Fault) -> ApiError:
    """Return the refusal that a fault of the kind `status` plans; the code alone is enough to name a row."""
    known = _KNOWN.get(fault.code or "")
    status = fault.status or (known.status if known else 500)
    code = fault.code or _USUAL.get(status)
    known = known or _KNOWN.get(code or "") or _Known(status, "server_error" if status >= 500 else _BAD, "Failed.")
    code = None if code in _WITHOUT_CODE else "rate_limit_exceeded" if code == _AS_RATE_LIMIT else code
    text = f"{known.text} (Planned fault of the sandbox: {fault.code or status}.)"
    return ApiError(status, text, code=code, kind=known.kind, param=fault.param or known.param)


def fault_headers(fault: Fault, now: float) -> Headers:
    """Return when to come back, as the fault's `retry` says it, and the headers that it names."""
    headers: Headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
    if fault.seconds <= 0:
        return headers
    if fault.retry in ("both", "seconds"):
        headers.append((b"retry-after", b"%d" % max(1, round(fault.seconds))))
    if fault.retry in ("both", "ms"):
        headers.append((b"retry-after-ms", b"%d" % round(fault.seconds * 1000)))
    if fault.retry == "date":
        date = datetime.fromtimestamp(now + fault.seconds, UTC)
        headers.append((b"retry-after", format_datetime(date, usegmt=True).encode()))
    return headers


def spoil_stream(done: Done, kind: str, operation: str) -> Done:
    """Return a stream that ends in the middle (`cut`, `lost`), with an `error` event, or with a `malformed` one."""
    half = max(1, len(done.pieces) // 2)
    kept, rest = done.pieces[:half], done.pieces[half:]
    if kind == "error":
        words = {"code": "server_error", "message": "The stream broke: planned fault of the sandbox.", "param": None}
        if operation == "responses":
            rest = (frame({"type": "error", "sequence_number": half, **words}, "error"),)
        else:
            rest = (frame({"error": {**words, "type": "server_error"}}),)
    elif kind == "malformed":
        rest = (b'data: {"id": \n\n', *rest)
    else:
        rest = ()
    return done._replace(pieces=(*kept, *rest))


def spoil_body(done: Done, kind: str, operation: str) -> Done:
    """Return a whole answer that is cut in half, or with `error` a response that failed."""
    if kind != "error":
        return done._replace(content=done.content[: len(done.content) // 2])
    if operation != "responses":
        raise as_error(Fault(code="server_error"))
    body: dict[str, Any] = msgspec.json.decode(done.content)
    body |= {"status": "failed", "output": [], "completed_at": None, "incomplete_details": None}
    body["error"] = {"code": "server_error", "message": "The response failed: planned fault of the sandbox."}
    return done._replace(content=msgspec.json.encode(body))
