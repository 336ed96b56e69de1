"""Lets a run of a source that knows its changes read only those, and notices which records are gone.

What was not changed is not read again only as long as nothing else that a result rests on has changed: the flow file,
the operations, the models. Where a flow joins other sources or judges anew by age, every run reads everything.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from penstock.base.types import ChangingSource
from penstock.flows.bench import Bench
from penstock.flows.model import Flow
from penstock.flows.work import fold_key
from penstock.runtime.store import Store
from penstock.runtime.watermarks import Gone, Watermark, Watermarks

COMPARE_AFTER = 86_400.0
"""What is kept is compared with what is there at most once a day, and only when records seem to be missing."""

COMPARE_ANYWAY = 7 * 86_400.0
"""After a week it is compared whether something seems to be missing or not."""


class Increments:
    """What one flow has read of its source up to now; without effect where the source cannot tell its changes."""

    def __init__(self, flow: Flow, bench: Bench) -> None:
        self._flow = flow
        self._bench = bench
        self._marks = Watermarks(bench.caller.answers.store, flow.name)
        source = bench.source
        is_used = isinstance(source, ChangingSource) and source.has_changes
        self._source = source if isinstance(source, ChangingSource) and is_used else None

    @property
    def reads_changes(self) -> bool:
        """Whether an unchanged record may be left unread."""
        expires = self._flow.expire
        return not self._flow.joins and (expires is None or expires.then != "recompute")

    async def begin(self, run: str = "") -> None:
        """Let the source go on from where the last run ended, unless results would come out otherwise now.

        A `run` that begins notes what its results rest on, for another process may go on with it.
        """
        if self._source is None:
            return
        if run and await self._marks.find(_name_run(run)) is None:
            now = self._bench.clock.now()
            await self._marks.save(_name_run(run), Watermark(self._basis(), {}, None, now, now))
        if self._bench.is_whole or not self.reads_changes:
            return
        mark = await self._marks.find(self._source.identity())
        if mark is None or mark.basis != self._basis():
            return
        if self._flow.consent.objected == "clear" and await self._marks.count_objections(mark.at):
            return  # what was written for them is cleared where they are met
        self._source.start_from(mark.place)

    async def end(self, cursor: dict[str, Any] | None, run: str) -> int:
        """Note where a run ended that drained its source; returns how many records turned out to be gone.

        Nothing is noted of a run whose first records were judged otherwise than its last: the next one reads all.
        """
        if self._source is None:
            return 0
        place = self._source.watermark_of(cursor)
        if place is None:
            return 0
        now = self._bench.clock.now()
        name = self._source.identity()
        begun = await self._marks.find(_name_run(run))
        if begun is None or begun.basis != self._basis():
            await self._marks.forget()
            return 0
        before = await self._marks.find(name)
        total = await self._source.total()
        gone, compared = 0, before.reconciled_at if before is not None else now
        if before is not None and self._source.knows_gone and self._must_compare(before, total, now):
            gone, compared = await self._close_gone(now), now
        await self._marks.save(name, Watermark(self._basis(), place, total, now, compared))
        await self._marks.forget_runs()
        return gone

    def _must_compare(self, before: Watermark, total: int | None, now: float) -> bool:
        age = now - before.reconciled_at
        seems_missing = total is None or before.total is None or total < before.total
        return age >= COMPARE_ANYWAY or (age >= COMPARE_AFTER and seems_missing)

    async def _close_gone(self, now: float) -> int:
        assert self._source is not None  # noqa: S101 - asked only after it was looked at
        there = sqlite3.connect("")  # on disk when it grows, gone when closed
        try:
            there.execute("create table there (key text primary key) without rowid")
            async for keys in self._source.all_keys():
                there.executemany("insert or ignore into there values (?)", [(key,) for key in keys])
            count = 0
            async for kept in self._marks.kept_keys():
                marks = ",".join("?" * len(kept))
                held = there.execute(f"select key from there where key in ({marks})", [key for key, _ in kept])
                known = {row[0] for row in held}
                gone = [self._name(key, place) for key, place in kept if key not in known]
                await self._marks.close(gone, now)
                count += len(gone)
            return count
        finally:
            there.close()

    def _name(self, key: str, place: str) -> Gone:
        """Name a record that is gone as writes about it were named: by address, id or outside id."""
        kind, _, value = key.partition(":")
        matches = (
            [f"{kind}={value}"] if kind in ("ext_id", "id") and value else [f"email={fold_key(key)}", f"ext_id={key}"]
        )
        number = place.rpartition(" ")[2]
        matches += [f"id={number}"] if number.isdecimal() else []
        lists = [one for target in self._flow.targets for one in target.lists]
        return Gone(key, tuple(name for match in matches for name in (match, *(f"{match}|{one}" for one in lists))))

    def _basis(self) -> str:
        digest = hashlib.blake2b(self._flow.hash.encode(), digest_size=12)
        for step in self._flow.steps:
            choice = self._bench.others.get(step.operation.kind, self._bench.choice)
            digest.update(repr((step.operation.name, step.operation.version, choice.model.id, choice.tier)).encode())
        return digest.hexdigest()


def _name_run(run: str) -> str:
    return f"run {run}"


async def forget_progress(store: Store, flow: str) -> None:
    """Let the next run of a flow read everything."""
    await Watermarks(store, flow).forget()
