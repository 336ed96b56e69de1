from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import FlowError
from penstock.flows.judge import Judge
from penstock.flows.keys import Repeats
from penstock.flows.model import load_flow
from penstock.flows.state import FlowState
from shop import Shop, feedback, in_shop

TEXT = "Anna Nowak here, call 0170 1234567 about BR-1234, mail a@b.example"
STEP = {"classify": {"text": "${{ record.text }}", "labels": ["good", "bad"]}}
COLUMNS = {"match": "${{ record.id }}", "path": "out.csv", "columns": {"label": "${{ record.id }}"}}


async def sent(folder: Path, steps: list[dict[str, Any]], **flow: Any) -> list[str]:
    """Return the bodies that a flow would send for one record."""
    shop = Shop(folder, [feedback(1, text=TEXT)], steps=steps, summarize=None, sink={"files": COLUMNS}, **flow)
    bodies: list[str] = []

    async def work(workspace: Any) -> None:
        shop.write()
        loaded = load_flow(shop.path)
        async with workspace.flows.open_bench(loaded) as bench:
            judge = Judge(loaded, FlowState(workspace.store, loaded.name), bench, "run_x")
            async for page in bench.source.pages():
                found = await judge.sort(page.records, Repeats())
                wanted = judge.prepare(0, loaded.steps[0], found.works)
                bodies.extend(want.ask.content.decode() for want in wanted)

    await in_shop(shop, work)
    return bodies


async def test_every_step_sees_texts_without_what_looks_personal(tmp_path: Path) -> None:
    (body,) = await sent(tmp_path, [STEP])
    assert "1234567" not in body
    assert "a@b.example" not in body
    assert "[phone]" in body
    assert "Nowak" in body


@pytest.mark.parametrize("step", [STEP, {"analyze-sentiment": {"text": "${{ record.text }}"}}])
async def test_known_values_and_patterns_of_the_flow_go_from_every_step(tmp_path: Path, step: dict[str, Any]) -> None:
    redact = {"known": ["Anna Nowak"], "region": "DE", "patterns": {"order": r"BR-\d+"}}
    (body,) = await sent(tmp_path, [step], redact=redact)
    assert "Nowak" not in body
    assert "BR-1234" not in body
    assert "[order]" in body


async def test_a_flow_can_say_that_texts_go_as_they_are(tmp_path: Path) -> None:
    (body,) = await sent(tmp_path, [STEP], redact=False)
    assert TEXT in body


async def test_only_the_listed_fields_of_a_record_leave(tmp_path: Path) -> None:
    (body,) = await sent(tmp_path, [STEP])
    assert "c1@example.com" not in body
    assert "2026-11-01" not in body


@pytest.mark.parametrize("patterns", [{"order": "("}, {"Not A Name": "x"}])
def test_a_pattern_that_cannot_be_used_is_told_with_its_place(tmp_path: Path, patterns: dict[str, str]) -> None:
    shop = Shop(tmp_path, redact={"patterns": patterns})
    with pytest.raises(FlowError) as caught:
        load_flow(shop.path)
    assert caught.value.code == "flow.bad-pattern"
    assert caught.value.where
