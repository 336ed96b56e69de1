"""`penstock events`: send conversion events, see what became of them, mend and repeat."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.base.errors import InputError, StoppedError
from penstock.base.types import Problem
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.workspace import Workspace

if TYPE_CHECKING:
    from penstock.deliveries import Deliveries
    from penstock.events.inspect import Choice, Row
    from penstock.events.mapping import Mapping

T = TypeVar("T")

SHOWN_PROBLEMS = 5
STATES = ("waiting", "blocked", "delivered", "validated", "rejected", "expired", "opted out", "duplicate", "refused")
LOST = ("refused", "rejected", "expired")


class _Events(click.Group):
    """A group that imports a command's room when it is called or listed."""

    OWN = ("send", "tail", "show", "replay", "export", "quality", "flush", "resume")
    OTHERS = {  # noqa: RUF012 - a constant table
        "check": "penstock.cli.events_check",
        "contract": "penstock.cli.events_check",
        "setup": "penstock.cli.events_setup",
        "settings": "penstock.cli.events_setup",
        "compare": "penstock.cli.events_setup",
    }
    LOOKS = ("tail", "show", "replay", "export", "quality")

    def list_commands(self, _context: click.Context) -> list[str]:
        return ["check", *self.OWN, "contract", "setup", "settings", "compare"]

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in self.OTHERS and name not in self.OWN:
            return None
        from importlib import import_module

        room = self.OTHERS.get(name) or ("penstock.cli.events_look" if name in self.LOOKS else __name__)
        command: click.Command = getattr(import_module(room), name)
        return command


@click.group(cls=_Events)
def events() -> None:
    """Send conversion events to OpenAI; see what became of each."""


def open_and_run(given: Given, command: str, work: Callable[[Deliveries], Awaitable[T]]) -> T:
    """Run work on the deliveries of the workspace."""

    async def inner() -> T:
        async with (
            Workspace.open(given.folder, overrides=given.overrides, command=command) as workspace,
            workspace.deliveries() as deliveries,
        ):
            return await work(deliveries)

    return run_async(inner)


def read_moment(text: str | None, default: float) -> float:
    """Read a day or a time, UTC unless it says otherwise, as Unix seconds."""
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no date", code="input.date", hint="Write 2026-11-20 or 2026-11-20T09:30."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mapping", required=True, metavar="FILE", help="Mapping file, or a preset such as shopify-order.")
@click.option("--source", metavar="NAME", help="Name under which the events are found again (default: the file's).")
@click.option("--real-time", is_flag=True, help="Send each page of records at once instead of filling batches.")
@click.option("--validate-only", is_flag=True, help="OpenAI checks the events and saves nothing.")
@click.option("--later", is_flag=True, help="Only write the events down; a flush or `penstock serve` sends them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def send(
    given: Given,
    file: Path,
    mapping: str,
    source: str | None,
    real_time: bool,
    validate_only: bool,
    later: bool,
    as_json: bool,
) -> int:
    """Turn the records of FILE (CSV, JSON lines or Parquet) into events and send them.

    Every event is on disk before it is sent; after an interruption run the same command again: what is known is
    not sent twice. Exit code 3 when some records gave no event, or OpenAI refused one.
    """
    chosen = Path(mapping) if Path(mapping).exists() else mapping

    async def work(deliveries: Deliveries) -> tuple[_Sending, dict[str, int]]:
        before = await deliveries.counts()
        sending = _Sending(deliveries, deliveries.load_mapping(chosen), source or file.name)
        await sending.send(file, real_time=real_time, validate_only=validate_only, is_later=later)
        after = await deliveries.counts()
        return sending, {state: after.get(state, 0) - before.get(state, 0) for state in STATES}

    sending, moved = open_and_run(given, "events send", work)
    failed = sending.unreadable + sum(max(moved[state], 0) for state in LOST)
    if as_json:
        render.show_json({"read": sending.read, "accepted": sending.states, "unreadable": sending.unreadable,
                          "became": {state: count for state, count in moved.items() if count}})  # fmt: skip
    else:
        _show_sending(sending, moved)
    return 3 if failed else 0


