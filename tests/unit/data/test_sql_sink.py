from __future__ import annotations

import asyncio
import datetime
import sqlite3
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from penstock.base.errors import AccessError, InputError
from penstock.base.types import Change
from penstock.data.sql import sql_sink
from penstock.data.sql.columns import accepts, fit
from postgres import new_database

BACKENDS = pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
CONTACTS = "CREATE TABLE contacts (email TEXT PRIMARY KEY, score DOUBLE PRECISION, label TEXT, seen TIMESTAMP)"


class Shop:
    """A database for one test, looked into without the code under test."""

    def __init__(self, backend: str, folder: Path) -> None:
        self.path = folder / "shop.db"
        self.url = "sqlite:///shop.db" if backend == "sqlite" else new_database()

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        opened = sqlite3.connect(self.path) if self.url.startswith("sqlite") else psycopg.connect(self.url)
        with closing(opened) as connection, connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows


@asynccontextmanager
async def sink_of(folder: Path, url: str, **options: Any):
    sink = sql_sink({"url": url, "table": "contacts", **options}, folder)
    try:
        yield sink
    finally:
        await sink.close()


def change(email: Any, **fields: Any) -> Change:
    return Change(f"c-{email}", "row", {"email": email}, fields)


def states(outcomes) -> list[str]:
    return [outcome.state for outcome in outcomes]


