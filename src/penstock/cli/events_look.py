"""`penstock events tail`, `show`, `replay`, `export` and `quality`: what became of conversion events."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from penstock.base.errors import InputError
from penstock.cli import render
from penstock.cli.events import STATES, follow, open_and_run, read_moment
from penstock.cli.main import Given, common

if TYPE_CHECKING:
    from penstock.deliveries import Deliveries
    from penstock.events.inspect import Choice, History, Row
    from penstock.events.quality import Quality

state_option = click.option("--state", type=click.Choice(STATES), default=None, help="Only events in this state.")
code_option = click.option("--code", default="", help="Only events with this reason.")
since_option = click.option("--since", metavar="TIME", help="Only events accepted from then on (UTC).")
until_option = click.option("--until", metavar="TIME", help="Only events accepted before then (UTC).")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def _time(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def _choice(state: str | None, code: str, source: str, since: str | None, until: str | None, limit: int) -> Choice:
    from penstock.events.inspect import Choice

    return Choice(state or "", code, source, read_moment(since, 0.0), read_moment(until, 1e12), limit)


@click.command()
@state_option
@code_option
@click.option("--source", default="", metavar="NAME", help="Only events of this source.")
@since_option
@click.option("--limit", default=20, show_default=True, help="Events to show.")
@click.option("--follow", "is_followed", is_flag=True, help="Go on, and show what comes and changes, until Ctrl-C.")
@json_option
@click.option("--jsonl", "as_lines", is_flag=True, help="One JSON line per event.")
@common
@click.pass_obj
def tail(
    given: Given,
    state: str | None,
    code: str,
    source: str,
    since: str | None,
    limit: int,
    is_followed: bool,
    as_json: bool,
    as_lines: bool,
) -> None:
    """Show the newest events and where they stand."""
    choice = _choice(state, code, source, since, None, limit)
    if is_followed:
        show_one = render.show_line if as_lines or as_json else _show_line
        open_and_run(given, "events tail", lambda deliveries: follow(deliveries, choice, show_one))
        return
    rows = open_and_run(given, "events tail", lambda deliveries: deliveries.tail(choice))
    if as_json:
        render.show_json(rows)
    elif as_lines:
        for row in rows:
            render.show_line(row)
    elif rows:
        render.show_table(
            ["accepted", "event", "id", "state", "tries", "source", "reason"],
            [(_time(row.queued_at), row.name, row.event_id, row.state, row.attempts, _place(row), _reason(row))
             for row in rows],
        )  # fmt: skip
    else:
        render.note("No such events. Send some: penstock events send FILE --mapping MAPPING")


def _place(row: Row) -> str:
    return f"{row.source} {row.place}".strip() if row.place and row.source not in row.place else row.place or row.source


def _reason(row: Row) -> str:
    if row.problem is None:
        return row.code
    return f"{row.problem.message} [{row.problem.code}]"[:120]


def _show_line(row: Row) -> None:
    render.show(f"{_time(row.queued_at)}  {row.name}  {row.event_id}  {row.state}  {_reason(row)}")


@click.command()
@click.argument("event_id")
@json_option
@common
@click.pass_obj
def show(given: Given, event_id: str, as_json: bool) -> None:
    """Show everything about the event with EVENT_ID: source, event, requests, answers, changes.

    The source record stands there without the values that were not sent; a hash stands with the field it came from.
    """
    found = open_and_run(given, "events show", lambda deliveries: deliveries.find(event_id))
    if not found:
        raise InputError(
            f"there is no event with the id {event_id!r}",
            code="events.unknown-id",
            hint="`penstock events tail` lists ids; they are forgotten after events.memory-days.",
        )
    if as_json:
        render.show_json(found)
        return
    for history in found:
        _show_history(history)


def _show_history(history: History) -> None:
    row = history.row
    render.show(f"{row.name} {row.event_id}: {row.state}")
    render.show_facts([
        ("from", _place(row)), ("happened", _time(row.happened_at)), ("accepted", _time(row.queued_at)),
        ("ended", _time(row.settled_at) or None), ("destination", f"{row.pixel} over {row.connection}"),
        ("has", ", ".join(row.has)), ("tries", row.attempts),
    ])  # fmt: skip
    if row.problem is not None:
        render.show_problems([row.problem])
    for warning in history.warnings:
        render.show(f"  {render.paint('!', 'yellow')} {warning}")
    for title, value in (("source", history.source), ("event", history.event)):
        if value:
            render.show(f"  {title}")
            render.show_json(value)
    for one in history.attempts:
        render.show(
            f"  {_time(one.at)}  {history.request}  {one.events:,} events → {one.status or 'no answer'} {one.kind}"
        )
        if one.message:
            render.show(f"      {one.message}")
        render.show(f"      {one.response}" if one.response else "      (no body)")
        for name, text in one.headers.items():
            render.show(f"      {render.paint(name, 'dim')}: {text}")
    for change in history.changes:
        why = change.problem.message if change.problem is not None else ""
        render.show(f"  {_time(change.at)}  waits again, was {change.state}: {why}")


@click.command()
@click.argument("event_ids", nargs=-1, metavar="EVENT_ID")
@click.option("--state", type=click.Choice(["rejected", "expired", "delivered", "validated"]), default=None,
              help="Only events in this state.")  # fmt: skip
@code_option
@since_option
@until_option
@json_option
@common
@click.pass_obj
def replay(
    given: Given, event_ids: tuple[str, ...], state: str | None, code: str, since: str | None, until: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Let events that ended wait again, with the same ids: by EVENT_ID, or by --state or --code, and by time.

    What a mapping refused is not kept: mend it and run `penstock events send` on the same file again.
    """
    from penstock.events.replay import Choice, Replayed

    choice = Choice(event_ids, state or "", code, read_moment(since, 0.0), read_moment(until, 1e12))
    done = open_and_run(given, "events replay", lambda deliveries: deliveries.replay(choice))
    if as_json:
        render.show_json(done)
        return
    if event_ids and done == Replayed(0, 0, 0):
        raise InputError(
            "no event with such an id has ended",
            code="events.nothing-to-replay",
            hint="`penstock events tail` lists ids and states; what a mapping refused is sent again from its file.",
        )
    render.note(f"{done.waiting:,} events wait again. Send them: {given.type('events flush')}")
    if done.too_old:
        render.note(f"{done.too_old:,} happened more than 7 days ago: OpenAI takes them no more.")
    if done.gone:
        render.note(f"{done.gone:,} are no longer kept (events.keep-days).")


