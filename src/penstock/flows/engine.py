"""Runs a flow durably: pages of a source in, results and intended writes out, resumable at any point.

Each page ends in one place: its results are kept, its writes are planned, then the cursor
moves. Whatever a crash interrupts is met again from the cursor, and costs nothing because
answers and confirmed writes are held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError, StoppedError
from penstock.base.types import Outcome, Page, Problem, Sink, SnapshotSink, Source
from penstock.flows.effects import Delivery, sink_name, summarize, wanted_event, wanted_values
from penstock.flows.judge import Judge, Purchases, Sorted, Work
from penstock.flows.model import Flow, Target
from penstock.flows.state import Counts, Effect, FlowState, Letter
from penstock.operations.declare import ModelChoice
from penstock.runtime.call import Caller
from penstock.runtime.progress import Progress
from penstock.vendor.models import Limits

PAGE = 500
"""Records of one page: the unit that is kept and resumed."""
PAGES_AHEAD = 3
"""Pages under way at once, so that the end of one does not leave the quota idle."""
WRITE_EVERY = 60.0
"""Seconds between deliveries while a long source is still being read."""


@dataclass(slots=True)
class Bench:
    """What a run works with, wired by the workspace."""

    clock: Clock
    caller: Caller
    choice: ModelChoice
    source: Source
    joins: dict[str, Source]
    sinks: list[tuple[Target, Sink | SnapshotSink]]
    in_flight: int = 64
    limits: Limits = field(default_factory=Limits)
    """What is assumed of the vendor's limits, for estimates."""


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

    def __init__(self, flow: Flow, bench: Bench, run: str, progress: Progress) -> None:
        self.flow = flow
        self.bench = bench
        self.id = run
        self.clock = bench.clock
        self.progress = progress
        self.state = FlowState(bench.caller.answers.store, flow.name)
        self.judge = Judge(flow, self.state, bench.caller, bench.choice, run, bench.in_flight)
        self.counts = Counts()
        self.failures: list[Problem] = []
        self.deliveries = [
            Delivery(self.state, sink, sink_name(target, sink), target.kind, bench.clock)
            for target, sink in bench.sinks
            if isinstance(sink, Sink)
        ]
        self.snapshots = [(target, sink) for target, sink in bench.sinks if not isinstance(sink, Sink)]
        self._cursor: dict[str, Any] | None = None
        self._broken = False
        self._stop = asyncio.Event()
        self._written_at = bench.clock.monotonic()

    def stop(self, reason: PenstockError) -> None:
        """End the run soon: calls under way are kept, nothing new begins."""
        self.judge.stop(reason)
        self._stop.set()

    async def execute(self) -> Report:
        """Read, judge, plan and write until the source is drained or something larger stops it."""
        started = self.clock.monotonic()
        resumed = await self._begin()
        problem: PenstockError | None = None
        try:
            for delivery in self.deliveries:
                await delivery.recover()
            await self._fill_joins()
            await self._read_all()
            await self._deliver()
            await self._replace_snapshots()
        except PenstockError as error:
            problem = error
        except asyncio.CancelledError:
            problem = StoppedError(
                "the run was interrupted", code="run.interrupted", hint="Run the same command again to go on."
            )
        state = "done" if problem is None else "stopped"
        await self._take_costs()
        await self.state.end_run(self.id, state, self.counts, self.clock.now(), problem.code if problem else "")
        if problem is None:
            await self.state.drop_lookups(self.id)
        self.progress.tell(now=True)
        seconds = self.clock.monotonic() - started
        return Report(self.id, self.flow.name, state, self.counts, seconds, resumed, problem, self.failures)

    async def _begin(self) -> bool:
        unfinished = await self.state.unfinished_run()
        if unfinished is not None and unfinished.id == self.id:
            if unfinished.position is not None:
                self._cursor, self.counts = unfinished.position.source, unfinished.position.counts
            await self.state.take_over_run(self.id)
            return True
        await self.state.start_run(self.id, self.flow, self.bench.source.identity(), self.clock.now())
        return False

    async def _take_costs(self) -> None:
        """Take calls and cost from the books: a resumed run has paid for pages that it met twice."""
        books = await self.bench.caller.ledger.spent(f"run:{self.id}")
        self.counts.calls, self.counts.cost = books.calls, books.spent

    async def _fill_joins(self) -> None:
        for name, source in self.bench.joins.items():
            async for page in source.pages(size=PAGE):
                await self.state.fill_lookup(self.id, name, [(row.key, row.data) for row in page.records])

    async def _read_all(self) -> None:
        """Judge several pages at once, and take their results up in the order of the source."""
        under_way: list[tuple[Page, asyncio.Task[tuple[Sorted, Purchases]]]] = []
        try:
            async for page in self.bench.source.pages(self._cursor, PAGE):
                under_way.append((page, asyncio.create_task(self._judge(page))))
                if len(under_way) >= PAGES_AHEAD:
                    await self._take_up(*under_way.pop(0))
                if self.judge.stopped_by is not None:
                    break
            while under_way:
                await self._take_up(*under_way.pop(0))
        finally:
            for _, task in under_way:
                task.cancel()
            await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
        if self.judge.stopped_by is not None:
            raise self.judge.stopped_by

    async def _judge(self, page: Page) -> tuple[Sorted, Purchases]:
        found = await self.judge.sort(page.records)
        return found, await self.judge.judge(found.works)

    async def _take_up(self, page: Page, task: asyncio.Task[tuple[Sorted, Purchases]]) -> None:
        found, purchases = await task
        reached = [work for work in found.works if work.is_reached(len(self.flow.steps))]
        await self._keep(reached)
        planned = await self._plan(reached)
        letters = self._letters(page, found, reached)
        await self.state.bury(letters)
        self._count(page, found, reached, purchases, planned)
        if len(reached) == len(found.works) and not self._broken:
            await self.state.move_run(self.id, page.cursor, self.counts)
        else:  # a page that was cut short is met again as a whole
            self._broken = True
        if self.clock.monotonic() - self._written_at >= WRITE_EVERY:
            await self._deliver()

    async def _keep(self, works: Sequence[Work]) -> None:
        changed = [work.item() for work in works if work.fresh or work.problem or _moved(work)]
        if changed:
            await self.state.save_items(changed, self.id, self.clock.now())

    async def _plan(self, works: Sequence[Work]) -> int:
        good = [work for work in works if work.problem is None]
        planned = 0
        for target, sink in self.bench.sinks:
            effects = [wanted_event(target, work) for work in good if target.event and self._is_new(work)]
            if target.fields:
                effects += await wanted_of(self.flow, self.state, target, good)
            planned += await self.state.plan_effects(sink_name(target, sink), effects, self.id, self.clock.now())
        return planned

    def _is_new(self, work: Work) -> bool:
        """Tell whether this run judged the record, before a crash or just now."""
        return work.fresh or (work.known is not None and work.known.run == self.id)

    def _letters(self, page: Page, found: Sorted, reached: Sequence[Work]) -> list[Letter]:
        now = self.clock.now()
        letters = [
            Letter(0, self.id, "read", "", reject.where, reject.problem, {"raw": reject.raw[:2000]}, now)
            for reject in page.rejects
        ]
        letters += [
            Letter(0, self.id, work.stage, work.record.key, work.record.where, work.problem, work.record.data, now)
            for work in reached
            if work.problem is not None
        ]
        letters += [
            Letter(0, self.id, "prepare", work.record.key, work.record.where, _duplicate(work), work.record.data, now)
            for work in found.duplicates
        ]
        self.failures += [letter.problem for letter in letters][: max(0, 5 - len(self.failures))]
        return letters

    def _count(self, page: Page, found: Sorted, reached: Sequence[Work], purchases: Purchases, planned: int) -> None:
        counts = self.counts
        failed = sum(work.problem is not None for work in reached)
        fresh = sum(work.fresh and work.problem is None for work in reached)
        counts.pages += 1
        counts.judged += fresh
        counts.failed += failed
        counts.unchanged += len(reached) - fresh - failed
        counts.filtered += found.filtered
        counts.duplicates += len(found.duplicates)
        counts.rejected += len(page.rejects)
        counts.calls += purchases.calls
        counts.cached += purchases.cached
        counts.cost += purchases.cost
        counts.saved += purchases.saved
        counts.tokens += purchases.tokens
        counts.planned += planned
        self.progress.add(
            done=len(page.records) + len(page.rejects),
            failed=failed + len(page.rejects) + len(found.duplicates),
            calls=purchases.calls,
            cached=purchases.cached,
            cost=purchases.cost,
            writes_total=planned,
        )

    async def _deliver(self) -> None:
        self._written_at = self.clock.monotonic()
        self.progress.stage = "write"
        for delivery in self.deliveries:
            failed = await delivery.deliver(self._stop, self._told_written)
            await self._bury_effects(failed)
        self.progress.stage = "read"

    def _told_written(self, confirmed: int) -> None:
        self.counts.written += confirmed
        self.progress.add(writes=confirmed)

    async def _bury_effects(self, failed: Sequence[tuple[Effect, Outcome]]) -> None:
        now = self.clock.now()
        letters = [
            Letter(
                0,
                self.id,
                "write",
                "",
                effect.target,
                outcome.problem or Problem(f"sink.{outcome.state}", f"the write is {outcome.state}"),
                {"match": effect.match, "fields": effect.fields, "kind": effect.kind},
                now,
            )
            for effect, outcome in failed
        ]
        self.counts.refused += len(letters)
        self.failures += [letter.problem for letter in letters][: max(0, 5 - len(self.failures))]
        await self.state.bury(letters)

    async def _replace_snapshots(self) -> None:
        for target, sink in self.snapshots:
            name = sink_name(target, sink)
            rows = (
                {**effect.match, **effect.fields} async for page in self.state.effect_pages(name) for effect in page
            )
            self._told_written(await sink.replace(rows))
            await self.state.confirm_all(name, self.clock.now())


async def wanted_of(flow: Flow, state: FlowState, target: Target, works: Sequence[Work]) -> list[Effect]:
    """Return what the targets of these records should hold: one effect per record, or per contact."""
    if flow.summarize is None:
        return [wanted_values(target, work.scope) for work in works]
    owners = {work.owner: work for work in works}
    items = await state.items_of_owners(sorted(owners))
    effects = []
    for owner, work in owners.items():
        scope = summarize(flow, {**work.scope, "contact": work.scope.get("contact", {})}, items.get(owner, []))
        effects.append(wanted_values(target, scope))
    return effects


def _moved(work: Work) -> bool:
    """Tell whether a record that needed no call has changed owner or date."""
    known = work.known
    return known is None or known.owner != work.owner or known.dated != work.dated


def _duplicate(work: Work) -> Problem:
    return Problem(
        "source.duplicate-key",
        f"the key {work.record.key[:60]!r} occurs more than once in the source",
        "Only the first record counts. Choose a key that identifies a record, such as an id column.",
        work.record.where,
    )
