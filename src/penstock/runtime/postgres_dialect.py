"""The store on PostgreSQL: one writer at a time, connections opened anew when the server went away."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import Any

from penstock.base.errors import DefectError, FixError, PenstockError, StoppedError
from penstock.base.redact import redact, register_secret
from penstock.runtime.dialects import (
    BUSY_SECONDS,
    LOST,
    Tx,
    bad_value,
    full,
    load_queries,
    locked,
    split_statements,
)

RECONNECT_TRIES, RECONNECT_SECONDS = 60, 0.5
"""How often, and after which pause, a server that went away is tried again: a restart takes seconds."""

_TYPES = {"$ID": "bigint primary key", "$BLOB": "bytea", "$REAL": "double precision", "$WITHOUT_ROWID": ""}
_START = f"""
set lock_timeout = '{BUSY_SECONDS:g}s';
set idle_in_transaction_session_timeout = '{BUSY_SECONDS - 5:g}s'; -- a frozen writer goes before others give up
set client_encoding = 'UTF8'
"""
_BEGIN = "begin; select pg_advisory_xact_lock(hashtextextended('penstock store', 0))"
_REFUSED = re.compile(r"authentication failed|(role|user|database) \"[^\"]*\" does not exist|no pg_hba|no password")


def check_url(url: str) -> str:
    """Return a URL without its password, which is removed from every message from now on."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    wrong = FixError(
        "the PostgreSQL URL cannot be read",
        code="store.bad-url",
        hint="Write postgresql://user:password@host/database; in the password, @ is %40, / is %2F and : is %3A.",
    )
    if url.partition("://")[2].partition("?")[0].count("@") > 1:
        raise wrong  # what follows the first @ would be taken for a host, and shown
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise wrong from None  # its text may quote the password
    if parts.get("password"):
        register_secret(str(parts["password"]))
    return f"postgresql://{parts.get('host') or 'localhost'}/{parts.get('dbname') or parts.get('user') or ''}"


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

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            with self._raw.cursor() as cursor, cursor.copy(f"copy {table} ({', '.join(rows[0])}) from stdin") as copy:
                for row in rows:
                    copy.write_row(tuple(row.values()))

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
        for statement in split_statements(text, _TYPES):
            self._raw.execute(statement)


@cache
def _for_postgres(name: str) -> str:
    text = load_queries()[name].replace("%", "%%")
    return re.sub(r"(?<![:\w]):(\w+)", r"%(\1)s", text)


class PostgresConnection:
    """One connection to PostgreSQL, opened anew when the server went away.

    Write transactions take turns, as they do on SQLite: without that, two processes could
    both see room in a budget. One transaction carries all callers that wait, so little is lost.
    """

    failures: tuple[type[BaseException], ...]

    def __init__(self, url: str) -> None:
        import psycopg

        self.failures = (psycopg.Error, OSError, UnicodeEncodeError)
        self._url = url
        self._locks: list[str] = []
        self._batches = 0
        self._closing = threading.Event()
        self._raw: psycopg.Connection[Any] = self._connect(tries=1)

    def _connect(self, tries: int = RECONNECT_TRIES) -> Any:
        import psycopg

        while True:
            try:
                raw = psycopg.connect(
                    self._url, autocommit=True, connect_timeout=5, keepalives_idle=30, tcp_user_timeout=30_000
                )
                raw.execute(_START)
                for name in self._locks:
                    raw.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (name,))
            except self.failures as error:
                problem = self._explain(error, redact(self._url), lost=True)
                tries -= 1
                if tries <= 0 or problem.code != LOST or self._closing.wait(RECONNECT_SECONDS):
                    raise problem from error
            else:
                return raw

    def prepare(self) -> None:
        """PostgreSQL needs nothing before its first use."""

    @contextmanager
    def writing(self) -> Iterator[Tx]:
        if self._raw.closed:
            self._raw = self._connect()
        try:
            self._raw.execute(_BEGIN)
            yield PostgresTx(self._raw)
            self._commit()
        except BaseException:
            with suppress(*self.failures):
                self._raw.execute("rollback")
            raise

    def _commit(self) -> None:
        self._batches += 1
        mark = f"update sessions set batches = {self._batches} where id = '{self._locks[0]}'; " if self._locks else ""
        try:
            self._raw.execute(mark + "commit")
        except self.failures:
            if not self._raw.closed or not self._is_committed():
                raise

    def _is_committed(self) -> bool:
        """Look what became of a commit whose answer was lost; to repeat it blindly could count money twice."""
        try:
            with closing(self._connect()) as raw:
                raw.execute(_BEGIN)  # the lost transaction has ended when its lock is free
                found = raw.execute("select batches from sessions where id = any(%s)", (self._locks,)).fetchall()
                return bool(found == [(self._batches,)])
        except self.failures as error:
            raise StoppedError(
                f"it is not known whether the last change was written: {redact(str(error)).strip()}",
                code="store.in-doubt",
                hint="Run the same command again: it reads what is there and goes on.",
            ) from error

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        if self._raw.closed:
            self._raw = self._connect()
        yield PostgresTx(self._raw)

    def hold(self, name: str) -> None:
        self._raw.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (name,))
        self._locks.append(name)

    def is_held(self, name: str) -> bool:
        rows = self._raw.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchall()
        taken = bool(rows[0][0])
        if taken:
            self._raw.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
        return not taken

    def compact(self) -> bool:
        return False  # rows stay in their pages until autovacuum and later writes replace them

    def explain(self, error: BaseException, place: str) -> PenstockError:
        return self._explain(error, place, lost=self._raw.closed)

    def _explain(self, error: BaseException, place: str, *, lost: bool) -> PenstockError:
        import psycopg

        text = redact(str(error)).strip()
        state = getattr(error, "sqlstate", None) or ""
        if state == "53100":
            return full(f"the database {place} has no space left: {text}")
        if state == "55P03":
            return locked(place)
        if lost or state.startswith("28"):
            return _explain_connection(text, state, place)
        if isinstance(error, psycopg.DataError | UnicodeEncodeError):
            return bad_value(place, text)
        if isinstance(error, psycopg.IntegrityError | psycopg.ProgrammingError):
            return DefectError(f"the database {place} refused a statement: {text}", code="store.defect")
        return StoppedError(
            f"cannot use the database {place}: {text}",
            code="store.unusable",
            hint="Look into the log of the server, then run the same command again.",
        )

    def close(self) -> None:
        self._closing.set()
        self._raw.close()


def _explain_connection(text: str, state: str, place: str) -> PenstockError:
    if state.startswith("28") or _REFUSED.search(text):
        return FixError(
            f"the database {place} refused the connection: {text}",
            code="store.refused",
            hint="Check user, password and database name in PENSTOCK_DATABASE_URL.",
        )
    return StoppedError(
        f"cannot reach the database {place}: {text}",
        code="store.unreachable",
        hint="Check that the server runs and PENSTOCK_DATABASE_URL is right, then run the same command again.",
    )
