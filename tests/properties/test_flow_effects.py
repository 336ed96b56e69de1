"""Writes under any interleaving of pages, lost answers, refusals and crashes: the target ends as the pages say."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.base.clock import ManualClock
from penstock.base.errors import AccessError, UnavailableError
from penstock.base.types import Change, Finding, Outcome, Problem
from penstock.flows.delivery import Delivery
from penstock.flows.kept import Effect, FinishedPage, PlannedWrites, hash_effect
from penstock.flows.state import FlowState
from penstock.runtime.store import Store

TARGETS = [f"t{number}" for number in range(6)]
FATES = ["confirmed", "later", "lost", "lost-before", "rejected"]
SINK = "brevo:test"


class CrashError(BaseException):
    """The process dies."""


class FlakySink:
    """A target that does or does not do what it is told, and may not say."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.events: list[str] = []
        self.fates: list[str] = []
        self.repeats = 0
        self.crash = ""
        self.is_good = False

    def describe(self) -> str:
        return "the test's sink"

    def identity(self) -> str:
        return "test"

    async def check(self, fields: dict[str, str]) -> list[Finding]:
        return []

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        if self.crash == "before":
            raise CrashError
        outcomes = [self._write_one(change) for change in changes]
        if self.crash == "after":
            raise CrashError
        if self.crash == "access":
            raise AccessError("the key was withdrawn")
        if self.crash == "unavailable":
            raise UnavailableError("cut", sent=True)
        return outcomes

    def _write_one(self, change: Change) -> Outcome:
        fate = "confirmed" if self.is_good or not self.fates else self.fates.pop()
        if fate in ("confirmed", "lost"):
            if change.kind == "event":
                self.events.append(change.id)
            else:
                key, value = str(change.match["email"]), int(change.fields["value"])
                self.repeats += self.rows.get(key) == value
                self.rows[key] = value
        if fate == "rejected":
            return Outcome("rejected", Problem("sink.rejected", "no"))
        if fate in ("lost", "lost-before"):
            return Outcome("unknown")
        return Outcome("confirmed" if fate == "confirmed" else "later")

    async def find(self, changes: Sequence[Change]) -> list[Outcome]:
        found = []
        for change in changes:
            if change.kind == "event":
                is_there = change.id in self.events
            else:
                is_there = self.rows.get(str(change.match["email"])) == change.fields["value"]
            found.append(Outcome("confirmed" if is_there else "later"))
        return found

    async def close(self) -> None:
        """Nothing to let go of."""


class Effects(RuleBasedStateMachine):
    """Pages plan, deliveries write, processes die; the model is what the pages said last."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.sink = FlakySink()
        self.wanted: dict[str, int] = {}
        self.wanted_events: set[str] = set()
        self.number = 0
        self.open()

    def open(self) -> None:
        self.store = self.runner.run(Store.open(Path(self.folder.name) / "store.sqlite", self.clock))
        self.state = FlowState(self.store, "flow")
        self.delivery = Delivery(self.state, self.sink, SINK, "brevo", self.clock, lambda _: None)

    @rule(page=st.dictionaries(st.sampled_from(TARGETS), st.integers(0, 3), max_size=6), again=st.booleans())
    def finish_page(self, page: dict[str, int], again: bool) -> None:
        self.number += 1
        effects = []
        for target, value in page.items():
            match, fields = {"email": target}, {"value": value}
            effects.append(Effect("attributes", target, match, fields, hash_effect(match, fields)))
            name = f"{target}={value}"
            effects.append(Effect("event", name, match, {"name": "e"}, hash_effect(match, {"event": name})))
            self.wanted[target] = value
            self.wanted_events.add(hash_effect(match, {"event": name}).hex())
        writes = PlannedWrites(SINK, [], lambda _items: (effects, []))
        for _ in range(2 if again else 1):
            finished = FinishedPage(f"run{self.number}", [], [], [writes], self.clock.now())
            self.runner.run(self.state.finish_page(finished))

    @rule(
        fates=st.lists(st.sampled_from(FATES), max_size=8),
        crash=st.sampled_from(["", "", "", "before", "after", "access", "unavailable"]),
    )
    def deliver(self, fates: list[str], crash: str) -> None:
        self.sink.fates, self.sink.crash = fates, crash
        if crash == "unavailable":
            self.sink.fates = []

        async def work() -> None:
            await self.delivery.recover()
            await self.delivery.deliver(asyncio.Event())

        try:
            self.runner.run(self.clock.run(work()))
        except (AccessError, UnavailableError):
            pass
        except CrashError:
            self.reopen()
        finally:
            self.sink.fates, self.sink.crash = [], ""

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.open()

    @invariant()
    def no_event_is_sent_twice(self) -> None:
        assert len(self.sink.events) == len(set(self.sink.events))

    @invariant()
    def nothing_is_written_that_was_there(self) -> None:
        assert self.sink.repeats == 0

    @precondition(lambda self: self.wanted)
    @rule()
    def everything_arrives_once_the_target_works(self) -> None:
        self.sink.is_good = True
        for number in range(1, self.number + 1):  # as `runs retry` does with what was refused
            self.runner.run(self.state.plan_failed_effects(f"run{number}", f"retry{number}", self.clock.now()))
        self.finish_page(dict(self.wanted), again=False)
        self.deliver([], "")
        assert self.sink.rows == self.wanted
        assert set(self.sink.events) == self.wanted_events
        before = (dict(self.sink.rows), list(self.sink.events))
        self.deliver([], "")
        assert (self.sink.rows, self.sink.events) == before
        self.sink.is_good = False

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()


TestEffects = pytest.mark.slow(Effects.TestCase)
TestEffects.settings = settings(max_examples=60, stateful_step_count=16, deadline=None)
