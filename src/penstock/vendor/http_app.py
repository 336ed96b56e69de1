"""A web application that answers in process, its body handed on piece by piece as it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

ASGIApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
Opened = tuple[int, Mapping[str, str], Callable[[], Awaitable[bytes | None]]]
"""Status, lower-case headers, and what returns the next part of the body, None at its end."""


@asynccontextmanager
async def open_app(
    app: ASGIApp, method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> AsyncIterator[Opened]:
    """Send a request to an application and yield its answer as soon as it begins; leaving early ends its work.

    The application waits with each part until the one before was taken. What it raises is raised here.
    """
    sent: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue(maxsize=1)
    waiting = [{"type": "http.request", "body": body or b"", "more_body": False}]
    is_ended = False

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        return await asyncio.Future()  # a reader who leaves ends the work: there is nothing else to hear

    async def work() -> None:
        try:
            await app(_scope(method, url, headers), receive, sent.put)
            await sent.put(ConnectionResetError("the application ended its answer too early"))
        except Exception as error:  # noqa: BLE001 - whatever an application raises is its answer
            await sent.put(error)

    async def take() -> dict[str, Any]:
        message = await sent.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def read() -> bytes | None:
        nonlocal is_ended
        while not is_ended:
            message = await take()
            is_ended = not message.get("more_body", False)
            if part := bytes(message.get("body", b"")):
                return part
        return None

    task = asyncio.create_task(work())
    try:
        start = await take()
        yield start["status"], {bytes(name).decode(): bytes(value).decode() for name, value in start["headers"]}, read
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _scope(method: str, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": parts.query.encode(),
        "headers": [
            (b"host", (parts.hostname or "").encode()),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ],
    }
