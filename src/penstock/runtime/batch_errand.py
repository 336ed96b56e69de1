"""One batch on its way: uploaded, created, looked at, called off, and its lines saved one by one.

Every step is on disk before the next one leaves, so a process that dies anywhere is followed by one that goes on:
a file that was filled is sent, a batch whose creation was not confirmed is looked for, a result that was half saved
is read again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import (
    PenstockError,
    RejectedError,
    StoppedError,
    ThrottledError,
    UnavailableError,
    VendorError,
)
from penstock.runtime.batch_lines import BatchRow, Sent, State, end_lines, run_named, to_sent
from penstock.runtime.batch_results import read_end, read_faults
from penstock.runtime.call import Caller
from penstock.runtime.store import Store
from penstock.vendor import openai_batches as vendor

T = TypeVar("T")
Tell = Callable[[str], None]

FIRST_POLL, POLL_GROWTH, LONGEST_POLL, LATE_POLL = 2.0, 1.5, 300.0, 15.0
SAVED_AT_ONCE = 500
"""Answers of one transaction."""
FIRST_WAIT, LONGEST_WAIT, MOST_TRIES = 1.0, 60.0, 12
_SKEW_SECONDS = 3600.0
"""How far the vendor's clock may be from ours when a batch is looked for."""
_LISTED_SECONDS = 5.0
"""A batch may not be listed at once."""
_SHRINK = 0.7
"""What is queued next where a stated limit was refused again: the vendor counts tokens otherwise than we do."""


