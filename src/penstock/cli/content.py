"""`penstock content`: write campaign texts and pictures from a brief, decide about them, and learn from results."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.base.errors import InputError
from penstock.calls import CallOptions
from penstock.cli import render
from penstock.cli.content_pieces import approve, list_, reject
from penstock.cli.main import Given, common, run_async
from penstock.content import Content
from penstock.features.writing.files import BriefFile, read_brief
from penstock.features.writing.results import (
    LEAST_DELIVERED,
    AngleResult,
    Evidence,
    Outcome,
    read_results,
    remember_results,
)
from penstock.features.writing.sample import weigh_test
from penstock.operations.result import Result
from penstock.workspace import Workspace


@click.group()
def content() -> None:
    """Write campaign texts and pictures, decide about them, learn from results."""


content.add_command(list_)
content.add_command(approve)
content.add_command(reject)


@content.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", help="Model of the texts, instead of the one that the brief or the settings name.")
@click.option("--budget", type=float, metavar="DOLLARS", help="Most that this may cost.")
@click.option("--fresh", is_flag=True, help="Buy new answers even if some are held.")
@click.option(
    "--save", type=click.Path(path_type=Path, file_okay=False), help="Folder for texts and pictures as files."
)
@click.option("--dry-run", is_flag=True, help="Say what it costs and what is known; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def write(
    given: Given,
    file: Path,
    model: str | None,
    budget: float | None,
    fresh: bool,
    save: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write the texts that the brief in FILE asks for, and its picture. Nobody gets them: a person approves."""
    brief = read_brief(file)
    _show_trial(brief)
    options = CallOptions(model=model, budget=budget, fresh=fresh)

    async def work() -> Result | None:
        async with Workspace.open(given.folder, overrides=given.overrides, command="content") as workspace:
            desk = Content(workspace.operations, workspace.store, workspace.clock)
            _show_evidence(brief, await desk.weigh(brief))
            if brief.operation != "translate-template":
                render.note(desk.estimate(brief, options).describe())
            return None if dry_run else await desk.write(brief, options, save)

    result = run_async(work)
    if result is None:
        render.note("Nothing was sent.")
    elif as_json:
        render.show_json(result)
    else:
        _show(result)


def _show_trial(brief: BriefFile) -> None:
    """Say what a test of so many variants can show before they are paid for."""
    recipients, variants = brief.values.get("recipients"), brief.values.get("variants", 3)
    rate = brief.values.get("click_rate", 0.02)
    if isinstance(recipients, int) and isinstance(variants, int) and isinstance(rate, float) and 0 < rate < 1:
        render.note(weigh_test(variants, recipients, rate).says)


def _show_evidence(brief: BriefFile, evidence: Evidence) -> None:
    """Say what the order of angles rests on."""
    if "offer" not in brief.values or brief.values.get("angles"):
        return
    if not evidence.says:
        render.note(
            f"evidence: none; two angles need {LEAST_DELIVERED:,} delivered mails each, until then the usual order"
        )
    for said in evidence.says:
        render.note(f"evidence: {said}")


def _show(result: Result) -> None:
    output = result.output
    for one in output.get("variants", output.get("translations", ())):
        render.show(f"{one['language']} · {one.get('angle') or 'translated'}")
        shown = ("subject", "preview_text", "headline", "body", "button")
        facts = [(name, one[name]) for name in shown if one.get(name)]
        render.show_facts([*facts, *(("warning", note) for note in _warn(one))])
    for one in output.get("rejected", ()):
        render.note(f"refused ({one['language']}, {one['angle']}): {one['why']}")
    for one in output.get("problems", ()):
        render.note(f"nothing in {one['language']}: {one['message']}")
    for warning in result.warnings:
        render.note(f"warning: {warning}")
    for one in output["visuals"]:
        render.show(f"{one['file']} · {one['width']} × {one['height']}, shown {one['shown']} points wide")
        alts = [(f"alt {language}", text) for language, text in one["alt"].items()]
        render.show_facts([*alts, ("origin", one["origin"]), *(("warning", note) for note in _warn(one))])
    if result.output["pieces"]:
        states = Counter(one["state"] for one in result.output["pieces"])
        waiting = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        render.note(f"pieces: {waiting}; `penstock content list` shows them, approve and reject decide")
    cost = "unknown" if result.cost_dollars is None else f"${result.cost_dollars:.6f}"
    render.note(f"{output['state']} · {output['model'] or 'no call'} · {cost}")


def _warn(one: dict[str, Any]) -> list[str]:
    return [f"{check['name']}: {check['found']}" for check in one["checks"] if check["verdict"] == "warning"]


@content.command()
@click.option("--language", default="", help="Only results of this language.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def angles(given: Given, language: str, as_json: bool) -> None:
    """Show which angles brought clicks, from campaign results that were read back and from remembered ones."""

    async def work() -> list[AngleResult]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="content") as workspace:
            return await read_results(workspace.store, language)

    found = run_async(work)
    if as_json:
        render.show_json(found)
        return
    render.show_table(
        ["angle", "versions", "delivered", "clicked", "share", "95 %"],
        [
            (
                one.angle,
                one.versions,
                f"{one.delivered:,}",
                f"{one.clicked:,}",
                "" if one.rate is None else f"{one.rate:.2%}",
                f"{one.low:.2%} to {one.high:.2%}" if one.delivered else "",
            )
            for one in found
        ],
    )


@content.command()
@click.argument("file", type=click.Path(path_type=Path))
@common
@click.pass_obj
def remember(given: Given, file: Path) -> None:
    """Remember results in FILE, a CSV with source, version, angle, delivered, clicked; opened, language if known."""
    outcomes = _read_outcomes(file)

    async def work() -> int:
        async with Workspace.open(given.folder, overrides=given.overrides, command="content") as workspace:
            return await remember_results(workspace.store, workspace.clock, outcomes)

    render.note(f"{run_async(work):,} results remembered")


def _read_outcomes(file: Path) -> list[Outcome]:
    outcomes = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = {"source", "version", "angle", "delivered", "clicked"} - set(rows.fieldnames or ())
            if missing:
                raise InputError(
                    f"{file} has no column {', '.join(sorted(missing))}",
                    code="content.outcome",
                    hint=f"The columns are {', '.join(Outcome.__struct_fields__)}.",
                )
            for number, row in enumerate(rows, 2):
                filled = {name: value for name, value in row.items() if value not in (None, "")}
                try:
                    outcomes.append(msgspec.convert(filled, Outcome, strict=False))
                except msgspec.ValidationError as error:
                    raise InputError(
                        f"{file}, line {number}: {error}",
                        code="content.outcome",
                        hint=f"The columns are {', '.join(Outcome.__struct_fields__)}.",
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}", code="input.file", hint="Give a CSV in UTF-8.") from error
    return outcomes
