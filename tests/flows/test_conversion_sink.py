"""Flows that feed conversions: a row becomes an event once, and a bad one costs only itself."""

from __future__ import annotations

import csv
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import FlowError
from penstock.flows.model import load_flow
from penstock.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "conversions"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example, with its orders moved to the last days."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "orders.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["created"] = (datetime.now(UTC) - timedelta(hours=number + 1)).isoformat()
    write(tmp_path, rows)
    return tmp_path


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    with (folder / "orders.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


async def run(folder: Path) -> tuple[Any, dict[str, int]]:
    async with Workspace.open(folder, overrides={"sandbox": True}, environ={}) as workspace:
        report = await workspace.run(folder / "flow.yaml")
        async with workspace.deliveries() as deliveries:
            counts = await deliveries.counts()
        return report, counts


async def test_rows_become_events_and_a_bad_one_costs_only_itself(folder: Path) -> None:
    report, counts = await run(folder)
    assert report.exit_code == 3
    assert (counts["delivered"], counts["refused"], counts["opted out"]) == (3, 1, 1)
    assert [failure.code for failure in report.failures] == ["money.precision"]


async def test_rows_that_did_not_change_are_not_sent_again(folder: Path) -> None:
    _, first = await run(folder)
    _, again = await run(folder)
    assert again["delivered"] == first["delivered"] == 3
    assert again.get("duplicate", 0) == 0


async def test_a_row_that_changed_keeps_its_id_and_is_counted_once(folder: Path) -> None:
    await run(folder)
    text = (folder / "orders.csv").read_text()
    (folder / "orders.csv").write_text(text.replace("42.00", "43.00"))
    _, counts = await run(folder)
    assert (counts["delivered"], counts["duplicate"]) == (3, 1)


async def test_a_missing_key_stops_the_run_before_anything_is_read(folder: Path) -> None:
    async with Workspace.open(folder, environ={}) as workspace:
        with pytest.raises(FlowError, match="conversions"):
            await workspace.run(folder / "flow.yaml")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    mapping: orders.yaml\n", "", "needs a mapping"),
        ("    mapping: orders.yaml\n", "    mapping: orders.yaml\n    table: x\n", "has no 'table'"),
        ("sink:", "sinks:", "sinks"),
    ],
)
def test_a_mistake_is_named(folder: Path, old: str, new: str, words: str) -> None:
    flow = folder / "flow.yaml"
    flow.write_text(flow.read_text().replace(old, new))
    with pytest.raises(FlowError, match=words):
        load_flow(flow)


async def test_a_mapping_that_is_not_there_is_named_with_the_place_in_the_flow(folder: Path) -> None:
    (folder / "orders.yaml").unlink()
    async with Workspace.open(folder, overrides={"sandbox": True}, environ={}) as workspace:
        with pytest.raises(Exception, match=r"orders\.yaml"):
            await workspace.plan(folder / "flow.yaml")
