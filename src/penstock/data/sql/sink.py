"""A table as a sink: each change updates the row that it matches, or inserts it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from penstock.base.errors import AccessError, InputError, SettingsError
from penstock.base.types import Change, Finding, Outcome, Problem, Sink
from penstock.data.rows import check_options, flag_option, suggest, text_option
from penstock.data.sql.columns import accepts, create_table, fit, is_equal
from penstock.data.sql.database import Database, find_database, judge, quiet_reflection, reason_of

OPTIONS = ("url", "table", "create")

_CONFIRMED = Outcome("confirmed")
_HINT = "Check the value against the column's type and the table's constraints."


class _Row(NamedTuple):
    """One change in the types of the table: the columns that find the row, and those that are set."""

    at: int
    match: dict[str, Any]
    fields: dict[str, Any]


class _Target(NamedTuple):
    """The table, the sets of columns that are unique in it, and the columns that an insert must bring."""

    table: sa.Table
    unique: list[frozenset[str]]
    required: frozenset[str]


class SqlSink:
    """Writes changes into one table; writing a change again changes nothing.

    The changes of one `write` are one transaction. When one of them fails, each gets
    a transaction of its own, so that only the bad ones are rejected.
    """

    def __init__(self, database: Database, table: str, create: bool) -> None:
        self._database = database
        self._table = table
        self._create = create
        self._kinds: dict[str, str] = {}
        self._target: _Target | None = None

    def describe(self) -> str:
        return f"table {self._table} in {self._database.name}"

    def identity(self) -> str:
        return f"{self._database.identity}#table:{self._table}"

    async def check(self, fields: dict[str, str]) -> list[Finding]:
        return await asyncio.to_thread(self._check, fields)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return await asyncio.to_thread(self._write, changes)

    async def find(self, changes: Sequence[Change]) -> list[Outcome]:
        return await asyncio.to_thread(self._find, changes)

    async def close(self) -> None:
        await asyncio.to_thread(self._database.close)

    def _check(self, fields: dict[str, str]) -> list[Finding]:
        self._kinds = dict(fields)
        name = self.describe()
        try:
            target = self._load()
        except (InputError, AccessError, SettingsError) as error:
            if self._create and error.code in ("sql.missing-table", "sql.missing-database"):
                return [Finding(name, "ok", f"{name} will be created with {', '.join(fields)}")]
            fix = "Add `create: true` to have it made." if error.code == "sql.missing-table" else error.hint
            return [Finding(name, "fail", error.message, fix)]
        findings = []
        for field, kind in fields.items():
            if field not in target.table.c:
                fix = suggest(field, target.table.c.keys()) or f"ALTER TABLE {self._table} ADD COLUMN {field} …"
                findings.append(Finding(name, "fail", f"{name} has no column {field!r}", fix))
            elif (taken := accepts(target.table.c[field].type, kind)) != "yes":
                message = f"the column {field!r} is {target.table.c[field].type}, the flow writes a {kind}"
                fix = "Change the column's type, or what is written to it."
                findings.append(Finding(name, "warn" if taken == "some" else "fail", message, fix))
        return findings or [Finding(name, "ok", f"{name} has all columns")]

    def _load(self, changes: Sequence[Change] = ()) -> _Target:
        """Look the table up, once; makes it from `changes` when it is missing and may be made."""
        if self._target is None:
            try:
                if not (self._create and changes):
                    self._database.require_file()
                name, schema = self._database.find_table(self._table)
            except InputError as error:
                if not (self._create and changes and error.code == "sql.missing-table"):
                    raise
                create_table(self._database, self._table, changes, self._kinds)
                name, schema = self._database.find_table(self._table)
            self._target = self._database.read(lambda connection: _reflect(connection, name, schema))
        return self._target

    def _write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: list[Outcome] = [_CONFIRMED] * len(changes)
        if not changes:
            return outcomes
        try:
            target = self._load(changes)
        except InputError as error:
            if error.code != "sql.unavailable":
                raise
            return [Outcome("later", Problem.from_error(error))] * len(changes)
        rows = []
        for at, change in enumerate(changes):
            row = self._fit(target, at, change)
            if isinstance(row, Outcome):
                outcomes[at] = row
            else:
                rows.append(row)
        self._write_rows(target, rows, outcomes)
        return outcomes

    def _write_rows(self, target: _Target, rows: Sequence[_Row], outcomes: list[Outcome]) -> None:
        failed = self._try(target, rows) if rows else None
        if failed is None:
            return
        if failed.state != "rejected" or len(rows) == 1:
            for row in rows:
                outcomes[row.at] = failed
            return
        for done, row in enumerate(rows):
            one = self._try(target, [row])
            outcomes[row.at] = one or _CONFIRMED
            if one is not None and one.state != "rejected":
                later = Outcome("later", one.problem)
                for rest in rows[done + 1 :]:
                    outcomes[rest.at] = later
                return

    def _try(self, target: _Target, rows: Sequence[_Row]) -> Outcome | None:
        """Write rows in one transaction; returns what became of all of them when that failed."""
        is_committing = False
        try:
            with self._database.engine.connect() as connection:
                for _, same in groupby(rows, key=lambda row: (*row.match, "", *row.fields)):
                    _put(connection, target, list(same))
                is_committing = True
                connection.commit()
        except SQLAlchemyError as error:
            return self._explain(error, is_committing)
        except (ValueError, TypeError, OverflowError) as error:
            return self._reject(reason_of(error), _HINT)  # the driver itself cannot send the value
        return None

    def _explain(self, error: SQLAlchemyError, is_committing: bool) -> Outcome:
        trouble = judge(error)
        if trouble == "forbidden":
            raise self._database.explain(error) from error
        if trouble == "wrong":
            return self._reject(reason_of(error), _HINT)
        problem = Problem.from_error(self._database.explain(error), self.describe())
        # SQLite keeps or drops a commit as a whole before it answers; a server may have kept it and lost the line.
        is_unknown = is_committing and self._database.url.get_backend_name() != "sqlite"
        return Outcome("unknown" if is_unknown else "later", problem)

    def _fit(self, target: _Target, at: int, change: Change) -> _Row | Outcome:
        """Turn a change into the table's types; raises `InputError` for a column that does not exist."""
        table = target.table
        for name in (*change.match, *change.fields):
            if name not in table.c:
                raise InputError(
                    f"{self.describe()} has no column {name!r}",
                    code="sql.missing-column",
                    hint=suggest(name, table.c.keys()) or f"ALTER TABLE {self._table} ADD COLUMN {name} …",
                )
        if not change.match or any(value is None for value in change.match.values()):
            return self._reject("there is no value to find the row by", "Give every match column a value.")
        try:
            match = {name: fit(value, table.c[name].type) for name, value in change.match.items()}
            fields = {name: fit(value, table.c[name].type) for name, value in change.fields.items()}
        except ValueError as error:
            return self._reject(str(error), "Change what the flow writes, or the type of the column.")
        if any(name in match and match[name] != value for name, value in fields.items()):
            return self._reject("the change would alter the column that finds its row", "Write to another column.")
        return _Row(at, match, {name: value for name, value in fields.items() if name not in match})

    def _reject(self, message: str, hint: str) -> Outcome:
        return Outcome("rejected", Problem("sql.rejected", message, hint, self.describe()))

    def _find(self, changes: Sequence[Change]) -> list[Outcome]:
        if not changes:
            return []
        try:
            target = self._load()
            return self._database.read(lambda connection: [self._find_one(connection, target, one) for one in changes])
        except InputError as error:
            if error.code == "sql.missing-table" and self._create:
                return [Outcome("later")] * len(changes)
            if error.code != "sql.unavailable":
                raise
            return [Outcome("unknown", Problem.from_error(error))] * len(changes)

    def _find_one(self, connection: sa.Connection, target: _Target, change: Change) -> Outcome:
        row = self._fit(target, 0, change)
        if isinstance(row, Outcome):
            return row
        statement = sa.select(*(target.table.c[name] for name in (*row.match, *row.fields)))
        try:
            found = connection.execute(statement.where(*_conditions(target.table, row.match))).mappings().all()
        except (ValueError, TypeError):
            return Outcome("later")  # what stands there is not even of the column's type
        has_all = found and all(is_equal(one[name], value) for one in found for name, value in row.fields.items())
        return _CONFIRMED if has_all else Outcome("later")


