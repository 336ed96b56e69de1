"""`penstock trends`: how feedback moves over time, and which topics have turned."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.features.trends import COVERAGE, DAYS, FEWEST, Topic, Trends
from penstock.flows.model import load_flow
from penstock.flows.trending import read_trends
from penstock.workspace import Workspace

TURNED = 3
"""Exit code with --alert when a topic has turned for the worse."""


@click.command()
@click.argument("flow")
@click.option("--topic", help="Only this topic.")
@click.option("--contact", help="Only the feedback of this contact (email, or what summarize.by gives).")
@click.option("--days", type=float, default=DAYS, show_default=True, help="Length of a window.")
@click.option("--alert", is_flag=True, help="Exit with 3 when a topic has turned for the worse.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def trends(
    given: Given, flow: str, topic: str | None, contact: str | None, days: float, alert: bool, as_json: bool
) -> int:  # fmt: skip
    """Show how the feedback that FLOW (a file, or a name) has judged moves by topic; calls and writes nothing."""
    name = load_flow(Path(flow)).name if flow.endswith((".yaml", ".yml")) else flow

    async def work() -> Trends:
        async with Workspace.open(given.folder, overrides=given.overrides, command="trends") as workspace:
            now = workspace.clock.now()
            return await read_trends(
                workspace.store, name, now, days=days, topic=topic or "", contact=contact or ""
            )  # fmt: skip

    found = run_async(work)
    if as_json:
        render.show_json(found)
    else:
        _show(found)
    return TURNED if alert and any(one.turn == "worse" for one in found.topics) else 0


def _show(found: Trends) -> None:
    who = "feedback" if found.contact else "people"
    render.show(f"Feedback of {found.contact or found.flow}, {found.days:g} days a row, up to {found.as_of}")
    for topic in found.topics:
        render.show(f"{topic.topic}: {_describe(topic)}")
        render.show_table(
            ["until", who, "mean", f"{COVERAGE:.0%} of"],
            [(one.end, one.people, f"{one.mean:+.2f}", _interval(one.low, one.high)) for one in topic.points],
        )
    if found.undated:
        render.note(f"{found.undated:,} without a date are left out; `summarize.at` says where it stands.")
    render.note(f"Of fewer than {FEWEST} {who}, no interval and no turn is told. See docs/how-to/sentiment.md.")


def _describe(topic: Topic) -> str:
    if topic.turn == "unknown" or topic.change is None:
        return "too few to tell"
    text = f"{topic.change:+.2f} ({_interval(topic.low, topic.high)}), by chance {topic.chance:.3f}"
    return {"worse": "turned for the worse, ", "better": "turned for the better, "}.get(topic.turn, "steady, ") + text


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:+.2f} to {high:+.2f}"
