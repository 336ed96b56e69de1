"""`penstock content` with a picture, and what a person decides: files, costs before, mistakes, pieces."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ended import Ended

for needed in ("PIL", "mrml", "css_inline", "py3langid", "pyphen"):
    pytest.importorskip(needed)

EXAMPLES = Path(__file__).parents[2] / "examples" / "visuals"
SANDBOX = ("--sandbox", "--workspace", ".")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(EXAMPLES / "brief.yaml", tmp_path / "brief.yaml")
    return tmp_path


def edit(folder: Path, old: str, new: str) -> None:
    brief = folder / "brief.yaml"
    text = brief.read_text(encoding="utf-8")
    assert old in text
    brief.write_text(text.replace(old, new), encoding="utf-8")


def write(penstock: Callable[..., Ended], *more: str) -> Ended:
    return penstock("content", "write", "brief.yaml", *SANDBOX, *more)


def test_the_cost_is_said_before_and_a_dry_run_buys_nothing(folder: Path, penstock: Callable[..., Ended]) -> None:
    ended = write(penstock, "--dry-run")
    assert ended.code == 0
    assert "cost: about $0.0" in ended.err
    assert "evidence: none" in ended.err
    assert "Nothing was sent." in ended.err
    assert json.loads(penstock("content", "list", "--json", *SANDBOX).out) == []
    assert json.loads(write(penstock, "--save", "drafts", "--json").out)["cost_dollars"] > 0


def test_picture_mails_and_campaign_files_are_written_and_decided_about(
    folder: Path, penstock: Callable[..., Ended]
) -> None:
    ended = write(penstock, "--save", "drafts")
    assert ended.code == 0, ended.err
    assert "visual-1.jpg · 1200 × 608, shown 600 points wide" in ended.out
    assert 'src="visual-1.jpg"' in (folder / "drafts" / "3-de.html").read_text(encoding="utf-8")
    pieces = json.loads(penstock("content", "list", "--json", *SANDBOX).out)
    assert sorted({one["kind"] for one in pieces}) == ["email", "subject", "visual"]
    assert {one["state"] for one in pieces} == {"draft"}
    subject = next(one for one in pieces if one["kind"] == "subject" and one["language"] == "de")

    approved = penstock("content", "approve", "drafts/visual-1.jpg", "drafts/3-de.html", *SANDBOX)
    assert approved.out.count("is approved") == 2
    refused = penstock("content", "reject", subject["digest"][:12], "--because", "too loud", *SANDBOX)
    assert f"subject is rejected: {subject['title']}" in refused.out
    assert "too loud" in penstock("content", "list", "--state", "rejected", *SANDBOX).out
    drafted = penstock("campaigns", "draft", "drafts/campaign-de.yaml", *SANDBOX)
    assert (drafted.code, "too loud" in drafted.out) == (1, True)
    assert penstock("content", "approve", subject["digest"], *SANDBOX).code == 0
    drafted = penstock("campaigns", "draft", "drafts/campaign-de.yaml", *SANDBOX)
    assert (drafted.code, "1 of 4 pieces wait for approval (subject)" in drafted.out) == (0, True)
    listed = penstock("campaigns", "list", "--checks", *SANDBOX)
    assert "content warns" in listed.out
    found = json.loads(penstock("campaigns", "list", "--checks", "--json", *SANDBOX).out)
    assert {one["name"] for one in found[0]["findings"]} >= {"content", "A/B test", "pictures"}


def test_an_unknown_piece_is_named(folder: Path, penstock: Callable[..., Ended]) -> None:
    ended = penstock("content", "approve", "abcdef", *SANDBOX)
    assert (ended.code, "[content.unknown-piece]" in ended.err) == (2, True)


def test_a_picture_without_a_folder_is_refused_before_it_is_bought(
    folder: Path, penstock: Callable[..., Ended]
) -> None:
    ended = write(penstock)
    assert (ended.code, "[content.no-folder]" in ended.err) == (2, True)


def test_a_model_that_is_gone_is_answered_with_its_replacement(folder: Path, penstock: Callable[..., Ended]) -> None:
    edit(folder, "quality: low", "quality: hd\n  model: dall-e-3")
    edit(folder, "size: banner", "size: 1792x1024")
    edit(folder, "style: flat illustration, warm colours, much empty space", "style: vivid")
    ended = write(penstock, "--save", "drafts")
    assert ended.code != 0
    assert "dall-e-3" in ended.err
    assert "gpt-image-2" in ended.err
    (folder / "penstock.toml").write_text("replace-ended = true\n", encoding="utf-8")
    result = json.loads(write(penstock, "--save", "drafts", "--json").out)
    told = [warning for warning in result["warnings"] if warning.startswith("visual:")]
    assert any("gpt-image-2" in warning and "in its place" in warning for warning in told)
    for word in ("size:", "style:", "quality:"):
        assert any(warning.startswith(f"visual: {word}") for warning in told), told
    assert result["output"]["visuals"][0]["model"] == "gpt-image-2"


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("  quality: low", "  colour: low", "content.field", "brief.yaml:"),
        ("  quality: low", "  quality: awful", "operation.bad-input", "quality"),
        ("operation: write-email", "operation: write-subjects", "content.field", "write-email"),
        ("visual: ", "layout: '<p>[[body]]</p>'\nvisual: ", "content.slot", "[[picture]]"),
    ],
)
def test_a_mistake_in_the_picture_is_named_before_anything_is_bought(
    folder: Path, penstock: Callable[..., Ended], old: str, new: str, code: str, said: str
) -> None:
    edit(folder, old, new)
    ended = write(penstock, "--save", "drafts")
    assert (ended.code, f"[{code}]" in ended.err) == (2, True), ended.err
    assert said in ended.err
