from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.base.errors import InputError
from penstock.data.files import files_source
from reading import read_all, read_pages


def source(folder, table: pa.Table, key="id", **options):
    pq.write_table(table, folder / "in.parquet", **options)
    return files_source({"path": "in.parquet", "key": key}, folder)


async def test_values_keep_their_types(tmp_path):
    row = {
        "id": 5.0,
        "text": "ä",
        "day": datetime.date(2026, 11, 20),
        "at": datetime.datetime(2026, 11, 20, 8, tzinfo=datetime.UTC),
        "price": decimal.Decimal("1.20"),
        "tags": ["a", "b"],
        "gone": None,
    }
    [record] = await read_all(source(tmp_path, pa.Table.from_pylist([row])))
    assert (record.key, record.data, record.where) == ("5", row, "in.parquet row 1")


async def test_missing_days_stay_missing(tmp_path):
    days = [datetime.date(2026, 1, 1), None, datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)]
    records = await read_all(source(tmp_path, pa.table({"id": [1, 2, 3, 4], "day": days})))
    assert [record.data["day"] for record in records] == days


async def test_rows_without_a_key_are_kept_aside(tmp_path):
    [page] = await read_pages(source(tmp_path, pa.table({"id": ["a", None, "", "b"]})))
    assert [record.where for record in page.records] == ["in.parquet row 1", "in.parquet row 4"]
    assert [reject.where for reject in page.rejects] == ["in.parquet row 2", "in.parquet row 3"]


@pytest.mark.parametrize("rows_per_group", [1, 3, 7, 100])
@pytest.mark.parametrize("size", [1, 4, 50])
async def test_reading_goes_on_at_every_border(tmp_path, rows_per_group, size):
    reader = source(tmp_path, pa.table({"id": list(range(20))}), row_group_size=rows_per_group)
    pages = await read_pages(reader, size=size)
    for number, page in enumerate(pages, 1):
        rest = await read_all(reader, page.cursor, size=3)
        assert [int(record.key) for record in rest] == list(range(min(number * size, 20), 20))


async def test_the_count_comes_from_the_footer(tmp_path):
    assert await source(tmp_path, pa.table({"id": list(range(1234))})).count() == 1234


async def test_a_table_without_rows_gives_no_page(tmp_path):
    assert await read_pages(source(tmp_path, pa.table({"id": pa.array([], pa.string())}))) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"email,text\na,b\n", b"PAR1" + b"\x00" * 100 + b"PAR1"])
async def test_no_parquet_is_one_clear_error(tmp_path, content):
    (tmp_path / "in.parquet").write_bytes(content)
    with pytest.raises(InputError) as raised:
        await read_all(files_source({"path": "in.parquet", "key": "id"}, tmp_path))
    assert raised.value.hint


async def test_a_file_that_is_cut_off_or_damaged_is_one_clear_error(tmp_path):
    reader = source(tmp_path, pa.table({"id": [f"{n:050}" for n in range(1000)]}), compression="zstd")
    whole = (tmp_path / "in.parquet").read_bytes()
    for broken in (whole[:-100], whole[:8] + b"\xff" * 200 + whole[208:]):
        (tmp_path / "in.parquet").write_bytes(broken)
        with pytest.raises(InputError, match="not a whole Parquet file"):
            await read_all(reader)


async def test_a_wrong_key_and_doubled_columns_are_refused(tmp_path):
    with pytest.raises(InputError, match="it has: id, text"):
        await read_all(source(tmp_path, pa.table({"id": [1], "text": ["a"]}), key="email"))
    with pytest.raises(InputError, match="two columns"):
        await read_all(source(tmp_path, pa.table([[1], [2]], names=["id", "id"])))


async def test_a_cursor_is_refused_when_the_file_was_rewritten(tmp_path):
    pages = await read_pages(source(tmp_path, pa.table({"id": [1, 2]})), size=1)
    with pytest.raises(InputError) as raised:
        await read_all(source(tmp_path, pa.table({"id": [1, 3]})), pages[0].cursor)
    assert raised.value.code == "files.changed"
