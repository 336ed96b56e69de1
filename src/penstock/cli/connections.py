"""`penstock connections`: name the ways to vendors, keep their keys safe, and test them."""

from __future__ import annotations

import sys
from typing import Any

import click

from penstock.base.errors import InputError, PenstockError, SettingsError
from penstock.base.redact import mask_key
from penstock.base.settings import Settings
from penstock.base.types import Finding
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.runtime import checks
from penstock.runtime.connections import KINDS, OF_SETTINGS, Book, Connection
from penstock.runtime.keys import read_secret
from penstock.vendors import Vendors
from penstock.workspace import Workspace

STANDARD_INPUT = "-"


@click.group()
def connections() -> None:
    """Add, list, show, test and remove named connections to OpenAI, Azure, compatible servers, Brevo, Conversions."""


def _open_book(given: Given) -> Book:
    return Book(Settings(given.folder, given.overrides))


@connections.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="openai", show_default=True, help="What answers there.")
@click.option("--base-url", default="", metavar="URL", help="Where it is reached (default: that of the kind).")
@click.option(
    "--secret-from",
    metavar="PLACE",
    help="Where the key is read: - (standard input) seals it here; env:NAME, file:PATH and command:COMMAND are read "
    "whenever it is needed. Without this it is asked for and sealed.",
)
@click.option(
    "--authentication",
    type=click.Choice(["bearer", "api-key"]),
    default=None,
    help="How the key travels (default: bearer; api-key for Azure, where bearer is a token of the identity service).",
)
@click.option("--organization", default="", help="Organisation that calls are billed to.")
@click.option("--project", default="", help="Project that calls are billed to.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME=MODEL",
    help="What the endpoint calls a model, such as an Azure deployment, and the catalogue's name of it (repeatable).",
)  # fmt: skip
@click.option("--api", type=click.Choice(["responses", "chat"]), default=None, help="API that texts are asked over.")
@click.option("--decisions/--no-decisions", default=None, help="Whether it has the Decisions API (OpenAI's own has).")
@click.option("--timeout", type=float, help="Seconds to wait for an answer.")
@click.option("--api-version", default="", help="Azure: use the form that has the deployment in the path.")
@click.option("--pixel-id", default="", help="Conversions: the Pixel ID.")
@click.option("--replace", is_flag=True, help="Describe a connection of this name anew.")
@common
@click.pass_obj
def add(
    given: Given, /, name: str, secret_from: str | None, models: tuple[str, ...], replace: bool, **parts: Any
) -> None:
    """Name a connection; its key is sealed in the workspace or read from a place, and never shown."""
    chosen = {part: value for part, value in parts.items() if value is not None}
    connection = Connection(name=name, models=_read_models(models), **chosen)
    secret: str | None = None
    if secret_from is not None and secret_from != STANDARD_INPUT:
        connection = Connection(name=name, models=connection.models, secret=secret_from, **chosen)
    else:
        secret = _take_secret(connection, secret_from)
    written = _open_book(given).add(connection, secret, replace=replace)
    render.note(f"Written to {given.folder / 'connections.toml'}; its key is {_describe_source(written)}.")
    render.note(f"Test it: penstock connections test {name}")


def _read_models(pairs: tuple[str, ...]) -> dict[str, str]:
    models = {}
    for pair in pairs:
        name, sign, model = pair.partition("=")
        if not (name and sign and model):
            raise InputError(f"{pair!r} is not NAME=MODEL", code="input.shape", hint="--model judge-1=gpt-6-luna")
        models[name] = model
    return models


def _take_secret(connection: Connection, secret_from: str | None) -> str | None:
    """Read the key from standard input, or ask for it; a key never stands on the command line."""
    if secret_from == STANDARD_INPUT:
        return sys.stdin.read()
    if sys.stdin.isatty():
        may_lack = connection.kind == "openai-compatible"
        text = "Key (empty for none)" if may_lack else "Key"
        given = str(click.prompt(text, hide_input=True, err=True, default="" if may_lack else None, show_default=False))
        return given or None
    if connection.kind == "openai-compatible":
        return None
    raise InputError(
        "the key is missing",
        code="connection.no-secret",
        hint="Add --secret-from - and give it on standard input, or --secret-from env:NAME.",
    )


def _describe_source(connection: Connection) -> str:
    source, _, place = connection.secret.partition(":")
    words = {"vault": "sealed in the workspace", "": "not needed", "setting": f"the setting {place}"}
    return words.get(source) or f"read from {source} {place}"


@connections.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def list_(given: Given, as_json: bool) -> None:
    """List every connection: kind, address, where its key comes from."""
    book = _open_book(given)
    found = [book.find(name) for name in book.names()]
    if as_json:
        render.show_json([one.describe() for one in found])
        return
    rows = [(one.name, one.kind, one.url, _describe_source(one)) for one in found]
    render.show_table(["name", "kind", "address", "key"], rows)


@connections.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def show(given: Given, name: str, as_json: bool) -> None:
    """Show every part of the connection NAME; of its key only first letters and a fingerprint."""
    book = _open_book(given)
    found = book.find(name)
    shown = {**found.describe(), "key": _mark(book, found)}
    if as_json:
        render.show_json(shown)
        return
    shown["models"] = ", ".join(f"{own} = {model}" for own, model in found.models.items()) or None
    render.show_facts((part, value) for part, value in shown.items() if value not in ("", None))


def _mark(book: Book, connection: Connection) -> str:
    if connection.secret.startswith("command:"):
        return "made by the command when it is needed"
    try:
        secret = read_secret(connection, book.settings)
    except PenstockError as error:
        return f"({error.message})"
    return mask_key(secret) if secret else "(none)"


@connections.command("test")
@click.argument("names", nargs=-1)
@click.option("--model", help="Model that must be there (default: the setting).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def test(given: Given, names: tuple[str, ...], model: str | None, as_json: bool) -> int:
    """Test connections by harmless real calls and name the fault; without NAMES all that were added, or openai."""

    async def work() -> dict[str, list[Finding]]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="connections test") as workspace:
            vendors = workspace.vendors
            wanted = names or [name for name in vendors.book.names() if name not in OF_SETTINGS] or ["openai"]
            asked = model or str(workspace.settings.get("model"))
            return {name: await _look(vendors, name, asked) for name in wanted}

    found = run_async(work)
    if as_json:
        render.show_json(found)
    else:
        for findings in found.values():
            render.show_findings(findings)
    return 2 if any(finding.verdict == "fail" for findings in found.values() for finding in findings) else 0


async def _look(vendors: Vendors, name: str, model: str) -> list[Finding]:
    vendors.book.find(name)
    try:
        return await vendors.check(name, model)
    except SettingsError as error:
        return [checks.from_error(f"{name} key", error)]


@connections.command("remove")
@click.argument("name")
@common
@click.pass_obj
def remove(given: Given, name: str) -> None:
    """Strike out the connection NAME, and its sealed key with it."""
    _open_book(given).remove(name)
    render.note(f"{name} is removed.")


@connections.command("rotate")
@common
@click.pass_obj
def rotate(given: Given) -> None:
    """Seal every key of this workspace anew, with a new key of its own."""
    from penstock.base.vault import Vault

    count = Vault(Settings(given.folder, given.overrides)).rotate()
    render.note(f"{count} sealed with a new key; the former one stays for other workspaces.")