class Errand:
    """Brings batches from one state to the next."""

    def __init__(self, store: Store, caller: Caller, clock: Clock) -> None:
        self.store = store
        self.caller = caller
        self.clock = clock
        self.pool: dict[tuple[str, str], float] = {}
        """Input tokens that may wait at once, by quota account and model, as refusals taught."""
        self._cancelled: set[str] = set()

    async def advance(self, batch: BatchRow, is_late: bool, tell: Tell) -> None:
        """Bring a batch as far as it comes now; raises what must stop its run."""
        if batch.state == "prepared" and is_late:
            await self._end_all(batch, "waiting", "called off before it was sent")
        elif batch.state in ("prepared", "creating"):
            await self._submit(batch, tell)
        elif is_late and batch.id not in self._cancelled:
            tell(f"Batch {batch.id} is called off: what it has not answered by then is bought live.")
            with suppress(VendorError):  # it may have ended just now; else it is tried at the next look
                await self.cancel(batch)
                self._cancelled.add(batch.id)
            await self._look(batch, is_late, tell)
        elif batch.due_at <= self.clock.now():
            await self._look(batch, is_late, tell)

    async def cancel(self, batch: BatchRow) -> None:
        """Ask the vendor for the end of a batch; what it has answered by then is delivered and billed."""
        await self._door(batch).cancel(batch.vendor_id, f"{batch.id}-cancel")

    def _door(self, batch: BatchRow) -> vendor.Batches:
        return vendor.Batches(self.caller.connection(batch.connection))

    # submitting

    async def _submit(self, batch: BatchRow, tell: Tell) -> None:
        """Upload and create; a creation whose reply was lost is looked for before it is repeated."""
        try:
            if batch.state == "prepared":
                batch = await self._upload(batch)
                found = await self._create(batch)
            else:  # a process died here, or the reply was lost
                found = await self._find(batch) or await self._create(batch)
        except RejectedError as error:
            await self._end_all(batch, "live", "refused", error.code)  # live calls tell what is wrong with each
            return
        now = self.clock.now()
        known = {"vendor_id": found.id, "status": found.status, "at": now, "due_at": now + FIRST_POLL}
        await self._note("batch_created", batch, **known)
        tell(f"Batch {batch.id} is with the vendor: {batch.lines:,} requests to {batch.model}.")

    async def _upload(self, batch: BatchRow) -> BatchRow:
        parts: list[bytes] = []  # one line a request, in the order of their numbers
        async for sent in self._sent(batch.id):
            parts += [vendor.write_line(one.custom_id, one.ask.path, one.ask.content) for one in sent]
        content = b"".join(parts)
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

    # looking

    async def _look(self, batch: BatchRow, is_late: bool, tell: Tell) -> None:
        """Ask the vendor how far a batch is; what has ended is saved."""
        try:
            seen = await self._try(lambda: self._door(batch).show(batch.vendor_id))
        except RejectedError as error:
            await self._end_all(batch, "waiting", "gone", error.code, is_unknown=True)
            return
        wait = min(FIRST_POLL * POLL_GROWTH ** min(batch.polls + 1, 40), LATE_POLL if is_late else LONGEST_POLL)
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

    # saving

    async def _save(self, batch: BatchRow, seen: vendor.Batch) -> PenstockError | None:
        """Keep every line of a batch that has ended; returns what must stop its run. May be done again."""
        stop = seen.find_stop()
        is_refused = seen.status == "failed"
        if is_refused and seen.is_too_much:
            self._learn_pool(batch, seen)
            await self._end_all(batch, "waiting", seen.status, seen.faults[0].code)
            return None
        if is_refused:
            await self._let_go_faulty(batch, {fault.line for fault in seen.faults if fault.line})
        for file in (seen.output_file, seen.error_file):
            if file:
                stop = await self._save_file(batch, file) or stop
        attempt = 0 if seen.status == "cancelled" or stop is not None else 1
        async for sent in self._sent(batch.id):  # those of which nothing was said
            now = self.clock.now()
            ends = [read_end(self.caller, batch, one, None, now, attempt, is_unknown=not is_refused) for one in sent]
            await self.store.batch(end_lines, ends)
        self.caller.ledger.wake()
        await self._over(batch, seen.status, ", ".join(dict.fromkeys(fault.code for fault in seen.faults[:3])))
        for file in (batch.file, seen.output_file, seen.error_file):  # they hold what was asked
            with suppress(VendorError):
                if file:
                    await self._door(batch).delete(file, f"{batch.id}-delete")
        return stop

    def _learn_pool(self, batch: BatchRow, seen: vendor.Batch) -> None:
        key = (self.caller.connection(batch.connection).quota_account, batch.model)
        stated = read_faults(seen.faults) or batch.tokens / 2
        before = self.pool.get(key)
        self.pool[key] = stated if before is None else min(stated, _SHRINK * before)

    async def _let_go_faulty(self, batch: BatchRow, faulty: set[int]) -> None:
        """Have those lines bought live at which a file was refused as a whole: they count from 1 in its order."""
        if not faulty:
            return
        number = 0
        async for sent in self._sent(batch.id):
            ends = []
            for one in sent:
                number += 1
                if number in faulty:
                    end = read_end(self.caller, batch, one, None, self.clock.now(), 0)
                    ends.append(msgspec.structs.replace(end, state="live"))
            await self.store.batch(end_lines, ends)

    async def _save_file(self, batch: BatchRow, file: str) -> PenstockError | None:
        try:
            content = await self._try(lambda: self._door(batch).download(file))
        except RejectedError:  # it is gone: what it said of its lines will never be known
            return None
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
        waiting = {one.custom_id: one for one in (to_sent(row) for row in found if row[7] == batch.id)}
        now, ends, stop = self.clock.now(), [], None
        for row in rows:
            one = waiting.pop(row.custom_id, None)  # saved before, or a second line of the same name
            if one is None:
                continue
            ends.append(read_end(self.caller, batch, one, row, now, 1))
            error = row.exchange.error
            stop = error if error is not None and error.recovery == "stop" else stop
        await self.store.batch(end_lines, ends)
        return stop

    async def _end_all(
        self, batch: BatchRow, state: State, status: str, problem: str = "", *, is_unknown: bool = False
    ) -> None:
        """End every request of a batch that gives no answers in the same way."""
        async for sent in self._sent(batch.id):
            now = self.clock.now()
            ends = [read_end(self.caller, batch, one, None, now, 0, is_unknown=is_unknown) for one in sent]
            await self.store.batch(end_lines, [msgspec.structs.replace(end, state=state) for end in ends])
        self.caller.ledger.wake()
        await self._over(batch, status, problem)

    async def _sent(self, batch: str) -> AsyncIterator[list[Sent]]:
        after = 0
        while True:
            rows = await self.store.read("lines_batched", batch=batch, after=after, limit=SAVED_AT_ONCE)
            if not rows:
                return
            yield [to_sent(row) for row in rows]
            after = rows[-1][0]

    async def _over(self, batch: BatchRow, status: str, problem: str) -> None:
        await self._note("batch_over", batch, status=status, problem=problem, at=self.clock.now())

    async def _note(self, name: str, batch: BatchRow, **values: Any) -> None:
        await self.store.batch(run_named, (name, {"id": batch.id, **values}))

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
