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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from penstock.base.clock import Clock
from penstock.base.errors import DefectError, FixError, InputError, PenstockError, StoppedError
from penstock.base.redact import redact
from penstock.runtime.dialects import LOST, Connection, Tx
from penstock.runtime.sqlite_dialect import SqliteConnection

Item = TypeVar("Item")
Made = TypeVar("Made")
Item_contra = TypeVar("Item_contra", contravariant=True)
Made_co = TypeVar("Made_co", covariant=True)
Row = tuple[Any, ...]

BATCH_LIMIT = 4000
"""Items that share one transaction at most."""
BUSY_FROM, GATHER_SECONDS = 4, 0.012
"""After a transaction of so many items the next one waits so long for company; a single caller never waits.
A commit costs the processor as much as twenty rows in it."""
_ATTEMPTS = 3
_FIRST_MILLISECOND = 1_600_000_000_000


class Handler(Protocol[Item_contra, Made_co]):
    """Writes many items inside one transaction and returns one result, or exception, for each.

    It may be called again with the same items when the transaction failed.
    """

    def __call__(self, tx: Tx, items: Sequence[Item_contra], /) -> Sequence[Made_co | PenstockError]: ...


class _Job:
    __slots__ = ("future", "handler", "item", "orphan")

    def __init__(
        self, handler: Any, item: Any, future: asyncio.Future[Any] | None, orphan: Callable[[Any], None] | None = None
    ) -> None:
        self.handler = handler
        self.item = item
        self.future = future
        self.orphan = orphan


class Store:
    """The open database of one process. `session` names this process in everything it writes."""

    def __init__(self, writer: Connection, reader: Connection, place: str, clock: Clock, session: str) -> None:
        """Take two connections to a database that is up to date; `open` is the usual way."""
        self.place = place
        self.clock = clock
        self.session = session
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = writer
        self._reader = reader
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._thread = threading.Thread(target=self._write_for_ever, name="store-writer", daemon=True)
        self._is_closed = False
        self._origin = 0
        self._last = (0, 0)
        self._numbering = threading.Lock()

    @classmethod
    async def open(cls, database: Path | str, clock: Clock, command: str = "") -> Store:
        """Open a file or a `postgresql://` URL, bring its schema up to date and start a session.

        Raises `FixError` (`store.newer`, `store.corrupt`, `store.bad-url`, `store.refused`) for what
        a person must change, and `StoppedError` when it cannot be used now (locked, read-only,
        disk full, no such server).
        """
        connect, place = _connector(database)
        return await asyncio.to_thread(cls._open, connect, place, clock, command)

    @classmethod
    def _open(cls, connect: Callable[[], Connection], place: str, clock: Clock, command: str) -> Store:
        with ExitStack() as on_failure:
            writer = connect()
            on_failure.callback(writer.close)
            _migrate(writer, place)
            reader = connect()
            on_failure.callback(reader.close)
            store = cls(writer, reader, place, clock, clock.new_id("ses"))
            store._begin(command)
            on_failure.pop_all()
        return store

    def _begin(self, command: str) -> None:
        row = {"id": self.session, "host": socket.gethostname(), "pid": os.getpid(), "command": command}
        try:
            self._writer.hold(self.session)
            with self._writer.writing() as tx:
                tx.run("start_session", {**row, "at": self.clock.now()})
                self._origin = int(tx.fetch("count_sessions", {})[0][0]) % 1024
        except self._writer.failures as error:
            raise self._writer.explain(error, self.place) from error
        self._thread.start()

    def next_number(self) -> int:
        """Return a new row id: it only grows, even when the wall clock goes back, and differs between processes."""
        now = int(self.clock.now() * 1000) - _FIRST_MILLISECOND
        with self._numbering:  # handlers ask for numbers in the writing thread
            millisecond, count = self._last
            if now > millisecond:
                self._last = (now, 0)
            elif count < 4095:
                self._last = (millisecond, count + 1)
            else:
                self._last = (millisecond + 1, 0)
            return self._last[0] << 22 | self._origin << 12 | self._last[1]

    @staticmethod
    def number_at(seconds: float) -> int:
        """Return the lowest id that `next_number` gives at a moment, in Unix seconds."""
        return max(int(seconds * 1000) - _FIRST_MILLISECOND, 0) << 22

    async def batch(
        self, handler: Handler[Item, Made], item: Item, orphan: Callable[[Made], None] | None = None
    ) -> Made:
        """Write `item` through `handler` in the next shared transaction; returns once it is on disk.

        The write happens even when the caller is cancelled meanwhile; `orphan` then gets the
        result in its place. Raises what the handler returns, and the errors of `open`.
        """
        if self._is_closed:
            raise self._closed()
        future: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(handler, item, future, orphan))
        return await self.clock.outside(future)

    def post(self, handler: Handler[Item, Any], item: Item) -> None:
        """Have `item` written without waiting for it; what cannot be written is lost."""
        if not self._is_closed:
            self._jobs.put(_Job(handler, item, None))

    async def read(self, name: str, **values: Any) -> list[Row]:
        """Run one named query and return its rows."""
        return await self.look(lambda tx: tx.fetch(name, values))

    async def look(self, work: Callable[[Tx], Made]) -> Made:
        """Run read-only work on the reading connection, off the event loop; it may be run again."""
        if self._is_closed:
            raise self._closed()
        return await self.clock.outside(asyncio.get_running_loop().run_in_executor(self._reads, self._look, work))

    def _look(self, work: Callable[[Tx], Made]) -> Made:
        def attempt() -> Made:
            with self._reader.reading() as tx:
                return work(tx)

        return self._persist(self._reader, attempt)

    def _persist(self, connection: Connection, attempt: Callable[[], Made]) -> Made:
        """Try again when the connection was lost before anything was written; raises typed errors only."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                return attempt()
            except connection.failures as error:
                problem = connection.explain(error, self.place)
                if problem.code != LOST or not left:
                    raise problem from error
        raise AssertionError

    async def compact(self) -> bool:
        """Give back the space of what was deleted, so that no byte of it stays; False where that cannot be done now.

        A SQLite file is written anew, which takes as long as copying it. PostgreSQL does it by itself, in time.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._reads, lambda: self._persist(self._reader, self._reader.compact)
        )

    async def dead_sessions(self) -> list[str]:
        """Return the sessions that left something open although their process is gone."""
        return await self.find_dead([str(row[0]) for row in await self.read("open_sessions")])

    async def find_dead(self, sessions: Iterable[str]) -> list[str]:
        """Return those of `sessions` whose process is gone."""
        others = [name for name in sessions if name != self.session]
        return await self.look(lambda _tx: [name for name in others if not self._reader.is_held(name)])

    async def close(self) -> None:
        """End the session, write what is queued and close the connections; a second call does nothing.

        A session whose end cannot be written is found dead by the next process.
        """
        if self._is_closed:
            return
        with suppress(StoppedError, FixError):
            await self.batch(_end_session, (self.session, self.clock.now()))
        self._is_closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reads.shutdown(wait=True)
        self._reader.close()
        self._writer.close()

    def _closed(self) -> StoppedError:
        return StoppedError(
            f"the store {self.place} is closed already",
            code="store.closed",
            hint="Keep the workspace open until the work is done.",
        )

    def _write_for_ever(self) -> None:
        is_last, is_busy = False, False
        pause = threading.Event()
        while not is_last:
            jobs: list[_Job] = []
            job = self._jobs.get()
            if is_busy:  # more will come at once: one transaction for all of them costs a fraction
                pause.wait(GATHER_SECONDS)
            while job is not None:
                jobs.append(job)
                if len(jobs) >= BATCH_LIMIT:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            is_last, is_busy = job is None, len(jobs) >= BUSY_FROM
            if jobs:
                self._commit(jobs)
        with suppress(queue.Empty):  # put by another thread while the store was being closed
            while (job := self._jobs.get_nowait()) is not None:
                _hand_over([job], [self._closed()])

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            results = self._persist(self._writer, lambda: self._transact(jobs))
        except BaseException as error:  # noqa: BLE001 - each waiting caller gets it
            if len(jobs) > 1 and not _is_for_all(error):  # one bad item must not cost the others
                middle = len(jobs) // 2
                self._commit(jobs[:middle])
                self._commit(jobs[middle:])
                return
            results = [_as_problem(error)] * len(jobs)
        _hand_over(jobs, results)

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


