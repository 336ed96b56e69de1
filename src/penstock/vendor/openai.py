"""A thin client of OpenAI: a call becomes an answer with usage and limits as values, or a typed error.

It never retries and never waits. Error meanings: developers.openai.com guide "Error codes"
(stored copy of November 2026); usage fields: OpenAPI description of 2026-08-21 and SDK 3.51.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.base.errors import (
    AccessError,
    PenstockError,
    QuotaError,
    RejectedError,
    ThrottledError,
    UnavailableError,
)
from penstock.base.redact import redact
from penstock.base.types import Usage
from penstock.vendor.http import Http, Reply

_QUOTA_CODES = {
    "credit_balance_exhausted": "the prepaid credit is used up",
    "organization_spend_limit_exceeded": "the organisation's own monthly spend limit is reached",
    "project_spend_limit_exceeded": "the project's own monthly spend limit is reached",
    "organization_usage_limit_exceeded": "the usage limit that OpenAI set for the organisation is reached",
    "insufficient_quota": "the quota is used up",
    "billing_hard_limit_reached": "the billing limit is reached",
}


class Exchange(msgspec.Struct, frozen=True):
    """One call and what came of it: a decoded body, or the error that the reply means."""

    headers: Mapping[str, str]
    content: Any
    error: PenstockError | None
    usage: Usage
    model: str
    tier: str
    request_id: str


class OpenAI:
    """One named connection to OpenAI or to a server that speaks its API."""

    def __init__(
        self,
        http: Http,
        api_key: str,
        *,
        base_url: str = "https://api.openai.com/v1",
        organization: str | None = None,
        project: str | None = None,
        timeout: float = 120.0,
    ) -> None:
        """Use `api_key` at `base_url`; `timeout` is in seconds."""
        self._http = http
        self._base = base_url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        if organization:
            self._headers["OpenAI-Organization"] = organization
        if project:
            self._headers["OpenAI-Project"] = project
        parts = [self._base, organization or "", project or ""]
        self.account = hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
        """Names who owns the answers: endpoint, organisation and project; a rotated key keeps them."""
        self.quota_account = hashlib.blake2b("\n".join([*parts, api_key]).encode(), digest_size=8).hexdigest()
        """Names who shares a quota."""

    async def post(
        self,
        path: str,
        content: bytes,
        call_id: str,
        timeout: float | None = None,
        *,
        method: str = "POST",
        media_type: str = "application/json",
        is_media: bool = False,
    ) -> Exchange:
        """Send a call; `call_id` travels as `X-Client-Request-Id`, `is_media` says that a good reply is a file or text.

        Raises `UnavailableError` only when no complete answer came; every answer, good or
        bad, is an `Exchange`.
        """
        headers = {**self._headers, "Content-Type": media_type, "X-Client-Request-Id": call_id}
        reply = await self._http.send(
            method, self._base + path, headers=headers, body=content or None, timeout=timeout or self._timeout
        )
        return read_media(reply) if is_media and reply.status < 400 else read_reply(reply)

    async def get(self, path: str) -> Any:
        """Read an object such as `/models`; raises the typed error of a refusal."""
        reply = await self._http.send("GET", self._base + path, headers=self._headers, timeout=self._timeout)
        exchange = read_reply(reply)
        if exchange.error is not None:
            raise exchange.error
        return exchange.content


def read_reply(reply: Reply) -> Exchange:
    """Turn a reply into an exchange; a 200 that is not JSON is an `UnavailableError` inside it."""
    headers = reply.headers
    request_id = headers.get("x-request-id") or ""
    try:
        content = reply.json()
    except UnavailableError as error:
        meaning = error if reply.status < 400 else _explain(reply, {}, request_id)
        return Exchange(headers, None, meaning, Usage(), "", "", request_id)
    if reply.status >= 400 or not isinstance(content, dict):
        details = content.get("error") if isinstance(content, dict) else None
        failure = _explain(reply, details if isinstance(details, dict) else {}, request_id)
        return Exchange(headers, content, failure, Usage(), "", "", request_id)
    return Exchange(
        headers,
        content,
        _explain_failed_response(content, reply.host, request_id),
        read_usage(content.get("usage")),
        str(content.get("model") or ""),
        str(content.get("service_tier") or "default"),
        request_id,
    )


def read_media(reply: Reply) -> Exchange:
    """Turn a good reply that is a file or plain text into an exchange; JSON among them is read as such."""
    media_type = (reply.headers.get("content-type") or "application/octet-stream").partition(";")[0].strip().lower()
    if media_type.endswith("json"):
        return read_reply(reply)
    if media_type.startswith("text/") or media_type.endswith("srt"):
        content = {"media_type": media_type, "text": reply.body.decode("utf-8", "replace")}
    else:
        content = {"media_type": media_type, "base64": base64.b64encode(reply.body).decode("ascii")}
    return Exchange(reply.headers, content, None, Usage(), "", "default", reply.headers.get("x-request-id") or "")


def _explain_failed_response(content: Mapping[str, Any], host: str, request_id: str) -> PenstockError | None:
    """Return the error inside a 200: a response object that failed on the vendor's side may succeed when repeated."""
    details = content.get("error")
    if content.get("status") != "failed" or not isinstance(details, dict):
        return None
    code = str(details.get("code") or "")
    if code not in ("server_error", "rate_limit_exceeded", "vector_store_timeout"):
        return None  # final for this input: the operation that reads the answer says so
    said = redact(str(details.get("message") or code))
    return UnavailableError(
        f"{host} gave up on the answer: {said}",
        code="openai.failed-response",
        where=host,
        status=200,
        request_id=request_id,
    )


