from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import InputError
from penstock.data.files import files_source
from reading import read_all, read_pages, read_rejects


def source(folder: Path, content: bytes | str, **options: Any):
    data = content.encode() if isinstance(content, str) else content
    (folder / "in.csv").write_bytes(data)
    return files_source({"path": "in.csv", "key": "email", **options}, folder)


async def test_rows_become_records_with_key_and_place(tmp_path):
    [record] = await read_all(source(tmp_path, "email,text\na@b.c,fine\n"))
    assert (record.key, record.data, record.where) == ("a@b.c", {"email": "a@b.c", "text": "fine"}, "in.csv:2")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_the_delimiter_is_found_out(tmp_path, delimiter):
    rows = [["email", "text"], ["a@b.c", "one; two, three"], ["d@e.f", "x | y"]]
    lines = [delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in rows]
    records = await read_all(source(tmp_path, "\n".join(lines)))
    assert [list(record.data.values()) for record in records] == rows[1:]


async def test_the_delimiter_is_the_one_under_which_the_key_appears(tmp_path):
    [record] = await read_all(source(tmp_path, "email;first, last\na@b.c;Ada, Lovelace\n"))
    assert record.data == {"email": "a@b.c", "first, last": "Ada, Lovelace"}


async def test_a_given_delimiter_is_used(tmp_path):
    [record] = await read_all(source(tmp_path, "email~text\na~b,c\n", delimiter="~"))
    assert record.data["text"] == "b,c"


@pytest.mark.parametrize("delimiter", ["", '"', ",,"])
async def test_an_impossible_delimiter_is_refused(tmp_path, delimiter):
    with pytest.raises(InputError, match="delimiter"):
        source(tmp_path, "email\n", delimiter=delimiter)


async def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    pages = await read_pages(source(tmp_path, b"\xef\xbb\xbfemail,n\na,1\nb,2\n"), size=1)
    assert [page.records[0].key for page in pages] == ["a", "b"]
    assert [r.key for r in await read_all(source(tmp_path, b"\xef\xbb\xbfemail,n\na,1\nb,2\n"), pages[0].cursor)] == [
        "b"
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_every_line_end_is_understood(tmp_path, end):
    records = await read_all(source(tmp_path, end.join(["email,text", "a,1", "", "b,2"]) + end), size=1)
    assert [(record.key, record.where) for record in records] == [("a", "in.csv:2"), ("b", "in.csv:4")]


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_a_quoted_line_end_may_stand_at_a_page_border(tmp_path, size):
    content = 'email,text\na,"one\ntwo\r\nthree"\nb,"x\n\n"\nc,z\n'
    records = await read_all(source(tmp_path, content), size=size)
    assert [(record.where, record.data["text"]) for record in records] == [
        ("in.csv:2", "one\ntwo\r\nthree"),
        ("in.csv:5", "x\n\n"),
        ("in.csv:8", "z"),
    ]


async def test_ragged_rows_are_kept_aside_with_their_line(tmp_path):
    [page] = await read_pages(source(tmp_path, "email,text\na,1\nb\nc,2,3\nd,4\n"))
    assert [record.key for record in page.records] == ["a", "d"]
    assert [(reject.where, reject.raw, reject.problem.code) for reject in page.rejects] == [
        ("in.csv:3", "b", "input.ragged-row"),
        ("in.csv:4", "c,2,3", "input.ragged-row"),
    ]


async def test_a_row_with_broken_bytes_is_kept_aside_and_the_others_go_on(tmp_path):
    [page] = await read_pages(source(tmp_path, b'email,text\na,1\nb,"x\ny\xffz"\nc,3\n'))
    assert [record.key for record in page.records] == ["a", "c"]
    [reject] = page.rejects
    assert reject.where == "in.csv:3"
    assert reject.problem.message == "line 4 is not utf-8: byte 2 is 0xff"
    assert reject.raw == 'b,"x\ny\\xffz"'


async def test_a_latin_1_file_reads_with_its_encoding_and_says_so_without(tmp_path):
    content = "email,text\na,schön\nb,ok\n".encode("latin-1")
    [reject] = await read_rejects(source(tmp_path, content))
    assert "encoding" in reject.problem.hint
    assert [r.data["text"] for r in await read_all(source(tmp_path, content, encoding="latin-1"))] == ["schön", "ok"]


async def test_a_header_in_another_encoding_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="not a readable header") as raised:
        await read_all(source(tmp_path, "email,größe\na,1\n".encode("latin-1")))
    assert "encoding" in raised.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "cp037", "nonsense"])
