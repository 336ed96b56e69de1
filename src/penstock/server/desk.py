"""Flow runs that this service started: their progress as events, stopped softly, waited for when the service ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.errors import PenstockError, StoppedError
from penstock.flows.engine import Report, Run
from penstock.flows.state import list_runs
from penstock.runtime.progress import Progress, Snapshot
from penstock.server.sse import Event
from penstock.workspace import Workspace

EVENTS_KEPT = 500
"""Events of a run that a reader who comes back can be given again."""
LOOK_SECONDS = 0.005
"""Between looks whether a run that begins is in the store, where everybody else finds it."""
RUNS_KEPT = 50
"""Ended runs whose events are kept in memory; of older ones the end is known from the store."""


class Feed:
    """The events of one run, numbered; many readers follow it, each from where it was."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._count = 0
        self._change = asyncio.Event()
        self.is_ended = False

    def put(self, data: Any, name: str = "progress") -> None:
        """Add an event and wake the readers."""
        self._count += 1
        self._events.append(Event(data, f"{self._name}-{self._count}", name))
        self._wake()

    def end(self) -> None:
        """Say that nothing more will come."""
        self.is_ended = True
        self._wake()

    def _wake(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def follow(self, last: str = "") -> AsyncIterator[Event]:
        """Yield what came after the event `last`, then what comes; an unknown `last` gives everything that is held."""
        after = self._number(last)
        while True:
            change = self._change
            waiting = list(self._events)[max(0, after - (self._count - len(self._events))) :]
            after = self._count
            for event in waiting:
                yield event
            if not change.is_set():  # nothing came meanwhile
                if self.is_ended:
                    return
                await change.wait()

    def _number(self, id: str) -> int:
        name, _, number = id.rpartition("-")
        return int(number) if name == self._name and number.isdecimal() else 0


class _Live:
    """A run under way in this process."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.feed: Feed | None = None
        self.started: asyncio.Future[str] = asyncio.get_running_loop().create_future()


class RunDesk:
    """Starts, stops and follows the runs of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._live: dict[str, _Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = False

    async def start(self, flow: Path, *, budget: float | None, apply_schema: bool, by: str | None = None) -> str:
        """Begin a run, or go on with the flow's unfinished one; returns its id once it is under way.

        Raises what keeps it from beginning.
        """
        return await self._begin(
            lambda listen, started: self._workspace.run(
                flow, budget=budget, by=by, apply_schema=apply_schema, listen=listen, started=started
            )
        )

    async def retry(self, run: str, *, budget: float | None) -> str:
        """Try the failed records of a run again; returns the id of the new run."""
        return await self._begin(
            lambda listen, started: self._workspace.retry(run, budget=budget, listen=listen, started=started)
        )

    async def _begin(
        self,
        work: Callable[[Callable[[Progress], None], Callable[[Run], None]], Awaitable[Report]],
    ) -> str:
        live = _Live()

        def listen(progress: Progress) -> None:
            live.feed = Feed(f"{self._workspace.store.session}-{progress.run}")
            progress.every = 0.5
            progress.listen(lambda snapshot: live.feed.put(_shown(snapshot)) if live.feed else None)

        def started(run: Run) -> None:
            live.run = run
            self._live[run.id] = live
            if self._is_draining:
                run.stop(_draining())
            if not live.started.done():
                live.started.set_result(run.id)

        task = asyncio.create_task(self._follow(live, work(listen, started)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        run = await asyncio.shield(live.started)
        while not task.done() and not await list_runs(self._workspace.store, run=run, limit=1):
            await self._workspace.clock.sleep(LOOK_SECONDS)
        return run

    async def _follow(self, live: _Live, work: Awaitable[Report]) -> None:
        try:
            await work
        except PenstockError as error:
            if not live.started.done():
                live.started.set_exception(error)
        except Exception as error:
            if not live.started.done():
                live.started.set_exception(error)
                return
            raise
        finally:
            live.run = None
            if live.feed is not None:
                live.feed.end()
            if not live.started.done():
                live.started.cancel()
            self._forget_old()

    def _forget_old(self) -> None:
        ended = [id_ for id_, live in self._live.items() if live.run is None]
        for id_ in ended[: max(0, len(ended) - RUNS_KEPT)]:
            del self._live[id_]

    def feed(self, run: str) -> Feed | None:
        """Return the events of a run that this process works on or did until lately."""
        live = self._live.get(run)
        return live.feed if live else None

    def stop(self, run: str) -> bool:
        """End a run softly; False when this process is not at it."""
        live = self._live.get(run)
        if live is None or live.run is None:
            return False
        live.run.stop(
            StoppedError("the run was stopped", code="run.interrupted", hint="Run the same flow again to go on.")
        )
        return True

    def counts(self) -> int:
        """Return how many runs are under way here."""
        return sum(live.run is not None for live in self._live.values())

    def stop_all(self) -> None:
        """End every run softly, and those that begin from now on."""
        self._is_draining = True
        for live in self._live.values():
            if live.run is not None:
                live.run.stop(_draining())

    async def wait(self) -> None:
        """Return when no run is under way any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _draining() -> StoppedError:
    return StoppedError("the service is stopping", code="run.interrupted", hint="Run the same flow again to go on.")


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.structs.asdict(snapshot)
    return values
