"""A table or a query as a source of records, read page by page behind the last key (never by offset)."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import hashlib
import unicodedata
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from penstock.base.errors import InputError
from penstock.base.types import Page, Record, Reject, Source
from penstock.data.rows import (
    check_options,
    make_key,
    names_option,
    reject,
    reject_key,
    require_columns,
    require_unique,
    text_option,
)
from penstock.data.sql.database import Database, find_database, quiet_reflection

OPTIONS = ("url", "table", "query", "key", "order")

_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
_PLAIN = frozenset((str, int, float, bool, bytes, type(None), list, dict, decimal.Decimal, uuid.UUID, *_TIMES))


@dataclass(frozen=True, slots=True)
class _Relation:
    """What is selected from: its columns, and those that order it and together are unique."""

    relation: sa.FromClause
    columns: tuple[str, ...]
    order: tuple[str, ...]


class SqlSource:
    """Records of a table or query in the order of its order columns.

    Each page is one short query, so that no transaction stays open while records are
    worked on. Rows that appear before the last key while it runs are seen by the next run.
    """

    def __init__(
        self, database: Database, table: str | None, query: str | None, key: Sequence[str], order: Sequence[str]
    ) -> None:
        self._database = database
        self._table = table
        self._query = query
        self._key = tuple(key)
        self._order = tuple(order)
        self._label = table or "query"
        self._relation: _Relation | None = None

    def describe(self) -> str:
        return f"table {self._table} in {self._database.name}" if self._table else f"query in {self._database.name}"

    def identity(self) -> str:
        what = f"table:{self._table}" if self._table else f"query:{_digest(self._query or '')}"
        return f"{self._database.identity}#{what}"

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        relation = await asyncio.to_thread(self._prepare)
        if cursor is None:
            page = await asyncio.to_thread(self._read_unordered, relation, size)
            if page.rejects:
                yield page
        after = self._resume(relation, cursor)
        is_last = False
        while not is_last:
            page, after, is_last = await asyncio.to_thread(self._read, relation, after, size)
            if page.records or page.rejects:
                yield page

    async def count(self) -> int | None:
        relation = await asyncio.to_thread(self._prepare)
        statement = sa.select(sa.func.count()).select_from(relation.relation)
        return await asyncio.to_thread(self._database.read, lambda connection: connection.scalar(statement))

    async def close(self) -> None:
        await asyncio.to_thread(self._database.close)

    def _prepare(self) -> _Relation:
        if self._relation is None:
            self._database.require_file()
            self._relation = self._find_table() if self._table else self._find_query()
        return self._relation

    def _find_table(self) -> _Relation:
        name, schema = self._database.find_table(self._table or "")

        def look(connection: sa.Connection) -> tuple[list[str], list[str]]:
            inspector = sa.inspect(connection)
            with quiet_reflection():
                columns = [column["name"] for column in inspector.get_columns(name, schema)]
            return columns, inspector.get_pk_constraint(name, schema)["constrained_columns"]

        columns, primary = self._database.read(look)
        order = (*self._order, *(one for one in primary if one not in self._order)) or self._key
        relation = sa.table(name, *(sa.column(one) for one in columns), schema=schema)
        return self._checked(_Relation(relation, tuple(columns), order))

    def _find_query(self) -> _Relation:
        text = (self._query or "").strip().rstrip(";").replace(":", "\\:")
        # The line break ends a comment that the query may end with.
        draft = sa.text(f"SELECT * FROM ({text}\n) AS q WHERE 1 = 0")
        columns = tuple(self._database.read(lambda connection: list(connection.execute(draft).keys())))
        require_unique(self.describe(), columns)
        relation = sa.text(f"{text}\n").columns(*(sa.column(one) for one in columns)).subquery("q")
        return self._checked(_Relation(relation, columns, self._order or self._key))

    def _checked(self, relation: _Relation) -> _Relation:
        require_columns(self.describe(), self._key, relation.columns)
        require_columns(self.describe(), self._order, relation.columns, option="order")
        return relation

    def _resume(self, relation: _Relation, cursor: dict[str, Any] | None) -> list[Any] | None:
        if cursor is None:
            return None
        if tuple(cursor["order"]) != relation.order:
            raise InputError(
                f"{self.describe()} was read by {', '.join(cursor['order'])}, now by {', '.join(relation.order)}",
                code="sql.changed",
                hint="Start the run anew: records that did not change cost nothing again.",
            )
        return None if cursor["after"] is None else [_thaw(value) for value in cursor["after"]]

    def _read_unordered(self, relation: _Relation, size: int) -> Page:
        """Keep the rows aside that have no place in the order; many of them mean that the order is a wrong one."""
        columns = [relation.relation.c[name] for name in relation.order]
        statement = sa.select(relation.relation).where(sa.or_(*(column.is_(None) for column in columns)))
        rows, _ = self._fetch(statement.limit(size + 1))
        names = ", ".join(relation.order)
        if len(rows) > size:
            raise InputError(
                f"more than {size} rows of {self.describe()} have no value in {names}",
                code="sql.no-order",
                hint="Set `order` to columns that always have a value, or leave those rows out with `query`.",
            )
        hint = f"Fill in {names}, or set `order` to columns that always have a value."
        message = f"the row has no value in {names}"
        return Page(
            [],
            [reject(f"{self._label} (no {names})", repr(row), "input.no-order", message, hint) for row in rows],
            {"order": list(relation.order), "after": None},
        )

    def _read(self, relation: _Relation, after: list[Any] | None, size: int) -> tuple[Page, list[Any] | None, bool]:
        """Return the page behind `after`, the last key in it, and whether it is the last page."""
        columns = [relation.relation.c[name] for name in relation.order]
        statement = sa.select(relation.relation).where(*(column.is_not(None) for column in columns)).order_by(*columns)
        if after is not None:
            statement = statement.where(_behind(columns, after))
        rows, is_broken = self._fetch(statement.limit(size + 1))
        order_at = [relation.columns.index(name) for name in relation.order]
        keys = [[row[at] for at in order_at] for row in rows]
        if keys and keys[0] == after:
            raise self._bad_order(relation, "values that are not equal to themselves when they are compared")
        end = len(rows)
        if end > size:
            end = size
            while end and _fold(keys[end - 1]) == _fold(keys[size]):
                end -= 1  # equal keys stay together, or the rest of them would be skipped
            if not end:
                raise self._bad_order(relation, f"more than {size} rows with the same value")
        if end:
            after = keys[end - 1]
        page = Page([], [], {"order": list(relation.order), "after": after and [_freeze(one) for one in after]})
        for row, key in zip(rows[:end], keys, strict=False):
            self._add(page, relation, row, key, is_broken)
        return page, after, end == len(rows)

    def _add(self, page: Page, relation: _Relation, row: Sequence[Any], order: list[Any], is_broken: bool) -> None:
        place = ", ".join(f"{name}={value}" for name, value in zip(relation.order, order, strict=True))
        where = f"{self._label} {place}"
        data = {
            name: value if type(value) in _PLAIN else str(value)
            for name, value in zip(relation.columns, row, strict=True)
        }
        if is_broken and (fault := _find_broken_text(where, data)) is not None:
            page.rejects.append(fault)
            return
        try:
            page.records.append(Record(make_key([data[name] for name in self._key]), data, where))
        except ValueError as error:
            page.rejects.append(reject_key(where, repr(row), error, self._key))

    def _fetch(self, statement: sa.Select[Any]) -> tuple[Sequence[Sequence[Any]], bool]:
        """Return the rows, and whether texts in them are not UTF-8 (SQLite lets anything in)."""

        def work(connection: sa.Connection) -> tuple[Sequence[Sequence[Any]], bool]:
            try:
                return connection.execute(statement).all(), False
            except OperationalError as error:
                if "Could not decode to UTF-8" not in str(error.orig):
                    raise
            driver: Any = connection.connection.driver_connection
            driver.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            try:
                return connection.execute(statement).all(), True
            finally:
                driver.text_factory = str

        return self._database.read(work)

    def _bad_order(self, relation: _Relation, what: str) -> InputError:
        return InputError(
            f"{self.describe()} cannot be read by {', '.join(relation.order)}: it has {what}",
            code="sql.bad-order",
            hint="Set `order` to columns that are unique together, such as `order: [updated_at, id]`.",
        )


def sql_source(options: Mapping[str, Any], folder: Path) -> Source:
    """Make a source of a table or a query.

    Options: `url` (SQLite paths count from `folder` on), either `table` or `query`, `key` (the column
    or columns that identify a record) and `order` (columns to read by; a table's primary key completes
    them and is the default, a query's default is its key). The order must be unique; an index makes it fast.
    Raises `InputError` for wrong options; the database is reached by `pages` and `count`.
    """
    what = "the sql source"
    check_options(what, options, OPTIONS, ("url", "key"))
    table, query = text_option(what, options, "table"), text_option(what, options, "query")
    if bool(table) == bool(query):
        raise InputError(
            f"{what} needs either a table or a query",
            code="input.missing-option",
            hint="Add `table: name` or `query: SELECT …`, not both.",
        )
    key, order = names_option(what, options, "key"), names_option(what, options, "order")
    return SqlSource(find_database(what, options, folder), table, query, key, order)


def _behind(columns: Sequence[sa.ColumnElement[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Return the condition for rows behind `values`; in this form an index on the first column is used."""
    first, value = columns[0], values[0]
    behind: sa.ColumnElement[bool] = first > value
    if len(columns) > 1:
        behind = sa.and_(first >= value, sa.or_(behind, _behind(columns[1:], values[1:])))
    return behind


def _fold(key: Sequence[Any]) -> list[Any]:
    """Make all keys equal that some collation may hold equal (case, accents, blanks)."""

    def fold(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        letters = unicodedata.normalize("NFKD", value.casefold())
        return "".join(letter for letter in letters if not unicodedata.combining(letter)).strip()

    return [fold(value) for value in key]


def _find_broken_text(where: str, data: Mapping[str, Any]) -> Reject | None:
    for name, value in data.items():
        if isinstance(value, str):
            raw = value.encode("utf-8", "surrogateescape")
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                message = f"the text in {name} is not utf-8: byte {error.start + 1} is 0x{raw[error.start]:02x}"
                shown = raw.decode("utf-8", "backslashreplace")
                return reject(where, shown, "input.bad-bytes", message, "Repair the text in the database.")
    return None


def _freeze(value: Any) -> Any:
    """Turn an order value into plain JSON."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    for kind in (datetime.datetime, datetime.date, decimal.Decimal, uuid.UUID):
        if isinstance(value, kind):
            return {kind.__name__: value.isoformat() if isinstance(value, datetime.date) else str(value)}
    raise InputError(
        f"rows cannot be read in the order of {type(value).__name__} values",
        code="sql.bad-order",
        hint="Set `order` to a column of numbers, texts or times.",
    )


def _thaw(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, text)] = value.items()
    makers: dict[str, Any] = {
        "bytes": bytes.fromhex,
        "datetime": datetime.datetime.fromisoformat,
        "date": datetime.date.fromisoformat,
        "Decimal": decimal.Decimal,
        "UUID": uuid.UUID,
    }
    return makers[kind](text)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
