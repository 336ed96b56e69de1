"""What every source promises, held for each of them: add a builder here for a new one."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.base.errors import InputError
from penstock.base.types import Source
from penstock.data.files import files_source
from penstock.data.sql import sql_source
from postgres import new_database
from reading import read_all, read_pages

ROWS = [{"email": f"u{number:03}@example.com", "text": f"line one\nline {number}"} for number in range(47)]

Opener = Callable[..., Source]


def csv_file(folder: Path) -> Opener:
    with (folder / "in.csv").open("w", newline="") as handle:
        table = csv.DictWriter(handle, list(ROWS[0]))
        table.writeheader()
        table.writerows(ROWS)
    return lambda key="email": files_source({"path": "in.csv", "key": key}, folder)


def jsonl_file(folder: Path) -> Opener:
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return lambda key="email": files_source({"path": "in.jsonl", "key": key}, folder)


def parquet_file(folder: Path) -> Opener:
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "in.parquet", row_group_size=10)
    return lambda key="email": files_source({"path": "in.parquet", "key": key}, folder)


TABLE = "CREATE TABLE feedback (email TEXT PRIMARY KEY, text TEXT)"


def sqlite_table(folder: Path) -> Opener:
    with closing(sqlite3.connect(folder / "in.db")) as connection, connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO feedback VALUES (:email, :text)", ROWS)
    return lambda key="email": sql_source({"url": "sqlite:///in.db", "table": "feedback", "key": key}, folder)


def postgresql_query(folder: Path) -> Opener:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
        connection.cursor().executemany("INSERT INTO feedback VALUES (%(email)s, %(text)s)", ROWS)
    query = "SELECT email, text FROM feedback"
    return lambda key="email": sql_source({"url": url, "query": query, "key": key}, folder)


@pytest.fixture(
    params=[csv_file, jsonl_file, parquet_file, sqlite_table, postgresql_query], ids=lambda make: make.__name__
)
def open_source(request, tmp_path) -> Opener:
    return request.param(tmp_path)


def test_it_is_a_source_with_a_name_and_a_stable_identity(open_source):
    assert isinstance(open_source(), Source)
    assert open_source().describe()
    assert open_source().identity() == open_source().identity()


async def test_every_row_is_a_record_once_in_the_same_order_each_time(open_source):
    records = await read_all(open_source())
    assert [record.data for record in records] == ROWS
    assert [record.key for record in records] == [row["email"] for row in ROWS]
    assert len({record.where for record in records}) == len(ROWS)
    assert await read_all(open_source(), size=5) == records


@pytest.mark.parametrize("size", [1, 10, 46, 47, 48])
async def test_a_page_holds_at_most_its_size(open_source, size):
    pages = await read_pages(open_source(), size=size)
    assert max(len(page.records) for page in pages) <= size
    assert sum(len(page.records) for page in pages) == len(ROWS)


async def test_every_cursor_is_plain_json_and_goes_on_with_exactly_the_rest(open_source):
    done = 0
    for page in await read_pages(open_source(), size=7):
        done += len(page.records)
        cursor: dict[str, Any] = json.loads(json.dumps(page.cursor))
        assert [record.data for record in await read_all(open_source(), cursor, size=4)] == ROWS[done:]


async def test_the_count_is_right_or_unknown(open_source):
    source = open_source()
    assert await source.count() in (None, len(ROWS))
    await source.close()


async def test_a_wrong_key_is_an_input_error_with_a_hint(open_source):
    with pytest.raises(InputError) as raised:
        await read_all(open_source("emial"))
    assert raised.value.code == "input.missing-column"
    assert "email" in raised.value.hint


async def test_closing_twice_and_in_the_middle_is_harmless(open_source):
    source = open_source()
    reading = source.pages(size=3)
    await anext(reading)
    await reading.aclose()
    await source.close()
    await source.close()