@BACKENDS
async def test_changes_update_the_rows_they_match_and_insert_the_others(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run(CONTACTS, "INSERT INTO contacts VALUES ('a', 0.1, 'old', NULL), ('z', 1, 'kept', NULL)")
    async with sink_of(tmp_path, shop.url) as sink:
        changes = [change("a", score=0.5), change("b", score=-1, label="new"), change("c"), change("a", label="late")]
        for _ in range(2):
            assert states(await sink.write(changes)) == ["confirmed"] * 4
    assert shop.run("SELECT email, score, label FROM contacts ORDER BY email") == [
        ("a", 0.5, "late"),
        ("b", -1.0, "new"),
        ("c", None, None),
        ("z", 1.0, "kept"),
    ]


@BACKENDS
async def test_a_table_without_a_unique_key_is_written_all_the_same(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run("CREATE TABLE contacts (email TEXT, score DOUBLE PRECISION)", "INSERT INTO contacts VALUES ('a', 0.1)")
    async with sink_of(tmp_path, shop.url) as sink:
        for _ in range(2):
            assert (
                states(await sink.write([change("a", score=0.5), change("b"), change("c", score=2)]))
                == ["confirmed"] * 3
            )
    assert shop.run("SELECT * FROM contacts ORDER BY email") == [("a", 0.5), ("b", None), ("c", 2.0)]


@BACKENDS
async def test_a_partial_unique_index_is_no_unique_key(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run(
        "CREATE TABLE contacts (email TEXT, score DOUBLE PRECISION)",
        "CREATE UNIQUE INDEX few ON contacts (email) WHERE score > 5",
    )
    async with sink_of(tmp_path, shop.url) as sink:
        assert states(await sink.write([change("a", score=0.5)])) == ["confirmed"]


@BACKENDS
async def test_rows_that_exist_are_updated_where_an_insert_would_lack_a_column(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run(
        "CREATE TABLE contacts (email TEXT PRIMARY KEY, name TEXT NOT NULL, score DOUBLE PRECISION)",
        "INSERT INTO contacts VALUES ('a', 'Ada', 0.1)",
    )
    async with sink_of(tmp_path, shop.url) as sink:
        outcomes = await sink.write([change("a", score=0.5), change("b", score=0.7)])
    assert states(outcomes) == ["confirmed", "rejected"]
    assert "name" in outcomes[1].problem.message
    assert shop.run("SELECT * FROM contacts") == [("a", "Ada", 0.5)]


@BACKENDS
async def test_one_bad_row_is_rejected_alone(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run("CREATE TABLE contacts (email TEXT PRIMARY KEY, score DOUBLE PRECISION CHECK (score <= 1))")
    async with sink_of(tmp_path, shop.url) as sink:
        outcomes = await sink.write([change("a", score=0.5), change("b", score=7), change("c", score=1)])
    assert states(outcomes) == ["confirmed", "rejected", "confirmed"]
    assert (outcomes[1].problem.code, bool(outcomes[1].problem.hint)) == ("sql.rejected", True)
    assert shop.run("SELECT email FROM contacts ORDER BY email") == [("a",), ("c",)]


@BACKENDS
@pytest.mark.parametrize(
    "bad",
    [
        change("x", score="much"),
        change("x", seen="yesterday"),
        change("x", seen=5),
        change("x", label=True),
        change(None, score=1),
        Change("c", "row", {}, {"score": 1}),
        Change("c", "row", {"email": "x"}, {"email": "y"}),
        change("x", label="\ud800"),
    ],
)
async def test_a_value_that_does_not_fit_is_rejected_and_the_others_go_on(tmp_path, backend, bad):
    shop = Shop(backend, tmp_path)
    shop.run(CONTACTS)
    async with sink_of(tmp_path, shop.url) as sink:
        assert states(await sink.write([change("a", score=1), bad, change("b", score=2)])) == [
            "confirmed",
            "rejected",
            "confirmed",
        ]
    assert shop.run("SELECT email FROM contacts ORDER BY email") == [("a",), ("b",)]


async def test_what_the_driver_cannot_send_is_rejected(tmp_path):
    postgresql, sqlite = Shop("postgresql", tmp_path), Shop("sqlite", tmp_path)
    postgresql.run(CONTACTS)
    sqlite.run("CREATE TABLE contacts (email TEXT PRIMARY KEY, count INTEGER, blob BLOB)")
    for shop, column, value in ((postgresql, "label", "a\x00b"), (sqlite, "count", 2**70), (sqlite, "blob", 3 + 4j)):
        async with sink_of(tmp_path, shop.url) as sink:
            assert states(await sink.write([change("a"), change("x", **{column: value})])) == ["confirmed", "rejected"]


@BACKENDS
async def test_a_wrong_column_stops_with_the_nearest_name(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run(CONTACTS)
    async with sink_of(tmp_path, shop.url) as sink:
        with pytest.raises(InputError) as raised:
            await sink.write([change("a", scor=1)])
    assert (raised.value.code, raised.value.hint) == ("sql.missing-column", "Did you mean 'score'?")


@BACKENDS
async def test_a_missing_table_stops_unless_it_may_be_created(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run("CREATE TABLE contact (email TEXT)")
    async with sink_of(tmp_path, shop.url) as sink:
        with pytest.raises(InputError) as raised:
            await sink.write([change("a", score=1)])
    assert (raised.value.code, raised.value.hint) == ("sql.missing-table", "Did you mean 'contact'?")


@BACKENDS
async def test_a_missing_table_is_created_from_kinds_and_values(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    at = datetime.datetime(2026, 11, 20, 9, tzinfo=datetime.UTC)
    async with sink_of(tmp_path, shop.url, create=True) as sink:
        [finding] = await sink.check({"score": "number", "label": "text"})
        assert finding.verdict == "ok"
        changes = [
            change("a", score=None, label=None, ok=True, seen=at),
            change("b", score=1, label="x", ok=None, seen=None),
        ]
        for _ in range(2):
            assert states(await sink.write(changes)) == ["confirmed"] * 2
        assert states(await sink.find(changes)) == ["confirmed"] * 2
    assert shop.run("SELECT email, score, label FROM contacts ORDER BY email") == [("a", None, None), ("b", 1.0, "x")]


@BACKENDS
async def test_find_tells_what_is_there(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run(CONTACTS)
    at = "2026-11-20T10:00:00+01:00"
    async with sink_of(tmp_path, shop.url) as sink:
        await sink.write([change("a", score=0.1, seen=at), change("b", score=1)])
        asked = [change("a", score=0.1, seen=at), change("b", score=2), change("c"), change("b"), change(None)]
        assert states(await sink.find(asked)) == ["confirmed", "later", "later", "confirmed", "rejected"]
        assert await sink.find([]) == await sink.write([]) == []


async def test_a_locked_database_is_for_later(tmp_path):
    shop = Shop("sqlite", tmp_path)
    shop.run(CONTACTS)
    async with sink_of(tmp_path, "sqlite:///shop.db?timeout=0.01") as sink:
        with closing(sqlite3.connect(shop.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            outcomes = await sink.write([change("a", score=1), change("b", score=1)])
            assert states(outcomes) == ["later", "later"]
            assert outcomes[0].problem.code == "sql.unavailable"
            other.rollback()
        assert states(await sink.write([change("a", score=1)])) == ["confirmed"]


async def test_a_server_that_is_away_is_for_later(tmp_path):
    async with sink_of(tmp_path, "postgresql://someone:hunter22@127.0.0.1:9/shop") as sink:
        [outcome] = await sink.write([change("a")])
        assert outcome.state == "later"
        assert "hunter22" not in str(outcome)
        assert states(await sink.find([change("a")])) == ["unknown"]
        [finding] = await sink.check({"score": "number"})
        assert finding.verdict == "fail"


async def test_a_connection_that_is_cut_between_writes_is_made_anew(tmp_path):
    shop = Shop("postgresql", tmp_path)
    shop.run(CONTACTS)
    async with sink_of(tmp_path, shop.url) as sink:
        await sink.write([change("a", score=1)])
        shop.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert states(await sink.write([change("b", score=1)])) == ["confirmed"]


async def test_rows_behind_one_that_is_locked_are_for_later(tmp_path):
    shop = Shop("postgresql", tmp_path)
    shop.run(CONTACTS, "ALTER TABLE contacts ADD CHECK (score <= 1)", "INSERT INTO contacts VALUES ('c', 0)")
    with psycopg.connect(shop.url) as other:
        other.execute("SELECT * FROM contacts WHERE email = 'c' FOR UPDATE")
        async with sink_of(tmp_path, f"{shop.url}&options=-c%20lock_timeout%3D20") as sink:
            changes = [change("a", score=1), change("b", score=7), change("c", score=1), change("d", score=1)]
            outcomes = await sink.write(changes)
            assert states(outcomes) == ["confirmed", "rejected", "later", "later"]
            other.rollback()
            assert states(await sink.write(changes)) == ["confirmed", "rejected", "confirmed", "confirmed"]


async def test_a_connection_that_is_lost_while_committing_leaves_the_outcome_unknown(tmp_path):
    shop = Shop("postgresql", tmp_path)
    shop.run(
        CONTACTS,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON contacts DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION die()",
    )
    async with sink_of(tmp_path, shop.url) as sink:
        assert states(await sink.write([change("a", score=1)])) == ["unknown"]
        assert states(await sink.find([change("a", score=1)])) == ["later"]


async def test_a_constraint_that_fails_at_the_commit_rejects_its_row_alone(tmp_path):
    shop = Shop("postgresql", tmp_path)
    shop.run(CONTACTS, "ALTER TABLE contacts ADD UNIQUE (label) DEFERRABLE INITIALLY DEFERRED")
    async with sink_of(tmp_path, shop.url) as sink:
        outcomes = await sink.write([change("a", label="same"), change("b", label="same"), change("c", label="x")])
    assert states(outcomes) == ["confirmed", "rejected", "confirmed"]


async def test_a_value_in_the_database_that_is_not_of_its_type_is_written_over(tmp_path):
    shop = Shop("sqlite", tmp_path)
    shop.run(CONTACTS, "INSERT INTO contacts VALUES ('a', 0, 'x', 'yesterday')")
    async with sink_of(tmp_path, shop.url) as sink:
        assert states(await sink.find([change("a", seen="2026-01-02")])) == ["later"]
        assert states(await sink.write([change("a", seen="2026-01-02")])) == ["confirmed"]
        assert states(await sink.find([change("a", seen="2026-01-02")])) == ["confirmed"]


async def test_two_workers_may_create_the_table_at_once(tmp_path):
    shop = Shop("postgresql", tmp_path)
    async with sink_of(tmp_path, shop.url, create=True) as one, sink_of(tmp_path, shop.url, create=True) as two:
        results = await asyncio.gather(*(sink.write([change("a", score=1)]) for sink in (one, two)))
    assert [states(outcomes) for outcomes in results] == [["confirmed"], ["confirmed"]]


async def test_missing_rights_stop_the_run(tmp_path):
    shop = Shop("postgresql", tmp_path)
    shop.run(CONTACTS, "CREATE ROLE reader_only LOGIN", "GRANT SELECT ON contacts TO reader_only")
    try:
        async with sink_of(tmp_path, shop.url.replace("postgres:@", "reader_only:@")) as sink:
            with pytest.raises(AccessError, match="permission denied"):
                await sink.write([change("a", score=1)])
    finally:
        shop.run("DROP OWNED BY reader_only", "DROP ROLE reader_only")


@BACKENDS
async def test_the_check_compares_kinds_with_columns(tmp_path, backend):
    shop = Shop(backend, tmp_path)
    shop.run(CONTACTS)
    async with sink_of(tmp_path, shop.url) as sink:
        [fine] = await sink.check({"score": "number", "label": "text", "seen": "date"})
        assert fine.verdict == "ok"
        findings = await sink.check({"score": "boolean", "labell": "text", "seen": "text"})
    assert [finding.verdict for finding in findings] == ["fail", "fail", "warn"]
    assert findings[1].fix == "Did you mean 'label'?"


async def test_the_check_reports_a_missing_table_and_file(tmp_path):
    async with sink_of(tmp_path, "sqlite:///shop.db") as sink:
        [finding] = await sink.check({"score": "number"})
        assert (finding.verdict, "does not exist" in finding.message) == ("fail", True)
        Shop("sqlite", tmp_path).run("CREATE TABLE other (a TEXT)")
        [finding] = await sink.check({"score": "number"})
        assert (finding.verdict, finding.fix) == ("fail", "Add `create: true` to have it made.")


async def test_a_database_that_is_neither_sqlite_nor_postgresql_gets_plain_statements(tmp_path):
    """Every dialect takes the path without a unique key; here it is also taken with one, by two match columns."""
    shop = Shop("sqlite", tmp_path)
    shop.run("CREATE TABLE contacts (shop TEXT, email TEXT, score REAL, PRIMARY KEY (shop, email))")
    both = {"shop": "s", "email": "e"}
    async with sink_of(tmp_path, shop.url) as sink:
        for score in (1, 2):
            assert states(await sink.write([Change("1", "row", both, {"score": score})])) == ["confirmed"]
        assert states(await sink.write([Change("2", "row", {"email": "e"}, {"score": 3})])) == ["confirmed"]
    assert shop.run("SELECT * FROM contacts") == [("s", "e", 3.0)]


async def test_two_sinks_write_the_same_rows_at_once(tmp_path):
    shop = Shop("postgresql", tmp_path)
    shop.run(CONTACTS)
    changes = [change(f"u{number}", score=number) for number in range(50)]
    async with sink_of(tmp_path, shop.url) as one, sink_of(tmp_path, shop.url) as two:
        results = await asyncio.gather(*(sink.write(changes) for sink in (one, two) for _ in range(3)))
        for outcomes in results:
            assert set(states(outcomes)) <= {"confirmed", "later"}
        assert states(await one.write(changes)) == ["confirmed"] * 50
    assert shop.run("SELECT count(*) FROM contacts") == [(50,)]


UTC = datetime.UTC
NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "type", "fitted"),
    [
        (None, sa.Integer(), None),
        ("35", sa.Integer(), 35),
        (35.0, sa.Integer(), 35),
        (0.5, sa.Float(), 0.5),
        (5, sa.Text(), "5"),
        (["a"], sa.Text(), '["a"]'),
        (["a"], sa.JSON(), ["a"]),
        ({"a": 1}, sa.types.NullType(), '{"a":1}'),
        (True, sa.Boolean(), True),
        ("2026-01-02T13:00:00+01:00", sa.DateTime(timezone=True), NOON),
        ("2026-01-02T13:00:00+01:00", sa.DateTime(), NOON.replace(tzinfo=None)),
        ("2026-01-02T12:00:00", sa.DateTime(timezone=True), NOON),
        (datetime.date(2026, 1, 2), sa.DateTime(timezone=True), NOON.replace(hour=0)),
        (NOON, sa.Date(), datetime.date(2026, 1, 2)),
        (NOON, sa.Text(), "2026-01-02T12:00:00+00:00"),
    ],
)
def test_values_are_turned_into_what_the_column_takes(value, type, fitted):
    assert fit(value, type) == fitted


@pytest.mark.parametrize(
    ("value", "type"),
    [
        (0.5, sa.Integer()),
        (float("nan"), sa.Integer()),
        ("x", sa.Float()),
        (True, sa.Integer()),
        (1, sa.Boolean()),
        ("soon", sa.Date()),
        (True, sa.Text()),
    ],
)
def test_values_that_cannot_fit_are_refused(value, type):
    with pytest.raises(ValueError, match=" is n"):
        fit(value, type)


def test_unknown_column_types_take_every_kind():
    assert accepts(sa.types.NullType(), "boolean") == "yes"
