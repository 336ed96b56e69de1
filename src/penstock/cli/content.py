"""`penstock content`: write and translate campaign texts from a brief in a file, and learn from results."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.base.errors import InputError
from penstock.calls import CallOptions
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.features.writing.files import BriefFile, read_brief
from penstock.features.writing.results import (
    AngleResult,
    Outcome,
    order_angles,
    read_results,
    remember_results,
    remember_written,
)
from penstock.features.writing.sample import weigh_test
from penstock.operations.result import Result
from penstock.workspace import Workspace


@click.group()
def content() -> None:
    """Write and translate campaign texts; learn from results."""


@content.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", help="Model instead of the one that the brief or the settings name.")
@click.option("--budget", type=float, metavar="DOLLARS", help="Most that this may cost.")
@click.option("--fresh", is_flag=True, help="Buy new answers even if some are held.")
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), help="Folder for the texts as files.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def write(
    given: Given, file: Path, model: str | None, budget: float | None, fresh: bool, save: Path | None, as_json: bool
) -> None:
    """Write the texts that the brief in FILE asks for. Nothing is sent to anybody: a person approves."""
    brief = read_brief(file)
    _show_trial(brief)

    async def work() -> Result:
        async with Workspace.open(given.folder, overrides=given.overrides, command="content") as workspace:
            values = dict(brief.values)
            if not values.get("angles") and "offer" in values:
                values["angles"] = order_angles(await read_results(workspace.store))
            options = CallOptions(model=model or brief.model, budget=budget, fresh=fresh)
            result = await workspace.operations.call(brief.operation, values, options)
            await remember_written(workspace.store, workspace.clock, _subjects(result.output))
            return result

    result = run_async(work)
    if save is not None:
        _save(result.output, save, brief.campaign)
    if as_json:
        render.show_json(result)
    else:
        _show(result)


def _show_trial(brief: BriefFile) -> None:
    """Say what a test of so many variants can show before they are paid for."""
    recipients, variants = brief.values.get("recipients"), brief.values.get("variants", 3)
    rate = brief.values.get("click_rate", 0.02)
    if isinstance(recipients, int) and isinstance(variants, int) and isinstance(rate, float) and 0 < rate < 1:
        render.note(weigh_test(variants, recipients, rate).says)


def _subjects(output: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what results are found by: the subject, or what stands on the button."""
    variants = [one for one in output.get("variants", ()) if one.get("angle")]
    return [(str(one.get("subject") or one.get("button")), one["language"], one["angle"]) for one in variants]


def _save(output: dict[str, Any], folder: Path, campaign: dict[str, Any]) -> None:
    """Write each text into a file of its own, with a campaign file per language; files of before are written over."""
    folder.mkdir(parents=True, exist_ok=True)
    by_language: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for number, one in enumerate(output.get("variants", ()), 1):
        name = f"{number}-{one['language']}"
        by_language.setdefault(one["language"], []).append((name, one))
        (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(one), indent=2))
        for kind, suffix in (("html", "html"), ("text", "txt")):
            if one.get(kind):
                (folder / f"{name}.{suffix}").write_text(one[kind], encoding="utf-8")
    for one in output.get("translations", ()):
        (folder / f"{one['language']}.html").write_text(one["template"], encoding="utf-8")
    for language, named in by_language.items():
        if campaign and named[0][1].get("html"):
            _write_campaign(folder / f"campaign-{language}.yaml", language, named, campaign, str(output["model"]))


def _write_campaign(
    path: Path, language: str, named: list[tuple[str, dict[str, Any]]], campaign: dict[str, Any], model: str
) -> None:
    """Write what `penstock campaigns draft` reads: the first mail, and for an A/B test two subjects."""
    from ruamel.yaml import YAML

    file, first = named[0]
    subjects = [one["subject"] for _, one in named[:2]]
    said: dict[str, Any] = {**campaign, "name": f"{campaign.get('name', 'campaign')}-{language}"}
    said |= {"subjects": subjects} if len(subjects) == 2 else {"subject": subjects[0]}
    said |= {"preview-text": first["preview_text"], "html": f"{file}.html", "assisted-by": model}
    with path.open("w", encoding="utf-8") as stream:
        YAML().dump(said, stream)


def _show(result: Result) -> None:
    output = result.output
    for one in output.get("variants", output.get("translations", ())):
        render.show(f"{one['language']} · {one.get('angle') or 'translated'}")
        shown = ("subject", "preview_text", "headline", "body", "button")
        facts = [(name, one[name]) for name in shown if one.get(name)]
        notes = [f"{check['name']}: {check['found']}" for check in one["checks"] if check["verdict"] == "warning"]
        render.show_facts([*facts, *(("warning", note) for note in notes)])
    for one in output.get("rejected", ()):
        render.note(f"refused ({one['language']}, {one['angle']}): {one['why']}")
    for one in output.get("problems", ()):
        render.note(f"nothing in {one['language']}: {one['message']}")
    for warning in result.warnings:
        render.note(f"warning: {warning}")
    cost = "unknown" if result.cost_dollars is None else f"${result.cost_dollars:.6f}"
    render.note(f"{output['state']} · {output['model'] or 'no call'} · {cost}")


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
            for number, row in enumerate(csv.DictReader(lines), 2):
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
