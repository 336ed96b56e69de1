"""`penstock content list|approve|reject`: what was made for campaigns, and what a person decides about each piece."""

from __future__ import annotations

from getpass import getuser
from pathlib import Path

import click

from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.features.writing.pieces import SHOWN, Piece, State, decide_piece, digest_of, list_pieces
from penstock.workspace import Workspace


@click.command("list")
@click.option("--state", type=click.Choice(["draft", "approved", "rejected"]), default=None, help="Only in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def list_(given: Given, state: str | None, as_json: bool) -> None:
    """List texts and pictures that were made for campaigns, with what a person decided and what their checks said."""

    async def work() -> list[Piece]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="content") as workspace:
            return await list_pieces(workspace.store, state or "")

    found = run_async(work)
    if as_json:
        render.show_json(found)
        return
    rows = [
        (
            one.digest[:SHOWN],
            one.kind,
            one.language,
            one.angle,
            f"{one.state} by {one.by}" if one.by else one.state,
            one.title,
            one.reason or "; ".join(one.warnings),
        )
        for one in found
    ]
    render.show_table(["piece", "kind", "language", "angle", "state", "what", "warnings"], rows)


@click.command()
@click.argument("which", nargs=-1, required=True)
@common
@click.pass_obj
def approve(given: Given, which: tuple[str, ...]) -> None:
    """Approve WHICH pieces: names that `list` shows, or files. It holds for exactly that content."""
    _decide(given, which, "approved", "")


@click.command()
@click.argument("which", nargs=-1, required=True)
@click.option("--because", required=True, metavar="TEXT", help="Why, for whoever writes the next one.")
@common
@click.pass_obj
def reject(given: Given, which: tuple[str, ...], because: str) -> None:
    """Reject WHICH pieces: no campaign that holds one of them is drafted or goes out."""
    _decide(given, which, "rejected", because)


def _decide(given: Given, which: tuple[str, ...], state: State, reason: str) -> None:
    names = [digest_of(Path(one).read_bytes()) if Path(one).is_file() else one for one in which]

    async def work() -> list[Piece]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="content") as workspace:
            by = getuser()
            return [await decide_piece(workspace.store, workspace.clock, one, state, by, reason) for one in names]

    for piece in run_async(work):
        render.show(f"{piece.digest[:SHOWN]} {piece.kind} is {piece.state}: {piece.title}")
