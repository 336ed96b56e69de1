"""What differs between SQLite and PostgreSQL: connecting, placeholders, types, and what their errors mean."""

from __future__ import annotations

import fcntl
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

from penstock.base.errors import FixError, PenstockError, StoppedError
from penstock.base.redact import redact

BUSY_SECONDS = 20.0

_SQLITE_TYPES = {
    "$ID": "integer primary key",
    "$BLOB": "blob",
    "$REAL": "real",
    "$WITHOUT_ROWID": " without rowid",
}
_POSTGRES_TYPES = {"$ID": "bigint primary key", "$BLOB": "bytea", "$REAL": "double precision", "$WITHOUT_ROWID": ""}


class Tx(Protocol):
    """An open transaction."""

    def fetch(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a named query and return its rows."""

    def run(self, name: str, values: Mapping[str, Any]) -> int:
        """Run a named statement and return how many rows it changed."""

    def run_many(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a named statement for each row."""

    def fetch_keys(self, name: str, keys: Sequence[Any], /, **values: Any) -> list[tuple[Any, ...]]:
        """Run a named query whose `:keys` is replaced by a list; returns the rows in no particular order."""

    def version(self) -> int:
        """Return the schema number."""

    def set_version(self, number: int) -> None:
        """Write the schema number."""

    def apply(self, text: str) -> None:
        """Run a migration."""


class Connection(Protocol):
    """One connection to the database."""

    failures: tuple[type[BaseException], ...]

    def prepare(self) -> None:
        """Set the database up for the first use."""

    def writing(self) -> AbstractContextManager[Tx]:
        """Open a write transaction; it is durable when the block is left."""

    def reading(self) -> AbstractContextManager[Tx]:
        """Open a read."""

    def hold(self, name: str) -> None:
        """Take a lock that the system lets go when this process dies, however it dies."""

    def is_held(self, name: str) -> bool:
        """Tell whether another process holds that lock."""

    def explain(self, error: BaseException, place: str) -> PenstockError:
        """Say in words what a database error means and what to do."""

    def close(self) -> None:
        """Close the connection."""


@cache
def load_queries() -> Mapping[str, str]:
    """Return the statements of queries.sql by name."""
    text = (Path(__file__).parent / "queries.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+).*\n", text, flags=re.MULTILINE)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def connector(database: Path | str) -> tuple[Callable[[], Connection], str]:
    """Return how to connect, and the name of the place for people."""
    text = str(database)
    if text.startswith(("postgresql://", "postgres://")):
        return (lambda: PostgresConnection(text)), redact(text)
    if "://" in text and not text.startswith("sqlite:///"):
        raise FixError(
            f"{redact(text)} is neither a file nor a postgresql:// URL",
            code="store.unknown-kind",
            hint="Set PENSTOCK_DATABASE_URL to postgresql://user:password@host/database, or leave it empty.",
        )
    path = Path(text.removeprefix("sqlite:///"))
    return (lambda: SqliteConnection(path)), str(path)


class SqliteTx:
    """A transaction on a SQLite connection."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def fetch(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._raw.execute(load_queries()[name], dict(values)).fetchall()

    def run(self, name: str, values: Mapping[str, Any]) -> int:
        return self._raw.execute(load_queries()[name], dict(values)).rowcount

    def run_many(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._raw.executemany(load_queries()[name], rows)

    def fetch_keys(self, name: str, keys: Sequence[Any], /, **values: Any) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            named = {f"k{index}": key for index, key in enumerate(part)}
            marks = ",".join(f":{mark}" for mark in named)
            text = load_queries()[name].replace(":keys", marks)
            rows += self._raw.execute(text, {**named, **values}).fetchall()
        return rows

    def version(self) -> int:
        return int(self._raw.execute("pragma user_version").fetchone()[0])

    def set_version(self, number: int) -> None:
        self._raw.execute(f"pragma user_version = {number:d}")

    def apply(self, text: str) -> None:
        for statement in _statements(text, _SQLITE_TYPES):
            self._raw.execute(statement)


class SqliteConnection:
    """One connection to a SQLite file: write-ahead log, full sync."""

    failures: tuple[type[BaseException], ...] = (sqlite3.Error, OSError)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locks: dict[Path, IO[bytes]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._raw.execute("pragma synchronous = full")
        except self.failures as error:
            raise self.explain(error, str(path)) from error

    def prepare(self) -> None:
        self._raw.execute("pragma journal_mode = wal")

    @contextmanager
    def writing(self) -> Iterator[Tx]:
        self._raw.execute("begin immediate")
        try:
            yield SqliteTx(self._raw)
            self._raw.execute("commit")
        except BaseException:
            if self._raw.in_transaction:
                self._raw.execute("rollback")
            raise

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        yield SqliteTx(self._raw)

    def hold(self, name: str) -> None:
        path = self._lock_path(name)
        handle = path.open("wb")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._locks[path] = handle

    def is_held(self, name: str) -> bool:
        path = self._lock_path(name)
        if not path.exists():
            return False
        with path.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            path.unlink(missing_ok=True)
            return False

    def _lock_path(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}-{name}.lock")

    def explain(self, error: BaseException, place: str) -> PenstockError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        text = str(error)
        if code == sqlite3.SQLITE_FULL or "No space left" in text:
            return StoppedError(
                f"the disk of {place} is full: {text}",
                code="store.full",
                hint="Free some space and run the same command again: it goes on where it stopped.",
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoppedError(
                f"{place} was locked by another program for {BUSY_SECONDS:g} s",
                code="store.locked",
                hint="Close what holds it (a backup, a database browser, another run) and run the same command again.",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return FixError(
                f"{place} is not a readable store: {text}",
                code="store.corrupt",
                hint="Restore it from a backup, or move it away to start with an empty one.",
            )
        return StoppedError(
            f"cannot use the store {place}: {text}",
            code="store.unusable",
            hint="Check that the folder exists and may be written, then run the same command again.",
        )

    def close(self) -> None:
        self._raw.close()
        for path, handle in self._locks.items():
            path.unlink(missing_ok=True)
            handle.close()


class PostgresTx:
    """A transaction on a PostgreSQL connection."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def fetch(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._raw.execute(_for_postgres(name), values).fetchall()
        return rows

    def run(self, name: str, values: Mapping[str, Any]) -> int:
        return int(self._raw.execute(_for_postgres(name), values).rowcount)

    def run_many(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._raw.cursor() as cursor:
            cursor.executemany(_for_postgres(name), rows)

    def fetch_keys(self, name: str, keys: Sequence[Any], /, **values: Any) -> list[tuple[Any, ...]]:
        text = _for_postgres(name).replace("in (%(keys)s)", "= any(%(keys)s)")
        rows: list[tuple[Any, ...]] = self._raw.execute(text, {"keys": list(keys), **values}).fetchall()
        return rows

    def version(self) -> int:
        self._raw.execute("create table if not exists schema_version (number bigint not null)")
        self._raw.execute("lock table schema_version in exclusive mode")
        rows = self._raw.execute("select coalesce(max(number), 0) from schema_version").fetchall()
        return int(rows[0][0])

    def set_version(self, number: int) -> None:
        self._raw.execute("insert into schema_version values (%s)", (number,))

    def apply(self, text: str) -> None:
        for statement in _statements(text, _POSTGRES_TYPES):
            self._raw.execute(statement)


@cache
def _for_postgres(name: str) -> str:
    text = load_queries()[name].replace("%", "%%")
    return re.sub(r"(?<![:\w]):(\w+)", r"%(\1)s", text)


class PostgresConnection:
    """One connection to PostgreSQL; reconnects once when the server went away between transactions."""

    failures: tuple[type[BaseException], ...]

    def __init__(self, url: str) -> None:
        import psycopg

        self.failures = (psycopg.Error, OSError)
        self._operational = psycopg.OperationalError
        self._url = url
        self._locks: list[str] = []
        try:
            self._raw = psycopg.connect(url, autocommit=True, connect_timeout=10)
        except self.failures as error:
            raise self.explain(error, redact(url)) from error

    def prepare(self) -> None:
        """PostgreSQL needs nothing before its first use."""

    @contextmanager
    def writing(self) -> Iterator[Tx]:
        self._revive()
        with self._raw.transaction():
            yield PostgresTx(self._raw)

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        self._revive()
        yield PostgresTx(self._raw)

    def _revive(self) -> None:
        import psycopg

        if not self._raw.closed:
            try:
                self._raw.execute("")
            except psycopg.OperationalError:
                self._raw.close()
        if self._raw.closed:
            self._raw = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
            for name in self._locks:
                self._raw.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (name,))

    def hold(self, name: str) -> None:
        self._raw.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (name,))
        self._locks.append(name)

    def is_held(self, name: str) -> bool:
        rows = self._raw.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchall()
        taken = bool(rows[0][0])
        if taken:
            self._raw.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
        return not taken

    def explain(self, error: BaseException, place: str) -> PenstockError:
        text = redact(str(error)).strip()
        state = getattr(error, "sqlstate", None) or ""
        if state in ("53100", "53200"):
            return StoppedError(
                f"the database {place} has no space left: {text}",
                code="store.full",
                hint="Free some space and run the same command again: it goes on where it stopped.",
            )
        if state.startswith("28"):
            return FixError(
                f"the database {place} refused the user: {text}",
                code="store.refused",
                hint="Check user and password in PENSTOCK_DATABASE_URL.",
            )
        return StoppedError(
            f"cannot use the database {place}: {text}",
            code="store.unusable",
            hint="Check that the server runs and PENSTOCK_DATABASE_URL is right, then run the same command again.",
        )

    def close(self) -> None:
        self._raw.close()


def _statements(text: str, words: Mapping[str, str]) -> list[str]:
    text = re.sub(r"--.*", "", text)
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return [statement.strip() for statement in text.split(";") if statement.strip()]
