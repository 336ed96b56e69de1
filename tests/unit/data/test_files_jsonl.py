from __future__ import annotations

from typing import Any

import pytest

from penstock.base.errors import InputError
from penstock.data.files import files_source
from reading import read_all, read_pages, read_rejects


def source(folder, content: bytes | str, **options: Any):
    data = content.encode() if isinstance(content, str) else content
    (folder / "in.jsonl").write_bytes(data)
    return files_source({"path": "in.jsonl", "key": "id", **options}, folder)


async def test_lines_become_records_with_their_types(tmp_path):
    [record] = await read_all(source(tmp_path, '{"id": 7, "tags": ["a"], "score": 0.5, "gone": null}\n'))
    assert (record.key, record.where) == ("7", "in.jsonl:1")
    assert record.data == {"id": 7, "tags": ["a"], "score": 0.5, "gone": None}


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (b'{"id": 1', "input.bad-json", "not JSON"),
        (b"[1]", "input.bad-json", "list"),
        (b'"text"', "input.bad-json", "str"),
        (b'{"id": NaN}', "input.bad-json", "not JSON"),
        (b'{"id": "\xff"}', "input.bad-bytes", "byte 9 is 0xff"),
        (b'{"text": "x"}', "input.bad-key", "empty"),
        (b'{"id": null}', "input.bad-key", "empty"),
        (b'{"id": " "}', "input.bad-key", "empty"),
        (b'{"id": {"a": 1}}', "input.bad-key", "dict"),
        (b'{"id": true}', "input.bad-key", "bool"),
        (b"[" * 200_000, "input.bad-json", "not JSON"),
        (b'{"id": 1}\x00', "input.bad-json", "not JSON"),
        (b'{"id": "x"} {"id": "y"}', "input.bad-json", "not JSON"),
        (b'{"id": "\\ud800"}', "input.bad-json", "not JSON"),
    ],
)
async def test_a_bad_line_is_kept_aside_and_the_others_go_on(tmp_path, line, code, said):
    [page] = await read_pages(source(tmp_path, b'{"id": "a"}\n' + line + b'\n{"id": "b"}\n'))
    assert [record.key for record in page.records] == ["a", "b"]
    [reject] = page.rejects
    assert (reject.where, reject.problem.code) == ("in.jsonl:2", code)
    assert said in reject.problem.message


async def test_a_line_of_five_megabytes_is_read(tmp_path):
    records = await read_all(source(tmp_path, '{"id": 1, "t": "' + "x" * 5_000_000 + '"}\n{"id": 2}'))
    assert [record.key for record in records] == ["1", "2"]


async def test_blank_lines_are_skipped_and_a_last_line_needs_no_end(tmp_path):
    records = await read_all(source(tmp_path, '\ufeff{"id": 1}\r\n\r\n  \n{"id": 2}'), size=1)
    assert [(record.key, record.where) for record in records] == [("1", "in.jsonl:1"), ("2", "in.jsonl:4")]


async def test_a_file_that_is_cut_off_keeps_its_last_line_aside(tmp_path):
    [reject] = await read_rejects(source(tmp_path, '{"id": 1}\n{"id": 2, "te'))
    assert reject.raw == '{"id": 2, "te'


async def test_another_encoding_is_read_when_it_is_named(tmp_path):
    [record] = await read_all(source(tmp_path, '{"id": 1, "t": "schön"}'.encode("cp1252"), encoding="cp1252"))
    assert record.data["t"] == "schön"


async def test_one_array_is_a_clear_error_with_the_command_that_helps(tmp_path):
    with pytest.raises(InputError, match="JSON array") as raised:
        await read_all(source(tmp_path, '[\n{"id": 1}\n]'))
    assert raised.value.hint.startswith("jq -c")


async def test_a_wrong_key_lists_the_columns(tmp_path):
    with pytest.raises(InputError, match="email, text"):
        await read_all(source(tmp_path, '{"email": "a"}\n{"text": "b"}\n'))


async def test_a_cursor_is_refused_when_the_file_was_rewritten(tmp_path):
    pages = await read_pages(source(tmp_path, '{"id": 1}\n{"id": 2}\n'), size=1)
    with pytest.raises(InputError) as raised:
        await read_all(source(tmp_path, '{"id": 3}\n{"id": 4}\n'), pages[0].cursor)
    assert raised.value.code == "files.changed"
