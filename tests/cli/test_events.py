"""`penstock events`: files in, outcomes out, with exit codes that fit."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.main import execute
from shop_desk import MAPPING

Said = tuple[int, str, str]


class Terminal:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def run(self, *arguments: str) -> Said:
        code = execute(["events", *arguments, "--sandbox", "--workspace", str(self.folder)])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json")[1])


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    (tmp_path / "shop.yaml").write_text(MAPPING, encoding="utf-8")
    rows = [
        {"event": "order_created", "order": f"o{number}", "at": time.time() - 60, "click": "c", "consent": True,
         "email": f"ada{number}@example.com", "total": "9.90", "currency": "EUR"}
        for number in range(20)
    ]  # fmt: skip
    rows[7]["total"] = "9,90 EUR"
    rows[8]["order"] = "=HYPERLINK(1)"
    (tmp_path / "orders.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Terminal(tmp_path, capsys)


def send(terminal: Terminal, *more: str) -> Said:
    folder = terminal.folder
    return terminal.run("send", str(folder / "orders.jsonl"), "--mapping", str(folder / "shop.yaml"), *more)


def test_a_file_is_sent_and_its_bad_record_is_named(terminal: Terminal) -> None:
    code, out, _ = send(terminal)
    assert code == 3
    assert "delivered  19" in out
    assert "orders.jsonl:8" in out
    code, out, _ = send(terminal, "--json")
    assert json.loads(out)["accepted"] == {"duplicate": 19, "refused": 1}


def test_the_history_of_an_event_is_shown_without_personal_data(terminal: Terminal) -> None:
    send(terminal)
    code, out, _ = terminal.run("show", "o3")
    assert code == 0
    assert "order_created o3: delivered" in out
    assert "hash of email" in out
    assert "ada3@" not in out
    assert "x-request-id" in out
    assert terminal.run("show", "nothing")[0] == 2


def test_what_is_only_written_down_is_flushed_later(terminal: Terminal) -> None:
    assert "waiting" in send(terminal, "--later")[1]
    assert {row["state"] for row in terminal.json("tail", "--state", "waiting")} == {"waiting"}
    assert terminal.json("flush") == {"delivered": 19, "refused": 1}


def test_delivered_events_are_replayed_by_id_and_by_state(terminal: Terminal) -> None:
    send(terminal)
    assert terminal.json("replay", "o1", "o2")["waiting"] == 2
    assert terminal.json("replay", "--state", "delivered")["waiting"] == 17
    assert terminal.run("replay")[0] == 2
    assert terminal.json("flush")["delivered"] == 19


def test_an_export_is_safe_in_a_spreadsheet(terminal: Terminal) -> None:
    send(terminal)
    rows = list(csv.DictReader(io.StringIO(terminal.run("export", "--format", "csv")[1])))
    assert len(rows) == 20
    assert "'=HYPERLINK(1)" in {row["event_id"] for row in rows}
    lines = [json.loads(line) for line in terminal.run("export", "--state", "refused")[1].splitlines()]
    assert [line["place"] for line in lines] == ["orders.jsonl:8"]
    assert terminal.run("export", "--since", "tomorrow")[0] == 2


def test_the_quality_report_and_the_open_destinations_are_told(terminal: Terminal) -> None:
    assert "No events" in terminal.run("quality")[2]
    send(terminal, "--validate-only")
    send(terminal, "--real-time")
    report = terminal.json("quality")
    assert report["matchable"] == 1.0
    assert report["states"] == {"delivered": 19, "refused": 1}
    _, out, _ = terminal.run("quality")
    assert "Mend first" in out
    assert "Nothing is paused" in terminal.run("resume")[2]
