"""`penstock embed`: texts from the command line and from files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = ("--dimensions", "4", "--sandbox", "--json")


def test_texts_come_from_options_lines_and_json(penstock: Callable[..., Any], tmp_path: Path) -> None:
    texts = ["Late.", "@maria: thanks", "Größe passt"]
    (tmp_path / "lines.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    ended = [
        penstock("embed", *given, *SMALL)
        for given in (
            ("--texts", "@lines.txt"),
            ("--texts", "@texts.json"),
            ("--texts", "Late.", "--texts", "@lines.txt"),
        )
    ]
    lines, listed, mixed = [json.loads(one.out)["output"]["vectors"] for one in ended]
    assert len(lines) == 3
    assert lines == listed
    assert mixed == [lines[0], *lines]
    assert [json.loads(one.out)["calls"] for one in ended] == [1, 0, 0]


def test_an_empty_line_keeps_its_place(penstock: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\n\nb\n")
    output = json.loads(penstock("embed", "--texts", "@lines.txt", *SMALL).out)["output"]
    assert [row is None for row in output["vectors"]] == [False, True, False]
    assert output["problems"][0]["place"] == 1


@pytest.mark.parametrize("content", ['["a", 1]', "[broken"])
def test_a_file_that_is_no_list_of_texts_is_named(penstock: Callable[..., Any], tmp_path: Path, content: str) -> None:
    (tmp_path / "texts.json").write_text(content)
    ended = penstock("embed", "--texts", "@texts.json", *SMALL)
    assert (ended.code, "texts.json" in ended.err) == (2, True)


def test_a_missing_file_says_how_to_write_a_text_that_begins_with_the_mark(penstock: Callable[..., Any]) -> None:
    ended = penstock("embed", "--texts", "@maria", "--sandbox")
    assert ended.code == 2
    assert "JSON file" in ended.err


def test_one_text_is_an_option_and_base64_a_wish(penstock: Callable[..., Any]) -> None:
    result = json.loads(penstock("embed", "--text", "Late.", "--encoding", "base64", *SMALL).out)
    assert result["output"]["encoding"] == "base64"
    assert len(result["output"]["vectors"][0]) == 24
