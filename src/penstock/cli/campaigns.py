"""`penstock campaigns`: draft, check, approve, send and read back campaigns at Brevo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Finding
from penstock.campaigns.desk import Campaigns, open_campaigns
from penstock.campaigns.kept import Listed, Review
from penstock.campaigns.people import fill_sandbox
from penstock.cli import render
from penstock.cli.campaign_results import show_results
from penstock.cli.main import Given, common, run_async
from penstock.data.brevo_campaign_file import CampaignFile, read_campaign
from penstock.data.brevo_campaigns import OPEN_STATES
from penstock.data.brevo_preview import guard_page
from penstock.workspace import Workspace

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
CONNECTION = click.option("--connection", default="brevo", metavar="NAME", help="Named connection to Brevo.")


@click.group()
def campaigns() -> None:
    """Draft, check, approve, send and read back campaigns at Brevo."""


def _confirmed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what must be typed before people get mail."""
    options = (
        click.option("--confirm-id", type=int, metavar="ID", help="The id of the campaign, typed."),
        click.option("--confirm-recipients", type=int, metavar="COUNT", help="How many people get it, typed."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@asynccontextmanager
async def _open(given: Given, connection: str, file: CampaignFile | None = None) -> AsyncIterator[Campaigns]:
    async with Workspace.open(given.folder, overrides=given.overrides, command="campaigns") as workspace:
        if file is not None:
            fill_sandbox(workspace.vendors, file.campaign)
        yield await open_campaigns(workspace.store, workspace.clock, workspace.vendors, connection)


def _read(path: str) -> CampaignFile:
    from penstock.features.writing.layout import render as to_html

    return read_campaign(Path(path), to_html)


def _is_file(what: str) -> bool:
    return what.endswith((".yaml", ".yml"))


@campaigns.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@click.option(
    "--checks", is_flag=True, help="Make all checks of drafts of our own; counts recipients, so it takes long."
)
@CONNECTION
@AS_JSON
@common
@click.pass_obj
def list_(given: Given, limit: int, checks: bool, connection: str, as_json: bool) -> None:
    """List the newest campaigns of the account; those drafted here are marked."""

    async def work() -> tuple[list[Listed], dict[int, list[Finding]]]:
        async with _open(given, connection) as desk:
            found = await desk.newest(limit)
            drafts = [one.number for one in found if checks and one.is_own and one.state in (*OPEN_STATES, "approved")]
            return found, {number: (await desk.show(str(number))).findings for number in drafts}

    found, findings = run_async(work)
    if as_json:
        rows = [{**msgspec.to_builtins(one), "findings": findings.get(one.number, [])} for one in found]
        render.show_json(rows if checks else found)
        return
    shown = [
        (
            one.number,
            one.name,
            one.state,
            "own" if one.is_own else "",
            " / ".join(one.subjects),
            *([_sum_up(findings.get(one.number))] if checks else []),
        )
        for one in found
    ]
    render.show_table(["id", "name", "state", "", "subject", *(["checks"] if checks else [])], shown)


def _sum_up(findings: list[Finding] | None) -> str:
    """Return the names of the checks that fail or warn."""
    if findings is None:
        return ""
    said = [f"{one.name} {one.verdict}s" for verdict in ("fail", "warn") for one in findings if one.verdict == verdict]
    return ", ".join(said) or "all ok"


@campaigns.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Write over what somebody edited at Brevo since.")
@CONNECTION
@AS_JSON
@common
@click.pass_obj
def draft(given: Given, file: str, replace: bool, connection: str, as_json: bool) -> int:
    """Make a draft or an inactive template of FILE, or bring the one of that name up to date. Nobody gets it."""
    given_file = _read(file)

    async def work() -> Any:
        async with _open(given, connection, given_file) as desk:
            return await desk.draft(given_file, replace=replace)

    drafted = run_async(work)
    if as_json:
        render.show_json(drafted)
        return 1 if drafted.done == "failed" else 0
    render.show_findings(drafted.findings)
    if drafted.done == "failed":
        render.note(f"Nothing was written: mend what failed in {file} first.")
        return 1
    render.show(f"The {drafted.kind} {drafted.number} ({drafted.name}) is {drafted.done}.")
    if drafted.kind == "campaign":
        render.note(f"Look at it: {given.type(f'campaigns show {drafted.number}')}")
    return 0


@campaigns.command()
@click.argument("what")
@CONNECTION
@AS_JSON
@common
@click.pass_obj
def check(given: Given, what: str, connection: str, as_json: bool) -> int:
    """Make all checks of WHAT: a campaign file, or a draft by name or id. Changes nothing."""
    file = _read(what) if _is_file(what) else None

    async def work() -> list[Finding]:
        async with _open(given, connection, file) as desk:
            return await desk.check(file) if file else (await desk.show(what)).findings

    findings = run_async(work)
    if as_json:
        render.show_json(findings)
    else:
        render.show_findings(findings)
    return 1 if any(one.verdict == "fail" for one in findings) else 0


@campaigns.command()
@click.argument("which")
@click.option("--save", type=click.Path(dir_okay=False), metavar="FILE", help="Write the mail of one recipient here.")
@click.option("--contact", default="", metavar="EMAIL", help="Whose mail (default: the first recipient's).")
@CONNECTION
@AS_JSON
@common
@click.pass_obj
def show(given: Given, which: str, save: str | None, contact: str, connection: str, as_json: bool) -> None:
    """Show a campaign, by name or id, as it is at Brevo now: state, recipients counted afresh, checks."""

    async def work() -> tuple[Review, dict[str, str]]:
        async with _open(given, connection) as desk:
            return await desk.show(which), await desk.preview(which, contact) if save or contact else {}

    review, preview = run_async(work)
    if save:
        _save_page(Path(save), preview.get("HTML", ""))
    if as_json:
        render.show_json(_without_samples(review))
        return
    _show_review(review)
    render.show_facts([(name, text) for name, text in preview.items() if name != "HTML"])


def _save_page(path: Path, page: str) -> None:
    """Write a mail so that a browser shows it and runs nothing: values of contacts stand in it as they are."""
    try:
        path.write_text(guard_page(page), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}",
            code="files.not-written",
            hint="Give --save a file in a folder that may be written to.",
        ) from error


def _without_samples(review: Review) -> Review:
    people = msgspec.structs.replace(review.recipients, samples=[])
    return msgspec.structs.replace(review, recipients=people)


def _show_review(review: Review) -> None:
    approved = f"by {review.approved_by}, {_time(review.approved_at)}" if review.approved_by else ""
    if approved and review.state not in ("approved", "scheduled", "sent", "in_process"):
        approved += " (no longer: it was edited since)"
    render.show(f"{review.name} ({review.number})")
    render.show_facts(
        [
            ("state", review.state),
            *((f"subject {mark}".strip(), text) for mark, text in zip(_marks(review), review.subjects, strict=True)),
            ("preview text", review.preview_text or None),
            ("sender", review.sender),
            ("recipients", review.recipients.describe()),
            ("approved", approved or None),
            ("assisted by", review.assisted_by or None),
            ("scheduled", review.scheduled_at or None),
            ("sent", review.sent_at or None),
        ]
    )
    render.show_findings(review.findings)


def _marks(review: Review) -> tuple[str, ...]:
    return ("A", "B") if len(review.subjects) == 2 else ("",)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


@campaigns.command()
@click.argument("which")
@click.option("--yes", is_flag=True, help="Do not ask.")
@CONNECTION
@common
@click.pass_obj
def approve(given: Given, which: str, yes: bool, connection: str) -> None:
    """Approve a draft as it is now. Any later edit, here or at Brevo, ends the approval."""

    async def look() -> Review:
        async with _open(given, connection) as desk:
            return await desk.show(which)

    async def work() -> Review:
        async with _open(given, connection) as desk:
            return await desk.approve(which, getuser(), seen)

    review = run_async(look)
    seen = review.fingerprint
    _show_review(review)
    if not yes:
        click.confirm("Approve it as it is shown here?", abort=True, err=True)
    done = run_async(work)
    render.note(
        f"Approved by {done.approved_by}. To send it: penstock campaigns send {done.number} "
        f"--confirm-id … --confirm-recipients …"
    )


@campaigns.command()
@click.argument("which")
@_confirmed
@CONNECTION
@common
@click.pass_obj
def send(given: Given, which: str, confirm_id: int | None, confirm_recipients: int | None, connection: str) -> None:
    """Send an approved campaign now. It cannot be taken back."""
    number, people = _hold_to_typed(which, confirm_id, confirm_recipients)

    async def work() -> Review:
        async with _open(given, connection) as desk:
            return await desk.send(which, confirm_id=number, confirm_recipients=people)

    review = run_async(work)
    render.show(f"The campaign {review.number} ({review.name}) is on its way to {review.recipients.reached:,} people.")


@campaigns.command()
@click.argument("which")
@click.option("--at", required=True, metavar="TIME", help="When, such as 2026-12-01T09:00+01:00.")
@_confirmed
@CONNECTION
@common
@click.pass_obj
def schedule(
    given: Given, which: str, at: str, confirm_id: int | None, confirm_recipients: int | None, connection: str
) -> None:
    """Have an approved campaign sent at a moment."""
    number, people = _hold_to_typed(which, confirm_id, confirm_recipients)
    moment = _read_time(at)

    async def work() -> Review:
        async with _open(given, connection) as desk:
            return await desk.schedule(which, moment, confirm_id=number, confirm_recipients=people)

    review = run_async(work)
    render.show(f"The campaign {review.number} ({review.name}) goes out at {_time(moment)} UTC.")
    render.note(f"To take that back: {given.type(f'campaigns withdraw {review.number}')}")


def _hold_to_typed(which: str, number: int | None, people: int | None) -> tuple[int, int]:
    if number is None or people is None:
        raise InputError(
            "people get mail only when id and number of recipients are typed",
            code="campaign.not-confirmed",
            hint=f"Look at both: penstock campaigns show {which}; then add --confirm-id ID --confirm-recipients COUNT.",
        )
    return number, people


def _read_time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(
            f"{text!r} is no moment with a time zone",
            code="campaign.bad-time",
            hint="Write it like 2026-12-01T09:00+01:00.",
        )
    return moment.timestamp()


@campaigns.command()
@click.argument("which")
@CONNECTION
@common
@click.pass_obj
def withdraw(given: Given, which: str, connection: str) -> None:
    """Make a scheduled campaign a draft again."""

    async def work() -> Any:
        async with _open(given, connection) as desk:
            return await desk.withdraw(which)

    shown = run_async(work)
    render.show(f"The campaign {shown.id} ({shown.name}) is a {shown.status} again.")


@campaigns.command()
@click.argument("which")
@CONNECTION
@AS_JSON
@common
@click.pass_obj
def results(given: Given, which: str, connection: str, as_json: bool) -> None:
    """Read back what a campaign came to, with intervals; an A/B test version by version."""

    async def work() -> Any:
        async with _open(given, connection) as desk:
            return await desk.results(which)

    found = run_async(work)
    if as_json:
        render.show_json(found)
    else:
        show_results(found)
