"""An answer that is read as it comes: nothing held back, and every way in which it can end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from penstock.base.errors import InputError, UnavailableError
from penstock.sandbox.openai_routes import EVENTS
from penstock.vendor.http import Http

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nx-request-id: r1\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve(talk: Talk) -> AsyncIterator[str]:
    """Serve on loopback; `talk` writes the answer once the request's head was read."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            ended.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await ended.wait()


async def write(writer: asyncio.StreamWriter, text: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(text), text))
    await writer.drain()


@asynccontextmanager
async def open_http(**named: object) -> AsyncIterator[Http]:
    http = Http(**named)  # type: ignore[arg-type]
    try:
        yield http
    finally:
        await http.close()


async def test_each_part_is_handed_on_before_the_next_one_is_sent() -> None:
    taken = asyncio.Event()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for number in range(3):
            await write(writer, b"data: %d\n\n" % number)
            await taken.wait()  # a client that collects never gets here
            taken.clear()
        writer.write(b"0\r\n\r\n")

    async with serve(talk) as url, open_http() as http, http.stream("GET", url, headers={}) as incoming:
        assert (incoming.status, incoming.headers.get("x-request-id"), incoming.host) == (200, "r1", "127.0.0.1")
        for number in range(3):
            assert await incoming.read() == b"data: %d\n\n" % number
            taken.set()
        assert await incoming.read() is None


async def test_headers_are_there_before_any_part() -> None:
    known = asyncio.Event()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await known.wait()
        await write(writer, b"data: 1\n\n")
        writer.write(b"0\r\n\r\n")

    async with serve(talk) as url, open_http() as http, http.stream("GET", url, headers={}) as incoming:
        known.set()
        assert (await incoming.whole()).body == b"data: 1\n\n"


async def test_leaving_early_hangs_up() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await write(writer, b"data: 1\n\n")
        assert await reader.read() == b""  # until the client has gone

    async with serve(talk) as url, open_http() as http, http.stream("GET", url, headers={}) as incoming:
        await incoming.read()


async def test_an_answer_that_is_cut_is_a_broken_connection() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await write(writer, b"data: 1\n\n")

    async with serve(talk) as url, open_http() as http, http.stream("GET", url, headers={}) as incoming:
        with pytest.raises(UnavailableError) as caught:
            await incoming.whole()
    assert (caught.value.code, caught.value.sent) == ("http.broken", True)


async def test_silence_is_a_timeout_before_and_in_the_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await writer.drain()
        await reader.read()

    async with serve(talk) as url, open_http() as http:
        with pytest.raises(UnavailableError) as caught:
            async with http.stream("GET", url, headers={}, timeout=0.05) as incoming:
                await incoming.read()
    assert (caught.value.code, caught.value.sent) == ("http.timeout", True)


async def test_a_host_that_nobody_answers_at_was_never_reached() -> None:
    async with open_http() as http:
        with pytest.raises(UnavailableError) as caught:
            async with http.stream("GET", "http://127.0.0.1:1/", headers={}):
                pass
    assert (caught.value.code, caught.value.sent) == ("http.no-connection", False)


async def test_what_is_raised_while_reading_is_raised_as_it_is() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await writer.drain()
        await reader.read()

    async with serve(talk) as url, open_http() as http:
        with pytest.raises(ValueError, match="mine"):
            async with http.stream("GET", url, headers={}):
                raise ValueError("mine")


async def test_a_request_that_cannot_be_built_says_so() -> None:
    async with open_http() as http:
        with pytest.raises(InputError):
            async with http.stream("GET", "http://127.0.0.1:99999999/", headers={}):
                pass


async def test_an_application_in_process_is_read_part_by_part_too() -> None:
    seen = []

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        seen.append((scope["method"], scope["path"], (await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        for number in range(5):
            seen.append(number)
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": number < 4})

    async with (
        open_http(apps={"emulated": app}) as http,
        http.stream("POST", "http://emulated/a%20b?c=1", headers={}, body=b"{}") as incoming,
    ):
        assert await incoming.read() == b"0"
        assert 4 not in seen  # it waits until its parts are taken
        assert (await incoming.whole()).body == b"1234"
    assert seen[0] == ("POST", "/a b", b"{}")


async def test_an_application_that_fails_or_ends_too_early_breaks_the_connection() -> None:
    async def fails(_scope, _receive, send):  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ConnectionResetError("cut")

    async def ends(_scope, _receive, send):  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    for app in (fails, ends):
        async with open_http(apps={"emulated": app}) as http:
            async with http.stream("GET", "http://emulated/", headers={}) as incoming:
                with pytest.raises(UnavailableError) as caught:
                    await incoming.read()
            assert caught.value.code == "http.broken"


async def test_an_application_ends_its_work_when_the_reader_leaves() -> None:
    ended = asyncio.Event()

    async def app(_scope, _receive, send):  # type: ignore[no-untyped-def]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"more", "more_body": True})
        finally:
            ended.set()

    async with (
        open_http(apps={"emulated": app}) as http,
        http.stream("GET", "http://emulated/", headers={}) as incoming,
    ):
        await incoming.read()
    assert ended.is_set()