def sql_sink(options: Mapping[str, Any], folder: Path) -> Sink:
    """Make a sink of a table.

    Options: `url` (SQLite paths count from `folder` on), `table`, and `create` (true: make the table when it
    is missing; its columns are those that are written, its primary key those that changes are matched by).
    Raises `InputError` for wrong options; the database is reached when it is checked or written to.
    """
    what = "the sql sink"
    check_options(what, options, OPTIONS, ("url", "table"))
    create = flag_option(what, options, "create", default=False)
    return SqlSink(find_database(what, options, folder), text_option(what, options, "table") or "", create)


def _reflect(connection: sa.Connection, name: str, schema: str | None) -> _Target:
    with quiet_reflection():
        table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection)
        inspector = sa.inspect(connection)
        unique = [frozenset(column.name for column in table.primary_key)]
        unique += [frozenset(one["column_names"]) for one in inspector.get_unique_constraints(name, schema)]
        for index in inspector.get_indexes(name, schema):
            # A unique index over a part of the rows or over an expression does not stop two equal rows.
            is_partial = any(option.endswith("_where") for option in index.get("dialect_options", {}))
            if index["unique"] and not is_partial and None not in index["column_names"]:
                unique.append(frozenset(str(column) for column in index["column_names"]))
    required = frozenset(
        column.name
        for column in table.columns
        if not column.nullable
        and column.server_default is None
        and column.identity is None
        and column.computed is None
        and table.autoincrement_column is not column
    )
    return _Target(table, [one for one in unique if one], required)


def _put(connection: sa.Connection, target: _Target, rows: Sequence[_Row]) -> None:
    """Write rows that have the same columns."""
    match, fields = rows[0].match, rows[0].fields
    dialect = connection.dialect.name
    # An insert that lacks a required column fails even where the row exists and would only be updated.
    can_insert = target.required <= match.keys() | fields.keys()
    if dialect not in ("sqlite", "postgresql") or frozenset(match) not in target.unique or not can_insert:
        for row in rows:
            _update_or_insert(connection, target.table, row)
        return
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(target.table)
    if fields:
        changed = {name: insert.excluded[name] for name in fields}
        statement = insert.on_conflict_do_update(index_elements=list(match), set_=changed)
    else:
        statement = insert.on_conflict_do_nothing(index_elements=list(match))
    connection.execute(statement, [row.match | row.fields for row in rows])


def _update_or_insert(connection: sa.Connection, table: sa.Table, row: _Row) -> None:
    where = _conditions(table, row.match)
    if row.fields:
        is_there = connection.execute(sa.update(table).where(*where).values(row.fields)).rowcount > 0
    else:
        is_there = connection.execute(sa.select(sa.literal(1)).select_from(table).where(*where)).first() is not None
    if not is_there:
        connection.execute(sa.insert(table).values(row.match | row.fields))


def _conditions(table: sa.Table, match: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in match.items()]
