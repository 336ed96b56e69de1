"""Opens a project folder and wires everything: the Python door.

async with Workspace.open(Path("."), overrides={"sandbox": True}) as workspace:
    plan = await workspace.plan(Path("flow.yaml"))
    report = await workspace.run(Path("flow.yaml"), budget=2.50)
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.base.clock import Clock, SystemClock
from penstock.base.errors import PenstockError, SettingsError
from penstock.base.settings import Settings
from penstock.base.types import Finding, to_money
from penstock.calls import Operations
from penstock.flow_runs import FlowRuns
from penstock.flows.engine import Report, Run
from penstock.flows.plan import Plan
from penstock.operations.files import ANY_PATH
from penstock.runtime import checks
from penstock.runtime.answers import Answers
from penstock.runtime.batches import Batches
from penstock.runtime.call import Caller
from penstock.runtime.corrections import Corrections
from penstock.runtime.endpoint_check import label_of
from penstock.runtime.governor import Governor
from penstock.runtime.ledger import Ledger
from penstock.runtime.progress import Progress
from penstock.runtime.quota import Board, PostgresBoard, SqliteBoard
from penstock.runtime.refusals import Refusals
from penstock.runtime.store import Store, is_server
from penstock.upkeep import Upkeep
from penstock.vendor.models import Catalogue, Limits, load_catalogue
from penstock.vendors import Vendors

if TYPE_CHECKING:
    from penstock.deliveries import Deliveries


class Recovered(NamedTuple):
    """What was found when the store was opened: calls that a dead process left without an outcome."""

    unknown_calls: int


class Workspace:
    """One open project: settings, store, vendors or their emulators."""

    def __init__(self, folder: Path, settings: Settings, clock: Clock, store: Store, closing: AsyncExitStack) -> None:
        self.folder = folder
        self.settings = settings
        self.clock = clock
        self.store = store
        self.recovered = Recovered(0)
        self._closing = closing
        self.catalogue: Catalogue
        self.ledger: Ledger
        self.answers: Answers
        self.governor: Governor
        self.corrections: Corrections
        self.caller: Caller
        self.batches: Batches
        self.operations: Operations
        self.flows: FlowRuns
        self.upkeep: Upkeep
        self.vendors: Vendors

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        command: str = "",
    ) -> AsyncIterator[Workspace]:
        """Open the workspace in `folder`; `overrides` are settings by name, such as `{"sandbox": True}`.

        Raises `SettingsError` for wrong settings, `FixError` or `StoppedError` when the store cannot be used.
        """
        settings = Settings(folder, overrides or {}, os.environ if environ is None else environ)
        clock = clock or SystemClock()
        async with AsyncExitStack() as closing:
            store = await Store.open(cls._database(folder, settings), clock, command)
            closing.push_async_callback(store.close)
            workspace = cls(folder, settings, clock, store, closing)
            await workspace._wire()
            yield workspace

    @staticmethod
    def _database(folder: Path, settings: Settings) -> Path | str:
        url = settings.get("database-url")
        name = "sandbox.sqlite" if settings.get("sandbox") else "store.sqlite"
        return str(url) if url else folder / ".penstock" / name

    async def _wire(self) -> None:
        self.catalogue = load_catalogue(self._models_file())
        self.ledger = Ledger(self.store, self.clock, self._budgets())
        self.recovered = Recovered(await self.ledger.recover())
        self.answers = Answers(self.store, self.clock, self.settings.get("answers.keep-days"))
        self.corrections = await Corrections.load(self.store)
        self._closing.push_async_callback(self.corrections.save)
        self.vendors = Vendors(self.settings, self.clock, self.folder, self._closing.callback)
        self._closing.push_async_callback(self.vendors.close)
        self.upkeep = Upkeep(self.folder, self.settings, self.clock, self.catalogue, self.vendors, self.store)
        self.governor = self._open_governor()
        self.caller = Caller(
            connections=self.vendors.connections,
            answers=self.answers,
            ledger=self.ledger,
            governor=self.governor,
            catalogue=self.catalogue,
            corrections=self.corrections,
            refusals=await Refusals.load(self.store, self.clock),
            clock=self.clock,
        )
        self.batches = Batches(self.store, self.caller, self.clock)
        fetch = self.vendors.fetch_file
        self.operations = Operations(self.caller, self.vendors.book, self.clock, fetch=fetch, files=ANY_PATH)
        self._closing.push_async_callback(self.operations.close)
        self.flows = FlowRuns(
            store=self.store,
            clock=self.clock,
            settings=self.settings,
            vendors=self.vendors,
            operations=self.operations,
            ledger=self.ledger,
            governor=self.governor,
            batches=self.batches,
            jobs_place=str(self.settings.get("database-url")) if self.is_shared else self._beside("jobs"),
            closing=self._closing,
        )

    def _models_file(self) -> Path | None:
        path = self.folder / "models.toml"
        return path if path.is_file() else None

    def _budgets(self) -> dict[str, int]:
        scopes = ("run", "flow", "day", "month")
        values = {scope: self.settings.get(f"budget.{scope}") for scope in scopes}
        return {scope: to_money(value) for scope, value in values.items() if value is not None}

    def _open_governor(self) -> Governor:
        if self.is_shared:
            board: Board = PostgresBoard(str(self.settings.get("database-url")), self.clock)
        else:
            board = SqliteBoard(self._beside("quota"), self.clock)
        governor = Governor(self.clock, board, lambda pool: self.start_limits(pool.model))
        self._closing.push_async_callback(board.close)
        self._closing.push_async_callback(governor.close)
        return governor

    def _beside(self, name: str) -> Path:
        """Name a file beside the store's, for what must not wait for the store's transactions."""
        place = Path(self.store.place)
        return place.with_name(f"{place.stem}-{name}.sqlite")

    def start_limits(self, model: str) -> Limits:
        """Return the limits that are assumed until a reply states them."""
        return self.catalogue.start_limits(model, str(self.settings.get("openai.tier")))

    @property
    def is_shared(self) -> bool:
        """Whether several processes may work on the same runs: on PostgreSQL only."""
        return is_server(str(self.settings.get("database-url") or ""))

    async def plan(self, path: Path, *, by: str | None = None, all_records: bool = False) -> Plan:
        """Return what `run` would do and cost, by each way to buy; calls nothing that costs, writes nothing.

        `by` is a deadline such as `24h`, instead of the flow's own; `all_records` reads unchanged records too.
        """
        return await self.flows.plan(path, by=by, all_records=all_records)

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
        """Run a flow, or go on with its unfinished run: see `FlowRuns.run`."""
        return await self.flows.run(
            path,
            budget=budget,
            by=by,
            apply_schema=apply_schema,
            all_records=all_records,
            listen=listen,
            started=started,
        )

    async def retry(
        self,
        run_id: str,
        *,
        budget: float | None = None,
        listen: Callable[[Progress], None] | None = None,
        started: Callable[[Run], None] | None = None,
    ) -> Report:
        """Run the flow again over the records of a run that failed, with the flow file and settings of today."""
        return await self.flows.retry(run_id, budget=budget, listen=listen, started=started)

    async def check(self) -> list[Finding]:
        """Look at store, calls, model and every vendor that is set up; changes nothing, costs nothing."""
        model = str(self.settings.get("model"))
        findings = [
            await checks.check_store(self.store),
            await checks.check_ledger(self.ledger),
            checks.check_model(self.catalogue, model, self.clock.now()),
        ]
        names = [str(self.settings.get("connection")), "brevo", *self.vendors.book.names()]
        for name in dict.fromkeys(names):
            if name == "conversions" and not (self.vendors.is_sandbox or self.settings.get("conversions.api-key")):
                continue
            try:
                found = await self.vendors.check(name, model)
                if name == "brevo" and found[0].verdict == "ok":
                    found += [*await self._check_webhooks(), *await self.flows.check_sinks()]
                findings += found
            except SettingsError as error:
                findings.append(checks.missing(f"{label_of(name)} key", error))
        async with self.deliveries() as deliveries:
            return findings + await deliveries.check()

    async def _check_webhooks(self) -> list[Finding]:
        from penstock.data.brevo_source import read_account
        from penstock.data.brevo_webhooks import Webhooks
        from penstock.runtime.hooks import Hooks

        try:
            caller = self.vendors.open_brevo()
            hooks = Hooks(self.store, self.clock)
            return await Webhooks(caller, await read_account(caller, at_once=True), "brevo", hooks).check()
        except PenstockError as error:
            return [Finding("Brevo webhooks", "warn", error.message, error.hint)]

    def deliveries(self) -> AbstractAsyncContextManager[Deliveries]:
        """Open the conversion events of this workspace."""
        from penstock.deliveries import open_deliveries

        return open_deliveries(self.store, self.clock, self.settings, self.vendors)

    async def forget_answers(self, owner: str) -> int:
        """Delete the answers bought for a record, or for all records of a contact; returns how many."""
        rows = await self.store.read("answers_of_owner", owner=owner)
        keys = [bytes.fromhex(part) for row in rows for part in str(row[0]).split(",") if part]
        return await self.answers.forget(keys)
