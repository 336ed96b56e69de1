"""`penstock connections` from the shell: keys stay out of sight, faults are named."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KEY = "azure-key-that-nobody-sees"
AZURE = ("judge", "--kind", "azure", "--base-url", "https://me.openai.azure.com", "--model", "judge-1=gpt-6-luna")


@pytest.fixture(autouse=True)
def keys_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the keys of the vault away from this user's own."""
    os.environ["PENSTOCK_VAULT_KEY_FILE"] = str(tmp_path_factory.mktemp("keys") / "vault.keys")
    yield
    del os.environ["PENSTOCK_VAULT_KEY_FILE"]


@pytest.fixture
def type_in() -> Iterator[Callable[[str], None]]:
    """Give standard input a text."""
    kept = sys.stdin

    def give(text: str) -> None:
        sys.stdin = io.StringIO(text)

    yield give
    sys.stdin = kept


@pytest.fixture
def added(penstock: Any, type_in: Any) -> Any:
    """Add an Azure connection and return the command line."""
    type_in(KEY + "\n")
    ended = penstock("connections", "add", *AZURE, "--secret-from", "-")
    assert (ended.code, ended.out) == (0, ""), ended.err
    return penstock


def test_a_key_from_standard_input_is_sealed_and_shown_nowhere(added: Any, tmp_path: Path) -> None:
    outputs = [
        added("connections", *arguments)
        for arguments in (("list",), ("list", "--json"), ("show", "judge"), ("show", "judge", "--json"))
    ]
    assert all(ended.code == 0 and KEY not in ended.out + ended.err for ended in outputs)
    assert "sealed in the workspace" in outputs[0].out
    shown = json.loads(outputs[3].out)
    assert shown["models"] == {"judge-1": "gpt-6-luna"}
    assert shown["key"].startswith("azu…")
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_test_says_what_is_right_and_what_is_wrong(added: Any) -> None:
    ended = added("connections", "test", "--sandbox")
    assert ended.code == 0
    assert "judge-1 answers" in ended.out
    as_json = json.loads(added("connections", "test", "judge", "openai", "brevo", "--sandbox", "--json").out)
    assert {name: {finding["verdict"] for finding in findings} for name, findings in as_json.items()} == {
        "judge": {"ok"}, "openai": {"ok"}, "brevo": {"ok"},
    }  # fmt: skip


def test_a_connection_is_used_by_name_for_a_call_and_for_a_flow(added: Any) -> None:
    run = ("run", "analyze-sentiment", "-i", "text=Late again.", "--sandbox", "--json")
    first = json.loads(added(*run, "--connection", "judge").out)
    again = json.loads(added(*run, "--connection", "judge").out)
    other = json.loads(added(*run).out)
    assert first["output"]["method"] == "structured"  # Azure has no Decisions API
    assert other["output"]["method"] != "structured"
    assert [one["cached"] for one in (first, again, other)] == [False, True, False]


def test_removing_a_connection_ends_it(added: Any, tmp_path: Path) -> None:
    assert added("connections", "remove", "judge").code == 0
    assert not list((tmp_path / ".penstock" / "secrets").glob("*"))
    ended = added("run", "analyze-sentiment", "-i", "text=x", "--sandbox", "--connection", "judge")
    assert (ended.code, "[connection.unknown]" in ended.err) == (2, True)


def test_rotation_keeps_every_key_usable(added: Any) -> None:
    before = added("connections", "show", "judge").out
    assert added("connections", "rotate").code == 0
    assert added("connections", "show", "judge").out == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (AZURE, "connection.no-secret"),
        ((*AZURE, "--secret-from", "sk-the-key-itself"), "connection.bad"),
        ((*AZURE, "--secret-from", "env:X", "--pixel-id", "1"), "connection.bad"),
        (("Judge", "--secret-from", "env:X"), "connection.bad"),
        (("judge", "--model", "x", "--secret-from", "env:X"), "input.shape"),
        (("judge", "--kind", "azure", "--secret-from", "env:X"), "connection.bad"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    penstock: Any, type_in: Any, tmp_path: Path, arguments: tuple[str, ...], code: str
) -> None:
    type_in("")
    ended = penstock("connections", "add", *arguments)
    assert (ended.code, f"[{code}]" in ended.err) == (2, True), ended.err
    assert "the-key-itself" not in ended.err
    assert not (tmp_path / "connections.toml").exists()


def test_a_missing_key_says_which_variable_to_set(penstock: Any) -> None:
    penstock("connections", "add", "other", "--secret-from", "env:OTHER_KEY")
    ended = penstock("connections", "test", "other")
    assert ended.code == 2
    assert "export OTHER_KEY=" in ended.out
    assert "export OTHER_KEY=" in penstock("doctor").out


def test_the_guide_shows_commands_that_work(penstock: Any, type_in: Any, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "connections.md").read_text(encoding="utf-8")
    lines = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    shutil.copytree(ROOT / "examples" / "feedback", tmp_path, dirs_exist_ok=True)
    assert len(lines) == 8
    for line in lines:
        command = shlex.split(line.rpartition(" | ")[2])
        assert command[0] == "penstock"
        type_in(KEY)
        ended = penstock(*command[1:], "--sandbox")
        assert (ended.code, KEY in ended.out + ended.err) == (0, False), (line, ended.err, ended.out)
