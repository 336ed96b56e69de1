"""The inbox of webhook messages, on every kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import FixError
from penstock.runtime.dialects import Tx
from penstock.runtime.inbox import MOST_ATTEMPTS, Inbox, Message
from penstock.runtime.store import Store
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return new_place(request.param, tmp_path)


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    store = await Store.open(place, ManualClock(), "test")
    yield store
    await store.close()


class Seen:
    """A handler that notes what it was given, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.messages: list[Message] = []
        self.failures = failures

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)
        if len(self.messages) <= self.failures:
            raise FixError("not yet", code="test.not-yet")


async def test_a_repeated_message_is_kept_and_handled_once(store: Store) -> None:
    inbox, seen = Inbox(store, store.clock), Seen()
    inbox.register("openai", "batch.completed", seen)
    assert await inbox.put("openai", "wh_1", "batch.completed", b'{"id": 1}')
    assert not await inbox.put("openai", "wh_1", "batch.completed", b'{"id": 1}')
    assert await inbox.put("other", "wh_1", "batch.completed", b"{}")  # the id belongs to its vendor
    assert await inbox.handle_due() == 1
    assert [message.body for message in seen.messages] == [b'{"id": 1}']
    assert not await inbox.put("openai", "wh_1", "batch.completed", b'{"id": 1}')
    await inbox.handle_due()
    assert len(seen.messages) == 1


async def test_a_message_without_a_handler_waits_for_one(store: Store) -> None:
    inbox, seen = Inbox(store, store.clock), Seen()
    await inbox.put("openai", "wh_1", "eval.run.failed", b"{}")
    assert await inbox.handle_due() == 0
    assert await inbox.counts() == {("eval.run.failed", "waiting"): 1}
    inbox.register("openai", "eval.run.failed", seen)
    await inbox.handle_due()
    assert len(seen.messages) == 1
    assert await inbox.counts() == {("eval.run.failed", "done"): 1}


async def test_a_handler_that_fails_is_tried_again_with_growing_gaps_and_then_given_up(store: Store) -> None:
    clock = store.clock
    assert isinstance(clock, ManualClock)
    inbox, seen = Inbox(store, clock), Seen(failures=1000)
    inbox.register("openai", "x", seen)
    await inbox.put("openai", "wh_1", "x", b"{}")
    gaps, last = [], clock.now()
    for _ in range(5):
        while not await inbox.handle_due():
            clock.advance(1.0)
        gaps.append(clock.now() - last)
        last = clock.now()
    assert gaps == [0, 5, 10, 20, 40]
    while len(seen.messages) < MOST_ATTEMPTS:
        clock.advance(3600)
        await inbox.handle_due()
    clock.advance(7200)
    assert await inbox.handle_due() == 0
    assert await inbox.counts() == {("x", "failed"): 1}


async def test_the_loop_handles_what_comes_while_it_runs_and_ends_softly(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await Store.open(tmp_path / "store.sqlite", clock)
    inbox, stop, seen = Inbox(store, clock), asyncio.Event(), Seen()
    inbox.register("openai", "x", seen)

    async def work() -> None:
        loop = asyncio.create_task(inbox.run(stop))
        for number in range(40):
            await inbox.put("openai", f"wh_{number}", "x", b"{}")
        while len(seen.messages) < 40:
            await clock.sleep(1.0)
        stop.set()
        await loop

    await clock.run(work())
    assert len({message.message for message in seen.messages}) == 40
    await store.close()


async def test_what_a_dead_process_had_taken_is_handled_by_the_next(place: Path | str) -> None:
    clock = ManualClock()
    first = await Store.open(place, clock)
    inbox = Inbox(first, clock)
    reached = asyncio.Event()

    async def hang(_message: Message) -> None:
        reached.set()
        await asyncio.Event().wait()

    inbox.register("openai", "x", hang)
    await inbox.put("openai", "wh_1", "x", b"{}")
    task = asyncio.create_task(inbox.handle_due())
    await reached.wait()
    assert await inbox.counts() == {("x", "taken"): 1}
    await first.close()  # as a process that ends while it is at work
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    second = await Store.open(place, clock)
    later, seen = Inbox(second, clock), Seen()
    later.register("openai", "x", seen)
    await later.recover()
    await later.handle_due()
    assert [message.message for message in seen.messages] == ["wh_1"]
    await second.close()


async def test_handled_messages_are_forgotten_after_a_week(store: Store) -> None:
    clock = store.clock
    assert isinstance(clock, ManualClock)
    inbox = Inbox(store, clock)
    inbox.register("openai", "x", Seen())
    await inbox.put("openai", "wh_1", "x", b"{}")
    await inbox.handle_due()
    clock.advance(8 * 86_400)
    await inbox.recover()
    assert await inbox.counts() == {}


async def test_what_a_process_had_taken_is_taken_over_while_another_one_runs(place: Path | str) -> None:
    clock = ManualClock()
    first, second = await Store.open(place, clock), await Store.open(place, clock)
    living, seen = Inbox(second, clock), Seen()
    living.register("openai", "x", seen)
    stop = asyncio.Event()

    async def work() -> None:
        running = asyncio.create_task(living.run(stop))
        await clock.sleep(1)
        await first.batch(put_and_take, first.session)
        await first.close()
        while not seen.messages:
            await clock.sleep(60)
        stop.set()
        await running

    await clock.run(work())
    assert [message.message for message in seen.messages] == ["wh_9"]
    await second.close()


def put_and_take(tx: Tx, items: Sequence[str]) -> list[None]:
    """Keep a message that a process is at already."""
    row = {"id": 9, "vendor": "openai", "message": "wh_9", "type": "x", "body": b"{}", "due_at": 0.0, "at": 0.0}
    for session in items:
        tx.run("put_message", row)
        tx.run("take_message", {"id": 9, "session": session})
    return [None] * len(items)
