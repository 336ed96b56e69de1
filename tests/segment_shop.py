"""Customers of a few kinds, and a flow that keeps them in segments, for tests."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from penstock.base.clock import ManualClock
from penstock.features.segment_book import About, SegmentBook
from shop import Shop

KINDS = {
    "run": (["trail shoes", "running socks", "sports watch", "energy gels", "hydration vest"], 12, 70),
    "garden": (["tomato seeds", "raised bed", "pruning shears", "compost bin", "herb pots"], 4, 35),
    "cook": (["chef knife", "iron pan", "sourdough kit", "spice grinder", "mixing bowls"], 2, 120),
}


def customer(number: int, kind: str, **more: Any) -> dict[str, Any]:
    """Return one customer of a kind, always the same for a number."""
    chance = random.Random(number)
    shelf, orders, basket = KINDS[kind]
    return {
        "email": f"c{number:04}@example.com",
        "bought": "; ".join(chance.sample(shelf, 3)),
        "orders": orders + chance.randint(-1, 1),
        "basket": basket + chance.randint(-9, 9),
        **more,
    }


def crowd(each: int, start: int = 0) -> list[dict[str, Any]]:
    """Return so many customers of each kind, mixed."""
    kinds = list(KINDS)
    return [customer(start + number, kinds[number % len(kinds)]) for number in range(each * len(kinds))]


class SegmentShop(Shop):
    """A shop that keeps its customers in segments; `options` are those of the source."""

    def __init__(self, folder: Path, customers: list[dict[str, Any]], /, **options: Any) -> None:
        self.clock = ManualClock()
        self.customers = customers
        super().__init__(
            folder,
            rows=[{"id": "unused"}],
            name="crowd",
            source={
                "segments": {
                    "customers": {"files": {"path": "customers.jsonl", "key": "email"}},
                    "describe": ["bought"],
                    "behaviour": ["orders", "basket"],
                    "k": 3,
                    "dimensions": 64,
                    "map": "directions",
                    **options,
                }
            },
            steps=None,
            summarize=None,
            sink={
                "brevo": {
                    "match": "${{ record.email }}",
                    "attributes": {"SEGMENT": "${{ record.segment }}", "SEGMENT_NAME": "${{ record.name }}"},
                    "lists": {"Group": {"value": "${{ record.segment }}", "options": ["s1", "s2", "s3", "s4", "s5"]}},
                }
            },
        )

    def write(self) -> None:
        super().write()
        lines = [json.dumps(one) for one in self.customers]
        (self.folder / "customers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    async def do(self, work: Any, **overrides: Any) -> None:
        """Work in the open workspace, on a clock that stands still while nobody waits."""

        async def all_of_it() -> None:
            async with self.open(self.clock, **overrides) as workspace:
                await work(workspace)

        await self.clock.run(all_of_it())


async def newest(workspace: Any, name: str = "crowd") -> About:
    """Return what the newest version says."""
    return (await SegmentBook(workspace.store, name).require()).about


def lists_of(workspace: Any) -> dict[str, set[str]]:
    """Return who is on each list of ours in the emulated account."""
    account = workspace.vendors.account
    emails = {contact.id: contact.email for contact in account.by_creation}
    return {one.name: {emails[member] for member in one.members} for one in account.lists.values() if one.members}
