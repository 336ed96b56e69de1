"""Commands that are built from the catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from penstock.cli.operations import build_command
from penstock.operations import catalogue
from penstock.operations.catalogue import all_operations
from throw_away import with_one_more_operation

every_operation = pytest.mark.parametrize("name", [entry.name for entry in all_operations()])


@every_operation
def test_every_operation_is_a_command_with_an_option_for_each_input(name: str) -> None:
    command = build_command(name)
    operation = catalogue.find_operation(name)
    options = {param.name for param in command.params if isinstance(param, click.Option)}
    assert set(operation.input.model_fields) <= options
    assert operation.title in (command.help or "")
    for param in command.params:
        if isinstance(param, click.Option) and param.name in operation.input.model_fields:
            assert param.help, f"{name} --{param.name} has no help"


def test_the_help_lists_the_operations(penstock: Callable[..., Any]) -> None:
    ended = penstock("--help")
    assert ended.code == 0
    assert all(entry.name in ended.out for entry in all_operations())


def test_text_is_an_argument_an_option_or_an_input(penstock: Callable[..., Any]) -> None:
    texts = [
        json.loads(penstock(*arguments, "--sandbox", "--json").out)
        for arguments in (
            ("respond", "Rain."),
            ("respond", "--text", "Rain."),
            ("run", "respond", "-i", "text=Rain."),
        )
    ]
    assert len({text["output"]["text"] for text in texts}) == 1
    assert [text["cached"] for text in texts] == [False, True, True]


def test_the_answer_is_alone_on_stdout(penstock: Callable[..., Any]) -> None:
    ended = penstock("respond", "Rain.", "--sandbox")
    assert (ended.code, ended.out.count("\n")) == (0, 1)
    assert "gpt-6-luna" in ended.err


def test_a_dry_run_shows_the_request_and_buys_nothing(penstock: Callable[..., Any]) -> None:
    shown = json.loads(penstock("respond", "Rain.", "--sandbox", "--dry-run").out)
    assert (shown["path"], shown["body"]["input"]) == ("/responses", "Rain.")
    assert json.loads(penstock("respond", "Rain.", "--sandbox", "--json").out)["calls"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["respond", "--sandbox"], "text"),
        (["respond", "Rain.", "--temperature", "hot", "--sandbox"], "temperature"),
        (["respond", "Rain.", "--max-tokens", "0", "--sandbox"], "max_tokens"),
        (["respond", "Rain.", "--answer-schema", "{oops", "--sandbox"], "answer_schema"),
        (["respond", "Rain.", "--answer-schema", "@missing.json", "--sandbox"], "missing.json"),
        (["respond", "Rain.", "--budget", "-1", "--sandbox"], "budget"),
        (["respnd", "Rain."], "respond"),
    ],
)
def test_wrong_input_is_one_clear_error(penstock: Callable[..., Any], arguments: list[str], words: str) -> None:
    ended = penstock(*arguments)
    assert ended.code == 2
    assert words in ended.err


def test_one_new_file_is_a_new_command(tmp_path: Path) -> None:
    program = with_one_more_operation(tmp_path)
    assert "echo-text" in program.run("--help")
    assert program.run("echo-text", "hello", "--sandbox") == "hello\n"
