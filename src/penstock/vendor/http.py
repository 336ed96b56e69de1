"""One request in, one response or one typed error out, whole or as it comes; no retry and no waiting.

The only module that knows the HTTP client. A sandbox application can stand in for a
host, so that every client runs in process against an emulator.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, ConnectTimeoutError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url

from penstock.base.errors import InputError, UnavailableError
from penstock.vendor.http_app import ASGIApp, Opened, open_app

MAX_REPLY_BYTES = 64 * 1024 * 1024
LONGEST_STREAM = 3600.0
"""Seconds that a streamed answer may take altogether."""


class Reply(msgspec.Struct, frozen=True):
    """A complete answer: status, lower-case headers, body, and the host that answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    host: str

    def json(self) -> Any:
        """Decode the body; raises `UnavailableError` when it is not JSON (a proxy's page, a cut answer)."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise UnavailableError(
                f"{self.host} answered {self.status} with something that is not JSON",
                code="http.not-json",
                hint="A proxy or a wrong base URL often answers like this.",
                status=self.status,
            ) from error


class Incoming:
    """An answer whose body is still coming: status, lower-case headers, and the host that answers."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        host: str,
        read: Callable[[], Awaitable[bytes | None]],
        timeout: float,
    ) -> None:
        self.status = status
        self.headers = headers
        self.host = host
        self._read = read
        self._timeout = timeout
        self._size = 0

    async def read(self) -> bytes | None:
        """Return the next part of the body as soon as it comes, None at the end.

        Raises `UnavailableError` when the connection breaks, when nothing comes within the timeout, and
        when the body is longer than `MAX_REPLY_BYTES`.
        """
        with _explained(self.host, self._timeout):
            async with asyncio.timeout(self._timeout):
                part = await self._read()
        self._size += len(part or b"")
        if self._size > MAX_REPLY_BYTES:
            raise UnavailableError(f"{self.host} sent more than {MAX_REPLY_BYTES:,} bytes", code="http.too-large")
        return part

    async def whole(self) -> Reply:
        """Read the rest and return it as one reply."""
        parts = []
        while (part := await self.read()) is not None:
            parts.append(part)
        return Reply(self.status, self.headers, b"".join(parts), self.host)

    async def finish(self, seconds: float) -> None:
        """Read what is left, so that the connection can be used again; give that up after some seconds."""
        try:
            async with asyncio.timeout(seconds):
                while await self._read() is not None:
                    pass
        except (PyreqwestError, OSError, TimeoutError):
            return


