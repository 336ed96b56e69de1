"""Durable jobs: work with an id and a JSON payload that goes on behind its last recorded step after a crash.

The engine stays behind `penstock.runtime.dbos_engine`; who may execute what is decided here.
The right size of a job is a page or a batch of hundreds of records, never one record.
"""

from __future__ import annotations

import asyncio
import builtins
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import DefectError, InputError, StoppedError
from penstock.base.redact import redact
from penstock.runtime.dbos_engine import (
    STATES,
    DbosEngine,
    Job,
    State,
    describe,
    error_of,
    explain,
    open_engine,
    record_step,
)
from penstock.runtime.steps import JSON, Bridge, Interrupted, JobContext, RecordedError, Work
from penstock.runtime.takeover import Takeover
from penstock.runtime.workers import Alone, Duty, Member, Membership, check_worker_name

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from penstock.runtime.dbos_engine import Row

__all__ = ["Job", "JobContext", "Jobs", "Schedule", "Work"]

Made = TypeVar("Made")

_log = logging.getLogger("penstock.jobs")
_log.addHandler(logging.NullHandler())
_POLL_SECONDS = 0.2
_THREADS = 1000
_GO_ON = "Run the same command again: it goes on behind the last recorded step."


class Schedule(msgspec.Struct, frozen=True):
    """A job that the calendar enqueues."""

    name: str
    job: str
    cron: str
    tz: str
    payload: JSON


