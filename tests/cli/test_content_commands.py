"""`penstock content`: the examples run, files are written, results are learnt from, mistakes are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ended import Ended

EXAMPLES = Path(__file__).parents[2] / "examples" / "content"

for needed in ("mrml", "css_inline", "py3langid", "pyphen"):
    pytest.importorskip(needed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES, tmp_path / "content")
    return tmp_path


def write(penstock: Callable[..., Ended], name: str, *more: str) -> Ended:
    return penstock("content", "write", f"content/{name}", "--sandbox", "--workspace", ".", *more)


def test_the_example_brief_becomes_mails_and_campaign_files(folder: Path, penstock: Callable[..., Ended]) -> None:
    ended = write(penstock, "brief.yaml", "--save", "drafts")
    assert ended.code == 0, ended.err
    assert "each arm needs 80,681 contacts" in ended.err.splitlines()[0]
    assert "needs approval · gpt-6-luna" in ended.err
    html = (folder / "drafts" / "1-en.html").read_text(encoding="utf-8")
    assert "Georgia, serif" in html
    assert "{{ unsubscribe }}" in (folder / "drafts" / "4-de.txt").read_text(encoding="utf-8")
    drafted = penstock("campaigns", "draft", "drafts/campaign-de.yaml", "--sandbox", "--workspace", ".")
    assert drafted.code == 0, drafted.err
    assert "summer-sandals-de" in drafted.out + drafted.err


def test_an_old_model_of_a_text_template_is_answered_with_its_replacement(
    folder: Path, penstock: Callable[..., Ended]
) -> None:
    ended = write(penstock, "subjects.yaml", "--json")
    result = json.loads(ended.out)
    assert result["output"]["model"] == "gpt-4o"
    assert any("gpt-4o ends" in warning and "gpt-6-luna" in warning for warning in result["warnings"])
    assert [one["angle"] for one in result["output"]["variants"]] == ["benefit", "curiosity"]


def test_a_template_is_translated_into_files(folder: Path, penstock: Callable[..., Ended]) -> None:
    ended = write(penstock, "translate.yaml", "--save", "drafts")
    assert ended.code == 0, ended.err
    page = (folder / "drafts" / "fr.html").read_text(encoding="utf-8")
    assert page.startswith('<!doctype html>\n<html lang="fr">')
    for kept in ("{% for item in params.items %}", "{{ unsubscribe }}", "utm_source=mail", "SUMMER20"):
        assert kept in page


def test_remembered_results_order_the_angles_of_the_next_texts(folder: Path, penstock: Callable[..., Ended]) -> None:
    lines = ["source,version,angle,delivered,clicked", "may,A,question,50000,1900", "may,B,benefit,50000,900"]
    (folder / "results.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert penstock("content", "remember", "results.csv", "--sandbox", "--workspace", ".").code == 0
    shown = penstock("content", "angles", "--sandbox", "--workspace", ".")
    assert shown.out.splitlines()[1].split() == ["question", "1", "50,000", "1,900", "3.80%", "3.64%", "to", "3.97%"]
    result = json.loads(write(penstock, "subjects.yaml", "--json").out)
    assert result["output"]["variants"][0]["angle"] == "question"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("operation: chat\noffer: x\n", "content.operation", "write-subjects"),
        ("ofer: x\n", "content.field", "brief.yaml:1:1"),
        ("offer: x\nvoice: gone.yaml\n", "flow.missing", "gone.yaml"),
        ("offer: x\nstyle: gone\ntemplates: templates.yaml\n", "content.template", "email_subject"),
        ("offer: x\nlayout: gone.mjml\n", "content.file", "gone.mjml"),
        ("offer: x\ncampaign: 5\n", "content.field", "sender"),
        ("offer: x\nvoice: {loud: yes}\n", "operation.bad-input", "voice.loud"),
        ("offer: x\nlanguages: [de, de]\n", "operation.bad-input", "twice"),
        ("- offer\n", "flow.shape", "brief"),
    ],
)
def test_a_mistake_in_a_brief_is_named_with_its_place(
    folder: Path, penstock: Callable[..., Ended], text: str, code: str, said: str
) -> None:
    (folder / "content" / "brief.yaml").write_text(text, encoding="utf-8")
    ended = write(penstock, "brief.yaml")
    assert ended.code == 2
    assert f"[{code}]" in ended.err
    assert said in ended.err


def test_a_wrong_text_template_is_named(folder: Path, penstock: Callable[..., Ended]) -> None:
    (folder / "content" / "templates.yaml").write_text("templates: {email_body: {heat: 2}}\n", encoding="utf-8")
    ended = write(penstock, "brief.yaml")
    assert (ended.code, "[content.template]" in ended.err, "temperature" in ended.err) == (2, True, True)


HEAD = "source,version,angle,delivered,clicked\n"


@pytest.mark.parametrize("text", [f"{HEAD}a,A,gossip,1,0\n", "source\na\n", f"{HEAD}a,A,news,1,2\n"])
def test_results_that_cannot_be_are_named(folder: Path, penstock: Callable[..., Ended], text: str) -> None:
    (folder / "results.csv").write_text(text, encoding="utf-8")
    ended = penstock("content", "remember", "results.csv", "--workspace", ".")
    assert (ended.code, "[content.outcome]" in ended.err) == (2, True)
