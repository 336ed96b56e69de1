"""`penstock plan` and `penstock run`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import click

from penstock.base.errors import FixError, StoppedError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.flows.engine import Report, Run
from penstock.flows.plan import Plan
from penstock.runtime.modes import Outlook
from penstock.workspace import Workspace


@click.command()
@click.argument("flow", type=click.Path(path_type=Path))
@click.option("--connection", metavar="NAME", help="Connection instead of the flow's or the setting.")
@click.option("--by", metavar="TIME", help="Deadline such as 24h: compare the ways to buy that meet it.")
@click.option(
    "--all", "all_records", is_flag=True, help="Read unchanged records too, where the source could leave them out."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def plan(given: Given, flow: Path, connection: str | None, by: str | None, all_records: bool, as_json: bool) -> int:
    """Say what running FLOW would do, cost and write; calls nothing that costs, writes nothing."""
    if connection:
        given.overrides["connection"] = connection

    async def work() -> Plan:
        async with Workspace.open(given.folder, overrides=given.overrides, command="plan") as workspace:
            _greet(workspace)
            return await workspace.plan(flow, by=by, all_records=all_records)

    made = run_async(work)
    if as_json:
        render.show_json(made)
    else:
        show_plan(made, flow, given)
    return 2 if any(finding.verdict == "fail" for finding in made.findings) else 0


def _greet(workspace: Workspace) -> None:
    if workspace.vendors.is_sandbox:
        render.note("Sandbox: emulated vendors; judgements come from a sentiment lexicon, not from a model.")
    if workspace.recovered.unknown_calls:
        render.note(
            f"{workspace.recovered.unknown_calls} calls of a process that died have no known outcome; "
            "their cost is held (see `penstock cost`)."
        )


def show_plan(made: Plan, flow: Path, given: Given) -> None:
    """Write a plan for people."""
    render.show(f"Plan of {made.flow}, from {made.source}")
    render.show_facts(
        [
            (
                "records",
                f"{made.records:,}: {made.new:,} new, {made.changed:,} changed, {made.unchanged:,} unchanged"
                + _also(
                    [
                        ("filtered out", made.filtered),
                        ("of people who object", made.objected),
                        ("of forgotten people", made.forgotten),
                        ("duplicate", made.duplicates),
                        ("expired", made.expired),
                        ("unusable", made.failed),
                        ("unreadable", made.rejected),
                    ]
                ),
            ),
            (
                "calls",
                f"{made.calls:,} to {made.model}" + _also([("held already", made.held), ("shared", made.shared)]),
            ),
            ("tokens", f"{made.tokens:,}" if made.calls else None),
            ("cost", f"{render.money(made.cost)} (estimate)"),
            ("time", _describe_time(made.minutes) if made.calls else None),
            ("writes", _describe_writes(made)),
            ("to", ", ".join(made.writes_to) or None),
        ]
    )
    if made.by != "now":
        show_ways(made)
    if made.findings:
        render.show("Checks")
        render.show_findings(made.findings)
    if made.examples:
        render.show("What will be left out, for example")
        render.show_problems(made.examples)
    render.note()
    deadline = f" --by {made.by}" if made.by != "now" else ""
    schema = " --apply-schema" if any("--apply-schema" in (finding.fix or "") for finding in made.findings) else ""
    render.note(f"Nothing was bought or written. To run it: {given.type(f'run {flow}{schema}{deadline}')}")


def _describe_writes(made: Plan) -> str:
    if not made.writes_to:
        return "none: the flow has no sink"
    more = f", up to {made.possible_writes:,} more after the calls" if made.possible_writes else ""
    return f"{made.writes:,} certain{more}"


def show_ways(made: Plan) -> None:
    """Write what each way to buy costs and takes, and which is chosen."""
    render.show(f"Ways to be done by {made.by}")
    render.show_table(
        ["way", "requests", "cost", "time", "why"],
        [
            (
                f"{way.way} (chosen)" if way.is_chosen else way.way,
                f"{way.calls:,}",
                render.money(way.cost),
                _describe_way_time(way),
                way.why,
            )
            for way in made.ways
        ],
    )


def _describe_way_time(way: Outlook) -> str:
    if way.minutes is None:
        return "as the quota allows"
    return f"at {'least' if way.way == 'now' else 'most'} {render.duration(way.minutes * 60)}"


def _describe_time(minutes: float | None) -> str:
    if minutes is None:
        return "depends on the quota, which the first reply tells"
    return f"at least {render.duration(minutes * 60)} at the assumed quota"


def _also(parts: list[tuple[str, int]]) -> str:
    return "".join(f", {count:,} {name}" for name, count in parts if count)


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("target")
@click.option("--budget", type=float, help="Dollars that this run may cost; a hard stop.")
@click.option("--yes", is_flag=True, help="Do not ask before spending.")
@click.option(
    "--by", metavar="TIME", help="Deadline such as 24h: buy the cheapest way that meets it; `now` is at once."
)
@click.option("--apply-schema", is_flag=True, help="Create missing Brevo attributes.")
@click.option(
    "--all", "all_records", is_flag=True, help="Read unchanged records too, where the source could leave them out."
)
@click.option("--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="Input of an operation.")
@click.option("--model", help="Model instead of the setting.")
@click.option("--connection", metavar="NAME", help="Connection instead of the flow's or the setting.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--jsonl", "as_stream", is_flag=True, help="Progress as JSON lines on stdout.")
@common
@click.pass_obj
def run(
    given: Given, target: str, budget: float | None, yes: bool, by: str | None, apply_schema: bool,
    all_records: bool, inputs: tuple[str, ...], model: str | None, connection: str | None, as_json: bool,
    as_stream: bool,
) -> int:  # fmt: skip
    """Run TARGET: a flow file, or an operation such as analyze-sentiment.

    An interrupted or killed run goes on with the same command: what was bought is not
    bought again, what was confirmed is not written again.
    """
    if budget is not None and not 0 < budget <= 1e9:  # also refuses NaN
        raise FixError("--budget is an amount in dollars, more than 0", code="settings.invalid", hint="--budget 2.50")
    if model:
        given.overrides["model"] = model
    if connection:
        given.overrides["connection"] = connection
    if budget is not None:
        given.overrides["budget.run"] = budget
    if not target.endswith((".yaml", ".yml")) and not Path(target).exists():
        from penstock.cli.operations import run_operation

        if by is not None:
            raise FixError(
                f"--by is for flows, and {target} is an operation: one call is answered at once",
                code="run.by-operation",
                hint=f"Leave it out, or write a flow with the step {target}.",
            )
        return run_operation(given, target, inputs, as_json)
    report = run_async(lambda: _run_flow(given, Path(target), budget, yes, by, apply_schema, all_records, as_stream))
    if as_stream:
        render.show_line({"report": report_dict(report)})
    elif as_json:
        render.show_json(report_dict(report))
    else:
        show_report(report, f"run {target}", given)
    if report.problem is not None:
        render.show_error(report.problem, debug=given.debug)
        return 130 if report.problem.code == "run.interrupted" else report.exit_code
    return report.exit_code


async def _run_flow(
    given: Given, flow: Path, budget: float | None, yes: bool, by: str | None, apply_schema: bool, all_records: bool,
    as_stream: bool,
) -> Report:  # fmt: skip
    async with Workspace.open(given.folder, overrides=given.overrides, command="run") as workspace:
        _greet(workspace)
        await _ask_first(workspace, flow, budget, yes, by, all_records)
        lines: list[render.ProgressLine] = []
        try:
            return await workspace.run(
                flow,
                budget=budget,
                by=by,
                apply_schema=apply_schema,
                all_records=all_records,
                listen=lambda progress: lines.append(render.ProgressLine(progress, stream=as_stream)),
                started=stop_softly,
            )
        finally:
            for line in lines:
                line.clear()


async def _ask_first(
    workspace: Workspace, flow: Path, budget: float | None, yes: bool, by: str | None, all_records: bool
) -> None:
    """Ask before a run that may cost more than the threshold; a budget or --yes is an answer."""
    if yes or budget is not None or workspace.vendors.is_sandbox:
        return
    made = await workspace.plan(flow, by=by, all_records=all_records)
    threshold = float(workspace.settings.get("ask-above"))
    if made.cost is not None and made.cost <= threshold * 1e12:
        return
    question = f"This run is estimated at {render.money(made.cost)} for {made.calls:,} calls. Go on?"
    if not sys.stdin.isatty():
        raise FixError(
            f"the run is estimated at {render.money(made.cost)}, more than may be spent without asking",
            code="budget.not-confirmed",
            hint="Add --budget DOLLARS or --yes.",
        )
    if not click.confirm(question, err=True):
        raise StoppedError("nothing was spent", code="budget.declined")


def stop_softly(run: Run) -> None:
    """Make the first Ctrl-C end the run softly; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, force)
        render.note("\nStopping: calls under way are kept. Press Ctrl-C again to stop at once.")
        run.stop(
            StoppedError("the run was interrupted", code="run.interrupted", hint="Run the same command again to go on.")
        )

    def force() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGTERM, stop)


