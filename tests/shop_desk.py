"""A shop whose orders become conversion events in the sandbox of a workspace, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.deliveries import Deliveries
from penstock.sandbox.world import Fault
from penstock.workspace import Workspace

MAPPING = """\
event: ${{ record.event }}
amount_unit: major
fields:
  id: ${{ record.order }}
  timestamp: ${{ record.at }}
  source_url: https://shop.example/thanks
  oppref: ${{ record.click }}
  consent: ${{ record.consent }}
  email: ${{ record.email }}
  amount: ${{ record.total }}
  currency: ${{ record.currency }}
"""


class Shop:
    def __init__(self, workspace: Workspace, deliveries: Deliveries, folder: Path) -> None:
        self.workspace, self.deliveries = workspace, deliveries
        (folder / "shop.yaml").write_text(MAPPING, encoding="utf-8")
        self.mapping = deliveries.load_mapping(folder / "shop.yaml")
        self.account = workspace.vendors.ad_account

    def order(self, number: int, **more: Any) -> dict[str, Any]:
        at = self.workspace.clock.now() - 60
        return {
            "event": "order_created", "order": f"o{number}", "at": at, "click": "c1", "consent": True,
            "email": f"ada{number}@example.com", "total": "12.50", "currency": "EUR", "secret": "my cat is grey",
            **more,
        }  # fmt: skip

    async def accept(self, *records: Any, **more: Any) -> list[Any]:
        return await self.deliveries.accept(records, mapping=self.mapping, source="shop", **more)

    def plan(self, kind: Any, **more: Any) -> None:
        self.workspace.vendors.world.faults.append(Fault("conversions", "events", kind, **more))


@asynccontextmanager
async def open_shop(folder: Path, **overrides: Any) -> AsyncIterator[Shop]:
    values = {
        "sandbox": True,
        **{name.replace("__", ".").replace("_", "-"): value for name, value in overrides.items()},
    }
    async with (
        Workspace.open(folder, overrides=values, environ={}) as workspace,
        workspace.deliveries() as deliveries,
    ):
        yield Shop(workspace, deliveries, folder)
