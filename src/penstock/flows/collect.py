"""The first part of a run that buys in batches: its requests are collected, submitted and awaited, round by round.

It keeps no results. When nothing is left to wait for, the run itself goes over the source and finds the answers
held; a step that needs the answer of the one before is asked in the round after.
"""

from __future__ import annotations

import asyncio

from penstock.base.errors import PenstockError
from penstock.flows.bench import PAGE, Bench
from penstock.flows.judge import Judge
from penstock.flows.keys import Keys
from penstock.flows.model import Flow
from penstock.flows.plan import Planner
from penstock.flows.roads import Road, load_mode, save_mode
from penstock.flows.state import FlowState
from penstock.runtime.batch_errand import FIRST_POLL, LONGEST_POLL
from penstock.runtime.batches import Batches
from penstock.runtime.modes import make_mode, read_by
from penstock.runtime.progress import Progress


class Collecting:
    """Buys what one run needs through batches, before the run."""

    def __init__(self, flow: Flow, bench: Bench, road: Road, run: str, progress: Progress) -> None:
        self.flow = flow
        self.bench = bench
        self.road = road
        self.run = run
        self.progress = progress
        self.tokens = 0
        """Of what was bought live on the way."""
        self._stop = asyncio.Event()
        self._stopped_by: PenstockError | None = None
        self._judge: Judge | None = None

    def stop(self, reason: PenstockError) -> None:
        """End soon: calls under way are kept, and batches go on at the vendor."""
        self._stopped_by = self._stopped_by or reason
        self._stop.set()
        if self._judge is not None:
            self._judge.stop(reason)

    async def execute(self) -> None:
        """Collect and wait until every answer that comes from a batch is held, or the deadline is near.

        Raises what concerns the whole run, and the reason of `stop`.
        """
        road, progress = self.road, self.progress
        await road.batches.forget_earlier(self.run, self.flow.name)
        counts = await road.batches.count(self.run)
        road.has_lines = len(counts) > 1
        if counts.get("batched") or counts.get("waiting"):  # an earlier process left them
            await self._work_off()
        wait = FIRST_POLL
        while road.mode.way == "batch" and not road.is_late and self._stopped_by is None:
            progress.stage = "ask"
            if not await self._collect():
                break
            progress.stage = "wait"
            if not await self._work_off():  # all of it is in batches of another run
                await self.bench.clock.sleep(wait)
                wait = min(2 * wait, LONGEST_POLL)
        progress.stage = "read"
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _work_off(self) -> bool:
        """Submit and await what is this run's own; returns whether there was anything."""
        road = self.road
        before = await road.batches.count(self.run)
        switch_at = road.mode.switch_at if road.mode.way == "batch" else 0.0
        await road.batches.work_off(
            self.run, self.flow.name, switch_at=switch_at, stop=self._stop, tell=self.progress.tell
        )
        return bool(before.get("waiting") or before.get("batched"))

    async def _collect(self) -> int:
        """Go over the source once; returns how many requests wait for a batch."""
        bench, road, waiting = self.bench, self.road, 0
        state = FlowState(bench.caller.answers.store, self.flow.name)
        judge = Judge(self.flow, state, bench, self.run, self.progress.tell, road)
        self._judge, keys, road.is_collecting = judge, Keys(self.flow.where), True
        try:
            async for page in bench.source.pages(None, PAGE):
                found = await judge.sort(page.records, keys.look(page.records))
                purchases = await judge.judge(found.works)
                self.tokens += purchases.tokens
                waiting += await road.keep(flow=self.flow.name, run=self.run)
                self.progress.tell()
                if judge.stopped_by is not None:
                    raise judge.stopped_by
        finally:
            self._judge, road.is_collecting = None, False
            keys.close()
        return waiting


async def choose_road(flow: Flow, bench: Bench, run: str, by: str | None, batches: Batches) -> Road | None:
    """Return how a run buys: as it was begun, unless another deadline is wished; None for at once, as ever.

    The cheapest way that meets the deadline is found by a plan, which calls nothing.
    """
    store, clock = bench.caller.answers.store, bench.clock
    begun = await load_mode(store, run)
    wished = by or (None if begun is not None else flow.by)
    if begun is None and wished is None:
        return None
    if begun is not None and wished in (None, begun.by):
        mode = begun
    else:
        wished = wished or "now"
        made = await Planner(flow, bench, clock.new_id("plan"), wished).make()
        mode = make_mode(made.ways, wished, read_by(wished), clock.now())
        await save_mode(store, run, mode)
    road = Road(mode, bench.ways, batches, bench.caller, clock)
    road.has_lines = begun is not None
    return road
