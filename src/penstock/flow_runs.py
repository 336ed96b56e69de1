"""Flows of one workspace: plans them, runs them, goes on with what was interrupted, and works on pages for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.base.clock import Clock
from penstock.base.errors import FixError, FlowError, InputError, PenstockError, SettingsError
from penstock.base.settings import Settings
from penstock.base.types import Finding, Sink, Source, to_money
from penstock.calls import CallOptions, Operations
from penstock.ends import fill_sandbox, open_sink, open_source
from penstock.flows.bench import Bench
from penstock.flows.collect import choose_road
from penstock.flows.engine import Report, Run
from penstock.flows.increments import Increments, forget_progress
from penstock.flows.jobs import QUEUE, JobPages
from penstock.flows.kept import RunRow
from penstock.flows.letters import LettersSource
from penstock.flows.made import MadeSource, Means
from penstock.flows.model import Flow, load_flow
from penstock.flows.pages import PAGES_AHEAD, PageWorker
from penstock.flows.plan import Plan, Planner
from penstock.flows.sample import check_samples, kinds_of, read_samples
from penstock.flows.state import FlowState, list_runs
from penstock.operations.declare import ModelChoice
from penstock.runtime.batches import Batches
from penstock.runtime.call import Caller
from penstock.runtime.governor import Governor, Pool
from penstock.runtime.jobs import Jobs
from penstock.runtime.ledger import Ledger
from penstock.runtime.modes import Ways
from penstock.runtime.progress import Progress
from penstock.runtime.radar import check_alive, describe_end, is_vendor
from penstock.runtime.store import Store, is_server
from penstock.runtime.workers import Duty
from penstock.vendor.models import Kind, Limits
from penstock.vendors import Vendors

SOURCE_CHANGED = ("files.changed", "sql.changed", "brevo.bad-cursor", "source.shrunk")
"""Why an interrupted run cannot go on where it was: a new one begins, in which what is held costs nothing."""
KEEP_JOBS_SECONDS = 7 * 86_400.0
"""Finished pages are forgotten after this; what they came to stays in the store."""


class FlowRuns:
    """Plans and runs the flows of one workspace; `jobs_place` is where its durable jobs are kept."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        settings: Settings,
        vendors: Vendors,
        operations: Operations,
        ledger: Ledger,
        governor: Governor,
        batches: Batches,
        jobs_place: str | Path,
        closing: AsyncExitStack,
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings
        self.vendors = vendors
        self.operations = operations
        self.ledger = ledger
        self.governor = governor
        self.batches = batches
        self.caller: Caller = batches.caller
        self._jobs_place = jobs_place
        self._is_shared = is_server(str(jobs_place))
        self._closing = closing
        self._pages: JobPages | None = None
        self._running: set[str] = set()

    def choose_model(self, flow: Flow | None = None, kind: Kind = "chat") -> ModelChoice:
        """Return the model that answers, and over which connection: the flow's own, else those of the settings.

        A connection named on the command line stands over the flow's. A flow's model answers texts, and what it is for.
        """
        wished = self.settings.resolve("connection")
        own = flow.connection if flow and wished.origin != "command line" else None
        model = flow.model if flow else None
        if kind != "chat" and model and self.caller.catalogue.find(model).kind != kind:
            model = None
        return self.operations.choose(kind, CallOptions(connection=own, model=model))

    @asynccontextmanager
    async def open_bench(self, flow: Flow) -> AsyncIterator[Bench]:
        """Open the source, joins and sinks of a flow; they are closed at the end of the block."""
        async with AsyncExitStack() as closing:
            yield await self._open_bench(flow, closing.push_async_callback)

    async def _open_bench(self, flow: Flow, at_end: Callable[[Callable[[], Awaitable[None]]], Any]) -> Bench:
        vendors = self.vendors
        joins: dict[str, Source] = {}
        means = Means(self.caller, lambda kind: self.choose_model(flow, kind), joins)
        for join in flow.joins:
            joins[join.name] = await open_source(
                vendors, self.store, flow, join.kind, join.options, "join", join.name, means=means
            )
        source = await open_source(
            vendors, self.store, flow, flow.source_kind, flow.source_options, "source", means=means
        )
        await self._fill_sandbox(flow, source)
        sinks = [(target, await open_sink(vendors, flow, target, self.store)) for target in flow.targets]
        for opened in (source, *joins.values()):
            at_end(opened.close)
        for sink in [sink for _, sink in sinks if isinstance(sink, Sink)]:
            at_end(sink.close)
        return Bench(
            clock=self.clock,
            caller=self.caller,
            choice=self.choose_model(flow),
            others={
                kind: self.choose_model(flow, kind) for kind in {step.operation.kind for step in flow.steps} - {"chat"}
            },
            source=source,
            joins=joins,
            sinks=sinks,
            ways=Ways(self.caller, self._is_openai),
            in_flight=int(self.settings.get("in-flight")),
            limits=self._limits(self.choose_model(flow).model.id),
            fetch=self.vendors.fetch_file,
        )

    async def _fill_sandbox(self, flow: Flow, source: Source) -> None:
        account = self.vendors.account
        if account is not None:
            await fill_sandbox(account, flow, source)

    def _limits(self, model: str) -> Limits:
        return self.caller.catalogue.start_limits(model, str(self.settings.get("openai.tier")))

    def _is_openai(self, connection: str) -> bool:
        """Tell whether OpenAI itself answers over a connection, with its batches and service tiers."""
        kind = self.vendors.book.find_for_calls(connection).kind
        return kind == "openai" and (self.vendors.is_sandbox or is_vendor(self.caller.connection(connection).host))

    async def plan(self, path: Path, *, by: str | None = None, all_records: bool = False) -> Plan:
        """Return what `run` would do and cost, by each way to buy; calls nothing that costs, writes nothing.

        `by` is a deadline such as `24h`, instead of the flow's own. `all_records` as with `run`.
        """
        flow = load_flow(path)
        async with self.open_bench(flow) as bench:
            bench.is_whole = all_records
            return await Planner(flow, bench, self.clock.new_id("plan"), by or "").make()

    async def run(
        self,
        path: Path,
        *,
        budget: float | None = None,
        by: str | None = None,
        apply_schema: bool = False,
        all_records: bool = False,
        listen: Callable[[Progress], None] | None = None,
        started: Callable[[Run], None] | None = None,
    ) -> Report:
        """Run a flow, or go on with its unfinished run.

        `budget` is in dollars for this run. `by` is a deadline such as `24h` instead of the flow's own: the
        cheapest way that meets it is taken. `apply_schema` creates missing Brevo attributes. `all_records`
        reads unchanged records too, in a new run, where the source could leave them out.
        `listen` gets the progress, `started` the run itself, which `stop` ends softly.
        """
        flow = load_flow(path)
        async with self.open_bench(flow) as bench:
            await self._check_first(flow, bench, apply_schema)
            unfinished = await self._unfinished(flow)
            if all_records:
                await forget_progress(self.store, flow.name)
            elif unfinished is not None and unfinished.is_of(flow, bench.source):
                bench.road = await choose_road(flow, bench, unfinished.id, by, self.batches)
                report = await self._execute(flow, bench, unfinished.id, budget, listen, started)
                if report.problem is None or report.problem.code not in SOURCE_CHANGED:
                    return report
            run_id = self.clock.new_id("run")
            bench.road = await choose_road(flow, bench, run_id, by, self.batches)
            return await self._execute(flow, bench, run_id, budget, listen, started)

    async def retry(
        self,
        run_id: str,
        *,
        budget: float | None = None,
        listen: Callable[[Progress], None] | None = None,
        started: Callable[[Run], None] | None = None,
    ) -> Report:
        """Run the flow again over the records of a run that failed, with the flow file and settings of today."""
        rows = await list_runs(self.store, run=run_id, limit=1)
        if not rows:
            raise InputError(f"there is no run {run_id}", code="run.unknown", hint="`penstock runs list` shows them.")
        flow = load_flow(Path(rows[0].path))
        async with self.open_bench(flow) as bench:
            bench.source = LettersSource(self.store, run_id)
            await self._check_first(flow, bench, False)
            await self._unfinished(flow)
            new_run = self.clock.new_id("run")
            bench.road = await choose_road(flow, bench, new_run, None, self.batches)
            await FlowState(self.store, flow.name).plan_failed_effects(run_id, new_run, self.clock.now())
            return await self._execute(flow, bench, new_run, budget, listen, started)

    async def _execute(
        self,
        flow: Flow,
        bench: Bench,
        run_id: str,
        budget: float | None,
        listen: Callable[[Progress], None] | None,
        started: Callable[[Run], None] | None,
    ) -> Report:
        limit = budget if budget is not None else flow.budget
        if limit is not None:
            self.ledger.budgets[f"run:{run_id}"] = to_money(limit)
        for source in (bench.source, *bench.joins.values()):
            if isinstance(source, MadeSource):
                await source.prepare(run_id)
        await self._fill_sandbox(flow, bench.source)
        await Increments(flow, bench).begin(run_id)
        progress = Progress(self.clock, run_id, budget=self.ledger.budgets.get(f"run:{run_id}"))
        progress.total = await bench.source.count()
        progress.headroom = lambda: self._describe_quota(bench.choice)
        if listen is not None:
            listen(progress)
        if flow.steps:
            self._check_model(bench.choice, progress)
        pages = await self._start_jobs(duty="work" if self._is_shared else "ask")
        run = Run(flow, bench, run_id, progress, pages)
        if started is not None:
            started(run)
        self._running.add(run_id)
        try:
            return await run.execute()
        finally:
            self._running.discard(run_id)

    def _check_model(self, choice: ModelChoice, progress: Progress) -> None:
        """Raise `FixError` when the model is shut down; say so when it will be, or stands for another."""
        if choice.model.shutdown is None and not choice.instead_of:
            return
        client, now = self.caller.connection(choice.connection), self.clock.now()
        check_alive(choice.model, client, now)
        if end := describe_end(choice.model, client, now, choice.instead_of):
            progress.tell(end)

    def _describe_quota(self, choice: ModelChoice) -> str:
        """Say how much of the quota is in use, and whether the vendor holds everybody back."""
        client = self.caller.connections.get(choice.connection)
        if client is None:
            return ""
        state = self.governor.headroom(Pool(client.quota_account, choice.model.id))
        if state.get("held_seconds"):
            return f"held for {state['held_seconds']:.0f} s"
        used = state.get("used")
        return "" if used is None else f"{min(used, 1.0):.0%} of quota"  # a saved-up burst is more

    async def _start_jobs(self, duty: Duty) -> JobPages:
        """Begin to work on pages as durable jobs; raises `StoppedError` when another process holds the file."""
        if self._pages is None:
            jobs = Jobs(self._jobs_place, self.clock, str(self.settings.get("worker")), queues={QUEUE: PAGES_AHEAD})
            self._pages = JobPages(jobs, is_shared=self._is_shared, open_worker=self._open_worker)
            await jobs.start(duty=duty)
            self._closing.push_async_callback(jobs.stop)
            await jobs.forget_finished(KEEP_JOBS_SECONDS)
        return self._pages

    async def _open_worker(self, run_id: str) -> PageWorker:
        """Wire what is needed to work on pages of a run that another process started."""
        rows = await list_runs(self.store, run=run_id, limit=1)
        if not rows:
            raise InputError(f"there is no run {run_id}", code="run.unknown")
        flow = load_flow(Path(rows[0].path))
        if flow.hash != rows[0].definition_hash:
            raise FlowError(
                "the flow file differs from the one that the run was started with",
                code="flow.changed",
                where=rows[0].path,
                hint="Deploy the same files to every worker, then run the command again.",
            )
        bench = await self._closing.enter_async_context(self.open_bench(flow))
        kind, _, retried = rows[0].source.partition(":")
        if kind == LettersSource.KIND:
            bench.source = LettersSource(self.store, retried)
        if isinstance(bench.source, MadeSource):
            await bench.source.go_on(rows[0].source)
        await Increments(flow, bench).begin()
        bench.road = await choose_road(flow, bench, run_id, None, self.batches)
        return PageWorker(flow, bench, run_id, Progress(self.clock, run_id))

    async def serve_worker(self, stop: asyncio.Event) -> None:
        """Work on pages of other processes' runs until `stop` is set; PostgreSQL only."""
        if not self._is_shared:
            raise SettingsError(
                "workers share a PostgreSQL database, and none is set",
                code="settings.missing",
                hint="export PENSTOCK_DATABASE_URL=postgresql://user:password@host/database",
            )
        await self._start_jobs(duty="work")
        await stop.wait()

    async def check_sinks(self) -> list[Finding]:
        """Look whether the Brevo account still takes what the flows that ran here write; changes nothing."""
        findings: list[Finding] = []
        paths = {row.flow: Path(row.path) for row in reversed(await list_runs(self.store, limit=1000))}
        for name, path in paths.items():
            try:
                findings += await self._check_sink(path) if path.is_file() else []
            except PenstockError as error:
                findings.append(Finding(f"flow {name}", "warn", error.message, error.hint))
        return findings

    async def _check_sink(self, path: Path) -> list[Finding]:
        flow = load_flow(path)
        if all(target.kind != "brevo" for target in flow.targets):
            return []
        async with self.open_bench(flow) as bench:
            samples = await read_samples(flow, bench.source, bench.joins)
            found = [
                finding
                for target, sink in bench.sinks
                if target.kind == "brevo"
                for finding in await sink.check(kinds_of(target, samples))
            ]
        bad = [
            Finding(f"flow {flow.name}: {one.name}", one.verdict, one.message, one.fix)
            for one in found
            if one.verdict != "ok"
        ]
        return bad or [Finding(f"flow {flow.name}", "ok", f"the account takes all {len(found)} that it writes")]

    async def _unfinished(self, flow: Flow) -> RunRow | None:
        """Return the run of the flow that can go on; raises `FixError` when a living process is at it."""
        unfinished = await FlowState(self.store, flow.name).unfinished_run()
        if unfinished is None:
            return None
        alive = {row[0] for row in await self.store.read("open_sessions")}
        is_alive = unfinished.session in alive - {self.store.session} or unfinished.id in self._running
        if unfinished.state == "running" and is_alive:
            raise FixError(
                f"the flow {flow.name} is already running (run {unfinished.id})",
                code="run.already-running",
                hint="Wait for it, or stop that process; then run the same command again.",
            )
        return unfinished

    async def _check_first(self, flow: Flow, bench: Bench, apply_schema: bool) -> None:
        samples = await read_samples(flow, bench.source, bench.joins)
        check_samples(flow, samples)
        for target, sink in bench.sinks:
            kinds = kinds_of(target, samples)
            create = getattr(sink, "create_missing", None)
            if apply_schema and create is not None:
                await create(kinds)
            bad = [finding for finding in await sink.check(kinds) if finding.verdict == "fail"]
            if bad:
                more = f" (and {len(bad) - 1} more: `penstock plan` lists them)" if len(bad) > 1 else ""
                raise FlowError(
                    f"{sink.describe()}: {bad[0].message}{more}",
                    code="sink.does-not-fit",
                    where=str(flow.path),
                    hint=bad[0].fix,
                )
