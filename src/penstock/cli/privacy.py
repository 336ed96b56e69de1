"""`penstock explain` and `penstock forget`: what is kept of one person, and its end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.privacy import COUNTED, Explained, Forgotten, Privacy
from penstock.workspace import Workspace


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


@click.command()
@click.argument("contact")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def explain(given: Given, contact: str, as_json: bool) -> None:
    """Show what is kept of CONTACT (email, ext_id or record key): what went out, to whom, what came back."""

    async def work() -> Explained:
        async with Workspace.open(given.folder, overrides=given.overrides, command="explain") as workspace:
            return await Privacy(workspace.store, workspace.clock).explain(contact)

    found = run_async(work)
    if as_json:
        render.show_json(found)
        return
    if found.barred:
        render.show(f"{contact} is {found.barred}.")
    others = [("dead letters", found.failed), ("events", found.events), ("messages", found.messages)]
    others += [("feedback", found.feedback), ("computed records", found.computed)]
    if not (found.judged or found.written or any(count for _, count in others)):
        render.show("Nothing else is kept." if found.barred else "Nothing is kept.")
        return
    for judged in found.judged:
        _show_judged(judged)
    if found.written:
        render.show("Written")
        render.show_table(
            ["to", "kind", "state", "at", "fields"],
            [
                (one.sink, one.kind, one.state, _time(one.at), _short(one.fields))
                for one in found.written
            ],
        )  # fmt: skip
    render.show_facts([(name, f"{count:,}") for name, count in others if count])


def _show_judged(judged: Any) -> None:
    calls = [f"{call.model}, {_time(call.at)}, {call.request_id or 'no id'}" for call in judged.calls]
    render.show(f"Record {judged.record} of the flow {judged.flow} ({judged.where})")
    render.show_facts(
        [
            *((f"sent to {name}", _short(inputs)) for name, inputs in judged.sent.items()),
            ("answered by", "; ".join(calls) or "nobody: it was judged without a call, or the answer is gone"),
            *(
                (f"{name} made", f"{_time(judged.at)}, by {made.replace('|', ', ')}")
                for name, made in judged.made.items()
            ),
            *((f"came back from {name}", _short(output)) for name, output in judged.results.items()),
        ]
    )


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 300 else f"{text[:299]}…"


@click.command()
@click.argument("contact")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@click.pass_obj
def forget(given: Given, contact: str, as_json: bool, yes: bool) -> None:
    """Delete everything that is kept of CONTACT (email, ext_id or record key), and keep it from coming back."""
    if not yes:
        click.confirm(f"Delete everything that is kept of {contact}? It cannot be brought back", abort=True, err=True)

    async def work() -> Forgotten:
        async with Workspace.open(given.folder, overrides=given.overrides, command="forget") as workspace:
            return await Privacy(workspace.store, workspace.clock).forget(contact)

    done = run_async(work)
    if as_json:
        render.show_json(done)
        return
    counts = msgspec.to_builtins(done)
    found = [(name, f"{counts[name]:,}") for name in COUNTED if counts[name]]
    render.show_facts(found or [("found", "nothing")])
    if done.under_way:
        render.note("Some of it is with a vendor just now: run the command again in a while.")
    if not done.compacted:
        render.note("The database still has free pages that held it; see docs/how-to/privacy.md.")


@click.group()
def objections() -> None:
    """Note who objects to profiling and marketing, beside what Brevo says."""


@objections.command()
@click.argument("contact")
@common
@click.pass_obj
def add(given: Given, contact: str) -> None:
    """Note that CONTACT objects: flows skip it from now on, and what is queued for it is not sent."""

    async def work() -> None:
        async with Workspace.open(given.folder, overrides=given.overrides, command="objections") as workspace:
            await Privacy(workspace.store, workspace.clock).object(contact)

    run_async(work)
    render.note("Noted. Flows skip this contact.")


@objections.command()
@click.argument("contact")
@common
@click.pass_obj
def withdraw(given: Given, contact: str) -> None:
    """Note that CONTACT no longer objects; what Brevo says of it still counts."""

    async def work() -> None:
        async with Workspace.open(given.folder, overrides=given.overrides, command="objections") as workspace:
            await Privacy(workspace.store, workspace.clock).withdraw_objection(contact)

    run_async(work)
    render.note("Noted.")
