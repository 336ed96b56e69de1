from __future__ import annotations

import asyncio
import datetime
import os
import resource
from decimal import Decimal

import pytest

from penstock.base.errors import InputError
from penstock.data.files import files_sink, files_source
from reading import each, read_all

FORMATS = ["csv", "jsonl", "parquet"]


@pytest.mark.parametrize("format", FORMATS)
async def test_rows_are_replaced_as_a_whole(tmp_path, format):
    sink = files_sink({"path": f"out.{format}"}, tmp_path)
    assert await sink.replace(each([{"id": "a"}, {"id": "b"}])) == 2
    assert await sink.replace(each({"id": str(n)} for n in range(4500))) == 4500
    records = await read_all(files_source({"path": f"out.{format}", "key": "id"}, tmp_path))
    assert [record.key for record in records] == [str(n) for n in range(4500)]
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{format}"]


@pytest.mark.parametrize("format", FORMATS)
async def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, format):
    async def failing():
        for number in range(5000):
            yield {"id": str(number)}
        raise ValueError("source broke")

    path = tmp_path / f"out.{format}"
    path.write_text("old")
    with pytest.raises(ValueError, match="source broke"):
        await files_sink({"path": path.name}, tmp_path).replace(failing())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
async def test_a_cancelled_write_leaves_the_old_file(tmp_path, format):
    started = asyncio.Event()

    async def endless():
        for number in range(10_000_000):
            yield {"id": str(number)}
            if number == 5000:
                started.set()
                await asyncio.Event().wait()

    path = tmp_path / f"out.{format}"
    path.write_text("old")
    task = asyncio.create_task(files_sink({"path": path.name}, tmp_path).replace(endless()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
async def test_a_full_disk_is_one_clear_error_and_the_old_file_stays(tmp_path, format):
    path = tmp_path / f"out.{format}"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError) as raised:
            await files_sink({"path": path.name}, tmp_path).replace(
                each({"id": os.urandom(100).hex()} for _ in range(20_000))
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (raised.value.code, bool(raised.value.hint)) == ("files.disk-full", True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
async def test_half_a_character_is_one_clear_error(tmp_path, format):
    with pytest.raises(InputError) as raised:
        await files_sink({"path": f"out.{format}"}, tmp_path).replace(each([{"id": "\ud800"}]))
    assert raised.value.code == "files.bad-text"
    assert list(tmp_path.iterdir()) == []


async def test_formulas_are_defused_and_numbers_stay(tmp_path):
    row = {
        "a": "=1+1",
        "b": "+x",
        "c": "-2",
        "d": -2,
        "e": "@cmd",
        "f": "\tx",
        "g": "\rx",
        "h": "+49 30 1",
        "i": "+4930",
        "j": "x=1",
    }
    await files_sink({"path": "out.csv"}, tmp_path).replace(each([row]))
    [record] = await read_all(files_source({"path": "out.csv", "key": "d"}, tmp_path))
    assert list(record.data.values()) == [
        "'=1+1",
        "'+x",
        "-2",
        "-2",
        "'@cmd",
        "'\tx",
        "'\rx",
        "'+49 30 1",
        "+4930",
        "x=1",
    ]


async def test_defusing_can_be_switched_off(tmp_path):
    await files_sink({"path": "out.csv", "defuse": False}, tmp_path).replace(each([{"a": "=1+1"}]))
    assert (tmp_path / "out.csv").read_bytes() == b"a\r\n=1+1\r\n"


async def test_values_that_are_no_text_are_written_plainly(tmp_path):
    row = {
        "none": None,
        "yes": True,
        "day": datetime.date(2026, 1, 2),
        "price": Decimal("1.10"),
        "list": ["a", 1],
        "object": {"k": "v"},
    }
    await files_sink({"path": "out.csv"}, tmp_path).replace(each([row]))
    [record] = await read_all(files_source({"path": "out.csv", "key": "yes"}, tmp_path))
    assert list(record.data.values()) == ["", "true", "2026-01-02", "1.10", '["a",1]', '{"k":"v"}']


@pytest.mark.parametrize("format", FORMATS)
async def test_named_columns_choose_and_order_the_fields(tmp_path, format):
    sink = files_sink({"path": f"out.{format}", "columns": ["b", "a", "c"]}, tmp_path)
    await sink.replace(each([{"a": "1", "b": "2", "x": "9"}]))
    [record] = await read_all(files_source({"path": f"out.{format}", "key": "a"}, tmp_path))
    assert list(record.data.items()) == [("b", "2"), ("a", "1"), ("c", "" if format == "csv" else None)]


@pytest.mark.parametrize("format", ["csv", "parquet"])
async def test_a_column_that_appears_late_is_one_clear_error(tmp_path, format):
    rows = [{"a": "1"}] * 2000 + [{"a": "1", "label": "x"}]
    with pytest.raises(InputError, match="'label'") as raised:
        await files_sink({"path": f"out.{format}"}, tmp_path).replace(each(rows))
    assert "columns" in raised.value.hint


async def test_parquet_takes_its_types_from_the_kinds_that_are_named(tmp_path):
    kinds = {"id": "text", "score": "number", "at": "date", "ok": "boolean"}
    rows = [{"id": 5, "score": 1, "at": "2026-01-02T03:04:05Z", "ok": True}, {"id": "x", "score": 0.5}]
    await files_sink({"path": "out.parquet", "columns": kinds}, tmp_path).replace(each(rows))
    first, second = await read_all(files_source({"path": "out.parquet", "key": "id"}, tmp_path))
    assert first.data == {
        "id": "5",
        "score": 1.0,
        "at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "ok": True,
    }
    assert second.data == {"id": "x", "score": 0.5, "at": None, "ok": None}


async def test_a_parquet_column_of_two_types_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="'a' cannot hold int and str at once") as raised:
        await files_sink({"path": "out.parquet"}, tmp_path).replace(each([{"a": 1}, {"a": "x"}]))
    assert "columns: {a: text}" in raised.value.hint


@pytest.mark.parametrize("format", FORMATS)
async def test_no_rows_make_a_file_without_rows(tmp_path, format):
    sink = files_sink({"path": f"out.{format}", "columns": ["a"]}, tmp_path)
    assert await sink.replace(each([])) == 0
    assert (tmp_path / f"out.{format}").is_file()


async def test_a_link_and_the_rights_of_the_old_file_are_kept(tmp_path):
    real = tmp_path / "real.csv"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.csv").symlink_to(real)
    await files_sink({"path": "link.csv"}, tmp_path).replace(each([{"a": 1}]))
    assert (tmp_path / "link.csv").is_symlink()
    assert real.read_bytes() == b"a\r\n1\r\n"
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("path", "verdict"), [("out.csv", "ok"), ("missing/out.csv", "fail"), ("folder.csv", "fail"), ("a.parquet", "ok")]
)
async def test_the_check_says_whether_the_file_can_be_written(tmp_path, path, verdict):
    (tmp_path / "folder.csv").mkdir()
    [finding] = await files_sink({"path": path}, tmp_path).check({"a": "text"})
    assert finding.verdict == verdict
    assert finding.fix or verdict == "ok"


async def test_the_check_warns_about_fields_that_are_left_out(tmp_path):
    [finding] = await files_sink({"path": "out.csv", "columns": ["score"]}, tmp_path).check({"scores": "number"})
    assert (finding.verdict, finding.fix) == ("warn", "Did you mean 'score'?")


async def test_writing_into_a_missing_folder_is_one_clear_error(tmp_path):
    with pytest.raises(InputError) as raised:
        await files_sink({"path": "missing/out.csv"}, tmp_path).replace(each([]))
    assert raised.value.code == "files.not-written"


@pytest.mark.parametrize(
    "options", [{"path": "a.xls"}, {"path": "a.csv", "columns": {"a": "txt"}}, {"path": "a.csv", "defuse": "no"}, {}]
)
def test_wrong_options_are_clear_errors_with_a_hint(tmp_path, options):
    with pytest.raises(InputError) as raised:
        files_sink(options, tmp_path)
    assert raised.value.hint
