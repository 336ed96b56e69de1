"""`penstock webhooks`: our own webhooks at Brevo, and what became of their deliveries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from penstock.brevo_hooks import TYPES, BrevoHooks, Reconciled, open_hooks
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.data.brevo_source import read_account
from penstock.data.brevo_webhooks import Listed, Made, Type, Webhooks
from penstock.runtime.hooks import Hooks
from penstock.runtime.inbox import Inbox
from penstock.workspace import Workspace

T = TypeVar("T")

USUAL: tuple[Type, ...] = ("marketing", "transactional")

connection_option = click.option(
    "--connection", default="brevo", show_default=True, help="Named connection to the Brevo account."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def webhooks() -> None:
    """Make, list and remove our own webhooks at Brevo; deal again with what they brought."""


def _with_workspace(given: Given, work: Callable[[Workspace], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with Workspace.open(given.folder, overrides=given.overrides, command="webhooks") as workspace:
            return await work(workspace)

    return run_async(opened)


async def _open(workspace: Workspace, connection: str) -> Webhooks:
    caller = workspace.vendors.open_brevo(connection)
    hooks = Hooks(workspace.store, workspace.clock)
    return Webhooks(caller, await read_account(caller), connection, hooks)


def _open_inbox(workspace: Workspace) -> tuple[Inbox, BrevoHooks]:
    inbox, hooks = Inbox(workspace.store, workspace.clock), open_hooks(workspace.vendors, workspace.store)
    for kind in TYPES:
        inbox.register("brevo", kind, hooks.handle)
    return inbox, hooks


async def _count(inbox: Inbox) -> dict[str, int]:
    return {f"{kind} {state}": count for (kind, state), count in (await inbox.counts()).items() if kind in TYPES}


@webhooks.command("list")
@connection_option
@json_option
@common
@click.pass_obj
def list_(given: Given, connection: str, as_json: bool) -> None:
    """List every webhook of the account, which are ours, and how many deliveries were kept."""

    async def work(workspace: Workspace) -> tuple[list[Listed], dict[str, int]]:
        found = await (await _open(workspace, connection)).find_all()
        return found, await _count(Inbox(workspace.store, workspace.clock))

    found, counts = _with_workspace(given, work)
    if as_json:
        render.show_json({"webhooks": found, "deliveries": counts})
        return
    if not found:
        render.note("There is no webhook: penstock webhooks create --url https://…")
    else:
        render.show_table(
            ["number", "type", "ours", "address", "events"],
            [(str(one.number), one.type, "yes" * one.is_own, one.url, ", ".join(one.events)) for one in found],
        )
    render.show_facts([(name, f"{count:,}") for name, count in sorted(counts.items())])


@webhooks.command()
@click.option("--url", required=True, help="Public https address of `penstock serve`.")
@click.option(
    "--types",
    type=click.Choice(TYPES),
    multiple=True,
    help="Kind of webhook, repeatable (default: marketing and transactional).",
)
@click.option("--domain", default="", help="For inbound: the domain that mail comes to.")
@connection_option
@json_option
@common
@click.pass_obj
def create(given: Given, url: str, types: tuple[Type, ...], domain: str, connection: str, as_json: bool) -> None:
    """See to it that one webhook of each kind delivers to this service; a repetition changes nothing."""

    async def work(workspace: Workspace) -> list[Made]:
        return await (await _open(workspace, connection)).create(url, types or USUAL, domain=domain)

    made = _with_workspace(given, work)
    if as_json:
        render.show_json(made)
        return
    for one in made:
        if one.state == "by-hand":
            render.show(one.url)
            render.note("Enter this address in Brevo under Conversations > Settings > Webhooks. It is shown only now.")
        else:
            render.note(f"{one.type}: {one.state} (webhook {one.number})")


@webhooks.command()
@click.option("--types", type=click.Choice(TYPES), multiple=True, help="Kind of webhook, repeatable (default: all).")
@connection_option
@common
@click.pass_obj
def remove(given: Given, types: tuple[Type, ...], connection: str) -> None:
    """Delete our own webhooks of the account; those of others stay."""

    async def work(workspace: Workspace) -> list[Listed]:
        return await (await _open(workspace, connection)).remove(types)

    removed = _with_workspace(given, work)
    for one in removed:
        render.note(f"{one.type}: removed (webhook {one.number})")
    if not removed:
        render.note("There was none of ours.")


@webhooks.command()
@click.option("--all", "every", is_flag=True, help="Also those that were dealt with: a no-op, for proof.")
@json_option
@common
@click.pass_obj
def replay(given: Given, every: bool, as_json: bool) -> None:
    """Deal once more with deliveries of Brevo that could not be dealt with."""

    async def work(workspace: Workspace) -> tuple[int, dict[str, int]]:
        inbox, _ = _open_inbox(workspace)
        count = await inbox.replay("brevo", every=every)
        while await inbox.handle_due():
            pass
        return count, await _count(inbox)

    count, counts = _with_workspace(given, work)
    if as_json:
        render.show_json({"replayed": count, "deliveries": counts})
        return
    render.show_facts([("replayed", f"{count:,}"), *((name, f"{one:,}") for name, one in sorted(counts.items()))])


@webhooks.command()
@click.option("--all", "full", is_flag=True, help="Read every contact, also where the last such reading is fresh.")
@connection_option
@json_option
@common
@click.pass_obj
def reconcile(given: Given, full: bool, connection: str, as_json: bool) -> None:
    """Read what changed at Brevo, and find what no webhook told."""

    async def work(workspace: Workspace) -> Reconciled:
        _, hooks = _open_inbox(workspace)
        return await hooks.reconcile(connection, full=full)

    found = _with_workspace(given, work)
    if as_json:
        render.show_json(found)
        return
    render.show_facts(
        [
            ("contacts read", f"{found.read:,}" + (" (all)" if found.was_full else "")),
            ("changed", f"{found.changed:,}"),
            ("gone", f"{found.gone:,}"),
        ]
    )
