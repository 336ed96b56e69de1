"""A thin client of OpenAI: a call becomes an answer with usage and limits as values, or a typed error.

It never retries and never waits. What a bad answer means stands in `openai_errors`. Usage fields:
OpenAPI description of 2026-08-21 and SDK 3.51.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from penstock.base.errors import PenstockError, UnavailableError
from penstock.base.types import Usage
from penstock.vendor.deployments import Deployments
from penstock.vendor.http import Http, Incoming, Reply
from penstock.vendor.openai_errors import explain, explain_failed_response
from penstock.vendor.openai_speech import join_speech

KeyMaker = Callable[[], Awaitable[str]]
"""Returns a key that is valid now."""

_REGIONS = frozenset(["us", "eu", "ae", "au", "in", "jp"])


class Exchange(msgspec.Struct, frozen=True):
    """One call and what came of it: a decoded body, or the error that the reply means."""

    headers: Mapping[str, str]
    content: Any
    error: PenstockError | None
    usage: Usage
    model: str
    tier: str
    request_id: str
    raw: bytes = b""
    """The body as it came, where `content` is just what it says."""


class OpenAI:
    """One named connection to OpenAI, Azure or a server that speaks the same API."""

    def __init__(
        self,
        http: Http,
        api_key: str | KeyMaker,
        *,
        base_url: str = "https://api.openai.com/v1",
        organization: str | None = None,
        project: str | None = None,
        timeout: float = 120.0,
        name: str = "openai",
        key_header: Literal["bearer", "api-key"] = "bearer",
        deployments: Deployments | None = None,
    ) -> None:
        """Use `api_key`, or what it returns before each call, at `base_url`; `timeout` is in seconds.

        An empty key sends none. `key_header` is how the key travels.
        """
        self._http = http
        self._base = base_url.rstrip("/")
        self._timeout = timeout
        self._key = api_key
        self._key_header = key_header
        self._deployments = deployments or Deployments()
        self._headers = {"Content-Type": "application/json"}
        if organization:
            self._headers["OpenAI-Organization"] = organization
        if project:
            self._headers["OpenAI-Project"] = project
        self.host = urlsplit(self._base).hostname or self._base
        self.is_regional = _is_regional(self.host)
        """Whether calls are processed in one region, which costs more."""
        parts = [self._base, organization or "", project or "", *([name] if name != "openai" else [])]
        self.account = hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
        """Names who owns the answers: endpoint, organisation, project, connection; a rotated key keeps them."""
        parts.append(api_key if isinstance(api_key, str) else "")
        self.quota_account = hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
        """Names who shares a quota."""

    async def _prepare(self, path: str, content: bytes = b"") -> tuple[str, bytes, dict[str, str]]:
        """Return URL, body and headers of a call: where the endpoint wants the model, and a key that holds now."""
        path, content = self._deployments.place(path, content)
        key = self._key if isinstance(self._key, str) else await self._key()
        if not key:
            return self._base + path, content, dict(self._headers)
        sign = {"api-key": key} if self._key_header == "api-key" else {"Authorization": f"Bearer {key}"}
        return self._base + path, content, {**self._headers, **sign}

    async def post(
        self,
        path: str,
        content: bytes,
        call_id: str,
        timeout: float = 0.0,
        *,
        method: str = "POST",
        media_type: str = "application/json",
        read: Callable[[Reply], Exchange] | None = None,
    ) -> Exchange:
        """Send a call; `call_id` travels as `X-Client-Request-Id`, `read` reads a good reply that is no plain JSON.

        The connection's own timeout holds, or `timeout` (seconds) where that is longer.
        Raises `UnavailableError` only when no complete answer came; every answer, good or
        bad, is an `Exchange`.
        """
        url, content, headers = await self._prepare(path, content)
        headers |= {"Content-Type": media_type, "X-Client-Request-Id": call_id}
        patience = max(timeout, self._timeout)
        reply = await self._http.send(method, url, headers=headers, body=content or None, timeout=patience)
        return (read if read and reply.status < 300 else read_reply)(reply)

    @asynccontextmanager
    async def stream(
        self, path: str, content: bytes, call_id: str, timeout: float | None = None
    ) -> AsyncIterator[Incoming]:
        """Send a call and yield its answer as soon as it begins, to be read by `openai_stream.hear`."""
        url, content, headers = await self._prepare(path, content)
        headers |= {"Accept": "text/event-stream", "X-Client-Request-Id": call_id}
        async with self._http.stream(
            "POST", url, headers=headers, body=content, timeout=timeout or self._timeout
        ) as incoming:
            yield incoming

    async def get(self, path: str) -> Any:
        """Read an object such as `/models`; raises the typed error of a refusal."""
        exchange = await self.look(path)
        if exchange.error is not None:
            raise exchange.error
        return exchange.content

    async def look(self, path: str) -> Exchange:
        """Read an object with its headers; a refusal is the exchange's error."""
        url, _, headers = await self._prepare(path)
        return read_reply(await self._http.send("GET", url, headers=headers, timeout=self._timeout))

    async def fetch(self, path: str, *, timeout: float | None = None) -> bytes:
        """Read a file as it is; raises the typed error of a refusal. `timeout` is in seconds."""
        url, _, headers = await self._prepare(path)
        reply = await self._http.send("GET", url, headers=headers, timeout=timeout or self._timeout)
        if reply.status >= 300:
            exchange = read_reply(reply)
            raise exchange.error or UnavailableError(f"{reply.host} sent no file", code="openai.wrong-shape")
        return reply.body


