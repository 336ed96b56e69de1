"""Judgements over time and what has expired are found alike on every database."""

from pathlib import Path

import pytest

from penstock.base.clock import ManualClock
from penstock.flows.kept import Effect, FinishedPage, Item, Letter, PlannedWrites
from penstock.flows.state import FlowState
from penstock.flows.trending import read_trends
from penstock.runtime.store import Store
from stores import KINDS, new_place

DAY = 86_400.0


def item(owner: str, number: int, at: float, score: float = 0.5) -> Item:
    output = {"sentiment": {"score": score, "label": "positive", "topics": ["price"], "confidence": 0.9}}
    made = {"sentiment": "analyze-sentiment 1|gpt-6-luna"}
    return Item(f"f{number}", owner, b"1" * 16, "done", output, at, "", "", at=at, made=made)


async def keep(state: FlowState, items: list[Item], at: float) -> None:
    def make(_: dict[str, list[Item]]) -> tuple[list[Effect], list[Letter]]:
        return [Effect("attributes", f"email={one.owner}", {"email": one.owner}, {"A": 1}, b"w") for one in items], []

    await state.finish_page(FinishedPage("run", items, [], [PlannedWrites("brevo:1", [], make)], at))


@pytest.mark.parametrize("kind", KINDS)
async def test_items_say_when_and_by_what_they_were_made(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()

    async def work() -> None:
        store = await Store.open(new_place(kind, tmp_path), clock, "test")
        state = FlowState(store, "feedback")
        now = clock.now()
        await keep(state, [item("anna@x.y", 1, now - DAY), item("ben@x.y", 2, now)], now)
        found = await state.items(["f1", "f2"])
        assert [(found[key].at, found[key].made) for key in ("f1", "f2")] == [
            (now - DAY, {"sentiment": "analyze-sentiment 1|gpt-6-luna"}),
            (now, {"sentiment": "analyze-sentiment 1|gpt-6-luna"}),
        ]
        rows = await store.look(lambda tx: tx.fetch_keys("newest_of_owners", ["anna@x.y"], flow="feedback"))
        assert [(owner, at) for owner, at in rows] == [("anna@x.y", now - DAY)]
        given = {"flow": "feedback", "sink": "brevo:1", "kind": "attributes", "target": "email=anna@x.y", "limit": 9}
        assert [row[1] for row in await store.read("states_of_sink", **given)] == ["email=ben@x.y"]
        await store.close()

    await clock.run(work())


@pytest.mark.parametrize("kind", KINDS)
async def test_trends_walk_over_every_person_once_whatever_the_size(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()

    async def work() -> None:
        store = await Store.open(new_place(kind, tmp_path), clock, "test")
        state, now = FlowState(store, "feedback"), clock.now()
        items = [item(f"c{n % 1500}@x.y", n, now - (n % 100) * DAY, (-1) ** n * 0.5) for n in range(4_500)]
        await keep(state, items, now)
        await keep(FlowState(store, "other"), [item("c1@x.y", 9_999, now)], now)
        found = await read_trends(store, "feedback", now)
        assert (found.feedback, found.people, found.undated) == (4_500, 1_500, 0)
        alone = await read_trends(store, "feedback", now, contact="C7@x.y")
        assert alone.feedback == 3
        await store.close()

    await clock.run(work())
