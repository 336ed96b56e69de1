"""Runs a flow durably: pages of a source in, results and intended writes out, resumable at any point.

Each page ends in one place: its results are kept, its writes are planned, then the cursor
moves. Whatever a crash interrupts is met again from the cursor, and costs nothing because
answers and confirmed writes are held.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.base.errors import PenstockError, StoppedError
from penstock.base.types import Outcome, Page, Problem, Sink
from penstock.flows.bench import PAGE, Bench
from penstock.flows.collect import Collecting
from penstock.flows.delivery import Delivery
from penstock.flows.effects import sink_name
from penstock.flows.increments import Increments
from penstock.flows.judge import fill_joins
from penstock.flows.kept import Counts, Effect, Letter
from penstock.flows.keys import Keys, Repeats
from penstock.flows.model import Flow
from penstock.flows.pages import Here, PageRunner, PageWorker, Tally
from penstock.flows.state import FlowState
from penstock.flows.sweep import plan_expired
from penstock.runtime.progress import Progress

WRITE_EVERY = 60.0
"""Seconds between deliveries while a long source is still being read."""


@dataclass(slots=True)
class Report:
    """How a run ended."""

    run: str
    flow: str
    state: str
    counts: Counts
    seconds: float
    resumed: bool
    problem: PenstockError | None = None
    failures: list[Problem] = field(default_factory=list)
    """The first dead letters, as examples."""

    @property
    def exit_code(self) -> int:
        """The shell's exit code: 0 done, 3 some records failed, else that of what stopped the run."""
        if self.problem is not None:
            return self.problem.exit_code
        return 3 if self.counts.failed or self.counts.rejected or self.counts.refused else 0


