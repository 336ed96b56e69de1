"""Posts to a server on this machine, and to nowhere else: how the sandbox delivers webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Deliver = Callable[[str, dict[str, str], bytes], Awaitable[int]]
"""Posts a body with headers to a URL and returns the status of the answer; raises `OSError` when there is none."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SECONDS = 10.0


async def post_to_loopback(url: str, headers: dict[str, str], body: bytes) -> int:
    """Return the status of the answer; raises `OSError` for another machine, and when there is no answer."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise OSError(f"the sandbox delivers to http on this machine only, not to {parts.hostname}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = {"host": parts.netloc, **headers, "content-length": str(len(body)), "connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
            await writer.drain()
            first = await reader.readline()
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    words = first.split()
    if len(words) < 2 or not words[1].isdigit():
        raise OSError(f"no answer from {parts.netloc}")
    return int(words[1])
