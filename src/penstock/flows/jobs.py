"""Pages as durable jobs: each is worked on once, here or by any worker on the same database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from penstock.base.errors import DefectError, PenstockError, StoppedError
from penstock.base.types import Page
from penstock.flows.bench import PAGE
from penstock.flows.kept import Counts
from penstock.flows.keys import Repeats
from penstock.flows.pages import PAGES_AHEAD, PageWorker, Tally
from penstock.runtime.jobs import Jobs
from penstock.runtime.steps import JobContext

JOB = "flow-page"
QUEUE = "pages"
WORKERS = 4
"""Processes that can be kept busy at once; each takes `PAGES_AHEAD` pages."""

OpenWorker = Callable[[str], Awaitable[PageWorker]]
"""Wires a worker for a run that another process started."""


class JobPages:
    """Runs pages as jobs. `is_shared` puts them in a queue, which workers on PostgreSQL take from."""

    def __init__(self, jobs: Jobs, *, is_shared: bool, open_worker: OpenWorker | None = None) -> None:
        self._jobs = jobs
        self._is_shared = is_shared
        self.ahead = PAGES_AHEAD * (WORKERS if is_shared else 1)
        self._open_worker = open_worker
        self._own: dict[str, PageWorker] = {}
        self._others: dict[str, PageWorker] = {}
        self._pages: dict[str, Page] = {}
        self._cut: dict[str, Counts] = {}
        self._opening = asyncio.Lock()
        jobs.register(JOB, self._work)

    async def run(
        self, worker: PageWorker, page: Page, repeats: Repeats, number: int, before: dict[str, Any] | None
    ) -> Tally:
        self._own = {worker.run: worker}
        job_id = await self._choose_id(f"{worker.run}/{number}/{_mark(before, page.cursor)}")
        payload = {
            "run": worker.run,
            "before": before,
            "repeats": msgspec.to_builtins(repeats),
            "job": job_id,
            "limits": dict(worker.bench.caller.ledger.budgets),
        }
        self._pages[job_id] = page
        try:
            if self._is_shared:
                await self._jobs.enqueue(JOB, job_id, payload, queue=QUEUE)
                result = await self._jobs.wait(job_id)
            else:
                result = await self._jobs.run(JOB, job_id, payload)
        except PenstockError as error:  # the page was cut short; its job is taken up again by the next run
            worker.stop(error)
            return Tally(self._cut.pop(job_id, Counts()), complete=False)
        finally:
            self._pages.pop(job_id, None)
        return msgspec.convert(result, Tally)

    async def _choose_id(self, name: str) -> str:
        """Return the job of a page that is done or under way, or the next one after those that failed.

        A queued job that failed keeps its outcome; one that is executed here goes on under its own id.
        """
        known = await self._jobs.list(prefix=name) if self._is_shared else []
        if not known or known[0].state not in ("failed", "cancelled"):
            return known[0].id if known else name
        return f"{name}/{len(known)}"

    async def _work(self, _context: JobContext, payload: dict[str, Any]) -> Any:
        worker = await self._worker_of(payload)
        page = self._pages.get(payload["job"]) or await _read_page(worker, payload["before"])
        tally = await worker.work(page, msgspec.convert(payload["repeats"], Repeats))
        if not tally.complete:
            self._cut[payload["job"]] = tally.counts
            raise worker.stopped_by or StoppedError("the run was stopped", code="run.stopped")
        return msgspec.to_builtins(tally)

    async def _worker_of(self, payload: dict[str, Any]) -> PageWorker:
        run = payload["run"]
        if run in self._own:
            return self._own[run]
        async with self._opening:  # pages of one run begin together, and share one worker
            worker = self._others.get(run)
            if worker is None or worker.stopped_by is not None:  # a run that was stopped goes on with a new one
                if self._open_worker is None:
                    raise DefectError(f"nobody here can work on the run {run}", code="job.no-worker")
                self._others = {run: await self._open_worker(run)}
            worker = self._others[run]
            worker.bench.caller.ledger.budgets.update(payload["limits"])
            return worker


async def _read_page(worker: PageWorker, before: dict[str, Any] | None) -> Page:
    async for page in worker.bench.source.pages(before, PAGE):
        return page
    raise StoppedError(
        f"{worker.bench.source.describe()} holds less than when the run began",
        code="source.shrunk",
        hint="Run the same command again: it begins anew where the source changed.",
    )


def _mark(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """Name the slice of the source, so that a page that grew since is worked on again."""
    return hashlib.blake2b(msgspec.json.encode([before, after], order="sorted"), digest_size=6).hexdigest()
