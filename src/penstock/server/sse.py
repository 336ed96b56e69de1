"""Server-sent events: each event leaves at once, has an id to resume from, and a quiet stream shows that it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError
from penstock.server.problems import problem_of

QUIET_SECONDS = 15.0
"""After so long without an event a comment is sent, so that a proxy keeps the connection and a dead one is noticed."""
QUIET = b": \n\n"


class Event(msgspec.Struct, frozen=True):
    """One event: JSON data, a name that a page can listen to, and the id that `Last-Event-ID` brings back."""

    data: Any
    id: str = ""
    name: str = ""

    def encode(self) -> bytes:
        """Return the event as it travels; JSON never holds a bare line break."""
        head = f"id: {self.id}\n" if self.id else ""
        head += f"event: {self.name}\n" if self.name else ""
        return b"%sdata: %s\n\n" % (head.encode(), msgspec.json.encode(self.data))


def stream(
    events: AsyncIterator[Event], clock: Clock, until: asyncio.Event, quiet_seconds: float = QUIET_SECONDS
) -> StreamingResponse:
    """Answer with events as they come, until they end or `until` is set.

    An error becomes a last event named `problem`.
    """
    return StreamingResponse(
        _encode(events, clock, until, quiet_seconds),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _encode(
    events: AsyncIterator[Event], clock: Clock, until: asyncio.Event, quiet_seconds: float
) -> AsyncIterator[bytes]:
    end = asyncio.ensure_future(until.wait())
    coming = _next(events)
    quiet = asyncio.ensure_future(clock.sleep(quiet_seconds))
    try:
        while not until.is_set():
            await asyncio.wait((coming, quiet, end), return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                yield coming.result().encode()
                coming = _next(events)
            elif quiet.done():
                yield QUIET
            else:
                return
            quiet.cancel()
            quiet = asyncio.ensure_future(clock.sleep(quiet_seconds))
    except StopAsyncIteration:
        return
    except PenstockError as error:
        yield Event(problem_of(error), name="problem").encode()
    finally:
        for task in (end, coming, quiet):
            task.cancel()
        await asyncio.gather(end, coming, quiet, return_exceptions=True)


def _next(events: AsyncIterator[Event]) -> asyncio.Future[Event]:
    async def step(coming: Awaitable[Event]) -> Event:
        return await coming

    return asyncio.ensure_future(step(anext(events)))
