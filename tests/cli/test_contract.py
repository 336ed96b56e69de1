"""What every command keeps to: streams, formats, exit codes, help, colour, secrets, start-up."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from penstock.base import errors
from penstock.cli.main import penstock as group
from processes import clean_environment
from shop import Shop

RUN = ("run", "flow.yaml", "--sandbox", "--apply-schema")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every command of the tree."""
    found = [(path, command)] if path else []
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            found += leaves(child, (*path, name))
    return found


COMMANDS = leaves(group)


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS], ids=" ".join)
def test_every_command_has_help(penstock: Any, path: tuple[str, ...]) -> None:
    if path == ("sandbox", "up"):
        return  # it hands its arguments on to the server
    ended = penstock(*path, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"Usage: penstock {' '.join(path)}" in ended.out
    lines = [line for line in ended.out.splitlines() if line.strip()]
    assert len(lines) > 2
    assert lines[1].strip().endswith((".", ":", ",")) or len(lines[1]) > 20


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS if path != ("sandbox", "up")], ids=" ".join)
def test_an_option_that_no_command_has_is_one_clear_error(penstock: Any, tmp_path: Path, path: tuple[str, ...]) -> None:
    ended = penstock(*path, "--nonsense-option", "x")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("rror: ") == 1
    assert "--nonsense-option" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_option_and_command_says_what_it_is(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help or command.short_help, path
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, (path, parameter.name)
            assert parameter.help.rstrip().endswith((".", ")")), (path, parameter.help)


def test_every_command_that_a_hint_names_is_there() -> None:
    source = Path(__file__).parents[2] / "src" / "penstock"
    names = {" ".join(path) for path, _ in COMMANDS}
    for file in source.rglob("*.py"):
        for words in re.findall(r"`penstock ((?:[a-z]+ ?)+)", file.read_text(encoding="utf-8")):
            first, *rest = words.split()
            assert first in names, (file.name, words)
            assert (
                not rest
                or not isinstance(group.get_command(click.Context(group), first), click.Group)
                or (f"{first} {rest[0]}" in names)
            ), (file.name, words)


def test_an_unknown_command_names_the_nearest(penstock: Any) -> None:
    ended = penstock("plna", "flow.yaml")
    assert (ended.code, "Did you mean plan?" in ended.err, ended.out) == (2, True, "")


def test_a_run_ends_with_one_json_document_or_a_stream_of_them_and_nothing_else(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    ended = penstock("plan", "flow.yaml", "--sandbox", "--json")
    assert json.loads(ended.out)["calls"] == 6
    assert ended.code == 2  # the attributes are not there yet
    ended = penstock(*RUN, "--json")
    assert json.loads(ended.out)["exit_code"] == ended.code == 0
    assert "Sandbox: emulated vendors" in ended.err
    ended = penstock(*RUN, "--jsonl")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert lines[-1]["report"]["counts"]["unchanged"] == 6
    assert all("stage" in line for line in lines[:-1])


def test_for_people_the_report_is_data_and_the_rest_is_not(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    ended = penstock(*RUN)
    assert ended.code == 0
    assert re.search(r"records +6: 6 judged, 0 unchanged", ended.out)
    assert re.search(r"writes +6 of 6 confirmed", ended.out)
    assert "Sandbox" not in ended.out
    assert "\x1b" not in ended.out + ended.err


@pytest.mark.parametrize(
    "arguments",
    [("runs", "list"), ("cost",), ("answers", "show"), ("doctor",), ("settings", "show")],
    ids=" ".join,
)
def test_every_list_comes_for_people_and_as_one_document(tmp_path: Path, penstock: Any, arguments: tuple[str]) -> None:
    Shop(tmp_path)
    penstock(*RUN)
    plain = penstock(*arguments, "--sandbox")
    assert (plain.code, bool(plain.out)) == (0, True), plain
    document = penstock(*arguments, "--sandbox", "--json")
    assert document.code == 0
    json.loads(document.out)


def test_costs_add_up_to_what_the_runs_say(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    first = json.loads(penstock(*RUN, "--json").out)
    for by in ("day", "model", "operation", "flow"):
        groups = json.loads(penstock("cost", "--by", by, "--sandbox", "--json").out)
        assert sum(group["cost"] for group in groups) == first["counts"]["cost"] > 0
        assert sum(group["calls"] for group in groups) == 6
    assert json.loads(penstock("cost", "--unknown", "--sandbox", "--json").out) == []


def test_runs_are_listed_shown_and_tried_again(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    with (tmp_path / "feedback.csv").open("a") as file:
        file.write("f9,c9@example.com,no date,Fine\n")
    report = json.loads(penstock(*RUN, "--json").out)
    (row,) = json.loads(penstock("runs", "list", "--sandbox", "--json").out)
    assert (row["id"], row["state"]) == (report["run"], "done")
    shown = penstock("runs", "show", report["run"], "--sandbox")
    assert (shown.code, "mapping.bad-date" in shown.out, "runs retry" in shown.err) == (0, True, True)
    retried = penstock("runs", "retry", report["run"], "--only", "failed", "--sandbox", "--json")
    assert (retried.code, json.loads(retried.out)["counts"]["failed"]) == (3, 1)


def test_forgetting_a_contact_deletes_its_answers(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    penstock(*RUN)
    assert "1 answers deleted" in penstock("answers", "forget", "c2@example.com", "--sandbox").err
    assert json.loads(penstock("answers", "show", "--sandbox", "--json").out)["answers"] == 5


def test_one_operation_runs_from_the_shell(penstock: Any) -> None:
    ended = penstock("run", "analyze-sentiment", "-i", "text=I love it!", "--sandbox", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["output"]["label"], found["calls"], found["cached"]) == (0, "positive", 1, 0)
    again = json.loads(penstock("run", "analyze-sentiment", "-i", "text=I love it!", "--sandbox", "--json").out)
    assert (again["output"], again["calls"], again["cached"]) == (found["output"], 0, 1)


def test_the_exit_codes_are_those_of_the_table() -> None:
    table = {
        errors.FixError: 2,
        errors.SettingsError: 2,
        errors.InputError: 2,
        errors.FlowError: 2,
        errors.MappingError: 2,
        errors.AccessError: 4,
        errors.RejectedError: 1,
        errors.QuotaError: 5,
        errors.ThrottledError: 5,
        errors.UnavailableError: 5,
        errors.OutputError: 1,
        errors.StoppedError: 6,
        errors.DefectError: 70,
    }
    assert {kind: kind.exit_code for kind in table} == table


def run_child(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_ENTRY, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean_environment(**more),
        timeout=60,
        check=False,
    )


_ENTRY = [sys.executable, "-c", "from penstock.cli.main import main; main()"]


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom penstock.cli.main import execute\nexecute(['--help'])\n"
        "heavy = {'pydantic', 'dbos', 'sqlalchemy', 'rich', 'msgspec', 'jinja2', 'ruamel.yaml', 'pyreqwest', 'psycopg',"
        " 'asyncio', 'zstandard', 'pyarrow'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Commands:" in ended.stdout


def test_keys_appear_in_no_output(tmp_path: Path) -> None:
    Shop(tmp_path)
    keys = {
        "OPENAI_API_KEY": "sk-proj-verysecretvalue123",
        "BREVO_API_KEY": "xkeysib-anothersecret456",
        "PENSTOCK_DATABASE_URL": "postgresql://me:hiddenpassword@127.0.0.1:9/none",
    }
    commands = [
        ("settings", "show"),
        ("settings", "show", "--json"),
        ("doctor",),
        ("run", "flow.yaml", "--yes", "--debug"),
    ]
    for arguments in commands:
        ended = run_child(*arguments, folder=tmp_path, **keys)
        shown = ended.stdout + ended.stderr
        assert shown
        for secret in ("verysecretvalue123", "anothersecret456", "hiddenpassword"):
            assert secret not in shown, (arguments, shown)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = " ".join([*map(_quote, _ENTRY), "settings show | head -1"])
    ended = subprocess.run(
        command,
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environment(),
        timeout=60,
        check=False,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)


def _quote(text: str) -> str:
    import shlex

    return shlex.quote(text)


def on_a_terminal(arguments: list[str], folder: Path, **more: str) -> str:
    """Run a command with its output on a terminal; returns everything that it showed."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*_ENTRY, *arguments], stdout=follower, stderr=follower, cwd=folder, env=clean_environment(TERM="xterm", **more)
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(leader)
    process.wait()
    return shown.decode(errors="replace")


def test_a_terminal_gets_a_live_line_and_colour_unless_it_asks_for_none(tmp_path: Path) -> None:
    Shop(tmp_path)
    live = on_a_terminal(list(RUN), tmp_path)
    assert "\x1b[2K" in live
    assert re.search(r"\x1b\[\d+m", live)
    plain = on_a_terminal(["doctor", "--sandbox"], tmp_path, NO_COLOR="1")
    assert not re.search(r"\x1b\[\d+m", plain)
    assert "✓" in plain


def test_a_run_that_could_cost_more_than_the_threshold_is_not_begun_without_asking(tmp_path: Path) -> None:
    from processes import serve_sandbox

    shop = Shop(tmp_path)
    shop.flow["sink"] = {"files": {"path": "out.csv", "match": "${{ record.email }}", "columns": {"a": "1"}}}
    shop.write()
    with serve_sandbox() as sandbox:
        settings = {
            "OPENAI_API_KEY": "sk-test-12345678",
            "OPENAI_BASE_URL": f"{sandbox.url}/openai/v1",
            "PENSTOCK_ASK_ABOVE": "0.0001",
        }
        refused = run_child("run", "flow.yaml", folder=tmp_path, **settings)
        assert refused.returncode == 2
        assert "[budget.not-confirmed]" in refused.stderr
        assert "--yes" in refused.stderr
        assert sandbox.billed() == 0
        assert run_child("run", "flow.yaml", "--yes", folder=tmp_path, **settings).returncode == 0
        assert sandbox.billed() == 6
        wrong = {**settings, "OPENAI_API_KEY": "sk-invalid-12345678"}
        shop.record("f1")["text"] = "Something new."
        shop.write()
        ended = run_child("run", "flow.yaml", "--yes", folder=tmp_path, **wrong)
        assert (ended.returncode, "[openai.key-refused]" in ended.stderr) == (4, True), ended.stderr
        assert "sk-invalid-12345678" not in ended.stdout + ended.stderr
