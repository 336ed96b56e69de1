"""Texts per contact as a step of a flow: the example runs, each language has its attribute at Brevo, nothing personal
is sent, and an unchanged record costs nothing."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from penstock.workspace import Workspace

EXAMPLES = Path(__file__).parents[2] / "examples" / "content"

for needed in ("mrml", "css_inline", "py3langid", "pyphen"):
    pytest.importorskip(needed)

BREVO_FLOW = """
name: subjects
source: {files: {path: contacts.csv, key: id}}
steps:
  - write-subjects:
      offer: Summer sandals with 20 % off until 2026-08-31.
      languages: [de]
      variants: 1
    as: german
  - write-subjects:
      offer: Summer sandals with 20 % off until 2026-08-31.
      languages: [fr]
      variants: 1
    as: french
sink:
  brevo:
    match: ${{ record.email }}
    create-contacts: true
    attributes:
      SUBJECT_DE: ${{ german.variants[0].subject }}
      SUBJECT_FR: ${{ french.variants[0].subject }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    return tmp_path


def open_sandbox(folder: Path) -> Any:
    return Workspace.open(folder, overrides={"sandbox": True}, environ={})


async def test_the_example_flow_writes_a_subject_per_contact_in_its_language(folder: Path) -> None:
    async with open_sandbox(folder) as workspace:
        report = await workspace.run(folder / "flow.yaml")
        assert (report.state, report.counts.failed) == ("done", 0)
        asked = sum(workspace.vendors.world.calls.values())
        again = await workspace.run(folder / "flow.yaml")
        assert (again.counts.unchanged, sum(workspace.vendors.world.calls.values())) == (3, asked)
    with (folder / "subjects.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert "Alltag" in rows[0]["subject"]
    assert "quotidien" in rows[1]["subject"]
    assert all("{{ contact.FIRSTNAME | default:'there' }}" in row["subject"] for row in rows)


async def test_each_language_lands_in_its_own_attribute(folder: Path) -> None:
    (folder / "brevo.yaml").write_text(BREVO_FLOW, encoding="utf-8")
    async with open_sandbox(folder) as workspace:
        report = await workspace.run(folder / "brevo.yaml", apply_schema=True)
        assert (report.state, report.counts.failed) == ("done", 0), report
        contact = workspace.vendors.account.find("email", "anna@muster.example")
        assert contact.attributes["SUBJECT_DE"] == "Mehr Komfort für deinen Alltag"
        assert contact.attributes["SUBJECT_FR"] == "Plus de confort pour votre quotidien"
