"""Every look-up by key reads only its rows, however many a flow has."""

import re

import pytest

from penstock.base.clock import SystemClock
from penstock.runtime.dialects import load_queries
from penstock.runtime.store import Store

NARROW = {
    "items_of": {"key"},
    "items_of_owners": {"owner"},
    "known_effects": {"target"},
    "save_item": set(),
    "next_effects": {"kind"},
    "send_effect": {"target"},
    "confirm_effect": {"target"},
    "look_up": {"key"},
    "answers_of": {"key"},
    "resolve_letters": {"key"},
    "budget": {"scope"},
}


@pytest.mark.parametrize("name", NARROW)
async def test_a_look_up_reads_only_its_rows(name, tmp_path):
    store = await Store.open(tmp_path / "store.sqlite", SystemClock())
    try:
        text = load_queries()[name].replace(":keys", "'a', 'b', 'c'")
        values = dict.fromkeys(re.findall(r":(\w+)", text), 1)
        plan = await store.look(lambda tx: [row[3] for row in tx._raw.execute(f"explain query plan {text}", values)])
    finally:
        await store.close()
    assert not [step for step in plan if step.startswith("SCAN")], plan
    for column in NARROW[name]:
        assert any(f"{column}=?" in step for step in plan), plan
