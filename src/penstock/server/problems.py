"""Turns every error into problem details (RFC 9457): status from the error's kind, never a stack, never a secret."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.responses import Response

from penstock.base.errors import AccessError, PenstockError, VendorError
from penstock.base.redact import redact

STATUSES = {
    "request.not-found": 404,
    "request.method": 405,
    "request.too-slow": 408,
    "request.too-large": 413,
    "request.media-type": 415,
    "request.encoding": 415,
    "request.not-json": 400,
    "request.busy": 429,
    "request.foreign-page": 403,
    "token.missing": 401,
    "token.unknown": 401,
    "token.not-allowed": 403,
    "idempotency.in-progress": 409,
    "service.draining": 503,
    "webhook.unsigned": 400,
    "webhook.too-old": 400,
    "webhook.too-new": 400,
    "webhook.bad-signature": 400,
    "webhook.not-an-event": 400,
    "webhook.not-kept": 429,
    "webhook.bad-token": 400,
    "feedback.unsigned": 400,
    "feedback.bad-signature": 400,
    "feedback.too-old": 400,
    "operation.unknown": 404,
    "flow.unknown": 404,
    "run.unknown": 404,
    "run.already-running": 409,
    "event.unknown": 404,
    "events.queue-full": 429,
    "settings.missing": 503,
    "store.full": 503,
    "store.locked": 503,
    "store.unusable": 503,
    "store.unreachable": 503,
    "store.closed": 503,
}
"""Where the code says more than the kind of error; everything else has the status of its kind."""

WAITS = {"request.busy": 1, "events.queue-full": 5, "webhook.not-kept": 30, "idempotency.in-progress": 1}
"""Seconds until another try, where the error itself does not know."""
LATER = 10


def status_of(error: PenstockError) -> int:
    """Return the HTTP status of an error; 401 means the caller's own token, a key that a vendor refused is 403."""
    found = STATUSES.get(error.code)
    if found is None:
        found = 403 if isinstance(error, AccessError) else type(error).http_status
    return found


def problem_of(error: PenstockError, request_id: str = "", folder: str = "") -> dict[str, Any]:
    """Return the problem details; the path of the workspace is left out of every text."""

    def clean(text: str) -> str:
        return redact(text.replace(f"{folder}/", "") if folder else text)

    problem = {
        "type": f"urn:penstock:error:{error.code}",
        "title": (type(error).__doc__ or "").strip().partition("\n")[0],
        "status": status_of(error),
        "detail": clean(error.message),
        "code": error.code,
        "hint": clean(error.hint),
        "where": clean(error.where),
        "request_id": request_id,
    }
    if isinstance(error, VendorError) and error.request_id:
        problem["vendor_request_id"] = error.request_id
    return problem


def problem_response(
    error: PenstockError, request_id: str = "", folder: str = "", *, asks_again: bool = False
) -> Response:
    """Return the answer to a request that failed, with Retry-After where another try can help.

    With `asks_again` what is our own fault is 429: Brevo discards after 5xx and after every other 4xx
    (developers.brevo.com, retry-mechanism, 2026).
    """
    problem = problem_of(error, request_id, folder)
    if asks_again and (problem["status"] >= 500 or problem["status"] == 408):
        problem["status"] = 429
    headers = {}
    wait = _wait_seconds(error, problem["status"])
    if wait is not None:
        headers["Retry-After"] = str(wait)
    if problem["status"] == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="penstock"'
    return Response(
        msgspec.json.encode(problem),
        status_code=problem["status"],
        headers=headers,
        media_type="application/problem+json",
    )


def _wait_seconds(error: PenstockError, status: int) -> int | None:
    stated = error.retry_after if isinstance(error, VendorError) else None
    if stated is not None:
        return max(1, math.ceil(stated))
    if error.code in WAITS:
        return WAITS[error.code]
    return LATER if status in (429, 503) else None