async def test_an_encoding_that_does_not_extend_ascii_is_refused(tmp_path, encoding):
    with pytest.raises(InputError, match="cannot be read as"):
        source(tmp_path, "email\n", encoding=encoding)


async def test_an_empty_key_is_kept_aside(tmp_path):
    [page] = await read_pages(source(tmp_path, "email,text\n ,1\nb,2\n"))
    assert [record.key for record in page.records] == ["b"]
    assert page.rejects[0].problem.message == "the key is empty (email)"


async def test_several_key_columns_make_one_key_that_cannot_collide(tmp_path):
    records = await read_all(source(tmp_path, "shop,email\na|b,c\na,b|c\n", key=["shop", "email"]))
    assert [record.key for record in records] == ["a\\|b|c", "a|b\\|c"]


async def test_a_wrong_key_lists_the_columns_and_the_nearest(tmp_path):
    with pytest.raises(InputError) as raised:
        await read_all(source(tmp_path, "e-mail,text\na,1\n"))
    assert raised.value.code == "input.missing-column"
    assert "e-mail, text" in raised.value.message
    assert raised.value.hint == "Did you mean 'e-mail'?"


async def test_a_header_alone_gives_no_page(tmp_path):
    assert await read_pages(source(tmp_path, "email,text\n")) == []
    assert await read_pages(source(tmp_path, "email,text")) == []


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n\r\n"])
async def test_an_empty_file_is_one_clear_error(tmp_path, content):
    with pytest.raises(InputError) as raised:
        await read_all(source(tmp_path, content))
    assert raised.value.hint


async def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "feedback.csv").touch()
    with pytest.raises(InputError) as raised:
        await read_all(files_source({"path": "feedbak.csv", "key": "email"}, tmp_path))
    assert (raised.value.code, raised.value.hint) == ("files.missing", "Did you mean 'feedback.csv'?")


async def test_a_folder_and_a_device_are_no_files(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for path in ("folder.csv", "/dev/null"):
        with pytest.raises(InputError) as raised:
            await read_all(files_source({"path": path, "key": "email", "format": "csv"}, tmp_path))
        assert raised.value.code == "files.not-a-file"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
async def test_an_unreadable_file_is_one_clear_error(tmp_path):
    unreadable = source(tmp_path, "email\na\n")
    (tmp_path / "in.csv").chmod(0)
    with pytest.raises(InputError, match="may not be read"):
        await read_all(unreadable)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04rest", "Excel"),
        (b"\x1f\x8brest", "gzip"),
        (b"PAR1rest", "Parquet"),
        ("email,a\n".encode("utf-16"), "UTF-16"),
        ("email,a\n".encode("utf-16-le"), "UTF-16"),
    ],
)
async def test_another_kind_of_file_is_named(tmp_path, content, said):
    with pytest.raises(InputError, match=said):
        await read_all(source(tmp_path, content))


async def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"'text' \(columns 2 and 3\)"):
        await read_all(source(tmp_path, "email,text,text\na,1,2\n"))


async def test_a_column_without_a_name_gets_one(tmp_path):
    [record] = await read_all(source(tmp_path, "email,,x\na,1,2\n"))
    assert record.data == {"email": "a", "column 2": "1", "x": "2"}


async def test_zero_bytes_are_text_like_any_other(tmp_path):
    [record] = await read_all(source(tmp_path, "email,text\na,x\x00y\n"))
    assert record.data["text"] == "x\x00y"


async def test_a_cell_of_five_megabytes_is_read(tmp_path):
    records = await read_all(source(tmp_path, f'email,text\na,"{"long " * 1_000_000}"\nb,2\n'))
    assert [len(record.data["text"]) for record in records] == [5_000_000, 1]


async def test_a_quote_that_never_closes_keeps_the_rest_aside(tmp_path):
    [page] = await read_pages(source(tmp_path, 'email,text\na,1\nb,"cut off\nc,3\nd,4'))
    assert [record.key for record in page.records] == ["a"]
    [reject] = page.rejects
    assert (reject.where, reject.problem.code) == ("in.csv:3", "input.unclosed-quote")
    assert "lines 3 to 5 were not read" in reject.problem.message
    assert reject.raw == 'b,"cut off\nc,3\nd,4'


