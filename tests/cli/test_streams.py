"""Text that is printed as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

TEXT = "Write one line about rain."
APIS = pytest.mark.parametrize("name", ["respond", "chat"])


@APIS
def test_the_same_text_is_printed_in_pieces_and_whole(penstock: Callable[..., Any], name: str) -> None:
    streamed = penstock(name, "--text", TEXT, "--sandbox", "--stream")
    whole = penstock(name, "--text", TEXT, "--sandbox", "--no-stream")
    assert streamed.code == whole.code == 0
    assert streamed.out == whole.out
    assert streamed.out.endswith("1.\n")
    assert "held already" in whole.err
    assert "gpt-6-luna" in streamed.err


@APIS
def test_pieces_and_result_are_lines_of_json(penstock: Callable[..., Any], name: str) -> None:
    ended = penstock(name, "--text", TEXT, "--sandbox", "--stream", "--json")
    *pieces, result = map(json.loads, ended.out.splitlines())
    assert len(pieces) > 5
    assert "".join(piece["text"] for piece in pieces) == result["output"]["text"]


def test_json_without_a_wish_is_one_document(penstock: Callable[..., Any]) -> None:
    assert json.loads(penstock("respond", TEXT, "--sandbox", "--json").out)["output"]["text"]


def test_an_error_after_pieces_begins_on_a_line_of_its_own(penstock: Callable[..., Any]) -> None:
    ended = penstock("respond", TEXT, "--max-tokens", "16", "--sandbox", "--stream")
    assert ended.code == 1
    assert ended.out.strip()
    assert ended.out.endswith("\n")
    assert "[output.truncated]" in ended.err


def test_a_dry_run_is_never_streamed(penstock: Callable[..., Any]) -> None:
    assert json.loads(penstock("respond", TEXT, "--sandbox", "--stream", "--dry-run").out)["path"] == "/responses"


def test_an_operation_that_writes_no_text_has_no_such_option(penstock: Callable[..., Any]) -> None:
    assert penstock("count-tokens", TEXT, "--sandbox", "--stream").code == 2
