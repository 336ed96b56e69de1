"""The outbox against a model, over accepting, claiming, outcomes, failures, deaths, jumps of the clock and replays."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from books import die
from outboxes import DAY, PIXEL, START, Desk
from penstock.base.clock import ManualClock
from penstock.base.types import Problem
from penstock.events import replay
from penstock.events.entries import Batch, Settled
from penstock.runtime.store import Store

WHY = Problem("test.why", "because")
IDS = [f"id{number}" for number in range(6)]


class OutboxMachine(RuleBasedStateMachine):
    """The model knows of each event its id, when it happened, when it came, and its state."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.place = Path(self.folder.name) / "store.sqlite"
        self.clock = ManualClock(START)
        self.model: dict[int, dict[str, Any]] = {}
        self.batches: list[Batch] = []

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def open(self) -> None:
        self.store = self.do(Store.open(self.place, self.clock))
        self.desk = Desk(self.store, self.clock, self.place)

    @initialize()
    def begin(self) -> None:
        self.open()
        self.desk.destination = self.do(self.desk.outbox.find_destination("conversions", PIXEL, False))
        self.destination = self.desk.destination

    @rule(
        ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4), age=st.sampled_from([0, 3600, 6.9 * DAY, 8 * DAY])
    )
    def accept(self, ids: list[str], age: float) -> None:
        receipts = self.do(self.desk.put(*ids, age=age))
        now = self.clock.now()
        for event_id, receipt in zip(ids, receipts, strict=True):
            first = [
                number
                for number, one in self.model.items()
                if one["id"] == event_id and one["state"] in ("waiting", "delivered") and now - one["came"] <= 30 * DAY
            ]
            assert (receipt.state == "duplicate") == bool(first)
            if first:
                assert receipt.number in first
            else:
                self.model[receipt.number] = {
                    "id": event_id, "happened": now - age, "came": now, "state": "waiting", "batch": 0,
                }  # fmt: skip

    @rule(limit=st.integers(1, 5))
    def claim(self, limit: int) -> None:
        batch = self.do(self.desk.claim(limit=limit, cause="a test"))
        now = self.clock.now()
        free = [
            (one["happened"], number)
            for number, one in self.model.items()
            if one["state"] == "waiting" and not one["batch"]
        ]
        fresh = sorted(pair for pair in free if now - pair[0] <= 7 * DAY)
        for happened, number in free:
            if now - happened > 7 * DAY:
                self.model[number]["state"] = "expired"
        wanted = [number for _, number in fresh[:limit]]
        if not wanted:
            assert batch is None
            return
        assert [item.number for item in batch.items] == wanted
        assert [item.body.split(b'"')[3].decode() for item in batch.items] == [self.model[n]["id"] for n in wanted]
        for number in wanted:
            self.model[number]["batch"] = batch.id
        self.batches.append(batch)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), state=st.sampled_from(["delivered", "rejected"]))
    def settle(self, data: Any, state: Any) -> None:
        """Settle a part of a batch, which may have been taken away meanwhile; the rest waits again."""
        batch = self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))
        numbers = [item.number for item in batch.items]
        cut = data.draw(st.integers(0, len(numbers)))
        problem = WHY if state == "rejected" else None
        self.do(
            self.desk.outbox.record(self.desk.attempt(batch), [Settled(numbers[:cut], state, problem)], is_last=False)
        )
        self.do(self.desk.outbox.release(batch.id, numbers[cut:], WHY))
        for place, number in enumerate(numbers):
            one = self.model[number]
            if one["batch"] == batch.id and one["state"] == "waiting":
                one["state" if place < cut else "batch"] = state if place < cut else 0

    @rule(seconds=st.sampled_from([1, 3600, 2 * DAY, 40 * DAY]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def die_and_come_back(self) -> None:
        """A process dies with what it has claimed; the next one takes it over, and the old answers come to nothing."""
        self.do(die(self.store))
        self.open()
        self.desk.destination = self.destination
        self.do(self.desk.outbox.take_over())
        for one in self.model.values():
            one["batch"] = 0 if one["state"] == "waiting" else one["batch"]

    @rule(event_id=st.sampled_from(IDS))
    def replay(self, event_id: str) -> None:
        done = self.do(replay.replay(self.desk.outbox, replay.Choice(event_ids=[event_id])))
        now, waiting = self.clock.now(), 0
        for one in self.model.values():
            if one["id"] == event_id and one["state"] != "waiting" and now - one["happened"] <= 7 * DAY:
                one["state"], one["batch"], waiting = "waiting", 0, waiting + 1
        assert done.waiting == waiting

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = self.do(self.desk.query("select number, event_id, state, batch from events where state <> 'duplicate'"))
        assert {number: (event_id, state) for number, event_id, state, _ in rows} == {
            number: (one["id"], one["state"]) for number, one in self.model.items()
        }
        waiting = {number: batch for number, _, state, batch in rows if state == "waiting"}
        assert waiting == {number: one["batch"] for number, one in self.model.items() if one["state"] == "waiting"}
        self.do(self.desk.counted())

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.do(self.store.close())
        self.loop.close()
        self.folder.cleanup()


OutboxMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


class TestOutboxMachine(OutboxMachine.TestCase):  # type: ignore[misc, name-defined]
    pass