class Run:
    """One run of one flow."""

    def __init__(self, flow: Flow, bench: Bench, run: str, progress: Progress, pages: PageRunner | None = None) -> None:
        """Prepare a run; `pages` decides where pages are worked on (None: here, without a job each)."""
        self.flow = flow
        self.bench = bench
        self.id = run
        self.clock = bench.clock
        self.progress = progress
        self.state = FlowState(bench.caller.answers.store, flow.name)
        self.worker = PageWorker(flow, bench, run, progress)
        self.pages = pages or Here()
        self.counts = Counts()
        self.failures: list[Problem] = []
        self.deliveries = [
            Delivery(
                self.state,
                sink,
                sink_name(target, sink),
                target.kind,
                bench.clock,
                self._told_written,
                flow.consent.rule(),
            )
            for target, sink in bench.sinks
            if isinstance(sink, Sink)
        ]
        self.collecting = Collecting(flow, bench, bench.road, run, progress) if bench.road is not None else None
        self.snapshots = [(target, sink) for target, sink in bench.sinks if not isinstance(sink, Sink)]
        self._cursor: dict[str, Any] | None = None
        self._partial: list[Counts] = []
        self._stopped_by: PenstockError | None = None
        self._stop = asyncio.Event()
        self._written_at = bench.clock.monotonic()

    def stop(self, reason: PenstockError) -> None:
        """End the run soon: calls under way are kept, nothing new begins."""
        self._stopped_by = self._stopped_by or reason
        self.worker.stop(reason)
        if self.collecting is not None:
            self.collecting.stop(reason)
        self._stop.set()

    async def execute(self) -> Report:
        """Read, judge, plan and write until the source is drained or something larger stops it."""
        started = self.clock.monotonic()
        resumed = await self._begin()
        problem: PenstockError | None = None
        try:
            for delivery in self.deliveries:
                await self._bury_effects(await delivery.recover())
            await fill_joins(self.state, self.id, self.bench.joins, PAGE)
            if self.collecting is not None:
                await self.collecting.execute()
            await self._read_all()
            await self._clear_expired()
            await self._deliver()
            self._check_stopped()
            await self._replace_snapshots()
            await self._note_progress()
        except PenstockError as error:
            problem = error
        except asyncio.CancelledError:
            problem = StoppedError(
                "the run was interrupted", code="run.interrupted", hint="Run the same command again to go on."
            )
        try:
            await self._end(problem)
        except PenstockError as error:  # the store is full or away: the next process finds the run unfinished
            problem = problem or error
        self.progress.tell(now=True)
        seconds = self.clock.monotonic() - started
        state = "done" if problem is None else "stopped"
        return Report(self.id, self.flow.name, state, self.counts, seconds, resumed, problem, self.failures)

    async def _end(self, problem: PenstockError | None) -> None:
        for counts in self._partial:
            self.counts = self.counts + counts
        await self._take_facts()
        state, code = ("done", "") if problem is None else ("stopped", problem.code)
        await self.state.end_run(self.id, state, self.counts, self.clock.now(), code)
        if problem is None:
            await self.state.drop_lookups(self.id)
            if self.collecting is not None:
                await self.collecting.road.batches.forget(self.id)

    async def _begin(self) -> bool:
        unfinished = await self.state.unfinished_run()
        if unfinished is not None and unfinished.id == self.id:
            if unfinished.position is not None:
                self._cursor, self.counts = unfinished.position.source, unfinished.position.counts
            await self.state.take_over_run(self.id)
            return True
        await self.state.start_run(self.id, self.flow, self.bench.source.identity(), self.clock.now())
        return False

    async def _take_facts(self) -> None:
        """Take calls, cost and writes from the books: a resumed run met pages twice, and wrote before it died."""
        books = await self.bench.caller.ledger.spent(f"run:{self.id}")
        if self.collecting is not None:  # what was bought before the pages were read was found held by them
            bought = await self.collecting.road.batches.count(self.id)
            self.counts.cached = max(self.counts.cached - max(books.calls - self.counts.calls, 0), 0)
            self.counts.saved = max(self.counts.saved - max(books.spent - self.counts.cost, 0), 0)
            self.counts.tokens += bought["used"] + self.collecting.tokens
        self.counts.calls, self.counts.cost = books.calls, books.spent
        effects = await self.state.effects_of_run(self.id)
        self.counts.planned = sum(effects.values())
        self.counts.written = effects.get("confirmed", 0)
        self.counts.refused += effects.get("rejected", 0) + effects.get("conflict", 0)

    async def _read_all(self) -> None:
        """Work on several pages at once, and move the cursor in the order of the source."""
        under_way: deque[asyncio.Task[tuple[Page, Tally]]] = deque()
        before, number = self._cursor, self.counts.pages
        keys = Keys(self.flow.where)
        try:
            await self._look_back(keys)
            async for page in self.bench.source.pages(self._cursor, PAGE):
                repeats = keys.look(page.records)
                under_way.append(asyncio.create_task(self._work(page, repeats, number, before)))
                before, number = page.cursor, number + 1
                if len(under_way) >= self.pages.ahead:
                    await self._take_up(await under_way.popleft())
                if self._stopped_by is not None:
                    break
            while under_way:
                await self._take_up(await under_way.popleft())
        except asyncio.CancelledError:
            for task in under_way:
                task.cancel()
            raise
        finally:  # one page stopped the run: the others end, so that what they bought is kept
            await asyncio.gather(*under_way, return_exceptions=True)
            keys.close()
        self._check_stopped()

    async def _look_back(self, keys: Keys) -> None:
        """Read the keys again that lie before the cursor of a resumed run."""
        left = self.counts.read if self._cursor is not None and self.flow.source_kind != "brevo" else 0
        if left == 0:
            return
        async for page in self.bench.source.pages(None, PAGE):
            keys.look(page.records[:left])
            left -= len(page.records) + len(page.rejects)
            if left <= 0:
                return

    def _check_stopped(self) -> None:
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _work(
        self, page: Page, repeats: Repeats, number: int, before: dict[str, Any] | None
    ) -> tuple[Page, Tally]:
        tally = await self.pages.run(self.worker, page, repeats, number, before)
        return page, tally

    async def _take_up(self, done: tuple[Page, Tally]) -> None:
        page, tally = done
        if not tally.complete:
            self._partial.append(tally.counts)
            self.stop(self.worker.stopped_by or StoppedError("the run was stopped", code="run.stopped"))
            return
        if self._stopped_by is not None:  # a page before this one is not complete: the cursor stays before it
            self._partial.append(tally.counts)
            return
        self.counts = self.counts + tally.counts
        self.failures += tally.examples[: max(0, 5 - len(self.failures))]
        self._cursor = page.cursor
        await self.state.move_run(self.id, page.cursor, self.counts)
        if self.clock.monotonic() - self._written_at >= WRITE_EVERY:
            await self._deliver()

    async def _deliver(self) -> None:
        self._written_at = self.clock.monotonic()
        self.progress.stage = "write"
        for delivery in self.deliveries:
            await self._bury_effects(await delivery.deliver(self._stop))
        self.progress.stage = "read"

    async def _clear_expired(self) -> None:
        """Plan to clear what has expired of contacts that the source no longer tells of."""
        for target, sink in self.bench.sinks:
            name = sink_name(target, sink)
            self.counts.expired += await plan_expired(self.flow, self.state, target, name, self.id, self.clock.now())

    def _told_written(self, confirmed: int) -> None:
        self.progress.add(writes=confirmed)

    async def _bury_effects(self, failed: Sequence[tuple[Effect, Outcome]]) -> None:
        now = self.clock.now()
        letters = [
            Letter(
                0,
                self.id,
                "write",
                effect.target,
                effect.target,
                outcome.problem or Problem(f"sink.{outcome.state}", f"the write is {outcome.state}"),
                {"match": effect.match, "fields": effect.fields, "kind": effect.kind},
                now,
            )
            for effect, outcome in failed
        ]
        self.failures += [letter.problem for letter in letters][: max(0, 5 - len(self.failures))]
        await self.state.bury(letters)

    async def _note_progress(self) -> None:
        """Let the next run go on from here, where the source can tell its changes."""
        gone = await Increments(self.flow, self.bench).end(self._cursor, self.id)
        if gone:
            self.progress.tell(
                f"{gone:,} records are gone from {self.bench.source.describe()}: their results are deleted"
            )

    async def _replace_snapshots(self) -> None:
        for target, sink in self.snapshots:
            name = sink_name(target, sink)
            rows = (
                {**effect.match, **effect.fields} async for page in self.state.effect_pages(name) for effect in page
            )
            changed = await self.state.open_effects(name)
            await sink.replace(rows)
            self._told_written(changed)
            await self.state.confirm_all(name, self.clock.now())