@pytest.mark.parametrize("size", [1, 2, 3, 4])
async def test_a_last_row_that_is_cut_off_is_kept_aside_at_every_page_size(tmp_path, size):
    pages = await read_pages(source(tmp_path, 'email,text\na,1\nb,2\nc,"x'), size=size)
    assert [record.key for page in pages for record in page.records] == ["a", "b"]
    assert [reject.where for page in pages for reject in page.rejects] == ["in.csv:4"]


async def test_a_cell_beyond_the_limit_costs_its_line_only(tmp_path):
    swallowed = "".join(f"k{number},{'x' * 1000}\n" for number in range(40_000))
    pages = await read_pages(source(tmp_path, f'email,text\na,1\nb,"open\n{swallowed}'), size=5000)
    assert [reject.problem.code for page in pages for reject in page.rejects] == ["input.cell-too-large"]
    assert [reject.where for page in pages for reject in page.rejects] == ["in.csv:3"]
    keys = [record.key for page in pages for record in page.records]
    assert keys == ["a", *(f"k{number}" for number in range(40_000))]


async def test_a_line_beyond_all_bounds_is_one_clear_error(tmp_path):
    (tmp_path / "in.csv").write_bytes(b"email,text\n")
    with (tmp_path / "in.csv").open("r+b") as handle:
        handle.truncate(200 << 20)  # a hole: takes no room on the disk
    with pytest.raises(InputError, match="longer than 64 MB"):
        await read_all(files_source({"path": "in.csv", "key": "email"}, tmp_path))


async def test_reading_goes_on_after_rows_were_added(tmp_path):
    pages = await read_pages(source(tmp_path, "email,text\na,1\nb,2"))
    with (tmp_path / "in.csv").open("a") as handle:
        handle.write("\nc,3\n")
    [record] = await read_all(files_source({"path": "in.csv", "key": "email"}, tmp_path), pages[-1].cursor)
    assert (record.key, record.where) == ("c", "in.csv:4")


@pytest.mark.parametrize(
    "content",
    ["email,text\na,1\nb,2continued\nc,3\n", "email,text\nA,1\nb,2", "email,text\na,1\n", "other"],
)
async def test_a_cursor_is_refused_when_the_file_was_rewritten(tmp_path, content):
    pages = await read_pages(source(tmp_path, "email,text\na,1\nb,2"))
    with pytest.raises(InputError):
        await read_all(source(tmp_path, content), pages[-1].cursor)


async def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(tmp_path):
    reading = source(tmp_path, "email,text\na,1\nb,2\nc,3\n").pages(size=1)
    first = await anext(reading)
    (tmp_path / "new.csv").write_text("email,text\nx,1\n")
    (tmp_path / "new.csv").replace(tmp_path / "in.csv")
    assert [first.records[0].key] + [page.records[0].key async for page in reading] == ["a", "b", "c"]


async def test_a_file_that_is_overwritten_while_it_is_read_stops_the_reading(tmp_path):
    reading = source(tmp_path, "email,text\na,1\nb,2\nc,3\n").pages(size=1)
    await anext(reading)
    (tmp_path / "in.csv").write_text("email,text\nx,1\ny,2\n")
    os.utime(tmp_path / "in.csv", ns=(1, 1))
    with pytest.raises(InputError) as raised:
        await anext(reading)
    assert raised.value.code == "files.changed"


async def test_closing_a_source_closes_what_it_reads(tmp_path):
    reader = source(tmp_path, "email,text\na,1\nb,2\n")
    reading = reader.pages(size=1)
    await anext(reading)
    await reader.close()
    await reading.aclose()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"path": "a.csv"}, "input.missing-option"),
        ({"key": "email"}, "input.missing-option"),
        ({"path": "a.csv", "kee": "email"}, "input.unknown-option"),
        ({"path": "a.csv", "key": 5}, "input.wrong-option"),
        ({"path": "a.csv", "key": [""]}, "input.wrong-option"),
        ({"path": 7, "key": "email"}, "input.wrong-option"),
        ({"path": "a.xlsx", "key": "email"}, "files.unknown-format"),
        ({"path": "a.csv", "key": "email", "format": "cvs"}, "files.unknown-format"),
    ],
)
def test_wrong_options_are_clear_errors_with_a_hint(tmp_path, options, code):
    with pytest.raises(InputError) as raised:
        files_source(options, tmp_path)
    assert raised.value.code == code
    assert raised.value.hint