class Http:
    """A pool of connections to vendors; one per process."""

    def __init__(
        self,
        *,
        connect_timeout: float = 10.0,
        apps: Mapping[str, ASGIApp] | None = None,
        pins: Mapping[str, str] | None = None,
    ) -> None:
        """Open the pool.

        `apps` maps a host name to an application that answers for it in process. `pins` maps a host name
        to the one address it is reached at, whatever the name service says later; no proxy is used then.
        """
        self._apps = dict(apps or {})
        builder = (
            ClientBuilder()
            .connect_timeout(timedelta(seconds=connect_timeout))
            .pool_max_idle_per_host(1024)
            .follow_redirects(False)
            .user_agent("penstock")
        )
        for host, address in (pins or {}).items():
            builder = builder.resolve(host, address, 0)  # port 0: the one of the URL
        self._client: Client = (builder.no_proxy() if pins else builder).build()
        self._stand_ins: dict[str, Any] = {}

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        query: list[tuple[str, str]] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        """Send one request and read the whole answer, whatever its status.

        Raises `UnavailableError` when no complete answer came; its `sent` is False when
        the request certainly never reached the host. `timeout` is in seconds.
        """
        host = _host_of(url)
        with _explained(host, timeout):
            builder = self._client.request(method, _parse(url)).headers(headers).timeout(_span(timeout))
            if query:
                builder = builder.query(query)
            if body is not None:
                builder = builder.body_bytes(body)
            if host in self._apps:
                builder = builder.with_middleware(self._stand_in(host))
                async with asyncio.timeout(timeout):  # the pool's own timeout does not cover a stand-in
                    response = await builder.build().send()
            else:
                response = await builder.build().send()
            content = bytes(await response.bytes())
        return Reply(response.status, response.headers, content, host)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, timeout: float = 60.0
    ) -> AsyncIterator[Incoming]:
        """Send one request and yield its answer as soon as it begins, whatever its status.

        Leaving early cuts the connection. Raises as `send` does; `timeout` is in seconds, for the
        beginning of the answer and for every silence in it.
        """
        host = _host_of(url)
        app = self._apps.get(host)
        opening = open_app(app, method, url, headers, body) if app else self._open(method, url, headers, body)
        with _explained(host, timeout):
            async with asyncio.timeout(timeout):
                status, found, read = await opening.__aenter__()
        try:
            yield Incoming(status, found, host, read, timeout)
        finally:
            await opening.__aexit__(None, None, None)

    @asynccontextmanager
    async def _open(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[Opened]:
        builder = self._client.request(method, _parse(url)).headers(headers).timeout(_span(LONGEST_STREAM))
        if body is not None:
            builder = builder.body_bytes(body)
        # Any other limit has the pool collect that many bytes before it hands out the first.
        async with builder.streamed_read_buffer_limit(0).build_streamed() as response:
            reader = response.body_reader

            async def read() -> bytes | None:
                part = await reader.read_chunk()
                return None if part is None else bytes(part)

            yield response.status, response.headers, read

    def _stand_in(self, host: str) -> Any:
        if host not in self._stand_ins:
            from pyreqwest.middleware.asgi import ASGITestMiddleware

            self._stand_ins[host] = ASGITestMiddleware(self._apps[host], timeout=timedelta(seconds=600))
        return self._stand_ins[host]

    async def close(self) -> None:
        """Close the pool."""
        await self._client.close()


@lru_cache(maxsize=256)
def _parse(url: str) -> Url:
    return Url(url)


@lru_cache(maxsize=64)
def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@lru_cache(maxsize=256)
def _host_of(url: str) -> str:
    return urlsplit(url).hostname or url


@contextmanager
def _explained(host: str, timeout: float) -> Iterator[None]:
    """Turn what can go wrong on the way into the typed errors."""
    try:
        yield
    except (ConnectError, ConnectTimeoutError) as error:
        raise _explain_connection(host, error) from error
    except (RequestTimeoutError, TimeoutError) as error:
        raise UnavailableError(f"{host} gave no answer within {timeout:g} s", code="http.timeout") from error
    except ValueError as error:
        raise InputError(f"cannot build a request to {host}: {error}", code="http.bad-request") from error
    except (PyreqwestError, ConnectionError) as error:  # a stand-in cuts with the latter
        raise UnavailableError(f"the connection to {host} broke: {_cause(error)}", code="http.broken") from error


def _explain_connection(host: str, error: BaseException) -> UnavailableError:
    """Tell apart why there is no answer: the name, the certificate, nobody there, or a line cut after sending."""
    said = " ".join(str(one.get("message")) for one in (getattr(error, "details", None) or {}).get("causes") or [])
    if "(SendRequest)" in said:  # the library calls this a connect error too, but the request had left
        return _broken(host, error)
    text = f"cannot connect to {host}: {_cause(error)}"
    if "dns error" in said or "lookup address" in said:
        hint = "Check the host name in the base URL, and the name service of this machine."
        return UnavailableError(text, code="http.dns", hint=hint, sent=False)
    if "certificate" in said:
        hint = "The host shows a certificate that is not trusted here: check the base URL, the clock and the proxy."
        return UnavailableError(text, code="http.tls", hint=hint, sent=False)
    hint = "Check the network, the proxy and the base URL; `penstock doctor` tells which one."
    return UnavailableError(text, code="http.no-connection", hint=hint, sent=False)


def _broken(host: str, error: BaseException) -> UnavailableError:
    return UnavailableError(
        f"the connection to {host} broke: {_cause(error)}",
        code="http.broken",
        hint="Check the network and the proxy; whether the request was handled is not known.",
    )


def _cause(error: BaseException) -> str:
    details = getattr(error, "details", None) or {}
    causes = details.get("causes") or []
    return str(causes[-1].get("message", error)) if causes else str(error)
