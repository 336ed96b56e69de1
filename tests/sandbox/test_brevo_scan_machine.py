"""Scans of an account that changes meanwhile, against a model of who was there throughout."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from brevo_desk import Desk
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.data.brevo_contacts import BrevoMembers

PER_CALL = 6


class ScanMachine(RuleBasedStateMachine):
    """One reader goes over the account again and again, while people come, change and go, and the reader dies.

    `calm` are the contacts that a scan must give exactly once: there from its begin to its end, and unchanged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.made = 0
        self.reading: Any = None
        self.watermark: dict[str, Any] | None = None
        self.cursor: dict[str, Any] | None = None
        self.held: dict[int, dict[str, Any]] = {}
        self.given: list[int] = []
        self.calm: set[int] = set()
        self.has_died = False

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(self.desk.clock.run(work))

    @initialize(count=st.integers(0, 60), apart=st.sampled_from([0.0, 0.05, 0.4, 30.0]))
    def begin(self, count: int, apart: float) -> None:
        self.desk = Desk(limited=False)
        self.desk.add_people(count, apart=apart)
        self.made = count

    # what people do

    @rule(count=st.integers(1, 15))
    def come(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            self.desk.state.add_contact(f"person{self.made}@example.com")

    @precondition(lambda self: self.desk.state.by_creation)
    @rule(start=st.floats(0, 1), count=st.integers(1, 20))
    def go(self, start: float, count: int) -> None:
        for contact in self.choose(start, count):
            self.desk.state.remove(contact)
            self.calm.discard(contact.id)

    @precondition(lambda self: self.desk.state.by_creation)
    @rule(start=st.floats(0, 1), count=st.integers(1, 20), name=st.text("abc", min_size=1))
    def change(self, start: float, count: int, name: str) -> None:
        for contact in self.choose(start, count):
            contact.attributes["FIRSTNAME"] = name
            contact.modified = self.desk.state.now()
            self.desk.state.touch()
            self.calm.discard(contact.id)

    def choose(self, start: float, count: int) -> list[Any]:
        first = int(start * len(self.desk.state.by_creation))
        return list(self.desk.state.by_creation[first : first + count])

    @rule(seconds=st.sampled_from([0.01, 1.0, 700.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        self.desk.clock.advance(seconds)

    # what the reader does

    @precondition(lambda self: self.reading is None)
    @rule(size=st.integers(2, 9))
    def start(self, size: int) -> None:
        self.reading = self.open(size)
        self.given, self.has_died = [], False
        since = self.watermark["watermark"] - 600_000 if self.watermark is not None else 0
        self.calm = {one.id for one in self.desk.state.by_creation if one.modified > since}

    def open(self, size: int) -> Any:
        source = self.desk.contacts(per_call=PER_CALL)
        if self.watermark is not None:
            source.start_from(self.watermark)
        return source.pages(self.cursor, size)

    @precondition(lambda self: self.reading is not None)
    @rule(count=st.integers(1, 6))
    def read(self, count: int) -> None:
        for _ in range(count):
            page = self.do(anext(self.reading, None))
            if page is None:
                self.finish()
                return
            assert not page.rejects
            for record in page.records:
                self.given.append(record.data["id"])
                self.held[record.data["id"]] = record.data
            self.cursor = msgspec.json.decode(msgspec.json.encode(page.cursor))

    def finish(self) -> None:
        for one in self.calm:
            assert self.given.count(one) == 1 or (self.has_died and one in self.given)
        source = self.desk.contacts()
        self.watermark = source.watermark_of(self.cursor) or self.watermark
        self.reading = self.cursor = None

    @precondition(lambda self: self.reading is not None)
    @rule(size=st.integers(2, 9))
    def die(self, size: int) -> None:
        self.do(self.reading.aclose())
        self.reading = self.open(size)
        self.has_died = True

    @invariant()
    def nothing_is_given_twice_by_a_reader_that_lives(self) -> None:
        assert self.has_died or len(self.given) == len(set(self.given))

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            for _ in range(2):  # the scan under way, and one in peace
                if self.reading is None:
                    self.start(5)
                while self.reading is not None:
                    self.read(6)
            there = {one.id: one.attributes.get("FIRSTNAME") for one in self.desk.state.by_creation}
            held = {number: self.held[number]["attributes"].get("FIRSTNAME") for number in there}
            assert held == there
            assert {key for page in self.do(self.keys()) for key in page} == {
                one.email for one in self.desk.state.by_creation
            }
        self.loop.close()

    async def keys(self) -> list[list[str]]:
        return [page async for page in self.desk.contacts(per_call=PER_CALL).all_keys()]


TestScans = ScanMachine.TestCase
TestScans.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("deleted", [1, 5, 30, 58])
async def test_members_that_leave_while_a_list_is_read_hide_nobody(deleted):
    desk = Desk(limited=False)
    chosen = desk.state.add_list("chosen")
    emails = desk.add_people(120)
    for contact in desk.state.by_creation:
        desk.state.join(contact, chosen.id)
    leaving = emails[:deleted]
    seen: list[str] = []

    async def read() -> None:
        async for page in BrevoMembers(desk.caller, desk.account, lists=[chosen.id], per_call=20).pages(None, 20):
            seen.extend(record.data["email"] for record in page.records)
            while len(seen) > 57 and leaving:
                desk.state.leave(desk.state.find("email", leaving.pop()), chosen.id)

    await desk.clock.run(read())
    assert seen == emails
    assert len(desk.state.lists[chosen.id].members) == 120 - deleted


@pytest.mark.parametrize("apart", [0.0, 0.3])
@pytest.mark.parametrize("deleted", [1, 30, 58])
async def test_deletions_among_contacts_of_one_moment_hide_nobody(apart, deleted):
    desk = Desk(limited=False)
    emails = desk.add_people(120, apart=apart)
    leaving = emails[:deleted]
    seen: list[str] = []

    async def read() -> None:
        async for page in desk.contacts(per_call=20).pages(None, 7):
            seen.extend(record.key for record in page.records)
            while len(seen) > 57 and leaving:
                desk.state.remove(desk.state.find("email", leaving.pop()))

    await desk.clock.run(read())
    assert seen == emails