def report_dict(report: Report) -> dict[str, Any]:
    """Return a report as plain values."""
    import msgspec

    counts = msgspec.to_builtins(report.counts)
    return {
        "run": report.run, "flow": report.flow, "state": report.state, "resumed": report.resumed,
        "seconds": round(report.seconds, 3), "exit_code": report.exit_code, "counts": counts,
        "cost_usd": report.counts.cost / 1e12,
        "problem": report.problem.to_dict() if report.problem else None,
        "failures": msgspec.to_builtins(report.failures),
    }  # fmt: skip


def show_report(report: Report, target: str, given: Given) -> None:
    """Write how a run ended, for people."""
    counts = report.counts
    head = "went on and " if report.resumed else ""
    render.show(f"Run {report.run} of {report.flow} {head}{'ended' if report.state == 'done' else 'stopped'}")
    left_out = _also([("filtered out", counts.filtered), ("of people who object", counts.objected),
                      ("of forgotten people", counts.forgotten), ("duplicate", counts.duplicates),
                      ("expired", counts.expired), ("failed", counts.failed),
                      ("unreadable", counts.rejected)])  # fmt: skip
    render.show_facts(
        [
            ("records", f"{counts.read:,}: {counts.judged:,} judged, {counts.unchanged:,} unchanged{left_out}"),
            ("calls", f"{counts.calls:,} bought, {counts.cached:,} answers held already"),
            ("cost", render.money(counts.cost)),
            (
                "writes",
                f"{counts.written:,} of {counts.planned:,} confirmed"
                + (f", {counts.refused:,} refused" if counts.refused else ""),
            ),
            ("time", render.duration(report.seconds)),
        ]
    )
    if report.failures:
        render.show("Failed, for example")
        render.show_problems(report.failures)
        render.note(f"All of them: {given.type(f'runs show {report.run}')}")
        render.note(f"Try again: {given.type(f'runs retry {report.run}')}")
    if report.state != "done":
        render.note(f"To go on: {given.type(target)}")


@click.command()
@common
@click.pass_obj
def worker(given: Given) -> None:
    """Work on the pages of runs that other processes started, until Ctrl-C; needs PostgreSQL."""

    async def work() -> None:
        async with Workspace.open(given.folder, overrides=given.overrides, command="worker") as workspace:
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            render.note(f"Working as {workspace.settings.get('worker')}; Ctrl-C ends after the pages under way.")
            await workspace.flows.serve_worker(stop)

    run_async(work)
