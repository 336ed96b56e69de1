"""A write with an Idempotency-Key is done once, whoever repeats it and however the first one ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from service import open_service
from starlette.responses import Response

from penstock.base.clock import ManualClock
from penstock.base.errors import InputError, PenstockError, UnavailableError
from penstock.runtime.store import Store
from penstock.server.idempotency import Replies
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return new_place(request.param, tmp_path)


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    store = await Store.open(place, ManualClock(), "test")
    yield store
    await store.close()


class Answers:
    """Answers that count how often they were made."""

    def __init__(self, status: int = 200, error: PenstockError | None = None) -> None:
        self.made = 0
        self.status = status
        self.error = error
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Response:
        self.made += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Response(b"answer %d" % self.made, self.status, {"location": "/x"}, "text/plain")


async def test_the_same_request_gets_the_same_answer(store: Store) -> None:
    replies, answers = Replies(store, store.clock), Answers()
    first = await replies.once("me", "k", b"request", answers)
    again = await replies.once("me", "k", b"request", answers)
    assert (answers.made, again.body, again.status_code) == (1, first.body, 200)
    assert again.headers["location"] == "/x"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


async def test_a_key_belongs_to_its_sender_and_stands_for_one_request(store: Store) -> None:
    replies, answers = Replies(store, store.clock), Answers()
    await replies.once("me", "k", b"request", answers)
    await replies.once("you", "k", b"request", answers)
    assert answers.made == 2
    with pytest.raises(InputError) as caught:
        await replies.once("me", "k", b"another", answers)
    assert caught.value.code == "idempotency.key-reused"
    assert answers.made == 2


async def test_requests_at_the_same_time_are_done_once(store: Store) -> None:
    replies, answers = Replies(store, store.clock), Answers()
    answers.go.clear()
    tasks = [asyncio.create_task(replies.once("me", "k", b"r", answers)) for _ in range(20)]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    while len(waiting) > 1:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        done |= more
    answers.go.set()
    (winner,) = waiting
    assert (await winner).body == b"answer 1"
    codes = {error.code for task in done if isinstance(error := task.exception(), PenstockError)}
    assert (codes, answers.made) == ({"idempotency.in-progress"}, 1)


@pytest.mark.parametrize("status", [401, 403, 408, 409, 429, 500, 503])
async def test_an_answer_that_may_differ_next_time_is_not_kept(store: Store, status: int) -> None:
    replies, answers = Replies(store, store.clock), Answers(status)
    await replies.once("me", "k", b"r", answers)
    await replies.once("me", "k", b"r", answers)
    assert answers.made == 2


async def test_a_failure_lets_the_key_be_used_again(store: Store) -> None:
    replies, answers = Replies(store, store.clock), Answers(error=UnavailableError("down"))
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await replies.once("me", "k", b"r", answers)
    assert answers.made == 2


async def test_a_request_that_a_dead_process_began_is_done_by_the_next(place: Path | str) -> None:
    clock = ManualClock()
    dead = await Store.open(place, clock)
    answers = Answers()
    answers.go.clear()
    task = asyncio.create_task(Replies(dead, clock).once("me", "k", b"r", answers))
    while not answers.made:
        await asyncio.wait([task], timeout=0.01)
    await dead.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    answers.go.set()
    living = await Store.open(place, clock)
    assert (await Replies(living, clock).once("me", "k", b"r", answers)).body == b"answer 2"
    await living.close()


async def test_kept_answers_are_forgotten_after_a_day(store: Store) -> None:
    clock = store.clock
    assert isinstance(clock, ManualClock)
    replies, answers = Replies(store, clock), Answers()
    await replies.once("me", "k", b"r", answers)
    clock.advance(86_399)
    await replies.forget_old()
    await replies.once("me", "k", b"r", answers)
    assert answers.made == 1
    clock.advance(2)
    await replies.forget_old()
    await replies.once("me", "k", b"r", answers)
    assert answers.made == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb"])
async def test_a_key_that_is_none_is_refused(store: Store, key: str) -> None:
    with pytest.raises(InputError) as caught:
        await Replies(store, store.clock).once("me", key, b"r", Answers())
    assert caught.value.code == "idempotency.bad-key"


async def test_an_operation_with_a_key_is_bought_once_over_http(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        body = {"input": {"text": "Hello"}, "fresh": True}
        first = await client.post("/v1/operations/respond", body, idempotency_key="k1")
        again = await client.post("/v1/operations/respond", body, idempotency_key="k1")
        assert first.body == again.body
        assert again.headers["idempotent-replayed"] == "true"
        assert sum(client.app.workspace.vendors.world.billed_calls.values()) == 1
        other = await client.post("/v1/operations/respond", {"input": {"text": "Bye"}}, idempotency_key="k1")
        assert (other.status, other.problem["code"]) == (422, "idempotency.key-reused")
        wrong = await client.post("/v1/operations/respond", {"input": {}}, idempotency_key="k2")
        repaired = await client.post("/v1/operations/respond", body, idempotency_key="k2")
        assert (wrong.status, repaired.status) == (422, 200)
