from __future__ import annotations

import datetime
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from penstock.base.errors import AccessError, InputError, SettingsError
from penstock.data.sql import sql_source
from postgres import new_database
from reading import read_all, read_pages


def fill_sqlite(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def fill(backend: str, folder: Path, *statements: str) -> str:
    if backend == "sqlite":
        fill_sqlite(folder / "shop.db", *statements)
        return "sqlite:///shop.db"
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    return url


BACKENDS = pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
ROWS = ", ".join(f"({n}, 'u{n}@x.y', 'text {n}', {n // 7})" for n in range(1, 51))
FEEDBACK = (
    "CREATE TABLE feedback (id INTEGER PRIMARY KEY, email TEXT, text TEXT, day INTEGER)",
    f"INSERT INTO feedback VALUES {ROWS}",
)


@BACKENDS
async def test_a_table_is_read_by_its_primary_key(tmp_path, backend):
    url = fill(backend, tmp_path, *FEEDBACK)
    source = sql_source({"url": url, "table": "feedback", "key": "email"}, tmp_path)
    pages = await read_pages(source, size=7)
    assert [len(page.records) for page in pages] == [7] * 7 + [1]
    record = pages[0].records[0]
    assert (record.key, record.where) == ("u1@x.y", "feedback id=1")
    assert record.data == {"id": 1, "email": "u1@x.y", "text": "text 1", "day": 0}


@BACKENDS
async def test_rows_are_counted(tmp_path, backend):
    url = fill(backend, tmp_path, *FEEDBACK)
    for relation, count in (({"table": "feedback"}, 50), ({"query": "SELECT * FROM feedback WHERE day > 3"}, 23)):
        source = sql_source({"url": url, "key": "email", **relation}, tmp_path)
        assert await source.count() == count
        await source.close()


@BACKENDS
@pytest.mark.parametrize("order", [[], ["day"], ["day", "email"], ["text"]])
@pytest.mark.parametrize("size", [8, 20])
async def test_every_cursor_goes_on_with_exactly_the_rest(tmp_path, backend, order, size):
    url = fill(backend, tmp_path, *FEEDBACK)
    source = sql_source({"url": url, "table": "feedback", "key": "email", "order": order}, tmp_path)
    whole = await read_all(source)
    assert len(whole) == 50
    done = 0
    for page in await read_pages(source, size=size):
        done += len(page.records)
        assert await read_all(source, page.cursor, size=11) == whole[done:]


@BACKENDS
async def test_a_query_is_read_by_its_key(tmp_path, backend):
    url = fill(backend, tmp_path, *FEEDBACK)
    query = """
        WITH late AS (SELECT * FROM feedback WHERE day > 3)
        SELECT email, text || ' at 12:30 :day 100%' AS text FROM late WHERE email LIKE 'u%' ; """
    source = sql_source({"url": url, "query": query, "key": "email"}, tmp_path)
    records = await read_all(source, size=5)
    assert sorted(record.key for record in records) == sorted(f"u{n}@x.y" for n in range(28, 51))
    assert records[0].data["text"].endswith(" at 12:30 :day 100%")


@BACKENDS
async def test_a_query_may_end_with_a_comment(tmp_path, backend):
    url = fill(backend, tmp_path, *FEEDBACK)
    source = sql_source({"url": url, "query": "SELECT * FROM feedback -- all", "key": "id"}, tmp_path)
    assert len(await read_all(source)) == 50


@BACKENDS
async def test_equal_order_values_are_never_skipped_at_a_page_border(tmp_path, backend):
    url = fill(
        backend,
        tmp_path,
        "CREATE TABLE t (name TEXT, day INTEGER)",
        "INSERT INTO t VALUES ('a', 1), ('b', 1), ('c', 2), ('d', 2), ('e', 3)",
    )
    source = sql_source({"url": url, "table": "t", "key": "name", "order": "day"}, tmp_path)
    for size in (2, 3, 4):
        assert sorted(record.key for record in await read_all(source, size=size)) == ["a", "b", "c", "d", "e"]
    with pytest.raises(InputError) as raised:
        await read_all(source, size=1)
    assert raised.value.code == "sql.bad-order"


async def test_values_that_a_collation_holds_equal_are_never_skipped(tmp_path):
    url = fill(
        "sqlite",
        tmp_path,
        "CREATE TABLE t (name TEXT COLLATE NOCASE, n INTEGER)",
        "INSERT INTO t VALUES ('A', 1), ('b', 2), ('B', 3), ('c', 4)",
    )
    source = sql_source({"url": url, "table": "t", "key": "n", "order": "name"}, tmp_path)
    assert sorted(record.key for record in await read_all(source, size=2)) == ["1", "2", "3", "4"]


@BACKENDS
async def test_rows_without_an_order_value_are_kept_aside(tmp_path, backend):
    url = fill(
        backend,
        tmp_path,
        "CREATE TABLE t (email TEXT, day INTEGER)",
        "INSERT INTO t VALUES ('a', 1), (NULL, 2), ('b', 3)",
    )
    pages = await read_pages(sql_source({"url": url, "table": "t", "key": "email"}, tmp_path))
    assert [record.key for page in pages for record in page.records] == ["a", "b"]
    assert [reject.problem.code for page in pages for reject in page.rejects] == ["input.no-order"]
    source = sql_source({"url": url, "table": "t", "key": "email"}, tmp_path)
    assert [r.key for r in await read_all(source, pages[0].cursor)] == ["a", "b"]
    fill_more = "INSERT INTO t VALUES (NULL, 4)"
    if backend == "sqlite":
        fill_sqlite(tmp_path / "shop.db", fill_more)
        with pytest.raises(InputError, match="have no value in email"):
            await read_all(source, size=1)


@BACKENDS
async def test_an_empty_key_is_kept_aside(tmp_path, backend):
    url = fill(backend, tmp_path, *FEEDBACK, "UPDATE feedback SET email = NULL WHERE id = 3")
    [page] = await read_pages(sql_source({"url": url, "table": "feedback", "key": "email"}, tmp_path))
    assert [reject.where for reject in page.rejects] == ["feedback id=3"]
    assert len(page.records) == 49


async def test_order_values_of_all_kinds_survive_the_cursor(tmp_path):
    url = fill(
        "postgresql",
        tmp_path,
        "CREATE TABLE t (at TIMESTAMPTZ, day DATE, n NUMERIC, u UUID, b BYTEA, f FLOAT8, s TEXT, net INET)",
        "INSERT INTO t SELECT now() + i * interval '1 ms', date '2026-01-01' + i, i / 7.0, gen_random_uuid(),"
        " decode(md5(i::text), 'hex'), i / 7.0, md5(i::text), '10.0.0.1' FROM generate_series(1, 25) AS i",
    )
    for order in ("at", "day", "n", "u", "b", "f", "s"):
        source = sql_source({"url": url, "table": "t", "key": "s", "order": order}, tmp_path)
        whole = await read_all(source)
        assert len(whole) == 25
        pages = await read_pages(source, size=10)
        assert await read_all(source, pages[0].cursor) == whole[10:]
    row = whole[0].data
    assert isinstance(row["at"], datetime.datetime)
    assert isinstance(row["u"], uuid.UUID)
    assert row["net"] == "10.0.0.1"


async def test_inexact_order_columns_stop_instead_of_repeating(tmp_path):
    url = fill("postgresql", tmp_path, "CREATE TABLE t (s TEXT, f REAL)", "INSERT INTO t VALUES ('a', 0.1), ('b', 0.2)")
    with pytest.raises(InputError) as raised:
        await read_all(sql_source({"url": url, "table": "t", "key": "s", "order": "f"}, tmp_path), size=1)
    assert raised.value.code == "sql.bad-order"


async def test_text_that_is_not_utf_8_is_kept_aside(tmp_path):
    url = fill("sqlite", tmp_path, *FEEDBACK, "UPDATE feedback SET text = CAST(x'78ff79' AS TEXT) WHERE id = 2")
    [page] = await read_pages(sql_source({"url": url, "table": "feedback", "key": "id"}, tmp_path))
    assert len(page.records) == 49
    [reject] = page.rejects
    assert (reject.where, reject.raw) == ("feedback id=2", "x\\xffy")
    assert reject.problem.message == "the text in text is not utf-8: byte 2 is 0xff"


async def test_a_cursor_of_another_order_is_refused(tmp_path):
    url = fill("sqlite", tmp_path, *FEEDBACK)
    [page] = await read_pages(sql_source({"url": url, "table": "feedback", "key": "id"}, tmp_path))
    with pytest.raises(InputError, match="was read by id, now by day, id"):
        await read_all(
            sql_source({"url": url, "table": "feedback", "key": "id", "order": "day"}, tmp_path), page.cursor
        )


@BACKENDS
@pytest.mark.parametrize(
    ("options", "code", "hint"),
    [
        ({"table": "feedbak", "key": "id"}, "sql.missing-table", "Did you mean 'feedback'?"),
        ({"table": "feedback", "key": "emial"}, "input.missing-column", "Did you mean 'email'?"),
        ({"table": "feedback", "key": "id", "order": "dayy"}, "input.missing-column", "Did you mean 'day'?"),
        ({"query": "SELECT nothing FROM feedback", "key": "id"}, "sql.failed", "shell"),
        ({"query": "DELETE FROM feedback", "key": "id"}, "sql.failed", "shell"),
    ],
)
async def test_wrong_names_and_statements_are_one_clear_error(tmp_path, backend, options, code, hint):
    url = fill(backend, tmp_path, *FEEDBACK)
    with pytest.raises(InputError) as raised:
        await read_all(sql_source({"url": url, **options}, tmp_path))
    assert raised.value.code == code
    assert hint in raised.value.hint


async def test_two_columns_of_one_name_are_refused(tmp_path):
    url = fill("postgresql", tmp_path, *FEEDBACK)
    with pytest.raises(InputError, match="two columns named 'id'"):
        await read_all(sql_source({"url": url, "query": "SELECT id, id FROM feedback", "key": "id"}, tmp_path))


async def test_a_missing_sqlite_file_is_an_error_and_is_not_created(tmp_path):
    with pytest.raises(InputError) as raised:
        await read_all(sql_source({"url": "sqlite:///none.db", "table": "t", "key": "id"}, tmp_path))
    assert raised.value.code == "sql.missing-database"
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_no_database_is_one_clear_error(tmp_path):
    (tmp_path / "shop.db").write_text("id,text\n" * 100)
    with pytest.raises(AccessError, match="not a database"):
        await read_all(sql_source({"url": "sqlite:///shop.db", "table": "t", "key": "id"}, tmp_path))


async def test_a_database_that_is_down_is_one_clear_error(tmp_path):
    url = "postgresql://someone:hunter22@127.0.0.1:9/shop"
    source = sql_source({"url": url, "table": "t", "key": "id"}, tmp_path)
    with pytest.raises(InputError) as raised:
        await read_all(source)
    assert raised.value.code == "sql.unavailable"
    for shown in (raised.value.message, raised.value.hint, source.describe(), source.identity()):
        assert "hunter22" not in shown
        assert "someone" not in shown


async def test_a_missing_driver_is_named(tmp_path):
    with pytest.raises(SettingsError, match="no driver"):
        await read_all(sql_source({"url": "mysql+nonsense://h/db", "table": "t", "key": "id"}, tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        {"url": "sqlite:///a.db", "key": "id"},
        {"url": "sqlite:///a.db", "key": "id", "table": "t", "query": "SELECT 1"},
        {"url": "sqlite://", "key": "id", "table": "t"},
        {"url": "nonsense", "key": "id", "table": "t"},
        {"url": "sqlite:///a.db", "table": "t"},
        {"url": "sqlite:///a.db", "table": "t", "key": "id", "limit": 5},
    ],
)
def test_wrong_options_are_clear_errors_with_a_hint(tmp_path, options):
    with pytest.raises(InputError) as raised:
        sql_source(options, tmp_path)
    assert raised.value.hint


async def test_rows_that_are_added_behind_are_read_and_nothing_twice(tmp_path):
    url = fill("sqlite", tmp_path, *FEEDBACK)
    source = sql_source({"url": url, "table": "feedback", "key": "id"}, tmp_path)
    reading = source.pages(size=20)
    keys = [record.key for record in (await anext(reading)).records]
    fill_sqlite(tmp_path / "shop.db", "INSERT INTO feedback VALUES (51, 'x', 'y', 0), (-1, 'x', 'y', 0)")
    keys += [record.key async for page in reading for record in page.records]
    await source.close()
    assert keys == [str(number) for number in range(1, 52)]
