"""The Model Context Protocol over HTTP: behind the tokens of the service, ended softly."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send

from penstock.base.errors import AccessError
from penstock.server.auth import Tokens, check_allowed
from penstock.server.doors import UPLOAD_LIMIT
from penstock.server.mcp import Tools, build_server
from penstock.server.problems import problem_response


class McpApp:
    """Tools as an ASGI application under `/mcp`; without `tokens` everybody on this machine may call them."""

    def __init__(self, tools: Tools, tokens: Tokens | None, host: str) -> None:
        self._app: Any = build_server(tools).streamable_http_app(host=host, max_request_body_size=UPLOAD_LIMIT)
        self._tokens = tokens
        self._draining = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check who asks, then answer; open streams without a call under way end when the server does."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._check(scope)
        except AccessError as error:
            await problem_response(error, "", "")(scope, receive, send)
            return
        if scope["method"] == "GET":
            await self._stream(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def drain(self) -> None:
        """End the streams that only wait."""
        self._draining.set()

    async def _check(self, scope: Scope) -> None:
        if self._tokens is None:
            return
        headers = dict(scope["headers"])
        token = await self._tokens.recognise(headers.get(b"authorization", b"").decode("latin-1"))
        check_allowed(token, "work")

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = asyncio.ensure_future(self._app(scope, receive, send))
        end = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait((stream, end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stream, end):
                task.cancel()
            await asyncio.gather(stream, end, return_exceptions=True)
