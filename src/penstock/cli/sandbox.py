"""`penstock sandbox`: the emulated vendors as a server, and the faults that they are to have."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from penstock.base.errors import FixError, SettingsError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.vendors import check_sandbox_extra

_KINDS = ["status", "slow", "hang", "drop", "lost", "malformed", "html", "cut", "error", "none"]


@click.group()
def sandbox() -> None:
    """Serve the emulated vendors; plan faults."""


@sandbox.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def up(options: tuple[str, ...]) -> None:
    """Serve the emulated vendors on this machine until Ctrl-C; `up --help` lists its options."""
    check_sandbox_extra()
    os.execv(sys.executable, [sys.executable, "-m", "penstock.sandbox.server", *options])  # noqa: S606


@sandbox.command()
@click.argument("kind", type=click.Choice(_KINDS))
@click.option("--vendor", default="*", show_default=True, help="openai, brevo or *.")
@click.option("--operation", default="*", show_default=True, help="Such as decisions, responses, contacts.create.")
@click.option("--rate", default=1.0, show_default=True, help="Share of calls that it strikes.")
@click.option("--times", type=int, help="How often it strikes at most.")
@click.option("--after", default=0, show_default=True, help="Calls that pass unharmed first.")
@click.option("--seconds", default=0.0, show_default=True, help="How long slow and hang last.")
@click.option("--status", type=int, help="Status of a status fault.")
@click.option("--code", help="Error code of a status fault; OpenAI's codes bring their own status.")
@common
@click.pass_obj
def fault(given: Given, /, kind: str, **values: Any) -> None:
    """Plan a fault of a running sandbox; `none` clears all. Name the sandbox with --sandbox-url."""
    url = given.overrides.get("sandbox-url")
    if not url:
        raise SettingsError(
            "the address of the sandbox is missing",
            code="settings.missing",
            hint="Start one with `penstock sandbox up`, then add --sandbox-url http://127.0.0.1:8089.",
        )
    run_async(lambda: _plan_fault(str(url).rstrip("/"), kind, values))
    render.note("Faults cleared." if kind == "none" else "Planned.")


async def _plan_fault(url: str, kind: str, values: dict[str, Any]) -> None:
    import msgspec

    from penstock.vendor.http import Http

    http = Http()
    try:
        method = "DELETE" if kind == "none" else "POST"
        body = None if kind == "none" else msgspec.json.encode({"kind": kind, **values})
        reply = await http.send(
            method, f"{url}/_sandbox/faults", headers={"content-type": "application/json"}, body=body
        )
    finally:
        await http.close()
    if reply.status >= 400:
        raise FixError(
            f"the sandbox refused the fault: {reply.body.decode(errors='replace')[:200]}", code="sandbox.fault"
        )
