"""`penstock reconcile`: our ledger beside the vendor's usage and invoice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import click

from penstock.base.errors import InputError
from penstock.base.types import format_money
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.runtime.reconcile import Line, total
from penstock.workspace import Workspace


@click.command()
@click.option("--since", metavar="DATE", help="From this day on, UTC (default: a week before the end).")
@click.option(
    "--until", metavar="DATE", help="Before this day, UTC (default: today, whose figures are still arriving)."
)
@click.option("--project", default="", help="Only this project of the organisation.")
@click.option("--all", "show_all", is_flag=True, help="Also the lines on which both sides agree.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def reconcile(given: Given, since: str | None, until: str | None, project: str, show_all: bool, as_json: bool) -> None:
    """Compare the ledger with OpenAI's usage and costs, per day, project and model; needs an admin key."""

    async def work() -> list[Line]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="reconcile") as workspace:
            today = datetime.fromtimestamp(workspace.clock.now(), UTC).date()
            end = _to_day(until) or today
            return await workspace.upkeep.reconcile(_to_day(since) or end - timedelta(days=7), end, project)

    lines = run_async(work)
    if as_json:
        render.show_json([{**_plain(line), "tokens": line.tokens, "cost": line.cost, "equal": line.is_equal}
                          for line in lines])  # fmt: skip
    else:
        _show(lines, show_all)


def _to_day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a date", code="input.date", hint="Write it as 2026-11-20.") from None


def _plain(line: Line) -> dict[str, object]:
    names = ("day", "project", "model", "ours", "theirs", "reasons")
    return {name: getattr(line, name) for name in names}


def _show(lines: list[Line], show_all: bool) -> None:
    if not lines:
        render.note("Neither side knows of any call on these days.")
        return
    shown = [line for line in lines if show_all or not line.is_equal]
    render.show_table(
        ["day", "project", "model", "calls", "at OpenAI", "tokens", "at OpenAI", "cost", "at OpenAI", "difference"],
        [_row(line) for line in [*shown, total(lines)]],
    )
    for line in shown:
        for reason in line.reasons:
            render.show(f"{line.day} {line.model}: {reason}")
    equal = len(lines) - sum(not line.is_equal for line in lines)
    render.note(f"{equal} of {len(lines)} lines agree." + ("" if show_all or not equal else " Add --all to see them."))


def _row(line: Line) -> tuple[object, ...]:
    ours, theirs = line.ours, line.theirs
    calls = f"{ours.requests:,}" + (f" +{ours.unknown:,}?" if ours.unknown else "")
    stated = f"{theirs.input + theirs.output:,}" if theirs.has_tokens else "–"
    return (
        line.day or "all",
        line.project,
        line.model,
        calls,
        f"{theirs.requests:,}",
        f"{ours.input + ours.output:,}",
        stated,
        format_money(ours.cost),
        format_money(theirs.cost),
        format_money(line.cost),
    )
