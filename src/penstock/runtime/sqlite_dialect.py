"""The store on a SQLite file: write-ahead log, full sync, one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from penstock.base.errors import DefectError, FixError, PenstockError, StoppedError
from penstock.runtime.dialects import BUSY_SECONDS, Tx, bad_value, full, load_queries, locked, split_statements

_TYPES = {
    "$ID": "integer primary key",
    "$BLOB": "blob",
    "$REAL": "real",
    "$WITHOUT_ROWID": " without rowid",
}


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

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            columns = list(rows[0])
            marks = ", ".join(f":{column}" for column in columns)
            self._raw.executemany(f"insert into {table} ({', '.join(columns)}) values ({marks})", rows)

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
        for statement in split_statements(text, _TYPES):
            self._raw.execute(statement)


class SqliteConnection:
    """One connection to a SQLite file: write-ahead log, full sync."""

    failures: tuple[type[BaseException], ...] = (sqlite3.Error, OSError, UnicodeEncodeError)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locks: dict[Path, IO[bytes]] = {}
        with ExitStack() as on_failure:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._raw = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
                on_failure.callback(self._raw.close)
                self._raw.execute("pragma synchronous = full")
                self._raw.execute("pragma secure_delete = on")  # what is forgotten does not stay in the file
            except self.failures as error:
                raise self.explain(error, str(path)) from error
            on_failure.pop_all()

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
        try:
            with path.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _lock_path(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}-{name}.lock")

    def compact(self) -> bool:
        try:
            self._raw.execute("vacuum")
            busy = self._raw.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return False
            raise
        return not busy

    def explain(self, error: BaseException, place: str) -> PenstockError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        text = str(error)
        if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return full(f"the disk of {place} is full: {text}")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return locked(place)
        if isinstance(error, sqlite3.DataError | UnicodeEncodeError):
            return bad_value(place, text)
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            return DefectError(f"the store {place} refused a statement: {text}", code="store.defect")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return FixError(
                f"{place} is not a readable store: {text}",
                code="store.corrupt",
                hint="Restore it from a backup, or move it away to start with an empty one.",
            )
        return StoppedError(
            f"cannot use the store {place}: {text}",
            code="store.unusable",
            hint="Check that the folder may be written and the disk has room, then run the same command again.",
        )

    def close(self) -> None:
        self._raw.close()
        for path, handle in self._locks.items():
            path.unlink(missing_ok=True)
            handle.close()
