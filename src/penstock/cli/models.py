"""`penstock models`: what there is, what it costs, when it ends and who uses it; and how that is kept up to date."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import click

from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.upkeep import Card, Imported, Refreshed
from penstock.vendor.models import Kind, Limits
from penstock.workspace import Workspace


@click.group(invoke_without_command=True)
@click.option("--all", "show_all", is_flag=True, help="Also models that are shut down.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only models of one kind.")
@click.option("--used", is_flag=True, help="Only models that settings or flows of this workspace use.")
@click.option("--ending", is_flag=True, help="Only models with a shutdown date.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_context
def models(
    context: click.Context, show_all: bool, kind: str | None, used: bool, ending: bool, as_json: bool
) -> int | None:
    """List models with price, limits, end and replacement."""
    if context.invoked_subcommand is not None:
        return None
    given: Given = context.obj

    async def work() -> list[Card]:
        async with Workspace.open(given.folder, overrides=given.overrides, command="models") as workspace:
            return workspace.upkeep.list_models()

    cards = [
        card
        for card in run_async(work)
        if (show_all or card.used_by or card.state != "dead")
        and (kind is None or card.kind == kind)
        and (card.used_by or not used)
        and (card.shutdown is not None or not ending)
    ]
    if as_json:
        render.show_json(cards)
    else:
        _show_cards(cards)
    return 0


def _show_cards(cards: list[Card]) -> None:
    if not cards:
        render.note("No model fits.")
        return
    render.show_table(
        ["model", "kind", "in", "cached", "out", "context", "max out", "a minute", "ends", "days", "then use", "used"],
        [
            (card.id, card.kind, *_main_prices(card), _size(card.context_window), _size(card.max_output_tokens),
             _describe_limits(card.limits), card.shutdown or "", card.days_left if card.shutdown else "",
             card.replacement.partition(" ")[0], len(card.used_by) or "")
            for card in cards
        ],
    )  # fmt: skip
    render.note(
        "Prices are dollars per million tokens, at the standard tier; `penstock models show ID` tells the rest."
    )
    for card in cards:
        if card.used_by and card.shutdown is not None:
            state = "is shut down" if card.state == "dead" else f"ends in {card.days_left} days"
            render.note(f"! {card.id} {state}, and is used by {', '.join(card.used_by)}")
        elif card.used_by and not card.prices:
            render.note(f"! the price of {card.id} is not known, and it is used by {', '.join(card.used_by)}")


def _main_prices(card: Card) -> tuple[str, str, str]:
    rates = card.prices.get("standard", {})
    if "minute" in rates:
        return (f"{rates['minute']:g}/min", "", "")
    if "characters" in rates:
        return (f"{rates['characters']:g}/M chars", "", "")
    out = next((rates[name] for name in ("image_output", "audio_output", "output") if name in rates), None)
    return _price(rates.get("input")), _price(rates.get("cached")), _price(out)


def _price(rate: float | None) -> str:
    return "" if rate is None else f"{rate:g}"


def _size(tokens: int | None) -> str:
    return f"{tokens:,}" if tokens else ""


def _describe_limits(limits: Limits) -> str:
    parts = [(limits.rpm, "req"), (limits.tpm, "tok"), (limits.ipm, "img")]
    return ", ".join(f"{_short(amount)} {unit}" for amount, unit in parts if amount)


def _short(amount: float) -> str:
    if amount >= 1_000_000:
        return f"{amount / 1_000_000:g}M"
    return f"{amount / 1000:g}k" if amount >= 1000 else f"{amount:g}"


@models.command("show")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def show(given: Given, model: str, as_json: bool) -> None:
    """Show everything known about MODEL."""

    async def work() -> Card:
        async with Workspace.open(given.folder, overrides=given.overrides, command="models") as workspace:
            return workspace.upkeep.show_model(model)

    card = run_async(work)
    if as_json:
        render.show_json(card)
        return
    render.show(f"{card.id}: {card.kind}, {card.state}" if card.known else f"{card.id}: not in the catalogue")
    end = f"{card.shutdown}, in {card.days_left} days" if card.state == "dying" else card.shutdown
    render.show_facts(
        [
            ("APIs", ", ".join(card.apis) or None),
            ("context", _size(card.context_window) or None),
            ("longest answer", _size(card.max_output_tokens) or None),
            ("efforts", ", ".join(card.efforts) or None),
            ("encoding", card.encoding if card.kind in ("chat", "embedding", "unknown") else None),
            ("limits a minute", _describe_limits(card.limits) or "unknown until the first reply"),
            ("ends", end),
            ("then use", card.replacement or None),
            ("used by", ", ".join(card.used_by) or None),
            ("note", card.note or None),
        ]
    )
    _show_prices(card)


def _show_prices(card: Card) -> None:
    if not card.prices:
        render.note("Its price is not known: cost is shown as unknown, and no budget can be kept.")
        return
    units = list(dict.fromkeys(unit for rates in card.prices.values() for unit in rates))
    render.show_table(
        ["dollars", *(unit.replace("_", " ") for unit in units)],
        [(tier, *(_price(rates.get(unit)) for unit in units)) for tier, rates in card.prices.items()],
    )


@models.command("refresh")
@click.option("--write", is_flag=True, help="Write changed dates to models.toml of the workspace.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def refresh(given: Given, write: bool, as_json: bool) -> None:
    """Compare the catalogue with what OpenAI lists today: new, gone, other dates."""

    async def work() -> Refreshed:
        async with Workspace.open(given.folder, overrides=given.overrides, command="models") as workspace:
            return await workspace.upkeep.refresh(write=write)

    found = run_async(work)
    if as_json:
        render.show_json(found)
        return
    for change in found.changes:
        render.show(f"{change.model} {change.describe()}")
    if not found.changes:
        render.note(f"{found.host} lists what the catalogue says.")
    _tell_written(found, write)


@models.command("limits")
@click.option("--project", default="", help="Project whose limits are read (default: that of the connection).")
@click.option("--write", is_flag=True, help="Write them to models.toml of the workspace: calls then start from them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def limits(given: Given, project: str, write: bool, as_json: bool) -> None:
    """Read the real rate limits of a project; needs an admin key."""

    async def work() -> Imported:
        async with Workspace.open(given.folder, overrides=given.overrides, command="models") as workspace:
            return await workspace.upkeep.import_limits(project, write=write)

    found = run_async(work)
    if as_json:
        render.show_json(found)
        return
    render.show_table(
        ["model", "requests/min", "tokens/min", "images/min", "requests/day"],
        [(name, *_numbers((own.rpm, own.tpm, own.ipm, own.rpd))) for name, own in sorted(found.limits.items())],
    )
    _tell_written(found, write)


def _numbers(amounts: Iterable[float | None]) -> list[str]:
    return [f"{amount:,.0f}" if amount is not None else "" for amount in amounts]


def _tell_written(found: Any, write: bool) -> None:
    for line in found.kept:
        render.note(f"kept: {line}")
    for line in found.written:
        render.note(f"{'wrote' if write else 'would write'}: {line}")
    if found.written and not write:
        render.note(f"Add --write to put this into {found.file}.")
