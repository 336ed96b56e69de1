"""Who is working: an exclusive identity for each worker, a heartbeat, and the verdict that another one is dead.

A SQLite file has one worker, held by a file lock. On PostgreSQL any number share the work:
each holds advisory locks on a connection of its own, so that the server lets go of them
when the process dies. What happens to a dead worker's work is up to `penstock.runtime.jobs`.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from penstock.base.errors import SettingsError, StoppedError
from penstock.base.redact import redact

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Duty = Literal["work", "ask"]
"""`work`: left-over work is taken up by any worker. `ask`: it waits until it is asked for again."""

FROZEN_FACTOR = 4
"""A worker that still holds its lock counts as frozen after this many times the time after which it is dead."""

MAX_SLOTS = 1000

_KEEPALIVES = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3"
_TABLE = """
    create table if not exists penstock_workers (
      executor text primary key, host text not null, pid integer not null, beat timestamptz not null
    )"""
_BEAT = """
    insert into penstock_workers (executor, host, pid, beat) values (:executor, :host, :pid, clock_timestamp())
    on conflict (executor) do update set beat = excluded.beat"""


class Lock:
    """An exclusive lock on a file; the system lets go of it when the process dies, however it dies."""

    def __init__(self, path: Path, handle: IO[str]) -> None:
        self.path = path
        self._handle = handle

    def release(self) -> None:
        """Let go; harmless when done twice."""
        if not self._handle.closed:
            self._handle.truncate(0)
            self._handle.close()


def try_lock(path: Path) -> Lock | None:
    """Take the lock, or return None when another process, or this one, holds it already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return Lock(path, handle)


def lock_holder(path: Path) -> int | None:
    """Return the process id that the holder of a lock wrote, or None when it left none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


class Executor(str):
    """The name under which the engine records who executes: `worker:slot:duty:id`, new for each start."""

    @classmethod
    def build(cls, worker: str, slot: int, duty: Duty, number: str) -> Executor:
        """Name a process that starts now."""
        return cls(f"{worker}:{slot}:{duty}:{number}")

    @property
    def identity(self) -> str:
        """Worker and slot: what only one living process may be."""
        return ":".join(self.split(":")[:2])

    @property
    def duty(self) -> str:
        """Return whether others take up what it leaves behind."""
        return self.split(":")[2] if self.count(":") == 3 else "work"


def check_worker_name(worker: str) -> str:
    """Return the name of a worker; raises `SettingsError` when it has other characters than letters, digits, `._-`."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,60}", worker):
        raise SettingsError(
            f"{worker!r} is no name for a worker",
            code="worker.bad-name",
            hint="Use letters, digits, dot, dash and underscore: PENSTOCK_WORKER=main",
        )
    return worker


class Membership(Protocol):
    """This process among the workers of one database. Its calls block; they are made from threads."""

    executor: Executor

    def join(self) -> None:
        """Take an identity; raises `StoppedError` when it is taken."""

    def beat(self) -> None:
        """Say that this process lives; takes its locks again after the database was away."""

    def is_dead(self, executor: Executor) -> bool:
        """Tell whether the work of another executor may be taken over."""

    def exclusively(self, what: str) -> Any:
        """Return a context manager that yields whether this process alone does `what` now."""

    def forget(self, executor: Executor) -> None:
        """Drop what is kept of a dead executor whose work was taken over."""

    def leave(self) -> None:
        """Give the identity back; harmless when done twice."""


class Alone:
    """The one worker of a SQLite file."""

    def __init__(self, database: Path, worker: str, slot: int | None, duty: Duty, number: str) -> None:
        self._path = database.with_name(database.name + "-worker.lock")
        self._database = database
        self._lock: Lock | None = None
        self.executor = Executor.build(worker, slot or 0, duty, number)

    def join(self) -> None:
        self._lock = try_lock(self._path)
        if self._lock is None:
            pid = lock_holder(self._path)
            holder = f"process {pid}" if pid else "another process"
            raise StoppedError(
                f"{self._database} is being worked on by {holder}, and a SQLite file has one worker at a time",
                code="worker.taken",
                hint=f"Wait until it is done or stop it{f' (kill {pid})' if pid else ''}. To run several at once, "
                "set PENSTOCK_DATABASE_URL=postgresql://user:password@host/database.",
            )

    def beat(self) -> None:
        """Nobody else looks."""

    def is_dead(self, executor: Executor) -> bool:
        return executor != self.executor

    @contextmanager
    def exclusively(self, what: str) -> Iterator[bool]:  # noqa: ARG002 - the file lock covers everything
        yield True

    def forget(self, executor: Executor) -> None:
        """Nothing is kept of it."""

    def leave(self) -> None:
        if self._lock is not None:
            self._lock.release()


