"""Buys answers through the vendor's Batch API: requests gathered into files with their money, followed to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.runtime.ask import Ask
from penstock.runtime.batch_errand import Errand, Tell
from penstock.runtime.batch_lines import (
    BatchRow,
    End,
    Filled,
    Filling,
    Known,
    Line,
    Room,
    end_lines,
    fill_files,
    find_known,
    put_lines,
    run_named,
    to_batch,
)
from penstock.runtime.call import Caller
from penstock.runtime.ledger import Wish, budget_reached
from penstock.runtime.store import Store
from penstock.vendor import openai_batches as vendor

LOOK_SECONDS = 60.0
"""Between looks at what other processes wrote: a webhook that came in, a batch that was cancelled."""
WHOLE_FILE = Room(vendor.MOST_LINES, vendor.MOST_BYTES, vendor.MOST_INPUTS, float("inf"))


class Batches:
    """The batches of one store. `room` is what one file may hold, the vendor's own limits by default."""

    def __init__(self, store: Store, caller: Caller, clock: Clock, room: Room = WHOLE_FILE) -> None:
        self.store = store
        self.caller = caller
        self.clock = clock
        self.room = room
        self._errand = Errand(store, caller, clock)
        self._change = asyncio.Event()

    async def put(self, asks: Sequence[Ask], *, run: str, flow: str) -> int:
        """Keep requests until they are submitted; returns how many were new."""
        lines = [self._line(ask, run, flow) for ask in asks]
        return await self.store.batch(put_lines, lines) if lines else 0

    def _line(self, ask: Ask, run: str, flow: str) -> Line:
        key = self.caller.address(ask)
        texts = ask.body.get("input") if ask.path == "/embeddings" else None
        inputs = len(texts) if isinstance(texts, list) else 1
        most = self.caller.estimate(msgspec.structs.replace(ask, tier="batch")).most
        size = len(vendor.write_line(key.hex(), ask.path, ask.content))
        return Line(self.store.next_number(), key, ask, run, flow, size, inputs, most)

    async def known(self, keys: Sequence[bytes]) -> dict[bytes, Known]:
        """Return what is known of requests by their addresses."""
        return await self.store.look(lambda tx: find_known(tx, keys))

    async def count(self, run: str) -> dict[str, int]:
        """Return how many requests of a run there are by state, and under `used` the tokens of those answered."""
        rows = await self.store.read("lines_of_run", run=run)
        return {**{str(row[0]): int(row[1]) for row in rows}, "used": sum(int(row[2]) for row in rows)}

    async def forget(self, run: str) -> None:
        """Drop the requests of a run that is over."""
        await self._note("drop_lines", run=run)

    async def forget_earlier(self, run: str, flow: str) -> None:
        """Drop what earlier runs of a flow left, except what is in a batch."""
        await self._note("drop_earlier_lines", run=run, flow=flow)

    async def hear(self, vendor_id: str) -> None:
        """Look at a batch at once, as a webhook asks; the process that follows it need not be this one."""
        await self._note("batch_told", vendor_id=vendor_id)
        self._change.set()

    async def cancel(self, batch: BatchRow) -> None:
        """Ask the vendor for the end of a batch; who follows it saves what it has answered, and stops."""
        await self._errand.cancel(batch)
        await self.hear(batch.vendor_id)

    # following a run

    async def work_off(self, run: str, flow: str, *, switch_at: float, stop: asyncio.Event, tell: Tell) -> None:
        """Submit what waits of a run and save what comes back, until nothing of it is under way, or `stop` is set.

        From `switch_at` on nothing is submitted any more and what is under way is called off. Raises what
        concerns every request alike: budget, quota, keys, and a batch that a person cancelled.
        """
        short: Filled | None = None
        known: float = float("inf")
        while not stop.is_set():
            is_late = self.clock.now() >= switch_at
            followed = await self._follow(run, flow)
            if not is_late and len(followed) < known:  # the first time, or one has ended: lines and money came back
                short = await self._fill(run, flow)
                followed = await self._follow(run, flow)
            known = len(followed)
            if not followed and (is_late or not (await self.count(run)).get("waiting")):
                return
            for batch in followed:
                await self._errand.advance(batch, is_late, tell)
                if stop.is_set():
                    return
            if followed:
                await self._wait(await self._seconds_left(run, flow, switch_at), stop)
            else:
                await self._wait_for_room(short, stop)
                known = float("inf")

    async def _follow(self, run: str, flow: str) -> list[BatchRow]:
        """Return the batches of a run, of earlier runs of its flow, and those that a dead process left behind."""
        rows = await self._open()
        others = {batch.session for batch in rows if batch.run != run}
        dead = set(await self.store.find_dead(others)) if others else set()
        followed = [batch for batch in rows if batch.run == run or batch.flow == flow or batch.session in dead]
        mine = self.store.session
        for batch in followed:
            if batch.session != mine:
                await self._note("claim_batch", id=batch.id, session=mine)
        return followed

    async def _open(self) -> list[BatchRow]:
        return [to_batch(row) for row in await self.store.read("batches_open")]

    async def _seconds_left(self, run: str, flow: str, switch_at: float) -> float:
        """Return how long nothing is due."""
        now = self.clock.now()
        due = [batch.due_at for batch in await self._open() if batch.run == run or batch.flow == flow]
        until = min([*due, *([switch_at] if switch_at > now else [])], default=now) if due else now
        return min(max(until - now, 0.0), LOOK_SECONDS)

    async def _wait(self, seconds: float, stop: asyncio.Event) -> None:
        """Wait, or until somebody tells of a batch, or `stop` is set."""
        self._change.clear()
        tasks = [asyncio.ensure_future(one) for one in (self._change.wait(), stop.wait(), self.clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _wait_for_room(self, short: Filled | None, stop: asyncio.Event) -> None:
        """Wait for others to settle or to leave the queue; raises `StoppedError` when what waits can never fit."""
        if short is not None and short.refusal is not None and short.refusal.is_final(short.wanted):
            raise budget_reached(short.refusal, short.wanted)
        await self._wait(LOOK_SECONDS, stop)
        await self.caller.ledger.recover()

    # filling files

    async def _fill(self, run: str, flow: str) -> Filled | None:
        """Gather what waits into files, as far as money and the vendor's queue allow; returns what money did not."""
        short = None
        for connection, path, model, _count, _tokens in await self.store.read("kinds_waiting", run=run):
            while True:
                tokens = await self._room_in_queue(connection, model)
                room = msgspec.structs.replace(self.room, tokens=tokens)
                filled = await self._fill_one(run, flow, connection, path, model, room)
                if filled.refusal is not None:
                    short = filled
                if not filled.lines or filled.refusal is not None:
                    break
            if filled.refusal is None and tokens < self.room.tokens:
                await self._let_go(run, connection, path, model)
        return short

    async def _fill_one(self, run: str, flow: str, connection: str, path: str, model: str, room: Room) -> Filled:
        name = self.clock.new_id("batch")

        def wish(ask: bytes, most: int | None) -> Wish:
            operation = msgspec.json.decode(ask, type=_Named).operation
            return self.caller.ledger.wish(
                operation=operation,
                connection=connection,
                model=model,
                tier="batch",
                worst_case=most,
                run=run,
                flow=flow,
                owner=name,
            )

        filling = Filling(name, run, flow, connection, path, model, self.store.session, room, self.clock.now(), wish)
        return await self.store.batch(fill_files, filling)

    async def _room_in_queue(self, connection: str, model: str) -> float:
        """Return how many input tokens may still be queued for a model, as far as that is known."""
        most = self._errand.pool.get((self.caller.connection(connection).quota_account, model))
        if most is None:
            return self.room.tokens
        queued = sum(row.tokens for row in await self._open() if row.connection == connection and row.model == model)
        return min(max(most - queued, 0.0), self.room.tokens)

    async def _let_go(self, run: str, connection: str, path: str, model: str) -> None:
        """Have a request bought live that is larger than the whole queue of its model, once that is empty."""
        if any(row.connection == connection and row.model == model for row in await self._open()):
            return
        kind = {"run": run, "connection": connection, "path": path, "model": model}
        waiting = await self.store.read("lines_waiting", **kind, after=0, limit=1)
        await self.store.batch(end_lines, [End(row[0], "live") for row in waiting])

    async def _note(self, name: str, **values: Any) -> None:
        await self.store.batch(run_named, (name, values))


class _Named(msgspec.Struct):
    operation: str


async def list_batches(store: Store, *, batch: str = "", limit: int = 100) -> list[BatchRow]:
    """Return batches, newest first."""
    return [to_batch(row) for row in await store.read("batches", id=batch, limit=limit)]
