"""`penstock runs`, `penstock cost` and `penstock answers`: what happened, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from penstock.base.errors import InputError
from penstock.cli import render
from penstock.cli.flows import report_dict, show_report, stop_softly
from penstock.cli.main import Given, common, run_async
from penstock.flows.kept import Letter, RunRow
from penstock.flows.state import list_letters, list_runs
from penstock.workspace import Workspace


@click.group()
def runs() -> None:
    """List, show and retry runs."""


def _time(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


@runs.command("list")
@click.option("--flow", default="", help="Only runs of this flow.")
@click.option("--limit", default=20, show_default=True, help="Runs to list, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def list_(given: Given, flow: str, limit: int, as_json: bool) -> None:
    """List runs, newest first (times are UTC)."""

    async def work() -> list[RunRow]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="runs") as workspace:
            return await list_runs(workspace.store, flow=flow, limit=limit)

    found = run_async(work)
    if as_json:
        render.show_json(found)
        return
    if not found:
        render.note("No runs yet. Start one: penstock run FLOW")
        return
    render.show_table(
        ["run", "flow", "state", "started", "records", "calls", "cost", "written", "failed"],
        [
            (row.id, row.flow, row.state, _time(row.started_at), f"{row.counts.read:,}", f"{row.counts.calls:,}",
             render.money(row.counts.cost), f"{row.counts.written:,}",
             f"{row.counts.failed + row.counts.rejected + row.counts.duplicates + row.counts.refused:,}")
            for row in found
        ],
    )  # fmt: skip


@runs.command("show")
@click.argument("run")
@click.option("--limit", default=50, show_default=True, help="Dead letters to show, oldest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def show(given: Given, run: str, limit: int, as_json: bool) -> None:
    """Show one RUN and its dead letters: which records failed, where, why, and what mends it."""

    async def work() -> tuple[list[RunRow], list[Letter]]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="runs") as workspace:
            found = await list_runs(workspace.store, run=run, limit=1)
            return found, await list_letters(workspace.store, run, limit=limit)

    found, letters = run_async(work)
    if not found:
        raise InputError(f"there is no run {run}", code="run.unknown", hint="`penstock runs list` shows them.")
    if as_json:
        render.show_json({"run": found[0], "dead_letters": letters})
        return
    row = found[0]
    counts = msgspec.to_builtins(row.counts)
    render.show(f"Run {row.id} of {row.flow}: {row.state}" + (f" ({row.problem})" if row.problem else ""))
    render.show_facts([("started", _time(row.started_at)), ("ended", _time(row.ended_at)), ("flow file", row.path)])
    render.show_facts((name, f"{value:,}") for name, value in counts.items() if value and name not in ("cost", "saved"))
    render.show_facts(
        [("cost", render.money(row.counts.cost)), ("saved by held answers", render.money(row.counts.saved))]
    )
    if letters:
        render.show(f"Dead letters ({len(letters)} shown)")
        render.show_problems(letter.problem for letter in letters)
        render.note(f"Try the failed records again: {given.type(f'runs retry {row.id}')}")


@runs.command("retry")
@click.argument("run")
@click.option("--only", type=click.Choice(["failed"]), default="failed", show_default=True, help="What to try again.")
@click.option("--budget", type=float, help="Dollars that the retry may cost; a hard stop.")
@click.option("--model", help="Model instead of the setting.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def retry(given: Given, run: str, only: str, budget: float | None, model: str | None, as_json: bool) -> int:
    """Try the failed records and refused writes of RUN again, with today's flow file and settings."""
    del only
    if model:
        given.overrides["model"] = model

    async def work() -> Any:
        async with Workspace.open(given.folder, overrides=given.overrides, command="runs retry") as workspace:
            lines: list[render.ProgressLine] = []
            try:
                return await workspace.retry(
                    run,
                    budget=budget,
                    listen=lambda progress: lines.append(render.ProgressLine(progress)),
                    started=stop_softly,
                )
            finally:
                for line in lines:
                    line.clear()

    report = run_async(work)
    if as_json:
        render.show_json(report_dict(report))
    else:
        show_report(report, f"runs retry {run}", given)
    if report.problem is not None:
        render.show_error(report.problem, debug=given.debug)
    return int(report.exit_code)


