"""`penstock serve` and `penstock tokens`: the HTTP service, and who may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

import click

from penstock.base.errors import SettingsError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.workspace import Workspace

if TYPE_CHECKING:
    from penstock.server.auth import Tokens

T = TypeVar("T")

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_server_extra() -> None:
    """Raise `SettingsError` when what the service needs is not installed."""
    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "httptools", "prometheus_client", "multipart")):
        raise SettingsError(
            "the HTTP service is not installed", code="settings.extra", hint="pip install 'penstock[server]'"
        )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8070, show_default=True, help="Port; 0 takes any free one."
)
@click.option("--no-auth", is_flag=True, help="Take requests without a token; only on this machine's own address.")
@common
@click.pass_obj
def serve(given: Given, host: str, port: int, no_auth: bool) -> None:
    """Serve operations, flows, events and webhooks over HTTP until Ctrl-C or SIGTERM, then finish what is under way."""
    check_server_extra()
    if no_auth and host not in LOOPBACK:
        raise SettingsError(
            f"--no-auth would let everybody who reaches {host} spend your money",
            code="serve.no-auth",
            hint="Leave it away and make tokens with `penstock tokens add NAME`, or use --host 127.0.0.1.",
        )
    run_async(lambda: _serve(given, host, port, no_auth))


async def _serve(given: Given, host: str, port: int, no_auth: bool) -> None:
    from penstock.server.app import build_app
    from penstock.server.auth import Tokens
    from penstock.server.listen import listen

    async with Workspace.open(given.folder, overrides=given.overrides, command="serve") as workspace:
        tokens = Tokens(workspace.store, workspace.clock)
        if not no_auth and not await tokens.list():
            render.note("No token is known yet, so nobody can ask for anything: penstock tokens add NAME")
        app = build_app(
            workspace,
            tokens=None if no_auth else tokens,
            report=lambda defect: render.show_error(defect, debug=given.debug),
        )
        await listen(app, host, port, lambda address: _announce(address, workspace))
    render.note("Stopped.")


def _announce(address: str, workspace: Workspace) -> None:
    render.show_line({"serving": address})
    if workspace.vendors.is_sandbox:
        render.note("Sandbox: emulated vendors; judgements come from a sentiment lexicon, not from a model.")
    render.note(f"Routes: {address}/openapi.json   Health: {address}/readyz   Stop: Ctrl-C")


@click.group()
def tokens() -> None:
    """Who may use the HTTP service: one token for each source."""


@tokens.command("add")
@click.argument("name")
@click.option(
    "--allow",
    type=click.Choice(["events", "work", "metrics", "manage"]),
    multiple=True,
    help="What it is for: sending events, operations and flows, reading metrics, managing connections "
    "(default: the first three).",
)
@click.option("--mapping", default="", help="How events of this source are read: a preset or a file.")
@common
@click.pass_obj
def add(given: Given, name: str, allow: tuple[str, ...], mapping: str) -> None:
    """Make a token for the source NAME and show it once; one of the same name is replaced."""
    check_server_extra()
    from penstock.server.auth import USUAL

    token = _with_tokens(given, lambda kept: kept.add(name, allow=allow or USUAL, mapping=mapping))
    render.show(token)
    render.note("Keep it now: only its hash is stored. Send it as `Authorization: Bearer TOKEN`.")


@tokens.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def show(given: Given, as_json: bool) -> None:
    """List the tokens: names and what they are for, never the tokens themselves."""
    check_server_extra()
    found = [token.shown() for token in _with_tokens(given, lambda kept: kept.list())]
    if as_json:
        render.show_json(found)
    elif not found:
        render.note("There is no token yet: penstock tokens add NAME")
    else:
        render.show_table(
            ["name", "for", "mapping", "made"],
            [(one["name"], ", ".join(one["allow"]), one["mapping"], one["created"]) for one in found],
        )


@tokens.command("remove")
@click.argument("name")
@common
@click.pass_obj
def remove(given: Given, name: str) -> None:
    """Delete the token NAME; a running service refuses it within seconds."""
    check_server_extra()
    _with_tokens(given, lambda kept: kept.remove(name))
    render.note(f"{name} may do nothing any more.")


def _with_tokens(given: Given, work: Callable[[Tokens], Awaitable[T]]) -> T:
    from penstock.server.auth import Tokens

    async def opened() -> T:
        async with Workspace.open(given.folder, overrides=given.overrides, command="tokens") as workspace:
            return await work(Tokens(workspace.store, workspace.clock))

    return run_async(opened)
