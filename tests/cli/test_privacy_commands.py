import json
from pathlib import Path

from click.testing import CliRunner

from penstock.cli.main import penstock
from shop import Shop, feedback


def invoke(folder: Path, *words: str, given: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(penstock, [*words, "--sandbox", "--workspace", str(folder)], input=given)
    return result.exit_code, result.stdout


def test_a_person_is_explained_then_forgotten_in_the_shell(tmp_path: Path) -> None:
    shop = Shop(tmp_path, [feedback(1, email="anna@example.com")])
    assert invoke(tmp_path, "run", str(shop.path), "--apply-schema", "--yes")[0] == 0
    code, text = invoke(tmp_path, "explain", "anna@example.com")
    assert code == 0
    assert "${{ record.text }}" in text
    assert "SENTIMENT_LABEL" in text
    code, text = invoke(tmp_path, "explain", "anna@example.com", "--json")
    assert json.loads(text)["judged"][0]["record"] == "f1"
    assert invoke(tmp_path, "forget", "anna@example.com", given="n\n")[0] == 1
    code, text = invoke(tmp_path, "forget", "anna@example.com", "--yes", "--json")
    assert json.loads(text)["items"] == 1
    assert "is forgotten" in invoke(tmp_path, "explain", "anna@example.com")[1]


def test_an_objection_is_noted_and_taken_back(tmp_path: Path) -> None:
    assert invoke(tmp_path, "objections", "add", "anna@example.com")[0] == 0
    assert "is objected" in invoke(tmp_path, "explain", "anna@example.com")[1]
    assert invoke(tmp_path, "objections", "withdraw", "anna@example.com")[0] == 0
    assert "Nothing is kept" in invoke(tmp_path, "explain", "anna@example.com")[1]
