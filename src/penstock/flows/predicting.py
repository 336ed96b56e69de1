"""Predictions of customers as the source of a flow: made from an order log wherever it is, once a day."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.base.clock import Clock
from penstock.base.errors import InputError
from penstock.base.types import Finding, Page, Record, Source
from penstock.flows.forecasts import load_forecast, save_forecast
from penstock.flows.made import FREE
from penstock.flows.work import fold_key
from penstock.runtime.barred import Barred
from penstock.runtime.call import Estimate
from penstock.runtime.store import Store

if TYPE_CHECKING:
    from penstock.features.customer_value.forecast import Forecast
    from penstock.features.customer_value.orders import OrderLog
    from penstock.features.customer_value.propensity import Trait
    from penstock.features.customer_value.wishes import Wishes

FILES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
"""What is counted where it lies; other sources are read row by row."""
_SEEN = 500
Opener = Callable[[str, Mapping[str, Any]], Awaitable[Source]]


class PredictionMaker:
    """Makes predictions; `name` is under which the last run is kept, `open_source` opens where orders come from."""

    def __init__(
        self, store: Store, clock: Clock, name: str, wishes: Wishes, folder: Path, open_source: Opener
    ) -> None:
        self._store = store
        self._clock = clock
        self._name = name
        self._wishes = wishes
        self._folder = folder
        self._open = open_source
        self._made: Forecast | None = None
        self.said: list[str] = []
        """Which columns were guessed."""

    @property
    def today(self) -> datetime.date:
        """The day to look from."""
        now = datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC)
        return self._wishes.as_of or now.date()

    @property
    def _path(self) -> Path | None:
        """The file, where it can be counted as it lies."""
        options = self._wishes.orders.get("files")
        if options is None or options.keys() & {"encoding", "delimiter", "format"}:
            return None
        path = self._folder / str(options.get("path") or "")
        return path if path.suffix.lower() in FILES else None

    def describe(self) -> str:
        ((kind, options),) = self._wishes.orders.items()
        return f"predictions from {options.get('path') or options.get('table') or kind}"

    async def fingerprint(self) -> str:
        """Name the file's state, or else the day: rows elsewhere are read once a day."""
        from penstock.features.customer_value.forecast import VERSION

        parts = [self._wishes.model_dump_json(), str(VERSION), str(self.today)]
        for options in (self._wishes.orders.get("files"), self._wishes.signals and self._wishes.signals.files):
            path = self._folder / str((options or {}).get("path") or "")
            if path.is_file():
                stat = path.stat()
                parts.append(f"{stat.st_size} {stat.st_mtime_ns}")
        return "\n".join(parts)

    async def estimate(self) -> Estimate:
        return FREE

    def example(self) -> Record:
        from penstock.features.customer_value.outcome import FIELDS

        return Record("example", dict.fromkeys(FIELDS))

    async def forecast(self) -> Forecast:
        """Make the predictions, once; raises `InputError` where there is too little data and no fallback."""
        if self._made is None:
            from penstock.features.customer_value.forecast import forecast, leave_out

            before = await load_forecast(self._store, self._name)
            log = await self._open_log()
            try:
                traits, said = await self._traits(log)
                work = asyncio.to_thread(forecast, log, self._wishes, self.today, before, traits)
                made = await self._clock.outside(work)
            finally:
                log.close()
            barred = await Barred(self._store).find(made.summaries.customers.tolist())
            said = [*(Finding("columns", "ok", one) for one in self.said), *said]
            self._made = leave_out(replace(made, findings=(*said, *made.findings)), barred)
        return self._made

    async def keep(self) -> None:
        """Keep the run for the next one, and write its report where one is wished for."""
        made = await self.forecast()
        kept = made.keep()
        if kept is not None:
            await save_forecast(self._store, self._name, kept, self._clock.now())
        if self._wishes.report:
            from penstock.features.customer_value.report import write_report

            folder = self._folder / self._wishes.report
            await self._clock.outside(asyncio.to_thread(write_report, made, folder, self.describe()))

    async def make(self, run: str) -> AsyncIterator[Record]:
        from penstock.features.customer_value.outcome import records_of

        made = await self.forecast()
        for record in records_of(made):
            yield Record(str(record["customer"]), record, f"customer {record['customer']}")
        if run:
            await self.keep()

    async def close(self) -> None:
        """Do nothing: what was opened is closed when it is read."""

    async def _open_log(self) -> OrderLog:
        from penstock.features.customer_value.columns import guess_columns
        from penstock.features.customer_value.forecast import rules_of
        from penstock.features.customer_value.orders import OrderLog

        rules, today, path = rules_of(self._wishes), self.today, self._path
        if path is not None:
            fields = await self._clock.outside(asyncio.to_thread(read_fields, path))
            columns, self.said = guess_columns(fields, self._wishes.columns)
            work = asyncio.to_thread(OrderLog.from_file, path, columns, rules, today)
            return await self._clock.outside(work)
        ((kind, options),) = self._wishes.orders.items()
        if kind == "brevo":
            options = {"object": "orders", **options}
        elif "key" not in options:
            options = {**options, "key": self._wishes.columns.contact or "customer"}
        source = FlatSource(await self._open(kind, options))
        try:
            columns, self.said = guess_columns(await source.fields(), self._wishes.columns)
            return await OrderLog.from_source(source, columns, rules, today)
        finally:
            await source.close()

    async def _traits(self, log: OrderLog) -> tuple[tuple[Trait, ...], list[Finding]]:
        """Return what else is known of the customers of the log, by their names there."""
        from penstock.features.customer_value.propensity import Trait
        from penstock.flows.traits import read_known

        if self._wishes.signals is None:
            return (), []
        known, unread = await read_known(self._store, self._wishes.signals, self._open)
        names = {fold_key(name): name for name in log.summaries().customers.tolist()}
        traits = [Trait(names[one.customer], one.day, one.name, one.value) for one in known if one.customer in names]
        said = []
        if unread:
            said.append(Finding("signals", "warn", f"{unread:,} signals cannot be read", "Write numbers and days."))
        if len(traits) < len(known):
            strange = f"{len(known) - len(traits):,} of {len(known):,} signals are of nobody in the order log"
            said.append(Finding("signals", "warn", strange, "Name customers as the orders do."))
        return tuple(traits), said


