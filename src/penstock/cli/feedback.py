"""`penstock feedback`: what customers said, by whatever road it came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.base.errors import InputError
from penstock.base.redact import redact
from penstock.base.types import Problem, Record
from penstock.brevo_hooks import open_hooks
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.cli.voice import hear
from penstock.data.feedback import FIELDS, FeedbackSource, read_said
from penstock.data.files import files_sink, files_source
from penstock.runtime.feedback import Feedback, Put, Row, Said
from penstock.workspace import Workspace

T = TypeVar("T")

SHOWN = 100
"""Characters of a text in a list."""
MOST_PROBLEMS = 20

source_option = click.option("--source", default="feedback", show_default=True, help="Whose words these are.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def feedback() -> None:
    """Add, import, list and export what customers said."""


feedback.add_command(hear)


def _with_workspace(given: Given, work: Callable[[Workspace], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with Workspace.open(given.folder, overrides=given.overrides, command="feedback") as workspace:
            return await work(workspace)

    return run_async(opened)


def _show_put(put: Put) -> None:
    facts = [("added", put.added), ("known already", put.known), ("of forgotten people, not kept", put.forgotten)]
    render.show_facts([(name, f"{count:,}") for name, count in facts if count or name == "added"])


@feedback.command()
@click.argument("text")
@click.option("--contact", default="", help="Who said it: email or ext_id.")
@click.option("--id", "own_id", default="", help="Its id where it comes from, by which it is known again.")
@click.option("--at", default="", help="When it was said, such as 2026-11-20T10:00:00Z (default: not known).")
@source_option
@common
@click.pass_obj
def add(given: Given, text: str, contact: str, own_id: str, at: str, source: str) -> None:
    """Keep one TEXT."""
    who = {"email" if "@" in contact else "ext_id": contact}
    said = read_said("shell", {"text": text, "id": own_id, "at": at, **who}, source=source)
    _show_put(_with_workspace(given, lambda workspace: Feedback(workspace.store, workspace.clock).put([said])))


@feedback.command("import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path))
@click.option(
    "--columns",
    multiple=True,
    metavar="NAME=COLUMN",
    help=f"Which column holds {', '.join(FIELDS)}, where it is called otherwise (repeatable).",
)
@source_option
@json_option
@common
@click.pass_obj
def import_(given: Given, path: Path, columns: tuple[str, ...], source: str, as_json: bool) -> None:
    """Keep the rows of a CSV, JSON lines or Parquet file at PATH; the same file again changes nothing."""
    names = _read_columns(columns)
    refused: list[Problem] = []

    async def work(workspace: Workspace) -> Put:
        table = Feedback(workspace.store, workspace.clock)
        put = Put()
        options = {"path": str(path), "key": names.get("text", "text")}
        opened = files_source(options, given.folder)
        try:
            async for page in opened.pages():
                refused.extend(one.problem for one in page.rejects)
                put = put + await table.put(list(_read_rows(page.records, names, source, refused)))
        finally:
            await opened.close()
        return put

    put = _with_workspace(given, work)
    if as_json:
        render.show_json({"added": put.added, "known": put.known, "forgotten": put.forgotten, "refused": len(refused)})
        return
    _show_put(put)
    if refused:
        render.note(f"{len(refused):,} rows were not taken:")
        render.show_problems(refused[:MOST_PROBLEMS])


def _read_rows(records: list[Record], names: dict[str, str], source: str, refused: list[Problem]) -> Iterator[Said]:
    """Yield the feedback of the rows that hold some; the others are noted with their place."""
    taken = set(names.values())
    for record in records:
        given = {name: value for name, value in record.data.items() if name not in taken}
        given |= {name: record.data.get(column) for name, column in names.items()}
        try:
            yield read_said("file", given, source=source)
        except InputError as error:
            refused.append(Problem(error.code, error.message, error.hint, record.where))


def _read_columns(columns: tuple[str, ...]) -> dict[str, str]:
    names = {}
    for pair in columns:
        name, sign, column = pair.partition("=")
        if name not in FIELDS or not sign or not column:
            raise InputError(
                f"{pair!r} is not NAME=COLUMN", code="input.shape", hint=f"NAME is one of {', '.join(FIELDS)}."
            )
        names[name] = column
    return names


@feedback.command("list")
@click.option("--source", default="", help="Only what is from there.")
@click.option("--limit", default=20, show_default=True, help="Rows to list, newest first.")
@json_option
@common
@click.pass_obj
def list_(given: Given, source: str, limit: int, as_json: bool) -> None:
    """List feedback, newest first; addresses, numbers and keys are taken out."""

    async def work(workspace: Workspace) -> list[Row]:
        return await Feedback(workspace.store, workspace.clock).newest(source=source.lower(), limit=limit)

    rows = [
        {
            "id": redact(row.id),
            "source": row.source,
            "road": row.road,
            "at": _time(row),
            "contact": redact(row.contact),
            "text": redact(row.text),
        }
        for row in _with_workspace(given, work)
    ]
    if as_json:
        render.show_json(rows)
    elif not rows:
        render.note("There is no feedback yet.")
    else:
        heads = ["id", "road", "at", "contact", "text"]
        render.show_table(heads, [[_short(one[head]) for head in heads] for one in rows])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _time(row: Row) -> str:
    return datetime.fromtimestamp(row.happened_at or row.at, UTC).strftime("%Y-%m-%d %H:%M")


@feedback.command()
@click.argument("path", type=click.Path(dir_okay=False, resolve_path=True, path_type=Path))
@click.option("--source", default="", help="Only what is from there.")
@common
@click.pass_obj
def export(given: Given, path: Path, source: str) -> None:
    """Write all feedback to a CSV, JSON lines or Parquet file at PATH, whole and not redacted."""

    async def work(workspace: Workspace) -> int:
        async def rows() -> AsyncIterator[dict[str, Any]]:
            async for page in FeedbackSource(workspace.store, source.lower()).pages():
                for record in page.records:
                    yield record.data

        return await files_sink({"path": str(path)}, given.folder).replace(rows())

    render.note(f"{_with_workspace(given, work):,} rows written to {path}")


@feedback.command()
@click.option("--connection", default="brevo", show_default=True, help="Named connection to the Brevo account.")
@common
@click.pass_obj
def pull(given: Given, connection: str) -> None:
    """Take in the custom events of Brevo that bring feedback (setting brevo.feedback-event)."""
    _show_put(
        _with_workspace(given, lambda workspace: open_hooks(workspace.vendors, workspace.store).read_events(connection))
    )
