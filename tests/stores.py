"""Places for a store on both kinds of database, and small writes into it, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store
from postgres import new_database

KINDS = ("sqlite", "postgresql")


def new_place(kind: str, folder: Path) -> Path | str:
    return new_database() if kind == "postgresql" else folder / "store.sqlite"


def row(name: str, ratio: float = 1.0) -> dict[str, Any]:
    return {"operation": name, "model": "m", "ratio": ratio, "samples": 1}


def write_row(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_correction", items)
    return [None] * len(items)


async def names(store: Store) -> set[str]:
    return {found[0] for found in await store.read("corrections")}


class CountedWrites:
    """A handler that notes how many items shared each transaction."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
        self.sizes.append(len(items))
        return write_row(tx, items)