class Member:
    """One of several workers on a PostgreSQL database.

    `dead_after` is in seconds: a worker whose lock is free is dead when its heartbeat is
    older, one whose lock is held (a frozen process, a host that the server still waits
    for) when it is `FROZEN_FACTOR` times older. Ages are taken from the server's clock.
    """

    def __init__(self, engine: Engine, worker: str, slot: int | None, duty: Duty, number: str, dead_after: float):
        self._engine = engine
        self._worker, self._slot, self._duty, self._number = worker, slot, duty, number
        self._dead_after = dead_after
        self._connection: Connection | None = None
        self._mutex = threading.RLock()
        self.executor = Executor.build(worker, slot or 0, duty, number)

    def join(self) -> None:
        with self._mutex:
            try:
                self._connect()
                self._choose_identity()
                self._try("executor", self.executor)
                self._write_beat()
            except BaseException:
                self.leave()
                raise

    def _connect(self) -> None:
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        try:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            for statement in _KEEPALIVES.split(";"):
                connection.execute(text(statement))
        except SQLAlchemyError as error:
            raise StoppedError(
                f"cannot reach the database: {redact(str(error.__cause__ or error)).strip()}",
                code="worker.no-database",
                hint="Check that the server runs and PENSTOCK_DATABASE_URL is right, then run the same command again.",
            ) from error
        self._connection = connection
        if self._take("workers-table", wait=True):
            self._run(_TABLE)
            self._give("workers-table")

    def _choose_identity(self) -> None:
        slots = range(MAX_SLOTS) if self._slot is None else [self._slot]
        for slot in slots:
            executor = Executor.build(self._worker, slot, self._duty, self._number)
            if self._try("identity", executor.identity):
                self.executor = executor
                return
        raise StoppedError(
            f"another process works as {self._worker}:{slots[-1]} already{self._describe_rival(slots[-1])}",
            code="worker.duplicate",
            hint="Give each worker a name of its own (PENSTOCK_WORKER=…), or leave the slot open.",
        )

    def _describe_rival(self, slot: int) -> str:
        rows = self._run(
            "select host, pid from penstock_workers where executor like :mine order by beat desc limit 1",
            mine=f"{self._worker}:{slot}:%",
        )
        return f" (process {rows[0][1]} on {rows[0][0]})" if rows else ""

    def beat(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        with self._mutex:
            try:
                self._write_beat()
            except SQLAlchemyError:
                if self._connection is not None:
                    self._connection.close()
                self._connect()
                self._try("identity", self.executor.identity)
                self._try("executor", self.executor)
                self._write_beat()

    def _write_beat(self) -> None:
        self._run(_BEAT, executor=self.executor, host=socket.gethostname(), pid=os.getpid())

    def is_dead(self, executor: Executor) -> bool:
        if executor == self.executor:
            return False
        with self._mutex:
            rows = self._run(
                "select extract(epoch from clock_timestamp() - beat) from penstock_workers where executor = :executor",
                executor=executor,
            )
            age = float(rows[0][0]) if rows else float("inf")
            succeeded = executor.identity == self.executor.identity
            if age <= self._dead_after and not succeeded:
                return False
            if self._try("executor", executor):
                self._give(f"executor:{executor}")
                return True
            return age > self._dead_after * FROZEN_FACTOR

    @contextmanager
    def exclusively(self, what: str) -> Iterator[bool]:
        with self._mutex:
            taken = self._try("duty", what)
            try:
                yield taken
            finally:
                if taken:
                    self._give(f"duty:{what}")

    def forget(self, executor: Executor) -> None:
        with self._mutex:
            self._run("delete from penstock_workers where executor = :executor", executor=executor)

    def leave(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        with self._mutex:
            if self._connection is None:
                return
            with suppress(SQLAlchemyError):  # the server may be away: then the row ages, and the lock is gone
                self.forget(self.executor)
            self._connection.close()
            self._connection = None

    def _try(self, kind: str, name: str) -> bool:
        return self._take(f"{kind}:{name}")

    def _take(self, name: str, *, wait: bool = False) -> bool:
        function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
        rows = self._run(f"select {function}(hashtextextended(:name, 0))", name=f"penstock:{name}")
        return wait or bool(rows[0][0])

    def _give(self, name: str) -> None:
        self._run("select pg_advisory_unlock(hashtextextended(:name, 0))", name=f"penstock:{name}")

    def _run(self, statement: str, **values: Any) -> list[Any]:
        from sqlalchemy import text

        if self._connection is None:
            raise StoppedError("this worker has left", code="worker.left", hint="Start it again.")
        result = self._connection.execute(text(statement), values)
        return list(result.fetchall()) if result.returns_rows else []
