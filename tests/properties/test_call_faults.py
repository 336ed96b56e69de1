"""Whatever the vendor does and whoever gives up, no answer is lost, no bill is missing and no budget is passed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from books import count_books, query
from call_desk import Desk, ask_about, open_desk
from penstock.base.errors import PenstockError
from penstock.sandbox.world import Fault, Latency

STATUSES = st.sampled_from(
    [
        (400, "invalid_value"),
        (429, "rate_limit_exceeded"),
        (429, "resource_unavailable"),
        (500, None),
        (503, "slow_down"),
    ]
)
FAULTS = st.lists(
    st.one_of(
        st.builds(
            lambda status, rate, times, seconds: Fault(
                "openai", "decisions", "status", rate, times, 0, seconds, status[0], status[1]
            ),
            STATUSES,
            st.floats(0.05, 0.6),
            st.integers(1, 12),
            st.sampled_from([0.0, 2.0]),
        ),
        st.builds(
            lambda kind, rate, times: Fault("openai", "decisions", kind, rate, times),
            st.sampled_from(["drop", "lost", "malformed", "html"]),
            st.floats(0.05, 0.6),
            st.integers(1, 12),
        ),
    ),
    max_size=4,
)


@given(
    faults=FAULTS,
    texts=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    cancelled=st.sets(st.integers(0, 39)),
    budget=st.none() | st.integers(0, 300_000_000),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_books_bills_and_answers_agree(
    faults: list[Fault], texts: list[int], cancelled: set[int], budget: int | None, seed: int
) -> None:
    asyncio.run(check(faults, texts, cancelled, budget, seed))


async def check(faults: list[Fault], texts: list[int], cancelled: set[int], budget: int | None, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_desk(Path(folder)) as desk:
            desk.world.rng.seed(seed)
            desk.world.latency["openai"] = Latency(0.5, 0.5)
            desk.world.faults += faults
            if budget is not None:
                desk.ledger.budgets["run:r"] = budget
            results = await desk.run(use(desk, texts, cancelled))
            await agree(desk, texts, results, budget)


async def use(desk: Desk, texts: list[int], cancelled: set[int]) -> list[Any]:
    tasks = [asyncio.ensure_future(desk.caller.ask(ask_about(f"Text {text}"), run="r")) for text in texts]
    for index in sorted(cancelled):
        await desk.clock.sleep(0.2)
        if index < len(tasks):
            tasks[index].cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def agree(desk: Desk, texts: list[int], results: list[Any], budget: int | None) -> None:
    for _ in range(2):  # the first ends the last reservation, the second its withdrawal
        await desk.store.batch(lambda _tx, items: [None] * len(items), None)
    spent = await desk.spent()
    assert spent == await count_books(desk.store)
    assert spent.reserved == 0
    assert budget is None or spent.spent + spent.held <= budget
    rows = await query(desk.store, "select id, state, cost from calls")
    states = {f"pk-{number:x}": state for number, state, _ in rows}
    billed = {bill.client_request_id for bill in desk.world.billed}
    assert all(states[name] in ("done", "unknown") for name in billed)
    assert all(name in billed for name, state in states.items() if state == "done")
    held = await desk.answers.get_many([desk.caller.address(ask_about(f"Text {text}")) for text in set(texts)])
    assert len(held) == list(states.values()).count("done")  # nothing that was paid for was bought again
    for text, result in zip(texts, results, strict=True):
        if isinstance(result, BaseException):
            assert isinstance(result, PenstockError | asyncio.CancelledError)
        else:
            assert desk.caller.address(ask_about(f"Text {text}")) in held
    assert not desk.caller._under_way