class _Sending:
    """One file on its way; counts what the receipts say, and keeps a few of the problems to show."""

    def __init__(self, deliveries: Deliveries, mapping: Mapping, source: str) -> None:
        self.read = 0
        self.unreadable = 0
        self.states: Counter[str] = Counter()
        self.problems: list[Problem] = []
        self.warnings: Counter[str] = Counter()
        self._deliveries = deliveries
        self._mapping = mapping
        self._source = source

    async def send(self, file: Path, *, real_time: bool, validate_only: bool, is_later: bool) -> None:
        """Accept page after page while the loop delivers; then wait until nothing can be sent any more."""
        from penstock.data.files import files_source

        stop = asyncio.Event()
        running = None if is_later else asyncio.ensure_future(self._deliveries.run(stop))
        records = files_source({"path": file.name, "key": ()}, file.parent)
        try:
            async for page in records.pages(size=1_000):
                self.unreadable += len(page.rejects)
                self._note([reject.problem for reject in page.rejects])
                self.read += len(page.records) + len(page.rejects)
                await self._accept(page.records, running, real_time=real_time, validate_only=validate_only)
            stop.set()
            if running is not None:
                await running
        finally:
            await records.close()
            if running is not None and not running.done():  # interrupted: what was accepted stays on disk
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        if not is_later:
            await self._deliveries.flush(is_patient=True)

    async def _accept(
        self, records: list[Any], running: asyncio.Task[None] | None, *, real_time: bool, validate_only: bool
    ) -> None:
        """Hand records in; while the queue is full and being sent, wait for room."""
        while records:
            try:
                receipts = await self._deliveries.accept(
                    records, mapping=self._mapping, source=self._source, real_time=real_time,
                    validate_only=validate_only,
                )  # fmt: skip
            except StoppedError as error:
                is_moving = running is not None and "blocked" not in await self._deliveries.counts()
                if error.code != "events.queue-full" or not is_moving:
                    raise
                await self._deliveries.clock.sleep(1.0)
                continue
            self.states.update(receipt.state for receipt in receipts)
            self.warnings.update(warning for receipt in receipts for warning in receipt.warnings)
            self._note([one.problem for one in receipts if one.state == "refused" and one.problem is not None])
            return

    def _note(self, problems: list[Problem]) -> None:
        self.problems += problems[: SHOWN_PROBLEMS - len(self.problems)]


def _show_sending(sending: _Sending, moved: dict[str, int]) -> None:
    facts: list[tuple[str, Any]] = [("records", f"{sending.read:,}")]
    if sending.unreadable:
        facts.append(("unreadable", f"{sending.unreadable:,}"))
    facts += [(state, f"{count:,}") for state, count in moved.items() if count]
    render.show_facts(facts)
    render.show_problems(sending.problems)
    for text, count in sending.warnings.most_common(SHOWN_PROBLEMS):
        render.note(f"{render.paint('!', 'yellow')} {count:,} events: {text}")
    if moved["rejected"] > 0 or moved["expired"] > 0:
        render.note("See why: penstock events tail --state rejected")
    if moved["blocked"] > 0:
        render.note("A destination is paused: penstock events quality says why; then penstock events resume")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def flush(given: Given, as_json: bool) -> int:
    """Send everything that waits now, without waiting for full batches; repeats what fails until it is through.

    Ctrl-C leaves the rest on disk. Exit code 4 when a destination is paused.
    """
    counts = open_and_run(given, "events flush", lambda deliveries: deliveries.flush(is_patient=True))
    if as_json:
        render.show_json(counts)
    else:
        render.show_facts((state, f"{counts[state]:,}") for state in STATES if counts.get(state))
    if counts.get("blocked"):
        render.note("A destination is paused: penstock events quality says why; then penstock events resume")
        return 4
    return 0


@click.command()
@click.option("--pixel-id", default="", metavar="ID", help="Only this Pixel ID.")
@common
@click.pass_obj
def resume(given: Given, pixel_id: str) -> None:
    """Open paused destinations again, after key or Pixel ID were mended; their events go with the next batch."""
    found = open_and_run(given, "events resume", lambda deliveries: deliveries.resume(pixel_id))
    if not found:
        render.note("Nothing is paused.")
    for one in found:
        why = f" (was: {one.problem.message})" if one.problem is not None else ""
        render.note(f"{one.pixel} is open again{why}. Send what waits: penstock events flush")


async def follow(deliveries: Deliveries, choice: Choice, show: Callable[[Row], None]) -> None:
    """Show the newest events, and again each one that changes, until Ctrl-C."""
    from penstock.events.inspect import tail

    seen: dict[int, tuple[str, int]] = {}
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        while True:
            for row in await tail(deliveries.outbox.store, choice):
                mark = (row.state, row.attempts)
                if seen.get(row.number) != mark:
                    seen[row.number] = mark
                    show(row)
            await deliveries.clock.sleep(1.0)
