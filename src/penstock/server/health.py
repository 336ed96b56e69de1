"""Whether the process lives, and whether it can take work: the store can be written and it is not stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.responses import Response

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store
from penstock.server.doors import Call, Door, reply

FRESH_SECONDS = 1.0
"""Nobody can make the store write more often than this by asking."""


class Health:
    """The two addresses that an orchestrator asks; they need no token and tell nothing but yes or no."""

    def __init__(self, store: Store, clock: Clock, draining: asyncio.Event) -> None:
        self._store = store
        self._clock = clock
        self._draining = draining
        self._looked_at = float("-inf")
        self._problem: str | None = None
        self._looking = asyncio.Lock()

    def doors(self) -> list[Door]:
        """Return the routes."""
        schema = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
        return [
            Door("GET", "/healthz", self._live, "Whether the process answers.", None, reply=schema,
                 works_while_draining=True),
            Door("GET", "/readyz", self._ready, "Whether requests can be taken.", None, reply=schema,
                 works_while_draining=True),
        ]  # fmt: skip

    async def _live(self, _call: Call) -> Response:
        return reply({"status": "ok"})

    async def _ready(self, _call: Call) -> Response:
        if self._draining.is_set():
            return reply({"status": "draining"}, 503)
        problem = await self._look()
        if problem is not None:
            return reply({"status": problem}, 503, {"Retry-After": "5"})
        return reply({"status": "ok"})

    async def _look(self) -> str | None:
        """Write to the store, at most once a second; returns the code of what is wrong."""
        async with self._looking:
            if self._clock.monotonic() - self._looked_at >= FRESH_SECONDS:
                self._problem = await self._try()
                self._looked_at = self._clock.monotonic()
        return self._problem

    async def _try(self) -> str | None:
        try:
            await self._store.batch(_touch, self._store.session)
        except PenstockError as error:
            return error.code
        return None


def _touch(tx: Tx, items: Sequence[str]) -> list[None]:
    tx.run("touch_session", {"id": items[0]})
    return [None] * len(items)
