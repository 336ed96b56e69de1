"""What every sink promises, held for each of them: add a builder here for a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from penstock.base.types import Change, Sink, SnapshotSink
from penstock.data.files import files_sink, files_source
from penstock.data.sql import sql_sink
from postgres import new_database
from reading import each, read_all

TABLE = "CREATE TABLE contacts (email TEXT PRIMARY KEY, score DOUBLE PRECISION, label TEXT)"
FIELDS = {"score": "number", "label": "text"}

Opener = Callable[[], Sink]


def sqlite_table(folder: Path) -> Opener:
    with closing(sqlite3.connect(folder / "out.db")) as connection, connection:
        connection.execute(TABLE)
    return lambda: sql_sink({"url": "sqlite:///out.db", "table": "contacts"}, folder)


def sqlite_table_without_key(folder: Path) -> Opener:
    with closing(sqlite3.connect(folder / "out.db")) as connection, connection:
        connection.execute(TABLE.replace("PRIMARY KEY", ""))
    return lambda: sql_sink({"url": "sqlite:///out.db", "table": "contacts"}, folder)


def postgresql_table(folder: Path) -> Opener:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
    return lambda: sql_sink({"url": url, "table": "contacts"}, folder)


@pytest.fixture(params=[sqlite_table, sqlite_table_without_key, postgresql_table], ids=lambda make: make.__name__)
async def sink(request, tmp_path):
    sink = request.param(tmp_path)()
    yield sink
    await sink.close()
    await sink.close()


def make_changes(count: int) -> list[Change]:
    return [Change(f"c{n}", "row", {"email": f"u{n}@x.y"}, {"score": n / 7, "label": f"l{n}"}) for n in range(count)]


async def test_it_is_a_sink_with_a_name_and_an_identity(sink):
    assert isinstance(sink, Sink)
    assert sink.describe()
    assert sink.identity()


async def test_the_check_writes_nothing_and_finds_all_columns(sink):
    assert [finding.verdict for finding in await sink.check(FIELDS)] == ["ok"]
    assert [outcome.state for outcome in await sink.find(make_changes(1))] == ["later"]


async def test_the_check_fails_for_a_field_that_does_not_exist(sink):
    [finding] = await sink.check({"lable": "text"})
    assert (finding.verdict, bool(finding.fix)) == ("fail", True)


async def test_every_change_has_one_outcome_and_writing_again_is_harmless(sink):
    changes = make_changes(30)
    for _ in range(2):
        assert [outcome.state for outcome in await sink.write(changes)] == ["confirmed"] * 30
    assert [outcome.state for outcome in await sink.find(changes)] == ["confirmed"] * 30


async def test_a_bad_change_is_rejected_in_its_place_and_the_others_are_written(sink):
    changes = make_changes(5)
    changes[2] = Change("bad", "row", {"email": "bad@x.y"}, {"score": "not a number"})
    outcomes = await sink.write(changes)
    assert [outcome.state for outcome in outcomes] == ["confirmed", "confirmed", "rejected", "confirmed", "confirmed"]
    assert outcomes[2].problem is not None
    assert outcomes[2].problem.hint


async def test_find_says_later_for_what_is_not_there(sink):
    await sink.write(make_changes(1))
    assert [outcome.state for outcome in await sink.find(make_changes(2))] == ["confirmed", "later"]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
async def test_a_snapshot_sink_holds_exactly_the_last_rows(tmp_path, format):
    sink = files_sink({"path": f"out.{format}"}, tmp_path)
    assert isinstance(sink, SnapshotSink)
    assert sink.describe()
    assert sink.identity() == files_sink({"path": f"out.{format}"}, tmp_path).identity()
    assert [finding.verdict for finding in await sink.check(FIELDS)] == ["ok"]
    assert list(tmp_path.iterdir()) == []
    for count in (5, 3):
        rows = [{"email": f"u{number}", "label": f"x{number}"} for number in range(count)]
        assert await sink.replace(each(rows)) == count
        records = await read_all(files_source({"path": f"out.{format}", "key": "email"}, tmp_path))
        assert [record.data for record in records] == rows
