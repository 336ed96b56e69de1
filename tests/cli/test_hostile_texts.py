"""Texts of customers that would steer a terminal, a spreadsheet or a browser come out harmless."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import InputError
from penstock.base.types import Finding, Problem
from penstock.cli import render
from penstock.cli.main import execute

STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202egnp.exe"
RAW = ("\x1b", "\x07", "\x9b", "\x7f", "\u202e")
FORMULAS = ('=HYPERLINK("https://evil.example","x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1+1", "\r=1+1")


def assert_harmless(text: str) -> None:
    assert [letter for letter in RAW if letter in text] == []


def test_nothing_that_steers_a_terminal_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    render.show(f"A line {STEERING}")
    render.note(f"A note {STEERING}")
    render.show_table(["name"], [[f"cell {STEERING}\nnext"]])
    render.show_facts([(f"name {STEERING}", STEERING)])
    render.show_findings([Finding(STEERING, "warn", STEERING, STEERING)])
    render.show_problems([Problem("a.b", STEERING, STEERING, STEERING)])
    render.show_error(InputError(STEERING, code="a.b", hint=STEERING, where=STEERING))
    said = capfd.readouterr()
    assert_harmless(said.out + said.err)
    assert "\\x1b[2J" in said.out
    assert len([line for line in said.out.splitlines() if line.startswith("cell")]) == 1


def test_colours_of_our_own_stay() -> None:
    assert render._clean_painted("\x1b[31merror:\x1b[0m \x1b[2Jx") == "\x1b[31merror:\x1b[0m \\x1b[2Jx"


def test_feedback_that_steers_is_listed_and_explained_harmlessly(penstock: Any) -> None:
    assert penstock("feedback", "add", f"Hello {STEERING}", "--contact", "anna@example.com", "--sandbox").code == 0
    listed = penstock("feedback", "list", "--sandbox")
    assert "Hello" in listed.out
    assert_harmless(listed.out + listed.err)
    wrong = penstock("trends", f"no{STEERING}thing", "--sandbox")
    assert wrong.code == 2
    assert_harmless(wrong.err)


def test_an_answer_goes_into_a_pipe_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    """Only a terminal is steered by what is written to it; a file keeps every letter."""
    render.show_text(f"answer {STEERING}")
    assert capfd.readouterr().out == f"answer {STEERING}\n"


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_of_an_export_is_run_by_a_spreadsheet(formula: str, tmp_path: Path, penstock: Any) -> None:
    assert penstock("feedback", "add", f"--id={formula}", "--sandbox", "--", f"{formula} late").code == 0
    assert penstock("feedback", "export", "all.csv", "--sandbox").code == 0
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    cells = [cell for row in rows for cell in row.values()]
    assert len(rows) == 1
    assert [cell for cell in cells if cell.lstrip("\t\r ")[:1] in "=+-@" and cell and cell[0] != "'"] == []


def test_what_a_flow_writes_into_a_csv_is_not_run_either(tmp_path: Path, penstock: Any) -> None:
    rows = [{"id": str(at), "text": formula} for at, formula in enumerate(FORMULAS)]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "in.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "flow.yaml").write_text(
        "name: copy\nsource:\n  files: { path: in.jsonl, key: id }\n"
        "steps:\n  - analyze-sentiment: { text: '${{ record.text }}' }\n"
        "sink:\n  files: { path: out.csv, match: '${{ record.id }}', columns: { text: '${{ record.text }}' } }\n",
        encoding="utf-8",
    )
    assert execute(["run", "flow.yaml", "--sandbox"]) == 0
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as written:
        texts = [row["text"] for row in csv.DictReader(written)]
    assert len(texts) == len(FORMULAS)
    assert [text for text in texts if text and text[0] in "=+-@\t\r"] == []


def test_a_saved_mail_runs_nothing(tmp_path: Path, penstock: Any) -> None:
    (tmp_path / "mail.html").write_text(
        "<!doctype html><html><body>Hi {{ contact.FIRSTNAME | default:'you' }}"
        "<p>Our new shoes are in the shop, and they are lovely.</p>"
        '<a href="{{ unsubscribe }}">Leave</a></body></html>',
        encoding="utf-8",
    )
    (tmp_path / "c.yaml").write_text(
        "name: shoes\nsubject: New shoes\nsender: { email: owner@sandbox.example, name: Shop }\n"
        "html: mail.html\nrecipients: { lists: [Newsletter] }\n",
        encoding="utf-8",
    )
    assert penstock("campaigns", "draft", "c.yaml", "--sandbox").code == 0
    assert penstock("campaigns", "show", "shoes", "--save", "seen.html", "--sandbox").code == 0
    assert "default-src 'none'" in (tmp_path / "seen.html").read_text(encoding="utf-8").partition("<body>")[0]
    ended = penstock("campaigns", "show", "shoes", "--save", "none/here.html", "--sandbox")
    assert (ended.code, "[files.not-written]" in ended.err) == (2, True)
