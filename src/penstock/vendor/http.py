"""One request in, one response or one typed error out; no retry and no waiting.

The only module that knows the HTTP client. A sandbox application can stand in for a
host, so that every client runs in process against an emulator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, ConnectTimeoutError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url

from penstock.base.errors import InputError, UnavailableError

ASGIApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]

MAX_REPLY_BYTES = 64 * 1024 * 1024


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
        try:
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
        except (ConnectError, ConnectTimeoutError) as error:
            raise _explain_connection(host, error) from error
        except (RequestTimeoutError, TimeoutError) as error:
            raise UnavailableError(
                f"{host} gave no answer within {timeout:g} s",
                code="http.timeout",
                hint="Look whether the host is well; a longer timeout of the connection helps slow models.",
            ) from error
        except ValueError as error:
            raise InputError(f"cannot build a request to {host}: {error}", code="http.bad-request") from error
        except (PyreqwestError, ConnectionError) as error:  # a stand-in cuts with the latter
            raise _broken(host, error) from error
        return Reply(response.status, response.headers, content, host)

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