def _is_regional(host: str) -> bool:
    """Tell a regional host by its prefix (SDK 3.52, November 2026)."""
    prefix, dot, rest = host.partition(".api.openai.com")
    return bool(dot) and not rest and not _REGIONS.isdisjoint(prefix.split("."))


def read_reply(reply: Reply) -> Exchange:
    """Turn a reply into an exchange; a 200 that is not JSON is an `UnavailableError` inside it."""
    headers = reply.headers
    request_id = headers.get("x-request-id") or ""
    try:
        content = reply.json()
    except UnavailableError as error:
        meaning = error if reply.status < 300 else explain(reply, None, request_id)
        return Exchange(headers, None, meaning, Usage(), "", "", request_id)
    if reply.status >= 300 or not isinstance(content, dict):
        failure = explain(reply, [] if content is None else content, request_id)  # JSON's null is JSON
        return Exchange(headers, content, failure, Usage(), "", "", request_id)
    return read_content(content, headers, reply.host, reply.body)


def read_content(content: dict[str, Any], headers: Mapping[str, str], host: str, raw: bytes = b"") -> Exchange:
    """Turn the object that a good reply holds into an exchange; a response that failed has its error in it."""
    request_id = headers.get("x-request-id") or ""
    return Exchange(
        headers,
        content,
        explain_failed_response(content, host, request_id),
        read_usage(content.get("usage")),
        str(content.get("model") or ""),
        str(content.get("service_tier") or "default"),
        request_id,
        raw,
    )


def read_media(reply: Reply) -> Exchange:
    """Turn a good reply that is a file or plain text into an exchange; JSON among them is read as such."""
    media_type = (reply.headers.get("content-type") or "application/octet-stream").partition(";")[0].strip().lower()
    if media_type.endswith("json"):
        return read_reply(reply)
    request_id = reply.headers.get("x-request-id") or ""
    if media_type == "text/event-stream":
        try:
            sound, used = join_speech(reply.body, reply.host)
        except UnavailableError as error:
            return Exchange(reply.headers, None, error, Usage(), "", "", request_id)
        said = {"media_type": "application/octet-stream", "base64": base64.b64encode(sound).decode("ascii")}
        return Exchange(reply.headers, said, None, read_usage(used), "", "default", request_id)
    if media_type.startswith("text/") or media_type.endswith("srt"):
        content = {"media_type": media_type, "text": reply.body.decode("utf-8", "replace")}
    else:
        content = {"media_type": media_type, "base64": base64.b64encode(reply.body).decode("ascii")}
    return Exchange(reply.headers, content, None, Usage(), "", "default", request_id)


def read_usage(usage: Any) -> Usage:
    """Read the usage object of any endpoint; missing parts are zero."""
    if not isinstance(usage, dict):
        return Usage()
    taken = usage.get("input_tokens", usage.get("prompt_tokens", 0)) or 0
    given = usage.get("output_tokens", usage.get("completion_tokens", 0)) or 0
    names = "input_tokens_details", "prompt_tokens_details", "input_token_details"
    details = next((usage[name] for name in names if usage.get(name)), None)
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