def _is_for_all(error: BaseException) -> bool:
    """Tell what befell the database (full, locked, gone) from what is wrong with one item."""
    if not isinstance(error, StoppedError | FixError) or isinstance(error, InputError):
        return False
    return error.code.startswith("store.")


def _as_problem(error: BaseException) -> PenstockError:
    if isinstance(error, PenstockError):
        return error
    defect = DefectError(f"{type(error).__name__} while writing to the store: {error}", code="store.defect")
    defect.__cause__ = error
    return defect


def _hand_over(jobs: Sequence[_Job], results: Sequence[Any]) -> None:
    """Give each caller its result, in the event loop that it waits in."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Any]]] = {}
    for job, result in zip(jobs, results, strict=True):
        if job.future is not None:
            by_loop.setdefault(job.future.get_loop(), []).append((job, result))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_deliver, pairs)


def _deliver(pairs: list[tuple[_Job, Any]]) -> None:
    for job, result in pairs:
        future = job.future
        if future is None:
            continue
        if not future.done():
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        elif job.orphan is not None and not isinstance(result, BaseException):
            job.orphan(result)


def is_server(database: str) -> bool:
    """Tell whether a database is a PostgreSQL server, which several processes share, and not a file."""
    return database.startswith(("postgresql://", "postgres://"))


def _connector(database: Path | str) -> tuple[Callable[[], Connection], str]:
    """Return how to connect, and the name of the place for people.

    Raises `FixError` for an address that is neither a file nor a PostgreSQL URL.
    """
    text = str(database)
    if is_server(text):
        from penstock.runtime.postgres_dialect import PostgresConnection, check_url

        place = check_url(text)
        return (lambda: PostgresConnection(text)), place
    if "://" in text and not text.startswith("sqlite:///"):
        raise FixError(
            f"{redact(text)} is neither a file nor a postgresql:// URL",
            code="store.unknown-kind",
            hint="Set PENSTOCK_DATABASE_URL to postgresql://user:password@host/database, or leave it empty.",
        )
    path = Path(text.removeprefix("sqlite:///"))
    return (lambda: SqliteConnection(path)), str(path)


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
