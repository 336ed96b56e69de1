"""What bad input gets: one clear error with its code, its place and what to do, and the exit code of the table."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.runtime.store import _migrations
from shop import Shop, feedback

RUN = ("run", "flow.yaml", "--sandbox", "--apply-schema")


def assert_error(ended: Any, code: int, error: str, *words: str, place: str = "") -> None:
    """Check that an error was said once, on stderr, with its code, a hint and its place."""
    assert ended.code == code, ended
    assert ended.err.count("error:") == 1, ended.err
    assert f"[{error}]" in ended.err
    for word in words:
        assert word in ended.err, ended.err
    if place:
        assert re.search(place, ended.err), ended.err


def change(shop: Shop, *path: Any, value: Any) -> None:
    node: Any = shop.flow
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    shop.write()


STEP = ("steps", 0, "analyze-sentiment")
AT = r"at .*flow\.yaml:\d+:\d+"

FLOWS: list[tuple[str, tuple[Any, ...], Any, str, tuple[str, ...]]] = [
    ("wrong column", (*STEP, "text"), "${{ record.txt }}", "flow.unknown-field", ("'txt'", "Did you mean text?")),
    (
        "wrong column in a filter",
        ("where",),
        "${{ record.Email == '' }}",
        "flow.unknown-field",
        ("Did you mean email?",),
    ),
    (
        "wrong column in summarize",
        ("summarize", "by"),
        "${{ record.mail }}",
        "flow.unknown-field",
        ("Did you mean email?",),
    ),
    (
        "wrong field of a result",
        ("sink", "brevo", "attributes", "SENTIMENT_SCORE"),
        "${{ sentiment.scoer }}",
        "flow.unknown-field",
        ("Did you mean score?",),
    ),
    ("template typo", (*STEP, "text"), "${{ record.text | uper }}", "flow.expression", ("uper",)),
    ("unclosed template", (*STEP, "text"), "${{ record.text + }}", "flow.expression", ("cannot read",)),
    ("empty template", (*STEP, "text"), "${{ }}", "flow.expression", ("is empty",)),
    ("unknown name", (*STEP, "text"), "${{ recrod.text }}", "flow.unknown-name", ("Did you mean record?",)),
    (
        "unknown operation",
        ("steps", 0),
        {"analyse-sentiment": {"text": "x"}},
        "flow.unknown-operation",
        ("Did you mean analyze-sentiment?",),
    ),
    ("unknown input", (*STEP, "topic"), ["a"], "flow.invalid", ("has no input 'topic'", "Did you mean topics?")),
    (
        "missing input",
        ("steps", 0),
        {"analyze-sentiment": {"topics": ["a"]}},
        "flow.invalid",
        ("needs the input 'text'",),
    ),
    ("bad constant input", (*STEP, "topics"), ["a", "a"], "flow.bad-input", ("a topic is there twice",)),
    ("unknown word", ("sumarize",), {"by": "x"}, "flow.invalid", ("'sumarize'", "Did you mean summarize?")),
    ("unknown word in the sink", ("sink", "brevo", "atributes"), {}, "flow.invalid", ("Did you mean attributes?",)),
    ("word of another sink", ("sink", "brevo", "table"), "x", "flow.invalid", ("the sink brevo has no 'table'",)),
    (
        "unknown sink",
        ("sink",),
        {"brewo": {"match": "x", "attributes": {"A": "1"}}},
        "flow.invalid",
        ("Did you mean brevo?",),
    ),
    ("unknown source", ("source",), {"file": {"path": "feedback.csv"}}, "flow.invalid", ("Did you mean files?",)),
    (
        "unknown option of a source",
        ("source", "files", "pth"),
        "x",
        "input.unknown-option",
        ("'pth'", "Did you mean 'path'?"),
    ),
    (
        "missing option of a source",
        ("source",),
        {"files": {"path": "feedback.csv"}},
        "input.missing-option",
        ("'key'",),
    ),
    ("wrong type", ("summarize", "half-life-days"), "soon", "flow.invalid", ("number",)),
    ("wrong budget", ("budget",), -3, "flow.invalid", ("greater than 0",)),
    ("endless budget", ("budget",), 1e300, "flow.invalid", ("less than",)),
    ("no steps", ("steps",), [], "flow.invalid", ("at least one step",)),
    (
        "step that is no operation",
        ("steps", 0),
        {"analyze-sentiment": {"text": "x"}, "respond": {}},
        "flow.invalid",
        ("a step is one operation",),
    ),
    (
        "name that is taken",
        ("steps", 0),
        {"analyze-sentiment": {"text": "x"}, "as": "record"},
        "flow.invalid",
        ("is taken",),
    ),
    ("bad name", ("name",), "My Flow!", "flow.invalid", ("no name",)),
    ("sink that writes nothing", ("sink",), {"brevo": {"match": "x"}}, "flow.invalid", ("writes nothing",)),
    ("missing part", ("sink",), {"brevo": {"attributes": {"A": "x"}}}, "flow.invalid", ("'match' is missing",)),
]


@pytest.mark.parametrize(("path", "value", "error", "words"), [one[1:] for one in FLOWS], ids=[one[0] for one in FLOWS])
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_mistake_in_the_flow_file_is_named_with_line_and_column(
    tmp_path: Path, penstock: Any, command: str, path: tuple[Any, ...], value: Any, error: str, words: tuple[str, ...]
) -> None:
    change(Shop(tmp_path), *path, value=value)
    assert_error(penstock(command, "flow.yaml", "--sandbox"), 2, error, *words, place=AT)


BAD_FILES: list[tuple[str, bytes, str, tuple[str, ...]]] = [
    ("bad YAML", b"name: a\nsteps:\n  - b: {\n", "flow.yaml", ("flow.yaml:4:1",)),
    ("tab", b"name: a\nsource:\n\tfiles: x\n", "flow.yaml", ("flow.yaml:3:1",)),
    ("repeated key", b"name: a\nname: b\n", "flow.yaml", ("flow.yaml:2:1", "duplicate")),
    ("not UTF-8", "name: grün\n".encode("latin-1"), "flow.encoding", ("byte 8", "UTF-8")),
    ("empty", b"", "flow.empty", ("a mapping with name",)),
    ("only a comment", b"# nothing\n", "flow.empty", ("a mapping with name",)),
    ("a list", b"- a\n- b\n", "flow.shape", ("a mapping with name",)),
    ("NUL", b"name: a\x00b\n", "flow.yaml", ()),
    ("anchors without end", b"name: &a\n  - *a\n", "flow.invalid", ()),
    (
        "anchors that multiply",
        b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10)) for n in range(9)),
        "flow.too-large",
        (),
    ),
]


@pytest.mark.parametrize(
    ("content", "error", "words"), [one[1:] for one in BAD_FILES], ids=[one[0] for one in BAD_FILES]
)
def test_a_file_that_is_no_flow_is_refused(
    tmp_path: Path, penstock: Any, content: bytes, error: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "flow.yaml").write_bytes(content)
    ended = penstock("plan", "flow.yaml", "--sandbox")
    assert_error(ended, 2, error, *words)


def test_a_flow_file_that_is_missing_is_said_with_what_is_there(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    assert_error(penstock("plan", "flows.yaml", "--sandbox"), 2, "flow.missing", "Found instead: flow.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert_error(penstock("plan", "folder.yaml", "--sandbox"), 2, "flow.unreadable")


def test_a_missing_key_says_where_it_was_looked_for(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    assert_error(penstock("run", "flow.yaml", "--yes"), 2, "settings.missing", "BREVO_API_KEY", "export", "--sandbox")


def test_an_unknown_operation_or_input_of_run_is_said(tmp_path: Path, penstock: Any) -> None:
    assert_error(
        penstock("run", "analyze-sentimnt", "--sandbox"), 2, "operation.unknown", "Did you mean analyze-sentiment?"
    )
    assert_error(
        penstock("run", "analyze-sentiment", "-i", "txt=x", "--sandbox"), 2, "operation.bad-input", "Did you mean text?"
    )
    assert_error(penstock("run", "analyze-sentiment", "-i", "text", "--sandbox"), 2, "input.shape", "NAME=VALUE")
    assert_error(penstock("run", "analyze-sentiment", "-i", "text=[1", "--sandbox"), 2, "input.json")


@pytest.mark.parametrize("budget", ["0", "-1", "nan", "inf", "1e300"])
def test_a_budget_that_is_no_amount_is_refused(tmp_path: Path, penstock: Any, budget: str) -> None:
    Shop(tmp_path)
    assert_error(penstock(*RUN, "--budget", budget), 2, "settings.invalid", "--budget")


SOURCES: list[tuple[str, bytes | None, int, str]] = [
    ("missing", None, 2, "files.missing"),
    ("empty", b"", 2, "files.empty"),
    ("a workbook", b"PK\x03\x04rest", 2, "files.wrong-format"),
    ("UTF-16", "id,email,date,text\n".encode("utf-16"), 2, "files.wrong-format"),
    ("no such key column", b"number,email,date,text\n1,a@b.example,2026-01-01,x\n", 2, "input.missing-column"),
    ("a column twice", b"id,email,email,text\n1,a@b.example,c@d.example,x\n", 2, "input.duplicate-column"),
]


@pytest.mark.parametrize(("content", "code", "error"), [one[1:] for one in SOURCES], ids=[one[0] for one in SOURCES])
def test_a_source_that_cannot_be_read_is_one_error(
    tmp_path: Path, penstock: Any, content: bytes | None, code: int, error: str
) -> None:
    Shop(tmp_path)
    path = tmp_path / "feedback.csv"
    path.unlink() if content is None else path.write_bytes(content)
    for command in ("plan", "run"):
        assert_error(penstock(command, "flow.yaml", "--sandbox"), code, error, "feedback.csv")


def test_a_source_with_a_heading_and_nothing_else_is_a_run_of_nothing(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    (tmp_path / "feedback.csv").write_text("id,email,date,text\n")
    ended = penstock(*RUN, "--json")
    assert (ended.code, json.loads(ended.out)["counts"]["judged"]) == (0, 0)


ROWS: list[tuple[str, bytes, str]] = [
    ("ragged", b"f8,c8@example.com,2026-01-01\n", ":8"),
    ("too long", b"f8,c8@example.com,2026-01-01,x,y,z\n", ":8"),
    ("broken UTF-8", b"f8,c8@example.com,2026-01-01,caf\xe9\n", ":8"),
    ("without a key", b",c8@example.com,2026-01-01,fine\n", ":8"),
    ("with a date that is none", b"f8,c8@example.com,yesterday,fine\n", ":8"),
    ("of nobody", b"f8, ,2026-01-01,fine\n", ":8"),
]


@pytest.mark.parametrize(("row", "place"), [one[1:] for one in ROWS], ids=[one[0] for one in ROWS])
def test_a_bad_row_is_kept_aside_with_its_line_and_the_rest_is_unharmed(
    tmp_path: Path, penstock: Any, row: bytes, place: str
) -> None:
    Shop(tmp_path)
    path = tmp_path / "feedback.csv"
    path.write_bytes(path.read_bytes() + row)
    ended = penstock(*RUN, "--json")
    report = json.loads(ended.out)
    counts = report["counts"]
    assert (ended.code, counts["judged"], counts["written"]) == (3, 6, 6)
    assert counts["failed"] + counts["rejected"] == 1
    assert report["failures"][0]["where"].endswith(place)
    shown = penstock("runs", "show", report["run"], "--sandbox", "--json")
    (letter,) = json.loads(shown.out)["dead_letters"]
    assert letter["place"].endswith(place)
    again = json.loads(penstock(*RUN, "--json").out)["counts"]
    assert (again["unchanged"], again["calls"], again["failed"] + again["rejected"]) == (6, 0, 1)


@pytest.mark.parametrize(
    "text",
    ["Good service! " * 380_000, "bad\x00 quality \x01\x1f", "\u202efine \U0001f600"],
    ids=["5 MB", "control characters", "bidirectional"],
)
def test_a_strange_text_is_judged_like_any_other(tmp_path: Path, penstock: Any, text: str) -> None:
    shop = Shop(tmp_path, [feedback(1), feedback(2)])
    shop.flow["source"] = {"files": {"path": "feedback.jsonl", "key": "id"}}
    shop.write()
    rows = [feedback(1), feedback(2), feedback(3, text=text)]
    (tmp_path / "feedback.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = penstock(*RUN, "--json")
    assert (ended.code, json.loads(ended.out)["counts"]["judged"]) == (0, 3), ended


def test_an_attribute_of_the_wrong_type_blocks_the_run_with_the_fix(tmp_path: Path, penstock: Any) -> None:
    shop = Shop(tmp_path)
    shop.flow["sink"]["brevo"]["attributes"] = {
        "FIRSTNAME": "${{ sentiment.score }}",
        "SCORE": "${{ sentiment.label }}",
    }
    shop.write()
    assert_error(
        penstock("run", "flow.yaml", "--sandbox"), 2, "sink.does-not-fit", "SCORE does not exist", "--apply-schema"
    )
    shop.flow["sink"]["brevo"]["attributes"] = {"SCORE": "${{ sentiment.score }}"}
    shop.write()
    assert penstock(*RUN).code == 0
    shop.flow["sink"]["brevo"]["attributes"] = {"SCORE": "${{ sentiment.label }}"}
    shop.write()
    ended = penstock(*RUN)
    assert_error(ended, 2, "sink.does-not-fit", "SCORE is of type float", "Use another attribute")
    plan = penstock("plan", "flow.yaml", "--sandbox")
    assert (plan.code, "✗" in plan.out) == (2, True)


def test_an_expression_that_fails_for_one_record_is_one_dead_letter(tmp_path: Path, penstock: Any) -> None:
    shop = Shop(tmp_path, [feedback(number, rating=5) for number in range(6)])
    shop.flow["where"] = "${{ record.rating | int / (record.id[1:] | int - 3) != 100 }}"
    shop.write()
    ended = penstock(*RUN, "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["counts"]["failed"], report["counts"]["judged"]) == (3, 1, 5)
    assert report["failures"][0]["code"] == "mapping.failed"


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    assert penstock(*RUN).code == 0
    with closing(sqlite3.connect(tmp_path / ".penstock" / "sandbox.sqlite")) as store, store:
        store.execute(f"pragma user_version = {max(_migrations()) + 1}")
    store.close()
    assert_error(penstock(*RUN), 2, "store.newer", "newer Penstock", "Upgrade")


def test_a_file_that_is_no_store_is_refused(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    (tmp_path / ".penstock").mkdir()
    (tmp_path / ".penstock" / "sandbox.sqlite").write_bytes(
        b"This is not a database at all, but it is long enough." * 40
    )
    assert_error(penstock(*RUN), 2, "store.corrupt", "not a readable store")


def test_a_folder_that_cannot_hold_the_store_is_said(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    (tmp_path / ".penstock").write_text("a file where the folder should be")
    ended = penstock(*RUN)
    assert_error(ended, 6, "store.unusable", "may be written")


def test_settings_that_are_wrong_name_their_origin(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    (tmp_path / "penstock.toml").write_text("in-flight = 'many'\n")
    assert_error(penstock(*RUN), 2, "settings.invalid", "in-flight", "penstock.toml")
    (tmp_path / "penstock.toml").write_text("in-flight = \n")
    assert_error(penstock(*RUN), 2, "settings.invalid", "not valid TOML")
    (tmp_path / "penstock.toml").write_text("[budget]\nrun = nan\n")
    assert_error(penstock(*RUN), 2, "settings.invalid", "budget.run")


def test_retrying_or_showing_a_run_that_does_not_exist_is_said(tmp_path: Path, penstock: Any) -> None:
    for command in ("show", "retry"):
        assert_error(penstock("runs", command, "run_none", "--sandbox"), 2, "run.unknown", "runs list")


WRONG: list[tuple[str, tuple[str, ...], str, tuple[str, ...]]] = [
    ("an id longer than any", ("campaigns", "show", "9" * 30), "campaign.unknown", ("campaigns list",)),
    ("a name of nothing", ("campaigns", "approve", "none"), "campaign.unknown", ("campaigns list",)),
    ("not confirmed", ("campaigns", "schedule", "1", "--at", "tomorrow"), "campaign.not-confirmed", ("--confirm-id",)),
    ("a campaign that is none", ("campaigns", "draft", "half.yaml"), "campaign.file", ("campaigns.md",)),
    ("no text file", ("campaigns", "draft", "junk.bin"), "flow.encoding", ("UTF-8",)),
    ("a plain address", ("webhooks", "create", "--url", "http://hooks.example"), "webhook.bad-url", ("https",)),
    ("no address", ("webhooks", "create", "--url", "not a url"), "webhook.bad-url", ("https",)),
    ("an empty file", ("feedback", "import", "empty.csv"), "files.empty", ("Check the export",)),
    ("an unknown format", ("feedback", "import", "junk.bin"), "files.unknown-format", (".csv",)),
    ("a folder in place of a file", ("content", "write", "folder"), "flow.unreadable", ("Give a file",)),
    ("a missing column", ("feedback", "import", "head.csv", "--columns", "text=No"), "input.missing-column", ("No",)),
    ("no pair", ("feedback", "import", "head.csv", "--columns", "text"), "input.shape", ("NAME=COLUMN",)),
    ("no text", ("feedback", "add", ""), "feedback.no-text", ("text",)),
    ("no time", ("feedback", "add", "Hi", "--at", "never"), "feedback.bad-time", ("2026",)),
    ("a folder that is not there", ("feedback", "export", "none/all.csv"), "files.not-written", ("none",)),
    ("a flow that judged nothing", ("trends", "none"), "trends.nothing-dated", ("Run it first",)),
    ("a window of no days", ("trends", "none", "--days", "nan"), "trends.bad-days", ("28",)),
    ("a flow without a source", ("trends", "half.yaml"), "flow.invalid", ("flow-file.md",)),
    ("a brief that is none", ("content", "write", "half.yaml"), "content.field", ("offer",)),
    ("results without columns", ("content", "remember", "head.csv"), "content.outcome", ("delivered",)),
    ("results without anything", ("content", "remember", "empty.csv"), "content.outcome", ("delivered",)),
    ("nobody", ("objections", "add", " "), "privacy.no-contact", ("email",)),
    ("nobody to explain", ("explain", ""), "privacy.no-contact", ("email",)),
    ("an event that was never", ("events", "replay", "none"), "events.nothing-to-replay", ("events tail",)),
    ("a mapping with a slip", ("events", "check", "head.csv", "--mapping", "flatt"), "flow.missing", ("flat",)),
    ("a day that is none", ("reconcile", "--since", "someday"), "input.date", ("2026",)),
    ("an unknown token", ("tokens", "remove", "none"), "token.no-such-name", ("tokens list",)),
    ("an unknown batch", ("batches", "cancel", "none"), "batch.unknown", ("batches list",)),
]


@pytest.mark.parametrize(("arguments", "code", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_nobody_can_do_is_one_clear_error(
    tmp_path: Path, penstock: Any, arguments: tuple[str, ...], code: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "head.csv").write_text("id,email,date,text\n")
    (tmp_path / "half.yaml").write_text("name: half\n")
    (tmp_path / "junk.bin").write_bytes(b"\xff\xfe\x00\x81" * 60)
    (tmp_path / "folder").mkdir()
    ended = penstock(*arguments, "--sandbox")
    assert_error(ended, 2, code, *words)
    assert ended.err.count("hint:") == 1
    assert ended.out == ""


def test_the_next_command_is_told_as_it_has_to_be_typed(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path)
    assert "penstock run flow.yaml --apply-schema --sandbox" in penstock("plan", "flow.yaml", "--sandbox").err
    with (tmp_path / "feedback.csv").open("a") as file:
        file.write("f9,c9@example.com,no date,Fine\n")
    assert re.search(r"penstock runs retry \S+ --sandbox", penstock(*RUN).err)
