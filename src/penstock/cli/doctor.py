"""`penstock doctor` and `penstock settings`: what is set up, what is wrong, what mends it."""

from __future__ import annotations

import click

from penstock.base.settings import SETTINGS, Settings
from penstock.base.types import Finding
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.workspace import Workspace


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def doctor(given: Given, as_json: bool) -> int:
    """Check settings, store, keys, model and Brevo account; read-only, costs nothing."""

    async def work() -> list[Finding]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="doctor") as workspace:
            return await workspace.check()

    findings = run_async(work)
    if as_json:
        render.show_json(findings)
    else:
        render.show_findings(findings)
    return 2 if any(finding.verdict == "fail" for finding in findings) else 0


@click.group()
def settings() -> None:
    """Show settings and where they come from."""


@settings.command("show")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def show(given: Given, as_json: bool) -> None:
    """List every setting with its value and where that came from; secrets only as a mark."""
    source = Settings(given.folder, given.overrides)
    found = [source.resolve(setting.name) for setting in SETTINGS]
    if as_json:
        render.show_json({one.setting.name: {"value": one.shown(), "origin": one.origin} for one in found})
        return
    render.show_table(["setting", "value", "from"], [(one.setting.name, one.shown(), one.origin) for one in found])


@settings.command("where")
@click.argument("name")
@common
@click.pass_obj
def where(given: Given, name: str) -> None:
    """Say where the setting NAME is looked for, in order, and where it was found."""
    found = Settings(given.folder, given.overrides).resolve(name)
    render.show(f"{name}: {found.setting.help}")
    for place in found.looked:
        render.show(f"  {'→' if place == found.origin else ' '} {place}")
    render.show_facts([("value", found.shown()), ("environment", found.setting.env)])
