"""`penstock events check` and `penstock events contract`: what records become, and what the API takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.base.clock import SystemClock
from penstock.base.errors import InputError
from penstock.base.types import Reject
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.data.files import files_source
from penstock.events.contract import Contract, Field, find_contract
from penstock.events.event import encode_event
from penstock.events.mapped import Mapped
from penstock.events.mapping import Mapping, load_mapping
from penstock.events.moment import moment_reader
from penstock.events.tally import Counts, Tally

Row = tuple[str, dict[str, Any], Mapped] | Reject


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mapping", required=True, metavar="FILE", help="Mapping file, or a preset such as shopify-order.")
@click.option("--limit", default=20, show_default=True, help="Records to show; all of them are counted.")
@click.option("--only", type=click.Choice(["refused"]), help="Show only records that give no event.")
@click.option("--at", metavar="TIME", help="Check as if it were then, for files of the past.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--jsonl", "as_lines", is_flag=True, help="One JSON line per record, all of them.")
@common
@click.pass_obj
def check(
    given: Given, file: Path, mapping: str, limit: int, only: str | None, at: str | None, as_json: bool, as_lines: bool
) -> int:
    """Show the event of each record of FILE (CSV, JSON lines or Parquet), or the field and reason why there is none.

    Nothing is sent or stored. Identifiers are shown as hashes. Exit code 3 when some records give no event.
    """
    loaded = load_mapping(_existing(mapping), contract=find_contract(given.folder))
    now = _read_time(at) if at else SystemClock().now()
    shown: list[dict[str, Any]] = []

    async def work() -> Counts:
        tally = Tally(loaded)
        async for row in _rows(file, loaded, now):
            view = _count(tally, row)
            if only and "event" in view:
                continue
            if as_lines:
                render.show_line(view)
            elif len(shown) < limit:
                shown.append(view)
        return tally.counts()

    counts = run_async(work)
    if as_json:
        render.show_json({"counts": counts, "records": shown})
    elif not as_lines:
        for view in shown:
            _show_row(view)
        _show_counts(counts, len(shown))
    return 3 if counts.refused or counts.unreadable else 0


def _existing(mapping: str) -> Path | str:
    path = Path(mapping)
    return path if path.exists() else mapping


def _read_time(text: str) -> float:
    try:
        return moment_reader("auto", "UTC")(text) / 1000
    except Exception as error:
        raise InputError(
            f"--at {text!r} is not a time", code="input.bad-time", hint="Write 2026-11-20T09:30Z."
        ) from error


async def _rows(file: Path, mapping: Mapping, now: float) -> AsyncIterator[Row]:
    source = files_source({"path": file.name, "key": ()}, file.parent)
    try:
        async for page in source.pages():
            for record in page.records:
                yield record.where, record.data, mapping.apply(record.data, now=now)
            for reject in page.rejects:
                yield reject
    finally:
        await source.close()


def _count(tally: Tally, row: Row) -> dict[str, Any]:
    """Count a row and return what is shown of it: never a clear identifier."""
    if isinstance(row, Reject):
        tally.add_unreadable(row.problem)
        problem = row.problem
        reason = {"code": problem.code, "field": "row", "message": problem.message, "hint": problem.hint}
        return {"where": row.where, "refusals": [reason]}
    where, record, mapped = row
    tally.add(record, mapped)
    view: dict[str, Any] = {"where": where}
    if mapped.event is None:
        view["refusals"] = msgspec.to_builtins(mapped.refusals)
    else:
        view["event"] = msgspec.json.decode(encode_event(mapped.event))
        view["traces"] = mapped.event.traces
    for name in ("pixel_id", "connection", "validate_only"):
        if getattr(mapped, name):
            view[name] = getattr(mapped, name)
    if mapped.warnings:
        view["warnings"] = list(mapped.warnings)
    return view


def _show_row(view: dict[str, Any]) -> None:
    if "event" in view:
        event = view["event"]
        name = event.get("custom_event_name", event["type"])
        render.show(f"{render.paint('✓', 'green')} {view['where']}  {name} {event['id']}")
        render.show(f"    {msgspec.json.encode(event).decode()}")
    else:
        render.show(f"{render.paint('✗', 'red')} {view['where']}  no event")
        for one in view["refusals"]:
            render.show(f"    {one['message']} [{one['code']}]")
            if one["hint"]:
                render.show(f"    hint: {one['hint']}")
    for warning in view.get("warnings", ()):
        render.show(f"    {render.paint('!', 'yellow')} {warning}")


def _show_counts(counts: Counts, shown: int) -> None:
    render.show()
    for title, table in (("event", counts.types), ("reason", counts.reasons), ("left out", counts.warnings)):
        if table:
            render.show_table([title, "records"], [(name, f"{number:,}") for name, number in table.items()])
            render.show()
    parts = [f"{counts.records:,} records: {counts.events:,} events", f"{counts.refused + counts.unreadable:,} refused"]
    render.show(", ".join([*parts, *([f"{counts.opted_out:,} opted out"] if counts.opted_out else [])]))
    for text in counts.absent:
        render.note(f"{render.paint('!', 'yellow')} {text}")
    if counts.records > shown:
        render.note(f"{shown:,} shown; --limit or --jsonl shows more.")


@click.command()
@click.option("--schema", is_flag=True, help="The JSON Schema of a request body.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def contract(given: Given, schema: bool, as_json: bool) -> None:
    """Print what the Conversions API takes, as Penstock knows it: types, fields, hashing, limits, errors, sources.

    `conversions.toml` of the workspace is laid over it: a new event type needs no code.
    """
    found = find_contract(given.folder)
    if schema:
        render.show_json(found.json_schema())
    elif as_json:
        render.show_json(found)
    else:
        _show_contract(found)


def _show_contract(found: Contract) -> None:
    render.show(f"Conversions API, generation {found.generation}, compiled {found.compiled}: {found.url}\n")
    render.show_table(
        ["event type", "data", "pixel", "goal", "fires when", "source"],
        [
            (name, one.shape, "yes" if one.pixel else "no", one.goal, one.fires, one.source)
            for name, one in found.types.items()
        ],
    )
    shapes = {f"data: {name}": shape for name, shape in found.shapes.items()}
    for title, fields in {"event": found.envelope, **shapes, "item": found.item, "request": found.request}.items():
        render.show()
        _show_fields(title, fields)
    render.show()
    render.show_table(
        ["user", "list", "hashed", "rule", "since", "source"],
        [
            (name, "yes" if one.many else "no", "yes" if one.hashed else "no", one.rule, one.generation, one.source)
            for name, one in found.user.items()
        ],
    )
    render.show()
    render.show_table(
        ["limit", "value", "unit", "certainty", "source"],
        [(name, f"{one.value:,}", one.unit, one.certainty, one.source) for name, one in found.limits.items()],
    )
    render.show()
    render.show_table(
        ["status", "code", "means", "then", "certainty", "source"],
        [(one.status, one.code, one.means, one.then, one.certainty, one.source) for one in found.errors],
    )
    render.show()
    render.show_table(
        ["source", "document", "dated"], [(name, one.title, one.dated) for name, one in found.sources.items()]
    )


def _show_fields(title: str, fields: dict[str, Field]) -> None:
    render.show_table(
        [title, "kind", "required", "rule", "since", "certainty", "source"],
        [
            (name, one.kind, one.required, one.rule, one.generation, one.certainty, one.source)
            for name, one in fields.items()
        ],
    )
