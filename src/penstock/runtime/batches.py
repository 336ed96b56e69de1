"""Buys answers through the vendor's Batch API: gathered into files, submitted, awaited, and saved one by one.

Every step is on disk before the next one leaves, so a process that dies anywhere is followed by one that goes on:
a file that was filled is sent, a batch whose creation was not confirmed is looked for, a result that was half saved
is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError, StoppedError, ThrottledError, UnavailableError, VendorError
from penstock.runtime.ask import Ask
from penstock.runtime.batch_lines import (
    BatchRow,
    End,
    Filled,
    Filling,
    Known,
    Line,
    Room,
    Sent,
    end_lines,
    fill_files,
    find_known,
    put_lines,
    to_batch,
    to_sent,
)
from penstock.runtime.batch_results import read_end, read_faults
from penstock.runtime.call import Caller
from penstock.runtime.dialects import Tx
from penstock.runtime.ledger import Wish, budget_reached
from penstock.runtime.store import Store
from penstock.vendor import openai_batches as vendor

T = TypeVar("T")
Tell = Callable[[str], None]

FIRST_POLL, POLL_GROWTH, LONGEST_POLL = 2.0, 1.5, 300.0
LOOK_SECONDS = 30.0
"""Between looks at what other processes wrote: a webhook that came in, a batch that was cancelled."""
SAVED_AT_ONCE = 500
"""Answers of one transaction."""
FIRST_WAIT, LONGEST_WAIT, MOST_TRIES = 1.0, 60.0, 12
_SKEW_SECONDS = 3600.0
"""How far the vendor's clock may be from ours when a batch is looked for."""
_LISTED_SECONDS = 5.0
"""A batch may not be listed at once."""
_EMPTY = Room(vendor.MOST_LINES, vendor.MOST_BYTES, vendor.MOST_INPUTS, float("inf"))