def read_usage(usage: Any) -> Usage:
    """Read the usage object of any endpoint; missing parts are zero."""
    if not isinstance(usage, dict):
        return Usage()
    taken = usage.get("input_tokens", usage.get("prompt_tokens", 0)) or 0
    given = usage.get("output_tokens", usage.get("completion_tokens", 0)) or 0
    details = usage.get("input_tokens_details") or usage.get("prompt_tokens_details") or usage.get("input_token_details")
    more = usage.get("output_tokens_details") or usage.get("completion_tokens_details")
    details, more = details if isinstance(details, dict) else {}, more if isinstance(more, dict) else {}
    return Usage(
        int(taken),
        int(details.get("cached_tokens") or 0),
        int(details.get("cache_write_tokens") or 0),
        int(given),
        int(more.get("reasoning_tokens") or 0),
        seconds=float(usage.get("seconds") or 0.0),
        image_input=int(details.get("image_tokens") or 0),
        image_output=int(more.get("image_tokens") or 0),
        audio_input=int(details.get("audio_tokens") or 0),
        audio_output=int(more.get("audio_tokens") or 0),
    )


def _explain(reply: Reply, details: Mapping[str, Any], request_id: str) -> PenstockError:
    status = reply.status
    code = str(details.get("code") or "")
    kind = str(details.get("type") or "")
    said = redact(str(details.get("message") or "")) or "no message"
    known: dict[str, Any] = {"where": reply.host, "detail": said, "status": status, "request_id": request_id}
    if status == 429:
        return _explain_429(code, kind, said, reply, known)
    if status == 401:
        return AccessError(
            f"{reply.host} refused the key ({code or status}): {said}",
            code="openai.key-refused",
            hint="Check OPENAI_API_KEY, organisation, project and IP allow-list; `penstock doctor` tells which.",
            where=reply.host,
        )
    if status == 403:
        return AccessError(
            f"{reply.host} does not allow this ({code or status}): {said}",
            code="openai.not-allowed",
            hint="The key lacks a permission, the model is not granted, or the country is not supported.",
            where=reply.host,
        )
    if status == 503 and ("slow down" in said.lower() or code == "slow_down"):
        return ThrottledError(
            f"{reply.host} asks to slow down", code="openai.slow-down", retry_after=read_wait(reply.headers), **known
        )
    if status in (408, 409) or status >= 500:
        return UnavailableError(
            f"{reply.host} failed with {status}: {said}",
            code="openai.unavailable",
            retry_after=read_wait(reply.headers),
            **known,
        )
    return _explain_rejection(status, code, said, details, known)


def _explain_429(code: str, kind: str, said: str, reply: Reply, known: dict[str, Any]) -> PenstockError:
    for name in (code, kind):
        if name in _QUOTA_CODES and code != "rate_limit_exceeded":
            return QuotaError(f"{reply.host}: {_QUOTA_CODES[name]}", code="openai.quota-exhausted", **known)
    return ThrottledError(
        f"{reply.host} refused: too fast ({said})",
        code="openai.no-capacity" if code == "resource_unavailable" else "openai.throttled",
        retry_after=read_wait(reply.headers),
        **known,
    )


def _explain_rejection(
    status: int, code: str, said: str, details: Mapping[str, Any], known: dict[str, Any]
) -> RejectedError:
    hint = "Change the input or the parameters named in the message."
    name = "openai.rejected"
    if status == 404 and code == "model_not_found":
        name = "openai.model-not-found"
        hint = "Check its name; `penstock doctor` tells what is known of the model that is set."
    elif status == 404:
        name, hint = "openai.endpoint-missing", "This server has no such endpoint; check the base URL."
    elif code == "context_length_exceeded":
        name, hint = "openai.too-long", "Shorten the text or use a model with a longer context."
    elif code in ("unsupported_parameter", "unsupported_value"):
        name, hint = f"openai.{code.replace('_', '-')}", f"The model does not take {details.get('param')!r} like this."
    return RejectedError(
        f"{known['where']} rejected the request ({code or status}): {said}",
        code=name,
        hint=hint,
        param=str(details.get("param") or ""),
        **known,
    )


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a refusal asks to wait: milliseconds header first, then `Retry-After`."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value:
            try:
                return max(float(value) * unit, 0.0)
            except ValueError:
                continue
    return None
