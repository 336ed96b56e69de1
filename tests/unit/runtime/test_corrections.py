"""What usage teaches about token estimates, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.clock import ManualClock
from penstock.runtime.ask import Ask
from penstock.runtime.corrections import Corrections
from penstock.runtime.store import Store


def make_ask(tokens: int = 100, operation: str = "decide", model: str = "m") -> Ask:
    return Ask(operation, 1, "/decisions", model, {"model": model}, tokens)


async def test_the_estimate_follows_what_was_really_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await Store.open(tmp_path / "store.sqlite", clock)
    corrections = await Corrections.load(store)
    assert corrections.expect(make_ask()) == 100
    for _ in range(50):
        corrections.learn(make_ask(), 150)
    assert corrections.expect(make_ask()) == pytest.approx(150, rel=0.05)
    assert corrections.expect(make_ask(operation="respond")) == 100
    assert corrections.expect(make_ask(model="other")) == 100
    await corrections.save()
    await store.close()
    store = await Store.open(tmp_path / "store.sqlite", clock)
    again = await Corrections.load(store)
    assert again.ratio(make_ask()) == corrections.ratio(make_ask())
    await store.close()


async def test_what_a_budget_puts_aside_stays_above_the_estimate(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.sqlite", ManualClock())
    corrections = Corrections(store, {})
    for _ in range(50):
        corrections.learn(make_ask(), 40)
    assert corrections.expect(make_ask()) < 100 < corrections.upper(make_ask())
    for _ in range(200):
        corrections.learn(make_ask(), 300)
    assert corrections.upper(make_ask()) > 300
    await store.close()


async def test_an_answer_without_usage_teaches_nothing(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.sqlite", ManualClock())
    corrections = Corrections(store, {})
    corrections.learn(make_ask(), 0)
    corrections.learn(make_ask(tokens=0), 10)
    assert corrections.ratio(make_ask()) == 1.0
    await corrections.save()
    assert await store.read("corrections") == []
    await store.close()