class Jobs:
    """The durable jobs of one database, and this process as one of its workers.

    `database` is a path or `sqlite:///` URL, a `postgresql://` URL or an engine. `slot`
    numbers processes of the same worker name; None takes the first free one. `queues` maps
    each queue to how many of its jobs one worker runs at once. A heartbeat is written every
    `beat_seconds`; the work of a worker that is silent for `dead_after_seconds` goes to
    another. A process has one started `Jobs` at a time.
    """

    def __init__(
        self,
        database: str | Path | Engine,
        clock: Clock,
        worker: str = "main",
        slot: int | None = None,
        *,
        queues: Mapping[str, int] | None = None,
        beat_seconds: float = 2.0,
        dead_after_seconds: float = 10.0,
    ) -> None:
        self._database = database
        self._clock = clock
        self._worker = check_worker_name(worker)
        self._slot = slot
        self._queues = {"default": 8, **(queues or {})}
        self._beat_seconds = beat_seconds
        self._dead_after = dead_after_seconds
        self._works: dict[str, Work] = {}
        self._active: dict[str, Bridge] = {}
        self._dropped: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._guard = threading.RLock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="jobs")
        self._opened: Engine | None = None if isinstance(database, (str, Path)) else database
        self._engine: DbosEngine | None = None
        self._takeover: Takeover | None = None
        self._membership: Membership | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False

    def register(self, name: str, work: Work) -> None:
        """Name a piece of work before `start`; jobs of that name run it on the loop that calls `start`."""
        if self._membership is not None:
            raise DefectError(f"the job {name!r} was registered after the start", code="job.late-registration")
        self._works[name] = work

    async def start(self, *, duty: Duty = "work") -> None:
        """Become a worker: take an identity, take up the work of the dead, listen to the queues.

        With `duty="ask"`, for a command that a person watches, nothing starts by itself:
        only `run` executes, and what is left behind waits until it is asked for again.
        Raises `StoppedError` when the identity is taken or the database is out of reach.
        """
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        await self._inside(self._launch, duty)
        self._keeper = asyncio.create_task(self._keep(duty), name="jobs-keeper")

    async def stop(self, *, drain_seconds: float = 0.0) -> None:
        """Wait for running jobs, then interrupt the rest, which can go on later; close everything."""
        self._stopping = True
        deadline = self._clock.monotonic() + drain_seconds
        while self._active and self._clock.monotonic() < deadline:
            await self._clock.sleep(0.02)
        for bridge in list(self._active.values()):
            bridge.interrupt()
        while self._active:
            await self._clock.sleep(0.005)
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._inside(self._close)
        self._threads.shutdown(wait=False)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="jobs")

    async def run(self, name: str, job_id: str, payload: JSON) -> JSON:
        """Execute a job here and now; returns its result or raises its error.

        Of a job that is done the recorded result is returned. One that failed, was
        cancelled or interrupted goes on behind its last recorded step, with the payload that
        it was first given; one that another living worker executes is waited for.
        Cancelling the caller interrupts the job, which can go on later.
        """
        takeover = self._takeover
        if takeover is None or name not in self._works:
            raise DefectError(f"no job {name!r} is registered and started", code="job.unregistered")
        self._asked[job_id] += 1
        try:
            ending = await self._execute_here(name, job_id, payload)
            if isinstance(ending, tuple):
                return ending[0]
            if ending is not None and takeover.is_lost(await self._inside(self._open().find, job_id)):
                raise _interrupted(job_id, str(ending))
            if ending is None:
                await self._inside(lambda: takeover.adopt(job_id, asked=True))
            return await self._follow(job_id, takeover)
        except asyncio.CancelledError:
            self._interrupt(job_id)
            raise
        finally:
            self._asked[job_id] -= 1
            self._asked += Counter()  # drops zeros

    async def enqueue(
        self, name: str, job_id: str, payload: JSON, *, queue: str = "default", priority: int = 0
    ) -> None:
        """Put a job in a queue for any worker, 0 first, then 1, 2 …; an id that exists is left as it is."""
        self._check_queue(queue)
        await self._inside(lambda: self._open().enqueue(name, job_id, payload, queue, priority, None))

    def enqueue_in(
        self, within: Connection, name: str, job_id: str, payload: JSON, *, queue: str = "default", priority: int = 0
    ) -> None:
        """Put a job in a queue inside the caller's transaction on the same database: both commit, or neither.

        Blocks. `within` is a SQLAlchemy connection, best one of `connect`.
        """
        self._check_queue(queue)
        self._open().enqueue(name, job_id, payload, queue, priority, within)

    def connect(self) -> Connection:
        """Open a connection on the jobs' database, for a transaction that also enqueues. Blocks."""
        return self._open().engine.connect()

    async def wait(self, job_id: str) -> JSON:
        """Wait for the outcome of a job; returns its result or raises its error.

        Raises `InputError` for an unknown id and `StoppedError` when the job was cancelled.
        """
        return await self._follow(job_id, None)

    async def cancel(self, job_id: str) -> None:
        """Stop a job: at once when it runs here, at its next step elsewhere. `run` can take it up again."""
        await self._inside(lambda: self._open().client.cancel_workflow(job_id))
        self._interrupt(job_id)

    async def list(self, *, state: State | None = None, prefix: str = "", limit: int = 100) -> builtins.list[Job]:
        """Return jobs, newest first; of one state and with ids that begin with `prefix` where given."""
        names = [name for name, meaning in STATES.items() if meaning == state] or None

        def look() -> builtins.list[Row]:
            return self._open().client.list_workflows(
                status=names, workflow_id_prefix=prefix or None, limit=limit, sort_desc=True, load_input=False
            )

        return [describe(row) for row in await self._inside(look)]

    async def forget_finished(self, older_than_seconds: float) -> int:
        """Delete jobs that ended longer ago than that, with their steps; returns how many."""
        before = datetime.fromtimestamp(self._clock.now() - older_than_seconds, UTC).isoformat()
        ended = [name for name, state in STATES.items() if state in ("done", "failed", "cancelled")]
        return await self._inside(lambda: self._open().forget(ended, before))

    async def schedule(self, name: str, job: str, cron: str, payload: JSON, *, tz: str = "UTC") -> None:
        """Have the calendar enqueue `job`; an entry of that name is replaced. Missed times are made up for.

        `cron` has five fields, or six with seconds first; `tz` is an IANA name. The work
        gets the payload, a JSON object, with the due time added as `scheduled_at`.
        Raises `InputError` when the calendar is not understood.
        """
        await self._inside(lambda: self._open().schedule(name, job, cron, payload, tz, "default"))

    async def unschedule(self, name: str) -> None:
        """Take an entry out of the calendar; harmless when it is not there."""
        await self._inside(lambda: self._open().client.delete_schedule(name))

    async def schedules(self) -> builtins.list[Schedule]:
        """Return the calendar."""
        rows = await self._inside(lambda: self._open().schedules())
        return [
            Schedule(
                row["schedule_name"],
                row["workflow_name"],
                row["schedule"],
                row["cron_timezone"] or "UTC",
                row["context"],
            )
            for row in rows
        ]

    def _check_queue(self, queue: str) -> None:
        if queue not in self._queues:
            raise InputError(
                f"there is no queue {queue!r}", code="job.unknown-queue", hint=f"Queues: {', '.join(self._queues)}."
            )

    # On the loop.

    async def _execute_here(self, name: str, job_id: str, payload: JSON) -> tuple[JSON] | Interrupted | None:
        execution = asyncio.ensure_future(self._inside(self._execute_new, name, job_id, payload))
        try:
            return await asyncio.shield(execution)
        except RecordedError as failure:
            raise failure.error from failure.error.__cause__
        except asyncio.CancelledError:
            while not execution.done():
                self._interrupt(job_id)
                await self._clock.sleep(0.005)
            execution.exception()  # seen, and of no interest any more
            raise

    def _interrupt(self, job_id: str) -> None:
        bridge = self._active.get(job_id)
        if bridge is not None:
            bridge.interrupt()

    async def _follow(self, job_id: str, takeover: Takeover | None) -> JSON:
        for turn in itertools.count(1):
            row = await self._inside(self._open().find, job_id)
            state = STATES[row.status]
            if state == "done":
                return row.output
            if state in ("failed", "cancelled"):
                raise error_of(row)
            if takeover is not None:
                if self._stopping:
                    raise _interrupted(job_id)
                if turn % 10 == 0:
                    await self._inside(lambda: takeover.adopt(job_id, asked=False))
            await self._clock.sleep(min(0.02 * turn, _POLL_SECONDS))
        raise AssertionError  # count() has no end

    async def _keep(self, duty: Duty) -> None:
        """Write heartbeats and look after the dead, for as long as this process works."""
        while True:
            await self._clock.sleep(self._beat_seconds)
            try:
                await self._inside(self._keep_once, duty)
            except Exception as error:  # noqa: BLE001 - the database is away: the next round tries again
                _log.warning("no heartbeat: %s", redact(str(error)))

    async def _inside(self, work: Callable[..., Made], *given: Any) -> Made:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        except Exception as error:
            known = explain(error)
            if known is None:
                raise
            raise known from error

    # In threads: the engine's calls block.

    def _open(self) -> DbosEngine:
        with self._guard:
            if self._engine is None:
                self._engine = DbosEngine(self._open_database())
            return self._engine

    def _open_database(self) -> Engine:
        with self._guard:
            if self._opened is None:
                self._opened = open_engine(self._database)
            return self._opened

    def _launch(self, duty: Duty) -> None:
        membership = self._choose_membership(self._open_database(), duty)
        try:
            membership.join()
            self._membership = membership
            engine = self._open()
            takeover = self._takeover = Takeover(engine, membership, self._active.__contains__, self._dropped)
            takeover.clear_old_queues()
            queues = {**self._queues, takeover.own_queue: None}
            listen = list(queues) if duty == "work" else [takeover.own_queue]
            runs = {name: self._execute(work, duty) for name, work in self._works.items()}
            engine.launch(membership.executor, queues, listen, runs)
            if duty == "work":
                takeover.sweep()
        except BaseException:
            self._close()
            membership.leave()
            raise

    def _choose_membership(self, database: Engine, duty: Duty) -> Membership:
        number = self._clock.new_id("exe")
        if database.dialect.name == "sqlite":
            return Alone(Path(str(database.url.database)), self._worker, self._slot, duty, number)
        return Member(database, self._worker, self._slot, duty, number, self._dead_after)

    def _keep_once(self, duty: Duty) -> None:
        if self._membership is not None and self._takeover is not None:
            self._membership.beat()
            if duty == "work":
                self._takeover.sweep()

    def _close(self) -> None:
        if self._engine is not None:
            if self._takeover is not None:
                with suppress(Exception):  # the database may be away; the next start clears it
                    self._engine.client.delete_queue(self._takeover.own_queue)
            self._engine.close()
        if self._membership is not None:
            self._membership.leave()
        if self._opened is not None and self._opened is not self._database:
            self._opened.dispose()
        self._engine = self._takeover = self._membership = self._opened = None

    def _execute(self, work: Work, duty: Duty) -> Callable[[str, tuple[JSON, ...]], JSON]:
        def execute(job_id: str, given: tuple[JSON, ...]) -> JSON:
            payload = given[-1]
            if len(given) == 2:  # from the calendar: the due time, then the payload
                payload = {**(payload or {}), "scheduled_at": str(given[0])}
            with self._guard:
                if self._stopping or self._loop is None or (duty == "ask" and not self._asked[job_id]):
                    self._dropped.add(job_id)
                    raise Interrupted
                self._dropped.discard(job_id)
                bridge = self._active[job_id] = Bridge(self._loop, record_step)
            try:
                return bridge.drive(job_id, work, payload)
            except Interrupted:
                self._dropped.add(job_id)
                raise
            finally:
                with self._guard:
                    if self._active.get(job_id) is bridge:
                        del self._active[job_id]

        return execute

    def _execute_new(self, name: str, job_id: str, payload: JSON) -> tuple[JSON] | Interrupted | None:
        try:
            return self._open().execute(name, job_id, payload)
        except Interrupted as interruption:
            return interruption


def _interrupted(job_id: str, reason: str = "") -> StoppedError:
    message = f"the job {job_id} was interrupted{': ' if reason else ''}{reason}"
    return StoppedError(message, code="job.interrupted", hint=_GO_ON)