@click.command()
@click.option("--by", type=click.Choice(["day", "model", "operation", "flow"]), default="day", show_default=True,
              help="How to group.")  # fmt: skip
@click.option("--since", metavar="DATE", help="Only calls from this day on (UTC).")
@click.option("--unknown", is_flag=True, help="List the calls whose outcome is not known.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def cost(given: Given, by: str, since: str | None, unknown: bool, as_json: bool) -> None:
    """What was spent. Calls without an outcome count with what they could have cost, apart."""
    start = _to_day(since)

    async def work() -> list[Any]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="cost") as workspace:
            if unknown:
                return list(await workspace.store.read("unknown_calls", limit=200))
            return list(await workspace.ledger.costs(since=start))

    found = run_async(work)
    if unknown:
        _show_unknown(found, as_json)
        return
    groups = group_costs(found, by)
    if as_json:
        render.show_json(groups)
        return
    if not groups:
        render.note("Nothing was spent yet.")
        return
    render.show_table(
        [by, "calls", "failed", "tokens in", "cached", "tokens out", "cost", "maybe billed", "price unknown"],
        [
            (group["name"], *(f"{group[part]:,}" for part in ("calls", "failed", "input", "cached", "output")),
             render.money(group["cost"]),
             render.money(group["held"]) if group["held"] else "", group["unpriced"] or "")
            for group in groups
        ],
    )  # fmt: skip


def _to_day(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise InputError(f"{text!r} is not a date", code="input.date", hint="Write it as 2026-11-20.") from error


def group_costs(rows: list[Any], by: str) -> list[dict[str, Any]]:
    """Sum cost rows by day, model, operation or flow; an unknown price stays apart and is never zero."""
    groups: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = str(getattr(row, by)) or "(none)"
        empty = {"name": name, "calls": 0, "failed": 0, "unknown": 0, "input": 0, "cached": 0, "output": 0, "cost": 0,
                 "held": 0, "unpriced": 0}  # fmt: skip
        group = groups.setdefault(name, empty)
        group[{"done": "calls", "failed": "failed"}.get(row.state, "unknown")] += row.count
        for field in ("input", "cached", "output", "cost", "held", "unpriced"):
            group[field] += getattr(row, field)
    return list(groups.values())


def _show_unknown(rows: list[Any], as_json: bool) -> None:
    names = ("call", "run", "flow", "operation", "model", "could_cost", "sent", "why")
    found = [
        dict(zip(names, (f"pk-{row[0]:x}", *row[1:5], row[5], _time(row[6]), row[7]), strict=True)) for row in rows
    ]
    if as_json:
        render.show_json(found)
        return
    if not found:
        render.note("Every call has a known outcome.")
        return
    render.show_table(
        names, [[*list(row.values())[:5], render.money(row["could_cost"]), row["sent"], row["why"]] for row in found]
    )
    render.note("The id in the first column travelled as X-Client-Request-Id: OpenAI's support can look it up.")


@click.group()
def answers() -> None:
    """Held answers: how many, purge what expired, forget a record's."""


@answers.command("show")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def show_answers(given: Given, as_json: bool) -> None:
    """Say how many answers are held."""

    async def work() -> Any:
        async with Workspace.open(given.folder, overrides=given.overrides, command="answers") as workspace:
            return (await workspace.store.read("count_answers"))[0]

    count, size, first, last = run_async(work)
    if as_json:
        render.show_json({"answers": count, "bytes": size, "first": first, "last": last})
        return
    render.show_facts([("answers", f"{count:,}"), ("bytes", f"{size:,}"), ("from", _time(first)), ("to", _time(last))])


@answers.command()
@common
@click.pass_obj
def purge(given: Given) -> None:
    """Delete answers older than the setting answers.keep-days."""

    async def work() -> int:
        async with Workspace.open(given.folder, overrides=given.overrides, command="answers") as workspace:
            return await workspace.answers.purge_expired()

    render.note(f"{run_async(work):,} answers deleted.")


@answers.command()
@click.argument("owner")
@common
@click.pass_obj
def forget(given: Given, owner: str) -> None:
    """Delete every answer bought for OWNER: the key of a record, or the contact it was summarised by."""

    async def work() -> int:
        async with Workspace.open(given.folder, overrides=given.overrides, command="answers") as workspace:
            return await workspace.forget_answers(owner)

    render.note(f"{run_async(work):,} answers deleted.")