class FlatSource:
    """A source whose nested fields are reached by a dotted name, such as `identifiers.ext_id`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> str:
        return self._source.describe()

    def identity(self) -> str:
        return self._source.identity()

    async def fields(self) -> list[str]:
        """Return the names of the fields of the first records."""
        async for page in self.pages(size=_SEEN):
            if page.records:
                return list(dict.fromkeys(name for record in page.records for name in record.data))
        raise InputError(f"{self.describe()} holds no order", code="orders.empty", hint="Look at the source.")

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 5_000) -> AsyncIterator[Page]:
        async for page in self._source.pages(cursor, size):
            yield Page(
                [Record(one.key, _flatten(one.data), one.where) for one in page.records], page.rejects, page.cursor
            )

    async def count(self) -> int | None:
        return await self._source.count()

    async def close(self) -> None:
        await self._source.close()


def _flatten(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found.update(_flatten(value, f"{above}{name}."))
        else:
            found[above + name] = value
    return found


def read_fields(path: Path) -> Sequence[str]:
    """Return the columns of a CSV or Parquet file; raises `InputError` (`orders.file`)."""
    import duckdb

    from penstock.features.customer_value.orders import FORMATS

    if not path.is_file():
        raise InputError(f"there is no file {path}", code="orders.file", hint="Give the path of an order log.")
    reader = FORMATS[path.suffix.lower()]
    try:
        with duckdb.connect(":memory:") as store:
            return [str(row[0]) for row in store.execute(f"DESCRIBE SELECT * FROM {reader}", [str(path)]).fetchall()]
    except duckdb.Error as error:
        raise InputError(f"{path} cannot be read: {error}", code="orders.file", hint="Mend the file.") from error
