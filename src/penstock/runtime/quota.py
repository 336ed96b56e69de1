"""Boards: where the state of a quota lives, so that all workers on it share one count.

Memory for one process, a file for the processes of one machine, a table for several machines.
Nothing on a board is worth an fsync: after a loss the vendor's next reply restores it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg import AsyncConnection

from penstock.base.clock import Clock
from penstock.base.errors import FixError, UnavailableError
from penstock.base.redact import redact

T = TypeVar("T")
Turn = Callable[[bytes | None, float], tuple[bytes, T]]
"""Makes the new state of a pool from the old one and the board's time in seconds; may be run again."""

_LOCK_SECONDS = 15.0
_RECONNECT_SECONDS = 60.0


class Board(Protocol):
    """Keeps one value per pool and changes it in one indivisible step."""

    pause: float
    """Seconds between two exchanges of one pool, so that what comes in between is handled together."""

    async def exchange(self, pool: str, turn: Turn[T]) -> T:
        """Replace the pool's state by what `turn` makes of it, and return what it found."""

    async def close(self) -> None:
        """Let go of files and connections."""


class MemoryBoard:
    """The board of a single process."""

    pause = 0.002

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, bytes] = {}

    async def exchange(self, pool: str, turn: Turn[T]) -> T:
        self._states[pool], result = turn(self._states.get(pool), self._clock.monotonic())
        return result

    async def close(self) -> None:
        self._states.clear()


class SqliteBoard:
    """A small file shared by the processes of one machine, whose monotonic clock is the same for all of them."""

    pause = 0.004

    def __init__(self, path: Path, clock: Clock) -> None:
        """Use the file at `path`; it is made when it is missing and may be deleted while nothing runs."""
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None

    async def exchange(self, pool: str, turn: Turn[T]) -> T:
        connection = await self._begin()
        try:
            row = connection.execute("SELECT state FROM quota WHERE pool = ?", (pool,)).fetchone()
            state, result = turn(row[0] if row else None, self._clock.monotonic())
            connection.execute("INSERT OR REPLACE INTO quota (pool, state) VALUES (?, ?)", (pool, state))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            raise self._explain(error) from error
        except BaseException:
            _roll_back(connection)
            raise
        return result

    async def _begin(self) -> sqlite3.Connection:
        """Take the write lock without blocking the event loop."""
        deadline = self._clock.monotonic() + _LOCK_SECONDS
        while True:
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or self._clock.monotonic() > deadline:
                    raise self._explain(error) from error
                await self._clock.sleep(0.0003 + self._clock.random() * 0.0007)
            except sqlite3.Error as error:
                raise self._explain(error) from error
            else:
                return connection

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=OFF")
                connection.execute("CREATE TABLE IF NOT EXISTS quota (pool TEXT PRIMARY KEY, state BLOB) WITHOUT ROWID")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _explain(self, error: sqlite3.Error) -> FixError:
        return FixError(
            f"the quota file {self._path.name} cannot be used: {error}",
            code="quota.file-failed",
            hint="Free disk space or check the folder's permissions; with no Penstock running it may be deleted.",
            where=str(self._path),
        )

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


_TABLE = "CREATE UNLOGGED TABLE IF NOT EXISTS penstock_quota (pool text PRIMARY KEY, state bytea)"
_CREATE_LOCK = 7_240_611_355
_ENTER = "INSERT INTO penstock_quota (pool) VALUES (%s) ON CONFLICT DO NOTHING"
_READ = """
WITH held AS MATERIALIZED (SELECT state FROM penstock_quota WHERE pool = %s FOR UPDATE)
SELECT state, extract(epoch FROM clock_timestamp())::float8 FROM held
"""
_WRITE = "UPDATE penstock_quota SET state = %s WHERE pool = %s"


class PostgresBoard:
    """A table shared by the processes of several machines; its time is the database's."""

    pause = 0.01

    def __init__(self, url: str, clock: Clock) -> None:
        """Use the database at `url` (a PostgreSQL connection string)."""
        self._url = url
        self._clock = clock
        self._connection: AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()
        self._known: set[str] = set()

    async def exchange(self, pool: str, turn: Turn[T]) -> T:
        async with self._turn:
            deadline = self._clock.monotonic() + _RECONNECT_SECONDS
            while True:
                try:
                    return await self._exchange(await self._connect(), pool, turn)
                except psycopg.OperationalError as error:
                    await self._drop()
                    if self._clock.monotonic() > deadline:
                        raise _explain(error) from error
                    await self._clock.sleep(0.25)
                except psycopg.Error as error:
                    await self._drop()
                    raise _explain(error) from error

    async def _exchange(self, connection: AsyncConnection[Any], pool: str, turn: Turn[T]) -> T:
        if pool not in self._known:
            await connection.execute(_ENTER, (pool,))
            self._known.add(pool)
        async with connection.transaction():
            row = await (await connection.execute(_READ, (pool,), prepare=True)).fetchone()
            if row is None:  # the table was emptied by a crash of the database
                self._known.discard(pool)
                raise psycopg.OperationalError("the quota table lost its rows")
            state, result = turn(row[0], row[1])
            await connection.execute(_WRITE, (state, pool), prepare=True)
        return result

    async def _connect(self) -> AsyncConnection[Any]:
        if self._connection is None:
            connection = await AsyncConnection.connect(self._url, autocommit=True, connect_timeout=10)
            try:
                await connection.execute("SET synchronous_commit = off")
                async with connection.transaction():
                    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))
                    await connection.execute(_TABLE)
            except BaseException:
                await connection.close()
                raise
            self._connection, self._known = connection, set()
        return self._connection

    async def _drop(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def close(self) -> None:
        await self._drop()


def _explain(error: psycopg.Error) -> UnavailableError:
    return UnavailableError(
        f"the quota table cannot be used: {redact(str(error)).strip()}",
        code="quota.database-failed",
        hint="Check that the PostgreSQL server runs and that the user may create tables.",
        sent=False,
    )
