"""The one path of a paid call: what is bought once, what is retried, and what the ledger says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from books import count_books
from call_desk import MODEL, Desk, ask_about, open_desk, until
from penstock.base.clock import ManualClock
from penstock.base.errors import (
    AccessError,
    FixError,
    PenstockError,
    QuotaError,
    RejectedError,
    SettingsError,
    StoppedError,
    UnavailableError,
)
from penstock.base.types import Usage
from penstock.runtime.call import MAX_ATTEMPTS
from penstock.sandbox.limits import Limit
from penstock.sandbox.world import Latency
from penstock.vendor.openai import Exchange


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_an_answer_is_bought_once_and_then_costs_nothing_and_says_so(desk: Desk) -> None:
    first, again = await desk.ask(), await desk.ask()
    assert (first.cached, again.cached) == (False, True)
    assert msgspec.structs.replace(again, cached=False) == first
    assert first.cost
    assert desk.billed == desk.asked == 1
    spent = await desk.spent()
    assert (spent.spent, spent.reserved, spent.held, spent.calls) == (first.cost, 0, 0, 1)


async def test_the_cost_is_that_of_the_usage_that_the_vendor_states(desk: Desk) -> None:
    answer = await desk.ask()
    [bill] = desk.world.billed
    assert answer.usage == bill.usage
    expected = desk.caller.catalogue.price(
        answer.model, desk.clock.now(), answer.tier, bill.usage, operation=ask_about("x").price_list
    )
    assert answer.cost == expected == (await desk.spent()).spent
    [row] = await desk.ledger.costs()
    assert (row.count, row.cost, row.input, row.output) == (1, expected, bill.usage.input, bill.usage.output)


async def test_the_vendor_sees_the_id_that_the_ledger_keeps(desk: Desk) -> None:
    await desk.ask()
    [(number, request_id)] = await desk.store.look(
        lambda tx: tx._raw.execute("select id, request_id from calls").fetchall()  # type: ignore[attr-defined]
    )
    assert desk.world.billed[0].client_request_id == f"pk-{number:x}"
    assert request_id.startswith("req_")


async def test_equal_requests_under_way_are_bought_once_and_only_one_says_that_it_paid(desk: Desk) -> None:
    desk.world.latency["openai"] = Latency(2.0)
    answers = await desk.run(asyncio.gather(*(desk.caller.ask(ask_about("Late."), run="r") for _ in range(20))))
    assert desk.billed == 1
    assert sum(not answer.cached for answer in answers) == 1
    assert len({answer.request_id for answer in answers}) == 1


async def test_a_purchase_goes_on_when_the_first_who_wanted_it_is_cancelled(desk: Desk) -> None:
    desk.world.latency["openai"] = Latency(5.0)

    async def work() -> bool:
        first, *others = [asyncio.ensure_future(desk.caller.ask(ask_about("Late."), run="r")) for _ in range(4)]
        await until(lambda: desk.billed == 1)
        first.cancel()
        answers = await asyncio.gather(*others)
        return sum(not answer.cached for answer in answers) == 1 and first.cancelled()

    assert await desk.run(work())
    assert desk.billed == desk.asked == 1
    assert await desk.states() == ["done"]


async def test_a_purchase_that_nobody_wants_any_more_is_cancelled_and_the_ledger_stays_true(desk: Desk) -> None:
    desk.world.latency["openai"] = Latency(5.0)

    async def work() -> None:
        tasks = [asyncio.ensure_future(desk.caller.ask(ask_about("Late."), run="r")) for _ in range(3)]
        await until(lambda: desk.billed == 1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)

    await desk.run(work())
    assert await desk.states() == ["unknown"]  # it had left: it may be billed
    spent = await desk.spent()
    assert spent.reserved == 0
    assert spent.held > 0
    assert not desk.caller._under_way


@pytest.mark.parametrize("moment", range(0, 60, 3))
async def test_a_call_cancelled_at_any_moment_leaves_true_books_and_a_free_permit(desk: Desk, moment: int) -> None:
    desk.world.latency["openai"] = Latency(0.001)
    task = asyncio.ensure_future(desk.caller.ask(ask_about("Late."), run="r"))
    for _ in range(moment):
        await asyncio.sleep(0.0002 if moment % 2 else 0)
        desk.clock.advance(0.0005)
    task.cancel()
    await desk.run(asyncio.gather(task, return_exceptions=True))
    await desk.ask("another")
    assert "sent" not in await desk.states()
    assert await desk.spent() == await count_books(desk.store)


async def test_who_looked_before_an_answer_came_does_not_buy_it_again(desk: Desk) -> None:
    await desk.ask()
    answer = await desk.run(desk.caller.buy(ask_about("Late again."), run="r"))
    assert answer.cached
    assert desk.billed == 1


async def test_an_unknown_connection_is_named(desk: Desk) -> None:
    with pytest.raises(SettingsError, match="known: openai"):
        await desk.caller.ask(ask_about("x", connection="azure"))


OUTAGE = 1 + 2 + 4 + 8  # half seconds of waiting between five attempts


@pytest.mark.parametrize(
    ("fault", "kind", "code", "attempts", "state"),
    [
        ({"kind": "status", "status": 400, "code": "invalid_value"}, RejectedError, "openai.rejected", 1, "failed"),
        ({"kind": "status", "status": 401}, AccessError, "openai.key-refused", 1, "failed"),
        ({"kind": "status", "status": 403, "code": "forbidden"}, AccessError, "openai.not-allowed", 1, "failed"),
        ({"kind": "status", "status": 404}, RejectedError, "openai.model-not-found", 1, "failed"),
        (
            {"kind": "status", "status": 429, "code": "credit_balance_exhausted"},
            QuotaError,
            "openai.credit-exhausted",
            1,
            "failed",
        ),
        ({"kind": "status", "status": 500}, UnavailableError, "openai.unavailable", 5, "failed"),
        ({"kind": "status", "status": 503, "code": "overloaded"}, UnavailableError, "openai.unavailable", 5, "failed"),
        ({"kind": "drop"}, UnavailableError, "http.broken", 5, "unknown"),
        ({"kind": "lost"}, UnavailableError, "http.broken", 5, "unknown"),
        ({"kind": "lost", "status": 502}, UnavailableError, "openai.unavailable", 5, "unknown"),
        ({"kind": "malformed"}, UnavailableError, "http.not-json", 5, "unknown"),
        ({"kind": "html"}, UnavailableError, "openai.unavailable", 5, "unknown"),
    ],
)
async def test_every_failure_has_its_class_its_attempts_and_its_place_in_the_ledger(
    desk: Desk, fault: dict[str, object], kind: type[PenstockError], code: str, attempts: int, state: str
) -> None:
    desk.plan(**fault)  # type: ignore[arg-type]
    with pytest.raises(kind) as raised:
        await desk.ask()
    assert raised.value.code == code
    assert desk.asked == attempts
    assert attempts in (1, MAX_ATTEMPTS)
    assert await desk.states() == [state] * attempts
    spent = await desk.spent()
    assert spent == await count_books(desk.store)
    assert spent.spent == spent.reserved == 0
    assert (spent.held > 0) == (state == "unknown")
    if attempts > 1:
        assert 0.75 * OUTAGE / 2 <= desk.clock.monotonic() <= 1.25 * OUTAGE / 2 + 0.5
    desk.world.faults.clear()
    assert not (await desk.ask()).cached


@pytest.mark.parametrize("kind", ["status", "drop", "lost", "malformed", "html"])
async def test_a_failure_that_passes_is_retried_until_it_has(desk: Desk, kind: str) -> None:
    desk.plan(kind, times=2, status=500 if kind == "status" else None)
    answer = await desk.ask()
    assert not answer.cached
    assert desk.asked == 3
    assert (await desk.states())[2] == "done"
    assert (await desk.spent()).calls == 1


async def test_a_vendor_that_hangs_is_left_after_the_timeout_and_may_have_billed(tmp_path: Path) -> None:
    async with open_desk(tmp_path, timeout=0.05, world_clock=ManualClock()) as desk:  # a clock that stands still
        desk.plan("hang", seconds=60.0)
        with pytest.raises(UnavailableError) as raised:
            await desk.ask()
        assert raised.value.code == "http.timeout"
        assert await desk.states() == ["unknown"] * MAX_ATTEMPTS
        assert desk.billed == MAX_ATTEMPTS
        spent = await desk.spent()
        assert spent.held > 0
        assert spent == await count_books(desk.store)


async def test_a_host_that_cannot_be_reached_is_certainly_not_billed(desk: Desk) -> None:
    desk.caller = desk.new_caller(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(UnavailableError) as raised:
        await desk.ask()
    assert raised.value.code == "http.no-connection"
    assert await desk.states() == ["failed"] * MAX_ATTEMPTS
    assert (await desk.spent()).held == 0


async def test_a_server_error_that_says_when_to_come_back_is_obeyed(desk: Desk) -> None:
    desk.plan("status", status=503, code="overloaded", seconds=45.0, times=1)
    await desk.ask()
    assert 45.0 <= desk.clock.monotonic() < 50.0


@pytest.mark.parametrize(
    ("status", "code"), [(429, "rate_limit_exceeded"), (429, "resource_unavailable"), (503, "slow_down")]
)
async def test_being_too_fast_costs_no_attempt_and_is_never_given_up(desk: Desk, status: int, code: str) -> None:
    desk.plan("status", status=status, code=code, seconds=3.0, times=4 * MAX_ATTEMPTS)
    answer = await desk.ask()
    assert not answer.cached
    assert desk.asked == 4 * MAX_ATTEMPTS + 1
    assert await desk.states() == ["failed"] * 4 * MAX_ATTEMPTS + ["done"]
    assert desk.clock.monotonic() >= 3.0 * 4 * MAX_ATTEMPTS
    assert (await desk.spent()).held == 0


async def test_a_refusal_without_a_time_is_waited_out_too(desk: Desk) -> None:
    desk.plan("status", status=429, times=12)
    await desk.ask()
    assert desk.asked == 13


async def test_no_record_is_lost_to_a_tight_quota(tmp_path: Path) -> None:
    async with open_desk(tmp_path, limit=Limit(rpm=600)) as desk:
        asks = [desk.caller.ask(ask_about(f"Text {n}"), run="r") for n in range(150)]
        answers = await desk.run(asyncio.gather(*asks))
        assert len({answer.request_id for answer in answers}) == 150
        assert desk.billed == 150
        assert (await desk.spent()).calls == 150


async def test_a_budget_is_a_hard_stop_with_64_calls_in_flight(desk: Desk) -> None:
    desk.world.latency["openai"] = Latency(1.0, 0.5)
    price = (await desk.ask("first")).cost or 0
    cap = desk.ledger.budgets["run:r"] = price * 40
    asks = [desk.caller.ask(ask_about(f"Text {n}"), run="r") for n in range(64)]
    results = await desk.run(asyncio.gather(*asks, return_exceptions=True))
    stopped = [result for result in results if isinstance(result, StoppedError)]
    assert len(stopped) + sum(not isinstance(result, BaseException) for result in results) == 64
    assert stopped
    spent = await desk.spent()
    assert spent.spent <= cap
    assert spent.spent > cap - 4 * price  # it waited for settlements instead of stopping early
    assert spent.reserved == 0
    assert desk.billed == spent.calls


async def test_no_held_answer_is_refused_by_a_budget(desk: Desk) -> None:
    await desk.ask()
    desk.ledger.budgets["run:r"] = 0
    assert (await desk.ask()).cached
    with pytest.raises(StoppedError):
        await desk.ask("another")
    assert desk.asked == 1


async def test_without_a_price_nothing_is_sent_under_a_budget(desk: Desk) -> None:
    ask = ask_about("x", model="model-nobody-knows")
    desk.ledger.budgets["day"] = 10**12
    with pytest.raises(FixError) as raised:
        await desk.run(desk.caller.ask(ask))
    assert raised.value.code == "budget.price-unknown"
    assert desk.asked == 0


async def test_a_store_that_is_full_stops_before_anything_is_sent(desk: Desk) -> None:
    writer = desk.store._writer
    writer._raw.execute("pragma query_only = on")  # type: ignore[attr-defined]
    with pytest.raises(StoppedError):
        await desk.ask()
    assert desk.asked == 0
    writer._raw.execute("pragma query_only = off")  # type: ignore[attr-defined]
    assert not (await desk.ask()).cached


async def test_an_answer_that_cannot_be_stored_is_not_used_and_its_call_is_found_later(desk: Desk) -> None:
    desk.world.latency["openai"] = Latency(5.0)
    writer = desk.store._writer

    async def work() -> None:
        task = asyncio.ensure_future(desk.caller.ask(ask_about("Late."), run="r"))
        await until(lambda: desk.billed == 1)
        writer._raw.execute("pragma query_only = on")  # type: ignore[attr-defined]
        await task

    with pytest.raises(StoppedError):
        await desk.run(work())
    writer._raw.execute("pragma query_only = off")  # type: ignore[attr-defined]
    assert await desk.states() == ["sent"]
    assert (await desk.spent()).reserved > 0


class Scripted:
    """A connection whose every answer is the same."""

    account = quota_account = "a"
    is_regional = False

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def post(self, path: str, content: bytes, call_id: str, *_: Any, **rest: Any) -> Exchange:
        return self._exchange


async def test_what_a_half_finished_answer_used_is_booked(desk: Desk) -> None:
    error = RejectedError("gave up", code="openai.failed-response")
    exchange = Exchange({}, {"status": "failed"}, error, Usage(1000, 0, 0, 10), MODEL, "default", "req_1")
    desk.caller.connections = {"openai": Scripted(exchange)}  # type: ignore[dict-item]
    with pytest.raises(RejectedError):
        await desk.ask()
    spent = await desk.spent()
    assert spent.spent > 0
    assert (spent.reserved, spent.held, spent.calls) == (0, 0, 0)


@pytest.mark.parametrize(
    ("served", "tier", "is_priced"),
    [(MODEL, "default", True), ("gpt-unheard-of", "default", True), (MODEL, "odd", False)],
)
async def test_an_answer_is_priced_by_who_served_it_or_stays_put_aside(
    desk: Desk, served: str, tier: str, is_priced: bool
) -> None:
    exchange = Exchange({}, {"status": "completed"}, None, Usage(20, 0, 0, 0), served, tier, "req_1")
    desk.caller.connections = {"openai": Scripted(exchange)}  # type: ignore[dict-item]
    answer = await desk.ask()
    spent = await desk.spent()
    assert (answer.cost is not None) == is_priced
    assert (spent.spent > 0, spent.held > 0) == (is_priced, not is_priced)
    assert (spent.reserved, spent.calls) == (0, 1)
