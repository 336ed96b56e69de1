"""`penstock batches`: what is bought through OpenAI's Batch API, how far it is, and how to call it off."""

from __future__ import annotations

import click

from penstock.base.errors import InputError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.runtime.batch_lines import BatchRow
from penstock.runtime.batches import list_batches
from penstock.workspace import Workspace


@click.group()
def batches() -> None:
    """List and cancel batches of requests that wait for their answers."""


@batches.command("list")
@click.option("--limit", default=20, show_default=True, help="Batches to list, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def list_(given: Given, limit: int, as_json: bool) -> None:
    """List batches, newest first, as they were when they were last looked at."""

    async def work() -> tuple[list[BatchRow], float]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="batches") as workspace:
            return await list_batches(workspace.store, limit=limit), workspace.clock.now()

    found, now = run_async(work)
    if as_json:
        render.show_json(found)
        return
    if not found:
        render.note("No batches yet. A run with time uses them: penstock run FLOW --by 24h")
        return
    render.show_table(
        ["batch", "run", "model", "requests", "state", "done", "age", "at OpenAI"],
        [
            (row.id, row.run, row.model, f"{row.lines:,}", describe(row), f"{row.completed + row.failed:,}",
             render.duration(now - row.reserved_at), row.vendor_id)
            for row in found
        ],
    )  # fmt: skip


def describe(row: BatchRow) -> str:
    """Say in a word or two how far a batch is."""
    state = (row.status or row.state).replace("_", " ")
    return f"{state} ({row.problem})" if row.problem else state


@batches.command("cancel")
@click.argument("batch")
@common
@click.pass_obj
def cancel(given: Given, batch: str) -> None:
    """Ask OpenAI to end BATCH; what it has answered by then is kept and paid for, and its run stops."""

    async def work() -> BatchRow:
        async with Workspace.open(given.folder, overrides=given.overrides, command="batches") as workspace:
            found = await list_batches(workspace.store, batch=batch, limit=1)
            if not found:
                raise InputError(
                    f"there is no batch {batch}", code="batch.unknown", hint="`penstock batches list` shows them."
                )
            if found[0].state != "open":
                raise InputError(
                    f"the batch {batch} is {describe(found[0])}: there is nothing to cancel",
                    code="batch.not-open",
                    hint="Run the same flow again to go on with what it left.",
                )
            await workspace.batches.cancel(found[0])
            return found[0]

    row = run_async(work)
    render.note(f"{row.id} is being cancelled; the run {row.run} stops when OpenAI has ended it.")
