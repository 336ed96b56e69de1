"""`penstock webhooks` and `penstock feedback` in the shell."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from penstock.base.errors import InputError
from penstock.cli.main import penstock

URL = "https://hooks.example.com"


def invoke(folder: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(penstock, [*words, "--sandbox", "--workspace", str(folder)])
    return result.exit_code, result.output


def test_webhooks_are_made_once_listed_and_removed(tmp_path: Path) -> None:
    assert "marketing: made" in invoke(tmp_path, "webhooks", "create", "--url", URL)[1]
    code, text = invoke(tmp_path, "webhooks", "create", "--url", URL, "--json")
    assert code == 0
    assert [one["state"] for one in json.loads(text)] == ["kept", "kept"]
    code, text = invoke(tmp_path, "webhooks", "list", "--json")
    found = json.loads(text)["webhooks"]
    assert [(one["type"], one["is_own"]) for one in found] == [("marketing", True), ("transactional", True)]
    assert all(one["url"] == f"{URL}/webhooks/brevo/…" for one in found)
    assert "yes" in invoke(tmp_path, "webhooks", "list")[1]
    assert "transactional: removed" in invoke(tmp_path, "webhooks", "remove", "--types", "transactional")[1]
    assert "marketing: removed" in invoke(tmp_path, "webhooks", "remove")[1]
    assert "none of ours" in invoke(tmp_path, "webhooks", "remove")[1]


def test_an_address_for_conversations_is_shown_to_be_entered(tmp_path: Path) -> None:
    code, text = invoke(tmp_path, "webhooks", "create", "--url", URL, "--types", "conversations")
    assert code == 0
    assert "https://penstock:" in text


def test_deliveries_are_replayed_and_the_account_reconciled(tmp_path: Path) -> None:
    code, text = invoke(tmp_path, "webhooks", "replay", "--all", "--json")
    assert (code, json.loads(text)) == (0, {"replayed": 0, "deliveries": {}})
    code, text = invoke(tmp_path, "webhooks", "reconcile", "--json")
    assert (code, json.loads(text)["was_full"]) == (0, True)
    assert "contacts read" in invoke(tmp_path, "webhooks", "reconcile", "--all")[1]


def test_feedback_is_added_imported_listed_redacted_and_exported(tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text(
        "review,comment,mail,stars\n1,Write to anna@x.org,Anna@X.org,5\n2,,b@x.org,1\n3,Fine,c@x.org,4\n",
        encoding="utf-8",
    )
    columns = ("--columns", "id=review", "--columns", "text=comment", "--columns", "email=mail")
    words = ("feedback", "import", str(file), *columns, "--source", "reviews", "--json")
    code, text = invoke(tmp_path, *words)
    assert (code, json.loads(text)) == (0, {"added": 2, "known": 0, "forgotten": 0, "refused": 1})
    assert json.loads(invoke(tmp_path, *words)[1])["known"] == 2
    assert "1 rows were not taken" in invoke(tmp_path, *words[:-1])[1]
    assert "known already" in invoke(tmp_path, "feedback", "add", "Fine", "--source", "reviews", "--id", "3")[1]
    assert invoke(tmp_path, "feedback", "add", "=1+1", "--contact", "d@x.org", "--at", "2026-11-20T10:00:00Z")[0] == 0
    code, text = invoke(tmp_path, "feedback", "list", "--json")
    rows = json.loads(text)
    assert "anna@x.org" not in text.lower()
    assert [(row["road"], row["text"]) for row in rows] == [
        ("shell", "=1+1"),
        ("file", "Fine"),
        ("file", "Write to [email]"),
    ]
    assert "[email]" in invoke(tmp_path, "feedback", "list", "--source", "reviews")[1]
    out = tmp_path / "out.csv"
    assert invoke(tmp_path, "feedback", "export", str(out))[0] == 0
    content = out.read_text(encoding="utf-8")
    assert "anna@x.org" in content
    assert "'=1+1" in content  # a spreadsheet must not run it


def test_wrong_columns_and_empty_texts_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text\nx\n", encoding="utf-8")
    for words in (
        ("import", str(file), "--columns", "stars=text"),
        ("import", str(file), "--columns", "text=nowhere"),
        ("add", " "),
    ):
        result = CliRunner().invoke(penstock, ["feedback", *words, "--sandbox", "--workspace", str(tmp_path)])
        assert isinstance(result.exception, InputError), words
    assert "no feedback yet" in invoke(tmp_path, "feedback", "list")[1]


def test_custom_events_bring_feedback(tmp_path: Path) -> None:
    code, text = invoke(tmp_path, "feedback", "pull")
    assert (code, text.split()) == (0, ["added", "0"])
