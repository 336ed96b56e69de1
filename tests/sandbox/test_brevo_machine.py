"""An account that lives and a workspace that dies over it, against a model of who is there and what each allows."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from brevo_trial import BAD, GOOD, Trial
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from penstock.base.errors import PenstockError
from penstock.sandbox.brevo_people import delete, edit, leave_list, opt_out
from penstock.sandbox.world import Fault

FAULTS = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "seconds": 2.0},
    {"kind": "status", "status": 425, "code": "account_in_process"},
    {"kind": "status", "status": 200},
    {"kind": "lost"},
    {"kind": "drop"},
    {"kind": "html"},
    {"kind": "malformed"},
]


class AccountMachine(RuleBasedStateMachine):
    """People edit, leave, object and are deleted; webhooks are lost, doubled and late; runs die and go on."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-machine-"))
        self.made = 0
        self.members: dict[int, set[int]] = {}
        self.may_repeat = False

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(self.trial.clock.run(work))

    @initialize(count=st.integers(0, 8), listens=st.booleans())
    def begin(self, count: int, listens: bool) -> None:
        self.trial = Trial(self.folder)
        for number in range(count):
            self.come(bad=bool(number % 2), news=bool(number % 3), blocked=number == 5)
        if listens:
            self.do(self.first())
            self.do(self.trial.listen())

    async def first(self) -> None:
        async with self.trial.open():
            pass  # the folder and its store are there

    @property
    def people(self) -> list[Any]:
        return self.trial.state.by_creation if hasattr(self, "trial") else []

    def one(self, place: float) -> Any:
        return self.people[int(place * len(self.people))]

    # what people do

    @rule(bad=st.booleans(), news=st.booleans(), blocked=st.booleans())
    def come(self, bad: bool, news: bool, blocked: bool) -> None:
        self.made += 1
        email, text = f"p{self.made}x@example.com", (BAD if bad else GOOD).format(f"p{self.made}x")
        lists = [self.trial.news] if news else []
        contact = self.trial.state.add_contact(email, {"FEEDBACK": text}, lists=lists, email_blacklisted=blocked)
        self.members[contact.id] = set(lists)
        if blocked:
            self.trial.refusing[email] = contact.id

    @precondition(lambda self: self.people)
    @rule(place=st.floats(0, 0.99), bad=st.booleans())
    def write_feedback(self, place: float, bad: bool) -> None:
        contact = self.one(place)
        self.made += 1
        name = contact.email.partition("@")[0]
        edit(self.trial.state, contact, {"FEEDBACK": (BAD if bad else GOOD).format(f"{name} {self.made}")})

    @precondition(lambda self: self.people)
    @rule(place=st.floats(0, 0.99), name=st.sampled_from(["Ann", "Bob"]))
    def change_something_else(self, place: float, name: str) -> None:
        self.do(self.in_peace(self.trial.write(self.one(place).email, FIRSTNAME=name)))

    @precondition(lambda self: self.people)
    @rule(place=st.floats(0, 0.99))
    def delete(self, place: float) -> None:
        contact = self.one(place)
        self.trial.gone.add(contact.email)
        self.trial.refusing.pop(contact.email, None)
        delete(self.trial.state, contact)

    @precondition(lambda self: self.people)
    @rule(place=st.floats(0, 0.99), way=st.sampled_from(["link", "crm", "list", "own list", "here"]))
    def object(self, place: float, way: str) -> None:
        contact = self.one(place)
        ours = next((one.id for one in self.trial.state.lists.values() if one.name == "Unhappy"), None)
        if way == "link":
            opt_out(self.trial.state, contact)
        elif way == "crm":
            self.do(self.in_peace(self.block(contact.email)))
        elif way == "list" or (way == "own list" and ours is None):
            leave_list(self.trial.state, contact, self.trial.others)
        elif way == "own list":
            assert ours is not None
            self.trial.state.leave(contact, ours)
            leave_list(self.trial.state, contact, ours)
        else:
            self.do(self.first())
            self.do(self.trial.object_here(contact.email))
        self.trial.refusing[contact.email] = contact.id

    async def in_peace(self, work: Any) -> None:
        """Let somebody else's program do something: the faults are planned for us."""
        faults, repeats = list(self.trial.world.faults), self.trial.state.repeats.copy()
        self.trial.world.faults.clear()
        await work
        self.trial.world.faults.extend(faults)
        self.trial.state.repeats = repeats  # theirs are not ours

    async def block(self, email: str) -> None:
        caller = self.trial.caller("xkeysib-crm-0123")
        await caller._client.send("contacts.update", path={"identifier": email}, body={"emailBlacklisted": True})

    @rule(seconds=st.sampled_from([1.0, 60.0, 700.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        self.do(self.trial.settle(seconds))

    # what goes wrong

    @rule(fault=st.sampled_from(FAULTS), rate=st.sampled_from([0.2, 0.5]), times=st.integers(1, 6))
    def fail(self, fault: dict[str, Any], rate: float, times: int) -> None:
        self.trial.world.faults.append(Fault(vendor="brevo", rate=rate, times=times, **fault))
        self.may_repeat = self.may_repeat or fault["kind"] in ("lost", "malformed")

    @rule(seed=st.integers(0, 99))
    def deliver(self, seed: int) -> None:
        chance = random.Random(seed)  # how many letters there are is not Hypothesis's to know
        letters = [one for one in self.trial.letters if chance.random() < 0.7]
        letters += [one for one in letters if chance.random() < 0.3]
        chance.shuffle(letters)
        if chance.random() < 0.8:
            self.trial.letters.clear()  # the rest is lost; else all come again later
        self.do(self.first())
        self.calm(self.trial.take(letters))

    # what the workspace does

    def calm(self, work: Any) -> None:
        try:
            self.do(work)
        except PenstockError:
            assert self.trial.world.faults

    @rule()
    def run(self) -> None:
        self.calm(self.run_once())

    async def run_once(self) -> None:
        report = await self.trial.run()
        if report.problem is not None:
            raise report.problem

    @rule(number=st.integers(1, 40), moment=st.sampled_from(["before", "after"]))
    def die(self, number: int, moment: str) -> None:
        self.calm(self.trial.run((number, moment)))

    @rule()
    def reconcile(self) -> None:
        self.do(self.first())
        self.calm(self.trial.reconcile())

    # what must be true

    @invariant()
    def nobody_is_used_against_his_will(self) -> None:
        if hasattr(self, "trial"):
            assert not self.trial.wrong, self.trial.wrong[:5]
            assert not self.trial.state.lifted

    def teardown(self) -> None:
        try:
            if hasattr(self, "trial"):
                self.do(self.first())
                self.do(self.trial.settle_down())
                self.trial.check()
                for contact in self.people:
                    foreign = {one for one in contact.lists if one in (self.trial.news, self.trial.others)}
                    assert foreign == self.members[contact.id]
                if not self.may_repeat:
                    assert not self.trial.state.repeats, self.trial.state.repeats
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)


@pytest.mark.slow
def test_an_account_that_lives_and_a_workspace_that_dies_over_it() -> None:
    given = settings(  # the same lives each time: what a process comes by before it dies differs anyway
        max_examples=6,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(AccountMachine, settings=given)