class Batches:
    """The batches of one store. `room` is what one file may hold, the vendor's own limits by default."""

    def __init__(self, store: Store, caller: Caller, clock: Clock, room: Room = _EMPTY) -> None:
        self.store = store
        self.caller = caller
        self.clock = clock
        self.room = room
        self._pool: dict[tuple[str, str], float] = {}
        """Input tokens that may wait at once, by account and model, as refusals taught."""
        self._change = asyncio.Event()
        self._cancelled: set[str] = set()

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
        await self.store.batch(_run_named, ("drop_lines", {"run": run}))

    async def hear(self, vendor_id: str) -> None:
        """Look at a batch at once, as a webhook asks; the process that follows it need not be this one."""
        await self.store.batch(_run_named, ("batch_told", {"vendor_id": vendor_id}))
        self._change.set()

    # following a run

    async def work_off(self, run: str, flow: str, *, switch_at: float, stop: asyncio.Event, tell: Tell) -> None:
        """Submit what waits of a run and save what comes back, until nothing of it is under way, or `stop` is set.

        From `switch_at` on nothing is submitted any more and what is under way is called off. Raises what
        concerns every request alike: budget, quota, keys, and a batch that a person cancelled.
        """
        while not stop.is_set():
            is_late = self.clock.now() >= switch_at
            refusal = None if is_late else await self._fill(run, flow)
            followed = await self._open(run)
            if not followed:
                if refusal is not None:
                    raise budget_reached(refusal.refusal, refusal.wanted) if refusal.refusal else _stuck()
                return
            for batch in followed:
                await self._advance(batch, is_late, tell)
                if stop.is_set():
                    return
            await self._wait(run, switch_at, stop)

    async def _open(self, run: str) -> list[BatchRow]:
        """Return the batches of a run, and those that a dead process left behind."""
        rows = [to_batch(row) for row in await self.store.read("batches_open")]
        others = {batch.session for batch in rows if batch.run != run}
        dead = set(await self.store.find_dead(others)) if others else set()
        followed = [batch for batch in rows if batch.run == run or batch.session in dead]
        mine = self.store.session
        for batch in followed:
            if batch.session != mine:
                await self.store.batch(_run_named, ("claim_batch", {"id": batch.id, "session": mine}))
        return followed

    async def _wait(self, run: str, switch_at: float, stop: asyncio.Event) -> None:
        """Wait until a batch is due, somebody tells of one, or `stop` is set."""
        due = [batch.due_at for batch in await self._open(run)]
        now = self.clock.now()
        if not due:
            return
        until = min([*due, *([switch_at] if switch_at > now else [])])
        seconds = min(max(until - now, 0.0), LOOK_SECONDS)
        self._change.clear()
        tasks = [asyncio.ensure_future(one) for one in (self._change.wait(), stop.wait(), self.clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    # filling files

    async def _fill(self, run: str, flow: str) -> Filled | None:
        """Gather all that waits into files, as far as money and the vendor's queue allow; returns what did not fit."""
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
            if short is None and not filled.lines and tokens < self.room.tokens:
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
        most = self._pool.get((self.caller.connection(connection).quota_account, model), float("inf"))
        if most == float("inf"):
            return most
        rows = [to_batch(row) for row in await self.store.read("batches_open")]
        queued = sum(row.tokens for row in rows if row.connection == connection and row.model == model)
        return max(most - queued, 0.0)

    async def _let_go(self, run: str, connection: str, path: str, model: str) -> None:
        """Have a request bought live that is larger than the whole queue of its model."""
        rows = [to_batch(row) for row in await self.store.read("batches_open")]
        if any(row.connection == connection and row.model == model for row in rows):
            return  # the queue empties first
        kind = {"run": run, "connection": connection, "path": path, "model": model}
        waiting = await self.store.read("lines_waiting", **kind, after=0, limit=1)
        await self.store.batch(end_lines, [End(row[0], "live") for row in waiting])

    # one batch

    async def _advance(self, batch: BatchRow, is_late: bool, tell: Tell) -> None:
        """Bring a batch as far as it comes now."""
        if batch.state == "prepared" and is_late:
            await self._put_back(batch, "called off before it was sent")
            return
        if batch.state in ("prepared", "creating"):
            await self._submit(batch, tell)
            return
        if is_late and batch.id not in self._cancelled and batch.vendor_id:
            self._cancelled.add(batch.id)
            tell(f"The deadline is near: batch {batch.id} is called off, what it has not answered is bought live.")
            with suppress(VendorError):  # it may have ended just now
                await self._try(lambda: self._door(batch).cancel(batch.vendor_id, f"{batch.id}-cancel"))
        if batch.due_at <= self.clock.now():
            await self._look(batch, is_late, tell)

    def _door(self, batch: BatchRow) -> vendor.Batches:
        return vendor.Batches(self.caller.connection(batch.connection))

    async def _submit(self, batch: BatchRow, tell: Tell) -> None:
        """Upload and create; a creation whose reply was lost is looked for before it is repeated."""
        try:
            if batch.state == "prepared":
                batch = await self._upload(batch)
                found = await self._create(batch)
            else:  # a process died here, or the reply was lost
                found = await self._find(batch) or await self._create(batch)
        except VendorError as error:
            if error.recovery != "isolate":
                raise
            await self._end_all(batch, "live", "refused", error)  # live calls say what is wrong with each request
            return
        now = self.clock.now()
        known = {"vendor_id": found.id, "status": found.status, "at": now, "due_at": now + FIRST_POLL}
        await self._note("batch_created", batch, **known)
        tell(f"Batch {batch.id} is with the vendor: {batch.lines:,} requests to {batch.model}.")

    async def _upload(self, batch: BatchRow) -> BatchRow:
        content = await self._content(batch)
        file = await self._try(lambda: self._door(batch).upload(f"{batch.id}.jsonl", content, f"{batch.id}-file"))
        await self._note("batch_creating", batch, file=file)
        return msgspec.structs.replace(batch, state="creating", file=file)

    async def _create(self, batch: BatchRow) -> vendor.Batch:
        """Create a batch; whenever the reply is lost it is looked for before another try."""
        for tried in range(MOST_TRIES):
            try:
                return await self._door(batch).create(batch.path, batch.file, batch.id, batch.id)
            except (ThrottledError, UnavailableError) as error:
                if tried + 1 >= MOST_TRIES:
                    raise
                await self.clock.sleep(max(self._pause(tried), error.retry_after or 0.0))
                found = await self._find(batch) if isinstance(error, UnavailableError) else None
                if found is not None:
                    return found
        raise AssertionError

    async def _find(self, batch: BatchRow) -> vendor.Batch | None:
        await self.clock.sleep(_LISTED_SECONDS)
        return await self._try(lambda: self._door(batch).find(batch.id, batch.reserved_at - _SKEW_SECONDS))

    async def _content(self, batch: BatchRow) -> bytes:
        """Return the input file: one line a request, in the order of their numbers."""
        parts: list[bytes] = []
        async for sent in self._sent(batch.id):
            parts += [vendor.write_line(one.custom_id, one.ask.path, one.ask.content) for one in sent]
        return b"".join(parts)

    async def _sent(self, batch: str) -> Any:
        after = 0
        while True:
            rows = await self.store.read("lines_batched", batch=batch, after=after, limit=SAVED_AT_ONCE)
            if not rows:
                return
            yield [to_sent(row) for row in rows]
            after = rows[-1][0]

    async def _look(self, batch: BatchRow, is_late: bool, tell: Tell) -> None:
        """Ask the vendor how far a batch is; what has ended is saved."""
        seen = await self._try(lambda: self._door(batch).show(batch.vendor_id))
        wait = min(FIRST_POLL * POLL_GROWTH ** min(batch.polls + 1, 40), LONGEST_POLL)
        due_at = self.clock.now() + wait * (0.9 + 0.2 * self.clock.random())
        row = {"status": seen.status, "completed": seen.completed, "failed": seen.failed, "due_at": due_at}
        await self._note("batch_seen", batch, **row)
        if not seen.is_ended:
            if seen.completed + seen.failed != batch.completed + batch.failed:
                tell(f"Batch {batch.id}: {seen.completed + seen.failed:,} of {batch.lines:,} requests are done.")
            return
        tell(f"Batch {batch.id} is {seen.status}: {seen.completed:,} answers, {seen.failed:,} without.")
        stop = await self._save(batch, seen)
        if stop is None and seen.status == "cancelled" and not is_late:
            stop = StoppedError(
                f"the batch {batch.id} was cancelled",
                code="batch.cancelled",
                hint="What it had answered is kept. Run the same command again to submit the rest, or with --by now.",
            )
        if stop is not None:
            raise stop

    # results

    async def _save(self, batch: BatchRow, seen: vendor.Batch) -> PenstockError | None:
        """Keep every line of a batch that has ended; returns what must stop the run. May be done again."""
        stop = seen.find_stop()
        if seen.status == "failed" and seen.faults:
            await self._take_faults(batch, seen)
        for file in (seen.output_file, seen.error_file):
            if file:
                stop = await self._save_file(batch, file) or stop
        attempts = 0 if seen.status == "cancelled" or stop is not None else 1
        async for sent in self._sent(batch.id):  # those of which nothing was said
            ends = [read_end(self.caller, batch, one, None, self.clock.now(), attempts) for one in sent]
            await self.store.batch(end_lines, ends)
        await self._over(batch, seen.status, "; ".join(fault.code for fault in seen.faults[:3]))
        await self._clean_up(batch, seen)
        return stop

    async def _save_file(self, batch: BatchRow, file: str) -> PenstockError | None:
        content = await self._try(lambda: self._door(batch).download(file))
        host = self.caller.connection(batch.connection).host
        stop: PenstockError | None = None
        rows: list[vendor.Row] = []
        for row in vendor.read_rows(content, host):
            rows.append(row)
            if len(rows) >= SAVED_AT_ONCE:
                stop = await self._save_rows(batch, rows) or stop
                rows = []
        return await self._save_rows(batch, rows) or stop

    async def _save_rows(self, batch: BatchRow, rows: Sequence[vendor.Row]) -> PenstockError | None:
        if not rows:
            return None
        names = list(dict.fromkeys(row.custom_id for row in rows))
        found = await self.store.look(lambda tx: tx.fetch_keys("lines_by_name", names))
        sent = {one.custom_id: one for one in (to_sent(row) for row in found if row[7] == batch.id)}
        now, ends, stop = self.clock.now(), [], None
        for row in rows:
            one: Sent | None = sent.pop(row.custom_id, None)  # known once: a second line of the same name is left out
            if one is None:
                continue
            ends.append(read_end(self.caller, batch, one, row, now, 1))
            error = row.exchange.error
            stop = error if error is not None and error.recovery == "stop" else stop
        await self.store.batch(end_lines, ends)
        self.caller.ledger.wake()
        return stop

    async def _take_faults(self, batch: BatchRow, seen: vendor.Batch) -> None:
        """Learn from a file that was refused as a whole, and let go of the lines that were at fault."""
        if seen.is_too_much:
            account = self.caller.connection(batch.connection).quota_account
            self._pool[account, batch.model] = read_faults(seen.faults) or max(batch.tokens // 2, 1)
            await self._end_all(batch, "waiting", seen.status, None)
        wrong = {fault.line for fault in seen.faults if fault.line}
        number = 0
        async for sent in self._sent(batch.id):
            ends = []
            for one in sent:
                number += 1
                if number in wrong:
                    end = read_end(self.caller, batch, one, None, self.clock.now(), 0)
                    ends.append(msgspec.structs.replace(end, state="live"))
            await self.store.batch(end_lines, ends)

    async def _put_back(self, batch: BatchRow, problem: str) -> None:
        await self._end_all(batch, "waiting", problem, None)

    async def _end_all(self, batch: BatchRow, state: Any, status: str, error: PenstockError | None) -> None:
        """End every request of a batch that was never executed in the same way."""
        async for sent in self._sent(batch.id):
            ends = [read_end(self.caller, batch, one, None, self.clock.now(), 0) for one in sent]
            await self.store.batch(end_lines, [msgspec.structs.replace(end, state=state) for end in ends])
        self.caller.ledger.wake()
        await self._over(batch, status, error.code if error is not None else "")

    async def _over(self, batch: BatchRow, status: str, problem: str) -> None:
        await self._note("batch_over", batch, status=status, problem=problem, at=self.clock.now())

    async def _clean_up(self, batch: BatchRow, seen: vendor.Batch) -> None:
        """Delete what the vendor keeps of it, since it holds what was asked; files left behind expire by themselves."""
        for file in (batch.file, seen.output_file, seen.error_file):
            with suppress(VendorError):
                if file:
                    await self._door(batch).delete(file, f"{batch.id}-delete")

    async def cancel(self, batch: BatchRow) -> None:
        """Ask the vendor for the end of a batch; who follows it saves what it has answered."""
        await self._try(lambda: self._door(batch).cancel(batch.vendor_id, f"{batch.id}-cancel"))
        await self.hear(batch.vendor_id)

    async def _note(self, name: str, batch: BatchRow, **values: Any) -> None:
        await self.store.batch(_run_named, (name, {"id": batch.id, **values}))

    async def _try(self, send: Callable[[], Awaitable[T]]) -> T:
        """Repeat what may be repeated while the vendor is too busy or away."""
        for tried in range(MOST_TRIES):
            try:
                return await send()
            except (UnavailableError, ThrottledError) as error:
                if tried + 1 >= MOST_TRIES:
                    raise
                await self.clock.sleep(max(self._pause(tried), error.retry_after or 0.0))
        raise AssertionError

    def _pause(self, tried: int) -> float:
        return min(FIRST_WAIT * 2.0**tried, LONGEST_WAIT) * (0.75 + self.clock.random() / 2)


class _Named(msgspec.Struct):
    operation: str


def _stuck() -> StoppedError:
    return StoppedError("nothing can be submitted", code="batch.stuck", hint="Run the same command with --by now.")


def _run_named(tx: Tx, items: Sequence[tuple[str, dict[str, Any]]]) -> list[None]:
    for name, values in items:
        tx.run(name, values)
    return [None] * len(items)


async def list_batches(store: Store, *, batch: str = "", limit: int = 100) -> list[BatchRow]:
    """Return batches, newest first."""
    return [to_batch(row) for row in await store.read("batches", id=batch, limit=limit)]
