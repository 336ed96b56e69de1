"""One database by its URL: how it is reached and named, and what its errors mean. Says nothing about records."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError, StatementError

from penstock.base.errors import AccessError, InputError, SettingsError
from penstock.base.redact import redact, register_secret
from penstock.data.rows import suggest, text_option

T = TypeVar("T")

Trouble = Literal["unavailable", "forbidden", "wrong"]

_CONNECT_SECONDS = 10
# PostgreSQL, appendix A (version 18): classes of errors that pass without anybody changing the statement.
_PASSING_CLASSES = ("08", "40", "53", "55", "57", "58")
_FORBIDDEN_STATES = ("42501", "28000", "28P01", "3D000")
_PASSING_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PROTOCOL")
_FORBIDDEN_SQLITE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_NOTADB")


class Database:
    """A database that is connected to when it is first used; usable from any thread."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url
        self.name = _name(url)
        self._engine: sa.Engine | None = None
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """What tells this database from others; holds neither user nor password."""
        if self.url.get_backend_name() == "sqlite":
            return f"sqlite:{self.url.database}"
        host = self.url.host or self.url.query.get("host", "")
        return f"{self.url.get_backend_name()}://{host}:{self.url.port or ''}/{self.url.database or ''}"

    @property
    def engine(self) -> sa.Engine:
        """The connection pool; raises `SettingsError` when the driver is not installed."""
        with self._lock:
            if self._engine is None:
                self._engine = _create_engine(self.url)
            return self._engine

    def require_file(self) -> None:
        """Raise `InputError` when an SQLite file is missing, which SQLite would create without a word."""
        if self.url.get_backend_name() == "sqlite" and not Path(str(self.url.database)).is_file():
            raise InputError(
                f"the database {self.name} does not exist",
                code="sql.missing-database",
                hint=f"Check the path; it was looked for at {self.url.database}.",
            )

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` on a connection; raises `InputError` or `AccessError` for what the database says."""
        try:
            with self.engine.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise self.explain(error) from error

    def find_table(self, name: str) -> tuple[str, str | None]:
        """Return table and schema of `table` or `schema.table`; raises `InputError` with the nearest name."""

        def look(connection: sa.Connection) -> tuple[str, str | None] | list[str]:
            inspector = sa.inspect(connection)
            if inspector.has_table(name):
                return name, None
            schema, _, table = name.rpartition(".")
            if schema and inspector.has_table(table, schema=schema):
                return table, schema
            return [*inspector.get_table_names(), *inspector.get_view_names()]

        found = self.read(look)
        if isinstance(found, tuple):
            return found
        raise InputError(
            f"{self.name} has no table {name!r}",
            code="sql.missing-table",
            hint=suggest(name, found) or f"It has: {', '.join(sorted(found)[:20]) or 'no tables at all'}.",
        )

    def explain(self, error: SQLAlchemyError) -> InputError | AccessError:
        """Turn a database error into one that says what to do."""
        trouble, reason = judge(error), reason_of(error)
        if trouble == "forbidden":
            return AccessError(
                f"{self.name} refuses: {reason}",
                code="sql.refused",
                hint="Check user, password and rights of the database URL.",
            )
        if trouble == "unavailable":
            hint = "Check that the database runs and that the URL is right, then run the same command again."
            return InputError(f"{self.name} cannot be used now: {reason}", code="sql.unavailable", hint=hint)
        return InputError(
            f"{self.name} does not accept the statement: {reason}",
            code="sql.failed",
            hint="Try the query in the database's own shell.",
        )

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None


def find_database(what: str, options: Mapping[str, Any], folder: Path) -> Database:
    """Read `url`; an SQLite path counts from `folder` on. Raises `InputError` when it cannot be a database's URL."""
    text = text_option(what, options, "url") or ""
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            f"the URL of {what} cannot be read",
            code="sql.bad-url",
            hint="Write sqlite:///feedback.db or postgresql://user:password@host/database.",
        ) from error
    if url.password:
        register_secret(str(url.password))
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise InputError(
                f"the URL of {what} names no file", code="sql.bad-url", hint="Write sqlite:///path/to/file.db."
            )
        url = url.set(database=str(folder.absolute() / Path(url.database).expanduser()))
    return Database(url)


def judge(error: SQLAlchemyError) -> Trouble:
    """Tell whether waiting helps (`unavailable`), rights are missing (`forbidden`), or the statement is `wrong`."""
    if not isinstance(error, DBAPIError):
        return "unavailable" if isinstance(error, sa.exc.TimeoutError) else "wrong"
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return "forbidden" if state in _FORBIDDEN_STATES else _passing(state.startswith(_PASSING_CLASSES))
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return "forbidden" if name.startswith(_FORBIDDEN_SQLITE) else _passing(name.startswith(_PASSING_SQLITE))
    return _passing(error.connection_invalidated or isinstance(error, sa.exc.OperationalError))


def _passing(is_passing: bool) -> Trouble:
    return "unavailable" if is_passing else "wrong"


def reason_of(error: Exception) -> str:
    """Return the database's own words, one line, without secrets and personal data."""
    cause: BaseException = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return redact(lines[0] if lines else type(cause).__name__)


def quiet_reflection() -> warnings.catch_warnings[None]:
    """Silence SQLAlchemy about column types that it does not know; they are read and written as they come."""
    return warnings.catch_warnings(action="ignore", category=sa.exc.SAWarning)


def _create_engine(url: sa.URL) -> sa.Engine:
    is_postgres = url.get_backend_name() == "postgresql"
    try:
        return sa.create_engine(
            url,
            pool_pre_ping=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS}
            if is_postgres and url.get_driver_name() == "psycopg"
            else {},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise SettingsError(
            f"there is no driver for {url.drivername} databases: {error}",
            code="sql.missing-driver",
            hint="Install the driver's package, or name another in the URL: dialect+driver://…",
        ) from error


def _name(url: sa.URL) -> str:
    if url.get_backend_name() == "sqlite":
        return Path(str(url.database)).name
    host = url.host or url.query.get("host", "") or "localhost"
    return f"{url.get_backend_name()}://{host}/{url.database or ''}"
