"""`penstock feedback hear`: recordings of what customers say, written down into the feedback table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penstock.calls import CallOptions
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.voice import LIST, SOURCE, Heard, Voice
from penstock.workspace import Workspace


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--source", default=SOURCE, show_default=True, help="Whose words these are, as the feedback says it.")
@click.option("--languages", multiple=True, metavar="CODE", help="Languages that are spoken, such as de.")
@click.option("--keywords", multiple=True, metavar="WORD", help="Names and terms that occur.")
@click.option("--context", default="", help="What it is about, so that names are heard well.")
@click.option("--model", help="Model instead of the setting.")
@click.option("--budget", type=float, help="Dollars that it may cost, a hard stop.")
@click.option("--dry-run", is_flag=True, help="Show how much there is and what it costs at most; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def hear(given: Given, /, folder: Path, source: str, dry_run: bool, as_json: bool, **words: Any) -> int:
    """Write down the recordings in FOLDER and keep what they say as feedback; recordings.csv says whose they are."""
    inputs = {name: list(words[name]) for name in ("languages", "keywords") if words[name]}
    if words["context"]:
        inputs["context"] = words["context"]
    options = CallOptions(model=words["model"], budget=words["budget"])

    async def work() -> Heard:
        async with Workspace.open(given.folder, overrides=given.overrides, command="hear") as workspace:
            voice = Voice(workspace.operations, workspace.store, workspace.clock)
            return await voice.hear(folder, source=source, given=inputs, options=options, dry_run=dry_run)

    heard = run_async(work)
    if as_json:
        render.show_json(heard)
    else:
        _show(heard, dry_run)
    return 3 if heard.failed else 0


def _show(heard: Heard, dry_run: bool) -> None:
    dollars = "unknown" if heard.dollars is None else f"${heard.dollars:,.4f}"
    counts = [("new", heard.added), ("known", heard.known), ("left out", heard.forgotten), ("silent", heard.silent)]
    render.show_facts(
        [
            ("recordings", f"{heard.recordings:,}, {heard.seconds / 60:,.1f} minutes"),
            *((name, f"{count:,}") for name, count in counts if count and not dry_run),
            ("cost", f"at most {dollars}" if dry_run else dollars),
            ("failed", len(heard.failed) or None),
        ]
    )
    render.show_problems(heard.failed[:5])
    if dry_run:
        render.note("Nothing was sent.")
    elif heard.added:
        render.note(
            f"A flow judges them: `source: {{ feedback: {{ from: … }} }}`. {LIST} beside them says whose they are."
        )
