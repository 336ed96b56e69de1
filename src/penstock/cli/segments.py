"""`penstock segments`: what segments a flow keeps, their names, their map, and what is wished of the next run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.features.segment_book import About, SegmentBook
from penstock.flows.model import load_flow
from penstock.workspace import Workspace

T = TypeVar("T")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def segments() -> None:
    """Show the segments that a flow keeps, name them, draw them, wish for new ones."""


@segments.command()
@click.argument("flow")
@AS_JSON
@common
@click.pass_obj
def show(given: Given, flow: str, as_json: bool) -> None:
    """Show the segments of FLOW (a file, or a name; name/join for a join) with what makes each different."""
    from penstock.features.segment_map import list_figures

    about = _newest(given, flow)
    if as_json:
        render.show_json(list_figures(about))
    else:
        _show(about)


@segments.command()
@click.argument("flow")
@click.option("--set", "given_names", multiple=True, metavar="ID=NAME", help="Give a name; an empty one takes it back.")
@AS_JSON
@common
@click.pass_obj
def names(given: Given, flow: str, given_names: tuple[str, ...], as_json: bool) -> None:
    """List the names of the segments of FLOW, or give some; the next run writes them."""
    wished = dict(_read_pair(one) for one in given_names)

    async def work(book: SegmentBook) -> tuple[About, dict[str, str]]:
        after = await book.wish(names=wished) if wished else await book.wished()
        return (await book.require()).about, dict(after.names)

    about, own = _with_book(given, flow, work)
    rows = [
        (one.id, own.get(one.id, one.name.name), "person" if one.id in own else one.name.by) for one in about.segments
    ]
    if as_json:
        render.show_json([{"id": one, "name": name, "by": by} for one, name, by in rows])
        return
    render.show_table(["id", "name", "by"], rows)
    if wished:
        render.note("The next run writes them.")


@segments.command("map")
@click.argument("flow")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("segments"), show_default=True,
              help="Where the files go.")  # fmt: skip
@common
@click.pass_obj
def draw(given: Given, flow: str, folder: Path) -> None:
    """Write the map of FLOW as map.svg, map.png and map.json, and a page with everything, segments.html."""
    from penstock.features.segment_map import write_json, write_page, write_png, write_svg

    about = _newest(given, flow)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "map.svg").write_text(write_svg(about), encoding="utf-8")
    (folder / "map.png").write_bytes(write_png(about))
    (folder / "map.json").write_bytes(write_json(about))
    (folder / "segments.html").write_text(write_page(about), encoding="utf-8")
    render.show(f"{folder / 'segments.html'}, map.svg, map.png, map.json")
    render.note(about.picture.note)


@segments.command()
@click.argument("flow")
@click.option(
    "--anew", is_flag=True, help="Find segments from nothing; ids live on where most customers stay together."
)
@common
@click.pass_obj
def refresh(given: Given, flow: str, anew: bool) -> None:
    """Let the centres of the segments of FLOW follow their customers in the next run; ids stay."""

    async def work(book: SegmentBook) -> None:
        await book.wish("anew" if anew else "follow")

    _with_book(given, flow, work)
    what = "finds its segments anew" if anew else "lets its centres follow the customers"
    render.show(f"The next run of {flow} {what}.")


def _newest(given: Given, flow: str) -> About:
    async def work(book: SegmentBook) -> About:
        return (await book.require()).about

    return _with_book(given, flow, work)


def _with_book(given: Given, flow: str, work: Callable[[SegmentBook], Awaitable[T]]) -> T:
    name = load_flow(Path(flow)).name if flow.endswith((".yaml", ".yml")) else flow

    async def open_book() -> T:
        async with Workspace.open(given.folder, overrides=given.overrides, command="segments") as workspace:
            return await work(SegmentBook(workspace.store, name))

    return run_async(open_book)


def _read_pair(text: str) -> tuple[str, str]:
    one, equals, name = text.partition("=")
    if not equals or not one.strip():
        raise click.BadParameter(f"{text!r} is not ID=NAME, such as s1=Runners", param_hint="--set")
    return one.strip(), name


def _show(about: About) -> None:
    day = datetime.fromtimestamp(about.at, UTC).date().isoformat()
    render.show(f"Segments of {about.name}, version {about.version} of {day} ({about.way})")
    facts = [
        ("customers", f"{about.customers:,}, {about.without:,} without a description, {about.left_out:,} who object"),
        ("outliers", f"{about.outliers:,}"),
        ("moved", f"{about.changed:,} of {about.changed + about.stayed:,} since the version before"),
        ("distance", ", ".join(f"{field} {part:.0%}" for field, part in about.weights.items())),
    ]
    if about.drift is not None:
        facts.append(("drift", "; ".join((about.drift.verdict, *about.drift.reasons))))
    render.show_facts(facts)
    for one in about.segments:
        tested = f", {one.name.right} of {one.name.asked} recognised" if one.name.asked else ""
        render.show(f"{one.id} {one.name.name}: {one.customers:,} ({one.share:.1%}), by {one.name.by}{tested}")
        for line in (one.name.description, one.name.difference, one.name.problem and f"No name: {one.name.problem}"):
            if line:
                render.show(f"   {line}")
    for gone, now in about.retired.items():
        render.note(f"{gone} is no more; most of its customers are in {now or 'no segment'}.")
    if about.trials:
        render.show_table(
            ["segments", "silhouette", "halves agree", "smallest", ""],
            [(one.segments, f"{one.silhouette:.3f}", f"{one.agreement:.2f}", f"{one.smallest:.1%}",
              "suggested" if one.segments == about.suggested else one.objection) for one in about.trials],
        )  # fmt: skip
