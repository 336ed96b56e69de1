"""One page of records, from what the source gave to what is kept: judged, counted and planned in one transaction.

A page may be worked on again at any time and by any process: what was bought is held,
and what was kept is found unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from penstock.base.errors import PenstockError
from penstock.base.types import Page, Problem
from penstock.flows.bench import Bench
from penstock.flows.effects import cleared, sink_name, wanted_event, wanted_of
from penstock.flows.judge import Judge
from penstock.flows.kept import Counts, Effect, FinishedPage, Item, Letter, PlannedWrites
from penstock.flows.keys import Repeats
from penstock.flows.model import Flow, Target
from penstock.flows.state import FlowState
from penstock.flows.work import Purchases, Sorted, Work
from penstock.runtime.progress import Progress

EXAMPLES = 5
PAGES_AHEAD = 3
"""Pages under way at once in one process, so that the end of one does not leave the quota idle."""


class Tally(msgspec.Struct):
    """What a page came to. `complete` is False when the run was stopped before every record had its result."""

    counts: Counts
    examples: list[Problem] = []
    complete: bool = True


class PageWorker:
    """Works on the pages of one run."""

    def __init__(self, flow: Flow, bench: Bench, run: str, progress: Progress) -> None:
        self.flow = flow
        self.bench = bench
        self.run = run
        self.progress = progress
        self.state = FlowState(bench.caller.answers.store, flow.name)
        self.judge = Judge(flow, self.state, bench, run, progress.tell, bench.road)

    @property
    def stopped_by(self) -> PenstockError | None:
        """What ended the run before its time."""
        return self.judge.stopped_by

    def stop(self, reason: PenstockError) -> None:
        """Begin no further call; those under way end and are kept."""
        self.judge.stop(reason)

    async def work(self, page: Page, repeats: Repeats) -> Tally:
        """Judge a page and keep everything that it comes to."""
        found = await self.judge.sort(page.records, repeats)
        purchases = await self.judge.judge(found.works)
        reached = [work for work in found.works if work.is_reached(len(self.flow.steps))]
        counts = self._count(page, found, reached, purchases)
        counts.planned, unplanned = await self.state.finish_page(self._finish(page, found, reached))
        counts.refused = len(unplanned)
        self._tell(page, counts)
        problems = [work.problem for work in [*reached, *found.duplicates] if work.problem is not None]
        problems += [letter.problem for letter in unplanned]
        examples = [reject.problem for reject in page.rejects] + problems
        return Tally(counts, examples[:EXAMPLES], len(reached) == len(found.works))

    def is_new(self, work: Work) -> bool:
        """Tell whether this run judged the record, before a crash or just now."""
        return work.is_fresh or (work.known is not None and work.known.run == self.run)

    def _finish(self, page: Page, found: Sorted, reached: Sequence[Work]) -> FinishedPage:
        now = self.bench.clock.now()
        good = [work for work in reached if work.problem is None]
        return FinishedPage(
            run=self.run,
            items=[work.item() for work in reached if _is_changed(work)],
            letters=[
                *(
                    Letter(0, self.run, "read", "", reject.where, reject.problem, {"raw": reject.raw[:2000]}, now)
                    for reject in page.rejects
                ),
                *(
                    self.letter(work, work.problem, work.stage)
                    for work in [*reached, *found.duplicates]
                    if work.problem
                ),
            ],
            writes=[
                _Plan(self, target, sink_name(target, sink), good, found.objected).as_writes()
                for target, sink in self.bench.sinks
            ],
            at=now,
        )

    def letter(self, work: Work, problem: Problem, stage: str = "prepare") -> Letter:
        """Return the dead letter about a record."""
        record, now = work.record, self.bench.clock.now()
        return Letter(0, self.run, stage, record.key, record.where, problem, record.data, now)

    def _count(self, page: Page, found: Sorted, reached: Sequence[Work], purchases: Purchases) -> Counts:
        failed = sum(work.problem is not None for work in reached)
        judged = sum(self.is_new(work) and work.problem is None for work in reached)
        contradicting = sum(work.problem is not None for work in found.duplicates)
        return Counts(
            unchanged=len(reached) - judged - failed,
            judged=judged,
            filtered=found.filtered,
            objected=len(found.objected),
            forgotten=found.forgotten,
            duplicates=len(found.duplicates) - contradicting,
            failed=failed + contradicting,
            rejected=len(page.rejects),
            pages=1,
            calls=purchases.calls,
            cached=purchases.cached,
            cost=purchases.cost,
            saved=purchases.saved,
            tokens=purchases.tokens,
            expired=sum(work.is_expired for work in reached),
        )

    def _tell(self, page: Page, counts: Counts) -> None:
        self.progress.add(
            done=len(page.records) + len(page.rejects),
            failed=counts.failed + counts.rejected,
            calls=counts.calls,
            cached=counts.cached,
            cost=counts.cost,
            writes_total=counts.planned,
        )


class _Plan:
    """What one sink should hold after a page, made inside the transaction that keeps the page."""

    def __init__(
        self, worker: PageWorker, target: Target, name: str, works: Sequence[Work], objected: Sequence[Work]
    ) -> None:
        self._objected = objected
        self._worker = worker
        self._target = target
        self._name = name
        self._works = works

    def as_writes(self) -> PlannedWrites:
        is_summary = self._target.is_of_owner and self._worker.flow.summarize is not None
        return PlannedWrites(
            self._name,
            sorted({work.owner for work in self._works}) if is_summary else [],
            self.make,
            [effect for work in self._objected for effect in cleared(self._target, work)],
            self._worker.flow.consent.objected == "clear",
        )

    def make(self, items: dict[str, list[Item]]) -> tuple[list[Effect], list[Letter]]:
        """Return effects, and letters about records for which none can be built."""
        worker, target = self._worker, self._target
        effects, problems = wanted_of(worker.flow, target, self._works, items) if target.has_state else ([], [])
        events: list[Effect] = []
        for work in self._works:
            if target.event is None or not worker.is_new(work):
                continue
            try:
                events.append(wanted_event(target, work))
            except PenstockError as error:
                problems.append((work, Problem.from_error(error, work.record.where)))
        return events + effects, [worker.letter(work, problem) for work, problem in problems]


class PageRunner(Protocol):
    """Where pages are worked on: in this process, or as durable jobs that other workers share.

    `ahead` is how many pages are handed over before the first of them is done.
    """

    ahead: int

    async def run(
        self, worker: PageWorker, page: Page, repeats: Repeats, number: int, before: dict[str, Any] | None
    ) -> Tally:
        """Work on page `number`, which begins behind the cursor `before` and repeats the keys at `repeats`."""


class Here:
    """Works on pages in this process, without a record of its own."""

    ahead = PAGES_AHEAD

    async def run(
        self,
        worker: PageWorker,
        page: Page,
        repeats: Repeats,
        number: int,  # noqa: ARG002
        before: dict[str, Any] | None,  # noqa: ARG002
    ) -> Tally:
        return await worker.work(page, repeats)


def _is_changed(work: Work) -> bool:
    """Tell whether there is something to keep: a new result, a failure, another owner or date."""
    known = work.known
    if work.is_fresh or work.problem is not None:
        return True
    return known is None or known.owner != work.owner or known.dated != work.dated
