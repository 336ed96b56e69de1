"""`penstock mcp`: the operations as tools for models, over standard input and output or over HTTP."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.base.errors import SettingsError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.cli.serve import LOOPBACK
from penstock.workspace import Workspace

if TYPE_CHECKING:
    from penstock.server.mcp import Terms, Tools


@click.command()
@click.option("--budget", type=float, metavar="DOLLARS", help="Most that all calls together may cost; a hard stop.")
@click.option("--read-only", is_flag=True, help="Offer only what buys nothing and changes nothing.")
@click.option("--only", multiple=True, metavar="NAME", help="Offer only this operation; may be repeated.")
@click.option(
    "--allow-files",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Let pictures and sound be read by path, below this folder.",
)
@click.option("--http", "over_http", is_flag=True, help="Serve over HTTP instead of standard input and output.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http: address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8071, show_default=True, help="With --http: 0 takes any free one."
)
@click.option("--no-auth", is_flag=True, help="With --http: no token, only on this machine's own address.")
@common
@click.pass_obj
def mcp(
    given: Given,
    budget: float | None,
    read_only: bool,
    only: tuple[str, ...],
    allow_files: Path | None,
    over_http: bool,
    host: str,
    port: int,
    no_auth: bool,
) -> None:
    """Offer the operations as tools to a model (Model Context Protocol), under one budget, until the client leaves."""
    _check_extra()
    if no_auth and host not in LOOPBACK:
        raise SettingsError(
            f"--no-auth would let everybody who reaches {host} spend your money",
            code="serve.no-auth",
            hint="Leave it away and make tokens with `penstock tokens add NAME`, or use --host 127.0.0.1.",
        )
    from penstock.server.mcp import Terms

    terms = Terms(budget=budget, read_only=read_only, only=only, allow_files=allow_files)
    run_async(lambda: _serve(given, terms, (host, port, no_auth) if over_http else None))


def _check_extra() -> None:
    if any(find_spec(name) is None for name in ("mcp", "mcp_types", "uvicorn", "httptools")):
        raise SettingsError(
            "the MCP server is not installed", code="settings.extra", hint="pip install 'penstock[mcp,server]'"
        )


async def _serve(given: Given, terms: Terms, place: tuple[str, int, bool] | None) -> None:
    from penstock.server.mcp import Tools

    async with Workspace.open(given.folder, overrides=given.overrides, command="mcp") as workspace:
        tools = Tools(workspace, terms)
        if workspace.vendors.is_sandbox:
            render.note("Sandbox: emulated vendors; answers come from no model.")
        render.note(f"{len(tools.offered)} tools" + (f", ${terms.budget:g} at most" if terms.budget else ""))
        if place is None:
            await _serve_here(tools)
        else:
            await _serve_http(workspace, tools, *place)


async def _serve_here(tools: Tools) -> None:
    from mcp.server.stdio import stdio_server

    from penstock.server.mcp import build_server

    server = build_server(tools)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def _serve_http(workspace: Workspace, tools: Tools, host: str, port: int, no_auth: bool) -> None:
    from penstock.server.auth import Tokens
    from penstock.server.listen import listen
    from penstock.server.mcp_http import McpApp

    tokens = None if no_auth else Tokens(workspace.store, workspace.clock)
    if tokens is not None and not await tokens.list():
        render.note("No token is known yet, so nobody can ask for anything: penstock tokens add NAME")
    app = McpApp(tools, tokens, host)
    await listen(app, host, port, lambda address: render.show_line({"serving": f"{address}/mcp"}))
    render.note("Stopped.")