@click.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True,
              help="Form of the lines on stdout.")  # fmt: skip
@state_option
@code_option
@click.option("--source", default="", metavar="NAME", help="Only events of this source.")
@since_option
@until_option
@common
@click.pass_obj
def export(
    given: Given, form: str, state: str | None, code: str, source: str, since: str | None, until: str | None
) -> None:
    """Write events and what became of them to stdout, oldest first; no identifiers, no bodies.

    In CSV a cell that a spreadsheet would run as a formula begins with an apostrophe.
    """
    from penstock.events.inspect import walk

    choice = _choice(state, code, source, since, until, 0)
    write = _write_csv() if form == "csv" else _write_lines

    async def work(deliveries: Deliveries) -> None:
        async for rows in walk(deliveries.outbox.store, choice):
            write([_flat(row) for row in rows])

    open_and_run(given, "events export", work)


def _flat(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(row)
    problem = values.pop("problem") or {}
    values["reason"] = problem.get("message", "")
    values["has"] = " ".join(values["has"])
    del values["batch"]
    for name in ("happened_at", "queued_at", "settled_at"):
        values[name] = datetime.fromtimestamp(values[name], UTC).isoformat() if values[name] else None
    return values


def _write_lines(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        render.show_line(row)


def _write_csv() -> Any:
    from penstock.data.files.writers import Columns, CsvWriter

    handle = io.BytesIO()
    writer = CsvWriter(handle, Columns("export", {}), defuse=True)

    def write(rows: list[dict[str, Any]]) -> None:
        writer.write(rows)
        render.show(handle.getvalue().decode().removesuffix("\r\n"))
        handle.seek(0)
        handle.truncate()

    return write


@click.command()
@since_option
@json_option
@common
@click.pass_obj
def quality(given: Given, since: str | None, as_json: bool) -> None:
    """Say how good the events are: identifiers, freshness, duplicates, refusals; and what to mend first."""
    start = read_moment(since, 0.0)
    report = open_and_run(given, "events quality", lambda deliveries: deliveries.quality(start))
    if as_json:
        render.show_json(report)
    elif not report.records:
        render.note("No events were accepted yet. Send some: penstock events send FILE --mapping MAPPING")
    else:
        _show_quality(report)


def _show_quality(report: Quality) -> None:
    render.show(f"{report.records:,} records, {report.events:,} events")
    render.show_facts((state, f"{count:,}") for state, count in report.states.items())
    render.show("\nShare of events with")
    render.show_facts([
        ("a strong identifier", f"{report.matchable:.1%}"),
        *((name, f"{share:.1%}") for name, share in report.coverage.items() if share),
    ])  # fmt: skip
    fresh = report.freshness
    if fresh is not None:
        render.show("\nFreshness")
        render.show_facts([
            ("accepted after, on average", render.duration(fresh.mean_seconds)),
            ("at the latest after", render.duration(fresh.longest_seconds)),
            ("more than an hour late", f"{fresh.over_an_hour:,}"), ("more than a day late", f"{fresh.over_a_day:,}"),
            ("from acceptance to the end", render.duration(fresh.mean_seconds_to_end)),
        ])  # fmt: skip
    if report.refusals or report.duplicates:
        render.show(f"\nLost, by reason (and {report.duplicates:.1%} duplicates)")
        render.show_facts((code, f"{count:,}") for code, count in report.refusals.items())
    if report.currency_problems:
        render.show("\nCurrency and amount")
        render.show_facts((code, f"{count:,}") for code, count in report.currency_problems.items())
    render.show("\nMend first" if report.mend_first else "\nNothing to mend.")
    for number, text in enumerate(report.mend_first, 1):
        render.show(f"  {number}. {text}")
