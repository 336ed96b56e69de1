"""Asks a server on this machine, and nothing else: how the sandbox delivers webhooks and fetches pictures."""

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


async def get_from_loopback(url: str, most: int) -> bytes:
    """Return at most `most` bytes of an answer; raises `OSError` for another machine, and for any status but 200."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise OSError(f"the sandbox fetches by http from this machine only, not from {parts.hostname}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            # HTTP 1.0: the body ends where the connection does, and is never sent in chunks
            writer.write(f"GET {path} HTTP/1.0\r\nhost: {parts.netloc}\r\n\r\n".encode("latin-1"))
            await writer.drain()
            words = (await reader.readline()).split()
            while (await reader.readline()).strip():
                pass
            content = bytearray()
            while len(content) < most and (piece := await reader.read(65_536)):
                content += piece
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    if len(words) < 2 or words[1] != b"200":
        raise OSError(f"no answer from {parts.netloc}")
    return bytes(content[:most])
