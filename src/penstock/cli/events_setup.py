"""`penstock events setup`, `events settings` and `events compare`: the OpenAI ad account that conversions belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.base.errors import FixError, InputError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.workspace import Workspace

if TYPE_CHECKING:
    from penstock.events.comparison import Comparison, Setup, Standing
    from penstock.vendor.ads import Ads, EventSetting, Pixel

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def _run(given: Given, command: str, work: Callable[[Workspace], Awaitable[T]]) -> T:
    async def open_and_work() -> T:
        async with Workspace.open(given.folder, overrides=given.overrides, command=command) as workspace:
            return await work(workspace)

    return run_async(open_and_work)


@click.group()
def setup() -> None:
    """Create what conversions need in the OpenAI ad account: a pixel, a key, an event that counts."""


@setup.command("pixel")
@click.argument("name")
@json_option
@common
@click.pass_obj
def pixel(given: Given, name: str, as_json: bool) -> None:
    """Create a source of web events called NAME, and show its Pixel ID; one of that name is not made twice."""

    async def work(workspace: Workspace) -> tuple[Pixel, bool]:
        ads = workspace.vendors.open_ads()
        for known in await ads.pixels():
            if known.name == name:
                return known, False
        return await ads.create_pixel(name), True

    made, is_new = _run(given, "events setup", work)
    if as_json:
        render.show_json({"pixel_id": made.pixel_id, "source_id": made.source_id, "name": made.name, "new": is_new})
        return
    render.note("Created." if is_new else "It was there already: nothing was created.")
    render.show_facts([("Pixel ID", made.pixel_id), ("source id", made.source_id)])
    render.note(f"Send events to it: export PENSTOCK_CONVERSIONS_PIXEL_ID={made.pixel_id}")


@setup.command("key")
@click.argument("name")
@common
@click.pass_obj
def key(given: Given, name: str) -> None:
    """Create a Conversions key called NAME and write it to stdout, this once: OpenAI never shows it again."""
    made = _run(given, "events setup", lambda workspace: workspace.vendors.open_ads().create_key(name))
    render.show(made)
    render.note("Keep it now: export OPENAI_CONVERSIONS_API_KEY=…   (OpenAI documents no way to revoke such a key)")


@setup.command("event")
@click.argument("event")
@click.option("--custom", is_flag=True, help="EVENT is the name of a custom event.")
@click.option("--name", help="What Ads Manager calls it (default: the event itself).")
@click.option("--pixel-id", metavar="ID", help="Pixel ID instead of the setting conversions.pixel-id.")
@json_option
@common
@click.pass_obj
def event(given: Given, event: str, custom: bool, name: str | None, pixel_id: str | None, as_json: bool) -> None:
    """Let EVENT of the pixel count as a conversion: a standard event type, or with --custom the name of another."""
    check_event(event, custom)

    async def work(workspace: Workspace) -> tuple[EventSetting, bool]:
        ads = workspace.vendors.open_ads()
        source = await _find_source(ads, workspace.vendors.choose_pixel(pixel_id))
        for known in await ads.settings():
            if known.event_name == event.lower() and source in known.source_ids:
                return known, False
        return await ads.create_setting(name or event, event, source, is_custom=custom), True

    made, is_new = _run(given, "events setup", work)
    if as_json:
        render.show_json({"id": made.id, "name": made.name, "event": made.event_name, "new": is_new})
        return
    render.note("Created." if is_new else "It was there already: nothing was created.")
    render.show_facts([("event", made.event_name), ("setting", made.id), ("name", made.name)])
    render.note("It counts once a campaign carries it: attach it in Ads Manager.")


def check_event(name: str, is_custom: bool) -> None:
    """Raise `InputError` for a name that no event can have; a custom one must be called so, else it is a slip."""
    from difflib import get_close_matches

    from penstock.events.contract import load_contract

    contract = load_contract()
    standard = [kind for kind, type_ in contract.types.items() if not type_.named]
    if is_custom and (name.lower() in contract.types or not contract.custom_name.fullmatch(name)):
        raise InputError(
            f"{name!r} cannot be the name of a custom event",
            code="events.custom-name",
            hint="1 to 64 letters, digits, _ and -, and not a standard name.",
        )
    if not is_custom and name not in standard:
        close = get_close_matches(name, standard, n=1)
        raise InputError(
            f"{name!r} is no standard event",
            code="events.unknown-type",
            hint=f"Did you mean {close[0]}?" if close else "Add --custom when it is the name of a custom event.",
        )


async def _find_source(ads: Ads, pixel_id: str) -> str:
    known = await ads.pixels()
    for one in known:
        if pixel_id in (one.pixel_id, one.source_id):
            return one.source_id
    listed = ", ".join(f"{one.pixel_id} ({one.name})" for one in known[:5]) or "none"
    raise FixError(
        f"{pixel_id} is not a pixel of this ad account", code="ads.unknown-pixel", hint=f"Known are: {listed}."
    )


@click.command()
@click.option("--pixel-id", metavar="ID", help="Pixel ID instead of the setting conversions.pixel-id.")
@json_option
@common
@click.pass_obj
def settings(given: Given, pixel_id: str | None, as_json: bool) -> None:
    """List pixels and event settings: which events are registered, and which campaigns count them."""
    from penstock.events.comparison import read_setup, stand

    async def work(workspace: Workspace) -> tuple[Setup, list[Standing]]:
        found = await read_setup(workspace.vendors.open_ads())
        wanted = pixel_id or str(workspace.settings.get("conversions.pixel-id") or "")
        if not wanted and found.pixels is not None and len(found.pixels) == 1:
            wanted = found.pixels[0].pixel_id
        return found, stand(found, wanted)

    found, standings = _run(given, "events settings", work)
    if as_json:
        render.show_json({"setup": found, "events": standings})
        return
    if found.pixels is None:
        render.note("The account does not let its pixels be listed: look in Ads Manager.")
    else:
        render.show_table(["Pixel ID", "source id", "name"], [(p.pixel_id, p.source_id, p.name) for p in found.pixels])
    render.show()
    _show_settings(found)


def _show_settings(found: Setup) -> None:
    if found.settings is None:
        render.note("The account does not let its event settings be listed: look in Ads Manager.")
        return
    if not found.settings:
        render.note("No event is registered, so none counts. Register one: penstock events setup event order_created")
        return
    sources = {one.source_id: one.pixel_id for one in found.pixels or ()}
    rows = []
    for one in found.settings:
        carried = [campaign.name for campaign in found.campaigns or () if one.id in campaign.setting_ids]
        where = "not told" if found.campaigns is None else ", ".join(carried) or "none: does not count"
        rows.append(
            (one.event_name, one.name, ", ".join(sources.get(source, source) for source in one.source_ids), where)
        )
    render.show_table(["event", "setting", "pixel", "carried by campaigns"], rows)
    render.note("A setting that was made just now may be missing for a moment.")


@click.command()
@click.option("--since", metavar="DATE", help="Only events that happened from this day on (UTC; default: 7 days ago).")
@click.option("--pixel-id", metavar="ID", help="Pixel ID instead of the setting conversions.pixel-id.")
@json_option
@common
@click.pass_obj
def compare(given: Given, since: str | None, pixel_id: str | None, as_json: bool) -> None:
    """Set what was delivered beside what OpenAI counts: registered events, its sample, attributed conversions."""
    from penstock.events.comparison import compare as compare_all

    async def work(workspace: Workspace) -> Comparison:
        now = workspace.clock.now()
        start = to_day(since) or datetime.fromtimestamp(now, UTC).date() - timedelta(days=7)
        wanted = workspace.vendors.choose_pixel(pixel_id)
        return await compare_all(workspace.vendors.open_ads(), workspace.store, wanted, start, now)

    found = _run(given, "events compare", work)
    if as_json:
        render.show_json(found)
    else:
        _show_comparison(found)


def to_day(text: str | None) -> date | None:
    """Read a day; raises `InputError` for another form."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InputError(f"{text!r} is not a date", code="input.date", hint="Write it as 2026-11-20.") from error


def _show_comparison(found: Comparison) -> None:
    render.show(f"Pixel ID {found.pixel_id}")
    if found.standings:
        rows = [
            (one.event_name, f"{one.delivered:,}", _names(one.settings), _names(one.campaigns), one.by_server,
             one.by_pixel)
            for one in found.standings
        ]  # fmt: skip
        render.show_table(["event", "delivered", "settings", "campaigns", "sample: server", "sample: browser"], rows)
    if found.days:
        render.show()
        days = [
            (one.day, f"{one.delivered:,}", _count(one.click_through), _count(one.view_through)) for one in found.days
        ]
        render.show_table(["day", "delivered", "after a click", "after a view"], days)
    render.show()
    render.show_findings(found.findings)
    render.note(
        "Days of deliveries are UTC and by time of the event; days of conversions are the account's. Only events after "
        "a click or a view of an ad become conversions, so these are always fewer."
    )


def _names(names: tuple[str, ...] | None) -> str:
    return "not told" if names is None else ", ".join(names) or "none"


def _count(value: int | None) -> Any:
    return "not told" if value is None else f"{value:,}"
