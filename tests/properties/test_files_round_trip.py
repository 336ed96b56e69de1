from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.data.files import files_sink, files_source
from reading import each, read_all, read_pages

FORMATS = ["csv", "jsonl", "parquet"]
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Cells with what breaks readers of text: delimiters, quotes, line ends of all kinds, zero bytes, other planes.
cells = st.text(
    st.sampled_from(",;\"\n\r\t|'=+-@ a1ä\u2028\x85\x00\x1c\U0001f600") | st.characters(codec="utf-8"), max_size=12
)
names = st.lists(st.sampled_from(["a", "b b", "ß", "Ab", '"q"', "x,y", "p;q"]), unique=True, max_size=4)


@st.composite
def tables(draw) -> list[dict[str, str]]:
    columns = draw(names)
    rows = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, cells)), max_size=25))
    return [{"id": str(number), **row} for number, row in enumerate(rows)]


@pytest.mark.parametrize("format", FORMATS)
@given(table=tables(), size=st.integers(1, 9))
@RELAXED
def test_any_table_of_texts_survives_sink_and_source(format, table, size):
    async def run(folder: Path) -> None:
        options = {"path": f"t.{format}", "columns": ["id"] if not table else list(table[0])}
        assert await files_sink({**options, "defuse": False}, folder).replace(each(table)) == len(table)
        reader = files_source({"path": f"t.{format}", "key": "id", "delimiter": ","}, folder)
        if table or format == "csv":
            assert [record.data for record in await read_all(reader, size=size)] == table

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@pytest.mark.parametrize("format", FORMATS)
@given(table=tables().filter(bool), size=st.integers(1, 9), next_size=st.integers(1, 9))
@RELAXED
def test_every_cursor_goes_on_with_exactly_the_rest(format, table, size, next_size):
    async def run(folder: Path) -> None:
        await files_sink({"path": f"t.{format}", "defuse": False}, folder).replace(each(table))
        reader = files_source({"path": f"t.{format}", "key": "id", "delimiter": ","}, folder)
        whole = await read_all(reader, size=size)
        done = 0
        for page in await read_pages(reader, size=size):
            done += len(page.records)
            assert await read_all(reader, page.cursor, size=next_size) == whole[done:]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@given(content=st.binary(max_size=200) | st.text('ab,"\n\r', max_size=60).map(str.encode), size=st.integers(1, 5))
@RELAXED
def test_every_line_of_any_bytes_is_read_or_kept_aside(content, size):
    """Nothing is lost and nothing is told otherwise than Python's own reader would, whatever the bytes."""

    async def run(folder: Path) -> None:
        (folder / "t.csv").write_bytes(b"id,b\n" + content)
        reader = files_source({"path": "t.csv", "key": "id", "delimiter": ","}, folder)
        pages = await read_pages(reader, size=size)
        got = [(record.data["id"], record.data["b"]) for page in pages for record in page.records]
        kept_aside = sum(len(page.rejects) for page in pages)
        text = content.decode("utf-8", "replace")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        assert len(got) + kept_aside == len(rows)
        expected = [tuple(row) for row in rows]
        assert all(row in expected for row in got)
        for page in pages:
            done = sum(len(one.records) for one in pages[: pages.index(page) + 1])
            rest = [(r.data["id"], r.data["b"]) for r in await read_all(reader, page.cursor)]
            assert rest == got[done:]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
