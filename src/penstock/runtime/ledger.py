"""What was spent: reserve the worst case before a call leaves, settle the real cost after it.

A budget is a cap because the reservation and the comparison are one transaction. A call
whose outcome or price nobody knows keeps its reservation as `held`: it may have cost that much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import FixError, PenstockError, StoppedError
from penstock.base.types import Money, Usage, format_money
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

Budgets = Mapping[str, Money]
"""Caps by scope: `run:<id>`, `flow:<name>`, `day`, `month`; `run` and `flow` alone are caps for each one."""

FIRST_LOOK, LONGEST_LOOK = 0.25, 5.0
"""Seconds between looks at a budget that is reserved in full: another process may settle, or have died."""


class Reservation(msgspec.Struct, frozen=True):
    """Money put aside for one call that is about to leave."""

    number: int
    amount: Money | None
    scopes: tuple[str, ...]

    @property
    def call_id(self) -> str:
        """The id that travels with the call as `X-Client-Request-Id`."""
        return f"pk-{self.number:x}"


class Wish(msgspec.Struct, frozen=True):
    """A call that asks for money, as `reserve_calls` takes it."""

    row: dict[str, Any]
    scopes: tuple[str, ...]
    limits: tuple[tuple[str, Money], ...]


class Refusal(msgspec.Struct, frozen=True):
    """The wish does not fit into `scope` now."""

    scope: str
    limit: Money
    spent: Money
    reserved: Money

    def is_final(self, amount: Money) -> bool:
        """Tell whether it would not fit either if everything that is reserved came back."""
        return self.spent + amount > self.limit


class Settlement(msgspec.Struct, frozen=True):
    """How a call ended: `done` at a cost (None: unknown), `failed` (as a rule at no cost), or `unknown`."""

    reservation: Reservation
    state: Literal["done", "failed", "unknown"]
    at: float
    cost: Money | None = 0
    usage: Usage = Usage()
    served_model: str = ""
    tier: str = ""
    request_id: str = ""
    problem: str = ""


class Spent(msgspec.Struct, frozen=True):
    """What a scope cost (settled, put aside, held for unknown outcomes and prices), and how many calls ended well."""

    spent: Money
    reserved: Money
    held: Money
    calls: int


class CostRow(msgspec.Struct, frozen=True):
    """Calls of one day, model, operation, flow and outcome. `held` is what unknown outcomes and prices may come to."""

    day: str
    model: str
    operation: str
    flow: str
    state: str
    count: int
    cost: Money
    held: Money
    input: int
    cached: int
    output: int
    unpriced: int


class Ledger:
    """The books of one store. `budgets` are the caps that every reservation is held against."""

    def __init__(self, store: Store, clock: Clock, budgets: Budgets | None = None) -> None:
        self.store = store
        self.clock = clock
        self.budgets = dict(budgets or {})
        self._change = asyncio.Event()

    async def recover(self) -> int:
        """Mark what dead processes left in the air as unknown; returns how many calls that were."""
        dead = await self.store.dead_sessions()
        found = 0
        for session in dead:
            found += await self.store.batch(_abandon, (session, self.clock.now()))
        return found

    async def reserve(
        self,
        *,
        operation: str,
        connection: str,
        model: str,
        tier: str,
        worst_case: Money | None,
        run: str = "",
        flow: str = "",
    ) -> Reservation:
        """Put `worst_case` aside and record the call as sent; waits while other calls hold what is left.

        Raises `StoppedError` `budget.reached` when it can never fit, `FixError` when a cap
        is set but the price of the model is not known.
        """
        pause = FIRST_LOOK
        while True:
            change = self._change
            wish = self.wish(
                operation=operation,
                connection=connection,
                model=model,
                tier=tier,
                worst_case=worst_case,
                run=run,
                flow=flow,
            )
            answer: Reservation | Refusal = await self.store.batch(reserve_calls, wish, self._withdraw)
            if isinstance(answer, Reservation):
                return answer
            if answer.is_final(worst_case or 0):
                raise budget_reached(answer, worst_case or 0)
            if not await self._wait(change, pause):
                pause = min(2 * pause, LONGEST_LOOK)
                await self.recover()

    def _withdraw(self, answer: Reservation | Refusal) -> None:
        """Give back what was put aside for a caller that was cancelled meanwhile: its call never left."""
        if isinstance(answer, Reservation):
            self.store.post(settle_calls, Settlement(answer, "failed", self.clock.now(), problem="call.cancelled"))
            self.wake()

    def wish(
        self,
        *,
        operation: str,
        connection: str,
        model: str,
        tier: str,
        worst_case: Money | None,
        run: str,
        flow: str,
        owner: str = "",
    ) -> Wish:
        """Return the row of a call, for `reserve_calls`; `owner` keeps its money aside when this process dies.

        Raises `FixError` when a cap is set but the price of the model is not known.
        """
        now = self.clock.now()
        scopes = scopes_of(now, run, flow)
        limits = tuple((scope, limit) for scope in scopes if (limit := self._limit(scope)) is not None)
        if limits and worst_case is None:
            raise FixError(
                f"the price of {model} is not known, so a budget cannot be kept",
                code="budget.price-unknown",
                hint="Add the price in a models file of your own, or run without a budget.",
            )
        row = {
            "id": self.store.next_number(),
            "session": owner or self.store.session,
            "run": run,
            "flow": flow,
            "operation": operation,
            "connection": connection,
            "model": model,
            "tier": tier,
            "reserved": worst_case,
            "at": now,
        }
        return Wish(row, scopes, limits)

    def _limit(self, scope: str) -> Money | None:
        kind = scope.partition(":")[0]
        return self.budgets.get(scope, self.budgets.get(kind))

    async def _wait(self, change: asyncio.Event, seconds: float) -> bool:
        """Wait until a call of this process is settled; False when none was in time."""
        tasks = [asyncio.ensure_future(change.wait()), asyncio.ensure_future(self.clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return change.is_set()

    async def settle(self, settlement: Settlement) -> None:
        """Record how a call ended and give back what it did not use; a second settlement changes nothing."""
        try:
            await self.store.batch(settle_calls, settlement)
        finally:
            self.wake()

    def wake(self) -> None:
        """Have those who wait for money look again."""
        self._change.set()
        self._change = asyncio.Event()

    async def spent(self, scope: str) -> Spent:
        """Return the books of a scope such as `run:<id>` or `day:2026-11-20`."""
        rows = await self.store.read("budget", scope=scope)
        return Spent(*(int(value) for value in rows[0])) if rows else Spent(0, 0, 0, 0)

    async def costs(self, since: float = 0.0) -> list[CostRow]:
        """Return what was spent since a time, newest day first."""
        return [_cost_row(row) for row in await self.store.read("costs", since=since)]


def _cost_row(row: Sequence[Any]) -> CostRow:
    day, model, operation, flow, state, *sums = row
    return CostRow(_day(int(day)), model, operation, flow, state, *(int(value or 0) for value in sums))


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")


def scopes_of(now: float, run: str, flow: str) -> tuple[str, ...]:
    """Return the books that a call of this moment is entered in."""
    return _scopes_of_day(int(now // 86_400), run, flow)


@lru_cache(maxsize=256)
def _scopes_of_day(number: int, run: str, flow: str) -> tuple[str, ...]:
    day = _day(number)
    scopes = [f"day:{day}", f"month:{day[:7]}"]
    if flow:
        scopes.append(f"flow:{flow}")
    if run:
        scopes.append(f"run:{run}")
    return tuple(scopes)


def budget_reached(refusal: Refusal, wanted: Money) -> StoppedError:
    """Return the error of a call that can never fit."""
    scope, _, name = refusal.scope.partition(":")
    return StoppedError(
        f"the budget of the {scope} {name} is reached: {format_money(refusal.spent)} of "
        f"{format_money(refusal.limit)} spent, the next call could cost {format_money(wanted)}",
        code="budget.reached",
        hint="What was paid for is kept. Raise the budget and run the same command again to go on.",
    )


def reserve_calls(tx: Tx, items: Sequence[Wish]) -> list[Reservation | Refusal | PenstockError]:
    """Put money aside for each call that fits, and record it as sent."""
    scopes = {scope for item in items for scope in item.scopes}
    known = {row[0]: list(row[1:]) for row in tx.fetch_keys("budgets_of", sorted(scopes))}
    added: dict[str, Money] = dict.fromkeys(scopes, 0)
    results: list[Reservation | Refusal | PenstockError] = []
    rows = []
    for item in items:
        amount = item.row["reserved"] or 0
        refusal = _find_refusal(item, amount, known, added)
        if refusal is not None:
            results.append(refusal)
            continue
        for scope in item.scopes:
            added[scope] += amount
        rows.append(item.row)
        results.append(Reservation(item.row["id"], item.row["reserved"], item.scopes))
    if rows:
        tx.run_many("insert_call", rows)
        tx.run_many("reserve_budget", [{"scope": scope, "amount": added[scope]} for scope in sorted(scopes)])
    return results


def _find_refusal(
    item: Wish, amount: Money, known: Mapping[str, list[Any]], added: Mapping[str, Money]
) -> Refusal | None:
    found = None
    for scope, limit in item.limits:
        spent, reserved, held = known.get(scope, (0, 0, 0))
        refusal = Refusal(scope, limit, int(spent) + int(held), int(reserved) + added[scope])
        if refusal.is_final(amount):
            return refusal
        if refusal.spent + refusal.reserved + amount > limit:
            found = found or refusal
    return found


def settle_calls(tx: Tx, items: Sequence[Settlement]) -> list[None]:
    """Write how calls ended and move their money from reserved to spent or held.

    A call that was given up as unknown may still be settled; one that ended stays as it is.
    """
    states = dict(tx.fetch_keys("settled_states", [item.reservation.number for item in items]))
    rows = []
    moves: dict[str, list[int]] = {}
    for item in items:
        before = states.get(item.reservation.number, "sent")
        if before in ("done", "failed"):
            continue
        states[item.reservation.number] = item.state
        rows.append(_settled_row(item))
        amount = item.reservation.amount or 0
        cost = None if item.state == "unknown" else item.cost
        for scope in item.reservation.scopes:
            move = moves.setdefault(scope, [0, 0, 0, 0])
            move[0] += amount if before == "sent" else 0
            move[1] += cost or 0
            move[2] += (amount if cost is None else 0) - (amount if before == "unknown" else 0)
            move[3] += item.state == "done"
    tx.run_many("settle_call", rows)
    tx.run_many(
        "settle_budget",
        [
            {"scope": scope, "reserved": reserved, "cost": cost, "held": held, "calls": calls}
            for scope, (reserved, cost, held, calls) in sorted(moves.items())
        ],
    )
    return [None] * len(items)


def _settled_row(item: Settlement) -> dict[str, Any]:
    usage = item.usage
    return {
        "id": item.reservation.number,
        "state": item.state,
        "cost": item.cost if item.state != "unknown" else None,
        "input": usage.input,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
        "output": usage.output,
        "reasoning": usage.reasoning,
        "served_model": item.served_model,
        "tier": item.tier,
        "request_id": item.request_id,
        "problem": item.problem,
        "at": item.at,
    }


def _abandon(tx: Tx, items: Sequence[tuple[str, float]]) -> list[int]:
    counts = []
    for session, at in items:
        rows = tx.fetch("calls_of_session", {"session": session})
        for _, run, flow, reserved, sent_at in rows:
            for scope in scopes_of(sent_at, run, flow):
                tx.run("hold_budget", {"scope": scope, "amount": reserved or 0})
        tx.run("abandon_calls", {"session": session, "at": at})
        tx.run("end_session", {"id": session, "at": at})
        counts.append(len(rows))
    return counts
