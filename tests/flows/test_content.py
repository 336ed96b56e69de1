"""Texts per contact as a step of a flow: the example runs, each language has its attribute at Brevo, nothing personal
is sent, and an unchanged record costs nothing."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.workspace import Workspace
from shop import Shop, feedback

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


STEP = {
    "write-subjects": {"offer": "${{ record.text }}", "languages": ["en", "de"], "variants": 2, "moderation": False},
    "as": "mail",
}
SINK = {
    "files": {
        "match": "${{ record.id }}",
        "path": "out.csv",
        "columns": {"subjects": "${{ mail.variants | map(attribute='subject') | join('|') }}"},
    }
}


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


async def test_a_batch_writes_the_same_texts_as_live_calls_with_a_repair_in_between(tmp_path: Path) -> None:
    told = {}
    for by in ("now", "24h"):
        (tmp_path / by).mkdir()
        rows = [
            feedback(at, text=f"Sandals of kind {at}" + (" [sandbox:sloppy]" if at == 1 else "")) for at in range(3)
        ]
        shop = Shop(tmp_path / by, rows, steps=[STEP], summarize=None, sink=SINK)
        clock = ManualClock()

        async def run(shop: Shop = shop, clock: ManualClock = clock, by: str = by) -> None:
            async with shop.open(clock) as workspace:
                report = await shop.run(workspace, by=by)
                assert (report.state, report.counts.failed) == ("done", 0), report.failures

        await clock.run(run(), settle_rounds=100)
        told[by] = (shop.folder / "out.csv").read_text(encoding="utf-8")
    assert told["now"] == told["24h"]
    assert told["now"].count("|") == 9
