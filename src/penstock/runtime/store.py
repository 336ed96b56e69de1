"""The database: named queries, numbered migrations, group commit; a SQLite file or PostgreSQL.

Everything that must survive a crash goes through `Store.batch`: callers that wait at the
same time share one transaction and one fsync. What the rows mean belongs to the rooms
that own the handlers (`ledger`, `answers`, `flows`).
"""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from penstock.base.clock import Clock
from penstock.base.errors import DefectError, FixError, PenstockError
from penstock.runtime import dialects
from penstock.runtime.dialects import Connection, Tx

Item = TypeVar("Item")
Made = TypeVar("Made")
Item_contra = TypeVar("Item_contra", contravariant=True)
Made_co = TypeVar("Made_co", covariant=True)
Row = tuple[Any, ...]

BATCH_LIMIT = 4000
"""Items that share one transaction at most."""


class Handler(Protocol[Item_contra, Made_co]):
    """Writes many items inside one transaction and returns one result, or exception, for each."""

    def __call__(self, tx: Tx, items: Sequence[Item_contra], /) -> Sequence[Made_co | PenstockError]: ...


class _Job:
    __slots__ = ("future", "handler", "item", "loop")

    def __init__(self, handler: Any, item: Any, future: asyncio.Future[Any]) -> None:
        self.handler = handler
        self.item = item
        self.future = future
        self.loop = future.get_loop()


class Store:
    """The open database of one process. `session` names this process in everything it writes."""

    def __init__(self, connect: Callable[[], Connection], place: str, clock: Clock, session: str) -> None:
        self._connect = connect
        self.place = place
        self.clock = clock
        self.session = session
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = connect()
        self._reader = connect()
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._thread = threading.Thread(target=self._write_for_ever, name="store-writer", daemon=True)
        self._last_number = 0
        self._origin = int(clock.random() * 1024)

    @classmethod
    async def open(cls, database: Path | str, clock: Clock, command: str = "") -> Store:
        """Open a file or a `postgresql://` URL, bring its schema up to date and start a session.

        Raises `FixError` `store.newer` when a newer Penstock wrote it, and `StoppedError`
        when it cannot be opened (locked, read-only, disk full, no such server).
        """
        connect, place = dialects.connector(database)
        store = await asyncio.to_thread(cls._open, connect, place, clock)
        row = (store.session, socket.gethostname(), os.getpid(), command, clock.now())
        await store.batch(_start_session, row)
        return store

    @classmethod
    def _open(cls, connect: Callable[[], Connection], place: str, clock: Clock) -> Store:
        first = connect()
        try:
            _migrate(first, place)
        finally:
            first.close()
        store = cls(connect, place, clock, clock.new_id("ses"))
        store._begin()
        return store

    def _begin(self) -> None:
        self._reader.hold(self.session)
        self._thread.start()

    def next_number(self) -> int:
        """Return a new row id that grows with time and differs between processes."""
        base = (int(self.clock.now() * 1000) - 1_600_000_000_000) << 22 | self._origin << 12
        self._last_number = max(base, self._last_number + 1)
        return self._last_number

    async def batch(self, handler: Handler[Item, Made], item: Item) -> Made:
        """Write `item` through `handler` in the next shared transaction; returns once it is on disk."""
        future: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(handler, item, future))
        return await future

    async def read(self, name: str, **values: Any) -> list[Row]:
        """Run one named query and return its rows."""
        return await self.look(lambda tx: tx.fetch(name, values))

    async def look(self, work: Callable[[Tx], Made]) -> Made:
        """Run read-only work on the reading connection, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._reads, self._look, work)

    def _look(self, work: Callable[[Tx], Made]) -> Made:
        try:
            with self._reader.reading() as tx:
                return work(tx)
        except self._reader.failures as error:
            raise self._reader.explain(error, self.place) from error

    async def dead_sessions(self) -> list[str]:
        """Return the sessions that were never ended although their process is gone."""
        rows = await self.read("open_sessions")
        others = [row[0] for row in rows if row[0] != self.session]
        return await self.look(lambda _tx: [name for name in others if not self._reader.is_held(name)])

    async def close(self) -> None:
        """End the session, write what is queued and close the connections."""
        if self._thread.is_alive():
            await self.batch(_end_session, (self.session, self.clock.now()))
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
        self._reads.shutdown(wait=True)
        self._reader.close()
        self._writer.close()

    def _write_for_ever(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            jobs, last = [job], False
            while len(jobs) < BATCH_LIMIT:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                jobs.append(more)
            self._commit(jobs)
            if last:
                return

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            results = self._transact(jobs)
        except BaseException as error:  # noqa: BLE001 - each waiting caller gets it
            if len(jobs) == 1:
                results = [self._explain(error)]
            else:  # one bad item must not cost the others: each gets a transaction of its own
                for job in jobs:
                    self._commit([job])
                return
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Any]]] = {}
        for job, result in zip(jobs, results, strict=True):
            by_loop.setdefault(job.loop, []).append((job, result))
        for loop, pairs in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_deliver, pairs)

    def _transact(self, jobs: list[_Job]) -> list[Any]:
        groups: dict[Any, list[int]] = {}
        for index, job in enumerate(jobs):
            groups.setdefault(job.handler, []).append(index)
        results: list[Any] = [None] * len(jobs)
        with self._writer.writing() as tx:
            for handler, indexes in groups.items():
                made = handler(tx, [jobs[index].item for index in indexes])
                for index, result in zip(indexes, made, strict=True):
                    results[index] = result
        return results

    def _explain(self, error: BaseException) -> PenstockError:
        if isinstance(error, PenstockError):
            return error
        if isinstance(error, self._writer.failures):
            return self._writer.explain(error, self.place)
        defect = DefectError(f"{type(error).__name__} while writing to the store: {error}", code="store.defect")
        defect.__cause__ = error
        return defect


def _deliver(pairs: list[tuple[_Job, Any]]) -> None:
    for job, result in pairs:
        if job.future.done():
            continue
        if isinstance(result, BaseException):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)


def _start_session(tx: Tx, items: Sequence[Row]) -> list[None]:
    names = ("id", "host", "pid", "command", "at")
    tx.run_many("start_session", [dict(zip(names, item, strict=True)) for item in items])
    return [None] * len(items)


def _end_session(tx: Tx, items: Sequence[Row]) -> list[None]:
    tx.run_many("end_session", [{"id": session, "at": at} for session, at in items])
    return [None] * len(items)


def _migrations() -> Mapping[int, str]:
    folder = Path(__file__).parent / "migrations"
    return {int(path.name[:4]): path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


def _migrate(connection: Connection, place: str) -> None:
    """Apply what is missing, each step in its own transaction, safe against a second process doing the same."""
    steps = _migrations()
    try:
        connection.prepare()
        for number, text in steps.items():
            with connection.writing() as tx:
                done = tx.version()
                if done > max(steps):
                    raise FixError(
                        f"{place} was written by a newer Penstock (schema {done}, this program knows {max(steps)})",
                        code="store.newer",
                        hint="Upgrade Penstock, or point PENSTOCK_DATABASE_URL at another database.",
                    )
                if number > done:
                    tx.apply(text)
                    tx.set_version(number)
    except connection.failures as error:
        raise connection.explain(error, place) from error
