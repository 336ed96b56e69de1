"""The same flow over every kind of source and sink."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shop import ATTRIBUTES, Shop, attributes_of, billed, feedback

COLUMNS = {"score": "${{ sentiment.score }}", "label": "${{ sentiment.label }}", "feedbacks": "${{ sentiment.count }}"}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def test_a_file_sink_holds_one_row_for_each_contact(tmp_path: Path) -> None:
    shop = Shop(tmp_path, sink={"files": {"path": "out.csv", "match": "${{ record.email }}", "columns": COLUMNS}})
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.written) == (0, 6)
        rows = read_csv(tmp_path / "out.csv")
        assert [row["email"] for row in rows] == [f"c{number}@example.com" for number in range(6)]
        assert {row["feedbacks"] for row in rows} == {"1"}
        before = (tmp_path / "out.csv").read_bytes()
        again = await shop.run(workspace)
        assert (again.counts.written, again.counts.calls) == (0, 0)
        assert (tmp_path / "out.csv").read_bytes() == before
        shop.record("f2")["text"] = "Perfect now, thank you!"
        assert (await shop.run(workspace)).counts.written == 1
        assert read_csv(tmp_path / "out.csv")[2]["label"] == "positive"


async def test_a_file_that_was_deleted_is_written_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, sink={"files": {"path": "out.jsonl", "match": "${{ record.email }}", "columns": COLUMNS}})
    async with shop.open() as workspace:
        await shop.run(workspace)
        (tmp_path / "out.jsonl").unlink()
        await shop.run(workspace)
    assert len([json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]) == 6


async def test_new_columns_of_a_file_sink_reach_every_row(tmp_path: Path) -> None:
    shop = Shop(tmp_path, sink={"files": {"path": "out.csv", "match": "${{ record.email }}", "columns": dict(COLUMNS)}})
    async with shop.open() as workspace:
        await shop.run(workspace)
        del shop.rows[0]  # its row stays, with the columns that it had
        shop.flow["sink"]["files"]["columns"]["trend"] = "${{ sentiment.trend }}"
        report = await shop.run(workspace)
        assert (report.problem, report.counts.written, report.counts.calls) == (None, 5, 0)
        rows = read_csv(tmp_path / "out.csv")
        assert [row["trend"] for row in rows] == ["", *["unknown"] * 5]


async def test_rows_of_a_sql_table_are_kept_up_to_date(tmp_path: Path) -> None:
    target = tmp_path / "crm.sqlite"
    with closing(sqlite3.connect(target)) as table, table:
        table.execute("create table scores (email text primary key, score real, label text, feedbacks integer)")
    sink = {"url": f"sqlite:///{target}", "table": "scores", "match": "${{ record.email }}", "columns": COLUMNS}
    shop = Shop(tmp_path, sink={"sql": sink})
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.written) == (0, 6), report.failures
        assert (await shop.run(workspace)).counts.written == 0
        shop.record("f2")["text"] = "Perfect now, thank you!"
        assert (await shop.run(workspace)).counts.written == 1
    with closing(sqlite3.connect(target)) as table, table:
        assert table.execute("select count(*) from scores").fetchone() == (6,)
        assert table.execute("select label from scores where email = 'c2@example.com'").fetchone() == ("positive",)


def write_jsonl(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    (folder / "feedback.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"files": {"path": "feedback.jsonl", "key": "id"}}


def write_parquet(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "feedback.parquet")
    return {"files": {"path": "feedback.parquet", "key": "id"}}


def write_sqlite(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    with closing(sqlite3.connect(folder / "feedback.sqlite")) as table, table:
        table.execute("create table feedback (id text primary key, email text, date text, text text)")
        table.executemany("insert into feedback values (:id, :email, :date, :text)", rows)
    return {"sql": {"url": f"sqlite:///{folder / 'feedback.sqlite'}", "table": "feedback", "key": "id"}}


@pytest.mark.parametrize("write", [write_jsonl, write_parquet, write_sqlite])
async def test_every_source_gives_the_same_run(tmp_path: Path, write: Any) -> None:
    rows = [feedback(number) for number in range(6)]
    shop = Shop(tmp_path, rows, source=write(tmp_path, rows))
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.judged, report.counts.written, report.exit_code) == (6, 6, 0)
        again = await shop.run(workspace)
        assert (again.counts.unchanged, again.counts.calls, again.counts.written) == (6, 0, 0)
    csv_shop = Shop(tmp_path / "csv", rows) if (tmp_path / "csv").mkdir() is None else None
    assert csv_shop is not None
    async with csv_shop.open() as workspace:
        other = await csv_shop.run(workspace)
    assert (other.counts.judged, other.counts.cost) == (report.counts.judged, report.counts.cost)


async def test_contacts_of_brevo_are_a_source_and_the_target_at_once(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path,
        source={"brevo": {}},
        summarize=None,
        steps=[{"analyze-sentiment": {"text": "${{ record.attributes.NOTE }}"}}],
        sink={
            "brevo": {
                "match": {"id": "${{ record.id }}"},
                "attributes": {"SENTIMENT_LABEL": "${{ sentiment.label }}"},
            }
        },
    )
    async with shop.open() as workspace:
        workspace.vendors.account.add_attribute("NOTE")
        for number in range(4):
            workspace.vendors.account.add_contact(f"c{number}@example.com", {"NOTE": feedback(number)["text"]})
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.judged, report.counts.written) == (0, 4, 4), report
        again = await shop.run(workspace)
        assert (again.counts.unchanged, again.counts.calls, again.counts.written) == (4, 0, 0)
        assert attributes_of(workspace, "c1@example.com")["SENTIMENT_LABEL"] == "positive"


async def test_two_sinks_are_written_by_one_run(tmp_path: Path) -> None:
    sinks = {
        "brevo": {"match": "${{ record.email }}", "attributes": ATTRIBUTES},
        "files": {"path": "out.csv", "match": "${{ record.email }}", "columns": COLUMNS},
    }
    shop = Shop(tmp_path, sink=sinks)
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.counts.planned, report.counts.written, billed(workspace)) == (12, 12, 6)


async def test_a_second_step_sees_what_the_first_one_found(tmp_path: Path) -> None:
    steps = [
        {"analyze-sentiment": {"text": "${{ record.text }}"}},
        {"analyze-sentiment": {"text": "${{ sentiment.label }}: ${{ record.text }}"}, "as": "second"},
    ]
    sink = {
        "files": {
            "path": "out.csv",
            "match": {"id": "${{ record.id }}"},
            "columns": {"first": "${{ sentiment.label }}", "second": "${{ second.label }}"},
        }
    }
    shop = Shop(tmp_path, steps=steps, summarize=None, sink=sink)
    async with shop.open() as workspace:
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.calls, report.counts.written) == (0, 12, 6)
        assert (await shop.run(workspace)).counts.calls == 0
        shop.flow["steps"][1]["analyze-sentiment"]["text"] = "again ${{ sentiment.label }}: ${{ record.text }}"
        assert (await shop.run(workspace)).counts.calls == 6  # only the second step
