"""Ten thousand malformed records among good ones: each is told apart, none costs another one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from shop_desk import open_shop
from stores import KINDS, new_place

ODD: list[Any] = [
    None, True, False, 0, -1, 3.5, 1e308, float("nan"), float("inf"), 10**30, "", " ", "\x00", "\ud800",
    "💥" * 300, "x" * 70_000,
    "nul\x00nul", "half\ud800", "\u202egnp", "tab\tand\nline", "ﷺ",
    "=cmd()", "null", "<script>", [], [[[]]], {}, {"a": {"b": {}}}, [None], ["a", 1], b"bytes", (1, 2), {1: 2},
    object(),
    "2026-13-45", "99999999999999999999", "-12.345.678", "ext. 12", "a@b", "EURO", "usd ", "1e9", "१२", "%s%n",
]  # fmt: skip
FIELDS = ("event", "order", "at", "click", "consent", "email", "total", "currency")


def spoil(record: dict[str, Any], chance: random.Random) -> Any:
    """Return a record that is wrong in one or several ways, or no record at all."""
    if chance.random() < 0.05:
        return chance.choice([value for value in ODD if not isinstance(value, dict)])
    for field in chance.sample(FIELDS, chance.randint(1, 3)):
        if chance.random() < 0.2:
            record.pop(field)
        else:
            record[field] = chance.choice(ODD)
    return record


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_ten_thousand_malformed_records_cost_no_good_one(kind: str, tmp_path: Path) -> None:
    chance = random.Random(kind)
    good: set[str] = set()
    place = {"database_url": str(new_place(kind, tmp_path))} if kind == "postgresql" else {}
    async with open_shop(tmp_path, **place) as shop:
        number = 0
        for _ in range(50):
            records = []
            for _ in range(250):
                number += 1
                record = shop.order(number)
                if chance.random() < 0.8:
                    record = spoil(record, chance)
                else:
                    good.add(record["order"])
                records.append(record)
            receipts = await shop.accept(*records)
            assert len(receipts) == len(records)
            assert all(one.problem is not None for one in receipts if one.state in ("refused", "opted out"))
        counts = await shop.deliveries.flush(is_patient=True)
        received = {one.event["id"] for one in shop.account.received}
        assert good <= received
        assert counts["refused"] > 6000
        assert sum(counts.values()) == number
        assert set(counts) <= {"delivered", "refused", "opted out", "duplicate", "rejected"}
        await shop.deliveries.quality()
