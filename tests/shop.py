"""A small shop with feedback and contacts in files, and a flow over them, for tests of whole runs."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.base.clock import Clock, ManualClock
from penstock.flows.engine import Report
from penstock.flows.plan import Plan
from penstock.workspace import Workspace

TEXTS = (
    "The parcel came two weeks late and nobody answered. Very disappointed.",
    "Lovely jacket, quick delivery, thank you so much!",
    "The zip broke on the first day. Terrible quality.",
    "It is a jacket.",
    "Great price and great service, I will come back.",
    "The refund never came. Awful.",
)

ATTRIBUTES = {
    "SENTIMENT_SCORE": "${{ sentiment.score }}",
    "SENTIMENT_LABEL": "${{ sentiment.label }}",
    "SENTIMENT_COUNT": "${{ sentiment.count }}",
    "SENTIMENT_AT": "${{ sentiment.last }}",
}


def feedback(number: int, *, email: str = "", text: str = "", date: str = "2026-11-01", **more: Any) -> dict[str, Any]:
    """Return one feedback; its text differs from every other one's unless it is given."""
    text = text or f"{TEXTS[number % len(TEXTS)]} Order {number}."
    return {"id": f"f{number}", "email": email or f"c{number}@example.com", "date": date, "text": text, **more}


class Shop:
    """A folder with `feedback.csv`, `contacts.csv` and `flow.yaml`, and the commands on them."""

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, Any]] = (), **flow: Any) -> None:
        self.folder = folder
        self.rows = [dict(row) for row in rows] or [feedback(number) for number in range(6)]
        self.contacts: list[dict[str, Any]] = []
        self.flow: dict[str, Any] = {
            "name": "feedback",
            "source": {"files": {"path": "feedback.csv", "key": "id"}},
            "steps": [{"analyze-sentiment": {"text": "${{ record.text }}", "topics": ["delivery", "quality"]}}],
            "summarize": {"by": "${{ record.email }}", "at": "${{ record.date }}"},
            "sink": {"brevo": {"match": "${{ record.email }}", "attributes": dict(ATTRIBUTES)}},
            **flow,
        }
        self.write()

    @property
    def path(self) -> Path:
        return self.folder / "flow.yaml"

    def write(self) -> None:
        """Write everything as it is now; JSON is YAML."""
        self.path.write_text(json.dumps({key: part for key, part in self.flow.items() if part is not None}, indent=1))
        for name, rows in (("feedback", self.rows), ("contacts", self.contacts)):
            if rows:
                with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                    table = csv.DictWriter(file, list(rows[0]))
                    table.writeheader()
                    table.writerows(rows)

    @asynccontextmanager
    async def open(self, clock: Clock | None = None, **overrides: Any) -> AsyncIterator[Workspace]:
        """Open the workspace on emulated vendors."""
        given = {"sandbox": True, **{name.replace("_", "-"): value for name, value in overrides.items()}}
        async with Workspace.open(self.folder, overrides=given, environ={}, clock=clock, command="test") as workspace:
            yield workspace

    async def run(self, workspace: Workspace, **given: Any) -> Report:
        """Write the files and run the flow."""
        self.write()
        return await workspace.run(self.path, apply_schema=True, **given)

    async def plan(self, workspace: Workspace) -> Plan:
        self.write()
        return await workspace.plan(self.path)

    def record(self, key: str) -> dict[str, Any]:
        return next(row for row in self.rows if row["id"] == key)


def attributes_of(workspace: Workspace, email: str) -> dict[str, Any]:
    """Return what the emulated Brevo account holds of a contact."""
    contact = next(one for one in workspace.vendors.account.by_creation if one.email == email)
    return dict(contact.attributes)


def billed(workspace: Workspace) -> int:
    """Return how many calls the emulated OpenAI charged for."""
    return sum(workspace.vendors.world.billed_calls.values())


def written(workspace: Workspace) -> int:
    """Return how many writes to contacts and events the emulated Brevo accepted."""
    return sum(
        count
        for (_, operation), count in workspace.vendors.world.written.items()
        if operation in ("contacts.update", "contacts.create", "contacts.import", "events.create", "events.batch")
    )


def assert_accounted_for(report: Report, records: int) -> None:
    """Check that every record is in exactly one count."""
    assert report.counts.read == records, report.counts


async def in_shop(shop: Shop, work: Callable[[Workspace], Awaitable[None]], **overrides: object) -> None:
    """Do `work` in a workspace whose waits take no time."""
    clock = ManualClock()

    async def all_of_it() -> None:
        async with shop.open(clock, **overrides) as workspace:
            await work(workspace)

    await clock.run(all_of_it())
