"""Order logs as files for tests of predictions: made customers, and the odd ones."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cohorts

AS_OF = "2026-02-04"
"""The last day of the orders below."""
HEADINGS = ("order_id", "email", "ordered_at", "total")


def made(count: int = 800, seed: int = 2) -> list[tuple[str, str, str, float]]:
    """Return orders of made customers: number, email, day, value."""
    rows = sorted(cohorts.orders(count, seed=seed), key=lambda row: (row[1], row[0]))
    return [(f"o{at}", f"{customer}@example.com", str(day), value) for at, (customer, day, value) in enumerate(rows)]


def write_csv(path: Path, rows: Iterable[Sequence[Any]], headings: Sequence[str] = HEADINGS) -> Path:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(headings)
        writer.writerows(rows)
    return path
