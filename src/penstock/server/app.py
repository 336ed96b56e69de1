"""The application: every route of a workspace behind one gate, and the loops that work beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import Response

from penstock.base.errors import DefectError, PenstockError
from penstock.brevo_hooks import TYPES, open_hooks
from penstock.deliveries import Deliveries
from penstock.runtime.feedback import Feedback
from penstock.runtime.hooks import Hooks
from penstock.runtime.inbox import Inbox, Message
from penstock.server.api import Api
from penstock.server.auth import Tokens
from penstock.server.brevo_hooks import BrevoDoor
from penstock.server.connections import Connections
from penstock.server.desk import RunDesk
from penstock.server.doors import Call, Door, reply
from penstock.server.events import Events
from penstock.server.feedback import FeedbackDoor
from penstock.server.gate import Gate, Receive, Send
from penstock.server.health import Health
from penstock.server.idempotency import Replies
from penstock.server.metrics import Metrics
from penstock.server.openapi import build_document
from penstock.server.runs import Runs
from penstock.server.webhooks import Webhooks
from penstock.vendor.openai_batches import ENDED
from penstock.vendor.openai_webhooks import read_pointer
from penstock.workspace import Workspace

AGAIN_SECONDS = 5.0
"""After so long a loop that failed begins anew."""
FORGET_SECONDS = 3600.0
"""Between looks for kept answers that are too old."""


class App:
    """One workspace as an ASGI application."""

    def __init__(
        self, workspace: Workspace, *, tokens: Tokens | None, report: Callable[[PenstockError], None] | None = None
    ) -> None:
        """Wire the rooms; without `tokens` everybody who reaches it on this machine may do everything."""
        store, clock = workspace.store, workspace.clock
        self.workspace = workspace
        self.draining = asyncio.Event()
        self.inbox = Inbox(store, clock)
        for outcome in sorted(ENDED):
            self.inbox.register("openai", f"batch.{outcome}", self._hear_of_batch)
        self.brevo = open_hooks(workspace.vendors, store)
        for kind in TYPES:
            self.inbox.register("brevo", kind, self.brevo.handle)
        self.desk = RunDesk(workspace)
        self.deliveries = Deliveries(store, clock, workspace.settings, workspace.vendors)
        self.metrics = Metrics(store, clock)
        self._replies = Replies(store, clock)
        self._stop = asyncio.Event()
        self._report = report or (lambda _: None)
        self.doors = build_doors(self)
        self._gate = Gate(
            self.doors,
            clock=clock,
            tokens=tokens,
            replies=self._replies,
            metrics=self.metrics,
            draining=self.draining,
            folder=str(workspace.folder.resolve()),
            report=self._report,
        )
        self._watch_queues()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or follow the life of the server around it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._gate(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have the loops at work; at the end they finish what they began."""
        works = (self.deliveries.run, self.inbox.run, self._forget_old, self._reconcile)
        loops = [asyncio.create_task(self._keep_at_it(work)) for work in works]
        try:
            yield
        finally:
            self.drain()
            await self.desk.wait()
            self._stop.set()
            await asyncio.gather(*loops)
            await self.deliveries.outbox.mend()

    def drain(self) -> None:
        """Take no new work: streams end, runs end softly, `/readyz` says no."""
        self.draining.set()
        self.desk.stop_all()

    async def _keep_at_it(self, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Run a loop until the service stops; one that fails is reported and begins anew."""
        while not self._stop.is_set():
            try:
                await work(self._stop)
            except PenstockError as error:
                self._report(error)
            except Exception as error:  # noqa: BLE001 - a loop must not end with the first defect
                defect = DefectError(f"{type(error).__name__} in the service's {work.__qualname__}")
                defect.__cause__ = error
                self._report(defect)
            await self._rest(AGAIN_SECONDS)

    async def _forget_old(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._replies.forget_old()
            await self._rest(FORGET_SECONDS)

    async def _reconcile(self, stop: asyncio.Event) -> None:
        """Find what no webhook of Brevo told, for every account that has webhooks here."""
        minutes = float(self.workspace.settings.get("brevo.reconcile-minutes"))
        if minutes:
            await self.brevo.run(stop, minutes * 60, self._report)
        else:
            await stop.wait()

    async def _rest(self, seconds: float) -> None:
        """Wait, or until the service stops."""
        tasks = [asyncio.ensure_future(self._stop.wait()), asyncio.ensure_future(self.workspace.clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _hear_of_batch(self, message: Message) -> None:
        """Have a batch looked at, by whichever process follows it."""
        await self.workspace.batches.hear(read_pointer(message.body))

    def _watch_queues(self) -> None:
        async def runs() -> dict[tuple[str, ...], int]:
            rows = await self.workspace.store.read("count_runs")
            return {(str(state),): int(count) for state, count in rows}

        async def events() -> dict[tuple[str, ...], int]:
            return {(state,): count for state, count in (await self.deliveries.counts()).items()}

        async def messages() -> dict[tuple[str, ...], int]:
            return dict((await self.inbox.counts()).items())

        self.metrics.watch("penstock_events", "Conversion events by state.", ("state",), events)
        self.metrics.watch("penstock_runs", "Runs of flows by state.", ("state",), runs)
        self.metrics.watch(
            "penstock_inbox_messages", "Webhook messages by type and state.", ("type", "state"), messages
        )


def build_app(
    workspace: Workspace, *, tokens: Tokens | None, report: Callable[[PenstockError], None] | None = None
) -> App:
    """Return the application of an open workspace; `report` gets the defects that it met."""
    return App(workspace, tokens=tokens, report=report)


def build_doors(app: App) -> list[Door]:
    """Return every route of the service."""
    workspace = app.workspace
    doors = [
        *Api(workspace).doors(),
        *Runs(workspace, app.desk, app.draining).doors(),
        *Connections(workspace).doors(),
        *Events(app.deliveries, workspace.folder).doors(),
        *Webhooks(app.inbox, workspace.settings, workspace.clock).doors(),
        *BrevoDoor(app.inbox, Hooks(workspace.store, workspace.clock), workspace.settings).doors(),
        *FeedbackDoor(Feedback(workspace.store, workspace.clock), workspace.settings, workspace.clock).doors(),
        *Health(workspace.store, workspace.clock, app.draining).doors(),
        *app.metrics.doors(),
    ]

    async def document(_call: Call) -> Response:
        return reply(build_document(doors))

    doors.append(Door("GET", "/openapi.json", document, "This document.", "work"))
    return doors
